"""Which rows curve which class: the rows of largest s p (1 − p), and the whole Hessian, a block of rows at a
time."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from .._types import Array, Float, Index, Matrix
from ..data import Batch
from ..data.source import stacked
from ..kernels import linear, native
from ..objective.loss import MeanLoss

_BLOCK_NUMBERS = 1 << 22  # probabilities looked at together
_KEPT = 1 << 18  # numbers: tables of so few are kept centred, at 4 MB


def heaviest_rows(loss: MeanLoss, theta: Float, most: int) -> tuple[list[tuple[Index, Float]], Float]:
    """For every class the rows of largest s p (1 − p), about `most` of them, as (indices, weights); and the
    total over all rows, (K,)."""
    K, n = loss.n_classes, loss.n_rows
    total, threshold = np.zeros(K), None
    pieces: list[tuple[Index, Index, Float]] = []
    for start, weights in curvature_weights(loss, theta, loss):
        if not weights.any():  # rows of weight 0, which say nothing of the others
            continue
        total += weights.sum(axis=0)
        if threshold is None:  # what share of (row, class) pairs is kept is judged by the first rows
            keep = min(1.0, 1.5 * most / n)
            flat = weights.ravel()
            place = min(int((1 - keep) * len(flat)), len(flat) - 1)
            threshold = max(float(np.partition(flat, place)[place]), np.finfo(float).tiny)
        row, k = np.nonzero(weights >= threshold)
        pieces.append((row + start, k, weights[row, k]))
    if not pieces:  # nothing curves: every p is 0 or 1 to working precision
        nothing = np.zeros(0, np.int64), np.zeros(0)
        return [nothing] * K, total
    row, k, weight = (np.concatenate(parts) for parts in zip(*pieces, strict=True))
    order = np.argsort(k, kind="stable")
    chosen = []
    for mine in np.split(order, np.searchsorted(k[order], np.arange(1, K))):
        if len(mine) > most:
            mine = np.sort(mine[np.argpartition(weight[mine], len(mine) - most)[len(mine) - most :]])
        chosen.append((row[mine], weight[mine].astype(np.float64)))
    return chosen, total


def curvature_weights(loss: MeanLoss, theta: Float, sketch: MeanLoss) -> Iterator[tuple[int, Array]]:
    """The number of the first row and s p (1 − p), (rows, K), of one block of the sketch's rows after
    another."""
    W, b = loss.coefficients(theta)
    dtype = np.float32 if loss.is_narrow else np.float64
    W, b = W.astype(dtype, order="C"), b.astype(dtype)
    first = 0
    step = max(_BLOCK_NUMBERS // loss.n_classes, 1)
    for batch in sketch.read().batches():
        for start in range(0, batch.shape[0], step):
            part = batch.take(slice(start, start + step))
            P = linear.predict_proba(part.X, W, b, offset=part.offset, n_threads=loss.n_threads)
            P *= 1 - P
            if part.weight is not None:
                P *= part.weight[:, None]
            live = part.live(slice(0, len(P)))
            if live is not None:
                P[~live] = 0
            yield first + start, P
        first += batch.shape[0]


def probabilities(loss: MeanLoss, theta: Float, width: int) -> Iterator[tuple[Any, tuple[Float, Float]]]:
    """The rows of X that count, their weights s and probabilities (rows, K), in blocks that leave room for
    `width` numbers per row."""
    W, b = loss.coefficients(theta)
    step = max(_BLOCK_NUMBERS // max(width, 1), 64)
    for batch in loss.read().batches():
        for start in range(0, batch.shape[0], step):
            rows = np.arange(start, min(start + step, batch.shape[0]))
            live = batch.live(slice(rows[0], rows[-1] + 1))
            rows = rows if live is None else rows[live]
            if not len(rows):
                continue
            part = batch.take(rows)
            P = linear.predict_proba(part.X, W, b, offset=part.offset, n_threads=loss.n_threads)
            weight = np.ones(len(rows)) if part.weight is None else part.weight
            yield part.X, (weight, P.astype(np.float64))


@dataclass(frozen=True)
class Kept:
    """The rows x̃ that count of a small table, for one Hessian after another: X (n, D), weight (n,), and
    offset (n, K) or None."""

    X: Float
    weight: Float
    offset: Float | None

    @staticmethod
    def of(loss: MeanLoss) -> Kept | None:
        """The rows of a small table; None for a larger one."""
        if loss.n_rows * loss.shape[1] > _KEPT:
            return None
        blocks = [*itertools.chain.from_iterable(loss.source.map(_kept, loss.centre, loss.fit_intercept))]
        X, weight, offsets = zip(*blocks, strict=True)
        offset = None
        if loss.source.has_offset:
            none = np.zeros((1, loss.n_classes))
            pairs = zip(offsets, weight, strict=True)
            offset = stacked([none.repeat(len(w), 0) if o is None else o for o, w in pairs])
        return Kept(stacked(X), stacked(weight), offset)


def _kept(batch: Batch, centre: Float, intercept: bool) -> list[tuple[Float, Float, Float | None]]:
    """Copies of x̃, weight and offset of the rows that count: one block of them, or none."""
    return [
        (linear.augmented(X, centre, intercept), weight.copy(), copy.copy(part.offset))
        for X, part, weight in batch.blocks(max(batch.shape[0], 1))
    ]


def hessian(
    loss: MeanLoss, theta: Float, columns: NDArray[np.intp] | None = None, kept: Kept | None = None
) -> Float:
    """The mean loss's Hessian at θ, (K, D, K, D), or of m `columns` of every class, (K, m, K, m): one pass,
    which reads `kept` instead of X if that is not None."""
    (K, D), threads = loss.shape, loss.n_threads
    columns = None if columns is None or len(columns) == D else columns
    m = D if columns is None else len(columns)
    source = loss.read()
    if kept is not None:
        P = linear.predict_proba(kept.X, theta, np.zeros(K), offset=kept.offset, n_threads=threads)
        X = kept.X if columns is None else kept.X[:, columns]
        H = native.hessian(X, P, kept.weight, np.zeros(m), False, n_threads=threads)
    else:
        at = (*loss.coefficients(theta), loss.centre, loss.fit_intercept)
        H = source.sum(linear.hessian, *at, columns=columns, n_threads=threads)
    H /= loss.weight
    return H.reshape(K, m, K, m)


def gathered(loss: MeanLoss, chosen: Sequence[Index]) -> Callable[[int], Any]:
    """A function of k that returns the rows chosen[k] of X; one reading for all k if the source has no access
    by index."""
    return (loss.source if loss.source.by_index else loss.read()).gather(chosen)


def centred(loss: MeanLoss, X: Matrix, dtype: DTypeLike, columns: NDArray[np.intp] | None = None) -> Array:
    """Rows X (m, d) less the loss's centre, followed by a 1 for an intercept, (m, D); or these `columns` of
    them."""
    d, intercept, centre = loss.n_features, loss.fit_intercept, loss.centre
    if columns is not None and len(columns) < d + intercept:
        features = columns[columns < d]
        X, intercept, centre = X[:, features], len(features) < len(columns), centre[features]
    return linear.augmented(X, centre, intercept, dtype)
