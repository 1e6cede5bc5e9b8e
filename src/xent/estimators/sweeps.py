"""Fits of one problem at many C: the grid of these, each fit started from the last, one warning for all."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike
from sklearn.exceptions import ConvergenceWarning

from .. import solvers
from .._types import Float
from ..objective.composite import Composite
from ..objective.ridge import Objective
from ..solvers import Settings, Solution
from .outcome import Outcome, outcome_of
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


def sweep(
    problem: Problem, Cs: Sequence[float] | Float, settings: Settings
) -> Iterator[tuple[Objective | Composite, Solution]]:
    """The objective and its solution at each of the ascending Cs, every solve started from the last.

    An objective's `n_passes` counts the readings of X for that C alone.
    """
    objective, state = problem.objective(Cs[0]), None
    solver = solvers.choose("auto", objective, settings, sweep=True)
    for i, C in enumerate(Cs):
        objective = problem.at(C, objective) if i else objective
        solution = solver.solve(objective, warm=state)
        state = solution.state
        yield objective, solution


def outcomes(problem: Problem, Cs: Sequence[float] | Float, settings: Settings) -> Iterator[Outcome]:
    """The outcome of each solution of `sweep`."""
    with problem.threads():
        for C, (objective, solution) in zip(Cs, sweep(problem, Cs, settings), strict=True):
            yield outcome_of(problem, solution, objective, C, settings.tol)


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
