"""Constant and collinear features without a penalty, or with one that rounding hides: the optimum is there,
its coefficients are the smallest, and no figure is better than the truth."""

import warnings

import mpmath
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import OneHotEncoder, scale

from tests.truth.smooth import Plain
from xent import SoftmaxRegression, SoftmaxRegressionCV, l1_min_c, softmax_path
from xent.data import InMemory
from xent.kernels import linear
from xent.objective import null_space
from xent.objective.ridge import Objective

SOLVERS = ["lbfgs", "newton"]


def labels(rng, X, K, strength=0.5):
    """Of a softmax model of the standardised features: classes that overlap."""
    Z = (X - X.mean(axis=0)) / np.maximum(X.std(axis=0), 1e-30)
    y = (strength * Z @ rng.normal(size=(X.shape[1], K)) + rng.gumbel(size=(len(X), K))).argmax(axis=1)
    y[: 2 * K] = np.tile(np.arange(K), 2)
    return y


def dummies(rng, n, k):
    return np.eye(k)[rng.permutation(np.arange(n) % k)]


def designs(rng, n):
    """Rank-deficient tables, the kinds that people make."""
    x = rng.normal(size=(n, 3))
    return {
        "ones": np.c_[np.ones(n), x],
        "a large constant": np.c_[x, np.full(n, 2020.0)],
        "dummies": np.c_[dummies(rng, n, 4), x[:, :1]],
        "two sets of dummies, 0 and 0.1": np.c_[0.1 * dummies(rng, n, 3), 0.1 * dummies(rng, n, 4), x[:, :1]],
        "a sum": np.c_[x, x[:, 0] + x[:, 1]],
        "two scales": np.c_[1e-3 * x[:, 0], 1800.0 * x[:, 0] + 32, x[:, 1]],
        "shares of 100": 100 * rng.dirichlet(np.ones(4), n),
        "zeros and a column twice": np.c_[x, np.zeros(n), x[:, 0]],
        "polynomials": np.c_[np.ones(n), x[:, :2], x[:, :2] ** 2, x[:, 0] * x[:, 1]],
    }


KINDS = list(designs(np.random.default_rng(0), 12))


def exact_loss(model, X, y, s):
    """F without a penalty at the coefficients as they are stored, in 50 digits."""
    W, b = model.coef_, model.intercept_
    if len(W) == 1:
        W, b = np.vstack([0 * W, W]), np.append(0.0, b)
    W = [[mpmath.mpf(float(w)) for w in row] for row in W]
    total = mpmath.mpf(0)
    for row, label, weight in zip(X, y, s, strict=True):
        x = [mpmath.mpf(float(v)) for v in row]
        z = [mpmath.fdot(w, x) + mpmath.mpf(float(c)) for w, c in zip(W, b, strict=True)]
        top = max(z)
        total += mpmath.mpf(float(weight)) * (
            top - z[label] + mpmath.log(sum(mpmath.exp(v - top) for v in z))
        )
    return total / mpmath.fsum(map(float, s))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("K", [2, 3, 4, 5])
def test_rank_deficient_designs_without_a_penalty(kind, dtype, K):
    """Against the model of the same rows in coordinates of full rank, where W is unique: W there, taken back,
    is the W of least norm here."""
    rng = np.random.default_rng(K)
    n = 50 * K
    X = designs(rng, n)[kind].astype(dtype)
    y, s = labels(rng, X, K), rng.uniform(0.2, 3, n)
    wide = X.astype(np.float64)
    centre = s @ wide / s.sum()
    _, sizes, V = np.linalg.svd(wide - centre, full_matrices=False)
    rank = int((sizes > 1e-4 * sizes[0] * (1e-5 if kind == "two scales" else 1)).sum())
    assert rank < X.shape[1]
    V = V[:rank]
    reduced = Plain((wide - centre) @ V.T, y, s, C=np.inf)
    best, W, _ = reduced.optimum()
    for solver, A in ((solver, A) for solver in SOLVERS for A in (X, sparse.csr_array(X))):
        model = SoftmaxRegression(C=np.inf, solver=solver, tol=1e-9).fit(A, y, s)
        assert model.converged_
        assert model.separation_ is None
        gap = model.objective_ - best
        assert -1e-13 <= gap <= model.suboptimality_ + 1e-13 <= 1.1e-9
        coef = model.coef_ if K > 2 else np.vstack([-model.coef_, model.coef_]) / 2
        least = W @ V - (W @ V).mean(axis=0)
        moved = (coef - least) * wide.std(axis=0).clip(1e-30)
        assert np.abs(moved).max() <= 1e-3 + np.sqrt(8 * model.suboptimality_) * 20
        assert_allclose(coef @ (np.eye(len(centre)) - V.T @ V), 0, atol=1e-6 * np.abs(coef).max())
        if A is X:
            exact = exact_loss(model, wide, y, s)
            assert abs(float(exact - mpmath.mpf(model.objective_))) <= 2e-15 * (1 + abs(float(exact)))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("K", [2, 4])
def test_rank_deficient_designs_with_factors_of_0(kind, K):
    """What a penalty leaves free may be collinear, too: some features of all classes, all of one class."""
    rng = np.random.default_rng(K)
    X = designs(rng, 320)[kind]
    y, s = labels(rng, X, K), rng.uniform(0.2, 3, 320)
    d = X.shape[1]
    for u, v in ((None, np.zeros(d)), (None, np.arange(d) > d // 2), (np.arange(K) != 1, None)):
        best, _, _ = (plain := Plain(X, y, s, C=2.0, u=u, v=v)).optimum()
        for solver in SOLVERS:
            model = SoftmaxRegression(
                C=2.0, class_penalty_factor=u, feature_penalty_factor=v, solver=solver, tol=1e-9
            ).fit(X, y, s)
            assert model.converged_
            assert -1e-13 <= model.objective_ - best <= model.suboptimality_ + 1e-13
            assert abs(plain.of(model) - model.objective_) <= 1e-13 * (1 + best)
            assert np.abs(model.coef_ * X.std(axis=0)).max() < 100


CONSTANTS = [1.0, 7.0, 0.1, 2020.0, 1e8, 1.7e15, 1.7e18, float(2**63), 1e300, 1e-300, -3.0]


@pytest.mark.parametrize(
    ("c", "dtype"), [(c, "float64") for c in CONSTANTS] + [(c, "float32") for c in CONSTANTS[1:8:2]]
)
def test_a_constant_column_is_as_if_it_were_not_there(rng, c, dtype):
    """At any size, by any solver: with an intercept it says nothing."""
    x = rng.normal(size=(300, 2)).astype(dtype)
    s = rng.uniform(0.1, 2, 300)
    without, column = x, np.c_[x[:, :1], np.full(300, c, dtype), x[:, 1:]]
    for K in (2, 3):
        y = labels(rng, x, K)
        for params in (
            {"C": np.inf},
            {"C": np.inf, "solver": "lbfgs"},
            {"C": np.inf, "solver": "newton"},
            {},
            {"solver": "lbfgs"},
            {"feature_penalty_factor": "last 0"},
            {"l1_ratio": 1.0},
            {"l1_ratio": 0.5, "feature_penalty_factor": "all 0"},
            {"l1_ratio": 1.0, "grouped": True},
            {"bounds": (-1, 1)},
            {"C": np.inf, "bounds": (0, 2)},
        ):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of fits that have no certificate, see the docstring
                one, other = (
                    SoftmaxRegression(**_factors(params, A.shape[1])).fit(A, y, s) for A in (without, column)
                )
            assert other.converged_ == one.converged_, params
            assert_array_equal(other.coef_[:, 1], 0)
            assert_allclose(other.coef_[:, [0, 2]], one.coef_, rtol=1e-6, atol=1e-6, err_msg=str(params))
            assert other.objective_ == pytest.approx(one.objective_, abs=1e-12)
            assert_array_equal(other.predict(column), one.predict(without))


def _factors(params, d):
    factor = params.get("feature_penalty_factor")
    if factor is None:
        return params
    v = np.ones(d) if factor == "last 0" else np.zeros(d)
    v[-1] = 0
    return params | {"feature_penalty_factor": v}


def test_a_constant_column_through_every_door(rng):
    """Cross-validation; paths; the least C; rows of weight 0 that hold other numbers; CSR; a column that
    differs in its last row only."""
    x = rng.normal(size=(200, 2))
    y = labels(rng, x, 3)
    X = np.c_[x, np.full(200, 1.7e18)]
    for Cs in ([0.1, np.inf], [1.0]):
        one, other = (SoftmaxRegressionCV(Cs=Cs, cv=3, tol=1e-12).fit(A, y) for A in (x, X))
        assert_allclose(other.scores_, one.scores_, rtol=1e-9)
        assert_array_equal(other.coefs_paths_[..., 2], 0)
    one, other = (softmax_path(A, y, Cs=[0.01, 1, np.inf]) for A in (x, X))
    assert_allclose(other.objective, one.objective, atol=1e-12)
    assert l1_min_c(X, y) == pytest.approx(l1_min_c(x, y), rel=1e-12)
    assert l1_min_c(X[:, 2:], y) == np.inf
    path = softmax_path(X, y, Cs=5, model=SoftmaxRegression(l1_ratio=1.0))
    assert path.coefs[-1].toarray()[:, 2].tolist() == [0, 0, 0]
    mixed = X.copy()
    mixed[:70, 2] = rng.normal(size=70)
    s = np.append(np.zeros(70), np.ones(130))
    for A in (mixed, sparse.csr_array(mixed)):
        for C in (1.0, np.inf):
            fits = [SoftmaxRegression(C=C, tol=1e-12).fit(B, y, s) for B in (x, A)]
            assert_array_equal(fits[1].coef_[:, 2], 0)
            assert_allclose(fits[1].coef_[:, :2], fits[0].coef_, atol=1e-9)
    late = np.c_[x, np.r_[np.zeros(199), 1.0]]  # no constant, but for its last row
    model = SoftmaxRegression(C=1e6).fit(late, y)
    assert np.abs(model.coef_[:, 2]).min() > 0


def test_without_an_intercept_a_constant_is_a_feature(rng):
    x = rng.normal(size=(200, 2))
    y = labels(rng, x + 1, 2)
    X = np.c_[x, np.full(200, 7.0)]
    for C in (1.0, np.inf):
        model = SoftmaxRegression(C=C, fit_intercept=False, tol=1e-12).fit(X, y)
        peer = LogisticRegression(C=C, fit_intercept=False, tol=1e-12, solver="newton-cholesky").fit(X, y)
        assert_allclose(model.coef_, peer.coef_, rtol=1e-4, atol=1e-5)
    zero = SoftmaxRegression(C=np.inf, fit_intercept=False).fit(np.c_[x, np.zeros(200)], y)
    assert zero.converged_
    assert_array_equal(zero.coef_[:, 2], 0)


def test_indicators_in_csr_are_certified_as_dense_ones_are(rng):
    Z = OneHotEncoder().fit_transform(rng.integers(0, 3, (300, 1)))
    y = rng.integers(0, 2, 300)
    for solver in ("auto", *SOLVERS):
        dense, csr = (SoftmaxRegression(C=np.inf, solver=solver).fit(A, y) for A in (Z.toarray(), Z))
        assert csr.converged_
        assert_allclose(csr.coef_, dense.coef_, atol=1e-9)
        assert csr.coef_.sum() == pytest.approx(0, abs=1e-12)  # the least norm: at right angles to (1, 1, 1)


def test_one_class_has_nearly_all_rows_and_the_only_regressor_is_constant():
    """statsmodels#3635: nine classes, 99.98 % in one; p̂ are the shares."""
    n = 20000
    y = np.zeros(n, int)
    y[:8] = np.arange(1, 9)
    model = SoftmaxRegression(C=np.inf).fit(np.ones((n, 1)), y)
    assert model.converged_
    assert_array_equal(model.coef_, 0)
    assert_allclose(model.predict_proba([[1.0]])[0], np.bincount(y) / n, rtol=1e-6)


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("C", [1e15, 1e20, 1e100, 1e300, 1e308])
def test_a_penalty_that_rounding_hides_is_none(rng, C, solver):
    x = rng.normal(size=(200, 3))
    y, X = labels(rng, x, 3), np.c_[x, x[:, 0], np.full(200, 2020.0)]
    free = SoftmaxRegression(C=np.inf, tol=1e-12, solver=solver).fit(X, y)
    weak = SoftmaxRegression(C=C, tol=1e-12, solver=solver).fit(X, y)
    assert weak.converged_
    assert_allclose(weak.coef_, free.coef_, atol=1e-5)
    assert_allclose(weak.coef_[:, 0], weak.coef_[:, 3], rtol=1e-9)


@pytest.mark.parametrize("solver", ["auto", *SOLVERS])
@pytest.mark.parametrize("C", [1e-12, 1e-8, 1e-6])
def test_a_strong_penalty_leaves_a_direction(rng, C, solver):
    """W = 0 is within tol there, and says nothing. Tiny features at C = 1 are the same thing."""
    x = scale(rng.normal(size=(300, 2)) + 4 * np.arange(3).repeat(100)[:, None] * [1, -1])
    y = np.arange(3).repeat(100)
    peer = LogisticRegression(C=C, tol=1e-14).fit(x, y)
    model = SoftmaxRegression(C=C, solver=solver).fit(x, y)
    assert model.converged_
    assert_allclose(model.coef_, peer.coef_, rtol=1e-2)
    tiny = SoftmaxRegression(solver=solver).fit(np.sqrt(C) * x, y)
    assert_array_equal(tiny.predict(np.sqrt(C) * x), model.predict(x))
    assert model.score(x, y) > 0.6


def test_null_spaces_are_looked_for_only_where_they_matter(rng, monkeypatch):
    """A penalised fit asks for no correlations; a free one without collinear features for a few rows'."""
    seen = []
    whole = linear.gram
    monkeypatch.setattr(
        linear, "gram", lambda batch, centre: seen.append(batch.shape[0]) or whole(batch, centre)
    )
    x = rng.normal(size=(5000, 3))
    y = rng.integers(0, 3, 5000)
    assert Objective.of(InMemory(linear.Batch(x, y)), 3, 1e-3).null_spaces.spaces == ()
    assert seen == []
    assert Objective.of(InMemory(linear.Batch(x, y)), 3, 0.0).null_spaces.spaces == ()
    assert len(seen) == 1
    assert seen[0] < 200
    source = InMemory(linear.Batch(np.c_[x, x @ [1, 1, 0]], y))
    ((classes, null),) = Objective.of(source, 3, 0.0).null_spaces.spaces
    assert_array_equal(classes, [0, 1, 2])
    assert_allclose(np.abs(null), [[3**-0.5, 3**-0.5, 0, 3**-0.5]], atol=1e-12)


def test_a_candidate_that_eigenvectors_miss_is_found_by_singular_ones(rng, monkeypatch):
    """Beside a null direction one that is nearly so, 1e-5 of the others: squares cannot tell them apart."""
    x = rng.normal(size=(400, 4))
    near = x[:, 0] + x[:, 1] + 2e-5 * rng.normal(size=400)
    X = np.c_[x, near, x[:, 2] - 3 * near]
    batch = linear.Batch(X, rng.integers(0, 2, 400))
    objective = Objective.of(InMemory(batch), 2, 0.0)
    asked = []
    singular = null_space._singular_directions
    monkeypatch.setattr(null_space, "_singular_directions", lambda *a: asked.append(1) or singular(*a))
    null = objective.loss.null_directions(np.ones(6, bool))
    assert asked
    assert len(null) == 1
    truth = np.array([0, 0, 1.0, 0, -3, -1])
    assert abs(null[0] @ truth) == pytest.approx(np.linalg.norm(truth), rel=1e-9)


def computed_constants(rng, n):
    """Columns that are one number but for the rounding of whoever worked them out."""
    q, t = rng.integers(1, 50, n).astype(float), rng.normal(size=n)
    return {
        "7.3 q / q": 7.3 * q / q,
        "shares added up": rng.dirichlet(np.ones(5), n).sum(axis=1),
        "sin² + cos²": np.sin(t) ** 2 + np.cos(t) ** 2,
        "7 and the next number": np.where(rng.random(n) < 0.5, 7.0, np.nextafter(7.0, 8.0)),
    }


@pytest.mark.parametrize("name", computed_constants(np.random.default_rng(0), 5))
@pytest.mark.parametrize("K", [2, 3])
def test_a_column_that_is_constant_but_for_rounding(rng, name, K):
    """By every solver and door, dense and CSR, alone and beside a column that it was added to."""
    x = rng.normal(size=(300, 2))
    y, c = labels(rng, x, K), computed_constants(rng, 300)[name]
    best = SoftmaxRegression(C=np.inf, tol=1e-10).fit(x, y)
    X, sums = np.c_[x, c], np.c_[x, c, x[:, 0] + c]
    for A in (X, sparse.csr_array(X), sums):
        for solver in SOLVERS:
            model = SoftmaxRegression(C=np.inf, solver=solver, tol=1e-9).fit(A, y)
            assert model.converged_
            assert model.objective_ == pytest.approx(best.objective_, abs=1e-9)
            assert np.abs(model.coef_[:, 2]).max() < 1e-6 if A is not sums else np.abs(model.coef_).max() < 10
    factors = SoftmaxRegression(feature_penalty_factor=[1, 1, 0], tol=1e-12).fit(X, y)
    assert_allclose(factors.coef_[:, :2], SoftmaxRegression(tol=1e-12).fit(x, y).coef_, atol=1e-5)
    path = softmax_path(X, y, Cs=[1, np.inf])
    assert np.abs(path.coefs[1][:, 2]).max() < 1e-6
    folds = SoftmaxRegressionCV(Cs=[np.inf], cv=3).fit(X, y)
    assert np.abs(folds.coefs_paths_[..., 2]).max() < 1e-6
    narrow = SoftmaxRegression(C=np.inf).fit(X.astype(np.float32), y)
    assert narrow.converged_
    assert np.abs(narrow.coef_).max() < 10


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("K", [2, 3])
def test_what_rounding_leaves_uncertain_is_in_the_certificate(rng, solver, K):
    """A column that hardly varies, but more than rounding: coefficients of 1e12 fit its noise, logits are
    differences of numbers of 1e12, and F at what is stored is another than was worked out."""
    n = 60
    x = rng.normal(size=(n, 2))
    y = labels(rng, x, K)
    for c in (np.cumsum(np.full(n, 0.1)) - np.arange(n) * 0.1, 1 + 1e-13 * rng.normal(size=n)):
        X = np.c_[x, c]
        with pytest.warns(ConvergenceWarning):
            model = SoftmaxRegression(C=np.inf, solver=solver).fit(X, y)
        assert not model.converged_
        assert np.abs(model.coef_[:, 2]).max() > 1e9
        exact = float(exact_loss(model, X, y, np.ones(n)))
        assert exact <= model.objective_ + model.suboptimality_
        plain = SoftmaxRegression(C=1.0, solver=solver).fit(X, y)
        assert plain.converged_
        assert plain.suboptimality_ < 1e-6


def test_that_it_is_rounding_is_said(rng):
    x = rng.normal(size=(300, 2))
    y = (x[:, 0] + rng.logistic(size=300) > 0).astype(int)
    drifted = np.cumsum(np.full(300, 0.1)) - np.arange(300) * 0.1
    with pytest.warns(ConvergenceWarning, match="rounding leaves the objective uncertain by"):
        SoftmaxRegression(C=np.inf).fit(np.c_[x, drifted], y)
