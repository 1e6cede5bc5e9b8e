// What both kinds of calls share: which rows count, the sums that forward keeps of them, and what backward takes. The kinds are
// logits in memory (logits.cpp) and layers (layer.cpp).
#pragma once
#include <cmath>
#include <numeric>
#include <vector>

#include "columns.hpp"
#include "isa.hpp"
#include "losses.hpp"
#include "threads.hpp"

namespace xent {

constexpr int64_t kRows = 256;   // at a time: a tile of 512 classes is half of a core's cache
constexpr int64_t kVector = 16;  // a multiple of every kernel's lanes
enum Field { kPeak, kRest, kWinner, kTarget };

inline float number(BFloat16 v) { return __builtin_bit_cast(float, static_cast<uint32_t>(v.bits) << 16); }
template <class T> T number(T v) { return v; }
inline void put(BFloat16& to, float v) {  // to nearest even; a NaN stays one
  const auto bits = __builtin_bit_cast(uint32_t, v);
  to.bits = static_cast<uint16_t>(v == v ? (bits + 0x7fff + ((bits >> 16) & 1)) >> 16 : (bits >> 16) | 0x40);
}
inline void put(float& to, float v) { to = v; }
inline void put(double& to, double v) { to = v; }

template <class XT> struct KernelsOf;
template <> struct KernelsOf<double> {
  static auto rows(const Kernels& set) { return set.rows_d; }
  static auto product(const Kernels& set) { return set.product_dd; }
  static auto back(const Kernels& set, bool) { return set.product_dd; }
};
template <> struct KernelsOf<float> {
  static auto rows(const Kernels& set) { return set.rows_f; }
  static auto product(const Kernels& set) { return set.product_ff; }
  static auto back(const Kernels& set, bool) { return set.product_ff; }
};
template <> struct KernelsOf<BFloat16> {
  static bool pairs(const Kernels& set) { return find_pair_kernels().bb.run && &set == find_kernels("avx512"); }
  static auto rows(const Kernels& set) { return set.rows_b; }
  static auto product(const Kernels& set) { return pairs(set) ? find_pair_kernels().bb : set.product_bb; }
  static auto back(const Kernels& set, bool rounds) { return rounds && pairs(set) ? find_pair_kernels().fb : set.product_fb; }
};

// The rows that are not ignored.
struct Alive {
  std::vector<int64_t> rows;
  Counted counted;
  bool all;
  template <class XT> explicit Alive(const LossCall<XT>& call) {
    int64_t dead = 0;
    for (int64_t i = 0; i < call.n; ++i) {
      if (call.label[i] == call.ignored) ++dead;
      else if (static_cast<uint64_t>(call.label[i]) >= static_cast<uint64_t>(call.k) && counted.bad_row < 0) counted.bad_row = i;
    }
    counted.live = call.n - dead;
    all = dead == 0;
    rows.resize(counted.live);
    if (all) std::iota(rows.begin(), rows.end(), 0);
    else
      for (int64_t i = 0, r = 0; i < call.n; ++i)
        if (call.label[i] != call.ignored) rows[r++] = i;
  }
  std::vector<int64_t> of(Range r) const { return {rows.begin() + r.from, rows.begin() + r.to}; }
};

template <class XT> Targets targets_of(const LossCall<XT>& call) {
  Targets t;
  t.kind = Target::label;
  t.label = call.label;
  return t;
}

// What is known of rows, written into the caller's memory.
struct Known {
  double *loss, *stats;
  int64_t n;
  void clear() const {
    std::fill_n(loss, n, 0.0);
    std::fill_n(stats, kFields * n, 0.0);
  }
  void put(int64_t i, double peak, double rest, double winner, double loss_here, double target) const {
    const double fields[kFields] = {peak, rest, winner, target};
    for (int f = 0; f < kFields; ++f) stats[f * n + i] = fields[f];
    loss[i] = loss_here;
  }
  // From what Columns::save says of them.
  void put(const std::vector<int64_t>& rows, const double* saved) const {
    for (int64_t i : rows) {
      put(i, saved[0], saved[1], saved[2], saved[4], saved[6]);
      saved += kKept;
    }
  }
};

// A row's gradient by its logits: exp(z − origin) scale, less `factor` at the label; `top` at the largest.
struct Row {
  double origin, rest, winner, scale, factor, share, top;
};
static_assert(sizeof(Row) == kGiven * sizeof(double));

struct Upstream {
  const double *stats, *up;
  int64_t up_stride, n;
  const int64_t* label;
  Row row(int64_t i) const {
    const double peak = stats[kPeak * n + i], rest = stats[kRest * n + i], winner = stats[kWinner * n + i];
    const double factor = up[i * up_stride], all = factor + (peak - peak), inverse = 1 / (1 + rest);
    const double own = static_cast<double>(label[i]) == winner ? factor : 0;
    return {peak == -HUGE_VAL ? 0 : peak, rest, winner, all * inverse, factor, 0, (all - own) - all * rest * inverse};
  }
  std::vector<Row> of(const std::vector<int64_t>& rows) const {
    std::vector<Row> found(rows.size());
    for (size_t r = 0; r < rows.size(); ++r) found[r] = row(rows[r]);
    return found;
  }
};

template <class XT>
void forward_of_logits(const Kernels& set, const LossCall<XT>& call, const Alive& alive, const Known& known);
template <class XT>
void backward_of_logits(const Kernels& set, const LossCall<XT>& call, const Alive& alive, const Upstream& up, XT* out);
template <class XT>
void forward_of_layer(const Kernels& set, const LossCall<XT>& call, const Alive& alive, const Kept<XT>& kept, const Known& known);
template <class XT>
void backward_of_layer(const Kernels& set, const LossCall<XT>& call, const Alive& alive, const Kept<XT>& kept, const Upstream& up,
                       const LossGradients<XT>& out);

}  // namespace xent
