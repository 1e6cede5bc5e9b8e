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


def pieces(n: int, step: int) -> list[slice]:
    """[0, n) in pieces of `step`; the last one may be shorter."""
    return [slice(a, min(a + step, n)) for a in range(0, n, step)]


def wide(dtype: torch.dtype) -> torch.dtype:
    """The dtype in which rows of a dtype are computed."""
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
        """Rows and classes, (N, K)."""
        return self.x.shape[0], (self.x if self.W is None else self.W).shape[-1 if self.W is None else 0]

    @property
    def dtype(self) -> torch.dtype:
        """The dtype in which tiles are computed."""
        return wide(self.x.dtype)

    def row_blocks(self) -> list[slice]:
        """The rows in blocks of at most _MOST_ROWS."""
        return pieces(self.shape[0], _MOST_ROWS)

    def class_blocks(self) -> Iterator[tuple[slice, Tensor | None]]:
        """The classes of each tile, and their W in `dtype`."""
        n, K = self.shape
        room = self.options.max_bytes // (_COPIES * max(min(n, _MOST_ROWS), 1) * self.dtype.itemsize)
        for classes in pieces(K, max(min(room, K), min(K, _FEWEST_CLASSES), 1)):
            yield classes, None if self.W is None else self.W[classes].to(self.dtype)

    def tile(self, rows: slice, classes: slice, W: Tensor | None) -> Tensor:
        """z (rows, classes), W as `class_blocks` gave it."""
        if W is None:
            z = self.x[rows, classes].to(self.dtype, copy=True)
        else:
            z = self.x[rows].to(self.dtype) @ W.T
        if self.b is not None:
            z.add_(self.b[classes])
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
    """q: classes (N,) int64, 1 there; rows `value` (N, K) times `class_weight` (K,); or of t classes, `index`
    (N, t) and `value` (N, t), the same. A class' row as a whole counts `scale` times. Label smoothing ε makes
    that (1 − ε) q + (ε/K) class_weight, over the K classes that are not masked."""

    index: Tensor | None
    value: Tensor | None
    class_weight: Tensor | None

    def scaled(self, rows: slice, per_row: Tensor) -> Tensor:
        """per_row times the class weight of its label, with 0 · inf = 0. For labels q is without it,
        so that a weight of 0 leaves the log-probability."""
        if self.value is not None or self.class_weight is None or self.index is None:
            return per_row
        scale = self.class_weight.double()[self.index[rows]]
        return torch.where(scale == 0, 0, scale * per_row)

    def mean(self, mass: Tensor) -> Tensor | float:
        """The factor that turns Σ q f into a mean: 1/Σ q, 0 where nothing counts. `mass`: as in `Rows`."""
        return 1.0 if self.value is None else torch.where(mass == 0, 0, 1 / mass)

    def _found(self, rows: slice, classes: slice, like: Tensor) -> tuple[Tensor, Tensor]:
        """Places in a tile (rows, t), and how much each counts: 0 outside of the tile."""
        assert self.index is not None
        index = self.index[rows]
        index = index if index.ndim == 2 else index[:, None]
        inside = (index >= classes.start) & (index < classes.stop)
        counts = torch.ones_like(index, dtype=like.dtype)
        if self.value is not None:
            counts = self.value[rows].to(like.dtype)
            if self.class_weight is not None:
                counts = counts * self.class_weight.to(like.dtype)[index]
        return (index - classes.start).clamp(0, like.shape[1] - 1), torch.where(inside, counts, 0)

    def _dense(self, rows: slice, classes: slice, like: Tensor) -> Tensor:
        """q of a tile, (rows, classes), times the class weights."""
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
        """q of one class per row, k (rows,), before smoothing; float64."""
        if self.value is None:
            assert self.index is not None
            return (self.index[rows] == k).double()
        value = self.value[rows].double()
        if self.index is None:
            counts = value.gather(1, k.clamp(min=0)[:, None])[:, 0]
        else:
            counts = torch.where(self.index[rows] == k[:, None], value, 0.0).sum(1)
        return counts if self.class_weight is None else counts * self.class_weight.double()[k]

    def subtract(self, rows: slice, classes: slice, out: Tensor, factor: Tensor) -> None:
        """out −= factor q, before smoothing."""
        if self.index is None:
            out.addcmul_(self._dense(rows, classes, out), factor[:, None], value=-1)
        else:
            at, q = self._found(rows, classes, out)
            out.scatter_add_(1, at, q * -factor[:, None])

    def shares(self, classes: slice, like: Tensor) -> Tensor:
        """The class weights of a tile, (classes,), 1 where there are none."""
        if self.class_weight is None:
            return torch.ones(like.shape[1], dtype=like.dtype, device=like.device)
        return self.class_weight[classes].to(like.dtype)


@dataclass
class Rows:
    """What forward knows of rows, float64 (N,): the largest logit m, R, Σ q, `scaled`, Σ_k w_k and the number
    of classes that are not masked (w the class weights), and int64 the first class of the largest logit."""

    peak: Tensor
    rest: Tensor
    mass: Tensor
    share: Tensor
    live: Tensor
    winner: Tensor
    loss: Tensor
    entropy: Tensor
    target: Tensor  # Σ q (z − m) over Σ q: of the target alone, before smoothing

    @property
    def log_sum(self) -> Tensor:
        """log Σ_k exp z_k."""
        return self.peak + torch.log1p(self.rest)

    @property
    def log_prob(self) -> Tensor:
        """The log-probability of the target."""
        return self.target - torch.log1p(self.rest)


def rows_from_sums(
    o: Options,
    targets: Targets,
    rows: slice,
    *,
    peak: Tensor,
    rest: Tensor,
    winner: Tensor,
    mass: Tensor,
    gap: Tensor,
    live: Tensor,
    share: Tensor,
    shares: Tensor,
    entropy: Tensor,
) -> Rows:
    """Rows from sums over their classes: mass = Σ q, gap = Σ q (m − z), share = Σ w, shares = Σ w (m − z)
    over the `live` ones, the last three for smoothing. A loss is NaN where all is masked or a logit is
    +inf."""
    log_rest = torch.log1p(rest)
    loss = peak - peak
    if o.label_smoothing < 1:  # a target that weighs nothing may be masked
        loss = loss + (1 - o.label_smoothing) * targets.scaled(rows, mass * log_rest + gap)
    if o.label_smoothing:
        loss = loss + o.label_smoothing / live * (share * log_rest + shares)
    if o.z_loss:
        loss = loss + o.z_loss * (peak + log_rest) ** 2
    target, mass = -gap * targets.mean(mass), targets.scaled(rows, mass)
    return Rows(peak, rest, mass, share, live, winner, loss, entropy, target)


def forward(logits: Logits, targets: Targets, entropy: bool = False) -> Rows:
    """What the loss and its gradient need of rows, in one pass over the classes; `entropy`: of that, too."""
    parts = [_forward(logits, targets, rows, entropy) for rows in logits.row_blocks()]
    if len(parts) == 1:
        return parts[0]
    empty = torch.empty(0, dtype=torch.float64, device=logits.x.device)
    fields = Rows.__dataclass_fields__
    return Rows(**{name: torch.cat([getattr(part, name) for part in parts] or [empty]) for name in fields})


def _forward(logits: Logits, targets: Targets, rows: slice, entropy: bool) -> Rows:
    """`forward` of one block of rows."""
    o, size = logits.options, rows.stop - rows.start
    zeros = torch.zeros(size, dtype=torch.float64, device=logits.x.device)
    m = torch.full((size,), -torch.inf, dtype=logits.dtype, device=logits.x.device)
    winner = torch.zeros(size, dtype=torch.int64, device=logits.x.device)
    rest, gap, mass, share, live, shares, spread = (zeros for _ in range(7))
    for classes, W in logits.class_blocks():
        z = logits.tile(rows, classes, W)
        top, at = z.max(1)
        new = torch.maximum(m, top)  # NaN where either is
        origin = torch.where(new == -torch.inf, 0, new)
        seen, better = m > -torch.inf, top > m
        old = torch.where(seen, m, origin)
        step, shrink = (origin - old).double(), torch.where(seen, torch.exp(old - origin), 0).double()
        below = origin[:, None] - z
        winner = torch.where(better, at + classes.start, winner)
        d, q = targets.dot(rows, classes, below)
        gap, mass = gap + torch.where(mass == 0, 0, mass * step) + d, mass + q
        if o.label_smoothing:
            w, here = targets.shares(classes, z), z > -torch.inf
            shares = shares + share * step + torch.where(here, below * w, 0).sum(1, dtype=torch.float64)
            share = share + torch.where(here, w, 0).sum(1, dtype=torch.float64)
            live = live + here.sum(1)
        e = torch.exp(-below)
        if entropy:
            here_below = torch.where(e == 0, 0, e * below).sum(1, dtype=torch.float64)
            spread = shrink * (spread + step * (rest + 1)) + here_below
        e.scatter_(1, at[:, None], torch.where(better, 0, e.gather(1, at[:, None])[:, 0])[:, None])
        rest = (rest + (seen & better)) * shrink + e.sum(1, dtype=torch.float64)
        m = new
    return rows_from_sums(
        o,
        targets,
        rows,
        peak=m.double(),
        rest=rest,
        winner=winner,
        mass=mass,
        gap=gap,
        live=live,
        share=share,
        shares=shares,
        entropy=torch.log1p(rest) + spread / (1 + rest),
    )


def above(logits: Logits, index: Tensor) -> Tensor:
    """How many logits of each row are above that of its class, `index` (N,). Both are made by the same
    operations, so that ties are ties."""
    counts, limit = torch.zeros_like(index), torch.zeros(len(index), dtype=logits.dtype, device=index.device)
    for classes, W in logits.class_blocks():
        for rows in logits.row_blocks():
            z, at = logits.tile(rows, classes, W), index[rows] - classes.start
            here = (at >= 0) & (at < z.shape[1])
            own = z.gather(1, at.clamp(0, z.shape[1] - 1)[:, None])[:, 0]
            limit[rows] = torch.where(here, own, limit[rows])
    for classes, W in logits.class_blocks():
        for rows in logits.row_blocks():
            counts[rows] += (logits.tile(rows, classes, W) > limit[rows, None]).sum(1)
    return counts
