"""Names for what goes in and out, used in annotations alone.

`Any` is left where the type is known at run time only: inside `Array` (its dtype may be bfloat16, for which
NumPy has no name), for values about to be checked, and for objects of libraries that carry no types.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array: TypeAlias = NDArray[Any]  # of whatever dtype: float64, float32, float16, bfloat16, labels
Float: TypeAlias = NDArray[np.float64]
Index: TypeAlias = NDArray[np.int64]
Bool: TypeAlias = NDArray[np.bool_]


class Sparse(Protocol):
    """A matrix in compressed rows, as SciPy's csr_array and csr_matrix are."""

    data: Array
    indices: Array
    indptr: Array

    @property
    def shape(self) -> tuple[int, int]: ...
    @property
    def dtype(self) -> np.dtype[Any]: ...
    @property
    def ndim(self) -> int: ...
    @property
    def nnz(self) -> int: ...
    def __getitem__(self, rows: object) -> Any: ...
    def __matmul__(self, other: object) -> Any: ...
    def __abs__(self) -> Any: ...
    def astype(self, dtype: object, *, copy: bool = ...) -> Any: ...
    def multiply(self, other: object) -> Any: ...
    def toarray(self) -> Array: ...


class Frame(Protocol):
    """A table with named columns: pandas, polars, Arrow."""

    @property
    def columns(self) -> Any: ...


class ForeignArray(Protocol):
    """An array of another library, on any device: PyTorch, CuPy, JAX."""

    def __dlpack__(self, *args: Any, **kwargs: Any) -> Any: ...


Matrix: TypeAlias = Array | Sparse  # (n, d), as a pass reads it
MatrixLike: TypeAlias = ArrayLike | Sparse | Frame | ForeignArray  # (n, d), as a caller may hand it over
VectorLike: TypeAlias = ArrayLike | ForeignArray  # (n,), or (n, K) for soft labels and offsets
TargetLike: TypeAlias = VectorLike | Frame  # y or an offset: a frame's columns are the classes
ClassWeight: TypeAlias = Mapping[Any, float] | str | None  # by label, "balanced", or all 1
Factors: TypeAlias = ArrayLike | Mapping[Any, float] | None  # a number a class or feature; all 1
Bounds: TypeAlias = tuple[ArrayLike, ArrayLike] | None  # lower, upper: numbers or what broadcasts to (K, d)
