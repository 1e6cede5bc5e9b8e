// Typed arrays in, the GIL released, no logic.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/tuple.h>

#include <optional>
#include <stdexcept>
#include <string>
#include <tuple>

#include "dispatch.hpp"

namespace nb = nanobind;
using namespace nb::literals;

namespace {

using xent::Totals;
template <class T> using Matrix = nb::ndarray<T, nb::ndim<2>, nb::device::cpu>;
template <class T> using DenseMatrix = nb::ndarray<T, nb::ndim<2>, nb::c_contig, nb::device::cpu>;
template <class T> using DenseVector = nb::ndarray<T, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
using Weights = std::optional<DenseVector<const double>>;
using Result = std::tuple<double, double, double>;  // loss, weight, hits

const xent::Kernels& kernels(const std::string& isa) {
  const xent::Kernels* set = xent::find_kernels(isa.c_str());
  if (!set) throw std::invalid_argument("this processor cannot run the kernels for '" + isa + "'");
  return *set;
}

void require(bool ok, const char* what) {
  if (!ok) throw std::invalid_argument(what);
}

template <class Labels>
Result finish(const Totals& t, const Labels& y, int64_t k) {
  if (t.bad_row >= 0)
    throw std::invalid_argument("y[" + std::to_string(t.bad_row) + "] = " + std::to_string(y.data()[t.bad_row]) +
                                " is outside [0, " + std::to_string(k) + ")");
  return {t.tally.loss, t.tally.weight, t.tally.hits};
}

template <class XT, class CT>
Result fused_sums(Matrix<const XT> x, DenseVector<const int64_t> y, Weights weight, DenseMatrix<const CT> w,
                  DenseVector<const CT> b, DenseMatrix<double> grad_w, DenseVector<double> grad_b, bool gradient,
                  int threads, const std::string& isa) {
  const auto n = static_cast<int64_t>(x.shape(0)), d = static_cast<int64_t>(x.shape(1));
  const auto k = static_cast<int64_t>(w.shape(0));
  require(k >= 1 && k <= 1 << 20, "w must have between 1 and 2^20 rows");
  require(static_cast<int64_t>(w.shape(1)) == d, "w and x must have the same number of columns");
  require(static_cast<int64_t>(y.shape(0)) == n, "y and x must have the same number of rows");
  require(!weight || static_cast<int64_t>(weight->shape(0)) == n, "weight and x must have the same number of rows");
  require(static_cast<int64_t>(b.shape(0)) == k && static_cast<int64_t>(grad_b.shape(0)) == k, "b and grad_b must be (k,)");
  require(static_cast<int64_t>(grad_w.shape(0)) == k && static_cast<int64_t>(grad_w.shape(1)) == d, "grad_w must be (k, d)");
  const xent::Rows<XT> rows{x.data(), n, d, x.stride(0), x.stride(1), y.data(), weight ? weight->data() : nullptr};
  const auto& set = kernels(isa);
  Totals totals;
  {
    nb::gil_scoped_release release;
    totals = xent::fused_sums<XT, CT>(set, rows, w.data(), b.data(), static_cast<int>(k),
                                      gradient ? grad_w.data() : nullptr, grad_b.data(), threads);
  }
  return finish(totals, y, k);
}

template <class CT>
Result softmax_residual(DenseMatrix<CT> z, DenseVector<const int64_t> y, Weights weight, int threads,
                        const std::string& isa) {
  const auto n = static_cast<int64_t>(z.shape(0)), k = static_cast<int64_t>(z.shape(1));
  require(k >= 1 && k <= INT32_MAX, "z must have at least one column");
  require(static_cast<int64_t>(y.shape(0)) == n, "y and z must have the same number of rows");
  require(!weight || static_cast<int64_t>(weight->shape(0)) == n, "weight and z must have the same number of rows");
  const auto& set = kernels(isa);
  Totals totals;
  {
    nb::gil_scoped_release release;
    totals = xent::softmax_residual<CT>(set, z.data(), n, k, static_cast<int>(k), y.data(),
                                        weight ? weight->data() : nullptr, threads);
  }
  return finish(totals, y, k);
}

template <class XT, class CT>
void define_fused(nb::module_& m, const char* name) {
  m.def(name, &fused_sums<XT, CT>, "x"_a.noconvert(), "y"_a.noconvert(), "weight"_a.none(), "w"_a.noconvert(),
        "b"_a.noconvert(), "grad_w"_a.noconvert(), "grad_b"_a.noconvert(), "gradient"_a, "threads"_a, "isa"_a);
}

template <class CT>
void define_softmax(nb::module_& m, const char* name) {
  m.def(name, &softmax_residual<CT>, "z"_a.noconvert(), "y"_a.noconvert(), "weight"_a.none(), "threads"_a, "isa"_a);
}

}  // namespace

NB_MODULE(_native, m) {
  m.doc() = "xent's kernels; use them through xent._kernels, which states the contracts.";
  define_fused<float, float>(m, "fused_ff");
  define_fused<float, double>(m, "fused_fd");
  define_fused<double, double>(m, "fused_dd");
  define_softmax<float>(m, "softmax_f");
  define_softmax<double>(m, "softmax_d");
  m.def("isa", [](const std::string& wanted) { return std::string(kernels(wanted).name); }, "wanted"_a);
  m.def("max_threads", &xent::max_threads);
}
