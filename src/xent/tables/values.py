"""A frame's columns as what they were taken for, or an error that says which value is something else."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Sequence
from typing import Any, NoReturn

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from .._types import Array, Bool, Float
from . import dates, durations, numbers
from .cells import Cells, Texts, bools, cells
from .columns import Column
from .errors import TableError, some

TRUTH = "true/false"


def typed(
    frame: pd.DataFrame, columns: Sequence[Column], *, where: str, fitting: bool, decimal: str = "."
) -> pd.DataFrame:
    """The used ones of `columns`, in their order, each of its kind.

    number and duration (seconds) are float64, date is datetime64[ns] in UTC without zone, category and text
    are objects: str or, where there is none, None in a category and "" in a text. When `fitting`, what does
    not fit is missing, as `describe` says of it; later, only the words that were so then are, and all else
    raises TableError, which names column, row and value.
    where: the file. decimal: its decimal mark. Rows are counted from 1, or from where the RangeIndex of a
    piece of a table starts.
    """
    used = [column for column in columns if column.used]
    if missing := [column.name for column in used if column.name not in frame.columns]:
        raise TableError(
            f"{where}: {len(missing)} of the model's columns {'is' if len(missing) == 1 else 'are'} missing: "
            f"{some(missing)}; the file has {some(frame.columns)}"
        )
    start = frame.index.start if isinstance(frame.index, pd.RangeIndex) else 0
    out = {}
    for column in used:
        try:
            values = _Reader(column, cells(frame[column.name]), start, fitting, decimal).values()
        except TableError as error:
            raise TableError(f"{where}: {error}") from None
        out[column.name] = pd.Series(values, index=frame.index, dtype=values.dtype, copy=False)
    return pd.DataFrame(out, index=frame.index)


class _Reader:
    """One column's cells as the kind it has."""

    def __init__(self, column: Column, held: Cells, start: int, fitting: bool, decimal: str) -> None:
        self.column, self.held, self.start, self.fitting = column, held, start, fitting
        self.decimal = decimal

    def values(self) -> Array:
        column, held = self.column, self.held
        if column.kind == "category":
            return self._as_text()
        if column.kind == "text":  # none is a text of no words
            found = self._as_text()
            found[pd.isna(found)] = ""
            return found
        if column.kind == "date":
            return self._as_date()
        if held.missing().all():
            return np.full(len(held.missing()), np.nan)
        if held.texts is not None:
            parse = durations.parse if column.kind == "duration" else self._numbers
            parsed = parse(held.texts.values)
            fits = self._check(held.texts, np.isfinite(parsed))
            return held.texts.spread(np.where(fits, parsed, np.nan), np.nan)
        families = ("number", "boolean") if column.kind == "number" else ("duration",)
        if column.form == "seconds":
            families = ("number", "duration")
        if held.numbers is None or held.family not in families:
            self._refuse()
        if np.isinf(held.numbers).any():
            self._wrong(int(np.argmax(np.isinf(held.numbers))), "an infinite number")
        return held.numbers

    def _numbers(self, values: Any) -> Float:
        """Texts (u,) as numbers: in the column's form or, if it has no thousands, with the file's mark."""
        form = numbers.Form.of(self.column.form)
        parsed = numbers.parse(values, form)
        if form.decimal != self.decimal and not form.thousands and not self.fitting:
            other = numbers.parse(values, dataclasses.replace(form, decimal=self.decimal))
            parsed = np.where(np.isnan(parsed), other, parsed)
        return parsed

    def _as_date(self) -> Array:
        held = self.held
        if held.dates is not None:
            for row, text in held.beyond.items():
                if not self.fitting and text not in self.column.words:
                    self._wrong(row, repr(text))
            return held.dates
        if held.missing().all():
            return np.full(len(held.missing()), np.datetime64("NaT"), dtype="datetime64[ns]")
        if held.texts is not None:
            parsed = dates.parse(held.texts.values, (self.column.form or "%Y-%m-%d").split(" | "))
            fits = self._check(held.texts, ~np.isnat(parsed))
            return held.texts.spread(np.where(fits, parsed, np.datetime64("NaT")), np.datetime64("NaT"))
        if held.family != "number" or held.numbers is None:
            self._refuse()
        known = ~np.isnan(held.numbers)
        whole = np.where(known & (np.abs(held.numbers) < 2**53), held.numbers, 0)
        stamps = dates.of_compact(np.floor(whole).astype(np.int64))
        wrong = known & (np.isnat(stamps) | (whole != np.floor(whole)))
        if wrong.any():
            row = int(np.argmax(wrong))
            self._wrong(row, f"{held.numbers[row]:.15g}")
        return stamps

    def _as_text(self) -> Array:
        column, held = self.column, self.held
        if column.form == TRUTH:
            return self._as_truth()
        if held.texts is not None:
            return held.texts.spread(_objects(held.texts.values), None)
        if held.family in ("date", "duration") and column.form != held.family and not held.missing().all():
            self._refuse()
        return _written(held)

    def _as_truth(self) -> Array:
        """ "True" and "False", whether a file has them so, in small letters, or as 1 and 0."""
        held = self.held
        names = np.array(["False", "True", None], dtype=object)
        if held.texts is not None:
            lower = pc.utf8_lower(held.texts.values)
            truth, lie = (_is_in(lower, words) for words in (("true", "1", "1.0"), ("false", "0", "0.0")))
            self._check(held.texts, truth | lie)
            return held.texts.spread(names[np.where(truth, 1, np.where(lie, 0, 2))], None)
        if held.missing().all():
            return np.full(len(held.missing()), None, dtype=object)
        if held.numbers is None or held.family == "duration":
            self._refuse()
        wrong = ~np.isnan(held.numbers) & (held.numbers != 0) & (held.numbers != 1)
        if wrong.any():
            row = int(np.argmax(wrong))
            self._wrong(row, f"{held.numbers[row]:.15g}")
        return names[np.where(np.isnan(held.numbers), 2, held.numbers).astype(np.int64)]

    def _check(self, texts: Texts, fits: Bool) -> Bool:
        """What fits and was not taken as missing in `fit`. Raises TableError at the first other text."""
        words = _is_in(texts.values, self.column.words)
        wrong = ~fits & ~words
        if not self.fitting and wrong.any():
            row = int(texts.rows(wrong)[0])
            self._wrong(row, repr(texts.at(row)))
        return fits & ~words

    def _wrong(self, row: int, value: str) -> NoReturn:
        remedy = "leave it empty if it is unknown"
        if self.column.kind == "date":
            remedy += ", or write it as 2021-03-31"
        if self.column.form and self.column.form not in ("seconds", "%Y-%m-%d"):
            remedy += f", or as it was then, {self.column.form}"
        self._raise(f"row {row + 1 + self.start:,} has {value}; {remedy}")

    def _refuse(self) -> NoReturn:
        found = {"boolean": "truth value"}.get(self.held.family, self.held.family)
        self._raise(f"it holds a {found} in each row; write it as it was then, or fit the model again")

    def _raise(self, problem: str) -> NoReturn:
        name, kind = self.column.name, self.column.kind
        if self.fitting:
            raise TableError(f"column {name!r} is taken as a {kind}, but {problem}")
        raise TableError(f"column {name!r} was a {kind} when the model was fitted; now {problem}")


def _is_in(values: Any, words: Collection[str]) -> Bool:
    return bools(pc.is_in(values, value_set=pa.array(list(words), pa.large_string())))


def _objects(values: Any) -> Array:
    out = np.empty(len(values), dtype=object)
    out[:] = values.to_pylist()
    return out


def _written(held: Cells) -> Array:
    """Values that are no text as text: whole numbers without a point, dates as ISO 8601 has them."""
    if held.family == "date":
        codes, values = pd.factorize(held.dates)
        names = [str(value).removesuffix(".000000000").removesuffix("T00:00:00") for value in values]
    else:
        codes, values = pd.factorize(held.whole if held.whole is not None else held.numbers)
        names = [str(int(v)) if v == np.floor(v) and abs(v) < 2**63 else repr(float(v)) for v in values]
    out = np.empty(len(names) + 1, dtype=object)
    out[:] = [*names, None]
    return np.asarray(out[codes])
