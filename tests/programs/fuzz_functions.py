"""softmax, log-softmax and losses of arrays among the calls of `fuzz_kernels.py`: any axes, strides,
numbers and threads, and arguments of wrong shapes and dtypes, which must be refused."""

from __future__ import annotations

import numpy as np

from tests.programs.fuzz_tiles import DTYPES, REFUSED, WILD, raw
from xent.kernels import native

UNIT = {"d": 1e-14, "f": 4e-6, "h": 1e-3, "b": 8e-3}


def lay(rng, shape, dtype):
    """An array that lies anyhow in a larger one, which is returned too."""
    steps = [int(rng.choice([1, 1, 1, 2, 3, -1, -2])) for _ in shape]
    turned = rng.permutation(len(shape))
    sizes = [shape[a] * abs(steps[a]) + int(rng.integers(3)) for a in turned]
    whole = np.full(sizes, 7, dtype)
    view = whole.transpose(np.argsort(turned))
    view = view[tuple(slice(0, n * abs(s)) for n, s in zip(shape, steps, strict=True))]
    return whole, view[tuple(slice(None, None, s) for s in steps)]


def draw_logits(rng, kind, shape):
    """Logits that lie anyhow, and whether they are ordinary numbers."""
    tame = bool(rng.random() < 0.7)
    values = rng.normal(size=shape) * rng.choice([1, 20])
    if not tame:
        values[rng.random(shape) < 0.1] = rng.choice(WILD)
    _, z = lay(rng, shape, DTYPES[kind])
    with np.errstate(over="ignore"):
        z[...] = values.astype(DTYPES[kind])
    return z, tame


def reference(z, axis):
    """softmax and log-softmax along an axis, in extended precision."""
    wide = z.astype(np.longdouble)
    shifted = wide - wide.max(axis, keepdims=True)
    others = np.exp(shifted)
    np.put_along_axis(others, np.expand_dims(shifted.argmax(axis), axis), 0, axis)
    rest = others.sum(axis, keepdims=True)
    return np.exp(shifted) / (1 + rest), shifted - np.log1p(rest)


def normalise(rng, counts, kind, z, axis, tame, threads):
    logs, in_place = bool(rng.random() < 0.5), bool(rng.random() < 0.2)
    whole, out = lay(rng, z.shape, DTYPES[kind])
    run = getattr(native._native, f"normalise_{kind}")
    given = [raw(z), raw(out), axis, logs, threads, native._isa]
    if rng.random() < 0.15:
        at = int(rng.integers(4))
        counts["normalise, spoilt"] += 1
        given[at % 3] = [
            raw(z).astype(np.int64),
            np.zeros((*z.shape[:-1], z.shape[-1] + 1), raw(z).dtype),
            z.ndim + int(rng.integers(3)),
            raw(z)[None],
        ][at]
        return lambda: run(*given), None, REFUSED
    counts[f"normalise {kind}"] += 1
    want = reference(z, axis)[logs]
    if in_place:
        given[1], out = raw(z), z

    def check():
        if not in_place:
            found = out.copy()
            out[...] = 7
            assert (whole == 7).all(), "written outside of an output"
            out[...] = found
        if not tame:
            return
        off = np.abs(out.astype(np.longdouble) - want)
        assert (off <= UNIT[kind] * np.maximum(np.abs(want), 1e-30 if kind in "df" else 1e-3)).all(), (
            "a number is wrong"
        )

    return lambda: run(*given), z.size, check


def losses(rng, counts, kind, z, axis, tame, threads):
    rows = tuple(np.delete(z.shape, axis))
    n, K = int(np.prod(rows)), z.shape[axis]
    soft = str(rng.choice(["labels", "f", "d"]))
    weight = rng.choice([0.0, 1.0, 2.0], n) if rng.random() < 0.5 else None
    moat = np.full(n + 16, 7.0)
    out = moat[8 : n + 8]
    label, q = rng.integers(0, K, n), None
    bad = -1
    if soft != "labels":
        q = lay(rng, z.shape, DTYPES[soft])[1]
        q[...] = np.moveaxis(rng.dirichlet(np.ones(K), rows), -1, axis)
    if n and rng.random() < 0.1:
        bad = int(rng.integers(n))
        label[bad] = rng.choice([-1, K, 2**62])
        if q is not None:
            np.moveaxis(q, axis, -1)[np.unravel_index(bad, rows)] *= rng.choice([2.0, np.nan, -1.0])
    if bad >= 0 and weight is not None and weight[bad] == 0:
        bad = -1
    run = getattr(native._native, f"losses_{kind}")
    slack = 1e-12 * max(K, 8) if soft == "d" else 1e-5 * max(K, 8)
    targets = {"labels": (label, None, None), "f": (None, q, None), "d": (None, None, q)}[soft]
    given = [raw(z), axis, *targets, weight, slack, out, threads, native._isa]
    if rng.random() < 0.15:
        at = int(rng.integers(4))
        counts["losses, spoilt"] += 1
        where, what = [
            (2, np.zeros(n + 1, np.int64)),
            (5, np.ones(n + 1)),
            (7, np.empty(n + 2)),
            (1, z.ndim),
        ][at]
        given[where] = what
        return lambda: run(*given), None, REFUSED
    counts[f"losses {kind}, {soft}"] += 1
    found = []

    def check():
        assert (np.delete(moat, np.s_[8 : n + 8]) == 7).all(), "written outside of an output"
        assert found == [bad if z.size else -1], "another row is bad"
        if not tame or bad >= 0 or not n:
            return
        log_p = np.moveaxis(reference(z, axis)[1], axis, -1).reshape(n, K)
        share = np.eye(K)[np.clip(label, 0, K - 1)] if q is None else np.moveaxis(q, axis, -1).reshape(n, K)
        counted = np.ones(n, bool) if weight is None else weight > 0
        want = -(share[counted] * log_p[counted]).sum(1)
        unit = 1e-13 if kind == "d" else 1e-6
        assert (np.abs(out[counted] - want) <= unit * (1e-3 + np.abs(want))).all(), "a loss is wrong"
        assert (out[~counted] == 0).all(), "a row without weight costs"

    return lambda: found.append(run(*given)), z.size, check


def one_call(seed, index, sets, counts):
    """Call `index` of a seed; AssertionError says what is wrong."""
    rng = np.random.default_rng([seed, index, 3])
    native._isa = str(rng.choice(sets))
    kind = str(rng.choice(list(DTYPES)))
    axes = int(rng.integers(1, 5))
    shape = [
        int(rng.choice([0, 1, 2, 3, 8, 17])) if rng.random() < 0.3 else int(rng.integers(1, 7))
        for _ in range(axes)
    ]
    axis = int(rng.integers(axes))
    shape[axis] = int(rng.choice([1, 2, 3, 10, 100, rng.integers(1, 300)]))
    if axes == 2 and rng.random() < 0.5:
        shape[1 - axis] = int(rng.integers(1, 200))
    z, tame = draw_logits(rng, kind, tuple(shape))
    draw = normalise if axes == 1 or rng.random() < 0.6 else losses
    with np.errstate(all="ignore"):
        run, _, check = draw(rng, counts, kind, z, axis, tame, int(rng.integers(0, 4)))
        try:
            run()
        except (ValueError, TypeError):
            assert check == REFUSED, "refused"
            counts["→ refused"] += 1
            return
        assert check != REFUSED, "answered"
        counts["→ answered"] += 1
        check()
        counts["→ every number right"] += tame
