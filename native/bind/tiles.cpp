// Products, rows of logits, conversions: typed arrays in, shapes checked, the GIL released, no logic.
#include "bind.hpp"

#include <algorithm>
#include <memory>

namespace xent {
namespace {

// C = A B, or C += A B, on this thread; C's rows are contiguous, A and B may have any strides.
template <class AT, class BT, class CT>
void multiply(const ProductKernels<AT, BT, CT>& kernel, Matrix<const Stored<AT>> a, Matrix<const Stored<BT>> b, Matrix<CT> c,
              bool add) {
  const auto m = static_cast<int64_t>(a.shape(0)), k = static_cast<int64_t>(a.shape(1)), n = static_cast<int64_t>(b.shape(1));
  require(static_cast<int64_t>(b.shape(0)) == k, "b must have as many rows as a has columns");
  require_shape(c, m, n, "c must be (rows of a, columns of b)");
  require(m == 0 || n <= 1 || c.stride(1) == 1, "rows of c must be contiguous");
  nb::gil_scoped_release release;
  if (k == 0 && !add)
    for (int64_t i = 0; i < m; ++i) std::fill_n(c.data() + i * c.stride(0), n, CT(0));
  if (m == 0 || n == 0 || k == 0) return;
  std::unique_ptr<char[]> scratch(new char[kernel.scratch(m, n, k)]);
  kernel.run({reinterpret_cast<const AT*>(a.data()), a.stride(0), a.stride(1)},
             {reinterpret_cast<const BT*>(b.data()), b.stride(0), b.stride(1)}, c.data(), c.stride(0), m, n, k, add,
             scratch.get());
}

template <class XT, class CT> void define_rows(nb::module_& m, const char* suffix, RowKernels<XT, CT> Kernels::* member) {
  using Logits = Matrix<const Stored<XT>>;
  using Weights = Maybe<DenseVector<const CT>>;
  const auto check = [](const auto& z, const Weights& w) {
    require(z.shape(0) == 0 || z.shape(1) <= 1 || z.stride(1) == 1, "rows must be contiguous");
    if (w) require_length(*w, z.shape(1), "w must have an entry a class");
  };
  const std::string scan = std::string("scan_rows_") + suffix, residual = std::string("residual_rows_") + suffix;
  m.def(
      scan.c_str(),
      [=](Logits z, double factor, Weights w, bool smooth, DenseMatrix<double> out, const std::string& isa) {
        check(z, w);
        require_shape(out, z.shape(0), kScanned, "out must hold 6 numbers a row");
        const auto run = (kernels(isa).*member).scan;
        nb::gil_scoped_release release;
        run(reinterpret_cast<const XT*>(z.data()), z.shape(0), z.stride(0), z.shape(1), factor, data_or_null(w), smooth,
            out.data());
      },
      "z"_a.noconvert(), "factor"_a, "w"_a.noconvert().none(), "smooth"_a, "out"_a.noconvert(), "isa"_a);
  m.def(
      residual.c_str(),
      [=](Logits z, double factor, Weights w, DenseMatrix<const double> given, Matrix<Stored<XT>> out, const std::string& isa) {
        check(z, w);
        check(out, w);
        require_shape(given, z.shape(0), 3, "given must hold 3 numbers a row");
        require_shape(out, z.shape(0), z.shape(1), "out must be of z's shape");
        const auto run = (kernels(isa).*member).residual;
        nb::gil_scoped_release release;
        run(reinterpret_cast<const XT*>(z.data()), z.shape(0), z.stride(0), z.shape(1), factor, data_or_null(w), given.data(),
            reinterpret_cast<XT*>(out.data()), out.stride(0));
      },
      "z"_a.noconvert(), "factor"_a, "w"_a.noconvert().none(), "given"_a.noconvert(), "out"_a.noconvert(), "isa"_a);
}

template <class XT, class YT> void define_convert(nb::module_& m, const char* name, Convert<XT, YT> Kernels::* member) {
  m.def(
      name,
      [member](Matrix<const Stored<XT>> x, Matrix<Stored<YT>> out, const std::string& isa) {
        require_shape(out, x.shape(0), x.shape(1), "out must be of x's shape");
        require(x.shape(0) == 0 || x.shape(1) <= 1 || (x.stride(1) == 1 && out.stride(1) == 1), "rows must be contiguous");
        const auto run = kernels(isa).*member;
        nb::gil_scoped_release release;
        run(reinterpret_cast<const XT*>(x.data()), x.stride(0), reinterpret_cast<YT*>(out.data()), out.stride(0), x.shape(0),
            x.shape(1));
      },
      "x"_a.noconvert(), "out"_a.noconvert(), "isa"_a);
}

// `find` is the kernel for an instruction set.
template <class AT, class BT, class CT, class Find> void define_multiply(nb::module_& m, const char* name, Find find) {
  m.def(
      name,
      [find](Matrix<const Stored<AT>> a, Matrix<const Stored<BT>> b, Matrix<CT> c, bool add, const std::string& isa) {
        multiply<AT, BT, CT>(find(isa), a, b, c, add);
      },
      "a"_a.noconvert(), "b"_a.noconvert(), "c"_a.noconvert(), "add"_a, "isa"_a);
}
template <class AT, class BT, class CT>
void define_multiply(nb::module_& m, const char* name, ProductKernels<AT, BT, CT> Kernels::* member) {
  define_multiply<AT, BT, CT>(m, name, [member](const std::string& isa) { return kernels(isa).*member; });
}
template <class AT, class BT, class CT>
void define_pairs(nb::module_& m, const char* name, ProductKernels<AT, BT, CT> PairKernels::* member) {
  const ProductKernels<AT, BT, CT> kernel = find_pair_kernels().*member;
  if (kernel.run) define_multiply<AT, BT, CT>(m, name, [kernel](const std::string&) { return kernel; });
}

}  // namespace

void define_tiles(nb::module_& m) {
  define_convert(m, "narrow", &Kernels::narrow);
  define_convert(m, "widen", &Kernels::widen);
  define_rows(m, "d", &Kernels::rows_d);
  define_rows(m, "f", &Kernels::rows_f);
  define_rows(m, "b", &Kernels::rows_b);
  define_multiply(m, "multiply_dd", &Kernels::product_dd);
  define_multiply(m, "multiply_ff", &Kernels::product_ff);
  define_multiply(m, "multiply_hh", &Kernels::product_hh);
  define_multiply(m, "multiply_bb", &Kernels::product_bb);
  define_multiply(m, "multiply_fh", &Kernels::product_fh);
  define_multiply(m, "multiply_fb", &Kernels::product_fb);
  define_pairs(m, "multiply_pairs_bb", &PairKernels::bb);
  define_pairs(m, "multiply_pairs_fb", &PairKernels::fb);
}

}  // namespace xent
