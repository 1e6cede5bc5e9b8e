"""What the checks share: the subject, its arguments, tolerances, and names of what is wrong."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from .._types import Float, Index
from .mistakes import Blame, Rows, name_gradient, name_loss
from .report import Check, Report
from .subject import CONVENTIONS, Answer, Subject

DIGITS = {8: 1e-11, 4: 2e-5, 2: 2e-2}  # relative, by the bytes of a float
BEST_STEP = {8: 1e-6, 4: 1e-2, 2: 0.7}  # the same, of the V-curve at its lowest
FLOOR = {8: 1e-3, 4: 1e-2, 2: 0.3}  # of a loss, below which log p of p near 1 has no such digits
LOST = {8: 1e-5, 4: 1e-2, 2: 0.1}  # relative, where the logits are so large that digits are lost
BIG = {8: 1e4, 4: 1e4, 2: 30.0}  # logits; of float16 less, whose squares overflow
OTHER: Blame = (
    "not the cross-entropy",
    "L = (1/N) Σ_i (log Σ_k exp z_ik − z_i,label); compare row by row with xent.reference.cross_entropy.",
)
_NO_NUMBER: Blame = (
    "the loss is no number",
    "A logarithm of something negative, 0/0 or ∞ − ∞: look at each step of one row.",
)
NO_SHIFT = (
    "no shift by the maximum",
    "exp overflows (float64 above 709, float32 88, float16 11), or all of a row underflow: subtract each "
    "row's largest logit first.",
)
CUT_OFF = (
    "something added inside the logarithm",
    "log(p + ε), a clipped p or clipped logits are another loss, and its gradient is no longer p − y.",
)


class Given:
    """A subject, and the logits, labels, weights and rows that it is called with."""

    where: Callable[[BaseException], str]  # finds the line of an error that is worth showing

    def __init__(self, subject: Subject, name: str) -> None:
        self.subject = subject
        self.report = Report(name, CONVENTIONS[subject.convention])
        rng = np.random.default_rng(20)
        self.z, self.y = rng.normal(size=(7, 4)) * 1.5, np.array([2, 0, 3, 1, 1, 2, 0])
        self.W, self.X = rng.normal(size=(5, 4)), rng.normal(size=(7, 5))
        self.rows = Rows(self.z, self.y)
        self.bytes = 8  # of the coarsest float returned
        self.half = 0.5  # of the regulariser

    def _known(self) -> Blame | None:
        """What is wrong with the loss of ordinary logits, if anything is."""
        found = self.subject.loss(self.z, self.y).loss
        if self._close(found, float(self.rows.losses.mean()), slack=1e4):
            return None
        if math.isnan(found):  # NaN has many names; nearer to 0 the mistake makes a number
            small = Rows(self.z / 20, self.y)
            found = self.subject.loss(small.z, small.y).loss
            return _NO_NUMBER if math.isnan(found) else name_loss(found, small) or _NO_NUMBER
        return name_loss(found, self.rows) or OTHER

    def _known_gradient(self) -> Blame | None:
        """What is wrong with the gradient at ordinary logits, if it can be named."""
        found = self.subject.loss(self.z, self.y).gradient
        if found is None:
            return None
        if np.allclose(found, (self.rows.p - self.rows.Y) / len(self.z), rtol=1e-4, atol=1e-6):
            return self._known()
        return named(found, self.subject.raw, self.rows, np.asarray)

    def _loss(self, found: float, want: float, shown: str) -> Check:
        """The check that a loss is as it should be."""
        if self._close(found, want):
            return passed(f"{found:.9g}")
        return failed(f"{found:.9g}", shown, *(self._known() or OTHER))

    def _fit(
        self,
        found: Answer,
        z: Float,
        y: Index,
        through: Callable[[Float], Float] = np.asarray,
        within: float | None = None,
    ) -> tuple[bool, bool]:
        """Whether the loss of logits z is right, and whether its gradient is, if there is one: `through`
        takes a gradient by the logits to what the function gives."""
        rows = Rows(z, y)
        want, G = float(rows.losses.mean()), through((rows.p - rows.Y) / len(y))
        near = DIGITS[self.bytes] if within is None else within
        size = max(float(np.abs(G).max()), 1e-3)
        loss = abs(found.loss - want) <= near * max(abs(want), FLOOR[self.bytes])
        if found.rows is not None:
            least = np.maximum(rows.losses, FLOOR[self.bytes])
            loss &= bool((np.abs(found.rows - rows.losses) <= near * least).all())
        if found.gradient is None:  # or none that fits, of these sizes
            return loss, not self.subject.has_gradient
        return loss, bool(np.abs(found.gradient - G).max() <= 10 * near * size)

    def _close(self, found: float, want: float, slack: float = 1.0) -> bool:
        """Whether a loss is right, but for rounding."""
        return abs(found - want) <= DIGITS[self.bytes] * slack * max(abs(want), FLOOR[self.bytes])

    @staticmethod
    def _finite(answer: Answer) -> bool:
        """Whether loss and gradient are finite."""
        return math.isfinite(answer.loss) and (
            answer.gradient is None or bool(np.isfinite(answer.gradient).all())
        )

    def _named_before(self) -> Blame | None:
        """The first mistake that has a name."""
        return next(((c.mistake, c.advice) for c in self.report.checks if c.mistake), None)


def named(found: Float, raw: object, rows: Rows, through: Callable[[Float], Float]) -> Blame | None:
    """The mistake that makes a gradient, `raw` as it was returned."""
    whole = isinstance(raw, np.ndarray) and raw.dtype.kind in "iub"
    if whole or (found.any() and np.array_equal(found, np.round(found))):
        return "integer division", "// rounds down: divide with /, and keep floats."
    return name_gradient(found, rows, through)


def passed(found: str) -> Check:
    """A check that passed."""
    return Check("", "pass", found)


def skipped(why: str) -> Check:
    """A check that does not apply."""
    return Check("", "skip", why)


def failed(found: str, expected: str, mistake: str, advice: str) -> Check:
    """A check that failed."""
    return Check("", "fail", found, expected, mistake, advice)
