"""The command `xent check`: softmax cross-entropies that someone wrote, checked."""

from __future__ import annotations

import itertools
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter
from rich.markup import escape
from rich.table import Table as Grid

from ..export.files import check_writable, replacing
from .terminal import clear_errors, err, out, plain, working

if TYPE_CHECKING:
    from ..check.process import Outcome
    from ..check.report import Report

_STYLES = {"pass": "green", "fail": "red", "note": "yellow", "skip": "dim"}


def check(
    *functions: str,
    convention: str | None = None,
    timeout: float = 60.0,
    memory: float = 4.0,
    html: Annotated[Path | None, Parameter(name="--html")] = None,
) -> None:
    """Check a softmax cross-entropy and its gradient, written by hand.

    Parameters
    ----------
    functions
        FILE.py:FUNCTION, one or more, loops and vectorised for instance: f(W, X, y, reg) → (loss, dW),
        f(logits, y) → (loss, gradient) or a loss alone, f(y_hat, y) of probabilities; NumPy or PyTorch.
    convention
        cs231n, rows, logits, loss, torch or d2l, if auto-detection gets it wrong.
    timeout
        Seconds for each function.
    memory
        GiB that a function may take.
    html
        A file for the report, with the V-curve.
    """
    with clear_errors():
        targets = [_target(function) for function in functions]
        if not targets:
            raise ValueError("which function? xent check FILE.py:FUNCTION")
        if not timeout > 0:
            raise ValueError(f"--timeout must be above 0 seconds, got {timeout:g}")
        if not memory > 0:
            raise ValueError(f"--memory must be above 0 GiB, got {memory:g}")
        if html is not None:
            check_writable(html, *(file for file, _ in targets), option="--html")
        from ..check import CONVENTIONS, process
        from ..check import report as pages

        if convention is not None and convention not in CONVENTIONS:
            raise ValueError(f"--convention must be one of {', '.join(CONVENTIONS)}, got {convention}")
        outcomes = []
        for file, name in targets:
            with working() as stage:
                stage(f"checking {name}")
                outcomes.append(process.check_file(file, name, convention, timeout, memory))
            _show(outcomes[-1])
        reports = [outcome.report for outcome in outcomes if outcome.report is not None]
        troubles = [outcome.trouble for outcome in outcomes if outcome.report is None]
        _compare(reports)
        if html is not None:
            with replacing(html) as part:
                part.write_text(pages.page(reports, troubles), encoding="utf-8")
    if len(reports) < len(outcomes) or not all(report.passed for report in reports):
        sys.exit(1)


def _target(function: str) -> tuple[Path, str]:
    """The file and the name of FILE.py:FUNCTION. Raises ValueError for anything else."""
    file, _, name = function.rpartition(":")
    if not file or not name:
        raise ValueError(f"expected FILE.py:FUNCTION, got {function}")
    path = Path(file)
    if not path.is_file():
        raise ValueError(f"no file {file}")
    if path.suffix != ".py":
        raise ValueError(
            f"expected a .py file, got {file}; a notebook's function can be checked with xent.check"
        )
    return path, name


def _show(outcome: Outcome) -> None:
    """Print a function's report, or why there is none."""
    if outcome.printed:
        err.print(
            f"xent: it printed {outcome.printed:,} line{'' if outcome.printed == 1 else 's'}, not shown",
            style="dim",
            soft_wrap=True,
        )
    report = outcome.report
    if report is None:
        err.print(f"xent: {plain(outcome.trouble)}", style="red", markup=False, soft_wrap=True)
        return
    out.print(f"[bold]{escape(report.function)}[/]  {escape(report.convention)}")
    grid = Grid(box=None, padding=(0, 2, 0, 0))
    for name in ("", "check", "found", "expected"):
        grid.add_column(name, overflow="fold")
    for c in report.checks:
        mark = f"[{_STYLES[c.status]}]{c.status}[/]"
        expected = c.expected if c.status == "fail" else ""
        grid.add_row(mark, *(escape(plain(text)) for text in (c.name, c.found, expected)))
        if why := report.why(c):
            grid.add_row("", "", f"[italic]{escape(plain(why))}[/]")
    out.print(grid)
    verdict = "passes" if report.passed else f"fails: {', '.join(report.mistakes)}"
    out.print(f"{escape(report.function)} {escape(verdict)}", style="green" if report.passed else "red")


def _compare(reports: list[Report]) -> None:
    """Print how the times of functions compare, each with the next: loops with vectorised, for instance."""
    for first, second in itertools.pairwise(reports):
        ratio = first.pace / second.pace
        names = (first, second) if ratio >= 1 else (second, first)
        slower, faster = (escape(report.function) for report in names)
        out.print(f"{slower} takes {max(ratio, 1 / ratio):.1f} × the time of {faster}")
