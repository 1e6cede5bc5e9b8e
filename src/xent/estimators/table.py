"""The table of a search: every fit of a cross-validation, and what is chosen of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from .._types import Array, Float
from ..solvers import Settings, Solution
from .folds import Fold, Score
from .outcome import Outcome
from .problem import Problem
from .sweeps import Line

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
        j: int,
        folds: list[Fold],
        settings: Settings,
        score: Score,
        tell: Callable[[str, float], None],
    ) -> None:
        """Fit and score all folds at ratio j, fold by fold, or where fits are long C by C, each beside the
        others; `tell` gets a line and the share done after each."""
        ratio, order = float(self.l1_ratios[j]), np.argsort(self.Cs).tolist()
        lines = [Line(fold.problem.mixed(ratio), settings) for fold in folds]
        together = all(line.is_long(float(self.Cs[order[0]])) for line in lines)
        by_fold = [(i, k) for i in range(len(folds)) for k in order]
        by_C = [(i, k) for k in order for i in range(len(folds))]
        solutions: list[Solution] = []
        for i, k in by_C if together else by_fold:
            C, line, solutions = float(self.Cs[k]), lines[i], solutions if i else []
            with line.problem.threads():
                outcome, solution = line.fit(C, _alike(solutions, folds, i))
                if together:
                    solutions.append(solution)
                self._keep((i, j, k), outcome)
                self.scores[i, j, k] = score(folds[i], C, ratio, outcome)
            said = f"fold {i}  C {C:<10.4g} score {self.scores[i, j, k]:<12.6g} {outcome.line}"
            tell(said, len(self.fits) / (self.scores.size + 1))

    def _keep(self, at: tuple[int, int, int], outcome: Outcome) -> None:
        """Write down the outcome of fold, ratio and C."""
        row, d = self.coefs[at], outcome.coef.shape[1]
        row[:, :d] = outcome.coef
        if row.shape[1] > d:
            row[:, d] = outcome.intercept
        self.n_iter[at] = outcome.n_iter
        where = f"fold {at[0]} at C = {self.Cs[at[2]]:g}"
        self.fits.append((where, replace(outcome, coef=_NO_COEF)))

    def start(self, j: int, k: int, problem: Problem) -> tuple[Array, Array] | None:
        """W (K, d) and b (K,) of the folds' mean at a pair, from where to fit all rows, the problem's; None
        where a fold's model lacks a class, and with corners."""
        if not (problem.is_smooth and np.isfinite(self.coefs[:, j, k]).all()):
            return None
        W = self.coefs[:, j, k].mean(axis=0, dtype=np.float64)
        W = np.concatenate([0 * W, W]) if len(W) == 1 else W
        d = problem.data.shape[1]
        return W[:, :d], W[:, d] if problem.fit_intercept else np.zeros(len(W))


def _alike(solutions: list[Solution], folds: list[Fold], i: int) -> list[Solution]:
    """The solutions of the folds before fold i, if all have its classes."""
    same = all((fold.problem.present == folds[i].problem.present).all() for fold in folds[:i])
    return solutions[:i] if same else []


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
