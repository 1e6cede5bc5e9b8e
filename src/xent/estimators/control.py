"""What may end a fit before its certificate: time, Ctrl-C and callbacks; and what a fit prints meanwhile."""

from __future__ import annotations

import functools
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from .._types import Float
from ..solvers import Progress, Result, Settings
from .sklearn import CallbackSupportMixin, callback_context


class Control:
    """One fit's clock, its interrupt, and the watchers of its iterations."""

    def __init__(
        self, max_time: float | None, verbose: int, watchers: list[Callable[[Progress], object]]
    ) -> None:
        self._end = None if max_time is None else time.monotonic() + max_time
        self._verbose, self._watchers = verbose, watchers
        self._interrupted = False

    def settings(self, tol: float, max_iter: int) -> Settings:
        watch = _line if self._verbose else None
        return Settings(tol, max_iter, report=self._iteration, stop=self._stop, watch=watch)

    def _iteration(self, progress: Progress) -> Result | None:
        answers = [watch(progress) for watch in self._watchers]
        return Result.STOPPED if any(answer is True for answer in answers) else None

    def _stop(self) -> Result | None:
        if self._interrupted:
            return Result.INTERRUPTED
        if self._end is not None and time.monotonic() >= self._end:
            return Result.MAX_TIME
        return None

    @contextmanager
    def interruptible(self) -> Iterator[None]:
        """The first Ctrl-C inside asks the solver to stop after its pass; a second one raises
        KeyboardInterrupt at once.

        This holds in the main thread, where signals arrive, and only where Python's own handler is in place.
        """
        mine = threading.current_thread() is threading.main_thread()
        if not mine or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
            yield
            return
        signal.signal(signal.SIGINT, self._on_interrupt)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, signal.default_int_handler)

    def _on_interrupt(self, *_: object) -> None:
        if self._interrupted:
            raise KeyboardInterrupt
        self._interrupted = True


def _line(progress: Progress) -> None:
    print(
        f"pass {progress.n_passes:4d}  objective {progress.objective:.10f}  "
        f"within {progress.suboptimality:.1e} nats of the optimum",
        flush=True,
    )


@contextmanager
def callbacks(
    estimator: CallbackSupportMixin,
    X: object,
    y: object,
    metadata: Mapping[str, object],
    attributes: Callable[[Float], dict[str, object]],
) -> Iterator[list[Callable[[Progress], object]]]:
    """scikit-learn's callbacks as watchers of the solver's iterations, each a subtask of the fit.

    `attributes` makes coef_ and intercept_ of θ, when a callback wants a fitted estimator.
    """
    # As in scikit-learn: an iteration begins where the last one ended; one that never ran closes the list.
    context = callback_context(estimator)
    if context is None:
        yield []
        return
    task = {"estimator": estimator, "X": X, "y": y, "metadata": metadata or None}
    context.call_on_fit_task_begin(**task)
    current: list[Any] = []
    made: Callable[[], dict[str, object]] | None = None

    def watch(progress: Progress) -> bool:
        nonlocal made
        made = functools.partial(attributes, progress.theta)
        stop = bool(current) and current.pop().call_on_fit_task_end(**task, reconstruction_attributes=made)
        current.append(context.subcontext(task_name="iteration"))
        current[-1].call_on_fit_task_begin(**task, reconstruction_attributes=made)
        return bool(stop)

    yield [watch]
    for unfinished in current:
        unfinished.call_on_fit_task_end(estimator=estimator)
    # The estimator itself is not fitted yet: what ends is the model of the last iteration.
    context.call_on_fit_task_end(**task, reconstruction_attributes=made)
