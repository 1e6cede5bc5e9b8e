"""Solvers: frozen settings in, `Solution` out."""

from __future__ import annotations

from ..objective import Objective
from ._base import Progress, Result, Settings, Solution, hessian_price
from .lbfgs import LBFGS
from .newton import Newton

__all__ = ["LBFGS", "Newton", "Progress", "Result", "Settings", "Solution", "choose"]

SOLVERS = {"lbfgs": LBFGS, "newton": Newton}


def choose(name: str, objective: Objective, settings: Settings) -> LBFGS | Newton:
    """The solver called `name`; "auto" weighs about 10 Newton steps against about 80 L-BFGS passes."""
    if name != "auto":
        return SOLVERS[name](settings)
    newton = objective.has_hessian and 10 * hessian_price(objective) < 80
    return Newton(settings) if newton else LBFGS(settings)
