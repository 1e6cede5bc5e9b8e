"""Tables in files that are not text in columns: each through the library that knows its form."""

from __future__ import annotations

import importlib.util
import io
import json
import re
import warnings
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from .._extras import needs
from .errors import TableError, nested, some
from .frames import as_written, settle, unique_names
from .sources import Options, Part, Reading

_DENSE_MOST = 1 << 31  # bytes that a sparse file may take up once its zeros are written out


def built_in(name: str, verbatim: Collection[str]) -> Reading:
    """A set that scikit-learn brings along; its target is called "target"."""
    import sklearn.datasets

    frame = getattr(sklearn.datasets, f"load_{name}")(as_frame=True).frame
    return Reading(settle(frame, name, verbatim))


def read_form(part: Part, form: str, options: Options, verbatim: Collection[str]) -> Reading:
    """The table in a file of this form, one of FORMS."""
    try:
        frame, notes = FORMS[form](part, options, verbatim)
    except (TableError, MemoryError):
        raise
    except Exception as error:  # of a damaged file each library raises what it happens on
        why = str(error) if isinstance(error, ValueError) else f"{type(error).__name__} {error}".strip()
        hint = "" if isinstance(error, ValueError) else "; is the file whole?"
        raise TableError(f"{part.name}: cannot be read as {form}: {why}{hint}") from error
    names, changed = unique_names(frame.columns)
    frame.columns = pd.Index(names, dtype=object)
    if not frame.shape[1] or not len(frame):
        raise TableError(
            f"{part.name}: {len(frame)} rows and {frame.shape[1]} columns; a table has some of each"
        )
    return Reading(settle(frame, part.name, verbatim), (*notes, *changed))


Found = tuple[pd.DataFrame, list[str]]


def _where(part: Part) -> Any:
    """The file itself, or its bytes where it is packed or comes from a pipe."""
    if part.path is not None:
        return part.path
    with part.open() as stream:
        return io.BytesIO(stream.read())


def form_of(part: Part) -> str:
    """The form of a file, one of FORMS, or "text": by its bytes, and for kinds of text by name and look."""
    if part.form != "text":
        return part.form
    suffix = part.suffix
    if suffix in (".jsonl", ".ndjson", ".json"):
        return "json"
    with part.open() as stream:
        start = stream.read(1 << 14)
    if suffix == ".arff" or re.match(rb"(\s*%[^\n]*\n|\s)*@relation\s", start, re.IGNORECASE):
        return "arff"
    lines = [line.split(b"#")[0].strip() for line in start.splitlines()[:50]]
    lines = [line for line in lines[: -1 if len(lines) > 1 else None] if line]
    pairs = rb"[-+.\deE]+( qid:\d+)?( \d+:[-+.\deE]+)+"
    if suffix in (".svm", ".svmlight", ".libsvm") or (lines and all(re.fullmatch(pairs, n) for n in lines)):
        return "svmlight"
    if re.match(rb"(\xef\xbb\xbf)?\s*(\{\s*\"|\[\s*\{\s*\")", start):
        return "json"
    return "text"


def _indexed(frame: pd.DataFrame) -> pd.DataFrame:
    """A named index is columns like others."""
    kept = frame.index.names != [None] and not set(frame.index.names) & set(frame.columns)
    return frame.reset_index(drop=not kept)


def check_flat(schema: Any, name: str) -> None:
    """Raise TableError where a column of Arrow's holds several values in a cell."""
    import pyarrow as pa

    for field in schema:
        if pa.types.is_nested(field.type):
            raise nested(f"{name}: column {field.name!r}", field.type)


def _parquet(part: Part, options: Options, verbatim: Collection[str]) -> Found:
    import pyarrow.parquet as pq

    table = pq.read_table(_where(part))
    check_flat(table.schema, part.name)
    return _indexed(table.to_pandas()), []


def parquet_pieces(part: Part, rows: int) -> Iterator[pd.DataFrame]:
    """The table in a Parquet file, in pieces of so many rows."""
    import pyarrow as pa
    import pyarrow.dataset as ds
    import pyarrow.parquet as pq

    if part.path is not None:
        source = ds.dataset(part.path, format="parquet", partitioning="hive")
        check_flat(source.schema, part.name)
        batches = source.to_batches(batch_size=rows)
    else:
        file = pq.ParquetFile(_where(part))
        check_flat(file.schema_arrow, part.name)
        batches = file.iter_batches(batch_size=rows)
    for batch in batches:
        if batch.num_rows:
            yield _indexed(pa.Table.from_batches([batch]).to_pandas())


def _arrow(part: Part, options: Options, verbatim: Collection[str]) -> Found:
    import pyarrow.feather

    table = pyarrow.feather.read_table(_where(part))
    check_flat(table.schema, part.name)
    return _indexed(table.to_pandas()), []


def _orc(part: Part, options: Options, verbatim: Collection[str]) -> Found:
    import pyarrow.orc

    table = pyarrow.orc.read_table(_where(part))
    check_flat(table.schema, part.name)
    return _indexed(table.to_pandas()), []


def _json(part: Part, options: Options, verbatim: Collection[str]) -> Found:
    with part.open() as stream:
        text = stream.read().decode("utf-8-sig")
    whole = None
    if text.lstrip()[:1] == "[" or part.suffix == ".json":
        try:
            whole = json.loads(text)
        except ValueError as error:
            if text.lstrip()[:1] == "[":
                raise TableError(f"{part.name}: no JSON: {error}; is the file whole?") from error
    if whole is not None:
        records = _records(whole, part.name)
        return (records if isinstance(records, pd.DataFrame) else pd.DataFrame(records, dtype=object)), []
    rows = []
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            try:
                rows.append(json.loads(line))
            except ValueError as error:
                raise TableError(f"{part.name}: line {number} is no JSON: {error}") from error
            if not isinstance(rows[-1], dict):
                raise TableError(
                    f"{part.name}: line {number} is a {type(rows[-1]).__name__}; expected a record on each "
                    'line, as {"size": 1.5, "class": "a"}'
                )
    return pd.DataFrame(rows, dtype=object), []


def _records(whole: Any, name: str) -> Any:
    """What a JSON file holds, as records: a list of them, or columns by name, as pandas writes them."""
    if isinstance(whole, list) and all(isinstance(row, dict) for row in whole):
        return whole
    if isinstance(whole, dict) and whole:
        values = list(whole.values())
        if all(isinstance(column, dict) for column in values):
            return pd.DataFrame(whole, dtype=object)
        if all(isinstance(column, list) for column in values) and len({len(v) for v in values}) == 1:
            single = values[0] if len(values) == 1 else []
            return single if single and all(isinstance(row, dict) for row in single) else whole
        if not any(isinstance(value, list | dict) for value in values):
            return [whole]
    raise TableError(
        f'{name}: expected an array of records, as [{{"size": 1.5, "class": "a"}}, …], or one record a line; '
        "found other JSON"
    )


_ENGINES = {"ods": ("odf", "odfpy"), "xls": ("xlrd", "xlrd"), "xlsx": ("openpyxl", "openpyxl")}


def _excel(part: Part, options: Options, verbatim: Collection[str]) -> Found:
    module, package = _ENGINES[part.form]
    if importlib.util.find_spec(module) is None:
        raise TableError(f"{part.name}: {needs('a spreadsheet of this kind', package, 'excel')}")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # openpyxl's, of styles and validations
        quiet = {"logfile": io.StringIO()} if module == "xlrd" else {}  # else it prints
        book = pd.ExcelFile(_where(part), engine=module, engine_kwargs=quiet)
        with book:
            sheet, notes = _sheet(book.sheet_names, options.sheet, part.name)
            cells = book.parse(sheet, header=None, dtype=object, keep_default_na=False, na_values=[""])
    return _from_cells(cells, f"{part.name}: sheet {sheet!r}", notes)


def _sheet(names: list[Any], given: str | int | None, name: str) -> tuple[str, list[str]]:
    names = [str(n) for n in names]
    if given is None:
        many = f"sheet {names[0]!r} was read, the first of {len(names)}: {some(names)} (--sheet)"
        return names[0], [many] if len(names) > 1 else []
    if str(given) in names:
        return str(given), []
    if str(given).isdecimal() and 1 <= int(given) <= len(names):
        return names[int(given) - 1], []
    raise TableError(f"{name}: no sheet {given!r}; it has {some(names)}")


def _from_cells(cells: pd.DataFrame, where: str, notes: list[str]) -> Found:
    """A table somewhere on a sheet: empty cells around it, and titles of one cell above it, are left out."""
    cells = cells.dropna(how="all")
    if cells.empty:
        raise TableError(f"{where} is empty; expected the columns' names, then rows (--sheet names another)")
    filled = cells.notna().sum(axis=1).to_numpy()
    top = int(np.argmax(filled > 1)) if (filled > 1).any() else 0
    if top:
        notes = [*notes, f"what stands above the table, {some(_texts(cells, top), 3)}, was left out"]
    cells = cells.iloc[top:].dropna(how="all", axis=1)
    body = cells.iloc[1:]
    if not len(body):
        raise TableError(f"{where} has a header and no rows below it")
    names = [None if pd.isna(name) else name for name in cells.iloc[0]]
    return body.set_axis(unique_names(names)[0], axis=1), [*notes, *unique_names(names)[1]]


def _texts(cells: pd.DataFrame, top: int) -> list[str]:
    return [str(cell) for row in cells.iloc[:top].to_numpy() for cell in row if not pd.isna(cell)]


def _stata(part: Part, options: Options, verbatim: Collection[str]) -> Found:
    return pd.read_stata(_where(part)), []


def _sas(part: Part, options: Options, verbatim: Collection[str]) -> Found:
    return pd.read_sas(_where(part), format=part.form), []


def _npz(part: Part, options: Options, verbatim: Collection[str]) -> Found:
    with np.load(_where(part), allow_pickle=False) as archive:
        names = list(archive.files)
        if "X" not in names:
            raise TableError(f"{part.name}: expected an array called X, got {some(names)}")
        frame = _matrix(archive["X"], f"{part.name}: X")
        others = [name for name in names if name != "X"]
        for name in others:
            if name in verbatim:
                frame[name] = _labels(archive[name], len(frame), f"{part.name}: {name}")
    left = [name for name in others if name not in verbatim]
    return frame, [f"arrays other than X were left out: {some(left)}"] if left else []


def _npy(part: Part, options: Options, verbatim: Collection[str]) -> Found:
    """A matrix alone; labels may lie in a second file, whose path is then the name of their column."""
    X = np.load(_where(part), allow_pickle=False)
    if X.dtype.names is not None and X.ndim == 1:
        return pd.DataFrame.from_records(X), []
    frame = _matrix(X, f"{part.name}: the array")
    for name in verbatim:
        if name.lower().endswith(".npy"):
            path = Path(name).expanduser()
            if not path.is_file():
                raise TableError(f"{name}: no such file; the labels of {part.name} were to be read from it")
            frame[name] = _labels(np.load(path, allow_pickle=False), len(frame), name)
    return frame, []


def _matrix(X: Any, where: str) -> pd.DataFrame:
    if X.ndim != 2 or X.dtype.kind not in "fiub":
        raise TableError(f"{where} must be a (n, d) array of numbers, got {X.dtype} of shape {X.shape}")
    X = X.astype(X.dtype.newbyteorder("="), copy=False)
    return pd.DataFrame(X, columns=[f"x{j}" for j in range(X.shape[1])], copy=False)


def _labels(y: Any, rows: int, where: str) -> pd.Series:
    if y.shape != (rows,):
        raise TableError(f"{where} must have shape ({rows},), got {y.shape}")
    return as_written(pd.Series(y.astype(str) if y.dtype.kind == "S" else y))


def _svmlight(part: Part, options: Options, verbatim: Collection[str]) -> Found:
    """Labels, called "target", and features by their number in the file, x1 and so on."""
    from sklearn.datasets import load_svmlight_file

    try:
        with part.open() as stream:
            X, y = load_svmlight_file(stream, zero_based=True)
    except ValueError as error:
        raise TableError(
            f"{part.name}: cannot be read as svmlight ('label index:value …'): {error}"
        ) from error
    if X.shape[0] * X.shape[1] * 8 > _DENSE_MOST:
        raise TableError(
            f"{part.name}: {X.shape[0]} rows of {X.shape[1]} features are too many to write out their zeros; "
            "in Python, xent.SoftmaxRegression fits what sklearn.datasets.load_svmlight_file reads as it is"
        )
    first = 0 if X.shape[1] == 0 or X[:, [0]].nnz else 1
    frame = pd.DataFrame(X[:, first:].toarray(), columns=[f"x{j}" for j in range(first, X.shape[1])])
    frame["target"] = y.astype(np.int64) if (y == np.round(y)).all() else y
    return frame, ["the labels are the column 'target'"]


def _arff(part: Part, options: Options, verbatim: Collection[str]) -> Found:
    from scipy.io import arff

    with part.open() as stream:
        text = stream.read().decode("utf-8-sig", errors="replace")
    try:
        data, meta = arff.loadarff(io.StringIO(text.replace("\r\n", "\n")))
    except (ValueError, NotImplementedError, arff.ArffError, StopIteration) as error:
        raise TableError(
            f"{part.name}: cannot be read as ARFF: {error}; save it as CSV (in Weka, Save … as CSV)"
        ) from error
    frame = pd.DataFrame({name: data[name] for name in meta.names()})
    for name in [name for name in frame.columns if pd.api.types.is_object_dtype(frame[name].dtype)]:
        frame[name] = frame[name].map(bytes.decode)
    return frame, []


FORMS: dict[str, Callable[[Part, Options, Collection[str]], Found]] = {
    "parquet": _parquet,
    "arrow": _arrow,
    "orc": _orc,
    "json": _json,
    "xlsx": _excel,
    "xls": _excel,
    "ods": _excel,
    "stata": _stata,
    "sas7bdat": _sas,
    "xport": _sas,
    "npz": _npz,
    "npy": _npy,
    "svmlight": _svmlight,
    "arff": _arff,
}

# What a file's name promises of its bytes.
SUFFIXES = {
    "parquet": (".parquet", ".pq"),
    "arrow": (".feather", ".arrow", ".ipc", ".ft"),
    "orc": (".orc",),
    "xlsx": (".xlsx", ".xlsm"),
    "xls": (".xls",),
    "ods": (".ods",),
    "stata": (".dta",),
    "sas7bdat": (".sas7bdat",),
    "xport": (".xpt",),
    "npz": (".npz",),
    "npy": (".npy",),
}
