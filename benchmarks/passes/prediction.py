"""Prediction for benchmarks/passes: of a cell's rows, by a model with its coefficients, xent's methods
beside scikit-learn's, in turns."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.linear_model import LogisticRegression

import xent
from benchmarks.common import machine
from benchmarks.passes import problems

METHODS = ("decision_function", "predict", "predict_proba")
SHORT = 0.005  # seconds: shorter calls are repeated until they take so long


def fitted(model: Any, problem: problems.Problem) -> Any:
    """The model as if it had been fitted to the problem's own coefficients."""
    W, b = problem.W, problem.b
    two = len(W) == 2
    model.coef_, model.intercept_ = (W[1:] - W[:1], b[1:] - b[:1]) if two else (W, b)
    model.classes_, model.n_features_in_ = np.arange(len(W)), W.shape[1]
    return model


def measure(problem: problems.Problem, rounds: int) -> list[dict[str, Any]]:
    """Seconds of each method for one row, a thousand and all; scikit-learn's None where it refuses."""
    found = []
    n = problem.X.shape[0]
    for count in sorted({1, min(1000, n), n}):
        rows = problem.X[:count]
        models = {
            "xent": fitted(xent.SoftmaxRegression(), problem),
            "scikit-learn": fitted(LogisticRegression(), problem),
        }
        for method in METHODS:
            calls = {name: getattr(model, method) for name, model in models.items()}
            found.append({"method": method, "n": count} | in_turns(calls, rows, rounds))
    return found


def in_turns(calls: dict[str, Callable[[Any], Any]], rows: Any, rounds: int) -> dict[str, float | None]:
    """Medians of rounds in which all take turns, after a call of each that does not count."""
    repeats, times = {}, {name: [] for name in calls}
    for name, call in calls.items():
        try:
            call(rows)
        except (TypeError, ValueError):
            if name == "xent":
                raise
            continue
        start = time.perf_counter()
        call(rows)
        repeats[name] = max(1, int(SHORT / max(time.perf_counter() - start, 1e-6)))
    for _ in range(rounds):
        for name, repeat in repeats.items():
            time.sleep(machine.PAUSE)
            start = time.perf_counter()
            for _ in range(repeat):
                calls[name](rows)
            times[name].append((time.perf_counter() - start) / repeat)
    return {name: statistics.median(spent) if spent else None for name, spent in times.items()}
