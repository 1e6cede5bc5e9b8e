"""The pairs of limited-memory BFGS, kept as the rows of three matrices.

The two-loop recursion of J. Nocedal, Math. Comp. 35 (1980), needs of them only products with a vector and the
products among them, so an iteration is a few matrix-vector products instead of 80 passes over vectors.
With M⁻¹y kept beside every pair, M⁻¹ is applied once an iteration.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .metric import Metric

Float = NDArray[np.float64]

_SINGLE_ABOVE = 1 << 15  # coefficients: beyond, pairs are kept in float32
_MAX_BYTES = 128 << 20
_FEWEST = 5


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
        self._S, self._Y, self._Z = (np.empty((size, length), dtype) for _ in "SYZ")
        self._SY = np.zeros((size, size))  # s_i · y_j
        self._YZ = np.zeros((size, size))  # y_i · z_j

    def forget(self) -> None:
        self.count = 0

    def refreshed(self) -> None:
        """The metric has changed: M⁻¹y of every pair anew."""
        n = self.count
        for some in np.split(np.arange(n), range(5, n, 5)) if n else []:
            solved = self.metric.solve(self._Y[some].reshape(-1, *self.shape))
            self._Z[some] = solved.reshape(len(some), -1)
        self._YZ[:n, :n] = self._Y[:n] @ self._Z[:n].T

    def add(self, s: Float, y: Float, z: Float) -> bool:
        """Keep a pair, unless its curvature ⟨s, y⟩ is not positive."""
        product = float(np.vdot(s, y))
        if not product > 1e-300:
            return False
        if self.count == self.size:
            for rows in (self._S, self._Y, self._Z):
                rows[:-1] = rows[1:]
            for products in (self._SY, self._YZ):
                products[:-1, :-1] = products[1:, 1:]
            self.count -= 1
        i = self.count
        self._S[i], self._Y[i], self._Z[i] = s.ravel(), y.ravel(), z.ravel()
        self.count = n = i + 1
        self._SY[i, :n], self._SY[:n, i] = self._Y[:n] @ self._S[i], self._S[:n] @ self._Y[i]
        self._SY[i, i] = product
        self._YZ[i, :n] = self._YZ[:n, i] = self._Z[:n] @ self._Y[i]
        return True

    def direction(self, gradient: Float, solved: Float) -> Float:
        """−H ∇, with M⁻¹∇ `solved`; H₀ = M⁻¹ times sᵀy / yᵀM⁻¹y of the last pair."""
        n = self.count
        if n == 0:
            return -solved
        S, Z, SY, YZ = self._S[:n], self._Z[:n], self._SY[:n, :n], self._YZ[:n, :n]
        g = gradient.ravel().astype(S.dtype, copy=False)
        inverse = 1 / np.diag(SY)
        s_g, z_g = (rows.astype(np.float64) for rows in (S @ g, Z @ g))
        alpha = np.zeros(n)
        for i in reversed(range(n)):
            alpha[i] = inverse[i] * (s_g[i] - SY[i, i + 1 :] @ alpha[i + 1 :])
        scale = SY[-1, -1] / YZ[-1, -1] if YZ[-1, -1] > 0 else 1.0
        y_r = scale * (z_g - YZ @ alpha)
        left = np.zeros(n)
        for i in range(n):
            left[i] = alpha[i] - inverse[i] * (y_r[i] + SY[:i, i] @ left[:i])
        out: Any = scale * solved.ravel() - scale * (alpha.astype(S.dtype) @ Z) + left.astype(S.dtype) @ S
        return -out.reshape(self.shape)
