"""What an objective tells a solver of a point."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from .._types import Float


@dataclass(frozen=True)
class Evaluation:
    """F, its gradient and a lower bound on F*, all at θ; value and bound in nats. The bound is None where
    F has none: "no certificate exists".

    Computed in float32 (not `exact`) all of it is good to about 1e-7 of its terms, and the bound proves
    nothing.
    """

    theta: Float
    value: float
    gradient: Float
    lower_bound: float | None
    exact: bool = True

    @property
    def gap(self) -> float:
        """What this alone proves of F − F*."""
        return math.inf if self.lower_bound is None else self.value - self.lower_bound


@dataclass(frozen=True)
class Loss:
    """(1/S) Σ s_i ℓ_i in nats and its gradient (K, D) at θ, and what the dual bound needs besides: ⟨gradient,
    θ⟩, the mean probabilities p̄ (K,), and what rounding may have taken off `entropy`."""

    theta: Float
    value: float
    gradient: Float
    inner: float
    probability: Float
    rounding: float
    exact: bool

    @property
    def entropy(self) -> float:
        """(1/S) Σ s_i [H(p_i) + ⟨p_i − y_i, o_i⟩], less its rounding.

        Σ s H(p_i) = Σ s ℓ_i − Σ s ⟨p_i − y_i, z_i⟩, and the last sum is ⟨gradient, θ⟩. At a wild trial point
        that is a small difference of huge numbers: without the rounding, offsets of 100 gave certificates 30
        nats wrong.
        """
        return self.value - self.inner - self.rounding


@dataclass(frozen=True)
class NewtonStep:
    """The solution of H Δ = −∇F at a θ, ν = √(∇ᵀH⁻¹∇), and H⁻¹ on demand."""

    direction: Float
    decrement: float
    inverse: Callable[[], Float]
