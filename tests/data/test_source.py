"""Sources: what is read of one in order is what memory gives; a source without random access fits as well."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse

from tests.truth.streams import Forward
from xent.data import Batch, InMemory
from xent.objective import Composite, MeanLoss, Objective, Penalty
from xent.solvers import LBFGS, Newton, Proximal, Settings, WorkingSet, short
from xent.solvers.metric import Metric


def draw(n=2000, d=8, K=3, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, d)) * rng.uniform(0.1, 10, d) + rng.normal(size=d)
    y = (X @ rng.normal(size=(d, K)) + 3 * rng.gumbel(size=(n, K))).argmax(axis=1)
    return Batch(X, y, rng.uniform(0.5, 2, n) * (rng.random(n) < 0.9), offset=rng.normal(size=(n, K)))


def csr(batch):
    X = np.where(np.abs(batch.X) > 1, batch.X, 0)
    return Batch(sparse.csr_array(X), batch.y, batch.weight)


@pytest.mark.parametrize("make", [draw, lambda: csr(draw())], ids=["dense", "csr"])
def test_what_is_read_in_order_is_what_memory_gives(make):
    batch = make()
    memory, forward = InMemory(batch), Forward(batch, 77)
    split = InMemory(*(batch.take(slice(i, i + 300)) for i in range(0, 2000, 300)))
    chosen = [np.array([3, 4, 1999]), np.zeros(0, np.int64), np.arange(50, 400, 7), np.array([4])]
    rows = memory.gather(chosen)
    for other in (forward, split):
        found = other.gather(chosen)
        for k, index in enumerate(chosen):
            want = batch.X[index]
            for got in (rows(k), found(k)):
                assert got.shape == want.shape
                assert abs(got - want).sum() == 0
        assert other.n_rows == 2000
        few = other.columns(np.array([1, 5]))
        total = few.sum(lambda part: np.asarray(part.X.sum(axis=0)).ravel())
        assert_allclose(total, np.asarray(batch.X.sum(axis=0)).ravel()[[1, 5]], rtol=1e-12)
    assert forward.readings == 2


def test_a_sample_of_what_is_read_in_order():
    """Every class, weighted up to what it stands for."""
    batch = draw()
    part = Forward(batch, 100).sample(300, 8)
    counted = sum(b.weight.sum() for b in part.batches())
    assert 300 <= part.n_rows < 600
    assert counted == pytest.approx(batch.weight.sum(), rel=0.1)
    assert np.isfinite(part.sum(lambda b: b.X.sum(axis=0))).all()


@pytest.mark.parametrize("solver", [LBFGS, Newton])
@pytest.mark.parametrize(
    ("n", "d", "K"),
    [(2000, 8, 3), (20_000, 8, 3), (3000, 60, 40)],
    ids=["small", "sampled", "blocks"],
)
def test_l2_without_random_access(solver, n, d, K):
    """To memory's certificate and its optimum; the native descent, which wants memory, is not taken."""
    batch = draw(n, d, K)
    forward, memory = Forward(batch, 997), InMemory(batch)
    settings = Settings(tol=1e-9)
    objective = Objective.of(forward, K, 1e-3)
    assert not short.suits(objective)
    found = solver(settings).solve(objective)
    want = solver(settings).solve(Objective.of(memory, K, 1e-3))
    assert found.result is want.result
    assert -1e-14 <= found.value - found.lower_bound <= 1e-9
    assert found.value == pytest.approx(want.value, abs=2e-9)
    assert forward.readings >= objective.n_passes > 0


@pytest.mark.parametrize("n", [2000, 50_000])
@pytest.mark.parametrize("make", [draw, lambda *size: csr(draw(*size))], ids=["dense", "csr"])
@pytest.mark.parametrize("solver", [Proximal, WorkingSet])
def test_l1_without_random_access(solver, make, n):
    batch = make(n)
    settings = Settings(tol=1e-8)

    def solved(source):
        factors = np.broadcast_to(np.append(np.ones(8), 0.0), (3, 9))
        return solver(settings).solve(
            Composite(MeanLoss(source, 3), Penalty.elastic_net(factors, 1.0).scaled(0.02))
        )

    found, want = solved(Forward(batch, 333)), solved(InMemory(batch))
    assert found.result is want.result
    assert -1e-14 <= found.value - found.lower_bound <= 1e-8
    assert found.value == pytest.approx(want.value, abs=2e-8)
    assert_array_equal(found.theta != 0, want.theta != 0)


def test_blocks_ask_once_for_the_rows_of_all_classes():
    """One reading more than memory, however many classes."""
    batch = draw(3000, 60, 40)
    readings = []
    for source in (Forward(batch, 500), InMemory(batch)):
        objective = Objective.of(source, 40, 1e-3)
        metric = Metric(objective)
        metric.refresh(objective.start(), classes=True)
        before = objective.n_passes
        assert metric.refresh(objective.start(), blocks=True, classes=False)
        readings.append(objective.n_passes - before)
    assert readings == [2, 1]
