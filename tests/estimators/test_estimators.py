"""SoftmaxRegression as users of LogisticRegression know it, and what it adds."""

import copy
import threading
import warnings

import numpy as np
import pandas as pd
import pytest
import scipy.sparse
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer, load_digits, load_iris, load_wine
from sklearn.exceptions import ConvergenceWarning, DataConversionWarning, NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from tests.truth.peers import want_weighted_balance
from xent import SoftmaxRegression, reference
from xent.kernels import linear
from xent.kernels import native as kernels
from xent.kernels.threads import _libraries, blas


@pytest.mark.parametrize("K", [2, 3, 5])
@pytest.mark.parametrize("intercept", [True, False])
@pytest.mark.parametrize("weighted", [True, False])
@pytest.mark.parametrize("class_weight", [None, "balanced", {0: 2.0, 1: 0.5}])
@pytest.mark.parametrize("solver", ["lbfgs", "newton"])
def test_coefficients_equal_newton_cholesky(rng, K, intercept, weighted, class_weight, solver):
    X = rng.normal(size=(200, 6)) + rng.normal(size=6)
    y = rng.integers(0, K, 200)
    s = rng.uniform(0, 3, 200) if weighted else None
    common = {"C": 0.7, "fit_intercept": intercept, "class_weight": class_weight}
    want_weighted_balance(common["class_weight"], s)
    theirs = LogisticRegression(solver="newton-cholesky", tol=1e-12, **common).fit(X, y, s)
    ours = SoftmaxRegression(solver=solver, tol=1e-13, **common).fit(X, y, s)
    assert ours.coef_.shape == theirs.coef_.shape == ((1, 6) if K == 2 else (K, 6))
    assert_allclose(ours.coef_, theirs.coef_, atol=1e-5)
    assert_allclose(ours.intercept_, theirs.intercept_, atol=1e-5)
    assert_allclose(ours.predict_proba(X), theirs.predict_proba(X), atol=1e-6)
    assert_allclose(ours.decision_function(X), theirs.decision_function(X), atol=1e-5)
    assert_array_equal(ours.predict(X), theirs.predict(X))


def test_binary_at_2c_is_the_two_row_softmax_at_c(rng):
    X, y = rng.normal(size=(100, 3)), rng.integers(0, 2, 100)
    model = SoftmaxRegression(C=2 * 0.3, tol=1e-13).fit(X, y)
    w, b = model.coef_[0], model.intercept_[0]
    W, c = np.stack([-w, w]) / 2, np.array([-b, b]) / 2
    _, dW, db = reference.softmax_loss(W, X, y, 1 / (0.3 * 100), b=c)
    assert_allclose(dW, 0, atol=1e-8)
    assert_allclose(db, 0, atol=1e-8)


@pytest.mark.parametrize("load", [load_digits, load_wine, load_iris, load_breast_cancer])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_raw_data_without_a_warning(load, dtype):
    """The objective is what the reference makes of the fitted coefficients, and within the certificate."""
    X, y = load(return_X_y=True)
    X = X.astype(dtype)
    model = SoftmaxRegression().fit(X, y)
    assert model.converged_
    assert model.suboptimality_ <= 1e-6
    assert model.coef_.dtype == model.intercept_.dtype == dtype
    assert model.predict_proba(X).dtype == dtype
    W, b = (a.astype(np.float64) for a in (model.coef_, model.intercept_))
    penalty = 1 / len(y)
    if len(W) == 1:
        W, b, penalty = np.vstack([-W, W]) / 2, np.append(-b, b) / 2, 2 / len(y)
    value, _, _ = reference.softmax_loss(W, X.astype(np.float64), y, penalty, b=b)
    assert model.objective_ == pytest.approx(float(value), rel=1e-10)


def test_where_scikit_learn_stops_short():
    """Raw digits, C = 1: the default is 7.6 % above the optimum, with a warning; 5 % without one."""
    X, y = load_digits(return_X_y=True)
    best = SoftmaxRegression(solver="newton").fit(X, y).objective_

    def above(model):
        return reference.softmax_loss(model.coef_, X, y, 1 / len(y), b=model.intercept_)[0] / best - 1

    with pytest.warns(ConvergenceWarning):
        assert above(LogisticRegression().fit(X, y)) == pytest.approx(0.076, abs=0.01)
    assert 0.03 < above(LogisticRegression(solver="newton-cg").fit(X, y)) < 0.07


def test_log_probabilities_are_finite_where_scikit_learn_has_minus_infinity(rng):
    X, y = load_iris(return_X_y=True)
    model = SoftmaxRegression().fit(X, y)
    far = X * 1e4
    logs = model.predict_log_proba(far)
    assert np.isfinite(logs).all()
    with np.errstate(divide="ignore"):
        assert np.isinf(np.log(model.predict_proba(far))).any()
    assert_allclose(np.exp(model.predict_log_proba(X)), model.predict_proba(X), rtol=1e-12)
    binary = SoftmaxRegression().fit(X[:100], y[:100])
    assert np.isfinite(binary.predict_log_proba(far)).all()


def test_labels_of_every_kind(rng):
    X = rng.normal(size=(60, 3))
    for labels in (["b", "a", "c"], [True, False], [-1, 7, 3], np.array(["x", "y"], dtype=object)):
        y = np.asarray(labels)[rng.integers(0, len(labels), 60)]
        model = SoftmaxRegression().fit(X, y)
        assert_array_equal(model.classes_, np.unique(y))
        assert set(model.predict(X)) <= set(labels)
        assert model.predict(X).dtype == model.classes_.dtype


def test_frames_lists_and_layouts_give_the_same_fit(rng):
    X, y = rng.normal(size=(90, 4)), rng.integers(0, 3, 90)
    names = list("abcd")
    base = SoftmaxRegression(tol=1e-12).fit(X, y)
    for table in (X.tolist(), np.asfortranarray(X), pd.DataFrame(X, columns=names), X[::-1][::-1]):
        assert_allclose(SoftmaxRegression(tol=1e-12).fit(table, y).coef_, base.coef_, atol=1e-8)
    framed = SoftmaxRegression().fit(pd.DataFrame(X, columns=names), y)
    assert_array_equal(framed.feature_names_in_, names)
    with pytest.warns(UserWarning, match="X does not have valid feature names"):
        framed.predict(X)


@pytest.mark.parametrize("kind", [scipy.sparse.csr_matrix, scipy.sparse.csr_array, scipy.sparse.coo_matrix])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_sparse_is_dense(rng, kind, dtype):
    X = (rng.normal(size=(120, 9)) * (rng.random((120, 9)) < 0.3)).astype(dtype)
    y = rng.integers(0, 3, 120)
    dense, sparse = (SoftmaxRegression(tol=1e-9).fit(A, y) for A in (X, kind(X)))
    assert_allclose(sparse.coef_, dense.coef_, atol=1e-4)
    assert sparse.suboptimality_ <= 1e-9 or dtype == np.float32
    assert_allclose(sparse.predict_proba(kind(X)), dense.predict_proba(X), atol=1e-4)
    assert sparse.coef_.dtype == dtype


def test_without_the_extension_the_fit_is_the_same(rng, monkeypatch):
    X, y, s = rng.normal(size=(150, 5)), rng.integers(0, 4, 150), rng.uniform(0, 2, 150)
    native = SoftmaxRegression(tol=1e-11).fit(X, y, s)
    monkeypatch.setattr(kernels, "HAS_NATIVE", False)
    assert_allclose(SoftmaxRegression(tol=1e-11).fit(X, y, s).coef_, native.coef_, atol=1e-8)


def test_metamorphic(rng):
    """[X; X] halves C, weights are repetitions, classes and features can be permuted."""
    X, y = rng.normal(size=(80, 4)), rng.integers(0, 3, 80)
    fit = lambda X, y, s=None, C=1.0: SoftmaxRegression(C=C, tol=1e-13).fit(X, y, s)  # noqa: E731
    base = fit(X, y)
    assert np.abs(base.coef_).min() > 1e-3
    twice = fit(np.vstack([X, X]), np.append(y, y), C=0.5)
    assert_allclose(twice.coef_, base.coef_, atol=1e-6)
    assert_allclose(fit(X, y, np.full(80, 2.0), 0.5).coef_, base.coef_, atol=1e-6)
    s = rng.integers(0, 4, 80)
    assert_allclose(
        fit(X, y, s.astype(float)).coef_, fit(np.repeat(X, s, axis=0), np.repeat(y, s)).coef_, atol=1e-6
    )
    swap = np.array([2, 0, 1])
    assert_allclose(fit(X, swap[y]).coef_[swap], base.coef_, atol=1e-6)
    assert_allclose(fit(X[:, ::-1], y).coef_[:, ::-1], base.coef_, atol=1e-6)
    assert_allclose(base.coef_.sum(axis=0), 0, atol=1e-14)
    assert_allclose(fit(X + 100.0, y).coef_, base.coef_, atol=1e-6)
    # with a free intercept the mean prediction is the class share
    assert_allclose(base.predict_proba(X).mean(axis=0), np.bincount(y) / 80, atol=1e-7)


def test_warm_start(rng):
    X, y = load_digits(return_X_y=True)
    model = SoftmaxRegression(warm_start=True, solver="lbfgs").fit(X, y)
    cold = model.n_passes_
    model.fit(X, y)
    assert model.n_passes_ < cold / 4
    model.fit(X[:, :30], y)  # another shape starts anew
    assert model.coef_.shape == (10, 30)
    best = model.objective_
    for bad in (1e2 * rng.normal(size=(10, 30)), np.full((10, 30), 1e308), np.full((10, 30), np.nan)):
        model.coef_ = bad  # worse than no start: it is not used
        assert model.fit(X[:, :30], y).objective_ == pytest.approx(best, abs=2e-6)
        assert model.converged_
    model.intercept_ += 5.0  # the same model; the next fit takes the common shift out
    assert abs(model.fit(X[:, :30], y).intercept_.sum()) < 1e-10
    binary = SoftmaxRegression(warm_start=True, solver="lbfgs").fit(X[:400], y[:400] > 4)
    cold = binary.n_passes_
    assert binary.sparsify().fit(X[:400], y[:400] > 4).n_passes_ < cold / 2


def test_it_works_where_estimators_work(rng):
    X, y = load_wine(return_X_y=True)
    search = GridSearchCV(
        make_pipeline(StandardScaler(), SoftmaxRegression()),
        {"softmaxregression__C": [0.01, 1.0]},
        scoring="neg_log_loss",
    ).fit(X, y)
    assert search.best_score_ > -0.1
    assert clone(SoftmaxRegression(C=3.0)).get_params()["C"] == 3.0
    model = SoftmaxRegression().fit(X, y)
    assert model.score(X, y) > 0.95
    assert log_loss(y, model.predict_proba(X)) < 0.06
    assert isinstance(model.sparsify().coef_, scipy.sparse.csr_matrix)
    p = model.predict_proba(X)
    assert_allclose(p, model.densify().predict_proba(X), rtol=1e-12)
    assert "SoftmaxRegression" in model._repr_html_()


def test_figures_of_a_fit(capsys):
    X, y = load_wine(return_X_y=True)
    model = SoftmaxRegression(solver="lbfgs", verbose=1).fit(X, y)
    lines = capsys.readouterr().out.splitlines()
    passes = [int(line.split()[1]) for line in lines]
    assert set(passes) >= set(model.history_["n_passes"][:-1].tolist())  # a line a pass
    assert passes == sorted(set(passes))
    assert passes[-1] <= model.n_passes_
    assert " objective 0.062235" in lines[-1]
    assert lines[-1].endswith("nats of the optimum")
    assert model.n_iter_.dtype == np.int32
    assert model.n_iter_.shape == (1,)
    assert model.solver_ == "lbfgs"
    assert model.history_["objective"][-1] == model.objective_
    assert model.history_["n_passes"][-1] == model.n_passes_
    assert (np.diff(model.history_["suboptimality"]) <= 0).all()


def test_a_fit_that_stops_short_says_how_far_it_is():
    X, y = load_digits(return_X_y=True)
    with pytest.warns(
        ConvergenceWarning, match=r"lbfgs failed to converge after 5 iteration\(s\): within"
    ) as w:
        model = SoftmaxRegression(solver="lbfgs", max_iter=5).fit(X, y)
    assert "increase max_iter" in str(w[0].message)
    assert not model.converged_
    assert model.suboptimality_ > 1e-6
    assert model.n_iter_[0] == 5


def test_float32_coefficients_are_certified_as_rounded(rng):
    """Features of size 1e6 with a small signal: float32 cannot hold the optimum to 1e-12, and says so."""
    X = (rng.normal(size=(300, 3)) + 1e5).astype(np.float32)
    y = rng.integers(0, 3, 300)
    with pytest.warns(ConvergenceWarning, match="rounding the coefficients to float32 cost the rest"):
        model = SoftmaxRegression(C=1e6, tol=1e-9).fit(X, y)
    assert not model.converged_
    best = SoftmaxRegression(C=1e6, tol=1e-12).fit(X.astype(np.float64), y)
    assert model.suboptimality_ >= model.objective_ - best.objective_ - 1e-12


def iris_with(**changes):
    X, y = load_iris(return_X_y=True)
    return {"X": X, "y": y} | changes


NAN, INF = iris_with()["X"].copy(), iris_with()["X"].copy()
NAN[3, 1], INF[3, 1] = np.nan, np.inf
WEIGHT = np.ones(150)


@pytest.mark.parametrize(
    ("params", "changes", "error", "message"),
    [
        (
            {},
            {"X": NAN},
            ValueError,
            r"Input X contains NaN. First in row 3, column 1.\nSoftmaxRegression does",
        ),
        (
            {},
            {"X": INF},
            ValueError,
            r"a value too large for dtype.*\). First in row 3, column 1.",
        ),
        ({}, {"X": np.zeros(150)}, ValueError, "Expected 2D array, got 1D array instead"),
        ({}, {"X": np.zeros((150, 2, 2))}, ValueError, "Found array with dim 3"),
        ({}, {"X": np.zeros((0, 3)), "y": []}, ValueError, r"Found array with 0 sample\(s\)"),
        ({}, {"X": np.zeros((150, 0))}, ValueError, r"Found array with 0 feature\(s\)"),
        ({}, {"y": np.zeros(149)}, ValueError, r"inconsistent numbers of samples: \[150, 149\]"),
        ({}, {"y": None}, ValueError, "requires y to be passed, but the target y is None"),
        ({}, {"y": np.ones((150, 3))}, ValueError, "y: row 0 sums to 3; probability rows must be"),
        ({}, {"y": np.linspace(0, 1, 150)}, ValueError, "Unknown label type: continuous"),
        ({}, {"y": np.r_[np.zeros(149), np.nan]}, ValueError, "Input y contains NaN"),
        (
            {},
            {"y": np.zeros(150)},
            ValueError,
            "at least 2 classes in the data, but the data contains only one",
        ),
        (
            {},
            {"y": np.array(["a"] * 149 + [3], dtype=object)},
            ValueError,
            r"Unknown label type: unknown. y mixes labels of types \['int', 'str'\] \(.* y\[149\] = 3\)",
        ),
        ({}, {"X": [["a", "b"]] * 150}, ValueError, "could not convert string to float"),
        ({}, {"X": np.zeros((150, 2), complex)}, ValueError, "Complex data not supported"),
        ({}, {"sample_weight": -WEIGHT}, ValueError, r"sample_weight\[0\] = -1: .* finite and ≥ 0"),
        ({}, {"sample_weight": WEIGHT * 1e308}, ValueError, "sample_weight: the weights add up to infinity"),
        ({}, {"sample_weight": WEIGHT * 0}, ValueError, "at least one non-zero number|is 0 in every row"),
        ({}, {"sample_weight": WEIGHT[:5]}, ValueError, r"sample_weight.shape == \(5,\), expected \(150,\)!"),
        ({"class_weight": {0: 0.0, 1: 0, 2: 0}}, {}, ValueError, "class_weight is 0 in every row"),
        ({"class_weight": {0: -1.0}}, {}, ValueError, "class_weight: weights must be finite and ≥ 0"),
        ({"class_weight": {7: 1.0}}, {}, ValueError, r"The classes, \[0, 1, 2\], are not in class_weight"),
        (
            {"C": -1},
            {},
            ValueError,
            r"The 'C' parameter of SoftmaxRegression must be a float .* Got -1 instead",
        ),
        ({"C": 0}, {}, ValueError, r"in the range \(0.0, inf\]. Got 0 instead"),
        ({"C": np.nan}, {}, ValueError, "Got nan instead"),
        ({"C": "1"}, {}, ValueError, "Got '1' instead"),
        ({"tol": 0.0}, {}, ValueError, "The 'tol' parameter"),
        ({"max_iter": 0}, {}, ValueError, "The 'max_iter' parameter"),
        ({"max_iter": 1.5}, {}, ValueError, "The 'max_iter' parameter"),
        (
            {"solver": "foo"},
            {},
            ValueError,
            "a str among {'auto', 'lbfgs', 'newton'}, or .* Got 'foo'",
        ),
        ({"class_weight": "even"}, {}, ValueError, "The 'class_weight' parameter"),
        (
            {"l1_ratio": 1.5},
            {},
            ValueError,
            r"'l1_ratio' parameter of SoftmaxRegression must be a float in the range \[0.0, 1.0\]. Got 1.5",
        ),
        ({"l1_ratio": np.nan}, {}, ValueError, "Got nan instead"),
        ({"grouped": "yes"}, {}, ValueError, "'grouped' parameter .* an instance of 'bool'. Got 'yes'"),
        ({"bounds": 3.0}, {}, ValueError, r"must be a pair \(lower, upper\) or None. Got 3.0 instead"),
        ({"bounds": (0, 1, 2)}, {}, ValueError, r"must be a pair \(lower, upper\) or None"),
        (
            {"bounds": (0, [[1] * 4, [1] * 4, [1, 1, 1, -1]])},
            {},
            ValueError,
            r"bounds: for class .*2.* and feature .*3.* lower = 0 and upper = -1 leave no finite coefficient",
        ),
        (
            {"bounds": ([0, np.nan, 0, 0], 1)},
            {"X": pd.DataFrame(iris_with()["X"], columns=list("abcd")), "y": np.repeat(list("uvw"), 50)},
            ValueError,
            "for class .*'u'.* and feature 'b' lower = nan and upper = 1",
        ),
        ({"bounds": (np.inf, np.inf)}, {}, ValueError, "lower = inf and upper = inf leave no finite"),
        ({"bounds": (np.zeros(3), 1)}, {}, ValueError, r"lower has shape \(3,\); .* coef_'s \(3, 4\)"),
        ({"bounds": (0, ["a"])}, {}, ValueError, "bounds: upper must be numbers, got dtype <U1"),
        ({"grouped": True, "bounds": (0, 1)}, {}, ValueError, "group norm within bounds has no closed form"),
        (
            {"grouped": True, "class_penalty_factor": {0: 2.0}},
            {},
            ValueError,
            "'class_penalty_factor' is given: the norm of a group runs over all classes",
        ),
    ],
)
def test_bad_input_is_refused_before_any_work(monkeypatch, params, changes, error, message):
    def no_work(*_):
        raise AssertionError("the data were read before the error")

    monkeypatch.setattr(linear, "moments", no_work)
    model = SoftmaxRegression(**params)
    with pytest.raises(error, match=message):
        model.fit(**iris_with(**changes))
    assert not hasattr(model, "coef_")


def test_prediction_errors():
    X, y = load_iris(return_X_y=True)
    with pytest.raises(NotFittedError, match="This SoftmaxRegression instance is not fitted yet"):
        SoftmaxRegression().predict(X)
    model = SoftmaxRegression().fit(X, y)
    with pytest.raises(ValueError, match="X has 2 features, but SoftmaxRegression is expecting 4 features"):
        model.predict(X[:, :2])
    with pytest.raises(ValueError, match="Input X contains NaN"):
        model.predict(NAN)
    with pytest.warns(DataConversionWarning, match="A column-vector y was passed"):
        SoftmaxRegression().fit(X, y[:, None])


def test_a_failed_fit_leaves_the_last_model():
    X, y = load_iris(return_X_y=True)
    model = SoftmaxRegression().fit(X, y)
    before = copy.deepcopy(model)
    for labels, weight in ((y + 5, -WEIGHT), (np.full(150, 9), None)):
        with pytest.raises(ValueError):
            model.fit(X, labels, weight)
        assert_array_equal(model.coef_, before.coef_)
        assert_array_equal(model.predict(X), before.predict(X))


def test_blas_threads_are_given_back(rng):
    X, y = rng.normal(size=(300, 5)), rng.integers(0, 3, 300)
    before = [lib.num_threads for lib in _libraries()]
    try:
        for lib in _libraries():
            lib.set_num_threads(2)
        given = [lib.num_threads for lib in _libraries()]  # 1 where a library brought a BLAS without threads
        assert 2 in given
        workers = [threading.Thread(target=SoftmaxRegression().fit, args=(X, y)) for _ in range(8)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        assert [lib.num_threads for lib in _libraries()] == given
        with blas("one"):
            assert {lib.num_threads for lib in _libraries()} == {1}
            with blas("all"):
                assert [lib.num_threads for lib in _libraries()] == given
            with blas("one"):
                pass
            assert {lib.num_threads for lib in _libraries()} == {1}
    finally:
        for lib, threads in zip(_libraries(), before, strict=True):
            lib.set_num_threads(threads)


def test_no_warning_of_any_kind_on_a_plain_fit():
    X, y = load_digits(return_X_y=True)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for C in (1e-6, 1e-2, 1.0, 1e4):
            assert SoftmaxRegression(C=C).fit(X, y).converged_


def test_float16_rows_are_never_copied_to_a_wider_table(rng):
    """The same optimum as on the same numbers in float64; coef_ in float32."""
    X = rng.normal(size=(300, 6)).astype(np.float16)
    y = rng.integers(0, 3, 300)
    half, wide = SoftmaxRegression(tol=1e-9).fit(X, y), SoftmaxRegression(tol=1e-9).fit(X.astype("d"), y)
    assert half.coef_.dtype == np.float32
    assert_allclose(half.coef_, wide.coef_, atol=1e-4)
    assert_allclose(half.predict_proba(X), wide.predict_proba(X.astype("d")), atol=1e-5)
