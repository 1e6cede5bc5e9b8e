"""The solvers of sparse models: one optimum by every way there, certificates, dtypes, warm starts, paths."""

import itertools
import os
import subprocess
import sys
import warnings

import numpy as np
import pytest
import scipy.sparse
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression

from tests.estimators.test_sparse import draw, fit
from tests.truth.sparse import Sparse
from xent import SoftmaxRegression, l1_min_c, softmax_path
from xent.data import InMemory
from xent.kernels import linear
from xent.objective.composite import Composite
from xent.objective.loss import MeanLoss
from xent.objective.penalty import Penalty
from xent.solvers import Proximal, Settings, WorkingSet, choose, quadratic, rows
from xent.solvers.quadratic import Quadratic

KINDS = {
    "lasso": {"l1_ratio": 1.0},
    "elastic net": {"l1_ratio": 0.6},
    "groups": {"l1_ratio": 0.8, "grouped": True},
    "positive": {"l1_ratio": 0.8, "bounds": (0.0, np.inf)},
    "no intercept": {"l1_ratio": 0.8, "fit_intercept": False},
}


def wide(rng, n=90, d=3000, K=3):
    """More features than rows, most of them noise, most of X zero."""
    X = rng.normal(size=(n, d)) * (rng.random((n, d)) < 0.2)
    X[:, :4] = rng.normal(size=(n, 4))
    y = np.argmax(2 * X[:, :4] @ rng.normal(size=(4, K)) + rng.gumbel(size=(n, K)), axis=1)
    y[:K] = np.arange(K)
    return X, y


def composite_of(X, y, C, l1_ratio, grouped=False, bounds=(-np.inf, np.inf), fit_intercept=True):
    K, d = y.max() + 1, X.shape[1]
    row = np.append(np.ones(d), np.zeros(int(fit_intercept))) / (C * len(y))
    penalties = np.broadcast_to(row, (K, len(row)))
    lower, upper = (np.full((K, len(row)), side) for side in bounds)
    lower[:, d:], upper[:, d:] = -np.inf, np.inf
    loss = MeanLoss(InMemory(linear.Batch(X, y)), K, fit_intercept=fit_intercept)
    return Composite(loss, Penalty.elastic_net(penalties, l1_ratio, (lower, upper), grouped=grouped))


@pytest.mark.parametrize("times", [1.5, 20.0])
@pytest.mark.parametrize("kind", KINDS)
def test_the_working_set_finds_what_all_features_find(rng, kind, times):
    """On 3000 features of 90 rows, dense and CSR, float64 and float32."""
    X, y = wide(rng)
    given = KINDS[kind]
    C = times * l1_min_c(X, y, model=SoftmaxRegression(**given))
    found = []
    for A in (X, scipy.sparse.csr_array(X)):
        for solver in (WorkingSet, Proximal):
            composite = composite_of(A, y, C, **given)
            assert isinstance(choose("auto", composite, Settings()), WorkingSet)
            solution = solver(Settings(tol=1e-9)).solve(composite)
            assert solution.value - solution.lower_bound <= 1e-9, solver
            found.append(solution)
    for solution in found[1:]:
        assert solution.value == pytest.approx(found[0].value, abs=1e-9)
    truth = Sparse(X, y, C=C, **given)
    model = fit(scipy.sparse.csr_matrix(X), y, C=C, tol=1e-9, **given)
    assert truth.of(model) == pytest.approx(found[0].value, abs=1e-9)
    assert truth.violation(model.coef_, model.intercept_) <= 1e-4 * truth.l1.max()
    features = (model.coef_ != 0).any(axis=0).sum()
    assert 1 <= features <= 3 * len(y)
    if given.get("grouped"):
        assert ((model.coef_ != 0).all(axis=0) | (model.coef_ == 0).all(axis=0)).all()
    single = fit(X.astype(np.float32), y, C=C, tol=1e-6, **given)
    assert single.coef_.dtype == np.float32
    assert single.converged_
    assert -1e-9 <= Sparse(X.astype(np.float32), y, C=C, **given).of(single) - single.objective_ <= 1e-7


def test_features_that_bounds_hold_are_always_in(rng):
    """At a number that is not 0: what they add to logits must not be forgotten."""
    X, y = wide(rng)
    lower, upper = np.full((3, 3000), -np.inf), np.full((3, 3000), np.inf)
    X[:, 7] = 1e-4 * rng.normal(size=len(y))  # its gradient is far from letting it in
    lower[1, [0, 7]] = upper[1, [0, 7]] = 0.4, 9000
    truth = Sparse(X, y, C=0.3, l1_ratio=1.0, bounds=(lower, upper))
    model = fit(X, y, C=0.3, l1_ratio=1.0, bounds=(lower, upper), tol=1e-8)
    assert model.converged_
    assert truth.of(model) == pytest.approx(model.objective_, abs=1e-12)
    assert truth.violation(model.coef_, model.intercept_) <= 1e-5 * truth.l1.max()


def test_no_feature_is_in(rng):
    """A working set of nothing, with and without an intercept."""
    X, y = wide(rng)
    for intercept in (True, False):
        model = fit(X, y, C=1e-3, l1_ratio=1.0, fit_intercept=intercept)
        assert model.converged_
        assert not model.coef_.any()


def test_blocks_of_some_features(rng, monkeypatch):
    """Where blocks of all that wants to move do not fit: 64 a class, by turns, and groups kept whole."""
    X, y = draw(rng, n=400, d=90, K=4)
    for kind, given in KINDS.items():
        composite = composite_of(X, y, 1.0, **given)
        want = Proximal(Settings(tol=1e-9)).solve(composite)
        with monkeypatch.context() as patch:
            patch.setattr("xent.solvers.quadratic.MAX_BYTES", 1000)
            assert not Quadratic.fits(composite)
            solution = Proximal(Settings(tol=1e-7)).solve(composite)
        assert solution.value - solution.lower_bound <= 1e-7, kind
        assert solution.value == pytest.approx(want.value, abs=1e-7), kind


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("kind", KINDS)
def test_dtypes(rng, kind, dtype):
    """Certified in float64 whatever X is; zeros stay exact and bounds are kept."""
    X, y = draw(rng, n=400, d=12)
    X = X.astype(dtype)
    model = SoftmaxRegression(C=0.5, **KINDS[kind]).fit(X, y)
    truth = Sparse(X, y, C=0.5, **KINDS[kind])
    assert model.converged_
    assert model.coef_.dtype == (np.float64 if dtype == np.float64 else np.float32)
    best = fit(X.astype(np.float64), y, C=0.5, **KINDS[kind])
    assert truth.of(model) == pytest.approx(model.objective_, abs=1e-12)
    assert 0 <= model.objective_ - best.objective_ + 1e-12 <= 1e-6
    surely = np.abs(best.coef_) > 1e-2
    assert (model.coef_[surely] != 0).all()
    assert (model.coef_ == 0).sum() == (best.coef_ == 0).sum() or dtype == np.float16


@pytest.mark.parametrize("kind", [*KINDS, "two", "box"])
def test_no_gap_is_ever_below_the_true_one(rng, kind):
    """Wherever a fit ends: after any number of iterations, at any tol."""
    given = KINDS.get(kind) or {"l1_ratio": 0.7 if kind == "two" else 0.0}
    if kind == "box":
        given = {"bounds": (-0.3, 0.2)}
    checked = 0
    for _ in range(4):
        X, y = draw(rng, n=int(rng.integers(20, 80)), d=5, K=2 if kind == "two" else 4)
        X *= 10 ** rng.uniform(-1, 1, 5)
        C, s, o = (
            10 ** rng.uniform(-1.5, 3),
            rng.uniform(0.1, 2, len(y)),
            rng.normal(size=(len(y), y.max() + 1)),
        )
        truth = Sparse(X, y, s, o, C=C, **given)
        best = min(truth.optimum()[0], truth.of(fit(X, y, s, o, C=C, **given)))
        for most in (1, 2, 3, 5, 8, 13, 30):
            model = fit(X, y, s, o, C=C, max_iter=most, tol=10 ** rng.uniform(-12, -3), **given)
            assert truth.of(model) == pytest.approx(model.objective_, rel=1e-12)
            assert model.objective_ - best <= model.suboptimality_ + 1e-13
            proven = model.history_["objective"] - model.history_["suboptimality"]
            assert (proven <= best + 1e-13).all()
            assert (np.diff(model.history_["objective"]) <= 1e-12).all()
            assert (np.diff(model.history_["suboptimality"]) <= 1e-12).all()
            checked += model.suboptimality_ < 0.1
    assert checked


@pytest.mark.parametrize("K", [2, 3])
@pytest.mark.parametrize("kind", KINDS)
def test_weak_penalties_converge(rng, kind, K):
    """Where the shift common to all classes is held by next to nothing; separable classes, too."""
    X, y = draw(rng, n=300, d=15, K=K)
    for C in (1e2, 1e4):
        model = SoftmaxRegression(C=C, max_iter=300, **KINDS[kind]).fit(X, y)
        assert model.converged_
    apart = np.digitize(X[:, 0], [0.0, 1.0] if K == 3 else [0.5])
    for C in (1.0, 1e3):
        model = SoftmaxRegression(C=C, **KINDS[kind]).fit(X, apart)
        assert model.converged_
        assert model.separation_ is None
        assert model.score(X, apart) > 0.9 or C == 1 or kind in ("positive", "no intercept")


@pytest.mark.parametrize("C", [1e-3, 1e-30, 1e-300])
@pytest.mark.parametrize("kind", KINDS)
def test_strong_penalties_leave_the_shares(rng, kind, C):
    X, y = draw(rng)
    model = SoftmaxRegression(C=C, **KINDS[kind]).fit(X, y)
    assert model.converged_
    assert not model.coef_.any()
    share = np.bincount(y) / len(y) if model.fit_intercept else np.full(3, 1 / 3)
    assert_allclose(model.predict_proba(X[:1])[0], share, atol=1e-6)


def test_an_infinite_C_is_no_penalty(rng):
    """l1_ratio then says nothing, and the smooth solvers certify."""
    X, y = draw(rng, n=200)
    plain, lasso = (SoftmaxRegression(C=np.inf, l1_ratio=ratio).fit(X, y) for ratio in (0.0, 1.0))
    assert lasso.converged_
    assert_array_equal(lasso.coef_, plain.coef_)
    with pytest.warns(ConvergenceWarning, match="separate"):
        apart = SoftmaxRegression(C=np.inf, l1_ratio=1.0).fit(X, np.digitize(X[:, 0], [0, 1]))
    assert apart.separation_ is not None


@pytest.mark.parametrize("kind", KINDS)
def test_warm_start(rng, kind):
    """From the optimum nothing is left to do; from another C's fewer iterations, to the same point."""
    X, y = draw(rng, n=200, d=10)
    model = SoftmaxRegression(C=1.0, tol=1e-7, warm_start=True, **KINDS[kind]).fit(X, y)
    coef, cold = model.coef_.copy(), model.n_iter_[0]
    model.fit(X, y)
    assert model.converged_
    assert model.n_iter_[0] <= 2 < cold
    assert_allclose(model.coef_, coef, atol=1e-4)
    model.set_params(C=1.1).fit(X, y)
    assert model.objective_ == pytest.approx(fit(X, y, C=1.1, **KINDS[kind]).objective_, abs=1e-7)
    model.coef_ = model.coef_ + 1e6  # outside bounds, and far off
    assert model.fit(X, y).converged_


@pytest.mark.parametrize("kind", KINDS)
def test_from_far_away(rng, kind):
    """Where probabilities are 0 or 1 and the model knows nothing of what is next: F falls all the same."""
    X, y = draw(rng, n=200, d=8)
    composite = composite_of(X, y, 2.0, **KINDS[kind])
    want = Proximal(Settings(tol=1e-9)).solve(composite).value
    shortened = 0
    for size in (3.0, 30.0, 300.0):
        composite.loss.n_passes = 0
        solution = Proximal(Settings(tol=1e-8)).solve(composite, size * rng.normal(size=composite.shape))
        assert solution.value == pytest.approx(want, abs=1e-8)
        assert (np.diff([p.objective for p in solution.history]) <= 1e-12).all()
        shortened += composite.n_passes > 1.5 * solution.n_iter
    assert shortened


@pytest.mark.parametrize("features", ["few", "many"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_path_is_its_fits(rng, kind, features):
    """In any order of Cs, and where a working set goes from C to C."""
    X, y = draw(rng, n=150, d=10) if features == "few" else wide(rng)
    Cs = l1_min_c(X, y, model=SoftmaxRegression(**KINDS[kind])) * np.array([3.0, 0.5, 30.0, 1.01, 8.0])
    given = KINDS[kind] | {"tol": 1e-9}
    path = softmax_path(X, y, Cs=Cs, model=SoftmaxRegression(**given))
    assert_array_equal(path.Cs, Cs)
    assert path.converged.all()
    for i, C in enumerate(Cs):
        model = fit(X, y, C=C, **given)
        assert path.objective[i] == pytest.approx(model.objective_, abs=1e-9)
        coef = path.coefs[i]
        assert isinstance(coef, scipy.sparse.csr_array)
        assert (coef.data != 0).all()
        truth = Sparse(X, y, C=C, **KINDS[kind])
        assert truth.value(coef.toarray(), path.intercepts[i]) == pytest.approx(path.objective[i], abs=1e-12)
        assert_allclose(coef.toarray(), model.coef_, atol=1e-3 * (1 + np.abs(model.coef_).max()))
    assert path.coefs[1].nnz == 0
    order = np.argsort(Cs)
    again = softmax_path(X, y, Cs=Cs[order], model=SoftmaxRegression(**given))
    assert_allclose(again.objective, path.objective[order], atol=1e-12)
    assert_allclose(path.loss(X, y), [truth_loss(X, y, path, i) for i in range(5)], rtol=1e-12)


def truth_loss(X, y, path, i):
    logs, _ = Sparse(X, y).residuals(path.coefs[i].toarray(), path.intercepts[i])
    return -logs[np.arange(len(y)), y].mean()


def test_a_path_of_bounds_is_dense_and_may_end_in_none(rng):
    X, y = draw(rng)
    path = softmax_path(X, y, Cs=[np.inf, 1.0], model=SoftmaxRegression(bounds=(-0.2, 0.2)))
    assert path.converged.all()
    assert isinstance(path.coefs[0], np.ndarray)
    assert np.abs(path.coefs[0]).max() == 0.2
    with pytest.raises(ValueError, match="inf is no penalty"):
        softmax_path(X, y, Cs=[np.inf], model=SoftmaxRegression(l1_ratio=0.5))


def test_digits(rng):
    """Raw 0 … 16 pixels, some of them constant, ten classes: certified, and sparse."""
    X, y = load_digits(return_X_y=True)
    X, y = X[:400], y[:400]
    truth = Sparse(X, y, C=0.01, l1_ratio=0.9)
    model = SoftmaxRegression(C=0.01, l1_ratio=0.9).fit(X, y)
    assert model.converged_
    assert truth.of(model) == pytest.approx(model.objective_, rel=1e-12)
    assert 0.05 < (model.coef_ != 0).mean() < 0.5
    assert not model.coef_[:, X.std(axis=0) == 0].any()


def test_without_the_extension():
    """A process with XENT_NATIVE=0 finds the same models."""
    program = """
import numpy as np
from xent import SoftmaxRegression
from xent.kernels import native
assert not native.HAS_NATIVE
rng = np.random.default_rng(1)
X, y = rng.normal(size=(60, 4)), rng.integers(0, 3, 60)
for given in ({"grouped": True}, {"bounds": (0, 1)}):
    print(SoftmaxRegression(C=0.5, l1_ratio=0.5, tol=1e-9, **given).fit(X, y).objective_)
"""
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=os.environ | {"XENT_NATIVE": "0"},
        capture_output=True,
        text=True,
        check=True,
    )
    rng = np.random.default_rng(1)
    X, y = rng.normal(size=(60, 4)), rng.integers(0, 3, 60)
    ours = [
        fit(X, y, C=0.5, l1_ratio=0.5, tol=1e-9, **given).objective_
        for given in ({"grouped": True}, {"bounds": (0, 1)})
    ]
    assert_allclose([float(line) for line in done.stdout.split()], ours, atol=1e-9)


def test_what_is_free_is_found_though_not_certified(rng):
    """Features with penalty factor 0: the optimum, and a warning that nothing proves it."""
    X, y = draw(rng, n=100)
    given = {"l1_ratio": 1.0, "feature_penalty_factor": [0, 1, 0, 1, 1, 1], "C": 0.2}
    with pytest.warns(ConvergenceWarning, match="penalty factor of 0"):
        model = SoftmaxRegression(**given).fit(X, y)
    best, _, _ = Sparse(X, y, **given).optimum()
    assert model.objective_ == pytest.approx(best, abs=1e-9)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        SoftmaxRegression(**given | {"bounds": (-50, 50)}).fit(X, y)  # bounds certify


SMALL = {
    "plain": {},
    "elastic net": {"l1_ratio": 0.5},
    "no intercept": {"fit_intercept": False},
    "factors": {"feature_penalty_factor": np.linspace(0.3, 3, 8)},
    "class factors": {"class_penalty_factor": [0.5, 1.0, 2.0]},
    "bounds": {"bounds": (-0.4, 0.3), "l1_ratio": 0.7},
    "groups": {"grouped": True},
}


@pytest.mark.parametrize("C", [0.02, 1.0, 50.0])
@pytest.mark.parametrize("K", [2, 3])
@pytest.mark.parametrize("kind", SMALL)
def test_small_fits_take_exact_steps(rng, monkeypatch, kind, K, C):
    """A Hessian a step at most, and few steps; the optimum's conditions, and the general way's optimum."""
    if K == 2 and "class_penalty_factor" in SMALL[kind]:
        return
    given = {"l1_ratio": 1.0, "C": C} | SMALL[kind]
    X, y = draw(rng, n=300, d=8, K=K)
    s, o = rng.uniform(0.5, 2, 300) * (rng.random(300) < 0.9), rng.normal(size=(300, K))
    seen = []
    monkeypatch.setattr(quadratic, "hessian", lambda *of, **how: seen.append(1) or rows.hessian(*of, **how))
    model = fit(X, y, s, o, **given)
    assert model.converged_
    assert 0 < len(seen) <= model.n_iter_[0] <= (12 if kind != "groups" else 25)
    monkeypatch.setattr(quadratic, "_CHEAP", -1.0)
    before = len(seen)
    general = fit(X, y, s, o, **given, tol=1e-9)
    blocks = len(seen) - before
    assert blocks < general.n_iter_[0] or general.n_iter_[0] < 3
    assert model.objective_ == pytest.approx(general.objective_, abs=1e-6)
    truth = Sparse(X, y, s, o, **given)
    assert truth.of(model) == pytest.approx(model.objective_, rel=1e-12)
    tight = fit(X, y, s, o, **given, tol=1e-11)
    assert truth.violation(tight.coef_, tight.intercept_) <= 1e-4 * truth.l1.max()


@pytest.mark.parametrize("l1_ratio", [0.5, 1.0])
@pytest.mark.parametrize("K", [2, 3])
def test_small_fits_are_sagas(rng, K, l1_ratio):
    X, y = draw(rng, n=200, d=8, K=K)
    for C in (0.05, 1.0):
        model = fit(X, y, C=C, l1_ratio=l1_ratio, tol=1e-10)
        peer = LogisticRegression(
            C=C, l1_ratio=l1_ratio, solver="saga", tol=1e-9, max_iter=100_000, random_state=0
        ).fit(X, y)
        assert_allclose(model.predict_proba(X), peer.predict_proba(X), atol=1e-5)
        assert_allclose(
            model.coef_ - model.coef_[0] * (K > 2), peer.coef_ - peer.coef_[0] * (K > 2), atol=1e-4
        )
        assert ((model.coef_ == 0) == (np.abs(peer.coef_) < 1e-7)).all() or l1_ratio < 1


def test_the_last_step_spares_a_hessian(rng, monkeypatch):
    """Where the step before it has foretold that the old one will do."""
    seen, spared = [], 0
    monkeypatch.setattr(quadratic, "hessian", lambda *of, **how: seen.append(1) or rows.hessian(*of, **how))
    for C in np.logspace(-2, 2, 12):
        X, y = draw(rng, n=300, d=8)
        seen.clear()
        model = fit(X, y, C=C, l1_ratio=1.0)
        assert model.converged_
        spared += model.n_iter_[0] - len(seen)
    assert spared >= 3


def test_the_model_is_minimised_to_its_end(rng):
    """Nearly collinear columns, where sweeps take thousands of rounds: by solves on the face that they
    found."""
    X, y = draw(rng, n=200, d=6)
    X = np.hstack([X, X + 1e-4 * rng.normal(size=X.shape)])
    for given in ({"l1_ratio": 1.0}, {"l1_ratio": 0.5}, {"l1_ratio": 0.5, "bounds": (-0.5, 1.0)}):
        composite = composite_of(X, y, 10.0, **given)
        at = composite.evaluate(composite.start())
        for _ in range(4):
            model = Quadratic(composite)
            model.refresh(at)
            assert model.alone
            theta = model.minimiser(at)
            assert (theta >= composite.penalty.lower).all()
            assert (theta <= composite.penalty.upper).all()
            H = model._blocks[0]
            slope = at.loss_gradient + (H @ (theta - at.theta).ravel()).reshape(theta.shape)
            left = composite.penalty.subgradient(theta, slope)
            assert np.abs(left).max() <= 1e-5 * np.abs(at.loss_gradient).max()
            at = composite.evaluate(at.theta + 0.7 * (theta - at.theta))


TWO = {
    "lasso": (1.0, None),
    "elastic net": (0.4, None),
    "positive": (1.0, (0.0, np.inf)),
    "box": (0.7, (-0.2, 0.3)),
    "some held": (1.0, "held"),
}


def composite_of_two(X, y, s, o, C, l1_ratio, bounds, fit_intercept):
    """Two classes, the first held at 0, as `SoftmaxRegression` has them."""
    d = X.shape[1]
    lower, upper = np.full((2, d + fit_intercept), -np.inf), np.full((2, d + fit_intercept), np.inf)
    lower[0], upper[0] = 0.0, 0.0
    if bounds == "held":
        lower[1, [1, 3]] = upper[1, [1, 3]] = 0.1, 0.0
    elif bounds is not None:
        lower[1, :d], upper[1, :d] = bounds
    row = np.append(np.ones(d), np.zeros(int(fit_intercept))) / (C * s.sum())
    loss = MeanLoss(InMemory(linear.Batch(X, y, s, offset=o)), 2, fit_intercept=fit_intercept)
    penalties = np.broadcast_to(row, (2, len(row)))
    return Composite(loss, Penalty.elastic_net(penalties, l1_ratio, (lower, upper)))


@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize("kind", TWO)
def test_curvature_proves_no_more_than_is_true(rng, monkeypatch, kind, fit_intercept):
    """At points near and far from the optimum, by Hessians from points near and far; close where both are
    near, where the dual bound pays the gradient to first order."""
    monkeypatch.setattr(quadratic, "_FAR", 30.0)
    monkeypatch.setattr(quadratic, "_IN_DOUBT", 1e9)
    close = 0
    for C in (0.05, 1.0, 100.0):
        X, y = draw(rng, n=200, d=6, K=2)
        X *= 10 ** rng.uniform(-1, 1, 6)
        s, o = rng.uniform(0.5, 2, 200) * (rng.random(200) < 0.9), rng.normal(size=(200, 2))
        composite = composite_of_two(X, y, s, o, C, *TWO[kind], fit_intercept)
        best = Proximal(Settings(tol=1e-12)).solve(composite)
        assert best.value - best.lower_bound <= 1e-12
        scale = 1 / np.append(X.std(axis=0), 1.0)[: composite.shape[1]]

        def near(size, composite=composite, best=best, scale=scale):
            step = size * scale * rng.normal(size=best.theta.shape) * (best.theta != 0)
            return composite.evaluate(composite.penalty.clip(best.theta + step))

        for far, size in itertools.product(10.0 ** np.arange(-3, 1.5), 10.0 ** np.arange(-7, 0.5)):
            model, at = Quadratic(composite), near(size)
            model.refresh(near(far) if far > 1e-3 else at)  # c's part: nothing has moved
            bound = model.proves(at)
            assert bound <= best.value + 1e-14
            true = at.value - best.value
            close += 1e-12 < true < 1e-7 and at.value - bound < 3 * true < at.value - at.lower_bound
    assert close >= 3


def test_curvature_certifies_where_the_dual_bound_does_not_yet(rng, monkeypatch):
    """Two classes end a step sooner for it; more classes and large tables are the dual bound's alone."""
    X, y = draw(rng, n=400, d=8, K=2)
    with_it = [fit(X, y, C=C, l1_ratio=1.0).n_iter_[0] for C in (0.05, 0.3, 2.0)]
    monkeypatch.setattr(Quadratic, "proves", lambda self, at: -np.inf)
    without = [fit(X, y, C=C, l1_ratio=1.0).n_iter_[0] for C in (0.05, 0.3, 2.0)]
    assert all(a < b for a, b in zip(with_it, without, strict=True))
    monkeypatch.undo()
    three = composite_of(*draw(rng, n=100, d=4), 1.0, 1.0)
    model = Quadratic(three)
    model.refresh(three.evaluate(three.start()))
    assert model.proves(three.evaluate(three.start())) == -np.inf
    monkeypatch.setattr(rows, "_KEPT", 0)
    assert [fit(X, y, C=C, l1_ratio=1.0).n_iter_[0] for C in (0.05, 0.3, 2.0)] == without
