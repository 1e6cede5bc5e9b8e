"""Cases of the panels on a batch: the regularised loss with its gradient, and its second order."""

import mpmath
import numpy as np
from mpmath import mpf

from tests.vectors.explorer_models import DIGITS, rounded, softmax


def drawn():
    """N = 4, D = 2, K = 7 from one seed; NumPy keeps the stream of RandomState as it is."""
    rng = np.random.RandomState(0)
    X, W, V = (rng.randn(rows, 2).round(2).tolist() for rows in (4, 7, 7))
    return {"X": X, "W": W, "V": V, "y": [1, 3, 5, 0]}


def exact(rows, by=1):
    return [[mpf(v) * by for v in row] for row in rows]


def batch():
    """(1/N) Σ ℓ_i without the penalty, ½ reg ‖W‖² and the gradient of their sum, for W times a size."""
    given = drawn()
    for size in (0.0, 0.05, 1.0, 3.0):
        for reg in (0.0, 0.1, 1.0):
            with mpmath.workdps(DIGITS):
                X, W = exact(given["X"]), exact(given["W"], mpf(size))
                P = [softmax(z) for z in scores(X, W)]
                rows = list(zip(X, P, given["y"], strict=True))

                def entry(k, d, rows=rows, W=W, reg=reg):
                    data = mpmath.fsum((p[k] - (k == y)) * x[d] for x, p, y in rows) / 4
                    return data + mpf(reg) * W[k][d]

                values = {
                    "data": -mpmath.fsum(mpmath.log(p[y]) for _, p, y in rows) / 4,
                    "penalty": mpf(reg) / 2 * mpmath.fsum(w * w for row in W for w in row),
                    "P": P,
                    "gradient": [[entry(k, d) for d in range(2)] for k in range(7)],
                }
                case = {"name": f"size {size:g}, reg {reg:g}", **given, "size": size, "reg": reg}
                yield rounded(case | values)


def scores(X, W):
    return [[mpmath.fsum(a * b for a, b in zip(w, x, strict=True)) for w in W] for x in X]


def hessian():
    """H of Σ s_i ℓ_i + ½ reg ‖W‖², its eigenvalues, the largest first, and its product with V."""
    given = drawn()
    for size, reg, s in (
        (0.0, 0.0, [0.25] * 4),
        (1.0, 0.0, [0.25] * 4),
        (1.0, 0.0, [0.25, 0.0, 0.0, 0.0]),
        (3.0, 0.1, [0.25, 0.25, 0.0, 0.25]),
    ):
        with mpmath.workdps(DIGITS):
            X, W, V = exact(given["X"]), exact(given["W"], mpf(size)), exact(given["V"])
            H = mpmath.zeros(14, 14)
            for x, z, weight in zip(X, scores(X, W), s, strict=True):
                p = softmax(z)
                for r in range(14):
                    for c in range(14):
                        (k, d), (m, e) = divmod(r, 2), divmod(c, 2)
                        H[r, c] += mpf(weight) * p[k] * ((k == m) - p[m]) * x[d] * x[e]
            H += mpf(reg) * mpmath.eye(14)
            spectrum = sorted(mpmath.eigsy(H, eigvals_only=True), reverse=True)
            product = H * mpmath.matrix([v for row in V for v in row])
            values = {
                "hessian": H.tolist(),
                "eigenvalues": [v if abs(v) > mpf(10) ** -60 else mpf(0) for v in spectrum],
                "product": [[product[2 * k], product[2 * k + 1]] for k in range(7)],
            }
            case = {"name": f"size {size:g}, reg {reg:g}, s {s}", **given, "size": size, "reg": reg, "s": s}
            yield rounded(case | values)


def along():
    """Value, slope and curvature of either loss at W + tV, by mpmath's derivatives."""
    given = drawn()
    for loss in ("cross_entropy", "squared_error"):
        for reg in (0.0, 0.1):
            case = {"name": f"{loss}, reg {reg:g}", **given, "loss": loss, "reg": reg, "at": []}
            for t in (-2.0, 0.0, 0.5, 3.0):
                with mpmath.workdps(60):
                    value, slope, curvature = mpmath.taylor(_line(given, loss, mpf(reg)), mpf(t), 2)
                    point = {"t": t, "value": value, "slope": slope, "curvature": 2 * curvature}
                    case["at"].append(rounded(point))
            yield case


def _line(given, loss, reg):
    X, W, V = (exact(given[name]) for name in "XWV")

    def value(t):
        at = [[w + t * v for w, v in zip(*rows, strict=True)] for rows in zip(W, V, strict=True)]
        total = mpf(0)
        for z, y in zip(scores(X, at), given["y"], strict=True):
            p = softmax(z)
            error = mpmath.fsum((v - (k == y)) ** 2 for k, v in enumerate(p)) / 2
            total += -mpmath.log(p[y]) if loss == "cross_entropy" else error
        return total / 4 + reg / 2 * mpmath.fsum(w * w for row in at for w in row)

    return value


SECTIONS = {"batch": batch, "hessian": hessian, "along": along}
