"""The Markdown tables of benchmarks/sweeps. Times are ratios; gaps are in nats."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable
from typing import Any

from benchmarks.sweeps.l1 import equal, excess, levels, sagas, seconds, star
from benchmarks.sweeps.l2 import PEERS, TARGET, cv_star, gaps, lowest

ROUNDING = 1e-12  # nats; of two F evaluated in float64
Table = tuple[list[str], list[list[str]]]


def show(report: dict[str, Any]) -> None:
    """Print a table for each part that the report has."""
    for part, (title, table) in TABLES.items():
        if cells := report["parts"].get(part):
            print(f"\n{title}\n\n{markdown(*table(cells))}")


def markdown(head: list[str], rows: list[list[str]]) -> str:
    """A table: names to the left, figures to the right."""
    rule = ["---", *(["---:"] * (len(head) - 1))]
    return "\n".join("| " + " | ".join(row) + " |" for row in [head, rule, *rows])


def ratio(value: float | None, bound: str = "") -> str:
    """Three digits, after '> ' or '< ' where it is but a bound."""
    return "–" if value is None or not math.isfinite(value) else f"{bound}{value:.3g}"


def nats(value: float | None) -> str:
    """Two digits; 0 for what rounding makes."""
    if value is None or not math.isfinite(value):
        return "–"
    return "0" if abs(value) < ROUNDING else f"{value:.1e}"


def ridge(cells: list[dict[str, Any]]) -> Table:
    """Time over one fit's; the worst gap; on how many values within TARGET; the worst certificate."""
    head = ["ridge", "time / one fit", "rounds", "within 1e-6 nats", "worst gap", "certificates", "/ path"]
    (cell,) = cells
    best = ridge_star(cell)
    fit, path = median(cell.get("fit")), median(cell.get("path"))
    rows = []
    if "F" in cell.get("path", {}):
        found = gaps(cell["path"]["F"], best)
        there = sum(gap <= TARGET for gap in found)
        spread = _spread(cell["path"], cell.get("fit"))
        held = certified(cell["path"]["said"]["suboptimality"], found)
        figures = [ratio(divided(path, fit)), spread, f"{there} of {len(found)}", nats(max(found)), held, "1"]
        rows.append(["**xent** `softmax_path`", *figures])
    for name in PEERS:
        fits = cell.get("peers", {}).get(name, [])
        found = [gaps([one.get("F")], [value])[0] for one, value in zip(fits, best, strict=False)]
        there = sum(gap <= TARGET for gap in found)
        bound = "> " if any("skipped" in one or "killed" in one for one in fits) else ""
        took = sum(one.get("killed", 0) + one.get("seconds", 0) for one in fits)
        worst = max((gap for gap in found if math.isfinite(gap)), default=None)
        figures = [ratio(divided(took, fit), bound), "–", f"{there} of {len(fits)}", nats(worst), "none"]
        rows.append([f"scikit-learn {name}", *figures, ratio(divided(took, path), bound)])
    return head, rows


def ridge_star(cell: dict[str, Any]) -> list[float]:
    """F* of each value."""
    peers = [[fit.get("F") for fit in fits] for fits in cell.get("peers", {}).values()]
    own = cell.get("path", {}).get("F", [])
    return lowest([cell["references"].get("path", []), cell["references"]["fits"], own, *peers])


def certified(bounds: list[float | None], found: list[float]) -> str:
    """The largest certificate, and whether each is at least the gap that was found."""
    reached = [math.inf if bound is None else bound for bound in bounds]
    broken = sum(gap > bound + ROUNDING for gap, bound in zip(found, reached, strict=True))
    return f"≤ {max(reached):.1e}" + (f", **{broken} broken**" if broken else ", all hold")


def cv(cells: list[dict[str, Any]]) -> Table:
    """Time over one fit's; the worst gap of the models of folds; the C chosen."""
    head = ["cv", "time / one fit", "rounds", "worst gap of 50", "C chosen", "/ xent"]
    (cell,) = cells
    best, fit, own = cv_star(cell), median(cell.get("fit")), median(cell.get("cv"))
    rows = []
    if own is not None:
        spread = _spread(cell["cv"], cell.get("fit"))
        worst = nats(max(gaps(cell["cv"]["F"], best)))
        chosen = f"{cell['cv']['said']['C']:.3g}"
        rows.append(["**xent** `SoftmaxRegressionCV`", ratio(divided(own, fit)), spread, worst, chosen, "1"])
    for name, peer in cell["peers"].items():
        bound = "> " if "killed" in peer else ""
        took = peer.get("seconds", peer.get("killed"))
        worst = nats(max(gaps(peer["F"], best))) if "F" in peer else "–"
        chosen = f"{peer['said']['C']:.3g}" if "said" in peer else "–"
        figures = [ratio(divided(took, fit), bound), "–", worst, chosen, ratio(divided(took, own), bound)]
        rows.append([f"scikit-learn `LogisticRegressionCV`, {name}", *figures])
    return head, rows


def sparse(cells: list[dict[str, Any]]) -> Table:
    """A row a fit and saga: time of saga over xent's at each level, how far each ends, KKT conditions."""
    head = ["sparse", "C / C₀", "peer", "F* + 1e-3", "F* + 1e-6", "F* + 1e-9", "at its best", "its best − F*"]
    head += ["xent's best − F*", "KKT / (λ r): it", "xent", "nonzero: it", "xent"]
    rows = []
    for cell in (cell for cell in cells if cell.get("xent")):
        for name in sagas(cell):
            row = [f"{cell['problem']}, r = {cell['l1_ratio']:g}", f"{cell['multiple']:g}", name]
            trace = [rung for rung in cell.get(name, []) if rung.get("F") is not None]
            row += [_over(level, trace) for level in levels(cell, name)] or ["–"] * 4
            # How well each of them did at its best.
            ends = [_lowest(trace), _lowest(cell["xent"])]
            row += [nats(end and end["F"] - star(cell)) for end in ends]
            row[-2] += "" if not trace or finished(trace[-1]) else " at the limit"
            row += [nats(end and end["kkt"]) for end in ends]
            rows.append(row + [str(end["nonzero"]) if end else "–" for end in ends])
    return head, rows


def _lowest(rungs: list[dict[str, Any]]) -> dict[str, Any] | None:
    """The rung of the lowest F."""
    return min((rung for rung in rungs if rung.get("F") is not None), key=lambda r: r["F"], default=None)


def finished(rung: dict[str, Any]) -> bool:
    """Whether saga stopped by itself."""
    return bool(rung["said"]["n_iter"] < rung["max_iter"])


def _over(level: dict[str, Any], trace: list[dict[str, Any]]) -> str:
    """saga's time over xent's, a lower bound where saga did not get there."""
    ours, theirs = level["xent"], level["peer"]
    if ours is None:
        return "not xent"
    if theirs is None:
        return ratio(max(seconds(rung) for rung in trace) / seconds(ours), "> ")
    return ratio(seconds(theirs) / seconds(ours))


def glmnet(cells: list[dict[str, Any]]) -> Table:
    """A row a run of glmnet: its time over xent's at a tolerance as accurate; the worst value of each."""
    head = ["path", "thresh", "values", "glmnet / xent", "worst gap: glmnet", "xent", "at tol"]
    head += ["KKT / (λ r): glmnet", "xent", "worst xent − glmnet"]
    rows = []
    for cell in (cell for cell in cells if cell.get("xent")):
        kind = f"r = {cell['l1_ratio']:g}" + (", grouped" if cell["grouped"] else "")
        for run in cell["glmnet"]:
            rung = equal(cell, run)
            took = run.get("killed") if "seconds" not in run else seconds(run)
            over = divided(took, None if rung is None else seconds(rung))
            row = [f"{cell['problem']}, {kind}", f"{run['thresh']:g}", str(len(cell["lambdas"]))]
            if "error" in run:
                row.append("error")
            elif rung is None and "killed" in cell["xent"][-1]:
                row.append("both > limit" if "killed" in run else "xent > limit")
            else:
                row.append(ratio(over, "> " if "killed" in run else ""))
            row.append(nats(excess(cell, run)) if "F" in run else "–")
            row += ["–", "–"] if rung is None else [nats(excess(cell, rung)), f"{rung['tol']:g}"]
            row += [nats(max(entry["kkt"])) if entry and "kkt" in entry else "–" for entry in (run, rung)]
            rows.append([*row, nats(_worst(rung, run))])
    return head, rows


def _worst(rung: dict[str, Any] | None, run: dict[str, Any]) -> float | None:
    """The largest F of xent minus F of glmnet over the values of a path."""
    if rung is None or "F" not in run or None in (*rung["F"], *run["F"]):
        return None
    return max(ours - theirs for ours, theirs in zip(rung["F"], run["F"], strict=False))


def median(entry: dict[str, Any] | None) -> float | None:
    """Of an entry's times."""
    return statistics.median(entry["times"]) if entry and entry["times"] else None


def divided(value: float | None, by: float | None) -> float | None:
    """None where either is."""
    return None if value is None or by is None else value / by


def _spread(entry: dict[str, Any], by: dict[str, Any] | None) -> str:
    """The lowest and the highest ratio of a round."""
    each = [a / b for a, b in zip(entry["times"], (by or {"times": []})["times"], strict=False)]
    return f"{min(each):.3g} to {max(each):.3g}" if each else "–"


TABLES: dict[str, tuple[str, Callable[[list[dict[str, Any]]], Table]]] = {
    "ridge": ("45 values of C = 1e-6 … 1e5", ridge),
    "cv": ("Five folds, ten values of C", cv),
    "sparse": ("L1 and elastic net: saga's time over xent's, C₀ the C up to which all is 0", sparse),
    "glmnet": ("Paths of 100 values against glmnet", glmnet),
}
