// The softmax for logits that others multiply out (BLAS), in tiles of classes, one thread's rows at a time: begin,
// scan every tile, finish, then turn every tile into the gradient. For inclusion by rows.cpp only (see simd.hpp).
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
  with_targets(targets, [&]<Target Kind, bool Smooth>() {
    finish_rows<CT, Kind, Smooth>(filled, targets.smoothing, state, tally);
  });
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

}  // namespace
}  // namespace xent
