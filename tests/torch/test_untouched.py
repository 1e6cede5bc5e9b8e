"""A call changes nothing about its caller's tensors, and what it gives back is PyTorch's own."""

from contextlib import contextmanager

import pytest
import torch
import torch.distributed as dist
from torch.autograd import forward_ad
from torch.func import grad, vmap

from xent.torch import cross_entropy, linear_cross_entropy, vocab_parallel_linear_cross_entropy

pytestmark = pytest.mark.filterwarnings("ignore:`torch.jit.script:DeprecationWarning")
N, D, K = 40, 8, 90
DTYPES = [torch.float64, torch.float32, torch.bfloat16, torch.float16]
RETURNS = ("lse", "target_log_prob", "entropy", "argmax", "correct")


def about(t):
    """What one can know of a tensor without a look at its numbers, and those."""
    storage = t.untyped_storage()
    return {
        "resizable": storage.resizable(),
        "numbers": t.detach()
        .clone(memory_format=torch.contiguous_format)
        .view(torch.uint8)
        .numpy()
        .tobytes(),
        "address": storage.data_ptr(),
        "version": t._version,
        "layout": (t.dtype, t.shape, t.stride(), t.storage_offset(), t.device),
        "autograd": (t.requires_grad, t.is_leaf, t.grad_fn, t._backward_hooks, t.retains_grad),
        "bits": (t.is_neg(), t.is_conj(), t.is_inference()),
    }


@contextmanager
def untouched(**given):
    """All of these are afterwards what they were before."""
    before = {name: about(t) for name, t in given.items()}
    yield
    for name, t in given.items():
        for what, known in about(t).items():
            assert known == before[name][what], f"{name}: {what}"


def resizable(*found):
    return all(t.untyped_storage().resizable() for t in found if t is not None)


def draw(kind, dtype, turned=False):
    """What a caller gives, by name; of W rows or, `turned`, columns are next to each other in memory."""
    g = torch.Generator().manual_seed(0)
    given = {name: torch.randn(s, generator=g) for name, s in {"x": (N, D), "W": (K, D), "b": (K,)}.items()}
    if turned:
        given["W"] = given["W"].T.contiguous().T
    if kind == "classes":
        given["target"] = torch.randint(0, K, (N,), generator=g)
        given["target"][3] = -100
    elif kind == "weighted":
        given["target"] = torch.randint(0, K, (N,), generator=g)
        given["class_weight"] = torch.rand(K, generator=g)
    elif kind == "probabilities":
        given["target"] = torch.rand(N, K, generator=g)
    else:
        given["target"] = torch.randint(0, K, (N, 3), generator=g)
        given["value"] = torch.rand(N, 3, generator=g)
    given = {name: t.to(dtype) if t.is_floating_point() else t for name, t in given.items()}
    for name, t in given.items():
        t.requires_grad_(t.is_floating_point() and name != "class_weight")
    return given


def split(given):
    """The target, and the class weights."""
    target = given["target"] if "value" not in given else (given["target"], given["value"])
    return target, given.get("class_weight")


def linear(given, **options):
    target, class_weight = split(given)
    return linear_cross_entropy(
        given["x"], given["W"], target, bias=given["b"], class_weight=class_weight, **options
    )


def of_logits(given, **options):
    return cross_entropy(given["z"], *split(given), **options)


def logits(given):
    """The same for a loss of logits."""
    z = (given["x"] @ given["W"].T).detach().requires_grad_()
    return {"z": z} | {name: t for name, t in given.items() if name not in "xWb"}


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("kind", ["classes", "weighted", "probabilities", "pairs"])
@pytest.mark.parametrize("call", [linear, of_logits], ids=["linear", "logits"])
def test_untouched_in_any_order(engine, call, kind, dtype):
    """Forward, backward, the gradient's gradient; and what comes of them can be resized."""
    given = draw(kind, dtype, turned=dtype == torch.float32)
    given = logits(given) if call is of_logits else given
    leaves = [t for t in given.values() if t.requires_grad]
    with untouched(**given):
        loss = call(given, label_smoothing=0.1 if kind == "classes" else 0.0, reduction="none")
        found = torch.autograd.grad(loss.sum(), leaves, create_graph=True)
        second = torch.autograd.grad(found[0].float().square().sum(), leaves, allow_unused=True)
        loss.sum().backward()
    gradients = [leaf.grad for leaf in leaves]
    assert resizable(loss, *found, *second, *gradients)
    with untouched(**given, **{f"grad{i}": g for i, g in enumerate(gradients)}):
        more = call(given, returns=RETURNS if kind in ("classes", "weighted") else ("lse", "argmax"))
    assert resizable(*(t for t in vars(more).values()))


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("call", [linear, of_logits], ids=["linear", "logits"])
def test_untouched_by_other_modes(engine, call, dtype):
    """Ranks, forward mode, torch.func, autocast; and by what raises."""
    given = draw("classes", dtype)
    given = logits(given) if call is of_logits else given
    first = next(iter(given))
    plain = {name: t.detach() for name, t in given.items()}
    wrong = plain | {"target": torch.full((N,), K)}

    def loss(t):
        return call(plain | {first: t})

    with untouched(**given, **{f"{name} alone": t for name, t in plain.items()}, wrong=wrong["target"]):
        ranks = call(given, returns=["rank"]).rank
        with forward_ad.dual_level():
            dual = forward_ad.make_dual(plain[first], torch.ones_like(plain[first]))
            tangent = forward_ad.unpack_dual(loss(dual)).tangent
        gradient = grad(loss)(plain[first])
        batch = vmap(grad(loss))(torch.stack([plain[first]] * 2))
        with torch.autocast("cpu", dtype=torch.bfloat16):
            call(given).backward()
        with pytest.raises(IndexError, match=r"target\[0\] = 90"):
            call(wrong)
    assert resizable(ranks, tangent, gradient, batch)


def test_untouched_by_what_forward_keeps():
    """Large bfloat16 weights: exp(z − m) lies in memory of NumPy's, which no one else gets."""
    g = torch.Generator().manual_seed(0)
    x, W = (torch.randn(s, generator=g).bfloat16().requires_grad_() for s in ((N, 64), (1100, 64)))
    y = torch.randint(0, 1100, (N,), generator=g)
    with untouched(x=x, W=W, y=y):
        linear_cross_entropy(x, W, y).backward()
    assert resizable(x.grad, W.grad)
    W.grad.resize_(0)


@pytest.fixture
def alone(tmp_path):
    """A group of one process."""
    store = dist.FileStore(str(tmp_path / "store"), 1)
    dist.init_process_group("gloo", store=store, rank=0, world_size=1)
    yield
    dist.destroy_process_group()


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("kind", ["classes", "weighted", "probabilities", "pairs"])
def test_untouched_by_classes_over_processes(engine, alone, kind, dtype):
    given = draw(kind, dtype)
    for name in ("target", "value"):  # no gradient by these
        if name in given:
            given[name].requires_grad_(False)
    target, class_weight = split(given)
    with untouched(**given):
        loss = vocab_parallel_linear_cross_entropy(
            given["x"], given["W"], target, bias=given["b"], class_weight=class_weight
        )
        loss.backward()
    assert resizable(loss, *(given[name].grad for name in "xWb"))


def test_an_empty_share_of_the_classes_is_not_its_own_gradient(alone):
    x, W, b = torch.randn(N, D), torch.empty(0, D, requires_grad=True), torch.empty(0, requires_grad=True)
    loss = vocab_parallel_linear_cross_entropy(x, W, torch.full((N,), -100), bias=b)
    for leaf, gradient in zip((W, b), torch.autograd.grad(loss, (W, b)), strict=True):
        assert gradient.shape == leaf.shape
        with untouched(leaf=leaf):
            gradient.resize_(9)
