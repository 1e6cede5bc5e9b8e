"""The strength of the penalty: C = 1 unless another is better by more than a standard error."""

import json

import numpy as np
import pytest
from scipy.sparse import csr_matrix
from sklearn.datasets import load_iris, load_wine
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import RepeatedStratifiedKFold
from sklearn.preprocessing import StandardScaler

import xent
from xent.tables import strength
from xent.tables.strength import CS, choose


def by_hand(scores, folds):
    """The rule, in words: mean losses, and of each difference to C = 1 the standard error over the folds."""
    mean = [-sum(column) / len(column) for column in scores.T]
    taken, least = 4, np.inf
    errors = []
    for k in range(9):
        gaps = [-row[k] + row[4] for row in scores]
        average = sum(gaps) / len(gaps)
        variance = sum((gap - average) ** 2 for gap in gaps) / (len(gaps) - 1)
        errors.append((variance / folds) ** 0.5)
        if average + errors[k] < 0 and mean[k] < least:
            taken, least = k, mean[k]
    return mean, errors, 10.0 ** (taken - 4)


@pytest.mark.parametrize("load", [load_iris, load_wine])
@pytest.mark.parametrize("folds", [3, 5])
def test_the_rule_is_that_of_one_standard_error(load, folds):
    X, y = load(return_X_y=True)
    X = StandardScaler().fit_transform(X)
    found = choose(X, y, seed=3, folds=folds)
    splitter = RepeatedStratifiedKFold(n_splits=folds, n_repeats=3, random_state=3)
    search = xent.SoftmaxRegressionCV(Cs=CS, cv=splitter).fit(X, y)
    mean, errors, C = by_hand(search.scores_[:, 0, :], folds)
    np.testing.assert_allclose(found.losses, mean, rtol=1e-9)
    np.testing.assert_allclose(found.errors, errors, rtol=1e-6, atol=1e-9)
    assert found.errors[4] == 0
    assert found.C == C
    assert (found.folds, found.rows, found.Cs) == (folds, len(y), CS)


def test_the_same_by_folds_that_are_fitted_one_by_one():
    """The losses are those of models fitted on the other folds and measured on this one."""
    X, y = load_iris(return_X_y=True)
    X = StandardScaler().fit_transform(X)
    found = choose(X, y, seed=0, folds=4)
    splitter = RepeatedStratifiedKFold(n_splits=4, n_repeats=3, random_state=0)
    for k in (2, 4):
        losses = []
        for fit, held in splitter.split(X, y):
            logs = xent.SoftmaxRegression(C=CS[k]).fit(X[fit], y[fit]).predict_log_proba(X[held])
            losses.append(-logs[np.arange(len(held)), y[held]].mean())
        assert found.losses[k] == pytest.approx(np.mean(losses), abs=2e-6)


def test_the_rule_on_losses_that_are_made_up(monkeypatch):
    """Better by chance is not enough; better by more than that is; of several the best is taken."""

    def chosen(gaps):
        """gaps: by C's place, what each of 5 × 3 folds loses to C = 1."""
        losses = np.ones((15, 9))
        losses[:, 4] = 0.5
        for k, gap in gaps.items():
            losses[:, k] = 0.5 + np.asarray(gap)

        class Search:
            scores_ = -losses[:, None, :]

            def __init__(self, **_):
                pass

            def fit(self, X, y):
                return self

        monkeypatch.setattr(strength, "SoftmaxRegressionCV", Search)
        return choose(np.zeros((50, 1)), np.arange(50) % 2).C

    noise = np.tile([-1.0, -0.5, 0.0, 0.5, 1.0], 3)
    error = noise.std(ddof=1) / 5**0.5
    assert chosen({}) == 1
    assert chosen({5: noise - 0.9 * error}) == 1
    assert chosen({5: noise - 1.1 * error}) == 10
    assert chosen({5: noise - 1.1 * error, 6: noise / 10 - 0.3}) == 10
    assert chosen({5: noise - 1.1 * error, 3: noise / 10 - 0.6}) == 0.1
    assert chosen({7: noise - 0.9 * error, 3: noise / 100 - 0.01}) == 0.1  # the least mean alone is chance


def test_many_rows_are_looked_at_in_part_and_every_class_in_its_share(monkeypatch):
    n = 50_000
    rng = np.random.default_rng(0)
    X = np.column_stack([np.arange(n), rng.normal(size=n)])
    y = np.where(np.arange(n) % 100 == 0, "rare", "usual")
    seen = {}

    class Search:
        def __init__(self, cv, **_):
            seen["folds"], seen["repeats"] = cv.cvargs["n_splits"], cv.n_repeats

        def fit(self, X, y):
            seen["X"], seen["y"] = X, y
            self.scores_ = -np.ones((5, 1, 9))

    monkeypatch.setattr(strength, "SoftmaxRegressionCV", Search)
    found = choose(X, y)
    rows = seen["X"][:, 0].astype(int)
    assert found.rows == len(rows) == len(np.unique(rows)) == 20_000
    assert (np.diff(rows) > 0).all()
    assert (seen["y"] == y[rows]).all()
    assert (seen["y"] == "rare").sum() == 200
    assert (seen["folds"], seen["repeats"]) == (5, 1)
    choose(X[:499], y[:499])
    assert (len(seen["X"]), seen["repeats"]) == (499, 3)
    choose(X[:20_000], y[:20_000])
    assert (seen["X"][:, 0] == np.arange(20_000)).all()
    first = seen["X"]
    choose(X, y, seed=1)
    assert not np.array_equal(seen["X"], first)


@pytest.mark.parametrize("n", [20_001, 20_002, 20_003])
def test_a_few_rows_more_than_are_looked_at(n):
    """Fewer rows would be left over than there are classes; then all are looked at."""
    found = choose(np.random.default_rng(0).normal(size=(n, 2)), np.arange(n) % 3, folds=2)
    assert found.rows == (20_000 if n == 20_003 else n)
    assert found.C <= 1  # there is nothing to learn


def test_a_class_with_few_rows_makes_fewer_folds_and_one_with_a_single_row_none():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(60, 2)), np.arange(60) % 2
    for rare, folds in ((4, 4), (2, 2)):
        found = choose(X, np.where(np.arange(60) < rare, 2, y))
        assert found.folds == folds
        assert len(found.losses) == 9
    assert choose(X, np.where(np.arange(60) < 1, 2, y)) is None


def test_what_is_chosen_is_of_types_that_json_has():
    X, y = load_iris(return_X_y=True)
    found = choose(StandardScaler().fit_transform(X), y, folds=2)
    fields = json.loads(json.dumps(found.to_dict()))
    assert fields["C"] == found.C
    assert fields["losses"] == list(found.losses)


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
