"""The linear model's sums over rows: everything a solver needs, each a plain sum, so that threads,
batches of a file and workers of a cluster are the same thing: map over batches, add.

Design
 a. `sums` runs the fused kernel where X is dense and a gradient a thread is affordable; elsewhere
    (more coefficients, CSR, no extension) it goes block by block: product, softmax in place, product.
 b. Second-order sums are rare (a handful a fit), so they go block by block through BLAS.
 c. Blocks hold about 32 MiB; nothing here is n×K or a copy of X.
"""

from __future__ import annotations

import operator
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from . import _kernels, reference

Float = NDArray[np.float64]

_BLOCK_BYTES = 32 << 20
# The fused kernel keeps a float64 gradient a thread: 16 MiB at most. Below that it beat the blocks in
# float32 and float64 alike (20000×384 K=100: 21 against 48; 20000×768 K=1000: 390 against 473).
_FUSED_MAX_COEFFICIENTS = 1 << 21


@dataclass(frozen=True)
class Batch:
    """Rows to sum over: X (n, d) dense float32/float64 of any strides or CSR, y (n,) int64 in [0, K),
    weight (n,) float64 ≥ 0 or None for all ones. Rows of weight 0 are never read."""

    X: Any
    y: NDArray[np.int64]
    weight: Float | None = None

    @property
    def shape(self) -> tuple[int, int]:
        return self.X.shape

    @property
    def is_sparse(self) -> bool:
        return not isinstance(self.X, np.ndarray)


class Sums(NamedTuple):
    """Σ s_i ℓ_i (nats), Σ s_i (p_i − e_y) x_iᵀ (K, d), Σ s_i (p_i − e_y) (K,), Σ s_i, Σ s_i [argmax = y]."""

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


def _blocks(
    batch: Batch, width: int, dtype: Any = np.float64
) -> Iterator[tuple[Any, NDArray[np.int64], Float]]:
    """Row blocks (X in `dtype`, y, weight) without rows of weight 0, `width` numbers a row beside X's."""
    n, d = batch.shape
    row_bytes = 8 * (width + (0 if batch.is_sparse else d))
    step = int(min(max(_BLOCK_BYTES // max(row_bytes, 1), 64), 8192))
    for start in range(0, n, step):
        rows = slice(start, min(start + step, n))
        X, y = batch.X[rows], batch.y[rows]
        weight = np.ones(len(y)) if batch.weight is None else batch.weight[rows]
        live = weight != 0
        if not live.all():
            X, y, weight = X[live], y[live], weight[live]
        yield X.astype(dtype, copy=False), y, weight


def runs_fused(batch: Batch, K: int) -> bool:
    """Whether `sums` takes the fused kernel for this batch and K classes."""
    fits = K * batch.shape[1] <= _FUSED_MAX_COEFFICIENTS
    return _kernels.HAS_NATIVE and fits and not batch.is_sparse


def sums(
    batch: Batch, W: NDArray[Any], b: NDArray[Any], *, gradient: bool = True, n_threads: int = 0
) -> Sums:
    """Loss and gradient of z_i = W x_i + b over the rows of `batch`, as `Sums`. W (K, d), b (K,).

    A row is computed in W's dtype, or in X's if that is wider; sums over rows are float64. A b_k of
    −inf masks class k. Raises ValueError naming the first row whose label is outside [0, K).
    """
    K = len(W)
    if runs_fused(batch, K):
        totals, grad_W, grad_b = _kernels.fused_sums(
            batch.X, batch.y, batch.weight, W, b, gradient=gradient, n_threads=n_threads
        )
        return Sums(totals.loss, grad_W, grad_b, totals.weight, totals.hits)

    compute = np.result_type(batch.X.dtype, W.dtype)
    W, b = np.asarray(W, compute), np.asarray(b, compute)
    total = Sums(0.0, np.zeros(W.shape), np.zeros(K), 0.0, 0.0)
    for X, y, weight in _blocks(batch, 2 * K, compute):
        Z = np.ascontiguousarray(X @ W.T)
        Z += b
        totals = _kernels.softmax_residual(Z, y, weight, n_threads=n_threads)
        product = (X.T @ Z).T if gradient else np.zeros(W.shape)
        total += Sums(totals.loss, product, Z.sum(axis=0, dtype=np.float64), totals.weight, totals.hits)
    return total


def moments(batch: Batch, K: int) -> Moments:
    """What of the data enters the certificate and the centring: see `Moments`."""
    total = Moments(0.0, np.zeros(batch.shape[1]), np.zeros(K), np.zeros((K, batch.shape[1])))
    for X, y, weight in _blocks(batch, K):
        Y = reference.one_hot(y, K, like=weight) * weight[:, None]
        class_x = np.asarray((X.T @ Y).T)
        total += Moments(float(weight.sum()), class_x.sum(axis=0), Y.sum(axis=0), class_x)
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
    return total - weight_sum * np.outer(centre, centre)


def weighted_rows(batch: Batch, centre: Float) -> Float:
    """√s_i (x_i − c) for the rows that count, dense, (n, d): for fewer rows than features."""
    blocks = [
        augmented(X, centre, False) * np.sqrt(weight)[:, None]
        for X, _, weight in _blocks(batch, batch.shape[1])
    ]
    return np.concatenate(blocks) if blocks else np.zeros((0, batch.shape[1]))


def second_moment_diagonal(batch: Batch, centre: Float) -> Float:
    """The diagonal of `gram`, (d,), for a d at which the matrix would not fit."""
    total = np.zeros(batch.shape[1])
    for X, _, weight in _blocks(batch, 1):
        if batch.is_sparse:
            total += np.asarray(X.multiply(X).T @ weight) - weight.sum() * centre**2
        else:
            total += ((X - centre) ** 2).T @ weight
    return np.maximum(total, 0.0)


def _probabilities(X: Any, W: Float, b: Float) -> Float:
    return reference.softmax(np.asarray(X @ W.T) + b)


def class_curvature(batch: Batch, W: Float, b: Float) -> Float:
    """Σ s_i (diag p_i − p_i p_iᵀ), (K, K)."""
    K = len(W)
    total = np.zeros((K, K))
    for X, _, weight in _blocks(batch, 3 * K):
        P = _probabilities(X, W, b)
        sP = P * weight[:, None]
        total += np.diag(sP.sum(axis=0)) - P.T @ sP
    return total


def class_variance(batch: Batch, W: Float, b: Float) -> Float:
    """The diagonal of `class_curvature`, Σ s_i p_ik (1 − p_ik), (K,), for a K at which n·K² is too much."""
    total = np.zeros(len(W))
    for X, _, weight in _blocks(batch, 3 * len(W)):
        P = _probabilities(X, W, b)
        total += weight @ (P * (1 - P))
    return total


def augmented(X: Any, centre: Float, intercept: bool) -> Float:
    """Dense rows x − c with, for an intercept, a column of ones behind: (n, d) or (n, d + 1)."""
    dense = X.toarray() if hasattr(X, "toarray") else X
    out = np.ones((dense.shape[0], dense.shape[1] + intercept))
    np.subtract(dense, centre, out=out[:, : dense.shape[1]])
    return out


def augmented_blocks(batch: Batch, centre: Float, intercept: bool) -> Iterator[Float]:
    """The augmented rows that count, a block at a time."""
    for X, _, _ in _blocks(batch, 2 * batch.shape[1]):
        yield augmented(X, centre, intercept)


def hessian(batch: Batch, W: Float, b: Float, centre: Float, intercept: bool) -> Float:
    """Σ s_i (diag p_i − p_i p_iᵀ) ⊗ x̃_i x̃_iᵀ, (K·D, K·D), x̃ the augmented row, D its length.

    Off the diagonal −QᵀQ with Q = (p_i ⊗ x̃_i), one symmetric product; each diagonal block from its own
    weights p_k Σ_{j≠k} p_j, because diag p − QᵀQ would cancel where a class is all but certain.
    """
    K, D = len(W), W.shape[1] + intercept
    H, diagonal = np.zeros((K * D, K * D)), np.zeros((K, D, D))
    for X, _, weight in _blocks(batch, 2 * K * D):
        rows = augmented(X, centre, intercept)
        P = _probabilities(X, W, b)
        others = P @ (1 - np.eye(K))
        Q = (P[:, :, None] * rows[:, None, :]).reshape(len(rows), K * D)
        Q *= np.sqrt(weight)[:, None]
        H -= Q.T @ Q
        for k in range(K):
            diagonal[k] += rows.T @ (rows * (P[:, k] * others[:, k] * weight)[:, None])
    for k in range(K):
        block = slice(k * D, (k + 1) * D)
        H[block, block] = diagonal[k]
    return H
