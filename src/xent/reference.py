"""Every formula in plain array-API code: no dispatch, no threads, nothing in place.

It is the oracle for everything else in xent, and what runs where there is no native extension. Every
function takes NumPy, PyTorch or any other array-API arrays and returns the same kind. Classes are on
the last axis; K classes, d features, N samples; losses are in nats.

Design
 a. z_k - m (m the largest logit) is formed before any exponential, so nothing overflows.
 b. log sum exp is m + log1p(R), R the sum over all classes *but the largest*. A confident row
    (R < 1e-16) keeps its relative accuracy; m + log(1 + R) would return exactly m.
 c. The gradient at the label is minus the sum of the other entries, never p_y - 1, for the same reason.
 d. A logit of -inf is a masked class: probability 0, gradient 0, and 0 log 0 = 0.
    A row with nothing but -inf has no distribution: NaN.
 e. Nothing is checked: labels must lie in [0, K). `xent.cross_entropy` checks its arguments.

Sources, as each function names them:
 - Bridle (1989): J. S. Bridle, "Training stochastic model recognition algorithms as networks can lead to
   maximum mutual information estimation of parameters", NIPS 2.
 - Blanchard, Higham, Higham (2021): "Accurately computing the log-sum-exp and softmax functions", IMA J.
   Numer. Anal. 41.
 - Böhning (1992): "Multinomial logistic regression algorithm", Ann. Inst. Stat. Math. 44.
 - Cover, Thomas (2006): "Elements of Information Theory", 2nd edition.
 - Golik, Doetsch, Ney (2013): "Cross-entropy vs. squared error training: a theoretical and experimental
   comparison", Interspeech.
 - Goodfellow, Bengio, Courville (2016): "Deep Learning".
 - Hastie, Tibshirani, Friedman (2009): "The Elements of Statistical Learning", 2nd edition.
 - Nocedal, Wright (2006): "Numerical Optimization", 2nd edition.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

from array_api_compat import array_namespace, device

# Of any library of the array API. array_api_compat carries no types, and the standard has no class to name.
Array: TypeAlias = Any
Namespace: TypeAlias = Any

__all__ = [
    "binary_cross_entropy",
    "binary_cross_entropy_gradient",
    "cross_entropy",
    "cross_entropy_between",
    "cross_entropy_gradient",
    "cross_entropy_gradient_p",
    "decision_boundary",
    "entropy",
    "gradient_errors",
    "hardmax",
    "hessian",
    "hessian_vector_product",
    "kl_divergence",
    "linear",
    "linear_gradients",
    "log_softmax",
    "logsumexp",
    "numerical_gradient",
    "one_hot",
    "predict",
    "sigmoid",
    "softmax",
    "softmax_jacobian",
    "softmax_jacobian_log_derivative",
    "softmax_jacobian_product",
    "softmax_jacobian_quotient_rule",
    "softmax_loss",
    "softmax_loss_loops",
    "squared_error",
    "squared_error_gradient",
]


# Linear scores -----------------------------------------------------------------------------------


def linear(x: Array, W: Array, b: Array | None = None) -> Array:
    """Logits of the linear model, z = x Wᵀ + b.

    Parameters
    ----------
    x : array (N, d)
        Rows of features.
    W : array (K, d)
        Coefficients.
    b : array (K,), optional
        Intercepts; None for none.

    Returns
    -------
    array (N, K)
        z_ik = Σ_j x_ij W_kj + b_k.

    Notes
    -----
    Source: Hastie, Tibshirani, Friedman (2009), section 4.4.
    """
    z = x @ W.T
    return z if b is None else z + b


def linear_gradients(G: Array, x: Array) -> tuple[Array, Array]:
    """Gradients by W and b from the gradient by the logits.

    Parameters
    ----------
    G : array (N, K)
        ∂L/∂z.
    x : array (N, d)
        Rows of features.

    Returns
    -------
    array (K, d)
        ∂L/∂W = Gᵀ x.
    array (K,)
        ∂L/∂b = Σ_i G_i.

    Notes
    -----
    Source: Hastie, Tibshirani, Friedman (2009), section 4.4.
    """
    xp = array_namespace(G, x)
    return G.T @ x, xp.sum(G, axis=0)


def predict(z: Array) -> Array:
    """The decision argmax_k z_k, the first of equals.

    Parameters
    ----------
    z : array (..., K)
        Logits.

    Returns
    -------
    array (...)
        Class indices.

    Notes
    -----
    Softmax and temperature leave the decision as it is.

    Source: Hastie, Tibshirani, Friedman (2009), section 4.4.
    """
    return array_namespace(z).argmax(z, axis=-1)


def decision_boundary(W: Array, b: Array, k: int, l: int) -> tuple[Array, Array]:  # noqa: E741
    """The hyperplane {x : w·x + c = 0} on which classes k and l tie.

    Parameters
    ----------
    W : array (K, d)
        Coefficients.
    b : array (K,)
        Intercepts.
    k, l : int
        Two classes.

    Returns
    -------
    array (d,)
        w = W_k − W_l.
    array ()
        c = b_k − b_l.

    Notes
    -----
    Source: Hastie, Tibshirani, Friedman (2009), section 4.4.
    """
    return W[k, :] - W[l, :], b[k] - b[l]


# Softmax and its limit ---------------------------------------------------------------------------


def _shifted(z: Array) -> tuple[Namespace, Array, Array, Array]:
    """xp, m (..., 1), e = exp(z − m), and log1p(R) with R = Σ e over all classes but the first largest."""
    xp = array_namespace(z)
    m = xp.max(z, axis=-1, keepdims=True)
    finite = xp.where(xp.isinf(m), xp.zeros_like(m), m)
    e = xp.exp(z - finite)
    top = one_hot(xp.argmax(z, axis=-1), z.shape[-1], like=z) > 0
    rest = xp.sum(xp.where(top, xp.zeros_like(e), e), axis=-1, keepdims=True)
    return xp, m, e, xp.log1p(rest)


def logsumexp(z: Array) -> Array:
    """log Σ_k exp(z_k), without overflow.

    Parameters
    ----------
    z : array (..., K)
        Logits.

    Returns
    -------
    array (...)
        In nats: −inf for a row of nothing but −inf, +inf if any logit is +inf.

    Notes
    -----
    It is computed as m + log1p(Σ_{k ≠ argmax} exp(z_k − m)), m the largest logit.

    Source: Blanchard, Higham, Higham (2021).
    """
    xp, m, _, log1p_rest = _shifted(z)
    return xp.squeeze(m + log1p_rest, axis=-1)


def log_softmax(z: Array) -> Array:
    """log p_k = z_k − log Σ_j exp(z_j), the logarithm of `softmax`.

    Parameters
    ----------
    z : array (..., K)
        Logits.

    Returns
    -------
    array (..., K)
        Log probabilities in nats, ≤ 0, finite wherever the logits are.

    Notes
    -----
    Source: Blanchard, Higham, Higham (2021).
    """
    _, m, _, log1p_rest = _shifted(z)
    return (z - m) - log1p_rest


def softmax(z: Array, temperature: float = 1.0) -> Array:
    """Probabilities p_k = exp(z_k / T) / Σ_j exp(z_j / T).

    Parameters
    ----------
    z : array (..., K)
        Logits.
    temperature : float, default 1
        T > 0.

    Returns
    -------
    array (..., K)
        Rows ≥ 0 that sum to 1.

    Raises
    ------
    ValueError
        Unless T > 0.

    Notes
    -----
    A constant added to every logit changes nothing. T → 0 tends to `hardmax`, T → ∞ to uniform.

    Source: Bridle (1989).
    """
    if not temperature > 0:
        raise ValueError(f"temperature must be > 0, got {temperature}; its limit 0 is hardmax")
    xp, _, e, _ = _shifted(z / temperature)
    return e / xp.sum(e, axis=-1, keepdims=True)


def hardmax(z: Array) -> Array:
    """One at the largest logit (the first of equals), else zero.

    Parameters
    ----------
    z : array (..., K)
        Logits.

    Returns
    -------
    array (..., K)
        One-hot rows in the dtype of z.

    Notes
    -----
    This is the limit of softmax(z / T) as T → 0. It is constant almost everywhere, so its gradient is 0 and
    teaches nothing.

    Source: Goodfellow, Bengio, Courville (2016), section 6.2.2.
    """
    return one_hot(predict(z), z.shape[-1], like=z)


# The Jacobian ------------------------------------------------------------------------------------


def softmax_jacobian(p: Array) -> Array:
    """The Jacobian of softmax, ∂p_i/∂z_j = p_i (δ_ij − p_j).

    Parameters
    ----------
    p : array (..., K)
        Probabilities.

    Returns
    -------
    array (..., K, K)
        diag(p) − pᵀp: symmetric, rows sum to 0, rank K − 1, null vector 1.

    Notes
    -----
    The diagonal is computed as p_i Σ_{j≠i} p_j, which does not cancel.

    Source: Bridle (1989).
    """
    xp = array_namespace(p)
    K = p.shape[-1]
    eye = xp.eye(K, dtype=p.dtype, device=device(p))
    others = p @ (1 - eye)
    return eye * (p * others)[..., None] - (1 - eye) * p[..., :, None] * p[..., None, :]


def softmax_jacobian_quotient_rule(z: Array) -> Array:
    """The Jacobian of softmax at one row by the quotient rule, entry by entry.

    Parameters
    ----------
    z : array (K,)
        Logits of one row.

    Returns
    -------
    array (K, K)
        The Jacobian, in the dtype of z.

    Notes
    -----
    With e_i = exp(z_i) and S = Σ e, ∂(e_i/S)/∂z_j is (e_i S − e_i e_i)/S² where i = j and (0 − e_i e_j)/S²
    where i ≠ j. The first is e_i (S − e_i)/S², S − e_i being the sum of the others, which does not cancel.

    Source: Bridle (1989).
    """
    xp = array_namespace(z)
    K = z.shape[0]
    m = float(xp.max(z))
    e = [math.exp(float(z[i]) - m) for i in range(K)]
    S = math.fsum(e)
    others = [math.fsum(e[:i] + e[i + 1 :]) for i in range(K)]
    rows = [[e[i] * others[i] / S**2 if i == j else -e[i] * e[j] / S**2 for j in range(K)] for i in range(K)]
    return xp.asarray(rows, dtype=z.dtype, device=device(z))


def softmax_jacobian_log_derivative(z: Array) -> Array:
    """The Jacobian of softmax at one row by the logarithmic derivative.

    Parameters
    ----------
    z : array (K,)
        Logits of one row.

    Returns
    -------
    array (K, K)
        The Jacobian, in the dtype of z.

    Notes
    -----
    ∂p_i/∂z_j = p_i ∂log p_i/∂z_j with ∂log p_i/∂z_j = δ_ij − p_j; 1 − p_i is the sum of the others.

    Source: Bridle (1989).
    """
    xp = array_namespace(z)
    p = softmax(z)
    eye = xp.eye(z.shape[0], dtype=z.dtype, device=device(z))
    others = p @ (1 - eye)
    dlogp = eye * others - (1 - eye) * p[None, :]
    return p[:, None] * dlogp


def softmax_jacobian_product(p: Array, v: Array) -> Array:
    """The product (diag(p) − pᵀp) v = p ∘ (v − ⟨p, v⟩), without forming the matrix.

    Parameters
    ----------
    p : array (..., K)
        Probabilities.
    v : array (..., K)
        Vectors.

    Returns
    -------
    array (..., K)
        The product for every row.

    Notes
    -----
    The Jacobian is symmetric: this is its product with a vector from either side. It takes constants to 0, so
    v may lose one first: its value where p is largest, which would cancel there.

    Source: Bridle (1989).
    """
    xp = array_namespace(p, v)
    top = one_hot(xp.argmax(p, axis=-1), p.shape[-1], like=p) > 0
    u = v - xp.sum(xp.where(top, v, xp.zeros_like(v)), axis=-1, keepdims=True)
    return p * (u - xp.sum(p * u, axis=-1, keepdims=True))


# Targets -----------------------------------------------------------------------------------------


def one_hot(y: Array, K: int, *, like: Array) -> Array:
    """Class indices as rows with a single 1.

    Parameters
    ----------
    y : array (...)
        Class indices in [0, K).
    K : int
        Number of classes.
    like : array
        Gives the dtype and the device of the result.

    Returns
    -------
    array (..., K)
        One-hot rows.

    Notes
    -----
    Source: Hastie, Tibshirani, Friedman (2009), section 4.4.
    """
    xp = array_namespace(y, like)
    hits = xp.asarray(y)[..., None] == xp.arange(K, dtype=y.dtype, device=device(like))
    return xp.astype(hits, like.dtype)


def _target_rows(z: Array, y: Array) -> tuple[Namespace, Array]:
    """xp, and the targets as rows (..., K)."""
    xp = array_namespace(z, y)
    if xp.isdtype(y.dtype, "integral"):
        return xp, one_hot(y, z.shape[-1], like=z)
    return xp, y


def sigmoid(z: Array) -> Array:
    """σ(z) = 1 / (1 + exp(−z)), elementwise; never overflows.

    Parameters
    ----------
    z : array of any shape
        Logits.

    Returns
    -------
    array of the shape of z
        Probabilities in [0, 1].

    Notes
    -----
    It serves labels of which several may hold at once, each with a logit of its own.

    Source: Goodfellow, Bengio, Courville (2016), section 6.2.2.
    """
    xp = array_namespace(z)
    e = xp.exp(-xp.abs(z))
    return xp.where(z >= 0, 1 / (1 + e), e / (1 + e))


def binary_cross_entropy(z: Array, y: Array) -> Array:
    """−y log σ(z) − (1 − y) log(1 − σ(z)), elementwise.

    Parameters
    ----------
    z : array of any shape
        Logits.
    y : array of the shape of z
        Labels or probabilities in [0, 1].

    Returns
    -------
    array of the shape of z
        Losses in nats, ≥ 0.

    Notes
    -----
    It is computed as (1 − y) s(z) + y s(−z), s(z) = log(1 + exp z) = max(z, 0) + log1p(exp(−|z|)).

    Source: Goodfellow, Bengio, Courville (2016), section 6.2.2.
    """
    xp = array_namespace(z, y)
    tail = xp.log1p(xp.exp(-xp.abs(z)))
    zero = xp.zeros_like(z)
    return _zero_log(1 - y, xp.maximum(z, zero) + tail) + _zero_log(y, xp.maximum(-z, zero) + tail)


def binary_cross_entropy_gradient(z: Array, y: Array) -> Array:
    """∂/∂z of `binary_cross_entropy`, σ(z) − y, elementwise.

    Parameters
    ----------
    z : array of any shape
        Logits.
    y : array of the shape of z
        Labels or probabilities in [0, 1].

    Returns
    -------
    array of the shape of z
        The gradient.

    Notes
    -----
    It is computed as (1 − y) σ(z) − y σ(−z), which keeps relative accuracy.

    Source: Goodfellow, Bengio, Courville (2016), section 6.2.2.
    """
    return (1 - y) * sigmoid(z) - y * sigmoid(-z)


# Cross-entropy and its gradient -----------------------------------------------------------------


def _zero_log(weights: Array, logs: Array) -> Array:
    """weights · logs with 0 · (±inf) = 0."""
    xp = array_namespace(weights, logs)
    return weights * xp.where(weights == 0, xp.zeros_like(logs), logs)


def cross_entropy(z: Array, y: Array) -> Array:
    """Cross-entropy ℓ = −Σ_k y_k log p_k of softmax(z) at the targets.

    Parameters
    ----------
    z : array (..., K)
        Logits.
    y : array (...) or (..., K)
        Class indices, or rows of probabilities.

    Returns
    -------
    array (...)
        One loss per row in nats, ≥ 0; +inf where the label is masked (its logit −inf).

    Notes
    -----
    For a class index ℓ = log Σ_k exp(z_k − z_y). Where the label is the largest logit this is
    log1p(Σ_{k≠y} exp(z_k − z_y)), so a confident correct row keeps its relative accuracy.

    Source: Bridle (1989).
    """
    xp, Y = _target_rows(z, y)
    return xp.sum(_zero_log(Y, -log_softmax(z)), axis=-1)


def cross_entropy_gradient(z: Array, y: Array) -> Array:
    """The gradient of `cross_entropy` by the logits, ∂ℓ/∂z = p − y.

    Parameters
    ----------
    z : array (..., K)
        Logits.
    y : array (...) or (..., K)
        Class indices, or rows of probabilities.

    Returns
    -------
    array (..., K)
        p − y; for rows y that do not sum to 1, (Σ_k y_k) p − y.

    Notes
    -----
    −1/p_label times the Jacobian collapses to this. Where y is largest the entry is computed as
    Σ_{j≠k} (y_j − p_j), for one-hot y −Σ_{j≠y} p_j: the same number, without 1 − 1.

    Source: Bridle (1989).
    """
    xp, Y = _target_rows(z, y)
    p = softmax(z) * xp.sum(Y, axis=-1, keepdims=True)
    top = one_hot(xp.argmax(Y, axis=-1), z.shape[-1], like=z) > 0
    others = xp.where(top, xp.zeros_like(p), p - Y)
    return xp.where(top, -xp.sum(others, axis=-1, keepdims=True), others)


def cross_entropy_gradient_p(p: Array, y: Array) -> Array:
    """The gradient of cross-entropy by the probabilities, ∂ℓ/∂p = −y / p.

    Parameters
    ----------
    p : array (..., K)
        Probabilities.
    y : array (...) or (..., K)
        Class indices, or rows of probabilities.

    Returns
    -------
    array (..., K)
        For a class index −1/p_label at the label, else 0.

    Notes
    -----
    Source: Bridle (1989).
    """
    xp, Y = _target_rows(p, y)
    return xp.where(Y == 0, xp.zeros_like(p), -Y / xp.where(Y == 0, xp.ones_like(p), p))


def cross_entropy_between(y: Array, p: Array) -> Array:
    """H(y, p) = −Σ_k y_k log p_k of two distributions, with 0 log 0 = 0.

    Parameters
    ----------
    y, p : array (..., K)
        Rows of probabilities.

    Returns
    -------
    array (...)
        In nats, ≥ H(y).

    Notes
    -----
    H(y, p) = H(y) + KL(y‖p) ≥ H(y).

    Source: Cover, Thomas (2006), chapter 2.
    """
    xp = array_namespace(y, p)
    safe = xp.where(y == 0, xp.ones_like(p), p)
    return -xp.sum(y * xp.log(safe), axis=-1)


def entropy(p: Array) -> Array:
    """H(p) = −Σ_k p_k log p_k, with 0 log 0 = 0.

    Parameters
    ----------
    p : array (..., K)
        Rows of probabilities.

    Returns
    -------
    array (...)
        In nats, between 0 and log K.

    Notes
    -----
    Source: Cover, Thomas (2006), chapter 2.
    """
    return cross_entropy_between(p, p)


def kl_divergence(y: Array, p: Array) -> Array:
    """KL(y‖p) = Σ_k y_k log(y_k / p_k), with 0 log 0 = 0.

    Parameters
    ----------
    y, p : array (..., K)
        Rows of probabilities.

    Returns
    -------
    array (...)
        In nats, ≥ 0; +inf where p_k = 0 < y_k.

    Notes
    -----
    Source: Cover, Thomas (2006), chapter 2.
    """
    xp = array_namespace(y, p)
    none = y == 0
    ratio = xp.where(none, xp.ones_like(y), y) / xp.where(none, xp.ones_like(p), p)
    return xp.sum(y * xp.log(ratio), axis=-1)


# Squared error instead ---------------------------------------------------------------------------


def squared_error(z: Array, y: Array) -> Array:
    """½ Σ_k (p_k − y_k)² with p = softmax(z).

    Parameters
    ----------
    z : array (..., K)
        Logits.
    y : array (...) or (..., K)
        Class indices, or rows of probabilities.

    Returns
    -------
    array (...)
        One error per row.

    Notes
    -----
    Source: Golik, Doetsch, Ney (2013).
    """
    xp = array_namespace(z)
    return 0.5 * xp.sum(cross_entropy_gradient(z, y) ** 2, axis=-1)


def squared_error_gradient(z: Array, y: Array) -> Array:
    """∂/∂z of `squared_error`, (p − y)(diag(p) − pᵀp).

    Parameters
    ----------
    z : array (..., K)
        Logits.
    y : array (...) or (..., K)
        Class indices, or rows of probabilities.

    Returns
    -------
    array (..., K)
        The gradient. It vanishes where p is confidently wrong.

    Notes
    -----
    Source: Golik, Doetsch, Ney (2013).
    """
    return softmax_jacobian_product(softmax(z), cross_entropy_gradient(z, y))


# The regularised linear softmax loss, twice ------------------------------------------------------


def softmax_loss(
    W: Array,
    X: Array,
    y: Array,
    reg: float = 0.0,
    *,
    b: Array | None = None,
    sample_weight: Array | None = None,
) -> tuple[Array, Array, Array]:
    """L = (1/S) Σ_i s_i ℓ_i + ½ reg ‖W‖² and its gradient, S = Σ s_i, without loops.

    Parameters
    ----------
    W : array (K, d)
        Coefficients.
    X : array (N, d)
        Rows of features.
    y : array (N,) or (N, K)
        Class indices, or rows of probabilities.
    reg : float, default 0
        Strength of the L2 penalty on W.
    b : array (K,), optional
        Intercepts, not penalised; None for 0.
    sample_weight : array (N,), optional
        Weights s_i ≥ 0; None for 1.

    Returns
    -------
    array ()
        L in nats.
    array (K, d)
        ∂L/∂W.
    array (K,)
        ∂L/∂b.

    Notes
    -----
    A row of weight 0 adds exactly 0 even if it holds NaN.

    Source: Stanford CS231n, notes on linear classification.
    """
    xp = array_namespace(W, X)
    if sample_weight is None:
        weight = xp.ones(X.shape[0], dtype=X.dtype, device=device(X))
    else:
        weight = sample_weight
        X = xp.where(weight[:, None] == 0, xp.zeros_like(X), X)
    z = linear(X, W, b)
    S = xp.sum(weight)
    loss = xp.sum(_zero_log(weight, cross_entropy(z, y))) / S + 0.5 * reg * xp.sum(W * W)
    G = cross_entropy_gradient(z, y) * (weight / S)[:, None]
    grad_W, grad_b = linear_gradients(G, X)
    return loss, grad_W + reg * W, grad_b


def softmax_loss_loops(
    W: Array,
    X: Array,
    y: Array,
    reg: float = 0.0,
    *,
    b: Array | None = None,
    sample_weight: Array | None = None,
) -> tuple[Array, Array, Array]:
    """L = (1/S) Σ_i s_i ℓ_i + ½ reg ‖W‖² and its gradient by explicit loops, in Python floats.

    Parameters
    ----------
    W : array (K, d)
        Coefficients.
    X : array (N, d)
        Rows of features.
    y : array (N,) or (N, K)
        Class indices, or rows of probabilities.
    reg : float, default 0
        Strength of the L2 penalty on W.
    b : array (K,), optional
        Intercepts, not penalised; None for 0.
    sample_weight : array (N,), optional
        Weights s_i ≥ 0; None for 1.

    Returns
    -------
    array ()
        L in nats.
    array (K, d)
        ∂L/∂W.
    array (K,)
        ∂L/∂b.

    Notes
    -----
    The arguments and results are those of `softmax_loss`; the loops run over samples, classes and features.

    Source: Stanford CS231n, notes on linear classification.
    """
    xp = array_namespace(W, X)
    (K, d), N = W.shape, X.shape[0]
    hard = xp.isdtype(y.dtype, "integral")
    s = [1.0 if sample_weight is None else float(sample_weight[i]) for i in range(N)]
    S = math.fsum(s)
    w = [[float(W[k, j]) for j in range(d)] for k in range(K)]
    loss, grad_b = 0.0, [0.0] * K
    grad_W = [[0.0] * d for _ in range(K)]
    for i in range(N):
        if s[i] == 0:
            continue
        x = [float(X[i, j]) for j in range(d)]
        target = [float(k == int(y[i])) if hard else float(y[i, k]) for k in range(K)]
        z = [0.0 if b is None else float(b[k]) for k in range(K)]
        for k in range(K):
            for j in range(d):
                z[k] += w[k][j] * x[j]
        m = max(z)
        log_total = m + math.log(sum(math.exp(z[k] - m) for k in range(K)))
        for k in range(K):
            if target[k]:
                loss += s[i] / S * target[k] * (log_total - z[k])
            g = s[i] / S * (math.exp(z[k] - log_total) - target[k])
            grad_b[k] += g
            for j in range(d):
                grad_W[k][j] += g * x[j]
    for k in range(K):
        for j in range(d):
            loss += 0.5 * reg * w[k][j] ** 2
            grad_W[k][j] += reg * w[k][j]
    loss, grad_W, grad_b = (xp.asarray(a, dtype=W.dtype, device=device(W)) for a in (loss, grad_W, grad_b))
    return loss, grad_W, grad_b


# Checks ------------------------------------------------------------------------------------------


def numerical_gradient(f: Callable[[Array], Array | float], x: Array, step: float = 1e-5) -> Array:
    """The gradient of f at x by centred differences, (f(x + h e) − f(x − h e)) / 2h for every entry.

    Parameters
    ----------
    f : callable
        From an array like x to a number.
    x : array of any shape
        Where to differentiate.
    step : float, default 1e-5
        h.

    Returns
    -------
    array of the shape of x
        The differences.

    Notes
    -----
    The error is O(h²) from the formula and O(ulp / h) from rounding.

    Source: Nocedal, Wright (2006), section 8.1.
    """
    xp = array_namespace(x)
    flat = xp.reshape(x, (-1,))
    out = []
    for i in range(flat.shape[0]):
        e = one_hot(xp.asarray(i, device=device(x)), flat.shape[0], like=x) * step
        up, down = (f(xp.reshape(flat + sign * e, x.shape)) for sign in (1.0, -1.0))
        out.append(float(up - down) / (2 * step))
    return xp.reshape(xp.asarray(out, dtype=x.dtype, device=device(x)), x.shape)


def gradient_errors(
    f: Callable[[Array], Array | float], gradient: Array, x: Array, steps: Sequence[float]
) -> list[float]:
    """The V-curve: max |analytic − centred difference| / max |analytic| for each step.

    Parameters
    ----------
    f : callable
        From an array like x to a number.
    gradient : array of the shape of x
        The analytic gradient of f at x.
    x : array of any shape
        Where to differentiate.
    steps : sequence of float
        Steps h of the differences.

    Returns
    -------
    list of float
        One relative error per step: it falls with h² and rises with 1/h.

    Notes
    -----
    Source: Nocedal, Wright (2006), section 8.1.
    """
    xp = array_namespace(x)
    scale = float(xp.max(xp.abs(gradient)))
    errors = (xp.max(xp.abs(gradient - numerical_gradient(f, x, h))) for h in steps)
    return [float(e) / (scale or 1.0) for e in errors]


# Second order ------------------------------------------------------------------------------------


def hessian(P: Array, X: Array, sample_weight: Array | None = None) -> Array:
    """The Hessian of Σ_i s_i ℓ_i by W, H = Σ_i s_i (diag p_i − p_iᵀp_i) ⊗ x_iᵀx_i.

    Parameters
    ----------
    P : array (N, K)
        Probabilities of the rows.
    X : array (N, d)
        Rows of features.
    sample_weight : array (N,), optional
        Weights s_i ≥ 0; None for 1.

    Returns
    -------
    array (K·d, K·d)
        Rows and columns in the order of W.reshape(-1). It is of the sum, not the mean.

    Notes
    -----
    H is positive semi-definite, so the loss is convex in W.

    Source: Böhning (1992).
    """
    xp = array_namespace(P, X)
    J = softmax_jacobian(P)
    if sample_weight is not None:
        J = J * sample_weight[:, None, None]
    (N, d), K = X.shape, P.shape[1]
    XX = xp.reshape(X[:, :, None] * X[:, None, :], (N, d * d))
    H = xp.reshape(xp.reshape(J, (N, K * K)).T @ XX, (K, K, d, d))
    return xp.reshape(xp.permute_dims(H, (0, 2, 1, 3)), (K * d, K * d))


def hessian_vector_product(P: Array, X: Array, V: Array, sample_weight: Array | None = None) -> Array:
    """The product of `hessian` with V, without forming the matrix.

    Parameters
    ----------
    P : array (N, K)
        Probabilities of the rows.
    X : array (N, d)
        Rows of features.
    V : array (K, d)
        Direction.
    sample_weight : array (N,), optional
        Weights s_i ≥ 0; None for 1.

    Returns
    -------
    array (K, d)
        Σ_i s_i [p_i ∘ (u_i − ⟨p_i, u_i⟩)]ᵀ x_i with u_i = V x_i.

    Notes
    -----
    Source: Böhning (1992).
    """
    U = softmax_jacobian_product(P, linear(X, V))
    if sample_weight is not None:
        U = U * sample_weight[:, None]
    return linear_gradients(U, X)[0]
