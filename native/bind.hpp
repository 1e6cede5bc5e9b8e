// What both halves of the binding share: array types, and checks of them.
#pragma once
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>

#include <optional>
#include <stdexcept>
#include <string>
#include <type_traits>

#include "dispatch.hpp"

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

void define_tiles(nb::module_& m);   // bind_tiles.cpp: arithmetic on tiles, and where threads meet
void define_losses(nb::module_& m);  // bind_torch.cpp: the losses of whole calls

}  // namespace xent
