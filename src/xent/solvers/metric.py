"""The Kronecker metric: the curvature of softmax regression as a product of two small curvatures."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import eigh

from .._threads import blas_for
from ..objective import Objective

Float = NDArray[np.float64]

# The (d, d) curvature and its O(d³) eigendecomposition, or for fewer rows than features the (n, n) one of
# the rows, up to this many; beyond, the curvature's diagonal takes their place. The same for classes, whose
# (K, K) curvature is eigendecomposed several times a fit.
_MAX_SIZE = 2048
_MAX_CLASSES = 1024
_MAX_BASIS = 1 << 24  # numbers in the basis, 128 MiB


class KroneckerMetric:
    """M = Σ ⊗ A + penalty, an approximation of the Hessian whose inverse costs O(K d² + K² d).

    A = (1/S) Σ s_i x̃_i x̃_iᵀ = U diag(a) Uᵀ (features, computed once; 1 for the intercept) and
    Σ = (1/S) Σ s_i (diag p_i − p_i p_iᵀ) = V diag(γ) Vᵀ (classes, refreshed as p moves), so
    M⁻¹ G = V [(Vᵀ G U) ⊘ (γ_j a_l + λ_l)] Uᵀ. Null directions (the common shift over classes, constant
    features without a penalty) get 0: the gradient has nothing there but rounding.
    """

    def __init__(self, objective: Objective) -> None:
        self._basis: Float | None = None
        self._d, self._penalty = objective.n_features, objective.penalty
        n, d = objective.n_rows, objective.n_features
        if n < d and n <= _MAX_SIZE and n * d <= _MAX_BASIS:
            a, self._basis = _basis_of_rows(objective)
        elif d <= _MAX_SIZE:
            a, self._basis = _basis_of_features(objective)
        else:
            a = objective.feature_curvature_diagonal()
        self._a = np.append(a, 1.0) if objective.fit_intercept else a
        free = 1 if objective.fit_intercept else 0
        self._penalties = np.append(np.full(len(a), objective.penalty), np.zeros(free))
        self._V: Float | None = None
        self._start(objective)

    def _start(self, objective: Objective) -> None:
        """Σ of the model without features."""
        K = objective.n_classes
        share = objective.share if objective.fit_intercept else np.full(K, 1 / K)
        if K > _MAX_CLASSES:
            self._set(share * (1 - share))
        else:
            self._decompose(np.diag(share) - np.outer(share, share))

    def refresh(self, objective: Objective, theta: Float) -> None:
        """Take Σ at θ: one pass."""
        if objective.n_classes > _MAX_CLASSES:
            self._set(objective.class_variance(theta))
        else:
            self._decompose(objective.class_curvature(theta))

    def _decompose(self, class_curvature: Float) -> None:
        gamma, self._V = eigh(class_curvature, check_finite=False)
        self._set(np.where(gamma > len(gamma) * 1e-14 * gamma[-1], gamma, 0.0))

    def _set(self, gamma: Float) -> None:
        self._gamma = gamma
        self._inverse = _pseudo_inverse(np.outer(gamma, self._a) + self._penalties)
        self._inverse[gamma == 0] = 0.0

    def _in(self, G: Float) -> Float:
        """To the classes' own directions."""
        return G.copy() if self._V is None else self._V.T @ G

    def _out(self, H: Float) -> Float:
        """Back, without a shift common to all classes."""
        return H - H.mean(axis=0) if self._V is None else self._V @ H

    def solve(self, G: Float) -> Float:
        """M⁻¹ G for G (K, D)."""
        H = self._in(G)
        if self._basis is None:
            return self._out(H * self._inverse)
        features, r = H[:, : self._d], self._basis.shape[1]
        inside = features @ self._basis
        out = np.empty_like(H)
        out[:, : self._d] = (inside * self._inverse[:, :r]) @ self._basis.T
        if r < self._d and self._penalty > 0:  # features no row reaches curve by the penalty alone
            outside = features - inside @ self._basis.T
            out[:, : self._d] += outside * (self._gamma > 0)[:, None] / self._penalty
        out[:, self._d :] = H[:, self._d :] * self._inverse[:, r:]
        return self._out(out)

    def solve_intercept(self, g: Float) -> Float:
        """Σ⁺ g for g (K,): a Newton step on the intercept alone."""
        return self._out(_pseudo_inverse(self._gamma) * self._in(g))


def _basis_of_features(objective: Objective) -> tuple[Float, Float]:
    """a (d,) and U (d, d), A = U a Uᵀ; without a penalty U in units of each feature's deviation.

    The penalty is the identity only in the features' own units. Without one their scales do not matter,
    and taken out they cannot hide a small feature in the rounding of a large one.
    """
    A, d = objective.feature_curvature, objective.n_features
    units = np.sqrt(np.diag(A)) if objective.penalty == 0 else np.ones(d)
    units[units == 0] = 1.0
    with blas_for(4 * d**3):
        a, basis = eigh(A / units / units[:, None], check_finite=False)
    a[a <= d * np.finfo(float).eps * a[-1]] = 0.0
    return a, basis / units[:, None]


def _basis_of_rows(objective: Objective) -> tuple[Float, Float]:
    """a (r,) and U (d, r) of the directions that the n < d rows span, from RRᵀ instead of RᵀR."""
    R = objective.feature_rows()
    with blas_for(R.shape[0] ** 2 * R.shape[1]):
        a, Q = eigh(R @ R.T, check_finite=False)
    keep = a > len(a) * np.finfo(float).eps * a[-1]
    a = a[keep]
    return a, (R.T @ Q[:, keep]) / np.sqrt(a)


def _pseudo_inverse(values: Float) -> Float:
    """1 / values, and 0 for 0."""
    null = values <= 0
    return np.where(null, 0.0, 1 / np.where(null, 1.0, values))
