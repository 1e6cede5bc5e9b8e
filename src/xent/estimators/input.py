"""The data and parameters of `fit`, checked and made into a `Problem`."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils.validation import validate_data

from .._types import Array, Matrix, MatrixLike, TargetLike, VectorLike
from ..data import Batch
from .frames import locate
from .parameters import Parameters
from .problem import Problem
from .targets import (
    bounds_of,
    class_factors_of,
    factors_of,
    is_soft,
    label_targets,
    offset_of,
    rows_of,
    soft_targets,
)

TAKES: dict[str, Any] = {"accept_sparse": "csr", "dtype": [np.float64, np.float32, np.float16]}


def read_problem(
    estimator: BaseEstimator,
    parameters: Parameters,
    l1_ratio: float,
    X: MatrixLike,
    y: TargetLike,
    sample_weight: VectorLike | None,
    offset: TargetLike | None,
) -> tuple[Problem, Array]:
    """The problem that parameters and data pose, and y as scikit-learn's checks leave it.

    Sets n_features_in_ and feature_names_in_ of the estimator in whose name X is read. Raises ValueError for
    what no fit can take.
    """
    rows: Matrix
    if is_soft(y):
        rows = locate(X, lambda: validate_data(estimator, X, accept_large_sparse=True, **TAKES))
        checked, columns = rows_of(y)
        targets = soft_targets(rows, checked, columns, parameters.class_weight, sample_weight)
    else:
        rows, checked = locate(
            X, lambda: validate_data(estimator, X, y, accept_large_sparse=True, **TAKES), y
        )
        targets = label_targets(rows, checked, parameters.class_weight, sample_weight)
    (n, d), K = rows.shape, len(targets.classes)
    plain = l1_ratio == 0 and parameters.bounds is None
    if K == 2 and not plain and parameters.class_penalty_factor is not None:
        raise ValueError(
            "class_penalty_factor: two classes share one row of coefficients and, with l1_ratio or bounds, "
            "one penalty on it; use C or feature_penalty_factor"
        )
    if not plain and parameters.solver != "auto":
        raise ValueError(
            f"Solver {parameters.solver} supports neither l1_ratio > 0 nor bounds; leave solver at 'auto'"
        )
    o = offset_of(offset, n, targets.classes)
    names = getattr(estimator, "feature_names_in_", None)
    problem = Problem(
        Batch(rows, targets.y, targets.weight, parameters.label_smoothing, offset=o),
        targets.classes,
        fit_intercept=bool(parameters.fit_intercept),
        class_factors=class_factors_of(parameters.class_penalty_factor, targets.classes),
        feature_factors=factors_of("feature_penalty_factor", parameters.feature_penalty_factor, d),
        l1_ratio=float(l1_ratio),
        grouped=bool(parameters.grouped),
        bounds=bounds_of(parameters.bounds, targets.classes, d, names),
        names=names,
    )
    return problem, checked
