"""What `fit` is given, checked and made into what a solver takes, and what a solver finds made into coef_."""

from __future__ import annotations

import functools
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.validation import validate_data

from ..data import InMemory
from ..inference.separation import Separation, Status, Verdict, find_separation
from ..kernels import linear
from ..kernels.threads import blas
from ..objective import rounding
from ..objective.composite import Composite
from ..objective.loss import MeanLoss
from ..objective.penalty import Penalty
from ..objective.ridge import Objective
from ..solvers import Result, Solution
from .frames import locate
from .targets import (
    bounds_of,
    class_factors_of,
    factors_of,
    is_soft,
    label_targets,
    offset_of,
    rows_of,
    soft_targets,
)

Float = NDArray[np.float64]

TAKES: dict[str, Any] = {"accept_sparse": "csr", "dtype": [np.float64, np.float32, np.float16]}


@dataclass(frozen=True)
class Problem:
    """Data and penalty; only C is open.

    `given` holds all `classes` (K,); the model that is solved for is of those with weight, `batch`.
    class_factors and bounds are of all classes, too.
    """

    given: linear.Batch
    classes: NDArray[Any]
    fit_intercept: bool = True
    class_factors: Float | None = None
    feature_factors: Float | None = None
    l1_ratio: float = 0.0
    grouped: bool = False
    bounds: tuple[Float, Float] | None = None

    @functools.cached_property
    def present(self) -> NDArray[np.bool_]:
        """(K,): the classes that are not sent to probability 0.

        For a class without weight F falls as its intercept does, so the infimum of F is that of the others'
        F. Without an intercept it stays, and F has its minimum; and smoothing gives it a share of each row.
        """
        weight, K = self.given.weight, len(self.classes)
        y: Any = self.given.y
        if not self.fit_intercept or self.given.label_smoothing > 0:
            return np.ones(K, bool)
        if y.ndim == 1:
            return np.bincount(y, weight, K) > 0
        return np.asarray((y.sum(axis=0) if weight is None else weight @ y) > 0)

    @functools.cached_property
    def batch(self) -> linear.Batch:
        """`given` among the classes that are present; rows of the others have no weight."""
        if self.present.all():
            return self.given
        y: Any = self.given.y
        y = np.maximum(np.cumsum(self.present) - 1, 0)[y] if y.ndim == 1 else y[:, self.present]
        offset = None if self.given.offset is None else self.given.offset[:, self.present]
        return replace(self.given, y=y, offset=offset)

    def weighted(self, weight: Float) -> Problem:
        """The same rows with other weights (n,)."""
        return replace(self, given=replace(self.given, weight=weight))

    @property
    def n_classes(self) -> int:
        """Those that are present."""
        return int(self.present.sum())

    @property
    def one_row(self) -> bool:
        """Whether there are two classes: coef_ is (1, d) and the penalty is on that row."""
        return len(self.classes) == 2 and self.n_classes == 2

    @property
    def n_rows(self) -> int:
        """Of coef_."""
        return 1 if len(self.classes) == 2 else len(self.classes)

    @property
    def dtype(self) -> Any:
        """What coef_ is rounded to."""
        return np.float64 if self.given.X.dtype == np.float64 else np.float32

    @property
    def is_smooth(self) -> bool:
        """Whether the penalty is L2 alone and coefficients are free, so that F is an `Objective`."""
        return self.l1_ratio == 0 and self.bounds is None

    @property
    def _factors(self) -> Float | None:
        return None if self.class_factors is None else self.class_factors[self.present]

    @property
    def _bounds(self) -> tuple[Float, Float] | None:
        """Of the coefficients that are solved for."""
        if self.bounds is None or self.one_row or self.present.all():
            return self.bounds
        if self.n_rows == 1:  # the one class left has no coefficients
            return None
        return self.bounds[0][self.present], self.bounds[1][self.present]

    def threads(self) -> AbstractContextManager[None]:
        """BLAS as a solve wants it: out of the fused kernel's way."""
        return nullcontext() if linear.runs_tiled(self.batch, self.n_classes) else blas("one")

    def objective(self, C: float) -> Objective | Composite:
        """F at this C. Reads X once."""
        loss = MeanLoss(InMemory(self.batch), self.n_classes, fit_intercept=self.fit_intercept)
        # No penalty has no corners: the certificates of smooth F hold, and separation is told of.
        if not self.is_smooth and (self.bounds is not None or C < np.inf):
            return Composite(loss, self.penalty.scaled(self.weight_of_penalty(C)))
        return Objective(
            loss,
            self.weight_of_penalty(C),
            class_factors=self._factors,
            feature_factors=self.feature_factors,
        )

    def weight_of_penalty(self, C: float) -> float:
        """λ = 1/(C S). With two classes the L2 penalty is on w = W_1 − W_0, as coef_ is (1, d), and
        ‖W‖² = ‖w‖²/2."""
        return (2 if self.one_row and self.is_smooth else 1) / (C * self._total)

    @property
    def _total(self) -> float:
        weight = self.given.weight
        return float(self.given.shape[0] if weight is None else weight.sum())

    def at(self, C: float, other: Objective | Composite) -> Objective | Composite:
        """`other`, an objective of this problem, at this C, without reading X."""
        if isinstance(other, Composite):
            return replace(
                other, loss=other.loss.again(), penalty=self.penalty.scaled(self.weight_of_penalty(C))
            )
        return other.at_ridge(self.weight_of_penalty(C))

    @functools.cached_property
    def penalty(self) -> Penalty:
        """What is not smooth, at λ = 1. Of two classes the first is held at 0."""
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

    def coefficients(self, theta: Float, objective: Objective | Composite) -> tuple[Any, Any, Float]:
        """coef_, intercept_ and θ as they round it. W has no shift common to all classes (it changes no
        probability, only the penalty), nor has b."""
        W, b = objective.coefficients(objective.without_shift(theta))
        b = b - b.mean()
        if self.one_row:  # rounded once, as a difference: class factors make W_0 another number than −W_1
            W, b = W - W[0], b - b[0]
        W, b = W.astype(self.dtype), b.astype(self.dtype)
        if self._bounds is not None:
            W[-len(self._bounds[0]) :] = _within(W[-len(self._bounds[0]) :], *self._bounds)
        kept = objective.theta(W.astype(np.float64), b.astype(np.float64))
        # F with an L2 penalty is that of coefficients without a shift; others are kept as they are.
        rounded = kept if isinstance(objective, Composite) else objective.without_shift(kept)
        return (W[1:], b[1:], rounded) if self.one_row else (*self._of_all(W, b), rounded)

    def _of_all(self, W: Any, b: Any) -> tuple[Any, Any]:
        """coef_ and intercept_ of all classes. An absent class has a logit of −inf in every row, and then no
        use for coefficients: they are 0, or what is nearest to it within bounds."""
        if self.present.all():
            return W, b
        coef = self._unused.astype(W.dtype)
        coef = coef if self.bounds is None else _within(coef, *self.bounds)
        if self.n_rows == 1:
            return coef, np.where(self.present[1:], np.inf, -np.inf).astype(b.dtype)
        intercept = np.full(len(coef), -np.inf, b.dtype)
        coef[self.present], intercept[self.present] = W, b
        return coef, intercept

    @property
    def _unused(self) -> Float:
        """coef_ of absent classes, in its shape."""
        zero = np.zeros((self.n_rows, self.given.shape[1]))
        return zero if self.bounds is None else np.clip(zero, *self.bounds)

    def _price_of_unused(self, C: float) -> float:
        """What these add to F: nothing where bounds leave 0 in."""
        if self.bounds is None or self.present.all():
            return 0.0
        rows: Any = slice(None) if self.n_rows == 1 else ~self.present
        u = np.ones(len(self.classes)) if self.class_factors is None else self.class_factors
        v = 1.0 if self.feature_factors is None else self.feature_factors
        w = np.abs(self._unused[rows])
        each = v * ((1 - self.l1_ratio) * w**2 / 2 + self.l1_ratio * w)
        return self.weight_of_penalty(C) * float((u[~self.present] @ each).sum())

    def outcome(
        self, solution: Solution, objective: Objective | Composite, C: float, tol: float, names: Any = None
    ) -> Outcome:
        """What is kept of a solution at C, `names` being the features'."""
        coef, intercept, rounded = self.coefficients(solution.theta, objective)
        verdict = _separation(solution, objective)
        value = solution.value
        if self.dtype == np.float32:
            value = objective.evaluate(rounded).value
        gap = np.inf if solution.lower_bound is None else value - solution.lower_bound
        gap = max(0.0, gap) if np.isfinite(gap) else np.inf
        lost = rounding.of_loss(objective.loss, rounded)
        found = None if verdict is None else verdict.separation
        return Outcome(
            coef,
            intercept,
            value + self._price_of_unused(C),
            gap + lost,
            converged=bool(gap + lost <= tol),
            separation=None if found is None else self._told(found, names),
            reason=_why(solution, verdict, lost if gap <= tol else 0.0),
            n_iter=max(1, solution.n_iter),
            n_passes=objective.n_passes,
        )

    def _told(self, found: Separation, names: Any) -> dict[str, Any]:
        """How classes separate, in terms of all of them."""
        told = found.as_dict(self.classes[self.present], names)
        direction = np.zeros((len(self.classes), self.given.shape[1]))
        direction[self.present] = told["direction"]
        pairs = told["pairs"].copy()
        pairs[:, :2] = np.flatnonzero(self.present)[pairs[:, :2]]
        return told | {"direction": direction, "pairs": pairs}


@dataclass(frozen=True)
class Outcome:
    """A fit as it is kept: coefficients rounded to `Problem.dtype`, F and its certificate at those (nats),
    how classes separate, if they do, why it ended, and what it cost."""

    coef: Any
    intercept: NDArray[Any]
    value: float
    suboptimality: float
    converged: bool
    separation: dict[str, Any] | None
    reason: str
    n_iter: int
    n_passes: int

    @property
    def is_fine(self) -> bool:
        return self.converged and self.separation is None

    @property
    def line(self) -> str:
        """For who asked to be told of every fit."""
        return (
            f"objective {self.value:.10f}  within {self.suboptimality:.1e} nats of the optimum after "
            f"{self.n_passes} passes"
        )

    def complaint(self, tol: float) -> str:
        """How near, and what is in the way."""
        near, reason = f"within {self.suboptimality:.1e} nats of the", self.reason
        if self.separation is not None:
            reason = (
                f"{self.separation['description']}; with a finite C and no penalty factor of 0 there is one"
            )
        if self.converged:
            return f"{near} infimum, which is no minimum: {reason}"
        return f"{near} optimum, tol={tol:g} asked for: {reason}"


def _within(W: NDArray[Any], lower: Float, upper: Float) -> NDArray[Any]:
    """Where rounding to float32 has left the bounds, the next number inside."""
    W = np.where(W < lower, np.nextafter(W, W.dtype.type(np.inf)), W)
    return np.where(W > upper, np.nextafter(W, W.dtype.type(-np.inf)), W)


def read_problem(
    owner: Any, asked: Any, X: Any, y: Any, sample_weight: Any, offset: Any, l1_ratio: float
) -> tuple[Problem, Any]:
    """The problem that parameters and data pose, and y as scikit-learn's checks leave it.

    `asked` has the parameters of the estimator `owner`, checked, as attributes. Sets the estimator's
    n_features_in_ and feature_names_in_. Raises ValueError for what no fit can take.
    """
    if is_soft(y):
        X = locate(X, lambda: validate_data(owner, X, accept_large_sparse=True, **TAKES))
        y, columns = rows_of(y)
        targets = soft_targets(X, y, columns, asked.class_weight, sample_weight)
    else:
        X, y = locate(X, lambda: validate_data(owner, X, y, accept_large_sparse=True, **TAKES), y)
        targets = label_targets(X, y, asked.class_weight, sample_weight)
    (n, d), K = X.shape, len(targets.classes)
    plain = l1_ratio == 0 and asked.bounds is None
    if K == 2 and not plain and asked.class_penalty_factor is not None:
        raise ValueError(
            "class_penalty_factor: two classes share one row of coefficients and, with l1_ratio or bounds, "
            "one penalty on it; use C or feature_penalty_factor"
        )
    if not plain and asked.solver != "auto":
        raise ValueError(
            f"Solver {asked.solver} supports neither l1_ratio > 0 nor bounds; leave solver at 'auto'"
        )
    o = offset_of(offset, n, targets.classes)
    names = getattr(owner, "feature_names_in_", None)
    problem = Problem(
        linear.Batch(X, targets.y, targets.weight, asked.label_smoothing, offset=o),
        targets.classes,
        fit_intercept=bool(asked.fit_intercept),
        class_factors=class_factors_of(asked.class_penalty_factor, targets.classes),
        feature_factors=factors_of("feature_penalty_factor", asked.feature_penalty_factor, d),
        l1_ratio=float(l1_ratio),
        grouped=bool(asked.grouped),
        bounds=bounds_of(asked.bounds, targets.classes, d, names),
    )
    return problem, y


def _separation(solution: Solution, objective: Objective | Composite) -> Verdict | None:
    """Whether classes separate: asked where nothing is penalised and nothing but F ≥ 0 is proven."""
    if isinstance(objective, Composite):
        return None
    smooth = objective.loss.source.label_smoothing > 0  # every class is then a label
    if objective.penalties.any() or smooth or solution.lower_bound != 0 or objective.n_classes == 1:
        return None
    if solution.result in (Result.INTERRUPTED, Result.MAX_TIME, Result.STOPPED):
        return None
    verdict = find_separation(
        objective.loss.source,
        objective.n_classes,
        objective.loss.centre,
        objective.fit_intercept,
        theta=solution.theta,
        null=objective.loss.null_directions(np.ones(objective.n_features, bool)),
    )
    objective.n_passes += verdict.n_passes
    return verdict


def _why(solution: Solution, verdict: Verdict | None, lost: float) -> str:
    if lost:
        return (
            f"coefficients are so large that rounding leaves the objective uncertain by {lost:.0e} nats; "
            "leave out features that are nearly constant or nearly a sum of others, centre large ones, or "
            "try a smaller C"
        )
    if solution.result is Result.CERTIFIED:
        return "rounding the coefficients to float32 cost the rest; fit on float64"
    if verdict is not None and verdict.status is Status.OVERLAPPING:
        return "the classes overlap, so there is an optimum, but no certificate; try a finite C"
    return solution.result.value
