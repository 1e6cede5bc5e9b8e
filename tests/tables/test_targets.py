"""The labels: as written, counted, and nothing taken for a class without a word."""

import numpy as np
import pandas as pd
import pytest

from xent.tables.errors import TableError
from xent.tables.targets import UNNAMED, split, understood


def labels(values, **options):
    return understood(pd.Series(values, name="y"), "t.csv", **options)


@pytest.mark.parametrize(
    ("values", "classes"),
    [
        (["yes", "no"], ["no", "yes"]),
        (["True", "False"], ["False", "True"]),
        (["01", "1", "2"], ["01", "1", "2"]),
        (["1.0", "2.0"], ["1.0", "2.0"]),
        (["10", "9", "-1"], [-1, 9, 10]),
        (["10", "9", "b"], ["10", "9", "b"]),
        ([3, 1], [1, 3]),
        ([True, False], [False, True]),
        (["a\nb", "Ü"], ["a\nb", "Ü"]),
        ([str(2**63), "1"], ["1", str(2**63)]),
    ],
)
def test_labels_are_what_is_written(values, classes):
    found = labels(values * 3)
    assert np.unique(found.labels).tolist() == classes
    assert found.labels.astype(str).tolist() == [str(value) for value in values * 3]
    assert found.counts() == {str(label): 3 for label in classes}
    assert found.kept.all()
    assert found.notes == ()


@pytest.mark.parametrize("word", ["NA", "?", "", "  ", "nan", "null", "#N/A"])
def test_a_cell_without_a_class_is_asked_about(word):
    values = ["a", "b", word, "a", word, "b", "a"]
    shown = repr(word) if word.strip() else "nothing"
    told = f"t.csv: column 'y' has {shown} in 2 of its rows, first in row 3; "
    with pytest.raises(TableError) as caught:
        labels(values)
    assert str(caught.value).startswith(told + "--missing-target drop leaves these rows out")
    dropped = labels(values, missing="drop")
    assert dropped.notes == (told + "these rows are left out",)
    assert dropped.kept.tolist() == [True, True, False, True, False, True, True]
    assert dropped.labels.tolist() == ["a", "b", "a", "b", "a"]
    kept = labels(values, missing="class")
    assert kept.notes == (told + "they are a class of their own",)
    assert kept.counts() == {"a": 3, "b": 2, word if word.strip() else UNNAMED: 2}


def test_several_signs_of_no_class_are_counted_apart():
    with pytest.raises(TableError, match=r"has 'NA' in 3 and '\?' in 2 and nothing in 1 of its rows"):
        labels(["a", "NA", "?", "NA", "", "NA", "?", "b"])
    with pytest.raises(TableError, match="has no class in any row"):
        labels(["NA", "?"], missing="drop")


def test_whole_numbers_stay_integers_when_rows_are_dropped():
    found = labels(["1", "NA", "2", "1"], missing="drop")
    assert found.labels.tolist() == [1, 2, 1]


@pytest.mark.parametrize("as_text", [False, True])
def test_a_quantity_is_refused_in_every_form(as_text):
    values = np.random.default_rng(0).normal(size=400)
    with pytest.raises(TableError) as caught:
        labels([f"{value:.6f}" for value in values] if as_text else values)
    assert "holds 400 different numbers in 400 rows, with decimals: a quantity" in str(caught.value)
    assert "cut it into ranges first, as pandas.cut does, or use a regression" in str(caught.value)
    grades = [1.0, 1.5, 2.0, 2.5] * 10  # numbers that repeat may be classes
    assert len(labels([str(g) for g in grades] if as_text else grades).counts()) == 4


def test_what_looks_wrong_is_said():
    (note,) = labels([str(age) for age in range(18, 98)] * 2).notes
    assert "holds 80 different whole numbers; each is a class. If they are a quantity, cut it" in note
    (note,) = labels(["p", "p ", "P", "q"] * 3).notes
    assert "the classes 'P', 'p', 'p ' differ by blanks or capitals alone, and are told apart" in note
    (note,) = labels(["a", "b", "a", "b", "once"]).notes
    assert note == "t.csv: column 'y': 'once' has a single row"


@pytest.mark.parametrize("values", [["u"] * 4, [1] * 4])
def test_a_single_class_is_refused_by_name(values):
    with pytest.raises(TableError, match=rf"column 'y' has only one class, '{values[0]}' in all 4 rows"):
        labels(values)


def test_every_class_is_on_both_sides_of_a_split_in_its_share():
    y = np.repeat(["a", "b", "c"], [50, 30, 20])
    X = pd.DataFrame({"row": np.arange(100)})
    X_fit, X_held, y_fit, y_held = split(X, y, 0.2, 0)
    assert sorted([*X_fit["row"], *X_held["row"]]) == list(range(100))
    assert (y[X_fit["row"]] == y_fit).all()
    assert (y[X_held["row"]] == y_held).all()
    assert np.unique(y_held, return_counts=True)[1].tolist() == [10, 6, 4]
    assert (X_held["row"].to_numpy() == split(X, y, 0.2, 0)[1]["row"].to_numpy()).all()
    assert (X_held["row"].to_numpy() != split(X, y, 0.2, 1)[1]["row"].to_numpy()).any()
    y = y.astype(object)
    y[0] = "rare"
    with pytest.raises(ValueError, match=r"class 'rare' has a single row, .*--holdout 0 fits on all rows"):
        split(X, y, 0.2, 0)
    with pytest.raises(ValueError, match=r"1 of 100 rows held out; the 3 classes need as many"):
        split(X[1:], np.append(y[1:], "a"), 0.001, 0)
    y[1] = "rare"
    with pytest.raises(
        ValueError, match=r"--holdout 0.9: no row of class 'rare' is left to fit, of 2; --hold"
    ):
        split(X, y, 0.9, 0)


def test_a_split_of_places_is_that_of_their_classes():
    y = np.repeat(["a", "b", "c"], [50, 30, 20])
    X, names = pd.DataFrame({"row": np.arange(100)}), np.array(["a", "b", "c"])
    for place, label in zip(
        split(X, np.repeat([0, 1, 2], [50, 30, 20]), 0.2, 0, names=names)[2:],
        split(X, y, 0.2, 0)[2:],
        strict=True,
    ):
        assert (names[place] == label).all()
    with pytest.raises(ValueError, match=r"class 'rare' has a single row"):
        split(X[:3], np.array([0, 1, 1]), 0.2, 0, names=np.array(["rare", "usual"]))
