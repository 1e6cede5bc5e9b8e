"""What is known of a column, as a model file keeps it, as sentences, and as rows of a grid."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from shlex import quote
from typing import Any

from .errors import some

KINDS = ("number", "category", "text", "date", "duration", "id", "constant", "empty")


@dataclass(frozen=True)
class Column:
    """What one column was taken for, on all its rows.

    form: how its values are written: "$1,234.5", "%d/%m/%Y", "true/false"; None if plainly or not as text.
    n_values, n_missing, n_misfits: rows with a value of this kind, with none, with another; all rows in all.
    misfits: the first three of the last, (row, text), rows counted from 1; words: its distinct texts.
    used: whether it is a feature. why: why it is none, or why it is not a number though it looks so.
    remark: what else a user must know. choice: an example for --kind of what else it may be.
    """

    name: str
    kind: str
    form: str | None = None
    n_values: int = 0
    n_missing: int = 0
    misfits: tuple[tuple[int, str], ...] = ()
    n_misfits: int = 0
    used: bool = True
    why: str | None = None
    remark: str | None = None
    choice: str | None = None
    words: tuple[str, ...] = ()

    @property
    def is_quantity(self) -> bool:
        """Whether its values are numbers once they are typed; those of durations are seconds."""
        return self.kind in ("number", "duration")

    @property
    def n_holes(self) -> int:
        """Rows that have no number, date or word once they are typed: misfits are missing, too."""
        return self.n_missing + self.n_misfits

    def to_dict(self) -> dict[str, Any]:
        """The fields, of types that JSON has."""
        return dataclasses.asdict(self) | {
            "misfits": [[row, text] for row, text in self.misfits],
            "words": list(self.words),
        }

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> Column:
        """The column that `to_dict` made these fields of."""
        misfits = tuple((int(row), str(text)) for row, text in fields["misfits"])
        return cls(**{**fields, "misfits": misfits, "words": tuple(fields["words"])})


def describe(columns: Iterable[Column]) -> list[str]:
    """A sentence for everything about these columns that a user must know."""
    return [sentence for column in columns for sentence in _sentences(column)]


def table_rows(columns: Iterable[Column]) -> list[tuple[str, str, int, int, str]]:
    """(name, kind, values, missing, remark) of each column; misfits are counted as missing."""
    return [(c.name, c.kind, c.n_values, c.n_holes, _remark(c)) for c in columns]


def verbatim(columns: Iterable[Column]) -> list[str]:
    """The columns whose cells a later file must be read as text for: "01" and "1.200" are kept as they stand.

    A reader that makes numbers of what it can would read 1.2 where "1.200" was 1200 in these columns.
    """

    def as_text(column: Column) -> bool:
        words = column.kind in ("category", "text") and column.form is None
        return words or (column.kind == "number" and re.search(r"1\D234", column.form or "") is not None)

    return [column.name for column in columns if column.used and as_text(column)]


def _sentences(column: Column) -> list[str]:
    where = f"column {column.name!r}"
    if not column.used:
        way = "" if column.kind == "empty" else f" (--keep {quote(column.name)} uses it)"
        return [f"{where} is left out: {column.why}{way}"]
    said = []
    if column.misfits:
        taken = "is" if column.n_misfits == 1 else "are"
        said.append(
            f"{where}: {_count(column.n_values, column.kind)}, and {_misfits(column)}, which {taken} "
            f"taken as missing; --kind {quote(f'{column.name}=text')} changes that"
        )
    if column.why:
        said.append(f"{where} is taken as {_article(column.kind)}: {column.why}")
    if column.remark:
        way = f"; --kind {quote(f'{column.name}={column.choice}')} changes that" if column.choice else ""
        said.append(f"{where}: {column.remark}{way}")
    return said


def _count(n: int, kind: str) -> str:
    return f"{n:,} {kind if n == 1 else kind + 's'}"


def _article(kind: str) -> str:
    return {"text": "text", "id": "an id"}.get(kind, f"a {kind}")


def _misfits(column: Column) -> str:
    """'-' in row 7, 'missing' in row 12 and 40 more."""
    if len(column.words) == 1 < column.n_misfits:
        first = column.misfits[0][0]
        return f"{column.words[0]!r} in {column.n_misfits:,} rows, the first of them row {first:,}"
    shown = [f"{text!r} in row {row:,}" for row, text in column.misfits]
    if others := column.n_misfits - len(shown):
        shown.append(f"{others:,} more ({some(column.words, 5)})")
    return shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} and {shown[-1]}"


def _remark(column: Column) -> str:
    if not column.used:
        return f"left out: {column.why}"
    parts = [f"written as {column.form}"] if column.form else []
    parts += [f"{_misfits(column)} taken as missing"] if column.misfits else []
    return "; ".join(parts + [part for part in (column.why, column.remark) if part])
