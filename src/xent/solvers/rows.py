"""What rows curve: which of them curve which class, the rows of largest s p (1 − p), and the whole Hessian; a
block of rows at a time."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg.blas import dsyrk

from .. import _kernels, linear
from ..objective import Objective

Float = NDArray[np.float64]

_BLOCK_NUMBERS = 1 << 22  # probabilities looked at together
_ROWS_TOGETHER = 1024  # that stay in cache while a Hessian's blocks are summed
_WORTH_THREADS = 2e7  # products
_KEPT = 1 << 18  # numbers: tables of so few are kept centred, at 4 MB


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


@dataclass(frozen=True)
class Kept:
    """The rows x̃ that count of a small table, for one Hessian after another: X (n, D), weight (n,), offset
    (n, K) or (1,), and room for X once more."""

    X: Float
    weight: Float
    offset: Float
    room: Float

    @staticmethod
    def of(objective: Objective) -> Kept | None:
        """None where the table is not small."""
        if objective.n_rows * objective.shape[1] > _KEPT:
            return None
        blocks = [block for batch in objective.batches for block in batch.blocks(max(objective.n_rows, 1))]
        X = _joined([linear.augmented(X, objective.centre, objective.fit_intercept) for X, _, _ in blocks])
        weight, offset = _joined([weight for _, _, weight in blocks]), np.zeros(1)
        if any(part.offset is not None for _, part, _ in blocks):
            none = np.zeros((1, objective.n_classes))
            offset = _joined(
                [none.repeat(len(w), 0) if part.offset is None else part.offset for _, part, w in blocks]
            )
        return Kept(X, weight, offset, np.empty_like(X))

    def pair_grams(self, theta: Float, columns: NDArray[np.intp], pairs: list[tuple[int, int]]) -> Float:
        """As `_pair_grams`."""
        P = np.ascontiguousarray((self.X @ theta.T + self.offset).T)
        P -= P.max(axis=0)
        np.exp(P, out=P)
        P /= P.sum(axis=0)
        m = len(columns)
        grams = np.zeros((len(pairs), m, m))
        X, room = (
            (self.X, self.room) if m == self.X.shape[1] else (self.X[:, columns], np.empty((len(self.X), m)))
        )
        for gram, (k, j) in zip(grams, pairs, strict=True):
            np.multiply(X, np.sqrt(self.weight * P[k] * P[j])[:, None], out=room)
            dsyrk(1.0, room.T, 1.0, gram.T, overwrite_c=True)
        return grams


def _joined(parts: list[Float]) -> Float:
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def hessian(
    objective: Objective, theta: Float, columns: NDArray[np.intp] | None = None, kept: Kept | None = None
) -> Float:
    """One pass: the mean loss's Hessian at θ, (K, D, K, D), or of m `columns` of every class, (K, m, K, m);
    `kept`: the objective's rows, if they are.

    A pair of classes at a time, H_kj = −(1/S) Σ s p_k p_j x̃ x̃ᵀ; a diagonal block is −Σ_j≠k H_kj, of terms of
    one sign, where diag p − p pᵀ would cancel for a class that is all but certain.
    """
    K, D = objective.shape
    columns = np.arange(D) if columns is None else columns
    m, pairs = len(columns), list(itertools.combinations(range(K), 2))
    H = np.zeros((K, m, K, m))
    if not m:
        return H
    threads = objective.n_threads or _kernels.max_threads()
    threads = threads if objective.n_rows * m * m * len(pairs) > _WORTH_THREADS else 1
    batches = objective.read()
    if kept is not None:
        grams = kept.pair_grams(theta, columns, pairs)
    elif threads == 1:
        grams = _pair_grams(objective, theta, columns, pairs, batches)
    else:  # BLAS is held to one thread in a fit
        edges = np.linspace(0, 1, threads + 1)
        with ThreadPoolExecutor(threads) as pool:
            tasks = [
                pool.submit(
                    _pair_grams, objective, theta, columns, pairs, [_share(b, *ends) for b in batches]
                )
                for ends in itertools.pairwise(edges)
            ]
            grams = np.sum([task.result() for task in tasks], axis=0)
    for gram, (k, j) in zip(grams, pairs, strict=True):
        gram += np.tril(gram, -1).T
        gram /= objective.weight
        H[k, :, j] = H[j, :, k] = -gram
        H[k, :, k] += gram
        H[j, :, j] += gram
    return H


def _share(batch: linear.Batch, start: float, stop: float) -> linear.Batch:
    n = batch.shape[0]
    return batch.take(slice(int(start * n), int(stop * n)))


def _pair_grams(
    objective: Objective,
    theta: Float,
    columns: NDArray[np.intp],
    pairs: list[tuple[int, int]],
    batches: Sequence[linear.Batch],
) -> Float:
    """Σ s p_k p_j x̃ x̃ᵀ over the rows of `batches` for every pair, one triangle of each, (pairs, m, m)."""
    m, d = len(columns), objective.n_features
    grams, features = np.zeros((len(pairs), m, m)), columns[columns < d]
    pick: Any = slice(None) if len(features) == d else features
    centre = objective.centre[features]
    W, b = objective.coefficients(theta)
    augmented = np.ones((_ROWS_TOGETHER, m))
    weighted = np.empty_like(augmented)  # in place: fresh memory would cost as much as the products
    for batch in batches:
        for X, part, weight in batch.blocks(8 * _ROWS_TOGETHER):
            P = linear.predict_proba(part.X, W, b, offset=part.offset, n_threads=1).T
            for start in range(0, X.shape[0], _ROWS_TOGETHER):
                here = slice(start, start + _ROWS_TOGETHER)
                dense = X[here].toarray() if batch.is_sparse else X[here]
                rows, scaled = augmented[: len(dense)], weighted[: len(dense)]
                np.subtract(dense[:, pick], centre, out=rows[:, : len(features)])
                for gram, (k, j) in zip(grams, pairs, strict=True):
                    root = np.sqrt(weight[here] * P[k, here] * P[j, here])
                    np.multiply(rows, root[:, None], out=scaled)
                    dsyrk(1.0, scaled.T, 1.0, gram.T, overwrite_c=True)
    return grams


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
