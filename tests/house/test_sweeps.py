"""The benchmark of sweeps: its F and KKT conditions against other truths, its parts on a little data."""

import argparse
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy.sparse import csr_array
from sklearn.datasets import load_breast_cancer, load_iris
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.preprocessing import StandardScaler

import xent
from benchmarks.sweeps import entrants, glmnet, l1, l2, problems, tables
from benchmarks.sweeps import run as sweeps
from benchmarks.sweeps.problems import Penalty

ROOT = Path(__file__).parents[2]


def standardised(loader):
    X, y = loader(return_X_y=True)
    return StandardScaler().fit_transform(X), y


@pytest.mark.parametrize("loader", [load_iris, load_breast_cancer])  # three classes, two
@pytest.mark.parametrize("l1_ratio", [0.0, 0.5, 1.0])
def test_the_outside_objective_and_kkt_agree_with_saga(loader, l1_ratio, rng):
    X, y = standardised(loader)
    data, penalty = (X, y), Penalty(0.05, l1_ratio)
    model = LogisticRegression(C=0.05, l1_ratio=l1_ratio, solver="saga", tol=1e-12, max_iter=100_000)
    W, b = model.fit(X, y).coef_, model.intercept_
    loss = log_loss(y, model.predict_proba(X))
    size = (1 - l1_ratio) / 2 * np.sum(W**2) + l1_ratio * np.sum(np.abs(W))
    assert problems.objective(data, penalty, W, b) == pytest.approx(loss + size / (0.05 * len(y)))
    assert problems.objective((csr_array(X), y), penalty, csr_array(W), b) == pytest.approx(
        loss + size / (0.05 * len(y))
    )
    assert problems.kkt(data, penalty, W, b) < 1e-8
    assert problems.kkt(data, penalty, W + 1e-3 * (W != 0), b) > 1e-5
    assert problems.kkt(data, penalty, W, b + 1e-3 * rng.standard_normal(len(b))) > 1e-5


@pytest.mark.parametrize("rows", [1, 3])
def test_the_outside_gradient_is_that_of_the_objective(rows, rng, monkeypatch):
    X, y = rng.standard_normal((30, 4)), np.arange(30) % max(rows, 2)
    W, b = rng.standard_normal((rows, 4)), rng.standard_normal(rows)
    monkeypatch.setattr(problems, "BLOCK", 50)  # several blocks
    G, g = problems.gradient((X, y), W, b)

    def F(W, b):
        return problems.objective((X, y), Penalty(np.inf), W, b)

    step = 1e-6
    for where in np.ndindex(W.shape):
        E = np.zeros_like(W)
        E[where] = step
        assert G[where] == pytest.approx((F(W + E, b) - F(W - E, b)) / (2 * step), abs=1e-8)
    for k in range(rows):
        e = step * (np.arange(rows) == k)
        assert g[k] == pytest.approx((F(W, b + e) - F(W, b - e)) / (2 * step), abs=1e-8)


@pytest.mark.parametrize("grouped", [False, True])
def test_at_the_largest_lambda_nothing_is_optimal(grouped):
    X, y = load_iris(return_X_y=True)
    data, zero, b = (X, y), np.zeros((3, 4)), np.zeros(3)  # classes of equal size
    largest = problems.largest_lambda(data, 0.5, grouped)
    for share, violated in ((1.001, False), (0.999, True)):
        penalty = Penalty(1 / (150 * share * largest), 0.5, grouped)
        assert (problems.kkt(data, penalty, zero, b) > 1e-12) == violated


def test_values_survive_their_file(tmp_path, rng):
    values = [(rng.standard_normal((3, 5)).astype(np.float32), rng.standard_normal(3)) for _ in range(4)]
    values[1] = (csr_array(values[1][0] * (values[1][0] > 0)), values[1][1])
    entrants.save(tmp_path / "values.npz", values)
    for (coef, intercept), (W, b) in zip(values, entrants.read(tmp_path / "values.npz"), strict=True):
        np.testing.assert_array_equal(problems.dense(coef), problems.dense(W))
        np.testing.assert_array_equal(intercept, b)


def needs_glmnet():
    if why := glmnet.missing():
        pytest.skip(why)


@pytest.mark.parametrize(("l1_ratio", "grouped"), l1.KINDS)
def test_paths_come_back_from_glmnet(l1_ratio, grouped, tmp_path):
    needs_glmnet()
    X, y = standardised(load_iris)
    first = problems.largest_lambda((X, y), l1_ratio, grouped)
    settings = {"alpha": l1_ratio, "grouped": grouped, "thresh": 1e-12}
    lambdas = [share * first for share in (1.01, 0.9, 0.5, 0.1)]
    for name, kind in (("dense", np.asarray), ("CSR", csr_array)):
        glmnet.write((kind(X), y), tmp_path / name)
        result = glmnet.path(tmp_path / name, tmp_path / "out", settings | {"lambdas": lambdas}, 30)
        assert result["lambdas"] == pytest.approx(lambdas)
        assert result["seconds"] >= 0
        for value, (W, b) in zip(lambdas, result["values"], strict=True):
            penalty = Penalty(1 / (150 * value), l1_ratio, grouped)
            assert problems.kkt((X, y), penalty, W, b) < 1e-4 * value
            assert (W.nnz > 0) == (value < first)
    if not grouped:  # which saga cannot
        model = LogisticRegression(C=penalty.C, l1_ratio=l1_ratio, solver="saga", tol=1e-12, max_iter=100_000)
        model.fit(X, y)
        peer = problems.objective((X, y), penalty, model.coef_, model.intercept_)
        F = problems.objective((X, y), penalty, W, b)
        assert pytest.approx(peer, abs=1e-9) == F
    settings = settings | {"thresh": 1e-7, "nlambda": 20}
    own = glmnet.path(tmp_path / "CSR", tmp_path / "out", settings, 30)["lambdas"]
    assert own[0] == pytest.approx(first)
    assert own[: len(own)] == pytest.approx(l1.own_values((X, y), l1_ratio, grouped, 20)[: len(own)])


def test_the_tolerance_compared_is_the_loosest_as_good():
    rungs = [{"tol": tol, "F": [1 + a, 2 + b]} for tol, a, b in ((1e-2, 3e-3, 0), (1e-3, 2e-4, 9e-4))]
    run = {"thresh": 1e-7, "F": [1.0, 2.001]}
    cell = {"glmnet": [run], "xent": rungs, "reference": {"F": [1.0, 2.0]}}
    assert l1.equal(cell, run) is rungs[1]
    assert l1.excess(cell, rungs[0]) == pytest.approx(3e-3)
    assert l1.equal(cell, {"killed": 1.0}) is None  # the default tolerance was not run


def test_sagas_iterations_are_searched():
    def rung(more, F, took=None):
        return {"max_iter": more, "F": F, "seconds": 0.1 * more, "said": {"n_iter": took or more}}

    trace = [rung(1, 3.0), rung(2, 2.0), rung(4, 1.0)]
    assert l1.iterations(trace, 10.0) == 8
    assert l1.iterations(trace, 0.8) == 6
    assert l1.iterations(trace, 0.4) == 0
    assert l1.iterations([*trace, rung(8, 0.5, 5)], 10.0) == 0  # it stopped by itself
    assert l1.between(trace, 1.5) == 3
    assert l1.between(trace, 0.5) == 0
    cell = {"dtype": "float64", "xent": [{"tol": 1e-2, "F": 0.9, "seconds": 0.1}], "saga": trace}
    level = l1.levels(cell, "saga")[-1]
    assert (level["level"], level["xent"]["tol"], level["peer"]["max_iter"]) == ("its best", 1e-2, 4)


@pytest.fixture
def bench(tmp_path):
    """A run of one round in which fits may take 2 seconds."""
    json_path = tmp_path / "sweeps.json"
    args = argparse.Namespace(rounds=1, limit=2.0, scale=1.0, json=json_path, problems=["digits"])
    return sweeps.Bench({"parts": {}}, args, tmp_path)


def test_a_sweep_is_compared(bench, monkeypatch, capsys):
    monkeypatch.setattr(l2, "CS", np.array([1e-4, 1e-2]))
    l2.ridge(bench, "digits")
    tables.show(bench.report)
    (cell,) = bench.report["parts"]["ridge"]
    star = tables.ridge_star(cell)
    assert max(l2.gaps(cell["path"]["F"], star)) <= l2.TARGET
    newton = cell["peers"]["newton-cg, warm_start"]
    assert max(l2.gaps([fit["F"] for fit in newton], star)) <= l2.TARGET
    assert "2 of 2" in capsys.readouterr().out
    before = json.dumps(bench.report)
    l2.ridge(bench, "digits")
    assert json.dumps(bench.report) == before  # nothing was left to do


def test_cross_validation_is_compared(bench, monkeypatch, capsys):
    if not hasattr(xent, "SoftmaxRegressionCV"):
        pytest.skip("xent has no SoftmaxRegressionCV yet")
    monkeypatch.setattr(l2, "CV_CS", np.array([1e-4, 1e-2]))
    l2.cv(bench, "digits")
    tables.show(bench.report)
    (cell,) = bench.report["parts"]["cv"]
    assert max(l2.gaps(cell["cv"]["F"], l2.cv_star(cell))) <= l2.TARGET
    assert "LogisticRegressionCV`, defaults" in capsys.readouterr().out


def test_saga_is_compared(bench, monkeypatch, capsys):
    monkeypatch.setattr(l1, "MULTIPLES", (3.0,))
    monkeypatch.setattr(l1, "L1_RATIOS", (0.5,))
    monkeypatch.setattr(l1, "LEVELS", (1e-3,))
    monkeypatch.setattr(l1, "TOLS", (1e-4, 1e-8))
    bench.limit = 0.5
    l1.sparse(bench)
    tables.show(bench.report)
    (cell,) = bench.report["parts"]["sparse"]
    assert l1.star(cell) == pytest.approx(cell["xent"][-1]["F"], abs=1e-9)
    assert cell["xent"][-1]["kkt"] < 1e-4
    assert "digits, r = 0.5" in capsys.readouterr().out


def test_glmnet_is_compared(bench, monkeypatch, capsys):
    needs_glmnet()
    monkeypatch.setattr(l1, "VALUES", 20)
    monkeypatch.setattr(l1, "THRESHOLDS", (1e-6, 1e-7))
    monkeypatch.setattr(l1, "REPEATS", 1)
    monkeypatch.setattr(l1, "KINDS", [(0.5, False)])
    l1.paths(bench)
    tables.show(bench.report)
    (cell,) = bench.report["parts"]["glmnet"]
    for run in cell["glmnet"]:
        rung = l1.equal(cell, run)
        assert l1.excess(cell, rung) <= l1.excess(cell, run)
        assert run["times"]
        assert rung["times"]
    assert "| digits, r = 0.5 | 1e-07 | 20 |" in capsys.readouterr().out


def test_tables_are_printed_of_a_run_that_was_interrupted(tmp_path, capsys):
    size = {"problem": "digits", "n": 9, "d": 2, "K": 3, "dtype": "float64"}
    ridge = size | {"Cs": [1.0, 2.0], "references": {"fits": [0.5, 0.4]}, "fit": {"times": [2.0]}}
    ridge["path"] = {"times": [6.0], "F": [0.5 + 1e-7, 0.4], "said": {"suboptimality": [2e-7, None]}}
    saga = {"max_iter": 1, "seconds": 4.0, "F": 0.2, "kkt": 0.1, "nonzero": 3, "said": {"n_iter": 1}}
    own = {"tol": 1e-2, "seconds": 0.5, "F": 0.1, "kkt": 0.01, "nonzero": 2}
    sparse = size | {"l1_ratio": 1.0, "multiple": 3.0, "xent": [own], "saga": [saga]}
    path = size | {"l1_ratio": 1.0, "grouped": True, "lambdas": [1.0], "reference": {"killed": 9.0}}
    path |= {"glmnet": [{"thresh": 1e-7, "killed": 9.0}], "xent": [{"tol": 1e-2, "killed": 9.0}]}
    begun = size | {"l1_ratio": 0.5, "grouped": True}
    parts = {"ridge": [ridge], "cv": [size | {"peers": {}}], "sparse": [sparse], "glmnet": [path, begun]}
    tables.show({"parts": parts})
    out = capsys.readouterr().out
    assert "| **xent** `softmax_path` | 3 | 3 to 3 | 2 of 2 | 1.0e-07 | ≤ inf, all hold | 1 |" in out
    assert "| digits, r = 1 | 3 | saga | > 8 | > 8 | > 8 | 8 | 1.0e-01 at the limit | 0 |" in out
    assert "| digits, r = 1, grouped | 1e-07 | 1 | both > limit |" in out


def test_the_command_says_what_it_knows():
    command = [sys.executable, "-m", "benchmarks.sweeps", "--parts", "none"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 2
    assert "ridge" in done.stderr
