"""Parts `ridge` and `cv` of benchmarks/sweeps: many values of C, without and with folds."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from benchmarks.race.problems import Data
from benchmarks.race.run import progress
from benchmarks.sweeps.entrants import Entrants
from benchmarks.sweeps.problems import Penalty

TARGET = 1e-6  # nats above F*
REFERENCE = 1e-9  # tolerance, in nats, of the fits that F* comes from
CS = np.logspace(-6, 5, 45)
CV_CS = np.logspace(-4, 4, 10)  # what Cs=10 stands for, in xent and in scikit-learn
TOLS = tuple(10.0**-k for k in range(1, 13))
CV_TOLS = (1e-5, 1e-6, 1e-7, 1e-8)
ENDLESS = 10**6
LONG = 20.0  # seconds; what takes longer is timed once
# Each peer's call, its settings, and whether it climbs the ladder of tolerances or is taken as it is.
PEERS: dict[str, tuple[str, dict[str, Any], bool]] = {
    "lbfgs, defaults": ("sklearn", {"solver": "lbfgs"}, False),
    "lbfgs": ("sklearn", {"solver": "lbfgs", "max_iter": ENDLESS}, True),
    "newton-cg, warm_start": ("sklearn warm", {"solver": "newton-cg", "max_iter": ENDLESS}, True),
}


def lowest(lists: list[list[float | None]]) -> list[float]:
    """Value by value the lowest F of all that were reached; inf where none was."""
    length = max((len(values) for values in lists), default=0)
    padded = [[math.inf if F is None else F for F in values] for values in lists]
    return [min(values[i] for values in padded if i < len(values)) for i in range(length)]


def gaps(values: list[float | None], best: list[float]) -> list[float]:
    """How far each value's F is above F*, in nats; inf where either is missing."""
    reached = zip(values, best, strict=False)
    found = [math.inf if F is None or math.isinf(star) else F - star for F, star in reached]
    return found + [math.inf] * (len(best) - len(found))


def ridge(bench: Any, problem: str = "probe") -> None:
    """45 values of C; a peer's values are dealt out over the rounds, in ascending order."""
    with bench.entrants(problem) as entrants:
        cell = bench.cell("ridge", problem, entrants.data, Cs=CS.tolist())
        _references(bench, cell, entrants)
        cell.setdefault("peers", {name: [] for name in PEERS})
        order = np.random.default_rng(0)
        for turn in range(bench.rounds):
            for name in order.permutation(["path", "fit", *PEERS]):
                if name in PEERS:
                    _peer(bench, cell, entrants, name, len(CS) * (turn + 1) // bench.rounds)
                else:
                    _own_ridge(bench, cell, entrants, name, turn)
                bench.save()


def _references(bench: Any, cell: dict[str, Any], entrants: Entrants) -> None:
    """F at tight tolerances: of a path, and of fits that each start anew."""
    known = cell.setdefault("references", {"fits": []})
    if "path" not in known:
        result = entrants.run("path", {"Cs": CS.tolist(), "tol": REFERENCE}, bench.sweep_limit)
        known["path"] = bench.evaluated(result, _cases(entrants.data)).get("F", [])
        bench.save()
    for C in CS[len(known["fits"]) :]:
        result = entrants.run("fit", {"C": C, "tol": REFERENCE}, bench.limit)
        result = bench.evaluated(result, [(entrants.data, Penalty(C))])
        known["fits"].append(result.get("F", [None])[0])
    bench.save()


def _cases(data: Data) -> Iterator[tuple[Data, Penalty]]:
    return ((data, Penalty(C)) for C in CS)


def _own_ridge(bench: Any, cell: dict[str, Any], entrants: Entrants, name: str, turn: int) -> None:
    settings: dict[str, Any] = {"Cs": CS.tolist()} if name == "path" else {"C": 1.0}
    limit = bench.sweep_limit if name == "path" else bench.limit
    cases = _cases(entrants.data) if name == "path" else iter([(entrants.data, Penalty(1.0))])
    own(bench, cell, name, turn, lambda keep: entrants.run(name, settings, limit, keep), cases)


def own(
    bench: Any, cell: dict[str, Any], name: str, turn: int, run: Callable[[bool], Any], cases: Any
) -> None:
    """This turn's time, unless the report has it; of the first also F and what it says of itself."""
    entry = cell.setdefault(name, {"times": []})
    if len(entry["times"]) > turn or "failed" in entry:
        return
    result = bench.evaluated(run(not entry["times"]), cases)
    if "seconds" not in result:
        entry["failed"] = result
        return
    entry["times"].append(result.pop("seconds"))
    if len(entry["times"]) == 1:
        entry |= result


def _peer(bench: Any, cell: dict[str, Any], entrants: Entrants, name: str, upto: int) -> None:
    """This peer's fits up to that many values.

    After two in a row that were killed, the rest is not tried: their time counts as 0.
    """
    fits = cell["peers"][name]
    if len(fits) < upto:
        progress(f"ridge: {name}, to value {upto}")
    star = lowest([cell["references"]["path"], cell["references"]["fits"]])
    while len(fits) < upto:
        C, best = float(CS[len(fits)]), star[len(fits)]
        if len(fits) > 1 and all("killed" in fit or "skipped" in fit for fit in fits[-2:]):
            fits.append({"C": C, "skipped": True})
        else:
            fits.append({"C": C} | _climb(bench, entrants, name, C, best, fits))
        bench.save()


def _climb(
    bench: Any, entrants: Entrants, name: str, C: float, best: float, before: list[dict[str, Any]]
) -> dict[str, Any]:
    """One value of C: the loosest tolerance with F − F* ≤ TARGET, from a decade above the last value's on.

    A fit starts anew and counts alone. Under warm_start, where a fit goes on from the last, the climb begins
    at the last value's tolerance and all its fits count. It ends, too, when three tighter tolerances in a row
    changed nothing, or its fits together took 1.5 × the limit of one.
    """
    call, fixed, climbs = PEERS[name]
    warm = call == "sklearn warm"
    last = next((fit["tol"] for fit in reversed(before) if fit.get("there")), TOLS[0])
    ladder = [tol for tol in TOLS if tol <= last * (1.5 if warm else 15)] if climbs else [None]
    found: dict[str, Any] = {"seconds": 0.0}
    seen: list[float | None] = []
    took = 0.0
    for tol in ladder:
        settings = fixed | {"C": C} | ({} if tol is None else {"tol": tol})
        result = bench.evaluated(entrants.run(call, settings, bench.limit), [(entrants.data, Penalty(C))])
        if "seconds" not in result:
            return found | {key: result[key] for key in ("killed", "error") if key in result}
        seen.append(result["F"][0])
        spent = result["seconds"] + (found["seconds"] if warm else 0)
        there = gaps(seen[-1:], [best])[0] <= TARGET
        found = {"tol": tol, "there": there, "seconds": spent, "F": seen[-1]} | result["said"]
        took += result["seconds"]
        stalled = result["said"]["n_iter"] > 0 and len(seen) > 3 and len(set(seen[-4:])) == 1
        if there or stalled or took > 1.5 * bench.limit:
            break
    return found


def cv(bench: Any, problem: str = "probe") -> None:
    """Five folds, ten values of C: xent each round, one task of scikit-learn a round until none is left."""
    with bench.entrants(problem) as entrants:
        cell = bench.cell("cv", problem, entrants.data, Cs=CV_CS.tolist())
        cell.setdefault("peers", {})

        def run(call: str, keep: bool = True, **settings: Any) -> dict[str, Any]:
            return entrants.run(call, {"Cs": CV_CS.tolist(), "cv": 5} | settings, bench.sweep_limit, keep)

        if "reference" not in cell:
            cell["reference"] = bench.evaluated(run("cv", tol=REFERENCE), _folds(entrants.data))
            bench.save()
        order = np.random.default_rng(0)
        turn = 0
        while turn < bench.rounds or _next_peer(cell):
            for name in order.permutation(["cv", "fit", "peer"]):
                if name == "peer":
                    if settings := _next_peer(cell):
                        progress(f"cv: LogisticRegressionCV {settings}")
                        result = bench.evaluated(run("sklearn cv", **settings), _folds(entrants.data))
                        cell["peers"][_label(settings)] = result
                elif name == "cv":
                    own(bench, cell, "cv", turn, lambda keep: run("cv", keep), _folds(entrants.data))
                else:
                    _own_ridge(bench, cell, entrants, "fit", turn)
                bench.save()
            turn += 1


def _folds(data: Data) -> Iterator[tuple[Data, Penalty]]:
    """Training rows and penalty of each model, fold by fold: cv=5 is StratifiedKFold(5) for both."""
    from sklearn.model_selection import StratifiedKFold

    X, y = data
    for train, _ in StratifiedKFold(5).split(X, y):
        part = X[train], y[train]
        yield from ((part, Penalty(C)) for C in CV_CS)


def cv_star(cell: dict[str, Any]) -> list[float]:
    """F* of each fold and value."""
    entries = [cell.get("reference", {}), cell.get("cv", {}), *cell["peers"].values()]
    return lowest([entry["F"] for entry in entries if "F" in entry])


def _next_peer(cell: dict[str, Any]) -> dict[str, Any]:
    """Settings for LogisticRegressionCV: its defaults, then tighter until all models are within TARGET."""
    for settings in ({}, *({"tol": tol, "max_iter": ENDLESS} for tol in CV_TOLS)):
        known = cell["peers"].get(_label(settings))
        if known is None:
            return settings or {"tol": 1e-4, "max_iter": 100}
        if "F" not in known or (settings and max(gaps(known["F"], cv_star(cell))) <= TARGET):
            break
    return {}


def _label(settings: dict[str, Any]) -> str:
    return "defaults" if settings.get("max_iter", 100) == 100 else f"tol={settings['tol']:g}"
