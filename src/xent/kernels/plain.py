"""The kernels' contracts in plain array code, block by block: xent without its extension.

Slower, and less accurate by half an ulp of the largest gap between logits (`reference` subtracts plainly).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from .. import reference
from .._types import Array, Float, Index, Matrix
from ..data.batch import Batch

_BLOCK_BYTES = 32 << 20


def _blocks(batch: Batch, W: Array, b: Array) -> Iterator[tuple[Any, Array, Batch, Float]]:
    """The rows that count, a block at a time: X, logits, batch and weights."""
    batch.check_classes(len(W))
    batch.check_offset(len(W))
    width = 3 * len(W) + (0 if batch.is_sparse else batch.shape[1])
    step = int(min(max(_BLOCK_BYTES // (8 * (width + 1)), 64), 8192))
    for X, part, weight in batch.blocks(step, W.dtype):
        Z = np.asarray(X @ W.T) + b
        yield X, Z if part.offset is None else (Z + part.offset).astype(Z.dtype, copy=False), part, weight


def sums(batch: Batch, W: Array, b: Array, gradient: bool) -> tuple[tuple[float, float, float], Float, Float]:
    """(Σ s ℓ, Σ s, hits), grad_W (K, d), grad_b (K,): see `native.sums`."""
    K = len(W) if gradient else 0
    totals, grad_W, grad_b = np.zeros(3), np.zeros((K, W.shape[1])), np.zeros(K)
    for X, Z, part, s in _blocks(batch, W, b):
        raw = Batch(part.X, part.y).target_rows(len(W))
        # A class index goes as it is: rows of one-hot floats would cost the same and say less.
        labels = part.labels if not part.label_smoothing else None
        Q = part.target_rows(len(W), np.isneginf(Z)).astype(Z.dtype) if labels is None else labels
        winner = reference.predict(Z)
        losses = reference.cross_entropy(Z, Q).astype(np.float64)
        totals += s @ losses, s.sum(), s @ raw[np.arange(len(s)), winner]
        if gradient:
            G = reference.cross_entropy_gradient(Z, Q) * s[:, None].astype(Z.dtype)
            grad_W += (X.T @ G).T
            grad_b += G.sum(axis=0, dtype=np.float64)
    return (float(totals[0]), float(totals[1]), float(totals[2])), grad_W, grad_b


def hessian_vector(batch: Batch, W: Array, b: Array, V: Array, c: Array) -> tuple[Float, Float]:
    """The product with (V, c) of the Hessian of Σ s ℓ at (W, b), (K, d) and (K,): see
    `native.hessian_vector`."""
    out_W, out_b = np.zeros(W.shape), np.zeros(len(W))
    for X, Z, _, s in _blocks(batch, W, b):
        A = np.asarray(X @ V.T) + c
        G = reference.softmax_jacobian_product(reference.softmax(Z), A) * s[:, None].astype(Z.dtype)
        out_W += (X.T @ G).T
        out_b += G.sum(axis=0, dtype=np.float64)
    return out_W, out_b


def hessian(X: Float, P: Float, weight: Float | None, centre: Float, intercept: bool) -> Float:
    """Σ s_i (diag p_i − p_i p_iᵀ) ⊗ x̃_i x̃_iᵀ: see `native.hessian`.

    Off the diagonal it is −QᵀQ with Q = (p_i ⊗ x̃_i), one symmetric product. Each diagonal block comes from
    its own weights p_k Σ_{j≠k} p_j, because diag p − QᵀQ would cancel where a class is all but certain.
    """
    n, K = P.shape
    rows = np.column_stack([X - centre, np.ones((n, int(intercept)))])
    D, s = rows.shape[1], np.ones(n) if weight is None else weight
    Q = (P[:, :, None] * rows[:, None, :]).reshape(n, K * D) * np.sqrt(s)[:, None]
    H = -Q.T @ Q
    for k in range(K):
        block = slice(k * D, (k + 1) * D)
        others = np.delete(P, k, axis=1).sum(axis=1)
        H[block, block] = rows.T @ (rows * (P[:, k] * others * s)[:, None])
    return H


def predict(
    task: str,
    X: Matrix,
    W: Array,
    b: Array,
    out: Array,
    offset: Array | None = None,
) -> None:
    """Fills `out` with what `task` names of every row of X: see `native.predict`."""
    value: dict[str, Callable[..., Any]] = {
        "probabilities": reference.softmax,
        "log_probabilities": reference.log_softmax,
        "classes": reference.predict,
        "logits": lambda z: z,
    }
    start = 0
    batch = Batch(X, np.zeros(X.shape[0], np.int64), offset=offset)
    for _, Z, _, _ in _blocks(batch, W, b):
        out[start : start + len(Z)] = value[task](Z)
        start += len(Z)


def descend(
    start: Index,
    blocks: Array,
    psi: Float,
    dual: Float,
    penalty: Float,
    gradient: Float,
    w: Float,
    groups: tuple[Index, Index] | None,
    tolerance: float,
    most: int,
) -> int:
    """Coordinate descent on w for a quadratic model plus a penalty: see `native.descend`."""
    l2, l1, lower, upper = penalty
    widths = np.diff(start)
    ends = np.cumsum(widths**2)
    squares = (blocks[end - n * n : end].reshape(n, n) for end, n in zip(ends, widths, strict=True))
    rows = [row for square in squares for row in square]
    where = [slice(a, b) for a, b in itertools.pairwise(start) for _ in range(a, b)]
    own = np.array([row[i - at.start] for i, (row, at) in enumerate(zip(rows, where, strict=True))])
    curvature = np.maximum(own - np.einsum("ij,ij->i", psi, dual), 1e-3 * own)
    first, members = (np.arange(len(w) + 1), np.arange(len(w))) if groups is None else groups
    sets = [members[a:b] for a, b in itertools.pairwise(first) if a < b]
    if groups is not None:
        for g in sets:
            across = np.array([_entries(rows[i], where[i], g) for i in g]) - psi[g] @ dual[g].T
            np.fill_diagonal(across, 0.0)
            curvature[g] = (curvature[g] + np.abs(across).sum(axis=1)).max()
    q, t = np.zeros(len(w)), np.zeros(psi.shape[1])

    def step(g: Index) -> float:
        h = curvature[g] + l2[g]
        pull = curvature[g] * w[g] - (gradient[g] + q[g] - psi[g] @ t)
        size = np.linalg.norm(pull)
        if size <= l1[g[0]]:
            to = np.zeros(len(g))
        else:
            to = pull * (1 - l1[g[0]] / size) / np.where(h > 0, h, np.nan)
        to = np.where(np.isfinite(to), to, w[g])
        if groups is None:
            to = np.clip(to, lower[g], upper[g])
        by = to - w[g]
        w[g] = to
        for i, b in zip(g[by != 0], by[by != 0], strict=True):
            q[where[i]] += b * rows[i]
            t[:] += b * dual[i]
        return float(by * by @ h)

    # A model that bends down has no minimum: its numbers overflow, as the native ones do.
    with np.errstate(over="ignore", invalid="ignore"):
        return _sweeps(step, sets, w, tolerance, most)


def _entries(row: Array, at: slice, columns: Index) -> Float:
    """The entries in `columns` of a block's row, which holds the columns `at`; 0 for all others."""
    entries = np.zeros(len(columns))
    inside = (columns >= at.start) & (columns < at.stop)
    entries[inside] = row[columns[inside] - at.start]
    return entries


def _sweeps(
    step: Callable[[Index], float],
    sets: list[Index],
    w: Float,
    tolerance: float,
    most: int,
) -> int:
    """Sweeps over all sets, then over those that are not 0 until they settle, and so on. Returns how many
    sweeps that took."""
    sweeps, scale = 0, math.inf
    while sweeps < most:
        moved = sum(step(g) for g in sets)
        sweeps += 1
        scale = moved if sweeps == 1 else scale
        if not moved > tolerance * scale:
            break
        moving = [g for g in sets if w[g].any()]
        while sweeps < most and moved > tolerance * scale:
            moved = sum(step(g) for g in moving)
            sweeps += 1
    return sweeps
