"""The mathematics as in the derivation: plain array-API code, no dispatch, no threads, no in-place.

It is the oracle for everything else in xent, and what runs where there is no native extension. Every
function takes NumPy, PyTorch or any other array-API arrays and returns the same kind. Classes are on
the last axis; K classes, D features, N samples; losses are in nats.

Design
 a. z_k - m (m the largest logit) is formed before any exponential, so nothing overflows.
 b. log sum exp is m + log1p(R), R the sum over all classes *but the largest*. A confident row
    (R < 1e-16) keeps its relative accuracy; m + log(1 + R) would return exactly m.
 c. The gradient at the label is minus the sum of the other entries, never p_y - 1, for the same reason.
 d. A logit of -inf is a masked class: probability 0, gradient 0, and 0 log 0 = 0.
    A row with nothing but -inf has no distribution: NaN.
 e. Nothing is checked: a label outside [0, K) is the caller's. `xent.cross_entropy` looks.

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
from typing import Any

from array_api_compat import array_namespace, device

Array = Any

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


# 1. Linear scores -------------------------------------------------------------------------------


def linear(x: Array, W: Array, b: Array | None = None) -> Array:
    """Logits z = x Wᵀ + b. x (N, D), W (K, D), b (K,) → (N, K).

    Source: Hastie, Tibshirani, Friedman (2009), section 4.4.
    """
    z = x @ W.T
    return z if b is None else z + b


def linear_gradients(G: Array, x: Array) -> tuple[Array, Array]:
    """From G = ∂L/∂Z (N, K) and x (N, D): ∂L/∂W = Gᵀ x (K, D) and ∂L/∂b = Σ_i G_i (K,).

    Source: Hastie, Tibshirani, Friedman (2009), section 4.4.
    """
    xp = array_namespace(G, x)
    return G.T @ x, xp.sum(G, axis=0)


def predict(z: Array) -> Array:
    """The decision argmax_k z_k, (..., K) → (...). Softmax and temperature leave it as it is.

    Source: Hastie, Tibshirani, Friedman (2009), section 4.4.
    """
    return array_namespace(z).argmax(z, axis=-1)


def decision_boundary(W: Array, b: Array, k: int, l: int) -> tuple[Array, Array]:  # noqa: E741
    """Where classes k and l tie: the hyperplane {x : w·x + c = 0}, w = W_k − W_l (D,), c = b_k − b_l.

    Source: Hastie, Tibshirani, Friedman (2009), section 4.4.
    """
    return W[k, :] - W[l, :], b[k] - b[l]


# 2, 3. Softmax and its limit --------------------------------------------------------------------


def _shifted(z: Array) -> tuple[Any, Array, Array, Array]:
    """xp, m (..., 1), e = exp(z − m), and log1p(R) with R = Σ e over all classes but the first largest."""
    xp = array_namespace(z)
    m = xp.max(z, axis=-1, keepdims=True)
    finite = xp.where(xp.isinf(m), xp.zeros_like(m), m)
    e = xp.exp(z - finite)
    top = one_hot(xp.argmax(z, axis=-1), z.shape[-1], like=z) > 0
    rest = xp.sum(xp.where(top, xp.zeros_like(e), e), axis=-1, keepdims=True)
    return xp, m, e, xp.log1p(rest)


def logsumexp(z: Array) -> Array:
    """log Σ_k exp(z_k), computed as m + log1p(Σ_{k ≠ argmax} exp(z_k − m)). (..., K) → (...).

    −inf for a row of nothing but −inf, +inf if any logit is.

    Source: Blanchard, Higham, Higham (2021).
    """
    xp, m, _, log1p_rest = _shifted(z)
    return xp.squeeze(m + log1p_rest, axis=-1)


def log_softmax(z: Array) -> Array:
    """log p_k = z_k − log Σ_j exp(z_j). (..., K) → (..., K), finite wherever the logits are.

    Source: Blanchard, Higham, Higham (2021).
    """
    _, m, _, log1p_rest = _shifted(z)
    return (z - m) - log1p_rest


def softmax(z: Array, temperature: float = 1.0) -> Array:
    """p_k = exp(z_k / T) / Σ_j exp(z_j / T). (..., K) → (..., K), rows sum to 1.

    Unchanged when a constant is added to every z. T → 0 tends to `hardmax`, T → ∞ to uniform.
    Raises ValueError unless T > 0.

    Source: Bridle (1989).
    """
    if not temperature > 0:
        raise ValueError(f"temperature must be > 0, got {temperature}; its limit 0 is hardmax")
    xp, _, e, _ = _shifted(z / temperature)
    return e / xp.sum(e, axis=-1, keepdims=True)


def hardmax(z: Array) -> Array:
    """One at the largest score (the first of equals), else zero: the limit of softmax(z / T) as T → 0.

    Constant almost everywhere, so its gradient is 0 and teaches nothing. (..., K) → (..., K).

    Source: Goodfellow, Bengio, Courville (2016), section 6.2.2.
    """
    return one_hot(predict(z), z.shape[-1], like=z)


# 4. The Jacobian --------------------------------------------------------------------------------


def softmax_jacobian(p: Array) -> Array:
    """∂p_i/∂z_j = p_i (δ_ij − p_j), that is diag(p) − pᵀp. p (..., K) → (..., K, K).

    Symmetric, rows sum to 0, rank K − 1, null vector 1. The diagonal is p_i Σ_{j≠i} p_j.

    Source: Bridle (1989).
    """
    xp = array_namespace(p)
    K = p.shape[-1]
    eye = xp.eye(K, dtype=p.dtype, device=device(p))
    others = p @ (1 - eye)
    return eye * (p * others)[..., None] - (1 - eye) * p[..., :, None] * p[..., None, :]


def softmax_jacobian_quotient_rule(z: Array) -> Array:
    """The Jacobian of one row z (K,) by the quotient rule, entry by entry: (K, K).

    With e_i = exp(z_i) and S = Σ e, ∂(e_i/S)/∂z_j is (e_i S − e_i e_i)/S² where i = j and (0 − e_i e_j)/S²
    where i ≠ j. The first is e_i (S − e_i)/S², S − e_i the sum of the others, which does not cancel.

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
    """The Jacobian of one row z (K,) by the logarithmic derivative: (K, K).

    ∂p_i/∂z_j = p_i ∂log p_i/∂z_j and ∂log p_i/∂z_j = δ_ij − p_j; 1 − p_i is the sum of the others.

    Source: Bridle (1989).
    """
    xp = array_namespace(z)
    p = softmax(z)
    eye = xp.eye(z.shape[0], dtype=z.dtype, device=device(z))
    others = p @ (1 - eye)
    dlogp = eye * others - (1 - eye) * p[None, :]
    return p[:, None] * dlogp


def softmax_jacobian_product(p: Array, v: Array) -> Array:
    """(diag(p) − pᵀp) v = p ∘ (v − ⟨p, v⟩), without forming the matrix; (..., K) each.

    The Jacobian is symmetric: this is both its product with a vector and a vector's product with it.
    It takes constants to 0, so v may lose one first: its value where p is largest, which would cancel there.

    Source: Bridle (1989).
    """
    xp = array_namespace(p, v)
    top = one_hot(xp.argmax(p, axis=-1), p.shape[-1], like=p) > 0
    u = v - xp.sum(xp.where(top, v, xp.zeros_like(v)), axis=-1, keepdims=True)
    return p * (u - xp.sum(p * u, axis=-1, keepdims=True))


# 5. Targets -------------------------------------------------------------------------------------


def one_hot(y: Array, K: int, *, like: Array) -> Array:
    """Class indices y (...) → rows (..., K) with a single 1, in the dtype and on the device of `like`.

    Source: Hastie, Tibshirani, Friedman (2009), section 4.4.
    """
    xp = array_namespace(y, like)
    hits = xp.asarray(y)[..., None] == xp.arange(K, dtype=y.dtype, device=device(like))
    return xp.astype(hits, like.dtype)


def _target_rows(z: Array, y: Array) -> tuple[Any, Array]:
    xp = array_namespace(z, y)
    if xp.isdtype(y.dtype, "integral"):
        return xp, one_hot(y, z.shape[-1], like=z)
    return xp, y


def sigmoid(z: Array) -> Array:
    """σ(z) = 1 / (1 + exp(−z)), elementwise: several-of-K labels, each with its own. Never overflows.

    Source: Goodfellow, Bengio, Courville (2016), section 6.2.2.
    """
    xp = array_namespace(z)
    e = xp.exp(-xp.abs(z))
    return xp.where(z >= 0, 1 / (1 + e), e / (1 + e))


def binary_cross_entropy(z: Array, y: Array) -> Array:
    """−y log σ(z) − (1 − y) log(1 − σ(z)), elementwise, y in [0, 1]; any shape.

    Computed as (1 − y) s(z) + y s(−z), s(z) = log(1 + exp z) = max(z, 0) + log1p(exp(−|z|)).

    Source: Goodfellow, Bengio, Courville (2016), section 6.2.2.
    """
    xp = array_namespace(z, y)
    tail = xp.log1p(xp.exp(-xp.abs(z)))
    zero = xp.zeros_like(z)
    return _zero_log(1 - y, xp.maximum(z, zero) + tail) + _zero_log(y, xp.maximum(-z, zero) + tail)


def binary_cross_entropy_gradient(z: Array, y: Array) -> Array:
    """∂/∂z of `binary_cross_entropy`, elementwise: σ(z) − y, as (1 − y) σ(z) − y σ(−z) to keep relative
    accuracy.

    Source: Goodfellow, Bengio, Courville (2016), section 6.2.2.
    """
    return (1 - y) * sigmoid(z) - y * sigmoid(-z)


# 6, 7. Cross-entropy and its gradient -----------------------------------------------------------


def _zero_log(weights: Array, logs: Array) -> Array:
    """weights · logs with 0 · (±inf) = 0."""
    xp = array_namespace(weights, logs)
    return weights * xp.where(weights == 0, xp.zeros_like(logs), logs)


def cross_entropy(z: Array, y: Array) -> Array:
    """ℓ = −Σ_k y_k log p_k from logits z (..., K): one loss a row, (...), in nats, ≥ 0.

    y is class indices (...) or rows of probabilities (..., K). For a class index
    ℓ = log Σ_k exp(z_k − z_y): log1p(Σ_{k≠y} exp(z_k − z_y)) where the label is the largest logit, so a
    confident correct row keeps its relative accuracy. A masked label (−inf) costs +inf.

    Source: Bridle (1989).
    """
    xp, Y = _target_rows(z, y)
    return xp.sum(_zero_log(Y, -log_softmax(z)), axis=-1)


def cross_entropy_gradient(z: Array, y: Array) -> Array:
    """∂ℓ/∂z = p − y, (..., K) for logits (..., K); y as in `cross_entropy`. Rows y that do not sum to 1
    give (Σ_k y_k) p − y.

    −1/p_label times the Jacobian collapses to this. Where y is largest the entry is
    Σ_{j≠k} (y_j − p_j), for one-hot y −Σ_{j≠y} p_j: the same number, without 1 − 1.

    Source: Bridle (1989).
    """
    xp, Y = _target_rows(z, y)
    p = softmax(z) * xp.sum(Y, axis=-1, keepdims=True)
    top = one_hot(xp.argmax(Y, axis=-1), z.shape[-1], like=z) > 0
    others = xp.where(top, xp.zeros_like(p), p - Y)
    return xp.where(top, -xp.sum(others, axis=-1, keepdims=True), others)


def cross_entropy_gradient_p(p: Array, y: Array) -> Array:
    """∂ℓ/∂p = −y / p: −1/p_label at the label, else 0. p (..., K), y as in `cross_entropy`.

    Source: Bridle (1989).
    """
    xp, Y = _target_rows(p, y)
    return xp.where(Y == 0, xp.zeros_like(p), -Y / xp.where(Y == 0, xp.ones_like(p), p))


def cross_entropy_between(y: Array, p: Array) -> Array:
    """H(y, p) = −Σ_k y_k log p_k of two distributions (..., K) → (...), with 0 log 0 = 0.

    H(y, p) = H(y) + KL(y‖p) ≥ H(y).

    Source: Cover, Thomas (2006), chapter 2.
    """
    xp = array_namespace(y, p)
    safe = xp.where(y == 0, xp.ones_like(p), p)
    return -xp.sum(y * xp.log(safe), axis=-1)


def entropy(p: Array) -> Array:
    """H(p) = −Σ_k p_k log p_k, (..., K) → (...), between 0 and log K.

    Source: Cover, Thomas (2006), chapter 2.
    """
    return cross_entropy_between(p, p)


def kl_divergence(y: Array, p: Array) -> Array:
    """KL(y‖p) = Σ_k y_k log(y_k / p_k) ≥ 0, (..., K) → (...); 0 log 0 = 0, +inf where p_k = 0 < y_k.

    Source: Cover, Thomas (2006), chapter 2.
    """
    xp = array_namespace(y, p)
    none = y == 0
    ratio = xp.where(none, xp.ones_like(y), y) / xp.where(none, xp.ones_like(p), p)
    return xp.sum(y * xp.log(ratio), axis=-1)


# 8. Squared error instead -----------------------------------------------------------------------


def squared_error(z: Array, y: Array) -> Array:
    """½ Σ_k (p_k − y_k)² with p = softmax(z); z (..., K), y as in `cross_entropy`; (...).

    Source: Golik, Doetsch, Ney (2013).
    """
    xp = array_namespace(z)
    return 0.5 * xp.sum(cross_entropy_gradient(z, y) ** 2, axis=-1)


def squared_error_gradient(z: Array, y: Array) -> Array:
    """∂/∂z of `squared_error`: (p − y)(diag(p) − pᵀp), (..., K). It vanishes when p is confidently wrong.

    Source: Golik, Doetsch, Ney (2013).
    """
    return softmax_jacobian_product(softmax(z), cross_entropy_gradient(z, y))


# 9. The regularised linear softmax loss, twice --------------------------------------------------


def softmax_loss(
    W: Array,
    X: Array,
    y: Array,
    reg: float = 0.0,
    *,
    b: Array | None = None,
    sample_weight: Array | None = None,
) -> tuple[Array, Array, Array]:
    """L = (1/S) Σ_i s_i ℓ_i + ½ reg ‖W‖² and its gradient, without loops over samples or classes.

    W (K, D), X (N, D), y (N,) class indices or (N, K) rows, b (K,) (not penalised), sample_weight (N,),
    S = Σ s_i. Returns L, ∂L/∂W (K, D), ∂L/∂b (K,). A row of weight 0 adds exactly 0 even if it holds NaN.

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
    """`softmax_loss` by explicit loops over samples, classes and features, in Python floats.

    The same arguments and results: W (K, D), X (N, D), y (N,) or (N, K) → L, ∂L/∂W (K, D), ∂L/∂b (K,).

    Source: Stanford CS231n, notes on linear classification.
    """
    xp = array_namespace(W, X)
    (K, D), N = W.shape, X.shape[0]
    hard = xp.isdtype(y.dtype, "integral")
    s = [1.0 if sample_weight is None else float(sample_weight[i]) for i in range(N)]
    S = math.fsum(s)
    w = [[float(W[k, j]) for j in range(D)] for k in range(K)]
    loss, grad_b = 0.0, [0.0] * K
    grad_W = [[0.0] * D for _ in range(K)]
    for i in range(N):
        if s[i] == 0:
            continue
        x = [float(X[i, j]) for j in range(D)]
        target = [float(k == int(y[i])) if hard else float(y[i, k]) for k in range(K)]
        z = [0.0 if b is None else float(b[k]) for k in range(K)]
        for k in range(K):
            for j in range(D):
                z[k] += w[k][j] * x[j]
        m = max(z)
        log_total = m + math.log(sum(math.exp(z[k] - m) for k in range(K)))
        for k in range(K):
            if target[k]:
                loss += s[i] / S * target[k] * (log_total - z[k])
            g = s[i] / S * (math.exp(z[k] - log_total) - target[k])
            grad_b[k] += g
            for j in range(D):
                grad_W[k][j] += g * x[j]
    for k in range(K):
        for j in range(D):
            loss += 0.5 * reg * w[k][j] ** 2
            grad_W[k][j] += reg * w[k][j]
    loss, grad_W, grad_b = (xp.asarray(a, dtype=W.dtype, device=device(W)) for a in (loss, grad_W, grad_b))
    return loss, grad_W, grad_b


# 10. Checks -------------------------------------------------------------------------------------


def numerical_gradient(f: Callable[[Array], Any], x: Array, step: float = 1e-5) -> Array:
    """Centred differences (f(x + h e) − f(x − h e)) / 2h for every entry of x, of any shape.

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
    f: Callable[[Array], Any], gradient: Array, x: Array, steps: Sequence[float]
) -> list[float]:
    """The V-curve: max |analytic − centred difference| / max |analytic| for each step.

    Source: Nocedal, Wright (2006), section 8.1.
    """
    xp = array_namespace(x)
    scale = float(xp.max(xp.abs(gradient)))
    errors = (xp.max(xp.abs(gradient - numerical_gradient(f, x, h))) for h in steps)
    return [float(e) / (scale or 1.0) for e in errors]


# 12. Second order -------------------------------------------------------------------------------


def hessian(P: Array, X: Array, sample_weight: Array | None = None) -> Array:
    """H = Σ_i s_i (diag p_i − p_iᵀp_i) ⊗ x_iᵀx_i, (K·D, K·D), rows in the order of W.reshape(-1).

    Positive semi-definite, so the loss is convex in W. P (N, K), X (N, D); a sum, not a mean.

    Source: Böhning (1992).
    """
    xp = array_namespace(P, X)
    J = softmax_jacobian(P)
    if sample_weight is not None:
        J = J * sample_weight[:, None, None]
    (N, D), K = X.shape, P.shape[1]
    XX = xp.reshape(X[:, :, None] * X[:, None, :], (N, D * D))
    H = xp.reshape(xp.reshape(J, (N, K * K)).T @ XX, (K, K, D, D))
    return xp.reshape(xp.permute_dims(H, (0, 2, 1, 3)), (K * D, K * D))


def hessian_vector_product(P: Array, X: Array, V: Array, sample_weight: Array | None = None) -> Array:
    """H V for V (K, D) without forming H: Σ_i s_i [p_i ∘ (u_i − ⟨p_i, u_i⟩)]ᵀ x_i, u_i = V x_i. (K, D).

    Source: Böhning (1992).
    """
    U = softmax_jacobian_product(P, linear(X, V))
    if sample_weight is not None:
        U = U * sample_weight[:, None]
    return linear_gradients(U, X)[0]
