// Memory to fill, aligned for vectors.
#pragma once
#include <algorithm>
#include <cstdlib>
#include <memory>
#include <new>

#if defined(__linux__)
#include <sys/mman.h>
#endif

#include "types.hpp"

namespace xent {

struct Free {
  void operator()(void* p) const { std::free(p); }
};
template <class T>
using Buffer = std::unique_ptr<T[], Free>;

template <class T>
Buffer<T> allocate(size_t count) {
  constexpr size_t huge = size_t(2) << 20;
  const size_t bytes = count * sizeof(T), align = bytes >= 2 * huge ? huge : kAlign;
  void* p = std::aligned_alloc(align, std::max(align, (bytes + align - 1) / align * align));
  if (!p) throw std::bad_alloc();
#if defined(__linux__)
  if (align == huge) madvise(p, bytes, MADV_HUGEPAGE);  // a page fault for every 4 KiB takes a tenth of the time
#endif
  return Buffer<T>(static_cast<T*>(p));
}

}  // namespace xent
