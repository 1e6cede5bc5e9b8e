"""Solvers: frozen settings in, `Solution` out."""

from __future__ import annotations

from typing import Any

from ..objective.composite import Composite
from ..objective.ridge import Objective
from . import short
from .base import Progress, Result, Settings, Solution, newton_pays
from .lbfgs import LBFGS
from .newton import Newton
from .proximal import Proximal
from .quadratic import Quadratic
from .sweep import Sweep
from .working_set import WorkingSet

__all__ = [
    "LBFGS",
    "Newton",
    "Progress",
    "Proximal",
    "Result",
    "Settings",
    "Solution",
    "Sweep",
    "WorkingSet",
    "choose",
]

SOLVERS = {"lbfgs": LBFGS, "newton": Newton}


def choose(name: str, objective: Objective | Composite, settings: Settings) -> Any:
    """The solver called `name`; "auto" is Newton where that pays, else L-BFGS.

    Penalties with corners and bounds have their own: on all features where the Hessian's blocks fit, else on
    those that matter.
    """
    if isinstance(objective, Composite):
        return Proximal(settings) if Quadratic.fits(objective) else WorkingSet(settings)
    if name != "auto":
        return SOLVERS[name](settings)
    if newton_pays(objective) and not short.pays(objective):
        return Newton(settings)
    return LBFGS(settings)
