"""The tensors of a call, checked and flattened to rows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, TypeAlias

import torch
from torch import Tensor

Target: TypeAlias = Tensor | tuple[Tensor, Tensor]
Part: TypeAlias = tuple[
    Tensor, Tensor | None, Tensor | None, Tensor | None, Tensor | None
]  # x, W, b, index, value
_FLOATS = (torch.float64, torch.float32, torch.bfloat16, torch.float16)


def check_tensors(**arguments: Any) -> None:
    """That all are tensors on one device, the first of a dtype that there are kernels for."""
    name, first = next(iter(arguments.items()))
    for argument, value in arguments.items():
        parts = value if argument == "target" and isinstance(value, tuple) else (value,)
        if value is None and argument in ("bias", "class_weight"):
            continue
        pair = not isinstance(value, tuple) or len(value) == 2
        if not all(isinstance(part, Tensor) for part in parts) or not pair:
            more = ", or a pair of them" if argument == "target" else ""
            raise TypeError(f"{argument}: expected a tensor{more}, got {type(value).__name__}")
        for part in parts:
            if part.layout != torch.strided:
                raise TypeError(f"{argument}: expected a dense tensor, got {part.layout}; use .to_dense()")
            if argument in ("bias", "class_weight") and not part.is_floating_point():
                raise ValueError(f"{argument}: expected floats, got {part.dtype}")
            if argument == "class_weight" and _differentiated(part):
                raise ValueError("class_weight: it gets no gradient; detach it")
            if part.device != first.device:
                expected = f"{argument}: expected {name}'s device, {first.device}"
                raise ValueError(f"{expected}, got {part.device}; move one to the other")
    if first.dtype not in _FLOATS:
        raise ValueError(f"{name}: expected float64, float32, bfloat16 or float16, got {first.dtype}")


def _differentiated(t: Tensor) -> bool:
    """Whether a gradient by it is asked for."""
    if t.requires_grad or torch.compiler.is_compiling():
        return t.requires_grad
    return torch._C._functorch.is_gradtrackingtensor(t)


def layer(
    input: Tensor, weight: Tensor, bias: Tensor | None
) -> tuple[Tensor, Tensor, Tensor | None, torch.dtype]:
    """The layer in the dtype that it is read in, and the loss' dtype."""
    if weight.ndim < 2 or input.ndim < 1 or input.shape[-1] != weight.shape[-1]:
        raise ValueError(
            f"weight: expected (K, D) with input's D = {input.shape[-1] if input.ndim else 'none'} features, "
            f"got {tuple(weight.shape)} for input {tuple(input.shape)}"
        )
    if bias is not None and bias.shape != weight.shape[:-1]:
        raise ValueError(f"bias: expected {tuple(weight.shape[:-1])} as weight has, got {tuple(bias.shape)}")
    cast = autocast(input)
    narrow, out = (input.dtype, input.dtype) if cast is None else (cast, torch.float32)
    if cast is None and input.dtype != weight.dtype:
        raise ValueError(
            f"weight: expected input's dtype, got {weight.dtype} for {input.dtype}; convert one, or use "
            "autocast"
        )
    return input.to(narrow), weight.to(narrow), None if bias is None else bias.to(narrow), out


def rows_of(input: Tensor) -> Tensor:
    """Rows (N, D) of an input (…, D)."""
    return input.reshape(math.prod(input.shape[:-1]), input.shape[-1])


def positions(x: Tensor, W: Tensor, b: Tensor | None, target: Target) -> list[Part]:
    """A loss of several axes as one of rows for each of their positions."""
    K, inner = W.shape[0], W.shape[1:-1]
    if x.ndim != 2:
        raise ValueError(f"input: expected (N, D) where weight is {tuple(W.shape)}, got {tuple(x.shape)}")
    if isinstance(target, tuple):
        raise ValueError("target: a pair of classes and probabilities needs a weight (K, D)")
    dense = target.is_floating_point()
    expected = (len(x), *((K,) if dense else ()), *inner)
    if target.shape != expected:
        raise ValueError(
            f"target: expected {expected} for weight {tuple(W.shape)}, got {tuple(target.shape)}"
        )
    size = math.prod(inner)
    flat, W = (
        target.reshape(len(x), -1, size) if dense else target.reshape(len(x), size),
        W.reshape(K, size, -1),
    )
    bias = None if b is None else b.reshape(K, size)
    return [
        (
            x,
            W[:, p],
            None if bias is None else bias[:, p],
            None if dense else flat[:, p].long(),
            flat[:, :, p] if dense else None,
        )
        for p in range(size)
    ]


def flat_targets(target: Target, lead: Sequence[int], K: int) -> tuple[Tensor | None, Tensor | None]:
    """Class indices (N,) or (N, t), and values (N, K) or (N, t)."""
    lead = tuple(lead)
    if isinstance(target, tuple):
        index, value = target
        good = index.shape == value.shape and index.shape[:-1] == lead and index.ndim == len(lead) + 1
        if not good or not _is_index(index) or not value.is_floating_point():
            got = [f"{t.dtype} {tuple(t.shape)}" for t in target]
            raise ValueError(
                "target: expected classes and probabilities, integers and floats of shape "
                f"{(*lead, 't')}, got {got[0]} and {got[1]}"
            )
        size = math.prod(lead)
        return _long(index.reshape(size, index.shape[-1])), value.reshape(size, value.shape[-1])
    if target.is_floating_point():
        if target.shape != (*lead, K):
            raise ValueError(
                f"target: expected probabilities of shape {(*lead, K)}, got {tuple(target.shape)}"
            )
        return None, target.reshape(math.prod(lead), K)
    if target.shape != lead or not _is_index(target):
        raise ValueError(
            f"target: expected class indices of shape {lead}, got {target.dtype} {tuple(target.shape)}"
        )
    return _long(target.reshape(-1)), None


def _is_index(t: Tensor) -> bool:
    """Whether its dtype is one of integers."""
    return not t.is_floating_point() and not t.is_complex() and t.dtype != torch.bool


def _long(index: Tensor) -> Tensor:
    """The index as int64; a uint64 beyond int64 becomes its largest number, which is no class either."""
    signed = index.long()
    return (
        signed
        if index.dtype != torch.uint64
        else torch.where(signed < 0, torch.iinfo(torch.int64).max, signed)
    )


def shifted(x: Tensor, target: Target, shift: int) -> tuple[Tensor, Target]:
    """The positions that have a target `shift` after them, and those targets."""
    if not isinstance(shift, int):
        raise TypeError(f"shift: expected an integer, got {type(shift).__name__}")
    if not shift:
        return x, target
    if isinstance(target, tuple) or target.is_floating_point():
        raise ValueError("shift: needs targets that are class indices")
    if shift < 0 or x.ndim < 2 or target.shape != x.shape[:-1]:
        raise ValueError(
            f"shift: expected 0 or more positions of an input (…, T, D) with targets (…, T), got {shift} for "
            f"{tuple(x.shape)} and {tuple(target.shape)}"
        )
    return x[..., : max(x.shape[-2] - shift, 0), :], target[..., shift:]


def autocast(x: Tensor) -> torch.dtype | None:
    """The dtype of products under autocast, where the loss is float32; None without autocast."""
    kind = x.device.type
    if x.dtype != torch.float64 and torch.amp.is_autocast_available(kind) and torch.is_autocast_enabled(kind):
        return torch.get_autocast_dtype(kind)
    return None
