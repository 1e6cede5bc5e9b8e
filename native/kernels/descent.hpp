// Coordinate descent on a quadratic model of the loss plus a penalty: what a proximal Newton step is made of.
// Sources: J. Friedman, T. Hastie, R. Tibshirani, J. Stat. Softw. 33 (2010);
// for the low-rank part X. Tang, K. Scheinberg, "Efficiently using second order information in large l1 problems" (2013).
#pragma once
#include "simd.hpp"
#include "interface.hpp"

namespace xent {
namespace {

XENT_INLINE double dot(const double* a, const double* b, int64_t n) {
  Vec<double> sum{};
  for (int64_t i = 0; i < n; i += kLanes<double>) sum += load<double>(a + i) * load<double>(b + i);
  double total = 0;
  for (int lane = 0; lane < kLanes<double>; ++lane) total += sum[lane];
  return total;
}

// A coordinate's row of its block: `width` values, the model's coordinates from `first` on.
template <class T> struct Column {
  const T* values;
  int64_t first, width;
};

// The model's state as coordinates move: q = (blocks)(w − w₀) and t = dualᵀ(w − w₀). Memory is the caller's: templates
// of the standard library must not be made here.
template <class T> class Descent {
 public:
  Descent(void* memory, const Quadratic<T>& model, const Separable& penalty, const double* gradient, double* w)
      : model_(model), penalty_(penalty), gradient_(gradient), w_(w) {
    column_ = static_cast<Column<T>*>(memory);
    q_ = reinterpret_cast<double*>(column_ + model.size);
    curvature_ = q_ + model.size;
    pull_ = curvature_ + model.size;
    t_ = pull_ + model.size;
    moving_ = reinterpret_cast<int64_t*>(t_ + model.rank);
    for (int64_t i = 0; i < model.size; ++i) q_[i] = 0;
    for (int64_t j = 0; j < model.rank; ++j) t_[j] = 0;
    const T* block = model.block;
    for (int64_t k = 0; k < model.blocks; ++k) {
      const int64_t first = model.start[k], width = model.start[k + 1] - first;
      for (int64_t i = 0; i < width; ++i) {
        const double own = block[i * width + i], left = own - low_rank(first + i, first + i);
        // The pairs may take away more curvature than rounding leaves; a thousandth of it stays.
        curvature_[first + i] = left > 1e-3 * own ? left : 1e-3 * own;
        column_[first + i] = {block + i * width, first, width};
      }
      block += width * width;
    }
    if (penalty.group_start) bound_groups();
  }
  static int64_t bytes(const Quadratic<T>& model) {
    return model.size * static_cast<int64_t>(sizeof(Column<T>) + 4 * 8) + model.rank * 8;
  }

  // Sweeps until one moves no more than `tolerance` of the first's Σ curvature·step²; returns how many it took.
  int run(double tolerance, int most) {
    const int64_t all = penalty_.group_start ? penalty_.groups : model_.size;
    double first = 0;
    for (int sweeps = 0; sweeps < most;) {
      double moved = 0;
      int64_t live = 0;
      for (int64_t i = 0; i < all; ++i) {
        moving_[live] = i;
        live += step(i, &moved);
      }
      if (++sweeps == 1) first = moved;
      if (!(moved > tolerance * first)) return sweeps;
      // What is not zero settles first, then everything is looked at again.
      for (double inner = moved; sweeps < most && inner > tolerance * first; ++sweeps) {
        inner = 0;
        for (int64_t i = 0; i < live; ++i) step(moving_[i], &inner);
      }
    }
    return most;
  }

 private:
  double low_rank(int64_t i, int64_t j) const {
    return dot(model_.psi + i * model_.rank, model_.dual + j * model_.rank, model_.rank);
  }
  double entry(int64_t i, int64_t j) const {
    const Column<T>& column = column_[i];
    const int64_t place = j - column.first;
    const bool held = place >= 0 && place < column.width;
    return (held ? static_cast<double>(column.values[place]) : 0.0) - low_rank(i, j);
  }
  double slope(int64_t i) const { return gradient_[i] + q_[i] - dot(model_.psi + i * model_.rank, t_, model_.rank); }

  void move(int64_t i, double to) {
    const double by = to - w_[i];
    w_[i] = to;
    const Column<T>& column = column_[i];
    double* q = q_ + column.first;
    for (int64_t j = 0; j < column.width; ++j) q[j] += by * static_cast<double>(column.values[j]);
    const double* dual = model_.dual + i * model_.rank;
    for (int64_t j = 0; j < model_.rank; ++j) t_[j] += by * dual[j];
  }

  // Whether coordinate or group i is not zero afterwards.
  bool step(int64_t i, double* moved) { return penalty_.group_start ? group(i, moved) : single(i, moved); }

  bool single(int64_t i, double* moved) {
    const double h = curvature_[i] + penalty_.l2[i], pull = curvature_[i] * w_[i] - slope(i), l1 = penalty_.l1[i];
    double to = pull > l1 ? (pull - l1) / h : pull < -l1 ? (pull + l1) / h : 0.0;
    if (!__builtin_isfinite(to)) to = w_[i];  // nothing curves here
    to = to < penalty_.lower[i] ? penalty_.lower[i] : to > penalty_.upper[i] ? penalty_.upper[i] : to;
    const double by = to - w_[i];
    if (by != 0) move(i, to);
    *moved += by * by * h;
    return to != 0;
  }

  // Members share one curvature that bounds the model's on the group, so that the minimum has a closed form.
  bool group(int64_t g, double* moved) {
    const int64_t from = penalty_.group_start[g], to = penalty_.group_start[g + 1];
    if (from == to) return false;
    const int64_t* member = penalty_.member;
    const double h = curvature_[member[from]], l1 = penalty_.l1[member[from]], l2 = penalty_.l2[member[from]];
    double norm = 0;
    for (int64_t m = from; m < to; ++m) {
      const double pull = h * w_[member[m]] - slope(member[m]);
      pull_[m] = pull;
      norm += pull * pull;
    }
    norm = __builtin_sqrt(norm);
    const double scale = norm <= l1 ? 0.0 : (1 - l1 / norm) / (h + l2);
    bool live = false;
    for (int64_t m = from; m < to; ++m) {
      const double value = __builtin_isfinite(scale) ? scale * pull_[m] : w_[member[m]];
      const double by = value - w_[member[m]];
      if (by != 0) move(member[m], value);
      *moved += by * by * (h + l2);
      live = live || value != 0;
    }
    return live;
  }

  // Gershgorin: the largest absolute row sum of the model's rows and columns that belong to the group. A block of all
  // classes has some of a group's entries off its diagonal, blocks of one class each have none.
  void bound_groups() {
    for (int64_t g = 0; g < penalty_.groups; ++g) {
      const int64_t from = penalty_.group_start[g], to = penalty_.group_start[g + 1];
      double bound = 0;
      for (int64_t m = from; m < to; ++m) {
        const int64_t i = penalty_.member[m];
        double row = curvature_[i];
        for (int64_t l = from; l < to; ++l)
          if (l != m) row += __builtin_fabs(entry(i, penalty_.member[l]));
        bound = row > bound ? row : bound;
      }
      for (int64_t m = from; m < to; ++m) curvature_[penalty_.member[m]] = bound;
    }
  }

  const Quadratic<T>& model_;
  const Separable& penalty_;
  const double* gradient_;
  double* w_;
  double *q_, *t_, *curvature_, *pull_;
  int64_t* moving_;
  Column<T>* column_;
};

template <class T> int64_t descent_bytes(const Quadratic<T>& model) { return Descent<T>::bytes(model); }
template <class T>
int descend(void* memory, const Quadratic<T>& model, const Separable& penalty, const double* gradient, double* w,
            double tolerance, int most) {
  return Descent<T>(memory, model, penalty, gradient, w).run(tolerance, most);
}

}  // namespace
}  // namespace xent
