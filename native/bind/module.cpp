// The module: what its parts define, and what it says of the machine.
#include "bind.hpp"
#include "threads.hpp"

NB_MODULE(_native, m) {
  using namespace xent;
  m.doc() = "xent's kernels; use them through xent.kernels.native, which states the contracts.";
  define_passes(m);
  define_columns(m);
  define_functions(m);
  define_tiles(m);
  define_descent(m);
  define_solver(m);
  define_torch(m);
  m.def("isa", [](const std::string& wanted) { return std::string(kernels(wanted).name); }, "wanted"_a);
  m.def("max_threads", &max_threads);
}
