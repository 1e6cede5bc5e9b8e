// The kernels' interface. Nothing in native/ but bind.cpp knows of Python.
//
// One pass over rows x_i with labels y_i and weights s_i gives, for logits z_i = W x_i + b,
//     loss = sum s_i l_i,   grad_W = sum s_i (p_i - e_{y_i}) x_i^T,   grad_b = sum s_i (p_i - e_{y_i}),
// all plain sums, so threads and batches add. Design:
//  a. 64 rows at a time stay in cache for both products; n x K is never held.
//  b. W is packed feature by feature with its K classes padded to whole vectors, so that padding
//     lanes (bias -inf) drop out of the softmax by themselves.
//  c. A row is computed in the compute type CT; sums across blocks are double.
//  d. The files in rows.cpp are compiled once per instruction set and chosen at run time.
#pragma once
#include <cstdint>

namespace xent {

constexpr int kBlock = 64;     // rows in cache at once
constexpr int kAlign = 64;     // bytes; the widest vector

// Rows of X with any strides (in elements). weight may be null: all ones.
template <class XT>
struct Rows {
  const XT* x;
  int64_t n, d, row_stride, col_stride;
  const int64_t* y;
  const double* weight;
};

// W^T as (d, kp) with classes padded from k to kp lanes; bias padded with -inf.
template <class CT>
struct Model {
  const CT* wt;
  const CT* bias;
  int k, kp;
};

// The scalars of some rows. Added block by block: a running sum over a million rows would lose the last
// two digits, which a line search close to the optimum needs.
struct Tally {
  double loss = 0, weight = 0, hits = 0;
  void add(const Tally& other) {
    loss += other.loss;
    weight += other.weight;
    hits += other.hits;
  }
};

// What one thread adds up. grad_wt is (d, kp), grad_b is (kp); both double, owned by the caller.
struct Accumulator {
  double* grad_wt = nullptr;
  double* grad_b = nullptr;
  Tally tally;
  int64_t bad_row = -1;  // first row whose label is outside [0, k)
};

// Scratch of one thread, sized by the caller: logits kBlock*kp, packed kBlock*d.
template <class XT, class CT>
struct Scratch {
  CT* logits;
  XT* packed;
};

template <class XT, class CT>
using FusedFn = void (*)(const Rows<XT>&, const Model<CT>&, int64_t lo, int64_t hi,
                         const Scratch<XT, CT>&, Accumulator&);

// In place: logits (n, k), rows `stride` apart, become s_i (p_i - e_{y_i}); rows of weight 0 become 0.
template <class CT>
using SoftmaxFn = void (*)(CT* z, int64_t stride, int k, const int64_t* y, const double* weight,
                           int64_t lo, int64_t hi, Accumulator&);

// One instruction set's kernels.
struct Kernels {
  const char* name;
  int lanes_f32, lanes_f64;
  FusedFn<float, float> fused_ff;
  FusedFn<float, double> fused_fd;  // float32 rows, double arithmetic: X is widened in registers
  FusedFn<double, double> fused_dd;
  SoftmaxFn<float> softmax_f;
  SoftmaxFn<double> softmax_d;
};

const Kernels& kernels_baseline();
#if defined(XENT_X86)
const Kernels& kernels_avx2();
const Kernels& kernels_avx512();
#endif

// The best set this processor can run, or the one named by `wanted` ("baseline", "avx2", "avx512")
// if the processor can run it; null otherwise.
const Kernels* find_kernels(const char* wanted);

}  // namespace xent
