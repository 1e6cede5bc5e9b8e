"""What `fit` is given, checked and made into what a solver takes, and what a solver finds made into coef_."""

from __future__ import annotations

import functools
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from numbers import Integral, Real
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from sklearn.utils.validation import validate_data

from . import linear, solvers
from ._targets import (
    Targets,
    bounds_of,
    class_factors_of,
    factors_of,
    is_soft,
    label_targets,
    offset_of,
    soft_targets,
)
from ._threads import blas
from .composite import Composite
from .objective import Objective
from .penalty import Penalty
from .separation import Status, Verdict, find_separation
from .solvers import Result, Solution

Float = NDArray[np.float64]

TAKES: dict[str, Any] = {"accept_sparse": "csr", "dtype": [np.float64, np.float32, np.float16]}


@dataclass(frozen=True)
class Problem:
    """Data and penalty; only C is open.

    `one_row`: there are two classes, coef_ is (1, d) and the penalty is on that row.
    """

    batch: linear.Batch
    targets: Targets
    one_row: bool
    fit_intercept: bool = True
    class_factors: Float | None = None
    feature_factors: Float | None = None
    l1_ratio: float = 0.0
    grouped: bool = False
    bounds: tuple[Float, Float] | None = None

    @property
    def n_classes(self) -> int:
        return len(self.targets.classes)

    @property
    def dtype(self) -> Any:
        """What coef_ is rounded to."""
        return np.float64 if self.batch.X.dtype == np.float64 else np.float32

    @property
    def is_smooth(self) -> bool:
        """Whether the penalty is L2 alone and coefficients are free, so that F is an `Objective`."""
        return self.l1_ratio == 0 and self.bounds is None

    def threads(self) -> AbstractContextManager[None]:
        """BLAS as a solve wants it: out of the fused kernel's way."""
        return nullcontext() if linear.runs_tiled(self.batch, self.n_classes) else blas("one")

    def objective(self, C: float) -> Objective | Composite:
        """F at this C. Reads X once."""
        # No penalty has no corners: the certificates of smooth F hold, and separation is told of.
        if not self.is_smooth and (self.bounds is not None or C < np.inf):
            smooth = Objective((self.batch,), self.n_classes, 0.0, fit_intercept=self.fit_intercept)
            return Composite(smooth, self.penalty.scaled(self.weight_of_penalty(C)))
        return Objective(
            (self.batch,),
            self.n_classes,
            self.weight_of_penalty(C),
            fit_intercept=self.fit_intercept,
            class_factors=self.class_factors,
            feature_factors=self.feature_factors,
        )

    def weight_of_penalty(self, C: float) -> float:
        """λ = 1/(C S). With two classes the L2 penalty is on w = W_1 − W_0, as coef_ is (1, d), and
        ‖W‖² = ‖w‖²/2."""
        return (2 if self.one_row and self.is_smooth else 1) / (C * self.targets.total)

    def at(self, C: float, other: Objective | Composite) -> Objective | Composite:
        """`other`, an objective of this problem, at this C, without reading X."""
        if isinstance(other, Composite):
            other.smooth.n_passes = 0
            return replace(other, penalty=self.penalty.scaled(self.weight_of_penalty(C)))
        return other.at_penalty(self.weight_of_penalty(C))

    @functools.cached_property
    def penalty(self) -> Penalty:
        """What is not smooth, at λ = 1. Of two classes the first is held at 0."""
        K, d = self.n_classes, self.batch.shape[1]
        intercept = [0.0] if self.fit_intercept else []
        v = np.ones(d) if self.feature_factors is None else self.feature_factors
        row = np.append(v, intercept)
        factors = np.broadcast_to(row, (K, len(row)))
        if self.class_factors is not None:
            factors = np.outer(self.class_factors, row)
        bounds = None
        if self.bounds is not None or self.one_row:
            lower, upper = self.bounds or (np.full((1, d), -np.inf), np.full((1, d), np.inf))
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
        if self.bounds is not None:
            W[-len(self.bounds[0]) :] = _within(W[-len(self.bounds[0]) :], *self.bounds)
        kept = objective.theta(W.astype(np.float64), b.astype(np.float64))
        # F with an L2 penalty is that of coefficients without a shift; others are kept as they are.
        rounded = kept if isinstance(objective, Composite) else objective.without_shift(kept)
        return (W[1:], b[1:], rounded) if self.one_row else (W, b, rounded)

    def outcome(
        self, solution: Solution, objective: Objective | Composite, tol: float, names: Any = None
    ) -> Outcome:
        """What is kept of a solution, `names` being the features'."""
        coef, intercept, rounded = self.coefficients(solution.theta, objective)
        verdict = _separation(solution, objective)
        value = solution.value
        if self.dtype == np.float32:
            value = objective.evaluate(rounded).value
        gap = value - solution.lower_bound
        gap = max(0.0, gap) if np.isfinite(gap) else np.inf
        found = None if verdict is None else verdict.separation
        return Outcome(
            coef,
            intercept,
            value,
            gap,
            converged=bool(gap <= tol),
            separation=None if found is None else found.as_dict(self.targets.classes, names),
            reason=_why(solution, verdict),
            n_iter=max(1, solution.n_iter),
            n_passes=objective.n_passes,
        )


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
    owner: Any, X: Any, y: Any, sample_weight: Any, offset: Any, l1_ratio: float
) -> tuple[Problem, Any]:
    """The problem that an estimator's parameters and data pose, and y as scikit-learn's checks leave it.

    Sets the estimator's n_features_in_ and feature_names_in_. Raises ValueError for what no fit can take.
    """
    if is_soft(y):
        X = locate(X, lambda: validate_data(owner, X, accept_large_sparse=True, **TAKES))
        targets = soft_targets(X, y, owner.class_weight, sample_weight)
    else:
        X, y = locate(X, lambda: validate_data(owner, X, y, accept_large_sparse=True, **TAKES))
        targets = label_targets(X, y, owner.class_weight, sample_weight)
    (n, d), K = X.shape, len(targets.classes)
    plain = l1_ratio == 0 and owner.bounds is None
    if K == 2 and not plain and owner.class_penalty_factor is not None:
        raise ValueError(
            "class_penalty_factor: two classes share one row of coefficients and, with l1_ratio or bounds, "
            "one penalty on it; use C or feature_penalty_factor"
        )
    if not plain and getattr(owner, "solver", "auto") != "auto":
        raise ValueError(
            f"Solver {owner.solver} supports neither l1_ratio > 0 nor bounds; leave solver at 'auto'"
        )
    o = offset_of(offset, n, K)
    names = getattr(owner, "feature_names_in_", None)
    problem = Problem(
        linear.Batch(X, targets.y, targets.weight, owner.label_smoothing, offset=o),
        targets,
        one_row=K == 2,
        fit_intercept=owner.fit_intercept,
        class_factors=class_factors_of(owner.class_penalty_factor, targets.classes),
        feature_factors=factors_of("feature_penalty_factor", owner.feature_penalty_factor, d),
        l1_ratio=float(l1_ratio),
        grouped=bool(owner.grouped),
        bounds=bounds_of(owner.bounds, targets.classes, d, names),
    )
    return problem, y


def locate(X: Any, validate: Callable[[], Any]) -> Any:
    """scikit-learn's validation, with the place of the first NaN or infinity added to its message."""
    try:
        return validate()
    except ValueError as error:
        what, _, rest = str(error).partition("\n")
        if not what.startswith("Input X contains") or sparse.issparse(X):
            raise
        bad = ~np.isfinite(np.asarray(X, dtype=np.float64))
        row, column = np.argwhere(bad)[0] if bad.any() else (0, 0)
        name = getattr(X, "columns", range(bad.shape[1]))[column]
        raise ValueError(f"{what} First in row {row}, column {name!r}.\n{rest}".strip()) from error


def check_parameters(who: str, given: dict[str, Any]) -> None:
    """Raise ValueError, in scikit-learn's words, for the first of the parameters that is not what it must be.

    Before the data are looked at: what depends on their shape is checked in `read_problem`.
    """
    for name, (is_good, expected) in _RULES.items():
        if name in given and not is_good(given[name]):
            raise ValueError(
                f"The {name!r} parameter of {who} must be {expected}. Got {given[name]!r} instead."
            )
    if given["grouped"] and given["bounds"] is not None:
        raise ValueError(
            f"The 'grouped' parameter of {who} must be False where 'bounds' are given: the step of a group "
            "norm within bounds has no closed form"
        )
    if given["grouped"] and given["class_penalty_factor"] is not None:
        raise ValueError(
            f"The 'grouped' parameter of {who} must be False where 'class_penalty_factor' is given: the norm "
            "of a group runs over all classes, which share its factor; feature_penalty_factor weighs groups"
        )


def _is_real(value: Any) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool | np.bool_)


def _is_pair(value: Any) -> bool:
    return isinstance(value, tuple | list) and len(value) == 2


def _are_cs(value: Any) -> bool:
    if isinstance(value, Integral):
        return not isinstance(value, bool) and int(value) >= 1
    return _are_numbers(value) and bool((np.asarray(value) > 0).all())


def _are_ratios(value: Any) -> bool:
    return _are_numbers(value) and bool(((np.asarray(value) >= 0) & (np.asarray(value) <= 1)).all())


def _are_numbers(value: Any) -> bool:
    if isinstance(value, str | dict) or not np.iterable(value):
        return False
    a = np.asarray(value)
    return a.ndim == 1 and a.size > 0 and a.dtype.kind in "fiu"


_RULES: dict[str, tuple[Callable[[Any], bool], str]] = {
    "C": (lambda v: _is_real(v) and v > 0, "a float in the range (0.0, inf]"),
    "Cs": (_are_cs, "an int in the range [1, inf) or an array of floats in the range (0.0, inf]"),
    "l1_ratios": (_are_ratios, "an array of floats in the range [0.0, 1.0]"),
    "refit": (lambda v: isinstance(v, bool | np.bool_), "an instance of 'bool'"),
    "l1_ratio": (lambda v: _is_real(v) and 0 <= v <= 1, "a float in the range [0.0, 1.0]"),
    "grouped": (lambda v: isinstance(v, bool | np.bool_), "an instance of 'bool'"),
    "bounds": (lambda v: v is None or _is_pair(v), "a pair (lower, upper) or None"),
    "tol": (lambda v: _is_real(v) and 0 < v < np.inf, "a float in the range (0.0, inf)"),
    "label_smoothing": (lambda v: _is_real(v) and 0 <= v < 1, "a float in the range [0.0, 1.0)"),
    "max_time": (lambda v: v is None or (_is_real(v) and v > 0), "a float in the range (0.0, inf] or None"),
    "max_iter": (
        lambda v: isinstance(v, Integral) and _is_real(v) and int(v) >= 1,
        "an int in the range [1, inf)",
    ),
    "solver": (lambda v: v in ("auto", *solvers.SOLVERS), "a str among {'auto', 'lbfgs', 'newton'}"),
    "class_weight": (
        lambda v: v is None or isinstance(v, dict) or (isinstance(v, str) and v == "balanced"),
        "an instance of 'dict', a str among {'balanced'} or None",
    ),
}


def _separation(solution: Solution, objective: Objective | Composite) -> Verdict | None:
    """Whether classes separate: asked where nothing is penalised and nothing but F ≥ 0 is proven."""
    if isinstance(objective, Composite):
        return None
    smooth = any(batch.label_smoothing for batch in objective.batches)  # every class is then a label
    if objective.penalties.any() or smooth or solution.lower_bound > 0:
        return None
    if solution.result in (Result.INTERRUPTED, Result.MAX_TIME, Result.STOPPED):
        return None
    verdict = find_separation(
        objective.batches,
        objective.n_classes,
        objective.centre,
        objective.fit_intercept,
        theta=solution.theta,
        null=objective.null_directions(np.ones(objective.n_features, bool)),
    )
    objective.n_passes += verdict.n_passes
    return verdict


def _why(solution: Solution, verdict: Verdict | None) -> str:
    if solution.result is Result.CERTIFIED:
        return "rounding the coefficients to float32 cost the rest; fit on float64"
    if verdict is not None and verdict.status is Status.OVERLAPPING:
        return "the classes overlap, so there is an optimum, but no certificate; try a finite C"
    return solution.result.value
