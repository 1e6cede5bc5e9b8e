"""For many features: fits on the few that matter, found by the gradient of all.

Of 100000 words a sparse model keeps some hundred. A pass over X gives the gradient of every coefficient and
the certificate; `Proximal` then fits the features that are in the model or break their optimality condition,
on a copy of their columns. The next full pass catches what was left out by mistake. Source: M. Massias, A.
Gramfort, J. Salmon, "Celer", ICML (2018).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from .._types import Float
from ..objective.composite import Composite, Point
from . import proximal
from .base import Settings, Solution
from .quadratic import Quadratic

_FEWEST = 100
_MOST_ROUNDS = 200


@dataclass(frozen=True)
class Part:
    """F on some features, and the model of its loss."""

    features: NDArray[np.intp]
    composite: Composite
    model: Quadratic


@dataclass(frozen=True)
class State:
    """The part that was cut out of X last, and where the last solve ended; None if coefficients were on their
    way to infinity."""

    part: Part | None
    at: Point | None


@dataclass(frozen=True)
class WorkingSet:
    """Settings of the solver; `solve` runs it, and hands over what it has cut out of X for the next
    penalty."""

    settings: Settings
    name: ClassVar[str] = "proximal"

    def solve(self, composite: Composite, theta: Float | None = None, warm: State | None = None) -> Solution:
        """Minimise from θ (K, D), from where the last solve ended, or from the model without features."""
        part, last = (None, None) if warm is None else (warm.part, warm.at)
        run = proximal.begin(composite, self.settings, theta, last)
        if not run.exact:
            run.go_exact()
        for _ in range(_MOST_ROUNDS):
            left = self.settings.max_iter - run.n_iter
            if run.ended or left < 1:
                break
            part = _part(part, composite, run.at)
            columns = composite.columns(part.features)
            # A tenth of what is missing, until the last round.
            tol = max(0.1 * run.gap, 0.3 * self.settings.tol)
            quiet = replace(self.settings, tol=tol, max_iter=left, report=None, watch=None)
            state = proximal.State(part.model)
            inner = proximal.Proximal(quiet).solve(part.composite, run.at.theta[:, columns], state)
            part = replace(part, model=inner.state.model)
            theta = run.at.theta.copy()
            theta[:, columns] = inner.theta
            new = composite.evaluate(theta)
            run.seen(new)
            if not new.value < run.at.value and inner.n_iter < 1:
                run.stuck = True
                break
            run.at = new
            run.record(run.n_iter + max(inner.n_iter, 1))
        else:
            run.stuck = True
        solution = run.finish()
        return replace(solution, state=State(part, proximal.end_of(solution)))


def _part(last: Part | None, composite: Composite, at: Point) -> Part:
    """The last part if it still serves; else one for the features that are in the model or break their
    condition, and for as many again of those that are nearest to breaking it."""
    d = composite.n_features
    score = _nearness(composite, at)
    must = (at.theta[:, :d] != 0).any(axis=0) | (score > 1)
    count = int(must.sum())
    serves = last is not None and len(last.features) <= 4 * max(count, _FEWEST)
    if last is not None and serves and not np.setdiff1d(np.flatnonzero(must), last.features).size:
        penalty = composite.penalty.take(composite.columns(last.features))
        return replace(last, composite=replace(last.composite, penalty=penalty))
    room = max(2 * count, _FEWEST)
    score[must] = np.inf
    best = np.argpartition(-score, min(room, len(score)) - 1)[:room]
    features = np.sort(best[score[best] > 0.3])
    part = composite.restricted(features)
    return Part(features, part, Quadratic(part))


def _nearness(composite: Composite, at: Point) -> Float:
    """The size of each feature's gradient as a share of its l1, (d,): above 1 the feature breaks its
    condition at 0."""
    d, penalty = composite.n_features, composite.penalty
    size = at.loss_gradient[:, :d]
    with np.errstate(divide="ignore", invalid="ignore"):
        if penalty.grouped:
            ratio = np.linalg.norm(size, axis=0) / penalty.l1[0, :d]
        else:
            ratio = np.max(np.abs(size) / penalty.l1[:, :d], axis=0)
    nearness: Float = np.nan_to_num(ratio, posinf=np.inf)
    return nearness
