"""Ordinary use at an ordinary size: 60,000 rows, every estimator, option and solver, each against
scikit-learn or another solver. Blocks of rows are then many, and some of them hold no row that counts."""

import warnings

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.linear_model import LogisticRegression, LogisticRegressionCV
from sklearn.metrics import log_loss

from xent import SoftmaxRegression, SoftmaxRegressionCV, linear, softmax_path

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


@pytest.mark.parametrize("K", TABLES)
@pytest.mark.parametrize(
    "params",
    [
        {"fit_intercept": False},
        {"class_weight": "balanced"},
        {"class_weight": {0: 3.0}},
        {"label_smoothing": 0.1},
        {"feature_penalty_factor": np.arange(D, dtype=float)},
        {"class_penalty_factor": {0: 0.5, 1: 2.0}},
        {"l1_ratio": 1.0},
        {"l1_ratio": 0.5},
        {"l1_ratio": 1.0, "grouped": True},
        {"bounds": (-0.3, 0.5)},
        {"warm_start": True},
        {"max_time": 60.0},
    ],
    ids=lambda params: "-".join(map(str, params)),
)
def test_every_option(K, params):
    """With weights against rows that are repeated, which have none; and against scikit-learn where it has
    the option."""
    X, y, s = TABLES[K]
    C = 1e-3
    times = s.astype(int)
    with warnings.catch_warnings():
        if "feature_penalty_factor" in params:  # its first is 0
            warnings.simplefilter("ignore")
        model = SoftmaxRegression(C=C, **params).fit(X, y, s)
        repeated = SoftmaxRegression(C=C, **params).fit(np.repeat(X, times, axis=0), np.repeat(y, times))
        again = model.fit(sparse.csr_array(X), y, s)
    check(again, repeated, X, atol=5e-3)
    assert again.objective_ == pytest.approx(repeated.objective_, abs=2e-6)
    if set(params) <= {"fit_intercept", "class_weight"}:
        check(again, peer(X, y, C, s, **params), X, atol=5e-3)
    if params.get("l1_ratio") == 1.0 and "grouped" not in params:
        saga = LogisticRegression(C=C, l1_ratio=1, solver="saga", tol=1e-3, random_state=0)
        check(again, saga.fit(X, y, s), X, atol=5e-3)


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
    model = SoftmaxRegressionCV(Cs=Cs, cv=3).fit(X, y)
    other = LogisticRegressionCV(
        Cs=Cs, cv=3, scoring="neg_log_loss", l1_ratios=(0,), use_legacy_attributes=False, tol=1e-5
    ).fit(X, y)
    assert_allclose(model.scores_, other.scores_, atol=2e-5)
    assert model.C_ == other.C_
    weighted = SoftmaxRegressionCV(Cs=Cs, cv=3, scoring="accuracy").fit(X, y, s)
    assert weighted.scores_.shape == (3, 1, 2)
    of_csr = SoftmaxRegressionCV(Cs=Cs, cv=3).fit(sparse.csr_array(X), y, s)
    assert_allclose(of_csr.scores_, SoftmaxRegressionCV(Cs=Cs, cv=3).fit(X, y, s).scores_, atol=1e-5)
    corners = SoftmaxRegressionCV(Cs=[1e-3], l1_ratios=(0.5, 1), cv=2).fit(X, y, s)
    assert corners.converged_


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
        path = softmax_path(X, y, Cs=Cs, l1_ratio=l1_ratio, sample_weight=s)
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
