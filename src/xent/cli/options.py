"""Options that several commands have: how a file is written, and what its columns are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from cyclopts import Group, Parameter

if TYPE_CHECKING:
    from ..tables.sources import Options
    from ..tables.table import Table

_FILE = Group("Reading (detected if not given)", sort_key=1)
_COLUMNS = Group("Columns", sort_key=2)


@Parameter(name="*", group=_FILE)
@dataclass(frozen=True)
class FileOptions:
    """How a file is written, where the detection is wrong."""

    sep: Annotated[str | None, Parameter(help="Separator of the columns, as ';' or tab.")] = None
    decimal: Annotated[str | None, Parameter(help="Decimal mark of numbers, '.' or ','.")] = None
    encoding: Annotated[str | None, Parameter(help="Encoding of the text, as utf-8 or latin-1.")] = None
    sheet: Annotated[str | None, Parameter(help="Sheet of a workbook, by name.")] = None

    def options(self) -> Options:
        """As `tables.reading` takes them."""
        from ..tables.sources import Options

        return Options(self.sep, self.decimal, self.encoding, self.sheet)


@Parameter(name="*", group=_COLUMNS)
@dataclass(frozen=True)
class ColumnOptions:
    """What columns are, where the decision on their values is wrong."""

    kind: Annotated[
        tuple[str, ...],
        Parameter(
            help="COLUMN=KIND, where KIND is number, category, text, date, date:%d/%m/%Y, duration or id; "
            "may be repeated.",
            negative=(),
            show_default=False,
        ),
    ] = ()
    keep: Annotated[
        tuple[str, ...],
        Parameter(
            help="A column to use although it looks like an id or a copy; may be repeated.",
            negative=(),
            show_default=False,
        ),
    ] = ()
    missing_target: Annotated[
        str,
        Parameter(
            help="What to do with rows without a class: error, drop (leave them out), class (one of its own)."
        ),
    ] = "error"
    raw: Annotated[
        bool, Parameter(help="Numbers as they are, not standardised: coefficients per unit.", negative=())
    ] = False

    def check(self) -> None:
        """Raise ValueError, before any work, for options that cannot be meant."""
        for text in self.kind:
            if "=" not in text:
                raise ValueError(f"--kind {text}: expected COLUMN=KIND, as --kind price=number")
        if self.missing_target not in ("error", "drop", "class"):
            raise ValueError(f"--missing-target {self.missing_target}: expected error, drop or class")

    def load(self, data: str, target: str | None, file: FileOptions) -> Table:
        """The table to be fitted, columns and target as these options have them. Raises TableError."""
        from ..tables.table import load

        return load(
            data,
            target,
            file.options(),
            kinds=dict(text.rsplit("=", 1) for text in self.kind),
            keep=self.keep,
            missing_target=self.missing_target,
        )


def check_split(holdout: float, seed: int) -> None:
    """Raise ValueError for a share of rows to hold out, or a seed, that cannot be."""
    if not 0 <= holdout < 1:
        raise ValueError(f"--holdout must be in [0, 1), got {holdout:g}")
    if seed < 0:
        raise ValueError(f"--seed must be ≥ 0, got {seed}")
