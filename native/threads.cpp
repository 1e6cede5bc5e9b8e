// How many threads work, and sums over what they did.
#include "threads.hpp"

#include <atomic>

#include "memory.hpp"

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

}  // namespace

int max_threads() {
#if defined(_OPENMP)
  return forked ? 1 : omp_get_max_threads();
#else
  return 1;
#endif
}

int plan_threads(int requested, int64_t most, bool little) {
#if defined(_OPENMP)
  const int64_t threads = forked ? 1 : requested > 0 ? requested : little ? 1 : omp_get_max_threads();
#else
  const int64_t threads = 1;
#endif
  return static_cast<int>(std::max<int64_t>(1, std::min(threads, most)));
}

// A parallel region costs about 5 us on idle cores, and the wait for a time slice on busy ones: milliseconds.
int plan_row_threads(int requested, int64_t n, double flops) {
  return plan_threads(requested, (n + kMaxRows - 1) / kMaxRows, flops < 2e6);
}

std::vector<double> sum_over_rows(int64_t n, int requested, double flops, int64_t length, int64_t scratch_bytes,
                                  const std::function<void(int64_t, int64_t, double*, void*)>& work) {
  const int threads = plan_row_threads(requested, n, flops);
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

}  // namespace xent
