"""F with an L2 penalty: smooth, with a Hessian, and two certificates.

F(W, b) = (1/S) Σ s_i ℓ_i + (λ/2) Σ_kj u_k v_j W_kj² in nats, b free; the factors u and v are 1 by default.
"""

from __future__ import annotations

import copy
import functools
import math
from collections.abc import Callable

import numpy as np
from scipy.linalg import lapack

from .._types import Float
from ..data import Source
from . import certificate, null_space
from .evaluation import Evaluation, NewtonStep
from .loss import MeanLoss, OverRows, in_cache

# The Hessian of this many coefficients takes 72 MB; beyond, no solver asks for it.
MAX_HESSIAN = 3000
_WEAK = 1e-13  # times a feature's curvature: a penalty below it is lost in the Hessian's rounding
_EPS, _TINY = float(np.finfo(float).eps), float(np.finfo(float).tiny)


class Objective(OverRows):
    """F of a mean loss and an L2 penalty, `ridge` λ ≥ 0 times u_k v_j ≥ 0: `class_factors` u (K,) and
    `feature_factors` v (d,), None for all 1."""

    def __init__(
        self,
        loss: MeanLoss,
        ridge: float,
        *,
        class_factors: Float | None = None,
        feature_factors: Float | None = None,
    ) -> None:
        super().__init__(loss)
        self.class_factors, self.feature_factors = class_factors, feature_factors
        self._set_ridge(ridge)

    @staticmethod
    def of(
        source: Source,
        n_classes: int,
        ridge: float,
        *,
        fit_intercept: bool = True,
        class_factors: Float | None = None,
        feature_factors: Float | None = None,
        n_threads: int = 0,
    ) -> Objective:
        """F over a source's rows."""
        loss = MeanLoss(source, n_classes, fit_intercept=fit_intercept, n_threads=n_threads)
        return Objective(loss, ridge, class_factors=class_factors, feature_factors=feature_factors)

    def _set_ridge(self, ridge: float) -> None:
        v = np.ones(self.n_features) if self.feature_factors is None else self.feature_factors
        row = ridge * (np.append(v, 0.0) if self.fit_intercept else np.asarray(v, np.float64))
        self.ridge = ridge
        # λ u_k v_j for each entry of θ, 0 for the intercept's; one row for all classes where u is 1.
        self.penalties = np.broadcast_to(row, self.shape)
        # A shift common to all classes leaves the loss as it is; the penalty is least where Σ_k u_k W_k = 0.
        self._gauge = np.broadcast_to(np.array(1 / self.n_classes), self.shape)
        if self.class_factors is not None:
            self.penalties = np.outer(self.class_factors, row)
            weights = np.where(self.penalties.any(axis=0), np.asarray(self.class_factors)[:, None], 1.0)
            self._gauge = weights / weights.sum(axis=0)

    def at_ridge(self, ridge: float) -> Objective:
        """F with another λ, without reading X; its `n_passes` counts from 0."""
        other = copy.copy(self)
        for name in ("is_penalised", "null_spaces"):
            other.__dict__.pop(name, None)
        other.loss = self.loss.again()
        other._set_ridge(ridge)
        return other

    @property
    def _has_factors(self) -> bool:
        return self.class_factors is not None or self.feature_factors is not None

    def penalty_price(self, gradient: Float) -> float:
        """Σ (∂F/∂W_kj)² / 2λ_kj in nats, the dual gap where the intercept is balanced; +inf without a
        penalty."""
        if not self.is_penalised:
            return math.inf
        W = gradient[:, : self.n_features]
        if self._has_factors:
            return 0.5 * float(np.sum(W * W / self.penalties[:, : self.n_features]))
        return 0.5 * sum(float(row @ row) for row in W) / self.ridge

    @functools.cached_property
    def is_penalised(self) -> bool:
        """Whether every coefficient but the intercept is penalised: F has a minimum then, and the dual bound
        works."""
        return bool((self.penalties[:, : self.n_features] > 0).all())

    def sample(self, rows: int) -> Objective:
        """F on about so many rows, at least 8 of every class, weighted by the number they stand for; the same
        rows at every call. It serves starts and metrics and proves nothing."""
        loss = self.loss.over(self.loss.source.sample(rows, 8))
        return Objective(
            loss, self.ridge, class_factors=self.class_factors, feature_factors=self.feature_factors
        )

    def start(self) -> Float:
        """The optimum among models without features."""
        return self.loss.start()

    @property
    def has_hessian(self) -> bool:
        """Whether K·D is small enough to form the Hessian."""
        return self.shape[0] * self.shape[1] <= MAX_HESSIAN

    def without_shift(self, theta: Float) -> Float:
        """θ less its mean over classes, weighted by u, and less its part in `null_spaces`: of all points with
        the same probabilities and the least penalty, the one of the least ‖W‖.

        Solvers start there and stay there. A common shift has no curvature but the penalty's, and with
        large features its rounding noise divided by a small λ would swamp the coefficients.
        """
        theta = self.null_spaces.taken_out(theta)
        if self.class_factors is None:
            mean: Float = np.add.reduce(theta) / len(theta)
        else:
            mean = (self._gauge * theta).sum(axis=0)
        return theta - mean

    def evaluate(self, theta: Float, *, exact: bool = True) -> Evaluation:
        """One pass: F, ∂F/∂θ and the dual lower bound at θ; not `exact` in float32, if X is no wider."""
        loss = self.loss.at(theta, exact=exact)
        gradient, d, ridged, products = loss.gradient, self.n_features, 0.0, np.zeros(3)
        for rows in in_cache(self.shape):
            g, at = gradient[rows], theta[rows]
            if self.is_penalised:
                products += certificate.dual_products(
                    g[:, :d],
                    self.loss.class_x[rows],
                    self.penalties[rows, :d] if self._has_factors else self.ridge,
                )
            pull = self.penalties[rows] * at
            ridged += float(np.vdot(pull, at))
            g += pull
        bound = 0.0
        if self.is_penalised:
            probability = loss.probability if self.fit_intercept else None
            bound = certificate.dual_from_products(
                loss.entropy, probability, self.loss.share, products, self.loss.offset_moments
            )
        gradient = self.null_spaces.taken_out(gradient)  # rounding, which no step should follow
        return Evaluation(theta, loss.value + 0.5 * ridged, gradient, bound, loss.exact)

    @functools.cached_property
    def null_spaces(self) -> null_space.NullSpaces:
        """Where F is flat: directions of unpenalised features, class by class. Empty where all is penalised.
        A penalty that rounding hides behind the curvature (C = 1e20) counts as none."""
        d = self.n_features
        free = self.penalties[:, :d] == 0
        if float(self.penalties.max(initial=0.0)) <= _WEAK and d <= null_space.MAX_COLLINEAR:
            units = np.where(self.loss.constant, 1.0, np.diag(self.loss.curvature_of_few))
            free |= self.penalties[:, :d] <= _WEAK * units
        return null_space.NullSpaces.of(free, self.loss.null_directions)

    def newton_step(self, at: Evaluation) -> NewtonStep:
        """Solve H Δ = −∇F, H the Hessian of F at `at`, a point without shift (`without_shift`).

        H is scaled to a unit diagonal and lowered by a bound on its own rounding, 4 K·D ulp, so that ν and c
        come out too large if anything. If there is no Cholesky factor then (separable classes, or features
        collinear to working precision, without a penalty to speak of), Δ is taken on the range of H and ν is
        +inf: no certificate.
        """
        K, D = self.shape
        if np.abs((self._gauge * at.theta).sum(axis=0)).max() > 1e-8 * np.abs(at.theta).max():
            raise ValueError("theta: expected a point without a shift common to all classes")
        H = self._hessian(at)
        diagonal = H.ravel()[:: K * D + 1]  # a view
        lost = diagonal < _TINY / _EPS  # the squares have underflowed
        scale = 1 / np.sqrt(np.maximum(diagonal, _TINY))
        H *= scale[:, None]
        H *= scale
        diagonal -= 4 * K * D * _EPS
        solve, full_rank = _factor(H)

        def solved(gradient: Float) -> tuple[Float, float]:
            g = scale * gradient.reshape(-1)
            step, decrement = solve(g), math.inf
            if full_rank and not lost.any():
                decrement = certificate.norm(g, step, H, solve)
                decrement = decrement if math.isfinite(decrement) else math.inf
            # The exact step has no shift either; its rounding is kept from adding up.
            return self.without_shift(-(scale * step).reshape(K, D)), decrement

        @functools.cache
        def inverse() -> Float:
            return (solve(np.diag(scale)) * scale[:, None]).reshape(K, D, K, D)

        return NewtonStep(*solved(at.gradient), solved, inverse)

    def _hessian(self, at: Evaluation) -> Float:
        """The Hessian of F at `at`, (K·D, K·D), with curvature put into its null directions.

        The loss does not depend on a shift common to all classes. ∇F (at a point without shift) and every
        v = (e_k − e_l) ⊗ x̃_i sum to 0 over classes, so H⁻¹v, too, is without shift: weighted by u it sums
        to 0. Curvature along u changes neither Δ nor ν nor c. Nor does F depend on `null_spaces`: H maps
        these to themselves, and ∇F and v are orthogonal to them.
        """
        K, D = self.shape
        H = self.loss.hessian(at.theta)
        blocks = H.reshape(K, D, K, D)
        diagonal = np.einsum("kjkj->kj", blocks).mean(axis=0)
        shifts = np.einsum("kjlj->klj", blocks)  # a view
        # u uᵀ times a number for each feature that is right in size: with u = 1, the mean curvature over K.
        shifts += self._gauge[:, None, :] * self._gauge[None, :, :] * diagonal * K
        for k in range(K):
            self.null_spaces.curve(k, blocks[k, :, k, :])
        H.ravel()[:: K * D + 1] += self.penalties.ravel()
        return H

    def self_concordant_gap(self, step: NewtonStep, stretch: float = 1.0) -> float:
        """The second certificate (see `certificate`) at the point of `step`: a pass for c, or two. By an H
        that is stretch² times what lies below F's Hessian, both ν and c are `stretch` times H's."""
        forms = stretch**2 * certificate.reach_forms(step.inverse())
        return certificate.gap_within_reach(stretch * step.decrement, self.loss.reach, forms)


def _factor(H: Float) -> tuple[Callable[[Float], Float], bool]:
    """H⁻¹ as a function of a vector or matrix, and True, by Cholesky. If that fails: H⁻¹ on H's range, and
    False."""
    factor, failed = lapack.dpotrf(H, lower=True)
    if not failed:
        return lambda v: lapack.dpotrs(factor, v, lower=True)[0], True
    values, vectors = np.linalg.eigh(H)
    keep = values > values[-1] * len(values) * _EPS
    values, vectors = values[keep], vectors[:, keep]
    return lambda v: vectors @ ((vectors.T @ v).T / values).T, False
