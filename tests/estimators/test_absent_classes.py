"""Classes whose weights are all 0, as bagging makes them: the limit of F as their intercepts go to −inf."""

import warnings

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.special import softmax
from sklearn.calibration import CalibratedClassifierCV
from sklearn.datasets import load_iris
from sklearn.ensemble import BaggingClassifier, StackingClassifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import get_scorer
from sklearn.model_selection import KFold
from sklearn.multiclass import OneVsOneClassifier, OneVsRestClassifier

from tests.truth.peers import their_cv
from tests.truth.smooth import Plain
from xent import SoftmaxRegression, SoftmaxRegressionCV, l1_min_c, softmax_path


def data(rng, K, n=160, d=3):
    X = rng.normal(size=(n, d))
    return X, np.argmax(X @ rng.normal(size=(d, K)) + 2 * rng.normal(size=(n, K)), axis=1)


def targets(kind, y, K):
    return np.eye(K)[y] if kind == "rows" else y


SETTINGS = [
    {},
    {"solver": "newton"},
    {"solver": "lbfgs"},
    {"C": np.inf},
    {"l1_ratio": 1.0, "C": 0.2},
    {"l1_ratio": 0.5, "grouped": True, "C": 0.2},
    {"bounds": (-0.1, 0.3)},
    {"class_weight": "balanced"},
    {"class_penalty_factor": [0.5, 1.0, 2.0, 3.0]},
    {"feature_penalty_factor": [2.0, 1.0, 0.5]},
]


@pytest.mark.parametrize("kind", ["labels", "rows"])
@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_it_is_the_fit_without_those_rows(rng, settings, kind):
    """Of four classes one has no weight: the other coefficients, F and its certificate are those of three."""
    X, y = data(rng, 4)
    s, o = np.where(y == 1, 0, rng.uniform(0.5, 2, len(y))), rng.normal(size=(len(y), 4))
    rest, kept = [0, 2, 3], y != 1
    fewer = dict(settings)
    if "class_penalty_factor" in settings:
        fewer["class_penalty_factor"] = np.take(settings["class_penalty_factor"], rest)
    model = SoftmaxRegression(tol=1e-11, **settings).fit(X, targets(kind, y, 4), s, o)
    alone = SoftmaxRegression(tol=1e-11, **fewer).fit(X[kept], y[kept], s[kept], o[kept][:, rest])
    assert_array_equal(model.classes_, range(4))
    assert_allclose(model.coef_[rest], alone.coef_, atol=1e-5)
    assert_allclose(model.intercept_[rest], alone.intercept_, atol=1e-5)
    assert not model.coef_[1].any()
    assert model.intercept_[1] == -np.inf
    assert model.objective_ == pytest.approx(alone.objective_, abs=2e-11)
    assert model.converged_
    assert model.suboptimality_ <= 1e-11
    P = model.predict_proba(X, o)
    assert not P[:, 1].any()
    assert_allclose(P[:, rest], alone.predict_proba(X, o[:, rest]), atol=1e-5)
    assert (model.predict_log_proba(X, o)[:, 1] == -np.inf).all()
    assert not (model.predict(X, o) == 1).any()


def test_two_classes_left_of_three_have_the_penalty_of_three(rng):
    X, y = data(rng, 3)
    model = SoftmaxRegression(C=0.5, tol=1e-12).fit(X, y, 1.0 * (y != 2))
    plain = Plain(X[y < 2], np.eye(3)[y[y < 2]], C=0.5)
    far = np.append(model.intercept_[:2], -1e4)
    assert model.objective_ == pytest.approx(plain.value(model.coef_, far), abs=1e-12)
    gradient, slope = plain.gradient(model.coef_, far)
    assert_allclose(gradient, 0, atol=1e-6)
    assert_allclose(slope, 0, atol=1e-6)
    # scikit-learn's two classes have one row of coefficients, and half the penalty.
    theirs = LogisticRegression(C=1.0, solver="newton-cholesky", tol=1e-12).fit(X[y < 2], y[y < 2])
    assert_allclose(model.coef_[1] - model.coef_[0], theirs.coef_[0], atol=1e-5)
    nearly = SoftmaxRegression(C=0.5, tol=1e-13).fit(X, y, np.where(y == 2, 1e-9, 1.0))
    assert_allclose(model.coef_, nearly.coef_, atol=1e-5)


@pytest.mark.parametrize("how", ["sample_weight", "class_weight", "rows", "balanced"])
def test_every_way_to_have_no_weight(rng, how):
    X, y = data(rng, 3)
    kept, s = y != 0, 1.0 * (y != 0)
    alone = SoftmaxRegression(C=2.0, tol=1e-12, class_weight="balanced" if how == "balanced" else None)
    alone.fit(X[kept], y[kept])
    fit = {
        "sample_weight": lambda: SoftmaxRegression(tol=1e-12).fit(X, y, s),
        "class_weight": lambda: SoftmaxRegression(tol=1e-12, class_weight={0: 0}).fit(X, y),
        "rows": lambda: SoftmaxRegression(tol=1e-12).fit(X[kept], np.eye(3)[y[kept]]),
        "balanced": lambda: SoftmaxRegression(tol=1e-12, class_weight="balanced").fit(X, y, s),
    }
    model = fit[how]()
    assert_allclose(model.coef_[2] - model.coef_[1], alone.coef_[0], atol=1e-5)
    assert_array_equal(model.predict_proba(X)[:, 0], np.zeros(len(y)))


@pytest.mark.parametrize("K", [2, 3])
@pytest.mark.parametrize("settings", [{}, {"C": np.inf}, {"l1_ratio": 1.0}, {"bounds": (-1, 1)}], ids=str)
def test_one_class_left_is_certain(rng, K, settings):
    X, y = data(rng, K)
    for left in range(K):
        for kind in ("labels", "rows"):
            model = SoftmaxRegression(**settings).fit(X, targets(kind, y, K), 1.0 * (y == left))
            assert_array_equal(model.predict_proba(X), np.eye(K)[np.full(len(y), left)])
            assert_array_equal(model.predict(X), np.full(len(y), left))
            assert not np.isnan(model.predict_log_proba(X)).any()
            assert not np.isnan(model.decision_function(X)).any()
            assert model.coef_.shape == ((1, 3) if K == 2 else (K, 3))
            assert (model.objective_, model.converged_, model.separation_) == (0.0, True, None)
            assert not model.coef_.any()
            assert model.score(X, y, 1.0 * (y == left)) == 1
    if K == 2 and not settings:  # as scikit-learn's default, which stops on the way
        theirs = LogisticRegression().fit(X, y, 1.0 * (y == 1))
        assert (theirs.predict(X) == 1).all()


def test_bounds_without_0_hold_for_a_class_that_has_no_weight(rng):
    """Its coefficients are the nearest to 0, and their penalty is in F."""
    X, y = data(rng, 3)
    kept, lower = y != 2, np.array([[-9.0], [-9.0], [0.2]]) * np.ones(3)
    model = SoftmaxRegression(bounds=(lower, 1.0), tol=1e-11).fit(X, y, 1.0 * kept)
    assert_array_equal(model.coef_[2], np.full(3, 0.2))
    plain = Plain(X[kept], np.eye(3)[y[kept]])
    far = np.append(model.intercept_[:2], -1e4)
    assert model.objective_ == pytest.approx(plain.value(model.coef_, far), abs=1e-12)
    binary = SoftmaxRegression(bounds=(0.5, 1.0), tol=1e-11).fit(X, y > 0, 1.0 * (y > 0))
    assert_array_equal(binary.coef_, np.full((1, 3), 0.5))
    assert binary.objective_ == pytest.approx(3 * 0.25 / 2 / (y > 0).sum(), rel=1e-12)
    assert_array_equal(binary.predict_proba(X)[:, 1], np.ones(len(y)))


def test_without_an_intercept_f_has_its_minimum(rng):
    """Then a class without weight stays, as scikit-learn has it."""
    for K in (2, 3):
        X, y = data(rng, K)
        s = 1.0 * (y != K - 1)
        theirs = LogisticRegression(fit_intercept=False, solver="newton-cholesky", tol=1e-12).fit(X, y, s)
        model = SoftmaxRegression(fit_intercept=False, tol=1e-12).fit(X, y, s)
        assert_allclose(model.coef_, theirs.coef_, atol=1e-5)
        assert model.coef_.any()


def test_smoothing_leaves_no_class_without_a_share(rng):
    X, y = data(rng, 3)
    model = SoftmaxRegression(label_smoothing=0.1).fit(X, y, 1.0 * (y != 2))
    assert np.isfinite(model.intercept_).all()
    assert model.predict_proba(X)[:, 2].min() > 0


def test_bagging_with_a_rare_class():
    X, y = load_iris(return_X_y=True)
    keep = np.r_[:102]  # two rows of class 2
    for model in (LogisticRegression(max_iter=999), SoftmaxRegression()):
        bag = BaggingClassifier(model, random_state=0).fit(X[keep], y[keep])
        assert bag.score(X[keep], y[keep]) > 0.97
    lacking = [np.isinf(each.intercept_).any() for each in bag.estimators_]
    assert any(lacking)
    assert not all(lacking)
    assert_allclose(bag.predict_proba(X).sum(axis=1), 1, atol=1e-12)
    OneVsRestClassifier(bag).fit(X[keep], y[keep]).predict_proba(X)


def test_warm_starts_survive_it(rng):
    X, y = data(rng, 3)
    model = SoftmaxRegression(warm_start=True, tol=1e-11)
    for weight in (y != 2, y == y, y != 2, y != 2, y == 1, y == y, y != 0):
        model.fit(X, y, 1.0 * weight)
        cold = SoftmaxRegression(tol=1e-11).fit(X, y, 1.0 * weight)
        assert model.converged_
        assert_allclose(model.coef_, cold.coef_, atol=1e-5)
    lbfgs = SoftmaxRegression(warm_start=True, solver="lbfgs").fit(X, y, 1.0 * (y != 2))
    cold = lbfgs.n_passes_
    assert lbfgs.fit(X, y, 1.0 * (y != 2)).n_passes_ < cold
    binary = SoftmaxRegression(warm_start=True)
    for weight in (y == 0, y == y, y != 0, y == y):
        assert binary.fit(X, y > 0, 1.0 * weight).converged_


@pytest.mark.parametrize("l1_ratio", [0.0, 1.0])
def test_paths_and_cross_validation(rng, l1_ratio):
    X, y = data(rng, 4)
    s, rest = 1.0 * (y != 1), [0, 2, 3]
    Cs = [0.1, 1.0]
    model = SoftmaxRegression(l1_ratio=l1_ratio, tol=1e-11)
    path = softmax_path(X, y, Cs, model=model, sample_weight=s)
    alone = softmax_path(X[y != 1], y[y != 1], Cs, model=model)
    assert_allclose(path.objective, alone.objective, atol=1e-10)
    assert (path.intercepts[:, 1] == -np.inf).all()
    assert_allclose(
        path.coefs[1].toarray()[rest] if l1_ratio else path.coefs[1][rest], dense(alone), atol=1e-5
    )
    assert_allclose(path.loss(X, y, s), alone.loss(X[y != 1], y[y != 1]), atol=1e-6)
    cv = SoftmaxRegressionCV(Cs=Cs, l1_ratios=[l1_ratio], cv=3, tol=1e-11).fit(X, y, s)
    assert (cv.coefs_paths_[..., 1, -1] == -np.inf).all()
    assert np.isfinite(cv.scores_).all()
    assert_allclose(cv.coef_, dense(path, Cs.index(cv.C_)), atol=1e-5)
    averaged = SoftmaxRegressionCV(Cs=Cs, l1_ratios=[l1_ratio], cv=3, refit=False).fit(X, y, s)
    assert np.isfinite(averaged.coef_).all()
    assert not averaged.predict_proba(X)[:, 1].any()
    least = l1_min_c(X, y, sample_weight=s)
    assert least == pytest.approx(l1_min_c(X[y != 1], y[y != 1]), rel=1e-9)
    assert l1_min_c(X, y, sample_weight=1.0 * (y == 1)) == np.inf


def dense(path, i=1):
    coef = path.coefs[i]
    return coef.toarray() if hasattr(coef, "toarray") else coef


def test_separation_is_told_in_terms_of_all_classes():
    X, y = load_iris(return_X_y=True)
    names = np.array(["a", "b", "c", "d"])[y + 1]
    with pytest.warns(ConvergenceWarning, match="classes 'b' and 'd' are completely separated"):
        model = SoftmaxRegression(C=np.inf).fit(
            np.vstack([X, X[:1]]), np.append(names, "a"), np.append(np.ones(150) * (y != 1), 0)
        )
    assert_array_equal(model.separation_["pairs"], [[1, 3, 100, 100]])
    direction = model.separation_["direction"]
    assert direction.shape == (4, 4)
    assert not direction[[0, 2]].any()
    assert ((direction[3] - direction[1]) @ (X[y == 2].mean(axis=0) - X[y == 0].mean(axis=0))) > 0


def test_nothing_is_said_of_it(rng):
    X, y = data(rng, 3)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        SoftmaxRegression(class_weight={1: 0}).fit(X, y).predict(X)
    with pytest.raises(ValueError, match="contains only one class: 1"):  # one label in y stays an error
        SoftmaxRegression().fit(X, np.ones(len(y), int))
    with pytest.raises(ValueError, match=r"sample_weight × class_weight is 0 in every row"):
        SoftmaxRegression(class_weight={0: 0}).fit(X, y, 1.0 * (y == 0))


def test_logits_of_a_class_without_weight_are_numbers(rng):
    """For who takes logits: calibration, stacking, one against one, areas under curves. The probability is 0
    all the same, and the log-probability −∞."""
    X, y = load_iris(return_X_y=True)
    for labels, absent in (([0, 1, 2], 2), ([0, 1], 1), ([0, 1], 0)):
        rows = np.isin(y, labels)
        model = SoftmaxRegression(class_weight={absent: 0}).fit(X[rows], y[rows])
        z = model.decision_function(X)
        assert np.isfinite(z).all()
        z = np.column_stack([-z / 2, z / 2]) if z.ndim == 1 else z
        assert_allclose(softmax(z, axis=1), model.predict_proba(X), atol=1e-15)
        assert_array_equal(model.predict_proba(X)[:, absent], 0)
        assert_array_equal(model.predict_log_proba(X)[:, absent], -np.inf)
        offset = rng.normal(size=(len(X), len(labels)))
        assert np.isfinite(model.decision_function(X, offset)).all()
    for method in CalibratedClassifierCV._parameter_constraints["method"][0].options:
        calibrated = CalibratedClassifierCV(SoftmaxRegression(class_weight={2: 0}), method=method, cv=3)
        p = calibrated.fit(X, y).predict_proba(X)
        assert np.isfinite(p).all()
        assert_allclose(p.sum(axis=1), 1)
    one = [("a", SoftmaxRegression(class_weight={2: 0}))]
    stacked = StackingClassifier(one, stack_method="decision_function")
    assert np.isfinite(stacked.fit(X, y).predict_proba(X)).all()
    pairs = OneVsOneClassifier(SoftmaxRegression(class_weight={1: 0})).fit(X[:100], y[:100])
    assert np.isfinite(pairs.decision_function(X[:5])).all()
    half = SoftmaxRegression(class_weight={1: 0}).fit(X[:100], y[:100])
    assert get_scorer("roc_auc")(half, X[:100], y[:100]) == 0.5  # all rows are ranked alike


@pytest.mark.filterwarnings("ignore:cv. the training part has no row:UserWarning")
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.UndefinedMetricWarning")
@pytest.mark.filterwarnings("ignore:No positive class found in y_true:UserWarning")
@pytest.mark.parametrize(("K", "scoring"), [(3, "top_k_accuracy"), (2, "roc_auc"), (2, "average_precision")])
def test_scorers_of_folds_whose_classes_are_new(K, scoring):
    """Sorted rows, each fold one class: as in scikit-learn."""
    X, y = (part[: 50 * K] for part in load_iris(return_X_y=True))
    settings = {"Cs": [0.1, 1.0], "cv": KFold(K), "scoring": scoring}
    theirs = their_cv(**settings).fit(X, y)
    if np.isnan(theirs.scores_).all():  # scikit-learn then takes the first C
        with pytest.raises(ValueError, match="scoring: not one of the scores is a finite number"):
            SoftmaxRegressionCV(**settings).fit(X, y)
    else:
        assert_allclose(SoftmaxRegressionCV(**settings).fit(X, y).scores_, theirs.scores_)
