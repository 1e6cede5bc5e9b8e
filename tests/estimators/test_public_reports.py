"""What users of other libraries have reported, rebuilt small, each held to a truth of its own.

References name a thread of the library in question; data are made here unless they are named.
"""

import tracemalloc

import joblib
import mpmath
import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.datasets import load_breast_cancer, load_digits, load_iris
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression, LogisticRegressionCV
from sklearn.model_selection import GridSearchCV, KFold
from sklearn.preprocessing import SplineTransformer, scale
from sklearn.utils.class_weight import compute_class_weight
from threadpoolctl import threadpool_info, threadpool_limits

from tests.truth.smooth import Plain
from xent import SoftmaxRegression, SoftmaxRegressionCV, cross_entropy, l1_min_c, softmax_path
from xent.kernels import native


def peer(X, y, s=None, C=1.0, **params):
    """scikit-learn's optimum, to the last digits."""
    return LogisticRegression(C=C, solver="newton-cholesky", tol=1e-10, max_iter=1000, **params).fit(X, y, s)


def free_peer(X, y):
    """The same without a penalty, found on standardised features: coef_ and intercept_ in X's own units."""
    mean, deviation = X.mean(axis=0), X.std(axis=0)
    model = peer((X - mean) / deviation, y, C=np.inf)
    coef = model.coef_ / deviation
    if len(coef) > 1:
        coef -= coef.mean(axis=0)
    return coef, model.intercept_ - coef @ mean, model


def drawn(rng, X, K, strength=1.0):
    """Labels 0 … K−1 of a softmax model of the standardised features: classes that overlap."""
    Z = (X - X.mean(axis=0)) / np.where(X.std(axis=0) > 0, X.std(axis=0), 1)
    y = (strength * Z @ rng.normal(size=(X.shape[1], K)) + rng.gumbel(size=(len(X), K))).argmax(axis=1)
    y[: 2 * K] = np.tile(np.arange(K), 2)
    return y


def is_optimal(model, X, y, s=None, **setting):
    """That F at the coefficients is the least there is, to what the model says of itself."""
    plain = Plain(X, y, s, **setting)
    best, W, b = plain.optimum()
    assert model.converged_
    assert -1e-12 <= plain.of(model) - best <= model.suboptimality_ + 1e-12
    return plain.probabilities(W, b)


def l1_conditions(coef, intercept, X, y, C, ratio=1.0):
    """How far from 0 the least subgradient of F is, in nats a unit of each coefficient."""
    W, b = (coef, intercept) if len(coef) > 1 else (np.vstack([0 * coef, coef]), np.append(0, intercept))
    gradient, slope = Plain(X, y, C=np.inf).gradient(W, b)
    gradient = gradient[-len(coef) :] + (1 - ratio) * coef / (C * len(y))
    level = ratio / (C * len(y))
    off = np.where(coef == 0, np.maximum(np.abs(gradient) - level, 0), gradient + level * np.sign(coef))
    return max(np.abs(off).max(), np.abs(slope).max())


def separates(model, X, y):
    """That the named direction tells apart, in the raw rows, just as many rows of each pair as it says."""
    direction = model.separation_["direction"]
    Z = X @ (direction - direction.mean(axis=0)).T
    for a, b, strict, rows in model.separation_["pairs"].tolist():
        difference = Z[:, a] - Z[:, b]
        low, high = difference[y == a].min(), difference[y == b].max()
        assert rows == np.isin(y, [a, b]).sum()
        assert low >= high - 1e-7 * np.abs(difference).max()
        if strict == rows:
            assert low > high
    return {(a, b): (strict, rows) for a, b, strict, rows in model.separation_["pairs"].tolist()}


# Features as they come, at the default settings.


def test_a_census_with_weights_and_capital_gains(rng):
    """scikit-learn#15556: numbers of 2e5 beside one-hot jobs; scikit-learn's default stops early there."""
    n = 800
    gains = np.where(rng.random(n) < 0.08, rng.lognormal(8.5, 1, n), 0)
    numbers = np.c_[
        rng.integers(17, 90, n),
        1e5 * rng.gamma(3, 0.6, n),
        gains,
        rng.integers(1, 17, n),
        rng.integers(1, 99, n),
    ]
    X = np.c_[numbers, np.eye(9)[rng.integers(0, 9, n)]]
    y = drawn(rng, X, 2)
    with pytest.warns(ConvergenceWarning, match="lbfgs failed"):
        early = LogisticRegression().fit(X, y)
    model, theirs = SoftmaxRegression(tol=1e-11).fit(X, y), peer(X, y)
    assert_allclose(model.predict_proba(X), theirs.predict_proba(X), atol=1e-5)
    assert Plain(X, y).of(early) > Plain(X, y).of(theirs) + 1e-3
    is_optimal(SoftmaxRegression().fit(X, y), X, y)


def test_wide_rows_of_many_scales(rng):
    """scikit-learn#18074: scales over e^±3, and a solver that stops early."""
    X = rng.normal(size=(150, 100)) * np.exp(rng.uniform(-3, 3, 100))
    y = drawn(rng, X, 2)
    model, theirs = SoftmaxRegression(tol=1e-12).fit(X, y), peer(X, y)
    assert model.converged_
    assert_allclose(model.predict_proba(X), theirs.predict_proba(X), atol=1e-5)


@pytest.mark.parametrize("dtype", ["int64", "float64", "float32"])
def test_identifiers_and_timestamps_as_features(rng, dtype):
    """[nanoseconds, a number of 12 digits, x]: scikit-learn's default learns nothing from them."""
    n = 400
    seconds, number = rng.integers(1672531200, 1704067200, n), rng.integers(10**11, 10**12, n)
    X = np.c_[seconds * 10**9, number, rng.integers(-9, 10, n)]
    y = drawn(rng, X.astype(float), 2, 2.0)
    X = X.astype(dtype)
    model = SoftmaxRegression(tol=1e-6 if dtype == "float32" else 1e-10).fit(X, y)
    P = is_optimal(model, X, y)
    assert_allclose(model.predict_proba(X), P, atol=1e-3)
    assert model.score(X, y) > 0.7


@pytest.mark.parametrize("size", [1e12, 1e30, 1e100, 1e150])
def test_features_of_any_size(rng, size):
    """scikit-learn#17925. At C = 1 so large a feature has no penalty to speak of."""
    x = rng.normal(size=(200, 2))
    y = drawn(rng, x, 2)
    model, (coef, intercept, theirs) = SoftmaxRegression(tol=1e-11).fit(size * x, y), free_peer(x, y)
    assert model.converged_
    assert_allclose(model.coef_ * size, coef, atol=2e-5)
    assert_allclose(model.intercept_, intercept, atol=2e-5)
    assert_array_equal(model.predict(size * x), theirs.predict(scale(x)))


TOO_LARGE = [(1e308, "add up", {"l1_ratio": 1.0})]
TOO_LARGE += [
    (size, verb, params)
    for size, verb in ((1e308, "add up"), (1e200, "square"))
    for params in ({}, {"solver": "newton"}, {"solver": "lbfgs"}, {"C": np.inf})
]


@pytest.mark.parametrize(("size", "verb", "params"), TOO_LARGE, ids=str)
@pytest.mark.parametrize("least", [0.5, -1])
def test_a_feature_too_large_for_a_double_is_named(rng, size, verb, params, least):
    """scikit-learn#17925: in one error, without NumPy's warnings of sums; beside a feature that is large."""
    X = np.c_[1e140 * rng.normal(size=50), rng.normal(size=50), size * rng.uniform(least, 1, 50)]
    y = rng.integers(0, 2, 50)
    said = f"^X: feature 2 has values too large to {verb} in float64; rescale it"
    for A in (X, sparse.csr_array(X)):
        with pytest.raises(ValueError, match=said):
            SoftmaxRegression(**params).fit(A, y)


def test_two_narrow_features_far_from_0(rng):
    """SPARK-34448, apache/spark#31657: 10 ± 0.001 and −25 ± 0.0003, no penalty, an intercept of thousands."""
    z = rng.normal(size=(1000, 2))
    X = np.array([10, -25]) + z * [1e-3, 3e-4]
    y = drawn(rng, z, 2)
    coef, intercept, theirs = free_peer(X, y)
    model = SoftmaxRegression(C=np.inf, tol=1e-12).fit(X, y)
    assert np.abs(intercept) > 1000
    assert_allclose(model.coef_, coef, rtol=1e-5)
    assert_allclose(model.intercept_, intercept, rtol=1e-5)
    standard = (X - X.mean(axis=0)) / X.std(axis=0)
    assert_allclose(model.predict_proba(X), theirs.predict_proba(standard), atol=1e-6)


@pytest.mark.parametrize("n", [2, 3, 40])
def test_few_rows_of_one_feature(rng, n):
    """scikit-learn#23605, #31248."""
    X, y = rng.normal(size=(n, 1)), np.arange(n) % 2
    model, theirs = SoftmaxRegression(tol=1e-12).fit(X, y), peer(X, y)
    assert_allclose(model.coef_, theirs.coef_, atol=1e-5)
    assert_allclose(model.intercept_, theirs.intercept_, atol=1e-5)


# Storage.


FORMATS = ["csr", "csc", "bsr", "coo", "lil", "dok"]


@pytest.mark.parametrize("kind", FORMATS)
def test_sparse_formats_are_the_dense_table(rng, kind):
    """scikit-learn#25198: the answer depended on it."""
    dense = rng.normal(size=(120, 6)) * (rng.random((120, 6)) < 0.3)
    y, X = drawn(rng, dense, 3), sparse.csr_array(dense).asformat(kind)
    model, theirs = SoftmaxRegression(tol=1e-12).fit(X, y), peer(dense, y)
    assert_allclose(model.coef_, SoftmaxRegression(tol=1e-12).fit(dense, y).coef_, atol=1e-9)
    assert_allclose(model.coef_, theirs.coef_, atol=1e-5)


def test_read_only_maps_and_indices_of_every_sort(rng, tmp_path):
    """scikit-learn#15924: what joblib hands to workers is memory-mapped and read-only."""
    dense = (rng.normal(size=(150, 8)) * (rng.random((150, 8)) < 0.4)).astype(np.float32)
    y, X = drawn(rng, dense, 3), sparse.csr_array(dense)
    joblib.dump(X, tmp_path / "X")
    mapped = joblib.load(tmp_path / "X", mmap_mode="r")
    assert not mapped.data.flags.writeable
    long = X.copy()
    long.indices, long.indptr = long.indices.astype(np.int64), long.indptr.astype(np.int64)
    row, column = dense.nonzero()
    halves = np.r_[0.5 * dense[row, column], 0.5 * dense[row, column]]
    order = rng.permutation(2 * len(row))
    order = order[np.argsort(np.r_[row, row][order], kind="stable")]  # rows in order, columns in none
    starts = np.r_[0, np.cumsum(2 * (dense != 0).sum(axis=1))]
    twice = sparse.csr_array(
        (halves[order].astype(np.float32), np.r_[column, column][order], starts), X.shape
    )
    assert not twice.has_sorted_indices
    assert twice.nnz == 2 * X.nnz
    theirs = peer(dense.astype(np.float64), y)
    for A in (mapped, long, twice):
        assert_allclose(SoftmaxRegression(tol=1e-9).fit(A, y).coef_, theirs.coef_, atol=1e-3)
    with joblib.parallel_config("threading"):
        search = GridSearchCV(SoftmaxRegression(), {"C": [0.1, 1.0]}, n_jobs=2, cv=3).fit(mapped, y)
    other = GridSearchCV(LogisticRegression(tol=1e-8), {"C": [0.1, 1.0]}, cv=3).fit(dense, y)
    assert_allclose(search.cv_results_["mean_test_score"], other.cv_results_["mean_test_score"])


def test_n_grams_by_the_ten_thousand(rng):
    """scikit-learn#17125: binary n-grams, far more of them than rows, in a quarter of a dense table's
    memory."""
    n, d, words = 900, 20_000, 60
    columns = (d * rng.random((n, words)) ** 4).astype(int)
    X = sparse.csr_array((np.ones(n * words), columns.ravel(), words * np.arange(n + 1)), (n, d))
    X.sum_duplicates()
    X.data[:] = 1.0
    y = drawn(rng, rng.normal(size=(n, 2)), 2)
    tracemalloc.start()
    model = SoftmaxRegression(tol=1e-10).fit(X, y)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8 * n * d / 4
    theirs = LogisticRegression(tol=1e-9, max_iter=5000).fit(X, y)
    assert_allclose(model.predict_proba(X), theirs.predict_proba(X), atol=1e-4)
    assert_allclose(model.coef_, theirs.coef_, atol=1e-4)


@pytest.mark.parametrize(
    ("dtype", "names"), [("Int64", [3, 5]), ("boolean", [False, True]), ("string", ["n", "y"])]
)
def test_nullable_labels_and_a_gap_in_x(dtype, names):
    """scikit-learn#25073: frames of `convert_dtypes`."""
    y = np.array(names)[[0, 1, 1, 0, 1, 0]]
    X = pd.DataFrame({"f": [0.1, 0.7, 0.4, 0.5, 0.9, 0.2], "g": [1, 2, 4, 3, 5, 2]})
    nullable = X.convert_dtypes()
    model, theirs = SoftmaxRegression(tol=1e-12).fit(nullable, pd.Series(y, dtype=dtype)), peer(X, y)
    assert_allclose(model.coef_, theirs.coef_, atol=1e-5)
    assert_array_equal(model.predict(nullable), theirs.predict(X))
    gap = pd.DataFrame({"f": [0.1, None], "g": [1, 2]}).convert_dtypes()
    assert gap["f"][1] is pd.NA
    for call in (lambda: SoftmaxRegression().fit(gap, y[:2]), lambda: model.predict(gap)):
        with pytest.raises(ValueError, match=r"^Input X contains NaN\. First in row 1, column 'f'\."):
            call()


def test_series_in_another_order_of_rows_are_taken_by_position(rng):
    """scikit-learn#4628, scikit-learn#7825: neither library looks at the index."""
    X = pd.DataFrame(rng.normal(size=(60, 2)), columns=["a", "b"])
    order = rng.permutation(60)
    y, s = (pd.Series(v, order) for v in (drawn(rng, X.to_numpy(), 2), rng.uniform(0.5, 2, 60)))
    theirs = peer(X, y, s)
    model = SoftmaxRegression(tol=1e-12).fit(X, y, s)
    assert_allclose(model.coef_, theirs.coef_, atol=1e-5)
    assert_array_equal(model.coef_, SoftmaxRegression(tol=1e-12).fit(X, y.to_numpy(), s.to_numpy()).coef_)


# Weights.


@pytest.mark.parametrize("factor", [1e-2, 1.0, 1e2])
def test_class_weights_times_a_constant_are_another_c(rng, factor):
    """scikit-learn#27455."""
    X = rng.normal(size=(150, 3))
    y = drawn(rng, X, 3)
    weights = {0: factor, 1: 2 * factor, 2: 5 * factor}
    model = SoftmaxRegression(tol=1e-12, class_weight=weights).fit(X, y)
    assert_allclose(model.coef_, peer(X, y, class_weight=weights).coef_, atol=1e-4)
    again = SoftmaxRegression(C=factor, tol=1e-12, class_weight={0: 1, 1: 2, 2: 5}).fit(X, y)
    assert_allclose(model.coef_, again.coef_, atol=1e-5)


def test_a_class_of_weight_0(rng):
    """scikit-learn#34139: the other classes' model, and probability 0."""
    X = rng.normal(size=(200, 3))
    y = drawn(rng, X, 4)
    kept = y != 1
    model = SoftmaxRegression(tol=1e-12, class_weight={1: 0}).fit(X, y)
    theirs = peer(X[kept], y[kept])
    assert_array_equal(model.predict_proba(X)[:, 1], 0)
    assert_allclose(model.predict_proba(X)[:, [0, 2, 3]], theirs.predict_proba(X), atol=1e-5)
    assert_allclose(model.coef_[[0, 2, 3]], theirs.coef_, atol=1e-5)


@pytest.mark.parametrize("K", [2, 3])
def test_whole_weights_are_rows_repeated(rng, K):
    """scikit-learn#30056: with balanced class weights, too."""
    X, s = rng.normal(size=(80, 2)), rng.integers(0, 4, 80)
    y = drawn(rng, X, K)
    rows = np.repeat(np.arange(80), s)
    one = SoftmaxRegression(tol=1e-13, class_weight="balanced").fit(X, y, s)
    other = SoftmaxRegression(tol=1e-13, class_weight="balanced").fit(X[rows], y[rows])
    assert_allclose(one.coef_, other.coef_, atol=1e-6)
    assert_allclose(one.coef_, peer(X[rows], y[rows], class_weight="balanced").coef_, atol=1e-5)


def test_balanced_is_the_dict_of_it_in_cross_validation(rng):
    """scikit-learn#5450."""
    X = rng.normal(size=(90, 3))
    y = drawn(rng, X, 3)
    weights = dict(zip(range(3), compute_class_weight("balanced", classes=np.arange(3), y=y), strict=True))
    one, other = (
        SoftmaxRegressionCV(Cs=[0.1, 1.0], cv=3, class_weight=given).fit(X, y)
        for given in ("balanced", weights)
    )
    assert_allclose(one.scores_, other.scores_, rtol=1e-12)
    assert_allclose(one.coefs_paths_, other.coefs_paths_, atol=1e-12)


@pytest.mark.parametrize("params", [{}, {"l1_ratio": 1.0, "C": 0.2}], ids=str)
def test_rows_of_weight_0_say_nothing(rng, params):
    """abess#458: not a bit, whatever they hold; but no NaN."""
    X = rng.normal(size=(120, 4))
    y = drawn(rng, X, 3)
    s = np.where(rng.random(120) < 0.3, 0.0, 1.0)
    other, wrong = X.copy(), y.copy()
    other[s == 0] = 1e6 * rng.normal(size=((s == 0).sum(), 4))
    wrong[s == 0] = 0
    one, two = (SoftmaxRegression(tol=1e-11, **params).fit(A, t, s) for A, t in ((X, y), (other, wrong)))
    assert_array_equal(one.coef_, two.coef_)
    rows = s > 0
    assert_allclose(one.coef_, SoftmaxRegression(tol=1e-11, **params).fit(X[rows], y[rows]).coef_, atol=1e-5)
    other[np.flatnonzero(s == 0)[0], 2] = np.nan
    with pytest.raises(ValueError, match="Input X contains NaN"):
        SoftmaxRegression(**params).fit(other, y, s)


# Cross-validation where classes are rare.


def test_cross_validation_of_nothing_and_a_class_that_occurs_once():
    """scikit-learn#28178, #29558: X is 0, so probabilities are the shares of the classes."""
    y = np.array([0] * 5 + [1] * 4 + [2])
    with (
        pytest.warns(UserWarning, match="least populated class"),
        pytest.warns(UserWarning, match="the training part has no row of class 2 in fold"),
    ):
        model = SoftmaxRegressionCV(Cs=[0.1, 1.0], cv=2).fit(np.zeros((10, 3)), y)
    assert np.isfinite(model.scores_).all()
    assert_allclose(model.predict_proba(np.zeros((1, 3))), [[0.5, 0.4, 0.1]], atol=1e-3)
    assert_array_equal(model.coef_, 0)


def test_folds_of_sorted_rows():
    """scikit-learn#12845, #32748: each fold holds out just the class that it does not train on, so no row
    is named rightly; a log-loss has nothing to go by."""
    X, y = load_iris(return_X_y=True)
    model = SoftmaxRegressionCV(Cs=[1.0], cv=KFold(3), scoring="accuracy")
    with pytest.warns(UserWarning, match="no row of class 0 in fold 0, 1 in fold 1, 2 in fold 2"):
        model.fit(X, y)
    assert_array_equal(model.scores_, np.zeros((3, 1, 1)))
    assert_allclose(model.predict_proba(X), peer(X, y).predict_proba(X), atol=2e-3)
    with pytest.raises(ValueError, match="shuffle the rows, or use StratifiedKFold"):
        SoftmaxRegressionCV(Cs=[1.0], cv=KFold(3)).fit(X, y)


def test_a_class_of_two_rows_and_the_log_loss():
    """scikit-learn#15389: digits with two 9s; every fold's score is of all classes."""
    X, y = load_digits(return_X_y=True)
    keep = np.r_[np.flatnonzero(y == 7)[:30], np.flatnonzero(y == 8)[:30], np.flatnonzero(y == 9)[:2]]
    X, y, Cs = X[keep][:, 10:40:2] / 16, y[keep], [0.01, 1.0]
    common = {"Cs": Cs, "cv": 3, "scoring": "neg_log_loss"}
    with pytest.warns(UserWarning, match="least populated class"):
        model = SoftmaxRegressionCV(tol=1e-12, **common).fit(X, y)
    with pytest.warns(UserWarning, match="least populated class"):
        theirs = LogisticRegressionCV(
            solver="newton-cholesky", tol=1e-10, l1_ratios=(0,), use_legacy_attributes=False, **common
        ).fit(X, y)
    assert_allclose(model.scores_, theirs.scores_, atol=1e-5)
    assert theirs.C_ == model.C_


# The same object, fitted again or taken elsewhere.


SECOND = {
    "fewer classes": lambda X, y: (X[y < 2], y[y < 2]),
    "more classes": lambda X, y: (X, np.where(X[:, 0] > 1, 3, y)),
    "other names": lambda X, y: (X, np.array(["a", "b", "c"])[y]),
    "fewer features": lambda X, y: (X[:, :2], y),
}


@pytest.mark.parametrize("second", SECOND)
def test_a_warm_start_on_other_classes_or_features(rng, second):
    """scikit-learn#10657, #10658."""
    X = rng.normal(size=(150, 3))
    y = drawn(rng, X, 3)
    A, t = SECOND[second](X, y)
    model = SoftmaxRegression(warm_start=True, tol=1e-12).fit(X, y).fit(A, t)
    theirs = peer(A, t)
    assert_array_equal(model.classes_, theirs.classes_)
    assert model.coef_.shape == theirs.coef_.shape
    assert_allclose(model.coef_, theirs.coef_, atol=1e-5)
    assert_array_equal(model.predict(A), theirs.predict(A))


@pytest.mark.parametrize("solver", ["lbfgs", "newton"])
def test_a_warm_start_on_two_of_three_classes_is_a_cold_one(rng, solver):
    """scikit-learn#31866: to the bit."""
    X = rng.normal(size=(150, 3))
    y = drawn(rng, X, 3)
    warm = SoftmaxRegression(warm_start=True, solver=solver).fit(X, y).fit(X[y < 2], y[y < 2])
    cold = SoftmaxRegression(solver=solver).fit(X[y < 2], y[y < 2])
    assert_array_equal(warm.coef_, cold.coef_)
    assert_array_equal(warm.intercept_, cold.intercept_)


def test_a_fit_twice_has_the_same_bits():
    """scikit-learn#18824."""
    X, y = load_breast_cancer(return_X_y=True)
    one, other = (SoftmaxRegression().fit(X, y) for _ in range(2))
    assert_array_equal(one.coef_, other.coef_)
    assert one.objective_ == other.objective_


def test_threads_can_be_turned_off(rng, monkeypatch):
    """scikit-learn#19662: threadpoolctl's limit is what BLAS has in a fit, and again after it."""
    X = rng.normal(size=(300, 4))
    y, seen = drawn(rng, X, 3), set()
    sums = native.sums

    def counted(*args, **params):
        seen.update(lib["num_threads"] for lib in threadpool_info() if lib["user_api"] == "blas")
        return sums(*args, **params)

    monkeypatch.setattr(native, "sums", counted)
    with threadpool_limits(1):
        model = SoftmaxRegression(tol=1e-12).fit(X, y)
        after = {lib["num_threads"] for lib in threadpool_info() if lib["user_api"] == "blas"}
    assert seen == after == {1}
    assert_allclose(model.coef_, peer(X, y).coef_, atol=1e-5)


# Large logits.


@pytest.mark.parametrize("K", [2, 3])
def test_probabilities_at_logits_of_1e9(rng, K):
    """scikit-learn#17978: against 50 digits, from the coefficients as they are."""
    X = rng.normal(size=(60, 2))
    model = SoftmaxRegression().fit(X, drawn(rng, X, K))
    far = np.vstack([1e9 * X[:8], X[8:12]])
    P, log_p = model.predict_proba(far), model.predict_log_proba(far)
    assert np.isfinite(log_p).all()
    assert_allclose(P.sum(axis=1), 1, atol=1e-15)
    W, b = model.coef_, model.intercept_
    if K == 2:
        W, b = np.vstack([0 * W, W]), np.append(0.0, b)
    for x, p, logs in zip(far, P, log_p, strict=True):
        z = [mpmath.fdot(map(float, w), map(float, x)) + float(c) for w, c in zip(W, b, strict=True)]
        total = max(z) + mpmath.log(mpmath.fsum(mpmath.exp(v - max(z)) for v in z))
        exact = np.array([float(v - total) for v in z])
        assert_allclose(logs, exact, rtol=1e-13, atol=1e-13)
        assert_allclose(p, np.exp(exact), rtol=1e-13 * max(1, np.abs(exact[exact > -700]).max()), atol=1e-300)


def test_the_log_loss_of_a_row_that_is_wrong_and_confident():
    """dotnet/machinelearning#2708: with logits 1000 and −1000 it is 2000, not infinite."""
    assert cross_entropy(np.array([[1000.0, -1000.0]]), np.array([1])) == 2000.0
    assert cross_entropy(np.array([[0.0, -np.inf]]), np.array([1])) == np.inf
    X, y = np.array([[-1.0], [1.0], [-2.0], [2.0]] * 3), np.array([0, 1, 0, 1] * 3)
    model = SoftmaxRegressionCV(Cs=[1.0], cv=2).fit(X, y)
    model.coef_, model.intercept_ = np.array([[2000.0]]), np.zeros(1)
    assert model.score([[-1.0]], [1]) == -2000.0
    assert model.predict_log_proba([[-1.0]])[0, 1] == -2000.0


# Without a penalty: closed forms, and what has no optimum.


@pytest.mark.parametrize("counts", [(2, 1), (1, 5), (3, 2, 1)])
def test_a_feature_of_ones_and_no_intercept(counts):
    """Cross Validated, "converging to unexpected coefficient for a simple case": the coefficients are the
    logs of the shares."""
    y = np.repeat(np.arange(len(counts)), counts)
    model = SoftmaxRegression(C=np.inf, fit_intercept=False, tol=1e-14).fit(np.ones((len(y), 1)), y)
    logs = np.log(counts)
    exact = logs[1:] - logs[:1] if len(counts) == 2 else logs - logs.mean()
    assert_allclose(model.coef_[:, 0], exact, atol=1e-7)


@pytest.mark.parametrize("C", [1e42, np.inf])
def test_a_penalty_next_to_none(C):
    """scikit-learn#24615: breast cancer, five features."""
    X, y = load_breast_cancer(return_X_y=True)
    X = X[:, [0, 1, 4, 8, 9]]
    coef, _, _ = free_peer(X, y)
    model = SoftmaxRegression(C=C, tol=1e-13).fit(X, y)
    assert model.converged_
    assert_allclose(model.coef_ * X.std(axis=0), coef * X.std(axis=0), atol=1e-4)


def test_tumours_that_separate():
    """scikit-learn#24615, #18824: with all 30 features there is no optimum."""
    data = load_breast_cancer(as_frame=True)
    with pytest.warns(ConvergenceWarning, match="completely separated along"):
        model = SoftmaxRegression(C=np.inf).fit(data.data, data.target)
    assert separates(model, data.data.to_numpy(), data.target.to_numpy()) == {(0, 1): (569, 569)}


def test_iris_without_a_penalty():
    """statsmodels#516: setosa splits off, so F's infimum is that of the other two, by their share."""
    X, y = load_iris(return_X_y=True)
    with pytest.warns(ConvergenceWarning, match="classes 0 and 1 are completely separated"):
        model = SoftmaxRegression(C=np.inf).fit(X, y)
    assert separates(model, X, y) == {(0, 1): (100, 100), (0, 2): (100, 100)}
    infimum = Plain(X[50:], y[50:] - 1, C=np.inf).optimum()[0] * 100 / 150
    assert -1e-12 <= model.objective_ - infimum <= min(1e-6, model.suboptimality_ + 1e-12)


@pytest.mark.parametrize("n", [1000, 5000])
def test_a_constant_is_all_there_is(n):
    """statsmodels#3635: eight of nine classes are rare; the shares are the answer."""
    y = np.append(np.arange(1, 9), np.zeros(n - 8, int))
    model = SoftmaxRegression(C=np.inf, tol=1e-10).fit(np.ones((n, 1)), y)
    assert model.converged_
    assert_array_equal(model.coef_, 0)
    assert_allclose(model.predict_proba([[1.0]])[0], np.bincount(y) / n, rtol=1e-3)


@pytest.mark.parametrize("K", [2, 3])
@pytest.mark.parametrize("n", [37, 100, 1000])
def test_a_column_of_ones_beside_an_intercept(rng, n, K):
    """What statsmodels' add_constant gives, and a year that is the same in all rows: another year in
    prediction changes nothing."""
    x = rng.normal(size=(n, 1))
    y = drawn(rng, x, K, 0.5)
    coef, _, _ = free_peer(x, y)
    for constant in (1.0, 0.1, 2020.0):
        model = SoftmaxRegression(C=np.inf, tol=1e-12).fit(np.c_[np.full(n, constant), x], y)
        assert model.converged_
        assert_array_equal(model.coef_[:, 0], 0)
        assert_allclose(model.coef_[:, 1:], coef, atol=1e-5)
        then, later = (model.predict_proba(np.c_[np.full(n, constant + years), x]) for years in (0, 1))
        assert_array_equal(then, later)


@pytest.mark.parametrize("C", [1.0, np.inf])
@pytest.mark.parametrize("constant", [1.7e15, 1.7e18, float(2**63)])
def test_one_timestamp_in_all_rows(rng, constant, C):
    """Nanoseconds, or hashes of 64 bits: the other feature is learnt all the same."""
    x = rng.normal(size=(200, 1))
    y = drawn(rng, x, 2)
    model = SoftmaxRegression(C=C, tol=1e-12).fit(np.c_[np.full(200, constant), x], y)
    assert_allclose(model.coef_[0], [0, peer(x, y, C=C).coef_[0, 0]], atol=1e-5)


def test_one_indicator_implies_a_class(rng):
    """statsmodels#3156: where b is 1 all rows are of one class, elsewhere of both."""
    n, marked = 300, 40
    X = pd.DataFrame({"a": rng.normal(size=n), "b": 1.0 * (np.arange(n) < marked)})
    y = np.where(X["b"] == 1, 1, rng.integers(0, 2, n))
    with pytest.warns(ConvergenceWarning, match=rf"separated along b in {marked} of {n} rows"):
        model = SoftmaxRegression(C=np.inf).fit(X, y)
    assert not model.separation_["complete"]
    assert separates(model, X.to_numpy(), y) == {(0, 1): (marked, n)}
    rest = Plain(X.to_numpy()[marked:, :1], y[marked:], C=np.inf).optimum()[0] * (n - marked) / n
    assert -1e-12 <= model.objective_ - rest <= 1e-6
    assert_allclose(SoftmaxRegression(tol=1e-12).fit(X, y).coef_, peer(X, y).coef_, atol=1e-5)


def test_four_rows_that_separate_and_are_collinear():
    """statsmodels#659: x0 and x2 are 1 throughout."""
    X, y = np.array([[1.0, 0, 1], [1, 0, 1], [1, 2, 1], [1, 1, 1]]), np.array([1, 1, 0, 0])
    with pytest.warns(ConvergenceWarning, match="classes 0 and 1 are completely separated along x1"):
        model = SoftmaxRegression(C=np.inf).fit(X, y)
    assert_array_equal(model.coef_[0, [0, 2]], 0)
    assert model.coef_[0, 1] < 0
    assert model.score(X, y) == 1


@pytest.mark.parametrize("K", [2, 3])
def test_seven_weekdays_and_a_weekend(rng, K):
    """statsmodels#8409: eight indicators of rank 7 beside an intercept. Each day's probabilities are its
    shares."""
    day = np.arange(350) % 7
    X = np.c_[np.eye(7)[day], day >= 5]
    y = rng.choice(K, 350, p=[0.5, 0.5] if K == 2 else [0.5, 0.3, 0.2])
    shares = np.array([np.bincount(y[day == i], minlength=K) / 50 for i in range(7)])
    model = SoftmaxRegression(C=np.inf, tol=1e-11).fit(X, y)
    assert model.converged_
    assert model.objective_ == pytest.approx(-np.sum(shares * np.log(shares)) / 7, abs=2e-11)
    assert_allclose(model.predict_proba(X), shares[day], atol=1e-4)


@pytest.mark.parametrize("names", [(False, True), ("no", "yes"), (1, 2), (-1.0, 1.0)])
def test_labels_of_every_kind(rng, names):
    """statsmodels#2181, #9475, #1053: one model, and the labels as they were given."""
    X = rng.normal(size=(120, 2))
    y = drawn(rng, X, 2)
    coef, intercept, _ = free_peer(X, y)
    model = SoftmaxRegression(C=np.inf, tol=1e-12).fit(X, np.array(names)[y])
    assert_array_equal(model.classes_, names)
    assert model.classes_.dtype == np.array(names).dtype
    assert_allclose(model.coef_, coef, atol=1e-5)
    assert_allclose(model.intercept_, intercept, atol=1e-5)
    assert_array_equal(model.predict(X), np.array(names)[(X @ coef[0] + intercept > 0).astype(int)])


def test_admissions(rng):
    """Cross Validated 203740: scikit-learn against statsmodels on marks of several scales and a rank."""
    n = 400
    rank = rng.integers(1, 5, n)
    X = np.c_[20 * rng.integers(11, 41, n), rng.uniform(2.3, 4, n), np.eye(4)[rank - 1][:, 1:]]
    y = (0.002 * X[:, 0] + 0.8 * X[:, 1] - 0.6 * rank - 2.2 + rng.logistic(size=n) > 0).astype(int)
    coef, intercept, _ = free_peer(X, y)
    model = SoftmaxRegression(C=np.inf, tol=1e-13).fit(X, y)
    assert_allclose(model.coef_ * X.std(axis=0), coef * X.std(axis=0), atol=1e-6)
    assert_allclose(model.intercept_, intercept, atol=1e-5)


def test_three_kinds_of_penguins(rng):
    """SauersML/gam#2579: bill, flipper and mass of three kinds that lie apart, made up."""
    centres = np.array([[38.8, 18.3, 190, 3700], [48.8, 18.4, 196, 3730], [47.5, 15.0, 217, 5080]])
    y = np.arange(150) % 3
    X = centres[y] + rng.uniform(-1, 1, (150, 4)) * [4, 1.5, 10, 600]
    names = np.array(["Adelie", "Chinstrap", "Gentoo"])
    is_optimal(SoftmaxRegression().fit(X, names[y]), X, y)
    with pytest.warns(ConvergenceWarning, match="'Adelie' and 'Chinstrap' are completely separated"):
        model = SoftmaxRegression(C=np.inf).fit(X, names[y])
    assert separates(model, X, y) == dict.fromkeys([(0, 1), (0, 2), (1, 2)], (100, 100))


# Motor Trend, 1974, as R's mtcars has it: miles a gallon, cylinders, manual gear.
MPG = "21 21 22.8 21.4 18.7 18.1 14.3 24.4 22.8 19.2 17.8 16.4 17.3 15.2 10.4 10.4 14.7 32.4 30.4 33.9 21.5"
MPG += " 15.5 15.2 13.3 19.2 27.3 26 30.4 15.8 19.7 15 21.4"
CYL = "66468684466888888444488884448684"
MANUAL = "11100000000000000111000001111111"


def test_cylinders_by_a_spline_of_mileage():
    """mclogit#28: 4 cylinders lie wholly apart from 6 and 8, these two from each other only in part."""
    X = SplineTransformer(n_knots=4).fit_transform(np.array(MPG.split(), float)[:, None])
    X, y = np.c_[X, [int(m) for m in MANUAL]], np.array([int(c) for c in CYL])
    with pytest.warns(ConvergenceWarning, match="classes 4 and 8 are completely separated"):
        model = SoftmaxRegression(C=np.inf).fit(X, y)
    pairs = separates(model, X, np.searchsorted([4, 6, 8], y))
    assert pairs[0, 1] == (18, 18)
    assert pairs[0, 2] == (25, 25)
    strict, rows = pairs[1, 2]
    assert 0 < strict < rows == 21


# Collinear tables as people make them; tests/objective/test_null_space.py has more of each.


def tables(rng, n):
    x, kind = rng.normal(size=(n, 3)), np.eye(3)[np.arange(n) % 3]
    shares = rng.dirichlet(np.ones(3), n)
    return {
        "Celsius and Fahrenheit": np.c_[20 + 5 * x[:, 0], 68 + 9 * x[:, 0], x[:, 1]],
        "the dummy trap": np.c_[kind, x[:, 0]],
        "dummies of 0 and 0.1": np.c_[0.1 * kind, x[:, 0]],
        "a and b and their sum": np.c_[x[:, :2], x[:, 0] + x[:, 1]],
        "a column twice": np.c_[x, x[:, 1]],
        "shares of 100": 100 * shares,
        "a column of 0": np.c_[x[:, 0], np.zeros(n), x[:, 1]],
        "a constant": np.c_[x[:, 0], np.full(n, 0.1)],
    }


@pytest.mark.parametrize("kind", tables(np.random.default_rng(0), 6))
@pytest.mark.parametrize("K", [2, 3])
def test_collinear_tables_without_a_penalty(rng, kind, K):
    """A certified optimum each, at any number of rows."""
    for n in (37, 100, 400):
        X = tables(rng, n)[kind]
        y = rng.integers(0, K, n)
        is_optimal(SoftmaxRegression(C=np.inf).fit(X, y), X, y, C=np.inf)


@pytest.mark.parametrize("K", [2, 3])
def test_more_features_than_rows_without_a_penalty(rng, K):
    """Then any labels separate."""
    X, y = rng.normal(size=(37, 50)), np.arange(37) % K
    with pytest.warns(ConvergenceWarning, match="completely separated"):
        model = SoftmaxRegression(C=np.inf).fit(X, y)
    assert set(separates(model, X, y)) == {(a, b) for b in range(K) for a in range(b)}
    assert model.separation_["complete"]


# L1.


@pytest.mark.parametrize("ratio", [1.0, 0.5])
def test_l1_and_elastic_net_on_four_rows(ratio):
    """statsmodels#9428."""
    X, y = np.array([[1.0, 2.0], [2.0, -1.0], [3.0, 0.5], [4.0, 3.0]]), np.array([0, 1, 0, 1])
    model = SoftmaxRegression(C=2.0, l1_ratio=ratio, tol=1e-13).fit(X, y)
    assert model.converged_
    assert model.coef_.any()
    assert l1_conditions(model.coef_, model.intercept_, X, y, 2.0, ratio) < 1e-6


@pytest.mark.parametrize("centred", [False, True])
def test_an_l1_path_on_two_classes(centred):
    """scikit-learn#15903, #18264: on raw and on centred features, which with an intercept are one problem."""
    X, y = (part[:100] for part in load_iris(return_X_y=True))
    table = X - X.mean(axis=0) if centred else X
    first = l1_min_c(table, y)
    model = SoftmaxRegression(l1_ratio=1.0, tol=1e-11)
    path = softmax_path(table, y, first * np.logspace(0, 3, 8), model=model)
    assert path.converged.all()
    assert path.coefs[0].nnz == 0
    for C, coef, intercept in zip(path.Cs, path.coefs, path.intercepts, strict=True):
        dense = coef.toarray()
        shifted = intercept - dense @ X.mean(axis=0) if centred else intercept
        assert l1_conditions(dense, shifted, X, y, C) < 1e-5


@pytest.mark.parametrize("K", [2, 3])
def test_an_l1_penalty_beyond_which_nothing_is_left(rng, K):
    """pyglmnet#311: coefficients are 0, the intercept has the shares."""
    X = rng.normal(size=(100, 4))
    y = drawn(rng, X, K)
    shares = np.bincount(y) / 100
    for below in (1e-6, 0.5):
        model = SoftmaxRegression(C=below * l1_min_c(X, y), l1_ratio=1.0, tol=1e-13).fit(X, y)
        assert_array_equal(model.coef_, 0)
        assert_allclose(model.predict_proba(X[:1])[0], shares, atol=1e-6)


def test_an_l1_path_of_words_and_classes_of_all_sizes(rng):
    """smltar#168, where glmnet gives up with code −99: counts of words, classes of 60 % to 2 %."""
    y = np.repeat(np.arange(4), [120, 50, 26, 4])
    rates = 0.2 * rng.gamma(0.5, 1, (4, 80))
    X = sparse.csr_array(rng.poisson(rates[y]).astype(float))
    path = softmax_path(X, y, 20, model=SoftmaxRegression(l1_ratio=1.0, tol=1e-9))
    assert path.converged.all()
    for i in (0, 5, 10, 15, 19):
        off = l1_conditions(path.coefs[i].toarray(), path.intercepts[i], X.toarray(), y, path.Cs[i])
        assert off < 1e-4
    assert path.coefs[-1].nnz > path.coefs[5].nnz > path.coefs[0].nnz == 0


def test_three_labels_in_turn():
    """sparklyr#748: nine rows, x = 1 to 9. By symmetry the middle class has coefficient 0."""
    X, y = np.arange(1.0, 10)[:, None], np.tile(["a", "b", "c"], 3)
    model = SoftmaxRegression(tol=1e-14).fit(X, y)
    assert_allclose(model.coef_, peer(X, y).coef_, atol=1e-6)
    assert model.coef_[1] == pytest.approx(0, abs=1e-7)
    assert model.coef_[0] == pytest.approx(-model.coef_[2], abs=1e-7)
