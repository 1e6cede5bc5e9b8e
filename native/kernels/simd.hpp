// Vectors of XENT_VECTOR bytes and the elementary functions on them.
//
// kernels/ is compiled once per instruction set, and nothing outside includes its headers: all that is in them lives in
// an unnamed namespace, since the linker would be free to keep the AVX-512 copy of an inline function for everybody.
#pragma once
#include <cstdint>
#if defined(__AVX2__)
#include <immintrin.h>
#endif

#include "types.hpp"

namespace xent {
namespace {

#define XENT_INLINE inline __attribute__((always_inline))
#define XENT_UNROLL _Pragma("GCC unroll 32")  // tiles must stay in registers

// f.template operator()<N>() for a number of 1..Most known at run time.
template <int Most, class F> XENT_INLINE void with_constant(int n, F&& f) {
  if constexpr (Most > 1)
    if (n < Most) return with_constant<Most - 1>(n, f);
  f.template operator()<Most>();
}

// [0, total) in the fewest pieces of at most Most, as even as can be: 26 = 13 + 13.
template <int Most, class F> XENT_INLINE void in_pieces(int total, F&& f) {
  const int pieces = (total + Most - 1) / Most;
  for (int p = 0, from = 0; p < pieces; ++p) {
    const int to = (int64_t)total * (p + 1) / pieces;
    with_constant<Most>(to - from, [&]<int N>() { f.template operator()<N>(from); });
    from = to;
  }
}

template <class T> struct Real;
template <> struct Real<float> {
  typedef int32_t Int;
  typedef float Vec __attribute__((vector_size(XENT_VECTOR)));
  typedef int32_t IVec __attribute__((vector_size(XENT_VECTOR)));
  typedef uint32_t UVec __attribute__((vector_size(XENT_VECTOR)));
  static constexpr float log2e = 1.44269504f, ln2_hi = 0.693145752f, ln2_lo = 1.42860682e-6f;
  static constexpr float magic = 12582912.f, least = -103.97208f;
  static constexpr int mantissa = 23, bias = 127, degree = 7;
};
template <> struct Real<double> {
  typedef int64_t Int;
  typedef double Vec __attribute__((vector_size(XENT_VECTOR)));
  typedef int64_t IVec __attribute__((vector_size(XENT_VECTOR)));
  typedef uint64_t UVec __attribute__((vector_size(XENT_VECTOR)));
  static constexpr double log2e = 1.4426950408889634, ln2_hi = 0.69314718036912382;
  static constexpr double ln2_lo = 1.9082149292705877e-10, magic = 6755399441055744., least = -745.13321910194122;
  static constexpr int mantissa = 52, bias = 1023, degree = 13;
};
template <class T> using Vec = typename Real<T>::Vec;
template <class T> using IVec = typename Real<T>::IVec;
template <class T> using Int = typename Real<T>::Int;
template <class T> constexpr int kLanes = XENT_VECTOR / sizeof(T);
constexpr int kRegisters = XENT_VECTOR == 64 ? 32 : 16;

// float32 rows keep their scalars in double: one vector of T is then kWide<T> vectors of double.
template <class T> constexpr int kWide = sizeof(double) / sizeof(T);

template <class T> XENT_INLINE Vec<T> load(const T* p) {
  Vec<T> v;
  __builtin_memcpy(&v, p, sizeof v);
  return v;
}
template <class T> XENT_INLINE IVec<T> load_int(const Int<T>* p) {
  IVec<T> v;
  __builtin_memcpy(&v, p, sizeof v);
  return v;
}
template <class T> XENT_INLINE void store(T* p, Vec<T> v) { __builtin_memcpy(p, &v, sizeof v); }
template <class T> XENT_INLINE void store_int(Int<T>* p, IVec<T> v) { __builtin_memcpy(p, &v, sizeof v); }

// lanes<CT>(p): the next kLanes<CT> numbers of storage type XT, widened in registers.
typedef uint16_t HalfBits __attribute__((vector_size(XENT_VECTOR / 2)));
typedef uint32_t FloatBits __attribute__((vector_size(XENT_VECTOR)));
XENT_INLINE Vec<float> from_bfloat16(HalfBits v) { return (Vec<float>)(__builtin_convertvector(v, FloatBits) << 16); }
XENT_INLINE Vec<float> from_half(HalfBits v) {
#if defined(__AVX512F__)
  return (Vec<float>)_mm512_maskz_cvtph_ps(0xffff, (__m256i)v);
#elif defined(__AVX2__)
  return (Vec<float>)_mm256_cvtph_ps((__m128i)v);
#else  // move the fields, let a product with 2^112 rebias the exponent (it also makes subnormals normal)
  FloatBits h = __builtin_convertvector(v, FloatBits), magnitude = (h & 0x7fff) << 13;
  FloatBits special = (FloatBits)(magnitude >= (0x7c00u << 13)) & 0x7f800000u;
  Vec<float> scaled = (Vec<float>)magnitude * 0x1p112f;
  return (Vec<float>)((FloatBits)scaled | special | ((h & 0x8000) << 16));
#endif
}
typedef float FloatHalf __attribute__((vector_size(XENT_VECTOR / 2)));
template <int W> XENT_INLINE FloatHalf part_of(Vec<float> v) {  // by shuffles: through memory GCC 12 spills whole tiles
#if XENT_VECTOR == 64
  return __builtin_shufflevector(v, v, 8 * W, 8 * W + 1, 8 * W + 2, 8 * W + 3, 8 * W + 4, 8 * W + 5, 8 * W + 6, 8 * W + 7);
#elif XENT_VECTOR == 32
  return __builtin_shufflevector(v, v, 4 * W, 4 * W + 1, 4 * W + 2, 4 * W + 3);
#else
  return __builtin_shufflevector(v, v, 2 * W, 2 * W + 1);
#endif
}
XENT_INLINE Vec<float> join(FloatHalf low, FloatHalf high) {
#if XENT_VECTOR == 64
  return __builtin_shufflevector(low, high, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
#elif XENT_VECTOR == 32
  return __builtin_shufflevector(low, high, 0, 1, 2, 3, 4, 5, 6, 7);
#else
  return __builtin_shufflevector(low, high, 0, 1, 2, 3);
#endif
}
template <int W> XENT_INLINE Vec<double> wide(Vec<float> v) { return __builtin_convertvector(part_of<W>(v), Vec<double>); }
template <int W> XENT_INLINE Vec<double> wide(Vec<double> v) { return v; }

template <class CT> struct Lanes;
template <> struct Lanes<float> {
  static XENT_INLINE Vec<float> get(const float* p) { return load(p); }
  static XENT_INLINE Vec<float> get(const Half* p) {
    HalfBits v;
    __builtin_memcpy(&v, p, sizeof v);
    return from_half(v);
  }
  static XENT_INLINE Vec<float> get(const BFloat16* p) {
    HalfBits v;
    __builtin_memcpy(&v, p, sizeof v);
    return from_bfloat16(v);
  }
};
template <> struct Lanes<double> {
  static XENT_INLINE Vec<double> get(const double* p) { return load(p); }
  static XENT_INLINE Vec<double> get(const float* p) {
    FloatHalf v;
    __builtin_memcpy(&v, p, sizeof v);
    return __builtin_convertvector(v, Vec<double>);
  }
  static XENT_INLINE Vec<double> get(const Half* p) {
    HalfBits v{};
    __builtin_memcpy(&v, p, sizeof v / 2);
    return wide<0>(from_half(v));
  }
  static XENT_INLINE Vec<double> get(const BFloat16* p) {
    HalfBits v{};
    __builtin_memcpy(&v, p, sizeof v / 2);
    return wide<0>(from_bfloat16(v));
  }
};
template <class CT, class XT> XENT_INLINE Vec<CT> lanes(const XT* p) { return Lanes<CT>::get(p); }

XENT_INLINE double number(double v) { return v; }
XENT_INLINE float number(float v) { return v; }
XENT_INLINE float number(BFloat16 v) { return __builtin_bit_cast(float, uint32_t(v.bits) << 16); }
XENT_INLINE float number(Half v) { return from_half(HalfBits{v.bits})[0]; }

// The lanes of v from `first` on, zeros before.
template <class T> XENT_INLINE Vec<T> lanes_from(Vec<T> v, int first) {
  IVec<T> lane;
  for (int i = 0; i < kLanes<T>; ++i) lane[i] = i;
  return lane >= (Int<T>)first ? v : Vec<T>{};
}

template <class T> XENT_INLINE Vec<T> zip_low(Vec<T> a, Vec<T> b);
template <class T> XENT_INLINE Vec<T> zip_high(Vec<T> a, Vec<T> b);
#define XENT_ZIP(T, N, LOW, HIGH)                                                                              \
  template <> XENT_INLINE Vec<T> zip_low<T>(Vec<T> a, Vec<T> b) { return __builtin_shufflevector(a, b, LOW); } \
  template <> XENT_INLINE Vec<T> zip_high<T>(Vec<T> a, Vec<T> b) { return __builtin_shufflevector(a, b, HIGH); }
#define XENT_LIST(...) __VA_ARGS__
#if XENT_VECTOR == 64
XENT_ZIP(float, 16, XENT_LIST(0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23),
         XENT_LIST(8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31))
XENT_ZIP(double, 8, XENT_LIST(0, 8, 1, 9, 2, 10, 3, 11), XENT_LIST(4, 12, 5, 13, 6, 14, 7, 15))
#elif XENT_VECTOR == 32
XENT_ZIP(float, 8, XENT_LIST(0, 8, 1, 9, 2, 10, 3, 11), XENT_LIST(4, 12, 5, 13, 6, 14, 7, 15))
XENT_ZIP(double, 4, XENT_LIST(0, 4, 1, 5), XENT_LIST(2, 6, 3, 7))
#else
XENT_ZIP(float, 4, XENT_LIST(0, 4, 1, 5), XENT_LIST(2, 6, 3, 7))
XENT_ZIP(double, 2, XENT_LIST(0, 2), XENT_LIST(1, 3))
#endif

// Lane l of the result is the sum of the lanes of v[l].
template <class T, int N> struct SumLanes {
  static XENT_INLINE Vec<T> eval(Vec<T>* v) {
    for (int i = 0; i < N / 2; ++i) v[i] = zip_low<T>(v[i], v[i + N / 2]) + zip_high<T>(v[i], v[i + N / 2]);
    return SumLanes<T, N / 2>::eval(v);
  }
};
template <class T> struct SumLanes<T, 1> {
  static XENT_INLINE Vec<T> eval(Vec<T>* v) { return v[0]; }
};

// v[i][j] becomes v[j][i], by log2(lanes) perfect shuffles.
template <class T, int Steps> struct Transpose {
  static XENT_INLINE void eval(Vec<T>* v) {
    constexpr int L = kLanes<T>;
    Vec<T> out[L];
    for (int i = 0; i < L / 2; ++i) {
      out[2 * i] = zip_low<T>(v[i], v[i + L / 2]);
      out[2 * i + 1] = zip_high<T>(v[i], v[i + L / 2]);
    }
    for (int i = 0; i < L; ++i) v[i] = out[i];
    Transpose<T, Steps / 2>::eval(v);
  }
};
template <class T> struct Transpose<T, 1> {
  static XENT_INLINE void eval(Vec<T>*) {}
};

XENT_INLINE double horizontal_sum(Vec<double> v) {
  double s = 0;
  for (int i = 0; i < kLanes<double>; ++i) s += v[i];
  return s;
}

constexpr double inverse_factorial(int n) { return n <= 1 ? 1.0 : inverse_factorial(n - 1) / n; }
template <class T, int N> struct Taylor {  // sum_{j>=0} r^j / (j+at)!, by Horner
  static XENT_INLINE Vec<T> eval(Vec<T> r, Vec<T> acc) { return Taylor<T, N - 1>::eval(r, acc * r + T(inverse_factorial(N))); }
};
template <class T> struct Taylor<T, -1> {
  static XENT_INLINE Vec<T> eval(Vec<T>, Vec<T> acc) { return acc; }
};

// exp(x) = 2^n exp(r), |r| <= ln2/2, for x <= 0 (a shifted logit): ln2 in two parts so that n*hi is exact,
// rounding to n by adding a number. Taylor to r^7 (float) and r^13 (double) leaves 5e-9 and 4e-18, under a
// tenth of an ulp. NaN stays, -inf gives 0, subnormal results stay: the power of two is multiplied in in two steps.
// Where x < least, n is noise and the result is thrown away: unsigned arithmetic keeps the noise defined.
template <class T> XENT_INLINE Vec<T> exp_nonpositive(Vec<T> x) {
  typedef Real<T> R;
  typedef typename R::UVec UVec;
  Vec<T> t = x * R::log2e + R::magic;
  Vec<T> whole = t - R::magic;
  Vec<T> r = (x - whole * R::ln2_hi) - whole * R::ln2_lo;
  IVec<T> n = (IVec<T>)((UVec)t - (UVec)(R::magic + Vec<T>{}));
  Vec<T> p = Taylor<T, R::degree - 1>::eval(r, T(inverse_factorial(R::degree)) + Vec<T>{});
  IVec<T> low = IVec<T>{} + (1 - R::bias);
  IVec<T> n1 = n > low ? n : low, n2 = (IVec<T>)((UVec)n - (UVec)n1);
  Vec<T> scaled = p * (Vec<T>)(((UVec)n1 + R::bias) << R::mantissa) *
                  (Vec<T>)(((UVec)(n2 > low ? n2 : low) + R::bias) << R::mantissa);
  return x < R::least ? Vec<T>{} : scaled;
}

// exp(z - m) for z <= m. The difference is rounded by up to half an ulp of |z - m|, which exp would turn
// into a relative error of that size (2e-6 at a gap of 36 in float32): what was lost is put back.
template <class T> XENT_INLINE Vec<T> exp_shifted(Vec<T> z, Vec<T> m) {
  Vec<T> d = z - m, back = d - z;
  Vec<T> lost = (z - (d - back)) - (m + back);  // D. Knuth's TwoSum, exact
  Vec<T> e = exp_nonpositive<T>(d);
  return e + e * (d > Real<T>::least ? lost : Vec<T>{});
}

// log(1 + r) for r >= 0: 1 + r = 2^e m with m in [sqrt(1/2), sqrt(2)), f = m - 1 with the rounding of 1 + r
// put back, log(1 + f) = 2 artanh(f / (2 + f)), |f / (2 + f)| <= 0.172. Relative to the result, down to the smallest r:
// a few 1e-16, or, where r came from float32 logits, 2e-10.
template <class T> XENT_INLINE Vec<double> log1p_nonnegative(Vec<double> r) {
  constexpr int degree = sizeof(T) == 8 ? 23 : 11;
  typedef IVec<double> I;
  Vec<double> u = 1 + r, back = u - 1;
  Vec<double> lost = (1 - (u - back)) + (r - back);
  typedef Real<double>::UVec U;
  I e = (I)((U)u - 0x3fe6a09e667f3bcdull) >> 52;
  Vec<double> scale = (Vec<double>)((1023 - (U)e) << 52);
  Vec<double> whole = (Vec<double>)(e + 0x4338000000000000ll) - Real<double>::magic;  // e as a double
  Vec<double> f = (u * scale - 1) + lost * scale;
  Vec<double> s = f / (2 + f), q = s * s, series = Vec<double>{} + 1.0 / degree;
  for (int j = degree - 2; j >= 3; j -= 2) series = series * q + 1.0 / j;
  Vec<double> log_f = 2 * s + 2 * s * (q * series);
  return whole * Real<double>::ln2_hi + (log_f + whole * Real<double>::ln2_lo);
}

}  // namespace
}  // namespace xent
