"""One block of the Hessian per class, from the rows that curve it.

The Hessian's diagonal block of class k is A_k = (1/S) Σ_i s_i p_ik (1 − p_ik) x̃_i x̃_iᵀ + penalty. Near the
optimum most p_ik are close to 0 or 1, every class curves along rows of its own, and a Kronecker product,
which gives all classes the same A, misleads: on linear probes the blocks take a third of the passes. A few
rows per class carry nearly all of A_k; the part of the others is taken to be shaped like A itself.

Measured: passes until F is within 1e-6 nats of the optimum, Kronecker → blocks, for n × d, K. Digits: 72 →
40. Probes: 4000×128, 50: 52 → 27; 20000×64, 50: 33 → 13; 6000×128, 200: 61 → 28 (33 with 32 rows per class,
37 with 16).
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.linalg import get_lapack_funcs

from .._types import Array, Float
from ..data.source import stacked
from ..kernels import native
from ..objective.loss import MeanLoss
from ..objective.ridge import Objective
from .rows import centred, curvature_weights, gathered, heaviest_rows

# This share of the mean curvature is mixed into every block. Where the classes separate, weights p (1 − p)
# vanish as the fit goes on, and blocks of vanished weights stalled it (digits, C = 1e4: 489 passes with none,
# 152 with 0.3, 191 by the Kronecker product; at C = 1: 53, 54 and 133).
MIXED = 0.2
MAX_BYTES = 64 << 20
_SINGLE_ABOVE = 128  # features: larger blocks are inverted in float32
_ROWS_PER_FEATURE = 3  # D²/n up to which whole blocks are worth more than those of a few rows
_FEWEST_ROWS = 128
_WORTH_THREADS = 1e8
_WORTH_THREADS_TO_READ = 1 << 21


@dataclass(frozen=True)
class ClassBlocks:
    """(A_k + penalty)⁻¹ for every class: `inverses` (K, D, D) of the blocks scaled to unit diagonal, and
    `scales` (K, D)."""

    inverses: Array
    scales: Float

    @staticmethod
    def fits(objective: Objective) -> bool:
        """Whether the blocks of all classes fit in MAX_BYTES and are worth their price, 2 D²/n passes."""
        K, D = objective.shape
        cheap = D <= _SINGLE_ABOVE or D * D <= _ROWS_PER_FEATURE * objective.n_rows
        return cheap and K * D * D * _dtype(D).itemsize <= MAX_BYTES

    @staticmethod
    def at(objective: Objective, theta: Float, curvature: Float, sketch: Objective | None) -> ClassBlocks:
        """The blocks at θ, from all rows of `sketch` or else from the heaviest rows of each class;
        `curvature` A (d, d) stands for the rest."""
        (K, D), d = objective.shape, objective.n_features
        inverses, scales = np.empty((K, D, D), _dtype(D)), np.empty((K, D))
        base = np.zeros((D, D), inverses.dtype)
        base[:d, :d] = curvature
        base[d:, d:] = 1.0

        def invert(k: int, rows: Array, rest: float) -> None:
            block = rows.T @ rows
            block += base * block.dtype.type(rest)
            objective.null_spaces.curve(k, block)
            block[np.diag_indices(D)] += objective.penalties[k].astype(block.dtype)
            inverses[k], scales[k] = _inverse(block)

        parts = enumerate(_blocks(objective.loss, theta, None if sketch is None else sketch.loss))
        if K * D**3 < _WORTH_THREADS:
            for k, part in parts:
                invert(k, *part)
        else:  # BLAS is held to one thread in a fit
            with ThreadPoolExecutor(objective.loss.n_threads or native.max_threads()) as pool:
                for task in [pool.submit(invert, k, *part) for k, part in parts]:
                    task.result()
        return ClassBlocks(inverses, scales)

    def solve(self, G: Float) -> Float:
        """The inverse blocks times G, class by class; G is (K, D) or (m, K, D)."""
        scaled = (G * self.scales).astype(self.inverses.dtype)
        if G.ndim == 2:
            scaled = scaled[None]
        solved = np.empty_like(scaled)

        def part(classes: slice) -> None:
            each = np.matmul(self.inverses[classes], scaled[:, classes].transpose(1, 2, 0))
            solved[:, classes] = each.transpose(2, 0, 1)

        if self.inverses.size < _WORTH_THREADS_TO_READ:
            part(slice(None))
        else:  # reading the inverses is what it costs
            threads = native.max_threads()
            edges = np.linspace(0, len(self.inverses), threads + 1).astype(int)
            with ThreadPoolExecutor(threads) as pool:
                list(pool.map(part, map(slice, edges[:-1], edges[1:])))
        return (solved.astype(np.float64) * self.scales).reshape(G.shape)


def _dtype(D: int) -> np.dtype[Any]:
    """The dtype of blocks of D coordinates."""
    return np.dtype(np.float32 if D > _SINGLE_ABOVE else np.float64)


def _inverse(block: Array) -> tuple[Array, Float]:
    """The inverse of a block scaled to unit diagonal, and the scale. The diagonal is raised until rounding
    leaves a Cholesky factor."""
    diagonal = np.diag(block).astype(np.float64)
    scale = 1 / np.sqrt(np.where(diagonal > 0, diagonal, 1.0))
    unit = block * scale.astype(block.dtype)
    unit *= scale.astype(block.dtype)[:, None]
    potrf, potri = get_lapack_funcs(("potrf", "potri"), (unit,))
    ridge = 4 * len(unit) * float(np.finfo(block.dtype).eps)
    for _ in range(4):
        unit[np.diag_indices_from(unit)] = 1 + ridge
        factor, failed = potrf(unit, lower=True)
        if not failed:
            inverse = potri(factor, lower=True, overwrite_c=True)[0]  # its upper triangle is 0
            return inverse + np.tril(inverse, -1).T, scale
        ridge *= 100
    return np.eye(len(unit), dtype=block.dtype), scale


def _blocks(loss: MeanLoss, theta: Float, sketch: MeanLoss | None) -> Iterator[tuple[Array, float]]:
    """For every class, rows r with (1/S) Σ s p (1 − p) x̃ x̃ᵀ ≈ Σ r rᵀ, and how much of the mean curvature to
    add."""
    dtype = _dtype(loss.shape[1])
    if sketch is not None:
        weights = np.concatenate([w for _, w in curvature_weights(loss, theta, sketch)])
        everything = stacked([centred(loss, batch.X, dtype) for batch in sketch.source.batches()])
        for weight in weights.T / sketch.weight:
            yield everything * np.sqrt(weight)[:, None].astype(dtype), MIXED * float(weight.sum())
        return
    chosen, total = heaviest_rows(loss, theta, max(loss.shape[1], _FEWEST_ROWS))
    rows_of = gathered(loss, [index for index, _ in chosen])
    for k, (_, weight) in enumerate(chosen):
        rows = centred(loss, rows_of(k), dtype)
        rows *= np.sqrt(weight / loss.weight)[:, None].astype(dtype)
        rest = max(total[k] - weight.sum(), 0.0) + MIXED * total[k]
        yield rows, float(rest / loss.weight)
