"""The Kronecker metric: the curvature of softmax regression as a product of two small curvatures."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import eigh

from .._threads import blas_for
from ..objective import Objective

Float = NDArray[np.float64]

# Above this many features the (d, d) curvature and its O(d³) eigendecomposition cost more than the
# passes they save; its diagonal takes their place.
_MAX_FEATURES = 2048


class KroneckerMetric:
    """M = Σ ⊗ A + penalty, an approximation of the Hessian whose inverse costs O(K d² + K² d).

    A = (1/S) Σ s_i x̃_i x̃_iᵀ = U diag(a) Uᵀ (features, computed once; 1 for the intercept) and
    Σ = (1/S) Σ s_i (diag p_i − p_i p_iᵀ) = V diag(γ) Vᵀ (classes, refreshed as p moves), so
    M⁻¹ G = V [(Vᵀ G U) ⊘ (γ_j a_l + λ_l)] Uᵀ. Null directions (the common shift over classes, constant
    features without a penalty) get 0: the gradient has nothing there but rounding.
    """

    def __init__(self, objective: Objective) -> None:
        d = objective.n_features
        self._basis: Float | None = None
        if d <= _MAX_FEATURES:
            A = objective.feature_curvature
            # The penalty is the identity only in the features' own units. Without one their scales do
            # not matter, and taken out they cannot hide a small feature in the rounding of a large one.
            units = np.sqrt(np.diag(A)) if objective.penalty == 0 else np.ones(d)
            units[units == 0] = 1.0
            with blas_for(4 * d**3):
                a, basis = eigh(A / units / units[:, None], check_finite=False)
            self._basis = basis / units[:, None]
            a[a <= d * np.finfo(float).eps * a[-1]] = 0.0
        else:
            a = objective.feature_curvature_diagonal()
        self._a = np.append(a, 1.0) if objective.fit_intercept else a
        self._penalties = objective.penalties
        K = objective.n_classes
        share = objective.share if objective.fit_intercept else np.full(K, 1 / K)
        self.refresh(np.diag(share) - np.outer(share, share))

    def refresh(self, class_curvature: Float) -> None:
        """Take a new Σ (K, K)."""
        gamma, self._V = eigh(class_curvature, check_finite=False)
        self._gamma = np.where(gamma > len(gamma) * 1e-14 * gamma[-1], gamma, 0.0)
        self._inverse = _pseudo_inverse(np.outer(self._gamma, self._a) + self._penalties)
        self._inverse[self._gamma == 0] = 0.0

    def _rotate(self, G: Float, basis: Float) -> Float:
        """G times `basis` on the features, the intercept's column left alone."""
        d = len(basis)
        out = np.empty_like(G)
        np.matmul(G[:, :d], basis, out=out[:, :d])
        out[:, d:] = G[:, d:]
        return out

    def solve(self, G: Float) -> Float:
        """M⁻¹ G for G (K, D)."""
        H = self._V.T @ G
        if self._basis is not None:
            H = self._rotate(H, self._basis)
        H *= self._inverse
        if self._basis is not None:
            H = self._rotate(H, self._basis.T)
        return self._V @ H

    def solve_intercept(self, g: Float) -> Float:
        """Σ⁺ g for g (K,): a Newton step on the intercept alone."""
        return self._V @ (_pseudo_inverse(self._gamma) * (self._V.T @ g))


def _pseudo_inverse(values: Float) -> Float:
    """1 / values, and 0 for 0."""
    null = values <= 0
    return np.where(null, 0.0, 1 / np.where(null, 1.0, values))
