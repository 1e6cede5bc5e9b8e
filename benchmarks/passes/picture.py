"""The picture of benchmarks/passes: for every shape, each entrant's time over the machine's limit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

# Okabe and Ito's colours, told apart by the shape of the marker as well.
MARKS = {
    "read": ("|", "#999999"),
    "scikit-learn": ("s", "#E69F00"),
    "PyTorch": ("^", "#56B4E9"),
    "PyTorch compiled": ("D", "#CC79A7"),
    "xent": ("o", "#000000"),
}


def label(cell: dict[str, Any]) -> str:
    """The shape as people write it: '60000 × 784, K = 10, float32'."""
    layout = {"C": "", "F": ", F-ordered"}.get(cell["layout"], f", {cell['layout']}")
    return f"{cell['n']} × {cell['d']}, K = {cell['K']}, {cell['dtype']}{layout}"


def draw(report: dict[str, Any], path: Path) -> None:
    """Write the picture next to `path` as .svg and as .png."""
    import matplotlib

    matplotlib.use("agg")
    matplotlib.rcParams.update({"svg.hashsalt": "xent", "svg.fonttype": "none"})
    from matplotlib import pyplot

    cells = report["cells"][::-1]
    figure, axes = pyplot.subplots(figsize=(8, 1.3 + 0.28 * len(cells)), layout="constrained")
    for row, cell in enumerate(cells):
        over = [entry["over_limit"] for entry in cell["entrants"].values() if "over_limit" in entry]
        axes.plot([min(over), max(over)], [row, row], color="#DDDDDD", linewidth=1, zorder=1)
    for name, (marker, colour) in MARKS.items():
        points = [
            (cell["entrants"][name]["over_limit"], row)
            for row, cell in enumerate(cells)
            if "over_limit" in cell["entrants"].get(name, {})
        ]
        if points:
            size = 90 if marker == "|" else 34
            x, y = zip(*points, strict=True)
            axes.scatter(x, y, s=size, c=colour, marker=marker, label=name, zorder=3)
    axes.axvline(1, color="#000000", linewidth=0.8, zorder=2)
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter("{x:g}")
    axes.set_yticks(range(len(cells)), [label(cell) for cell in cells])
    axes.set_ylim(-0.7, len(cells) - 0.3)
    axes.set_xlabel("time of one loss and gradient / the machine's limit, log scale")
    axes.tick_params(axis="y", length=0)
    axes.spines[["top", "right", "left"]].set_visible(False)
    figure.legend(*axes.get_legend_handles_labels(), loc="outside upper center", ncols=5, frameon=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path.with_suffix(".svg"), metadata={"Date": None})
    figure.savefig(path.with_suffix(".png"), dpi=150)
    pyplot.close(figure)
