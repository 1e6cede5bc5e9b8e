"""The pairs of limited-memory BFGS, kept as the rows of three matrices.

The two-loop recursion of J. Nocedal, Math. Comp. 35 (1980), needs of them only products with a vector and the
products among them, so an iteration is a few matrix-vector products instead of 80 passes over vectors.
With M⁻¹y kept beside every pair, M⁻¹ is applied once an iteration.
"""

from __future__ import annotations

import copy

import numpy as np

from .._types import Float
from .metric import Metric

_SINGLE_ABOVE = 1 << 15  # coefficients: beyond, pairs are kept in float32
_MAX_BYTES = 128 << 20
_FEWEST = 5
_AT_ONCE = 1 << 21  # numbers of pairs that the metric is applied to together


class Memory:
    """The last `size` pairs s = θ⁺ − θ, y = ∇⁺ − ∇ and z = M⁻¹y of vectors of `shape` (K, D); fewer, but 5,
    where they would take more than 128 MiB."""

    def __init__(self, metric: Metric, shape: tuple[int, int], size: int) -> None:
        self.metric, self.shape = metric, shape
        self.count = 0
        length = shape[0] * shape[1]
        dtype = np.dtype(np.float64 if length <= _SINGLE_ABOVE else np.float32)
        fit = _MAX_BYTES // (3 * length * dtype.itemsize)
        self.size = size = min(size, max(fit, _FEWEST))
        self._S, self._Y, self._Z = (np.zeros((size, length), dtype) for _ in "SYZ")
        self._row = list(range(size))  # where the i-th oldest pair lies
        self._SY = np.zeros((size, size))  # s_i · y_j
        self._YZ = np.zeros((size, size))  # y_i · z_j

    def of(self, metric: Metric, more: Float) -> Memory:
        """The pairs of an F whose penalties are larger by `more` (K, D), in another metric."""
        other = copy.copy(self)
        other.metric, other._row = metric, self._row[:]
        for name in ("_S", "_Y", "_Z", "_SY", "_YZ"):
            setattr(other, name, getattr(self, name).copy())
        if more.any():
            other._penalise(more)
        return other

    def forget(self) -> None:
        """Drop all pairs."""
        self.count = 0

    def _penalise(self, more: Float) -> None:
        """Add `more` s to the y of every pair: exactly what larger penalties change."""
        order = self._row[: self.count]
        more = np.broadcast_to(more, self.shape).ravel()
        for row in order:
            self._Y[row] += (more * self._S[row]).astype(self._Y.dtype)
        self._SY[: self.count, : self.count] = (self._S @ self._Y.T)[np.ix_(order, order)]
        self.refreshed()

    def refreshed(self) -> None:
        """Compute M⁻¹y of every pair anew, as the metric has changed."""
        order = self._row[: self.count]
        step = max(1, min(5, _AT_ONCE // self._Y.shape[1]))
        for start in range(0, len(order), step):
            some = order[start : start + step]
            solved = self.metric.solve(self._Y[some].reshape(-1, *self.shape))
            self._Z[some] = solved.reshape(len(some), -1)
        self._YZ[: self.count, : self.count] = (self._Y @ self._Z.T)[np.ix_(order, order)]

    def add(self, s: Float, y: Float, z: Float) -> bool:
        """Keep a pair if its curvature ⟨s, y⟩ is positive; returns whether it is."""
        product = float(np.vdot(s, y))
        if not product > 1e-300:
            return False
        if self.count == self.size:
            self._row.append(self._row.pop(0))
            for products in (self._SY, self._YZ):
                products[:-1, :-1] = products[1:, 1:]
            self.count -= 1
        i, row = self.count, self._row[self.count]
        self._S[row], self._Y[row], self._Z[row] = s.ravel(), y.ravel(), z.ravel()
        self.count = n = i + 1
        order = self._row[:n]
        self._SY[i, :n] = (self._Y @ self._S[row])[order]
        self._SY[:n, i] = (self._S @ self._Y[row])[order]
        self._YZ[i, :n] = self._YZ[:n, i] = (self._Z @ self._Y[row])[order]
        self._SY[i, i] = product
        return True

    def direction(self, gradient: Float, solved: Float) -> Float:
        """The step −H ∇, where `solved` is M⁻¹∇ and H₀ is M⁻¹ times sᵀy / yᵀM⁻¹y of the last pair."""
        n = self.count
        if n == 0:
            return -solved
        order, SY, YZ = self._row[:n], self._SY[:n, :n], self._YZ[:n, :n]
        g = gradient.ravel().astype(self._S.dtype, copy=False)
        inverse = 1 / np.diag(SY)
        s_g, z_g = ((rows @ g)[order].astype(np.float64) for rows in (self._S, self._Z))
        alpha = np.zeros(n)
        for i in reversed(range(n)):
            alpha[i] = inverse[i] * (s_g[i] - SY[i, i + 1 :] @ alpha[i + 1 :])
        scale = SY[-1, -1] / YZ[-1, -1] if YZ[-1, -1] > 0 else 1.0
        y_r = scale * (z_g - YZ @ alpha)
        left = np.zeros(n)
        for i in range(n):
            left[i] = alpha[i] - inverse[i] * (y_r[i] + SY[:i, i] @ left[:i])
        by_row = np.zeros((2, self.size), self._S.dtype)
        by_row[0, order], by_row[1, order] = scale * alpha, left
        step = by_row[0] @ self._Z
        step -= by_row[1] @ self._S
        direction: Float = step.reshape(self.shape) - scale * solved
        return direction
