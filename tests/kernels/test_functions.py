"""softmax, log_softmax and cross_entropy of arrays: 50 digits over dtypes, axes and strides, `out`, and that
the kernels are what answers."""

import os
import subprocess
import sys
import threading
import tracemalloc

import ml_dtypes
import mpmath
import numpy as np
import pytest
import scipy.special
from numpy.testing import assert_array_equal

import xent
from tests.kernels.test_kernels import native, runnable_isas
from xent import reference
from xent.kernels import functions
from xent.kernels import native as kernels

BFLOAT16 = np.dtype(ml_dtypes.bfloat16)
DTYPES = [np.dtype(np.float64), np.dtype(np.float32), np.dtype(np.float16), BFLOAT16]
BACKENDS = [*runnable_isas(), "reference"]
# Relative, where a result is a normal number; half a unit in the last place is 5e-4 of float16 and 4e-3 of
# bfloat16. The reference's z − m is rounded by half an ulp of a gap of up to 50.
ACCURACY = {"float64": 2e-15, "float32": 1e-6, "float16": 5e-4, "bfloat16": 4e-3}
LOOSER = {"float64": 1e-14, "float32": 3e-6, "float16": 5e-4, "bfloat16": 4e-3}


def truth(z, axis):
    """softmax and log-softmax along an axis to 50 digits, as float64."""
    rows = np.moveaxis(z, axis, -1).astype(np.float64)
    p, log_p = np.empty(rows.shape), np.empty(rows.shape)
    for at in np.ndindex(rows.shape[:-1]):
        logits = [mpmath.mpf(float(v)) for v in rows[at]]
        weights = [mpmath.exp(v - max(logits)) for v in logits]
        for k, weight in enumerate(weights):
            rest = mpmath.fsum(w for j, w in enumerate(weights) if j != k)
            p[(*at, k)] = weight / (weight + rest)
            log_p[(*at, k)] = -mpmath.log1p(rest / weight)
    return np.moveaxis(p, -1, axis), np.moveaxis(log_p, -1, axis)


def assert_close(got, want, dtype, tolerance):
    """To a relative tolerance, or to half of the dtype's smallest number."""
    assert got.dtype == dtype
    off = np.abs(got.astype(np.float64) - want)
    least = float(ml_dtypes.finfo(dtype).smallest_subnormal)
    assert (off <= np.maximum(tolerance * np.abs(want), 0.51 * least)).all(), (off / np.abs(want)).max()


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize(
    ("shape", "axis"),
    [
        ((9, 1), 1),
        ((21, 3), 1),
        ((3, 70), 1),
        ((70, 3), 0),
        ((130, 18), 0),
        ((2, 300), -1),
        ((3, 4, 5), 1),
        ((40,), 0),
    ],
)
def test_every_number_is_right_to_50_digits(rng, on, backend, dtype, shape, axis):
    on(backend)
    z = (rng.normal(size=shape) * 5).astype(dtype)
    z.flat[:: max(z.size // 3, 1)] += dtype.type(25)  # rows that are all but certain
    p, log_p = truth(z, axis)
    accuracy = (LOOSER if backend == "reference" else ACCURACY)[dtype.name]
    assert_close(xent.softmax(z, axis), p, dtype, accuracy)
    assert_close(xent.log_softmax(z, axis), log_p, dtype, accuracy)  # z − m and log1p(R) have one sign
    assert np.abs(xent.softmax(z, axis).astype(np.float64).sum(axis) - 1).max() <= z.shape[axis] * accuracy


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize(("shape", "axis"), [((33, 5), 1), ((5, 33), 0), ((6, 200), 1), ((3, 4, 7), 1)])
def test_losses_are_right_to_50_digits(rng, on, backend, dtype, shape, axis):
    on(backend)
    z = (rng.normal(size=shape) * 5).astype(dtype)
    z.flat[:: max(z.size // 3, 1)] += dtype.type(25)
    K, rows = shape[axis], (*shape[:axis], *shape[axis + 1 :])
    log_p = np.moveaxis(truth(z, axis)[1], axis, -1)
    y, s = rng.integers(0, K, rows), rng.choice([0, 1, 2], rows).astype(float)
    q = rng.dirichlet(np.ones(K), rows) * 0.5 + 0.5 * np.eye(K)[y]
    want = -np.take_along_axis(log_p, y[..., None], -1)[..., 0]
    accuracy = LOOSER[dtype.name]
    sum_accuracy = (
        1e-14 if dtype == np.float64 else 2e-6
    )  # 16-bit losses are rounded only where they are returned
    for targets, exact in ((y, want), (np.moveaxis(q, -1, axis), -(q * log_p).sum(axis=-1))):
        each = xent.cross_entropy(z, targets, axis=axis, reduction="none")
        assert each.shape == rows
        assert_close(each, exact, dtype, accuracy)
        mean = xent.cross_entropy(z, targets, axis=axis, sample_weight=s)
        assert mean == pytest.approx((s * exact).sum() / s.sum(), rel=sum_accuracy)
        assert xent.cross_entropy(z, targets, axis=axis, reduction="sum") == pytest.approx(
            exact.sum(), rel=sum_accuracy
        )


LAYOUTS = {
    "F-ordered": np.asfortranarray,
    "every other class": lambda z: np.repeat(z, 2, axis=-1)[..., ::2],
    "backwards": lambda z: z[..., ::-1].copy()[..., ::-1],
    "rows backwards": lambda z: z[::-1].copy()[::-1],
    "axes turned": lambda z: np.ascontiguousarray(np.moveaxis(z, 0, 1)).swapaxes(0, 1),
    "unaligned": lambda z: np.frombuffer(b"x" + z.tobytes(), np.uint8)[1:].view(z.dtype).reshape(z.shape),
    "one row for all": lambda z: np.broadcast_to(z[:1], z.shape),
}


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_layouts_change_no_number(rng, on, backend, dtype, layout):
    """But by the order of a sum: classes apart are summed as columns are, not across lanes."""
    on(backend)
    for shape in ((40, 5), (5, 130), (3, 4, 50)):
        z = (rng.normal(size=shape) * 4).astype(dtype)
        laid = LAYOUTS[layout](z)
        assert laid.dtype == dtype
        plain = np.ascontiguousarray(laid)
        for axis in range(z.ndim):
            y = rng.integers(0, shape[axis], (*shape[:axis], *shape[axis + 1 :]))
            few_ulps = 8 * float(ml_dtypes.finfo(dtype).eps)
            for of in (
                xent.softmax,
                xent.log_softmax,
                lambda z, a, y=y: xent.cross_entropy(z, y, axis=a, reduction="none"),
            ):
                a, b = of(laid, axis).astype(float), of(plain, axis).astype(float)
                assert (np.abs(a - b) <= few_ulps * np.maximum(np.abs(b), 1e-3)).all()


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("K", [4, 150])
@pytest.mark.parametrize("axis", [0, 1])
def test_huge_masked_and_undefined_logits_come_out_as_in_the_reference(on, backend, dtype, K, axis):
    on(backend)
    inf, nan, huge = np.inf, np.nan, float(ml_dtypes.finfo(dtype).max)
    rows = [
        [0, 1, 2, 3],
        [huge, -huge, 0, 0],
        [-huge] * 4,
        [huge] * 4,
        [-inf, 0, 1, -inf],
        [-inf] * 4,
        [inf, 0, 1, 2],
    ]
    rows += [
        [inf, inf, -inf, 0],
        [nan, 0, 0, 0],
        [0, nan, inf, 0],
        [0, 0, -inf, nan],
        [-inf, -inf, 7, -inf],
    ] * 3
    z = np.repeat(np.array(rows), (K + 3) // 4, axis=1)[:, :K].astype(dtype)
    wide = z.astype(np.float64)
    labels, soft = np.arange(len(z)) % K, np.eye(K)[::-1][np.arange(len(z)) % K] * 0.5 + 0.5 * np.eye(K)[0]
    with np.errstate(all="ignore"):
        pairs = [
            (xent.softmax, reference.softmax(wide)),
            (xent.log_softmax, reference.log_softmax(wide)),
            (
                lambda z, a: xent.cross_entropy(z, labels, axis=a, reduction="none"),
                reference.cross_entropy(wide, labels),
            ),
            (
                lambda z, a: xent.cross_entropy(z, np.moveaxis(soft, 1, a), axis=a, reduction="none"),
                reference.cross_entropy(wide, soft),
            ),
        ]
        pairs = [(of, want.astype(dtype).astype(np.float64)) for of, want in pairs]
    for of, want in pairs:
        given = np.moveaxis(z, 1, axis)
        got = of(given, axis).astype(np.float64)
        got = np.moveaxis(got, axis, 1) if got.ndim == 2 else got
        assert_array_equal(np.isnan(got), np.isnan(want))
        assert_array_equal(np.isinf(got), np.isinf(want))
        eps = float(ml_dtypes.finfo(dtype).eps)
        np.testing.assert_allclose(got, want, rtol=2 * eps, atol=2 * eps, equal_nan=True)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_confident_row_keeps_its_loss_and_log(on, backend):
    on(backend)
    for gap in (40.0, 300.0, 700.0):
        for K in (2, 100):
            z = np.full((3, K), -gap)
            z[:, 1] = 0
            want = float(mpmath.log1p((K - 1) * mpmath.exp(-mpmath.mpf(gap))))
            assert xent.log_softmax(z)[0, 1] == pytest.approx(-want, rel=1e-13)
            assert xent.cross_entropy(z, [1, 1, 1]) == pytest.approx(want, rel=1e-13)
            assert xent.cross_entropy(z, np.eye(K)[[1, 1, 1]]) == pytest.approx(want, rel=1e-13)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_one_class_and_no_rows(on, backend, dtype):
    on(backend)
    one = np.array([[3.0], [-1e4]], dtype)
    assert xent.softmax(one).tolist() == [[1], [1]]
    assert xent.log_softmax(one).tolist() == [[0], [0]]
    assert xent.cross_entropy(one, [0, 0]) == 0
    for shape, axis in (((0, 3), 1), ((3, 0), 0), ((2, 0, 4), 2)):
        none = np.zeros(shape, dtype)
        for of in (xent.softmax, xent.log_softmax):
            assert of(none, axis).shape == shape
            assert of(none, axis).dtype == dtype
        rows = (*shape[:axis], *shape[axis + 1 :])
        assert xent.cross_entropy(none, np.zeros(rows, int), axis=axis, reduction="none").shape == rows
        assert xent.cross_entropy(none, none, axis=axis, reduction="sum") == 0


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("axis", [None, 0, -2, np.int64(1), (0,), (0, 2), (2, 0), (-1, 1), (0, 1, 2)])
def test_axes_are_scipys(rng, on, backend, axis):
    on(backend)
    for shape in ((3, 4, 5), (2, 30, 20)):
        z = rng.normal(size=shape)
        for turned in (z, np.asfortranarray(z), z[:, ::-1]):
            np.testing.assert_allclose(
                xent.softmax(turned, axis), scipy.special.softmax(turned, axis), rtol=1e-13
            )
            want = scipy.special.log_softmax(turned, axis)
            np.testing.assert_allclose(xent.log_softmax(turned, axis), want, rtol=1e-13)
            out = np.empty(shape)
            assert xent.softmax(turned, axis, out=out) is out
            assert_array_equal(out, xent.softmax(turned, axis))


def test_integers_bytes_the_other_way_round_and_subnormals():
    assert xent.softmax(np.arange(6).reshape(2, 3)).dtype == np.float64
    assert xent.softmax([[True, False]])[0, 0] == pytest.approx(1 / (1 + np.exp(-1)), rel=1e-15)
    for dtype in (">f2", ">f4", ">f8"):
        swapped = xent.softmax(np.array([[1.0, 2.0, 4.0]], dtype))
        assert swapped.dtype == np.dtype(dtype).newbyteorder("=")
        assert_array_equal(swapped, xent.softmax(np.array([[1.0, 2.0, 4.0]], swapped.dtype)))


@native
@pytest.mark.parametrize("isa", runnable_isas())
def test_float16_is_rounded_to_nearest_even_once(on, isa):
    """Every float16 below 0: exp of it, as float32 gives it, rounded as NumPy rounds."""
    on(isa)
    logits = -np.arange(0x7C01, dtype=np.uint16).view(np.float16)
    z = np.stack([np.zeros_like(logits), logits], axis=1)
    wide = xent.softmax(z.astype(np.float32))
    assert_array_equal(xent.softmax(z), wide.astype(np.float16))
    wide = xent.log_softmax(z.astype(np.float32))
    assert_array_equal(xent.log_softmax(z), wide.astype(np.float16))


@native
def test_the_kernels_answer_and_not_the_reference(rng, monkeypatch):
    for name in ("softmax", "log_softmax", "cross_entropy", "logsumexp"):
        monkeypatch.setattr(reference, name, lambda *a: pytest.fail("the reference was called"))
    for dtype in DTYPES:
        for z in (rng.normal(size=(20, 3)), rng.normal(size=(3, 200))[:, ::-2]):
            z = z.astype(dtype)
            for axis in (0, 1, None):
                assert xent.softmax(z, axis).shape == z.shape
                assert xent.log_softmax(z, axis).shape == z.shape
            assert xent.cross_entropy(z, np.zeros(len(z), int)) > 0
            assert xent.cross_entropy(z, np.full(z.shape, 1 / z.shape[1])) > 0


@native
@pytest.mark.parametrize("shape", [(1000, 3), (300, 500), (700, 130)])
def test_any_number_of_threads_gives_the_same_bits(rng, shape):
    z = rng.normal(size=shape) * 3
    for dtype in DTYPES:
        given = z.astype(dtype)
        for axis in (0, 1):
            y = rng.integers(0, shape[axis], shape[1 - axis])
            q = np.full(shape, 1 / shape[axis], np.float32)
            for call in (
                lambda t, a=axis, g=given: functions.normalise(False, g, a, None, n_threads=t),
                lambda t, a=axis, g=given: functions.normalise(True, g, a, None, n_threads=t),
                lambda t, a=axis, g=given, y=y: functions.losses(
                    *functions.logits_of(g), a, y, None, n_threads=t
                ),
                lambda t, a=axis, g=given, q=q: functions.losses(
                    *functions.logits_of(g), a, q, None, n_threads=t
                ),
            ):
                one = call(1)
                for threads in (2, 3):
                    assert call(threads).tobytes() == one.tobytes()


@native
def test_large_arrays_are_dealt_out_among_threads():
    """A second thread is woken: OpenMP's pool stays with the process."""
    code = (
        "import os, numpy as np, xent\n"
        "count = lambda: len(os.listdir('/proc/self/task'))\n"
        "z = np.zeros((10, 10)); xent.softmax(z); few = count()\n"
        "xent.softmax(np.zeros((1000, 1000))); print(few, count())\n"
    )
    if not os.path.isdir("/proc/self/task"):
        pytest.skip("threads are counted in /proc, which is Linux's")
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"OMP_NUM_THREADS": "2", "OPENBLAS_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    few, many = map(int, done.stdout.split())
    assert many == few + 1


@native
def test_a_loss_holds_nothing_of_the_logits_size(rng):
    z = rng.normal(size=(2000, 500))
    y, q = rng.integers(0, 500, 2000), np.full((2000, 500), 1 / 500)
    for targets in (y, q):
        for given, axis in ((z, 1), (z.T, 0), (np.asfortranarray(z), 1)):
            tracemalloc.start()
            xent.cross_entropy(given, targets if targets.ndim == 1 else np.moveaxis(q, 1, axis), axis=axis)
            peak = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
            assert peak < 100_000  # two columns of 2000 float64, where the logits take 8 MB


@native
def test_python_threads_do_not_disturb_each_other(rng):
    z = rng.normal(size=(200, 300))
    want, got = xent.softmax(z).tobytes(), []
    threads = [threading.Thread(target=lambda: got.append(xent.softmax(z).tobytes())) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert got == [want] * 4


def test_without_the_extension_the_values_are_the_same(rng, on):
    calls = []
    for shape, axis in (((30, 4), 1), ((4, 30), 0), ((3, 200), 1), ((2, 3, 50), 1)):
        z = rng.normal(size=shape) * 3
        y = rng.integers(0, shape[axis], (*shape[:axis], *shape[axis + 1 :]))
        calls += [lambda z=z, a=axis: xent.softmax(z, a), lambda z=z, a=axis: xent.log_softmax(z, a)]
        calls += [lambda z=z, y=y, a=axis: xent.cross_entropy(z, y, axis=a)]
    before = [call() for call in calls]
    on("reference")
    assert not kernels.HAS_NATIVE
    for call, value in zip(calls, before, strict=True):
        np.testing.assert_allclose(call(), value, rtol=1e-13)
