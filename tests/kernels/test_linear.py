"""The second-order sums against the reference, dense and CSR, in one block and in many."""

import numpy as np
import pytest
import scipy.sparse
from numpy.testing import assert_allclose

from xent import reference
from xent.kernels import linear


@pytest.fixture(params=["dense", "csr", "csr array, int64 indices"])
def batch(request, rng):
    X = rng.normal(size=(157, 6)) * (rng.random((157, 6)) < 0.5)
    y, s = rng.integers(0, 4, 157), rng.uniform(0, 2, 157)
    s[::11] = 0
    if request.param == "csr":
        X = scipy.sparse.csr_matrix(X)
    elif request.param != "dense":
        X = scipy.sparse.csr_array(X)
        X.indices, X.indptr = X.indices.astype(np.int64), X.indptr.astype(np.int64)
    return linear.Batch(X, y, s)


@pytest.fixture(params=["one block", "blocks of 64 rows"], autouse=True)
def block(request, monkeypatch):
    if request.param != "one block":
        monkeypatch.setattr(linear, "_BLOCK_BYTES", 1)


def parts(batch, rng):
    X = batch.X.toarray() if batch.is_sparse else batch.X
    return X, rng.normal(size=(4, 6)), rng.normal(size=4)


def test_sums(batch, rng):
    X, W, b = parts(batch, rng)
    loss, dW, db = reference.softmax_loss(W, X, batch.y, b=b, sample_weight=batch.weight)
    sums, S = linear.sums(batch, W, b), batch.weight.sum()
    assert sums.loss == pytest.approx(loss * S, rel=1e-13)
    assert_allclose(sums.grad_W, dW * S, atol=1e-12)
    assert_allclose(sums.grad_b, db * S, atol=1e-12)
    assert linear.sums(batch, W, b, gradient=False).loss == pytest.approx(sums.loss, rel=1e-14)


def test_moments(batch, rng):
    X, _, _ = parts(batch, rng)
    m, s, Y = linear.moments(batch, 4), batch.weight, np.eye(4)[batch.y]
    assert m.weight == pytest.approx(s.sum())
    assert_allclose(m.x, s @ X, atol=1e-12)
    assert_allclose(m.classes, s @ Y, rtol=1e-13)
    assert_allclose(m.class_x, (Y * s[:, None]).T @ X, atol=1e-12)


def test_gram(batch, rng):
    X, _, _ = parts(batch, rng)
    mean = batch.weight @ X / batch.weight.sum()
    want = ((X - mean) * batch.weight[:, None]).T @ (X - mean)
    assert_allclose(linear.gram(batch, mean), want, atol=1e-11)
    assert_allclose(linear.second_moment_diagonal(batch, mean), np.diag(want), atol=1e-11)


def test_gram_of_dense_rows_survives_a_large_mean(rng):
    X = rng.normal(size=(500, 3))
    shifted = linear.Batch(X + 1e8, np.zeros(500, np.int64))
    mean = (X + 1e8).mean(axis=0)
    assert_allclose(linear.gram(shifted, mean), np.cov(X.T, ddof=0) * 500, rtol=1e-6, atol=1e-5)


def test_curvatures(batch, rng):
    X, W, b = parts(batch, rng)
    P = reference.softmax(reference.linear(X, W, b))
    J = reference.softmax_jacobian(P)
    assert_allclose(
        linear.class_curvature(batch, W, b), (batch.weight[:, None, None] * J).sum(axis=0), atol=1e-12
    )
    centre = rng.normal(size=6)
    for intercept in (False, True):
        rows = np.column_stack([X - centre, np.ones(len(X))]) if intercept else X - centre
        assert_allclose(
            linear.hessian(batch, W, b, centre, intercept),
            reference.hessian(P, rows, batch.weight),
            atol=1e-11,
        )
