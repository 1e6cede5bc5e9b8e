// What the binding's parts share: array types, checks of them, and the targets of a pass.
#pragma once
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/tuple.h>

#include <optional>
#include <stdexcept>
#include <string>
#include <tuple>
#include <type_traits>

#include "isa.hpp"

namespace nb = nanobind;
using namespace nb::literals;

namespace xent {

template <class T> using Matrix = nb::ndarray<T, nb::ndim<2>, nb::device::cpu>;
template <class T> using DenseMatrix = nb::ndarray<T, nb::ndim<2>, nb::c_contig, nb::device::cpu>;
template <class T> using DenseVector = nb::ndarray<T, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
template <class T> using Maybe = std::optional<T>;

inline const Kernels& kernels(const std::string& isa) {
  const Kernels* set = find_kernels(isa.c_str());
  if (!set) throw std::invalid_argument("this processor cannot run the kernels for '" + isa + "'");
  return *set;
}

inline void require(bool ok, const char* what) {
  if (!ok) throw std::invalid_argument(what);
}

template <class Array> void require_shape(const Array& a, int64_t rows, int64_t columns, const char* what) {
  require(static_cast<int64_t>(a.shape(0)) == rows && static_cast<int64_t>(a.shape(1)) == columns, what);
}
template <class Array> void require_length(const Array& a, int64_t length, const char* what) {
  require(static_cast<int64_t>(a.shape(0)) == length, what);
}
template <class Array> auto* data_or_null(const Maybe<Array>& a) { return a ? a->data() : nullptr; }

// X as it is stored: float16 and bfloat16 come as uint16.
template <class XT> using Stored = std::conditional_t<sizeof(XT) == 2, uint16_t, XT>;
template <class XT> Dense<XT> rows_of(const Matrix<const Stored<XT>>& x) {
  return {reinterpret_cast<const XT*>(x.data()), static_cast<int64_t>(x.shape(0)), static_cast<int64_t>(x.shape(1)), x.stride(0),
          x.stride(1)};
}

using Result = std::tuple<double, double, double>;  // loss, weight, hits

// The targets of a pass; holds on to its arrays.
struct TargetArrays {
  Maybe<DenseVector<const int64_t>> label;
  Maybe<DenseMatrix<const float>> soft_f;
  Maybe<DenseMatrix<const double>> soft_d;
  Maybe<DenseMatrix<const int64_t>> top_class;
  Maybe<DenseMatrix<const double>> top_value;
  double smoothing = 0;
  Maybe<int64_t> ignored;
  Maybe<DenseVector<const double>> weight;
  Maybe<DenseMatrix<const float>> offset_f;
  Maybe<DenseMatrix<const double>> offset_d;

  Targets over(int64_t n, int64_t k) const {
    Targets t;
    t.smoothing = smoothing;
    t.ignores = ignored.has_value();
    t.ignored = ignored.value_or(0);
    if (weight) require_length(*weight, n, "weight and x must have the same number of rows");
    t.weight = data_or_null(weight);
    if (offset_f) require_shape(*offset_f, n, k, "offset must be (n, k)");
    if (offset_d) require_shape(*offset_d, n, k, "offset must be (n, k)");
    t.offset_f = data_or_null(offset_f);
    t.offset_d = data_or_null(offset_d);
    if (label) {
      require_length(*label, n, "y and x must have the same number of rows");
      t.kind = Target::label;
      t.label = label->data();
    } else if (soft_f || soft_d) {
      if (soft_f) require_shape(*soft_f, n, k, "soft labels must be (n, k)");
      if (soft_d) require_shape(*soft_d, n, k, "soft labels must be (n, k)");
      t.kind = Target::soft;
      t.soft_f = data_or_null(soft_f);
      t.soft_d = data_or_null(soft_d);
    } else if (top_class && top_value) {
      t.top = static_cast<int64_t>(top_class->shape(1));
      require_shape(*top_class, n, t.top, "top classes must be (n, t)");
      require_shape(*top_value, n, t.top, "top values must be (n, t) as their classes are");
      t.kind = Target::soft;
      t.top_class = top_class->data();
      t.top_value = top_value->data();
    }
    return t;
  }
};

inline Result finish(const Totals& totals, const Targets& t, int64_t k) {
  const int64_t i = totals.bad_row;
  if (i >= 0) {
    int64_t column = 0, bad = 0;
    if (t.label) bad = t.label[i];
    for (; !t.label && column < t.top; ++column)
      if ((bad = t.top_class[i * t.top + column]) < 0 || bad >= k) break;
    const std::string where = t.label ? "" : ", " + std::to_string(column);
    throw std::invalid_argument("y[" + std::to_string(i) + where + "] = " + std::to_string(bad) + " is outside [0, " +
                                std::to_string(k) + ")");
  }
  return {totals.tally.loss, totals.tally.weight, totals.tally.hits};
}

// What the parts define, each in the file of its name.
void define_columns(nb::module_& m);
void define_descent(nb::module_& m);
void define_functions(nb::module_& m);
void define_passes(nb::module_& m);
void define_solver(nb::module_& m);
void define_tiles(nb::module_& m);
void define_torch(nb::module_& m);

}  // namespace xent
