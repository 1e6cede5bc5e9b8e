"""Writes src/generated/training.json: softmax regression trained on digits, computed by xent.

Constant-rate SGD at several rates, each from W = 0 where the loss is log 10, and the certified optimum that
they make for. `.venv/bin/python explorer/make_data.py`, a few seconds; the same numbers each time.
"""

import base64
import json
from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits

import xent
from xent.kernels import linear

OUTPUT = Path(__file__).parent / "src" / "generated" / "training.json"
C, BATCH, SEED = 1.0, 50, 0
RATES = [0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0]
STEPS = 36 * 100  # 100 passes over 1797 rows


def data():
    """Pixels in [0, 1], (1797, 64), and labels."""
    X, y = load_digits(return_X_y=True)
    return X / 16, y


def recorded(steps):
    """0, then about twelve steps a decade."""
    spaced = np.unique(np.geomspace(1, steps, int(12 * np.log10(steps)) + 1).round().astype(int))
    return [0, *spaced.tolist()]


def objective(batch, W, b):
    """F(W, b) = (1/N) Σ ℓ_i + ‖W‖² / (2 C N), its gradient's norm, and the share of rows that are right."""
    sums = linear.sums(batch, W, b)
    N = batch.shape[0]
    gradient = np.concatenate([(sums.grad_W + W / C).ravel(), sums.grad_b]) / N
    value = sums.loss / N + float(np.sum(W * W)) / (2 * C * N)
    return value, float(np.linalg.norm(gradient)), sums.hits / N


def sgd(X, y, rate, steps=STEPS):
    """W ← W − rate · (mean over 50 rows of (p − y)ᵀx, + W / (C N)); (step, W, b) at the recorded steps."""
    rng = np.random.default_rng(SEED)
    N, D = X.shape
    W, b = np.zeros((10, D)), np.zeros(10)
    at, order = set(recorded(steps)), np.empty(0, int)
    for step in range(steps + 1):
        if step in at:
            yield step, W.copy(), b.copy()
        if len(order) < BATCH:
            order = np.concatenate([order, rng.permutation(N)])
        rows, order = order[:BATCH], order[BATCH:]
        _, grad_W, grad_b = xent.reference.softmax_loss(W, X[rows], y[rows], 1 / (C * N), b=b)
        W, b = W - rate * grad_W, b - rate * grad_b


def picture(W):
    """One byte a weight, and the weight that 127 stands for."""
    scale = float(np.abs(W).max()) or 1.0
    pixels = np.rint(W / scale * 127).astype(np.int8)
    return {"scale": scale, "pixels": base64.b64encode(pixels.tobytes()).decode()}


def run(batch, X, y, rate):
    trace = {"rate": rate, "step": [], "objective": [], "gradient": [], "accuracy": [], "templates": []}
    for step, W, b in sgd(X, y, rate):
        value, gradient, accuracy = objective(batch, W, b)
        for key, number in zip(list(trace)[1:5], (step, value, gradient, accuracy), strict=True):
            trace[key].append(number)
        trace["templates"].append(picture(W))
    return trace


def main():
    X, y = data()
    batch = linear.Batch(X, y)
    model = xent.SoftmaxRegression(C=C, tol=1e-12).fit(X, y)
    history = {key: values.tolist() for key, values in model.history_.items()}
    optimum = {
        "objective": float(model.objective_),
        "suboptimality": float(model.suboptimality_),
        "accuracy": float(model.score(X, y)),
        "solver": model.solver_,
        "history": history,
        "templates": picture(model.coef_),
    }
    examples = [picture(X[np.flatnonzero(y == k)[0]])["pixels"] for k in range(10)]
    setting = {"C": C, "batch": BATCH, "rows": len(y), "classes": 10, "side": 8, "version": xent.__version__}
    traces = [run(batch, X, y, rate) for rate in RATES]
    OUTPUT.parent.mkdir(parents=True, exist_ok=True)
    everything = {**setting, "optimum": optimum, "examples": examples, "runs": traces}
    OUTPUT.write_text(json.dumps(everything, allow_nan=False), encoding="utf-8")


if __name__ == "__main__":
    main()
