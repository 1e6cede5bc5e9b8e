"""The two bounds against optima known to 1e-14: never below the true gap, and tight near the end."""

import warnings

import numpy as np
import pytest
from sklearn.datasets import load_digits, load_iris, load_wine
from sklearn.exceptions import ConvergenceWarning

from xent import SoftmaxRegression, reference
from xent.data import InMemory
from xent.kernels import linear
from xent.objective import certificate
from xent.objective.ridge import Objective
from xent.solvers import LBFGS, Newton, Settings, short


def problem(name, rng):
    if name == "iris":
        X, y = load_iris(return_X_y=True)
    elif name == "wine":
        X, y = load_wine(return_X_y=True)
    elif name == "digits":
        X, y = (a[:300] for a in load_digits(return_X_y=True))
    elif name == "scales":
        X = rng.normal(size=(400, 8)) * 10.0 ** np.linspace(-3, 3, 8)
        y = rng.integers(0, 4, 400)
    else:  # rare: three rows of one class in 500
        X, y = rng.normal(size=(500, 5)), np.r_[np.zeros(300), np.ones(197), np.full(3, 2)]
    return X, y.astype(np.int64)


@pytest.mark.parametrize("intercept", [True, False])
@pytest.mark.parametrize("C", [0.01, 1.0, 100.0])
@pytest.mark.parametrize("name", ["iris", "wine", "digits", "scales", "rare"])
def test_no_bound_is_ever_below_the_true_gap(rng, name, C, intercept):
    X, y = problem(name, rng)
    s = rng.uniform(0.2, 3, len(y))
    K = int(y.max()) + 1
    objective = Objective.of(InMemory(linear.Batch(X, y, s)), K, 1 / (C * s.sum()), fit_intercept=intercept)
    best = Newton(Settings(tol=1e-13, max_iter=200)).solve(objective, objective.start())
    optimum = best.value
    rounding = 1e-14 * (1 + optimum)
    assert best.value - best.lower_bound <= 1e-13 + rounding

    checked = 0
    for size in 10.0 ** np.arange(-8, 2):
        scale = 1 / np.append(X.std(axis=0) + 1e-3, 1.0)[: objective.shape[1]]
        for _ in range(3):
            theta = best.theta + size * rng.normal(size=best.theta.shape) * scale
            at = objective.evaluate(objective.without_shift(theta))
            true = at.value - optimum
            assert at.lower_bound <= optimum + rounding
            step = objective.newton_step(at)
            gap = objective.self_concordant_gap(step)
            assert gap >= true - rounding
            if np.isfinite(gap) and true > 1e-12 and gap < 1e-4:
                checked += 1
                assert gap <= 2 * true  # tight once the quadratic model holds
    assert checked > 0


def test_the_dual_is_the_gap_to_second_order_once_the_intercept_is_balanced(rng, monkeypatch):
    monkeypatch.setattr(short, "suits", lambda objective: False)  # in native code Newton's steps end it
    X, y = problem("iris", rng)
    objective = Objective.of(InMemory(linear.Batch(X, y)), 3, 1 / len(y))
    best = LBFGS(Settings(tol=1e-12)).solve(objective, objective.start())
    gap = best.value - best.lower_bound
    W = objective.evaluate(best.theta).gradient[:, :-1]
    assert gap <= (W**2).sum() / (2 * objective.ridge) + 1e-13


def test_a_wrong_dual_would_be_seen(rng):
    """Without the balance of class totals the expression is no lower bound: the test above is not vacuous."""
    X, y = problem("wine", rng)
    objective = Objective.of(InMemory(linear.Batch(X, y)), 3, 1.0)
    best = Newton(Settings(tol=1e-13)).solve(objective, objective.start())
    theta = best.theta.copy()
    theta[0, -1] += 1.0
    W, b = objective.coefficients(theta)
    P = reference.softmax(reference.linear(X, W, b))
    grad_W = (P - np.eye(3)[y]).T @ (X - X.mean(axis=0)) / len(y)
    arguments = {
        "mean_entropy": float(reference.entropy(P).mean()),
        "share": objective.loss.share,
        "grad_W": grad_W,
        "class_x": np.eye(3)[y].T @ (X - X.mean(axis=0)) / len(y),
        "penalties": 1.0,
    }
    right = certificate.dual_lower_bound(probability=P.mean(axis=0), **arguments)
    assert right <= best.value
    assert right == pytest.approx(objective.evaluate(theta).lower_bound, rel=1e-10)


@pytest.mark.parametrize("solver", ["lbfgs", "newton"])
@pytest.mark.parametrize("delta", [1e-6, 1e-8, 1e-9, 1e-11, 1e-13])
def test_nearly_collinear_features_without_a_penalty(rng, solver, delta):
    """The second column is the first and a little z: judged to be nothing, z would cost 0.1 nats unseen."""
    a, z = rng.normal(size=(2, 200))
    y = (z + a + rng.logistic(size=200) > 0).astype(int)
    X = np.column_stack([a, a + delta * z])
    apart = np.column_stack([a, (X[:, 1] - X[:, 0]) / delta])
    best = SoftmaxRegression(C=np.inf, tol=1e-12).fit(apart, y).objective_
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model = SoftmaxRegression(C=np.inf, solver=solver).fit(X, y)
    assert model.objective_ - best <= model.suboptimality_ + 1e-9
    if delta == 1e-6:
        assert model.converged_


def test_polynomial_features_without_a_penalty(rng):
    x = rng.uniform(0, 1, 300)
    y = (np.sin(12 * x) + rng.logistic(size=300) * 0.5 > 0).astype(int)
    for degree in (6, 9, 12, 14, 18):
        X = np.vander(x, degree + 1, increasing=True)
        Q = np.linalg.qr(X)[0][:, 1:]
        best = SoftmaxRegression(C=np.inf, tol=1e-12).fit(Q, y).objective_
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            model = SoftmaxRegression(C=np.inf).fit(X[:, 1:], y)
        assert model.objective_ - best <= model.suboptimality_ + 1e-9


def test_a_shifted_point_gets_no_newton_step(rng):
    """With large W and little λ its gradient along the shift would be divided by a curvature put there."""
    X, y = problem("iris", rng)
    objective = Objective.of(InMemory(linear.Batch(X, y)), 3, 0.1)
    with pytest.raises(ValueError, match="without a shift"):
        objective.newton_step(objective.evaluate(np.ones(objective.shape)))


def test_self_concordant_series_meets_the_closed_form():
    for c in (0.5, 30.0):
        for u in (0.99e-4, 1.01e-4):
            exact = (u + (1 - u) * np.log1p(-u)) / c**2
            assert certificate.self_concordant_gap(u / c, c) == pytest.approx(exact, rel=1e-6)
    assert certificate.self_concordant_gap(1.0, 1.0) == np.inf
    assert certificate.self_concordant_gap(np.inf, 0.0) == np.inf
    assert certificate.self_concordant_gap(1e-3, 0.0) == pytest.approx(0.5e-6)


def test_reach_is_above_every_pair(rng):
    rows, K, D = rng.normal(size=(20, 3)), 4, 3
    A = rng.normal(size=(K * D, K * D))
    H = A @ A.T + np.eye(K * D)
    inverse = np.linalg.inv(H).reshape(K, D, K, D)
    worst = 0.0
    for x in rows:
        for k in range(K):
            for j in range(k):
                v = np.kron(np.eye(K)[k] - np.eye(K)[j], x)
                worst = max(worst, float(np.sqrt(v @ np.linalg.solve(H, v))))
    reach = certificate.pairwise_reach(rows, certificate.reach_forms(inverse))
    assert worst <= reach * (1 + 1e-12)
    assert reach <= 2 * worst


def test_rough_reach_is_above_the_other(rng):
    """For features of any scale; and it is what a small enough decrement is judged by."""
    X, y = rng.normal(size=(500, 4)) * [1e-6, 1, 1e3, 1e8], rng.integers(0, 3, 500)
    for K in (2, 3):
        objective = Objective.of(InMemory(linear.Batch(X, y % K)), K, 1e-3)
        step = objective.newton_step(objective.evaluate(objective.start()))
        rows = next(linear.augmented_blocks(objective.loss.source.whole, objective.loss.centre, True))
        forms = certificate.reach_forms(step.inverse())
        tight, rough = certificate.pairwise_reach(rows, forms), certificate.rough_reach(rows, forms)
        assert tight <= rough <= 30 * tight
