"""The panels on a batch: every number read off them is the library's, and their code runs."""

import numpy as np
import pytest

from tests.explorer.page import WORKED, near
from xent import reference
from xent.cli.app import app

DRAWN = np.random.RandomState(0)
X, UNIT, DIRECTION = (DRAWN.randn(rows, 2).round(2) for rows in (4, 7, 7))
LABELS = np.array([1, 3, 5, 0])


@pytest.mark.parametrize(("size", "reg"), [(1, 0.1), (0, 0.1), (0.35, 0), (5, 0.87)])
def test_the_batch(explore, size, reg):
    page = explore().at("batch", WORKED)
    page.find("batch-size").fill(str(size))
    page.find("batch-reg").fill(str(reg))
    W = size * UNIT
    loss, grad_W, _ = reference.softmax_loss(W, X, LABELS, reg)
    near(page.values("batch-X"), X)
    near(page.value("batch-loss"), loss)
    near(page.value("batch-data"), reference.cross_entropy(reference.linear(X, W), LABELS).mean())
    near(page.value("batch-penalty"), reg / 2 * np.sum(W**2))
    assert page.value("batch-C") == (1 / (4 * reg) if reg else np.inf)
    near(page.values("batch-errors"), reference.cross_entropy_gradient(reference.linear(X, W), LABELS))
    near(page.values("batch-dW"), grad_W, scale=1)
    page.find("batch-step").fill("29")
    near(page.values("batch-loops"), reference.softmax_loss_loops(W, X, LABELS, reg)[1], scale=1)
    assert page.value("batch-difference") < 1e-15
    near(page.value("batch-loops-loss"), loss)
    assert page.value("batch-loss-difference") < 1e-14


def test_the_loops_of_a_batch_halt(explore):
    page = explore().at("batch", WORKED)
    errors = page.values("batch-errors")
    for step in (0, 1, 9, 28):
        page.find("batch-step").fill(str(step))
        want = np.zeros((7, 2))
        for i, k in list(np.ndindex(4, 7))[:step]:
            want[k] += errors[i, k] * X[i] / 4
        near(page.values("batch-loops"), want, scale=1)
        marked = page.page.locator(".marked").all_inner_texts()
        assert [text.split()[0] for text in marked] == (["dW[k]"] if step else [])
    page.find("batch-step").press("ArrowRight")
    assert page.page.locator(".marked").inner_text().strip() == "dW += reg * W"


@pytest.mark.parametrize("way", ["loops", "vectorised", "pytorch", "xent"])
def test_the_batch_as_code_gives_the_numbers(explore, way, tmp_path):
    page = explore().at("batch", WORKED)
    page.find("batch-size").fill("0.7")
    page.find("batch-reg").fill("0.25")
    page.find(f"script-{way}").check(force=True)
    code = page.find("script-code").inner_text()
    made = {}
    exec(code, made)
    near(made["loss"], page.value("batch-loss"))
    near(made["dW"], page.values("batch-dW"), scale=1)
    if way in ("loops", "vectorised"):  # which says that it passes the checker
        (tmp_path / "mine.py").write_text(code, encoding="utf-8")
        with pytest.raises(SystemExit) as ended:
            app(["check", f"{tmp_path}/mine.py:softmax_loss"])
        assert ended.value.code == 0


CURVED = [(1, 0, [0, 1, 2, 3]), (1, 0, [2]), (2.5, 0.3, [0, 3]), (0, 0, [0, 1, 2, 3]), (1, 0, [])]


@pytest.mark.parametrize(("size", "reg", "rows"), CURVED)
def test_curvature(explore, size, reg, rows):
    page = explore().at("curvature", WORKED)
    page.find("curvature-size").fill(str(size))
    page.find("curvature-reg").fill(str(reg))
    for i in set(range(4)) - set(rows):
        page.find(f"row-{i}").uncheck()
    W, s = size * UNIT, np.isin(np.arange(4), rows) / 4
    Z = reference.linear(X, W)
    P = reference.softmax(Z)
    H = reference.hessian(P, X, s) + reg * np.eye(14)
    near(page.values("H"), H, scale=1e-2)
    eigenvalues = np.linalg.eigvalsh(H)[::-1]
    near(page.values("lambda"), eigenvalues, scale=1)
    near([page.value("largest"), page.value("smallest")], eigenvalues[[0, -1]], scale=1)
    assert page.value("hessian-rank") == (14 if reg else min(6 * len(rows), 12))
    grad_W = reference.linear_gradients(reference.cross_entropy_gradient(Z, LABELS) * s[:, None], X)[0]
    directions = {"random": DIRECTION, "downhill": -(grad_W + reg * W), "same": np.ones((7, 2))}
    for kind, V in directions.items():
        page.find(f"direction-{kind}").check(force=True)
        V = V / max(np.linalg.norm(V), 1e-300)
        near(page.values("V"), V, scale=1)
        product = reference.hessian_vector_product(P, X, V, s) + reg * V
        near(page.values("HV"), product, scale=1)
        near(page.value("quadratic"), np.sum(V * product), scale=1)
        near(page.value("quadratic-limit"), np.sum(V * product), scale=1)
        assert page.value("formed-difference") < 1e-15
        for t in (-7.5, 0, 2.3):
            page.find("line-t").fill(str(t))
            assert_along(page, W, V, s, reg, t)


def assert_along(page, W, V, s, reg, t):
    def along(loss, t):
        at = W + t * V
        return s @ loss(reference.linear(X, at), LABELS) + reg / 2 * np.sum(at**2)

    for name, loss in (
        ("crossEntropy", reference.cross_entropy),
        ("squaredError", reference.squared_error),
    ):
        near(page.value(f"{name}-value"), along(loss, t), scale=1)
        h = 1e-3
        up, down = along(loss, t + h), along(loss, t - h)
        assert abs(page.value(f"{name}-slope") - (up - down) / (2 * h)) < 1e-5
        assert abs(page.value(f"{name}-curvature") - (up - 2 * along(loss, t) + down) / h**2) < 1e-4


def test_only_squared_error_is_not_convex(explore):
    page = explore().at("curvature", WORKED)
    seen = {"crossEntropy": [], "squaredError": []}
    for t in range(-12, 13):
        page.find("line-t").fill(str(t))
        for name, values in seen.items():
            values.append(page.value(f"{name}-curvature"))
    assert min(seen["crossEntropy"]) > 0
    assert min(seen["squaredError"]) < -0.01
