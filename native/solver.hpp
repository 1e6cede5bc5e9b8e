// What a solver asks of dense rows besides passes: the Hessian, and a whole descent for problems so small that Python
// between the passes would take longer than they do.
#pragma once
#include <functional>

#include "interface.hpp"

namespace xent {

// hessian (classes·width, classes·width) = sum s_i (diag p_i - p_i p_i^T) ⊗ x̃_i x̃_i^T, x̃ = (x - centre, 1).
void curvature_pass(const Kernels& set, const CurvatureRows& rows, double* hessian, int threads);

// F(theta) = loss / weight + ½ sum penalty theta², theta (k, width), of features less their centre and, where width is d + 1,
// the intercept there.
struct Smooth {
  int64_t k, d, width;
  const double *centre, *penalty;      // (d), (k, width)
  const bool* constant;                // (d): features that are 0 in all rows once they are centred
  double weight;
  const double *share, *class_x;       // (k) and (k, d), for the dual bound: see certificate.py
};

// M⁻¹ G = V [(Vᵀ G U) ∘ inverse] Uᵀ, U in `units` (see solvers/metric.py), or M⁻¹ as it is; less its mean over classes.
struct Metric {
  const double *units, *basis, *classes, *inverse;  // (d), (d, d), (k, k), (k, width)
  const double* dense = nullptr;                    // (k·width, k·width)
};

struct Goal {
  double tol, near;     // end where the dual proves F within tol, or once it is estimated within `near`,
  int patience;         // and so many passes have not made the dual prove it
  int most;             // iterations
  double newton_below;  // nats: where F is estimated to be nearer, take Newton's step, which squares the distance
};

// What Python is asked between iterations.
struct Listener {
  std::function<Metric()> refresh;  // another metric, at `theta` as it then is: after 16, 32, 64, ... iterations
  std::function<bool(double value, double gap, int passes)> stop;  // at the start, and after every iteration but the last
};

// What is read of the rows at W (k, d), b (k).
struct Reader {
  std::function<double(const double* w, const double* b, double* grad_w, double* grad_b)> loss;  // Σ s_i l_i
  std::function<void(const double* w, const double* b, double* sum)> classes;    // Σ s_i (diag p_i − p_i p_iᵀ), (k, k)
  std::function<void(const double* w, const double* b, double* hessian)> hessian;  // as curvature_pass
};

struct Descent {
  int passes, iterations;
};

// Limited-memory BFGS from `theta` on, which it moves; near the optimum, as the goal says, Newton's method.
Descent descend_smooth(const Smooth& problem, const Metric& metric, const Reader& rows, const Listener& listener,
                       const Goal& goal, double* theta);

// Adds up `classes` of rows p (n, k) with weights, or null.
void add_class_curvature(const double* p, const double* weight, int64_t n, int64_t k, double* sum);

}  // namespace xent
