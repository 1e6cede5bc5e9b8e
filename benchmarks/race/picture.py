"""The picture of benchmarks/race: how far above F* each entrant ends after what time."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

FLOOR = 1e-12  # nats; what is closer to F* is drawn here
# Okabe and Ito's colours, told apart by the shape of the marker as well.
MARKS = {
    "lbfgs": ("s", "#E69F00"),
    "newton-cg": ("P", "#0072B2"),
    "newton-cholesky": ("X", "#009E73"),
    "saga": ("v", "#999999"),
    "sklearnex": ("h", "#D55E00"),
    "cyanure": ("D", "#CC79A7"),
    "cyanure qning-svrg": ("d", "#CC79A7"),
    "PyTorch": ("^", "#56B4E9"),
    "adelie": ("<", "#F0E442"),
    "MNLogit": ("*", "#E69F00"),
    "xent": ("o", "#000000"),
}


def points(entry: dict[str, Any]) -> list[tuple[float, float]]:
    """(seconds, gap) of each rung of the search that ended."""
    return [(rung["seconds"], max(rung["gap"], FLOOR)) for rung in entry["rungs"] if "gap" in rung]


def draw(report: dict[str, Any], path: Path) -> None:
    """Write the picture next to `path` as .svg and as .png."""
    import matplotlib

    matplotlib.use("agg")
    matplotlib.rcParams.update({"svg.hashsalt": "xent", "svg.fonttype": "none", "font.size": 8})
    from matplotlib import pyplot

    cells = report["problems"]
    columns = min(len(cells), 4)
    rows = math.ceil(len(cells) / columns)
    size = (max(2.6 * columns, 7), 1.3 + 2.1 * rows)
    figure, grid = pyplot.subplots(rows, columns, figsize=size, layout="constrained", squeeze=False)
    drawn: dict[str, Any] = {}
    for axes, cell in zip(grid.flat, cells, strict=False):
        drawn |= _panel(axes, cell, report["target"])
    for axes in grid.flat[len(cells) :]:
        axes.set_visible(False)
    figure.supxlabel("seconds of one fit, log scale")
    figure.supylabel("nats above F*, log scale")
    named = {name: drawn[name] for name in ["xent", *MARKS] if name in drawn}
    figure.legend(named.values(), named.keys(), loc="outside upper center", ncols=5, frameon=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path.with_suffix(".svg"), metadata={"Date": None})
    figure.savefig(path.with_suffix(".png"), dpi=150)
    pyplot.close(figure)


def _panel(axes: Any, cell: dict[str, Any], target: float) -> dict[str, Any]:
    """One line an entrant, from its loosest tolerance down; dotted to where the time limit ended it."""
    drawn = {}
    for name, (marker, colour) in MARKS.items():
        entry = cell["entrants"].get(name, {"rungs": []})
        if found := points(entry):
            x, y = zip(*found, strict=True)
            style = {"color": colour, "linewidth": 1, "zorder": 4 if name == "xent" else 3}
            dashes = "--" if name == "cyanure qning-svrg" else "-"
            (drawn[name],) = axes.plot(x, y, dashes, marker=marker, markersize=4, **style)
            if (killed := entry["rungs"][-1].get("killed")) is not None:
                axes.plot([x[-1], max(killed, x[-1])], [y[-1]] * 2, ":", color=colour, linewidth=1)
    axes.axhline(target, color="#000000", linewidth=0.6, zorder=1)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_ylim(FLOOR / 3, 10)
    axes.set_yticks([1, 1e-3, 1e-6, 1e-9, 1e-12])
    axes.minorticks_off()
    axes.set_title(f"{cell['name']}, {cell['n']} × {cell['d']}, K = {cell['K']}", fontsize=8)
    axes.spines[["top", "right"]].set_visible(False)
    return drawn
