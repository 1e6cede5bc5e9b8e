// The passes over rows and the descent: typed arrays in, shapes checked, the GIL released, no logic.
#include "bind.hpp"

#include <vector>

namespace {

using namespace xent;
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
Result run(Task task, const Rows& rows, const TargetArrays& arrays, const PassArrays<CT>& a, int threads,
           const std::string& isa, Extra... extra) {
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
Result dense_pass(Task task, Matrix<const Stored<XT>> x, const TargetArrays& targets, const PassArrays<CT>& arrays,
                  int threads, const std::string& isa) {
  const Dense<XT> rows{reinterpret_cast<const XT*>(x.data()), static_cast<int64_t>(x.shape(0)),
                       static_cast<int64_t>(x.shape(1)), x.stride(0), x.stride(1)};
  return run<CT>(task, rows, targets, arrays, threads, isa);
}

// With `gradient` returns the gradient by W too: (k, d), one row for two classes (that of the second).
template <class XT, class CT, class Index>
std::tuple<Result, nb::object> sparse_pass(Task task, DenseVector<const XT> value, DenseVector<const Index> column,
                                           DenseVector<const Index> start, int64_t d, const TargetArrays& targets,
                                           const PassArrays<CT>& arrays, bool gradient, int threads, const std::string& isa) {
  require(start.shape(0) >= 1, "start must hold one number more than there are rows");
  require(value.shape(0) == column.shape(0), "a column to every value");
  require(!arrays.grad_w, "sparse rows return the gradient by w");
  const Sparse<XT, Index> rows{value.data(), column.data(), start.data(), static_cast<int64_t>(start.shape(0)) - 1, d,
                               static_cast<int64_t>(value.shape(0))};
  require(rows.start[0] == 0, "start must begin with 0");
  SparseGradient sums;
  const Result result = run<CT>(task, rows, targets, arrays, threads, isa, gradient ? &sums : nullptr);
  if (!gradient) return {result, nb::none()};
  double* data = sums.sums.release();
  nb::capsule owner(data, [](void* p) noexcept { std::free(p); });
  const size_t shape[] = {static_cast<size_t>(sums.k), static_cast<size_t>(d)};
  const int64_t strides[] = {1, sums.ld};
  return {result, nb::cast(nb::ndarray<nb::numpy, double>(data, 2, shape, owner, strides))};
}

template <class XT, class CT> void define_dense(nb::module_& m, const char* name) {
  m.def(name, &dense_pass<XT, CT>, "task"_a, "x"_a.noconvert(), "targets"_a, "arrays"_a, "threads"_a, "isa"_a);
}
template <class XT, class CT, class Index> void define_sparse(nb::module_& m, const char* name) {
  m.def(name, &sparse_pass<XT, CT, Index>, "task"_a, "value"_a.noconvert(), "column"_a.noconvert(), "start"_a.noconvert(),
        "d"_a, "targets"_a, "arrays"_a, "gradient"_a, "threads"_a, "isa"_a);
}
template <class CT> void define_arrays(nb::module_& m, const char* name) {
  using A = PassArrays<CT>;
  nb::class_<A>(m, name)
      .def("__init__", [](A* self, DenseMatrix<const CT> w, DenseVector<const CT> b) { new (self) A{w, b, {}, {}, {}, {}, {}, {}}; },
           "w"_a.noconvert(), "b"_a.noconvert())
      .def_prop_ro("shape", [](const A& a) { return std::tuple(a.w.shape(0), a.w.shape(1)); })
      .def_rw("v", &A::v, nb::arg().noconvert().none())
      .def_rw("c", &A::c, nb::arg().noconvert().none())
      .def_rw("grad_w", &A::grad_w, nb::arg().noconvert().none())
      .def_rw("grad_b", &A::grad_b, nb::arg().noconvert().none())
      .def_rw("out", &A::out, nb::arg().noconvert().none())
      .def_rw("out_class", &A::out_class, nb::arg().noconvert().none());
}

// Columns with the arrays that its targets point into.
template <class CT> struct ColumnArrays {
  TargetArrays arrays;
  int64_t n, k;
  Columns<CT> columns;
  ColumnArrays(const TargetArrays& a, DenseVector<const int64_t> rows, int64_t n, int64_t k, const std::string& isa)
      : arrays(a), n(n), k(k), columns(kernels(isa), checked(arrays, rows, n, k), {rows.data(), rows.data() + rows.shape(0)}, k) {}

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
  void restore(DenseMatrix<const double> in) {
    require_shape(in, columns.rows(), kGiven, "in must hold 7 numbers a row");
    columns.restore(in.data());
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
      .def("restore", &C::restore, "in"_a.noconvert());
}

void require_offsets(const DenseVector<const int64_t>& start, int64_t end, const char* what) {
  require(start.shape(0) >= 1 && start.data()[0] == 0 && start.data()[start.shape(0) - 1] == end, what);
  for (size_t i = 1; i < start.shape(0); ++i) require(start.data()[i] >= start.data()[i - 1], what);
}

// The groups of a penalty: members of group g are member[group_start[g]] … member[group_start[g + 1] − 1].
template <class T>
int descend(DenseVector<const int64_t> start, DenseVector<const T> block, DenseMatrix<const double> psi,
            DenseMatrix<const double> dual, DenseMatrix<const double> penalty, DenseVector<const double> gradient,
            DenseVector<double> w, Maybe<DenseVector<const int64_t>> group_start, Maybe<DenseVector<const int64_t>> member,
            double tolerance, int most, const std::string& isa) {
  const auto size = static_cast<int64_t>(w.shape(0)), rank = static_cast<int64_t>(psi.shape(1));
  require_offsets(start, size, "start must lead from 0 to w's length");
  int64_t numbers = 0;
  for (size_t k = 1; k < start.shape(0); ++k) {
    const int64_t width = start.data()[k] - start.data()[k - 1];
    numbers += width * width;
  }
  require_length(block, numbers, "a block of squares of what start says");
  require(rank % 8 == 0, "psi must have a multiple of 8 columns");
  require_shape(psi, size, rank, "psi must have a row a coordinate");
  require_shape(dual, size, rank, "dual must be of psi's shape");
  require_shape(penalty, 4, size, "penalty must be (4, size): l2, l1, lower, upper");
  require_length(gradient, size, "gradient must be of w's length");
  require(group_start.has_value() == member.has_value(), "groups are starts and members");
  const Quadratic<T> model{size, static_cast<int64_t>(start.shape(0)) - 1, rank, start.data(), block.data(), psi.data(),
                           dual.data()};
  const double* p = penalty.data();
  Separable separable{p, p + size, p + 2 * size, p + 3 * size};
  if (group_start && member) {
    require_length(*member, size, "every coordinate must be in a group");
    require_offsets(*group_start, size, "group_start must lead from 0 to the members' number");
    for (int64_t i = 0; i < size; ++i) require(member->data()[i] >= 0 && member->data()[i] < size, "a member is no coordinate");
    separable.groups = static_cast<int64_t>(group_start->shape(0)) - 1;
    separable.group_start = group_start->data();
    separable.member = member->data();
  }
  const auto& set = kernels(isa);
  const DescentKernels<T>* kernel;
  if constexpr (sizeof(T) == 4) kernel = &set.descent_f; else kernel = &set.descent_d;
  nb::gil_scoped_release release;
  std::vector<double> memory(kernel->bytes(model) / 8 + 1);
  return kernel->run(memory.data(), model, separable, gradient.data(), w.data(), tolerance, most);
}

template <class T> void define_descend(nb::module_& m, const char* name) {
  m.def(name, &descend<T>, "start"_a.noconvert(), "block"_a.noconvert(), "psi"_a.noconvert(), "dual"_a.noconvert(),
        "penalty"_a.noconvert(), "gradient"_a.noconvert(), "w"_a.noconvert(), "group_start"_a.noconvert().none(),
        "member"_a.noconvert().none(), "tolerance"_a, "most"_a, "isa"_a);
}

}  // namespace

NB_MODULE(_native, m) {
  m.doc() = "xent's kernels; use them through xent.kernels.native, which states the contracts.";
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
  define_arrays<float>(m, "Arrays_f");
  define_arrays<double>(m, "Arrays_d");
  define_columns<float>(m, "Columns_f");
  define_columns<double>(m, "Columns_d");
  define_functions(m);
  define_tiles(m);
  define_solver(m);
  define_losses(m);
  define_descend<float>(m, "descend_f");
  define_descend<double>(m, "descend_d");
  m.def("isa", [](const std::string& wanted) { return std::string(kernels(wanted).name); }, "wanted"_a);
  m.def("max_threads", &max_threads);
}
