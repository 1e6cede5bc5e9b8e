"""What a later table holds is read as what it was when the model was fitted, or refused: nothing of it
becomes missing without a word."""

import datetime
import warnings
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest

import xent
from xent.cli import tables

N = 60
DAYS = pd.date_range("2021-01-01", periods=N)
FRAME = pd.DataFrame(
    {
        "when": DAYS.strftime("%Y-%m-%d"),
        "europe": DAYS.strftime("%d.%m.%Y"),
        "unusual": DAYS.strftime("%Y-%d-%m"),
        "stamp": DAYS,
        "day": DAYS.date,
        "number": np.arange(N) / 8,
        "marked": ["?" if i % 7 == 0 else str(i / 2) for i in range(N)],
        "decimal": [Decimal(i) for i in range(N)],
        "flag": [None if i % 5 == 0 else i % 3 == 0 for i in range(N)],
        "span": pd.to_timedelta(np.arange(N), unit="h"),
        "note": [f"lot {i} of things" for i in range(N)],
    }
)


@pytest.fixture(scope="module", params=["csv", "parquet"])
def fitted(request, tmp_path_factory):
    """A model of FRAME, read from a file of this kind; what its columns were; its table."""
    path = tmp_path_factory.mktemp("tables") / f"t.{request.param}"
    write(FRAME, path)
    table = tables.read(str(path), None, need_target=False).features
    if request.param == "csv":  # a format that has no spans
        table["span"] = pd.to_timedelta(table["span"])
    y = np.random.default_rng(0).integers(0, 2, N)
    model = tables.pipeline(table, xent.SoftmaxRegression(), 0).fit(table, y)
    return model, tables.kinds_of(table), table


def write(frame, path):
    frame.to_csv(path, index=False) if path.suffix == ".csv" else frame.to_parquet(path)


def read(fitted, frame, path):
    model, kinds, _ = fitted
    write(frame, path)
    return tables.read(str(path), None, need_target=False, kinds=kinds, model=model).features


def encoded(fitted, table):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return fitted[0][:-1].transform(table)


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_the_same_table_gives_the_same_numbers_from_any_format(fitted, tmp_path, suffix):
    model, _, table = fitted
    expected = model.predict_proba(table)
    read_again = read(fitted, FRAME, tmp_path / f"n.{suffix}")
    np.testing.assert_array_equal(model.predict_proba(read_again), expected)
    # A text that the pipeline took for dates or numbers, and what it stands for.
    stamps = FRAME.assign(when=DAYS, europe=DAYS, day=DAYS, decimal=np.arange(N) / 1)
    stamps["marked"] = pd.to_numeric(FRAME["marked"], errors="coerce")
    stamps["flag"] = stamps["flag"].astype("boolean")
    read_again = read(fitted, stamps, tmp_path / f"n.{suffix}")
    np.testing.assert_array_equal(model.predict_proba(read_again), expected)


@pytest.mark.parametrize("column", ["when", "europe", "stamp", "day"])
@pytest.mark.parametrize("text", ["2021-03-02 12:30:00", "2021/03/02 12:30", "2021-03-02T14:30+02:00"])
def test_year_month_day_is_read_whatever_the_format_was(fitted, tmp_path, column, text):
    table = read(fitted, FRAME.assign(**{column: text}), tmp_path / "n.csv")
    meant = FRAME.assign(**{column: pd.Timestamp("2021-03-02 12:30")})
    expected = read(fitted, meant, tmp_path / "n.parquet")
    np.testing.assert_array_equal(encoded(fitted, table), encoded(fitted, expected))


@pytest.mark.parametrize(
    ("column", "texts", "was"),
    [
        ("when", ["01/03/2021", "01.03.2021", "2021-13-45", "1 March", "now"], "a date"),
        ("europe", ["03/01/2021", "2021-13-45", "32.01.2021"], "a date"),
        ("unusual", ["2021-02-14", "2021-13-45"], "a date"),  # year, day, month: 14 is no month
        ("stamp", ["01/03/2021", "03.2021", "soon"], "a date"),
        ("day", ["01/03/2021", "soon"], "a date"),
        ("number", ["1,5", "abc", "1_000", "$3"], "a number"),
        ("marked", ["1,5", "abc", "45%", "-"], "a number"),
        ("decimal", ["1,5", "abc"], "a number"),
        ("flag", ["yes", "Wahr"], "a number"),
        ("span", ["abc", "a while"], "a duration"),
    ],
)
@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_what_cannot_be_read_is_named(fitted, tmp_path, column, texts, was, suffix):
    for text in texts:
        values = list(FRAME[column].astype(str).where(FRAME[column].notna(), None))
        values[7] = text
        with pytest.raises(tables.TableError) as caught:
            read(fitted, FRAME.assign(**{column: values}), tmp_path / f"n.{suffix}")
        said = str(caught.value)
        expected = f"column {column!r} was {was} when the model was fitted; now row 7 has {text!r}; leave it"
        assert expected in said
        assert ("write it as 2021-03-31" in said) is (was == "a date")
        assert ("or as it was then, %d.%m.%Y" in said) is (column == "europe")


@pytest.mark.parametrize("column", ["when", "europe", "marked", "decimal", "flag"])
def test_what_was_missing_then_is_missing_now(fitted, tmp_path, column):
    """The signs of a missing value are skrub's, as in `fit`: they are no error."""
    if column == "decimal" and fitted[1]["decimal"] == "number":
        column = "marked"  # read as numbers from the start, where "?" is none
    values = list(FRAME[column].astype(str).where(FRAME[column].notna(), None))
    values[7:10] = ["?", "N/A", ""]
    table = read(fitted, FRAME.assign(**{column: values}), tmp_path / "n.csv")
    assert table[column].isna()[7:10].all()
    holes = FRAME.astype({column: object})
    holes.loc[7:9, column] = None
    expected = read(fitted, holes, tmp_path / "n.parquet")
    np.testing.assert_array_equal(encoded(fitted, table), encoded(fitted, expected))


def test_a_category_that_no_fitted_row_had_is_named(tmp_path):
    frame = pd.DataFrame({"size": [1.0, 2.0, 3.0] * 20, "colour": ["red", "green", "blue"] * 20})
    model = tables.pipeline(frame, xent.SoftmaxRegression(), 0).fit(frame, np.arange(60) % 2)
    assert tables.unknown_categories(frame, model) == []
    assert tables.unknown_categories(frame[["size"]], xent.SoftmaxRegression()) == []
    frame.loc[[4, 7], "colour"] = "mauve"
    (line,) = tables.unknown_categories(frame, model)
    assert line.startswith("column 'colour': row 4 has 'mauve', which no fitted row had (2 such rows)")
    frame.loc[2, "colour"] = None
    (line,) = tables.unknown_categories(frame, model)
    assert line.startswith("column 'colour': row 2 has no value, which no fitted row had (3 such rows)")


def test_a_text_stays_text(fitted, tmp_path):
    with pytest.raises(tables.TableError, match="column 'note' was a text when the model was fitted; now it"):
        read(fitted, FRAME.assign(note=datetime.timedelta(1)), tmp_path / "n.parquet")
    table = read(fitted, FRAME.assign(note="2021-03-01"), tmp_path / "n.csv")
    assert (table["note"] == "2021-03-01").all()
