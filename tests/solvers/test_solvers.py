"""Every solver finds the same certified optimum, and one that cannot says so."""

import dataclasses
import itertools

import numpy as np
import pytest
from numpy.testing import assert_allclose
from sklearn.datasets import load_digits, load_iris, load_wine

from xent.data import InMemory
from xent.kernels import linear
from xent.objective.ridge import Objective
from xent.solvers import LBFGS, Newton, Result, Settings, choose
from xent.solvers.base import Run
from xent.solvers.metric import Kronecker

DIGITS_OPTIMUM = 17.0323521816  # n·F*, agreed by several solvers; scikit-learn newton-cholesky among them


def objective_of(load, C=1.0, **kwargs):
    X, y = load(return_X_y=True)
    n = len(y)
    return Objective.of(
        InMemory(linear.Batch(X, y.astype(np.int64))), int(y.max()) + 1, 1 / (C * n), **kwargs
    ), n


def test_digits_by_lbfgs():
    objective, n = objective_of(load_digits)
    solution = LBFGS(Settings(tol=5e-8)).solve(objective, objective.start())
    assert solution.result is Result.CERTIFIED
    assert DIGITS_OPTIMUM - 1e-9 <= n * solution.value <= 17.03236
    assert solution.value - solution.lower_bound <= 5e-8
    assert objective.n_passes <= 130


def test_the_balanced_dual_certifies_where_no_hessian_fits(monkeypatch):
    """Without the Newton steps on the intercept alone this takes 147 passes."""
    monkeypatch.setattr("xent.objective.ridge.MAX_HESSIAN", 0)
    objective, _ = objective_of(load_digits)
    solution = LBFGS(Settings()).solve(objective, objective.start())
    assert solution.result is Result.CERTIFIED
    assert objective.n_passes <= 100


def test_digits_by_newton():
    objective, n = objective_of(load_digits)
    solution = Newton(Settings()).solve(objective, objective.start())
    assert solution.result is Result.CERTIFIED
    assert n * solution.value == pytest.approx(DIGITS_OPTIMUM, abs=1e-6)
    assert solution.n_iter <= 20


@pytest.mark.parametrize("solver", [LBFGS, Newton])
def test_wine(solver):
    objective, _ = objective_of(load_wine)
    solution = solver(Settings(tol=5e-9)).solve(objective, objective.start())
    assert solution.value == pytest.approx(0.06223572, abs=1e-8)


@pytest.mark.parametrize("C", [1e-2, 1.0, 1e4])
@pytest.mark.parametrize("intercept", [True, False])
@pytest.mark.parametrize("weighted", [True, False])
def test_solvers_agree(rng, C, intercept, weighted):
    X = rng.normal(size=(150, 7)) @ np.diag(10.0 ** np.linspace(-2, 2, 7)) + 5
    y = rng.integers(0, 4, 150)
    s = rng.uniform(0, 2, 150) if weighted else None
    total = 150 if s is None else s.sum()
    found = []
    for solver in (LBFGS, Newton):
        objective = Objective.of(InMemory(linear.Batch(X, y, s)), 4, 1 / (C * total), fit_intercept=intercept)
        solution = solver(Settings(tol=1e-12)).solve(objective, objective.start())
        assert solution.result is Result.CERTIFIED
        found.append(solution.value)
    assert found[0] == pytest.approx(found[1], abs=2e-12)


def test_batches_are_one_table(rng):
    X, y = rng.normal(size=(300, 5)), rng.integers(0, 3, 300)
    whole = Objective.of(InMemory(linear.Batch(X, y)), 3, 0.01)
    split = Objective.of(
        InMemory(*(linear.Batch(X[i : i + 77], y[i : i + 77]) for i in range(0, 300, 77))), 3, 0.01
    )
    for solver in (LBFGS, Newton):
        a, b = (solver(Settings(tol=1e-12)).solve(o, o.start()) for o in (whole, split))
        assert_allclose(a.theta, b.theta, atol=1e-7)


def test_sparse_and_wide_take_the_diagonal_metric(rng, monkeypatch):
    import scipy.sparse

    from xent.solvers import metric

    X = scipy.sparse.random(300, 40, 0.2, format="csr", random_state=0)
    y = rng.integers(0, 3, 300)
    dense = Objective.of(InMemory(linear.Batch(X.toarray(), y)), 3, 1e-3)
    best = LBFGS(Settings(tol=1e-11)).solve(dense, dense.start())
    for limit in (2048, 10):
        monkeypatch.setattr(metric, "_MAX_SIZE", limit)
        objective = Objective.of(InMemory(linear.Batch(X, y)), 3, 1e-3)
        solution = LBFGS(Settings(tol=1e-9)).solve(objective, objective.start())
        assert solution.result is Result.CERTIFIED
        assert solution.value == pytest.approx(best.value, abs=2e-9)


def test_metric_is_the_inverse_it_says(rng):
    X, y = rng.normal(size=(200, 4)) @ rng.normal(size=(4, 4)), rng.integers(0, 3, 200)
    objective = Objective.of(InMemory(linear.Batch(X, y)), 3, 0.1)
    metric = Kronecker(objective)
    theta = rng.normal(size=objective.shape)
    metric.refresh(objective, theta)
    sigma = objective.loss.class_curvature(theta)
    A = np.zeros((5, 5))
    A[:4, :4], A[4, 4] = objective.loss.feature_curvature, 1.0
    M = np.kron(sigma, A) + np.diag(objective.penalties.ravel())
    G = rng.normal(size=(3, 5))
    G -= G.mean(axis=0)
    assert_allclose(metric.solve(G), (np.linalg.pinv(M) @ G.reshape(-1)).reshape(3, 5), atol=1e-9)
    assert_allclose(metric.solve_intercept(G[:, -1]), np.linalg.pinv(sigma) @ G[:, -1], atol=1e-12)


@pytest.mark.parametrize("intercept", [True, False])
def test_metric_of_fewer_rows_than_features(rng, intercept):
    X, y = rng.normal(size=(12, 30)), np.arange(12) % 3
    objective = Objective.of(InMemory(linear.Batch(X, y)), 3, 0.1, fit_intercept=intercept)
    metric = Kronecker(objective)
    theta = rng.normal(size=objective.shape)
    metric.refresh(objective, theta)
    sigma = objective.loss.class_curvature(theta)
    A = np.eye(objective.shape[1])
    A[:30, :30] = objective.loss.feature_curvature
    M = np.kron(sigma, A) + np.diag(objective.penalties.ravel())
    G = rng.normal(size=objective.shape)
    G -= G.mean(axis=0)
    want = (np.linalg.pinv(M) @ G.reshape(-1)).reshape(G.shape)
    assert_allclose(metric.solve(G), want, atol=1e-9)


def test_many_classes_take_the_diagonal_of_their_curvature(rng, monkeypatch):
    monkeypatch.setattr("xent.solvers.metric._MAX_CLASSES", 10)
    X, y = rng.normal(size=(400, 5)), np.arange(400) % 12
    objective = Objective.of(InMemory(linear.Batch(X, y)), 12, 1 / 400)
    theta = objective.without_shift(rng.normal(size=objective.shape))
    assert_allclose(
        objective.loss.class_variance(theta), np.diag(objective.loss.class_curvature(theta)), rtol=1e-12
    )
    fast, exact = (s(Settings(tol=1e-9)).solve(objective, objective.start()) for s in (LBFGS, Newton))
    assert fast.result is exact.result is Result.CERTIFIED
    assert fast.value == pytest.approx(exact.value, abs=2e-9)


def test_wide_tables_agree_with_newton(rng):
    X, y = rng.normal(size=(80, 200)) + 1, np.arange(80) % 3
    for C in (0.01, 1.0, 100.0):
        objective = Objective.of(InMemory(linear.Batch(X, y)), 3, 1 / (C * 80))
        fast, exact = (s(Settings(tol=1e-10)).solve(objective, objective.start()) for s in (LBFGS, Newton))
        assert fast.result is exact.result is Result.CERTIFIED
        assert fast.value == pytest.approx(exact.value, abs=2e-10)


def test_newton_step_solves_the_system(rng):
    X, y = rng.normal(size=(100, 3)), rng.integers(0, 3, 100)
    for penalty in (0.1, 0.0):
        objective = Objective.of(InMemory(linear.Batch(X, y)), 3, penalty)
        at = objective.evaluate(objective.without_shift(rng.normal(size=objective.shape)))
        step = objective.newton_step(at)
        h = 1e-6
        change = objective.evaluate(at.theta + h * step.direction).gradient - at.gradient
        assert_allclose(change / h, -at.gradient, atol=1e-5)
        assert step.decrement**2 == pytest.approx(-np.sum(at.gradient * step.direction), rel=1e-12)


def test_no_penalty_and_collinear_features(rng):
    """The Hessian is singular; the optimum is found and certified all the same."""
    X = rng.normal(size=(200, 3))
    X = np.column_stack([X, X[:, 0], np.full(200, 7.0)])
    y = rng.integers(0, 3, 200)
    plain = Objective.of(InMemory(linear.Batch(np.ascontiguousarray(X[:, :3]), y)), 3, 0.0)
    best = Newton(Settings(tol=1e-12)).solve(plain, plain.start())
    for solver in (LBFGS, Newton):
        objective = Objective.of(InMemory(linear.Batch(X, y)), 3, 0.0)
        solution = solver(Settings(tol=1e-9)).solve(objective, objective.start())
        assert solution.result is Result.CERTIFIED
        assert solution.value == pytest.approx(best.value, abs=2e-9)


@pytest.mark.parametrize("solver", [LBFGS, Newton])
@pytest.mark.parametrize("scale", [1e-140, 1e-20, 1e7, 1e20, 1e100, 1e150])
def test_any_scale_of_the_features(rng, solver, scale):
    """Without a penalty the scale is nothing; with one, large features leave it without effect."""
    X, y = rng.normal(size=(100, 3)) + 1, rng.integers(0, 3, 100)
    unpenalised = Objective.of(InMemory(linear.Batch(X, y)), 3, 0.0)
    best = Newton(Settings(tol=1e-12)).solve(unpenalised, unpenalised.start()).value
    for penalty in (0.0, 0.01) if scale > 1e6 else (0.0,):
        objective = Objective.of(InMemory(linear.Batch(X * scale, y)), 3, penalty)
        solution = solver(Settings(tol=1e-9)).solve(objective, objective.start())
        assert solution.result is Result.CERTIFIED
        assert solution.value == pytest.approx(best, abs=1e-9 if penalty == 0 else 1e-8)


@pytest.mark.parametrize("solver", [LBFGS, Newton])
def test_a_column_is_not_zero_because_its_squares_are(rng, solver):
    """Its entries cancel within each class too, so that every sum of it is 0; it still separates a little."""
    signs, y = np.tile([1.0, -1.0], 100), np.repeat([0, 1], 100)
    other = signs + rng.normal(size=200) + 0.7 * y
    whole = Objective.of(InMemory(linear.Batch(np.column_stack([signs, other]), y)), 2, 0.0)
    best = Newton(Settings(tol=1e-12)).solve(whole, whole.start()).value
    lost = Objective.of(InMemory(linear.Batch(np.column_stack([1e-170 * signs, other]), y)), 2, 0.0)
    solution = solver(Settings(max_iter=100)).solve(lost, lost.start())
    assert solution.value > best + 1e-3
    assert solution.lower_bound <= best


def test_repeated_rows_of_a_wide_table_without_a_penalty(rng):
    """Large coefficients pick up a shift by rounding; 50 iterations at a standstill are enough."""
    for seed in range(4):
        draw = np.random.default_rng(seed)
        X = 10 * draw.normal(size=(6, 40))[draw.integers(0, 6, 10)]
        X[:, :5] = 3.0
        y = np.append(np.arange(5), draw.integers(0, 5, 5))
        objective = Objective.of(InMemory(linear.Batch(X, y)), 5, 0.0)
        solution = LBFGS(Settings()).solve(objective, objective.start())
        assert np.isfinite(solution.value)
        assert solution.n_iter < 500


@pytest.mark.parametrize("solver", [LBFGS, Newton])
def test_features_whose_squares_are_lost_are_never_certified(rng, solver):
    X, y = rng.normal(size=(100, 3)), rng.integers(0, 3, 100)
    small = Objective.of(InMemory(linear.Batch(X * 1e-300, y)), 3, 0.0)
    solution = solver(Settings(max_iter=20)).solve(small, small.start())
    assert solution.result is not Result.CERTIFIED
    large = Objective.of(InMemory(linear.Batch(X * 1e200, y)), 3, 1.0)
    with pytest.raises(ValueError, match="X: feature 0 has values too large to square in float64"):
        solver(Settings()).solve(large, large.start())


def test_separable_without_penalty_ends_within_tol_of_its_infimum():
    """F* = 0 is not attained; F ≤ tol is within tol of it."""
    objective, _ = objective_of(load_wine, C=np.inf)
    solution = Newton(Settings()).solve(objective, objective.start())
    assert solution.result is Result.CERTIFIED
    assert 0 < solution.value <= 1e-6


@pytest.mark.parametrize("solver", [LBFGS, Newton])
def test_partly_separable_without_penalty_has_no_optimum_and_no_certificate(solver):
    """One class of iris splits off: F falls towards 0.03966 for ever. 0 is all that is proven below it."""
    objective, _ = objective_of(load_iris, C=np.inf)
    solution = solver(Settings()).solve(objective, objective.start())
    assert solution.result in (Result.UNCERTIFIED, Result.MAX_ITER)
    assert solution.value == pytest.approx(0.0396618, abs=1e-5)
    assert solution.lower_bound == 0


@pytest.mark.parametrize("solver", [LBFGS, Newton])
def test_too_few_iterations_is_said(solver):
    objective, _ = objective_of(load_digits)
    solution = solver(Settings(max_iter=3)).solve(objective, objective.start())
    assert solution.result is Result.MAX_ITER
    assert solution.n_iter == 3
    assert solution.value - solution.lower_bound > 1e-6


def test_a_tol_below_rounding_ends_and_says_why(rng):
    X, y = rng.normal(size=(500, 5)) * 1e3, rng.integers(0, 3, 500)
    objective = Objective.of(InMemory(linear.Batch(X, y)), 3, 1e-3)
    solution = LBFGS(Settings(tol=1e-18)).solve(objective, objective.start())
    assert solution.result in (Result.STALLED, Result.CERTIFIED, Result.MAX_ITER)
    assert solution.value - solution.lower_bound < 1e-9


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_value_that_is_no_number_is_never_certified(rng, value):
    objective = Objective.of(InMemory(linear.Batch(rng.normal(size=(9, 2)), np.arange(9) % 3)), 3, 1.0)
    at = dataclasses.replace(objective.evaluate(objective.start()), value=value)
    run = Run(objective, Settings(), at, 0.0)
    assert run.gap == np.inf
    assert not run.certified


def test_newton_refuses_what_it_could_not_factor(rng):
    objective = Objective.of(InMemory(linear.Batch(rng.normal(size=(20, 400)), np.arange(20) % 10)), 10, 1.0)
    with pytest.raises(ValueError, match="factors a Hessian of 10·401 = 4010 coefficients, more than 3000"):
        Newton(Settings()).solve(objective, objective.start())
    assert isinstance(choose("auto", objective, Settings()), LBFGS)


def test_history_falls_and_reports(rng):
    seen = []
    objective, _ = objective_of(load_wine)
    solution = LBFGS(Settings(report=seen.append)).solve(objective, objective.start())
    assert seen == solution.history
    assert [p.iteration for p in seen] == list(range(len(seen)))
    values = [p.objective for p in seen]
    assert all(b <= a for a, b in itertools.pairwise(values))
    assert seen[-1].n_passes == objective.n_passes
