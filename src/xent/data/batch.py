"""What a pass reads: rows, targets, weights. No arithmetic but the choice of rows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from .._types import Array, Bool, Float, Index, Matrix, VectorLike


class TopK(NamedTuple):
    """Soft labels, zero but for t classes per row: indices (n, t) int64 in [0, K), values (n, t).

    A class named twice in a row counts twice.
    """

    indices: Index
    values: Float


@dataclass(frozen=True)
class Batch:
    """Rows to sum over.

    X (n, d): dense float64, float32, float16 or bfloat16 (`ml_dtypes`) of any strides, or CSR.
    y: class indices (n,) int64 in [0, K); or rows q_i ≥ 0 (n, K), float; or `TopK`.
    weight (n,) float64 ≥ 0, or None for all ones. Rows of weight 0 are never read.
    label_smoothing α: the target becomes (1 − α) q + α/K', K' the number of classes that are not masked;
    a masked class (b_k = −inf) gets no share.
    ignore_index: rows with this class index count for nothing and are not read.
    offset o (n, K) float64 or float32, or None for 0: known additions to the logits, z_i = W x_i + b + o_i.
    An o_ik of −inf masks class k in row i as b_k = −inf does in all, smoothing's K' being the row's own.
    stands_for: of a sample, the most rows that one of its rows stands for.
    """

    X: Matrix
    y: Array | TopK
    weight: Float | None = None
    label_smoothing: float = 0.0
    ignore_index: int | None = None
    offset: Array | None = None
    stands_for: float = 1.0

    def __post_init__(self) -> None:
        """y, weight and offset as the kernels read them, converted once if they are not.

        Raises ValueError for a wrong shape, labels that are not whole, or label_smoothing outside [0, 1).
        An offset's K is held against the model's by `check_offset`.
        """
        n = self.X.shape[0]
        y: Array | TopK
        if isinstance(self.y, TopK):
            y = TopK(_array(_whole(self.y.indices), np.int64), _array(self.y.values, np.float64))
            rows, good = len(y.indices), y.indices.ndim == 2 and y.indices.shape == y.values.shape
        else:
            y = np.asarray(self.y)
            y = _array(_whole(y), np.int64) if y.ndim == 1 else _array(y, _float_dtype(y))
            rows, good = len(y), y.ndim in (1, 2)
        if not good or rows != n:
            raise ValueError("y must be (n,), (n, K) or TopK, and have the same number of rows as X")
        object.__setattr__(self, "y", y)
        if self.weight is not None:
            weight = _array(self.weight, np.float64)
            if weight.shape != (n,):
                raise ValueError(
                    f"weight must be ({n},) and have the same number of rows as X, got {weight.shape}"
                )
            object.__setattr__(self, "weight", weight)
        if not 0 <= self.label_smoothing < 1:
            raise ValueError(f"label_smoothing must be in [0, 1), got {self.label_smoothing}")
        if self.offset is not None:
            object.__setattr__(self, "offset", offset_rows(self.offset, n))

    @property
    def shape(self) -> tuple[int, int]:
        n, d = self.X.shape
        return n, d

    @property
    def is_sparse(self) -> bool:
        return not isinstance(self.X, np.ndarray)

    @property
    def labels(self) -> Index | None:
        """y where it is class indices."""
        if isinstance(self.y, TopK) or self.y.ndim != 1:
            return None
        return self.y

    def live(self, rows: slice) -> Bool | None:
        """Which of these rows count, or None for all."""
        live = None if self.weight is None else self.weight[rows] != 0
        labels = self.labels
        if self.ignore_index is not None and labels is not None:
            counts = labels[rows] != self.ignore_index
            live = counts if live is None else live & counts
        return None if live is None or live.all() else live

    def blocks(self, rows: int, dtype: DTypeLike = np.float64) -> Iterator[tuple[Any, Batch, Float]]:
        """The rows that count in blocks of 1 to `rows`: X in `dtype`, the batch of these rows, and their
        weights. A stretch in which no row counts makes no block."""
        for start in range(0, self.shape[0], rows):
            part = slice(start, min(start + rows, self.shape[0]))
            live = self.live(part)
            if live is not None and not live.any():
                continue
            pick: Index | slice = part if live is None else start + np.flatnonzero(live)
            taken = self.take(pick)
            X = taken.X.astype(dtype, copy=False)
            weight = np.ones(X.shape[0]) if taken.weight is None else taken.weight
            yield X, replace(taken, X=X, weight=weight, ignore_index=None), weight

    def take(self, pick: Index | slice) -> Batch:
        """The rows of a slice or an index."""
        y = TopK(self.y.indices[pick], self.y.values[pick]) if isinstance(self.y, TopK) else self.y[pick]
        weight = None if self.weight is None else self.weight[pick]
        offset = None if self.offset is None else self.offset[pick]
        return replace(self, X=self.X[pick], y=y, weight=weight, offset=offset)

    def sample(self, rows: int, fewest: int) -> Batch:
        """About `rows` of the rows that count, chosen with a fixed seed, each weighted by the number it
        stands for. Every class keeps its share but has `fewest` rows at least, or all of its rows if they are
        fewer; a soft row q_i belongs to its largest class."""
        live, labels, rng = self.live(slice(0, self.shape[0])), self.labels, np.random.default_rng(0)
        index = None if live is None else np.flatnonzero(live)
        n = self.shape[0] if index is None else len(index)
        picked = rng.choice(n, min(rows, n), replace=False, shuffle=False)
        picked = picked if index is None else index[picked]
        if labels is None and not isinstance(self.y, TopK):
            labels = self.y.argmax(axis=1)
        if labels is None or not n:
            picked.sort()
            factor = np.full(len(picked), n / max(len(picked), 1))
        else:
            there = np.bincount(labels if index is None else labels[index])
            rare = np.bincount(labels[picked], minlength=len(there)) < np.minimum(fewest, there)
            if rare.any():
                of_rare = np.flatnonzero(rare[labels] if live is None else rare[labels] & live)
                few = _first_of_each(rng.permutation(of_rare), labels, fewest)
                picked = np.concatenate([picked[~rare[labels[picked]]], few])
            picked.sort()
            own = labels[picked]
            factor = (there / np.maximum(np.bincount(own, minlength=len(there)), 1))[own]
        taken = self.take(picked)
        weight = factor if taken.weight is None else factor * taken.weight
        return replace(taken, weight=weight, stands_for=self.stands_for * float(factor.max(initial=1.0)))

    def check_classes(self, K: int) -> None:
        """Raises ValueError naming the first class index outside [0, K) of the rows that count."""
        classes = self.y.indices if isinstance(self.y, TopK) else self.labels
        if classes is None:
            return
        outside = (classes < 0) | (classes >= K)
        live = self.live(slice(0, self.shape[0]))
        if live is not None:
            outside[~live] = False
        if outside.any():
            at = tuple(int(i) for i in np.argwhere(outside)[0])
            raise ValueError(f"y[{', '.join(map(str, at))}] = {classes[at]} is outside [0, {K})")

    def check_offset(self, K: int) -> None:
        """Raises ValueError unless the offset, if there is one, is (n, K)."""
        check_offset(self.offset, self.shape[0], K)

    def target_rows(self, K: int, masked: Bool | None = None) -> Float:
        """The smoothed targets q as dense rows (n, K). Classes that are `masked`, (n, K) or (K,), get nothing
        of the smoothing."""
        n = self.shape[0]
        Q = np.zeros((n, K))
        if isinstance(self.y, TopK):
            np.add.at(Q, (np.arange(n)[:, None], self.y.indices), self.y.values)
        elif self.y.ndim == 2:
            Q[:] = self.y
        else:
            Q[np.arange(n), self.y] = 1
        if self.label_smoothing:
            unmasked = np.ones((n, K)) if masked is None else np.broadcast_to(~masked, (n, K))
            share = self.label_smoothing / unmasked.sum(axis=1, keepdims=True)
            Q = (1 - self.label_smoothing) * Q + share * unmasked
        return Q


def _array(a: Array, dtype: DTypeLike) -> Array:
    """The array in this dtype, C-ordered and aligned; copied only if it is not."""
    return np.require(a, dtype, ["C", "A"])


def _float_dtype(a: Array) -> type[np.float32 | np.float64]:
    """float32 for float32, float64 for all else."""
    return np.float32 if a.dtype == np.float32 else np.float64


def offset_rows(offset: VectorLike, n: int) -> Array:
    """An offset as the kernels read it, float64 or float32. Raises ValueError unless it has two axes
    and n rows."""
    a = np.asarray(offset)
    if a.ndim != 2 or len(a) != n:
        raise ValueError(f"offset must be (n, K) and have X's {n} rows, got {a.shape}")
    return _array(a, _float_dtype(a))


def check_offset(offset: Array | None, n: int, K: int) -> None:
    """Raises ValueError unless `offset`, if there is one, is (n, K)."""
    if offset is not None and offset.shape != (n, K):
        raise ValueError(f"offset must be (n, K) = ({n}, {K}), got {offset.shape}")


def _first_of_each(index: Index, labels: Array, most: int) -> Index:
    """The first `most` rows of every class, in the order of `index`."""
    index = index[np.argsort(labels[index], kind="stable")]
    own = labels[index]
    return index[np.arange(len(index)) - np.searchsorted(own, own) < most]


def _whole(y: ArrayLike) -> Array:
    """Class indices as an array. Raises ValueError unless they are integers."""
    a: Array = np.asarray(y)
    if a.dtype.kind not in "iub":
        raise ValueError(f"class indices must be whole numbers, got dtype {a.dtype}")
    return a
