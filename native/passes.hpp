// One pass over rows, dense or sparse, by several threads.
#pragma once
#include "interface.hpp"
#include "model.hpp"

namespace xent {

// What a pass writes; what is null is not computed. Gradients (k, d) and (k) are written, not added to.
template <class CT>
struct Outputs {
  double *grad_w = nullptr, *grad_b = nullptr;
  CT* out = nullptr;             // (n, k)
  int64_t* out_class = nullptr;  // (n)
};

// The gradient (k, d) by W of a pass over sparse rows, where it was added up: to copy it could take as long as the pass.
struct SparseGradient {
  Buffer<double> sums;
  int64_t row_stride = 0, column_stride = 0;
};

// threads <= 0 means what OpenMP would use. The same bits for the same thread count.
template <class XT, class CT>
Totals run_pass(const Kernels& set, Task task, const Dense<XT>& rows, const Targets& targets, const Weights<CT>& at,
                const Weights<CT>& direction, int classes, const Outputs<CT>& outputs, int threads);
template <class XT, class CT, class Index>
Totals run_pass(const Kernels& set, Task task, const Sparse<XT, Index>& rows, const Targets& targets, const Weights<CT>& at,
                const Weights<CT>& direction, int classes, const Outputs<CT>& outputs, int threads, SparseGradient* gradient);

}  // namespace xent
