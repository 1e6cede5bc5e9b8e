// The passes over rows, compiled once per instruction set (see CMakeLists.txt):
//   XENT_ISA     the name of the set, XENT_VECTOR its vector width in bytes.
#include "blocks.hpp"
#include "csr.hpp"
#include "curvature.hpp"
#include "descent.hpp"
#include "matrix.hpp"
#include "products.hpp"
#include "rowwise.hpp"
#include "interface.hpp"
#include "tiles.hpp"

#define XENT_CAT_(a, b) a##b
#define XENT_CAT(a, b) XENT_CAT_(a, b)
#define XENT_STR_(a) #a
#define XENT_STR(a) XENT_STR_(a)

namespace xent {
namespace {

template <class XT, class CT>
struct DenseWork {
  Arena arena;
  Block<CT> block;
  CT* xt;
  XT* packed;
  DenseWork(void* memory, Task task, Target kind, const Dense<XT>& rows, int64_t classes)
      : arena(memory), block(arena, task, kind, rows.d * (int64_t)sizeof(XT), rows.d, classes) {
    const int64_t width = rows.d < kLanes<CT> ? kLanes<CT> : rows.d;
    xt = arena.take<CT>((width < 2 * kFeatures ? width : 2 * kFeatures) * block.ld);
    packed = arena.take<XT>(rows.col_stride == 1 && rows.d >= kLanes<CT> ? 0 : block.rows * width);
  }
};

// F-ordered X: `live` rows from `first` on, read along the columns, become packed rows. The same columns of the next
// rows are asked for meanwhile: a column is a page of its own, which no processor looks ahead into.
template <class XT>
void transpose_columns(const Dense<XT>& rows, int64_t first, int live, XT* packed) {
  constexpr int L = kLanes<XT>;
  for (int64_t j = 0; j < rows.d; j += L) {
    const int64_t to = j + L <= rows.d ? j : rows.d - L;
    for (int r = 0; r < live; r += L) {
      const int row = r + L <= live ? r : live - L;
      const XT* from = rows.x + first + row + to * rows.col_stride;
      Vec<XT> v[L];
      XENT_UNROLL for (int i = 0; i < L; ++i) {
        v[i] = load(from + i * rows.col_stride);
        prefetch(from + i * rows.col_stride, live * (int64_t)sizeof(XT));
      }
      Transpose<XT, L>::eval(v);
      XENT_UNROLL for (int i = 0; i < L; ++i) store(packed + (row + i) * rows.d + to, v[i]);
    }
  }
}

// Pointers to the features of `live` rows: in place where they are contiguous, else through `packed`. The block
// is filled up to whole vectors by its last row.
template <class XT, int L>
void find_rows(const Dense<XT>& rows, const int64_t* index, int live, int filled, XT* packed, const XT** x) {
  const bool in_place = rows.col_stride == 1 && rows.d >= L;
  const int64_t width = rows.d < L ? L : rows.d;
  for (int r = 0; r < live; ++r) x[r] = in_place ? rows.x + index[r] * rows.row_stride : packed + r * width;
  for (int r = live; r < filled; ++r) x[r] = x[live - 1];
  if (in_place) return;
  if (rows.d < L) __builtin_memset((void*)packed, 0, live * width * sizeof(XT));
  if (rows.col_stride == 1) {
    for (int r = 0; r < live; ++r)
      __builtin_memcpy((void*)(packed + r * width), rows.x + index[r] * rows.row_stride, rows.d * sizeof(XT));
    return;
  }
  if constexpr (sizeof(XT) >= 4)
    if (rows.row_stride == 1 && rows.d >= kLanes<XT> && live >= kLanes<XT> && index[live - 1] - index[0] == live - 1)
      return transpose_columns(rows, index[0], live, packed);
  constexpr int tile = 16;  // features at a time, so that what is read of them stays in cache
  for (int64_t j0 = 0; j0 < rows.d; j0 += tile)
    for (int r = 0; r < live; ++r) {
      const XT* src = rows.x + index[r] * rows.row_stride;
      for (int64_t j = j0; j < j0 + tile && j < rows.d; ++j) packed[r * width + j] = src[j * rows.col_stride];
    }
}

template <class XT, class CT>
void logits_of(const XT* const* x, int rows, int64_t width, const Model<CT>& model, CT* xt, CT* z, int64_t ld, int64_t ahead) {
  if (model.pinned)
    for (int r = 0; r < rows; ++r) z[r] = 0;
  z += model.pinned * ld;
  if (along_rows<CT>(width, model.k)) logits_along_rows<XT, CT>(x, rows, width, model, xt, z, ld, ahead);
  else logits_along_features<XT, CT>(x, rows, width, model, z, ld, ahead);
}

constexpr int64_t kAhead = 512 << 10;  // larger blocks would push each other out of the cache

template <class XT, class CT>
void dense_rows(const Job<CT>& job, const Dense<XT>& rows, int64_t lo, int64_t hi, Accumulator& acc) {
  constexpr int L = kLanes<CT>;
  const int64_t width = rows.d < L ? L : rows.d;
  const int classes = job.model.k + job.model.pinned;
  const DenseWork<XT, CT> work(job.scratch, job.task, job.targets.kind, rows, classes);
  const Block<CT>& block = work.block;
  const int64_t bytes = block.rows * rows.row_stride * (int64_t)sizeof(XT);
  const int64_t ahead = rows.col_stride == 1 && rows.d * block.rows * (int64_t)sizeof(XT) <= kAhead ? bytes : 0;
  const XT* x[kMaxRows];
  int64_t index[kMaxRows];
  for (int64_t start = lo, stop; start < hi; start = stop) {
    stop = start + block.rows < hi ? start + block.rows : hi;
    const int live = choose_rows(job.targets, classes, start, stop, index, &acc.bad_row);
    if (acc.bad_row >= 0) return;
    if (live == 0) continue;
    const int filled = round_up<CT>(live);
    find_rows<XT, L>(rows, index, live, filled, work.packed, x);
    logits_of<XT, CT>(x, filled, width, job.model, work.xt, block.z, block.ld, ahead);
    const CT* g = evaluate<CT>(
        job, block, index, live, filled,
        [&] { logits_of<XT, CT>(x, filled, width, job.direction, work.xt, block.a, block.ld, 0); }, acc);
    if (acc.bad_row >= 0) return;
    if (acc.grad_w) gradient_block<XT, CT>(x, filled, width, g, block.ld, job.model.k, acc.grad_w);
  }
}

template <class XT, class CT>
int64_t dense_scratch(Task task, Target kind, const Dense<XT>& rows, int64_t classes) {
  return DenseWork<XT, CT>(nullptr, task, kind, rows, classes).arena.used(nullptr);
}

template <class XT, class CT> constexpr DenseKernels<XT, CT> dense() {
  return {dense_rows<XT, CT>, dense_scratch<XT, CT>, along_rows<CT>, kLanes<CT>};
}
template <class XT, class CT, class Index> constexpr SparseKernels<XT, CT, Index> sparse() {
  return {sparse_rows<XT, CT, Index>, sparse_scratch<CT>, scatter<XT, CT, Index>};
}
template <class XT, class CT> constexpr RowKernels<XT, CT> by_row() { return {scan_rows<XT, CT>, residual_rows<XT, CT>}; }
template <class OT, class AT, class BT> constexpr ProductKernels<AT, BT, OT> products() {
  return {product_scratch<OT>, product<OT, AT, BT>};
}
template <class CT> constexpr TileKernels<CT> tiles() {
  return {kLanes<CT>,        State<CT>::bytes, tile_begin<CT>,   tile_scan<CT>, tile_finish<CT>,
          tile_residual<CT>, tile_save<CT>,    tile_restore<CT>, soft_tile<CT>};
}

}  // namespace

const Kernels& XENT_CAT(kernels_, XENT_ISA)() {
  static const Kernels table = {
      XENT_STR(XENT_ISA),
      dense<double, double>(),
      dense<float, double>(),
      dense<Half, double>(),
      dense<BFloat16, double>(),
      dense<float, float>(),
      dense<Half, float>(),
      dense<BFloat16, float>(),
      sparse<double, double, int32_t>(),
      sparse<double, double, int64_t>(),
      sparse<float, double, int32_t>(),
      sparse<float, double, int64_t>(),
      sparse<float, float, int32_t>(),
      sparse<float, float, int64_t>(),
      tiles<float>(),
      tiles<double>(),
      {descent_bytes<float>, descend<float>},
      {descent_bytes<double>, descend<double>},
      {curvature_stride, curvature_bytes, curvature_rows},
      by_row<double, double>(),
      by_row<float, float>(),
      by_row<BFloat16, float>(),
      convert<float, BFloat16>,
      convert<BFloat16, float>,
      products<double, double, double>(),
      products<float, float, float>(),
      products<float, Half, Half>(),
      products<float, BFloat16, BFloat16>(),
      products<float, float, Half>(),
      products<float, float, BFloat16>(),
  };
  return table;
}

}  // namespace xent
