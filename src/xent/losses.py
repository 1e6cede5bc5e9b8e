"""Softmax and cross-entropy of NumPy logits: what a first lesson calls."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from ._checks import check_weight
from ._types import Array
from .kernels import functions

__all__ = ["cross_entropy", "log_softmax", "softmax"]


def softmax(logits: Any, axis: int | tuple[int, ...] | None = -1, *, out: Array | None = None) -> Array:
    """p_k = exp(z_k) / Σ_j exp(z_j), the sum along `axis`: of the same shape.

    Rows sum to 1; a logit of −inf is a masked class with probability 0; NaN makes its row NaN.

    Parameters: logits of any shape and strides: float64, float32, float16 and bfloat16 (ml_dtypes) stay what
    they are, the last two computed in float32 and rounded once; other real numbers become float64. axis: one,
    several, or None for all, which is SciPy's default. out: where the result goes, of its shape and dtype; it
    may be `logits`.
    Returns the probabilities, `out` where that is given; the same bits for any number of threads.
    Raises ValueError for logits that are no real numbers or have no class along `axis`, and for an `out` that
    cannot take the result. Source: `xent.reference.softmax`.
    """
    return functions.normalise(False, logits, axis, out)


def log_softmax(logits: Any, axis: int | tuple[int, ...] | None = -1, *, out: Array | None = None) -> Array:
    """log p_k = z_k − log Σ_j exp(z_j), finite for finite logits, in nats.

    Parameters, result and errors are those of `softmax`. Source: `xent.reference.log_softmax`.
    """
    return functions.normalise(True, logits, axis, out)


def cross_entropy(
    logits: Any,
    targets: Any,
    *,
    axis: int = -1,
    sample_weight: Any = None,
    reduction: Literal["mean", "sum", "none"] = "mean",
) -> Any:
    """Cross-entropy of softmax(logits) at the targets, in nats.

    Row i costs ℓ_i = log Σ_k exp(z_ik − z_iy), the label's logit subtracted before the sum, so that a
    confident correct row keeps its relative precision where 1 − p would be 0.

    Parameters: logits (n, K) as `softmax` takes them, the K classes along `axis`, or of more axes, for all of
    which but `axis` n stands; targets (n,) integers in [0, K) or (n, K) rows of probabilities; sample_weight
    (n,) ≥ 0, a row of weight 0 counting exactly 0 even if it holds NaN.
    Returns Σ s_i ℓ_i / Σ s_i ("mean"), Σ s_i ℓ_i ("sum"), both float summed in float64, or ℓ_i (n,) in
    the dtype of logits, 0 where the weight is 0 ("none"). Nothing of the size of logits is held.
    Raises ValueError naming the first offending row; for a mean over no weight.
    Source: `xent.reference.cross_entropy`.
    """
    if reduction not in ("mean", "sum", "none"):
        raise ValueError(f"reduction: expected 'mean', 'sum' or 'none', got {reduction!r}")
    z, kind = functions.logits_of(logits)
    if z.ndim < 2:
        raise ValueError(
            f"logits: expected shape (n_samples, n_classes) with at least one class, got {z.shape}"
        )
    axis = functions.check_axis(z, axis)
    rows = (*z.shape[:axis], *z.shape[axis + 1 :])
    weight = check_weight(sample_weight, rows)
    losses = functions.losses(z, kind, axis, targets, weight)
    if reduction == "none":
        with np.errstate(over="ignore"):
            return losses.astype(z.dtype, copy=False).reshape(rows)
    total = float((losses if weight is None else weight * losses).sum())
    if reduction == "sum":
        return total
    weights = float(len(losses) if weight is None else weight.sum())
    if not weights > 0:
        raise ValueError("sample_weight: the mean needs at least one row of positive weight")
    return total / weights
