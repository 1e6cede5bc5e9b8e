"""How strong the penalty is if nobody says: C = 1, unless cross-validation shows that another is better."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.sparse import issparse
from sklearn.model_selection import RepeatedStratifiedKFold, train_test_split

from .._types import Array, Float, Matrix
from ..cv import SoftmaxRegressionCV

CS = tuple(10.0**k for k in range(-4, 5))
USUAL = CS.index(1.0)
MOST_ROWS = 20_000  # looked at; what C is best is the variance of coefficients, whatever the number of rows
WIDE = 2_000  # features, beyond which, as texts have them, fewer rows are looked at:
MOST_WIDE = 1_000
FEW_ROWS = 500  # below which the folds are drawn three times: there one draw is chance


@dataclass(frozen=True)
class Strength:
    """C; the mean log-loss at each of Cs over the folds, in nats; errors: the standard errors of what each
    loses to C = 1; rows: how many were looked at."""

    C: float
    Cs: tuple[float, ...]
    losses: tuple[float, ...]
    errors: tuple[float, ...]
    folds: int
    rows: int

    def to_dict(self) -> dict[str, Any]:
        """The fields, of types that JSON has."""
        return {name: list(v) if isinstance(v, tuple) else v for name, v in vars(self).items()}


def choose(
    X: Matrix,
    y: Array,
    *,
    l1_ratio: float = 0.0,
    seed: int = 0,
    folds: int = 5,
    report: Callable[[float], None] | None = None,
) -> Strength | None:
    """The C to take for prepared rows X (n, d) with labels y (n,), None where a class has a single row.

    Another C than 1 is taken if its mean log-loss over the folds is smaller by more than a standard error of
    that difference: on small tables the least mean alone is often chance.
    """
    counts = np.unique(y, return_counts=True)[1]
    if counts.min() < 2:
        return None
    X, y = _sample(X, y, len(counts), seed)
    folds = min(folds, int(np.unique(y, return_counts=True)[1].min()))
    if folds < 2:
        return None
    if l1_ratio == 0 and X.shape[1] > len(y):
        X = _turned(X)
    repeats = 3 if len(y) < FEW_ROWS else 1
    splitter = RepeatedStratifiedKFold(n_splits=folds, n_repeats=repeats, random_state=seed)
    search = SoftmaxRegressionCV(Cs=CS, cv=splitter, l1_ratios=(l1_ratio,))
    search._report = report
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a C at the end of the range, a fold that stops early: C is a choice
        search.fit(X, y)
    losses: Float = -search.scores_[:, 0, :]
    mean, errors = losses.mean(axis=0), _errors(losses, folds)
    better = mean + errors < mean[USUAL]
    at = int(np.argmin(np.where(better, mean, np.inf))) if better.any() else USUAL
    return Strength(CS[at], CS, tuple(mean.tolist()), tuple(errors.tolist()), folds, len(y))


def _errors(losses: Float, folds: int) -> Float:
    """Standard errors of the mean difference to C = 1; repeats of the folds make the mean steadier, but
    bring no new rows."""
    return np.asarray((losses - losses[:, [USUAL]]).std(axis=0, ddof=1) / np.sqrt(folds))


def _turned(X: Any) -> Float:
    """Rows (n, n or fewer) with the same inner products as those of X (n, d), d > n.

    A fit under an L2 penalty sees rows by these alone: its coefficients are a sum of rows. So the losses are
    the same, for a fraction of the work.
    """
    found = X @ X.T
    products: Float = found.toarray() if issparse(found) else np.asarray(found, np.float64)
    sizes, directions = np.linalg.eigh(products)
    kept = sizes > len(sizes) * np.finfo(float).eps * sizes[-1]
    return np.asarray(directions[:, kept] * np.sqrt(sizes[kept]))


def _sample(X: Matrix, y: Array, classes: int, seed: int) -> tuple[Any, Array]:
    """Every class in its share, and the rows in their order."""
    most = MOST_ROWS if X.shape[1] <= WIDE else MOST_WIDE
    if len(y) < most + classes:  # scikit-learn wants a row of each class among those left over, too
        return X, y
    stratify = y if classes <= most else None
    # As few of the others as may be: to draw them all took longer than a fit.
    rows, _ = train_test_split(
        np.arange(len(y)), train_size=most, test_size=classes, random_state=seed, stratify=stratify
    )
    return X[np.sort(rows)], y[np.sort(rows)]
