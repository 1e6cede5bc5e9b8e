"""A descent in native code, for passes shorter than the Python between them and for few passes.

L-BFGS on the exact loss in float64, and Newton's method at its end where Hessians are cheap. It stops where
the dual bound says so, or where the Hessian's certificate is expected to be the cheaper. It only says where
to look: a `Run` evaluates there, and proves, as after any other step.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from .._types import Float
from ..data import Batch
from ..data.source import InMemory
from ..kernels import descent, linear, native
from ..objective import minorant
from ..objective.evaluation import Evaluation, NewtonStep
from ..objective.ridge import Objective
from .base import PYTHON, Progress, Result, Run, Settings, SmoothRun, seconds

# Rows times coefficients of a pass of about 0.3 ms, which is what an iteration in Python takes besides.
_SHORT = 2e6
_MOST = 200  # iterations: a metric that has not served by then does not
_NEAR = 0.01  # of tol: what the estimate must say before a certificate is asked for
# Passes that a Hessian may take where two of them replace the last dozen passes, and where Newton's method is
# the quicker from the start, which wants no metric.
_CHEAP, _VERY_CHEAP = 8, 2.5
_FEWEST = 20  # rows per coefficient whose Hessian is near enough to that of all
_NEWTON_BELOW = 1e-3  # nats: from there on it squares the distance at every step


class MetricSource(Protocol):
    """Where a metric comes from: `arrays` as native code takes them, None if it has no such metric; `refresh`
    takes the metric anew at θ."""

    def arrays(self) -> descent.Metric | Float | None: ...

    def refresh(self, theta: Float) -> object: ...


def suits(objective: Objective) -> bool:
    """Whether a descent in native code is possible."""
    batch = objective.loss.source.whole
    return (
        native.HAS_NATIVE
        and objective.n_classes > 1
        and batch is not None
        and not batch.is_sparse
        and objective.class_factors is None
        and objective.least is not None
    )


def pays(objective: Objective) -> bool:
    """Whether a descent in native code is expected to be faster from any start."""
    K, D = objective.shape
    few = objective.n_rows * K * D <= _SHORT
    # With fewer rows than features the metric has a form that native code does not take.
    return suits(objective) and few and (objective.n_rows >= objective.n_features or is_newtons(objective))


@dataclass(frozen=True)
class Inverse:
    """The inverse of a part's Hessian, as a metric for all rows, of which the part stands for `whole`; and
    what it proves of F for all of them (docs/design/0002, *From a share of the rows*)."""

    whole: Objective
    part: Objective
    at: Evaluation  # of the part
    step: NewtonStep  # there

    def arrays(self) -> Float:
        size = math.prod(self.part.shape)
        return self.step.inverse().reshape(size, size)

    @property
    def share(self) -> float:
        """ρ: the part's Hessian times ρ lies below that of all rows at the same θ. 0 where the part has null
        directions of its own, along which it would prove what is false."""
        source = self.part.loss.source
        if self.part.null_spaces.spaces:
            return 0.0
        assert isinstance(source, InMemory)  # as every sample is
        return self.part.loss.weight / (self.whole.loss.weight * source.stands_for)

    def gap(self, at: Evaluation) -> float:
        """A bound on F − F* in nats, F of all rows, at a point of theirs: a pass over the part, or three. inf
        where there is none."""
        part, d = self.part, self.part.n_features
        if self.share == 0:
            return math.inf
        gradient = at.gradient.copy()  # in the part's coordinates, whose features have another mean
        if part.fit_intercept:
            gradient[:, :d] += np.outer(gradient[:, d], self.whole.loss.centre - part.loss.centre)
        (W, b), (W0, b0) = self.whole.coefficients(at.theta), part.coefficients(self.at.theta)
        r = min(max(part.loss.read().map(_spread, W - W0, b - b0)), 500.0)  # e^r of that proves nothing
        stretch = math.exp(0.5 * r) / math.sqrt(self.share)
        step = replace(self.step, decrement=self.step.solve(gradient)[1])
        return part.self_concordant_gap(step, stretch)

    def refresh(self, theta: Float) -> None:
        """Nothing to do: this metric is the same at every θ."""

    @staticmethod
    def of(part: Objective, at: Evaluation, whole: Objective) -> Inverse | None:
        """The inverse at a point of `part`, or of as many of its rows as pay for `whole`; None if too few do,
        or it does not exist."""
        if not (suits(whole) and part.has_hessian):
            return None
        size = math.prod(part.shape)
        left = _CHEAP / 2 * seconds(whole)[1] - 3 * size**3 / 5e9
        affordable = int(left / seconds(part)[0] * part.n_rows)
        if affordable < min(_FEWEST * size, part.n_rows):
            return None
        if affordable < part.n_rows:
            few = part.sample(affordable)
            theta = few.theta(*part.coefficients(at.theta))
            part, at = few, few.evaluate(few.without_shift(theta))
        step = part.newton_step(at)
        return Inverse(whole, part, at, step) if np.isfinite(step.decrement) else None


def _spread(batch: Batch, W: Float, b: Float) -> float:
    """The largest range over classes of W x_i + b in any row of the batch, whose rows all count."""
    return float(np.ptp(linear.logits(batch.X, W, b), axis=1).max(initial=0.0))


def descend(
    objective: Objective, settings: Settings, theta: Float, source: MetricSource | None
) -> tuple[SmoothRun, bool]:
    """A run that stands where a native descent from `theta` ended, with its history, and whether to ask for a
    certificate there. `source` None: Newton's method, for objectives that `is_newtons`."""
    o, loss = objective, objective.loss
    theta = np.array(objective.without_shift(theta), np.float64, order="C")
    arrays = _unit_metric(o) if source is None else source.arrays()
    if arrays is None:
        return Run.begin(objective, settings, theta), False
    run: SmoothRun = Run(objective, settings, None)  # type: ignore[arg-type]  # evaluated after the descent
    before, batch = loss.n_passes, loss.source.whole
    assert batch is not None  # as `suits` has it

    def stop(value: float, gap: float, passes: int) -> bool:
        loss.n_passes = before + passes
        proven = min(max(gap, 0.0), value) if batch.offset is None else value
        entry = Progress(run.n_iter + bool(run.history), loss.n_passes, value, proven, theta)
        if settings.watch:
            settings.watch(entry)
        first = not run.history
        run.tell(entry)
        if first and run.told_to_stop is Result.MAX_TIME:  # however short the time, a step is taken
            run.told_to_stop = None
        return run.told_to_stop is not None

    def refresh() -> descent.Metric | Float:
        if source is not None:
            source.refresh(theta)
        latest = arrays if source is None else source.arrays()
        assert latest is not None  # as at the start
        return latest

    most = min(_MOST, settings.max_iter)
    hessian, one_pass = seconds(objective)
    # Without a penalty the dual never comes; without a Hessian or what lies below it nothing else does.
    patience = (2 * hessian + PYTHON) / one_pass + 4 if o.is_penalised else 0
    other = o.has_hessian or (not o.is_penalised and minorant.suits(o))
    patience = min(patience, _MOST) if other else _MOST
    near = _NEAR
    if isinstance(source, Inverse) and source.share > 0:
        near, patience = source.share / 16, 1  # its own proof costs a pass over a part of the rows
    newton_below = np.inf if source is None else -1.0
    if not (source is None or isinstance(source, Inverse)) and _price(objective) <= _CHEAP:
        newton_below = _NEWTON_BELOW
    passes, iterations = descent.descend_smooth(
        batch,
        theta,
        smooth=(loss.centre, o.penalties, loss.constant, loss.weight, loss.share, loss.class_x),
        metric=arrays,
        refresh=refresh,
        stop=stop,
        goal=(0.9 * settings.tol, near * settings.tol, int(patience), most, newton_below),
        n_threads=loss.n_threads,
    )
    objective.n_passes = before + passes
    run.at = objective.evaluate(objective.without_shift(theta))
    run.seen(run.at)
    if iterations > run.n_iter or not run.history:
        run.record(iterations)
    return run, 0 < iterations < most and run.told_to_stop is None


def is_newtons(objective: Objective) -> bool:
    """Whether Newton's method is the quicker from the start."""
    return _price(objective) <= _VERY_CHEAP


def _price(objective: Objective) -> float:
    """What a native Hessian and its Cholesky factor cost, in passes; inf where there is none."""
    wide = objective.loss.source.dtype == np.float64
    if not (wide and objective.has_hessian) or objective.null_spaces.spaces:
        return np.inf
    hessian, one_pass = seconds(objective)
    return hessian / one_pass


def _unit_metric(objective: Objective) -> descent.Metric:
    """The identity as a metric."""
    (K, D), d = objective.shape, objective.n_features
    return descent.Metric(np.ones(d), np.eye(d), np.eye(K), np.ones((K, D)))
