"""Checks of the gradient: by the logits, of a dense layer, of the regulariser, and by differences."""

from __future__ import annotations

import numpy as np

from .. import reference
from .._types import Float
from .given import BEST_STEP, DIGITS, OTHER, failed, named, passed, skipped
from .loss_checks import CUT, LossChecks
from .mistakes import Rows
from .report import Check
from .subject import Answer

STEPS = [10.0**-i for i in range(1, 13)]


class GradientChecks(LossChecks):
    """Each method without an underscore is a check."""

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
        if lowest <= BEST_STEP[self.bytes]:
            return passed(f"within {lowest:.1e} of centred differences at h = {STEPS[best]:.0e}")
        place = np.unravel_index(int(errors[best].argmax()), at.shape)
        entry = f"{'dW' if linear else 'dz'}[{place[0]}, {place[1]}]"
        known = self._known_gradient() or self._named_before()
        return failed(
            f"{lowest:.1e} off at the best step, h = {STEPS[best]:.0e}; most in {entry}",
            f"below {BEST_STEP[self.bytes]:.0e}",
            *(
                known
                or (
                    "loss and gradient do not belong together",
                    "One of the two has a factor or a term that the other has not.",
                )
            ),
        )

    def _at(self, at: Float) -> Answer:
        """The answer at W, or at logits."""
        if not self.subject.is_linear:
            return self.subject.loss(at, self.y)
        return self.subject.linear(at, self.X, self.y, 0.1)

    def _numerical(self, at: Float, h: float) -> Float:
        """The gradient by centred differences of step h."""
        found = np.empty_like(at)
        for place in np.ndindex(at.shape):
            up, down = at.copy(), at.copy()
            up[place] += h
            down[place] -= h
            found[place] = (self._at(up).loss - self._at(down).loss) / (2 * h)
        return found

    def gradient(self) -> Check:
        """The gradient by the logits is (p − y)/N."""
        if not self.subject.has_gradient:
            return skipped("it returns no gradient")
        found, want = self.subject.loss(self.z, self.y), (self.rows.p - self.rows.Y) / len(self.z)
        if found.gradient is None:
            return self._no_gradient()
        error = float(np.abs(found.gradient - want).max() / np.abs(want).max())
        if error <= DIGITS[self.bytes]:
            return self._backward(found.gradient) or passed(f"(p − y)/N, within {error:.1e}")
        if error <= 1e-5:
            return self._imprecise(error, "gradient")
        known = self._known_gradient()
        return failed(
            f"{error:.1e} off, relative to the largest entry",
            "(p − y)/N",
            *(known or ("not the gradient", "Compare term by term with ∂L/∂z = (p − y)/N.")),
        )

    def _backward(self, once: Float) -> Check | None:
        """A backward pass of one's own must multiply by the gradient that comes in."""
        if not self.subject.by_autograd:
            return None
        factors = np.array([4.0, 0.5, 1.0, 3.0, 0.25, 2.0, 6.0])
        self.subject.comes_in = factors
        answer = self.subject.loss(self.z, self.y)
        self.subject.comes_in = None
        want = once * (factors[0] if answer.rows is None else factors[:, None])
        near = 10 * DIGITS[self.bytes] * np.abs(want).max()
        if answer.gradient is None or np.allclose(answer.gradient, want, rtol=0, atol=near):
            return None
        return failed(
            "another gradient of a multiple of the loss",
            "the same multiple",
            "the gradient that comes in is ignored",
            "backward(ctx, grad_output) returns grad_output · (p − y)/N.",
        )

    def sums(self) -> Check:
        """The gradient of each row sums to 0 over the classes."""
        if not self.subject.has_gradient:
            return skipped("it returns no gradient")
        found = self.subject.loss(self.z, self.y).gradient
        if found is None:
            return self._no_gradient()
        most = float(np.abs(found.sum(axis=1)).max())
        if most <= DIGITS[self.bytes] * max(float(np.abs(found).max()), 1e-300) * 10:
            return passed("Σ_k ∂L/∂z_k = 0 in every row")
        known = self._known_gradient()
        return failed(
            f"up to {most:.3g}",
            "0",
            *(
                known
                or (
                    "the gradient's rows do not sum to 0",
                    "Σ p = Σ y = 1, so Σ (p − y) = 0: a class is left out or counted twice.",
                )
            ),
        )

    def layer(self) -> Check:
        """The gradient of a dense layer is Xᵀ(P − Y)/N."""
        found = self.subject.linear(self.W, self.X, self.y, 0.0)
        if found.gradient is None:
            return self._no_gradient()
        want = self._through_layer(
            (np.asarray(reference.softmax(self.X @ self.W)) - self.rows.Y) / len(self.y)
        )
        error = float(np.abs(found.gradient - want).max() / np.abs(want).max())
        if error <= max(DIGITS[self.bytes], 1e-9):
            return self._long_rows() or passed(f"Xᵀ(P − Y)/N, within {error:.1e}")
        if error <= 1e-5:
            return self._imprecise(error, "gradient")
        rows = Rows(self.X @ self.W, self.y)
        known = named(found.gradient, self.subject.raw, rows, self._through_layer)
        return failed(
            f"{error:.1e} off, relative to the largest entry",
            "Xᵀ(P − Y)/N",
            *(
                known
                or (
                    "not the layer's gradient",
                    "dW = Xᵀ G with G = (P − Y)/N; check it against the loop over rows.",
                )
            ),
        )

    def _long_rows(self) -> Check | None:
        """X so many times as large, W as much smaller: the same logits, and a gradient as much larger."""
        many = 2.0**13
        found = self.subject.linear(self.W / many, self.X * many, self.y, 0.0)
        loss, gradient = self._fit(found, self.X @ self.W, self.y, lambda G: many * self._through_layer(G))
        of = f"of rows {many:.0f} times as long"
        if not loss:
            want = f"{float(np.mean(reference.cross_entropy(self.X @ self.W, self.y))):.9g}"
            return failed(f"{found.loss:.9g} {of}", want, *(self._known() or OTHER))
        return None if gradient else failed(f"another gradient {of}", "Xᵀ(P − Y)/N", *CUT)

    def _through_layer(self, G: Float) -> Float:
        """∂L/∂W (D, K) from ∂L/∂z (N, K)."""
        return np.asarray(self.X.T @ G)

    def regulariser(self) -> Check:
        """½ reg ‖W‖² or reg ‖W‖², in the loss as in the gradient."""
        if not self.subject.regularised:
            return skipped("it takes no reg")
        W, slack = self.W, max(1e-3, 2.5 * DIGITS[self.bytes])
        of_loss, moved = self._regularised(W, 0.5)
        if moved is None:
            return self._no_gradient()
        places = [(W[::-1, ::-1] ** 2, 0.5), (W, 2.5)]
        if self.bytes == 8:  # coarser ones have no digits left for a small sum, nor room for a large one
            places += [(W / 1000, 0.5), (4 * W, 0.5)]
        others = [self._regularised(*place)[0] for place in places]
        of_gradient = float((moved * W).sum() / (W * W).sum())
        more = self._regularised(W, 2.5)[1]
        proportional = bool(np.allclose(moved, of_gradient * W, atol=slack))
        proportional &= more is None or bool(np.allclose(more, of_gradient * W, atol=slack))
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
        """The check failed since no gradient came, or one of another shape."""
        shape = self.subject.shape
        if shape is None and not self.subject.by_autograd:
            return failed("none", "a gradient", "gradient missing", "Return (loss, gradient).")
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
    if proportional and (loss < 0 or gradient < 0):
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
