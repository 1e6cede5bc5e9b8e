"""What autograd makes of the operations.

Calls that are compiled take the operations, whose backward is registered; others the functions around
them, which know forward mode too: torch.library has no place for that, and torch.compile none for a
function's. torch.func inside what is compiled, forward over forward, and orders beyond the second go
through `formula`.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch._C._functorch import TransformType, get_interpreter_stack, is_functorch_wrapped_tensor
from torch.autograd import forward_ad
from torch.func import vjp

from . import formula, operations
from .operations import FIELDS, Settings, Tensors, wanted

_LEAVES = (0, 1, 2, 4)  # x, W, b and value among the tensors


def apply(tensors: Tensors, settings: Settings) -> tuple[Tensor, ...]:
    """The first four outputs of `xent::rows`, differentiable in any mode, as often as one likes; and int64
    the first class of the largest logit."""
    if torch.compiler.is_compiling():
        # Private, and the one question about torch.func that Dynamo answers while it traces. Should it go,
        # ask what PyTorch's own FSDP then asks; tests/torch/test_compiled.py fails until Dynamo answers that.
        if torch._C._are_functorch_transforms_active() or forward_ad._current_level >= 0:
            return formula.rows(tensors, settings)
        operation: Any = operations.rows
    elif _deep():
        if tensors.target is None or not is_functorch_wrapped_tensor(tensors.target):
            operations.check_targets(tensors, settings)  # what vmap has split is not to be looked at
        return formula.rows(tensors, settings)
    else:
        operation = _Rows.apply
    *found, stats, _, _ = operation(*tensors, *settings)
    return *found, stats[FIELDS.index("winner")].long()


def _deep() -> bool:
    """Whether torch.func takes a third derivative, or forward over forward: a function's jvp that calls jvp
    again would lose the tangents of the levels around it."""
    # No tensor and no module of torch in here: else torch.compile would try this where it gave up on callers.
    kinds = [level.key() for level in get_interpreter_stack() or ()]
    forward = kinds.count(TransformType.Jvp)
    return forward >= 2 or forward + kinds.count(TransformType.Grad) >= 3


def _zeros(parts: Any, stats: Tensor) -> list[Tensor]:
    """Cotangents of rows, 0 for None."""
    return [torch.zeros_like(stats[0]) if part is None else part for part in parts]


def _none(parts: Any) -> bool:
    return all(part is None for part in parts)


def _need(ctx: Any, first: int) -> int:
    """See `operations.wanted`; x is input number `first`."""
    return sum(1 << i for i, j in enumerate(_LEAVES) if ctx.needs_input_grad[first + j])


def _along(parts: Any, tensors: Any, need: int) -> list[Tensor | None]:
    """Cotangents of gradients: of those that were needed, of tensors that are there."""
    there = (here and tensors[j] is not None for here, j in zip(wanted(need), _LEAVES, strict=True))
    return [part if here else None for part, here in zip(parts, there, strict=True)]


def _of_inputs(found: Any, need: int) -> tuple[Tensor | None, ...]:
    """Of `_INPUTS`: the gradients that were needed."""
    x, W, b, value = (part if here else None for part, here in zip(found, wanted(need), strict=True))
    return x, W, b, None, value, None, *(None for _ in Settings._fields)


def _save(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    ctx.mark_non_differentiable(*output[4:])
    ctx.set_materialize_grads(False)  # zeros as large as what is kept
    ctx.save_for_backward(*inputs[:6], *output[4:])
    ctx.settings = inputs[6:]


def _backward(gradient: Any, ctx: Any, parts: Any) -> tuple[Tensor | None, ...]:
    *tensors, stats, kept, peaks = ctx.saved_tensors
    need = _need(ctx, 0)
    found = gradient(*_zeros(parts[:4], stats), stats, *tensors, *ctx.settings, need, kept, peaks)
    return _of_inputs(found, need)


def _save_gradient(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    ctx.set_materialize_grads(False)
    ctx.save_for_backward(*inputs[:11], *inputs[20:])
    ctx.settings = inputs[11:20]


def _backward_gradient(second: Any, ctx: Any, parts: Any) -> tuple[Tensor | None, ...]:
    """Of up, stats, the inputs, need, kept and peaks."""
    known, need = ctx.saved_tensors[:11], ctx.settings[-1]
    along = _along(parts, known[5:], need)
    asked = _need(ctx, 5)
    found = second(*known, *ctx.settings[:-1], asked, *along)
    return *found[:4], None, *_of_inputs(found[4:], asked), None, None, None


class _Rows(torch.autograd.Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(*inputs: Any) -> Any:
        return operations.rows(*inputs)

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        _save(ctx, inputs, output)
        ctx.save_for_forward(*inputs[:6], *output[4:])

    @staticmethod
    def backward(ctx: Any, *parts: Any) -> Any:
        return _backward(RowsGradient.apply, ctx, parts)

    @staticmethod
    def jvp(ctx: Any, *tangents: Any) -> Any:
        *tensors, stats, _, _ = ctx.saved_tensors
        x, W, b, _, value, _ = tangents[:6]
        none = _zeros([None] * 4, stats)
        moved = _RowsSecond.apply(*none, stats, *tensors, *ctx.settings, 0, x, W, b, value)
        return *moved[:4], None, None, None


class RowsGradient(torch.autograd.Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(*inputs: Any) -> Any:
        return operations.rows_gradient(*inputs)

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        _save_gradient(ctx, inputs, output)
        ctx.save_for_forward(*inputs[:11], *inputs[20:])

    @staticmethod
    def backward(ctx: Any, *parts: Any) -> Any:
        return _backward_gradient(_RowsSecond.apply, ctx, parts)

    @staticmethod
    def jvp(ctx: Any, *tangents: Any) -> Any:
        *known, kept, peaks = ctx.saved_tensors
        x, W, b, _, value, _ = tangents[5:11]
        found = _RowsSecond.apply(*known, *ctx.settings, x, W, b, value)[4:]
        if not _none(tangents[:4]):
            up = _zeros(tangents[:4], known[4])
            more = RowsGradient.apply(*up, *known[4:], *ctx.settings, kept, peaks)
            found = tuple(a + b for a, b in zip(found, more, strict=True))
        return tuple(
            part if here else torch.zeros_like(part)
            for part, here in zip(found, wanted(ctx.settings[-1]), strict=True)
        )


class _RowsSecond(torch.autograd.Function):
    """Linear in `along`, and symmetric in that and what is upstream: so backward over forward, and what
    `torch.autograd.functional.hvp` does, stay in tiles. Everything else is of third order."""

    generate_vmap_rule = True

    @staticmethod
    def forward(*inputs: Any) -> Any:
        return operations.rows_second(*inputs)

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        ctx.set_materialize_grads(False)
        saved = *inputs[:11], *inputs[20:]
        ctx.save_for_backward(*saved)
        ctx.save_for_forward(*saved)
        ctx.settings = inputs[11:20]

    @staticmethod
    def backward(ctx: Any, *parts: Any) -> Any:
        known, along = ctx.saved_tensors[:11], ctx.saved_tensors[11:]
        *settings, need = ctx.settings
        of_rows = _zeros(parts[:4], known[4])
        products = _along(parts[4:], known[5:], need)
        given = *known[4:], *settings
        asked, asked_along = _need(ctx, 5), sum(1 << i for i in range(4) if ctx.needs_input_grad[20 + i])
        found: list[Tensor | None] = [None] * 12  # of up, the leaves and along
        if not _none(products) and (asked or any(ctx.needs_input_grad[:4])):
            of, inputs = _third(ctx)
            back = vjp(of, *(t for t in inputs if t is not None))[1]
            cotangents = (
                *of_rows,
                *(
                    torch.zeros_like(t) if part is None else part
                    for part, t, here in zip(products, inputs[4:8], wanted(need), strict=True)
                    if here
                ),
            )
            grads = iter(back(cotangents))
            found = [None if t is None else next(grads) for t in inputs]
        else:
            if asked and not _none(parts[:4]):
                found[4:8] = _RowsSecond.apply(*of_rows, *given, asked, *along)[4:]
            if asked_along and not _none(parts[:4]):
                empty = known[4].new_empty(0)
                found[8:] = RowsGradient.apply(*of_rows, *given, asked_along, empty, empty)
            if asked_along and not _none(products):
                more = _RowsSecond.apply(*known, *settings, asked_along, *products)[4:]
                found[8:] = [b if a is None else a + b for a, b in zip(found[8:], more, strict=True)]
        for_along = (g if asked_along >> i & 1 else None for i, g in enumerate(found[8:]))
        of_leaves = _of_inputs([found[4 + i] for i in range(4)], asked)
        return *found[:4], None, *of_leaves, None, *for_along

    @staticmethod
    def jvp(ctx: Any, *tangents: Any) -> Any:
        of, inputs = _third(ctx)
        moves = [*tangents[:4], *(tangents[5 + j] for j in _LEAVES), *tangents[20:]]
        moves = [
            torch.zeros_like(t) if m is None else m
            for t, m in zip(inputs, moves, strict=True)
            if t is not None
        ]
        moved = iter(formula.push(of, [t for t in inputs if t is not None], moves))
        of_rows = [next(moved) for _ in range(4)]
        empty = inputs[4].new_zeros(0)
        return *of_rows, *(next(moved) if here else empty for here in wanted(ctx.settings[-1]))


def _third(ctx: Any) -> tuple[Any, list[Any]]:
    """`formula.second` of the inputs that are not None, and the inputs: up, the leaves and along."""
    saved, need = ctx.saved_tensors, ctx.settings[-1]
    tensors, settings = Tensors(*saved[5:11]), Settings(*ctx.settings[:-1])
    inputs = [*saved[:4], *(tensors[j] for j in _LEAVES), *saved[11:]]
    inputs = [None if t is None else t.clone() for t in inputs]  # jvp takes none that is expanded
    second = formula.second(tensors, settings, wanted(need))

    def of(*given: Any) -> Any:
        rest = iter(given)
        return second(*(None if t is None else next(rest) for t in inputs))

    return of, inputs


operations.rows.register_autograd(
    lambda ctx, *parts: _backward(operations.rows_gradient, ctx, parts), setup_context=_save
)
operations.rows_gradient.register_autograd(
    lambda ctx, *parts: _backward_gradient(operations.rows_second, ctx, parts), setup_context=_save_gradient
)
