"""Parts `sparse` and `glmnet` of benchmarks/sweeps: L1, elastic net and groups."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.race.problems import Data
from benchmarks.race.run import progress
from benchmarks.sweeps import glmnet as sweep_glmnet
from benchmarks.sweeps.entrants import REPEATS, Entrants
from benchmarks.sweeps.l2 import LONG, REFERENCE, gaps, lowest
from benchmarks.sweeps.problems import Penalty, largest_lambda

L1_RATIOS = (1.0, 0.5)
MULTIPLES = (3.0, 30.0, 300.0)  # of the C below which everything is 0
TOLS = tuple(10.0**-k for k in range(2, 11))  # of xent, in nats
PATH_TOLS = tuple(m * tol for tol in TOLS for m in (1.0, 0.63, 0.4, 0.25, 0.16))
LEVELS = (1e-3, 1e-6, 1e-9)  # nats above F*, besides saga's best
SAGA_TOL = 1e-10
THRESHOLDS = (1e-7, 1e-10)  # of glmnet; the first is its default
VALUES = 100  # of λ on a path
KINDS = ((1.0, False), (0.5, False), (1.0, True))  # l1_ratio, grouped
Runs = dict[str, tuple[dict[str, Any], Callable[[], dict[str, Any]]]]


def seconds(rung: dict[str, Any]) -> float:
    """The median of the rounds, or the one time of the search."""
    return statistics.median(rung.get("times") or [rung["seconds"]])


def sparse(bench: Any) -> None:
    """Single fits against saga, whose objective is traced by fits of more and more iterations, one seed."""
    for problem in bench.args.problems:
        if problem == "probe K=10":
            continue
        with bench.entrants(problem) as entrants:
            for l1_ratio in L1_RATIOS:
                n = len(entrants.data[1])
                first = 1 / (n * largest_lambda(entrants.data, l1_ratio))
                for multiple in MULTIPLES:
                    what = {"l1_ratio": l1_ratio, "multiple": multiple}
                    cell = bench.cell("sparse", problem, entrants.data, **what)
                    cell["C"] = multiple * first
                    _single(bench, cell, entrants, Penalty(cell["C"], l1_ratio))


def sagas(cell: dict[str, Any]) -> dict[str, str]:
    """Names and calls: saga on X as it is, and in float64."""
    found = {"saga": "sklearn"}
    return found if cell["dtype"] == "float64" else found | {"saga, float64": "sklearn float64"}


def _single(bench: Any, cell: dict[str, Any], entrants: Entrants, penalty: Penalty) -> None:
    case = [(entrants.data, penalty)]
    common = {"C": penalty.C, "l1_ratio": penalty.l1_ratio}

    def run(call: str, settings: dict[str, Any], keep: bool = True, repeats: int = 1) -> dict[str, Any]:
        result = entrants.run(call, common | settings, bench.limit, keep, repeats)
        return _scalars(bench.evaluated(result, case))

    own = cell.setdefault("xent", [])
    for tol in TOLS[len(own) :]:
        if own and "seconds" not in own[-1]:
            break
        own.append({"tol": tol} | run("fit", {"tol": tol}))
        bench.save()
    saga = {"solver": "saga", "tol": SAGA_TOL, "random_state": 0}
    for name, call in sagas(cell).items():
        trace = cell.setdefault(name, [])
        while more := iterations(trace, bench.limit):
            trace.append({"max_iter": more} | run(call, saga | {"max_iter": more}))
            bench.save()
        for level in LEVELS:
            while more := between(trace, star(cell) + level):
                trace.append({"max_iter": more} | run(call, saga | {"max_iter": more}))
                trace.sort(key=lambda rung: rung["max_iter"])
                bench.save()
    used: Runs = {}
    for name, call in sagas(cell).items():
        for level in levels(cell, name):
            if rung := level["xent"]:
                settings = {"tol": rung["tol"]}
                used[f"xent {rung['tol']}"] = rung, lambda s=settings: run("fit", s, False, REPEATS)
            if rung := level["peer"]:
                settings = saga | {"max_iter": rung["max_iter"]}
                label = f"{name} {rung['max_iter']}"
                used[label] = rung, lambda c=call, s=settings: run(c, s, False, REPEATS)
    rounds(bench, used)


def _scalars(result: dict[str, Any]) -> dict[str, Any]:
    """Of a single fit: F instead of [F]."""
    return result | {key: result[key][0] for key in ("F", "kkt", "nonzero") if key in result}


def iterations(trace: list[dict[str, Any]], limit: float) -> int:
    """How many saga may take next: twice as many, the last time what the limit allows; 0 at the end."""
    if not trace:
        return 1
    last = trace[-1]
    if "seconds" not in last or last["said"]["n_iter"] < last["max_iter"]:
        return 0
    allowed = int(0.8 * limit * last["max_iter"] / last["seconds"])
    return more if (more := min(2 * last["max_iter"], allowed)) > last["max_iter"] else 0


def between(trace: list[dict[str, Any]], bound: float) -> int:
    """Where to look for fewer iterations that get below `bound`; 0 if they are known to 15 %."""
    before = 0
    for rung in trace:
        if rung.get("F") is None:
            return 0
        if rung["F"] <= bound:
            enough = min(rung["max_iter"], rung["said"]["n_iter"])
            return (before + enough) // 2 if enough - before > max(0.15 * enough, 1) else 0
        before = rung["max_iter"]
    return 0


def levels(cell: dict[str, Any], name: str) -> list[dict[str, Any]]:
    """For F* plus each of LEVELS and the lowest F of this saga: the loosest rung of each that gets there."""
    trace = [rung for rung in cell.get(name, []) if rung.get("F") is not None]
    own = [rung for rung in cell["xent"] if rung.get("F") is not None]
    if not trace:
        return []
    best = star(cell)
    end = min(rung["F"] for rung in trace)
    found = []
    for label, bound in (*((f"{level:g}", best + level) for level in LEVELS), ("its best", end)):
        ours, theirs = ([rung for rung in rungs if rung["F"] <= bound] for rungs in (own, trace))
        first = [rungs[0] if rungs else None for rungs in (ours, theirs)]
        found.append({"level": label, "xent": first[0], "peer": first[1]})
    return found


def star(cell: dict[str, Any]) -> float:
    """F* of a cell of `sparse`; inf where nothing came back."""
    rungs = [*cell["xent"], *(rung for name in sagas(cell) for rung in cell.get(name, []))]
    return min((rung["F"] for rung in rungs if rung.get("F") is not None), default=math.inf)


def rounds(bench: Any, used: Runs) -> None:
    """Add times, in turns, to rungs that lack some and do not take too long for more than one."""
    order = np.random.default_rng(0)
    for turn in range(bench.rounds):
        for name in order.permutation(list(used)):
            rung, run = used[name]
            times = rung.setdefault("times", [])
            if len(times) > turn or rung["seconds"] > LONG or "timing_failed" in rung:
                continue
            result = run()
            if "seconds" in result:
                times.append(result["seconds"])
            else:
                rung["timing_failed"] = result
    bench.save()


def paths(bench: Any) -> None:
    """Whole paths against glmnet, on the values of λ that it chose."""
    if why := sweep_glmnet.missing():
        progress(f"glmnet: left out, {why}")
        return
    for problem in bench.args.problems:
        with bench.entrants(problem) as entrants:
            for l1_ratio, grouped in KINDS:
                kind = {"l1_ratio": l1_ratio, "grouped": grouped}
                _path(bench, bench.cell("glmnet", problem, entrants.data, **kind), entrants)


def _path(bench: Any, cell: dict[str, Any], entrants: Entrants) -> None:
    kind = {"l1_ratio": cell["l1_ratio"], "grouped": cell["grouped"]}

    def glmnet(threshold: float, **settings: Any) -> dict[str, Any]:
        asked = {"alpha": kind["l1_ratio"], "grouped": kind["grouped"], "thresh": threshold}
        return entrants.run("glmnet", asked | settings, bench.sweep_limit)

    def xent(tol: float, keep: bool = True, repeats: int = 1) -> dict[str, Any]:
        Cs = [1 / (cell["n"] * value) for value in cell["lambdas"]]
        return entrants.run("path", kind | {"Cs": Cs, "tol": tol}, bench.sweep_limit, keep, repeats)

    def evaluated(result: dict[str, Any]) -> dict[str, Any]:
        result.pop("lambdas", None)
        penalties = (Penalty(1 / (cell["n"] * value), **kind) for value in cell["lambdas"])
        return bench.evaluated(result, ((entrants.data, penalty) for penalty in penalties))

    runs = cell.setdefault("glmnet", [])
    for threshold in THRESHOLDS[len(runs) :]:
        settings = {"lambdas": cell["lambdas"]} if "lambdas" in cell else {"nlambda": VALUES}
        result = glmnet(threshold, **settings)
        if "lambdas" not in cell:
            cell["lambdas"] = result.get("lambdas") or own_values(entrants.data, **kind)
        runs.append({"thresh": threshold} | evaluated(result))
        bench.save()
    if "reference" not in cell:
        cell["reference"] = evaluated(xent(REFERENCE))
        bench.save()
    ladder = cell.setdefault("xent", [])
    for tol in PATH_TOLS[len(ladder) :]:
        if ladder and ("seconds" not in ladder[-1] or all(equal(cell, run) for run in runs)):
            break
        ladder.append({"tol": tol} | evaluated(xent(tol)))
        bench.save()
    used: Runs = {}
    for run in runs:
        if "F" in run:
            threshold, values = run["thresh"], cell["lambdas"]
            used[f"glmnet {threshold}"] = run, lambda t=threshold, v=values: glmnet(t, lambdas=v)
        if rung := equal(cell, run):
            used[f"xent {rung['tol']}"] = rung, lambda tol=rung["tol"]: xent(tol, False, REPEATS)
    rounds(bench, used)


def own_values(data: Data, l1_ratio: float, grouped: bool, m: int = VALUES) -> list[float]:
    """The values of λ that glmnet would choose, where it did not come back."""
    n, d = data[0].shape
    first = largest_lambda(data, l1_ratio, grouped)
    return [float(value) for value in first * np.logspace(0, -2 if n < d else -4, m)]


def excess(cell: dict[str, Any], rung: dict[str, Any]) -> float:
    """How far the worst value of a path is above F*, in nats; inf where values are missing."""
    entries = (cell["reference"], *cell["glmnet"], *cell["xent"])
    known = lowest([entry["F"] for entry in entries if "F" in entry])
    return max(gaps(rung.get("F", []), known), default=math.inf)


def equal(cell: dict[str, Any], run: dict[str, Any]) -> dict[str, Any] | None:
    """xent's rung of the loosest tolerance whose worst value is no worse than that of this run of glmnet.

    Of a glmnet that did not come back, or not with every value, the default tolerance's.
    """
    ladder = [rung for rung in cell["xent"] if "F" in rung]  # loosest first
    if not math.isfinite(bound := excess(cell, run)):
        return next((rung for rung in ladder if rung["tol"] <= 1.1e-6), None)
    return next((rung for rung in ladder if excess(cell, rung) <= bound), None)
