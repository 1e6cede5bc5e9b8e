"""Solvers: frozen settings in, `Solution` out, and in it the state from which another solve may go on."""

from __future__ import annotations

from collections.abc import Callable

from ..objective.composite import Composite
from ..objective.ridge import Objective
from . import short
from .base import Progress, Result, Settings, Solution, Solver, newton_pays
from .lbfgs import LBFGS
from .newton import Newton
from .proximal import Proximal
from .quadratic import Quadratic
from .sweep import State as SweepState
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
    "Solver",
    "Sweep",
    "SweepState",
    "WorkingSet",
    "choose",
]

SOLVERS: dict[str, Callable[[Settings], Solver]] = {"lbfgs": LBFGS, "newton": Newton}


def choose(name: str, objective: Objective | Composite, settings: Settings, *, sweep: bool = False) -> Solver:
    """The solver called `name`; "auto" is Newton where that pays, else L-BFGS. `sweep`: a solver for
    many penalties, each solved from the state of the last.

    Penalties with corners and bounds have solvers of their own: on all features where the Hessian's blocks
    fit, else on those that matter.
    """
    if isinstance(objective, Composite):
        return Proximal(settings) if Quadratic.fits(objective) else WorkingSet(settings)
    if sweep:
        return Sweep(settings)
    if name != "auto":
        return SOLVERS[name](settings)
    if newton_pays(objective) and not short.pays(objective):
        return Newton(settings)
    return LBFGS(settings)
