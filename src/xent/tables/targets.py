"""The target's column as labels: counted, checked, and nothing taken for a class without a word."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from .._types import Array, Bool, Index
from .errors import MISSING, TableError, some

MANY = 50  # whole numbers that differ, from where on they may be a quantity
FEW = 20  # numbers with decimals that may be classes, if each has rows enough
UNNAMED = "(missing)"  # the class of empty cells, if somebody wants one


@dataclass(frozen=True)
class Target:
    """classes (K,), sorted; codes (n',): the place among them of each row that has one; kept (n,): which
    rows those are; what must be said of them."""

    classes: Array
    codes: Index
    kept: Bool
    notes: tuple[str, ...] = ()

    @property
    def labels(self) -> Array:
        """(n',)."""
        return np.asarray(self.classes[self.codes])

    def counts(self) -> dict[str, int]:
        """Rows per class, in the order of the classes."""
        counts = np.bincount(self.codes)
        return {str(label): int(count) for label, count in zip(self.classes, counts, strict=True)}


def understood(column: pd.Series, where: str, *, missing: str = "error") -> Target:
    """The labels in a column that was read verbatim: text stays as written, whole numbers are integers.

    missing: what a cell without a class is, an "error", a row to "drop", or a "class" of its own; so are
    "NA", "?" and their like. Raises TableError, also for a quantity instead of classes.
    """
    place = f"{where}: column {str(column.name)!r}"
    codes, words = _words(column)
    stripped = np.char.strip(words)
    gone = np.isin(stripped, ["", *MISSING])[codes]
    kept = np.ones(len(column), bool)
    notes: list[str] = []
    if gone.any():
        notes.append(_of_missing(pd.Series(stripped[codes[gone]]), int(np.argmax(gone)), missing, place))
        if missing == "drop":
            kept = ~gone
        else:
            words = np.where(stripped == "", UNNAMED, words)
    if not kept.any():
        raise TableError(f"{place} has no class in any row")
    numeric = column.dtype.kind in "fiub" and isinstance(column.dtype, np.dtype) and not gone[kept].any()
    codes, classes = coded(column.to_numpy()[kept]) if numeric else _classes(words, codes[kept])
    _refuse_quantity(classes, len(codes), place)
    if len(classes) == 1:
        raise TableError(
            f"{place} has only one class, {str(classes[0])!r} in all {len(codes):,} rows; a classifier needs "
            "two or more"
        )
    return Target(classes, codes, kept, (*notes, *_remarks(classes, np.bincount(codes), place)))


def _words(column: pd.Series) -> tuple[Index, Array]:
    """The word of each row as its place among the distinct ones (u,); it is "" where there is nothing."""
    codes, distinct = pd.factorize(column, use_na_sentinel=False)
    found = pd.Series(distinct)
    among, words = pd.factorize(found.astype(object).where(found.notna(), "").astype(str))
    return np.asarray(among[codes], np.int64), np.asarray(words, str)


def _of_missing(words: pd.Series, row: int, missing: str, place: str) -> str:
    counts = words.replace("", "nothing").value_counts()
    found = " and ".join(
        f"{word if word == 'nothing' else repr(word)} in {n:,}" for word, n in counts.items()
    )
    rows = f"{place} has {found} of its rows, first in row {row + 1:,}"
    if missing == "error":
        raise TableError(f"{rows}; --missing-target drop leaves these rows out, class makes a class of them")
    return f"{rows}; " + ("these rows are left out" if missing == "drop" else "they are a class of their own")


def _classes(words: Array, codes: Index) -> tuple[Index, Array]:
    """The class of each row as its place among the sorted ones, and these: words (u,) that occur, as written,
    but whole numbers written plainly as integers: "01" stays text."""
    seen = np.flatnonzero(np.bincount(codes, minlength=len(words)))
    found = words[seen]
    try:
        numbers = found.astype(np.int64)
    except (ValueError, OverflowError):
        numbers = None
    if numbers is not None and (numbers.astype(str) == found).all():
        found = numbers
    classes, places = np.unique(found, return_inverse=True)
    among = np.zeros(len(words), np.int64)
    among[seen] = places
    return among[codes], classes


def coded(labels: Array) -> tuple[Index, Array]:
    """The class of each label as its place among the sorted classes, and these: a hash, since sorting a
    million texts takes as long as a fit."""
    codes, found = pd.factorize(labels, sort=True)
    classes: Array = np.asarray(found).astype(labels.dtype)
    return codes.astype(np.int64), classes


def _refuse_quantity(classes: Array, n: int, place: str) -> None:
    """Raise TableError where the target is a quantity: numbers with decimals that hardly repeat."""
    values: Any = classes
    if classes.dtype.kind == "U":
        try:
            values = classes.astype(np.float64)
        except ValueError:
            return
    if values.dtype.kind != "f" or not np.isfinite(values).all() or (values == np.floor(values)).all():
        return
    k = len(values)
    if k > FEW or 5 * k > n:
        raise TableError(
            f"{place} holds {k:,} different numbers in {n:,} rows, with decimals: a quantity, where xent "
            "predicts classes; cut it into ranges first, as pandas.cut does, or use a regression"
        )


def _remarks(classes: Array, counts: Index, place: str) -> list[str]:
    notes = []
    if classes.dtype.kind in "iu" and len(classes) > MANY:
        notes.append(
            f"{place} holds {len(classes)} different whole numbers; each is a class. If they are a "
            "quantity, cut it into ranges first"
        )
    if classes.dtype.kind == "U":
        same = pd.Series(classes).groupby([str(label).strip().casefold() for label in classes]).agg(list)
        notes += [
            f"{place}: the classes {some(like)} differ by blanks or capitals alone, and are told apart"
            for like in same
            if len(like) > 1
        ]
    single = [str(label) for label in classes[counts == 1]]
    if single and len(classes) > 1:
        notes.append(f"{place}: {some(single)} {'has' if len(single) == 1 else 'have'} a single row")
    return notes


def split(
    X: pd.DataFrame, y: Array, holdout: float, seed: int, *, names: Array | None = None
) -> tuple[pd.DataFrame, pd.DataFrame | None, Array, Array | None]:
    """Rows to fit and rows to hold out, every class in both in its share; None for the latter if that is 0.

    names: the classes, where y is their places. Raises ValueError where a class has too few rows for that.
    """
    if holdout == 0:
        return X, None, y, None
    from sklearn.model_selection import train_test_split

    codes, classes = coded(y) if names is None else (y, names)
    counts = np.bincount(codes)
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
    X, X_test, y, y_test, fitted, _ = train_test_split(
        X, y, codes, test_size=holdout, random_state=seed, stratify=codes
    )
    if not (left := np.bincount(fitted, minlength=len(classes))).all():
        raise ValueError(
            f"--holdout {holdout:g}: no row of class {str(classes[np.argmin(left)])!r} is left to fit, of "
            f"{int(counts[np.argmin(left)])}; {remedy}"
        )
    return X, X_test, y, y_test
