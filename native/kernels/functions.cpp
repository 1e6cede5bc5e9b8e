// The softmax along any axis, compiled once per instruction set as rows.cpp is.
//
// A row is read once, into scratch memory that stays in cache, and written once, whatever its strides and its storage.
// In between, either a row lies along the vectors, or, where rows are short or lie side by side, as many rows as there are
// lanes do: then no lane idles and nothing is summed across lanes. Which of the two depends on the shape alone, and rows do
// not meet: the same bits for any number of threads.
//
// With m the largest of a row, R = sum_{z_c < m} exp(z_c - m) + (how many are m) - 1, which is what softmax.hpp sums and needs
// no place of the largest. NaN, +inf and rows of nothing but -inf come out as in xent.reference without a branch: where all
// are -inf, R is -1 and p is 0/0; where m is +inf, it has NaN and all others 0.
#include "functions.hpp"

#include <type_traits>

#include "gather.hpp"
#include "interface.hpp"  // for rowwise.hpp
#include "rowwise.hpp"

#define XENT_CAT_(a, b) a##b
#define XENT_CAT(a, b) XENT_CAT_(a, b)

namespace xent {
namespace {

template <class XT> using Compute = std::conditional_t<sizeof(XT) == 8, double, float>;

constexpr int64_t kTileBytes = 1536 << 10;  // of scratch memory, where it can be chosen
constexpr int kMostColumns = 64;
constexpr int kShort = 8;  // vectors in a row that is better turned than summed across lanes

XENT_INLINE void put(Half* p, Vec<float> v) {  // to nearest even, subnormal results too; a NaN stays one
#if defined(__AVX512F__)
  const HalfBits bits = (HalfBits)_mm512_maskz_cvtps_ph(0xffff, (__m512)v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
#elif defined(__AVX2__)
  const HalfBits bits = (HalfBits)_mm256_cvtps_ph((__m256)v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
#else
  const FloatBits u = (FloatBits)v, sign = u & 0x80000000u, size = u ^ sign;
  // A sum with 2^-1 rounds what is below the normal numbers to their last place, 2^-24.
  const FloatBits small = (FloatBits)((Vec<float>)size + 0.5f) - 0x3f000000u;
  const FloatBits normal = (size - (112u << 23) + 0xfff + ((size >> 13) & 1)) >> 13;
  const FloatBits large = (FloatBits)(size > 0x7f800000u) & 0x200u;
  const FloatBits found = size >= (143u << 23) ? large | 0x7c00u : size < (113u << 23) ? small : normal;
  const HalfBits bits = __builtin_convertvector(found | (sign >> 16), HalfBits);
#endif
  __builtin_memcpy(p, &bits, sizeof bits);
}

// How many rows are worked on side by side; 0: one at a time.
template <class CT> int columns_of(int64_t n, int64_t classes, int64_t step) {
  constexpr int L = kLanes<CT>, line = kAlign / sizeof(CT);
  if (2 * n < L || (step == 1 && classes > kShort * L)) return 0;
  const int64_t fit = kTileBytes / (classes * (int64_t)sizeof(CT)) / line * line, all = (n + line - 1) / line * line;
  const int64_t most = fit < kMostColumns ? fit : kMostColumns;
  return (int)(all < most ? all : most < line ? line : most);
}

template <class CT> constexpr int64_t whole_vectors(int64_t count) { return (count + kLanes<CT> - 1) / kLanes<CT> * kLanes<CT>; }

// A vector more: read_row may write so far.
template <class CT> int64_t tile_numbers(int64_t classes, int width) {
  return (width ? classes * width : whole_vectors<CT>(classes)) + kLanes<CT>;
}

template <class XT> int64_t scratch_bytes(const Rows<const XT>& z, bool soft) {
  typedef Compute<XT> CT;
  const int width = columns_of<CT>(z.n, z.classes, z.step);
  return tile_numbers<CT>(z.classes, width) * (int64_t)(sizeof(CT) + soft * sizeof(double));
}

template <class XT> int64_t together(const Rows<const XT>& z) {
  const int width = columns_of<Compute<XT>>(z.n, z.classes, z.step);
  return width ? width : 1;
}

// The rows of a vector, or, Across, one row: the largest, and R.
template <class CT> struct Scan {
  Vec<CT> peak;
  Vec<double> rest[kWide<CT>];
};

template <bool Across> XENT_INLINE void add_lanes(Vec<double>* v, int count) {
  if (!Across) return;
  double sum = 0;
  for (int h = 0; h < count; ++h) sum += horizontal_sum(v[h]);
  for (int h = 0; h < count; ++h) v[h] = sum + Vec<double>{};
}

// `count` vectors, `ld` apart; with Keep they become exp(z - m).
template <class CT, bool Across, bool Keep> XENT_INLINE Scan<CT> scan(CT* z, int64_t ld, int64_t count) {
  constexpr int H = kWide<CT>, chains = 4;  // that many comparisons wait for each other no longer
  Vec<CT> peaks[chains];
  for (int j = 0; j < chains; ++j) peaks[j] = Vec<CT>{} - (CT)__builtin_inff();
  int64_t c = 0;
  for (; c + chains <= count; c += chains) XENT_UNROLL for (int j = 0; j < chains; ++j) {
      const Vec<CT> v = load(z + (c + j) * ld);
      peaks[j] = v > peaks[j] ? v : peaks[j];
    }
  for (; c < count; ++c) {
    const Vec<CT> v = load(z + c * ld);
    peaks[0] = v > peaks[0] ? v : peaks[0];
  }
  for (int j = 1; j < chains; ++j) peaks[0] = peaks[j] > peaks[0] ? peaks[j] : peaks[0];
  Scan<CT> found{peaks[0], {}};
  if (Across) {
    CT peak = peaks[0][0];
    for (int i = 1; i < kLanes<CT>; ++i) peak = peaks[0][i] > peak ? peaks[0][i] : peak;
    found.peak = peak + Vec<CT>{};
  }
  const Vec<CT> m = finite_or_zero<CT>(found.peak);
  WideSum<CT> rest, ties;
  for (int64_t c0 = 0; c0 < count; c0 += kFlush) {
    for (c = c0; c < count && c < c0 + kFlush; ++c) {
      const Vec<CT> v = load(z + c * ld), e = exp_shifted<CT>(v, m);
      const IVec<CT> tie = v == m;
      rest.part += tie ? Vec<CT>{} : e;
      ties.part += tie ? Vec<CT>{} + 1 : Vec<CT>{};
      if (Keep) store(z + c * ld, e);
    }
    rest.flush();
    ties.flush();
  }
  add_lanes<Across>(rest.total, H);
  add_lanes<Across>(ties.total, H);
  for (int h = 0; h < H; ++h) found.rest[h] = rest.total[h] + (ties.total[h] - 1);
  return found;
}

template <class CT> XENT_INLINE Vec<CT> narrowed(const Vec<double>* v) {
  double numbers[kLanes<CT>];
  store_wide<CT>(numbers, v);
  return narrow<CT>(numbers);
}

// What a vector of scratch memory becomes: exp(z - m) / (1 + R), or (z - m) - log1p(R).
template <class CT, bool Logs> struct Finish {
  Vec<CT> peak, by;
  Finish() = default;
  explicit Finish(const Scan<CT>& s) : peak(s.peak) {
    Vec<double> v[kWide<CT>];
    for (int h = 0; h < kWide<CT>; ++h) v[h] = Logs ? log1p_nonnegative<CT>(s.rest[h]) : 1 / (1 + s.rest[h]);
    by = narrowed<CT>(v);
  }
  XENT_INLINE Vec<CT> operator()(Vec<CT> v) const { return Logs ? (v - peak) - by : v * by; }
};

template <bool Logs, class XT, class CT>
void normalise_row(const XT* z, int64_t step, int64_t classes, XT* out, int64_t out_step, CT* row) {
  constexpr int L = kLanes<CT>;
  read_row<CT>(z, step, classes, row, -(CT)__builtin_inff(), L);
  const Finish<CT, Logs> finish(scan<CT, true, !Logs>(row, L, (classes + L - 1) / L));
  if (out_step == 1 && classes >= L) {  // the last vector may write some numbers again
    for (int64_t c = 0; c + L <= classes; c += L) put(out + c, finish(load(row + c)));
    put(out + classes - L, finish(load(row + classes - L)));
    return;
  }
  for (int64_t c = 0; c < classes; c += L) {
    XT end[L];
    put(end, finish(load(row + c)));
    for (int i = 0; i < L && c + i < classes; ++i) out[(c + i) * out_step] = end[i];
  }
}

template <bool Logs, class XT, class CT>
void write_columns(CT* tile, int64_t ld, int64_t classes, int live, XT* out, const int64_t* base, int64_t step) {
  constexpr int L = kLanes<CT>;
  const int groups = (live + L - 1) / L;
  Finish<CT, Logs> finish[kMostColumns / L];
  for (int g = 0; g < groups; ++g) finish[g] = Finish<CT, Logs>(scan<CT, false, !Logs>(tile + g * L, ld, classes));
  const int together = side_by_side(base, live) ? live / L : 0;
  for (int64_t c = 0; together && c < classes; ++c) {
    ask_for<true>(out + base[0] + (c + kAhead) * step, c + kAhead < classes ? live : 0);
    for (int g = 0; g < together; ++g) put(out + base[0] + c * step + g * L, finish[g](load(tile + c * ld + g * L)));
  }
  for (int g = together; g < groups; ++g) {
    const int64_t* const at = base + g * L;
    const int count = live - g * L < L ? live - g * L : L;
    const int64_t turned = step == 1 && count == L ? classes / L * L : 0;
    for (int64_t c = 0; c < turned; c += L) {
      Vec<CT> v[L];
      for (int i = 0; i < L; ++i) v[i] = finish[g](load(tile + (c + i) * ld + g * L));
      Transpose<CT, L>::eval(v);
      for (int i = 0; i < L; ++i) put(out + at[i] + c, v[i]);
    }
    for (int64_t c = turned; c < classes; ++c) {
      XT end[L];
      put(end, finish[g](load(tile + c * ld + g * L)));
      for (int r = 0; r < count; ++r) out[at[r] + c * step] = end[r];
    }
  }
}

template <bool Logs, class XT>
void normalise_rows(const Rows<const XT>& z, const Rows<XT>& out, int64_t lo, int64_t hi, void* scratch) {
  typedef Compute<XT> CT;
  constexpr int L = kLanes<CT>;
  CT* const tile = static_cast<CT*>(scratch);
  const int width = columns_of<CT>(z.n, z.classes, z.step);
  int64_t from[kMaxRows], to[kMaxRows];
  for (int64_t start = lo; start < hi;) {
    const int64_t most = width ? width : kMaxRows;
    const int live = (int)(hi - start < most ? hi - start : most);
    // The last few, which would leave lanes idle for long, go one at a time.
    const int columns = !width ? 0 : z.classes > 4 * L ? live / L * L : live;
    find(z, start, live, from);
    find(out, start, live, to);
    if (columns) {
      read_columns<CT>(z.p, from, columns, z.step, z.classes, tile, width, -(CT)__builtin_inff(), L);
      write_columns<Logs>(tile, width, z.classes, columns, out.p, to, out.step);
    }
    for (int r = columns; r < live; ++r) normalise_row<Logs>(z.p + from[r], z.step, z.classes, out.p + to[r], out.step, tile);
    start += live;
  }
}

template <class XT>
void normalise(const Rows<const XT>& z, const Rows<XT>& out, bool logs, int64_t lo, int64_t hi, void* scratch) {
  if (logs) normalise_rows<true>(z, out, lo, hi, scratch);
  else normalise_rows<false>(z, out, lo, hi, scratch);
}

// Of a target q: its sum, its least, and sum q_c (m - z_c), where q_c = 0 counts 0 whatever the logit.
template <class CT> struct Soft {
  Vec<double> sum[kWide<CT>]{}, least[kWide<CT>]{}, gap[kWide<CT>]{};
};
template <class CT, bool Across> XENT_INLINE Soft<CT> scan_soft(const CT* z, const double* q, int64_t ld, int64_t count,
                                                                Vec<CT> peak) {
  constexpr int H = kWide<CT>;
  Soft<CT> found;
  Vec<double> m[H], v[H];
  widen<CT>(m, peak);
  for (int64_t c = 0; c < count; ++c) {
    widen<CT>(v, load(z + c * ld));
    for (int h = 0; h < H; ++h) {
      const Vec<double> share = load(q + c * ld + h * kLanes<double>);
      found.sum[h] += share;
      found.least[h] = share < found.least[h] ? share : found.least[h];
      found.gap[h] += share == 0 ? Vec<double>{} : share * (m[h] - v[h]);
    }
  }
  add_lanes<Across>(found.sum, H);
  add_lanes<Across>(found.least, H);  // none is above 0: the sum is negative where one is
  add_lanes<Across>(found.gap, H);
  return found;
}

// The losses of the rows of a vector or, Across, of one: those of labels from the logits `at` them, else from rows q.
template <class CT, bool Across>
int evaluate(CT* z, const double* q, int64_t ld, int64_t count, int live, const CT* at, double slack, double* losses) {
  constexpr int H = kWide<CT>, L = kLanes<CT>;
  const Scan<CT> row = scan<CT, Across, false>(z, ld, count);
  Vec<double> gap[H], share[H];
  int bad = live;
  if (at) {
    Vec<double> m[H];
    widen<CT>(m, row.peak);
    widen<CT>(gap, load(at));
    for (int h = 0; h < H; ++h) gap[h] = m[h] - gap[h], share[h] = Vec<double>{} + 1;
  } else {
    const Soft<CT> soft = scan_soft<CT, Across>(z, q, ld, count, row.peak);
    double sum[L], least[L];
    store_wide<CT>(sum, soft.sum);
    store_wide<CT>(least, soft.least);
    for (int r = live - 1; slack > 0 && r >= 0; --r)
      if (!(least[r] >= 0 && __builtin_fabs(sum[r] - 1) <= slack)) bad = r;
    for (int h = 0; h < H; ++h) gap[h] = soft.gap[h], share[h] = soft.sum[h];
  }
  double found[L];
  for (int h = 0; h < H; ++h) gap[h] += share[h] * log1p_nonnegative<CT>(row.rest[h]);
  store_wide<CT>(found, gap);
  for (int r = 0; r < live; ++r) losses[r] = found[r];
  return bad;
}

template <class XT, class QT>
int64_t losses_of(const Rows<const XT>& z, const Rows<const QT>* soft, const RowTargets& targets, double* out, int64_t lo,
                  int64_t hi, void* scratch) {
  typedef Compute<XT> CT;
  constexpr int L = kLanes<CT>;
  const int width = columns_of<CT>(z.n, z.classes, z.step);
  double* const q = static_cast<double*>(scratch);
  CT* const tile = reinterpret_cast<CT*>(q + (soft ? tile_numbers<CT>(z.classes, width) : 0));
  int64_t index[kMaxRows], from[kMaxRows], given[kMaxRows];
  for (int64_t start = lo; start < hi;) {
    const int64_t most = width ? width : kMaxRows;
    const int count = (int)(hi - start < most ? hi - start : most);
    find(z, start, count, from);
    if (soft) find(*soft, start, count, given);
    int live = 0;
    for (int r = 0; r < count; ++r) {
      const int64_t i = start + r;
      out[i] = 0;
      if (targets.weight && targets.weight[i] == 0) continue;
      if (!soft && (uint64_t)targets.label[i] >= (uint64_t)z.classes) return i;
      from[live] = from[r];
      if (soft) given[live] = given[r];
      index[live++] = i;
    }
    start += count;
    if (width && live) {
      read_columns<CT>(z.p, from, live, z.step, z.classes, tile, width, -(CT)__builtin_inff(), L);
      if (soft) read_columns(soft->p, given, live, soft->step, z.classes, q, width, 0.0, L);
    }
    for (int g = 0; g < live; g += width ? L : 1) {
      const int together = !width ? 1 : live - g < L ? live - g : L;
      if (!width) {
        read_row<CT>(z.p + from[g], z.step, z.classes, tile, -(CT)__builtin_inff(), L);
        if (soft) read_row(soft->p + given[g], soft->step, z.classes, q, 0.0, L);
      }
      CT at[L] = {};
      for (int r = 0; !soft && r < together; ++r) {
        const int64_t label = targets.label[index[g + r]];
        at[r] = width ? tile[label * width + g + r] : tile[label];
      }
      double found[L];
      const int bad = width
                          ? evaluate<CT, false>(tile + g, q + g, width, z.classes, together, soft ? nullptr : at, targets.slack,
                                                found)
                          : evaluate<CT, true>(tile, q, L, (z.classes + L - 1) / L, 1, soft ? nullptr : at, targets.slack, found);
      if (bad < together) return index[g + bad];
      for (int r = 0; r < together; ++r) out[index[g + r]] = found[r];
    }
  }
  return -1;
}

template <class XT>
int64_t losses(const Rows<const XT>& z, const RowTargets& targets, double* out, int64_t lo, int64_t hi, void* scratch) {
  if (targets.soft_d.p) return losses_of(z, &targets.soft_d, targets, out, lo, hi, scratch);
  return losses_of(z, targets.soft_f.p ? &targets.soft_f : nullptr, targets, out, lo, hi, scratch);
}

template <class XT> constexpr FunctionKernels<XT> functions() {
  return {scratch_bytes<XT>, together<XT>, normalise<XT>, losses<XT>};
}

}  // namespace

const Functions& XENT_CAT(functions_, XENT_ISA)() {
  static const Functions table = {functions<double>(), functions<float>(), functions<Half>(), functions<BFloat16>()};
  return table;
}

}  // namespace xent
