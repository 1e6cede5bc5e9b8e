"""Texts that are neither numbers nor dates: categories, running text, or names and keys."""

from __future__ import annotations

import re
from collections import Counter

import numpy as np
import pyarrow as pa

from .cells import Texts

NEARLY_ALL = 0.9  # of the rows have a text of their own: a key
SAMPLE = 2000  # texts looked into for their words, evenly spread
MANY = 1000  # categories, beyond which several words are rather a text
LEAST_WORDS = 3  # on average, where nearly all texts differ: names and models of things have two
SHORT_TEXT = 1.5  # where some are the same, and yet most differ, as "ford pinto" in a list of cars

# Scripts without blanks: each letter counts as a word.
_LETTER = re.compile("([\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af])")
_BETWEEN = re.compile(r"[\s,;|]+")


def wording(texts: Texts) -> str:
    """ "category", "text" or "id" for a column with these values."""
    n, distinct = int(texts.counts.sum()), len(texts.values)
    if 2 * distinct > n or distinct > MANY:
        key = distinct > NEARLY_ALL * n
        if worth_reading(texts, LEAST_WORDS if key else SHORT_TEXT):
            return "text"
        if key:
            return "id"
    return "category"


def worth_reading(texts: Texts, least: float) -> bool:
    """Whether these are at least so many words each, on average, most of which other rows have as well."""
    step = max(1, len(texts.values) // SAMPLE)
    some = texts.values.take(pa.array(np.arange(0, len(texts.values), step)))
    words = [_BETWEEN.split(_LETTER.sub(r" \1 ", text.lower()).strip()) for text in some.to_pylist()]
    rows = Counter(word for each in words for word in set(each))
    again = sum(count for count in rows.values() if count > 1)
    return sum(map(len, words)) >= least * len(words) and 2 * again >= rows.total()
