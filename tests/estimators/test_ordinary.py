"""Ordinary use at an ordinary size: 60,000 rows, every estimator, option and solver, each against
scikit-learn or another solver. Blocks of rows are then many, and some of them hold no row that counts."""

import warnings

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.linear_model import LogisticRegression, LogisticRegressionCV
from sklearn.metrics import log_loss
from sklearn.model_selection import StratifiedKFold

from xent import SoftmaxRegression, SoftmaxRegressionCV, softmax_path
from xent.kernels import linear

N, D = 60_000, 6


def table(K, dtype=np.float64):
    """Standard normal features and labels of a softmax model of them; weights with runs of thousands of 0,
    at the start, in between and at the end, and 1 to 3 elsewhere."""
    rng = np.random.default_rng(K)
    X = rng.normal(size=(N, D))
    y = (X @ rng.normal(size=(D, K)) + rng.gumbel(size=(N, K))).argmax(axis=1)
    s = rng.integers(1, 4, N).astype(float)
    for start, stop in ((0, 9000), (20_000, 37_000), (52_000, N)):
        s[start:stop] = 0
    return X.astype(dtype), y, s


TABLES = {K: table(K) for K in (2, 3)}


def peer(X, y, C, s=None, **params):
    return LogisticRegression(C=C, solver="newton-cholesky", tol=1e-10, **params).fit(X, y, s)


def check(model, other, X, atol=3e-4):
    assert model.converged_
    assert_allclose(model.coef_, other.coef_, atol=atol)
    assert_allclose(model.intercept_, other.intercept_, atol=atol)
    assert (model.predict(X) == other.predict(X)).mean() > 0.999
    assert_allclose(model.predict_proba(X), other.predict_proba(X), atol=atol)


def dead_block(s):
    """Whether a block of rows, as second-order sums cut them, has not one that counts."""
    return not s[: N // 8192 * 8192].reshape(-1, 8192).any(axis=1).all()


@pytest.mark.parametrize("K", TABLES)
@pytest.mark.parametrize("solver", ["auto", "lbfgs", "newton"])
@pytest.mark.parametrize("C", [1e-3, np.inf])
def test_l2_and_no_penalty(K, solver, C):
    X, y, s = TABLES[K]
    assert dead_block(s)
    fit = SoftmaxRegression(C=C, solver=solver, tol=1e-9).fit
    check(fit(X, y), peer(X, y, C), X)
    other = peer(X, y, C, s)
    for A in (X, X.astype(np.float32), sparse.csr_array(X)):
        check(fit(A, y, s), other, A)


def test_auto_takes_the_quicker_solver():
    """L-BFGS on dense tables, in native code where they are small; Newton where rows are sparse and few."""
    X, y, _ = TABLES[3]
    assert SoftmaxRegression().fit(X, y).solver_ == "lbfgs"
    assert SoftmaxRegression().fit(X[:1000], y[:1000]).solver_ == "lbfgs"
    assert SoftmaxRegression().fit(sparse.csr_array(X[:1000]), y[:1000]).solver_ == "newton"


@pytest.mark.parametrize("K", TABLES)
@pytest.mark.parametrize(
    "params",
    [
        {"fit_intercept": False},
        {"class_weight": "balanced"},
        {"class_weight": {0: 3.0}},
        {"label_smoothing": 0.1},
        {"feature_penalty_factor": np.linspace(0.5, 3, D)},
        {"class_penalty_factor": {0: 0.5, 1: 2.0}},
        {"warm_start": True},
        {"max_time": 60.0},
    ],
    ids=lambda params: "-".join(map(str, params)),
)
def test_every_smooth_option(K, params):
    """Two solvers agree, dense and CSR; scikit-learn does where it has the option, and where data mean the
    same: smoothed rows, scaled features."""
    X, y, s = TABLES[K]
    models = [
        SoftmaxRegression(C=1e-3, solver=solver, tol=1e-9, **params).fit(A, y, s)
        for solver, A in (("lbfgs", X), ("newton", X), ("lbfgs", sparse.csr_array(X)))
    ]
    for model in models[1:]:
        check(model, models[0], X)
    if "label_smoothing" in params:
        Q = 0.9 * np.eye(K)[y] + 0.1 / K
        other = peer(np.tile(X, (K, 1)), np.repeat(np.arange(K), N), 1e-3, (s[:, None] * Q).T.ravel())
    elif "feature_penalty_factor" in params:
        root = np.sqrt(params["feature_penalty_factor"])
        other = peer(X / root, y, 1e-3, s)
        other.coef_ = other.coef_ / root
    elif "class_penalty_factor" in params:
        return
    else:
        asked = {name: value for name, value in params.items() if name != "max_time"}
        other = peer(X, y, 1e-3, s, **asked)
    check(models[0], other, X)


@pytest.mark.parametrize("K", TABLES)
@pytest.mark.parametrize(
    "params",
    [{"l1_ratio": 1.0}, {"l1_ratio": 0.5}, {"l1_ratio": 1.0, "grouped": True}, {"bounds": (-0.3, 0.5)}],
    ids=lambda params: "-".join(map(str, params)),
)
def test_every_corner(K, params):
    """The conditions of the optimum, worked out from the data: the smallest subgradient is nearly 0."""
    X, y, s = TABLES[K]
    C = 1e-3
    model = SoftmaxRegression(C=C, tol=1e-9, **params).fit(X, y, s)
    csr = SoftmaxRegression(C=C, tol=1e-9, **params).fit(sparse.csr_array(X), y, s)
    assert model.converged_
    check(csr, model, X)
    residual = s[:, None] * (model.predict_proba(X) - np.eye(K)[y]) / s.sum()
    g = residual.T @ X
    assert np.abs(residual.sum(axis=0)).max() < 1e-4
    W, g = model.coef_, (g if K > 2 else g[1:])
    penalty, ratio = 1 / (C * s.sum()), params.get("l1_ratio", 0.0)
    g = g + penalty * (1 - ratio) * W
    if "bounds" in params:
        lower, upper = params["bounds"]
        inside = (lower < W) & (upper > W)
        wrong = np.where(inside, np.abs(g), np.where(lower >= W, np.maximum(-g, 0), np.maximum(g, 0)))
        assert not inside.all()
    elif params.get("grouped") and K > 2:
        size = np.linalg.norm(W, axis=0)
        moved = np.linalg.norm(g + penalty * W / np.where(size > 0, size, 1), axis=0)
        wrong = np.where(size > 0, moved, np.maximum(np.linalg.norm(g, axis=0) - penalty, 0))
    else:
        l1 = penalty * ratio
        wrong = np.where(W != 0, np.abs(g + l1 * np.sign(W)), np.maximum(np.abs(g) - l1, 0))
    assert wrong.max() < 1e-4


@pytest.mark.parametrize("K", TABLES)
def test_probabilities_and_offsets(K):
    """Rows of probabilities; an offset that is a model's own logits leaves nothing to fit."""
    X, y, s = TABLES[K]
    Q = np.eye(K)[y]
    plain = SoftmaxRegression().fit(X, y, s)
    soft = SoftmaxRegression().fit(X, Q, s)
    check(soft, plain, X)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        free = SoftmaxRegression(C=np.inf, tol=1e-8).fit(X, y, s)
        rest = SoftmaxRegression(C=np.inf, tol=1e-8).fit(X, y, s, offset=free.decision_function(X))
    assert_allclose(rest.coef_, 0, atol=1e-3)
    assert rest.objective_ == pytest.approx(free.objective_, abs=2e-8)


@pytest.mark.parametrize("K", TABLES)
@pytest.mark.parametrize("solver", ["auto", "lbfgs", "newton"])
def test_rows_of_weight_0_are_as_if_they_were_not_there(K, solver):
    """To the last digits, by every solver: whatever they hold, and however many a block."""
    X, y, s = TABLES[K]
    wild = np.where(s[:, None] > 0, X, 1e200)
    for params in ({}, {"C": np.inf}):
        with_them = SoftmaxRegression(solver=solver, tol=1e-9, **params).fit(wild, y, s)
        without = SoftmaxRegression(solver=solver, tol=1e-9, **params).fit(X[s > 0], y[s > 0], s[s > 0])
        assert with_them.converged_
        assert_allclose(with_them.coef_, without.coef_, atol=1e-4)
        assert with_them.objective_ == pytest.approx(without.objective_, abs=2e-9)


@pytest.mark.parametrize("K", TABLES)
def test_cross_validation(K):
    """Folds are rows of weight 0: unshuffled, whole blocks of them."""
    X, y, s = TABLES[K]
    Cs = [1e-3, 1.0]
    model = SoftmaxRegressionCV(Cs=Cs, cv=3, tol=1e-9).fit(X, y)
    other = LogisticRegressionCV(
        Cs=Cs, cv=3, scoring="neg_log_loss", l1_ratios=(0,), use_legacy_attributes=False, tol=1e-5
    ).fit(X, y)
    assert_allclose(model.scores_, other.scores_, atol=2e-5)
    assert model.C_ == other.C_
    weighted = SoftmaxRegressionCV(Cs=Cs, cv=3, scoring="accuracy").fit(X, y, s)
    for i, (train, test) in enumerate(StratifiedKFold(3).split(X, y)):
        for k, C in enumerate(Cs):
            alone = peer(X[train], y[train], C, s[train])
            assert weighted.scores_[i, 0, k] == pytest.approx(
                alone.score(X[test], y[test], s[test]), abs=1e-3
            )
    both = [SoftmaxRegressionCV(Cs=Cs, cv=3, tol=1e-9).fit(A, y, s) for A in (X, sparse.csr_array(X))]
    assert_allclose(both[1].scores_, both[0].scores_, atol=1e-5)
    corners = SoftmaxRegressionCV(Cs=[1e-3], l1_ratios=(0.5, 1), cv=2).fit(X, y, s)
    for i, (train, test) in enumerate(StratifiedKFold(2).split(X, y)):
        for j, ratio in enumerate((0.5, 1)):
            alone = SoftmaxRegression(C=1e-3, l1_ratio=ratio).fit(X[train], y[train], s[train])
            expected = -log_loss(y[test], alone.predict_proba(X[test]), sample_weight=s[test])
            assert corners.scores_[i, j, 0] == pytest.approx(expected, abs=1e-4)


def test_cross_validation_with_its_defaults():
    X, y, _ = TABLES[2]
    model = SoftmaxRegressionCV().fit(X[:, :3], y)
    assert model.converged_
    assert model.scores_.shape == (5, 1, 10)
    assert model.score(X[:, :3], y) == pytest.approx(-log_loss(y, model.predict_proba(X[:, :3])), abs=1e-6)


@pytest.mark.parametrize("K", TABLES)
def test_paths(K):
    X, y, s = TABLES[K]
    for l1_ratio, Cs in ((0.0, [1e-4, 1e-2, np.inf]), (1.0, [1e-4, 1e-2])):
        path = softmax_path(X, y, Cs=Cs, model=SoftmaxRegression(l1_ratio=l1_ratio), sample_weight=s)
        assert path.converged.all()
        for C, coef in zip(Cs, path.coefs, strict=True):
            alone = SoftmaxRegression(C=C, l1_ratio=l1_ratio).fit(X, y, s)
            dense = coef.toarray() if sparse.issparse(coef) else coef
            assert_allclose(dense, alone.coef_, atol=5e-3)


def test_no_block_is_empty():
    """The kind of the fault: whoever walks blocks of rows meets none without a row."""
    X, y, s = TABLES[3]
    for A in (X, sparse.csr_array(X), X.astype(np.float32)):
        batch = linear.Batch(A, y, s)
        sizes = [part.shape[0] for _, part, _ in batch.blocks(1000)]
        assert min(sizes) > 0
        assert sum(sizes) == np.count_nonzero(s)
    none = linear.Batch(X, y, np.zeros(N))
    assert list(none.blocks(1000)) == []
    ignored = linear.Batch(X, np.where(np.arange(N) < 50_000, -1, y), ignore_index=-1)
    assert sum(part.shape[0] for _, part, _ in ignored.blocks(4096)) == 10_000
    assert_array_equal(np.concatenate([w for _, _, w in batch.blocks(512)]), s[s > 0])
