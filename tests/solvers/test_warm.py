"""Solvers keep nothing: what one has learnt is in its solution, and serves where it is handed in."""

import copy
import dataclasses

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from xent.data import InMemory
from xent.kernels import linear
from xent.objective.composite import Composite
from xent.objective.penalty import Penalty
from xent.objective.ridge import Objective
from xent.solvers import (
    LBFGS,
    Newton,
    Proximal,
    Result,
    Settings,
    Solution,
    Sweep,
    SweepState,
    WorkingSet,
    chord,
    quadratic,
    short,
)

SMOOTH = [LBFGS, Newton, chord.Chord, Sweep]
SPARSE = [Proximal, WorkingSet]


def smooth(seed, C=1.0, n=400, d=8, K=3):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, d)) * 10 ** rng.uniform(-0.5, 0.5, d)
    y = np.argmax(X @ rng.normal(size=(d, K)) + rng.gumbel(size=(n, K)), axis=1)
    y[:K] = np.arange(K)
    return Objective.of(InMemory(linear.Batch(X, y)), K, 1 / (C * n))


def sparse(seed, C=1.0, n=150, d=300, K=3):
    loss = smooth(seed, np.inf, n, d, K)
    row = np.append(np.ones(d), 0.0) / (C * n)
    return Composite(loss.loss, Penalty.elastic_net(np.broadcast_to(row, (K, d + 1)), 0.9))


def posed(solver, seed, C=1.0):
    return (sparse if solver in SPARSE else smooth)(seed, C)


def at(objective, C):
    """The same rows at another C."""
    n = objective.n_rows
    if isinstance(objective, Objective):
        return objective.at_ridge(1 / (C * n))
    row = np.append(np.ones(objective.n_features), 0.0) / (C * n)
    penalty = Penalty.elastic_net(np.broadcast_to(row, objective.shape), 0.9)
    return Composite(objective.loss.again(), penalty)


def same(a: Solution, b: Solution):
    assert a.n_iter == b.n_iter
    assert a.value == b.value
    assert_array_equal(a.theta, b.theta)
    assert [p.figures for p in a.history] == [p.figures for p in b.history]


@pytest.fixture(params=["as it comes", "the long way"])
def way(request, monkeypatch):
    """The long way L-BFGS descends in Python, and L1 goes on with blocks and pairs, a Hessian being dear."""
    if request.param == "the long way":
        monkeypatch.setattr(short, "suits", lambda objective: False)
        monkeypatch.setattr(quadratic, "_CHEAP", -1.0)


@pytest.mark.parametrize("kind", SMOOTH + SPARSE)
def test_a_solver_that_is_used_again_is_as_a_fresh_one(way, kind):
    """On other rows, after fits of these, one of them from the state of another."""
    used, tight = kind(Settings(tol=1e-9)), posed(kind, 1)
    first = used.solve(tight)
    used.solve(at(tight, 3.0), warm=first.state)
    again = used.solve(posed(kind, 2))
    same(again, kind(Settings(tol=1e-9)).solve(posed(kind, 2)))
    assert again.n_iter > 2
    with pytest.raises(AttributeError):  # frozen
        used.settings = Settings()


@pytest.mark.parametrize("kind", SMOOTH + SPARSE)
def test_a_state_is_left_as_it_is(way, kind):
    """Two fits that go on from one state are the same, whatever came of it in between."""
    solver, first = kind(Settings(tol=1e-9)), posed(kind, 1)
    state = solver.solve(first).state
    one, between, other = (solver.solve(at(first, C), warm=state) for C in (2.0, 50.0, 2.0))
    same(one, other)
    assert between.n_iter > 0
    same(one, solver.solve(at(first, 2.0), warm=copy.deepcopy(state)))


@pytest.mark.parametrize("kind", [Sweep, *SPARSE])
def test_what_is_handed_in_helps(kind):
    """Readings of X, Hessians included, at ten values of C, each from the last; against as many fits that
    know nothing."""
    solver, first = kind(Settings(tol=1e-9)), posed(kind, 1)
    passes, state = np.zeros(2, int), None
    for C in np.logspace(-1, 1, 10):
        warm, cold = at(first, C), at(first, C)
        state = solver.solve(warm, warm=state).state
        solver.solve(cold)
        passes += warm.n_passes, cold.n_passes
    assert passes[0] < 0.85 * passes[1]


def test_metric_and_pairs_that_are_handed_in_help(monkeypatch):
    monkeypatch.setattr(short, "suits", lambda objective: False)
    first, solver = smooth(1, n=600, d=20, K=8), LBFGS(Settings(tol=1e-9))
    last = solver.solve(first)
    warm, cold = at(first, 1.2), at(first, 1.2)
    solver.solve(warm, last.theta, last.state)
    solver.solve(cold, last.theta)
    assert warm.n_passes < cold.n_passes


def test_a_hessian_that_is_handed_in_serves(monkeypatch):
    taken, hessian = [], chord.hessian
    monkeypatch.setattr(chord, "hessian", lambda *of, **how: taken.append(1) or hessian(*of, **how))
    first, solver = smooth(1), chord.Chord(Settings(tol=1e-9))
    last = solver.solve(first)
    counts = []
    for state in (None, last.state):
        taken.clear()
        assert solver.solve(at(first, 1.2), last.theta, state).n_iter > 0
        counts.append(len(taken))
    assert counts[1] < counts[0]


def test_rows_much_alike_are_started_from_one_another():
    """Two halves of the same rows, from λ to λ together: beside each other, the second takes fewer passes."""
    first = smooth(1, n=1200, d=20, K=8)
    second = Objective(first.loss.over(first.loss.source.sample(900, 8)), first.ridge)
    solver, passes = Sweep(Settings(tol=1e-9)), np.zeros(2, int)
    here = beside = alone = None
    for C in (0.1, 1.0, 10.0):
        solved = solver.solve(at(first, C), warm=here)
        here = solved.state
        for which, state in enumerate(((beside or SweepState()).beside([solved]), alone)):
            objective = at(second, C)
            found = solver.solve(objective, warm=state)
            assert found.result is Result.CERTIFIED
            passes[which] += objective.n_passes
            beside, alone = (found.state, alone) if which == 0 else (beside, found.state)
    assert passes[0] < passes[1]
    lost = dataclasses.replace(solved, result=Result.STALLED)
    assert beside.beside([lost]).foretold(1.0) is None
