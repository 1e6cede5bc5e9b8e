// What dense and sparse passes share: a block of rows whose logits are there is turned into what the task asks
// for.
#pragma once
#include "softmax.hpp"

namespace xent {
namespace {

template <class T> constexpr int round_up(int n) { return (n + kLanes<T> - 1) / kLanes<T> * kLanes<T>; }

// Two blocks, this and the next, stay in a 1 MiB cache beside the gradient where they can: X is read from memory once.
// Where the gradient does not fit anyway, more rows a block mean fewer trips to it. With very many classes their logits
// set the size: 64 MiB of them.
template <class CT> int block_rows(int64_t row_bytes, int64_t d, int64_t classes) {
  const bool fits = row_bytes <= 8192 && d * classes * 8 <= (512 << 10);
  const int rows = row_bytes > 2048 && fits ? kMaxRows / 2 : kMaxRows;
  const int64_t fit = (int64_t(64) << 20) / (classes * (int64_t)sizeof(CT)) / kLanes<CT> * kLanes<CT>;
  return fit >= rows ? rows : fit < kLanes<CT> ? kLanes<CT> : (int)fit;
}

// The places of a thread's arrays in its scratch memory; from null, how many bytes they need.
class Arena {
 public:
  explicit Arena(void* memory) : at_(static_cast<char*>(memory)) {}
  template <class T> T* take(int64_t count) {
    char* p = at_;
    at_ += (count * (int64_t)sizeof(T) + kAlign - 1) / kAlign * kAlign;
    return reinterpret_cast<T*>(p);
  }
  int64_t used(const void* memory) const { return at_ - static_cast<const char*>(memory); }

 private:
  char* at_;
};

// The rows of [lo, hi) that count: their numbers, and whether a label is outside the classes.
inline int choose_rows(const Targets& t, int64_t classes, int64_t lo, int64_t hi, int64_t* index, int64_t* bad_row) {
  if (!t.weight && !t.ignores) {  // nearly always: no branch per row
    bool bad = false;
    for (int64_t i = lo; i < hi; ++i) {
      index[i - lo] = i;
      if (t.kind == Target::label) bad |= (uint64_t)t.label[i] >= (uint64_t)classes;
    }
    if (!bad) return (int)(hi - lo);
  }
  int live = 0;
  for (int64_t i = lo; i < hi; ++i) {
    if (t.weight && t.weight[i] == 0) continue;
    if (t.kind == Target::label) {
      if (t.ignores && t.label[i] == t.ignored) continue;
      if (t.label[i] < 0 || t.label[i] >= classes) {
        *bad_row = i;
        return 0;
      }
    }
    index[live++] = i;
  }
  return live;
}

// Soft targets of the chosen rows as q[c * ldq + r], classes [first, first + classes) of k.
template <class CT>
void soft_tile(const Targets& t, const int64_t* index, int live, int64_t first, int64_t classes, CT* q, int64_t ldq, int64_t k,
               int rows, int64_t* bad_row) {
  for (int64_t c = 0; c < classes; ++c)
    for (int r = 0; r < rows; ++r) q[c * ldq + r] = 0;
  for (int r = 0; r < live; ++r) {
    const int64_t i = index[r];
    for (int64_t j = 0; j < t.top; ++j) {
      const int64_t c = t.top_class[i * t.top + j];
      if (c < 0 || c >= k) {
        if (*bad_row < 0) *bad_row = i;
        continue;
      }
      if (c >= first && c < first + classes) q[(c - first) * ldq + r] += (CT)t.top_value[i * t.top + j];
    }
    if (!t.soft_f && !t.soft_d) continue;
    for (int64_t c = 0; c < classes; ++c)
      q[c * ldq + r] = t.soft_f ? (CT)t.soft_f[i * k + first + c] : (CT)t.soft_d[i * k + first + c];
  }
}

template <class CT>
void begin_rows(const Targets& t, const int64_t* index, int live, int filled, const State<CT>& state) {
  start_rows<CT>(filled, state);
  for (int r = 0; r < live; ++r) state.weight[r] = t.weight ? t.weight[index[r]] : 1.0;
  for (int r = 0; r < live; ++r) state.label[r] = t.kind == Target::label ? (Int<CT>)t.label[index[r]] : -1;
  for (int r = live; r < filled; ++r) state.weight[r] = 0, state.label[r] = state.label[live - 1];
}

// f.template operator()<Kind, Smooth>() for the targets at hand.
template <class F> XENT_INLINE void with_targets(const Targets& t, F&& f) {
  if (t.kind == Target::none) return f.template operator()<Target::none, false>();
  if (t.kind == Target::label)
    return t.smoothing > 0 ? f.template operator()<Target::label, true>() : f.template operator()<Target::label, false>();
  return t.smoothing > 0 ? f.template operator()<Target::soft, true>() : f.template operator()<Target::soft, false>();
}

template <class CT> void add_bias_gradient(const CT* g, int64_t ld, int classes, int rows, double* grad_b) {
  for (int c = 0; c < classes; ++c) {
    Vec<double> sum{};
    for (int r = 0; r < rows; r += kLanes<CT>) {
      Vec<double> part[kWide<CT>];
      widen<CT>(part, load(g + c * ld + r));
      for (int h = 0; h < kWide<CT>; ++h) sum += part[h];
    }
    grad_b[c] += horizontal_sum(sum);
  }
}

// z[c * ld + r] += the offset of chosen row r (rows that fill up the block weigh nothing and need none). A cache line
// of classes at a time: z goes down the classes, the offsets along them.
template <class CT, class OT>
void add_offsets(const OT* offset, const int64_t* index, int live, int64_t classes, CT* z, int64_t ld) {
  constexpr int64_t line = kAlign / sizeof(OT);
  for (int64_t c0 = 0; c0 < classes; c0 += line) {
    const int64_t count = c0 + line < classes ? line : classes - c0;
    for (int r = 0; r < live; ++r) {
      const OT* from = offset + index[r] * classes + c0;
      for (int64_t c = 0; c < count; ++c) z[(c0 + c) * ld + r] += (CT)from[c];
    }
  }
}

// A thread's block of rows: logits z and, for a curvature pass, their direction a, class by class.
template <class CT>
struct Block {
  int rows;    // at most
  int64_t ld;  // not a power of two: classes would share cache sets
  CT *z, *a, *q;
  void* state;
  Block(Arena& arena, Task task, Target kind, int64_t row_bytes, int64_t d, int64_t classes)
      : rows(block_rows<CT>(row_bytes, d, classes)),
        ld(rows + kLanes<CT>),
        z(arena.take<CT>(classes * ld)),
        a(arena.take<CT>(task == Task::curvature ? classes * ld : 0)),
        q(arena.take<CT>(kind == Target::soft ? classes * ld : 0)),
        state(arena.take<char>(State<CT>::bytes(rows))) {}
};

// The logits in block.z, offsets still to come, become what the task asks for; direction() fills block.a when it is needed.
// Returns where the gradient with respect to the logits is, if the task has one.
template <class CT, class Direction>
CT* evaluate(const Job<CT>& job, const Block<CT>& block, const int64_t* index, int live, int filled, Direction&& direction,
             Accumulator& acc) {
  const int classes = job.model.k + job.model.pinned;
  const int64_t ld = block.ld;
  const State<CT> state(block.state, block.rows);
  Tally tally;
  begin_rows<CT>(job.targets, index, live, filled, state);
  if (job.targets.offset_f) add_offsets(job.targets.offset_f, index, live, classes, block.z, ld);
  if (job.targets.offset_d) add_offsets(job.targets.offset_d, index, live, classes, block.z, ld);
  CT* g = block.z;
  if (job.task == Task::sums) {
    if (job.targets.kind == Target::soft)
      soft_tile<CT>(job.targets, index, live, 0, classes, block.q, ld, classes, filled, &acc.bad_row);
    with_targets(job.targets, [&]<Target Kind, bool Smooth>() {
      scan_tile<CT, Kind, Smooth, true>(block.z, ld, 0, classes, filled, block.q, state, nullptr);
      finish_rows<CT, Kind, Smooth>(filled, job.targets.smoothing, state, tally);
      if (acc.grad_b)
        residual_tile<CT, Kind, Smooth>(block.z, ld, 0, classes, filled, job.targets.smoothing, block.q, state, nullptr);
    });
    acc.tally.add(tally);
  } else if (job.task == Task::log_probabilities || job.task == Task::classes) {
    scan_tile<CT, Target::none, false, false>(block.z, ld, 0, classes, filled, nullptr, state, nullptr);
    finish_rows<CT, Target::none, false>(filled, 0, state, tally);
    if (job.task == Task::log_probabilities) log_probabilities<CT>(block.z, ld, classes, filled, state);
  } else if (job.task != Task::logits) {
    // Probabilities, for themselves or for the curvature, are a gradient without a target, of weight 1.
    double weight[kMaxRows];
    for (int r = 0; r < filled; ++r) weight[r] = state.weight[r], state.weight[r] = 1;
    scan_tile<CT, Target::none, false, true>(block.z, ld, 0, classes, filled, nullptr, state, nullptr);
    finish_rows<CT, Target::none, false>(filled, 0, state, tally);
    residual_tile<CT, Target::none, false>(block.z, ld, 0, classes, filled, 0, nullptr, state, nullptr);
    for (int r = 0; r < filled; ++r) state.weight[r] = weight[r];
    if (job.task == Task::curvature) {
      direction();
      curvature_tile<CT>(block.z, block.a, ld, classes, filled, state);
      g = block.a;
    }
  }
  if (job.out)
    for (int r = 0; r < live; ++r)
      for (int c = 0; c < classes; ++c) job.out[index[r] * classes + c] = block.z[c * ld + r];
  if (job.out_class)
    for (int r = 0; r < live; ++r) job.out_class[index[r]] = state.winner[r];
  g += job.model.pinned * ld;
  if (acc.grad_b) add_bias_gradient<CT>(g, ld, job.model.k, filled, acc.grad_b);
  return g;
}

}  // namespace
}  // namespace xent
