"""Offsets, known additions to every row's logits, through every pass: a mask of one row, a fold into X."""

import re

import ml_dtypes
import numpy as np
import pytest
import scipy.sparse
from numpy.testing import assert_allclose, assert_array_equal

from tests.conftest import exact_row
from tests.kernels.test_kernels import native, runnable_isas
from tests.kernels.test_passes import KINDS, check, expected, targets
from xent import reference
from xent.kernels import linear, tiled

BACKENDS = [*runnable_isas(), "reference"]


def some_masked(rng, n, K, share=0.3):
    """Normal offsets, in float32's numbers, with −inf among them but for one class a row at least."""
    offset = (3 * rng.normal(size=(n, K))).astype("f").astype("d")
    masked = rng.random((n, K)) < share
    masked[np.arange(n), rng.integers(0, K, n)] = False
    return np.where(masked, -np.inf, offset)


def off_masks(rng, y, Q, offset):
    """The targets with nothing where `offset` masks; class indices move to the row's largest offset."""
    if isinstance(y, linear.TopK):
        masked = np.isneginf(np.take_along_axis(offset, y.indices, axis=1))
        y = linear.TopK(y.indices, np.where(masked, 0.0, y.values))
    elif y.ndim == 1:
        y = np.where(np.isneginf(offset[np.arange(len(y)), y]), offset.argmax(axis=1), y)
        return y, np.eye(Q.shape[1])[y]
    Q = np.where(np.isneginf(offset), 0, Q)
    return (y if isinstance(y, linear.TopK) else Q.astype(y.dtype)), Q


def problem(rng, kind, n, d, K, dtype="d"):
    """X, y, the targets as rows, weights with zeros, W, b and offsets, some of which mask."""
    X, W, b = (rng.normal(size=shape).astype(dtype) for shape in ((n, d), (K, d), (K,)))
    offset = some_masked(rng, n, K)
    y, Q = off_masks(rng, *targets(rng, kind, n, K), offset)
    s = rng.uniform(0, 2, n) * (rng.random(n) < 0.8)
    return X, y, Q, s, W, b, offset


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("d", "K"), [(40, 1), (5, 2), (0, 2), (3, 5), (70, 4), (9, 33)])
def test_targets(on, rng, backend, sparse, smoothing, kind, d, K):
    """Against the definitions; the offsets of rows of weight 0 are never read."""
    on(backend)
    for dtype, tolerance in (("d", 1e-12), ("f", 5e-6)):
        X, y, Q, s, W, b, offset = problem(rng, kind, 150, d, K, dtype)
        want = expected(X, Q, s, W, b, smoothing, offset)
        offset[s == 0] = np.nan
        rows = scipy.sparse.csr_array(X) if sparse else X
        for stored in "df":
            batch = linear.Batch(rows, y, s, smoothing, offset=offset.astype(stored))
            for threads in (1, 2):
                got = linear.sums(batch, W, b, n_threads=threads)
                check(got, want, tolerance)
            assert linear.sums(batch, W, b, gradient=False).loss == pytest.approx(got.loss, rel=tolerance)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("K", [2, 3, 20, 101])
@pytest.mark.parametrize("rows", ["C", "F", "strided", "float16", "bfloat16", "int32", "int64"])
def test_every_kind_of_rows(on, rng, backend, K, rows):
    on(backend)
    X, y, Q, s, W, b, offset = problem(rng, "labels", 333, 30, K)
    if rows in ("float16", "bfloat16"):
        X = X.astype(np.float16 if rows == "float16" else ml_dtypes.bfloat16)
    elif rows.startswith("int"):
        X = scipy.sparse.csr_array(np.where(rng.random(X.shape) < 0.3, X, 0))
        X.indices, X.indptr = X.indices.astype(rows), X.indptr.astype(rows)
    else:
        X = np.repeat(X, 2, axis=1)[:, ::2] if rows == "strided" else np.asarray(X, order=rows)
    dense = X if isinstance(X, np.ndarray) else X.toarray()
    want = expected(dense.astype("d"), Q, s, W, b, 0.2, offset)
    for stored in "df":
        batch = linear.Batch(X, y, s, 0.2, offset=offset.astype(stored))
        check(linear.sums(batch, W, b, n_threads=2), want, 1e-12)
    half = isinstance(X, np.ndarray) and X.dtype.itemsize == 2
    if half:
        check(linear.sums(batch, W.astype("f"), b.astype("f")), want, 5e-6)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("K", [2, 6, 40])
def test_offsets_are_features_of_weight_one(on, rng, backend, kind, K):
    """X' = [X, O] and W' = [W, I] have the logits of X, W and O: the same loss and gradients."""
    on(backend)
    X, W, b, offset = (rng.normal(size=shape) for shape in ((90, 7), (K, 7), (K,), (90, K)))
    y, _ = targets(rng, kind, 90, K)
    got = linear.sums(linear.Batch(X, y, None, 0.1, offset=offset), W, b)
    folded = linear.Batch(np.hstack([X, offset]), y, None, 0.1)
    want = linear.sums(folded, np.hstack([W, np.eye(K)]), b)
    check(got, want._replace(grad_W=want.grad_W[:, :7]), 1e-12)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("smoothing", [0.0, 0.3])
@pytest.mark.parametrize("K", [2, 3, 30])
def test_a_class_masked_in_all_rows_is_masked(on, rng, backend, smoothing, K):
    """By −inf in b or in the offsets: the same numbers. Two classes run as one row only where b is finite."""
    on(backend)
    X, W, b = rng.normal(size=(80, 5)), rng.normal(size=(K, 5)), rng.normal(size=K)
    y, V, c = rng.integers(1, K, 80), rng.normal(size=(K, 5)), rng.normal(size=K)
    y[7] = 0  # a masked label costs infinity
    masked, offset = np.where(np.arange(K) == 0, -np.inf, b), np.zeros((80, K))
    offset[:, 0] = -np.inf
    for rows in (slice(0, 7), slice(0, 80)):
        one = linear.Batch(X[rows], y[rows], None, smoothing, offset=offset[rows])
        other = linear.Batch(X[rows], y[rows], None, smoothing)
        got, want = linear.sums(one, W, b), linear.sums(other, W, masked)
        assert got.loss == pytest.approx(want.loss, rel=1e-13)
        assert_allclose(got.grad_W, want.grad_W, atol=1e-12)
        assert_allclose(got.grad_b, want.grad_b, atol=1e-12)
        for a, z in zip(
            linear.hessian_vector(one, W, b, V, c), linear.hessian_vector(other, W, masked, V, c), strict=True
        ):
            assert_allclose(a, z, atol=1e-12)
    assert got.loss == np.inf


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")  # the reference subtracts −inf from −inf
@pytest.mark.parametrize("K", [2, 3, 20])
def test_a_row_without_a_class_shows(on, rng, backend, K):
    on(backend)
    offset = np.zeros((40, K))
    offset[11] = -np.inf
    X, W, b, y, s = (
        rng.normal(size=(40, 3)),
        rng.normal(size=(K, 3)),
        np.zeros(K),
        np.zeros(40, int),
        np.ones(40),
    )
    assert np.isnan(linear.sums(linear.Batch(X, y, s, offset=offset), W, b).loss)
    s[11] = 0
    assert np.isfinite(linear.sums(linear.Batch(X, y, s, offset=offset), W, b).loss)
    y[11] = -100
    ignoring = linear.Batch(X, y, None, 0.1, -100, offset)
    assert np.isfinite(linear.sums(ignoring, W, b).loss)


@native
@pytest.mark.parametrize("smoothing", [0.0, 0.2])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("max_bytes", [1 << 26, 1], ids=["logits kept", "logits twice"])
@pytest.mark.parametrize("threads", [1, 3])
def test_tiles(monkeypatch, rng, smoothing, kind, max_bytes, threads):
    for name, size in (("_CLASSES", 7), ("_ROWS", 48), ("_FEWEST_ROWS", 16)):
        monkeypatch.setattr(tiled, name, size)
    monkeypatch.setattr(linear, "_FUSED_MAX_COEFFICIENTS", 0)
    monkeypatch.setattr(linear, "_FEWEST_TILED", 0)
    for dtype, tolerance in (("f", 5e-6), ("d", 1e-12)):
        X, y, Q, s, W, b, offset = problem(rng, kind, 173, 11, 30, dtype)
        offset[20, :25] = -np.inf  # its first tiles are masked altogether
        y, Q = off_masks(rng, y, Q, offset)
        s[48:144] = 1  # and two blocks have all their rows
        want = expected(X, Q, s, W, b, smoothing, offset)
        offset[s == 0] = np.nan
        for stored in "df":
            batch = linear.Batch(X, y, s, smoothing, offset=offset.astype(stored))
            got = linear.sums(batch, W, b, n_threads=threads, max_bytes=max_bytes)
            check(got, want, tolerance)


# 50 digits --------------------------------------------------------------------------------------

# Offsets of four classes: small ones, ±1e4 for the label and against it, masks.
EXACT = [
    [0.0, 0.0, 0.0, 0.0],
    [1.5, -2.25, 0.75, 3.0],
    [1e4, 0.0, 0.0, 0.0],
    [-1e4, 0.0, 0.0, 0.0],
    [1e4, 1e4, 1e4, 1e4],
    [-1e4, 1e4, -1e4, 1e4],
    [0.0, -np.inf, 0.0, 0.0],
    [-0.5, -np.inf, 17.0, -np.inf],
    [36.0, -np.inf, 0.0, 0.0],
    [80.0, 0.0, -np.inf, -1e4],
    [0.0, -np.inf, -np.inf, -np.inf],
    [1e4, -np.inf, -np.inf, 1e4],
]


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("dtype", ["f", "d"])
@pytest.mark.parametrize("K", [2, 4, 30])
def test_50_digits(on, backend, sparse, dtype, K):
    """To 1e-6 (float32) and 1e-14, entry by entry: W x + b + o is exact in these numbers. Row i of the
    identity picks row i of the offsets: its gradient is column i of grad_W. The label is class 0."""
    on(backend)
    n = len(EXACT)
    offset = np.tile(EXACT, (1, K // 4 + 1))[:, :K]
    W = (np.arange(K * n).reshape(K, n) * 7 % 32 / 16 - 1).astype(dtype)
    b = (np.arange(K) % 3 / 4).astype(dtype)
    X = np.eye(n, dtype=dtype)
    batch = linear.Batch(
        scipy.sparse.csr_array(X) if sparse else X, np.zeros(n, int), offset=offset.astype(dtype)
    )
    sums, losses = linear.sums(batch, W, b), []
    for i in range(n):
        z = W[:, i].astype("d") + b + offset[i]
        loss, gradient = exact_row(z, 0)
        tolerance = 1e-6 if dtype == "f" else 1e-14
        if backend == "reference":
            tolerance += np.ptp(z[np.isfinite(z)]) * float(np.finfo(dtype).eps)
        assert_allclose(sums.grad_W[:, i], gradient, rtol=tolerance, atol=float(np.finfo(dtype).tiny))
        losses.append(loss)
        one = linear.Batch(X[i : i + 1], [0], offset=offset[i : i + 1])
        assert linear.sums(one, W, b).loss == pytest.approx(loss, rel=tolerance, abs=1e-300)
    assert sums.loss == pytest.approx(sum(losses), rel=tolerance)


# Curvature and prediction -----------------------------------------------------------------------


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize(("d", "K"), [(4, 2), (30, 3), (3, 7), (12, 40)])
def test_hessian_vector(on, rng, backend, sparse, d, K):
    on(backend)
    X, y, _, s, W, b, offset = problem(rng, "labels", 90, d, K)
    V, c = rng.normal(size=(K, d)), rng.normal(size=K)
    batch = linear.Batch(scipy.sparse.csr_array(X) if sparse else X, y, s, offset=offset)
    HV, Hc = linear.hessian_vector(batch, W, b, V, c)
    P = reference.softmax(X @ W.T + b + offset)
    ones = np.column_stack([X, np.ones(90)])
    want = reference.hessian_vector_product(P, ones, np.column_stack([V, c]), s)
    assert_allclose(np.column_stack([HV, Hc]), want, atol=1e-11)
    # and it is the derivative of the gradient
    up, down = (linear.sums(batch, W + h * V, b + h * c) for h in (1e-5, -1e-5))
    assert_allclose(HV, (up.grad_W - down.grad_W) / 2e-5, atol=1e-6)
    assert_allclose(Hc, (up.grad_b - down.grad_b) / 2e-5, atol=1e-6)


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("block_bytes", [1, 1 << 25])
def test_second_order_sums(monkeypatch, rng, sparse, block_bytes):
    monkeypatch.setattr(linear, "_BLOCK_BYTES", block_bytes)
    X, y, _, s, W, b, offset = problem(rng, "labels", 157, 6, 4)
    P = reference.softmax(X @ W.T + b + offset)
    offset[s == 0] = np.nan
    batch = linear.Batch(scipy.sparse.csr_array(X) if sparse else X, y, s, offset=offset)
    J = (s[:, None, None] * reference.softmax_jacobian(P)).sum(axis=0)
    assert_allclose(linear.class_curvature(batch, W, b), J, atol=1e-12)
    assert_allclose(linear.class_variance(batch, W, b), np.diag(J), atol=1e-12)
    centre = rng.normal(size=6)
    want = reference.hessian(P, np.column_stack([X - centre, np.ones(157)]), s)
    assert_allclose(linear.hessian(batch, W, b, centre, True), want, atol=1e-11)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize(("d", "K"), [(1, 1), (5, 2), (40, 3), (6, 50), (6, 70)])
def test_predictions(on, rng, backend, sparse, d, K):
    on(backend)
    X, _, _, _, W, b, offset = problem(rng, "labels", 331, d, K)
    Z = X @ W.T + b + offset
    rows = scipy.sparse.csr_array(X) if sparse else X
    for stored, threads in (("d", 1), ("f", 3)):
        options = {"offset": offset.astype(stored), "n_threads": threads}
        assert_array_equal(linear.predict(rows, W, b, **options), Z.argmax(axis=1))
        assert_allclose(linear.logits(rows, W, b, **options), Z, rtol=1e-12, atol=1e-13)
        assert_allclose(linear.predict_proba(rows, W, b, **options), reference.softmax(Z), rtol=1e-12)
        got = linear.predict_log_proba(rows, W, b, **options)
        assert_allclose(got, reference.log_softmax(Z), rtol=1e-12, atol=1e-15)


# What is kept, and what is refused --------------------------------------------------------------


def test_what_a_batch_keeps(rng):
    X, y, offset = rng.normal(size=(9, 2)), np.zeros(9, int), rng.normal(size=(9, 3))
    for given in (offset, offset.astype("f")):
        assert linear.Batch(X, y, offset=given).offset is given
    for given in (
        offset.astype(">f8"),
        np.asfortranarray(offset),
        offset.astype("g"),
        offset.round().astype(int),
    ):
        kept = linear.Batch(X, y, offset=given).offset
        assert kept.dtype == np.float64
        assert kept.flags.c_contiguous
        assert_array_equal(kept, given)
    assert linear.Batch(X, y, offset=offset.astype("e")).offset.dtype == np.float64


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("sparse", [False, True])
def test_offsets_of_a_wrong_shape_are_named(on, monkeypatch, rng, backend, sparse):
    on(backend)
    X, y, W, b = rng.normal(size=(20, 4)), np.zeros(20, int), rng.normal(size=(3, 4)), np.zeros(3)
    X = scipy.sparse.csr_array(X) if sparse else X
    for shape in ((19, 3), (20,), (20, 3, 1), (1, 3)):
        with pytest.raises(ValueError, match=f"offset must be .* 20 rows, got {re.escape(str(shape))}"):
            linear.Batch(X, y, offset=np.zeros(shape))
        with pytest.raises(ValueError, match=r"offset must be .* 20 rows"):
            linear.predict(X, W, b, offset=np.zeros(shape))
    for columns in (0, 1, 2, 4):
        offset = np.zeros((20, columns), "f")
        batch = linear.Batch(X, y, offset=offset)
        for call in (
            lambda batch=batch: linear.sums(batch, W, b),
            lambda batch=batch: linear.sums(batch, W, b, gradient=False),
            lambda batch=batch: linear.hessian_vector(batch, W, b, W, b),
            lambda batch=batch: linear.class_curvature(batch, W, b),
            lambda batch=batch: linear.class_variance(batch, W, b),
            lambda batch=batch: linear.hessian(batch, W, b, np.zeros(4), True),
            lambda offset=offset: linear.predict(X, W, b, offset=offset),
            lambda offset=offset: linear.predict_proba(X, W, b, offset=offset),
            lambda offset=offset: linear.predict_log_proba(X, W, b, offset=offset),
        ):
            with pytest.raises(ValueError, match=rf"\(n, K\) = \(20, 3\), got \(20, {columns}\)"):
                call()
    monkeypatch.setattr(linear, "runs_tiled", lambda batch, K: backend != "reference" and not sparse)
    with pytest.raises(ValueError, match=r"\(n, K\) = \(20, 3\), got \(20, 4\)"):
        linear.sums(batch, W, b)
