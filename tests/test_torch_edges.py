"""xent.torch where others lose digits, rows or bits: confident rows, masks, batches; what it refuses; and
PyTorch's own ways to call it."""

import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import mpmath
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from test_kernels import native
from torch.func import grad, hessian, jacrev, jvp, vmap
from torch.testing import assert_close

from xent.torch import (
    CrossEntropyLoss,
    CrossEntropyOutput,
    LinearCrossEntropyLoss,
    _by_row,
    _cpu,
    cross_entropy,
    linear_cross_entropy,
)

pytestmark = pytest.mark.filterwarnings("ignore:`torch.jit.script:DeprecationWarning")
INF = float("inf")
NAN = float("nan")


@pytest.fixture(params=["native", "tiles"])
def engine(request, monkeypatch):
    if request.param == "tiles":
        for native in (_cpu, _by_row):
            monkeypatch.setattr(native, "serves", lambda *a: False)
    return request.param


def tensors(n=40, d=8, K=90, dtype=torch.float32, seed=0):
    g = torch.Generator().manual_seed(seed)
    x, W = (torch.randn(s, generator=g).to(dtype).requires_grad_() for s in ((n, d), (K, d)))
    return x, W, torch.randint(0, K, (n,), generator=g)


def backward(loss, *inputs):
    return torch.autograd.grad(loss.sum(), inputs)


# Accuracy ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("gap", [1.0, 10.0, 17.0, 40.0, 80.0])
def test_confident_rows_keep_their_digits(engine, gap):
    """Two classes, the right one ahead: log1p(e^−gap), ∓p of the other, where PyTorch's float32 gives 0."""
    with mpmath.workdps(50):
        loss, p = float(mpmath.log1p(mpmath.exp(-gap))), float(1 / (1 + mpmath.exp(gap)))
    x, W = torch.tensor([[gap, 0.0]], requires_grad=True), torch.eye(2)
    for found in (
        linear_cross_entropy(x, W, torch.tensor([0]), reduction="none"),
        cross_entropy(x, torch.tensor([0]), reduction="none"),
    ):
        assert found.item() == pytest.approx(loss, rel=3e-7)
        (g,) = backward(found, x)
        assert g[0].tolist() == pytest.approx([-p, p], rel=3e-7)


def test_a_long_sum_of_bfloat16_losses_is_half_an_ulp_off(engine):
    """8192 rows, 512 classes, as PyTorch's own chunked loss sums wrongly (8 % off at 64 rows a chunk)."""
    x, W, y = tensors(8192, 32, 512, torch.bfloat16)
    got = linear_cross_entropy(x, W, y)
    want = F.cross_entropy(F.linear(x.double(), W.double()), y).item()
    assert got.dtype == torch.bfloat16
    assert abs(got.item() - want) <= 0.5 * torch.finfo(torch.bfloat16).eps * 2 ** np.floor(np.log2(want))


@native
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64], ids=str)
def test_a_rows_bits_are_its_own(dtype):
    """Loss and gradient of a row alone, among others and elsewhere among them: the same bits. Native
    only."""
    x, W, y = tensors(700, 40, 300, dtype)
    upstream = torch.rand(700, generator=torch.Generator().manual_seed(1)).to(dtype)
    loss = linear_cross_entropy(x, W, y, reduction="none")
    (dx,) = torch.autograd.grad(loss, x, upstream)
    for pick in (slice(3, 4), slice(255, 258), torch.arange(699, -1, -3)):
        part = x[pick].detach().requires_grad_()
        alone = linear_cross_entropy(part, W, y[pick], reduction="none")
        assert torch.equal(alone, loss[pick])
        assert torch.equal(torch.autograd.grad(alone, part, upstream[pick])[0], dx[pick])


def test_max_bytes_moves_roundings_alone(engine):
    x, W, y = tensors(300, 40, 1000)
    found = []
    for max_bytes in (10_000, 300_000, None):
        loss = linear_cross_entropy(x, W, y, max_bytes=max_bytes)
        found.append((loss, *backward(loss, x, W)))
    for other in found[:2]:
        for a, b in zip(other, found[2], strict=True):
            assert_close(a, b, rtol=3e-6, atol=1e-8)


# Edges, as docs/torch.md has them ---------------------------------------------------------------------


def test_no_row_counts(engine):
    """0 and gradients 0, for the mean as well."""
    x, W, y = tensors()
    for target in (torch.full_like(y, -100), y[:0]):
        rows = x[: len(target)]
        for reduction in ("mean", "sum", "none"):
            loss = linear_cross_entropy(rows, W, target, reduction=reduction)
            assert (loss == 0).all()
            dx, dW = backward(loss, x, W)
            assert (dx == 0).all()
            assert (dW == 0).all()
    assert linear_cross_entropy(x, W[:0], torch.full_like(y, -100)) == 0
    assert cross_entropy(torch.zeros(3, 4), torch.full((3,), -100)) == 0


@pytest.mark.parametrize("value", [NAN, INF, -INF])
def test_an_ignored_row_may_hold_anything(engine, value):
    x, W, y = tensors()
    y[[2, 30]] = -100
    want = (linear_cross_entropy(x, W, y), *backward(linear_cross_entropy(x, W, y), x, W))
    bad = x.detach().clone()
    bad[[2, 30]] = value
    bad.requires_grad_()
    loss = linear_cross_entropy(bad, W, y)
    for a, b in zip((loss, *backward(loss, bad, W)), want, strict=True):
        assert torch.equal(a, b)
    z = (bad @ W.T).detach().requires_grad_()
    loss = cross_entropy(z, y)
    (g,) = backward(loss, z)
    assert_close(loss, want[0])
    assert (g[[2, 30]] == 0).all()
    assert g.isfinite().all()


def test_nan_stays_in_its_row(engine):
    x, W, y = tensors()
    bad = x.detach().clone()
    bad[5] = NAN
    bad.requires_grad_()
    loss = linear_cross_entropy(bad, W, y, reduction="none")
    assert torch.equal(loss.isnan().nonzero(), torch.tensor([[5]]))
    (dx,) = backward(loss, bad)
    assert torch.equal(dx.isnan().any(1).nonzero(), torch.tensor([[5]]))


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_masked_classes(engine, smoothing):
    """Logits of −inf: as if those classes were not there; and +inf as a loss where the target is one."""
    x, W, y = tensors(K=10)
    b = torch.zeros(10)
    b[[0, 7]] = -INF
    y[(y == 0) | (y == 7)] = 3
    kept = torch.tensor([1, 2, 3, 4, 5, 6, 8, 9])
    loss = linear_cross_entropy(x, W, y, bias=b, label_smoothing=smoothing)
    want = F.cross_entropy(x @ W[kept].T, torch.searchsorted(kept, y), label_smoothing=smoothing)
    assert_close(loss, want)
    dx, dW = backward(loss, x, W)
    wx, wW = backward(want, x, W)
    assert_close(dx, wx)
    assert_close(dW, wW)
    assert (dW[[0, 7]] == 0).all()
    if not smoothing:
        assert linear_cross_entropy(x[:1], W, torch.tensor([7]), bias=b) == INF
    q = torch.zeros(len(x), 10).scatter_(1, y[:, None], 1.0)  # 0 · inf = 0
    assert_close(linear_cross_entropy(x, W, q, bias=b, label_smoothing=smoothing), want)
    assert linear_cross_entropy(x, W, y, bias=torch.full((10,), -INF)).isnan()


def test_every_integer_type_and_layout(engine):
    x, W, y = tensors(K=100)
    want = linear_cross_entropy(x, W, y)
    for dtype in (torch.uint8, torch.int8, torch.int16, torch.int32):
        assert torch.equal(linear_cross_entropy(x, W, y.to(dtype)), want)
    turned = W.detach().T.contiguous().T.requires_grad_()  # (D, K) in memory
    strided = torch.stack([x, x], -1)[..., 0].detach().requires_grad_()
    loss = linear_cross_entropy(strided, turned, y)
    assert torch.equal(loss, want)
    for a, b in zip(backward(loss, strided, turned), backward(want, x, W), strict=True):
        assert_close(a, b)
    shaped = linear_cross_entropy(x.reshape(2, 5, 4, 8), W, y.reshape(2, 5, 4), reduction="none")
    assert shaped.shape == (2, 5, 4)
    assert torch.equal(shaped.flatten(), linear_cross_entropy(x, W, y, reduction="none"))
    assert linear_cross_entropy(x[0], W, y[0], reduction="none").shape == ()
    none = linear_cross_entropy(x[:, :0], W[:, :0], y)
    assert none.item() == pytest.approx(np.log(100))


# Other outputs ----------------------------------------------------------------------------------------


def test_other_outputs(engine):
    x, W, y = tensors()
    y[4] = -100
    names = ("lse", "target_log_prob", "entropy", "argmax", "correct", "rank")
    found = linear_cross_entropy(x, W, y, returns=names, class_weight=torch.rand(90) + 0.5)
    assert isinstance(found, CrossEntropyOutput)
    z = (x @ W.T).detach()
    logp, live = z.log_softmax(1), y != -100
    at = logp.gather(1, y.clamp(min=0)[:, None])
    want = {
        "lse": z.logsumexp(1),
        "target_log_prob": at[:, 0],
        "entropy": -(logp.exp() * logp).sum(1),
        "argmax": z.argmax(1),
        "correct": z.argmax(1) == y,
        "rank": 1 + (logp > at).sum(1),
    }
    for name in names:
        got = getattr(found, name)
        assert got.shape == y.shape
        assert_close(got[live], want[name][live])
        assert got[~live].tolist() == [{"argmax": -1}.get(name, 0)]
    assert (found.correct == (found.rank == 1)).all()
    few = cross_entropy(z, y, returns=["argmax"])
    assert few.lse is None
    assert torch.equal(few.argmax, found.argmax)


def test_shift_is_the_next_token(engine):
    x, W, y = tensors(K=50)
    x, y = x.reshape(4, 10, 8), y.reshape(4, 10)
    want = F.cross_entropy((x[:, :-2] @ W.T).flatten(0, 1), y[:, 2:].flatten())
    assert_close(linear_cross_entropy(x, W, y, shift=2), want)
    assert linear_cross_entropy(x, W, y, shift=11, reduction="none").shape == (4, 0)


# Ways to call it --------------------------------------------------------------------------------------


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
def test_what_is_frozen_costs_nothing(monkeypatch):
    """A weight without a gradient is multiplied once in backward, not twice; and gets none."""
    x, W, y = tensors()
    asked = []
    plain = _cpu.backward

    def spied(logits, targets, stats, up, need, room):
        asked.append(need)
        return plain(logits, targets, stats, up, need, room)

    monkeypatch.setattr(_cpu, "backward", spied)
    frozen = W.detach()
    (dx,) = backward(linear_cross_entropy(x, frozen, y), x)
    (dW,) = backward(linear_cross_entropy(x.detach(), W, y), W)
    assert asked == [(True, False, False, False), (False, True, False, False)]
    want = backward(linear_cross_entropy(x, W, y), x, W)
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


# What is refused --------------------------------------------------------------------------------------


def bad_calls():
    _, W, y = tensors()
    yield (
        {"target": torch.where(torch.arange(40) == 3, 90, y)},
        IndexError,
        r"target\[3\] = 90 is outside \[0, 90\)",
    )
    yield {"target": torch.where(torch.arange(40) == 7, -1, y)}, IndexError, r"target\[7\] = -1"
    top = torch.zeros(40, 2, dtype=torch.long)
    top[2, 1] = 95
    yield {"target": (top, torch.ones(40, 2))}, IndexError, r"target\[2, 1\] = 95"
    yield {"target": y[:3]}, ValueError, r"target: expected class indices of shape \(40,\)"
    yield {"target": torch.rand(40, 3)}, ValueError, r"target: expected probabilities of shape \(40, 90\)"
    yield {"target": (top, torch.ones(40, 3))}, ValueError, "target: expected classes and probabilities"
    yield {"weight": W[:, :3]}, ValueError, r"weight: expected \(K, D\) with input's D = 8"
    yield {"weight": W[0]}, ValueError, "weight: expected"
    yield {"weight": W.double()}, ValueError, "weight: expected input's dtype"
    yield {"bias": torch.zeros(3)}, ValueError, r"bias: expected \(90,\)"
    yield {"class_weight": torch.zeros(3)}, ValueError, r"class_weight: expected \(90,\)"
    yield {"reduction": "avg"}, ValueError, "reduction: expected 'mean', 'sum' or 'none', got 'avg'"
    yield {"label_smoothing": 1.5}, ValueError, "label_smoothing"
    yield {"softcap": 0.0}, ValueError, "softcap"
    yield {"temperature": 0.0}, ValueError, "temperature"
    yield {"z_loss": -1.0}, ValueError, "z_loss"
    yield {"max_bytes": 0}, ValueError, "max_bytes"
    yield {"shift": -1}, ValueError, "shift"
    yield (
        {"shift": 1, "target": torch.rand(40, 90)},
        ValueError,
        "shift: needs targets that are class indices",
    )
    yield {"returns": ["loss"]}, ValueError, r"returns: no \['loss'\]"
    yield {"returns": ["rank"], "target": torch.rand(40, 90)}, ValueError, "returns: .* need targets"


@pytest.mark.parametrize(
    ("change", "error", "text"), [*bad_calls()], ids=lambda v: v if isinstance(v, str) else ""
)
def test_bad_calls(change, error, text):
    x, W, y = tensors()
    given = {"input": x, "weight": W, "target": y} | change
    with pytest.raises(error, match=text):
        linear_cross_entropy(given.pop("input"), given.pop("weight"), given.pop("target"), **given)


def test_without_pytorch():
    code = "import sys; sys.modules['torch'] = None; import xent.torch"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stderr
    assert "xent.torch needs PyTorch; install it with: pip install torch" in said
