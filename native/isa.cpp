// Chooses the instruction set by what the processor says of itself.
#include "isa.hpp"

#include <cstring>

#if defined(__linux__)
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace xent {

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

const Functions& functions_of([[maybe_unused]] const Kernels& set) {
#if defined(XENT_X86)
  // By name: to ask for a set's address is to run code that was compiled for it.
  if (!std::strcmp(set.name, "avx512")) return functions_avx512();
  if (!std::strcmp(set.name, "avx2")) return functions_avx2();
#endif
  return functions_baseline();
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

}  // namespace xent
