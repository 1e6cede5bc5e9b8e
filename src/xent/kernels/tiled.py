"""Many classes: a pass in tiles of rows × classes whose products BLAS multiplies out.

Design
 a. A block of rows has all its logits in memory, at most `max_bytes` a thread: W is read twice a block, so
    blocks want to be large; 512 rows make its traffic a few per cent of the products.
 b. Where even 128 rows do not fit, a tile of logits is multiplied out twice instead of kept: once for the
    softmax's sums, once for the gradient. Half as many products again, any number of classes.
 c. Forward, a thread owns rows; backward it owns classes and adds into the one gradient: no second K×d.
    Each thread's BLAS is held to one thread, so that the two kinds never wait for each other.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import numpy as np

from .._types import Array, Float, Index
from ..data.batch import Batch
from . import native
from .threads import blas

MAX_BYTES = 64 << 20
_CLASSES = 512  # in a tile: at full BLAS speed, and a tile of 512 rows fits a core's cache
_ROWS = 2048
_FEWEST_ROWS = 128
_LANES = 16  # rows in the widest vector


def sums(
    batch: Batch, W: Array, b: Array, *, gradient: bool, n_threads: int, max_bytes: int
) -> tuple[native.Totals, Float, Float]:
    """`native.sums` for dense X and many classes."""
    threads = n_threads if n_threads > 0 else native.max_threads()
    K, d = W.shape
    grad_W, grad_b = np.zeros((K if gradient else 0, d)), np.zeros(K if gradient else 0)
    totals = np.zeros(3)
    rows = max_bytes * threads // ((K + d) * W.itemsize)
    keep = rows >= _FEWEST_ROWS
    if not keep:
        rows = min(max(max_bytes * threads // (d * W.itemsize), _LANES), 4 * _FEWEST_ROWS)
    step = min(rows, _ROWS, max(batch.shape[0], 1))
    classes = min(max(max_bytes // (2 * d * W.itemsize), _LANES), _CLASSES, K)
    with blas("one"), ThreadPoolExecutor(threads) as pool:
        share = lambda work: list(pool.map(work, range(threads)))  # noqa: E731
        for start in range(0, batch.shape[0], step):
            part = slice(start, min(start + step, batch.shape[0]))
            live = batch.live(part)
            index = np.arange(part.start, part.stop) if live is None else start + np.flatnonzero(live)
            if len(index):
                block = _Block(batch, index, W, b, threads, keep, classes)
                share(block.forward)
                totals += [sum(t) for t in zip(*(c.finish() for c in block.columns), strict=True)]
                if gradient:
                    share(lambda t: block.backward(t, grad_W, grad_b))  # noqa: B023
    return native.Totals(*map(float, totals)), grad_W, grad_b


class _Block:
    """The rows of one block: their softmax states, a thread's rows each, and their logits if kept."""

    def __init__(
        self,
        batch: Batch,
        index: Index,
        W: Array,
        b: Array,
        threads: int,
        keep: bool,
        classes: int,
    ) -> None:
        self.W, self.b, self.threads, self.classes = W, b, threads, classes
        cuts = [len(index) * t // threads // _LANES * _LANES for t in range(threads)] + [len(index)]
        parts = [(a, z) for a, z in pairwise(cuts) if z > a]
        self.columns = [native.columns(batch, index[a:z], len(W), W.dtype) for a, z in parts]
        # The last thread's rows are filled up to whole vectors, by rows of zeros that weigh nothing.
        self.rows = [slice(a, a + c.filled) for (a, _), c in zip(parts, self.columns, strict=True)]
        self.X = np.zeros((self.rows[-1].stop, W.shape[1]), W.dtype)
        self.X[: len(index)] = batch.X[index[0] : index[-1] + 1] if _is_range(index) else batch.X[index]
        self.tiles = [slice(k, min(k + classes, len(W))) for k in range(0, len(W), classes)]
        self.Z = np.empty((len(W), len(self.X)), W.dtype) if keep else None
        self.offset, self.index = batch.offset, index
        self.peaks = np.empty((len(self.tiles), len(self.X)), W.dtype)

    def _logits(self, tile: slice, rows: slice, out: Array) -> None:
        np.matmul(self.W[tile], self.X[rows].T, out=out)
        out += self.b[tile, None]
        if self.offset is not None:
            index = self.index[rows]  # the rows that fill up the last thread's have none
            chosen = slice(index[0], index[-1] + 1) if _is_range(index) else index
            out[:, : len(index)] += self.offset[chosen, tile].T

    def _spare(self, width: int) -> Array:
        """Room for one tile of logits, where they are not kept."""
        return np.empty((self.classes if self.Z is None else 0, width), self.W.dtype)

    def forward(self, t: int) -> None:
        if t >= len(self.rows):
            return
        rows = self.rows[t]
        spare = self._spare(rows.stop - rows.start)
        for i, tile in enumerate(self.tiles):
            Z = spare[: tile.stop - tile.start] if self.Z is None else self.Z[tile, rows]
            self._logits(tile, rows, Z)
            self.columns[t].scan(Z, tile.start, self.peaks[i, rows])

    def backward(self, t: int, grad_W: Float, grad_b: Float) -> None:
        spare = self._spare(len(self.X))
        product = np.empty((self.classes, self.W.shape[1]), self.W.dtype)
        for i, tile in list(enumerate(self.tiles))[t :: self.threads]:
            G = spare[: tile.stop - tile.start] if self.Z is None else self.Z[tile]
            if self.Z is None:
                self._logits(tile, slice(None), G)
            for rows, column in zip(self.rows, self.columns, strict=True):
                column.residual(G[:, rows], tile.start, None if self.Z is None else self.peaks[i, rows])
            grad_W[tile] += np.matmul(G, self.X, out=product[: len(G)])
            grad_b[tile] += G.sum(axis=1, dtype=np.float64)


def _is_range(index: Index) -> bool:
    return bool(index[-1] - index[0] + 1 == len(index))
