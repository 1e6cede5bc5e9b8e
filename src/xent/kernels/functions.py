"""softmax, log-softmax and losses of logits in memory, along any axis: by the kernels, or by `reference`.

For ten rows of ten a call must not take longer than NumPy's own: one look at each argument, one native call.
"""

from __future__ import annotations

import math
import operator

import numpy as np
from numpy.typing import ArrayLike

from .. import reference
from .._checks import check_targets, soft_slack
from .._types import Array, Float
from . import native

_KINDS = {np.dtype(np.float64): "d", np.dtype(np.float32): "f", np.dtype(np.float16): "h"}


def logits_of(logits: ArrayLike) -> tuple[Array, str]:
    """The logits as the kernels read them, and the kernels' letter for their dtype: float64, float32, float16
    and bfloat16 stay, other real numbers become float64. Raises ValueError for anything else."""
    z: Array = np.asarray(logits)
    kind = _KINDS.get(z.dtype)
    if kind is None:
        if z.dtype.name == "bfloat16":
            kind = "b"
        elif z.dtype.kind in "fiub":
            z = z.astype(z.dtype.newbyteorder("=") if z.dtype.name in ("float32", "float16") else np.float64)
            kind = _KINDS[z.dtype]
        else:
            raise ValueError(f"logits: expected real numbers, got dtype {z.dtype}")
    return (z if z.flags.aligned else z.copy()), kind


def check_axis(z: Array, axis: int) -> int:
    """The axis, counted from the first. Raises AxisError, a ValueError, if it does not exist or has no
    class."""
    if not -z.ndim <= axis < z.ndim or z.shape[axis] == 0:
        raise np.exceptions.AxisError(
            f"logits: expected an axis {axis} with at least one class, got shape {z.shape}"
        )
    return axis % z.ndim


def normalise(
    logs: bool,
    logits: ArrayLike,
    axis: int | tuple[int, ...] | None,
    out: Array | None,
    *,
    n_threads: int = 0,
) -> Array:
    """softmax or, with `logs`, log-softmax along an axis, several of them, or, for None, all."""
    z, kind = logits_of(logits)
    to = np.empty_like(z) if out is None else check_out(out, z)
    if type(axis) is int:
        _normalise(logs, kind, z, check_axis(z, axis), to, n_threads)
    else:
        axes = tuple(range(z.ndim)) if axis is None else axis if isinstance(axis, tuple) else (axis,)
        axes = tuple(check_axis(z, operator.index(a)) for a in axes)
        last = np.moveaxis(z, axes, range(-len(axes), 0))
        rows = last.reshape(*last.shape[: z.ndim - len(axes)], math.prod(z.shape[a] for a in axes))
        done = np.empty(rows.shape, z.dtype)
        _normalise(logs, kind, rows, rows.ndim - 1, done, n_threads)
        to[...] = np.moveaxis(done.reshape(last.shape), range(-len(axes), 0), axes)
    if out is not None and to is not out:
        out[...] = to
    return to if out is None else out


def check_out(out: object, z: Array) -> Array:
    """The array to write results into: `out`, or one to copy from later if `out` overlaps the logits.

    Raises TypeError unless `out` is an array, ValueError if it cannot hold the results.
    """
    if not isinstance(out, np.ndarray):
        raise TypeError(f"out: expected a NumPy array, got {type(out).__name__}")
    if out.shape != z.shape or out.dtype != z.dtype:
        raise ValueError(
            f"out: expected shape {z.shape} and dtype {z.dtype}, as the result has them, got {out.shape} and "
            f"{out.dtype}; make one with np.empty({z.shape}, {z.dtype.name!r})"
        )
    if not out.flags.writeable:
        raise ValueError("out: the array is read-only; pass one that can be written, for example out.copy()")
    same = out is z or (out.strides == z.strides and _address(out) == _address(z))
    across = not same and np.may_share_memory(out, z)
    return np.empty_like(z) if across or not out.flags.aligned else out


def _address(a: Array) -> int:
    """The address of an array's first number."""
    return int(a.__array_interface__["data"][0])


def _normalise(logs: bool, kind: str, z: Array, axis: int, out: Array, n_threads: int = 0) -> None:
    if native.HAS_NATIVE:
        run = getattr(native._native, "normalise_" + kind)
        run(_stored(z), _stored(out), axis, logs, n_threads, native._isa)
        return
    of = reference.log_softmax if logs else reference.softmax
    with np.errstate(invalid="ignore", over="ignore"):
        out[...] = np.moveaxis(of(np.moveaxis(_wide(z), axis, -1)), -1, axis).astype(z.dtype, copy=False)


def losses(
    z: Array, kind: str, axis: int, targets: ArrayLike, weight: Float | None, *, n_threads: int = 0
) -> Float:
    """The loss of every row, (n,) float64, the rows in C order; 0 where the weight is 0.

    targets: classes in the logits' shape without the axis, or probabilities in the logits' shape. Raises
    ValueError, naming the first row, for any others.
    """
    rows = (*z.shape[:axis], *z.shape[axis + 1 :])
    y = np.asarray(targets)
    if not native.HAS_NATIVE:
        return _plain_losses(z, axis, y, rows, weight)
    out = np.empty(math.prod(rows))
    run = getattr(native._native, "losses_" + kind)
    where = (_stored(z), axis)
    if y.shape == rows and y.dtype.kind in "iub":
        label = np.require(y.reshape(-1), np.int64, ["C", "A"])
        bad = run(*where, label, None, None, weight, 0.0, out, n_threads, native._isa)
        if bad >= 0:
            check_targets(y, axis, z.shape, weight)
        return out
    if y.shape != z.shape:
        check_targets(y, axis, z.shape, weight)
    soft = np.require(y, np.float32 if y.dtype == np.float32 else np.float64, ["A"])
    labels = (None, soft, None) if soft.dtype == np.float32 else (None, None, soft)
    for slack in (soft_slack(soft, z.shape[axis]), 0.0):
        if run(*where, *labels, weight, slack, out, n_threads, native._isa) < 0:
            break
        check_targets(y, axis, z.shape, weight)  # or, by its own rounding of sums, they are just good enough
    return out


def _plain_losses(z: Array, axis: int, y: Array, rows: tuple[int, ...], weight: Float | None) -> Float:
    q = check_targets(y, axis, z.shape, weight)
    flat = np.moveaxis(_wide(z), axis, -1).reshape(math.prod(rows), z.shape[axis])
    with np.errstate(invalid="ignore", over="ignore"):
        costs: Float = reference.cross_entropy(flat, q).astype(np.float64)
    return costs if weight is None else np.where(weight == 0, 0.0, costs)


def _stored(z: Array) -> Array:
    """Numbers of 16 bits as uint16, which is how the kernels take them."""
    return z.view(np.uint16) if z.itemsize == 2 else z


def _wide(z: Array) -> Array:
    """Numbers of 16 bits as float32."""
    return z.astype(np.float32) if z.itemsize == 2 else z
