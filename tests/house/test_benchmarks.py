"""The benchmarks run, and what they report makes sense; their figures at this size mean nothing."""

import json
import math
import os
import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_wine
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss

from benchmarks import before

ROOT = Path(__file__).parents[2]
ENTRANTS = {"xent", "scikit-learn", "PyTorch", "PyTorch compiled", "read"}


def test_passes_reports_every_entrant(tmp_path):
    out = tmp_path / "passes.json"
    command = [sys.executable, "-m", "benchmarks.passes", "--scale", "0.002", "--rounds", "1"]
    done = subprocess.run(
        [*command, "--only", "1000000x30 K=2 float32", "--json", out, "--plot", tmp_path / "passes.svg"],
        cwd=ROOT,
        env=os.environ | {"TORCH_COMPILE_DISABLE": "1"},  # compiling takes half a minute; eager instead
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "best peer / xent" in done.stdout
    assert (tmp_path / "passes.svg").stat().st_size > 1000
    assert (tmp_path / "passes.png").stat().st_size > 1000

    report = json.loads(out.read_text())
    assert report["machine"]["threads"] >= 1
    assert all(report["peaks"][what]["rate"] > 0 for what in ("float32", "float64", "read"))
    (cell,) = report["cells"]
    assert (cell["n"], cell["d"], cell["K"]) == (2000, 30, 2)
    assert cell["limit_seconds"] > 0
    assert set(cell["entrants"]) == ENTRANTS
    for name, entry in cell["entrants"].items():
        assert "unsupported" not in entry, entry
        assert len(entry["times"]) == 1
        assert 0 < entry["over_limit"] < math.inf
        if name != "read":
            assert entry["grad_error"] < 1e-4
            assert entry["loss_error"] < 1e-4
            assert 0 <= entry.get("extra_bytes", 0) < 64 << 20  # absent but on Linux
    assert 0 < cell["best_peer_over_xent"] < math.inf
    assert [(entry["method"], entry["n"]) for entry in cell["prediction"]] == [
        (method, n) for n in (1, 1000, 2000) for method in ("decision_function", "predict", "predict_proba")
    ]
    assert all(0 < entry[name] < 10 for entry in cell["prediction"] for name in ("xent", "scikit-learn"))
    assert "prediction: scikit-learn's time / xent's" in done.stdout


def test_race_reports_gaps_times_and_memory(tmp_path):
    out = tmp_path / "race.json"
    command = [sys.executable, "-m", "benchmarks.race", "--scale", "0.01", "--rounds", "1", "--limit", "5"]
    command += ["--problems", "wine C=0.01,text-like", "--entrants", "xent,newton-cholesky"]
    run = partial(subprocess.run, cwd=ROOT, capture_output=True, text=True)
    done = run([*command, "--json", out, "--plot", tmp_path / "race.svg"])
    assert done.returncode == 0, done.stderr
    assert "best peer / xent" in done.stdout
    assert (tmp_path / "race.svg").stat().st_size > 1000
    assert (tmp_path / "race.png").stat().st_size > 1000

    report = json.loads(out.read_text())
    wine, text = report["problems"]
    assert (wine["n"], wine["d"], wine["K"], text["layout"]) == (178, 13, 3, "CSR")
    peer = wine["entrants"]["newton-cholesky"]
    assert "GiB" in text["entrants"]["newton-cholesky"]["stopped"]
    for cell, entry in ((wine, wine["entrants"]["xent"]), (wine, peer), (text, text["entrants"]["xent"])):
        assert 0 <= entry["chosen"]["gap"] <= report["target"]
        assert 0 < cell["best"] < 10
        assert len(entry["times"]) == 1
        assert 0 < entry["over_xent"] < math.inf
        assert 0 <= (entry["extra_bytes"] or 0) < 1 << 30  # None but on Linux
    # F in nats is what scikit-learn's optimum says it is, computed its own way
    X, y = load_wine(return_X_y=True)
    model = LogisticRegression(C=0.01, solver="newton-cholesky", tol=1e-10, max_iter=1000).fit(X, y)
    F = log_loss(y, model.predict_proba(X)) + np.sum(model.coef_**2) / (2 * 0.01 * len(y))
    assert abs(wine["best"] - F) < 1e-9

    again = run([*command, "--json", out, "--resume"])
    assert again.returncode == 0, again.stderr
    assert json.loads(out.read_text())["problems"] == report["problems"]  # nothing was left to do


def test_ordinary_reports_every_cell(tmp_path):
    out = tmp_path / "ordinary.json"
    command = [sys.executable, "-m", "benchmarks.ordinary", "--parts", "fit,predict", "--most", "1000"]
    done = subprocess.run(
        [*command, "--rounds", "1", "--json", out], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    cells = json.loads(out.read_text())["cells"]
    assert len(cells) == 9 + 9 + 6
    for cell in cells:
        assert cell["ratio"] == cell["peer_ms"] / cell["ours_ms"] > 0
        if cell["worse_by"] is not None:
            assert cell["worse_by"] < 1e-6  # certified to that, whatever the peer reached


def test_what_is_timed_against_another_commit(tmp_path):
    """One pass and one fit, as `make before` asks each build for them."""
    sums = before.job("pass 200000x512 K=2 float16", tmp_path)()
    assert math.isclose(sums.loss / sums.weight, math.log(2), rel_tol=0.1)
    assert before.job("fit iris C=1", tmp_path)().suboptimality_ <= 1e-6
    assert len(before.names()) == len({*before.names()}) > 30


def test_a_commit_that_is_not_there_is_one_line():
    with pytest.raises(SystemExit, match=r"^before: cannot find a commit 'v9\.9\.9' in [^\n]+$"):
        before.sha_of("v9.9.9")
