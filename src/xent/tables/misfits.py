"""Texts that do not fit what the others of their column are: how many are borne, and which mean "missing"."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from .._types import Bool
from .cells import Texts, bools

MOST_ROWS = 0.05  # of a column's values
MOST_TEXTS = 10  # distinct ones
HEAD = 1000  # so many distinct texts tell most columns of words apart from numbers and dates

# Each says "no value" in any column: these may be up to half of it, as "." is in what SAS writes.
_BLANKS = (
    *(
        "-",
        "--",
        "---",
        "–",
        "—",
        ".",
        "..",
        "...",
        "…",
        "*",
        "n.a.",
        "n.a",
        "na",
        "n/k",
        "none",
        "null",
        "nil",
    ),
    *("(null)", "missing", "unknown", "unk", "unspecified", "tbd", "not available", "not known", "no data"),
    *("not applicable", "#value!", "#div/0!", "#ref!", "#name?", "#num!", "#null!"),
    *("0000-00-00", "0000-00-00 00:00:00"),
)


def borne(texts: Texts, fits: Bool) -> bool:
    """Whether the column is what `fits` (u,) says of its distinct texts, but for a few."""
    n = int(texts.counts.sum())
    wrong = np.flatnonzero(~fits)
    if not len(wrong) or len(wrong) > MOST_TEXTS + len(_BLANKS) or len(wrong) == len(fits):
        return not len(wrong)
    counts = texts.counts[wrong]
    odd = ~blank(texts.values.take(pa.array(wrong)))
    few = int(odd.sum()) <= MOST_TEXTS and int(counts[odd].sum()) <= MOST_ROWS * n
    return few and 2 * int(counts.sum()) <= n


def hopeless(texts: Texts, fits: Bool) -> bool:
    """Whether so many of the first distinct texts do not fit, `fits` (≤ u,), that no rest can mend it."""
    wrong = texts.values[: len(fits)].filter(pa.array(~fits))
    return len(wrong) > MOST_TEXTS and int((~blank(wrong)).sum()) > MOST_TEXTS


def blank(values: Any) -> Bool:
    """(u,): the texts that say "no value" in any column."""
    return bools(pc.is_in(pc.utf8_lower(values), value_set=pa.array(_BLANKS, pa.large_string())))
