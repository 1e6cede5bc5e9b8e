"""Blocks of the Hessian for so many classes that (K, D, D) would not fit: the mean curvature and a few rows.

B_k = r_k A + penalty is diagonal in the basis of A, and A_k = B_k + R_kᵀR_k with m rows R_k, the heaviest of
class k; by Woodbury's identity A_k⁻¹ = B_k⁻¹ − B_k⁻¹R_kᵀ (I + R_k B_k⁻¹ R_kᵀ)⁻¹ R_k B_k⁻¹. Kept are the
(m, m) inverses and which rows they belong to; the rows are taken from X again, where it lies in memory.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._types import Array, Float
from ..kernels import native
from ..objective.ridge import Objective
from .blocks import MAX_BYTES, MIXED
from .rows import centred, gathered, heaviest_rows

_FEWEST = 8  # rows of a class
_MOST_CLASSES = 4096  # beyond, Python's time for all classes is more than a pass


@dataclass(frozen=True)
class LowRankBlocks:
    """(A_k + penalty)⁻¹ for every class, as `ClassBlocks`, but in K·m² numbers."""

    objective: Objective
    base: _Base
    rows_of: Callable[[int], Any]  # X's rows of each class
    roots: list[NDArray[np.float32]]  # their √(s p (1 − p) / S)
    cores: list[NDArray[np.float32]]

    @staticmethod
    def fits(objective: Objective) -> bool:
        """Whether there are few enough classes."""
        return objective.n_classes <= _MOST_CLASSES

    @staticmethod
    def at(objective: Objective, theta: Float, values: Float, basis: Float, units: Float) -> LowRankBlocks:
        """The blocks at θ. `values` a (d,) and `basis` U (d, d) are those of A in `units`."""
        K, D = objective.shape
        most = max(_FEWEST, min(D // 2, int((MAX_BYTES / (4 * K)) ** 0.5)))
        chosen, total = heaviest_rows(objective.loss, theta, most)
        rest = np.array([max(t - w.sum(), 0.0) + MIXED * t for (_, w), t in zip(chosen, total, strict=True)])
        base = _Base.of(objective, rest / objective.loss.weight, values, basis, units)
        rows_of = gathered(objective.loss, [index for index, _ in chosen])
        roots = [np.sqrt(w / objective.loss.weight).astype(np.float32) for _, w in chosen]
        blocks = LowRankBlocks(objective, base, rows_of, roots, [np.empty(0, np.float32)] * K)
        blocks._each(blocks._core)
        return blocks

    def _each(self, do: Callable[[int], None]) -> None:
        threads = self.objective.loss.n_threads or native.max_threads()
        with ThreadPoolExecutor(threads) as pool:
            parts = np.array_split(np.arange(len(self.roots)), 4 * threads)
            for task in [pool.submit(_for_all, do, part) for part in parts]:
                task.result()

    def _rows(self, k: int) -> NDArray[np.float32]:
        rows = centred(self.objective.loss, self.rows_of(k), np.dtype(np.float32))
        rows *= self.roots[k][:, None]
        return rows

    def _core(self, k: int) -> None:
        half = self.base.root(k, self._rows(k))
        self.cores[k] = np.linalg.inv(np.eye(len(half), dtype=np.float32) + half @ half.T).astype(np.float32)

    def solve(self, G: Float) -> Float:
        """The inverse blocks times G, class by class; G is (K, D) or (m, K, D)."""
        T = self.base.solve(G)
        V = np.empty_like(T)

        def correct(k: int) -> None:
            rows = self._rows(k)
            V[..., k, :] = (rows.T @ (self.cores[k] @ (rows @ T[..., k, :].T))).T

        self._each(correct)
        return (T - self.base.solve(V)).astype(np.float64)


def _for_all(do: Callable[[int], None], classes: NDArray[np.intp]) -> None:
    for k in classes:
        do(int(k))


@dataclass(frozen=True)
class _Base:
    """B_k = r_k A + penalty: its inverse in the basis of A for every class (K, d), and for the intercepts
    (K, 1 or 0)."""

    basis: Array
    units: Array
    inverse: Array
    intercept: Array

    @staticmethod
    def of(objective: Objective, rest: Float, values: Float, basis: Float, units: Float) -> _Base:
        d = objective.n_features
        penalty = (objective.penalties[:, :d] / units**2).mean(axis=1, keepdims=True)
        tiny = float(np.finfo(np.float32).tiny)
        inverse = 1 / np.maximum(np.outer(rest, values) + penalty, 1e-7 * rest[:, None] * values.max() + tiny)
        intercept = 1 / np.maximum(rest[:, None], tiny)[:, : objective.shape[1] - d]
        return _Base(*(a.astype(np.float32) for a in (basis, units, inverse, intercept)))

    def solve(self, G: Array) -> NDArray[np.float32]:
        """B⁻¹ G, class by class; G is (…, K, D)."""
        d = len(self.units)
        G = G.astype(np.float32)
        out = np.empty_like(G)
        out[..., :d] = ((G[..., :d] / self.units) @ self.basis * self.inverse) @ self.basis.T / self.units
        out[..., d:] = G[..., d:] * self.intercept
        return out

    def root(self, k: int, rows: NDArray[np.float32]) -> NDArray[np.float32]:
        """The rows R B_k^(−½), in A's basis, of rows R (m, D): their products are R B_k⁻¹ Rᵀ."""
        d = len(self.units)
        out = np.empty_like(rows)
        out[:, :d] = (rows[:, :d] / self.units) @ self.basis * np.sqrt(self.inverse[k])
        out[:, d:] = rows[:, d:] * np.sqrt(self.intercept[k])
        return out
