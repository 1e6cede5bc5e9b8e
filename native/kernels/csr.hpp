// Sparse rows. Forward, a row gathers rows of W's transpose; backward, columns are dealt out among threads, and each
// thread goes through all rows and adds up what falls into its own columns: no gradient per thread, no atomics, the
// same bits every run.
#pragma once
#include "blocks.hpp"

namespace xent {
namespace {

// A few classes in a vector that need not be as wide as the machine's: 1, 4 or 8 numbers.
template <class T, int W> struct Group {
  typedef T type __attribute__((vector_size(W * sizeof(T))));
};
template <class T> struct Group<T, 1> {
  typedef T type;
};
template <class T, int W> XENT_INLINE typename Group<T, W>::type load_group(const T* p) {
  typename Group<T, W>::type v;
  __builtin_memcpy(&v, p, sizeof v);
  return v;
}
template <class T, int W> XENT_INLINE void store_group(T* p, typename Group<T, W>::type v) { __builtin_memcpy(p, &v, sizeof v); }

template <class F> XENT_INLINE void with_group(int k, F&& f) {
  if (k == 1) f.template operator()<1>();
  else if (k <= 4) f.template operator()<4>();
  else f.template operator()<8>();
}

constexpr int kGroups = kRegisters == 32 ? 12 : 6;

// The rows of W reached by the numbers stored a little later are asked for now: they lie all over.
constexpr int kSoon = 12;
template <int Count, class T> XENT_INLINE void ask_for(const T* p) {
  for (int64_t at = 0; at < Count * (int64_t)sizeof(T); at += 64) __builtin_prefetch(reinterpret_cast<const char*>(p) + at, 0, 3);
}

// z[c] = b[c] + sum_j x_j wt[j][c] for NG groups of classes of one row.
template <class XT, class CT, class Index, int W, int NG>
XENT_INLINE void gather_row(const XT* value, const Index* column, int64_t stored, const CT* wt, int64_t ld, CT* z) {
  typename Group<CT, W>::type acc[NG] = {};
  for (int64_t i = 0; i < stored; ++i) {
    const CT x = (CT)value[i];
    if (i + kSoon < stored) ask_for<NG * W>(wt + (int64_t)column[i + kSoon] * ld);
    const CT* w = wt + (int64_t)column[i] * ld;
    XENT_UNROLL for (int v = 0; v < NG; ++v) acc[v] += x * load_group<CT, W>(w + v * W);
  }
  XENT_UNROLL for (int v = 0; v < NG; ++v) store_group<CT, W>(z + v * W, acc[v]);
}

template <class CT>
struct SparseWork {
  Arena arena;
  Block<CT> block;
  CT* row;
  SparseWork(void* memory, Task task, Target kind, int64_t classes, int64_t ld)
      : arena(memory), block(arena, task, kind, 0, 0, classes), row(arena.take<CT>(ld)) {}
};

// Logits of the chosen rows, class by class; false where a row points outside of X.
template <class XT, class CT, class Index>
bool gather_rows(const Sparse<XT, Index>& rows, const int64_t* index, int live, int filled, const Model<CT>& model, CT* row,
                 CT* z, int64_t ldz, Accumulator& acc) {
  for (int r = 0; r < filled; ++r)
    for (int c = 0; c < model.pinned; ++c) z[c * ldz + r] = 0;
  z += model.pinned * ldz;
  for (int r = 0; r < live; ++r) {
    const int64_t start = rows.start[index[r]], stop = rows.start[index[r] + 1];
    bool good = true;
    for (int64_t i = start; good && i < stop; ++i) good = rows.column[i] >= 0 && rows.column[i] < rows.d;
    if (!good) {
      acc.bad_sparse = index[r];
      return false;
    }
    const Index* column = rows.column + start;
    const XT* value = rows.value + start;
    with_group(model.k, [&]<int W>() {
      in_pieces<kGroups>((int)(model.ldw / W), [&]<int NG>(int g) {
        gather_row<XT, CT, Index, W, NG>(value, column, stop - start, model.wt + g * W, model.ldw, row + g * W);
      });
    });
    for (int c = 0; c < model.k; ++c) z[c * ldz + r] = row[c] + model.b[c];
  }
  for (int r = live; r < filled; ++r)
    for (int c = 0; c < model.k; ++c) z[c * ldz + r] = z[c * ldz + live - 1];
  return true;
}

// Rows [lo, hi): everything but the gradient by W, for which each row's g goes to `residuals`.
template <class XT, class CT, class Index>
void sparse_rows(const Job<CT>& job, const Sparse<XT, Index>& rows, const Residuals<CT>& residuals, int64_t lo, int64_t hi,
                 Accumulator& acc) {
  const Model<CT>& model = job.model;
  const int classes = model.k + model.pinned;
  const SparseWork<CT> work(job.scratch, job.task, job.targets.kind, classes, model.ldw);
  const Block<CT>& block = work.block;
  int64_t index[kMaxRows];
  for (int64_t start = lo, stop; start < hi; start = stop) {
    stop = start + block.rows < hi ? start + block.rows : hi;
    const int live = choose_rows(job.targets, classes, start, stop, index, &acc.bad_row);
    if (acc.bad_row >= 0) return;
    if (residuals.g)
      __builtin_memset((void*)(residuals.g + (start - residuals.first) * residuals.ld), 0,
                       (stop - start) * residuals.ld * sizeof(CT));
    if (live == 0) continue;
    const int filled = round_up<CT>(live);
    if (!gather_rows(rows, index, live, filled, model, work.row, block.z, block.ld, acc)) return;
    const CT* g = evaluate<CT>(
        job, block, index, live, filled,
        [&] { gather_rows(rows, index, live, filled, job.direction, work.row, block.a, block.ld, acc); }, acc);
    if (acc.bad_row >= 0) return;
    if (!residuals.g) continue;
    for (int r = 0; r < live; ++r) {
      CT* to = residuals.g + (index[r] - residuals.first) * residuals.ld;
      for (int c = 0; c < model.k; ++c) to[c] = g[c * block.ld + r];
    }
  }
}

template <class CT> int64_t sparse_scratch(Task task, Target kind, int64_t classes, int64_t ld) {
  return SparseWork<CT>(nullptr, task, kind, classes, ld).arena.used(nullptr);
}

// grad[j][c] += sum_i x_ij g[i][c] over rows [lo, hi) and columns [from, to); grad is (d, ld), double. Rows of weight
// 0 have g = 0 and are not read: they may hold NaN. Taking sorted columns in bands that stay in cache was slower: rows
// of 100 numbers leave too few in a band to pay for finding them.
template <class XT, class CT, class Index>
void scatter(const Sparse<XT, Index>& rows, const Targets& targets, const Residuals<CT>& residuals, int k, int64_t lo, int64_t hi,
             int64_t from, int64_t to, double* grad) {
  const int64_t ld = residuals.ld;
  for (int64_t i = lo; i < hi; ++i) {
    if (targets.weight && targets.weight[i] == 0) continue;
    if (targets.ignores && targets.label && targets.label[i] == targets.ignored) continue;
    const int64_t start = rows.start[i], stop = rows.start[i + 1];
    const CT* g = residuals.g + (i - residuals.first) * ld;
    with_group(k, [&]<int W>() {
      in_pieces<kGroups>((int)(ld / W), [&]<int NG>(int piece) {
        typename Group<double, W>::type gv[NG];
        XENT_UNROLL for (int v = 0; v < NG; ++v) {
          if constexpr (W == 1) gv[v] = g[piece + v];
          else gv[v] = __builtin_convertvector(load_group<CT, W>(g + (piece + v) * W), typename Group<double, W>::type);
        }
        for (int64_t e = start; e < stop; ++e) {
          const int64_t j = rows.column[e];
          if (j < from || j >= to) continue;
          if (e + kSoon < stop) ask_for<NG * W>(grad + rows.column[e + kSoon] * ld + piece * W);
          double* out = grad + j * ld + piece * W;
          const double x = rows.value[e];
          XENT_UNROLL for (int v = 0; v < NG; ++v)
              store_group<double, W>(out + v * W, load_group<double, W>(out + v * W) + x * gv[v]);
        }
      });
    });
  }
}

}  // namespace
}  // namespace xent
