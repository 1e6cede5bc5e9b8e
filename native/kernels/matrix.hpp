// Matrix products of tiles: C (m, n) = A (m, k) B (k, n), or C += A B, by one thread.
//
// Why not BLAS: on processors that are not Intel's MKL and OpenBLAS reach half of AVX-512's speed, and the order in which
// they add up an element depends on the shape of the whole, so that a row's bits would depend on the batch that it sits in.
// Here an element is summed in the order of k, in pieces of kDepth, wherever it stands.
//
// Design: A in panels of kPanel rows and B in panels of kVectors vectors, both packed along k, filled up with zeros and
// converted on the way; C in registers, kTileRows × kVectors vectors of it at a time. Source: K. Goto, R. van de Geijn,
// ACM Trans. Math. Softw. 34 (2008).
#pragma once
#include "simd.hpp"
#include "interface.hpp"

namespace xent {
namespace {

constexpr int kTileRows = XENT_VECTOR == 64 ? 8 : 4;
constexpr int kVectors = 3;
constexpr int64_t kDepth = 384;     // operands along k at a time
constexpr int64_t kHeight = 256;    // rows of A packed at a time
constexpr int64_t kBreadth = 1536;  // columns of B packed at a time

// Operands are numbers in the type that sums are in, or pairs of bfloat16, neighbours along k, in a word as wide as a float.
struct Pair {
  uint32_t bits;
};
template <class OT> struct Operand {
  typedef OT Sum;
  static constexpr int depth = 1;  // how much of k one holds
  static XENT_INLINE Vec<OT> multiply(Vec<OT> sum, OT a, Vec<OT> b) { return sum + a * b; }
};
template <> struct Operand<Pair> {
  typedef float Sum;
  static constexpr int depth = 2;
#if defined(__AVX512BF16__)
  static XENT_INLINE Vec<float> multiply(Vec<float> sum, float a, Vec<float> b) {
    return (Vec<float>)_mm512_dpbf16_ps((__m512)sum, (__m512bh)(a + Vec<float>{}), (__m512bh)b);
  }
#endif
};
template <class OT> using SumOf = typename Operand<OT>::Sum;
template <class OT> constexpr int kPanel = kLanes<SumOf<OT>> > kTileRows ? kLanes<SumOf<OT>> : kTileRows;

// A vector of operands from x: `along` k, or across it, where the next along k is `next` further.
template <class OT, class XT> struct Fetch {
  static XENT_INLINE Vec<OT> along(const XT* x) { return lanes<OT>(x); }
  static XENT_INLINE Vec<OT> across(const XT* x, int64_t) { return lanes<OT>(x); }
};
#if defined(__AVX512BF16__)
typedef uint32_t Words __attribute__((vector_size(XENT_VECTOR)));
XENT_INLINE Vec<float> pairs_of(Vec<float> even, Vec<float> odd) {  // the upper halves of both
  return (Vec<float>)(((Words)even >> 16) | ((Words)odd & 0xffff0000u));
}
XENT_INLINE Vec<float> rounded(Vec<float> v) {  // to bfloat16
  return (Vec<float>)(__builtin_convertvector((HalfBits)_mm512_cvtneps_pbh((__m512)v), Words) << 16);
}
template <> struct Fetch<Pair, BFloat16> {
  static XENT_INLINE Vec<float> along(const BFloat16* x) {
    Vec<float> v;
    __builtin_memcpy(&v, x, sizeof v);
    return v;
  }
  static XENT_INLINE Vec<float> across(const BFloat16* x, int64_t next) {
    return pairs_of(lanes<float>(x), lanes<float>(x + next));
  }
};
template <> struct Fetch<Pair, float> {
  static XENT_INLINE Vec<float> along(const float* x) {
    return (Vec<float>)_mm512_cvtne2ps_pbh((__m512)load(x + kLanes<float>), (__m512)load(x));
  }
  static XENT_INLINE Vec<float> across(const float* x, int64_t next) {
    return pairs_of(rounded(load(x)), rounded(load(x + next)));
  }
};
#endif

// `outer` × `inner` numbers from x, inner being k, become panels of `width` outer indices along k: [panel][k][width].
template <class OT, class XT>
void pack(const Strided<XT>& x, int64_t outer, int64_t inner, int width, SumOf<OT>* out) {
  typedef SumOf<OT> ST;
  constexpr int L = kLanes<ST>, D = Operand<OT>::depth;
  const int64_t operands = (inner + D - 1) / D;
  XT piece[L * L * D];
  for (int64_t panel = 0; panel < outer; panel += width, out += operands * width)
    for (int g = 0; g < width; g += L)
      for (int64_t p = 0; p < operands; p += L) {
        const int live = outer - panel - g < L ? (outer - panel - g < 0 ? 0 : static_cast<int>(outer - panel - g)) : L;
        const int deep = operands - p < L ? static_cast<int>(operands - p) : L;
        const XT* from = x.p + (panel + g) * x.row_stride + p * D * x.column_stride;
        int64_t row = x.row_stride, column = x.column_stride;
        if (live < L || (p + L) * D > inner || (row != 1 && column != 1)) {  // a corner, or strides: number by number
          __builtin_memset(static_cast<void*>(piece), 0, sizeof piece);
          for (int r = 0; r < live; ++r)
            for (int q = 0; q < L * D && p * D + q < inner; ++q) piece[r * L * D + q] = from[r * row + q * column];
          from = piece, row = L * D, column = 1;
        }
        ST* to = out + p * width + g;
        Vec<ST> v[L];
        if (column == 1) {
          XENT_UNROLL for (int r = 0; r < L; ++r) v[r] = Fetch<OT, XT>::along(from + r * row);
          Transpose<ST, L>::eval(v);
          for (int q = 0; q < deep; ++q) store(to + q * width, v[q]);
        } else {
          for (int q = 0; q < deep; ++q) store(to + q * width, Fetch<OT, XT>::across(from + q * D * column, column));
        }
      }
}

// kTileRows rows of C, of which `rows` exist, by V vectors, of which `columns` numbers exist.
template <class OT, int V>
__attribute__((noinline)) void multiply_tile(int64_t operands, const SumOf<OT>* a, const SumOf<OT>* b, int width, SumOf<OT>* c,
                                             int64_t ldc, bool add, int rows, int columns) {
  typedef SumOf<OT> ST;
  constexpr int L = kLanes<ST>;
  Vec<ST> sum[kTileRows][V] = {};
  for (int64_t p = 0; p < operands; ++p, a += kPanel<OT>, b += width) {
    Vec<ST> right[V];
    XENT_UNROLL for (int v = 0; v < V; ++v) right[v] = load(b + v * L);
    XENT_UNROLL for (int i = 0; i < kTileRows; ++i) XENT_UNROLL for (int v = 0; v < V; ++v)
        sum[i][v] = Operand<OT>::multiply(sum[i][v], a[i], right[v]);
  }
  if (rows == kTileRows && columns == V * L) {
    XENT_UNROLL for (int i = 0; i < kTileRows; ++i) XENT_UNROLL for (int v = 0; v < V; ++v) {
      ST* at = c + i * ldc + v * L;
      store(at, add ? load(at) + sum[i][v] : sum[i][v]);
    }
    return;
  }
  ST edge[kTileRows * V * L];
  XENT_UNROLL for (int i = 0; i < kTileRows; ++i) XENT_UNROLL for (int v = 0; v < V; ++v)
      store(edge + (i * V + v) * L, sum[i][v]);
  for (int i = 0; i < rows; ++i)
    for (int j = 0; j < columns; ++j) {
      ST& at = c[i * ldc + j];
      at = add ? at + edge[i * V * L + j] : edge[i * V * L + j];
    }
}

template <class OT> int64_t product_scratch(int64_t m, int64_t n, int64_t k) {
  constexpr int64_t L = kLanes<SumOf<OT>>, wide = kVectors * L;
  const int64_t depth = k < kDepth * Operand<OT>::depth ? (k + Operand<OT>::depth - 1) / Operand<OT>::depth : kDepth;
  const int64_t height = ((m < kHeight ? m : kHeight) + kPanel<OT> - 1) / kPanel<OT> * kPanel<OT>;
  const int64_t breadth = ((n < kBreadth ? n : kBreadth) + wide - 1) / wide * wide;
  return (height + breadth) * depth * static_cast<int64_t>(sizeof(SumOf<OT>)) + 2 * kAlign;
}

template <class OT, class AT, class BT>
void product(const Strided<AT>& a, const Strided<BT>& b, SumOf<OT>* c, int64_t ldc, int64_t m, int64_t n, int64_t k, bool add,
             void* scratch) {
  typedef SumOf<OT> ST;
  constexpr int L = kLanes<ST>, D = Operand<OT>::depth;
  constexpr int64_t wide = kVectors * L;
  ST* right = reinterpret_cast<ST*>((reinterpret_cast<uintptr_t>(scratch) + kAlign - 1) / kAlign * kAlign);
  for (int64_t j0 = 0; j0 < n; j0 += kBreadth) {
    const int64_t breadth = n - j0 < kBreadth ? n - j0 : kBreadth;
    for (int64_t k0 = 0; k0 < k; k0 += kDepth * D) {
      const int64_t inner = k - k0 < kDepth * D ? k - k0 : kDepth * D, operands = (inner + D - 1) / D;
      // B's panels lie across: its rows are k.
      pack<OT>(Strided<BT>{b.p + k0 * b.row_stride + j0 * b.column_stride, b.column_stride, b.row_stride}, breadth, inner,
               static_cast<int>(wide), right);
      ST* left = right + (breadth + wide - 1) / wide * wide * operands;
      for (int64_t i0 = 0; i0 < m; i0 += kHeight) {
        const int64_t height = m - i0 < kHeight ? m - i0 : kHeight;
        pack<OT>(Strided<AT>{a.p + i0 * a.row_stride + k0 * a.column_stride, a.row_stride, a.column_stride}, height, inner,
                 kPanel<OT>, left);
        for (int64_t j = 0; j < breadth; j += wide) {
          const int columns = static_cast<int>(breadth - j < wide ? breadth - j : wide);
          for (int64_t i = 0; i < height; i += kTileRows) {
            const int rows = static_cast<int>(height - i < kTileRows ? height - i : kTileRows);
            const ST* panel = left + i / kPanel<OT> * kPanel<OT> * operands + i % kPanel<OT>;
            ST* to = c + (i0 + i) * ldc + j0 + j;
            with_constant<kVectors>((columns + L - 1) / L, [&]<int V>() {
              multiply_tile<OT, V>(operands, panel, right + j * operands, static_cast<int>(wide), to, ldc, add || k0 > 0, rows,
                                   columns);
            });
          }
        }
      }
    }
  }
}

}  // namespace
}  // namespace xent
