"""The custom operations: `xent::rows`, its gradient, its second order, and the targets' ranks.

A row's outputs, float64 (N,): the loss, lse, the target's log-probability, the entropy (0 unless asked
for), and `stats` (8, N), what the other operations need. Inputs: x (N, D) with W (K, D) and b (K,), or
logits x (N, K) alone; targets as `tiles.Targets` has them. `autograd` makes them differentiable.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeAlias

import torch
from torch import Tensor

from . import gradient, native_logits, native_tiles, second, tiles
from . import whole as whole_call
from .gradient import Gradients, Need, Upstream
from .second import Directions
from .tiles import Logits, Options, Rows, Targets

if TYPE_CHECKING:
    from torch._library.custom_ops import CustomOpDef

Input: TypeAlias = Tensor | int | float | bool | None  # what an operation takes, in the order of its schema
FIELDS = ("peak", "rest", "mass", "share", "live", "winner", "entropy", "target")  # of stats
WIDE = 16  # a bit of `need`: leave the gradient of x in the dtype that it was summed in


class Tensors(NamedTuple):
    """The tensors of an operation."""

    x: Tensor
    W: Tensor | None
    b: Tensor | None
    target: Tensor | None  # classes, (N,) or (N, t)
    value: Tensor | None
    class_weight: Tensor | None

    @property
    def K(self) -> int:
        """The number of classes."""
        return self.x.shape[-1] if self.W is None else self.W.shape[0]


class Settings(NamedTuple):
    """The numbers of an operation; `keep`: let forward keep what backward can use."""

    ignore_index: int = -100
    label_smoothing: float = 0.0
    softcap: float = 0.0
    temperature: float = 1.0
    z_loss: float = 0.0
    max_bytes: int = 32 << 20
    entropy: bool = False
    keep: bool = False


_INPUTS = (
    "Tensor x, Tensor? W, Tensor? b, Tensor? index, Tensor? value, Tensor? class_weight, int ignore_index, "
    "float label_smoothing, float softcap, float temperature, float z_loss, int max_bytes, bool entropy, "
    "bool keep"
)
_UP = "Tensor loss, Tensor lse, Tensor target, Tensor spread, Tensor stats"
_ALONG = "Tensor? along_x, Tensor? along_W, Tensor? along_b, Tensor? along_value"


class Context(Protocol):
    """What autograd hands to a function, whose class in PyTorch does not name all of this."""

    saved_tensors: tuple[Any, ...]  # tensors, or None
    needs_input_grad: tuple[bool, ...]
    settings: Settings
    need: int  # see `wanted`

    def save_for_backward(self, *tensors: Tensor | None) -> None: ...
    def save_for_forward(self, *tensors: Tensor | None) -> None: ...
    def mark_non_differentiable(self, *tensors: Tensor) -> None: ...
    def set_materialize_grads(self, value: bool) -> None: ...


class Vmap(Protocol):
    """What vmap says of its batch."""

    batch_size: int


def split(inputs: Sequence[Input]) -> tuple[Tensors, Settings]:
    """The inputs of `rows` and of `above`, by name."""
    return Tensors._make(inputs[:6]), Settings._make(inputs[6:14])


def split_gradient(
    inputs: Sequence[Input],
) -> tuple[tuple[Tensor, ...], Tensors, Settings, int, tuple[Any, ...]]:
    """The inputs of `rows_gradient` and of `rows_second`: gradients by the outputs of `rows` and its stats
    (5), those of `rows`, which gradients are needed, and what forward kept (2) or the directions (4)."""
    values: tuple[Any, ...] = tuple(inputs)
    return values[:5], *split(values[5:]), values[19], values[20:]


class _Call:
    """An operation's tensors as the engines want them: rows that are ignored left out, or, of logits,
    masked."""

    def __init__(self, tensors: Tensors, settings: Settings) -> None:
        x, W, b, index, value, class_weight = tensors
        self.n, self.x, self.entropy = len(x), x, settings.entropy
        self.live: Tensor | None = None
        dead = None if index is None or value is not None else index == settings.ignore_index
        if dead is not None and bool(dead.any()):
            self.live = torch.nonzero(~dead)[:, 0]
        if self.live is not None and W is not None and index is not None:
            x, index, dead = x[self.live], index[self.live], None
        elif self.live is not None and index is not None:
            index = index.masked_fill(index == settings.ignore_index, 0)
        options = Options(*settings[1:6])
        self.logits = Logits(x, W, b, options, None if self.live is None or W is not None else dead)
        self.targets = Targets(index, value, class_weight)

    def widen(self, rows: Tensor) -> Tensor:
        """From the live rows to all rows, 0 for those that were left out."""
        if self.live is None or len(rows) == self.n:
            return rows
        return rows.new_zeros((self.n, *rows.shape[1:])).index_copy_(0, self.live, rows)

    def narrow(self, rows: Tensor) -> Tensor:
        """From all rows to the live ones."""
        return rows if self.live is None or self.logits.shape[0] == self.n else rows[self.live]

    def masked(self, rows: Tensor) -> Tensor:
        """The same with 0 where a row is ignored."""
        return rows if self.logits.dead is None else rows.masked_fill(self.logits.dead, 0)

    def outputs(self, *parts: Tensor) -> tuple[Tensor, ...]:
        """`parts` of the live rows as outputs of all rows, in memory of their own."""
        return tuple(self.widen(self.masked(part)).clone() for part in parts)

    def upstream(self, parts: Iterable[Tensor]) -> Upstream:
        """Gradients by the outputs of `rows`, of the live rows."""
        return Upstream(*(self.masked(self.narrow(part.double())) for part in parts))

    def stats(self, kept: Tensor) -> Rows:
        """What forward found of the live rows, from `stats` (8, N)."""
        rows = dict(zip(FIELDS, self.narrow(kept.T).T, strict=True))
        winner = rows.pop("winner").long()
        return Rows(winner=winner, loss=torch.empty(0), **rows)

    def gradients(self, gradients: Gradients, need: int) -> tuple[Tensor, ...]:
        """Gradients of x, W, b and values as outputs: empty where none is needed."""
        dx = None if gradients.x is None else self.widen(gradients.x)
        dx = dx if dx is None or need & WIDE else dx.to(self.x.dtype)
        return tuple(
            self.x.new_empty(0) if g is None else g for g in (dx, gradients.W, gradients.b, gradients.value)
        )


def _whole_call(tensors: Tensors, settings: Settings) -> whole_call.Call | None:
    """The call as `whole` takes it; None if it does not serve it."""
    x, W, b, index, value, class_weight = tensors
    _, smoothing, softcap, temperature, z_loss, _, entropy, _ = settings
    options = smoothing or softcap or z_loss or entropy or temperature != 1
    if index is None or value is not None or class_weight is not None or options:
        return None
    call = whole_call.Call(x, W, b, index.contiguous(), settings.ignore_index, settings.max_bytes)
    return call if whole_call.serves(call) else None


def wanted(need: int) -> Need:
    """Whether gradients of x, W, b and values are needed: bits of a number, since vmap takes no lists."""
    return bool(need & 1), bool(need & 2), bool(need & 4), bool(need & 8)


def _fake_gradients(tensors: Tensors, need: int) -> tuple[Tensor, ...]:
    """Tensors of the shapes and dtypes of `rows_gradient`'s outputs."""
    x, W, b, _, value, _ = tensors
    gradients = []
    for needs, like in zip(wanted(need), (x, W, b, value), strict=True):
        dtype = x.dtype if like is None or not needs else like.dtype
        gradients.append(x.new_empty(like.shape if needs and like is not None else 0, dtype=dtype))
    return tuple(gradients)


def check_classes(index: Tensor, ignore_index: int | None, K: int) -> None:
    """Raises IndexError with the first target that is no class; on the CPU, where that costs no wait."""
    if index.device.type != "cpu":
        return
    outside = (index < 0) | (index >= K)
    if not bool(outside.any()):
        return
    at = torch.nonzero(outside if ignore_index is None else outside & (index != ignore_index))
    if len(at):
        place, value = ", ".join(map(str, at[0].tolist())), int(index[tuple(at[0].tolist())])
        remedy = "" if ignore_index is None else "; mask a row with ignore_index"
        raise IndexError(f"target[{place}] = {value} is outside [0, {K}){remedy}")


def check_targets(tensors: Tensors, settings: Settings) -> None:
    """`check_classes` of the targets of an operation."""
    if tensors.target is not None:
        check_classes(tensors.target, settings.ignore_index if tensors.value is None else None, tensors.K)


@torch.library.custom_op(
    "xent::rows", mutates_args=(), schema=f"({_INPUTS}) -> ({', '.join(['Tensor'] * 7)})"
)
def rows(*inputs: Input) -> tuple[Tensor, ...]:
    """The outputs that this file opens with, and what forward keeps: `native_tiles.room_to_keep`."""
    tensors, settings = split(inputs)
    check_targets(tensors, settings)
    room = native_tiles.room_to_keep(tensors.x, tensors.W, settings.keep)
    if (whole := _whole_call(tensors, settings)) is not None:
        loss, at, _ = whole_call.forward(whole, room=(None, *room) if settings.keep else whole_call.NO_ROOM)
        peak, log_rest, target = at[0], torch.log1p(at[1]), at[3]
        of_rows = loss.clone(), peak + log_rest, target - log_rest, torch.zeros_like(loss)
        return *of_rows, whole_call.stats(at, whole), *room
    call = _Call(tensors, settings)
    logits, targets, entropy = call.logits, call.targets, settings.entropy
    if native_tiles.serves(logits, targets, entropy):
        result = native_tiles.forward(logits, targets, room if settings.keep else None)
    elif native_logits.serves(logits, targets, entropy):
        result = native_logits.forward(logits, targets)
    else:
        result = tiles.forward(logits, targets, entropy)
    kept = torch.stack([getattr(result, name).double() for name in FIELDS], 1)
    outputs = call.outputs(result.loss, result.log_sum, result.log_prob, result.entropy * entropy)
    return *outputs, call.widen(kept).T.contiguous(), *room


@rows.register_fake
def _(*inputs: Input) -> tuple[Tensor, ...]:
    (x, W, *_), settings = split(inputs)
    of_row = [x.new_empty(x.shape[0], dtype=torch.float64) for _ in range(4)]
    stats = x.new_empty((len(FIELDS), x.shape[0]), dtype=torch.float64)
    return *of_row, stats, *native_tiles.room_to_keep(x, W, settings.keep)


@torch.library.custom_op(
    "xent::rows_gradient",
    mutates_args=(),
    schema=f"({_UP}, {_INPUTS}, int need, Tensor kept, Tensor peaks) -> (Tensor, Tensor, Tensor, Tensor)",
)
def rows_gradient(*inputs: Input) -> tuple[Tensor, ...]:
    """Gradients of x, W, b and values: empty where none is needed."""
    (*up, stats), tensors, settings, need, room = split_gradient(inputs)
    needs, whole = wanted(need), _whole_call(tensors, settings)
    if whole is not None and not need & WIDE and not any(bool(part.any()) for part in up[1:]):
        kept = (None, *room) if room[0].numel() else whole_call.NO_ROOM
        of = whole_call.backward(
            whole, whole_call.rows_for_backward(stats), up[0].contiguous(), needs[:3], kept
        )
        return *(tensors.x.new_empty(0) if g is None else g for g in of), tensors.x.new_empty(0)
    call = _Call(tensors, settings)
    logits, targets = call.logits, call.targets
    weights, of_rows = call.upstream(up), call.stats(stats)
    if native_tiles.serves(logits, targets, settings.entropy) and not needs[3]:
        kept_tiles = room if room[0].numel() else None
        gradients = native_tiles.backward(logits, targets, of_rows, weights, needs, kept_tiles)
    elif native_logits.serves(logits, targets, settings.entropy):
        gradients = native_logits.backward(logits, targets, of_rows, weights, needs)
    else:
        gradients = gradient.backward(logits, targets, of_rows, weights, needs)
    return call.gradients(gradients, need)


@rows_gradient.register_fake
def _(*inputs: Input) -> tuple[Tensor, ...]:
    _, tensors, _, need, _ = split_gradient(inputs)
    return _fake_gradients(tensors, need)


@torch.library.custom_op(
    "xent::rows_second",
    mutates_args=(),
    schema=f"({_UP}, {_INPUTS}, int need, {_ALONG}) -> ({', '.join(['Tensor'] * 8)})",
)
def rows_second(*inputs: Input) -> tuple[Tensor, ...]:
    """The tangents of what `rows` returns, and of what `rows_gradient` does."""
    (*up, stats), tensors, settings, need, (along_x, *along) = split_gradient(inputs)
    call = _Call(tensors, settings)
    weights, of_rows = call.upstream(up), call.stats(stats)
    at = Directions(None if along_x is None else call.narrow(along_x), *along)
    moved, gradients = second.second_order(call.logits, call.targets, of_rows, weights, at, wanted(need))
    entropy = moved.entropy * settings.entropy
    return *call.outputs(moved.loss, moved.log_sum, moved.target, entropy), *call.gradients(gradients, need)


@rows_second.register_fake
def _(*inputs: Input) -> tuple[Tensor, ...]:
    up, tensors, _, need, _ = split_gradient(inputs)
    return *(torch.empty_like(part) for part in up[:4]), *_fake_gradients(tensors, need)


@torch.library.custom_op("xent::above", mutates_args=(), schema=f"({_INPUTS}) -> Tensor")
def above(*inputs: Input) -> Tensor:
    """How many logits of a row are above that of its class, 0 for ignored rows."""
    tensors, settings = split(inputs)
    call = _Call(tensors, settings)
    assert call.targets.index is not None
    if native_tiles.serves(call.logits, call.targets, False):
        counts = native_tiles.above(call.logits, call.targets)
    else:
        counts = tiles.above(call.logits, call.targets.index)
    return call.outputs(counts)[0]


@above.register_fake
def _(x: Tensor, *inputs: Input) -> Tensor:
    return x.new_empty(x.shape[0], dtype=torch.int64)


def _one_by_one(operation: CustomOpDef) -> None:
    """Under vmap: one call for each member of the batch."""

    def over_batch(
        info: Vmap, in_dims: Sequence[int | None], *args: Input
    ) -> tuple[Tensor | tuple[Tensor, ...], int | tuple[int, ...]]:
        """One call for each member of the batch, and the outputs stacked on axis 0."""
        if not info.batch_size:
            raise ValueError("vmap: expected a batch of one or more, got an empty one")
        calls = []
        for i in range(info.batch_size):
            inputs = [
                a.select(d, i) if isinstance(a, Tensor) and isinstance(d, int) else a
                for a, d in zip(args, in_dims, strict=True)
            ]
            calls.append(operation(*inputs))
        if isinstance(calls[0], Tensor):
            return torch.stack(calls), 0
        outputs = tuple(torch.stack(parts) for parts in zip(*calls, strict=True))
        return outputs, tuple(0 for _ in outputs)

    operation.register_vmap(over_batch)


for operation in (rows, rows_gradient, rows_second, above):
    _one_by_one(operation)
