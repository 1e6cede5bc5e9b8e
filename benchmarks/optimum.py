"""Who reaches the optimum? xent and scikit-learn on raw digits and wine, in one run.

    make bench

For each problem the optimum is the lowest objective that any entrant reaches, and every objective is
evaluated here, in float64 by `xent.reference`, from the fitted coefficients. Entrants take turns in an
order shuffled each round; a time is the median over rounds, as a ratio to xent's default.
"""

from __future__ import annotations

import statistics
import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table
from sklearn.datasets import load_digits, load_wine
from sklearn.linear_model import LogisticRegression

from xent import SoftmaxRegression, reference

ROUNDS = 7
ENTRANTS: dict[str, Callable[[], Any]] = {
    "xent": SoftmaxRegression,
    "xent lbfgs, tol=5e-8": lambda: SoftmaxRegression(solver="lbfgs", tol=5e-8),
    "xent newton": lambda: SoftmaxRegression(solver="newton"),
    "scikit-learn": LogisticRegression,
    "scikit-learn lbfgs, max_iter=10000": lambda: LogisticRegression(max_iter=10_000),
    "scikit-learn newton-cg": lambda: LogisticRegression(solver="newton-cg"),
    "scikit-learn newton-cholesky": lambda: LogisticRegression(solver="newton-cholesky"),
}


def objective(model: Any, X: Any, y: Any) -> float:
    """(1/n) Σ ℓ_i + ‖W‖² / 2n, C = 1, in nats."""
    codes = np.searchsorted(model.classes_, y)
    loss, _, _ = reference.softmax_loss(model.coef_, X, codes, 1 / len(y), b=model.intercept_)
    return float(loss)


def main() -> None:
    """Print one table a problem."""
    for name, load in (("digits", load_digits), ("wine", load_wine)):
        X, y = load(return_X_y=True)
        times: dict[str, list[float]] = {entrant: [] for entrant in ENTRANTS}
        models, warned = {}, {}
        order = np.random.default_rng(0)
        for _ in range(ROUNDS):
            for entrant, make in order.permutation(list(ENTRANTS.items())):
                with warnings.catch_warnings(record=True) as caught:
                    warnings.simplefilter("always")
                    time.sleep(0.2)  # until the last entrant's BLAS threads have stopped spinning
                    start = time.perf_counter()
                    models[entrant] = make().fit(X, y)
                    times[entrant].append(time.perf_counter() - start)
                warned[entrant] = bool(caught)
        values = {entrant: objective(model, X, y) for entrant, model in models.items()}
        best = min(values.values())
        table = Table(title=f"{name}, raw, C = 1: n·F* = {best * len(y):.10f}, F* = {best:.8f} nats")
        for column in ("", "n·F", "above F*", "nats above", "certificate", "passes", "iterations", "time"):
            table.add_column(column, justify="right" if column else "left")
        table.add_column("warns")
        base = statistics.median(times["xent"])
        for entrant in ENTRANTS:
            model = models[entrant]
            certificate = getattr(model, "suboptimality_", None)
            table.add_row(
                entrant,
                f"{values[entrant] * len(y):.7f}",
                f"{100 * (values[entrant] / best - 1):.4f} %",
                f"{values[entrant] - best:.1e}",
                "none" if certificate is None else f"{certificate:.1e}",
                str(getattr(model, "n_passes_", "")),
                str(int(model.n_iter_[0])),
                f"{statistics.median(times[entrant]) / base:.1f} ×",
                "yes" if warned[entrant] else "no",
            )
        Console(width=130).print(table)


if __name__ == "__main__":
    main()
