"""A solution, rounded, with its certificate, and in words what kept it from the optimum."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from .._types import Array, Float, Matrix
from ..inference.separation import Separation, Status, Verdict, find_separation
from ..objective import certificate, rounding
from ..objective.composite import Composite
from ..objective.ridge import Objective
from ..solvers import Result, Solution
from .problem import Problem


@dataclass(frozen=True)
class Outcome:
    """The result of a fit.

    coef and intercept are rounded to `Problem.dtype`; `value` is F there and `suboptimality` a bound on
    F − F*, in nats. `separation` says how classes separate, if they do, `reason` why the fit ended, `settled`
    that it did as the optimum was estimated to be near, where no proof was asked for.
    """

    coef: Matrix
    intercept: Array
    value: float
    suboptimality: float
    converged: bool
    separation: dict[str, Any] | None
    reason: str
    n_iter: int
    n_passes: int
    settled: bool = False

    @property
    def is_fine(self) -> bool:
        """Whether the fit converged, or settled, and F has a minimum."""
        return (self.converged or self.settled) and self.separation is None

    @property
    def line(self) -> str:
        """One line, for verbose output."""
        return (
            f"objective {self.value:.10f}  within {self.suboptimality:.1e} nats of the optimum after "
            f"{self.n_passes} passes"
        )

    def complaint(self, tol: float) -> str:
        """For a warning: how near to the optimum the fit ended, and what kept it from there."""
        near, reason = f"within {self.suboptimality:.1e} nats of the", self.reason
        if self.separation is not None:
            reason = (
                f"{self.separation['description']}; with a finite C and no penalty factor of 0 there is one"
            )
        if self.converged:
            return f"{near} infimum, which is no minimum: {reason}"
        return f"{near} optimum, tol={tol:g} asked for: {reason}"


Stored: TypeAlias = tuple[Array, Array, Float]  # coef_, intercept_ and their θ: `Problem.coefficients`


def outcome_of(
    problem: Problem,
    solution: Solution,
    objective: Objective | Composite,
    C: float,
    tol: float,
    stored: Stored | None = None,
) -> Outcome:
    """The outcome of a solution of the problem at C. `stored`: the coefficients of the solution, where it is
    one that is rounded already."""
    coef, intercept, rounded = stored or problem.coefficients(solution.theta, objective)
    verdict = _separation(solution, objective)
    value = solution.value
    if problem.dtype == np.float32 and stored is None:
        value = objective.evaluate(rounded).value
    gap = certificate.gap(value, solution.lower_bound)
    lost = rounding.of_loss(objective.loss, rounded)
    separation = None if verdict is None else verdict.separation
    return Outcome(
        coef,
        intercept,
        value + problem.price_of_unused(C),
        gap + lost,
        converged=bool(gap + lost <= tol),
        separation=None if separation is None else _described(problem, separation),
        reason=_why(solution, verdict, lost if gap <= tol else 0.0),
        n_iter=max(1, solution.n_iter),
        n_passes=objective.n_passes,
        settled=solution.result is Result.SETTLED,
    )


def _described(problem: Problem, separation: Separation) -> dict[str, Any]:
    """`separation_` of an estimator: how classes separate, in terms of all classes."""
    names = None if problem.names is None else problem.names.tolist()
    fields = separation.as_dict(problem.classes[problem.present], names)
    direction = np.zeros((len(problem.classes), problem.data.shape[1]))
    direction[problem.present] = fields["direction"]
    pairs = fields["pairs"].copy()
    pairs[:, :2] = np.flatnonzero(problem.present)[pairs[:, :2]]
    return fields | {"direction": direction, "pairs": pairs}


def _separation(solution: Solution, objective: Objective | Composite) -> Verdict | None:
    """Whether classes separate; None where something is penalised or more than F ≥ 0 is proven."""
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
    """Why a fit is not certified; `lost` (nats) is what rounding leaves uncertain, 0 if it is little."""
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
    reason: str = solution.result.value
    return reason
