"""How long does one loss + gradient pass take, and what is the least it could? xent, its peers, the machine.

    make bench                                                 all cells, about ten minutes on two cores
    python -m benchmarks.passes --only "K=3 float32"           those whose name contains that
    python -m benchmarks.passes --scale 0.01 --rounds 1        does it run at all?

The limit of a cell is max(4·n·d·K / peak of a matrix product, bytes of X / bandwidth of reading), both the
best that `limits.peaks` sees at the start and at the end of the same run. Half precision counts as float32,
in which it is computed; two classes count one row of logits; CSR counts its non-zeros. A limit leaves out
exp, log, y, W and the gradient: nothing reaches it. Only an X that fits a cache may be read faster than that.

Entrants take turns in an order shuffled every round, after a pause that lets the last one's threads fall
asleep. An entrant's turn is the best of three consecutive calls (of fewer if they take half a second): the
first still wakes threads and fetches what others evicted, and a solver's passes follow one another. Its
time is the median of its turns, of three where an entrant takes over a second. Compiling, converting labels
and wrapping arrays happen beforehand. Where an entrant has several ways to do it (`peers`), the one that was
fastest when tried beforehand takes part. Errors are against `problems.truth`; memory is
`limits.extra_memory`, each figure from its own process.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.common import machine
from benchmarks.passes import limits, peers, picture, prediction, problems


def rows(cell: problems.Cell, scale: float) -> int:
    return max(int(cell.n * scale), 64)


def fastest(entrant: str, ways: dict[str, peers.Pass]) -> tuple[str, dict[str, float], dict[str, str]]:
    """The name of the quickest way that works, the seconds of each, and why others do not work.

    Raises Unsupported if none does.
    """
    times, failed = {}, {}
    for name, way in ways.items():
        try:
            way.run()
            time.sleep(machine.PAUSE)
            times[name] = machine.seconds(way.run)
        except peers.Unsupported:
            raise
        except Exception as error:  # a peer that fails is a result, not a reason to stop
            if entrant == "xent":
                raise
            text = str(error).strip().partition("\n")[0]
            failed[name] = f"{type(error).__name__}: {text[:200]}"
    if not times:
        raise peers.Unsupported("; ".join(f"{name}: {why}" for name, why in failed.items()))
    return min(times, key=lambda name: times[name]), times, failed


def measure(cell: problems.Cell, scale: float, rounds: int) -> dict[str, Any]:
    """Times and errors of one cell."""
    n, threads = rows(cell, scale), machine.threads()
    problem = problems.make(cell, n)
    true = problems.truth(problem)
    entrants: dict[str, dict[str, Any]] = {}
    passes = {}
    for entrant, ways_for in peers.ENTRANTS.items():
        try:
            ways = ways_for(problem, threads)
            name, tried, failed = fastest(entrant, ways)
        except peers.Unsupported as error:
            entrants[entrant] = {"unsupported": str(error)}
            continue
        passes[entrant] = ways[name]
        entrants[entrant] = {"way": name, "tried": tried, "failed": failed, "times": []}
        if (outcome := ways[name].outcome) is not None:
            loss_error, grad_error = problems.errors(outcome(ways[name].run()), true)
            entrants[entrant] |= {"loss_error": loss_error, "grad_error": grad_error}
    order = np.random.default_rng(0)
    slowest = max(min(entry["tried"].values()) for entry in entrants.values() if "tried" in entry)
    for _ in range(rounds if slowest < 1 else min(rounds, 3)):
        for entrant in order.permutation(list(passes)):
            time.sleep(machine.PAUSE)
            entrants[entrant]["times"].append(machine.seconds(passes[entrant].run))

    X = problem.X
    predicts = cell.dtype != "bfloat16"  # which the estimators, like scikit-learn's, do not take
    return {
        "prediction": prediction.measure(problem, rounds) if predicts else [],
        "name": cell.name,
        "n": n,
        "d": cell.d,
        "K": cell.K,
        "dtype": cell.dtype,
        "layout": cell.layout,
        "bytes": X.nbytes if isinstance(X, np.ndarray) else X.data.nbytes + X.indices.nbytes,
        "flops": cell.flops(n),
        "computed_in": np.dtype(cell.compute).name,
        "entrants": entrants,
    }


def judge(cell: dict[str, Any], peak: dict[str, Any]) -> None:
    """Set the cell's limit, every entrant's median and its ratio to the limit, and xent's best peer."""
    limits = {
        "arithmetic": cell["flops"] / peak[cell["computed_in"]]["rate"],
        "reading": cell["bytes"] / peak["read"]["rate"],
    }
    by = max(limits, key=lambda key: limits[key])
    cell |= {"limit_seconds": limits[by], "limited_by": by}
    times = {}
    for name, entry in cell["entrants"].items():
        if "times" in entry:
            times[name] = entry["seconds"] = statistics.median(entry["times"])
            entry["over_limit"] = entry["seconds"] / limits[by]
    able = [peer for peer in peers.PEERS if peer in times]
    if able and "xent" in times:
        best = min(able, key=lambda peer: times[peer])
        cell |= {"best_peer": best, "best_peer_over_xent": times[best] / times["xent"]}


def add_memory(cells: list[dict[str, Any]], scale: float) -> None:
    """Add `limits.extra_memory` to all but 'read', two processes at a time: nothing is timed any more."""

    def one(cell: dict[str, Any], name: str) -> None:
        entry = cell["entrants"][name]
        command = [sys.executable, "-m", "benchmarks.passes", "--scale", str(scale), "--memory"]
        command += [cell["name"], name, entry["way"]]
        done = subprocess.run(command, capture_output=True, text=True, cwd=machine.HOUSE)
        if done.returncode:
            entry["failed"]["memory"] = done.stderr.strip().splitlines()[-1][:200]
        else:
            entry |= json.loads(done.stdout.splitlines()[-1]) or {}

    with ThreadPoolExecutor(2) as pool:
        jobs = [
            pool.submit(one, cell, name)
            for cell in cells
            for name, entry in cell["entrants"].items()
            if name != "read" and "way" in entry
        ]
        for job in jobs:
            job.result()


def show(report: dict[str, Any]) -> None:
    """Tables of ratios, errors and memory, then where xent is behind, then what took no part."""
    from rich.console import Console
    from rich.table import Table

    console = Console(width=130)
    cells = report["cells"]

    def table(
        title: str, names: list[str], figure: Callable[[dict[str, Any]], str], more: bool = False
    ) -> None:
        out = Table(title=title)
        out.add_column("")
        for name in [*names, *(["limited by", "best peer / xent"] if more else [])]:
            out.add_column(name, justify="right")
        for cell in cells:
            values = [figure(cell["entrants"][name]) for name in names]
            if more:
                ratio = cell.get("best_peer_over_xent")
                values += [cell["limited_by"], "–" if ratio is None else f"{ratio:.2f} ×"]
            out.add_row(picture.label(cell), *values)
        console.print(out)

    def over(entry: dict[str, Any]) -> str:
        return f"{entry['over_limit']:.1f} ×" if "over_limit" in entry else "–"

    def mebibytes(entry: dict[str, Any]) -> str:
        if "extra_bytes" not in entry:
            return "–"
        kept = entry.get("kept_bytes", 0) / 2**20
        return f"{entry['extra_bytes'] / 2**20:.1f}" + (f" + {kept:.0f}" if kept > 1 else "")

    def error(entry: dict[str, Any]) -> str:
        return f"{entry['grad_error']:.0e} / {entry['loss_error']:.0e}" if "grad_error" in entry else "–"

    computing = ["xent", *peers.PEERS]
    table("time of one pass / the machine's limit", [*computing, "read"], over, more=True)
    table("extra memory at the peak of one pass (+ kept for ever after the first), MiB", computing, mebibytes)
    table("relative error of gradient / loss", computing, error)
    console.print(prediction_table(cells))
    for line in behind(cells) + remarks(cells):
        console.print(line, highlight=False, markup=False)


def prediction_table(cells: list[dict[str, Any]]) -> Any:
    """scikit-learn's time over xent's, and xent's."""
    from rich.table import Table

    out = Table(title="prediction: scikit-learn's time / xent's (xent's, ms)")
    for name in ("", "rows", *prediction.METHODS):
        out.add_column(name, justify="right")
    for cell in cells:
        counts = sorted({entry["n"] for entry in cell["prediction"]})
        for n in counts:
            of = {entry["method"]: entry for entry in cell["prediction"] if entry["n"] == n}
            figures = []
            for method in prediction.METHODS:
                own, peer = of[method]["xent"], of[method]["scikit-learn"]
                ratio = "–" if peer is None else f"{peer / own:.2f} ×"
                figures.append(f"{ratio} ({1e3 * own:.3g})")
            out.add_row(picture.label(cell), str(n), *figures)
    return out


def behind(cells: list[dict[str, Any]]) -> list[str]:
    """Where a peer beats xent: more than 5 % in time, 1 MiB in memory, or twice in error."""
    measures: dict[str, tuple[str, float, float]] = {
        "slower": ("seconds", 1.05, 0.0),
        "uses more memory": ("extra_bytes", 1.0, 2.0**20),
        "has a larger error in the gradient": ("grad_error", 2.0, 0.0),
        "has a larger error in the loss": ("loss_error", 2.0, 0.0),
    }
    lines = []
    for words, (key, factor, margin) in measures.items():
        for cell in cells:
            own = cell["entrants"]["xent"].get(key)
            others = {peer: cell["entrants"][peer].get(key) for peer in peers.PEERS}
            known = {peer: value for peer, value in others.items() if value is not None}
            if own is None or not known:
                continue
            best = min(known, key=lambda peer: known[peer])
            if own > factor * known[best] + margin:
                lines.append(f"xent {words} than {best}: {picture.label(cell)}")
    return lines


def remarks(cells: list[dict[str, Any]]) -> list[str]:
    """Which way an entrant went where it had several, and what was not supported or failed, and why."""
    lines = []
    for cell in cells:
        for name, entry in cell["entrants"].items():
            if "unsupported" in entry:
                lines.append(f"no {name}: {picture.label(cell)}: {entry['unsupported']}")
            if name != "read" and len(entry.get("tried", ())) > 1:
                lines.append(f"{name} by {entry['way']}: {picture.label(cell)}")
            for way, why in entry.get("failed", {}).items():
                lines.append(f"no {name} by {way}: {picture.label(cell)}: {why}")
    return lines


def progress(what: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {what}", file=sys.stderr, flush=True)


def main() -> None:
    """Measure, print, write the report and the picture."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", default="", metavar="TEXT", help="only cells whose name contains this")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--scale", type=float, default=1.0, help="of the numbers of rows, for a smoke test")
    parser.add_argument("--json", type=Path, default=Path("build/bench/passes.json"), metavar="PATH")
    parser.add_argument("--plot", type=Path, metavar="PATH", help="writes PATH as .svg and as .png")
    parser.add_argument(
        "--memory", nargs=3, metavar=("CELL", "ENTRANT", "WAY"), help="what each process runs"
    )
    args = parser.parse_args()
    warnings.filterwarnings("ignore", message="Sparse (CSR tensor|invariant)")
    os.environ.setdefault("TORCHINDUCTOR_COMPILE_THREADS", "1")  # no pool of compiling processes beside us
    if args.memory:
        name, entrant, way = args.memory
        cell = next(cell for cell in problems.CELLS if cell.name == name)
        print(json.dumps(limits.extra_memory(cell, entrant, way, rows(cell, args.scale))))
        return
    chosen = [cell for cell in problems.CELLS if args.only in cell.name]
    if not chosen:
        parser.error(f"no cell's name contains {args.only!r}; they are {[c.name for c in problems.CELLS]}")
    report: dict[str, Any] = {
        "machine": machine.describe(),
        "rounds": args.rounds,
        "scale": args.scale,
        "peaks": {},
        "cells": [],
    }
    rough = args.scale < 1
    progress("peaks")
    limits.peaks(report["peaks"], rough)
    for cell in chosen:
        progress(cell.name)
        report["cells"].append(measure(cell, args.scale, args.rounds))
    progress("peaks again")
    limits.peaks(report["peaks"], rough)
    for result in report["cells"]:
        judge(result, report["peaks"])
    progress("memory")
    add_memory(report["cells"], args.scale)
    args.json.parent.mkdir(parents=True, exist_ok=True)
    temporary = args.json.with_suffix(".tmp")
    temporary.write_text(json.dumps(report, indent=1) + "\n")
    os.replace(temporary, args.json)
    show(report)
    if args.plot:
        picture.draw(report, args.plot)


if __name__ == "__main__":
    main()
