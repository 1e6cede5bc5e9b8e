"""Every kind of X and of targets through every path gives the sums of the reference."""

import itertools
import subprocess
import sys

import ml_dtypes
import numpy as np
import pytest
import scipy.sparse
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from tests.kernels.test_kernels import native, runnable_isas
from xent import reference
from xent.kernels import linear
from xent.kernels import tiled as tiles

BACKENDS = [*runnable_isas(), "reference"]
KINDS = ["labels", "soft", "soft float32", "top"]


def targets(rng, kind, n, K):
    """y of this kind, and the same as dense rows (n, K)."""
    if kind == "labels":
        y = rng.integers(0, K, n)
        return y, np.eye(K)[y]
    if kind == "top":
        classes = rng.integers(0, K, (n, 3))  # a class may come twice
        values = rng.dirichlet(np.ones(3), n)
        Q = np.zeros((n, K))
        np.add.at(Q, (np.arange(n)[:, None], classes), values)
        return linear.TopK(classes, values), Q
    Q = rng.dirichlet(np.full(K, 0.3), n)
    return (Q, Q) if kind == "soft" else (Q.astype("f"), Q.astype("f").astype("d"))


def expected(X, Q, s, W, b, smoothing=0.0, offset=0.0):
    """Loss, gradients and hits from the definitions, in float64."""
    X = X.astype("d").toarray() if hasattr(X, "toarray") else X
    X, W, b = (np.asarray(a, np.float64) for a in (X, W, b))
    Z = X @ W.T + b + offset
    hits = s @ Q[np.arange(len(s)), Z.argmax(axis=1)]
    live = np.isfinite(Z)
    Q = (1 - smoothing) * Q + smoothing * live / live.sum(axis=1, keepdims=True)
    log_p = Z - np.log(np.exp(Z).sum(axis=1, keepdims=True))
    G = s[:, None] * (Q.sum(axis=1, keepdims=True) * np.exp(log_p) - Q)
    return (
        -s @ np.where(live, Q * np.where(live, log_p, 0), 0).sum(axis=1),
        G.T @ X,
        G.sum(axis=0),
        s.sum(),
        hits,
    )


def check(sums, want, tolerance):
    scale = max(np.abs(want[1]).max(initial=0), np.abs(want[2]).max(), 1e-2)  # K = 1: all 0
    assert sums.loss == pytest.approx(want[0], rel=tolerance)
    assert_allclose(sums.grad_W, want[1], atol=tolerance * scale)
    assert_allclose(sums.grad_b, want[2], atol=tolerance * scale)
    assert (sums.weight, sums.hits) == pytest.approx(want[3:], rel=1e-6)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("d", "K"), [(40, 1), (5, 2), (3, 5), (70, 4), (9, 33)])
def test_targets(on, rng, backend, sparse, smoothing, kind, d, K):
    on(backend)
    X, W, b = rng.normal(size=(150, d)), rng.normal(size=(K, d)), rng.normal(size=K)
    y, Q = targets(rng, kind, 150, K)
    s = rng.uniform(0, 2, 150) * (rng.random(150) < 0.8)
    if K > 4:
        b[2], Q[:, 2] = -np.inf, 0
        if kind == "labels":
            y = Q.argmax(axis=1)
        elif kind == "top":
            masked = y.indices == 2
            y = linear.TopK(np.where(masked, 0, y.indices), np.where(masked, 0.0, y.values))
        else:
            y = Q.astype(y.dtype)
        Q = np.eye(K)[y] if kind == "labels" else Q
    rows = scipy.sparse.csr_array(X) if sparse else X
    want = expected(X, Q, s, W, b, smoothing)
    check(linear.sums(linear.Batch(rows, y, s, smoothing), W, b), want, 1e-12)


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("max_bytes", [1 << 26, 1], ids=["logits kept", "logits twice"])
@pytest.mark.parametrize("threads", [1, 2, 3])
@native
def test_tiles_and_the_fused_kernel_agree(monkeypatch, rng, smoothing, kind, max_bytes, threads):
    for name, size in (("_CLASSES", 7), ("_ROWS", 48), ("_FEWEST_ROWS", 16)):
        monkeypatch.setattr(tiles, name, size)
    n, d, K = 173, 11, 30
    for dtype, tolerance in (("f", 3e-6), ("d", 1e-12)):
        X, W, b = (rng.normal(size=shape).astype(dtype) for shape in ((n, d), (K, d), (K,)))
        b[9] = -np.inf
        y, _ = targets(rng, kind, n, K)
        if kind == "labels":
            y[y == 9] = 3
        s = rng.uniform(0, 2, n) * (rng.random(n) < 0.7)
        X[s == 0] = np.nan
        ignore = 5 if kind == "labels" else None
        batch = linear.Batch(X, y, s, smoothing, ignore)
        fused = linear.sums(batch, W, b, n_threads=threads)
        with monkeypatch.context() as m:
            m.setattr(linear, "_FUSED_MAX_COEFFICIENTS", 0)
            m.setattr(linear, "_FEWEST_TILED", 0)
            tiled = linear.sums(batch, W, b, n_threads=threads, max_bytes=max_bytes)
            again = linear.sums(batch, W, b, n_threads=threads, max_bytes=max_bytes)
            no_gradient = linear.sums(batch, W, b, gradient=False, n_threads=threads, max_bytes=max_bytes)
        if kind == "labels":
            check(tiled, fused, tolerance)
        else:  # a masked class with a share costs infinity, on both paths
            assert tiled.loss == fused.loss == np.inf
            assert_allclose(tiled.grad_b, fused.grad_b, atol=tolerance * np.abs(fused.grad_b).max())
        assert_array_equal(tiled.grad_W, again.grad_W)
        assert no_gradient.loss == tiled.loss


@native
@pytest.mark.parametrize("bad", [-1, 30])
def test_tiles_name_the_first_bad_row(monkeypatch, rng, bad):
    monkeypatch.setattr(linear, "_FEWEST_TILED", 0)
    monkeypatch.setattr(linear, "_FUSED_MAX_COEFFICIENTS", 0)
    monkeypatch.setattr(tiles, "_ROWS", 32)
    X, W, b = rng.normal(size=(100, 4)), rng.normal(size=(30, 4)), np.zeros(30)
    y = rng.integers(0, 30, 100)
    y[[71, 90]] = bad
    with pytest.raises(ValueError, match=rf"y\[71\] = {bad} is outside \[0, 30\)"):
        linear.sums(linear.Batch(X, y), W, b)
    top = linear.TopK(np.stack([np.zeros(100, np.int64), y], axis=1), np.full((100, 2), 0.5))
    for limit in (0, 1 << 21):
        monkeypatch.setattr(linear, "_FUSED_MAX_COEFFICIENTS", limit)
        with pytest.raises(ValueError, match=rf"y\[71, 1\] = {bad} is outside \[0, 30\)"):
            linear.sums(linear.Batch(X, top), W, b)


@native
@pytest.mark.parametrize(("dtype", "top"), [("f", -88.72), ("d", -709.8)])
def test_a_first_tile_all_masked_adds_nothing(monkeypatch, dtype, top):
    """Its largest logit is −inf; measuring it from the row's would be inf or noise."""
    monkeypatch.setattr(linear, "_FUSED_MAX_COEFFICIENTS", 0)
    b = np.full(1100, top, dtype)
    b[:512] = -np.inf
    batch = linear.Batch(np.zeros((16, 3), dtype), np.full(16, 600))
    sums = linear.sums(batch, np.zeros((1100, 3), dtype), b)
    assert sums.loss == pytest.approx(16 * np.log(588), rel=1e-6)
    assert not sums.grad_b[:512].any()
    assert_allclose(sums.grad_b[700:], 16 / 588, rtol=1e-5)


# Bad input --------------------------------------------------------------------------------------


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("backend", BACKENDS)
def test_the_first_of_bad_rows_in_several_blocks(on, backend, sparse):
    on(backend)
    y = np.zeros(600, int)
    y[[5, 130, 500]] = 9
    X = scipy.sparse.csr_array(np.ones((600, 5))) if sparse else np.ones((600, 5))
    with pytest.raises(ValueError, match=r"y\[5\] = 9 is outside"):
        linear.sums(linear.Batch(X, y), np.zeros((3, 5)), np.zeros(3))


def test_what_a_pass_cannot_read_is_refused(rng):
    X, y, W, b = rng.normal(size=(20, 20)), np.zeros(20, int), np.zeros((3, 20)), np.zeros(3)
    for bad, message in (
        (X.astype(int), "convert it, for example with X.astype"),
        (scipy.sparse.csc_array(X), r"convert a sparse one with X.tocsr\(\)"),
        (scipy.sparse.csr_array(X.astype(int)), "convert it, for example with X.astype"),
        (X[:, :5], r"W must be \(K, d\)"),
    ):
        with pytest.raises(ValueError, match=message):
            linear.sums(linear.Batch(bad, y), W, b)
        with pytest.raises(ValueError, match=message):
            linear.predict_proba(bad, W, b)
    with pytest.raises(ValueError, match="whole numbers"):
        linear.Batch(X, y + 0.5)
    with pytest.raises(ValueError, match="whole numbers"):
        linear.Batch(X, linear.TopK(np.full((20, 1), 1.9), np.ones((20, 1))))
    for alpha in (-0.5, 1.0, np.nan):
        with pytest.raises(ValueError, match="label_smoothing must be in"):
            linear.Batch(X, y, None, alpha)
    with pytest.raises(ValueError, match="weight must be"):
        linear.Batch(X, y, np.ones((20, 1)))


@pytest.mark.parametrize("backend", BACKENDS)
def test_odd_but_right_input(on, rng, backend):
    on(backend)
    X, y, W, b = rng.normal(size=(20, 7)), rng.integers(0, 3, 20), rng.normal(size=(3, 7)), rng.normal(size=3)
    want = linear.sums(linear.Batch(X, y), W, b).loss
    assert linear.sums(linear.Batch(X.astype(">f8"), y.astype(">i4")), W, b).loss == want
    nothing = linear.TopK(np.zeros((20, 0), int), np.zeros((20, 0)))
    assert linear.sums(linear.Batch(X, nothing), W, b).loss == 0
    # Two classes whose difference overflows float32 are two rows still.
    p = linear.predict_proba(np.array([[1e-38]], "f"), np.array([[-2e38], [2e38]], "f"), np.zeros(2, "f"))
    assert_allclose(p, [[1 / (1 + np.exp(4)), 1 / (1 + np.exp(-4))]], rtol=1e-5)


# Half precision ---------------------------------------------------------------------------------


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("compute", ["f", "d"])
@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16])
def test_every_half_precision_number_is_widened_exactly(on, backend, compute, dtype):
    """log p at x = every number that is finite in float16 or bfloat16, against the same X in float32."""
    on(backend)
    x = np.arange(1 << 16, dtype=np.uint16).view(dtype)
    with np.errstate(invalid="ignore"):  # signalling NaN
        x = x[np.isfinite(x.astype("f")) & (np.abs(x.astype("d")) < 1e30)]
    X = np.repeat(x[:, None], 3, axis=1)
    W, b = np.array([[0, 1e-3, 0], [0.5, 0, 0], [0, 0, -1]], compute), np.zeros(3, compute)
    half, single = (linear.predict_log_proba(rows, W, b) for rows in (X, X.astype("f")))
    assert half.dtype == compute
    assert_array_equal(half, single)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("layout", ["C", "F", "strided"])
@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16])
@pytest.mark.parametrize(("d", "K"), [(3, 2), (20, 3), (70, 4), (33, 20)])
def test_half_precision_rows(on, rng, backend, dtype, layout, d, K):
    on(backend)
    X = rng.normal(size=(150, 2 * d)).astype(dtype)
    X = X[:, ::2] if layout == "strided" else np.asarray(X[:, :d], order=layout)
    W, b, y = rng.normal(size=(K, d)), rng.normal(size=K), rng.integers(0, K, 150)
    want = expected(X.astype("d"), np.eye(K)[y], np.ones(150), W, b)
    check(linear.sums(linear.Batch(X, y), W, b), want, 1e-12)
    single = linear.sums(linear.Batch(X, y), W.astype("f"), b.astype("f"))
    check(single, want, 3e-6)


# CSR --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("K", [2, 3, 8, 20, 101])
@pytest.mark.parametrize("index", [np.int32, np.int64])
@pytest.mark.parametrize(("rows", "compute"), ["ff", "fd", "dd"])
def test_sparse_rows_in_any_order(on, rng, backend, K, index, rows, compute):
    """Unsorted columns, columns named twice, empty rows; every thread count; the same bits every run."""
    on(backend)
    n, d = 700, 300
    counts = rng.integers(0, 12, n) * (rng.random(n) < 0.9)
    start = np.concatenate([[0], np.cumsum(counts)]).astype(index)
    column = np.minimum(rng.geometric(0.02, start[-1]) - 1, d - 1).astype(index)
    X = scipy.sparse.csr_array((rng.normal(size=start[-1]).astype(rows), column, start), shape=(n, d))
    W, b, y = (
        rng.normal(size=(K, d)).astype(compute),
        rng.normal(size=K).astype(compute),
        rng.integers(0, K, n),
    )
    s = rng.uniform(0, 2, n) * (rng.random(n) < 0.8)
    want = expected(X, np.eye(K)[y], s, W, b)
    for threads in (1, 2, 3):
        first, second = (linear.sums(linear.Batch(X, y, s), W, b, n_threads=threads) for _ in range(2))
        check(first, want, 3e-6 if compute == "f" else 1e-12)
        assert_array_equal(first.grad_W, second.grad_W)


@native
def test_sparse_rows_that_point_outside_are_refused(rng):
    X = scipy.sparse.random_array((50, 20), density=0.2, rng=rng, format="csr")
    W, b, y = rng.normal(size=(3, 20)), np.zeros(3), rng.integers(0, 3, 50)
    for bad in (-1, 20, 2**31 - 1):
        broken = X.copy()
        row = int(np.flatnonzero(np.diff(X.indptr))[9])
        broken.indices[broken.indptr[row]] = bad
        with pytest.raises(ValueError, match=f"row {row} of X points outside of its 20 columns"):
            linear.sums(linear.Batch(broken, y), W, b)
    broken = X.copy()
    broken.indptr[30] = 10**6
    with pytest.raises(ValueError, match="row 29 of X points outside"):
        linear.sums(linear.Batch(broken, y), W, b)
    with pytest.raises(ValueError, match="same number of rows"):
        linear.sums(linear.Batch(X, y[:-1]), W, b)


# Curvature and prediction -----------------------------------------------------------------------


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize(("d", "K"), [(4, 2), (30, 3), (3, 7), (12, 40)])
def test_hessian_vector(on, rng, backend, sparse, d, K):
    on(backend)
    X, s = rng.normal(size=(90, d)), rng.uniform(0, 2, 90) * (rng.random(90) < 0.8)
    W, V, b, c = rng.normal(size=(K, d)), rng.normal(size=(K, d)), rng.normal(size=K), rng.normal(size=K)
    rows = scipy.sparse.csr_array(X) if sparse else X
    batch = linear.Batch(rows, np.zeros(90, np.int64), s)
    HV, Hc = linear.hessian_vector(batch, W, b, V, c)
    ones = np.column_stack([X, np.ones(90)])
    P = reference.softmax(X @ W.T + b)
    want = reference.hessian_vector_product(P, ones, np.column_stack([V, c]), s)
    assert_allclose(np.column_stack([HV, Hc]), want, atol=1e-11)
    # and it is the derivative of the gradient
    up, down = (linear.sums(batch, W + h * V, b + h * c) for h in (1e-5, -1e-5))
    assert_allclose(HV, (up.grad_W - down.grad_W) / 2e-5, atol=1e-6)


@native
@pytest.mark.parametrize("gap", [1.0, 20.0, 300.0, -40.0])
def test_curvature_of_a_confident_row_keeps_relative_accuracy(gap):
    """Three classes, one dominant: p_1 (1 − p_1) of a p_1 that rounds to 1, against p_2 + p_3 directly."""
    z, a = np.array([gap, 0.0, 0.5]), np.array([1.0, 0.0, 0.0])
    batch = linear.Batch(np.empty((1, 0)), np.array([0]))
    _, Hc = linear.hessian_vector(batch, np.empty((3, 0)), z, np.empty((3, 0)), a)
    p = np.exp(z - z.max()) / np.exp(z - z.max()).sum()
    assert_allclose(Hc, [p[0] * (p[1] + p[2]), -p[0] * p[1], -p[0] * p[2]], rtol=1e-13)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("kind", ["C", "F", "csr", "memmap"])
@pytest.mark.parametrize(("d", "K"), [(1, 1), (5, 2), (40, 3), (6, 50), (6, 70)])
def test_predictions(on, rng, tmp_path, backend, kind, d, K):
    on(backend)
    X, W, b = rng.normal(size=(331, d)), rng.normal(size=(K, d)), rng.normal(size=K)
    Z = X @ W.T + b
    if kind == "csr":
        X = scipy.sparse.csr_array(X)
    elif kind == "memmap":
        np.save(tmp_path / "X.npy", X)
        X = np.load(tmp_path / "X.npy", mmap_mode="r")
    else:
        X = np.asarray(X, order=kind)
    for threads in (1, 3):
        assert_array_equal(linear.predict(X, W, b, n_threads=threads), Z.argmax(axis=1))
        assert_allclose(linear.logits(X, W, b, n_threads=threads), Z, rtol=1e-12, atol=1e-13)
        p, log_p = (f(X, W, b, n_threads=threads) for f in (linear.predict_proba, linear.predict_log_proba))
        assert_allclose(p, reference.softmax(Z), rtol=1e-12)
        assert_allclose(log_p, reference.log_softmax(Z), rtol=1e-12)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_sums_of_any_split_of_any_kind_add_up(data):
    n, d, K = (data.draw(st.integers(low, high)) for low, high in ((1, 300), (0, 40), (1, 20)))
    rng = np.random.default_rng(data.draw(st.integers(0, 2**31)))
    kind, sparse = data.draw(st.sampled_from(KINDS)), data.draw(st.booleans())
    smoothing = data.draw(st.sampled_from([0.0, 0.3]))
    X, W, b = rng.normal(size=(n, d)), rng.normal(size=(K, d)), rng.normal(size=K)
    y, Q = targets(rng, kind, n, K)
    cuts = sorted([0, n, *data.draw(st.lists(st.integers(0, n), max_size=3))])

    def part(rows):
        some = linear.TopK(*(a[rows] for a in y)) if kind == "top" else y[rows]
        chosen = scipy.sparse.csr_array(X[rows]) if sparse else X[rows]
        return linear.sums(linear.Batch(chosen, some, None, smoothing), W, b)

    total = part(slice(*cuts[:2]))
    for a, z in itertools.pairwise(cuts[1:]):
        total += part(slice(a, z))
    check(total, expected(X, Q, np.ones(n), W, b, smoothing), 1e-11)


# Memory -----------------------------------------------------------------------------------------

PEAK = """
import numpy as np
from xent.kernels import linear
def status(key):
    return next(int(line.split()[1]) << 10 for line in open("/proc/self/status") if line.startswith(key))
rng = np.random.default_rng(0)
X = rng.standard_normal(({n}, {d}), dtype=np.float32)
y, W, b = rng.integers(0, {K}, {n}), np.zeros(({K}, {d}), np.float32), np.zeros({K}, np.float32)
linear.sums(linear.Batch(X[:64], y[:64]), W, b)  # libraries, threads and BLAS have their own by now
open("/proc/self/clear_refs", "w").write("5")
before = status("VmRSS")
linear.sums(linear.Batch(X, y), W, b, n_threads=2)
print(status("VmHWM") - before)
"""


@native
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
@pytest.mark.parametrize(("n", "d", "K"), [(400_000, 100, 10), (3000, 64, 60_000)])
def test_working_memory_does_not_grow_with_n(n, d, K):
    """64 MiB a thread and 3·K·d numbers at most, where n·K would be 15 and 686 MiB and X is 153 MiB."""
    done = subprocess.run(
        [sys.executable, "-c", PEAK.format(n=n, d=d, K=K)], capture_output=True, text=True, check=True
    )
    assert int(done.stdout) < 2 * (64 << 20) + 3 * K * d * 4
