// softmax, log-softmax and losses of logits in memory, along any axis of an array: what kernels/functions.cpp, compiled once
// per instruction set, offers to bind/functions.cpp.
#pragma once
#include "types.hpp"

namespace xent {

// One axis of an array as the numbers of a row, `step` apart, and the others as the rows. They are counted over the other
// axes, the last one fastest.
template <class XT>
struct Rows {
  XT* p;
  int64_t n, classes, step;
  int axes;
  const int64_t *shape, *stride;  // of the other axes
};

// What the rows should be: labels (n), or soft rows. With `slack` the first soft row that has a negative number, or is
// not within it of the sum 1, is a bad one. Rows of weight 0 are not read, their loss is 0.
struct RowTargets {
  const int64_t* label = nullptr;
  Rows<const float> soft_f{};
  Rows<const double> soft_d{};
  const double* weight = nullptr;
  double slack = 0;
};

template <class XT>
struct FunctionKernels {
  // Bytes of scratch memory per thread; `soft`: for losses of soft rows.
  int64_t (*scratch)(const Rows<const XT>& z, bool soft);
  // Rows that are worked on side by side: lo and hi are multiples of that, or the end.
  int64_t (*together)(const Rows<const XT>& z);
  // Rows [lo, hi); out may be z.
  void (*normalise)(const Rows<const XT>& z, const Rows<XT>& out, bool logs, int64_t lo, int64_t hi, void* scratch);
  // Losses (n), of rows [lo, hi); returns the first bad row or -1.
  int64_t (*losses)(const Rows<const XT>& z, const RowTargets&, double* out, int64_t lo, int64_t hi, void* scratch);
};

struct Functions {
  FunctionKernels<double> d;
  FunctionKernels<float> f;
  FunctionKernels<Half> h;
  FunctionKernels<BFloat16> b;
};

const Functions& functions_baseline();
#if defined(XENT_X86)
const Functions& functions_avx2();
const Functions& functions_avx512();
#endif

}  // namespace xent
