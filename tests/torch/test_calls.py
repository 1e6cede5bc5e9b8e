"""xent.torch as PyTorch calls it: compiled, under autocast and torch.func, from threads, as modules."""

import os
import signal
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest
import torch
import torch.nn.functional as F
from torch.func import grad, hessian, jacrev, jvp, vmap
from torch.testing import assert_close

from tests.kernels.test_kernels import native
from tests.torch.data import backward, tensors
from xent.torch import CrossEntropyLoss, LinearCrossEntropyLoss, cross_entropy, linear_cross_entropy, whole
from xent.torch import native_tiles as kernels

# PyTorch's vmap compiles something when it is first used.
pytestmark = pytest.mark.filterwarnings("ignore:`torch.jit.script:DeprecationWarning")


@pytest.mark.parametrize("backend", ["eager", "aot_eager", "inductor"])
def test_compile(backend):
    x, W, y = tensors(K=50)
    x, y = x.detach().reshape(4, 10, 8).requires_grad_(), y.reshape(4, 10)
    b = torch.randn(50, requires_grad=True)

    def loss(x, W, b):
        found = linear_cross_entropy(
            x, W, y, bias=b, label_smoothing=0.1, z_loss=0.01, shift=1, returns=["lse"]
        )
        return found.loss + found.lse.mean()

    torch._dynamo.reset()
    compiled = torch.compile(loss, fullgraph=True, backend=backend)
    for _ in range(2):
        got, want = compiled(x, W, b), loss(x, W, b)
        assert_close(got, want)
        for a, c in zip(backward(got, x, W, b), backward(want, x, W, b), strict=True):
            assert_close(a, c)


def test_autocast():
    x, W, y = tensors()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = linear_cross_entropy(x, W, y)
    assert loss.dtype == torch.float32
    assert_close(
        loss,
        linear_cross_entropy(x.bfloat16(), W.bfloat16(), y, reduction="none").float().mean(),
        rtol=2e-3,
        atol=0,
    )
    with torch.autocast("cpu", dtype=torch.bfloat16):  # of a layer before, and of a head
        hidden, logits = F.linear(x, torch.eye(8)), F.linear(x, W)
        assert hidden.dtype == logits.dtype == torch.bfloat16
        assert torch.equal(linear_cross_entropy(hidden, W, y), loss)
        assert cross_entropy(logits, y).dtype == torch.float32
    dx, dW = backward(loss, x, W)
    assert dx.dtype == dW.dtype == torch.float32
    assert_close(dW, backward(linear_cross_entropy(x, W, y), W)[0], rtol=0.05, atol=1e-3)


def test_functional_transforms():
    x, W, y = (t.detach() for t in tensors(24, 4, 6, torch.float64))

    def ours(W, x, y):
        return linear_cross_entropy(x, W, y)

    def theirs(W, x, y):
        return F.cross_entropy(x @ W.T, y)

    assert_close(grad(ours)(W, x, y), grad(theirs)(W, x, y))
    assert_close(hessian(ours)(W, x, y), hessian(theirs)(W, x, y))
    assert_close(jacrev(jacrev(ours))(W, x, y), hessian(theirs)(W, x, y))
    direction = torch.ones_like(W)
    assert_close(
        jvp(lambda W: ours(W, x, y), (W,), (direction,))[1], (grad(theirs)(W, x, y) * direction).sum()
    )
    batches = x.reshape(4, 6, 4), y.reshape(4, 6)
    each = vmap(grad(ours), in_dims=(None, 0, 0))(W, *batches)
    assert_close(each, vmap(grad(theirs), in_dims=(None, 0, 0))(W, *batches))


@native
@pytest.mark.parametrize("options", [{}, {"z_loss": 0.01}], ids=["whole", "tiles"])
def test_what_is_frozen_costs_nothing(monkeypatch, options):
    """A weight without a gradient is multiplied once in backward, not twice; and gets none."""
    x, W, y = tensors()
    asked, frozen = [], W.detach()

    def spied(inner, at):
        return lambda *given: asked.append(given[at][:3]) or inner(*given)

    monkeypatch.setattr(whole, "backward", spied(whole.backward, 3))
    monkeypatch.setattr(kernels, "backward", spied(kernels.backward, 4))
    loss = partial(linear_cross_entropy, target=y, **options)
    (dx,) = backward(loss(x, frozen), x)
    (dW,) = backward(loss(x.detach(), W), W)
    assert asked == [(True, False, False), (False, True, False)]
    want = backward(loss(x, W), x, W)
    assert torch.equal(dx, want[0])
    assert torch.equal(dW, want[1])


def test_modules():
    x, W, y = tensors()
    layer = LinearCrossEntropyLoss(8, 90, bias=True, label_smoothing=0.1)
    want = F.cross_entropy(layer.linear(x), y, label_smoothing=0.1)
    assert_close(layer(x, y), want)
    assert set(layer.state_dict()) == {"linear.weight", "linear.bias"}
    weight = torch.rand(90)
    plain = CrossEntropyLoss(weight, reduction="sum")
    assert_close(plain(x @ W.T, y), F.cross_entropy(x @ W.T, y, weight, reduction="sum"))
    assert "label_smoothing=0.1" in repr(layer)
    assert "reduction='sum'" in repr(plain)


@pytest.mark.parametrize("made", [CrossEntropyLoss, partial(LinearCrossEntropyLoss, 8, 90)])
@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("weight", "class weights are class_weight"),
        ("input", "it is given when the loss is called"),
        ("target", "it is given when the loss is called"),
        ("smoothing", "there are .*class_weight, ignore_index, .*returns"),
    ],
)
def test_modules_refuse_when_they_are_made(made, name, hint):
    with pytest.raises(TypeError, match=f"{name}: no such option; {hint}"):
        made(**{name: torch.rand(90)})
    with pytest.raises(TypeError, match="logits: no such option"):
        made(logits=torch.rand(90))


@native
def test_threads_do_not_change_a_loss():
    x, W, y = tensors(2000, 16, 700)
    before, found = torch.get_num_threads(), []
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            loss = linear_cross_entropy(x, W, y)
            found.append((loss, *backward(loss, x, W)))
    finally:
        torch.set_num_threads(before)
    for other in found[1:]:
        for a, b in zip(other, found[0], strict=True):
            assert torch.equal(a, b)


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")  # Python 3.12 and later, of any fork
def test_calls_from_many_threads_and_from_a_forked_child():
    """Neither waits for ever: calls take turns, and a child makes threads of its own."""
    x, W, y = tensors(700, 16, 900)
    z = (x @ W.T).detach()

    def call(_=None):
        loss = linear_cross_entropy(x, W, y) + cross_entropy(z, y)
        return loss.item(), backward(loss, W)[0].sum().item()

    before, want = torch.get_num_threads(), call()
    torch.set_num_threads(2)
    try:
        with ThreadPoolExecutor(6) as pool:
            found = list(pool.map(call, range(24)))
        assert found == [want] * 24
        if hasattr(os, "fork"):
            child = os.fork()
            if child == 0:
                signal.alarm(60)
                os._exit(int(linear_cross_entropy(x.detach(), W.detach(), y).isnan()))
            assert os.waitpid(child, 0)[1] == 0
    finally:
        torch.set_num_threads(before)
