"""The regularised objective over a source of rows, in the coordinates a solver wants.

F(W, b) = (1/S) Σ s_i ℓ_i + (λ/2) Σ_kj u_k v_j W_kj² in nats, b free; the factors u and v are 1 unless given.
A solver sees θ (K, D): with an intercept
D = d + 1 and θ = [W, b + W x̄], the model of the centred features x − x̄, in which the curvatures of W and
of the intercept do not mix; X itself is never centred. Without one θ = W.
"""

from __future__ import annotations

import copy
import functools
import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import lapack

from .._checks import check_sums
from ..data import Batch, Source
from ..kernels import linear
from ..kernels.threads import blas_for
from . import certificate, null_space
from .evaluation import Evaluation, Loss, NewtonStep

Float = NDArray[np.float64]

# The Hessian of this many coefficients takes 72 MB; beyond, no solver asks for it.
MAX_HESSIAN = 3000
_ROWS_FOR_NULL = 16  # a feature: directions that are not null for all rows mostly show in so many
_WEAK = 1e-13  # times a feature's curvature: a penalty below it is lost in the Hessian's rounding
_EPS, _TINY = float(np.finfo(float).eps), float(np.finfo(float).tiny)
_CACHED = 1 << 15  # numbers of an array that stay in cache while others pass


class Objective:
    """F over the rows of a `Source`, K classes and penalty λ ≥ 0, times u_k v_j ≥ 0
    where `class_factors` u (K,) or `feature_factors` v (d,) are given.

    Counts in `n_passes` every full reading of X, the one for the moments at construction included.
    """

    def __init__(
        self,
        source: Source,
        n_classes: int,
        penalty: float,
        *,
        fit_intercept: bool = True,
        class_factors: Float | None = None,
        feature_factors: Float | None = None,
        n_threads: int = 0,
    ) -> None:
        self.source, self.n_classes = source, n_classes
        self.fit_intercept, self.n_threads = fit_intercept, n_threads
        self.n_passes = 0
        with np.errstate(over="ignore", invalid="ignore"):
            m = self.read().sum(linear.moments, n_classes, n_threads=n_threads)
        if np.isnan(m.x).all():  # one NaN in X makes NaN of every sum
            raise ValueError("X has NaN, or values too large to add up in float64")
        check_sums(np.vstack([m.x, m.class_x]), len(m.x), "has values too large to add up")
        self.weight = m.weight
        self.share = m.classes / m.weight
        self.centre = m.x / m.weight if fit_intercept else np.zeros(len(m.x))
        self.class_x = m.class_x / m.weight - np.outer(self.share, self.centre)
        self.shape = (n_classes, len(m.x) + fit_intercept)
        self.constant = self._find_constant()
        self._any_constant = bool(self.constant.any())
        self.class_factors, self.feature_factors = class_factors, feature_factors
        self._set_penalty(penalty)
        self.offset_moments, self._offset_size = (np.zeros(n_classes), 0.0), 0.0
        if source.has_offset:
            total, target = source.sum(linear.OffsetMoments.of, n_classes)
            self.offset_moments = total / m.weight, target / m.weight
            self._offset_size = max(source.map(_largest_offset))

    def _find_constant(self) -> NDArray[np.bool_]:
        """(d,): which centred features are 0 in all rows. Made so exactly: the rounding of a large one's
        mean would pass for a feature, one that no penalty to speak of holds."""
        constant, value = null_space.constant_features(self.source, self.n_features)
        if not self.fit_intercept:
            return constant & (value == 0)
        self.centre[constant] = value[constant]
        self.class_x[:, constant] = 0.0
        return constant

    def _set_penalty(self, penalty: float) -> None:
        v = np.ones(self.n_features) if self.feature_factors is None else self.feature_factors
        row = penalty * (np.append(v, 0.0) if self.fit_intercept else np.asarray(v, np.float64))
        self.penalty = penalty
        # λ u_k v_j for each entry of θ, 0 for the intercept's; one row for all classes where u is 1.
        self.penalties = np.broadcast_to(row, self.shape)
        # A shift common to all classes leaves the loss as it is; the penalty is least where Σ_k u_k W_k = 0.
        self._gauge = np.broadcast_to(np.array(1 / self.n_classes), self.shape)
        if self.class_factors is not None:
            self.penalties = np.outer(self.class_factors, row)
            weights = np.where(self.penalties.any(axis=0), np.asarray(self.class_factors)[:, None], 1.0)
            self._gauge = weights / weights.sum(axis=0)

    def at_penalty(self, penalty: float) -> Objective:
        """The same with another λ, without reading X; its `n_passes` count from 0."""
        other = copy.copy(self)
        for name in ("is_penalised", "null_spaces"):
            other.__dict__.pop(name, None)
        other.n_passes = 0
        other._set_penalty(penalty)
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
        return 0.5 * sum(float(row @ row) for row in W) / self.penalty

    @property
    def n_rows(self) -> int:
        return self.source.n_rows

    @property
    def n_features(self) -> int:
        return len(self.centre)

    @property
    def is_narrow(self) -> bool:
        """Whether X is float32 or shorter, so that passes in float32 are faster and lose little."""
        return self.source.dtype.itemsize < 8

    @functools.cached_property
    def is_penalised(self) -> bool:
        """Whether every coefficient but the intercept is, so that F has a minimum and the dual bound
        works."""
        return bool((self.penalties[:, : self.n_features] > 0).all())

    def sample(self, rows: int) -> Objective:
        """F on about so many rows, of every class in proportion but 8 at least, weighted up to what they
        stand for; the same ones at every call. For starts and metrics: nothing is proven by it."""
        return Objective(
            self.source.sample(rows, 8),
            self.n_classes,
            self.penalty,
            fit_intercept=self.fit_intercept,
            class_factors=self.class_factors,
            feature_factors=self.feature_factors,
            n_threads=self.n_threads,
        )

    @property
    def has_hessian(self) -> bool:
        """Whether K·D is small enough to form the Hessian."""
        return self.shape[0] * self.shape[1] <= MAX_HESSIAN

    def start(self) -> Float:
        """W = 0 and the intercept at the log class shares, the optimum among models without features."""
        theta = np.zeros(self.shape)
        if self.fit_intercept:
            logs = np.log(self.share)
            theta[:, -1] = logs - logs.mean()
        return theta

    def coefficients(self, theta: Float) -> tuple[Float, Float]:
        """W (K, d) and b (K,) of θ."""
        if not self.fit_intercept:
            return theta, np.zeros(self.n_classes)
        W = theta[:, :-1]
        return W, theta[:, -1] - W @ self.centre

    def theta(self, W: Float, b: Float) -> Float:
        """θ of W (K, d) and b (K,): the inverse of `coefficients`."""
        return np.column_stack([W, b + W @ self.centre]) if self.fit_intercept else W.copy()

    def without_shift(self, theta: Float) -> Float:
        """θ less its mean over classes, weighted by u, and less what lies in `null_spaces`: the same
        probabilities, the least penalty, and of all such points the one of the least ‖W‖.

        Solvers start there and stay there. A common shift has no curvature but the penalty's, and with
        large features its rounding noise divided by a small λ would swamp the coefficients.
        """
        theta = self.null_spaces.taken_out(theta)
        if self.class_factors is None:
            return theta - np.add.reduce(theta) / len(theta)
        return theta - (self._gauge * theta).sum(axis=0)

    def loss(self, theta: Float, *, exact: bool = True) -> Loss:
        """One pass: the mean loss and its gradient at θ; not `exact` in float32, if X is no wider."""
        W, b = self.coefficients(theta)
        exact = exact or not self.is_narrow
        dtype = np.float64 if exact else np.float32
        at = W.astype(dtype, order="C"), b.astype(dtype)
        sums = self.read().sum(linear.sums, *at, n_threads=self.n_threads)
        d, grad_b = self.n_features, sums.grad_b / self.weight
        gradient, inner, terms = np.empty(self.shape), 0.0, 0.0
        for rows in self._in_cache():
            g = gradient[rows]
            np.divide(sums.grad_W[rows], self.weight, out=g[:, :d])
            if self.fit_intercept:
                g[:, :d] -= np.multiply.outer(grad_b[rows], self.centre)
                g[:, d] = grad_b[rows]
            if self._any_constant:
                g[:, :d][:, self.constant] = 0.0  # where the difference above leaves rounding
            moved = g * theta[rows]
            inner += float(moved.sum())
            terms += float(np.abs(moved, out=moved).sum())
        value = sums.loss / self.weight
        lost = 64 * (value + terms) + 4 * self._offset_size + float(np.abs(b).max())
        rounding = _EPS * lost
        return Loss(theta, value, gradient, inner, grad_b + self.share, rounding, exact)

    def _in_cache(self) -> Iterator[slice]:
        """Some classes at a time: with 100000 features and 20 classes what follows a pass took as long."""
        step = max(1, _CACHED // self.shape[1])
        return (slice(start, start + step) for start in range(0, self.n_classes, step))

    def evaluate(self, theta: Float, *, exact: bool = True) -> Evaluation:
        """One pass: F, ∂F/∂θ and the dual lower bound at θ; not `exact` in float32, if X is no wider."""
        loss = self.loss(theta, exact=exact)
        gradient, d, ridged, products = loss.gradient, self.n_features, 0.0, np.zeros(3)
        for rows in self._in_cache():
            g, at = gradient[rows], theta[rows]
            if self.is_penalised:
                products += certificate.dual_products(
                    g[:, :d],
                    self.class_x[rows],
                    self.penalties[rows, :d] if self._has_factors else self.penalty,
                )
            ridge = self.penalties[rows] * at
            ridged += float(np.vdot(ridge, at))
            g += ridge
        bound = 0.0
        if self.is_penalised:
            probability = loss.probability if self.fit_intercept else None
            bound = certificate.dual_from_products(
                loss.entropy, probability, self.share, products, self.offset_moments
            )
        gradient = self.null_spaces.taken_out(gradient)  # there it is rounding, and no step is to follow it
        return Evaluation(theta, loss.value + 0.5 * ridged, gradient, bound, loss.exact)

    @functools.cached_property
    def feature_curvature(self) -> Float:
        """(1/S) Σ s_i x̃_i x̃_iᵀ, (d, d): one pass, the first time."""
        with blas_for(self.n_rows * self.n_features**2):
            A = self._second_order(linear.gram, self.centre)
        A[self.constant] = A[:, self.constant] = 0.0  # a difference of CSR rows' sums leaves rounding
        return A

    def feature_rows(self) -> Float:
        """R (n, d) with RᵀR = `feature_curvature`: the centred rows times √(s_i/S); one pass."""
        rows = self.read().map(linear.weighted_rows, self.centre)
        return np.concatenate([*rows]) / math.sqrt(self.weight)

    @functools.cached_property
    def null_spaces(self) -> null_space.NullSpaces:
        """Where F is flat for ever: directions of unpenalised features, a class at a time. Empty where all is
        penalised; a penalty that rounding hides behind the curvature (C = 1e20) counts as none: it holds
        nothing."""
        d = self.n_features
        free = self.penalties[:, :d] == 0
        if float(self.penalties.max(initial=0.0)) <= _WEAK and d <= null_space.MAX_COLLINEAR:
            units = np.where(self.constant, 1.0, np.diag(self._curvature_of_few))
            free |= self.penalties[:, :d] <= _WEAK * units
        return null_space.NullSpaces.of(free, self.null_directions)

    def null_directions(self, free: NDArray[np.bool_]) -> Float:
        """Of the features that are `free` (d,), directions n (m, d) of length 1 with n·x̃_i = 0 for all i."""
        curvatures = lambda: self._curvature_of_few, lambda: self.feature_curvature
        return null_space.null_directions(self.read, self.centre, free, self.constant, *curvatures)

    def read(self) -> Source:
        """The rows, for a pass, which is counted."""
        self.n_passes += 1
        return self.source

    @functools.cached_property
    def _curvature_of_few(self) -> Float:
        """`feature_curvature` of a few rows: what is null for all is so for these."""
        rows = _ROWS_FOR_NULL * (self.n_features + 1)
        return (self.sample(rows) if self.n_rows > 2 * rows else self).feature_curvature

    def feature_curvature_diagonal(self) -> Float:
        """Its diagonal, (d,)."""
        a = self._second_order(linear.second_moment_diagonal, self.centre)
        a[self.constant] = 0.0
        return a

    def _second_order(self, part: Callable[..., Float], *args: Any) -> Float:
        """A mean of products of features, checked: squares of values beyond 1e150 are infinite."""
        with np.errstate(over="ignore", invalid="ignore"):
            mean = self.read().sum(part, *args) / self.weight
        squares = mean if mean.ndim == 1 else np.diagonal(mean)  # no product is larger than both its squares
        check_sums(squares, self.shape[1], "has values too large to square")
        return mean

    def class_curvature(self, theta: Float) -> Float:
        """(1/S) Σ s_i (diag p_i − p_i p_iᵀ) at θ, (K, K)."""
        W, b = (a.astype(np.float32 if self.is_narrow else np.float64) for a in self.coefficients(theta))
        return self.read().sum(linear.class_curvature, W, b, n_threads=self.n_threads) / self.weight

    def class_variance(self, theta: Float) -> Float:
        """Its diagonal, (K,)."""
        return self.read().sum(linear.class_variance, *self.coefficients(theta)) / self.weight

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
        g = scale * at.gradient.reshape(-1)
        step = -solve(g)
        decrement = math.inf
        if full_rank and not lost.any():
            residual = g + H @ step  # what rounding left unsolved counts in full
            decrement = math.sqrt(max(0.0, -float(g @ step))) + math.sqrt(abs(residual @ solve(residual)))
            decrement = decrement if math.isfinite(decrement) else math.inf
        direction = (scale * step).reshape(K, D)

        def inverse() -> Float:
            return (solve(np.diag(scale)) * scale[:, None]).reshape(K, D, K, D)

        # The exact step has no shift either; its rounding is kept from adding up.
        return NewtonStep(self.without_shift(direction), decrement, inverse)

    def _hessian(self, at: Evaluation) -> Float:
        """The Hessian of F at `at`, (K·D, K·D), with curvature put into its null directions.

        The loss does not depend on a shift common to all classes. ∇F (at a point without shift) and every
        v = (e_k − e_l) ⊗ x̃_i sum to 0 over classes, so H⁻¹v, too, is without shift: weighted by u it sums
        to 0. Curvature along u changes neither Δ nor ν nor c. Nor does F depend on `null_spaces`: H maps
        these to themselves, and ∇F and v are orthogonal to them.
        """
        K, D = self.shape
        W, b = self.coefficients(at.theta)
        H = self._second_order(linear.hessian, W, b, self.centre, self.fit_intercept)
        blocks = H.reshape(K, D, K, D)
        diagonal = np.einsum("kjkj->kj", blocks).mean(axis=0)
        shifts = np.einsum("kjlj->klj", blocks)  # a view
        # u uᵀ times a number for each feature that is right in size: with u = 1, the mean curvature over K.
        shifts += self._gauge[:, None, :] * self._gauge[None, :, :] * diagonal * K
        for k in range(K):
            self.null_spaces.curve(k, blocks[k, :, k, :])
        H.ravel()[:: K * D + 1] += self.penalties.ravel()
        return H

    def self_concordant_gap(self, step: NewtonStep) -> float:
        """The second certificate (see `certificate`) at the point of `step`: a pass for c, or two."""
        forms = certificate.reach_forms(step.inverse())
        rough = self._reach(certificate.rough_reach, forms)
        if rough * step.decrement < 0.03:  # within 1 % of what the least c would give
            return certificate.self_concordant_gap(step.decrement, rough)
        return certificate.self_concordant_gap(step.decrement, self._reach(certificate.pairwise_reach, forms))

    def _reach(self, of: Callable[[Float, Float], float], forms: Float) -> float:
        """The largest over all rows."""
        return max(self.read().map(_reach, of, forms, self.centre, self.fit_intercept))


def _largest_offset(batch: Batch) -> float:
    return 0.0 if batch.offset is None else float(np.abs(batch.offset).max(initial=0.0))


def _reach(
    batch: Batch, of: Callable[[Float, Float], float], forms: Float, centre: Float, intercept: bool
) -> float:
    """The largest over a batch's rows."""
    blocks = linear.augmented_blocks(batch, centre, intercept)
    return max((of(rows, forms) for rows in blocks), default=0.0)


def _factor(H: Float) -> tuple[Callable[[Float], Float], bool]:
    """H⁻¹ as a function of a vector or matrix, by Cholesky; if that fails on H's range, and False."""
    factor, failed = lapack.dpotrf(H, lower=True)
    if not failed:
        return lambda v: lapack.dpotrs(factor, v, lower=True)[0], True
    values, vectors = np.linalg.eigh(H)
    keep = values > values[-1] * len(values) * _EPS
    values, vectors = values[keep], vectors[:, keep]
    return lambda v: vectors @ ((vectors.T @ v).T / values).T, False
