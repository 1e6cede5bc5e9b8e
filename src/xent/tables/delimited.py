"""Tables written as text, through pandas' parser, and watched on the way for what it passes over."""

from __future__ import annotations

import codecs
import csv
import io
import re
import warnings
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from typing import IO, Any

import numpy as np
import pandas as pd

from .dialect import SPACES, Layout, blank, cells_of, layout_of, undecodable
from .errors import MISSING, TableError, some
from .sources import Options, Part, Reading

# Until 3.1 pandas' parser rounded some numbers to a neighbour unless it was told not to.
_EXACT = {"float_precision": "round_trip"} if tuple(map(int, pd.__version__.split(".")[:2])) < (3, 1) else {}
_ZEROS = re.compile(r"0\d+")


class _Text:
    """A file's text as UTF-8 from its first row on, as pandas' parser reads it: what is wrong with it, and
    how many separators and whether quotes have gone by."""

    def __init__(self, part: Part, layout: Layout) -> None:
        self.failed: Exception | None = None
        self.separators = 0
        self.quotes = False
        self.lines = 0
        self.block = b""
        self._code = ord(layout.sep) if len(layout.sep) == 1 else 0
        self._plain = layout.encoding == "utf-8"
        self._decoder = codecs.getincrementaldecoder(layout.encoding)()
        self._stream = part.open()
        self._rest = b""
        left = layout.mark + len(layout.prefix.encode(layout.encoding))
        while left > 0 and (block := self._stream.read(left)):
            left -= len(block)

    def read(self, size: int = -1) -> bytes:
        if self.failed is not None:
            return b""
        block = self._stream.read(size)
        try:
            block = self._checked(block)
        except UnicodeDecodeError as error:  # which pandas' parser would not pass on
            self.failed, self.block = error, block
            return b""
        self.separators += int(np.count_nonzero(np.frombuffer(block, np.uint8) == self._code))
        if self.quotes or b'"' in block:
            self.quotes = True
            self.lines += block.count(b"\n")
        return block

    def _checked(self, block: bytes) -> bytes:
        if not self._plain:
            text = self._decoder.decode(block, not block)
            while block and not text:  # half a character is not the end
                block = self._stream.read(1)
                text = self._decoder.decode(block, not block)
            return text.encode()
        if not block.isascii() or self._decoder.getstate()[0] or not block:
            self._decoder.decode(block, not block)
        return block

    def __iter__(self) -> Iterator[bytes]:  # pandas takes for a file only what has this
        return iter(lambda: self.read(1 << 18), b"")

    def close(self) -> None:
        self._stream.close()


@dataclass(frozen=True)
class Asked:
    """verbatim: columns that come as written; text: others that are text, whatever they look like."""

    options: Options
    verbatim: Collection[str] = ()
    text: Collection[str] = ()


def read_text(part: Part, asked: Asked, rows: int | None = None) -> Iterator[Reading]:
    """The table in a file of text, whole or in pieces of so many rows."""
    bad, low_memory = b"", rows is None
    while True:
        layout = layout_of(part, asked.options, asked.verbatim, bad)
        text = _Text(part, layout)
        try:
            yield from _pieces(part, layout, asked, text, rows, low_memory)
            return
        except pd.errors.DtypeWarning:  # pandas' own pieces have several types and would stay apart
            low_memory = False
        except UnicodeDecodeError as error:
            if bad or asked.options.encoding or layout.encoding != "utf-8" or rows:
                line = _line_of_failure(part, layout)
                raise undecodable(part.name, layout.encoding, line) from error
            bad = text.block[max(0, error.start - 4096) : error.start + (1 << 16)]
        finally:
            text.close()


def _pieces(
    part: Part, layout: Layout, asked: Asked, text: _Text, rows: int | None, low_memory: bool
) -> Iterator[Reading]:
    kept = [name for name in _with_zeros(part, layout) if name not in asked.verbatim]
    strings = {name: "str" for name in {*kept, *asked.text, *asked.verbatim} if name in layout.names}
    count, last_missing, notes = 0, False, layout.notes
    if kept:
        notes = (*notes, f"numbers with leading zeros were kept as text in {some(kept, 8)}")
    for frame in _parsed(part, layout, asked, text, dtype=strings, low_memory=low_memory, chunksize=rows):
        if text.failed is not None:
            raise text.failed
        if text.quotes or len(layout.sep) > 1:
            last = frame.iloc[:, -1]
            last_missing = last_missing or bool((last.isna() | (last.astype(object) == "")).any())
        count += len(frame)
        yield Reading(_tidy(frame, layout, asked, part.name), notes, layout.decimal)
    if text.quotes and text.lines > count and layout.sep != SPACES:  # some text within quotes has lines
        _check_quotes(part, layout)
    expected = count * (len(layout.names) - 1)
    counted = len(layout.sep) == 1 and not text.quotes
    if text.separators != expected if counted else last_missing:
        _check_widths(part, layout)


def _parsed(part: Part, layout: Layout, asked: Asked, text: _Text, **how: Any) -> Iterator[pd.DataFrame]:
    how |= {
        "sep": layout.sep,
        "header": None,
        "names": list(layout.names),
        "index_col": False,
        "decimal": layout.decimal,
        "skipinitialspace": layout.spaced,
        "keep_default_na": False,
        "na_values": {name: sorted(MISSING) for name in layout.names if name not in asked.verbatim},
        "engine": "c",
        **_EXACT,
    }
    try:
        with _warnings_as_errors():
            table: Any = pd.read_csv(text, **how)
        if how["chunksize"] is None:
            yield table
            return
        while True:
            with _warnings_as_errors():
                frame = next(table, None)
            if frame is None:
                return
            yield frame
    except (pd.errors.ParserError, pd.errors.ParserWarning, pd.errors.EmptyDataError) as error:
        if text.failed is not None:
            raise text.failed from error
        _check_widths(part, layout, "EOF inside string" in str(error))
        raise TableError(f"{part.name}: cannot be read as text in columns: {error}") from error


@contextmanager
def _warnings_as_errors() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("error", pd.errors.ParserWarning)  # a row longer than the header
        warnings.simplefilter("error", pd.errors.DtypeWarning)
        yield


def _tidy(frame: pd.DataFrame, layout: Layout, asked: Asked, name: str) -> pd.DataFrame:
    if layout.extra is not None:
        rest = frame.pop(layout.extra).dropna()
        if len(rest):
            row = rest.index[0] - frame.index[0] + 1
            raise TableError(
                f"{name}: row {row} has {str(rest.iloc[0])!r} beyond the last column, which has no name; "
                "give it one in the header"
            )
    for label in [name for name, kind in frame.dtypes.items() if pd.api.types.is_object_dtype(kind)]:
        column = frame[label]
        if pd.api.types.infer_dtype(column, skipna=True) == "boolean":  # true, false and nothing
            frame[label] = column.astype("boolean")
    return frame.reset_index(drop=True)


def _with_zeros(part: Part, layout: Layout) -> list[str]:
    """Columns with digits after a leading zero, which is no quantity: in the first rows, and in some from
    all over a large file."""
    wide, found = len(layout.names), set()
    for rows in (layout.rows, _rows_from_all_over(part, layout)):
        for row in rows:
            if len(row) == wide:
                zeros = (j for j, cell in enumerate(row) if cell[:1] == "0")
                found |= {j for j in zeros if _ZEROS.fullmatch(row[j].strip())}
    return [layout.names[j] for j in sorted(found)]


def _rows_from_all_over(part: Part, layout: Layout, pieces: int = 16) -> Iterator[list[str]]:
    if part.path is None or layout.encoding.startswith(("utf-16", "utf-32")):
        return
    size = part.path.stat().st_size
    with part.open() as stream:
        for piece in range(1, pieces + 1 if size > 1 << 20 else 0):
            stream.seek(min(size * piece // pieces, size - (1 << 15)))
            text = stream.read(1 << 15).decode(layout.encoding, errors="replace")
            lines = io.StringIO(text, newline="").readlines()[1:-1]
            yield from islice(cells_of(lines, layout.sep, layout.spaced), 100)


def _check_widths(part: Part, layout: Layout, unclosed: bool = False) -> None:
    """Raise TableError at the first row that has not as many cells as there are names."""
    wide, start = len(layout.names), 0
    with _lines(part, layout) as text:
        reader: Any = cells_of(text, layout.sep, layout.spaced)
        end = layout.lines
        for row in reader:
            start, end = end + 1, reader.line_num + layout.lines
            if not blank(row) and len(row) != wide and not unclosed:
                _raise_width(part.name, layout, len(row), start, end)
    if unclosed:
        raise TableError(
            f'{part.name}: line {start} opens a quote (") that nothing closes; close it, or write it twice '
            'within quotes ("")'
        )


def _check_quotes(part: Part, layout: Layout) -> None:
    """Raise TableError where a row of several lines is one because a quote was left open, which the next
    quote then closed: text goes on behind it."""
    with _lines(part, layout) as text:
        reader = csv.reader(text, delimiter=layout.sep, skipinitialspace=layout.spaced, strict=True)
        end = layout.lines
        while True:
            start = end + 1
            try:
                if next(reader, None) is None:
                    return
                end = reader.line_num + layout.lines
            except csv.Error:
                end = reader.line_num + layout.lines
                if end > start:
                    raise TableError(
                        f"{part.name}: a text in quotes runs from line {start} to line {end} and goes on "
                        f"behind the closing quote; close the quote in line {start}, or write those within "
                        'a text twice ("")'
                    ) from None


@contextmanager
def _lines(part: Part, layout: Layout) -> Iterator[IO[str]]:
    """The lines from the first row on."""
    with part.open() as stream:
        stream.read(layout.mark)
        text = io.TextIOWrapper(stream, encoding=layout.encoding, newline="")
        text.read(len(layout.prefix))
        yield text


def _raise_width(name: str, layout: Layout, found: int, start: int, end: int) -> None:
    wide = len(layout.names) - (layout.extra is not None)
    sep = "blanks" if layout.sep == SPACES else repr(layout.sep)
    lines = f"line {start}" if start == end else f"the row in lines {start} to {end} (one quoted text)"
    raise TableError(
        f"{name}: {lines} has {found} cell{'s' * (found != 1)}, and the header has {wide}; the separator is "
        f"{sep}: put text that holds one in quotes, fill the row up, or name another with --sep"
    )


def _line_of_failure(part: Part, layout: Layout) -> int:
    """The line that is no text in this encoding."""
    decoder, line = codecs.getincrementaldecoder(layout.encoding)(), 1
    with part.open() as stream:
        stream.read(layout.mark)
        try:
            while block := stream.read(1 << 18):
                line += decoder.decode(block).count("\n")
        except UnicodeDecodeError as error:
            line += block[: error.start].decode(layout.encoding, errors="replace").count("\n")
    return line
