// The Hessian and whole descents: typed arrays in, shapes checked, the GIL released, no logic.
#include "solver.hpp"

#include <algorithm>
#include <vector>

#include "bind.hpp"
#include "passes.hpp"

namespace xent {
namespace {

constexpr int64_t kChunk = 1 << 16;

void curvature(Matrix<const double> x, DenseVector<const double> centre, bool intercept, DenseMatrix<const double> p,
               Maybe<DenseVector<const double>> weight, DenseMatrix<double> out, int threads, const std::string& isa) {
  const auto n = static_cast<int64_t>(x.shape(0)), d = static_cast<int64_t>(x.shape(1)), k = static_cast<int64_t>(p.shape(1));
  const CurvatureRows rows{rows_of<double>(x), centre.data(), intercept, p.data(), data_or_null(weight), k};
  require_length(centre, d, "centre must have an entry a column of x");
  require_shape(p, n, k, "p must have a row for each of x");
  if (weight) require_length(*weight, n, "weight and x must have the same number of rows");
  require_shape(out, k * rows.width(), k * rows.width(), "out must be (k·width, k·width)");
  const Kernels& set = kernels(isa);
  nb::gil_scoped_release release;
  curvature_pass(set, rows, out.data(), threads);
}

// A problem in the coordinates of an objective, and the metric to descend in.
struct SmoothArrays {
  DenseVector<const double> centre;
  DenseMatrix<const double> penalty;
  DenseVector<const bool> constant;
  double weight;
  DenseVector<const double> share;
  DenseMatrix<const double> class_x;
};
struct MetricArrays {
  Maybe<DenseVector<const double>> units;
  Maybe<DenseMatrix<const double>> basis, classes, inverse, dense;
  Metric over(int64_t k, int64_t d, int64_t width) const {
    if (dense) {
      require_shape(*dense, k * width, k * width, "dense must be (k·width, k·width)");
      return {nullptr, nullptr, nullptr, nullptr, dense->data()};
    }
    require(units && basis && classes && inverse, "a metric is dense or has four parts");
    require_length(*units, d, "units must be (d,)");
    require_shape(*basis, d, d, "basis must be (d, d)");
    require_shape(*classes, k, k, "classes must be (k, k)");
    require_shape(*inverse, k, width, "inverse must be of theta's shape");
    return {units->data(), basis->data(), classes->data(), inverse->data()};
  }
};

template <class XT>
std::tuple<int, int> descend(Matrix<const Stored<XT>> x, const TargetArrays& arrays, const SmoothArrays& s, const MetricArrays& m,
                             nb::typed<nb::callable, MetricArrays()> refresh,
                             nb::typed<nb::callable, bool(double, double, int)> stop,
                             std::tuple<double, double, int, int, double> goal, DenseMatrix<double> theta, int threads,
                             const std::string& isa) {
  const auto k = static_cast<int64_t>(theta.shape(0)), width = static_cast<int64_t>(theta.shape(1));
  const Dense<XT> rows = rows_of<XT>(x);
  const int64_t d = rows.d;
  require(k >= 2 && k <= 1 << 20 && (width == d || width == d + 1), "theta must be (k, d) or (k, d + 1)");
  const auto [tol, near, patience, most, newton_below] = goal;
  require((std::is_same_v<XT, double>) || newton_below < 0, "Newton's steps want x in float64");
  require_length(s.centre, d, "centre must be (d,)");
  require_length(s.constant, d, "constant must be (d,)");
  require_shape(s.penalty, k, width, "penalty must be of theta's shape");
  require_length(s.share, k, "share must be (k,)");
  require_shape(s.class_x, k, d, "class_x must be (k, d)");
  const Targets targets = arrays.over(rows.n, k);
  require(targets.kind != Target::none, "a descent needs targets");
  const Kernels& set = kernels(isa);
  const Smooth smooth{
      k, d, width, s.centre.data(), s.penalty.data(), s.constant.data(), s.weight, s.share.data(), s.class_x.data()};
  const Metric metric = m.over(k, d, width);
  MetricArrays latest = m;
  Listener listener;
  listener.refresh = [&] {
    nb::gil_scoped_acquire acquire;
    latest = nb::cast<MetricArrays>(refresh());
    return latest.over(k, d, width);
  };
  listener.stop = [&](double value, double gap, int passes) {
    nb::gil_scoped_acquire acquire;
    return nb::cast<bool>(stop(value, gap, passes));
  };
  nb::gil_scoped_release release;
  const int classes = static_cast<int>(k);
  Reader read;
  read.loss = [&](const double* w, const double* b, double* grad_w, double* grad_b) {
    const Outputs<double> out{grad_w, grad_b};
    const Totals totals = run_pass(set, Task::sums, rows, targets, Weights<double>{w, b}, {}, classes, out, threads);
    return std::get<0>(finish(totals, targets, k));
  };
  // A chunk of rows at a time: n × k is never held. use(rows, p, weight) of each.
  std::vector<double> p(std::min(rows.n, kChunk) * k);
  const auto over_chunks = [&](const double* w, const double* b, auto&& use) {
    for (int64_t start = 0; start < rows.n; start += kChunk) {
      Dense<XT> part = rows;
      part.x += start * rows.row_stride;
      part.n = std::min(kChunk, rows.n - start);
      Outputs<double> out;
      out.out = p.data();
      Targets offsets;
      if (targets.offset_f) offsets.offset_f = targets.offset_f + start * k;
      if (targets.offset_d) offsets.offset_d = targets.offset_d + start * k;
      run_pass(set, Task::probabilities, part, offsets, Weights<double>{w, b}, {}, classes, out, threads);
      use(part, targets.weight ? targets.weight + start : nullptr);
    }
  };
  read.classes = [&](const double* w, const double* b, double* sum) {
    over_chunks(w, b,
                [&](const Dense<XT>& part, const double* weight) { add_class_curvature(p.data(), weight, part.n, k, sum); });
  };
  std::vector<double> one;
  read.hessian = [&](const double* w, const double* b, double* hessian) {
    if constexpr (std::is_same_v<XT, double>) {
      one.resize(k * width * k * width);
      over_chunks(w, b, [&](const Dense<XT>& part, const double* weight) {
        curvature_pass(set, {part, smooth.centre, width > d, p.data(), weight, k}, one.data(), threads);
        for (size_t i = 0; i < one.size(); ++i) hessian[i] += one[i];
      });
    }
  };
  const Descent found = descend_smooth(smooth, metric, read, listener, {tol, near, patience, most, newton_below}, theta.data());
  return {found.passes, found.iterations};
}

template <class XT> void define_descend(nb::module_& m, const char* name) {
  m.def(name, &descend<XT>, "x"_a.noconvert(), "targets"_a, "smooth"_a, "metric"_a, "refresh"_a, "stop"_a, "goal"_a,
        "theta"_a.noconvert(), "threads"_a, "isa"_a);
}

}  // namespace

void define_solver(nb::module_& m) {
  m.def("curvature", &curvature, "x"_a.noconvert(), "centre"_a.noconvert(), "intercept"_a, "p"_a.noconvert(),
        "weight"_a.noconvert().none(), "out"_a.noconvert(), "threads"_a, "isa"_a);
  nb::class_<SmoothArrays>(m, "Smooth")
      .def(
          "__init__",
          [](SmoothArrays* self, DenseVector<const double> centre, DenseMatrix<const double> penalty,
             DenseVector<const bool> constant, double weight, DenseVector<const double> share,
             DenseMatrix<const double> class_x) { new (self) SmoothArrays{centre, penalty, constant, weight, share, class_x}; },
          "centre"_a.noconvert(), "penalty"_a.noconvert(), "constant"_a.noconvert(), "weight"_a, "share"_a.noconvert(),
          "class_x"_a.noconvert());
  nb::class_<MetricArrays>(m, "Metric")
      .def(
          "__init__",
          [](MetricArrays* self, DenseVector<const double> units, DenseMatrix<const double> basis,
             DenseMatrix<const double> classes,
             DenseMatrix<const double> inverse) { new (self) MetricArrays{units, basis, classes, inverse, {}}; },
          "units"_a.noconvert(), "basis"_a.noconvert(), "classes"_a.noconvert(), "inverse"_a.noconvert())
      .def(
          "__init__", [](MetricArrays* self, DenseMatrix<const double> dense) { new (self) MetricArrays{{}, {}, {}, {}, dense}; },
          "dense"_a.noconvert());
  define_descend<double>(m, "descend_smooth_d");
  define_descend<float>(m, "descend_smooth_f");
  define_descend<Half>(m, "descend_smooth_h");
  define_descend<BFloat16>(m, "descend_smooth_b");
}

}  // namespace xent
