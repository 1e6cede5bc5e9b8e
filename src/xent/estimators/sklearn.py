"""All that xent uses of scikit-learn's private parts, which differ between versions.

Before 1.9 scikit-learn has no callbacks; the estimators then do without.
"""

from __future__ import annotations

import copy
import functools
import inspect
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

from sklearn.utils._metadata_requests import _raise_for_params as raise_for_params
from sklearn.utils._metadata_requests import _routing_enabled as routing_enabled
from sklearn.utils._missing import is_pandas_na
from sklearn.utils.validation import _check_method_params as check_method_params
from sklearn.utils.validation import _check_sample_weight as check_sample_weight
from sklearn.utils.validation import _get_feature_names as get_feature_names

from .._types import Array

Parameters = ParamSpec("Parameters")
Returned = TypeVar("Returned")

try:
    from sklearn.callback import CallbackSupportMixin, with_callbacks
except ImportError:  # before 1.9

    class CallbackSupportMixin:  # type: ignore[no-redef]
        """Without `set_callbacks`."""

    def with_callbacks(method: Callable[Parameters, Returned]) -> Callable[Parameters, Returned]:
        """The method in one more frame, as from 1.9 on, so that a warning's stacklevel is the same."""

        @functools.wraps(method)
        def alone(*args: Parameters.args, **kwargs: Parameters.kwargs) -> Returned:
            return method(*args, **kwargs)

        return alone


__all__ = [
    "CallbackSupportMixin",
    "callback_context",
    "check_method_params",
    "check_sample_weight",
    "get_feature_names",
    "is_pandas_na",
    "knowing",
    "raise_for_params",
    "routing_enabled",
    "with_callbacks",
]


def callback_context(estimator: CallbackSupportMixin) -> Any:
    """scikit-learn's context of the task "fit", or None where the estimator has no callbacks."""
    if not getattr(estimator, "_skl_callbacks", None):
        return None
    most = getattr(estimator, "max_iter", 1000)  # a subclass's constructor may lack it
    return estimator._init_callback_context(max_subtasks=most + 1)


def knowing(scorer: Callable[..., float], classes: Array) -> Callable[..., float]:
    """A copy of the scorer with all classes as its `labels`, where it takes labels.

    Held-out rows need not have all classes. scikit-learn's LogisticRegressionCV does the same.
    """
    function = getattr(scorer, "_score_func", None)
    accepted = inspect.signature(function).parameters if function is not None else {}
    if "labels" not in accepted:
        return scorer
    keywords: dict[str, object] = {"labels": classes}
    if len(classes) == 2 and "pos_label" in accepted:
        keywords["pos_label"] = classes[1]
    informed: Any = copy.copy(scorer)
    informed._kwargs = keywords | informed._kwargs
    scorer = informed
    return scorer
