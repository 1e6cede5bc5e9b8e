"""Tables from disk for the command: names, files and columns to X and y, and X to a fitting pipeline."""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from .estimators import SoftmaxRegression

BUILT_IN = ("breast_cancer", "digits", "iris", "wine")
FORMATS = (".csv", ".parquet", ".npz")


class TableError(ValueError):
    """The table cannot be used; the message says what was expected and what was found."""


@dataclass(frozen=True)
class Table:
    """features: a DataFrame, or an (n, d) array from .npz. target: labels (n,), or None if not there."""

    features: Any
    target: Any

    @property
    def n_rows(self) -> int:
        return len(self.features)


def read(data: str, target: str | None, *, need_target: bool) -> Table:
    """Read `data`, a path to .csv, .parquet or .npz or the name of a built-in set, and split `target` off.

    .npz holds an array X (n, d) and one called `target` (n,). Built-in sets call theirs "target".
    Raises TableError.
    """
    if data in BUILT_IN:
        import sklearn.datasets

        frame = getattr(sklearn.datasets, f"load_{data}")(as_frame=True).frame
        return _split(frame, data, target or "target", need_target)
    path = Path(data)
    if path.suffix.lower() not in FORMATS:
        raise TableError(f"{data}: expected a {', '.join(FORMATS)} file or one of {', '.join(BUILT_IN)}")
    if not path.is_file():
        raise TableError(f"{data}: no such file")
    if need_target and target is None:
        raise TableError(f"{data}: say which column holds the classes, with --target COLUMN")
    try:
        if path.suffix.lower() == ".npz":
            return _read_npz(path, target, need_target)
        frame = pd.read_csv(path) if path.suffix.lower() == ".csv" else pd.read_parquet(path)
    except TableError:
        raise
    except (ValueError, OSError, zipfile.BadZipFile) as error:  # pandas and pyarrow errors are ValueErrors
        raise TableError(f"{data}: cannot be read as {path.suffix}: {error}") from error
    return _split(frame, data, target, need_target)


def _read_npz(path: Path, target: str | None, need_target: bool) -> Table:
    with np.load(path, allow_pickle=False) as archive:
        names = list(archive.files)
        if "X" not in names:
            raise TableError(f"{path}: expected an array called X, got {names}")
        X = archive["X"]
        y = archive[target] if target in names else None
    if X.ndim != 2 or X.dtype.kind not in "fiub":
        raise TableError(f"{path}: X must be a (n, d) array of numbers, got {X.dtype} of shape {X.shape}")
    if y is None and need_target:
        raise TableError(f"{path}: no array called {target!r}; it has {names}")
    if y is not None and y.shape != (len(X),):
        raise TableError(f"{path}: {target} must have shape ({len(X)},), got {y.shape}")
    _check_target(y, str(path), target)
    return Table(X, y)


def _split(frame: pd.DataFrame, data: str, target: str | None, need_target: bool) -> Table:
    if target is None or target not in frame.columns:
        if need_target:
            shown = ", ".join(map(str, frame.columns[:20])) + (", …" if frame.shape[1] > 20 else "")
            raise TableError(f"{data}: no column {target!r}; it has {shown}")
        y = None
    else:
        y = frame.pop(target)
        _check_target(y, data, target)
        y = y.to_numpy(dtype=object) if y.dtype.kind not in "fiub" else y.to_numpy()
        y = y.astype(str) if y.dtype == object else y
    if frame.shape[1] == 0 or len(frame) == 0:
        raise TableError(
            f"{data}: {len(frame)} rows and {frame.shape[1]} feature columns; needs some of each"
        )
    return Table(frame, y)


def _check_target(y: Any, data: str, target: str | None) -> None:
    missing = np.asarray(pd.isna(y)) if y is not None else np.zeros(1, bool)
    if missing.any():
        row = int(np.argmax(missing))
        raise TableError(
            f"{data}: column {target!r} has no class in row {row} ({int(missing.sum())} rows in all); "
            "fill them in or leave those rows out"
        )


def pipeline(features: Any, classifier: SoftmaxRegression, seed: int) -> Any:
    """`classifier` alone where every feature is a number and none is missing; else behind skrub's
    tabular pipeline (categories, text and dates to numbers, missing values filled and marked, scaled)."""
    if not isinstance(features, pd.DataFrame):
        if np.isfinite(features).all():
            return classifier
        features = pd.DataFrame(features)
    numeric = all(dtype.kind in "fiub" for dtype in features.dtypes)
    if numeric and np.isfinite(features.to_numpy(dtype=np.float64)).all():
        return classifier
    import skrub  # seconds: only tables that need it wait for it

    model = skrub.tabular_pipeline(classifier)
    return model.set_params(
        tablevectorizer__high_cardinality__random_state=seed,
        # skrub's default for linear models, splines, keeps private SciPy objects, which have no place
        # in a model file.
        tablevectorizer__datetime__periodic_encoding="circular",
    )
