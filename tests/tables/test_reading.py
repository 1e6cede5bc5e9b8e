"""Any table is read as its file has it, or refused with file, place and remedy."""

import base64
import bz2
import datetime
import gzip
import io
import json
import lzma
import os
import sys
import warnings
import zipfile
import zlib
from decimal import Decimal

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from xent.tables import formats
from xent.tables.reading import BUILT_IN, Options, TableError, batches, read

NAN = float("nan")


@pytest.fixture
def table(tmp_path):
    """Writes a file of this name and content, and reads it."""

    def written(content, name="t.csv", verbatim=(), **options):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return read(str(path), Options(**options), verbatim=verbatim)

    return written


def cells(reading):
    """The columns, with None for what is missing."""
    frame = reading.frame
    return {
        name: [None if pd.isna(cell) else cell for cell in column.astype(object)]
        for name, column in frame.items()
    }


XY = {"x": [1, 2], "y": ["a", "b"]}


# Text in columns


@pytest.mark.parametrize("name", ["t.csv", "t.CSV", "t.txt", "t.data", "t.dat", "t", "t.parquet", "ä b.csv"])
@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("x,y\n1,a\n2,b\n", None),
        ("x,y\r\n1,a\r\n2,b\r\n", None),
        ("x,y\r1,a\r2,b", None),
        ("\n\nx,y\n\n1,a\n2,b\n\n", None),
        ("# made by hand, on\n#a,day\nx,y\n1,a\n2,b\n", None),
        ("x,y,\n1,a,\n2,b,\n", None),
        ("x,y\n1,a,\n2,b,\n", None),
        ("\ufeffx,y\n1,a\n2,b\n", None),
        ("x;y\n1;a\n2;b\n", "separator ';' was detected"),
        ("sep=;\nx;y\n1;a\n2;b\n", "separator ';' was detected"),
        ("x\ty\n1\ta\n2\tb\n", "separator tab was detected"),
        ("x|y\n1|a\n2|b\n", "separator '|' was detected"),
        ("  x  y\n  1  a\n  2  b\n", "separator space was detected"),
        ("# x y\n1 a\n2 b\n", "the names of the columns were taken from the comment above the rows"),
        ("x, y\n1, a\n2, b\n", None),
        (" x,y \n1,a\n2,b\n", "blanks around the names of columns were taken off: 'x', 'y'"),
    ],
)
def test_text_is_cut_into_cells(table, text, told, name):
    reading = table(text, name)
    assert cells(reading) == XY
    notes = [note for note in reading.notes if "whatever its name says" not in note]
    assert notes == [told] * bool(told) or (told in notes and "was detected" in notes[0])
    assert (len(notes) == len(reading.notes)) is (name != "t.parquet")


def test_quotes_behind_blanks_keep_lines_together(table):
    # The first rows end where a text of two lines would be cut in two, were its quote not heeded.
    rows = [f'"{i}", "one,two\nand on", "{i}"' for i in range(300)]
    reading = table("\r".join(['"x", "y", "z"', *rows]))
    assert cells(reading)["y"] == ["one,two\nand on"] * 300
    assert cells(reading)["z"] == [*range(300)]


def test_quotes_are_heeded(table):
    text = 'x;y;z\n1;"a;b, c";"two\nlines"\n2;"say ""so""";e\n'
    assert cells(table(text)) == {"x": [1, 2], "y": ["a;b, c", 'say "so"'], "z": ["two\nlines", "e"]}
    assert cells(table('x, y, z\n1, "a, b", 2\n3, c, 4\n')) == {"x": [1, 3], "y": ["a, b", "c"], "z": [2, 4]}
    text = "text,y\n" + 'hello; you; there,a\n"one, two; three",b\n' * 3
    assert cells(table(text))["text"][:2] == ["hello; you; there", "one, two; three"]


def test_a_single_column_of_text_is_one_column(table):
    text = "review\ngood film\nbad\n"
    assert cells(table(text)) == {"review": ["good film", "bad"]}


@pytest.mark.parametrize(
    ("text", "decimal", "x"),
    [
        ("x;y\n1,5;a\n-2,25e3;b\n", ",", [1.5, -2250.0]),
        ("x\ty\n1,5\ta\n2\tb\n", ",", [1.5, 2.0]),
        ("x;y\n1,234;a\n2,5;b\n", ",", [1.234, 2.5]),
        ("x;y\n1.234,5;a\n2,5;b\n", ",", ["1.234,5", "2,5"]),  # the marks of thousands are left as they are
        ("x;y\n1.5;a\n2;b\n", ".", [1.5, 2.0]),
        ("x\ty\n1,234.5\ta\n2.5\tb\n", ".", ["1,234.5", "2.5"]),
        ('x,y\n"1,5",a\n"2,5",b\n', ",", [1.5, 2.5]),
        ('x,y\n"1,500",a\n"2,500",b\n', ".", ["1,500", "2,500"]),
    ],
)
def test_a_decimal_comma_is_seen(table, text, decimal, x):
    reading = table(text)
    assert reading.decimal == decimal
    assert cells(reading) == {"x": x, "y": ["a", "b"]}
    assert any(f"decimal {decimal!r}" in note for note in reading.notes) is (decimal == ",")


def test_what_is_given_is_not_detected(table):
    reading = table("x;y\n1,5;a\n2,5;b\n", sep=";", decimal=".")
    assert cells(reading)["x"] == ["1,5", "2,5"]
    assert reading.notes == ()
    assert cells(table("x y\n1 a\n2 b\n", sep="space")) == XY
    assert cells(table("x\ty\n1\ta\n2\tb\n", sep="tab")) == XY
    assert cells(table("x:y\n1:a\n2:b\n", sep=":")) == XY
    for options, said in (
        ({"sep": "::"}, "--sep must be one character, or tab or space, got '::'"),
        ({"decimal": ";"}, "--decimal must be . or ,"),
        ({"encoding": "utf8x"}, "no encoding is called 'utf8x'"),
        ({"encoding": "ascii"}, "line 2 is not text in ascii; name the encoding"),
    ):
        with pytest.raises(TableError, match=said):
            table("x,y\n1,ä\n", **options)


@pytest.mark.parametrize(
    ("encoding", "word"),
    [
        ("utf-8", "Łódź"),
        ("utf-8-sig", "Grün"),
        ("utf-16", "Grün"),
        ("utf-16-le", "Grün"),
        ("utf-16-be", "Grün"),
        ("utf-32", "Grün"),
        ("cp1252", "Zürich"),
        ("latin-1", "São Tomé"),
        ("cp1252", "façade – “naïve” €"),
        ("cp1250", "Zażółć gęślą"),
        ("cp1251", "Новосибирск"),
        ("cp1253", "Θεσσαλονίκη"),
        ("shift_jis", "東京都大阪府"),
        ("gb18030", "北京市上海市广州"),
    ],
)
def test_encodings(table, encoding, word):
    text = f"größe,y\n1,{word}\n2,{word}\n".replace("größe", "x" if encoding != "cp1252" else "größe")
    reading = table(text.encode(encoding))
    assert cells(reading)["y"] == [word, word]
    marked = encoding.startswith("utf-8") or encoding in ("utf-16", "utf-32")
    assert len(reading.notes) == (not marked)
    assert marked or "was detected" in reading.notes[0]


def test_a_byte_that_is_no_utf8_far_down(table):
    text = b"x,y\n" + b"1.5,a\n" * 300_000 + "2,Grün\n".encode("cp1252") + b"1,a\n"
    reading = table(text)
    assert reading.frame["y"].iloc[-2] == "Grün"
    assert reading.notes == (
        "the text is not UTF-8: encoding cp1252 was detected (--encoding names another)",
    )
    with pytest.raises(TableError, match="line 300002 is not text in utf-8; name the encoding"):
        table(text, encoding="utf-8")


def test_missing_words_and_types(table):
    words = ["", "NA", "N/A", "n/a", "NaN", "nan", "null", "NULL", "None", "#N/A", "<NA>", "?"]
    text = "x,y,b\n" + "".join(f"{w},{w},{w}\n" for w in words) + "1.5,a,True\n2,b,False\n"
    reading = table(text)
    gone = [None] * len(words)
    assert cells(reading) == {"x": [*gone, 1.5, 2.0], "y": [*gone, "a", "b"], "b": [*gone, True, False]}
    assert reading.frame.dtypes.astype(str)["b"] == "boolean"
    reading = table("b\nTrue\nFalse\n")
    assert reading.frame["b"].dtype.kind == "b"


def test_verbatim_columns_come_as_they_are_written(table):
    text = "y,x\n01,01\nNA,NA\n?,?\n,\n1.50,1.50\n a,1\n"
    reading = table(text, verbatim=["y", "no such column"])
    assert list(reading.frame["y"]) == ["01", "NA", "?", "", "1.50", " a"]
    assert cells(reading)["x"] == ["01", None, None, None, "1.50", "1"]


def test_one_sign_among_numbers_makes_text_of_all_as_written(table):
    text = "x,y\n" + "1.50,2\n" * 300_000 + "-,2\n"  # more than pandas reads in one of its own pieces
    reading = table(text)
    assert set(reading.frame["x"]) == {"1.50", "-"}
    assert reading.frame["y"].dtype == np.int64


def test_leading_zeros_keep_a_column_as_text(table):
    reading = table("zip,n,d\n01234,0,0.5\n99999,10,-0\n")
    assert cells(reading) == {"zip": ["01234", "99999"], "n": [0, 10], "d": [0.5, 0.0]}
    assert reading.notes == ("numbers with leading zeros were kept as text in 'zip'",)
    far = "zip,n\n" + "12345,1\n" * 300_000 + "01234,1\n" * 40_000
    assert table(far).frame["zip"].iloc[-1] == "01234"


def test_names(table):
    reading = table(" x ,,x,y\n1,2,3,4\n")
    assert list(reading.frame.columns) == ["x", "column 2", "x (2)", "y"]
    assert reading.notes == (
        "blanks around the names of columns were taken off: 'x'",
        "columns without a name are called by their place: 'column 2'",
        "names of several columns were made different: 'x' (now 'x (2)')",
    )
    reading = table("x,x (2),x\n1,2,3\n")
    assert list(reading.frame.columns) == ["x", "x (2)", "x (3)"]
    reading = table('"x" "y"\n"1" 5 "a"\n"2" 6 "b"\n', "t.txt")  # what R's write.table makes
    assert cells(reading) == {"row name": [1, 2], "x": [5, 6], "y": ["a", "b"]}
    assert any("rows have one cell more than the header" in note for note in reading.notes)


@pytest.mark.parametrize(
    ("text", "names", "rows", "said"),
    [
        ("5.1,3.5,A\n4.9,3.0,A\n5.0,3.1,B\n", ["column 1", "column 2", "column 3"], 3, "has no header"),
        ("5.1,3.5,1\n4.9,3.0,0\n", ["column 1", "column 2", "column 3"], 2, "has no header"),
        ("p,x\np,y\ne,x\n", ["column 1", "column 2"], 3, "has no header"),
        ("1,5;2,5;0\n1,25;2;1\n", ["column 1", "column 2", "column 3"], 2, "has no header"),
        (
            "2019,2020,2021\n4.9,3.0,1\n5,6,2\n",
            ["2019", "2020", "2021"],
            2,
            "names of all columns are numbers",
        ),
        ("name,2020\na,3\nb,4\n", ["name", "2020"], 2, None),
        ("x,y\n1,a\n", ["x", "y"], 1, None),
    ],
)
def test_a_file_without_a_header_is_noticed(table, text, names, rows, said):
    reading = table(text)
    assert list(reading.frame.columns) == names
    assert len(reading.frame) == rows
    assert any("header" in note or "names of all" in note for note in reading.notes) is bool(said)
    assert said is None or any(said in note for note in reading.notes)


def test_a_header_that_holds_the_target_is_one(table):
    assert cells(table("3,2\n1,a\n2,b\n", verbatim=["2"])) == {"3": [1, 2], "2": ["a", "b"]}
    assert list(table("5,3,1\n4,2,1\n", verbatim=["1"]).frame.columns) == ["5", "3", "1"]


BAD = {
    "": "the file is empty; expected a table, with the columns' names first",
    "\n \n": "the file has no rows; expected the columns' names, then rows",
    '"': "the file has no rows; expected the columns' names, then rows",
    "Sales of May\n\nx,y\n1,a\n": "line 3 has 2 cells, and the header has 1",
    "# only\n": "the file has no rows; expected the columns' names",
    "x,y\n": "the file has no rows below the header ('x', 'y')",
    "x,y\n1,a\n2,b,c\n3,d\n": "line 3 has 3 cells, and the header has 2; the separator is ','",
    "x,y\n1,a,c\n2,b\n3,d\n": "line 2 has 3 cells, and the header has 2",
    "# one\nx,y\n\n1,a\n2\n3,d\n": "line 5 has 1 cell, and the header has 2",
    "x\ty\tz\n1\ta\t2\n2\n3\td\t4\n": "line 3 has 1 cell, and the header has 3; the separator is '\\t'",
    'x,y\n"1","a"\n"2"\n"3","d"\n': "line 3 has 1 cell, and the header has 2",
    'x,y\n1,"a\nb"\n2,c\n3\n': "line 5 has 1 cell, and the header has 2",
    'x,y\n1,"a\n2,b\n3,d\n': 'line 2 opens a quote (") that nothing closes',
    'x,y\n0,c\n1,"a\n2,b\n3,"d"\n': "a text in quotes runs from line 3 to line 5 and goes on behind the",
    'x,y\n1,"a\n2,b\n3,d",e\n4,f\n': "the row in lines 2 to 4 (one quoted text) has 3 cells",
    "x,y\n1,\0\1\2\n": "this is no table that can be read: byte 6 is '\\x00', which no text has",
    "%PDF-1.7 x": "this is a PDF file, which cannot be read; copy its table to a spreadsheet",
    "<!DOCTYPE html><p>": "this is an HTML file, which cannot be read; in Python, pandas.read_html('",
    "<?xml version='1.0'?>": "this is an XML file, which cannot be read; in Python, pandas.read_xml('",
    "SQLite format 3\0": "this is a SQLite file, which cannot be read; sqlite3 -header -csv /",
    "RDX3\n": "this is an RData file, which cannot be read; in R, load('",
    '{"a": 1}\n{"a":\n': "line 2 is no JSON",
    '{"a": 1}\n[2]\n': "line 2 is a list; expected a record on each line",
    '[{"a": 1},': "no JSON: ",
    '[{"a": "x"}, {"a": [1]}]': "column 'a' holds a list in each row; split it into columns of one",
    "@relation r\n@attribute s string\n@data\nfoo\n": "cannot be read as ARFF: String attributes",
}


@pytest.mark.parametrize("text", BAD)
def test_what_cannot_be_read_is_named_with_its_place(table, tmp_path, text):
    with pytest.raises(TableError) as caught:
        table(text)
    assert str(caught.value).startswith(f"{tmp_path / 't.csv'}: {BAD[text]}")


def test_noise_is_no_table(table, rng):
    with pytest.raises(TableError, match="no table that can be read: byte"):
        table(rng.bytes(5000))


def test_a_row_whose_last_cell_is_empty_is_whole(table):
    assert cells(table('x,y\n"1",a\n2,\n')) == {"x": [1, 2], "y": ["a", None]}
    assert cells(table("x y\n1 2\n2 NA\n")) == {"x": [1, 2], "y": [2.0, None]}
    assert cells(table('x,y\n1,"5" pipe"\n2,"a\nb"\n'))["y"] == ['5 pipe"', "a\nb"]  # as pandas has it


# Files, packings, parts


@pytest.mark.parametrize("name", ["t.csv{}", "t{}", "t.csv", "data.txt"])
@pytest.mark.parametrize("ending", [".gz", ".bz2", ".xz", ".zst", ".zip", ".gz.gz"])
def test_packed_files(table, ending, name):
    text = b'x,y\n1,a\n2,"b"\n'
    packed = {
        ".gz": gzip.compress(text),
        ".bz2": bz2.compress(text),
        ".xz": lzma.compress(text),
        ".zst": pa.compress(text, codec="zstd", asbytes=True),
        ".zip": zipped({"in/t.csv": text, "__MACOSX/t": b"x"}),
        ".gz.gz": gzip.compress(gzip.compress(text)),
    }[ending]
    assert cells(table(packed, name.format(ending))) == XY
    short = text.replace(b'"b"', b"")  # scanned again for its last cell
    assert cells(table(gzip.compress(short), "s.gz"))["y"] == ["a", None]


def zipped(members):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return file.getvalue()


def test_packed_files_that_are_broken_or_hold_no_single_table(table):
    for content, said in (
        (gzip.compress(b"x,y\n1,a\n" * 99)[:-9], "cannot be unpacked: .*; is the file whole?"),
        (zipped({"t.csv": "x"})[:-9], "cannot be unpacked: .*; is the file whole?"),
        (zipped({"t.csv": "x", "u.csv": "x"}), r"the zip file holds 2 files \(t.csv, u.csv\); expected one"),
        (gzip.compress(b"X\n\0\0\0\3"), r"this is an RDS file.* write.csv\(readRDS\("),
        (gzip.compress(b"t.csv".ljust(257, b"\0") + b"ustar"), "this is a tar file.*unpack it"),
    ):
        with pytest.raises(TableError, match=said):
            table(content, "t.csv.gz")


def test_parts_of_a_table(table, tmp_path):
    table("x;y\n1,50;01\n", "parts/a.csv")
    table("y;x\n7;-\n", "parts/b.csv")
    table("x;y\n3;02\n", "parts/.hidden.csv")
    (tmp_path / "parts/_SUCCESS").touch()
    expected = {"x": ["1,50", "-"], "y": ["01", "7"]}  # what is text in one is text in all, as written
    for source in (tmp_path / "parts", tmp_path / "parts/*.csv", tmp_path / "*/[ab].csv"):
        reading = read(str(source))
        assert cells(reading) == expected
        assert reading.decimal == ","
        files = f"2 files were put together, from {tmp_path}/parts/a.csv to {tmp_path}/parts/b.csv"
        assert reading.notes[-1] == files
    table("x;z\n1;2\n", "parts/c.csv")
    with pytest.raises(TableError, match=r"c.csv: lacks 'y' and has 'z' besides, other than .*a.csv"):
        read(str(tmp_path / "parts"))
    table("x\n1\n", "parts/d.txt")
    with pytest.raises(TableError, match=r"files of several kinds \(.csv, .txt\); name those"):
        read(str(tmp_path / "parts"))


def test_a_folder_that_parquet_was_split_into(tmp_path):
    frame = pd.DataFrame({"x": [1.5, 2.5, 3.5], "g": ["u", "v", "u"]})
    frame.to_parquet(tmp_path / "t", partition_cols=["g"])
    assert sorted(zip(*cells(read(str(tmp_path / "t"))).values(), strict=True)) == [
        (1.5, "u"),
        (2.5, "v"),
        (3.5, "u"),
    ]
    assert sum(len(piece.frame) for piece in batches(str(tmp_path / "t"), rows=2)) == 3


def test_what_is_not_there(tmp_path, table, monkeypatch):
    table("x\n1\n", "train.csv")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    for source, said in (
        ("trian.csv", "trian.csv: no such file; is it 'train.csv'?"),
        ("xyz.csv", "xyz.csv: no such file"),
        ("qqq", "qqq: no such file; the built-in sets are breast_cancer, digits, iris, wine"),
        ("nowhere/t.csv", "nowhere/t.csv: no such file, and no folder 'nowhere' either"),
        ("*.tsv", "*.tsv: no file matches this pattern"),
        ("empty", "empty: the folder holds no files"),
        ("https://a.b/c.csv", "https://a.b/c.csv: expected a file, got an address; download it first"),
    ):
        with pytest.raises(TableError) as caught:
            read(source)
        assert str(caught.value).startswith(said)
        assert ("is it" in str(caught.value)) is (source == "trian.csv")


def test_home_standard_input_and_pipes(tmp_path, table, monkeypatch):
    table("x,y\n1,a\n2,b\n", "t.csv")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cells(read("~/t.csv")) == XY
    content = gzip.compress(b"x;y\n1;a\n2;b\n")
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))
    assert cells(read("-")) == XY
    there, here = os.pipe()
    os.write(here, b"x;y\n1;a\n2;b\n")
    os.close(here)
    assert cells(read(f"/dev/fd/{there}")) == XY
    os.close(there)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"")))
    with pytest.raises(TableError, match=r"^standard input: the file is empty"):
        read("-")


# Other formats

FRAME = pd.DataFrame(
    {
        "n": [1.5, None, 3.0],
        "i": [1, 2, 3],
        "b": [True, None, False],
        "t": pd.to_datetime(["2021-03-01 00:00", None, "2021-03-03 12:00"]),
        "s": ["01", None, "x"],
    }
)
EXPECTED = {
    "n": [1.5, None, 3.0],
    "i": [1, 2, 3],
    "b": [True, None, False],
    "t": [pd.Timestamp("2021-03-01"), None, pd.Timestamp("2021-03-03 12:00")],
    "s": ["01", None, "x"],
}


def write(frame, path):
    kind = path.suffix
    if kind in (".xlsx", ".ods"):
        frame.to_excel(str(path), index=False)  # of a Path pandas makes .xlsx, whatever its name
    elif kind == ".parquet":
        frame.to_parquet(path)
    elif kind == ".jsonl":
        frame.to_json(path, orient="records", lines=True, date_format="iso")
    elif kind == ".json":
        frame.to_json(path, orient="records", date_format="iso")
    elif kind == ".orc":
        frame.to_orc(path)
    else:
        frame.to_feather(path)


@pytest.mark.parametrize(
    "kind", [".parquet", ".feather", ".arrow", ".orc", ".xlsx", ".ods", ".jsonl", ".json"]
)
def test_typed_formats(tmp_path, kind):
    path = tmp_path / f"t{kind}"
    write(FRAME, path)
    reading = read(str(path))
    found = cells(reading)
    if kind.startswith(".json"):
        assert found.pop("t")[0].startswith("2021-03-01T00:00:00")
    assert found == {name: EXPECTED[name] for name in found}
    assert reading.notes == ()
    kinds = reading.frame.dtypes.astype(str)
    assert [kinds["n"], kinds["i"], kinds["b"]] == ["float64", "int64", "boolean"]
    again = read(str(path), verbatim=["s", "i"]).frame
    assert list(again["s"]) == ["01", "", "x"]
    assert list(again["i"]) == ["1", "2", "3"]
    (whole,) = batches(str(path), verbatim=["s", "i"])
    pd.testing.assert_frame_equal(whole.frame, again)
    # By any name, and packed.
    other = tmp_path / "t.csv"
    other.write_bytes(path.read_bytes())
    reading = read(str(other))
    assert cells(reading)["s"] == EXPECTED["s"]
    assert ("whatever its name says" in "".join(reading.notes)) is not kind.startswith(".json")
    packed = tmp_path / f"t{kind}.gz"
    packed.write_bytes(gzip.compress(path.read_bytes()))
    assert cells(read(str(packed)))["s"] == EXPECTED["s"]


def test_every_type_of_parquet(tmp_path):
    frame = pd.DataFrame(
        {
            "category": pd.Categorical(["a", "b"]),
            "coded": pd.Categorical([3, 4]),
            "decimal": [Decimal("1.50"), None],
            "day": [datetime.date(2021, 3, 1), None],
            "time": [datetime.time(1, 30), None],
            "span": pd.to_timedelta([1, None], unit="h"),
            "zone": pd.to_datetime(["2021-03-01T00:00+02:00", None], utc=True),
            "whole": pd.array([2**62 + 1, 2], dtype="Int64"),
            "hole": pd.array([1, None], dtype="Int64"),
            "half": np.array([1.5, 2], np.float16),
            "unsigned": np.array([2**63 + 1, 2], np.uint64),
            "bytes": [b"x", None],
            "none": [None, None],
            7: ["seven", "NA"],
        }
    )
    frame.columns = frame.columns.astype(str)
    frame.index = pd.Index(["p", "q"], name="key")
    frame.to_parquet(tmp_path / "t.parquet")
    reading = read(str(tmp_path / "t.parquet"))
    found = cells(reading)
    assert found.pop("zone") == [pd.Timestamp("2021-02-28T22:00Z"), None]
    assert found == {
        "key": ["p", "q"],
        "category": ["a", "b"],
        "coded": [3, 4],
        "decimal": [1.5, None],
        "day": [pd.Timestamp("2021-03-01"), None],
        "time": [pd.Timedelta(minutes=90), None],
        "span": [pd.Timedelta(hours=1), None],
        "whole": [2**62 + 1, 2],
        "hole": [1.0, None],
        "half": [1.5, 2.0],
        "unsigned": [2**63 + 1, 2],
        "bytes": ["x", None],
        "none": [None, None],
        "7": ["seven", "NA"],
    }
    objects = {name for name, kind in reading.frame.dtypes.items() if kind.kind == "O"}
    assert objects <= {"key", "category", "none", "bytes", "7"}
    pd.DataFrame({"x": [1], "l": [[1, 2]]}).to_parquet(tmp_path / "l.parquet")
    for way in (read, lambda source: list(batches(source))):
        with pytest.raises(TableError, match=r"column 'l' holds a list<.*> in each row; split it"):
            way(str(tmp_path / "l.parquet"))


def test_json_of_other_shapes(table):
    assert cells(table(json.dumps({"x": [1, 2], "y": ["a", "b"]}), "t.json")) == XY
    assert cells(table(json.dumps({"x": {"0": 1, "1": 2}, "y": {"0": "a", "1": "b"}}), "t.json")) == XY
    assert cells(table(json.dumps({"rows": [{"x": 1, "y": "a"}, {"x": 2, "y": "b"}]}), "t.json")) == XY
    mixed = table('{"x": 1, "y": true}\n{"y": "a"}\n', "t.ndjson")
    assert cells(mixed) == {"x": [1.0, None], "y": ["True", "a"]}
    assert cells(table('{"x": 0.1234567890123456789}'))["x"] == [0.1234567890123456789]
    with pytest.raises(TableError, match="expected an array of records"):
        table("[1, 2]", "t.json")


XLS = (
    "eNrtWD1oU1EU/u5L0vzQpklNxVYooWDV2kVcXNqngnayVB0UETSxGaQlleBgHbRaMwqCk+JS6OJSddGKDro5CBUdBEFIdOwk"
    "KDi0eZ77vfs0rR0a0KByv8c597xzzn335J5z78t9rxfTldmH3VWswRBCqHlxtNTplFA8uElB7J6nxaCNCXkW/xTiMUlkSwRP"
    "215FdQ51vqtw8CD8QjjwUegUzmNksljINhEHGENO6RgGhSvcFU0SXYyqg/ws+Sby+/R8Rr6Pmhvkg+JbUSex6I707zVVfMLp"
    "pS0J/dzH7POemt3oxEtdxVduKt83gv2lc7mJv9PQE27FHCRvw4VioZSbqCAjCZzDVy8LfAlW6vOs1TdXryD6b6v10XX0t5ww"
    "MA3vDAu8LJvrQshP8LFlbIEYSZL0i0JTQjmhfELvw1y3qVXrto313Cp8DO2U06zqlOzMy/c+vzmcH3VPUzPNvdrf0bfpIODh"
    "qu4hnZO0MA769pPvIr/Gp26l3E2ekVqUtm+00wiHZuhzndY+GWcP8dbdXifvELm8dGShp/zJ3Sny/HD1Umb+nTuLXpmEMemv"
    "rxkMqAF157bGEzdolVn9H8i7ftkJYk7KxO6Z11Y7VpCgmCb37/TsKOOv1vhfdhLUpTmv2l/9mE3t76zj79B/KeT7+7OvZ3HI"
    "6cAjbZR96ScSsLCwsLCwsLCwsGg+lPmXHzJnjYg5S0TNd50VoZr9TPLf4igm5bogB9ODKEpbwlRD9bMZERU8S22wT/C9UOO4"
    "jF7COPKMY7zh+pWzoKr/PRvumPp9S6jR8WuNxPmHx/8OKhy/Lg=="
)


def test_excel(table, tmp_path, monkeypatch):
    assert cells(table(zlib.decompress(base64.b64decode(XLS)), "t.xls")) == {"x": [1.0, 2.5], "y": ["a", "b"]}
    path = tmp_path / "t.xlsx"
    with pd.ExcelWriter(path) as book:
        sheet = pd.DataFrame([["Sales of May", None, None], [None] * 3, [None, "x", "y "], [None, 1, "NA"]])
        sheet.to_excel(book, sheet_name="May", header=False, index=False, startrow=2)
        frame = pd.DataFrame({"z": [1, "-", "NA"], "n": [1, "NA", 2.5], "b": [True, "?", False]})
        frame.to_excel(book, sheet_name="June", index=False)
        pd.DataFrame({"z": []}).to_excel(book, sheet_name="July", index=False)
    reading = read(str(path))
    assert cells(reading) == {"x": [1], "y": ["NA"]}
    assert reading.notes == (
        "sheet 'May' was read, the first of 3: 'May', 'June', 'July' (--sheet)",
        "what stands above the table, 'Sales of May', was left out",
        "blanks around the names of columns were taken off: 'y'",
    )
    assert list(read(str(path), verbatim=["y"]).frame["y"]) == ["NA"]
    for sheet in ("June", "2", 2):
        found = cells(read(str(path), Options(sheet=sheet)))
        assert found == {"z": ["1", "-", None], "n": [1.0, None, 2.5], "b": [True, None, False]}
    with pytest.raises(TableError, match="no sheet 'Mai'; it has 'May', 'June', 'July'"):
        read(str(path), Options(sheet="Mai"))
    with pytest.raises(TableError, match="sheet 'July' has a header and no rows below it"):
        read(str(path), Options(sheet="July"))
    monkeypatch.setattr(formats.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(TableError, match="a spreadsheet of this kind needs openpyxl, which is not installed"):
        read(str(path))


def test_numpy(tmp_path):
    X, y = np.array([[1.5, 2], [3, 4]]), np.array([b"a", b"b"])
    np.savez(tmp_path / "t.npz", X=X, y=y, w=[1, 2])
    reading = read(str(tmp_path / "t.npz"), verbatim=["y"])
    assert cells(reading) == {"x0": [1.5, 3.0], "x1": [2.0, 4.0], "y": ["a", "b"]}
    assert reading.notes == ("arrays other than X were left out: 'w'",)
    np.save(tmp_path / "t.npy", X.astype(">f4"))
    np.save(tmp_path / "labels.npy", [1, 2])
    labels = str(tmp_path / "labels.npy")
    assert cells(read(str(tmp_path / "t.npy"), verbatim=[labels])) == {
        "x0": [1.5, 3.0],
        "x1": [2.0, 4.0],
        labels: ["1", "2"],
    }
    np.save(tmp_path / "s.npy", np.array([(1, "a"), (2, "b")], dtype=[("x", int), ("y", "U1")]))
    assert cells(read(str(tmp_path / "s.npy"))) == XY
    np.save(tmp_path / "short.npy", [1])
    np.savez(tmp_path / "no.npz", Z=X)
    np.savez(tmp_path / "object.npz", X=np.array([["a", 1]], dtype=object))
    np.savez(tmp_path / "text.npz", X=[["a"]])
    for name, verbatim, said in (
        ("labels.npy", (), r"the array must be a \(n, d\) array of numbers, got int64 of shape \(2,\)"),
        ("t.npy", [str(tmp_path / "short.npy")], r"short.npy must have shape \(2,\), got \(1,\)"),
        ("t.npy", ["y.npy"], "y.npy: no such file; the labels of"),
        ("no.npz", (), "expected an array called X, got 'Z'"),
        ("text.npz", (), r"X must be a \(n, d\) array of numbers, got <U1"),
        ("object.npz", (), "cannot be read as npz: Object arrays cannot be loaded"),
    ):
        with pytest.raises(TableError, match=said):
            read(str(tmp_path / name), verbatim=verbatim)


@pytest.mark.parametrize("name", ["t.svm", "t.libsvm", "t.svmlight", "t.txt"])
def test_svmlight(table, name):
    reading = table("+1 1:0.5 3:2 # note\n-1 2:1\n", name)
    assert cells(reading) == {"x1": [0.5, 0.0], "x2": [0.0, 1.0], "x3": [2.0, 0.0], "target": [1, -1]}
    assert list(table("1.5 1:1\n2 1:3\n", name, verbatim=["target"]).frame["target"]) == ["1.5", "2.0"]
    with pytest.raises(TableError, match="too many to write out their zeros"):
        table("1 1:1 999999999:1\n", name)


@pytest.mark.parametrize("name", ["t.arff", "t.txt"])
def test_arff(table, name):
    text = "% iris\n@RELATION r\n@ATTRIBUTE x numeric\n@ATTRIBUTE 'the c' {a,b}\n@DATA\n1.5,a\n?,b\n"
    reading = table(text, name)
    assert cells(reading) == {"x": [1.5, None], "the c": ["a", "b"]}


def test_stata_and_sas(tmp_path, table):
    frame = pd.DataFrame({"x": [1.5, 2.5], "y": ["a", "b"]})
    frame.to_stata(tmp_path / "t.dta", write_index=False)
    assert cells(read(str(tmp_path / "t.dta"))) == {"x": [1.5, 2.5], "y": ["a", "b"]}
    with pytest.raises(TableError, match=r"t.sas7bdat: cannot be read as sas7bdat: "):
        table(bytes(12) + b"\xc2\xea\x81\x60\xb3\x14\x11\xcf" + bytes(900), "t.sas7bdat")


@pytest.mark.parametrize("name", BUILT_IN)
def test_built_in_sets(name):
    reading = read(name)
    assert reading.frame.columns[-1] == "target"
    assert reading.frame["target"].dtype == np.int64
    assert set(read(name, verbatim=["target"]).frame["target"]) >= {"0", "1"}
    assert next(batches(name)).frame.equals(reading.frame)


# Pieces


@pytest.mark.parametrize("kind", [".csv", ".csv.gz", ".parquet", ".parquet.gz"])
def test_pieces_are_the_table(tmp_path, rng, kind):
    frame = pd.DataFrame({"x": rng.normal(size=1000), "y": rng.choice(["a", "NA", "01"], 1000)})
    path = tmp_path / f"t{kind.removesuffix('.gz')}"
    frame.to_csv(path, index=False) if ".csv" in kind else frame.to_parquet(path)
    if kind.endswith(".gz"):
        path, plain = tmp_path / f"t{kind}", path
        path.write_bytes(gzip.compress(plain.read_bytes()))
    whole = read(str(path), verbatim=["y"])
    np.testing.assert_array_equal(whole.frame["y"], frame["y"])
    pieces = list(batches(str(path), verbatim=["y"], rows=300))
    assert [len(piece.frame) for piece in pieces] == [300, 300, 300, 100]
    joined = pd.concat([piece.frame for piece in pieces], ignore_index=True)
    pd.testing.assert_frame_equal(joined, whole.frame)
    assert all(list(piece.frame.index) == list(range(len(piece.frame))) for piece in pieces)


def test_pieces_of_parts(table, tmp_path):
    table("x;y\n" + "1,5;a\n" * 5, "p/1.csv")
    table("y;x\n" + "a;2,5\n" * 4, "p/2.csv")
    pieces = list(batches(str(tmp_path / "p"), rows=3))
    assert [len(piece.frame) for piece in pieces] == [3, 2, 3, 1]
    assert all(list(piece.frame.columns) == ["x", "y"] for piece in pieces)
    assert [len(piece.notes) for piece in pieces] == [2, 0, 0, 0]
    assert pieces[-1].frame["x"].tolist() == [2.5]


def test_errors_in_later_pieces(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("x,y\n" + "1,a\n" * 500 + "2\n" + "1,a\n" * 500)
    pieces = batches(str(path), rows=100)
    assert len(next(pieces).frame) == 100
    with pytest.raises(TableError, match="line 502 has 1 cell, and the header has 2"):
        list(pieces)


def test_reading_in_pieces_leaves_warnings_as_they_are(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("x,y\n" + "1,a\n" * 500)
    with warnings.catch_warnings():
        before = list(warnings.filters)
        for _ in batches(str(path), rows=100):
            assert warnings.filters == before
