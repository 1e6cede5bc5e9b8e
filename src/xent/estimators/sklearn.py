"""All that xent uses of scikit-learn's private parts, which differ between versions. An older scikit-learn
lacks callbacks; the estimators then do without."""

from __future__ import annotations

import copy
import functools
import inspect
from typing import Any

from numpy.typing import NDArray
from sklearn.utils._metadata_requests import _raise_for_params as raise_for_params
from sklearn.utils._metadata_requests import _routing_enabled as routing_enabled
from sklearn.utils._missing import is_pandas_na
from sklearn.utils.validation import _check_method_params as check_method_params
from sklearn.utils.validation import _check_sample_weight as check_sample_weight
from sklearn.utils.validation import _get_feature_names as get_feature_names

try:
    from sklearn.callback import CallbackSupportMixin, with_callbacks
except ImportError:  # before 1.9

    class CallbackSupportMixin:  # type: ignore[no-redef]
        """Without `set_callbacks`."""

    def with_callbacks(method: Any) -> Any:
        """A frame around it, as from 1.9 on: warnings count frames to the line that they are about."""

        @functools.wraps(method)
        def alone(*args: Any, **kwargs: Any) -> Any:
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


def callback_context(estimator: Any) -> Any:
    """The task that callbacks are told is a fit, or None where the estimator has no callbacks."""
    if not getattr(estimator, "_skl_callbacks", None):
        return None
    most = getattr(estimator, "max_iter", 1000)  # which a subclass' constructor need not have
    return estimator._init_callback_context(max_subtasks=most + 1)


def knowing(scorer: Any, classes: NDArray[Any]) -> Any:
    """The scorer told of all classes, where it can be: held-out rows need not have all of them. As in
    scikit-learn's LogisticRegressionCV."""
    function = getattr(scorer, "_score_func", None)
    accepted = inspect.signature(function).parameters if function is not None else {}
    if "labels" not in accepted:
        return scorer
    told: dict[str, Any] = {"labels": classes}
    if len(classes) == 2 and "pos_label" in accepted:
        told["pos_label"] = classes[1]
    scorer = copy.copy(scorer)
    scorer._kwargs = told | scorer._kwargs
    return scorer
