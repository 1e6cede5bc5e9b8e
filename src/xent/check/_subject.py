"""A student's function behind one face: which convention it follows, and calls that it cannot spoil."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import reference

Float = NDArray[np.float64]
CONVENTIONS = {
    "cs231n": "f(W (D, K), X (N, D), y (N,), reg) → (loss, dW)",
    "rows": "f(W (K, D), X (N, D), y (N,), reg) → (loss, dW)",
    "logits": "f(logits (N, K), y (N,)) → (loss, gradient)",
    "loss": "f(logits (N, K), y (N,)) → loss",
    "torch": "f(logits (N, K), y (N,)) → loss, of PyTorch tensors",
    "d2l": "f(y_hat (N, K) probabilities, y (N,)) → losses (N,), or their mean",
}
_PROBABILITIES = {"y_hat", "yhat", "p", "probs", "prob", "probabilities", "predictions", "y_pred"}


class Refused(Exception):
    """The function follows no convention that can be checked; the text says why."""


@dataclass
class Answer:
    """A loss, its gradient by what it was asked at, None if there is none, and the coarsest dtype of the
    two."""

    loss: float
    gradient: Float | None
    dtype: np.dtype[Any]


@dataclass
class Subject:
    """The function, and what was seen of it. `loss` and `linear` call it with copies of its own, and note
    which it damages."""

    f: Callable[..., Any]
    convention: str
    tensors: bool = False  # whether it wants PyTorch's
    regularised: bool = False  # whether it takes reg
    damaged: set[str] = field(default_factory=set)
    shape: tuple[int, ...] | None = None  # of the last gradient that did not fit

    @property
    def is_linear(self) -> bool:
        """Whether it takes W and X, not logits."""
        return self.convention in ("cs231n", "rows")

    @property
    def has_gradient(self) -> bool:
        return self.convention not in ("loss", "d2l") or self.tensors

    def loss(self, z: Float, y: NDArray[Any]) -> Answer:
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
        return Answer(found.loss, np.asarray(through), found.dtype)

    def linear(self, W: Float, X: Float, y: NDArray[Any], reg: float) -> Answer:
        """The loss and gradient at W (D, K) of rows X (N, D)."""
        turned = self.convention == "rows"
        given: dict[str, Any] = {"W": np.ascontiguousarray(W.T) if turned else W, "X": X, "y": y}
        if self.regularised:
            given["reg"] = reg
        found = self._call(given, W.shape[::-1] if turned else W.shape)
        if turned and found.gradient is not None:
            found.gradient = found.gradient.T
        return found

    def _call(self, given: dict[str, Any], shape: tuple[int, ...]) -> Answer:
        copies = {name: np.array(a) if isinstance(a, np.ndarray) else a for name, a in given.items()}
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            return (self._of_tensors if self.tensors else self._of_arrays)(given, copies, shape)

    def _of_arrays(self, given: dict[str, Any], copies: dict[str, Any], shape: tuple[int, ...]) -> Answer:
        found = self.f(*copies.values())
        self._note_damage(given, copies)
        loss, gradient = _pair(found) if self.has_gradient else (found, None)
        losses = np.asarray(loss)
        kinds = [losses.dtype]
        if gradient is not None:
            gradient = _array(gradient)
            kinds.append(gradient.dtype)
            gradient = self._fitting(gradient, shape)
        return Answer(_mean(losses, len(given["y"])), gradient, _coarsest(kinds))

    def _of_tensors(self, given: dict[str, Any], copies: dict[str, Any], shape: tuple[int, ...]) -> Answer:
        import torch

        tensors = {n: torch.from_numpy(a) if isinstance(a, np.ndarray) else a for n, a in copies.items()}
        if self.is_linear or self.convention == "logits":
            loss, gradient = _pair(self.f(*tensors.values()))
            self._note_damage(given, copies)
            losses, grad = _array(loss), _array(gradient)
            kind = _coarsest([losses.dtype, grad.dtype])
            return Answer(_mean(losses, len(given["y"])), self._fitting(grad, shape), kind)
        first = next(iter(tensors.values())).requires_grad_()
        loss = self.f(*tensors.values())
        if not torch.is_tensor(loss):
            return Answer(_mean(np.asarray(loss), len(given["y"])), None, np.dtype(np.float64))
        losses, gradient = _array(loss), None
        if loss.requires_grad:
            loss.mean().backward()
            gradient = None if first.grad is None else _array(first.grad)
        self._note_damage(given, copies)
        return Answer(_mean(losses, len(given["y"])), gradient, losses.dtype)

    def _note_damage(self, given: dict[str, Any], copies: dict[str, Any]) -> None:
        for name, a in given.items():
            if isinstance(a, np.ndarray) and not np.array_equal(a, copies[name], equal_nan=True):
                self.damaged.add(name)

    def _fitting(self, gradient: NDArray[Any], shape: tuple[int, ...]) -> Float | None:
        """The gradient, if it is of its argument's shape."""
        if gradient.shape != shape:
            self.shape = gradient.shape
            return None
        return gradient.astype(np.float64)


def _pair(found: Any) -> tuple[Any, Any]:
    if not isinstance(found, tuple | list) or len(found) != 2:
        raise Refused(f"it returned {_kind(found)}; expected a pair, the loss and its gradient")
    return found[0], found[1]


def _kind(value: Any) -> str:
    return f"a tuple of {len(value)}" if isinstance(value, tuple) else f"a {type(value).__name__}"


def _array(value: Any) -> NDArray[Any]:
    value = value.detach().cpu().numpy() if hasattr(value, "detach") else np.asarray(value)
    if value.dtype == object:
        raise Refused(f"it returned {_kind(value)} of objects; expected numbers")
    return np.asarray(value)


def _mean(losses: NDArray[Any], n: int) -> float:
    """One loss, or the mean of one a row."""
    if losses.dtype == object or losses.dtype.kind not in "fiub" or losses.shape not in ((), (1,), (n,)):
        raise Refused(
            f"the loss it returned is of shape {losses.shape} and {losses.dtype}; expected a number, or one "
            f"for each of the {n} rows"
        )
    return float(losses.mean(dtype=np.float64))


def _coarsest(kinds: list[np.dtype[Any]]) -> np.dtype[Any]:
    floats = [kind for kind in kinds if kind.kind == "f"]
    return min(floats, key=lambda kind: kind.itemsize, default=np.dtype(np.float64))


def parameters(f: Callable[..., Any]) -> list[str]:
    """The names that a call without keywords fills."""
    try:
        found = inspect.signature(getattr(f, "forward", f)).parameters.values()
    except (TypeError, ValueError):
        return []
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return [p.name for p in found if p.kind in kinds]


def recognise(f: Callable[..., Any], convention: str | None = None) -> Subject:
    """Which convention f follows, by its parameters and by trying; Refused if none."""
    if convention is not None and convention not in CONVENTIONS:
        raise Refused(f"there is no convention {convention!r}; there are {', '.join(CONVENTIONS)}")
    names = parameters(f)
    rng = np.random.default_rng(0)
    W, X, y, z = rng.normal(size=(5, 4)), rng.normal(size=(6, 5)), np.arange(6) % 4, rng.normal(size=(6, 4))
    regularised = len(names) >= 4 or not names
    tries: list[tuple[Subject, Callable[[Subject], Answer]]] = []

    def candidate(kind: str, tensors: bool) -> None:
        subject = Subject(f, kind, tensors, regularised and kind in ("cs231n", "rows"))
        linear = subject.is_linear
        tries.append((subject, lambda s: s.linear(W, X, y, 0.1) if linear else s.loss(z, y)))

    kinds = [convention] if convention else _likely(names)
    for kind in kinds:
        for tensors in (True,) if kind == "torch" else (False, True):
            candidate(kind, tensors)
    return _first_that_runs(tries, names, told=convention is not None)


def _likely(names: list[str]) -> list[str]:
    if len(names) >= 3:
        return ["cs231n", "rows"]
    if names and names[0].lower() in _PROBABILITIES:
        return ["d2l"]
    return ["logits", "loss", "torch"]


def _first_that_runs(tries: list[Any], names: list[str], told: bool) -> Subject:
    reasons: list[Exception] = []
    for subject, call in tries:
        if subject.tensors and not _has_torch():
            continue
        try:
            answer = call(subject)
        except Exception as error:
            reasons.append(error)
            continue
        if subject.convention == "cs231n" and answer.gradient is None and subject.shape == (4, 5):
            turned = Subject(subject.f, "rows", subject.tensors, subject.regularised)
            if not told and _answers(turned):
                return turned
        fresh = Subject(subject.f, subject.convention, subject.tensors, subject.regularised)
        if not told and fresh.convention in ("loss", "torch"):
            return _or_probabilities(fresh)
        return fresh
    kinds = "\n  ".join(CONVENTIONS.values())
    refused = next((e for e in reasons if isinstance(e, Refused)), None)
    if refused is not None:
        raise Refused(f"{refused}. What can be checked:\n  {kinds}")
    if reasons:
        raise reasons[0]
    raise Refused(f"f({', '.join(names)}) is none of what can be checked:\n  {kinds}")


def _answers(subject: Subject) -> bool:
    rng = np.random.default_rng(1)
    try:
        found = subject.linear(rng.normal(size=(5, 4)), rng.normal(size=(6, 5)), np.arange(6) % 4, 0.1)
    except Exception:
        return False
    return found.gradient is not None


def _or_probabilities(subject: Subject) -> Subject:
    """A loss of two arguments takes logits or probabilities: whichever it is nearer to."""
    p, y = reference.softmax(np.random.default_rng(2).normal(size=(6, 4))), np.arange(6) % 4
    as_logits = Subject(subject.f, "loss", subject.tensors)
    answer = as_logits.loss(np.asarray(p), y).loss
    log_p = -float(np.log(p[np.arange(6), y]).mean())
    of_logits = float(np.mean(reference.cross_entropy(p, y)))
    if abs(answer - log_p) < abs(answer - of_logits):
        return Subject(subject.f, "d2l", subject.tensors)
    return subject


def _has_torch() -> bool:
    from importlib.util import find_spec

    return find_spec("torch") is not None
