"""The linear model's sums over rows: everything a solver needs, each a plain sum, so that threads,
batches of a file and workers of a cluster are the same thing: map over batches, add.

Design
 a. `sums` runs one fused kernel, dense or CSR. With so many coefficients that a gradient per thread would
    cost more than it saves, it runs tiles whose products are BLAS's (`tiled`).
 b. Second-order sums are rare (a handful per fit), so they go block by block: the Hessian through a kernel
    of its own, the others through BLAS.
 c. Blocks hold about 32 MiB; nothing here is n×K or a copy of X.
"""

from __future__ import annotations

import operator
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from .._types import Array, Bool, Float, Index, Matrix, VectorLike
from ..data.batch import Batch, TopK, offset_rows
from . import native, tiled
from .threads import blas_for

_BLOCK_BYTES = 32 << 20
_FEW_CLASSES = 64
# The fused kernel keeps a float64 gradient per thread: 16 MiB at most. Below that it beat the blocks in
# float32 and float64 alike (20000×384 K=100: 21 against 48; 20000×768 K=1000: 390 against 473).
_FUSED_MAX_COEFFICIENTS = 1 << 21
_FEWEST_TILED = 256  # classes: below, tiles are too thin for BLAS and a block of wide rows too large


class Sums(NamedTuple):
    """Σ s_i ℓ_i (nats), Σ s_i (p_i − q_i) x_iᵀ (K, d), Σ s_i (p_i − q_i) (K,), Σ s_i, and hits: Σ s_i q_iw, w
    the largest logit's class (for class indices the weight of the rows whose argmax is the label)."""

    loss: float
    grad_W: Float
    grad_b: Float
    weight: float
    hits: float

    def __add__(self, other: Sums) -> Sums:  # type: ignore[override]
        return Sums(*map(operator.add, self, other))


class Moments(NamedTuple):
    """Σ s_i, Σ s_i x_i (d,), Σ s_i e_y (K,), Σ s_i e_y x_iᵀ (K, d); float64."""

    weight: float
    x: Float
    classes: Float
    class_x: Float

    def __add__(self, other: Moments) -> Moments:  # type: ignore[override]
        return Moments(*map(operator.add, self, other))


def _blocks(batch: Batch, width: int) -> Iterator[tuple[Any, Batch, Float]]:
    """The rows that count in float64 blocks that leave room for `width` numbers per row beside X's."""
    row_bytes = 8 * (width + (0 if batch.is_sparse else batch.shape[1]))
    return batch.blocks(int(min(max(_BLOCK_BYTES // max(row_bytes, 1), 64), 8192)))


def _parameters(X: Matrix, W: ArrayLike, b: ArrayLike, *direction: ArrayLike) -> list[Array]:
    """W, b and a direction (V, c) in the dtype that rows of X are computed in. Raises ValueError unless they
    fit X."""
    pairs = [np.asarray(a) for a in (W, b, *direction)]
    dtype = native.compute_dtype(X, pairs[0])
    for i in range(0, len(pairs), 2):
        native.check_model(X, pairs[i], pairs[i + 1])
    if direction and pairs[2].shape != pairs[0].shape:
        raise ValueError(f"V must be of W's shape {pairs[0].shape}, got {pairs[2].shape}")
    return [np.ascontiguousarray(a, dtype) for a in pairs]


def runs_tiled(batch: Batch, K: int) -> bool:
    """Whether `sums` leaves the products to BLAS for this batch and K classes."""
    large = K >= _FEWEST_TILED and K * batch.shape[1] > _FUSED_MAX_COEFFICIENTS
    return native.HAS_NATIVE and not batch.is_sparse and large


def sums(
    batch: Batch,
    W: Array,
    b: Array,
    *,
    gradient: bool = True,
    n_threads: int = 0,
    max_bytes: int = tiled.MAX_BYTES,
) -> Sums:
    """Loss and gradient of z_i = W x_i + b + o_i over the rows of `batch`, as `Sums`. W (K, d), b (K,).

    A row is computed in float64 if W or X is, else in float32 (float16 and bfloat16 X are widened in
    registers); sums over rows are float64. A b_k of −inf masks class k. Working memory does not grow with n:
    up to 2²¹ coefficients, or under 256 classes, it is a float64 gradient and a block of rows per thread
    (CSR: one gradient and a copy of W); beyond, `max_bytes` per thread beside the gradient. Without
    `gradient` both gradients have no rows. Raises ValueError naming the first row whose class is outside
    [0, K), or the shape of an offset that is not (n, K).
    """
    W, b = _parameters(batch.X, W, b)
    if runs_tiled(batch, len(W)):
        parts = tiled.sums(batch, W, b, gradient=gradient, n_threads=n_threads, max_bytes=max_bytes)
    else:
        parts = native.sums(batch, W, b, gradient=gradient, n_threads=n_threads)
    totals, grad_W, grad_b = parts
    return Sums(totals.loss, grad_W, grad_b, totals.weight, totals.hits)


def hessian_vector(
    batch: Batch, W: Array, b: Array, V: Array, c: Array, *, n_threads: int = 0
) -> tuple[Float, Float]:
    """The product with (V, c) of the Hessian of Σ s_i ℓ_i at (W, b), in one pass: (K, d) and (K,), float64.

    Σ s_i (diag p_i − p_i p_iᵀ)(V x_i + c) [x_iᵀ, 1]; every thread holds one such sum and a block of rows.
    Source: Pearlmutter (1994), Fast exact multiplication by the Hessian.
    """
    W, b, V, c = _parameters(batch.X, W, b, V, c)
    return native.hessian_vector(batch, W, b, V, c, n_threads=n_threads)


def predict(X: Matrix, W: Array, b: Array, *, offset: VectorLike | None = None, n_threads: int = 0) -> Index:
    """The class of each row, argmax_k (W x_i + b + o_i)_k, the first of equals: (n,) int64.

    `offset` o (n, K) as a `Batch` has it. Raises ValueError for another shape.
    """
    return _predict("classes", X, W, b, offset, n_threads)


def logits(X: Matrix, W: Array, b: Array, *, offset: VectorLike | None = None, n_threads: int = 0) -> Array:
    """W x_i + b + o_i, (n, K), in the dtype that rows are computed in; `offset` as in `predict`.

    Measured: BLAS takes 2 to 20 times as long for 3 to 10 classes, and half as long for 1000.
    """
    if len(W) <= _FEW_CLASSES or X.dtype != W.dtype or not isinstance(X, np.ndarray):
        return _predict("logits", X, W, b, offset, n_threads)
    W, b = _parameters(X, W, b)
    Z = X @ W.T
    Z += b
    return Z if offset is None else Z + offset_rows(offset, X.shape[0])


def predict_proba(
    X: Matrix, W: Array, b: Array, *, offset: VectorLike | None = None, n_threads: int = 0
) -> Array:
    """softmax(W x_i + b + o_i), (n, K), in the dtype that rows are computed in; `offset` as in `predict`."""
    return _predict("probabilities", X, W, b, offset, n_threads)


def predict_log_proba(
    X: Matrix, W: Array, b: Array, *, offset: VectorLike | None = None, n_threads: int = 0
) -> Array:
    """log softmax(W x_i + b + o_i), (n, K), finite for finite logits; −inf for a masked class; `offset` as
    in `predict`."""
    return _predict("log_probabilities", X, W, b, offset, n_threads)


def _predict(task: str, X: Matrix, W: Array, b: Array, offset: VectorLike | None, n_threads: int) -> Array:
    """`native.predict` for W, b and offsets of any dtype, checked against X."""
    W, b = _parameters(X, W, b)
    rows = None if offset is None else offset_rows(offset, X.shape[0])
    return native.predict(task, X, W, b, offset=rows, n_threads=n_threads)


def moments(batch: Batch, K: int, *, n_threads: int = 0) -> Moments:
    """What the certificate and the centring need of the data: `Moments`. Offsets play no part.

    They come from the gradient at W = 0, b = 0, where p is known. With a class K + 1 that no row has,
    p = 1/(K + 1): that class's gradient is Σ s_i x_i / (K + 1), and class k's is that less Σ s_i q_ik x_i. So
    one pass of the fused kernel is enough, several times as fast as products of blocks. Soft rows q_i (n, K)
    have no room for that class and take two passes.
    """
    plain = replace(batch, label_smoothing=0.0, offset=None)
    labels = plain.labels
    if labels is None:
        at = _at_zero(plain, K, n_threads)
        everything = _at_zero(replace(plain, y=np.zeros(batch.shape[0], np.int64)), 2, n_threads)
        x, weight = 2 * everything.grad_W[1], everything.weight
        class_x, classes = x / K - at.grad_W, _target_totals(plain, K)
    else:
        at = _at_zero(plain, K + 1, n_threads)
        x, weight = (K + 1) * at.grad_W[K], at.weight
        class_x = at.grad_W[K] - at.grad_W[:K]
        live = plain.live(slice(0, batch.shape[0]))
        pick: Bool | slice = slice(None) if live is None else live
        counted = None if plain.weight is None else plain.weight[pick]
        classes = np.bincount(labels[pick], counted, K).astype(np.float64)
    alpha = batch.label_smoothing
    return Moments(
        weight,
        x,
        np.maximum((1 - alpha) * classes + alpha * weight / K, 0.0),
        (1 - alpha) * class_x + alpha / K * x,
    )


def _target_totals(batch: Batch, K: int) -> Float:
    """Σ s_i q_i (K,) of soft rows, added directly: by a difference, a share under 1e-16 would come out as
    0."""
    total = np.zeros(K)
    step = max(_BLOCK_BYTES // (8 * K), 64)
    for start in range(0, batch.shape[0], step):
        part = slice(start, min(start + step, batch.shape[0]))
        live = batch.live(part)
        pick: Index | slice = part if live is None else start + np.flatnonzero(live)
        weight = np.ones(part.stop - start) if batch.weight is None else batch.weight[pick]
        if isinstance(batch.y, TopK):
            values = batch.y.values[pick] * weight[:, None]
            total += np.bincount(batch.y.indices[pick].ravel(), values.ravel(), K)
        else:
            total += weight @ batch.y[pick]
    return total


def _at_zero(batch: Batch, K: int, n_threads: int) -> Sums:
    """`sums` at W = 0, b = 0."""
    return sums(batch, np.zeros((K, batch.shape[1])), np.zeros(K), n_threads=n_threads)


def offset_moments(batch: Batch, K: int) -> Float:
    """Σ s_i o_i followed by Σ s_i ⟨q_i, o_i⟩, q_i the targets: (K + 1,), zeros without offsets."""
    total = np.zeros(K + 1)
    if batch.offset is not None:
        batch.check_offset(K)
        for _, part, weight in _blocks(batch, 2 * K):
            offset = np.asarray(part.offset)
            total[:K] += weight @ offset
            total[K] += weight @ (part.target_rows(K) * offset).sum(axis=1)
    return total


def gram(batch: Batch, centre: Float) -> Float:
    """Σ s_i (x_i − c)(x_i − c)ᵀ, (d, d). Dense rows are centred before the product, block by block,
    which loses nothing to large means; CSR rows are not (they would fill in): XᵀX − S c cᵀ, c the mean."""
    d = batch.shape[1]
    total, weight_sum = np.zeros((d, d)), 0.0
    for X, _, weight in _blocks(batch, d):
        if batch.is_sparse:
            total += (X.T @ X.multiply(weight[:, None]).tocsr()).toarray()
            weight_sum += weight.sum()
        else:
            rows = (X - centre) * np.sqrt(weight)[:, None]
            total += rows.T @ rows
    return total - weight_sum * np.outer(centre, centre) if batch.is_sparse else total


def weighted_rows(batch: Batch, centre: Float) -> Float:
    """√s_i (x_i − c) of the rows that count, dense, (n, d); meant for fewer rows than features."""
    blocks = [(augmented(X, centre, False), weight) for X, _, weight in _blocks(batch, batch.shape[1])]
    for rows, weight in blocks:
        rows *= np.sqrt(weight)[:, None]
    return np.concatenate([rows for rows, _ in blocks]) if blocks else np.zeros((0, batch.shape[1]))


def second_moment_diagonal(batch: Batch, centre: Float) -> Float:
    """The diagonal of `gram`, (d,), for a d at which the matrix would not fit."""
    total = np.zeros(batch.shape[1])
    for X, _, weight in _blocks(batch, 1):
        if batch.is_sparse:
            total += np.asarray(X.multiply(X).T @ weight) - weight.sum() * centre**2
        else:
            total += ((X - centre) ** 2).T @ weight
    return np.maximum(total, 0.0)


def _probabilities(X: Matrix, batch: Batch, W: Float, b: Float) -> Float:
    return _predict("probabilities", X, W, b, batch.offset, 0)


def class_curvature(batch: Batch, W: Float, b: Float, *, n_threads: int = 0) -> Float:
    """Σ s_i (diag p_i − p_i p_iᵀ), (K, K), each p_i in the dtype that a pass computes it in."""
    K = len(W)
    total = np.zeros((K, K))
    W, b = _parameters(batch.X, W, b)
    step = int(min(max(_BLOCK_BYTES // (8 * K), 64), 8192))
    for start in range(0, batch.shape[0], step):
        part = batch.take(slice(start, start + step))
        P = native.predict("probabilities", part.X, W, b, offset=part.offset, n_threads=n_threads)
        live = part.live(slice(0, len(P)))
        if live is not None:
            P[~live] = 0
        sP = P if part.weight is None else P * part.weight[:, None].astype(P.dtype)
        with blas_for(2 * len(P) * K * K):
            total -= P.T @ sP
        total[np.diag_indices(K)] += sP.sum(axis=0, dtype=np.float64)
    return total


def class_variance(batch: Batch, W: Float, b: Float) -> Float:
    """The diagonal of `class_curvature`, Σ s_i p_ik (1 − p_ik), (K,), for a K at which n·K² is too much."""
    batch.check_offset(len(W))
    total = np.zeros(len(W))
    for X, part, weight in _blocks(batch, 3 * len(W)):
        P = _probabilities(X, part, W, b)
        total += weight @ (P * (1 - P))
    return total


def augmented(X: Matrix, centre: Float, intercept: bool, dtype: DTypeLike = np.float64) -> Array:
    """Dense rows x − c, followed by a 1 for an intercept: (n, d) or (n, d + 1)."""
    dense = X if isinstance(X, np.ndarray) else X.toarray()
    out = np.ones((dense.shape[0], dense.shape[1] + intercept), dtype)
    np.subtract(dense, centre, out=out[:, : dense.shape[1]], casting="same_kind")
    return out


def augmented_blocks(batch: Batch, centre: Float, intercept: bool) -> Iterator[Float]:
    """The rows that count, `augmented`, a block at a time."""
    for X, _, _ in _blocks(batch, 2 * batch.shape[1]):
        yield augmented(X, centre, intercept)


def hessian(
    batch: Batch,
    W: Float,
    b: Float,
    centre: Float,
    intercept: bool,
    *,
    columns: NDArray[np.intp] | None = None,
    n_threads: int = 0,
) -> Float:
    """Σ s_i (diag p_i − p_i p_iᵀ) ⊗ x̃_i x̃_iᵀ, (K·D, K·D), x̃ the `augmented` row and D its length;
    with m `columns`, in ascending order, of these entries of x̃ alone, (K·m, K·m)."""
    K = len(W)
    batch.check_offset(K)
    W, b = _parameters(batch.X, W, b)
    pick: NDArray[np.intp] | slice = slice(None)
    if columns is not None:
        pick = columns[columns < len(centre)]
        intercept = len(pick) < len(columns)
    centre = centre[pick]
    size = K * (len(centre) + intercept)
    H = np.zeros((size, size))
    for X, part, weight in _blocks(batch, 2 * size):
        rows = X.toarray() if batch.is_sparse else X
        P = native.predict("probabilities", rows, W, b, offset=part.offset, n_threads=n_threads)
        s = None if batch.weight is None else weight
        H += native.hessian(
            rows[:, pick], P.astype(np.float64, copy=False), s, centre, intercept, n_threads=n_threads
        )
    return H


def least_curvature(batch: Batch, W: Float, b: Float, share: Float, centre: Float, intercept: bool) -> Float:
    """Σ s_i μ_i x̃_i x̃_iᵀ, (D, D), x̃ the `augmented` row; μ_i so that diag p_i − p_i p_iᵀ lies above
    μ_i (diag π − ππᵀ), π = `share` (K,) > 0.

    μ = r₁ r₂ / (π₁ r₁ + (1 − π₁) r₂) with r₁ ≤ r₂ the two least p_k/π_k and π₁ the first one's share:
    docs/design/0002. For two classes both sides are equal.
    """
    batch.check_offset(len(W))
    W, b = _parameters(batch.X, W, b)
    D = len(centre) + intercept
    total = np.zeros((D, D))
    for X, part, weight in _blocks(batch, 2 * (D + len(W))):
        rows = X if isinstance(X, np.ndarray) else X.toarray()
        P = native.predict("probabilities", rows, W, b, offset=part.offset)
        ratio = P / share
        first = ratio.argmin(axis=1)[:, None]
        low = np.take_along_axis(ratio, first, axis=1)[:, 0]
        np.put_along_axis(ratio, first, np.inf, axis=1)
        second, own = ratio.min(axis=1), share[first[:, 0]]
        mixed = own * low + (1 - own) * second
        mu = low * second / np.where(mixed > 0, mixed, 1.0)
        rows = augmented(rows, centre, intercept) * np.sqrt(weight * mu)[:, None]
        with blas_for(len(rows) * D * D):
            total += rows.T @ rows
    return total
