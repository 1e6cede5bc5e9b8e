"""Labels, rows of probabilities and weights, as a caller has them, made into what a `Batch` holds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.utils import column_or_1d, compute_class_weight
from sklearn.utils.multiclass import check_classification_targets

from .._checks import check_non_negative, check_probabilities, shown
from .._types import Array, Bounds, ClassWeight, Factors, Float, Index, Matrix, TargetLike, VectorLike
from .frames import as_numbers, first_missing, names_of
from .sklearn import check_sample_weight


@dataclass(frozen=True)
class Targets:
    """`classes` (K,), y as codes (n,) int64 or rows of probabilities (n, K), and weights (n,) or None for
    ones."""

    classes: Array
    y: Array
    weight: Float | None


def is_soft(y: object) -> bool:
    """Whether y is rows of numbers, two or more per row."""
    shape = getattr(y, "shape", None)
    if shape is not None:
        return len(shape) == 2 and shape[1] > 1
    return isinstance(y, list | tuple) and len(y) > 0 and np.ndim(y[0]) == 1 and len(y[0]) > 1


def rows_of(y: object) -> tuple[Array, list[Any] | None]:
    """Rows of probabilities (n, K), dense, and the names of a frame's columns, which are its classes."""
    try:
        return as_numbers(y), names_of(y)
    except ValueError as error:
        raise ValueError(f"y: rows of probabilities {error}") from None


def soft_targets(
    X: Matrix,
    Q: Array,
    columns: Sequence[object] | None,
    class_weight: ClassWeight,
    sample_weight: VectorLike | None,
) -> Targets:
    """Targets of rows Q (n, K) ≥ 0 that sum to 1. Classes are a frame's column names, else 0 … K − 1.

    A class weight c_k multiplies its part of a row: the row's weight is multiplied by c = Σ_k c_k q_k, and
    q_k by c_k / c. One-hot rows thus weigh what labels do.
    """
    n, K = X.shape[0], Q.shape[1]
    classes = np.arange(K) if columns is None else np.asarray(columns)
    if columns is not None and len({type(name) for name in columns}) > 1:
        raise ValueError(f"y: its columns are called {columns}, by names of several types; give them one")
    names, times = np.unique(classes.astype(str), return_counts=True)
    if len(names) < K:
        raise ValueError(
            f"y: column names must be unique: {str(names[np.argmax(times)])!r} appears {times.max()} times"
        )
    weight = weights_of(X, sample_weight)
    check_probabilities(Q, n, K, np.ones(n) if weight is None else weight, "y")
    if weight is not None and not weight.all():
        Q = np.where(weight[:, None] > 0, Q, 0)  # rows of weight 0 are not checked and may be NaN
    if class_weight is not None:
        row_weight = np.ones(n) if weight is None else weight
        if isinstance(class_weight, str):  # "balanced"
            by_class = _balanced(row_weight @ Q)
        else:
            by_class = _of_dict(class_weight, classes)
        _check_class_weight(by_class)
        scaled = Q * by_class
        row = scaled.sum(axis=1)
        Q = np.divide(scaled, row[:, None], out=np.full(Q.shape, 1 / K), where=row[:, None] > 0)
        weight = row_weight * row
    _check_total(weight)
    return Targets(classes, Q, weight)


def label_targets(
    X: Matrix, y: Array, class_weight: ClassWeight, sample_weight: VectorLike | None
) -> Targets:
    """Targets of labels y (n,), all of one type, coded in sorted order."""
    names = y.dtype.kind == "U" or (y.dtype.kind == "O" and set(map(type, y)) == {str})
    if y.dtype.kind == "O" and not names:
        missing = first_missing(y)
        if missing is not None:
            raise ValueError(f"Input y contains NaN. First in row {missing}.")
        types = [type(label.item() if isinstance(label, np.generic) else label) for label in y]
        kinds = sorted({kind.__name__ for kind in types})
        if len(kinds) > 1:
            first = next(i for i, kind in enumerate(types) if kind is not types[0])
            raise ValueError(
                f"Unknown label type: unknown. y mixes labels of types {kinds} (y[0] = {y[0]!r}, "
                f"y[{first}] = {y[first]!r}); convert them to one type, for example with y.astype(str)"
            )
    classes, codes = _coded(y)
    # Strings and whole numbers are classes, unless most occur once.
    if not (names or y.dtype.kind in "biu") or 2 * len(classes) > len(y):
        check_classification_targets(y)
    if len(classes) < 2:
        raise ValueError(
            "This solver needs samples of at least 2 classes in the data, but the data contains "
            f"only one class: {shown(classes[0])}"
        )
    weight = weights_of(X, sample_weight)
    if class_weight is not None:
        weight = np.ones(len(codes)) if weight is None else weight
        if class_weight == "balanced":
            by_class = _balanced(np.bincount(codes, weight))
        else:
            by_class = compute_class_weight(class_weight, classes=classes, y=y)
        _check_class_weight(by_class)
        with np.errstate(over="ignore"):
            weight = weight * by_class[codes]
    _check_total(weight)
    return Targets(classes, codes, weight)


def _coded(y: Array) -> tuple[Array, Index]:
    """The sorted classes (K,) among labels (n,), and each label's index, as `np.unique` has them.

    Objects, and whole numbers of a small range, are coded without sorting all n.
    """
    if y.dtype.kind == "O":
        labels = y.tolist()
        classes = np.array(sorted(set(labels)), object)
        code = {label: k for k, label in enumerate(classes)}
        return classes, np.fromiter(map(code.__getitem__, labels), np.int64, len(y))
    if y.dtype.kind in "iub" and len(y):
        low, high = int(y.min()), int(y.max())
        if high - low < max(len(y) // 8, 1024) and -(2**62) < low and high < 2**62:
            place = y.astype(np.int64) - low
            seen = np.zeros(high - low + 1, bool)
            seen[place] = True
            return (np.flatnonzero(seen) + low).astype(y.dtype), (np.cumsum(seen) - 1)[place]
    classes, codes = np.unique(y, return_inverse=True)
    return classes, codes.astype(np.int64)


def codes_of(y: TargetLike, classes: Array, weight: Float | None) -> Array:
    """Labels y (n,) as indices into `classes`, or rows of probabilities (n, K), a frame's columns in the
    order of `classes`.

    Raises ValueError naming the first label that is not a class, or columns that are not the classes.
    """
    if is_soft(y):
        (Q, names), K = rows_of(y), len(classes)
        if names is not None:
            columns = _columns_of(classes, names)
            if columns is None:
                raise ValueError(
                    f"y: the columns {names} are not the model's classes {classes.tolist()}, one each"
                )
            Q = Q[:, columns]
        check_probabilities(Q, len(Q), K, np.ones(len(Q)) if weight is None else weight, "y")
        return Q
    labels: Array = column_or_1d(y)
    order = np.argsort(classes)  # the names of a frame's columns come as they are
    codes: Index = order[np.minimum(np.searchsorted(classes, labels, sorter=order), len(classes) - 1)]
    unknown = classes[codes] != labels
    if unknown.any():
        row = int(np.argmax(unknown))
        raise ValueError(f"y: row {row} is of class {shown(labels[row])}, which is none of the model's")
    return codes


def _columns_of(classes: Array, names: Sequence[object]) -> list[int] | None:
    """Where each class' column is, or None unless the names are the classes, one each."""
    column, own = {shown(name): j for j, name in enumerate(names)}, [shown(label) for label in classes]
    if len(names) != len(own) or column.keys() != set(own):
        return None
    return [column[label] for label in own]


def offset_of(offset: TargetLike | None, n: int, classes: Array) -> Array | None:
    """The offset (n, K); one of shape (n,), for two classes, is added to the second's logit.

    A frame whose columns are called as the classes is brought into their order. Raises ValueError for
    another shape and for entries that are not finite.
    """
    if offset is None:
        return None
    K, names = len(classes), names_of(offset)
    try:
        o = as_numbers(offset)
    except ValueError as error:
        raise ValueError(f"offset: entries {error}") from None
    columns = None if names is None else _columns_of(classes, names)
    if columns is not None:
        o = o[:, columns]
    if o.shape == (n,) and K == 2:
        o = np.column_stack([np.zeros_like(o), o])
    if o.shape != (n, K):
        raise ValueError(f"offset: expected shape ({n}, {K}), one column a class, got {o.shape}")
    finite = np.isfinite(o)
    if not finite.all():
        row, column = np.argwhere(~finite)[0]
        raise ValueError(f"offset[{row}, {column}] = {o[row, column]}: offsets must be finite")
    return o


def factors_of(name: str, factors: Factors, size: int) -> Float | None:
    """Penalty factors (size,), finite and ≥ 0; None stays. Raises ValueError naming the first bad one."""
    if factors is None:
        return None
    try:
        a = np.asarray(factors, np.float64)
    except (TypeError, ValueError):
        raise ValueError(f"{name}: expected {size} numbers, got {factors!r}") from None
    if a.shape != (size,):
        raise ValueError(f"{name}: expected shape ({size},), got {a.shape}")
    bad = ~((a >= 0) & np.isfinite(a))
    if bad.any():
        at = int(np.argmax(bad))
        raise ValueError(f"{name}[{at}] = {a[at]:g}: factors must be finite and ≥ 0")
    return a


def class_factors_of(factors: Factors, classes: Array) -> Float | None:
    """Penalty factors (K,), finite and ≥ 0; None stays. Classes that a dict does not name get 1."""
    if isinstance(factors, dict):
        unknown = [label for label in factors if label not in classes]
        if unknown:
            raise ValueError(f"class_penalty_factor: {unknown} are no classes of y")
        factors = [factors.get(label, 1.0) for label in classes.tolist()]
    return factors_of("class_penalty_factor", factors, len(classes))


def bounds_of(
    bounds: Bounds, classes: Array, d: int, names: Array | None = None
) -> tuple[Float, Float] | None:
    """Lower and upper bounds, each broadcast to coef_'s shape (K, d), or (1, d) for two classes; or None.

    Raises ValueError for another shape, NaN, or where no finite number lies between them, naming class and
    feature.
    """
    if bounds is None:
        return None
    shape = (1 if len(classes) == 2 else len(classes), d)
    lower, upper = (
        _bound(side, value, shape) for side, value in zip(("lower", "upper"), bounds, strict=True)
    )
    bad = ~((lower <= upper) & (lower < np.inf) & (upper > -np.inf))  # NaN, too
    if bad.any():
        row, column = np.argwhere(bad)[0]
        label = shown(classes[1 if len(classes) == 2 else row])
        feature = shown(column if names is None else names[column])
        raise ValueError(
            f"bounds: for class {label} and feature {feature} lower = {lower[row, column]:g} and upper = "
            f"{upper[row, column]:g} leave no finite coefficient; expected lower ≤ upper, none NaN"
        )
    return lower, upper


def _bound(side: str, bound: ArrayLike, shape: tuple[int, int]) -> Float:
    """A bound in float64, broadcast to the shape. Raises ValueError, naming the side, where it cannot be."""
    a = np.asarray(bound)
    if a.dtype.kind not in "fiu":
        raise ValueError(f"bounds: {side} must be numbers, got dtype {a.dtype}")
    try:
        return np.broadcast_to(a.astype(np.float64), shape)
    except ValueError:
        raise ValueError(
            f"bounds: {side} has shape {a.shape}; expected a number or what broadcasts to coef_'s {shape}"
        ) from None


def weights_of(X: Matrix, sample_weight: VectorLike | None) -> Float | None:
    """Weights (n,) of X's rows, finite and ≥ 0; None stays."""
    if sample_weight is None:
        return None
    with np.errstate(over="ignore"):
        weight: Float = check_sample_weight(sample_weight, X, dtype=np.float64)
    check_non_negative(weight)
    return weight


def _balanced(totals: Array) -> Float:
    """Class weights that give every class the same total; classes without weight do not count."""
    there = totals > 0
    balanced: Float = np.divide(totals.sum() / there.sum(), totals, out=np.ones(len(totals)), where=there)
    return balanced


def _of_dict(class_weight: Mapping[object, float], classes: Array) -> Float:
    """Class weights (K,) of a dict. Raises ValueError for a label that is not a class."""
    unknown = [label for label in class_weight if label not in classes]
    if unknown:
        raise ValueError(f"The classes, {unknown}, are not in class_weight")
    return np.array([class_weight.get(label, 1.0) for label in classes.tolist()], np.float64)


def _check_class_weight(by_class: Float) -> None:
    if not (np.isfinite(by_class) & (by_class >= 0)).all():
        raise ValueError(f"class_weight: weights must be finite and ≥ 0, got {by_class.tolist()}")


def _check_total(weight: Float | None) -> None:
    if weight is None:
        return
    with np.errstate(over="ignore"):
        total = weight.sum()
    if not np.isfinite(total):
        raise ValueError("sample_weight: the weights add up to infinity; divide them by their largest")
    if total == 0:
        raise ValueError("sample_weight × class_weight is 0 in every row, which leaves nothing to fit")
