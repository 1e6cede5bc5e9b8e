"""Cases of the panels on the Jacobian, the collapse to p − y and squared error."""

import mpmath
from mpmath import mpf

from tests.vectors.explorer_models import DIGITS, LOGITS, rounded, softmax


def jacobian():
    """p, diag(p) − pᵀp and its eigenvalues, the largest first."""
    for name, logits in LOGITS.items():
        for T in (1.0, 0.25, 3.0):
            with mpmath.workdps(DIGITS):
                p = softmax([mpf(v / T) for v in logits])
                J = [[pi * ((i == j) - pj) for j, pj in enumerate(p)] for i, pi in enumerate(p)]
                spectrum = sorted(mpmath.eigsy(mpmath.matrix(J), eigvals_only=True), reverse=True)
                # The definitions' own 0: the vector 1 is in the null space.
                values = {"p": p, "jacobian": J, "eigenvalues": [*spectrum[:-1], mpf(0)]}
                case = {"name": f"{name}, T={T:g}", "logits": logits, "temperature": T}
                yield rounded(case | values)


def losses():
    """Both losses and their gradients for the logits, at a label."""
    for name, logits in LOGITS.items():
        for label in (0, len(logits) - 1):
            with mpmath.workdps(DIGITS):
                z = [mpf(v) for v in logits]
                case = {"name": f"{name}, label {label}", "logits": logits, "label": label}
                yield rounded(case | _losses(z, label))


def _losses(z, label):
    p = softmax(z)
    g = [v - (k == label) for k, v in enumerate(p)]
    mean = mpmath.fsum(a * b for a, b in zip(p, g, strict=True))
    return {
        "cross_entropy": -mpmath.log(p[label]),
        "cross_entropy_gradient": g,
        "cross_entropy_gradient_p": [-1 / v if k == label else mpf(0) for k, v in enumerate(p)],
        "squared_error": mpmath.fsum(v * v for v in g) / 2,
        "squared_error_gradient": [a * (b - mean) for a, b in zip(p, g, strict=True)],
    }


def descent():
    """Where 10 and 200 steps of gradient descent on the logits lead, for either loss."""
    for name, logits in (("near", [0.5, 0.25, -1.75]), ("wrong", [-4.0, 4.0, 0.0])):
        for rate in (0.5, 2.0):
            with mpmath.workdps(DIGITS):
                z = {loss: [mpf(v) for v in logits] for loss in ("cross_entropy", "squared_error")}
                case = {"name": f"{name}, rate {rate:g}", "logits": logits, "label": 0, "rate": rate}
                for step in range(1, 201):
                    for loss, at in z.items():
                        g = _losses(at, 0)[f"{loss}_gradient"]
                        z[loss] = [v - mpf(rate) * d for v, d in zip(at, g, strict=True)]
                    if step in (10, 200):
                        case[f"after_{step}"] = rounded(dict(z))
                yield case


SECTIONS = {"jacobian": jacobian, "losses": losses, "descent": descent}
