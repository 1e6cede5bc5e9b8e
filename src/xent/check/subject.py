"""A student's function behind one face: which convention it follows, and calls that it cannot spoil."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

import numpy as np

from .. import reference
from .._types import Array, Float, Index

CONVENTIONS = {
    "cs231n": "f(W (D, K), X (N, D), y (N,), reg) → (loss, dW)",
    "rows": "f(W (K, D), X (N, D), y (N,), reg) → (loss, dW)",
    "logits": "f(logits (N, K), y (N,)) → (loss, gradient)",
    "loss": "f(logits (N, K), y (N,)) → loss",
    "torch": "f(logits (N, K), y (N,)) → loss, of PyTorch tensors",
    "d2l": "f(y_hat (N, K) probabilities, y (N,)) → losses (N,), or their mean",
}

Arguments: TypeAlias = dict[str, Array | float]  # of a call, in order: arrays, and reg
DType: TypeAlias = np.dtype[Any]


class Refused(Exception):
    """Raised where a function follows no convention that can be checked; the text says why."""

    __module__ = "xent.check"


@dataclass
class Answer:
    """A loss in nats, its gradient by the logits or by W (None if there is none), and the coarsest dtype of
    the two."""

    loss: float
    gradient: Float | None
    dtype: DType
    rows: Float | None = None  # the loss of each row, if that came


@dataclass
class Subject:
    """The function, and what was seen of it. `loss` and `linear` call it with copies of its own, and note
    which it damages."""

    f: Callable[..., object]
    convention: str
    tensors: bool = False  # whether it wants PyTorch's
    reg: str = ""  # if it takes reg, the name of the keyword, or "positional"
    damaged: set[str] = field(default_factory=set)
    shape: tuple[int, ...] | None = None  # of the last gradient that did not fit
    turned: bool = False  # whether it would have fitted the other way round
    raw: Any = None  # the last gradient as it was returned
    by_row: bool = False  # whether a loss came for each row, beside one gradient
    comes_in: Float | None = None  # what autograd multiplies each row's loss by, or the first of it the mean

    @property
    def is_linear(self) -> bool:
        """Whether it takes W and X, not logits."""
        return self.convention in ("cs231n", "rows")

    @property
    def regularised(self) -> bool:
        """Whether it takes reg."""
        return bool(self.reg)

    @property
    def has_gradient(self) -> bool:
        """Whether a gradient comes with the loss, or by autograd."""
        return self.convention not in ("loss", "d2l") or self.tensors

    @property
    def by_autograd(self) -> bool:
        """Whether PyTorch finds the gradient, not the function."""
        return self.tensors and self.convention in ("loss", "torch", "d2l")

    def loss(self, z: Float, y: Index) -> Answer:
        """The mean loss of logits (N, K), and its gradient by them."""
        if self.is_linear:
            return self.linear(z, np.eye(len(z)), y, 0.0)
        if self.convention != "d2l":
            return self._call({"logits": z, "y": y}, z.shape)
        p = reference.softmax(z)
        found = self._call({"y_hat": p, "y": y}, z.shape)
        if found.gradient is None:
            return found
        through = reference.softmax_jacobian_product(p, found.gradient)
        return replace(found, gradient=np.asarray(through))

    def linear(self, W: Float, X: Float, y: Index, reg: float) -> Answer:
        """The loss and gradient at W (D, K) of rows X (N, D)."""
        turned = self.convention == "rows"
        arguments: Arguments = {"W": np.ascontiguousarray(W.T) if turned else W, "X": X, "y": y}
        if self.regularised:
            arguments["reg"] = reg
        found = self._call(arguments, W.shape[::-1] if turned else W.shape)
        if turned and found.gradient is not None:
            found.gradient = found.gradient.T
        return found

    def _call(self, arguments: Arguments, shape: tuple[int, ...]) -> Answer:
        """The answer to a call with copies, warnings off."""
        copies = {name: np.array(a) if isinstance(a, np.ndarray) else a for name, a in arguments.items()}
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            return (self._of_tensors if self.tensors else self._of_arrays)(arguments, copies, shape)

    def _of_arrays(self, arguments: Arguments, copies: Arguments, shape: tuple[int, ...]) -> Answer:
        """The answer of a function of NumPy arrays."""
        found = self._answer(copies)
        self._note_damage(arguments, copies)
        loss, gradient = _pair(found) if self.has_gradient else (found, None)
        losses = _array(loss, "loss")
        self.by_row |= self.has_gradient and losses.size > 1
        kinds = [losses.dtype]
        if gradient is not None:
            self.raw = gradient
            gradient = _array(gradient, "gradient")
            kinds.append(gradient.dtype)
            gradient = self._fitting(gradient, shape)
        return _answered(losses, gradient, _coarsest(kinds), np.size(arguments["y"]))

    def _of_tensors(self, arguments: Arguments, copies: Arguments, shape: tuple[int, ...]) -> Answer:
        """The answer of a function of PyTorch tensors."""
        import torch

        tensors: dict[str, Any] = {
            n: torch.from_numpy(a) if isinstance(a, np.ndarray) else a for n, a in copies.items()
        }
        if self.is_linear or self.convention == "logits":
            loss, gradient = _pair(self._answer(tensors))
            self._note_damage(arguments, copies)
            losses, self.raw = _array(loss, "loss"), _array(gradient, "gradient")
            self.by_row |= losses.size > 1
            grad = self.raw
            kind = _coarsest([losses.dtype, grad.dtype])
            return _answered(losses, self._fitting(grad, shape), kind, np.size(arguments["y"]))
        first = next(iter(tensors.values())).requires_grad_()
        loss = self._answer(tensors)
        losses, gradient = _array(loss, "loss"), None
        if torch.is_tensor(loss) and loss.requires_grad:
            if self.comes_in is not None:
                weights = torch.from_numpy(self.comes_in[: loss.numel()]).to(loss.dtype)
                loss = loss * weights.reshape(loss.shape)
            mean: Any = loss.mean()
            mean.backward()
            gradient = None if first.grad is None else _array(first.grad, "gradient")
        self._note_damage(arguments, copies)
        return _answered(losses, gradient, losses.dtype, np.size(arguments["y"]))

    def _answer(self, arguments: Mapping[str, object]) -> object:
        """What the function returns, reg handed over as it takes it."""
        if self.reg in ("", "positional"):
            return self.f(*arguments.values())
        *places, reg = arguments.values()
        return self.f(*places, **{self.reg: reg})

    def _note_damage(self, arguments: Arguments, copies: Arguments) -> None:
        """Note the arguments that the function has written into."""
        for name, a in arguments.items():
            if isinstance(a, np.ndarray) and not np.array_equal(a, copies[name], equal_nan=True):
                self.damaged.add(name)

    def _fitting(self, gradient: Array, shape: tuple[int, ...]) -> Float | None:
        """The gradient, if it is of its argument's shape."""
        if gradient.shape != shape:
            self.shape, self.turned = gradient.shape, gradient.shape == shape[::-1]
            return None
        return gradient.astype(np.float64)


def _pair(found: object) -> tuple[object, object]:
    """Loss and gradient; Refused where no pair came back."""
    if not isinstance(found, tuple | list) or len(found) != 2:
        raise Refused(f"it returned {_kind(found)}; expected a pair, (loss, gradient)")
    return found[0], found[1]


def _kind(value: object) -> str:
    """What it is, with its article, for messages."""
    kind = type(value).__name__
    many = f" of {len(value)}" if isinstance(value, tuple) else ""
    return f"{'an' if kind[0] in 'aeiouAEIOU' else 'a'} {kind}{many}"


def _array(value: Any, what: str) -> Array:
    """Numbers as NumPy's; bfloat16 as the float of as many bytes."""
    if hasattr(value, "detach"):
        value = value.detach().cpu()
        value = (value.half() if str(value.dtype) == "torch.bfloat16" else value).numpy()
    found = np.asarray(value)
    if found.dtype.kind not in "fiub":
        raise Refused(f"the {what} it returned is {_kind(value)} of dtype {found.dtype}; expected numbers")
    return found


def _answered(losses: Array, gradient: Float | None, kind: DType, n: int) -> Answer:
    """An `Answer` of one loss, or of a loss for each of n rows."""
    if losses.shape not in ((), (1,), (1, 1), (n,), (n, 1)):
        raise Refused(
            f"the loss it returned is of shape {losses.shape} and {losses.dtype}; expected a number, or one "
            f"for each of the {n} rows"
            + (f" (every row with every label? p[np.arange({n}), y])" if losses.shape == (n, n) else "")
        )
    rows = losses.astype(np.float64).ravel() if losses.size > 1 else None
    return Answer(float(losses.mean(dtype=np.float64)), gradient, kind, rows)


def _coarsest(kinds: list[DType]) -> DType:
    """The float dtype with the fewest bytes; float64 if there is none."""
    floats = [kind for kind in kinds if kind.kind == "f"]
    return min(floats, key=lambda kind: kind.itemsize, default=np.dtype(np.float64))
