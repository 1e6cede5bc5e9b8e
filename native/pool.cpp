// One pool for the process: made anew in a forked child, never destroyed.
#include "pool.hpp"

#include <atomic>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <thread>

#if defined(__unix__) || defined(__APPLE__)
#include <pthread.h>
#endif

namespace xent {
namespace {

class Pool {
 public:
  void run(int threads, const std::function<void(int)>& work) {
    const std::lock_guard turn(in_turn_);  // threads of two calls that wait for each other would wait for ever
    for (; workers_ < threads - 1; ++workers_) std::thread(&Pool::serve, this, workers_ + 1, call_).detach();
    std::unique_lock lock(mutex_);
    work_ = &work, threads_ = threads, left_ = threads - 1, error_ = nullptr, ++call_;
    lock.unlock();
    begun_.notify_all();
    guarded(0);
    lock.lock();
    ended_.wait(lock, [&] { return left_ == 0; });
    if (error_) std::rethrow_exception(error_);
  }

 private:
  void serve(int t, uint64_t seen) {
    for (std::unique_lock lock(mutex_);;) {
      begun_.wait(lock, [&] { return call_ != seen; });
      seen = call_;
      if (t >= threads_) continue;
      lock.unlock();
      guarded(t);
      lock.lock();
      if (--left_ == 0) ended_.notify_one();
    }
  }
  void guarded(int t) {
    try {
      (*work_)(t);
    } catch (...) {
      const std::lock_guard lock(mutex_);
      error_ = std::current_exception();
    }
  }

  std::mutex in_turn_, mutex_;
  std::condition_variable begun_, ended_;
  const std::function<void(int)>* work_ = nullptr;
  int workers_ = 0, threads_ = 0, left_ = 0;
  uint64_t call_ = 0;
  std::exception_ptr error_;
};

// Never destroyed: its threads sleep in it till the process ends. A forked child has none of them, and gets a new one.
std::atomic<Pool*> pool{new Pool};
[[maybe_unused]] const bool fork_handler = [] {
#if defined(__unix__) || defined(__APPLE__)
  pthread_atfork(nullptr, nullptr, [] { pool = new Pool; });
#endif
  return true;
}();

}  // namespace

void run_together(int threads, const std::function<void(int)>& work) {
  if (threads == 1) return work(0);
  pool.load()->run(threads, work);
}

}  // namespace xent
