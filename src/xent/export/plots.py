"""Pictures. matplotlib loads inside: xent works without it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

import numpy as np
from scipy import sparse

from .._extras import needs
from .._types import Array, Float, Index, Matrix

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_MOST_LINES = 200
_MOST_CLASSES, _MOST_FEATURES = 18, 10  # in the legend; the others are grey
_GREY = "0.75"
Colour: TypeAlias = tuple[float, float, float, float]  # red, green, blue, alpha, in [0, 1]


class Path(Protocol):
    """What is drawn of a `SoftmaxPath`."""

    @property
    def Cs(self) -> Float: ...
    @property
    def l1_ratio(self) -> float: ...
    @property
    def classes_(self) -> Array: ...
    @property
    def coefs(self) -> Sequence[Matrix]: ...
    @property
    def feature_names_in_(self) -> Array | None: ...


def draw_path(path: Path, ax: Axes | None, validation: Float | None) -> Axes:
    """Draw `SoftmaxPath.plot`: coefficients against log₁₀ C, below them the validation loss (m,) if any."""
    try:
        import matplotlib.pyplot as plt
        from mpl_toolkits.axes_grid1 import make_axes_locatable
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(needs("plot", "matplotlib", "plot"), name=error.name) from None
    if ax is None:
        _, ax = plt.subplots(figsize=(7.5, 6.5 if validation is not None else 4.8))
    order = np.argsort(path.Cs, kind="stable")
    x = _places(path.Cs[order])
    _draw_coefficients(path, ax, order, x)
    bottom = ax
    if validation is not None:
        bottom = make_axes_locatable(ax).append_axes("bottom", size="45%", pad=0.12, sharex=ax)
        ax.tick_params(labelbottom=False)
        _draw_loss(bottom, ax, path.Cs[order], x, validation[order])
    if path.l1_ratio > 0:
        _draw_counts(path, ax, order, x)
    _draw_ticks(bottom, path.Cs[order], x)
    bottom.set_xlabel("C  (the weaker the penalty, the further right)")
    return ax


def _places(Cs: Float) -> Float:
    """log₁₀ C; an infinite C lies a decade beyond the others."""
    finite = np.log10(Cs[np.isfinite(Cs)])
    return np.where(np.isfinite(Cs), np.log10(Cs), np.ceil(finite.max(initial=-1.0)) + 1)


def _draw_coefficients(path: Path, ax: Axes, order: Index, x: Float) -> None:
    """Draw a line per coefficient, the largest ones if there are many, and the legend."""
    coefs = [path.coefs[i] for i in order]
    (K, d), m = coefs[0].shape, len(coefs)
    largest = np.max([np.abs(_dense(coef)) for coef in coefs], axis=0)
    chosen = np.argsort(largest, axis=None)[::-1][:_MOST_LINES]
    chosen = chosen[largest.ravel()[chosen] > 0]
    lines = np.array([_dense(coef).ravel()[chosen] for coef in coefs]).reshape(m, -1)
    rows, columns = np.divmod(chosen, d)
    # Colours tell classes apart; with two classes, which share their one row, features.
    groups = rows if K > 1 else columns
    named = list(dict.fromkeys(groups.tolist()))[: _MOST_CLASSES if K > 1 else _MOST_FEATURES]
    named = sorted(named) if K > 1 else named
    colours = dict(zip(named, _colours(len(named)), strict=True))
    many = len(chosen) > 30
    for j in range(len(chosen))[::-1]:  # the largest on top
        ax.plot(
            x,
            lines[:, j],
            color=colours.get(int(groups[j]), _GREY),
            linewidth=1.0 if many else 1.5,
            alpha=0.65 if many else 0.9,
            zorder=2 if int(groups[j]) in colours else 1.5,
            marker="o" if m == 1 else None,
        )
    ax.axhline(0, color="0.4", linewidth=0.8, zorder=1)
    ax.grid(axis="y", color="0.92", linewidth=0.8)
    ax.spines[["top", "right"]].set_visible(False)
    ax.set_axisbelow(True)
    ax.set_ylabel("coefficient" if K > 1 else f"coefficient (log-odds of {path.classes_[1]})")
    if len(chosen) == _MOST_LINES < K * d:
        what = f"the {_MOST_LINES} largest of {K * d:,}"
        ax.text(0.01, 0.98, what, transform=ax.transAxes, va="top", fontsize=8, color="0.4")
    _draw_legend(path, ax, named, colours, K, len(set(groups.tolist())))


def _draw_legend(
    path: Path, ax: Axes, named: list[int], colours: dict[int, Colour], K: int, groups: int
) -> None:
    """Name classes, or features of two classes, beside the coefficients."""
    from matplotlib.lines import Line2D

    names = path.classes_ if K > 1 else path.feature_names_in_
    texts = [str(k if names is None else names[k]) for k in named]
    handles = [Line2D([], [], color=colours[k], linewidth=2) for k in named]
    if groups > len(named):
        handles.append(Line2D([], [], color=_GREY, linewidth=2))
        texts.append(f"{groups - len(named)} more")
    texts = [text if len(text) <= 28 else text[:27] + "…" for text in texts]
    if named:
        ax.legend(
            handles,
            texts,
            title="class" if K > 1 else "feature",
            loc="upper left",
            bbox_to_anchor=(1.01, 1.0),
            frameon=False,
            fontsize=8,
            title_fontsize=9,
            alignment="left",
            borderaxespad=0,
        )


def _draw_loss(below: Axes, above: Axes, Cs: Float, x: Float, loss: Float) -> None:
    best = int(np.argmin(loss))
    below.plot(x, loss, color="0.25", linewidth=1.6, marker="o", markersize=3.5)
    below.plot(x[best], loss[best], "o", color="crimson", markersize=7, zorder=3)
    for ax in (above, below):
        ax.axvline(x[best], color="crimson", linewidth=1, linestyle=(0, (4, 3)), alpha=0.7, zorder=1)
    right = x[best] > (x[0] + x[-1]) / 2
    below.annotate(
        f"{loss[best]:.4g} at C = {Cs[best]:.3g}",
        (x[best], loss[best]),
        xytext=(-10 if right else 10, 14),
        textcoords="offset points",
        ha="right" if right else "left",
        color="crimson",
        fontsize=9,
    )
    below.set_ylabel("validation loss (nats)")
    below.margins(y=0.12)
    below.grid(axis="y", color="0.92", linewidth=0.8)
    below.set_axisbelow(True)
    below.spines[["top", "right"]].set_visible(False)


def _draw_counts(path: Path, ax: Axes, order: Index, x: Float) -> None:
    """Above some of the Cs, write how many features have a coefficient that is not 0."""
    counts = [int(np.count_nonzero(_dense(path.coefs[i]).any(axis=0))) for i in order]
    shown = np.unique(np.linspace(0, len(x) - 1, min(len(x), 9)).round().astype(int))
    top = ax.secondary_xaxis("top")
    top.set_xticks(x[shown], [str(counts[i]) for i in shown])
    top.tick_params(length=3, labelsize=8, colors="0.35")
    top.spines["top"].set_visible(False)
    top.set_xlabel(f"features in use, of {path.coefs[0].shape[1]:,}", fontsize=9, color="0.35")


def _draw_ticks(ax: Axes, Cs: Float, x: Float) -> None:
    finite = x[np.isfinite(Cs)]
    span = np.ptp(finite) if len(finite) else 0.0
    low, high = np.ceil(finite.min(initial=0) - 1e-9), np.floor(finite.max(initial=0) + 1e-9)
    if span >= 2:
        ticks = np.arange(low, high + 1, max(1, round(span / 8)))
        texts = [f"$10^{{{int(tick)}}}$" for tick in ticks]
    else:
        ticks = finite[np.unique(np.linspace(0, len(finite) - 1, min(len(finite), 6)).round().astype(int))]
        texts = [f"{10**tick:.3g}" for tick in ticks]
    if len(finite) < len(x):
        ticks, texts = np.append(ticks, x[-1]), [*texts, r"$\infty$"]
    ax.set_xticks(ticks, texts)


def _colours(n: int) -> list[Colour]:
    """Matplotlib's own colours without the greys; up to ten, a dark one takes their place."""
    import matplotlib as mpl

    few, many = ([mpl.colormaps[name](i) for i in range(20)] for name in ("tab10", "tab20"))
    few = few[:10]
    if n <= 10:
        return [*few[:7], *few[8:], (0.15, 0.15, 0.2, 1.0)][:n]
    return [*many[:14:2], *many[16::2], *many[1:14:2], *many[17::2]][:n]


def _dense(coef: Matrix) -> Float:
    """coef_ as a dense array."""
    matrix: Any = coef
    dense: Float = matrix.toarray() if sparse.issparse(matrix) else matrix
    return dense
