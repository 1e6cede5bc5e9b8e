"""Every number read off the page is the library's, to 1e-12."""

import json
import pkgutil

import ml_dtypes
import numpy as np
import pytest
from numpy.testing import assert_array_equal

import xent
from tests.explorer.page import ROOT, STATES, WORKED, near
from xent import reference
from xent.cli.app import app
from xent.data import Batch

STATE = pytest.mark.parametrize("state", STATES.values(), ids=list(STATES))


def of(state):
    """z / T, the label as an array, and p."""
    z = np.array(state["z"], float) / state["T"]
    return z, np.array(state["y"]), reference.softmax(z)


@STATE
def test_the_example(explore, state):
    page = explore().at("jacobian", state)
    z, y, p = of(state)
    near(page.values("p"), p)
    near(page.value("loss"), reference.cross_entropy(z, y))


FORMATS = {
    "float64": np.float64,
    "float32": np.float32,
    "float16": np.float16,
    "bfloat16": ml_dtypes.bfloat16,
    "e4m3": ml_dtypes.float8_e4m3fn,
    "e5m2": ml_dtypes.float8_e5m2,
}


def in_format(state, kind, shift):
    """exp(z) and p with every operation done in float64 and rounded to the format by ml_dtypes."""

    def rounded(values):
        with np.errstate(over="ignore", invalid="ignore"):
            return np.asarray(values, float).astype(kind).astype(float)

    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        z = rounded(rounded(state["z"]) / rounded(state["T"]))
        e = rounded(np.exp(rounded(z - z.max()) if shift else z))
        total = 0.0
        for v in e:
            total = rounded(total + v)
        return e, rounded(e / total)


@STATE
@pytest.mark.parametrize("way", ["plain", "shifted"])
def test_rounding(explore, state, way):
    page = explore().at("rounding", state)
    page.find(f"way-{way}").check(force=True)
    for name, kind in FORMATS.items():
        page.find(f"format-{name}").check(force=True)
        e, p = in_format(state, kind, way == "shifted")
        if name == "float64":
            near(page.values("exp"), e)
            near(page.values("rounded-p"), p)
        else:
            assert_array_equal(page.values("exp"), e)
            assert_array_equal(page.values("rounded-p"), p)
    z, y, p = of(state)
    near(page.values("exact-p"), p)
    near(page.value("exact-loss"), reference.cross_entropy(z, y))


@STATE
def test_jacobian(explore, state):
    page = explore().at("jacobian", state)
    _, _, p = of(state)
    J = reference.softmax_jacobian(p)
    near(page.values("jac"), J)
    near(page.values("eigenvalue"), np.linalg.eigvalsh(J)[::-1], scale=1e-3)
    assert page.value("largest-sum") < 1e-15


@STATE
def test_collapse(explore, state):
    page = explore().at("collapse", state)
    z, y, p = of(state)
    dp, dz = reference.cross_entropy_gradient_p(p, y), reference.cross_entropy_gradient(z, y)
    near(page.values("dp"), dp[None])
    near(page.values("cjac"), reference.softmax_jacobian(p))
    near(page.values("product"), dz[None])
    near(page.values("dz"), [p, reference.one_hot(y, len(z), like=z), dz])
    grad_W, grad_b = reference.linear_gradients(dz[None], np.array([[1, -0.5, 2]]))
    near(page.values("dW"), grad_W)
    near(page.values("db"), grad_b[:, None])


def test_collapse_where_the_label_has_underflowed(explore):
    """0 · ∞ is said to be no number; p − y is still there."""
    page = explore().at("collapse", {"z": [0, 800, 0], "y": 0, "T": 1})
    assert page.find("no-number").count() == 1
    page.find("dz-2-0").click()
    assert np.isnan(page.value("term-sum"))
    assert page.value("by-difference") == -1
    assert explore().at("collapse", WORKED).find("no-number").count() == 0


def test_the_descent_plot_counts_steps(explore):
    page = explore().at("simplex", {"z": [-10, 10, -10, 0], "y": 0, "T": 1})
    page.find("step").fill("1000")
    line = page.find("descent").locator(".cursor")
    box = page.find("descent").bounding_box()
    assert float(line.get_attribute("x1")) == box["width"] - 60  # the end of the axis, which is step 1000
    assert "these three classes alone" in page.find("panel-simplex").inner_text()


@STATE
def test_squared_error(explore, state):
    page = explore().at("simplex", state)
    z, y, _ = of(state)
    if len(z) == 2:
        page.find("to-three").click()
        z = np.append(z, 0)
    corners = [int(y), *(k for k in range(len(z)) if k != y)][:3]
    z, label = z[corners], np.array(0)
    kinds = {
        "crossEntropy": (reference.cross_entropy, reference.cross_entropy_gradient),
        "squaredError": (reference.squared_error, reference.squared_error_gradient),
    }
    page.find("step").fill("60")
    for name, (loss, gradient) in kinds.items():
        near(page.value(f"loss-{name}"), loss(z, label))
        near(page.value(f"norm-{name}"), np.linalg.norm(gradient(z, label)))
        at = z
        for _ in range(60):
            at = at - gradient(at, label)
        near(page.value(f"chance-{name}"), reference.softmax(at)[0])


def test_the_confidently_wrong_corner(explore):
    """The one gradient's norm is √2, of the other's nothing is left, and only one of the two gets out."""
    page = explore().at("simplex", WORKED)
    page.find("to-wrong").click()
    assert abs(page.value("norm-crossEntropy") - 2**0.5) < 1e-8
    assert page.value("norm-squaredError") < 1e-8
    page.find("step").fill("1000")
    assert page.value("chance-crossEntropy") > 0.99
    assert page.value("chance-squaredError") < 1e-8


@STATE
def test_temperature(explore, state):
    page = explore().at("temperature", state)
    z, y, p = of(state)
    logits, T = np.array(state["z"], float), state["T"]
    near(page.values("softmax"), reference.softmax(logits, T))
    assert_array_equal(page.values("hardmax"), reference.hardmax(logits))
    assert page.value("argmax") == reference.predict(z)
    near(page.value("entropy"), reference.cross_entropy(z, p))
    near(page.value("smooth-maximum"), T * reference.logsumexp(z))
    near(page.value("gradient-norm"), np.linalg.norm(reference.cross_entropy_gradient(z, y)) / T)


@STATE
@pytest.mark.parametrize("kind", ["numpy", "pytorch", "xent"])
def test_exports_run_and_give_the_numbers(explore, state, kind):
    """What the page hands out as a script, run."""
    page = explore().at("jacobian", state)
    page.find(f"export-{kind}").check(force=True)
    made = {}
    exec(page.find("export-code").inner_text(), made)  # prints, which pytest keeps
    z, y, p = of(state)
    gradient = made["z"].grad if kind == "pytorch" else made["gradient"]
    scripted = [np.asarray(v.detach() if kind == "pytorch" else v) for v in (made["p"], made["loss"])]
    near(scripted[0], p)
    scale = 0 if kind == "numpy" else 1e-3
    near(scripted[1], reference.cross_entropy(z, y), scale)
    near(np.asarray(gradient), reference.cross_entropy_gradient(z, y), scale)
    near(np.asarray(made["jacobian"]), reference.softmax_jacobian(p), scale)


def test_latex_is_copied(explore):
    page = explore().at("jacobian", WORKED)
    page.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.find("export-latex").check(force=True)
    page.find("export-copy").click()
    text = page.page.evaluate("navigator.clipboard.readText()")
    assert text.strip() == page.find("export-code").inner_text().strip()
    assert "0.6381" in text
    page = explore().at("jacobian", {"z": [1e-7, 0], "y": 0, "T": 1})
    page.find("export-latex").check(force=True)
    assert "1\\cdot 10^{-7}" in page.find("export-code").inner_text()
    assert "\\begin{pmatrix}" in text


def fitted(page):
    W, b = page.values("w"), page.values("b")
    points = page.page.eval_on_selector_all(
        '[data-testid^="point-"]',
        "nodes => nodes.map((n) => [...n.dataset.value.split(','), n.querySelector('text').textContent])",
    )
    return W, b, [[float(x), float(y), int(k)] for x, y, k in points]


def assert_optimal(page, C):
    """The page's fit is xent's to what xent certifies, and stationary to rounding."""
    W, b, points = fitted(page)
    X, y = np.array(points)[:, :2], np.array([k for _, _, k in points])
    model = xent.SoftmaxRegression(C=C, tol=1e-13).fit(X, y)
    near(page.value("fit-objective"), model.objective_)
    loss, grad_W, grad_b = reference.softmax_loss(W, X, y, 1 / (C * len(X)), b=b)
    near(page.value("fit-objective"), loss)
    assert max(np.abs(grad_W).max(), np.abs(grad_b).max()) < 1e-14
    assert abs(b.sum()) < 1e-12


def test_regions(explore):
    page = explore().at("temperature", WORKED)
    case = json.loads((ROOT / "tests/vectors/explorer.json").read_text(encoding="utf-8"))["newton"][0]
    W, b, points = fitted(page)
    assert points == case["points"]
    near(W, case["W"], scale=1)
    near(b, case["b"], scale=1)
    assert_optimal(page, 1.0)
    page.drag(page.find("point-4"), -60, -70)
    assert fitted(page)[2][4][0] < 0 < 0.5 < fitted(page)[2][4][1]
    assert_optimal(page, 1.0)
    page.find("point-11").press("ArrowRight")
    page.find("point-11").press("Shift+ArrowUp")
    near(fitted(page)[2][11], [-0.4, -0.74, 2])
    assert_optimal(page, 1.0)
    page.find("C").fill("2")
    assert_optimal(page, 100.0)


@STATE
def test_labels(explore, state):
    page = explore().at("labels", state)
    z, y, p = of(state)
    K = len(z)
    near(page.values("one-p"), p)
    near(page.values("one-g"), reference.cross_entropy_gradient(z, y))
    near(page.value("one-loss"), reference.cross_entropy(z, y))
    page.find("several-label-1").check()
    several = (np.arange(K) % 2 == 0).astype(float)
    several[1] = 1
    near(page.values("several-p"), reference.sigmoid(z))
    near(page.values("several-g"), reference.binary_cross_entropy_gradient(z, several))
    near(page.value("several-loss"), reference.binary_cross_entropy(z, several).sum())
    page.find("smoothing").fill("0.25")
    target = 0.25 / K + 0.75 * reference.one_hot(y, K, like=z)
    near(page.values("target"), target)
    total = reference.cross_entropy(z, target)
    near(page.value("cross-entropy"), total)
    near(page.value("target-entropy"), reference.entropy(target))
    near(page.value("kl"), total - reference.entropy(target), scale=total)
    page.find("reach").click()
    near(page.values("soft-p"), target)
    near(page.value("kl"), 0, scale=1)


@STATE
def test_gradient_check(explore, state):
    page = explore().at("gradcheck", state)
    z, y, _ = of(state)
    gradient = reference.cross_entropy_gradient(z, y)
    near(page.values("analytic"), gradient)
    scale = np.abs(gradient).max()
    for exponent in (-1, -3, -5):
        page.find("step").fill(str(exponent))
        h = 10.0**exponent
        (want,) = reference.gradient_errors(lambda v: reference.cross_entropy(v, y), gradient, z, [h])
        numerical = reference.numerical_gradient(lambda v: reference.cross_entropy(v, y), z, h)
        # Two losses' rounding over 2h: what no two computations of exp share.
        rounding = 1e-15 * (1 + np.ptp(z)) / h
        assert np.abs(page.values("numerical") - numerical).max() <= rounding
        assert abs(page.value("check-error") - want) * scale <= rounding


def test_gradient_check_of_zeros(explore):
    page = explore().at("gradcheck", {"z": [1000, 0, 0], "y": 0, "T": 1})
    cells = page.page.locator("main tbody td:last-child").all_inner_texts()
    assert cells == ["–"] * 3
    assert page.find("foot-at-end").is_visible()
    page.go("gradcheck", WORKED)
    assert page.find("relative-0").is_visible()
    assert not page.find("foot-at-end").is_visible()


@pytest.fixture(scope="session")
def training():
    """The data and the definitions of explorer/make_data.py."""
    import importlib.util

    spec = importlib.util.spec_from_file_location("make_data", ROOT / "explorer" / "make_data.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_training(explore, training):
    page = explore().at("training", WORKED)
    X, y = training.data()
    batch = Batch(X, y)
    for rate in (0.1, 1.0):
        steps = list(training.sgd(X, y, rate))
        page.find(f"rate-{rate:g}").check(force=True)
        for place in (0, 17, len(steps) - 1):
            page.find("train-step").fill(str(place))
            step, W, b = steps[place]
            value, gradient, accuracy = training.objective(batch, W, b)
            assert page.value("train-step") == step
            near(page.value("train-loss"), value)
            near(page.value("train-gradient"), gradient)
            near(page.value("train-accuracy"), accuracy)
            distance = page.value("train-loss") - page.value("train-optimum")
            near(page.value("train-distance"), distance, scale=1e-3)
    model = xent.SoftmaxRegression(C=training.C, tol=1e-12).fit(X, y)
    bound = page.value("train-optimum-limit")
    assert bound <= 1e-12
    assert abs(page.value("train-optimum") - model.objective_) <= max(bound, model.suboptimality_)
    page.find("train-step").fill("0")
    near(page.value("train-loss"), np.log(10))


def test_courses_name_functions_that_there_are(explore):
    page = explore().at("course", WORKED)
    for name in page.page.locator("td code").all_inner_texts():
        if name.endswith((".md", ".py")):
            assert (ROOT / name).is_file()
        elif name.startswith("xent "):
            assert app[name.split()[1]] is not None
        else:
            assert callable(pkgutil.resolve_name(name.removesuffix(".coef_")))
