"""The gradient of what `_tiles.forward` finds of rows, in one more pass over the classes."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ._tiles import Logits, Rows, Targets

Need = tuple[bool, bool, bool, bool]  # of x, W, b and the targets' values


@dataclass
class Upstream:
    """∂/∂ of what forward returns of a row, float64 (N,): the loss, lse, the target's log-probability, the
    entropy."""

    loss: Tensor
    log_sum: Tensor
    target: Tensor
    entropy: Tensor

    def rows(self, rows: slice) -> Upstream:
        return Upstream(self.loss[rows], self.log_sum[rows], self.target[rows], self.entropy[rows])


class Residual:
    """∂/∂z of rows: p (A + B (z − m)) − f q − s w, w the shares of smoothing; at the winner from 1 − p_w =
    R/(1 + R)."""

    def __init__(
        self, logits: Logits, targets: Targets | None, stats: Rows, up: Upstream, rows: slice
    ) -> None:
        o = logits.options
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
        self.factor = kept * up.loss - torch.where(mass == 0, 0, up.target / mass)
        self.A = total + 2 * o.z_loss * self.lse * up.loss + up.log_sum - up.target
        self.A = self.A - up.entropy * (stats.entropy[rows] - self.log_rest)
        self.B = -up.entropy
        self.bends = bool(torch.count_nonzero(up.entropy)) if up.entropy.numel() else False
        self.peak_narrow = torch.where(self.peak == -torch.inf, 0, self.peak).to(self.dtype)
        self.inverse = 1 / (1 + self.rest)
        self.top = self._at_winner()

    def _at_winner(self) -> Tensor:
        """What the winner gets: first less what the target takes, which for a label leaves exactly 0."""
        top = self.A
        if self.targets is not None:
            top = top - self.factor * self.targets.of_class(self.rows, self.winner)
        if self.smooth is not None and self.targets is not None:
            w = self.targets.class_weight
            top = top - (self.smooth if w is None else self.smooth * w.double()[self.winner])
        return top - self.A * self.rest * self.inverse

    def probabilities(self, z: Tensor) -> Tensor:
        return torch.exp(z - self.peak_narrow[:, None]).mul_(self.inverse.to(self.dtype)[:, None])

    def place(self, classes: slice, z: Tensor) -> tuple[Tensor, Tensor]:
        """Where the winner is in a tile (rows, 1), and whether it is (rows, 1)."""
        at = (self.winner - classes.start)[:, None]
        return at.clamp(0, z.shape[1] - 1), (at >= 0) & (at < z.shape[1])

    def of(self, z: Tensor, p: Tensor, classes: slice) -> Tensor:
        """The tile's, p its probabilities."""
        A = self.A.to(self.dtype)[:, None]
        dz = p * A
        if self.bends:
            below = torch.where(p == 0, 0, z - self.peak_narrow[:, None])
            dz.addcmul_(p * self.B.to(self.dtype)[:, None], below)
        at, here = self.place(classes, z)
        if self.targets is not None:
            self.targets.subtract(self.rows, classes, dz, self.factor.to(self.dtype))
        if self.smooth is not None and self.targets is not None:
            w = self.targets.shares(classes, z)
            dz -= torch.where(z == -torch.inf, 0, self.smooth.to(self.dtype)[:, None] * w)
        top = self.top.to(self.dtype)[:, None]
        return dz.scatter_(1, at, torch.where(here, top, dz.gather(1, at)))


@dataclass
class Gradients:
    """Of x, W, b and the targets' values; None of what was not asked for."""

    x: Tensor | None = None
    W: Tensor | None = None
    b: Tensor | None = None
    value: Tensor | None = None


def backward(
    logits: Logits,
    targets: Targets | None,
    stats: Rows,
    up: Upstream,
    need: Need,
) -> Gradients:
    """Gradients of Σ_i of what `up` weighs, in one more pass over the classes; `need`: of x, W, b,
    values."""
    sums = Sums(logits, targets, need)
    for classes in logits.class_blocks():
        W = None if logits.W is None else logits.weight(classes)
        sums.begin(classes)
        for rows in logits.row_blocks():
            residual = Residual(logits, targets, stats, up.rows(rows), rows)
            z = logits.tile(rows, classes, W)
            sums.values(residual, z, rows, classes)
            if any(need[:3]):
                dz = residual.of(z, residual.probabilities(z), classes)
                dy = dz.mul_(logits.slope(z))
                sums.add(dy, W, logits.x, rows, classes)
                sums.add_bias(dy)
        sums.end(classes)
    return sums.found()


class Sums:
    """Adds gradients up in the wide dtype: those of a tile's classes until it ends, those of rows to the
    end."""

    def __init__(self, logits: Logits, targets: Targets | None, need: Need) -> None:
        self.logits, self.targets, self.need = logits, targets, need
        self.narrow = logits.x.dtype
        self.device = logits.x.device
        given = logits.W is None
        self.x = None
        if need[0]:
            self.x = torch.zeros(
                logits.x.shape, dtype=self.narrow if given else logits.dtype, device=self.device
            )
        W, b = logits.W, logits.b
        self.W = (
            torch.empty(W.shape, dtype=W.dtype, device=self.device) if need[1] and W is not None else None
        )
        self.b = (
            torch.empty(b.shape, dtype=b.dtype, device=self.device) if need[2] and b is not None else None
        )
        value = None if targets is None else targets.value
        self.value = (
            torch.zeros(value.shape, dtype=value.dtype, device=self.device)
            if need[3] and value is not None
            else None
        )

    def begin(self, classes: slice) -> None:
        size = classes.stop - classes.start
        d = self.logits.x.shape[1]
        self.of_classes = (
            torch.zeros(size, d, dtype=self.logits.dtype, device=self.device) if self.W is not None else None
        )
        self.of_bias = (
            torch.zeros(size, dtype=torch.float64, device=self.device) if self.b is not None else None
        )

    def add(self, dy: Tensor, W: Tensor | None, x: Tensor | None, rows: slice, classes: slice) -> None:
        """dy (rows, classes) times W into rows, and times x into classes."""
        if self.x is not None and self.logits.W is None:
            self.x[rows, classes] += dy.to(self.narrow)
        elif self.x is not None and W is not None:
            self.x[rows].addmm_(dy, W)
        if self.of_classes is not None and x is not None:
            self.of_classes.addmm_(dy.T, x[rows].to(dy.dtype))

    def add_bias(self, dy: Tensor) -> None:
        if self.of_bias is not None:
            self.of_bias += dy.sum(0, dtype=torch.float64)

    def values(self, residual: Residual, z: Tensor, rows: slice, classes: slice) -> None:
        """∂/∂q_k = (1 − ε) w_k (lse − z_k), with what is upstream of it."""
        if self.value is not None:
            lse = (residual.lse[:, None] - z.double()) * residual.factor[:, None]
            self.scatter(lse, rows, classes)

    def scatter(self, per_class: Tensor, rows: slice, classes: slice) -> None:
        targets = self.targets
        assert targets is not None
        assert self.value is not None
        if targets.class_weight is not None:
            per_class = per_class * targets.class_weight[classes].double()
        if targets.index is None:
            self.value[rows, classes] += per_class.to(self.value.dtype)
        else:
            index = targets.index[rows]
            inside = (index >= classes.start) & (index < classes.stop)
            at = (index - classes.start).clamp(0, per_class.shape[1] - 1)
            self.value[rows] += torch.where(inside, per_class.gather(1, at), 0).to(self.value.dtype)

    def end(self, classes: slice) -> None:
        if self.W is not None and self.of_classes is not None:
            self.W[classes] = self.of_classes.to(self.W.dtype)
        if self.b is not None and self.of_bias is not None:
            self.b[classes] = self.of_bias.to(self.b.dtype)

    def found(self) -> Gradients:
        return Gradients(None if self.x is None else self.x.to(self.narrow), self.W, self.b, self.value)
