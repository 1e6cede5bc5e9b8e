"""Tables of many columns: from any format, kept in a model file, said in a grid."""

import datetime
import json
import time
from decimal import Decimal

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from xent.tables.errors import TableError
from xent.tables.kinds import KINDS, Column, describe, table_rows, typed, understand, verbatim

from .columns import fit, one, predict, repeated

DAYS = pd.date_range("2021-01-01", periods=60)


@pytest.mark.parametrize("fitted", ["csv", "parquet"])
@pytest.mark.parametrize("later", ["csv", "parquet"])
def test_a_model_of_one_format_takes_the_other(tmp_path, fitted, later):
    n = len(DAYS)
    frame = pd.DataFrame(
        {
            "stamp": DAYS,
            "day": DAYS.date,
            "number": np.arange(n) / 8,
            "decimal": [Decimal(i) / 4 for i in range(n)],
            "flag": [None if i % 5 == 0 else i % 3 == 0 for i in range(n)],
            "colour": pd.Categorical(["red", "green", "blue"] * 20),
            "span": pd.to_timedelta(np.arange(n), unit="h"),
            "count": pd.array([None, *range(1, n)], dtype="Int64"),
            "note": [f"lot {i} of things" for i in range(n)],
        }
    )

    def through(kind):
        path = tmp_path / f"t.{kind}"
        if kind == "csv":
            frame.to_csv(path, index=False)
            return pd.read_csv(path, keep_default_na=False, na_values=[""])
        frame.to_parquet(path)
        return pd.read_parquet(path)

    columns = understand(through(fitted))
    assert [c.kind for c in columns] == (
        ["date", "date", "number", "number", "category", "category", "duration", "number", "text"]
    )
    expected = typed(through(fitted), columns, where="t", fitting=True)
    assert [str(dtype) for dtype in expected.dtypes] == (
        ["datetime64[ns]"] * 2 + ["float64"] * 2 + ["object"] * 2 + ["float64"] * 2 + ["object"]
    )
    pd.testing.assert_frame_equal(typed(through(later), columns, where="n", fitting=False), expected)


DAY = datetime.date(2021, 3, 4)


@pytest.mark.parametrize("arrow", [False, True])
@pytest.mark.parametrize(
    ("dtype", "values", "kind", "expected"),
    [
        (pa.int64(), [1, 7], "number", [1, 7]),
        (pa.float16(), [np.float16(1), np.float16(2)], "number", [1, 2]),
        (pa.decimal128(10, 2), [Decimal("1.25"), Decimal(7)], "number", [1.25, 7]),
        (pa.bool_(), [True, False], "category", ["True", "False"]),
        (pa.string(), ["a", "b"], "category", ["a", "b"]),
        (pa.binary(), [b"a", b"b"], "category", ["a", "b"]),
        (pa.dictionary(pa.int8(), pa.string()), ["a", "b"], "category", ["a", "b"]),
        (pa.date32(), [DAY, DAY + datetime.timedelta(1)], "date", ["2021-03-04", "2021-03-05"]),
        (pa.timestamp("us", "Asia/Tokyo"), [0, 10**6], "date", ["1970-01-01", "1970-01-01T00:00:01"]),
        (pa.duration("ms"), [5000, 6500], "duration", [5, 6.5]),
        (pa.time64("us"), [5_000_000, 6_500_000], "duration", [5, 6.5]),
        (pa.large_string(), ["2021-03-04", "2021-03-05"], "date", ["2021-03-04", "2021-03-05"]),
    ],
)
def test_types_of_parquet(dtype, values, kind, expected, arrow):
    array = pa.array([*values, None] * 10, dtype)
    column = pd.Series(pd.arrays.ArrowExtensionArray(array)) if arrow else array.to_pandas()
    found = one(column)
    assert (found.kind, found.n_values, found.n_missing) == (kind, 20, 10)
    values = fit(column)
    assert values[2:30:3].isna().all()
    got = values[:2].to_numpy()
    assert (got == np.array(expected, dtype=got.dtype)).all()


@pytest.mark.parametrize("arrow", [False, True])
@pytest.mark.parametrize("dtype", [pa.list_(pa.int64()), pa.struct([("a", pa.int64())])])
def test_lists_and_structs_are_refused(dtype, arrow):
    array = pa.array([[1], [2]] if pa.types.is_list(dtype) else [{"a": 1}, {"a": 2}], dtype)
    with pytest.raises(TableError, match=r"column 'x' holds a \w+ in each row; split it into columns of one"):
        one(pd.Series(pd.arrays.ArrowExtensionArray(array)) if arrow else array.to_pandas())


def test_columns_missing_later_and_cells_of_many_values_are_named():
    frame = pd.DataFrame({"a": [1.5, 2.5], "b": [2.5, 1.5]})
    columns = understand(frame)
    with pytest.raises(
        TableError, match=r"n.csv: 1 of the model's columns is missing: 'b'; the file has 'a', 'c'"
    ):
        typed(frame.rename(columns={"b": "c"}), columns, where="n.csv", fitting=False)
    with pytest.raises(TableError, match="column 'x' holds a list in each row; split it"):
        one([[1], [2]])
    with pytest.raises(TableError, match=r"was a number .* it holds a date in each row"):
        predict(Column("x", "number"), DAYS)
    with pytest.raises(TableError, match=r"was a text .* it holds a duration in each row"):
        predict(Column("x", "text"), pd.to_timedelta([1], unit="h"))


def test_a_column_with_no_value_later_is_missing_in_every_kind():
    for empty in ([None, None], [np.nan, np.nan], ["", "NA"]):
        for kind in ("number", "duration", "date", "category"):
            assert predict(Column("x", kind), empty).isna().all()
        assert list(predict(Column("x", "text"), empty)) == ["", ""]  # a text of no words


def test_a_model_file_keeps_all_of_a_column():
    texts = [str(i / 8) for i in range(100)]
    texts[3] = "-"
    columns = [one(texts), one(repeated("03/04/2021", "05/06/2021")), one(["a"] * 3), one(repeated("$1,200"))]
    for column in columns:
        assert column.kind in KINDS
        assert Column.from_dict(json.loads(json.dumps(column.to_dict()))) == column


def test_the_grid_and_what_must_be_read_as_written():
    frame = pd.DataFrame(
        {
            "price": [*repeated("$1,200", "$5"), "-"],
            "zip": [*repeated("01234", "56789"), None],
            "plain": [*repeated(1.5, 2.5), None],
            "when": [*repeated("2021-03-04", "2021-03-05"), None],
            "same": ["a"] * 21,
        }
    )
    columns = understand(frame)
    assert table_rows(columns) == [
        ("price", "number", 20, 1, "written as $1,234.5; '-' in row 21 taken as missing"),
        ("zip", "category", 20, 1, "some of its values begin with 0, as codes do"),
        ("plain", "number", 20, 1, ""),
        ("when", "date", 20, 1, "written as %Y-%m-%d"),
        ("same", "constant", 21, 0, "left out: it has the same value in every row, 'a'"),
    ]
    assert verbatim(columns) == ["price", "zip"]


def test_a_million_rows_take_seconds():
    """About one on an idle core each; the limit only sees work that goes row by row in Python."""
    n = 1_000_000
    rng = np.random.default_rng(0)
    stamps = pd.Series(pd.Timestamp("2000-01-01") + pd.to_timedelta(rng.integers(0, 7 * 10**8, n), unit="s"))
    for values in (
        [f"${v:,.2f}" for v in rng.normal(size=n) * 1e4],
        stamps.dt.strftime("%m/%d/%Y %H:%M:%S"),
        [f"the w{a} of b{b}" for a, b in rng.integers(0, 1000, (n, 2))],
    ):
        frame = pd.DataFrame({"x": values})
        start = time.process_time()
        understand(frame)
        assert time.process_time() - start < 6


PIECES = [
    *("1,200", "$5", "7%", "1.5", "-3", "(4)", "1e5", "1e999", "12 kg", "01", "1,2,3", "1.2.3", "٣"),
    *("--", "$", "%", "("),
    *("2021-03-04", "03/04/2021", "25.12.2021", "4 May 2021", "20210304", "2021-03-04T10:00Z", "9999-12-31"),
    *("10:30", "2 days", "12am", "00:00:61", "true", "False", "yes", "red", "a b c d", "é–ü"),
    *("-", "n.a.", "NA", "", "\n", None),
]


@pytest.mark.parametrize("seed", range(30))
def test_any_texts_are_said_and_read_again_the_same(seed):
    """Whatever a column is taken for: its counts are those of its values, in pieces and read again, too."""
    rng = np.random.default_rng(seed)
    some = rng.choice(np.array(PIECES, dtype=object), rng.integers(1, 5))
    texts = rng.choice(some, 60, p=rng.dirichlet(np.ones(len(some))))
    frame = pd.DataFrame({"x": pd.Series(texts, dtype=object)})
    for kind in (None, "number", "date", "duration", "category", "text"):
        try:
            (column,) = understand(frame, overrides={"x": kind} if kind else {}, keep=["x"])
        except TableError:
            if kind in ("number", "date", "duration"):  # which nothing there is
                continue
            raise
        assert column.n_values + column.n_missing + column.n_misfits == 60
        if not column.used:
            assert column.kind == "empty"
            continue
        values = typed(frame, [column], where="t", fitting=True)
        assert values["x"].replace("", None).notna().sum() == column.n_values
        again = [typed(frame[a : a + 7], [column], where="t", fitting=False) for a in range(0, 60, 7)]
        pd.testing.assert_frame_equal(pd.concat(again), values)
        describe([column]), table_rows([column])
