"""Random tables whose truth is known, through files of all forms: `make fuzz-tables`. No test of pytest's.

    python -m tests.programs.fuzz_tables [--files N] [--seed S] [--fits SHARE] [--only I [--keep FOLDER]]

File I of seed S is the same in every run; `--only I` repeats it alone and `--keep` leaves it in a folder.
Each file must be read without an error, each column be taken for what it is or left out for a reason that
is true, and each value be the truth: numbers to the last bit, dates exact, text as written, missing where
missing, misfits counted and in their rows. For a share of the files, `xent fit` and `xent predict` must
agree with xent.SoftmaxRegression on the truth, prepared. Exit status 1: something failed.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd

import xent
from xent.cli.fit import fit
from xent.cli.options import ColumnOptions, FileOptions
from xent.cli.predict import predict
from xent.tables.kinds import typed, understand, verbatim
from xent.tables.preparing import preparation
from xent.tables.reading import batches, read

from . import table_files

AGAIN = "python -m tests.programs.fuzz_tables"
MOST_FAILURES = 20
WORDS = {"category", "text", "id"}
FEW = 20  # rows, below which words may be any of WORDS and a date or a number some of them


def check_file(case, path, fits, counts):
    """Raise AssertionError where what is read from this file is not the truth."""
    reading = read(str(path), case.options, verbatim=[case.target.name])
    every = [*case.columns, case.target]
    names = [column.name for column in every]
    assert list(reading.frame.columns) == names, f"names {list(reading.frame.columns)}, not {names}"
    frame = reading.frame.copy()
    n = len(case.target.values)
    assert len(frame) == n, f"{len(frame)} rows, not {n}"
    same("target", list(frame.pop(case.target.name)), case.target.values)
    columns = understand(frame, labels=np.array(case.target.values), decimal=reading.decimal)
    features = typed(frame, columns, where="t", fitting=True)
    for column, truth in zip(columns, case.columns, strict=True):
        check_column(column, truth, case, n)
        counts[f"kind {truth.kind}"] += 1
        if column.used and column.name in features:
            check_values(column, truth, features[column.name])
    check_batches(case, path, columns, features)
    if fits and case.tame and len(set(case.target.values)) > 1 and any(column.used for column in columns):
        check_fit(case, path, columns, features)
        counts["→ fitted, predicted and compared"] += 1


def check_column(column, truth, case, n):
    """Whether the column is taken for what it is, and what is said of it true."""
    known = [value for value in truth.values if value is not None]
    if not column.used:
        claims = {
            "empty": not known,
            "constant": len(set(known)) == 1 and len(known) == n,
            "id": len(set(known)) > 0.9 * len(known),
        }
        copy = (
            len(set(zip(truth.values, case.target.values, strict=True)))
            == len(set(truth.values))
            == len(set(case.target.values))
        )
        assert claims.get(column.kind, False) or ("copy" in column.why and copy), f"{truth.name!r}: {column}"
        return
    assert known, f"{truth.name!r}: used, and empty"
    if column.kind != truth.kind:
        assert truth.kind in WORDS | {"constant"} or n < FEW, f"{truth.name!r}: {truth.kind}, not {column}"
        assert column.kind in WORDS or truth.kind == "constant" or n < FEW, f"{truth.name!r}: {column}"
    if column.kind in WORDS and truth.kind not in WORDS:
        return
    found = (column.n_values, column.n_missing, column.n_misfits)
    assert found == (len(known), truth.missing, len(truth.misfits)), (
        f"{truth.name!r}: counts {found}, {column}"
    )
    first = tuple(sorted(truth.misfits.items()))[:3]
    said = tuple((row - 1, word) for row, word in column.misfits)
    assert said == first, f"{truth.name!r}: misfits {said}, not {first}"


def check_values(column, truth, found):
    if column.kind in WORDS and truth.kind not in WORDS | {"constant"}:
        return  # a few rows of whatever it is
    if column.remark and truth.doubtful:
        return  # said, and taken otherwise
    expected = truth.values
    if column.kind == "number":
        expected = [np.nan if value is None else float(value) for value in expected]
    same(
        repr(truth.name), list(found.where(found.notna(), None) if found.dtype == object else found), expected
    )


def same(what, found, expected):
    for row, (got, true) in enumerate(zip(found, expected, strict=True)):
        gone = got is None or got is pd.NaT or got == "" or got != got
        if true is None or true != true:
            right = gone
        elif isinstance(true, np.datetime64):
            right = not gone and pd.Timestamp(got) == pd.Timestamp(true)
        else:
            right = got == true
        assert right, f"{what}, row {row + 1}: {got!r}, not {true!r}"


def check_batches(case, path, columns, features):
    """Read again as a model reads it, some rows at a time: the same, or an error for what is ambiguous."""
    pieces = []
    start = 0
    for piece in batches(str(path), case.options, verbatim=verbatim(columns), rows=1 + len(features) // 2):
        frame = piece.frame.set_axis(pd.RangeIndex(start, start + len(piece.frame)))
        start += len(frame)
        pieces.append(typed(frame, columns, where="t", fitting=False, decimal=piece.decimal))
    pd.testing.assert_frame_equal(pd.concat(pieces), features, check_exact=True, check_freq=False)


def check_fit(case, path, columns, features):
    """The command's probabilities are those of the library on the truth."""
    folder = path.parent
    options = case.options
    file = FileOptions(options.sep, options.decimal, options.encoding)
    y = np.array(case.target.values)
    if all(label.isdecimal() and str(int(label)) == label for label in case.target.values):
        y = y.astype(int)
    used = [c for c in columns if c.used]
    truth = {column.name: column for column in case.columns}
    table = {c.name: as_typed(truth[c.name], features[c.name], c) for c in used}
    with quiet():
        prepare = preparation(columns)
        X = prepare.fit_transform(pd.DataFrame(table))
        direct = xent.SoftmaxRegression(C=1.0).fit(X, y).predict_proba(X)
        fit(
            str(path),
            target=case.target.name,
            C=1.0,
            holdout=0.0,
            output=folder / "m.xent",
            file=file,
            columns=ColumnOptions(missing_target="class"),
        )
        predict(folder / "m.xent", str(path), output=folder / "p.parquet", file=file)
    predicted = pd.read_parquet(folder / "p.parquet")
    found = predicted[[f"p_{label}" for label in np.unique(y)]].to_numpy()
    worst = np.abs(found - direct).max()
    assert worst <= 1e-12, f"predict differs by {worst} from the library on the truth"


def as_typed(truth, found, column):
    """The truth as `typed` must give it; of what was said to be doubtful, what was found."""
    if (column.remark and truth.doubtful) or (truth.kind not in WORDS and column.kind in WORDS):
        return found
    if column.kind in ("number", "duration"):
        return pd.Series([np.nan if v is None else float(v) for v in truth.values])
    values = ["" if v is None and column.kind == "text" else v for v in truth.values]
    return pd.Series(values, dtype="datetime64[ns]" if column.kind == "date" else object)


@contextlib.contextmanager
def quiet():
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()) as out:
        warnings.simplefilter("ignore")
        with contextlib.redirect_stderr(out):
            try:
                yield
            except SystemExit as error:
                raise AssertionError(
                    f"the command ended with {error.code}: {out.getvalue()[-600:]}"
                ) from None


def one_file(seed, index, fits, counts, folder):
    """Draw file `index`, write it, hold what is read to its truth. Any exception says what is wrong."""
    case = table_files.draw(seed, index)
    counts.update(case.kinds)
    path = Path(folder) / case.name
    path.write_bytes(case.bytes)
    check_file(case, path, index % 1000 < 1000 * fits, counts)


def describe(seed, index):
    case = table_files.draw(seed, index)
    rows, kinds = len(case.target.values), ", ".join(case.kinds)
    return (
        f"file {index}: {case.name}, {rows} rows, {case.options}; {kinds}\n"
        f"  again: {AGAIN} --seed {seed} --only {index} --keep FOLDER"
    )


def run(seed, indices, fits, keep=None):
    """(counts, failures) of these files."""
    counts, failures = Counter(), []
    for index in indices:
        with tempfile.TemporaryDirectory() as temporary:
            try:
                one_file(seed, index, fits, counts, keep or temporary)
            except Exception:
                failures.append(f"{describe(seed, index)}\n{traceback.format_exc(limit=-3)}")
                print(f"\nFAILED {failures[-1]}", flush=True)
        if len(failures) >= MOST_FAILURES:
            break
    return counts, failures


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--files", type=int, default=5000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--from", dest="first", type=int, default=0, help="the first file")
    parser.add_argument("--fits", type=float, default=0.1, help="share of the files that are fitted")
    parser.add_argument("--only", type=int)
    parser.add_argument("--keep", help="the folder in which --only leaves its file")
    args = parser.parse_args(argv)
    indices = range(args.first, args.first + args.files) if args.only is None else [args.only]
    start = time.monotonic()
    counts, failures = run(args.seed, indices, args.fits if args.only is None else 1.0, args.keep)
    for name, count in sorted(counts.items()):
        print(f"{count:8,} {name}")
    print(f"\n{len(indices):,} files in {time.monotonic() - start:.0f} s, {len(failures)} failed")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
