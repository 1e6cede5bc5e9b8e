"""The race: every entrant solves one and the same problem, data are what they say, and so are the sums."""

import math
import warnings

import cvxpy
import numpy as np
import pytest
from scipy.sparse import csr_array

from benchmarks.race import problems, tables
from benchmarks.race.entrants import ENTRANTS, PEERS, Unsupported
from benchmarks.race.problems import Problem
from benchmarks.race.run import Runner

NAMED = {problem.name: problem for problem in problems.PROBLEMS}
STAND_IN = {1.0: "wine C=1", math.inf: "no penalty"}  # the processes of the race know their C by these names


def overlapping(K, kind):
    """90 rows in classes that overlap, so that C may be infinite, in numbers that float16 has, too."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((90, 3)).astype(np.float16)
    y = np.argmax(X @ rng.normal(size=(3, K)) + 2 * rng.gumbel(size=(90, K)), axis=1)
    if kind == "CSR":
        return csr_array(np.where(X > -0.5, X, 0).astype(np.float64)), y
    return X.astype(kind), y


def optimum(X, y, C):
    """F* of the definition, by a conic solver."""
    n, K, d = len(y), int(y.max()) + 1, X.shape[1]
    W, b = cvxpy.Variable((d, K)), cvxpy.Variable((1, K))
    Z = (X.toarray() if hasattr(X, "tocsr") else X).astype(np.float64) @ W + np.ones((n, 1)) @ b
    held = [W[:, 0] == 0] if K == 2 else []  # two classes have one logit
    held.append(b[:, 0] == 0)
    loss = cvxpy.sum(cvxpy.log_sum_exp(Z, axis=1)) - cvxpy.sum(cvxpy.multiply(np.eye(K)[y], Z))
    penalty = 0 if math.isinf(C) else cvxpy.sum_squares(W) / (2 * C)
    problem = cvxpy.Problem(cvxpy.Minimize((loss + penalty) / n), held)
    accuracy = dict.fromkeys(("tol_gap_abs", "tol_gap_rel", "tol_feas"), 1e-10)
    return problem.solve(solver="CLARABEL", **accuracy)


def fitted(name, data, C, tol, cache):
    """Coefficients: from this process, or one of the race's for another Python or a peer that may end it."""
    entrant, (X, y) = ENTRANTS[name], data
    if entrant.python is None and not ("cyanure" in name and hasattr(X, "tocsr")):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return entrant.fit(entrant.taken(X), y, C, tol, 10**6)[:2]
    assert NAMED[STAND_IN[C]].C == C
    problems.load(Problem(STAND_IN[C], C, lambda scale: data), 1.0, cache)
    with Runner(NAMED[STAND_IN[C]], name, 1.0, cache) as runner:
        answer = runner.fit(tol, 1, 60.0)
    if "coef" not in answer:
        raise Unsupported(answer)
    return answer["coef"], answer["intercept"]


def cases(name):
    """(K, C, kind) that an entrant must solve; few where each takes seconds to start."""
    if ENTRANTS[name].python is not None:
        return [(2, 1.0, "CSR"), (3, 1.0, "float64"), (3, math.inf, "float16")]
    dense = [(K, C, kind) for K in (2, 3) for C in STAND_IN for kind in ("float64", "float16")]
    sparse = [(2, 1.0, "CSR"), (3, 1.0, "CSR")]
    if name == "MNLogit":
        return [case for case in dense if case[1] == math.inf]
    if name == "sklearnex":
        return dense
    # on CSR of three classes and more qning-svrg divides by zero in its own code, which ends the process
    return dense + (sparse[:1] if name == "cyanure qning-svrg" else sparse)


@pytest.mark.parametrize("name", ENTRANTS)
def test_every_entrant_solves_the_same_problem(name, tmp_path):
    if missing := ENTRANTS[name].missing():
        pytest.skip(f"{name}: {missing} is not installed; `make race` installs it")
    tols = ENTRANTS[name].tols
    for K, C, kind in cases(name):
        X, y = overlapping(K, kind)
        cache = tmp_path / f"{K} {C} {kind}"
        cache.mkdir()
        W, b = fitted(name, (X, y), C, tols[min(6, len(tols) - 1)], cache)
        F = problems.objective(X, y, C, np.atleast_2d(W), np.atleast_1d(b))
        assert F == pytest.approx(optimum(X, y, C), abs=2e-6), (K, C, kind)


def test_what_a_peer_cannot_do_it_says():
    for name, C, kind in (
        ("MNLogit", 1.0, "float64"),
        ("MNLogit", math.inf, "CSR"),
        ("sklearnex", 1.0, "CSR"),
    ):
        with pytest.raises(Unsupported, match=r"penalty|CSR"):
            ENTRANTS[name].fit(*overlapping(3, kind), C, 1e-3, 10)


def test_only_xent_computes_in_float16():
    X = overlapping(3, "float16")[0]
    for name, entrant in ENTRANTS.items():
        assert entrant.taken(X).dtype == ("float32" if name in PEERS else "float16")
        np.testing.assert_array_equal(entrant.taken(X), X)


def test_the_probes_span_what_was_asked():
    made = {name: problem.make for name, problem in NAMED.items()}
    probes = {
        name: make.args for name, make in made.items() if getattr(make, "func", 0) is problems.embeddings
    }
    n, d, K, power, noise, dtype = (set(values) for values in zip(*probes.values(), strict=True))
    for values, ends in ((n, (5000, 60_000)), (d, (128, 1024)), (K, (20, 1000)), (power, (0, 0.7))):
        assert (min(values), max(values)) == ends
    assert min(noise) < 1 < 2.5 < max(noise)
    assert dtype == {"float32", "float16"}
    assert probes["probe k^-0.7 noise 2.5"] == (20_000, 384, 100, 0.7, 2.5, "float32")
    for name, (*_, power, noise, dtype) in probes.items():
        assert name.startswith(f"probe {'flat' if power == 0 else 'k^-0.7'} noise {noise:g}")
        assert ("float16" in name) == (dtype == "float16")


@pytest.mark.parametrize("power", [0.0, 0.7])
def test_spectrum_and_noise_of_a_probe(power):
    X, y = problems.embeddings(20_000, 8, 400, power, 2.5, "float32", 1.0)
    assert X.dtype == np.float32
    X = X.astype(np.float64)
    means = np.array([X[y == k].mean(axis=0) for k in range(400)])
    spectrum = np.arange(1, 9) ** (-2 * power)
    values, basis = np.linalg.eigh(np.cov((X - means[y]).T))
    assert values[::-1] == pytest.approx(2.5**2 * spectrum, rel=0.1)
    if power:
        assert np.abs(basis).max(axis=0).min() < 0.95  # turned: axes are not features
        assert np.var(means @ basis, axis=0)[::-1] == pytest.approx((1 + 2.5**2 / 50) * spectrum, rel=0.25)
    np.testing.assert_array_equal(X, problems.embeddings(20_000, 8, 400, power, 2.5, "float32", 1.0)[0])


@pytest.mark.parametrize("name", ["wide K=2", "wide K=5 C=1e-06"])
def test_wide_tables_are_like_gisette(name):
    X, y = NAMED[name].make(0.2)
    assert len(X) < X.shape[1] == 5000
    assert len(np.unique(y)) == int(name[7])
    np.testing.assert_array_equal(X, np.rint(X))
    assert (X.min(), X.max()) == (0, 999)
    assert 0.1 < np.mean(X != 0) < 0.25
    assert np.mean(np.abs(np.corrcoef(X[:, :200].T))) > 0.1  # 0.05 if they were independent


def test_without_a_penalty_there_is_an_optimum():
    X, y = NAMED["no penalty"].make(0.01)
    W, b, said = ENTRANTS["xent"].fit(X, y, math.inf, 1e-6, 1000)
    assert said["suboptimality"] <= 1e-6
    assert 0.3 < problems.objective(X, y, math.inf, W, b) < math.log(4)


def cell(name, xent, default, **peers):
    """Of one problem: seconds of those that got there; (seconds, key) of the last rung of the others."""
    entrants = {}
    for entrant, took in {"xent": xent, "xent, default tol": default, **peers}.items():
        if isinstance(took, tuple):
            entrants[entrant] = {"rungs": [{took[1]: took[0]}]}
        else:
            entrants[entrant] = {"rungs": [{"seconds": took}], "seconds": took, "chosen": {"tol": 1}}
    return {"name": name, "entrants": entrants}


def test_the_summary_compares_the_best_peer_at_both_tolerances():
    cells = [
        cell("a", 1.0, 2.0, lbfgs=3.0, saga=9.0),
        cell("b", 2.0, 8.0, lbfgs=6.0),
        cell("c", 5.0, 10.0, lbfgs=(20.0, "killed"), saga=(30.0, "killed"), PyTorch=(0.1, "seconds")),
        cell("d", (1.0, "seconds"), 0.5, lbfgs=(20.0, "killed"), saga=5.0),
        cell("e", 0.01, 0.01, lbfgs=(0.5, "seconds"), PyTorch=(0.2, "seconds")),
    ]
    found = tables.summary(cells)
    assert found["best peer / xent, all problems"] == {
        "problems": 4,
        "lower_bounds": 2,
        "geometric_mean": pytest.approx((3 * 3 * 4 * 20) ** 0.25),
        "worst": 3.0,
        "worst_is_bound": False,
        "worst_problem": "a",
        "below_1": [],
    }
    default = found["best peer / xent, default tol, all problems"]
    assert default["geometric_mean"] == pytest.approx((1.5 * 0.75 * 2 * 10 * 20) ** 0.2)
    assert (default["worst"], default["worst_problem"], default["below_1"]) == (0.75, "b", ["b"])
    assert default["lower_bounds"] == 2
    assert found["best peer / xent, over 20 ms"]["problems"] == 3
    assert found["xent did not get there"] == ["d"]
    assert found["no peer got there"] == ["c", "e"]
    lowest = tables.over(cells[2:3], tables.best_over)
    assert (lowest["worst"], lowest["worst_is_bound"]) == (4.0, True)
    assert tables.best_of(cells[2], "xent") == "> 4"
    assert tables.best_of(cells[1], "xent, default tol") == "0.75 lbfgs"
    assert "xent did not get there: d" in tables._sentences(found)
