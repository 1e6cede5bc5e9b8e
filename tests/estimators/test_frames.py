"""Tables of every library as X and as y, and what is said of entries that are missing."""

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import scipy.sparse
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, KFold

from tests.truth.smooth import softmax_rows
from xent import SoftmaxRegression, SoftmaxRegressionCV, l1_min_c, softmax_path

NAMES = ["w", "v", "u"]  # not sorted
COLUMNS = {"a": [1.5, None, 2.0, 3.0], "b": [4.0, 3.0, 2.0, 1.0]}
GAPS = {
    "Float64": pd.DataFrame({name: pd.array(c, dtype="Float64") for name, c in COLUMNS.items()}),
    "Int64": pd.DataFrame({"a": pd.array([1, None, 2, 3], dtype="Int64"), "b": [4, 3, 2, 1]}),
    "boolean": pd.DataFrame({"a": pd.array([True, None, False, True], dtype="boolean"), "b": [4, 3, 2, 1]}),
    "float64": pd.DataFrame(COLUMNS),
    "double[pyarrow]": pd.DataFrame(COLUMNS).astype("double[pyarrow]"),
    "bool[pyarrow]": pd.DataFrame({"a": pd.array([True, None, False, True], dtype="bool[pyarrow]")}),
    "object": pd.DataFrame({"a": pd.Series([1, pd.NA, 2, 3], dtype=object), "b": [4, 3, 2, 1]}),
    "arrow": pa.table(COLUMNS),
    "polars": pl.DataFrame(COLUMNS),
    "list": [[1.5, 4.0], [None, 3.0], [2.0, 2.0], [3.0, 1.0]],
    "csr": scipy.sparse.csr_array(np.array([[1.5, 4], [np.nan, 3], [2, 2], [3, np.nan]])),
    "coo": scipy.sparse.coo_array(np.array([[1.5, 4], [np.nan, 3], [2, 2], [3, np.nan]])),
}
WHOLE = {
    "Float64": lambda X: pd.DataFrame(X, columns=["a", "b"]).astype("Float64"),
    "double[pyarrow]": lambda X: pd.DataFrame(X, columns=["a", "b"]).astype("double[pyarrow]"),
    "arrow": lambda X: pa.table({"a": X[:, 0], "b": X[:, 1]}),
    "polars": lambda X: pl.DataFrame({"a": X[:, 0], "b": X[:, 1]}),
}


@pytest.mark.parametrize("kind", GAPS)
def test_a_gap_in_x_is_told_of_in_scikit_learns_words_and_located(kind):
    X, y = GAPS[kind], [0, 1, 1, 0]
    column = 0 if kind in ("list", "csr", "coo") else "'a'"
    said = rf"^Input X contains NaN. First in row 1, column {column}."
    if kind != "object":  # where scikit-learn lets NumPy speak
        with pytest.raises(ValueError, match=r"^Input X contains NaN"):
            LogisticRegression().fit(X, y)
    d = X.shape[1] if hasattr(X, "shape") else 2
    fitted = SoftmaxRegression().fit(np.arange(4.0 * d).reshape(4, d) % 5, y)
    path = softmax_path(np.arange(4.0 * d).reshape(4, d) % 5, y, [1.0])
    for call in (
        lambda: SoftmaxRegression().fit(X, y),
        lambda: SoftmaxRegression().fit(X, np.eye(2)[y]),
        lambda: SoftmaxRegressionCV(cv=2).fit(X, y),
        lambda: softmax_path(X, y),
        lambda: l1_min_c(X, y),
        lambda: path.loss(X, y),
    ):
        with pytest.raises(ValueError, match=said):
            call()
    if kind not in ("list", "csr", "coo"):
        fitted.feature_names_in_ = np.array(["a", "b"][:d], object)
    for call in (fitted.predict, fitted.predict_proba, fitted.decision_function):
        with pytest.raises(ValueError, match=said):
            call(X)


@pytest.mark.parametrize(
    "y",
    [
        [0.0, np.nan, 1, 0],
        np.array([0, None, 1, 0], object),
        np.array(["a", None, "b", "a"], object),
        pd.Series([0, None, 1, 0], dtype="Int64"),
        pd.Series(["a", None, "b", "a"], dtype="string"),
        pd.Series(["a", None, "b", "a"], dtype="category"),
        pl.Series(["a", None, "b", "a"]),
        pa.chunked_array([[0, None, 1, 0]]),
    ],
    ids=lambda y: type(y).__module__ + str(getattr(y, "dtype", "")),
)
def test_a_gap_in_y_is_located(y):
    for estimator in (SoftmaxRegression(), SoftmaxRegressionCV(cv=2)):
        with pytest.raises(ValueError, match=r"Input y contains NaN. First in row 1."):
            estimator.fit(np.arange(8.0).reshape(4, 2), y)


@pytest.mark.parametrize("kind", WHOLE)
def test_tables_fit_as_arrays_do(rng, kind):
    X, y = rng.normal(size=(60, 2)), rng.integers(0, 3, 60)
    model = SoftmaxRegression().fit(WHOLE[kind](X), y)
    plain = SoftmaxRegression().fit(X, y)
    assert_array_equal(model.coef_, plain.coef_)
    assert_array_equal(model.feature_names_in_, ["a", "b"])
    assert_array_equal(model.predict_proba(WHOLE[kind](X)), plain.predict_proba(X))


def named(kind, Q):
    columns = dict(zip(NAMES, Q.T, strict=True))
    frame = pd.DataFrame(columns)
    return {
        "pandas": frame,
        "Float64": frame.astype("Float64"),
        "double[pyarrow]": frame.astype("double[pyarrow]"),
        "polars": pl.DataFrame(columns),
        "arrow": pa.table(columns),
    }[kind]


@pytest.mark.parametrize("kind", ["pandas", "Float64", "double[pyarrow]", "polars", "arrow"])
def test_rows_of_probabilities_in_frames(rng, kind):
    """The columns' names are the classes, matched by name in fits, scores, cross-validation and paths."""
    X, Q = rng.normal(size=(90, 2)), softmax_rows(rng, 90, 3)
    frame, turned = named(kind, Q), pd.DataFrame(Q[:, ::-1], columns=NAMES[::-1])
    plain = SoftmaxRegression().fit(X, Q)
    model = SoftmaxRegression().fit(X, frame)
    assert_array_equal(model.classes_, NAMES)
    assert_array_equal(model.coef_, plain.coef_)
    score = (Q[np.arange(90), plain.predict_proba(X).argmax(axis=1)]).mean()
    assert model.score(X, frame) == pytest.approx(score, rel=1e-12)
    assert model.score(X, turned) == pytest.approx(score, rel=1e-12)
    cv = SoftmaxRegressionCV(Cs=[0.1, 1.0], cv=3)
    loss = SoftmaxRegressionCV(Cs=[0.1, 1.0], cv=3).fit(X, Q).score(X, Q)
    cv.fit(X, frame)
    labels = np.array(NAMES)[Q.argmax(axis=1)]
    assert cv.score(X, frame) == cv.score(X, turned) == pytest.approx(loss, rel=1e-12)
    logs = cv.predict_log_proba(X)
    assert cv.score(X, labels) == pytest.approx(logs[np.arange(90), Q.argmax(axis=1)].mean(), rel=1e-12)
    path = softmax_path(X, frame, [0.1, 1.0])
    assert path.loss(X, turned) == pytest.approx(softmax_path(X, Q, [0.1, 1.0]).loss(X, Q), rel=1e-12)
    other = pd.DataFrame(Q, columns=["u", "v", "x"])
    for call in (model.score, cv.score, path.loss):
        with pytest.raises(ValueError, match=r"y: the columns \['u', 'v', 'x'\] are not the model's classes"):
            call(X, other)


def test_rows_of_probabilities_in_what_has_no_names(rng):
    X, Q = rng.normal(size=(60, 2)), softmax_rows(rng, 60, 3)
    plain = SoftmaxRegression().fit(X, Q)
    for rows in (list(Q), Q.tolist(), [tuple(row) for row in Q], Q.astype(object)):
        model = SoftmaxRegression().fit(X, rows)
        assert_array_equal(model.coef_, plain.coef_)
        assert model.score(X, rows) == plain.score(X, Q)
        SoftmaxRegressionCV(Cs=[1.0], cv=2).fit(X, rows)
    labels = rng.integers(0, 3, 60)
    hot = scipy.sparse.csr_array(np.eye(3)[labels])
    by_label = SoftmaxRegression(tol=1e-12).fit(X, labels)
    model = SoftmaxRegression(tol=1e-12).fit(X, hot)
    assert_allclose(model.coef_, by_label.coef_, atol=1e-6)
    assert model.score(X, hot) == by_label.score(X, labels)
    assert SoftmaxRegressionCV(Cs=[1.0], cv=2).fit(X, hot).coef_.shape == (3, 2)


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (pd.DataFrame({"a": [0.5, None], "b": [0.5, 1]}).astype("Float64"), "y: row 1 has a NaN"),
        (pa.table({"a": [0.5, None], "b": [0.5, 1]}), "y: row 1 has a NaN"),
        (pl.DataFrame({"a": [0.5, None], "b": [0.5, 1]}), "y: row 1 has a NaN"),
        ([[0.5, 0.5], [1.0]], "y: rows of probabilities must be of one length"),
        (pd.DataFrame({"a": [1, 0], "b": ["x", "y"]}), "y: rows of probabilities must be numbers, got 'x'"),
        ([[0.0, 0.0], [1.0, 0.0]], "y: row 0 is 0 in every class; .* leave it out with a sample weight of 0"),
    ],
)
def test_bad_rows_of_probabilities(y, message):
    for estimator in (SoftmaxRegression(), SoftmaxRegressionCV(cv=2)):
        with pytest.raises(ValueError, match=message):
            estimator.fit([[0.0], [1.0]], y)


def test_a_grid_search_over_rows_of_probabilities(rng):
    """Its default scoring is `score`: the accuracy to expect of labels drawn from the rows."""
    X = rng.normal(size=(120, 3))
    Q = np.exp(X @ rng.normal(size=(3, 3)))
    Q /= Q.sum(axis=1, keepdims=True)
    frame = pd.DataFrame(Q, columns=NAMES)
    for y in (Q, frame):
        search = GridSearchCV(SoftmaxRegression(), {"C": [1e-4, 1.0]}, cv=KFold(3)).fit(X, y)
        assert search.best_params_ == {"C": 1.0}
        for k, (train, test) in enumerate(KFold(3).split(X)):
            chosen = SoftmaxRegression().fit(X[train], Q[train]).predict(X[test])
            expected = Q[test][np.arange(len(test)), chosen].mean()
            assert search.cv_results_[f"split{k}_test_score"][1] == pytest.approx(expected, rel=1e-12)


def test_score_knows_weights_and_offsets(rng):
    X, y, s, o = (
        rng.normal(size=(80, 2)),
        rng.integers(0, 3, 80),
        rng.uniform(0, 2, 80),
        rng.normal(size=(80, 3)),
    )
    model = SoftmaxRegression().fit(X, y, s, o)
    right = model.predict(X, o) == y
    assert 0 < right.mean() < 1
    assert model.score(X, y, s, o) == pytest.approx(s @ right / s.sum(), rel=1e-12)
    assert model.score(X, np.eye(3)[y], s, o) == pytest.approx(s @ right / s.sum(), rel=1e-12)
    assert model.score(X, y, s) == LogisticRegression.score(model, X, y, s)


def test_a_frame_of_offsets_is_brought_into_the_order_of_the_classes(rng):
    """Wherever offsets go in; a frame with other names is taken as it lies."""
    X, y = rng.normal(size=(80, 2)), np.array(list("abc"))[rng.integers(0, 3, 80)]
    o = rng.normal(size=(80, 3))
    plain = SoftmaxRegression().fit(X, y, offset=o)
    turned = pd.DataFrame(o, columns=list("abc"))[list("cab")]
    for offset in (turned, pl.from_pandas(turned), pa.Table.from_pandas(turned), pd.DataFrame(o)):
        model = SoftmaxRegression().fit(X, y, offset=offset)
        assert_array_equal(model.coef_, plain.coef_)
        assert_array_equal(model.predict_proba(X, offset), plain.predict_proba(X, o))
        assert model.score(X, y, offset=offset) == plain.score(X, y, offset=o)
    path = softmax_path(X, y, Cs=[1.0], offset=turned)
    assert_allclose(path.coefs[0], plain.coef_, atol=1e-4)
    assert_array_equal(path.loss(X, y, offset=turned), path.loss(X, y, offset=o))
    with pytest.raises(ValueError, match="offset: entries must be numbers, got dtype"):
        SoftmaxRegression().fit(X, y, offset=[["x", 1, 2]] * 80)


def test_what_cannot_be_told_apart_or_scored_is_said(rng):
    X, Q = rng.normal(size=(30, 2)), rng.dirichlet(np.ones(3), 30)
    with pytest.raises(
        ValueError, match=r"y: its columns are called \[5, 'a', 4\], by names of several types"
    ):
        SoftmaxRegression().fit(X, pd.DataFrame(Q, columns=[5, "a", 4]))
    with pytest.raises(ValueError, match="scoring='accuracy' wants labels, and y is rows of probabilities"):
        SoftmaxRegressionCV(scoring="accuracy").fit(X, Q)
    own = SoftmaxRegressionCV(Cs=2, cv=2, scoring=lambda model, X, Q: model.score(X, Q)).fit(X, Q)
    assert own.scores_.shape == (2, 1, 2)
