"""Small fits run in native code from start to end: that they do, and that what comes out is the optimum."""

import itertools
from types import SimpleNamespace

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.datasets import load_wine
from sklearn.linear_model import LogisticRegression

from xent import SoftmaxRegression
from xent.data import InMemory
from xent.kernels import descent, linear
from xent.kernels import native as kernels
from xent.kernels import plain as twins
from xent.objective.ridge import Objective
from xent.solvers import LBFGS, Newton, Result, Settings, short
from xent.solvers.base import Run
from xent.solvers.line_search import weak_wolfe
from xent.solvers.metric import Metric

native = pytest.mark.skipif(not kernels.HAS_NATIVE, reason="this build has no compiled extension")


def table(rng, n=400, d=5, K=3):
    X = rng.normal(size=(n, d))
    return X, (X @ rng.normal(size=(d, K)) + rng.gumbel(size=(n, K))).argmax(axis=1)


def objective_of(batch, K, **kwargs):
    return Objective.of(InMemory(batch), K, kwargs.pop("penalty", 1 / batch.shape[0]), **kwargs)


@pytest.fixture
def calls(monkeypatch):
    """How often a whole descent ran, and how often Python asked for a single pass."""
    count = {"descents": 0, "evaluations": 0}
    descend, evaluate = descent.descend_smooth, Objective.evaluate

    def descended(*args, **kwargs):
        count["descents"] += 1
        return descend(*args, **kwargs)

    def evaluated(self, *args, **kwargs):
        count["evaluations"] += 1
        return evaluate(self, *args, **kwargs)

    monkeypatch.setattr(descent, "descend_smooth", descended)
    monkeypatch.setattr(Objective, "evaluate", evaluated)
    return count


@native
@pytest.mark.parametrize("n", [30, 1000, 8000])
@pytest.mark.parametrize("K", [2, 3, 6])
def test_an_ordinary_small_fit_is_one_native_call(rng, calls, n, K):
    X, y = table(rng, n, 6, K)
    model = SoftmaxRegression().fit(X, y)
    assert model.converged_
    assert calls["descents"] == 1
    assert calls["evaluations"] <= 3  # where it ended, and a Newton step for the certificate
    tight = LogisticRegression(tol=1e-12, max_iter=10_000, solver="newton-cholesky").fit(X, y)
    assert_allclose(model.coef_, tight.coef_, atol=1e-4)


def situations(rng):
    X, y = table(rng)
    s = rng.random(400) * (rng.random(400) < 0.7)
    soft = rng.dirichlet(np.ones(3), 400)
    holes = X.copy()
    holes[s == 0] = np.nan
    plain = linear.Batch(X, y)
    yield "plain", plain, {}
    yield "float32", linear.Batch(X.astype(np.float32), y), {}
    yield "float16", linear.Batch(X.astype(np.float16), y), {}
    yield "columns first", linear.Batch(np.asfortranarray(X), y), {}
    yield "backwards", linear.Batch(X[::-1, ::-1], y), {}
    yield "rows of weight 0 hold NaN", linear.Batch(holes, y, s), {}
    yield "soft labels", linear.Batch(X, soft), {}
    yield "smoothed", linear.Batch(X, y, label_smoothing=0.1), {}
    yield "offsets", linear.Batch(X, y, offset=rng.normal(size=(400, 3))), {}
    yield "no intercept", plain, {"fit_intercept": False}
    yield "feature factors", plain, {"feature_factors": np.array([0.0, 1, 2, 3, 4])}
    yield "no penalty", plain, {"penalty": 0.0}
    yield "weak penalty", plain, {"penalty": 1e-9}
    yield "strong penalty", plain, {"penalty": 1e3}
    yield "a constant column", linear.Batch(np.column_stack([X, np.full(400, 3.0)]), y), {"penalty": 0.0}
    yield "collinear columns", linear.Batch(np.column_stack([X, X @ np.ones(5)]), y), {"penalty": 0.0}
    yield "scales", linear.Batch(X * [1e-6, 1, 1, 1e4, 1e6] + 1e3, y), {}
    yield "two classes", linear.Batch(X, y > 0), {}


NAMES = [name for name, _, _ in situations(np.random.default_rng(0))]


@native
@pytest.mark.parametrize("name", NAMES)
def test_it_ends_where_newton_ends(rng, calls, name):
    batch, kwargs = next((b, k) for n, b, k in situations(rng) if n == name)
    K = 2 if name == "two classes" else 3
    solution = LBFGS(Settings()).solve(objective_of(batch, K, **dict(kwargs)))
    assert calls["descents"] == 1
    assert solution.result is Result.CERTIFIED
    best = Newton(Settings(tol=1e-10)).solve(objective_of(batch, K, **dict(kwargs)))
    assert solution.value - best.value <= 1e-6
    assert solution.lower_bound <= best.value + 1e-12
    values = [entry.objective for entry in solution.history]
    assert all(b <= a + 1e-15 for a, b in itertools.pairwise(values))
    assert [entry.iteration for entry in solution.history] == list(range(len(values)))
    passes = [entry.n_passes for entry in solution.history]
    assert passes == sorted(passes)


@native
def test_what_it_does_not_take(rng, calls):
    """CSR, classes with factors of their own, one class, and rows that take longer than Python does."""
    X, y = table(rng)
    SoftmaxRegression(solver="lbfgs").fit(sparse.csr_array(X), y)
    SoftmaxRegression(solver="lbfgs", class_penalty_factor=[1, 2, 3]).fit(X, y)
    with np.errstate(all="ignore"):
        SoftmaxRegression(solver="lbfgs").fit(X, y, sample_weight=(y == 0) * 1.0)
    assert calls["descents"] == 0
    wide = objective_of(linear.Batch(np.zeros((2000, 600)), np.zeros(2000, int)), 2)
    assert not short.pays(wide)


@native
def test_separable_classes_have_no_optimum(rng):
    X, _ = table(rng)
    with pytest.warns(match="separat"):
        model = SoftmaxRegression(C=np.inf).fit(X, np.where(X[:, 0] > 0, "a", "b"))
    assert model.separation_["complete"]


@native
def test_iterations_are_the_same_whoever_watches(rng, capsys):
    X, y = table(rng, 500, 6, 4)
    alone, told = (SoftmaxRegression(verbose=v).fit(X, y) for v in (0, 1))
    assert_array_equal(alone.coef_, told.coef_)
    assert len(capsys.readouterr().out.splitlines()) >= alone.n_iter_[0]
    seen = []
    watched = LBFGS(Settings(report=lambda progress: seen.append(progress.theta.copy()))).solve(
        objective_of(linear.Batch(X, y), 4)
    )
    for i in (1, 3):
        some = LBFGS(Settings(max_iter=i)).solve(objective_of(linear.Batch(X, y), 4))
        assert some.n_iter == i
        assert_allclose(some.theta, seen[i], atol=1e-12)
    assert watched.n_iter == len(seen) - 1


@native
def test_who_watches_may_raise(rng):
    X, y = table(rng)

    def broken(progress):
        if progress.iteration == 2:
            raise ZeroDivisionError("mine")

    with pytest.raises(ZeroDivisionError, match="mine"):
        LBFGS(Settings(report=broken)).solve(objective_of(linear.Batch(X, y), 3))


@native
def test_a_hard_fit_takes_another_metric_on_the_way(monkeypatch):
    """Classes nearly certain: curvature is no longer what it was at W = 0."""
    X, y = load_wine(return_X_y=True)
    taken = []
    refresh = Metric.refresh
    monkeypatch.setattr(Metric, "refresh", lambda *a, **k: taken.append(1) or refresh(*a, **k))
    solution = LBFGS(Settings()).solve(objective_of(linear.Batch(X, y), 3, penalty=1e-4 / len(X)))
    assert solution.result is Result.CERTIFIED
    assert taken


@pytest.mark.parametrize("K", [2, 3, 7])
@pytest.mark.parametrize("intercept", [True, False])
@pytest.mark.parametrize("weighted", [True, False])
def test_hessian_of_rows(rng, K, intercept, weighted):
    """The kernel against plain products, and against −∂²: rows of weight 0 may hold anything."""
    n, d = 300, 5
    X, P = rng.normal(size=(n, d)), rng.dirichlet(np.full(K, 0.1), n)
    s = rng.random(n) * (rng.random(n) < 0.6) if weighted else None
    live = np.ones(n, bool) if s is None else s > 0
    X[~live] = np.nan
    centre = rng.normal(size=d)
    found = kernels.hessian(X, P, s, centre, intercept) if kernels.HAS_NATIVE else None
    rows = np.column_stack([X - centre, np.ones((n, int(intercept)))])[live]
    J = np.array([np.diag(p) - np.outer(p, p) for p in P[live]]) * (1 if s is None else s[live, None, None])
    want = np.einsum("nkl,ni,nj->kilj", J, rows, rows).reshape(found.shape if found is not None else -1)
    plain = twins.hessian(X[live], P[live], None if s is None else s[live], centre, intercept)
    assert_allclose(plain.ravel(), want.ravel(), atol=1e-12)
    if found is not None:
        assert_allclose(found, want, atol=1e-12)
        assert_array_equal(found, found.T)


@native
def test_hessian_is_the_same_for_any_number_of_threads(rng):
    X, P = rng.normal(size=(3000, 9)), rng.dirichlet(np.ones(4), 3000)
    one, two = (kernels.hessian(X, P, None, X.mean(axis=0), True, n_threads=t) for t in (1, 2))
    assert_allclose(one, two, rtol=1e-12, atol=1e-10)


@native
@pytest.mark.parametrize("overshoot", [3.0, 10.0, 40.0])
def test_a_step_too_long_is_cut_as_the_line_search_in_python_cuts_it(rng, overshoot):
    """The first step by a metric whose steps are `overshoot` times Newton's."""
    X, y = table(rng)
    objective = objective_of(linear.Batch(X, y), 3)
    theta = objective.without_shift(rng.normal(size=objective.shape))
    run = Run(objective, Settings(), objective.evaluate(theta))
    size = theta.size
    metric = overshoot * objective.newton_step(run.at).inverse().reshape(size, size)
    source = SimpleNamespace(arrays=lambda: metric, refresh=lambda theta: None)
    direction = -(metric @ run.at.gradient.ravel()).reshape(theta.shape)

    before = objective.n_passes
    expected = weak_wolfe(run, direction)
    trials = objective.n_passes - before
    found, _ = short.descend(objective, Settings(max_iter=1), theta, source)
    assert trials >= 2
    assert_allclose(found.at.theta, expected.theta, rtol=1e-9, atol=1e-9)
