"""Softmax and cross-entropy of NumPy logits: check, one implementation, reduce."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from . import reference
from ._checks import check_logits, check_targets, check_weight

__all__ = ["cross_entropy", "log_softmax", "softmax"]


def softmax(logits: Any) -> NDArray[Any]:
    """p_k = exp(z_k) / Σ_j exp(z_j). logits (n, K) → (n, K), float32 stays float32.

    Rows sum to 1; a logit of −inf is a masked class with probability 0. Raises ValueError for logits
    that are not a (n, K) array of real numbers. Source: `xent.reference.softmax`.
    """
    with np.errstate(invalid="ignore", over="ignore"):
        return reference.softmax(check_logits(logits))


def log_softmax(logits: Any) -> NDArray[Any]:
    """log p_k = z_k − log Σ_j exp(z_j), finite for finite logits. (n, K) → (n, K), in nats.

    Raises ValueError as `softmax` does. Source: `xent.reference.log_softmax`.
    """
    with np.errstate(invalid="ignore", over="ignore"):
        return reference.log_softmax(check_logits(logits))


def cross_entropy(
    logits: Any,
    targets: Any,
    *,
    sample_weight: Any = None,
    reduction: Literal["mean", "sum", "none"] = "mean",
) -> Any:
    """Cross-entropy of softmax(logits) at the targets, in nats.

    Row i costs ℓ_i = log Σ_k exp(z_ik − z_iy), the label's logit subtracted before the sum, so that a
    confident correct row keeps its relative precision where 1 − p would be 0.

    Parameters: logits (n, K) float32 or float64; targets (n,) integers in [0, K) or (n, K) rows of
    probabilities; sample_weight (n,) ≥ 0, a row of weight 0 counting exactly 0 even if it holds NaN.
    Returns Σ s_i ℓ_i / Σ s_i ("mean"), Σ s_i ℓ_i ("sum"), both float summed in float64, or ℓ_i (n,) in
    the dtype of logits, 0 where the weight is 0 ("none").
    Raises ValueError naming the first offending row; for a mean over no weight.
    Source: `xent.reference.cross_entropy`.
    """
    if reduction not in ("mean", "sum", "none"):
        raise ValueError(f"reduction: expected 'mean', 'sum' or 'none', got {reduction!r}")
    z = check_logits(logits)
    weight = check_weight(sample_weight, len(z))
    y = check_targets(targets, len(z), z.shape[1], weight)
    with np.errstate(invalid="ignore", over="ignore"):
        losses = reference.cross_entropy(z, y)
    losses = np.where(weight == 0, np.zeros_like(losses), losses)
    if reduction == "none":
        return losses
    total = float(weight @ losses.astype(np.float64))
    if reduction == "sum":
        return total
    if not weight.sum() > 0:
        raise ValueError("sample_weight: the mean needs at least one row of positive weight")
    return total / float(weight.sum())
