"""A hundred and fifty messy files: the right answer, or a message that names column, row and remedy."""

import bz2
import gzip
import io
import lzma
import subprocess
import sys
import zipfile
from decimal import Decimal
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from sklearn.datasets import dump_svmlight_file

from xent.tables.errors import TableError
from xent.tables.sources import Options
from xent.tables.table import load

from .command import call

SIZES = [f"{i * 37 % 60 / 8:.3f}" for i in range(60)]
COLOURS = [("red", "grün", "blau")[i % 3] for i in range(60)]
LABELS = [("yes", "no")[i * 7 % 5 % 2] for i in range(60)]
ROWS = list(zip(SIZES, COLOURS, LABELS, strict=True))


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def text(sep=",", decimal=".", end="\n", header=("size", "colour", "y"), rows=ROWS):
    lines = [header, *((size.replace(".", decimal), colour, label) for size, colour, label in rows)]
    return "".join(sep.join(line) + end for line in lines)


def written(content, name="t.csv"):
    path = Path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return name


def right(table):
    """It is ROWS, whatever the file looked like."""
    size, colour = table.features.columns
    np.testing.assert_allclose(table.features[size], np.array(SIZES, float))
    assert table.features[colour].tolist() == COLOURS
    assert table.labels.tolist() == LABELS
    return True


# How a file of text is written


def quoted(**options):
    return "".join(
        ",".join(f'"{cell}"' for cell in line.split(";")) + "\n" for line in text(";", **options).splitlines()
    )


PLAIN = text()
FILES = {
    "plain.csv": PLAIN,
    "UPPER.CSV": PLAIN,
    "with blanks.csv": PLAIN,
    "Zürich/ü ñ.csv": PLAIN,
    "semicolon.csv": text(";"),
    "excel europe.csv": text(";", ","),
    "tabs.tsv": text("\t"),
    "tabs.csv": text("\t"),
    "tabs comma.txt": text("\t", ","),
    "bars.txt": text("|"),
    "t.data": PLAIN,
    "noending": PLAIN,
    "quoted.csv": quoted(),
    "quoted comma.csv": quoted(decimal=","),
    "crlf.csv": text(end="\r\n"),
    "mac.csv": text(end="\r"),
    "bom.csv": b"\xef\xbb\xbf" + PLAIN.encode(),
    "sep line.csv": "sep=;\n" + text(";"),
    "comment.csv": "# made by hand\n" + PLAIN,
    "blank lines.csv": "\n\n" + PLAIN + "\n\n",
    "no last newline.csv": PLAIN.rstrip("\n"),
    "blank header.csv": text(header=(" size", " colour ", "y")),
    "padded.csv": text(", "),
    "latin-1.csv": PLAIN.encode("latin-1"),
    "latin-1 semicolon.csv": text(";", ",").encode("latin-1"),
    "utf-16.csv": PLAIN.encode("utf-16"),
    "utf-16-le.csv": b"\xff\xfe" + PLAIN.encode("utf-16-le"),
    "t.csv.gz": gzip.compress(PLAIN.encode()),
    "gz named.csv": gzip.compress(PLAIN.encode()),
    "t.csv.bz2": bz2.compress(PLAIN.encode()),
    "t.csv.xz": lzma.compress(PLAIN.encode()),
    "t.csv.zst": pa.Codec("zstd").compress(PLAIN.encode(), asbytes=True),
    "trailing comma.csv": "".join(line + ",\n" for line in PLAIN.splitlines()),
}


@pytest.mark.parametrize("name", FILES)
def test_text_is_read_however_it_is_written(name):
    assert right(load(written(FILES[name], name), "y", Options(), kinds={}))


def frame():
    return pd.DataFrame({"size": np.array(SIZES, float), "colour": COLOURS, "y": LABELS})


def test_json_lines():
    frame().to_json("t.jsonl", orient="records", lines=True)
    frame().to_json("t.json", orient="records")
    for name in ("t.jsonl", "t.json"):
        assert right(load(name, "y", Options(), kinds={}))


def test_zip_parquet_feather_and_misnamed():
    with zipfile.ZipFile("t.zip", "w") as archive:
        archive.writestr("inside.csv", PLAIN)
    frame().to_parquet("t.pq")
    frame().to_feather("t.feather")
    Path("named.csv").write_bytes(Path("t.pq").read_bytes())
    for name in ("t.zip", "t.pq", "t.feather", "named.csv"):
        assert right(load(name, "y", Options(), kinds={}))
    assert "whatever its name says" in load("named.csv", "y", Options(), kinds={}).notes[0]


def test_arff_and_svmlight():
    head = "@relation r\n@attribute size numeric\n@attribute colour {red,grün,blau}\n"
    head += "@attribute y {yes,no}\n@data\n"
    written(head + "".join(",".join(row) + "\n" for row in ROWS), "t.arff")
    with pytest.raises(TableError, match=r"t\.arff: cannot be read as ARFF: .*; save it as CSV"):
        load("t.arff", "y", Options(), kinds={})  # SciPy's reader takes ASCII alone
    written(Path("t.arff").read_text(encoding="utf-8").replace("ü", "u"), "t.arff")
    table = load("t.arff", "y", Options(), kinds={})
    np.testing.assert_allclose(table.features["size"], np.array(SIZES, float))
    assert table.features["colour"].tolist() == [colour.replace("ü", "u") for colour in COLOURS]
    assert table.labels.tolist() == LABELS
    X = np.array(SIZES, float)[:, None] + [1, 2]
    dump_svmlight_file(X, np.arange(60) % 2, "t.svmlight", zero_based=False)
    table = load("t.svmlight", "target", Options(), kinds={})
    np.testing.assert_allclose(table.features.to_numpy(), X)
    assert table.labels.tolist() == [0, 1] * 30


def test_parts_in_folders_and_patterns():
    header, *lines = PLAIN.splitlines(keepends=True)
    for k in range(3):
        part = header + "".join(lines[20 * k : 20 * k + 20])
        written(part, f"parts/p{k}.csv")
        written(part, f"x.csv/part-{k}.csv")
        frame()[20 * k : 20 * k + 20].to_parquet(f"parts/p{k}.parquet")
    for source in ("x.csv", "parts/*.csv", "parts/*.parquet", "parts/p?.csv"):
        table = load(source, "y", Options(), kinds={})
        assert right(table)
        assert any("3 files were put together" in note for note in table.notes)
    with pytest.raises(TableError, match=r"several kinds \(.csv, .parquet\); name those that are parts"):
        load("parts", "y", Options(), kinds={})


@pytest.mark.parametrize("source", ["-"])
def test_standard_input(monkeypatch, source):
    class Pipe:
        buffer = io.BytesIO(PLAIN.encode())

    monkeypatch.setattr(sys, "stdin", Pipe)
    assert right(load(source, "y", Options(), kinds={}))


# What a column of features is

NUMBERS = {
    "thousands": ("1,234.50", 1234.5),
    "dollars": ("$1,200", 1200),
    "euros": ("1.200,50 €", 1200.5),
    "percent": ("45%", 45),
    "comma": ("1,5", 1.5),
    "exponent": ("2.5e-3", 0.0025),
    "plus": ("+7.5", 7.5),
    "minus sign": ("\u22127.5", -7.5),
    "brackets": ("(12.50)", -12.5),
    "thin blanks": ("1\u202f200.5", 1200.5),
    "apostrophe": ("1'200.5", 1200.5),
}


def column(cells, **options):
    """The column x of a file with these cells, a CSV writer's quotes around them, and its table."""
    n = len(cells)
    data = pd.DataFrame(
        {"x": cells, "z": np.arange(n) * 7 % 10 / 2, "y": [("u", "v")[i * 3 % 4 % 2] for i in range(n)]}
    )
    data.to_csv("c.csv", index=False)
    table = load("c.csv", "y", Options(), kinds=options.pop("kinds", {}), **options)
    return next(c for c in table.columns if c.name == "x"), table


@pytest.mark.parametrize("form", NUMBERS)
def test_numbers_in_the_forms_that_people_write(form):
    cell, value = NUMBERS[form]
    cells = [cell, cell.replace("2", "3").replace("5", "6"), cell.replace("2", "4").replace("5", "8")] * 20
    found, table = column(cells)
    assert found.kind == "number"
    assert table.features["x"].iloc[0] == pytest.approx(value)


@pytest.mark.parametrize("word", ["-", "missing", "n.a.", "unknown", "#DIV/0!"])
def test_a_word_among_numbers_is_missing_and_said(word):
    cells = [str(i / 8) for i in range(200)]
    cells[122] = word
    found, table = column(cells)
    assert (found.kind, found.n_values, found.n_misfits) == ("number", 199, 1)
    assert np.flatnonzero(table.features["x"].isna()).tolist() == [122]
    expected = f"column 'x': 199 numbers, and {word!r} in row 123, which is taken as missing; --kind x=text"
    assert any(line.startswith(expected) for line in table.sentences())


@pytest.mark.parametrize("word", ["NA", "N/A", "null", "NaN", "None", "#N/A", "", "?"])
def test_signs_of_a_missing_value_are_missing(word):
    found, table = column([word if i % 9 == 4 else str(i / 8) for i in range(60)])
    assert (found.kind, found.n_missing, found.n_misfits) == ("number", 7, 0)
    assert table.features["x"].isna().sum() == 7


def test_a_number_that_stands_for_none_stays_a_number():
    found, table = column([-999 if i % 9 == 4 else i / 8 for i in range(60)])
    assert (table.features["x"] == -999).sum() == 7
    assert found.n_missing == 0


DATES = ["%Y-%m-%d", "%d.%m.%Y", "%m/%d/%Y", "%d/%m/%Y %H:%M", "%b %d, %Y", "%d %B %Y", "%Y%m%d", "%Y/%m/%d"]


@pytest.mark.parametrize("form", DATES)
def test_dates(form):
    days = pd.date_range("2021-01-05", periods=60, freq="3D")
    found, table = column(days.strftime(form))
    assert found.kind == "date"
    assert (table.features["x"].dt.floor("D") == days).all()


def test_two_forms_of_dates_zones_and_durations():
    days = pd.date_range("2021-01-05", periods=60, freq="3D")
    cells = [day.strftime("%d.%m.%Y" if i % 4 == 3 else "%Y-%m-%d") for i, day in enumerate(days)]
    found, table = column(cells)
    assert found.kind == "date"
    assert (table.features["x"] == days).all()
    zones = [
        day.strftime("%Y-%m-%dT12:00:00") + ("+02:00", "-05:00", "Z")[i % 3] for i, day in enumerate(days)
    ]
    found, table = column(zones)
    assert found.kind == "date"
    hours = table.features["x"].dt.hour.tolist()
    assert hours == [10, 17, 12] * 20
    found, table = column([f"0 days 0{i % 7}:30:00" for i in range(60)])
    assert (found.kind, table.features["x"].iloc[3]) == ("duration", 3.5 * 3600)


@pytest.mark.parametrize(
    ("cells", "kind", "why"),
    [
        ([f"k{i * 7919 % 100003}" for i in range(60)], "id", "has a value of its own, as names and keys do"),
        ([f"Ann{i} Berg{i}" for i in range(60)], "id", "has a value of its own"),
        (list(range(1, 61)), "id", "it numbers the rows"),
        ([2**62 + i * 7919 % 100003 for i in range(60)], "id", "long whole number of its own, as keys do"),
        (["same"] * 60, "constant", "it has the same value in every row, 'same'"),
        ([2020] * 60, "constant", "it has the same value in every row"),
        ([""] * 60, "empty", "it has no value in any row"),
        ([("b", "a")[i * 3 % 4 % 2] for i in range(60)], "category", "it tells the target one to one"),
    ],
)
def test_columns_of_no_use_are_left_out_with_a_word(cells, kind, why):
    found, table = column(cells)
    assert (found.kind, found.used) == (kind, False)
    assert why in found.why
    assert list(table.features.columns) == ["z"]
    assert any(line.startswith("column 'x' is left out: ") for line in table.sentences())
    if kind != "empty":
        assert "x" in column(cells, keep=["x"])[1].features


def test_codes_keep_their_zeros():
    found, table = column([f"0{i % 4}234" for i in range(60)])
    assert found.kind == "category"
    assert table.features["x"].iloc[0] == "00234"


# What cannot be used


def refused(content, *says, name="t.csv", target="y", **options):
    with pytest.raises(TableError) as caught:
        load(written(content, name), target, Options(), kinds={}, **options)
    said = str(caught.value)
    for words in (name, *says):
        assert words in said, said
    assert "\n" not in said


def some(*values, n=20):
    """A file with these labels in turn."""
    return "x,y\n" + "".join(f"{i / 7:.3f},{values[i % len(values)]}\n" for i in range(n))


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("", ["the file is empty"]),
        ("x,y\n", ["no rows below the header"]),
        (some("a"), ["column 'y' has only one class, 'a' in all 20 rows"]),
        (
            some("a", "b", "NA"),
            ["column 'y' has 'NA' in 6 of its rows, first in row 3", "-target drop"],
        ),
        (some("a", "b", "?"), ["column 'y' has '?' in 6 of its rows, first in row 3", "class makes a class"]),
        (some("a", "b", ""), ["column 'y' has nothing in 6 of its rows, first in row 3"]),
        (some(*[f"{i / 7:.4f}" for i in range(20)]), ["column 'y' holds 20 different numbers", "pandas.cut"]),
        ("size, g, z\n" + "1,2,a\n" * 5, ["no column 'y'; it has 'size', 'g', 'z'"]),
        ("y\na\nb\n", ["0 feature columns"]),
        (some("a", "b") + "1,2,3\n", ["line 22 has 3 cells, and the header has 2", "in quotes, fill"]),
        (some("a", "b") + '1,"a\n', ["line 22 opens a quote", "that nothing closes; close it"]),
        ("x,y\ninf,a\n" + some("a", "b")[4:], ["column 'x'", "row 1 has", "leave it empty if it is unknown"]),
    ],
)
def test_bad_text_is_named(content, says):
    refused(content, *says)


def test_repeated_and_empty_names_are_told_apart():
    lines = [f"{i / 8},{i % 7},{'ab'[i % 2]}" for i in range(40)]
    table = load(written("x,x,y\n" + "\n".join(lines)), "y", Options(), kinds={})
    assert list(table.features.columns) == ["x", "x (2)"]
    table = load(written(",,y\n" + "\n".join(lines)), "y", Options(), kinds={})
    assert len(table.features.columns) == 2
    assert any("columns without a name are called by their place" in note for note in table.notes)


@pytest.mark.parametrize(
    ("start", "says"),
    [
        (b"%PDF-1.4\n", "this is a PDF file, which cannot be read; copy its table to a spreadsheet"),
        (b"<!DOCTYPE html><table>", "pandas.read_html('t.csv')"),
        (b"<?xml version='1.0'?><a/>", "pandas.read_xml('t.csv')"),
        (b"SQLite format 3\0", "sqlite3 -header -csv t.csv"),
        (b"\x89HDF\r\n", "pandas.read_hdf('t.csv')"),
        (b"\x80\x04\x95abc", "pandas.read_pickle('t.csv')"),
        (b"RDX3\nX", "in R, load('t.csv'), then write.csv"),
        (b"$FL2", "pandas.read_spss('t.csv')"),
        (b"\x89PNG\r\n", "save the table as CSV"),
        (b"\x1f\x8b\x08\0\0\0", "cannot be unpacked"),
        (b"PAR1 and no more", "t.csv: "),
        (b"\x00\x01\x02\x03" * 50, "t.csv: "),
    ],
)
def test_other_files_are_named_with_a_way_out(start, says):
    refused(start, says)


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("nowhere.csv", "nowhere.csv: no such file"),
        ("tt.csv", "no such file; is it 't.csv'?"),
        ("no/such.csv", "no folder 'no' either"),
        ("E*.csv", "no file matches this pattern"),
        ("https://example.org/t.csv", "got an address; download it first"),
        ("s3://bucket/t.csv", "got an address; download it first"),
        ("iri", "the built-in sets are breast_cancer, digits, iris, wine"),
        ("empty", "the folder holds no files"),
    ],
)
def test_what_is_not_there(source, says):
    written(PLAIN)
    Path("empty").mkdir()
    with pytest.raises(TableError) as caught:
        load(source, "y", Options(), kinds={})
    assert says in str(caught.value)


# Types of Parquet and NumPy


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (pa.array(COLOURS).dictionary_encode(), "category"),
        (
            pa.array([None if i == 3 else Decimal(i * 25) / 100 for i in range(60)], pa.decimal128(9, 2)),
            "number",
        ),
        (pa.array([18000 + i * 3 for i in range(60)], pa.int32()).cast(pa.date32()), "date"),
        (pa.array([i * 1000 for i in range(60)], pa.int64()).cast(pa.time64("us")), "duration"),
        (pa.array([i * 10**6 for i in range(60)], pa.duration("us")), "duration"),
        (pa.array([i * 10**12 for i in range(60)], pa.timestamp("us")), "date"),
        (pa.array([i * 10**12 for i in range(60)], pa.timestamp("us", "Europe/Zurich")), "date"),
        (pa.array([None, *(i % 9 for i in range(59))], pa.int8()), "number"),
        (pa.array([None if i == 1 else i % 4 == 0 for i in range(60)]), "category"),
        (pa.array(np.arange(60, dtype=np.float16) % 7), "number"),
        (pa.array([c.encode() for c in COLOURS], pa.binary()), "category"),
        (pa.array(COLOURS, pa.large_string()), "category"),
        (pa.array([None] * 60, pa.null()), "empty"),
        (pa.array([2**63 + i * 7919 % 100003 for i in range(60)], pa.uint64()), "id"),
        (pa.array([[1]] * 60), "holds a list"),
        (pa.array([{"a": 1}] * 60), "holds a struct"),
        (pa.array([[("a", 1)]] * 60, pa.map_(pa.string(), pa.int64())), "holds a map"),
    ],
)
def test_types_of_parquet(values, kind):
    import pyarrow.parquet as pq

    pq.write_table(pa.table({"x": values, "size": np.array(SIZES, float), "y": LABELS}), "t.parquet")
    if kind.startswith("holds"):
        with pytest.raises(TableError, match=rf"column 'x' {kind}.*; split it into columns of one"):
            load("t.parquet", "y", Options(), kinds={})
        return
    table = load("t.parquet", "y", Options(), kinds={})
    assert table.columns[0].kind == kind
    assert ("x" in table.features) is (kind not in ("empty", "id"))


@pytest.mark.parametrize(
    ("arrays", "says"),
    [
        ({"Z": np.eye(3), "y": [0, 1, 0]}, "X"),
        ({"X": np.zeros((6, 2, 2)), "y": [0, 1] * 3}, "X"),
        ({"X": np.eye(6), "y": [0, 1]}, "y"),
        ({"X": np.array([[1, None]] * 6, dtype=object), "y": [0, 1] * 3}, "Object arrays cannot be loaded"),
        ({"X": np.eye(6) * 1j, "y": [0, 1] * 3}, "complex"),
    ],
)
def test_npz_that_hold_no_table(arrays, says):
    np.savez("t.npz", **arrays)
    with pytest.raises(TableError, match=r"t\.npz") as caught:
        load("t.npz", "y", Options(), kinds={})
    assert says in str(caught.value)


# The whole way, to predictions


@pytest.fixture
def model():
    """A model of ROWS and of a date."""
    data = frame().assign(flag=[i % 3 == 0 for i in range(60)], when=pd.date_range("2021-01-05", periods=60))
    data.to_csv("t.csv", index=False)
    said = call("fit", "t.csv", "--target", "y", "--C", "1", "-o", "m.xent")
    assert said.code == 0, said.err
    return data


def predicted(data, name="n.csv"):
    """The probabilities of a table in a file of this kind."""
    suffix = Path(name).suffix
    if suffix == ".csv":
        data.to_csv(name, index=False)
    elif suffix == ".parquet":
        data.to_parquet(name)
    else:
        data.to_json(name, orient="records", lines=True, date_format="iso")
    said = call("predict", "m.xent", name, "-o", "p.csv")
    assert said.code == 0, said.err
    return pd.read_csv("p.csv")[["p_no", "p_yes"]].to_numpy()


def test_columns_in_another_order_or_besides_change_nothing(model):
    expected = predicted(model)
    np.testing.assert_array_equal(predicted(model.iloc[:, ::-1].assign(more=1)), expected)
    np.testing.assert_array_equal(predicted(model.drop(columns="y")), expected)
    np.testing.assert_array_equal(
        predicted(model.assign(flag=model["flag"].astype(str).str.lower())), expected
    )


@pytest.mark.parametrize(
    ("column", "cell"),
    [
        *(("size", cell) for cell in ("abc", "inf", "1e400", "1 m")),
        *(("when", cell) for cell in ("2021-13-45", "03.04.2021", "soon")),
        ("flag", "yes"),
    ],
)
def test_a_later_cell_that_does_not_fit_is_named(model, column, cell):
    cells = model[column].astype(object)
    cells[6] = cell
    model.assign(**{column: cells}).to_csv("n.csv", index=False)
    said = call("predict", "m.xent", "n.csv", "-o", "p.csv")
    assert said.code == 1
    assert f"n.csv: column {column!r} was a " in said.err
    assert "row 7 has " in said.err
    assert ("infinite number" if cell in ("inf", "1e400") else cell) in said.err
    assert "leave it empty if it is unknown" in said.err
    assert not Path("p.csv").exists()


def test_later_tables_without_a_column_or_rows_are_refused(model):
    model.drop(columns="size").to_csv("n.csv", index=False)
    assert (
        "1 of the model's columns is missing: 'size'; the file has" in call("predict", "m.xent", "n.csv").err
    )
    model.head(0).to_csv("n.csv", index=False)
    said = call("predict", "m.xent", "n.csv")
    assert (said.code, len(said.err.splitlines())) == (1, 1)


@pytest.mark.parametrize("fitted", [".csv", ".parquet", ".jsonl"])
def test_the_format_of_a_table_changes_no_probability(model, fitted):
    """Fitted on one format, with dates as text or as such; predicted on each of the others."""
    stamps = pd.date_range("2021-01-05 06:00", periods=60, freq="31h", tz="UTC")
    model["when"] = stamps
    if fitted == ".csv":
        model.to_csv("f.csv", index=False)
    elif fitted == ".parquet":
        model.to_parquet("f.parquet")
    else:
        model.to_json("f.jsonl", orient="records", lines=True, date_format="iso")
    said = call("fit", f"f{fitted}", "--target", "y", "--C", "1", "-o", "m.xent")
    assert said.code == 0, said.err
    expected = predicted(model, f"n{fitted}")
    assert np.ptp(expected[:, 0]) > 0.1
    naive = stamps.tz_localize(None)
    forms = {
        "as they are": stamps,
        "without a zone": naive,
        "of another zone": stamps.tz_convert("Asia/Tokyo"),
        "text": naive.strftime("%Y-%m-%d %H:%M:%S"),
        "text with a zone": stamps.tz_convert("Europe/Zurich").map(lambda when: when.isoformat()),
        "text of another form": naive.strftime("%Y/%m/%d %H:%M"),
        "text with a T": naive.strftime("%Y-%m-%dT%H:%M:%SZ"),
    }
    for suffix in (".csv", ".parquet", ".jsonl"):
        for form, when in forms.items():
            found = predicted(model.assign(when=when), f"n{suffix}")
            np.testing.assert_allclose(found, expected, rtol=1e-12, err_msg=f"{fitted} {suffix} {form}")


def test_help_shows_the_groups():
    """Without pandas or scikit-learn, which take a second to load."""
    code = (
        "import sys\nfrom xent.cli.app import app\ntry: app(['fit', '--help'])\nexcept SystemExit: pass\n"
        "print(sorted({'pandas', 'sklearn', 'pyarrow', 'skops'} & set(sys.modules)))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    shown, loaded = run.stdout, run.stdout.splitlines()[-1]
    assert loaded == "[]"
    for words in ("Reading (detected if not given)", "--sep", "--decimal", "--encoding", "--sheet"):
        assert words in shown
    for words in ("Columns", "--kind", "--keep", "--missing-target", "--raw", "--keep-partial", "--cv"):
        assert words in shown
