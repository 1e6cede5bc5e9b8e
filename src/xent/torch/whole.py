"""Class indices without further options: forward and backward by one native call each (native/losses/),
on the tensors' own memory."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ..kernels import native
from .native_tiles import KINDS, keeps, narrows, room_to_keep

# Logits are kept for backward if they take this part of `max_bytes` at most: 16 MiB unless told otherwise.
_PART = 2

# For logits; or for exp(z − m) and its m, as `native_tiles.room_to_keep` has them.
Room = tuple[Tensor | None, Tensor | None, Tensor | None]
NO_ROOM: Room = (None, None, None)
_CALLS = {}
if native.HAS_NATIVE:
    _CALLS = {dtype: native.loss_calls(kind) for dtype, kind in KINDS.items() if kind != "h"}


class Call(NamedTuple):
    """Tensors (N, D), (K, D) and (K,), or logits (N, K) without W and b; int64 classes (N,), contiguous."""

    x: Tensor
    W: Tensor | None
    b: Tensor | None
    target: Tensor
    ignore_index: int
    max_bytes: int

    @property
    def K(self) -> int:
        """The number of classes."""
        return self.x.shape[1] if self.W is None else self.W.shape[0]


def serves(call: Call) -> bool:
    """Whether the kernels have what it takes, of tensors whose shapes fit."""
    x, W, b, target, *_ = call
    kind = x.dtype
    if kind not in _CALLS or not native.HAS_NATIVE or target.dtype is not torch.int64:
        return False
    if W is None:
        if x.stride(1) != 1 and x.shape[1] > 1:
            return False
    elif W.dtype is not kind or not _lies_plain(W):
        return False
    if b is not None and (b.dtype is not kind or not _lies_plain(b)):
        return False
    return _lies_plain(x) and _lies_plain(target) and target.is_contiguous()


def _lies_plain(t: Tensor) -> bool:
    """Whether the numbers of a CPU tensor are at its `data_ptr`, none of them to be negated."""
    there = t.is_cpu and t.layout is torch.strided and torch._C._has_storage(t)
    return there and not t.is_neg() and t.numel() > 0


def room(call: Call) -> Room:
    """Memory for what forward can keep for backward."""
    x, W = call.x, call.W
    if W is None:
        return NO_ROOM
    if narrows(x, W, 0.0):
        return None, *room_to_keep(x, W, keeps(x, W, 0.0, call.max_bytes))
    size = W.shape[0] * native.kept_stride(x.shape[0])
    kind = torch.float64 if x.dtype is torch.float64 else torch.float32
    if size * kind.itemsize * _PART > call.max_bytes:
        return NO_ROOM
    return torch.empty(size, dtype=kind), None, None


def _call_arguments(call: Call, room: Room) -> tuple[Any, ...]:
    """The arguments that both native calls start with."""
    x, W, b, target, ignore_index, max_bytes = call
    at = [0 if t is None else t.data_ptr() for t in (x, W, b, target, *room)]
    n, columns = x.shape
    last = ignore_index, max_bytes, torch.get_num_threads()
    if W is None:
        return *at, n, 0, columns, *x.stride(), 0, 0, 0, *last, False
    of_b = 0 if b is None else b.stride(0)
    return *at, n, columns, W.shape[0], *x.stride(), *W.stride(), of_b, *last, narrows(x, W, 0.0)


def forward(call: Call, reduction: str = "none", room: Room = NO_ROOM) -> tuple[Tensor, Tensor, int]:
    """The loss in x's dtype, or of rows, float64 (N,); what is known of rows, float64 (5, N), losses last;
    and how many count, or, of the first whose target is no class, −1 − its number. Fills `room`."""
    x = call.x
    n, kind = x.shape[0], x.dtype
    rows = torch.empty((5, n), dtype=torch.float64)
    at = rows.data_ptr()
    # Sums of float64 are PyTorch's, which compiled calls take: others are rounded before one could tell.
    own = reduction != "none" and kind is not torch.float64
    loss = torch.empty((), dtype=kind) if own else rows[4]
    total = loss.data_ptr() if own else 0
    out = at + 4 * n * 8, at, total, reduction == "mean"
    live = _CALLS[kind][0](*_call_arguments(call, room), *out, native.isa())
    if reduction != "none" and not own:
        loss = loss.sum()
        loss = loss / max(live, 1) if reduction == "mean" else loss
    return loss, rows, live


def backward(
    call: Call, rows: Tensor, up: Tensor | float, need: Sequence[bool], room: Room = NO_ROOM
) -> tuple[Tensor | None, ...]:
    """Gradients of x, W and b, None of what is not needed; `up`: float64 (N,), or one number for all; the
    others as `forward` left them."""
    gradients = [
        torch.empty(t.shape, dtype=t.dtype) if here and t is not None else None
        for t, here in zip(call[:3], need, strict=True)
    ]
    own, every = (0, up) if isinstance(up, float) else (up.data_ptr(), 0.0)
    out = [0 if g is None else g.data_ptr() for g in gradients]
    _CALLS[call.x.dtype][1](*_call_arguments(call, room), rows.data_ptr(), own, every, *out, native.isa())
    return tuple(gradients)


def stats(rows: Tensor, call: Call) -> Tensor:
    """`rows`, as `forward` returns them, in the order of `operations.FIELDS`."""
    peak, rest, winner, target = rows[:4]
    none, live = torch.zeros_like(peak), (call.target != call.ignore_index).double()
    return torch.stack((peak, rest, live, none, none, winner, none, target))


def rows_for_backward(stats: Tensor) -> Tensor:
    """`rows` as `backward` takes them, from stats in the order of `operations.FIELDS`."""
    peak, rest, _, _, _, winner, _, target = stats
    return torch.stack((peak, rest, winner, target))
