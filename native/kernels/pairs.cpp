// Products of bfloat16 by the instruction that multiplies pairs of them: compiled apart, for a processor may have AVX-512
// without it (see CMakeLists.txt).
#include "matrix.hpp"

namespace xent {

PairKernels pair_kernels() {
  return {{product_scratch<Pair>, product<Pair, BFloat16, BFloat16>}, {product_scratch<Pair>, product<Pair, float, BFloat16>}};
}

}  // namespace xent
