"""`linear_cross_entropy` and `cross_entropy` of PyTorch tensors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from . import door
from .asked import MAX_BYTES, CallOptions, Reduction
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

    Parameters
    ----------
    input : Tensor (…, D), float64, float32, bfloat16 or float16
        Rows of features, of any leading shape.
    weight : Tensor (K, D), of input's dtype
        One row per class, as `torch.nn.Linear` has it; or (K, d₁, …, D) for input (N, D): one loss for each
        of d₁, ….
    target : Tensor of integers or floats, or a pair of Tensors
        Classes (…) in [0, K), or probabilities (…, K), or a pair (…, t), (…, t) of classes and their
        probabilities, all with input's leading shape; (N, d₁, …) or (N, K, d₁, …) where weight has more
        axes. A class that stands twice in a row of the pair counts twice.
    bias : Tensor (K,) or (K, d₁, …), optional
    class_weight : Tensor (K,), optional
        It gets no gradient.
    ignore_index : int, default -100
        Rows with this target cost 0 and get gradient 0, whatever they hold.
    label_smoothing : float in [0, 1], default 0
        ε below.
    reduction : "mean", "sum" or "none", default "mean"
        The mean of class indices divides by Σ w over the rows that count, that of probabilities by their
        number, as PyTorch's do; without a row that counts it is 0 (PyTorch: NaN).
    softcap : float, optional
        c below; None is no cap.
    temperature : float, default 1
        T below.
    z_loss : float, default 0
        The factor of lse² below.
    shift : int, default 0
        Compare position t of the axis before the last with the target of position t + shift: 1 for the
        next token.
    max_bytes : int, default 32 MiB
        How much memory a tile of logits may take beside the gradients. It changes no bit beyond rounding.
    returns : sequence of "lse", "target_log_prob", "entropy", "argmax", "correct", "rank"
        What to return besides the loss.

    Returns
    -------
    Tensor, or CrossEntropyOutput if `returns` names anything
        The loss in input's dtype (float32 under autocast), summed in float64: one number, or the target's
        leading shape for reduction "none".

    Raises
    ------
    ValueError
        For shapes, dtypes, devices and options that do not fit.
    TypeError
        For an argument that is no tensor or no number.
    IndexError
        On the CPU, with the first target that is no class.

    Notes
    -----
    With y = W x + b the logits of a row, z = y/T (or c tanh(y/c)/T with a softcap c), lse = log Σ_k exp z_k,
    w the class weights and ε the label smoothing, a row costs

        ℓ = (1 − ε) Σ_k q_k w_k (lse − z_k) + (ε/K) Σ_k w_k (lse − z_k) + z_loss · lse².

    q is 1 at the target, or the target's row of probabilities. K counts the classes that are not masked: a
    class whose logit is −inf has p = 0, takes no share of ε and gets no gradient.

    Gradients are added up in float32, or in float64 for float64, and rounded once; those of tensors that
    need none are not computed. The loss is differentiable in any mode and to any order, under `torch.func`
    and `torch.compile`; docs/torch.md says which derivatives hold all logits in memory.

    Source: `xent.reference.cross_entropy`.

    Examples
    --------
    >>> import torch
    >>> from xent.torch import linear_cross_entropy
    >>> input, weight = torch.zeros(5, 3), torch.zeros(4, 3, requires_grad=True)
    >>> loss = linear_cross_entropy(input, weight, torch.tensor([0, 1, 2, 3, -100]))
    >>> round(loss.item(), 4)  # log 4: all classes are equally likely
    1.3863
    >>> loss.backward()
    >>> weight.grad.shape
    torch.Size([4, 3])
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
    call = CallOptions(*options)
    check_tensors(input=input, weight=weight, bias=bias, target=target, class_weight=class_weight)
    input, target = shifted(input, target, shift)
    input, weight, bias, out = layer(input, weight, bias)
    if weight.ndim == 2:
        index, value = flat_targets(target, input.shape[:-1], weight.shape[0])
        return call.of([(rows_of(input), weight, bias, index, value)], input.shape[:-1], out)
    if input.element_size() == 2:  # autograd adds the positions' gradients up
        input, weight, bias = input.float(), weight.float(), None if bias is None else bias.float()
    return call.of(positions(input, weight, bias, target), (len(input), *weight.shape[1:-1]), out)


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

    Parameters
    ----------
    logits : Tensor (K,), (N, K) or (N, K, d₁, …), float64, float32, bfloat16 or float16
        The classes are on axis 1, as PyTorch has them.
    target : Tensor of integers or floats, or a pair of Tensors
        Classes in [0, K), of shape (), (N,) or (N, d₁, …); or probabilities of the shape of logits; or a
        pair of classes and their probabilities, the t of each row on axis 1.
    class_weight : Tensor (K,), optional
        It gets no gradient.
    ignore_index, label_smoothing, reduction, softcap, temperature, z_loss, max_bytes, returns
        As `linear_cross_entropy` has them.

    Returns
    -------
    Tensor, or CrossEntropyOutput if `returns` names anything
        The loss in the dtype of logits (float32 under autocast), summed in float64: one number, or the
        shape of target's classes for reduction "none".

    Raises
    ------
    ValueError, TypeError, IndexError
        As `linear_cross_entropy` does.

    Notes
    -----
    The formula is that of `linear_cross_entropy`, y being the logits; so are the modes and orders in which
    the loss is differentiable.

    Source: `xent.reference.cross_entropy`.

    Examples
    --------
    >>> import torch
    >>> from xent.torch import cross_entropy
    >>> logits, target = torch.tensor([[2.0, 0.0], [0.0, 0.0]]), torch.tensor([0, 1])
    >>> cross_entropy(logits, target, reduction="none")  # log(1 + e⁻²) and log 2
    tensor([0.1269, 0.6931])
    >>> cross_entropy(logits, target, returns=["correct"]).correct
    tensor([ True, False])
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
    call = CallOptions(*options)
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
    return call.of([(rows_of(logits), None, None, index, value)], logits.shape[:-1], out)
