"""The quadratic model of the loss; a proximal step goes to the minimum of the model plus the penalty.

B = one block of the Hessian per class, corrected by the pairs of L-BFGS in compact form: B − Ψ M Ψᵀ with
Ψ = [B S, Y], M⁻¹ = [[SᵀB S, L], [Lᵀ, −D]] (R. Byrd, J. Nocedal, R. Schnabel, Math. Program. 63 (1994)). The
blocks hold the coordinates that may move: all of them where that fits, else those that are not 0 or nearly
break their optimality condition. Where the Hessian of all classes is cheap, it is one block, and the
model is exact to second order. It is minimised by coordinate descent in the native code, penalty and bounds
included exactly.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._types import Array, Float, Index
from ..kernels import native
from ..kernels.threads import blas_for
from ..objective.composite import Composite, Point
from . import faces
from .blocks import MAX_BYTES, MIXED
from .older import OlderHessian
from .rows import Kept, centred, gathered, heaviest_rows, hessian, probabilities

_PAIRS = 8  # 16 columns of Ψ
_SINGLE_ABOVE = 128  # coordinates of a class: larger blocks are kept in float32
_NEAR = 0.85  # coordinates at 0 whose gradient is beyond so much of l1 are let in
_FEWEST_ROWS = 128
_MOST_FEATURES = 2048  # beyond, their mean curvature's diagonal stands for it
_SWEEPS, _ENOUGH, _FACES = 30, 0.05, 20
_SWEEPS_EXACT = 100
# Of the first sweep's fall: where the model is F's own, steps end quickly only at its very minimum.
_EXACT = 1e-12
_RIDGE = 1e-6
_IN_DOUBT = 0.01  # times l1: a gradient that is off by more leaves open which coefficients are 0
_FAR = 4.0  # r up to which a Hessian is asked what it proves elsewhere
_TINY = float(np.finfo(float).tiny / np.finfo(float).eps)  # squares below it have underflowed
_CHEAP = 6  # passes for which an exact block is worth taking at nearly every step, without pairs
_SAVED = 30  # iterations that a Hessian of all classes saves against blocks of each


class Quadratic:
    """The model: `refresh` takes blocks at a point, `add` keeps a pair, `minimiser` solves for the next
    point.

    Only the choice of coordinates depends on the penalty, so a path of penalties shares one model.
    """

    def __init__(self, composite: Composite) -> None:
        self.composite = composite
        self._pairs: tuple[tuple[Float, Float], ...] = ()
        self._images: list[Float] | None = None  # of the pairs' steps, made when they are wanted
        self._older: OlderHessian | None = None
        self._scale: Any = None
        self._chosen: list[NDArray[np.intp]] = []  # the coordinates of every class
        self._lists: list[NDArray[np.intp]] = []  # of every block
        self.steps = 0  # since the blocks were taken
        self._joint = False
        self.alone = False  # whether the block does without pairs
        self._everything = self.fits(composite)
        stored = composite.loss.source.stored
        self._pass = 4 * stored * composite.n_classes / 30e9 + 5e-4  # seconds, the Python around it included
        self._free = [np.flatnonzero(free) for free in ~composite.penalty.frozen]
        self._price = self._price_of(sum(map(len, self._free)), composite.shape[1])
        self._cheap = self._everything and self._price <= _CHEAP
        self._kept = Kept.of(composite.loss) if self._cheap else None

    @staticmethod
    def fits(composite: Composite) -> bool:
        """Whether blocks of all coordinates fit."""
        K, D = composite.shape
        return 4 * K * D * D <= MAX_BYTES and D <= _MOST_FEATURES

    def of(self, composite: Composite) -> Quadratic:
        """The model for another penalty of the same loss. What the copy learns does not change this one."""
        other = copy.copy(self)  # nothing in it is changed in place
        other.composite = composite
        return other

    @property
    def is_stale(self) -> bool:
        """Whether steps or pairs have come in since the blocks were taken."""
        return self.steps > 1 or bool(self._pairs)

    def forget(self) -> None:
        """Drop all pairs."""
        self._pairs, self._images = (), None

    def covers(self, at: Point) -> bool:
        """Whether the blocks hold all coordinates that have to move."""
        if not self._lists:
            return False
        if len(self._index) == sum(map(len, self._free)):
            return True
        outside = np.ones(self.composite.shape, bool)
        outside.ravel()[self._index] = False
        must = (at.theta != 0) | (self.composite.subgradient(at) != 0)
        return not (must & outside & ~self.composite.penalty.frozen).any()

    def refresh(self, at: Point) -> None:
        """Take the blocks at a point: one for all classes, which is exact, where that is cheap; else one per
        class."""
        lists, D = self._free if self._cheap else self._candidates(at), self.composite.shape[1]
        if lists is not self._chosen:
            self._chosen = lists
            self._index = np.concatenate([k * D + mine for k, mine in enumerate(lists)])
            own_class, column = np.divmod(self._index, D)
            self._columns = np.unique(column)
            self._places = own_class * len(self._columns) + np.searchsorted(self._columns, column)
        self._price = self._price_of(len(self._index), len(self._columns))
        joint = self._joint = self._price < _SAVED
        self._lists = [self._index] if joint else lists
        self._start = np.cumsum([0, *map(len, self._lists)]).astype(np.int64)
        if joint:
            self._blocks = [self._joint_block(at.theta, lists)]
        else:
            dtype = np.float32 if max(map(len, lists)) > _SINGLE_ABOVE else np.float64
            self._blocks = [block.astype(dtype, copy=False) for block in self._class_blocks(at.theta, lists)]
        self._flat = np.concatenate([block.ravel() for block in self._blocks])
        self.alone = joint and self._price <= _CHEAP
        self._images = self._older = None
        self._taken = at.theta
        self.steps = 0

    def proves(self, at: Point) -> float:
        """A lower bound on F* in nats by the last Hessian; −inf where there is none.

        There is one on a small table of two classes, one of them held at 0, once it is settled which
        coefficients are 0. With more classes a subgradient without the common shift would be needed, which
        their Hessian does not see; none is computed.
        """
        if self._older is None:
            self._older = self._hold()
        if self._older is None:
            return -np.inf
        slope, penalty = self.composite.subgradient(at), self.composite.penalty
        if (np.abs(slope) > _IN_DOUBT * penalty.l1)[penalty.l1 > 0].any():
            return -np.inf
        moved = (at.theta - self._taken).ravel()[self._index] / self._scale
        slope = slope.ravel()[self._index] * self._scale
        r = self._older.apart(moved)
        return at.value - self._older.gap(slope, self._older.solve(slope), r)[1] if r <= _FAR else -np.inf

    def _hold(self) -> OlderHessian | None:
        """The last Hessian with its penalty and factor, for `proves`; None where it proves nothing."""
        penalty, kept = self.composite.penalty, self._kept
        if kept is None or self.composite.n_classes > 2 or not penalty.holds_shift:
            return None
        diagonal = np.diagonal(self._blocks[0]) / (1 + _RIDGE) + penalty.l2.ravel()[self._index]
        loss = self.composite.loss
        constant = np.append(loss.constant, np.zeros(int(loss.fit_intercept), bool))
        # F does not know the coefficient of a constant, nor has its gradient anything there.
        diagonal = np.where(constant[self._index % len(constant)], 1.0, diagonal)
        if not (diagonal > _TINY).all():
            return None
        if self._scale is None:
            self._scale = 1 / np.sqrt(diagonal)
            scale = np.zeros(kept.X.shape[1])
            scale[self._index % len(scale)] = self._scale  # of every column one class at most is free
            rows = kept.X * scale
            self._longest = math.sqrt(float(np.einsum("ij,ij->i", rows, rows).max(initial=0.0)))
        H = self._blocks[0].copy()
        H.flat[:: len(H) + 1] = diagonal
        H *= self._scale[:, None] * self._scale
        return OlderHessian.of(H, self._longest)

    def _price_of(self, size: int, columns: int) -> float:
        """The cost, in passes, of the Hessian of `size` coordinates in `columns` columns."""
        K = self.composite.n_classes
        return self.composite.n_rows * min(size**2, K * (K - 1) // 2 * columns**2) / 15e9 / self._pass

    @property
    def has_served(self) -> bool:
        """Whether an exact block costs a few passes at most, and has served for as many."""
        return self._cheap or self.steps >= self._price <= _CHEAP

    def _joint_block(self, theta: Float, lists: list[NDArray[np.intp]]) -> Float:
        """The Hessian of the coordinates in `lists`: by pairs of classes, or, where most classes have columns
        of their own, in one product. In that product each class's block is summed from its own weights p (1 −
        p), because diag p − p pᵀ would cancel where a class is all but certain."""
        loss, K = self.composite.loss, self.composite.n_classes
        size = len(self._index)
        columns = self._columns
        if K * (K - 1) // 2 * len(columns) ** 2 <= size**2:
            H = hessian(loss, theta, columns, self._kept).reshape(K * len(columns), -1)
            if size < len(H):
                H = H[self._places[:, None], self._places]
            H.flat[:: size + 1] *= 1 + _RIDGE
            return H
        block = np.zeros((size, size))
        starts = np.cumsum([0, *map(len, lists)])
        inside = [np.searchsorted(columns, mine) for mine in lists]
        for rows, P in probabilities(loss, theta, size + len(columns)):
            X = centred(loss, rows, np.dtype(np.float64), columns)
            weighted = np.empty((len(X), size))
            own = []
            for k, place in enumerate(inside):
                mine = X[:, place]
                part = slice(starts[k], starts[k + 1])
                weighted[:, part] = mine * P[1][:, k, None]
                mine *= np.sqrt(P[0] * P[1][:, k] * (1 - P[1][:, k]))[:, None]
                own.append((part, mine.T @ mine))
            weighted *= np.sqrt(P[0])[:, None]
            with blas_for(2 * len(X) * size**2):
                product = weighted.T @ weighted
            for part, square in own:
                product[part, part] = -square
            block -= product
        block /= loss.weight
        block[np.diag_indices_from(block)] *= 1 + _RIDGE
        return block

    def _candidates(self, at: Point) -> list[NDArray[np.intp]]:
        """For every class the coordinates that blocks at this point should hold."""
        K, D = self.composite.shape
        penalty = self.composite.penalty
        slope = self.composite.subgradient(at)
        # By how much each breaks its condition, or how near it is to breaking it.
        with np.errstate(divide="ignore", invalid="ignore"):
            if penalty.grouped:
                size = np.linalg.norm(at.loss_gradient, axis=0) / penalty.l1[0]
                near = np.broadcast_to(np.nan_to_num(size, posinf=2.0), (K, D))
            else:
                near = np.nan_to_num(np.abs(at.loss_gradient) / penalty.l1, posinf=2.0)
        wanted = ((at.theta != 0) | (slope != 0) | (near > _NEAR)) & ~penalty.frozen
        if penalty.grouped:
            wanted = np.broadcast_to(wanted.any(axis=0), (K, D)) & ~penalty.frozen
            slope = np.broadcast_to(np.linalg.norm(slope, axis=0), (K, D))  # a group goes in as a whole
        price = self._price_of(int(np.count_nonzero(wanted)), int(np.count_nonzero(wanted.any(axis=0))))
        if self._everything and price >= _SAVED:
            return [np.flatnonzero(free) for free in ~penalty.frozen]
        most = max(int(np.sqrt(MAX_BYTES / (4 * K))), 64)
        lists = []
        for k in range(K):
            mine = np.flatnonzero(wanted[k])
            if len(mine) > most:
                rank = np.abs(slope[k, mine]) + (mine >= D - 1) * 1e300
                mine = np.sort(mine[np.argpartition(-rank, most)[:most]])
            lists.append(mine)
        return lists

    def _class_blocks(self, theta: Float, lists: list[NDArray[np.intp]]) -> Iterator[Array]:
        """One block per class, from its heaviest rows; the part of the others is shaped like the mean
        curvature."""
        loss = self.composite.loss
        D, longest = loss.shape[1], max(map(len, lists))
        dtype = np.dtype(np.float32 if longest > _SINGLE_ABOVE else np.float64)
        base = self._mean_curvature().astype(dtype)
        chosen, total = heaviest_rows(loss, theta, max(longest, _FEWEST_ROWS))
        rows_of = gathered(loss, [index for index, _ in chosen])
        for k, (mine, (_, weight), everything) in enumerate(zip(lists, chosen, total, strict=True)):
            X = centred(loss, rows_of(k), dtype, mine)
            X *= np.sqrt(weight / loss.weight)[:, None].astype(dtype)
            rest = (max(everything - weight.sum(), 0.0) + MIXED * everything) / loss.weight
            block = X.T @ X
            if base.ndim == 1:
                block[np.diag_indices_from(block)] += base[mine] * dtype.type(rest)
            else:
                block += (base if len(mine) == D else base[np.ix_(mine, mine)]) * dtype.type(rest)
            yield block

    def _mean_curvature(self) -> Float:
        """The mean curvature of the features, (D, D), or its diagonal (D,) for many features."""
        loss, d = self.composite.loss, self.composite.loss.n_features
        if d > _MOST_FEATURES:
            return np.append(loss.feature_curvature_diagonal(), np.ones(int(loss.fit_intercept)))
        base = np.eye(loss.shape[1])
        base[:d, :d] = loss.feature_curvature
        return base

    def _times(self, s: Float) -> Float:
        """The blocks' product with a step, as a vector of their coordinates."""
        inside = s.ravel()[self._index]
        parts = (
            block @ inside[a:b].astype(block.dtype)
            for block, a, b in zip(self._blocks, self._start, self._start[1:], strict=False)
        )
        return np.concatenate([*parts]).astype(np.float64)

    def add(self, s: Float, y: Float) -> None:
        """Keep a step and what it changed of the gradient."""
        image = self._times(s)
        bends = float(s.ravel()[self._index] @ image)
        if float(np.vdot(s, y)) > 1e-8 * bends > 0:
            self._pairs = (*self._pairs[1 - _PAIRS :], (s, y))
            self._images = None

    def _low_rank(self) -> tuple[Float, Float]:
        """Ψ and Ψ M of the pairs, (size, rank) each; rank 0 without pairs."""
        size, n = len(self._index), 0 if self.alone else len(self._pairs)
        psi = np.zeros((size, 2 * _PAIRS if n else 0))
        if not n:
            return psi, psi
        S = np.array([s.ravel()[self._index] for s, _ in self._pairs])
        Y = np.array([y.ravel()[self._index] for _, y in self._pairs])
        if self._images is None:
            self._images = [self._times(s) for s, _ in self._pairs]
        BS = np.array(self._images)
        SY = S @ Y.T
        core = np.block([[S @ BS.T, np.tril(SY, -1)], [np.tril(SY, -1).T, -np.diag(np.diag(SY))]])
        unit = 1 / np.sqrt(np.maximum(np.abs(np.diag(core)), np.finfo(float).tiny))
        psi[:, : 2 * n] = np.concatenate([BS, Y]).T * unit
        dual = np.zeros_like(psi)
        try:
            dual[:, : 2 * n] = np.linalg.solve(core * unit * unit[:, None], psi[:, : 2 * n].T).T
        except np.linalg.LinAlgError:
            return np.zeros((size, 0)), np.zeros((size, 0))
        return psi, dual

    def minimiser(self, at: Point) -> Float:
        """θ (K, D) at about the minimum of the model plus R."""
        penalty, index = self.composite.penalty, self._index
        psi, dual = self._low_rank()
        parts = np.array([a.ravel()[index] for a in (penalty.l2, penalty.l1, penalty.lower, penalty.upper)])
        theta = at.theta.copy()
        w = theta.ravel()[index]
        groups = self._groups() if penalty.grouped else None
        gradient = at.loss_gradient.ravel()[index]
        joint = len(self._blocks) == 1
        exactly = self.alone and groups is None
        enough, sweeps = (_EXACT, _SWEEPS_EXACT) if exactly else (_ENOUGH, _SWEEPS)
        model = self._blocks[0] if self.alone or not joint else self._blocks[0] - psi @ dual.T
        start, slope = w.copy(), gradient
        for _ in range(_FACES if joint else 1):
            before = w.copy()
            arguments = (psi, dual, parts, gradient, w, groups, enough, sweeps)
            if native.descend(self._start, self._flat, *arguments) < sweeps or not joint:
                break
            # Nearly collinear features: a solve on the face that sweeps have found spares a thousand more.
            gradient = gradient + model @ (w - before)
            if groups is None:
                step = faces.along_face(model, parts, gradient, w)
            else:
                step = faces.along_groups(model, parts, gradient, w, groups)
            gradient = gradient + model @ step
            if exactly and faces.fall(model, parts, gradient, w) <= enough * faces.fall(
                model, parts, slope, start
            ):
                break
        theta.ravel()[index] = w
        self.steps += 1
        return theta

    def _groups(self) -> tuple[Index, Index]:
        """Groups of coordinates by feature: where each group starts, and the members in order."""
        D, d = self.composite.shape[1], self.composite.loss.n_features
        feature = self._index % D
        # An intercept is nobody's group: each stands alone.
        feature = np.where(feature == d, d + self._index, feature)
        order = np.argsort(feature, kind="stable").astype(np.int64)
        starts = np.flatnonzero(np.diff(feature[order], prepend=-1))
        return np.append(starts, len(order)).astype(np.int64), order
