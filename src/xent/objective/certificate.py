"""How far from the optimum: rigorous bounds on F(θ) − F*, in nats. The third is in `minorant`.

F(W, b) = (1/S) Σ s_i ℓ_i + (λ/2) ‖W‖², features centred (x̃ = x − x̄, the mean folded into b).

1. *Dual.* Let rows p'_i lie on the simplex with Σ s_i (p'_i − y_i) = 0 (required only with an
   intercept). Then F* ≥ (1/S) Σ s_i H(p'_i) − ‖G'‖² / (2λ), G' = (1/S) Σ s_i (p'_i − y_i) x̃_iᵀ. We take
   p'_i = (1 − ε) p_i + ε r, with ε and r so that the totals are right. It needs only what one
   pass gives. Loose where λ is small against the curvature: badly scaled features.
2. *Self-concordance.* Along any Δ the third derivative is at most R times the second, with
   R = max_i range_k (Δ x̃_i)_k ≤ c ‖Δ‖_H. Integrating twice, with ν² = ∇ᵀH⁻¹∇ and u = cν < 1,
   F − F* ≤ [u + (1 − u) log(1 − u)] / c², which tends to ν²/2. Needs a factored Hessian; blind to scale.

Proofs: docs/design/0002-certificates.md. Sources: for 1, S. Shalev-Shwartz, T. Zhang, "Stochastic dual
coordinate ascent", JMLR 14 (2013); for 2, F. Bach, "Self-concordant analysis for logistic regression",
Electron. J. Stat. 4 (2010).
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from .._types import Float


def dual_lower_bound(
    mean_entropy: float,
    probability: Float | None,
    share: Float,
    grad_W: Float,
    class_x: Float,
    penalties: Float | float,
    offset: tuple[Float, float] | None = None,
) -> float:
    """A lower bound on F* in nats, at least 0, from one pass at any (W, b).

    mean_entropy (1/S) Σ s_i H(p_i), with offsets o_i (1/S) Σ s_i [H(p_i) + ⟨p_i − y_i, o_i⟩]; probability p̄
    (K,) = (1/S) Σ s_i p_i, or None without an intercept;
    share ȳ (K,) the weighted class shares; grad_W (K, d) = (1/S) Σ s_i (p_i − y_i) x̃_iᵀ without the penalty;
    class_x (K, d) = (1/S) Σ s_i y_i x̃_iᵀ; penalties λ ≥ 0, a number or (K, d) (if any is 0,
    only the trivial bound 0 is left); offset (1/S) Σ s_i o_i (K,) and (1/S) Σ s_i ⟨y_i, o_i⟩.
    """
    if not np.all(penalties):
        return 0.0
    products = dual_products(grad_W, class_x, penalties)
    return dual_from_products(mean_entropy, probability, share, products, offset)


def gap(value: float, bound: float | None) -> float:
    """What a lower bound on F* proves of F − F*, nats ≥ 0; inf where the bound is None or not finite."""
    proven = math.inf if bound is None else value - bound
    return max(0.0, proven) if math.isfinite(proven) else math.inf


def dual_products(grad_W: Float, class_x: Float, penalties: Float | float) -> Float:
    """‖G‖², ⟨G, C⟩ and ‖C‖², (3,), of G = grad_W and C = class_x, every term divided by its λ."""
    with np.errstate(over="ignore"):
        if np.ndim(penalties):
            G, C = grad_W / penalties, class_x / penalties
            return np.array([np.sum(G * grad_W), np.sum(G * class_x), np.sum(C * class_x)])
        pairs = ((grad_W, grad_W), (grad_W, class_x), (class_x, class_x))
        return np.array([np.einsum("kj,kj->", a, b) for a, b in pairs]) / penalties


def dual_from_products(
    mean_entropy: float,
    probability: Float | None,
    share: Float,
    products: Float,
    offset: tuple[Float, float] | None = None,
) -> float:
    """`dual_lower_bound` from `products`, the sums over coefficients that `dual_products` makes."""
    if not math.isfinite(mean_entropy):
        return 0.0
    epsilon, bound = balanced(mean_entropy, probability, share, offset)
    GG, GC, CC = products.tolist()
    GG = (1 - epsilon) ** 2 * GG - 2 * epsilon * (1 - epsilon) * GC + epsilon**2 * CC
    return max(0.0, bound - 0.5 * GG) if math.isfinite(GG) else 0.0


def balanced(
    mean_entropy: float,
    probability: Float | None,
    share: Float,
    offset: tuple[Float, float] | None = None,
) -> tuple[float, float]:
    """ε, and a lower bound in nats on the mean entropy of the rows p' = (1 − ε) p + ε r, whose class totals
    are right.

    Their residuals have the gradient (1 − ε) grad_W − ε class_x: r meets the centred features' mean, 0.
    """
    if probability is None:
        return 0.0, mean_entropy
    over = probability > share
    epsilon = float((1 - share[over] / probability[over]).max(initial=0.0))
    if epsilon <= 0:
        return 0.0, mean_entropy
    r = np.maximum((share - (1 - epsilon) * probability) / epsilon, 0.0)
    # An ε of rounding alone can leave nothing of r; shares are then what p̄ is, to rounding.
    r = r / r.sum() if r.any() else share
    entropy_r = -float(np.sum(r * np.log(np.where(r > 0, r, 1.0))))
    if offset is not None:
        entropy_r += float(r @ offset[0]) - offset[1]
    return epsilon, (1 - epsilon) * mean_entropy + epsilon * entropy_r  # entropy is concave


def self_concordant_gap(decrement: float, reach: float) -> float:
    """[u + (1 − u) log(1 − u)] / c² with ν = decrement, c = reach, u = cν: a bound on F − F* in nats.

    +inf where cν ≥ 1: too far from the optimum for the bound to say anything.
    """
    u = reach * decrement
    if not u < 1:
        return math.inf
    if u < 1e-4:  # the series u²/2 + u³/6 + u⁴/12 + …; the closed form cancels here
        return decrement * decrement * (0.5 + u / 6 + u * u / 6)
    return (u + (1 - u) * math.log1p(-u)) / (reach * reach)


def norm(v: Float, solved: Float, H: Float, solve: Callable[[Float], Float]) -> float:
    """√(vᵀH⁻¹v) of v (m,), or √Σ over columns of v (m, r); `solved` is solve(v), H⁻¹v but for rounding. What
    rounding left unsolved counts in full, so that the norm is too large if anything."""
    left = v - H @ solved
    unsolved = abs(float(np.vdot(left, solve(left))))
    return math.sqrt(max(0.0, float(np.vdot(v, solved)))) + math.sqrt(unsolved)


def gap_within_reach(
    decrement: float, reach: Callable[[Callable[[Float, Float], float], Float], float], forms: Float
) -> float:
    """`self_concordant_gap` with c from `forms`. `reach`: a `MeanLoss.reach`, asked once or twice."""
    rough = reach(rough_reach, forms)
    if rough * decrement < 0.03:  # within 1 % of what the least c would give
        return self_concordant_gap(decrement, rough)
    return self_concordant_gap(decrement, reach(pairwise_reach, forms))


def reach_forms(inverse: Float) -> Float:
    """F (K', D, D) with ‖(e_k − 1/K) ⊗ x‖²_{H⁻¹} = xᵀ F_k x, inverse being H⁻¹ as (K, D, K, D). K' = K,
    but 1 for two classes, whose forms are the same."""
    K = inverse.shape[0]
    mean_row = inverse.mean(axis=2)
    overall = mean_row.mean(axis=0)
    ks = range(K if K > 2 else 1)
    return np.stack([inverse[k, :, k, :] - mean_row[k] - mean_row[k].T + overall for k in ks])


def pairwise_reach(rows: Float, forms: Float) -> float:
    """An upper bound on c = max_{i,k,l} ‖(e_k − e_l) ⊗ x̃_i‖_{H⁻¹} over rows (n, D), by `reach_forms`.

    e_k − e_l = (e_k − 1/K) − (e_l − 1/K), so by the triangle inequality the two largest
    a_ik = ‖(e_k − 1/K) ⊗ x̃_i‖_{H⁻¹} of a row will do: K quadratic forms instead of K(K − 1)/2, exact for
    K = 2, and c enters the bound only at second order.
    """
    largest, second = np.zeros((2, len(rows)))
    for form in forms:
        size = np.einsum("ij,ij->i", rows @ form, rows)
        np.maximum(second, np.minimum(size, largest), out=second)
        np.maximum(largest, size, out=largest)
    return float((np.sqrt(largest) + np.sqrt(largest if len(forms) == 1 else second)).max())


def rough_reach(rows: Float, forms: Float) -> float:
    """A larger upper bound than `pairwise_reach`, at one product per number of the rows: xᵀFx ≤ λ Σ_j f_j
    x_j².

    f is the largest diagonal of the forms; λ is the largest row sum of |F| in units of √f.
    """
    f = np.einsum("kjj->kj", forms).max(axis=0)
    units = 1 / np.sqrt(np.where(f > 0, f, np.inf))
    most = float(np.abs(forms * units[:, None] * units).sum(axis=2).max(initial=0.0))
    return 2 * math.sqrt(most * float(((rows * rows) @ f).max(initial=0.0)))
