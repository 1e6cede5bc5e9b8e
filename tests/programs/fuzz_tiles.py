"""Products, rows of logits and conversions among the calls of `fuzz_kernels.py`: any shapes, strides and
numbers, and arguments of wrong shapes and dtypes, which must be refused."""

from __future__ import annotations

import ml_dtypes
import numpy as np

from xent.kernels import native

DTYPES = {"d": np.float64, "f": np.float32, "h": np.float16, "b": ml_dtypes.bfloat16}
WILD = [np.nan, np.inf, -np.inf, 0.0, -0.0, 1e30, 5e-324]
MOAT = 24
REFUSED = "refused"  # in the place of a check


def raw(a):
    return a.view(np.uint16) if a.dtype.itemsize == 2 else a


def draw(rng, kind, shape, tame, contiguous=False):
    """Numbers of a kind, lying anyhow, or with contiguous rows."""
    m, n = shape
    steps = (1, 1) if contiguous else rng.choice([1, 1, 2, -1], 2)
    whole = rng.normal(size=(m * abs(steps[0]) + 1, n * abs(steps[1]) + int(rng.integers(3)))) * rng.choice(
        [1, 20]
    )
    if not tame:
        whole[rng.random(whole.shape) < 0.2] = rng.choice(WILD)
    with np.errstate(over="ignore"):
        whole = whole.astype(DTYPES[kind])
    part = whole[: m * abs(steps[0])][:: steps[0], : n * abs(steps[1])][:, :: steps[1]]
    return np.asfortranarray(part) if not contiguous and rng.random() < 0.2 else part


class Guarded:
    """Room for an output (m, n), rows apart by more than n, with a moat; `check` that it was not crossed."""

    def __init__(self, rng, shape, dtype):
        m, n = shape
        gap = int(rng.integers(4))
        self.whole = np.full((m + 2, n + gap + MOAT), 7, dtype)
        self.out = self.whole[1 : m + 1, MOAT : MOAT + n]

    def check(self):
        left = self.whole.copy()
        left[1:-1, MOAT : MOAT + self.out.shape[1]] = 7
        assert (left == 7).all(), "written outside of an output"


def products(rng, counts):
    kind = str(rng.choice(["dd", "ff", "hh", "bb", "fh", "fb"]))
    m, n, k = (int(rng.choice([0, 1, 3, 17, 48, 100, rng.integers(1, 300)])) for _ in range(3))
    tame, add, round_A = rng.random() < 0.8, bool(rng.random() < 0.3), bool(rng.random() < 0.3)
    A, B = draw(rng, kind[0], (m, k), tame), draw(rng, kind[1], (k, n), tame)
    room = Guarded(rng, (m, n), np.float64 if kind == "dd" else np.float32)
    room.out[...] = 3
    given = [raw(A), raw(B), room.out]
    if rng.random() < 0.2:  # what must be refused
        at = int(rng.integers(4))
        given[at % 3] = [
            np.zeros((m, k + 1), given[0].dtype),
            given[1].astype(np.int64),
            np.zeros((m + 1, n), room.out.dtype),
            given[0][0] if m else np.zeros(k, given[0].dtype),
        ][at]
        counts["multiply, spoilt"] += 1
        return lambda: native.multiply(kind, *given, add=add, round_A=round_A), room, REFUSED
    counts[f"multiply {kind}"] += 1

    def check():
        left, right = A.astype(np.float64), B.astype(np.float64)
        if kind == "fb" and round_A:
            left = np.where(np.isfinite(left), left, np.nan)
        want, scale = left @ right + 3 * add, np.abs(left) @ np.abs(right) + 3
        unit = (2.0**-8 if kind == "fb" and round_A else 0) + (k + 4) * (
            2.0**-53 if kind == "dd" else 2.0**-24
        )
        assert (np.abs(room.out - want) <= unit * scale).all(), "a product is wrong"

    return lambda: native.multiply(kind, *given, add=add, round_A=round_A), room, check if tame else None


def rows(rng, counts):
    kind, n, K = str(rng.choice(["d", "f", "b"])), int(rng.integers(0, 6)), int(rng.integers(1, 200))
    tame, smooth, factor = rng.random() < 0.7, bool(rng.random() < 0.5), float(rng.choice([1.0, 0.5, 3.0]))
    z = draw(rng, kind, (n, K), tame, contiguous=True)
    z[rng.random(z.shape) < rng.choice([0, 0.3])] = -np.inf
    dtype = np.float64 if kind == "d" else np.float32
    w = rng.random(K).astype(dtype) if rng.random() < 0.5 else None
    found = np.zeros((n, 6))
    room = Guarded(rng, (n, K), raw(z).dtype)
    if rng.random() < 0.2:
        counts["rows of logits, spoilt"] += 1
        bad = int(rng.integers(3))
        given = [
            (raw(z), factor, np.zeros(K + 1, dtype), smooth, found),
            (raw(z), factor, w, smooth, np.zeros((n, 5))),
            (raw(z).astype(np.int64), factor, w, smooth, found),
        ][bad]
        return lambda: native.scan_rows(kind, *given), room, REFUSED
    counts[f"rows of logits {kind}"] += 1

    def run():
        native.scan_rows(kind, raw(z), factor, w, smooth, found)
        given = np.column_stack([np.nan_to_num(found[:, 0], neginf=0), 1 / (1 + found[:, 1]), np.zeros(n)])
        native.residual_rows(kind, raw(z), factor, w, given, room.out)

    def check():
        y = factor * z.astype(np.float64)
        live = np.isfinite(y).any(1)
        y, at = y[live], found[live]
        lse = at[:, 0] + np.log1p(at[:, 1])
        want = np.log(np.exp(y - y.max(1, keepdims=True)).sum(1)) + y.max(1)
        unit = {"d": 1e-13, "f": 1e-5, "b": 1e-2}[kind]
        scale = 1 + np.abs(at[:, 0])
        assert (np.abs(lse - want) <= (1e-13 if kind == "d" else 1e-6) * scale * 4).all(), "an lse is wrong"
        p = np.exp(y - want[:, None]) * factor
        got = room.out.view(DTYPES[kind])[live].astype(np.float64)
        assert (np.abs(got - p) <= unit * scale[:, None] * (p + 1e-30)).all(), "a residual is wrong"
        if smooth and w is None and len(at):
            assert (at[:, 3] == np.isfinite(y).sum(1)).all(), "the live classes are miscounted"

    return run, room, check if tame else None


def conversions(rng, counts):
    shape = int(rng.integers(0, 5)), int(rng.integers(0, 300))
    x = draw(rng, "f", shape, rng.random() < 0.5, contiguous=True)
    room, back = Guarded(rng, shape, np.uint16), Guarded(rng, shape, np.float32)
    if rng.random() < 0.2:
        counts["narrow, spoilt"] += 1
        return lambda: native.narrow(x, np.zeros((shape[0], shape[1] + 1), np.uint16)), room, REFUSED
    counts["narrow and widen"] += 1

    def run():
        native.narrow(x, room.out)
        native.widen(room.out, back.out)

    def check():
        back.check()
        want = x.astype(ml_dtypes.bfloat16)
        got, nan = room.out.view(ml_dtypes.bfloat16), np.isnan(x)
        assert (np.isnan(got.astype(np.float32)) == nan).all(), "a NaN was lost"
        assert (got[~nan].view(np.uint16) == want[~nan].view(np.uint16)).all(), "rounded otherwise"
        assert (back.out[~nan] == want[~nan].astype(np.float32)).all(), "widened otherwise"

    return run, room, check


def one_call(seed, index, sets, counts):
    """Call `index` of a seed; AssertionError says what is wrong."""
    rng = np.random.default_rng([seed, index, 2])
    native._isa = str(rng.choice(sets))
    run, room, check = (products, rows, conversions)[rng.choice(3, p=[0.5, 0.35, 0.15])](rng, counts)
    with np.errstate(all="ignore"):
        try:
            run()
        except (ValueError, TypeError):
            assert check == REFUSED, "refused"
            counts["→ refused"] += 1
            return
        finally:
            room.check()
        assert check != REFUSED, "answered"
        counts["→ answered"] += 1
        if check:
            check()
            counts["→ every number right"] += 1
