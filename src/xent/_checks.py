"""One small function an invariant: what it expects, what it got, where, and what to do about it."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def shown(label: Any) -> str:
    """A label or name as its owner would write it: 0, not np.int64(0)."""
    return repr(label.item() if isinstance(label, np.generic) else label)


def check_logits(logits: Any) -> NDArray[Any]:
    """(n, K) float32 or float64, K ≥ 1; other real dtypes become float64."""
    z = np.asarray(logits)
    if z.ndim != 2 or z.shape[1] == 0:
        raise ValueError(
            f"logits: expected shape (n_samples, n_classes) with at least one class, got {z.shape}"
        )
    if z.dtype.kind not in "fiub":
        raise ValueError(f"logits: expected real numbers, got dtype {z.dtype}")
    return z if z.dtype in (np.float32, np.float64) else z.astype(np.float64)


def check_targets(targets: Any, n: int, K: int, weight: NDArray[np.float64]) -> NDArray[Any]:
    """(n,) integers in [0, K), or (n, K) rows of probabilities; rows of weight 0 are not looked at."""
    y = np.asarray(targets)
    if y.ndim == 2:
        y = y if y.dtype in (np.float32, np.float64) else y.astype(np.float64)
        check_probabilities(y, n, K, weight, "targets")
        return y
    if y.ndim != 1 or y.dtype.kind not in "iub":
        raise ValueError(
            f"targets: expected integers (n_samples,) or probability rows (n_samples, n_classes), got "
            f"dtype {y.dtype} and shape {y.shape}"
        )
    _check_length("targets", len(y), n)
    outside = ((y < 0) | (y >= K)) & (weight != 0)
    if outside.any():
        row = int(np.argmax(outside))
        raise ValueError(
            f"targets[{row}] = {y[row]} is outside [0, {K}); to leave a row out give it sample_weight 0"
        )
    return np.where(weight != 0, y, 0).astype(np.int64)


def check_probabilities(y: NDArray[Any], n: int, K: int, weight: NDArray[np.float64], name: str) -> None:
    """(n, K) rows ≥ 0 that sum to 1; rows of weight 0 are not looked at."""
    _check_length(name, len(y), n)
    if y.shape[1] != K:
        raise ValueError(f"{name}: expected {K} columns, one a class of logits, got {y.shape[1]}")
    totals = y.sum(axis=1)
    slack = 1e-12 if y.dtype == np.float64 else 1e-5
    wrong = ~((y >= 0).all(axis=1) & (np.abs(totals - 1) <= slack * max(K, 8))) & (weight != 0)
    if wrong.any():
        row = int(np.argmax(wrong))
        problem, remedy = f"sums to {totals[row]:.9g}", "divide each by its sum"
        if np.isnan(totals[row]):
            problem, remedy = "has a NaN entry", "fill it in, or leave the row out"
        elif not (y[row] >= 0).all():
            problem = "has a negative entry"
        elif totals[row] == 0:
            problem, remedy = "is 0 in every class", "fill it, or leave it out with a sample weight of 0"
        raise ValueError(f"{name}: row {row} {problem}; probability rows must be ≥ 0 and sum to 1: {remedy}")


def check_weight(sample_weight: Any, n: int) -> NDArray[np.float64]:
    """(n,) finite and ≥ 0, float64; None is all ones."""
    if sample_weight is None:
        return np.ones(n)
    s = np.asarray(sample_weight, dtype=np.float64)
    if s.shape != (n,):
        raise ValueError(f"sample_weight: expected shape ({n},), got {s.shape}")
    check_non_negative(s)
    return s


def check_non_negative(sample_weight: NDArray[np.float64]) -> None:
    """Negative weights make the loss non-convex, with no optimum to find; NaN and inf make it nothing."""
    bad = ~((sample_weight >= 0) & np.isfinite(sample_weight))
    if bad.any():
        row = int(np.argmax(bad))
        raise ValueError(
            f"sample_weight[{row}] = {sample_weight[row]:g}: sample weights must be finite and ≥ 0; "
            "a weight of 0 leaves the row out"
        )


def check_sums(sums: NDArray[np.float64], d: int, what: str) -> None:
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
