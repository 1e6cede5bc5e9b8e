// The softmax of logits that come in tiles: typed arrays in, shapes checked, the GIL released, no logic.
#include "columns.hpp"

#include "bind.hpp"

namespace xent {
namespace {

// Columns with the arrays that its targets point into.
template <class CT> struct ColumnArrays {
  TargetArrays arrays;
  int64_t n, k;
  Columns<CT> columns;
  ColumnArrays(const TargetArrays& a, DenseVector<const int64_t> rows, int64_t n, int64_t k, const std::string& isa)
      : arrays(a),
        n(n),
        k(k),
        columns(kernels(isa), checked(arrays, rows, n, k), {rows.data(), rows.data() + rows.shape(0)}, k) {}

  static Targets checked(const TargetArrays& arrays, const DenseVector<const int64_t>& rows, int64_t n, int64_t k) {
    const Targets t = arrays.over(n, k);
    for (size_t r = 0; r < rows.shape(0); ++r) {
      const int64_t i = rows.data()[r];
      require(i >= 0 && i < n, "a row to work on is none of x");
      if (t.label && (t.label[i] < 0 || t.label[i] >= k)) finish(Totals{{}, i, -1}, t, k);
    }
    return t;
  }
  void check(const Matrix<CT>& z, int64_t first, const Maybe<DenseVector<CT>>& peak) const {
    const auto classes = static_cast<int64_t>(z.shape(0));
    require(first >= 0 && first + classes <= k, "no such classes");
    require(static_cast<int64_t>(z.shape(1)) == columns.filled() && z.stride(1) == 1, "z must be (classes, filled)");
    if (peak) require_length(*peak, columns.filled(), "peak must be (filled,)");
  }
  void scan(Matrix<CT> z, int64_t first, Maybe<DenseVector<CT>> peak) {
    check(z, first, peak);
    Totals totals;
    {
      nb::gil_scoped_release release;
      totals = columns.scan(z.data(), z.stride(0), first, z.shape(0), data_or_null(peak));
    }
    finish(totals, arrays.over(n, k), k);
  }
  Result totals() { return finish(columns.finish(), arrays.over(n, k), k); }
  void residual(Matrix<CT> z, int64_t first, Maybe<DenseVector<CT>> peak) const {
    check(z, first, peak);
    nb::gil_scoped_release release;
    columns.residual(z.data(), z.stride(0), first, z.shape(0), data_or_null(peak));
  }
  void save(DenseMatrix<double> out) const {
    require_shape(out, columns.rows(), kKept, "out must hold 7 numbers a row");
    columns.save(out.data());
  }
  void restore(DenseMatrix<const double> saved) {
    require_shape(saved, columns.rows(), kGiven, "saved must hold 7 numbers a row");
    columns.restore(saved.data());
  }
};

template <class CT> void define_columns(nb::module_& m, const char* name) {
  using C = ColumnArrays<CT>;
  nb::class_<C>(m, name)
      .def(nb::init<const TargetArrays&, DenseVector<const int64_t>, int64_t, int64_t, const std::string&>(), "targets"_a,
           "rows"_a.noconvert(), "n"_a, "k"_a, "isa"_a)
      .def_prop_ro("filled", [](const C& c) { return c.columns.filled(); })
      .def("scan", &C::scan, "z"_a.noconvert(), "first"_a, "peak"_a.noconvert().none())
      .def("finish", &C::totals)
      .def("residual", &C::residual, "z"_a.noconvert(), "first"_a, "peak"_a.noconvert().none())
      .def("save", &C::save, "out"_a.noconvert())
      .def("restore", &C::restore, "saved"_a.noconvert());
}

}  // namespace

void define_columns(nb::module_& m) {
  define_columns<float>(m, "Columns_f");
  define_columns<double>(m, "Columns_d");
}

}  // namespace xent
