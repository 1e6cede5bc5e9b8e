"""Texts that do not fit what the others of their column are: how many are borne, and which mean "missing"."""

from __future__ import annotations

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
    "- -- --- – — . .. ... … * n.a. n.a na n/k none null nil (null) missing unknown unk unspecified tbd "
    "#value! #div/0! #ref! #name? #num! #null! #n/v 0000-00-00"
).split()
_BLANKS += ["not available", "not known", "not applicable", "no data", "0000-00-00 00:00:00"]


def borne(texts: Texts, fits: Bool) -> bool:
    """Whether the column is what `fits` (u,) says of its distinct texts, but for a few."""
    n = int(texts.counts.sum())
    wrong = ~fits
    if not wrong.any():
        return True
    odd = wrong & ~blank(texts)
    rows = int(texts.counts[odd].sum())
    return (
        int(odd.sum()) <= MOST_TEXTS
        and rows <= MOST_ROWS * n
        and 2 * int(texts.counts[wrong].sum()) <= n
        and bool(fits.any())
    )


def hopeless(texts: Texts, fits: Bool) -> bool:
    """Whether so many of the first distinct texts do not fit that the rest cannot mend it; `fits` is theirs."""
    return int((~fits & ~blank(texts)[: len(fits)]).sum()) > MOST_TEXTS


def blank(texts: Texts) -> Bool:
    """(u,): the texts that say "no value" in any column."""
    # None of them is longer: the rest need not be made lower case.
    short = bools(pc.less_equal(pc.binary_length(texts.values), max(map(len, _BLANKS)) * 3))
    found = np.zeros(len(texts.values), dtype=np.bool_)
    lower = pc.utf8_lower(texts.values.filter(pa.array(short)))
    found[short] = bools(pc.is_in(lower, value_set=pa.array(_BLANKS, pa.large_string())))
    return found
