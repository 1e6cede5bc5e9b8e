"""Files of the columns that `table_cases.py` draws, in any form that `xent.tables.reading.read` takes."""

from __future__ import annotations

import bz2
import gzip
import importlib.util
import io
import json
import lzma
import zipfile
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pyarrow as pa

from xent.tables.reading import Options

from . import table_cases

TEXT_FORMS = ("csv",) * 7
FORMS = (*TEXT_FORMS, "parquet", "feather", "jsonl", "jsonl")
KEYS = {"id", "nr", "no", "row", "key"}


@dataclass
class Case:
    """One file: its columns with the names that reading must give them, the target last."""

    columns: list
    target: table_cases.Truth
    headers: list  # as they are written
    form: str
    options: Options
    bytes: bytes
    name: str
    kinds: list
    tame: bool


def names(world, k):
    """(written, as they must be read) for k columns, all of the latter different."""
    written, read = [], []
    for j in range(k):
        name = world.word() + str(j)
        tab = "{}\tx" if world.tabs else "{}&"
        if world.chance(0.15):
            name = world.pick(
                [
                    'say "{}"',
                    "{}, or",
                    "{};",
                    "{} in €" if world.alphabet != "ascii" else "{}$",
                    "2{}",
                    "{}|",
                    tab,
                ]
            ).format(name)
        shown = name
        if world.chance(0.08):
            shown = world.pick([" {}", "{} ", "\t{}"]).format(name)
        elif j and world.form != "xlsx" and world.chance(0.05):
            shown, name = "", f"column {j + 1}"
        elif j and world.chance(0.05) and f"{read[0]} (2)" not in read:
            shown, name = read[0], f"{read[0]} (2)"
        written.append(shown)
        read.append(name)
    return written, read


def draw(seed, index):
    """File `index` of a seed, the same in every run."""
    rng = np.random.default_rng([seed, index])
    n = int(rng.integers(1, 9)) if rng.random() < 0.08 else int(rng.integers(20, 260))
    alphabet = str(rng.choice(["ascii", "western", "western", "all"]))
    form = "xlsx" if rng.random() < 0.03 else str(rng.choice(FORMS))
    form = "parquet" if form == "xlsx" and importlib.util.find_spec("openpyxl") is None else form  # an extra
    decimal = "," if form == "csv" and rng.random() < 0.35 else "."
    sep = str(rng.choice([",", ",", ";", ";", "\t", "|", " "])) if form == "csv" else ""
    world = table_cases.World(rng, n, decimal, alphabet, bool(rng.random() < 0.7), sep != " ", form)
    columns = [table_cases.column(world) for _ in range(rng.integers(1, 9))]
    target = table_cases.labels(world)
    written, read = names(world, len(columns) + 1)
    for column, name in zip([*columns, target], read, strict=True):
        column.name = name
    if form in ("parquet", "feather", "jsonl"):  # whose names are all different
        written = list(read)
    kinds = [
        form,
        f"decimal {decimal}" if form == "csv" else form,
        alphabet,
        *(column.kind for column in columns),
    ]
    case = Case(columns, target, written, form, Options(), b"", f"t.{form}", kinds, world.tame)
    WRITERS[form](case, world, sep)
    return case


def _csv(case, world, sep):
    rng = world.rng
    every = [*case.columns, case.target]
    sane = world.n >= 8 and sep != " "
    quoted = rng.random() * (rng.random() < 0.4)
    ends = world.pick(["\n", "\n", "\r\n", "\r"])
    spaced = sep == "," and world.chance(0.1)

    def cell(text):
        special = any(mark in text for mark in (sep, '"', "\n", "\r")) or (
            text != text.strip() and (spaced or sep == " ")
        )
        if special or (sep == " " and (not text or "\t" in text)) or rng.random() < quoted:
            return '"' + text.replace('"', '""') + '"'
        return text

    glue = sep + " " * spaced
    rows = [case.headers, *zip(*(column.texts for column in every), strict=True)]
    lines = [glue.join(map(cell, row)) for row in rows]
    if sep != " " and world.chance(0.05):
        lines = [line + sep for line in lines]
    before = world.pick(["", "", "", "", "# made by hand" + ends, ends + ends])
    whole = before + ends.join(lines) + world.pick(["", ends, ends + ends])
    encoding = world.pick(["utf-8", "utf-8", "utf-8-sig", "utf-16"])
    if case_western(whole) and world.chance(0.5):
        encoding = "cp1252"
    shows = any(c.kind == "number" and c.doubtful for c in case.columns)
    given = Options(
        sep=sep if not sane or world.chance(0.1) else None,
        decimal=world.decimal if shows or world.n < 8 or world.chance(0.1) else None,
        encoding=encoding if encoding == "cp1252" and (world.n < 8 or world.chance(0.1)) else None,
    )
    packing = world.pick(["", "", "", "", ".gz", ".bz2", ".xz", ".zst", ".zip"])
    case.name = "t" + world.pick([".csv", ".csv", ".txt", ".tsv" if sep == "\t" else ".data"]) + packing
    case.bytes = PACKINGS[packing](whole.encode(encoding))
    case.options = given
    case.kinds += [
        f"separator {sep!r}",
        encoding,
        f"packed {packing}" if packing else "not packed",
        f"ends {ends!r}",
    ]
    case.kinds += ["quotes"] * (quoted > 0) + ["trailing separator"] * (lines[0][-1] == sep)


def case_western(text):
    try:
        text.encode("cp1252")
    except UnicodeEncodeError:
        return False
    return not text.isascii()


def _zipped(content):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("inner.csv", content)
    return out.getvalue()


def _zstd(content):
    out = pa.BufferOutputStream()
    with pa.CompressedOutputStream(out, "zstd") as stream:
        stream.write(content)
    return out.getvalue().to_pybytes()


PACKINGS = {
    "": bytes,
    ".gz": gzip.compress,
    ".bz2": bz2.compress,
    ".xz": lzma.compress,
    ".zst": _zstd,
    ".zip": _zipped,
}


def _frame(case, native=True):
    held = {}
    for column in [*case.columns, case.target]:
        plain = column.native if native and column.native is not None else column.texts
        held[column.name] = pd.Series(list(plain), dtype=None if plain is column.native else object)
        if plain is column.texts:  # an empty cell and none are the same
            held[column.name] = held[column.name].where(held[column.name] != "", None)
    return pd.DataFrame(held)


def _parquet(case, world, sep):
    out = io.BytesIO()
    frame = _frame(case)
    for column in case.columns:
        if column.kind == "category" and column.native is None and world.chance(0.2):
            frame[column.name] = frame[column.name].astype("category")
    frame.to_parquet(out) if case.form == "parquet" else frame.to_feather(out)
    case.bytes = out.getvalue()


def _jsonl(case, world, sep):
    frame = _frame(case)
    rows = []
    for row in frame.astype(object).where(frame.notna(), None).to_dict("records"):
        shown = {name: v.isoformat() if hasattr(v, "isoformat") else v for name, v in row.items()}
        rows.append(json.dumps(shown, ensure_ascii=world.chance(0.5)))
    case.bytes = ("\n".join(rows) + "\n").encode()


def _xlsx(case, world, sep):
    out = io.BytesIO()
    frame = _frame(case, native=False).iloc[:]
    frame.columns = case.headers
    frame.to_excel(out, index=False)
    case.bytes = out.getvalue()


WRITERS = {"csv": _csv, "parquet": _parquet, "feather": _parquet, "jsonl": _jsonl, "xlsx": _xlsx}
