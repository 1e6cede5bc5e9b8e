// Products of bfloat16 by Intel's tiles of 16 × 16 sums (AMX): compiled apart, as pairs.cpp is. An element is summed in the
// order of k, in pieces of kDepth pairs, wherever it stands, as in matrix.hpp.
//
// Design: C in squares of two by two tiles. A lies packed in tiles [16 rows of A][16 pairs along k], B as matrix.hpp packs it,
// in panels of 32 columns along k; both are filled up with zeros, so that all tiles are whole.
#include "matrix.hpp"

namespace xent {
namespace {

constexpr int kTile = 16, kSquare = 2 * kTile;
constexpr int64_t kWidth = 512;  // columns of B packed at a time

struct Config {
  uint8_t palette = 1, start = 0, reserved[14] = {};
  uint16_t row_bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
  uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
};
static_assert(sizeof(Config) == 64);

int64_t tiles_of(int64_t pairs) { return (pairs + kTile - 1) / kTile; }

// A tile of A: rows of 16 pairs each.
template <class XT> void pack_tile(const Strided<XT>& a, int64_t rows, int64_t inner, float* out) {
  const XT* from = a.p;
  int64_t row = a.row_stride, column = a.column_stride;
  XT piece[kTile * kSquare];
  if (rows < kTile || inner < kSquare || (row != 1 && column != 1)) {
    __builtin_memset(static_cast<void*>(piece), 0, sizeof piece);
    for (int64_t r = 0; r < rows && r < kTile; ++r)
      for (int64_t q = 0; q < inner && q < kSquare; ++q) piece[r * kSquare + q] = from[r * row + q * column];
    from = piece, row = kSquare, column = 1;
  }
  if (column == 1) {
    for (int r = 0; r < kTile; ++r) store(out + r * kTile, Fetch<Pair, XT>::along(from + r * row));
    return;
  }
  Vec<float> v[kTile];
  for (int q = 0; q < kTile; ++q) v[q] = Fetch<Pair, XT>::across(from + 2 * q * column, column);
  Transpose<float, kTile>::eval(v);
  for (int r = 0; r < kTile; ++r) store(out + r * kTile, v[r]);
}

int64_t scratch(int64_t m, int64_t n, int64_t k) {
  const int64_t depth = tiles_of(k < 2 * kDepth ? (k + 1) / 2 : kDepth) * kTile;
  const int64_t height = ((m < kHeight ? m : kHeight) + kSquare - 1) / kSquare * kSquare;
  const int64_t width = ((n < kWidth ? n : kWidth) + kSquare - 1) / kSquare * kSquare;
  return (height + width) * depth * static_cast<int64_t>(sizeof(float)) + 2 * kAlign;
}

template <class AT, class BT>
void product_by_tiles(const Strided<AT>& a, const Strided<BT>& b, float* c, int64_t ldc, int64_t m, int64_t n, int64_t k,
                      bool add, void* memory) {
  float* right = reinterpret_cast<float*>((reinterpret_cast<uintptr_t>(memory) + kAlign - 1) / kAlign * kAlign);
  alignas(kAlign) float sums[kSquare * kSquare];
  const Config config;
  _tile_loadconfig(&config);
  for (int64_t j0 = 0; j0 < n; j0 += kWidth) {
    const int64_t width = n - j0 < kWidth ? n - j0 : kWidth;
    for (int64_t k0 = 0; k0 < k; k0 += 2 * kDepth) {
      const int64_t inner = k - k0 < 2 * kDepth ? k - k0 : 2 * kDepth, pairs = (inner + 1) / 2, tiles = tiles_of(pairs);
      const int64_t panel = tiles * kTile * kSquare;  // numbers that one of B takes, and one of A
      for (int64_t j = 0; j < width; j += kSquare) {
        float* to = right + j / kSquare * panel;
        pack<Pair>(Strided<BT>{b.p + k0 * b.row_stride + (j0 + j) * b.column_stride, b.column_stride, b.row_stride},
                   width - j < kSquare ? width - j : kSquare, inner, kSquare, to);
        __builtin_memset(to + pairs * kSquare, 0, (panel - pairs * kSquare) * sizeof(float));
      }
      float* left = right + (width + kSquare - 1) / kSquare * panel;
      for (int64_t i0 = 0; i0 < m; i0 += kHeight) {
        const int64_t height = m - i0 < kHeight ? m - i0 : kHeight;
        for (int64_t i = 0; i < (height + kSquare - 1) / kSquare * kSquare; i += kTile)
          for (int64_t t = 0; t < tiles; ++t)
            pack_tile(
                Strided<AT>{a.p + (i0 + i) * a.row_stride + (k0 + t * kSquare) * a.column_stride, a.row_stride, a.column_stride},
                height - i, inner - t * kSquare, left + (i * tiles + t * kTile) * kTile);
        for (int64_t j = 0; j < width; j += kSquare)
          for (int64_t i = 0; i < height; i += kSquare) {
            const float *at = left + i * tiles * kTile, *below = at + tiles * kTile * kTile, *along = right + j / kSquare * panel;
            _tile_zero(0);
            _tile_zero(1);
            _tile_zero(2);
            _tile_zero(3);
            for (int64_t t = 0; t < tiles; ++t, at += kTile * kTile, below += kTile * kTile, along += kTile * kSquare) {
              _tile_loadd(4, at, 64);
              _tile_loadd(6, along, 128);
              _tile_dpbf16ps(0, 4, 6);
              _tile_loadd(7, along + kTile, 128);
              _tile_dpbf16ps(1, 4, 7);
              _tile_loadd(5, below, 64);
              _tile_dpbf16ps(2, 5, 6);
              _tile_dpbf16ps(3, 5, 7);
            }
            _tile_stored(0, sums, 128);
            _tile_stored(1, sums + kTile, 128);
            _tile_stored(2, sums + kTile * kSquare, 128);
            _tile_stored(3, sums + kTile * kSquare + kTile, 128);
            const int64_t rows = height - i < kSquare ? height - i : kSquare, columns = width - j < kSquare ? width - j : kSquare;
            float* to = c + (i0 + i) * ldc + j0 + j;
            for (int64_t r = 0; r < rows; ++r, to += ldc)
              for (int64_t s = 0; s < columns; ++s) to[s] = add || k0 > 0 ? to[s] + sums[r * kSquare + s] : sums[r * kSquare + s];
          }
      }
    }
  }
  _tile_release();
}

}  // namespace

PairKernels amx_kernels() {
  return {{scratch, product_by_tiles<BFloat16, BFloat16>}, {scratch, product_by_tiles<float, BFloat16>}};
}

}  // namespace xent
