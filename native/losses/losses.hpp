// The cross-entropy of class indices, a whole call at once: forward and backward, of logits or of a layer z = W x + b
// whose logits come in tiles. What xent.torch's plain calls take.
//
// Design
//  a. Tiles lie class by class (classes, rows), as the softmax wants them. Threads share rows; where there are few of them,
//     classes of a product and features of the rows' gradient. Gradients of classes are summed over all rows at once.
//  b. What a row gets depends neither on its neighbours nor on how many they are, nor on threads: products are summed in
//     an order of their own (matrix.hpp), and how classes are cut depends on the model and `max_bytes` alone.
//  c. Logits may be kept for backward, which else makes them anew, with the same bits. bfloat16 of large models keeps
//     exp(z − m), rounded, with the m that its tile knew; backward rounds alike where nothing was kept.
//  d. Logits that are there are read row by row, in place; short rows are turned first, 256 at a time.
#pragma once
#include <type_traits>

#include "interface.hpp"

namespace xent {

template <class XT> using Computed = std::conditional_t<sizeof(XT) == 8, double, float>;

// All but logits, which are row by row, may have any strides. A null w: x holds logits, and d is not read.
template <class XT>
struct LossCall {
  Strided<XT> x, w;  // (n, d), (k, d)
  const XT* b;       // (k), b_stride apart; or null
  int64_t b_stride;
  const int64_t* label;  // (n)
  int64_t n, d, k, ignored, max_bytes;
  int threads;
  bool rounds;  // bfloat16: gradients by logits, and exp(z − m), are rounded before they are multiplied
};

// Logits z (k, n filled up to whole vectors), ld apart; or exp(z − m) in bfloat16, and m (tiles, n). Null: not kept.
template <class XT>
struct Kept {
  Computed<XT>* z = nullptr;
  BFloat16* e = nullptr;
  float* peak = nullptr;
};

constexpr int kFields = 4;  // what is known of rows: the largest logit m, R, where it is, the target's logit less m
struct Counted {
  int64_t live = 0, bad_row = -1;  // rows not ignored; the first whose label is outside the classes
};

// Gradients to write; null: not asked for. x (n, d) or (n, k), w (k, d), b (k), all C-ordered.
template <class XT>
struct LossGradients {
  XT *x, *w, *b;
};

int64_t kept_stride(int64_t n);
// Classes of a tile: depends on the model alone.
int64_t tile_classes(int64_t d, int64_t k, int64_t max_bytes, int64_t itemsize);

// loss (n), stats (kFields, n); of ignored rows 0. Into `total` Σ loss, over the rows that count if `mean`, or null. Nothing
// is written if a label is outside the classes.
template <class XT>
Counted loss_forward(const Kernels& set, const LossCall<XT>& call, const Kept<XT>& kept, double* loss, double* stats, XT* total,
                     bool mean);
// Of Σ up_i loss_i; up: up_stride apart, 0 for one number for all rows.
template <class XT>
void loss_backward(const Kernels& set, const LossCall<XT>& call, const Kept<XT>& kept, const double* stats, const double* up,
                   int64_t up_stride, const LossGradients<XT>& out);

}  // namespace xent
