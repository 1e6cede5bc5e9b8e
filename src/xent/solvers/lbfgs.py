"""Limited-memory BFGS in a metric of the problem's own curvature.

Design
 a. The metric (`metric.Metric`) stands in for the first Hessian approximation and is rescaled every
    iteration by sᵀy / yᵀM⁻¹y, as plain L-BFGS rescales the identity; without that a stale metric misleads
    (measured on a 384-feature probe: 90 passes to 1e-6 nats against 32).
 b. The metric is refreshed at iterations 3, 6, 12, 24, …, from the second time on with a block per class, of
    a few rows where whole blocks would cost many passes.
 c. Where rows are many, fits of a tenth and a hundredth of them come first: their optimum is within about
    K·D / 2m nats, and the metric is right from the start (500000×54, K = 7: 17 passes to the certificate
    against 73).
 d. float32 X is passed over in float32 until the certificate would hold or rounding is in the way, then in
    float64.
 e. The dual certificate pays ε, linear in the intercept's gradient, where everything else is quadratic.
    Once the quadratic part alone would do, Σ is refreshed and one Newton step taken on the intercept.
 f. 20 pairs: with 50, no problem of the benchmarks took fewer passes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from .._types import Float
from ..objective.ridge import Objective
from . import short
from .base import UNPROVEN, Run, Settings, SmoothRun, Solution, prices
from .line_search import weak_wolfe
from .memory import Memory
from .metric import Metric
from .newton import Newton

_SUBSET = 10  # the first fit is of a subset of 1 row in 10, …
_ROWS_PER_COEFFICIENT = 10  # … if it has this many rows per coefficient
_FEWEST_ROWS = 1000
_SERVES = 12  # iterations: blocks cost some 20 passes, and those of another penalty serve this long
_PATIENCE = 4  # iterations
_BELOW = 20  # times the gap is what the minorant makes of it, often


@dataclass(frozen=True)
class State:
    """What a fit has learnt of the loss, for the fit at the next penalty."""

    metric: Metric
    memory: Memory

    def of(self, objective: Objective) -> State:
        """The state for another λ."""
        metric = self.metric.of(objective)
        more = objective.penalties - self.memory.metric.objective.penalties
        return State(metric, self.memory.of(metric, more))

    def beside(self, other: State | None) -> State:
        """This metric, with the pairs of `other`, or none, for rows that are much like these."""
        if other is not None:
            return State(self.metric, other.memory)
        return State(self.metric, Memory(self.metric, self.memory.shape, self.memory.size))


@dataclass(frozen=True)
class LBFGS:
    """Settings of the solver; `solve` runs it, and hands over what it has learnt for the next penalty."""

    settings: Settings
    name: ClassVar[str] = "lbfgs"
    memory: int = 20

    def solve(self, objective: Objective, theta: Float | None = None, warm: State | None = None) -> Solution:
        """Minimise from `theta` (K, D); None for the best start at hand."""
        cold = theta is None
        ready = cold and self._subset_pays(objective)
        inverse = None
        if theta is None:
            theta, inverse = self._of_a_subset(objective) if ready else (objective.start(), None)
        run: SmoothRun
        if inverse is not None or short.pays(objective):
            if not cold:
                run = Run(objective, self.settings, objective.evaluate(objective.without_shift(theta)))
                run.seen(run.at)
                if run.certified:
                    run.record(0)
                    run.state = warm
                    return run.finish()
            return self._short(objective, theta, inverse, ready, warm)
        run = Run.begin(objective, self.settings, theta, exact=not objective.is_narrow)
        # W = 0 tells nothing of the rows, however near F is: a strong penalty's model is its direction.
        return self._descend(run, warm, ready, step=cold and not ready)

    def _short(
        self,
        objective: Objective,
        theta: Float,
        inverse: short.Inverse | None,
        ready: bool,
        warm: State | None,
    ) -> Solution:
        """Minimise in native code as far as that goes, then by Newton's method or in Python."""
        run, due = self._native(objective, theta, inverse, ready, warm)
        if due and inverse is not None and not run.certified:
            run.raise_bound(run.at.value - inverse.gap(run.at))
        if due and not run.certified and objective.has_hessian:
            run.state = run.state or warm
            return Newton(self.settings).go_on(run)
        return self._descend(run, warm, ready=False, step=run.n_iter == 0)

    def _native(
        self,
        objective: Objective,
        theta: Float,
        inverse: short.Inverse | None,
        ready: bool,
        warm: State | None,
    ) -> tuple[SmoothRun, bool]:
        source: short.MetricSource | None = inverse
        state = None
        if inverse is None and not short.is_newtons(objective):
            state = self._learnt(objective, warm)
            if warm is None and ready:
                state.metric.refresh(theta)
            source = state.metric
        run, due = short.descend(objective, self.settings, theta, source)
        run.state = state
        return run, due

    def _learnt(self, objective: Objective, warm: State | None) -> State:
        """The metric and pairs to start with: those of `warm` at this objective's λ, or new ones."""
        if warm is not None:
            return warm.of(objective)
        metric = Metric(objective)
        return State(metric, Memory(metric, objective.shape, self.memory))

    def _subset_pays(self, objective: Objective) -> bool:
        K, D = objective.shape
        return objective.n_rows >= _SUBSET * max(_ROWS_PER_COEFFICIENT * K * D, _FEWEST_ROWS)

    def _of_a_subset(self, objective: Objective) -> tuple[Float, short.Inverse | None]:
        """A start for all rows: the optimum of a tenth of them, as far as it means anything for all, and a
        metric there if one pays."""
        part = objective.sample(objective.n_rows // _SUBSET)
        # A class that soft labels have in a few rows only.
        if (part.loss.share < 0.01 * objective.loss.share).any():
            return objective.start(), None
        ready, inverse = self._subset_pays(part), None
        theta = part.start()
        if ready:
            theta, inverse = self._of_a_subset(part)
        enough = 0.05 * part.shape[0] * part.shape[1] / part.n_rows
        quiet = replace(self.settings, report=None, watch=None, rounded=None)
        if inverse is not None or short.pays(part):
            solver = replace(self, settings=replace(quiet, tol=enough))
            at = solver._native(part, theta, inverse, ready, None)[0].at
        else:
            run: SmoothRun = Run.begin(part, quiet, theta, exact=not part.is_narrow)
            at = replace(self, settings=quiet)._descend(run, None, ready, enough).at
        inverse = short.Inverse.of(part, at, objective)
        objective.n_passes += math.ceil(part.n_passes * part.n_rows / objective.n_rows)
        return objective.theta(*part.coefficients(at.theta)), inverse

    def _descend(
        self,
        run: SmoothRun,
        warm: State | None,
        ready: bool,
        enough: float | None = None,
        *,
        step: bool = False,
    ) -> Solution:
        """From `run.at` to the certificate, or until the gap is estimated, not proven, to be `enough`, which
        is None for what the settings say.
        `ready`: the start is good, so that the metric is worth taking at once. `step`: take one at least."""
        objective, state = run.objective, run.state or warm
        if run.told_to_stop is not None or (run.certified and not step):
            run.state = state
            return run.finish()
        run.state = run.state or self._learnt(objective, warm)
        metric, memory = run.state.metric, run.state.memory
        hessian, kronecker = (
            _Asked(self.settings.tol / share, objective.n_passes, price)
            for share, price in zip((4, _BELOW), prices(objective), strict=True)
        )
        refresh_at, certify_below = 0 if ready else 3, self.settings.tol
        if state is not None and run.n_iter == 0:
            ready, refresh_at = True, _SERVES
            if not metric.has_blocks:
                metric.refresh(run.at.theta, blocks=False)
                memory.refreshed()
        solved = metric.solve(run.at.gradient)
        single, limit = _Single(objective.has_hessian or not objective.is_penalised), self._enough(enough)

        before = run.n_iter
        for iteration in range(1, self.settings.max_iter + 1 - before):
            gradient = run.at.gradient
            quadratic = objective.penalty_price(gradient)
            balance = objective.fit_intercept and quadratic <= 0.7 * certify_below and not step
            if balance or iteration >= refresh_at:
                due = iteration >= refresh_at
                blocks = due and (ready or iteration > 3)
                if metric.refresh(run.at.theta, blocks=blocks, classes=balance or not blocks):
                    memory.refreshed()
                    solved = metric.solve(gradient)
                refresh_at = max(2 * iteration, 6) if due else refresh_at
            if balance:
                certify_below = quadratic / 4
                direction = np.zeros_like(gradient)
                direction[:, -1] = -metric.solve_intercept(gradient[:, -1])
            else:
                direction = memory.direction(gradient, solved)

            new = weak_wolfe(run, direction)
            if new is None and not run.exact:  # float32 sees no fall of F any more
                run.go_exact()
                solved = metric.solve(run.at.gradient)
                continue
            if new is None and memory.count:  # a bad history: forget it and try the metric alone
                memory.forget()
                new = weak_wolfe(run, -solved)
            if new is None and objective.has_hessian:
                new = weak_wolfe(run, run.ask_hessian().direction, curvature=False)
            if new is None:
                run.stuck = True
                break
            y, s = new.gradient - gradient, new.theta - run.at.theta
            z = metric.solve(y)
            if not balance:
                memory.add(s, y, z)
            run.at, solved, step = new, solved + z, False

            estimate = 0.5 * float(np.vdot(run.at.gradient, solved))
            if not run.exact and single.is_done(run, estimate):
                run.go_exact()
                solved = metric.solve(run.at.gradient)
            if not run.certified and kronecker.price < hessian.price and kronecker.wanted(run, estimate):
                kronecker.refused(estimate, run.ask_minorant(), self.settings.tol)
            if not run.certified and hessian.wanted(run, estimate):
                _certify(run)
            run.record(before + iteration)
            # How far F has fallen, but for its rounding, is asked last: it reads as much as the metric does.
            run.settled = estimate <= limit and -0.5 * float(np.vdot(gradient + new.gradient, s)) <= limit
            if run.ended:
                break
        return run.finish()

    def _enough(self, given: float | None) -> float:
        """The estimate of F − F* to end at: the one that is given, or what the settings say."""
        if given is not None:
            return given
        return -math.inf if self.settings.certify else UNPROVEN * self.settings.tol


def _certify(run: SmoothRun) -> None:
    """Ask the Hessian for the certificate, and take its step."""
    newton = run.ask_hessian().direction
    if run.certified:  # where it was made; the step in hand squares the distance
        run.at = weak_wolfe(run, newton, curvature=False) or run.at


@dataclass
class _Single:
    """When to leave float32: when the dual bound would certify, or when F is near its optimum and the dual
    bound improves no more. With another certificate at hand there is no need to wait for the bound."""

    has_other: bool
    best: float = math.inf
    since: int = 0

    def is_done(self, run: SmoothRun, estimate: float) -> bool:
        """Whether to pass in float64 from here on; `estimate` of F − F*, nats."""
        gap, tol = run.at.gap, run.settings.tol
        self.since = 0 if gap < 0.9 * self.best else self.since + 1
        self.best = min(self.best, gap)
        near = 100 * estimate <= tol
        return gap <= tol or (near and (self.has_other or self.since >= _PATIENCE))


@dataclass
class _Asked:
    """When to ask for another certificate, which the dual still refuses: the Hessian's or the minorant's.

    ½ ∇ᵀM⁻¹∇ estimates the gap. Once it is small, waiting for the dual has cost so many passes; when that
    reaches the price of the other, pay the price: at most twice what foresight would have paid. Without a
    penalty the dual never comes, and there is nothing to wait for.
    """

    below: float
    since: int
    price: float

    def wanted(self, run: SmoothRun, estimate: float) -> bool:
        """Whether to ask now; `estimate` of F − F*, nats."""
        objective = run.objective
        if not math.isfinite(self.price) or not run.exact:
            return False
        if estimate > self.below:
            self.since = objective.n_passes
            return False
        if objective.is_penalised and objective.n_passes - self.since < self.price:
            return False
        self.below, self.since = estimate / 10, objective.n_passes
        return True

    def refused(self, estimate: float, half: float, tol: float) -> None:
        """Ask again where ν²/2, `half` where F − F* was estimated, is expected to be within tol: never, if
        that is inf."""
        self.below = min(self.below, estimate * tol / (4 * half)) if half > 0 else self.below
