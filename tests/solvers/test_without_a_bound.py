"""An objective of which nothing can be proven: solvers find its minimum and say that nothing is certain."""

from dataclasses import replace

import numpy as np
import pytest

from xent.data import Batch, InMemory
from xent.estimators.outcome import outcome_of
from xent.estimators.problem import Problem
from xent.objective import MeanLoss, Objective
from xent.solvers import LBFGS, Newton, Result, Settings, short


class Boundless(Objective):
    """F less 1000 nats, which no bound known to solvers holds for."""

    least = None

    def evaluate(self, theta, *, exact=True):
        at = super().evaluate(theta, exact=exact)
        return replace(at, value=at.value - 1000, lower_bound=None)


def draw(n=400, d=5, K=3):
    rng = np.random.default_rng(3)
    X = rng.normal(size=(n, d))
    return Batch(X, (X @ rng.normal(size=(d, K)) + rng.gumbel(size=(n, K))).argmax(axis=1))


@pytest.mark.parametrize("solver", [LBFGS, Newton])
def test_a_minimum_of_which_nothing_is_proven(solver):
    loss = MeanLoss(InMemory(draw()), 3)
    objective = Boundless(loss, 0.01)
    assert not short.suits(objective)
    seen = []
    found = solver(Settings(tol=1e-9, watch=seen.append)).solve(objective)
    want = Newton(Settings(tol=1e-12)).solve(Objective(loss.again(), 0.01))
    assert found.lower_bound is None
    assert found.result is Result.NO_CERTIFICATE
    assert found.value + 1000 == pytest.approx(want.value, abs=1e-9)
    assert {progress.suboptimality for progress in seen} == {np.inf}


def test_what_a_user_is_told():
    """Not that a weaker penalty or other features would help: nothing would."""
    batch = draw()
    problem = Problem(batch, np.arange(3))
    objective = Boundless(MeanLoss(InMemory(batch), 3), 0.01)
    outcome = outcome_of(problem, LBFGS(Settings()).solve(objective), objective, 0.25, 1e-6)
    assert not outcome.converged
    assert outcome.suboptimality == np.inf
    assert "no certificate exists" in outcome.complaint(1e-6)
