"""Inside scikit-learn's meta-estimators and tools the estimators do what LogisticRegression(CV) does there.

Each case returns what its tool makes of a model. Of ours and theirs, both fitted closely at the same C, that
must be the same.
"""

import numpy as np
import pandas as pd
import pytest
import sklearn
from matplotlib import pyplot
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV, CalibrationDisplay
from sklearn.compose import make_column_transformer
from sklearn.ensemble import AdaBoostClassifier, BaggingClassifier, StackingClassifier, VotingClassifier
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.feature_selection import RFE, RFECV, SelectFromModel, SequentialFeatureSelector
from sklearn.frozen import FrozenEstimator
from sklearn.inspection import (
    DecisionBoundaryDisplay,
    PartialDependenceDisplay,
    partial_dependence,
    permutation_importance,
)
from sklearn.linear_model import LogisticRegression, LogisticRegressionCV
from sklearn.metrics import (
    ConfusionMatrixDisplay,
    DetCurveDisplay,
    PrecisionRecallDisplay,
    RocCurveDisplay,
    get_scorer,
)
from sklearn.model_selection import (
    FixedThresholdClassifier,
    GridSearchCV,
    HalvingGridSearchCV,
    LearningCurveDisplay,
    RandomizedSearchCV,
    TunedThresholdClassifierCV,
    ValidationCurveDisplay,
    cross_val_predict,
    cross_validate,
    learning_curve,
    permutation_test_score,
    validation_curve,
)
from sklearn.multiclass import OneVsOneClassifier, OneVsRestClassifier, OutputCodeClassifier
from sklearn.multioutput import ClassifierChain, MultiOutputClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.semi_supervised import SelfTrainingClassifier
from sklearn.tree import DecisionTreeClassifier

from xent import SoftmaxRegression, SoftmaxRegressionCV

rng = np.random.default_rng(0)
X = rng.normal(size=(150, 5))
Y = np.argmax(X[:, :3] + rng.gumbel(size=(150, 3)), axis=1)
TWO = np.array(["no", "yes"])[(Y == 1).astype(int)]
LABELS = np.stack([Y == 1, X[:, 0] + X[:, 1] > Y], axis=1).astype(int)
WEIGHT = rng.uniform(0.5, 2, 150)
TREE = DecisionTreeClassifier(max_depth=2, random_state=0)
CS = [0.1, 1.0]

OURS = SoftmaxRegression(tol=1e-14)
THEIRS = LogisticRegression(tol=1e-10, solver="newton-cholesky")
OURS_CV = SoftmaxRegressionCV(Cs=CS, cv=2, tol=1e-14)
THEIRS_CV = LogisticRegressionCV(
    Cs=CS,
    cv=2,
    tol=1e-10,
    solver="newton-cholesky",
    l1_ratios=(0,),
    scoring="neg_log_loss",
    use_legacy_attributes=False,
)

CASES = []


def case(single=True, cv=True):
    """Registers a case, with whether it makes sense for a model at one C and for one that chooses its own."""

    def register(of):
        CASES.extend([pytest.param(of, OURS, THEIRS, id=of.__name__)] if single else [])
        CASES.extend([pytest.param(of, OURS_CV, THEIRS_CV, id=f"{of.__name__}-cv")] if cv else [])
        return of

    return register


@pytest.mark.parametrize(("of", "ours", "theirs"), CASES)
def test_as_scikit_learns(of, ours, theirs):
    got, expected = of(clone(ours)), of(clone(theirs))
    assert len(got) == len(expected) > 0
    for one, other in zip(got, expected, strict=True):
        assert_same(one, other)


def assert_same(one, other):
    one, other = np.asarray(one), np.asarray(other)
    assert one.dtype.kind == other.dtype.kind
    if one.dtype.kind == "f":
        assert np.isfinite(other).all()
        assert_allclose(one, other, rtol=1e-5, atol=1e-6)
    else:
        assert_array_equal(one, other)


def said(model, methods=("predict", "predict_proba"), X=X):
    return [getattr(model, method)(X) for method in methods]


def grid(model):
    return {"C": CS} if hasattr(model, "C") else {"Cs": [[0.1], [0.1, 1.0]]}


def searched(search, y=Y, **params):
    search.fit(X, y, **params)
    return [search.cv_results_["mean_test_score"], search.best_index_, *said(search)]


@case()
def pipeline(model):
    methods = ("predict", "predict_proba", "predict_log_proba", "decision_function")
    return said(make_pipeline(StandardScaler(), model).fit(X, Y), methods)


@case()
def column_transformer_of_a_frame(model):
    frame = pd.DataFrame(X, columns=list("abcde")).assign(
        kind=np.array(["u", "v"])[(X[:, 0] > 0.5).astype(int)]
    )
    one_hot = (OneHotEncoder(sparse_output=False), ["kind"])
    columns = make_column_transformer(one_hot, remainder="passthrough").set_output(transform="pandas")
    fitted = make_pipeline(columns, model).fit(frame, TWO)
    return [fitted[-1].feature_names_in_, *said(fitted, X=frame)]


@case()
def frozen(model):
    return said(FrozenEstimator(model.fit(X, Y)).fit(X[:9], Y[:9]))


@case()
def grid_search(model):
    return searched(GridSearchCV(model, grid(model), cv=3, scoring="neg_brier_score"))


@case()
def randomized_search(model):
    return searched(
        RandomizedSearchCV(model, {"class_weight": [None, "balanced"]}, n_iter=2, cv=3, random_state=0)
    )


@case()
def halving_search(model):
    return searched(HalvingGridSearchCV(model, grid(model), cv=3, random_state=0, scoring="neg_log_loss"))


@case()
def halving_search_over_max_iter(model):
    budget = {"resource": "max_iter", "min_resources": 100, "max_resources": 300}
    search = HalvingGridSearchCV(model, grid(model), cv=3, random_state=0, scoring="neg_log_loss", **budget)
    return [*searched(search), search.best_estimator_.max_iter]


@case()
def cross_validation(model):
    scoring = ["accuracy", "neg_log_loss", "roc_auc_ovr", "neg_brier_score", "f1_macro"]
    scores = cross_validate(model, X, Y, cv=3, scoring=scoring, return_train_score=True)
    return [scores[f"{part}_{name}"] for part in ("test", "train") for name in scoring]


@case()
def out_of_fold_predictions(model):
    methods = ("predict", "predict_proba", "predict_log_proba", "decision_function")
    return [cross_val_predict(model, X, y, cv=3, method=method) for method in methods for y in (Y, TWO)]


@case()
def permutation_test(model):
    return list(permutation_test_score(model, X, Y, cv=2, n_permutations=3, random_state=0))


@case()
def learning_curves(model):
    return list(learning_curve(model, X, Y, cv=3, train_sizes=[0.5, 1.0], scoring="neg_log_loss"))


@case(cv=False)
def validation_curves(model):
    return list(validation_curve(model, X, Y, cv=3, param_name="C", param_range=[0.01, *CS]))


@case()
def calibration_sigmoid(model):
    return said(CalibratedClassifierCV(model, method="sigmoid", cv=3).fit(X, Y, WEIGHT))


@case()
def calibration_isotonic(model):
    return said(CalibratedClassifierCV(model, method="isotonic", cv=3, ensemble=False).fit(X, Y, WEIGHT))


@case()
def calibration_by_temperature(model):
    return said(CalibratedClassifierCV(model, method="temperature", cv=3).fit(X, Y, WEIGHT))


@case()
def calibration_of_a_frozen_model(model):
    model.fit(X[:100], Y[:100])
    return said(CalibratedClassifierCV(FrozenEstimator(model), cv=2).fit(X[100:], Y[100:]))


@case()
def stacking(model):
    parts = [("tree", TREE), ("linear", clone(model))]
    return said(StackingClassifier(parts, final_estimator=model, cv=3).fit(X, Y))


@case()
def soft_voting(model):
    return said(
        VotingClassifier([("tree", TREE), ("linear", model)], voting="soft").fit(X, Y, sample_weight=WEIGHT)
    )


@case()
def hard_voting(model):
    parts = [("tree", TREE), ("linear", model), ("pipe", make_pipeline(StandardScaler(), clone(model)))]
    return said(VotingClassifier(parts, voting="hard").fit(X, Y), ("predict", "transform"))


@case()
def bagging(model):
    return said(BaggingClassifier(model, n_estimators=4, max_features=0.8, random_state=0).fit(X, Y, WEIGHT))


@case()
def boosting(model):
    return said(AdaBoostClassifier(model, n_estimators=3, random_state=0).fit(X, Y, WEIGHT))


@case()
def one_against_the_rest(model):
    return said(OneVsRestClassifier(model).fit(X, Y))


@case()
def one_against_the_rest_of_many_labels(model):
    return said(
        OneVsRestClassifier(model).fit(X, np.stack([Y == 1, X[:, 0] + X[:, 1] > Y], axis=1).astype(int))
    )


@case()
def one_against_one(model):
    return said(OneVsOneClassifier(model).fit(X, Y), ("predict", "decision_function"))


@case()
def output_code(model):
    return said(OutputCodeClassifier(model, random_state=0).fit(X, Y), ("predict",))


@case()
def many_outputs(model):
    fitted = MultiOutputClassifier(model).fit(X, np.stack([Y, LABELS[:, 1]], axis=1), sample_weight=WEIGHT)
    return [fitted.predict(X), *fitted.predict_proba(X)]


@case()
def chain(model):
    return said(ClassifierChain(model, cv=3, random_state=0).fit(X, LABELS))


@case()
def recursive_elimination(model):
    fitted = RFE(model, n_features_to_select=2).fit(X, Y)
    return [fitted.ranking_, *said(fitted)]


@case()
def recursive_elimination_cv(model):
    fitted = RFECV(model, cv=3, scoring="neg_log_loss").fit(X, Y)
    return [fitted.ranking_, fitted.cv_results_["mean_test_score"], *said(fitted)]


@case()
def sequential_selection(model):
    search = SequentialFeatureSelector(model, n_features_to_select=2, cv=2, scoring="neg_log_loss")
    return [search.fit(X, Y).get_support()]


def selected(model, X, y):
    selection = SelectFromModel(model).fit(X, y)
    return [selection.threshold_, selection.get_support(), selection.transform(X)]


@case()
def selection(model):
    return selected(model, X, Y)


def wide():
    """Ten features, of which four matter."""
    wide = np.random.default_rng(1).normal(size=(150, 10))
    return wide, np.argmax(wide[:, :3] + 0.2 * wide[:, 3:4] * [0, 1, 2], axis=1)


@case()
def selection_by_l1(model):
    """If scikit-learn sees that the penalty is L1 it keeps all that is not 0, else what is above the mean."""
    at = {"C": 0.1, "l1_ratio": 1} if hasattr(model, "C") else {"Cs": [0.1], "l1_ratios": (1,)}
    how = {"tol": 1e-11} if hasattr(model, "grouped") else {"solver": "saga", "max_iter": 10**5}
    model.set_params(**at, **how)
    return selected(model, *wide())


@case()
def self_training(model):
    labels = np.where(np.arange(150) % 3 == 0, Y, -1)
    fitted = SelfTrainingClassifier(model, threshold=0.7).fit(X, labels)
    return [fitted.transduction_, *said(fitted)]


@case()
def fixed_threshold(model):
    return said(FixedThresholdClassifier(model, threshold=0.3, pos_label="yes").fit(X, TWO))


@case()
def tuned_threshold(model):
    fitted = TunedThresholdClassifierCV(model, thresholds=20, cv=3, random_state=0).fit(X, TWO)
    return [fitted.best_threshold_, fitted.best_score_, *said(fitted)]


@case()
def permuted_features(model):
    return [permutation_importance(model.fit(X, Y), X, Y, n_repeats=2, random_state=0)["importances"]]


@case()
def partial_dependences(model):
    model.fit(X, Y)
    return [partial_dependence(model, X, [0, 1], kind="average", grid_resolution=5)["average"]]


@case()
def displays(model):
    pyplot.switch_backend("Agg")
    model.fit(X, TWO)
    boundary = DecisionBoundaryDisplay.from_estimator(
        clone(model).fit(X[:, :2], Y), X[:, :2], grid_resolution=9
    )
    partial = PartialDependenceDisplay.from_estimator(model, X, [0], grid_resolution=5)
    roc = RocCurveDisplay.from_estimator(model, X, TWO)
    precision = PrecisionRecallDisplay.from_estimator(model, X, TWO)
    detection = DetCurveDisplay.from_estimator(model, X, TWO)
    reliability = CalibrationDisplay.from_estimator(model, X, TWO, pos_label="yes")
    confusion = ConfusionMatrixDisplay.from_estimator(model, X, TWO)
    learnt = LearningCurveDisplay.from_estimator(model, X, TWO, train_sizes=[0.5, 1.0], cv=2)
    valid = ValidationCurveDisplay.from_estimator(
        model, X, TWO, param_name="fit_intercept", param_range=[False, True], cv=2
    )
    pyplot.close("all")
    return [
        boundary.response,
        partial.pd_results[0]["average"],
        roc.fpr,
        roc.tpr,
        precision.precision,
        detection.fnr,
        reliability.prob_true,
        confusion.confusion_matrix,
        learnt.test_scores,
        valid.test_scores,
    ]


@case()
def routing_of_nothing(model):
    """Metadata routing is on, and there is no metadata."""
    with sklearn.config_context(enable_metadata_routing=True):
        fitted = make_pipeline(StandardScaler(), clone(model)).fit(X, Y)
        return [fitted.score(X, Y), *said(fitted), *searched(GridSearchCV(model, grid(model), cv=2))]


@case()
def routing_of_weights(model):
    with sklearn.config_context(enable_metadata_routing=True):
        model.set_fit_request(sample_weight=True)
        if hasattr(model, "scoring"):
            model.set_params(scoring=get_scorer("neg_log_loss").set_score_request(sample_weight=True))
        else:
            model.set_score_request(sample_weight=True)
        scaler = StandardScaler().set_fit_request(sample_weight=False)
        pipe = make_pipeline(scaler, clone(model)).fit(X, Y, sample_weight=WEIGHT)
        found = searched(GridSearchCV(model, grid(model), cv=2), sample_weight=WEIGHT)
        return [pipe.score(X, Y, sample_weight=WEIGHT), *said(pipe), *found]


@pytest.mark.parametrize("class_weight", [None, "balanced"])
def test_bagging_with_a_rare_class(class_weight):
    """Bags are drawn by weights: a class left out has weight 0, and is as if its rows were not there."""
    rows = np.r_[np.flatnonzero(Y < 2), np.flatnonzero(Y == 2)[:2]]
    few, y = X[rows], Y[rows]
    model = clone(OURS).set_params(class_weight=class_weight)
    bags = BaggingClassifier(model, n_estimators=6, random_state=0).fit(few, y)
    left_out = 0
    for fitted, drawn in zip(bags.estimators_, bags.estimators_samples_, strict=True):
        # Two classes left of three keep a row of coefficients each, penalised as one row at twice the C.
        C = 1.0 if 2 in y[drawn] else 2.0
        alone = clone(THEIRS).set_params(class_weight=class_weight, C=C).fit(few[drawn], y[drawn])
        expected = np.zeros((150, 3))
        expected[:, alone.classes_] = alone.predict_proba(X)
        assert_allclose(fitted.predict_proba(X), expected, atol=1e-6)
        left_out += len(alone.classes_) < 3
    assert 0 < left_out < 6
