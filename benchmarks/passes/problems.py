"""What benchmarks/passes runs on: shapes, seeded data, and the truth in float64."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

Float = NDArray[np.float64]
NONZEROS = 100  # a row, where X is CSR
_BLOCK = 1 << 22  # numbers held at once, in making and in checking


@dataclass(frozen=True)
class Cell:
    """One shape: X is (n, d) in `dtype`, C- or F-ordered or CSR; K classes."""

    n: int
    d: int
    K: int
    dtype: str = "float32"
    layout: str = "C"

    @property
    def name(self) -> str:
        return f"{self.n}x{self.d} K={self.K} {self.dtype}" + {"C": "", "F": " F-ordered"}.get(
            self.layout, f" {self.layout}"
        )

    @property
    def compute(self) -> type[np.floating[Any]]:
        """The dtype of W and b: X's own, float32 for half precision."""
        return np.float64 if self.dtype == "float64" else np.float32

    def flops(self, n: int) -> float:
        """4·n·d·K: two products of a multiplication and an addition each. Two classes need one row."""
        row = NONZEROS if self.layout == "CSR" else self.d
        return 4.0 * n * row * (1 if self.K == 2 else self.K)


CELLS = [
    *(Cell(60_000, 784, 10, dtype) for dtype in ("float32", "float64", "float16", "bfloat16")),
    Cell(60_000, 784, 10, layout="F"),
    *(
        Cell(n, d, K, dtype)
        for n, d, K in ((1_000_000, 20, 3), (581_012, 54, 7), (200_000, 128, 26), (1_000_000, 30, 2))
        for dtype in ("float32", "float64")
    ),
    Cell(200_000, 512, 2, "float32"),
    Cell(200_000, 512, 2, "float16"),
    Cell(20_000, 768, 1000),
    Cell(4_000, 768, 30_000),
    Cell(20_000, 100_000, 20, "float32", "CSR"),
    Cell(20_000, 100_000, 20, "float64", "CSR"),
]


class Problem(NamedTuple):
    """X (n, d), y (n,) int64, W (K, d), b (K,)."""

    X: Any
    y: NDArray[np.int64]
    W: NDArray[Any]
    b: NDArray[Any]


def dtype_of(name: str) -> np.dtype[Any]:
    """NumPy's dtype of that name; bfloat16 is ml_dtypes'."""
    if name == "bfloat16":
        import ml_dtypes

        return np.dtype(ml_dtypes.bfloat16)
    return np.dtype(name)


def make(cell: Cell, n: int) -> Problem:
    """The first n rows' worth of `cell`, the same at every call.

    X is standard normal; CSR rows hold one value in each of 100 equal ranges of columns, with int32 indices.
    Labels are as many of each class as n allows, shuffled. W ~ 0.1 normal / √(values a row), and for two
    classes W is (−w/2, w/2), so that a model with the single row w computes exactly the same numbers.
    """
    rng = np.random.default_rng(0)
    row = NONZEROS if cell.layout == "CSR" else cell.d
    W = rng.standard_normal((1 if cell.K == 2 else cell.K, cell.d), dtype=cell.compute)
    W *= cell.compute(0.1 / np.sqrt(row))
    b = (0.1 * rng.standard_normal(len(W))).astype(cell.compute)
    if cell.K == 2:
        W, b = np.concatenate((-W / 2, W / 2)), np.concatenate((-b / 2, b / 2))
    y = rng.permutation(np.arange(n) % cell.K)
    if cell.layout == "CSR":
        values = rng.standard_normal(n * row, dtype=cell.compute)
        width = cell.d // row
        columns = np.arange(row) * width + rng.integers(width, size=(n, row))
        starts = np.arange(n + 1) * row
        parts = (values, columns.ravel().astype(np.int32), starts.astype(np.int32))
        return Problem(csr_array(parts, shape=(n, cell.d)), y, W, b)
    X = np.empty((n, cell.d), dtype_of(cell.dtype), order="F" if cell.layout == "F" else "C")
    step = max(_BLOCK // cell.d, 1)
    for start in range(0, n, step):
        rows = X[start : start + step]
        rows[...] = rng.standard_normal(rows.shape, dtype=cell.compute)
    return Problem(X, y, W, b)


def truth(problem: Problem) -> tuple[float, Float]:
    """Σ ℓ_i in nats and its gradient (K, d + 1), intercept last, in float64 from the numbers as stored.

    Plain NumPy, a block of rows at a time; shares no code with any entrant.
    """
    X, y, W, b = problem.X, problem.y, problem.W.astype(np.float64), problem.b.astype(np.float64)
    loss, grad = 0.0, np.zeros((len(W), W.shape[1] + 1))
    step = max(_BLOCK // (len(W) + (0 if hasattr(X, "tocsr") else W.shape[1])), 1)
    for start in range(0, len(y), step):
        rows, labels = X[start : start + step].astype(np.float64), y[start : start + step]
        each = np.arange(len(labels))
        Z = rows @ W.T + b
        Z -= Z.max(axis=1, keepdims=True)
        of_label = Z[each, labels]
        np.exp(Z, out=Z)
        total = Z.sum(axis=1)
        loss += float(np.sum(np.log(total) - of_label))
        Z /= total[:, None]
        Z[each, labels] -= 1
        grad[:, :-1] += (rows.T @ Z).T
        grad[:, -1] += Z.sum(axis=0)
    return loss, grad


def errors(outcome: tuple[float, Float], true: tuple[float, Float]) -> tuple[float, float]:
    """|L − L*| / L* and max |G − G*| / max |G*|. A gradient of one row is that of class 1 of two."""
    (loss, grad), (true_loss, true_grad) = outcome, true
    expected = true_grad[-1:] if len(grad) == 1 else true_grad
    return (
        abs(loss - true_loss) / true_loss,
        float(np.max(np.abs(grad - expected)) / np.max(np.abs(expected))),
    )
