"""What each column of a table is: decided on all its rows, so that it can be said and kept."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Collection, Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from .._types import Array, Bool, Index
from . import dates, durations, numbers
from .cells import Cells, Texts, cells, matches
from .columns import KINDS, Column, describe, table_rows, verbatim
from .errors import TableError, some
from .misfits import borne
from .values import TRUTH, typed
from .words import wording

__all__ = ["KINDS", "Column", "describe", "table_rows", "typed", "understand", "verbatim"]

CHOICES = ("number", "category", "text", "date", "duration", "id")
LONG = 10**10  # whole numbers from here on are keys if they all differ; seconds since 1970 have ten digits
MOST_WORDS = 1000  # misfits remembered where somebody insists on a kind
_KEY = re.compile(
    r"(?i:id|idx|index|key|nr|no|row|(row|case|record).?(id|no|nr|num|number|names?)|unnamed: \d+)"
    r"|(?i:.*[\W_]id)|.*[a-z]I[Dd]"
)


def understand(
    frame: pd.DataFrame,
    *,
    labels: Any = None,
    overrides: Mapping[str, str] | None = None,
    keep: Collection[str] = (),
    decimal: str = ".",
) -> list[Column]:
    """What each column of `frame` is, on all its rows.

    labels: the target's values (n,), of which a copy is left out. overrides: the kinds that somebody chose,
    as {"zip": "category", "when": "date:%d/%m/%Y"}. keep: columns that stay although they look like keys,
    constants or copies. decimal: the file's decimal mark. Raises TableError for unknown columns and kinds.
    """
    overrides = dict(overrides or {})
    _check_choices(frame.columns, overrides, keep)
    target = None if labels is None else pd.factorize(pd.Series(labels, copy=False))[0]

    def one(name: str, day_first: bool) -> Column:
        held = cells(frame[name])
        if name in overrides:
            return _chosen(name, held, overrides[name], decimal, day_first)
        column = _guess(name, held, decimal, day_first)
        return _left_out(column, held, target, name in keep)

    found = [one(name, decimal == ",") for name in frame.columns]
    if orders := {order for column in found if (order := _day_first(column)) is not None}:
        # Where no row of a column tells day from month, the other dates of the table do.
        again = orders.pop() if len(orders) == 1 else None
        if again is not None:
            found = [one(c.name, again) if c.kind == "date" and c.choice else c for c in found]
    return found


def _check_choices(names: Iterable[str], overrides: Mapping[str, str], keep: Collection[str]) -> None:
    names = list(names)
    for option, asked in (("--kind", overrides), ("--keep", keep)):
        if unknown := [name for name in asked if name not in names]:
            raise TableError(f"{option}: there is no column {some(unknown)}; the table has {some(names)}")
    for name, kind in overrides.items():
        if kind not in CHOICES and not re.match("date:.*%", kind):
            choices = ", ".join(CHOICES).replace("date", "date, date:FORMAT")
            raise TableError(f"--kind {name}={kind}: expected one of {choices}")


def _day_first(column: Column) -> bool | None:
    """What a column of dates says of the order of day and month, if its rows tell."""
    if column.kind != "date" or column.choice or not column.form:
        return None
    first = {form[:2] for form in column.form.split(" | ") if re.fullmatch(r"%[dm][/-]%[dm][/-]%[yY]", form)}
    return first == {"%d"} if len(first) == 1 else None


def _guess(name: str, held: Cells, decimal: str, day_first: bool) -> Column:
    missing = int(held.missing().sum()) - len(held.beyond)
    n = len(held.missing()) - missing - len(held.beyond)
    if n == 0 and not held.beyond:
        return Column(name, "empty", n_missing=missing)
    if held.texts is not None:
        return _guess_text(name, held.texts, decimal, day_first)
    if held.family == "number" and held.numbers is not None and _compact(held):
        return Column(name, "date", "%Y%m%d", n, missing)
    if held.family == "boolean":
        return Column(name, "category", TRUTH, n, missing)
    misfits = tuple((row + 1, text) for row, text in list(held.beyond.items())[:3])
    words = tuple(sorted(set(held.beyond.values())))[:MOST_WORDS]
    return Column(name, held.family, None, n, missing, misfits, len(held.beyond), words=words)


def _compact(held: Cells) -> bool:
    assert held.numbers is not None
    low, high = np.fmin.reduce(held.numbers), np.fmax.reduce(held.numbers)  # of those that are no NaN
    if not 19000101 <= low < high <= 21001231:
        return False
    known = held.numbers[~np.isnan(held.numbers)]
    return bool((known == np.floor(known)).all()) and dates.compact(known.astype(np.int64))


def _guess_text(name: str, texts: Texts, decimal: str, day_first: bool) -> Column:
    if matches(texts.values, "(?i:true|false)").all():
        return _column(name, "category", TRUTH, texts)
    for column in (_as_date(name, texts, day_first), _as_duration(name, texts)):
        if column is not None:
            return column
    if not numbers.codes_not_numbers(texts) and (column := _as_number(name, texts, decimal)) is not None:
        return column
    return _column(name, wording(texts), None, texts, why=numbers.why_not(texts, decimal))


def _column(
    name: str, kind: str, form: str | None, texts: Texts, fits: Bool | None = None, **more: Any
) -> Column:
    """A column of text of this kind, but for the values that do not fit (u,)."""
    n, missing = int(texts.counts.sum()), int((texts.codes < 0).sum())
    if fits is None or fits.all():
        return Column(name, kind, form, n, missing, **more)
    rows = texts.rows(~fits)
    first = tuple((int(row) + 1, texts.at(row)) for row in rows[:3])
    words = tuple(texts.values.filter(pa.array(~fits))[:MOST_WORDS].to_pylist())
    return Column(name, kind, form, n - len(rows), missing, first, len(rows), words=words, **more)


def _as_date(
    name: str, texts: Texts, day_first: bool, form: str | None = None, at_any_rate: bool = False
) -> Column | None:
    if form is not None:
        forms: tuple[str, ...] = (dates.known(form),)
        fits = ~np.isnat(dates.parse(texts.values, forms))
        return _column(name, "date", forms[0], texts, fits) if fits.any() else None
    found = dates.find(texts, day_first=day_first, at_any_rate=at_any_rate)
    if found is None:
        return None
    remark = choice = None
    if found.doubtful:
        taken, other = found.doubtful
        first = "day" if taken.startswith("%d") else "month"
        remark = f"no row tells day from month; the {first} is taken to come first, as in {taken}"
        choice = f"date:{other}"
    fits = ~np.isnat(found.dates)
    return _column(name, "date", " | ".join(found.forms), texts, fits, remark=remark, choice=choice)


def _as_duration(name: str, texts: Texts, at_any_rate: bool = False) -> Column | None:
    head = durations.parse(texts.values[:100])
    if not at_any_rate and np.isnan(head).all():
        return None
    fits = ~np.isnan(durations.parse(texts.values))
    if not fits.any() or not (at_any_rate or borne(texts, fits)):
        return None
    return _column(name, "duration", None, texts, fits)


def _as_number(name: str, texts: Texts, decimal: str, at_any_rate: bool = False) -> Column | None:
    found = numbers.find(texts, decimal, at_any_rate=at_any_rate)
    if found is None:
        return None
    values = numbers.parse(texts.values, found.form)
    fits = np.isfinite(values)
    remark = None
    if found.form.suffix == "%":
        remark = "percentages are taken as written: 45% is 45"
    if found.doubtful is not None:
        at = pc.index(texts.values, found.doubtful).as_py()
        other = "." if found.form.decimal == "," else ","
        remark = f"{found.doubtful!r} is taken as {values[at]:.15g}; --decimal '{other}' would change that"
    form = None if found.form == numbers.Form() else str(found.form)
    return _column(name, "number", form, texts, fits, remark=remark)


def _chosen(name: str, held: Cells, kind: str, decimal: str, day_first: bool) -> Column:
    """The column as the kind that somebody chose. Raises TableError if it cannot be that."""
    guess = _guess(name, held, decimal, day_first)
    kind, _, wanted = kind.partition(":")
    if guess.kind == "empty":
        return dataclasses.replace(guess, used=False, why="it has no value in any row")
    if kind == "id":
        n = guess.n_values + guess.n_misfits
        return Column(name, "id", None, n, guess.n_missing, used=False, why="--kind says that it is an id")
    plain = dataclasses.replace(guess, why=None, remark=None, choice=None)
    if kind in ("category", "text"):
        n = guess.n_values + guess.n_misfits
        form = None if held.texts is not None else TRUTH if held.family == "boolean" else held.family
        return Column(name, kind, form, n, guess.n_missing)
    if held.texts is not None:
        found = {
            "number": lambda: _as_number(name, held.texts, decimal, True),
            "date": lambda: _as_date(name, held.texts, day_first, wanted or None, True),
            "duration": lambda: _as_duration(name, held.texts, True),
        }[kind]()
        if found is not None:
            return found
    elif kind == held.family or (kind == "number" and held.numbers is not None and held.family != "duration"):
        return plain if kind == guess.kind else Column(name, kind, None, guess.n_values, guess.n_missing)
    elif kind == "date" and guess.kind == "date":
        return plain
    elif kind == "duration" and held.family == "number":
        return dataclasses.replace(plain, kind="duration", form="seconds")
    raise TableError(
        f"--kind {name}={kind}{':' * bool(wanted)}{wanted}: no value of column {name!r} is a {kind}; "
        f"the first is {_first(held)}; it may be category, text or {guess.kind}"
    )


def _first(held: Cells) -> str:
    row = int(np.argmin(held.missing()))
    if held.texts is not None:
        return f"{held.texts.at(row)!r} in row {row + 1:,}"
    values = held.numbers if held.numbers is not None else held.dates
    assert values is not None
    value = f"{values[row]:.15g}" if held.dates is None else str(values[row].astype("datetime64[s]"))
    return f"{value} in row {row + 1:,}"


def _left_out(column: Column, held: Cells, target: Index | None, keep: bool) -> Column:
    """The column, left out if it is of no use, unless somebody keeps it."""
    reason = _reason(column, held, target)
    kept_as = "text" if column.kind == "id" else column.kind
    if column.kind == "empty" or (reason and not keep):
        kind, why = reason or ("empty", "it has no value in any row")
        return dataclasses.replace(column, kind=kind, used=False, why=why)
    return dataclasses.replace(column, kind=kept_as)


def _reason(column: Column, held: Cells, target: Index | None) -> tuple[str, str] | None:
    """(kind, why) for a column that is of no use, None for others."""
    if column.kind == "empty":
        return "empty", "it has no value in any row"
    values = held.values()
    if not column.n_holes and (values == values[0]).all():
        return "constant", f"it has the same value in every row, {_first(held).split(' in row ')[0]}"
    if target is not None and _one_to_one(values, target):
        return column.kind, "it tells the target one to one, as a copy of it does"
    if column.kind == "id" and held.texts is not None:
        share = "each row" if len(held.texts.values) == len(values) else "nearly each row"
        return "id", f"{share} has a value of its own, as names and keys do"
    if column.kind == "number" and (why := _key(column, held)):
        return "id", why
    return None


def _one_to_one(values: Array, target: Index) -> bool:
    """Whether the column has one value for each of the target's, and the reverse."""
    for part in (slice(1000), slice(None)):  # the first rows spare most columns the others
        k = len(pd.unique(target[part]))
        codes, distinct = pd.factorize(values[part], use_na_sentinel=False)
        if len(distinct) != k or len(pd.unique(codes * (int(target.max()) + 1) + target[part])) != k:
            return False
    return len(pd.unique(target)) > 1


def _key(column: Column, held: Cells) -> str | None:
    """Why a column of whole numbers is a key, if it is."""
    found = _whole(held, column)
    if found is None or column.n_holes or len(found[0]) < 3:
        return None
    whole, size = found
    steps = np.diff(whole)
    if min(whole[0], whole[-1]) in (0, 1) and ((steps == 1).all() or (steps == -1).all()):
        return "it numbers the rows"
    long = size >= LONG
    if (long or _KEY.fullmatch(column.name)) and len(pd.unique(whole)) == len(whole):
        return f"each row has a {'long ' * long}whole number of its own, as keys do"
    return None


def _whole(held: Cells, column: Column) -> tuple[Index, float] | None:
    """Integers (n,), equal where the column's are, and the median of their size; None if some are none."""
    if held.texts is None:
        if held.whole is None or held.numbers is None:
            return None
        return held.whole, float(np.median(np.abs(held.numbers)))
    values = numbers.parse(held.texts.values, numbers.Form.of(column.form))
    if column.form or not (values == np.floor(values)).all():
        return None
    size = float(np.median(np.abs(values)))
    if (np.abs(values) < 2**53).all():
        return np.asarray(held.texts.spread(values.astype(np.int64), 0)), size
    return held.texts.codes + 2, size  # float64 may not tell their values apart; their texts do
