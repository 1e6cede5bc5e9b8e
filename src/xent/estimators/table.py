"""The table of a search: every fit of a cross-validation, and what is chosen of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from .._types import Array, Float
from ..solvers import Settings
from .folds import Fold, Score
from .outcome import Outcome
from .problem import Problem
from .sweeps import outcomes

_NO_COEF = np.empty((0, 0))  # in outcomes of which the table itself has the coefficients


@dataclass
class Table:
    """Scores, coefficients and outcomes of every fit: fold by ratio by C."""

    Cs: Float
    l1_ratios: Float
    scores: Float
    coefs: Array
    n_iter: Array  # int32
    fits: list[tuple[str, Outcome]] = field(default_factory=list)

    @staticmethod
    def empty(problem: Problem, n_folds: int, ratios: Float, Cs: Float) -> Table:
        """A table for this many folds, to be filled."""
        shape = (n_folds, len(ratios), len(Cs))
        columns = problem.data.shape[1] + problem.fit_intercept
        coefs = np.empty((*shape, problem.n_rows, columns), problem.dtype)
        return Table(Cs, ratios, np.empty(shape), coefs, np.empty(shape, np.int32))

    def fill(
        self,
        i: int,
        j: int,
        fold: Fold,
        settings: Settings,
        score: Score,
        tell: Callable[[str, float], None],
    ) -> None:
        """Fit and score fold i at ratio j and every C; `tell` gets a line and the share done after each."""
        problem, order = fold.problem.mixed(float(self.l1_ratios[j])), np.argsort(self.Cs)
        for k, outcome in zip(order, outcomes(problem, self.Cs[order], settings), strict=True):
            row = self.coefs[i, j, k]
            row[:, : problem.data.shape[1]] = outcome.coef
            if problem.fit_intercept:
                row[:, -1] = outcome.intercept
            self.scores[i, j, k] = score(fold, float(self.Cs[k]), problem.l1_ratio, outcome)
            self.n_iter[i, j, k] = outcome.n_iter
            where = f"fold {i} at C = {self.Cs[k]:g}"
            self.fits.append((where, replace(outcome, coef=_NO_COEF)))
            line = f"fold {i}  C {self.Cs[k]:<10.4g} score {self.scores[i, j, k]:<12.6g} {outcome.line}"
            tell(line, len(self.fits) / (self.scores.size + 1))


def choose(scores: Float, Cs: Float) -> tuple[int, int]:
    """The indices of the best score (n_l1_ratios, n_cs); of equals, to rounding, of the smallest C."""
    scores = np.where(np.isnan(scores), -np.inf, scores)
    best = scores.max()
    if best == -np.inf:
        raise ValueError("scoring: not one of the scores is a finite number")
    ties = np.argwhere(scores >= best - 1e-12 * abs(best))
    j, k = min(ties, key=lambda at: (Cs[at[1]], at[0]))
    return int(j), int(k)


def average(problem: Problem, table: Table, settings: Settings) -> dict[str, Any]:
    """The attributes without a refit: the mean over folds of each one's best coefficients.

    A class is averaged over the folds that have it.
    """
    picks = [choose(scores, table.Cs) for scores in table.scores]
    each = np.array([table.coefs[i, j, k] for i, (j, k) in enumerate(picks)])
    has = np.isfinite(each[..., -1:])  # else the fold's model does not have the class
    never = ~has.any(axis=0)[:, 0]
    if (never & (problem.present if problem.n_rows > 1 else problem.present.all())).any():
        raise ValueError("refit=False: a class is in no fold's training part, so there is nothing to average")
    mean = np.mean(each, axis=0, dtype=np.float64, where=has | never[:, None]).astype(each.dtype)
    d = problem.data.shape[1]
    return {
        "C_": float(np.mean([table.Cs[k] for _, k in picks])),
        "l1_ratio_": float(np.mean([table.l1_ratios[j] for j, _ in picks])),
        "coef_": mean[:, :d],
        "intercept_": mean[:, d] if problem.fit_intercept else np.zeros(len(mean), mean.dtype),
    }
