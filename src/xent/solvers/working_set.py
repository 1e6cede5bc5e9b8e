"""For many features: fits on the few that matter, found by the gradient of all.

Of 100000 words a sparse model keeps some hundred. A pass over X gives the gradient of every coefficient and
the certificate; `Proximal` then fits the features that are in or want to be, on a copy of their columns. What
was left out wrongly, the next pass over all sees. Source: M. Massias, A. Gramfort, J. Salmon, "Celer", ICML
(2018).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from ..objective.composite import Composite, Point
from .base import Float, Result, Settings, Solution
from .proximal import Proximal, begin
from .quadratic import Quadratic

_FEWEST = 100
_MOST_ROUNDS = 200


@dataclass
class Part:
    """F on some features, kept from penalty to penalty along a path."""

    features: NDArray[np.intp]
    composite: Composite
    model: Quadratic


@dataclass
class WorkingSet:
    """Settings of the solver; `solve` runs it, and leaves what it has cut out of X for the next penalty."""

    settings: Settings
    name: ClassVar[str] = "proximal"
    part: Part | None = field(default=None, repr=False)

    def solve(self, composite: Composite, start: Point | Float | None = None) -> Solution:
        """Minimise from a point whose loss is known, from θ (K, D), or from the model without features."""
        run = begin(composite, self.settings, start)
        if not run.exact:
            run.go_exact()
        rounds = 0
        while not run.certified and run.told_to_stop is None and rounds < _MOST_ROUNDS:
            rounds += 1
            part = self._part(composite, run.at)
            columns = composite.columns(part.features)
            left = self.settings.max_iter - run.history[-1].iteration
            if left < 1:
                return run.finish(Result.MAX_ITER)
            # A tenth of what is missing, until the last round.
            tol = max(0.1 * run.gap, 0.3 * self.settings.tol)
            quiet = replace(self.settings, tol=tol, max_iter=left, report=None, watch=None)
            inner = Proximal(quiet, part.model).solve(part.composite, run.at.theta[:, columns])
            theta = run.at.theta.copy()
            theta[:, columns] = inner.theta
            new = composite.evaluate(theta)
            run.seen(new)
            if not new.value < run.at.value and inner.n_iter < 1:
                return run.stalled()
            run.at = new
            run.record(run.history[-1].iteration + max(inner.n_iter, 1))
            if run.flat:
                return run.stalled()
        if run.certified:
            return run.finish(Result.CERTIFIED)
        return run.finish(run.told_to_stop or Result.STALLED)

    def _part(self, composite: Composite, at: Point) -> Part:
        """The last part if it still serves, else one for all features that are in or break their condition
        and as many again of those nearest to it."""
        d = composite.n_features
        score = self._nearness(composite, at)
        must = (at.theta[:, :d] != 0).any(axis=0) | (score > 1)
        count, last = int(must.sum()), self.part
        serves = last is not None and len(last.features) <= 4 * max(count, _FEWEST)
        if last is not None and serves and not np.setdiff1d(np.flatnonzero(must), last.features).size:
            penalty = composite.penalty.take(composite.columns(last.features))
            last.composite = replace(last.composite, penalty=penalty)
            return last
        room = max(2 * count, _FEWEST)
        score[must] = np.inf
        best = np.argpartition(-score, min(room, len(score)) - 1)[:room]
        features = np.sort(best[score[best] > 0.3])
        part = composite.restricted(features)
        self.part = Part(features, part, Quadratic(part))
        return self.part

    @staticmethod
    def _nearness(composite: Composite, at: Point) -> Float:
        """How far each feature's gradient is on its way to letting it in, (d,)."""
        d, penalty = composite.n_features, composite.penalty
        size = at.gradient[:, :d]
        with np.errstate(divide="ignore", invalid="ignore"):
            if penalty.grouped:
                ratio = np.linalg.norm(size, axis=0) / penalty.l1[0, :d]
            else:
                ratio = np.max(np.abs(size) / penalty.l1[:, :d], axis=0)
        return np.nan_to_num(ratio, posinf=np.inf)
