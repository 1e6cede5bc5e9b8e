"""Arrays of other libraries, at the door: NumPy inside, results where the caller's X lives.

Where scikit-learn's `array_api_dispatch` is on. Where it is off, arrays are left to `np.asarray`.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any, Protocol, TypeGuard, TypeVar

import numpy as np
from array_api_compat import array_namespace, device, is_array_api_obj
from scipy import sparse
from sklearn import get_config

from .._types import Array

Model = TypeVar("Model")
Value = TypeVar("Value")

# Memory that the CPU reads, as DLPack numbers devices: plain, and pinned for CUDA or for ROCm.
_ON_CPU = (1, 3, 11)


class _Foreign(Protocol):
    """An array of another library, which DLPack hands over."""

    @property
    def device(self) -> Any: ...
    @property
    def dtype(self) -> Any: ...
    def __dlpack__(self, *args: Any, **kwargs: Any) -> Any: ...
    def __dlpack_device__(self) -> tuple[int, int]: ...


@dataclass(frozen=True)
class Home:
    """Where results go: an array namespace, None for NumPy's, and a device of it."""

    xp: Any = None
    device: Any = None

    def __str__(self) -> str:
        return "NumPy's" if self.xp is None else f"{self.xp.__name__}'s on {self.device}"

    def bring(self, value: Value) -> Value:
        """The array, or a dict with its arrays, moved here.

        Strings and objects stay NumPy's: no other namespace has them.
        """
        moved: Value
        if self.xp is not None and isinstance(value, dict):
            parts: Any = {key: self.bring(item) for key, item in value.items()}
            moved = parts
            return moved
        if self.xp is None or not isinstance(value, np.ndarray) or value.dtype.kind not in "biuf":
            return value
        array: Array = value
        if min(array.strides, default=0) < 0 or not array.flags.writeable:  # PyTorch has none such
            array = array.copy()
        moved = self.xp.asarray(array, device=self.device)
        return moved


def home_of(array: object) -> Home:
    """Where an array lives. NumPy is home to frames, lists and sparse matrices."""
    return Home(array_namespace(array), device(array)) if _is_foreign(array) else Home()


def to_numpy(**arrays: object) -> list[Any]:
    """Each argument as a NumPy array, without a copy, where it is another library's; others as they are.

    Raises ValueError, naming the argument, for an array that is not in the CPU's memory or that NumPy cannot
    hold; of several, before any is read.
    """
    for name, array in arrays.items():
        if _is_foreign(array) and not _is_on_cpu(array):
            raise ValueError(
                f"{name}: the array is on device {str(array.device)!r}, and xent computes on the CPU; "
                f"move it there first, for example {name}.to('cpu') in PyTorch"
            )
    return [_read(name, array) if _is_foreign(array) else array for name, array in arrays.items()]


def in_numpy(attribute: Any) -> Any:
    """A fitted attribute as NumPy's, or sparse as it is, whether or not dispatch is still on."""
    if isinstance(attribute, np.ndarray) or sparse.issparse(attribute) or not is_array_api_obj(attribute):
        return attribute
    return _numpy_of(attribute)


def numpy_twin(model: Model) -> Model:
    """The model with fitted attributes in NumPy, for callers that hand it NumPy arrays."""
    twin = copy.copy(model)
    vars(twin).update({name: in_numpy(value) for name, value in vars(model).items() if name.endswith("_")})
    return twin


def _is_foreign(array: object) -> TypeGuard[_Foreign]:
    if isinstance(array, np.ndarray | np.generic) or not get_config()["array_api_dispatch"]:
        return False
    return bool(is_array_api_obj(array))


def _is_on_cpu(array: _Foreign) -> bool:
    try:
        return array.__dlpack_device__()[0] in _ON_CPU
    except ValueError:  # PyTorch's word for a device that DLPack has no number for
        return False


def _read(name: str, array: _Foreign) -> Array:
    if hasattr(array, "resolve_neg"):  # PyTorch's, which DLPack forgets may be its memory's negative
        array = array.resolve_neg()
    try:
        return _numpy_of(array)
    except (TypeError, RuntimeError, ValueError, BufferError) as error:
        raise ValueError(
            f"{name}: NumPy cannot read this array of dtype {array.dtype}; convert it first. {error}"
        ) from error


def _numpy_of(array: _Foreign) -> Array:
    """The array through DLPack, or else as the library itself gives its arrays to NumPy."""
    try:
        return np.from_dlpack(array)
    except (TypeError, RuntimeError, ValueError, BufferError):
        return np.asarray(array)
