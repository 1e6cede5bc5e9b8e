"""Where a table's bytes come from: files, parts of a table, standard input; unpacked, whatever packs them."""

from __future__ import annotations

import bz2
import difflib
import glob
import gzip
import io
import lzma
import os
import re
import shutil
import sys
import tempfile
import weakref
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import pandas as pd

from .errors import TableError

BUILT_IN = ("breast_cancer", "digits", "iris", "wine")


@dataclass(frozen=True)
class Options:
    """What the caller knows of the file; None is detected."""

    sep: str | None = None
    decimal: str | None = None
    encoding: str | None = None
    sheet: str | int | None = None


@dataclass(frozen=True)
class Reading:
    """A table as its file has it. frame: names are unique, text cells are str or missing; notes: what was
    guessed or changed, a sentence each; decimal: the mark in its text's numbers, as far as known."""

    frame: pd.DataFrame
    notes: tuple[str, ...] = ()
    decimal: str = "."


@dataclass(frozen=True)
class Part:
    """One file of a table. open: its bytes, unpacked, from the start, as often as one likes; suffix: of its
    name, without the packing's; form: what the bytes are, by a name of `_SIGNS`, or "text"; path: where they
    lie unpacked, None if nowhere."""

    name: str
    open: Callable[[], IO[bytes]]
    suffix: str
    form: str
    path: Path | None = None


def find(source: str) -> list[Part]:
    """The files that `source` stands for: a path, a pattern, a folder, or "-" for standard input."""
    if source == "-":
        return [_part("standard input", _spooled(sys.stdin.buffer), "", None)]
    if re.match(r"[a-zA-Z][a-zA-Z0-9+.]+://", source):
        raise TableError(f"{source}: expected a file, got an address; download it first (curl -O does)")
    path = Path(source).expanduser()
    if path.is_dir():
        return _folder(path, source)
    if path.exists():
        return [_file(path, source)]
    matches = [Path(match) for match in sorted(glob.glob(str(path), recursive=True))]
    if files := [match for match in matches if match.is_file()]:
        return [_file(match, str(match)) for match in files]
    raise TableError(_missing(path, source))


def _missing(path: Path, source: str) -> str:
    if glob.has_magic(source):
        return f"{source}: no file matches this pattern"
    if not path.parent.is_dir():
        return f"{source}: no such file, and no folder {str(path.parent)!r} either"
    near = difflib.get_close_matches(path.name, [*os.listdir(path.parent), *BUILT_IN], n=1, cutoff=0.75)
    hint = f"; is it {near[0]!r}?" if near else ""
    if path.name == source and not path.suffix:
        hint += f"; the built-in sets are {', '.join(BUILT_IN)}"
    return f"{source}: no such file{hint}"


def _folder(folder: Path, source: str) -> list[Part]:
    """The files of a folder, whose names sort them; hidden ones and those of Spark (_SUCCESS) are none."""
    inside = [path.relative_to(folder) for path in sorted(folder.rglob("*")) if path.is_file()]
    inside = [path for path in inside if not any(name[0] in "._" for name in path.parts)]
    files = [folder / path for path in inside if (folder / path).stat().st_size]
    if not files:
        raise TableError(f"{source}: the folder holds no files")
    suffixes = sorted({path.suffix.lower() for path in files})
    if len(suffixes) > 1:
        shown = ", ".join(suffix or "no ending" for suffix in suffixes[:6])
        raise TableError(
            f"{source}: the folder holds files of several kinds ({shown}); name those that are parts of the "
            f"table, as '{folder}/*{max(suffixes)}'"
        )
    parts = [_file(path, str(path)) for path in files]
    split = any("=" in name for path in inside for name in path.parts[:-1])
    if split and all(part.form == "parquet" for part in parts):  # folders such as year=2024 are a column
        return [Part(source, parts[0].open, ".parquet", "parquet", folder)]
    return parts


def _file(path: Path, name: str) -> Part:
    if path.is_file():
        return _part(name, lambda: path.open("rb"), path.name.lower(), path)
    with path.open("rb") as pipe:  # as /dev/stdin, or what <(…) of a shell is
        return _part(name, _spooled(pipe), path.name.lower(), None)


def _spooled(stream: IO[bytes]) -> Callable[[], IO[bytes]]:
    """What can be read once, put where it can be read again."""
    spool = tempfile.TemporaryFile()  # noqa: SIM115  (lives as long as what is returned)
    shutil.copyfileobj(stream, spool)

    def again() -> IO[bytes]:
        spool.seek(0)
        return os.fdopen(os.dup(spool.fileno()), "rb")

    weakref.finalize(again, spool.close)
    return again


def start_of(open_: Callable[[], IO[bytes]], size: int) -> bytes:
    """The first `size` bytes, fewer only where there are no more."""
    with open_() as stream:
        blocks = []
        while size > 0 and (block := stream.read(size)):
            blocks.append(block)
            size -= len(block)
    return b"".join(blocks)


def _zstandard(stream: IO[bytes]) -> Any:
    import pyarrow as pa

    return pa.CompressedInputStream(stream, "zstd")


_PACKED: tuple[tuple[bytes, str, Callable[[IO[bytes]], Any]], ...] = (
    (b"\x1f\x8b", ".gz", lambda stream: gzip.GzipFile(fileobj=stream)),
    (b"BZh", ".bz2", bz2.BZ2File),
    (b"\xfd7zXZ\0", ".xz", lzma.LZMAFile),
    (b"\x28\xb5\x2f\xfd", ".zst", _zstandard),
)

# The bytes that begin a file of each form, at an offset.
_SIGNS: tuple[tuple[int, bytes, str], ...] = (
    (0, b"PAR1", "parquet"),
    (0, b"ARROW1", "arrow"),
    (0, b"FEA1", "arrow"),
    (0, b"\x93NUMPY", "npy"),
    (0, b"ORC", "orc"),
    (0, b"\xd0\xcf\x11\xe0", "xls"),
    (0, b"<stata_dta>", "stata"),
    (12, b"\xc2\xea\x81\x60\xb3\x14\x11\xcf", "sas7bdat"),
    (0, b"HEADER RECORD*******LIB", "xport"),
    (0, b"%PDF", "PDF"),
    (0, b"SQLite format 3\0", "SQLite"),
    (0, b"\x89HDF", "HDF5"),
    (0, b"RDX", "RData"),
    (0, b"RDA", "RData"),
    (0, b"X\n\0\0", "RDS"),
    (0, b"\x80\x04\x95", "pickle"),
    (0, b"\x80\x05\x95", "pickle"),
    (0, b"$FL", "SPSS"),
    (0, b"Obj\x01", "Avro"),
    (0, b"MATLAB 5", "MATLAB"),
    (257, b"ustar", "tar"),
    (0, b"\x89PNG", "image"),
    (0, b"\xff\xd8\xff", "image"),
)

# How to come by a table from a form that is not read, where there is a short way.
_REMEDIES = {
    "PDF": "copy its table to a spreadsheet and save that as CSV",
    "HTML": "in Python, pandas.read_html({0!r})[0].to_csv('table.csv', index=False)",
    "XML": "in Python, pandas.read_xml({0!r}).to_csv('table.csv', index=False)",
    "SQLite": "sqlite3 -header -csv {0} 'SELECT * FROM name_of_the_table' > table.csv",
    "HDF5": "in Python, pandas.read_hdf({0!r}).to_parquet('table.parquet')",
    "RData": "in R, load({0!r}), then write.csv(name_of_the_table, 'table.csv', row.names = FALSE)",
    "RDS": "in R, write.csv(readRDS({0!r}), 'table.csv', row.names = FALSE)",
    "pickle": "if you trust it, in Python, pandas.read_pickle({0!r}).to_parquet('table.parquet')",
    "SPSS": "in Python, with pyreadstat installed, pandas.read_spss({0!r}).to_csv('table.csv', index=False)",
    "Avro": "in Python, polars.read_avro({0!r}).write_parquet('table.parquet')",
    "MATLAB": "in MATLAB, writetable(name_of_the_table, 'table.csv')",
    "tar": "unpack it (tar -xf {0}) and name the table's file",
}


def _part(name: str, open_: Callable[[], IO[bytes]], file_name: str, path: Path | None) -> Part:
    """The part behind `open_`, with its packings off."""
    suffix = Path(file_name).suffix
    while True:
        start = start_of(open_, 512)
        if not start:
            raise TableError(f"{name}: the file is empty; expected a table, with the columns' names first")
        packing = next((found for found in _PACKED if start.startswith(found[0])), None)
        if packing is not None:
            open_, path = _unpacked(open_, packing[2]), None
            file_name = file_name.removesuffix(packing[1])
        elif start.startswith(b"PK\x03\x04"):
            form, member = _zip_form(name, open_)
            if form:
                return Part(name, open_, suffix, form, path)
            open_, path, file_name = _member(open_, member), None, member.lower()
        else:
            break
        suffix = Path(file_name).suffix
    return Part(name, open_, suffix, _form(start, name, suffix), path)


def _unpacked(open_: Callable[[], IO[bytes]], unpack: Callable[[IO[bytes]], Any]) -> Callable[[], IO[bytes]]:
    def again() -> IO[bytes]:
        below = open_()
        return io.BufferedReader(_Layers(unpack(below), below))

    return again


def _member(open_: Callable[[], IO[bytes]], member: str) -> Callable[[], IO[bytes]]:
    def again() -> IO[bytes]:
        below = _seekable(open_())
        try:
            archive = zipfile.ZipFile(below)
            return io.BufferedReader(_Layers(archive.open(member), archive, below))
        except BaseException:
            below.close()
            raise

    return again


def _seekable(stream: IO[bytes]) -> IO[bytes]:
    if stream.seekable():
        return stream
    with stream:
        return io.BytesIO(stream.read())


class _Layers(io.RawIOBase):
    """A stream and what it reads from, closed together."""

    def __init__(self, *layers: Any) -> None:
        self._layers = layers

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        block = self._layers[0].read(len(buffer))
        buffer[: len(block)] = block
        return len(block)

    def close(self) -> None:
        super().close()
        for layer in self._layers:
            layer.close()


def _zip_form(name: str, open_: Callable[[], IO[bytes]]) -> tuple[str, str]:
    """The form that is a zip file by itself, or "" and the one member that is the table."""
    with _seekable(open_()) as stream, zipfile.ZipFile(stream) as archive:
        names = [n for n in archive.namelist() if not n.endswith("/") and not n.startswith("__MACOSX/")]
        if "mimetype" in names and b"opendocument.spreadsheet" in archive.read("mimetype"):
            return "ods", ""
    if any(n.startswith("xl/") for n in names):
        return "xlsx", ""
    if names and all(n.endswith(".npy") for n in names):
        return "npz", ""
    if len(names) != 1:
        shown = ", ".join(names[:6]) + (", …" if len(names) > 6 else "")
        raise TableError(
            f"{name}: the zip file holds {len(names)} files ({shown}); expected one; unpack it and name the "
            "table's file, or the folder if all of them are parts of one table"
        )
    return "", names[0]


def _form(start: bytes, name: str, suffix: str) -> str:
    signs = (form for at, sign, form in _SIGNS if start[at:].startswith(sign))
    form = next(signs, "stata" if suffix == ".dta" else "text")
    markup = start.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if markup.startswith((b"<!doctype html", b"<html", b"<table", b"<head")):
        form = "HTML"
    elif markup.startswith(b"<?xml"):
        form = "XML"
    if form in _REMEDIES or form == "image":
        remedy = _REMEDIES.get(form, "save the table as CSV").format(name)
        raise TableError(f"{name}: this is {_article(form)} file, which cannot be read; {remedy}")
    return form


def _article(form: str) -> str:
    return f"an {form}" if form[0] in "iAHRSX" and form != "SQLite" else f"a {form}"
