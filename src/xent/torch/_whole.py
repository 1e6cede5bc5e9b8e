"""Class indices without further options: forward and backward by one native call each (native/losses.hpp), on the
tensors' own memory."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from .. import _kernels
from ._cpu import KINDS, keeps, narrows, room_to_keep

# Logits are kept for backward in this share of `max_bytes` at most: 8 MiB unless told otherwise.
_SHARE = 4


# For logits; or for exp(z − m) and its m, as `_cpu.room_to_keep` has them.
Room = tuple[Tensor | None, Tensor | None, Tensor | None]
NO_ROOM: Room = (None, None, None)


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
        return self.x.shape[1] if self.W is None else self.W.shape[0]


def serves(call: Call) -> bool:
    """Whether the kernels have what it takes, of tensors whose shapes fit."""
    x, W, b, target, *_ = call
    kind = x.dtype
    if not _kernels.HAS_NATIVE or kind not in KINDS or kind is torch.float16 or target.dtype is not torch.int64:
        return False
    if W is None and x.shape[1] >= 2 and x.stride(1) != 1:
        return False
    for t in (x, W, b):
        if t is not None and (t.dtype is not kind or not _lies_plain(t)):
            return False
    return _lies_plain(target) and target.is_contiguous()


def _lies_plain(t: Tensor) -> bool:
    """Whether numbers lie at `data_ptr`, as they are."""
    return t.is_cpu and t.layout is torch.strided and not t.is_neg() and t.numel() > 0


def room(call: Call) -> Room:
    """For what backward can use."""
    x, W = call.x, call.W
    if W is None:
        return NO_ROOM
    if narrows(x, W, 0.0):
        return None, *room_to_keep(x, W, keeps(x, W, 0.0, call.max_bytes))
    size = len(W) * _kernels.kept_stride(len(x))
    kind = torch.float64 if x.dtype is torch.float64 else torch.float32
    if size * kind.itemsize * _SHARE > call.max_bytes:
        return NO_ROOM
    return torch.empty(size, dtype=kind), None, None


def _given(call: Call, room: Room) -> tuple[Any, ...]:
    x, W, b, target, ignore_index, max_bytes = call
    layer: tuple[int, ...] = (0,) * 5
    d, rounds = 0, False
    if W is not None:
        layer = (W.data_ptr(), *W.stride(), *((0, 0) if b is None else (b.data_ptr(), b.stride(0))))
        d, rounds = W.shape[1], narrows(x, W, 0.0)
    sizes = target.data_ptr(), len(x), d, call.K, ignore_index, max_bytes, torch.get_num_threads(), rounds
    return x.data_ptr(), *x.stride(), *layer, *sizes, *(0 if t is None else t.data_ptr() for t in room)


def forward(call: Call, room: Room = NO_ROOM) -> tuple[Tensor, Tensor, int]:
    """Losses of rows, float64 (N,), what is known of them, `_ops.FIELDS`, and how many count; or, of the first whose
    target is no class, −1 − its number. Fills `room`."""
    n = len(call.x)
    loss, stats = torch.empty(n, dtype=torch.float64), torch.empty((8, n), dtype=torch.float64)
    to = loss.data_ptr(), stats.data_ptr()
    return loss, stats, _kernels.loss_forward(KINDS[call.x.dtype], _given(call, room), to)


def backward(
    call: Call, stats: Tensor, up: Tensor | float, need: Any, room: Room = NO_ROOM
) -> tuple[Tensor | None, ...]:
    """Gradients of x, W and b, None of what is not needed; `up`: float64 (N,), or one number for all; the others
    as `forward` left them."""
    found = [
        torch.empty(t.shape, dtype=t.dtype) if here and t is not None else None
        for t, here in zip(call[:3], need, strict=True)
    ]
    own, every = (0, up) if isinstance(up, float) else (up.data_ptr(), 0.0)
    out = [0 if g is None else g.data_ptr() for g in found]
    _kernels.loss_backward(KINDS[call.x.dtype], _given(call, room), stats.data_ptr(), own, every, *out)
    return tuple(found)
