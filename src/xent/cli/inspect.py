"""The command `xent inspect`, and what opens a model file for the commands."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from cyclopts import Parameter
from rich.table import Table as Grid
from rich.text import Text

from .grids import columns_grid, figures_grid, listed, strength_grid
from .terminal import clear_errors, out, plain

if TYPE_CHECKING:
    from ..tables.columns import Column

_FIGURES: dict[str, type | tuple[type, ...]] = {
    "data": str,
    "target": str,
    "columns": (list, dict),
    "rows": int,
    "features": int,
    "classes": int,
    "C": float,
    "objective": float,
    "suboptimality": float,
    "passes": int,
    "solver": str,
}


def inspect(model: Path, *, coefficients: Annotated[bool, Parameter(negative=())] = False) -> None:
    """Show what a model file holds: data, columns and their kinds, classes and the fit's figures.

    Parameters
    ----------
    model
        A file written by `xent fit -o`.
    coefficients
        Show every coefficient, as fitted and per unit of its column.
    """
    with clear_errors():
        fitted, figures = opened(model)
        out.print(columns_grid(columns_of(figures)))
        grid = figures_grid(figures)
        grid.add_row("class labels", Text(plain(listed(fitted.classes_))))
        out.print(grid)
        if "errors" in figures.get("cv", {}):
            out.print(strength_grid(figures["cv"]))
        if coefficients:
            out.print(_coefficients(fitted))


def opened(path: Path) -> tuple[Any, dict[str, Any]]:
    """The model and the figures of a file of `xent fit`. Raises ModelFileError where figures are missing."""
    from ..export import model_file

    model, figures = model_file.load(path)
    for name, kind in _FIGURES.items():
        if not isinstance(figures.get(name), kind):
            raise model_file.ModelFileError(f"{path}: damaged: its figures do not say {name!r}")
    try:
        columns_of(figures)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise model_file.ModelFileError(f"{path}: damaged: its columns cannot be understood") from error
    return model, figures


def columns_of(figures: dict[str, Any]) -> list[Column]:
    """The columns of the fitted table; a file from before columns were described names kinds alone."""
    from ..tables.columns import Column

    columns = figures["columns"]
    if isinstance(columns, dict):
        return [Column(str(name), str(kind), n_values=figures["rows"]) for name, kind in columns.items()]
    return [Column.from_dict(fields) for fields in columns]


def parts_of(fitted: Any) -> tuple[Any, Any]:
    """The preparation, and the classifier behind it; None and the classifier where that is all there is."""
    return tuple(fitted) if hasattr(fitted, "steps") else (None, fitted)


def _coefficients(fitted: Any) -> Grid:
    """The coefficients of each feature and class, as fitted and per unit of the column."""
    grid = Grid(box=None, pad_edge=False, header_style="bold")
    grid.add_column("feature")
    classes = fitted.classes_[1:] if len(fitted.classes_) == 2 else fitted.classes_
    for label in classes:
        grid.add_column(plain(label), justify="right")
        grid.add_column("per unit", justify="right")
    names, as_fitted, per_unit = _in_units(fitted)
    for j, name in enumerate(names):
        cells = [f"{w[j]:.6g}" for pair in zip(as_fitted, per_unit, strict=True) for w in pair]
        grid.add_row(Text(plain(name)), *cells)
    return grid


def _in_units(fitted: Any) -> tuple[list[str], Any, Any]:
    """Names; coefficients with the intercept last, as fitted and in the columns' own units."""
    from ..tables.preparing import in_units

    prepare, classifier = parts_of(fitted)
    W, b = classifier.coef_, classifier.intercept_
    if prepare is None:
        names, V, c = [f"feature {j + 1}" for j in range(W.shape[1])], W, b
    else:
        names, V, c = in_units(prepare, W, b)
    return [*names, "intercept"], np.column_stack([W, b]), np.column_stack([V, c])
