"""Tables from disk for the command: names, files and columns to X and y, and X to a fitting pipeline."""

from __future__ import annotations

import csv
import math
import re
import warnings
import zipfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator
from sklearn.pipeline import Pipeline

from .._types import Array
from ..estimators import SoftmaxRegression

BUILT_IN = ("breast_cancer", "digits", "iris", "wine")
FORMATS = (".csv", ".parquet", ".npz")
Model: TypeAlias = SoftmaxRegression | Pipeline  # what `pipeline` makes, fitted


class TableError(ValueError):
    """The table cannot be used; the message says why."""


@dataclass(frozen=True)
class Table:
    """features: a DataFrame (n, d). target: labels (n,), or None where the table has none."""

    features: pd.DataFrame
    target: Array | None

    @property
    def labels(self) -> Array:
        """The target of a table that was read with need_target=True."""
        assert self.target is not None
        return self.target


def read(
    data: str,
    target: str | None,
    *,
    need_target: bool,
    kinds: dict[str, str] | None = None,
    model: Model | None = None,
) -> Table:
    """Read `data`, a path to .csv, .parquet or .npz or the name of a built-in set, and split `target` off.

    .npz holds an array X (n, d), whose columns become x0, x1, …, and one called `target` (n,). Built-in sets
    call theirs "target". `kinds` (see `kinds_of`) are the columns of `model`, which the table is for: they
    are read as what they were when it was fitted, and others are left out. Raises TableError.
    """
    if data in BUILT_IN:
        import sklearn.datasets

        frame = getattr(sklearn.datasets, f"load_{data}")(as_frame=True).frame
        target = target or "target"
    else:
        path = Path(data)
        if path.suffix.lower() not in FORMATS:
            expected = f"a {', '.join(FORMATS)} file or one of {', '.join(BUILT_IN)}"
            raise TableError(f"{data}: expected {expected}")
        if not path.is_file():
            raise TableError(f"{data}: no such file")
        if need_target and target is None:
            raise TableError(f"{data}: say which column holds the classes, with --target COLUMN")
        frame = _read_file(path, target, kinds or {})
    if target in frame.columns:
        y = _labels(frame.pop(target), data)
    elif need_target:
        raise TableError(f"{data}: no column {target!r}; it has {_some(frame.columns)}")
    else:
        y = None
    if kinds is not None:
        frame = _as_fitted(frame, kinds, model, data)
    _check_features(frame, data)
    return Table(frame, y)


def _read_file(path: Path, target: str | None, kinds: dict[str, str]) -> pd.DataFrame:
    suffix = path.suffix.lower()
    try:
        if suffix == ".npz":
            return _read_npz(path, target)
        if suffix == ".csv":
            return _read_csv(path, target, kinds)
        frame = pd.read_parquet(path)
        kept = frame.index.names != [None] and not set(frame.index.names) & set(frame.columns)
        frame = frame.reset_index(drop=not kept)  # a named index is columns like others
        return frame.rename(columns=str)
    except TableError:
        raise
    except (ValueError, TypeError, OSError, zipfile.BadZipFile, pd.errors.ParserWarning) as error:
        raise TableError(f"{path}: cannot be read as {suffix}: {error}") from error


def _read_csv(path: Path, target: str | None, kinds: dict[str, str]) -> pd.DataFrame:
    with path.open(newline="", encoding="utf-8-sig") as lines:
        header = next(csv.reader(lines), [])
    twice = sorted({name for name in header if header.count(name) > 1})
    if twice:
        raise TableError(f"{path}: columns {_some(twice)} appear twice; give each its own name")
    with warnings.catch_warnings():
        warnings.simplefilter("error", pd.errors.ParserWarning)  # a row longer than the header
        text = {name: "str" for name, kind in kinds.items() if kind == "text" and name in header}
        frame = pd.read_csv(path, index_col=False, low_memory=False, dtype=text)
        if target in header:  # "01" and "NA" are labels as they stand
            frame[target] = pd.read_csv(path, usecols=[target], dtype=str, keep_default_na=False)[target]
    return frame


def _read_npz(path: Path, target: str | None) -> pd.DataFrame:
    archive = np.load(path, allow_pickle=False)
    if not isinstance(archive, np.lib.npyio.NpzFile):
        raise TableError(f"{path}: expected an .npz archive with an array X, got a single array")
    with archive:
        names = list(archive.files)
        if "X" not in names:
            raise TableError(f"{path}: expected an array called X, got {_some(names)}")
        X = archive["X"]
        y = archive[target] if target in names else None
    if X.ndim != 2 or X.dtype.kind not in "fiub":
        raise TableError(f"{path}: X must be a (n, d) array of numbers, got {X.dtype} of shape {X.shape}")
    frame = pd.DataFrame(X, columns=[f"x{j}" for j in range(X.shape[1])], copy=False)
    if y is not None and target is not None:
        if y.shape != (len(X),):
            raise TableError(f"{path}: {target} must have shape ({len(X)},), got {y.shape}")
        frame[target] = y.astype(str) if y.dtype.kind == "S" else y
    return frame


def _labels(y: pd.Series, data: str) -> Array:
    """The target as an array: numbers and truth values as they are, whole numbers in text as integers."""
    missing = y.isna() | (y.astype(object) == "")
    if missing.any():
        raise TableError(
            f"{data}: column {y.name!r} has no class in row {int(np.argmax(missing))} ({int(missing.sum())} "
            "rows in all); fill them in or leave those rows out"
        )
    if y.dtype.kind in "fiub" and isinstance(y.dtype, np.dtype):
        values: Array = y.to_numpy()
        return values
    text: Array = y.astype(str).to_numpy(dtype=str)
    try:
        numbers: Array = text.astype(np.int64)
    except (ValueError, OverflowError):
        return text
    return numbers if (numbers.astype(str) == text).all() else text


def kinds_of(features: pd.DataFrame) -> dict[str, str]:
    """What each column holds: "number", "date", "duration" or "text". A model file keeps this."""

    def kind(dtype: object) -> str:
        if pd.api.types.is_numeric_dtype(dtype):  # truth values too
            return "number"
        if pd.api.types.is_datetime64_any_dtype(dtype):
            return "date"
        return "duration" if pd.api.types.is_timedelta64_dtype(dtype) else "text"

    return {str(name): kind(dtype) for name, dtype in features.dtypes.items()}


def _as_fitted(frame: pd.DataFrame, kinds: dict[str, str], model: Model, data: str) -> pd.DataFrame:
    """The columns of the model alone, in its order and of the kinds that it was fitted on."""
    frame = frame.rename(columns=str)
    if missing := [name for name in kinds if name not in frame.columns]:
        raise TableError(f"{data}: {len(missing)} of the model's columns are missing: {_some(missing)}")
    frame = frame[list(kinds)]
    now = kinds_of(frame)
    made = _made_of_text(model)
    for name, kind in kinds.items():
        column, form = frame[name], None
        if kind == "text" and name in made:
            kind, form, nulls = made[name]
            column = nulls.transform(column)
        if now[name] == kind or column.isna().all():
            continue
        problem = f"it holds a {now[name]} in each row"
        if now[name] == "text":
            values = _PARSERS[kind](column, form)
            wrong = (values.isna() & column.notna()).to_numpy()
            if not wrong.any():
                frame = frame.assign(**{name: values})
                continue
            row = int(np.argmax(wrong))
            problem = f"row {row} has {str(column.iloc[row])!r}; leave it empty if it is unknown"
            if kind == "date":
                problem += f", write it as 2021-03-31{f' or as it was then, {form}' if form else ''}"
        raise TableError(f"{data}: column {name!r} was a {kind} when the model was fitted; now {problem}")
    return frame


def unknown_categories(features: pd.DataFrame, model: Model) -> list[str]:
    """A line for each column with categories that no fitted row had; scikit-learn's warning names none."""
    lines = []
    for name, steps in _steps(model).items():
        kinds = [type(step).__name__ for step in steps]
        if "OneHotEncoder" not in kinds:
            continue
        values, at = features[name], kinds.index("OneHotEncoder")
        for step in steps[:at]:
            values = step.transform(values)
        unknown = ~values.isin(steps[at].categories_[0]).to_numpy()
        if unknown.any():
            row = int(np.argmax(unknown))
            value = "no value" if pd.isna(values.iloc[row]) else repr(str(values.iloc[row]))
            lines.append(
                f"column {name!r}: row {row} has {value}, which no fitted row had "
                f"({int(unknown.sum())} such rows); it is encoded as zeros"
            )
    return lines


def _steps(model: Model) -> dict[str, list[Any]]:
    """The steps of a `pipeline` for each column, in order; none for a classifier alone."""
    return model.named_steps["tablevectorizer"].all_processing_steps_ if hasattr(model, "steps") else {}


def _made_of_text(model: Model) -> dict[str, tuple[str, str | None, Any]]:
    """The columns of text that a `pipeline` took for dates or numbers: the kind, the dates' format, and the
    step that finds missing values. The pipeline treats as missing what it cannot read in later tables."""
    made = {}
    for name, steps in _steps(model).items():
        fitted = {type(step).__name__: step for step in steps}
        for step, kind in (("ToDatetime", "date"), ("ToFloat", "number")):
            if step in fitted and "CleanNullStrings" in fitted:
                form = getattr(fitted[step], "format_", None)
                made[name] = kind, form, fitted["CleanNullStrings"]
    return made


def _dates(text: pd.Series, form: str | None) -> pd.Series:
    """Dates (n,) in UTC, the zone that skrub assumes for dates without one.

    They are of the format `form`, or have year, month and day in this order. NaT for what is neither: which
    of 01/02/2021 is the month is not guessed.
    """
    texts = text.dropna().astype(str)
    texts = texts[texts.str.contains(r"\d")]  # pandas would read "now" and "today"
    dates = pd.to_datetime(texts, format=form or "ISO8601", errors="coerce", utc=True)
    if form and not re.match("%Y.%d", form):
        others = texts[dates.isna() & texts.str.match(r"\d{4}[-/]\d")]
        dates = dates.fillna(pd.to_datetime(others, format="ISO8601", errors="coerce", utc=True))
    return dates.reindex(text.index)


def _numbers(text: pd.Series, _: str | None) -> pd.Series:
    """Numbers (n,), or 1 and 0 for truth values, whichever leaves fewer missing."""
    numbers = pd.to_numeric(text, errors="coerce")
    truth = text.astype(str).str.lower().map({"true": 1.0, "false": 0.0})
    return truth if truth.count() > numbers.count() else numbers


_PARSERS: dict[str, Callable[[pd.Series, str | None], pd.Series]] = {
    "number": _numbers,
    "date": _dates,
    "duration": lambda text, _: pd.to_timedelta(text, errors="coerce"),
}


def _check_features(frame: pd.DataFrame, data: str) -> None:
    if frame.shape[1] == 0 or len(frame) == 0:
        raise TableError(
            f"{data}: {len(frame)} rows and {frame.shape[1]} feature columns; needs at least one row and one "
            "feature column"
        )
    if frame.isna().all(axis=None):
        raise TableError(f"{data}: every feature is missing in every row")
    for name, column in frame.items():
        where = f"{data}: column {name!r}"
        if column.dtype.kind == "f" and np.isinf(column).any():
            row = int(np.argmax(np.isinf(column)))
            raise TableError(f"{where} is infinite in row {row}; leave it empty if it is unknown")
        first = next(iter(column.dropna()), None) if column.dtype == object else None
        if isinstance(first, list | dict | tuple | np.ndarray):
            raise TableError(
                f"{where} holds a {type(first).__name__} in each row; split it into columns of one value each"
            )


def check_complete(features: pd.DataFrame, data: str) -> None:
    """Raise TableError at the first missing value, for a model that was fitted on complete numbers."""
    missing = features.isna().to_numpy()
    if missing.any():
        row, column = np.argwhere(missing)[0]
        raise TableError(
            f"{data}: column {features.columns[column]!r} has no value in row {row}; the model was fitted "
            "on complete numbers and does not know what to put there"
        )


def split(
    X: pd.DataFrame, y: Array, holdout: float, seed: int
) -> tuple[pd.DataFrame, pd.DataFrame, Array, Array]:
    """X to fit, X to hold out, y to fit, y to hold out; every class has its share in both parts.

    Raises ValueError where a class has too few rows for that.
    """
    from sklearn.model_selection import train_test_split
    from sklearn.utils.multiclass import check_classification_targets

    check_classification_targets(y)
    classes, counts = np.unique(y, return_counts=True)
    remedy = "--holdout 0 fits on all rows"
    if counts.min() < 2:
        raise ValueError(
            f"--holdout {holdout:g}: class {str(classes[np.argmin(counts)])!r} has a single row, which "
            f"cannot be both fitted and held out ({int((counts < 2).sum())} such classes); {remedy}"
        )
    held = math.ceil(holdout * len(y))
    if not len(classes) <= held <= len(y) - len(classes):
        raise ValueError(
            f"--holdout {holdout:g}: {held} of {len(y)} rows held out; the {len(classes)} classes need as "
            f"many rows on either side; {remedy}"
        )
    return tuple(train_test_split(X, y, test_size=holdout, random_state=seed, stratify=y))


def pipeline(features: pd.DataFrame, classifier: BaseEstimator, seed: int) -> BaseEstimator:
    """The classifier alone where every feature is a number and none is missing; else behind skrub's
    tabular pipeline (categories, text and dates to numbers, missing values filled and marked, scaled)."""
    numeric = all(kind == "number" for kind in kinds_of(features).values())
    if numeric and not features.isna().any(axis=None):
        return classifier
    import skrub  # seconds: only tables that need it wait for it

    model = skrub.tabular_pipeline(classifier)
    return model.set_params(
        tablevectorizer__high_cardinality__random_state=seed,
        # skrub's default for linear models, splines, keeps private SciPy objects, which have no place
        # in a model file.
        tablevectorizer__datetime__periodic_encoding="circular",
    )


def numbers(features: pd.DataFrame, seed: int) -> tuple[pd.DataFrame, Callable[[pd.DataFrame], pd.DataFrame]]:
    """The features as the numbers that `pipeline` would pass to its classifier, and a function that makes
    other rows such numbers."""
    model = pipeline(features, SoftmaxRegression(), seed)
    if not hasattr(model, "steps"):
        return features, lambda other: other
    encoder = model[:-1].set_output(transform="pandas")
    return encoder.fit_transform(features), encoder.transform


def _some(names: Iterable[object], most: int = 12) -> str:
    """The first of the names, and how many there are if more."""
    texts = [str(name) for name in names]
    return ", ".join(texts[:most]) + (f", … ({len(texts)} in all)" if len(texts) > most else "")
