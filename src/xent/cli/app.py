"""The command: read a table, fit, predict, inspect. It only wires the library's parts together.

pandas, scikit-learn, skrub and skops load inside the commands: `xent --help` waits for none of them.
"""

from __future__ import annotations

import math
import sys
import time
import warnings
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from cyclopts import App, Parameter
from rich.table import Table as Grid
from rich.text import Text

from .. import __version__
from .._types import Array
from ..export.files import check_writable, replacing
from .check import check
from .explore import explore
from .path import path
from .terminal import Stage, clear_errors, out, plain, say, working

if TYPE_CHECKING:
    import pandas as pd

    from ..estimators import SoftmaxRegression
    from ..solvers import Progress as Step
    from .tables import Model

app = App(
    name="xent",
    version=__version__,
    help="Softmax regression, fitted to its certified optimum.",
)


@app.command
def fit(
    data: str,
    *,
    target: str | None = None,
    C: Annotated[float | None, Parameter(name=["--C", "-C"])] = None,
    cv: int | None = None,
    l1_ratio: float = 0.0,
    holdout: float = 0.2,
    seed: int = 0,
    output: Annotated[Path | None, Parameter(name=["--output", "-o"])] = None,
) -> None:
    """Fit a softmax classifier to a table and certify it.

    Parameters
    ----------
    data
        A .csv, .parquet or .npz file (arrays X and the target), or digits, iris, wine, breast_cancer.
    target
        The column with the classes; built-in data know theirs.
    C
        Inverse penalty, as in scikit-learn; inf for no penalty; default 1.
    cv
        Number of folds: pick C instead, of 10 from 1e-4 to 1e4, the one of least mean log-loss over them.
    l1_ratio
        Share of the L1 penalty, in [0, 1]; above 0 features that the penalty outweighs drop out.
    holdout
        Share of the rows kept out of the fit to measure it on; 0 fits on all rows.
    seed
        Seed of the split and of text encoding; the same seed gives the same model file, bit for bit.
    output
        Where to write the model.
    """
    with clear_errors(), working() as stage:
        if not 0 <= holdout < 1:
            raise ValueError(f"--holdout must be in [0, 1), got {holdout:g}")
        if seed < 0:
            raise ValueError(f"--seed must be ≥ 0, got {seed}")
        if cv is not None and cv < 2:
            raise ValueError(f"--cv must be ≥ 2 folds, got {cv}")
        if cv is not None and C is not None:
            raise ValueError("--cv picks C itself; leave out --C, or --cv")
        if output is not None:
            check_writable(output, Path(data))
        stage("loading the libraries")
        import xent

        from ..export import model_file
        from . import tables

        stage(f"reading {data}")
        table = tables.read(data, target, need_target=True)
        X, y = table.features, table.labels
        X_test, y_test = None, None
        if holdout > 0:
            X, X_test, y, y_test = tables.split(X, y, holdout, seed)
        start = time.perf_counter()
        with warnings.catch_warnings(record=True) as caught:
            search = None
            if cv is not None:
                search = xent.SoftmaxRegressionCV(cv=cv, l1_ratios=(l1_ratio,))
                search._report = lambda done: stage(f"cross-validating, {cv} folds", done)
                tables.pipeline(X, search, seed).fit(X, y)
                C = search.C_
            classifier = xent.SoftmaxRegression(C=1.0 if C is None else C, l1_ratio=l1_ratio)
            model = tables.pipeline(X, classifier, seed)
            stage("fitting")
            classifier._report = _towards(classifier.tol, stage)
            model.fit(X, y)
            classifier._report = None
        say(caught)
        seconds = time.perf_counter() - start
        figures = _figures(data, target, model, len(y), holdout, seed)
        figures["columns"] = tables.kinds_of(X)
        if search is not None:
            losses = -search.scores_.mean(axis=(0, 1))
            figures["cv"] = {"folds": cv, "Cs": search.Cs_.tolist(), "losses": losses.tolist()}
        if X_test is not None and y_test is not None:
            figures |= _holdout_figures(model, X_test, y_test)
        if output is not None:
            stage("writing")
            model_file.save(output, model, figures)
    with clear_errors():
        out.print(_grid(figures | {"seconds": seconds}))
        if cv is not None:
            out.print(_search_grid(figures["cv"], figures["C"]))
        written = (
            "model not saved; add -o FILE.xent to keep it" if output is None else f"model written to {output}"
        )
        out.print(plain(written), markup=False, soft_wrap=True)


app.command(path)
app.command(check)
app.command(explore)


@app.command
def predict(
    model: Path, data: str, *, output: Annotated[Path | None, Parameter(name=["--output", "-o"])] = None
) -> None:
    """Predict classes and probabilities for the rows of a table.

    Parameters
    ----------
    model
        A file written by `xent fit -o`.
    data
        As for `xent fit`; a target column, if there, is left out.
    output
        A .csv or .parquet file; standard output, as CSV, without it.
    """
    with clear_errors(), working() as stage:
        if output is not None:
            if output.suffix.lower() not in (".csv", ".parquet"):
                raise ValueError(f"--output {output}: expected a .csv or .parquet file")
            check_writable(output, model, Path(data))
        stage("loading the libraries")
        import pandas as pd

        from . import tables

        fitted, figures = _load(model)
        stage(f"reading {data}")
        target, kinds = figures["target"], figures["columns"]
        X = tables.read(data, target, need_target=False, kinds=kinds, model=fitted).features
        if not hasattr(fitted, "steps"):
            tables.check_complete(X, data)
        stage("predicting")
        with warnings.catch_warnings(record=True) as caught:
            for line in tables.unknown_categories(X, fitted):
                warnings.warn(line, stacklevel=1)
            warnings.filterwarnings("ignore", "Found unknown categories")  # the same, without names
            columns = {"prediction": fitted.predict(X)}
            for label, p in zip(fitted.classes_, fitted.predict_proba(X).T, strict=True):
                columns[f"p_{label}"] = p
        say(caught)
        frame = pd.DataFrame(columns)
        if output is not None:
            with replacing(output) as temporary:
                stage("writing")
                if output.suffix.lower() == ".parquet":
                    frame.to_parquet(temporary, index=False)
                else:
                    _write_csv(frame, temporary, stage)
    with clear_errors():
        if output is None:
            frame.to_csv(sys.stdout, index=False)
        else:
            out.print(plain(f"{len(frame)} predictions written to {output}"), markup=False, soft_wrap=True)


@app.command
def inspect(model: Path) -> None:
    """Show what a model file holds: data, features, classes, preprocessing and the fit's figures.

    Parameters
    ----------
    model
        A file written by `xent fit -o`.
    """
    with clear_errors():
        fitted, figures = _load(model)
        grid = _grid(figures)
        steps = [name for name, _ in getattr(fitted, "steps", [])[:-1]]
        steps_shown = " → ".join(steps) or "none: all features are numbers"
        grid.add_row("preprocessing", Text(plain(steps_shown)))
        grid.add_row("class labels", Text(plain(_listed(fitted.classes_))))
        grid.add_row("feature names", Text(plain(_listed(list(figures["columns"])))))
        out.print(grid)


def _towards(tol: float, stage: Stage) -> Callable[[Step], None]:
    """A report of progress: the share of decades that the certificate has fallen on its way to tol."""
    first: list[float] = []

    def report(step: Step) -> None:
        gap = max(step.suboptimality, tol)
        if not first:
            first.append(gap)
        decades = math.log10(first[0] / tol)
        stage("fitting", math.log10(first[0] / gap) / decades if decades > 0 else 1.0)

    return report


_FIGURES: dict[str, type | tuple[type, ...]] = {
    "data": str,
    "target": str,
    "columns": dict,
    "rows": int,
    "features": int,
    "classes": int,
    "C": float,
    "objective": float,
    "suboptimality": float,
    "passes": int,
    "solver": str,
}


def _load(path: Path) -> tuple[Any, dict[str, Any]]:
    """The model and the figures of a file of `xent fit`. Raises ModelFileError where figures are missing."""
    from ..export import model_file

    model, figures = model_file.load(path)
    for name, kind in _FIGURES.items():
        if not isinstance(figures.get(name), kind):
            raise model_file.ModelFileError(f"{path}: damaged: its figures do not say {name!r}")
    return model, figures


def _classifier(model: Model) -> SoftmaxRegression:
    """The classifier itself, at the end of a pipeline or alone."""
    classifier: SoftmaxRegression = model[-1] if hasattr(model, "steps") else model
    return classifier


def _figures(
    data: str,
    target: str | None,
    model: Model,
    rows: int,
    holdout: float,
    seed: int,
) -> dict[str, Any]:
    """What a model file says of the fit, besides the model."""
    c = _classifier(model)
    return {
        "data": data,
        "target": target or "target",
        "rows": rows,
        "features": int(c.n_features_in_),
        "classes": len(c.classes_),
        "C": float(c.C),
        "l1_ratio": float(c.l1_ratio),
        "features in use": int(np.count_nonzero(c.coef_.any(axis=0))),
        "holdout": float(holdout),
        "seed": int(seed),
        "objective": float(c.objective_),
        "suboptimality": float(c.suboptimality_),
        "converged": bool(c.converged_),
        "passes": int(c.n_passes_),
        "solver": c.solver_,
    }


def _holdout_figures(model: Model, X: pd.DataFrame, y: Array) -> dict[str, Any]:
    """What a model file says of the rows that were held out."""
    # log p from the logits: predict_proba's zeros would be clipped by log_loss.
    logs = model.predict_log_proba(X)
    index = np.searchsorted(model.classes_, y)
    return {
        "holdout rows": len(y),
        "holdout accuracy": float(np.mean(model.predict(X) == y)),
        "holdout log-loss": float(-np.mean(logs[np.arange(len(y)), index])),
    }


def _grid(figures: Mapping[str, Any]) -> Grid:
    """The figures of a fit, a line each."""
    grid = Grid(show_header=False, box=None, pad_edge=False)
    grid.add_column(style="bold", no_wrap=True)
    grid.add_column(overflow="fold")

    def row(name: str, value: str) -> None:
        grid.add_row(name, Text(plain(value)))

    row("data", f"{figures['data']}, target {figures['target']!r}")
    ratio = figures.get("l1_ratio", 0.0)
    for name in ("rows", "features", "classes"):
        used = f", {figures['features in use']:,} in use" if name == "features" and ratio > 0 else ""
        row(name, f"{figures[name]:,}{used}")
    at = f"C = {figures['C']:g}" + (f", l1_ratio = {ratio:g}" if ratio > 0 else "")
    if "cv" in figures:
        at += f", the best of {len(figures['cv']['Cs'])} in {figures['cv']['folds']}-fold cross-validation"
    row("objective", f"{figures['objective']:.10g} nats at {at}")
    row("certificate", f"within {figures['suboptimality']:.1g} nats of the optimum")
    row("passes", f"{figures['passes']} ({figures['solver']})")
    if "seconds" in figures:
        row("seconds", f"{figures['seconds']:.2f}")
    if "holdout rows" in figures:
        row(
            "holdout",
            f"accuracy {figures['holdout accuracy']:.4f}, log-loss {figures['holdout log-loss']:.4f} "
            f"on {figures['holdout rows']:,} rows",
        )
    return grid


def _search_grid(search: Mapping[str, Any], taken: float) -> Grid:
    """The mean log-loss at each C of a search."""
    grid = Grid(box=None, pad_edge=False, header_style="bold")
    grid.add_column("C", justify="right")
    grid.add_column("mean log-loss", justify="right")
    grid.add_column()
    for C, loss in zip(search["Cs"], search["losses"], strict=True):
        grid.add_row(f"{C:.4g}", f"{loss:.6f}", "← taken" if taken == C else "")
    return grid


def _listed(values: Collection[object] | Array, most: int = 12) -> str:
    """The first of the values, and how many there are if more."""
    shown = ", ".join(str(value) for value in list(values)[:most])
    return (shown + (f", … ({len(values)} in all)" if len(values) > most else "")) or "none"


def _write_csv(frame: pd.DataFrame, path: Path, stage: Stage) -> None:
    """Write the frame in blocks of rows, with progress."""
    step = 50_000
    with path.open("w", newline="") as out:
        for start in range(0, max(len(frame), 1), step):
            frame.iloc[start : start + step].to_csv(out, index=False, header=start == 0)
            stage("writing", min(1.0, (start + step) / max(len(frame), 1)))
