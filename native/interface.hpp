// One instruction set's kernels, as kernels/rows.cpp offers them to the rest.
#pragma once
#include "types.hpp"

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
  void (*scatter)(const Sparse<XT, Index>&, const Targets&, const Residuals<CT>&, int k, int64_t lo, int64_t hi, int64_t from,
                  int64_t to, double* grad);
};

constexpr int kKept = 7, kGiven = 7;  // numbers per row of tile_save and tile_restore
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
  void (*save)(const void* state, int64_t capacity, const Targets&, int live, double* out);
  void (*restore)(void* state, int64_t capacity, const Targets&, int live, int filled, const double* in);
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

// The Hessian's blocks: see curvature.hpp.
struct CurvatureKernels {
  int64_t (*stride)(const CurvatureRows&);  // of a block's rows
  int64_t (*bytes)(const CurvatureRows&);
  void (*rows)(const CurvatureRows&, int64_t lo, int64_t hi, double* blocks, void* scratch);
};

// Rows of logits (rows, classes), `stride` apart, in their own storage: see rowwise.hpp.
constexpr int kScanned = 6;  // numbers per row
template <class XT, class CT>
struct RowKernels {
  void (*scan)(const XT* z, int64_t rows, int64_t stride, int64_t classes, double factor, const CT* w, bool smooth, double* out);
  void (*residual)(const XT* z, int64_t rows, int64_t stride, int64_t classes, double factor, const CT* w, const double* given,
                   XT* out, int64_t ldo);
};

template <class XT, class YT>
using Convert = void (*)(const XT* x, int64_t stride, YT* out, int64_t ldo, int64_t rows, int64_t columns);

// An operand of a product, anywhere in memory; strides count numbers.
template <class XT>
struct Strided {
  const XT* p;
  int64_t row_stride, column_stride;
};

// C (m, n) = A (m, k) B (k, n), or C += A B; C's rows are ldc apart.
template <class AT, class BT, class CT>
struct ProductKernels {
  int64_t (*scratch)(int64_t m, int64_t n, int64_t k) = nullptr;
  void (*run)(const Strided<AT>&, const Strided<BT>&, CT* c, int64_t ldc, int64_t m, int64_t n, int64_t k, bool add,
              void* scratch) = nullptr;
};
// Those of bfloat16 that are multiplied in pairs: exact products, sums in float32; a float32 A is rounded to bfloat16.
struct PairKernels {
  ProductKernels<BFloat16, BFloat16, float> bb;
  ProductKernels<float, BFloat16, float> fb;
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
  CurvatureKernels curvature;
  RowKernels<double, double> rows_d;
  RowKernels<float, float> rows_f;
  RowKernels<BFloat16, float> rows_b;
  Convert<float, BFloat16> narrow;
  Convert<BFloat16, float> widen;
  ProductKernels<double, double, double> product_dd;
  ProductKernels<float, float, float> product_ff;
  ProductKernels<Half, Half, float> product_hh;
  ProductKernels<BFloat16, BFloat16, float> product_bb;
  ProductKernels<float, Half, float> product_fh;
  ProductKernels<float, BFloat16, float> product_fb;
};

const Kernels& kernels_baseline();
#if defined(XENT_X86)
const Kernels& kernels_avx2();
const Kernels& kernels_avx512();
PairKernels pair_kernels();
PairKernels amx_kernels();
#endif

}  // namespace xent
