// The weights as the kernels read them.
#pragma once
#include <cmath>

#include "memory.hpp"
#include "threads.hpp"

namespace xent {

// W (k, d) and b (k) as the caller has them, C-ordered.
template <class CT>
struct Weights {
  const CT *w = nullptr, *b = nullptr;
};

// Two classes are one: logits 0 and (w_1 - w_0) x + b_1 - b_0, gradients -g and g. Not where a class is masked, or a
// difference overflows.
template <class CT> int pinned_classes(const Weights<CT>& at, int classes, int64_t d) {
  if (classes != 2 || !std::isfinite(at.b[1] - at.b[0])) return 0;
  for (int64_t j = 0; j < d; ++j)
    if (!std::isfinite(at.w[d + j] - at.w[j])) return 0;
  return 1;
}

// Rows aligned and filled up with zeros, or transposed, ld numbers per row.
template <class CT>
class Packed {
 public:
  Packed(const Weights<CT>& from, int k, int pinned, int64_t d, int64_t width, bool transposed, int64_t ld, int threads)
      : w_(allocate<CT>(std::max<int64_t>(1, (transposed ? width : k) * ld))), b_(allocate<CT>(k)) {
    model = {transposed ? nullptr : w_.get(), transposed ? w_.get() : nullptr, b_.get(), ld, k, pinned};
    for (int c = 0; c < k; ++c) b_[c] = pinned ? from.b[1] - from.b[0] : from.b[c];
    auto weight = [&](int64_t c, int64_t j) {
      if (c >= k || j >= d) return CT(0);
      return pinned ? from.w[d + j] - from.w[j] : from.w[c * d + j];
    };
    if (!transposed) {
      for (int64_t c = 0; c < k; ++c)
        for (int64_t j = 0; j < ld; ++j) w_[c * ld + j] = weight(c, j);
      return;
    }
    over_rows(width, threads, [&](int, int64_t lo, int64_t hi) {
      for (int64_t j0 = lo; j0 < hi; j0 += kTile)
        for (int64_t c = 0; c < ld; ++c)
          for (int64_t j = j0; j < std::min(hi, j0 + kTile); ++j) w_[j * ld + c] = weight(c, j);
    });
  }
  Model<CT> model;

 private:
  static constexpr int64_t kTile = 16;
  Buffer<CT> w_, b_;
};

}  // namespace xent
