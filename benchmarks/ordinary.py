"""Ordinary data, what a person tries first: xent beside the peer, each with its defaults, in turns.

    make ordinary                                        everything, some ten minutes on two cores
    python -m benchmarks.ordinary --parts fit --most 1e5  only fits, of 100,000 rows at most

A figure is the peer's time over xent's, the medians of rounds in which both take turns: above 1 xent is
faster. A cell also says how much less the peer's objective is than xent's, both evaluated here in float64
(negative: xent's is the lower one).

Features are standard normal, labels the argmax of X W + Gumbel noise: a softmax model's own.
"""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import scipy.special
import sklearn.datasets
from sklearn.linear_model import LogisticRegression, LogisticRegressionCV

import xent
from benchmarks.common import machine


@dataclass
class Cell:
    part: str
    name: str
    peer: str
    ours_ms: float
    peer_ms: float
    worse_by: float | None = None  # nats: xent's objective less the peer's

    @property
    def ratio(self) -> float:
        return self.peer_ms / self.ours_ms


def table(n: int, d: int, K: int, dtype: Any = np.float64) -> tuple[Any, Any]:
    rng = np.random.default_rng(0)
    X = rng.standard_normal((n, d))
    y = (X @ rng.standard_normal((d, K)) + rng.gumbel(size=(n, K))).argmax(axis=1)
    return X.astype(dtype), y


def in_turns(ours: Callable[[], Any], peer: Callable[[], Any], rounds: int) -> tuple[float, float]:
    """Median milliseconds of each, after a call of each that does not count. Short calls are repeated until
    they take 5 ms."""

    def once(call: Callable[[], Any], times: int) -> float:
        start = time.perf_counter()
        for _ in range(times):
            call()
        return 1e3 * (time.perf_counter() - start) / times

    times = [max(1, int(5 / max(once(call, 1), 1e-3))) for call in (ours, peer)]
    found: tuple[list[float], list[float]] = ([], [])
    for _ in range(rounds):
        for spent, call, repeat in zip(found, (ours, peer), times, strict=True):
            time.sleep(machine.PAUSE)  # till the other's threads no longer spin
            spent.append(once(call, repeat))
    return statistics.median(found[0]), statistics.median(found[1])


def objective(model: Any, X: Any, y: Any, C: float, l1_ratio: float = 0.0) -> float:
    """(1/n) Σ ℓ_i + the penalty, of a model's coefficients as they are, for two classes as scikit-learn."""
    Z = np.asarray(X @ model.coef_.T + model.intercept_, np.float64)
    Z = np.column_stack([np.zeros(len(Z)), Z]) if Z.shape[1] == 1 else Z
    loss = (scipy.special.logsumexp(Z, axis=1) - Z[np.arange(len(Z)), y]).mean()
    w = np.abs(model.coef_.astype(np.float64))
    return float(loss + ((1 - l1_ratio) * (w**2).sum() / 2 + l1_ratio * w.sum()) / (C * len(Z)))


def fits(most: float, rounds: int) -> Iterator[Cell]:
    for n in (1000, 10_000, 100_000, 1_000_000):
        for d in (4, 12, 24) if n <= most else ():
            for K in (2, 3, 6):
                yield _fit(f"{n} × {d}, K = {K}", *table(n, d, K), rounds if n < 1e6 else 3)
    X, y = table(100_000, 12, 3)
    ways: dict[str, tuple[Any, Any]] = {
        "float32": (X.astype(np.float32), y),
        "F-order": (np.asfortranarray(X), y),
        "names": (X, np.array(["red", "green", "blue"])[y]),
    }
    if most >= 100_000:
        import pandas as pd
        import polars as pl

        frame = pd.DataFrame(X, columns=[f"x{j}" for j in range(12)])
        ways |= {"pandas": (frame, pd.Series(y)), "polars": (pl.from_pandas(frame), pl.Series(y))}
    for name, (A, labels) in ways.items() if most >= 100_000 else ():
        yield _fit(f"100000 × 12, K = 3, {name}", A, labels, rounds, told=False)
    for name in ("iris", "wine", "breast_cancer"):
        A, labels = getattr(sklearn.datasets, f"load_{name}")(return_X_y=True)
        for C in (0.01, 1.0, 1e4):
            yield _fit(f"{name}, C = {C:g}", A, labels, rounds, C, solver="newton-cholesky")


def _fit(
    name: str, X: Any, y: Any, rounds: int, C: float = 1.0, *, told: bool = True, solver: str = "lbfgs"
) -> Cell:
    ours, peer = xent.SoftmaxRegression(C=C), LogisticRegression(C=C, solver=solver)
    spent = in_turns(lambda: ours.fit(X, y), lambda: peer.fit(X, y), rounds)
    worse = objective(ours, X, y, C) - objective(peer, X, y, C) if told else None
    return Cell("fit", name, f"LogisticRegression, {solver}", *spent, worse)


def cross_validation(most: float, rounds: int) -> Iterator[Cell]:
    for n, d, K in ((500, 10, 2), (2000, 20, 3), (4000, 30, 2), (8000, 50, 3)):
        X, y = table(n, d, K)
        ours = xent.SoftmaxRegressionCV()
        peer = LogisticRegressionCV(scoring="neg_log_loss", l1_ratios=(0,), use_legacy_attributes=False)
        spent = in_turns(lambda: ours.fit(X, y), lambda: peer.fit(X, y), min(rounds, 3))  # noqa: B023
        yield Cell("cross-validation", f"{n} × {d}, K = {K}", "LogisticRegressionCV", *spent)


def sparse_models(most: float, rounds: int) -> Iterator[Cell]:
    for (n, d, K), solvers in (((2000, 30, 2), ("saga", "liblinear")), ((5000, 50, 3), ("saga",))):
        X, y = table(n, d, K)
        for C in (0.01, 0.1, 1.0):
            for solver in solvers:
                ours = xent.SoftmaxRegression(C=C, l1_ratio=1.0)
                peer = LogisticRegression(C=C, l1_ratio=1.0, solver=solver, random_state=0)
                spent = in_turns(lambda: ours.fit(X, y), lambda: peer.fit(X, y), rounds)  # noqa: B023
                # liblinear penalises the intercept: another objective.
                ends = [objective(model, X, y, C, 1.0) for model in (ours, peer)]
                worse = ends[0] - ends[1] if solver == "saga" else None
                yield Cell("L1", f"{n} × {d}, K = {K}, C = {C:g}", solver, *spent, worse)


def prediction(most: float, rounds: int) -> Iterator[Cell]:
    for n in (1, 1000, 1_000_000):
        if n > most:
            continue
        X, y = table(max(n, 1000), 20, 3)
        ours, peer = xent.SoftmaxRegression().fit(X, y), LogisticRegression().fit(X, y)
        rows = X[:n]
        for method in ("decision_function", "predict", "predict_proba"):
            calls = [lambda model=model, m=method: getattr(model, m)(rows) for model in (ours, peer)]  # noqa: B023
            yield Cell(
                "prediction", f"{method}, {n} × 20, K = 3", "LogisticRegression", *in_turns(*calls, rounds)
            )


def functions(most: float, rounds: int) -> Iterator[Cell]:
    for shape in ((10, 10), (100, 10), (1000, 10), (1000, 1000), (10_000, 1000)):
        for dtype in (np.float64, np.float32):
            z = np.random.default_rng(0).standard_normal(shape).astype(dtype)
            for axis in (1, 0):
                for name in ("softmax", "log_softmax", "cross_entropy"):
                    ours, peer = _function(name, z, axis)
                    what = f"{name}, {shape[0]} × {shape[1]}, axis {axis}, {np.dtype(dtype).name}"
                    yield Cell("functions", what, "SciPy", *in_turns(ours, peer, rounds))


def _function(name: str, z: Any, axis: int) -> tuple[Callable[[], Any], Callable[[], Any]]:
    """xent's, and SciPy's: of the cross-entropy what one writes with logsumexp, labels being 0 … K − 1."""
    if name != "cross_entropy":
        return lambda: getattr(xent, name)(z, axis), lambda: getattr(scipy.special, name)(z, axis=axis)
    y = np.arange(z.shape[1 - axis]) % z.shape[axis]
    rows = np.arange(len(y))

    def peer() -> Any:
        picked = z[rows, y] if axis == 1 else z[y, rows]
        return (scipy.special.logsumexp(z, axis=axis) - picked).mean()

    return lambda: xent.cross_entropy(z, y, axis=axis), peer


LOGITS = ((8, 2), (32, 10), (128, 1000), (1024, 100), (4096, 10), (8192, 3), (2048, 1000), (512, 5000))
LAYERS = (
    *((8, 16, 2), (32, 64, 10), (64, 128, 100), (128, 512, 10), (256, 512, 1000), (512, 64, 100)),
    *((1024, 256, 1000), (2048, 256, 5000), (4096, 16, 10), (8192, 128, 2), (8192, 1024, 10)),
    (8, 1024, 5000),
)


def losses(most: float, rounds: int) -> Iterator[Cell]:
    """Forward and backward of 20 sizes in two dtypes; then forward alone of the least: what a call costs."""
    import torch
    from torch.autograd import grad
    from torch.nn.functional import cross_entropy, linear

    import xent.torch as xt

    torch.set_num_threads(machine.threads())

    def eager(x: Any, W: Any, y: Any) -> Any:
        return cross_entropy(linear(x, W), y)

    def draw(dtype: Any, n: int, *shape: int) -> tuple[list[Any], Any]:
        """What takes a gradient, logits or x and W, and the targets."""
        *d, K = shape
        shapes = ((n, *d), (K, *d)) if d else ((n, K),)
        leaves = [torch.randn(size) for size in shapes]
        leaves[-1] /= d[0] ** 0.5 if d else 1
        return [leaf.to(dtype).requires_grad_() for leaf in leaves], torch.randint(0, K, (n,))

    def both(shape: tuple[int, ...]) -> tuple[Any, Any]:
        return (xt.cross_entropy, cross_entropy) if len(shape) == 2 else (xt.linear_cross_entropy, eager)

    def name(shape: tuple[int, ...], dtype: Any) -> str:
        return f"{'logits' if len(shape) == 2 else 'linear'} {' × '.join(map(str, shape))}, {str(dtype)[6:]}"

    for dtype in (torch.float32, torch.bfloat16):
        for shape in (*LOGITS, *LAYERS):
            leaves, y = draw(dtype, *shape)
            calls = [lambda f=f: grad(f(*leaves, y), leaves) for f in both(shape)]  # noqa: B023
            yield Cell("PyTorch", name(shape, dtype), "eager", *in_turns(*calls, rounds))
    for shape in ((8, 2), (8, 16, 2)):
        leaves, y = draw(torch.float32, *shape)
        with torch.no_grad():
            calls = [lambda f=f: f(*leaves, y) for f in both(shape)]  # noqa: B023
            spent = in_turns(*calls, rounds)
        yield Cell("PyTorch, forward", f"forward alone, {name(shape, torch.float32)}", "eager", *spent)


SOLVERS = ("auto", "lbfgs", "newton")


def choices(most: float, rounds: int) -> Iterator[Cell]:
    """`solver="auto"` against the better of xent's own solvers, on a grid. Newton is left out where one of
    its Hessians would take seconds.

    A solver's time is the least of its fits, those that "auto" handed to it among them: they are the same
    code, and two of the same differed by a third where the machine had other work.
    """
    grid = itertools.product((200, 2000, 20_000, 200_000, 2_000_000), (2, 12, 60, 300), (2, 5, 20, 50))
    for i, (n, d, K) in enumerate(grid):
        size = K * (d + 1)
        if n > most or n * d * K > 1e8:
            continue
        dtype = (np.float64, np.float32)[i % 2]
        X, y = table(n, d, K, dtype)
        K = len(np.unique(y))
        dear = size > 3000 or n * size**2 > 5e9
        models = [xent.SoftmaxRegression(solver=s) for s in SOLVERS[: 2 if dear else 3]]
        spent: list[list[float]] = [[] for _ in models]
        for round_ in range(4 if n * size < 1e7 else 2):
            for took, model in zip(spent, models, strict=True):
                time.sleep(machine.PAUSE)
                start = time.perf_counter()
                model.fit(X, y)
                if round_:  # the first does not count
                    took.append(1e3 * (time.perf_counter() - start))
        auto, *others = (min(took) for took in spent)
        taken = SOLVERS[1:].index(models[0].solver_)
        if taken < len(others):
            auto = others[taken] = min(auto, others[taken])
        best = min(others)
        name = f"{n} × {d}, K = {K}, {np.dtype(dtype).name}: auto took {models[0].solver_}"
        yield Cell("auto", name, f"{SOLVERS[1 + others.index(best)]}", auto, best)


PARTS: dict[str, Callable[[float, int], Iterator[Cell]]] = {
    "fit": fits,
    "cv": cross_validation,
    "l1": sparse_models,
    "predict": prediction,
    "functions": functions,
    "torch": losses,
    "auto": choices,
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--parts", default=",".join(PARTS), help="of " + ", ".join(PARTS))
    parser.add_argument("--most", type=float, default=1e6, help="rows")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    warnings.simplefilter("ignore")  # peers that stop early
    cells: list[Cell] = []
    for part in asked.parts.split(","):
        print(f"\n{part:<48} {'peer':<38} {'peer / xent':>11} {'xent, ms':>10} {'worse by':>9}")
        own = []
        for cell in PARTS[part](asked.most, asked.rounds):
            worse = "" if cell.worse_by is None else f"{cell.worse_by:9.0e}"
            print(
                f"{cell.name:<48} {cell.peer:<38} {cell.ratio:11.2f} {cell.ours_ms:10.3g} {worse}", flush=True
            )
            own.append(cell)
        mean = float(np.exp(np.mean([np.log(cell.ratio) for cell in own])))
        least = min(own, key=lambda cell: cell.ratio)
        faster = sum(cell.ratio >= 1 for cell in own)
        print(
            f"geometric mean {mean:.2f}, least {least.ratio:.2f} ({least.name}), {faster} of {len(own)} ≥ 1"
        )
        cells += own
        if asked.json:  # after every part: a run that is cut short leaves what it measured
            _write(asked.json, cells)


def _write(path: Path, cells: list[Cell]) -> None:
    """The cells, and those of other parts that the file has already."""
    found = [asdict(cell) | {"ratio": cell.ratio} for cell in cells]
    if path.exists():
        before = json.loads(path.read_text(encoding="utf-8"))["cells"]
        found = [cell for cell in before if cell["part"] not in {c.part for c in cells}] + found
    report = {"machine": machine.describe(), "cells": found}
    path.write_text(json.dumps(report, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
