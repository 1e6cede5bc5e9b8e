"""The custom operations `xent::rows`, its gradient and its second order, and what autograd makes of them.

A row's outputs, float64 (N,): the loss, lse, the target's log-probability, the entropy (0 unless asked
for), and `stats` (8, N), what the other two operations need. Inputs: x (N, D) with W (K, D) and b (K,), or
logits x (N, K) alone; targets as `_tiles.Targets` has them.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from . import _by_row, _cpu, _gradient, _second, _tiles
from ._gradient import Gradients, Need, Upstream
from ._second import Directions
from ._tiles import Logits, Options, Rows, Targets

_FIELDS = ("peak", "rest", "mass", "share", "live", "winner", "entropy", "target")
Settings = tuple[int, float, float, float, float, int, bool, bool]


class _Call:
    """An operation's tensors as the engines want them: rows that are ignored left out, or, of logits,
    masked."""

    def __init__(
        self,
        x: Tensor,
        W: Tensor | None,
        b: Tensor | None,
        index: Tensor | None,
        value: Tensor | None,
        class_weight: Tensor | None,
        settings: Settings,
    ) -> None:
        ignore_index, smoothing, softcap, temperature, z_loss, max_bytes, self.entropy, _ = settings
        self.n = len(x)
        self.live: Tensor | None = None
        dead = None if index is None or value is not None else index == ignore_index
        if dead is not None and bool(dead.any()):
            self.live = torch.nonzero(~dead)[:, 0]
        if self.live is not None and W is not None and index is not None:
            x, index, dead = x[self.live], index[self.live], None
        elif self.live is not None and index is not None:
            index = index.masked_fill(index == ignore_index, 0)
        options = Options(smoothing, softcap, temperature, z_loss, max_bytes)
        self.logits = Logits(x, W, b, options, None if self.live is None or W is not None else dead)
        n_classes = self.logits.shape[1]
        self.targets = Targets(index, value, class_weight, smoothing, n_classes)

    def widen(self, rows: Tensor) -> Tensor:
        """A tensor a live row, with 0 for the rows that were left out."""
        if self.live is None or len(rows) == self.n:
            return rows
        return rows.new_zeros((self.n, *rows.shape[1:])).index_copy_(0, self.live, rows)

    def narrow(self, rows: Tensor) -> Tensor:
        """Of the live rows."""
        return rows if self.live is None or self.logits.shape[0] == self.n else rows[self.live]

    def masked(self, rows: Tensor) -> Tensor:
        """0 where a row is ignored."""
        return rows if self.logits.dead is None else rows.masked_fill(self.logits.dead, 0)

    def upstream(self, parts: list[Tensor]) -> Upstream:
        return Upstream(*(self.masked(self.narrow(part.double())) for part in parts))

    def stats(self, kept: Tensor) -> Rows:
        rows = dict(zip(_FIELDS, self.narrow(kept.T).T, strict=True))
        winner = rows.pop("winner").long()
        return Rows(winner=winner, loss=torch.empty(0), **rows)


def _check(call: _Call, index: Tensor | None, settings: Settings) -> None:
    """Raises IndexError with the first target that is no class; on the CPU, where that costs no wait."""
    if index is None or index.device.type != "cpu":
        return
    K = call.logits.shape[1]
    rows = call.targets.index
    assert rows is not None
    outside = (rows < 0) | (rows >= K)
    if bool(outside.any()):
        outside = (index < 0) | (index >= K)
        if call.targets.value is None:
            outside &= index != settings[0]
        at = torch.nonzero(outside)[0].tolist()
        value = int(index[tuple(at)])
        place = ", ".join(map(str, at))
        raise IndexError(f"target[{place}] = {value} is outside [0, {K}); mask a row with ignore_index")


@torch.library.custom_op("xent::rows", mutates_args=())
def rows(
    x: Tensor,
    W: Tensor | None,
    b: Tensor | None,
    index: Tensor | None,
    value: Tensor | None,
    class_weight: Tensor | None,
    ignore_index: int,
    label_smoothing: float,
    softcap: float,
    temperature: float,
    z_loss: float,
    max_bytes: int,
    entropy: bool,
    keep: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    settings = (ignore_index, label_smoothing, softcap, temperature, z_loss, max_bytes, entropy, keep)
    call = _Call(x, W, b, index, value, class_weight, settings)
    _check(call, index, settings)
    room = _cpu.room_to_keep(x, W, keep)
    if _cpu.serves(call.logits, call.targets, entropy):
        found = _cpu.forward(call.logits, call.targets, room if keep else None)
    elif _by_row.serves(call.logits, call.targets, entropy):
        found = _by_row.forward(call.logits, call.targets)
    else:
        found = _tiles.forward(call.logits, call.targets, entropy)
    empty = torch.where(found.mass == 0, 0, found.target / found.mass)
    outputs = (found.loss, found.log_sum, empty - torch.log1p(found.rest), found.entropy)
    kept = torch.stack([getattr(found, name).double() for name in _FIELDS], 1)
    loss, lse, target, spread = (call.widen(call.masked(out)).clone() for out in outputs)
    return loss, lse, target, spread * entropy, call.widen(kept).T.contiguous(), *room


@rows.register_fake
def _(x: Tensor, W: Tensor | None, *rest: Any) -> Any:
    of_row = [x.new_empty(x.shape[0], dtype=torch.float64) for _ in range(4)]
    stats = x.new_empty((len(_FIELDS), x.shape[0]), dtype=torch.float64)
    return (*of_row, stats, *_cpu.room_to_keep(x, W, rest[-1]))


@torch.library.custom_op("xent::rows_gradient", mutates_args=())
def rows_gradient(
    loss: Tensor,
    lse: Tensor,
    target: Tensor,
    spread: Tensor,
    stats: Tensor,
    kept: Tensor,
    peaks: Tensor,
    x: Tensor,
    W: Tensor | None,
    b: Tensor | None,
    index: Tensor | None,
    value: Tensor | None,
    class_weight: Tensor | None,
    ignore_index: int,
    label_smoothing: float,
    softcap: float,
    temperature: float,
    z_loss: float,
    max_bytes: int,
    entropy: bool,
    keep: bool,
    need: int,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    settings = (ignore_index, label_smoothing, softcap, temperature, z_loss, max_bytes, entropy, keep)
    call = _Call(x, W, b, index, value, class_weight, settings)
    up, known = call.upstream([loss, lse, target, spread]), call.stats(stats)
    wanted = _wanted(need)
    if _cpu.serves(call.logits, call.targets, entropy) and not wanted[3]:
        room = (kept, peaks) if kept.numel() else None
        found = _cpu.backward(call.logits, call.targets, known, up, wanted, room)
    elif _by_row.serves(call.logits, call.targets, entropy):
        found = _by_row.backward(call.logits, call.targets, known, up, wanted)
    else:
        found = _gradient.backward(call.logits, call.targets, known, up, wanted)
    return _gradients(call, found, x)


def _gradients(call: _Call, found: Gradients, x: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    dx = None if found.x is None else call.widen(found.x)
    parts = (dx, found.W, found.b, found.value)
    return tuple(x.new_empty(0) if part is None else part for part in parts)  # type: ignore[return-value]


@rows_gradient.register_fake
def _(
    loss: Tensor,
    lse: Tensor,
    target: Tensor,
    spread: Tensor,
    stats: Tensor,
    kept: Tensor,
    peaks: Tensor,
    x: Tensor,
    W: Tensor | None,
    b: Tensor | None,
    index: Tensor | None,
    value: Tensor | None,
    class_weight: Tensor | None,
    *rest: Any,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    return _empty(rest[-1], x, W, b, value)


def _wanted(need: int) -> Need:
    """Of x, W, b and the targets' values: the bits of a number, since vmap takes no lists."""
    return bool(need & 1), bool(need & 2), bool(need & 4), bool(need & 8)


def _empty(need: int, *like: Tensor | None) -> Any:
    x = like[0]
    assert x is not None
    return tuple(
        x.new_empty(t.shape, dtype=t.dtype) if wanted and t is not None else x.new_empty(0)
        for wanted, t in zip(_wanted(need), like, strict=True)
    )


@torch.library.custom_op("xent::rows_second", mutates_args=())
def rows_second(
    loss: Tensor,
    lse: Tensor,
    target: Tensor,
    spread: Tensor,
    stats: Tensor,
    x: Tensor,
    W: Tensor | None,
    b: Tensor | None,
    index: Tensor | None,
    value: Tensor | None,
    class_weight: Tensor | None,
    ignore_index: int,
    label_smoothing: float,
    softcap: float,
    temperature: float,
    z_loss: float,
    max_bytes: int,
    entropy: bool,
    keep: bool,
    need: int,
    along_x: Tensor | None,
    along_W: Tensor | None,
    along_b: Tensor | None,
    along_value: Tensor | None,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    settings = (ignore_index, label_smoothing, softcap, temperature, z_loss, max_bytes, entropy, keep)
    call = _Call(x, W, b, index, value, class_weight, settings)
    up, known = call.upstream([loss, lse, target, spread]), call.stats(stats)
    at = Directions(None if along_x is None else call.narrow(along_x), along_W, along_b, along_value)
    wanted = _wanted(need)
    moved, found = _second.second_order(call.logits, call.targets, known, up, at, wanted)
    outputs = (moved.loss, moved.log_sum, moved.target, moved.entropy * entropy)
    return *(call.widen(call.masked(out)).clone() for out in outputs), *_gradients(call, found, x)  # type: ignore[return-value]


@rows_second.register_fake
def _(
    loss: Tensor,
    lse: Tensor,
    target: Tensor,
    spread: Tensor,
    stats: Tensor,
    x: Tensor,
    W: Tensor | None,
    b: Tensor | None,
    index: Tensor | None,
    value: Tensor | None,
    class_weight: Tensor | None,
    *rest: Any,
) -> Any:
    return (
        *(torch.empty_like(part) for part in (loss, lse, target, spread)),
        *_empty(rest[8], x, W, b, value),
    )


@torch.library.custom_op("xent::rank", mutates_args=())
def rank(
    x: Tensor,
    W: Tensor | None,
    b: Tensor | None,
    index: Tensor,
    peak: Tensor,
    target: Tensor,
    class_weight: Tensor | None,
    ignore_index: int,
    label_smoothing: float,
    softcap: float,
    temperature: float,
    z_loss: float,
    max_bytes: int,
    entropy: bool,
    keep: bool,
) -> Tensor:
    settings = (ignore_index, label_smoothing, softcap, temperature, z_loss, max_bytes, entropy, keep)
    call = _Call(x, W, b, index, None, None, settings)
    known = call.targets.index
    assert known is not None
    weights = 1.0 if class_weight is None else class_weight.double()[known]
    at_target = call.narrow(peak) + call.narrow(target) / weights
    found = _tiles.rank(call.logits, known, at_target.to(call.logits.dtype))
    return call.widen(call.masked(found)).clone()


@rank.register_fake
def _(x: Tensor, *rest: Any) -> Tensor:
    return x.new_empty(x.shape[0], dtype=torch.int64)


# Autograd. What is compiled takes the operations, whose autograd this is; what is not takes the functions
# around them, which know forward mode as well: torch.library has no place for that, and torch.compile none
# for a function's.


def _zeros(parts: Any, stats: Tensor) -> list[Tensor]:
    """Cotangents, 0 for None."""
    return [torch.zeros_like(stats[0]) if part is None else part for part in parts]


def _save(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    ctx.mark_non_differentiable(*output[4:])
    ctx.set_materialize_grads(False)  # zeros as large as what is kept
    ctx.save_for_backward(*inputs[:6], *output[4:])
    ctx.settings = inputs[6:]


def _save_gradient(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    ctx.set_materialize_grads(False)
    ctx.save_for_backward(*inputs[:13])
    ctx.settings = inputs[13:]


def _need(ctx: Any, first: int) -> int:
    """See `_wanted`; x is input number `first`."""
    return sum(1 << i for i, j in enumerate((0, 1, 2, 4)) if ctx.needs_input_grad[first + j])


def _spread(found: tuple[Tensor, ...], need: int) -> tuple[Tensor | None, ...]:
    """x, W, b, index, value, class_weight: gradients where they were needed."""
    x, W, b, value = (part if wanted else None for part, wanted in zip(found, _wanted(need), strict=True))
    return x, W, b, None, value, None


def _backward(gradient: Any, ctx: Any, parts: Any) -> tuple[Tensor | None, ...]:
    *tensors, stats, kept, peaks = ctx.saved_tensors
    need = _need(ctx, 0)
    found = gradient(*_zeros(parts[:4], stats), stats, kept, peaks, *tensors, *ctx.settings, need)
    return *_spread(found, need), *(None for _ in ctx.settings)


def _without_kept(ctx: Any) -> list[Tensor]:
    """What `rows_second` takes of the tensors that `rows_gradient` was given."""
    return [*ctx.saved_tensors[:5], *ctx.saved_tensors[7:]]


def _backward_gradient(ctx: Any, parts: Any) -> tuple[Tensor | None, ...]:
    tensors, need = _without_kept(ctx), ctx.settings[-1]
    along = [part if wanted else None for part, wanted in zip(parts, _wanted(need), strict=True)]
    wanted = _need(ctx, 7)
    found = rows_second(*tensors, *ctx.settings[:-1], wanted, *along)
    return *found[:4], None, None, None, *_spread(found[4:], wanted), *(None for _ in ctx.settings)


class _Rows(torch.autograd.Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(*inputs: Any) -> Any:
        return rows(*inputs)

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        _save(ctx, inputs, output)
        ctx.save_for_forward(*inputs[:6], *output[4:])

    @staticmethod
    def backward(ctx: Any, *parts: Any) -> Any:
        return _backward(_RowsGradient.apply, ctx, parts)

    @staticmethod
    def jvp(ctx: Any, *tangents: Any) -> Any:
        *tensors, stats, _, _ = ctx.saved_tensors
        x, W, b, _, value, _ = tangents[:6]
        none = [torch.zeros_like(stats[0])] * 4
        moved = rows_second(*none, stats, *tensors, *ctx.settings, 0, x, W, b, value)
        return *moved[:4], None, None, None


class _RowsGradient(torch.autograd.Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(*inputs: Any) -> Any:
        return rows_gradient(*inputs)

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        _save_gradient(ctx, inputs, output)
        ctx.save_for_forward(*inputs[:13])

    @staticmethod
    def backward(ctx: Any, *parts: Any) -> Any:
        return _backward_gradient(ctx, parts)

    @staticmethod
    def jvp(ctx: Any, *tangents: Any) -> Any:
        tensors, need = _without_kept(ctx), ctx.settings[-1]
        x, W, b, _, value, _ = tangents[7:13]
        found = rows_second(*tensors, *ctx.settings, x, W, b, value)[4:]
        stats = tensors[4]
        if any(part is not None for part in tangents[:4]):
            more = rows_gradient(*_zeros(tangents[:4], stats), *ctx.saved_tensors[4:], *ctx.settings)
            found = tuple(a + b for a, b in zip(found, more, strict=True))
        return tuple(
            part if wanted else torch.zeros_like(part)
            for part, wanted in zip(found, _wanted(need), strict=True)
        )


rows.register_autograd(
    lambda ctx, *parts: _backward(rows_gradient, ctx, parts),
    setup_context=lambda ctx, inputs, output: _save(ctx, inputs, output),
)
rows_gradient.register_autograd(
    lambda ctx, *parts: _backward_gradient(ctx, parts),
    setup_context=lambda ctx, inputs, output: _save_gradient(ctx, inputs, output),
)


def _one_by_one(operation: Any) -> None:
    """vmap: a call for each of the batch."""

    @operation.register_vmap
    def _(info: Any, in_dims: Any, *args: Any) -> Any:
        calls = []
        for i in range(info.batch_size):
            given = [a.select(d, i) if isinstance(d, int) else a for a, d in zip(args, in_dims, strict=True)]
            calls.append(operation(*given))
        if isinstance(calls[0], Tensor):
            return torch.stack(calls), 0
        outputs = tuple(torch.stack(parts) for parts in zip(*calls, strict=True))
        return outputs, tuple(0 for _ in outputs)


for operation in (rows, rows_gradient, rows_second, rank):
    _one_by_one(operation)


def apply(*inputs: Any) -> tuple[Tensor, ...]:
    """`rows`, differentiable twice, and in forward mode where it is not compiled."""
    return rows(*inputs) if torch.compiler.is_compiling() else _Rows.apply(*inputs)
