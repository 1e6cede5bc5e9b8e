"""A million-row fit, killed and Ctrl-C'd at random moments 50 times: what is left is a fitted estimator that
says it has not converged, or a whole one, or none; never a wrong one.

make soak             a few minutes; SOAK="--times 100 --seed 7" for others

A child fits a memory-mapped table. 25 times it gets SIGINT (every fifth time a second one soon after),
25 times SIGKILL, half of these in the moment in which it writes its model file. The truth is this file's own:
the objective in NumPy, in float64, and its optimum by plain Newton steps.
"""

from __future__ import annotations

import argparse
import collections
import json
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path

import numpy as np

from xent import SoftmaxRegression
from xent.export import model_file

ROOT = Path(__file__).parents[2] / "build" / "soak"
N, D, K, C, TOL = 1_000_000, 20, 5, 1.0, 1e-6
ROWS_BEFORE = 5000


def make_data() -> None:
    """Features on scales 0.1 … 10 and shifted, labels of a softmax model."""
    rng = np.random.default_rng(20261121)
    ROOT.mkdir(parents=True, exist_ok=True)
    scales = 10.0 ** np.linspace(-1, 1, D)
    X = ((rng.normal(size=(N, D)) + rng.normal(size=D)) * scales).astype(np.float32)
    W = rng.normal(size=(K, D)) / scales
    y = np.argmax(X @ W.T + rng.gumbel(size=(N, K)), axis=1)
    np.save(ROOT / "X.npy", X)
    np.save(ROOT / "y.npy", y)


class Truth:
    """F in float64 and its minimum."""

    def __init__(self, rows: int = N) -> None:
        self.X = np.load(ROOT / "X.npy", mmap_mode="r")[:rows]
        self.y = np.load(ROOT / "y.npy")[:rows]
        self.n = rows
        theta = np.zeros((K, D + 1))
        for _ in range(30):
            value, gradient, H = self._sums(theta, hessian=True)
            H += np.kron(np.full((K, K), 1 / K), np.eye(D + 1))  # the shift common to all classes
            step = np.linalg.solve(H, -gradient.ravel()).reshape(theta.shape)
            decrement = -float(np.sum(step * gradient))
            while self.value(theta[:, :D] + step[:, :D], theta[:, D] + step[:, D]) > value + 1e-13:
                step /= 2
            theta = theta + step
            if decrement < 1e-15:
                break
        self.theta, self.optimum = theta, self.value(theta[:, :D], theta[:, D])

    def value(self, W: np.ndarray, b: np.ndarray) -> float:
        theta = np.column_stack([W, b]).astype(np.float64)
        return self._sums(theta, hessian=False)[0]

    def _sums(self, theta: np.ndarray, *, hessian: bool) -> tuple[float, np.ndarray, np.ndarray]:
        penalty = np.append(np.full(D, 1 / (C * self.n)), 0.0)
        total, gradient, H = 0.0, np.zeros(theta.shape), np.zeros((K * (D + 1),) * 2)
        for start in range(0, self.n, 20_000):
            part = slice(start, start + 20_000)
            y = self.y[part]
            rows = np.column_stack([self.X[part], np.ones(len(y))])
            Z = rows @ theta.T
            Z -= Z.max(axis=1, keepdims=True)
            logs = Z - np.log(np.exp(Z).sum(axis=1, keepdims=True))
            total -= float(logs[np.arange(len(y)), y].sum())
            if hessian:
                P = np.exp(logs)
                gradient += (P - np.eye(K)[y]).T @ rows
                Q = (P[:, :, None] * rows[:, None, :]).reshape(len(rows), -1)
                H -= Q.T @ Q
                for k in range(K):
                    block = slice(k * (D + 1), (k + 1) * (D + 1))
                    H[block, block] += rows.T @ (rows * P[:, k : k + 1])
        value = total / self.n + 0.5 * float(np.sum(penalty * theta**2))
        return value, gradient / self.n + penalty * theta, H / self.n + np.diag(np.tile(penalty, K))


def child(task: str, out: str, before: bool) -> None:
    """Says "fit", fits, and tells what came of it; for `task` "save" writes a model file."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
    X, y = np.load(ROOT / "X.npy", mmap_mode="r"), np.load(ROOT / "y.npy")
    model, asked = SoftmaxRegression(C=C, tol=TOL), False
    if before:
        model.fit(X[:ROWS_BEFORE], y[:ROWS_BEFORE])
    if task == "save":  # what saving loads, so that its own moment is short and can be hit
        model_file.save(Path(out).with_suffix(".first"), SoftmaxRegression().fit(X[:100], y[:100]), {})
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            print("fit", flush=True)
            model.fit(X, y)
            signal.signal(signal.SIGINT, signal.SIG_IGN)
        except KeyboardInterrupt:
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            asked = True
    if task == "save":
        print("save", flush=True)
        model_file.save(Path(out), model, {"rows": len(y)})
        print("saved", flush=True)
        return
    told: dict[str, object] = {
        "raised": asked,
        "fitted": hasattr(model, "coef_"),
        "warnings": [str(w.message) for w in caught],
        "attributes": sorted(name for name in vars(model) if name.endswith("_")),
    }
    if hasattr(model, "coef_"):
        told |= {
            "converged": model.converged_,
            "suboptimality": model.suboptimality_,
            "objective": model.objective_,
            "coef": model.coef_.tolist(),
            "intercept": model.intercept_.tolist(),
        }
    Path(out).write_text(json.dumps(told))


def start(task: str, out: Path, before: bool) -> subprocess.Popen[str]:
    command = [sys.executable, __file__, "--child", task, str(out), *(["--before"] if before else [])]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "fit\n"
    return process


def interrupt(truth: Truth, small: Truth, rng: np.random.Generator, usual: float, i: int) -> str:
    """One child with SIGINT; what it was left with, judged."""
    out, before = ROOT / "told.json", i % 2 == 1
    out.unlink(missing_ok=True)
    process = start("tell", out, before)
    time.sleep(rng.uniform(0, 1.05 * usual))
    process.send_signal(signal.SIGINT)
    if i % 5 == 4:
        time.sleep(rng.uniform(0, 0.2 * usual))
        process.send_signal(signal.SIGINT)
    assert process.wait(120) == 0
    told = json.loads(out.read_text())
    assert told["fitted"] == (before or not told["raised"])
    if not told["fitted"]:
        assert told["attributes"] == []
        return "none"
    W, b = np.array(told["coef"]), np.array(told["intercept"])
    judge = small if told["raised"] else truth  # what raised must have left the model of the few rows
    gap = judge.value(W, b) - judge.optimum
    assert -1e-12 <= gap <= told["suboptimality"] + 1e-9, (gap, told)
    assert abs(judge.value(W, b) - told["objective"]) <= 1e-9
    if told["converged"]:
        assert gap <= TOL
        assert told["warnings"] == []
        return "the model before" if told["raised"] else "converged"
    assert told["suboptimality"] > TOL
    assert any("interrupted" in text for text in told["warnings"])
    return "not converged"


def kill(truth: Truth, rng: np.random.Generator, usual: float, writing: float, i: int) -> str:
    """One child with SIGKILL; what model file it left, judged."""
    out, old = ROOT / "model.xent", ROOT / "old.xent"
    before = i % 2 == 1
    out.unlink(missing_ok=True)
    if before:
        out.write_bytes(old.read_bytes())
    process = start("save", out, False)
    if i % 4 < 2:
        time.sleep(rng.uniform(0, usual + writing))
    else:
        assert process.stdout is not None
        assert process.stdout.readline() == "save\n"
        time.sleep(rng.uniform(0, 1.5 * writing))
    process.kill()
    process.wait(120)
    for part in ROOT.glob(".model.xent.*"):
        part.unlink()
    if not out.exists():
        assert not before
        return "none"
    if before and out.read_bytes() == old.read_bytes():
        return "the old one"
    model, _ = model_file.load(out)
    assert model.converged_
    assert truth.value(model.coef_, model.intercept_) - truth.optimum <= min(TOL, model.suboptimality_ + 1e-9)
    return "a whole new one"


def measure() -> tuple[float, float]:
    """How long a fit takes that is let alone, and writing the model file, in seconds."""
    fits, writes = [], []
    for _ in range(3):
        process = start("save", ROOT / "old.xent", False)
        assert process.stdout is not None
        began = time.perf_counter()
        assert process.stdout.readline() == "save\n"
        fitted = time.perf_counter()
        assert process.stdout.readline() == "saved\n"
        fits.append(fitted - began)
        writes.append(time.perf_counter() - fitted)
        assert process.wait(120) == 0
    few = SoftmaxRegression(C=C, tol=TOL)
    few.fit(np.load(ROOT / "X.npy", mmap_mode="r")[:ROWS_BEFORE], np.load(ROOT / "y.npy")[:ROWS_BEFORE])
    model_file.save(ROOT / "old.xent", few, {"rows": ROWS_BEFORE})
    return min(fits), min(writes)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--times", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--child", nargs=2, metavar=("TASK", "OUT"), help=argparse.SUPPRESS)
    parser.add_argument("--before", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        child(*given.child, given.before)
        return
    began = time.perf_counter()
    if not (ROOT / "y.npy").exists():
        make_data()
    truth, small = Truth(), Truth(ROWS_BEFORE)
    usual, writing = measure()
    print(f"F* = {truth.optimum:.12f}; a fit takes {usual:.2f} s, writing its model {1e3 * writing:.0f} ms")
    rng = np.random.default_rng(given.seed)
    after_int: collections.Counter[str] = collections.Counter()
    after_kill: collections.Counter[str] = collections.Counter()
    for i in range(given.times // 2):
        after_int[interrupt(truth, small, rng, usual, i)] += 1
        after_kill[kill(truth, rng, usual, writing, i)] += 1
    for name, counts in (("SIGINT", after_int), ("SIGKILL", after_kill)):
        left = ", ".join(f"{what} {n}×" for what, n in counts.most_common())
        print(f"{counts.total()} × {name} left {left}")
    print(f"none of them wrong; {time.perf_counter() - began:.0f} s, seed {given.seed}")


if __name__ == "__main__":
    main()
