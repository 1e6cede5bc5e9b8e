"""Class indices against logits that are there, by xent's native kernels: row by row, each read twice in
cache.

A row's largest logit, R and what smoothing needs come from one visit to it, its gradient from another,
written in its own dtype; what the target and the largest logit get is worked out in float64 and put in
last.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from .. import _kernels
from ._cpu import KINDS, memory, over_threads
from ._gradient import Gradients, Need, Residual, Upstream
from ._tiles import Logits, Rows, Targets


def serves(logits: Logits, targets: Targets | None, bends: bool) -> bool:
    """Whether the kernels have what it takes; `bends`: the entropy is wanted, or weighed."""
    x, kind = logits.x, KINDS.get(logits.x.dtype, "h")
    if not _kernels.HAS_NATIVE or logits.W is not None or targets is None or bends or x.device.type != "cpu":
        return False
    if kind == "h" or logits.options.softcap or targets.index is None or targets.value is not None:
        return False
    return bool(x.numel()) and x.stride(1) == 1


def forward(logits: Logits, targets: Targets) -> Rows:
    """See `_tiles.forward`."""
    o, z, w = logits.options, memory(logits.x), _weights(logits, targets)
    found, kind = np.empty((len(z), 6)), KINDS[logits.x.dtype]

    def scan(rows: slice) -> None:
        _kernels.scan_rows(kind, z[rows], 1 / o.temperature, w, o.label_smoothing > 0, found[rows])

    over_threads(len(z), scan)
    peak, rest, winner, live, share, shares = torch.from_numpy(found).unbind(1)
    log_rest, gap = torch.log1p(rest), peak - _at_target(logits, targets)
    mass = _mass(targets, peak)
    loss = (1 - o.label_smoothing) * mass * (log_rest + gap)
    if o.label_smoothing:
        loss = loss + o.label_smoothing / live * (share * log_rest + shares)
    if o.z_loss:
        loss = loss + o.z_loss * (peak + log_rest) ** 2
    undefined = peak - peak  # NaN where all is masked, or a logit is +inf
    zeros = torch.zeros_like(peak)
    return Rows(
        peak + undefined, rest, mass, share, live, winner.long(), loss + undefined, zeros, -mass * gap
    )


def backward(logits: Logits, targets: Targets, stats: Rows, up: Upstream, need: Need) -> Gradients:
    """See `_gradient.backward`."""
    if not need[0]:
        return Gradients()
    x, o = logits.x, logits.options
    r = Residual(logits, targets, stats, up, slice(0, len(x)))
    share = torch.zeros_like(r.A) if r.smooth is None else r.smooth
    peak = torch.where(r.peak == -torch.inf, 0, r.peak)
    given = torch.stack((peak, r.A * r.inverse, share), 1).numpy()
    z, w, kind = memory(x), _weights(logits, targets), KINDS[x.dtype]
    dx = torch.empty(x.shape, dtype=x.dtype)
    out = memory(dx)
    over_threads(
        len(z),
        lambda rows: _kernels.residual_rows(kind, z[rows], 1 / o.temperature, w, given[rows], out[rows]),
    )
    assert targets.index is not None
    index, at = targets.index[:, None], _at_target(logits, targets)
    own = torch.exp(at - peak) * r.A * r.inverse - r.factor * stats.mass
    if r.smooth is not None:
        weight = 1.0 if targets.class_weight is None else targets.class_weight.double()[targets.index]
        own = own - torch.where(at == -torch.inf, 0.0, r.smooth * weight)
    dx.scatter_(1, index, (own / o.temperature).to(x.dtype)[:, None])
    dx.scatter_(1, stats.winner[:, None], (r.top / o.temperature).to(x.dtype)[:, None])
    if logits.dead is not None:
        dx[logits.dead] = 0
    return Gradients(dx)


def _weights(logits: Logits, targets: Targets) -> Any:
    if targets.class_weight is None or not targets.smoothing:
        return None
    return targets.class_weight.to(logits.dtype).contiguous().numpy()


def _mass(targets: Targets, like: Tensor) -> Tensor:
    return (
        torch.ones_like(like)
        if targets.class_weight is None
        else targets.class_weight.double()[targets.index]
    )


def _at_target(logits: Logits, targets: Targets) -> Tensor:
    """The target's logit, rounded as the kernels round it."""
    assert targets.index is not None
    found = logits.x.gather(1, targets.index[:, None])[:, 0].to(logits.dtype)
    return (found * (1 / logits.options.temperature)).double()
