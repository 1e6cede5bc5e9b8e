"""Where a pass is shorter than the Python between passes: the whole descent in native code.

L-BFGS in a Kronecker metric on the exact loss in float64, and Newton's method at its end where Hessians are
cheap. It stops where the dual bound says so, or where the Hessian's certificate is expected to be the
cheaper. It only says where to look: a `Run` evaluates there, and proves, as after any other step.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np

from .. import _kernels
from ..objective import Objective
from ._base import PYTHON, Float, Progress, Run, Settings, seconds
from .metric import Metric

# Rows times coefficients of a pass of about 0.3 ms, which is what an iteration in Python takes besides.
_SHORT = 2e6
_MOST = 200  # iterations: a metric that has not served by then does not
_NEAR = 0.01  # of tol: what the estimate must say before a certificate is asked for
# Passes that a Hessian may take where two of them replace the last dozen passes, and where Newton's method is
# the quicker from the start, which wants no metric.
_CHEAP, _VERY_CHEAP = 8, 2.5
_NEWTON_BELOW = 1e-3  # nats: from there on it squares the distance at every step


def pays(objective: Objective) -> bool:
    """Whether a descent in native code is possible, and shorter: rows are few and dense."""
    (K, D), batches = objective.shape, objective.batches
    return (
        _kernels.HAS_NATIVE
        and K > 1
        and objective.n_rows * K * D <= _SHORT
        and len(batches) == 1
        and not batches[0].is_sparse
        and objective.class_factors is None
    )


def descend(
    objective: Objective, settings: Settings, theta: Float, metric: Callable[[], Metric]
) -> tuple[Run, bool]:
    """A run that stands where a descent from `theta` ended, the way there in its history, and whether a
    certificate is due there. `metric` is asked for if it is needed."""
    metric = functools.cache(metric)
    o, theta = objective, np.array(objective.without_shift(theta), np.float64, order="C")
    hessian, one_pass = seconds(objective)
    price = hessian / one_pass if o.has_hessian and o.batches[0].X.dtype == np.float64 else np.inf
    arrays = _unit_metric(*o.shape, o.n_features) if price <= _VERY_CHEAP else metric().arrays()
    if arrays is None:
        return Run.begin(objective, settings, theta), False
    run = Run(objective, settings, None)
    before, offset = objective.n_passes, objective.batches[0].offset

    def stop(value: float, gap: float, passes: int) -> bool:
        objective.n_passes = before + passes
        proven = min(max(gap, 0.0), value) if offset is None else value
        entry = Progress(run.n_iter + bool(run.history), objective.n_passes, value, proven, theta)
        if settings.watch:
            settings.watch(entry)
        run.tell(entry)
        return run.told_to_stop is not None

    def refresh() -> _kernels.Metric:
        if price <= _VERY_CHEAP:
            return arrays
        metric().refresh(theta, blocks=False)
        return metric().arrays() or arrays

    most = min(_MOST, settings.max_iter)
    # Without a penalty the dual never comes; without a Hessian nothing else does.
    patience = (hessian + PYTHON) / one_pass if o.is_penalised else 0
    patience = min(patience, _MOST) if o.has_hessian else _MOST
    newton_below = np.inf if price <= _VERY_CHEAP else _NEWTON_BELOW if price <= _CHEAP else -1.0
    passes, iterations = _kernels.descend_smooth(
        o.batches[0],
        theta,
        smooth=(o.centre, o.penalties, o.constant, o.weight, o.share, o.class_x),
        metric=arrays,
        refresh=refresh,
        stop=stop,
        goal=(0.9 * settings.tol, _NEAR * settings.tol, int(patience), most, newton_below),
        n_threads=o.n_threads,
    )
    objective.n_passes = before + passes
    run.at = objective.evaluate(objective.without_shift(theta))
    run.seen(run.at)
    if iterations > run.n_iter or not run.history:
        run.record(iterations)
    return run, 0 < iterations < most and run.told_to_stop is None


def _unit_metric(K: int, D: int, d: int) -> _kernels.Metric:
    return _kernels.Metric(np.ones(d), np.eye(d), np.eye(K), np.ones((K, D)))
