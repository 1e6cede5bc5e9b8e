"""Passes over margins m_ik = (Δ_{y_i} − Δ_k)·x̃_i for `separation`: which are > 0, which are < 0, their sum.

Features are in units of their deviation and rows of length 1, x̂_i = [(x_i − x̄)/u, 1] / ‖·‖, so that one
tolerance does for all; Δ is scaled to max |Δ| = 1 in these units. For a soft row every class with q_ik > 0 is
a label: the first of them is y_i, and the margins of the others are to be 0.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from scipy.sparse import csr_array

from .._types import Array, Bool, Float, Index, Matrix
from ..data import Batch, Source
from ..kernels import linear
from ..objective.null_space import orthonormal

STRICT, WRONG = 1e-6, 1e-9  # a margin is > 0 above the one, < 0 below minus the other
_BLOCK_NUMBERS = 4 << 20


class Constraints(NamedTuple):
    """m_ik ≥ 0, or = 0 where k is a label too: x̂_i/‖x̂_i‖ (m, D), label (m,), k (m,), equal (m,)."""

    priority: Float
    rows: Float
    label: Array
    k: Array
    equal: Bool

    def best(self, most: int) -> Constraints:
        """The `most` constraints of largest priority."""
        first = np.argsort(-self.priority, kind="stable")[:most]
        return Constraints._make(part[first] for part in self)

    def joined(self, other: Constraints) -> Constraints:
        """These constraints followed by others."""
        return Constraints._make(map(np.concatenate, zip(self, other, strict=True)))

    def matrix(self, K: int) -> csr_array:
        """The margins as a linear map of Δ's first K − 1 rows; the last class's row is held at 0."""
        m, D = self.rows.shape
        columns = np.stack([self.label, self.k], axis=1)[:, :, None] * D + np.arange(D)
        values = np.stack([self.rows, -self.rows], axis=1)
        keep = (columns < (K - 1) * D) & (values != 0)
        ends = np.append(0, np.cumsum(keep.sum(axis=(1, 2))))
        return csr_array((values[keep], columns[keep], ends), shape=(m, (K - 1) * D))


class _Block(NamedTuple):
    """Rows x̂ = [(x − c)/u, 1], kept as `scaled` − `shift`, their lengths (1 for 0) and labels (n, K)."""

    scaled: Any
    shift: Float
    intercept: bool
    lengths: Float
    labels: Bool

    @staticmethod
    def of(X: Matrix, centre: Float, units: Float, intercept: bool, labels: Bool) -> _Block:
        if isinstance(X, np.ndarray):
            scaled, shift = (X - centre) / units, np.zeros(len(centre))
            squares = np.einsum("ij,ij->i", scaled, scaled)
        else:
            scaled, shift = X.multiply(1 / units).tocsr(), centre / units
            squares = np.asarray(scaled.multiply(scaled).sum(axis=1)).ravel()
            squares = np.maximum(squares - 2 * (scaled @ shift) + shift @ shift, 0.0)
        lengths = np.sqrt(squares + intercept)
        return _Block(scaled, shift, intercept, np.where(lengths > 0, lengths, 1.0), labels)

    def margins(self, direction: Float) -> Float:
        """(Δ_a − Δ_k)·x̂_i/‖x̂_i‖, a the first label of row i: (n, K)."""
        W = direction[:, : len(self.shift)]
        constant = direction[:, -1] if self.intercept else 0.0
        Z = np.asarray(self.scaled @ W.T) + (constant - W @ self.shift)
        own = np.take_along_axis(Z, self.labels.argmax(axis=1)[:, None], axis=1)
        return (own - Z) / self.lengths[:, None]

    def sum(self, which: Bool) -> Float:
        """The sum of those margins as a linear form of Δ: (K, D)."""
        T = np.where(which, -1 / self.lengths[:, None], 0.0)
        T[np.arange(len(T)), self.labels.argmax(axis=1)] -= T.sum(axis=1)
        W = np.asarray((self.scaled.T @ T).T) - np.outer(T.sum(axis=0), self.shift)
        return np.column_stack([W, T.sum(axis=0)]) if self.intercept else W

    def least(self, priority: Float, most: int) -> Constraints:
        """The `most` constraints (i, k) with the largest priority (n, K), at most one per row i."""
        k = priority.argmax(axis=1)
        best = np.take_along_axis(priority, k[:, None], axis=1)[:, 0]
        i = np.argsort(-best, kind="stable")[:most]
        i, label = i[best[i] > -np.inf], self.labels.argmax(axis=1)
        rows = linear.augmented(self.scaled[i], self.shift, self.intercept) / self.lengths[i, None]
        return Constraints(best[i], rows, label[i], k[i], self.labels[i, k[i]])


class Scan(NamedTuple):
    """The margins along one Δ, summed up in one pass.

    lowest: the least margin. left (K, D) and n_left: the sum and number of margins that are not > 0.
    strict, rows (K, K): how many rows with label a have a margin > 0 towards b, and how many there are.
    n_rows, n_strict: rows, and those with a margin > 0. working: constraints for the programme.
    """

    lowest: float
    left: Float
    n_left: int
    strict: Index
    rows: Index
    n_rows: int
    n_strict: int
    working: Constraints

    @property
    def complete(self) -> bool:
        """Whether all margins are positive beyond rounding, however small."""
        return WRONG < self.lowest < np.inf


@dataclass
class Table:
    """The rows that count, with features in `units` (d,), which are inf for a constant feature."""

    source: Source
    K: int
    centre: Float
    intercept: bool
    units: Float
    n_passes: int = 0

    def blocks(self) -> Iterator[_Block]:
        """One pass over the rows that count, a block at a time."""
        self.n_passes += 1
        for batch in self.source.batches():
            numbers = 6 * self.K + (0 if batch.is_sparse else len(self.centre))
            for X, part, _ in batch.blocks(int(min(max(_BLOCK_NUMBERS // numbers, 64), 8192))):
                labels = part.target_rows(self.K) > 0
                yield _Block.of(X, self.centre, self.units, self.intercept, labels)

    def scan(
        self, direction: Float, most: int, rng: np.random.Generator | None = None, below: float = 0.0
    ) -> Scan:
        """One pass along a direction. Its `working` constraints are the `most` least margins below `below`;
        with an rng the `most` least of all, and as many at random."""
        K, D = direction.shape
        lowest, n_left, n_rows, n_strict, left = np.inf, 0, 0, 0, np.zeros((K, D))
        strict, rows = np.zeros((2, K, K), np.int64)
        none = np.zeros(0, np.int64)
        worst = spread = Constraints(np.zeros(0), np.zeros((0, D)), none, none, none.astype(bool))
        for block in self.blocks():
            M, labels = block.margins(direction), block.labels
            cost = np.where(labels, np.abs(M), -M)
            cost[np.arange(len(M)), labels.argmax(axis=1)] = -np.inf
            above = (M > STRICT) & ~labels
            lowest = min(lowest, -cost.max(initial=-np.inf))
            left += block.sum(~above & ~labels)
            n_left += int(np.sum(~above & ~labels))
            n_rows += len(M)
            n_strict += int(above.any(axis=1).sum())
            strict += (labels.T.astype(float) @ above).astype(np.int64)  # by BLAS
            rows += labels.sum(axis=0)[:, None]
            wanted = np.where(labels, cost > WRONG, cost > WRONG - below) if rng is None else cost > -np.inf
            worst = worst.joined(block.least(np.where(wanted, cost, -np.inf), most)).best(most)
            if rng is not None:
                random = np.where(cost > -np.inf, rng.random(cost.shape), -np.inf)
                spread = spread.joined(block.least(random, most)).best(most)
        return Scan(float(lowest), left, n_left, strict, rows, n_rows, n_strict, worst.joined(spread))

    def normalised(self, direction: Float) -> Float:
        """Δ for x̂, less the shift common to all classes and scaled to a largest entry of ±1."""
        direction = direction - direction.mean(axis=0)
        direction[:, : len(self.units)][:, np.isinf(self.units)] = 0.0
        return direction / (np.abs(direction).max(initial=0.0) or 1.0)

    def scaled(self, theta: Float) -> Float:
        """θ for x̂, normalised."""
        direction = theta.copy()
        direction[:, : len(self.units)] *= np.where(np.isinf(self.units), 0.0, self.units)
        return self.normalised(direction)

    def without(self, null: Float, direction: Float) -> Float:
        """Δ less its part in the span of `null` (m, d), normalised."""
        basis = orthonormal(null * np.where(np.isinf(self.units), 0.0, self.units))
        direction = direction.copy()
        W = direction[:, : len(self.units)]  # a view
        W -= W @ basis.T @ basis
        return self.normalised(direction)


def deviations(source: Source, centre: Float) -> Float:
    """The deviation of each feature, (d,): √mean s (x − x̄)²; inf for a constant feature, nan for one that is
    not finite.

    Where squares are lost to underflow, overflow or cancellation, it is the largest |x − x̄| instead.
    """
    float64 = np.finfo(float)
    with np.errstate(over="ignore", invalid="ignore"):
        units = np.sqrt(source.sum(linear.second_moment_diagonal, centre) / source.sum(_weight))
        safe = (units > np.sqrt(float64.tiny / float64.eps)) & (units > 1e-7 * np.abs(centre))
    lost = np.flatnonzero(~(safe & np.isfinite(units)))
    if len(lost) == 0:
        return units
    peak = np.zeros(len(lost))
    for batch in source.batches():
        for X, _, _ in batch.blocks(max(_BLOCK_NUMBERS // len(lost), 64)):
            offsets = np.abs(linear.augmented(X[:, lost], centre[lost], False))
            peak = np.maximum(peak, offsets.max(axis=0, initial=0.0))
    constant = peak <= 8 * float64.eps * np.abs(centre[lost])
    peak[~np.isfinite(peak) | (peak < float64.tiny)] = np.nan
    units[lost] = np.where(constant, np.inf, peak)
    return units


def _weight(batch: Batch) -> float:
    """The total weight of a batch."""
    return float(batch.shape[0] if batch.weight is None else batch.weight.sum())
