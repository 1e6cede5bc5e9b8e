// The passes over rows, and their targets: typed arrays in, shapes checked, the GIL released, no logic.
#include "passes.hpp"

#include "bind.hpp"

namespace xent {
namespace {

template <class CT> struct Parameters {
  DenseMatrix<const CT> w;
  DenseVector<const CT> b;
  Weights<CT> over(int64_t k, int64_t d) const {
    require_shape(w, k, d, "w must be (k, d) as x has d columns");
    require_length(b, k, "b must be (k,)");
    return {w.data(), b.data()};
  }
};

// The arguments that every pass takes after its rows.
template <class CT> struct PassArrays {
  DenseMatrix<const CT> w;
  DenseVector<const CT> b;
  Maybe<DenseMatrix<const CT>> v;
  Maybe<DenseVector<const CT>> c;
  Maybe<DenseMatrix<double>> grad_w;
  Maybe<DenseVector<double>> grad_b;
  Maybe<DenseMatrix<CT>> out;
  Maybe<DenseVector<int64_t>> out_class;
};

template <class CT, class Rows, class... Extra>
Result run(Task task, const Rows& rows, const TargetArrays& arrays, const PassArrays<CT>& a, int threads, const std::string& isa,
           Extra... extra) {
  const auto k = static_cast<int64_t>(a.w.shape(0));
  require(k >= 1 && k <= 1 << 20, "w must have between 1 and 2^20 rows");
  const Targets targets = arrays.over(rows.n, k);
  const Weights<CT> at = Parameters<CT>{a.w, a.b}.over(k, rows.d);
  Weights<CT> direction;
  require((task == Task::curvature) == (a.v && a.c), "a curvature pass, and no other, takes a direction");
  if (a.v && a.c) direction = Parameters<CT>{*a.v, *a.c}.over(k, rows.d);
  require(task != Task::sums || targets.kind != Target::none, "sums need targets");
  if (a.grad_w) require_shape(*a.grad_w, k, rows.d, "grad_w must be (k, d)");
  if (a.grad_b) require_length(*a.grad_b, k, "grad_b must be (k,)");
  require(!a.grad_w || a.grad_b, "grad_w comes with grad_b");
  if (a.out) require_shape(*a.out, rows.n, k, "out must be (n, k)");
  if (a.out_class) require_length(*a.out_class, rows.n, "out_class must be (n,)");
  const Kernels& set = kernels(isa);
  Totals totals;
  {
    nb::gil_scoped_release release;
    totals = run_pass(set, task, rows, targets, at, direction, static_cast<int>(k),
                      Outputs<CT>{data_or_null(a.grad_w), data_or_null(a.grad_b), data_or_null(a.out), data_or_null(a.out_class)},
                      threads, extra...);
  }
  if (totals.bad_sparse >= 0)
    throw std::invalid_argument("row " + std::to_string(totals.bad_sparse) + " of X points outside of its " +
                                std::to_string(rows.d) + " columns or of its stored numbers");
  return finish(totals, targets, k);
}

template <class XT, class CT>
Result dense_pass(Task task, Matrix<const Stored<XT>> x, const TargetArrays& targets, const PassArrays<CT>& arrays, int threads,
                  const std::string& isa) {
  return run<CT>(task, rows_of<XT>(x), targets, arrays, threads, isa);
}

// With `gradient` returns the gradient (k, d) by W too, with the strides that it was added up with.
template <class XT, class CT, class Index>
std::tuple<Result, Maybe<nb::ndarray<nb::numpy, double, nb::ndim<2>>>> sparse_pass(
    Task task, DenseVector<const XT> value, DenseVector<const Index> column, DenseVector<const Index> start, int64_t d,
    const TargetArrays& targets, const PassArrays<CT>& arrays, bool gradient, int threads, const std::string& isa) {
  require(start.shape(0) >= 1, "start must hold one number more than there are rows");
  require(value.shape(0) == column.shape(0), "a column to every value");
  require(!arrays.grad_w, "sparse rows return the gradient by w");
  const Sparse<XT, Index> rows{value.data(),
                               column.data(),
                               start.data(),
                               static_cast<int64_t>(start.shape(0)) - 1,
                               d,
                               static_cast<int64_t>(value.shape(0))};
  require(rows.start[0] == 0, "start must begin with 0");
  SparseGradient sums;
  const Result result = run<CT>(task, rows, targets, arrays, threads, isa, gradient ? &sums : nullptr);
  if (!gradient) return {result, {}};
  double* data = sums.sums.release();
  nb::capsule owner(data, [](void* p) noexcept { std::free(p); });
  const size_t shape[] = {arrays.w.shape(0), static_cast<size_t>(d)};
  const int64_t strides[] = {sums.row_stride, sums.column_stride};
  return {result, nb::ndarray<nb::numpy, double, nb::ndim<2>>(data, 2, shape, owner, strides)};
}

template <class XT, class CT> void define_dense(nb::module_& m, const char* name) {
  m.def(name, &dense_pass<XT, CT>, "task"_a, "x"_a.noconvert(), "targets"_a, "arrays"_a, "threads"_a, "isa"_a);
}
template <class XT, class CT, class Index> void define_sparse(nb::module_& m, const char* name) {
  m.def(name, &sparse_pass<XT, CT, Index>, "task"_a, "value"_a.noconvert(), "column"_a.noconvert(), "start"_a.noconvert(), "d"_a,
        "targets"_a, "arrays"_a, "gradient"_a, "threads"_a, "isa"_a);
}
template <class CT> void define_arrays(nb::module_& m, const char* name) {
  using A = PassArrays<CT>;
  nb::class_<A>(m, name)
      .def(
          "__init__",
          [](A* self, DenseMatrix<const CT> w, DenseVector<const CT> b) { new (self) A{w, b, {}, {}, {}, {}, {}, {}}; },
          "w"_a.noconvert(), "b"_a.noconvert())
      .def_prop_ro("shape", [](const A& a) { return std::tuple(a.w.shape(0), a.w.shape(1)); })
      .def_rw("v", &A::v, nb::arg().noconvert().none())
      .def_rw("c", &A::c, nb::arg().noconvert().none())
      .def_rw("grad_w", &A::grad_w, nb::arg().noconvert().none())
      .def_rw("grad_b", &A::grad_b, nb::arg().noconvert().none())
      .def_rw("out", &A::out, nb::arg().noconvert().none())
      .def_rw("out_class", &A::out_class, nb::arg().noconvert().none());
}

}  // namespace

void define_passes(nb::module_& m) {
  nb::enum_<Task>(m, "Task")
      .value("sums", Task::sums)
      .value("curvature", Task::curvature)
      .value("probabilities", Task::probabilities)
      .value("log_probabilities", Task::log_probabilities)
      .value("classes", Task::classes)
      .value("logits", Task::logits);
  nb::class_<TargetArrays>(m, "Targets")
      .def(nb::init<>())
      .def_rw("label", &TargetArrays::label, nb::arg().noconvert().none())
      .def_rw("soft_f", &TargetArrays::soft_f, nb::arg().noconvert().none())
      .def_rw("soft_d", &TargetArrays::soft_d, nb::arg().noconvert().none())
      .def_rw("top_class", &TargetArrays::top_class, nb::arg().noconvert().none())
      .def_rw("top_value", &TargetArrays::top_value, nb::arg().noconvert().none())
      .def_rw("smoothing", &TargetArrays::smoothing)
      .def_rw("ignored", &TargetArrays::ignored, nb::arg().none())
      .def_rw("weight", &TargetArrays::weight, nb::arg().noconvert().none())
      .def_rw("offset_f", &TargetArrays::offset_f, nb::arg().noconvert().none())
      .def_rw("offset_d", &TargetArrays::offset_d, nb::arg().noconvert().none());
  define_arrays<float>(m, "Arrays_f");
  define_arrays<double>(m, "Arrays_d");
  define_dense<double, double>(m, "dense_dd");
  define_dense<float, double>(m, "dense_fd");
  define_dense<Half, double>(m, "dense_hd");
  define_dense<BFloat16, double>(m, "dense_bd");
  define_dense<float, float>(m, "dense_ff");
  define_dense<Half, float>(m, "dense_hf");
  define_dense<BFloat16, float>(m, "dense_bf");
  define_sparse<double, double, int32_t>(m, "sparse_ddi");
  define_sparse<double, double, int64_t>(m, "sparse_ddl");
  define_sparse<float, double, int32_t>(m, "sparse_fdi");
  define_sparse<float, double, int64_t>(m, "sparse_fdl");
  define_sparse<float, float, int32_t>(m, "sparse_ffi");
  define_sparse<float, float, int64_t>(m, "sparse_ffl");
}

}  // namespace xent
