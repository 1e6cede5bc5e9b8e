"""The metrics are the matrices that they say, and the pairs give the textbook's direction."""

import numpy as np
import pytest
import scipy.sparse
from numpy.testing import assert_allclose

from xent import reference
from xent.data import InMemory
from xent.kernels import linear
from xent.objective import minorant
from xent.objective.ridge import Objective
from xent.solvers import LBFGS, Newton, Settings
from xent.solvers.blocks import MIXED, ClassBlocks
from xent.solvers.low_rank import LowRankBlocks
from xent.solvers.memory import Memory
from xent.solvers.metric import Kronecker, Metric
from xent.solvers.rows import heaviest_rows

K = 5


def problem(rng, n=400, d=6, **kwargs):
    X = rng.normal(size=(n, d)) * 10.0 ** np.linspace(-1, 1, d) + 3
    s = rng.uniform(0, 2, n)
    s[::7] = 0
    objective = Objective.of(InMemory(linear.Batch(X, np.arange(n) % K, s)), K, 0.01, **kwargs)
    theta = objective.without_shift(rng.normal(size=objective.shape) * 0.2)
    W, b = objective.coefficients(theta)
    P = reference.softmax(X @ W.T + b)
    rows = linear.augmented(X, objective.loss.centre, objective.fit_intercept)
    return objective, theta, s[:, None] * P * (1 - P), rows


@pytest.mark.parametrize("intercept", [True, False])
@pytest.mark.parametrize("factors", [None, np.array([0.5, 1, 2, 4, 8.0])])
def test_a_block_from_all_rows_is_the_diagonal_block_of_the_hessian(rng, intercept, factors):
    objective, theta, weights, rows = problem(rng, fit_intercept=intercept, class_factors=factors)
    features = Kronecker(objective)
    blocks = ClassBlocks.at(objective, theta, features.curvature, objective)
    mean = np.eye(rows.shape[1])
    mean[:6, :6] = features.curvature
    G = rng.normal(size=objective.shape)
    solved = blocks.solve(G)
    H = objective.loss.hessian(theta).reshape(K, rows.shape[1], K, rows.shape[1])
    for k in range(K):
        data = (rows * weights[:, k : k + 1]).T @ rows / objective.loss.weight
        assert_allclose(data, H[k, :, k, :], rtol=1e-9, atol=1e-12)
        mixed = MIXED * weights[:, k].sum() / objective.loss.weight * mean
        M = data + mixed + np.diag(objective.penalties[k])
        assert_allclose(solved[k], np.linalg.solve(M, G[k]), rtol=1e-9)
    assert_allclose(blocks.solve(np.stack([G, 2 * G])), np.stack([solved, 2 * solved]), rtol=1e-12)


def truth_of_heaviest(objective, theta, weights, rows, most, curvature):
    mean = np.eye(rows.shape[1])
    mean[:6, :6] = curvature
    chosen, total = heaviest_rows(objective.loss, theta, most)
    assert_allclose(total, weights.sum(axis=0))
    for k, (index, weight) in enumerate(chosen):
        assert_allclose(weight, weights[index, k], rtol=1e-12)
        assert len(index) == most
        assert weight.min() >= np.sort(weights[:, k])[-2 * most]  # heavy ones, if not the heaviest alone
        rest = (1 + MIXED) * total[k] - weight.sum()
        data = (rows[index] * weight[:, None]).T @ rows[index] + rest * mean
        yield data / objective.loss.weight + np.diag(objective.penalties[k])


def test_a_block_from_the_heaviest_rows(rng, monkeypatch):
    objective, theta, weights, rows = problem(rng)
    monkeypatch.setattr("xent.solvers.blocks._FEWEST_ROWS", 60)
    A = Kronecker(objective).curvature
    solved = ClassBlocks.at(objective, theta, A, None).solve(np.ones(objective.shape))
    for k, M in enumerate(truth_of_heaviest(objective, theta, weights, rows, 60, A)):
        assert_allclose(solved[k], np.linalg.solve(M, np.ones(len(M))), rtol=1e-9)


@pytest.mark.parametrize("units", [None, np.array([1, 4, 9, 16, 25, 36.0])])
def test_low_rank_blocks_are_woodburys(rng, units, monkeypatch):
    objective, theta, weights, rows = problem(rng, feature_factors=units)
    monkeypatch.setattr("xent.solvers.low_rank.MAX_BYTES", 4 * K * 40**2)
    monkeypatch.setattr("xent.solvers.low_rank._FEWEST", 40)
    features = Kronecker(objective)
    blocks = LowRankBlocks.at(objective, theta, features.values[:6], features.basis, features.units)
    G = rng.normal(size=(2, *objective.shape))
    solved = blocks.solve(G)
    assert_allclose(blocks.solve(G[0]), solved[0], rtol=1e-5, atol=1e-6)
    A = features.curvature
    for k, M in enumerate(truth_of_heaviest(objective, theta, weights, rows, 40, A)):
        want = np.linalg.solve(M, G[:, k].T).T
        assert_allclose(solved[:, k], want, rtol=1e-3, atol=1e-4 * np.abs(want).max())


@pytest.mark.parametrize("n", [50, 150])
def test_of_more_features_than_rows_the_leading_directions_count(rng, n):
    """Ten directions stand out, the others curve alike: then a few directions and a mean are all there is."""
    d, ridge = 300, 0.02
    values = np.append(np.geomspace(4000, 200, 10), np.full(n - 10, 0.5)) * n
    left, right = (np.linalg.qr(rng.normal(size=(m, n)))[0] for m in (n, d))
    X = left * np.sqrt(values) @ right.T
    y = np.arange(n) % K
    objective = Objective.of(InMemory(linear.Batch(X, y)), K, ridge, fit_intercept=False)
    metric = Kronecker(objective)
    assert metric.basis.shape == (d, min(n, 64))
    theta = objective.without_shift(rng.normal(size=objective.shape) * 0.01)
    metric.refresh(objective, theta)
    P = reference.softmax(X @ theta.T)
    classes = np.diag(P.mean(axis=0)) - P.T @ P / n
    G = objective.without_shift(rng.normal(size=(K, n)) @ right.T)  # in the rows' span, as gradients are
    H = np.kron(classes, X.T @ X / n) + ridge * np.eye(K * d)
    assert_allclose(metric.solve(G).ravel(), np.linalg.solve(H, G.ravel()), rtol=1e-3, atol=2e-3)


def test_low_rank_blocks_do_without_rows_that_overflow(rng):
    objective, theta, *_ = problem(rng)
    features = Kronecker(objective)
    arguments = features.values[:6], features.basis, features.units * 1e-30
    blocks = LowRankBlocks.at(objective, theta, *arguments)
    assert np.isfinite(blocks.halves).all()


def test_the_direction_is_the_two_loop_recursions(rng):
    objective, theta, *_ = problem(rng)
    metric = Metric(objective)
    memory = Memory(metric, objective.shape, 4)
    H = rng.normal(size=(theta.size,) * 2)
    H = H @ H.T + np.eye(theta.size)
    pairs = []
    for _ in range(6):  # two more than are kept
        s = objective.without_shift(rng.normal(size=theta.shape))
        y = objective.without_shift((H @ s.ravel()).reshape(s.shape))
        pairs.append((s, y))
        assert memory.add(s, y, metric.solve(y))
    assert not memory.add(s, -y, metric.solve(-y))  # no curvature
    g = objective.without_shift(rng.normal(size=theta.shape))

    def textbook():
        q, kept, alphas = g.copy(), pairs[-4:], []
        for s, y in reversed(kept):
            alphas.append(np.vdot(s, q) / np.vdot(s, y))
            q = q - alphas[-1] * y
        s, y = kept[-1]
        r = metric.solve(q) * np.vdot(s, y) / np.vdot(y, metric.solve(y))
        for (s, y), alpha in zip(kept, reversed(alphas), strict=True):
            r = r + (alpha - np.vdot(y, r) / np.vdot(s, y)) * s
        return -r

    assert_allclose(memory.direction(g, metric.solve(g)), textbook(), rtol=1e-8, atol=1e-10)
    metric.refresh(theta, blocks=True)
    memory.refreshed()
    assert_allclose(memory.direction(g, metric.solve(g)), textbook(), rtol=1e-8, atol=1e-10)
    memory.forget()
    assert_allclose(memory.direction(g, metric.solve(g)), -metric.solve(g))


def test_the_memory_is_bounded(rng):
    memory = Memory(None, (1000, 1000), 20)
    assert memory.size == 11
    assert sum(a.nbytes for a in (memory._S, memory._Y, memory._Z)) <= 128 << 20
    assert Memory(None, (1000, 100_000), 20).size == 5


def test_blocks_save_passes_where_classes_curve_along_rows_of_their_own(rng, monkeypatch):
    """The probe that they are there for, and that they change the way, not the answer."""
    X = rng.normal(size=(2000, 40)) / np.arange(1, 41) ** 0.5
    y = np.argmax(X @ rng.normal(size=(30, 40)).T * 3 + rng.gumbel(size=(2000, 30)), axis=1)
    y = np.unique(y, return_inverse=True)[1]
    K = int(y.max()) + 1
    monkeypatch.setattr(minorant, "suits", lambda objective: False)  # it ends all of them sooner
    found = {}
    for kind in ("blocks", "low rank", "kronecker"):
        if kind == "low rank":
            monkeypatch.setattr(ClassBlocks, "fits", staticmethod(lambda objective: False))
        if kind == "kronecker":
            monkeypatch.setattr(LowRankBlocks, "fits", staticmethod(lambda objective: False))
        objective = Objective.of(InMemory(linear.Batch(X, y)), K, 1 / 2000)
        solution = LBFGS(Settings(tol=1e-9)).solve(objective)
        found[kind] = objective.n_passes, solution.value
        assert solution.value - solution.lower_bound <= 1e-9
    assert found["blocks"][1] == pytest.approx(found["kronecker"][1], abs=2e-9)
    assert found["low rank"][1] == pytest.approx(found["kronecker"][1], abs=2e-9)
    assert found["blocks"][0] < 0.75 * found["kronecker"][0]
    assert found["low rank"][0] < 0.9 * found["kronecker"][0]  # a few rows a class of many that curve it


def test_a_sample_stands_for_all_rows(rng):
    n = 50_000
    y = np.where(np.arange(n) < 20, 2, np.arange(n) % 2)  # 20 rows of class 2
    X, s = rng.normal(size=(n, 3)), rng.uniform(0, 2, n)
    s[100:200] = 0
    part = linear.Batch(X, y, s).sample(1000, 8)
    counts = np.bincount(part.y)
    assert counts[2] == 8
    assert 980 <= counts.sum() <= 1020
    factor = part.weight / s[[np.flatnonzero((X == row).all(axis=1))[0] for row in part.X]]
    stood_for = np.bincount(part.y, weights=factor)
    assert_allclose(stood_for, np.bincount(y[s > 0]), rtol=1e-12)
    again = linear.Batch(X, y, s).sample(1000, 8)
    assert np.array_equal(part.X, again.X)


@pytest.mark.parametrize("kind", ["labels", "soft", "smoothed", "topk"])
@pytest.mark.parametrize("sparse", [False, True])
def test_moments_are_the_sums_they_say(rng, kind, sparse):
    X, s = rng.normal(size=(200, 4)) + 2, rng.uniform(0, 2, 200)
    s[5] = 0
    Q = rng.dirichlet(np.ones(3), 200)
    labels = rng.integers(0, 3, 200)
    alpha = 0.1 if kind == "smoothed" else 0.0
    y = labels
    if kind == "soft":
        y = Q
    elif kind == "topk":
        y = linear.TopK(np.tile(np.arange(3), (200, 1)), Q)
    target = Q if kind in ("soft", "topk") else np.eye(3)[labels]
    target = (1 - alpha) * target + alpha / 3
    batch = linear.Batch(scipy.sparse.csr_matrix(X) if sparse else X, y, s, label_smoothing=alpha)
    m = linear.moments(batch, 3)
    assert m.weight == pytest.approx(s.sum())
    assert_allclose(m.x, s @ X, rtol=1e-12)
    assert_allclose(m.classes, s @ target, rtol=1e-12)
    assert_allclose(m.class_x, (s[:, None] * target).T @ X, rtol=1e-11)


def test_a_fit_of_many_rows_starts_from_a_few(rng):
    X = rng.normal(size=(40_000, 4)) * [1, 10, 100, 1000] + 5
    y = np.argmax(X / [1, 10, 100, 1000] @ rng.normal(size=(3, 4)).T + rng.gumbel(size=(40_000, 3)), axis=1)
    objective = Objective.of(InMemory(linear.Batch(X, y)), 3, 1 / 40_000)
    solution = LBFGS(Settings(tol=1e-9)).solve(objective)
    cold = Objective.of(InMemory(linear.Batch(X, y)), 3, 1 / 40_000)
    best = Newton(Settings(tol=1e-12)).solve(cold)
    assert solution.history[0].objective - best.value < 1e-2  # K·D / 2m is 2e-3
    assert solution.value == pytest.approx(best.value, abs=1e-9)
    plain = Objective.of(InMemory(linear.Batch(X, y)), 3, 1 / 40_000)
    LBFGS(Settings(tol=1e-9)).solve(plain, plain.start())
    assert objective.n_passes < plain.n_passes


def test_float32_passes_end_in_a_certificate_in_float64(rng):
    X = (rng.normal(size=(3000, 5)) * [1e-2, 1, 1, 10, 100]).astype(np.float32)
    y = rng.integers(0, 3, 3000)
    narrow = Objective.of(InMemory(linear.Batch(X, y)), 3, 1 / 3000)
    wide = Objective.of(InMemory(linear.Batch(X.astype("d"), y)), 3, 1 / 3000)
    theta = narrow.without_shift(rng.normal(size=narrow.shape) * 0.01)
    rough, exact = narrow.evaluate(theta, exact=False), narrow.evaluate(theta)
    assert not rough.exact
    assert exact.exact
    assert rough.value == pytest.approx(exact.value, rel=1e-6)
    assert rough.value != exact.value
    assert wide.evaluate(theta, exact=False).exact  # float64 X is not narrowed
    a, b = (LBFGS(Settings(tol=1e-10)).solve(o) for o in (narrow, wide))
    assert a.value - a.lower_bound <= 1e-10
    assert a.value == pytest.approx(b.value, abs=2e-10)
