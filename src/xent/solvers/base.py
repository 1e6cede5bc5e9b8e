"""What every solver takes and returns."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, ClassVar, Generic, Protocol, TypeAlias, TypeVar

import numpy as np

from .._types import Float
from ..objective import certificate, minorant
from ..objective.evaluation import Evaluation, NewtonStep
from ..objective.ridge import Objective


class Result(Enum):
    """How a solve ended; the value is the message a user reads."""

    CERTIFIED = "reached the optimum"
    SETTLED = "the objective was estimated, not proven, to be at its optimum, as was asked for"
    MAX_ITER = "the iteration limit was reached; increase max_iter"
    MAX_TIME = "max_time has passed; increase it, or fit again with warm_start=True"
    STOPPED = "a callback asked to stop"
    INTERRUPTED = "interrupted; fit again with warm_start=True to go on"
    STALLED = (
        "rounding leaves no step that lowers the objective; a larger tol, a stronger penalty "
        "(smaller C) or features on comparable scales would help"
    )
    UNPENALISED = (
        "with a penalty factor of 0 no certificate was found: what is left unpenalised may separate the "
        "classes; a factor above 0 gives it one"
    )
    NO_CERTIFICATE = "no certificate exists for this objective; no step lowers it any more"
    UNCERTIFIED = (
        "without a penalty (C=inf, or every factor 0) no certificate was found: the classes may be "
        "separable, which leaves no optimum, or the problem too large; a penalty makes an optimum"
    )


# n·(K·D)² up to which Newton is the faster of the two: measured, n 1e3 to 1e6, d 4 to 24, K 2 to 6.
_NEWTON_PAYS = 8e6


def newton_pays(objective: Objective) -> bool:
    """Whether Newton is expected to be faster than L-BFGS."""
    size = objective.shape[0] * objective.shape[1]
    return objective.has_hessian and objective.n_rows * size**2 <= _NEWTON_PAYS


PYTHON = 3e-4  # seconds of Python per iteration beside what it calls


def seconds(objective: Objective) -> tuple[float, float]:
    """Estimated seconds: for the Hessian, assembled and factored, and for one loss-and-gradient pass.

    Measured on one core, in products per second: 18e9 for blocks of pairs of classes, 5e9 for Cholesky, 15e9
    for a fused pass. The estimate only has to be right within a factor of a few.
    """
    K, D = objective.shape
    n, size = objective.n_rows, K * D
    pairs = 1 if K == 2 else K * (K + 1) / 2
    hessian = n * (pairs * D * 8 * math.ceil(D / 8) / 18e9 + 1e-8) + size**3 / 5e9
    return hessian, n * (4 * size / 15e9 + 1e-8) + 5e-6


def prices(objective: Objective) -> tuple[float, float]:
    """What the Hessian costs, and what the Kronecker product below it, in passes, each with its Python; inf
    where there is none."""
    (K, D), n = objective.shape, objective.n_rows
    hessian, one_pass = seconds(objective)
    kronecker = n * (D * (D / 10e9 + 8e-9) + K * 2e-8) + min(K, 60) * D**3 / 5e9
    one_pass += PYTHON
    return (
        (hessian + PYTHON) / one_pass if objective.has_hessian else math.inf,
        (kronecker + PYTHON) / one_pass if minorant.suits(objective) else math.inf,
    )


@dataclass(frozen=True)
class Progress:
    """One iteration: passes over X so far, F, what is certified of F − F* (nats), and θ."""

    iteration: int
    n_passes: int
    objective: float
    suboptimality: float
    theta: Float = field(repr=False, compare=False)

    @property
    def figures(self) -> tuple[int, float, float]:
        """n_passes, objective and suboptimality."""
        return self.n_passes, self.objective, self.suboptimality


UNPROVEN = 0.01  # of tol: the estimate at which a solve ends that need not prove it
NOWHERE = np.empty(0)  # θ of an iteration that is only remembered


@dataclass(frozen=True)
class Settings:
    """When to stop: at a certificate of `tol` nats, after `max_iter` iterations, or when `report` or `stop`
    returns a reason. `report` is called with every iteration, `stop` as often, `watch` with every pass.

    Not `certify`: a descent without a Hessian also stops where it estimates F − F* to be `UNPROVEN` tol.
    `rounded` makes of θ the point whose F is reported: a run that has passed in float32 proves it there.
    """

    tol: float = 1e-6
    max_iter: int = 1000
    report: Callable[[Progress], Result | None] | None = None
    stop: Callable[[], Result | None] | None = None
    watch: Callable[[Progress], None] | None = None
    certify: bool = True
    rounded: Callable[[Float], Float] | None = None


@dataclass(frozen=True)
class Solution:
    """theta (K, D), its F, a certified lower bound on F* (None: no certificate exists) and the history.

    `at` is the evaluation at theta; `state` is what was learnt on the way, from which the same solver may go
    on.
    """

    theta: Float
    value: float
    lower_bound: float | None
    result: Result
    n_iter: int
    history: list[Progress]
    at: Any = field(default=None, repr=False)
    state: Any = field(default=None, repr=False)


class Solver(Protocol):
    """Frozen settings and nothing else: what a solve has learnt is in its `Solution`.

    A solver of its own takes one kind of objective and one kind of state, hence `Any` here.
    """

    name: ClassVar[str]

    def solve(self, objective: Any, theta: Float | None = None, warm: Any = None) -> Solution:
        """Minimise from `theta` (K, D); None for the best start at hand.

        `warm`: the `state` of another solution by this solver, of the same rows at another penalty. It is not
        changed.
        """


class Evaluated(Protocol):
    """What a run reads of an evaluation: an `Evaluation` of an `Objective`, a `Point` of a `Composite`."""

    @property
    def theta(self) -> Float: ...
    @property
    def value(self) -> float: ...
    @property
    def lower_bound(self) -> float | None: ...
    @property
    def exact(self) -> bool: ...


class Function(Protocol):
    """What a run reads of an objective."""

    n_passes: int
    least: float | None

    @property
    def n_rows(self) -> int: ...
    @property
    def is_penalised(self) -> bool: ...
    @property
    def penalties(self) -> Float: ...
    def evaluate(self, theta: Float, *, exact: bool = True) -> Any: ...
    def without_shift(self, theta: Float) -> Float: ...


F = TypeVar("F", bound=Function)
P = TypeVar("P", bound=Evaluated)


@dataclass
class Run(Generic[F, P]):
    """One solve of F, with evaluations P: where it is, the best lower bound so far, the record, and what may
    serve another solve."""

    objective: F
    settings: Settings
    at: P
    history: list[Progress] = field(default_factory=list)
    told_to_stop: Result | None = None
    state: Any = None
    stuck: bool = False  # no step lowers F
    settled: bool = False  # F − F* is estimated to be small enough, and no proof is asked for
    _exact_from: int = 0  # in the history
    lower_bound: float | None = field(init=False)  # on F*

    def __post_init__(self) -> None:
        self.lower_bound = self.objective.least

    @staticmethod
    def begin(objective: F, settings: Settings, theta: Float, *, exact: bool = True) -> Run[F, P]:
        """A run from θ, its shift taken out: one pass."""
        at: P = objective.evaluate(objective.without_shift(theta), exact=exact)
        return Run.resume(objective, settings, at)

    @staticmethod
    def resume(objective: F, settings: Settings, at: P) -> Run[F, P]:
        """A run from a point that is evaluated already."""
        run = Run(objective, settings, at)
        run.seen(at)
        run.record(0)
        return run

    @property
    def exact(self) -> bool:
        """Whether passes are in float64, and what they prove counts."""
        return self.at.exact

    def go_exact(self) -> None:
        """Evaluate again in float64, and pass in float64 from here on."""
        theta, rounded = self.at.theta, self.settings.rounded
        self.at = self.objective.evaluate(theta if rounded is None else rounded(theta))
        self._exact_from = len(self.history)
        self.seen(self.at)

    @property
    def gap(self) -> float:
        """What is proven of F − F*, nats ≥ 0."""
        return certificate.gap(self.at.value, self.lower_bound)

    @property
    def certified(self) -> bool:
        """Whether F − F* is proven to be within tol."""
        return self.exact and self.gap <= self.settings.tol

    def evaluate(self, theta: Float) -> P:
        """One pass at θ, the shift by rounding taken out. Its lower bound counts even if the step is
        refused."""
        new: P = self.objective.evaluate(self.objective.without_shift(theta), exact=self.exact)
        self.seen(new)
        return new

    def seen(self, new: P) -> None:
        """Keep what an evaluation proves, and notify the watcher."""
        # A bound above a value of F is rounding and proves nothing.
        bound = new.lower_bound if new.exact else None
        if bound is not None and bound <= min(new.value, self.at.value) * (1 + 1e-12) + 1e-15:
            self.raise_bound(bound)
        if self.settings.watch:
            gap = certificate.gap(new.value, self.lower_bound)
            self.settings.watch(Progress(self.n_iter, self.objective.n_passes, new.value, gap, new.theta))

    def raise_bound(self, bound: float) -> None:
        """Keep a lower bound on F* if it is the best so far and F has one at all."""
        if self.lower_bound is not None:
            self.lower_bound = max(self.lower_bound, bound)

    def ask_hessian(self: SmoothRun) -> NewtonStep:
        """The Newton step here and, if it promises to be within tol, the self-concordant certificate."""
        step = self.objective.newton_step(self.at)
        if self.lower_bound is not None and 0.5 * step.decrement**2 <= self.settings.tol:
            self.raise_bound(self.at.value - self.objective.self_concordant_gap(step))
        return step

    def ask_minorant(self: SmoothRun) -> float:
        """ν²/2 by the Kronecker product below the Hessian, nats, and what it certifies."""
        half, gap = minorant.gap(self.objective, self.at)
        self.raise_bound(self.at.value - gap)
        return half

    @property
    def n_iter(self) -> int:
        return self.history[-1].iteration if self.history else 0

    @property
    def flat(self) -> bool:
        """Whether F has stood still for 50 iterations while the certificate would not come."""
        if len(self.history) - self._exact_from <= 50:
            return False
        then = self.history[-51].objective
        return then - self.at.value <= 1e-14 * abs(then)

    def record(self, iteration: int) -> None:
        """Write an iteration down and report it."""
        passes, at = self.objective.n_passes, self.at
        self.tell(Progress(iteration, passes, at.value, self.gap, at.theta))

    def tell(self, entry: Progress) -> None:
        """Write this entry down and report it; `told_to_stop` is then what `stop` or `report` answered."""
        answer, settings = None, self.settings
        self.history.append(Progress(entry.iteration, *entry.figures, NOWHERE))
        if settings.stop:
            answer = settings.stop()
        if settings.report:
            reported = settings.report(entry)
            answer = reported if answer is None else answer
        self.told_to_stop = answer

    @property
    def ended(self) -> bool:
        """Whether the run is to end: certified, stopped from outside, or without progress."""
        return self.certified or self.told_to_stop is not None or self.stuck or self.settled or self.flat

    def finish(self) -> Solution:
        """The solution of a run that has `ended`, or has used up its iterations."""
        stuck = self.stuck or self.flat  # as long as F is that of the history
        if not self.exact:
            self.go_exact()
        at, result = self.at, self._result(stuck)
        return Solution(
            at.theta, at.value, self.lower_bound, result, self.n_iter, self.history, at, self.state
        )

    def _result(self, stuck: bool) -> Result:
        """How the run ended; `stuck` tells that no step lowers F, for want of digits or of an optimum."""
        if self.certified:
            return Result.CERTIFIED
        if self.settled and self.told_to_stop is None:
            return Result.SETTLED
        if self.told_to_stop is not None or not stuck:
            return self.told_to_stop or Result.MAX_ITER
        if self.lower_bound is None:
            return Result.NO_CERTIFICATE
        if self.objective.is_penalised:
            return Result.STALLED
        return Result.UNPENALISED if self.objective.penalties.any() else Result.UNCERTIFIED


SmoothRun: TypeAlias = Run[Objective, Evaluation]
