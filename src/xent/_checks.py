"""One small function per invariant: what it expects, what it got, where, and what to do about it."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from ._types import Array, Float, VectorLike


def shown(label: object) -> str:
    """A label or name as its owner would write it: 0, not np.int64(0)."""
    return repr(label.item() if isinstance(label, np.generic) else label)


def check_targets(targets: ArrayLike, axis: int, shape: tuple[int, ...], weight: Float | None) -> Array:
    """The targets of logits of this shape with classes on this axis, the rows in C order: (n,) integers in
    [0, K), or (n, K) rows of probabilities. Rows of weight 0 are not looked at. Raises ValueError naming the
    first row that is neither."""
    y, K = np.asarray(targets), shape[axis]
    rows = (*shape[:axis], *shape[axis + 1 :])
    n = math.prod(rows)
    counted = np.ones(n, np.bool_) if weight is None else weight != 0
    if y.ndim == len(shape):
        y = y if y.dtype in (np.float32, np.float64) else y.astype(np.float64)
        y = np.moveaxis(y, axis, -1)
        _check_rows("targets", y.shape[:-1], rows)
        y = y.reshape(n, y.shape[-1])
        check_probabilities(y, n, K, counted, "targets", rows)
        return y
    if y.ndim != len(rows) or y.dtype.kind not in "iub":
        raise ValueError(
            f"targets: expected integers {_shown(rows)} or probability rows {_shown(shape)}, got "
            f"dtype {y.dtype} and shape {y.shape}"
        )
    _check_rows("targets", y.shape, rows)
    y = y.reshape(n)
    outside = ((y < 0) | (y >= K)) & counted
    if outside.any():
        row = int(np.argmax(outside))
        raise ValueError(
            f"targets[{_place(row, rows)}] = {y[row]} is outside [0, {K}); to leave a row out give it "
            "sample_weight 0"
        )
    return np.where(counted, y, 0).astype(np.int64)


def soft_slack(y: Array, K: int) -> float:
    """By how much the sum of a row of K probabilities may differ from 1."""
    return (1e-12 if y.dtype == np.float64 else 1e-5) * max(K, 8)


def check_probabilities(
    y: Array,
    n: int,
    K: int,
    weight: Array,
    name: str,
    rows: tuple[int, ...] | None = None,
) -> None:
    """Raises ValueError unless y holds (n, K) rows ≥ 0 that sum to 1. Rows of weight 0 are not looked at.
    `rows`: the shape that the n rows have in the caller's array."""
    _check_length(name, len(y), n)
    if y.shape[1] != K:
        raise ValueError(f"{name}: expected {K} columns, one a class of logits, got {y.shape[1]}")
    totals = y.sum(axis=1)
    wrong = ~((y >= 0).all(axis=1) & (np.abs(totals - 1) <= soft_slack(y, K))) & (weight != 0)
    if wrong.any():
        row = int(np.argmax(wrong))
        problem, remedy = f"sums to {totals[row]:.9g}", "divide each by its sum"
        if np.isnan(totals[row]):
            problem, remedy = "has a NaN entry", "fill it in, or leave the row out"
        elif not (y[row] >= 0).all():
            problem = "has a negative entry"
        elif totals[row] == 0:
            problem, remedy = "is 0 in every class", "fill it, or leave it out with a sample weight of 0"
        raise ValueError(
            f"{name}: row {_place(row, rows or (n,))} {problem}; probability rows must be ≥ 0 and sum to 1: "
            f"{remedy}"
        )


def check_weight(sample_weight: VectorLike | None, rows: tuple[int, ...]) -> Float | None:
    """The weights as a flat float64 array; None stays. Raises ValueError unless they have the rows' shape and
    are finite and ≥ 0."""
    if sample_weight is None:
        return None
    s = np.asarray(sample_weight, dtype=np.float64)
    if s.shape != rows:
        raise ValueError(f"sample_weight: expected shape {rows}, got {s.shape}")
    check_non_negative(s)
    return np.require(s.reshape(-1), requirements=["C", "A"])


def check_non_negative(sample_weight: Float) -> None:
    """Raises ValueError for a weight < 0, which would make the loss non-convex, and for inf and NaN."""
    bad = ~((sample_weight >= 0) & np.isfinite(sample_weight))
    if bad.any():
        row = int(np.argmax(bad))
        raise ValueError(
            f"sample_weight[{_place(row, bad.shape)}] = {sample_weight.flat[row]:g}: sample weights must be "
            "finite and ≥ 0; a weight of 0 leaves the row out"
        )


def check_sums(sums: Float, d: int, what: str) -> None:
    """Raises ValueError for the first of `sums`, of d features each time, that is infinite or NaN."""
    finite = np.isfinite(sums)
    if not finite.all():
        raise ValueError(
            f"X: feature {int(np.argmin(finite)) % d} {what} in float64; rescale it, for example with "
            "sklearn.preprocessing.StandardScaler"
        )


def _check_length(name: str, got: int, expected: int) -> None:
    if got != expected:
        raise ValueError(f"{name}: expected {expected} rows, one a row of logits, got {got}")


def _check_rows(name: str, got: tuple[int, ...], expected: tuple[int, ...]) -> None:
    if len(expected) == 1:
        _check_length(name, got[0], expected[0])
    if got != expected:
        raise ValueError(f"{name}: expected rows of shape {expected}, one a row of logits, got {got}")


def _place(row: int, rows: tuple[int, ...]) -> str:
    """The index of a row, counted in C order, as it is written in brackets."""
    return ", ".join(str(i) for i in np.unravel_index(row, rows))


def _shown(shape: tuple[int, ...]) -> str:
    names = {1: "(n_samples,)", 2: "(n_samples, n_classes)"}
    return names.get(len(shape), str(shape))
