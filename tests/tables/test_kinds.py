"""Columns are taken for what they are, on all their rows; a later table is read the same, or refused by name."""

import datetime
import json
import time
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest

from xent.tables.errors import TableError
from xent.tables.kinds import KINDS, Column, as_written, describe, table_rows, typed, understand

DAYS = pd.date_range("2021-01-01", periods=60)


def one(values, **options):
    """What a column `x` of these values is taken for."""
    (column,) = understand(pd.DataFrame({"x": pd.Series(values)}), **options)
    return column


def fit(values, column=None, **options):
    column = column or one(values, **options)
    return typed(pd.DataFrame({"x": pd.Series(values)}), [column], where="t.csv", fitting=True)["x"]


def predict(column, values, **options):
    return typed(pd.DataFrame({"x": pd.Series(values)}), [column], where="n.csv", fitting=False, **options)[
        "x"
    ]


def repeated(*values):
    """Enough rows, so that texts repeat and are no names."""
    return list(values) * 10


# Numbers in text

NUMBERS = [
    (["$1,200", "$5.50", "$30"], "$1,234.5", [1200, 5.5, 30]),
    (["€ 1.200,50", "€ 7,25"], "€1.234,5", [1200.5, 7.25]),
    (["1.200,50 €", "7,25 €"], "1.234,5€", [1200.5, 7.25]),
    (["EUR 5", "EUR 6.5"], "EUR1234.5", [5, 6.5]),
    (["45%", "3.5%", "7"], "1234.5%", [45, 3.5, 7]),
    (["1,234.5", "2"], "1,234.5", [1234.5, 2]),
    (["1 234,5", "2,5"], "1 234,5", [1234.5, 2.5]),
    (["1\u202f234,5", "2\u00a0500"], "1 234,5", [1234.5, 2500]),
    (["1'234.5", "1’000"], "1'234.5", [1234.5, 1000]),
    (["1,5", "2,75", "3"], "1234,5", [1.5, 2.75, 3]),
    (["1,234", "2,5"], "1234,5", [1.234, 2.5]),
    (["12,34,567", "1,000"], "1,234.5", [1234567, 1000]),
    (["(1,200.5)", "5.5"], "(1,234.5)", [-1200.5, 5.5]),
    (["($5)", "-$6", "$-7", "$8"], "($1234.5)", [-5, -6, -7, 8]),
    (["1e3", "+5", "-2.5E-1"], None, [1000, 5, -0.25]),
    (["−5", " 6 ", ".5", "7."], None, [-5, 6, 0.5, 7]),
    (["5 kg", "6.5kg"], "1234.5 kg", [5, 6.5]),
]


@pytest.mark.parametrize(("texts", "form", "expected"), NUMBERS)
def test_a_number_is_read_in_whatever_form_its_column_is_written(texts, form, expected):
    column = one(repeated(*texts))
    assert (column.kind, column.form, column.n_values) == ("number", form, 10 * len(texts))
    assert fit(repeated(*texts)).tolist() == expected * 10
    assert predict(column, texts[::-1]).tolist() == expected[::-1]
    assert predict(column, [1.5, 2.0]).tolist() == [1.5, 2.0]


def test_a_mark_before_three_digits_is_thousands_unless_a_value_or_the_file_says_otherwise():
    texts = repeated("1,234", "2,500")
    column = one(texts)
    assert fit(texts)[0] == 1234
    assert "'1,234' is taken as 1234; --decimal ',' would change that" in describe([column])[0]
    assert fit(texts, decimal=",")[0] == 1.234
    assert fit([*texts, "0,25"])[0] == 1.234
    assert fit([*texts, "1,234.5"])[0] == 1234
    assert not describe([one([*texts, "1,234.5"])])
    assert fit(repeated("1.234", "2.500"))[0] == 1.234
    assert fit(repeated("1.234", "2.500"), decimal=",")[0] == 1234
    assert fit(repeated("1.234", "2,5"))[0] == 1234


def test_percentages_say_how_they_are_taken():
    assert describe([one(repeated("45%", "3%"))]) == [
        "column 'x': percentages are taken as written: 45% is 45"
    ]


def test_a_few_other_texts_are_missing_and_said():
    texts = [str(i / 8) for i in range(20000)]
    texts[12344] = "-"
    column = one(texts)
    assert (column.kind, column.n_values, column.n_missing) == ("number", 19999, 0)
    assert (column.misfits, column.n_misfits, column.words) == (((12345, "-"),), 1, ("-",))
    assert describe([column]) == [
        "column 'x': 19,999 numbers, and '-' in row 12,345, which is taken as missing; "
        "--kind x=text changes that"
    ]
    values = fit(texts)
    assert np.flatnonzero(values.isna()).tolist() == [12344]
    assert predict(column, ["1", "-", "?", "", "2"]).isna().tolist() == [False, True, True, True, False]
    with pytest.raises(TableError, match="row 2 has 'missing'"):
        predict(column, ["1", "missing"])


def test_four_misfits_are_counted_and_three_shown():
    texts = [str(i / 8) for i in range(100)]
    texts[10], texts[20], texts[30], texts[40] = "<5", "abc", "<5", ">9"
    column = one(texts)
    assert column.misfits == ((11, "<5"), (21, "abc"), (31, "<5"))
    assert column.n_misfits == 4
    (said,) = describe([column])
    assert "'<5' in row 11, 'abc' in row 21, '<5' in row 31 and 1 more ('<5', 'abc', '>9')" in said
    assert predict(column, ["abc", ">9", "1"]).isna().tolist() == [True, True, False]


@pytest.mark.parametrize(("share", "kind"), [(5, "number"), (6, "category")])
def test_the_others_are_five_in_a_hundred_at_most(share, kind):
    column = one(["odd"] * share + [str(i % 40 / 8) for i in range(100 - share)])
    assert column.kind == kind
    if kind == "category":
        assert describe([column]) == [
            "column 'x' is taken as a category: 94 of its 100 values are numbers, but 'odd' in row 1 is none"
        ]


def test_the_others_are_ten_texts_at_most():
    numbers = [str(i / 8) for i in range(1000)]
    assert one(numbers + [f"odd{i}" for i in range(10)]).kind == "number"
    assert one(numbers + [f"odd{i}" for i in range(11)]).kind != "number"


@pytest.mark.parametrize("word", ["-", ".", "missing", "n.a.", "Unknown", "#VALUE!"])
def test_words_that_mean_missing_may_be_many(word):
    column = one(repeated("1.5", "2.5", word))
    assert (column.kind, column.n_misfits) == ("number", 10)
    assert f"{word!r} in 10 rows, the first of them row 3" in describe([column])[0]


@pytest.mark.parametrize(
    "word", ["", "NA", "N/A", "n/a", "NaN", "nan", "null", "NULL", "None", "#N/A", "<NA>", "?"]
)
def test_signs_of_a_missing_value_are_missing_in_every_kind(word):
    for texts in (["1.5", "2.5"], ["2021-03-04", "2021-03-05"], ["red", "green"], ["10:30", "11:00"]):
        column = one([*repeated(*texts), word])
        assert (column.n_missing, column.n_misfits) == (1, 0)
        assert column.kind == one(repeated(*texts)).kind
        assert fit([*repeated(*texts), word]).isna().tolist() == [False] * 20 + [True]


def test_every_row_decides():
    """What the first 99,000 rows look like is not enough."""
    days = [f"{1 + i % 12}/{1 + i % 12}/2021" for i in range(99000)]
    assert one([*days, "1/13/2021"]).form == "%m/%d/%Y"
    assert one([*days, "13/1/2021"]).form == "%d/%m/%Y"
    assert one([str(i % 500) for i in range(99000)] + [f"word {i}" for i in range(6000)]).kind != "number"
    assert fit([f"{1 + i % 9},{100 + i % 900}" for i in range(99000)] + ["1,5"])[0] == 1.1


def test_codes_with_leading_zeros_and_mixed_units_are_no_numbers():
    column = one(repeated("01234", "56789"))
    assert (column.kind, column.why) == ("category", "some of its values begin with 0, as codes do")
    assert fit(repeated("01234", "56789"))[0] == "01234"
    column = one(repeated("5 kg", "500 g"))
    assert (column.kind, column.why) == ("category", "its numbers have different units ('g', 'kg')")
    assert one(repeated("$5", "€6")).kind == "category"
    assert one(repeated("A1", "B2")).why is None


def test_a_files_decimal_mark_is_told_later():
    """A model of a table with points takes one with commas, and the reverse."""
    points, commas = one([*repeated("1.5", "2"), "-"]), one([*repeated("1,5", "2"), "-"], decimal=",")
    assert predict(points, ["2,25", "-"], decimal=",")[0] == 2.25
    assert predict(commas, ["2.25", "-"])[0] == 2.25
    assert predict(commas, ["2,25", "-"])[0] == 2.25
    with pytest.raises(TableError, match="row 1 has '2,25'"):
        predict(points, ["2,25", "-"])


@pytest.mark.parametrize(
    "text", ["1,5", "abc", "1_000", "$3", "45%", "inf", "1e400", "0x10", "(5)", "--5", "5-"]
)
def test_what_is_no_number_is_refused_by_name(text):
    for column in (one(repeated("1.5", "2.5")), one(repeated(1.5, 2.5))):
        with pytest.raises(TableError) as caught:
            predict(column, ["1", "2", text])
        assert str(caught.value) == (
            f"n.csv: column 'x' was a number when the model was fitted; now row 3 has {text!r}; "
            "leave it empty if it is unknown"
        )


def test_a_form_is_told_in_the_refusal_and_rows_of_a_piece_are_the_tables():
    column = one(repeated("$1,200", "$5"))
    frame = pd.DataFrame({"x": ["$5", "€7"]}, index=pd.RangeIndex(65536, 65538))
    with pytest.raises(TableError, match=r"row 65,538 has '€7'; .* or as it was then, \$1,234.5"):
        typed(frame, [column], where="n.csv", fitting=False)


def test_infinite_numbers_are_refused():
    for fitting in (True, False):
        with pytest.raises(TableError, match="row 2 has an infinite number"):
            typed(pd.DataFrame({"x": [1.0, np.inf]}), [one([1.5, 2.5])], where="t", fitting=fitting)


# Dates

FORMATS = [
    "%Y-%m-%d",
    "%Y/%m/%d",
    "%Y-%m-%d %H:%M:%S",
    "%Y-%m-%dT%H:%M:%S",
    "%Y-%m-%dT%H:%M:%S.%f",
    "%Y-%m-%dT%H:%M:%SZ",
    "%d.%m.%Y",
    "%d/%m/%Y",
    "%m/%d/%Y",
    "%m/%d/%Y, %I:%M:%S %p",
    "%d-%m-%Y",
    "%m-%d-%Y",
    "%d.%m.%y",
    "%m/%d/%y %H:%M",
    "%b %d, %Y",
    "%B %d, %Y %H:%M",
    "%d %B %Y",
    "%d-%b-%Y",
    "%d-%b-%y",
    "%a, %d %b %Y %H:%M:%S GMT",
    "%Y%m%d",
    "%Y%m%dT%H:%M:%S",
    "%Y-%d-%m",
]


@pytest.mark.parametrize("form", FORMATS)
def test_a_date_is_read_in_any_consistent_format(form):
    stamps = DAYS + pd.Timedelta(hours=13, minutes=45) if "%M" in form else DAYS
    texts = list(stamps.strftime(form))
    column = one(texts)
    assert (column.kind, column.n_values, column.n_misfits) == ("date", 60, 0)
    assert not describe([column])
    values = fit(texts)
    assert values.dtype == "datetime64[ns]"
    assert (values == stamps).all()
    assert (predict(column, texts[::-1]) == stamps[::-1]).all()
    assert (predict(column, stamps) == stamps).all()
    assert (predict(column, stamps.tz_localize("Asia/Tokyo")) == stamps - pd.Timedelta(hours=9)).all()


@pytest.mark.parametrize(("form", "other"), [("%m/%d/%Y", "%d/%m/%Y"), ("%m-%d-%Y", "%d-%m-%Y")])
def test_days_and_months_that_no_row_tells_apart_are_said(form, other):
    texts = [f"{m:02d}/{d:02d}/2021".replace("/", form[2]) for m in (3, 4) for d in (1, 2, 5)] * 5
    column = one(texts)
    assert column.form == form
    assert describe([column]) == [
        f"column 'x': no row tells day from month; the month is taken to come first, as in {form}; "
        f"--kind x=date:{other} changes that"
    ]
    assert fit(texts)[1] == pd.Timestamp("2021-03-02")
    chosen = one(texts, overrides={"x": f"date:{other}"})
    assert fit(texts, chosen)[1] == pd.Timestamp("2021-02-03")
    assert not describe([chosen])
    assert one(texts, decimal=",").form == other
    assert predict(column, ["05/04/2021".replace("/", form[2])])[0] == pd.Timestamp("2021-05-04")


def test_other_dates_of_the_table_tell_day_from_month():
    frame = pd.DataFrame(
        {"a": repeated("03/04/2021", "05/06/2021"), "b": repeated("25/04/2021", "01/02/2021")}
    )
    a, b = understand(frame)
    assert a.form == b.form == "%d/%m/%Y"
    frame["b"] = repeated("04/25/2021", "01/02/2021")
    assert understand(frame, decimal=",")[0].form == "%m/%d/%Y"


def test_two_formats_and_zones_in_one_column():
    texts = repeated("2021-03-04", "25.03.2021", "Mar 26, 2021", "2021-03-27T01:00:00+02:00")
    column = one(texts)
    assert column.kind == "date"
    assert fit(texts)[:4].astype(str).tolist() == [
        "2021-03-04 00:00:00",
        "2021-03-25 00:00:00",
        "2021-03-26 00:00:00",
        "2021-03-26 23:00:00",
    ]
    assert predict(column, ["01.02.2021"])[0] == pd.Timestamp("2021-02-01")


def test_whole_numbers_are_dates_if_all_of_them_are():
    column = one([20210304, 20210405, 19991231])
    assert (column.kind, column.form) == ("date", "%Y%m%d")
    assert fit([20210304, 20210405])[1] == pd.Timestamp("2021-04-05")
    assert one([20210304.0, np.nan, 20210405.0]).n_missing == 1
    assert one([20210304, 20210230]).kind == "number"
    assert one([20210304, 18991231]).kind == "number"
    assert one([2019, 2020, 2021]).kind == "number"
    with pytest.raises(TableError, match="row 2 has 20211332; .* write it as 2021-03-31"):
        predict(column, [20210304, 20211332])


def test_a_date_is_read_later_in_any_format_that_has_one_meaning():
    texts = [
        "2021-03-31 12:30",
        "2021/03/31 12:30",
        "31 March 2021 12:30",
        "Mar 31, 2021, 12:30 PM",
        "20210331 12:30",
    ]
    texts += ["31.03.2021 12:30", "03/31/2021 12:30", "31-03-2021 12:30", "2021-03-31T14:30+02:00"]
    for known in ("%Y-%m-%d", "%d/%m/%Y", "%b %d, %Y"):
        column = one(list(DAYS.strftime(known)))
        for text in texts:
            if known == "%d/%m/%Y" and text.startswith("03/31"):
                continue  # the fitted format has no month 31
            assert predict(column, [text, ""])[0] == pd.Timestamp("2021-03-31 12:30"), (known, text)


@pytest.mark.parametrize(
    ("form", "texts"),
    [
        (
            "%Y-%m-%d",
            ["01/03/2021", "01.03.2021", "2021-13-45", "2021-02-30", "1 March", "now", "2021-03-04 25:00"],
        ),
        ("%d.%m.%Y", ["03/01/2021", "2021-13-45", "32.01.2021", "12.31.2021"]),
        ("%m/%d/%Y", ["31/12/2021", "01.03.2021"]),
        ("%Y-%d-%m", ["2021-02-14", "2021-13-45"]),
        (None, ["01/03/2021", "03.2021", "soon", "7"]),
    ],
)
def test_what_is_no_date_or_has_two_meanings_is_refused_by_name(form, texts):
    column = one(DAYS if form is None else list(DAYS.strftime(form)))
    for text in texts:
        with pytest.raises(TableError) as caught:
            predict(column, ["2021-03-01" if form != "%Y-%d-%m" else "2021-01-03", text])
        assert str(caught.value).startswith(
            f"n.csv: column 'x' was a date when the model was fitted; now row 2 has {text!r}; leave it empty if "
            "it is unknown, or write it as 2021-03-31"
        )
        assert str(caught.value).endswith("2021-03-31" if form in (None, "%Y-%m-%d") else f"was then, {form}")


def test_texts_among_dates_are_missing_and_said():
    texts = [*DAYS.strftime("%d.%m.%Y"), "0000-00-00", "unknown", "31.02.2021"]
    column = one(texts)
    assert (column.kind, column.n_values, column.n_misfits) == ("date", 60, 3)
    assert (
        "60 dates, and '0000-00-00' in row 61, 'unknown' in row 62 and '31.02.2021' in row 63"
        in (describe([column])[0])
    )
    assert predict(column, ["31.02.2021", "01.02.2021"]).isna().tolist() == [True, False]


def test_dates_too_far_off_are_missing_and_said():
    far = [datetime.datetime(9999, 12, 31), datetime.datetime(2021, 3, 4), datetime.datetime(2021, 3, 5)]
    frame = pd.DataFrame({"x": np.array(far, dtype="datetime64[us]")})
    (column,) = understand(frame)
    assert column.misfits == ((1, "9999-12-31T00:00:00"),)
    assert typed(frame, [column], where="t", fitting=True)["x"].isna().tolist() == [True, False, False]
    assert typed(frame, [column], where="t", fitting=False)["x"].isna().tolist() == [True, False, False]
    with pytest.raises(TableError, match="row 1 has '9999-12-31T00:00:00'"):
        typed(frame, [one(DAYS)], where="t", fitting=False)


@pytest.mark.parametrize("form", ["%Y week %W day %w", "%d_%m_%Y"])
def test_a_format_of_the_users_own(form):
    texts = list(DAYS.strftime(form))
    assert one(texts).kind != "date"
    column = one(texts, overrides={"x": f"date:{form}"})
    assert (fit(texts, column) == DAYS).all()
    with pytest.raises(TableError, match="row 1 has 'never'"):
        predict(column, ["never"])


# Durations, truth values, categories, texts


def test_durations_and_times_of_day_are_seconds():
    texts = repeated("10:30", "1:02:03.5", "2 days 03:00:00")
    column = one(texts)
    assert column.kind == "duration"
    assert fit(texts)[:3].tolist() == [37800, 3723.5, 183600]
    assert predict(column, pd.to_timedelta(["90min"])).tolist() == [5400]
    assert predict(column, [datetime.time(1, 30)]).tolist() == [5400]
    spans = one(pd.to_timedelta(np.arange(60), unit="h"))
    assert predict(spans, ["1:30:00", "1 days 00:00:00"]).tolist() == [5400, 86400]
    with pytest.raises(TableError, match="was a duration .* row 1 has 'a while'"):
        predict(spans, ["a while"])


@pytest.mark.parametrize(
    "values", [[True, False, None], ["true", "false", None], ["TRUE", "FALSE", ""], [True, False, pd.NA]]
)
def test_truth_values_are_the_same_category_however_written(values):
    column = one(repeated(*values))
    assert (column.kind, column.n_missing) == ("category", 10)
    assert fit(repeated(*values))[:3].tolist() == ["True", "False", None]
    for later in ([True, False, None], ["true", "False", "NA"], [1.0, 0.0, np.nan], ["1", "0", "?"]):
        assert predict(column, later).tolist() == ["True", "False", None]
    for wrong in (["Wahr"], [2]):
        with pytest.raises(TableError, match=f"row 1 has '?{wrong[0]}'?; .*as it was then, true/false"):
            predict(column, wrong)


def test_categories_are_trimmed_texts_or_none():
    column = one(repeated("red ", " green", "NA", "yes"))
    assert (column.kind, column.n_values, column.n_missing) == ("category", 30, 10)
    values = predict(column, ["red ", "mauve", "NA", ""])
    assert values.dtype == object
    assert values.tolist() == ["red", "mauve", None, None]


def test_text_is_several_words_that_other_rows_have():
    rng = np.random.default_rng(0)
    notes = [f"lot {i} of things" for i in range(60)]
    codes = [" ".join(f"w{w}" for w in rng.integers(0, 50, 6)) for _ in range(300)]
    chinese = ["".join(rng.choice(list("这是一个很好的产品我喜欢它"), 8)) for _ in range(200)]
    for texts in (notes, codes, chinese):
        assert one(texts).kind == "text"
        assert fit(texts).tolist() == texts
    assert one([f"word{3 * i} word{3 * i + 1} word{3 * i + 2}" for i in range(300)]).kind == "id"


def test_names_and_keys_are_left_out_unless_kept():
    rng = np.random.default_rng(0)
    hexes = ["".join(rng.choice(list("0123456789abcdef"), 32)) for _ in range(100)]
    for texts in (
        [f"name{i}" for i in range(100)],
        [f"user.{i}@example.com" for i in range(100)],
        [f"Anna{i} Smith" for i in range(95)] + ["Bo Li"] * 5,
        [f"{h[:8]}-{h[8:12]}-{h[12:16]}-{h[16:20]}-{h[20:]}" for h in hexes],
    ):
        column = one(texts)
        assert (column.kind, column.used) == ("id", False)
        (said,) = describe([column])
        assert "each row has a value of its own, as names and keys do (--keep x uses it)" in said
        assert typed(pd.DataFrame({"x": texts}), [column], where="t", fitting=True).shape == (100, 0)
        kept = one(texts, keep=["x"])
        assert (kept.kind, kept.used, describe([kept])) == ("text", True, [])


@pytest.mark.parametrize(
    "values", [np.arange(50), np.arange(1, 51), np.arange(50)[::-1], [str(i) for i in range(50)]]
)
def test_row_numbers_are_left_out(values):
    column = one(values)
    assert (column.kind, column.used, column.why) == ("id", False, "it numbers the rows")
    assert one(values, keep=["x"]).kind == "number"


def test_whole_numbers_that_are_no_keys_stay_numbers():
    rng = np.random.default_rng(0)
    cents = rng.permutation(100000)[:500]
    assert one(cents).kind == "number"
    assert one([str(v) for v in cents]).kind == "number"
    assert one(np.arange(1900, 2000)).kind == "number"
    assert one(np.arange(50.0)).kind == "number"
    assert one(rng.normal(size=50)).kind == "number"
    assert one(np.arange(50) // 2).kind == "number"
    assert understand(pd.DataFrame({"customer_id": cents}))[0].kind == "id"
    assert understand(pd.DataFrame({"paid": cents}))[0].kind == "number"


def test_long_whole_numbers_that_all_differ_are_keys():
    hashes = np.random.default_rng(0).integers(0, 2**64, 500, dtype=np.uint64)
    for values in (hashes, [str(h) for h in hashes], 2**62 + np.arange(500) * 3):
        column = one(values)
        assert (column.kind, column.why) == ("id", "each row has a long whole number of its own, as keys do")
    assert one(np.r_[hashes, hashes]).kind == "number"
    assert one(1_600_000_000 + 3600 * np.arange(500)).kind == "number"  # seconds since 1970


def test_constant_and_empty_columns_are_left_out():
    for values, kind, why in (
        ([7] * 5, "constant", "it has the same value in every row, 7"),
        (["a"] * 5, "constant", "it has the same value in every row, 'a'"),
        ([None] * 5, "empty", "it has no value in any row"),
        (["NA", "", "?"], "empty", "it has no value in any row"),
    ):
        column = one(values)
        assert (column.kind, column.used) == (kind, False)
        assert why in column.why
    assert one(["a", None] * 5).kind == "category"
    assert one([7.0, np.nan] * 5).kind == "number"
    assert one([7] * 5, keep=["x"]).used
    assert not one([None] * 5, keep=["x"]).used


def test_copies_of_the_target_are_left_out():
    y = np.array(["p", "q", "r"] * 20)
    for values in (
        y,
        np.repeat([[1.5, 2.5, 3.5]], 20, 0).ravel(),
        [{"p": "A", "q": "B", "r": None}[v] for v in y],
    ):
        column = one(values, labels=y)
        assert (column.used, column.why) == (False, "it tells the target one to one, as a copy of it does")
        assert one(values, labels=y, keep=["x"]).used
    nearly = y.copy()
    nearly[0] = "q"
    assert one(nearly, labels=y).used
    assert one(np.char.add(y, np.tile(["1", "2"], 30)), labels=y).used  # tells it, with six values


# Choices


def test_choices_override():
    frame = pd.DataFrame(
        {"price": ["5", "6"] * 5, "zip": [1234, 99999] * 5, "id": range(10), "s": ["a", "b"] * 5}
    )
    columns = understand(frame, overrides={"price": "text", "zip": "category", "id": "number", "s": "id"})
    assert [c.kind for c in columns] == ["text", "category", "number", "id"]
    values = typed(frame, columns, where="t", fitting=True)
    assert list(values.columns) == ["price", "zip", "id"]
    assert values["zip"][:2].tolist() == ["1234", "99999"]
    assert values["price"][:2].tolist() == ["5", "6"]
    later = frame.assign(zip=[1234.0, np.nan] * 5)
    assert typed(later, columns, where="n", fitting=False)["zip"][:2].tolist() == ["1234", None]


def test_a_chosen_number_takes_any_share_of_others_as_missing():
    texts = repeated("1.5", "a", "b")
    column = one(texts, overrides={"x": "number"})
    assert (column.kind, column.n_values, column.n_misfits) == ("number", 10, 20)
    assert fit(texts, column)[:3].isna().tolist() == [False, True, True]
    with pytest.raises(TableError, match="no value of column 'x' is a number; the first is 'a' in row 1"):
        one(repeated("a", "b"), overrides={"x": "number"})
    with pytest.raises(TableError, match="no value of column 'x' is a date; the first is 1.5 in row 1"):
        one([1.5, 2.5], overrides={"x": "date"})


def test_unknown_columns_and_kinds_are_errors_that_list_the_choices():
    with pytest.raises(TableError, match="--kind: there is no column 'y'; the table has 'x'"):
        one(["a"], overrides={"y": "text"})
    with pytest.raises(TableError, match="--keep: there is no column 'y'; the table has 'x'"):
        one(["a"], keep=["y"])
    for kind in ("words", "date:", "empty"):
        with pytest.raises(
            TableError, match=f"--kind x={kind}: expected one of number, category, text, date, "
        ):
            one(["a"], overrides={"x": kind})


# Tables


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


def test_columns_missing_later_and_cells_of_many_values_are_named():
    frame = pd.DataFrame({"a": [1.5, 2.5], "b": [2.5, 1.5]})
    columns = understand(frame)
    with pytest.raises(
        TableError, match="n.csv: 1 of the model's columns is missing: 'b'; the file has 'a', 'c'"
    ):
        typed(frame.rename(columns={"b": "c"}), columns, where="n.csv", fitting=False)
    with pytest.raises(TableError, match="column 'x' holds a list in each row; split it"):
        one([[1], [2]])
    with pytest.raises(TableError, match="was a number .* it holds a date in each row"):
        predict(columns[0] if False else Column("x", "number"), DAYS)
    with pytest.raises(TableError, match="was a text .* it holds a duration in each row"):
        predict(Column("x", "text"), pd.to_timedelta([1], unit="h"))


def test_a_column_with_no_value_later_is_missing_in_every_kind():
    for kind in ("number", "duration", "date", "category", "text"):
        for empty in ([None, None], [np.nan, np.nan], ["", "NA"]):
            assert predict(Column("x", kind), empty).isna().all()


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
    assert as_written(columns) == ["price", "zip"]


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
