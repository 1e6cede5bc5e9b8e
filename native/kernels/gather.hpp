// Rows of an array, whatever its strides and storage, into scratch memory.
#pragma once
#include "functions.hpp"
#include "simd.hpp"

namespace xent {
namespace {

constexpr int kMostAxes = 64;  // NumPy's

// Where rows [from, from + count) begin.
template <class XT> void find(const Rows<XT>& rows, int64_t from, int count, int64_t* base) {
  if (rows.axes <= 1) {
    for (int r = 0; r < count; ++r) base[r] = rows.axes ? (from + r) * rows.stride[0] : 0;
    return;
  }
  int64_t at[kMostAxes], place = 0;
  for (int a = rows.axes - 1; a >= 0; --a) {
    at[a] = from % rows.shape[a];
    from /= rows.shape[a];
    place += at[a] * rows.stride[a];
  }
  for (int r = 0; r < count; ++r) {
    base[r] = place;
    for (int a = rows.axes - 1; a >= 0; --a) {
      place += rows.stride[a];
      if (++at[a] < rows.shape[a]) break;
      place -= rows.shape[a] * rows.stride[a];
      at[a] = 0;
    }
  }
}

inline bool side_by_side(const int64_t* base, int live) {
  for (int r = 1; r < live; ++r)
    if (base[r] != base[0] + r) return false;
  return true;
}

// `count` numbers, `step` apart, filled up with `filler` to a multiple of `whole`, and less than a vector beyond.
template <class CT, class XT> XENT_INLINE void read_row(const XT* from, int64_t step, int64_t count, CT* to, CT filler,
                                                        int whole) {
  constexpr int L = kLanes<CT>;
  if (step == 1 && count >= L) {  // the last vector may have some numbers of the one before
    for (int64_t c = 0; c + L <= count; c += L) store(to + c, lanes<CT>(from + c));
    store(to + count - L, lanes<CT>(from + count - L));
  } else {
    for (int64_t c = 0; c < count; ++c) to[c] = (CT)number(from[c * step]);
  }
  for (int64_t c = count; c % whole && c < (count + whole - 1) / whole * whole; c += L) store(to + c, filler + Vec<CT>{});
}

// Numbers that lie a page or more from the last ones: no processor looks ahead so far.
constexpr int kAhead = 8;
template <bool Write, class XT> XENT_INLINE void ask_for(const XT* p, int64_t count) {
  for (int64_t i = 0; i < count; i += kAlign / (int64_t)sizeof(XT)) __builtin_prefetch(p + i, Write, 3);
}

// `live` rows that begin at p + base become columns of (classes, ld).
template <class CT, class XT>
void read_columns(const XT* p, const int64_t* base, int live, int64_t step, int64_t classes, CT* to, int64_t ld, CT filler,
                  int whole) {
  if (side_by_side(base, live)) {
    for (int64_t c = 0; c < classes; ++c) {
      ask_for<false>(p + base[0] + (c + kAhead) * step, c + kAhead < classes ? live : 0);
      read_row<CT>(p + base[0] + c * step, 1, live, to + c * ld, filler, whole);
    }
    return;
  }
  constexpr int L = kLanes<CT>;
  const int64_t turned = step == 1 ? classes / L * L : 0;  // of as many rows as classes a square in registers
  for (int r = 0; r < live; ++r) {
    const XT* from = p + base[r];
    const bool square = r / L * L + L <= live;
    if (square && r % L == 0)
      for (int64_t c = 0; c < turned; c += L) {
        Vec<CT> v[L];
        for (int i = 0; i < L; ++i) v[i] = lanes<CT>(p + base[r + i] + c);
        Transpose<CT, L>::eval(v);
        for (int i = 0; i < L; ++i) store(to + (c + i) * ld + r, v[i]);
      }
    for (int64_t c = square ? turned : 0; c < classes; ++c) to[c * ld + r] = (CT)number(from[c * step]);
  }
  for (int64_t c = 0; live % whole && c < classes; ++c)
    for (int r = live; r % whole; ++r) to[c * ld + r] = filler;
}

}  // namespace
}  // namespace xent
