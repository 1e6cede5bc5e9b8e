"""Class indices against logits that are there, by xent's native kernels: row by row, each read twice in
cache.

A row's largest logit, R and what smoothing needs come from one visit to it, its gradient from another,
written in its own dtype; what the target and the largest logit get is worked out in float64 and put in
last.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from .._types import Array
from ..kernels import native
from . import threads
from .gradient import Gradients, Need, Residual, Upstream
from .native_tiles import KINDS, memory
from .tiles import Logits, Rows, Targets, rows_from_sums


def serves(logits: Logits, targets: Targets, bends: bool) -> bool:
    """Whether the kernels have what it takes; `bends`: the entropy is wanted, or weighed."""
    x, kind = logits.x, KINDS.get(logits.x.dtype, "h")
    if not native.HAS_NATIVE or logits.W is not None or bends or x.device.type != "cpu":
        return False
    if kind == "h" or logits.options.softcap or targets.index is None or targets.value is not None:
        return False
    return bool(x.numel()) and x.stride(1) == 1


def forward(logits: Logits, targets: Targets) -> Rows:
    """`tiles.forward` by the native kernels, for logits that are in memory."""
    o, z, w = logits.options, memory(logits.x), _weights(logits, targets)
    sums, kind = np.empty((len(z), 6)), KINDS[logits.x.dtype]

    def scan(rows: slice) -> None:
        native.scan_rows(kind, z[rows], 1 / o.temperature, w, o.label_smoothing > 0, sums[rows])

    threads.over(len(z), scan)
    peak, rest, winner, live, share, shares = torch.from_numpy(sums).unbind(1)
    return rows_from_sums(
        o,
        targets,
        slice(None),
        peak=peak,
        rest=rest,
        winner=winner.long(),
        mass=torch.ones_like(peak),
        gap=peak - _at_target(logits, targets),
        live=live,
        share=share,
        shares=shares,
        entropy=torch.zeros_like(peak),  # not asked for
    )


def backward(logits: Logits, targets: Targets, stats: Rows, up: Upstream, need: Need) -> Gradients:
    """`gradient.backward` by the native kernels, for logits that are in memory."""
    if not need[0]:
        return Gradients()
    x, o = logits.x, logits.options
    r = Residual(logits, targets, stats, up, slice(0, len(x)))
    scale = r.A * r.inverse
    shares = torch.zeros_like(scale) if r.smooth is None else r.smooth
    of_residuals = memory(torch.stack((r.origin, scale, shares), 1))
    z, w, kind = memory(x), _weights(logits, targets), KINDS[x.dtype]
    dx = torch.empty(x.shape, dtype=x.dtype)
    out = memory(dx)
    threads.over(
        len(z),
        lambda rows: native.residual_rows(kind, z[rows], 1 / o.temperature, w, of_residuals[rows], out[rows]),
    )
    assert targets.index is not None
    index, at = targets.index[:, None], _at_target(logits, targets)
    own = torch.exp(at - r.origin) * scale - r.factor
    if r.smooth is not None:
        own = own - torch.where(at == -torch.inf, 0.0, targets.scaled(slice(None), r.smooth))
    dx.scatter_(1, index, (own / o.temperature).to(x.dtype)[:, None])
    dx.scatter_(1, stats.winner[:, None], (r.top / o.temperature).to(x.dtype)[:, None])
    if logits.dead is not None:
        dx[logits.dead] = 0
    return Gradients(dx)


def _weights(logits: Logits, targets: Targets) -> Array | None:
    """The class weights where smoothing needs them."""
    if targets.class_weight is None or not logits.options.label_smoothing:
        return None
    return memory(targets.class_weight.to(logits.dtype).contiguous())


def _at_target(logits: Logits, targets: Targets) -> Tensor:
    """The target's logit, rounded as the kernels round it."""
    assert targets.index is not None
    logit = logits.x.gather(1, targets.index[:, None])[:, 0].to(logits.dtype)
    return (logit * (1 / logits.options.temperature)).double()
