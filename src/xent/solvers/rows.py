"""Which rows curve which class: the rows of largest s p (1 − p), found a block of rows at a time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import linear
from ..objective import Objective

Float = NDArray[np.float64]

_BLOCK_NUMBERS = 1 << 22  # probabilities looked at together


def heaviest_rows(
    objective: Objective, theta: Float, most: int
) -> tuple[list[tuple[NDArray[np.int64], Float]], Float]:
    """For every class about the `most` rows of largest s p (1 − p), as (indices, weights), and all rows'
    total."""
    K, n = objective.n_classes, objective.n_rows
    total, threshold = np.zeros(K), None
    found: list[tuple[NDArray[np.int64], NDArray[np.int64], Float]] = []
    for start, weights in curvature_weights(objective, theta, objective):
        if not weights.any():  # rows of weight 0, which say nothing of the others
            continue
        total += weights.sum(axis=0)
        if threshold is None:  # what share of (row, class) pairs is kept is judged by the first rows
            keep = min(1.0, 1.5 * most / n)
            flat = weights.ravel()
            place = min(int((1 - keep) * len(flat)), len(flat) - 1)
            threshold = max(float(np.partition(flat, place)[place]), np.finfo(float).tiny)
        row, k = np.nonzero(weights >= threshold)
        found.append((row + start, k, weights[row, k]))
    if not found:  # nothing curves: every p is 0 or 1 to working precision
        nothing = np.zeros(0, np.int64), np.zeros(0)
        return [nothing] * K, total
    row, k, weight = (np.concatenate(parts) for parts in zip(*found, strict=True))
    order = np.argsort(k, kind="stable")
    chosen = []
    for mine in np.split(order, np.searchsorted(k[order], np.arange(1, K))):
        if len(mine) > most:
            mine = np.sort(mine[np.argpartition(weight[mine], len(mine) - most)[len(mine) - most :]])
        chosen.append((row[mine], weight[mine].astype(np.float64)))
    return chosen, total


def curvature_weights(
    objective: Objective, theta: Float, source: Objective
) -> Iterator[tuple[int, NDArray[Any]]]:
    """s p (1 − p) of a block of the source's rows at a time, (rows, K), and the number of its first row."""
    source.n_passes += 1
    W, b = objective.coefficients(theta)
    dtype = np.float32 if objective.is_narrow else np.float64
    W, b = W.astype(dtype, order="C"), b.astype(dtype)
    first = 0
    step = max(_BLOCK_NUMBERS // objective.n_classes, 1)
    for batch in source.batches:
        for start in range(0, batch.shape[0], step):
            part = batch.take(slice(start, start + step))
            P = linear.predict_proba(part.X, W, b, offset=part.offset, n_threads=objective.n_threads)
            P *= 1 - P
            if part.weight is not None:
                P *= part.weight[:, None]
            live = part.live(slice(0, len(P)))
            if live is not None:
                P[~live] = 0
            yield first + start, P
        first += batch.shape[0]


def probabilities(
    objective: Objective, theta: Float, width: int
) -> Iterator[tuple[NDArray[np.intp], tuple[Float, Float]]]:
    """Which rows that count, their weights s and probabilities (rows, K), a block with room for `width`
    numbers a row at a time."""
    objective.n_passes += 1
    W, b = objective.coefficients(theta)
    first, step = 0, max(_BLOCK_NUMBERS // max(width, 1), 64)
    for batch in objective.batches:
        for start in range(0, batch.shape[0], step):
            rows = np.arange(start, min(start + step, batch.shape[0]))
            live = batch.live(slice(rows[0], rows[-1] + 1))
            rows = rows if live is None else rows[live]
            if not len(rows):
                continue
            part = batch.take(rows)
            P = linear.predict_proba(part.X, W, b, offset=part.offset, n_threads=objective.n_threads)
            weight = np.ones(len(rows)) if part.weight is None else part.weight
            yield first + rows, (weight, P.astype(np.float64))
        first += batch.shape[0]


def centred_rows(
    objective: Objective, source: Objective, index: Any, dtype: Any, columns: NDArray[np.intp] | None = None
) -> NDArray[Any]:
    """Rows of the source, centred as the objective's, with a 1 behind them for an intercept, (m, D); or these
    of their columns."""
    d, intercept, centre = objective.n_features, objective.fit_intercept, objective.centre
    features = None
    if columns is not None and len(columns) < d + intercept:
        features = columns[columns < d]
        intercept, centre = len(features) < len(columns), centre[features]
    parts, first = [], 0
    for batch in source.batches:
        mine = index
        if not isinstance(index, slice):
            mine = index[(index >= first) & (index < first + batch.shape[0])] - first
        X = batch.X[mine] if features is None else batch.X[mine][:, features]
        parts.append(linear.augmented(X, centre, intercept, dtype))
        first += batch.shape[0]
    return parts[0] if len(parts) == 1 else np.concatenate(parts)
