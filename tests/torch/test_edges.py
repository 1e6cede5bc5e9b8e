"""xent.torch where others lose digits, rows or bits: confident rows, masks, batches; and what it refuses."""

import re
import subprocess
import sys

import mpmath
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch.testing import assert_close

from tests.kernels.test_kernels import native
from tests.torch.data import backward, tensors
from xent.torch import CrossEntropyOutput, cross_entropy, linear_cross_entropy

pytestmark = pytest.mark.filterwarnings("ignore:`torch.jit.script:DeprecationWarning")
INF = float("inf")
NAN = float("nan")


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
        assert found.item() == pytest.approx(loss, rel=3e-7, abs=0)
        (g,) = backward(found, x)
        assert g[0].tolist() == pytest.approx([-p, p], rel=3e-7, abs=0)


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


@native
@pytest.mark.parametrize(
    ("dtype", "max_bytes"), [(torch.float32, 600_000), (torch.bfloat16, 400_000)], ids=str
)
def test_a_rows_bits_do_not_know_the_batch(dtype, max_bytes):
    """Nor where a batch needs several blocks of rows, or is too large for backward to find what forward
    kept."""
    x, W, y = tensors(2000, 64, 1100, dtype)
    upstream = torch.rand(2000, generator=torch.Generator().manual_seed(1)).to(dtype)

    def gradients(rows):
        part = x[rows].detach().requires_grad_()
        loss = linear_cross_entropy(part, W, y[rows], reduction="none", max_bytes=max_bytes)
        return loss, *torch.autograd.grad(loss, (part, W), upstream[rows])

    loss, dx, dW = gradients(slice(None))
    for rows in (slice(1990, 2000), slice(500, 650), slice(0, 1200)):
        alone, mine, _ = gradients(rows)
        assert torch.equal(alone, loss[rows])
        assert torch.equal(mine, dx[rows])
    whole = torch.autograd.grad(linear_cross_entropy(x, W, y, reduction="none"), W, upstream)[0]
    assert_close(dW, whole, rtol=2 * torch.finfo(dtype).eps, atol=1e-5)


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
    assert cross_entropy(torch.zeros(3, 0), torch.full((3,), -100)) == 0
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
    assert linear_cross_entropy(x[:1], W, torch.tensor([7]), bias=b, label_smoothing=1.0).isfinite()
    if not smoothing:  # by probabilities: as the loss grows with them
        q.requires_grad_()
        (dq,) = backward(linear_cross_entropy(x, W, q, bias=b, class_weight=(b == 0).float()), q)
        assert (dq[:, [0, 7]] == 0).all()
        assert dq.isfinite().all()


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


def test_the_negative_of_its_memory(engine):
    """As the imaginary part of a conjugate is, in PyTorch."""
    x, W, y = tensors()
    negative = torch.complex(torch.zeros(40, 8), -x.detach()).conj().imag
    assert negative.is_neg()
    assert torch.equal(negative, x)
    assert torch.equal(linear_cross_entropy(negative, W, y), linear_cross_entropy(x, W, y))
    assert torch.equal(cross_entropy(negative, y % 8), cross_entropy(x, y % 8))


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


def test_a_target_that_weighs_nothing_has_a_probability(engine):
    x, W, y = tensors(dtype=torch.float64)
    weight = torch.rand(90, dtype=torch.float64)
    weight[y[:20]] = 0
    names = ["target_log_prob", "rank"]
    for smoothing in (0.0, 0.1):
        found = linear_cross_entropy(x, W, y, class_weight=weight, label_smoothing=smoothing, returns=names)
        logp = (x @ W.T).log_softmax(1).gather(1, y[:, None])
        assert_close(found.target_log_prob, logp[:, 0])
        assert_close(backward(found.target_log_prob, x)[0], backward(logp, x)[0])
        assert torch.equal(found.rank, 1 + ((x @ W.T).log_softmax(1) > logp).sum(1))


def test_ranks_of_ties(engine):
    """Equal logits are no higher: of equal rows of W, and of equal logits."""
    x, W, _ = tensors(K=40)
    W = W.detach()[torch.arange(40) // 4]
    y = torch.arange(40)
    rank = linear_cross_entropy(x, W, y, returns=["rank"]).rank
    assert ((rank - 1) % 4 == 0).all()
    assert (
        cross_entropy(torch.ones(40, 40) / 3, y, temperature=0.7, returns=["rank"]).rank.tolist() == [1] * 40
    )


def test_rows_without_a_probability_are_not_correct(engine):
    z = torch.tensor([[-INF, -INF], [NAN, 0.0], [1.0, 0.0]])
    found = cross_entropy(z, torch.tensor([0, 0, 0]), returns=["correct", "lse"], reduction="none")
    assert found.correct.tolist() == [False, False, True]
    assert found.loss.isnan().tolist() == [True, True, False]
    assert found.lse[0] == -INF  # as torch.logsumexp


def test_shift_is_the_next_token(engine):
    x, W, y = tensors(K=50)
    x, y = x.reshape(4, 10, 8), y.reshape(4, 10)
    want = F.cross_entropy((x[:, :-2] @ W.T).flatten(0, 1), y[:, 2:].flatten())
    assert_close(linear_cross_entropy(x, W, y, shift=2), want)
    assert linear_cross_entropy(x, W, y, shift=11, reduction="none").shape == (4, 0)


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
    yield {"input": torch.zeros(40, 8, dtype=torch.long)}, ValueError, "input: expected float64, float32"
    yield {"input": torch.zeros(40, 8).to(torch.float8_e4m3fn)}, ValueError, "input: expected float64"
    yield {"input": torch.zeros(40, 8).to(torch.complex64)}, ValueError, "input: expected float64"
    yield {"weight": W.to("meta")}, ValueError, "weight: expected input's device, cpu, got meta"
    yield {"bias": torch.zeros(90, device="meta")}, ValueError, "bias: expected input's device"
    yield {"target": y.to("meta")}, ValueError, "target: expected input's device"
    yield {"target": y.tolist()}, TypeError, "target: expected a tensor, or a pair of them, got list"
    yield {"target": (y,)}, TypeError, "target: expected a tensor, or a pair of them, got tuple"
    yield {"target": (top > 0, torch.ones(40, 2))}, ValueError, "target: expected classes and probabilities"
    yield {"target": (y - 200).to(torch.uint64)}, IndexError, r"target\[0\] = 9223372036854775807"
    yield (
        {"class_weight": torch.ones(90, requires_grad=True)},
        ValueError,
        "class_weight: it gets no gradient",
    )
    yield {"bias": torch.zeros(90, dtype=torch.complex64)}, ValueError, "bias: expected floats"
    yield {"weight": W.detach().to_sparse()}, TypeError, r"weight: expected a dense tensor, got .*to_dense"
    yield {"ignore_index": 1.5}, ValueError, "ignore_index: expected an integer of 64 bits, got 1.5"
    yield {"ignore_index": None}, TypeError, "ignore_index: expected a number, got NoneType"
    yield {"label_smoothing": "0.1"}, TypeError, "label_smoothing: expected a number, got str"
    yield {"temperature": INF}, ValueError, "temperature: expected a number that is positive and finite"
    yield {"shift": 1.5}, TypeError, "shift: expected an integer, got float"
    yield {"returns": "lse"}, TypeError, "returns: expected a list"
    yield {"target": (y, [1.0])}, TypeError, "target: expected a tensor, or a pair of them"
    yield {"target": y > 3}, ValueError, "target: expected class indices .* got torch.bool"
    yield {"class_weight": [1.0] * 90}, TypeError, "class_weight: expected a tensor, got list"
    yield {"weight": W.detach().numpy()}, TypeError, "weight: expected a tensor, got ndarray"
    yield {"temperature": torch.ones((), requires_grad=True)}, TypeError, "temperature: expected a number"
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
    assert re.search(r"xent.torch needs PyTorch, which is not installed: .* -m pip install 'torch>=", said)
