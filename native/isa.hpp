// Which instruction set's kernels this processor runs.
#pragma once
#include "functions.hpp"
#include "interface.hpp"

namespace xent {

// The best set this processor can run, or the one named by `wanted` ("baseline", "avx2", "avx512")
// if the processor can run it; null otherwise.
const Kernels* find_kernels(const char* wanted);
const Functions& functions_of(const Kernels& set);

// Null functions where the processor has no such instruction.
const PairKernels& find_pair_kernels();

}  // namespace xent
