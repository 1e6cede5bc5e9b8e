"""Checks of the loss: its value, its mean, and logits that are large or far apart."""

from __future__ import annotations

import math

import numpy as np

from .. import reference
from ._given import BIG, CUT_OFF, DIGITS, NO_SHIFT, Given, blame, failed, passed, skipped
from ._mistakes import Rows
from ._report import Check


class LossChecks(Given):
    """Each method is a check."""

    def twice(self) -> Check:
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
        K = self.z.shape[1]
        if self.subject.is_linear:
            found = self.subject.linear(np.zeros_like(self.W), self.X, self.y, 0.3).loss
        else:
            found = self.subject.loss(np.zeros_like(self.z), self.y).loss
        return self._loss(found, math.log(K), f"log {K} = {math.log(K):.6f}")

    def value(self) -> Check:
        found, want = self.subject.loss(self.z, self.y).loss, float(self.rows.losses.mean())
        near = abs(found - want) <= 1e-5 * abs(want)
        if near and self.bytes == 8 and abs(found - want) > DIGITS[8] * abs(want):
            check = self._imprecise(abs(found / want - 1), "loss")
            self.bytes = 4  # what else is wrong is to be seen without that
            return check
        if (
            self.subject.regularised
            and not self._close(found, want)
            and self._always_regularised(found - want)
        ):
            return failed(
                f"{found:.9g} with reg = 0",
                f"{want:.9g}",
                "the regulariser does not depend on reg",
                "It is there with reg = 0 as well: multiply by reg, not by a constant.",
            )
        other = Rows(self.z, (self.y + 1) % 4)
        again, right = self.subject.loss(other.z, other.y).loss, float(other.losses.mean())
        if self._close(found, want) and not self._close(again, right):
            return failed(
                f"{again:.9g} with other labels",
                f"{right:.9g}",
                "labels of an earlier call",
                "The same logits with other labels are another loss: keep nothing by the shape alone.",
            )
        return self._loss(found, want, f"{want:.9g}")

    def _always_regularised(self, more: float) -> bool:
        """Whether what is too much with reg = 0 is a multiple of ‖W‖²."""
        double = Rows(2 * self.z, self.y)
        found = self.subject.loss(double.z, double.y).loss - float(double.losses.mean())
        return abs(found - 4 * more) < 1e-3 * abs(found)

    def mean(self) -> Check:
        once = self.subject.loss(self.z, self.y)
        twice = self.subject.loss(np.concatenate([self.z] * 2), np.concatenate([self.y] * 2))
        if self._close(twice.loss, once.loss):
            return passed("twice the rows, the same loss")
        known = self._known()
        return failed(
            f"{once.loss:.6g}; of every row twice {twice.loss:.6g}",
            "the same",
            *blame(known, "the loss depends on N", "Divide by the number of rows of this call."),
        )

    def sizes(self) -> Check:
        rng = np.random.default_rng(7)
        for n, K in ((1, 2), (9, 10), (3, 13), (400, 3)):
            z, y = rng.normal(size=(n, K)), np.arange(n)[::-1] % K
            found, want = self.subject.loss(z, y), float(np.mean(reference.cross_entropy(z, y)))
            right, gradient = (Rows(z, y).p - Rows(z, y).Y) / n, found.gradient
            slack = 10 * DIGITS[self.bytes] * float(np.abs(right).max())
            fits = gradient is None or np.allclose(gradient, right, rtol=0, atol=slack)
            if not self._close(found.loss, want) or not (fits or self._known_gradient()):
                known = self._known()
                return failed(
                    f"{found.loss:.6g} of {n} rows and {K} classes" + ("" if fits else ", another gradient"),
                    f"{want:.6g}",
                    *blame(known, "sizes are fixed", "Take N and K from the arguments' shapes."),
                )
        return passed("1 × 2, 9 × 10, 3 × 13 and 400 × 3")

    def shift(self) -> Check:
        if self.subject.convention == "d2l":
            return skipped("it takes probabilities")
        once, moved = self.subject.loss(self.z, self.y).loss, self.subject.loss(self.z + 3, self.y).loss
        if self._close(moved, once):
            return passed("unchanged by z + 3")
        known = self._known()
        return failed(
            f"{once:.6g}, and {moved:.6g} of z + 3",
            "the same",
            *blame(known, "not shift-invariant", "softmax(z + c) = softmax(z): something uses z itself."),
        )

    def large(self) -> Check:
        if self.subject.convention == "d2l":
            return skipped("it takes probabilities")
        big = BIG[self.bytes]
        for by in (big, -big):
            z = np.round(self.z) + by
            found, want = self.subject.loss(z, self.y), float(np.mean(reference.cross_entropy(z, self.y)))
            if not self._finite(found):
                return failed(f"{found.loss:.6g} of logits about {by:.0f}", f"{want:.6g}", *NO_SHIFT)
            if not self._close(found.loss, want, slack=1e4):
                known = self._known()
                clipped = (
                    "logits are clipped",
                    "Far from 0 the loss is still z's: subtract the largest, clip nothing.",
                )
                shown = f"{found.loss:.6g} of logits about {by:.0f}"
                return failed(shown, f"{want:.6g}", *blame(known, *clipped))
        z = np.round(self.z) + np.linspace(-big * 0.3, big * 0.3, len(self.z))[:, None].round()
        found, want = self.subject.loss(z, self.y), float(np.mean(reference.cross_entropy(z, self.y)))
        if not self._finite(found) or not self._close(found.loss, want, slack=1e3):
            return failed(
                f"{found.loss:.6g} of rows far apart",
                f"{want:.6g}",
                "the maximum of the whole batch",
                "Subtract each row's own largest logit (axis=1, keepdims=True), not one for all.",
            )
        return passed(f"logits about ±{big:.0f}, and rows far apart")

    def gap(self) -> Check:
        big = BIG[self.bytes]
        z, y, want = np.array([[0.0, big], [big, 0.0]]), np.array([0, 0]), big / 2
        if self.subject.convention == "d2l":
            return self._small_probability()
        found = self.subject.loss(z, y)
        fine = found.gradient is None or bool(np.isfinite(found.gradient).all())
        if self._close(found.loss, want) and fine:
            return passed(f"{big:g} where the label's logit is {big:g} below, 0 where it is above")
        if found.loss == math.inf and (fine or self.subject.by_autograd):
            also = "" if fine else " Autograd's gradient is NaN there."
            return Check(
                "",
                "note",
                f"∞ where the label's logit is {big:g} below",
                f"{want:g}",
                advice=f"−log p of a p that underflowed.{also} Exact: log Σ exp(z − max) − (z_label − max).",
            )
        if not fine:
            return failed("no finite gradient", f"{want:g}", *NO_SHIFT)
        return self._not_the_gap(found.loss, f"{want:g}")

    def _small_probability(self) -> Check:
        p, none = np.array([[1e-200, 1.0], [1.0, 1e-200]]), np.array([[0.0, 1.0], [0.0, 1.0]])
        found, at_zero = (
            self.subject._call({"y_hat": q, "y": np.array([0, 0])}, q.shape).loss for q in (p, none)
        )
        want = 100 * math.log(10)
        if self._close(found, want) and math.isfinite(at_zero):
            return failed(f"{at_zero:.6g} of a probability of 0", "∞", *CUT_OFF)
        if self._close(found, want):
            return passed("−log 1e−200 is exact, −log 0 is ∞")
        if found == math.inf and self.bytes < 8:
            return Check("", "note", "∞ of 1e−200, which this dtype does not hold", f"{want:.6g}")
        return self._not_the_gap(found, f"{want:.6g}")

    def _not_the_gap(self, found: float, want: str) -> Check:
        known = self._known()
        if any(check.mistake == NO_SHIFT[0] for check in self.report.checks):
            return failed(f"{found:.6g}", want, *NO_SHIFT)
        if known:
            return failed(f"{found:.6g}", want, known.name, known.advice)
        if math.isnan(found):
            return failed(
                "nan",
                want,
                "0 · log 0",
                "y log p with p = 0 where y = 0 is NaN: take the label's entry alone, from the logits.",
            )
        return failed(f"{found:.6g}", want, *CUT_OFF)

    def _imprecise(self, error: float, what: str) -> Check:
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
