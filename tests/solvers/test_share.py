"""A certificate by a share of the rows: never below the true gap, near it, and taken."""

import numpy as np
import pytest
from scipy.special import softmax

from tests.objective.problems import NAMES, formula, optimum, problem, share_of
from xent import SoftmaxRegression
from xent.data import Batch, InMemory
from xent.kernels import native as kernels
from xent.objective.ridge import Objective
from xent.solvers import short

native = pytest.mark.skipif(not kernels.HAS_NATIVE, reason="this build has no compiled extension")


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("rows", [600, 1500])
def test_the_bound_is_above_the_true_gap_and_near_it(rng, name, rows):
    objective = problem(name, rng)
    best = optimum(objective)
    inverse = share_of(objective, rows)
    weight = objective.loss.source.whole.weight
    live = objective.n_rows if weight is None else np.count_nonzero(weight)
    assert 0 < inverse.share <= rows / live * 1.1
    proven = 0
    for distance in 10.0 ** np.arange(-5, 1):
        theta = best.theta + distance * rng.normal(size=best.theta.shape) * np.abs(best.theta).mean(axis=0)
        at = objective.evaluate(objective.without_shift(theta))
        true, bound = at.value - best.value, inverse.gap(at)
        assert bound >= true * (1 - 1e-9) - 1e-13
        proven += bound < 50 / inverse.share * true + 1e-12
    assert proven >= 1


@pytest.mark.parametrize("name", ["plain", "weighted", "rare class", "soft"])
def test_no_row_counts_for_more_than_it_weighs(rng, name):
    """The Hessian of the share, times the share, lies below that of all rows: no eigenvalue of the difference
    is below 0."""
    objective = problem(name, rng)
    inverse = share_of(objective, 900)
    W, b = objective.coefficients(optimum(objective).theta)
    part = inverse.part
    own = part.theta(W, b)
    K, D = objective.shape
    move = np.eye(D)
    move[:-1, -1] = part.loss.centre - objective.loss.centre  # x̃ of all rows is this times x̃ of the part
    change = np.kron(np.eye(K), move)
    below = change @ part.loss.hessian(own) @ change.T
    difference = objective.loss.hessian(objective.theta(W, b)) - inverse.share * below
    assert np.linalg.eigvalsh(difference)[0] > -1e-12


def by_hand(objective, part, W0, b0, at, share):
    """The bound from its formula, with rows [x, 1] as they are and every pair of classes."""
    K, batch = objective.n_classes, part.loss.source.whole
    rows = np.column_stack([batch.X, np.ones(batch.shape[0])])
    P = softmax(batch.X @ W0.T + b0, axis=1)
    penalty = np.diag(np.tile([objective.ridge] * objective.n_features + [0.0], K))
    classes = np.einsum("ik,kl->ikl", P, np.eye(K)) - np.einsum("ik,il->ikl", P, P)
    H = np.einsum("ikl,ia,ib->kalb", classes, rows, rows).reshape(penalty.shape) / len(rows) + penalty
    shift = np.kron(np.ones((K, K)), np.eye(rows.shape[1]))
    inverse = np.linalg.inv(H + shift * np.diag(H).mean())
    W, b = objective.coefficients(at.theta)
    r = np.ptp(batch.X @ (W - W0).T + (b - b0), axis=1).max()
    gradient = at.gradient.copy()  # of W at b held, not at the intercept of the centred features
    gradient[:, :-1] += np.outer(gradient[:, -1], objective.loss.centre)
    return formula(inverse, rows, gradient, np.exp(r) / share)[1]


def test_it_is_the_formula_for_any_rows(rng):
    """Rows of another mean and another optimum: where they lie, and how far they have moved, both count."""
    objective = problem("plain", rng, n=600, d=3, K=3)
    batch, best = objective.loss.source.whole, optimum(objective)
    some = batch.take(np.flatnonzero(batch.X[:, 0] > 0.5))
    part = Objective.of(InMemory(some), 3, objective.ridge)
    W, b = objective.coefficients(best.theta)
    W0, b0 = W + 0.1 * rng.normal(size=W.shape), b + 0.1
    at = part.evaluate(part.without_shift(part.theta(W0, b0)))
    inverse = short.Inverse(objective, part, at, part.newton_step(at))
    assert inverse.share == pytest.approx(some.shape[0] / 600)
    finite = 0
    for distance in 10.0 ** np.arange(-6, -1):
        theta = objective.without_shift(best.theta + distance * rng.normal(size=best.theta.shape))
        here = objective.evaluate(theta)
        expected = by_hand(objective, part, W0, b0, here, inverse.share)
        found = inverse.gap(here)
        assert found >= max(expected * (1 - 1e-6), here.value - best.value - 1e-14)
        if expected < 1e-5:
            finite += 1
            assert found <= expected * 1.1  # c is bounded from above only
    assert finite >= 2


def test_far_from_the_share_nothing_is_proven(rng):
    objective = problem("plain", rng)
    inverse = share_of(objective, 600)
    far = objective.evaluate(objective.without_shift(1e4 * rng.normal(size=objective.shape)))
    assert inverse.gap(far) == np.inf


def test_null_directions_of_the_share_alone_prove_nothing(rng):
    X = rng.normal(size=(4000, 3))
    X[:, 2] = 0.0
    X[:4, 2] = 1.0  # hardly a row of the share has it
    y = rng.integers(0, 3, 4000)
    objective = Objective.of(InMemory(Batch(X, y)), 3, 0.0)
    part = objective.sample(100)
    assert part.loss.constant.any()
    at = part.evaluate(optimum(part).theta)
    assert short.Inverse(objective, part, at, part.newton_step(at)).share == 0


@native
def test_a_tall_fit_is_proven_by_a_share_of_its_rows(rng, monkeypatch):
    """No Hessian of all rows, and no waiting for the dual bound, which features of different scales make
    loose."""
    n, d, K = 100_000, 20, 6
    X = rng.normal(size=(n, d)).astype(np.float32)
    y = (X @ rng.normal(size=(d, K)) + 2 * rng.gumbel(size=(n, K))).argmax(axis=1)
    X *= 10 ** np.linspace(-1, 2, d, dtype=np.float32)
    asked, gaps = [], []
    newton_step, gap = Objective.newton_step, short.Inverse.gap

    def step(self, at):
        asked.append(self.n_rows)
        return newton_step(self, at)

    def proven(self, at):
        gaps.append((gap(self, at), at.gap))
        return gaps[-1][0]

    monkeypatch.setattr(Objective, "newton_step", step)
    monkeypatch.setattr(short.Inverse, "gap", proven)
    model = SoftmaxRegression().fit(X, y)
    assert model.converged_
    assert asked
    assert max(asked) <= n // 10 + K * 8
    [(own, dual)] = gaps
    assert own == pytest.approx(model.suboptimality_, rel=1e-6)  # F is rounded
    assert model.suboptimality_ <= model.tol < dual
    assert model.n_passes_ <= 20
    best = SoftmaxRegression(tol=1e-12, solver="newton").fit(X.astype(float), y)
    assert model.objective_ - best.objective_ <= model.suboptimality_ + 1e-12
