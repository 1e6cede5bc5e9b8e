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
    """Raises TypeError for options that the function does not have, and for its arguments of each call."""
    parameters = inspect.signature(function).parameters.values()
    of_calls = [parameter.name for parameter in parameters if parameter.default is parameter.empty]
    of_options = [parameter.name for parameter in parameters if parameter.name not in of_calls]
    for name in options:
        if name in of_options:
            continue
        if name == "weight":
            hint = "class weights are class_weight"
        elif name in ("input", *of_calls):
            hint = "it is given when the loss is called"
        else:
            hint = f"there are {', '.join(of_options)}"
        raise TypeError(f"{name}: no such option; {hint}")


class CrossEntropyLoss(nn.Module):
    """`xent.torch.cross_entropy` as a module, in the place of `torch.nn.CrossEntropyLoss`.

    Parameters
    ----------
    class_weight : Tensor (K,), optional
        A buffer: it moves with the module, and gets no gradient.
    **options
        The other keywords of `xent.torch.cross_entropy`.

    Raises
    ------
    TypeError
        When the module is made, for an option that the function does not have.

    Examples
    --------
    >>> import torch
    >>> from xent.torch import CrossEntropyLoss
    >>> loss = CrossEntropyLoss(label_smoothing=0.1)
    >>> round(loss(torch.zeros(2, 3), torch.tensor([0, 2])).item(), 4)  # log 3
    1.0986
    """

    class_weight: Tensor | None

    def __init__(self, class_weight: Tensor | None = None, **options: Any) -> None:
        super().__init__()
        _check_options(cross_entropy, options)
        self.register_buffer("class_weight", class_weight)
        self.options = options

    def forward(self, input: Tensor, target: Target) -> Any:
        """The loss of logits `input` and `target`, as `xent.torch.cross_entropy` has them."""
        return cross_entropy(input, target, self.class_weight, **self.options)

    def extra_repr(self) -> str:
        """The options, for `repr`."""
        return ", ".join(f"{name}={value!r}" for name, value in self.options.items())


class LinearCrossEntropyLoss(nn.Module):
    """A linear layer and the cross-entropy of its output, in the place of `torch.nn.LinearCrossEntropyLoss`.

    Parameters
    ----------
    in_features : int
        D, the number of features.
    num_classes : int
        K.
    out_features : tuple of int, default ()
        d₁, …, the sizes of a loss of several axes.
    bias : bool, default False
        Whether the layer has a bias.
    device, dtype : optional
        Of the layer, as `torch.nn.Linear` takes them.
    reduction : "mean", "sum" or "none", default "mean"
    class_weight : Tensor (K,), optional
        A buffer: it moves with the module, and gets no gradient.
    **options
        The other keywords of `xent.torch.linear_cross_entropy`.

    Attributes
    ----------
    linear : torch.nn.Linear
        The layer; its weight is (K · d₁ · …, D).

    Raises
    ------
    TypeError
        When the module is made, for an option that the function does not have.

    Examples
    --------
    >>> import torch
    >>> from xent.torch import LinearCrossEntropyLoss
    >>> module = LinearCrossEntropyLoss(3, 4, bias=True)
    >>> module(torch.randn(5, 3), torch.tensor([0, 1, 2, 3, -100])).shape
    torch.Size([])
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
        """The loss of rows `input` (…, in_features) and `target`, as `linear_cross_entropy` has them."""
        shape = (self.num_classes, *self.out_features)
        weight, linear_bias = self.linear.weight.reshape(*shape, -1), self.linear.bias
        bias: Tensor | None = None if linear_bias is None else linear_bias.reshape(shape)
        options = {"bias": bias, "class_weight": self.class_weight} | self.options
        return linear_cross_entropy(input, weight, target, **options)

    def extra_repr(self) -> str:
        """Sizes and options, for `repr`."""
        shape = {"num_classes": self.num_classes, "out_features": self.out_features}
        return ", ".join(f"{name}={value!r}" for name, value in (shape | self.options).items())
