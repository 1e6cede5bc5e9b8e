"""The losses as modules, named as in `torch.nn`; class weights are `class_weight` everywhere."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

from .asked import Reduction
from .functional import cross_entropy, linear_cross_entropy
from .inputs import Target


def _check_options(function: Callable[..., object], options: Iterable[str]) -> None:
    """Raises TypeError, when a module is made, for options that its function does not have, and for what a
    call gives it."""
    known = inspect.signature(function).parameters.values()
    called = [parameter.name for parameter in known if parameter.default is parameter.empty]
    named = [parameter.name for parameter in known if parameter.name not in called]
    for name in options:
        if name in named:
            continue
        if name == "weight":
            hint = "class weights are class_weight"
        elif name in ("input", *called):
            hint = "it is given when the loss is called"
        else:
            hint = f"there are {', '.join(named)}"
        raise TypeError(f"{name}: no such option; {hint}")


class CrossEntropyLoss(nn.Module):
    """`xent.torch.cross_entropy` as a module, in the place of `torch.nn.CrossEntropyLoss`.

    `options` are that function's keywords, but class_weight; input and target as it has them.
    """

    class_weight: Tensor | None

    def __init__(self, class_weight: Tensor | None = None, **options: Any) -> None:
        super().__init__()
        _check_options(cross_entropy, options)
        self.register_buffer("class_weight", class_weight)
        self.options = options

    def forward(self, input: Tensor, target: Target) -> Any:
        return cross_entropy(input, target, self.class_weight, **self.options)

    def extra_repr(self) -> str:
        return ", ".join(f"{name}={value!r}" for name, value in self.options.items())


class LinearCrossEntropyLoss(nn.Module):
    """A linear layer and the cross-entropy of its output, in the place of
    `torch.nn.LinearCrossEntropyLoss`.

    in_features : D
    num_classes : K
    out_features : sizes d₁, … of a loss of several axes, default none
    bias : bool, default False
    reduction, class_weight and `options` : as `xent.torch.linear_cross_entropy` has them

    The layer is `linear`, its weight (K · d₁ · …, D).
    """

    class_weight: Tensor | None

    def __init__(
        self,
        in_features: int,
        num_classes: int,
        *,
        out_features: tuple[int, ...] = (),
        bias: bool = False,
        device: torch.device | str | int | None = None,
        dtype: torch.dtype | None = None,
        reduction: Reduction = "mean",
        class_weight: Tensor | None = None,
        **options: Any,
    ) -> None:
        super().__init__()
        self.num_classes, self.out_features = num_classes, tuple(out_features)
        size = math.prod(self.out_features, start=num_classes)
        self.linear = nn.Linear(in_features, size, bias=bias, device=device, dtype=dtype)
        self.register_buffer("class_weight", class_weight)
        self.options = options | {"reduction": reduction}
        _check_options(linear_cross_entropy, self.options)

    def forward(self, input: Tensor, target: Target) -> Any:
        shape = (self.num_classes, *self.out_features)
        weight, linear_bias = self.linear.weight.reshape(*shape, -1), self.linear.bias
        bias: Tensor | None = None if linear_bias is None else linear_bias.reshape(shape)
        given = {"bias": bias, "class_weight": self.class_weight} | self.options
        return linear_cross_entropy(input, weight, target, **given)

    def extra_repr(self) -> str:
        shape = {"num_classes": self.num_classes, "out_features": self.out_features}
        return ", ".join(f"{name}={value!r}" for name, value in (shape | self.options).items())
