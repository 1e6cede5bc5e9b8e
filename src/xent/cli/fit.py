"""The command `xent fit`: from a table to a certified model, and what was done on the way."""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from cyclopts import Parameter

from .._types import Index
from ..export.files import check_writable
from .grids import columns_grid, figures_grid, strength_grid
from .options import ColumnOptions, FileOptions, check_split
from .terminal import Stage, clear_errors, note, out, plain, say, working

if TYPE_CHECKING:
    from ..solvers import Progress as Step
    from ..tables.strength import Strength
    from ..tables.table import Table

_NO_FILE, _NO_COLUMNS = FileOptions(), ColumnOptions()
_FOLDS = 5


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
    keep_partial: Annotated[bool, Parameter(negative=())] = False,
    file: FileOptions = _NO_FILE,
    columns: ColumnOptions = _NO_COLUMNS,
) -> None:
    """Fit a softmax classifier to a table and certify it.

    Parameters
    ----------
    data
        A table: CSV or other text in columns, Parquet, Feather, JSON, Excel, .npz, .npy, svmlight or ARFF,
        packed or not; a folder or a quoted pattern of parts; - for standard input; or digits, iris, wine,
        breast_cancer.
    target
        The column with the classes; built-in data know theirs.
    C
        Inverse penalty, as in scikit-learn; inf for no penalty. Without it C is 1, unless cross-validation
        shows that another power of ten is better by more than a standard error.
    cv
        Number of folds of that cross-validation; default 5.
    l1_ratio
        Share of the L1 penalty, in [0, 1]; above 0 features that the penalty outweighs drop out.
    holdout
        Share of the rows kept out of the fit to measure it on; 0 fits on all rows.
    seed
        Seed of the split and of the folds; the same seed and number of threads give the same model file, bit
        for bit.
    output
        Where to write the model.
    keep_partial
        After Ctrl-C, write the model as far as it is fitted; without this nothing is written.
    """
    with clear_errors(), working() as stage:
        _check(C, cv, l1_ratio, holdout, seed)
        columns.check()
        if output is not None:
            check_writable(output, Path(data))
        stage("loading the libraries")
        from ..export import model_file
        from ..solvers import Result
        from ..tables.preparing import forget_addresses

        stage(f"reading {data}")
        table = columns.load(data, target, file)
        start = time.perf_counter()
        with warnings.catch_warnings(record=True) as caught:
            fitted = fit_table(table, C, cv, l1_ratio, holdout, seed, columns.raw, stage)
        stopped = [w for w in caught if Result.INTERRUPTED.value in str(w.message)]
        seconds = time.perf_counter() - start
        figures = {"data": data, "holdout": holdout, "seed": seed} | fitted.figures
        if output is not None and (keep_partial or not stopped):
            stage("writing")
            forget_addresses(fitted.model[0])
            model_file.save(output, fitted.model, figures)
    with clear_errors():
        for line in table.sentences():
            note(line)
        say([w for w in caught if w not in stopped])
        if C is None and (fewer := _fewer_folds(fitted.strength, cv or _FOLDS)):
            note(fewer)
        out.print(columns_grid(table.columns))
        out.print(figures_grid(figures | {"seconds": seconds}))
        if fitted.strength is not None:
            out.print(strength_grid(fitted.strength.to_dict()))
        out.print(_ending(output, bool(stopped), keep_partial), markup=False, soft_wrap=True)
    if stopped:
        raise SystemExit(130)


def _check(C: float | None, cv: int | None, l1_ratio: float, holdout: float, seed: int) -> None:
    if C is not None and not C > 0:
        raise ValueError(f"--C must be > 0, or inf for no penalty, got {C:g}")
    if not 0 <= l1_ratio <= 1:
        raise ValueError(f"--l1-ratio must be in [0, 1], got {l1_ratio:g}")
    check_split(holdout, seed)
    if cv is not None and cv < 2:
        raise ValueError(f"--cv must be ≥ 2 folds, got {cv}")
    if cv is not None and C is not None:
        raise ValueError("--cv picks C itself; leave out --C, or --cv")


def _fewer_folds(strength: Strength | None, folds: int) -> str | None:
    """What to say where a class has too few rows to be in each of the folds."""
    if strength is None:
        return "C is 1, without cross-validation: a class has a single row among those looked at"
    if strength.folds < folds:
        return f"{strength.folds} folds instead of {folds}: a class has no more rows among those looked at"
    return None


def _ending(output: Path | None, interrupted: bool, keep_partial: bool) -> str:
    if interrupted and not keep_partial:
        return "interrupted: no model was written; --keep-partial writes it as far as it is fitted"
    if output is None:
        return "model not saved; add -o FILE.xent to keep it"
    return plain(f"model written to {output}")


@dataclass(frozen=True)
class Fit:
    """model: the pipeline. strength: how C was chosen, None where the caller did."""

    model: Any
    figures: dict[str, Any]
    strength: Strength | None


def fit_table(
    table: Table,
    C: float | None,
    cv: int | None,
    l1_ratio: float,
    holdout: float,
    seed: int,
    raw: bool,
    stage: Stage,
) -> Fit:
    """The table prepared, C chosen unless it is given, the model fitted, and measured on rows held out."""
    from sklearn.pipeline import Pipeline

    import xent

    from ..tables.preparing import preparation
    from ..tables.strength import choose
    from ..tables.targets import split

    names = table.goal.classes
    X, X_test, codes, codes_test = split(table.features, table.goal.codes, holdout, seed, names=names)
    stage("preparing")
    prepare = preparation(table.columns, raw=raw)
    rows = prepare.fit_transform(X)
    strength = None
    if C is None:
        folds = cv or _FOLDS
        label = f"cross-validating, {folds} folds"
        stage(label)
        strength = choose(
            rows,
            codes,
            l1_ratio=l1_ratio,
            seed=seed,
            folds=folds,
            report=lambda done: stage(label, done),
        )
        C = 1.0 if strength is None else strength.C
    classifier = xent.SoftmaxRegression(C=C, l1_ratio=l1_ratio)
    stage("fitting")
    classifier._report = _towards(classifier.tol, stage)
    classifier.fit(rows, names[codes])
    classifier._report = None
    model = Pipeline([("preparation", prepare), ("classifier", classifier)])
    figures = _figures(classifier, table, len(codes), strength)
    if X_test is not None and codes_test is not None:
        figures |= _holdout_figures(model, X_test, codes_test)
    return Fit(model, figures, strength)


def _towards(tol: float, stage: Stage) -> Callable[[Step], None]:
    """Progress as the share of decades that the certificate has fallen on its way to tol."""
    first: list[float] = []

    def report(step: Step) -> None:
        gap = max(step.suboptimality, tol)
        if not first:
            first.append(gap)
        decades = math.log10(first[0] / tol)
        stage("fitting", math.log10(first[0] / gap) / decades if decades > 0 else 1.0)

    return report


def _figures(c: Any, table: Table, rows: int, strength: Strength | None) -> dict[str, Any]:
    figures = {
        "target": table.target,
        "columns": [column.to_dict() for column in table.columns],
        "class counts": table.classes,
        "rows": rows,
        "features": int(c.n_features_in_),
        "classes": len(c.classes_),
        "C": float(c.C),
        "l1_ratio": float(c.l1_ratio),
        "features in use": int(np.count_nonzero(c.coef_.any(axis=0))),
        "objective": float(c.objective_),
        "suboptimality": float(c.suboptimality_),
        "converged": bool(c.converged_),
        "passes": int(c.n_passes_),
        "solver": c.solver_,
    }
    return figures if strength is None else figures | {"cv": strength.to_dict()}


def _holdout_figures(model: Any, X: Any, codes: Index) -> dict[str, Any]:
    # log p from the logits: predict_proba's zeros would be clipped by log_loss.
    logs = model.predict_log_proba(X)
    return {
        "holdout rows": len(codes),
        "holdout accuracy": float(np.mean(logs.argmax(axis=1) == codes)),
        "holdout log-loss": float(-np.mean(logs[np.arange(len(codes)), codes])),
    }
