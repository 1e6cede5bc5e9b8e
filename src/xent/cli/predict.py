"""The command `xent predict`: classes and probabilities, some rows at a time."""

from __future__ import annotations

import sys
import warnings
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from cyclopts import Parameter

from .._types import Array
from ..export.files import check_writable, replacing
from .inspect import columns_of, opened, parts_of
from .options import FileOptions
from .terminal import Stage, clear_errors, note, out, plain, say, working

if TYPE_CHECKING:
    import pandas as pd

    from ..tables.columns import Column

_NO_FILE = FileOptions()


def predict(
    model: Path,
    data: str,
    *,
    output: Annotated[Path | None, Parameter(name=["--output", "-o"])] = None,
    id: Annotated[tuple[str, ...], Parameter(negative=())] = (),
    keep_columns: Annotated[bool, Parameter(negative=())] = False,
    file: FileOptions = _NO_FILE,
) -> None:
    """Predict classes and probabilities for the rows of a table.

    Where the table has the target's column, the accuracy and the log-loss are shown as well.

    Parameters
    ----------
    model
        A file written by `xent fit -o`.
    data
        As for `xent fit`.
    output
        A .csv or .parquet file; standard output, as CSV, without it.
    id
        A column to carry over, before the predictions; may be repeated.
    keep_columns
        Carry over all columns of the table.
    """
    with clear_errors(), working() as stage:
        if output is not None:
            if output.suffix.lower() not in (".csv", ".parquet"):
                raise ValueError(f"--output {output}: expected a .csv or .parquet file")
            check_writable(output, model, Path(data))
        stage("loading the libraries")
        fitted, figures = opened(model)
        columns = columns_of(figures)
        _check_age(model, fitted, figures)
        pieces = _Pieces(fitted, columns, figures["target"], id, keep_columns)
        with warnings.catch_warnings(record=True) as caught, _writer(output) as write:
            warnings.filterwarnings("ignore", "Found unknown categories")  # the same, without names
            for frame in pieces.of(data, file, stage):
                write(frame)
    with clear_errors():
        for line in pieces.remarks():
            note(line)
        say(caught)
        if output is not None:
            shown = f"{pieces.rows} predictions written to {output}"
            out.print(plain(shown), markup=False, soft_wrap=True)


def _check_age(path: Path, fitted: Any, figures: dict[str, Any]) -> None:
    """Raise for a pipeline from before xent prepared tables itself: its steps took the cells unread."""
    if isinstance(figures["columns"], dict) and hasattr(fitted, "steps"):
        raise ValueError(
            f"{path}: an earlier xent wrote this model and prepared its table in another way; fit it again, "
            "or hand its pipeline a frame: xent.export.model_file.load(path)[0].predict_proba(frame)"
        )


class _Pieces:
    """Predictions piece by piece, and what is to be said of them when all are done."""

    def __init__(
        self, model: Any, columns: list[Column], target: str, ids: tuple[str, ...], every: bool
    ) -> None:
        self.prepare, self.classifier = parts_of(model)
        self.columns, self.target, self.ids, self.every = columns, target, ids, every
        self.rows = self.scored = self.right = 0
        self.loss = 0.0
        self.unknown: Counter[str] = Counter()
        self.first: dict[str, str] = {}
        self.strangers: Counter[str] = Counter()

    def of(self, data: str, file: FileOptions, stage: Stage) -> Iterator[pd.DataFrame]:
        """The predictions for each piece of the table. Raises TableError."""
        from ..tables.table import pieces

        stage(f"reading {data}")
        for features, cells in pieces(data, self.columns, file.options(), also=(self.target, *self.ids)):
            stage(f"predicting, row {self.rows + 1:,}")
            self._look(features)
            yield self._predicted(features, cells, data)
            self.rows += len(features)

    def _predicted(self, features: pd.DataFrame, cells: pd.DataFrame, data: str) -> pd.DataFrame:
        import pandas as pd

        rows: Any = features if self.prepare is None else self.prepare.transform(features)
        p, classes = self.classifier.predict_proba(rows), self.classifier.classes_
        if self.target in cells:
            self._score(cells[self.target], self.classifier.predict_log_proba(rows), classes, p)
        kept = cells if self.every else cells[list(self._known(cells, data))]
        shown = {"prediction": classes[p.argmax(axis=1)]}
        shown |= {f"p_{label}": column for label, column in zip(classes, p.T, strict=True)}
        predictions = pd.DataFrame(shown, index=cells.index)
        taken = kept.rename(columns={name: f"{name} (as read)" for name in kept if name in shown})
        return pd.concat([taken, predictions], axis=1)

    def _known(self, cells: pd.DataFrame, data: str) -> tuple[str, ...]:
        if unknown := [name for name in self.ids if name not in cells]:
            raise ValueError(
                f"--id: {data} has no column {unknown[0]!r}; it has {', '.join(cells.columns[:12])}"
            )
        return self.ids

    def _score(self, labels: pd.Series, logs: Array, classes: Array, p: Array) -> None:
        place = {str(label): k for k, label in enumerate(classes)}
        y = np.array([place.get(str(label), -1) for label in labels])
        known = y >= 0
        self.strangers.update(str(x) for x in labels[~known] if str(x).strip())
        self.scored += int(known.sum())
        self.right += int((p.argmax(axis=1) == y).sum())
        self.loss -= float(logs[known, y[known]].sum())

    def _look(self, features: pd.DataFrame) -> None:
        """Count categories that no fitted row had, and missing numbers where none was missing."""
        if self.prepare is None:
            return
        blocks = self.prepare.named_transformers_
        for name, known in zip(self._in("category"), _categories(blocks), strict=True):
            self._count(
                name,
                ~features[name].isin(known),
                features[name],
                "which no fitted row had; such a row gets zeros for this column",
            )
        for column in self.columns:
            if column.used and column.is_quantity and not column.n_holes:
                values = features[column.name]
                self._count(
                    column.name,
                    values.isna(),
                    values,
                    "where all fitted rows had one; the mean takes its place",
                )

    def _in(self, block: str) -> list[str]:
        return [c.name for c in self.columns if c.used and c.kind == block]

    def _count(self, name: str, odd: pd.Series, values: pd.Series, why: str) -> None:
        if not odd.any():
            return
        row = int(np.argmax(odd.to_numpy()))
        value = values.iloc[row]
        missing = value is None or value != value
        shown = "no value" if missing else repr(str(value))
        self.first.setdefault(name, f"column {name!r}: row {self.rows + row + 1:,} has {shown}, {why}")
        self.unknown[name] += int(odd.sum())

    def remarks(self) -> list[str]:
        """A line per column with something unseen, and how good the predictions are, if that is known."""
        lines = [f"{line} ({self.unknown[name]:,} such rows)" for name, line in self.first.items()]
        if self.strangers:
            label, count = self.strangers.most_common(1)[0]
            lines.append(
                f"column {self.target!r}: {sum(self.strangers.values()):,} rows have a class that the model "
                f"does not know, as {label!r} in {count:,}; they are predicted, but not scored"
            )
        if self.scored:
            lines.append(
                f"accuracy {self.right / self.scored:.4f}, log-loss {self.loss / self.scored:.4f} nats on "
                f"the {self.scored:,} rows with a class in column {self.target!r}"
            )
        return lines


def _categories(blocks: Any) -> list[Array]:
    return list(blocks["category"].categories_) if "category" in blocks else []


@contextmanager
def _writer(output: Path | None) -> Iterator[Any]:
    """What writes frames one after the other: to standard output, or to a file that is whole or not there."""
    if output is None:
        yield _Csv(sys.stdout)
        return
    with replacing(output) as temporary:
        if output.suffix.lower() == ".parquet":
            parquet = _Parquet(temporary)
            yield parquet
            parquet.close()
        else:
            with temporary.open("w", newline="") as stream:
                yield _Csv(stream)


class _Csv:
    """Frames as CSV, the header once."""

    def __init__(self, stream: Any) -> None:
        self.stream, self.header = stream, True

    def __call__(self, frame: pd.DataFrame) -> None:
        frame.to_csv(self.stream, index=False, header=self.header)
        self.header = False


class _Parquet:
    """Frames as the row groups of one Parquet file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.writer: Any = None

    def __call__(self, frame: pd.DataFrame) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        schema = None if self.writer is None else self.writer.schema
        table = pa.Table.from_pandas(frame, schema=schema, preserve_index=False)
        if self.writer is None:
            self.writer = pq.ParquetWriter(self.path, table.schema)
        self.writer.write_table(table)

    def close(self) -> None:
        """Write the end of the file."""
        if self.writer is not None:
            self.writer.close()
