"""A fold of a cross-validation: which rows it fits, by weights, and how its models are scored on the rest."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.validation import _check_method_params

from . import linear
from ._problem import Problem
from ._targets import Targets
from .estimators import SoftmaxRegression
from .path import mean_loss

Float = NDArray[np.float64]


@dataclass(frozen=True)
class Fold:
    """`problem`: the training rows, held-out ones having weight 0, so that X is shared and they are not read;
    its classes are those that have a training row. `present` (K,) says which of all `classes` these are.
    `held_out`: all rows, those that are not scored having weight 0."""

    problem: Problem
    classes: NDArray[Any]
    present: NDArray[np.bool_]
    held_out: linear.Batch
    test: NDArray[Any]

    @property
    def missing(self) -> list[Any]:
        return self.classes[~self.present].tolist()

    def of_all_classes(self, coef: Any, intercept: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
        """coef_ and intercept_ with rows for missing classes: their logit is −inf, their probability 0."""
        if self.present.all():
            return coef, intercept
        K, d = len(self.classes), coef.shape[1]
        W, b = np.zeros((K, d), coef.dtype), np.full(K, -np.inf, intercept.dtype)
        W[self.present], b[self.present] = coef, intercept
        return W, b


def make_fold(problem: Problem, scored: linear.Batch, number: int, train: Any, test: Any) -> Fold:
    """Fold `number` of `problem`; `scored` is what all rows would be scored as.

    Raises ValueError where the training rows have fewer than two classes, or no held-out row can be scored.
    """
    n, classes, y = problem.batch.shape[0], problem.targets.classes, problem.targets.y
    weight = _times(train, n) * (1.0 if problem.targets.weight is None else problem.targets.weight)
    totals = np.bincount(y, weight, len(classes)) if y.ndim == 1 else weight @ y
    # Smoothing gives every class a share of every row.
    present = (totals > 0) | (problem.batch.label_smoothing > 0 and bool(weight.any()))
    if present.sum() < 2:
        raise ValueError(
            f"cv: the training part of fold {number} has rows of classes {classes[present].tolist()} only, "
            "and a fit needs two; a StratifiedKFold spreads classes over folds"
        )
    truth: Any = scored.y
    scored_weight = _times(test, n) * (1.0 if scored.weight is None else scored.weight)
    scored_weight[~present[truth] if truth.ndim == 1 else (truth[:, ~present] > 0).any(axis=1)] = 0
    if not scored_weight.any():
        raise ValueError(f"cv: fold {number} has no held-out row with a weight and a class it was trained on")

    offset = problem.batch.offset
    offset = offset if offset is None or present.all() else offset[:, present]
    held_out = replace(scored, y=_among(present, truth), weight=scored_weight, offset=offset)
    targets = Targets(classes[present], _among(present, y), weight)
    part = replace(
        problem,
        batch=replace(problem.batch, y=targets.y, weight=weight, offset=offset),
        targets=targets,
        class_factors=None if problem.class_factors is None else problem.class_factors[present],
    )
    if problem.bounds is not None and not present.all():
        part = replace(part, bounds=(problem.bounds[0][present], problem.bounds[1][present]))
    return Fold(part, classes, present, held_out, np.asarray(test))


def scoring_of(scorer: Any, X: Any, y: Any, params: dict[str, Any]) -> Callable[[Fold, Any, Any], float]:
    """What scores a fold's coefficients: by `scorer`, one of scikit-learn's, or where that is None by the
    negative mean log-loss of its held-out rows."""

    def by_loss(fold: Fold, coef: Any, intercept: Any) -> float:
        return -mean_loss(fold.held_out, coef, intercept)

    def by_scorer(fold: Fold, coef: Any, intercept: Any) -> float:
        model = SoftmaxRegression()
        model.coef_, model.intercept_ = fold.of_all_classes(coef, intercept)
        model.classes_, model.n_features_in_ = fold.classes, X.shape[1]
        given = _check_method_params(X, params=params, indices=fold.test)
        return _knowing(scorer, fold.classes)(model, X[fold.test], y[fold.test], **given)

    return by_loss if scorer is None else by_scorer


def _knowing(scorer: Any, classes: NDArray[Any]) -> Any:
    """The scorer told of all classes, where it can be: held-out rows need not have all of them. As in
    scikit-learn's LogisticRegressionCV."""
    function = getattr(scorer, "_score_func", None)
    accepted = inspect.signature(function).parameters if function is not None else {}
    if "labels" not in accepted:
        return scorer
    told: dict[str, Any] = {"labels": classes}
    if len(classes) == 2 and "pos_label" in accepted:
        told["pos_label"] = classes[1]
    scorer = copy.copy(scorer)
    scorer._kwargs = told | scorer._kwargs
    return scorer


def _times(index: Any, n: int) -> Float:
    """How often each of n rows is named by an index or a mask, (n,)."""
    times = np.zeros(n)
    np.add.at(times, np.asarray(index), 1.0)
    return times


def _among(present: NDArray[np.bool_], y: NDArray[Any]) -> NDArray[Any]:
    """Targets among the classes that are present; rows of the others, which have no weight, get any."""
    if present.all():
        return y
    return np.maximum(np.cumsum(present) - 1, 0)[y] if y.ndim == 1 else y[:, present]
