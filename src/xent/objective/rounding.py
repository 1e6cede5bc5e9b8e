"""What rounding leaves uncertain of F at the coefficients of a fit."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice

import numpy as np

from .._types import Float, Matrix
from ..data.batch import Batch
from ..kernels import linear
from .loss import MeanLoss

LEAST = 1e-8  # nats
_FEW_ROWS = 64
_BLOCK_NUMBERS = 1 << 20


def of_loss(loss: MeanLoss, theta: Float) -> float:
    """By how much rounding may have changed the mean loss at θ (K, D), in nats; 0 if that is less than LEAST.
    Mostly a few rows show this, and no more are read.

    Logits are sums of W_kj x_ij, which cancel where W is large along a direction that rows have little of.
    Where all logits of a row are right to e, its loss is to 2e, and, p being close to q, to about
    e Σ |p − q|, which is small for rows whose class is certain. docs/design/0002, Rounding.
    """
    W, b = loss.coefficients(theta)
    few = (block for batch in loss.source.batches() for block in batch.blocks(_FEW_ROWS))
    if _mean(islice(few, 1), W, b) < LEAST / 10:
        return 0.0
    rows = min(max(_BLOCK_NUMBERS // (4 * len(W) + W.shape[1]), 64), 8192)
    mean = _mean((block for batch in loss.read().batches() for block in batch.blocks(rows)), W, b)
    return mean if mean >= LEAST else 0.0


def _mean(blocks: Iterable[tuple[Matrix, Batch, Float]], W: Float, b: Float) -> float:
    """The weighted mean over rows of what rounding may have changed their losses by, in nats."""
    ulps, sizes = (8 + np.sqrt(W.shape[1])) * np.finfo(float).eps, np.abs(W).T
    total, weights = 0.0, 0.0
    for X, part, weight in blocks:
        e = ulps * (np.asarray(abs(X) @ sizes) + np.abs(b)).max(axis=1)
        if 2 * e.max(initial=0.0) < LEAST / 10:  # as nearly always; what follows could only lower it
            weights += float(weight.sum())
            continue
        P = linear.predict_proba(X, W, b, offset=part.offset)
        off = np.abs(P - part.target_rows(len(W))).sum(axis=1)
        with np.errstate(over="ignore", invalid="ignore"):
            # |p(t) − q| along the way from z to z + e: for a label p_k grows by exp(2e) at most
            moved = np.expm1(2 * e)
            less = moved * off / 2 if part.labels is not None else e * (off + moved)
        total += float(weight @ np.fmin(2 * e, less))
        weights += float(weight.sum())
    return total / weights if weights else 0.0
