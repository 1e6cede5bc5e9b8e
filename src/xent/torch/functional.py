"""`linear_cross_entropy` and `cross_entropy` of PyTorch tensors: check, flatten, one operation, reduce."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, Literal

import torch
from torch import Tensor

from . import _autograd, _cpu, _ops
from ._ops import Settings, Tensors

MAX_BYTES = 32 << 20
Target = Tensor | tuple[Tensor, Tensor]
Reduction = Literal["none", "mean", "sum"]


@dataclass(frozen=True)
class CrossEntropyOutput:
    """The loss, and what `returns` asked for besides, None if not asked; of the targets' shape.

    lse: log Σ_k exp z_k. target_log_prob: log p of the target. entropy: −Σ_k p_k log p_k; these three in
    nats and differentiable. argmax: the first class of the largest logit. correct: whether that is the
    target. rank: 1 plus the number of logits above the target's, which takes two passes of its own. Of
    ignored rows: 0, False, and −1 for argmax.
    """

    loss: Tensor
    lse: Tensor | None = None
    target_log_prob: Tensor | None = None
    entropy: Tensor | None = None
    argmax: Tensor | None = None
    correct: Tensor | None = None
    rank: Tensor | None = None


_RETURNS = tuple(field.name for field in fields(CrossEntropyOutput))[1:]
_OF_CLASSES = ("target_log_prob", "correct", "rank")  # of targets that are class indices


def linear_cross_entropy(
    input: Tensor,
    weight: Tensor,
    target: Target,
    *,
    bias: Tensor | None = None,
    class_weight: Tensor | None = None,
    ignore_index: int = -100,
    label_smoothing: float = 0.0,
    reduction: Reduction = "mean",
    softcap: float | None = None,
    temperature: float = 1.0,
    z_loss: float = 0.0,
    shift: int = 0,
    max_bytes: int | None = None,
    returns: Sequence[str] = (),
) -> Any:
    """Cross-entropy, in nats, of the logits input · weightᵀ + bias, which are never held whole.

    With y = W x + b a row's logits, z = y/T (or c tanh(y/c)/T with a softcap c), lse = log Σ_k exp z_k, w
    the class weights and ε the label smoothing, a row costs

        ℓ = (1 − ε) Σ_k q_k w_k (lse − z_k) + (ε/K) Σ_k w_k (lse − z_k) + z_loss · lse²,

    q being 1 at the target, or the target's row of probabilities. K counts the classes that are not
    masked: one whose logit is −inf has p = 0, takes no share of ε and gets no gradient.

    Parameters
    ----------
    input : (…, D) float64, float32, bfloat16 or float16
        Rows of features, of any leading shape.
    weight : (K, D), of input's dtype
        A row a class, as `torch.nn.Linear` has it; or (K, d₁, …, D) for input (N, D): a loss for each of
        d₁, ….
    target : (…) integers in [0, K), or (…, K) probabilities, or a pair (…, t), (…, t) of classes and their
    probabilities
        Of input's leading shape; (N, d₁, …) or (N, K, d₁, …) where weight has more axes. A class named
        twice in a row of the pair counts twice.
    bias : (K,), or (K, d₁, …)
    class_weight : (K,)
        No gradient.
    ignore_index : int, default -100
        Rows with this target cost 0 and get gradient 0, whatever they hold.
    reduction : "mean", "sum" or "none"
        The mean of class indices divides by Σ w over the rows that count, that of probabilities by their
        number, as PyTorch's do; without a row that counts it is 0 (PyTorch: NaN).
    softcap, temperature, z_loss : float
        See above; softcap None is none.
    shift : int, default 0
        Compare position t of the axis before the last with the target of position t + shift: 1 for the
        next token.
    max_bytes : int, default 32 MiB
        What a tile of logits may take beside the gradients. It changes no bit beyond rounding.
    returns : of "lse", "target_log_prob", "entropy", "argmax", "correct", "rank"
        If any, the result is a `CrossEntropyOutput`.

    Returns the loss in input's dtype (float32 under autocast), summed in float64. Gradients are added up
    in float32, or float64 for float64, and rounded once; what is frozen costs nothing. Differentiable
    twice, in forward mode and under `torch.func` and `torch.compile`: docs/torch.md says what is not.
    Raises ValueError for shapes, dtypes and options that do not fit; IndexError, on the CPU, with the
    first target that is no class.
    Source: `xent.reference.cross_entropy`.
    """
    asked = _Asked(
        class_weight,
        ignore_index,
        label_smoothing,
        reduction,
        softcap,
        temperature,
        z_loss,
        max_bytes,
        tuple(returns),
    )
    _check_tensors(input=input, weight=weight, bias=bias, target=target, class_weight=class_weight)
    if shift:
        input, target = _shifted(input, target, shift)
    if weight.ndim < 2 or input.ndim < 1 or input.shape[-1] != weight.shape[-1]:
        raise ValueError(
            f"weight: expected (K, D) with input's D = {input.shape[-1] if input.ndim else 'none'} features, "
            f"got {tuple(weight.shape)} for input {tuple(input.shape)}"
        )
    if bias is not None and bias.shape != weight.shape[:-1]:
        raise ValueError(f"bias: expected {tuple(weight.shape[:-1])} as weight has, got {tuple(bias.shape)}")
    cast = _autocast(input)
    narrow, out = (input.dtype, input.dtype) if cast is None else (cast, torch.float32)
    if cast is None and input.dtype != weight.dtype:
        raise ValueError(
            f"weight: expected input's dtype, got {weight.dtype} for {input.dtype}; convert one, or use "
            "autocast"
        )
    input, weight = input.to(narrow), weight.to(narrow)
    bias = None if bias is None else bias.to(narrow)
    if weight.ndim == 2:
        rows = input.reshape(math.prod(input.shape[:-1]), input.shape[-1])
        index, value = _targets(target, input.shape[:-1], weight.shape[0])
        return asked.of([(rows, weight, bias, index, value)], input.shape[:-1], out)
    if input.element_size() == 2:  # autograd adds the positions' gradients up
        input, weight, bias = input.float(), weight.float(), None if bias is None else bias.float()
    return asked.of(_positions(input, weight, bias, target), (len(input), *weight.shape[1:-1]), out)


def cross_entropy(
    logits: Tensor,
    target: Target,
    class_weight: Tensor | None = None,
    *,
    ignore_index: int = -100,
    label_smoothing: float = 0.0,
    reduction: Reduction = "mean",
    softcap: float | None = None,
    temperature: float = 1.0,
    z_loss: float = 0.0,
    max_bytes: int | None = None,
    returns: Sequence[str] = (),
) -> Any:
    """Cross-entropy, in nats, of logits: `torch.nn.functional.cross_entropy`, exact, with more options.

    logits : (K,), (N, K) or (N, K, d₁, …), the classes on axis 1 as PyTorch has them; target () , (N,) or
    (N, d₁, …) integers, of the shape of logits for probabilities, or a pair of classes and probabilities
    with axis 1 the t named. Everything else, formula, options, result and errors, as
    `linear_cross_entropy`, without its weight, bias and shift.
    Source: `xent.reference.cross_entropy`.
    """
    asked = _Asked(
        class_weight,
        ignore_index,
        label_smoothing,
        reduction,
        softcap,
        temperature,
        z_loss,
        max_bytes,
        tuple(returns),
    )
    _check_tensors(logits=logits, target=target, class_weight=class_weight)
    if not logits.ndim:
        raise ValueError("logits: expected (K,), (N, K) or (N, K, …), got a scalar")
    axis = min(logits.ndim - 1, 1)
    if logits.ndim > 2:
        if isinstance(target, tuple):
            target = target[0].movedim(1, -1), target[1].movedim(1, -1)
        elif target.is_floating_point() and target.ndim == logits.ndim:
            target = target.movedim(1, -1)
    out = logits.dtype if _autocast(logits) is None else torch.float32
    logits = logits.movedim(axis, -1)
    index, value = _targets(target, logits.shape[:-1], logits.shape[-1])
    rows = logits.reshape(math.prod(logits.shape[:-1]), logits.shape[-1])
    return asked.of([(rows, None, None, index, value)], logits.shape[:-1], out)


Part = tuple[Tensor, Tensor | None, Tensor | None, Tensor | None, Tensor | None]


@dataclass(frozen=True)
class _Asked:
    """The options of a call, checked."""

    class_weight: Tensor | None
    ignore_index: int
    label_smoothing: float
    reduction: Reduction
    softcap: float | None
    temperature: float
    z_loss: float
    max_bytes: int | None
    returns: tuple[str, ...]

    def __post_init__(self) -> None:
        if self.reduction not in ("none", "mean", "sum"):
            raise ValueError(f"reduction: expected 'mean', 'sum' or 'none', got {self.reduction!r}")
        checks = {
            "label_smoothing": (0 <= self.label_smoothing <= 1, "in [0, 1]"),
            "softcap": (self.softcap is None or 0 < self.softcap < math.inf, "positive, or None"),
            "temperature": (0 < self.temperature < math.inf, "positive"),
            "z_loss": (0 <= self.z_loss < math.inf, "0 or positive"),
            "max_bytes": (self.max_bytes is None or self.max_bytes > 0, "positive, or None"),
        }
        for name in ("label_smoothing", "softcap", "temperature", "z_loss"):
            if isinstance(getattr(self, name), Tensor):
                raise TypeError(f"{name}: expected a number, got a tensor, which would get no gradient")
        for name, (good, what) in checks.items():
            if not good:
                raise ValueError(f"{name}: expected a number that is {what}, got {getattr(self, name)!r}")
        if unknown := [name for name in self.returns if name not in _RETURNS]:
            raise ValueError(f"returns: no {unknown}; there are {list(_RETURNS)}")

    def of(self, parts: list[Part], shape: Sequence[int], dtype: torch.dtype) -> Any:
        """The result for rows in `parts`, one for each position of a loss of more axes."""
        x, W, _, index, value = parts[0]
        K = x.shape[-1] if W is None else W.shape[0]
        if self.class_weight is not None and self.class_weight.shape != (K,):
            raise ValueError(f"class_weight: expected ({K},), got {tuple(self.class_weight.shape)}")
        classes = index is not None and value is None
        if not classes and (wrong := [name for name in self.returns if name in _OF_CLASSES]):
            raise ValueError(f"returns: {wrong} need targets that are class indices")
        calls = [Tensors(*part, self.class_weight) for part in parts]
        found = [_autograd.apply(call, self._settings(call)) for call in calls]
        loss, lse, target, entropy, winner = map(_side_by_side, zip(*found, strict=True))
        labels = _side_by_side([part[3] for part in parts]) if classes else None
        result = (
            self._reduced(loss, labels).to(dtype)
            if self.reduction != "none"
            else loss.to(dtype).reshape(shape)
        )
        if not self.returns:
            return result
        more: dict[str, Any] = {"lse": lse, "target_log_prob": target, "entropy": entropy}
        more = {name: values.to(dtype) for name, values in more.items()}
        more["argmax"] = winner
        if labels is not None:
            dead = labels == self.ignore_index
            more["argmax"] = winner.masked_fill(dead, -1)
            more["correct"] = (winner == labels) & ~dead & lse.isfinite()
            if "rank" in self.returns:
                higher = _side_by_side([_ops.above(*call, *self._settings(call)) for call in calls])
                more["rank"] = (1 + higher).masked_fill(dead, 0)
        return CrossEntropyOutput(result, **{name: more[name].reshape(shape) for name in self.returns})

    def _settings(self, call: Tensors) -> Settings:
        x, W, softcap, max_bytes = call.x, call.W, float(self.softcap or 0), int(self.max_bytes or MAX_BYTES)
        keep = False
        if W is not None and x.device.type == "cpu" and torch.is_grad_enabled():
            keep = (x.requires_grad or W.requires_grad) and _cpu.keeps(x, W, softcap, max_bytes)
        return Settings(
            self.ignore_index,
            float(self.label_smoothing),
            softcap,
            float(self.temperature),
            float(self.z_loss),
            max_bytes,
            "entropy" in self.returns,
            keep,
        )

    def _reduced(self, loss: Tensor, labels: Tensor | None) -> Tensor:
        if self.reduction == "sum":
            return loss.sum()
        if labels is None:
            return loss.sum() / max(loss.numel(), 1)
        counts = (labels != self.ignore_index).to(loss.dtype)
        if self.class_weight is not None:
            counts = counts * self.class_weight.to(loss.dtype)[labels.clamp(0, len(self.class_weight) - 1)]
        total = counts.sum()
        return loss.sum() / torch.where(total == 0, 1, total)


_FLOATS = (torch.float64, torch.float32, torch.bfloat16, torch.float16)


def _check_tensors(**given: Any) -> None:
    """That all are tensors on one device, the first of a dtype there are kernels for."""
    name, first = next(iter(given.items()))
    for argument, value in given.items():
        parts = value if argument == "target" and isinstance(value, tuple) else (value,)
        if value is None and argument in ("bias", "class_weight"):
            continue
        if not all(isinstance(part, Tensor) for part in parts) or len(parts) > 2:
            more = ", or a pair of them" if argument == "target" else ""
            raise TypeError(f"{argument}: expected a tensor{more}, got {type(value).__name__}")
        for part in parts:
            if part.device != first.device:
                expected = f"{argument}: expected {name}'s device, {first.device}"
                raise ValueError(f"{expected}, got {part.device}; move one to the other")
    if first.dtype not in _FLOATS:
        raise ValueError(f"{name}: expected float64, float32, bfloat16 or float16, got {first.dtype}")


def _side_by_side(parts: Any) -> Tensor:
    """(N,) of each position, the positions next to each other."""
    return parts[0] if len(parts) == 1 else torch.stack(list(parts), -1)


def _positions(x: Tensor, W: Tensor, b: Tensor | None, target: Target) -> list[Part]:
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


def _targets(target: Target, lead: Sequence[int], K: int) -> tuple[Tensor | None, Tensor | None]:
    """Class indices (N,) or (N, t), and values (N, K) or (N, t)."""
    lead = tuple(lead)
    if isinstance(target, tuple):
        index, value = target
        good = index.shape == value.shape and index.shape[:-1] == lead and index.ndim == len(lead) + 1
        if not good or index.is_floating_point() or not value.is_floating_point():
            got = [f"{t.dtype} {tuple(t.shape)}" for t in target]
            raise ValueError(
                "target: expected classes and probabilities, integers and floats of shape "
                f"{(*lead, 't')}, got {got[0]} and {got[1]}"
            )
        size = math.prod(lead)
        return index.reshape(size, index.shape[-1]).long(), value.reshape(size, value.shape[-1])
    if target.is_floating_point():
        if target.shape != (*lead, K):
            raise ValueError(
                f"target: expected probabilities of shape {(*lead, K)}, got {tuple(target.shape)}"
            )
        return None, target.reshape(math.prod(lead), K)
    if target.shape != lead or target.is_complex() or target.dtype == torch.bool:
        raise ValueError(
            f"target: expected class indices of shape {lead}, got {target.dtype} {tuple(target.shape)}"
        )
    return target.reshape(-1).long(), None


def _shifted(x: Tensor, target: Target, shift: int) -> tuple[Tensor, Target]:
    if isinstance(target, tuple) or target.is_floating_point():
        raise ValueError("shift: needs targets that are class indices")
    if shift < 0 or x.ndim < 2 or target.shape != x.shape[:-1]:
        raise ValueError(
            f"shift: expected 0 or more positions of an input (…, T, D) with targets (…, T), got {shift} for "
            f"{tuple(x.shape)} and {tuple(target.shape)}"
        )
    return x[..., : max(x.shape[-2] - shift, 0), :], target[..., shift:]


def _autocast(x: Tensor) -> torch.dtype | None:
    """What products are computed in under autocast; the loss is then float32. None without it."""
    kind = x.device.type
    if x.dtype != torch.float64 and torch.amp.is_autocast_available(kind) and torch.is_autocast_enabled(kind):
        return torch.get_autocast_dtype(kind)
    return None
