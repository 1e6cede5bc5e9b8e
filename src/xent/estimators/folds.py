"""A fold of a cross-validation: the rows that it fits, by weights, and how its models score on the rest."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike

from .._types import Array, Bool, Float, Matrix
from ..data import Batch
from .classifier import SoftmaxClassifier, mean_loss
from .outcome import Outcome
from .problem import Problem
from .sklearn import check_method_params, knowing

Scorer: TypeAlias = Callable[..., float]  # (estimator, X, y), as scikit-learn's


@dataclass(frozen=True)
class Fold:
    """A fold: what it fits and what its models are scored on.

    `problem`: the training rows; held-out ones have weight 0, so that X is shared and they are not read.
    `absent` (K,): the classes of all rows that its model lacks. `held_out`: all rows; those that are not
    scored have weight 0. `test`: the held-out rows, as the splitter names them.
    """

    problem: Problem
    absent: Bool
    held_out: Batch
    test: Array

    @property
    def missing(self) -> list[Any]:
        """The labels of the classes that are absent."""
        labels: list[Any] = self.problem.classes[self.absent].tolist()
        return labels


Score: TypeAlias = Callable[[Fold, float, float, Outcome], float]  # of a fold's fit at C and l1_ratio


def make_fold(problem: Problem, scored: Batch, number: int, train: ArrayLike, test: ArrayLike) -> Fold:
    """Fold `number` of the problem: rows `train` to fit, and of the batch `scored` rows `test` to score."""
    n, weight = scored.shape[0], problem.data.weight
    truth: Any = scored.y
    weight = _times(train, n) * (1.0 if weight is None else weight)
    if not weight.any():
        raise ValueError(f"cv: the training part of fold {number} has no row with a weight")
    part = problem.weighted(weight)
    lost = ~part.present
    scored_weight = _times(test, n) * (1.0 if scored.weight is None else scored.weight)
    scored_weight[lost[truth] if truth.ndim == 1 else (truth[:, lost] > 0).any(axis=1)] = 0
    return Fold(part, problem.present & lost, replace(scored, weight=scored_weight), np.asarray(test))


def check_log_loss(problem: Problem, folds: list[Fold]) -> None:
    """Raise ValueError for the first fold without a log-loss: its model has one class, or no held-out row can
    be scored."""
    spread = "shuffle the rows, or use StratifiedKFold, which spreads classes over folds"
    for number, fold in enumerate(folds):
        if fold.problem.n_classes < min(2, problem.n_classes):
            labels = fold.problem.classes[fold.problem.present].tolist()
            raise ValueError(
                f"cv: the training part of fold {number} has rows of classes {labels} only, and the log-loss "
                f"needs two: {spread}"
            )
        if not np.any(fold.held_out.weight):
            raise ValueError(
                f"cv: fold {number} has no held-out row with a weight and a class it was trained on, which "
                f"the log-loss needs: {spread}"
            )


def scoring_of(
    scorer: Scorer | None,
    X: Matrix,
    y: Array,
    params: Mapping[str, object],
    unfitted: Callable[[float, float], SoftmaxClassifier],
) -> Score:
    """What scores a fold's fit: the scorer, or where that is None the negative mean log-loss.

    Both see the fold's held-out rows; the scorer is given the model `unfitted(C, l1_ratio)` with the fit's
    coefficients.
    """

    def by_loss(fold: Fold, C: float, l1_ratio: float, outcome: Outcome) -> float:
        return -mean_loss(fold.held_out, outcome.coef, outcome.intercept)

    if scorer is None:
        return by_loss
    rows: Any = X

    def by_scorer(fold: Fold, C: float, l1_ratio: float, outcome: Outcome) -> float:
        model = unfitted(C, l1_ratio)
        model.coef_, model.intercept_ = outcome.coef, outcome.intercept
        model.classes_, model.n_features_in_ = fold.problem.classes, X.shape[1]
        keywords = check_method_params(X, params=params, indices=fold.test)
        return knowing(scorer, model.classes_)(model, rows[fold.test], y[fold.test], **keywords)

    return by_scorer


def _times(index: ArrayLike, n: int) -> Float:
    """How often an index or a mask names each of n rows, (n,)."""
    times = np.zeros(n)
    np.add.at(times, np.asarray(index), 1.0)
    return times
