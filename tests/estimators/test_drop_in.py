"""Code written for LogisticRegression(CV) runs, and means what it meant."""

import pickle
import warnings

import numpy as np
import pytest
import sklearn
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer, load_iris
from sklearn.ensemble import AdaBoostClassifier
from sklearn.feature_selection import SelectFromModel
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import get_scorer
from sklearn.model_selection import GridSearchCV, KFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler, scale

from tests.truth.peers import their_cv
from xent import SoftmaxRegression, SoftmaxRegressionCV, softmax_path

BOTH = [
    (SoftmaxRegression, LogisticRegression, {}),
    (SoftmaxRegressionCV, their_cv, {"Cs": 2}),
]
THEIR_SOLVERS = ["liblinear", "newton-cg", "newton-cholesky", "sag", "saga"]


@pytest.fixture
def iris():
    return load_iris(return_X_y=True)


@pytest.fixture
def routing():
    with sklearn.config_context(enable_metadata_routing=True):
        yield


@pytest.mark.parametrize(("ours", "theirs", "extra"), BOTH)
def test_every_parameter_of_theirs_is_taken(ours, theirs, extra):
    """With the same default, but for those whose values are xent's own."""
    missing = theirs().get_params().keys() - ours().get_params().keys()
    missing -= {"multi_class"}  # which scikit-learn had until 1.7, deprecated
    assert not missing
    for name in ("dual", "intercept_scaling", "random_state", "n_jobs"):
        assert ours().get_params()[name] == theirs().get_params()[name], name
    assert ours().get_params()["penalty"] == "deprecated"
    assert theirs().get_params()["penalty"] in ("deprecated", "l2")  # the latter until 1.7, and the same
    if ours is SoftmaxRegression:
        assert ours("l1").get_params()["penalty"] == "l1"  # the first by position


@pytest.mark.parametrize(
    ("given", "meant", "said"),
    [
        ({"penalty": "l1"}, {"l1_ratio": 1.0}, r"penalty='l1' means l1_ratio=1.0\. Write"),
        ({"penalty": "l2"}, {}, r"penalty='l2' means l1_ratio=0.0\. Write"),
        ({"penalty": None}, {"C": np.inf}, r"penalty=None means C=inf\. Write"),
        ({"penalty": None, "C": 0.1}, {"C": np.inf}, "penalty=None means C=inf, whatever C=0.1 says"),
        (
            {"penalty": "l1", "l1_ratio": 0.5},
            {"l1_ratio": 1.0},
            "penalty='l1' means l1_ratio=1.0, whatever l1_ratio=0.5 says",
        ),
        ({"penalty": "elasticnet", "l1_ratio": 0.3}, {"l1_ratio": 0.3}, "means what l1_ratio says"),
        ({"l1_ratio": None}, {}, "l1_ratio=None means l1_ratio=0.0"),
        ({"n_jobs": 2}, {}, "n_jobs=2 does nothing"),
        ({"dual": True, "intercept_scaling": 2.0}, {}, "dual=True does nothing; intercept_scaling=2.0 does"),
        *(({"solver": name}, {}, f"solver='{name}' means solver='auto'") for name in THEIR_SOLVERS),
        (
            {"penalty": "l1", "solver": "saga", "random_state": 0},
            {"l1_ratio": 1.0},
            "penalty='l1' means l1_ratio=1.0; solver='saga' means solver='auto'",
        ),
    ],
)
def test_what_is_theirs_is_translated_with_one_warning(iris, given, meant, said):
    X, y = iris[0] + np.random.default_rng(0).normal(size=iris[0].shape), iris[1]
    model = SoftmaxRegression(**given)
    with pytest.warns(FutureWarning, match=said) as caught:
        model.fit(X, y)
    assert len(caught) == 1
    assert caught[0].filename == __file__
    assert_array_equal(model.coef_, SoftmaxRegression(**meant).fit(X, y).coef_)
    assert clone(model).get_params() == model.get_params() == SoftmaxRegression(**given).get_params()
    for name, value in given.items():
        assert model.get_params()[name] == value


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore:Setting penalty", "ignore:Inconsistent values")
@pytest.mark.filterwarnings("ignore:l1_ratio parameter is only used")  # of scikit-learn before 1.8
@pytest.mark.parametrize(
    "given",
    [
        {"penalty": "l1", "C": 0.3},
        {"penalty": "l2", "C": 0.3},
        {"penalty": None, "C": 0.3},
        {"penalty": "elasticnet", "l1_ratio": 0.4, "C": 0.3},
        {"penalty": "l1", "l1_ratio": 0.0},
    ],
    ids=str,
)
def test_it_means_what_it_means_there(rng, given):
    X = rng.normal(size=(200, 4))
    y = (X[:, 0] + rng.normal(size=200) > 0).astype(int)
    theirs = LogisticRegression(**given, solver="saga", tol=1e-10, max_iter=20000).fit(X, y)
    ours = SoftmaxRegression(**given, solver="saga", tol=1e-13).fit(X, y)
    assert_allclose(ours.coef_, theirs.coef_, atol=2e-5)
    assert_array_equal(ours.coef_ == 0, theirs.coef_ == 0)


def test_the_cross_validation_takes_theirs(iris):
    X, y = iris
    settings = {"Cs": [0.1, 1.0], "cv": 2, "random_state": 0, "use_legacy_attributes": False}
    with pytest.warns(FutureWarning, match=r"penalty='l1' means l1_ratios=\(1.0,\); solver='saga' does") as w:
        model = SoftmaxRegressionCV(penalty="l1", solver="saga", **settings).fit(X, y)
    assert len(w) == 1
    assert w[0].filename == __file__
    assert model.l1_ratio_ == 1.0
    plain = SoftmaxRegressionCV(Cs=[0.1, 1.0], cv=2, l1_ratios=[1.0]).fit(X, y)
    assert_array_equal(model.coef_, plain.coef_)
    with pytest.warns(FutureWarning, match=r"l1_ratios=None means l1_ratios=\(0.0,\)"):
        SoftmaxRegressionCV(l1_ratios=None, Cs=[1.0], cv=2).fit(X, y)
    with pytest.raises(ValueError, match=r"'use_legacy_attributes' .* must be False: attributes"):
        SoftmaxRegressionCV(use_legacy_attributes=True).fit(X, y)


def test_what_says_nothing(iris):
    X, y = iris
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        SoftmaxRegression(random_state=3, dual=False, intercept_scaling=1.0, solver="lbfgs").fit(X, y)
        SoftmaxRegressionCV(Cs=[1.0], cv=2, use_legacy_attributes=False, random_state=3).fit(X, y)
        softmax_path(X, y, [1.0])
        AdaBoostClassifier(SoftmaxRegression(), n_estimators=2, random_state=0).fit(X, y)  # sets random_state


@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_a_grid_search_over_penalties(iris):
    X, y = iris
    grid = {"penalty": ["l1", "l2", None], "C": [0.1, 1.0]}
    search = GridSearchCV(SoftmaxRegression(), grid, scoring="neg_log_loss", error_score="raise").fit(X, y)
    scores = search.cv_results_["mean_test_score"].reshape(2, 3)
    assert scores[0, 2] == scores[1, 2]  # without a penalty C says nothing
    assert len(np.unique(scores)) == 5


WRONG = [
    ({"penalty": "l3"}, r"'penalty' parameter .* must be a str among \{'l1', 'l2', 'elasticnet'\} or None"),
    ({"penalty": []}, "'penalty' parameter"),
    ({"penalty": "elasticnet", "l1_ratio": None}, "must be specified when penalty is elasticnet"),
    ({"fit_intercept": "false"}, "'fit_intercept' parameter .* must be an instance of 'bool'. Got 'false'"),
    ({"fit_intercept": None}, "'fit_intercept' parameter"),
    ({"fit_intercept": 2}, "'fit_intercept' parameter"),
    ({"dual": 1}, "'dual' parameter"),
    ({"verbose": "a"}, r"'verbose' parameter .* must be an int in the range \[0, inf\)"),
    ({"verbose": -1}, "'verbose' parameter"),
    ({"solver": []}, r"'solver' parameter .* Got \[\] instead"),
    ({"solver": np.zeros(2)}, "'solver' parameter"),
    ({"solver": None}, "'solver' parameter"),
    ({"intercept_scaling": 0}, "'intercept_scaling' parameter"),
    ({"random_state": "a"}, "'random_state' parameter"),
    ({"n_jobs": 1.5}, "'n_jobs' parameter"),
    ({"grouped": "no"}, "'grouped' parameter"),
    ({"tol": 0}, "'tol' parameter"),
    ({"class_penalty_factor": "abc"}, "class_penalty_factor: expected 3 numbers, got 'abc'"),
    ({"feature_penalty_factor": ["a"]}, r"feature_penalty_factor: expected 4 numbers, got \['a'\]"),
]


@pytest.mark.parametrize(("params", "message"), WRONG, ids=str)
def test_wrong_parameters(iris, params, message):
    renamed = {"l1_ratios" if name == "l1_ratio" else name: value for name, value in params.items()}
    for model in (SoftmaxRegression(**params), SoftmaxRegressionCV(**renamed)):
        with pytest.raises(ValueError, match=message):
            model.fit(*iris)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (SoftmaxRegression(warm_start="no"), "'warm_start' parameter"),
        (
            SoftmaxRegressionCV(scoring=["accuracy"]),
            "'scoring' .* must be a str, a callable or None",
        ),
        (SoftmaxRegressionCV(Cs=[[1.0], [2.0, 3.0]]), "'Cs' parameter"),
        (SoftmaxRegressionCV(penalty=None), r"penalty=None has no C .* Cs=\(np.inf,\)"),
    ],
    ids=str,
)
def test_wrong_parameters_of_one(iris, model, message):
    with pytest.raises(ValueError, match=message):
        model.fit(*iris)


def test_flags_of_numpy_are_flags(iris):
    off = SoftmaxRegression(fit_intercept=np.bool_(False), warm_start=np.bool_(True), verbose=False).fit(
        *iris
    )
    assert not off.intercept_.any()


@pytest.mark.parametrize(("base", "theirs", "extra"), BOTH)
def test_subclasses_with_constructors_of_their_own(iris, base, theirs, extra):
    class Short(base):
        def __init__(self, tol=1e-6):
            super().__init__(tol=tol)

    class Wide(base):
        def __init__(self, mine=1, **others):
            self.mine = mine
            super().__init__(**others)

    plain = base(tol=1e-9).fit(*iris)
    for model in (Short(tol=1e-9), clone(Short(tol=1e-9)), Wide(mine=2, tol=1e-9)):
        assert_array_equal(model.fit(*iris).coef_, plain.coef_)
        assert model.get_params().keys() <= {"tol", "mine"}
    assert cross_val_score(Short(), *iris, cv=2).shape == (2,)


@pytest.mark.filterwarnings("ignore:.*was given what is LogisticRegression's:FutureWarning")
@pytest.mark.filterwarnings("ignore:.penalty. was deprecated:FutureWarning", "ignore:Inconsistent values")
def test_feature_selection_keeps_what_l1_keeps():
    X, y = load_breast_cancer(return_X_y=True)
    X = scale(X)
    theirs = SelectFromModel(LogisticRegression(C=0.1, penalty="l1", solver="saga", max_iter=5000)).fit(X, y)
    ours = SoftmaxRegression(C=0.1, l1_ratio=1)
    named = SoftmaxRegression(C=0.1, penalty="elasticnet", l1_ratio=1)
    cv = SoftmaxRegressionCV(Cs=[0.1], l1_ratios=[1.0])
    for model in (ours, named, cv):
        selector = SelectFromModel(model).fit(X, y)
        assert_array_equal(selector.get_support(), selector.estimator_.coef_[0] != 0)
        assert_array_equal(selector.get_support(), theirs.get_support())
    inside = make_pipeline(StandardScaler(), SelectFromModel(ours), SoftmaxRegression()).fit(X, y)
    assert_array_equal(inside[1].get_support(), theirs.get_support())
    ridge = SelectFromModel(SoftmaxRegression()).fit(X, y)  # by the mean, as for LogisticRegression
    assert_array_equal(ridge.get_support(), SelectFromModel(LogisticRegression()).fit(X, y).get_support())
    # What was given stays what was given.
    assert clone(ours).get_params()["penalty"] == "deprecated"
    assert ours.set_params(l1_ratio=0.5).penalty == "deprecated"
    assert "penalty" not in repr(ours)


def scored(model, X, y):
    """What is seen of the model that is scored."""
    return model.C * (1 + model.l1_ratio) + 100 * (not model.fit_intercept)


def test_scorers_see_the_parameters_of_the_fit(iris):
    ours = SoftmaxRegressionCV(Cs=[0.1, 10], l1_ratios=[0, 1], cv=2, fit_intercept=False, scoring=scored)
    ours.fit(*iris)
    assert_allclose(ours.scores_, [[[100.1, 110], [100.2, 120]]] * 2)
    theirs = their_cv(Cs=[0.1, 10], cv=2, scoring=lambda m, X, y: m.C, max_iter=1000)
    ours = SoftmaxRegressionCV(Cs=[0.1, 10], cv=2, scoring=lambda m, X, y: m.C)
    assert_array_equal(ours.fit(*iris).scores_, theirs.fit(*iris).scores_)


@pytest.mark.filterwarnings("ignore:cv. the training part has no row:UserWarning")
@pytest.mark.parametrize("K", [2, 3])
def test_scorers_see_folds_whose_classes_are_new(iris, K):
    X, y = (part[: 50 * K] for part in iris)
    settings = {"Cs": [0.1, 1.0], "cv": KFold(K), "scoring": "accuracy"}  # sorted: each fold is one class
    theirs = their_cv(**settings).fit(X, y)
    ours = SoftmaxRegressionCV(**settings).fit(X, y)
    assert_array_equal(ours.scores_, theirs.scores_)
    assert_array_equal(ours.scores_, np.zeros((K, 1, 2)))
    if K == 2:
        assert_array_equal(ours.coefs_paths_[..., :-1], 0)
        assert_array_equal(ours.coefs_paths_[:, 0, 0, 0, -1], [np.inf, -np.inf])
        with pytest.raises(ValueError, match="refit=False: a class is in no fold's training part"):
            SoftmaxRegressionCV(refit=False, **settings).fit(X, y)
    with pytest.raises(ValueError, match=r"cv: .* shuffle the rows, or use StratifiedKFold"):
        SoftmaxRegressionCV(cv=KFold(K)).fit(X, y)


@pytest.mark.usefixtures("routing")
@pytest.mark.parametrize(("ours", "theirs", "extra"), BOTH[1:])
def test_metadata_routing(iris, ours, theirs, extra):
    """With metadata and without, as theirs."""
    X, y = iris
    s = np.where(y == 1, 9.0, 1.0)
    wants = get_scorer("accuracy").set_score_request(sample_weight=True)
    refuses = get_scorer("accuracy").set_score_request(sample_weight=False)
    for make, more in ((theirs, {**extra, "max_iter": 5000}), (ours, {"Cs": 2})):
        for model in (make(scoring="accuracy", **more), make(scoring=refuses, **more)):
            assert model.fit(X, y).score(X, y) > 0.95
            assert GridSearchCV(model, {"tol": [1e-6]}).fit(X, y).best_score_ > 0.9
        inside = make_pipeline(StandardScaler(), make(scoring="accuracy", **more))
        assert inside.fit(X, y).score(X, y) > 0.9
        model = make(scoring=wants, **more).fit(X, y, sample_weight=s)
        assert model.score(X, y, sample_weight=s) == np.average(model.predict(X) == y, weights=s)
        model = make(scoring=refuses, **more).fit(X, y, sample_weight=s)
        with pytest.raises(TypeError, match=r"got unexpected argument\(s\) \{'sample_weight'\}"):
            model.score(X, y, sample_weight=s)
        model = make(scoring="accuracy", **more)
        for call in (model.fit, model.fit(X, y).score):
            with pytest.raises(ValueError, match="not explicitly set as requested or not requested"):
                call(X, y, sample_weight=s)


@pytest.mark.usefixtures("routing")
def test_metadata_routing_to_the_log_loss_itself(iris):
    X, y = iris
    s = np.where(y == 1, 9.0, 1.0)
    model = SoftmaxRegressionCV(Cs=2)
    logs = model.fit(X, y).predict_log_proba(X)[np.arange(150), y]
    assert model.score(X, y) == pytest.approx(logs.mean(), rel=1e-12)
    assert model.score(X, y, sample_weight=s) == pytest.approx(np.average(logs, weights=s), rel=1e-12)
    with pytest.raises(TypeError, match=r"unexpected argument\(s\) \{'groups'\}"):
        model.score(X, y, groups=s)
    asks = SoftmaxRegressionCV(Cs=2).set_fit_request(sample_weight=True).set_score_request(sample_weight=True)
    search = GridSearchCV(asks, {"tol": [1e-6]}, cv=KFold(2, shuffle=True, random_state=0))
    search.fit(X, y, sample_weight=s)
    scores = []
    for train, test in search.cv.split(X):
        alone = SoftmaxRegressionCV(Cs=2).fit(X[train], y[train], s[train])
        scores.append(alone.score(X[test], y[test], s[test]))
    assert search.best_score_ == pytest.approx(np.mean(scores), rel=1e-12)


def test_an_offset_is_not_dropped_by_a_score_that_knows_none(iris):
    model = SoftmaxRegressionCV(Cs=[1.0], cv=2, scoring="accuracy").fit(*iris)
    with pytest.raises(ValueError, match="offset: scikit-learn's scorers know none"):
        model.score(*iris, offset=np.zeros((150, 3)))


def test_strings_of_numpy_and_of_python_are_one_type(rng):
    X = rng.normal(size=(40, 2))
    y = np.array([np.str_("a"), "b"] * 20, object)
    assert_array_equal(SoftmaxRegression().fit(X, y).classes_, LogisticRegression().fit(X, y).classes_)
    mixed = np.array([1, np.int64(2)] * 20, object)
    assert_array_equal(SoftmaxRegression().fit(X, mixed.astype(int)).classes_, [1, 2])
    with pytest.raises(ValueError, match="y mixes labels of types"):
        SoftmaxRegression().fit(X, np.array([1, "a"] * 20, object))


@pytest.mark.parametrize("K", [2, 3])
def test_an_intercept_set_by_hand_may_be_one_number(iris, K):
    """As LogisticRegressionCV sets it."""
    X, y = (part[: 50 * K] for part in iris)
    theirs, ours = LogisticRegression(max_iter=1000).fit(X, y), SoftmaxRegression().fit(X, y)
    theirs.intercept_ = ours.intercept_ = 0.0
    ours.coef_ = theirs.coef_
    for name in ("predict", "predict_proba", "decision_function"):
        assert_allclose(getattr(ours, name)(X), getattr(theirs, name)(X), atol=1e-12)


def test_with_finite_assumed_a_nan_is_not_called_too_large(iris):
    X, y = iris[0].copy(), iris[1]
    X[3, 1] = np.nan
    with (
        sklearn.config_context(assume_finite=True),
        pytest.raises(ValueError, match=r"^X has NaN, or"),
    ):
        SoftmaxRegression(solver="newton").fit(X, y)


@pytest.mark.parametrize(("ours", "theirs", "extra"), BOTH)
def test_a_pickle_of_an_older_version_fits(iris, ours, theirs, extra):
    """One that lacks parameters that have come since."""
    model = ours(tol=1e-9).fit(*iris)
    state = {
        name: value for name, value in vars(model).items() if name not in ("penalty", "max_iter", "dual")
    }
    old = ours.__new__(ours)
    old.__setstate__(state)
    assert old.get_params() == model.get_params()
    assert_array_equal(old.fit(*iris).coef_, model.coef_)
    assert pickle.loads(pickle.dumps(model)).get_params() == model.get_params()


def test_a_subclass_with_a_shorter_constructor_fits():
    """What it does not name has its default, with callbacks or without."""

    class Short(SoftmaxRegression):
        def __init__(self, C=1.0):
            self.C = C

    X, y = load_iris(return_X_y=True)
    found, want = Short(C=0.5).fit(X, y), SoftmaxRegression(C=0.5).fit(X, y)
    assert_allclose(found.coef_, want.coef_)
    if hasattr(found, "set_callbacks"):
        from sklearn.callback import ProgressBar

        assert_allclose(Short(C=0.5).set_callbacks(ProgressBar()).fit(X, y).coef_, want.coef_)
