"""The Kronecker product below the Hessian: that it lies there, what it proves, and that fits ask it."""

import warnings

import numpy as np
import pytest
from scipy import sparse

from tests.objective.problems import NAMES, formula, optimum, points, problem, random_problem
from xent import SoftmaxRegression
from xent.data import Batch, InMemory
from xent.kernels import linear
from xent.objective import minorant
from xent.objective.ridge import Objective
from xent.solvers.base import Run


def least(p, share):
    """The largest μ with diag p − ppᵀ ⪰ μ (diag π − ππᵀ), from eigenvalues of vectors that sum to 0."""
    basis = np.linalg.svd(np.ones((1, len(p))))[2][1:]
    above, below = (basis @ (np.diag(q) - np.outer(q, q)) @ basis.T for q in (p, share))
    root = np.linalg.inv(np.linalg.cholesky(below))
    return np.linalg.eigvalsh(root @ above @ root.T)[0]


@pytest.mark.parametrize("K", [2, 3, 7])
def test_the_weight_of_a_row_is_just_below_the_largest(rng, K):
    share = rng.dirichlet(np.full(K, 2.0))
    for spread in (0.1, 1.0, 3.0):
        b = np.log(share) + spread * rng.normal(size=K)
        p = np.exp(b) / np.exp(b).sum()
        row = Batch(np.ones((1, 1)), np.zeros(1, np.int64))
        mu = linear.least_curvature(row, np.zeros((K, 1)), b, share, np.zeros(1), False)[0, 0]
        true = least(p, share)
        assert mu <= true * (1 + 1e-9)
        assert mu >= (p / share).min() * (1 - 1e-12)
        if K == 2:
            assert mu == pytest.approx(true, rel=1e-9)


@pytest.mark.parametrize("name", NAMES)
def test_it_lies_below_the_hessian(rng, name):
    objective = problem(name, rng)
    theta = optimum(objective).theta + 0.1 * rng.normal(size=objective.shape)
    theta = objective.without_shift(theta)
    W, b = objective.coefficients(theta)
    loss, share = objective.loss, objective.loss.share
    A = loss.source.sum(linear.least_curvature, W, b, share, loss.centre, loss.fit_intercept)
    below = np.kron(np.diag(share) - np.outer(share, share), A / loss.weight)
    above = loss.hessian(theta)
    scale = 1 / np.sqrt(np.diag(above))
    assert np.linalg.eigvalsh((above - below) * scale * scale[:, None])[0] > -1e-12


@pytest.mark.parametrize("name", NAMES)
def test_the_bound_is_above_the_true_gap_and_near_it(rng, name):
    objective = problem(name, rng)
    best = optimum(objective)
    near = 0
    for distance in 10.0 ** np.arange(-6, 1):
        theta = best.theta + distance * rng.normal(size=best.theta.shape) * np.abs(best.theta).mean(axis=0)
        at = objective.evaluate(objective.without_shift(theta))
        true = at.value - best.value
        half, bound = minorant.gap(objective, at)
        assert bound >= true * (1 - 1e-9) - 1e-14
        assert half <= bound * (1 + 1e-9)
        near += bound < 200 * true
    assert near >= 2


def test_random_problems(rng):
    """Weights, soft labels, offsets, factors, scales, CSR, any C: never below the true gap. 10,000 of them:
    `make certificates`."""
    proven = 0
    for _ in range(150):
        objective = random_problem(rng)
        best = optimum(objective)
        if not (minorant.suits(objective) and best.value - best.lower_bound < 1e-11):
            continue
        for at in points(objective, best.theta, rng):
            bound = minorant.gap(objective, at)[1]
            assert bound >= at.value - best.value - 1e-13 * (1 + best.value)
            proven += bound < 1e-4
    assert proven > 100


def by_hand(objective, at):
    """The bound from its formula: M as one matrix, every pair of classes."""
    (K, D), loss = objective.shape, objective.loss
    W, b = objective.coefficients(at.theta)
    share = loss.share
    A = loss.source.sum(linear.least_curvature, W, b, share, loss.centre, loss.fit_intercept) / loss.weight
    M = np.kron(np.diag(share) - np.outer(share, share), A)
    M += np.diag(np.tile(objective.penalties.min(axis=0), K))
    inverse = np.linalg.inv(M + np.kron(np.ones((K, K)), np.eye(D)))
    rows = np.column_stack([loss.source.whole.X - loss.centre, np.ones(objective.n_rows)])
    return formula(inverse, rows, at.gradient)


@pytest.mark.parametrize("name", ["plain", "unpenalised", "rare class"])
def test_it_is_the_formula(rng, name):
    objective = problem(name, rng, n=500, d=3)
    best = optimum(objective)
    way, far = rng.normal(size=best.theta.shape), []
    for distance in 10.0 ** np.arange(-4, 0, 0.1):
        at = objective.evaluate(objective.without_shift(best.theta + distance * way))
        u, expected = by_hand(objective, at)
        found = minorant.gap(objective, at)[1]
        assert found >= expected * (1 - 1e-6)
        # From above only: g is rounded down by up to a quarter power of two, and c is that of the least g.
        assert u > 0.1 or found <= 1.3 * expected
        far.append(0.3 < u < 1)
    assert any(far)


def test_shares_lost_to_rounding_prove_nothing():
    share = np.array([0.5, 0.5 - 1e-17, 1e-17])
    assert minorant.Minorant.of(np.eye(2), share, np.zeros(2)) is None
    assert minorant.Minorant.of(np.eye(2), np.array([0.5, 0.4, 0.1]), np.zeros(2)) is not None
    assert minorant.Minorant.of(np.ones((2, 2)), np.array([0.5, 0.4, 0.1]), np.zeros(2)) is None


def test_no_penalty_and_more_coefficients_than_a_hessian_takes(rng, monkeypatch):
    """Overlapping classes: the dual bound never comes, the Hessian does not fit, and the fit is certified."""
    n, d, K = 12_000, 60, 52
    X = rng.normal(size=(n, d))
    y = (X @ rng.normal(size=(d, K)) * 0.15 + rng.gumbel(size=(n, K))).argmax(axis=1)
    asked, ask = [], Run.ask_minorant

    def asking(self):
        asked.append(ask(self))
        return asked[-1]

    monkeypatch.setattr(Run, "ask_minorant", asking)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = SoftmaxRegression(C=np.inf).fit(X, y)
    assert model.suboptimality_ <= model.tol
    assert 1 <= len(asked) <= 2
    closer = SoftmaxRegression(C=np.inf, tol=1e-11).fit(X, y)
    assert model.objective_ - closer.objective_ <= model.suboptimality_


def test_separated_classes_are_not_certified_by_it(rng):
    X = rng.normal(size=(300, 4))
    y = (X[:, 0] > 0).astype(np.int64) + (X[:, 0] > 1)
    objective = Objective.of(InMemory(Batch(X, y)), 3, 0.0)
    theta = np.zeros(objective.shape)
    theta[:, 0] = [-300.0, 0.0, 300.0]
    theta[:, -1] = [0, 0, -300.0]
    at = objective.evaluate(objective.without_shift(theta))
    assert minorant.gap(objective, at)[1] == np.inf


def test_a_class_without_rows_or_too_many_features_have_none(rng):
    X, y = rng.normal(size=(50, 3)), rng.integers(0, 2, 50)
    assert not minorant.suits(Objective.of(InMemory(Batch(X, y)), 3, 0.1))
    wide = sparse.random_array((20, minorant.MAX_FEATURES + 1), density=0.01, format="csr", rng=rng)
    assert not minorant.suits(Objective.of(InMemory(Batch(wide, y[:20])), 2, 0.1))
