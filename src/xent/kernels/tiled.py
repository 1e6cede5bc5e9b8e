"""Many classes: a pass in tiles of rows × classes whose products BLAS multiplies out.

Design
 a. A block of rows has all its logits in memory, at most `max_bytes` per thread. W is read twice per block,
    so large blocks pay: with 512 rows that traffic is a few per cent of the products.
 b. Where even 128 rows do not fit, a tile of logits is multiplied out twice instead of kept: once for the
    softmax's sums, once for the gradient. Half as many products again, any number of classes.
 c. Forward, a thread owns rows; backward, it owns classes and adds to the one gradient: no second K×d.
    Each thread's BLAS is held to one thread, so that the two kinds never wait for each other.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import partial
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
    """`native.sums` for dense X and many classes, with about `max_bytes` of working memory per thread."""
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
        for start in range(0, batch.shape[0], step):
            part = slice(start, min(start + step, batch.shape[0]))
            live = batch.live(part)
            index = np.arange(part.start, part.stop) if live is None else start + np.flatnonzero(live)
            if len(index):
                block = _Block(batch, index, W, b, threads, keep, classes)
                list(pool.map(block.forward, range(threads)))
                totals += [sum(t) for t in zip(*(c.finish() for c in block.columns), strict=True)]
                if gradient:
                    # No name for the partial: it would keep this block alive beside the next.
                    list(pool.map(partial(block.backward, grad_W=grad_W, grad_b=grad_b), range(threads)))
    return native.Totals(*map(float, totals)), grad_W, grad_b


class _Block:
    """The rows of one block: a softmax state for the rows of each thread and, if `keep`, all logits."""

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
        # Rows of zeros, which weigh nothing, fill the last thread's rows up to whole vectors.
        self.rows = [slice(a, a + c.filled) for (a, _), c in zip(parts, self.columns, strict=True)]
        self.X = np.zeros((self.rows[-1].stop, W.shape[1]), W.dtype)
        self.X[: len(index)] = batch.X[index[0] : index[-1] + 1] if _is_range(index) else batch.X[index]
        self.tiles = [slice(k, min(k + classes, len(W))) for k in range(0, len(W), classes)]
        self.Z = np.empty((len(W), len(self.X)), W.dtype) if keep else None
        self.offset, self.index = batch.offset, index
        self.peaks = np.empty((len(self.tiles), len(self.X)), W.dtype)

    def _logits(self, tile: slice, rows: slice, out: Array) -> None:
        """Fills `out` with the logits of these classes and rows."""
        np.matmul(self.W[tile], self.X[rows].T, out=out)
        out += self.b[tile, None]
        if self.offset is not None:
            index = self.index[rows]  # rows of zeros at the end have none
            chosen = slice(index[0], index[-1] + 1) if _is_range(index) else index
            out[:, : len(index)] += self.offset[chosen, tile].T

    def _spare(self, width: int) -> Array:
        """Room for one tile of logits if they are not kept, else nothing."""
        return np.empty((self.classes if self.Z is None else 0, width), self.W.dtype)

    def forward(self, t: int) -> None:
        """Thread t's part of the loss: reads all classes of its own rows."""
        if t >= len(self.rows):
            return
        rows = self.rows[t]
        spare = self._spare(rows.stop - rows.start)
        for i, tile in enumerate(self.tiles):
            Z = spare[: tile.stop - tile.start] if self.Z is None else self.Z[tile, rows]
            self._logits(tile, rows, Z)
            self.columns[t].scan(Z, tile.start, self.peaks[i, rows])

    def backward(self, t: int, grad_W: Float, grad_b: Float) -> None:
        """Thread t's part of the gradient: adds all rows to its own classes."""
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
    """Whether ascending indices leave none out."""
    return bool(index[-1] - index[0] + 1 == len(index))
