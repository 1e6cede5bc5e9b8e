"""Columns become numbers by well-known recipes, and coefficients go back into the columns' units."""

import datetime
import math
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.pipeline import Pipeline

import xent
from xent.export import model_file
from xent.tables.kinds import typed, understand
from xent.tables.preparing import DateParts, forget_addresses, in_units, preparation

N = 80


@pytest.fixture
def table():
    """(features, columns, y) with every kind, holes in numbers, categories and dates among them."""
    rng = np.random.default_rng(0)
    size = np.where(rng.random(N) < 0.1, np.nan, 50 + 7 * rng.normal(size=N))
    colour = rng.choice(["red", "green", "blue"], N)
    frame = pd.DataFrame(
        {
            "size": size,
            "weight": rng.normal(size=N) * 1e-3,
            "colour": np.where(rng.random(N) < 0.1, None, colour),
            "flag": rng.random(N) < 0.5,
            "note": [f"lot w{i % 7} of {colour[i]} things, x{i}" for i in range(N)],
            "when": pd.Series(pd.date_range("2020-02-27 03:30", periods=N, freq="13h")).mask(colour == "red"),
            "span": pd.to_timedelta(rng.integers(1, 99, N), unit="min"),
        }
    )
    columns = understand(frame)
    kinds = ["number", "number", "category", "category", "text", "date", "duration"]
    assert [column.kind for column in columns] == kinds
    return typed(frame, columns, where="t", fitting=True), columns, rng.integers(0, 3, N)


def dense(X):
    return X.toarray() if hasattr(X, "toarray") else X


@pytest.mark.parametrize("raw", [False, True])
def test_each_kind_is_prepared_by_its_recipe(table, raw):
    features, columns, _ = table
    prepare = preparation(columns, raw=raw)
    X = dense(prepare.fit_transform(features))
    names = in_units(prepare, np.zeros((1, X.shape[1])), np.zeros(1))[0]
    at = {name: X[:, j] for j, name in enumerate(names)}
    assert len(at) == X.shape[1]  # each has a name of its own
    for name in ("size", "weight", "span"):
        values = features[name].to_numpy()
        scaled = values if raw else (values - np.nanmean(values)) / np.nanstd(values)
        expected = np.where(np.isnan(values), np.nanmean(scaled), scaled)  # the mean, where one is missing
        np.testing.assert_allclose(at[name], expected, rtol=1e-9, atol=1e-12)
    assert (at["size is missing"] == np.isnan(features["size"])).all()
    assert "weight is missing" not in at
    for value in ("red", "green", "blue"):
        assert (at[f"colour = {value}"] == (features["colour"] == value)).all()
    assert (at["colour = missing"] == features["colour"].isna()).all()
    assert (at["flag = True"] == (features["flag"] == "True")).all()
    years = at["when: years"][features["when"].notna()]
    assert years.mean() == pytest.approx(0, abs=1e-9)
    assert years.std() == pytest.approx(1)
    words = TfidfVectorizer(token_pattern=r"\w+", sublinear_tf=True)
    expected = words.fit_transform(features["note"]).toarray()
    np.testing.assert_allclose(at["note: 'w3'"], expected[:, words.vocabulary_["w3"]])
    assert np.isfinite(X).all()


@pytest.mark.parametrize("raw", [False, True])
@pytest.mark.parametrize("K", [2, 3])
def test_coefficients_in_units_give_the_same_logits(table, raw, K):
    """By hand, from the columns' own numbers and dates, feature by feature."""
    features, columns, y = table
    model = Pipeline([("p", preparation(columns, raw=raw)), ("c", xent.SoftmaxRegression())])
    model.fit(features, y % K)
    names, W, b = in_units(model[0], model[-1].coef_, model[-1].intercept_)
    values = dense(model[0].transform(features)).copy()
    for name in ("size", "weight", "span"):
        held = features[name].fillna(features[name].mean())
        values[:, names.index(name)] = held
    parts = parts_by_hand(features["when"])
    for name, part in parts.items():
        blank = np.nanmean(part) if name == "years" else 0.0
        values[:, names.index(f"when: {name}")] = np.where(np.isnan(part), blank, part)
    logits = values @ W.T + b
    np.testing.assert_allclose(
        logits if K > 2 else logits[:, 0], model.decision_function(features), atol=1e-9
    )


def parts_by_hand(dates):
    """Of each date, with the standard library's calendar."""
    out = {"years": [], **{_wave(*way): [] for way in WAYS}}
    for stamp in dates:
        if stamp is pd.NaT:
            for values in out.values():
                values.append(math.nan)
            continue
        when = stamp.to_pydatetime()
        start, end = datetime.datetime(when.year, 1, 1), datetime.datetime(when.year + 1, 1, 1)
        midnight = datetime.datetime(when.year, when.month, when.day)
        in_day = (when - midnight) / datetime.timedelta(days=1)
        turns = {
            "year": (when - start) / (end - start),
            "week": ((when.weekday() - 3) % 7 + in_day) / 7,  # 1970 began on a Thursday
            "day": in_day,
        }
        years = (when - datetime.datetime(1970, 1, 1)) / datetime.timedelta(days=365.2425)
        out["years"].append(years)
        for place, times, wave in WAYS:
            angle = 2 * math.pi * times * turns[place]
            out[_wave(place, times, wave)].append((math.sin if wave == "sine" else math.cos)(angle) / times)
    return {name: np.array(values) for name, values in out.items()}


def _wave(place, times, wave):
    return f"{wave} of the {place}" + f", {times} times" * (times > 1)


MOST = {"year": 4, "week": 2, "day": 2}
WAYS = [
    (place, times, wave)
    for place, most in MOST.items()
    for times in range(1, most + 1)
    for wave in ("sine", "cosine")
]


@pytest.mark.parametrize("freq", ["13h", "D", "37D", "11min"])
@pytest.mark.parametrize("start", ["2020-02-25", "1969-12-30", "1899-12-31"])
def test_the_parts_of_a_date_are_those_of_the_calendar(start, freq):
    dates = pd.Series([*pd.date_range(start, periods=60, freq=freq), pd.NaT])
    frame = pd.DataFrame({"when": dates})
    both = [DateParts(part).fit(frame) for part in ("years", "waves")]
    found = np.column_stack([parts.transform(frame) for parts in both])
    names = [name for parts in both for name in parts.get_feature_names_out()]
    assert len(names) == found.shape[1] == (13 if "D" in freq else 17)
    expected = parts_by_hand(dates)
    for name, column in zip(names, found.T, strict=True):
        np.testing.assert_allclose(column, expected[name.removeprefix("when: ")], atol=1e-6, err_msg=name)


def test_categories_and_holes_that_no_fitted_row_had(table):
    features, columns, _ = table
    prepare = preparation(columns).fit(features)
    other = features.head(3).assign(
        colour=pd.Series(["mauve", None, "red"], dtype=object), weight=[np.nan, 0.0, 0.0]
    )
    names = in_units(prepare, *(np.zeros((1, prepare.transform(other).shape[1])), np.zeros(1)))[0]
    X = dense(prepare.transform(other))
    colours = [j for j, name in enumerate(names) if name.startswith("colour = ")]
    assert X[:, colours].sum(axis=1).tolist() == [0, 1, 1]
    assert X[0, names.index("weight")] == 0  # the mean


def test_a_saved_model_is_the_same_to_the_bit(table, tmp_path):
    features, columns, y = table
    model = Pipeline([("preparation", preparation(columns)), ("classifier", xent.SoftmaxRegression())])
    model.fit(features, y)
    expected = model.predict_proba(features)
    forget_addresses(model[0])
    path, again = tmp_path / "a.xent", tmp_path / "b.xent"
    model_file.save(path, model, {"a": 1})
    loaded, _ = model_file.load(path)
    np.testing.assert_array_equal(loaded.predict_proba(features), expected)
    np.testing.assert_array_equal(model.predict_proba(features), expected)
    forget_addresses(loaded[0])
    model_file.save(again, loaded, {"a": 1})
    assert again.read_bytes() == path.read_bytes()


@pytest.mark.parametrize("raw", [False, True])
def test_what_is_prepared_stays_as_it_is(table, raw):
    """Holes are filled in place, but in copies."""
    features, columns, _ = table
    before = features.copy(deep=True)
    prepare = preparation(columns, raw=raw)
    fitted = dense(prepare.fit_transform(features))
    again = dense(prepare.transform(features))
    pd.testing.assert_frame_equal(features, before)
    np.testing.assert_allclose(again, fitted, rtol=1e-12)


def test_a_model_is_saved_and_opened_without_pytorch(tmp_path):
    """It takes seconds to load. Here it is an empty package, which any import would find."""
    (tmp_path / "torch").mkdir()
    (tmp_path / "torch" / "__init__.py").touch()
    code = (
        "import sys; sys.path.insert(0, '.')\n"
        "from pathlib import Path; from xent import SoftmaxRegression; from xent.export import model_file\n"
        "model = SoftmaxRegression().fit([[0.0], [1.0], [2.0]], [0, 1, 0])\n"
        "model_file.save(Path('m.xent'), model, {})\n"
        "print(model_file.load(Path('m.xent'))[0].classes_, 'torch' in sys.modules)\n"
        "print('sklearn.externals.array_api_compat.torch' in sys.modules)"
    )
    run = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert run.stdout.splitlines() == ["[0 1] False", "False"], run.stderr  # and the name is free again


def test_the_waves_of_a_date_come_round_in_their_time():
    days = pd.DataFrame({"when": pd.to_datetime(["2021-01-01", "2022-01-01", "2021-01-08", None])})
    numbers = pd.concat(
        [
            pd.DataFrame(parts.transform(days), columns=parts.get_feature_names_out())
            for parts in (DateParts(part).fit(days) for part in ("years", "waves"))
        ],
        axis=1,
    )
    year = [name for name in numbers if "of the year" in name]
    week = [name for name in numbers if "of the week" in name]
    assert (len(year), len(week), numbers.shape[1]) == (8, 4, 13)  # no time of day, no waves of it
    np.testing.assert_allclose(numbers.loc[0, year], numbers.loc[1, year], atol=1e-12)
    np.testing.assert_allclose(numbers.loc[0, week], numbers.loc[2, week], atol=1e-12)
    assert numbers.loc[1, "when: years"] - numbers.loc[0, "when: years"] == pytest.approx(365 / 365.2425)
    assert numbers.loc[3].isna().all()
