"""The kernels against the reference and against 50 digits, over shapes, dtypes, layouts and threads."""

import os
import threading

import numpy as np
import pytest
import scipy.sparse
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from tests.conftest import exact_row
from xent import reference
from xent.kernels import functions, linear
from xent.kernels import native as kernels

native = pytest.mark.skipif(
    os.environ.get("XENT_NATIVE") == "0", reason="the extension was switched off with XENT_NATIVE=0"
)
TOLERANCE = {"f": 2e-5, "d": 1e-12}


def runnable_isas():
    if not kernels.HAS_NATIVE:
        return []
    found = []
    for name in ("baseline", "avx2", "avx512"):
        try:
            found.append(kernels._native.isa(name))
        except ValueError:
            continue  # this processor cannot run it
    return found


def problem(rng, n, d, K, dtype="d", compute=None):
    X = rng.normal(size=(n, d)).astype(dtype)
    W = rng.normal(size=(K, d)).astype(compute or dtype)
    b = rng.normal(size=K).astype(compute or dtype)
    return X, rng.integers(0, K, n), rng.uniform(0.1, 2, n), W, b


def expected(X, y, s, W, b):
    """Sums in float64 by the reference."""
    X, W, b = (np.asarray(a, np.float64) for a in (X, W, b))
    loss, dW, db = reference.softmax_loss(W, X, y, b=b, sample_weight=s)
    hits = s @ (reference.predict(reference.linear(X, W, b)) == y)
    return loss * s.sum(), dW * s.sum(), db * s.sum(), s.sum(), hits


def check(sums, want, tolerance, n):
    assert sums.loss == pytest.approx(want[0], rel=tolerance)
    scale = max(np.abs(want[1]).max(initial=0), np.abs(want[2]).max(), 1e-300)
    assert_allclose(sums.grad_W, want[1], atol=tolerance * scale * max(n, 1) ** 0.5)
    assert_allclose(sums.grad_b, want[2], atol=tolerance * scale * max(n, 1) ** 0.5)
    assert sums.weight == pytest.approx(want[3], rel=1e-14)
    assert sums.hits == pytest.approx(want[4], rel=1e-14)


@native
def test_the_extension_is_there():
    """A build that failed installs without it; the tests must not pass for that reason."""
    assert kernels.HAS_NATIVE, kernels.REASON
    assert "baseline" in runnable_isas()


@native
@pytest.mark.parametrize("isa", runnable_isas())
@pytest.mark.parametrize(("dtype", "compute"), [("f", "f"), ("f", "d"), ("d", "d")])
@pytest.mark.parametrize("d", [1, 7, 8, 33])
@pytest.mark.parametrize("K", [1, 2, 3, 7, 10, 16, 17, 40])
def test_fused_pass(monkeypatch, rng, isa, dtype, compute, d, K):
    monkeypatch.setattr(kernels, "_isa", isa)
    X, y, s, W, b = problem(rng, 131, d, K, dtype, compute)
    sums = linear.sums(linear.Batch(X, y, s), W, b)
    check(sums, expected(X, y, s, W, b), TOLERANCE[compute], 131)
    unweighted = linear.sums(linear.Batch(X, y), W, b)
    check(unweighted, expected(X, y, np.ones(131), W, b), TOLERANCE[compute], 131)


@pytest.mark.parametrize("n", [0, 1, 63, 64, 65, 1000])
@pytest.mark.parametrize("layout", ["C", "F", "strided", "reversed", "offset columns", "field", "even field"])
def test_layouts(rng, n, layout):
    X, y, s, W, b = problem(rng, n, 9, 5)
    if layout == "F":
        X = np.asfortranarray(X)
    elif layout == "strided":
        X = np.repeat(X, 2, axis=0)[::2]
    elif layout == "reversed":
        X = X[::-1, ::-1]
    elif layout == "offset columns":
        X = np.concatenate([X, X], axis=1)[:, 3:12]
    elif layout == "field":  # 76 bytes from row to row: no multiple of 8
        table = np.zeros(n, dtype=[("tag", "i4"), ("x", "f8", 9)])
        table["x"] = X
        X = table["x"]
    elif layout == "even field":  # 80 bytes from row to row, but 4 off to begin with: make sanitize sees it
        table = np.zeros(n, dtype={"names": ["x"], "formats": ["(9,)f8"], "offsets": [4], "itemsize": 80})
        table["x"] = X
        X = table["x"]
    X.flags.writeable = False
    sums = linear.sums(linear.Batch(X, y, s), W, b)
    if n == 0:
        assert sums.loss == 0
        assert not sums.grad_W.any()
    else:
        check(sums, expected(X, y, s, W, b), 1e-12, n)


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("dtype", ["f", "d"])
@pytest.mark.parametrize(
    ("n", "d", "K"), [(0, 4, 3), (0, 0, 1), (70, 0, 3), (70, 4, 1), (70, 0, 1), (1, 1, 1)]
)
def test_the_smallest_shapes(rng, n, d, K, dtype, sparse):
    """No row: all sums are 0. No feature: the bias alone. One class: it is certain, to the last bit."""
    X, y, s, W, b = problem(rng, n, d, K, dtype)
    rows = scipy.sparse.csr_array(X) if sparse else X
    for threads in (1, 3):
        sums = linear.sums(linear.Batch(rows, y, s), W, b, n_threads=threads)
        assert sums.grad_W.shape == (K, d)
        assert sums.grad_b.shape == (K,)
        if n == 0 or K == 1:
            assert sums.loss == 0
            assert not sums.grad_W.any()
            assert not sums.grad_b.any()
            assert sums.hits == sums.weight == pytest.approx(s.sum())
        else:
            check(sums, expected(X, y, s, W, b), TOLERANCE[dtype], n)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_any_shape_stride_and_thread_count(data):
    n, d, K = (data.draw(st.integers(low, high)) for low, high in ((1, 200), (0, 20), (1, 20)))
    rows, columns, threads = (data.draw(st.integers(1, 3)) for _ in range(3))
    rng = np.random.default_rng(data.draw(st.integers(0, 2**31)))
    dtype = data.draw(st.sampled_from("fd"))
    X, y, s, W, b = problem(rng, n * rows, d * columns, K, dtype)
    X, y, s, W = X[::rows, ::columns], y[::rows].copy(), s[::rows].copy(), W[:, ::columns].copy()
    s[rng.random(len(s)) < 0.2] = 0
    s[0] = 1
    sums = linear.sums(linear.Batch(X, y, s), W, b, n_threads=threads)
    check(sums, expected(X, y, s, W, b), TOLERANCE[dtype], n)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**31), st.integers(1, 400), st.integers(0, 400))
def test_sums_of_any_split_of_the_rows_add_up(seed, n, cut):
    X, y, s, W, b = problem(np.random.default_rng(seed), n, 6, 4)
    cut = min(cut, n)
    whole = linear.sums(linear.Batch(X, y, s), W, b)
    parts = (linear.sums(linear.Batch(X[r], y[r], s[r]), W, b) for r in (slice(cut), slice(cut, None)))
    check(next(parts) + next(parts), whole, 1e-13, n)


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_the_same_bits_every_run(rng, threads):
    X, y, s, W, b = problem(rng, 5000, 12, 6, "f")
    first, second = (linear.sums(linear.Batch(X, y, s), W, b, n_threads=threads) for _ in range(2))
    assert first.loss == second.loss
    assert_array_equal(first.grad_W, second.grad_W)
    assert_array_equal(first.grad_b, second.grad_b)


@pytest.mark.parametrize("isa", [*runnable_isas(), "reference"])
@pytest.mark.parametrize("dtype", ["f", "d"])
@pytest.mark.parametrize("K", [2, 3, 20, 1000])
@pytest.mark.parametrize("gap", [0.0, 3.0, 17.0, 36.0, 80.0, -5.0, -100.0, 1e4, -1e4])
def test_accuracy_at_every_margin(monkeypatch, isa, dtype, K, gap):
    """Loss and gradient to 1e-6 (float32) and 1e-14 (float64), relative, entry by entry.

    The reference subtracts plainly, so its error grows with the gap by half an ulp of it.
    """
    if isa == "reference":
        monkeypatch.setattr(kernels, "HAS_NATIVE", False)
    monkeypatch.setattr(kernels, "_isa", isa)
    Z = np.linspace(-2, 0, K)[None].astype(dtype)
    y = np.array([K // 2])
    Z[0, y] = gap
    loss, gradient = exact_row(Z[0], y[0])
    tolerance = 1e-6 if dtype == "f" else 1e-14
    if isa == "reference":
        tolerance += abs(gap) * float(np.finfo(dtype).eps)
    sums = linear.sums(linear.Batch(np.empty((1, 0), dtype), y), np.empty((K, 0), dtype), Z[0])
    assert sums.loss == pytest.approx(loss, rel=tolerance, abs=1e-300)
    tiny = np.finfo(dtype).tiny  # below it the format itself has no relative accuracy
    assert_allclose(sums.grad_b, gradient, rtol=tolerance, atol=tiny)


@pytest.mark.parametrize("dtype", ["f", "d"])
def test_float_rows_of_the_issue(dtype):
    """Two classes, gap 17, through the whole pass: loss 4.1e-8, gradient ∓4.1e-8."""
    X, W = np.ones((1, 1), dtype), np.array([[17.0], [0.0]], dtype)
    sums = linear.sums(linear.Batch(X, np.array([0])), W, np.zeros(2, dtype))
    loss, gradient = exact_row([17.0, 0.0], 0)
    assert sums.loss == pytest.approx(loss, rel=1e-6)
    assert_allclose(sums.grad_b, gradient, rtol=1e-6)
    assert_allclose(sums.grad_W[:, 0], gradient, rtol=1e-6)


def test_no_drift_over_many_classes():
    """float32, a million classes: log sum exp is right to float32's last digit."""
    z = np.linspace(-1, 0, 1_000_000, dtype=np.float32)
    want = float(reference.cross_entropy(z[None].astype(np.float64), np.array([5]))[0])
    batch = linear.Batch(np.empty((1, 0), np.float32), np.array([5]))
    assert linear.sums(batch, np.empty((len(z), 0), np.float32), z).loss == pytest.approx(want, rel=2e-8)


def test_masked_class_and_ties(rng):
    X, y, s, W, b = problem(rng, 70, 4, 5)
    b[3], y[y == 3] = -np.inf, 0
    sums = linear.sums(linear.Batch(X, y, s), W, b)
    others = [0, 1, 2, 4]
    want = expected(X, np.searchsorted(others, y), s, W[others], b[others])
    assert sums.loss == pytest.approx(want[0], rel=1e-13)
    assert_allclose(sums.grad_W[others], want[1], atol=1e-11)
    assert not sums.grad_W[3].any()
    # Of equal logits the first is the prediction, as argmax has it.
    tie = linear.sums(linear.Batch(np.zeros((3, 4)), np.array([0, 1, 2])), np.zeros((5, 4)), np.zeros(5))
    assert tie.hits == 1


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("layout", ["C", "F"])
def test_a_row_of_weight_zero_is_never_read(rng, layout, sparse):
    X, y, s, W, b = problem(rng, 200, 6, 4)
    s[::7] = 0
    clean = linear.sums(linear.Batch(X[s > 0], y[s > 0], s[s > 0]), W, b)
    X[::7], y[::7] = np.nan, -5
    X = scipy.sparse.csr_matrix(X) if sparse else np.asarray(X, order=layout)
    check(linear.sums(linear.Batch(X, y, s), W, b), clean, 1e-13, 200)


def test_nan_in_a_row_that_counts_shows(rng):
    X, y, s, W, b = problem(rng, 100, 4, 3)
    X[42, 1] = np.nan
    assert np.isnan(linear.sums(linear.Batch(X, y, s), W, b).loss)


@pytest.mark.parametrize("bad", [-1, 3, 2**40])
def test_label_outside_names_the_first_row(rng, bad):
    X, y, s, W, b = problem(rng, 500, 4, 3)
    y[[77, 300]] = bad
    with pytest.raises(ValueError, match=rf"y\[77\] = {bad} is outside \[0, 3\)"):
        linear.sums(linear.Batch(X, y, s), W, b)


@native
def test_wrong_shapes_are_refused_before_any_reading(rng):
    X, y, s, W, b = problem(rng, 20, 4, 3)
    for bad in ({"y": y[:5]}, {"s": s[:5]}, {"W": W[:, :2]}, {"b": b[:2]}):
        args = {"X": X, "y": y, "s": s, "W": W, "b": b} | bad
        with pytest.raises(ValueError):
            linear.sums(linear.Batch(args["X"], args["y"], args["s"]), args["W"], args["b"])


def test_several_python_threads_at_once(rng):
    X, y, s, W, b = problem(rng, 3000, 10, 5)
    want, got = linear.sums(linear.Batch(X, y, s), W, b), []

    def work():
        got.extend(linear.sums(linear.Batch(X, y, s), W, b) for _ in range(5))

    workers = [threading.Thread(target=work) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert len(got) == 20
    for sums in got:
        assert sums.loss == want.loss
        assert_array_equal(sums.grad_W, want.grad_W)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork()")
@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
@pytest.mark.parametrize("what", ["a pass", "softmax"])
def test_a_forked_child_can_go_on(rng, what):
    X, y, s, W, b = problem(rng, 20000, 10, 5)

    def work():
        if what == "softmax":
            return functions.normalise(False, X, -1, None, n_threads=2)[-1, 0]
        return linear.sums(linear.Batch(X, y, s), W, b, n_threads=2).loss

    want = work()
    child = os.fork()
    if child == 0:
        os._exit(0 if abs(work() / want - 1) < 1e-13 else 1)
    done = threading.Event()
    killer = threading.Timer(30, lambda: done.is_set() or os.kill(child, 9))
    killer.start()
    _, status = os.waitpid(child, 0)
    done.set()
    killer.cancel()
    assert os.waitstatus_to_exitcode(status) == 0
