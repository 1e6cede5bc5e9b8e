"""`linear_cross_entropy` and `cross_entropy` of PyTorch tensors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from . import door
from .asked import MAX_BYTES, Asked, Reduction
from .inputs import Target, autocast, check_tensors, flat_targets, layer, positions, rows_of, shifted


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
    in any mode and order, under `torch.func` and `torch.compile`; docs/torch.md says which are in tiles.
    Raises ValueError for shapes, dtypes, devices and options that do not fit, TypeError for what is no
    tensor or number; IndexError, on the CPU, with the first target that is no class.
    Source: `xent.reference.cross_entropy`.
    """
    options = (
        class_weight,
        ignore_index,
        label_smoothing,
        reduction,
        softcap,
        temperature,
        z_loss,
        max_bytes,
        returns,
    )
    if weight is not None and door.plain(*options, shift):
        loss = door.loss(input, weight, bias, target, ignore_index, reduction, max_bytes or MAX_BYTES)
        if loss is not None:
            return loss
    asked = Asked(*options)
    check_tensors(input=input, weight=weight, bias=bias, target=target, class_weight=class_weight)
    input, target = shifted(input, target, shift)
    input, weight, bias, out = layer(input, weight, bias)
    if weight.ndim == 2:
        index, value = flat_targets(target, input.shape[:-1], weight.shape[0])
        return asked.of([(rows_of(input), weight, bias, index, value)], input.shape[:-1], out)
    if input.element_size() == 2:  # autograd adds the positions' gradients up
        input, weight, bias = input.float(), weight.float(), None if bias is None else bias.float()
    return asked.of(positions(input, weight, bias, target), (len(input), *weight.shape[1:-1]), out)


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
    options = (
        class_weight,
        ignore_index,
        label_smoothing,
        reduction,
        softcap,
        temperature,
        z_loss,
        max_bytes,
        returns,
    )
    if door.plain(*options):
        loss = door.loss(logits, None, None, target, ignore_index, reduction, max_bytes or MAX_BYTES)
        if loss is not None:
            return loss
    asked = Asked(*options)
    check_tensors(logits=logits, target=target, class_weight=class_weight)
    if not logits.ndim:
        raise ValueError("logits: expected (K,), (N, K) or (N, K, …), got a scalar")
    axis = min(logits.ndim - 1, 1)
    if logits.ndim > 2:
        if isinstance(target, tuple):
            target = target[0].movedim(1, -1), target[1].movedim(1, -1)
        elif target.is_floating_point() and target.ndim == logits.ndim:
            target = target.movedim(1, -1)
    out = logits.dtype if autocast(logits) is None else torch.float32
    logits = logits.movedim(axis, -1)
    index, value = flat_targets(target, logits.shape[:-1], logits.shape[-1])
    return asked.of([(rows_of(logits), None, None, index, value)], logits.shape[:-1], out)
