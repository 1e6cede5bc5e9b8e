// A pass: weights packed, rows dealt out among threads, what the threads added up summed in their order.
#include "passes.hpp"

#include <optional>
#include <type_traits>
#include <vector>

namespace xent {
namespace {

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

Totals sum_of(const std::vector<Accumulator>& parts) {
  const auto first = [](int64_t& at, int64_t row) {
    if (row >= 0 && (at < 0 || row < at)) at = row;
  };
  Totals totals;
  for (const auto& p : parts) {
    first(totals.bad_row, p.bad_row);
    first(totals.bad_sparse, p.bad_sparse);
    totals.tally.add(p.tally);
  }
  return totals;
}

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

template <class XT, class CT>
Totals run_pass(const Kernels& set, Task task, const Dense<XT>& rows, const Targets& targets, const Weights<CT>& at,
                const Weights<CT>& direction, int classes, const Outputs<CT>& outputs, int requested) {
  const auto& kernels = kernels_of<XT, CT>(set, rows);
  const int64_t n = rows.n, d = rows.d, width = std::max<int64_t>(d, kernels.lanes);
  const int pinned = task == Task::logits ? 0 : pinned_classes(at, classes, d), k = classes - pinned;
  const int threads = plan_row_threads(requested, n, 4.0 * n * d * k + 20.0 * n * classes);
  const bool transposed = kernels.along_rows(width, k);
  const int64_t line = kAlign / sizeof(CT), ld = transposed ? k : (width + line - 1) / line * line;
  const Packed<CT> model(at, k, pinned, d, width, transposed, ld, threads);
  std::optional<Packed<CT>> towards;
  if (task == Task::curvature) towards.emplace(direction, k, pinned, d, width, transposed, ld, threads);

  Team team(threads, kernels.scratch(task, targets.kind, rows, classes), outputs.grad_b, outputs.grad_w ? k * width : 0, k);
  over_rows(n, threads, [&](int t, int64_t lo, int64_t hi) {
    const Job<CT> job{task,
                      model.model,
                      towards ? towards->model : Model<CT>{},
                      targets,
                      outputs.out,
                      outputs.out_class,
                      team.scratch[t].get()};
    kernels.rows(job, rows, lo, hi, team.parts[t]);
  });

  const Totals totals = sum_of(team.parts);
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
                const Weights<CT>& direction, int classes, const Outputs<CT>& outputs, int requested, SparseGradient* gradient) {
  const auto& kernels = kernels_of<XT, CT, Index>(set, rows);
  const int64_t n = rows.n, d = rows.d;
  for (int64_t i = 0; i < n; ++i)
    if (rows.start[i] < 0 || rows.start[i] > rows.start[i + 1] || rows.start[i + 1] > rows.stored) return {{}, -1, i};
  const int pinned = task == Task::logits ? 0 : pinned_classes(at, classes, d), k = classes - pinned;
  const int64_t ld = k == 1 ? 1 : k <= 4 ? 4 : (k + 7) / 8 * 8;
  const int threads = plan_row_threads(requested, n, 4.0 * rows.stored * k + 20.0 * n * classes + 2.0 * d * k);
  const Packed<CT> model(at, k, pinned, d, d, true, ld, threads);
  std::optional<Packed<CT>> towards;
  if (task == Task::curvature) towards.emplace(direction, k, pinned, d, d, true, ld, threads);

  Team team(threads, kernels.scratch(task, targets.kind, classes, ld), outputs.grad_b, 0, k);
  const int64_t fit = threads * (int64_t(32) << 20) / (ld * (int64_t)sizeof(CT)) / kMaxRows * kMaxRows;
  const int64_t chunk = std::min(std::max<int64_t>(fit, kMaxRows), n);
  const auto g = allocate<CT>(std::max<int64_t>(1, gradient ? chunk * ld : 0));
  double* sums = nullptr;  // (d, ld), the first k of ld in use
  if (gradient) {
    *gradient = {allocate<double>(std::max<int64_t>(1, (1 + pinned) * d * ld)), pinned ? d : 1, ld};
    sums = gradient->sums.get() + pinned * d;
    over_rows(d, threads, [&](int, int64_t lo, int64_t hi) { std::fill_n(sums + lo * ld, (hi - lo) * ld, 0.0); });
  }
  Totals totals;
  for (int64_t from = 0, to; from < n; from = to) {
    to = std::min(n, from + chunk);
    const Residuals<CT> residuals{gradient ? g.get() : nullptr, from, ld};
    over_rows(to - from, threads, [&](int t, int64_t lo, int64_t hi) {
      const Job<CT> job{task,
                        model.model,
                        towards ? towards->model : Model<CT>{},
                        targets,
                        outputs.out,
                        outputs.out_class,
                        team.scratch[t].get()};
      kernels.rows(job, rows, residuals, from + lo, from + hi, team.parts[t]);
    });
    totals = sum_of(team.parts);
    if (totals.bad_row >= 0 || totals.bad_sparse >= 0) return totals;
    if (!gradient) continue;
    const auto edges = cut_columns(rows.column, rows.start[from], rows.start[to], d, threads);
    over_threads(threads, [&](int t) { kernels.scatter(rows, targets, residuals, k, from, to, edges[t], edges[t + 1], sums); });
  }
  if (outputs.grad_b) write_bias_gradient<CT>(team.parts, k, pinned, outputs.grad_b);
  if (gradient && pinned)
    for (int64_t j = 0; j < d; ++j) gradient->sums[j] = -sums[j];
  return totals;
}

#define XENT_DENSE(XT, CT)                                                                                                      \
  template Totals run_pass(const Kernels&, Task, const Dense<XT>&, const Targets&, const Weights<CT>&, const Weights<CT>&, int, \
                           const Outputs<CT>&, int);
#define XENT_SPARSE(XT, CT, Index)                                                                             \
  template Totals run_pass(const Kernels&, Task, const Sparse<XT, Index>&, const Targets&, const Weights<CT>&, \
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
