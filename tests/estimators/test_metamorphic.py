"""What must not change the optimum, or change it in a known way."""

import warnings

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.exceptions import ConvergenceWarning

from tests.truth.smooth import Plain, softmax_rows
from xent import SoftmaxRegression
from xent.kernels import linear
from xent.solvers import lbfgs

SOLVERS = ["lbfgs", "newton"]


def data(rng, K=3, n=160, d=4):
    """Not separable: labels are drawn, softly."""
    X = rng.normal(size=(n, d)) @ rng.normal(size=(d, d)) + rng.normal(size=d)
    y = np.argmax(0.5 * X @ rng.normal(size=(d, K)) + rng.gumbel(size=(n, K)), axis=1)
    y[: 2 * K] = np.tile(np.arange(K), 2)
    return X, y


def fit(X, y, sample_weight=None, offset=None, **params):
    return SoftmaxRegression(**({"tol": 1e-12} | params)).fit(X, y, sample_weight, offset)


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("soft", [False, True])
@pytest.mark.parametrize("K", [2, 4])
def test_mean_probabilities_are_the_class_shares(rng, K, soft, solver):
    """∂F/∂b = 0. One step along the intercept of class k alone, where F curves by 1/4 at most, lowers F by
    2 (p̄_k − ȳ_k)² at least; so that is at most F − F* ≤ suboptimality_."""
    X, y = data(rng, K)
    target = softmax_rows(rng, len(y), K) if soft else y
    Q = target if soft else np.eye(K)[y]
    s, o = rng.uniform(0, 2, len(y)), rng.normal(size=(len(y), K))
    for tol in (1e-4, 1e-8, 1e-12):
        for C in (0.01, 1.0, np.inf):
            model = fit(X, target, s, o, C=C, tol=tol, solver=solver)
            off = (s @ model.predict_proba(X, o) - s @ Q) / s.sum()
            assert model.converged_
            assert 2 * np.abs(off).max() ** 2 <= model.suboptimality_ + 1e-15
        assert np.abs(off).max() <= np.sqrt(tol / 2) + 1e-12


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("K", [2, 3])
def test_all_rows_twice_is_twice_c(rng, K, solver):
    """The mean loss stays, S doubles: F of [X; X] with C is F of X with 2 C, and with C/2 it is F with C."""
    X, y = data(rng, K)
    XX, yy = np.vstack([X, X]), np.append(y, y)
    once, twice = fit(X, y, C=0.6, solver=solver), fit(XX, yy, C=0.3, solver=solver)
    assert twice.objective_ == pytest.approx(once.objective_, abs=1e-12)
    assert_allclose(twice.coef_, once.coef_, atol=1e-6)
    same_C = fit(XX, yy, C=0.6, solver=solver)
    assert same_C.objective_ == pytest.approx(fit(X, y, C=1.2, solver=solver).objective_, abs=1e-12)
    assert same_C.objective_ < once.objective_ - 1e-6
    weighted = fit(X, y, np.full(len(y), 7.0), C=0.6 / 7, solver=solver)
    assert weighted.objective_ == pytest.approx(once.objective_, abs=1e-12)


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("K", [2, 3])
def test_a_column_twice_shares_its_coefficient(rng, K, solver):
    """w/2 twice costs half of w² once: the model of the column once with half its penalty, v = 1/2."""
    X, y = data(rng, K)
    XX = np.column_stack([X, X[:, :1]])
    twice = fit(XX, y, solver=solver)
    once = fit(X, y, feature_penalty_factor=[0.5, 1, 1, 1], solver=solver)
    assert twice.objective_ == pytest.approx(once.objective_, abs=2e-12)
    assert_allclose(twice.coef_[:, 0], once.coef_[:, 0] / 2, atol=1e-5)
    assert_allclose(twice.coef_[:, 4], once.coef_[:, 0] / 2, atol=1e-5)
    assert_allclose(twice.predict_proba(XX), once.predict_proba(X), atol=1e-6)
    doubled = fit(XX, y, feature_penalty_factor=[2, 1, 1, 1, 2], solver=solver)
    assert_allclose(doubled.predict_proba(XX), fit(X, y, solver=solver).predict_proba(X), atol=1e-6)
    free, free_twice = fit(X, y, C=np.inf, solver=solver), fit(XX, y, C=np.inf, solver=solver)
    assert free_twice.converged_
    assert_allclose(free_twice.predict_proba(XX), free.predict_proba(X), atol=1e-6)
    assert_allclose(free_twice.coef_[:, 0] + free_twice.coef_[:, 4], free.coef_[:, 0], atol=1e-5)


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("C", [0.5, np.inf])
def test_permutations(rng, C, solver):
    X, y = data(rng, 4)
    s, o = rng.uniform(0, 2, len(y)), rng.normal(size=(len(y), 4))
    base = fit(X, y, s, o, C=C, solver=solver)
    classes, rows, columns = rng.permutation(4), rng.permutation(len(y)), rng.permutation(4)
    renamed = fit(X, classes[y], s, o[:, np.argsort(classes)], C=C, solver=solver)
    assert_allclose(renamed.coef_[classes], base.coef_, atol=1e-5)
    assert_allclose(renamed.intercept_[classes], base.intercept_, atol=1e-5)
    shuffled = fit(X[rows], y[rows], s[rows], o[rows], C=C, solver=solver)
    assert_allclose(shuffled.coef_, base.coef_, atol=1e-5)
    turned = fit(X[:, columns], y, s, o, C=C, solver=solver)
    assert_allclose(turned.coef_, base.coef_[:, columns], atol=1e-5)
    values = [m.objective_ for m in (renamed, shuffled, turned)]
    assert_allclose(values, base.objective_, atol=2e-12)


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("K", [2, 3])
def test_without_a_penalty_shifts_scales_and_mixtures_change_no_probability(rng, K, solver):
    X, y = data(rng, K)
    base = fit(X, y, C=np.inf, solver=solver)
    scales, shift, A = 10.0 ** np.array([-6, -1, 2, 5]), 30 * rng.normal(size=4), rng.normal(size=(4, 4))
    for moved in (X * scales, X + shift, (X + shift) * scales, X @ A):
        model = fit(moved, y, C=np.inf, solver=solver, tol=1e-11)
        assert model.converged_
        assert model.objective_ == pytest.approx(base.objective_, abs=2e-11)
        assert_allclose(model.predict_proba(moved), base.predict_proba(X), atol=1e-4)


@pytest.mark.parametrize("solver", SOLVERS)
def test_with_a_penalty_shifts_change_no_probability_and_scales_are_c(rng, solver):
    X, y = data(rng)
    base = fit(X, y, C=0.7, solver=solver)
    shifted = fit(X + 20 * rng.normal(size=4), y, C=0.7, solver=solver)
    assert_allclose(shifted.coef_, base.coef_, atol=1e-5)
    scaled = fit(10 * X, y, C=0.7 / 100, solver=solver)
    assert_allclose(10 * scaled.coef_, base.coef_, atol=1e-5)
    assert scaled.objective_ == pytest.approx(base.objective_, abs=2e-12)


@pytest.mark.parametrize("C", [1e-3, 1.0, 1e3, np.inf])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_every_solver_has_the_same_optimum(rng, C, dtype):
    X, y = data(rng, 4, n=400)
    X = (X * [1, 10, 0.1, 3]).astype(dtype)
    o, s = rng.normal(size=(400, 4)).astype(dtype), rng.uniform(0, 2, 400)
    best, _, _ = Plain(X, y, s, C, offset=o, alpha=0.05).optimum()
    for solver in ("auto", *SOLVERS):
        model = fit(X, y, s, o, C=C, solver=solver, tol=1e-9, label_smoothing=0.05)
        assert model.converged_
        assert best - 1e-13 <= model.objective_ <= best + 1e-9


@pytest.mark.parametrize("K", [2, 3])
@pytest.mark.parametrize("factors", [None, "uneven"])
@pytest.mark.parametrize("solver", SOLVERS)
def test_warm_start_resumes(rng, K, factors, solver):
    X, y = data(rng, K, n=500, d=8)
    u = None if factors is None else np.arange(K) + 0.5
    common = {"C": 50.0, "class_penalty_factor": u, "solver": solver, "tol": 1e-9}
    cold = fit(X, y, **common)
    model = SoftmaxRegression(warm_start=True, max_iter=max(1, cold.n_iter_[0] // 2), **common)
    with pytest.warns(ConvergenceWarning, match="increase max_iter"):
        model.fit(X, y)
    assert not model.converged_
    model.set_params(max_iter=1000).fit(X, y)
    assert model.converged_
    assert model.n_passes_ < cold.n_passes_
    assert model.objective_ == pytest.approx(cold.objective_, abs=2e-9)
    again = model.fit(X, y).n_iter_[0]
    assert again <= 3
    # Coefficients of another problem do not mislead, nor do those of another shape.
    model.set_params(class_penalty_factor=None)
    for XX, yy in ((X[:, ::-1] * 100, (y + 1) % K), (X[:, :3], y)):
        other = model.fit(XX, yy)
        fresh = fit(XX, yy, C=50.0, solver=solver, tol=1e-9)
        assert other.converged_
        assert other.objective_ == pytest.approx(fresh.objective_, abs=2e-9)


@pytest.mark.parametrize("kind", ["labels", "soft", "offset", "weights", "float32", "intercept"])
def test_a_start_from_subsets_ends_at_the_same_optimum(rng, monkeypatch, kind):
    n, d, K = 21_000, 5, 3
    X, y = data(rng, K, n, d)
    X = X.astype(np.float32) if kind == "float32" else X
    target = softmax_rows(rng, n, K) if kind == "soft" else y
    s = rng.uniform(0, 2, n) * (rng.random(n) < 0.9) if kind == "weights" else None
    o = rng.normal(size=(n, K)) if kind == "offset" else None
    sizes, evaluate = [], lbfgs.Objective.evaluate

    def counted(self, theta, **kwargs):
        sizes.append(self.n_rows)
        return evaluate(self, theta, **kwargs)

    monkeypatch.setattr(lbfgs.Objective, "evaluate", counted)
    params = {"solver": "lbfgs", "tol": 1e-9, "fit_intercept": kind != "intercept"}
    subset = fit(X, target, s, o, **params)
    assert min(sizes) < n / 5
    sizes.clear()
    monkeypatch.setattr(lbfgs, "_FEWEST_ROWS", n)
    plain = fit(X, target, s, o, **params)
    assert set(sizes) == {n}
    assert subset.converged_
    assert plain.converged_
    assert subset.objective_ == pytest.approx(plain.objective_, abs=2e-9)
    assert_allclose(subset.predict_proba(X, o), plain.predict_proba(X, o), atol=1e-3)


def test_a_fit_is_repeatable_bit_for_bit(rng):
    X, y = data(rng, 3, 3000)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        for params in ({}, {"solver": "newton"}, {"max_iter": 3, "solver": "lbfgs"}):
            a, b = (SoftmaxRegression(**params).fit(X.astype(np.float32), y) for _ in range(2))
            assert_array_equal(a.coef_, b.coef_)
            assert a.objective_ == b.objective_


@pytest.mark.parametrize("row", [[0, 0, 1], [0.6, 0.1, 0.3]])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_class_in_one_soft_row_of_many(rng, row, dtype):
    """Subsets to start from need not see that row; of three at least one does not."""
    n = 21_000
    X = rng.normal(size=(n, 3)).astype(dtype)
    labels = rng.integers(0, 2, n)
    for place in rng.permutation(n)[:3]:
        Q = np.eye(3)[labels]
        Q[place] = row
        model = fit(X, Q, solver="lbfgs", tol=1e-6)
        best = fit(X.astype(np.float64), Q, solver="newton", tol=1e-10).objective_
        assert model.converged_
        assert best - 1e-10 <= model.objective_ <= best + 1e-6
        assert model.objective_ - model.suboptimality_ <= best


def test_a_sample_of_soft_rows_has_every_class_in_its_share(rng):
    Q = np.eye(3)[rng.integers(0, 2, 20_000)]
    few = rng.permutation(len(Q))[:12]
    Q[few] = [0.2, 0.2, 0.6]
    part = linear.Batch(rng.normal(size=(len(Q), 2)), Q).sample(2000, 8)
    assert part.shape[0] == pytest.approx(2000, abs=10)
    assert (part.y[:, 2] > 0).sum() == 8
    assert_allclose(part.weight @ part.y, Q.sum(axis=0), rtol=0.01)


@pytest.mark.parametrize("share", [1e-12, 1e-20, 1e-300])
@pytest.mark.parametrize("solver", SOLVERS)
def test_a_class_of_hardly_any_weight_is_the_same_in_rows_and_labels(rng, share, solver):
    X, y = data(rng)
    s = np.where(y == 2, share, 1.0)
    hard, soft = (fit(X, target, s, solver=solver, tol=1e-6) for target in (y, np.eye(3)[y]))
    assert hard.converged_
    assert soft.converged_
    assert soft.objective_ == pytest.approx(hard.objective_, abs=2e-6)
    Q = np.column_stack([np.eye(2)[y % 2], np.full(len(y), share)])
    two = fit(X, y % 2, C=2.0, solver=solver)  # which has the penalty of three classes, one of them never
    assert fit(X, Q, solver=solver, tol=1e-6).objective_ == pytest.approx(two.objective_, abs=2e-6)
