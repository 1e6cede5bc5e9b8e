// The losses of whole calls, on PyTorch's memory: addresses and strides, which xent.torch has checked. The GIL is released.
#include "bind.hpp"
#include "losses/losses.hpp"

namespace xent {
namespace {

template <class T> T* at(uintptr_t address) { return reinterpret_cast<T*>(address); }

// What both ways say of their rows: addresses, strides (in numbers), sizes.
#define XENT_CALL                                                                                                         \
  uintptr_t x, uintptr_t w, uintptr_t b, uintptr_t label, uintptr_t z, uintptr_t e, uintptr_t peak, int64_t n, int64_t d, \
      int64_t k, int64_t x_row, int64_t x_column, int64_t w_row, int64_t w_column, int64_t b_stride, int64_t ignored,     \
      int64_t max_bytes, int threads, bool rounds
#define XENT_PASS_ON \
  x, w, b, label, z, e, peak, n, d, k, x_row, x_column, w_row, w_column, b_stride, ignored, max_bytes, threads, rounds

template <class XT> struct Given {
  LossCall<XT> call;
  Kept<XT> kept;
  Given(XENT_CALL)
      : call{{at<const XT>(x), x_row, x_column},
             {at<const XT>(w), w_row, w_column},
             at<const XT>(b),
             b_stride,
             at<const int64_t>(label),
             n,
             d,
             k,
             ignored,
             max_bytes,
             threads,
             rounds},
        kept{at<Computed<XT>>(z), at<BFloat16>(e), at<float>(peak)} {
    require(x && label && n >= 1 && k >= 1 && (w != 0) == (d >= 1) && max_bytes >= 1 && threads >= 1,
            "a tensor without memory, or of no rows");
  }
};

template <class XT> void define(nb::module_& m, const std::string& kind) {
  // How many rows count; or -1 - the first whose label is outside the classes, and nothing is written.
  m.def(("loss_forward_" + kind).c_str(), [](XENT_CALL, uintptr_t loss, uintptr_t stats, uintptr_t total, bool mean,
                                             const std::string& isa) {
    const Given<XT> given(XENT_PASS_ON);
    const Kernels& set = kernels(isa);
    nb::gil_scoped_release release;
    const Counted found = loss_forward<XT>(set, given.call, given.kept, at<double>(loss), at<double>(stats), at<XT>(total), mean);
    return found.bad_row >= 0 ? -1 - found.bad_row : found.live;
  });
  // up: the address of one number per row, or 0 if `all` of them are the same number.
  m.def(("loss_backward_" + kind).c_str(), [](XENT_CALL, uintptr_t stats, uintptr_t up, double all, uintptr_t dx, uintptr_t dw,
                                              uintptr_t db, const std::string& isa) {
    const Given<XT> given(XENT_PASS_ON);
    const Kernels& set = kernels(isa);
    nb::gil_scoped_release release;
    loss_backward<XT>(set, given.call, given.kept, at<const double>(stats), up ? at<const double>(up) : &all, up ? 1 : 0,
                      {at<XT>(dx), at<XT>(dw), at<XT>(db)});
  });
}

}  // namespace

void define_torch(nb::module_& m) {
  define<double>(m, "d");
  define<float>(m, "f");
  define<BFloat16>(m, "b");
  m.def("kept_stride", &kept_stride, "rows"_a);
}

}  // namespace xent
