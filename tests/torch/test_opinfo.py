"""Every sample of PyTorch's own tests of its cross-entropies: our loss and gradients are those of its
eager ones."""

import warnings

import pytest
import torch
import torch.nn.functional as F
from torch.testing import assert_close
from torch.utils._pytree import tree_map

import xent.torch

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from torch.testing._internal import common_methods_invocations, common_modules

DTYPES = [torch.float64, torch.float32, torch.bfloat16, torch.float16]
NAMES = ("nn.functional.cross_entropy", "nn.functional.linear_cross_entropy")
OPS = [op for op in common_methods_invocations.op_db if op.name in NAMES]
MODULES = [m for m in common_modules.module_db if m.module_cls in (torch.nn.CrossEntropyLoss,)]
MODULES += [m for m in common_modules.module_db if m.module_cls.__name__ == "LinearCrossEntropyLoss"]


def ours(name, input, args, kwargs):
    """The call in our words."""
    given = {"class_weight" if key == "weight" else key: value for key, value in kwargs.items()}
    given = {key: value for key, value in given.items() if key != "options"}
    if name == NAMES[0]:
        return xent.torch.cross_entropy(input, *args, **given)
    given = {"bias" if key == "linear_bias" else key: value for key, value in given.items()}
    return xent.torch.linear_cross_entropy(input, *args, **given)


def eager(name, input, args, kwargs):
    """PyTorch's, in float64 where the sample is of 16 bits: eager ones round their logits to bfloat16."""
    kwargs = {key: value for key, value in kwargs.items() if key != "options"}
    return (F.cross_entropy if name == NAMES[0] else F.linear_cross_entropy)(input, *args, **kwargs)


def wider(values, dtype):
    """float64 for 16 bits; differentiable, so that gradients come to the same leaves."""
    narrow = dtype in (torch.bfloat16, torch.float16)
    return tree_map(
        lambda v: v.double() if narrow and torch.is_tensor(v) and v.is_floating_point() else v, values
    )


def leaves(*values):
    return [v for v in values if isinstance(v, torch.Tensor) and v.requires_grad]


def test_there_are_samples():
    assert {op.name for op in OPS} == set(NAMES)
    assert len(OPS) == 4  # cross_entropy; linear_cross_entropy: eager, chunked, chunked without reduction
    assert len(MODULES) == 2


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("op", OPS, ids=lambda op: op.formatted_name)
def test_samples_of_operators(op, dtype):
    torch.manual_seed(0)
    count = 0
    for sample in op.sample_inputs("cpu", dtype, requires_grad=True):
        got = ours(op.name, sample.input, sample.args, sample.kwargs)
        want = eager(op.name, *wider((sample.input, sample.args, sample.kwargs), dtype))
        assert_close(got, want.to(dtype))
        inputs = leaves(sample.input, *sample.args, *sample.kwargs.values())
        upstream = torch.linspace(0.5, 1.5, max(want.numel(), 1)).reshape(want.shape).to(dtype)
        mine = torch.autograd.grad(got, inputs, upstream)
        for a, b in zip(mine, torch.autograd.grad(want, inputs, upstream.to(want.dtype)), strict=True):
            assert_close(a, b)
        count += 1
    assert count >= 20


@pytest.mark.filterwarnings("ignore:linear_cross_entropy")  # PyTorch's, that its options are ignored
@pytest.mark.parametrize("dtype", DTYPES[:2], ids=str)
@pytest.mark.parametrize("info", MODULES, ids=lambda info: info.name)
def test_samples_of_modules(info, dtype):
    torch.manual_seed(0)
    count = 0
    # A loss does not know whether it is trained: the samples of both are the same.
    for sample in info.module_inputs_func(info, "cpu", dtype, requires_grad=True, training=True):
        made, call = sample.constructor_input, sample.forward_input
        theirs = info.module_cls(*made.args, **made.kwargs)
        names = {"weight": "class_weight"}
        given = {names.get(key, key): value for key, value in made.kwargs.items() if key != "options"}
        given = {key: value for key, value in given.items() if value is not None}
        mine = getattr(xent.torch, info.module_cls.__name__)(*made.args, **given)
        mine.load_state_dict({names.get(k, k): v for k, v in theirs.state_dict().items()})
        theirs, mine = theirs.to(dtype), mine.to(dtype)
        got, want = mine(*call.args, **call.kwargs), theirs(*call.args, **call.kwargs)
        if want.isnan().any():  # PyTorch's mean of no row; ours is 0: docs/torch.md
            assert (call.args[-1] == made.kwargs["ignore_index"]).all()
            want = torch.where(want.isnan(), 0, want)
        assert_close(got, want)
        inputs = leaves(*call.args)
        found = torch.autograd.grad(got.sum(), [*inputs, *mine.parameters()])
        known = torch.autograd.grad(want.sum(), [*inputs, *theirs.parameters()])
        for a, b in zip(found, known, strict=True):
            assert_close(a, b)
        count += 1
    assert count >= 40
