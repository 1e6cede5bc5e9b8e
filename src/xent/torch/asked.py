"""What a call asks for, checked once; and its result."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from numbers import Real
from typing import Literal

import torch
from torch import Tensor

from . import autograd, native_tiles, operations
from .inputs import Part
from .operations import Settings, Tensors

MAX_BYTES = 32 << 20
Reduction = Literal["none", "mean", "sum"]


@dataclass(frozen=True)
class CrossEntropyOutput:
    """The loss, and the outputs that `returns` names; the others are None.

    Attributes
    ----------
    loss : Tensor
        In nats, reduced as `reduction` says.
    lse : Tensor or None
        log Σ_k exp z_k of each row, in nats; like all that follow of the shape of the targets' classes.
    target_log_prob : Tensor or None
        log p of the target, in nats.
    entropy : Tensor or None
        −Σ_k p_k log p_k, in nats. It, lse and target_log_prob are differentiable.
    argmax : Tensor or None
        int64, the first class of the largest logit; −1 for ignored rows.
    correct : Tensor or None
        bool, whether argmax is the target; False for ignored rows.
    rank : Tensor or None
        int64, 1 plus the number of logits above the target's, which takes two passes of its own; 0 for
        ignored rows.

    Notes
    -----
    Ignored rows have 0 in lse, target_log_prob and entropy.
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


@dataclass(frozen=True)
class CallOptions:
    """The options of one call of a loss, as `linear_cross_entropy` has them, checked."""

    class_weight: Tensor | None
    ignore_index: int
    label_smoothing: float
    reduction: Reduction
    softcap: float | None
    temperature: float
    z_loss: float
    max_bytes: int | None
    returns: Sequence[str]

    def __post_init__(self) -> None:
        if self.reduction not in ("none", "mean", "sum"):
            raise ValueError(f"reduction: expected 'mean', 'sum' or 'none', got {self.reduction!r}")
        for name in ("label_smoothing", "softcap", "temperature", "z_loss", "max_bytes", "ignore_index"):
            value = getattr(self, name)
            optional = value is None and name in ("softcap", "max_bytes")
            if not optional and not isinstance(value, Real):
                more = ", which would get no gradient" if isinstance(value, Tensor) else ""
                raise TypeError(f"{name}: expected a number, got {type(value).__name__}{more}")
        if not -(2**63) <= self.ignore_index < 2**63 or self.ignore_index != int(self.ignore_index):
            raise ValueError(f"ignore_index: expected an integer of 64 bits, got {self.ignore_index!r}")
        checks = {
            "label_smoothing": (0 <= self.label_smoothing <= 1, "in [0, 1]"),
            "softcap": (self.softcap is None or 0 < self.softcap < math.inf, "positive and finite, or None"),
            "temperature": (0 < self.temperature < math.inf, "positive and finite"),
            "z_loss": (0 <= self.z_loss < math.inf, "0 or positive, and finite"),
            "max_bytes": (self.max_bytes is None or 0 < self.max_bytes < 2**63, "positive, or None"),
        }
        for name, (good, what) in checks.items():
            if not good:
                raise ValueError(f"{name}: expected a number that is {what}, got {getattr(self, name)!r}")
        if isinstance(self.returns, str) or not all(isinstance(name, str) for name in self.returns):
            raise TypeError(f"returns: expected a list of {list(_RETURNS)}, got {self.returns!r}")
        if unknown := [name for name in self.returns if name not in _RETURNS]:
            raise ValueError(f"returns: no {unknown}; there are {list(_RETURNS)}")

    def of(self, parts: list[Part], shape: Sequence[int], dtype: torch.dtype) -> Tensor | CrossEntropyOutput:
        """The result for rows in `parts`, one for each position of a loss of more axes."""
        calls = [Tensors(*part, self.class_weight) for part in parts]
        labels = calls[0].target is not None and calls[0].value is None
        self.check(calls[0].K, labels)
        results = [autograd.apply(call, self.settings(call)) for call in calls]
        outputs = [_side_by_side(outs) for outs in zip(*results, strict=True)]
        target = _side_by_side([call.target for call in calls if call.target is not None]) if labels else None
        more = {}
        if "rank" in self.returns:
            more["rank"] = 1 + _side_by_side(
                [operations.above(*call, *self.settings(call)) for call in calls]
            )
        return self.result(outputs, target, self._counts(outputs[0], target), shape, dtype, more)

    def check(self, K: int, labels: bool) -> None:
        """Check what depends on the tensors: K classes, and whether targets are class indices."""
        if self.class_weight is not None and self.class_weight.shape != (K,):
            raise ValueError(f"class_weight: expected ({K},), got {tuple(self.class_weight.shape)}")
        if not labels and (wrong := [name for name in self.returns if name in _OF_CLASSES]):
            raise ValueError(f"returns: {wrong} need targets that are class indices")

    def result(
        self,
        outputs: Sequence[Tensor],
        labels: Tensor | None,
        counts: Tensor,
        shape: Sequence[int],
        dtype: torch.dtype,
        more: dict[str, Tensor],
    ) -> Tensor | CrossEntropyOutput:
        """Of the loss, lse, the target's log-probability, the entropy and the winner of rows; `counts`: what
        each weighs in the mean; `more`: outputs that are not among these."""
        loss, lse, target, entropy, winner = outputs
        total = counts.sum()
        if self.reduction == "none":
            loss = loss.reshape(shape)
        elif self.reduction == "sum":
            loss = loss.sum()
        else:
            loss = loss.sum() / torch.where(total == 0, 1, total)
        if not self.returns:
            return loss.to(dtype)
        of_rows = {"lse": lse, "target_log_prob": target, "entropy": entropy}
        more = more | {name: values.to(dtype) for name, values in of_rows.items()} | {"argmax": winner}
        if labels is not None:
            dead = labels == self.ignore_index
            more["correct"] = (winner == labels) & lse.isfinite()
            none = {"argmax": -1, "correct": False, "rank": 0}
            more |= {name: more[name].masked_fill(dead, none[name]) for name in none if name in more}
        return CrossEntropyOutput(
            loss.to(dtype), **{name: more[name].reshape(shape) for name in self.returns}
        )

    def settings(self, call: Tensors) -> Settings:
        """The numbers of the operation for these tensors."""
        x, W, softcap, max_bytes = call.x, call.W, float(self.softcap or 0), int(self.max_bytes or MAX_BYTES)
        keep = False
        # What is exported is for any number of rows, so none may be asked for how many it has.
        exported = torch.compiler.is_exporting()
        if W is not None and x.device.type == "cpu" and torch.is_grad_enabled() and not exported:
            keep = (x.requires_grad or W.requires_grad) and native_tiles.keeps(x, W, softcap, max_bytes)
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

    def _counts(self, loss: Tensor, labels: Tensor | None) -> Tensor:
        """The weight of each row in the mean: that of its class where targets are class indices, else 1."""
        if labels is None:
            return torch.ones_like(loss)
        counts = (labels != self.ignore_index).to(loss.dtype)
        if self.class_weight is None:
            return counts
        return counts * self.class_weight.to(loss.dtype)[labels.clamp(0, len(self.class_weight) - 1)]


def _side_by_side(parts: Sequence[Tensor]) -> Tensor:
    """(N,) of the only position; or (N, positions)."""
    return parts[0] if len(parts) == 1 else torch.stack(list(parts), -1)
