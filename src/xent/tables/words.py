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
LEAST_WORDS = 3  # on average: names and models of things have two

# Scripts without blanks: each letter counts as a word.
_LETTER = re.compile("([\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af])")
_BETWEEN = re.compile(r"[\s,;|]+")


def wording(texts: Texts) -> str:
    """ "category", "text" or "id" for a column with these values."""
    n, distinct = int(texts.counts.sum()), len(texts.values)
    if 2 * distinct > n or distinct > MANY:
        if worth_reading(texts):
            return "text"
        if distinct > NEARLY_ALL * n:
            return "id"
    return "category"


def worth_reading(texts: Texts) -> bool:
    """Whether these are several words each, most of which other rows have as well."""
    step = max(1, len(texts.values) // SAMPLE)
    some = texts.values.take(pa.array(np.arange(0, len(texts.values), step)))
    words = [_BETWEEN.split(_LETTER.sub(r" \1 ", text.lower()).strip()) for text in some.to_pylist()]
    rows = Counter(word for each in words for word in set(each))
    again = sum(count for count in rows.values() if count > 1)
    return sum(map(len, words)) >= LEAST_WORDS * len(words) and 2 * again >= rows.total()
