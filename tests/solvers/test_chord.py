"""Hessians that serve again: their sums, the certificate from an older one, sweeps and folds by it."""

import itertools

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import sparse
from sklearn.linear_model import LogisticRegressionCV

from xent import SoftmaxRegression, SoftmaxRegressionCV, softmax_path
from xent.data import InMemory
from xent.kernels import linear
from xent.objective.ridge import Objective
from xent.solvers import Newton, Result, Settings, Sweep, chord, rows
from xent.solvers.base import Run


def draw(rng, n=300, d=5, K=3):
    X = rng.normal(size=(n, d)) * 10 ** rng.uniform(-1, 1, d) + rng.normal(size=d)
    y = np.argmax(X @ rng.normal(size=(d, K)) + 2 * rng.gumbel(size=(n, K)), axis=1)
    y[:K] = np.arange(K)
    return X, y


KINDS = {
    "plain": {},
    "two classes": {"K": 2},
    "no intercept": {"fit_intercept": False},
    "class factors": {"class_factors": np.array([0.3, 1.0, 5.0])},
    "feature factors": {"feature_factors": np.array([0.2, 1.0, 1.0, 3.0, 9.0])},
    "weights": {"weight": True},
    "offsets": {"offset": True},
    "rows of probabilities": {"soft": True},
    "CSR": {"sparse": True},
}


def objective_of(rng, penalty, K=3, weight=False, offset=False, soft=False, sparse=False, **given):
    X, y = draw(rng, K=K)
    targets = rng.dirichlet(np.ones(K), len(y)) if soft else y
    s = rng.uniform(0.2, 3, len(y)) * (rng.random(len(y)) < 0.8) if weight else None
    o = rng.normal(size=(len(y), K)) if offset else None
    if sparse:
        X[np.abs(X) < 0.5] = 0
    A = csr(X) if sparse else X
    return Objective.of(InMemory(linear.Batch(A, targets, s, offset=o)), K, penalty, **given)


def csr(X):
    return sparse.csr_array(X)


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("K", [1, 2, 3, 6])
@pytest.mark.parametrize("intercept", [True, False])
def test_the_hessian_of_columns(rng, K, intercept, threads):
    """It is `linear.hessian`, dense and CSR, any dtype; some columns are some of it; rows of weight 0 are not
    looked at."""
    X, y = draw(rng, n=700, K=K)
    s = rng.uniform(0.5, 2, 700) * (rng.random(700) < 0.7)
    o = rng.normal(size=(700, K))
    dead = X.copy()
    dead[s == 0] = np.nan
    cases = [(X, None), (X, s), (csr(X), s), (X.astype(np.float32), s), (np.asfortranarray(X), s)]
    for A, weight in cases:
        batches = [linear.Batch(A[:300], y[:300], None if weight is None else weight[:300], offset=o[:300])]
        batches += [linear.Batch(A[300:], y[300:], None if weight is None else weight[300:], offset=o[300:])]
        objective = Objective.of(InMemory(*batches), K, 0.0, fit_intercept=intercept, n_threads=threads)
        theta = 0.3 * rng.normal(size=objective.shape)
        found = rows.hessian(objective.loss, theta)
        W, b = objective.coefficients(theta)
        want = sum(linear.hessian(part, W, b, objective.loss.centre, intercept) for part in batches)
        want = want.reshape(found.shape) / objective.loss.weight
        tolerance = 1e-13 * max(np.abs(want).max(), 1e-300)
        assert_allclose(found, want, atol=tolerance)
        kept = rows.Kept.of(objective.loss)
        assert_allclose(rows.hessian(objective.loss, theta, kept=kept), want, atol=tolerance)
        some = np.array([1, 3, *([5] if intercept else [])])
        for part in (
            rows.hessian(objective.loss, theta, some),
            rows.hessian(objective.loss, theta, some, kept),
        ):
            assert_allclose(part, found[:, some][..., some], atol=tolerance)
        assert rows.hessian(objective.loss, theta, np.empty(0, np.intp)).size == 0
    objective = Objective.of(
        InMemory(linear.Batch(X, y, s)), K, 0.0, fit_intercept=intercept, n_threads=threads
    )
    theta = 0.3 * rng.normal(size=objective.shape)
    found = rows.hessian(objective.loss, theta)
    objective.loss.source = InMemory(linear.Batch(dead, y, s))
    for kept in (None, rows.Kept.of(objective.loss)):
        again = rows.hessian(objective.loss, theta, kept=kept)
        assert_allclose(again, found, atol=1e-14 * np.abs(found).max(initial=1))


@pytest.mark.parametrize("C", [0.01, 1.0, 1e4])
@pytest.mark.parametrize("kind", KINDS)
def test_an_older_hessian_proves_no_more_than_is_true(rng, monkeypatch, kind, C):
    """At points near and far from the optimum, with Hessians from points near and far from these, and λ moved
    in between; near both the bound is close."""
    monkeypatch.setattr(chord, "_FAR", 30.0)
    first = objective_of(rng, 1 / (300 * C), **KINDS[kind])
    objective, close, told = first.at_ridge(1.7 / (300 * C)), 0, 0
    best = Newton(Settings(tol=1e-13, max_iter=200)).solve(objective, objective.start())
    assert best.value - best.lower_bound <= 2e-13
    scale = np.append(1 / first.loss.curvature_of_few.diagonal() ** 0.5, 1.0)[: objective.shape[1]]
    for far, near in itertools.product(10.0 ** np.arange(-4, 1.5), 10.0 ** np.arange(-7, 0.5)):
        old, new = (
            first.without_shift(best.theta + size * scale * rng.normal(size=best.theta.shape))
            for size in (far, near)
        )
        old = new if far < 2e-4 else old  # c's part: nothing has moved
        held = chord.Held.at(first, old, None)
        assert held.factored(first)
        assert held.factored(objective)
        run = Run.begin(objective, Settings(tol=0.0), new)
        run.lower_bound = -np.inf
        held.certify(run)
        assert run.lower_bound <= best.value + 1e-14
        true = run.at.value - best.value
        told += np.isfinite(run.lower_bound)
        close += 1e-12 < true < 1e-6 and run.at.value - run.lower_bound < 3 * true
    assert told > 10
    assert close > 2


def counted(monkeypatch):
    calls = []
    monkeypatch.setattr(
        chord, "hessian", lambda *given, **how: calls.append(1) or rows.hessian(*given, **how)
    )
    return calls


@pytest.mark.parametrize("kind", KINDS)
def test_a_sweep_shares_hessians_and_ends_where_newton_does(rng, monkeypatch, kind):
    """Certified at every λ, in any order and at the same λ again, with fewer Hessians than fits' steps."""
    calls = counted(monkeypatch)
    first = objective_of(rng, 1.0, **KINDS[kind])
    order = [*(1 / (300 * np.logspace(-3, 4, 15))), 1e-3, 1e-3, 0.2]
    sweep, steps, state = Sweep(Settings(tol=1e-9)), 0, None
    for penalty in order:
        objective = first.at_ridge(penalty)
        assert chord.Chord.pays(objective)
        solution = sweep.solve(objective, warm=state)
        state = solution.state
        want = Newton(Settings(tol=1e-12)).solve(objective, objective.start())
        assert solution.result is Result.CERTIFIED
        assert solution.value - solution.lower_bound <= 1e-9
        assert solution.lower_bound <= want.value + 1e-14
        assert solution.value == pytest.approx(want.value, abs=1e-9)
        assert [entry.iteration for entry in solution.history] == [*range(solution.n_iter + 1)]
        assert (np.diff([entry.suboptimality for entry in solution.history]) <= 1e-13).all()
        steps += solution.n_iter
    assert 0 < len(calls) < steps
    before = len(calls)
    assert sweep.solve(first.at_ridge(0.2), warm=state).n_iter == 0
    assert len(calls) == before


def test_a_penalty_that_rounding_hides_is_newtons(rng):
    """L + λ has no Cholesky factor: twice the same column, λ next to nothing."""
    X, y = draw(rng)
    objective = Objective.of(InMemory(linear.Batch(np.hstack([X, X]), y)), 3, 1e-19)
    held = chord.Held.at(objective, objective.start(), None)
    assert not held.factored(objective)
    solution = chord.Chord(Settings(tol=1e-9)).solve(objective)
    want = Newton(Settings(tol=1e-9)).solve(objective)
    assert solution.value == pytest.approx(want.value, abs=1e-8)


def test_what_a_sweep_takes_where(rng):
    """Large tables, coefficients without a penalty and no penalty are not the chord's."""
    X, y = draw(rng)
    batch = InMemory(linear.Batch(X, y))
    assert chord.Chord.pays(Objective.of(batch, 3, 1e-3))
    assert not chord.Chord.pays(Objective.of(batch, 3, 0.0))
    assert not chord.Chord.pays(Objective.of(batch, 3, 1e-3, feature_factors=np.array([0, 1.0, 1, 1, 1])))
    many = InMemory(linear.Batch(np.tile(X, (1, 200)), y))
    assert not chord.Chord.pays(Objective.of(many, 3, 1e-3))


@pytest.mark.parametrize("K", [2, 3])
def test_cross_validation_is_the_peers_and_the_general_ways(rng, monkeypatch, K):
    """Scores, coefficients and choice, by few Hessians; and those of the solvers that it took before."""
    X, y = draw(rng, n=400, K=K)
    s = rng.uniform(0.5, 2, 400)
    given = {"Cs": np.logspace(-3, 3, 7), "tol": 1e-9}
    calls = counted(monkeypatch)
    model = SoftmaxRegressionCV(**given).fit(X, y, s)
    assert 0 < len(calls) < model.n_iter_.sum() < 6 * 36
    with monkeypatch.context() as patch:
        patch.setattr(chord, "_MOST_WORK", -1.0)
        before = len(calls)
        other = SoftmaxRegressionCV(**given).fit(X, y, s)
        assert len(calls) == before
    assert model.C_ == other.C_
    assert_allclose(model.scores_, other.scores_, atol=1e-5)
    assert_allclose(model.coef_, other.coef_, atol=1e-4 * np.abs(other.coef_).max())
    assert model.objective_ == pytest.approx(other.objective_, abs=1e-9)
    peer = LogisticRegressionCV(
        Cs=given["Cs"],
        scoring="neg_log_loss",
        solver="newton-cholesky",
        tol=1e-10,
        l1_ratios=(0,),
        use_legacy_attributes=False,
    ).fit(X, y, s)
    assert model.C_ == peer.C_
    assert_allclose(model.scores_, peer.scores_, atol=1e-4)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_path_of_narrow_and_sparse_rows(rng, monkeypatch, dtype):
    X, y = draw(rng)
    X = np.where(np.abs(X) < 0.5, 0, X).astype(dtype)
    calls = counted(monkeypatch)
    model = SoftmaxRegression(tol=1e-7)
    dense, csr_ = (softmax_path(A, y, Cs=np.logspace(-2, 3, 6), model=model) for A in (X, csr(X)))
    assert calls
    assert_allclose(dense.objective, csr_.objective, atol=1e-7)
    assert dense.suboptimality.max() <= (1e-7 if dtype == np.float64 else 1e-5)
