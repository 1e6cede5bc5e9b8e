"""F with a penalty that has corners or bounds: a mean loss plus R of a `Penalty`.

F(θ) = (1/S) Σ s_i ℓ_i + R(θ) in nats, θ (K, D) as in `loss`. A solver uses it as it uses an `Objective`. Its
lower bounds come from the same rows p' (docs/design/0002), with R's conjugate in place of ‖G'‖²/2λ.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .._types import Float
from . import certificate
from .evaluation import Loss
from .loss import MeanLoss, OverRows
from .penalty import Penalty


@dataclass(frozen=True)
class Point:
    """F, the loss and a lower bound on F* at θ; value and bound in nats."""

    loss: Loss
    value: float
    lower_bound: float

    @property
    def gap(self) -> float:
        """F less the lower bound, nats: what this evaluation alone proves of F − F*."""
        return self.value - self.lower_bound

    @property
    def theta(self) -> Float:
        return self.loss.theta

    @property
    def loss_gradient(self) -> Float:
        return self.loss.gradient

    @property
    def exact(self) -> bool:
        return self.loss.exact


@dataclass(frozen=True)
class Composite(OverRows):
    """F = mean loss + R: `loss` is the mean loss, `penalty` is R."""

    loss: MeanLoss
    penalty: Penalty

    def __post_init__(self) -> None:
        super().__init__(self.loss)

    @property
    def is_penalised(self) -> bool:
        """Whether F has a minimum for sure: every coefficient is penalised or bounded on both sides."""
        d, p = self.n_features, self.penalty
        bounded = np.isfinite(p.lower) & np.isfinite(p.upper)
        return bool(((p.l1 > 0) | (p.l2 > 0) | bounded)[:, :d].all())

    @property
    def penalties(self) -> Float:
        """l1 + l2 of every coefficient, (K, D): 0 where nothing penalises it."""
        return self.penalty.l1 + self.penalty.l2

    def start(self) -> Float:
        """The optimum among models without features, moved into the bounds."""
        start = self.loss.start()
        frozen = self.penalty.frozen[:, -1] if self.loss.fit_intercept else np.zeros(1, bool)
        if frozen.any():  # two classes, the first with logit 0
            start[:, -1] -= start[frozen, -1].mean()
        return self.penalty.clip(start)

    def without_shift(self, theta: Float) -> Float:
        """θ less a shift common to all classes, the one for which R is least; the loss does not change."""
        return self.penalty.without_shift(theta)

    def evaluate(self, theta: Float, *, exact: bool = True) -> Point:
        """One pass: F and its lower bound at θ; not `exact` in float32, if X is no wider."""
        return self.at(self.loss.at(theta, exact=exact))

    def at(self, loss: Loss) -> Point:
        """F where the loss is computed already, as at another C."""
        return Point(loss, loss.value + self.penalty.value(loss.theta), self._lower_bound(loss))

    def _lower_bound(self, loss: Loss) -> float:
        mean, d = self.loss, self.n_features
        if not np.isfinite(loss.entropy):
            return 0.0
        probability = loss.probability if mean.fit_intercept else None
        epsilon, entropy = certificate.balanced(loss.entropy, probability, mean.share, mean.offset_moments)
        residual = loss.gradient[:, :d]
        if epsilon > 0:
            residual = (1 - epsilon) * residual - epsilon * mean.class_x
        return self._of_features.dual_bound(entropy, residual)

    @functools.cached_property
    def _of_features(self) -> Penalty:
        """R of the features' coefficients, without the intercept."""
        return self.penalty.take(slice(self.loss.n_features))

    def subgradient(self, at: Point) -> Float:
        """The smallest subgradient of F at a point, (K, D)."""
        return self.penalty.subgradient(at.theta, at.loss_gradient)

    def restricted(self, features: NDArray[np.intp]) -> Composite:
        """F on these features alone, the others at 0."""
        part = self.loss.over(self.loss.source.columns(features))
        return Composite(part, self.penalty.take(self.columns(features)))

    def columns(self, features: NDArray[np.intp]) -> NDArray[np.intp]:
        """The columns of θ that belong to these features, and the intercept's."""
        last = [self.loss.n_features] if self.loss.fit_intercept else []
        return np.append(features, last).astype(np.intp)
