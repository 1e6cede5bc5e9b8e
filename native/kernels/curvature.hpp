// Sums of weighted outer products of short rows: the Hessian's blocks.
#pragma once
#include "simd.hpp"
#include "interface.hpp"

namespace xent {
namespace {

constexpr int kOuterRows = 8, kOuterVectors = XENT_VECTOR == 64 ? 3 : 1;
constexpr int kCurvatureRows = 128;  // in cache at once

template <class T> XENT_INLINE int64_t round_to_lanes(int64_t n) { return (n + kLanes<T> - 1) / kLanes<T> * kLanes<T>; }

// c (R, V vectors) += sum over rows of y_r x_v; rows of all three are ld apart.
template <int R, int V>
__attribute__((noinline)) void add_outer(const double* y, const double* x, int64_t ld, int rows, double* c) {
  constexpr int L = kLanes<double>;
  Vec<double> sum[R][V] = {};
  for (int i = 0; i < rows; ++i) {
    Vec<double> at[V];
    XENT_UNROLL for (int v = 0; v < V; ++v) at[v] = load(x + i * ld + v * L);
    XENT_UNROLL for (int r = 0; r < R; ++r) {
      const Vec<double> factor = y[i * ld + r] + Vec<double>{};
      XENT_UNROLL for (int v = 0; v < V; ++v) sum[r][v] += factor * at[v];
    }
  }
  XENT_UNROLL for (int r = 0; r < R; ++r) XENT_UNROLL for (int v = 0; v < V; ++v)
      store(c + r * ld + v * L, load(c + r * ld + v * L) + sum[r][v]);
}

// The upper triangle, and what vectors reach below it, of c (width, ld) += yᵀx.
void add_triangle(const double* y, const double* x, int64_t width, int64_t ld, int rows, double* c) {
  constexpr int L = kLanes<double>;
  for (int64_t j = 0; j < width; j += kOuterRows) {
    const int high = width - j < kOuterRows ? static_cast<int>(width - j) : kOuterRows;
    for (int64_t v = j / L * L; v < ld; v += kOuterVectors * L) {
      const int wide = static_cast<int>((ld - v < kOuterVectors * L ? ld - v : kOuterVectors * L) / L);
      with_constant<kOuterRows>(high, [&]<int R>() {
        with_constant<kOuterVectors>(wide, [&]<int V>() { add_outer<R, V>(y + j, x + v, ld, rows, c + j * ld + v); });
      });
    }
  }
}

int64_t curvature_bytes(const CurvatureRows& job) {
  return (2 * kCurvatureRows + 1) * round_to_lanes<double>(job.width()) * static_cast<int64_t>(sizeof(double)) + kAlign;
}
int64_t curvature_stride(const CurvatureRows& job) { return round_to_lanes<double>(job.width()); }

// Adds rows lo to hi to the blocks of pairs of classes k <= l, one behind the other, (width, stride) each; of two classes
// the only one is sum s p_0 p_1 x xᵀ.
void curvature_rows(const CurvatureRows& job, int64_t lo, int64_t hi, double* blocks, void* scratch) {
  const int64_t d = job.x.d, width = job.width(), ld = curvature_stride(job), K = job.classes;
  double* x = reinterpret_cast<double*>((reinterpret_cast<uintptr_t>(scratch) + kAlign - 1) / kAlign * kAlign);
  double* y = x + kCurvatureRows * ld;
  double weight[kCurvatureRows];
  const auto counts = [&](int64_t i) { return !job.weight || job.weight[i] != 0; };
  for (int64_t start = lo; start < hi; start += kCurvatureRows) {
    const int rows = hi - start < kCurvatureRows ? static_cast<int>(hi - start) : kCurvatureRows;
    for (int i = 0; i < rows; ++i) {
      const double* from = job.x.x + (start + i) * job.x.row_stride;
      double* to = x + i * ld;
      if (!counts(start + i)) {  // it may hold anything
        for (int64_t j = 0; j < ld; ++j) to[j] = 0;
        continue;
      }
      for (int64_t j = 0; j < d; ++j) to[j] = from[j * job.x.col_stride] - job.centre[j];
      for (int64_t j = d; j < ld; ++j) to[j] = j < width ? 1 : 0;
    }
    double* block = blocks;
    const auto add = [&] {
      for (int i = 0; i < rows; ++i) {
        const double s = !counts(start + i) ? 0 : job.weight ? job.weight[start + i] * weight[i] : weight[i];
        for (int64_t j = 0; j < ld; ++j) y[i * ld + j] = s * x[i * ld + j];
      }
      add_triangle(y, x, width, ld, rows, block);
      block += width * ld;
    };
    const double* p = job.p + start * K;
    if (K == 2) {
      for (int i = 0; i < rows; ++i) weight[i] = p[2 * i] * p[2 * i + 1];
      add();
      continue;
    }
    for (int64_t k = 0; k < K; ++k) {
      for (int i = 0; i < rows; ++i) {
        double others = 0;  // not 1 - p_k, which is rounding alone where p_k is nearly 1
        for (int64_t l = 0; l < K; ++l) others += l == k ? 0 : p[i * K + l];
        weight[i] = p[i * K + k] * others;
      }
      add();
      for (int64_t l = k + 1; l < K; ++l) {
        for (int i = 0; i < rows; ++i) weight[i] = -p[i * K + k] * p[i * K + l];
        add();
      }
    }
  }
}

}  // namespace
}  // namespace xent
