"""Fits of one problem at many C: the grid of these, each fit started from the last, one warning for all."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.exceptions import ConvergenceWarning

from .. import solvers
from .._types import Array, Float
from ..objective.composite import Composite
from ..objective.ridge import Objective
from ..solvers import Settings, Solution
from .outcome import Outcome, Stored, outcome_of
from .problem import Problem


def grid(problem: Problem, Cs: ArrayLike) -> Float:
    """The values of C (m,) that `Cs`, values or their number, stands for."""
    if np.iterable(Cs):
        values = np.array(Cs, np.float64)
        if problem.l1_ratio > 0 and np.isinf(values).any():
            raise ValueError("Cs: inf is no penalty, which l1_ratio > 0 cannot have; leave it out")
        return values
    many = int(np.asarray(Cs))
    if problem.l1_ratio == 0:
        return np.logspace(-4, 4, many)
    n, d = problem.batch.shape
    with problem.threads():
        first = first_c(problem)
    first = first if np.isfinite(first) else 1.0  # nothing enters at any C
    return first * np.logspace(0, 4 if n >= d else 2, many)


def first_c(problem: Problem) -> float:
    """The largest C at which every coefficient with an L1 penalty is 0; +inf if that is so at every C."""
    composite = problem.objective(1.0)
    assert isinstance(composite, Composite)  # by l1_ratio > 0
    penalty = composite.penalty
    lower, upper = (np.where(penalty.l1 > 0, 0.0, side) for side in (penalty.lower, penalty.upper))
    null = replace(composite, penalty=replace(penalty, lower=lower, upper=upper, grouped=False))
    at = solvers.choose("auto", null, Settings(tol=1e-12)).solve(null).at
    scale: float = penalty.least_scale(at.loss_gradient)
    return scale


class Line:
    """One problem's fits at ascending C, each started from the last.

    An objective's `n_passes` counts the readings of X for its C alone.
    """

    def __init__(self, problem: Problem, settings: Settings) -> None:
        self.problem, self.settings = problem, settings
        self._objective: Objective | Composite | None = None
        self._is_new = True  # the objective, which nothing was fitted to
        self._stored: Stored | None = None
        self._state: Any = None

    def is_long(self, C: float) -> bool:
        """Whether fits from C on are so long that a start beside others pays."""
        if self._objective is None:
            with self.problem.threads():
                self._objective = self.problem.objective(C)
        return isinstance(self._objective, Objective) and solvers.Sweep.is_long(self._objective)

    def fit(
        self, C: float, beside: Sequence[Solution] = (), start: tuple[Array, Array] | None = None
    ) -> tuple[Outcome, Solution]:
        """The outcome at C, and its solution.

        `beside`: solutions at this C for rows that are much like these; `start`: W (K, d) and b (K,).
        """
        last = self._objective
        if last is None:
            objective = self.problem.objective(C)
        else:
            objective = last if self._is_new else self.problem.at(C, last)
        self._objective, self._is_new = objective, False
        settings = replace(self.settings, rounded=self._store)
        solver: Any = solvers.choose("auto", objective, settings, sweep=True)
        if isinstance(solver, solvers.Sweep) and beside and beside[-1].theta.shape == objective.shape:
            self._state = (self._state or solvers.SweepState()).beside(beside)
        theta = None if start is None else objective.theta(*start)
        solution: Solution = solver.solve(objective, theta, warm=self._state)
        self._state = solution.state
        stored = self._stored if self._stored and self._stored[2] is solution.theta else None
        return outcome_of(self.problem, solution, objective, C, self.settings.tol, stored), solution

    def _store(self, theta: Float) -> Float:
        """The θ of the coefficients that are stored for θ."""
        assert self._objective is not None
        self._stored = self.problem.coefficients(theta, self._objective)
        return self._stored[2]


def outcomes(problem: Problem, Cs: Sequence[float] | Float, settings: Settings) -> Iterator[Outcome]:
    """The outcome at each of the ascending Cs."""
    line = Line(problem, settings)
    with problem.threads():
        for C in Cs:
            yield line.fit(C)[0]


def complain(caller: str, fits: list[tuple[str, Outcome]], tol: float, stacklevel: int = 4) -> None:
    """One warning for all fits that fell short. `fits`: pairs (label, outcome)."""
    short = [(label, outcome) for label, outcome in fits if not outcome.is_fine]
    if not short:
        return
    label, worst = max(short, key=lambda pair: (not pair[1].converged, pair[1].suboptimality))
    # A solver's advice for a single fit: a sweep has no warm_start.
    complaint = worst.complaint(tol).replace(", or fit again with warm_start=True", "")
    others = ", ".join(name for name, _ in short[:8]) + (", …" if len(short) > 8 else "")
    warnings.warn(
        f"{caller}: {len(short)} of {len(fits)} fits did not reach an optimum ({others}). The worst, "
        f"{label}: {complaint}.",
        ConvergenceWarning,
        stacklevel=stacklevel,
    )
