"""A fold of a cross-validation: which rows it fits, by weights, and how its models are scored on the rest."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from .._types import Float
from ..data import Batch
from .outcome import Outcome
from .parameters import Parameters
from .path import mean_loss
from .problem import Problem
from .sklearn import check_method_params, knowing
from .softmax import SoftmaxRegression


@dataclass(frozen=True)
class Fold:
    """`problem`: the training rows, held-out ones having weight 0, so that X is shared and they are not read.
    `absent` (K,): the classes of all rows that its model lacks. `held_out`: all rows, those that are not
    scored having weight 0."""

    problem: Problem
    absent: NDArray[np.bool_]
    held_out: Batch
    test: NDArray[Any]

    @property
    def missing(self) -> list[Any]:
        return self.problem.classes[self.absent].tolist()


def make_fold(problem: Problem, scored: Batch, number: int, train: Any, test: Any) -> Fold:
    """Fold `number` of `problem`; `scored` is what all rows would be scored as."""
    n, weight, truth = scored.shape[0], problem.given.weight, cast(Any, scored.y)
    weight = _times(train, n) * (1.0 if weight is None else weight)
    if not weight.any():
        raise ValueError(f"cv: the training part of fold {number} has no row with a weight")
    part = problem.weighted(weight)
    lost = ~part.present
    scored_weight = _times(test, n) * (1.0 if scored.weight is None else scored.weight)
    scored_weight[lost[truth] if truth.ndim == 1 else (truth[:, lost] > 0).any(axis=1)] = 0
    return Fold(part, problem.present & lost, replace(scored, weight=scored_weight), np.asarray(test))


def check_log_loss(problem: Problem, folds: list[Fold]) -> None:
    """Raises ValueError for the first fold that tells nothing: its model has one class, or no held-out row
    can be scored."""
    spread = "shuffle the rows, or use StratifiedKFold, which spreads classes over folds"
    for number, fold in enumerate(folds):
        if fold.problem.n_classes < min(2, problem.n_classes):
            kept = fold.problem.classes[fold.problem.present].tolist()
            raise ValueError(
                f"cv: the training part of fold {number} has rows of classes {kept} only, and the log-loss "
                f"needs two: {spread}"
            )
        if not np.any(fold.held_out.weight):
            raise ValueError(
                f"cv: fold {number} has no held-out row with a weight and a class it was trained on, which "
                f"the log-loss needs: {spread}"
            )


def scoring_of(
    scorer: Any, X: Any, y: Any, params: dict[str, Any], asked: Parameters
) -> Callable[[Fold, float, float, Outcome], float]:
    """What scores a fold's fit at a C and ratio: by `scorer`, one of scikit-learn's, which sees a
    `SoftmaxRegression` with these parameters; or where that is None by the negative mean log-loss of its
    held-out rows."""

    def by_loss(fold: Fold, C: float, l1_ratio: float, outcome: Outcome) -> float:
        return -mean_loss(fold.held_out, outcome.coef, outcome.intercept)

    def by_scorer(fold: Fold, C: float, l1_ratio: float, outcome: Outcome) -> float:
        model = SoftmaxRegression(C=C, l1_ratio=l1_ratio, **asked.shared)
        model.coef_, model.intercept_ = outcome.coef, outcome.intercept
        model.classes_, model.n_features_in_ = fold.problem.classes, X.shape[1]
        given = check_method_params(X, params=params, indices=fold.test)
        return knowing(scorer, model.classes_)(model, X[fold.test], y[fold.test], **given)

    return by_loss if scorer is None else by_scorer


def _times(index: Any, n: int) -> Float:
    """How often each of n rows is named by an index or a mask, (n,)."""
    times = np.zeros(n)
    np.add.at(times, np.asarray(index), 1.0)
    return times
