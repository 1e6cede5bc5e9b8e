"""The loss of a layer whose classes are spread over processes, each with some rows of its weight."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Protocol

import torch
import torch.distributed as dist
from torch import Tensor
from torch.autograd.function import once_differentiable

from . import operations
from .asked import CallOptions, Reduction
from .inputs import Target, check_tensors, flat_targets, layer, rows_of, shifted
from .operations import FIELDS, WIDE, Context, Settings, Tensors
from .tiles import Options, Rows, Targets, rows_from_sums, wide


def vocab_parallel_linear_cross_entropy(
    input: Tensor,
    weight: Tensor,
    target: Target,
    *,
    group: dist.ProcessGroup | None = None,
    bias: Tensor | None = None,
    class_weight: Tensor | None = None,
    ignore_index: int = -100,
    label_smoothing: float = 0.0,
    reduction: Reduction = "mean",
    softcap: float | None = None,
    temperature: float = 1.0,
    z_loss: float = 0.0,
    shift: int = 0,
    max_bytes: int | None = None,
    returns: Sequence[str] = (),
) -> Any:
    """`linear_cross_entropy` of a weight whose rows are spread over the processes of a group.

    Parameters
    ----------
    input : Tensor (…, D)
        The same in every process, as `linear_cross_entropy` has it.
    weight : Tensor (K_r, D), of input's dtype
        The classes of this process, those of rank 0 first. K_r may differ between processes, and be 0.
    target : Tensor of integers or floats, or a pair of Tensors
        Classes (…) in [0, K), K = Σ_r K_r, or a pair (…, t), (…, t) of classes and their probabilities, the
        same in every process; or probabilities (…, K_r) of this process' classes.
    group : torch.distributed.ProcessGroup, optional
        None is the default group.
    bias, class_weight : Tensor (K_r,), optional
        Of this process' classes.
    returns : sequence of str
        As in `linear_cross_entropy`, but not "rank".
    ignore_index, label_smoothing, reduction, softcap, temperature, z_loss, shift, max_bytes
        As `linear_cross_entropy` has them. Label smoothing spreads over all K classes.

    Returns
    -------
    Tensor, or CrossEntropyOutput if `returns` names anything
        The loss in nats, the same in every process.

    Raises
    ------
    ValueError, TypeError, IndexError
        As `linear_cross_entropy` does; ValueError also for "rank".
    NotImplementedError
        For targets that require a gradient.
    RuntimeError
        By PyTorch, for a second derivative.

    Notes
    -----
    With m_r, R_r, … the sums over the classes of process r, m = max_r m_r and s_r = exp(m_r − m),

        lse = m + log1p(R),   R = Σ_r s_r (1 + R_r) − 1,

    the sum written so that nothing cancels where the model is confident; and so for the other sums.

    Every process gets the gradients of its own classes, and input's whole gradient, which is summed over
    the processes before it is rounded. Each process must call forward and backward in the same order. The
    loss is differentiable once, backward, and not by the targets; neither torch.func nor torch.compile
    takes it. Two gathers of some numbers per row and, backward, a sum of input's gradient are all that is
    sent.

    Source: `xent.reference.cross_entropy`, of all classes together.
    """
    call = CallOptions(
        class_weight,
        ignore_index,
        label_smoothing,
        reduction,
        softcap,
        temperature,
        z_loss,
        max_bytes,
        returns,
    )
    check_tensors(input=input, weight=weight, bias=bias, target=target, class_weight=class_weight)
    input, target = shifted(input, target, shift)
    if weight.ndim != 2:
        raise ValueError(f"weight: expected (K_r, D), this process' classes, got {tuple(weight.shape)}")
    input, weight, bias, out = layer(input, weight, bias)
    lead, x = input.shape[:-1], rows_of(input)
    index, value = flat_targets(target, lead, len(weight))
    labels = index if value is None else None
    call.check(len(weight), labels is not None)
    if "rank" in call.returns:
        raise ValueError("returns: rank needs all classes in one process")
    if value is not None and value.requires_grad:
        raise NotImplementedError("target: no gradient by probabilities over processes; detach them")
    sizes = _gathered(torch.tensor(len(weight), device=x.device), group)
    before, rank = sizes.cumsum(0) - sizes, dist.get_rank(group)
    first, K = int(before[rank]), int(sizes.sum())
    live = None if labels is None else torch.nonzero(labels != ignore_index)[:, 0]
    if index is not None:
        operations.check_classes(index, ignore_index if value is None else None, K)
        index, value = _own(index if live is None else index[live], value, first, len(weight), out)
    tensors = Tensors(x if live is None else x[live], weight, bias, index, value, class_weight)
    live_outputs = _parallel(*tensors, call.settings(tensors), group, before, first)
    if class_weight is not None and labels is not None and "target_log_prob" in call.returns:
        # A weight is no part of a probability; of one that is 0 nothing would be left.
        unweighted = replace(call, class_weight=None, label_smoothing=0.0).settings(tensors)
        other = _parallel(*tensors._replace(class_weight=None), unweighted, group, before, first)
        live_outputs = (*live_outputs[:2], other[2], *live_outputs[3:])
    outputs = [f if live is None else f.new_zeros(len(x)).index_copy(0, live, f) for f in live_outputs]
    *outputs, mass = outputs
    counts = torch.ones_like(mass) if labels is None else mass
    return call.result(outputs, labels, counts, lead, out, {})


def _gathered(t: Tensor, group: dist.ProcessGroup | None) -> Tensor:
    """The t of every process, (processes, *t.shape)."""
    parts = [torch.empty_like(t) for _ in range(dist.get_world_size(group))]
    dist.all_gather(parts, t.contiguous(), group)
    return torch.stack(parts)


def _own(
    index: Tensor, value: Tensor | None, first: int, size: int, dtype: torch.dtype
) -> tuple[Tensor, Tensor]:
    """Targets as pairs of this process' classes, of weight 0 where they are another's."""
    index = index[:, None] if value is None else index
    index = index if size else index[:, :0]
    inside = (index >= first) & (index < first + size)
    value = torch.ones_like(index, dtype=dtype) if value is None else value[:, : index.shape[1]]
    return (index - first).clamp(0, max(size - 1, 0)), torch.where(inside, value, 0)


class _Context(Context, Protocol):
    """What backward takes besides tensors."""

    group: dist.ProcessGroup | None


class _Parallel(torch.autograd.Function):
    """The outputs of this process' classes and all others, with input's and its own classes' gradients."""

    @staticmethod
    def forward(
        ctx: _Context,
        x: Tensor,
        W: Tensor,
        b: Tensor | None,
        index: Tensor | None,
        value: Tensor | None,
        class_weight: Tensor | None,
        settings: Settings,
        group: dist.ProcessGroup | None,
        before: Tensor,
        first: int,
    ) -> tuple[Tensor, ...]:
        tensors = Tensors(x, W, b, index, value, class_weight)
        # z-loss is of all classes' lse; local losses are those of the targets and of smoothing.
        local = operations.rows(*tensors, *settings._replace(z_loss=0.0))
        parts = _gathered(torch.stack([local[0], *local[4]]), group)
        rows = _combined(parts, before, tensors, settings)
        own, size = rows.winner - first, len(W)
        own = torch.where((own >= 0) & (own < size), own, -1)
        stats = torch.stack([getattr(rows, name).double() for name in FIELDS])
        stats[FIELDS.index("winner")] = own.double()
        ctx.save_for_backward(*tensors, stats, *local[5:])
        ctx.settings, ctx.group = settings, group
        ctx.mark_non_differentiable(rows.winner, rows.mass)
        ctx.set_materialize_grads(False)
        entropy = rows.entropy * settings.entropy
        return rows.loss, rows.log_sum, rows.log_prob, entropy, rows.winner, rows.mass

    @staticmethod
    @once_differentiable
    def backward(ctx: _Context, *parts: Tensor | None) -> tuple[Tensor | None, ...]:
        *tensors, stats, kept, peaks = ctx.saved_tensors
        up = [torch.zeros_like(stats[0]) if part is None else part for part in parts[:4]]
        need = sum(1 << i for i in range(3) if ctx.needs_input_grad[i])
        if len(tensors[1]):
            gradients = operations.rows_gradient(
                *up, stats, *tensors, *ctx.settings, need | WIDE, kept, peaks
            )
        else:
            wide_x = tensors[0].to(wide(tensors[0].dtype))
            gradients = (torch.zeros_like(wide_x), *(t if t is None else t.clone() for t in tensors[1:3]))
        x, W, b = (g if need >> i & 1 else None for i, g in enumerate(gradients[:3]))
        if x is not None:
            dist.all_reduce(x, group=ctx.group)
            x = x.to(tensors[0].dtype)
        return x, W, b, *(None,) * 7


# Function.apply has no types: what it takes and returns is `forward`'s.
_parallel: Callable[..., tuple[Tensor, ...]] = _Parallel.apply


def _combined(parts: Tensor, first: Tensor, tensors: Tensors, settings: Settings) -> Rows:
    """Rows of all processes' classes, from the local loss and stats of each, (processes, 9, N), and the
    number of classes before its own, (processes,)."""
    loss, at = parts[:, 0], dict(zip(FIELDS, parts[:, 1:].unbind(1), strict=True))
    options = Options(*settings[1:6])
    peak, seen = at["peak"].amax(0), at["peak"] > -torch.inf
    origin, own = _finite(peak), _finite(at["peak"])
    rise = origin - own  # of what each measured from
    shrink = torch.where(seen | at["peak"].isnan(), torch.exp(-rise), 0)
    ranks = torch.arange(len(parts), device=parts.device)[:, None]
    owner = torch.where(at["peak"] == peak, ranks, len(parts) - 1).amin(0)
    rest = (shrink * torch.where(ranks == owner, at["rest"], 1 + at["rest"])).sum(0)
    gap, eps = -at["target"] * at["mass"], options.label_smoothing
    shares = torch.zeros_like(gap)
    if eps:
        own_part = (1 - eps) * (at["mass"] * torch.log1p(at["rest"]) + gap)
        shares = (loss - own_part) * at["live"] / eps - at["share"] * torch.log1p(at["rest"])
        shares = torch.where((at["live"] > 0) & (gap < torch.inf), shares, 0) + at["share"] * rise
    spread = (at["entropy"] - torch.log1p(at["rest"])) * (1 + at["rest"])
    spread = (shrink * (spread + (1 + at["rest"]) * rise)).sum(0)
    return rows_from_sums(
        options,
        Targets(tensors.target, tensors.value, tensors.class_weight),
        slice(None),
        peak=peak,
        rest=rest,
        winner=(at["winner"] + first[:, None]).long().gather(0, owner[None])[0],
        mass=at["mass"].sum(0),
        gap=(gap + torch.where(at["mass"] == 0, 0, at["mass"] * rise)).sum(0),
        live=at["live"].sum(0),
        share=at["share"].sum(0),
        shares=shares.sum(0),
        entropy=torch.log1p(rest) + spread / (1 + rest),
    )


def _finite(peak: Tensor) -> Tensor:
    """What a row's logits are measured from, as `tiles` does."""
    return torch.where(peak == -torch.inf, 0, peak)
