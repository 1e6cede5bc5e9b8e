"""The third certificate: a Kronecker product below the Hessian, for any number of coefficients.

M = (diag π − ππᵀ) ⊗ A + penalty with A = (1/S) Σ s_i μ_i x̃_i x̃_iᵀ, π the class shares and μ_i so that
diag p_i − p_i p_iᵀ ⪰ μ_i (diag π − ππᵀ). The Hessian lies above it, so ν and c of M serve in the second
certificate. Theorem, proof and rounding: docs/design/0002, *A Kronecker product below the Hessian*.

With V diag(g) Vᵀ = diag π − ππᵀ, M⁻¹ is a solve with g_j A + λ for each of the K − 1 eigenvalues g_j > 0.
Rounding g_j down only lowers M: to quarters of powers of two, a few factors serve a thousand classes.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy.linalg import lapack

from .._types import Float
from ..kernels import linear
from . import certificate
from .evaluation import Evaluation
from .ridge import Objective

MAX_FEATURES = 2048  # A and its factors take 32 MiB each
_EPS = float(np.finfo(float).eps)


def suits(objective: Objective) -> bool:
    """Whether there is such an M: A fits, every class has a share, and null directions are those of all
    classes."""
    classes = {len(classes) for classes, _ in objective.null_spaces.spaces}
    return (
        objective.n_classes > 1
        and objective.n_features <= MAX_FEATURES
        and bool(objective.loss.share.min() > 0)
        and classes <= {objective.n_classes}
    )


def gap(objective: Objective, at: Evaluation) -> tuple[float, float]:
    """ν²/2 and a bound on F − F* at a point without shift, in nats: two passes, or three. Both are inf where
    M is singular, the bound alone where M is too far below the Hessian to prove anything."""
    loss, d = objective.loss, objective.n_features
    W, b = objective.coefficients(at.theta)
    A = loss.read().sum(linear.least_curvature, W, b, loss.share, loss.centre, loss.fit_intercept)
    A /= loss.weight
    A[:d, :][loss.constant] = A[:, :d][:, loss.constant] = 0.0
    objective.null_spaces.curve(None, A)
    minorant = Minorant.of(A, loss.share, objective.penalties.min(axis=0))
    decrement = math.inf if minorant is None else minorant.decrement(at.gradient)
    if minorant is None or not math.isfinite(decrement):
        return math.inf, math.inf
    return 0.5 * decrement**2, certificate.gap_within_reach(decrement, loss.reach, minorant.forms())


@dataclass(frozen=True)
class Minorant:
    """M⁻¹ without the shift common to all classes: `vectors` (K, K − 1), and for every one of the few
    `levels` g which of them it serves and g A + λ, factored."""

    vectors: Float
    levels: tuple[tuple[slice, Factored], ...]

    @staticmethod
    def of(A: Float, share: Float, penalties: Float) -> Minorant | None:
        """M of A (D, D), π = share (K,) and the least λ of each coefficient over the classes (D,); None if it
        is singular to working precision."""
        K = len(share)
        g, V = np.linalg.eigh(np.diag(share) - np.outer(share, share))
        g = g[1:] - 4 * K * _EPS * g[-1]  # the first is the shift's, 0
        if g[0] <= 0:
            return None
        levels = np.exp2(np.floor(4 * np.log2(g)) / 4)
        factors = []
        for part in _equal(levels):
            factored = Factored.of(levels[part.start] * A + np.diag(penalties))
            if factored is None:
                return None
            factors.append((part, factored))
        return Minorant(V[:, 1:], tuple(factors))

    def decrement(self, gradient: Float) -> float:
        """ν = √(∇ᵀM⁻¹∇) of a gradient (K, D) without shift, too large if anything."""
        G = self.vectors.T @ gradient
        return math.hypot(*(factored.size(G[part]) for part, factored in self.levels))

    def forms(self) -> Float:
        """F (1, D, D) for `certificate.pairwise_reach`: ‖(e_k − e_l) ⊗ x‖² ≤ 2 xᵀ(gA + λ)⁻¹x, the least g."""
        return self.levels[0][1].inverse()[None] / 2


def _equal(levels: Float) -> Iterator[slice]:
    """The runs of equal numbers."""
    edges = [0, *(np.flatnonzero(np.diff(levels)) + 1), len(levels)]
    return (slice(int(a), int(b)) for a, b in itertools.pairwise(edges))


@dataclass(frozen=True)
class Factored:
    """A matrix H > 0 scaled to unit diagonal, less a bound on its rounding, and its Cholesky factor."""

    H: Float
    scale: Float
    factor: Float

    @staticmethod
    def of(H: Float) -> Factored | None:
        """H with its factor; None if it has none and proves nothing. H is taken over."""
        diagonal = np.diag(H).copy()
        if not (diagonal > np.finfo(float).tiny / _EPS).all():
            return None
        scale = 1 / np.sqrt(diagonal)
        H *= scale[:, None]
        H *= scale
        H.ravel()[:: len(H) + 1] -= 4 * len(H) * _EPS
        factor, failed = lapack.dpotrf(H, lower=True)
        return None if failed else Factored(H, scale, factor)

    def size(self, rows: Float) -> float:
        """√Σ vᵀH⁻¹v over rows v (m, D), too large if anything."""
        v = (rows * self.scale).T
        return certificate.norm(v, self._solve(v), self.H, self._solve)

    def inverse(self) -> Float:
        """H⁻¹ of the matrix as it was given."""
        return self._solve(np.diag(self.scale)) * self.scale[:, None]

    def _solve(self, v: Float) -> Float:
        solved: Float = lapack.dpotrs(self.factor, v, lower=True)[0]
        return solved
