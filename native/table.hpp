// One instruction set's kernels, as rows.cpp offers them to dispatch.cpp.
#pragma once
#include "kernels.hpp"

namespace xent {

template <class XT, class CT>
struct DenseKernels {
  void (*rows)(const Job<CT>&, const Dense<XT>&, int64_t lo, int64_t hi, Accumulator&);
  int64_t (*scratch)(Task, Target, const Dense<XT>&, int64_t classes);
  bool (*along_rows)(int64_t d, int k);  // whether the pass reads the model's transpose
  int lanes;                             // rows shorter than that are filled up
};

template <class XT, class CT, class Index>
struct SparseKernels {
  void (*rows)(const Job<CT>&, const Sparse<XT, Index>&, const Residuals<CT>&, int64_t lo, int64_t hi, Accumulator&);
  int64_t (*scratch)(Task, Target, int64_t classes, int64_t ld);
  void (*scatter)(const Sparse<XT, Index>&, const Targets&, const Residuals<CT>&, int k, int64_t lo, int64_t hi,
                  int64_t from, int64_t to, double* grad);
};

template <class CT>
struct TileKernels {
  int lanes;
  int64_t (*state_bytes)(int64_t rows);
  void (*begin)(void* state, int64_t capacity, const Targets&, const int64_t* index, int live, int filled);
  void (*scan)(void* state, int64_t capacity, const Targets&, CT* z, int64_t ldz, int64_t first, int64_t classes, int filled,
               const CT* q, CT* peak);
  void (*finish)(void* state, int64_t capacity, const Targets&, int filled, Tally&);
  void (*residual)(const void* state, int64_t capacity, const Targets&, CT* z, int64_t ldz, int64_t first, int64_t classes,
                   int filled, const CT* q, const CT* peak);
  void (*soft)(const Targets&, const int64_t* index, int live, int64_t first, int64_t classes, CT* q, int64_t ldq, int64_t k,
               int filled, int64_t* bad_row);
};

// ½ vᵀ(B − ΨM Ψᵀ)v: B is blocks along the diagonal, one behind the other, block k of coordinates start[k] … start[k + 1] − 1;
// psi and dual = ΨM are (size, rank), the rank a multiple of 8.
template <class T>
struct Quadratic {
  int64_t size, blocks, rank;
  const int64_t* start;
  const T* block;
  const double *psi, *dual;
};

// l1 |w| + l2/2 w² for lower ≤ w ≤ upper; or, with groups, l1 ‖w_g‖₂ + l2/2 ‖w_g‖² for the members of each.
struct Separable {
  const double *l2, *l1, *lower, *upper;
  int64_t groups = 0;
  const int64_t *group_start = nullptr, *member = nullptr;
};

template <class T>
struct DescentKernels {
  int64_t (*bytes)(const Quadratic<T>&);
  int (*run)(void* memory, const Quadratic<T>&, const Separable&, const double* gradient, double* w, double tolerance, int most);
};

// Named by X's storage type, the type a row is computed in and, of CSR, that of the indices.
struct Kernels {
  const char* name;
  DenseKernels<double, double> dd;
  DenseKernels<float, double> fd;
  DenseKernels<Half, double> hd;
  DenseKernels<BFloat16, double> bd;
  DenseKernels<float, float> ff;
  DenseKernels<Half, float> hf;
  DenseKernels<BFloat16, float> bf;
  SparseKernels<double, double, int32_t> ddi;
  SparseKernels<double, double, int64_t> ddl;
  SparseKernels<float, double, int32_t> fdi;
  SparseKernels<float, double, int64_t> fdl;
  SparseKernels<float, float, int32_t> ffi;
  SparseKernels<float, float, int64_t> ffl;
  TileKernels<float> f;
  TileKernels<double> d;
  DescentKernels<float> descent_f;
  DescentKernels<double> descent_d;
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
