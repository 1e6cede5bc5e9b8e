// A whole call: labels looked at, its kind chosen, losses added up.
#include "losses.hpp"

#include "rows.hpp"

namespace xent {

template <class XT>
Counted loss_forward(const Kernels& set, const LossCall<XT>& call, const Kept<XT>& kept, double* loss, double* stats, XT* total,
                     bool mean) {
  const Alive alive(call);
  if (alive.counted.bad_row >= 0) return alive.counted;
  const Known known{loss, stats, call.n};
  if (!alive.all) known.clear();
  if (alive.counted.live && call.w.p) forward_of_layer(set, call, alive, kept, known);
  else if (alive.counted.live) forward_of_logits(set, call, alive, known);
  if (total) {
    double sums[8] = {}, all = 0;
    for (int64_t i = 0; i < call.n; ++i) sums[i % 8] += loss[i];
    for (double sum : sums) all += sum;
    put(*total, static_cast<Computed<XT>>(mean ? all / std::max<int64_t>(alive.counted.live, 1) : all));
  }
  return alive.counted;
}

template <class XT>
void loss_backward(const Kernels& set, const LossCall<XT>& call, const Kept<XT>& kept, const double* stats, const double* up,
                   int64_t up_stride, const LossGradients<XT>& out) {
  const Alive alive(call);
  const Upstream upstream{stats, up, up_stride, call.n, call.label};
  if (!alive.counted.live) {
    if (out.x) std::fill_n(out.x, call.n * (call.w.p ? call.d : call.k), XT{});
    if (out.w) std::fill_n(out.w, call.k * call.d, XT{});
    if (out.b) std::fill_n(out.b, call.k, XT{});
    return;
  }
  if (call.w.p) backward_of_layer(set, call, alive, kept, upstream, out);
  else if (out.x) backward_of_logits(set, call, alive, upstream, out.x);
}

#define XENT_LOSS(XT)                                                                                                      \
  template Counted loss_forward(const Kernels&, const LossCall<XT>&, const Kept<XT>&, double*, double*, XT*, bool);        \
  template void loss_backward(const Kernels&, const LossCall<XT>&, const Kept<XT>&, const double*, const double*, int64_t, \
                              const LossGradients<XT>&);
XENT_LOSS(double)
XENT_LOSS(float)
XENT_LOSS(BFloat16)

}  // namespace xent
