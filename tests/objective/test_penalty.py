"""The penalty's conjugate, subgradient and dual bound against their definitions: differences and search."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.optimize import minimize_scalar

from tests.truth.sparse import Sparse
from xent.data import InMemory
from xent.kernels import linear
from xent.objective.composite import Composite
from xent.objective.loss import MeanLoss
from xent.objective.penalty import Penalty

K, D = 3, 7
KINDS = ["l1", "elastic net", "bounds", "mixed", "grouped", "grouped lasso"]


def draw(rng, kind, box=np.inf):
    """A penalty of this kind, (K, D), and a point within its bounds with zeros and corners; its l2 is above 0
    or its coefficients are within `box`."""
    l2, l1 = (rng.uniform(0.1, 2, (K, D)) for _ in range(2))
    lower, upper = np.full((K, D), -box), np.full((K, D), box)
    if kind in ("l1", "grouped lasso"):
        l2 = np.zeros((K, D))
    if kind == "mixed":
        l2, l1 = l2 * rng.integers(0, 2, (K, D)), l1 * rng.integers(0, 2, (K, D))
    if kind in ("bounds", "mixed"):
        lower = np.maximum(lower, rng.choice([-np.inf, -0.5, 0.0, 0.2], (K, D)))
        upper = np.minimum(upper, rng.choice([np.inf, 0.5, 0.2], (K, D)))
    if kind.startswith("grouped"):
        l2, l1 = (np.broadcast_to(a[0], (K, D)) for a in (l2, l1))
    penalty = Penalty(l2, l1, lower, upper, kind.startswith("grouped"))
    theta = penalty.clip(rng.normal(size=(K, D)) * (rng.random((K, D)) < 0.7))
    theta[:, 0] = penalty.clip(np.zeros((K, D)))[:, 0]
    return penalty, theta


@pytest.mark.parametrize("kind", KINDS)
def test_value_and_change(rng, kind):
    penalty, theta = draw(rng, kind)
    other = penalty.clip(theta + rng.normal(size=theta.shape))
    want = []
    for w in (theta, other):
        ridge = sum(penalty.l2[k, j] * w[k, j] ** 2 / 2 for k in range(K) for j in range(D))
        if penalty.grouped:
            corners = sum(penalty.l1[0, j] * sum(w[:, j] ** 2) ** 0.5 for j in range(D))
        else:
            corners = sum(penalty.l1[k, j] * abs(w[k, j]) for k in range(K) for j in range(D))
        assert penalty.value(w) == pytest.approx(ridge + corners, rel=1e-13)
        want.append(ridge + corners)
    assert penalty.change(theta, other) == pytest.approx(want[1] - want[0], abs=1e-12)
    # Where a difference of values is nothing but rounding.
    near = theta * (1 + 1e-9)
    exact = penalty.change(theta, theta * (1 + 1e-4)) * 1e-5
    assert penalty.change(theta, near) == pytest.approx(exact, rel=2e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_scaled_and_taken(rng, kind):
    penalty, theta = draw(rng, kind)
    assert penalty.scaled(3.0).value(theta) == pytest.approx(3 * penalty.value(theta))
    left, right = penalty.take(slice(4)), penalty.take(np.arange(4, D))
    parts = left.value(theta[:, :4]) + right.value(theta[:, 4:])
    assert parts == pytest.approx(penalty.value(theta))
    row = Penalty.elastic_net(np.broadcast_to(np.ones(D), (K, D)), 0.25)
    assert row.scaled(2.0).l2.strides[0] == 0  # one row in memory
    assert_array_equal(row.scaled(2.0).l2, 1.5)
    assert_array_equal(row.scaled(2.0).l1, 0.5)


@pytest.mark.parametrize("kind", ["l1", "elastic net", "bounds", "mixed"])
def test_the_subgradient_is_the_smallest_number_between_the_slopes(rng, kind):
    """Slopes to either side by differences, infinite towards a bound."""
    for _ in range(20):
        penalty, theta = draw(rng, kind)
        gradient = rng.normal(size=(K, D)) * 1.5
        got = penalty.subgradient(theta, gradient)
        for k, j in np.ndindex(K, D):
            slopes = []
            for h in (-1e-7, 1e-7):
                to = theta.copy()
                to[k, j] += h
                outside = to[k, j] < penalty.lower[k, j] or to[k, j] > penalty.upper[k, j]
                slope = gradient[k, j] + (penalty.value(to) - penalty.value(theta)) / h
                slopes.append(np.sign(h) * np.inf if outside else slope)
            left, right = slopes
            want = left if left > 0 else right if right < 0 else 0.0
            assert got[k, j] == pytest.approx(want, abs=1e-6)


@pytest.mark.parametrize("kind", ["grouped", "grouped lasso"])
def test_the_subgradient_of_groups(rng, kind):
    """Where a group is live, the gradient by differences; at 0, the least of g + l1 u over ‖u‖ ≤ 1."""
    penalty, theta = draw(rng, kind)
    gradient = rng.normal(size=(K, D)) * 1.5
    got = penalty.subgradient(theta, gradient)
    live = theta.any(axis=0)
    assert live.any()
    assert not live.all()
    for k, j in np.ndindex(K, D):
        if live[j]:
            step = np.zeros((K, D))
            step[k, j] = 1e-6
            slope = (penalty.value(theta + step) - penalty.value(theta - step)) / 2e-6
            assert got[k, j] == pytest.approx(gradient[k, j] + slope, abs=1e-6)
    for j in np.flatnonzero(~live):
        g, l1 = gradient[:, j], penalty.l1[0, j]
        assert np.linalg.norm(got[:, j] - g) <= l1 * (1 + 1e-12)
        u = rng.normal(size=(2000, K))
        u *= np.minimum(1, rng.uniform(0.5, 1.5, (2000, 1))) / np.linalg.norm(u, axis=1, keepdims=True)
        assert np.linalg.norm(got[:, j]) <= np.linalg.norm(g + l1 * u, axis=1).min() + 1e-12


@pytest.mark.parametrize("kind", KINDS)
def test_least_scale(rng, kind):
    """At 1/scale times the penalty 0 is optimal for what l1 penalises, a little less holds it no more."""
    penalty, _ = draw(rng, kind)
    held = (penalty.l1 > 0) & (penalty.lower <= 0) & (penalty.upper >= 0)
    held[:, -1] = True
    columns = np.flatnonzero(held.all(axis=0))
    l1 = penalty.l1.copy()
    l1[:, -1] = 0  # an intercept
    penalty = Penalty(penalty.l2, l1, penalty.lower, penalty.upper, penalty.grouped).take(columns)
    gradient = rng.normal(size=penalty.l1.shape)
    gradient[:, -1] = 0
    scale = penalty.least_scale(gradient)
    assert 0 < scale < np.inf
    zero = np.zeros(gradient.shape)
    at = penalty.scaled((1 + 1e-9) / scale)
    assert not at.subgradient(zero, gradient).any()
    at = penalty.scaled((1 - 1e-9) / scale)
    assert at.subgradient(zero, gradient).any()
    assert penalty.least_scale(zero) == np.inf


def test_least_scale_knows_bounds():
    """A bound at 0 holds a coefficient at any scale."""
    wide = np.array([[1.0, 1.0]])
    penalty = Penalty(0 * wide, wide, np.array([[0.0, -np.inf]]), np.array([[np.inf, 0.0]]))
    assert penalty.least_scale(np.array([[3.0, -2.0]])) == np.inf
    assert penalty.least_scale(np.array([[-3.0, -2.0]])) == pytest.approx(1 / 3)
    assert penalty.least_scale(np.array([[3.0, 2.0]])) == pytest.approx(1 / 2)


@pytest.mark.parametrize("kind", KINDS)
def test_the_conjugates_maximiser(rng, kind):
    """Against a search over each coefficient, or along and across a group's direction."""
    for _ in range(5):
        penalty, _ = draw(rng, kind, box=np.inf if kind in ("elastic net", "grouped") else 4.0)
        if kind == "grouped lasso":
            v = rng.normal(size=(K, D))
            v *= penalty.l1[0] / np.linalg.norm(v, axis=0) * rng.uniform(0, 0.999, D)
            assert not penalty._maximiser(v).any()  # within l1, R* is 0, and infinite beyond
            continue
        v = rng.normal(size=(K, D)) * 3
        w = penalty._maximiser(v)
        assert (w >= penalty.lower).all()
        assert (w <= penalty.upper).all()
        best = np.vdot(w, v) - penalty.value(w)
        for _ in range(300):
            other = penalty.clip(w + rng.normal(size=w.shape) * 10 ** rng.uniform(-4, 1))
            assert np.vdot(other, v) - penalty.value(other) <= best + 1e-12
        if penalty.grouped:
            continue
        for k, j in np.ndindex(K, D):
            one = penalty.take(np.array([j]))
            low, high = max(one.lower[k, 0], -99), min(one.upper[k, 0], 99)

            def negative(x, k=k, one=one, at=v[k, j]):
                return one.l2[k, 0] * x * x / 2 + one.l1[k, 0] * abs(x) - at * x

            found = minimize_scalar(negative, bounds=(low, high), method="bounded", options={"xatol": 1e-10})
            least = min(found.fun, negative(low), negative(high), negative(np.clip(0.0, low, high)))
            assert negative(w[k, j]) <= least + 1e-12


@pytest.mark.parametrize("kind", KINDS)
def test_the_dual_bound_is_the_best_of_a_grid(rng, kind):
    for _ in range(10):
        penalty, _ = draw(rng, kind)
        v, entropy = rng.normal(size=(K, D)), rng.uniform(0.1, 3)
        got = penalty.dual_bound(entropy, v)
        best = 0.0
        for c in np.linspace(0, 1, 401):
            if penalty._reach(-c * v) < 1:
                w = penalty._maximiser(-c * v)
                best = max(best, c * entropy + c * np.vdot(w, v) + penalty.value(w))
        assert got >= best - 0.02 * entropy  # eight halvings
        assert got <= best + 0.02 * entropy


@pytest.mark.parametrize("grouped", [False, True])
def test_the_least_shift(rng, grouped):
    """The loss does not know a shift common to all classes: R's least along it, against a grid of shifts."""
    for kind in ["grouped", "grouped lasso"] if grouped else ["l1", "elastic net", "bounds", "mixed"]:
        for _ in range(20):
            penalty, theta = draw(rng, kind)
            theta = penalty.clip(theta.round(int(rng.integers(0, 4))) + rng.choice([0.0, 1.0], D))
            new = penalty.without_shift(theta)
            assert np.ptp(theta - new, axis=0).max() < 1e-12
            low = np.maximum((theta - penalty.upper).max(axis=0), -3)
            high = np.minimum((theta - penalty.lower).min(axis=0), 3)
            shifts = [*np.linspace(low, high, 201), *theta]
            for j in range(D):
                one = penalty.take(np.array([j]))
                values = [one.value(theta[:, [j]] - t[j]) for t in shifts if low[j] <= t[j] <= high[j]]
                assert one.value(new[:, [j]]) <= min(values) + 1e-12
            assert_allclose(penalty.without_shift(new), new, atol=1e-15)


def test_of_equal_shifts_one_makes_a_zero(rng):
    """Of an even number of classes L1 is level between the middle two; without a penalty the mean is as
    good as any."""
    theta = np.array([[-0.3, 0.3], [-0.1, 0.1], [0.2, 0.2], [0.5, 0.5]])
    ones, infinite = np.ones((4, 2)), np.full((4, 2), np.inf)
    new = Penalty(0 * ones, ones, -infinite, infinite).without_shift(theta)
    assert_allclose(new, [[-0.2, 0.1], [0, -0.1], [0.3, 0], [0.6, 0.3]], atol=1e-15)
    assert (new == 0).sum() == 2
    free = Penalty(0 * ones, 0 * ones, -infinite, infinite).without_shift(theta)
    assert_allclose(free.mean(axis=0), 0, atol=1e-15)


def problem(rng, kind, intercept):
    """X, y, weights, offsets and parameters; what is not penalised is bounded."""
    X, y = rng.normal(size=(50, 5)) + 1, np.append([0, 1, 2], rng.integers(0, 3, 47))
    s, o = rng.uniform(0.2, 2, 50), rng.normal(size=(50, 3))
    given = {"C": 10 ** rng.uniform(-1.5, 0.5), "fit_intercept": intercept}
    given |= {
        "l1": {"l1_ratio": 1.0},
        "mixed": {"l1_ratio": 1.0, "feature_penalty_factor": [0, 1, 2, 3, 0], "bounds": (-0.4, 0.5)},
        "classes": {"l1_ratio": 0.5, "class_penalty_factor": [0.1, 1, 5]},
        "bounds": {"l1_ratio": 0.0, "bounds": (0.0, np.inf)},
        "infinite C": {"C": np.inf, "bounds": (-0.2, 0.3)},
        "grouped": {"l1_ratio": 0.6, "grouped": True},
        "group lasso": {"l1_ratio": 1.0, "grouped": True, "feature_penalty_factor": [1, 2, 3, 1, 1]},
    }[kind]
    return X, y, s, o, given


@pytest.mark.parametrize("intercept", [True, False])
@pytest.mark.parametrize("kind", ["l1", "mixed", "classes", "bounds", "infinite C", "grouped", "group lasso"])
def test_no_dual_bound_is_above_a_value(rng, kind, intercept):
    """Weak duality, at random points and at cvxpy's optimum, where the bound is reached."""
    X, y, s, o, given = problem(rng, kind, intercept)
    truth = Sparse(X, y, s, o, **given)
    best, W, b = truth.optimum()
    loss = MeanLoss(InMemory(linear.Batch(X, y, s, offset=o)), 3, fit_intercept=intercept)
    bias = np.zeros((3, int(intercept)))
    sides = (np.hstack([truth.lower, bias - np.inf]), np.hstack([truth.upper, bias + np.inf]))
    l2, l1 = (np.hstack([a, bias]) for a in (truth.l2, truth.l1))
    composite = Composite(loss, Penalty(l2, l1, *sides, truth.grouped))
    optimum = loss.theta(W, b)
    largest = 0.0
    for size in 10.0 ** np.arange(-8, 2):
        for _ in range(5):
            theta = composite.penalty.clip(optimum + size * rng.normal(size=optimum.shape))
            at = composite.evaluate(theta)
            assert at.value == pytest.approx(truth.value(*loss.coefficients(theta)), rel=1e-12)
            assert at.lower_bound <= best + 1e-13
            largest = max(largest, at.lower_bound)
    assert largest >= best - 1e-3
