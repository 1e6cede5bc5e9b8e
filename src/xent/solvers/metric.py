"""Approximations of the Hessian whose inverse is cheap: what L-BFGS starts from in every iteration."""

from __future__ import annotations

import copy
import math

import numpy as np

from .._types import Float
from ..kernels import descent, linear
from ..kernels.threads import blas_for
from ..objective.ridge import Objective
from .blocks import ClassBlocks
from .low_rank import LowRankBlocks

# The (d, d) curvature and its O(d³) eigendecomposition, or fewer rows than features, up to this many; beyond,
# the curvature's diagonal takes their place. The same for classes, whose (K, K) curvature is eigendecomposed
# several times a fit.
_MAX_SIZE = 2048
_MAX_CLASSES = 1024
_MAX_BASIS = 1 << 24  # numbers in those rows, 128 MiB
_LEADING = 64  # their directions that count
_FLAT = 16
_MOST_ROWS = 1 << 16
_FEWEST_ROWS = 4096  # a metric is an estimate: this many rows, 8 per feature and 4 per class are enough


class Metric:
    """M ≈ H: first a Kronecker product of two small curvatures, then one block per class.

    `refresh` takes both at a point; `solve` gives M⁻¹ G without a shift common to all classes.
    """

    def __init__(self, objective: Objective) -> None:
        self.objective = objective
        n, D = objective.n_rows, objective.shape[1]
        rows = max(_FEWEST_ROWS, 8 * D, 4 * objective.n_classes)
        # Blocks of so many rows cost about a pass. With that many, the curvature of a class is well known.
        self._flat = 4 * n // D >= _FLAT * D
        if self._flat:
            rows = max(rows, min(4 * n // D, _MOST_ROWS))
        self._sketch = objective.sample(rows) if n > 2 * rows else objective
        self._kronecker = Kronecker(self._sketch)
        self._blocks: ClassBlocks | LowRankBlocks | None = None

    @property
    def has_blocks(self) -> bool:
        """Whether `solve` uses one block per class."""
        return self._blocks is not None

    def of(self, objective: Objective) -> Metric:
        """The metric for another λ: curvatures stay, and blocks keep the λ they were taken at."""
        other = copy.copy(self)  # nothing in it is changed in place
        other.objective = objective
        own = self._sketch is self.objective
        other._sketch = objective if own else self._sketch.at_ridge(objective.ridge)
        other._kronecker = copy.copy(self._kronecker)
        other._kronecker.penalise(other._sketch)
        return other

    def refresh(self, theta: Float, *, blocks: bool = False, classes: bool = True) -> bool:
        """Take the metric anew at θ: with `blocks` one block per class where possible; with `classes`, or
        without blocks, the curvature of the classes. Returns whether `solve` has changed."""
        taken = self._blocks_at(theta) if blocks else None
        if taken is not None:
            self._blocks = taken
        if classes or self._blocks is None:
            self._kronecker.refresh(self._sketch, self._moved(theta))
        return taken is not None or self._blocks is None

    def arrays(self) -> descent.Metric | None:
        """What native code needs for `solve`; None once there are blocks."""
        return None if self.has_blocks else self._kronecker.arrays()

    def _blocks_at(self, theta: Float) -> ClassBlocks | LowRankBlocks | None:
        """One block per class at θ; None where no kind of block fits."""
        features, d = self._kronecker, self.objective.n_features
        if features.curvature is None or features.basis is None:
            return None
        if ClassBlocks.fits(self.objective):
            rows = self._sketch if self._flat else None
            return ClassBlocks.at(self.objective, theta, features.curvature, rows)
        if LowRankBlocks.fits(self.objective):
            return LowRankBlocks.at(
                self.objective, theta, features.values[:d], features.basis, features.units
            )
        return None

    def _moved(self, theta: Float) -> Float:
        """θ in the coordinates of the sketch, whose features have another mean."""
        if self._sketch is self.objective:
            return theta
        return self._sketch.theta(*self.objective.coefficients(theta))

    def solve(self, G: Float) -> Float:
        """M⁻¹ G for G (K, D), or for several as (m, K, D)."""
        if G.ndim == 3:
            if self._blocks is None:
                return np.stack([self.solve(g) for g in G])
            return np.stack([self.objective.without_shift(g) for g in self._blocks.solve(G)])
        if self._blocks is not None:
            return self.objective.without_shift(self._blocks.solve(G))
        return self.objective.without_shift(self._kronecker.solve(G))

    def solve_intercept(self, g: Float) -> Float:
        """Σ⁺ g for g (K,): a Newton step on the intercept alone."""
        return self._kronecker.solve_intercept(g)


class Kronecker:
    """M = Σ ⊗ A + penalty, an approximation of the Hessian whose inverse costs O(K d² + K² d).

    A = (1/S) Σ s_i x̃_i x̃_iᵀ = U diag(a) Uᵀ (features, computed once; 1 for the intercept) and
    Σ = (1/S) Σ s_i (diag p_i − p_i p_iᵀ) = V diag(γ) Vᵀ (classes, refreshed as p moves), so
    M⁻¹ G = V [(Vᵀ G U) ⊘ (γ_j a_l + λ)] Uᵀ. U is in units of each feature in which its penalty is λ. Null
    directions (the common shift over classes) get 0: the gradient has nothing there but rounding. Those of
    the features without a penalty (`Objective.null_spaces`) are given curvature.
    """

    curvature: Float | None = None  # A, where it was formed
    _rest: float = 0.0  # the curvature of the features outside U

    def __init__(self, objective: Objective) -> None:
        self.basis: Float | None = None  # U
        n, d = objective.n_rows, objective.n_features
        by_feature = objective.penalties[:, :d].mean(axis=0)
        self._penalty = objective.ridge * float(np.any(by_feature))
        self.units = np.sqrt(by_feature / objective.ridge) if self._penalty else np.zeros(d)
        if n < d and n <= _MAX_SIZE and n * d <= _MAX_BASIS:
            self.units[self.units == 0] = 1.0
            a, self.basis, self._rest = _basis_of_rows(objective, self.units)
        elif d <= _MAX_SIZE:
            # Without a penalty features' scales do not matter, and taken out they cannot hide a small
            # feature in the rounding of a large one.
            self.curvature = objective.loss.feature_curvature.copy()
            objective.null_spaces.curve(None, self.curvature)
            free = self.units == 0
            self.units[free] = np.sqrt(np.diag(self.curvature))[free]
            self.units[self.units == 0] = 1.0
            a, self.basis = _basis_of_features(self.curvature, self.units)
        else:
            a = objective.loss.feature_curvature_diagonal()
        self.values = np.append(a, 1.0) if objective.fit_intercept else a
        self._gamma = np.zeros(0)
        self.penalise(objective)
        self._V: Float | None = None
        self._start(objective)

    def penalise(self, objective: Objective) -> None:
        """Take λ from the objective."""
        d = objective.n_features
        by_feature = objective.penalties[:, :d].mean(axis=0)
        self._penalty = objective.ridge * float(np.any(by_feature))
        free_intercept = np.zeros(int(objective.fit_intercept))
        in_units = np.full(len(self.values) - len(free_intercept), self._penalty)
        self._penalties = np.append(by_feature if self.basis is None else in_units, free_intercept)
        if len(self._gamma):
            self._set(self._gamma)

    def _start(self, objective: Objective) -> None:
        """Σ of the model without features."""
        K = objective.n_classes
        share = objective.loss.share if objective.fit_intercept else np.full(K, 1 / K)
        if K > _MAX_CLASSES:
            self._set(share * (1 - share))
        else:
            self._decompose(np.diag(share) - np.outer(share, share))

    def refresh(self, objective: Objective, theta: Float) -> None:
        """Take Σ at θ: one pass."""
        if objective.n_classes > _MAX_CLASSES:
            self._set(objective.loss.class_variance(theta))
        else:
            self._decompose(objective.loss.class_curvature(theta))

    def _decompose(self, class_curvature: Float) -> None:
        gamma, self._V = np.linalg.eigh(class_curvature)
        self._set(np.where(gamma > len(gamma) * 1e-14 * gamma[-1], gamma, 0.0))

    def _set(self, gamma: Float) -> None:
        self._gamma = gamma
        self._inverse = _pseudo_inverse(np.outer(gamma, self.values) + self._penalties)
        self._inverse[gamma == 0] = 0.0

    def _in(self, G: Float) -> Float:
        """Vᵀ G: to the eigenvectors of the classes' curvature."""
        return G.copy() if self._V is None else self._V.T @ G

    def _out(self, H: Float) -> Float:
        """V H: back to classes, without a shift common to all of them."""
        return H - H.mean(axis=0) if self._V is None else self._V @ H

    def solve(self, G: Float) -> Float:
        """M⁻¹ G for G (K, D)."""
        H, d = self._in(G), len(self.units)
        if self.basis is None:
            H *= self._inverse
            return self._out(H)
        r = self.basis.shape[1]
        features = H[:, :d] / self.units
        inside = features @ self.basis
        outside = features - inside @ self.basis.T if r < d else None
        features = (inside * self._inverse[:, :r]) @ self.basis.T
        if outside is not None:
            curved = self._gamma * self._rest + self._penalty
            features += outside * np.where(self._gamma > 0, _pseudo_inverse(curved), 0.0)[:, None]
        H[:, :d] = features / self.units
        H[:, d:] *= self._inverse[:, r:]
        return self._out(H)

    def arrays(self) -> descent.Metric | None:
        """What native code needs for `solve`; None unless U and V are square matrices."""
        if self._V is None or self.basis is None or self.basis.shape[0] != self.basis.shape[1]:
            return None
        return descent.Metric(self.units, self.basis, self._V, self._inverse)

    def solve_intercept(self, g: Float) -> Float:
        """Σ⁺ g for g (K,): a Newton step on the intercept alone."""
        return self._out(_pseudo_inverse(self._gamma) * self._in(g))


def _basis_of_features(A: Float, units: Float) -> tuple[Float, Float]:
    """a (d,) and U (d, d): A in these units is U a Uᵀ."""
    d = len(A)
    with blas_for(4 * d**3):
        a, basis = np.linalg.eigh(A / units / units[:, None])
    a[a <= d * np.finfo(float).eps * a[-1]] = 0.0
    return a, basis


def _basis_of_rows(objective: Objective, units: Float) -> tuple[Float, Float, float]:
    """a (r,) and U (d, r) of the directions along which n < d rows R curve most, and the mean curvature along
    the others that they span: the eigenvectors of RᵀR, all of them if n is small.

    Else a step of subspace iteration from random directions finds them (N. Halko, P. Martinsson and J. Tropp,
    SIAM Review 53 (2011), 217), in float32: all n would cost as much as 300 passes, and save none.
    """
    loss = objective.loss
    R = np.concatenate([*loss.read().map(linear.weighted_rows, loss.centre)])  # RᵀR is the curvature
    R /= math.sqrt(loss.weight) * units
    R /= (size := float(np.linalg.norm(R)) or 1.0)
    with blas_for(R.size * min(len(R), _LEADING)):
        span, whole = R.T, len(R) <= _LEADING
        if not whole:
            span = span.astype(np.float32)
            start = np.random.default_rng(0).standard_normal((len(R), _LEADING), np.float32)
            span = span @ np.linalg.qr(span.T @ (span @ start))[0]
        a, Q = np.linalg.eigh((span.T @ span).astype(np.float64))
        keep = a > len(a) * np.finfo(span.dtype).eps * a[-1]
        a = a[keep]
        basis = span.astype(np.float64) @ (Q[:, keep] / np.sqrt(a))
    rest = 0.0 if whole else max(1.0 - float(a.sum()), 0.0) / (len(R) - len(a))
    return a * size**2, basis, rest * size**2


def _pseudo_inverse(values: Float) -> Float:
    """1 / values, and 0 for 0."""
    null = values <= 0
    return np.where(null, 0.0, 1 / np.where(null, 1.0, values))
