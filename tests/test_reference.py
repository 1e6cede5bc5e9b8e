"""Every line of the mathematics, as properties and against figures that others published or computed."""

import math
import random

import array_api_strict
import mpmath
import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose

from tests.conftest import exact_row
from xent import reference as r

XP = [np, torch, array_api_strict]


@pytest.fixture(params=XP, ids=["numpy", "torch", "array_api_strict"])
def xp(request):
    return request.param


def arrays(xp, *values):
    out = [xp.asarray(v) for v in values]
    return out if len(out) > 1 else out[0]


def dense(a):
    """Any array-API array as NumPy."""
    return np.from_dlpack(a) if not isinstance(a, np.ndarray | np.generic) else np.asarray(a)


@pytest.mark.parametrize(
    ("z", "p"),
    [([0.0, 1.0, 2.0], [0.0900, 0.2447, 0.6652]), ([0.0, 1.0, 3.0], [0.0420, 0.1142, 0.8438])],
)
def test_softmax_worked_figures(xp, z, p):
    assert_allclose(dense(r.softmax(arrays(xp, np.array(z)))), p, atol=5e-5)


def test_softmax_is_a_distribution_that_keeps_order_and_ignores_a_shift(xp, rng):
    z = rng.normal(size=(5, 7)) * 10
    p = dense(r.softmax(arrays(xp, z)))
    assert (p > 0).all()
    assert_allclose(p.sum(axis=1), 1, rtol=1e-15)
    assert (np.argsort(p, axis=1) == np.argsort(z, axis=1)).all()
    assert_allclose(dense(r.softmax(arrays(xp, z + 1000.0))), p, rtol=1e-12)


def test_temperature_runs_from_hardmax_to_uniform(xp):
    z = arrays(xp, np.array([[0.1, 0.3, 0.2], [2.0, -1.0, 0.0]]))
    assert_allclose(dense(r.softmax(z, 1e-4)), dense(r.hardmax(z)), atol=1e-12)
    assert_allclose(dense(r.softmax(z, 1e9)), 1 / 3, rtol=1e-8)
    assert dense(r.hardmax(z)).tolist() == [[0, 1, 0], [1, 0, 0]]
    for T in (0.1, 1.0, 50.0):
        assert (dense(r.predict(r.softmax(z, T))) == dense(r.predict(z))).all()
    with pytest.raises(ValueError, match="its limit 0 is hardmax"):
        r.softmax(z, 0.0)


def test_loss_at_zero_is_log_k(xp, rng):
    X, y = arrays(xp, rng.normal(size=(6, 4)), rng.integers(0, 10, 6))
    loss, _, _ = r.softmax_loss(xp.zeros((10, 4), dtype=xp.float64), X, y)
    assert float(loss) == pytest.approx(math.log(10), rel=1e-15)
    assert math.log(10) == pytest.approx(2.3026, abs=5e-5)


def test_jacobian_three_ways(xp, rng):
    z = rng.normal(size=4)
    p = dense(r.softmax(arrays(xp, z)))
    J = dense(r.softmax_jacobian(arrays(xp, p)))
    assert_allclose(J, np.diag(p) - np.outer(p, p), atol=1e-16)
    assert_allclose(dense(r.softmax_jacobian_quotient_rule(arrays(xp, z))), J, atol=1e-16)
    assert_allclose(dense(r.softmax_jacobian_log_derivative(arrays(xp, z))), J, atol=1e-16)
    assert_allclose(J, J.T)
    assert_allclose(J @ np.ones(4), 0, atol=1e-16)
    assert np.linalg.matrix_rank(J) == 3
    differences = np.array(
        [dense(r.numerical_gradient(lambda v, i=i: r.softmax(v)[i], arrays(xp, z), 1e-6)) for i in range(4)]
    )
    assert_allclose(J, differences, atol=1e-10)
    v = rng.normal(size=4)
    assert_allclose(dense(r.softmax_jacobian_product(*arrays(xp, p, v))), J @ v, atol=1e-15)


def test_jacobian_explicit_4x4(xp):
    a, b, c, d = p = np.array([0.1, 0.2, 0.3, 0.4])
    by_hand = [
        [a * (1 - a), -a * b, -a * c, -a * d],
        [-b * a, b * (1 - b), -b * c, -b * d],
        [-c * a, -c * b, c * (1 - c), -c * d],
        [-d * a, -d * b, -d * c, d * (1 - d)],
    ]
    assert_allclose(dense(r.softmax_jacobian(arrays(xp, p))), by_hand, rtol=1e-14)


def test_the_collapse_to_p_minus_y(xp, rng):
    z, y = rng.normal(size=(5, 4)), np.array([0, 3, 1, 2, 2])
    p = dense(r.softmax(arrays(xp, z)))
    chain = np.einsum(
        "ni,nij->nj",
        dense(r.cross_entropy_gradient_p(*arrays(xp, p, y))),
        dense(r.softmax_jacobian(arrays(xp, p))),
    )
    gradient = dense(r.cross_entropy_gradient(*arrays(xp, z, y)))
    assert_allclose(gradient, p - np.eye(4)[y], atol=1e-15)
    assert_allclose(gradient, chain, atol=1e-15)
    assert_allclose(gradient.sum(axis=1), 0, atol=1e-15)


@pytest.mark.parametrize("gap", [0.0, 1.0, 17.0, 40.0, 300.0, 700.0])
def test_confident_rows_keep_relative_accuracy(xp, gap):
    z, y = np.array([[gap, 0.0, -3.0]]), np.array([0])
    loss, gradient = exact_row(z[0], 0)
    assert_allclose(dense(r.cross_entropy(*arrays(xp, z, y))), [loss], rtol=1e-14)
    assert_allclose(dense(r.cross_entropy_gradient(*arrays(xp, z, y)))[0], gradient, rtol=1e-13)
    assert_allclose(dense(r.log_softmax(arrays(xp, z)))[0, 0], -loss, rtol=1e-14)


def test_float32_gap_17(xp):
    z = arrays(xp, np.array([[17.0, 0.0]], dtype=np.float32))
    y = arrays(xp, np.array([0]))
    loss, gradient = exact_row([17.0, 0.0], 0)
    assert loss == pytest.approx(4.1399e-8, rel=1e-4)
    assert_allclose(dense(r.cross_entropy(z, y)), [loss], rtol=1e-6)
    assert_allclose(dense(r.cross_entropy_gradient(z, y))[0], gradient, rtol=1e-6)


def test_extreme_and_masked_logits(xp):
    inf = np.inf
    z = np.array([[1e4, -1e4, 0.0], [-inf, 0.0, 0.0], [1e300, -1e300, 0.0]])

    def losses(rows, y):
        return dense(r.cross_entropy(*arrays(xp, z[rows], np.asarray(y)))).tolist()

    assert_allclose(dense(r.softmax(arrays(xp, z))), [[1, 0, 0], [0, 0.5, 0.5], [1, 0, 0]])
    assert np.isfinite(dense(r.log_softmax(arrays(xp, z[[0, 2]])))).all()
    assert losses([0, 1, 2], [1, 1, 1]) == [2e4, pytest.approx(math.log(2)), 2e300]
    gradient = dense(r.cross_entropy_gradient(*arrays(xp, z, np.array([0, 1, 0]))))
    assert gradient[1].tolist() == [0.0, -0.5, 0.5]
    # 0 · log 0 = 0 for a probability row with nothing on the masked class
    assert losses([1], [[0.0, 0.5, 0.5]]) == [pytest.approx(math.log(2))]
    with np.errstate(invalid="ignore"):
        assert losses([1], [0]) == [inf]
        nothing = arrays(xp, np.full((1, 2), -inf))
        assert np.isnan(dense(r.softmax(nothing))).all()
        assert dense(r.logsumexp(nothing)).tolist() == [-inf]


def test_soft_labels_are_mixtures_of_hard_ones(xp, rng):
    z = rng.normal(size=(6, 5)) * 3
    q = rng.dirichlet(np.ones(5), 6)
    hard = np.stack([dense(r.cross_entropy(*arrays(xp, z, np.full(6, k)))) for k in range(5)], axis=1)
    assert_allclose(dense(r.cross_entropy(*arrays(xp, z, q))), (q * hard).sum(axis=1), rtol=1e-14)
    p = dense(r.softmax(arrays(xp, z)))
    assert_allclose(dense(r.cross_entropy_gradient(*arrays(xp, z, q))), p - q, atol=1e-15)
    one_hot = dense(r.one_hot(arrays(xp, np.arange(5)), 5, like=arrays(xp, z)))
    assert_allclose(one_hot, np.eye(5))


def test_entropy_and_divergence(xp, rng):
    y, p = rng.dirichlet(np.ones(5), 4), rng.dirichlet(np.ones(5), 4)
    y[0, 2:] = 0
    y[0] /= y[0].sum()
    H, KL = (dense(f(*arrays(xp, y, p))) for f in (r.cross_entropy_between, r.kl_divergence))
    assert_allclose(H, dense(r.entropy(arrays(xp, y))) + KL, rtol=1e-13)
    assert (KL > 0).all()
    assert_allclose(dense(r.kl_divergence(*arrays(xp, y, y))), 0, atol=1e-15)
    assert_allclose(dense(r.entropy(arrays(xp, np.full((1, 8), 0.125)))), math.log(8))


def test_squared_error_stalls_where_cross_entropy_does_not(xp):
    z, y = np.array([[30.0, 0.0, 0.0]]), np.array([1])
    slow = dense(r.squared_error_gradient(*arrays(xp, z, y)))
    fast = dense(r.cross_entropy_gradient(*arrays(xp, z, y)))
    assert np.linalg.norm(slow) < 1e-12
    assert np.linalg.norm(fast) == pytest.approx(math.sqrt(2), rel=1e-10)
    z = np.array([[0.3, -0.2, 0.5]])
    differences = r.numerical_gradient(
        lambda v: xp.sum(r.squared_error(v, arrays(xp, y))), arrays(xp, z), 1e-6
    )
    assert_allclose(dense(r.squared_error_gradient(*arrays(xp, z, y))), dense(differences), atol=1e-10)


def test_squared_error_gradient_keeps_its_digits_in_the_confident_corner(xp):
    z, y = np.array([[50.0, 0.0, 0.0]]), np.array([0])
    with mpmath.workdps(60):
        e = mpmath.exp(-50)
        p = [1 / (1 + 2 * e), e / (1 + 2 * e), e / (1 + 2 * e)]
        g = [p[0] - 1, p[1], p[2]]
        mean = mpmath.fdot(p, g)
        exact = [float(a * (b - mean)) for a, b in zip(p, g, strict=True)]
    assert_allclose(dense(r.squared_error_gradient(*arrays(xp, z, y))), [exact], rtol=1e-14)


def test_binary_cross_entropy(xp):
    z = np.array([-800.0, -20.0, -1.0, 0.0, 1.0, 20.0, 800.0])
    assert_allclose(
        dense(r.binary_cross_entropy(*arrays(xp, z, np.ones(7)))),
        [
            800.0,
            20.0 + math.log1p(math.exp(-20)),
            1.3132616875182228,
            math.log(2),
            0.31326168751822286,
            2.061153620314381e-09,
            0.0,
        ],
        rtol=1e-14,
    )
    target = torch.tensor([0.0, 0.2, 1.0, 0.5, 0.9, 0.0, 1.0], dtype=torch.float64)
    ours = r.binary_cross_entropy(*arrays(xp, z, target.numpy()))
    theirs = torch.nn.functional.binary_cross_entropy_with_logits(
        torch.from_numpy(z), target, reduction="none"
    )
    assert_allclose(dense(ours), theirs.numpy(), rtol=1e-13)
    zt = torch.from_numpy(z).requires_grad_()
    torch.nn.functional.binary_cross_entropy_with_logits(zt, target, reduction="sum").backward()
    assert_allclose(
        dense(r.binary_cross_entropy_gradient(*arrays(xp, z, target.numpy()))), zt.grad, atol=1e-15
    )
    sure = arrays(xp, np.array([-np.inf, np.inf]), np.array([0.0, 1.0]))
    assert dense(r.binary_cross_entropy(*sure)).tolist() == [0.0, 0.0]
    # Two classes by softmax of [0, z] are one class by sigmoid of z.
    two = np.stack([np.zeros(7), z], axis=1)
    assert_allclose(dense(r.softmax(arrays(xp, two)))[:, 1], dense(r.sigmoid(arrays(xp, z))), rtol=1e-14)


@pytest.mark.parametrize(("n", "d", "K"), [(1, 1, 2), (4, 5, 7), (3, 1, 1), (7, 2, 3)])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("soft", [False, True])
def test_loops_vectorised_and_differences_agree(xp, rng, n, d, K, weighted, soft):
    W, X, b = rng.normal(size=(K, d)), rng.normal(size=(n, d)), rng.normal(size=K)
    y = rng.dirichlet(np.ones(K), n) if soft else rng.integers(0, K, n)
    s = rng.uniform(0.1, 2, n) if weighted else None
    W, X, b, y = arrays(xp, W, X, b, y)
    s = None if s is None else arrays(xp, s)
    loss, dW, db = r.softmax_loss(W, X, y, 0.3, b=b, sample_weight=s)
    for ours, loops in zip(
        (loss, dW, db), r.softmax_loss_loops(W, X, y, 0.3, b=b, sample_weight=s), strict=True
    ):
        assert_allclose(dense(ours), dense(loops), rtol=1e-12, atol=1e-14)
    errors = r.gradient_errors(lambda V: r.softmax_loss(V, X, y, 0.3, b=b, sample_weight=s)[0], dW, W, [1e-5])
    assert errors[0] < 1e-8
    errors = r.gradient_errors(lambda v: r.softmax_loss(W, X, y, 0.3, b=v, sample_weight=s)[0], db, b, [1e-5])
    assert errors[0] < 1e-8


def test_gradient_errors_are_a_v_curve_and_catch_a_wrong_gradient(xp, rng):
    W, X, y = arrays(xp, rng.normal(size=(3, 4)), rng.normal(size=(9, 4)), rng.integers(0, 3, 9))

    def f(V):
        return r.softmax_loss(V, X, y)[0]

    dW = r.softmax_loss(W, X, y)[1]
    coarse, best, fine = r.gradient_errors(f, dW, W, [1e-1, 1e-5, 1e-12])
    assert best < 1e-9 < min(coarse, fine)
    assert r.gradient_errors(f, dW * 1.001, W, [1e-5])[0] > 5e-4


def test_linear_layer(xp, rng):
    W, X, b, G = (rng.normal(size=s) for s in ((3, 4), (5, 4), 3, (5, 3)))
    Wt, Xt, bt = (torch.from_numpy(a).requires_grad_() for a in (W, X, b))
    out = torch.nn.functional.linear(Xt, Wt, bt)
    out.backward(torch.from_numpy(G))
    assert_allclose(dense(r.linear(*arrays(xp, X, W, b))), out.detach(), rtol=1e-13)
    dW, db = r.linear_gradients(*arrays(xp, G, X))
    assert_allclose(dense(dW), Wt.grad, rtol=1e-12)
    assert_allclose(dense(db), bt.grad, rtol=1e-12)


def test_boundaries_are_hyperplanes(xp, rng):
    W, b = rng.normal(size=(3, 2)), rng.normal(size=3)
    w, c = (dense(a) for a in r.decision_boundary(*arrays(xp, W, b), 0, 2))
    along = np.array([-w[1], w[0]])
    on = -c * w / (w @ w) + np.outer(np.linspace(-5, 5, 7), along)
    z = dense(r.linear(*arrays(xp, on, W, b)))
    assert_allclose(z[:, 0], z[:, 2], atol=1e-12)


def test_hessian(xp, rng):
    W, X, y = rng.normal(size=(3, 2)), rng.normal(size=(6, 2)), rng.integers(0, 3, 6)
    s, V = rng.uniform(0.5, 2, 6), rng.normal(size=(3, 2))
    P = r.softmax(r.linear(*arrays(xp, X, W)))
    H = dense(r.hessian(P, *arrays(xp, X, s)))
    step = 1e-6
    up, down = (r.softmax_loss(W + sign * step * V, X, y, sample_weight=s)[1] * s.sum() for sign in (1, -1))
    assert_allclose(H @ V.reshape(-1), ((up - down) / (2 * step)).reshape(-1), atol=1e-8)
    product = r.hessian_vector_product(P, *arrays(xp, X, V, s))
    assert_allclose(dense(product).reshape(-1), H @ V.reshape(-1), rtol=1e-12)
    assert np.linalg.eigvalsh(H).min() > -1e-12
    # the sum of Kronecker products, sample by sample
    p = dense(P)
    by_hand = sum(
        s[i] * np.kron(np.diag(p[i]) - np.outer(p[i], p[i]), np.outer(X[i], X[i])) for i in range(6)
    )
    assert_allclose(H, by_hand, atol=1e-13)


def seed_all(seed):
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002  the global generators are what the exercise is about
    torch.manual_seed(seed)


def test_by_hand_against_pytorch_with_fixed_seeds():
    """N = 4, K = 7, labels [1, 3, 5, 0]: loss and gradient against CrossEntropyLoss, twice the same."""
    seen = []
    for _ in range(2):
        seed_all(42)
        noise = random.random() + np.random.rand()  # noqa: NPY002
        logits = torch.randn(4, 7, dtype=torch.float64, requires_grad=True)
        y = torch.tensor([1, 3, 5, 0])
        loss = torch.nn.CrossEntropyLoss()(logits, y)
        loss.backward()
        seen.append((noise, logits.tolist(), loss.item()))
        with torch.no_grad():
            ours = r.cross_entropy(logits, y).mean()
            gradient = r.cross_entropy_gradient(logits, y) / 4
        assert ours.item() == pytest.approx(loss.item(), rel=1e-14)
        assert_allclose(gradient.numpy(), logits.grad.numpy(), atol=1e-16)
    assert seen[0] == seen[1]


def test_a_row_of_weight_zero_may_hold_nan(xp):
    X = np.array([[1.0, 2.0], [np.nan, np.inf], [0.5, -1.0]])
    s, y, W = np.array([1.0, 0.0, 2.0]), np.array([0, 1, 1]), np.array([[0.1, 0.2], [0.3, -0.4]])
    out = r.softmax_loss(*arrays(xp, W, X, y), sample_weight=arrays(xp, s))
    without = r.softmax_loss(*arrays(xp, W, X[::2], y[::2]), sample_weight=arrays(xp, s[::2]))
    for a, b in zip(out, without, strict=True):
        assert_allclose(dense(a), dense(b), rtol=1e-15)
