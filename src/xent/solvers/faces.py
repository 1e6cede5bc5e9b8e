"""A quadratic model plus a penalty on the face where coordinates keep their signs, or groups stay off 0."""

from __future__ import annotations

import numpy as np
from scipy.linalg import cho_factor, cho_solve
from scipy.linalg.lapack import dposv

from .._types import Float, Index


def fall(model: Float, penalty: Float, gradient: Float, w: Float) -> float:
    """About how much a sweep would lower the model plus the penalty (4, m): Σ curvature·step², with every
    coordinate on its own."""
    l2, l1, lower, upper = penalty
    curvature = np.diagonal(model)
    h = curvature + l2
    pull = curvature * w - gradient
    past = np.sign(pull) * np.maximum(np.abs(pull) - l1, 0.0)
    to = np.clip(np.divide(past, h, out=w.copy(), where=h > 0), lower, upper)
    return float(h @ (to - w) ** 2)


def along_face(model: Float, penalty: Float, gradient: Float, w: Float) -> Float:
    """Move w towards the minimum of the model plus the penalty (4, m) among points with the same signs, until
    a coordinate meets 0 or a bound. Returns the step."""
    l2, l1, lower, upper = penalty
    inside = np.flatnonzero(((w != 0) | (l1 == 0)) & (w > lower) & (w < upper))
    slope = gradient[inside] + l2[inside] * w[inside] + l1[inside] * np.sign(w[inside])
    H = model[np.ix_(inside, inside)]
    H.flat[:: len(H) + 1] += l2[inside]
    _, step, failed = dposv(H, -slope, lower=True, overwrite_a=True)
    if failed:  # columns that are the same to rounding, or pairs that bend the model down
        return np.zeros(len(w))
    x, low, high = w[inside], lower[inside], upper[inside]
    # A coefficient that l1 holds stops at 0, where its sign ends.
    low = np.where((x > 0) & (l1[inside] > 0), np.maximum(low, 0.0), low)
    high = np.where((x < 0) & (l1[inside] > 0), np.minimum(high, 0.0), high)
    with np.errstate(divide="ignore", invalid="ignore"):
        room = np.where(step < 0, (low - x) / step, np.where(step > 0, (high - x) / step, np.inf))
    length = min(1.0, float(room.min(initial=np.inf)))
    moved = np.zeros(len(w))
    to = np.where(room <= length, np.where(step < 0, low, high), x + length * step)
    moved[inside] = to - x
    w[inside] = to
    return moved


def along_groups(
    model: Float,
    penalty: Float,
    gradient: Float,
    w: Float,
    groups: tuple[Index, Index],
) -> Float:
    """Move w by a Newton step on the groups that are not 0, where ‖w_g‖ is smooth, as far as the model plus
    the penalty falls. Returns the step."""
    starts, members = groups
    group = np.empty(len(w), np.int64)
    group[members] = np.repeat(np.arange(len(starts) - 1), np.diff(starts))
    l2, l1 = penalty[:2]

    def norms(v: Float) -> Float:
        return np.sqrt(np.bincount(group, v * v))[group]

    size = norms(w)
    inside = np.flatnonzero((size > 0) | (l1 == 0))
    pull = np.where(l1 > 0, l1 / np.where(size > 0, size, 1.0), 0.0)  # of a group, per unit of length
    unit = w / np.where(size > 0, size, 1.0)
    slope = gradient + (l2 + pull) * w
    H = model[np.ix_(inside, inside)]
    H[np.diag_indices_from(H)] += (l2 + pull)[inside]
    same = group[inside][:, None] == group[inside]
    H -= same * pull[inside] * unit[inside][:, None] * unit[inside]
    step = np.zeros(len(w))
    try:
        step[inside] = cho_solve(cho_factor(H, check_finite=False), -slope[inside], check_finite=False)
    except np.linalg.LinAlgError:
        return step
    bend, fall = float(step @ (model @ step)), float(gradient @ step)

    def rises(t: float) -> float:
        """The slope along the step at t: it rises with t."""
        to = w + t * step
        length = norms(to)
        held = np.where((l1 > 0) & (length > 0), l1 / np.where(length > 0, length, 1.0), 0.0)
        return fall + t * bend + float(((l2 + held) * to) @ step)

    low, high = (1.0, 1.0) if rises(1.0) <= 0 else (0.0, 1.0)
    while high - low > 0.01:
        middle = 0.5 * (low + high)
        low, high = (low, middle) if rises(middle) > 0 else (middle, high)
    step *= low
    w += step
    return step
