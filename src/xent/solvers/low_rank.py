"""Blocks of the Hessian from the mean curvature and a few rows per class.

B_k = r_k A + penalty is diagonal in the basis of A, and A_k = B_k + R_kᵀR_k with m rows R_k, the heaviest of
class k. With H = R_k B_k^(−½) and the Cholesky factor L Lᵀ = I + H Hᵀ, Woodbury's identity reads
A_k⁻¹ = B_k^(−½) (I − (L⁻¹H)ᵀ L⁻¹H) B_k^(−½). Kept is L⁻¹H of every class, in the basis of A.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .._types import Array, Float
from ..kernels import native
from ..objective.ridge import Objective
from .blocks import MAX_BYTES, MIXED
from .rows import centred, gathered, heaviest_rows

_FEWEST = 16  # rows of a class
_MOST_CLASSES = 4096  # beyond, Python's time for all classes is more than a pass
_Single = NDArray[np.float32]


@dataclass(frozen=True)
class LowRankBlocks:
    """(A_k + penalty)⁻¹ for every class, as `ClassBlocks`, but in K·m·D numbers: `halves` (K, m, D)."""

    base: _Base
    halves: _Single
    n_threads: int

    @staticmethod
    def rows(objective: Objective) -> int:
        """How many rows of a class are taken: as many as turning them to the basis costs half a pass."""
        K, D = objective.shape
        few = min(objective.n_rows // D, D // 2)
        return min(max(_FEWEST, few), MAX_BYTES // (4 * K * D))

    @staticmethod
    def fits(objective: Objective) -> bool:
        """Whether there are few enough classes."""
        return objective.n_classes <= _MOST_CLASSES and LowRankBlocks.rows(objective) > 0

    @staticmethod
    def at(objective: Objective, theta: Float, values: Float, basis: Float, units: Float) -> LowRankBlocks:
        """The blocks at θ. `values` a (d,) and `basis` U (d, d) are those of A in `units`."""
        loss, most = objective.loss, LowRankBlocks.rows(objective)
        chosen, total = heaviest_rows(loss, theta, most)
        rest = np.array([max(t - w.sum(), 0.0) + MIXED * t for (_, w), t in zip(chosen, total, strict=True)])
        base = _Base.of(objective, rest / loss.weight, values, basis, units)
        rows_of = gathered(loss, [index for index, _ in chosen])
        roots = [np.sqrt(w / loss.weight).astype(np.float32) for _, w in chosen]
        halves = np.zeros((len(roots), max(map(len, roots)), objective.shape[1]), np.float32)
        blocks = LowRankBlocks(base, halves, loss.n_threads or native.max_threads())

        def halve(classes: NDArray[np.intp]) -> None:
            for k in classes[[len(roots[k]) > 0 for k in classes]]:
                rows = centred(loss, rows_of(int(k)), np.float32)
                rows *= roots[k][:, None]
                halves[k, : len(rows)] = _half(base.root(int(k), rows))

        blocks._each(halve)
        return blocks

    def _each(self, do: Callable[[NDArray[np.intp]], None]) -> None:
        with ThreadPoolExecutor(self.n_threads) as pool:
            parts = np.array_split(np.arange(len(self.halves)), 4 * self.n_threads)
            for task in [pool.submit(do, part) for part in parts if len(part)]:
                task.result()

    def solve(self, G: Float) -> Float:
        """The inverse blocks times G, class by class; G is (K, D) or (m, K, D)."""
        T = self.base.turned(G)  # (K, D, number of G)

        def correct(classes: NDArray[np.intp]) -> None:
            part = slice(classes[0], classes[-1] + 1)
            halves = self.halves[part]
            T[part] -= halves.transpose(0, 2, 1) @ (halves @ T[part])

        self._each(correct)
        return self.base.turned_back(T).reshape(G.shape)


def _half(H: _Single) -> _Single:
    """L⁻¹H of rows H (m, D); 0, as if there were none, if they overflow float32."""
    core = H @ H.T
    trace = float(np.trace(core))
    if not math.isfinite(trace):
        return np.zeros_like(H)
    core[np.diag_indices_from(core)] += 1 + len(core) * float(np.finfo(np.float32).eps) * trace
    half: _Single = np.linalg.solve(np.linalg.cholesky(core), H)
    return half


@dataclass(frozen=True)
class _Base:
    """B_k^(−½) in the basis of A, for every class, `root_inverse` (K, D), the intercept last."""

    basis: Array
    units: Array
    root_inverse: Array

    @staticmethod
    def of(objective: Objective, rest: Float, values: Float, basis: Float, units: Float) -> _Base:
        d = objective.n_features
        penalty = (objective.penalties[:, :d] / units**2).mean(axis=1, keepdims=True)
        tiny = float(np.finfo(np.float32).tiny)
        curved = np.maximum(np.outer(rest, values) + penalty, 1e-7 * rest[:, None] * values.max() + tiny)
        intercept = np.maximum(rest[:, None], tiny)[:, : objective.shape[1] - d]
        inverse = 1 / np.sqrt(np.hstack((curved, intercept)))
        return _Base(*(a.astype(np.float32) for a in (basis, units, inverse)))

    def _in_basis(self, rows: Array) -> _Single:
        d = len(self.units)
        out = np.empty(rows.shape, np.float32)
        out[..., :d] = (rows[..., :d] / self.units).astype(np.float32) @ self.basis
        out[..., d:] = rows[..., d:]
        return out

    def root(self, k: int, rows: Array) -> _Single:
        """R B_k^(−½), in A's basis, of rows R (m, D): their products are R B_k⁻¹ Rᵀ."""
        out = self._in_basis(rows)
        out *= self.root_inverse[k]
        return out

    def turned(self, G: Float) -> _Single:
        """B^(−½) G in A's basis, class by class, of G (K, D) or (m, K, D): (K, D, 1) or (K, D, m)."""
        out = self._in_basis(G if G.ndim == 3 else G[None])
        out *= self.root_inverse
        return np.ascontiguousarray(out.transpose(1, 2, 0))

    def turned_back(self, T: _Single) -> Float:
        """B^(−½) T out of A's basis, (m, K, D) of T (K, D, m)."""
        d, T = len(self.units), T.transpose(2, 0, 1) * self.root_inverse
        out = np.empty(T.shape)
        out[..., :d] = T[..., :d] @ self.basis.T
        out[..., :d] /= self.units
        out[..., d:] = T[..., d:]
        return out
