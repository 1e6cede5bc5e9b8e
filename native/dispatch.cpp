// Chooses the instruction set, cuts the rows into one range a thread, adds the ranges up.
#include "dispatch.hpp"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <new>
#include <optional>
#include <type_traits>
#include <vector>

#if defined(_OPENMP)
#include <omp.h>
#endif
#if defined(__unix__) || defined(__APPLE__)
#include <pthread.h>
#endif
#if defined(__linux__)
#include <sys/syscall.h>
#include <unistd.h>
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

template <class T>
Buffer<T> zeros(size_t count) {
  auto p = allocate<T>(count);
  std::fill_n(p.get(), count, T(0));
  return p;
}

// Runs work(t) for t in [0, threads), each on its own thread.
template <class Work>
void over_threads(int threads, Work&& work) {
#if defined(_OPENMP)
#pragma omp parallel for num_threads(threads) schedule(static, 1) if (threads > 1)
#endif
  for (int t = 0; t < threads; ++t) work(t);
}

// Runs work(thread, lo, hi) over [0, n) cut at multiples of kMaxRows, the same cut for the same thread count.
template <class Work>
void over_rows(int64_t n, int threads, Work&& work) {
  const int64_t blocks = (n + kMaxRows - 1) / kMaxRows;
  auto edge = [&](int t) { return std::min(n, blocks * t / threads * kMaxRows); };
  over_threads(threads, [&](int t) { work(t, edge(t), edge(t + 1)); });
}

// Too little work is not worth waking a thread.
int plan_threads(int requested, int64_t n, double flops) {
#if defined(_OPENMP)
  int threads = requested > 0 ? requested : omp_get_max_threads();
  if (forked) threads = 1;
#else
  int threads = 1;
#endif
  const int64_t blocks = (n + kMaxRows - 1) / kMaxRows;
  // A parallel region costs about 5 us on idle cores, and the wait for a time slice on busy ones: milliseconds.
  if (requested <= 0 && flops < 2e6) threads = 1;
  return static_cast<int>(std::max<int64_t>(1, std::min<int64_t>(threads, blocks)));
}

void merge(Totals& totals, const std::vector<Accumulator>& parts) {
  auto first = [](int64_t& at, int64_t row) {
    if (row >= 0 && (at < 0 || row < at)) at = row;
  };
  for (const auto& p : parts) {
    first(totals.bad_row, p.bad_row);
    first(totals.bad_sparse, p.bad_sparse);
    totals.tally.add(p.tally);
  }
}

// Two classes are one: logits 0 and (w_1 - w_0) x + b_1 - b_0, gradients -g and g. Not where a class is masked, or a
// difference overflows.
template <class CT> int pinned_classes(const Weights<CT>& at, int classes, int64_t d) {
  if (classes != 2 || !std::isfinite(at.b[1] - at.b[0])) return 0;
  for (int64_t j = 0; j < d; ++j)
    if (!std::isfinite(at.w[d + j] - at.w[j])) return 0;
  return 1;
}

// The weights as the kernels read them: rows aligned and filled up with zeros, or transposed, ld numbers a row.
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

// Memory of a pass's threads, allocated by the caller's: an exception must not leave a parallel region.
struct Team {
  std::vector<Accumulator> parts;
  std::vector<Buffer<double>> sums;
  std::vector<Buffer<char>> scratch;
  Team(int threads, int64_t scratch_bytes, bool gradient, int64_t grad_w, int k) : parts(threads) {
    for (auto& part : parts) {
      scratch.push_back(allocate<char>(scratch_bytes));
      if (!gradient) continue;
      sums.push_back(zeros<double>(grad_w + k));
      part.grad_w = grad_w ? sums.back().get() : nullptr;
      part.grad_b = sums.back().get() + grad_w;
    }
  }
};

template <class CT>
void write_bias_gradient(const std::vector<Accumulator>& parts, int k, int pinned, double* grad_b) {
  for (int c = 0; c < k; ++c) {
    double sum = 0;
    for (const auto& p : parts) sum += p.grad_b[c];
    grad_b[c + pinned] = sum;
    if (pinned) grad_b[0] = -sum;
  }
}

template <class XT, class CT>
const DenseKernels<XT, CT>& kernels_of(const Kernels& s, const Dense<XT>&) {
  if constexpr (std::is_same_v<XT, double>) return s.dd;
  else if constexpr (std::is_same_v<CT, double>) {
    if constexpr (std::is_same_v<XT, float>) return s.fd;
    else if constexpr (std::is_same_v<XT, Half>) return s.hd;
    else return s.bd;
  } else if constexpr (std::is_same_v<XT, float>) return s.ff;
  else if constexpr (std::is_same_v<XT, Half>) return s.hf;
  else return s.bf;
}

template <class XT, class CT, class Index>
const SparseKernels<XT, CT, Index>& kernels_of(const Kernels& s, const Sparse<XT, Index>&) {
  constexpr bool narrow = std::is_same_v<Index, int32_t>;
  if constexpr (std::is_same_v<XT, double>) {
    if constexpr (narrow) return s.ddi;
    else return s.ddl;
  } else if constexpr (std::is_same_v<CT, double>) {
    if constexpr (narrow) return s.fdi;
    else return s.fdl;
  } else if constexpr (narrow) return s.ffi;
  else return s.ffl;
}

// Where to cut the columns so that each thread gets about as many of the stored numbers [from, to): quantiles of a
// sample of evenly spaced ones, the same every run.
template <class Index>
std::vector<int64_t> cut_columns(const Index* column, int64_t from, int64_t to, int64_t d, int threads) {
  constexpr int64_t most = 4096;
  const int64_t count = std::min(most, to - from);
  std::vector<int64_t> sample(count), edges(threads + 1, d);
  for (int64_t i = 0; i < count; ++i)  // rows that do not count may name columns that are not there
    sample[i] = std::clamp<int64_t>(column[from + (to - from) / count * i], 0, d);
  std::sort(sample.begin(), sample.end());
  edges[0] = 0;
  for (int t = 1; t < threads; ++t) edges[t] = count ? sample[count * t / threads] : d;
  return edges;
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

#if defined(XENT_X86)
// Whether there are tiles, and the system lets this process use them.
static bool has_amx() {
#if defined(__linux__)
  constexpr long request = 0x1023, tile_data = 18;  // ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA: asm/prctl.h, newer than some
  return __builtin_cpu_supports("amx-tile") && __builtin_cpu_supports("amx-bf16") && !syscall(SYS_arch_prctl, request, tile_data);
#else
  return false;
#endif
}
#endif

const PairKernels& find_pair_kernels() {
  static const PairKernels found = [] {
#if defined(XENT_X86)
    __builtin_cpu_init();
    const bool pairs = find_kernels("avx512") && __builtin_cpu_supports("avx512bf16");
    if (pairs && has_amx()) return amx_kernels();  // eight times as fast where both are
    if (pairs) return pair_kernels();
#endif
    return PairKernels{};
  }();
  return found;
}

template <class XT, class CT>
Totals run_pass(const Kernels& set, Task task, const Dense<XT>& rows, const Targets& targets, const Weights<CT>& at,
                const Weights<CT>& direction, int classes, const Outputs<CT>& outputs, int requested) {
  const auto& kernels = kernels_of<XT, CT>(set, rows);
  const int64_t n = rows.n, d = rows.d, width = std::max<int64_t>(d, kernels.lanes);
  const int pinned = task == Task::logits ? 0 : pinned_classes(at, classes, d), k = classes - pinned;
  const int threads = plan_threads(requested, n, 4.0 * n * d * k + 20.0 * n * classes);
  const bool transposed = kernels.along_rows(width, k);
  const int64_t line = kAlign / sizeof(CT), ld = transposed ? k : (width + line - 1) / line * line;
  const Packed<CT> model(at, k, pinned, d, width, transposed, ld, threads);
  std::optional<Packed<CT>> towards;
  if (task == Task::curvature) towards.emplace(direction, k, pinned, d, width, transposed, ld, threads);

  Team team(threads, kernels.scratch(task, targets.kind, rows, classes), outputs.grad_b, outputs.grad_w ? k * width : 0, k);
  over_rows(n, threads, [&](int t, int64_t lo, int64_t hi) {
    const Job<CT> job{task, model.model, towards ? towards->model : Model<CT>{}, targets, outputs.out, outputs.out_class,
                      team.scratch[t].get()};
    kernels.rows(job, rows, lo, hi, team.parts[t]);
  });

  Totals totals;
  merge(totals, team.parts);
  if (outputs.grad_b) write_bias_gradient<CT>(team.parts, k, pinned, outputs.grad_b);
  if (!outputs.grad_w) return totals;
  for (int c = 0; c < k; ++c)
    for (int64_t j = 0; j < d; ++j) {
      double sum = 0;
      for (const auto& p : team.parts) sum += p.grad_w[c * width + j];
      outputs.grad_w[(c + pinned) * d + j] = sum;
      if (pinned) outputs.grad_w[j] = -sum;
    }
  return totals;
}

template <class XT, class CT, class Index>
Totals run_pass(const Kernels& set, Task task, const Sparse<XT, Index>& rows, const Targets& targets, const Weights<CT>& at,
                const Weights<CT>& direction, int classes, const Outputs<CT>& outputs, int requested,
                SparseGradient* gradient) {
  const auto& kernels = kernels_of<XT, CT, Index>(set, rows);
  const int64_t n = rows.n, d = rows.d;
  for (int64_t i = 0; i < n; ++i)
    if (rows.start[i] < 0 || rows.start[i] > rows.start[i + 1] || rows.start[i + 1] > rows.stored) return {{}, -1, i};
  const int pinned = task == Task::logits ? 0 : pinned_classes(at, classes, d), k = classes - pinned;
  const int64_t ld = k == 1 ? 1 : k <= 4 ? 4 : (k + 7) / 8 * 8;
  const int threads = plan_threads(requested, n, 4.0 * rows.stored * k + 20.0 * n * classes + 2.0 * d * k);
  const Packed<CT> model(at, k, pinned, d, d, true, ld, threads);
  std::optional<Packed<CT>> towards;
  if (task == Task::curvature) towards.emplace(direction, k, pinned, d, d, true, ld, threads);

  Team team(threads, kernels.scratch(task, targets.kind, classes, ld), outputs.grad_b, 0, k);
  const int64_t fit = threads * (int64_t(32) << 20) / (ld * (int64_t)sizeof(CT)) / kMaxRows * kMaxRows;
  const int64_t chunk = std::min(std::max<int64_t>(fit, kMaxRows), n);
  const auto g = allocate<CT>(std::max<int64_t>(1, gradient ? chunk * ld : 0));
  if (gradient) {
    *gradient = {allocate<double>(std::max<int64_t>(1, d * ld)), ld, k, pinned};
    over_rows(d, threads, [&](int, int64_t lo, int64_t hi) { std::fill_n(gradient->sums.get() + lo * ld, (hi - lo) * ld, 0.0); });
  }
  Totals totals;
  for (int64_t from = 0, to; from < n; from = to) {
    to = std::min(n, from + chunk);
    const Residuals<CT> residuals{gradient ? g.get() : nullptr, from, ld};
    over_rows(to - from, threads, [&](int t, int64_t lo, int64_t hi) {
      const Job<CT> job{task, model.model, towards ? towards->model : Model<CT>{}, targets, outputs.out, outputs.out_class,
                        team.scratch[t].get()};
      kernels.rows(job, rows, residuals, from + lo, from + hi, team.parts[t]);
    });
    totals = Totals{};
    merge(totals, team.parts);
    if (totals.bad_row >= 0 || totals.bad_sparse >= 0) return totals;
    if (!gradient) continue;
    const auto edges = cut_columns(rows.column, rows.start[from], rows.start[to], d, threads);
    over_threads(threads, [&](int t) {
      kernels.scatter(rows, targets, residuals, k, from, to, edges[t], edges[t + 1], gradient->sums.get());
    });
  }
  if (outputs.grad_b) write_bias_gradient<CT>(team.parts, k, pinned, outputs.grad_b);
  return totals;
}

template <class CT>
const TileKernels<CT>& tiles_of(const Kernels& set) {
  if constexpr (std::is_same_v<CT, float>) return set.f;
  else return set.d;
}

template <class CT>
Columns<CT>::Columns(const Kernels& set, const Targets& targets, std::vector<int64_t> rows, int64_t classes)
    : kernels_(tiles_of<CT>(set)),
      targets_(targets),
      index_(std::move(rows)),
      classes_(classes),
      live_(static_cast<int64_t>(index_.size())),
      filled_((live_ + kernels_.lanes - 1) / kernels_.lanes * kernels_.lanes),
      state_(kernels_.state_bytes(filled_) / sizeof(double) + 1) {
  kernels_.begin(state_.data(), filled_, targets_, index_.data(), live_, filled_);
}

template <class CT>
const CT* Columns<CT>::soft(int64_t ldz, int64_t first, int64_t classes, std::vector<CT>& q, int64_t* bad_row) const {
  if (targets_.kind != Target::soft) return nullptr;
  q.resize(classes * ldz);  // it lies as z does
  kernels_.soft(targets_, index_.data(), live_, first, classes, q.data(), ldz, classes_, filled_, bad_row);
  return q.data();
}

template <class CT>
Totals Columns<CT>::scan(CT* z, int64_t ldz, int64_t first, int64_t classes, CT* peak) {
  std::vector<CT> q;
  Totals totals;
  const CT* soft_targets = soft(ldz, first, classes, q, &totals.bad_row);
  kernels_.scan(state_.data(), filled_, targets_, z, ldz, first, classes, filled_, soft_targets, peak);
  return totals;
}

template <class CT>
Totals Columns<CT>::finish() {
  Totals totals;
  kernels_.finish(state_.data(), filled_, targets_, filled_, totals.tally);
  return totals;
}

template <class CT>
void Columns<CT>::residual(CT* z, int64_t ldz, int64_t first, int64_t classes, const CT* peak) const {
  std::vector<CT> q;
  int64_t bad_row = -1;  // scan has said so
  const CT* soft_targets = soft(ldz, first, classes, q, &bad_row);
  kernels_.residual(state_.data(), filled_, targets_, z, ldz, first, classes, filled_, soft_targets, peak);
}

template <class CT>
void Columns<CT>::save(double* out) const {
  kernels_.save(state_.data(), filled_, targets_, live_, out);
}
template <class CT>
void Columns<CT>::restore(const double* in) {
  kernels_.restore(state_.data(), filled_, targets_, live_, filled_, in);
}

template class Columns<float>;
template class Columns<double>;

std::vector<double> sum_over_rows(int64_t n, int requested, double flops, int64_t length, int64_t scratch_bytes,
                                  const std::function<void(int64_t, int64_t, double*, void*)>& work) {
  const int threads = plan_threads(requested, n, flops);
  std::vector<Buffer<double>> sums;
  std::vector<Buffer<char>> scratch;
  for (int t = 0; t < threads; ++t) {
    sums.push_back(zeros<double>(length));
    scratch.push_back(allocate<char>(scratch_bytes));
  }
  over_rows(n, threads, [&](int t, int64_t lo, int64_t hi) { work(lo, hi, sums[t].get(), scratch[t].get()); });
  std::vector<double> total(sums[0].get(), sums[0].get() + length);
  for (int t = 1; t < threads; ++t)
    for (int64_t i = 0; i < length; ++i) total[i] += sums[t][i];
  return total;
}

int max_threads() {
#if defined(_OPENMP)
  return forked ? 1 : omp_get_max_threads();
#else
  return 1;
#endif
}

#define XENT_DENSE(XT, CT)                                                                                        \
  template Totals run_pass(const Kernels&, Task, const Dense<XT>&, const Targets&, const Weights<CT>&,           \
                           const Weights<CT>&, int, const Outputs<CT>&, int);
#define XENT_SPARSE(XT, CT, Index)                                                                                \
  template Totals run_pass(const Kernels&, Task, const Sparse<XT, Index>&, const Targets&, const Weights<CT>&,   \
                           const Weights<CT>&, int, const Outputs<CT>&, int, SparseGradient*);
XENT_DENSE(double, double)
XENT_DENSE(float, double)
XENT_DENSE(Half, double)
XENT_DENSE(BFloat16, double)
XENT_DENSE(float, float)
XENT_DENSE(Half, float)
XENT_DENSE(BFloat16, float)
XENT_SPARSE(double, double, int32_t)
XENT_SPARSE(double, double, int64_t)
XENT_SPARSE(float, double, int32_t)
XENT_SPARSE(float, double, int64_t)
XENT_SPARSE(float, float, int32_t)
XENT_SPARSE(float, float, int64_t)

}  // namespace xent
