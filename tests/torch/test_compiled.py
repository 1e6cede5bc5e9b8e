"""What torch.compile makes of xent.torch: the operations stand in its graphs, and nothing as large as the
logits; the numbers are eager's, bit for bit."""

import json
import math
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from functorch.compile import make_boxed_func
from torch._dynamo.backends.common import aot_autograd
from torch.autograd import forward_ad
from torch.export import Dim, export
from torch.func import grad, hessian, jacfwd, jvp, vjp, vmap
from torch.testing import assert_close

from tests.torch.data import backward, tensors
from xent.torch import CrossEntropyLoss, LinearCrossEntropyLoss, cross_entropy, linear_cross_entropy
from xent.torch import formula as plain

# PyTorch's vmap compiles something when it is first used.
pytestmark = pytest.mark.filterwarnings("ignore:`torch.jit.script:DeprecationWarning")
N, D, K = 40, 8, 90  # of torch_data.tensors


class Graphs:
    """A backend of torch.compile, which notes what it ran: the operations forward and backward, and how many
    numbers the largest result had."""

    def __init__(self):
        torch._dynamo.reset()
        self.forward, self.backward, self.largest = [], [], 0

    def compile(self, function, **options):
        backend = aot_autograd(
            fw_compiler=self._noting(self.forward), bw_compiler=self._noting(self.backward)
        )
        return torch.compile(function, backend=backend, **{"fullgraph": True} | options)

    def _noting(self, names):
        graphs = self

        class Noting(torch.fx.Interpreter):
            def run_node(self, node):
                found = super().run_node(node)
                if node.op == "call_function":
                    names.append(str(node.target))
                    outputs = found if isinstance(found, tuple | list) else (found,)
                    sizes = [out.numel() for out in outputs if isinstance(out, torch.Tensor)]
                    graphs.largest = max(graphs.largest, *sizes, 0)
                return found

        return lambda graph, example: make_boxed_func(Noting(graph).run)


def autocast(x, W, y):
    with torch.autocast("cpu", dtype=torch.bfloat16):
        return linear_cross_entropy(x, W, y)


LAYER = LinearCrossEntropyLoss(D, K, label_smoothing=0.1)


def module(x, W, y):
    return torch.func.functional_call(LAYER, {"linear.weight": W}, (x, y))


def outputs(x, W, y):
    names = ("lse", "target_log_prob", "entropy", "argmax", "correct", "rank")
    found = linear_cross_entropy(x, W, y, returns=names)
    return found.loss + found.lse.mean() + found.target_log_prob.sum() + (found.entropy * found.rank).sum()


def pairs(x, W, y):
    return linear_cross_entropy(x, W, (torch.stack([y, y // 2], 1), torch.full((N, 2), 0.5)))


def everything(x, W, y):
    weight = torch.linspace(0.5, 2, K)
    options = {"label_smoothing": 0.1, "softcap": 3.0, "temperature": 1.5, "z_loss": 0.01}
    x, y = x.reshape(4, 10, D), y.reshape(4, 10)
    return linear_cross_entropy(x, W, y, bias=weight, class_weight=weight, shift=1, **options)


LINEAR = {
    "linear": linear_cross_entropy,
    "none": lambda x, W, y: linear_cross_entropy(x, W, y, reduction="none").sum(),
    "all options": everything,
    "other outputs": outputs,
    "pairs": pairs,
    "autocast": autocast,
    "module": module,
}


@pytest.mark.parametrize(
    ("name", "dynamic"), [*((name, None) for name in LINEAR), ("linear", True), ("all options", True)]
)
def test_the_operation_stands_in_the_graph(name, dynamic):
    """Forward and backward, without anything of the logits' size; and with eager's bits."""
    x, W, y = tensors()
    y[[3, 5]] = -100
    if name == "pairs":
        y[[3, 5]] = 0
    call, graphs = LINEAR[name], Graphs()
    got, want = graphs.compile(call, dynamic=dynamic)(x, W, y), call(x, W, y)
    assert torch.equal(got, want)
    assert got.dtype == want.dtype
    for mine, theirs in zip(backward(got, x, W), backward(want, x, W), strict=True):
        assert torch.equal(mine, theirs)
    assert graphs.forward.count("xent.rows.default") == 1
    assert graphs.backward.count("xent.rows_gradient.default") == 1
    assert D * K <= graphs.largest < N * K


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16], ids=str)
def test_every_dtype(dtype):
    x, W, y = tensors(dtype=dtype)
    graphs = Graphs()
    got, want = graphs.compile(linear_cross_entropy)(x, W, y), linear_cross_entropy(x, W, y)
    assert torch.equal(got, want)
    for mine, theirs in zip(backward(got, x, W), backward(want, x, W), strict=True):
        assert torch.equal(mine, theirs)
    assert "xent.rows.default" in graphs.forward
    assert "xent.rows_gradient.default" in graphs.backward
    assert graphs.largest < N * K


@pytest.mark.parametrize(
    ("call", "dynamic"),
    [(cross_entropy, None), (cross_entropy, True), (CrossEntropyLoss(torch.linspace(0.5, 2, K)), None)],
    ids=["static", "dynamic", "module"],
)
def test_of_logits(call, dynamic):
    x, W, y = tensors()
    z, graphs = (x @ W.T).detach().requires_grad_(), Graphs()
    got, want = graphs.compile(call, dynamic=dynamic)(z, y), call(z, y)
    assert torch.equal(got, want)
    assert torch.equal(*backward(got, z), *backward(want, z))
    assert graphs.forward.count("xent.rows.default") == 1
    assert graphs.backward.count("xent.rows_gradient.default") == 1


def test_autocast_around_what_is_compiled():
    x, W, y = tensors()
    graphs = Graphs()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = graphs.compile(linear_cross_entropy)(x, W, y)
    assert torch.equal(loss, autocast(x, W, y))
    assert "xent.rows.default" in graphs.forward
    assert graphs.largest < N * K


@pytest.mark.parametrize("whole", [False, True], ids=["graph breaks", "one graph"])
def test_a_step_with_its_backward_inside(whole):
    x, W, y = tensors()

    def step(x, W, y):
        linear_cross_entropy(x, W, y).backward()

    want, graphs = backward(linear_cross_entropy(x, W, y), x, W), Graphs()
    with torch._dynamo.config.patch(trace_autograd_ops=whole):
        graphs.compile(step, fullgraph=whole)(x, W, y)
    for leaf, gradient in zip((x, W), want, strict=True):
        assert torch.equal(leaf.grad, gradient)
    assert "xent.rows.default" in graphs.forward
    assert "xent.rows_gradient.default" in graphs.forward + graphs.backward
    assert graphs.largest < N * K


def test_a_target_out_of_range():
    x, W, y = tensors()
    y[7] = K
    for call, given in ((linear_cross_entropy, (x, W, y)), (cross_entropy, (torch.zeros(N, K), y))):
        with pytest.raises(IndexError, match=r"target\[7\] = 90 is outside \[0, 90\)"):
            Graphs().compile(call)(*given)


TRANSFORMS = {
    "grad": grad,
    "vjp": lambda f: lambda W: vjp(f, W)[1](torch.ones(()))[0],
    "jvp": lambda f: lambda W: jvp(f, (W,), (W.cos(),))[1],
    "forward over forward": lambda f: jacfwd(jacfwd(f)),
    "hessian": hessian,
    "vmap": lambda f: lambda W: vmap(f)(torch.stack([W, 2 * W])),
    "vmap of grad": lambda f: lambda W: vmap(grad(f))(torch.stack([W, 2 * W])),
}


@pytest.mark.parametrize("name", TRANSFORMS)
def test_transforms_inside_and_around(name, monkeypatch):
    """torch.func inside what is compiled takes the formula with its logits; around it, whatever torch.compile
    leaves of it. Both against PyTorch's own cross-entropy."""
    x, W, y = (t.detach() for t in tensors(6, 3, 5, torch.float64))
    transform, formula, taken = TRANSFORMS[name], plain.rows, []
    want = transform(lambda W: F.cross_entropy(x @ W.T, y))(W)

    def loss(W):
        return linear_cross_entropy(x, W, y)

    torch._dynamo.reset()
    inside = torch.compile(transform(loss), backend="aot_eager", fullgraph=True)
    monkeypatch.setattr(plain, "rows", lambda *given: taken.append(1) or formula(*given))
    assert_close(inside(W), want)
    assert taken
    torch._dynamo.reset()
    around = transform(torch.compile(loss, backend="eager"))
    assert_close(around(W), want)


def test_forward_mode_around_what_is_compiled():
    x, W, y = (t.detach() for t in tensors(6, 3, 5, torch.float64))
    run = Graphs().compile(lambda W: linear_cross_entropy(x, W, y))
    want = jvp(lambda W: F.cross_entropy(x @ W.T, y), (W,), (W.cos(),))[1]
    run(W)
    with forward_ad.dual_level():
        assert_close(forward_ad.unpack_dual(run(forward_ad.make_dual(W, W.cos()))).tangent, want)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_export_of_any_number_of_rows(dtype):
    """More than forward would keep anything of, and of a weight that it keeps something of."""
    layer = LinearCrossEntropyLoss(64, 1100, dtype=dtype)

    def draw(n):
        g = torch.Generator().manual_seed(n)
        return torch.randn(n, 64, generator=g).to(dtype), torch.randint(0, 1100, (n,), generator=g)

    rows = {0: Dim("rows")}
    program = export(layer, draw(40), dynamic_shapes={"input": rows, "target": rows})
    assert [str(n.target) for n in program.graph.nodes].count("xent.rows.default") == 1
    for n in (3, 9000):
        assert torch.equal(program.module()(*draw(n)), layer(*draw(n)))


@pytest.mark.skipif(sys.platform != "linux", reason="the peak of a process' memory is Linux's to tell")
def test_memory():
    """Of a call that inductor compiled, forward and backward: eager's, where the logits take 128 MiB."""
    command = [sys.executable, "-m", "tests.torch.memory", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, cwd=Path(__file__).parents[2])
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["logits"] == 128
    assert math.isclose(found["compiled"], found["eager"], rel_tol=0.1)
    assert found["same bits"]
