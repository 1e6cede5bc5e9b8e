"""The short way for plain calls: class indices on the CPU, no option but a bias, ignore_index, reduction and
max_bytes, and nothing but autograd looking on. A few checks, one function of autograd, one native call each way.

Whatever else there is, bad input too, takes the way of `_asked`, which says what is wrong. The numbers are
the same bits on both ways.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd import forward_ad
from torch.nn import Parameter

from . import _autograd, _ops, _whole
from ._ops import Settings, Tensors
from ._whole import Call


def plain(
    class_weight: Any,
    ignore_index: Any,
    label_smoothing: Any,
    reduction: Any,
    softcap: Any,
    temperature: Any,
    z_loss: Any,
    max_bytes: Any,
    returns: Any,
    shift: Any = 0,
) -> bool:
    """Whether none of the options is asked for, and the others are right."""
    return (
        class_weight is None
        and softcap is None
        and returns == ()
        and type(ignore_index) is int
        and -(2**63) <= ignore_index < 2**63
        and all(type(number) in (float, int) for number in (label_smoothing, temperature, z_loss, shift))
        and label_smoothing == 0
        and temperature == 1
        and z_loss == 0
        and shift == 0
        and reduction in ("mean", "sum", "none")
        and (max_bytes is None or (type(max_bytes) is int and 0 < max_bytes < 2**63))
    )


def quiet() -> bool:
    """Whether nothing looks on but autograd, in its first order's forward or backward."""
    return not (
        torch.compiler.is_compiling()
        or torch._C._are_functorch_transforms_active()
        or forward_ad._current_level >= 0
        or torch._C._len_torch_dispatch_stack()
        or torch._C._len_torch_function_stack()
        or torch._C._get_tracing_state() is not None
    )


def loss(
    x: Tensor, W: Tensor | None, b: Tensor | None, target: Any, ignore_index: int, reduction: str, max_bytes: int
) -> Tensor | None:
    """The loss of rows x (…, D) and a layer W (K, D), or of logits x (…, K) where W is None; None if the call is not
    plain."""
    if not quiet() or torch.is_autocast_enabled("cpu") or not _tensors(x, W, b, target):
        return None
    lead = x.shape[:-1]
    if target.shape != lead or not lead or (W is not None and (W.ndim != 2 or W.shape[1] != x.shape[-1])):
        return None
    if b is not None and (W is None or b.shape != W.shape[:1]):
        return None
    if len(lead) > 1:
        x, target = x.reshape(-1, x.shape[-1]), target.reshape(-1)
    call = Call(x, W, b, target, ignore_index, max_bytes)
    if not _whole.serves(call):
        return None
    if torch.is_grad_enabled() and any(t is not None and t.requires_grad for t in (x, W, b)):
        found = _Loss.apply(*call, reduction)
    else:
        found = _reduced(call, reduction, *_rows(call))
    return found.reshape(lead) if reduction == "none" and len(lead) > 1 else found


def _tensors(x: Any, W: Any, b: Any, target: Any) -> bool:
    """Whether all are tensors, and of no class that may think otherwise of what is done to it."""
    for t in (x, W, b, target):
        kind = type(t)
        if kind is not Tensor and kind is not Parameter and (t is x or t is target or t is not None):
            return False
    return True


def _rows(call: Call, room: Any = _whole.NO_ROOM) -> tuple[Tensor, Tensor, int]:
    found = _whole.forward(call, room)
    if found[2] < 0:
        _ops.check_classes(call.target, call.ignore_index, call.K)
    return found


def _reduced(call: Call, reduction: str, loss: Tensor, _: Tensor, live: int) -> Tensor:
    if reduction != "none":
        loss = loss.sum()
    if reduction == "mean":
        loss = loss.div_(max(live, 1))
    return loss.to(call.x.dtype)


class _Loss(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, *given: Any) -> Tensor:
        call, reduction = Call(*given[:6]), given[6]
        room = _whole.room(call)
        rows = _rows(call, room)
        ctx.save_for_backward(*call[:4], rows[1], *room)
        ctx.numbers = call.ignore_index, call.max_bytes, reduction, max(rows[2], 1)
        return _reduced(call, reduction, *rows)

    @staticmethod
    def backward(ctx: Any, up: Tensor) -> Any:
        *tensors, stats, z, e, peaks = ctx.saved_tensors
        ignore_index, max_bytes, reduction, live = ctx.numbers
        call, need = Call(*tensors, ignore_index, max_bytes), ctx.needs_input_grad[:3]
        if torch.is_grad_enabled() or not quiet():
            up = up.double() / live if reduction == "mean" else up.double()
            found = _again(call, stats, up.expand(len(call.x)), need)
        elif reduction == "none":
            found = _whole.backward(call, stats, up.double().contiguous(), need, (z, e, peaks))
        else:
            every = up.item() / live if reduction == "mean" else up.item()
            found = _whole.backward(call, stats, every, need, (z, e, peaks))
        return *found, None, None, None, None


def _again(call: Call, stats: Tensor, up: Tensor, need: Any) -> tuple[Tensor | None, ...]:
    """By the operations, which are differentiable once more, and known to torch.func."""
    none, empty = torch.zeros_like(up), stats.new_empty(0)
    given = Tensors(*call[:4], None, None), Settings(call.ignore_index, max_bytes=call.max_bytes)
    wanted = sum(1 << i for i, here in enumerate(need) if here)
    operation: Any = _ops.rows_gradient if torch.compiler.is_compiling() else _autograd.RowsGradient.apply
    found = operation(up, none, none, none, stats, *given[0], *given[1], wanted, empty, empty)
    return tuple(g if here else None for g, here in zip(found, need, strict=False))
