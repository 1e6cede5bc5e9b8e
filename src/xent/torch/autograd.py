"""What autograd makes of the operations.

Calls that are compiled take the operations, whose backward is registered; others the functions around
them, which know forward mode too: torch.library has no place for that, and torch.compile none for a
function's. torch.func inside what is compiled, forward over forward, and orders beyond the second go
through `formula`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

import torch
from torch import Tensor
from torch._C._functorch import TransformType, get_interpreter_stack, is_functorch_wrapped_tensor
from torch.autograd import forward_ad
from torch.func import vjp

from . import formula, operations
from .operations import FIELDS, Context, Input, Settings, Tensors, split, split_gradient, wanted

_LEAVES = (0, 1, 2, 4)  # x, W, b and value among the tensors
Operation: TypeAlias = Callable[..., tuple[Tensor, ...]]
MaybeTensors: TypeAlias = Sequence[Tensor | None]  # None: 0, or not needed


def apply(tensors: Tensors, settings: Settings) -> tuple[Tensor, ...]:
    """The first four outputs of `xent::rows`, differentiable in any mode, as often as one likes; and int64
    the first class of the largest logit."""
    if torch.compiler.is_compiling():
        # Private, and the one question about torch.func that Dynamo answers while it traces. Should it go,
        # ask what PyTorch's own FSDP then asks; tests/torch/test_compiled.py fails until Dynamo answers that.
        if torch._C._are_functorch_transforms_active() or forward_ad._current_level >= 0:
            return formula.rows(tensors, settings)
        operation: Operation = operations.rows
    elif _deep():
        if tensors.target is None or not is_functorch_wrapped_tensor(tensors.target):
            operations.check_targets(tensors, settings)  # what vmap has split is not to be looked at
        return formula.rows(tensors, settings)
    else:
        operation = _rows
    *outputs, stats, _, _ = operation(*tensors, *settings)
    return *outputs, stats[FIELDS.index("winner")].long()


def _deep() -> bool:
    """Whether torch.func takes a third derivative, or forward over forward: a function's jvp that calls jvp
    again would lose the tangents of the levels around it."""
    # No tensor and no module of torch in here: else torch.compile would try this where it gave up on callers.
    kinds = [level.key() for level in get_interpreter_stack() or ()]
    forward = kinds.count(TransformType.Jvp)
    return forward >= 2 or forward + kinds.count(TransformType.Grad) >= 3


def _zeros(parts: MaybeTensors, stats: Tensor) -> list[Tensor]:
    """Cotangents (N,) of rows, 0 for None."""
    return [torch.zeros_like(stats[0]) if part is None else part for part in parts]


def _none(parts: MaybeTensors) -> bool:
    """Whether there are none at all."""
    return all(part is None for part in parts)


def _need(ctx: Context, first: int) -> int:
    """See `operations.wanted`; x is input number `first`."""
    return sum(1 << i for i, j in enumerate(_LEAVES) if ctx.needs_input_grad[first + j])


def _along(parts: MaybeTensors, tensors: MaybeTensors, need: int) -> list[Tensor | None]:
    """Cotangents of gradients, None where the gradient was not needed or its tensor is not there."""
    there = (here and tensors[j] is not None for here, j in zip(wanted(need), _LEAVES, strict=True))
    return [part if here else None for part, here in zip(parts, there, strict=True)]


def _of_inputs(gradients: MaybeTensors, need: int) -> tuple[Tensor | None, ...]:
    """Gradients of x, W, b and values, where needed, as gradients of all inputs of `rows`."""
    x, W, b, value = (part if here else None for part, here in zip(gradients, wanted(need), strict=True))
    return x, W, b, None, value, None, *(None for _ in Settings._fields)


def _save(ctx: Context, inputs: tuple[Input, ...], output: tuple[Tensor, ...]) -> None:
    """What the gradient of `rows` needs; of its outputs the first four are differentiable."""
    tensors, ctx.settings = split(inputs)
    ctx.mark_non_differentiable(*output[4:])
    ctx.set_materialize_grads(False)  # zeros as large as what is kept
    ctx.save_for_backward(*tensors, *output[4:])


def _backward(gradient: Operation, ctx: Context, parts: MaybeTensors) -> tuple[Tensor | None, ...]:
    """Gradients of the inputs of `rows`, by `gradient`: `rows_gradient` or the function around it."""
    *tensors, stats, kept, peaks = ctx.saved_tensors
    need = _need(ctx, 0)
    gradients = gradient(*_zeros(parts[:4], stats), stats, *tensors, *ctx.settings, need, kept, peaks)
    return _of_inputs(gradients, need)


def _save_gradient(
    ctx: Context, inputs: tuple[Input, ...], output: tuple[Tensor, ...]
) -> tuple[Tensor | None, ...]:
    """The tensors that `rows_gradient` or `rows_second` was called with, saved: `up` and `stats` (5), those
    of `rows` (6), and the last ones."""
    up, tensors, ctx.settings, ctx.need, last = split_gradient(inputs)
    saved = *up, *tensors, *last
    ctx.set_materialize_grads(False)
    ctx.save_for_backward(*saved)
    return saved


def _backward_gradient(second: Operation, ctx: Context, parts: MaybeTensors) -> tuple[Tensor | None, ...]:
    """Gradients of the inputs of `rows_gradient`: of up, stats, the inputs of `rows`, need, kept, peaks."""
    saved = ctx.saved_tensors[:11]
    along = _along(parts, saved[5:], ctx.need)
    need_leaves = _need(ctx, 5)
    gradients = second(*saved, *ctx.settings, need_leaves, *along)
    return *gradients[:4], None, *_of_inputs(gradients[4:], need_leaves), None, None, None


class _Rows(torch.autograd.Function):
    """`xent::rows`, in forward mode too."""

    generate_vmap_rule = True

    @staticmethod
    def forward(*inputs: Input) -> tuple[Tensor, ...]:
        outputs: tuple[Tensor, ...] = operations.rows(*inputs)
        return outputs

    @staticmethod
    def setup_context(ctx: Context, inputs: tuple[Input, ...], output: tuple[Tensor, ...]) -> None:
        _save(ctx, inputs, output)
        tensors, _ = split(inputs)
        ctx.save_for_forward(*tensors, *output[4:])

    @staticmethod
    def backward(ctx: Context, *parts: Tensor | None) -> tuple[Tensor | None, ...]:
        return _backward(rows_gradient, ctx, parts)

    @staticmethod
    def jvp(ctx: Context, *tangents: Tensor | None) -> tuple[Tensor | None, ...]:
        *tensors, stats, _, _ = ctx.saved_tensors
        x, W, b, _, value, _ = tangents[:6]
        none = _zeros([None] * 4, stats)
        moved = _rows_second(*none, stats, *tensors, *ctx.settings, 0, x, W, b, value)
        return *moved[:4], None, None, None


class _RowsGradient(torch.autograd.Function):
    """`xent::rows_gradient`, in forward mode too."""

    generate_vmap_rule = True

    @staticmethod
    def forward(*inputs: Input) -> tuple[Tensor, ...]:
        outputs: tuple[Tensor, ...] = operations.rows_gradient(*inputs)
        return outputs

    @staticmethod
    def setup_context(ctx: Context, inputs: tuple[Input, ...], output: tuple[Tensor, ...]) -> None:
        saved = _save_gradient(ctx, inputs, output)
        ctx.save_for_forward(*saved)

    @staticmethod
    def backward(ctx: Context, *parts: Tensor | None) -> tuple[Tensor | None, ...]:
        return _backward_gradient(_rows_second, ctx, parts)

    @staticmethod
    def jvp(ctx: Context, *tangents: Tensor | None) -> tuple[Tensor | None, ...]:
        *saved, kept, peaks = ctx.saved_tensors
        x, W, b, _, value, _ = tangents[5:11]
        gradients = _rows_second(*saved, *ctx.settings, ctx.need, x, W, b, value)[4:]
        if not _none(tangents[:4]):
            up = _zeros(tangents[:4], saved[4])
            more = rows_gradient(*up, *saved[4:], *ctx.settings, ctx.need, kept, peaks)
            gradients = tuple(a + b for a, b in zip(gradients, more, strict=True))
        return tuple(
            part if here else torch.zeros_like(part)
            for part, here in zip(gradients, wanted(ctx.need), strict=True)
        )


class _RowsSecond(torch.autograd.Function):
    """Linear in `along`, and symmetric in that and what is upstream: so backward over forward, and what
    `torch.autograd.functional.hvp` does, stay in tiles. Everything else is of third order."""

    generate_vmap_rule = True

    @staticmethod
    def forward(*inputs: Input) -> tuple[Tensor, ...]:
        outputs: tuple[Tensor, ...] = operations.rows_second(*inputs)
        return outputs

    @staticmethod
    def setup_context(ctx: Context, inputs: tuple[Input, ...], output: tuple[Tensor, ...]) -> None:
        saved = _save_gradient(ctx, inputs, output)
        ctx.save_for_forward(*saved)

    @staticmethod
    def backward(ctx: Context, *parts: Tensor | None) -> tuple[Tensor | None, ...]:
        saved, along = ctx.saved_tensors[:11], ctx.saved_tensors[11:]
        settings, need = ctx.settings, ctx.need
        of_rows = _zeros(parts[:4], saved[4])
        products = _along(parts[4:], saved[5:], need)
        rest = *saved[4:], *settings
        need_leaves, need_along = _need(ctx, 5), sum(1 << i for i in range(4) if ctx.needs_input_grad[20 + i])
        gradients: list[Tensor | None] = [None] * 12  # of up, the leaves and along
        if not _none(products) and (need_leaves or any(ctx.needs_input_grad[:4])):
            of, inputs = _third(ctx)
            back = vjp(of, *(t for t in inputs if t is not None))[1]
            cotangents = (
                *of_rows,
                *(
                    torch.zeros_like(t) if part is None else part
                    for part, t, here in zip(products, inputs[4:8], wanted(need), strict=True)
                    if here and t is not None
                ),
            )
            grads = iter(back(cotangents))
            gradients = [None if t is None else next(grads) for t in inputs]
        else:
            if need_leaves and not _none(parts[:4]):
                gradients[4:8] = _rows_second(*of_rows, *rest, need_leaves, *along)[4:]
            if need_along and not _none(parts[:4]):
                empty = saved[4].new_empty(0)
                gradients[8:] = rows_gradient(*of_rows, *rest, need_along, empty, empty)
            if need_along and not _none(products):
                more = _rows_second(*saved, *settings, need_along, *products)[4:]
                gradients[8:] = [b if a is None else a + b for a, b in zip(gradients[8:], more, strict=True)]
        for_along = (g if need_along >> i & 1 else None for i, g in enumerate(gradients[8:]))
        of_leaves = _of_inputs([gradients[4 + i] for i in range(4)], need_leaves)
        return *gradients[:4], None, *of_leaves, None, *for_along

    @staticmethod
    def jvp(ctx: Context, *tangents: Tensor | None) -> tuple[Tensor | None, ...]:
        of, inputs = _third(ctx)
        tangents = *tangents[:4], *(tangents[5 + j] for j in _LEAVES), *tangents[20:]
        moves = [
            torch.zeros_like(t) if m is None else m
            for t, m in zip(inputs, tangents, strict=True)
            if t is not None
        ]
        moved = iter(formula.push(of, [t for t in inputs if t is not None], moves))
        of_rows = [next(moved) for _ in range(4)]
        empty = ctx.saved_tensors[5].new_zeros(0)
        return *of_rows, *(next(moved) if here else empty for here in wanted(ctx.need))


def _third(ctx: Context) -> tuple[Operation, list[Tensor | None]]:
    """`formula.second` of the inputs that are not None, and the inputs: up, the leaves and along."""
    saved = ctx.saved_tensors
    tensors = Tensors(*saved[5:11])
    inputs = [*saved[:4], *(tensors[j] for j in _LEAVES), *saved[11:]]
    inputs = [None if t is None else t.clone() for t in inputs]  # jvp takes none that is expanded
    second = formula.second(tensors, ctx.settings, wanted(ctx.need))

    def of(*leaves: Tensor) -> tuple[Tensor, ...]:
        """The second order of the inputs that are there."""
        remaining = iter(leaves)
        return second(*(None if t is None else next(remaining) for t in inputs))

    return of, inputs


# Function.apply has no types: what it takes and returns is `forward`'s.
_rows: Operation = _Rows.apply
rows_gradient: Operation = _RowsGradient.apply
_rows_second: Operation = _RowsSecond.apply

operations.rows.register_autograd(
    lambda ctx, *parts: _backward(operations.rows_gradient, ctx, parts), setup_context=_save
)
operations.rows_gradient.register_autograd(
    lambda ctx, *parts: _backward_gradient(operations.rows_second, ctx, parts), setup_context=_save_gradient
)
