// What a pass is made of: rows, targets, a model, sums. Nothing outside of bind/ knows of Python.
//
// One pass over rows x_i with targets q_i and weights s_i gives, for logits z_i = W x_i + b (+ o_i, an offset),
//     loss = sum s_i l_i,   grad_W = sum s_i (p_i - q_i) x_i^T,   grad_b = sum s_i (p_i - q_i),
// all plain sums, so threads and batches add. Design:
//  a. A block of rows stays in cache for both products; n x K is never held.
//  b. Logits lie class by class (K, rows), so that the softmax works across rows (softmax.hpp).
//  c. Products take their vectors along the features or, for short rows and many classes, along the rows
//     (products.hpp): neither pads the classes.
//  d. A row is computed in the compute type CT, X widened in registers; sums across blocks are double.
//  e. kernels/rows.cpp is compiled once per instruction set and chosen at run time.
#pragma once
#include <cstdint>

namespace xent {

constexpr int kMaxRows = 128;  // rows in cache at once
constexpr int kAlign = 64;     // bytes; the widest vector

struct Half {  // IEEE binary16
  uint16_t bits;
};
struct BFloat16 {
  uint16_t bits;
};

// What a row should be: nothing (prediction), a class, or a row of probabilities.
enum class Target { none, label, soft };

// Targets of n rows. Soft ones are dense, (n, k) float or double, or the `top` largest as (class, value) pairs.
struct Targets {
  Target kind = Target::none;
  const int64_t* label = nullptr;
  const float* soft_f = nullptr;
  const double* soft_d = nullptr;
  const int64_t* top_class = nullptr;
  const double* top_value = nullptr;
  int64_t top = 0;
  double smoothing = 0;           // the share of every target that is spread over all classes not masked
  bool ignores = false;           // rows labelled `ignored` count for nothing
  int64_t ignored = 0;
  const double* weight = nullptr;  // null: all ones; rows of weight 0 are never read
  const float* offset_f = nullptr;  // added to the logits, (n, k) float or double; -inf masks a class in a row
  const double* offset_d = nullptr;
};

// Rows of X: dense with any strides (in elements), or compressed (CSR).
template <class XT>
struct Dense {
  const XT* x;
  int64_t n, d, row_stride, col_stride;
};
template <class XT, class Index>
struct Sparse {
  const XT* value;
  const Index *column, *start;  // start: n + 1 offsets into value and column
  int64_t n, d, stored;
};

// W (k, d), its rows ldw apart, or its transpose (d, k), whichever the kernel asks for, and b (k). Where `pinned` is 1 the
// rows have k + 1 classes, the first of which has logit 0 and no parameters: two classes are one row of weights.
template <class CT>
struct Model {
  const CT *w, *wt, *b;
  int64_t ldw;
  int k, pinned;
};

// The scalars of some rows. Added block by block: a running sum over a million rows would lose the last
// two digits, which a line search close to the optimum needs.
struct Tally {
  double loss = 0, weight = 0, hits = 0;
  __attribute__((always_inline)) void add(const Tally& other) {
    loss += other.loss;
    weight += other.weight;
    hits += other.hits;
  }
};

// What some rows come to, besides gradients.
struct Totals {
  Tally tally;
  int64_t bad_row = -1;     // the first row whose label is outside the classes
  int64_t bad_sparse = -1;  // the first row of CSR that points outside of X
};

// What one thread adds up; gradients are double, (k, d) and (k), owned by the caller. Null: not asked for.
struct alignas(kAlign) Accumulator : Totals {
  double* grad_w = nullptr;
  double* grad_b = nullptr;
};

enum class Task { sums, curvature, probabilities, log_probabilities, classes, logits };

// A pass, as one thread sees it.
template <class CT>
struct Job {
  Task task;
  Model<CT> model, direction;  // direction: of a curvature pass
  Targets targets;
  CT* out = nullptr;             // probabilities, log-probabilities, logits: (n, classes)
  int64_t* out_class = nullptr;  // (n)
  void* scratch = nullptr;
};

// Rows of a Hessian: x less its centre, with a 1 behind for an intercept, their probabilities (n, classes), and weights or null.
struct CurvatureRows {
  Dense<double> x;
  const double* centre;
  bool intercept;
  const double *p, *weight;
  int64_t classes;
  int64_t width() const { return x.d + intercept; }
};

// The gradient of sparse rows is added up later, column by column (csr.hpp): their g stay here, row `first` on.
template <class CT>
struct Residuals {
  CT* g = nullptr;  // (rows, ld)
  int64_t first = 0, ld = 0;
};

}  // namespace xent
