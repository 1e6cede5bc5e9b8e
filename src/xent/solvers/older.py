"""The second certificate by a Hessian that was taken at another point: see docs/design/0002."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.linalg.lapack import dpotrf, dpotrs, dtrtri

from .._types import Float
from ..objective import certificate


@dataclass(frozen=True)
class OlderHessian:
    """H₀ (m, m), less a bound on its own rounding, and its Cholesky factor. Coordinates are scaled: `longest`
    bounds ‖x̃_i‖ of every row in them, `reach` the certificate's c."""

    H: Float
    factor: Any
    longest: float
    reach: float

    @staticmethod
    def of(H: Float, longest: float) -> OlderHessian | None:
        """H with its factor; None if it has none and proves nothing. H is taken over, its diagonal
        changed."""
        H.flat[:: len(H) + 1] *= 1 - 4 * len(H) * np.finfo(float).eps
        factor, failed = dpotrf(H, lower=True)
        if failed or not len(H):
            return None
        inverse, _ = dtrtri(factor, lower=True)
        reach = math.sqrt(2) * longest * float(np.linalg.norm(np.tril(inverse)))
        return OlderHessian(H, factor, longest, reach)

    def apart(self, moved: Float) -> float:
        """r: how far the logits of any row have moved apart at most when the coordinates have `moved`."""
        return math.sqrt(2 * float(np.vdot(moved, moved))) * self.longest

    def solve(self, v: Float) -> Float:
        """H₀⁻¹ v by the Cholesky factor."""
        solved: Float = dpotrs(self.factor, v, lower=True)[0]
        return solved

    def gap(self, slope: Float, solved: Float, r: float) -> tuple[float, float]:
        """ν² by H₀ and a bound on F − F* in nats at a point that is r away from where H₀ was taken. `slope`
        (m,) is the (sub)gradient there, `solved` is `solve` of it."""
        size = certificate.norm(slope, solved, self.H, self.solve)
        stretch = math.exp(0.5 * r)
        return size * size, certificate.self_concordant_gap(stretch * size, stretch * self.reach)
