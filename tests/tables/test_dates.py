"""Dates and durations are read in any consistent format; what has two meanings is said or refused."""

import datetime

import numpy as np
import pandas as pd
import pytest

from xent.tables.errors import TableError
from xent.tables.kinds import describe, typed, understand

from .columns import fit, one, predict, repeated

DAYS = pd.date_range("2021-01-01", periods=60)

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
    with pytest.raises(TableError, match=r"row 2 has 20211332; .* write it as 2021-03-31"):
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
            f"n.csv: column 'x' was a date when the model was fitted; now row 2 has {text!r}; leave it empty "
            "if it is unknown, or write it as 2021-03-31"
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


def test_durations_and_times_of_day_are_seconds():
    texts = repeated("10:30", "1:02:03.5", "2 days 03:00:00")
    column = one(texts)
    assert column.kind == "duration"
    assert fit(texts)[:3].tolist() == [37800, 3723.5, 183600]
    assert predict(column, pd.to_timedelta(["90min"])).tolist() == [5400]
    assert predict(column, [datetime.time(1, 30)]).tolist() == [5400]
    spans = one(pd.to_timedelta(np.arange(60), unit="h"))
    assert predict(spans, ["1:30:00", "1 days 00:00:00"]).tolist() == [5400, 86400]
    with pytest.raises(TableError, match=r"was a duration .* row 1 has 'a while'"):
        predict(spans, ["a while"])
