"""A file to a frame: knows formats, separators and encodings, and understands no column."""

from __future__ import annotations

import csv
import lzma
import zipfile
import zlib
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pandas as pd

from .delimited import Asked, read_text
from .errors import TableError, some
from .formats import SUFFIXES, built_in, form_of, parquet_pieces, read_form
from .frames import as_written, settle, unique_names
from .sources import BUILT_IN, Options, Part, Reading, find

__all__ = ["BUILT_IN", "Options", "Reading", "TableError", "batches", "read"]

_DETECTED = Options()


def read(source: str, options: Options = _DETECTED, *, verbatim: Collection[str] = ()) -> Reading:
    """The table that `source` names: a file, a pattern, a folder of parts, "-", or a built-in set.

    Columns in `verbatim` come as text exactly as written, "NA", "?" and "01" included, empty cells as "".
    Raises TableError.
    """
    if source in BUILT_IN:
        return built_in(source, verbatim)
    with _told(source):
        parts = find(source)
        asked = Asked(options, verbatim)
        readings = [_read(part, asked) for part in parts]
        if len({reading.decimal for reading in readings}) > 1:  # parts of whole numbers show no mark
            asked = replace(asked, options=replace(options, decimal=","))
            readings = [_read(part, asked) for part in parts]
        return _stacked(parts, readings, asked)


def batches(
    source: str, options: Options = _DETECTED, *, verbatim: Collection[str] = (), rows: int = 65536
) -> Iterator[Reading]:
    """The same table in pieces of at most `rows` rows; a file that cannot be cut comes whole."""
    if source in BUILT_IN:
        yield built_in(source, verbatim)
        return
    with _told(source):
        parts = find(source)
    first: pd.DataFrame | None = None
    for part in parts:
        with _told(part.name):
            for piece in _pieces(part, Asked(options, verbatim), rows):
                if first is None:
                    first = piece.frame
                    yield replace(piece, notes=(*piece.notes, *_files(parts)))
                else:
                    frame = _like(first, piece.frame, parts[0].name, part.name)
                    yield replace(piece, frame=frame, notes=())


@contextmanager
def _told(source: str) -> Iterator[None]:
    """Errors of libraries and of the system as TableErrors that name the file."""
    try:
        yield
    except (EOFError, zlib.error, lzma.LZMAError, zipfile.BadZipFile) as error:
        raise TableError(f"{source}: cannot be unpacked: {error}; is the file whole?") from error
    except UnicodeDecodeError as error:
        raise TableError(f"{source}: cannot be read as text in {error.encoding}: {error.reason}") from error
    except OSError as error:
        raise TableError(f"{source}: cannot be read: {error.strerror or error}") from error
    except TableError:
        raise
    except (ValueError, TypeError, KeyError, NotImplementedError, csv.Error) as error:
        raise TableError(f"{source}: cannot be read: {error}") from error


def _read(part: Part, asked: Asked) -> Reading:
    with _told(part.name):
        form = form_of(part)
        if form == "text":
            (reading,) = read_text(part, asked)
        else:
            reading = read_form(part, form, asked.options, asked.verbatim)
    return replace(reading, notes=(*_mistaken(part, form), *reading.notes))


def _mistaken(part: Part, form: str) -> list[str]:
    """A note where the name of a file promises other bytes than it has."""
    promised = next((name for name, suffixes in SUFFIXES.items() if part.suffix in suffixes), None)
    textual = part.suffix in (".csv", ".tsv", ".tab")
    if (promised is not None and promised != form) or (textual and form not in ("text", "json")):
        shown = "text in columns" if form == "text" else f"of the form {form}"
        return [f"{part.name} is {shown}, whatever its name says, and was read as that"]
    return []


def _pieces(part: Part, asked: Asked, rows: int) -> Iterator[Reading]:
    form = form_of(part)
    if form == "text":
        yield from read_text(part, asked, rows)
    elif form == "parquet":
        for frame in parquet_pieces(part, rows):
            names, notes = unique_names(frame.columns)
            frame = settle(frame.set_axis(names, axis=1), part.name, asked.verbatim)
            yield Reading(frame, tuple(notes))
    else:
        yield _read(part, asked)


def _files(parts: list[Part]) -> list[str]:
    if len(parts) == 1:
        return []
    return [f"{len(parts)} files were put together, from {parts[0].name} to {parts[-1].name}"]


def _stacked(parts: list[Part], readings: list[Reading], asked: Asked) -> Reading:
    """One table of all parts: the same columns in each, text in all where it is text in one."""
    if len(parts) == 1:
        return readings[0]
    first = readings[0].frame
    frames = [_like(first, r.frame, parts[0].name, p.name) for p, r in zip(parts, readings, strict=True)]
    mixed = [
        name
        for name in first.columns
        if len({_is_text(f[name]) for f in frames if not f[name].isna().all()}) > 1
    ]
    if mixed:  # the numbers again, as they are written
        again = replace(asked, text=mixed)
        for at, part in enumerate(parts):
            if any(not _is_text(frames[at][name]) for name in mixed):
                frames[at] = _like(first, _as_text(_read(part, again).frame, mixed), parts[0].name, part.name)
    notes = dict.fromkeys(note for reading in readings for note in reading.notes)
    frame = pd.concat(frames, ignore_index=True)
    return Reading(frame, (*notes, *_files(parts)), readings[0].decimal)


def _is_text(column: pd.Series) -> bool:
    return bool(column.dtype == object or isinstance(column.dtype, pd.StringDtype))


def _as_text(frame: pd.DataFrame, names: list[str]) -> pd.DataFrame:
    for name in names:
        if not _is_text(frame[name]):
            frame[name] = as_written(frame[name]).where(frame[name].notna(), np.nan)
    return frame


def _like(first: pd.DataFrame, frame: pd.DataFrame, first_name: str, name: str) -> pd.DataFrame:
    """`frame` with the columns of the first part, in their order."""
    missing = [label for label in first.columns if label not in frame.columns]
    more = [label for label in frame.columns if label not in first.columns]
    if missing or more:
        found = [f"lacks {some(missing)}"] * bool(missing) + [f"has {some(more)} besides"] * bool(more)
        raise TableError(
            f"{name}: {' and '.join(found)}, other than {first_name}; parts of a table have the same columns"
        )
    return frame[list(first.columns)]
