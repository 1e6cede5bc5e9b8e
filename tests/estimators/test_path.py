"""softmax_path: every model of it is the one that a fit on its own finds, and the picture shows them."""

import dataclasses
import subprocess
import sys
import warnings

import matplotlib
import numpy as np
import pandas as pd
import pytest
import scipy.sparse
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.datasets import load_digits, load_iris, load_wine
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.preprocessing import StandardScaler

from tests.truth.peers import want_weighted_balance
from tests.truth.smooth import Plain, softmax_rows
from xent import SoftmaxPath, SoftmaxRegression, l1_min_c, softmax_path
from xent.estimators.input import read_problem
from xent.estimators.parameters import ModelParameters
from xent.objective.ridge import Objective

matplotlib.use("Agg")
import matplotlib.pyplot as plt

CS = np.array([1.0, 0.01, 100.0, 0.1])  # out of order: it is kept


@pytest.fixture
def iris():
    return load_iris(return_X_y=True)


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


@pytest.mark.parametrize("K", [2, 4])
@pytest.mark.parametrize("intercept", [True, False])
@pytest.mark.parametrize("weighted", [True, False])
def test_every_model_is_newton_choleskys(rng, K, intercept, weighted):
    X, y = rng.normal(size=(150, 5)) + rng.normal(size=5), np.array(list("dbca"))[rng.integers(0, K, 150)]
    s = rng.uniform(0, 3, 150) if weighted else None
    common = {"fit_intercept": intercept, "class_weight": "balanced" if weighted else None}
    want_weighted_balance(common["class_weight"], s)
    path = softmax_path(X, y, Cs=CS, model=SoftmaxRegression(tol=1e-13, **common), sample_weight=s)
    assert_array_equal(path.Cs, CS)
    assert_array_equal(path.classes_, np.unique(y))
    rows = 1 if K == 2 else K
    assert path.intercepts.shape == (4, rows)
    for i, C in enumerate(CS):
        theirs = LogisticRegression(C=C, solver="newton-cholesky", tol=1e-12, **common).fit(X, y, s)
        assert path.coefs[i].shape == (rows, 5)
        assert_allclose(path.coefs[i], theirs.coef_, atol=1e-5)
        assert_allclose(path.intercepts[i], theirs.intercept_, atol=1e-5)


def test_every_figure_is_that_of_a_fit_on_its_own(rng):
    """With all that a fit can be given."""
    X, o = rng.normal(size=(120, 4)), rng.normal(size=(120, 3))
    Q, s = softmax_rows(rng, 120, 3), rng.uniform(0, 2, 120)
    given = {
        "label_smoothing": 0.1,
        "class_penalty_factor": [1.0, 2.0, 0.5],
        "feature_penalty_factor": [1.0, 0.3, 2.0, 1.0],
        "tol": 1e-9,
    }
    path = softmax_path(X, Q, Cs=CS, model=SoftmaxRegression(**given), sample_weight=s, offset=o)
    assert path.converged.all()
    assert path.converged.dtype == bool
    assert (path.suboptimality <= 1e-9).all()
    assert (path.n_iter >= 1).all()
    for i, C in enumerate(CS):
        alone = SoftmaxRegression(C=C, **given).fit(X, Q, s, o)
        assert_allclose(path.coefs[i], alone.coef_, atol=1e-3)
        assert_allclose(path.objective[i], alone.objective_, atol=2e-9)
        u, v = given["class_penalty_factor"], given["feature_penalty_factor"]
        plain = Plain(X, Q, s, C, alpha=0.1, offset=o, u=u, v=v)
        assert path.objective[i] == pytest.approx(plain.value(path.coefs[i], path.intercepts[i]), rel=1e-12)
    assert path.n_passes >= 4
    with pytest.raises(dataclasses.FrozenInstanceError):
        path.n_passes = 0


def test_a_number_of_cs_is_scikit_learns_grid():
    X, y = load_iris(return_X_y=True)
    path = softmax_path(X, y, Cs=5)
    assert_allclose(path.Cs, np.logspace(-4, 4, 5), rtol=1e-15)
    assert len(softmax_path(X, y, Cs=1).coefs) == 1
    size = [np.abs(coef).max() for coef in path.coefs]
    assert (np.diff(size) > 0).all()
    assert (np.diff(path.objective) < 0).all()  # F* falls as the penalty does


def test_the_loss_is_scikit_learns_log_loss(rng):
    X, y, s = rng.normal(size=(90, 3)), np.array(list("xyz"))[rng.integers(0, 3, 90)], rng.uniform(0, 2, 90)
    path = softmax_path(X[:60], y[:60], CS)
    for C, ours in zip(CS, path.loss(X[60:], y[60:], s[60:]), strict=True):
        model = SoftmaxRegression(C=C, tol=1e-13).fit(X[:60], y[:60])
        theirs = log_loss(y[60:], model.predict_proba(X[60:]), sample_weight=s[60:])
        assert ours == pytest.approx(theirs, abs=1e-3)
        model.coef_, model.intercept_ = path.coefs[list(CS).index(C)], path.intercepts[list(CS).index(C)]
        theirs = log_loss(y[60:], model.predict_proba(X[60:]), sample_weight=s[60:], labels=list("xyz"))
        assert ours == pytest.approx(theirs, rel=1e-12)
    assert np.isfinite(path.loss(X * 1e6, y)).all()
    assert path.loss(X * 1e6, y).min() > 700  # where scikit-learn's is clipped
    # rows of probabilities, of which labels are one kind; and a known part of the logits
    Q = (y[:, None] == path.classes_).astype(float)
    assert_allclose(path.loss(X, Q), path.loss(X, y), rtol=1e-13)
    o = rng.normal(size=(90, 3))
    logits = X @ path.coefs[0].T + path.intercepts[0] + o
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    assert path.loss(X, y, offset=o)[0] == pytest.approx(log_loss(y, p), rel=1e-12)
    binary = softmax_path(X, y == "x", Cs=[1.0])
    assert binary.loss(X, y == "x")[0] == pytest.approx(
        log_loss(y == "x", SoftmaxRegression(tol=1e-12).fit(X, y == "x").predict_proba(X)), abs=1e-3
    )
    with pytest.raises(ValueError, match=r"y: row 1 is of class .*'w'.*, which is none of the model's"):
        path.loss(X[:2], ["x", "w"])
    with pytest.raises(ValueError, match="X has 2 features, but the path was fitted on 3"):
        path.loss(X[:, :2], y)
    with pytest.raises(ValueError, match=r"sample_weight\[0\] = -1"):
        path.loss(X, y, -np.ones(90))


@pytest.mark.parametrize(
    ("seed", "Cs", "given"),
    [
        (3, [0.01, 0.011, 9.0, 138.0], {"class_penalty_factor": [1, 0, 1, 1]}),
        (13, [0.01, 0.011, 9.0, 138.0], {"class_penalty_factor": [1, 0, 1, 1]}),
        (4, [0.3, 3.0, 13.0, 90.0], {"feature_penalty_factor": [0, 0, 1, 1], "l1_ratio": 0.5}),
    ],
)
def test_fits_without_an_optimum_foretell_nothing(seed, Cs, given):
    """What is left unpenalised separates the classes, and grows until rounding stops it: starts through or
    at such points were 0.03 to thousands of nats off."""
    rng = np.random.default_rng(seed)
    l1 = "l1_ratio" in given
    X = (5 * rng.normal(size=(22, 4))).astype(np.float32 if l1 else np.float64)
    y = np.argmax(X @ rng.normal(size=(4, 5 if l1 else 4)), axis=1)
    with pytest.warns(ConvergenceWarning, match="penalty factor of 0"):
        path = softmax_path(X, y, Cs, model=SoftmaxRegression(**given))
    for C, value in zip(Cs, path.objective, strict=True):
        with pytest.warns(ConvergenceWarning, match="penalty factor of 0"):
            alone = SoftmaxRegression(C=C, **given).fit(X, y)
        assert value == pytest.approx(alone.objective_, abs=1e-6)


def test_a_path_reads_less_than_fits_on_their_own():
    X, y = load_digits(return_X_y=True)
    Cs = np.logspace(-2, 0, 9)
    alone = sum(SoftmaxRegression(C=C).fit(X, y).n_passes_ for C in Cs)
    assert softmax_path(X, y, Cs=Cs).n_passes < 0.9 * alone


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_float32_and_sparse_rows(rng, dtype):
    X = (rng.normal(size=(120, 6)) * (rng.random((120, 6)) < 0.4)).astype(dtype)
    y, tight = rng.integers(0, 3, 120), SoftmaxRegression(tol=1e-8)
    dense, sparse = (softmax_path(A, y, Cs=CS, model=tight) for A in (X, scipy.sparse.csr_array(X)))
    for a, b in zip(dense.coefs, sparse.coefs, strict=True):
        assert a.dtype == b.dtype == dtype
        assert_allclose(a, b, atol=1e-3)
    assert_allclose(dense.loss(X, y), sparse.loss(scipy.sparse.csr_array(X), y), atol=1e-6)


def test_edges(rng):
    """Tiny C: the class shares. C = inf: no penalty. Constant and empty columns: coefficients of 0."""
    X, y = rng.normal(size=(80, 3)), rng.integers(0, 3, 80)
    shares = np.log(np.bincount(y) / 80)
    tight = SoftmaxRegression(tol=1e-12)
    path = softmax_path(X, y, Cs=[1e-300, np.inf], model=tight)
    assert_allclose(path.coefs[0], 0, atol=1e-12)
    assert_allclose(path.intercepts[0], shares - shares.mean(), atol=1e-6)
    free = LogisticRegression(C=np.inf, solver="newton-cholesky", tol=1e-12).fit(X, y)
    assert_allclose(path.coefs[1], free.coef_, atol=1e-5)
    more = np.column_stack([X, np.full(80, 7.0), np.zeros(80)])
    path, alone = (softmax_path(A, y, Cs=[0.1, 10.0], model=tight) for A in (more, X))
    for coef, three in zip(path.coefs, alone.coefs, strict=True):
        assert_allclose(coef[:, 3:], 0, atol=1e-10)
        assert_allclose(coef[:, :3], three, atol=1e-5)
    path = softmax_path(np.zeros((80, 2)), y, Cs=[1e-3, 1.0, np.inf])
    assert path.converged.all()
    assert_array_equal(np.array(path.coefs), 0)
    assert_allclose(path.objective, -(np.exp(shares) * shares).sum(), rtol=1e-12)


def test_what_falls_short_is_told_once():
    X, y = load_digits(return_X_y=True)
    with pytest.warns(ConvergenceWarning) as caught:
        path = softmax_path(X, y, Cs=[1e-300, 1.0, 100.0], model=SoftmaxRegression(max_iter=1))
    (warning,) = caught
    text = str(warning.message)
    assert warning.filename == __file__
    assert text.startswith(
        "softmax_path: 2 of 3 fits did not reach an optimum (C = 1, C = 100). The worst, C = "
    )
    assert "tol=1e-06 asked for: the iteration limit was reached; increase max_iter." in text
    assert path.converged.tolist() == [True, False, False]
    X, y = load_iris(return_X_y=True, as_frame=True)
    with pytest.warns(ConvergenceWarning, match=r"1 of 2 fits .* \(C = inf\).*separated along sepal"):
        softmax_path(X, y, Cs=[np.inf, 1.0])


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"Cs": 0}, r"'Cs' parameter of softmax_path must be an int in .* \(0.0, inf\]. Got 0 instead"),
        ({"Cs": True}, "Got True instead"),
        ({"Cs": 2.5}, "Got 2.5 instead"),
        ({"Cs": []}, r"Got \[\] instead"),
        ({"Cs": [1.0, 0.0]}, r"Got \[1.0, 0.0\] instead"),
        ({"Cs": [1.0, np.nan]}, "nan"),
        ({"Cs": "many"}, "Got 'many' instead"),
        ({"Cs": [[1.0]]}, r"Got \[\[1.0\]\] instead"),
        ({"tol": 0}, "'tol' parameter of softmax_path"),
        ({"l1_ratio": 2}, "'l1_ratio' parameter of softmax_path"),
        ({"l1_ratio": 0.5, "Cs": [1.0, np.inf]}, "Cs: inf is no penalty, which l1_ratio > 0 cannot have"),
        ({"grouped": True, "bounds": (0, 1)}, "no closed form"),
        ({"class_penalty_factor": {7: 1.0}}, r"\[7\] are no classes of y"),
    ],
)
def test_bad_parameters(given, message):
    given = dict(given)
    X, y = load_iris(return_X_y=True)
    with pytest.raises(ValueError, match=message):
        softmax_path(X, y, given.pop("Cs", 10), model=SoftmaxRegression(**given))
    with pytest.raises(ValueError, match=r"Input X contains NaN. First in row 0, column 0"):
        softmax_path(np.full((4, 2), np.nan), [0, 1, 0, 1])


def test_the_model_lends_its_parameters_and_stays_as_it_is(iris):
    """Its C, warm_start and what it has been fitted to say nothing."""
    model = SoftmaxRegression(C=7.0, warm_start=True, tol=1e-9, l1_ratio=0.5)
    want = softmax_path(*iris, CS, model=model)
    model.fit(*iris)
    before = {name: str(value) for name, value in vars(model).items()}
    path = softmax_path(*iris, CS, model=model)
    assert {name: str(value) for name, value in vars(model).items()} == before
    assert_array_equal(path.objective, want.objective)
    assert 2 * l1_min_c(*iris, model=model) == l1_min_c(*iris, model=SoftmaxRegression(l1_ratio=1.0))

    class Short(SoftmaxRegression):
        def __init__(self, tol=1e-9):
            super().__init__(tol=tol, l1_ratio=0.5)

    assert_array_equal(softmax_path(*iris, CS, model=Short()).objective, want.objective)
    with pytest.warns(ConvergenceWarning, match=r"softmax_path: 4 of 4 fits .*max_time has passed"):
        assert not softmax_path(*iris, CS, model=model.set_params(max_time=1e-9)).converged.any()


@pytest.mark.parametrize("function", [softmax_path, l1_min_c])
def test_parameters_go_into_the_model(iris, function):
    who = function.__name__
    with pytest.raises(TypeError, match=rf"{who}\(\) .* write model=SoftmaxRegression\(l1_ratio=…, tol=…\)"):
        function(*iris, l1_ratio=1.0, tol=1e-3)
    # What it advises is what the function did: l1_min_c's own model has an L1 part.
    kept = "l1_ratio=1, " if function is l1_min_c else ""
    with pytest.raises(TypeError, match=rf"write model=SoftmaxRegression\({kept}fit_intercept=…\)"):
        function(*iris, fit_intercept=False)
    with pytest.raises(TypeError, match=rf"{who}\(\) got an unexpected keyword argument 'ratio'"):
        function(*iris, ratio=1.0)
    for wrong in (LogisticRegression(), SoftmaxRegression, 1.0):
        with pytest.raises(TypeError, match=rf"model: {who}\(\) takes a SoftmaxRegression, got"):
            function(*iris, model=wrong)
    with pytest.raises(ValueError, match=rf"'max_iter' parameter of {who}'s model must be an int"):
        function(*iris, model=SoftmaxRegression(l1_ratio=1, max_iter=0))
    with pytest.warns(FutureWarning, match=r"penalty='l1' means l1_ratio=1.0; solver='saga' means") as caught:
        theirs = function(*iris, model=SoftmaxRegression(penalty="l1", solver="saga"))
    assert caught[0].filename == __file__
    ours = function(*iris, model=SoftmaxRegression(l1_ratio=1))
    if function is l1_min_c:
        assert theirs == ours
    else:
        assert_array_equal(theirs.objective, ours.objective)
        with pytest.raises(ValueError, match=r"solver: .* leave the model's at 'auto', got 'newton'"):
            function(*iris, model=SoftmaxRegression(solver="newton"))


@pytest.mark.parametrize("l1_ratio", [0.0, 0.5])
def test_an_objective_at_another_c_leaves_the_first_as_it_is(iris, l1_ratio):
    model = SoftmaxRegression(l1_ratio=l1_ratio)
    asked = ModelParameters.of(model, SoftmaxRegression, stacklevel=1)
    problem, _ = read_problem(model, asked, l1_ratio, *iris, None, None)
    first = problem.objective(1.0)
    value, passes = first.evaluate(first.start() + 0.1).value, first.n_passes
    other = problem.at(3.0, first)
    assert other.n_passes == 0
    assert other.evaluate(first.start() + 0.1).value < value
    assert (other.n_passes, first.n_passes) == (1, passes)
    assert first.evaluate(first.start() + 0.1).value == value


def test_verbose_prints_a_line_a_fit(capsys):
    X, y = load_iris(return_X_y=True)
    softmax_path(X, y, Cs=CS)
    assert capsys.readouterr().out == ""
    path = softmax_path(X, y, Cs=CS, model=SoftmaxRegression(verbose=1))
    lines = capsys.readouterr().out.splitlines()
    assert sum(int(line.split()[-2]) for line in lines) == path.n_passes
    assert [float(line.split()[1]) for line in lines] == sorted(CS)  # from the strongest penalty on
    assert all("nats of the optimum after" in line for line in lines)


def drawn(ax):
    """The coefficients that are drawn as lines, (lines, m), zero line and markings left out."""
    return [line.get_ydata() for line in ax.lines if len(line.get_xdata()) > 2]


def test_the_picture_shows_the_coefficients_and_the_loss():
    X, y = load_wine(return_X_y=True)
    X = StandardScaler().fit_transform(X)
    path = softmax_path(X[::2], y[::2], Cs=CS)
    ax = path.plot(validation=(X[1::2], y[1::2]))
    assert isinstance(ax, plt.Axes)
    order = np.argsort(CS)
    lines = drawn(ax)
    expected = np.array(path.coefs)[order].reshape(4, -1).T
    assert len(lines) == 39
    assert_allclose(sorted(map(tuple, lines)), sorted(map(tuple, expected)), rtol=1e-12)
    assert_allclose(ax.lines[0].get_xdata(), [-2, -1, 0, 2])
    by_class = {line.get_color() for line in ax.lines if len(line.get_xdata()) > 2}
    legend = ax.get_legend()
    assert [text.get_text() for text in legend.get_texts()] == ["0", "1", "2"]
    assert {handle.get_color() for handle in legend.get_lines()} == by_class
    assert legend.get_title().get_text() == "class"
    # each line has the colour of its own class
    colour = {k: handle.get_color() for k, handle in enumerate(legend.get_lines())}
    for line in ax.lines[:39]:
        row = int(np.argmin(np.abs(expected - line.get_ydata()).max(axis=1))) // 13
        assert line.get_color() == colour[row]
    (below,) = [other for other in ax.figure.axes if other is not ax]
    curve = path.loss(X[1::2], y[1::2])
    assert_allclose(below.lines[0].get_ydata(), curve[order])
    assert below.lines[1].get_xdata() == [np.log10(CS[np.argmin(curve)])]
    assert below.lines[1].get_ydata() == [curve.min()]
    assert f"{curve.min():.4g} at C = {CS[np.argmin(curve)]:.3g}" in [t.get_text() for t in below.texts]
    ax.figure.canvas.draw()


def test_the_picture_of_many_coefficients_shows_the_largest():
    X, y = load_digits(return_X_y=True)
    path = softmax_path(X, y, Cs=[0.01, 1.0, 10.0], model=SoftmaxRegression(tol=1e-3))
    figure, (left, right) = plt.subplots(1, 2)
    assert path.plot(right) is right
    assert not left.lines
    assert len(drawn(right)) == 200
    assert "the 200 largest of 640" in [text.get_text() for text in right.texts]
    largest = np.max([np.abs(coef) for coef in path.coefs], axis=0).ravel()
    assert min(np.abs(line).max() for line in drawn(right)) == np.sort(largest)[-200]
    assert len(right.get_legend().get_lines()) == 10
    figure.canvas.draw()


def test_the_picture_of_two_classes_names_features():
    X, y = load_iris(return_X_y=True, as_frame=True)
    path = softmax_path(X[y < 2], y[y < 2], Cs=[0.01, 1.0, 100.0])
    ax = path.plot(validation=np.array([3.0, 1.0, 2.0]))
    assert ax.get_legend().get_title().get_text() == "feature"
    assert {text.get_text() for text in ax.get_legend().get_texts()} == set(X.columns)
    assert ax.get_ylabel() == "coefficient (log-odds of 1)"
    rng = np.random.default_rng(0)
    wide = softmax_path(rng.normal(size=(40, 15)), rng.integers(0, 2, 40), Cs=[0.1, 1.0, 2.0]).plot()
    assert [text.get_text() for text in wide.get_legend().get_texts()][-1] == "5 more"


def sparse_path(Cs=(0.1, 1.0, 10.0)):
    """As an L1 penalty would leave it: a feature more at each C."""
    coefs = [np.zeros((3, 4)) for _ in Cs]
    for i, coef in enumerate(coefs):
        coef[0, :i] = 1.0 + i
        coef[1, :i] = -1.0
    m = len(Cs)
    return SoftmaxPath(
        np.array(Cs),
        1.0,
        np.array(list("abc")),
        tuple(map(scipy.sparse.csr_array, coefs)),
        np.zeros((m, 3)),
        *(np.zeros(m) for _ in range(2)),
        np.ones(m, bool),
        np.ones(m, int),
        7,
    )


def test_the_picture_of_a_sparse_path_counts_features():
    ax = sparse_path().plot(validation=[2.0, 3.0, 1.0])
    (top,) = ax.child_axes
    assert [tick.get_text() for tick in top.get_xticklabels()] == ["0", "1", "2"]
    assert top.get_xlabel() == "features in use, of 4"
    assert len(drawn(ax)) == 4  # what is 0 everywhere is no line
    ax.figure.canvas.draw()
    path = sparse_path()
    X, y = np.eye(4), np.array(list("abca"))
    dense = dataclasses.replace(path, coefs=tuple(coef.toarray() for coef in path.coefs))
    assert_allclose(path.loss(X, y), dense.loss(X, y))


def test_pictures_of_odd_paths(rng):
    X, y = rng.normal(size=(60, 3)), rng.integers(0, 3, 60)
    for Cs in ([np.inf], [1.0], [0.5, 0.7, np.inf], [1e-4, 1e4, np.inf], [1.0, 1.0]):
        ax = softmax_path(X, y, Cs=Cs).plot(validation=np.arange(len(Cs)))
        ax.figure.canvas.draw()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        softmax_path(np.zeros((60, 2)), y, Cs=3).plot().figure.canvas.draw()
    many = softmax_path(rng.normal(size=(300, 2)), np.arange(300) % 30, Cs=[0.1, 1.0, 5.0]).plot()
    assert [text.get_text() for text in many.get_legend().get_texts()][-1] == "12 more"
    path = softmax_path(X, y, Cs=3)
    with pytest.raises(ValueError, match=r"validation: expected \(X, y\) or 3 losses, got shape \(2,\)"):
        path.plot(validation=[1.0, 2.0])


def test_an_infinite_c_has_its_place(rng):
    X, y = rng.normal(size=(60, 3)), rng.integers(0, 3, 60)
    ax = softmax_path(X, y, Cs=[np.inf, 0.1, 10.0]).plot()
    assert_allclose(ax.lines[0].get_xdata(), [-1, 1, 2])
    assert ax.get_xticklabels()[-1].get_text() == r"$\infty$"


def test_matplotlib_is_asked_for_only_by_pictures(monkeypatch):
    code = "import sys, xent; xent.softmax_path([[0.], [1.], [2.]], [0, 1, 0], Cs=2); print(*sys.modules)"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "matplotlib" not in out.stdout.split()
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    with pytest.raises(
        ModuleNotFoundError, match=r"plot needs matplotlib.*: .* -m pip install .*matplotlib>="
    ):
        sparse_path().plot()


def test_names_of_a_frame_are_kept(rng):
    X, y = pd.DataFrame(rng.normal(size=(30, 2)), columns=["p", "q"]), rng.integers(0, 2, 30)
    assert_array_equal(softmax_path(X, y, Cs=2).feature_names_in_, ["p", "q"])
    assert softmax_path(X.to_numpy(), y, Cs=2).feature_names_in_ is None


def test_columns_in_another_order_are_refused(rng):
    frame = pd.DataFrame(rng.normal(size=(60, 2)), columns=["p", "q"])
    y = rng.integers(0, 3, 60)
    path = softmax_path(frame, y, 2)
    assert path.loss(frame, y) == pytest.approx(path.loss(frame.to_numpy(), y))
    with pytest.raises(ValueError, match=r"columns \['q', 'p'\], but the path was fitted on \['p', 'q'\]"):
        path.loss(frame[["q", "p"]], y)


def test_a_constant_column_comes_in_at_no_c(rng):
    """Centred it is rounding, 1e-16 of its size, and no slope."""
    y = np.arange(150) % 3
    for value in (1.0, 0.1, 1e6):
        assert l1_min_c(np.full((150, 2), value), y) == np.inf
    X = rng.normal(size=(150, 1))
    assert l1_min_c(np.column_stack([X, np.full(150, 0.1)]), y) == pytest.approx(l1_min_c(X, y), rel=1e-12)


def test_a_path_need_not_prove(rng, monkeypatch):
    """Then it reads less, warns of nothing, and its models are as near to scikit-learn's."""
    monkeypatch.setattr(Objective, "has_hessian", property(lambda self: False))
    centres, y = rng.normal(size=(10, 60)), rng.integers(0, 10, 4000)
    X = ((centres[y] + 2 * rng.normal(size=(4000, 60))) * np.arange(1, 61) ** -0.7).astype(np.float32)
    Cs = np.logspace(1, 4, 4)
    path, proven = softmax_path(X, y, Cs, certify=False), softmax_path(X, y, Cs)
    assert path.n_passes < 0.9 * proven.n_passes
    assert proven.converged.all()
    assert not path.converged.all()
    assert_array_equal(path.converged, path.suboptimality <= 1e-6)
    for i, C in enumerate(Cs):
        theirs = LogisticRegression(C=C, solver="newton-cholesky", tol=1e-12)
        theirs.fit(X.astype(np.float64), y)
        plain = Plain(X, y, C=C)
        best = plain.value(theirs.coef_, theirs.intercept_)
        for found in (path, proven):
            # What is told is F at the coefficients as they are stored, in float32.
            value = plain.value(found.coefs[i], found.intercepts[i])
            assert found.objective[i] == pytest.approx(value, abs=1e-13)
            assert -1e-13 < value - best < min(3e-7, found.suboptimality[i] + 1e-12)
