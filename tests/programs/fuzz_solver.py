"""Hessians and whole descents among the calls of `fuzz_kernels.py`: rows of any stride, weights and numbers,
and arguments of wrong shapes, which must be refused."""

from __future__ import annotations

import numpy as np

from xent.kernels import descent as descents
from xent.kernels import linear, native, plain

WILD = [np.nan, np.inf, -np.inf, 0.0, 1e300, 5e-324]


def draw(rng):
    """Rows, their probabilities and weights; and whether their numbers are tame."""
    n, d, K = int(rng.integers(0, 300)), int(rng.integers(0, 20)), int(rng.integers(2, 7))
    X = rng.normal(size=(2 * n, 3 * d + 1))[:: rng.choice([-2, 1, 2]), :: rng.choice([-3, 1, 2])][:n, :d]
    X = X.copy("F") if rng.random() < 0.2 else X
    s = rng.random(len(X)) * (rng.random(len(X)) < 0.7) if rng.random() < 0.5 else None
    tame = rng.random() < 0.8
    if not tame:
        X = X.copy()
        X[rng.random(X.shape) < 0.2] = rng.choice(WILD)
    return X, rng.dirichlet(np.full(K, 0.3), len(X)), s, tame


def hessian(rng, guard, counts):
    X, P, s, tame = draw(rng)
    centre, intercept = rng.normal(size=X.shape[1]), bool(rng.random() < 0.5)
    now = {"X": X, "P": P, "weight": s, "centre": centre}
    spoilt = rng.random() < 0.2
    if spoilt:
        name = str(rng.choice([name for name, a in now.items() if a is not None]))
        now[name] = np.concatenate([now[name], np.ones((1, *now[name].shape[1:]))])
    try:
        found = native.hessian(**now, intercept=intercept, n_threads=int(rng.integers(0, 4)))
    except (ValueError, TypeError):
        assert spoilt, "refused"
        return "refused"
    finally:
        guard.check()
    assert not spoilt, "answered"
    if tame:
        live = np.ones(len(X), bool) if s is None else s > 0
        want = plain.hessian(X[live], P[live], None if s is None else s[live], centre, intercept)
        assert np.abs(found - want).max(initial=0) <= 1e-12 * (1 + np.abs(want).max(initial=0)), "wrong"
        counts["→ every number right"] += 1
    return "answered"


def descent(rng, counts):
    X, P, s, tame = draw(rng)
    (n, d), K = X.shape, P.shape[1]
    intercept = int(rng.random() < 0.7)
    X = X.astype(rng.choice([np.float64, np.float32, np.float16]))
    y = P if rng.random() < 0.3 else rng.integers(0, K, n)
    theta = np.zeros((K, d + intercept))
    smooth = {
        "centre": np.zeros(d),
        "penalties": np.full(theta.shape, 0.1),
        "constant": np.zeros(d, bool),
        "weight": float(max(n, 1)),
        "share": np.full(K, 1 / K),
        "class_x": np.zeros((K, d)),
    }
    metric = {
        "units": np.ones(d),
        "basis": np.eye(d),
        "classes": np.eye(K),
        "inverse": np.ones(theta.shape),
    }
    spoilt = rng.random() < 0.2
    if spoilt:
        part = smooth if rng.random() < 0.5 else metric
        name = str(rng.choice([name for name in part if name != "weight"]))
        part[name] = np.concatenate([part[name], np.ones((1, *part[name].shape[1:]), part[name].dtype)])
    heard = []

    def stop(value, gap, passes):
        heard.append(value)
        return bool(rng.random() < 0.02)

    arrays = descents.Metric(**metric)
    most = int(rng.integers(0, 40))
    newton_below = float(rng.choice([-1, 1e-3, np.inf])) if X.dtype == np.float64 else -1.0
    try:
        passes, iterations = descents.descend_smooth(
            linear.Batch(X, y, s),
            theta,
            smooth=tuple(smooth.values()),
            metric=arrays,
            refresh=lambda: arrays,
            stop=stop,
            goal=(1e-6, 1e-8, 5, most, newton_below),
            n_threads=int(rng.integers(0, 4)),
        )
    except (ValueError, TypeError):
        assert spoilt, "refused"
        return "refused"
    assert not spoilt, "answered"
    assert 0 <= iterations <= most
    assert passes >= 1
    if tame and heard:
        assert np.all(np.diff(heard) <= 1e-12 * (1 + abs(heard[0]))), "F rose"
        assert np.isfinite(theta).all()
        counts["→ every number right"] += 1
    return "answered"


def one_call(seed, index, sets, guard, counts):
    """Draw call `index`, make it, hold it to the plain twin or to its direction. AssertionError says what is
    wrong."""
    rng = np.random.default_rng([seed, index])
    native._isa = sets[rng.integers(len(sets))]
    kind = "Hessian" if rng.random() < 0.5 else "descent"
    counts[f"solver: {kind}"] += 1
    with np.errstate(all="ignore"):
        how = hessian(rng, guard, counts) if kind == "Hessian" else descent(rng, counts)
    counts[f"→ {how}"] += 1
