"""The cells of a column, whatever pandas holds them in: numbers, truth values, dates, durations or texts."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from .._types import Array, Bool, Float, Index
from .errors import MISSING, TableError, nested


@dataclass(frozen=True)
class Texts:
    """Texts (n,) by their distinct values, each trimmed: work on a value is work on all its rows.

    codes: (n,), which value, -1 where there is none. values: Arrow strings (u,). counts: rows of each (u,).
    """

    codes: Index
    values: Any
    counts: Index

    def spread(self, values: Array, missing: Any) -> Array:
        """`values` (u,) of the distinct texts for every row (n,), `missing` where there is none."""
        return np.append(values, np.array([missing], dtype=values.dtype))[self.codes]

    def at(self, row: int) -> str:
        """The text in this row."""
        return str(self.values[int(self.codes[row])].as_py())

    def rows(self, which: Bool) -> Index:
        """The rows (from 0) whose text is one of `which` (u,)."""
        return np.flatnonzero(self.spread(which, False)).astype(np.int64)


@dataclass(frozen=True)
class Cells:
    """A column: number (float64), boolean (1, 0), date (UTC, no zone), duration (seconds) or text.

    whole: numbers that the file has as integers, as such, if none is missing. beyond: the rows of dates too
    far off for nanoseconds, which are missing in `dates`, and what they are.
    """

    family: str
    numbers: Float | None = None
    dates: Array | None = None
    texts: Texts | None = None
    whole: Index | None = None
    beyond: Mapping[int, str] = field(default_factory=dict)

    def missing(self) -> Bool:
        """(n,): the rows without a value."""
        if self.texts is not None:
            return self.texts.codes < 0
        if self.dates is not None:
            return np.asarray(np.isnat(self.dates), dtype=np.bool_)
        assert self.numbers is not None
        return np.isnan(self.numbers)

    def values(self) -> Array:
        """(n,): the codes of texts, integers as such, other numbers, or dates."""
        if self.texts is not None:
            return self.texts.codes
        found = (values for values in (self.whole, self.numbers, self.dates) if values is not None)
        return next(found)


def cells(column: pd.Series) -> Cells:
    """The cells of a column by what they are. Raises TableError if they are lists, structs or the like."""
    dtype = column.dtype
    if isinstance(dtype, pd.CategoricalDtype):
        return cells(column.astype(dtype.categories.dtype))
    if isinstance(dtype, pd.SparseDtype):
        return cells(column.sparse.to_dense())
    if pd.api.types.is_bool_dtype(dtype):
        return Cells("boolean", numbers=_float(column))
    if pd.api.types.is_datetime64_any_dtype(dtype):
        return _utc(column)
    if getattr(dtype, "kind", "O") == "m":  # Arrow's too
        return Cells("duration", numbers=_seconds(column))
    if pd.api.types.is_complex_dtype(dtype):
        raise TableError(
            f"column {column.name!r} holds complex numbers; split it into two columns of real ones"
        )
    if pd.api.types.is_numeric_dtype(dtype):
        return _numeric(column)
    return _objects(column)


def _numeric(column: pd.Series) -> Cells:
    whole = None
    if pd.api.types.is_integer_dtype(column.dtype) and not column.isna().any():
        whole = column.to_numpy().astype(np.int64)  # uint64 wraps around, and stays distinct
    return Cells("number", numbers=_float(column), whole=whole)


def _float(column: pd.Series) -> Float:
    return np.asarray(column.to_numpy(dtype=np.float64, na_value=np.nan), dtype=np.float64)


def _utc(column: pd.Series) -> Cells:
    """In UTC, to the nanosecond, which reaches from 1678 to 2261."""
    if not isinstance(column.dtype, np.dtype | pd.DatetimeTZDtype):  # Arrow's
        column = pd.to_datetime(column, utc=True)
    dates = column.dt.tz_convert("UTC").dt.tz_localize(None) if column.dt.tz is not None else column
    values = dates.to_numpy()
    years = values.astype("datetime64[Y]").astype(np.int64) + 1970
    far = ~np.isnat(values) & ((years < 1678) | (years > 2261))
    beyond = {int(row): str(values[row].astype("datetime64[s]")) for row in np.flatnonzero(far)}
    near = np.where(far, np.datetime64("NaT"), values).astype("datetime64[ns]")
    return Cells("date", dates=near, beyond=beyond)


def _seconds(column: pd.Series) -> Float:
    if not isinstance(column.dtype, np.dtype):
        column = column.astype("timedelta64[ns]")
    return np.asarray(column.dt.total_seconds().to_numpy(dtype=np.float64, na_value=np.nan))


def _objects(column: pd.Series) -> Cells:
    """Text, or Python objects."""
    if not pd.api.types.is_string_dtype(column.dtype):
        column = column.astype(object)  # periods, intervals, Arrow's lists
    found = pd.api.types.infer_dtype(column, skipna=True) if column.dtype == object else "string"
    if found in _OBJECTS:
        return _OBJECTS[found](column)
    if found not in ("string", "empty"):
        column = column.map(lambda value: _text(column.name, value), na_action="ignore")
    return Cells("text", texts=texts(column))


def _dates(column: pd.Series) -> Cells:
    known = column.dropna()
    stamps = pd.to_datetime(known, errors="coerce", utc=True).reindex(column.index)
    return _utc(stamps)


def _time(column: pd.Series) -> Cells:
    def seconds(t: datetime.time) -> float:
        return t.hour * 3600 + t.minute * 60 + t.second + t.microsecond / 1e6

    return Cells("duration", numbers=_float(column.astype(object).map(seconds, na_action="ignore")))


_OBJECTS: dict[str, Callable[[pd.Series], Cells]] = {
    "boolean": lambda column: Cells("boolean", numbers=_float(column)),
    "integer": lambda column: _numeric(column.infer_objects()),
    "floating": lambda column: Cells("number", numbers=_float(column)),
    "decimal": lambda column: Cells("number", numbers=_float(column)),
    "mixed-integer-float": lambda column: Cells("number", numbers=_float(column)),
    "date": _dates,
    "datetime": _dates,
    "datetime64": _dates,
    "timedelta": lambda column: Cells("duration", numbers=_seconds(pd.to_timedelta(column))),
    "time": _time,
}


def _text(name: Any, value: Any) -> str:
    if isinstance(value, list | dict | tuple | set | np.ndarray):
        raise nested(f"column {name!r}", type(value).__name__)
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def texts(column: pd.Series) -> Texts:
    """A column of str or missing values by its distinct texts, in order of first appearance."""
    array = pa.array(column, type=pa.large_string(), from_pandas=True)
    array = array.combine_chunks() if isinstance(array, pa.ChunkedArray) else array
    coded = array.dictionary_encode()
    codes = coded.indices.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int64)
    values, again = _trimmed(coded.dictionary)
    codes = np.append(again, -1)[codes]
    counts = np.bincount(codes[codes >= 0], minlength=len(values)).astype(np.int64)
    return Texts(codes, values, counts)


def _trimmed(values: Any) -> tuple[Any, Index]:
    """The distinct trimmed values that say something, and the number of each value among them, or -1."""
    trimmed = pc.utf8_trim_whitespace(values)
    among = np.arange(len(values), dtype=np.int64)
    if not bools(pc.equal(trimmed, values)).all():  # else they are distinct as they are
        coded = trimmed.dictionary_encode()
        trimmed, among = coded.dictionary, coded.indices.to_numpy(zero_copy_only=False).astype(np.int64)
    said = ~bools(pc.is_in(trimmed, value_set=pa.array(sorted(MISSING), pa.large_string())))
    numbers = np.where(said, np.cumsum(said) - 1, -1)
    return trimmed.filter(pa.array(said)), numbers[among]


def bools(array: Any) -> Bool:
    """An Arrow array of truth values as NumPy's."""
    return np.asarray(array.to_numpy(zero_copy_only=False), dtype=np.bool_)


def matches(values: Any, pattern: str) -> Bool:
    """(u,): which texts the whole of `pattern` (RE2's syntax) describes."""
    return bools(pc.match_substring_regex(values, f"^(?:{pattern})$"))
