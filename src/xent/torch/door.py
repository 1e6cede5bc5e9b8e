"""The short way for plain calls: class indices on the CPU, no option but a bias, ignore_index, reduction and
max_bytes, and nothing but autograd looking on. A few checks, one function of autograd, one native call each
way.

Whatever else there is, bad input too, takes the way of `asked`, which says what is wrong. The numbers are
the same bits on both ways.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol, TypeGuard

import torch
from torch import Tensor
from torch.autograd import forward_ad
from torch.nn import Parameter

from . import autograd, operations, whole
from .inputs import Target
from .operations import Context, Settings, Tensors
from .whole import Call


def plain(
    class_weight: object,
    ignore_index: object,
    label_smoothing: object,
    reduction: object,
    softcap: object,
    temperature: object,
    z_loss: object,
    max_bytes: object,
    returns: object,
    shift: object = 0,
) -> bool:
    """Whether ignore_index, reduction and max_bytes are valid, and every other option is at its default."""
    return (
        class_weight is None
        and softcap is None
        and type(returns) in (tuple, list)
        and not returns
        and type(ignore_index) is int
        and -(2**63) <= ignore_index < 2**63
        and all(type(number) in (float, int) for number in (label_smoothing, temperature, z_loss))
        and label_smoothing == 0
        and temperature == 1
        and z_loss == 0
        and type(shift) is int
        and shift == 0
        and reduction in ("mean", "sum", "none")
        and (max_bytes is None or (type(max_bytes) is int and 0 < max_bytes < 2**63))
    )


def quiet() -> bool:
    """Whether nothing but autograd looks on: no torch.compile, torch.func, forward mode or dispatch mode."""
    return not (
        torch.compiler.is_compiling()
        or torch._C._are_functorch_transforms_active()
        or forward_ad._current_level >= 0
        or torch._C._len_torch_dispatch_stack()
        or torch._C._len_torch_function_stack()
        or torch._C._get_tracing_state() is not None
    )


def loss(
    x: Tensor,
    W: Tensor | None,
    b: Tensor | None,
    target: Target,
    ignore_index: int,
    reduction: str,
    max_bytes: int,
) -> Tensor | None:
    """The loss of rows x (…, D) and a layer W (K, D), or of logits x (N, K) where W is None; None if the call
    is not plain."""
    if not quiet() or torch.is_autocast_enabled("cpu"):
        return None
    if not (_own(x) and _own(target) and (W is None or _own(W)) and (b is None or _own(b))):
        return None
    lead = x.shape[:-1]
    if target.shape != lead or not lead:
        return None
    if W is None:
        if b is not None or x.ndim != 2:  # of more axes the classes are not the last
            return None
    elif W.ndim != 2 or W.shape[1] != x.shape[-1] or (b is not None and b.shape != W.shape[:1]):
        return None
    if len(lead) > 1:
        x, target = x.reshape(-1, x.shape[-1]), target.reshape(-1)
    call = Call(x, W, b, target, ignore_index, max_bytes)
    if not whole.serves(call):
        return None
    if torch.is_grad_enabled() and any(t is not None and t.requires_grad for t in (x, W, b)):
        total = _apply(x, W, b, call, reduction)
    else:
        total = _forward(call, reduction)[0]
    return total.reshape(lead) if reduction == "none" and len(lead) > 1 else total


def _own(t: object) -> TypeGuard[Tensor]:
    """Whether it is a tensor of PyTorch's own class: a subclass may do something else with what is called."""
    return type(t) is Tensor or type(t) is Parameter


def _forward(call: Call, reduction: str, room: whole.Room = whole.NO_ROOM) -> tuple[Tensor, Tensor, int]:
    """The loss, what is known of rows, and how many count; IndexError for a target that is no class."""
    loss, rows, live = whole.forward(call, reduction, room)
    if live < 0:
        operations.check_classes(call.target, call.ignore_index, call.K)
    return loss.to(call.x.dtype) if reduction == "none" else loss, rows, live


class _Context(Context, Protocol):
    """What backward takes besides tensors."""

    numbers: tuple[int, int, str, int]  # ignore_index, max_bytes, reduction, and the rows that count


class _Loss(torch.autograd.Function):
    """The loss of a plain call, with its gradients by x, W and b."""

    @staticmethod
    def forward(
        ctx: _Context, x: Tensor, W: Tensor | None, b: Tensor | None, call: Call, reduction: str
    ) -> Tensor:
        room = whole.room(call)
        loss, rows, live = _forward(call, reduction, room)
        ctx.save_for_backward(x, W, b, call.target, rows, *room)
        ctx.numbers = call.ignore_index, call.max_bytes, reduction, max(live, 1)
        return loss

    @staticmethod
    def backward(ctx: _Context, up: Tensor) -> tuple[Tensor | None, ...]:
        x, W, b, target, rows, *room = ctx.saved_tensors
        ignore_index, max_bytes, reduction, live = ctx.numbers
        call, need = Call(x, W, b, target, ignore_index, max_bytes), ctx.needs_input_grad[:3]
        if torch.is_grad_enabled() or not torch._C._has_storage(up) or not quiet():
            up = up.double() / live if reduction == "mean" else up.double()
            gradients = _again(call, rows, up.expand(x.shape[0]), need)
        elif reduction == "none":
            gradients = whole.backward(call, rows, up.double().contiguous(), need, tuple(room))
        else:
            every = up.item() / live if reduction == "mean" else up.item()
            gradients = whole.backward(call, rows, every, need, tuple(room))
        return *gradients, None, None


# What Function.apply does besides is for torch.func, which `quiet` has ruled out.
_apply: Callable[..., Tensor] = super(torch.autograd.Function, _Loss).apply


def _again(call: Call, rows: Tensor, up: Tensor, need: Sequence[bool]) -> tuple[Tensor | None, ...]:
    """The gradients by the operations, which are differentiable once more and which torch.func can take."""
    stats, none, empty = whole.stats(rows, call), torch.zeros_like(up), rows.new_empty(0)
    inputs = Tensors(*call[:4], None, None), Settings(call.ignore_index, max_bytes=call.max_bytes)
    wanted = sum(1 << i for i, here in enumerate(need) if here)
    operation = operations.rows_gradient if torch.compiler.is_compiling() else autograd.rows_gradient
    gradients = operation(up, none, none, none, stats, *inputs[0], *inputs[1], wanted, empty, empty)
    return tuple(g if here else None for g, here in zip(gradients, need, strict=False))
