"""`xent::rows` in PyTorch's differentiable operations, logits and all: for derivatives that tiles do not
have, of any order, forward or backward."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

import torch
from torch import Tensor
from torch.func import vjp

from .operations import Settings, Tensors
from .tiles import wide

Map: TypeAlias = Callable[..., tuple[Tensor, ...]]


def rows(tensors: Tensors, settings: Settings) -> tuple[Tensor, ...]:
    """The first four outputs of `xent::rows`, float64 (N,), and int64 the first class of the largest
    logit."""
    x, W, b, index, value, w = tensors
    ignore_index, smoothing, softcap, temperature, z_loss, *_ = settings
    kind = wide(x.dtype)
    dead = torch.zeros(len(x), dtype=torch.bool, device=x.device)
    if index is not None and value is None:
        dead = index == ignore_index
    x = torch.where(dead[:, None], 0, x.to(kind))
    z = x if W is None else x @ W.to(kind).T
    z = z if b is None else z + b.to(kind)
    z = softcap * torch.tanh(z / softcap) if softcap else z
    z = z if temperature == 1 else z / temperature
    z = z.double()
    here = z > -torch.inf
    lse = torch.logsumexp(torch.where(here, z, -torch.inf), 1)
    costs = torch.where(here, lse[:, None] - z, 0)
    q, scale = _weights(index, value, w, z)
    masked = torch.where((q != 0) & ~here, torch.inf, 0).sum(1)
    own = (q * costs).sum(1) + masked
    mass = q.sum(1)
    loss = z_loss * lse**2
    if smoothing < 1:
        loss = loss + (1 - smoothing) * torch.where(scale == 0, 0, scale * own)
    if smoothing:
        shares = costs if w is None else costs * w.double()
        loss = loss + smoothing / here.sum(1).double() * shares.sum(1)
    spread = (torch.exp(torch.where(here, -costs, -torch.inf)) * costs).sum(1)
    outputs = (
        loss,
        lse,
        -torch.where(mass == 0, 0, own / torch.where(mass == 0, 1, mass)),
        spread * float(settings.entropy),
        z.argmax(1),
    )
    return tuple(torch.where(dead, 0, out) for out in outputs)


def _weights(
    index: Tensor | None, value: Tensor | None, w: Tensor | None, z: Tensor
) -> tuple[Tensor, Tensor]:
    """q (N, K) and what a row counts as a whole, as `tiles.Targets` has them."""
    one = torch.ones((), dtype=z.dtype, device=z.device)
    if value is None:
        assert index is not None
        at = index.clamp(0, max(z.shape[1] - 1, 0))
        q = torch.nn.functional.one_hot(at, z.shape[1]).to(z.dtype)
        return q, one if w is None else w.double()[at]
    q = value.double()
    if index is not None:
        q = torch.zeros_like(z).scatter_add(1, index, q)
    return q if w is None else q * w.double(), one


def push(f: Map, primals: list[Tensor], tangents: list[Tensor]) -> tuple[Tensor, ...]:
    """The tangents of f's outputs, by reverse mode twice: forward mode does not nest inside a function's own
    jvp."""
    outputs, pull, *_ = vjp(f, *primals)
    zeros = [torch.zeros_like(part) for part in outputs]
    return tuple(vjp(lambda *up: pull(up), *zeros)[1](tuple(tangents)))


def second(tensors: Tensors, settings: Settings, need: Sequence[bool]) -> Map:
    """`xent::rows_second` of up (4), x, W, b, value and along (4), None where `tensors` has None; index and
    class_weight are those of `tensors`. Its outputs are those that are not None."""
    names = [name for name in ("x", "W", "b", "value") if getattr(tensors, name) is not None]

    def of(*inputs: Tensor | None) -> tuple[Tensor, ...]:
        """The tangents of the four outputs, and of the gradients that are needed."""
        up, primals, along = inputs[:4], inputs[4:8], inputs[8:]
        start = [p for p in primals if p is not None]
        towards = [
            torch.zeros_like(p) if t is None else t
            for p, t in zip(primals, along, strict=True)
            if p is not None
        ]

        def outputs(*leaves: Tensor) -> tuple[Tensor, ...]:
            """The four outputs, as a function of x, W, b and value."""
            return rows(tensors._replace(**dict(zip(names, leaves, strict=True))), settings)[:4]

        def gradient(*leaves: Tensor) -> tuple[Tensor, ...]:
            """Their gradients, weighed by `up`."""
            pulled: tuple[Tensor, ...] = vjp(outputs, *leaves)[1](tuple(up))
            return pulled

        moved = push(outputs, start, towards)
        if not any(need):
            return moved
        products = dict(zip(names, push(gradient, start, towards), strict=True))
        leaves = zip(("x", "W", "b", "value"), need, strict=True)
        return *moved, *(products[name] for name, here in leaves if here)

    return of
