"""The tiles of `_tiles`, by xent's native kernels on the tensors' own memory.

Design
 a. Tiles lie class by class (classes, rows), as the kernels' softmax wants them; W and x are read in their
    own dtype.
 b. A thread owns rows: it multiplies a tile out for some of them, while it is in cache, and takes it up.
    Backward makes tiles again; where gradients of W are wanted all threads then share a tile's classes, so
    that those of a class are summed over all rows at once, in float32 or float64, and rounded once.
 c. What a row gets does not depend on its neighbours: products are summed in an order of their own
    (native/matrix.hpp).
"""

from __future__ import annotations

import functools
import itertools
import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .. import _kernels
from .._batch import Batch, TopK
from ._gradient import Gradients, Need, Residual, Upstream
from ._tiles import Logits, Rows, Targets

_ROWS = 256  # at a time: a tile of 512 classes is half of a core's cache
_CLASSES = 512
_MOST_KEPT = 8192  # rows: a tile of _CLASSES takes 16 MiB then
# Numbers of a bfloat16 W beyond which gradients by logits are rounded to bfloat16, for speed.
_ROUNDED = 1 << 16
_MEMORY = {
    torch.float64: np.float64,
    torch.float32: np.float32,
    torch.float16: np.int16,
    torch.bfloat16: np.int16,
}
KINDS = {torch.float64: "d", torch.float32: "f", torch.float16: "h", torch.bfloat16: "b"}
Array = NDArray[Any]


def serves(logits: Logits, targets: Targets | None, bends: bool) -> bool:
    """Whether the native kernels have what it takes; `bends`: the entropy is wanted, or weighed."""
    x, W = logits.x, logits.W
    if not _kernels.HAS_NATIVE or W is None or targets is None or bends or x.device.type != "cpu":
        return False
    if x.dtype not in KINDS or W.dtype != x.dtype or not x.shape[0] or not W.shape[0]:
        return False
    if targets.smoothing == 1:
        return False
    plain = targets.index is not None and targets.value is None and not targets.smoothing
    return targets.class_weight is None or plain


def keeps(x: Tensor, W: Tensor, max_bytes: int) -> bool:
    """Whether forward had better keep exp(z − m) for backward, in bfloat16: where products of that are so
    fast that making z again would be a quarter of the time, and it takes no more than `max_bytes`."""
    few = 2 * x.shape[0] * W.shape[0] <= max_bytes and x.shape[0] <= _MOST_KEPT
    return few and x.dtype == torch.bfloat16 and W.numel() >= _ROUNDED and _kernels.has_pairs()


def room_to_keep(x: Tensor, W: Tensor | None, keep: bool) -> tuple[Tensor, Tensor]:
    """For exp(z − m) (K, N), and for the m that each tile knew, (tiles, N); of nothing unless `keep`."""
    n, K = (x.shape[0], W.shape[0]) if keep and W is not None else (0, 0)
    tiles = (K + _CLASSES - 1) // _CLASSES
    return empty((K, n), torch.bfloat16, x), empty((tiles, n), torch.float32, x)


def empty(shape: Sequence[Any], dtype: torch.dtype, like: Tensor) -> Tensor:
    """A tensor to fill; a large one from NumPy, which asks the system for large pages: the 8192 small ones of
    32 MiB took a tenth of the time of all the products over them."""
    if type(like) is not Tensor or like.device.type != "cpu" or dtype not in _MEMORY:
        return like.new_empty(shape, dtype=dtype)
    return torch.from_numpy(np.empty(shape, _MEMORY[dtype])).view(dtype)


def forward(logits: Logits, targets: Targets, room: tuple[Tensor, Tensor] | None = None) -> Rows:
    """See `_tiles.forward`; fills `room_to_keep`."""
    work = _Work(logits, targets)
    kept = np.empty((work.n, 7))
    if room is not None:
        work.keep(room)

    def rows_of(t: int) -> None:
        columns = [work.columns(rows) for rows in work.chunks[t]]
        spare = work.spare(_ROWS)
        for classes in work.tiles:
            for rows, column in zip(work.chunks[t], columns, strict=True):
                z = work.tile(rows, classes, spare, column.filled)
                if work.kept is None:
                    column.scan(z, classes.start, None)
                    continue
                peaks = np.empty(column.filled, work.dtype)
                column.scan(z, classes.start, peaks)
                live = rows.stop - rows.start
                _kernels.narrow(z[:, :live], work.kept[classes, rows])
                work.peaks[classes.start // _CLASSES, rows] = peaks[:live]
        for rows, column in zip(work.chunks[t], columns, strict=True):
            column.finish()
            column.save(kept[rows])

    work.share(rows_of)
    peak, rest, winner, live, loss, mass, target = torch.from_numpy(kept).unbind(1)
    if targets.class_weight is not None and targets.index is not None:
        mass = targets.class_weight.double()[targets.index]
        loss, target = loss * mass, target * mass
    if logits.options.z_loss:
        loss = loss + logits.options.z_loss * (peak + torch.log1p(rest)) ** 2
    undefined = peak - peak
    entropy = torch.zeros_like(peak)  # not asked for
    return Rows(peak + undefined, rest, mass, live, live, winner.long(), loss, entropy, target)


def backward(
    logits: Logits,
    targets: Targets,
    stats: Rows,
    up: Upstream,
    need: Need,
    room: tuple[Tensor, Tensor] | None = None,
) -> Gradients:
    """See `_gradient.backward`; not of the targets' values. `room`: what forward kept."""
    work = _Work(logits, targets)
    if room is not None:
        work.keep(room)
    given = _given(logits, targets, stats, up)
    x, W = logits.x, logits.W
    assert W is not None
    dx = torch.zeros(x.shape, dtype=logits.dtype) if need[0] else None
    dW = empty(W.shape, W.dtype, W) if need[1] else None
    db = torch.empty(len(W), dtype=W.dtype if logits.b is None else logits.b.dtype) if need[2] else None
    together = need[1] or need[2]
    G = work.spare(work.filled if together else 0)
    meet = threading.Barrier(work.threads)

    def rows_of(t: int) -> None:
        columns = [work.columns(rows) for rows in work.chunks[t]]
        for rows, column in zip(work.chunks[t], columns, strict=True):
            column.restore(given[rows])
        spare = work.spare(0 if together else _ROWS)
        for classes in work.tiles:
            for rows, column in zip(work.chunks[t], columns, strict=True):
                g = work.residual(rows, classes, G[:, rows.start :] if together else spare, column)
                if dx is not None:
                    live = g[:, : rows.stop - rows.start]
                    work.multiply(live.T, work.W[classes], dx[rows].numpy(), add=True)
            if together:
                meet.wait()
                size = classes.stop - classes.start
                part = slice(size * t // work.threads, size * (t + 1) // work.threads)
                work.of_classes(G[part, : work.n], classes.start + part.start, dW, db)
                meet.wait()

    work.share(rows_of, meet)
    return Gradients(None if dx is None else dx.to(x.dtype), dW, db)


def _given(logits: Logits, targets: Targets, stats: Rows, up: Upstream) -> Array:
    """What the kernels need of rows for their residuals, (n, 7)."""
    r = Residual(logits, targets, stats, up, slice(0, logits.shape[0]))
    factor = r.factor * stats.mass if targets.class_weight is not None else r.factor
    share = torch.zeros_like(factor) if r.smooth is None else r.smooth
    peak = torch.where(r.peak == -torch.inf, 0, r.peak)
    columns = (peak, r.rest, r.winner.double(), r.A * r.inverse, factor, share, r.top)
    return torch.stack(columns, 1).numpy()


class _Work:
    """A call's arrays, and who does which of it."""

    def __init__(self, logits: Logits, targets: Targets) -> None:
        self.logits, self.n, self.threads = logits, logits.shape[0], torch.get_num_threads()
        assert logits.W is not None
        kind = KINDS[logits.x.dtype]
        self.kind, self.mixed = 2 * kind, ("d" if kind == "d" else "f") + kind
        self.dtype = np.dtype(np.float64 if kind == "d" else np.float32)
        # As PyTorch does with all of them. It must depend on nothing but the model: on no batch.
        self.rounds = logits.W.numel() >= _ROUNDED
        self.x, self.W = memory(logits.x), memory(logits.W)
        self.kept: Array | None = None
        self.peaks: Array = np.empty((0, 0))
        self.b = None if logits.b is None else logits.b.to(logits.dtype).numpy()
        starts = range(0, self.n, _ROWS)
        chunks = [slice(a, min(a + _ROWS, self.n)) for a in starts]
        self.threads = max(min(self.threads, len(chunks)), 1)
        cuts = [len(chunks) * t // self.threads for t in range(self.threads + 1)]
        self.chunks = [chunks[a:z] for a, z in itertools.pairwise(cuts)]
        self.filled = -(-self.n // 16) * 16
        K = len(self.W)
        room = logits.options.max_bytes // (self.dtype.itemsize * max(self.filled, logits.x.shape[1], 1))
        self.step = max(min(_CLASSES, room, K), 1)
        self.tiles = [slice(a, min(a + self.step, K)) for a in range(0, K, self.step)]
        self.batch = Batch(np.empty((self.n, 0)), self._targets(targets), label_smoothing=targets.smoothing)

    def keep(self, room: tuple[Tensor, Tensor]) -> None:
        """Take tiles as `room_to_keep` has them."""
        kept, peaks = room
        self.kept, self.peaks = memory(kept)[:, : self.n], peaks.numpy()[:, : self.n]
        self.step = min(_CLASSES, len(self.W))
        self.tiles = [slice(a, min(a + self.step, len(self.W))) for a in range(0, len(self.W), self.step)]

    @staticmethod
    def _targets(targets: Targets) -> Any:
        value = None if targets.value is None else targets.value.to(wide_value(targets.value)).numpy()
        if targets.index is None:
            return value
        index = targets.index.numpy()
        return index if value is None else TopK(index, value.astype(np.float64))

    def columns(self, rows: slice) -> Any:
        return _kernels.columns(self.batch, np.arange(rows.start, rows.stop), len(self.W), self.dtype)

    def multiply(self, A: Array, B: Array, out: Array, add: bool = False) -> None:
        _kernels.multiply(self.mixed, A, B, out, add=add, round_A=self.rounds)

    def of_classes(self, g: Array, first: int, dW: Tensor | None, db: Tensor | None) -> None:
        """Gradients of the classes from `first` on, g (classes, rows) being those by their logits."""
        here = slice(first, first + len(g))
        if dW is not None and self.kind[0] in "df":
            self.multiply(g, self.x, dW[here].numpy())
        elif dW is not None:
            product = np.empty((len(g), self.x.shape[1]), self.dtype)
            self.multiply(g, self.x, product)
            if self.kind[0] == "b":  # PyTorch's conversion would bring threads of its own
                _kernels.narrow(product, memory(dW[here]))
            else:
                memory(dW[here])[...] = product.astype(np.float16).view(np.uint16)
        if db is not None:
            db[here] = torch.from_numpy(g.sum(axis=1, dtype=np.float64)).to(db.dtype)

    def spare(self, rows: int) -> Array:
        """Room for a tile of so many rows; a line of cache more, lest a power of two of them fall on each
        other."""
        return np.empty((self.step if rows else 0, rows + 16), self.dtype)[:, :rows]

    def tile(self, rows: slice, classes: slice, out: Array, filled: int) -> Array:
        """Logits of a tile, written into `out` (classes, rows); rows that fill it up are 0."""
        z = out[: classes.stop - classes.start, :filled]
        live = rows.stop - rows.start
        _kernels.multiply(self.kind, self.W[classes], self.x[rows].T, z[:, :live])
        z[:, live:] = 0
        o = self.logits.options
        if self.b is not None:
            z += self.b[classes, None]
        if o.softcap:
            z /= o.softcap
            np.tanh(z, out=z)
            z *= o.softcap
        if o.temperature != 1:
            z /= o.temperature
        return z

    def residual(self, rows: slice, classes: slice, out: Array, column: Any) -> Array:
        """The gradient by W x + b of a tile."""
        o = self.logits.options
        if self.kept is not None:
            live, z = rows.stop - rows.start, out[: classes.stop - classes.start, : column.filled]
            peaks = np.zeros(column.filled, self.dtype)
            _kernels.widen(self.kept[classes, rows], z[:, :live])
            z[:, live:] = 0
            peaks[:live] = self.peaks[classes.start // _CLASSES, rows]
            column.residual(z, classes.start, peaks)
            if o.temperature != 1:
                z /= o.temperature
            return z
        z = self.tile(rows, classes, out, column.filled)
        slope: Any = 1 / o.temperature
        if o.softcap:
            slope = (1 - np.square(z * (o.temperature / o.softcap))) / o.temperature
        column.residual(z, classes.start, None)
        if o.softcap or o.temperature != 1:
            z *= slope
        return z

    def share(self, work: Callable[[int], None], meet: threading.Barrier | None = None) -> None:
        """Run work(t) on each thread; an error of one is everybody's."""

        def guarded(t: int) -> None:
            try:
                work(t)
            except BaseException:
                if meet is not None:
                    meet.abort()
                raise

        if self.threads == 1:
            work(0)
            return
        with _in_turn:  # threads of two calls that wait for each other would wait for ever
            futures = [_pool(self.threads).submit(guarded, t) for t in range(self.threads)]
            errors = [future.exception() for future in futures]
        found = [e for e in errors if e is not None and not isinstance(e, threading.BrokenBarrierError)]
        if found:
            raise found[0]


def over_threads(n: int, work: Callable[[slice], None]) -> None:
    """work(rows) for n rows, a range a thread."""
    threads = max(min(torch.get_num_threads(), n), 1)
    parts = [slice(n * t // threads, n * (t + 1) // threads) for t in range(threads)]
    if threads == 1:
        work(parts[0])
        return
    with _in_turn:
        list(_pool(threads).map(work, parts))


@functools.cache
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, thread_name_prefix="xent")


_in_turn = threading.Lock()


def _forget() -> None:
    """In a forked child: threads do not survive fork(), nor who held the lock."""
    global _in_turn
    _in_turn = threading.Lock()
    _pool.cache_clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)


def wide_value(value: Tensor) -> torch.dtype:
    return torch.float64 if value.dtype == torch.float64 else torch.float32


def memory(t: Tensor) -> Array:
    """The numbers of a tensor, not copied; 16 bits as uint16."""
    t = t.detach()
    return t.view(torch.int16).numpy().view(np.uint16) if t.element_size() == 2 else t.numpy()
