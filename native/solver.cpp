// L-BFGS in a metric, Newton's steps, a balanced intercept: what solvers/lbfgs.py does, in one call.
#include "solver.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <tuple>
#include <vector>

#include "threads.hpp"

namespace xent {
namespace {

constexpr int kPairs = 20, kTrials = 20, kFirstRefresh = 16;
constexpr double kDecrease = 1e-4, kCurvature = 0.9;
constexpr double kEpsilon = std::numeric_limits<double>::epsilon(), kInfinity = std::numeric_limits<double>::infinity();

typedef std::vector<double> Vector;

double dot(const Vector& a, const Vector& b) {
  constexpr size_t lanes = 8;  // one sum would wait for its last addition at every term
  double sum[lanes] = {}, total = 0;
  size_t i = 0;
  for (; i + lanes <= a.size(); i += lanes)
    for (size_t l = 0; l < lanes; ++l) sum[l] += a[i + l] * b[i + l];
  for (; i < a.size(); ++i) total += a[i] * b[i];
  for (const double part : sum) total += part;
  return total;
}
void add(Vector& to, double factor, const Vector& v) {
  for (size_t i = 0; i < to.size(); ++i) to[i] += factor * v[i];
}

struct Point {
  Vector theta, gradient;
  double value = kInfinity, gap = kInfinity;  // gap: by the dual bound (certificate.py), offsets left out
  double price = kInfinity;                   // what of it a balanced intercept would leave
};

class Solve {
 public:
  Solve(const Smooth& problem, const Metric& metric, const Reader& rows)
      : p_(problem), rows_(rows), w_(p_.k * p_.d), b_(p_.k), grad_w_(p_.k * p_.d), grad_b_(p_.k), transposed_(p_.d * p_.d) {
    use(metric);
  }

  void use(const Metric& metric) {
    metric_ = metric;
    if (metric.dense) return;
    for (int64_t j = 0; j < p_.d; ++j)
      for (int64_t r = 0; r < p_.d; ++r) transposed_[r * p_.d + j] = metric.basis[j * p_.d + r];
  }

  void evaluate(Point& at) {
    const auto [k, d, width] = std::tuple(p_.k, p_.d, p_.width);
    const bool intercept = width > d;
    coefficients(at.theta);
    at.gradient.resize(k * width);
    double value = rows_.loss(w_.data(), b_.data(), grad_w_.data(), grad_b_.data()) / p_.weight;
    double inner = 0, ridge = 0, gg = 0, gc = 0, cc = 0, epsilon = 0, price = 0, terms = 0, largest = 0;
    for (int64_t c = 0; c < k; ++c) {
      const double g_b = grad_b_[c] / p_.weight;
      if (intercept && g_b > 0) epsilon = std::max(epsilon, g_b / (g_b + p_.share[c]));
      for (int64_t j = 0; j < width; ++j) {
        double g = g_b;
        if (j < d) g = p_.constant[j] ? 0 : grad_w_[c * d + j] / p_.weight - (intercept ? g_b * p_.centre[j] : 0);
        const int64_t i = c * width + j;
        const double t = at.theta[i], pull = p_.penalty[i] * t;
        inner += g * t, terms += std::abs(g * t);
        ridge += pull * t;
        if (j < d) {
          const double x = p_.class_x[c * d + j];
          gg += g * g / p_.penalty[i], gc += g * x / p_.penalty[i], cc += x * x / p_.penalty[i];
          price += 0.5 * (g + pull) * (g + pull) / p_.penalty[i];
        }
        at.gradient[i] = g + pull;
      }
    }
    for (const double b : b_) largest = std::max(largest, std::abs(b));
    const double stay = 1 - epsilon, rounding = kEpsilon * (64 * (value + terms) + largest);
    const double bound = stay * (value - inner - rounding) -
                         0.5 * (stay * stay * gg - 2 * epsilon * stay * gc + epsilon * epsilon * cc);
    at.value = value + 0.5 * ridge;
    at.gap = std::isfinite(bound) ? at.value - bound : kInfinity;
    at.price = std::isfinite(bound) ? price : kInfinity;
    ++passes;
  }

  // A Newton step, with H scaled to a unit diagonal; empty where that has no Cholesky factor.
  Vector newton(const Point& at) {
    const auto [k, d, width] = std::tuple(p_.k, p_.d, p_.width);
    const int64_t size = k * width;
    coefficients(at.theta);
    Vector h(size * size), scale(size), step(size);
    rows_.hessian(w_.data(), b_.data(), h.data());
    ++passes;
    for (double& number : h) number /= p_.weight;
    for (int64_t j = 0; j < width; ++j) {  // curvature for the shift common to all classes, as ridge.py puts it there
      double mean = 0;
      for (int64_t c = 0; c < k; ++c) mean += h[(c * width + j) * (size + 1)] / k;
      for (int64_t c = 0; c < k; ++c)
        for (int64_t e = 0; e < k; ++e) h[(c * width + j) * size + e * width + j] += mean / k;
    }
    for (int64_t i = 0; i < size; ++i) {
      h[i * (size + 1)] += p_.penalty[i];
      scale[i] = 1 / std::sqrt(h[i * (size + 1)]);
      step[i] = -scale[i] * at.gradient[i];
    }
    for (int64_t i = 0; i < size; ++i)  // L below the diagonal, row by row
      for (int64_t j = 0; j <= i; ++j) {
        double sum = h[i * size + j] * scale[i] * scale[j];
        for (int64_t l = 0; l < j; ++l) sum -= h[i * size + l] * h[j * size + l];
        if (i == j && !(sum > 4 * size * kEpsilon)) return {};
        h[i * size + j] = i == j ? std::sqrt(sum) : sum / h[j * (size + 1)];
      }
    for (int64_t i = 0; i < size; ++i) {
      for (int64_t l = 0; l < i; ++l) step[i] -= h[i * size + l] * step[l];
      step[i] /= h[i * (size + 1)];
    }
    for (int64_t i = size; i-- > 0;) {
      step[i] /= h[i * (size + 1)];
      for (int64_t l = 0; l < i; ++l) step[l] -= h[i * size + l] * step[i];
    }
    for (int64_t i = 0; i < size; ++i) step[i] *= scale[i];
    remove_shift(step);
    return step;
  }

  // A Newton step on the intercept alone: the dual bound pays its gradient once, and everything else's square.
  Vector balance(const Point& at) {
    const int64_t k = p_.k, width = p_.width;
    coefficients(at.theta);
    Vector sum(k * k), step(k);
    rows_.classes(w_.data(), b_.data(), sum.data());
    ++passes;
    double trace = 0;
    for (int64_t c = 0; c < k; ++c) trace += sum[c * k + c];
    for (double& s : sum) s += trace / (k * k);  // the shift common to all classes, which has no curvature
    for (int64_t c = 0; c < k; ++c) step[c] = -p_.weight * at.gradient[c * width + p_.d];
    for (int64_t c = 0; c < k; ++c)  // elimination; a positive matrix needs no pivots
      for (int64_t e = c + 1; e < k; ++e) {
        const double factor = sum[e * k + c] / sum[c * k + c];
        for (int64_t j = c; j < k; ++j) sum[e * k + j] -= factor * sum[c * k + j];
        step[e] -= factor * step[c];
      }
    for (int64_t c = k; c-- > 0;) {
      for (int64_t j = c + 1; j < k; ++j) step[c] -= sum[c * k + j] * step[j];
      step[c] /= sum[c * k + c];
    }
    Vector direction(k * width);
    for (int64_t c = 0; c < k; ++c) direction[c * width + p_.d] = step[c];
    remove_shift(direction);
    return direction;
  }

  Vector solve(const Vector& g) const {
    const auto [k, d, width] = std::tuple(p_.k, p_.d, p_.width);
    if (metric_.dense) {
      Vector out(g.size());
      for (size_t i = 0; i < g.size(); ++i)
        for (size_t j = 0; j < g.size(); ++j) out[j] += g[i] * metric_.dense[i * g.size() + j];
      remove_shift(out);
      return out;
    }
    Vector in(k * width), inside(k * d);
    for (int64_t c = 0; c < k; ++c)
      for (int64_t e = 0; e < k; ++e)
        for (int64_t j = 0; j < width; ++j) in[c * width + j] += metric_.classes[e * k + c] * g[e * width + j];
    for (int64_t c = 0; c < k; ++c) {
      double* row = in.data() + c * width;
      for (int64_t j = 0; j < d; ++j) {
        const double in_units = row[j] / metric_.units[j];
        for (int64_t r = 0; r < d; ++r) inside[c * d + r] += in_units * metric_.basis[j * d + r];
      }
      for (int64_t r = 0; r < d; ++r) inside[c * d + r] *= metric_.inverse[c * width + r];
      std::fill_n(row, d, 0.0);
      for (int64_t r = 0; r < d; ++r)
        for (int64_t j = 0; j < d; ++j) row[j] += inside[c * d + r] * transposed_[r * d + j];
      for (int64_t j = 0; j < d; ++j) row[j] /= metric_.units[j];
      for (int64_t j = d; j < width; ++j) row[j] *= metric_.inverse[c * width + j];
    }
    Vector out(k * width);
    for (int64_t c = 0; c < k; ++c)
      for (int64_t e = 0; e < k; ++e)
        for (int64_t j = 0; j < width; ++j) out[c * width + j] += metric_.classes[c * k + e] * in[e * width + j];
    remove_shift(out);
    return out;
  }

  int passes = 0;

 private:
  void remove_shift(Vector& v) const {
    for (int64_t j = 0; j < p_.width; ++j) {
      double mean = 0;
      for (int64_t c = 0; c < p_.k; ++c) mean += v[c * p_.width + j] / p_.k;
      for (int64_t c = 0; c < p_.k; ++c) v[c * p_.width + j] -= mean;
    }
  }
  void coefficients(const Vector& theta) {
    for (int64_t c = 0; c < p_.k; ++c) {
      const double* row = theta.data() + c * p_.width;
      double shift = 0;
      for (int64_t j = 0; j < p_.d; ++j) w_[c * p_.d + j] = row[j], shift += row[j] * p_.centre[j];
      b_[c] = p_.width > p_.d ? row[p_.d] - shift : 0;
    }
  }

  const Smooth& p_;
  Metric metric_{};
  const Reader& rows_;
  Vector w_, b_, grad_w_, grad_b_, transposed_;
};

// J. Nocedal, Math. Comp. 35 (1980): the two loops.
class Pairs {
 public:
  void add_pair(Vector s, Vector y, double scale) {
    const double product = dot(s, y);
    if (!(product > 1e-300)) return;
    if (s_.size() == kPairs) s_.erase(s_.begin()), y_.erase(y_.begin()), product_.erase(product_.begin());
    scale_ = product / scale;
    s_.push_back(std::move(s)), y_.push_back(std::move(y)), product_.push_back(product);
  }
  // The metric has changed.
  void rescale(const Solve& run) { scale_ = product_.back() / dot(y_.back(), run.solve(y_.back())); }
  bool empty() const { return s_.empty(); }
  void forget() { s_.clear(), y_.clear(), product_.clear(); }
  Vector direction(const Solve& run, const Vector& gradient) const {
    Vector q = gradient, alpha(s_.size());
    for (size_t i = s_.size(); i-- > 0;) alpha[i] = dot(s_[i], q) / product_[i], add(q, -alpha[i], y_[i]);
    Vector r = run.solve(q);
    if (!empty())
      for (double& number : r) number *= scale_;
    for (size_t i = 0; i < s_.size(); ++i) add(r, alpha[i] - dot(y_[i], r) / product_[i], s_[i]);
    for (double& number : r) number = -number;
    return r;
  }

 private:
  std::vector<Vector> s_, y_;
  Vector product_;
  double scale_ = 1;
};

// Where the cubic of these slopes < 0 and at the end of the `width`, where F has fallen by `fall`, is least.
double cubic(double width, double fall, double slope, double end_slope) {
  const double b = -3 * fall / width - 2 * slope - end_slope, c = slope + end_slope + 2 * fall / width;
  const double root = std::sqrt(std::max(b * b - 3 * c * slope, 0.0));
  return b + root > 0 ? -slope * width / (b + root) : kInfinity;
}

// Weak Wolfe conditions, as solvers/line_search.py has them; false where no trial lowered F.
bool search(Solve& run, const Point& from, const Vector& direction, double noise, Point& to) {
  const double slope = dot(direction, from.gradient);
  if (!(slope < 0)) return false;
  double low = 0, high = kInfinity, t = 1, low_slope = slope, low_value = from.value;
  for (int trial = 0; trial < kTrials; ++trial) {
    to.theta = from.theta;
    add(to.theta, t, direction);
    run.evaluate(to);
    const double now = dot(direction, to.gradient);
    const bool fell = to.value <= from.value + kDecrease * t * slope ||
                      (to.value <= from.value + noise && now <= -(1 - 2 * kDecrease) * slope);
    if (fell && now >= kCurvature * slope) return true;
    double zero = now > low_slope ? low - low_slope * (t - low) / (now - low_slope) : kInfinity;
    if (!fell) {
      if (to.value > from.value + noise) zero = low + cubic(t - low, low_value - to.value, low_slope, now);
      high = t;
      t = std::min(std::max(zero, 0.9 * low + 0.1 * high), 0.5 * (low + high));
    } else {
      low = t, low_slope = now, low_value = to.value;
      t = std::min({std::max(zero, 1.5 * low), 10 * low, 0.5 * (low + high)});
    }
    if (-t * slope < 0.01 * noise) break;
  }
  return false;
}

}  // namespace

Descent descend_smooth(const Smooth& problem, const Metric& metric, const Reader& rows, const Listener& listener,
                       const Goal& goal, double* theta) {
  Solve run(problem, metric, rows);
  Point at, next;
  Pairs pairs;
  at.theta.assign(theta, theta + problem.k * problem.width);
  run.evaluate(at);
  int near_since = run.passes, refresh_at = kFirstRefresh;
  double balance_below = goal.tol, estimate = kInfinity;
  int iteration = 0;
  for (; iteration < goal.most && std::isfinite(at.value); ++iteration) {
    if (iteration == refresh_at) {
      run.use(listener.refresh());
      if (!pairs.empty()) pairs.rescale(run);
      refresh_at *= 2;
    }
    Vector direction;
    const bool newton = estimate <= goal.newton_below;
    if (newton) direction = run.newton(at);
    if (direction.empty()) direction = pairs.direction(run, at.gradient);
    estimate = -0.5 * dot(direction, at.gradient);
    if (estimate > goal.near) near_since = run.passes;
    // W = 0 tells nothing of the rows, however near F is: a step at least.
    const bool done = iteration > 0 && (at.gap <= goal.tol || run.passes - near_since >= goal.patience);
    if (done && !newton) break;  // Newton's step, which is in hand, squares the distance
    if (listener.stop(at.value, at.gap, run.passes)) break;
    const bool balance = problem.width > problem.d && !newton && at.price <= 0.7 * balance_below;
    if (balance) direction = run.balance(at), balance_below = at.price / 4;
    const double noise = 16 * kEpsilon * std::abs(at.value);
    bool moved = search(run, at, direction, noise, next);
    if (!moved && !pairs.empty()) {  // a bad history: the metric alone
      pairs.forget();
      moved = search(run, at, pairs.direction(run, at.gradient), noise, next);
    }
    if (!moved || (done && next.value > at.value)) return {run.passes, iteration + 1};  // tried, and no better
    if (!balance) {
      Vector s = next.theta, y = next.gradient;
      add(s, -1, at.theta);
      add(y, -1, at.gradient);
      const double squared = dot(y, run.solve(y));
      pairs.add_pair(std::move(s), std::move(y), squared);
    }
    std::swap(at, next);
    std::copy(at.theta.begin(), at.theta.end(), theta);
    if (done) return {run.passes, iteration + 1};
  }
  return {run.passes, iteration};
}

void add_class_curvature(const double* p, const double* weight, int64_t n, int64_t k, double* sum) {
  for (int64_t i = 0; i < n; ++i, p += k) {
    const double s = weight ? weight[i] : 1;
    if (s == 0) continue;  // such a row may hold anything
    for (int64_t c = 0; c < k; ++c) {
      double others = 0;
      for (int64_t e = 0; e < k; ++e)
        if (e != c) others += p[e], sum[c * k + e] -= s * p[c] * p[e];
      sum[c * k + c] += s * p[c] * others;
    }
  }
}

void curvature_pass(const Kernels& set, const CurvatureRows& rows, double* hessian, int threads) {
  const int64_t K = rows.classes, D = rows.width(), pairs = K == 2 ? 1 : K * (K + 1) / 2;
  const int64_t ld = set.curvature.stride(rows), length = pairs * D * ld;
  std::vector<double> sums = sum_over_rows(
      rows.x.n, threads, 1.0 * rows.x.n * D * D * pairs, length, set.curvature.bytes(rows),
      [&](int64_t lo, int64_t hi, double* own, void* scratch) { set.curvature.rows(rows, lo, hi, own, scratch); });
  const auto at = [&](const double* block, int64_t i, int64_t j) { return i <= j ? block[i * ld + j] : block[j * ld + i]; };
  const double* block = sums.data();
  for (int64_t k = 0; k < K; ++k)
    for (int64_t l = k; l < K; ++l) {
      const double sign = K == 2 && l > k ? -1 : 1;
      for (int64_t i = 0; i < D; ++i)
        for (int64_t j = 0; j < D; ++j)
          hessian[(k * D + i) * K * D + l * D + j] = hessian[(l * D + i) * K * D + k * D + j] = sign * at(block, i, j);
      if (K != 2) block += D * ld;
    }
}

}  // namespace xent
