"""Products of tiles, and a softmax's rows put away and taken up again: native kernels against NumPy in
float64."""

import ml_dtypes
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from tests.kernels.test_kernels import native, runnable_isas
from xent.data.batch import Batch, TopK
from xent.kernels import native as kernels

pytestmark = native
DTYPES = {"d": np.float64, "f": np.float32, "h": np.float16, "b": ml_dtypes.bfloat16}
KINDS = ["dd", "ff", "hh", "bb", "fh", "fb"]
# Every edge: of a tile, a panel, the pieces of k, of rows and of columns; and nothing at all.
SHAPES = [
    (1, 1, 1),
    (8, 48, 2),
    (9, 47, 3),
    (16, 49, 33),
    (257, 100, 5),
    (5, 1540, 9),
    (33, 17, 801),
    (70, 90, 769),
]
SHAPES += [(0, 3, 2), (3, 0, 2), (3, 2, 0)]


def raw(a):
    return a.view(np.uint16) if a.dtype.itemsize == 2 else a


def unit(kind):
    """Of a sum: half of a float32's or float64's last digit."""
    return 2.0**-53 if kind == "dd" else 2.0**-24


@pytest.mark.parametrize("isa", runnable_isas())
@pytest.mark.parametrize("kind", KINDS)
def test_products(rng, on, kind, isa):
    """Any layout of A and B, written and added; a sum's error is k roundings at most."""
    on(isa)
    for m, n, k in SHAPES:
        A, B = (
            rng.normal(size=(m, k)).astype(DTYPES[kind[0]]),
            rng.normal(size=(k, n)).astype(DTYPES[kind[1]]),
        )
        wide = A.astype(np.float64), B.astype(np.float64)
        want, scale = wide[0] @ wide[1], np.abs(wide[0]) @ np.abs(wide[1])
        padded = np.zeros((m, 2 * k + 1), A.dtype)
        padded[:, : 2 * k : 2] = A
        layouts = [
            (A, B),
            (np.asfortranarray(A), np.asfortranarray(B)),
            (padded[:, : 2 * k : 2], B[:, ::-1][:, ::-1]),
        ]
        for left, right in layouts:
            out = np.full((m, n + 3), np.nan, np.float64 if kind == "dd" else np.float32)
            got = kernels.multiply(kind, raw(left), raw(right), out[:, :n])
            assert (np.abs(got - want) <= (k + 2) * unit(kind) * scale).all()
            first = got.copy()
            kernels.multiply(kind, raw(left), raw(right), out[:, :n], add=True)
            assert_allclose(got, 2 * first, rtol=1e-5 if kind != "dd" else 1e-14, atol=1e-6)
            assert np.isnan(out[:, n:]).all()


@pytest.mark.parametrize("isa", runnable_isas())
@pytest.mark.parametrize("kind", KINDS)
def test_a_numbers_bits_are_its_own(rng, on, kind, isa):
    """Wherever a row and a column stand, and whatever lies beside them."""
    on(isa)
    m, n, k = 300, 130, 500
    A, B = rng.normal(size=(m, k)).astype(DTYPES[kind[0]]), rng.normal(size=(k, n)).astype(DTYPES[kind[1]])
    dtype = np.float64 if kind == "dd" else np.float32
    whole = kernels.multiply(kind, raw(A), raw(B), np.empty((m, n), dtype))
    for rows, columns in (
        (slice(7, 8), slice(50, 51)),
        (slice(250, 300), slice(1, 130, 3)),
        (slice(3), slice(90)),
    ):
        part = np.empty(whole[rows, columns].shape, dtype)
        kernels.multiply(kind, raw(A[rows]), raw(np.ascontiguousarray(B[:, columns])), part)
        assert_array_equal(part, whole[rows, columns])


def test_rounding_of_A_is_asked_for(rng):
    """With `round_A` a float32 A may be rounded to bfloat16: half of 2^-8 of each product; without it is
    not."""
    A, B = (
        rng.normal(size=(40, 200)).astype(np.float32),
        rng.normal(size=(200, 60)).astype(ml_dtypes.bfloat16),
    )
    wide = B.astype(np.float64)
    want, scale = A.astype(np.float64) @ wide, np.abs(A).astype(np.float64) @ np.abs(wide)
    for round_A, unit_ in ((False, 202 * 2.0**-24), (True, 2.0**-8)):
        got = kernels.multiply("fb", A, raw(B), np.empty((40, 60), np.float32), round_A=round_A)
        assert (np.abs(got - want) <= unit_ * scale).all()
    rounded = A.astype(ml_dtypes.bfloat16).astype(np.float64) @ wide
    if kernels.isa() == "avx512" and hasattr(kernels._native, "multiply_pairs_fb"):
        assert_allclose(got, rounded, atol=1e-4)


def test_special_numbers(on):
    """NaN and infinity stay in their row and column; -0, subnormals and large bfloat16 survive packing."""
    for isa in runnable_isas():
        on(isa)
        A, B = np.ones((3, 5), np.float32), np.ones((5, 50), np.float32)
        A[1, 2], B[0, 7] = np.nan, np.inf
        got = kernels.multiply("ff", A, B, np.empty((3, 50), np.float32))
        assert np.isnan(got[1]).all()
        assert (got[[0, 2], 7] == np.inf).all()
        assert (np.delete(got[[0, 2]], 7, axis=1) == 5).all()
    values = np.array([0.0, -0.0, 1e-45, -3e-39, 3e38, 65504.0, 1.5], np.float32)
    for kind in ("ff", "hh", "bb"):
        x = (
            np.minimum(values, 6e4).astype(DTYPES[kind[0]])
            if kind == "hh"
            else values.astype(DTYPES[kind[0]])
        )
        got = kernels.multiply(
            kind, raw(x[:, None]), raw(np.ones((1, 3), x.dtype)), np.empty((7, 3), np.float32)
        )
        assert_allclose(got, x.astype(np.float32)[:, None] + np.zeros(3), atol=1.2e-38 if kind == "bb" else 0)


def bad_products():
    ones = np.ones((3, 4), np.float32)
    yield "columns of A", {"A": np.ones((3, 5), np.float32)}
    yield "rows of B", {"B": np.ones((3, 2), np.float32)}
    yield "out too small", {"out": np.ones((3, 1), np.float32)}
    yield "out too tall", {"out": np.ones((4, 2), np.float32)}
    yield "out by columns", {"out": np.ones((2, 3), np.float32).T}
    yield "out of another dtype", {"out": np.ones((3, 2))}
    yield "A of another dtype", {"A": ones.astype(np.float64)}
    yield "A of one axis", {"A": ones[0]}


@pytest.mark.parametrize(("name", "bad"), [*bad_products()], ids=lambda v: v if isinstance(v, str) else "")
def test_wrong_shapes_are_refused(name, bad):
    given = {
        "A": np.ones((3, 4), np.float32),
        "B": np.ones((4, 2), np.float32),
        "out": np.zeros((3, 2), np.float32),
    }
    given |= bad
    with pytest.raises((ValueError, TypeError)):
        kernels.multiply("ff", given["A"], given["B"], given["out"])


@pytest.mark.parametrize("isa", runnable_isas())
@pytest.mark.parametrize("kind", ["label", "soft", "top"])
@pytest.mark.parametrize("smoothing", [0.0, 0.3])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_rows_are_put_away_and_taken_up(rng, on, kind, smoothing, dtype, isa):
    """What `save` says of rows against the formulas; `restore` then gives the residuals of any weights."""
    on(isa)
    n, K = 21, 37
    Z = 3 * rng.normal(size=(n, K))
    Z[4, 5] = -np.inf
    y = rng.integers(0, K, n)
    y[4] = 6
    Q = np.eye(K)[y]
    if kind == "soft":
        Q = rng.dirichlet(np.ones(K), n)
        Q[4, 5] = 0
        Q[4] /= Q[4].sum()
    target = {"label": y, "soft": Q, "top": TopK(y[:, None], np.ones((n, 1)))}[kind]
    columns = kernels.columns(
        Batch(np.empty((n, 0)), target, label_smoothing=smoothing), np.arange(n), K, dtype
    )

    def tile(first, last):
        z = np.zeros((last - first, columns.filled), dtype)
        z[:, :n] = Z[:, first:last].T
        return z

    for first, last in ((0, 20), (20, K)):
        columns.scan(tile(first, last), first, None)
    columns.finish()
    kept = np.empty((n, 7))
    columns.save(kept)
    m = Z.max(axis=1)
    P = np.exp(Z - m[:, None])
    R = P.sum(axis=1) - 1
    live = (Z > -np.inf).sum(axis=1)
    with np.errstate(invalid="ignore"):
        gap = np.where(Q == 0, 0, Q * (Z - m[:, None])).sum(axis=1)
        logs = np.where(Z == -np.inf, 0, Z - m[:, None] - np.log1p(R)[:, None])
    T = (1 - smoothing) * Q + smoothing * (Z > -np.inf) / live[:, None]
    want = [m, R, Z.argmax(axis=1), live if smoothing else 0 * m, -(T * logs).sum(axis=1), 0 * m + 1, gap]
    tolerance = 1e-13 if dtype == np.float64 else 1e-5
    assert_allclose(kept, np.array(want).T, rtol=tolerance, atol=tolerance)

    s, share = rng.normal(size=n), smoothing / live
    P /= 1 + R[:, None]
    G = s[:, None] * (P - T)
    top = G[np.arange(n), Z.argmax(axis=1)]
    given = np.array([m, R, Z.argmax(axis=1), s / (1 + R), (1 - smoothing) * s, s * share, top]).T
    columns.restore(np.ascontiguousarray(given))
    for first, last in ((0, 30), (30, K)):
        z = tile(first, last)
        columns.residual(z, first, None)
        assert_allclose(z[:, :n].T, G[:, first:last], rtol=10 * tolerance, atol=tolerance)
    with pytest.raises(ValueError, match="7 numbers a row"):
        columns.restore(np.zeros((n, 6)))
    with pytest.raises(ValueError, match="7 numbers a row"):
        columns.save(np.zeros((n - 1, 7)))


@pytest.mark.parametrize("isa", runnable_isas())
@pytest.mark.parametrize("kind", ["d", "f", "b"])
def test_rows_of_logits(rng, on, kind, isa):
    """What a scan of rows says, and residuals, against the formulas: every length of row, masked classes,
    weights."""
    on(isa)
    compute = np.float64 if kind == "d" else np.float32
    tolerance = 1e-13 if kind == "d" else 3e-6
    for K in (1, 2, 7, 16, 33, 300):
        n, factor = 5, 0.7
        Z = (4 * rng.normal(size=(n, K))).astype(DTYPES[kind])
        if K > 2:
            Z[1, K // 2], Z[2, 0], Z[3, 1] = (
                -np.inf,
                Z[2].max(),
                Z[3].max(),
            )  # a mask, and ties: the first wins
        z = Z.astype(np.float64) * factor
        m, live = z.max(axis=1), Z > -np.inf
        e = np.exp(z - m[:, None])
        winner = Z.argmax(axis=1)
        e_others = e.copy()
        e_others[np.arange(n), winner] = 0
        for w in (None, rng.random(K).astype(compute)):
            weight = np.ones(K) if w is None else w
            out = np.empty((n, 6))
            kernels.scan_rows(kind, raw(Z), factor, w, True, out)
            below = np.where(live, m[:, None] - z, 0)
            want = [m, e_others.sum(1), winner, live.sum(1), (live * weight).sum(1), (below * weight).sum(1)]
            assert_allclose(out, np.array(want).T, rtol=tolerance, atol=tolerance)
            plain = np.empty((n, 6))
            kernels.scan_rows(kind, raw(Z), factor, w, False, plain)
            assert_array_equal(plain[:, :3], out[:, :3])
            given = np.ascontiguousarray(np.array([m, rng.normal(size=n), rng.random(n)]).T)
            got = np.full((n, K + 2), 3, DTYPES[kind])
            kernels.residual_rows(kind, raw(Z), factor, w, given, raw(got)[:, :K])
            G = factor * (given[:, 1:2] * e - given[:, 2:] * weight * live)
            coarse = 2.0**-8 if kind == "b" else tolerance
            assert_allclose(
                got[:, :K].astype(np.float64),
                G,
                rtol=coarse,
                atol=coarse * np.abs(G).max() if kind != "b" else 1e-6,
            )
            assert (got[:, K:] == 3).all()
    empty = np.full((2, 4), -np.inf, compute if kind != "b" else DTYPES["b"])
    out = np.empty((2, 6))
    kernels.scan_rows(kind, raw(empty), 1.0, None, True, out)
    assert_array_equal(out, [[-np.inf, 0, 0, 0, 0, 0]] * 2)
    with pytest.raises(ValueError, match="6 numbers a row"):
        kernels.scan_rows(kind, raw(empty), 1.0, None, True, np.empty((2, 5)))
    with pytest.raises(ValueError, match="an entry a class"):
        kernels.scan_rows(kind, raw(empty), 1.0, np.ones(3, compute), True, out)
    with pytest.raises(ValueError, match="z's shape"):
        kernels.residual_rows(kind, raw(empty), 1.0, None, np.ones((2, 3)), raw(empty[:, :2]))
    with pytest.raises(ValueError, match="contiguous"):
        kernels.scan_rows(kind, raw(empty)[:, ::2], 1.0, None, True, out)


@pytest.mark.parametrize("isa", runnable_isas())
def test_bfloat16_and_back(rng, on, isa):
    """To nearest, ties to even, as ml_dtypes rounds; what is not a number stays none."""
    on(isa)
    x = np.concatenate(
        [rng.normal(size=200), [0, -0.0, 1 + 2**-8, 1 + 3 * 2**-8, 3.4e38, np.inf, -np.inf, np.nan, 1e-40]]
    )
    x = np.tile(x.astype(np.float32), (3, 1))
    wide = np.zeros((3, 220), np.uint16)
    out = wide[:, :209]
    kernels.narrow(x, out)
    assert_array_equal(
        out.view(ml_dtypes.bfloat16).astype(np.float32), x.astype(ml_dtypes.bfloat16).astype(np.float32)
    )
    assert (wide[:, 209:] == 0).all()
    back = np.empty_like(x)
    kernels.widen(out, back)
    assert_array_equal(back, x.astype(ml_dtypes.bfloat16).astype(np.float32))
    with pytest.raises(ValueError, match="x's shape"):
        kernels.narrow(x, wide)
