"""The tables of benchmarks/race, and what they are computed from."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable
from functools import partial
from typing import Any

from benchmarks.race.entrants import ENTRANTS, OWN, PEERS

SECONDS = 0.02  # below that, imports and dispatch are most of a fit
NOWHERE = ("xent did not get there", "no peer got there")

Ratio = tuple[float, bool] | None  # a peer's time over xent's, and whether it is exact or a lower bound


def judge(cell: dict[str, Any], target: float) -> None:
    """Set F*, every rung's gap, and each entrant's loosest rung within `target` nats as "chosen".

    After the timing also "seconds" per entrant and its ratio to xent's, "over_xent".
    """
    entrants = cell["entrants"]
    rungs = [rung for entry in entrants.values() for rung in entry["rungs"]] + cell["references"]
    values = [rung["F"] for rung in rungs if rung.get("F") is not None]
    if not values:
        return
    cell["best"] = min(values)
    for rung in rungs:
        if rung.get("F") is not None:
            rung["gap"] = rung["F"] - cell["best"]
    for entry in entrants.values():
        there = [rung for rung in entry["rungs"] if rung.get("gap", math.inf) <= target]
        old = entry.pop("chosen", None)
        if there:
            entry["chosen"] = there[0]
        if old is not None and (not there or there[0]["tol"] != old["tol"]):
            entry.pop("times", None)
            entry.pop("seconds", None)
        if entry.get("times") and there:
            entry["seconds"] = statistics.median(entry["times"])
    own = entrants.get("xent", {}).get("seconds")
    for entry in entrants.values():
        entry.pop("over_xent", None)
        if own is not None and "seconds" in entry:
            entry["over_xent"] = entry["seconds"] / own


def at_least(entry: dict[str, Any]) -> float | None:
    """Seconds after which an entrant that did not get there had not got there yet."""
    times = [rung.get("killed", rung.get("seconds")) for rung in entry["rungs"]]
    return max((took for took in times if took is not None), default=None)


def best_peer(cell: dict[str, Any]) -> str | None:
    """The fastest peer that got there."""
    able = [name for name in PEERS if "seconds" in cell["entrants"].get(name, {})]
    return min(able, key=lambda name: cell["entrants"][name]["seconds"]) if able else None


def ratio_to_xent(cell: dict[str, Any], name: str | None, own: str = "xent") -> Ratio:
    """Time of `name` over that of `own`; where `name` did not get there, a lower bound."""
    ours = cell["entrants"].get(own, {}).get("seconds")
    entry = cell["entrants"].get(name or "")
    if ours is None or entry is None:
        return None
    took = entry.get("seconds", at_least(entry))
    return None if took is None else (took / ours, "seconds" in entry)


def unreached(cell: dict[str, Any]) -> float | None:
    """Where no peer got there: the seconds in which none had.

    The least over those stopped by a limit, since the others end by themselves and never get there; over all
    of them where no limit stopped any.
    """
    entries = [entry for name in PEERS if (entry := cell["entrants"].get(name, {})).get("rungs")]
    stopped = [entry for entry in entries if "killed" in entry["rungs"][-1]]
    times = [took for entry in stopped or entries if (took := at_least(entry)) is not None]
    return min(times, default=None)


def best_over(cell: dict[str, Any], own: str = "xent") -> Ratio:
    """The best peer's time over that of `own`, or a lower bound of it."""
    if (best := best_peer(cell)) is not None:
        return ratio_to_xent(cell, best, own)
    ours, took = cell["entrants"].get(own, {}).get("seconds"), unreached(cell)
    return None if ours is None or took is None else (took / ours, False)


def counts(cell: dict[str, Any]) -> bool:
    """Whether xent or the best peer takes more than 20 ms."""
    names = [name for name in ("xent", best_peer(cell)) if name]
    return any(cell["entrants"].get(name, {}).get("seconds", 0) > SECONDS for name in names)


def over(cells: list[dict[str, Any]], ratio: Callable[[dict[str, Any]], Ratio]) -> dict[str, Any]:
    """Geometric mean and worst of these ratios, how many are bounds, and where they are below 1."""
    found = {cell["name"]: value for cell in cells if (value := ratio(cell)) is not None}
    if not found:
        return {"problems": 0}
    worst = min(found, key=lambda name: found[name][0])
    return {
        "problems": len(found),
        "lower_bounds": sum(not exact for _, exact in found.values()),
        "geometric_mean": math.exp(statistics.fmean(math.log(value) for value, _ in found.values())),
        "worst": found[worst][0],
        "worst_is_bound": not found[worst][1],
        "worst_problem": worst,
        "below_1": [name for name, (value, exact) in found.items() if exact and value < 1],
    }


def summary(cells: list[dict[str, Any]]) -> dict[str, Any]:
    """Peers' time over xent's, at its loosest tolerance and at its default; where each got there."""
    longer = [cell for cell in cells if counts(cell)]
    names = [name for name in ENTRANTS if any(name in cell["entrants"] for cell in cells)]
    found: dict[str, Any] = {}
    for which, some in (("all problems", cells), ("over 20 ms", longer)):
        for own in OWN:
            found[f"best peer / {own}, {which}"] = over(some, partial(best_over, own=own))
        found[f"lbfgs / xent, {which}"] = over(some, partial(ratio_to_xent, name="lbfgs"))
    raced = [cell for cell in cells if "xent" in cell["entrants"]]
    return found | {
        "got there": {
            name: sum("chosen" in cell["entrants"].get(name, {}) for cell in cells) for name in names
        },
        "xent did not get there": [c["name"] for c in raced if "chosen" not in c["entrants"]["xent"]],
        "no peer got there": [cell["name"] for cell in cells if best_peer(cell) is None],
    }


def label(cell: dict[str, Any]) -> str:
    """'scales, 5000 × 100, K = 10', starred where neither xent nor the best peer takes over 20 ms."""
    return f"{cell['name']}, {cell['n']} × {cell['d']}, K = {cell['K']}" + ("" if counts(cell) else " *")


def time_of(entry: dict[str, Any] | None, cell: dict[str, Any]) -> str:
    """Ratio to xent's time, or how far above F* it ended, or the time limit in those ratios."""
    if entry is None or not entry["rungs"]:
        return "–"
    if "over_xent" in entry:
        return f"{entry['over_xent']:.2f}" if entry["over_xent"] < 10 else f"{entry['over_xent']:.0f}"
    if "killed" in entry["rungs"][-1]:
        own = cell["entrants"].get("xent", {}).get("seconds")
        return "> limit" if own is None else f"> {(at_least(entry) or 0) / own:.0f}"
    gaps = [rung["gap"] for rung in entry["rungs"] if "gap" in rung]
    if "chosen" in entry:
        return "there"
    return f"ends {min(gaps):.0e}" if gaps else "fails"


def best_of(cell: dict[str, Any], own: str) -> str:
    """'1.83 PyTorch'; where no peer got there '> 27'."""
    if (ratio := best_over(cell, own)) is None:
        return "–"
    return f"{ratio[0]:.2f} {best_peer(cell)}" if ratio[1] else f"> {ratio[0]:.2g}"


def memory_of(entry: dict[str, Any] | None) -> str:
    """MiB at the peak; in brackets that of the last fit of an entrant that did not get there."""
    if entry is None:
        return "–"
    if entry.get("extra_bytes") is not None:
        return f"{entry['extra_bytes'] / 2**20:.1f}"
    last = entry["rungs"][-1].get("extra_bytes") if entry["rungs"] else None
    return "–" if last is None else f"({last / 2**20:.0f})"


def show(report: dict[str, Any]) -> None:
    """Times, memory, summary, and why somebody took no part."""
    from rich.console import Console
    from rich.table import Table

    console = Console(width=190)
    cells = report["problems"]
    names = [name for name in ENTRANTS if any(name in cell["entrants"] for cell in cells)]

    def table(title: str, figure: Callable[[dict[str, Any], str], str], more: tuple[str, ...]) -> None:
        out = Table(title=title)
        out.add_column("")
        for name in [*names, *(f"best peer / {own}" for own in more)]:
            out.add_column(name, justify="right")
        for cell in cells:
            row = [figure(cell, name) for name in names] + [best_of(cell, own) for own in more]
            out.add_row(label(cell), *row)
        console.print(out)

    target = f"F* + {report['target']:g} nats"
    table(
        f"time to {target} / xent's (*: under 20 ms)",
        lambda cell, name: time_of(cell["entrants"].get(name), cell),
        OWN,
    )
    table(
        f"memory beyond the data at the peak of that fit, MiB; in brackets: did not reach {target}",
        lambda cell, name: memory_of(cell["entrants"].get(name)),
        (),
    )
    for line in _sentences(report["summary"]) + _remarks(cells):
        console.print(line, highlight=False, markup=False)


def _sentences(found: dict[str, Any]) -> list[str]:
    lines = []
    for what, figures in found.items():
        if isinstance(figures, dict) and "geometric_mean" in figures:
            mean, bounds = figures["geometric_mean"], figures["lower_bounds"]
            more = "> " if figures["worst_is_bound"] else ""
            lines.append(
                f"{what}: {mean:.2f} in geometric mean over {figures['problems']} problems"
                + (f" ({bounds} of them lower bounds)" if bounds else "")
                + f"; worst {more}{figures['worst']:.2f}, {figures['worst_problem']}"
                + f"; below 1: {', '.join(figures['below_1']) or 'none'}"
            )
    there = "; ".join(f"{name} {number}" for name, number in found["got there"].items())
    lines.append(f"got there: {there}")
    return lines + [f"{what}: {', '.join(found[what]) or 'none'}" for what in NOWHERE]


def _remarks(cells: list[dict[str, Any]]) -> list[str]:
    """Each reason why an entrant has no time, once, with the problems."""
    why: dict[tuple[str, str], list[str]] = {}
    for cell in cells:
        for name, entry in cell["entrants"].items():
            if "stopped" in entry and "chosen" not in entry:
                reason = "> limit" if entry["stopped"].startswith("> ") else entry["stopped"]
                why.setdefault((name, reason), []).append(cell["name"])
            if "timing_failed" in entry:
                reason = f"a fit in the timing: {entry['timing_failed']}"
                why.setdefault((name, reason), []).append(cell["name"])
    return [f"{name}: {reason}: {', '.join(which)}" for (name, reason), which in why.items()]
