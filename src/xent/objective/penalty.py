"""The part of F that is not the loss: elastic net, a group lasso over classes, bounds on coefficients.

R(θ) = Σ_kj [½ l2_kj θ_kj² + l1_kj |θ_kj|] where lower ≤ θ ≤ upper, +inf elsewhere; grouped, l1_j ‖θ_:j‖₂ for
feature j takes the place of Σ_k l1_kj |θ_kj|, so that a feature is in or out for all classes at once. In
nats. Source of conjugates and optimality conditions: S. Boyd, L. Vandenberghe, "Convex Optimization" (2004),
3.3.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from .._types import Bool, Float


@dataclass(frozen=True)
class Penalty:
    """l2, l1, lower and upper, all (K, D), 0 or infinite for an intercept. `grouped`: see above; l1 is then
    the same for all classes, and there are no bounds."""

    l2: Float
    l1: Float
    lower: Float
    upper: Float
    grouped: bool = False

    @staticmethod
    def elastic_net(
        penalties: Float,
        l1_ratio: float,
        bounds: tuple[Float, Float] | None = None,
        *,
        grouped: bool = False,
    ) -> Penalty:
        """R = (1 − r)/2 θ² + r |θ|, times `penalties` (K, D); r is `l1_ratio`."""
        infinite = np.broadcast_to(np.inf, penalties.shape)
        lower, upper = (np.broadcast_to(-np.inf, penalties.shape), infinite) if bounds is None else bounds
        l2, l1 = _times(1 - l1_ratio, penalties), _times(l1_ratio, penalties)
        return Penalty(l2, l1, lower, upper, grouped)

    def scaled(self, factor: float) -> Penalty:
        """The penalty with l1 and l2 times a factor, as for another C."""
        return replace(self, l2=_times(factor, self.l2), l1=_times(factor, self.l1))

    def take(self, columns: NDArray[np.intp] | slice) -> Penalty:
        """The penalty of these columns of θ only."""
        l2, l1, lower, upper = (a[:, columns] for a in (self.l2, self.l1, self.lower, self.upper))
        return Penalty(l2, l1, lower, upper, self.grouped)

    @functools.cached_property
    def frozen(self) -> Bool:
        """(K, D): which coefficients have a lower bound equal to the upper."""
        frozen: Bool = self.lower == self.upper
        return frozen

    @functools.cached_property
    def holds_shift(self) -> bool:
        """Whether bounds leave no room for a shift common to all classes in any column: of two classes the
        first is held."""
        return bool(self.frozen.any(axis=0).all())

    @functools.cached_property
    def _flat_conjugate(self) -> bool:
        """Whether the conjugate R* is 0 where it is finite: no l2, and no bound but 0 and ±inf."""
        sides = np.concatenate([self.lower, self.upper])
        return not (self.l2.any() or (np.isfinite(sides) & (sides != 0)).any())

    @functools.cached_property
    def _open(self) -> tuple[Bool, Bool]:
        """(K, D): where R* is infinite beyond l1, for v > 0 and for v < 0."""
        return (self.l2 == 0) & np.isinf(self.upper), (self.l2 == 0) & np.isinf(self.lower)

    def value(self, theta: Float) -> float:
        """R(θ) within the bounds."""
        sizes = np.linalg.norm(theta, axis=0) if self.grouped else np.abs(theta)
        l1 = self.l1[0] if self.grouped else self.l1
        return float(np.vdot(l1, sizes)) + 0.5 * float(np.vdot(self.l2 * theta, theta))

    def change(self, before: Float, after: Float) -> float:
        """R(after) − R(before), coefficient by coefficient: right where only last digits differ."""
        step, l1 = after - before, self.l1[0] if self.grouped else self.l1
        if self.grouped:
            sizes = [np.linalg.norm(theta, axis=0) for theta in (before, after)]
            total = np.where(sizes[0] + sizes[1] > 0, sizes[0] + sizes[1], 1.0)
            grows = np.einsum("kj,kj->j", step, before + after) / total
        else:
            grows = np.abs(after) - np.abs(before)
        return float(np.vdot(l1, grows)) + 0.5 * float(np.vdot(self.l2 * step, before + after))

    def without_shift(self, theta: Float) -> Float:
        """θ − t within the bounds, t (D,) the shift common to all classes for which R is least.

        The loss does not know such shifts, and blocks of one class each hardly see them: left to coordinate
        descent, L1 on 30 features and 3 classes took 1000 steps at weak penalties, and 25 without the shift.
        """
        if self.grouped:
            mean: Float = theta.mean(axis=0)
            return theta - mean
        if self.holds_shift:
            return theta
        # The slopes of R(θ − t) at t = 0, to the left and right: most columns have least R where they are.
        signed = self.l1 * np.where(theta > 0, -1.0, 1.0)
        drawn = np.einsum("kj,kj->j", self.l2, theta)
        right, left = signed.sum(axis=0) - drawn, (signed - 2 * self.l1 * (theta == 0)).sum(axis=0) - drawn
        # Level: between the middle two of an even number L1 is the same, and one of them may as well be 0.
        level = (np.maximum(right, -left) <= 1e-12 * self.l1.sum(axis=0)) & ~self.l2.any(axis=0)
        off = np.flatnonzero((left > 0) | (right < 0) | level)
        if not len(off):
            return theta
        x, part = theta[:, off], self.take(off)
        t = np.clip(part._least_shift(x), (x - part.upper).max(axis=0), (x - part.lower).min(axis=0))
        theta = theta.copy()
        theta[:, off] = part.clip(x - t)
        return theta

    def _least_shift(self, theta: Float) -> Float:
        """argmin over t of R(θ − t), (D,), bounds aside; the mean where nothing is penalised.

        Example: one column with θ = (0, 1, 5), l1 = 1 for all and l2 = 0. R(θ − t) = |t| + |1 − t| + |5 − t|
        is least at the median, t = 1.
        """
        order = np.argsort(theta, axis=0)
        x, l1 = (np.take_along_axis(a, order, axis=0) for a in (theta, self.l1))
        l2, drawn = self.l2.sum(axis=0), np.einsum("kj,kj->j", self.l2, theta)
        below = np.cumsum(l1, axis=0) - l1  # Σ l1 of the smaller ones
        slope = l2 * x - drawn + 2 * below - l1.sum(axis=0)  # of R(θ − t) to the left of t = x: it rises
        first = (slope + 2 * l1 >= 0).argmax(axis=0)[None]
        corner, before = (np.take_along_axis(a, first, axis=0)[0] for a in (x, slope))
        # The least is at the first corner where R rises to the right, or before it, if R rises there, too.
        inner = corner - np.maximum(before, 0.0) / np.where(l2 > 0, l2, np.inf)
        least: Float = np.where((l2 > 0) | (l1.sum(axis=0) > 0), inner, theta.mean(axis=0))
        return least

    def clip(self, theta: Float) -> Float:
        """The point within the bounds that is nearest to θ."""
        clipped: Float = np.clip(theta, self.lower, self.upper)
        return clipped

    def subgradient(self, theta: Float, gradient: Float) -> Float:
        """The smallest element of ∇loss + ∂R at θ, (K, D): 0 everywhere at the optimum, and only there."""
        g = gradient + self.l2 * theta
        if self.grouped:
            norm = np.linalg.norm(theta, axis=0)
            size = np.linalg.norm(g, axis=0)
            left = np.maximum(1 - self.l1[0] / np.where(size > 0, size, 1.0), 0.0)
            live = norm > 0
            grouped: Float = np.where(live, g + self.l1[0] * theta / np.where(live, norm, 1.0), g * left)
            return grouped
        below = g - self.l1 * np.where(theta > 0, -1.0, 1.0)  # the slope to the left,
        above = g + self.l1 * np.where(theta < 0, -1.0, 1.0)  # and to the right
        below = np.where(theta <= self.lower, -np.inf, below)
        above = np.where(theta >= self.upper, np.inf, above)
        return np.where(below > 0, below, np.where(above < 0, above, 0.0))

    def least_scale(self, gradient: Float) -> float:
        """The largest 1/λ for which λ times this penalty holds all that it penalises by l1 at 0, where the
        loss has this gradient; +inf if every λ does."""
        with np.errstate(divide="ignore", invalid="ignore"):
            if self.grouped:
                scale = self.l1[0] / np.linalg.norm(gradient, axis=0)
                free = self.l1[0] > 0
            else:
                scale = self.l1 / np.abs(gradient)
                free = (self.l1 > 0) & np.where(gradient > 0, self.lower < 0, self.upper > 0)
        return float(np.min(scale, where=free & ~np.isnan(scale), initial=np.inf))

    def dual_bound(self, entropy: float, gradient: Float) -> float:
        """A lower bound on F* in nats: the best of c·entropy − R*(−c·gradient) over 0 ≤ c ≤ 1.

        c = 1 is the dual value of probabilities whose residuals have this gradient. c < 1 mixes the labels
        in, which shrinks the gradient until R* is finite: without an l2, R* is infinite beyond l1.
        Derivation: docs/design/0002. Example: one coefficient, l1 = 1, l2 = 0, no bounds, entropy 0.6,
        gradient 1.5. R* is 0 up to 1 and infinite beyond, so c = 1/1.5, and the bound is 0.6/1.5 = 0.4.
        """
        reach = self._reach(-gradient)
        c = 1.0 if reach <= 1 else (1 - 1e-15) / reach
        if self._flat_conjugate:
            return max(0.0, c * entropy)
        best, slope = self._dual(entropy, -gradient, c)
        # Concave in c: where it falls at the end, its maximum lies before.
        low, high = 0.0, c
        for _ in range(8 if slope < 0 else 0):
            c = 0.5 * (low + high)
            value, slope = self._dual(entropy, -gradient, c)
            best = max(best, value)
            low, high = (c, high) if slope > 0 else (low, c)
        return max(0.0, best) if math.isfinite(best) else 0.0

    def _reach(self, v: Float) -> float:
        """The least divisor of v for which R*(v) is finite."""
        with np.errstate(divide="ignore", invalid="ignore"):
            if self.grouped:
                ratio = np.linalg.norm(v, axis=0) / self.l1[0]
                open_ = self.l2.min(axis=0) == 0
            else:
                ratio = np.abs(v) / self.l1
                open_ = np.where(v > 0, *self._open)
        return float(np.max(ratio, where=open_ & ~np.isnan(ratio), initial=0.0))

    def _dual(self, entropy: float, v: Float, c: float) -> tuple[float, float]:
        """c·entropy − R*(c·v) and its slope in c."""
        w = self._maximiser(c * v)
        along = float(np.vdot(w, v))
        return c * (entropy - along) + self.value(w), entropy - along

    def _maximiser(self, v: Float) -> Float:
        """argmax over θ of ⟨v, θ⟩ − R(θ)."""
        if self.grouped:
            size = np.linalg.norm(v, axis=0)
            left = np.maximum(1 - self.l1[0] / np.where(size > 0, size, 1.0), 0.0)
            l2 = self.l2.max(axis=0)
            return np.where(l2 > 0, left * v / np.where(l2 > 0, l2, 1.0), 0.0)
        past = np.sign(v) * np.maximum(np.abs(v) - self.l1, 0.0)
        inner = past / np.where(self.l2 > 0, self.l2, 1.0)
        ends = np.where(past > 0, self.upper, np.where(past < 0, self.lower, 0.0))
        ends = np.where(np.isinf(ends), 0.0, ends)  # rounding of what was divided to lie within l1
        return self.clip(np.where(self.l2 > 0, inner, ends))


def _times(factor: float, a: Float) -> Float:
    """factor · a, where one row broadcast to all classes stays one row in memory."""
    return np.broadcast_to(factor * a[0], a.shape) if a.strides[0] == 0 else factor * a
