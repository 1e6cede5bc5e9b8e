"""Numbers in text: "$1,200", "1 234,5", "45%", "(1,200)", "1e3"; one way of writing them for a column."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from .._types import Bool, Float
from .cells import Texts, bools, matches
from .misfits import HEAD, borne, hopeless

_CODES = (
    "USD|EUR|GBP|CHF|JPY|CNY|RMB|INR|CAD|AUD|NZD|SEK|NOK|DKK|PLN|CZK|HUF|RON|BRL|MXN|ZAR|TRY|RUB|KRW|SGD|HKD"
)
_MONEY = rf"(?:US|CA|AU|A|C|R|HK|NZ|S)?\$|[€£¥₹₽₺₩฿₪₫¢]|{_CODES}|Rs\.?|Fr\.|kr\.?|zł"
_UNIT = rf"{_MONEY}|[%‰°]|[\p{{L}}µ°Ω%][\p{{L}}µ°Ω%/²³·]{{0,7}}"
_DIGIT = r"(?s:.*\d.*)"
_EXPONENT = r"(?:[eE][+-]?\d{1,3})?"
_AFFIXES = (
    rf"\(?[+-]?\s?(?P<prefix>(?:{_MONEY})?)\s?[+-]?[\d.,'\s]*\d[.,]?{_EXPONENT}\s?(?P<suffix>(?:{_UNIT})?)\)?"
)


@dataclass(frozen=True)
class Form:
    """How the numbers of a column are written; as a string, 1234.5 written so: "$1,234.5", "(1.234,5 €)"."""

    decimal: str = "."
    thousands: str = ""
    prefix: str = ""
    suffix: str = ""
    brackets: bool = False  # (5) is -5

    def __str__(self) -> str:
        space = " " if self.suffix[:1].isalpha() else ""
        inner = f"{self.prefix}1{self.thousands}234{self.decimal}5{space}{self.suffix}"
        return f"({inner})" if self.brackets else inner

    @classmethod
    def of(cls, text: str | None) -> Form:
        """The form that `str` gave as `text`; None is the plain one."""
        if text is None:
            return cls()
        found = re.fullmatch(r"(\(?)(.*?)1(\D?)234(\D)5 ?(.*?)(\)?)", text)
        if found is None:
            raise ValueError(f"{text!r} is no form of numbers; one is written as '$1,234.5'")
        return cls(found[4], found[3], found[2], found[5], bool(found[1]))

    def pattern(self) -> str:
        """What RE2 matches with a whole number written so; sign, marks, prefix and suffix may be left out."""
        whole = r"\d+"
        if self.thousands:
            mark = re.escape(self.thousands)
            whole = rf"(?:[1-9]\d{{0,2}}(?:{mark}\d{{3}})+|\d+)"
            if self.thousands == ",":  # India's 12,34,567
                whole = rf"(?:[1-9]\d?(?:,\d\d)+,\d{{3}}|{whole})"
        point = re.escape(self.decimal)
        body = rf"(?:{whole}(?:{point}\d*)?|{point}\d+){_EXPONENT}"
        suffix = rf"(?:\s?{_escape(self.suffix)})?" if self.suffix else ""
        prefix = rf"(?:{_escape(self.prefix)}\s?)" if self.prefix else ""
        signed = rf"(?:[+-]?\s?{prefix}?|{prefix}[+-]\s?)" if prefix else r"[+-]?\s?"
        inner = rf"{signed}{body}{suffix}"
        return rf"{inner}|\({prefix}{'?' * bool(prefix)}{body}{suffix}\)" if self.brackets else inner


@dataclass(frozen=True)
class Found:
    """form, the distinct texts that fit it (u,), and an example of what another form would read otherwise."""

    form: Form
    fits: Bool
    doubtful: str | None = None


def find(texts: Texts, decimal: str, *, at_any_rate: bool = False) -> Found | None:
    """The form in which most rows are numbers; None if too many others are none, or all `at_any_rate`."""
    head = texts.values[:HEAD]
    if not matches(head, _DIGIT).any() and not at_any_rate:
        return None  # ten times as fast as the next question
    if not at_any_rate and hopeless(texts, matches(_plain_signs(head), _AFFIXES)):
        return None
    values = _plain_signs(texts.values)
    plain = Form(decimal)
    fits = matches(values, plain.pattern())
    others = values.filter(pa.array(~fits))
    if not len(others):
        return Found(plain, fits)
    tried = []
    for form in _candidates(values, decimal, *_affixes(others[:HEAD])):
        if at_any_rate or not hopeless(texts, matches(values[:HEAD], form.pattern())):
            fit = fits if form == plain else matches(values, form.pattern())
            tried.append((int(texts.counts[fit].sum()), form, fit))
    if not tried:
        return None
    # The file's decimal mark and the fewest marks decide between forms that as many rows fit.
    rows, form, fits = max(tried, key=lambda t: (t[0], t[1].decimal == decimal, -len(t[1].thousands)))
    if not fits.any() or not (at_any_rate or borne(texts, fits)):
        return None
    tied = any(t[0] == rows and t[1].decimal != form.decimal for t in tried)
    tied = tied and not re.fullmatch(_MONEY, form.prefix or form.suffix)  # which has no third decimal
    return Found(form, fits, _doubtful(values, form, fits) if tied else None)


def parse(values: Any, form: Form) -> Float:
    """Arrow strings (u,) as numbers; NaN for what is not of this form."""
    values = _plain_signs(values)
    fits = matches(values, form.pattern())
    kept = values.filter(pa.array(fits))
    if form.prefix:
        kept = pc.replace_substring_regex(kept, rf"^(\(?[+-]?)\s?{_escape(form.prefix)}", r"\1")
    if form.suffix:
        kept = pc.replace_substring_regex(kept, rf"\s?{_escape(form.suffix)}(\)?)$", r"\1")
    if form.brackets:
        kept = pc.replace_substring(pc.replace_substring(kept, "(", "-"), ")", "")
    for mark in {form.thousands, " "} - {""}:
        kept = pc.replace_substring(kept, mark, "")
    if form.decimal != ".":
        kept = pc.replace_substring(kept, form.decimal, ".")
    numbers = np.full(len(fits), np.nan)
    numbers[fits] = pc.cast(kept, pa.float64()).to_numpy(zero_copy_only=False)
    return numbers


def codes_not_numbers(texts: Texts) -> bool:
    """Whether these are digits of which some begin with 0, as postcodes and article numbers do."""
    return bool(matches(texts.values, r"0\d+").any()) and bool(matches(texts.values, r"\d+").all())


def _escape(affix: str) -> str:
    return re.escape(affix).replace("\\ ", " ")


def _plain_signs(values: Any) -> Any:
    """Typographers' minus, apostrophe and blanks as those of a keyboard."""
    if pc.all(pc.string_is_ascii(values)).as_py() in (True, None):
        return values
    values = pc.replace_substring_regex(values, "[\u00a0\u202f\u2009]", " ")
    values = pc.replace_substring_regex(values, "[\u2019\u02bc]", "'")
    return pc.replace_substring_regex(values, "^(\\D?)[\u2212\u2013](.*\\d)", r"\1-\2")


def _found_affixes(values: Any) -> Counter[tuple[str, str]]:
    found = pc.extract_regex(values, f"^(?:{_AFFIXES})$").drop_null()
    return Counter((row["prefix"], row["suffix"]) for row in found.to_pylist())


def _affixes(values: Any) -> tuple[str, str, bool]:
    """The most frequent prefix and suffix, and whether brackets stand for a minus."""
    found = _found_affixes(values)
    prefixes: Counter[str] = Counter()
    suffixes: Counter[str] = Counter()
    for (prefix, suffix), count in found.items():
        prefixes[prefix] += count
        suffixes[suffix] += count
    prefix, suffix = (max(filter(None, c), key=c.__getitem__, default="") for c in (prefixes, suffixes))
    return prefix, suffix, bool(matches(values, r"\(.*\d.*\)").any())


def _candidates(values: Any, decimal: str, prefix: str, suffix: str, brackets: bool) -> list[Form]:
    """Forms with marks that occur, likeliest first: the file's decimal mark before the other."""
    seen = {mark for mark in ".,' " if bools(pc.match_substring(values, mark)).any()}
    forms = []
    for point in (decimal, "." if decimal == "," else ","):
        if point != decimal and point not in seen:
            continue
        marks = ["", *(mark for mark in ".,' " if mark in seen and mark != point)]
        forms += [Form(point, mark, prefix, suffix, brackets) for mark in marks]
    return forms


def _doubtful(values: Any, form: Form, fits: Bool) -> str | None:
    """A text that has a thousands mark here, or a decimal mark where three digits follow."""
    if form.thousands in (",", "."):
        shown = matches(values, rf".*\d{re.escape(form.thousands)}\d{{3}}(?:\D.*)?")
    else:
        shown = matches(values, rf"\D*[1-9]\d{{0,2}}{re.escape(form.decimal)}\d{{3}}(?:\D.*)?")
    which = np.flatnonzero(shown & fits)
    return str(values[int(which[0])].as_py()) if len(which) else None


def why_not(texts: Texts, decimal: str) -> str | None:
    """Why a column that looks like numbers is none, or None where it does not look so."""
    if codes_not_numbers(texts):
        return "some of its values begin with 0, as codes do"
    some = texts.values[:HEAD]
    if not matches(some, _DIGIT).any():
        return None
    looks = matches(_plain_signs(some), _AFFIXES)
    if 2 * int(looks.sum()) < len(looks):
        return None
    units = sorted({suffix or prefix for prefix, suffix in _found_affixes(some)} - {""})
    if looks.all() and len(units) > 1:
        return f"its numbers have different units ({', '.join(map(repr, units[:5]))})"
    found = find(texts, decimal, at_any_rate=True)
    if found is None:
        return None
    first = int(texts.rows(~found.fits)[0])
    share = f"{int(texts.counts[found.fits].sum()):,} of its {int(texts.counts.sum()):,} values"
    return f"{share} are numbers, but {texts.at(first)!r} in row {first + 1:,} is none"
