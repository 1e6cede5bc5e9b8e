"""The tiles of `tiles`, by xent's native kernels on the tensors' own memory.

Design
 a. Tiles lie class by class (classes, rows), as the kernels' softmax wants them; W and x are read in their
    own dtype.
 b. A thread owns rows: it multiplies a tile out for some of them, while it is in cache, and takes it up.
    Backward makes tiles again; where gradients of W are wanted all threads then share a tile's classes, so
    that those of a class are summed over all rows at once, in float32 or float64, and rounded once.
 c. What a row gets depends neither on its neighbours nor on how many they are: products are summed in an
    order of their own (native/kernels/matrix.hpp), and how classes are cut depends on the model alone.
"""

from __future__ import annotations

import threading
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from .._types import Array
from ..data.batch import Batch, TopK
from ..kernels import native
from . import threads
from .gradient import Gradients, Need, Residual, Upstream
from .threads import share
from .tiles import Logits, Rows, Targets, pieces, wide

_ROWS = 256  # at a time: a tile of 512 classes is half of a core's cache
_CLASSES = 512
_MOST_KEPT = 8192  # rows: a tile of _CLASSES takes 16 MiB then
# Numbers of a bfloat16 W beyond which gradients by logits are rounded to bfloat16, for speed.
_ROUNDED = 1 << 16
# As NumPy and the kernels read a tensor's memory.
_STORED = {
    torch.float64: np.float64,
    torch.float32: np.float32,
    torch.float16: np.uint16,
    torch.bfloat16: np.uint16,
    torch.int64: np.int64,
}
KINDS = {torch.float64: "d", torch.float32: "f", torch.float16: "h", torch.bfloat16: "b"}


class Columns(Protocol):
    """The softmax of rows whose logits come in tiles of classes; see `native.columns`."""

    @property
    def filled(self) -> int: ...
    def scan(self, z: Array, first: int, peak: Array | None) -> None: ...
    def finish(self) -> object: ...
    def residual(self, z: Array, first: int, peak: Array | None) -> None: ...
    def save(self, out: Array) -> None: ...
    def restore(self, saved: Array) -> None: ...


def serves(logits: Logits, targets: Targets, bends: bool) -> bool:
    """Whether the native kernels have what it takes; `bends`: the entropy is wanted, or weighed."""
    x, W = logits.x, logits.W
    if not native.HAS_NATIVE or W is None or bends or x.device.type != "cpu":
        return False
    if x.dtype not in KINDS or W.dtype != x.dtype or not x.shape[0] or not W.shape[0]:
        return False
    smoothing = logits.options.label_smoothing
    plain = targets.index is not None and targets.value is None and not smoothing
    return smoothing < 1 and (targets.class_weight is None or plain)


def narrows(x: Tensor, W: Tensor, softcap: float) -> bool:
    """Whether backward takes exp(z − m) rounded to bfloat16, so that forward may keep it."""
    return x.dtype == torch.bfloat16 and W.numel() >= _ROUNDED and not softcap and native.has_pairs()


def keeps(x: Tensor, W: Tensor, softcap: float, max_bytes: int) -> bool:
    """Whether forward keeps exp(z − m) for backward: where products of bfloat16 are so fast that making z
    again would be a quarter of the time, and where it takes at most `max_bytes`."""
    # The number of rows comes last: what is compiled is compiled anew for each answer that it was asked for.
    if not narrows(x, W, softcap) or 4 * _CLASSES * x.shape[1] > max_bytes:
        return False
    return 2 * x.shape[0] * W.shape[0] <= max_bytes and x.shape[0] <= _MOST_KEPT


def room_to_keep(x: Tensor, W: Tensor | None, keep: bool) -> tuple[Tensor, Tensor]:
    """Memory for exp(z − m) (K, N), and for the m that each tile knew, (tiles, N); empty unless `keep`."""
    n, K = (x.shape[0], W.shape[0]) if keep and W is not None else (0, 0)
    tiles = (K + _CLASSES - 1) // _CLASSES
    return _empty((K, n), torch.bfloat16, x), _empty((tiles, n), torch.float32, x)


def _empty(shape: tuple[int, ...], dtype: torch.dtype, like: Tensor) -> Tensor:
    """A tensor to fill. It cannot be resized, so it is nothing for callers. Its memory is from NumPy,
    which asks the system for large pages: the 8192 small ones of 32 MiB took a tenth of the time of all the
    products over them."""
    if type(like) is not Tensor or like.device.type != "cpu":
        return like.new_empty(shape, dtype=dtype)
    stored = np.int16 if dtype == torch.bfloat16 else np.float32
    return torch.from_numpy(np.empty(shape, stored)).view(dtype)


def forward(logits: Logits, targets: Targets, room: tuple[Tensor, Tensor] | None = None) -> Rows:
    """`tiles.forward` by the native kernels, which also fills `room`, made by `room_to_keep`."""
    work = _Work(logits, targets, room)
    kept = np.empty((work.n, 7))

    def on_thread(t: int) -> None:
        parts = [_Part(work, rows) for rows in work.chunks(slice(0, work.n), t)]
        spare = work.spare(_ROWS)
        for classes in work.tiles:
            for part in parts:
                part.scan(classes, spare)
        for part in parts:
            part.column.finish()
            part.column.save(kept[part.rows])

    threads.run(work.threads, on_thread)
    peak, rest, winner, live, loss, mass, target = torch.from_numpy(kept).unbind(1)
    every = slice(None)
    loss, target = targets.scaled(every, loss), target * targets.mean(mass)
    if logits.options.z_loss:
        loss = loss + logits.options.z_loss * (peak + torch.log1p(rest)) ** 2
    none = torch.zeros_like(peak)  # the entropy, not asked for
    return Rows(peak, rest, targets.scaled(every, mass), live, live, winner.long(), loss, none, target)


def backward(
    logits: Logits,
    targets: Targets,
    stats: Rows,
    up: Upstream,
    need: Need,
    room: tuple[Tensor, Tensor] | None = None,
) -> Gradients:
    """`gradient.backward` by the native kernels, not of the targets' values; `room`: what forward kept."""
    work = _Work(logits, targets, room)
    restored = _for_residuals(logits, targets, stats, up)
    x, W = logits.x, logits.W
    assert W is not None
    dx = torch.zeros(x.shape, dtype=logits.dtype) if need[0] else None
    out = None if dx is None else memory(dx)
    dW = torch.empty(W.shape, dtype=W.dtype) if need[1] else None
    db = torch.empty(len(W), dtype=W.dtype if logits.b is None else logits.b.dtype) if need[2] else None
    together = need[1] or need[2]
    blocks = work.blocks if together else [slice(0, work.n)]
    G = work.spare(_filled(blocks[0]) if together else 0)
    meet = threading.Barrier(work.threads)

    def on_thread(t: int) -> None:
        own = [[_Part(work, rows, restored) for rows in work.chunks(block, t)] for block in blocks]
        spare = work.spare(0 if together else _ROWS)
        for classes in work.tiles:
            mine = share(classes.stop - classes.start, t, work.threads)
            sums = _ClassSums(work, slice(classes.start + mine.start, classes.start + mine.stop), dW, db)
            for block, parts in zip(blocks, own, strict=True):
                for part in parts:
                    g = part.residual(classes, G[:, part.rows.start - block.start :] if together else spare)
                    if out is not None:
                        work.multiply(g.T, work.W[classes], out[part.rows], add=True)
                if together:
                    meet.wait()
                    sums.add(G[mine, : block.stop - block.start], block)
                    meet.wait()
            sums.end()

    threads.run(work.threads, on_thread, meet)
    return Gradients(dx, dW, db)


def above(logits: Logits, targets: Targets) -> Tensor:
    """`tiles.above` by the native kernels."""
    assert targets.index is not None
    work, index = _Work(logits, targets), memory(targets.index)
    counts, limit = np.zeros(work.n, np.int64), np.zeros(work.n, work.dtype)

    def on_thread(t: int) -> None:
        spare = work.spare(_ROWS)
        for rows in work.chunks(slice(0, work.n), t):
            for classes in work.tiles:
                here = np.flatnonzero((index[rows] >= classes.start) & (index[rows] < classes.stop))
                if len(here):
                    z = work.tile(rows, classes, spare, rows.stop - rows.start)
                    limit[rows.start + here] = z[index[rows][here] - classes.start, here]
            for classes in work.tiles:
                z = work.tile(rows, classes, spare, rows.stop - rows.start)
                counts[rows] += (z > limit[rows]).sum(0)

    threads.run(work.threads, on_thread)
    return torch.from_numpy(counts)


def _for_residuals(logits: Logits, targets: Targets, stats: Rows, up: Upstream) -> Array:
    """What the kernels need of rows for their residuals, (n, 7)."""
    r = Residual(logits, targets, stats, up, slice(0, logits.shape[0]))
    smooth = torch.zeros_like(r.factor) if r.smooth is None else r.smooth
    columns = (r.origin, r.rest, r.winner.double(), r.A * r.inverse, r.factor, smooth, r.top)
    return memory(torch.stack(columns, 1))


def _filled(rows: slice) -> int:
    """The number of these rows, rounded up to a multiple of what the kernels take at once."""
    n: int = rows.stop - rows.start
    return -(-n // 16) * 16


class _Work:
    """The arrays of a call, how they are cut into tiles, and which thread does which rows."""

    def __init__(self, logits: Logits, targets: Targets, room: tuple[Tensor, Tensor] | None = None) -> None:
        x, W, o = logits.x, logits.W, logits.options
        assert W is not None
        self.logits, self.n = logits, len(x)
        kind = KINDS[x.dtype]
        self.kind, self.mixed = 2 * kind, ("d" if kind == "d" else "f") + kind
        self.dtype = np.dtype(np.float64 if kind == "d" else np.float32)
        self.rounds = W.numel() >= _ROUNDED  # as PyTorch does with all of them
        self.x, self.W = memory(x), memory(W)
        self.b = None if logits.b is None else memory(logits.b.to(logits.dtype))
        self.narrows = narrows(x, W, o.softcap)
        self.room = None if room is None else (memory(room[0])[:, : self.n], memory(room[1])[:, : self.n])
        room_for = o.max_bytes // self.dtype.itemsize
        self.step = max(min(_CLASSES, room_for // max(x.shape[1], 1), len(W)), 1)
        self.tiles = pieces(len(W), self.step)
        self.blocks = pieces(self.n, max(room_for // self.step // _ROWS, 1) * _ROWS)
        self.threads = max(min(torch.get_num_threads(), len(pieces(self.n, _ROWS))), 1)
        self.batch = Batch(np.empty((self.n, 0)), self._targets(targets), label_smoothing=o.label_smoothing)

    @staticmethod
    def _targets(targets: Targets) -> Array | TopK:
        """Targets as `Batch` takes them."""
        if targets.value is None:
            assert targets.index is not None
            return memory(targets.index)
        value = memory(targets.value.to(wide(targets.value.dtype)))
        return value if targets.index is None else TopK(memory(targets.index), value.astype(np.float64))

    def chunks(self, rows: slice, t: int) -> list[slice]:
        """The chunks of `rows` that thread t does."""
        chunks = [
            slice(rows.start + a.start, rows.start + a.stop) for a in pieces(rows.stop - rows.start, _ROWS)
        ]
        return chunks[share(len(chunks), t, self.threads)]

    def multiply(self, A: Array, B: Array, out: Array, add: bool = False) -> None:
        """out = A B, or out += A B."""
        native.multiply(self.mixed, A, B, out, add=add, round_A=self.rounds)

    def spare(self, rows: int) -> Array:
        """Room for a tile of so many rows; a row is one line of cache longer, lest rows whose length
        is a power of two share cache sets."""
        return np.empty((self.step if rows else 0, rows + 16), self.dtype)[:, :rows]

    def tile(self, rows: slice, classes: slice, out: Array, filled: int) -> Array:
        """Logits of a tile, written into `out` (classes, rows); rows that fill it up are 0."""
        z = out[: classes.stop - classes.start, :filled]
        live = rows.stop - rows.start
        native.multiply(self.kind, self.W[classes], self.x[rows].T, z[:, :live])
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


class _Part:
    """Some rows of a call, and their softmax; for backward with what is `restored` of all rows."""

    def __init__(self, work: _Work, rows: slice, restored: Array | None = None) -> None:
        self.work, self.rows, self.live = work, rows, rows.stop - rows.start
        self.column = self._column()
        self.again = self._column() if restored is not None and work.narrows and work.room is None else None
        if restored is not None:
            self.column.restore(restored[rows])

    def _column(self) -> Columns:
        """A softmax that has seen no tile."""
        work = self.work
        rows = np.arange(self.rows.start, self.rows.stop)
        column: Columns = native.columns(work.batch, rows, len(work.W), work.dtype)
        return column

    def scan(self, classes: slice, spare: Array) -> None:
        """Take a tile's classes up, and keep it where there is room."""
        z = self.work.tile(self.rows, classes, spare, self.column.filled)
        if self.work.room is None:
            self.column.scan(z, classes.start, None)
            return
        kept, peaks = self._kept(classes)
        self._narrow(self.column, z, classes, kept, peaks)

    def _kept(self, classes: slice) -> tuple[Array, Array]:
        """What forward keeps of a tile: exp(z − m), and m."""
        assert self.work.room is not None
        kept, peaks = self.work.room
        return kept[classes, self.rows], peaks[classes.start // self.work.step, self.rows]

    def _narrow(self, column: Columns, z: Array, classes: slice, kept: Array, peaks: Array) -> None:
        """exp(z − m) into `kept`, and the m of this tile's time into `peaks`."""
        at = np.empty(column.filled, z.dtype)
        column.scan(z, classes.start, at)
        native.narrow(z[:, : self.live], kept)
        peaks[:] = at[: self.live]

    def residual(self, classes: slice, out: Array) -> Array:
        """The gradient by W x + b of a tile, written into `out`; (classes, rows)."""
        work, o, slope = self.work, self.work.logits.options, None
        z, at = out[: classes.stop - classes.start, : self.column.filled], None
        if work.room is None:
            work.tile(self.rows, classes, out, self.column.filled)
        if o.softcap:
            slope = 1 - np.square(z * (o.temperature / o.softcap))
        if work.narrows:
            if self.again is None:
                kept, peaks = self._kept(classes)
            else:  # the same bits as if forward had kept them
                kept, peaks = np.empty((len(z), self.live), np.uint16), np.empty(self.live, z.dtype)
                self._narrow(self.again, z, classes, kept, peaks)
            native.widen(kept, z[:, : self.live])
            z[:, self.live :] = 0
            at = np.zeros(self.column.filled, z.dtype)
            at[: self.live] = peaks
        self.column.residual(z, classes.start, at)
        if slope is not None:
            z *= slope
        if o.temperature != 1:
            z /= o.temperature
        return z[:, : self.live]


class _ClassSums:
    """Gradients of some `classes` (a share of a tile) over blocks of rows, rounded once at the end."""

    def __init__(self, work: _Work, classes: slice, dW: Tensor | None, db: Tensor | None) -> None:
        self.work, self.dW, self.db = (
            work,
            None if dW is None else dW[classes],
            None if db is None else db[classes],
        )
        size, d = classes.stop - classes.start, work.x.shape[1]
        self.rows = 0
        self.of_bias = np.zeros(size if db is not None else 0)
        self.of_classes = np.empty((0, d), work.dtype)
        if self.dW is not None:
            narrow = self.dW.element_size() == 2
            self.of_classes = np.empty((size, d), work.dtype) if narrow else memory(self.dW)

    def add(self, g: Array, rows: slice) -> None:
        """Add the gradients that follow from g (classes, rows), those by the logits."""
        if self.dW is not None:
            self.work.multiply(g, self.work.x[rows], self.of_classes, add=rows.start > 0)
        if self.db is not None:
            self.of_bias += g.sum(axis=1, dtype=np.float64)

    def end(self) -> None:
        """Round the sums into dW and db."""
        if self.db is not None:
            self.db[...] = torch.from_numpy(self.of_bias).to(self.db.dtype)
        if self.dW is None or self.dW.element_size() > 2:
            return
        if self.dW.dtype == torch.bfloat16:  # PyTorch's conversion would bring threads of its own
            native.narrow(self.of_classes, memory(self.dW))
        else:
            with np.errstate(over="ignore"):
                memory(self.dW)[...] = self.of_classes.astype(np.float16).view(np.uint16)


class _Lent:
    """A tensor's memory, which NumPy may read and write as long as it keeps this."""

    def __init__(self, t: Tensor) -> None:
        stored = np.dtype(_STORED[t.dtype])
        self.tensor = t
        self.__array_interface__ = {
            "version": 3,
            "shape": tuple(t.shape),
            "strides": tuple(stride * stored.itemsize for stride in t.stride()),
            "typestr": stored.str,
            "data": (t.data_ptr(), False),
        }


def memory(t: Tensor) -> Array:
    """The numbers of a tensor, not copied; 16 bits as uint16.

    Not by `Tensor.numpy()`, after which PyTorch refuses to resize the caller's tensor for ever, as FSDP must;
    nor by DLPack, which NumPy 2.0 only reads, and which forgets that a tensor may be its memory's negative.
    """
    return np.asarray(_Lent(t.detach().resolve_neg()))
