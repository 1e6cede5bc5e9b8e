"""What the commands have in common: progress, errors and warnings on a terminal."""

from __future__ import annotations

import os
import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

out, err = (Console(stderr=stderr, highlight=False, emoji=False) for stderr in (False, True))


class Stage(Protocol):
    """Shows what is being done, and how much of it, in [0, 1], where that is known."""

    def __call__(self, what: str, fraction: float | None = None) -> None: ...


@contextmanager
def working() -> Iterator[Stage]:
    """A progress bar on a terminal's stderr, once the command has run for a second.

    Yields `stage(what, fraction=None)`, to be called as the command goes on.
    """
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    bar = Progress(*columns, console=err, transient=True, disable=not err.is_terminal)
    task = bar.add_task("", total=None)
    timer = threading.Timer(1.0, bar.start)
    timer.start()

    def stage(what: str, fraction: float | None = None) -> None:
        bar.update(task, description=what, total=fraction and 1.0, completed=fraction)

    try:
        yield stage
    finally:
        timer.cancel()
        timer.join()
        if not bar.disable:  # Rich before 14.3 ends a line that was never begun
            bar.stop()


@contextmanager
def clear_errors() -> Iterator[None]:
    """Turn an error that the user can mend into one line on stderr and exit code 1, without a traceback."""
    try:
        yield
    except BrokenPipeError:  # `xent predict … | head`: the reader has closed the pipe
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)  # nothing more to say: figures of the rows so far would look like those of all
    except (ValueError, OSError, MemoryError) as error:
        err.print(f"xent: {plain(error) or type(error).__name__}", style="red", markup=False, soft_wrap=True)
        sys.exit(1)


def say(caught: list[warnings.WarningMessage]) -> None:
    """Print each warning once, on a line of its own."""
    for message in dict.fromkeys(plain(warning.message) for warning in caught):
        err.print(f"xent: {message}", style="yellow", markup=False, soft_wrap=True)


def plain(text: object) -> str:
    """Text from files and tables on one line, without the control characters that a terminal would obey."""
    shown = " ".join(str(text).split())
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in shown)


def note(line: str) -> None:
    """What was guessed, left out or found, on a line of its own on stderr."""
    err.print(f"xent: {plain(line)}", style="cyan", markup=False, soft_wrap=True)
