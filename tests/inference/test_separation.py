"""Separation against linear programmes that see every row at once, and against textbook cases."""

import ml_dtypes
import numpy as np
import pytest
from scipy.optimize import linprog
from scipy.sparse import csr_array
from sklearn.datasets import load_breast_cancer, load_digits, load_iris, load_wine
from sklearn.exceptions import ConvergenceWarning

from xent import SoftmaxRegression
from xent.data import InMemory
from xent.inference import separation
from xent.inference.separation import Status, find_separation
from xent.kernels import linear
from xent.objective.ridge import Objective
from xent.solvers import LBFGS, Settings


def verdict_of(X, y, K=None, intercept=True, theta=None, null=None, **batch):
    """On one batch, or on several where y is a list."""
    if not isinstance(y, list):
        X, y = [X], [y]
    K = K or (int(max(part.max() for part in y)) + 1 if y[0].ndim == 1 else y[0].shape[1])
    batches = [linear.Batch(*pair, **batch) for pair in zip(X, y, strict=True)]
    total = linear.moments(batches[0], K)
    for other in batches[1:]:
        total += linear.moments(other, K)
    centre = total.x / total.weight if intercept else np.zeros(len(total.x))
    return find_separation(InMemory(*batches), K, centre, intercept, theta, null)


def constraints(X, Q, intercept):
    """All (i, a, k) with q_ia > 0: (Δ_a − Δ_k)·x ≥ 0 for all k, as rows over K·D, features scaled."""
    X = X - X.mean(axis=0) if intercept else X
    X = X / np.where(np.abs(X).max(axis=0) > 0, np.abs(X).max(axis=0), 1)
    rows = np.column_stack([X, np.ones(len(X))]) if intercept else X
    K = Q.shape[1]
    out = []
    for x, q in zip(rows, Q, strict=True):
        for a in np.flatnonzero(q > 0):
            for k in range(K):
                if k != a:
                    form = np.zeros((K, len(x)))
                    form[a] += x
                    form[k] -= x
                    out.append((form.ravel(), a, k))
    return np.array([form for form, _, _ in out]), [(a, k) for _, a, k in out]


def best(A, gain):
    result = linprog(-gain, A_ub=-A, b_ub=np.zeros(len(A)), bounds=(-1, 1), method="highs")
    assert result.status == 0
    return -result.fun


def truth(X, Q, intercept, each=True):
    """Status, completeness and, {(a, b): [margins that can be > 0, all]} by one LP a margin."""
    A, pairs = constraints(X, Q, intercept)
    if best(A, A.sum(axis=0)) < 1e-7:
        return Status.OVERLAPPING, False, {}
    wide = linprog(
        -np.append(np.zeros(A.shape[1]), 1),
        A_ub=np.column_stack([-A, np.ones(len(A))]),
        b_ub=np.zeros(len(A)),
        bounds=(-1, 1),
    )
    count = {}
    if each:
        for row, (a, k) in zip(A, pairs, strict=True):
            entry = count.setdefault((min(a, k), max(a, k)), [0, 0])
            entry[0] += best(A, row) > 1e-6
            entry[1] += 1
    return Status.SEPARATED, -wide.fun > 1e-7, count


def agrees(verdict, X, Q, intercept, each=True):
    status, complete, count = truth(X, Q, intercept, each)
    assert verdict.status is status
    if status is Status.OVERLAPPING:
        assert verdict.separation is None
        return
    found = verdict.separation
    assert found.maximal
    assert found.complete == complete
    check_direction(found, X, Q, intercept)
    if each:
        assert {(p.a, p.b): [p.strict, p.rows] for p in found.pairs} == {
            k: v for k, v in count.items() if v[0]
        }


def check_direction(found, X, Q, intercept):
    """Every row confirms it, from the raw definition, and it is scaled as it says."""
    centre = X.mean(axis=0) if intercept else np.zeros(X.shape[1])
    rows = np.column_stack([X - centre, np.ones(len(X))]) if intercept else X
    units = np.append(found.deviations, np.ones(int(intercept)))
    lengths = np.sqrt(((rows / np.where(units > 0, units, np.inf)) ** 2).sum(axis=1))
    Z = rows @ found.direction.T
    lowest_label = np.where(Q > 0, Z, np.inf).min(axis=1)
    assert np.all(lowest_label - Z.max(axis=1) >= -1e-8 * np.maximum(lengths, 1))
    assert np.abs(found.direction * units).max() == pytest.approx(1)
    assert np.abs(found.direction.sum(axis=0) * units).max() < 1e-12
    strict = (lowest_label[:, None] - Z > 1e-6 * lengths[:, None]) & (Q == 0)
    if not found.complete:
        assert strict.any(axis=1).sum() == found.rows


def small_problem(seed):
    """A few rows on a grid, so that ties abound; some with labels taken from a model."""
    rng = np.random.default_rng(seed)
    n, d, K = rng.integers(3, 12), rng.integers(1, 4), rng.integers(2, 5)
    X = rng.integers(-2, 3, (n, d)).astype(float)
    if seed % 3 == 0:
        X += rng.normal(size=X.shape)
    y = rng.integers(0, K, n)
    if seed % 2:
        y = (X @ rng.integers(-2, 3, (d, K)) + rng.integers(-2, 3, K)).argmax(axis=1)
    Q = np.eye(K)[y]
    if seed % 5 == 0:  # some rows soft
        rows = rng.random(n) < 0.3
        Q[rows] = rng.integers(0, 2, (int(rows.sum()), K))
        Q[Q.sum(axis=1) == 0, 0] = 1
        Q /= Q.sum(axis=1, keepdims=True)
    return X, y, Q, bool(rng.random() < 0.7), seed % 5 == 0


@pytest.mark.parametrize("block", range(10))
def test_small_problems_end_as_all_their_rows_at_once(block):
    ends = []
    for seed in range(20 * block, 20 * block + 20):
        X, y, Q, intercept, soft = small_problem(seed)
        verdict = verdict_of(X, Q if soft else y, Q.shape[1], intercept)
        agrees(verdict, X, Q, intercept)
        ends.append((verdict.status, verdict.separation is not None and verdict.separation.complete))
    assert len(set(ends)) == 3, "all three ends occur"


@pytest.mark.parametrize("seed", range(12))
def test_larger_problems_need_more_than_the_first_working_set(seed):
    """300 rows of 6 features: overlapping, complete, and quasi-complete by a binary feature."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(300, 6))
    y = (X @ rng.normal(size=(6, 3)) + (seed % 3 == 0) * rng.normal(size=(300, 3))).argmax(axis=1)
    if seed % 3 == 1:
        X[:, 0] = y == 0
        X[:150, 0] = 0
        y[150:] = np.where(y[150:] == 0, 0, rng.integers(1, 3, 150))
    Q = np.eye(3)[y]
    for intercept in (True, False):
        agrees(verdict_of(X, y, 3, intercept), X, Q, intercept, each=False)


def test_iris_setosa_splits_off():
    data = load_iris()
    verdict = verdict_of(data.data, data.target)
    found = verdict.separation
    assert verdict.status is Status.SEPARATED
    assert not found.complete
    assert found.maximal
    assert [(p.a, p.b, p.strict, p.rows) for p in found.pairs] == [(0, 1, 100, 100), (0, 2, 100, 100)]
    assert found.rows == 150
    text = found.describe(data.target_names, data.feature_names)
    assert text.startswith("classes 'setosa' and 'versicolor' are completely separated along ")
    assert "petal length (cm)" in text
    assert "; classes 'setosa' and 'virginica' are completely separated along " in text
    agrees(verdict, data.data, np.eye(3)[data.target], True, each=False)
    rest = data.target > 0
    assert verdict_of(data.data[rest], data.target[rest] - 1).status is Status.OVERLAPPING


@pytest.mark.parametrize("load", [load_wine, load_breast_cancer])
def test_raw_tables_that_separate_completely(load):
    X, y = load(return_X_y=True)
    verdict = verdict_of(X, y)
    agrees(verdict, X, np.eye(y.max() + 1)[y], True, each=False)
    assert verdict.separation.complete
    assert verdict.separation.rows == len(y)


def test_where_a_solver_ran_off_to_is_proof_in_one_pass():
    X, y = load_digits(return_X_y=True)
    objective = Objective.of(InMemory(linear.Batch(X, y.astype(np.int64))), 10, 0.0)
    theta = LBFGS(Settings(max_iter=300)).solve(objective, objective.start()).theta
    verdict = find_separation(objective.loss.source, 10, objective.loss.centre, True, theta)
    found = verdict.separation
    assert found.complete
    assert len(found.pairs) == 45
    assert found.rows == 1797
    assert verdict.n_passes <= 3  # the two before it are for the features' deviations
    check_direction(found, X, np.eye(10)[y], True)
    assert "; and so on for 42 more pairs" in found.describe(range(10))


def test_too_many_coefficients_are_unknown_but_for_the_solvers_word(rng):
    X, y = rng.normal(size=(60, 300)), np.arange(60) % 6
    for intercept in (True, False):
        verdict = verdict_of(X, y, 6, intercept)
        assert verdict.status is Status.UNKNOWN
        assert "is more than 1500" in verdict.reason
        theta = np.linalg.lstsq(X - intercept * X.mean(axis=0), np.eye(6)[y] - 1 / 6)[0].T
        theta = np.column_stack([theta, np.zeros(6)]) if intercept else theta
        for table in (X, csr_array(X)):
            assert verdict_of(table, y, 6, intercept, theta).separation.complete
            assert verdict_of(table, y, 6, intercept, -theta).status is Status.UNKNOWN
    assert verdict_of(X, y, 1001).reason == "1001 classes are more than 1000"


def test_too_few_programmes_are_unknown(monkeypatch):
    monkeypatch.setattr(separation, "_MOST_PROGRAMMES", 1)
    verdict = verdict_of(*load_iris(return_X_y=True))
    assert verdict.status is Status.UNKNOWN
    assert verdict.reason == "1 linear programmes came to no end"


@pytest.mark.parametrize("factor", [1.0, 3.0])
def test_the_textbook_threshold(factor):
    """Albert & Anderson: y = 1 iff x > c is complete; both at c, quasi-complete; past it, overlap."""
    x = np.arange(10.0)[:, None] * factor
    y = np.arange(10) > 4
    complete = verdict_of(x, y.astype(int)).separation
    assert complete.complete
    tie = verdict_of(np.vstack([x, [[4 * factor]]]), np.append(y, True).astype(int)).separation
    assert not tie.complete
    assert (tie.pairs[0].strict, tie.pairs[0].rows, tie.rows) == (9, 11, 9)
    assert tie.describe(["no", "yes"]) == (
        "classes 'no' and 'yes' are separated along x0 in 9 of 11 rows, and touch in the others"
    )
    past = verdict_of(np.vstack([x, [[3.999 * factor]]]), np.append(y, True).astype(int))
    assert past.status is Status.OVERLAPPING


@pytest.mark.parametrize("overlap", [1e-1, 1e-2, 1e-3])
def test_a_small_overlap_is_no_separation(rng, overlap):
    """Three classes on a line in 4 features, two of them overlapping by a little."""
    X = rng.normal(size=(300, 4))
    y = np.repeat([0, 1, 2], 100)
    X[:, 0] = 10 * y + rng.uniform(0, 5, 300)
    X[:2] = X[100:102] = 0
    X[0, 0], X[100, 0] = 10 + overlap * X[:, 0].std(), 10
    X[101, 0] = 10.5
    verdict = verdict_of(X[:200, :1], y[:200])
    assert verdict.status is Status.OVERLAPPING
    verdict = verdict_of(X[:, :1], y)
    assert {(p.a, p.b) for p in verdict.separation.pairs} == {(0, 2), (1, 2)}
    assert verdict.separation.maximal
    X[0, 0] = 9
    assert verdict_of(X[:, :1], y).separation.complete


def test_a_rare_category_in_many_rows_is_seen(rng):
    """200000 rows overlap, in seconds; one row with a feature of its own does not."""
    X, y = rng.normal(size=(200_000, 10)), rng.integers(0, 3, 200_000)
    assert verdict_of(X, y).status is Status.OVERLAPPING
    assert verdict_of(X.astype(np.float32), y).n_passes <= 4
    X[:, 4] = 0
    X[777, 4] = 1
    found = verdict_of(X, y).separation
    assert {p[:2] for p in found.pairs} == {tuple(sorted((y[777], k))) for k in range(3) if k != y[777]}
    assert [p.strict for p in found.pairs] == [1, 1]
    assert found.rows == 1
    assert " along x4 in 1 of " in found.describe("abc")


@pytest.mark.parametrize("kind", ["complete", "quasi", "overlap"])
@pytest.mark.parametrize("intercept", [True, False])
def test_shape_and_scale_of_the_table_change_nothing(rng, kind, intercept):
    X = rng.integers(-3, 4, (80, 4)).astype(float)
    X[:, 3] = rng.integers(0, 2, 80)
    y = (X @ rng.normal(size=(4, 3))).argmax(axis=1)
    if kind != "complete":
        swapped = rng.random(80) < 0.3
        y[swapped] = rng.integers(0, 3, swapped.sum())
    if kind == "quasi":
        y[X[:, 3] == 1] = 0
        y[:3], X[:3, 3] = [0, 1, 2], 0
    plain = verdict_of(X, y, 3, intercept)
    assert plain.status is (Status.OVERLAPPING if kind == "overlap" else Status.SEPARATED)
    if kind != "overlap":
        assert plain.separation.complete == (kind == "complete")
    scale = 10.0 ** np.array([-6, 6, 0, 3])
    tables = {
        "scaled": X * scale,
        "far": X * 1e-150,
        "beyond squares": X * np.array([1e-300, 1e200, 1, 1]),
        "CSR": csr_array(X),
        "scaled CSR": csr_array(X * scale),
        "float16": X.astype(np.float16),
        "bfloat16": X.astype(ml_dtypes.bfloat16),
        "Fortran": np.asfortranarray(X),
        "collinear": np.column_stack([X, X[:, 0] + X[:, 1], 2 * X[:, 2]]),
        "empty column": np.column_stack([X, np.zeros(80)]),
    }
    if intercept:
        tables |= {
            "shifted": X + np.array([1e6, -1e3, 0.1, 1e5]),
            "shifted CSR": csr_array(X + np.array([1e6, -1e3, 0.1, 1e5])),
            "constant column": np.column_stack([X, np.full(80, 0.1)]),
            "constant CSR": csr_array(np.column_stack([X, np.full(80, 0.1)])),
        }
    for name, table in tables.items():
        other = verdict_of(table, y, 3, intercept)
        assert other.status is plain.status, name
        if plain.separation:
            assert other.separation.pairs == plain.separation.pairs, name
            assert np.isfinite(other.separation.direction).all(), name
    parts = verdict_of([X[:30], csr_array(X[30:])], [y[:30], y[30:]], 3, intercept)
    assert parts.status is plain.status
    assert plain.separation is None or parts.separation.pairs == plain.separation.pairs
    for theta in rng.normal(size=(3, 3, 4 + intercept)):
        hinted = verdict_of(X, y, 3, intercept, theta)
        assert hinted.status is plain.status
        assert plain.separation is None or hinted.separation.pairs == plain.separation.pairs


def test_null_directions_are_not_named(rng):
    """x1 = x0 twice and a column in two copies that have nothing to do with the classes."""
    x, z = rng.normal(size=(2, 50))
    X = np.column_stack([x, z, z, np.full(50, 3.0)])
    y = (x > 0).astype(np.int64)
    objective = Objective.of(InMemory(linear.Batch(X, y)), 2, 0.0)
    null = objective.loss.null_directions(np.ones(4, bool))
    assert len(null) == 2
    found = verdict_of(X, y, null=null).separation
    assert np.abs(found.direction[:, :4] @ null.T).max() < 1e-12
    check_direction(found, X, np.eye(2)[y], True)
    assert found.complete


def test_rows_that_do_not_count(rng):
    """Two rows on the wrong side stand in the way, unless their weight is 0 or their label ignored."""
    x = np.append(np.arange(10.0), [0.5, 8.5])[:, None]
    y = np.append(np.arange(10) > 4, [True, False]).astype(int)
    assert verdict_of(x, y).status is Status.OVERLAPPING
    weight = np.append(np.full(10, 0.3), [0, 0])
    assert verdict_of(x, y, weight=weight).separation.complete
    assert verdict_of(x, np.append(y[:10], [-1, -1]), ignore_index=-1).separation.rows == 10
    assert verdict_of(x, y, weight=np.where(weight > 0, 1, 1e-9)).status is Status.OVERLAPPING


def test_soft_labels(rng):
    """Classes 1 and 2 share rows and so tie there; 0 splits off; smoothing leaves nothing to split."""
    X = rng.normal(size=(40, 2))
    X[:, 0] = np.where(np.arange(40) < 20, -1, 1) * rng.uniform(1, 2, 40)
    Q = np.zeros((40, 3))
    Q[:20, 0] = 1
    Q[20:, 1:] = [0.3, 0.7]
    found = verdict_of(X, Q).separation
    assert not found.complete
    assert [(p.a, p.b, p.strict, p.rows) for p in found.pairs] == [(0, 1, 40, 40), (0, 2, 40, 40)]
    indices = np.tile([1, 2], (40, 1))
    indices[:20] = 0
    values = np.tile([0.3, 0.7], (40, 1))
    top = verdict_of(X, linear.TopK(indices, values), K=3)
    assert top.separation.pairs == found.pairs
    hard = Q.argmax(axis=1)
    assert verdict_of(X, hard, 3).separation.complete
    assert verdict_of(X, hard, 3, label_smoothing=0.1).status is Status.OVERLAPPING


def test_a_class_without_rows_and_no_choice_at_all(rng):
    X, y = rng.normal(size=(50, 2)), rng.integers(0, 2, 50)
    found = verdict_of(X, y, 3).separation
    assert [p[:2] for p in found.pairs] == [(0, 2), (1, 2)]
    assert all(p.complete for p in found.pairs)
    only = verdict_of(X, np.zeros(50, int), 2).separation
    assert only.complete
    assert verdict_of(X, np.zeros(50, int), 1).status is Status.OVERLAPPING
    constant = verdict_of(np.ones((6, 1)), np.array([0, 0, 0, 0, 0, 0]), 2).separation
    assert constant.describe("ab") == "classes 'a' and 'b' are completely separated along the intercept"


def test_fewer_rows_than_features_separate(rng):
    X = rng.normal(size=(5, 30))
    assert verdict_of(X, np.arange(5) % 3).separation.complete
    assert verdict_of(X, np.arange(5) % 3, intercept=False).separation.complete
    assert verdict_of(X[[0, 0]], np.array([0, 1])).status is Status.OVERLAPPING


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_no_number_is_unknown(rng, value):
    X = rng.normal(size=(20, 2))
    X[3, 1] = value
    with np.errstate(all="ignore"):
        assert verdict_of(X, np.arange(20) % 2).status is Status.UNKNOWN


def test_separable_classes_without_a_penalty_are_named():
    X, y = load_digits(return_X_y=True)
    with pytest.warns(ConvergenceWarning, match="no minimum: classes . and . are completely separated"):
        model = SoftmaxRegression(C=np.inf).fit(X, y)
    assert model.converged_  # F is within tol of its infimum 0
    assert model.separation_["complete"]
    margins = X @ model.separation_["direction"].T  # without the intercept, classes lie apart pair by pair
    for a, b, rows, of in model.separation_["pairs"]:
        difference = margins[:, a] - margins[:, b]
        assert difference[y == a].min() > difference[y == b].max()
        assert rows == of == np.isin(y, [a, b]).sum()
    X, y = load_iris(return_X_y=True, as_frame=True)
    with pytest.warns(ConvergenceWarning, match="classes 0 and 1 are completely separated along petal"):
        model = SoftmaxRegression(C=np.inf).fit(X[X.columns[::-1]], y)
    assert not model.converged_  # the infimum is not proven
    assert {(a, b) for a, b, *_ in model.separation_["pairs"].tolist()} == {(0, 1), (0, 2)}


def test_overlapping_classes_without_a_penalty_have_an_optimum():
    X, y = load_iris(return_X_y=True)
    model = SoftmaxRegression(C=np.inf).fit(X[50:], y[50:])
    assert model.converged_
    assert model.separation_ is None
