"""scikit-learn's models as the tests compare with them; older versions have not all of what is compared."""

import inspect

import pytest
from sklearn.linear_model import LogisticRegressionCV
from sklearn.utils import compute_class_weight


def their_cv(**settings):
    """LogisticRegressionCV of an L2 penalty, its attributes arrays; skips the test where they are dicts."""
    if "use_legacy_attributes" not in inspect.signature(LogisticRegressionCV).parameters:
        pytest.skip("LogisticRegressionCV has arrays to compare with from scikit-learn 1.8 on")
    return LogisticRegressionCV(**{"l1_ratios": (0,), "use_legacy_attributes": False} | settings)


def want_weighted_balance(class_weight, sample_weight):
    """Skips the test where theirs weighs classes by their rows and not by the weights of these."""
    asked = class_weight == "balanced" and sample_weight is not None
    if asked and "sample_weight" not in inspect.signature(compute_class_weight).parameters:
        pytest.skip('"balanced" minds sample_weight, to compare with, from scikit-learn 1.7 on')
