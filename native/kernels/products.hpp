// The two products of a pass on one block of rows: logits z = W x + b and gradient sum_i g_i x_i^T. Both keep
// their sums in registers. Rows have at least kLanes features (shorter ones are filled up with zeros).
#pragma once
#include "simd.hpp"

namespace xent {
namespace {

// Asks for the same features of the same row in the next block, `bytes` further on, while this one is multiplied
// forward: a pass over 60000 x 784 in float32, 10 classes, was 1.6 times as long without. Asking in the backward
// product, or half in each, was slower.
XENT_INLINE void prefetch(const void* p, int64_t bytes) {
  __builtin_prefetch(reinterpret_cast<const void*>(reinterpret_cast<uintptr_t>(p) + bytes), 0, 2);
}

// Logits of kLanes rows and NK classes with vectors along the features: no lane is padding, and X is read as it lies.
// The lanes are summed at the end, all rows of a class at once.
template <class XT, class CT, int NK>
void dots(const XT* const* x, int64_t d, const CT* w, int64_t ldw, const CT* b, CT* z, int64_t ldz, int64_t ahead) {
  constexpr int L = kLanes<CT>;
  const int tail = (int)(d % L);
  constexpr int spare = kRegisters - 4, MR = NK * 8 <= spare && L >= 8 ? 8 : NK * 4 <= spare && L >= 4 ? 4 : 2;
  Vec<CT> sums[NK][L];
  for (int r = 0; r < L; r += MR) {
    Vec<CT> acc[NK][MR] = {};
    auto step = [&](int64_t j, auto&& vector_of) __attribute__((always_inline)) {
      Vec<CT> xv[MR];
      XENT_UNROLL for (int i = 0; i < MR; ++i) xv[i] = vector_of(x[r + i] + j);
      if (ahead) XENT_UNROLL for (int i = 0; i < MR; ++i) prefetch(x[r + i] + j, ahead);
      XENT_UNROLL for (int k = 0; k < NK; ++k) {
        const Vec<CT> wk = load(w + k * ldw + j);
        XENT_UNROLL for (int i = 0; i < MR; ++i) acc[k][i] += xv[i] * wk;
      }
    };
    for (int64_t j = 0; j + L <= d; j += L) step(j, [](const XT* p) __attribute__((always_inline)) { return lanes<CT>(p); });
    if (tail)  // the last whole vector, without what was counted
      step(d - L, [tail](const XT* p) __attribute__((always_inline)) { return lanes_from<CT>(lanes<CT>(p), L - tail); });
    XENT_UNROLL for (int k = 0; k < NK; ++k) XENT_UNROLL for (int i = 0; i < MR; ++i) sums[k][r + i] = acc[k][i];
  }
  XENT_UNROLL for (int k = 0; k < NK; ++k) store(z + k * ldz, SumLanes<CT, L>::eval(sums[k]) + b[k]);
}

template <class XT, class CT>
void logits_along_features(const XT* const* x, int rows, int64_t d, const Model<CT>& model, CT* z, int64_t ldz, int64_t ahead) {
  constexpr int L = kLanes<CT>, most = kRegisters == 32 ? 13 : 5;
  for (int r = 0; r < rows; r += L)
    in_pieces<most>(model.k, [&]<int NK>(int k) {
      dots<XT, CT, NK>(x + r, d, model.w + k * model.ldw, model.ldw, model.b + k, z + k * ldz + r, ldz, k ? 0 : ahead);
    });
}

// xt[j - from][r] = x[r][j] for j in [from, to), at least kLanes of them.
template <class XT, class CT>
void transpose_rows(const XT* const* x, int rows, int64_t from, int64_t to, CT* xt, int64_t ldxt, int64_t ahead) {
  constexpr int L = kLanes<CT>;
  for (int r = 0; r < rows; r += L)
    for (int64_t j = from; j < to; j += L) {
      const int64_t at = j + L <= to ? j : to - L;
      Vec<CT> v[L];
      XENT_UNROLL for (int i = 0; i < L; ++i) v[i] = lanes<CT>(x[r + i] + at);
      if (ahead) XENT_UNROLL for (int i = 0; i < L; ++i) prefetch(x[r + i] + at, ahead);
      Transpose<CT, L>::eval(v);
      XENT_UNROLL for (int i = 0; i < L; ++i) store(xt + (at - from + i) * ldxt + r, v[i]);
    }
}

// Logits of NV vectors of rows and NK classes with vectors along the rows, added to those of earlier features.
template <class CT, int NK, int NV>
XENT_INLINE void outer_tile(const CT* xt, int64_t ldxt, int64_t features, const CT* wt, int k, CT* z, int64_t ldz) {
  constexpr int L = kLanes<CT>;
  Vec<CT> acc[NK][NV];
  XENT_UNROLL for (int i = 0; i < NK; ++i) XENT_UNROLL for (int v = 0; v < NV; ++v) acc[i][v] = load(z + i * ldz + v * L);
  for (int64_t j = 0; j < features; ++j) {
    Vec<CT> xv[NV];
    XENT_UNROLL for (int v = 0; v < NV; ++v) xv[v] = load(xt + j * ldxt + v * L);
    XENT_UNROLL for (int i = 0; i < NK; ++i) {
      const CT wk = wt[j * k + i];
      XENT_UNROLL for (int v = 0; v < NV; ++v) acc[i][v] += wk * xv[v];
    }
  }
  XENT_UNROLL for (int i = 0; i < NK; ++i) XENT_UNROLL for (int v = 0; v < NV; ++v) store(z + i * ldz + v * L, acc[i][v]);
}

constexpr int kFeatures = 256;  // transposed at once: 128 rows of them are 128 KiB

template <class XT, class CT>
void logits_along_rows(const XT* const* x, int rows, int64_t d, const Model<CT>& model, CT* xt, CT* z, int64_t ldz,
                       int64_t ahead) {
  constexpr int L = kLanes<CT>, NV = kRegisters == 32 ? 4 : 2;
  for (int k = 0; k < model.k; ++k)
    for (int r = 0; r < rows; r += L) store(z + k * ldz + r, model.b[k] + Vec<CT>{});
  for (int64_t from = 0, to; from < d; from = to) {
    to = d - from < 2 * kFeatures ? d : from + kFeatures;
    transpose_rows<XT, CT>(x, rows, from, to, xt, ldz, ahead);
    in_pieces<6>(model.k, [&]<int NK>(int k) {
      const CT* wt = model.wt + from * model.k + k;
      int r = 0;
      for (; r + NV * L <= rows; r += NV * L) outer_tile<CT, NK, NV>(xt + r, ldz, to - from, wt, model.k, z + k * ldz + r, ldz);
      for (; r < rows; r += L) outer_tile<CT, NK, 1>(xt + r, ldz, to - from, wt, model.k, z + k * ldz + r, ldz);
    });
  }
}

// Which of the two: summing lanes costs a few instructions a logit, transposing log2(lanes) + 2 a vector of X. With
// AVX-512 they met at about 7 features per class in float32, at 5 in float64.
template <class CT> bool along_rows(int64_t d, int k) {
  constexpr int L = kLanes<CT>;
  int steps = 2;
  for (int i = L; i > 1; i /= 2) ++steps;
  return 4 * d * steps < 11ll * k * L;
}

XENT_INLINE void add_wide(double* out, Vec<double> v) { store(out, load(out) + v); }
XENT_INLINE void add_wide(double* out, Vec<float> v) {
  store(out, load(out) + wide<0>(v));
  store(out + kLanes<double>, load(out + kLanes<double>) + wide<1>(v));
}

// grad[k][j] += sum_r g[k][r] x[r][j] for NK classes and NV vectors of features. With Tail the last vector is the last
// whole one of the row, less its first `skip` features, which are others' business.
template <class XT, class CT, int NK, int NV, bool Tail>
XENT_INLINE void gradient_tile(const XT* const* x, int64_t j, int skip, int rows, const CT* g, int64_t ldg, double* grad,
                               int64_t d) {
  constexpr int L = kLanes<CT>;
  const int64_t last = Tail ? d - L : j + (NV - 1) * L;
  Vec<CT> acc[NK][NV] = {};
  for (int r = 0; r < rows; ++r) {
    Vec<CT> xv[NV];
    XENT_UNROLL for (int v = 0; v < NV - 1; ++v) xv[v] = lanes<CT>(x[r] + j + v * L);
    xv[NV - 1] = lanes<CT>(x[r] + last);
    if (Tail) xv[NV - 1] = lanes_from<CT>(xv[NV - 1], skip);
    XENT_UNROLL for (int k = 0; k < NK; ++k) {
      const CT gk = g[k * ldg + r];
      XENT_UNROLL for (int v = 0; v < NV; ++v) acc[k][v] += gk * xv[v];
    }
  }
  XENT_UNROLL for (int k = 0; k < NK; ++k) {
    XENT_UNROLL for (int v = 0; v < NV - 1; ++v) add_wide(grad + k * d + j + v * L, acc[k][v]);
    add_wide(grad + k * d + last, acc[k][NV - 1]);
  }
}

// Features [j, end) in tiles of NV vectors, then of half as many; a part of a vector counts as one.
template <class XT, class CT, int NK, int NV>
void gradient_strip(const XT* const* x, int64_t j, int64_t end, int rows, const CT* g, int64_t ldg, double* grad, int64_t d) {
  constexpr int64_t L = kLanes<CT>;
  for (; j + NV * L <= end; j += NV * L) gradient_tile<XT, CT, NK, NV, false>(x, j, 0, rows, g, ldg, grad, d);
  if (j + (NV - 1) * L < end) return gradient_tile<XT, CT, NK, NV, true>(x, j, (int)(j + NV * L - end), rows, g, ldg, grad, d);
  if constexpr (NV > 1) gradient_strip<XT, CT, NK, NV / 2>(x, j, end, rows, g, ldg, grad, d);
}

// Where the classes take several pieces, features go in strips that stay in the first cache meanwhile.
template <class XT, class CT>
void gradient_block(const XT* const* x, int rows, int64_t d, const CT* g, int64_t ldg, int classes, double* grad) {
  constexpr int L = kLanes<CT>, most = kRegisters == 32 ? 13 : 6, budget = kRegisters == 32 ? 28 : 12;
  const int64_t strip = classes <= most ? d : 4 * L;
  for (int64_t from = 0; from < d; from += strip) {
    const int64_t end = from + strip < d ? from + strip : d;
    in_pieces<most>(classes, [&]<int NK>(int k) {
      constexpr int NV = NK * 8 <= budget ? 8 : NK * 4 <= budget ? 4 : NK * 2 <= budget ? 2 : 1;
      const CT* gk = g + k * ldg;
      double* out = grad + k * d;
      gradient_strip<XT, CT, NK, NV>(x, from, end, rows, gk, ldg, out, d);
    });
  }
}

}  // namespace
}  // namespace xent
