"""Numbers in text are read in the form of their column; what is none is missing with a word, or refused."""

import numpy as np
import pandas as pd
import pytest

from xent.tables.errors import TableError
from xent.tables.kinds import describe, typed

from .columns import fit, one, predict, repeated

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


def test_what_was_missing_stays_missing_however_it_could_be_read_later():
    column = one([*repeated("1,5", "2,5"), "1.5"])
    assert column.words == ("1.5",)
    assert predict(column, ["1.5", "2.5"]).isna().tolist() == [True, False]


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
