"""What commands show in rows and columns."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from rich.console import Group
from rich.table import Table as Grid
from rich.text import Text

from .._types import Array
from .terminal import plain

if TYPE_CHECKING:
    from ..tables.columns import Column

MOST_COLUMNS = 30  # shown one by one; of more, those that there is something to say of


def figures_grid(figures: Mapping[str, Any]) -> Grid:
    """The figures of a fit, a line each."""
    grid = Grid(show_header=False, box=None, pad_edge=False)
    grid.add_column(style="bold", no_wrap=True)
    grid.add_column(overflow="fold")
    for name, value in _lines(figures):
        grid.add_row(name, Text(plain(value)))
    return grid


def _lines(figures: Mapping[str, Any]) -> Iterable[tuple[str, str]]:
    yield "data", f"{figures['data']}, target {figures['target']!r}"
    ratio = figures.get("l1_ratio", 0.0)
    yield "rows", f"{figures['rows']:,}"
    used = f", {figures['features in use']:,} in use" if ratio > 0 else ""
    yield "features", f"{figures['features']:,}{used}"
    counts = figures.get("class counts", {})
    shown = listed([f"{label}: {count:,}" for label, count in counts.items()])
    yield "classes", f"{figures['classes']:,}" + (f" (rows of each: {shown})" if counts else "")
    at = f"C = {figures['C']:g}" + (f", l1_ratio = {ratio:g}" if ratio > 0 else "")
    yield "objective", f"{figures['objective']:.10g} nats at {at}"
    yield "certificate", f"within {figures['suboptimality']:.1g} nats of the optimum"
    yield "passes", f"{figures['passes']} ({figures['solver']})"
    if "seconds" in figures:
        yield "seconds", f"{figures['seconds']:.2f}"
    if "holdout rows" in figures:
        yield (
            "holdout",
            f"accuracy {figures['holdout accuracy']:.4f}, log-loss {figures['holdout log-loss']:.4f} "
            f"on {figures['holdout rows']:,} rows",
        )


def strength_grid(strength: Mapping[str, Any]) -> Group:
    """The mean log-loss at each C over the folds, and what it loses to C = 1."""
    where = f"{strength['folds']} folds of {strength['rows']:,} rows"
    title = Text(f"C by cross-validation, {where}", no_wrap=True)
    grid = Grid(box=None, pad_edge=False, header_style="bold")
    for name in ("C", "log-loss", "against C = 1"):
        grid.add_column(name, justify="right")
    grid.add_column()
    usual = strength["losses"][list(strength["Cs"]).index(1.0)]
    for C, loss, error in zip(strength["Cs"], strength["losses"], strength["errors"], strict=True):
        against = "" if C == 1 else f"{loss - usual:+.4f} ± {error:.4f}"
        grid.add_row(f"{C:g}", f"{loss:.4f}", against, "← taken" if strength["C"] == C else "")
    return Group(title, grid)


def columns_grid(columns: Collection[Column]) -> Grid:
    """What each column was taken for; of many, a count of each kind and those that need a word."""
    from ..tables.columns import table_rows

    grid = Grid(box=None, pad_edge=False, header_style="bold")
    for name, justify in (("column", "left"), ("kind", "left"), ("values", "right"), ("missing", "right")):
        grid.add_column(name, justify=justify)  # type: ignore[arg-type]  # a Literal, through a loop
    grid.add_column("remark", overflow="fold")
    rows = table_rows(columns)
    shown = rows if len(rows) <= MOST_COLUMNS else [row for row in rows if row[-1]][:MOST_COLUMNS]
    for name, kind, values, missing, remark in shown:
        grid.add_row(*(Text(plain(x)) for x in (name, kind, f"{values:,}", f"{missing:,}", remark)))
    if others := len(rows) - len(shown):
        kinds = Counter(row[1] for row in rows)
        counts = ", ".join(f"{count:,} {kind}" for kind, count in kinds.most_common())
        grid.add_row(Text(f"… {others:,} more"), Text(""), Text(""), Text(""), Text(f"in all: {counts}"))
    return grid


def listed(values: Collection[object] | Array, most: int = 12) -> str:
    """The first of the values, and how many there are if more."""
    shown = ", ".join(str(value) for value in list(values)[:most])
    return (shown + (f", … ({len(values)} in all)" if len(values) > most else "")) or "none"
