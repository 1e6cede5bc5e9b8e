// Threads that wait for work, one a core: they sleep meanwhile, so that PyTorch's have the cores to themselves.
#pragma once
#include <functional>

namespace xent {

// work(t) for t in [0, threads), t = 0 on this thread; calls of several threads take turns. What one throws is thrown
// here, when all are done.
void run_together(int threads, const std::function<void(int)>& work);

}  // namespace xent
