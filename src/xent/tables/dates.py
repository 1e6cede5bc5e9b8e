"""Dates in text: which formats a column is written in, found on all its rows, and their values in UTC."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from .._types import Array, Bool, Index
from .cells import Texts, bools, matches
from .misfits import HEAD, borne, hopeless

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_LONG = ("uary", "ruary", "ch", "il", "", "e", "y", "ust", "t(?:ember)?", "ober", "ember", "ember")
_MONTH = "(?i:" + "|".join(f"{m}(?:{rest})?" for m, rest in zip(_MONTHS, _LONG, strict=True)) + r")\.?"
_WEEKDAY = r"(?:(?i:mon|tue|wed|thu|fri|sat|sun)[a-z]*,?\s+)?"
_TIME = (
    r"(?:(?:,?\s+|T)(?P<H>\d{1,2}):(?P<M>[0-5]\d)(?::(?P<S>[0-5]\d)(?:[.,](?P<f>\d{1,9})\d*)?)?"
    r"\s?(?P<p>(?:[AaPp]\.?[Mm]\.?)?)\s?(?P<z>(?:Z|UTC|GMT|[+-]\d\d(?::?\d\d)?)?))?"
)
# What every date here has; cheap to look for, where a dozen formats are not.
_PARTS = r"\d+[-/.\s,]\s?\w+\.?[-/.,\s]+\d.*|\d{4}-\d.*|\d{8}\D?.*|.*(?i:" + "|".join(_MONTHS) + r").*\d.*"
_YEAR, _M, _D = r"(?P<Y>\d{4})", r"(?P<m>0?[1-9]|1[0-2])", r"(?P<d>0?[1-9]|[12]\d|3[01])"


def _patterns() -> dict[str, str]:
    """Each date format and its pattern: those that say themselves which part is what, then the others."""
    found = {f"%Y{s}%m{s}%d": rf"{_YEAR}{re.escape(s)}{_M}{re.escape(s)}{_D}" for s in "-/."}
    found["%d %b %Y"] = rf"{_WEEKDAY}{_D}(?:st|nd|rd|th|\.)?[\s-](?:of )?(?P<b>{_MONTH})[\s,-]\s?{_YEAR}"
    found["%b %d, %Y"] = rf"{_WEEKDAY}(?P<b>{_MONTH})[\s-]{_D}(?:st|nd|rd|th)?[\s,-]\s?{_YEAR}"
    found["%d-%b-%y"] = rf"{_D}[\s-](?P<b>{_MONTH})[\s-](?P<y>\d\d)"
    found["%Y%m%d"] = r"(?P<Y>19\d\d|20\d\d|2100)(?P<m>0[1-9]|1[0-2])(?P<d>0[1-9]|[12]\d|3[01])"
    found["%Y-%m"] = rf"{_YEAR}-{_M}"
    found["%b %Y"] = rf"(?P<b>{_MONTH})[\s-]{_YEAR}"
    for year, pattern in (("%Y", _YEAR), ("%y", r"(?P<y>\d\d)")):
        for s in "./-":
            mark = re.escape(s)
            found[f"%d{s}%m{s}{year}"] = rf"{_D}{mark}{_M}{mark}{pattern}"
            found[f"%m{s}%d{s}{year}"] = rf"{_M}{mark}{_D}{mark}{pattern}"
    for s in "-/.":
        found[f"%Y{s}%d{s}%m"] = rf"{_YEAR}{re.escape(s)}{_D}{re.escape(s)}{_M}"
    return found


PATTERNS = _patterns()
# Formats that look the same but for the order of day and month.
RIVALS = {f"%m{s}%d{s}{y}": f"%d{s}%m{s}{y}" for s in "/-." for y in ("%Y", "%y")}
_DAY_THEN_MONTH = {f"%Y{s}%d{s}%m" for s in "-/."}
RIVALS |= {f"%Y{s}%m{s}%d": f"%Y{s}%d{s}%m" for s in "-/."}
_WAYS = [form for form in PATTERNS if form not in RIVALS.values()]
_PLAIN = [form for form in _WAYS if not form.startswith("%m")]  # nobody takes the month for the day


@dataclass(frozen=True)
class Found:
    """forms: the formats of a column, the most frequent first. dates (u,): NaT for what has none of them.
    doubtful: two formats that no row tells apart, the one taken first."""

    forms: tuple[str, ...]
    dates: Array
    doubtful: tuple[str, str] | None = None


def find(texts: Texts, *, day_first: bool, at_any_rate: bool = False) -> Found | None:
    """The formats of a column, None if it has none or too many other texts (unless `at_any_rate`).

    `day_first` decides between 03/04 and 04/03 where no row does; with dots, the day is first anyway.
    """
    if not at_any_rate and not matches(texts.values[:HEAD], _PARTS).any():
        return None
    often = {form: np.any(_looks(texts.values[:HEAD], form), axis=0) for form in _WAYS}
    if not at_any_rate and hopeless(texts, np.any([*often.values()], axis=0)):
        return None
    forms: list[str] = []
    doubtful = None
    dates = np.full(len(texts.values), np.datetime64("NaT"), dtype="datetime64[ns]")
    left = np.arange(len(dates))
    for way in sorted(_WAYS, key=lambda form: int(often[form].sum()), reverse=True):
        if not len(left):
            break
        looks = _looks(texts.values.take(pa.array(left)), way)
        if not looks.any():
            continue
        form, rival = _order(looks, texts.counts[left], way, day_first)
        doubtful = doubtful or (rival and (form, rival)) or None
        among = left[looks.any(axis=0)]
        dates[among] = _parse_one(texts.values.take(pa.array(among)), form)
        forms += [form] * bool((~np.isnat(dates[among])).any())
        left = left[np.isnat(dates[left])]
    if not forms or not (at_any_rate or borne(texts, ~np.isnat(dates))):
        return None
    return Found(tuple(forms), dates, doubtful)


def parse(values: Any, forms: Sequence[str]) -> Array:
    """Arrow strings (u,) as datetime64[ns] in UTC: of these formats, or of one that nobody can misunderstand.

    "31/03/2021" is understood, "01/03/2021" is not. NaT for others.
    """
    dates = np.full(len(values), np.datetime64("NaT"), dtype="datetime64[ns]")
    odd = any(form in _DAY_THEN_MONTH for form in forms)  # whose 2021-03-04 is in April
    plain = [form for form in _PLAIN if form not in forms and not (odd and form in RIVALS)]
    for form in [*forms, *plain]:
        left = np.flatnonzero(np.isnat(dates))
        if not len(left):
            return dates
        dates[left] = _parse_one(values.take(pa.array(left)), form)
    for form, rival in RIVALS.items():
        left = np.flatnonzero(np.isnat(dates))
        if len(left) and form.startswith("%m") and form.endswith("%Y") and not {form, rival} & set(forms):
            some = values.take(pa.array(left))
            dates[left] = _agreed(_parse_one(some, form), _parse_one(some, rival))
    return dates


def _agreed(one: Array, other: Array) -> Array:
    """What either says where the other says nothing or the same."""
    either = np.where(np.isnat(one), other, one)
    return np.where(np.isnat(one) | np.isnat(other) | (one == other), either, np.datetime64("NaT"))


def known(form: str) -> str:
    """A format of the user's as this file knows it: without its time, which may always follow."""
    date = re.sub(r"[\sT,]*%[HI].*$", "", form)
    return date if date in PATTERNS else form


def compact(whole: Array) -> bool:
    """Whether all these integers are dates such as 20210304, from 1900 to 2100."""
    if len(whole) == 0 or whole.min() < 19000101 or whole.max() > 21001231:
        return False
    return not bool(np.isnat(of_compact(np.unique(whole))).any())


def of_compact(whole: Array) -> Array:
    """Integers such as 20210304 as dates, NaT for others."""
    return _parse_one(pa.array(whole.astype(np.int64)).cast(pa.large_string()), "%Y%m%d")


def _looks(values: Any, form: str) -> Bool:
    """(2, u): which texts have the look of this format, and of its rival."""
    one = matches(values, PATTERNS[form] + _TIME)
    if form not in RIVALS or (form.startswith("%Y") and one.all()):
        return np.stack([one, np.zeros_like(one)])
    return np.stack([one, matches(values, PATTERNS[RIVALS[form]] + _TIME)])


def _order(looks: Bool, counts: Index, form: str, day_first: bool) -> tuple[str, str | None]:
    """This format or its rival, whichever more rows have, and the other one if all rows have both."""
    ones, others = (int(counts[look].sum()) for look in looks)
    if form.startswith("%Y") or ones != others:
        return (form if ones >= others else RIVALS[form]), None
    return (RIVALS[form], form) if day_first or "." in form else (form, RIVALS[form])


def _parse_one(values: Any, form: str) -> Array:
    """datetime64[ns] (u,) of this format, with or without time and zone; NaT for others."""
    if form not in PATTERNS:
        found = pd.to_datetime(
            pd.Series(values.to_pylist(), dtype=object), format=form, errors="coerce", utc=True
        )
        return np.asarray(found.dt.tz_localize(None).to_numpy().astype("datetime64[ns]"))
    iso = form == "%Y-%m-%d" and len(values) > 0 and matches(values, PATTERNS[form] + _TIME).all()
    if iso and (dates := _iso(values)) is not None:
        return dates
    parts = pc.extract_regex(values, f"^(?:{PATTERNS[form]}{_TIME})$")
    there = bools(parts.is_valid())
    dates = np.full(len(values), np.datetime64("NaT"), dtype="datetime64[ns]")
    if there.any():
        dates[there] = _assembled(parts.filter(pa.array(there)))
    return dates


def _iso(values: Any) -> Array | None:
    """All at once where Arrow reads them all, a few times as fast; if one has a zone, each must."""
    zone = re.search(r":.*(Z|[+-]\d\d(:?\d\d)?)$", values[0].as_py())
    try:
        dates = pc.cast(values, pa.timestamp("ns", "UTC" if zone else None))
    except pa.ArrowInvalid:
        return None
    return np.asarray(dates.to_numpy(zero_copy_only=False), dtype="datetime64[ns]")


def _assembled(parts: Any) -> Array:
    names = {field.name for field in parts.type}

    def whole(name: str, default: int) -> Index:
        if name not in names:
            return np.full(len(parts), default, dtype=np.int64)
        text = pc.struct_field(parts, name)
        text = pc.if_else(pc.equal(text, ""), str(default), text)
        return np.asarray(pc.cast(text, pa.int64()).to_numpy(zero_copy_only=False), dtype=np.int64)

    if "y" in names:
        short = whole("y", 0)
        year = np.where(short < 69, 2000, 1900) + short  # as POSIX has it
    else:
        year = whole("Y", 1)
    month = _month(pc.struct_field(parts, "b")) if "b" in names else whole("m", 1)
    day, hour = whole("d", 1), whole("H", 0)
    half = pc.utf8_lower(pc.struct_field(parts, "p"))
    late, early = (bools(pc.starts_with(half, letter)) for letter in "pa")
    wrong = (hour > 23) | ((late | early) & ((hour < 1) | (hour > 12))) | (year < 1678) | (year > 2261)
    hour = np.where(late & (hour < 12), hour + 12, np.where(early & (hour == 12), 0, hour))
    first = ((np.where(wrong, 1970, year) - 1970) * 12 + month - 1).astype("datetime64[M]")
    wrong |= day > ((first + 1).astype("datetime64[D]") - first.astype("datetime64[D]")).astype(np.int64)
    fraction = pc.utf8_rpad(pc.struct_field(parts, "f"), 9, "0")
    nanos = np.asarray(pc.cast(fraction, pa.int64()).to_numpy(zero_copy_only=False), dtype=np.int64)
    seconds = hour * 3600 + whole("M", 0) * 60 + whole("S", 0) - _offset(pc.struct_field(parts, "z"))
    days = first.astype("datetime64[D]").astype("datetime64[ns]") + (day - 1).astype("timedelta64[D]")
    dates = days + (seconds * 10**9 + nanos).astype("timedelta64[ns]")
    return np.where(wrong, np.datetime64("NaT"), dates)


def _month(names: Any) -> Index:
    short = pc.utf8_slice_codeunits(pc.utf8_lower(names), 0, 3)
    number = pc.index_in(short, value_set=pa.array(_MONTHS, pa.large_string()))
    return np.asarray(number.to_numpy(zero_copy_only=False), dtype=np.int64) + 1


def _offset(zones: Any) -> Index:
    """Seconds that clocks with these zones are ahead of UTC."""
    coded = zones.dictionary_encode()
    ahead = []
    for zone in coded.dictionary.to_pylist():
        found = re.fullmatch(r"([+-])(\d\d):?(\d\d)?", zone)
        minutes = int(found[2]) * 60 + int(found[3] or 0) if found else 0
        ahead.append(-60 * minutes if found and found[1] == "-" else 60 * minutes)
    return np.asarray(np.array(ahead, dtype=np.int64)[coded.indices.to_numpy(zero_copy_only=False)])
