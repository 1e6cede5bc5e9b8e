"""xent.torch against PyTorch in float64, against its own formulas, and at the edges."""

import pytest
import torch
import torch.nn.functional as F
from torch.autograd import gradcheck, gradgradcheck
from torch.func import grad, hessian, jacfwd, jacrev, jvp
from torch.testing import assert_close

from xent.kernels import native as kernels
from xent.torch import cross_entropy, linear_cross_entropy, native_tiles, operations, whole

# PyTorch's vmap compiles something when it is first used.
pytestmark = pytest.mark.filterwarnings("ignore:`torch.jit.script:DeprecationWarning")

F64 = torch.float64


def reference(
    z, target, *, class_weight=None, label_smoothing=0.0, softcap=None, temperature=1.0, z_loss=0.0
):
    """Losses of rows of logits, written out once more with autograd's own operations."""
    z = z if softcap is None else softcap * torch.tanh(z / softcap)
    z = z / temperature
    K = z.shape[-1]
    if isinstance(target, tuple):
        q = torch.zeros_like(z).scatter_add(-1, target[0], target[1].to(z.dtype))
    elif target.is_floating_point():
        q = target.to(z.dtype)
    else:
        q = F.one_hot(target.clamp(min=0).long(), K).to(z.dtype)
    logp = z - z.logsumexp(-1, keepdim=True)
    w = torch.ones(K, dtype=z.dtype) if class_weight is None else class_weight.to(z.dtype)
    costs = -torch.where(z == -torch.inf, 0.0, w * logp)
    live = (z > -torch.inf).sum(-1).to(z.dtype)
    loss = (1 - label_smoothing) * (q * costs).sum(-1) + label_smoothing / live * costs.sum(-1)
    loss = loss + z_loss * z.logsumexp(-1) ** 2
    if not isinstance(target, tuple) and not target.is_floating_point():
        loss = torch.where(target == -100, 0.0, loss)
    return loss


CASES = {
    "classes": {},
    "smoothed": {"label_smoothing": 0.1},
    "weighted": {"class_weight": True},
    "smoothed, weighted": {"label_smoothing": 0.2, "class_weight": True},
    "softcap": {"softcap": 2.0},
    "temperature": {"temperature": 0.7},
    "z-loss": {"z_loss": 0.05},
    "all": {"label_smoothing": 0.1, "class_weight": True, "softcap": 3.0, "temperature": 1.5, "z_loss": 0.01},
}
TARGETS = ["classes", "probabilities", "top"]


def draw(kind, options, n=6, d=3, K=7, dtype=F64, seed=0):
    """x, W, b, target and options, the tensors that may take a gradient with one."""
    g = torch.Generator().manual_seed(seed)
    x, W, b = (
        torch.randn(s, generator=g, dtype=F64).to(dtype).requires_grad_() for s in ((n, d), (K, d), (K,))
    )
    options = dict(options)
    if options.get("class_weight"):
        options["class_weight"] = (torch.rand(K, generator=g, dtype=F64) + 0.1).to(dtype)
    if kind == "classes":
        target = torch.randint(0, K, (n,), generator=g)
        target[1] = -100
    elif kind == "probabilities":
        target = torch.rand(n, K, generator=g, dtype=F64).to(dtype).requires_grad_()
    else:
        index = torch.randint(0, K, (n, 3), generator=g)
        target = index, torch.rand(n, 3, generator=g, dtype=F64).to(dtype).requires_grad_()
    return x, W, b, target, options


def leaves(x, W, b, target):
    values = target[1] if isinstance(target, tuple) else target
    return [x, W, b] + ([values] if values.is_floating_point() else [])


@pytest.mark.parametrize("kind", TARGETS)
@pytest.mark.parametrize("case", CASES)
def test_formula_and_gradients(engine, case, kind):
    """In float64, in tiles of a few classes and in one, with any weights upstream."""
    x, W, b, target, options = draw(kind, CASES[case], n=40, d=5, K=33)
    want = reference(F.linear(x, W, b), target, **options)
    upstream = torch.linspace(-1, 2, len(want), dtype=F64)
    inputs = leaves(x, W, b, target)
    known = torch.autograd.grad(want, inputs, upstream)
    for max_bytes in (None, 4000):
        got = linear_cross_entropy(
            x, W, target, bias=b, reduction="none", max_bytes=max_bytes, ignore_index=-100, **options
        )
        assert_close(got, want, rtol=1e-13, atol=1e-13)
        for mine, theirs in zip(torch.autograd.grad(got, inputs, upstream), known, strict=True):
            assert_close(mine, theirs, rtol=1e-12, atol=1e-13)
    z = F.linear(x, W, b)
    got = cross_entropy(z, target, reduction="none", **options)
    assert_close(got, want, rtol=1e-13, atol=1e-13)
    for mine, theirs in zip(torch.autograd.grad(got, inputs, upstream), known, strict=True):
        assert_close(mine, theirs, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("kind", TARGETS)
@pytest.mark.parametrize("case", CASES)
def test_narrow_dtypes(engine, case, kind, dtype):
    """Against float64 from the same numbers: a loss half an ulp off at most, and gradients to a few."""
    x, W, b, target, options = draw(kind, CASES[case], n=70, d=20, K=150, dtype=dtype)
    inputs = leaves(x, W, b, target)
    wide = [t.detach().double().requires_grad_() for t in inputs]
    other = target if kind == "classes" else wide[3] if kind == "probabilities" else (target[0], wide[3])
    options64 = options | (
        {"class_weight": options["class_weight"].double()} if "class_weight" in options else {}
    )
    want = reference(F.linear(*wide[:3]), other, **options64)
    got = linear_cross_entropy(x, W, target, bias=b, reduction="none", **options)
    assert got.dtype == dtype
    ulp = torch.finfo(dtype).eps
    assert_close(got.double(), want, rtol=0.51 * ulp if ulp > 1e-6 else 8 * ulp, atol=1e-6)
    for mine, theirs in zip(
        torch.autograd.grad(got.sum(), inputs), torch.autograd.grad(want.sum(), wide), strict=True
    ):
        assert mine.dtype == dtype
        slack = (
            16 if dtype == torch.float32 else 4
        ) * ulp  # float32: logits of 20 have roundings of their own
        assert_close(mine.double(), theirs, rtol=2 * ulp, atol=slack * theirs.abs().max().item())


@pytest.mark.parametrize("kind", TARGETS)
@pytest.mark.parametrize("case", CASES)
def test_checks_of_autograd(case, kind):
    """First and second order, backward, forward, forward over backward, and batched, by finite
    differences."""
    x, W, b, target, options = draw(kind, CASES[case], n=4, d=2, K=5)
    inputs = leaves(x, W, b, target)

    def loss(x, W, b, *values):
        given = target if not values else values[0] if kind == "probabilities" else (target[0], values[0])
        return linear_cross_entropy(x, W, given, bias=b, reduction="none", **options)

    assert gradcheck(
        loss, inputs, check_forward_ad=True, check_batched_grad=True, check_batched_forward_grad=True
    )
    assert gradgradcheck(loss, inputs, check_fwd_over_rev=True)


def test_checks_of_autograd_of_logits_and_other_outputs():
    x, W, b, target, _ = draw("classes", {}, n=4, d=2, K=5)
    z = F.linear(x, W, b).detach().requires_grad_()
    for options in ({}, {"softcap": 2.0}, {"label_smoothing": 0.1}):
        assert gradcheck(lambda z, o=options: cross_entropy(z, target, **o), (z,), check_forward_ad=True)
        assert gradgradcheck(
            lambda z, o=options: cross_entropy(z, target, **o), (z,), check_fwd_over_rev=True
        )

    def others(x, W, b):
        found = linear_cross_entropy(
            x, W, target, bias=b, returns=("lse", "target_log_prob", "entropy"), softcap=3.0
        )
        return found.loss, found.lse, found.target_log_prob, found.entropy

    assert gradcheck(others, (x, W, b), check_forward_ad=True)
    assert gradgradcheck(others, (x, W, b), check_fwd_over_rev=True)


@pytest.mark.parametrize("kind", TARGETS)
@pytest.mark.parametrize("case", CASES)
def test_opcheck(case, kind):
    x, W, b, target, options = draw(kind, CASES[case])
    index = target if kind == "classes" else target[0] if kind == "top" else None
    value = None if kind == "classes" else target[1] if kind == "top" else target
    weight = options.pop("class_weight", None)
    numbers = [float(options.get(name) or 0) for name in ("label_smoothing", "softcap")]
    settings = (
        -100,
        *numbers,
        float(options.get("temperature", 1)),
        float(options.get("z_loss", 0)),
        1 << 20,
    )
    for entropy in (False, True):
        given = (index, value, weight, *settings, entropy, False)
        for args in ((x, W, b, *given), (F.linear(x, W, b).detach(), None, None, *given)):
            torch.library.opcheck(operations.rows, args)
            plain = [t.detach() if torch.is_tensor(t) else t for t in args]
            *up, stats, kept, peaks = (t.detach() for t in operations.rows(*plain))
            need = 7 if kind == "classes" else 15
            torch.library.opcheck(operations.rows_gradient, (*up, stats, *args, need, kept, peaks))
            second = (*up, stats, *plain, 7, args[0].detach(), *(None,) * 3)
            torch.library.opcheck(operations.rows_second, second)
            if kind == "classes":
                torch.library.opcheck(operations.above, tuple(plain))


@pytest.mark.skipif(not kernels.has_pairs(), reason="this processor multiplies no pairs of bfloat16")
@pytest.mark.parametrize("options", [{}, {"label_smoothing": 0.1, "temperature": 0.8}, {"z_loss": 0.01}])
def test_what_forward_keeps(options, monkeypatch):
    """Large bfloat16 weights: backward takes exp(z − m) as forward kept it; as near as when it makes
    it anew."""
    g = torch.Generator().manual_seed(3)
    x, W = (torch.randn(s, generator=g).bfloat16().requires_grad_() for s in ((70, 64), (1100, 64)))
    y = torch.randint(0, 1100, (70,), generator=g)
    y[[3, 60]] = -100
    wide = [t.detach().double().requires_grad_() for t in (x, W)]
    want = torch.autograd.grad(reference(F.linear(*wide), y, **options).sum(), wide)
    asked, kept = [], []

    def spied(notes, inner, at):
        """Notes what is given at `at`: the room for exp(z − m), or None."""

        def call(*a):
            room = a[at] if len(a) > at else None
            notes.append(None if room is None or not (room[1] is not None and room[1].numel()) else room)
            return inner(*a)

        return call

    for module, (of_forward, of_backward) in {native_tiles: (2, 5), whole: (2, 4)}.items():
        monkeypatch.setattr(module, "forward", spied(kept, module.forward, of_forward))
        monkeypatch.setattr(module, "backward", spied(asked, module.backward, of_backward))
    for max_bytes, keeps in ((None, True), (100_000, False)):
        loss = linear_cross_entropy(x, W, y, reduction="sum", max_bytes=max_bytes, **options)
        for mine, theirs in zip(torch.autograd.grad(loss, (x, W)), want, strict=True):
            ulp = torch.finfo(torch.bfloat16).eps
            assert_close(mine.double(), theirs, rtol=2 * ulp, atol=2 * ulp * theirs.abs().max().item())
        assert (asked.pop() is not None) == keeps
    with torch.no_grad():
        linear_cross_entropy(x, W, y)
        assert kept.pop() is None


DERIVATIVES = {
    "forward over forward": lambda f: jacfwd(jacfwd(f)),
    "backward over forward": lambda f: jacrev(jacfwd(f)),
    "backward over backward": lambda f: jacrev(jacrev(f)),
    "third": lambda f: jacrev(jacfwd(jacrev(f))),
    "third, forward alone": lambda f: jacfwd(jacfwd(jacfwd(f))),
    "third, forward over forward over backward": lambda f: jacfwd(jacfwd(grad(f))),
    "hvp": lambda f: lambda W: torch.autograd.functional.hvp(f, W, W**2)[1],
    "vhp": lambda f: lambda W: torch.autograd.functional.vhp(f, W, W**2)[1],
}


@pytest.mark.parametrize("options", [{}, CASES["all"]], ids=["plain", "all"])
@pytest.mark.parametrize("order", DERIVATIVES)
@pytest.mark.parametrize("kind", TARGETS)
def test_any_order_in_any_mode(kind, order, options):
    """Against PyTorch's own derivatives of the formula; nothing is 0 without a word."""
    x, W, b, target, options = draw(kind, options, n=4, d=2, K=4)
    x, W, b = x.detach(), W.detach(), b.detach()
    target = (target[0], target[1].detach()) if kind == "top" else target.detach()
    derivative = DERIVATIVES[order]
    for after in (lambda loss: loss, lambda loss: loss**2):  # what follows is differentiated as well
        ours = derivative(
            lambda W, g=after: g(linear_cross_entropy(x, W, target, bias=b, reduction="sum", **options))
        )(W)
        theirs = derivative(lambda W, g=after: g(reference(F.linear(x, W, b), target, **options).sum()))(W)
        assert theirs.abs().max() > 1e-3
        assert_close(ours, theirs, rtol=1e-11, atol=1e-11)


def test_a_tangent_is_linear_in_its_direction():
    x, W, b, y, _ = (t.detach() if torch.is_tensor(t) else t for t in draw("classes", {}))

    def loss(W):
        return linear_cross_entropy(x, W, y, bias=b)

    by_direction = grad(lambda v: jvp(loss, (W,), (v,))[1])(W**2)
    assert_close(by_direction, grad(loss)(W))
    by_both = jacrev(lambda v: jvp(grad(loss), (W,), (v,))[1])(W**2)
    assert_close(by_both, hessian(loss)(W))


def test_third_order_of_a_row_that_weighs_nothing():
    z = torch.tensor([[0.5, -1.0, 0.2], [0.0, 1.0, 0.3]], dtype=F64, requires_grad=True)
    q = torch.tensor([[0.0, 0.0, 0.0], [0.0, 1.0, 0.0]], dtype=F64)
    found = cross_entropy(z, q)
    for _ in range(3):
        (found,) = torch.autograd.grad(found.pow(2).sum(), z, create_graph=True)
    assert (found[0] == 0).all()
    assert found.isfinite().all()


def test_by_the_targets_in_any_order():
    """The loss is linear in probabilities, and moves with them and the weight together."""
    x, W, b, q, options = draw("probabilities", CASES["smoothed"], n=4, d=2, K=4)
    x, q, b = x.detach(), q.detach(), b.detach()

    def both(loss):
        return jacfwd(jacrev(loss, 1), 0)(W.detach(), q)

    got = both(lambda W, q: linear_cross_entropy(x, W, q, bias=b, reduction="sum", **options))
    assert_close(got, both(lambda W, q: reference(F.linear(x, W, b), q, **options).sum()))
