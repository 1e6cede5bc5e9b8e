// Losses of logits that are there: long rows one by one, in place; short ones turned, kRows at a time.
#include "memory.hpp"
#include "pool.hpp"
#include "rows.hpp"

namespace xent {
namespace {

constexpr int64_t kShort = 48;  // classes: shorter rows are turned, since vectors along them would idle

// A thread that sleeps takes 50 to 500 us to wake: it is asked for work that takes longer.
template <class XT> int threads_of_logits(const LossCall<XT>& call) {
  return static_cast<int>(
      std::clamp<int64_t>(call.n * call.k >> 17, 1, std::min<int64_t>(call.threads, (call.n + kVector - 1) / kVector)));
}

// Short rows, turned: z (k, ld), live columns filled up by zeros.
template <class XT> struct Turned {
  using CT = Computed<XT>;
  static constexpr int64_t ld = kRows + kVector;
  Buffer<CT> z;
  explicit Turned(int64_t k) : z(spare_room<CT>(k * ld)) {}
  void read(const LossCall<XT>& call, const std::vector<int64_t>& rows, int64_t filled) const {
    const auto live = static_cast<int64_t>(rows.size());
    for (int64_t r = 0; r < live; ++r) {
      const XT* from = call.x.p + rows[r] * call.x.row_stride;
      for (int64_t c = 0; c < call.k; ++c) z[c * ld + r] = number(from[c * call.x.column_stride]);
    }
    for (int64_t c = 0; c < call.k; ++c) std::fill(&z[c * ld + live], &z[c * ld + filled], CT(0));
  }
  void write(const std::vector<int64_t>& rows, int64_t k, XT* out) const {
    for (size_t r = 0; r < rows.size(); ++r)
      for (int64_t c = 0; c < k; ++c) put(out[rows[r] * k + c], z[c * ld + r]);
  }
};

template <class F> void in_chunks(Range rows, F&& f) {
  for (int64_t at = rows.from; at < rows.to; at += kRows) f(Range{at, std::min(at + kRows, rows.to)});
}

// use(rows, their columns, their logits turned) of a chunk of rows of few classes at a time.
template <class XT, class F>
void over_turned(const Kernels& set, const LossCall<XT>& call, const Alive& alive, Range mine, F&& use) {
  const Turned<XT> turned(mine.size() ? call.k : 0);
  in_chunks(mine, [&](Range chunk) {
    const auto rows = alive.of(chunk);
    Columns<Computed<XT>> column(set, targets_of(call), rows, call.k);
    turned.read(call, rows, column.filled());
    use(rows, column, turned);
  });
}

}  // namespace

template <class XT>
void forward_of_logits(const Kernels& set, const LossCall<XT>& call, const Alive& alive, const Known& known) {
  const int threads = threads_of_logits(call);
  run_together(threads, [&](int t) {
    const Range mine = thread_range(alive.counted.live, kVector, t, threads);
    if (call.k >= kShort) {
      const auto scan = KernelsOf<XT>::rows(set).scan;
      for (int64_t r = mine.from; r < mine.to; ++r) {
        const int64_t i = alive.rows[r];
        const XT* z = call.x.p + i * call.x.row_stride;
        double found[kScanned];
        scan(z, 1, 0, call.k, 1, nullptr, false, found);
        const double peak = found[0], gap = peak - number(z[call.label[i]]);
        known.put(i, peak, found[1], found[2], (peak - peak) + (std::log1p(found[1]) + gap), -gap);
      }
      return;
    }
    over_turned(set, call, alive, mine, [&](const auto& rows, auto& column, const Turned<XT>& turned) {
      column.scan(turned.z.get(), Turned<XT>::ld, 0, call.k, nullptr);
      column.finish();
      double saved[kRows * kKept];
      column.save(saved);
      known.put(rows, saved);
    });
  });
}

template <class XT>
void backward_of_logits(const Kernels& set, const LossCall<XT>& call, const Alive& alive, const Upstream& up, XT* out) {
  using CT = Computed<XT>;
  if (!alive.all) std::fill_n(out, call.n * call.k, XT{});
  const int threads = threads_of_logits(call);
  run_together(threads, [&](int t) {
    const Range mine = thread_range(alive.counted.live, kVector, t, threads);
    if (call.k >= kShort) {
      const auto residual = KernelsOf<XT>::rows(set).residual;
      for (int64_t r = mine.from; r < mine.to; ++r) {
        const int64_t i = alive.rows[r], label = call.label[i];
        const XT* z = call.x.p + i * call.x.row_stride;
        const Row row = up.row(i);
        const double given[3] = {row.origin, row.scale, 0};
        XT* to = out + i * call.k;
        residual(z, 1, 0, call.k, 1, nullptr, given, to, 0);
        put(to[label], static_cast<CT>(std::exp(number(z[label]) - row.origin) * row.scale - row.factor));
        put(to[static_cast<int64_t>(row.winner)], static_cast<CT>(row.top));
      }
      return;
    }
    over_turned(set, call, alive, mine, [&](const auto& rows, auto& column, const Turned<XT>& turned) {
      column.restore(reinterpret_cast<const double*>(up.of(rows).data()));
      column.residual(turned.z.get(), Turned<XT>::ld, 0, call.k, nullptr);
      turned.write(rows, call.k, out);
    });
  });
}

#define XENT_LOGITS(XT)                                                                             \
  template void forward_of_logits(const Kernels&, const LossCall<XT>&, const Alive&, const Known&); \
  template void backward_of_logits(const Kernels&, const LossCall<XT>&, const Alive&, const Upstream&, XT*);
XENT_LOGITS(double)
XENT_LOGITS(float)
XENT_LOGITS(BFloat16)

}  // namespace xent
