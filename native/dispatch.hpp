// The whole passes: what bind/ offers to Python.
#pragma once
#include <cstdlib>
#include <functional>
#include <memory>
#include <vector>

#include "memory.hpp"
#include "interface.hpp"

namespace xent {

struct Totals {
  Tally tally;
  int64_t bad_row = -1;     // the first row whose label is no class
  int64_t bad_sparse = -1;  // the first row of CSR that points outside of X
};

// W (k, d) and b (k) as the caller has them, C-ordered.
template <class CT>
struct Weights {
  const CT *w = nullptr, *b = nullptr;
};

// What a pass writes; what is null is not computed. Gradients (k, d) and (k) are written, not added to.
template <class CT>
struct Outputs {
  double *grad_w = nullptr, *grad_b = nullptr;
  CT* out = nullptr;             // (n, k)
  int64_t* out_class = nullptr;  // (n)
};

// The gradient by W of a pass over sparse rows, as it is added up: (d, ld), the first k of ld in use.
struct SparseGradient {
  Buffer<double> sums;
  int64_t ld = 0;
  int k = 0, pinned = 0;  // pinned: k is 1 and the gradients of the two classes are -sums and sums
};

// threads <= 0 means what OpenMP would use. The same bits for the same thread count.
template <class XT, class CT>
Totals run_pass(const Kernels& set, Task task, const Dense<XT>& rows, const Targets& targets, const Weights<CT>& at,
                const Weights<CT>& direction, int classes, const Outputs<CT>& outputs, int threads);
template <class XT, class CT, class Index>
Totals run_pass(const Kernels& set, Task task, const Sparse<XT, Index>& rows, const Targets& targets, const Weights<CT>& at,
                const Weights<CT>& direction, int classes, const Outputs<CT>& outputs, int threads, SparseGradient* gradient);

// The softmax of one thread's rows whose logits come in tiles of classes (tiles.hpp). Targets' arrays must outlive it.
template <class CT>
class Columns {
 public:
  Columns(const Kernels& set, const Targets& targets, std::vector<int64_t> rows, int64_t classes);
  int64_t rows() const { return live_; }
  // z (classes, rows) at `first`, rows ldz apart, with room for whole vectors; peak: room for as many numbers.
  int64_t filled() const { return filled_; }
  Totals scan(CT* z, int64_t ldz, int64_t first, int64_t classes, CT* peak);
  Totals finish();
  void residual(CT* z, int64_t ldz, int64_t first, int64_t classes, const CT* peak) const;
  void save(double* out) const;         // (rows, kKept), after finish
  void restore(const double* in);       // (rows, kGiven), instead of scan and finish

 private:
  const CT* soft(int64_t ldz, int64_t first, int64_t classes, std::vector<CT>& q, int64_t* bad_row) const;
  const TileKernels<CT>& kernels_;
  Targets targets_;
  std::vector<int64_t> index_;
  int64_t classes_, live_, filled_;
  std::vector<double> state_;
};

// Σ over ranges of the n rows of what work(lo, hi, own, scratch) adds to its own (length) numbers, a range a thread.
std::vector<double> sum_over_rows(int64_t n, int requested, double flops, int64_t length, int64_t scratch_bytes,
                                  const std::function<void(int64_t, int64_t, double*, void*)>& work);

int max_threads();

}  // namespace xent
