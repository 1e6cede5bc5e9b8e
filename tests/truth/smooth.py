"""The objective of `SoftmaxRegression` written out once more, in plain NumPy, with its own Newton's method:
what the estimator's tests compare with."""

import numpy as np

LONG = np.longdouble


class Plain:
    """F(W, b) = (1/S) Σ s_i Σ_k q_ik (log Σ_j exp z_ij − z_ik) + Σ_kj u_k v_j W_kj² / (2 C S), with
    z = W x + b + o.

    Two classes have 2/(2 C S), as in scikit-learn: with u = 1 that is ‖W_1 − W_0‖² / (2 C S).
    """

    def __init__(self, X, y, s=None, C=1.0, intercept=True, alpha=0.0, offset=None, u=None, v=None):
        self.X = np.asarray(X, np.float64)
        y = np.asarray(y)
        Q = np.eye(int(y.max()) + 1)[y] if y.ndim == 1 else y.astype(np.float64)
        (n, d), K = self.X.shape, Q.shape[1]
        self.Q = (1 - alpha) * Q + alpha / K
        self.s = np.ones(n) if s is None else np.asarray(s, np.float64)
        self.o = np.zeros((n, K)) if offset is None else np.asarray(offset, np.float64)
        self.u = np.ones(K) if u is None else np.asarray(u, np.float64)
        self.v = np.ones(d) if v is None else np.asarray(v, np.float64)
        self.K, self.d, self.intercept = K, d, intercept
        self.penalties = (2 if K == 2 else 1) / (C * self.s.sum()) * np.outer(self.u, self.v)

    def value(self, W, b, dtype=LONG):
        return self._value(self.X.astype(dtype), W, b, self.penalties)

    def _value(self, X, W, b, penalties):
        W, b = W.astype(X.dtype), b.astype(X.dtype)
        Z = X @ W.T + b + self.o
        top = Z.max(axis=1, keepdims=True)
        logs = Z - top - np.log(np.exp(Z - top).sum(axis=1, keepdims=True))
        loss = -(self.s * (self.Q * logs).sum(axis=1)).sum() / self.s.sum()
        return float(loss + (penalties * W**2).sum() / 2)

    def of(self, model):
        """F at a fitted model's coefficients as they are."""
        W, b = model.coef_.astype(np.float64), model.intercept_.astype(np.float64)
        if self.K == 2 and len(W) == 1:
            total = self.u.sum()
            W = np.vstack([0 * W, W]) - (self.u[1] / total if total else 0.5) * W
            b = np.append(0 * b, b)
        return self.value(W, b)

    def gradient(self, W, b):
        P = self.probabilities(W, b)
        R = self.s[:, None] * (P - self.Q) / self.s.sum()
        return R.T @ self.X + self.penalties * W, R.sum(axis=0)

    def probabilities(self, W, b):
        Z = self.X @ W.T + b + self.o
        E = np.exp(Z - Z.max(axis=1, keepdims=True))
        return E / E.sum(axis=1, keepdims=True)

    def optimum(self):
        """(F*, W, b) to about 1e-14, by Newton's method on standardised features."""
        mean = self.X.mean(axis=0) if self.intercept else np.zeros(self.d)
        scale = (self.X - mean).std(axis=0) + np.abs((self.X - mean).mean(axis=0))
        scale[scale == 0] = 1
        X, penalties = (self.X - mean) / scale, self.penalties / scale**2
        rows = np.column_stack([X, np.ones(len(X))]) if self.intercept else X
        D, S = rows.shape[1], self.s.sum()
        ridge = np.column_stack([penalties, np.zeros(self.K)]) if self.intercept else penalties
        theta = np.zeros((self.K, D))

        def value(theta):
            b = theta[:, self.d] if self.intercept else np.zeros(self.K)
            return self._value(X.astype(LONG), theta[:, : self.d], b, penalties)

        at, small = value(theta), 0
        for _ in range(300):
            Z = rows @ theta.T + self.o
            P = np.exp(Z - Z.max(axis=1, keepdims=True))
            P /= P.sum(axis=1, keepdims=True)
            g = (self.s[:, None] * (P - self.Q) / S).T @ rows + ridge * theta
            J = (P[:, :, None] * rows[:, None, :]).reshape(len(rows), -1) * np.sqrt(self.s / S)[:, None]
            H = -J.T @ J + np.diag(ridge.ravel())
            for k in range(self.K):
                block = slice(k * D, (k + 1) * D)
                H[block, block] += rows.T @ (rows * (self.s * P[:, k] / S)[:, None])
            values, V = np.linalg.eigh(H)
            keep = values > 1e-14 * values[-1]
            step = -(V[:, keep] @ ((V[:, keep].T @ g.ravel()) / values[keep])).reshape(theta.shape)
            decrement, t = -float((g * step).sum()), 1.0
            while t > 1e-9 and value(theta + t * step) > at - 1e-4 * t * decrement + 1e-16:
                t /= 2
            if t > 1e-9:
                theta = theta + t * step
                at = value(theta)
            small = small + 1 if decrement < 1e-14 or t <= 1e-9 else 0
            if small >= 2:
                break
        assert decrement < 1e-11, "no optimum found"
        W = theta[:, : self.d] / scale
        b = theta[:, self.d] - W @ mean if self.intercept else np.zeros(self.K)
        return at, W, b


def softmax_rows(rng, n, K, temperature=1.0):
    """Random probabilities (n, K) whose rows sum to 1 to the last digit that matters."""
    Z = rng.normal(size=(n, K)) * temperature
    P = np.exp(Z - Z.max(axis=1, keepdims=True))
    return P / P.sum(axis=1, keepdims=True)
