"""`converged_`, `suboptimality_` and both bounds against optima found by plain NumPy: random problems."""

import warnings

import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression

from tests.truth.smooth import Plain, softmax_rows
from xent import SoftmaxRegression
from xent.data import InMemory
from xent.kernels import linear
from xent.objective.ridge import Objective
from xent.solvers import LBFGS, Newton, Settings


def draw(rng):
    """A random small problem as (X, y, sample_weight, offset, parameters); y labels or soft rows."""
    n, d, K = int(rng.integers(30, 160)), int(rng.integers(1, 7)), int(rng.integers(2, 6))
    X = rng.normal(size=(n, d))
    if rng.random() < 0.3:
        X = rng.integers(-2, 3, size=(n, d)).astype(float)
    if rng.random() < 0.3 and d > 1:
        X[:, -1] = X[:, 0]
    signal = X @ rng.normal(size=(d, K)) * rng.choice([0.0, 1.0, 4.0])
    if rng.random() < 0.6:
        X = X * 10.0 ** rng.uniform(-4, 4, d)
    if rng.random() < 0.5:
        X = X + X.std(axis=0) * rng.normal(size=d) * 10.0 ** rng.uniform(0, 2)
    X = X.astype(rng.choice([np.float32, np.float64]))
    y = np.argmax(signal + rng.gumbel(size=(n, K)), axis=1)
    rare = rng.random() < 0.25
    if rare:
        y[y == K - 1] = 0
    y[:K] = np.arange(K)
    target = y
    soft = rng.random()
    if soft < 0.2:
        target = softmax_rows(rng, n, K, 10.0 ** rng.uniform(-1, 1))
    elif soft < 0.3:
        target = 0.7 * np.eye(K)[y] + 0.3 * softmax_rows(rng, n, K)
    if rng.random() < 0.3:  # the same rows again
        again = rng.integers(0, n, n // 2)
        X, target = np.vstack([X, X[again]]), np.concatenate([target, target[again]])
        n = len(X)
    s = rng.uniform(0, 2, n) * 10.0 ** rng.uniform(-3, 3) if rng.random() < 0.4 else None
    if s is not None:
        s[: 2 * K] = s.mean()
    offset = rng.normal(size=(n, K)) * 10.0 ** rng.uniform(-1, 1) if rng.random() < 0.3 else None
    params = {"C": 10.0 ** rng.uniform(-3, 6), "fit_intercept": bool(rng.random() < 0.8)}
    if rng.random() < 0.2:
        params["label_smoothing"] = float(rng.choice([1e-6, 0.1, 0.5]))
    if rng.random() < 0.25:
        params["class_penalty_factor"] = 10.0 ** rng.uniform(-2, 2, K)
    if rng.random() < 0.25:
        params["feature_penalty_factor"] = 10.0 ** rng.uniform(-2, 2, d)
    if "label_smoothing" in params and rng.random() < 0.5:  # nothing separates, so there is an optimum
        params["feature_penalty_factor"] = rng.choice([0.0, 1.0], d)
        params["class_penalty_factor"] = rng.choice([0.0, 1.0, 5.0], K)
    return X, target, s, offset, params


def plain_of(X, y, s, offset, params):
    return Plain(
        X,
        y,
        s,
        params["C"],
        params["fit_intercept"],
        params.get("label_smoothing", 0.0),
        offset,
        params.get("class_penalty_factor"),
        params.get("feature_penalty_factor"),
    )


def rounding(X, model, value):
    """What logits of this size, of which most may cancel, may lose: see docs/design/0002."""
    sizes = np.abs(X.astype(np.float64)) @ np.abs(model.coef_.T.astype(np.float64))
    return 1e-13 * (1 + value) + 1e-15 * float(sizes.max())


def any_free(params):
    """Whether collinear features may be without a penalty, where no certificate is found."""
    return any(0 in params.get(f"{name}_penalty_factor", []) for name in ("class", "feature"))


@pytest.mark.parametrize("seed", range(20))
def test_no_figure_is_ever_better_than_the_truth(seed):
    rng = np.random.default_rng([seed, 4])
    for _ in range(10):
        X, y, s, offset, params = problem = draw(rng)
        plain = plain_of(*problem)
        best, _, _ = plain.optimum()
        tol = float(rng.choice([1e-4, 1e-6, 1e-9]))
        for solver in ("auto", "lbfgs", "newton"):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ConvergenceWarning)
                model = SoftmaxRegression(solver=solver, tol=tol, **params).fit(X, y, s, offset)
            value = plain.of(model)
            slack = rounding(X, model, value)
            assert abs(model.objective_ - value) <= slack
            assert value - best <= model.suboptimality_ + slack, (solver, params)
            assert model.converged_ == (model.suboptimality_ <= tol)
            assert not model.converged_ or value - best <= tol + slack
            proven = model.history_["objective"] - model.history_["suboptimality"]
            if X.dtype == np.float64:
                assert (proven <= best + slack).all()
                assert model.converged_ or tol < 1e-6 or params["C"] > 1e3 or any_free(params)


def test_the_truths_agree():
    """Plain Newton, xent's at 1e-13 and scikit-learn's at 1e-12 find the same optimum: a bound that is
    wrong together with the optimum would be seen."""
    rng = np.random.default_rng(7)
    compared = 0
    while compared < 12:
        X, y, s, offset, params = draw(rng)
        if y.ndim == 2 or offset is not None or len(params) > 2 or params["C"] > 1e3:
            continue
        X = X.astype(np.float64) / (np.abs(X).max(axis=0) + (X == 0).all(axis=0))
        best, _, _ = plain_of(X, y, s, None, params).optimum()
        ours = SoftmaxRegression(solver="newton", tol=1e-13, **params).fit(X, y, s)
        total = len(y) if s is None else s.sum()
        theirs = LogisticRegression(solver="newton-cholesky", tol=1e-12, max_iter=500, **params)
        theirs.fit(X, y, None if s is None else s)
        value = plain_of(X, y, s, None, params).of(theirs)
        assert ours.objective_ == pytest.approx(best, abs=1e-12)
        assert value == pytest.approx(best, abs=1e-11), total
        compared += 1


CASES = {
    "soft": {"soft": True},
    "smooth": {"alpha": 0.1},
    "offset": {"offset": True},
    "large offset": {"offset": 30.0},
    "factors": {"u": [0.1, 1.0, 8.0], "v": [1.0, 5.0, 0.2, 1.0]},
    "all": {"soft": True, "alpha": 0.3, "offset": True, "u": [0.1, 1.0, 8.0], "v": [1.0, 5.0, 0.2, 1.0]},
    "zero factors": {"alpha": 0.1, "u": [0.0, 1.0, 2.0], "v": [1.0, 0.0, 1.0, 1.0], "tight": False},
}


@pytest.mark.parametrize("intercept", [True, False])
@pytest.mark.parametrize("C", [0.01, 1.0, 1e6])
@pytest.mark.parametrize("case", CASES)
def test_no_bound_is_ever_below_the_true_gap(rng, case, C, intercept):
    given = CASES[case]
    n, K = 120, 3
    X = (rng.normal(size=(n, 4)) + 1) * [1.0, 0.1, 10.0, 1.0]
    y = softmax_rows(rng, n, K, 2.0) if "soft" in given else rng.integers(0, K, n)
    o = float(given.get("offset", 0)) * rng.normal(size=(n, K)) if "offset" in given else None
    s, alpha = rng.uniform(0.2, 3, n), given.get("alpha", 0.0)
    u, v = (np.array(given[name]) if name in given else None for name in "uv")
    plain = Plain(X, y, s, C, intercept, alpha, o, u, v)
    best, W, b = plain.optimum()
    objective = Objective.of(
        InMemory(linear.Batch(X, y, s, alpha, offset=o)),
        K,
        1 / (C * s.sum()),
        fit_intercept=intercept,
        class_factors=u,
        feature_factors=v,
    )
    np.testing.assert_allclose(objective.loss.share, s @ plain.Q / s.sum(), rtol=1e-12)
    theta = objective.without_shift(objective.theta(W, b))
    slack = 1e-13 * (1 + best)
    assert objective.evaluate(theta).value == pytest.approx(best, abs=slack)
    tight = nontrivial = 0
    for size in 10.0 ** np.arange(-7, 2):
        for _ in range(3):
            scale = 1 / np.append(X.std(axis=0), 1.0)[: objective.shape[1]]
            at = objective.evaluate(
                objective.without_shift(theta + size * rng.normal(size=theta.shape) * scale)
            )
            true = at.value - best
            assert at.lower_bound <= best + slack
            gap = objective.self_concordant_gap(objective.newton_step(at))
            assert gap >= true - slack
            nontrivial += at.lower_bound > 0
            tight += 1e-11 < true < 1e-4 and gap <= 2 * true
    assert tight >= 3
    assert nontrivial or case == "zero factors" or C == 1e6


@pytest.mark.parametrize("solver", [LBFGS, Newton])
def test_passes_in_float32_prove_nothing(rng, solver):
    """Their F and bound are good to 1e-7 only: what counts is taken from passes in float64."""
    X = (rng.normal(size=(3000, 6)) * 10.0 ** np.linspace(-2, 2, 6)).astype(np.float32)
    y = np.argmax((X / X.std(axis=0)) @ rng.normal(size=(6, 4)) + rng.gumbel(size=(3000, 4)), axis=1)
    objective = Objective.of(InMemory(linear.Batch(X, y)), 4, 1 / 3000)
    rough = objective.evaluate(objective.start(), exact=False)
    assert not rough.exact
    assert objective.evaluate(objective.start()).value != rough.value
    short = solver(Settings(max_iter=2)).solve(objective, objective.start())
    assert objective.evaluate(short.theta).value == short.value
    for tol in (1e-5, 1e-8, 1e-11):
        solution = solver(Settings(tol=tol)).solve(objective, objective.start())
        best, _, _ = Plain(X, y).optimum()
        assert objective.evaluate(solution.theta).value == solution.value
        assert solution.lower_bound <= best + 1e-14
        assert solution.value - solution.lower_bound <= tol


def test_a_bound_that_is_wrong_by_a_tenth_would_be_seen(rng, monkeypatch):
    """The sweep is not vacuous: with λ taken too large by a tenth in the dual, it fails."""
    from xent.objective import certificate

    right = certificate.dual_from_products
    monkeypatch.setattr(
        certificate,
        "dual_from_products",
        lambda entropy, probability, share, products, offset: (
            1.01 * right(entropy, probability, share, products / 1.1, offset)
        ),
    )
    with pytest.raises(AssertionError):
        test_no_figure_is_ever_better_than_the_truth(0)


@pytest.mark.parametrize("solver", ["newton", "lbfgs"])
def test_no_bound_comes_of_a_wild_trial_point(solver):
    """Offsets of 100 send trial steps to logits of 1e80, where entropy is a difference of huge numbers."""
    wrong = 0
    for seed in range(150):
        r = np.random.default_rng(seed)
        X, y, o = r.normal(size=(12, 2)), np.arange(12) % 3, r.normal(size=(12, 3)) * 100
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            fits = [
                SoftmaxRegression(C=100, solver=s).fit(X, y, offset=o) for s in (solver, "lbfgs", "newton")
            ]
        best = min(fit.objective_ for fit in fits)
        wrong += fits[0].objective_ - best > fits[0].suboptimality_ + 1e-9
    assert wrong == 0


def test_no_bound_of_any_point_is_above_a_value(rng):
    X, y = rng.normal(size=(60, 3)), np.arange(60) % 3
    objective = Objective.of(InMemory(linear.Batch(X, y)), 3, 1 / 60)
    for size in 10.0 ** np.arange(0, 60, 0.1):
        theta = objective.without_shift(rng.normal(size=objective.shape) * size)
        assert objective.evaluate(theta).lower_bound <= np.log(3)
