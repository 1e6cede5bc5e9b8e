"""Arrays of PyTorch and array-api-strict under scikit-learn's dispatch: NumPy's results, in their place."""

import os
import pickle
import subprocess
import sys

import array_api_strict as strict
import numpy as np
import pandas as pd
import pytest
import sklearn
import torch
from numpy.testing import assert_array_equal
from scipy import sparse
from sklearn.base import clone
from sklearn.datasets import load_iris
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GroupKFold
from sklearn.utils import _array_api, get_tags

from xent import SoftmaxRegression, SoftmaxRegressionCV, l1_min_c, softmax_path
from xent.estimators import arrays

IRIS = load_iris(return_X_y=True)
NAMES = load_iris().target_names[IRIS[1]]
METHODS = ["decision_function", "predict", "predict_proba", "predict_log_proba"]
PLACES = {
    "torch": (torch, "cpu"),
    "strict": (strict, strict.Device("CPU_DEVICE")),
    "strict, device1": (strict, strict.Device("device1")),  # another device by name, the same memory
}
MODELS = {
    "newton": SoftmaxRegression(solver="newton"),
    "lbfgs": SoftmaxRegression(solver="lbfgs", class_weight="balanced", label_smoothing=0.1),
    "no intercept": SoftmaxRegression(fit_intercept=False),
    "sparse": SoftmaxRegression(l1_ratio=0.7, C=0.3),
    "separated": SoftmaxRegression(C=np.inf),
    "cv": SoftmaxRegressionCV(Cs=3, cv=3),
    "cv, ratios": SoftmaxRegressionCV(Cs=2, cv=2, l1_ratios=(0.0, 0.5), refit=False),
    "cv, scorer": SoftmaxRegressionCV(Cs=2, cv=3, scoring="accuracy"),
}


@pytest.fixture(params=PLACES)
def place(request):
    return PLACES[request.param]


@pytest.fixture
def dispatch():
    with sklearn.config_context(array_api_dispatch=True):
        yield


def put(array, place):
    xp, device = place
    return xp.asarray(np.array(array), device=device)


def is_at(array, place):
    xp, device = place
    kind = torch.Tensor if xp is torch else type(strict.asarray(0))
    return isinstance(array, kind) and array.device == (torch.device(device) if xp is torch else device)


def assert_same(found, expected, place):
    """Every array in `found` lives at `place`, with the bits and the dtype of NumPy's; the rest is equal."""
    if isinstance(expected, dict):
        assert found.keys() == expected.keys()
        for key in expected:
            assert_same(found[key], expected[key], place)
    elif isinstance(expected, np.ndarray) and expected.dtype.kind in "biuf":
        assert is_at(found, place)
        values = found.numpy() if place[0] is torch else np.from_dlpack(found)
        assert values.dtype == expected.dtype
        assert values.shape == expected.shape
        assert values.tobytes() == np.ascontiguousarray(expected).tobytes()
    else:
        assert type(found) is type(expected)
        assert_array_equal(found, expected)


def fitted_attributes(model):
    return {name: value for name, value in vars(model).items() if name.endswith("_")}


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("K", [2, 3])
@pytest.mark.parametrize("name", MODELS)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")  # of separated classes
def test_a_model_is_numpys_to_the_bit(name, K, dtype, place, dispatch):
    X, y = (a[IRIS[1] < K] for a in IRIS)
    X = X.astype(dtype)
    s = np.linspace(0.5, 2, len(y)).astype(dtype)
    ours = clone(MODELS[name]).fit(X, y, sample_weight=s)
    model = clone(MODELS[name]).fit(*(put(a, place) for a in (X, y, s)))
    assert_same(fitted_attributes(model), fitted_attributes(ours), place)
    for method in METHODS:
        assert_same(getattr(model, method)(put(X, place)), getattr(ours, method)(X), place)
    score = model.score(*(put(a, place) for a in (X, y, s)))
    assert type(score) is float
    assert score == ours.score(X, y, s)


@pytest.mark.parametrize("K", [2, 3])
@pytest.mark.parametrize("name", ["newton", "cv"])
def test_offsets_and_rows_of_probabilities(name, K, place, dispatch, rng):
    X, Q = IRIS[0], rng.dirichlet(np.ones(K), 150)
    o = rng.normal(size=(150, K) if K > 2 else 150)
    ours = clone(MODELS[name]).fit(X, Q, offset=o)
    model = clone(MODELS[name]).fit(put(X, place), put(Q, place), offset=put(o, place))
    assert_same(fitted_attributes(model), fitted_attributes(ours), place)
    for method in METHODS:
        found = getattr(model, method)(put(X, place), offset=put(o, place))
        assert_same(found, getattr(ours, method)(X, offset=o), place)
    if name == "cv":
        scored = model.score(put(X, place), put(Q, place), offset=put(o, place))
        assert scored == ours.score(X, Q, offset=o)


@pytest.mark.parametrize("dtype", [np.int32, np.float16])
def test_other_dtypes_of_x(dtype, dispatch):
    X, y = IRIS[0].astype(dtype), IRIS[1]
    ours, model = SoftmaxRegression().fit(X, y), SoftmaxRegression().fit(torch.tensor(X), torch.tensor(y))
    assert_same(fitted_attributes(model), fitted_attributes(ours), PLACES["torch"])
    assert_same(model.predict_proba(torch.tensor(X)), ours.predict_proba(X), PLACES["torch"])


def test_the_tag_says_so():
    assert all(get_tags(model).array_api_support for model in MODELS.values())


def test_x_is_not_copied(dispatch):
    X = torch.tensor(IRIS[0])
    for a in (X, X.T, X[::2]):
        (read,) = arrays.to_numpy(X=a)
        assert read.__array_interface__["data"][0] == a.data_ptr()
        assert_array_equal(read, a.numpy())


@pytest.mark.parametrize("name", ["newton", "cv"])
@pytest.mark.parametrize(
    "labels", ["numpy", "torch", "strict", "list", "strings", "list of strings", "objects"]
)
@pytest.mark.parametrize("rows", ["numpy", "torch", "strict", "frame", "list", "csr"])
def test_x_and_y_need_not_live_together(rows, labels, name, dispatch):
    """Coefficients and predictions follow X, `classes_` follows y, strings stay NumPy's: as scikit-learn."""
    if not hasattr(_array_api, "move_to"):
        pytest.skip("under dispatch scikit-learn takes X and y of two kinds, and lists, from 1.8 on")
    X, y = IRIS
    place = PLACES.get(rows)
    X_given = {
        "numpy": lambda: X,
        "frame": lambda: pd.DataFrame(X),
        "list": lambda: X.tolist(),
        "csr": lambda: sparse.csr_array(X),
    }.get(rows, lambda: put(X, place))()
    y_given = {
        "numpy": y,
        "torch": torch.tensor(y),
        "strict": strict.asarray(y),
        "list": y.tolist(),
        "strings": NAMES,
        "list of strings": NAMES.tolist(),
        "objects": NAMES.astype(object),
    }[labels]
    s = torch.linspace(1, 2, 150, dtype=torch.float64) if rows != "torch" else np.linspace(1, 2, 150)
    model = clone(MODELS[name]).fit(X_given, y_given, sample_weight=s)
    plain = np.asarray(y_given) if labels != "objects" else y_given
    numpy_rows = X_given if rows == "csr" else X
    ours = clone(MODELS[name]).fit(numpy_rows, plain, sample_weight=np.asarray(s))
    if labels in PLACES:
        assert_same(model.classes_, np.arange(3), PLACES[labels])
    else:
        assert type(model.classes_) is np.ndarray
        assert_array_equal(model.classes_, ours.classes_)
    predicted, expected = model.predict(X_given), ours.predict(numpy_rows)
    if place is None:
        assert type(model.coef_) is type(predicted) is np.ndarray
        assert_array_equal(model.coef_, ours.coef_)
        assert_array_equal(predicted, expected)
    else:
        assert_same(model.coef_, ours.coef_, place)
        assert_same(predicted, expected, place)
    assert model.score(X_given, y_given, s) == ours.score(numpy_rows, plain, np.asarray(s))


@pytest.mark.parametrize("K", [2, 3])
def test_a_warm_start_from_anywhere(K, place, dispatch):
    X, y = (a[IRIS[1] < K] for a in IRIS)
    model = SoftmaxRegression(warm_start=True).fit(put(X, place), put(y, place))
    cold = model.n_iter_
    model.fit(put(X, place), put(y, place))
    assert int(model.n_iter_[0]) == 1 < int(cold[0])
    model.fit(X, y)  # another namespace is no matter: X says where the model lives
    assert type(model.coef_) is np.ndarray
    assert model.n_iter_[0] == 1


class Watch:
    """A callback that keeps what it is given at the end of each task, and what that scores."""

    def __init__(self):
        self.given, self.scores = [], []

    def setup(self, estimator, context): ...
    def teardown(self, estimator, context): ...
    def on_fit_task_begin(self, estimator, context): ...

    def on_fit_task_end(self, estimator, context, *, X=None, y=None, metadata=None, fitted_estimator=None):
        if fitted_estimator is not None:
            s = metadata["sample_weight"]
            self.given += [X, y, s, fitted_estimator.coef_, fitted_estimator.classes_]
            self.scores.append(fitted_estimator.score(X, y, s))


@pytest.mark.skipif(not hasattr(SoftmaxRegression, "set_callbacks"), reason="scikit-learn 1.9 brings them")
def test_callbacks_see_a_model_where_x_lives(place, dispatch):
    data = *IRIS, np.linspace(1, 2, 150)
    there, here = Watch(), Watch()
    model = SoftmaxRegression().set_callbacks(there).fit(*(put(a, place) for a in data))
    SoftmaxRegression().set_callbacks(here).fit(*data)
    assert len(there.scores) == int(model.n_iter_[0]) + 1  # and once of the whole fit
    assert there.scores == here.scores
    assert len(set(there.scores)) > 1
    for found, expected in zip(there.given, here.given, strict=True):
        assert_same(found, expected, place)


class Seen:
    """A scorer that keeps what it was given."""

    def __init__(self):
        self.given = []

    def __call__(self, model, X, y, sample_weight=None):
        self.given.append((model.coef_, model.classes_, X, y, sample_weight, model.predict_proba(X)))
        return float(model.C_ if hasattr(model, "C_") else 1.0)


def test_scorers_are_given_numpy(place, dispatch):
    X, y, s = (put(a, place) for a in (*IRIS, np.ones(150)))
    scorer = Seen()
    model = SoftmaxRegressionCV(Cs=[1.0], cv=2, scoring=scorer).fit(X, y, s)
    assert len(scorer.given) == 2
    assert model.score(X, y, s) == 1.0
    assert len(scorer.given) == 3
    assert {type(a) for given in scorer.given for a in given} == {np.ndarray}
    assert is_at(model.coef_, place)  # still


def test_metadata_of_the_splitter(place, dispatch):
    X, y = IRIS
    groups = np.arange(150) % 5
    with sklearn.config_context(enable_metadata_routing=True):
        plain = SoftmaxRegressionCV(Cs=2, cv=GroupKFold(5).set_split_request(groups=True))
        model = clone(plain).fit(put(X, place), put(y, place), groups=put(groups, place))
        assert_same(model.coefs_paths_, plain.fit(X, y, groups=groups).coefs_paths_, place)


@pytest.mark.parametrize("name", ["newton", "cv", "cv, scorer"])
@pytest.mark.parametrize("labels", [IRIS[1], NAMES], ids=["numbers", "strings"])
def test_a_model_moves_when_it_is_told_to(labels, name, place, dispatch):
    X, there = IRIS[0], put(IRIS[0], place)
    y = labels if labels is NAMES else put(labels, place)
    model, ours = clone(MODELS[name]).fit(there, y), clone(MODELS[name]).fit(X, labels)
    for method in [*METHODS, "score"]:
        more = (labels,) if method == "score" else ()
        for moved, rows in ((model, X), (model, X.tolist()), (ours, there)):
            with pytest.raises(
                ValueError, match=rf"{type(ours).__name__}\.{method}\(\) must use the same names"
            ):
                getattr(moved, method)(rows, *more)
    if not hasattr(_array_api, "move_estimator_to"):
        pytest.skip("scikit-learn moves models from 1.9 on; that others are refused was tested")
    moved = _array_api.move_estimator_to(model, np, "cpu")
    assert type(moved.coef_) is np.ndarray
    for method in METHODS:
        assert_array_equal(getattr(moved, method)(X), getattr(ours, method)(X))
    assert moved.score(X, labels) == ours.score(X, labels)
    if labels is not NAMES:  # which scikit-learn cannot move, LogisticRegression's either
        xp, _, device = _array_api.get_namespace_and_device(there)
        moved = _array_api.move_estimator_to(ours, xp, device)
        assert_same(moved.predict_proba(there), ours.predict_proba(X), place)


@pytest.mark.parametrize("name", ["newton", "cv"])
def test_pickled_and_cloned(name, place, dispatch):
    X, y = (put(a, place) for a in IRIS)
    model = clone(MODELS[name]).fit(X, y)
    ours = clone(MODELS[name]).fit(*IRIS)
    again = pickle.loads(pickle.dumps(model))
    assert_same(again.predict_proba(X), ours.predict_proba(IRIS[0]), place)
    with pytest.raises(NotFittedError):
        clone(model).predict(X)
    model.sparsify().densify()  # scikit-learn's too leave coef_ in NumPy
    assert_array_equal(model.predict_proba(IRIS[0]), ours.predict_proba(IRIS[0]))


def test_once_dispatch_is_off_again_results_are_numpys(place):
    with sklearn.config_context(array_api_dispatch=True):
        model = SoftmaxRegression().fit(*(put(a, place) for a in IRIS))
    ours = SoftmaxRegression().fit(*IRIS)
    for method in METHODS:
        found = getattr(model, method)(IRIS[0])
        assert type(found) is np.ndarray
        assert_array_equal(found, getattr(ours, method)(IRIS[0]))


@pytest.mark.parametrize("rows", [IRIS[0], torch.tensor(IRIS[0])], ids=["numpy", "torch"])
@pytest.mark.parametrize("name", ["newton", "cv"])
def test_without_dispatch_all_is_numpys(name, rows, monkeypatch):
    monkeypatch.setattr(arrays, "_numpy_of", None)  # not even looked at
    model, ours = clone(MODELS[name]).fit(rows, IRIS[1]), clone(MODELS[name]).fit(*IRIS)
    assert_array_equal(model.coef_, ours.coef_)
    for array in (model.coef_, model.classes_, *(getattr(model, method)(rows) for method in METHODS)):
        assert type(array) is np.ndarray


def test_with_dispatch_numpy_stays_numpy(dispatch, monkeypatch):
    monkeypatch.setattr(arrays, "_numpy_of", None)
    model = SoftmaxRegression().fit(*IRIS)
    for array in (model.coef_, model.classes_, *(getattr(model, method)(IRIS[0]) for method in METHODS)):
        assert type(array) is np.ndarray


def test_without_scipys_setting():
    """Dispatch is refused by scikit-learn; without it tensors are fitted as ever, in NumPy."""
    code = """
import sklearn, torch, xent
X, y = torch.eye(6, dtype=torch.float64), torch.tensor([0, 1, 2, 0, 1, 2])
model = xent.SoftmaxRegression().fit(X, y)
print(type(model.coef_).__name__, type(model.predict(X)).__name__)
print(xent.softmax_path(X, y, 2).loss(X, y).shape)
try:
    with sklearn.config_context(array_api_dispatch=True):
        model.fit(X, y)
except RuntimeError as error:
    print(error)
"""
    environment = {key: value for key, value in os.environ.items() if key != "SCIPY_ARRAY_API"}
    out = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    ).stdout
    assert out.startswith("ndarray ndarray\n(2,)\n")
    assert "SCIPY_ARRAY_API=1" in out


@pytest.mark.parametrize("ratio", [0.0, 0.5])
@pytest.mark.parametrize("K", [2, 3])
def test_paths_are_numpys(K, ratio, place, dispatch):
    X, y = (a[IRIS[1] < K] for a in IRIS)
    s, o = np.linspace(1, 2, len(y)), np.linspace(-1, 1, len(y) * K).reshape(-1, K)
    there = [put(a, place) for a in (X, y, s, o)]
    model = SoftmaxRegression(l1_ratio=ratio)
    ours = softmax_path(X, y, 3, model=model, sample_weight=s, offset=o)
    path = softmax_path(*there[:2], 3, model=model, sample_weight=there[2], offset=there[3])
    assert type(path.classes_) is type(path.intercepts) is type(path.Cs) is np.ndarray
    assert_array_equal(path.intercepts, ours.intercepts)
    for coef, expected in zip(path.coefs, ours.coefs, strict=True):
        assert type(coef) is type(expected)
        assert_array_equal(*(c.toarray() if sparse.issparse(c) else c for c in (coef, expected)))
    losses = path.loss(*there)
    assert type(losses) is np.ndarray
    assert_array_equal(losses, ours.loss(X, y, s, o))
    assert l1_min_c(*there[:2], sample_weight=there[2], offset=there[3]) == l1_min_c(
        X, y, sample_weight=s, offset=o
    )


def far(array):
    return torch.tensor(np.asarray(array)).to("meta")


GIVEN = {"X": IRIS[0], "y": IRIS[1], "sample_weight": np.ones(150), "offset": np.zeros((150, 3))}


@pytest.mark.parametrize("argument", GIVEN)
@pytest.mark.parametrize(
    "who", ["SoftmaxRegression", "SoftmaxRegressionCV", "softmax_path", "l1_min_c", "loss"]
)
def test_data_off_the_cpu_are_refused_before_any_work(who, argument, dispatch):
    """PyTorch's meta device has no data at all: whatever reads a number of it fails otherwise."""
    given = GIVEN | {"X": np.full((150, 4), np.nan), argument: far(GIVEN[argument])}  # NaN is told of later
    models = {"SoftmaxRegression": SoftmaxRegression(), "SoftmaxRegressionCV": SoftmaxRegressionCV()}
    doors = {
        "softmax_path": softmax_path,
        "l1_min_c": l1_min_c,
        "loss": softmax_path(*IRIS, 1).loss,
    } | {name: model.fit for name, model in models.items()}
    with pytest.raises(
        ValueError, match=rf"^{argument}: .*device 'meta'.*on the CPU.*{argument}\.to\('cpu'\)"
    ):
        doors[who](**given)
    if who in models:
        assert not fitted_attributes(models[who])


def test_a_gpu_is_known_by_its_number(dispatch, monkeypatch):
    """Of DLPack, where it has one: 2 is CUDA."""
    monkeypatch.setattr(torch.Tensor, "__dlpack_device__", lambda self: (2, 0))
    with pytest.raises(ValueError, match="xent computes on the CPU"):
        SoftmaxRegression().fit(torch.tensor(IRIS[0]), IRIS[1])


@pytest.mark.parametrize("name", ["newton", "cv", "cv, scorer"])
def test_predictions_off_the_cpu_are_refused(name, dispatch):
    model = clone(MODELS[name]).fit(*(torch.tensor(a) for a in IRIS))
    X, y = far(IRIS[0]), torch.tensor(IRIS[1])
    for method in METHODS:
        with pytest.raises(ValueError, match=r"^X: .*device 'meta'"):
            getattr(model, method)(X)
        with pytest.raises(ValueError, match=r"^offset: .*device 'meta'"):
            getattr(model, method)(torch.tensor(IRIS[0]), offset=far(GIVEN["offset"]))
    with pytest.raises(ValueError, match=r"^X: .*device 'meta'"):
        model.score(X, y)
    with pytest.raises(ValueError, match=r"^y: .*device 'meta'"):
        model.score(torch.tensor(IRIS[0]), far(IRIS[1]))


@pytest.mark.parametrize(
    ("X", "told"),
    [
        (torch.tensor(IRIS[0], requires_grad=True), "float64; .*detach"),
        (torch.tensor(IRIS[0]).to_sparse(), "float64; .*to_dense"),
        (torch.tensor(IRIS[0], dtype=torch.bfloat16), "bfloat16; convert it"),
    ],
    ids=["grad", "sparse", "bfloat16"],
)
def test_tensors_that_numpy_cannot_hold(X, told, dispatch):
    with pytest.raises(ValueError, match=rf"^X: NumPy cannot read this array of dtype torch\.{told}"):
        SoftmaxRegression().fit(X, IRIS[1])


def test_a_tensor_that_is_its_memorys_negative(dispatch):
    X, y = torch.tensor(IRIS[0]), torch.tensor(IRIS[1])
    negative = torch.imag(torch.complex(X, -X).conj())
    assert negative.is_neg()
    assert torch.equal(negative, X)
    model = SoftmaxRegression().fit(negative, y, torch._neg_view(-torch.ones(150)))
    assert torch.equal(model.coef_, SoftmaxRegression().fit(X, y, torch.ones(150)).coef_)
    assert torch.equal(model.predict_proba(negative), model.predict_proba(X))


def test_bad_numbers_are_named_as_in_numpy(place, dispatch):
    X = IRIS[0].copy()
    X[3, 2] = np.nan
    with pytest.raises(ValueError, match="First in row 3, column 2"):
        SoftmaxRegression().fit(put(X, place), put(IRIS[1], place))


# scikit-learn's estimator checks run in test_estimators and test_cv.
