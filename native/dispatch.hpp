// The whole passes: what bind.cpp offers to Python.
#pragma once
#include "kernels.hpp"

namespace xent {

struct Totals {
  Tally tally;
  int64_t bad_row = -1;  // the first row whose label is outside [0, k)
};

// grad_w (k, d) and grad_b (k) are written, not added to; grad_w may be null (loss only).
// threads <= 0 means what OpenMP would use. The same bits for the same thread count.
template <class XT, class CT>
Totals fused_sums(const Kernels& set, const Rows<XT>& rows, const CT* w, const CT* b, int k, double* grad_w,
                  double* grad_b, int threads);

// In place: logits z (n, k) become s_i (p_i - e_{y_i}).
template <class CT>
Totals softmax_residual(const Kernels& set, CT* z, int64_t n, int64_t stride, int k, const int64_t* y,
                        const double* weight, int threads);

int max_threads();

}  // namespace xent
