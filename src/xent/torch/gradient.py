"""The gradient of what `tiles.forward` finds of rows, in one more pass over the classes."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from .tiles import Logits, Rows, Targets

Need = tuple[bool, bool, bool, bool]  # of x, W, b and the targets' values


@dataclass
class Upstream:
    """The gradient by the outputs of forward, float64 (N,): loss, lse, log p of the target, entropy."""

    loss: Tensor
    log_sum: Tensor
    target: Tensor
    entropy: Tensor

    def rows(self, rows: slice) -> Upstream:
        """The part of some rows."""
        return Upstream(self.loss[rows], self.log_sum[rows], self.target[rows], self.entropy[rows])


class Residual:
    """∂/∂z of rows: p (A + B (z − m)) − f q − s w, w the shares of smoothing; at the winner from 1 − p_w =
    R/(1 + R)."""

    def __init__(self, logits: Logits, targets: Targets, stats: Rows, up: Upstream, rows: slice) -> None:
        o, up = logits.options, up.rows(rows)
        self.logits, self.targets, self.rows, self.dtype = logits, targets, rows, logits.dtype
        self.peak, self.rest, mass = stats.peak[rows], stats.rest[rows], stats.mass[rows]
        self.winner = stats.winner[rows]
        self.log_rest = torch.log1p(self.rest)
        self.lse = self.peak + self.log_rest
        kept, live = 1 - o.label_smoothing, stats.live[rows]
        self.smooth = up.loss * o.label_smoothing / live.clamp(min=1) if o.label_smoothing else None
        total = kept * mass * up.loss
        if self.smooth is not None:
            total = total + self.smooth * stats.share[rows]
        self.mean = targets.mean(mass)
        self.factor = targets.scaled(rows, kept * up.loss) - up.target * self.mean
        self.A = total + 2 * o.z_loss * self.lse * up.loss + up.log_sum - up.target + (self.peak - self.peak)
        self.A = self.A - up.entropy * (stats.entropy[rows] - self.log_rest)
        self.B = -up.entropy
        self.bends = bool(torch.count_nonzero(up.entropy)) if up.entropy.numel() else False
        self.origin = torch.where(self.peak == -torch.inf, 0, self.peak)
        self.inverse = 1 / (1 + self.rest)
        self.top = self._at_winner()

    def _at_winner(self) -> Tensor:
        """What the winner gets: first less what the target takes, which for a label leaves exactly 0."""
        top = self.A - self.factor * self.targets.of_class(self.rows, self.winner)
        if self.smooth is not None:
            w = self.targets.class_weight
            top = top - (self.smooth if w is None else self.smooth * w.double()[self.winner])
        return top - self.A * self.rest * self.inverse

    def above(self, z: Tensor) -> Tensor:
        """z − m."""
        return z - self.origin.to(self.dtype)[:, None]

    def probabilities(self, z: Tensor) -> Tensor:
        """p of a tile z."""
        return torch.exp(self.above(z)).mul_(self.inverse.to(self.dtype)[:, None])

    def of(self, z: Tensor, p: Tensor, classes: slice) -> Tensor:
        """∂/∂z of a tile of logits z with probabilities p."""
        A = self.A.to(self.dtype)[:, None]
        dz = p * A
        if self.bends:
            dz.addcmul_(p * self.B.to(self.dtype)[:, None], torch.where(p == 0, 0, self.above(z)))
        self.targets.subtract(self.rows, classes, dz, self.factor.to(self.dtype))
        if self.smooth is not None:
            w = self.targets.shares(classes, z)
            dz -= torch.where(z == -torch.inf, 0, self.smooth.to(self.dtype)[:, None] * w)
        place = (self.winner - classes.start)[:, None]
        here, at = (place >= 0) & (place < z.shape[1]), place.clamp(0, z.shape[1] - 1)
        return dz.scatter_(1, at, torch.where(here, self.top.to(self.dtype)[:, None], dz.gather(1, at)))


@dataclass
class Gradients:
    """Gradients of x (in the wide dtype), W, b and the targets' values; None where not needed."""

    x: Tensor | None = None
    W: Tensor | None = None
    b: Tensor | None = None
    value: Tensor | None = None


def backward(logits: Logits, targets: Targets, stats: Rows, up: Upstream, need: Need) -> Gradients:
    """Gradients of the outputs of all rows, weighed by `up` and summed, in one more pass over the classes."""
    sums = GradientSums(logits, targets, need)
    residuals = [Residual(logits, targets, stats, up, rows) for rows in logits.row_blocks()]
    for classes, W in logits.class_blocks():
        sums.begin(classes)
        for residual in residuals:
            z = logits.tile(residual.rows, classes, W)
            sums.values(residual, z, classes)
            if any(need[:3]):
                dz = residual.of(z, residual.probabilities(z), classes)
                sums.add(dz.mul_(logits.slope(z)), W, residual.rows, classes)
        sums.end(classes)
    return sums.gradients()


class GradientSums:
    """Adds gradients up in the wide dtype: those of a tile's classes until it ends, those of rows to the
    end."""

    def __init__(self, logits: Logits, targets: Targets, need: Need) -> None:
        self.logits, self.targets = logits, targets
        x, W, b, value = logits.x, logits.W, logits.b, targets.value
        # Of logits that are there each number is written once.
        self.x = torch.zeros_like(x, dtype=x.dtype if W is None else logits.dtype) if need[0] else None
        self.W = torch.empty_like(W) if need[1] and W is not None else None
        self.b = torch.empty_like(b) if need[2] and b is not None else None
        self.value = torch.zeros_like(value) if need[3] and value is not None else None

    def begin(self, classes: slice) -> None:
        """Make room for the sums of a tile's classes."""
        x, size = self.logits.x, classes.stop - classes.start
        dtype = self.logits.dtype
        self.of_classes = None if self.W is None else x.new_zeros((size, x.shape[1]), dtype=dtype)
        self.of_bias = None if self.b is None else x.new_zeros(size, dtype=torch.float64)

    def add(self, dy: Tensor, W: Tensor | None, rows: slice, classes: slice) -> None:
        """Add dy (rows, classes) times W to the rows, times x to the classes, and its sums to the bias."""
        if self.x is not None and W is None:
            self.x[rows, classes] += dy.to(self.x.dtype)
        elif self.x is not None and W is not None:
            self.x[rows].addmm_(dy, W)
        if self.of_classes is not None:
            self.of_classes.addmm_(dy.T, self.logits.x[rows].to(dy.dtype))
        if self.of_bias is not None:
            self.of_bias += dy.sum(0, dtype=torch.float64)

    def values(self, residual: Residual, z: Tensor, classes: slice) -> None:
        """Add the gradient of the targets' values: ∂ℓ/∂q_k = (1 − ε) w_k (lse − z_k), times the upstream."""
        if self.value is not None:
            lse = (residual.lse[:, None] - z.double()) * residual.factor[:, None]
            self.scatter(lse, residual.rows, classes)

    def scatter(self, per_class: Tensor, rows: slice, classes: slice) -> None:
        """Add ∂/∂q of a tile to the gradient of the targets' values."""
        targets = self.targets
        assert self.value is not None
        if targets.class_weight is not None:
            w = targets.class_weight[classes].double()
            per_class = torch.where(w == 0, 0, per_class * w)
        if targets.index is None:
            self.value[rows, classes] += per_class.to(self.value.dtype)
        else:
            index = targets.index[rows]
            inside = (index >= classes.start) & (index < classes.stop)
            at = (index - classes.start).clamp(0, per_class.shape[1] - 1)
            self.value[rows] += torch.where(inside, per_class.gather(1, at), 0).to(self.value.dtype)

    def end(self, classes: slice) -> None:
        """Round the sums of a tile's classes, which are complete."""
        if self.W is not None and self.of_classes is not None:
            self.W[classes] = self.of_classes.to(self.W.dtype)
        if self.b is not None and self.of_bias is not None:
            self.b[classes] = self.of_bias.to(self.b.dtype)

    def gradients(self) -> Gradients:
        """What has been added up."""
        return Gradients(self.x, self.W, self.b, self.value)
