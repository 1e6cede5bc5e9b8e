"""Directions of the features in which every centred row is 0: the loss does not depend on them.

Two kinds. A *constant* feature is known exactly: the same number in every row that counts. With an intercept
its centred column is 0, whatever its size. A *collinear* direction n has n·x̃_i = 0 for all i but for
rounding: |n·x̃_i| ≤ ε Σ_j |n_j| (|x̃_ij| + |x̄_j|), ε = 64 units of float64 for centring and adding up, and
2 of float32 where X is stored in that or less. A sum of dummies, degrees in two scales, a column twice; and
one column alone that was computed: shares added up, 7.3·q/q.
Along such a direction the classes differ by the rounding of a table alone. A fit to it gets coefficients of
1e7 or 1e15, and others with another table of the same numbers.

Method for the latter
 a. The features' correlations, from a few rows where there are many: what is null for all rows is so for
    some. No small eigenvalue, no such direction. This is all that most tables cost.
 b. Else the correlations of all rows, and each eigenvector of a small eigenvalue is held against the rows.
 c. An eigenvalue's rounding is that of a square: where a candidate fails, singular vectors of the rows
    themselves, by a QR decomposition block after block, and the rows again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import eigh, qr

from .._types import Array, Bool, Float
from ..data import Batch, Source
from ..kernels import linear
from ..kernels.threads import blas_for

MAX_COLLINEAR = 2048  # features
_FIRST_ROWS = 64  # no two numbers among these differ: a column that may be constant
_BLOCK_NUMBERS = 1 << 20
_HARDLY = 1e-6  # of its mean: a deviation of less is looked at row by row
_SMALL = 1e-8  # of the largest eigenvalue: a square root of it is 1e-4 of the features' size


def constant_features(source: Source, d: int) -> tuple[Bool, Float]:
    """Which of d features hold one number in all rows that count, and that number; (d,) each.

    Most columns vary within a few rows, which is as far as they are read. Of CSR columns only full ones are
    looked at: where one is empty nothing has to be known of it.
    """
    columns, value = np.arange(d), None
    for batch in source.batches():
        start, rows = 0, _FIRST_ROWS
        while start < batch.shape[0] and len(columns):
            part, start = _rows(batch, start, rows), start + rows
            if not part.shape[0]:
                continue
            if batch.is_sparse and value is None:
                columns = np.flatnonzero(np.bincount(part.indices, minlength=d) >= part.shape[0])
            X = part if len(columns) == d else part[:, columns]
            X = (X.toarray() if batch.is_sparse else X).astype(np.float64)
            value = X[0] if value is None else value
            same = (X == value).all(axis=0)
            columns, value = columns[same], value[same]
            rows = max(_FIRST_ROWS, _BLOCK_NUMBERS // max(len(columns), 1))
    constant, at = np.zeros(d, bool), np.zeros(d)
    if value is not None:
        constant[columns], at[columns] = True, value
    return constant, at


def _rows(batch: Batch, start: int, rows: int) -> Any:
    """The rows of X that count among `rows` rows from `start` on."""
    part = slice(start, min(start + rows, batch.shape[0]))
    live = batch.live(part)
    return batch.X[part] if live is None else batch.X[start + np.flatnonzero(live)]


def null_directions(
    read: Callable[[], Source],
    centre: Float,
    free: Bool,
    constant: Bool,
    curvature_of_few: Callable[[], Float],
    curvature: Callable[[], Float],
) -> Float:
    """Directions n (m, d) of length 1 of the features that are `free` (d,) with n·x̃_i = 0 for all rows that
    count: the `constant` (d,) features and combinations of others.

    Every call of `read` returns the rows for one pass; `curvature` returns (1/S) Σ s_i x̃_i x̃_iᵀ (d, d) over
    all rows, `curvature_of_few` over some. Beyond MAX_COLLINEAR features, whose correlations would not fit,
    combinations are not searched for.
    """
    d = len(centre)
    single = _alone(np.flatnonzero(constant & free), d)
    varying = np.flatnonzero(free & ~constant)
    if d > MAX_COLLINEAR or not len(varying):
        return single
    A = curvature_of_few()
    if not _hardly_varies(A, centre)[varying].any() and not len(_small_directions(A, varying)):
        return single
    A = curvature()
    hardly = _hardly_varies(A, centre)
    flat = _alone(varying[hardly[varying]], d)
    flat = flat[_are_null(read(), centre, flat)] if len(flat) else flat
    features = np.array([j for j in varying if A[j, j] > 0 and not flat[:, j].any()], np.intp)
    candidates = _small_directions(A, features)
    null = _are_null(read(), centre, candidates)
    if not null.all():
        candidates = _singular_directions(read(), centre, features, np.sqrt(np.diag(A)[features]))
        null = _are_null(read(), centre, candidates)
    return np.vstack([single, flat, candidates[null]])


def _alone(features: NDArray[np.intp], d: int) -> Float:
    """A unit vector for each of these features, (m, d)."""
    directions = np.zeros((len(features), d))
    directions[np.arange(len(features)), features] = 1.0
    return directions


def _hardly_varies(curvature: Float, centre: Float) -> Bool:
    """Which features, (d,), may be constant but for rounding, or have squares that underflow. For CSR rows
    the curvature is a difference and cannot say more."""
    least: Float = (_HARDLY * centre) ** 2
    return np.asarray(np.diag(curvature) <= least)


@dataclass(frozen=True)
class NullSpaces:
    """Where F is flat: pairs of classes (m,) and orthonormal directions (r, d), along which the loss does not
    change and these classes have no penalty."""

    spaces: tuple[tuple[NDArray[np.intp], Float], ...] = ()

    @staticmethod
    def of(free: Bool, directions: Callable[[Bool], Float]) -> NullSpaces:
        """The null spaces of the features that are free in each class (K, d); `directions` gives the
        `null_directions` of a set of features."""
        patterns: dict[bytes, list[int]] = {}
        for k in np.flatnonzero(free.any(axis=1)):
            patterns.setdefault(free[k].tobytes(), []).append(int(k))
        pairs = ((np.array(ks), orthonormal(directions(free[ks[0]]))) for ks in patterns.values())
        return NullSpaces(tuple((classes, null) for classes, null in pairs if len(null)))

    def taken_out(self, theta: Float) -> Float:
        """θ (K, D), or a gradient, less its part in the null spaces: the θ of least ‖W‖ with the same F."""
        if not self.spaces:
            return theta
        theta = theta.copy()
        for classes, null in self.spaces:
            d = null.shape[1]
            W = theta[classes, :d]
            theta[classes, :d] = W - W @ null.T @ null
        return theta

    def curve(self, k: int | None, block: Array) -> None:
        """Adds curvature to the null directions of a Hessian block, (d, d) or larger, in place.

        The block is class k's, or for None a mean over classes. The curvature has the size of the block's
        other entries; vectors orthogonal to the null directions, as every gradient is, are not affected.
        """
        for classes, null in self.spaces:
            if k is None or k in classes:
                d = null.shape[1]
                sizes = null**2 @ np.diag(block)[:d]
                block[:d, :d] += (null.T * np.where(sizes > 0, sizes, 1.0)) @ null


def _small_directions(curvature: Float, features: NDArray[np.intp]) -> Float:
    """The eigenvectors of small eigenvalues of these features' correlations: (m, d). The curvature's diagonal
    must be > 0 for all of them."""
    if not len(features):
        return np.zeros((0, len(curvature)))
    units = np.sqrt(np.diag(curvature)[features])
    with blas_for(4 * len(features) ** 3):
        correlation = curvature[np.ix_(features, features)] / units / units[:, None]
        values, vectors = eigh(correlation, check_finite=False)
    return _spread(vectors[:, values <= _SMALL * values[-1:]], features, units, len(curvature))


def _spread(vectors: Float, features: NDArray[np.intp], units: Float, d: int) -> Float:
    """Columns in units of these features as rows of length 1 over all d features."""
    out: Float = np.zeros((vectors.shape[1], d))
    out[:, features] = (vectors / units[:, None]).T
    out /= np.linalg.norm(out, axis=1, keepdims=True)
    return out


def _singular_directions(source: Source, centre: Float, features: NDArray[np.intp], units: Float) -> Float:
    """The right singular vectors of small singular values of the centred rows in these units: (m, d)."""
    R: Float = np.zeros((0, len(features)))
    for rows in _blocks(source, centre):
        with blas_for(2 * len(rows) * len(features) ** 2):
            R = qr(np.vstack([R, rows[:, features] / units]), mode="r", check_finite=False)[0]
            R = R[: len(features)]
    _, sizes, vectors = np.linalg.svd(R)
    sizes = np.append(sizes, np.zeros(len(vectors) - len(sizes)))
    small = sizes <= np.sqrt(_SMALL) * sizes[0]
    return _spread(vectors[small].T, features, units, len(centre))


def _are_null(source: Source, centre: Float, directions: Float) -> Bool:
    """Which directions n (m, d) have |n·x̃_i| within rounding for all rows that count, (m,)."""
    reach = np.zeros((2, len(directions)))
    for rows in _blocks(source, centre):
        along = np.abs(rows @ directions.T)
        size = (np.abs(rows) + np.abs(centre)) @ np.abs(directions.T)
        reach = np.maximum(reach, [along.max(axis=0), size.max(axis=0)])
    rounding = 64 * np.finfo(np.float64).eps
    if source.dtype.itemsize < 8:
        rounding += 2 * np.finfo(np.float32).eps
    null: Bool = reach[0] <= rounding * reach[1]
    return null


def _blocks(source: Source, centre: Float) -> Iterator[Float]:
    """The centred rows that count, a block at a time."""
    for batch in source.batches():
        yield from linear.augmented_blocks(batch, centre, False)


def orthonormal(directions: Float) -> Float:
    """An orthonormal basis, (r, d), of what these directions (m, d) span."""
    if not len(directions):
        return directions
    _, sizes, rows = np.linalg.svd(directions, full_matrices=False)
    basis: Float = rows[sizes > 1e-12 * sizes[0]]
    return basis
