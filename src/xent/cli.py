"""The command: read a table, fit, predict, inspect. It only wires the library's parts together.

pandas, scikit-learn, skrub and skops load inside the commands: `xent --help` waits for none of them.
"""

from __future__ import annotations

import math
import os
import sys
import threading
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from cyclopts import App, Parameter
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table as Grid
from rich.text import Text

from . import __version__
from ._files import check_writable, replacing

if TYPE_CHECKING:
    from .estimators import SoftmaxRegression
    from .solvers import Progress as Step

app = App(
    name="xent",
    version=__version__,
    help="Softmax regression, fitted to its certified optimum.",
)
_out, _err = Console(highlight=False), Console(stderr=True, highlight=False)


@contextmanager
def _working() -> Iterator[Any]:
    """A progress bar on a terminal's stderr, once the command has run for a second.

    Yields `stage(what, fraction=None)`: what is being done, and how much of it where that is known.
    """
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    bar = Progress(*columns, console=_err, transient=True, disable=not _err.is_terminal)
    task = bar.add_task("", total=None)
    timer = threading.Timer(1.0, bar.start)
    timer.start()

    def stage(what: str, fraction: float | None = None) -> None:
        bar.update(task, description=what, total=fraction and 1.0, completed=fraction)

    try:
        yield stage
    finally:
        timer.cancel()
        timer.join()
        bar.stop()


@contextmanager
def _clear_errors() -> Iterator[None]:
    """What a user can mend is one line on stderr and exit code 1, not a traceback."""
    try:
        yield
    except BrokenPipeError:  # `xent predict … | head`: whoever read has had enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except (ValueError, OSError, MemoryError) as error:
        _err.print(
            f"xent: {_plain(error) or type(error).__name__}", style="red", markup=False, soft_wrap=True
        )
        sys.exit(1)


def _say(caught: list[warnings.WarningMessage]) -> None:
    """Each warning once, on a line of its own."""
    for message in dict.fromkeys(_plain(warning.message) for warning in caught):
        _err.print(f"xent: {message}", style="yellow", markup=False, soft_wrap=True)


def _plain(text: Any) -> str:
    """Text from files and tables without what a terminal would obey, on one line."""
    shown = " ".join(str(text).split())
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in shown)


@app.command
def fit(
    data: str,
    *,
    target: str | None = None,
    C: Annotated[float, Parameter(name=["--C", "-C"])] = 1.0,
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
        Inverse penalty, as in scikit-learn; inf for none.
    holdout
        Share of the rows kept out of the fit to measure it on; 0 fits on all rows.
    seed
        Of the split and of text encoding; the same seed gives the same model file, bit for bit.
    output
        Where to write the model.
    """
    with _clear_errors(), _working() as stage:
        if not 0 <= holdout < 1:
            raise ValueError(f"--holdout must be in [0, 1), got {holdout:g}")
        if seed < 0:
            raise ValueError(f"--seed must be ≥ 0, got {seed}")
        if output is not None:
            check_writable(output, Path(data))
        stage("loading the libraries")
        import xent

        from . import model_file, tables

        stage(f"reading {data}")
        table = tables.read(data, target, need_target=True)
        X, y = table.features, table.target
        X_test, y_test = None, None
        if holdout > 0:
            X, X_test, y, y_test = _split(X, y, holdout, seed)
        classifier = xent.SoftmaxRegression(C=C)
        model = tables.pipeline(X, classifier, seed)
        start = time.perf_counter()
        stage("fitting")
        with warnings.catch_warnings(record=True) as caught:
            classifier._report = _towards(classifier.tol, stage)
            model.fit(X, y)
            classifier._report = None
        _say(caught)
        seconds = time.perf_counter() - start
        figures = _figures(data, target, model, len(y), holdout, seed)
        figures["columns"] = tables.kinds_of(X)
        if X_test is not None:
            figures |= _holdout_figures(model, X_test, y_test)
        if output is not None:
            stage("writing")
            model_file.save(output, model, figures)
    with _clear_errors():
        _out.print(_grid(figures | {"seconds": seconds}))
        if output is not None:
            _out.print(_plain(f"model written to {output}"), markup=False, soft_wrap=True)


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
    with _clear_errors(), _working() as stage:
        if output is not None:
            if output.suffix.lower() not in (".csv", ".parquet"):
                raise ValueError(f"--output {output}: expected a .csv or .parquet file")
            check_writable(output, model, Path(data))
        stage("loading the libraries")
        import pandas as pd

        from . import tables

        fitted, figures = _load(model)
        stage(f"reading {data}")
        X = tables.read(data, figures["target"], need_target=False, kinds=figures["columns"]).features
        if not hasattr(fitted, "steps"):
            tables.check_complete(X, data)
        stage("predicting")
        with warnings.catch_warnings(record=True) as caught:
            columns = {"prediction": fitted.predict(X)}
            for label, p in zip(fitted.classes_, fitted.predict_proba(X).T, strict=True):
                columns[f"p_{label}"] = p
        _say(caught)
        frame = pd.DataFrame(columns)
        if output is not None:
            with replacing(output) as temporary:
                stage("writing")
                if output.suffix.lower() == ".parquet":
                    frame.to_parquet(temporary, index=False)
                else:
                    _write_csv(frame, temporary, stage)
    with _clear_errors():
        if output is None:
            frame.to_csv(sys.stdout, index=False)
        else:
            _out.print(_plain(f"{len(frame)} predictions written to {output}"), markup=False, soft_wrap=True)


@app.command
def inspect(model: Path) -> None:
    """Show what a model file holds: data, features, classes, preprocessing and the fit's figures.

    Parameters
    ----------
    model
        A file written by `xent fit -o`.
    """
    with _clear_errors():
        fitted, figures = _load(model)
        grid = _grid(figures)
        steps = [name for name, _ in getattr(fitted, "steps", [])[:-1]]
        steps_shown = " → ".join(steps) or "none: all features are numbers"
        grid.add_row("preprocessing", Text(_plain(steps_shown)))
        grid.add_row("class labels", Text(_plain(_listed(fitted.classes_))))
        grid.add_row("feature names", Text(_plain(_listed(list(figures["columns"])))))
        _out.print(grid)


def _towards(tol: float, stage: Any) -> Any:
    """Progress as the share of decades that the certificate has fallen on its way to tol."""
    first: list[float] = []

    def report(step: Step) -> None:
        gap = max(step.suboptimality, tol)
        if not first:
            first.append(gap)
        decades = math.log10(first[0] / tol)
        stage("fitting", math.log10(first[0] / gap) / decades if decades > 0 else 1.0)

    return report


def _split(X: Any, y: Any, holdout: float, seed: int) -> tuple[Any, Any, Any, Any]:
    """Rows to fit and rows to hold out, every class in both in its share."""
    from sklearn.model_selection import train_test_split
    from sklearn.utils.multiclass import check_classification_targets

    check_classification_targets(y)
    classes, counts = np.unique(y, return_counts=True)
    remedy = "--holdout 0 fits on all rows"
    if counts.min() < 2:
        raise ValueError(
            f"--holdout {holdout:g}: class {str(classes[np.argmin(counts)])!r} has a single row, which "
            f"cannot be both fitted and held out ({int((counts < 2).sum())} such classes); {remedy}"
        )
    held = math.ceil(holdout * len(y))
    if not len(classes) <= held <= len(y) - len(classes):
        raise ValueError(
            f"--holdout {holdout:g}: {held} of {len(y)} rows held out; the {len(classes)} classes need as "
            f"many rows on either side; {remedy}"
        )
    return tuple(train_test_split(X, y, test_size=holdout, random_state=seed, stratify=y))


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
    """A model file of `xent fit`, its figures all there."""
    from . import model_file

    model, figures = model_file.load(path)
    for name, kind in _FIGURES.items():
        if not isinstance(figures.get(name), kind):
            raise model_file.ModelFileError(f"{path}: damaged: its figures do not say {name!r}")
    return model, figures


def _classifier(model: Any) -> SoftmaxRegression:
    return model[-1] if hasattr(model, "steps") else model


def _figures(
    data: str, target: str | None, model: Any, rows: int, holdout: float, seed: int
) -> dict[str, Any]:
    c = _classifier(model)
    return {
        "data": data,
        "target": target or "target",
        "rows": rows,
        "features": int(c.n_features_in_),
        "classes": len(c.classes_),
        "C": float(c.C),
        "holdout": float(holdout),
        "seed": int(seed),
        "objective": float(c.objective_),
        "suboptimality": float(c.suboptimality_),
        "converged": bool(c.converged_),
        "passes": int(c.n_passes_),
        "solver": c.solver_,
    }


def _holdout_figures(model: Any, X: Any, y: Any) -> dict[str, Any]:
    # log p from the logits: predict_proba's zeros would be clipped by log_loss.
    logs = model.predict_log_proba(X)
    index = np.searchsorted(model.classes_, y)
    return {
        "holdout rows": len(y),
        "holdout accuracy": float(np.mean(model.predict(X) == y)),
        "holdout log-loss": float(-np.mean(logs[np.arange(len(y)), index])),
    }


def _grid(figures: dict[str, Any]) -> Grid:
    grid = Grid(show_header=False, box=None, pad_edge=False)
    grid.add_column(style="bold", no_wrap=True)
    grid.add_column(overflow="fold")

    def row(name: str, value: str) -> None:
        grid.add_row(name, Text(_plain(value)))

    row("data", f"{figures['data']}, target {figures['target']!r}")
    for name in ("rows", "features", "classes"):
        row(name, f"{figures[name]:,}")
    row("objective", f"{figures['objective']:.10g} nats at C = {figures['C']:g}")
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


def _listed(values: Any, most: int = 12) -> str:
    shown = ", ".join(str(value) for value in list(values)[:most])
    return (shown + (f", … ({len(values)} in all)" if len(values) > most else "")) or "none"


def _write_csv(frame: Any, path: Path, stage: Any) -> None:
    step = 50_000
    with path.open("w", newline="") as out:
        for start in range(0, max(len(frame), 1), step):
            frame.iloc[start : start + step].to_csv(out, index=False, header=start == 0)
            stage("writing", min(1.0, (start + step) / max(len(frame), 1)))
