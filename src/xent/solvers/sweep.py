"""Fits at many penalties, one after the other, for the price of a few.

Design
 a. A fit starts where the fits before point to: θ as a polynomial in log λ through the last three optima, of
    the order that would have foretold the last one best. On a probe (20000×384, K = 100, 45 values of C from
    1e-6 to 1e5) the start is 1e-3 to 1e-10 nats from the optimum, where the last optimum is 1e-1 to 1e-5.
 b. What L-BFGS has learnt goes along: metric and pairs, whose change with λ is known exactly.
 c. Small tables take Newton's steps with Hessians that serve again: `chord`.
 d. What is left is mostly the dual certificate's: it proves 1e-6 where the true gap is 1e-11, because λ is
    small against the curvature. Measured and rejected, see docs/design/0005: Newton steps by conjugate
    gradients, longer memories, secant line searches, a last step to the smallest gradient that the pairs
    foretell.
 e. Rows that are much the same, as a cross-validation's folds are, go from λ to λ together (`State.beside`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar

import numpy as np

from .._types import Float
from ..objective.ridge import Objective
from . import short
from .base import Result, Settings, Solution, newton_pays
from .chord import Chord, Held
from .lbfgs import LBFGS
from .lbfgs import State as Learnt
from .newton import Newton

_ORDER = 2
_NO_OPTIMUM = (Result.STALLED, Result.UNPENALISED, Result.UNCERTIFIED, Result.NO_CERTIFICATE)


@dataclass(frozen=True)
class State:
    """What the last solves taught: log λ and θ of some optima, the order of the polynomial through them, and
    the state of the solver that found them. With a `reference`, θ less that."""

    optima: tuple[tuple[float, Float], ...] = ()
    order: int = 0
    held: Held | None = field(default=None, repr=False)
    learnt: Learnt | None = field(default=None, repr=False)
    reference: Float | None = field(default=None, repr=False)

    def beside(self, others: Sequence[Solution]) -> State:
        """The state for rows that are much like those of `others`, solved at the λ that is next.

        The start is the mean of their optima plus what the optima here have differed from it so far; and the
        last one's metric, with the pairs from here, serves here too.
        """
        if any(other.result in _NO_OPTIMUM for other in others):
            return replace(self, optima=(), reference=None)
        last: State = others[-1].state
        learnt = last.learnt and last.learnt.beside(self.learnt)
        mean = np.mean([other.theta for other in others], axis=0)
        optima = () if self.reference is None else self.optima  # else they are no differences
        return replace(self, optima=optima, learnt=learnt or self.learnt, reference=mean)

    def foretold(self, penalty: float) -> Float | None:
        """θ extrapolated to this λ from the last optima; None without any."""
        if not self.optima:
            return self.reference
        at, order = (math.log(penalty), self.order) if penalty else (self.optima[-1][0], 0)
        theta = _extrapolated(self.optima, at, order)
        return theta if self.reference is None else self.reference + theta

    def having(self, at: float, theta: Float) -> State:
        """The state with one more optimum, θ at log λ = `at`."""
        optima = self.optima
        theta = theta if self.reference is None else theta - self.reference
        if optima and optima[-1][0] == at:
            return self
        errors = [
            float(((_extrapolated(optima, at, order) - theta) ** 2).sum())
            for order in range(min(len(optima), _ORDER + 1))
        ]
        order = min(errors.index(min(errors)) + (len(errors) <= _ORDER), _ORDER) if errors else 0
        return replace(self, optima=(*optima[-_ORDER:], (at, theta)), order=order)


@dataclass(frozen=True)
class Sweep:
    """Settings of the solver; `solve` runs it for one λ of many, each from what the last solves taught."""

    settings: Settings
    name: ClassVar[str] = "sweep"

    @staticmethod
    def is_long(objective: Objective) -> bool:
        """Whether a fit is so long that a start beside others pays: short ones end exactly in a few steps."""
        return not (Chord.pays(objective) or newton_pays(objective) or short.pays(objective))

    def solve(self, objective: Objective, theta: Float | None = None, warm: State | None = None) -> Solution:
        """Minimise at the objective's λ from `theta` (K, D), None for where the last optima point to."""
        state = State() if warm is None else warm
        start = state.foretold(objective.ridge) if theta is None else theta
        if Chord.pays(objective):
            solution = Chord(self.settings).solve(objective, start, state.held)
            state = replace(state, held=solution.state)
        elif newton_pays(objective):
            solution = Newton(self.settings).solve(objective, start)
        elif not objective.ridge:  # another metric
            solution = LBFGS(self.settings).solve(objective, start)
        else:
            solution = LBFGS(self.settings).solve(objective, start, state.learnt)
            state = replace(state, learnt=solution.state)
        if objective.ridge and solution.result in _NO_OPTIMUM:  # on its way to infinity, perhaps
            state = replace(state, optima=())
        elif objective.ridge:
            state = state.having(math.log(objective.ridge), solution.theta)
        return replace(solution, state=state)


def _extrapolated(optima: tuple[tuple[float, Float], ...], at: float, order: int) -> Float:
    """The value at `at` of the polynomial through the last `order` + 1 optima, by Lagrange's formula."""
    points = optima[-order - 1 :]
    total = 0.0 * points[0][1]
    for x, theta in points:
        others = (other for other, _ in points if other != x)
        total += math.prod((at - other) / (x - other) for other in others) * theta
    return total
