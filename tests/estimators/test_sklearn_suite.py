"""scikit-learn's own tests: its file on LogisticRegression, and `check_estimator`."""

import inspect
from dataclasses import dataclass

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression, LogisticRegressionCV
from sklearn.model_selection import StratifiedKFold
from sklearn.utils.estimator_checks import check_estimator, estimator_checks_generator

from tests.estimators.sklearn_swap import swapped_tests
from xent import SoftmaxRegression, SoftmaxRegressionCV

SWAPPED = swapped_tests()
globals().update(SWAPPED)  # each is a test of this file

DID_NOT = pytest.fail.Exception  # what pytest raises for a warning or an error that did not come


@dataclass(frozen=True)
class Left:
    """Tests that must fail, by raising `raises`; {} is all parameters of a test."""

    reason: str
    raises: tuple[type[BaseException], ...]
    tests: dict[str, dict[str, tuple]]


LEFT = [
    Left(
        "what scikit-learn's solvers cannot do, and how they do the rest: xent has none of them",
        (DID_NOT, AssertionError),
        {
            "test_check_solver_option": {},
            "test_liblinear_multiclass_raises": {},
            "test_liblinear_dual_random_state": {},
            "test_liblinear_with_large_values": {},
            "test_dtype_match": {"solver": ("liblinear",)},
            "test_large_sparse_matrix": {"solver": ("liblinear", "sag", "saga")},
            "test_newton_cholesky_fallback_to_lbfgs": {},
            "test_logistic_regression_callback_support_warning": {},
        },
    ),
    Left(
        "private functions and methods of scikit-learn",
        (AttributeError, TypeError),
        {
            "test_logistic_cv_multinomial_score": {},
            "test_logreg_predict_proba_multinomial": {},
            "test_get_default_scorer": {},
        },
    ),
    Left(
        "scikit-learn's words for a fit that ends early and for parameters on their way out",
        (DID_NOT, ValueError),
        {
            "test_max_iter": {"solver": ("newton-cg", "newton-cholesky", "liblinear", "sag", "saga")},
            "test_penalty_deprecated": {},
            "test_penalty_none": {},
            "test_l1_ratio_non_elasticnet": {},
            "test_lr_penalty_l1ratio_incompatible": {},
            "test_l1_ratio_None_deprecated": {},
            "test_lr_scoring_warns": {},
            "test_logisticregressioncv_warns_with_use_legacy_attributes": {},
            "test_logisticregression_warns_with_n_jobs": {},
        },
    ),
    Left(
        "max_iter is at least 1",
        (ValueError,),
        {"test_zero_max_iter": {}, "test_logistic_regression_callback_support": {"max_iter": (0,)}},
    ),
]


@pytest.fixture(autouse=True)
def mark_what_is_left(request):
    for group in LEFT:
        if (values := group.tests.get(request.node.originalname)) is not None:
            given = request.node.callspec.params if values else {}
            if all(given[name] in of for name, of in values.items()):
                mark = pytest.mark.xfail(reason=group.reason, raises=group.raises, strict=True)
                request.node.add_marker(mark)


@pytest.fixture
def global_random_seed():
    """scikit-learn's own default."""
    return 42


def test_the_swap_took_place_and_the_list_names_tests():
    for test in SWAPPED.values():
        names = inspect.unwrap(test).__globals__
        assert issubclass(names["LogisticRegression"], SoftmaxRegression)
        assert issubclass(names["LogisticRegressionCV"], SoftmaxRegressionCV)
    listed = [name for group in LEFT for name in group.tests]
    assert len(listed) == len(set(listed))
    assert set(listed) <= set(SWAPPED)


# One weight a class: what the checks' labels are, but for those of two checks.
THREE_WEIGHTS = {0: 2.0, 1: 1.0, 2: 0.5}

SETTINGS = [
    SoftmaxRegression(),
    SoftmaxRegression(solver="lbfgs"),
    SoftmaxRegression(solver="newton"),
    SoftmaxRegression(solver="lbfgs", C=np.inf),
    SoftmaxRegression(C=np.inf),
    SoftmaxRegression(C=1e4),
    SoftmaxRegression(C=0.01),
    SoftmaxRegression(C=np.inf, bounds=(-5, 5)),
    SoftmaxRegression(bounds=(-1, 1)),
    SoftmaxRegression(bounds=(-np.inf, 10)),
    SoftmaxRegression(bounds=(-2, 2), l1_ratio=0.5),
    SoftmaxRegression(l1_ratio=1.0),
    SoftmaxRegression(l1_ratio=0.5),
    SoftmaxRegression(l1_ratio=1.0, grouped=True),
    SoftmaxRegression(l1_ratio=0.5, grouped=True),
    SoftmaxRegression(label_smoothing=0.1),
    SoftmaxRegression(label_smoothing=0.1, l1_ratio=0.5),
    SoftmaxRegression(class_weight="balanced"),
    SoftmaxRegression(tol=1e-10),
    SoftmaxRegression(tol=0.01),
    SoftmaxRegression(max_iter=1),
    SoftmaxRegression(max_time=1e-9),
    SoftmaxRegression(warm_start=True),
    SoftmaxRegression(verbose=1),
    SoftmaxRegressionCV(Cs=2, cv=2),
    SoftmaxRegressionCV(Cs=[1.0], cv=2, scoring="accuracy"),
    SoftmaxRegressionCV(Cs=[0.1, 1.0], cv=2, refit=False),
    SoftmaxRegressionCV(Cs=[1.0], cv=StratifiedKFold(2), class_weight="balanced"),
    SoftmaxRegressionCV(Cs=[1.0], cv=2, l1_ratios=(0.0, 0.5)),
    SoftmaxRegressionCV(Cs=[np.inf], cv=2),
    SoftmaxRegressionCV(Cs=[10.0], cv=2, scoring="neg_brier_score", label_smoothing=0.1),
]

# What fails a check, and what of scikit-learn's fails the same one.
SETTINGS_THAT_FAIL = [
    (
        SoftmaxRegression(fit_intercept=False),
        LogisticRegression(fit_intercept=False),
        {"check_class_weight_classifiers"},
    ),
    (
        SoftmaxRegression(C=np.inf, fit_intercept=False),
        LogisticRegression(C=np.inf, fit_intercept=False),
        {"check_class_weight_classifiers"},
    ),
    (
        SoftmaxRegression(class_weight=THREE_WEIGHTS),
        LogisticRegression(class_weight=THREE_WEIGHTS),
        {"check_sparsify_coefficients", "check_classifiers_classes"},
    ),
    (
        SoftmaxRegressionCV(Cs=[1.0], cv=2, fit_intercept=False),
        LogisticRegressionCV(
            Cs=[1.0],
            cv=2,
            fit_intercept=False,
            l1_ratios=(0,),
            use_legacy_attributes=False,
            scoring="accuracy",
        ),
        {"check_class_weight_classifiers"},
    ),
]

warns = pytest.mark.filterwarnings(
    "ignore::sklearn.exceptions.ConvergenceWarning",
    "ignore::sklearn.exceptions.EstimatorCheckFailedWarning",
    "ignore::FutureWarning",
)


def one_line(estimator):
    return " ".join(str(estimator).split())


def failures(estimator):
    """{check: what it raised}, having seen that the checks ran."""
    results = check_estimator(estimator, on_fail=None, on_skip=None)
    assert sum(result["status"] == "passed" for result in results) > 50
    return {result["check_name"]: result["exception"] for result in results if result["status"] == "failed"}


@warns
@pytest.mark.parametrize("estimator", SETTINGS, ids=one_line)
def test_check_estimator(estimator):
    assert failures(estimator) == {}


@warns
@pytest.mark.parametrize(
    ("ours", "theirs", "fail"), SETTINGS_THAT_FAIL, ids=[one_line(ours) for ours, *_ in SETTINGS_THAT_FAIL]
)
def test_check_estimator_fails_where_scikit_learn_fails(ours, theirs, fail):
    assert failures(ours).keys() == fail
    for estimator, check in estimator_checks_generator(theirs):
        if check.func.__name__ in fail:
            with pytest.raises((AssertionError, ValueError)):
                check(estimator)
            fail = fail - {check.func.__name__}
    assert not fail
