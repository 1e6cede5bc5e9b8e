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
    M⁻¹ G = V [(Vᵀ G U) ⊘ (γ_j a_l + λ_l)] Uᵀ. Null directions (the common shift of an unpenalised column,
    constant features without a penalty) get 0: the gradient has nothing there but rounding.
    """

    def __init__(self, objective: Objective) -> None:
        d = objective.n_features
        self._basis: Float | None = None
        if d <= _MAX_FEATURES:
            A = objective.feature_curvature()
            with blas_for(4 * d**3):
                a, self._basis = eigh(A, check_finite=False)
        else:
            a = objective.feature_curvature_diagonal()
        self._a = np.maximum(a, 0.0)
        if objective.fit_intercept:
            self._a = np.append(self._a, 1.0)
        self._penalties = objective.penalties
        share = (
            objective.share
            if objective.fit_intercept
            else np.full(objective.n_classes, 1 / objective.n_classes)
        )
        self.refresh(np.diag(share) - np.outer(share, share))

    def refresh(self, class_curvature: Float) -> None:
        """Take a new Σ (K, K)."""
        gamma, self._V = eigh(class_curvature, check_finite=False)
        gamma = np.maximum(gamma, 0.0)
        self._gamma = np.where(gamma > gamma[-1] * len(gamma) * 1e-14, gamma, 0.0)
        M = np.outer(self._gamma, self._a) + self._penalties
        null = (M <= 1e-14 * M.max()) & (self._penalties == 0)
        self._inverse = np.where(null, 0.0, 1 / np.where(null, 1.0, M))

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
        null = self._gamma <= 0
        inverse = np.where(null, 0.0, 1 / np.where(null, 1.0, self._gamma))
        return self._V @ (inverse * (self._V.T @ g))
