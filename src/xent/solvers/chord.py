"""Newton steps along a sweep whose Hessian serves from point to point and from penalty to penalty.

Design
 a. The loss's Hessian L at a point θ₀ is kept; at another penalty λ only the diagonal of H₀ = L + λ changes.
    A step from θ with H₀ costs a pass and no Hessian, and errs by a share of about e^r − 1, r being how far
    the logits of any row have moved apart on the way from θ₀ to θ.
 b. For the same r, H(θ) ⪰ e^(−r) H₀ (docs/design/0002): so ν(θ)² ≤ e^r ∇ᵀH₀⁻¹∇ makes the second
    certificate where a step has ended, without the Hessian there, and for a start before any step.
 c. r and the certificate's c are bounded by the longest row, in features scaled by the Hessian's diagonal.
    Both enter it only at second order.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from .._types import Float
from ..kernels import linear
from ..objective.ridge import Objective
from .base import Run, Settings, SmoothRun, Solution
from .line_search import weak_wolfe
from .newton import Newton
from .older import OlderHessian
from .rows import Kept, hessian

_MOST_WORK = 3e7  # products of a Hessian and its factor: measured, beyond it L-BFGS is as fast
_FAR = 4.0  # r up to which a step with an old Hessian is tried
_POLISH, _FINE = 3, 1e-8  # steps at most once F is certified, while ν² is above so much of tol
_SLOW = 0.1  # by what a step must lower ν² at least for the next to be taken with the same one


@dataclass(frozen=True)
class Chord:
    """Settings of the solver; `solve` runs it, and hands over its Hessian for the next penalty."""

    settings: Settings
    name: ClassVar[str] = "newton"

    @staticmethod
    def pays(objective: Objective) -> bool:
        """Whether a Hessian, of which a fit takes one or none, costs less than the iterations it spares.
        Every coefficient must be penalised: else a Hessian at another λ differs in more than its diagonal."""
        K, D = objective.shape
        work = objective.n_rows * D * D * K * (K - 1) / 2 + (K * D) ** 3
        return objective.has_hessian and objective.is_penalised and work <= _MOST_WORK

    def solve(self, objective: Objective, theta: Float | None = None, warm: Held | None = None) -> Solution:
        """Minimise from `theta` (K, D), None for `objective.start()`; `warm`: the Hessian of another
        solve."""
        run: SmoothRun = Run.begin(objective, self.settings, objective.start() if theta is None else theta)
        run.state = held = warm
        slope = math.inf  # ν² where the run is, as far as `held` tells
        if held is not None and held.factored(objective):
            slope = held.certify(run)
        # W = 0 tells nothing of the rows, however near F is: a strong penalty's model is its direction.
        if run.certified and theta is not None:
            return run.finish()
        for iteration in range(1, self.settings.max_iter + 1):
            if held is None or not math.isfinite(slope):
                run.state = held = Held.at(objective, run.at.theta, held)
                if not held.factored(objective):  # a penalty that rounding hides behind the curvature
                    return Newton(self.settings).go_on(run)
                slope = held.certify(run)
            new = weak_wolfe(run, held.direction(run.at.gradient), curvature=False)
            if new is not None:
                run.at = new
                before, slope = slope, held.certify(run)
                slope = slope if slope <= _SLOW * before else math.inf
            if run.certified:
                _polish(run, held, slope)
            run.record(iteration)
            run.stuck = new is None and held.theta is run.at.theta
            if run.ended:
                break
            if new is None:
                slope = math.inf
        return run.finish()


def _polish(run: SmoothRun, held: Held, slope: float) -> None:
    """Up to `_POLISH` more steps, one pass each, towards the precision that Newton's last step would have."""
    for _ in range(_POLISH):
        if not _FINE * run.settings.tol < slope < math.inf:
            return
        new = weak_wolfe(run, held.direction(run.at.gradient), curvature=False)
        if new is None or not new.value <= run.at.value:
            return
        run.at, slope = new, held.certify(run)


@dataclass
class Held:
    """The loss's Hessian at θ₀, (K·D, K·D), of features times `scale` (D,), with curvature added along the
    common shifts, on which F does not depend.

    `longest` bounds the length of every row x̃_i times scale; `kept` holds the rows of a small table. The
    factor at the last λ, and its last solution, are cached.
    """

    theta: Float
    loss: Float
    scale: Float
    longest: float
    kept: Kept | None
    _penalty: float = math.nan
    _older: OlderHessian | None = field(default=None, repr=False)
    _solved: tuple[Float, Float] | None = field(default=None, repr=False)

    @staticmethod
    def at(objective: Objective, theta: Float, last: Held | None) -> Held:
        """The Hessian at θ (K, D); scale and rows are those of `last`, if there is one."""
        K, D = objective.shape
        kept = Kept.of(objective.loss) if last is None else last.kept
        H = hessian(objective.loss, theta, kept=kept)
        mean = np.einsum("kjkj->j", H) / K
        gauge = objective._gauge
        H += np.einsum("kj,lj,ji->kjli", gauge, gauge, np.diag(mean * K))
        if last is None:
            scale = 1 / np.sqrt(np.where(mean > 0, mean, 1.0))
            longest = _longest(objective, scale)
        else:
            scale, longest = last.scale, last.longest
        H *= scale[:, None, None]
        H *= scale
        return Held(theta, H.reshape(K * D, K * D), scale, longest, kept)

    def factored(self, objective: Objective) -> bool:
        """Whether H₀ at the objective's λ has a Cholesky factor, which is made here for `certify`."""
        if objective.ridge != self._penalty:
            self._penalty, self._solved = objective.ridge, None
            H, float64 = self.loss.copy(), np.finfo(float)
            H.flat[:: len(H) + 1] += (objective.penalties * self.scale**2).ravel()
            lost = (np.diagonal(H).reshape(-1, len(self.scale)) / self.scale**2).min()
            # Squares that have underflowed prove nothing.
            self._older = None if lost < float64.tiny / float64.eps else OlderHessian.of(H, self.longest)
        return self._older is not None

    def _solve(self, gradient: Float) -> Float:
        """H₀⁻¹ times the gradient, in scaled features, (K·D,)."""
        assert self._older is not None
        if self._solved is None or self._solved[0] is not gradient:
            self._solved = gradient, self._older.solve((gradient * self.scale).ravel())
        return self._solved[1]

    def direction(self, gradient: Float) -> Float:
        """−H₀⁻¹ times the gradient, (K, D)."""
        return -self._solve(gradient).reshape(gradient.shape) * self.scale

    def certify(self, run: SmoothRun) -> float:
        """The second certificate where the run is, and a bound on ν² there; +inf beyond `_FAR`."""
        assert self._older is not None
        r = self._older.apart((run.at.theta - self.theta) / self.scale)
        if not r <= _FAR:
            return math.inf
        gradient = run.at.gradient
        slope, gap = self._older.gap((gradient * self.scale).ravel(), self._solve(gradient), r)
        run.raise_bound(run.at.value - gap)
        return slope


def _longest(objective: Objective, scale: Float) -> float:
    """The length of the longest row x̃_i that counts, its features times `scale`; one pass."""
    longest = 0.0
    for batch in objective.loss.read().batches():
        for X, _, _ in batch.blocks(8192):
            rows = linear.augmented(X, objective.loss.centre, objective.fit_intercept)
            rows *= scale
            longest = max(longest, float(np.einsum("ij,ij->i", rows, rows).max()))
    return math.sqrt(longest)
