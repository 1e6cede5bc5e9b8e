"""What benchmarks/sweeps fits, and how good a fit is: F and its KKT conditions, in float64.

Plain NumPy; shares no code with any entrant.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from benchmarks.race import problems
from benchmarks.race.problems import Data, Float, Problem

BLOCK = 1 << 22  # numbers held at once
PROBLEMS = {
    problem.name: problem
    for problem in (
        Problem("digits", 1.0, partial(problems.raw, "digits")),
        Problem("probe", 1.0, partial(problems.probe, 20_000, 384, 100)),
        Problem("probe K=10", 1.0, partial(problems.probe, 20_000, 384, 10)),
        Problem("text-like", 1.0, problems.text_like),
    )
}


@dataclass(frozen=True)
class Penalty:
    """λ Σ_kj [(1 − r)/2 W_kj² + r |W_kj|] with λ = 1/(C n), r = l1_ratio.

    Grouped: λ [(1 − r)/2 ‖W‖² + r Σ_j ‖W_:j‖].
    """

    C: float
    l1_ratio: float = 0.0
    grouped: bool = False

    def of(self, W: Float, n: int) -> float:
        """The penalty at W (rows, d), for n samples."""
        sizes = np.linalg.norm(W, axis=0) if self.grouped else np.abs(W)
        ridge, lasso = float(np.sum(W * W)) / 2, float(np.sum(sizes))
        return float(((1 - self.l1_ratio) * ridge + self.l1_ratio * lasso) / (self.C * n))

    def as_settings(self) -> dict[str, Any]:
        """As keyword arguments, without C."""
        return {"l1_ratio": self.l1_ratio, "grouped": self.grouped}


def objective(data: Data, penalty: Penalty, coef: Any, intercept: Any) -> float:
    """F = (1/n) Σ ℓ_i + penalty, in nats; coef (K, d) or (1, d), dense or sparse."""
    X, y = data
    W = dense(coef)
    return problems.objective(X, y, np.inf, W, intercept) + penalty.of(W, len(y))


def gradient(data: Data, coef: Any, intercept: Any) -> tuple[Float, Float]:
    """Of the mean loss: G (K, d) or (1, d), and g (K,) or (1,)."""
    X, y = data
    W, b = dense(coef), np.asarray(intercept, np.float64)
    G, g = np.zeros_like(W), np.zeros(len(W))
    for rows, codes in _blocks(X, y, len(W)):
        Z = rows @ W.T + b
        if len(W) == 1:
            R = np.exp(-np.logaddexp(0, -Z)) - codes[:, None]
        else:
            R = np.exp(Z - Z.max(axis=1, keepdims=True))
            R /= R.sum(axis=1, keepdims=True)
            R[np.arange(len(codes)), codes] -= 1
        G += (rows.T @ R).T
        g += R.sum(axis=0)
    return G / len(y), g / len(y)


def kkt(data: Data, penalty: Penalty, coef: Any, intercept: Any) -> float:
    """The largest violation of the optimality conditions, in units of the gradient.

    With λ, r of `Penalty` and G, g of `gradient`: g = 0; where W_kj ≠ 0, G_kj + λ(1 − r) W_kj +
    λ r sign(W_kj) = 0; where W_kj = 0, |G_kj| ≤ λ r. Grouped, of columns: G_:j + λ(1 − r) W_:j +
    λ r W_:j/‖W_:j‖ = 0 where W_:j ≠ 0, else ‖G_:j‖ ≤ λ r; a violation is then a column's norm.
    """
    W = dense(coef)
    G, g = gradient(data, W, intercept)
    strength = 1 / (penalty.C * len(data[1]))
    ridge, lasso = strength * (1 - penalty.l1_ratio), strength * penalty.l1_ratio
    sizes = np.linalg.norm(W, axis=0) if penalty.grouped else np.abs(W)
    inside = sizes > 0
    unit = np.divide(W, sizes, out=np.zeros_like(W), where=np.broadcast_to(inside, W.shape))
    rest = G + ridge * W + lasso * unit
    left = np.linalg.norm(rest, axis=0) if penalty.grouped else np.abs(rest)
    violation = np.where(inside, left, np.maximum(left - lasso, 0))
    return float(max(violation.max(initial=0.0), np.abs(g).max()))


def largest_lambda(data: Data, l1_ratio: float, grouped: bool = False) -> float:
    """The smallest λ at which all coefficients are 0: from the gradient where only intercepts are fitted."""
    X, y = data
    counts = np.bincount(y)
    if len(counts) == 2:
        counts = counts[1:] / counts[:1]
    G, _ = gradient(data, np.zeros((len(counts), X.shape[1])), np.log(counts))
    sizes = np.linalg.norm(G, axis=0) if grouped else np.abs(G)
    return float(sizes.max()) / l1_ratio


def dense(coef: Any) -> Float:
    """coef as a float64 array."""
    return np.asarray(coef.toarray() if hasattr(coef, "toarray") else coef, np.float64)


def _blocks(X: Any, y: Any, rows: int) -> Iterator[tuple[Any, Any]]:
    """Some rows of X at a time, in float64, with their labels."""
    step = max(BLOCK // (rows + (0 if hasattr(X, "tocsr") else X.shape[1])), 1)
    for start in range(0, len(y), step):
        yield X[start : start + step].astype(np.float64), y[start : start + step]
