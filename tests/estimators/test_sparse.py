"""L1, elastic net, groups and bounds: answers known in closed form, from cvxpy and from scikit-learn."""

import warnings

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.optimize import brentq
from scipy.special import logit
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.svm import l1_min_c as sklearn_l1_min_c

from tests.truth.sparse import Sparse
from xent import SoftmaxRegression, l1_min_c, softmax_path


def fit(X, y, s=None, o=None, tol=1e-10, **params):
    """Without the warning that rounding left no step within a tol that asks for all digits."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return SoftmaxRegression(tol=tol, **params).fit(X, y, s, o)


def draw(rng, n=60, d=6, K=3):
    X = rng.normal(size=(n, d)) + 0.5
    y = np.argmax(X @ rng.normal(size=(d, K)) + 2 * rng.gumbel(size=(n, K)), axis=1)
    y[:K] = np.arange(K)
    return X, y


def for_classes(cases):
    """Each with two and three classes; two share one row of coefficients, and have no class factors."""
    return [
        (name, K) for name in cases for K in (2, 3) if K == 3 or "class_penalty_factor" not in cases[name]
    ]


# Closed forms -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("share", [0.5, 0.54, 0.7, 0.96])
@pytest.mark.parametrize("ratio", [0.3, 1.0])
def test_one_feature(share, ratio):
    """x = 1 in every row, two classes, no intercept: σ(w) − a + λ((1 − r) w + r sign w) = 0, or w = 0."""
    n, C = 200, 0.1
    y = (np.arange(n) < round(share * n)).astype(int)
    model = fit(np.ones((n, 1)), y, C=C, l1_ratio=ratio, fit_intercept=False, tol=1e-13)
    if share <= 0.5 + ratio / (C * n) + 1e-12:
        assert model.converged_
        assert model.coef_ == pytest.approx(0, abs=1e-12)
    elif ratio == 1:
        assert model.coef_[0, 0] == pytest.approx(logit(share - 1 / (C * n)), rel=1e-9)
    else:
        root = brentq(
            lambda w: 1 / (1 + np.exp(-w)) - share + (ratio + (1 - ratio) * w) / (C * n), 0, 9, xtol=1e-14
        )
        assert model.coef_[0, 0] == pytest.approx(root, rel=1e-5)  # √tol


def groups_of_rows(rng, K):
    """An orthogonal design: feature j is 1 in the rows of group j. X, the groups, y and weights."""
    j = np.repeat(np.arange(6), [5, 10, 20, 40, 40, 15])
    share = rng.dirichlet(np.ones(K), 6)
    share[4] = 1 / K  # labels that say nothing
    y = np.array([rng.choice(K, p=share[g]) for g in j])
    y[-K:] = np.arange(K)
    return np.eye(6)[j], j, y, rng.uniform(0.5, 2, len(j))


def test_orthogonal_design_of_two_classes(rng):
    """Every coefficient is soft-thresholded on its own: σ(w_j) = a_j − λ sign(w_j) / π_j, or w_j = 0."""
    X, j, y, s = groups_of_rows(rng, 2)
    C = 0.4
    model = fit(X, y, s, C=C, l1_ratio=1.0, fit_intercept=False, tol=1e-13)
    total = np.bincount(j, s)
    a = np.bincount(j, s * y) / total
    lost = np.sign(a - 0.5) * np.minimum(1 / (C * total), np.abs(a - 0.5))
    assert_allclose(model.coef_[0], logit(a - lost), atol=1e-7)
    assert_array_equal(model.coef_[0] == 0, np.abs(a - 0.5) <= 1 / (C * total))
    assert (model.coef_ == 0).any()
    assert (model.coef_ != 0).any()


@pytest.mark.parametrize("grouped", [False, True])
def test_orthogonal_design_of_many_classes(rng, grouped):
    """Features do not know each other: each column is the fit of its rows alone. Where a coefficient is not
    zero, its probability is the share of its class less λ sign(w) / π: with groups, λ w / (‖w‖ π)."""
    X, j, y, s = groups_of_rows(rng, 4)
    given = {"l1_ratio": 1.0, "grouped": grouped, "fit_intercept": False, "tol": 1e-13}
    given["C"] = 0.15 if grouped else 0.4
    model = fit(X, y, s, **given)
    P = model.predict_proba(np.eye(6))
    for g in range(6):
        rows = j == g
        if len(set(y[rows])) == 4:
            alone = fit(X[rows][:, [g]], y[rows], s[rows], **given)
            assert_allclose(model.coef_[:, g], alone.coef_[:, 0], atol=1e-6)
        w, total = model.coef_[:, g], s[rows].sum()
        a = np.bincount(y[rows], s[rows], 4) / total
        unit = w / (np.linalg.norm(w) or 1) if grouped else np.sign(w)
        left = P[g] - a + unit / (given["C"] * total)
        if grouped:
            assert np.abs(left).max() < 1e-7 if w.any() else np.linalg.norm(left) <= 1 / (given["C"] * total)
        else:
            assert np.abs(left[w != 0]).max(initial=0) < 1e-7
            assert np.abs(left).max() <= 1 / (given["C"] * total) + 1e-7
    assert not model.coef_.all()
    assert model.coef_.any()


LARGEST = {
    "lasso": {},
    "elastic net": {"l1_ratio": 0.3},
    "no intercept": {"fit_intercept": False},
    "not all penalised": {"feature_penalty_factor": [0.0, 1, 2, 1, 0.5, 0]},
    "positive": {"bounds": (0, np.inf)},
    "grouped": {"grouped": True},
    "grouped, not all penalised": {"grouped": True, "feature_penalty_factor": [0.0, 1, 2, 1, 0.5, 1]},
    "classes": {"class_penalty_factor": [0.2, 1.0, 3.0]},
    "soft": {"label_smoothing": 0.1, "class_weight": {0: 2.0}},
}


@pytest.mark.parametrize(("case", "K"), for_classes(LARGEST))
def test_just_above_and_below_the_largest_penalty(rng, case, K):
    X, y = draw(rng, K=K)
    given = {"l1_ratio": 1.0} | LARGEST[case]
    s, o = rng.uniform(0.5, 2, len(y)), rng.normal(size=(len(y), K))
    C = l1_min_c(X, y, model=SoftmaxRegression(**given), sample_weight=s, offset=o)
    held = np.asarray(given.get("feature_penalty_factor", np.ones(6))) > 0
    above = fit(X, y, s, o, C=C * (1 - 1e-9), tol=1e-15, **given)
    assert not above.coef_[:, held].any()
    assert above.coef_[:, ~held].all()
    below = fit(X, y, s, o, C=C * (1 + 1e-6), tol=1e-15, **given)
    entered = below.coef_[:, held] != 0
    assert entered.sum() == (K if given.get("grouped") and K > 2 else 1)
    if held.all():
        path = softmax_path(X, y, 3, model=SoftmaxRegression(tol=1e-3, **given), sample_weight=s, offset=o)
        assert path.Cs == pytest.approx(C * np.logspace(0, 4, 3))


@pytest.mark.parametrize("K", [2, 3])
def test_the_largest_penalty_is_scikit_learns(rng, K):
    """Which knows two classes, and of more one against the rest: without an intercept, at W = 0."""
    X, y = draw(rng, K=K)
    model = SoftmaxRegression(l1_ratio=1, fit_intercept=False)
    ours = l1_min_c(X, y, model=model)
    if K == 2:
        assert ours == pytest.approx(sklearn_l1_min_c(X, y, loss="log", fit_intercept=False), rel=1e-12)
    gradient = (1 / K - np.eye(K)[y]).T @ X
    assert ours == pytest.approx(1 / np.abs(gradient).max(), rel=1e-12)
    grouped = 1 / np.linalg.norm(gradient, axis=0).max()
    assert l1_min_c(X, y, model=model.set_params(grouped=True)) == pytest.approx(
        1 / np.abs(gradient[1]).max() if K == 2 else grouped, rel=1e-12
    )


def test_the_largest_penalty_is_refused_where_there_is_none(rng):
    X, y = draw(rng)
    with pytest.raises(ValueError, match="l1_ratio"):
        l1_min_c(X, y, model=SoftmaxRegression(l1_ratio=0.0))
    with pytest.raises(ValueError, match="bounds: they leave out 0"):
        l1_min_c(X, y, model=SoftmaxRegression(l1_ratio=1, bounds=(0.5, 1.0)))
    assert l1_min_c(X, y, model=SoftmaxRegression(l1_ratio=1, bounds=(0.0, 0.0))) == np.inf


# Columns that say nothing, or the same ---------------------------------------------------------------


@pytest.mark.parametrize("grouped", [False, True])
def test_classes_all_but_apart(grouped):
    """20 features at scale 100, seven rows that spoil the separation, a weak penalty: pairs of steps from
    before misled the model, and 1000 iterations ended 1e-3 nats off; exact blocks alone take 110."""
    rng = np.random.default_rng(0)
    X = 100 * rng.normal(size=(200, 20))
    y = np.argmax(X @ rng.normal(size=(20, 7)) / 150 + 0.1 * rng.gumbel(size=(200, 7)), axis=1)
    y[:7] = np.arange(7)
    model = SoftmaxRegression(C=500, l1_ratio=1.0, grouped=grouped).fit(X, y)
    assert model.converged_
    assert model.n_iter_[0] < 200
    assert Sparse(X, y, C=500, l1_ratio=1.0, grouped=grouped).of(model) == pytest.approx(
        model.objective_, abs=1e-9
    )


@pytest.mark.parametrize("C", [50.0, 1e3, 4e3])
@pytest.mark.parametrize(("d", "n_classes", "seed"), [(1, 3, 8), (1, 4, 11), (1, 5, 10), (2, 8, 7)])
def test_few_groups_that_curve_unequally(d, n_classes, seed, C):
    """Features far from 0 and wide, weak penalties: a group's members curve by powers of ten apart, and
    coordinate descent alone ended 0.02 to 1 nat off after 1000 steps."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(40, d)) * 20 + 10
    y = np.argmax(X @ rng.normal(size=(d, n_classes)) / 5 + rng.gumbel(size=(40, n_classes)), axis=1)
    y = np.unique(y, return_inverse=True)[1]
    given = {"C": C, "l1_ratio": 0.95, "grouped": True}
    model = SoftmaxRegression(**given).fit(X, y)
    assert model.converged_
    problem = Sparse(X, y, **given)
    assert problem.of(model) == pytest.approx(problem.optimum()[0], abs=1e-6)


@pytest.mark.parametrize("K", [2, 3])
@pytest.mark.parametrize("given", [{"l1_ratio": 1.0}, {"l1_ratio": 0.4}, {"l1_ratio": 0.6, "grouped": True}])
def test_all_zero_columns_and_constant_ones(rng, given, K):
    X, y = draw(rng, K=K)
    model = fit(np.zeros((60, 3)), y, **given)
    assert model.converged_
    assert not model.coef_.any()
    assert_allclose(model.predict_proba(np.zeros((1, 3)))[0], np.bincount(y) / 60, atol=1e-5)
    assert l1_min_c(np.zeros((60, 3)), y, model=SoftmaxRegression(**given)) == np.inf
    path = softmax_path(np.zeros((60, 3)), y, Cs=4, model=SoftmaxRegression(**given))
    assert path.converged.all()
    assert np.isfinite(path.Cs).all()
    assert all(coef.nnz == 0 for coef in path.coefs)
    plain = fit(X, y, **given)
    more = fit(np.column_stack([X[:, :2], np.full(60, 7.3), X[:, 2:], np.zeros(60)]), y, **given)
    assert more.objective_ == pytest.approx(plain.objective_, abs=1e-10)
    assert not more.coef_[:, [2, 7]].any()
    assert_allclose(np.delete(more.coef_, [2, 7], axis=1), plain.coef_, atol=1e-4)


def test_duplicated_columns(rng):
    """The lasso does not mind how twins share, the elastic net halves."""
    X, y = draw(rng)
    twice = np.hstack([X, X])
    for C in (0.2, 5.0, 100.0):
        one, two = (fit(A, y, C=C, l1_ratio=1.0, tol=1e-9) for A in (X, twice))
        assert one.converged_
        assert two.converged_
        assert two.objective_ == pytest.approx(one.objective_, abs=1e-9)
        assert_allclose(two.coef_[:, :6] + two.coef_[:, 6:], one.coef_, atol=1e-4)
        assert (two.coef_[:, :6] * two.coef_[:, 6:] >= 0).all()
    for grouped in (False, True):
        two = fit(twice, y, l1_ratio=0.5, grouped=grouped)
        assert two.converged_
        assert_allclose(two.coef_[:, :6], two.coef_[:, 6:], atol=1e-4)


# cvxpy and scikit-learn -------------------------------------------------------------------------------

BOXES = (np.array([[-np.inf, 0, 0.1, -0.2, -1, -1]]), np.array([[0.3, np.inf, 0.5, 0.2, -0.5, 1]]))
CVXPY = {
    "lasso": {"l1_ratio": 1.0},
    "strong": {"l1_ratio": 1.0, "C": 0.06},
    "weak": {"l1_ratio": 1.0, "C": 300.0},
    "elastic net": {"l1_ratio": 0.5},
    "no intercept": {"l1_ratio": 0.8, "fit_intercept": False},
    "group lasso": {"l1_ratio": 1.0, "grouped": True},
    "weak group lasso": {"l1_ratio": 1.0, "grouped": True, "C": 300.0},
    "grouped": {"l1_ratio": 0.5, "grouped": True, "feature_penalty_factor": [1, 2, 0.1, 3, 1, 1]},
    "positive": {"l1_ratio": 0.5, "bounds": (0.0, np.inf)},
    "ridge in a box": {"bounds": (-0.1, 0.2)},
    "lasso in boxes": {"l1_ratio": 1.0, "bounds": BOXES},
    "no room": {"l1_ratio": 1.0, "bounds": (0.2, 0.2)},
    "C = inf in a box": {"C": np.inf, "bounds": (-0.5, 0.7)},
    "features": {"l1_ratio": 0.7, "feature_penalty_factor": [0.1, 1, 10, 1, 2, 3]},
    "classes": {"l1_ratio": 0.7, "class_penalty_factor": [0.1, 1, 3]},
    "a free class": {"l1_ratio": 0.9, "class_penalty_factor": [0, 1, 3], "certified": False},
    "free features": {"l1_ratio": 1.0, "feature_penalty_factor": [0, 1, 0, 1, 2, 3], "certified": False},
    "C = inf and positive": {"C": np.inf, "bounds": (0.0, np.inf), "certified": False},
    "smooth": {"l1_ratio": 0.5, "label_smoothing": 0.2},
}


@pytest.mark.parametrize("backend", ["native", "reference"])
@pytest.mark.parametrize(("case", "K"), for_classes(CVXPY))
def test_cvxpys_optimum(rng, on, case, K, backend):
    """To 1e-7 in F and usually to 1e-11; the optimality conditions hold, from outside; zeros are exact."""
    given = {"C": 1.0} | CVXPY[case]
    certified = given.pop("certified", True)
    if backend == "reference":
        on(backend)
    X, y = draw(rng, K=K)
    target = np.eye(K)[y] * 0.7 + 0.3 * rng.dirichlet(np.ones(K), len(y)) if rng.random() < 0.4 else y
    s = rng.uniform(0.2, 2, len(y)) if rng.random() < 0.5 else None
    o = rng.normal(size=(len(y), K)) if rng.random() < 0.4 else None
    truth = Sparse(X, target, s, o, **given)
    best, W, _ = truth.optimum()
    model = fit(X, target, s, o, tol=1e-9, **given)
    value = truth.of(model)
    assert model.objective_ == pytest.approx(value, abs=1e-13)
    assert abs(value - best) <= 1e-7
    assert value <= best + 1e-9
    assert value - best <= model.suboptimality_ + 1e-14
    assert model.converged_ == (model.suboptimality_ <= 1e-9)
    assert model.converged_ or not certified
    assert truth.violation(model.coef_, model.intercept_) <= 1e-4 * truth.l1.max() + 1e-6
    if given.get("l1_ratio") and not given.get("grouped"):
        assert_array_equal(model.coef_ != 0, np.abs(W) > 1e-5)


@pytest.mark.parametrize("K", [2, 4])
@pytest.mark.parametrize("ratio", [0.5, 1.0])
def test_saga_at_its_best(rng, K, ratio):
    """scikit-learn's only solver for these, run to 1e-10, is never below; the elastic net's coefficients are
    the same, the lasso's up to shifts that an even number of classes leaves open."""
    X, y = draw(rng, n=150, d=8, K=K)
    truth = Sparse(X, y, C=0.5, l1_ratio=ratio)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        theirs = LogisticRegression(solver="saga", C=0.5, l1_ratio=ratio, tol=1e-10, max_iter=20000).fit(X, y)
    ours = fit(X, y, C=0.5, l1_ratio=ratio, tol=1e-13)
    assert truth.of(ours) <= truth.of(theirs) + 1e-14
    assert truth.of(theirs) == pytest.approx(truth.of(ours), abs=1e-9)
    assert ours.coef_.shape == theirs.coef_.shape
    assert_allclose(ours.predict_proba(X), theirs.predict_proba(X), atol=1e-5)
    if K == 2 or ratio < 1:
        assert_allclose(ours.coef_, theirs.coef_, atol=1e-5)
    else:
        assert (ours.coef_ != 0).sum() <= (np.abs(theirs.coef_) > 1e-9).sum()
        assert (ours.coef_ == 0).any(axis=0).all()


@pytest.mark.parametrize("bounds", [(-np.inf, -0.05), (-0.3, 0.2)])
def test_float32_coefficients_keep_bounds_and_have_their_own_objective(rng, bounds):
    X = rng.normal(size=(40, 5)).astype(np.float32)
    y = np.r_[np.arange(3), rng.integers(0, 3, 37)]
    model = SoftmaxRegression(C=0.5, l1_ratio=0.5, bounds=bounds).fit(X, y)
    W, b = model.coef_.astype(float), model.intercept_.astype(float)
    assert W.min() >= bounds[0]
    assert W.max() <= bounds[1]
    Z = X.astype(float) @ W.T + b
    loss = np.mean(np.log(np.exp(Z).sum(axis=1)) - Z[np.arange(40), y])
    penalty = (0.25 * np.sum(W * W) + 0.5 * np.abs(W).sum()) / (0.5 * 40)
    assert model.objective_ == pytest.approx(loss + penalty, abs=1e-13)


def test_nothing_that_wants_to_move(rng):
    X, y = rng.normal(size=(30, 2)).astype(np.float32), np.arange(30) % 3
    model = SoftmaxRegression(C=1e-4, l1_ratio=1.0, fit_intercept=False).fit(X, y)
    assert not model.coef_.any()
    assert model.converged_
