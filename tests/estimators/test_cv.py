"""SoftmaxRegressionCV against LogisticRegressionCV and a loop of fits, and what it says where these have no
answer."""

import copy
import io
import pickle
import warnings

import numpy as np
import pandas as pd
import pytest
import scipy.sparse
import sklearn
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.datasets import load_iris, load_wine
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss, make_scorer
from sklearn.model_selection import (
    GroupKFold,
    KFold,
    PredefinedSplit,
    ShuffleSplit,
    StratifiedKFold,
    cross_val_score,
)
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from tests.truth.peers import their_cv
from tests.truth.smooth import Plain, softmax_rows
from xent import SoftmaxRegression, SoftmaxRegressionCV, softmax_path
from xent.estimators import folds
from xent.kernels import linear
from xent.objective.ridge import Objective

CS = np.array([1.0, 0.01, 100.0, 0.1])  # out of order: it is kept


def theirs(Cs=CS, **params):
    return their_cv(Cs=Cs, **{"solver": "newton-cholesky", "tol": 1e-12} | params)


@pytest.mark.parametrize("K", [2, 3])
@pytest.mark.parametrize("scoring", [None, "accuracy", "neg_brier_score", "roc_auc_ovr"])
@pytest.mark.parametrize("weighted", [True, False])
@pytest.mark.parametrize("intercept", [True, False])
def test_scores_and_coefficients_are_scikit_learns(rng, K, scoring, weighted, intercept):
    X = rng.normal(size=(120, 4))
    y = np.argmax(X[:, :K] + rng.normal(size=(120, K)), axis=1)
    s = rng.uniform(0.1, 3, 120) if weighted else None
    common = {"cv": 3, "fit_intercept": intercept, "class_weight": "balanced" if weighted else None}
    sklearns = theirs(scoring=scoring or "neg_log_loss", **common).fit(X, y, s)
    ours = SoftmaxRegressionCV(Cs=CS, scoring=scoring, tol=1e-13, **common).fit(X, y, s)
    assert_allclose(ours.scores_, sklearns.scores_, atol=1e-5)
    assert_allclose(ours.coefs_paths_, sklearns.coefs_paths_, atol=1e-5)
    for name in (
        "scores_",
        "coefs_paths_",
        "n_iter_",
        "Cs_",
        "l1_ratios_",
        "coef_",
        "intercept_",
        "classes_",
    ):
        assert getattr(ours, name).shape == getattr(sklearns, name).shape, name
    assert_array_equal(ours.Cs_, CS)
    best = ours.scores_.mean(axis=(0, 1))
    assert best[list(CS).index(ours.C_)] == pytest.approx(best.max(), abs=1e-12)
    if np.sum(best > best.max() - 1e-9) == 1:  # else they break ties otherwise
        assert ours.C_ == sklearns.C_
        assert_allclose(ours.coef_, sklearns.coef_, atol=1e-5)
        assert_allclose(ours.intercept_, sklearns.intercept_, atol=1e-5)
        assert ours.score(X, y, s) == pytest.approx(sklearns.score(X, y, sample_weight=s), abs=1e-5)
    assert isinstance(ours.C_, float)
    assert ours.l1_ratio_ == 0.0


def test_it_is_a_loop_of_fits(rng):
    """With all that a fit can be given, rows of probabilities among it."""
    X, o, s = rng.normal(size=(90, 4)), rng.normal(size=(90, 3)), rng.uniform(0.1, 2, 90)
    Q = softmax_rows(rng, 90, 3)
    given = {"label_smoothing": 0.1, "class_penalty_factor": [1.0, 2.0, 0.5], "tol": 1e-12}
    given["feature_penalty_factor"] = [1.0, 0.3, 2.0, 1.0]
    model = SoftmaxRegressionCV(Cs=CS, cv=4, **given).fit(X, Q, s, o)
    for i, (train, test) in enumerate(KFold(4).split(X)):
        for k, C in enumerate(CS):
            alone = SoftmaxRegression(C=C, **given).fit(X[train], Q[train], s[train], o[train])
            assert_allclose(model.coefs_paths_[i, 0, k, :, :-1], alone.coef_, atol=1e-5)
            logs = alone.predict_log_proba(X[test], o[test])
            score = (s[test, None] * Q[test] * logs).sum() / s[test].sum()
            assert model.scores_[i, 0, k] == pytest.approx(score, abs=1e-5)
    alone = SoftmaxRegression(C=model.C_, **given).fit(X, Q, s, o)
    assert_allclose(model.coef_, alone.coef_, atol=1e-5)
    assert model.objective_ == pytest.approx(alone.objective_, abs=1e-11)
    assert model.suboptimality_ <= 1e-12
    assert model.converged_
    assert_allclose(model.predict_proba(X, o), alone.predict_proba(X, o), atol=1e-5)
    assert model.score(X, Q, s, o) == pytest.approx(
        (s[:, None] * Q * model.predict_log_proba(X, o)).sum() / s.sum(), rel=1e-12
    )


@pytest.mark.parametrize("kind", [np.asarray, scipy.sparse.csr_array])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_held_out_rows_are_not_read_and_x_is_not_copied(rng, monkeypatch, kind, dtype):
    """A fit sees the table itself, with weights of 0; what stands in held-out rows does not matter to it."""
    X, y = kind(rng.normal(size=(60, 3)).astype(dtype)), rng.integers(0, 3, 60)
    seen = []

    def moments(batch, *args, true=linear.moments, **kwargs):
        seen.append(batch)
        return true(batch, *args, **kwargs)

    monkeypatch.setattr(linear, "moments", moments)
    model = SoftmaxRegressionCV(Cs=[1.0], cv=KFold(3)).fit(X, y)
    assert len(seen) == 4
    values = X.data if kind is scipy.sparse.csr_array else X
    for batch in seen:
        given = batch.X.data if batch.is_sparse else batch.X
        assert np.shares_memory(given, values)
    for batch, (_, test) in zip(seen, KFold(3).split(X), strict=False):
        assert_array_equal(batch.weight == 0, np.isin(np.arange(60), test))
    assert model.coefs_paths_.dtype == model.coef_.dtype == dtype


def test_log_losses_are_finite_where_probabilities_are_0(rng):
    X, y = rng.normal(size=(60, 2)), rng.integers(0, 2, 60)
    X[:30] *= 1e6  # fitted on the last 30
    cv = PredefinedSplit(np.r_[np.zeros(30), -np.ones(30)])
    model = SoftmaxRegressionCV(Cs=[1.0], cv=cv, tol=1e-13).fit(X, y)
    assert np.isfinite(model.scores_).all()
    assert model.scores_.min() < -1e4
    alone = SoftmaxRegression(tol=1e-13).fit(X[30:], y[30:])
    assert model.scores_[0, 0, 0] == pytest.approx(
        alone.predict_log_proba(X[:30])[np.arange(30), y[:30]].mean(), rel=1e-6
    )


def test_ties_go_to_the_strongest_penalty():
    X, y = load_iris(return_X_y=True)
    for Cs in ([10.0, 1e-3, 1.0, 0.1], [1.0, 10.0, 0.1, 1e-3]):
        model = SoftmaxRegressionCV(Cs=Cs, scoring=lambda model, X, y: 1.0).fit(X, y)
        assert model.C_ == 1e-3
    # Means that rounding alone tells apart are equal: here 0.1 + 0.2 + 0.3 in two orders.
    values = iter([0.3, 0.1, 0.2, 0.2, 0.1, 0.3])
    model = SoftmaxRegressionCV(Cs=[1.0, 2.0], cv=3, scoring=lambda *_: next(values)).fit(X, y)
    low, high = model.scores_.mean(axis=(0, 1))
    assert low < high
    assert model.C_ == 1.0


def test_a_class_that_a_fold_does_not_train_on(rng):
    """Its rows are left out of that fold's log-loss, and everything else is as if it were not there."""
    X = rng.normal(size=(90, 3))
    y = np.array(list("abc"))[rng.integers(0, 3, 90)]
    y[:30][y[:30] == "c"] = "a"
    y[60:] = np.where(rng.random(30) < 0.5, "c", y[60:])
    y[30:60][y[30:60] == "c"] = "b"  # c is in the last fold alone
    cv = KFold(3)
    with pytest.warns(
        UserWarning, match="no row of class 'c' in fold 2: its held-out rows are left out"
    ) as caught:
        model = SoftmaxRegressionCV(Cs=CS, cv=cv, tol=1e-12).fit(X, y)
    assert len(caught) == 1
    assert caught[0].filename == __file__
    assert np.isfinite(model.scores_).all()
    train, test = list(cv.split(X))[2]
    scored = test[y[test] != "c"]
    for k, C in enumerate(CS):
        # Two rows with the penalty of three classes: that of one row at twice the C.
        alone = SoftmaxRegression(C=2 * C, tol=1e-13).fit(X[train], y[train])
        expected = -log_loss(y[scored], alone.predict_proba(X[scored]))
        assert model.scores_[2, 0, k] == pytest.approx(expected, abs=1e-6)
        W = model.coefs_paths_[2, 0, k]
        assert_allclose(W[1] - W[0], np.append(alone.coef_, alone.intercept_), atol=1e-5)
        assert_array_equal(W[2], [0, 0, 0, -np.inf])
    # The limit of the problem with three classes, whose intercept of c is then −inf.
    few = SoftmaxRegression(C=1.0, tol=1e-13).fit(
        np.vstack([X[train], np.zeros((1, 3))]), np.append(y[train], "c"), np.append(np.ones(60), 1e-12)
    )
    assert_allclose(model.coefs_paths_[2, 0, 0, :2, :3], few.coef_[:2], atol=1e-4)
    # Other scorers see those rows: the model gives them probability 0.
    with pytest.warns(UserWarning, match="that fold's model gives it probability 0"):
        accuracy = SoftmaxRegressionCV(Cs=[1.0], cv=cv, scoring="accuracy", tol=1e-12).fit(X, y)
    alone = SoftmaxRegression(C=2.0, tol=1e-13).fit(X[train], y[train])
    assert accuracy.scores_[2, 0, 0] == pytest.approx(np.mean(alone.predict(X[test]) == y[test]), abs=1e-12)
    probability = lambda model, X, y: model.predict_proba(X)[:, 2].max()  # noqa: E731
    with pytest.warns(UserWarning, match="in fold 2"):
        assert SoftmaxRegressionCV(Cs=[1.0], cv=cv, scoring=probability).fit(X, y).scores_[2, 0, 0] == 0
    # With smoothing every class has a part in every row.
    smooth = SoftmaxRegressionCV(Cs=[1.0], cv=cv, label_smoothing=0.1).fit(X, y)
    assert np.isfinite(smooth.coefs_paths_).all()


def test_a_class_missing_among_four_with_all_that_goes_by_class(rng):
    """Offsets, factors and rows of probabilities lose their column with the class."""
    X, o, y = rng.normal(size=(80, 3)), rng.normal(size=(80, 4)), np.arange(80) % 4
    y[40:][y[40:] == 1] = 3
    cv = [(np.arange(40, 80), np.arange(40)), (np.arange(40), np.arange(40, 80))]
    u = np.array([1.0, 5.0, 2.0, 0.5])
    given = {"Cs": [1.0], "cv": cv, "tol": 1e-12}
    rest = [0, 2, 3]
    alone = SoftmaxRegression(class_penalty_factor=u[rest], tol=1e-13).fit(
        X[40:], y[40:], offset=o[40:][:, rest]
    )
    scored = np.flatnonzero(y[:40] != 1)
    logs = alone.predict_log_proba(X[scored], o[scored][:, rest])
    expected = logs[np.arange(len(scored)), np.searchsorted(rest, y[scored])].mean()
    for target in (y, np.eye(4)[y]):
        with pytest.warns(UserWarning, match="of class 1 in fold 0"):
            model = SoftmaxRegressionCV(class_penalty_factor=u, **given).fit(X, target, offset=o)
        assert_allclose(model.coefs_paths_[0, 0, 0, rest, :3], alone.coef_, atol=1e-5)
        assert model.scores_[0, 0, 0] == pytest.approx(expected, abs=1e-6)
    with pytest.warns(UserWarning, match="of class 1 in fold 0"):
        averaged = SoftmaxRegressionCV(refit=False, **given).fit(X, y)
    paths = averaged.coefs_paths_[:, 0, 0]
    assert_allclose(averaged.coef_[rest], paths[:, rest, :3].mean(axis=0), rtol=1e-12)
    assert_allclose(averaged.coef_[1], paths[1, 1, :3], rtol=1e-12)  # the mean over folds that have it


def test_what_no_fold_can_take():
    X, y = load_iris(return_X_y=True)
    with pytest.raises(ValueError, match=r"the training part of fold 0 has rows of classes \[0\] only"):
        SoftmaxRegressionCV(cv=[(np.arange(50), np.arange(50, 150))]).fit(X, y)
    with pytest.raises(
        ValueError, match="cv: fold 0 has no held-out row with a weight and a class it was tr"
    ):
        SoftmaxRegressionCV(cv=[(np.arange(100), np.arange(100, 150))]).fit(X, y)
    with pytest.raises(ValueError, match="cv: fold 1 has no held-out row"):
        SoftmaxRegressionCV(cv=KFold(5, shuffle=True, random_state=0)).fit(X, y, weight_without_fold_1())
    with pytest.raises(ValueError, match="not one of the scores is a finite number"):
        SoftmaxRegressionCV(scoring=lambda *_: np.nan).fit(X, y)
    with pytest.raises(ValueError, match="offset: scikit-learn's scorers know none"):
        SoftmaxRegressionCV(scoring="accuracy").fit(X, y, offset=np.zeros((150, 3)))
    model = SoftmaxRegressionCV(refit=False, cv=[(np.arange(100), np.r_[:10, 100:110])])
    with (
        pytest.warns(UserWarning, match="no row of class .*2.* in fold 0"),
        pytest.raises(ValueError, match="a class is in no fold's training part"),
    ):
        model.fit(X, y)


def weight_without_fold_1():
    s = np.ones(150)
    s[list(KFold(5, shuffle=True, random_state=0).split(s))[1][1]] = 0
    return s


def test_a_score_that_is_no_number_is_no_best():
    X, y = load_iris(return_X_y=True)
    scores = iter([np.nan, 0.1, 0.2, np.nan, 0.1, 0.2])
    model = SoftmaxRegressionCV(Cs=[1.0, 2.0, 3.0], cv=2, scoring=lambda *_: next(scores)).fit(X, y)
    assert model.C_ == 3.0


def test_rows_named_twice_and_masks(rng):
    """As X[train] would have it: bootstraps repeat rows."""
    X, y = rng.normal(size=(50, 2)), rng.integers(0, 2, 50)
    train, test = rng.integers(0, 40, 60), np.arange(40, 50)
    alone = SoftmaxRegression(tol=1e-12).fit(X[train], y[train])
    model = SoftmaxRegressionCV(Cs=[1.0], cv=[(train, test)], tol=1e-12).fit(X, y)
    assert_allclose(model.coefs_paths_[0, 0, 0, :, :2], alone.coef_, atol=1e-5)
    mask = np.arange(50) < 40
    split = [(np.arange(40), test)]
    a, b = (SoftmaxRegressionCV(Cs=[1.0], cv=cv).fit(X, y) for cv in ([(mask, ~mask)], split))
    assert_array_equal(a.scores_, b.scores_)


@pytest.mark.parametrize("scoring", [None, "accuracy"])
def test_without_a_refit_folds_are_averaged(rng, scoring):
    X, y = rng.normal(size=(120, 4)), rng.integers(0, 3, 120)
    ours = SoftmaxRegressionCV(Cs=CS, refit=False, scoring=scoring, tol=1e-12).fit(X, y)
    if scoring is None:
        sklearns = theirs(scoring="neg_log_loss", refit=False).fit(X, y)
        assert ours.C_ == pytest.approx(sklearns.C_)
        assert_allclose(ours.coef_, sklearns.coef_, atol=1e-5)
        assert_allclose(ours.intercept_, sklearns.intercept_, atol=1e-5)
    for missing in ("objective_", "suboptimality_", "converged_"):
        assert not hasattr(ours, missing)
    assert ours.predict(X).shape == (120,)
    bare = SoftmaxRegressionCV(Cs=CS, refit=False, fit_intercept=False).fit(X, y)
    assert bare.coef_.shape == (3, 4)
    assert_array_equal(bare.intercept_, np.zeros(3))


def test_edges(rng):
    """Noise: the smallest C. All zeros: every C equal, so the smallest. Infinite C: no penalty."""
    X, y = rng.normal(size=(90, 3)), rng.integers(0, 3, 90)
    model = SoftmaxRegressionCV(Cs=[np.inf, 1.0, 1e-12]).fit(X, y)
    assert model.C_ == 1e-12
    assert_allclose(model.coef_, 0, atol=1e-8)
    with_constants = np.column_stack([X, np.full(90, 3.0), np.zeros(90)])
    other = SoftmaxRegressionCV(Cs=[0.1, 1.0], tol=1e-12).fit(with_constants, y)
    alone = SoftmaxRegressionCV(Cs=[0.1, 1.0], tol=1e-12).fit(X, y)
    assert_allclose(other.scores_, alone.scores_, atol=1e-8)
    assert_allclose(other.coef_[:, 3:], 0, atol=1e-10)
    nothing = SoftmaxRegressionCV(Cs=[1.0, 0.1, np.inf]).fit(np.zeros((90, 2)), y)
    assert nothing.C_ == 0.1
    assert_array_equal(nothing.coef_, 0)
    assert_array_equal(SoftmaxRegressionCV(Cs=[3.0]).fit(X, y).C_, 3.0)
    assert_allclose(SoftmaxRegressionCV(Cs=4).fit(X, y).Cs_, np.logspace(-4, 4, 4))


def test_what_falls_short_is_told_once(rng):
    X, y = load_wine(return_X_y=True)
    with pytest.warns(ConvergenceWarning) as caught:
        model = SoftmaxRegressionCV(Cs=[1.0, 100.0], cv=3, max_iter=1).fit(X, y)
    (warning,) = caught
    assert warning.filename == __file__
    text = str(warning.message)
    assert text.startswith(
        "SoftmaxRegressionCV: 7 of 7 fits did not reach an optimum (fold 0 at C = 1, fold 0 at"
    )
    assert "increase max_iter" in text
    assert not model.converged_
    with pytest.warns(ConvergenceWarning, match=r"max_time has passed; increase it\.$"):
        SoftmaxRegressionCV(Cs=2, cv=3, max_time=1e-9).fit(X, y)
    X, y = rng.normal(size=(40, 2)), np.arange(40) % 2
    X[:, 0] += 100 * y
    with pytest.warns(ConvergenceWarning, match="all rows at C = inf.*completely separated along x0"):
        SoftmaxRegressionCV(Cs=[np.inf], cv=2).fit(X, y)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"Cs": 0}, "'Cs' parameter of SoftmaxRegressionCV must be an int in"),
        ({"Cs": [-1.0]}, r"Got \[-1.0\] instead"),
        ({"l1_ratios": (0.5, 1.5)}, r"'l1_ratios' parameter .* range \[0.0, 1.0\]. Got \(0.5, 1.5\) instead"),
        ({"l1_ratios": 0.5}, "Got 0.5 instead"),
        ({"l1_ratios": ()}, r"Got \(\) instead"),
        ({"refit": "yes"}, "'refit' parameter"),
        ({"max_time": 0}, "'max_time' parameter of SoftmaxRegressionCV"),
        ({"scoring": "speed"}, "'speed' is not a valid scoring value"),
        (
            {"l1_ratios": (0, 0.5), "Cs": [1.0, np.inf]},
            "Cs: inf is no penalty, which l1_ratio > 0 cannot have",
        ),
        ({"grouped": True, "bounds": (0, 1)}, "no closed form"),
        ({"cv": 1}, "n_splits=1"),
    ],
)
def test_bad_parameters(params, message):
    X, y = load_iris(return_X_y=True)
    model = SoftmaxRegressionCV(**params)
    with pytest.raises(ValueError, match=message):
        model.fit(X, y)
    assert not [name for name in vars(model) if name.endswith("_")]


def test_a_failed_fit_leaves_the_last_model():
    X, y = load_iris(return_X_y=True)
    model = SoftmaxRegressionCV(Cs=2).fit(X, y)
    before = copy.deepcopy(vars(model))
    with pytest.raises(ValueError, match="one class"):
        model.fit(X[:, :2], np.zeros(150))
    assert vars(model).keys() == before.keys()
    assert_array_equal(model.coef_, before["coef_"])
    assert model.n_features_in_ == 4
    with pytest.raises(NotFittedError):
        SoftmaxRegressionCV().predict(X)


def test_it_works_where_estimators_work():
    X, y = load_wine(return_X_y=True, as_frame=True)
    pipe = make_pipeline(StandardScaler().set_output(transform="pandas"), SoftmaxRegressionCV(Cs=[0.1, 1.0]))
    pipe.fit(X, y)
    assert_array_equal(pipe[-1].feature_names_in_, X.columns)
    assert pipe.score(X, y) == pytest.approx(-log_loss(y, pipe.predict_proba(X)), rel=1e-9)
    again = pickle.loads(pickle.dumps(pipe))
    assert_array_equal(again.predict_proba(X), pipe.predict_proba(X))
    assert clone(pipe[-1]).Cs == [0.1, 1.0]
    assert not hasattr(clone(pipe[-1]), "coef_")
    nested = cross_val_score(SoftmaxRegressionCV(Cs=2, cv=2, scoring="accuracy"), X, y, cv=2)
    assert nested.min() > 0.8
    assert scipy.sparse.issparse(pipe[-1].sparsify().coef_)
    assert "SoftmaxRegressionCV" in pipe[-1]._repr_html_()


def test_scorers_of_every_kind(rng):
    X, y = rng.normal(size=(60, 3)), np.array(["no", "yes"])[rng.integers(0, 2, 60)]
    s = rng.uniform(0.5, 2, 60)
    for scoring in ("neg_brier_score", "roc_auc", "neg_log_loss", "balanced_accuracy"):
        sklearns = theirs(scoring=scoring, cv=3).fit(X, y, s)
        ours = SoftmaxRegressionCV(Cs=CS, scoring=scoring, tol=1e-12, cv=3).fit(X, y, s)
        assert_allclose(ours.scores_, sklearns.scores_, atol=1e-5)
    ours = SoftmaxRegressionCV(Cs=CS, scoring="f1_macro", cv=3).fit(
        X, y
    )  # which LogisticRegressionCV fails on
    for C, scores in zip(CS, ours.scores_[:, 0].T, strict=True):
        assert_allclose(scores, cross_val_score(SoftmaxRegression(C=C), X, y, scoring="f1_macro", cv=3))
    half = make_scorer(lambda truth, found: np.mean(truth == found) / 2)
    a = SoftmaxRegressionCV(Cs=CS, scoring=half).fit(X, y)
    b = SoftmaxRegressionCV(Cs=CS, scoring="accuracy").fit(X, y)
    assert_allclose(a.scores_, b.scores_ / 2, rtol=1e-15)
    # a fold whose held-out rows have one class only: the scorer is told of both
    split = [(np.r_[:60], np.flatnonzero(y == "no")[:10])]
    model = SoftmaxRegressionCV(Cs=[1.0], scoring="neg_log_loss", cv=split).fit(X, y)
    logs = SoftmaxRegression().fit(X, y).predict_log_proba(X[split[0][1]])
    assert model.scores_[0, 0, 0] == pytest.approx(logs[:, 0].mean(), abs=1e-3)


def test_metadata_goes_where_it_is_asked_for(rng):
    X, y = rng.normal(size=(60, 3)), rng.integers(0, 2, 60)
    groups, s = np.arange(60) % 4, rng.uniform(0.5, 2, 60)
    with pytest.raises(ValueError, match="groups"):
        SoftmaxRegressionCV(cv=GroupKFold(4)).fit(X, y, groups=groups)
    with sklearn.config_context(enable_metadata_routing=True):
        plain = SoftmaxRegressionCV(Cs=[1.0], cv=GroupKFold(4)).fit(X, y, groups=groups)
        scorer = sklearn.metrics.get_scorer("accuracy").set_score_request(sample_weight=True)
        weighted = SoftmaxRegressionCV(Cs=[1.0], cv=GroupKFold(4), scoring=scorer)
        weighted.fit(X, y, s, groups=groups)
        score = weighted.score(X, y, sample_weight=s)
    listed = list(GroupKFold(4).split(X, y, groups))
    assert_array_equal(plain.scores_, SoftmaxRegressionCV(Cs=[1.0], cv=listed).fit(X, y).scores_)
    right = weighted.predict(X) == y
    assert score == pytest.approx(np.average(right, weights=s))
    same = SoftmaxRegressionCV(Cs=[1.0], cv=listed, scoring="accuracy").fit(X, y, s)
    assert_array_equal(weighted.scores_, same.scores_)


def test_verbose_prints_a_line_a_fit(capsys):
    X, y = load_iris(return_X_y=True)
    SoftmaxRegressionCV(Cs=2, cv=3).fit(X, y)
    assert capsys.readouterr().out == ""
    told = []
    model = SoftmaxRegressionCV(Cs=2, cv=3, verbose=1)
    model._report = told.append
    model.fit(X, y)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 7
    assert lines[0].startswith("fold 0  C 0.0001     score -")
    assert lines[-1].startswith("all rows  C ")
    assert_allclose(told, np.arange(1, 8) / 7)
    passes = [int(line.split()[-2]) for line in lines]
    assert sum(passes) == model.n_passes_


def test_frames_and_splitters(rng):
    X, y = load_iris(return_X_y=True)
    frame = pd.DataFrame(X, columns=list("abcd"))
    a = SoftmaxRegressionCV(Cs=2, cv=StratifiedKFold(5)).fit(frame, pd.Series(y))
    assert_array_equal(a.scores_, SoftmaxRegressionCV(Cs=2).fit(X, y).scores_)  # None is 5
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        SoftmaxRegressionCV(Cs=2, cv=iter(ShuffleSplit(2, random_state=0).split(X))).fit(X, y)
    soft = pd.DataFrame(np.eye(3)[y], columns=["u", "v", "w"])
    named = SoftmaxRegressionCV(Cs=2, cv=KFold(5, shuffle=True, random_state=0)).fit(X, soft)
    assert_array_equal(named.classes_, ["u", "v", "w"])


def test_folds_do_not_change_what_they_are_made_of(rng):
    X, s = rng.normal(size=(60, 3)), rng.uniform(0.5, 2, 60)
    y, before = rng.integers(0, 3, 60), s.copy()
    model = SoftmaxRegressionCV(Cs=2).fit(X, y, s)
    assert_array_equal(s, before)
    scorer = sklearn.metrics.get_scorer("neg_log_loss")
    kept = dict(scorer._kwargs)
    folds.knowing(scorer, model.classes_)
    assert scorer._kwargs == kept
    buffer = io.BytesIO()
    pickle.dump(model, buffer)
    assert len(buffer.getvalue()) < 20_000


def test_what_a_ratio_cannot_take_is_refused_before_any_fit(rng):
    """Two classes share one row of coefficients, on which an L1 part has one factor."""
    X, y = rng.normal(size=(40, 2)), np.arange(40) % 2
    given = {"Cs": [1.0], "class_penalty_factor": [1.0, 2.0], "cv": 2}
    SoftmaxRegressionCV(**given).fit(X, y)
    model = SoftmaxRegressionCV(l1_ratios=(0.0, 0.5), **given)
    with pytest.raises(ValueError, match="class_penalty_factor: two classes share one row of coefficients"):
        model.fit(X, y)
    assert not hasattr(model, "scores_")


def test_a_solver_that_does_nothing_stops_nothing(rng):
    """With L1 and with bounds, which have a solver of their own."""
    X, y = rng.normal(size=(40, 2)), np.arange(40) % 3
    for given in ({"l1_ratios": [0.5]}, {"bounds": (0, np.inf)}):
        with pytest.warns(FutureWarning, match="solver='lbfgs' does nothing"):
            model = SoftmaxRegressionCV(Cs=[1.0], cv=2, solver="lbfgs", **given).fit(X, y)
        assert_array_equal(model.coef_, SoftmaxRegressionCV(Cs=[1.0], cv=2, **given).fit(X, y).coef_)


def test_no_folds_are_an_error():
    with pytest.raises(ValueError, match="cv: the splitter yielded no folds"):
        SoftmaxRegressionCV(cv=[]).fit([[0.0], [1.0], [2.0], [3.0]], [0, 1, 0, 1])


@pytest.fixture
def long_rows(monkeypatch):
    """Rows that L-BFGS fits, as if there were too many coefficients for a Hessian."""
    monkeypatch.setattr(Objective, "has_hessian", property(lambda self: False))
    rng = np.random.default_rng(8)
    centres, y = rng.normal(size=(10, 60)), rng.integers(0, 10, 4000)
    X = (centres[y] + 2 * rng.normal(size=(4000, 60))) * np.arange(1, 61) ** -0.7
    return X.astype(np.float32), y


def test_scores_of_folds_that_prove_nothing_are_those_of_their_optima(long_rows):
    """Against scikit-learn's Newton at 1e-12 on each fold's rows, and against fits that are proven."""
    X, y = long_rows
    Cs = np.array([0.01, 1.0, 100.0])
    model = SoftmaxRegressionCV(Cs=Cs, cv=3).fit(X, y)
    proven = 0
    for i, (train, test) in enumerate(StratifiedKFold(3).split(X, y)):
        proven += softmax_path(X[train], y[train], Cs).n_iter.sum()
        for k, C in enumerate(Cs):
            optimum = LogisticRegression(C=C, solver="newton-cholesky", tol=1e-12)
            optimum.fit(X[train].astype(np.float64), y[train])
            score = -log_loss(y[test], optimum.predict_proba(X[test].astype(np.float64)))
            assert model.scores_[i, 0, k] == pytest.approx(score, abs=1e-4 if C <= 1 else 3e-3 * abs(score))
            plain, row = Plain(X[train], y[train], C=C), model.coefs_paths_[i, 0, k].astype(np.float64)
            best = plain.value(optimum.coef_, optimum.intercept_, np.float64)
            assert plain.value(row[:, :-1], row[:, -1], np.float64) - best < 3e-7
    assert model.n_iter_.sum() < 0.8 * proven
    assert model.converged_


def test_folds_that_end_early_for_another_reason_are_told(long_rows):
    with pytest.warns(
        ConvergenceWarning, match="4 of 4 fits did not reach an optimum .fold 0 at C = 10, fold"
    ):
        SoftmaxRegressionCV(Cs=[10.0], cv=3, max_iter=2).fit(*long_rows)
