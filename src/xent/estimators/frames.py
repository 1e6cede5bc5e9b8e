"""Tables as their owners have them: frames of pandas and polars, Arrow tables, sparse matrices, lists."""

from __future__ import annotations

from collections.abc import Callable
from numbers import Real
from typing import Any, TypeVar

import numpy as np
from scipy import sparse

from .._checks import shown
from .._types import Array
from .sklearn import is_pandas_na

Checked = TypeVar("Checked")


def names_of(table: object) -> list[Any] | None:
    """The names of a frame's columns, or None. Arrow's tables call the data `columns`."""
    names = getattr(table, "column_names", getattr(table, "columns", None))
    return None if names is None else np.asarray(names).tolist()


def is_missing(value: object) -> bool:
    """Whether an entry is None, NaN, NaT or pandas' NA."""
    return value is None or is_pandas_na(value) or bool(value != value)


def as_numbers(table: object) -> Array:
    """A table as a dense array, float32 or else float64, with NaN for what is missing.

    Raises ValueError where entries are not numbers, or rows differ in length.
    """
    try:
        matrix: Any = table
        a: Array = matrix.toarray() if sparse.issparse(matrix) else np.asarray(matrix)
    except ValueError:
        raise ValueError("must be of one length") from None
    if a.dtype.kind == "O":  # what frames with NA become
        wrong = next((v for v in a.ravel() if not (isinstance(v, Real) or is_missing(v))), None)
        if wrong is not None:
            raise ValueError(f"must be numbers, got {wrong!r}")
        a = np.array([np.nan if is_missing(v) else v for v in a.ravel()], np.float64).reshape(a.shape)
    if a.dtype.kind not in "fiub":
        raise ValueError(f"must be numbers, got dtype {a.dtype}")
    return a if a.dtype in (np.float32, np.float64) else a.astype(np.float64)


def first_missing(labels: object) -> int | None:
    """The first row without a label."""
    return next((i for i, label in enumerate(np.asarray(labels, object).ravel()) if is_missing(label)), None)


def locate(X: object, validate: Callable[[], Checked], y: object = None) -> Checked:
    """What scikit-learn's validation of X, and of y if it is given, returns.

    To its error for NaN or infinity the place of the first is added.
    """
    try:
        with np.errstate(invalid="ignore"):  # of its sum over X, where large numbers of both signs meet
            return validate()
    except (TypeError, ValueError) as error:
        what, _, rest = str(error).partition("\n")
        if not what.startswith("Input X contains") and y is not None:
            row = first_missing(y)
            if row is not None:
                raise ValueError(f"Input y contains NaN. First in row {row}.") from error
        if "NAType" in what:  # what NumPy says of it in a column of objects
            what, rest = "Input X contains NaN.", ""
        if not what.startswith("Input X contains"):
            raise
        place = _place(X)
        raise ValueError(f"{what}{place}\n{rest}".strip()) from error


def _place(X: object) -> str:
    """Where the first entry is that is not finite."""
    if sparse.issparse(X):
        entries = sparse.coo_array(X)
        bad = ~np.isfinite(entries.data)
        at = sorted(np.column_stack([entries.row[bad], entries.col[bad]]).tolist())
    else:
        try:
            at = np.argwhere(~np.isfinite(as_numbers(X))).tolist()
        except ValueError:  # numbers written as text, which scikit-learn reads
            return ""
    if not at:
        return ""
    (row, column), names = at[0], names_of(X)
    return f" First in row {row}, column {shown(column if names is None else names[column])}."
