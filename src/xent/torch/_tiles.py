"""Cross-entropy of rows whose logits are made a tile at a time, in PyTorch's own operations, on any device.

Row i has logits y = W x_i + b, or is given them; z = c tanh(y/c)/T (softcap c, temperature T) and weights
q ≥ 0 of the classes that its target names. In nats, with λ the z-loss,

    ℓ_i = Σ_k q_k (lse − z_k) + λ lse²,   lse = log Σ_k exp z_k.

Design
 a. Tiles of rows × classes in float32, or float64 for float64, however narrow the tensors: W is read in its
    own dtype, and never copied wider but for a tile. `max_bytes` bounds what a tile takes.
 b. Forward keeps of a row its largest logit m, the class w where it is, and R = Σ_{k≠w} exp(z_k − m): so
    lse = m + log1p(R), 1 − p_w = R/(1 + R), and nothing cancels where the model is confident. Sums over
    classes are float64.
 c. Backward makes every tile once more, and adds up the gradients of a class, and of a row, in that dtype:
    they are rounded once.
Source: N. Higham, P. Blanchard, D. Higham, IMA J. Numer. Anal. 41 (2021), for the shifted sums.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

_MOST_ROWS = 16384
_FEWEST_CLASSES = 16
_COPIES = 5  # of a tile that are alive at once


@dataclass(frozen=True)
class Options:
    """What a loss is made of, besides tensors; `softcap` 0 is none."""

    label_smoothing: float = 0.0
    softcap: float = 0.0
    temperature: float = 1.0
    z_loss: float = 0.0
    max_bytes: int = 32 << 20


def wide(dtype: torch.dtype) -> torch.dtype:
    """What rows of a dtype are computed in."""
    return torch.float64 if dtype == torch.float64 else torch.float32


@dataclass(frozen=True)
class Logits:
    """z of rows x (N, D) under W (K, D) and b (K,), or of rows of logits (N, K) where W is None; rows that
    are `dead` (N,) are 0, whatever they hold."""

    x: Tensor
    W: Tensor | None
    b: Tensor | None
    options: Options
    dead: Tensor | None = None

    @property
    def shape(self) -> tuple[int, int]:
        return self.x.shape[0], (self.x if self.W is None else self.W).shape[-1 if self.W is None else 0]

    @property
    def dtype(self) -> torch.dtype:
        return wide(self.x.dtype)

    def row_blocks(self) -> Iterator[slice]:
        n = self.shape[0]
        return (slice(a, min(a + _MOST_ROWS, n)) for a in range(0, n, _MOST_ROWS))

    def class_blocks(self) -> Iterator[slice]:
        n, K = self.shape
        room = self.options.max_bytes // (_COPIES * max(min(n, _MOST_ROWS), 1) * self.dtype.itemsize)
        step = max(min(room, K), min(K, _FEWEST_CLASSES), 1)
        return (slice(a, min(a + step, K)) for a in range(0, K, step))

    def weight(self, classes: slice) -> Tensor:
        assert self.W is not None
        return self.W[classes].to(self.dtype)

    def products(
        self, x: Tensor | None, W: Tensor | None, b: Tensor | None, rows: slice, classes: slice
    ) -> Tensor:
        """Of a tile, before softcap and temperature, W being cut already: x Wᵀ + b."""
        if self.W is None:
            assert x is not None
            return x[rows, classes].to(self.dtype, copy=True)
        y = x[rows].to(self.dtype) @ W.T if x is not None and W is not None else None
        if b is not None:
            y = (
                b[classes].to(self.dtype).expand(rows.stop - rows.start, -1).clone()
                if y is None
                else y.add_(b[classes])
            )
        assert y is not None
        return y

    def tile(self, rows: slice, classes: slice, W: Tensor | None = None) -> Tensor:
        """z (rows, classes); W of these classes, wide, if it is at hand."""
        if self.W is not None and W is None:
            W = self.weight(classes)
        z = self.products(self.x, W, self.b, rows, classes)
        if self.dead is not None:
            z.masked_fill_(self.dead[rows][:, None], 0)
        o = self.options
        if o.softcap:
            z.div_(o.softcap).tanh_().mul_(o.softcap)
        return z if o.temperature == 1 else z.div_(o.temperature)

    def slope(self, z: Tensor) -> Tensor | float:
        """∂z/∂y."""
        o = self.options
        if not o.softcap:
            return 1 / o.temperature
        t = z * (o.temperature / o.softcap)
        return t.mul_(t).neg_().add_(1).div_(o.temperature)

    def bend(self, z: Tensor) -> Tensor | None:
        """∂²z/∂y²; None where it is 0."""
        o = self.options
        if not o.softcap:
            return None
        t = z * (o.temperature / o.softcap)
        return (1 - t * t) * t * (-2 / (o.softcap * o.temperature))


@dataclass(frozen=True)
class Targets:
    """q: classes (N,) int64; rows (N, K) of weights; or `index` (N, t) with `value` (N, t). Times
    `class_weight` (K,), and of label smoothing ε (1 − ε) q + (ε/K) class_weight over the K classes that
    are not masked."""

    index: Tensor | None
    value: Tensor | None
    class_weight: Tensor | None
    smoothing: float
    n_classes: int

    def _found(self, rows: slice, classes: slice, like: Tensor) -> tuple[Tensor, Tensor]:
        """Places in a tile (rows, t), and how much each counts: 0 outside of the tile."""
        assert self.index is not None
        index = self.index[rows]
        index = index if index.ndim == 2 else index[:, None]
        inside = (index >= classes.start) & (index < classes.stop)
        counts = (
            torch.ones_like(index, dtype=like.dtype)
            if self.value is None
            else self.value[rows].to(like.dtype)
        )
        if self.class_weight is not None:
            counts = counts * self.class_weight.to(like.dtype)[index.clamp(0, self.n_classes - 1)]
        return (index - classes.start).clamp(0, like.shape[1] - 1), torch.where(inside, counts, 0)

    def _dense(self, rows: slice, classes: slice, like: Tensor) -> Tensor:
        assert self.value is not None
        q = self.value[rows, classes].to(like.dtype)
        return q if self.class_weight is None else q * self.class_weight[classes].to(like.dtype)

    def dot(self, rows: slice, classes: slice, values: Tensor) -> tuple[Tensor, Tensor]:
        """Σ_k q_k values_k over a tile, 0 · inf = 0, and Σ_k q_k; float64 (rows,), before smoothing."""
        if self.index is None:
            q, v = self._dense(rows, classes, values), values
        else:
            at, q = self._found(rows, classes, values)
            v = values.gather(1, at)
        return torch.where(q == 0, 0, q * v).sum(1, dtype=torch.float64), q.sum(1, dtype=torch.float64)

    def of_class(self, rows: slice, k: Tensor) -> Tensor:
        """q of one class a row, k (rows,), before smoothing; float64."""
        weight = 1.0 if self.class_weight is None else self.class_weight[k].double()
        if self.index is None:
            assert self.value is not None
            return self.value[rows].gather(1, k[:, None])[:, 0].double() * weight
        index = self.index[rows]
        index = index if index.ndim == 2 else index[:, None]
        counts = 1.0 if self.value is None else self.value[rows].double()
        return torch.where(index == k[:, None], counts, 0.0).sum(1, dtype=torch.float64) * weight

    def subtract(self, rows: slice, classes: slice, out: Tensor, factor: Tensor) -> None:
        """out −= factor q, before smoothing."""
        if self.index is None:
            out.addcmul_(self._dense(rows, classes, out), factor[:, None], value=-1)
        else:
            at, q = self._found(rows, classes, out)
            out.scatter_add_(1, at, q * -factor[:, None])

    def shares(self, classes: slice, like: Tensor) -> Tensor:
        """class_weight of a tile, (classes,)."""
        if self.class_weight is None:
            return torch.ones(like.shape[1], dtype=like.dtype, device=like.device)
        return self.class_weight[classes].to(like.dtype)


@dataclass
class Rows:
    """What forward knows of rows, float64 (N,): the largest logit, R, Σ q, Σ_k w_k and the number of
    classes that are not masked (w the class weights), and int64 the first class of the largest logit."""

    peak: Tensor
    rest: Tensor
    mass: Tensor
    share: Tensor
    live: Tensor
    winner: Tensor
    loss: Tensor
    entropy: Tensor
    target: Tensor  # Σ q z over Σ q, less the peak: of the target alone, before smoothing

    @property
    def log_sum(self) -> Tensor:
        return self.peak + torch.log1p(self.rest)


def forward(logits: Logits, targets: Targets | None, entropy: bool = False) -> Rows:
    """One pass over the classes."""
    parts = [_forward(logits, targets, rows, entropy) for rows in logits.row_blocks()]
    if len(parts) == 1:
        return parts[0]
    empty = torch.empty(0, dtype=torch.float64, device=logits.x.device)
    fields = Rows.__dataclass_fields__
    return Rows(**{name: torch.cat([getattr(part, name) for part in parts] or [empty]) for name in fields})


def _forward(logits: Logits, targets: Targets | None, rows: slice, entropy: bool) -> Rows:
    o, size = logits.options, rows.stop - rows.start
    zeros = torch.zeros(size, dtype=torch.float64, device=logits.x.device)
    m = torch.full((size,), -torch.inf, dtype=logits.dtype, device=logits.x.device)
    winner = torch.zeros(size, dtype=torch.int64, device=logits.x.device)
    rest, gap, mass, share, live, shares, spread = (zeros for _ in range(7))
    for classes in logits.class_blocks():
        z = logits.tile(rows, classes)
        top, at = z.max(1)
        new = torch.maximum(m, top)  # NaN where either is
        origin = torch.where(new == -torch.inf, 0, new)
        seen, better = m > -torch.inf, top > m
        old = torch.where(seen, m, origin)
        step, shrink = (origin - old).double(), torch.where(seen, torch.exp(old - origin), 0).double()
        below = origin[:, None] - z
        winner = torch.where(better, at + classes.start, winner)
        gap, mass = gap + torch.where(mass == 0, 0, mass * step), mass
        if targets is not None:
            d, q = targets.dot(rows, classes, below)
            gap, mass = gap + d, mass + q
        if targets is not None and o.label_smoothing:
            w, here = targets.shares(classes, z), z > -torch.inf
            shares = shares + share * step + torch.where(here, below * w, 0).sum(1, dtype=torch.float64)
            share = share + torch.where(here, w, 0).sum(1, dtype=torch.float64)
            live = live + here.sum(1)
        e = torch.exp(-below)
        if entropy:
            spread = shrink * (spread + step * (rest + 1)) + torch.where(e == 0, 0, e * below).sum(
                1, dtype=torch.float64
            )
        e.scatter_(1, at[:, None], torch.where(better, 0, e.gather(1, at[:, None])[:, 0])[:, None])
        rest = (rest + (seen & better)) * shrink + e.sum(1, dtype=torch.float64)
        m = new
    log_rest, undefined = torch.log1p(rest), (m - m).double()  # NaN where all is masked, or a logit is +inf
    kept = 1 - o.label_smoothing
    loss = kept * (mass * log_rest + gap)
    if o.label_smoothing:
        loss = loss + o.label_smoothing / live * (share * log_rest + shares)
    if o.z_loss:
        loss = loss + o.z_loss * (m.double() + log_rest) ** 2
    return Rows(
        peak=m.double() + undefined,
        rest=rest,
        mass=mass,
        share=share,
        live=live,
        winner=winner,
        loss=loss + undefined,
        entropy=log_rest + spread / (1 + rest),
        target=-gap,
    )


def rank(logits: Logits, index: Tensor, at_target: Tensor) -> Tensor:
    """1 plus how many logits of a row are above `at_target` (N,), its target's, that of class `index` left
    out."""
    found = torch.ones_like(index)
    for classes in logits.class_blocks():
        W = None if logits.W is None else logits.weight(classes)
        for rows in logits.row_blocks():
            above = logits.tile(rows, classes, W) > at_target[rows, None]
            other = torch.arange(classes.start, classes.stop, device=index.device) != index[rows, None]
            found[rows] += (above & other).sum(1)
    return found
