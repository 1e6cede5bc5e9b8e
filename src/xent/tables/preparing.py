"""Understood columns as the numbers that a linear model takes, by scikit-learn's own parts.

Numbers are standardised, a missing one becomes the mean, and a column that had missing values gets an
indicator of them. A category is a column of zeros and ones per value, "missing" being one of them. A date
is its time since 1970 and waves of its place in the year, the week and the day. A text is the TF-IDF of its
words and of the pieces of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import sklearn
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.compose import ColumnTransformer
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.impute import MissingIndicator, SimpleImputer
from sklearn.pipeline import FeatureUnion, Pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from .._types import Float
from .columns import Column

MOST_PIECES = 20_000  # of a text's words, and of their pieces: the most frequent ones
DAY = 86_400  # seconds


class DateParts(TransformerMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """A date as numbers: years since 1970, waves of its place in the year and in the week, and, where a
    fitted row has a time of day, in the day. A missing date is NaN in all of them.

    A year is given four sines and cosines, of one to four periods, for a season is seldom a single wave. The
    wave of k periods has height 1/k: a penalty then asks for a smooth season where rows are few.

    part: "years" or "waves".
    """

    def __init__(self, part: str = "years") -> None:
        self.part = part

    def fit(self, X: pd.DataFrame, y: Any = None) -> DateParts:
        """Learn which columns have times of day."""
        self.feature_names_in_ = np.asarray(X.columns, object)
        self.n_features_in_ = X.shape[1]
        self.timed_ = [bool((_seconds(X[name]) % DAY > 0).any()) for name in X]
        return self

    def transform(self, X: pd.DataFrame) -> Float:
        """The parts of each column, side by side (n, 1, 12 or 16 per column)."""
        return np.column_stack(
            [self._parts(X[name], timed) for name, timed in zip(X, self.timed_, strict=True)]
        )

    def get_feature_names_out(self, input_features: Any = None) -> Any:
        """The parts' names: "when: years", "when: sine of the year", "when: sine of the year, 2 times", …"""
        found = []
        for name, timed in zip(self.feature_names_in_, self.timed_, strict=True):
            if self.part == "years":
                found.append(f"{name}: years")
                continue
            found += [
                f"{name}: {wave} of the {place}" + f", {times} times" * (times > 1)
                for place, times in _waves(timed)
                for wave in ("sine", "cosine")
            ]
        return np.array(found, object)

    def _parts(self, dates: pd.Series, timed: bool) -> Float:
        if self.part == "years":
            return np.asarray(_seconds(dates) / (365.2425 * DAY))
        if timed:
            return _of_each(dates, timed)
        codes, days = pd.factorize(dates, use_na_sentinel=False)  # a long table has each many times
        waves: Float = _of_each(pd.Series(days), timed)[codes]
        return waves


def _of_each(dates: pd.Series, timed: bool) -> Float:
    """The waves of each, side by side (n, 12 or 16)."""
    seconds = _seconds(dates)
    turns = {"year": _of_year(dates), "week": seconds / DAY % 7 / 7, "day": seconds % DAY / DAY}
    angles = [(times, 2 * np.pi * times * turns[place]) for place, times in _waves(timed)]
    return np.column_stack([wave(angle) / times for times, angle in angles for wave in (np.sin, np.cos)])


def _waves(timed: bool) -> list[tuple[str, int]]:
    """Which places of a date have waves, and how often each wave comes in them."""
    most = {"year": 4, "week": 2} | ({"day": 2} if timed else {})
    return [(place, times) for place, many in most.items() for times in range(1, many + 1)]


def _seconds(dates: pd.Series) -> Float:
    """Since 1970 (n,), NaN where there is no date."""
    stamps = dates.to_numpy("datetime64[us]")
    return np.where(np.isnat(stamps), np.nan, stamps.astype(np.int64) / 1e6)


def _of_year(dates: pd.Series) -> Float:
    """How much of its year has gone by, in [0, 1)."""
    stamps = dates.to_numpy("datetime64[us]")
    years = stamps.astype("datetime64[Y]")
    share: Float = (stamps - years) / ((years + 1).astype("datetime64[us]") - years)
    return share


# scikit-learn 1.6 keeps the columns left over, of which there are none, in a list of a kind of its own,
# which no model file takes.
_PLAIN = {"force_int_remainder_cols": False} if sklearn.__version__.startswith("1.6.") else {}


def preparation(columns: Sequence[Column], *, raw: bool = False) -> ColumnTransformer:
    """What makes numbers of a frame that `typed` gave for these columns.

    raw: numbers stay as they are, in their own units, but for missing ones.
    """
    of: dict[str, list[str]] = {}
    for column in columns:
        if column.used:
            of.setdefault("number" if column.is_quantity else column.kind, []).append(column.name)
    holes = [c.name for c in columns if c.used and c.is_quantity and c.n_holes]
    blocks: list[tuple[str, Any, Any]] = []
    if numbers := of.get("number"):
        blocks.append(("number", _numbers(raw), numbers))
    if holes:
        blocks.append(("missing", MissingIndicator(features="all", error_on_new=False), holes))
    if categories := of.get("category"):
        blocks.append(("category", OneHotEncoder(handle_unknown="ignore"), categories))
    if dates := of.get("date"):
        blocks.append(("date", Pipeline([("parts", DateParts()), *_scaled()]), dates))
        blocks.append(("season", Pipeline([("parts", DateParts("waves")), ("filled", _zeros())]), dates))
    blocks += [(f"text {name}", _text(), name) for name in of.get("text", ())]
    return ColumnTransformer(blocks, verbose_feature_names_out=False, **_PLAIN)


def in_units(prepare: ColumnTransformer, W: Float, b: Float) -> tuple[list[str], Float, Float]:
    """What each prepared feature is called, and coefficients W (K, d) and intercepts b (K,) of prepared
    features as those of numbers in their columns' own units: the logits are the same."""
    W, b = np.array(W, np.float64), np.array(b, np.float64)
    names: list[str] = [""] * W.shape[1]
    for block, fitted, columns in prepare.transformers_:
        place = prepare.output_indices_[block]
        names[place] = _names(block, fitted, columns)
        scaler = fitted.named_steps.get("scaled") if isinstance(fitted, Pipeline) else None
        if scaler is not None:
            W[:, place] /= np.nan_to_num(scaler.scale_, nan=1.0)  # NaN where all is missing
            b -= W[:, place] @ np.nan_to_num(scaler.mean_)
    return names, W, b


def _names(block: str, fitted: Any, columns: Any) -> list[str]:
    """Of the features that a block makes of its columns."""
    if block == "number":
        return list(columns)
    if block == "missing":
        return [f"{name} is missing" for name in columns]
    if block == "category":
        pairs = zip(columns, fitted.categories_, strict=True)
        return [
            f"{name} = {'missing' if value is None else value}" for name, values in pairs for value in values
        ]
    if block in ("date", "season"):
        return list(fitted.named_steps["parts"].get_feature_names_out())
    parts = (name.partition("__")[::2] for name in fitted.get_feature_names_out())
    return [f"{columns}: {'piece ' * (part == 'pieces')}{text!r}" for part, text in parts]


def _numbers(raw: bool) -> Pipeline:
    return Pipeline([("filled", SimpleImputer(keep_empty_features=True))] if raw else _scaled())


def _scaled() -> list[tuple[str, Any]]:
    """Standardised, whatever is missing; then 0 is the mean."""
    return [("scaled", StandardScaler()), ("filled", _zeros())]


def _zeros() -> SimpleImputer:
    """In place: what it fills is a copy already, made by the step before."""
    return SimpleImputer(strategy="constant", fill_value=0.0, keep_empty_features=True, copy=False)


def _text() -> FeatureUnion:
    """Words, whatever they are made of ("w17"), and pieces of two to four characters within them."""
    words = TfidfVectorizer(token_pattern=r"(?u)\b\w+\b", sublinear_tf=True, max_features=MOST_PIECES)
    pieces = TfidfVectorizer(
        analyzer="char_wb", ngram_range=(2, 4), sublinear_tf=True, max_features=MOST_PIECES
    )
    return FeatureUnion([("words", words), ("pieces", pieces)])


def forget_addresses(prepare: ColumnTransformer) -> None:
    """Take out what differs between processes: a vectorizer keeps where in memory its stop words lie."""
    for _, fitted, _ in prepare.transformers_:
        if isinstance(fitted, FeatureUnion):
            for _, vectorizer in fitted.transformer_list:
                vars(vectorizer).pop("_stop_words_id", None)
