"""Prediction of plain arrays goes past scikit-learn's validation, and of no others."""

import copy

import numpy as np
import pandas as pd
import pytest
import scipy.sparse
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.linear_model import LogisticRegression

import xent
from xent.estimators import classifier

METHODS = ("decision_function", "predict", "predict_proba", "predict_log_proba")


@pytest.fixture(scope="module", params=[2, 3, 70], ids="K = {}".format)
def made(request):
    K, rng = request.param, np.random.default_rng(3)
    X, y = rng.normal(size=(300, 5)), np.arange(300) % request.param
    model = xent.SoftmaxRegression(tol=1e-3).fit(X, y)
    peer = LogisticRegression(max_iter=1000).fit(X[: 2 * K], y[: 2 * K])
    peer.coef_, peer.intercept_ = model.coef_, model.intercept_
    return model, peer, X


@pytest.fixture
def fitted(made):
    """A model, scikit-learn's with its coefficients, and X."""
    model, peer, X = made
    return copy.copy(model), copy.copy(peer), X


@pytest.fixture
def validations(monkeypatch):
    """What has gone through scikit-learn's validation."""
    seen = []
    validate = classifier.validate_data
    monkeypatch.setattr(
        classifier, "validate_data", lambda self, X, **kw: (seen.append(X), validate(self, X, **kw))[1]
    )
    return seen


@pytest.mark.parametrize("method", METHODS)
def test_plain_arrays_are_predicted_as_scikit_learn_does_without_its_validation(fitted, validations, method):
    model, peer, X = fitted
    for rows in (
        X,
        X[:1],
        np.asfortranarray(X),
        X[::-2],
        np.pad(X, ((0, 0), (0, 3)))[:, :5],
        X.astype(np.float16),
    ):
        want = getattr(peer, method)(rows.astype(np.float64))
        got = getattr(model, method)(rows)
        if method == "predict":
            assert_array_equal(got, want)
        else:
            assert_allclose(got, want, rtol=1e-9, atol=1e-12)
        assert got.dtype == want.dtype
    assert validations == []


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda X: np.where(np.arange(5) == 3, np.nan, X), "Input X contains NaN. First in row 0, column 3"),
        (lambda X: np.where(np.arange(5) == 3, np.inf, X), "Input X contains infinity"),
        (lambda X: X[:, :4], "X has 4 features, but SoftmaxRegression is expecting 5 features as input"),
        (lambda X: X[0], "Expected 2D array, got 1D array instead"),
        (lambda X: X[:0], "0 sample"),
    ],
)
def test_what_is_wrong_is_still_said(fitted, method, spoil, message):
    model, _, X = fitted
    with pytest.raises(ValueError, match=message):
        getattr(model, method)(spoil(X))


def test_other_tables_are_validated(fitted, validations):
    model, peer, X = fitted
    large = X.copy()
    large[0, :2] = 1e308  # finite, though their sum is not
    for rows in (X.tolist(), X.astype(int), X.astype(">f8"), scipy.sparse.csr_array(X), large):
        before = len(validations)
        assert model.predict(rows).shape == (300,)
        assert len(validations) == before + 1
    sparse = scipy.sparse.csr_array(X)
    assert_allclose(model.decision_function(sparse), peer.decision_function(X), rtol=1e-9, atol=1e-12)


def test_a_fit_with_names_warns_of_arrays_without(rng):
    X = pd.DataFrame(rng.normal(size=(60, 2)), columns=["a", "b"])
    model = xent.SoftmaxRegression().fit(X, np.arange(60) % 3)
    with pytest.warns(UserWarning, match="X does not have valid feature names"):
        model.predict(X.to_numpy())
    with pytest.raises(ValueError, match="The feature names should match"):
        model.predict(X.rename(columns={"a": "c"}))


def test_coefficients_that_were_replaced_count(fitted):
    """They are the caller's to set: nothing of a model is remembered from an earlier prediction."""
    model, _, X = fitted
    before = model.decision_function(X)
    model.coef_, model.intercept_ = -model.coef_, -model.intercept_
    assert_array_equal(model.decision_function(X), -before)
    assert_allclose(model.sparsify().decision_function(X), -before, rtol=1e-9, atol=1e-12)
