"""Who is compared: `xent fit`, three linear classifiers of scikit-learn's and skrub's, and trees."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.compose import ColumnTransformer
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler

from xent._types import Array
from xent.cli.fit import fit_table
from xent.tables.sources import Options
from xent.tables.table import Table, load
from xent.tables.targets import split

HOLDOUT = 0.25
LINEAR = ("recipe", "skrub", "majority")  # the others that a linear model is to be held against


def read(path: Path, target: str) -> Table:
    """The file as the command reads it; "NA" in the target is a class, as elsewhere."""
    return load(str(path), target, Options(), kinds={}, missing_target="class")


def ours(table: Table, seed: int) -> tuple[float, float, float]:
    """(held-out accuracy, log-loss, the C that was chosen) of what `xent fit --holdout 0.25 --seed` does."""
    fit = fit_table(table, None, None, 0.0, HOLDOUT, seed, False, lambda *progress: None)
    return fit.figures["holdout accuracy"], fit.figures["holdout log-loss"], fit.figures["C"]


def others(path: Path, table: Table, seed: int) -> dict[str, tuple[float, float]]:
    """(held-out accuracy, log-loss) of the others on the same rows of what pandas.read_csv makes of the
    file."""
    frame = pd.read_csv(path).drop(columns=table.target)
    labels = table.labels.astype(str)
    X, X_test, y, y_test = split(frame, labels, HOLDOUT, seed)
    found = {}
    for name, make in ENTRANTS.items():
        model = make(X).fit(X, y)
        found[name] = scores(model.classes_, model.predict_proba(X_test), y_test)
    return found


def scores(classes: Array, p: Any, y: Array) -> tuple[float, float]:
    """Accuracy, and log-loss with what scikit-learn's own clips: a probability of 0 costs 36 nats."""
    at = np.searchsorted(classes, y)
    loss = -np.log(np.clip(p[np.arange(len(y)), at], np.finfo(float).eps, 1)).mean()
    return float(np.mean(classes[p.argmax(axis=1)] == y)), float(loss)


def _numeric(X: pd.DataFrame) -> list[str]:
    return [name for name in X if pd.api.types.is_numeric_dtype(X[name]) and X[name].dtype != bool]


def _recipe(X: pd.DataFrame) -> Any:
    """What the first page of every tutorial has."""
    numeric = _numeric(X)
    rest = [name for name in X if name not in numeric]
    numbers = make_pipeline(SimpleImputer(), StandardScaler())
    encoder = OneHotEncoder(handle_unknown="ignore")
    prepare = ColumnTransformer([("numbers", numbers, numeric), ("others", encoder, rest)])
    return make_pipeline(prepare, LogisticRegression(max_iter=1000))


def _skrub(X: pd.DataFrame) -> Any:
    import skrub

    return skrub.tabular_pipeline(LogisticRegression())


def _majority(X: pd.DataFrame) -> Any:
    return make_pipeline(FunctionTransformer(lambda X: np.zeros((len(X), 1))), DummyClassifier())


def _trees(X: pd.DataFrame) -> Any:
    """Not linear: what the others leave on the table. Texts are one category a value, the rarer ones one."""
    numeric = set(_numeric(X))
    rest = [name for name in X if name not in numeric]
    encoder = OneHotEncoder(handle_unknown="ignore", max_categories=50, sparse_output=False)
    prepare = ColumnTransformer([("others", encoder, rest)], remainder="passthrough")
    return make_pipeline(prepare, HistGradientBoostingClassifier(max_iter=50, random_state=0))


ENTRANTS: dict[str, Callable[[pd.DataFrame], Any]] = {
    "recipe": _recipe,
    "skrub": _skrub,
    "majority": _majority,
    "trees": _trees,
}
