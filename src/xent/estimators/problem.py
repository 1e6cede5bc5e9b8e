"""Data and penalty as a solver takes them, and a solver's θ as coef_ and intercept_."""

from __future__ import annotations

import functools
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from .._types import Array, Bool, Float
from ..data import Batch, InMemory
from ..kernels import linear
from ..kernels.threads import blas
from ..objective.composite import Composite
from ..objective.loss import MeanLoss
from ..objective.penalty import Penalty
from ..objective.ridge import Objective


@dataclass(frozen=True)
class Problem:
    """Data and penalty of a fit; C is left open.

    `data` holds the rows of all `classes` (K,), `batch` those of the classes with weight, which the solver
    sees. class_factors and bounds are of all classes; `names` are the features', where X has them.
    """

    data: Batch
    classes: Array
    fit_intercept: bool = True
    class_factors: Float | None = None
    feature_factors: Float | None = None
    l1_ratio: float = 0.0
    grouped: bool = False
    bounds: tuple[Float, Float] | None = None
    names: Array | None = None

    @functools.cached_property
    def present(self) -> Bool:
        """Which classes (K,) are not sent to probability 0.

        For a class without weight F falls as its intercept does, so the infimum of F is that of the others'
        F. Without an intercept, or with smoothing, which gives it a share of each row, F has its minimum.
        """
        weight, K = self.data.weight, len(self.classes)
        y: Any = self.data.y
        if not self.fit_intercept or self.data.label_smoothing > 0:
            return np.ones(K, bool)
        if y.ndim == 1:
            return np.bincount(y, weight, K) > 0
        return np.asarray((y.sum(axis=0) if weight is None else weight @ y) > 0)

    @functools.cached_property
    def batch(self) -> Batch:
        """`data` among the classes that are present; rows of the others have no weight."""
        if self.present.all():
            return self.data
        y: Any = self.data.y
        y = np.maximum(np.cumsum(self.present) - 1, 0)[y] if y.ndim == 1 else y[:, self.present]
        offset = None if self.data.offset is None else self.data.offset[:, self.present]
        return replace(self.data, y=y, offset=offset)

    def weighted(self, weight: Float) -> Problem:
        """The same problem with other weights (n,) of its rows."""
        return replace(self, data=replace(self.data, weight=weight))

    def mixed(self, l1_ratio: float) -> Problem:
        """The same problem with another share of L1 in the penalty."""
        return replace(self, l1_ratio=l1_ratio)

    @property
    def n_classes(self) -> int:
        """The number of classes that are present."""
        return int(self.present.sum())

    @property
    def one_row(self) -> bool:
        """Whether there are two classes: coef_ is (1, d) and the penalty is on that row."""
        return len(self.classes) == 2 and self.n_classes == 2

    @property
    def n_rows(self) -> int:
        """The number of rows of coef_: 1 for two classes, else K."""
        return 1 if len(self.classes) == 2 else len(self.classes)

    @property
    def dtype(self) -> type[np.float64] | type[np.float32]:
        """What coef_ is rounded to: float32 unless X is float64."""
        return np.float64 if self.data.X.dtype == np.float64 else np.float32

    @property
    def is_smooth(self) -> bool:
        """Whether the penalty is L2 alone and coefficients are free, so that F is an `Objective`."""
        return self.l1_ratio == 0 and self.bounds is None

    @property
    def _factors(self) -> Float | None:
        """The class factors of the classes that are present."""
        return None if self.class_factors is None else self.class_factors[self.present]

    @property
    def _bounds(self) -> tuple[Float, Float] | None:
        """Bounds of the coefficients that are solved for."""
        if self.bounds is None or self.one_row or self.present.all():
            return self.bounds
        if self.n_rows == 1:  # the one class left has no coefficients
            return None
        return self.bounds[0][self.present], self.bounds[1][self.present]

    def threads(self) -> AbstractContextManager[None]:
        """BLAS on one thread during a solve, out of the fused kernels' way, but for tiled passes."""
        return nullcontext() if linear.runs_tiled(self.batch, self.n_classes) else blas("one")

    def objective(self, C: float) -> Objective | Composite:
        """F at this C; X is read once."""
        loss = MeanLoss(InMemory(self.batch), self.n_classes, fit_intercept=self.fit_intercept)
        # Without a penalty F has no corners: the certificates of smooth F hold, and separation is looked for.
        if not self.is_smooth and (self.bounds is not None or C < np.inf):
            return Composite(loss, self.penalty.scaled(self.weight_of_penalty(C)))
        return Objective(
            loss,
            self.weight_of_penalty(C),
            class_factors=self._factors,
            feature_factors=self.feature_factors,
        )

    def weight_of_penalty(self, C: float) -> float:
        """λ = 1/(C S); for two classes and L2 alone 2/(C S).

        Their penalty is on w = W_1 − W_0, as coef_ is (1, d), and ‖W‖² = ‖w‖²/2.
        """
        return (2 if self.one_row and self.is_smooth else 1) / (C * self._total)

    @property
    def _total(self) -> float:
        """S, the sum of all weights."""
        weight = self.data.weight
        return float(self.data.shape[0] if weight is None else weight.sum())

    def at(self, C: float, other: Objective | Composite) -> Objective | Composite:
        """`other`, an objective of this problem, at this C; X is not read, and `n_passes` starts at 0."""
        weight = self.weight_of_penalty(C)
        if isinstance(other, Composite):
            return Composite(other.loss.again(), self.penalty.scaled(weight))
        return other.at_ridge(weight)

    @functools.cached_property
    def penalty(self) -> Penalty:
        """The penalty with corners and bounds, at λ = 1; of two classes the first is held at 0."""
        K, d = self.n_classes, self.batch.shape[1]
        intercept = [0.0] if self.fit_intercept else []
        v = np.ones(d) if self.feature_factors is None else self.feature_factors
        row = np.append(v, intercept)
        factors = np.broadcast_to(row, (K, len(row)))
        if self._factors is not None:
            factors = np.outer(self._factors, row)
        bounds = None
        if self._bounds is not None or self.one_row:
            lower, upper = self._bounds or (np.full((1, d), -np.inf), np.full((1, d), np.inf))
            free = np.full((len(lower), len(intercept)), np.inf)
            lower, upper = np.hstack([lower, -free]), np.hstack([upper, free])
            if self.one_row:
                lower, upper = (np.vstack([np.zeros(len(row)), side[-1]]) for side in (lower, upper))
            bounds = lower, upper
        return Penalty.elastic_net(factors, self.l1_ratio, bounds, grouped=self.grouped and not self.one_row)

    def coefficients(self, theta: Float, objective: Objective | Composite) -> tuple[Array, Array, Float]:
        """coef_ and intercept_ of θ, rounded to `dtype`, and the θ of these.

        Neither W nor b has a shift common to all classes, which changes the penalty but no probability.
        """
        W, b = objective.coefficients(objective.without_shift(theta))
        b = b - b.mean()
        if self.one_row:  # rounded once, as a difference: class factors make W_0 another number than −W_1
            W, b = W - W[0], b - b[0]
        W, b = W.astype(self.dtype), b.astype(self.dtype)
        if self._bounds is not None:
            W[-len(self._bounds[0]) :] = _within(W[-len(self._bounds[0]) :], *self._bounds)
        theta = objective.theta(W.astype(np.float64), b.astype(np.float64))
        # F with an L2 penalty is that of coefficients without a shift; others are kept as they are.
        rounded = theta if isinstance(objective, Composite) else objective.without_shift(theta)
        return (W[1:], b[1:], rounded) if self.one_row else (*self._of_all(W, b), rounded)

    def _of_all(self, W: Array, b: Array) -> tuple[Array, Array]:
        """coef_ and intercept_ of all classes, from those of the classes that are present.

        An absent class has a logit of −inf in every row; its coefficients are 0, or within bounds what is
        nearest to 0.
        """
        if self.present.all():
            return W, b
        coef: Array = self._unused.astype(W.dtype)
        coef = coef if self.bounds is None else _within(coef, *self.bounds)
        if self.n_rows == 1:
            return coef, np.where(self.present[1:], np.inf, -np.inf).astype(b.dtype)
        intercept = np.full(len(coef), -np.inf, b.dtype)
        coef[self.present], intercept[self.present] = W, b
        return coef, intercept

    @property
    def _unused(self) -> Float:
        """What coef_ is for absent classes, in the shape of coef_."""
        zero = np.zeros((self.n_rows, self.data.shape[1]))
        return zero if self.bounds is None else np.clip(zero, *self.bounds)

    def price_of_unused(self, C: float) -> float:
        """What the coefficients of absent classes add to F: 0 unless bounds leave 0 out."""
        if self.bounds is None or self.present.all():
            return 0.0
        rows: Any = slice(None) if self.n_rows == 1 else ~self.present
        u = np.ones(len(self.classes)) if self.class_factors is None else self.class_factors
        v = 1.0 if self.feature_factors is None else self.feature_factors
        w = np.abs(self._unused[rows])
        each = v * ((1 - self.l1_ratio) * w**2 / 2 + self.l1_ratio * w)
        return self.weight_of_penalty(C) * float((u[~self.present] @ each).sum())


def _within(W: Array, lower: Float, upper: Float) -> Array:
    """W, and where rounding to float32 has left the bounds the next number inside."""
    W = np.where(W < lower, np.nextafter(W, W.dtype.type(np.inf)), W)
    return np.where(W > upper, np.nextafter(W, W.dtype.type(-np.inf)), W)
