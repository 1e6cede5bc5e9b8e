"""Proximal Newton-like steps, for penalties with corners (L1, elastic net, groups) and for bounds.

Design
 a. A step goes to the minimum of the quadratic model (`quadratic.Quadratic`) plus the penalty, found by
    coordinate descent: coefficients come out exactly 0. Source: J. Lee, Y. Sun, M. Saunders, SIAM J. Optim.
    24 (2014).
 b. The blocks are taken anew at steps 0, 2, 4, 8, … and when coordinates want to move that they do not hold;
    an exact block that is cheap is taken at every step, except the one that is expected to certify without.
 c. float32 X is passed over in float32 until the certificate would hold or rounding is in the way.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import ClassVar, TypeAlias

import numpy as np

from .._types import Float
from ..objective.composite import Composite, Point
from .base import Result, Run, Settings, Solution
from .quadratic import Quadratic

ProximalRun: TypeAlias = Run[Composite, Point]

_TRIALS = 30
_STALE = 16  # steps after which blocks from another penalty are taken anew
_DECREASE = 1e-4
_SURE = 0.01  # times tol: it certifies no sooner, as the dual bound leaves coefficients about as good
_NEAR = 1.0  # times √tol: a step that lowers F by no more ends where F's curvature may certify


@dataclass(frozen=True)
class State:
    """The model of the loss, and where the last solve ended; no point on its way to infinity."""

    model: Quadratic
    at: Point | None = None


@dataclass(frozen=True)
class Proximal:
    """Settings of the solver; `solve` runs it, and hands over its model of the loss for the next penalty."""

    settings: Settings
    name: ClassVar[str] = "proximal"

    def solve(self, composite: Composite, theta: Float | None = None, warm: State | None = None) -> Solution:
        """Minimise from θ (K, D), from where the last solve ended, or from the model without features."""
        run = begin(composite, self.settings, theta, None if warm is None else warm.at)
        model = Quadratic(composite) if warm is None else warm.model.of(composite)
        solution = self._descend(run, model)
        return replace(solution, state=State(model, end_of(solution)))

    def _descend(self, run: ProximalRun, model: Quadratic) -> Solution:
        """From `run.at` to the certificate."""
        if not run.exact and run.gap <= self.settings.tol:
            run.go_exact()
        due = 0 if model.steps > _STALE else _STALE
        for iteration in range(1, self.settings.max_iter + 1):
            if run.ended:
                break
            served = model.has_served and not _one_more_does(run)
            if iteration > due or served or not model.covers(run.at):
                model.refresh(run.at)
                due = max(2 * iteration, 2) if iteration > due else due
            new = self._step(run, model)
            if new is None and not run.exact:
                run.go_exact()
                continue
            if (
                new is None and model.alone
            ):  # far from the optimum nothing may curve here; on the way here it did
                model.alone = False
                new = self._step(run, model)
            if new is None and model.is_stale:  # take the blocks anew, once
                model.forget()
                model.refresh(run.at)
                new = self._step(run, model)
            if new is None:
                run.stuck = True
                break
            model.add(new.theta - run.at.theta, new.loss_gradient - run.at.loss_gradient)
            if run.exact and run.at.value - new.value <= _NEAR * math.sqrt(self.settings.tol):
                bound = model.proves(new)
                if new.value - bound <= _SURE * self.settings.tol:
                    run.raise_bound(bound)
            run.at = new
            if not run.exact and run.at.gap <= self.settings.tol:
                run.go_exact()
            run.record(iteration)
        return run.finish()

    @staticmethod
    def _step(run: ProximalRun, model: Quadratic) -> Point | None:
        """A step to the model's minimum, or as far on the way as F falls; None if no step lowers F."""
        at, penalty = run.at, run.objective.penalty
        towards = model.minimiser(at)
        step = towards - at.theta
        with np.errstate(over="ignore", invalid="ignore"):  # pairs of rounding may bend the model down
            falls = float(np.vdot(at.loss_gradient, step)) + penalty.change(at.theta, towards)
        if not falls < 0:
            return None
        # A sum over n rows, added in blocks of 64, wanders by about √(n/64) roundings; such a fall is unseen.
        eps = float(np.finfo(np.float64 if run.exact else np.float32).eps)
        noise = (8 + 0.5 * math.sqrt(run.objective.n_rows / 64)) * eps * abs(at.value)
        if not run.exact and -falls < noise:  # float32 would not show it
            return None
        unseen = noise if -falls < 100 * noise else 0.0
        # Where p is 0 or 1 next to nothing curves, and the model's minimum is next to infinity.
        length = min(1.0, 1e3 * (1 + float(np.abs(at.theta).max())) / float(np.abs(step).max()))
        for _ in range(_TRIALS):
            new = run.evaluate(towards if length == 1 else at.theta + length * step)
            if new.value <= at.value + max(_DECREASE * length * falls, unseen):
                return new
            if -length * falls < 0.01 * noise:
                break
            length *= 0.5
        return None


def _one_more_does(run: ProximalRun) -> bool:
    """Whether the next step is expected to certify with the last step's Hessian, which errs by about twice
    what Newton's step has left of the gap."""
    if len(run.history) < 3:
        return False
    before, now = (entry.suboptimality for entry in run.history[-2:])
    return 2 * now**2 <= run.settings.tol * before


def begin(composite: Composite, settings: Settings, theta: Float | None, last: Point | None) -> ProximalRun:
    """A run from θ, or, if that is None, from where the last solve ended, where the loss is computed
    already."""
    if theta is None and last is not None:
        return Run.resume(composite, settings, composite.at(last.loss))
    theta = composite.start() if theta is None else composite.penalty.clip(theta)
    return Run.begin(composite, settings, theta, exact=not composite.is_narrow)


def end_of(solution: Solution) -> Point | None:
    """Where a solve ended; None if unpenalised coefficients were on their way to infinity."""
    at: Point = solution.at
    return None if solution.result is Result.UNPENALISED else at
