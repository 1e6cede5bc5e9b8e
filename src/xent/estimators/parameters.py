"""An estimator's parameters: with defaults where it has none, checked in scikit-learn's words, and with those
of LogisticRegression's own put into xent's."""

from __future__ import annotations

import functools
import inspect
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from numbers import Integral, Real
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.utils import check_random_state

from .. import solvers
from .._types import Bounds, ClassWeight, Factors

_PENALTIES = ("l1", "l2", "elasticnet", "deprecated")
_THEIR_SOLVERS = ("liblinear", "newton-cg", "newton-cholesky", "sag", "saga")
# What does nothing here, and its default. random_state does nothing either, but bagging, boosting and others
# set it wherever it exists, so no warning names it.
_UNUSED = {"dual": False, "intercept_scaling": 1, "n_jobs": None}


@dataclass(frozen=True, kw_only=True)
class Parameters:
    """The parameters of a fit but C and l1_ratio, checked and in xent's terms.

    `SoftmaxRegression` documents each.
    """

    grouped: bool
    bounds: Bounds
    fit_intercept: bool
    class_weight: ClassWeight
    label_smoothing: float
    class_penalty_factor: Factors
    feature_penalty_factor: ArrayLike | None
    tol: float
    max_iter: int
    max_time: float | None
    solver: str
    verbose: int

    @classmethod
    def of(cls, estimator: object, signature: type, *, stacklevel: int, caller: str | None = None) -> Self:
        """The parameters of an estimator, which is a `signature` or of a subclass.

        Raises ValueError in the name of `caller`, by default the estimator's class, before the data are read;
        `read_problem` checks what depends on their shape. One FutureWarning names the parameters that are
        LogisticRegression's.
        """
        values = _values(estimator, signature)
        check(caller or type(estimator).__name__, values)
        _check_together(caller or type(estimator).__name__, values)
        parameters, notices = _translated(values)
        if notices:
            warnings.warn(
                f"{type(estimator).__name__} was given what is LogisticRegression's: {'; '.join(notices)}. "
                "Write what is meant, and leave out what does nothing.",
                FutureWarning,
                stacklevel=stacklevel,
            )
        return cls(**{name: parameters[name] for name in cls.__dataclass_fields__})

    @property
    def shared(self) -> dict[str, Any]:
        """The parameters but C and l1_ratio, {name: value}, as a constructor takes them."""
        return {own.name: getattr(self, own.name) for own in fields(Parameters)}


@dataclass(frozen=True, kw_only=True)
class ModelParameters(Parameters):
    """The parameters of one model."""

    C: float
    l1_ratio: float
    warm_start: bool


@dataclass(frozen=True, kw_only=True)
class SearchParameters(Parameters):
    """The parameters of a search for C and l1_ratio."""

    Cs: ArrayLike
    l1_ratios: ArrayLike
    scoring: str | Callable[..., float] | None
    refit: bool


def _values(estimator: object, signature: type) -> dict[str, Any]:
    """The value of every parameter that `signature` has. An estimator may lack some, as a pickle of an older
    version does: then the default. A subclass's constructor need not name them."""
    values = {name: getattr(estimator, name, default) for name, default in defaults_of(signature).items()}
    return values | {"penalty": given_penalty(estimator)}


def given_penalty(estimator: object) -> Any:
    """`penalty` as it was given: as an attribute it is a property that answers for l1_ratio, too."""
    return vars(estimator).get("penalty", "deprecated")


@functools.cache
def defaults_of(signature: type) -> dict[str, Any]:
    """{name: default} of a constructor's parameters that have one."""
    parameters = inspect.signature(signature).parameters.values()
    return {p.name: p.default for p in parameters if p.default is not p.empty}


def _translated(values: Mapping[str, object]) -> tuple[dict[str, Any], list[str]]:
    """The parameters in xent's terms, and a notice for each that is LogisticRegression's own.

    Where `penalty` is given it wins over l1_ratio and C, as it does in scikit-learn.
    """
    parameters: dict[str, Any] = dict(values)
    notices: list[str] = []
    many = "l1_ratios" in values
    name, penalty = "l1_ratios" if many else "l1_ratio", values["penalty"]

    def ratio(value: float) -> None:
        parameters[name] = (value,) if many else value

    if penalty is None and many:
        raise ValueError("penalty=None has no C to choose; leave it out and give Cs=(np.inf,)")
    if penalty is None:
        parameters["C"] = np.inf
        ratio(0.0)
        notices.append("penalty=None means C=inf" + _overruled(values, C=1.0))
    elif penalty in ("l1", "l2"):
        ratio(float(penalty == "l1"))
        notices.append(
            f"penalty={penalty!r} means {name}={parameters[name]}" + _overruled(values, l1_ratio=0.0)
        )
    elif penalty == "elasticnet":
        if values[name] is None:
            raise ValueError(f"{name} must be specified when penalty is elasticnet.")
        notices.append(f"penalty='elasticnet' means what {name} says")
    elif values[name] is None:
        ratio(0.0)
        notices.append(f"{name}=None means {name}={parameters[name]}")
    if values["solver"] in _THEIR_SOLVERS or many:
        parameters["solver"] = "auto"
    if parameters["solver"] != values["solver"]:
        what = "does nothing" if many else "means solver='auto'"
        notices.append(f"solver={values['solver']!r} {what}")
    notices += [
        f"{key}={values[key]!r} does nothing" for key, plain in _UNUSED.items() if values[key] != plain
    ]
    return parameters, notices


def _overruled(values: Mapping[str, object], **defaults: float) -> str:
    """The end of a notice: which of the parameters `defaults` was set and is overruled, or nothing."""
    for name, default in defaults.items():
        if name in values and values[name] not in (None, default):
            return f", whatever {name}={values[name]:g} says"
    return ""


def check(caller: str, values: Mapping[str, object]) -> None:
    """Raise ValueError, in scikit-learn's words, for the first of the parameters that is not what it must
    be."""
    for name, (is_good, expected) in _RULES.items():
        if name in values and not is_good(values[name]):
            raise ValueError(
                f"The {name!r} parameter of {caller} must be {expected}. Got {values[name]!r} instead."
            )


def _check_together(caller: str, values: Mapping[str, object]) -> None:
    if values["grouped"] and values["bounds"] is not None:
        raise ValueError(
            f"The 'grouped' parameter of {caller} must be False where 'bounds' are given: the step of a "
            "group norm within bounds has no closed form"
        )
    if values["grouped"] and values["class_penalty_factor"] is not None:
        raise ValueError(
            f"The 'grouped' parameter of {caller} must be False where 'class_penalty_factor' is given: the "
            "norm of a group runs over all classes, which share its factor; feature_penalty_factor weighs "
            "groups"
        )


def _is_real(value: object) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool | np.bool_)


def _is_pair(value: object) -> bool:
    return isinstance(value, tuple | list) and len(value) == 2


def _are_cs(value: object) -> bool:
    if isinstance(value, Integral):
        return not isinstance(value, bool) and int(value) >= 1
    return _are_numbers(value) and bool((np.asarray(value) > 0).all())


def _are_ratios(value: object) -> bool:
    return _are_numbers(value) and bool(((np.asarray(value) >= 0) & (np.asarray(value) <= 1)).all())


def _are_numbers(value: object) -> bool:
    if isinstance(value, str | dict) or not np.iterable(value):
        return False
    try:
        a = np.asarray(value)
    except ValueError:  # ragged
        return False
    return a.ndim == 1 and a.size > 0 and a.dtype.kind in "fiu"


def _is_seed(value: object) -> bool:
    try:
        check_random_state(value)
    except ValueError:
        return False
    return True


_FLAG = (lambda v: isinstance(v, bool | np.bool_), "an instance of 'bool'")
_RULES: dict[str, tuple[Callable[[Any], bool], str]] = {
    "C": (lambda v: _is_real(v) and v > 0, "a float in the range (0.0, inf]"),
    "Cs": (_are_cs, "an int in the range [1, inf) or an array of floats in the range (0.0, inf]"),
    "l1_ratios": (lambda v: v is None or _are_ratios(v), "an array of floats in the range [0.0, 1.0]"),
    "refit": _FLAG,
    "scoring": (lambda v: v is None or isinstance(v, str) or callable(v), "a str, a callable or None"),
    "use_legacy_attributes": (
        lambda v: isinstance(v, bool | np.bool_) and not v,
        "False: attributes are those that scikit-learn has from 1.10 on",
    ),
    "l1_ratio": (
        lambda v: v is None or (_is_real(v) and 0 <= v <= 1),
        "a float in the range [0.0, 1.0]",
    ),
    "grouped": _FLAG,
    "fit_intercept": _FLAG,
    "warm_start": _FLAG,
    "dual": _FLAG,
    "verbose": (
        lambda v: isinstance(v, bool | np.bool_) or (isinstance(v, Integral) and int(v) >= 0),
        "an int in the range [0, inf) or an instance of 'bool'",
    ),
    "penalty": (
        lambda v: v is None or (isinstance(v, str) and v in _PENALTIES),
        "a str among {'l1', 'l2', 'elasticnet'} or None",
    ),
    "intercept_scaling": (lambda v: _is_real(v) and v > 0, "a float in the range (0.0, inf)"),
    "random_state": (_is_seed, "an int in the range [0, 4294967295], a numpy RandomState or None"),
    "n_jobs": (lambda v: v is None or isinstance(v, Integral), "an int or None"),
    "bounds": (lambda v: v is None or _is_pair(v), "a pair (lower, upper) or None"),
    "tol": (lambda v: _is_real(v) and 0 < v < np.inf, "a float in the range (0.0, inf)"),
    "label_smoothing": (lambda v: _is_real(v) and 0 <= v < 1, "a float in the range [0.0, 1.0)"),
    "max_time": (lambda v: v is None or (_is_real(v) and v > 0), "a float in the range (0.0, inf] or None"),
    "max_iter": (
        lambda v: isinstance(v, Integral) and _is_real(v) and int(v) >= 1,
        "an int in the range [1, inf)",
    ),
    "solver": (
        lambda v: isinstance(v, str) and v in ("auto", *solvers.SOLVERS, *_THEIR_SOLVERS),
        "a str among {'auto', 'lbfgs', 'newton'}, or a name that LogisticRegression has for its own",
    ),
    "class_weight": (
        lambda v: v is None or isinstance(v, dict) or (isinstance(v, str) and v == "balanced"),
        "an instance of 'dict', a str among {'balanced'} or None",
    ),
}
