"""Tangents of what `tiles.forward` finds of rows, and products with its Hessian: two passes over the
classes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from .gradient import Gradients, GradientSums, Need, Residual, Upstream
from .tiles import Logits, Rows, Targets


@dataclass
class Directions:
    """Tangents of x, W, b and values; None is 0."""

    x: Tensor | None = None
    W: Tensor | None = None
    b: Tensor | None = None
    value: Tensor | None = None


class _Tangent:
    """Tangents ż of tiles, less that of the row's winner: Σ p ż then keeps its digits where nearly all of p
    is at the winner."""

    def __init__(self, logits: Logits, at: Directions, stats: Rows, rows: slice) -> None:
        self.logits, self.at, self.rows = logits, at, rows
        winner = stats.winner[rows]
        x = logits.x[rows].to(logits.dtype)
        origin = torch.zeros(len(x), dtype=logits.dtype, device=x.device)
        if at.x is not None:
            along = at.x[rows].to(logits.dtype)
            if logits.W is None:
                origin += along.gather(1, winner[:, None])[:, 0]
            else:
                origin += (along * logits.W[winner].to(logits.dtype)).sum(1)
        if at.W is not None:
            origin += (x * at.W[winner].to(logits.dtype)).sum(1)
        if at.b is not None:
            origin += at.b[winner].to(logits.dtype)
        self.origin = origin * logits.slope(stats.peak[rows].to(logits.dtype))

    def tile(self, z: Tensor, W: Tensor | None, dW: Tensor | None, classes: slice) -> tuple[Tensor, Tensor]:
        """The tangents of a tile: ẏ, and ż less the winner's."""
        logits, at, rows = self.logits, self.at, self.rows
        dy = torch.zeros_like(z)
        if logits.W is None:
            dy = at.x[rows, classes].to(z.dtype) if at.x is not None else dy
        else:
            if at.x is not None and W is not None:
                dy.addmm_(at.x[rows].to(z.dtype), W.T)
            if dW is not None:
                dy.addmm_(logits.x[rows].to(z.dtype), dW.T)
            if at.b is not None:
                dy += at.b[classes].to(z.dtype)
        return dy, dy * logits.slope(z) - self.origin[:, None]


def second_order(
    logits: Logits,
    targets: Targets,
    stats: Rows,
    up: Upstream,
    at: Directions,
    need: Need = (False, False, False, False),
) -> tuple[Upstream, Gradients]:
    """The tangents of what forward returns of rows along `at`, and, where needed, the Hessian of Σ_i of
    what `up` weighs times `at`: two more passes over the classes, one if nothing is needed."""
    parts = [_Second(logits, targets, stats, up, at, rows) for rows in logits.row_blocks()]
    for tile in _tiles(logits, at):
        for part in parts:
            part.scan(*tile)
    for part in parts:
        part.finish()
    sums = GradientSums(logits, targets, need)
    for tile in _tiles(logits, at) if any(need) else ():
        sums.begin(tile[0])
        for part in parts:
            part.add(sums, *tile)
        sums.end(tile[0])
    names = ("loss", "log_sum", "target", "entropy")
    empty = torch.empty(0, dtype=torch.float64, device=logits.x.device)
    return Upstream(
        *(torch.cat([getattr(part, name) for part in parts] or [empty]) for name in names)
    ), sums.gradients()


def _tiles(logits: Logits, at: Directions) -> Iterator[tuple[slice, Tensor | None, Tensor | None]]:
    """The classes of each tile, with their W and its tangent in the wide dtype."""
    for classes, W in logits.class_blocks():
        yield classes, W, None if at.W is None else at.W[classes].to(logits.dtype)


class _Second:
    """The second order of some rows: first the sums Σ p ż and Σ p ż (z − m), then the products."""

    def __init__(
        self, logits: Logits, targets: Targets, stats: Rows, up: Upstream, at: Directions, rows: slice
    ) -> None:
        self.logits, self.targets, self.at, self.rows = logits, targets, at, rows
        self.stats, self.up = stats, up.rows(rows)
        self.residual = Residual(logits, targets, stats, up, rows)
        self.tangent = _Tangent(logits, at, stats, rows)
        self.moved = None
        if at.value is not None:  # the loss is linear in q: of q's tangent, as of q
            self.moved = replace(targets, value=at.value)
        zeros = torch.zeros(rows.stop - rows.start, dtype=torch.float64, device=logits.x.device)
        self.first, self.second, self.of_target, self.of_smoothing, self.along, self.mass = (
            zeros for _ in range(6)
        )

    def scan(self, classes: slice, W: Tensor | None, dW: Tensor | None) -> None:
        """Take a tile up: the first sums."""
        z = self.logits.tile(self.rows, classes, W)
        _, dz = self.tangent.tile(z, W, dW, classes)
        p = self.residual.probabilities(z)
        moves = torch.where(p == 0, 0, p * dz)
        self.first = self.first + moves.sum(1, dtype=torch.float64)
        above = self.residual.above(z)
        self.second = self.second + torch.where(p == 0, 0, moves * above).sum(1, dtype=torch.float64)
        self.of_target = self.of_target + self.targets.dot(self.rows, classes, dz)[0]
        if self.residual.smooth is not None:
            w = self.targets.shares(classes, z)
            moved = torch.where(z == -torch.inf, 0, dz * w).sum(1, dtype=torch.float64)
            self.of_smoothing = self.of_smoothing + moved
        if self.moved is not None:
            along, mass = self.moved.dot(self.rows, classes, -above)
            self.along, self.mass = self.along + along, self.mass + mass

    def finish(self) -> None:
        """The tangents of the outputs, from the sums over all tiles."""
        r, o = self.residual, self.logits.options
        kept, stats, rows = 1 - o.label_smoothing, self.stats, self.rows
        mass, live = stats.mass[rows], stats.live[rows].clamp(min=1)
        # From here on with the winner's tangent: lse moves by it, differences do not.
        self.log_sum = self.first + self.tangent.origin.double()
        self.loss = kept * (mass * self.first - self.targets.scaled(rows, self.of_target))
        if o.label_smoothing:
            smoothing = stats.share[rows] * self.first - self.of_smoothing
            self.loss = self.loss + o.label_smoothing / live * smoothing
        self.loss = self.loss + 2 * o.z_loss * r.lse * self.log_sum
        if self.moved is not None:
            self.loss = self.loss + kept * (self.mass * r.log_rest + self.along)
        self.target = r.mean * self.of_target - self.first
        self.entropy = -(self.second + (stats.entropy[rows] - r.log_rest) * self.first)

    def add(self, sums: GradientSums, classes: slice, W: Tensor | None, dW: Tensor | None) -> None:
        """Add a tile's part of the products with the Hessian."""
        logits, r, up = self.logits, self.residual, self.up
        z = logits.tile(self.rows, classes, W)
        dy, dz = self.tangent.tile(z, W, dW, classes)
        p = r.probabilities(z)
        g = r.of(z, p, classes)
        kind = z.dtype
        turn = torch.where(p == 0, 0, p * (dz - self.first.to(kind)[:, None]))  # ṗ
        A = r.A.to(kind)[:, None]
        moved = 2 * logits.options.z_loss * up.loss * self.log_sum - up.entropy * self.entropy
        second = turn * A + p * (moved + up.entropy * self.first).to(kind)[:, None]
        if r.bends:
            above = torch.where(p == 0, 0, r.above(z))
            second += (turn * above + torch.where(p == 0, 0, p * dz)) * r.B.to(kind)[:, None]
        if self.moved is not None:
            kept = (1 - logits.options.label_smoothing) * up.loss
            second += p * (kept * self.mass).to(kind)[:, None]
            self.moved.subtract(self.rows, classes, second, kept.to(kind))
        slope, bend = logits.slope(z), logits.bend(z)
        moves = second * slope
        if bend is not None:
            moves += g * bend * dy
        sums.add(moves, W, self.rows, classes)
        if logits.W is not None:
            steep = g * slope
            if dW is not None and sums.x is not None:
                sums.x[self.rows].addmm_(steep, dW)
            if self.at.x is not None and sums.of_classes is not None:
                sums.of_classes.addmm_(steep.T, self.at.x[self.rows].to(kind))
        if sums.value is not None:
            per_class = (self.first[:, None] - dz.double()) * r.factor[:, None]
            sums.scatter(per_class, self.rows, classes)
