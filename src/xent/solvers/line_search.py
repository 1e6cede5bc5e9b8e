"""A step length that satisfies the weak Wolfe conditions, where the slope is expected to vanish."""

from __future__ import annotations

import math

import numpy as np

from .._types import Float
from ..objective.evaluation import Evaluation
from .base import SmoothRun

_DECREASE, _CURVATURE, _TRIALS = 1e-4, 0.9, 40


def weak_wolfe(run: SmoothRun, direction: Float, *, curvature: bool = True) -> Evaluation | None:
    """Evaluate along `direction` from `run.at`, full step first, until F falls enough and, unless
    `curvature` is False as for Newton steps, flattens enough. None if no trial lowered F.

    Close to the optimum the fall of F drowns in its rounding: a rise within that rounding is then let
    through if the slope says that the minimum has not been overshot (the approximate Wolfe condition
    of W. Hager and H. Zhang, SIAM J. Optim. 16 (2005)). After a rise beyond it the next trial is the least
    point of the cubic through what is known of both ends; else it is where the secant of the slopes vanishes.
    """
    start = run.at
    slope = float(np.sum(direction * start.gradient))
    if not slope < 0:
        return None
    # A sum over n rows, added in blocks of 64, wanders by about √(n/64) roundings.
    ulps = 8 + 0.5 * math.sqrt(run.objective.n_rows / 64)
    eps = np.finfo(np.float64 if start.exact else np.float32).eps
    noise = ulps * float(eps) * abs(start.value)
    low, high, t, low_slope, low_value = 0.0, math.inf, 1.0, slope, start.value
    for _ in range(_TRIALS):
        new = run.evaluate(start.theta + t * direction)
        new_slope = float(np.vdot(direction, new.gradient))
        fell = new.value <= start.value + _DECREASE * t * slope or (
            new.value <= start.value + noise and new_slope <= -(1 - 2 * _DECREASE) * slope
        )
        if fell and not (curvature and new_slope < _CURVATURE * slope):
            return new
        # Where the slope vanishes by the secant through this trial and the best so far, off the ends.
        zero = math.inf
        if new_slope > low_slope:
            zero = low - low_slope * (t - low) / (new_slope - low_slope)
        if not fell:
            high = t
            if new.value > start.value + noise:  # far away the slope grows faster than a secant knows
                zero = low + _cubic(t - low, low_value - new.value, low_slope, new_slope)
            t = min(max(zero, 0.9 * low + 0.1 * high), 0.5 * (low + high))
        else:
            low, low_slope, low_value = t, new_slope, new.value
            t = min(max(zero, 1.5 * low), 10 * low, 0.5 * (low + high))
        if -t * slope < 0.01 * noise:  # nothing that F could still show
            break
    return None


def _cubic(width: float, fall: float, slope: float, end_slope: float) -> float:
    """Where a cubic of this `slope` < 0 is least if `width` further on it has fallen by `fall` and its slope
    is `end_slope`."""
    b = -3 * fall / width - 2 * slope - end_slope
    c = slope + end_slope + 2 * fall / width
    root = math.sqrt(max(b * b - 3 * c * slope, 0.0))
    return -slope * width / (b + root) if b + root > 0 else math.inf
