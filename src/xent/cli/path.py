"""The command `xent path`: a model for each C, how well each does on held-out rows, and the picture."""

from __future__ import annotations

import importlib.util
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from cyclopts import Parameter
from rich.table import Table as Grid

from .._extras import needs
from .._types import Float
from ..export.files import check_writable, replacing
from .options import ColumnOptions, FileOptions, check_split
from .terminal import clear_errors, note, out, plain, say, working

if TYPE_CHECKING:
    from ..path import SoftmaxPath

_PICTURES = (".png", ".svg")
_NO_FILE, _NO_COLUMNS = FileOptions(), ColumnOptions()


def path(
    data: str,
    *,
    target: str | None = None,
    Cs: Annotated[int, Parameter(name="--Cs")] = 30,
    l1_ratio: float = 0.0,
    holdout: float = 0.2,
    seed: int = 0,
    output: Annotated[Path | None, Parameter(name=["--output", "-o"])] = None,
    file: FileOptions = _NO_FILE,
    columns: ColumnOptions = _NO_COLUMNS,
) -> None:
    """Fit a table at every C from strong to weak penalty, and draw how the coefficients grow.

    Parameters
    ----------
    data
        As for `xent fit`.
    target
        The column with the classes; built-in data know theirs.
    Cs
        How many values of C.
    l1_ratio
        Share of the L1 penalty, in [0, 1]; above 0 features come in one after the other.
    holdout
        Share of the rows kept out of the fits to measure them on; 0 fits on all rows.
    seed
        Seed of the split and of text encoding.
    output
        A .png or .svg file for the picture.
    """
    with clear_errors(), working() as stage:
        check_split(holdout, seed)
        columns.check()
        if output is not None:
            _check_picture(output, data)
        stage("loading the libraries")
        import xent

        from ..estimators.parameters import ModelParameters
        from ..path import trace
        from ..tables.preparing import preparation
        from ..tables.targets import split

        stage(f"reading {data}")
        table = columns.load(data, target, file)
        names = table.goal.classes
        X, X_test, y, y_test = split(table.features, table.goal.codes, holdout, seed, names=names)
        losses = None
        with warnings.catch_warnings(record=True) as caught:
            stage("encoding")
            prepare = preparation(table.columns, raw=columns.raw)
            rows = prepare.fit_transform(X)
            model = xent.SoftmaxRegression(l1_ratio=l1_ratio)
            parameters = ModelParameters.of(model, xent.SoftmaxRegression, stacklevel=2, caller="xent path")

            def report(C: float, _: object, done: float) -> None:
                stage(f"fitting, C = {C:.3g}", done)

            models = trace("xent path", parameters, rows, names[y], Cs, report=report)
            if X_test is not None and y_test is not None:
                stage("measuring")
                losses = models.loss(prepare.transform(X_test), names[y_test])
        say(caught)
        if output is not None:
            stage("drawing")
            _draw(models, losses, output)
    with clear_errors():
        for line in table.sentences():
            note(line)
        out.print(_grid(models, losses))
        if output is not None:
            out.print(plain(f"picture written to {output}"), markup=False, soft_wrap=True)


def _check_picture(output: Path, data: str) -> None:
    """Raise ValueError, before any work, for a picture that could not be drawn or written."""
    if output.suffix.lower() not in _PICTURES:
        raise ValueError(f"--output {output}: expected a {' or '.join(_PICTURES)} file")
    if importlib.util.find_spec("matplotlib") is None:
        raise ValueError(needs("--output", "matplotlib", "plot"))
    check_writable(output, Path(data))


def _draw(models: SoftmaxPath, losses: Float | None, output: Path) -> None:
    """Write the picture to the file `output`, whole or not at all."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 6.5 if losses is not None else 5))
    models.plot(figure.subplots(), losses)
    with replacing(output) as temporary:
        figure.savefig(temporary, format=output.suffix.lower()[1:], dpi=150, bbox_inches="tight")


def _grid(models: SoftmaxPath, losses: Float | None) -> Grid:
    """A line per C: certificate, features in use where some are not, and loss where rows are held out."""
    sparse = models.l1_ratio > 0
    grid = Grid(box=None, pad_edge=False, header_style="bold")
    names = ["C", "objective", "certificate"]
    names += ["features"] if sparse else []
    names += ["holdout log-loss"] if losses is not None else []
    for name in names:
        grid.add_column(name, justify="right")
    grid.add_column()
    for i, C in enumerate(models.Cs):
        row = [f"{C:.4g}", f"{models.objective[i]:.8g}", f"{models.suboptimality[i]:.1g}"]
        if sparse:
            coef: Any = models.coefs[i]  # CSR
            row.append(f"{len(np.unique(coef.nonzero()[1])):,}")
        row += [f"{losses[i]:.6f}"] if losses is not None else []
        best = losses is not None and i == int(np.argmin(losses))
        grid.add_row(*row, "← least" if best else "")
    return grid
