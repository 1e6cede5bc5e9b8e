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
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import _kernels
from ._batch import Batch, Float
from ._threads import blas

MAX_BYTES = 64 << 20
_CLASSES = 512  # in a tile: at full BLAS speed, and a tile of 512 rows fits a core's cache
_ROWS = 1024
_FEWEST_ROWS = 128


def sums(
    batch: Batch, W: NDArray[Any], b: NDArray[Any], *, gradient: bool, n_threads: int, max_bytes: int
) -> tuple[_kernels.Totals, Float, Float]:
    """`_kernels.sums` for dense X and many classes."""
    threads = n_threads if n_threads > 0 else _kernels.max_threads()
    K, d = W.shape
    grad_W, grad_b = np.zeros(W.shape if gradient else (0, d)), np.zeros(K)
    totals = np.zeros(3)
    rows = max_bytes * threads // (K * W.itemsize)
    keep = rows >= _FEWEST_ROWS
    step = min(rows if keep else 4 * _FEWEST_ROWS, _ROWS, max(batch.shape[0], 1))
    with blas("one"), ThreadPoolExecutor(threads) as pool:
        share = lambda work: list(pool.map(work, range(threads)))  # noqa: E731
        for start in range(0, batch.shape[0], step):
            part = slice(start, min(start + step, batch.shape[0]))
            live = batch.live(part)
            index = np.arange(part.start, part.stop) if live is None else start + np.flatnonzero(live)
            if len(index):
                X = batch.X[part] if live is None else batch.X[index]
                block = _Block(batch, np.ascontiguousarray(X, W.dtype), index, W, b, threads, keep)
                share(block.forward)
                totals += [sum(t) for t in zip(*(c.finish() for c in block.columns), strict=True)]
                if gradient:
                    share(lambda t: block.backward(t, grad_W, grad_b))  # noqa: B023
    return _kernels.Totals(*map(float, totals)), grad_W, grad_b


class _Block:
    """The rows of one block: their softmax states, a thread's rows each, and their logits if kept."""

    def __init__(
        self, batch: Batch, X: NDArray[Any], index: NDArray[np.int64], W: NDArray[Any], b: NDArray[Any],
        threads: int, keep: bool,
    ) -> None:  # fmt: skip
        self.X, self.W, self.b, self.threads = X, W, b, threads
        cuts = [len(index) * t // threads for t in range(threads + 1)]
        self.rows = [slice(a, z) for a, z in pairwise(cuts) if z > a]
        self.columns = [_kernels.columns(batch, index[r], len(W), W.dtype) for r in self.rows]
        # A thread's rows are filled up to whole vectors.
        ends = np.cumsum([0] + [c.filled for c in self.columns])
        self.lanes = [slice(a, z) for a, z in pairwise(ends)]
        self.width = int(ends[-1])
        self.tiles = [slice(k, min(k + _CLASSES, len(W))) for k in range(0, len(W), _CLASSES)]
        self.Z = np.empty((len(W), self.width), W.dtype) if keep else None
        self.peaks = np.empty((len(self.tiles), self.width), W.dtype)

    def _logits(self, tile: slice, t: int, out: NDArray[Any]) -> None:
        rows, n = self.rows[t], self.rows[t].stop - self.rows[t].start
        np.matmul(self.W[tile], self.X[rows].T, out=out[:, :n])
        out[:, :n] += self.b[tile, None]
        out[:, n:] = 0

    def _spare(self, width: int) -> NDArray[Any]:
        """Room for one tile of logits, where they are not kept."""
        return np.empty((_CLASSES if self.Z is None else 0, width), self.W.dtype)

    def forward(self, t: int) -> None:
        if t >= len(self.rows):
            return
        spare = self._spare(self.columns[t].filled)
        for i, tile in enumerate(self.tiles):
            Z = spare[: tile.stop - tile.start] if self.Z is None else self.Z[tile, self.lanes[t]]
            self._logits(tile, t, Z)
            self.columns[t].scan(Z, tile.start, self.peaks[i, self.lanes[t]])

    def backward(self, t: int, grad_W: Float, grad_b: Float) -> None:
        spare = self._spare(self.width)
        for i, tile in list(enumerate(self.tiles))[t :: self.threads]:
            G = spare[: tile.stop - tile.start] if self.Z is None else self.Z[tile]
            for u, column in enumerate(self.columns):
                part = G[:, self.lanes[u]]
                if self.Z is None:
                    self._logits(tile, u, part)
                column.residual(part, tile.start, None if self.Z is None else self.peaks[i, self.lanes[u]])
                rows, n = self.rows[u], self.rows[u].stop - self.rows[u].start
                grad_W[tile] += part[:, :n] @ self.X[rows]
                grad_b[tile] += part[:, :n].sum(axis=1, dtype=np.float64)
