"""A fitted model as one file that is safe to open.

A skops archive (a zip of NumPy arrays and a JSON schema; no pickle) of the fitted scikit-learn model and
its figures. Nothing is loaded but types on the list below, which is what xent itself writes. The same
model gives the same bytes: skops names its members by memory address, which `save` replaces by a count.
"""

from __future__ import annotations

import io
import json
import re
import sys
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from .files import replacing

FORMAT = "xent model 1"

# What a SoftmaxRegression consists of, alone, behind xent's preparation of a table, or behind skrub's, as
# files of before have it: for each of skops's loaders the types it may build. A file that asks for anything
# else, scikit-learn's own estimators included, is not ours: skops trusts those, but some of them read files
# if a parameter says so.
_ALLOWED = {
    "ConstructorFromReduceNode": {"datetime.timedelta", "datetime.timezone", "zoneinfo.ZoneInfo"},
    "DTypeNode": {"numpy.dtype"},
    "DictNode": {"builtins.dict"},
    "FunctionNode": {
        "skrub._dataframe._common.is_any_date",
        "skrub._dataframe._common.is_categorical",
        "skrub._dataframe._common.is_duration",
        "skrub._dataframe._common.is_numeric",
        "skrub._table_vectorizer._created_by_predicate",
        "skrub.selectors._selectors._cardinality_below",
    },
    "JsonNode": {"builtins.str"},
    "ListNode": {"builtins.list"},
    "NdArrayNode": {
        "numpy.bool",
        "numpy.float32",
        "numpy.float64",
        "numpy.int32",
        "numpy.int64",
        "numpy.ndarray",
    },
    "ObjectNode": {
        "pandas.DatetimeTZDtype",
        "sklearn.compose._column_transformer.ColumnTransformer",
        "sklearn.decomposition._truncated_svd.TruncatedSVD",
        "sklearn.feature_extraction.text.TfidfTransformer",
        "sklearn.feature_extraction.text.TfidfVectorizer",
        "sklearn.impute._base.MissingIndicator",
        "sklearn.impute._base.SimpleImputer",
        "sklearn.pipeline.FeatureUnion",
        "sklearn.pipeline.Pipeline",
        "sklearn.preprocessing._data.RobustScaler",
        "sklearn.preprocessing._data.StandardScaler",
        "sklearn.preprocessing._encoders.OneHotEncoder",
        "skrub._apply_to_each_col.ApplyToEachCol",
        "skrub._check_input.CheckInputDataFrame",
        "skrub._clean_categories.CleanCategories",
        "skrub._clean_null_strings.CleanNullStrings",
        "skrub._datetime_encoder.DatetimeEncoder",
        "skrub._datetime_encoder._CircularEncoder",
        "skrub._drop_uninformative.DropUninformative",
        "skrub._duration_to_float.DurationToFloat",
        "skrub._squashing_scaler.SquashingScaler",
        "skrub._squashing_scaler._MinMaxScaler",
        "skrub._string_encoder.StringEncoder",
        "skrub._table_vectorizer.PassThrough",
        "skrub._table_vectorizer.ShortReprDict",
        "skrub._table_vectorizer.TableVectorizer",
        "skrub._to_datetime.ToDatetime",
        "skrub._to_float.ToFloat",
        "skrub._to_str.ToStr",
        "skrub.selectors._base.All",
        "skrub.selectors._base.And",
        "skrub.selectors._base.Cols",
        "skrub.selectors._base.Filter",
        "skrub.selectors._base.Sub",
        "xent.estimators.SoftmaxRegression",
        "xent.tables.preparing.DateParts",
    },
    "SliceNode": {"builtins.slice"},
    "TupleNode": {"builtins.tuple"},
    "TypeNode": {"builtins.int", "builtins.str", "numpy.float64", "numpy.int64"},
}


class ModelFileError(ValueError):
    """The file is not one that xent can open; the message says why."""


def save(path: Path, model: object, figures: Mapping[str, object]) -> None:
    """Write `model` (a fitted estimator or pipeline) and `figures` (numbers, strings, lists, arrays)."""
    skops = _skops()
    content = {"format": FORMAT, "model": model, "figures": dict(figures)}
    data = _canonical(skops.io.dumps(content))
    if unknown := _unknown_types(_schema(data)):
        raise ModelFileError(f"{path}: the model holds what could not be read back: {unknown}")
    with replacing(path) as temporary:
        temporary.write_bytes(data)


def load(path: Path) -> tuple[Any, dict[str, Any]]:
    """The model and the figures that `save` wrote. Raises ModelFileError for anything else."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ModelFileError(f"{path}: cannot be read: {error.strerror}") from error
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            if "schema.json" not in archive.namelist():
                raise ModelFileError(f"{path}: not a xent model: a zip archive without a model's schema")
            if damaged := archive.testzip():
                raise ModelFileError(f"{path}: damaged: the checksum of {damaged} is wrong")
        if unknown := _unknown_types(_schema(data)):
            raise ModelFileError(f"{path}: refused: it asks for what no xent model has: {unknown}")
        skops = _skops()
        content = skops.io.loads(data, trusted=skops.io.get_untrusted_types(data=data))
    except ModelFileError:
        raise
    except (zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise ModelFileError(f"{path}: not a xent model, or cut short: {error}") from error
    except Exception as error:  # whatever a crafted or damaged schema makes skops raise
        raise ModelFileError(f"{path}: damaged: {type(error).__name__}: {error}") from error
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        other = content.get("format") if isinstance(content, dict) else type(content).__name__
        raise ModelFileError(f"{path}: not a {FORMAT!r} file: its format is {other!r}")
    model: Any = content.get("model")
    figures: Any = content.get("figures")
    last = model.steps[-1][-1] if hasattr(model, "steps") and model.steps else model
    if type(last).__name__ != "SoftmaxRegression" or not hasattr(last, "coef_"):
        raise ModelFileError(
            f"{path}: damaged: expected a fitted SoftmaxRegression, got {type(last).__name__}"
        )
    if _reads_files(model, set()):
        raise ModelFileError(f"{path}: refused: its text encoder would open files")
    if not isinstance(figures, dict):
        raise ModelFileError(f"{path}: damaged: it has no figures")
    return model, figures


def _skops() -> Any:
    """skops, which takes half a second: to list all estimators it loads all of scikit-learn. Where PyTorch
    is installed that loads it as well, by a module that has no estimator, and took two seconds more."""
    needless = "sklearn.externals.array_api_compat.torch"
    absent = needless not in sys.modules
    if absent:
        sys.modules[needless] = None  # type: ignore[assignment]  # to import it is an ImportError
    try:
        import skops.io
    finally:
        if absent:
            del sys.modules[needless]
    return skops


def _schema(data: bytes) -> object:
    """The schema of a skops archive, which names its types and members."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return json.loads(archive.read("schema.json"))


def _unknown_types(node: object) -> list[str]:
    """The types that a schema asks for and that are not allowed."""
    if isinstance(node, list):
        return sorted({name for item in node for name in _unknown_types(item)})
    if not isinstance(node, dict):
        return []
    unknown = set(_unknown_types(list(node.values())))
    if "__loader__" in node or "__class__" in node:
        loader, name = str(node.get("__loader__")), f"{node.get('__module__')}.{node.get('__class__')}"
        if name not in _ALLOWED.get(loader, ()):
            unknown.add(f"{name} ({loader})")
    return sorted(unknown)


def _reads_files(node: object, seen: set[int]) -> bool:
    """Whether a vectoriser somewhere in the loaded object takes its texts to be names of files."""
    if id(node) in seen or isinstance(node, str | bytes | np.ndarray):
        return False
    seen.add(id(node))
    if getattr(node, "input", "content") != "content":
        return True
    parts = list(node.values()) if isinstance(node, dict) else []
    parts += list(node) if isinstance(node, list | tuple) else []
    parts += list(getattr(node, "__dict__", {}).values())
    return any(_reads_files(part, seen) for part in parts)


def _canonical(data: bytes) -> bytes:
    """The same archive with members and references numbered in order, no time stamps, compressed."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    schema = members.pop("schema.json").decode()
    numbers: dict[str, str] = {}
    for address in re.findall(r'"__id__": (\d+)|"(\d+)\.npy"', schema):
        numbers.setdefault(address[0] or address[1], str(len(numbers) + 1))

    def rename(name: str) -> str:
        stem, _, kind = name.partition(".")
        return f"{numbers.get(stem, stem)}.{kind}"

    def renumber(node: object) -> object:
        if isinstance(node, list):
            return [renumber(item) for item in node]
        if not isinstance(node, dict):
            return node
        out = {key: renumber(value) for key, value in node.items()}
        if isinstance(out.get("__id__"), int):
            out["__id__"] = int(numbers[str(out["__id__"])])
        if isinstance(out.get("file"), str) and out["file"] in members:
            out["file"] = rename(out["file"])
        return out

    renamed = {rename(name): body for name, body in members.items()}
    renamed["schema.json"] = json.dumps(renumber(json.loads(schema))).encode()  # indented, it takes minutes
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in sorted(renamed):
            info = zipfile.ZipInfo(name)  # dated 1980-01-01
            info.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(info, renamed[name])
    return out.getvalue()
