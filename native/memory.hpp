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

template <class T>
Buffer<T> zeros(size_t count) {
  auto p = allocate<T>(count);
  std::fill_n(p.get(), count, T(0));
  return p;
}

// Room to work in: no large pages, of which the last would mostly lie idle.
template <class T> Buffer<T> spare_room(int64_t count) {
  const size_t bytes = (std::max<int64_t>(count, 1) * sizeof(T) + kAlign - 1) / kAlign * kAlign;
  void* p = std::aligned_alloc(kAlign, bytes);
  if (!p) throw std::bad_alloc();
  return Buffer<T>(static_cast<T*>(p));
}

}  // namespace xent
