"""The checks, one after the other, against `xent.reference`.

Design
 a. A function of W and X is asked for logits z as f(z, I): its checks are then those of one of logits.
 b. Tolerances follow the coarsest dtype that is returned; what comes back as float64 must have its digits.
 c. −log p where p underflowed is ∞: noted, not failed, as courses teach it. NaN fails, and so does a number
    that is not the loss.
"""

from __future__ import annotations

import math
import statistics
import time
import traceback
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from .. import reference
from ._mistakes import Mistake, Rows, name_gradient, name_loss
from ._report import Check, Report
from ._subject import CONVENTIONS, Answer, Float, Refused, Subject

STEPS = [10.0**-i for i in range(1, 13)]
_DIGITS = {8: 1e-9, 4: 2e-4, 2: 2e-2}  # relative, by the bytes of a float
_BEST_STEP = {8: 1e-6, 4: 1e-2, 2: 0.7}  # the same, of the V-curve at its lowest
_BIG = {8: 1e4, 4: 1e4, 2: 30.0}  # logits; of float16 less, whose squares overflow
_OTHER = Mistake(
    "not the cross-entropy",
    "L = (1/N) Σ_i (log Σ_k exp z_ik − z_i,label); compare row by row with xent.reference.cross_entropy.",
    lambda rows: 0.0,
)
_NO_SHIFT = (
    "no shift by the maximum",
    "exp overflows (float64 above 709, float32 88, float16 11), or all of a row underflow: subtract each "
    "row's largest logit first.",
)
_CUT_OFF = (
    "something added inside the logarithm",
    "log(p + ε), a clipped p or clipped logits are another loss, and its gradient is no longer p − y.",
)


class Examiner:
    """Of one subject; `run` makes its report. `begin` is told each check's name before it is run, and
    `where` finds the line of an error that is worth showing."""

    def __init__(
        self, subject: Subject, name: str, begin: Callable[[str], None], where: Callable[[BaseException], str]
    ) -> None:
        self.subject, self.begin, self.where = subject, begin, where
        self.report = Report(name, CONVENTIONS[subject.convention])
        rng = np.random.default_rng(20)
        self.z, self.y = rng.normal(size=(7, 4)) * 1.5, np.array([2, 0, 3, 1, 1, 2, 0])
        self.W, self.X = rng.normal(size=(5, 4)), rng.normal(size=(7, 5))
        self.rows = Rows(self.z, self.y)
        self.bytes = 8  # of the coarsest float returned
        self.half = 0.5  # of the regulariser

    def run(self) -> Report:
        checks: list[tuple[str, Callable[[], Check]]] = [
            ("the same answer twice", self.twice),
            ("loss is cross-entropy", self.value),
            ("loss at zero is log K", self.at_zero),
            ("mean over the rows", self.mean),
            ("any N and K", self.sizes),
            ("shift of all logits", self.shift),
            ("large logits", self.large),
            ("far too confident", self.gap),
            ("gradient is p − y", self.gradient),
            ("gradient's rows sum to 0", self.sums),
            ("gradient of its own loss", self.differences),
        ]
        if self.subject.is_linear:
            checks.append(("dense layer: dW", self.layer))
        if self.subject.regularised:
            checks.append(("regulariser", self.regulariser))
        checks += [
            ("inputs left alone", self.damage),
            ("training reaches the optimum", self.training),
            ("speed", self.speed),
        ]
        for name, check in checks:
            self.begin(name)
            self.report.checks.append(self._guarded(name, check))
        return self.report

    def _guarded(self, name: str, check: Callable[[], Check]) -> Check:
        try:
            with np.errstate(all="ignore"):
                found = check()
        except Refused as error:
            found = failed(
                f"{error}", "", "no answer to check", "Return what the convention says, every time."
            )
        except (Exception, SystemExit) as error:
            said = f"{type(error).__name__}: {error}".strip().splitlines()[0][:200]
            found = failed(f"{said} {self.where(error)}".strip(), "an answer", "raised an error", "")
        found.name = name
        return found

    # Of the loss --------------------------------------------------------------------------------------

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
        if near and self.bytes == 8 and abs(found - want) > _DIGITS[8] * abs(want):
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
            known.name if known else "the loss depends on N",
            known.advice if known else "Divide by the number of rows of this call.",
        )

    def sizes(self) -> Check:
        rng = np.random.default_rng(7)
        for n, K in ((1, 2), (9, 10), (3, 13), (400, 3)):
            z, y = rng.normal(size=(n, K)), np.arange(n)[::-1] % K
            found, want = self.subject.loss(z, y), float(np.mean(reference.cross_entropy(z, y)))
            right, gradient = (Rows(z, y).p - Rows(z, y).Y) / n, found.gradient
            slack = 10 * _DIGITS[self.bytes] * float(np.abs(right).max())
            fits = gradient is None or np.allclose(gradient, right, rtol=0, atol=slack)
            if not self._close(found.loss, want) or not (fits or self._known_gradient()):
                known = self._known()
                return failed(
                    f"{found.loss:.6g} of {n} rows and {K} classes" + ("" if fits else ", another gradient"),
                    f"{want:.6g}",
                    known.name if known else "sizes are fixed",
                    known.advice if known else "Take N and K from the arguments' shapes.",
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
            known.name if known else "not shift-invariant",
            known.advice if known else "softmax(z + c) = softmax(z): something uses z itself.",
        )

    def large(self) -> Check:
        if self.subject.convention == "d2l":
            return skipped("it takes probabilities")
        big = _BIG[self.bytes]
        for by in (big, -big):
            z = np.round(self.z) + by
            found, want = self.subject.loss(z, self.y), float(np.mean(reference.cross_entropy(z, self.y)))
            if not self._finite(found):
                return failed(f"{found.loss:.6g} of logits about {by:.0f}", f"{want:.6g}", *_NO_SHIFT)
            if not self._close(found.loss, want, slack=1e4):
                known = self._known()
                clipped = (
                    "logits are clipped",
                    "Far from 0 the loss is still z's: subtract the largest, clip nothing.",
                )
                names = (known.name, known.advice) if known else clipped
                return failed(f"{found.loss:.6g} of logits about {by:.0f}", f"{want:.6g}", *names)
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
        big = _BIG[self.bytes]
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
            return failed("no finite gradient", f"{want:g}", *_NO_SHIFT)
        return self._not_the_gap(found.loss, f"{want:g}")

    def _small_probability(self) -> Check:
        p, none = np.array([[1e-200, 1.0], [1.0, 1e-200]]), np.array([[0.0, 1.0], [0.0, 1.0]])
        found, at_zero = (
            self.subject._call({"y_hat": q, "y": np.array([0, 0])}, q.shape).loss for q in (p, none)
        )
        want = 100 * math.log(10)
        if self._close(found, want) and math.isfinite(at_zero):
            return failed(f"{at_zero:.6g} of a probability of 0", "∞", *_CUT_OFF)
        if self._close(found, want):
            return passed("−log 1e−200 is exact, −log 0 is ∞")
        if found == math.inf and self.bytes < 8:
            return Check("", "note", "∞ of 1e−200, which this dtype does not hold", f"{want:.6g}")
        return self._not_the_gap(found, f"{want:.6g}")

    def _not_the_gap(self, found: float, want: str) -> Check:
        known = self._known()
        if any(check.mistake == _NO_SHIFT[0] for check in self.report.checks):
            return failed(f"{found:.6g}", want, *_NO_SHIFT)
        if known:
            return failed(f"{found:.6g}", want, known.name, known.advice)
        if math.isnan(found):
            return failed(
                "nan",
                want,
                "0 · log 0",
                "y log p with p = 0 where y = 0 is NaN: take the label's entry alone, from the logits.",
            )
        return failed(f"{found:.6g}", want, *_CUT_OFF)

    # Of the gradient ----------------------------------------------------------------------------------

    def differences(self) -> Check:
        """The V-curve: the error of centred differences falls as h², then rounding takes over as 1/h."""
        if not self.subject.has_gradient:
            return skipped("it returns no gradient")
        linear = self.subject.is_linear
        at = self.W if linear else self.z
        answer = self._at(at)
        if answer.gradient is None:
            return self._no_gradient()
        scale = float(np.abs(answer.gradient).max()) or 1.0
        errors = np.array([np.abs(answer.gradient - self._numerical(at, h)) / scale for h in STEPS])
        self.report.curve = [(h, float(e.max())) for h, e in zip(STEPS, errors, strict=True)]
        errors = np.where(np.isnan(errors), np.inf, errors)
        best = int(errors.max(axis=(1, 2)).argmin())
        lowest = float(errors[best].max())
        if lowest <= _BEST_STEP[self.bytes]:
            return passed(f"within {lowest:.1e} of centred differences at h = {STEPS[best]:.0e}")
        place = np.unravel_index(int(errors[best].argmax()), at.shape)
        entry = f"{'dW' if linear else 'dz'}[{place[0]}, {place[1]}]"
        known = self._known_gradient()
        return failed(
            f"{lowest:.1e} off at the best step, h = {STEPS[best]:.0e}; most in {entry}",
            f"below {_BEST_STEP[self.bytes]:.0e}",
            known.name if known else "loss and gradient do not belong together",
            known.advice if known else "One of the two has a factor or a term that the other has not.",
        )

    def _at(self, at: Float) -> Answer:
        if not self.subject.is_linear:
            return self.subject.loss(at, self.y)
        return self.subject.linear(at, self.X, self.y, 0.1)

    def _numerical(self, at: Float, h: float) -> Float:
        found = np.empty_like(at)
        for place in np.ndindex(at.shape):
            up, down = at.copy(), at.copy()
            up[place] += h
            down[place] -= h
            found[place] = (self._at(up).loss - self._at(down).loss) / (2 * h)
        return found

    def gradient(self) -> Check:
        if not self.subject.has_gradient:
            return skipped("it returns no gradient")
        found, want = self.subject.loss(self.z, self.y), (self.rows.p - self.rows.Y) / len(self.z)
        if found.gradient is None:
            return self._no_gradient()
        error = float(np.abs(found.gradient - want).max() / np.abs(want).max())
        if error <= _DIGITS[self.bytes]:
            return passed(f"(p − y)/N, within {error:.1e}")
        if error <= 1e-5:
            return self._imprecise(error, "gradient")
        known = self._known_gradient()
        return failed(
            f"{error:.1e} off, relative to the largest entry",
            "(p − y)/N",
            known.name if known else "not the gradient",
            known.advice if known else "Compare term by term with ∂L/∂z = (p − y)/N.",
        )

    def sums(self) -> Check:
        if not self.subject.has_gradient:
            return skipped("it returns no gradient")
        found = self.subject.loss(self.z, self.y).gradient
        if found is None:
            return self._no_gradient()
        most = float(np.abs(found.sum(axis=1)).max())
        if most <= _DIGITS[self.bytes] * max(float(np.abs(found).max()), 1e-300) * 10:
            return passed("Σ_k ∂L/∂z_k = 0 in every row")
        known = self._known_gradient()
        return failed(
            f"up to {most:.3g}",
            "0",
            known.name if known else "the gradient's rows do not sum to 0",
            known.advice
            if known
            else "Σ p = Σ y = 1, so Σ (p − y) = 0: a class is left out or counted twice.",
        )

    def layer(self) -> Check:
        found = self.subject.linear(self.W, self.X, self.y, 0.0)
        if found.gradient is None:
            return self._no_gradient()
        want = self._through_layer(
            (np.asarray(reference.softmax(self.X @ self.W)) - self.rows.Y) / len(self.y)
        )
        error = float(np.abs(found.gradient - want).max() / np.abs(want).max())
        if error <= max(_DIGITS[self.bytes], 1e-9):
            return passed(f"Xᵀ(P − Y)/N, within {error:.1e}")
        if error <= 1e-5:
            return self._imprecise(error, "gradient")
        rows = Rows(self.X @ self.W, self.y)
        known = _named(found.gradient, self.subject.raw, rows, self._through_layer)
        return failed(
            f"{error:.1e} off, relative to the largest entry",
            "Xᵀ(P − Y)/N",
            known.name if known else "not the layer's gradient",
            known.advice if known else "dW = Xᵀ G with G = (P − Y)/N; check it against the loop over rows.",
        )

    def _through_layer(self, G: Float) -> Float:
        return np.asarray(self.X.T @ G)

    def regulariser(self) -> Check:
        """½ reg ‖W‖² or reg ‖W‖², in the loss as in the gradient."""
        W, slack = self.W, max(1e-3, 20 * _DIGITS[self.bytes])
        of_loss, moved = self._regularised(W, 0.5)
        if moved is None:
            return self._no_gradient()
        others = [self._regularised(W[::-1, ::-1] ** 2, 0.5)[0], self._regularised(W, 1.5)[0]]
        of_gradient = float((moved * W).sum() / (W * W).sum())
        proportional = bool(np.allclose(moved, of_gradient * W, atol=slack))
        proportional &= all(abs(other - of_loss) < slack for other in others)
        shown = f"loss {of_loss:.3g} · reg ‖W‖², gradient {of_gradient:.3g} · reg W"
        half = next((c for c in (0.5, 1.0) if abs(of_loss - c) < slack), None)
        if half and proportional and abs(of_gradient - 2 * half) < slack:
            self.half = half
            return passed(shown)
        wrong = _wrong_regulariser(of_loss, of_gradient, proportional, len(self.y))
        return failed(shown, "½ and 1, or 1 and 2", *wrong)

    def _regularised(self, W: Float, reg: float) -> tuple[float, Float | None]:
        """What reg adds to the loss, over reg ‖W‖², and to the gradient, over reg."""
        with_, without = (self.subject.linear(W, self.X, self.y, r) for r in (reg, 0.0))
        of_loss = (with_.loss - without.loss) / (reg * float((W**2).sum()))
        if with_.gradient is None or without.gradient is None:
            return of_loss, None
        return of_loss, (with_.gradient - without.gradient) / reg

    def _no_gradient(self) -> Check:
        shape = self.subject.shape
        if shape is None:
            return failed(
                "none",
                "a gradient",
                "not differentiable",
                "PyTorch cannot go back from this loss: no .item(), .detach(), .numpy() or .data on the way.",
            )
        turned = self.subject.turned
        return failed(
            f"of shape {shape}",
            "of its argument's shape",
            "transposed gradient" if turned else "gradient of another shape",
            "dW has W's shape: with W (D, K) it is Xᵀ G, not Gᵀ X."
            if turned
            else "The gradient has its argument's shape.",
        )

    # Of the rest --------------------------------------------------------------------------------------

    def damage(self) -> Check:
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
        if not self.subject.has_gradient:
            return skipped("it returns no gradient")
        if self.subject.shape is not None:
            return skipped("its gradient does not fit")
        from ._training import distance

        gap = distance(self.subject, self.half)
        limit = {8: 1e-6, 4: 1e-3, 2: 0.1}[self.bytes]
        if gap <= limit:
            return passed(f"{max(gap, 0.0):.1e} nats above the certified optimum")
        known = next((c for c in self.report.checks if c.mistake), None)
        return failed(
            f"{gap:.3g} nats above the certified optimum",
            f"below {limit:.0e}",
            known.mistake if known else "does not train to the optimum",
            known.advice if known else "The loss is convex: with its gradient any descent gets there.",
        )

    def speed(self) -> Check:
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

    # Names --------------------------------------------------------------------------------------------

    def _known(self) -> Mistake | None:
        """What is wrong with the loss of ordinary logits, if anything is."""
        found = self.subject.loss(self.z, self.y).loss
        if self._close(found, float(self.rows.losses.mean()), slack=1e4):
            return None
        return name_loss(found, self.rows) or _OTHER

    def _known_gradient(self) -> Mistake | None:
        found = self.subject.loss(self.z, self.y).gradient
        if found is None:
            return None
        if np.allclose(found, (self.rows.p - self.rows.Y) / len(self.z), rtol=1e-4, atol=1e-6):
            return self._known()
        return _named(found, self.subject.raw, self.rows, np.asarray)

    def _loss(self, found: float, want: float, shown: str) -> Check:
        if self._close(found, want):
            return passed(f"{found:.9g}")
        known = self._known() or _OTHER
        return failed(f"{found:.9g}", shown, known.name, known.advice)

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

    def _close(self, found: float, want: float, slack: float = 1.0) -> bool:
        return abs(found - want) <= _DIGITS[self.bytes] * slack * max(abs(want), 1e-3)

    @staticmethod
    def _finite(answer: Answer) -> bool:
        return math.isfinite(answer.loss) and (
            answer.gradient is None or bool(np.isfinite(answer.gradient).all())
        )


def _named(found: Float, raw: Any, rows: Rows, through: Callable[[Float], Float]) -> Mistake | None:
    whole = isinstance(raw, np.ndarray) and raw.dtype.kind in "iub"
    if whole or (found.any() and np.array_equal(found, np.round(found))):
        return Mistake("integer division", "// rounds down: divide with /, and keep floats.", lambda r: 0.0)
    return name_gradient(found, rows, through)


def _wrong_regulariser(loss: float, gradient: float, proportional: bool, n: int) -> tuple[str, str]:
    """The mistake's name, and what to look at."""
    none = abs(loss) < 1e-3, abs(gradient) < 1e-3
    if all(none):
        return "regulariser missing", "Add ½ reg ‖W‖² to the loss, and reg W to the gradient."
    if none[0]:
        return "regulariser missing in the loss", "Its gradient is there: add ½ reg ‖W‖² to the loss."
    if none[1]:
        return (
            "regulariser missing in the gradient",
            "It is in the loss: add reg W to dW (2 reg W without the ½).",
        )
    if loss < 0 or gradient < 0:
        return "wrong sign of the regulariser", "It is added, to the loss and to the gradient."
    if not proportional:
        return (
            "another regulariser",
            "It is reg times the sum of all squares of W, the bias row's too: not |W|, no root, not reg².",
        )
    if min(abs(loss / n - 0.5), abs(loss / n - 1)) < 1e-2:
        return "the regulariser inside the loop", "It is added once for each row: add it after the loop."
    if min(abs(v * n - c) for v in (loss, gradient) for c in (0.5, 1, 2)) < 1e-2:
        return (
            "regulariser divided by N",
            "The mean is over the data alone: add the regulariser after dividing.",
        )
    if abs(gradient - 2 * loss) > 1e-3:
        return "the regulariser's half", "½ reg ‖W‖² has the gradient reg W; reg ‖W‖² has 2 reg W."
    return "the regulariser's factor", "It is ½ reg ‖W‖² or reg ‖W‖²."


def passed(found: str) -> Check:
    return Check("", "pass", found)


def skipped(why: str) -> Check:
    return Check("", "skip", why)


def failed(found: str, expected: str, mistake: str, advice: str) -> Check:
    return Check("", "fail", found, expected, mistake, advice)


def _median(f: Callable[[], Any]) -> float:
    times = []
    for _ in range(3):
        start = time.perf_counter()
        f()
        times.append(time.perf_counter() - start)
    return max(statistics.median(times), 1e-9)


def line_in(file: str) -> Callable[[BaseException], str]:
    """Finds where in a file an error was raised."""

    def where(error: BaseException) -> str:
        frames: Iterator[Any] = reversed(traceback.extract_tb(error.__traceback__))
        at = next((frame for frame in frames if frame.filename == file), None)
        return "" if at is None else f"(line {at.lineno}: {at.line})"

    return where


def ready() -> None:
    """Load what the checks need, before a limit of memory is set."""
    from .. import estimators  # noqa: F401
    from . import _training  # noqa: F401
