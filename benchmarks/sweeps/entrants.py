"""The entrants of benchmarks/sweeps, and the process in which each runs.

Every entrant takes threads as it does by default, and its own default of everything that `settings` lacks.
"""

from __future__ import annotations

import json
import math
import os
import statistics
import sys
import time
import warnings
from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array, vstack

from benchmarks.common import machine
from benchmarks.race import problems
from benchmarks.race import run as race
from benchmarks.race.entrants import SHORT
from benchmarks.race.problems import Problem
from benchmarks.sweeps import glmnet

Values = list[tuple[Any, Any]]  # (coef, intercept) of each model that a call fits
REPEATS = 5  # of a call shorter than SHORT; its time is their median


def path(X: Any, y: NDArray[np.int64], settings: dict[str, Any]) -> tuple[Values, dict[str, Any]]:
    """xent.softmax_path."""
    from xent import SoftmaxRegression, softmax_path

    model = SoftmaxRegression(**{name: value for name, value in settings.items() if name != "Cs"})
    found = softmax_path(X, y, settings["Cs"], model=model)
    said = {"suboptimality": _plain(found.suboptimality), "n_passes": int(found.n_passes)}
    said["converged"] = int(np.count_nonzero(found.converged))
    return list(zip(found.coefs, found.intercepts, strict=True)), said


def fit(X: Any, y: NDArray[np.int64], settings: dict[str, Any]) -> tuple[Values, dict[str, Any]]:
    """xent.SoftmaxRegression."""
    from xent import SoftmaxRegression

    model = SoftmaxRegression(**settings).fit(X, y)
    said = {"suboptimality": _plain([model.suboptimality_]), "n_passes": int(model.n_passes_)}
    return [(model.coef_, model.intercept_)], said | {"solver": model.solver_}


def cv(X: Any, y: NDArray[np.int64], settings: dict[str, Any]) -> tuple[Values, dict[str, Any]]:
    """xent.SoftmaxRegressionCV: the models of each fold, C by C."""
    from xent import SoftmaxRegressionCV

    model = SoftmaxRegressionCV(**settings).fit(X, y)
    said = {"suboptimality": _plain([model.suboptimality_]), "converged": bool(model.converged_)}
    return _folds(model), said | _scores(model)


def sklearn(X: Any, y: NDArray[np.int64], settings: dict[str, Any]) -> tuple[Values, dict[str, Any]]:
    """scikit-learn's LogisticRegression."""
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(**settings).fit(X, y)
    return [(model.coef_, model.intercept_)], {"n_iter": int(np.max(model.n_iter_))}


def sklearn_float64(X: Any, y: NDArray[np.int64], settings: dict[str, Any]) -> tuple[Values, dict[str, Any]]:
    """The same on X in float64; copying it is part of the time."""
    return sklearn(X.astype(np.float64), y, settings)


def sklearn_warm(X: Any, y: NDArray[np.int64], settings: dict[str, Any]) -> tuple[Values, dict[str, Any]]:
    """LogisticRegression with warm_start=True, from where this process' last fit ended."""
    model = _warm(settings.pop("solver")).set_params(**settings).fit(X, y)
    return [(model.coef_.copy(), model.intercept_.copy())], {"n_iter": int(np.max(model.n_iter_))}


@cache
def _warm(solver: str) -> Any:
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression(solver=solver, warm_start=True)


def sklearn_cv(X: Any, y: NDArray[np.int64], settings: dict[str, Any]) -> tuple[Values, dict[str, Any]]:
    """scikit-learn's LogisticRegressionCV, choosing by log-loss: the models of each fold, C by C."""
    from sklearn.linear_model import LogisticRegressionCV

    fixed = {"scoring": "neg_log_loss", "l1_ratios": (0,), "use_legacy_attributes": False}
    model = LogisticRegressionCV(**fixed, **settings).fit(X, y)
    return _folds(model), {"n_iter": int(np.max(model.n_iter_))} | _scores(model)


def _folds(model: Any) -> Values:
    rows = np.asarray(model.coefs_paths_)
    rows = rows.reshape(-1, *rows.shape[-2:])  # (folds · values, K, d + 1)
    return [(row[:, :-1], row[:, -1]) for row in rows]


def _scores(model: Any) -> dict[str, Any]:
    return {"C": float(model.C_), "scores": _plain(np.asarray(model.scores_).mean(axis=(0, 1)))}


def _plain(values: Iterable[float]) -> list[float | None]:
    """For JSON: what is not finite is None."""
    return [float(value) if math.isfinite(value) else None for value in values]


Call = Callable[[Any, NDArray[np.int64], dict[str, Any]], tuple[Values, dict[str, Any]]]
# Each with the settings of its warm-up.
CALLS: dict[str, tuple[Call, dict[str, Any]]] = {
    "path": (path, {"Cs": [1e-3, 1e-2], "tol": 1e-1}),
    "fit": (fit, {"C": 1e-2, "tol": 1e-1}),
    "cv": (cv, {"Cs": [1e-3, 1e-2], "cv": 2, "tol": 1e-1}),
    "sklearn": (sklearn, {"C": 1e-2, "max_iter": 5}),
    "sklearn float64": (sklearn_float64, {"C": 1e-2, "max_iter": 5}),
    "sklearn warm": (sklearn_warm, {"C": 1e-2, "max_iter": 5, "solver": "newton-cg"}),
    "sklearn cv": (sklearn_cv, {"Cs": [1e-3, 1e-2], "cv": 2, "max_iter": 5}),
}


def save(out: Path, values: Values) -> None:
    """Coefficients one below another as CSR, exact zeros left out, with the intercepts (m, K)."""
    stacked = csr_array(vstack([csr_array(coef) for coef, _ in values]))
    intercepts = np.array([np.atleast_1d(intercept) for _, intercept in values])
    parts = {"data": stacked.data, "indices": stacked.indices, "indptr": stacked.indptr}
    np.savez(out, **parts, shape=stacked.shape, intercepts=intercepts)


def read(out: Path) -> Values:
    """What `save` wrote."""
    with np.load(out) as file:
        parts = file["data"], file["indices"], file["indptr"]
        stacked, intercepts = csr_array(parts, shape=tuple(file["shape"])), file["intercepts"]
    K = stacked.shape[0] // len(intercepts)
    return [(stacked[K * i : K * (i + 1)], intercept) for i, intercept in enumerate(intercepts)]


def serve(problem: Problem, call: str, scale: float, cache: Path) -> None:
    """Run what stdin asks for, one JSON line a task, and answer on stdout; the parent keeps the time limit.

    What libraries print goes to stderr.
    """
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    warnings.simplefilter("ignore")
    X, y = problems.load(problem, scale, cache)
    run, small = CALLS[call]
    rows = np.concatenate([np.flatnonzero(y == k)[:10] for k in range(int(y.max()) + 1)])
    try:
        run(X[rows], y[rows], dict(small))
    except Exception as error:  # what matters is whether the task itself fails
        print(f"warm-up: {error}", file=sys.stderr)
    _warm.cache_clear()
    answers.write('{"ready": true}\n')
    for line in sys.stdin:
        task = json.loads(line)
        try:
            answer = _timed(run, X, y, task)
        except Exception as error:  # a peer that fails is a result
            text = str(error).strip().partition("\n")[0]
            answer = {"error": f"{type(error).__name__}: {text[:200]}"}
        answers.write(json.dumps(answer) + "\n")


def _timed(run: Call, X: Any, y: NDArray[np.int64], task: dict[str, Any]) -> dict[str, Any]:
    times: list[float] = []
    while not times or (len(times) < task["repeats"] and times[0] < SHORT):
        time.sleep(machine.PAUSE)
        start = time.perf_counter()
        values, said = run(X, y, dict(task["settings"]))
        times.append(time.perf_counter() - start)
        if len(times) == 1 and task["out"]:
            save(Path(task["out"]), values)
    return {"seconds": statistics.median(times), "said": said}


class Worker(race.Runner):
    """The process of one entrant on one problem."""

    module = "benchmarks.sweeps"

    def ask(self, settings: dict[str, Any], limit: float, keep: bool, repeats: int) -> dict[str, Any]:
        """{"seconds", "said", "values" if `keep`}, {"killed": seconds} or {"error": …}.

        The process is of no use after either of the last two.
        """
        state = self.wait()
        if "ready" not in state:
            return state
        assert self.process.stdin is not None
        task = {"settings": settings, "out": str(self.out) if keep else None, "repeats": repeats}
        self.process.stdin.write(json.dumps(task).encode() + b"\n")
        result = self._answer(limit + repeats * (SHORT + machine.PAUSE))
        if result is None or result.get("seconds", 0) > limit:
            return {"killed": limit}
        return result | {"values": read(self.out)} if keep and "seconds" in result else result


class Entrants:
    """The processes of one problem, each started when first asked, and anew after it was killed."""

    def __init__(self, problem: Problem, scale: float, cache: Path) -> None:
        self.problem, self.scale, self.cache = problem, scale, cache
        self.workers: dict[str, Worker] = {}
        self.data = problems.load(problem, scale, cache)

    def __enter__(self) -> Entrants:
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self.workers.values():
            worker.close()

    def run(
        self, call: str, settings: dict[str, Any], limit: float, keep: bool = True, repeats: int = 1
    ) -> dict[str, Any]:
        """One task, as `Worker.ask` or `sweep_glmnet.path` describes it."""
        if call == "glmnet":
            return self._glmnet(settings, limit)
        if call not in self.workers:
            self.workers[call] = Worker(self.problem, call, self.scale, self.cache)
        result = self.workers[call].ask(settings, limit, keep, repeats)
        if "seconds" not in result:
            self.workers.pop(call).close()
        return result

    def _glmnet(self, settings: dict[str, Any], limit: float) -> dict[str, Any]:
        folder = self.cache / f"{self.problem.name} for R"
        if not folder.exists():
            glmnet.write(self.data, folder)
        return glmnet.path(folder, self.cache / "from R", settings, limit)
