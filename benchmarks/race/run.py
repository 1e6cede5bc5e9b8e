"""How long until a fit is within 1e-6 nats of the optimum? xent and its peers, time and memory.

    make race                                                     everything, some hours on two cores
    python -m benchmarks.race --problems "wine C=1,scales" --entrants xent,lbfgs
    python -m benchmarks.race --scale 0.01 --limit 10             does it run at all?

F* of a problem is the lowest F = (1/n) Σ ℓ_i + ‖W‖² / (2 C n) that anyone reached on it, among them xent at
tol=1e-9 and newton-cholesky at 1e-12 where K (d + 1) ≤ 3000. Every F is evaluated here, in float64, from the
coefficients (`race_problems.objective`).

*Search.* Each entrant climbs its ladder of tolerances, in a process of its own per problem, until
F − F* ≤ 1e-6: it is timed at the loosest tolerance that gets there, not at one it did not need. A fit is
killed after 20 × xent's time, but not before 10 s nor after --limit; a climb ends there, or once its fits
together took 1.5 × that, or when three tighter tolerances in a row changed nothing.

*Timing.* Who got there starts anew and takes turns with the others in an order shuffled each round; 5 rounds,
3 for fits over 2 s; those over 20 s keep the one time of the search. A time is the median; one of less than
0.5 s is itself the median of five fits. Reading the data, importing and a warm-up on 64 rows come before it.
Memory is what a first fit adds to such a process at its worst moment, without X and y (Linux only).

*Ratios.* The best peer's time is set against xent's at the loosest of its tolerances that got there, and at
the default one. Where no peer got there, the ratio is a lower bound: the least time at which one was stopped.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.metadata
import json
import math
import os
import select
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.common import machine
from benchmarks.race import entrants as race_entrants
from benchmarks.race import picture, tables
from benchmarks.race import problems as race_problems
from benchmarks.race.entrants import ENTRANTS
from benchmarks.race.problems import Data, Problem

TARGET = 1e-6  # nats above F*
START = 600.0  # seconds for a process to load its data and warm up
REFERENCES = {"xent": 1e-9, "newton-cholesky": 1e-12}


class Runner:
    """The process of one entrant on one problem; `fit` asks it for one fit and gives up after the limit."""

    module = "benchmarks.race"  # which serves it

    def __init__(self, problem: Problem, entrant: str, scale: float, cache: Path) -> None:
        self.out = cache / f"{entrant}.npz"
        self.errors = open(cache / f"{entrant}.log", "w+")  # noqa: SIM115, closed in `close`
        program = [race_entrants.interpreter(entrant), "-m", self.module, "--scale", str(scale)]
        self.process = subprocess.Popen(
            [*program, "--serve", problem.name, entrant, cache],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.errors,
            bufsize=0,
            cwd=machine.HOUSE,
        )
        self.ready: dict[str, Any] | None = None

    def __enter__(self) -> Runner:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout, self.errors):
            assert pipe is not None
            pipe.close()

    def wait(self) -> dict[str, Any]:
        """Until data and libraries are loaded."""
        if self.ready is None:
            self.ready = self._answer(START) or {"error": f"not ready after {START:.0f} s"}
        return self.ready

    def fit(self, tol: float, repeats: int, limit: float) -> dict[str, Any]:
        """{"tol", "seconds", "extra_bytes", "coef", "intercept", …}, or why there is nothing.

        {"unsupported": …}, {"error": …}, or {"killed": seconds, "extra_bytes": so far}; the process is of no
        use after any of these.
        """
        state = self.wait()
        if "ready" not in state:
            return {"tol": tol, **state}
        assert self.process.stdin is not None
        task = {"tol": tol, "out": str(self.out), "repeats": repeats}
        self.process.stdin.write(json.dumps(task).encode() + b"\n")
        began = self._answer(START) or {}
        start = time.monotonic()
        result = self._answer(limit + repeats * (race_entrants.SHORT + machine.PAUSE))
        if result is None or result.get("seconds", 0) > limit:
            return {"tol": tol, "killed": min(time.monotonic() - start, limit)} | self._peak(began)
        if "seconds" in result:
            with np.load(self.out) as file:
                result |= {"coef": file["coef"], "intercept": file["intercept"]}
        return {"tol": tol, **result}

    def _answer(self, limit: float) -> dict[str, Any] | None:
        """The next line, or None if there is none within `limit` seconds."""
        assert self.process.stdout is not None
        if not select.select([self.process.stdout], [], [], limit)[0]:
            return None
        if line := self.process.stdout.readline():
            answer: dict[str, Any] = json.loads(line)
            return answer
        self.errors.seek(0)
        last = (self.errors.read().strip().splitlines() or ["no word"])[-1][:200]
        return {"error": f"ended with status {self.process.wait()}: {last}"}

    def _peak(self, began: dict[str, Any]) -> dict[str, int]:
        try:
            peak = machine.status("VmHWM", self.process.pid)
        except (OSError, StopIteration):
            return {}
        return {} if began.get("before") is None else {"extra_bytes": max(peak - began["before"], 0)}


class Race:
    """One run: its report, which is saved after every step, and what a step needs to know."""

    def __init__(self, report: dict[str, Any], path: Path, args: argparse.Namespace, cache: Path) -> None:
        self.report, self.path, self.args, self.cache = report, path, args, cache

    def save(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        temporary = self.path.with_suffix(".tmp")
        temporary.write_text(json.dumps(self.report, indent=1) + "\n")
        os.replace(temporary, self.path)

    def run(self, problem: Problem) -> None:
        """Search, then timing, of one problem; what the report already has is not done again."""
        X, y = race_problems.load(problem, self.args.scale, self.cache)
        cell = self._cell(problem, X, y)
        for name, tol in REFERENCES.items():
            known = any(rung["entrant"] == name for rung in cell["references"])
            if known or ENTRANTS[name].missing() or (name != "xent" and _parameters(X, y) > 3000):
                continue
            with Runner(problem, name, self.args.scale, self.cache) as runner:
                rung = self._evaluated(runner.fit(tol, 1, self.args.limit), problem, (X, y))
            cell["references"].append({"entrant": name, **rung})
            self.save()
        for _ in range(2):  # again for those whose F* a later one lowered
            for name in self.args.entrants:
                self._search(problem, name, cell, (X, y))
            tables.judge(cell, TARGET)
        del X, y
        self._time(problem, cell)

    def _cell(self, problem: Problem, X: Any, y: Any) -> dict[str, Any]:
        for cell in self.report["problems"]:
            if cell["name"] == problem.name:
                return cell  # type: ignore[no-any-return]
        cell = {"name": problem.name, "n": len(y), "d": X.shape[1], "K": int(y.max()) + 1}
        cell |= {"dtype": X.dtype.name, "layout": "CSR" if hasattr(X, "tocsr") else "C"}
        cell["C"] = problem.C if math.isfinite(problem.C) else "inf"  # for which JSON has no number
        self.report["problems"].append(cell | {"references": [], "entrants": {}})
        return self.report["problems"][-1]  # type: ignore[no-any-return]

    def _evaluated(self, rung: dict[str, Any], problem: Problem, data: Data) -> dict[str, Any]:
        """The rung with F instead of coefficients; NaN is None."""
        if "coef" in rung:
            value = race_problems.objective(*data, problem.C, rung.pop("coef"), rung.pop("intercept"))
            rung["F"] = value if math.isfinite(value) else None
            time.sleep(machine.PAUSE)  # until our own BLAS threads have stopped spinning
        return rung

    def _search(self, problem: Problem, name: str, cell: dict[str, Any], data: Data) -> None:
        """Climb from the rung after the last one, unless that got there or ended the climb."""
        entry = cell["entrants"].setdefault(name, {"rungs": []})
        if missing := ENTRANTS[name].missing():
            entry["stopped"] = f"{missing} is not installed"
            return
        tables.judge(cell, TARGET)
        limit = self._limit(name, cell)
        left = ENTRANTS[name].tols[len(entry["rungs"]) :]
        if "stopped" in entry or "chosen" in entry or not left:
            return
        progress(f"{problem.name}: {name}, {limit:.0f} s")
        with Runner(problem, name, self.args.scale, self.cache) as runner:
            for tol in left:
                spent = sum(rung.get("seconds", 0) for rung in entry["rungs"])
                rung = runner.fit(tol, 1, min(limit, max(1.5 * limit - spent, limit / 10)))
                if "unsupported" in rung:
                    entry["stopped"] = rung["unsupported"]
                    break
                entry["rungs"].append(self._evaluated(rung, problem, data))
                tables.judge(cell, TARGET)
                if why := _stops(entry, tol == left[-1]):
                    entry["stopped"] = why
                if "stopped" in entry or "chosen" in entry:
                    break
        self.save()

    def _limit(self, name: str, cell: dict[str, Any]) -> float:
        longest: float = self.args.limit
        own = cell["entrants"].get("xent", {}).get("rungs", [])
        times = [rung["seconds"] for rung in own if "seconds" in rung]
        if name in race_entrants.OWN or not times:
            return longest
        return min(max(min(10.0, longest), 20 * times[-1]), longest)

    def _time(self, problem: Problem, cell: dict[str, Any]) -> None:
        """Turns of those that got there; times and memory of long fits are the search's."""
        rungs = {name: cell["entrants"][name].get("chosen") for name in self.args.entrants}
        due: dict[str, int] = {}
        for name, rung in rungs.items():
            entry = cell["entrants"][name]
            if rung is None or "times" in entry:
                continue
            if rung["seconds"] > 20:
                entry |= {"times": [rung["seconds"]], "extra_bytes": rung["extra_bytes"]}
            else:
                due[name] = min(self.args.rounds, 5 if rung["seconds"] < 2 else 3)
        progress(f"{problem.name}: timing {len(due)}")
        runners = {name: Runner(problem, name, self.args.scale, self.cache) for name in due}
        found: dict[str, list[dict[str, Any]]] = {name: [] for name in due}
        order = np.random.default_rng(0)
        try:
            for runner in runners.values():  # all have loaded before any is timed
                runner.wait()
            for turn in range(max(due.values(), default=0)):
                for name in order.permutation([name for name in due if turn < due[name]]):
                    rung = rungs[name]
                    if rung is None or any("seconds" not in fit for fit in found[name]):
                        continue  # its process is gone
                    found[name].append(runners[name].fit(rung["tol"], 5, 2 * self.args.limit))
        finally:
            for runner in runners.values():
                runner.close()
        for name, fits in found.items():
            entry, rung = cell["entrants"][name], rungs[name]
            assert rung is not None
            if failed := next((fit for fit in fits if "seconds" not in fit), None):
                entry["timing_failed"] = failed.get("error", f"killed after {failed.get('killed', 0):.0f} s")
            fits = [fit for fit in fits if "seconds" in fit] or [rung]
            entry |= {"times": [fit["seconds"] for fit in fits], "extra_bytes": fits[0]["extra_bytes"]}
        tables.judge(cell, TARGET)
        self.save()


def _parameters(X: Any, y: Any) -> int:
    return (int(y.max()) + 1) * (X.shape[1] + 1)


def _stops(entry: dict[str, Any], last: bool) -> str | None:
    """Why a climb that has not got there ends at its last rung, if it does."""
    rung = entry["rungs"][-1]
    if "chosen" in entry:
        return None
    if "killed" in rung:
        return f"> {rung['killed']:.0f} s"
    if "error" in rung:
        return str(rung["error"])
    recent = [rung.get("F") for rung in entry["rungs"][-4:]]
    if len(recent) == 4 and len(set(recent)) == 1:
        return "stalled"
    return "end of the ladder" if last else None


def progress(what: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {what}", file=sys.stderr, flush=True)


def _arguments() -> argparse.Namespace:
    def names(known: list[str]) -> Any:
        def read(text: str) -> list[str]:
            chosen = [name for name in _split(text, known) if name]
            if unknown := [name for name in chosen if name not in known]:
                raise argparse.ArgumentTypeError(f"no {unknown}; there are {known}")
            return chosen

        return read

    problems, entrants = [problem.name for problem in race_problems.PROBLEMS], list(ENTRANTS)
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--problems", type=names(problems), default=problems, metavar="A,B")
    parser.add_argument("--entrants", type=names(entrants), default=entrants, metavar="A,B")
    parser.add_argument("--rounds", type=int, default=5, help="at most")
    parser.add_argument("--limit", type=float, default=300.0, help="seconds a fit may take, at most")
    parser.add_argument("--scale", type=float, default=1.0, help="of generated rows, for a smoke test")
    parser.add_argument("--json", type=Path, default=Path("build/bench/race.json"), metavar="PATH")
    parser.add_argument("--plot", type=Path, metavar="PATH", help="writes PATH as .svg and as .png")
    parser.add_argument("--resume", action="store_true", help="keep what --json already has")
    parser.add_argument(
        "--serve", nargs=3, metavar=("PROBLEM", "ENTRANT", "CACHE"), help="what processes run"
    )
    return parser.parse_args()


def _split(text: str, known: list[str]) -> list[str]:
    """At commas, except for those within a known name."""
    for name in sorted(known, key=len, reverse=True):
        if "," in name:
            text = text.replace(name, name.replace(",", "\0"))
    return [part.strip().replace("\0", ",") for part in text.split(",")]


def _versions() -> dict[str, str]:
    found = {}
    for package in ("cyanure", "scikit-learn-intelex", "statsmodels"):
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[package] = importlib.metadata.version(package)
    if ENTRANTS["adelie"].missing() is None:
        ask = "from importlib.metadata import version; print(version('adelie'), version('numpy'))"
        program = [race_entrants.interpreter("adelie"), "-c", ask]
        answer = subprocess.run(program, capture_output=True, text=True, check=True)
        found["adelie"], found["adelie's numpy"] = answer.stdout.split()
    return found


def main() -> None:
    """Race, save after every step, print, draw."""
    args = _arguments()
    problems = {problem.name: problem for problem in race_problems.PROBLEMS}
    if args.serve:
        name, entrant, cache = args.serve
        race_entrants.serve(problems[name], entrant, args.scale, Path(cache))
        return
    report: dict[str, Any] = {"target": TARGET, "scale": args.scale, "limit": args.limit, "problems": []}
    report["machine"] = machine.describe() | _versions()
    if args.resume and args.json.exists():
        kept = json.loads(args.json.read_text())
        if kept["scale"] != args.scale:
            sys.exit(f"{args.json} is of --scale {kept['scale']:g}")
        report["problems"] = kept["problems"]
    with tempfile.TemporaryDirectory() as cache:
        race = Race(report, args.json, args, Path(cache))
        for name in args.problems:
            race.run(problems[name])
    order = list(problems)
    report["problems"].sort(key=lambda cell: order.index(cell["name"]))
    report["summary"] = tables.summary(report["problems"])
    race.save()
    tables.show(report)
    if args.plot:
        picture.draw(report, args.plot)


if __name__ == "__main__":
    main()
