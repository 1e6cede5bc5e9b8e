// Which thread works on which rows: one range per thread, the same ranges for the same number of threads.
#pragma once
#include <algorithm>
#include <functional>
#include <vector>

#include "types.hpp"

namespace xent {

struct Range {
  int64_t from, to;
  int64_t size() const { return to - from; }
};
// Of [0, n) what is thread t's, cut at multiples of `unit`.
inline Range thread_range(int64_t n, int64_t unit, int t, int threads) {
  const int64_t units = (n + unit - 1) / unit;
  return {std::min(n, units * t / threads * unit), std::min(n, units * (t + 1) / threads * unit)};
}

// What OpenMP would use, or 1 where there is none.
int max_threads();

// `requested` threads or, where that is 0 or less, as many as there may be, but one for little work; at most `most`.
int plan_threads(int requested, int64_t most, bool little);

// Runs work(t) for t in [0, threads), each on its own thread.
template <class Work>
void over_threads(int threads, Work&& work) {
#if defined(_OPENMP)
#pragma omp parallel for num_threads(threads) schedule(static, 1) if (threads > 1)
#endif
  for (int t = 0; t < threads; ++t) work(t);
}

// Runs work(thread, lo, hi) over [0, n).
template <class Work>
void over_ranges(int64_t n, int64_t unit, int threads, Work&& work) {
  over_threads(threads, [&](int t) {
    const Range mine = thread_range(n, unit, t, threads);
    work(t, mine.from, mine.to);
  });
}

// The same for rows of a pass, which are worked on kMaxRows at a time.
int plan_row_threads(int requested, int64_t n, double flops);
template <class Work>
void over_rows(int64_t n, int threads, Work&& work) {
  over_ranges(n, kMaxRows, threads, work);
}

// Σ over ranges of the n rows of what work(lo, hi, own, scratch) adds to its own (length) numbers, one range per thread.
std::vector<double> sum_over_rows(int64_t n, int requested, double flops, int64_t length, int64_t scratch_bytes,
                                  const std::function<void(int64_t, int64_t, double*, void*)>& work);

}  // namespace xent
