"""`xent fit` on many tables beside what a careful person would write with scikit-learn.

    make tables                              everything, some ten minutes on a core
    python -m benchmarks.tables --only iris,pbc --splits 2

Every table is written to a CSV file and read back by xent's own reading; its held-out rows are a quarter of
it, every class in its share, in five splits. Then accuracy and log-loss (nats) are means over these:

recipe    ColumnTransformer(SimpleImputer and StandardScaler; OneHotEncoder) and LogisticRegression
skrub     tabular_pipeline(LogisticRegression())
majority  the classes' shares
trees     HistGradientBoostingClassifier, which is not linear and stands outside the comparison

A table is met if xent is within a point of accuracy and .02 nats of the best of the first three in each.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import warnings
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from itertools import repeat
from pathlib import Path

import numpy as np

from benchmarks.common import machine
from benchmarks.tables.entrants import LINEAR, others, ours, read
from benchmarks.tables.explained import EXPLAINED
from benchmarks.tables.sets import names, table

POINT, NATS = 0.01, 0.02


@dataclass
class Row:
    """accuracy, log_loss: of each entrant, means over the splits. C: those that xent chose."""

    table: str
    rows: int
    columns: int
    classes: int
    accuracy: dict[str, float]
    log_loss: dict[str, float]
    C: list[float]

    @property
    def points(self) -> float:
        """xent's accuracy less that of the best linear one."""
        return self.accuracy["xent"] - max(self.accuracy[name] for name in LINEAR)

    @property
    def nats(self) -> float:
        """xent's log-loss less that of the best linear one."""
        return self.log_loss["xent"] - min(self.log_loss[name] for name in LINEAR)

    @property
    def met(self) -> bool:
        return self.points >= -POINT and self.nats <= NATS

    @property
    def short_by(self) -> float:
        """How far from met, or from the best, as multiples of what is allowed."""
        return max(-self.points / POINT, self.nats / NATS)


def measure(name: str, splits: int) -> Row:
    frame, target = table(name)
    warnings.simplefilter("ignore")  # peers that stop early, categories that are new
    found: dict[str, list[tuple[float, float]]] = {}
    chosen = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "table.csv"
        frame.to_csv(path, index=False)
        ours_read = read(path, target)
        for seed in range(splits):
            accuracy, loss, C = ours(ours_read, seed)
            chosen.append(C)
            for entrant, pair in ({"xent": (accuracy, loss)} | others(path, ours_read, seed)).items():
                found.setdefault(entrant, []).append(pair)
    means = {entrant: np.mean(pairs, axis=0) for entrant, pairs in found.items()}
    accuracies = {entrant: float(mean[0]) for entrant, mean in means.items()}
    losses = {entrant: float(mean[1]) for entrant, mean in means.items()}
    return Row(name, len(frame), frame.shape[1] - 1, frame[target].nunique(), accuracies, losses, chosen)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", default="", help="names of tables, with commas between them")
    parser.add_argument("--splits", type=int, default=5)
    parser.add_argument("--jobs", type=int, default=1, help="tables at a time")
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    only = set(asked.only.split(",")) - {""}
    chosen = [name for name in names() if not only or name in only]
    print(f"{'':<16} {'rows':>5} {'K':>3}  {'accuracy, log-loss: xent':>24} ", end="")
    print(*(f"{name:>12}" for name in (*LINEAR, "trees")), f"{'C':>8}", sep=" ")
    rows = []
    with ProcessPoolExecutor(asked.jobs) as pool:
        for row in pool.map(measure, chosen, repeat(asked.splits)):
            rows.append(row)
            print(_line(row), flush=True)
            if asked.json:  # after every table: a run that is cut short leaves what it measured
                _write(asked.json, rows, asked.splits)
    print(json.dumps(_rounded(_summary(rows)), indent=1, ensure_ascii=False))


def _write(path: Path, rows: list[Row], splits: int) -> None:
    """The rows, and those of other tables that the file has already, of as many splits."""
    before = (
        json.loads(path.read_text(encoding="utf-8")) if path.exists() else {"splits": splits, "tables": []}
    )
    fields = list(Row.__dataclass_fields__)
    kept = [
        Row(**{name: row[name] for name in fields}) for row in before["tables"] * (before["splits"] == splits)
    ]
    found = {row.table: row for row in [*kept, *rows]}
    rows = [found[name] for name in names() if name in found]
    figures = [asdict(row) | {"points": row.points, "nats": row.nats, "met": row.met} for row in rows]
    whole = {"machine": machine.describe(), "splits": splits} | _summary(rows) | {"tables": figures}
    path.write_text(json.dumps(_rounded(whole), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def _line(row: Row) -> str:
    cells = [f"{row.accuracy[e]:.3f} {row.log_loss[e]:6.3f}" for e in ("xent", *LINEAR, "trees")]
    mark = "" if row.met else f"  {100 * row.points:+.1f} points, {row.nats:+.3f} nats"
    Cs = f"{np.median(row.C):8.3g}"
    return f"{row.table:<16} {row.rows:5} {row.classes:3}  {cells[0]:>24}  {' '.join(cells[1:])} {Cs}{mark}"


def _summary(rows: list[Row]) -> dict[str, object]:
    """Means over the tables; the worst five, and why."""
    missed = [row for row in rows if not row.met]
    entrants = list(rows[0].accuracy)
    worst = sorted(rows, key=lambda row: -row.short_by)[:5]
    return {
        "mean accuracy": {e: float(np.mean([row.accuracy[e] for row in rows])) for e in entrants},
        "mean log-loss": {e: float(np.mean([row.log_loss[e] for row in rows])) for e in entrants},
        "mean points to the best linear": float(np.mean([row.points for row in rows])),
        "mean nats to the best linear": float(np.mean([row.nats for row in rows])),
        "met": len(rows) - len(missed),
        "missed": {row.table: EXPLAINED.get(row.table, "") for row in missed},
        "worst five": {
            row.table: {
                "points": row.points,
                "nats": row.nats,
                "explanation": EXPLAINED.get(row.table, ""),
            }
            for row in worst
        },
    }


def _rounded(value: object) -> object:
    """Floats to five digits: more would be noise in every difference of two reports."""
    if isinstance(value, dict):
        return {name: _rounded(v) for name, v in value.items()}
    if isinstance(value, list):
        return [_rounded(v) for v in value]
    return float(f"{value:.5g}") if isinstance(value, float) else value


if __name__ == "__main__":
    main()
