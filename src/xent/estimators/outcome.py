"""A fit as it is kept: what a solver found, rounded, with its certificate, and in words what stands in the
way."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..inference.separation import Separation, Status, Verdict, find_separation
from ..objective import certificate, rounding
from ..objective.composite import Composite
from ..objective.ridge import Objective
from ..solvers import Result, Solution
from .problem import Problem


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
        """One line, for verbose output."""
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


def outcome_of(
    problem: Problem, solution: Solution, objective: Objective | Composite, C: float, tol: float
) -> Outcome:
    """What is kept of a solution of the problem at C."""
    coef, intercept, rounded = problem.coefficients(solution.theta, objective)
    verdict = _separation(solution, objective)
    value = solution.value
    if problem.dtype == np.float32:
        value = objective.evaluate(rounded).value
    gap = certificate.gap(value, solution.lower_bound)
    lost = rounding.of_loss(objective.loss, rounded)
    found = None if verdict is None else verdict.separation
    return Outcome(
        coef,
        intercept,
        value + problem.price_of_unused(C),
        gap + lost,
        converged=bool(gap + lost <= tol),
        separation=None if found is None else _told(problem, found),
        reason=_why(solution, verdict, lost if gap <= tol else 0.0),
        n_iter=max(1, solution.n_iter),
        n_passes=objective.n_passes,
    )


def _told(problem: Problem, found: Separation) -> dict[str, Any]:
    """How classes separate, in terms of all of them."""
    told = found.as_dict(problem.classes[problem.present], problem.names)
    direction = np.zeros((len(problem.classes), problem.given.shape[1]))
    direction[problem.present] = told["direction"]
    pairs = told["pairs"].copy()
    pairs[:, :2] = np.flatnonzero(problem.present)[pairs[:, :2]]
    return told | {"direction": direction, "pairs": pairs}


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
