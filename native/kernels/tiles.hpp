// The softmax for logits that others multiply out (BLAS), in tiles of classes, one thread's rows at a time: begin,
// scan every tile, finish, then turn every tile into the gradient.
#pragma once
#include "blocks.hpp"

namespace xent {
namespace {

template <class CT>
void tile_begin(void* memory, int64_t capacity, const Targets& targets, const int64_t* index, int live, int filled) {
  begin_rows<CT>(targets, index, live, filled, State<CT>(memory, capacity));
}

// A null q where targets are not soft. `peak` receives what tile_residual must know of this tile, filled rows.
template <class CT>
void tile_scan(void* memory, int64_t capacity, const Targets& targets, CT* z, int64_t ldz, int64_t first, int64_t classes,
               int filled, const CT* q, CT* peak) {
  const State<CT> state(memory, capacity);
  with_targets(targets, [&]<Target Kind, bool Smooth>() {
    scan_tile<CT, Kind, Smooth, true>(z, ldz, first, classes, filled, q, state, peak);
  });
}

template <class CT>
void tile_finish(void* memory, int64_t capacity, const Targets& targets, int filled, Tally& tally) {
  const State<CT> state(memory, capacity);
  with_targets(targets,
               [&]<Target Kind, bool Smooth>() { finish_rows<CT, Kind, Smooth>(filled, targets.smoothing, state, tally); });
}

// z as tile_scan left it, or, with a null `peak`, logits once more.
template <class CT>
void tile_residual(const void* memory, int64_t capacity, const Targets& targets, CT* z, int64_t ldz, int64_t first,
                   int64_t classes, int filled, const CT* q, const CT* peak) {
  const State<CT> state(const_cast<void*>(memory), capacity);
  if (!peak) exponentials<CT>(z, ldz, classes, filled, targets.smoothing > 0, state);
  with_targets(targets, [&]<Target Kind, bool Smooth>() {
    residual_tile<CT, Kind, Smooth>(z, ldz, first, classes, filled, targets.smoothing, q, state, peak);
  });
}

// The sums of every row, kKept numbers each, for callers that weigh the gradients later: the largest logit, R,
// the largest one's class, classes not masked, the loss, Σ q, and Σ q (z − largest) before smoothing.
template <class CT>
void tile_save(const void* memory, int64_t capacity, const Targets& targets, int live, double* out) {
  const State<CT> state(const_cast<void*>(memory), capacity);
  const bool label = targets.kind == Target::label;
  for (int i = 0; i < live; ++i, out += kKept) {
    const double at[kKept] = {static_cast<double>(state.peak[i]),
                              state.rest[i],
                              static_cast<double>(state.winner[i]),
                              static_cast<double>(state.live[i]),
                              state.loss[i],
                              label ? 1.0 : state.q_others[i] + state.q_winner[i],
                              label ? static_cast<double>(state.at_label[i]) - state.peak[i] : -state.gap[i]};
    for (int j = 0; j < kKept; ++j) out[j] = at[j];
  }
}

// Rows as tile_save left them, ready for tile_residual: exp(z − largest) times `scale`, less `given` times the target
// (of which a smoothed one keeps its share) and `share`; at the largest, `top`. `in`: kGiven numbers per row.
template <class CT>
void tile_restore(void* memory, int64_t capacity, const Targets& targets, int live, int filled, const double* in) {
  const State<CT> state(memory, capacity);
  for (int i = 0; i < filled; ++i) {
    const double* row = in + (i < live ? i : live - 1) * kGiven;
    state.peak[i] = static_cast<CT>(row[0]);
    state.rest[i] = row[1];
    state.winner[i] = static_cast<Int<CT>>(row[2]);
    state.scale[i] = row[3];
    state.weight[i] = row[4] / (1 - targets.smoothing);
    state.share[i] = row[5];
    state.top[i] = row[6];
  }
}

}  // namespace
}  // namespace xent
