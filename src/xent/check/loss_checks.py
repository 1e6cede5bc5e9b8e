"""Checks of the loss: its value, its mean, and logits that are large or far apart."""

from __future__ import annotations

import math

import numpy as np

from .. import reference
from .._types import Float, Index
from .given import BIG, CUT_OFF, DIGITS, LOST, NO_SHIFT, OTHER, Given, failed, passed, skipped
from .mistakes import Blame, Rows
from .report import Check
from .subject import Answer

LOSS, GRADIENT = "the cross-entropy", "(p − y)/N"  # what was expected
CLIPPED = "logits are clipped", "Far from 0 the loss is still z's: subtract the largest, clip nothing."
OF_THE_BATCH = (
    "the maximum of the whole batch",
    "Subtract each row's own largest logit (axis=1, keepdims=True), not one for all.",
)
HIDDEN = (
    "the gradient of confident rows",
    "The loss is right there, the gradient is not p − y: take both from exp(z − max z). Clipping p or 1/p, "
    "dropping rows or nan_to_num only hides it.",
)
FIXED = "sizes are fixed", "Take N and K from the arguments' shapes."
SQUARE = "transposed gradient", "dW has W's shape: with W (D, K) it is Xᵀ G, where D = K as well."
ABSENT = (
    "labels that do not occur",
    "Take K from the logits' shape: the labels of a batch may leave classes out, and their numbers stand.",
)
PAIR = "two classes", "K = 2 is no exception: −log p_label, and p − y for each of the two."
BROADCAST = (
    "as many rows as classes",
    "(N,) with (N, K) goes along the classes where N = K: keepdims=True, or [:, None].",
)
STALE = (
    "labels of an earlier call",
    "The same logits with other labels have another loss and gradient: keep nothing by the shape alone.",
)
OWN_ROW = (
    "losses of other rows",
    "The loss of row i is −log p_i,label, in place i: (N, 1) − (N,) makes N × N, and sorting moves rows.",
)
CUT = "the gradient is cut off", "Return it as it is: clip or scale it where you take the step."
SINGLE = "a single row", "N = 1 is no exception: squeeze() and y[0] lose an axis; keep N × K."
MANY = "many classes", "Of 300 classes as of 10: a label above 127, or 255, does not fit a byte."
BLAMED = [FIXED, BROADCAST, SQUARE, ABSENT, PAIR, SINGLE, MANY]  # the first of those that fail
WRONG = {8: 600.0, 4: 80.0, 2: 9.0}  # logits apart, at which p is still above 0
SIZES = [  # K, D, labels, and what is wrong if that alone is
    (2, 1, [1], SINGLE),
    (4, 2, [2], SINGLE),
    (2, 3, [0, 1, 1, 0, 1, 0], PAIR),
    (13, 4, [*range(13), 3], FIXED),
    (10, 2, [9, 0, 5], ABSENT),
    (4, 3, [2, 0, 0, 2, 2], ABSENT),
    (4, 4, [3, 1, 0, 2, 3], SQUARE),
    (5, 3, [2, 0, 4, 3, 1], BROADCAST),
    (300, 3, [299, 130], MANY),
    (3, 2, [i % 3 for i in range(1100)], FIXED),
]


class LossChecks(Given):
    """Each method is a check."""

    def twice(self) -> Check:
        """The same call gives the same answer, and leaves the first one alone."""
        first = self.subject.loss(self.z, self.y)
        kept = self.subject.raw
        before = np.array(kept) if isinstance(kept, np.ndarray) else None
        self.subject.loss(2 * self.z, (self.y + 1) % 4)
        if before is not None and not np.array_equal(before, kept, equal_nan=True):
            return failed(
                "a second call writes into the first one's gradient",
                "a gradient of its own",
                "the same array returned each time",
                "Make a new array in each call: who keeps the first gradient finds the second in it.",
            )
        second = self.subject.loss(self.z, self.y)
        self.bytes = min(first.dtype.itemsize, 8)
        same = math.isclose(first.loss, second.loss, rel_tol=1e-12) or (
            math.isnan(first.loss) and math.isnan(second.loss)
        )
        if first.gradient is not None and second.gradient is not None:
            same &= np.allclose(first.gradient, second.gradient, rtol=1e-12, atol=0, equal_nan=True)
        if same:
            return passed(f"{first.loss:.6g} both times")
        return failed(
            f"{first.loss:.6g}, then {second.loss:.6g}",
            "the same",
            "another answer the second time",
            "Something is kept between calls, added up, or drawn at random: start from zero in each call.",
        )

    def at_zero(self) -> Check:
        """The loss of equal logits is log K."""
        K = self.z.shape[1]
        if self.subject.is_linear:
            found = self.subject.linear(np.zeros_like(self.W), self.X, self.y, 0.3).loss
        else:
            found = self.subject.loss(np.zeros_like(self.z), self.y).loss
        return self._loss(found, math.log(K), f"log {K} = {math.log(K):.6f}")

    def value(self) -> Check:
        """The loss of ordinary logits is the cross-entropy, digit by digit."""
        base = self.subject.loss(self.z, self.y)
        found, want = base.loss, float(self.rows.losses.mean())
        if odd := self._odd(found, want):
            self.bytes = 4  # what else is wrong is to be seen without that
            return failed(f"{found:.9g}", f"{want:.9g}", *odd)
        near = abs(found - want) <= 1e-5 * abs(want)
        if near and self.bytes == 8 and abs(found - want) > DIGITS[8] * abs(want):
            return self._imprecise(abs(found / want - 1), "loss")
        if self.subject.is_linear and not self._close(found, want) and self._always_regularised(found - want):
            return failed(
                f"{found:.9g} with reg = 0",
                f"{want:.9g}",
                "the regulariser does not depend on reg",
                "It is there with reg = 0 as well: multiply by reg, not by a constant.",
            )
        if not self._close(found, want):
            return self._loss(found, want, f"{want:.9g}")
        if not self._fit(base, self.z, self.y)[0]:
            return failed("the mean is right, the rows are not", "−log p_label of each", *OWN_ROW)
        return self._other_labels(base) or passed(f"{found:.9g}")

    def _other_labels(self, base: Answer) -> Check | None:
        """The same logits with other labels: another loss, and another gradient."""
        other = Rows(self.z, (self.y + 1) % 4)
        moved, want = self.subject.loss(other.z, other.y), float(other.losses.mean())
        if not self._close(moved.loss, want):
            shown = f"{moved.loss:.9g} with other labels", f"{want:.9g}"
            if self._close(moved.loss, base.loss):
                return failed(*shown, *STALE)
            far = self.gap()
            return failed(*shown, *((far.mistake, far.advice) if far.mistake else OTHER))
        kept = base.gradient is not None and np.array_equal(base.gradient, np.asarray(moved.gradient))
        if kept and self._fit(base, self.z, self.y)[1]:
            return failed("the same gradient with other labels", GRADIENT, *STALE)
        return None

    def _odd(self, found: float, want: float) -> Blame | None:
        """What is told by how little the loss is off: a rounded one, or a sum that was added to."""
        if self.bytes < 8 or self._close(found, want) or not abs(found - want) < 0.1 * abs(want):
            return None
        if found == float(np.float16(found)):
            return "float16 on the way", "float64 in, float64 out: an astype or a dtype= loses most digits."
        if any(found == round(found, digits) for digits in range(1, 9)):
            return "a rounded loss", "Return all of its digits: round only what you print."
        again = Rows(self.z / 2, self.y)
        more = self.subject.loss(again.z, again.y).loss - float(again.losses.mean())
        for shift in (0.0, 1.0):  # by none, or by the largest of each row
            sums = [np.exp(z - shift * z.max(1, keepdims=True)).sum(1) for z in (self.z, again.z)]
            added = (found - want) / float(np.mean(1 / sums[0]))
            if added > 0 and abs(more - np.mean(np.log1p(added / sums[1]))) < 1e-2 * abs(more):
                return (
                    "something added to the denominator",
                    "e / (Σ e + ε) does not sum to 1. After the shift by the maximum Σ e is at least 1: add "
                    "nothing.",
                )
        return None

    def _always_regularised(self, more: float) -> bool:
        """Whether what is too much with reg = 0 is a multiple of ‖W‖²."""
        double = Rows(2 * self.z, self.y)
        found = self.subject.loss(double.z, double.y).loss - float(double.losses.mean())
        return abs(found - 4 * more) < 1e-3 * abs(found)

    def mean(self) -> Check:
        """The loss is a mean over the rows."""
        once = self.subject.loss(self.z, self.y)
        if self.subject.by_row:
            return failed(
                f"a loss for each of the {len(self.y)} rows",
                "one number",
                "the mean forgotten",
                "Return losses.mean() beside the gradient of that mean, (p − y)/N.",
            )
        twice = self.subject.loss(np.concatenate([self.z] * 2), np.concatenate([self.y] * 2))
        if self._close(twice.loss, once.loss):
            return passed("twice the rows, the same loss")
        known = self._known()
        return failed(
            f"{once.loss:.6g}; of every row twice {twice.loss:.6g}",
            "the same",
            *(known or ("the loss depends on N", "Divide by the number of rows of this call.")),
        )

    def sizes(self) -> Check:
        """Loss and gradient are right for other numbers of rows, classes and features."""
        base, (loss, gradient) = self._sized(self.z, self.W, self.X, self.y)
        gradient &= base.gradient is not None
        if not loss:
            return skipped(f"wrong of {len(self.y)} rows and {self.z.shape[1]} classes already")
        rng = np.random.default_rng(7)
        wrong = []
        for K, D, labels, alone in SIZES:
            # No row of these is sure of its class, which another check is for.
            y, X, W = np.array(labels), rng.normal(size=(len(labels), D)), rng.normal(size=(D, K)) / 2
            if self.bytes == 2 and len(y) > 1000:
                continue  # a sum of 16 bits stalls
            of = f"of {len(y)} rows and {K} classes"
            try:
                found, (loss_fits, gradient_fits) = self._sized(rng.normal(size=(len(y), K)), W, X, y)
            except (ValueError, IndexError, RuntimeError) as error:
                wrong.append((alone, f"{self._said(error)} {of}", "an answer"))
                continue
            if not loss_fits:
                wrong.append((alone, f"{found.loss:.6g} {of}", LOSS))
            elif gradient and found.gradient is None:
                wrong.append((alone, f"a gradient of shape {self.subject.shape} {of}", "of its argument's"))
            elif gradient and not gradient_fits:
                wrong.append((alone, f"another gradient {of}", GRADIENT))
        if wrong:
            alone, shown, want = min(wrong, key=lambda entry: BLAMED.index(entry[0]))
            return failed(shown, want, *self._blamed(alone, want))
        return passed(", ".join(f"{len(labels)} × {K}" for K, _, labels, _ in SIZES))

    def _blamed(self, alone: Blame, want: str) -> Blame:
        """What is wrong if sizes fail: not them, if p was small there, or the gradient of one row large."""
        if want not in (LOSS, GRADIENT):
            return alone
        sure = self._sure()
        if sure is not None:
            return sure.mistake, sure.advice
        if want == LOSS:
            return alone
        if alone == MANY:
            return HIDDEN
        row = np.array([[0.0, 0.0, 3.0]]), np.array([2])
        small = not self.subject.is_linear and self._fit(self.subject.loss(*row), *row)[1]
        return CUT if alone == SINGLE and small else alone

    def _sized(self, z: Float, W: Float, X: Float, y: Index) -> tuple[Answer, tuple[bool, bool]]:
        """The answer of logits z, or of W and X, and whether its loss and its gradient are right."""
        if not self.subject.is_linear:
            found = self.subject.loss(z, y)
            return found, self._fit(found, z, y)
        found = self.subject.linear(W, X, y, 0.0)
        return found, self._fit(found, X @ W, y, X.T.__matmul__)

    def shift(self) -> Check:
        """The same number added to all logits changes nothing."""
        if self.subject.convention == "d2l":
            return skipped("it takes probabilities")
        once, moved = self.subject.loss(self.z, self.y).loss, self.subject.loss(self.z + 3, self.y).loss
        if self._close(moved, once):
            return passed("unchanged by z + 3")
        known = self._known()
        return failed(
            f"{once:.6g}, and {moved:.6g} of z + 3",
            "the same",
            *(known or ("not shift-invariant", "softmax(z + c) = softmax(z): something uses z itself.")),
        )

    def large(self) -> Check:
        """Large logits, and rows far apart, neither overflow nor underflow."""
        if self.subject.convention == "d2l":
            return skipped("it takes probabilities")
        big = BIG[self.bytes]
        for by in (big, -big):
            check = self._far(np.round(self.z) + by, f"logits about {by:.0f}", NO_SHIFT, CLIPPED)
            if check:
                return check
        apart = np.round(self.z) + np.linspace(-big * 0.3, big * 0.3, len(self.z))[:, None].round()
        check = self._far(apart, "rows far apart", OF_THE_BATCH, OF_THE_BATCH)
        return check or passed(f"logits about ±{big:.0f}, and rows far apart")

    def _far(self, z: Float, shown: str, infinite: Blame, other: Blame) -> Check | None:
        """What is wrong of large logits, if anything is: no number, another loss, or another gradient."""
        want = float(np.mean(reference.cross_entropy(z, self.y)))
        try:
            found = self.subject.loss(z, self.y)
        except (OverflowError, ZeroDivisionError) as error:  # of Python's own numbers
            return failed(f"{self._said(error)} of {shown}", f"{want:.6g}", *infinite)
        if not self._finite(found):
            return failed(f"{found.loss:.6g} of {shown}", f"{want:.6g}", *infinite)
        loss, gradient = self._fit(found, z, self.y, within=LOST[self.bytes])
        if not loss:
            return failed(f"{found.loss:.6g} of {shown}", f"{want:.6g}", *(self._known() or other))
        if gradient or self._wrong_gradient():
            return None
        return failed(f"another gradient of {shown}", GRADIENT, *HIDDEN)

    def gap(self) -> Check:
        """The loss of a label far below the largest logit is their difference."""
        big = BIG[self.bytes]
        z, y, want = np.array([[0.0, big], [big, 0.0]]), np.array([0, 0]), big / 2
        if self.subject.convention == "d2l":
            return self._small_probability()
        try:
            found = self.subject.loss(z, y)
        except (ValueError, ZeroDivisionError) as error:  # math.log(0.0), where NumPy says −∞
            return self._sure() or self._underflowed(self._said(error), want)
        fine = found.gradient is None or bool(np.isfinite(found.gradient).all())
        if found.loss == math.inf:
            also = "" if fine else " Its gradient is NaN there: 1/p times 0."
            return self._sure() or self._underflowed("∞", want, also)
        if not fine:
            return failed("no finite gradient", f"{want:g}", *NO_SHIFT)
        if not self._close(found.loss, want):
            return self._not_the_gap(found.loss, f"{want:g}")
        if not self._fit(found, z, y)[1] and not self._wrong_gradient():
            return failed(f"another gradient where the label's logit is {big:g} below", GRADIENT, *HIDDEN)
        return self._sure() or passed(
            f"{big:g} where the label's logit is {big:g} below, 0 where it is above"
        )

    @staticmethod
    def _underflowed(found: str, want: float, also: str = "") -> Check:
        """A note: −log p of a p that underflowed."""
        return Check(
            "",
            "note",
            f"{found} where the label's logit is {2 * want:g} below",
            f"{want:g}",
            advice=f"−log p of a p that underflowed.{also} Exact: log Σ exp(z − max) − (z_label − max).",
        )

    def _said(self, error: BaseException) -> str:
        """One line of an error, and where it was raised."""
        said = f"{type(error).__name__}: {error}".strip().splitlines()[0][:200]
        return f"{said} {self.where(error)}".strip()

    def _sure(self) -> Check | None:
        """Rows that are sure of their label, by 7 to 22, and rows that are wrong for sure, where −log p is
        still a number."""
        y, most = self.y, WRONG[self.bytes]
        for ahead in ([8, 12, 7, 22, 9, 10, 15], [-5, -30, -most, 1, 2, -12, 0]):
            z = np.arange(28.0).reshape(7, 4) % 3
            z[np.arange(7), y] += np.maximum(ahead, -most)
            found = self.subject.loss(z, y)
            loss, gradient = self._fit(found, z, y)
            if not loss:
                want = f"{float(np.mean(reference.cross_entropy(z, y))):.9g}"
                return failed(f"{found.loss:.9g} of confident rows", want, *(self._known() or CUT_OFF))
            if not gradient and not self._wrong_gradient():
                return failed("another gradient of confident rows", GRADIENT, *HIDDEN)
        return None

    def _wrong_gradient(self) -> bool:
        """Whether the gradient is wrong of ordinary logits, which another check says."""
        found = self.subject.loss(self.z, self.y)
        return found.gradient is None or not self._fit(found, self.z, self.y)[1]

    def _small_probability(self) -> Check:
        """`gap` of a function of probabilities."""
        p, none = np.array([[1e-200, 1.0], [1.0, 1e-200]]), np.array([[0.0, 1.0], [0.0, 1.0]])
        found, at_zero = (self._of_probabilities(q) for q in (p, none))
        want = 100 * math.log(10)
        if self._close(found, want) and math.isfinite(at_zero):
            return failed(f"{at_zero:.6g} of a probability of 0", "∞", *CUT_OFF)
        if self._close(found, want):
            return self._sure() or passed("−log 1e−200 is exact, −log 0 is ∞")
        if found == math.inf and self.bytes < 8:
            return Check("", "note", "∞ of 1e−200, which this dtype does not hold", f"{want:.6g}")
        return self._not_the_gap(found, f"{want:.6g}")

    def _of_probabilities(self, p: Float) -> float:
        """The loss where the label is 0; ∞ where math.log has no answer."""
        try:
            return self.subject._call({"y_hat": p, "y": np.array([0, 0])}, p.shape).loss
        except (ValueError, ZeroDivisionError):
            return math.inf

    def _not_the_gap(self, found: float, want: str) -> Check:
        """The check failed since the loss is not the gap; names the mistake."""
        known = self._known()
        if any(check.mistake == NO_SHIFT[0] for check in self.report.checks):
            return failed(f"{found:.6g}", want, *NO_SHIFT)
        if known:
            return failed(f"{found:.6g}", want, *known)
        if math.isnan(found):
            return failed(
                "nan",
                want,
                "0 · log 0",
                "y log p with p = 0 where y = 0 is NaN: take the label's entry alone, from the logits.",
            )
        return failed(f"{found:.6g}", want, *CUT_OFF)

    def _imprecise(self, error: float, what: str) -> Check:
        """The check failed since digits are missing; further checks expect no more digits than float32's."""
        self.bytes = 4  # what else is wrong is to be seen without that
        gap = self.gap()
        if gap.status == "fail" and gap.mistake.startswith("something added"):
            return failed(f"{what} {error:.1e} off", "all digits of float64", gap.mistake, gap.advice)
        return failed(
            f"{what} {error:.1e} off, returned as float64",
            "all digits of float64",
            "float32 on the way",
            "float64 in, float64 out: an astype, a dtype= or a table of float32 loses half of the digits, "
            "and so does a gradient by differences.",
        )
