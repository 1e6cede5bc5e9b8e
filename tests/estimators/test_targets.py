"""Targets, weights, offsets and penalty factors of `SoftmaxRegression`, against the objective written out."""

import warnings

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.optimize import minimize
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression

from tests.truth.peers import want_weighted_balance
from tests.truth.smooth import Plain, softmax_rows
from xent import SoftmaxRegression
from xent.estimators.targets import label_targets

SOLVERS = ["lbfgs", "newton"]


def data(rng, K=3, n=150, d=4):
    X = rng.normal(size=(n, d)) @ rng.normal(size=(d, d)) + rng.normal(size=d)
    y = np.append(np.arange(K), rng.integers(0, K, n - K))
    return X, y


def fit(X, y, sample_weight=None, offset=None, **params):
    return SoftmaxRegression(**({"tol": 1e-12} | params)).fit(X, y, sample_weight, offset)


def assert_optimal(model, plain):
    """F is what the plain objective makes of it, and at most suboptimality_ above its optimum."""
    best, W, b = plain.optimum()
    value = plain.of(model)
    assert model.converged_
    assert abs(value - model.objective_) <= 1e-13 * (1 + value)
    assert value - model.suboptimality_ <= best + 1e-13
    assert value <= best + model.tol + 1e-13
    return best, W, b


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("K", [2, 4])
def test_one_hot_rows_are_labels(rng, K, solver):
    X, y = data(rng, K)
    hard = fit(X, y, solver=solver)
    for Q in (np.eye(K)[y], np.eye(K, dtype=np.float32)[y], np.eye(K, dtype=bool)[y], np.eye(K)[y].tolist()):
        soft = fit(X, Q, solver=solver)
        assert_allclose(soft.coef_, hard.coef_, atol=1e-6)
        assert_allclose(soft.intercept_, hard.intercept_, atol=1e-6)
        assert soft.objective_ == pytest.approx(hard.objective_, abs=1e-12)
        assert_array_equal(soft.classes_, np.arange(K))


@pytest.mark.parametrize("intercept", [True, False])
@pytest.mark.parametrize("K", [2, 5])
@pytest.mark.parametrize("solver", SOLVERS)
def test_soft_rows_are_weighted_rows_with_labels(rng, K, intercept, solver):
    X, _ = data(rng)
    Q, s = softmax_rows(rng, len(X), K), rng.uniform(0, 2, len(X))
    soft = fit(X, Q, s, fit_intercept=intercept, solver=solver)
    split = fit(
        np.repeat(X, K, axis=0),
        np.tile(np.arange(K), len(X)),
        (s[:, None] * Q).ravel(),
        fit_intercept=intercept,
        solver=solver,
    )
    assert soft.objective_ == pytest.approx(split.objective_, abs=1e-12)
    assert_allclose(soft.coef_, split.coef_, atol=1e-6)
    assert_allclose(soft.intercept_, split.intercept_, atol=1e-6)
    assert_optimal(soft, Plain(X, Q, s, intercept=intercept))


@pytest.mark.parametrize("K", [2, 4])
def test_label_smoothing_is_the_soft_rows_written_out(rng, K):
    X, y = data(rng, K)
    for target in (y, softmax_rows(rng, len(y), K)):
        rows = np.eye(K)[y] if target.ndim == 1 else target
        smooth, written = fit(X, target, label_smoothing=0.2), fit(X, 0.8 * rows + 0.2 / K)
        assert smooth.objective_ == pytest.approx(written.objective_, abs=1e-12)
        assert_allclose(smooth.coef_, written.coef_, atol=1e-6)
        assert_allclose(smooth.intercept_, written.intercept_, atol=1e-6)
        assert_optimal(smooth, Plain(X, target, alpha=0.2))


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("soft", [False, True])
def test_a_weight_of_two_is_the_row_twice_and_of_zero_not_at_all(rng, solver, soft):
    X, y = data(rng)
    target = softmax_rows(rng, len(y), 3) if soft else y
    times = rng.integers(0, 4, len(y))
    times[:3] = 2
    weighted = fit(X, target, times, solver=solver)
    repeated = fit(np.repeat(X, times, axis=0), np.repeat(target, times, axis=0), solver=solver)
    assert weighted.objective_ == pytest.approx(repeated.objective_, abs=1e-13)
    assert_allclose(weighted.coef_, repeated.coef_, atol=1e-7)
    assert_allclose(weighted.intercept_, repeated.intercept_, atol=1e-7)


@pytest.mark.parametrize("K", [2, 3])
@pytest.mark.parametrize("weighted", [True, False])
@pytest.mark.parametrize("class_weight", ["balanced", {0: 3.0, 1: 0.4}])
def test_class_weights_are_scikit_learns(rng, K, weighted, class_weight):
    X, y = data(rng, K)
    y[y == 1] = np.where(rng.random((y == 1).sum()) < 0.7, 0, 1)
    y[:K] = np.arange(K)
    s = rng.uniform(0.1, 2, len(y)) if weighted else None
    want_weighted_balance(class_weight, s)
    theirs = LogisticRegression(solver="newton-cholesky", tol=1e-12, class_weight=class_weight).fit(X, y, s)
    for target in (y, np.eye(K)[y]):
        ours = fit(X, target, s, class_weight=class_weight)
        assert_allclose(ours.coef_, theirs.coef_, atol=1e-5)
        assert_allclose(ours.intercept_, theirs.intercept_, atol=1e-5)


@pytest.mark.parametrize("weighted", [True, False])
@pytest.mark.parametrize("class_weight", ["balanced", {0: 3.0, 1: 0.4}])
def test_class_weights_of_soft_rows_are_those_of_their_labels(rng, weighted, class_weight):
    """As scikit-learn weighs the K rows with labels that each soft row stands for."""
    X, _ = data(rng)
    Q = softmax_rows(rng, len(X), 3, 2.0)
    s = rng.uniform(0.1, 2, len(X)) if weighted else np.ones(len(X))
    split = np.repeat(X, 3, axis=0), np.tile(np.arange(3), len(X)), (s[:, None] * Q).ravel()
    factors = class_weight
    if class_weight == "balanced":  # scikit-learn's own reading of it: totals of the weights
        totals = s @ Q
        factors = dict(enumerate(totals.sum() / (3 * totals)))
    theirs = LogisticRegression(solver="newton-cholesky", tol=1e-12, class_weight=factors).fit(*split)
    ours = fit(X, Q, s if weighted else None, class_weight=class_weight)
    assert_allclose(ours.coef_, theirs.coef_, atol=1e-5)
    assert_allclose(ours.intercept_, theirs.intercept_, atol=1e-5)


def test_soft_rows_of_weight_zero_are_not_looked_at(rng):
    X, _ = data(rng)
    Q, s = softmax_rows(rng, len(X), 3), rng.uniform(1, 2, len(X))
    s[:10] = 0
    Q[:10] = np.nan
    for class_weight in (None, "balanced", {0: 2.0}):
        model = fit(X, Q, s, class_weight=class_weight)
        without = fit(X[10:], Q[10:], s[10:], class_weight=class_weight)
        assert_allclose(model.coef_, without.coef_, atol=1e-6)


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("K", [2, 3])
def test_an_offset_of_xv_shifts_the_unpenalised_coefficients_by_v(rng, K, solver):
    X, y = data(rng, K)
    V, c = rng.normal(size=(K, 4)), rng.normal(size=K)
    plain = fit(X, y, C=np.inf, solver=solver)
    moved = fit(X, y, offset=X @ V.T + c, C=np.inf, solver=solver)
    W, b = V - V.mean(axis=0), c - c.mean()
    if K == 2:
        W, b = W[1:] - W[:1], b[1:] - b[:1]
    assert_allclose(moved.coef_, plain.coef_ - W, atol=1e-5)
    assert_allclose(moved.intercept_, plain.intercept_ - b, atol=1e-5)
    given = moved.predict_proba(X, X @ V.T + c)
    assert_allclose(given, plain.predict_proba(X), atol=1e-6)
    assert_allclose(np.exp(moved.predict_log_proba(X, X @ V.T + c)), given, rtol=1e-12)
    assert_array_equal(moved.predict(X, X @ V.T + c), given.argmax(axis=1))
    scores = moved.decision_function(X, X @ V.T + c)
    if K == 2:
        assert_allclose(1 / (1 + np.exp(-scores)), given[:, 1], rtol=1e-10)
    else:
        assert_allclose(np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True), given, rtol=1e-10)
    assert np.abs(moved.predict_proba(X) - given).max() > 0.01  # it is not remembered


def test_an_offset_of_one_number_a_row_is_the_second_class(rng):
    X, y = data(rng, 2)
    o = rng.normal(size=len(y))
    one, two = fit(X, y, offset=o), fit(X, y, offset=np.column_stack([np.zeros(len(y)), o]))
    assert_array_equal(one.coef_, two.coef_)
    assert_allclose(one.decision_function(X, o) - one.decision_function(X), o, atol=1e-12)
    assert_array_equal(one.predict_proba(X, o), two.predict_proba(X, np.column_stack([0 * o, o])))
    assert_optimal(one, Plain(X, y, offset=np.column_stack([0 * o, o])))


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("intercept", [True, False])
@pytest.mark.parametrize("K", [2, 4])
def test_with_an_offset_the_plain_gradient_is_zero(rng, K, intercept, solver):
    """The offset is a feature of a coefficient that is fixed."""
    X, y = data(rng, K)
    o, s = 2 * rng.normal(size=(len(y), K)), rng.uniform(0, 2, len(y))
    for target, C in ((y, 1.0), (softmax_rows(rng, len(y), K), 100.0)):
        plain = Plain(X, target, s, C, intercept, offset=o)
        model = fit(X, target, s, o, C=C, fit_intercept=intercept, solver=solver)
        best, _, _ = assert_optimal(model, plain)
        assert best > 0.01
        W, b = model.coef_, model.intercept_
        W, b = (np.vstack([-W, W]) / 2, np.append(-b, b) / 2) if K == 2 else (W, b)
        dW, db = plain.gradient(W, b)
        assert np.abs(dW).max() <= 1e-5
        assert not intercept or np.abs(db).max() <= 1e-5


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("intercept", [True, False])
@pytest.mark.parametrize(
    ("K", "u", "v"),
    [
        (3, [1.0, 5.0, 0.2], None),
        (3, None, [3.0, 0.1, 1.0, 20.0]),
        (4, [2.0, 0.3, 1.0, 7.0], [0.5, 4.0, 1.0, 9.0]),
        (3, None, [0.0, 1.0, 0.0, 2.0]),
        (3, [0.0, 1.0, 2.0], None),
        (4, [0.0, 0.0, 1.0, 2.0], [1.0, 0.0, 3.0, 1.0]),
        (3, [0.0, 0.0, 0.0], None),
        (2, [1.0, 4.0], [0.5, 0.0, 1.0, 2.0]),
        (2, [0.0, 1.0], None),
    ],
)
def test_penalty_factors(rng, K, u, v, intercept, solver):
    X, y = data(rng, K, n=200)
    plain = Plain(X, y, C=0.05, intercept=intercept, u=u, v=v)
    model = fit(
        X,
        y,
        C=0.05,
        class_penalty_factor=u,
        feature_penalty_factor=v,
        fit_intercept=intercept,
        solver=solver,
        tol=1e-11,
    )
    _, W, b = assert_optimal(model, plain)
    centred = X - X.mean(axis=0) * intercept
    found = model.decision_function(X) if K > 2 else np.outer(model.decision_function(X), [-0.5, 0.5])
    true = X @ W.T + b
    difference = (found - found.mean(axis=1, keepdims=True)) - (true - true.mean(axis=1, keepdims=True))
    assert np.abs(difference).max() <= 1e-4 * (1 + np.abs(centred).max())
    if u is not None and any(u) and K > 2:
        kept = slice(None) if v is None else np.asarray(v) > 0
        assert_allclose((np.asarray(u) @ model.coef_)[kept], 0, atol=1e-9 * np.abs(model.coef_).max())


def test_the_truth_of_these_tests_is_scipys(rng):
    """The plain Newton method ends where scipy's minimisers end, with everything at once."""
    X, _ = data(rng, n=60)
    n, K, d = 60, 3, 4
    Q, s, o = softmax_rows(rng, n, K), rng.uniform(0, 2, n), rng.normal(size=(n, K))
    u, v = np.array([0.5, 0.0, 3.0]), np.array([1.0, 0.0, 2.0, 5.0])
    plain = Plain(X, Q, s, 0.3, True, 0.1, o, u, v)

    def split(flat):
        return flat[: K * d].reshape(K, d), flat[K * d :]

    def flat_gradient(flat):
        return np.concatenate([part.ravel() for part in plain.gradient(*split(flat))])

    zero = np.zeros(K * d + K)
    theirs = minimize(
        lambda flat: plain.value(*split(flat)), zero, jac=flat_gradient, method="BFGS", options={"gtol": 1e-9}
    )
    best, W, b = plain.optimum()
    assert best == pytest.approx(theirs.fun, abs=1e-12)
    dW, db = plain.gradient(W, b)
    assert np.abs(dW).max() < 1e-8
    assert np.abs(db).max() < 1e-8
    h, direction = 1e-6, rng.normal(size=K * d + K)
    slope = (plain.value(*split(h * direction)) - plain.value(*split(-h * direction))) / (2 * h)
    assert slope == pytest.approx(flat_gradient(zero) @ direction, rel=1e-6)
    model = fit(
        X,
        Q,
        s,
        o,
        C=0.3,
        label_smoothing=0.1,
        class_penalty_factor=u,
        feature_penalty_factor=v,
    )
    assert model.objective_ - model.suboptimality_ <= theirs.fun
    assert model.objective_ == pytest.approx(theirs.fun, abs=2e-12)


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("K", [2, 3])
def test_a_feature_factor_is_a_scale(rng, K, solver):
    X, y = data(rng, K)
    v = np.array([0.3, 1.0, 4.0, 11.0])
    factors = fit(X, y, feature_penalty_factor=v, solver=solver)
    scaled = fit(X / np.sqrt(v), y, solver=solver)
    assert factors.objective_ == pytest.approx(scaled.objective_, abs=2e-12)
    assert_allclose(factors.coef_, scaled.coef_ / np.sqrt(v), atol=1e-5)
    assert_allclose(factors.intercept_, scaled.intercept_, atol=1e-5)


def test_class_factors_by_name_and_all_alike(rng):
    X, y = data(rng)
    names = np.array(["b", "a", "c"])[y]  # sorted: a is 1, b is 0
    named = fit(X, names, class_penalty_factor={"a": 5.0})
    listed = fit(X, names, class_penalty_factor=[5.0, 1.0, 1.0])
    assert_array_equal(named.coef_, listed.coef_)
    assert_allclose(fit(X, y, class_penalty_factor=[3.0] * 3).coef_, fit(X, y, C=1 / 3).coef_, atol=1e-6)
    assert_allclose(
        fit(X, y == 0, class_penalty_factor=[1.0, 3.0]).coef_, fit(X, y == 0, C=2 / 3).coef_, atol=1e-6
    )  # two classes: 2 u_0 u_1 / (u_0 + u_1), from Σ u_k W_k = 0


@pytest.mark.parametrize("u", [None, [1.0, 3.0], [0.3, 1.7], [0.0, 1.0]])
@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_the_figures_are_of_the_two_classes_coefficients_as_kept(rng, u, dtype):
    """A difference of two rounded rows is not the rounded difference: far from 0 that is 1e-9 nats."""
    X = (rng.normal(size=(400, 3)) * 0.5 + 1000).astype(dtype)
    y = (rng.random(400) < 0.3 + 0.3 * (X[:, 0] > 1000)).astype(int)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model = SoftmaxRegression(C=10, class_penalty_factor=u).fit(X, y)
    plain = Plain(X, y, C=10, u=u)
    assert model.coef_.dtype == np.float32
    assert model.objective_ == pytest.approx(plain.of(model), abs=1e-12)
    assert plain.of(model) - model.suboptimality_ <= plain.optimum()[0] + 1e-12


def test_columns_of_a_frame_are_the_classes(rng):
    X, y = data(rng)
    Q = softmax_rows(rng, len(y), 3)
    framed = fit(X, pd.DataFrame(Q, columns=["z", "a", "m"]))
    assert_array_equal(framed.classes_, ["z", "a", "m"])
    assert_allclose(framed.coef_, fit(X, Q).coef_, atol=1e-12)
    assert_array_equal(framed.predict(X), np.array(["z", "a", "m"])[framed.predict_proba(X).argmax(axis=1)])
    weighed = fit(X, pd.DataFrame(Q, columns=["z", "a", "m"]), class_weight={"a": 3.0})
    assert_allclose(weighed.coef_, fit(X, Q, class_weight={1: 3.0}).coef_, atol=1e-12)


GOOD = np.full((4, 3), 1 / 3)


def spoilt(row, entries):
    Q = GOOD.copy()
    Q[row] = entries
    return Q


@pytest.mark.parametrize(
    ("params", "given", "message"),
    [
        ({}, {"y": GOOD[:3]}, "y: expected 4 rows, one a row of logits, got 3"),
        ({}, {"y": spoilt(2, [0.5, 0.5, np.nan])}, "y: row 2 has a NaN entry"),
        ({}, {"y": spoilt(1, [1.5, -0.5, 0.0])}, "y: row 1 has a negative entry"),
        ({}, {"y": spoilt(slice(1, 3), [0.5, 0.5, 0.1])}, "y: row 1 sums to 1.1; .* divide each by its sum"),
        ({}, {"y": spoilt(3, [np.inf, 0, 0])}, "y: row 3 sums to inf"),
        ({}, {"y": np.array([["a", "b"]] * 4)}, "y: rows of probabilities must be numbers, got dtype <U1"),
        (
            {},
            {"y": pd.DataFrame(GOOD, columns=["a", "b", "a"])},
            "y: column names must be unique: 'a' appears 2 times",
        ),
        ({"class_weight": {7: 1.0}}, {"y": GOOD}, r"The classes, \[7\], are not in class_weight"),
        ({"class_weight": {0: np.nan}}, {"y": GOOD}, "class_weight: weights must be finite and ≥ 0"),
        ({"class_weight": dict.fromkeys(range(3), 0)}, {"y": GOOD}, "class_weight is 0 in every row"),
        ({}, {"offset": np.zeros((4, 2))}, r"offset: expected shape \(4, 3\), .* got \(4, 2\)"),
        ({}, {"offset": np.zeros(4)}, r"offset: expected shape \(4, 3\), .* got \(4,\)"),
        ({}, {"offset": spoilt(2, [0, np.nan, 0])}, r"offset\[2, 1\] = nan: offsets must be finite"),
        ({}, {"offset": spoilt(0, [0, 0, -np.inf])}, r"offset\[0, 2\] = -inf: offsets must be finite"),
        ({"label_smoothing": 1.0}, {}, "'label_smoothing' parameter .* Got 1.0 instead"),
        ({"label_smoothing": -0.1}, {}, "'label_smoothing' parameter"),
        ({"label_smoothing": np.nan}, {}, "'label_smoothing' parameter"),
        ({"max_time": 0}, {}, "'max_time' parameter .* Got 0 instead"),
        ({"class_penalty_factor": [1, 2]}, {}, r"class_penalty_factor: expected shape \(3,\), got \(2,\)"),
        ({"class_penalty_factor": [1, -2, 1]}, {}, r"class_penalty_factor\[1\] = -2: .* finite and ≥ 0"),
        ({"class_penalty_factor": {9: 1}}, {}, r"class_penalty_factor: \[9\] are no classes of y"),
        ({"feature_penalty_factor": [1, np.nan]}, {}, r"feature_penalty_factor\[1\] = nan"),
        ({"feature_penalty_factor": [1, np.inf]}, {}, r"feature_penalty_factor\[1\] = inf"),
        ({"feature_penalty_factor": 2.0}, {}, r"feature_penalty_factor: expected shape \(2,\), got \(\)"),
    ],
)
def test_bad_targets_offsets_and_factors_are_refused(params, given, message):
    X = np.array([[0.0, 1], [1, 0], [2, 2], [3, 1]])
    model = SoftmaxRegression(**params)
    with pytest.raises(ValueError, match=message):
        model.fit(X, **({"y": [0, 1, 2, 0]} | given))
    assert not [name for name in vars(model) if name.endswith("_")]


def test_a_bad_offset_in_prediction_is_refused(rng):
    X, y = data(rng)
    model = fit(X, y)
    for call in (model.predict, model.predict_proba, model.predict_log_proba, model.decision_function):
        with pytest.raises(ValueError, match=r"offset: expected shape \(150, 3\)"):
            call(X, np.zeros((150, 2)))
        with pytest.raises(ValueError, match=r"offset\[4, 0\] = nan"):
            call(X, np.where(np.arange(450).reshape(150, 3) == 12, np.nan, 0))


def test_what_a_factor_of_0_leaves_uncertain_is_said(rng):
    X = rng.normal(size=(200, 3))
    y = rng.integers(0, 3, 200)
    X[:, 0] = np.abs(X[:, 0]) * np.where(y == 2, 1, -1)  # unpenalised, it tells class 2 from the others
    with pytest.warns(ConvergenceWarning, match="with a penalty factor of 0 no certificate was found"):
        model = SoftmaxRegression(feature_penalty_factor=[0, 1, 1]).fit(X, y)
    assert not model.converged_


@pytest.mark.parametrize(
    "labels",
    [
        np.array(["b", "a", "c"], object),
        np.array([3, -100, 7]),
        np.array([3, -100, 7], np.int8),
        np.array([2**62, -(2**62), 0]),
        np.array([2**63 + 5, 2**63 + 3, 2**63 + 5], np.uint64),
        np.array([True, False, True]),
        np.array(["b", "a", "c"]),
        np.array([2.0, 1.0, 3.0]),
    ],
    ids=lambda labels: f"{labels.dtype} {labels[0]}",
)
def test_labels_are_coded_as_numpy_does(rng, labels):
    """However it is done: the classes sorted, in the labels' own dtype, and each label's place among them."""
    y = labels[rng.permutation(np.arange(60) % 3)]
    found = label_targets(np.zeros((60, 1)), y, None, None)
    classes, codes = np.unique(y, return_inverse=True)
    assert found.classes.dtype == y.dtype
    assert_array_equal(found.classes, classes)
    assert_array_equal(found.y, codes)
    assert found.y.dtype == np.int64
