"""The one error of this package, and what is shown in messages."""

from __future__ import annotations

from collections.abc import Iterable

# What stands for no value in a column of features.
MISSING = frozenset(
    [
        *("", "NA", "N/A", "n/a", "NaN", "nan", "null", "NULL", "None", "#N/A", "<NA>", "?"),
        # and what C and Excel print
        *("-NaN", "-nan", "1.#IND", "-1.#IND", "1.#QNAN", "-1.#QNAN", "#NA", "#N/A N/A"),
    ]
)


class TableError(ValueError):
    """The table cannot be used; the message says what was expected and found, and the remedy."""


def nested(where: str, what: object) -> TableError:
    """The error for a column with several values in a cell."""
    return TableError(f"{where} holds a {what} in each row; split it into columns of one value each")


def some(names: Iterable[object], most: int = 12) -> str:
    """The first of these names, quoted, and how many there are if not all are shown."""
    every = [repr(str(name)) for name in names]
    return ", ".join(every[:most]) + (f", … ({len(every):,} in all)" if len(every) > most else "")
