"""Solvers: frozen settings in, `Solution` out."""

from __future__ import annotations

from ..objective import Objective
from ._base import Progress, Result, Settings, Solution
from .lbfgs import LBFGS
from .newton import Newton

__all__ = ["LBFGS", "Newton", "Progress", "Result", "Settings", "Solution", "choose"]

SOLVERS = {"lbfgs": LBFGS, "newton": Newton}


def choose(name: str, objective: Objective, settings: Settings) -> LBFGS | Newton:
    """The solver called `name`; "auto" weighs about 10 Newton steps against about 80 L-BFGS passes."""
    if name != "auto":
        return SOLVERS[name](settings)
    if not objective.has_hessian:
        return LBFGS(settings)
    coefficients = objective.shape[0] * objective.shape[1]
    # Flops at speeds seen on two cores (BLAS 50e9, fused pass 30e9 a second), and what one round of
    # Python costs beside them. Only the ratio matters, and only far from 1 does it matter much.
    step = (objective.n_rows * coefficients**2 + 2 * coefficients**3) / 50e9 + 1e-3
    one_pass = 4 * objective.n_rows * coefficients / 30e9 + 4e-4
    return Newton(settings) if 10 * step < 80 * one_pass else LBFGS(settings)
