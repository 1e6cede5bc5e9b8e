"""What all formats have in common: names that are unique, and columns of one type each."""

from __future__ import annotations

import datetime
import decimal
from collections.abc import Collection, Sequence
from typing import Any

import numpy as np
import pandas as pd

from .errors import MISSING, TableError, nested, some


def unique_names(raw: Sequence[Any]) -> tuple[list[str], list[str]]:
    """Names without blanks around them, none empty and none twice; and a note for each kind of change."""
    names, notes, seen = [], [], set()
    trimmed, numbered, repeated = [], [], []
    for j, given in enumerate(raw):
        text = "" if given is None or given != given else str(given)
        name = " ".join(text.split()) if "\n" in text or "\r" in text else text.strip()
        if name != text:
            trimmed.append(name)
        if not name:
            name = f"column {j + 1}"
            numbered.append(name)
        if name in seen:
            again, name = name, next(n for k in range(2, len(raw) + 2) if (n := f"{name} ({k})") not in seen)
            repeated.append(f"{again!r} (now {name!r})")
        seen.add(name)
        names.append(name)
    if trimmed:
        notes.append(f"blanks around the names of columns were taken off: {some(trimmed)}")
    if numbered:
        notes.append(f"columns without a name are called by their place: {some(numbered)}")
    if repeated:
        shown = ", ".join(repeated[:12]) + ", …" * (len(repeated) > 12)
        notes.append(f"names of several columns were made different: {shown}")
    return names, notes


def settle(frame: pd.DataFrame, name: str, verbatim: Collection[str] = ()) -> pd.DataFrame:
    """`frame` with numbers, truth values, dates, spans or text in each column, `verbatim` ones as text."""
    columns = {
        label: as_written(column) if label in verbatim else _settled(column, f"{name}: column {label!r}")
        for label, column in frame.reset_index(drop=True).items()
    }
    return pd.DataFrame(columns, index=pd.RangeIndex(len(frame)), copy=False)


def as_written(column: pd.Series) -> pd.Series:
    """The cells as text, "" for a missing one."""
    plain = column.astype(object).where(column.notna(), "")
    return plain.map(_text).astype(str)


def _text(cell: Any) -> str:
    return cell.decode(errors="replace") if isinstance(cell, bytes) else str(cell)


def _settled(column: pd.Series, where: str) -> pd.Series:
    kind = column.dtype
    if isinstance(kind, pd.CategoricalDtype):
        return _settled(column.astype(kind.categories.dtype), where)
    if isinstance(kind, pd.PeriodDtype):
        return column.dt.to_timestamp()
    if isinstance(kind, pd.IntervalDtype):
        return column.astype(str).where(column.notna(), None)
    if pd.api.types.is_object_dtype(kind):
        return _of_objects(column, where)
    if pd.api.types.is_complex_dtype(kind):
        raise TableError(f"{where} holds complex numbers; split it into its real and imaginary parts")
    if pd.api.types.is_bool_dtype(kind):
        return column.astype("boolean") if column.isna().any() else column.astype(bool)
    if not pd.api.types.is_numeric_dtype(kind):
        return column
    if kind == np.float16:
        return column.astype(np.float32)
    if isinstance(kind, np.dtype):
        return column
    whole = pd.api.types.is_integer_dtype(kind) and not column.isna().any()
    return column.astype(kind.numpy_dtype if whole else np.float64)


def _of_objects(column: pd.Series, where: str) -> pd.Series:
    """What pandas keeps as Python's objects: cells of Excel and JSON, decimals, days, times, bytes."""
    cells = column.where(column.notna(), None)
    types = {type(cell) for cell in cells if cell is not None}
    if several := types & {list, dict, tuple, set, np.ndarray}:
        raise nested(where, several.pop().__name__)
    if str in types and len(types) > 1:  # "NA" among numbers
        cells = cells.where(~cells.isin(MISSING), None)
        types = {type(cell) for cell in cells if cell is not None}
    if not types:
        return cells
    if types <= {bool, np.bool_}:
        return cells.astype("boolean" if cells.isna().any() else bool)
    if all(issubclass(t, int | float | np.number | decimal.Decimal) and t is not bool for t in types):
        whole = all(issubclass(t, int | np.integer) for t in types) and not cells.isna().any()
        return _whole(cells) if whole else cells.astype(np.float64)
    if all(issubclass(t, datetime.date) for t in types):
        dates = pd.to_datetime(cells, errors="coerce", utc=any(_zoned(cell) for cell in cells) or None)
        if (dates.isna() == cells.isna()).all():  # else years that nanoseconds do not reach
            return dates
    if types <= {datetime.time}:
        return pd.to_timedelta(cells.map(str, na_action="ignore"))
    if all(issubclass(t, datetime.timedelta) for t in types):
        return pd.to_timedelta(cells)
    return cells.map(_text, na_action="ignore")


def _zoned(cell: Any) -> bool:
    return getattr(cell, "tzinfo", None) is not None


def _whole(cells: pd.Series) -> pd.Series:
    try:
        return cells.astype(np.int64)
    except OverflowError:
        return cells.astype(str)  # digits beyond 64 bits are no quantity
