"""Whole descents in native code: what `solvers.short` calls."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from .._types import Bool, Float
from ..data.batch import Batch
from . import native


class Metric(NamedTuple):
    """M⁻¹ G = V [(Vᵀ G U) ∘ inverse] Uᵀ of G (K, D), U in `units`, less its mean over classes: units (d,), U
    (d, d), V (K, K), inverse (K, D)."""

    units: Float
    basis: Float
    classes: Float
    inverse: Float


def descend_smooth(
    batch: Batch,
    theta: Float,
    *,
    smooth: tuple[Float, Float, Bool, float, Float, Float],
    metric: Metric | Float,
    refresh: Callable[[], Metric | Float],
    stop: Callable[[float, float, int], bool],
    goal: tuple[float, float, int, int, float],
    n_threads: int = 0,
) -> tuple[int, int]:
    """L-BFGS on `Objective`'s F of one dense batch, from theta (K, D) on, which it moves: the whole loop
    in native code. Native only.

    `smooth`: an objective's centre, penalties, constant, weight, share and class_x. `goal`: tol, near,
    patience, most, newton_below. It takes Newton's steps where F is estimated to be nearer than newton_below
    nats, −1 for never; they want X in float64. It ends where the dual bound is within tol nats, or so many
    passes after F is estimated to be within `near`, after `most` iterations, or where no step lowers F.
    `stop` hears of the start and of every iteration but the last: F, the gap by the dual bound (offsets left
    out) and the passes so far; True ends it. A metric may be M⁻¹ itself, (K·D, K·D); `refresh` gives another
    at theta as it then is, after 16, 32, 64, … iterations. Returns how many passes and iterations there were.
    """
    kind, stored = native._kind(batch.X.dtype)
    plain = native._plain_array

    def arrays_of(metric: Metric | Float) -> Any:
        parts = (metric,) if isinstance(metric, np.ndarray) else metric
        return native._native.Metric(*map(plain, parts))

    run = getattr(native._native, f"descend_smooth_{kind}")
    X, targets = native._strided(batch.X).view(stored), native._targets(batch, len(theta))
    centre, penalties, constant, weight, share, class_x = smooth
    smooth_arrays = native._native.Smooth(
        plain(centre), plain(penalties), plain(constant), weight, plain(share), plain(class_x)
    )
    metrics = arrays_of(metric), lambda: arrays_of(refresh())
    passes, iterations = run(X, targets, smooth_arrays, *metrics, stop, goal, theta, n_threads, native._isa)
    return int(passes), int(iterations)
