"""vocab_parallel_linear_cross_entropy in real processes over gloo, against linear_cross_entropy in one."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch.testing import assert_close

from xent.torch import linear_cross_entropy

RANKS, K = 3, 90
EVEN, UNEVEN, EMPTY = (0, 30, 60, 90), (0, 5, 83, 90), (0, 40, 40, 90)
ALL = ("lse", "target_log_prob", "entropy", "argmax", "correct")
SETTINGS = {
    "classes": {},
    "uneven": {"cuts": UNEVEN},
    "a rank without classes": {"cuts": EMPTY, "label_smoothing": 0.1},
    "global smoothing": {"cuts": UNEVEN, "label_smoothing": 0.2},
    "smoothing alone": {"label_smoothing": 1.0},
    "weighted": {"class_weight": True, "cuts": UNEVEN},
    "weighted, smoothed": {"class_weight": True, "label_smoothing": 0.1, "cuts": UNEVEN},
    "sum": {"reduction": "sum", "softcap": 2.0},
    "none, all options": {
        "reduction": "none",
        "softcap": 3.0,
        "temperature": 0.7,
        "z_loss": 0.01,
        "label_smoothing": 0.1,
    },
    "outputs": {"returns": ALL, "cuts": UNEVEN},
    "outputs, weights of 0": {"returns": ALL, "class_weight": True, "cuts": UNEVEN},
    "outputs, weights of 0, smoothed": {"returns": ALL, "class_weight": True, "label_smoothing": 0.2},
    "outputs of native kernels": {"returns": ("lse", "target_log_prob", "argmax", "correct")},
    "confident": {"scale": 30.0, "reduction": "none"},
    "a masked rank": {"mask": slice(5, 83), "cuts": UNEVEN, "label_smoothing": 0.1},
    "a masked rank, not smoothed": {"mask": slice(5, 83), "cuts": UNEVEN},
    "all ignored": {"ignored": True},
    "bfloat16": {"dtype": torch.bfloat16, "cuts": UNEVEN},
    "float64": {"dtype": torch.float64, "cuts": UNEVEN, "label_smoothing": 0.1},
}


def call(kind, cuts=EVEN, dtype=torch.float32, scale=1.0, mask=None, ignored=False, **options):
    g = torch.Generator().manual_seed(4)
    x, W, b = (torch.randn(s, generator=g).to(dtype) for s in ((50, 12), (K, 12), (K,)))
    y = torch.randint(0, K, (50,), generator=g)
    if mask is not None:
        b[mask] = -torch.inf
        y[:40] = y[:40] % 5  # the other ten may be masked
    y[7] = -100
    if ignored:
        y[:] = -100
    if kind == "classes":
        target = y
    elif kind == "probabilities":
        target = torch.rand(50, K, generator=g).to(dtype)
    else:
        target = torch.randint(0, K, (50, 3), generator=g), torch.rand(50, 3, generator=g).to(dtype)
    if options.get("class_weight"):
        options["class_weight"] = torch.rand(K, generator=g).to(dtype)
        options["class_weight"][y[:7]] = 0
    if kind != "classes" and "returns" in options:
        options["returns"] = ("lse", "entropy", "argmax")
    upstream = torch.rand(50, generator=g).to(dtype)
    if options.get("reduction", "mean") != "none":
        upstream = upstream[0]
    return {"cuts": cuts, "x": x * scale, "W": W, "b": b, "target": target, "upstream": upstream, **options}


CALLS = {
    f"{kind}: {name}": call(kind, **options)
    for kind in ("classes", "probabilities", "top")
    for name, options in SETTINGS.items()
}
BAD = {
    "target": (
        call("classes") | {"target": torch.tensor([3] * 49 + [90])},
        "IndexError: target[49] = 90 is outside [0, 90)",
    ),
    "rank": (
        call("classes") | {"returns": ["rank"]},
        "ValueError: returns: rank needs all classes in one process",
    ),
    "reduction": (
        call("classes") | {"reduction": "avg"},
        "ValueError: reduction: expected 'mean', 'sum' or 'none'",
    ),
}


@pytest.fixture(scope="module")
def answers(tmp_path_factory):
    """What three processes made of every call."""
    folder = tmp_path_factory.mktemp("ranks")
    calls = [*CALLS.values(), *(bad for bad, _ in BAD.values())]
    torch.save({"ranks": RANKS, "calls": calls}, folder / "calls.pt")
    script = Path(__file__).with_name("parallel_process.py")
    ranks = [subprocess.Popen([sys.executable, script, str(r), folder]) for r in range(RANKS)]
    assert [rank.wait(timeout=240) for rank in ranks] == [0] * RANKS
    found = [torch.load(folder / f"{r}.pt") for r in range(RANKS)]
    return dict(zip([*CALLS, *BAD], zip(*found, strict=True), strict=True))


@pytest.mark.parametrize("name", CALLS)
def test_as_one_process(answers, name):
    given, found = dict(CALLS[name]), answers[name]
    cuts, x, W, b, target, upstream = (given.pop(k) for k in ("cuts", "x", "W", "b", "target", "upstream"))
    leaves = [t.clone().requires_grad_() for t in (x, W, b)]
    want = linear_cross_entropy(*leaves[:2], target, bias=leaves[2], **given)
    outputs = {} if torch.is_tensor(want) else {name: getattr(want, name) for name in given["returns"]}
    loss = want if torch.is_tensor(want) else want.loss
    total = loss * upstream if loss.ndim == 0 else loss @ upstream
    for output in ("lse", "target_log_prob", "entropy"):
        if output in outputs and torch.is_tensor(target) and not target.is_floating_point():
            total = total + (outputs[output].nan_to_num(0, 0, 0) * upstream).sum()
    dx, dW, db = torch.autograd.grad(total, leaves)
    ulp = torch.finfo(x.dtype).eps
    tight = {"rtol": 4 * ulp, "atol": 4 * ulp, "equal_nan": True}
    for rank, answer in enumerate(found):
        mine = slice(cuts[rank], cuts[rank + 1])
        assert_close(answer["loss"], loss, **tight)
        for output in outputs:
            assert_close(answer[output], outputs[output], **tight)
        for got, known in zip(answer["gradients"], (dx, dW[mine], db[mine]), strict=True):
            size = known.abs().nan_to_num().max().item() if known.numel() else 0
            assert_close(got, known, rtol=16 * ulp, atol=16 * ulp * size, equal_nan=True)
        assert torch.equal(answer["loss"], found[0]["loss"]) or loss.isnan().any()
        assert_close(answer["gradients"][0], found[0]["gradients"][0], rtol=0, atol=0, equal_nan=True)


def test_confident_rows_keep_their_digits(answers):
    """Where lse − z would be 0: logits of 30 and more."""
    loss, name = answers["classes: confident"][0]["loss"], CALLS["classes: confident"]
    z = name["x"].double() @ name["W"].double().T + name["b"].double()
    others = z.clone().scatter_(1, name["target"].clamp(min=0)[:, None], -torch.inf)
    want = torch.nn.functional.softplus(
        others.logsumexp(1) - z.gather(1, name["target"].clamp(min=0)[:, None])[:, 0]
    )
    want[7] = 0
    assert (want[want > 0] < 1e-3).any()
    assert_close(loss.double(), want, rtol=1e-3, atol=0)  # of logits of 200 in float32


@pytest.mark.parametrize("name", BAD)
def test_bad_calls_say_so_on_every_rank(answers, name):
    for answer in answers[name]:
        assert BAD[name][1] in answer
