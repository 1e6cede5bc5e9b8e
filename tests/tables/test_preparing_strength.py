"""Dates as numbers, and how strong a penalty is taken."""

import numpy as np
import pandas as pd
import pytest
from scipy.sparse import csr_matrix
from sklearn.linear_model import LogisticRegression

from xent.tables import strength
from xent.tables.preparing import DateParts


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


@pytest.mark.parametrize("kind", [np.asarray, csr_matrix])
def test_turned_rows_give_the_same_probabilities(kind):
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(60, 200)), rng.integers(0, 3, 60)
    X[:, 5] = 3  # no column needs to be centred
    turned = strength._turned(kind(X))
    assert turned.shape == (60, 60)
    fits = [LogisticRegression(C=0.1, tol=1e-10, max_iter=10_000).fit(Z[:40], y[:40]) for Z in (X, turned)]
    p, q = (fit.predict_proba(Z[40:]) for fit, Z in zip(fits, (X, turned), strict=True))
    np.testing.assert_allclose(p, q, atol=1e-6)


def test_another_strength_needs_evidence():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(120, 30))
    noise = strength.choose(X, rng.integers(0, 2, 120))
    assert noise.C < 1  # nothing to learn: 30 coefficients at C = 1 cost more than a standard error
    clear = strength.choose(X[:, :2], (X[:, 0] > 0).astype(int))
    assert clear.C > 1
    at = strength.CS.index(clear.C)
    assert clear.losses[at] + clear.errors[at] < clear.losses[strength.USUAL]
    fair = strength.choose(X[:, :2], (X[:, 0] + rng.logistic(size=120) > 0).astype(int))
    assert fair.C == 1


def test_wide_tables_are_looked_at_in_part():
    rng = np.random.default_rng(0)
    X = csr_matrix(rng.poisson(0.01, size=(300, 700)).astype(float))
    y = rng.integers(0, 2, 300)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(strength, "WIDE", 100)
        patch.setattr(strength, "MOST_WIDE", 100)
        assert strength.choose(X, y).rows == 100
        assert strength.choose(X[:, :50], y).rows == 300
