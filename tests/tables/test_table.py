"""A table as the commands take it, and the same table later, from any format and some rows at a time."""

from decimal import Decimal
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from xent.tables.errors import TableError
from xent.tables.sources import Options
from xent.tables.table import load, pieces

N = 60
DAYS = pd.date_range("2021-01-01", periods=N)
ANY = Options()


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def frame():
    """A column of each kind, holes among them; those of CSV have nothing else in the other formats."""
    return pd.DataFrame(
        {
            "when": DAYS.strftime("%Y-%m-%d"),
            "europe": DAYS.strftime("%d.%m.%Y"),
            "stamp": DAYS,
            "number": np.arange(N) * 7 % 11 / 8,
            "marked": ["?" if i % 7 == 0 else str(i % 9 / 2) for i in range(N)],
            "decimal": [Decimal(i % 13) for i in range(N)],
            "flag": [None if i % 5 == 0 else i % 3 == 0 for i in range(N)],
            "span": pd.to_timedelta(np.arange(N) % 17, unit="h"),
            "zip": [f"0{i % 4}100" for i in range(N)],
            "note": [f"lot {i} of things" for i in range(N)],
            "y": [("a", "b", "c")[i * i % 7 % 3] for i in range(N)],
        }
    )


def written(data, name):
    path = Path(name)
    data.to_csv(path, index=False) if path.suffix == ".csv" else data.to_parquet(path)
    return name


@pytest.fixture(params=[".csv", ".parquet"])
def fitted(request):
    return load(written(frame(), f"t{request.param}"), "y", ANY, kinds={})


def later(fitted, data, name="n.csv", **options):
    read = [features for features, _ in pieces(written(data, name), fitted.columns, ANY, **options)]
    return pd.concat(read)


def test_every_column_is_of_its_kind_and_the_target_apart(fitted):
    kinds = {column.name: column.kind for column in fitted.columns}
    assert kinds == {
        **dict.fromkeys(("when", "europe", "stamp"), "date"),
        **dict.fromkeys(("number", "marked", "decimal"), "number"),
        **{"flag": "category", "span": "duration", "zip": "category", "note": "text"},
    }
    assert list(fitted.features) == list(kinds)
    assert fitted.labels.tolist() == frame()["y"].tolist()
    assert fitted.classes == frame()["y"].value_counts().sort_index().to_dict()
    assert (fitted.features["europe"] == DAYS).all()
    assert fitted.features["zip"].iloc[0] == "00100"


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_the_same_table_is_the_same_from_any_format(fitted, suffix):
    pd.testing.assert_frame_equal(later(fitted, frame(), f"n{suffix}"), fitted.features)
    typed = frame().assign(when=DAYS, europe=DAYS.date, decimal=np.arange(N) % 13 / 1)
    typed["marked"] = pd.to_numeric(frame()["marked"], errors="coerce")
    typed["flag"] = typed["flag"].astype("boolean")
    pd.testing.assert_frame_equal(later(fitted, typed, f"n{suffix}"), fitted.features)


@pytest.mark.parametrize("column", ["when", "europe", "stamp"])
@pytest.mark.parametrize("text", ["2021-03-02 12:30:00", "2021/03/02 12:30", "2021-03-02T14:30+02:00"])
def test_year_month_day_is_read_whatever_the_format_was(fitted, column, text):
    found = later(fitted, frame().assign(**{column: text}))
    assert (found[column] == pd.Timestamp("2021-03-02 12:30")).all()


@pytest.mark.parametrize(
    ("column", "texts", "was"),
    [
        ("when", ["01/03/2021", "2021-13-45", "1 Marz", "now"], "a date"),
        ("europe", ["2021-13-45", "32.01.2021"], "a date"),
        ("stamp", ["01/03/2021", "03.2021", "soon"], "a date"),
        ("number", ["abc", "1_000", "1 m"], "a number"),
        ("marked", ["abc", "45 kg", "-"], "a number"),
        ("decimal", ["abc"], "a number"),
        ("flag", ["yes", "Wahr"], "a category"),
        ("span", ["abc", "a while"], "a duration"),
    ],
)
def test_what_cannot_be_read_is_named(fitted, column, texts, was):
    for text in texts:
        values = [None if pd.isna(cell) else str(cell) for cell in frame()[column]]
        values[6] = text
        with pytest.raises(TableError) as caught:
            later(fitted, frame().assign(**{column: values}))
        said = str(caught.value)
        expected = f"column {column!r} was {was} when the model was fitted; now row 7 has {text!r}; leave it"
        assert expected in said
        assert ("write it as 2021-03-31" in said) is (was == "a date")
        assert ("or as it was then, %d.%m.%Y" in said) is (column == "europe")


@pytest.mark.parametrize("column", ["when", "europe", "marked", "decimal", "flag"])
def test_what_was_missing_then_is_missing_now(fitted, column):
    values = [None if pd.isna(cell) else str(cell) for cell in frame()[column]]
    values[7:10] = ["?", "N/A", ""]
    found = later(fitted, frame().assign(**{column: values}))[column]
    assert found.isna()[7:10].all()
    rest = found.drop(index=[7, 8, 9])
    pd.testing.assert_series_equal(rest, fitted.features[column].drop(index=[7, 8, 9]))


def test_a_text_stays_text(fitted):
    assert (later(fitted, frame().assign(note="2021-03-01"))["note"] == "2021-03-01").all()
    assert (later(fitted, frame().assign(note="12.50"))["note"] == "12.50").all()
    assert (later(fitted, frame().assign(zip="07"))["zip"] == "07").all()


def test_rows_are_counted_through_the_pieces():
    """The pieces have 65,536 rows at most; a row in the second is counted from the table's first."""
    n = 70_000
    data = pd.DataFrame({"x": np.arange(n) % 1000 / 8, "name": np.arange(n), "y": np.arange(n) % 3 % 2})
    fitted = load(written(data, "t.csv"), "y", ANY, kinds={})
    found = list(pieces("t.csv", fitted.columns, ANY, also=("name", "y")))
    assert len(found) > 1
    pd.testing.assert_frame_equal(pd.concat([features for features, _ in found]), fitted.features)
    cells = pd.concat([cells for _, cells in found])
    assert cells["name"].tolist() == [str(i) for i in range(n)]
    assert cells.index.tolist() == list(range(n))
    lines = Path("t.csv").read_text().splitlines()
    lines[69_999] = "oops,1,1"
    Path("n.csv").write_text("\n".join(lines) + "\n")
    with pytest.raises(TableError, match=r"column 'x' was a number .* row 69,999 has 'oops'"):
        list(pieces("n.csv", fitted.columns, ANY))


def test_rows_without_a_class_are_dropped_from_both_sides():
    data = frame()
    data.loc[[3, 5], "y"] = "NA"
    table = load(written(data, "t.csv"), "y", ANY, kinds={}, missing_target="drop")
    kept = [i for i in range(N) if i not in (3, 5)]
    assert table.features.index.tolist() == kept
    assert table.labels.tolist() == data["y"].iloc[kept].tolist()
    assert any("has 'NA' in 2 of its rows, first in row 4" in line for line in table.sentences())


def test_what_is_missing_of_a_table_is_said():
    written(frame(), "t.csv")
    with pytest.raises(TableError, match=r"with --target COLUMN; it has 'when', 'europe', .*'y'"):
        load("t.csv", None, ANY, kinds={})
    with pytest.raises(TableError, match=r"t\.csv: no column 'z'; it has 'when', 'europe'"):
        load("t.csv", "z", ANY, kinds={})
    with pytest.raises(TableError, match=r"no such file"):
        load("nowhere.csv", None, ANY, kinds={})
    Path("h.csv").write_text("x;y\n" + "1;u\n" * 9)
    with pytest.raises(TableError, match=r"only one class, 'u' in all 9 rows; .* \(as it was read: .*';'"):
        load("h.csv", "y", ANY, kinds={})
    assert load("iris", None, ANY, kinds={}).target == "target"


def test_choices_of_kinds_and_columns_to_keep():
    data = frame().assign(row=range(1, N + 1))
    table = load(written(data, "t.csv"), "y", ANY, kinds={"zip": "number", "note": "id"}, keep=["row"])
    kinds = {column.name: (column.kind, column.used) for column in table.columns}
    assert (kinds["zip"], kinds["note"], kinds["row"]) == (("number", True), ("id", False), ("number", True))
    assert table.features["zip"].iloc[1] == 1100
    assert "note" not in table.features
