// The row kernels, compiled once per instruction set (see CMakeLists.txt):
//   XENT_ISA     the name of the set, XENT_VECTOR its vector width in bytes.
// No header with inline code is used here: the linker would be free to keep the AVX-512 copy of an
// inline function for everybody.
#include "kernels.hpp"

#define XENT_CAT_(a, b) a##b
#define XENT_CAT(a, b) XENT_CAT_(a, b)
#define XENT_STR_(a) #a
#define XENT_STR(a) XENT_STR_(a)

extern "C" double log1p(double);
extern "C" double log(double);

namespace xent {
namespace {

constexpr float kInfF = __builtin_inff();

// Constants of exp(x) = 2^n exp(r), |r| <= ln2/2: ln2 in two parts so that n*hi is exact, and the
// number whose addition rounds to an integer. The Taylor polynomial to r^7 (float) and r^13 (double)
// leaves 5e-9 and 4e-18, under a tenth of an ulp; minimax forms of lower degree are for later.
template <class T> struct Real;
template <> struct Real<float> {
  typedef int32_t Int;
  typedef float Vec __attribute__((vector_size(XENT_VECTOR)));
  typedef int32_t IVec __attribute__((vector_size(XENT_VECTOR)));
  static constexpr float log2e = 1.44269504f, ln2_hi = 0.693145752f, ln2_lo = 1.42860682e-6f;
  static constexpr float magic = 12582912.f, least = -103.97208f;
  static constexpr int mantissa = 23, bias = 127, degree = 7;
};
template <> struct Real<double> {
  typedef int64_t Int;
  typedef double Vec __attribute__((vector_size(XENT_VECTOR)));
  typedef int64_t IVec __attribute__((vector_size(XENT_VECTOR)));
  static constexpr double log2e = 1.4426950408889634, ln2_hi = 0.69314718036912382;
  static constexpr double ln2_lo = 1.9082149292705877e-10, magic = 6755399441055744., least = -745.13321910194122;
  static constexpr int mantissa = 52, bias = 1023, degree = 13;
};
template <class T> using Vec = typename Real<T>::Vec;
template <class T> constexpr int kLanes = XENT_VECTOR / sizeof(T);

template <class T> inline Vec<T> load(const T* p) { Vec<T> v; __builtin_memcpy(&v, p, sizeof v); return v; }
template <class T> inline void store(T* p, Vec<T> v) { __builtin_memcpy(p, &v, sizeof v); }

constexpr double inverse_factorial(int n) { return n <= 1 ? 1.0 : inverse_factorial(n - 1) / n; }

template <class T, int N> struct Taylor {  // sum_{j>=0} r^j / (j+at)!, by Horner
  static inline Vec<T> eval(Vec<T> r, Vec<T> acc) {
    return Taylor<T, N - 1>::eval(r, acc * r + T(inverse_factorial(N)));
  }
};
template <class T> struct Taylor<T, -1> {
  static inline Vec<T> eval(Vec<T>, Vec<T> acc) { return acc; }
};

// exp for x <= 0 (a shifted logit), NaN kept, -inf to 0, subnormal results kept: the power of two is
// applied in two steps because 2^n alone would be flushed.
template <class T> inline Vec<T> exp_nonpositive(Vec<T> x) {
  typedef Real<T> R;
  typedef typename R::IVec IVec;
  Vec<T> t = x * R::log2e + R::magic;
  Vec<T> whole = t - R::magic;
  Vec<T> r = (x - whole * R::ln2_hi) - whole * R::ln2_lo;
  IVec n = (IVec)t - (IVec)(R::magic + Vec<T>{});
  Vec<T> p = Taylor<T, R::degree - 1>::eval(r, T(inverse_factorial(R::degree)) + Vec<T>{});
  IVec low = IVec{} + (1 - R::bias);
  IVec n1 = n > low ? n : low, n2 = n - n1;
  Vec<T> scaled = p * (Vec<T>)((n1 + R::bias) << R::mantissa) *
                  (Vec<T>)(((n2 > low ? n2 : low) + R::bias) << R::mantissa);
  return x < R::least ? Vec<T>{} : scaled;
}

// exp(z - m) for z <= m. The difference is rounded by up to half an ulp of |z - m|, which exp would turn
// into a relative error of that size (2e-6 at a gap of 36 in float32): what was lost is put back.
template <class T> inline Vec<T> exp_shifted(Vec<T> z, T m) {
  Vec<T> d = z - m, back = d - z;
  Vec<T> lost = (z - (d - back)) - (m + back);  // D. Knuth's TwoSum, exact
  Vec<T> e = exp_nonpositive<T>(d);
  return e + e * (d > Real<T>::least ? lost : Vec<T>{});
}

template <class T> inline T horizontal_max(Vec<T> v) {
  T m = v[0];
  for (int i = 1; i < kLanes<T>; ++i) m = v[i] > m ? v[i] : m;
  return m;
}
template <class T> inline double horizontal_sum(Vec<T> v) {
  double s = 0;
  for (int i = 0; i < kLanes<T>; ++i) s += (double)v[i];
  return s;
}

// One row of logits z (k of them) with label y and weight s, in place: z becomes s (p - e_y).
// The label's own exponential is left out of the sum, R = sum_{j != y} exp(z_j - m), so that the loss
// log1p(R) (label largest) and the gradient -s R / (R + e_y) at the label keep relative accuracy
// where 1 - p_y would be 0.
template <class T>
inline void softmax_row(T* z, int k, int64_t y, double s, Tally& tally) {
  constexpr int L = kLanes<T>;
  const int full = k - k % L;
  Vec<T> tail = Vec<T>{} - T(kInfF);
  if (full < k) __builtin_memcpy(&tail, z + full, (k - full) * sizeof(T));

  Vec<T> vmax = tail;
  for (int j = 0; j < full; j += L) {
    Vec<T> v = load(z + j);
    vmax = v > vmax ? v : vmax;
  }
  const T m = horizontal_max<T>(vmax);
  const T zy = z[y];
  bool hit = zy == m;  // argmax takes the first of equals, as numpy.argmax does
  for (int64_t j = 0; j < y && hit; ++j) hit = z[j] != m;

  Vec<T> esum{};
  double rest = 0;  // sums of up to 1024 terms per lane in T, then double: no drift over 1e5 classes
  int counted = 0;
  for (int j = 0; j < full; j += L) {
    Vec<T> e = exp_shifted<T>(load(z + j), m);
    if (y >= j && y < j + L) {
      store(z + j, e);
      e[y - j] = 0;
    } else {
      store(z + j, e);
    }
    esum += e;
    if (++counted == 1024) { rest += horizontal_sum<T>(esum); esum = Vec<T>{}; counted = 0; }
  }
  if (full < k) {
    Vec<T> e = exp_shifted<T>(tail, m);
    __builtin_memcpy(z + full, &e, (k - full) * sizeof(T));
    if (y >= full) e[y - full] = 0;
    esum += e;
  }
  rest += horizontal_sum<T>(esum);

  const double ey = (double)z[y], total = rest + ey;
  const double loss = zy == m ? log1p(rest) : ((double)m - (double)zy) + log(total);
  tally.weight += s;
  tally.loss += s * loss;
  if (hit) tally.hits += s;

  const T scale = (T)(s / total);
  for (int j = 0; j < full; j += L) store(z + j, load(z + j) * scale);
  for (int j = full; j < k; ++j) z[j] *= scale;
  z[y] = (T)(-s * (rest / total));
}

// acc[r][v] = sum_j x[r][j] * w[j][v]  for MR rows and NV vectors of classes.
template <class XT, class CT, int MR, int NV>
inline void logits_tile(const XT* const* x, int64_t d, const CT* w, int kp, const CT* bias, CT* z) {
  constexpr int L = kLanes<CT>;
  Vec<CT> acc[MR][NV];
  for (int r = 0; r < MR; ++r)
    for (int v = 0; v < NV; ++v) acc[r][v] = load(bias + v * L);
  for (int64_t j = 0; j < d; ++j) {
    Vec<CT> wv[NV];
    for (int v = 0; v < NV; ++v) wv[v] = load(w + j * kp + v * L);
    for (int r = 0; r < MR; ++r) {
      const CT xv = (CT)x[r][j];
      for (int v = 0; v < NV; ++v) acc[r][v] += xv * wv[v];
    }
  }
  for (int r = 0; r < MR; ++r)
    for (int v = 0; v < NV; ++v) store(z + r * kp + v * L, acc[r][v]);
}

inline void add_wide(double* out, Vec<double> v) { store(out, load(out) + v); }
inline void add_wide(double* out, Vec<float> v) {
  constexpr int L = kLanes<float>;
  for (int i = 0; i < L; ++i) out[i] += (double)v[i];
}

// out[j][v] += sum_r x[r][j] * g[r][v]  for JR features and NV vectors of classes.
template <class XT, class CT, int JR, int NV>
inline void gradient_tile(const XT* const* x, int64_t j, int rows, const CT* g, int kp, double* out) {
  constexpr int L = kLanes<CT>;
  Vec<CT> acc[JR][NV] = {};
  for (int r = 0; r < rows; ++r) {
    Vec<CT> gv[NV];
    for (int v = 0; v < NV; ++v) gv[v] = load(g + r * kp + v * L);
    const XT* xr = x[r] + j;
    for (int i = 0; i < JR; ++i) {
      const CT xv = (CT)xr[i];
      for (int v = 0; v < NV; ++v) acc[i][v] += xv * gv[v];
    }
  }
  for (int i = 0; i < JR; ++i)
    for (int v = 0; v < NV; ++v) add_wide(out + (j + i) * kp + v * L, acc[i][v]);
}

template <class XT, class CT, int NV>
inline void logits_block(const XT* const* x, int rows, int64_t d, const Model<CT>& model, int c, CT* z) {
  const CT *w = model.wt + c, *bias = model.bias + c;
  int r = 0;
  for (; r + 8 <= rows; r += 8) logits_tile<XT, CT, 8, NV>(x + r, d, w, model.kp, bias, z + r * model.kp + c);
  for (; r < rows; ++r) logits_tile<XT, CT, 1, NV>(x + r, d, w, model.kp, bias, z + r * model.kp + c);
}

template <class XT, class CT, int NV>
inline void gradient_block(const XT* const* x, int rows, int64_t d, const CT* g, int kp, int c, double* out) {
  int64_t j = 0;
  for (; j + 8 <= d; j += 8) gradient_tile<XT, CT, 8, NV>(x, j, rows, g + c, kp, out + c);
  for (; j < d; ++j) gradient_tile<XT, CT, 1, NV>(x, j, rows, g + c, kp, out + c);
}

// Rows [lo, hi) that count, as pointers to contiguous features: in place where X's features are
// contiguous, else through the packing buffer. A row of weight 0 is never read: it may hold NaN.
template <class XT>
inline int gather(const Rows<XT>& rows, int64_t lo, int64_t hi, XT* packed, const XT** x, int64_t* index) {
  int live = 0;
  for (int64_t i = lo; i < hi; ++i) {
    if (rows.weight && rows.weight[i] == 0) continue;
    const XT* src = rows.x + i * rows.row_stride;
    index[live] = i;
    x[live] = rows.col_stride == 1 ? src : packed + live * rows.d;
    ++live;
  }
  if (rows.col_stride != 1)  // features outside: F-ordered X is then read along its columns
    for (int64_t j = 0; j < rows.d; ++j)
      for (int r = 0; r < live; ++r)
        packed[r * rows.d + j] = rows.x[index[r] * rows.row_stride + j * rows.col_stride];
  return live;
}

template <class XT, class CT>
void fused(const Rows<XT>& rows, const Model<CT>& model, int64_t lo, int64_t hi,
           const Scratch<XT, CT>& scratch, Accumulator& acc) {
  constexpr int L = kLanes<CT>;
  const XT* x[kBlock];
  int64_t index[kBlock];
  const int kp = model.kp;
  for (int64_t start = lo; start < hi; start += kBlock) {
    const int live = gather(rows, start, start + kBlock < hi ? start + kBlock : hi, scratch.packed, x, index);
    int c = 0;
    for (; c + 2 * L <= kp; c += 2 * L) logits_block<XT, CT, 2>(x, live, rows.d, model, c, scratch.logits);
    for (; c < kp; c += L) logits_block<XT, CT, 1>(x, live, rows.d, model, c, scratch.logits);

    Tally tally;
    for (int r = 0; r < live; ++r) {
      const int64_t i = index[r], y = rows.y[i];
      if (y < 0 || y >= model.k) {
        acc.bad_row = i;
        return;
      }
      const double s = rows.weight ? rows.weight[i] : 1.0;
      CT* z = scratch.logits + r * kp;
      softmax_row(z, kp, y, s, tally);
      for (int v = 0; v < kp; ++v) acc.grad_b[v] += (double)z[v];
    }
    acc.tally.add(tally);
    if (!acc.grad_wt) continue;
    for (c = 0; c + 2 * L <= kp; c += 2 * L)
      gradient_block<XT, CT, 2>(x, live, rows.d, scratch.logits, kp, c, acc.grad_wt);
    for (; c < kp; c += L) gradient_block<XT, CT, 1>(x, live, rows.d, scratch.logits, kp, c, acc.grad_wt);
  }
}

template <class CT>
void softmax(CT* z, int64_t stride, int k, const int64_t* y, const double* weight, int64_t lo, int64_t hi,
             Accumulator& acc) {
  for (int64_t start = lo; start < hi; start += kBlock) {
    Tally tally;
    for (int64_t i = start; i < hi && i < start + kBlock; ++i) {
      const double s = weight ? weight[i] : 1.0;
      CT* row = z + i * stride;
      if (s == 0) {
        for (int j = 0; j < k; ++j) row[j] = 0;
        continue;
      }
      if (y[i] < 0 || y[i] >= k) {
        acc.bad_row = i;
        return;
      }
      softmax_row(row, k, y[i], s, tally);
    }
    acc.tally.add(tally);
  }
}

}  // namespace

const Kernels& XENT_CAT(kernels_, XENT_ISA)() {
  static const Kernels table = {XENT_STR(XENT_ISA),    kLanes<float>,         kLanes<double>,
                                fused<float, float>,   fused<float, double>,  fused<double, double>,
                                softmax<float>,        softmax<double>};
  return table;
}

}  // namespace xent
