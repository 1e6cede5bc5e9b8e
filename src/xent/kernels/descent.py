"""Whole descents in native code: what `solvers.short` calls."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from .._types import Bool, Float
from ..data.batch import Batch
from . import native


class Metric(NamedTuple):
    """M⁻¹ G = V [(Vᵀ G U) ∘ inverse] Uᵀ of G (K, D), less its mean over classes: U `basis` (d, d), for
    features in `units` (d,); V `classes` (K, K); `inverse` (K, D)."""

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
    """L-BFGS on `Objective`'s F of one dense batch: the whole loop in native code. It starts at theta (K, D)
    and moves it. Native only.

    `smooth`: an objective's centre, penalties, constant, weight, share and class_x. `goal`: tol, near,
    patience, most, newton_below. Newton's steps are taken once F is estimated to be nearer than newton_below
    nats, −1 for never; they need X in float64. The loop ends where the dual bound is within tol nats,
    `patience` passes after F is estimated to be within `near` nats, after `most` iterations, or where no step
    lowers F. `stop` is called at the start and after every iteration but the last with F, the gap by the dual
    bound (offsets left out) and the passes so far; True ends the loop. A metric may be M⁻¹ itself,
    (K·D, K·D); `refresh` returns another at the current theta after 16, 32, 64, … iterations. Returns the
    numbers of passes and iterations.
    """
    kind, stored = native._kind(batch.X.dtype)
    plain = native._plain_array

    def arrays_of(metric: Metric | Float) -> native._native.Metric:
        parts = (metric,) if isinstance(metric, np.ndarray) else metric
        return native._native.Metric(*map(plain, parts))

    run = getattr(native._native, f"descend_smooth_{kind}")
    X = native._strided(batch.X).view(stored)  # type: ignore[arg-type]  # one dense batch: the contract
    targets = native._targets(batch, len(theta))
    centre, penalties, constant, weight, share, class_x = smooth
    smooth_arrays = native._native.Smooth(
        plain(centre), plain(penalties), plain(constant), weight, plain(share), plain(class_x)
    )
    metrics = arrays_of(metric), lambda: arrays_of(refresh())
    passes, iterations = run(X, targets, smooth_arrays, *metrics, stop, goal, theta, n_threads, native._isa)
    return int(passes), int(iterations)
