"""The mean loss over a source of rows, in the coordinates a solver wants: F without its penalty.

L(θ) = (1/S) Σ s_i ℓ_i in nats. A solver sees θ (K, D): with an intercept D = d + 1 and θ = [W, b + W x̄], the
model of the centred features x − x̄, in which the curvatures of W and of the intercept do not mix; X itself
is never centred. Without one θ = W.
"""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable, Iterator

import numpy as np

from .._checks import check_sums
from .._types import Bool, Float
from ..data import Batch, Source
from ..kernels import linear
from ..kernels.threads import blas_for
from . import null_space
from .evaluation import Loss

_ROWS_FOR_NULL = 16  # per feature: directions that are not null for all rows mostly show in so many
_EPS = float(np.finfo(float).eps)
_CACHED = 1 << 15  # numbers of an array that stay in cache while others pass


class MeanLoss:
    """L over the rows of a `Source` and K classes: sums over rows, and nothing else.

    `n_passes` counts readings of X for a sum over all rows. Construction counts as one, whatever it reads for
    the moments, for soft labels, for constant features and for offsets.

    source, n_classes, fit_intercept, n_threads: the arguments. shape: (K, D). n_rows, n_features. weight: S.
    share (K,): the weighted share of each class. centre (d,): x̄, 0 without an intercept. class_x (K, d):
    (1/S) Σ s_i q_i x̃_iᵀ. constant (d,): which features are constant. offset_moments: (1/S) Σ s_i o_i (K,) and
    (1/S) Σ s_i ⟨q_i, o_i⟩. is_narrow: whether X is float32 or shorter, so that passes in float32 are faster
    and lose little.
    """

    def __init__(
        self, source: Source, n_classes: int, *, fit_intercept: bool = True, n_threads: int = 0
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
        self.n_rows, self.n_features = source.n_rows, len(m.x)
        self.shape = (n_classes, self.n_features + fit_intercept)
        self.is_narrow = source.dtype.itemsize < 8
        self.constant = self._find_constant()
        self._any_constant = bool(self.constant.any())
        self.offset_moments, self._offset_size = (np.zeros(n_classes), 0.0), 0.0
        if source.has_offset:
            mean = source.sum(linear.offset_moments, n_classes) / m.weight
            self.offset_moments = mean[:-1], float(mean[-1])
            self._offset_size = max(source.map(_largest_offset))

    def _find_constant(self) -> Bool:
        """Which centred features are 0 in all rows, (d,); sets their `centre` and `class_x` exactly. Else the
        rounding of a large mean would look like a feature, and a weak penalty would not hold it."""
        constant, value = null_space.constant_features(self.source, self.n_features)
        if not self.fit_intercept:
            zero: Bool = constant & (value == 0)
            return zero
        self.centre[constant] = value[constant]
        self.class_x[:, constant] = 0.0
        return constant

    def read(self) -> Source:
        """The rows, for one pass, which is counted."""
        self.n_passes += 1
        return self.source

    def again(self) -> MeanLoss:
        """A copy, with all that is computed already; its `n_passes` counts from 0."""
        other = copy.copy(self)
        other.n_passes = 0
        return other

    def over(self, source: Source) -> MeanLoss:
        """The mean loss of other rows, or of other features, with the same settings."""
        return MeanLoss(source, self.n_classes, fit_intercept=self.fit_intercept, n_threads=self.n_threads)

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

    def at(self, theta: Float, *, exact: bool = True) -> Loss:
        """One pass: the loss and its gradient at θ; not `exact` in float32, if X is no wider."""
        W, b = self.coefficients(theta)
        exact = exact or not self.is_narrow
        dtype = np.float64 if exact else np.float32
        at = W.astype(dtype, order="C"), b.astype(dtype)
        sums = self.read().sum(linear.sums, *at, n_threads=self.n_threads)
        d, grad_b = self.n_features, sums.grad_b / self.weight
        gradient, inner, terms = np.empty(self.shape), 0.0, 0.0
        for rows in in_cache(self.shape):
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

    @functools.cached_property
    def feature_curvature(self) -> Float:
        """(1/S) Σ s_i x̃_i x̃_iᵀ, (d, d): one pass, the first time."""
        with blas_for(self.n_rows * self.n_features**2):
            A = self._second_order(linear.gram, self.centre)
        A[self.constant] = A[:, self.constant] = 0.0  # a difference of CSR rows' sums leaves rounding
        return A

    def null_directions(self, free: Bool) -> Float:
        """Directions n (m, d) of length 1 of the features that are `free` (d,) with n·x̃_i = 0 for all i."""
        curvatures = lambda: self.curvature_of_few, lambda: self.feature_curvature
        return null_space.null_directions(self.read, self.centre, free, self.constant, *curvatures)

    @functools.cached_property
    def curvature_of_few(self) -> Float:
        """`feature_curvature` of a few rows: a direction that is null for all rows is null for these."""
        rows = _ROWS_FOR_NULL * (self.n_features + 1)
        few = self.over(self.source.sample(rows, 8)) if self.n_rows > 2 * rows else self
        return few.feature_curvature

    def feature_curvature_diagonal(self) -> Float:
        """The diagonal of `feature_curvature`, (d,): one pass, at every call."""
        a = self._second_order(linear.second_moment_diagonal, self.centre)
        a[self.constant] = 0.0
        return a

    def _second_order(self, part: Callable[..., Float], *args: object) -> Float:
        """A mean over rows of products of features. Raises ValueError where one is infinite, as squares of
        values beyond 1e150 are."""
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
        """The diagonal of `class_curvature`, (1/S) Σ s_i p_ik (1 − p_ik) at θ, (K,)."""
        return self.read().sum(linear.class_variance, *self.coefficients(theta)) / self.weight

    def hessian(self, theta: Float) -> Float:
        """The Hessian of the mean loss at θ, (K·D, K·D): one pass."""
        return self._second_order(linear.hessian, *self.coefficients(theta), self.centre, self.fit_intercept)

    def reach(self, of: Callable[[Float, Float], float], forms: Float) -> float:
        """The largest of(x̃, forms) over blocks of the rows that count: one pass."""
        return max(self.read().map(_reach, of, forms, self.centre, self.fit_intercept))


class OverRows:
    """What every objective takes over from its mean loss, whatever its penalty."""

    loss: MeanLoss
    shape: tuple[int, int]
    n_classes: int
    n_features: int
    n_rows: int
    fit_intercept: bool
    is_narrow: bool
    least: float | None = 0.0  # a lower bound on F; None where there is none

    def __init__(self, loss: MeanLoss) -> None:
        # Attributes, since a small fit asks for them often; through vars(), since `Composite` is frozen.
        names = ("shape", "n_classes", "n_features", "n_rows", "fit_intercept", "is_narrow")
        vars(self).update({name: getattr(loss, name) for name in names}, loss=loss)

    @property
    def n_passes(self) -> int:
        """Readings of X so far."""
        return self.loss.n_passes

    @n_passes.setter
    def n_passes(self, value: int) -> None:
        self.loss.n_passes = value

    def coefficients(self, theta: Float) -> tuple[Float, Float]:
        """W (K, d) and b (K,) of θ."""
        return self.loss.coefficients(theta)

    def theta(self, W: Float, b: Float) -> Float:
        """θ of W (K, d) and b (K,)."""
        return self.loss.theta(W, b)


def in_cache(shape: tuple[int, int]) -> Iterator[slice]:
    """Slices of classes, so few that their rows of (K, D) stay in cache. With 100000 features and 20 classes,
    all at once took as long as the pass before it."""
    step = max(1, _CACHED // shape[1])
    return (slice(start, start + step) for start in range(0, shape[0], step))


def _largest_offset(batch: Batch) -> float:
    """The largest |o_ik| of a batch, 0 without offsets."""
    return 0.0 if batch.offset is None else float(np.abs(batch.offset).max(initial=0.0))


def _reach(
    batch: Batch, of: Callable[[Float, Float], float], forms: Float, centre: Float, intercept: bool
) -> float:
    """The largest of(x̃, forms) over blocks of a batch's rows that count."""
    blocks = linear.augmented_blocks(batch, centre, intercept)
    return max((of(rows, forms) for rows in blocks), default=0.0)
