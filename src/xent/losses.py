"""Softmax and cross-entropy of NumPy logits: what a first lesson calls."""

from __future__ import annotations

from typing import Literal, overload

import numpy as np
from numpy.typing import ArrayLike

from ._checks import check_weight
from ._types import Array, VectorLike
from .kernels import functions

__all__ = ["cross_entropy", "log_softmax", "softmax"]


def softmax(logits: ArrayLike, axis: int | tuple[int, ...] | None = -1, *, out: Array | None = None) -> Array:
    """Probabilities p_k = exp(z_k) / Σ_j exp(z_j), the sum along `axis`.

    Parameters
    ----------
    logits : array_like of any shape and strides
        z. float64, float32, float16 and bfloat16 (ml_dtypes) keep their dtype, the last two computed in
        float32 and rounded once; other real numbers become float64.
    axis : int, tuple of int or None, default -1
        The axis or axes of the classes; None, which is SciPy's default, for all.
    out : ndarray, optional
        Where the result goes, of its shape and dtype. It may be `logits`.

    Returns
    -------
    ndarray of the shape of logits
        The probabilities, or `out`. Rows sum to 1. A logit of −inf is a masked class of probability 0; NaN
        makes its row NaN. The bits are the same for any number of threads.

    Raises
    ------
    ValueError
        For logits that are not real numbers or have no class along `axis`, and for an `out` that cannot take
        the result.
    TypeError
        For an `out` that is not a NumPy array.

    Notes
    -----
    The largest logit is subtracted first, so nothing overflows. Source: `xent.reference.softmax`.

    Examples
    --------
    >>> import numpy as np, xent
    >>> xent.softmax(np.log([[1.0, 3.0], [1.0, 1.0]])).round(2)
    array([[0.25, 0.75],
           [0.5 , 0.5 ]])
    """
    return functions.normalise(False, logits, axis, out)


def log_softmax(
    logits: ArrayLike, axis: int | tuple[int, ...] | None = -1, *, out: Array | None = None
) -> Array:
    """Log probabilities log p_k = z_k − log Σ_j exp(z_j), the sum along `axis`, in nats.

    Parameters
    ----------
    logits : array_like of any shape and strides
        z. float64, float32, float16 and bfloat16 (ml_dtypes) keep their dtype, the last two computed in
        float32 and rounded once; other real numbers become float64.
    axis : int, tuple of int or None, default -1
        The axis or axes of the classes; None, which is SciPy's default, for all.
    out : ndarray, optional
        Where the result goes, of its shape and dtype. It may be `logits`.

    Returns
    -------
    ndarray of the shape of logits
        The log probabilities, or `out`: finite for finite logits, −inf for a masked class.

    Raises
    ------
    ValueError
        For logits that are not real numbers or have no class along `axis`, and for an `out` that cannot take
        the result.
    TypeError
        For an `out` that is not a NumPy array.

    Notes
    -----
    log Σ exp is m + log1p(R), m the largest logit and R the sum over all other classes, so that a confident
    row keeps its relative precision. Source: `xent.reference.log_softmax`.

    Examples
    --------
    >>> import numpy as np, xent
    >>> xent.log_softmax(np.array([0.0, 0.0])).round(4)
    array([-0.6931, -0.6931])
    """
    return functions.normalise(True, logits, axis, out)


@overload
def cross_entropy(
    logits: ArrayLike,
    targets: ArrayLike,
    *,
    axis: int = ...,
    sample_weight: VectorLike | None = ...,
    reduction: Literal["mean", "sum"] = ...,
) -> float: ...
@overload
def cross_entropy(
    logits: ArrayLike,
    targets: ArrayLike,
    *,
    axis: int = ...,
    sample_weight: VectorLike | None = ...,
    reduction: Literal["none"],
) -> Array: ...
def cross_entropy(
    logits: ArrayLike,
    targets: ArrayLike,
    *,
    axis: int = -1,
    sample_weight: VectorLike | None = None,
    reduction: Literal["mean", "sum", "none"] = "mean",
) -> float | Array:
    """Cross-entropy of softmax(logits) at the targets, in nats.

    Parameters
    ----------
    logits : array_like (n, K)
        z, in the dtypes that `softmax` takes, the K classes along `axis`. There may be more axes: n then
        stands for all but `axis`.
    targets : array_like (n,) or (n, K)
        Integers in [0, K), or rows of probabilities.
    axis : int, default -1
        The axis of the classes.
    sample_weight : array_like (n,), optional
        s_i ≥ 0; None for 1. A row of weight 0 counts exactly 0 even if it holds NaN.
    reduction : {"mean", "sum", "none"}, default "mean"
        Σ s_i ℓ_i / Σ s_i, Σ s_i ℓ_i, or every ℓ_i.

    Returns
    -------
    float or ndarray (n,)
        The mean or sum, summed in float64; or the losses in the dtype of logits, 0 where the weight is 0.

    Raises
    ------
    ValueError
        For targets or weights that do not fit, naming the first such row; for logits that `softmax` does not
        take; for a mean without any weight.

    Notes
    -----
    Row i costs ℓ_i = log Σ_k exp(z_ik − z_iy), or −Σ_k q_ik log p_ik for probabilities q_i. The label's logit
    is subtracted before the sum, so that a confident correct row keeps its relative precision where 1 − p
    would be 0. Nothing of the size of logits is held. Source: `xent.reference.cross_entropy`.

    Examples
    --------
    >>> import numpy as np, xent
    >>> logits = np.array([[2.0, 0.0], [0.0, 1.0]])
    >>> round(xent.cross_entropy(logits, [0, 0]), 4)
    0.7201
    >>> xent.cross_entropy(logits, [0, 0], reduction="none").round(4)
    array([0.1269, 1.3133])
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
