"""A table as the commands take it: read, its columns and its target understood."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from .._types import Array
from . import targets
from .columns import Column, describe, verbatim
from .errors import TableError, some
from .kinds import understand
from .reading import batches, read
from .sources import BUILT_IN, Options, Reading
from .values import typed


@dataclass(frozen=True)
class Table:
    """columns: all of them, those left out as well; features (n, d): those in use, typed; goal: n labels."""

    columns: list[Column]
    features: pd.DataFrame
    target: str
    goal: targets.Target
    notes: tuple[str, ...]

    @property
    def labels(self) -> Array:
        """(n,)."""
        return self.goal.labels

    @property
    def classes(self) -> dict[str, int]:
        """Rows of each."""
        return self.goal.counts()

    def sentences(self) -> list[str]:
        """Everything that was guessed, left out or taken as missing, a sentence each."""
        return [*self.notes, *describe(self.columns)]


def load(
    data: str,
    target: str | None,
    options: Options,
    *,
    kinds: Mapping[str, str],
    keep: Collection[str] = (),
    missing_target: str = "error",
) -> Table:
    """The table that `data` names, to be fitted. Raises TableError."""
    if target is None:
        target = _own_target(data, options)
    chosen = [name for name, kind in kinds.items() if kind in ("category", "text")]
    reading = read(data, options, verbatim=[target, *chosen])
    try:
        return _understood(data, target, reading, kinds, keep, missing_target)
    except TableError as error:
        if not reading.notes:
            raise
        raise TableError(f"{error} (as it was read: {'; '.join(reading.notes)})") from error


def _own_target(data: str, options: Options) -> str:
    """The target of a built-in table; of others the user knows it. Raises TableError."""
    if data in BUILT_IN:
        return "target"
    names = next(batches(data, options, rows=1000)).frame.columns
    raise TableError(
        f"{data}: say which column holds the classes, with --target COLUMN; it has {some(names)}"
    )


def _understood(
    data: str,
    target: str,
    reading: Reading,
    kinds: Mapping[str, str],
    keep: Collection[str],
    missing_target: str,
) -> Table:
    frame = reading.frame
    if target not in frame.columns:
        raise TableError(f"{data}: no column {target!r}; it has {some(frame.columns)}")
    column = frame.pop(target)
    if len(frame) == 0 or frame.shape[1] == 0:
        raise TableError(
            f"{data}: {len(frame)} rows and {frame.shape[1]} feature columns; it needs at least one of each"
        )
    goal = targets.understood(column, data, missing=missing_target)
    try:
        columns = understand(
            frame, labels=column.astype(str), overrides=kinds, keep=keep, decimal=reading.decimal
        )
    except TableError as error:
        raise TableError(f"{data}: {error}") from None
    if not any(c.used for c in columns):
        raise TableError(f"{data}: no column is left to learn from: {_why(columns)}")
    features = typed(frame, columns, where=data, fitting=True, decimal=reading.decimal)
    features = features if goal.kept.all() else features[goal.kept]
    return Table(columns, features, target, goal, (*reading.notes, *goal.notes))


def _why(columns: Sequence[Column], most: int = 3) -> str:
    shown = "; ".join(f"{c.name!r}: {c.why}" for c in columns[:most])
    return shown + (f"; … ({len(columns)} columns in all)" if len(columns) > most else "")


def pieces(
    data: str, columns: Sequence[Column], options: Options, *, also: Collection[str] = ()
) -> Iterator[tuple[pd.DataFrame, pd.DataFrame]]:
    """(features, all columns as they stand) of the table, some rows at a time, its columns as they were when
    a model was fitted. Columns in `also` come verbatim. Raises TableError."""
    rows = 0
    for piece in batches(data, options, verbatim=[*verbatim(columns), *also]):
        frame: Any = piece.frame
        frame.index = pd.RangeIndex(rows, rows + len(frame))
        rows += len(frame)
        yield typed(frame, columns, where=data, fitting=False, decimal=piece.decimal), frame
    if rows == 0:
        raise TableError(f"{data}: it has no rows")
