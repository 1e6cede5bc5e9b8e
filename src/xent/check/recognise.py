"""Which convention a function follows: by how many arguments it wants, by trying, and by what it answers."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec

import numpy as np

from .. import reference
from .mistakes import Rows, name_loss
from .subject import CONVENTIONS, Answer, Refused, Subject

_STRENGTHS = (
    "reg",
    "lam",
    "lambda_",
    "lambd",
    "lmbda",
    "alpha",
    "l2",
    "wd",
    "weight_decay",
    "regularization",
    "reg_strength",
)
_PROBABILITIES = {"y_hat", "yhat", "p", "probs", "prob", "probabilities"}


@dataclass(frozen=True)
class _Parameters:
    """The names that a call without keywords fills, how many of them must be, and how it takes reg."""

    names: tuple[str, ...]
    required: int
    keyword: str  # by which it takes reg, if it does
    open: bool  # *args, or no signature to see


def _parameters(f: Callable[..., object]) -> _Parameters:
    """What the signature says; of a module, that of its forward."""
    try:
        found = list(inspect.signature(getattr(f, "forward", f)).parameters.values())
    except (TypeError, ValueError):
        return _Parameters((), 0, "", True)
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    filled = [p for p in found if p.kind in kinds]
    names = [p.name for p in found if p.kind is inspect.Parameter.KEYWORD_ONLY]
    keyword = next((name for name in _STRENGTHS if name in names), "")
    if not keyword and len(filled) == 3 and any(p.kind is inspect.Parameter.VAR_KEYWORD for p in found):
        keyword = "reg"
    many = any(p.kind is inspect.Parameter.VAR_POSITIONAL for p in found)
    required = sum(p.default is inspect.Parameter.empty for p in filled)
    return _Parameters(tuple(p.name for p in filled), required, keyword, many)


def recognise(f: Callable[..., object], convention: str | None = None) -> Subject:
    """The function as a `Subject`; raises Refused if it is none that can be checked, or its first error."""
    if convention is not None and convention not in CONVENTIONS:
        raise Refused(f"there is no convention {convention!r}; there are {', '.join(CONVENTIONS)}")
    wants, errors = _parameters(f), []
    for make in _candidates(f, wants, convention):
        subject = make()
        try:
            answer = _ask(subject)
        except Exception as error:
            errors.append((subject, error))
            continue
        if convention is None and subject.convention == "cs231n" and answer.gradient is None:
            turned = make()
            turned.convention = "rows"
            if _answers(turned):
                turned.shape = None
                return turned
        if convention is None and subject.convention == "loss":
            return _logits_or_probabilities(_of_tensors(f, make), wants)
        return make()
    raise _why(errors, wants, convention)


def _candidates(
    f: Callable[..., object], wants: _Parameters, convention: str | None
) -> list[Callable[[], Subject]]:
    """Makers of subjects to try, the likeliest first."""
    how = wants.keyword or "positional"
    takes_reg = bool(wants.keyword) or len(wants.names) >= 4 or wants.open
    linear = [(kind, reg) for reg in ([how, ""] if takes_reg else [""]) for kind in ("cs231n", "rows")]
    pair = [("logits", ""), ("loss", ""), ("d2l", "")]
    kinds = pair + linear if 0 < wants.required <= 2 and not wants.open else linear + pair
    if convention:
        reg = how if takes_reg else ""
        kinds = [(convention, reg if convention in ("cs231n", "rows") else "")]
    tensors = [True] if convention == "torch" else [False, True] if find_spec("torch") else [False]
    return [
        lambda kind=kind, reg=reg, t=t: Subject(f, kind, t, reg)  # type: ignore[misc]
        for kind, reg in kinds
        for t in tensors
    ]


def _ask(subject: Subject) -> Answer:
    """A first answer, at random."""
    rng, y = np.random.default_rng(0), np.arange(6) % 4
    if subject.is_linear:
        return subject.linear(rng.normal(size=(5, 4)), rng.normal(size=(6, 5)), y, 0.1)
    return subject.loss(rng.normal(size=(6, 4)), y)


def _answers(subject: Subject) -> bool:
    """Whether a gradient that fits comes."""
    try:
        return _ask(subject).gradient is not None
    except Exception:
        return False


def _logits_or_probabilities(make: Callable[[], Subject], wants: _Parameters) -> Subject:
    """A loss of two arguments: right of logits, right of probabilities, a known mistake of either, or as the
    parameter is called."""
    subject, probabilities = make(), make()
    probabilities.convention = "d2l"
    p, y = np.asarray(reference.softmax(np.random.default_rng(2).normal(size=(6, 4)))), np.arange(6) % 4
    answer = make().loss(p, y).loss
    # Probabilities as logits, and as what they are.
    as_logits, as_given = Rows(p, y), Rows(np.log(p), y)
    for rows, found in ((as_logits, subject), (as_given, probabilities)):
        if abs(answer - float(rows.losses.mean())) < 2e-2 * abs(answer):
            return found
    for rows, found in ((as_logits, subject), (as_given, probabilities)):
        mistake = name_loss(answer, rows)
        if mistake is not None and mistake[0] != "softmax twice":
            return found
    return probabilities if wants.names and wants.names[0].lower() in _PROBABILITIES else subject


_BY_ORDER = (TypeError, ValueError, IndexError, KeyError, AttributeError, AssertionError, RuntimeError)


def _of_tensors(f: Callable[..., object], make: Callable[[], Subject]) -> Callable[[], Subject]:
    """With PyTorch's tensors where the loss of arrays is one: then autograd may have its gradient."""
    if make().tensors:
        return make
    try:
        tensor = hasattr(f(np.zeros((2, 3)), np.array([0, 1])), "requires_grad")
        if not tensor or _ask(Subject(f, "loss", True)).gradient is None:
            return make
    except Exception:
        return make
    return lambda: Subject(f, "loss", True)


def _why(errors: list[tuple[Subject, Exception]], wants: _Parameters, convention: str | None) -> Exception:
    """What to raise: an answer that does not fit, or the error of the likeliest call, with what was tried."""
    kinds = "; ".join(CONVENTIONS.values()) if convention is None else CONVENTIONS[convention]
    if not errors:
        return Refused(f"f({', '.join(wants.names)}) is none of what can be checked: {kinds}")
    subject, error = next((e for e in errors if isinstance(e[1], Refused)), errors[0])
    # If the call got the wrong kind of input, the other attempt's error is more telling.
    wants_tensors = re.search("Tensor|ndarray", str(error))
    returns_one = subject.convention == "logits" and "expected a pair" in str(error)
    for other, said in errors:
        of_tensors = other.convention == subject.convention and other.tensors > subject.tensors
        of_a_loss = other.convention == "loss" and other.tensors == subject.tensors
        if (wants_tensors and of_tensors and not isinstance(said, Refused)) or (returns_one and of_a_loss):
            error = said
            break
    if isinstance(error, Refused):
        return Refused(f"{error}. What can be checked: {kinds}")
    if isinstance(error, _BY_ORDER) and not isinstance(error, RecursionError):
        own = f"Its parameters are ({', '.join(wants.names)}). " if wants.names else ""
        error.add_note(f"{own}It was called in the order of: {kinds}; labels are indices from 0")
    return error
