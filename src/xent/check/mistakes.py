"""What common mistakes compute, so that a wrong loss or gradient can be called by its name."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from .. import reference
from .._types import Float, Index


@dataclass(frozen=True)
class Rows:
    """Logits z (N, K) and labels y (N,), and what is right of them: p and one-hot rows Y."""

    z: Float
    y: Index

    @property
    def p(self) -> Float:
        """The softmax of each row, (N, K)."""
        return np.asarray(reference.softmax(self.z))

    @property
    def Y(self) -> Float:
        """One-hot labels, (N, K)."""
        return np.eye(self.z.shape[1])[self.y]

    @property
    def losses(self) -> Float:
        """The cross-entropy of each row in nats, (N,)."""
        return np.asarray(reference.cross_entropy(self.z, self.y))

    def of_label(self, rows: Float) -> Float:
        """The label's entry of each row."""
        return rows[np.arange(len(self.y)), self.y]


Blame = tuple[str, str]  # a mistake's name, and what to look at


@dataclass(frozen=True)
class Mistake:
    """Its name, what to look at, and the loss or the gradient by the logits that it makes of rows."""

    name: str
    advice: str
    wrong: Callable[[Rows], float | Float]


def _loss(p: Float, rows: Rows) -> float:
    """The mean of −log p_label."""
    return float(-np.log(rows.of_label(p)).mean())


def _of_axis_0(z: Float) -> Float:
    """A softmax over the rows."""
    return np.asarray(reference.softmax(z.T)).T


def _minus_max(z: Float) -> Float:
    """exp(z) − max z, normalised."""
    e = np.exp(z) - z.max(axis=1, keepdims=True)
    return np.asarray(e / e.sum(axis=1, keepdims=True))


def _of_all(z: Float) -> Float:
    """A softmax over the whole batch."""
    return np.asarray(reference.softmax(z.ravel())).reshape(z.shape)


def _by_column(z: Float) -> Float:
    """A softmax after a shift by each column's maximum."""
    e = np.exp(z - z.max(axis=0))
    return np.asarray(e / e.sum(axis=1, keepdims=True))


def _last_of_label(rows: Rows) -> Float:
    """A column: 1 for a row whose label does not come again, else 0."""
    return np.array([[float(label not in rows.y[i + 1 :])] for i, label in enumerate(rows.y)])


def _hard(rows: Rows) -> Float:
    """One-hot rows of the largest logit."""
    one_hot: Float = np.eye(rows.z.shape[1])[rows.z.argmax(axis=1)]
    return one_hot


def _shifted_labels(rows: Rows, by: int) -> Rows:
    """The same rows with every label moved by so many classes."""
    return Rows(rows.z, (rows.y + by) % rows.z.shape[1])


def _n(rows: Rows) -> int:
    """The number of rows."""
    return len(rows.y)


def _jacobian_times(p: Float, v: Float) -> Float:
    """The softmax's Jacobian times v, for each row."""
    return np.asarray(reference.softmax_jacobian_product(p, v))


_SUM = "Divide by the number of rows: the loss is the mean over the batch, and so is its gradient."
_LABELS = "The labels are indices from 0; y − 1 or y + 1 reads the neighbour's column."
_EXP = "Subtract the maximum inside the exponential, exp(z − max z): exp(z) − max z is something else."
_AXIS = "Sum over the classes of a row (axis 1, keepdims): not over the rows."

_BY_N = "Divide by N, the number of rows: the mean has no N − 1."
_TWO = "There is no ½ and no 2 in −log p_label, nor in p − y: that is of squared error."
_COLUMNS = "Subtract each row's own largest logit (axis=1, keepdims=True): a column's changes the softmax."

LOSSES = [
    Mistake("sum, not mean", _SUM, lambda r: float(r.losses.sum())),
    Mistake("off-by-one labels", _LABELS, lambda r: float(_shifted_labels(r, -1).losses.mean())),
    Mistake("off-by-one labels", _LABELS, lambda r: float(_shifted_labels(r, 1).losses.mean())),
    Mistake("exp(z) − max", _EXP, lambda r: _loss(_minus_max(r.z), r)),
    Mistake("softmax over the rows", _AXIS, lambda r: _loss(_of_axis_0(r.z), r)),
    Mistake(
        "divided by N K",
        "Average over the rows only: divide by N, not by the number of entries.",
        lambda r: float(r.losses.sum()) / r.z.size,
    ),
    Mistake("divided by N − 1", _BY_N, lambda r: float(r.losses.sum()) / max(_n(r) - 1, 1)),
    Mistake("a factor of 2", _TWO, lambda r: 2 * float(r.losses.mean())),
    Mistake("a factor of 2", _TWO, lambda r: 0.5 * float(r.losses.mean())),
    Mistake("the maximum over the rows", _COLUMNS, lambda r: _loss(_by_column(r.z), r)),
    Mistake("wrong sign", "The loss is minus the logarithm.", lambda r: -float(r.losses.mean())),
    Mistake(
        "logarithm of another base",
        "Use the natural logarithm, np.log: log2 and log10 measure in other units than the gradient.",
        lambda r: float(r.losses.mean()) / np.log(2),
    ),
    Mistake(
        "logarithm of another base",
        "Use the natural logarithm, np.log: log2 and log10 measure in other units than the gradient.",
        lambda r: float(r.losses.mean()) / np.log(10),
    ),
    Mistake(
        "no logarithm",
        "The loss is −log p_label, not −p_label or 1 − p_label.",
        lambda r: float(-r.of_label(r.p).mean()),
    ),
    Mistake(
        "no logarithm",
        "The loss is −log p_label, not −p_label or 1 − p_label.",
        lambda r: float(1 - r.of_label(r.p).mean()),
    ),
    Mistake(
        "squared error",
        "That is the squared error of the probabilities; cross-entropy is −log p_label.",
        lambda r: float(0.5 * ((r.p - r.Y) ** 2).sum(1).mean()),
    ),
    Mistake(
        "squared error",
        "That is the squared error of the probabilities; cross-entropy is −log p_label.",
        lambda r: float(((r.p - r.Y) ** 2).sum(1).mean()),
    ),
    Mistake(
        "no normalisation",
        "Divide by the sum of the exponentials: the loss is log Σ exp z − z_label.",
        lambda r: float(-r.of_label(r.z).mean()),
    ),
    Mistake(
        "binary cross-entropy",
        "Only the label's term counts: several-of-K losses also add −log(1 − p_k) of the others.",
        lambda r: float(np.asarray(reference.binary_cross_entropy(r.z, r.Y)).sum(1).mean()),
    ),
    Mistake(
        "binary cross-entropy",
        "That is of several-of-K labels, a sigmoid each: of one-of-K the loss is −log p_label of a softmax.",
        lambda r: float(np.asarray(reference.binary_cross_entropy(r.z, r.Y)).mean()),
    ),
    Mistake(
        "the entropy of p",
        "−Σ p log p does not know the label: the loss is −Σ y log p.",
        lambda r: float(np.asarray(reference.entropy(r.p)).mean()),
    ),
    Mistake(
        "hinge loss",
        "That is the SVM's loss: cross-entropy is log Σ exp z − z_label.",
        lambda r: float((np.maximum(r.z - r.of_label(r.z)[:, None] + 1, 0) * (1 - r.Y)).sum(1).mean()),
    ),
    Mistake(
        "softmax twice",
        "The function takes logits and was given, or makes, probabilities of probabilities.",
        lambda r: _loss(np.asarray(reference.softmax(r.p)), r),
    ),
    Mistake(
        "the last row left out",
        "Every row counts: range(N), not range(N − 1).",
        lambda r: float(r.losses[:-1].sum()) / _n(r),
    ),
    Mistake(
        "the last row left out",
        "Every row counts: range(N), not range(N − 1).",
        lambda r: float(r.losses[:-1].mean()),
    ),
    Mistake(
        "the first row left out",
        "Every row counts: range(N), not range(1, N).",
        lambda r: float(r.losses[1:].sum()) / _n(r),
    ),
    Mistake(
        "= for +=",
        "Rows add up: loss += …, or the last row is all that is left.",
        lambda r: float(r.losses[-1]) / _n(r),
    ),
    Mistake(
        "= for +=",
        "Rows add up: loss += …, or the last row is all that is left.",
        lambda r: float(r.losses[-1]),
    ),
    Mistake("softmax over the whole batch", _AXIS, lambda r: _loss(_of_all(r.z), r)),
    Mistake(
        "the last class left out",
        "Every class counts in Σ exp z: range(K), not range(K − 1).",
        lambda r: float((np.log(np.exp(r.z[:, :-1]).sum(1)) - r.of_label(r.z)).mean()),
    ),
    Mistake(
        "the first class left out",
        "Every class counts in Σ exp z: range(K), not range(1, K).",
        lambda r: float((np.log(np.exp(r.z[:, 1:]).sum(1)) - r.of_label(r.z)).mean()),
    ),
    Mistake(
        "the label's logit is not shifted",
        "Subtract the maximum there as well: log Σ exp(z − max) − (z_label − max).",
        lambda r: float((np.log(np.exp(r.z - r.z.max(1, keepdims=True)).sum(1)) - r.of_label(r.z)).mean()),
    ),
    Mistake(
        "p[:, y] for p[range(N), y]",
        "p[:, y] is every row with every label: pair them, p[np.arange(N), y].",
        lambda r: float(-np.log(r.p[:, r.y]).mean()),
    ),
    Mistake(
        "divided by K",
        "Average over the rows: divide by N.",
        lambda r: float(r.losses.sum()) / r.z.shape[1],
    ),
    Mistake(
        "integer division",
        "// rounds down and integers lose the digits: divide with /, keep floats.",
        lambda r: float(np.floor(r.losses.sum() / _n(r))),
    ),
    Mistake(
        "whole logits",
        "The logits were rounded to integers: keep floats.",
        lambda r: float(np.mean(np.asarray(reference.cross_entropy(np.trunc(r.z), r.y)))),
    ),
]

GRADIENTS = [
    Mistake("sum, not mean", _SUM, lambda r: r.p - r.Y),
    Mistake(
        "p instead of p − y",
        "Subtract 1 at each row's label: ∂L/∂z = p − y.",
        lambda r: r.p / _n(r),
    ),
    Mistake(
        "p instead of p − y, and sum, not mean",
        "Subtract 1 at each row's label, and divide by N: ∂L/∂z = (p − y)/N.",
        lambda r: r.p,
    ),
    Mistake("divided by N − 1", _BY_N, lambda r: (r.p - r.Y) / max(_n(r) - 1, 1)),
    Mistake("a factor of 2", _TWO, lambda r: 2 * (r.p - r.Y) / _n(r)),
    Mistake("a factor of 2", _TWO, lambda r: 0.5 * (r.p - r.Y) / _n(r)),
    Mistake("the maximum over the rows", _COLUMNS, lambda r: (_by_column(r.z) - r.Y) / _n(r)),
    Mistake(
        "equal labels counted once",
        "dW[:, y] −= X.T takes the last of equal labels alone: Xᵀ (P − Y), or np.subtract.at.",
        lambda r: (r.p - r.Y * _last_of_label(r)) / _n(r),
    ),
    Mistake("wrong sign", "The gradient is p − y, not y − p.", lambda r: (r.Y - r.p) / _n(r)),
    Mistake("off-by-one labels", _LABELS, lambda r: (r.p - _shifted_labels(r, -1).Y) / _n(r)),
    Mistake("off-by-one labels", _LABELS, lambda r: (r.p - _shifted_labels(r, 1).Y) / _n(r)),
    Mistake("exp(z) − max", _EXP, lambda r: (_minus_max(r.z) - r.Y) / _n(r)),
    Mistake("softmax over the rows", _AXIS, lambda r: (_of_axis_0(r.z) - r.Y) / _n(r)),
    Mistake(
        "only the label's column",
        "Every class gets a gradient, p_k for the others: not the label alone.",
        lambda r: (r.p - 1) * r.Y / _n(r),
    ),
    Mistake(
        "the label's column left out",
        "The label gets p − 1; only the other classes get p_k.",
        lambda r: r.p * (1 - r.Y) / _n(r),
    ),
    Mistake(
        "the label's column counted twice",
        "The label gets p − 1 once: not p and then p − 1 as well.",
        lambda r: (r.p + (r.p - 1) * r.Y) / _n(r),
    ),
    Mistake("plus for minus", "The gradient is p − y, not p + y.", lambda r: (r.p + r.Y) / _n(r)),
    Mistake("softmax over the whole batch", _AXIS, lambda r: (_of_all(r.z) - r.Y) / _n(r)),
    Mistake("divided by N K", "Divide by N alone, the number of rows.", lambda r: (r.p - r.Y) / r.z.size),
    Mistake(
        "hardmax",
        "The prediction's one-hot row is not the softmax: use p, not argmax.",
        lambda r: (_hard(r) - r.Y) / _n(r),
    ),
    Mistake(
        "the gradient of squared error",
        "p − y is already ∂L/∂z: do not multiply by the softmax's Jacobian again.",
        lambda r: _jacobian_times(r.p, r.p - r.Y) / _n(r),
    ),
    Mistake(
        "the Jacobian forgotten",
        "−1/p_label is ∂L/∂p; times the softmax's Jacobian it is p − y.",
        lambda r: -r.Y / r.p / _n(r),
    ),
    Mistake(
        "the sigmoid's gradient",
        "That is p(1 − p) or σ(z) − y, of several-of-K: the softmax couples the classes.",
        lambda r: (np.asarray(reference.sigmoid(r.z)) - r.Y) / _n(r),
    ),
    Mistake(
        "the sigmoid's gradient",
        "That is p(1 − p) or σ(z) − y, of several-of-K: the softmax couples the classes.",
        lambda r: (r.p - r.Y) * r.p * (1 - r.p) / _n(r),
    ),
    Mistake(
        "exponentials not normalised",
        "Divide by the sum of the exponentials before subtracting y.",
        lambda r: (np.exp(r.z - r.z.max(1, keepdims=True)) - r.Y) / _n(r),
    ),
    Mistake(
        "exponentials not normalised",
        "Divide by the sum of the exponentials before subtracting y.",
        lambda r: (np.exp(r.z) - r.Y) / _n(r),
    ),
    Mistake(
        "p[:, y] for p[range(N), y]",
        "p[:, y] −= 1 takes 1 from whole columns: pair rows and labels, p[np.arange(N), y] −= 1.",
        lambda r: (r.p - r.Y.max(0)) / _n(r),
    ),
    Mistake(
        "divided before y is subtracted",
        "Subtract y first, then divide by N: (p − y)/N, not p/N − y.",
        lambda r: r.p / _n(r) - r.Y,
    ),
    Mistake("divided by K", "Divide by N, the number of rows.", lambda r: (r.p - r.Y) / r.z.shape[1]),
    Mistake(
        "= for +=",
        "Rows add up: dW[:, k] += …, or the last row is all that is left.",
        lambda r: (r.p - r.Y) * (np.arange(_n(r)) == _n(r) - 1)[:, None] / _n(r),
    ),
    Mistake("zero", "The gradient is never filled in.", lambda r: np.zeros_like(r.z)),
]


def name_loss(loss: float, rows: Rows) -> Blame | None:
    """The mistake that makes this loss of rows."""
    return next(_matching(LOSSES, np.asarray(loss), rows), None)


def name_gradient(gradient: Float, rows: Rows, through: Callable[[Float], Float]) -> Blame | None:
    """The mistake that makes this gradient: `through` takes one by the logits to what the function gives."""
    return next(_matching(GRADIENTS, gradient, rows, through), None)


def _matching(
    mistakes: list[Mistake],
    found: Float,
    rows: Rows,
    through: Callable[[Float], Float] = np.asarray,
) -> Iterator[Blame]:
    """The mistakes that make what was found."""
    with np.errstate(all="ignore"):
        for mistake in mistakes:
            wrong = through(np.asarray(mistake.wrong(rows), np.float64))
            scale = max(float(np.abs(wrong).max(initial=0.0)), 1e-300)
            sure = not wrong.ndim or np.isfinite(wrong).all()  # a loss may be NaN by one mistake
            if sure and np.allclose(found, wrong, rtol=1e-5, atol=1e-5 * scale, equal_nan=True):
                yield mistake.name, mistake.advice
