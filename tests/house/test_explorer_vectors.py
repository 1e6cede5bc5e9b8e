"""explorer.json is what tests/vectors/make_explorer.py writes, and xent gives the same numbers."""

import json
import textwrap

import ml_dtypes
import numpy as np
import pytest

import xent
from tests.vectors import explorer_rounding, make_explorer
from xent import reference

VECTORS = json.loads(make_explorer.FILE.read_text(encoding="utf-8"))


def cases(section, **fields):
    """The section's cases of which these fields have these values."""
    found = [case for case in VECTORS[section] if case.items() >= fields.items()]
    return pytest.mark.parametrize("case", found, ids=lambda case: case["name"])


def near(got, want, scale=1e-300):
    got, want = np.asarray(got, np.float64), np.asarray(want, np.float64)
    assert np.all(np.abs(got - want) <= 1e-13 * np.maximum(np.abs(want), scale)), (got, want)


def test_the_script_writes_this_file():
    assert make_explorer.text() == make_explorer.FILE.read_text(encoding="utf-8")


@cases("labels")
def test_labels(case):
    T, q = case["temperature"], np.array(case["target"])
    logits, several = np.array(case["logits"]), np.array(case["several"], float)
    z = logits / T
    p = reference.softmax(logits, T)
    near(p, case["p"])
    near(reference.cross_entropy(z, p), case["entropy"])  # entropy(p) has but p, where 1 − 1e-50 is 1
    near(reference.entropy(q), case["target_entropy"])
    near(reference.cross_entropy(z, q), case["cross_entropy"])
    near(reference.kl_divergence(q, p), case["kl"], case["cross_entropy"])
    near(reference.cross_entropy_gradient(z, q), case["gradient"], p + q)
    near(T * reference.logsumexp(z), case["smooth_maximum"])
    near(reference.sigmoid(z), case["sigmoid"])
    near(reference.binary_cross_entropy(z, several), case["binary"])
    near(reference.binary_cross_entropy_gradient(z, several), case["binary_gradient"])


@cases("gradcheck")
def test_gradcheck(case):
    z, y = np.array(case["logits"]), np.array(case["label"])
    gradient = reference.cross_entropy_gradient(z, y)
    near(gradient, case["gradient"])
    errors = reference.gradient_errors(lambda v: reference.cross_entropy(v, y), gradient, z, case["steps"])
    rounding = 4e-15 * (1 + np.ptp(z)) / np.array(case["steps"]) / np.abs(gradient).max()
    assert np.all(np.abs(np.array(errors) - case["centred"]) <= rounding)


@cases("newton")
def test_newton(case):
    X, y = np.array(case["points"])[:, :2], np.array(case["points"])[:, 2].astype(int)
    W, b = np.array(case["W"]), np.array(case["b"])
    # Of two classes coef_ is the difference of the rows, and so penalised: half as much at the same C.
    two = case["classes"] == 2
    model = xent.SoftmaxRegression(C=case["C"] * (2 if two else 1), tol=1e-12).fit(X, y)
    near(model.objective_, case["objective"], 1)
    coef, intercept = (W[1:] - W[:1], b[1:] - b[:1]) if two else (W, b)
    shift = 0 if two else model.intercept_.mean()
    assert np.abs(model.coef_ - coef).max() < 1e-6 * np.abs(coef).max()
    assert np.abs(model.intercept_ - shift - intercept).max() < 1e-6 * max(np.abs(b).max(), 1)
    loss, grad_W, grad_b = reference.softmax_loss(W, X, y, 1 / (case["C"] * len(X)), b=b)
    near(loss, case["objective"])
    assert max(np.abs(grad_W).max(), np.abs(grad_b).max()) < 1e-14


@cases("jacobian")
def test_jacobian(case):
    logits, T = np.array(case["logits"]), case["temperature"]
    p = reference.softmax(logits, T)
    near(p, case["p"])
    near(reference.softmax_jacobian(p), case["jacobian"])
    near(reference.softmax_jacobian_quotient_rule(logits / T), case["jacobian"])
    near(reference.softmax_jacobian_log_derivative(logits / T), case["jacobian"])
    assert np.abs(np.linalg.eigvalsh(case["jacobian"])[::-1] - case["eigenvalues"]).max() < 1e-15


@cases("losses")
def test_losses(case):
    z, y = np.array(case["logits"]), np.array(case["label"])
    p = reference.softmax(z)
    near(reference.cross_entropy(z, y), case["cross_entropy"])
    near(reference.cross_entropy_gradient(z, y), case["cross_entropy_gradient"])
    near(reference.cross_entropy_gradient_p(p, y), case["cross_entropy_gradient_p"])
    near(reference.squared_error(z, y), case["squared_error"])
    near(reference.squared_error_gradient(z, y), case["squared_error_gradient"], p)


@cases("descent")
def test_descent(case):
    for loss in ("cross_entropy", "squared_error"):
        z = np.array(case["logits"])
        for _ in range(10):
            z = z - case["rate"] * getattr(reference, f"{loss}_gradient")(z, np.array(case["label"]))
        near(z, case["after_10"][loss], 1)


@cases("batch")
def test_batch(case):
    W, X, y = case["size"] * np.array(case["W"]), np.array(case["X"]), np.array(case["y"])
    for function in (reference.softmax_loss, reference.softmax_loss_loops):
        loss, grad_W, _ = function(W, X, y, case["reg"])
        near(loss, case["data"] + case["penalty"])
        near(grad_W, case["gradient"], 1)
    near(reference.softmax(reference.linear(X, W)), case["P"])


def test_pytorch_gives_the_batch_s_loss_and_gradient():
    """N = 4, K = 7, labels 1, 3, 5, 0 of a fixed seed, with PyTorch's own loss."""
    torch = pytest.importorskip("torch", reason="no PyTorch")
    for case in VECTORS["batch"]:
        assert (case["y"], np.shape(case["P"])) == ([1, 3, 5, 0], (4, 7))
        W = torch.tensor(case["W"], dtype=torch.float64) * case["size"]
        W.requires_grad_()
        scores = torch.tensor(case["X"], dtype=torch.float64) @ W.T
        data = torch.nn.CrossEntropyLoss()(scores, torch.tensor(case["y"]))
        (data + 0.5 * case["reg"] * (W**2).sum()).backward()
        near(data.item(), case["data"])
        near(W.grad.numpy(), case["gradient"], 1)


@cases("hessian")
def test_hessian(case):
    W, X = case["size"] * np.array(case["W"]), np.array(case["X"])
    V, reg, s = np.array(case["V"]), case["reg"], np.array(case["s"])
    P = reference.softmax(reference.linear(X, W))
    H = reference.hessian(P, X, s) + reg * np.eye(14)
    near(H, case["hessian"], 1e-2)
    near(reference.hessian_vector_product(P, X, V, s) + reg * V, case["product"], 1)
    assert np.abs(np.linalg.eigvalsh(H)[::-1] - case["eigenvalues"]).max() < 1e-14


@cases("along")
def test_along(case):
    X, W, V, y = (np.array(case[name]) for name in "XWVy")
    loss = getattr(reference, case["loss"])
    for point in case["at"]:
        at = W + point["t"] * V
        mean = loss(reference.linear(X, at), y).mean()
        near(mean + case["reg"] / 2 * np.sum(at**2), point["value"])
        if case["loss"] == "cross_entropy":
            _, grad_W, _ = reference.softmax_loss(at, X, y, case["reg"])
            near(np.sum(grad_W * V), point["slope"], 1)
            P = reference.softmax(reference.linear(X, at))
            product = reference.hessian_vector_product(P, X, V) / 4 + case["reg"] * V
            near(np.sum(product * V), point["curvature"], 1)


@cases("stages", format="float64", shift=True)
def test_stages_in_float64_are_the_library_s(case):
    logits, T = np.array(case["logits"]), case["temperature"]
    near(reference.softmax(logits, T), case["p"], 1e-2)
    loss = reference.cross_entropy(logits / T, np.array(case["label"]))
    near(loss, case["loss_from_logits"], 1)


@cases("rounding")
def test_rounding_meets_ties_and_both_ends(case):
    size = len(case["bits"]) // case["count"] // 2
    patterns = np.array([int(b, 16) for b in textwrap.wrap(case["bits"], 2 * size)], f"u{size}")
    dtype = np.dtype(explorer_rounding.FORMATS[case["name"]][0])
    with np.errstate(invalid="ignore"):
        values = patterns.view(dtype).astype(np.float64)
    assert not np.isfinite(values).all()
    assert {0.0, float(ml_dtypes.finfo(dtype).smallest_subnormal)} <= set(np.abs(values))
