"""scikit-learn's own tests of LogisticRegression and its CV, with xent's estimators in their place.

`swapped_tests` executes the test file that scikit-learn installs, with the two classes below for the two it
imports. They do what whoever swaps has to do, and no more; every other parameter goes straight through.
"""

import importlib.util
import warnings
from unittest import mock

import numpy as np
import pytest
from sklearn.utils import _array_api

from xent import SoftmaxRegression, SoftmaxRegressionCV

# xent's one warning for parameters of scikit-learn's that it translates or has no use for.
TRANSLATED = ".* was given what is LogisticRegression's: "


class _Swapped:
    """`tol` is squared: xent's is in nats, and coefficients are near to its square root.

    No further than rounding lets it: the objective is some nats of float64, and coefficients are as X is.
    """

    def __init__(self, *, tol=1e-4, **params):
        super().__init__(tol=tol, **params)

    @classmethod
    def _get_param_names(cls):
        return cls.ours._get_param_names()

    def fit(self, X, y, sample_weight=None, **params):
        given = self.tol
        self.tol = max(given**2, 1e-14 if "float32" in str(getattr(X, "dtype", "")) else 1e-16)
        try:
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", TRANSLATED, FutureWarning)
                return super().fit(X, y, sample_weight, **params)
        finally:
            self.tol = given


class LogisticRegression(_Swapped, SoftmaxRegression):
    ours = SoftmaxRegression


class LogisticRegressionCV(_Swapped, SoftmaxRegressionCV):
    """Knows the layout of attributes that scikit-learn is about to give up; xent's is the new one."""

    ours = SoftmaxRegressionCV

    def __init__(self, *, use_legacy_attributes=True, **params):
        super().__init__(**params)
        self.as_before = use_legacy_attributes
        self.has_ratios = "l1_ratios" in params

    def fit(self, X, y, sample_weight=None, **params):
        super().fit(X, y, sample_weight, **params)
        if self.as_before:
            self._lay_out_as_before()
        return self

    def _lay_out_as_before(self):
        """Ratios last, or nowhere if none were given; a dict over classes, of two classes over the second."""
        ratios = slice(None) if self.has_ratios else 0
        rows, scores = len(self.coef_), np.moveaxis(self.scores_, 1, 2)[..., ratios]
        coefs = np.moveaxis(self.coefs_paths_, (3, 1), (0, 3))[:, :, :, ratios]
        self.coefs_paths_ = dict(zip(self.classes_[-rows:], coefs, strict=True))
        self.scores_ = dict.fromkeys(self.classes_[-rows:], scores)
        self.n_iter_ = np.moveaxis(self.n_iter_, 1, 2)[None, ..., ratios]
        self.C_, self.l1_ratio_ = np.full(rows, self.C_), np.full(rows, self.l1_ratio_)


def swapped_tests():
    """{name: test} of sklearn/linear_model/tests/test_logistic.py."""
    spec = importlib.util.find_spec("sklearn.linear_model.tests.test_logistic")
    module = importlib.util.module_from_spec(spec)
    # While it runs, because its parametrisations name the classes, too.
    ours = {"LogisticRegression": LogisticRegression, "LogisticRegressionCV": LogisticRegressionCV}
    # pytest 10 will not take the generator that they make of it.
    combinations = list(_array_api.yield_namespace_device_dtype_combinations())
    listed = {"yield_namespace_device_dtype_combinations": lambda: combinations}
    with mock.patch.multiple("sklearn.linear_model", **ours), mock.patch.multiple(_array_api, **listed):
        spec.loader.exec_module(module)
    tests = {name: test for name, test in vars(module).items() if name.startswith("test_")}
    for test in tests.values():
        # Our pytest makes errors of warnings, theirs does not. First, so that their own marks outrank it.
        test.pytestmark = [pytest.mark.filterwarnings("ignore").mark, *getattr(test, "pytestmark", [])]
    return tests
