"""The checks, one after the other, against `xent.reference`.

Design
 a. A function of W and X is asked for logits z as f(z, I): its checks are then those of one of logits.
 b. Tolerances follow the coarsest dtype that is returned; what comes back as float64 must have its digits.
 c. −log p where p underflowed is ∞: noted, not failed, as courses teach it. NaN fails, and so does a number
    that is not the loss.
"""

from __future__ import annotations

import statistics
import time
import traceback
from collections.abc import Callable

import numpy as np

from .. import reference
from .given import failed, passed, skipped
from .gradient_checks import GradientChecks
from .report import Check, Report
from .subject import Refused, Subject


class Examiner(GradientChecks):
    """All checks of one subject; `run` makes the report. `begin` gets each check's name before it runs, and
    `where` finds the line of an error that is worth showing."""

    def __init__(
        self, subject: Subject, name: str, begin: Callable[[str], None], where: Callable[[BaseException], str]
    ) -> None:
        super().__init__(subject, name)
        self.begin, self.where = begin, where

    def run(self) -> Report:
        """All checks that concern the function, one after the other."""
        checks: list[tuple[str, Callable[[], Check]]] = [
            ("the same answer twice", self.twice),
            ("loss is cross-entropy", self.value),
            ("loss at zero is log K", self.at_zero),
            ("gradient is p − y", self.gradient),
            ("mean over the rows", self.mean),
            ("any N and K", self.sizes),
            ("shift of all logits", self.shift),
            ("large logits", self.large),
            ("far too confident", self.gap),
            ("gradient's rows sum to 0", self.sums),
        ]
        if self.subject.is_linear:
            checks.append(("dense layer: dW", self.layer))
            checks.append(("regulariser", self.regulariser))
        checks += [
            ("gradient of its own loss", self.differences),
            ("inputs left alone", self.damage),
            ("training reaches the optimum", self.training),
            ("speed", self.speed),
        ]
        for name, check in checks:
            self.begin(name)
            self.report.checks.append(self._guarded(name, check))
        return self.report

    def _guarded(self, name: str, check: Callable[[], Check]) -> Check:
        """A check's result; an error in it is a failure."""
        try:
            with np.errstate(all="ignore"):
                found = check()
        except Refused as error:
            found = failed(
                f"{error}", "", "no answer to check", "Return what the convention says, every time."
            )
        except (Exception, SystemExit) as error:
            found = failed(self._said(error), "an answer", "raised an error", "")
        found.name = name
        return found

    def damage(self) -> Check:
        """Arguments are as they were after all calls."""
        damaged = sorted(self.subject.damaged)
        if not damaged:
            return passed("arguments unchanged")
        return failed(
            f"{', '.join(damaged)} changed",
            "as they were",
            "changes its inputs",
            "-= and [...] = write into the caller's array: copy it first, or write z = z − max for z −= max.",
        )

    def training(self) -> Check:
        """L-BFGS with the function reaches the certified optimum."""
        if not self.subject.has_gradient:
            return skipped("it returns no gradient")
        if self.subject.shape is not None:
            return skipped("its gradient does not fit")
        from .training import distance

        gap = distance(self.subject, self.half)
        limit = {8: 1e-6, 4: 1e-3, 2: 0.1}[self.bytes]
        if gap <= limit:
            return passed(f"{max(gap, 0.0):.1e} nats above the certified optimum")
        known = self._named_before()
        return failed(
            f"{gap:.3g} nats above the certified optimum",
            f"below {limit:.0e}",
            *(
                known
                or (
                    "does not train to the optimum",
                    "The loss is convex: with its gradient any descent gets there.",
                )
            ),
        )

    def speed(self) -> Check:
        """The function's time, beside that of `xent.reference`."""
        rng = np.random.default_rng(3)
        X, W, y = rng.normal(size=(300, 20)), rng.normal(size=(20, 10)), rng.integers(0, 10, 300)
        z = X @ W
        run = (
            (lambda: self.subject.linear(W, X, y, 0.1))
            if self.subject.is_linear
            else (lambda: self.subject.loss(z, y))
        )
        loops, vectorised = (
            lambda f=f: f(W.T, X, y, 0.1) for f in (reference.softmax_loss_loops, reference.softmax_loss)
        )
        mine, slow, fast = (_median(f) for f in (run, loops, vectorised))
        self.report.pace = mine / fast
        return Check(
            "", "note", f"{mine / fast:.1f} × our vectorised form's time, {mine / slow:.2g} × our loops'"
        )


def _median(f: Callable[[], object]) -> float:
    """Seconds of three calls, in the middle."""
    times = []
    for _ in range(3):
        start = time.perf_counter()
        f()
        times.append(time.perf_counter() - start)
    return max(statistics.median(times), 1e-9)


def line_in(file: str) -> Callable[[BaseException], str]:
    """Finds where in a file an error was raised."""

    def where(error: BaseException) -> str:
        """Line and text, in brackets."""
        frames = reversed(traceback.extract_tb(error.__traceback__))
        at = next((frame for frame in frames if frame.filename == file), None)
        return "" if at is None else f"(line {at.lineno}: {at.line})"

    return where


def ready() -> None:
    """Load what the checks need, before a limit of memory is set."""
    from .. import estimators  # noqa: F401
    from . import training  # noqa: F401
