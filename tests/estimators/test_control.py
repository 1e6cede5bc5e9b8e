"""What ends or watches a fit: time, callbacks, Ctrl-C, errors; and what is left of the estimator after it."""

import copy
import itertools
import re
import signal
import subprocess
import sys
import textwrap
import threading
import time
import types
import warnings

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_array_equal
from sklearn.base import clone
from sklearn.datasets import load_digits, load_iris
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import log_loss
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from xent import SoftmaxRegression

WHY = "scikit-learn has callbacks from 1.9 on, and most tests here watch fits through them"
callback = pytest.importorskip("sklearn.callback", reason=WHY)
IRIS = load_iris(return_X_y=True)


class Watch:
    """A callback that notes what it is told, and at the end of each task answers what `act` does."""

    def __init__(self, act=lambda context, fitted: None):
        self.act, self.log = act, []

    def setup(self, estimator, context):
        self.log.append(("setup", context.task_name))

    def teardown(self, estimator, context):
        self.log.append(("teardown", context.task_name))

    def on_fit_task_begin(self, estimator, context):
        self.log.append(("begin", context.task_name))

    def on_fit_task_end(self, estimator, context, *, X=None, y=None, metadata=None, fitted_estimator=None):
        self.log.append(("end", context.task_name, X, y, metadata, fitted_estimator))
        return self.act(context, fitted_estimator)


def logged(monitor):
    """The log, once the listener's thread has taken in every message."""
    for _ in range(100):
        data = monitor.get_logs().data if monitor._log else []
        time.sleep(0.05)
        if data and len(monitor.get_logs().data) == len(data):
            return data
    raise AssertionError("no log")


@pytest.mark.parametrize("solver", ["lbfgs", "newton"])
@pytest.mark.parametrize("K", [2, 3])
def test_a_scoring_monitor_sees_every_iteration(solver, K):
    X, y = (a[IRIS[1] < K] for a in IRIS)
    monitor = callback.ScoringMonitor(scoring="neg_log_loss")
    model = SoftmaxRegression(solver=solver).set_callbacks(monitor).fit(X, y)
    log = logged(monitor)
    steps = [entry for entry in log if entry["task_name"] == "iteration"]
    assert [entry["task_id"] for entry in steps] == list(range(model.n_iter_[0]))
    final = -log_loss(y, model.predict_proba(X))
    assert steps[-1]["neg_log_loss"] == pytest.approx(final, rel=1e-12)
    assert steps[0]["neg_log_loss"] < final - 1e-4
    (whole,) = [entry for entry in log if entry["task_name"] == "fit"]
    assert whole["neg_log_loss"] == pytest.approx(final, rel=1e-12)
    # A second fit is not scored by the first one's coefficients.
    model.set_params(C=1e-3).fit(X, y)
    (whole,) = [entry for entry in logged(monitor) if entry["task_name"] == "fit"]
    assert whole["neg_log_loss"] == pytest.approx(-log_loss(y, model.predict_proba(X)), rel=1e-12)


def test_callbacks_are_told_in_order_and_given_what_fit_was():
    X, y = IRIS
    s, o, watch = np.linspace(1, 2, 150), np.zeros((150, 3)), Watch()
    model = SoftmaxRegression(solver="newton").set_callbacks(watch).fit(X, y, s, o)
    names = [entry[:2] for entry in watch.log]
    n = model.n_iter_[0]
    step = [("begin", "iteration"), ("end", "iteration")]
    assert names == [("setup", "fit"), ("begin", "fit"), *(n + 1) * step, ("end", "fit"), ("teardown", "fit")]
    ends = [entry for entry in watch.log if entry[0] == "end"]
    for _, _, X_seen, y_seen, metadata, fitted in [*ends[:n], ends[-1]]:
        assert_array_equal(X_seen, X)
        assert_array_equal(y_seen, y)
        assert metadata["sample_weight"] is s
        assert "offset" not in metadata  # scikit-learn would hand it to scorers, which know none
        assert fitted.predict_proba(X).shape == (150, 3)
        assert fitted is not model
    assert_array_equal(ends[-1][-1].coef_, model.coef_)
    assert ends[n][-1] is None  # the iteration that never ran
    assert not hasattr(model, "_callback_fit_ctx")
    plain = SoftmaxRegression(solver="newton").fit(X, y, s, o)
    assert_array_equal(model.coef_, plain.coef_)


def test_a_progress_bar_runs(capsys):
    pytest.importorskip("rich")
    X, y = load_digits(return_X_y=True)
    model = SoftmaxRegression(max_iter=200).set_callbacks(callback.ProgressBar()).fit(X, y)
    assert model.converged_
    assert "SoftmaxRegression - fit" in capsys.readouterr().out


@pytest.mark.parametrize("solver", ["lbfgs", "newton"])
def test_a_callback_stops_the_fit(solver):
    X, y = load_digits(return_X_y=True)
    watch = Watch(lambda context, fitted: context.task_name == "iteration" and context.task_id == 2)
    model = SoftmaxRegression(solver=solver).set_callbacks(watch)
    with pytest.warns(ConvergenceWarning, match="a callback asked to stop"):
        model.fit(X, y)
    assert model.n_iter_[0] == 3
    assert not model.converged_
    with pytest.warns(ConvergenceWarning, match="increase max_iter"):
        limited = SoftmaxRegression(solver=solver, max_iter=3).fit(X, y)
    assert_array_equal(model.coef_, limited.coef_)
    assert model.suboptimality_ > 1e-6


def test_callbacks_in_pipelines_and_searches():
    X, y = IRIS
    monitor = callback.ScoringMonitor(scoring="neg_log_loss")
    pipe = make_pipeline(StandardScaler(), SoftmaxRegression().set_callbacks(monitor)).fit(X, y)
    steps = [entry for entry in logged(monitor) if entry["task_name"] == "iteration"]
    assert len(steps) == pipe[-1].n_iter_[0]
    assert steps[-1]["neg_log_loss"] == pytest.approx(-log_loss(y, pipe.predict_proba(X)), rel=1e-12)
    watch = Watch()
    grid = GridSearchCV(SoftmaxRegression().set_callbacks(watch), {"C": [0.1, 1.0]}, cv=3).fit(X, y)
    assert grid.best_score_ > 0.9
    assert [entry[0] for entry in watch.log].count("setup") == 2 * 3 + 1


def test_a_clone_keeps_the_callbacks_as_scikit_learns_do():
    watch = Watch()
    copied = clone(SoftmaxRegression(C=3).set_callbacks(watch))
    assert copied.C == 3
    assert len(copied._skl_callbacks) == 1
    assert isinstance(copied._skl_callbacks[0], Watch)
    with pytest.raises(TypeError, match="FitCallback"):
        copied.set_callbacks(print)


@pytest.mark.parametrize("solver", ["lbfgs", "newton"])
def test_max_time_ends_the_fit_at_the_next_iteration(monkeypatch, solver):
    """By a clock that goes on by a second at each look: at the start, and then once an iteration."""
    X, y = load_digits(return_X_y=True)
    clock = types.SimpleNamespace(monotonic=itertools.count().__next__)
    monkeypatch.setattr("xent.estimators.control.time", clock)
    with pytest.warns(ConvergenceWarning, match="max_time has passed; increase it"):
        model = SoftmaxRegression(max_time=4.5, solver=solver).fit(X, y)
    assert model.n_iter_[0] == 4
    assert not model.converged_
    assert model.suboptimality_ > 1e-6
    assert SoftmaxRegression(max_time=1e6, solver=solver).fit(X, y).converged_


@pytest.mark.parametrize("solver", ["lbfgs", "newton"])
def test_max_time_is_in_seconds(solver):
    """Rows enough for a start from subsets, a tol that rounding does not let it reach."""
    rng = np.random.default_rng(5)
    X, y = rng.normal(size=(60_000, 20)) * 10.0 ** np.linspace(-2, 2, 20), rng.integers(0, 5, 60_000)
    start = time.monotonic()
    with pytest.warns(ConvergenceWarning, match="max_time has passed"):
        model = SoftmaxRegression(max_time=1e-3, solver=solver, tol=1e-17).fit(X, y)
    assert time.monotonic() - start < 10
    assert model.n_iter_[0] == 1
    assert not model.converged_
    assert 0 < model.suboptimality_ < np.inf


@pytest.mark.parametrize("solver", ["lbfgs", "newton"])
def test_verbose_prints_a_line_a_pass(capsys, solver):
    X, y = load_digits(return_X_y=True)
    SoftmaxRegression(solver=solver).fit(X, y)
    assert capsys.readouterr().out == ""
    model = SoftmaxRegression(solver=solver, verbose=1).fit(X, y)
    lines = capsys.readouterr().out.splitlines()
    pattern = r"pass +(\d+)  objective (\d+\.\d{10})  within (\S+) nats of the optimum"
    found = [re.fullmatch(pattern, line).groups() for line in lines]
    passes = [int(number) for number, _, _ in found]
    assert passes == sorted(set(passes))
    assert model.n_iter_[0] < len(lines) <= model.n_passes_
    assert passes[-1] <= model.n_passes_
    assert float(found[-1][1]) == pytest.approx(model.objective_, abs=1e-6)


CHILD = """
    import os, signal, sys, warnings
    import numpy as np
    from xent import SoftmaxRegression
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
    rng = np.random.default_rng(5)
    X, y = rng.normal(size=(2000, 10)) * 10.0 ** np.linspace(-2, 2, 10), rng.integers(0, 5, 2000)
    model = SoftmaxRegression(solver=sys.argv[1], tol=1e-17)
    arrived, arrival = os.pipe()
    os.set_blocking(arrival, False)
    signal.set_wakeup_fd(arrival)
    class Wait:
        def setup(self, estimator, context): pass
        def teardown(self, estimator, context): pass
        def on_fit_task_end(self, estimator, context): pass
        def on_fit_task_begin(self, estimator, context):
            if context.task_name == "iteration" and context.task_id == 2:
                for _ in range(int(sys.argv[2])):
                    print("ready", flush=True)
                    os.read(arrived, 1)
    model.fit(X[:500], y[:500])
    before = {name: str(value) for name, value in vars(model).items()}
    model.set_callbacks(Wait())
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            model.fit(X, y)
            print("fitted", model.converged_, model.n_iter_[0], "interrupted" in str(caught[-1].message))
        except KeyboardInterrupt:
            model.set_callbacks()
            print("raised", before == {name: str(value) for name, value in vars(model).items()})
    print(signal.getsignal(signal.SIGINT) is signal.default_int_handler, flush=True)
"""


def interrupted_child(solver, signals):
    """What a child prints that gets so many SIGINTs in its third iteration, each when it waits for one."""
    command = [sys.executable, "-W", "ignore", "-c", textwrap.dedent(CHILD), solver, str(signals)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    for _ in range(signals):
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=300)
    assert process.returncode == 0
    return out.splitlines()


@pytest.mark.parametrize("solver", ["lbfgs", "newton"])
def test_the_first_ctrl_c_ends_the_fit_with_what_there_is(solver):
    first, handler = interrupted_child(solver, signals=1)
    word, converged, n_iter, said = first.split()
    assert (word, converged, said) == ("fitted", "False", "True")
    assert int(n_iter) == 3  # the iteration at hand, and no more
    assert handler == "True"


@pytest.mark.parametrize("solver", ["lbfgs", "newton"])
def test_the_second_ctrl_c_leaves_the_estimator_as_it_was(solver):
    assert interrupted_child(solver, signals=2) == ["raised True", "True"]


def during_fit(look, **params):
    """What `look` returned in the first iteration of a fit."""
    seen = []
    watch = Watch(lambda context, fitted: seen.append(look()))
    SoftmaxRegression(**params).set_callbacks(watch).fit(*IRIS)
    return seen[0]


def test_the_handler_of_sigint_is_put_in_place_and_taken_away():
    def handler():
        return signal.getsignal(signal.SIGINT)

    before = handler()
    try:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        assert during_fit(handler) is not signal.default_int_handler
        assert handler() is signal.default_int_handler

        def fail(context, fitted):
            raise RuntimeError("no")

        with pytest.raises(RuntimeError, match="no"):
            SoftmaxRegression().set_callbacks(Watch(fail)).fit(*IRIS)
        assert handler() is signal.default_int_handler

        def press(context, fitted, times=1):
            if context.task_name == "iteration" and context.task_id == 0:
                for _ in range(times):
                    signal.raise_signal(signal.SIGINT)

        watch = Watch(press)
        with pytest.raises(KeyboardInterrupt):
            SoftmaxRegression().set_callbacks(Watch(lambda *task: press(*task, times=2))).fit(*IRIS)
        assert handler() is signal.default_int_handler
        with pytest.warns(ConvergenceWarning, match="interrupted; fit again with warm_start=True"):
            model = SoftmaxRegression(solver="lbfgs", tol=1e-12).set_callbacks(watch).fit(*IRIS)
        assert handler() is signal.default_int_handler
        assert model.n_iter_[0] == 2  # asked at the end of the first, noticed at the end of the second

        def mine(*_):
            pass

        signal.signal(signal.SIGINT, mine)  # somebody else's stays
        assert during_fit(handler) is mine
        assert handler() is mine
    finally:
        signal.signal(signal.SIGINT, before)


def test_other_threads_leave_signals_alone():
    found = []
    before = signal.getsignal(signal.SIGINT)
    look = threading.Thread(target=lambda: found.append(during_fit(lambda: signal.getsignal(signal.SIGINT))))
    look.start()
    look.join()
    assert found == [before]


def failing_fits():
    X, y = IRIS
    hole = X[:, :3].copy()
    hole[3, 1] = np.nan
    frame = pd.DataFrame(hole, columns=list("pqr"))

    def fail(context, fitted):
        if context.task_name == "iteration" and context.task_id == 1:
            raise RuntimeError("callback")

    def teardown(*_, **__):
        raise RuntimeError("teardown")

    broken = Watch()
    broken.teardown = teardown
    return {
        "NaN": (ValueError, {}, [], (frame, y)),
        "one class": (ValueError, {}, [], (X[:, :2], np.zeros(150))),
        "soft rows": (ValueError, {}, [], (X[:, :2], np.ones((150, 4)))),
        "offset": (ValueError, {}, [], (X[:, :2], y, None, np.zeros(3))),
        "parameter": (ValueError, {"tol": -1}, [], (X[:, :2], y)),
        "factors": (ValueError, {"feature_penalty_factor": [1]}, [], (X[:, :2], y)),
        "no Hessian": (ValueError, {"solver": "newton"}, [], (np.tile(X, 400), y)),
        "callback": (RuntimeError, {}, [Watch(fail)], (X[:, :2], y)),
        "teardown": (RuntimeError, {}, [broken], (X[:, :2], y)),
        "warning": (ConvergenceWarning, {"max_iter": 1}, [], (X[:, :2], y)),
    }


@pytest.mark.parametrize("case", failing_fits())
def test_a_fit_that_raises_leaves_the_estimator_as_it_was(case):
    error, params, watchers, arguments = failing_fits()[case]
    X, y = IRIS
    model = SoftmaxRegression().fit(pd.DataFrame(X, columns=list("abcd")), np.array(list("xyz"))[y])
    fresh = SoftmaxRegression()
    for estimator in (model, fresh):
        estimator.set_params(**params).set_callbacks(*watchers)
        before = copy.deepcopy({k: v for k, v in vars(estimator).items() if k != "_skl_callbacks"})
        with warnings.catch_warnings():
            warnings.simplefilter("error", ConvergenceWarning)
            with pytest.raises(error):
                estimator.fit(*arguments)
        after = {k: v for k, v in vars(estimator).items() if k != "_skl_callbacks"}
        assert after.keys() == before.keys()
        for name, value in before.items():
            if isinstance(value, dict):
                for key in value:
                    assert_array_equal(after[name][key], value[key])
            else:
                assert_array_equal(after[name], value)
    assert model.n_features_in_ == 4
    assert_array_equal(model.feature_names_in_, list("abcd"))
    assert not hasattr(fresh, "n_features_in_")
