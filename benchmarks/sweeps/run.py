"""Whole sweeps of C, cross-validation and sparse models: time and accuracy of xent and its peers.

    make sweeps                                              everything, some hours on two cores
    python -m benchmarks.sweeps --parts sparse --problems digits,text-like --resume
    python -m benchmarks.sweeps --scale 0.02 --limit 2 --rounds 1        does it run at all?
    python -m benchmarks.sweeps --tables --json docs/figures/sweeps.json the tables of a run, done or not

ridge   45 values C = 1e-6 … 1e5 on a probe: `softmax_path` against one fit at C = 1 and against 45 fits of
        scikit-learn, as they are by default and each at the loosest tolerance that gets within 1e-6 nats.
cv      five folds, ten values: `SoftmaxRegressionCV` against one fit and against `LogisticRegressionCV`.
sparse  L1 and elastic net, single fits: `SoftmaxRegression` against scikit-learn's `saga` at equal objective.
glmnet  L1, elastic net and groups, paths of 100 values: `softmax_path` against R's glmnet on the values of λ
        that glmnet chose, at the loosest tolerance whose worst value is as near to F* as glmnet's worst.

F* is the lowest F that anyone reached, xent's own at tol=1e-9 among them; every F, and every violation of
the KKT conditions, is computed in float64 from the coefficients (`sweep_problems`). Entrants run in processes
of their own, on threads as they take them by default, in turns in an order shuffled each round; times are
medians over rounds, but those of peers' sweeps, and any over 20 s in the last two parts, are taken once.
Reading data, importing and a warm-up come before them. A fit is killed after --limit seconds, a whole sweep,
CV or path after ten times that.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from benchmarks.common import machine
from benchmarks.race.problems import Data
from benchmarks.race.run import progress
from benchmarks.sweeps import glmnet, l1, l2, tables
from benchmarks.sweeps.entrants import Entrants, serve
from benchmarks.sweeps.problems import PROBLEMS, Penalty, kkt, objective

PARTS = {"ridge": l2.ridge, "cv": l2.cv, "sparse": l1.sparse, "glmnet": l1.paths}


class Bench:
    """One run: its report, which is saved after every step, and what a step needs to know."""

    def __init__(self, report: dict[str, Any], args: argparse.Namespace, cache: Path) -> None:
        self.report, self.args, self.cache = report, args, cache
        self.rounds: int = args.rounds
        self.limit: float = args.limit  # of a fit
        self.sweep_limit: float = 10 * args.limit

    def save(self) -> None:
        """To --json."""
        path: Path = self.args.json
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_suffix(".tmp")
        temporary.write_text(json.dumps(self.report, indent=1) + "\n")
        os.replace(temporary, path)

    def entrants(self, problem: str) -> Entrants:
        """Their processes on a problem."""
        return Entrants(PROBLEMS[problem], self.args.scale, self.cache)

    def cell(self, part: str, problem: str, data: Data, **what: Any) -> dict[str, Any]:
        """What the report has on a problem of a part, which may be nothing yet."""
        X, y = data
        cells = self.report["parts"].setdefault(part, [])
        for cell in cells:
            if cell["problem"] == problem and all(cell[key] == value for key, value in what.items()):
                return cell  # type: ignore[no-any-return]
        layout = "CSR" if hasattr(X, "tocsr") else "C"
        cell = {"problem": problem, "n": len(y), "d": X.shape[1], "K": int(y.max()) + 1, "layout": layout}
        cells.append(cell | {"dtype": X.dtype.name} | what)
        short = [f"{key} {value}" for key, value in what.items() if not isinstance(value, list)]
        progress(f"{part}: {', '.join([problem, *short])}")
        return cells[-1]  # type: ignore[no-any-return]

    @staticmethod
    def evaluated(result: dict[str, Any], cases: Iterable[tuple[Data, Penalty]]) -> dict[str, Any]:
        """The result with F of each value instead of coefficients; NaN is None.

        With an L1 part also the number of coefficients that are not 0, and the largest violation of the KKT
        conditions over λ l1_ratio.
        """
        if "values" not in result:
            return result
        result["F"] = []
        for (coef, intercept), (data, penalty) in zip(result.pop("values"), cases, strict=False):
            F = objective(data, penalty, coef, intercept)
            result["F"].append(F if math.isfinite(F) else None)
            if penalty.l1_ratio > 0:
                unit = penalty.l1_ratio / (penalty.C * len(data[1]))
                result.setdefault("kkt", []).append(kkt(data, penalty, coef, intercept) / unit)
                result.setdefault("nonzero", []).append(int((coef != 0).sum()))
        time.sleep(machine.PAUSE)  # until our own BLAS threads have stopped spinning
        return result


def _arguments() -> argparse.Namespace:
    def names(known: Iterable[str]) -> Any:
        def read(text: str) -> list[str]:
            chosen = [name.strip() for name in text.split(",")]
            if unknown := [name for name in chosen if name not in known]:
                raise argparse.ArgumentTypeError(f"no {unknown}; there are {list(known)}")
            return chosen

        return read

    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--parts", type=names(PARTS), default=list(PARTS), metavar="A,B")
    parser.add_argument(
        "--problems", type=names(PROBLEMS), default=list(PROBLEMS), metavar="A,B", help="of sparse and glmnet"
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument(
        "--limit", type=float, default=60.0, help="seconds a fit may take; sweeps ten times that"
    )
    parser.add_argument("--scale", type=float, default=1.0, help="of generated rows, for a smoke test")
    parser.add_argument("--json", type=Path, default=Path("build/bench/sweeps.json"), metavar="PATH")
    parser.add_argument("--resume", action="store_true", help="keep what --json already has")
    parser.add_argument("--tables", action="store_true", help="print those of --json and do nothing else")
    parser.add_argument("--serve", nargs=3, metavar=("PROBLEM", "CALL", "CACHE"), help="what processes run")
    return parser.parse_args()


def main() -> None:
    """Run, save after every step, print."""
    args = _arguments()
    if args.serve:
        name, call, cache = args.serve
        serve(PROBLEMS[name], call, args.scale, Path(cache))
        return
    if args.tables:
        tables.show(json.loads(args.json.read_text()))
        return
    report: dict[str, Any] = {
        "target": l2.TARGET,
        "scale": args.scale,
        "limit": args.limit,
        "parts": {},
    }
    report["machine"] = machine.describe()
    report["machine"]["glmnet"] = glmnet.missing() or glmnet.version()
    if args.resume and args.json.exists():
        kept = json.loads(args.json.read_text())
        if kept["scale"] != args.scale:
            sys.exit(f"{args.json} is of --scale {kept['scale']:g}")
        report["parts"] = kept["parts"]
    with tempfile.TemporaryDirectory() as cache:
        bench = Bench(report, args, Path(cache))
        for part in args.parts:
            PARTS[part](bench)
            bench.save()
    tables.show(report)


if __name__ == "__main__":
    main()
