// softmax, log-softmax and losses along an axis of an array: typed arrays in, shapes checked, rows dealt out among threads.
#include <algorithm>
#include <string>
#include <vector>

#include "bind.hpp"
#include "memory.hpp"
#include "threads.hpp"

namespace xent {
namespace {

template <class T> using Array = nb::ndarray<T, nb::device::cpu>;

// The axes of some arrays of one shape but for one axis, in the order of the first one's strides if `sorted`, else as
// they are. Neighbours that all arrays hold as one are one.
class Axes {
 public:
  Axes(const std::vector<const int64_t*>& strides, const int64_t* shape, size_t axes, size_t axis, bool sorted)
      : strides_(strides.size()) {
    std::vector<size_t> order;
    for (size_t a = 0; a < axes; ++a) {
      if (a != axis) n_ *= shape[a];
      if (a != axis && shape[a] != 1) order.push_back(a);
    }
    if (sorted)
      std::stable_sort(order.begin(), order.end(),
                       [&](size_t a, size_t b) { return std::abs(strides[0][a]) > std::abs(strides[0][b]); });
    for (const size_t a : order) {
      const auto size = static_cast<int64_t>(shape[a]);
      bool joined = !shape_.empty();
      for (size_t i = 0; joined && i < strides.size(); ++i) joined = strides_[i].back() == strides[i][a] * size;
      if (!joined) shape_.push_back(1);
      shape_.back() *= size;
      for (size_t i = 0; i < strides.size(); ++i) {
        if (!joined) strides_[i].push_back(0);
        strides_[i].back() = strides[i][a];
      }
    }
  }
  template <class XT, class Given> Rows<XT> rows(const Given& array, size_t axis, size_t number) const {
    return {reinterpret_cast<XT*>(array.data()),
            n_,
            static_cast<int64_t>(array.shape(axis)),
            array.stride(axis),
            static_cast<int>(shape_.size()),
            shape_.data(),
            strides_[number].data()};
  }

 private:
  int64_t n_ = 1;
  std::vector<int64_t> shape_;
  std::vector<std::vector<int64_t>> strides_;
};

template <class A, class B> void require_same_shape(const A& a, const B& b, const char* what) {
  require(a.ndim() == b.ndim() && std::equal(a.shape_ptr(), a.shape_ptr() + a.ndim(), b.shape_ptr()), what);
}

constexpr int64_t kAlone = 100000;  // numbers: with fewer, waking a thread takes longer than it saves

// Runs work(lo, hi, scratch) over the rows, cut into one range per thread.
template <class XT, class Work>
void over_all(const FunctionKernels<XT>& kernels, const Rows<const XT>& rows, bool soft, int requested, Work&& work) {
  const int64_t unit = kernels.together(rows), stride = (kernels.scratch(rows, soft) + kAlign - 1) / kAlign * kAlign;
  const int threads = plan_threads(requested, (rows.n + unit - 1) / unit, rows.n * rows.classes < kAlone);
  const Buffer<char> scratch = spare_room<char>(threads * stride);
  over_ranges(rows.n, unit, threads, [&](int t, int64_t lo, int64_t hi) { work(lo, hi, scratch.get() + t * stride); });
}

template <class XT>
void normalise(const FunctionKernels<XT>& kernels, const Array<const Stored<XT>>& z, const Array<Stored<XT>>& out, size_t axis,
               bool logs, int threads) {
  require(axis < z.ndim(), "no such axis");
  require_same_shape(z, out, "out must be of z's shape");
  if (z.size() == 0) return;
  const Axes axes({z.stride_ptr(), out.stride_ptr()}, z.shape_ptr(), z.ndim(), axis, true);
  const auto from = axes.rows<const XT>(z, axis, 0);
  const auto to = axes.rows<XT>(out, axis, 1);
  nb::gil_scoped_release release;
  over_all(kernels, from, false, threads,
           [&](int64_t lo, int64_t hi, void* scratch) { kernels.normalise(from, to, logs, lo, hi, scratch); });
}

// Of every row its loss; returns the first bad row or -1.
template <class XT>
int64_t losses(const FunctionKernels<XT>& kernels, const Array<const Stored<XT>>& z, size_t axis,
               const Maybe<DenseVector<const int64_t>>& label, const Maybe<Array<const float>>& soft_f,
               const Maybe<Array<const double>>& soft_d, const Maybe<DenseVector<const double>>& weight, double slack,
               const DenseVector<double>& out, int threads) {
  require(axis < z.ndim(), "no such axis");
  require(label.has_value() + soft_f.has_value() + soft_d.has_value() == 1, "labels, or soft rows of one kind");
  if (soft_f) require_same_shape(z, *soft_f, "soft rows must be of z's shape");
  if (soft_d) require_same_shape(z, *soft_d, "soft rows must be of z's shape");
  const int64_t* const soft_stride = soft_f ? soft_f->stride_ptr() : soft_d ? soft_d->stride_ptr() : z.stride_ptr();
  const Axes axes({z.stride_ptr(), soft_stride}, z.shape_ptr(), z.ndim(), axis, false);
  const auto from = axes.rows<const XT>(z, axis, 0);
  if (label) require_length(*label, from.n, "label must have an entry a row");
  if (weight) require_length(*weight, from.n, "weight must have an entry a row");
  require_length(out, from.n, "out must have an entry a row");
  if (z.size() == 0) return -1;
  RowTargets targets;
  targets.label = data_or_null(label);
  if (soft_f) targets.soft_f = axes.rows<const float>(*soft_f, axis, 1);
  if (soft_d) targets.soft_d = axes.rows<const double>(*soft_d, axis, 1);
  targets.weight = data_or_null(weight);
  targets.slack = slack;
  nb::gil_scoped_release release;
  int64_t bad_row = -1;
  over_all(kernels, from, !label, threads, [&](int64_t lo, int64_t hi, void* scratch) {
    const int64_t bad = kernels.losses(from, targets, out.data(), lo, hi, scratch);
#if defined(_OPENMP)
#pragma omp critical
#endif
    if (bad >= 0 && (bad_row < 0 || bad < bad_row)) bad_row = bad;
  });
  return bad_row;
}

template <class XT> void define(nb::module_& m, const char* suffix, FunctionKernels<XT> Functions::* member) {
  m.def((std::string("normalise_") + suffix).c_str(),
        [member](Array<const Stored<XT>> z, Array<Stored<XT>> out, size_t axis, bool logs, int threads, const std::string& isa) {
          normalise<XT>(functions_of(kernels(isa)).*member, z, out, axis, logs, threads);
        },
        "z"_a.noconvert(), "out"_a.noconvert(), "axis"_a, "logs"_a, "threads"_a, "isa"_a);
  m.def((std::string("losses_") + suffix).c_str(),
        [member](Array<const Stored<XT>> z, size_t axis, Maybe<DenseVector<const int64_t>> label,
                 Maybe<Array<const float>> soft_f, Maybe<Array<const double>> soft_d, Maybe<DenseVector<const double>> weight,
                 double slack, DenseVector<double> out, int threads, const std::string& isa) {
          return losses<XT>(functions_of(kernels(isa)).*member, z, axis, label, soft_f, soft_d, weight, slack, out, threads);
        },
        "z"_a.noconvert(), "axis"_a, "label"_a.noconvert().none(), "soft_f"_a.noconvert().none(), "soft_d"_a.noconvert().none(),
        "weight"_a.noconvert().none(), "slack"_a, "out"_a.noconvert(), "threads"_a, "isa"_a);
}

}  // namespace

void define_functions(nb::module_& m) {
  define(m, "d", &Functions::d);
  define(m, "f", &Functions::f);
  define(m, "h", &Functions::h);
  define(m, "b", &Functions::b);
}

}  // namespace xent
