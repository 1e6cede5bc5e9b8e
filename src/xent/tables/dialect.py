"""How a table is written as text, seen on its first lines: encoding, separator, decimal mark, names.

csv.Sniffer takes frequent letters for separators and knows no decimal comma; here a separator is what cuts
all rows into as many cells, quotes heeded.
"""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice, pairwise

from .errors import MISSING, TableError, some
from .frames import unique_names
from .sources import Options, Part, start_of

SPACES = r"\s+"
_SEEN = 200  # rows are enough to tell separators apart
_SHOWN = {"\t": "tab", SPACES: "space"}
_NAMED = {"tab": "\t", r"\t": "\t", "comma": ",", "semicolon": ";", "space": SPACES, " ": SPACES}

_NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?")
_GROUPED = re.compile(r"[-+]?\d{1,3}([.,]\d{3})+")  # 1,234 or 1.234: thousands, or three decimals
_COMMA = re.compile(r"[-+]?(\d+|\d{1,3}(\.\d{3})+),\d+([eE][-+]?\d+)?")
_POINT = re.compile(r"[-+]?(\d+|\d{1,3}(,\d{3})+)\.\d+([eE][-+]?\d+)?")


@dataclass(frozen=True)
class Layout:
    """How one file is laid out; `prefix`, in so many `lines`, is the text before the first row."""

    encoding: str  # of what follows the `mark` bytes that stand for it
    mark: int
    sep: str
    spaced: bool  # blanks after a separator belong to it
    decimal: str
    names: tuple[str, ...]  # of all cells in a row
    prefix: str
    lines: int
    notes: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]  # the first ones
    extra: str | None  # the name that only a separator at the end of each row asks for


def layout_of(part: Part, options: Options, verbatim: Collection[str] = (), bad: bytes = b"") -> Layout:
    """The layout of a file of text. bad: bytes further down that its encoding must explain, too."""
    start, whole = _start(part)
    encoding, mark, notes = _encoding(start, options.encoding, bad, part.name)
    text = _decoded(start[mark:], encoding, whole, part.name)
    _check_text(text, start, part.name)
    lines = list(io.StringIO(text, newline=""))
    before, comment, forced = _preamble(lines)
    body = lines[before:]
    sep, spaced = _separator(body, _given(options.sep, part.name) or forced)
    rows = [row for row in islice(cells_of(body, sep, spaced), _SEEN) if not blank(row)]
    if not rows:
        raise TableError(f"{part.name}: the file has no rows; expected the columns' names, then rows")
    if not whole and len(rows) > 2 and len(rows) < _SEEN:
        rows = rows[:-1]  # may be cut
    decimal = _decimal(rows[1:] or rows, sep, options.decimal, part.name)
    header, data, more = _header(rows, comment, sep, spaced, decimal, verbatim)
    names, extra, changed = _named(header, data)
    if not data:
        raise TableError(f"{part.name}: the file has no rows below the header ({some(names)})")
    skipped = before if data is rows else before + _lines_of_first(body, sep, spaced)
    return Layout(
        encoding,
        mark,
        sep,
        spaced,
        decimal,
        names=tuple(names),
        prefix="".join(lines[:skipped]),
        lines=skipped,
        notes=(*notes, *_detected(sep, decimal, options), *more, *changed),
        rows=tuple(map(tuple, data)),
        extra=extra,
    )


def _check_text(text: str, start: bytes, name: str) -> None:
    controls = re.findall(r"[\0-\x08\x0e-\x1f]", text)
    if "\0" in controls or len(controls) > len(text) // 200:
        raise TableError(
            f"{name}: this is no table that can be read: byte {start.find(controls[0].encode())} is "
            f"{controls[0]!r}, which no text has; save it as CSV or Parquet"
        )


def _detected(sep: str, decimal: str, options: Options) -> list[str]:
    marks = [f"separator {_SHOWN.get(sep, repr(sep))}"] if sep != "," and options.sep is None else []
    marks += [f"decimal {decimal!r}"] if decimal != "." and options.decimal is None else []
    return [f"{' and '.join(marks)} {'was' if len(marks) == 1 else 'were'} detected"] if marks else []


def _start(part: Part) -> tuple[bytes, bool]:
    """The first MiB, or as much as holds some lines; and whether that is all."""
    size = 1 << 20
    while True:
        start = start_of(part.open, size)
        whole = len(start) < size
        if whole or start.count(b"\n") + start.count(b"\r") > 3 or size >= 1 << 28:
            return start, whole
        size *= 4


_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)


def _encoding(start: bytes, given: str | None, bad: bytes, name: str) -> tuple[str, int, list[str]]:
    """The encoding, how many bytes mark it at the start of the file, and what is to say about it."""
    for mark, encoding in _MARKS:
        if start.startswith(mark):
            return encoding, len(mark), []
    if given is not None:
        try:
            return codecs.lookup(given).name, 0, []
        except LookupError:
            raise TableError(f"{name}: no encoding is called {given!r}; cp1252 and utf-16 are two") from None
    zeros = start[:4096:2].count(0), start[1:4096:2].count(0)
    if max(zeros) > 4 * min(zeros) and max(zeros) > len(start[:4096]) // 5:
        encoding = "utf-16-le" if zeros[1] > zeros[0] else "utf-16-be"
        return encoding, 0, [f"encoding {encoding} was detected"]
    try:
        codecs.getincrementaldecoder("utf-8")().decode(start)
    except UnicodeDecodeError as error:
        bad = start[max(0, error.start - 4096) : error.start + (1 << 16)]
    if not bad:
        return "utf-8", 0, []
    encoding = _older(bad)
    return (
        encoding,
        0,
        [f"the text is not UTF-8: encoding {encoding} was detected (--encoding names another)"],
    )


def _older(text: bytes) -> str:
    """The encoding of text that is not UTF-8.

    Where accents stand alone among letters of ASCII, as in all of Western Europe, it is Windows' own: on
    those few bytes charset-normalizer decides for Chinese as easily. Whole words of other letters it knows.
    """
    words = re.findall(rb"[\x80-\xff]+", text)
    foreign = sum(len(word) for word in words if len(word) > 2)
    if foreign > sum(map(len, words)) / 2:
        from charset_normalizer import from_bytes

        known = ["cp1251", "cp1253", "cp1255", "cp1256", "shift_jis", "gb18030", "big5", "euc_kr", "euc_jp"]
        lines = b"\n".join(line for line in text.splitlines() if not line.isascii())
        if (best := from_bytes(lines, cp_isolation=known).best()) is not None:
            return str(best.encoding)
    for encoding in ("cp1252", "cp1250"):
        try:
            shown = text.decode(encoding)
        except UnicodeDecodeError:
            continue
        if not re.search(r"[^\W\d_][¹³¿£¥¯¶¼¾]|[¹³¿£¥¯¶¼¾][a-zà-ÿ]", shown):
            return encoding
    return "latin_1"


def _decoded(start: bytes, encoding: str, whole: bool, name: str) -> str:
    try:
        return codecs.getincrementaldecoder(encoding)().decode(start, whole)
    except UnicodeDecodeError as error:
        raise undecodable(name, encoding, start[: error.start].count(b"\n") + 1) from error


def undecodable(name: str, encoding: str, line: int) -> TableError:
    return TableError(
        f"{name}: line {line} is not text in {encoding}; name the encoding (--encoding cp1252, utf-16, …)"
    )


def _given(sep: str | None, name: str) -> str | None:
    if sep is None:
        return None
    sep = _NAMED.get(sep, sep)
    if len(sep) != 1 and sep != SPACES:
        raise TableError(f"{name}: --sep must be one character, or tab or space, got {sep!r}")
    return sep


def _preamble(lines: list[str]) -> tuple[int, str | None, str | None]:
    """How many blank lines and comments come first, the last comment, and the separator Excel was told."""
    comment = forced = None
    for number, line in enumerate(lines):
        stripped = line.strip("\r\n")
        if told := re.fullmatch(r"\s*\"?sep=(.)\"?", stripped):
            forced = told[1]
        elif stripped.lstrip().startswith("#"):
            comment = stripped.lstrip().lstrip("#").strip()
        elif stripped.strip():
            return number, comment, forced
    return len(lines), comment, forced


def blank(row: Collection[str]) -> bool:
    """Whether a row is none: nothing, or nothing but blanks, in one cell."""
    return not row or (len(row) == 1 and not next(iter(row)).strip())


def cells_of(lines: Iterable[str], sep: str, spaced: bool) -> Iterator[list[str]]:
    """Rows of cells, as pandas' parser cuts them."""
    csv.field_size_limit(max(csv.field_size_limit(), 1 << 30))  # pandas has none
    if sep != SPACES:
        return csv.reader(lines, delimiter=sep, skipinitialspace=spaced)
    return csv.reader(
        (line.replace("\t", " ").strip() for line in lines), delimiter=" ", skipinitialspace=True
    )


def _lines_of_first(lines: list[str], sep: str, spaced: bool) -> int:
    reader = csv.reader(lines, delimiter=" " if sep == SPACES else sep, skipinitialspace=spaced)
    next(reader)
    return reader.line_num


def _separator(lines: list[str], given: str | None) -> tuple[str, bool]:
    """The separator, and whether blanks after it belong to it."""
    best, most = ",", (0.0, 0.0)
    for sep in [given] if given else ["\t", ";", "|", ",", SPACES]:
        rows = [row for row in islice(cells_of(lines, sep, sep != "\t"), _SEEN) if not blank(row)]
        score = _score(rows)
        if sep == SPACES and (most[0] >= 0.8 or score[0] < 0.9 or (not given and not _numbers(rows[1:]))):
            continue
        if score > most:
            best, most = sep, score
    best = given or best
    if best in (SPACES, "\t", " "):
        return best, False
    close, spaced = (
        [r for r in islice(cells_of(lines, best, s), _SEEN) if len(r) > 1] for s in (False, True)
    )
    even, uneven = _score(spaced)[0], _score(close)[0]
    fewer = sum(map(len, spaced)) < sum(map(len, close))
    # Else a quote behind a blank would protect nothing; nor the end of a line, which cuts one row into two.
    if even > uneven or (fewer and even == uneven):
        return best, True
    later = [cell for row in close for cell in row[1:] if cell]
    return best, bool(later) and sum(cell.startswith(" ") for cell in later) > 0.95 * len(later)


def _score(rows: list[list[str]]) -> tuple[float, float]:
    """The share of rows with as many cells as the header, and that of cells that are numbers."""
    if not rows or len(rows[0]) < 2:
        return 0.0, 0.0
    wide = len(rows[0])
    longer = sum(len(row) == wide + 1 for row in rows[1:])  # with names of rows, or a separator at the end
    equal = sum(len(row) == wide for row in rows[1:])
    share = (max(equal, 0.9 * longer) + 1) / len(rows)
    return round(share, 2), _numbers(rows[1:])


def _numbers(rows: list[list[str]]) -> float:
    cells = [cell.strip() for row in rows for cell in row]
    return sum(bool(_NUMBER.fullmatch(c) or _COMMA.fullmatch(c)) for c in cells) / max(len(cells), 1)


def _decimal(rows: list[list[str]], sep: str, given: str | None, name: str) -> str:
    """The decimal mark. 1,234 may be either: it is a decimal where ';' had to part the cells."""
    if given is not None:
        if given not in (".", ","):
            raise TableError(f"{name}: --decimal must be . or , – got {given!r}")
        return given
    cells = [cell.strip() for row in rows for cell in row if "," in cell or "." in cell]
    unsure = [cell for cell in cells if _GROUPED.fullmatch(cell)]
    cells = [cell for cell in cells if not _GROUPED.fullmatch(cell)]
    commas = sum(bool(_COMMA.fullmatch(cell)) for cell in cells)
    points = sum(bool(_POINT.fullmatch(cell)) for cell in cells)
    if sep == ",":
        return "," if commas and not points else "."
    if sep == ";" and not commas and not points:
        commas = sum("," in cell for cell in unsure)
    return "," if commas > points else "."


def _header(
    rows: list[list[str]],
    comment: str | None,
    sep: str,
    spaced: bool,
    decimal: str,
    verbatim: Collection[str],
) -> tuple[list[str] | None, list[list[str]], list[str]]:
    """The row of names, None without one; the rows below it; and what is to say about it."""
    first = [cell.strip() for cell in rows[0]]
    if set(first) & set(verbatim):
        return rows[0], rows[1:], []
    pattern = _NUMBER if decimal == "." else _COMMA
    numbers = [bool(_NUMBER.fullmatch(cell) or pattern.fullmatch(cell)) for cell in first]
    if comment and any(numbers):
        names = next(cells_of([comment], sep, spaced), [])
        if len(names) == len(first) and not any(_NUMBER.fullmatch(name.strip()) for name in names):
            return names, rows, ["the names of the columns were taken from the comment above the rows"]
    if not _is_data(first, numbers, rows[1:]):
        if all(numbers):
            note = "the names of all columns are numbers; if they are a row, put a row of names above it"
            return rows[0], rows[1:], [note]
        return rows[0], rows[1:], []
    return (
        None,
        rows,
        ["the file has no header: its first row is data, and its columns are called column 1, …"],
    )


def _is_data(first: list[str], numbers: list[bool], below: list[list[str]]) -> bool:
    """Whether the first row is clearly no header: its numbers do not rise as years or wavelengths do, and
    its texts are found again further down in their own columns."""
    if len(first) < 2 or not below:
        return False
    if all(numbers):
        values = [float(cell.replace(",", ".")) for cell in first]
        return any(b <= a for a, b in pairwise(values))
    for j, cell in enumerate(first):
        column = [row[j].strip() for row in below if j < len(row)]
        if not numbers[j] and cell not in MISSING and cell not in column:
            return False
    return any(cell not in MISSING for cell in first)


def _named(header: list[str] | None, data: list[list[str]]) -> tuple[list[str], str | None, list[str]]:
    """Unique names for all cells of a row; which of them stands for nothing; and what was changed."""
    if header is None:
        return [f"column {j + 1}" for j in range(len(data[0]))], None, []
    header = list(header)
    longer = bool(data) and len(header) > 1 and all(len(row) == len(header) + 1 for row in data)
    empty = all(not row[-1].strip() for row in data if len(row) == len(header) + longer)
    if longer and not empty:  # as R's write.table does
        names, notes = unique_names(["row name", *header])
        note = f"rows have one cell more than the header: the first is taken for a name, {names[0]!r}"
        return names, None, [note, *notes]
    if longer or (len(header) > 1 and not header[-1].strip() and bool(data) and empty):
        names, notes = unique_names(header if longer else header[:-1])
        extra = "a separator that ends each row"
        return [*names, extra], extra, notes
    names, notes = unique_names(header)
    return names, None, notes
