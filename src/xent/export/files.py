"""Whole files or none."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary name beside `path` to write to; renamed to `path` once it is complete and on disk.

    Killed at any moment, the file at `path` is the old one or the new one, never part of one. A link is
    followed: what it points to is replaced.
    """
    path = path.resolve()
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield temporary
        with temporary.open("rb") as written:
            os.fsync(written.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def check_writable(path: Path, *inputs: Path, option: str = "--output") -> None:
    """Raise ValueError, before any work, unless `replacing` can write `path` without harm to `inputs`."""
    real = path.resolve()
    if not real.parent.is_dir():
        raise ValueError(f"{option} {path}: no such directory: {path.parent}")
    if real.exists() and not real.is_file():
        raise ValueError(f"{option} {path}: is not a regular file")
    for source in inputs:
        if real.exists() and source.exists() and real.samefile(source):
            raise ValueError(f"{option} {path}: is the input itself; give another name")
    probe = real.with_name(f".{real.name}.{os.getpid()}.tmp")
    try:
        try:
            probe.touch(exist_ok=False)
        finally:  # also where SIGTERM comes in between
            probe.unlink(missing_ok=True)
    except OSError as error:
        raise ValueError(f"{option} {path}: cannot be written: {error.strerror}") from error
