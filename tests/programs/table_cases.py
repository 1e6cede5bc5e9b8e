"""Columns whose truth is known, drawn at random for `fuzz_tables.py`: what they mean, how it is written.

What is missing, what is a misfit and what a value is, the generator decides before anything is written; the
truth of a number is what Python's float() makes of its plain digits.
"""

from __future__ import annotations

import datetime
from dataclasses import dataclass, field

import numpy as np

GAPS = ("", "", "", "NA", "N/A", "NaN", "null", "None", "#N/A", "?")
BLANKS = ("-", "--", "missing", "unknown", "n.a.", ".", "#DIV/0!")  # say "no value" in any column
ODD = ("see note", "n.q.", "<5", "ask Bob", "12 or 13")  # say something else
LETTERS = {
    "ascii": "abcdefghijklmnopqrstuvwxyz",
    "western": 5 * "abcdefghijklmnoprstuvwxyz" + "äöüéèçñåøß",
    "all": "abcdefghijkżłščабвгдежзиклмнопαβγδ漢字仮名中文ابت한국어😀",
}
NASTY = (
    'a"b',
    "a,b",
    "a;b",
    "a|b",
    "tab\there",
    "two\nlines",
    "two\r\nlines",
    '"',
    '""',
    "'",
    "a=b",
    "#x",
    "x#",
)
NASTY += (
    "\\",
    "\\n",
    "a\\",
    "{}",
    "[1]",
    "<b>",
    "%",
    "a  b",
    "C++",
    "-x",
    "+y",
    "@z",
    "NaN?",
    "na ",
    "$",
    "1 2",
)
DATES = (
    *("%Y-%m-%d", "%Y/%m/%d", "%Y.%m.%d", "%d.%m.%Y", "%d/%m/%Y", "%m/%d/%Y", "%d-%m-%Y", "%m-%d-%Y"),
    *("%d %b %Y", "%d %B %Y", "%b %d, %Y", "%B %d, %Y", "%d-%b-%y", "%d-%b-%Y", "%Y%m%d", "%d.%m.%y"),
    *("%m/%d/%y", "%Y-%m", "%b %Y", "%a, %d %b %Y"),
)
TIMES = (
    "",
    "",
    "",
    " %H:%M",
    " %H:%M:%S",
    "T%H:%M:%S",
    "T%H:%M:%SZ",
    " %H:%M:%S.%f",
    "T%H:%M:%S+02:00",
    " %I:%M %p",
)


@dataclass
class Truth:
    """One column. values: float, datetime64[ns] or str, None where missing; texts: how each is written in a
    file of text; native: what a typed format holds, None where it holds the texts. misfits: by row.
    doubtful: no row tells day from month, or thousands from decimals."""

    name: str
    kind: str
    values: list
    texts: list
    native: object = None
    misfits: dict = field(default_factory=dict)
    doubtful: bool = False

    @property
    def missing(self):
        return sum(value is None for value in self.values) - len(self.misfits)


@dataclass(frozen=True)
class World:
    """What the columns of one file share."""

    rng: np.random.Generator
    n: int
    decimal: str
    alphabet: str
    tame: bool  # sizes that a model can take
    tabs: bool  # whether a cell may be empty or hold a tab
    form: str

    def pick(self, options):
        return options[int(self.rng.integers(len(options)))]

    def chance(self, p):
        return bool(self.rng.random() < p)

    def word(self, least=2, most=8):
        letters = LETTERS[self.alphabet]
        return "".join(self.pick(letters) for _ in range(self.rng.integers(least, most + 1)))

    def nasty(self):
        text = self.pick(NASTY).replace("\t", "\t" if self.tabs else "&")
        return text.replace("\r", "") if self.form == "xlsx" else text  # Excel has one end of a line

    def gap(self):
        gap = self.pick(GAPS)
        return gap if gap or self.tabs else "NA"


def number(world):
    """Numbers in every form."""
    rng, n = world.rng, world.n
    style = world.pick(
        ["int", "short", "short", "repr", "exponent", "grouped", "whole", "percent", "unit", "money"]
    )
    size = 10.0 ** rng.uniform(-2, 6) if world.tame or style not in ("repr", "exponent") else 1.0
    drawn = rng.normal(size=n) * size
    if not world.tame and style in ("repr", "exponent"):
        drawn *= 10.0 ** rng.uniform(-300, 300, n)
    if style in ("int", "whole"):
        drawn = np.round(drawn * (1 if world.tame else 10.0 ** rng.integers(0, 12)))
    if world.chance(0.3):
        drawn = np.abs(drawn)
    plain = [_digits(x, style) for x in drawn]
    values = [float(text) for text in plain]
    mark = ""
    if style in ("grouped", "whole", "money"):
        mark = world.pick([",", " ", "'"] if world.decimal == "." else [".", " ", "'"])
        mark = world.pick(["\u00a0", "\u202f"]) if mark == " " and world.alphabet == "all" else mark
    prefix = world.pick(["$", "€", "USD ", "£"]) if style == "money" else ""
    suffix = {"percent": world.pick(["%", " %"]), "unit": world.pick([" kg", "km", " m/s", "°"])}.get(
        style, ""
    )
    if "€" in prefix and world.chance(0.5):
        prefix, suffix = "", " €"
    if world.alphabet == "ascii":
        prefix, suffix = (
            prefix.replace("€", "$").replace("£", "$"),
            suffix.replace("€", "EUR").replace("°", "C"),
        )
    brackets = style == "money" and world.chance(0.3)
    texts = [_written(text, world.decimal, mark, prefix, suffix, brackets) for text in plain]
    native = drawn if style in ("int", "repr") else None
    if native is not None and world.chance(0.5):
        native = None
    return Truth("", "number", values, texts, native, doubtful=style == "whole" and mark in (".", ","))


def _digits(x, style):
    if style in ("int", "whole"):
        return str(int(x))
    if style in ("short", "grouped", "money", "percent", "unit"):
        return f"{x:.2f}"
    return repr(float(x)) if style == "repr" else f"{x:.6e}"


def _written(plain, decimal, mark, prefix, suffix, brackets):
    sign, body = ("-", plain[1:]) if plain[0] == "-" else ("", plain)
    whole, point, rest = body.partition(".")
    if mark:
        whole = f"{int(whole):,}".replace(",", mark)
    body = f"{prefix}{whole}{point and decimal}{rest}{suffix}"
    return f"({body})" if brackets and sign else sign + body


def date(world):
    """Dates in a format, or two that nobody can confuse, with or without times."""
    rng, n = world.rng, world.n
    form = world.pick(DATES)
    first, last = (1970, 2060) if form.endswith("%y") else (1902, 2098) if form == "%Y%m%d" else (1700, 2240)
    low = datetime.datetime(int(rng.integers(first, last - 3)), 1, 1)
    span = int(10 ** rng.uniform(1.5, 3))
    days = [low + datetime.timedelta(days=int(d)) for d in rng.integers(0, span, n)]
    clock = world.pick(TIMES) if form not in ("%Y%m%d", "%Y-%m", "%b %Y") else ""
    stamps = [_to_the(day, form, clock, rng) for day in days]
    texts = [_strftime(stamp, form + clock) for stamp in stamps]
    ahead = np.timedelta64(7200 if "+02" in clock else 0, "s")
    values = [np.datetime64(stamp, "ns") - ahead for stamp in stamps]
    day, month = "%d" in form, "%m" in form
    doubtful = day and month and form != "%Y%m%d" and all(stamp.day <= 12 for stamp in stamps)
    native = [stamp - datetime.timedelta(seconds=7200) if "+02" in clock else stamp for stamp in stamps]
    return Truth("", "date", values, texts, native if world.chance(0.6) else None, doubtful=doubtful)


def _strftime(stamp, form):
    return stamp.strftime(form.replace("%Y", f"{stamp.year:04d}"))


def _to_the(day, form, clock, rng):
    """What of a random moment the format keeps."""
    if "%d" not in form:
        day = day.replace(day=1)
    if not clock:
        return day
    moment = day.replace(hour=int(rng.integers(24)), minute=int(rng.integers(60)))
    if "%S" in clock:
        moment = moment.replace(second=int(rng.integers(60)))
    if "%f" in clock:
        moment = moment.replace(microsecond=int(rng.integers(10**6)))
    return moment


def category(world):
    """A few words, sane or nasty, that return."""
    k = int(world.rng.integers(2, 7))
    levels = {world.word() + str(j) for j in range(k)}
    if world.chance(0.5):
        levels |= {world.nasty() for _ in range(3)}
    if world.chance(0.2):
        levels |= {"1", "2.50", "03"}
    return _of_levels(world, sorted(levels, key=lambda level: level.strip()))


def _of_levels(world, levels):
    texts = [world.pick(levels) for _ in range(world.n)]
    values = [text.strip() or None for text in texts]
    return Truth("", "category", values, texts)


def code(world):
    """Digits with leading zeros."""
    texts = [f"{int(world.rng.integers(40)):04d}" for _ in range(world.n)]
    return Truth("", "category", list(texts), texts)


def truth_value(world):
    true, false = world.pick([("True", "False"), ("true", "false"), ("TRUE", "FALSE")])
    drawn = world.rng.random(world.n) < 0.5
    native = drawn if world.chance(0.5) else None
    return Truth(
        "",
        "category",
        ["True" if b else "False" for b in drawn],
        [true if b else false for b in drawn],
        native,
    )


def text(world):
    """Sentences whose words return."""
    words = [world.word(3, 9) for _ in range(40)]
    ends = [".", "!", "?", ";", ", too", ' "so"', "\nand on", ""]
    texts = [
        " ".join(world.pick(words) for _ in range(world.rng.integers(4, 10))) + world.pick(ends)
        for _ in range(world.n)
    ]
    return Truth("", "text", [t.strip() for t in texts], texts)


def key(world):
    """A name for each row."""
    texts = [f"{world.word(4, 8)}-{i}" for i in world.rng.permutation(world.n)]
    return Truth("", "id", list(texts), texts)


def duration(world):
    seconds = world.rng.integers(0, 86400, world.n)
    texts = [f"{s // 3600}:{s // 60 % 60:02d}:{s % 60:02d}" for s in seconds]
    return Truth("", "duration", [float(s) for s in seconds], texts)


def constant(world):
    word = world.pick(["7", world.word() + "x", "2021-03-04"])
    kept = float(word) if word == "7" else word
    return Truth("", "constant", [kept] * world.n, [word] * world.n)


def empty(world):
    return Truth("", "empty", [None] * world.n, [world.gap() for _ in range(world.n)])


KINDS = [number] * 6 + [date] * 4 + [category] * 4 + [text, key, code, truth_value, duration, constant, empty]


def column(world):
    """A column of any kind, with or without holes and misfits."""
    drawn = world.pick(KINDS)(world)
    if drawn.kind in ("constant", "empty"):
        return drawn
    if world.chance(0.4):
        _holes(world, drawn, world.rng.random(world.n) < world.rng.uniform(0, 0.3))
    if (
        drawn.kind in ("number", "date", "duration")
        and drawn.native is None
        and world.n >= 40
        and world.chance(0.3)
    ):
        words = (
            BLANKS[: -1 if world.form == "xlsx" else None] if world.chance(0.6) else ODD
        )  # Excel's own error
        for row in world.rng.choice(world.n, max(1, world.n // 50), replace=False):
            if drawn.values[row] is not None:
                drawn.texts[row] = drawn.misfits[int(row)] = world.pick(words)
                drawn.values[row] = None
    if world.chance(0.1):
        drawn.texts = [f" {text} " if world.chance(0.2) and text else text for text in drawn.texts]
    return drawn


def _holes(world, drawn, rows):
    if rows.all():
        rows[0] = False
    for row in np.flatnonzero(rows):
        drawn.values[row], drawn.texts[row] = None, world.gap()
    if drawn.native is not None:
        drawn.native = [None if gone else _plain(cell) for gone, cell in zip(rows, drawn.native, strict=True)]


def _plain(cell):
    return cell.item() if isinstance(cell, np.generic) else cell


def labels(world):
    """The target: classes as written, whatever they are called."""
    k = int(world.rng.integers(2, 5))
    plain = [world.word() for _ in range(k)], [str(j) for j in range(k)], ["yes", "no"], ["01", "02", "03"]
    nasty = (
        ["NA", "a"],
        ["p ", "p", "P"],
        ['"', "a,b", "c;d"],
        ["two\nlines", "None", "1.50"],
        ["True", "False"],
    )
    levels = list(dict.fromkeys(world.pick(plain) if world.chance(0.7) else world.pick(nasty)))
    drawn = [levels[i % len(levels)] for i in range(world.n)]
    texts = [drawn[i] for i in world.rng.permutation(world.n)]
    return Truth("", "target", list(texts), texts)
