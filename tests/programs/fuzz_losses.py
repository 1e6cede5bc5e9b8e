"""Losses of whole calls among the calls of `fuzz_kernels.py`: of logits and of layers, any sizes, strides,
numbers and threads, with logits or exp(z − m) kept or not; targets that are no class must be refused."""

from __future__ import annotations

import numpy as np

from tests.programs.fuzz_tiles import draw, raw
from xent.kernels import native

MOAT = 16
IGNORED = -100


class Room:
    """Memory between two moats."""

    def __init__(self, size, dtype):
        self.whole = np.full(size + 2 * MOAT, 7, dtype)
        self.here = self.whole[MOAT : MOAT + size]
        self.address = self.here.ctypes.data

    def check(self):
        assert (self.whole[:MOAT] == 7).all(), "written before an output"
        assert (self.whole[-MOAT:] == 7).all(), "written behind an output"


def strides(a):
    return [step // a.itemsize for step in a.strides]


def one_call(seed, index, sets, counts):
    """Call `index` of a seed; AssertionError says what is wrong."""
    rng = np.random.default_rng([seed, index, 3])
    isa = str(rng.choice(sets))
    kind = str(rng.choice(["d", "f", "b"]))
    forward, backward = native.loss_calls(kind)
    n, d = int(rng.choice([1, 2, 17, rng.integers(1, 400)])), int(rng.choice([1, 3, rng.integers(1, 100)]))
    K, layer = int(rng.choice([1, 2, 50, rng.integers(1, 1300)])), rng.random() < 0.7
    tame = rng.random() < 0.8
    wide = np.float64 if kind == "d" else np.float32
    x = draw(rng, kind, (n, d if layer else K), tame, contiguous=not layer)
    W, b = draw(rng, kind, (K, d), tame), draw(rng, kind, (K, 1), tame)[:, 0]
    y = rng.integers(0, K, n)
    y[rng.random(n) < rng.choice([0, 0.3, 1], p=[0.5, 0.4, 0.1])] = IGNORED
    wrong = rng.random() < 0.1
    if wrong:
        y[rng.integers(n)] = rng.choice([-1, K, 2**62, -(2**63)])
    threads, max_bytes = int(rng.integers(1, 4)), int(rng.choice([1, 5000, 100_000, 32 << 20]))
    rounds = layer and kind == "b" and rng.random() < 0.5
    step = max(min(512, max_bytes // np.dtype(wide).itemsize // d, K), 1)
    keep = layer and rng.random() < 0.5
    z = Room(K * native.kept_stride(n) if keep and not rounds else 0, wide)
    e = Room(K * n if keep and rounds else 0, np.uint16)
    peaks = Room(-(-K // step) * n if keep and rounds else 0, np.float32)
    loss, known, total = Room(n, np.float64), Room(4 * n, np.float64), Room(1, raw(x).dtype)
    dx, dW, db = (Room(size, raw(x).dtype) for size in (x.size, W.size if layer else 0, K if layer else 0))
    kept = [room.address if room.here.size else 0 for room in (z, e, peaks)]
    at = [raw(x).ctypes.data, *((raw(W).ctypes.data, raw(b).ctypes.data) if layer else (0, 0)), y.ctypes.data]
    sizes = n, d if layer else 0, K, *strides(x), *(strides(W) if layer else (0, 0)), strides(b)[0]
    given = (*at, *kept, *sizes, IGNORED, max_bytes, threads, rounds)
    counts[f"losses {kind}, {'layer' if layer else 'logits'}{', kept' * keep}{', rounded' * rounds}"] += 1
    live = forward(*given, loss.address, known.address, total.address, True, isa)
    good = (y == IGNORED) | ((y >= 0) & (y < K))
    if not good.all():
        assert live == -1 - int(np.flatnonzero(~good)[0]), "a target that is no class"
        assert (loss.here == 7).all(), "written all the same"
        counts["→ refused"] += 1
        return
    assert live == (y != IGNORED).sum(), "rows are miscounted"
    need = [bool(rng.random() < 0.7), layer and bool(rng.random() < 0.7), layer and bool(rng.random() < 0.7)]
    out = [room.address if here else 0 for room, here in zip((dx, dW, db), need, strict=True)]
    up = rng.random(n)
    backward(*given, known.address, up.ctypes.data, 0.0, *out, isa)
    for room in (z, e, peaks, loss, known, total, dx, dW, db):
        room.check()
    counts["→ answered"] += 1
    if not tame:
        return
    wide_x, wide_W = x.astype(np.float64), W.astype(np.float64)
    logits = wide_x @ wide_W.T + b.astype(np.float64) if layer else wide_x
    size = 1 + np.abs(logits).max() + ((np.abs(wide_x) @ np.abs(wide_W).T).max() if layer else 0)
    unit = {"d": 2.0**-53, "f": 2.0**-24, "b": 2.0**-24}[kind] * (d + 20) * size
    p = np.exp(logits - logits.max(1, keepdims=True))
    p /= p.sum(1, keepdims=True)
    here, rows = y != IGNORED, np.arange(n)
    want = np.where(here, logits.max(1) - logits[rows, y * here] - np.log(p.max(1)), 0)
    assert (np.abs(loss.here - want) <= 4 * unit).all(), "a loss is wrong"
    p[rows, y * here] -= 1
    g = p * (up * here)[:, None]
    slack = unit + (2.0**-8 if kind == "b" else 0)
    for name, room, here, truth, scale in (
        ("x", dx, need[0], g @ wide_W if layer else g, np.abs(g) @ np.abs(wide_W) if layer else np.abs(g)),
        ("W", dW, need[1], g.T @ wide_x if layer else None, np.abs(g).T @ np.abs(wide_x) if layer else None),
        ("b", db, need[2], g.sum(0), np.abs(g).sum(0)),
    ):
        if here:
            found = room.here.view(x.dtype).astype(np.float64).reshape(truth.shape)
            weight = 1 if name == "b" else np.abs(wide_W if name == "x" and layer else wide_x).max()
            most = 8 * slack * (scale + unit * weight * n) + 2.0**-50 * weight * n  # p − 1 loses digits here
            assert (np.abs(found - truth) <= most).all(), f"d{name} is wrong"
    counts["→ every number right"] += 1
