"""What softmax, log_softmax and cross_entropy of arrays take and refuse: `out`, axes, targets."""

import ml_dtypes
import numpy as np
import pytest
from numpy.testing import assert_array_equal

import xent
from tests.kernels.test_functions import BACKENDS, DTYPES


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("of", [xent.softmax, xent.log_softmax])
@pytest.mark.parametrize("shape", [(50, 4), (6, 200)])
@pytest.mark.parametrize("axis", [0, 1])
def test_out_takes_the_result_wherever_it_lies(rng, on, backend, dtype, of, shape, axis):
    on(backend)
    n, K = shape
    whole = rng.normal(size=(n + 1, K + 1)).astype(dtype)
    z = whole[:-1, :-1].copy()
    want = of(z, axis)
    raw = np.zeros(z.nbytes + 1, np.uint8)[1:].view(dtype).reshape(shape)
    for room in (np.empty(shape, dtype), np.empty(shape, dtype, "F"), np.empty((2 * n, K), dtype)[::-2], raw):
        assert of(z, axis, out=room) is room
        assert_array_equal(room, want)
    # The input itself, and arrays that lie across it.
    for into in (np.s_[:-1, :-1], np.s_[1:, 1:], np.s_[1:, :-1], np.s_[:-1, 1:], np.s_[-2::-1, :-1]):
        shared = whole.copy()
        before = shared.copy()
        room = shared[into]
        of(shared[:-1, :-1], axis, out=room)
        assert_array_equal(room, want)
        before[into] = want
        assert_array_equal(shared, before)


@pytest.mark.parametrize(
    ("out", "error", "message"),
    [
        ([[0.0] * 4] * 3, TypeError, "out: expected a NumPy array, got list"),
        (
            np.empty((4, 3)),
            ValueError,
            r"out: expected shape \(3, 4\) and dtype float64.*np.empty\(\(3, 4\), 'float64'\)",
        ),
        (np.empty((3, 4), np.float32), ValueError, r"got \(3, 4\) and float32; make one with np.empty"),
        (np.empty((3, 4), ">f8"), ValueError, "got .* >f8"),
        (np.broadcast_to(0.0, (3, 4)), ValueError, "out: the array is read-only"),
    ],
)
def test_an_out_that_cannot_take_the_result_is_refused(out, error, message):
    with pytest.raises(error, match=message):
        xent.softmax(np.zeros((3, 4)), out=out)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: xent.softmax(np.zeros((3, 0))), r"at least one class, got shape \(3, 0\)"),
        (lambda: xent.softmax(np.zeros((3, 0)), None), "at least one class"),
        (lambda: xent.softmax(1.0), r"expected an axis -1 .* got shape \(\)"),
        (lambda: xent.log_softmax(np.zeros((3, 4)), 2), "logits: expected an axis 2 with at least one class"),
        (lambda: xent.log_softmax(np.zeros((3, 4)), (0, 0)), "repeated axis"),
        (lambda: xent.softmax([["a"]]), "logits: expected real numbers"),
        (lambda: xent.softmax(np.zeros((3, 4), complex)), "logits: expected real numbers"),
        (lambda: xent.softmax(np.zeros((3, 4), ml_dtypes.float8_e4m3fn)), "logits: expected real numbers"),
        (
            lambda: xent.cross_entropy(np.zeros((2, 3, 4)), np.zeros((3, 2), int)),
            r"targets: expected rows of shape \(2, 3\)",
        ),
        (
            lambda: xent.cross_entropy(np.zeros((2, 3, 4)), [[0, 0, 0], [0, 4, 5]]),
            r"targets\[1, 1\] = 4 is outside \[0, 4\)",
        ),
        (
            lambda: xent.cross_entropy(np.zeros((2, 3, 4)), np.full((2, 4, 4), 0.25)),
            r"targets: expected rows of shape \(2, 3\), one a row of logits, got \(2, 4\)",
        ),
        (
            lambda: xent.cross_entropy(np.zeros((2, 3)), np.array([2**63 + 1, 0], np.uint64)),
            r"targets\[0\] = 9223372036854775809 is outside \[0, 3\)",
        ),
        (
            lambda: xent.cross_entropy(np.zeros((2, 3)), [0, 0], sample_weight=[[1, 1]]),
            r"sample_weight: expected shape \(2,\), got \(1, 2\)",
        ),
        (
            lambda: xent.cross_entropy(np.zeros((1, 2, 3)), [[0, 0]], sample_weight=[[1, -1]]),
            r"sample_weight\[0, 1\] = -1",
        ),
    ],
)
@pytest.mark.parametrize("backend", ["as it is", "reference"])
def test_errors_name_the_argument_and_the_place(on, backend, call, message):
    if backend == "reference":
        on(backend)
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("n", "K"), [(40, 3), (5, 200)])
def test_a_bad_soft_row_among_good_ones_is_found(rng, on, backend, dtype, n, K):
    on(backend)
    z = rng.normal(size=(n, K)).astype(dtype)
    good = rng.dirichlet(np.ones(K), n).astype(dtype)
    weight = np.ones(n)
    for spoil, problem in (
        (lambda r: r * 2, r"sums to (2|1\.9999)"),
        (lambda r: r * np.nan, "has a NaN"),
        (lambda r: r * 0, "is 0 in every"),
    ):
        q = good.copy()
        q[n - 2 :] = spoil(q[n - 2 :])
        with pytest.raises(ValueError, match=rf"targets: row {n - 2} {problem}"):
            xent.cross_entropy(z, q)
        weight[n - 2 :] = 0  # such a row is not looked at
        mean = xent.cross_entropy(z[: n - 2], q[: n - 2])
        assert xent.cross_entropy(z, q, sample_weight=weight) == pytest.approx(mean, rel=1e-14)
        weight[:] = 1
    q = good.copy()
    q[n - 1, 0] -= 0.5
    q[n - 1, 1] += 0.5
    with pytest.raises(ValueError, match=rf"targets: row {n - 1} has a negative entry"):
        xent.cross_entropy(z, q)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_soft_row_good_enough_by_numpys_rounding_is_taken(on, backend):
    """Its sum in float32 is within what is allowed, and in float64, in which the kernels add, just not."""
    on(backend)
    q = np.array([[1.0000799, 5e-8, 5e-8, 5e-8]] * 2, np.float32)
    assert abs(q.astype(float).sum(1)[0] - 1) > 8e-5 >= abs(q.sum(1)[0] - 1)
    assert xent.cross_entropy(np.zeros((2, 4)), q) == pytest.approx(1.00008 * np.log(4), rel=1e-6)
