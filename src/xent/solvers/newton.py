"""Newton's method with the exact Hessian, for K·D small enough to factor it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from .._types import Float
from ..objective.ridge import MAX_HESSIAN, Objective
from .base import Run, Settings, SmoothRun, Solution
from .line_search import weak_wolfe


@dataclass(frozen=True)
class Newton:
    """Settings of the solver; `solve` runs it.

    Each iteration assembles and factors the Hessian, halves the step until F falls, and asks for the
    self-concordant certificate once ν²/2 is within tol. The certificate holds for the point where it
    was made; the step already in hand is taken all the same, and squares the distance.
    """

    settings: Settings
    name: ClassVar[str] = "newton"

    def solve(self, objective: Objective, theta: Float | None = None, warm: None = None) -> Solution:
        """Minimise from `theta` (K, D), None for `objective.start()`. A solve leaves no state. Raises
        ValueError if the Hessian would not fit."""
        if not objective.has_hessian:
            K, D = objective.shape
            raise ValueError(
                f"solver='newton' factors a Hessian of {K}·{D} = {K * D} coefficients, more than "
                f"{MAX_HESSIAN}; use solver='lbfgs' or solver='auto'"
            )
        run: SmoothRun = Run.begin(objective, self.settings, objective.start() if theta is None else theta)
        # W = 0 tells nothing of the rows, however near F is: a strong penalty's model is its direction.
        if run.certified and theta is not None:
            return run.finish()
        return self.go_on(run)

    def go_on(self, run: SmoothRun) -> Solution:
        """Continue a run to its end."""
        for iteration in range(run.n_iter + 1, self.settings.max_iter + 1):
            step = run.ask_hessian()
            new = weak_wolfe(run, step.direction, curvature=False)
            if new is not None:
                run.at = new
            run.record(iteration)
            run.stuck = new is None
            if run.ended:
                break
        return run.finish()
