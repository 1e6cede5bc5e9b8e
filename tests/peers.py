"""scikit-learn's cross-validation as the tests compare with it."""

import inspect

import pytest
from sklearn.linear_model import LogisticRegressionCV


def their_cv(**settings):
    """LogisticRegressionCV of an L2 penalty, its attributes arrays: a test that asks for one where they are
    dicts is skipped."""
    if "use_legacy_attributes" not in inspect.signature(LogisticRegressionCV).parameters:
        pytest.skip(
            "LogisticRegressionCV has arrays for attributes, to compare with, from scikit-learn 1.8 on"
        )
    return LogisticRegressionCV(**{"l1_ratios": (0,), "use_legacy_attributes": False} | settings)
