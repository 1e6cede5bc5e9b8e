"""Coordinate descent among the calls of `fuzz_kernels.py`: blocks, ranks, groups and numbers of any kind, and
arguments of wrong shapes, dtypes and contents, which must be refused."""

from __future__ import annotations

import numpy as np

from xent.kernels import native, plain

WILD = [np.nan, np.inf, -np.inf, 0.0, -0.0, 1e300, 5e-324]


def draw(rng):
    """Arguments of `descend` by name, and whether their numbers are tame."""
    widths = rng.integers(0, rng.choice([2, 6, 20]), rng.integers(0, 6))
    size, rank = int(widths.sum()), 8 * int(rng.integers(0, 4))
    dtype = rng.choice([np.float32, np.float64])
    squares = [rng.normal(size=(m, m + 2)) for m in widths]
    blocks = [(A @ A.T + np.eye(len(A))).ravel() for A in squares]
    psi = rng.normal(size=(size, rank)) / max(size * rank, 1) ** 0.5
    penalty = np.abs(rng.normal(size=(4, size))) * (rng.random((4, 1)) < 0.7)
    penalty[2] *= -1
    penalty[2:] = np.where(rng.random((2, size)) < 0.5, [[-np.inf], [np.inf]], penalty[2:])
    given = {
        "start": np.cumsum([0, *widths]).astype(np.int64),
        "blocks": np.concatenate([np.empty(0), *blocks]).astype(dtype),
        "psi": psi,
        "dual": psi * rng.choice([-1.0, 0.1], rank),
        "penalty": penalty,
        "gradient": rng.normal(size=size),
        "w": np.clip(rng.normal(size=size), penalty[2], penalty[3]),
        "groups": None,
    }
    if rng.random() < 0.4:
        cuts = np.sort(rng.integers(0, size + 1, rng.integers(0, 8)))
        given["groups"] = np.concatenate([[0], cuts, [size]]), rng.permutation(size)
        penalty[2], penalty[3] = -np.inf, np.inf
        for a, b in zip(given["groups"][0][:-1], given["groups"][0][1:], strict=True):
            member = given["groups"][1][a:b]
            penalty[:2, member] = penalty[:2, member[:1]]
    tame = rng.random() < 0.8
    if not tame:
        part = given[str(rng.choice(["blocks", "psi", "dual", "penalty", "gradient", "w"]))]
        with np.errstate(over="ignore"):
            part[rng.random(part.shape) < 0.2] = rng.choice(WILD)
    return given, tame


def spoil(rng, given):
    """One argument made what must be refused; None if there is nothing to spoil."""
    name = str(rng.choice([*given, "member"]))
    if name == "start":
        start = given["start"].copy()
        start[rng.integers(len(start))] += rng.choice([-(2**62), -1, 1, 2**40])
        widths = np.diff(start)
        fits = start[0] == 0 and start[-1] == len(given["w"]) and (widths >= 0).all()
        return None if fits and (widths**2).sum() == len(given["blocks"]) else given | {"start": start}
    if name in ("groups", "member"):
        if given["groups"] is None:
            return None
        parts = [part.copy() for part in given["groups"]]
        part = parts[name == "member"]
        if not len(part):
            return None
        place = rng.integers(len(part)) if name == "member" else rng.choice([0, len(part) - 1])
        part[place] += rng.choice([-(2**62), 2**62]) if name == "member" else rng.choice([-1, 1, 2**62])
        return given | {"groups": tuple(parts)}
    a = given[name]
    if rng.random() < 0.3:
        return given | {name: a.astype(np.float16)}
    longer = np.concatenate([a, a[:1] if len(a) else np.zeros((1, *a.shape[1:]), a.dtype)])
    return given | {name: longer if rng.random() < 0.5 or not len(a) else np.ascontiguousarray(a[:-1])}


def one_call(seed, index, sets, guard, counts):
    """Draw call `index`, make it, hold it to the plain twin. AssertionError says what is wrong."""
    rng = np.random.default_rng([seed, index])
    native._isa = sets[rng.integers(len(sets))]
    given, tame = draw(rng)
    spoilt = spoil(rng, given) if rng.random() < 0.3 else None
    now = spoilt or given
    w = guard.empty(now["w"].shape, now["w"].dtype)
    w[...] = now["w"]
    # With 0 rounding would say when the inner sweeps end, and twins would part there.
    tolerance = float(rng.choice([0.3, 0.05, 1e-6])) if tame else 0.0
    limits = {"tolerance": tolerance, "most": int(rng.integers(0, 12))}
    names = ["descend", "groups" if given["groups"] else "no groups", "tame" if tame else "wild"]
    counts.update(f"descent: {name}" for name in names)
    try:
        sweeps = native.descend(**now | {"w": w}, **limits)
    except (ValueError, TypeError):
        assert spoilt, "refused"
        assert w.tobytes() == now["w"].tobytes(), "moved, and refused"
        counts["→ refused"] += 1
        return
    finally:
        guard.check()
    assert not spoilt, "answered"
    assert 0 <= sweeps <= limits["most"]
    counts["→ answered"] += 1
    if tame:
        want = given["w"].copy()
        took = plain.descend(**given | {"w": want}, **limits)
        size = 1e-9 * (1 + np.abs(want).max(initial=0))
        assert sweeps != took or np.abs(w - want).max(initial=0) <= size, f"{w} for {want}"
        assert ((w >= given["penalty"][2]) & (w <= given["penalty"][3])).all(), "outside the bounds"
        counts["→ every number right"] += sweeps == took
