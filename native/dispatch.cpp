// Chooses the instruction set, cuts the rows into one range a thread, adds the ranges up.
#include "dispatch.hpp"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <memory>
#include <new>
#include <type_traits>
#include <vector>

#if defined(_OPENMP)
#include <omp.h>
#endif
#if defined(__unix__) || defined(__APPLE__)
#include <pthread.h>
#endif

namespace xent {
namespace {

// libgomp's thread pool does not survive fork(): a child that enters a parallel region after its
// parent did waits for threads that no longer exist. A forked child therefore runs on one thread.
std::atomic<bool> forked{false};
[[maybe_unused]] const bool fork_handler = [] {
#if defined(__unix__) || defined(__APPLE__)
  pthread_atfork(nullptr, nullptr, [] { forked = true; });
#endif
  return true;
}();

struct AlignedDelete {
  void operator()(void* p) const { ::operator delete[](p, std::align_val_t{kAlign}); }
};
template <class T>
using Buffer = std::unique_ptr<T[], AlignedDelete>;
template <class T>
Buffer<T> allocate(size_t count) {
  return Buffer<T>(static_cast<T*>(::operator new[](count * sizeof(T), std::align_val_t{kAlign})));
}
template <class T>
Buffer<T> zeros(size_t count) {
  auto p = allocate<T>(count);
  std::fill_n(p.get(), count, T(0));
  return p;
}

// Runs work(thread, lo, hi) over [0, n) cut at multiples of kBlock, the same cut for the same
// thread count, and returns the number of ranges. Too little work is not worth waking a thread.
template <class Work>
void over_rows(int64_t n, int threads, Work&& work) {
  const int64_t blocks = (n + kBlock - 1) / kBlock;
  auto edge = [&](int t) { return std::min(n, blocks * t / threads * kBlock); };
#if defined(_OPENMP)
#pragma omp parallel for num_threads(threads) schedule(static, 1) if (threads > 1)
#endif
  for (int t = 0; t < threads; ++t) work(t, edge(t), edge(t + 1));
}

int plan_threads(int requested, int64_t n, double flops) {
#if defined(_OPENMP)
  int threads = requested > 0 ? requested : omp_get_max_threads();
  if (forked) threads = 1;
#else
  int threads = 1;
#endif
  const int64_t blocks = (n + kBlock - 1) / kBlock;
  if (requested <= 0 && flops < 2e5) threads = 1;  // a parallel region costs about 5 us
  return static_cast<int>(std::max<int64_t>(1, std::min<int64_t>(threads, blocks)));
}

int round_up(int k, int lanes) { return (k + lanes - 1) / lanes * lanes; }

template <class XT, class CT>
FusedFn<XT, CT> fused_of(const Kernels& s) {
  if constexpr (std::is_same_v<XT, double>) return s.fused_dd;
  else if constexpr (std::is_same_v<CT, double>) return s.fused_fd;
  else return s.fused_ff;
}

void merge(Totals& totals, const std::vector<Accumulator>& parts) {
  for (const auto& p : parts) {
    if (p.bad_row >= 0 && (totals.bad_row < 0 || p.bad_row < totals.bad_row)) totals.bad_row = p.bad_row;
    totals.tally.add(p.tally);
  }
}

}  // namespace

const Kernels* find_kernels(const char* wanted) {
  const bool any = wanted == nullptr || *wanted == 0;
#if defined(XENT_X86)
  __builtin_cpu_init();
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  const bool avx512 = avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
                      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512bw");
  if (avx512 && (any || !std::strcmp(wanted, "avx512"))) return &kernels_avx512();
  if (avx2 && (any || !std::strcmp(wanted, "avx2"))) return &kernels_avx2();
#endif
  return any || !std::strcmp(wanted, "baseline") ? &kernels_baseline() : nullptr;
}

template <class XT, class CT>
Totals fused_sums(const Kernels& set, const Rows<XT>& rows, const CT* w, const CT* b, int k, double* grad_w,
                  double* grad_b, int requested) {
  const int lanes = std::is_same_v<CT, float> ? set.lanes_f32 : set.lanes_f64;
  const int kp = round_up(k, lanes);
  const int64_t d = rows.d;
  auto wt = zeros<CT>(std::max<int64_t>(d, 1) * kp);
  auto bias = allocate<CT>(kp);
  for (int c = 0; c < kp; ++c) bias[c] = c < k ? b[c] : -__builtin_inff();
  for (int c = 0; c < k; ++c)
    for (int64_t j = 0; j < d; ++j) wt[j * kp + c] = w[c * d + j];

  const int threads = plan_threads(requested, rows.n, 4.0 * rows.n * d * k + 20.0 * rows.n * k);
  std::vector<Accumulator> parts(threads);
  std::vector<Buffer<double>> grads(threads);
  std::vector<Buffer<CT>> logits(threads);
  std::vector<Buffer<XT>> packed(threads);
  for (int t = 0; t < threads; ++t) {  // allocated here: an exception must not leave a parallel region
    grads[t] = zeros<double>((d + 1) * kp);
    logits[t] = allocate<CT>(kBlock * kp);
    packed[t] = allocate<XT>(rows.col_stride == 1 ? 1 : kBlock * d);
    parts[t].grad_wt = grad_w ? grads[t].get() : nullptr;
    parts[t].grad_b = grads[t].get() + d * kp;
  }
  over_rows(rows.n, threads, [&](int t, int64_t lo, int64_t hi) {
    fused_of<XT, CT>(set)(rows, {wt.get(), bias.get(), k, kp}, lo, hi, {logits[t].get(), packed[t].get()}, parts[t]);
  });

  Totals totals;
  merge(totals, parts);
  for (int c = 0; c < k; ++c) {
    grad_b[c] = 0;
    for (int t = 0; t < threads; ++t) grad_b[c] += parts[t].grad_b[c];
    if (!grad_w) continue;
    for (int64_t j = 0; j < d; ++j) {
      double sum = 0;
      for (int t = 0; t < threads; ++t) sum += grads[t][j * kp + c];
      grad_w[c * d + j] = sum;
    }
  }
  return totals;
}

template <class CT>
Totals softmax_residual(const Kernels& set, CT* z, int64_t n, int64_t stride, int k, const int64_t* y,
                        const double* weight, int requested) {
  const int threads = plan_threads(requested, n, 20.0 * n * k);
  std::vector<Accumulator> parts(threads);
  SoftmaxFn<CT> fn;
  if constexpr (std::is_same_v<CT, float>) fn = set.softmax_f;
  else fn = set.softmax_d;
  over_rows(n, threads, [&](int t, int64_t lo, int64_t hi) { fn(z, stride, k, y, weight, lo, hi, parts[t]); });
  Totals totals;
  merge(totals, parts);
  return totals;
}

int max_threads() {
#if defined(_OPENMP)
  return forked ? 1 : omp_get_max_threads();
#else
  return 1;
#endif
}

template Totals fused_sums(const Kernels&, const Rows<float>&, const float*, const float*, int, double*, double*, int);
template Totals fused_sums(const Kernels&, const Rows<float>&, const double*, const double*, int, double*, double*, int);
template Totals fused_sums(const Kernels&, const Rows<double>&, const double*, const double*, int, double*, double*, int);
template Totals softmax_residual(const Kernels&, float*, int64_t, int64_t, int, const int64_t*, const double*, int);
template Totals softmax_residual(const Kernels&, double*, int64_t, int64_t, int, const int64_t*, const double*, int);

}  // namespace xent
