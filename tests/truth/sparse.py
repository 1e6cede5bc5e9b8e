"""F with an elastic net, groups or bounds written out once more, in plain NumPy, and minimised by cvxpy."""

import warnings

import cvxpy
import numpy as np


class Sparse:
    """F = (1/S) Σ s_i Σ_k q_ik (log Σ_j exp z_ij − z_ik) + (1/CS) Σ_kj u_k v_j [(1 − r)/2 W_kj² + r |W_kj|],
    grouped r Σ_j v_j ‖W_:j‖₂ in the place of its last term, z = W x + b + o, lower ≤ W ≤ upper.

    W (K, d) as coef_ has it: of two classes one row, their logits being 0 and w x + b.
    """

    def __init__(
        self,
        X,
        y,
        s=None,
        o=None,
        *,
        C=1.0,
        l1_ratio=0.0,
        grouped=False,
        bounds=None,
        fit_intercept=True,
        class_penalty_factor=None,
        feature_penalty_factor=None,
        label_smoothing=0.0,
    ):
        self.X = np.asarray(X, np.float64)
        y = np.asarray(y)
        Q = np.eye(int(y.max()) + 1)[y] if y.ndim == 1 else y.astype(np.float64)
        (n, d), K = self.X.shape, Q.shape[1]
        self.Q = (1 - label_smoothing) * Q + label_smoothing / K
        self.s = np.ones(n) if s is None else np.asarray(s, np.float64)
        self.o = np.zeros((n, K)) if o is None else np.asarray(o, np.float64)
        self.K, self.rows, self.intercept, self.grouped = K, 1 if K == 2 else K, fit_intercept, grouped
        v = np.ones(d) if feature_penalty_factor is None else np.asarray(feature_penalty_factor, float)
        u = np.ones(self.rows) if class_penalty_factor is None else np.asarray(class_penalty_factor, float)
        self.l2 = (1 - l1_ratio) * np.outer(u, v) / (C * self.s.sum())
        self.l1 = l1_ratio * np.outer(u, v) / (C * self.s.sum())
        lower, upper = (-np.inf, np.inf) if bounds is None else bounds
        self.lower, self.upper = (np.broadcast_to(side, (self.rows, d)) for side in (lower, upper))

    def _both(self, W, b):
        return (np.vstack([0 * W, W]), np.append(0 * b, b)) if self.rows < self.K else (W, b)

    def residuals(self, W, b):
        """Log-probabilities and s (p − q) / S, (n, K)."""
        W, b = self._both(W, b)
        Z = self.X @ W.T + b + self.o
        Z = Z - Z.max(axis=1, keepdims=True)
        logs = Z - np.log(np.exp(Z).sum(axis=1, keepdims=True))
        return logs, self.s[:, None] * (np.exp(logs) - self.Q) / self.s.sum()

    def penalty(self, W):
        corners = np.vdot(self.l1, abs(W))
        if self.grouped and self.rows > 1:
            corners = self.l1[0] @ np.linalg.norm(W, axis=0)
        return float(corners + np.vdot(self.l2, W * W) / 2)

    def value(self, W, b):
        assert (W >= self.lower).all()
        assert (W <= self.upper).all()
        logs, _ = self.residuals(W, b)
        return float(-(self.s * (self.Q * logs).sum(axis=1)).sum() / self.s.sum()) + self.penalty(W)

    def of(self, model):
        """F at a fitted model's coefficients as they are."""
        return self.value(model.coef_.astype(np.float64), model.intercept_.astype(np.float64))

    def violation(self, W, b):
        """How far the optimality conditions are from holding: the largest distance of a coefficient's
        gradient to what its penalty and bounds allow, and of the intercept's to 0."""
        _, R = self.residuals(W, b)
        G, g = R.T @ self.X, R.sum(axis=0)
        if self.rows < self.K:
            G, g = G[1:], g[1:]
        slope = G + self.l2 * W
        worst = np.abs(g).max() if self.intercept else 0.0
        if self.grouped and self.rows > 1:
            size = np.linalg.norm(W, axis=0)
            out = np.linalg.norm(slope, axis=0) - self.l1[0]
            inside = slope + self.l1[0] * W / np.where(size > 0, size, 1)
            return max(worst, np.where(size > 0, np.linalg.norm(inside, axis=0), out).max())
        at_lower, at_upper = self.lower == W, self.upper == W
        # [left, right]: the slopes of F to either side; 0 must lie between.
        left = np.where(at_lower, -np.inf, slope + np.where(W > 0, 1, -1) * self.l1)
        right = np.where(at_upper, np.inf, slope + np.where(W < 0, -1, 1) * self.l1)
        return max(worst, left.max(), (-right).max())

    def optimum(self):
        """(F, W, b) by cvxpy's interior point, to about 1e-9: F at a point within the bounds, so never below
        the least."""
        (n, d), S = self.X.shape, self.s.sum()
        W, b = cvxpy.Variable((self.rows, d)), cvxpy.Variable(self.rows)
        logits = self.X @ W.T + np.ones((n, 1)) @ cvxpy.reshape(b, (1, self.rows), order="C")
        if self.rows < self.K:
            logits = cvxpy.hstack([np.zeros((n, 1)), logits])
        logits = logits + self.o
        loss = (self.s / S) @ (
            cvxpy.log_sum_exp(logits, axis=1) - cvxpy.sum(cvxpy.multiply(self.Q, logits), axis=1)
        )
        ridge = cvxpy.sum(cvxpy.multiply(self.l2 / 2, cvxpy.square(W)))
        if self.grouped and self.rows > 1:
            corners = self.l1[0] @ cvxpy.norm(W, 2, axis=0)
        else:
            corners = cvxpy.sum(cvxpy.multiply(self.l1, cvxpy.abs(W)))
        within = [] if self.intercept else [b == 0]
        for sign, side in ((1, self.lower), (-1, self.upper)):
            k, j = np.nonzero(np.isfinite(side))
            within += [sign * W[k, j] >= sign * side[k, j]] if len(k) else []
        problem = cvxpy.Problem(cvxpy.Minimize(loss + ridge + corners), within)
        with warnings.catch_warnings():  # that it fell short of 1e-11
            warnings.simplefilter("ignore", UserWarning)
            problem.solve(solver="CLARABEL", tol_gap_abs=1e-11, tol_gap_rel=1e-11, tol_feas=1e-11)
        W, b = np.clip(W.value, self.lower, self.upper), b.value if self.intercept else np.zeros(self.rows)
        return self.value(W, b), W, b
