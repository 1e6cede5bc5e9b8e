"""Durations and times of day in text: "10:30", "1:02:03.5", "2 days 03:00:00"."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from .._types import Float
from .cells import matches

_CLOCK = r"[+-]?\d{1,4}:[0-5]\d"
_EXACT = rf"{_CLOCK}:[0-5]\d(?:\.\d+)?"
_DAYS = rf"[+-]?\d+ days?(?:,? {_EXACT})?"


def parse(values: Any) -> Float:
    """Arrow strings (u,) as seconds; NaN for what is no duration."""
    short = matches(values, _CLOCK)
    fits = short | matches(values, rf"{_EXACT}|{_DAYS}")
    seconds = np.full(len(fits), np.nan)
    if fits.any():
        kept = pc.replace_substring_regex(values.filter(pa.array(fits)), f"^({_CLOCK})$", r"\1:00")
        kept = pd.Series(pc.replace_substring(kept, ",", "").to_pylist(), dtype=object)
        seconds[fits] = pd.to_timedelta(kept, errors="coerce").dt.total_seconds()
    return seconds
