"""Columns are taken for what they are, on all their rows; keys, constants and copies are left out."""

import numpy as np
import pandas as pd
import pytest

from xent.tables.errors import TableError
from xent.tables.kinds import describe, typed, understand

from .columns import fit, one, predict, repeated


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
        with pytest.raises(TableError, match=rf"row 1 has '?{wrong[0]}'?; .*as it was then, true/false"):
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
    with pytest.raises(TableError, match=r"no value of column 'x' is a date; the first is 1.5 in row 1"):
        one([1.5, 2.5], overrides={"x": "date"})


def test_unknown_columns_and_kinds_are_errors_that_list_the_choices():
    with pytest.raises(TableError, match=r"--kind: there is no column 'y'; the table has 'x'"):
        one(["a"], overrides={"y": "text"})
    with pytest.raises(TableError, match="--keep: there is no column 'y'; the table has 'x'"):
        one(["a"], keep=["y"])
    for kind in ("words", "date:", "empty"):
        with pytest.raises(
            TableError, match=f"--kind x={kind}: expected one of number, category, text, date, "
        ):
            one(["a"], overrides={"x": kind})
