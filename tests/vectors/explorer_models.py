"""Cases of the explorer's panels on temperature, labels, the gradient check and the small fit."""

import mpmath
from mpmath import mpf

DIGITS = 120  # 1 − p of a confident row cancels half of them
LOGITS = {
    "worked": [2.0, 1.0, 0.1, -1.0],
    "two": [3.0, 0.0],
    "three": [0.5, 0.25, -1.75],
    "confident": [30.0, 0.0, -0.3, 1.5],
    "ten": [0.0, 1.5, -2.25, 0.75, 3.0, -0.5, 0.1, 2.0, -4.0, 1.0],
    "tie": [1.0, 1.0, -1.0],
}


def rounded(value):
    """float64 of an mpf, of lists of them and of dicts."""
    if isinstance(value, dict):
        return {key: rounded(v) for key, v in value.items()}
    if isinstance(value, list):
        return [rounded(v) for v in value]
    return float(mpmath.nstr(value, 40)) + 0.0 if isinstance(value, mpf) else value


def softmax(z):
    e = [mpmath.exp(v) for v in z]
    return [v / mpmath.fsum(e) for v in e]


def entropy_between(y, p):
    return -mpmath.fsum(a * mpmath.log(b) for a, b in zip(y, p, strict=True) if a)


def labels():
    """softmax(z / T) against a smoothed label and against several labels, each with its own sigmoid."""
    for name, logits in LOGITS.items():
        for T in (1.0, 0.25, 3.0):
            for smoothing in (0.0, 0.1):
                yield rounded(_labels_case(f"{name}, T={T:g}", logits, T, smoothing))


def _labels_case(name, logits, T, smoothing):
    K, label = len(logits), len(logits) - 1
    several = [k % 2 for k in range(K)]
    with mpmath.workdps(DIGITS):
        z = [mpf(v) / mpf(T) for v in logits]
        p = softmax(z)
        q = [mpf(smoothing) / K + (1 - mpf(smoothing) if k == label else 0) for k in range(K)]
        sigmoid = [1 / (1 + mpmath.exp(-v)) for v in z]
        binary = [-mpmath.log(s if y else 1 - s) for s, y in zip(sigmoid, several, strict=True)]
        return {
            "name": name, "logits": logits, "temperature": T, "label": label, "smoothing": smoothing,
            "several": several, "target": q, "p": p,
            "entropy": entropy_between(p, p), "target_entropy": entropy_between(q, q),
            "cross_entropy": entropy_between(q, p),
            "kl": entropy_between(q, p) - entropy_between(q, q),
            "gradient": [a - b for a, b in zip(p, q, strict=True)],
            "smooth_maximum": T * mpmath.log(mpmath.fsum(mpmath.exp(v) for v in z)),
            "sigmoid": sigmoid, "binary": binary,
            "binary_gradient": [s - y for s, y in zip(sigmoid, several, strict=True)],
        }  # fmt: skip


# The gradient check -----------------------------------------------------------------------------


def gradcheck():
    """What the difference quotients would err without any rounding but that of the result."""
    for name, logits in LOGITS.items():
        label = 1
        with mpmath.workdps(DIGITS):
            gradient = [p - (k == label) for k, p in enumerate(softmax([mpf(v) for v in logits]))]
            steps = [mpf(10) ** -n for n in range(9)]
            errors = {
                scheme: [_quotient_error(scheme, logits, label, gradient, mpf(float(h))) for h in steps]
                for scheme in ("centred", "forward")
            }
        case = {"name": name, "logits": logits, "label": label, "gradient": gradient, "steps": steps}
        yield rounded({**case, **errors})


def _loss(z, label):
    return mpmath.log(mpmath.fsum(mpmath.exp(v) for v in z)) - z[label]


def _quotient_error(scheme, logits, label, gradient, h):
    def moved(k, by):
        return _loss([mpf(v) + (by if j == k else 0) for j, v in enumerate(logits)], label)

    def quotient(k):
        if scheme == "centred":
            return (moved(k, h) - moved(k, -h)) / (2 * h)
        return (moved(k, h) - moved(k, 0)) / h

    scale = max(abs(g) for g in gradient)
    return max(abs(quotient(k) - g) for k, g in enumerate(gradient)) / scale


# The small fit ----------------------------------------------------------------------------------

# Three groups, the nearest points of which mix.
POINTS = [
    [-1.5, 0.75, 0], [-1.0, 1.25, 0], [-0.5, 0.5, 0], [-1.25, 0.0, 0], [0.5, 0.25, 0],
    [1.25, 1.0, 1], [0.75, 0.5, 1], [1.5, 0.25, 1], [0.25, 1.25, 1], [-0.25, 0.25, 1],
    [0.0, -1.0, 2], [-0.5, -0.75, 2], [0.75, -1.25, 2], [0.25, -0.25, 2], [1.0, -0.5, 2],
]  # fmt: skip


def newton():
    """argmin (1/N) Σ ℓ_i + ‖W‖²/(2 C N), the intercepts summing to 0."""
    for C in (1.0, 100.0, 0.01):
        yield _fit(f"mixed groups, C={C:g}", POINTS, 3, C)
    apart = [[x, y, k] for x, y, k in POINTS if [x, y, k] not in ([0.5, 0.25, 0], [-0.25, 0.25, 1])]
    yield _fit("groups apart, C=10", apart, 3, 10.0)
    yield _fit("two classes, C=1", [p for p in POINTS if p[2] < 2], 2, 1.0)
    yield _fit("one point each, C=1", [POINTS[0], POINTS[5], POINTS[10]], 3, 1.0)


def _fit(name, points, K, C):
    rows = [([mpf(x), mpf(y), mpf(1)], label) for x, y, label in points]
    with mpmath.workdps(DIGITS):
        theta = mpmath.matrix(3 * K, 1)
        for _ in range(100):
            gradient, hessian = _derivatives(theta, rows, K, C)
            step = mpmath.lu_solve(hessian, gradient)
            size = mpmath.norm(step)
            theta -= step if size < 1 else step / size
            if size < mpf(10) ** -35:
                break
        else:
            raise ArithmeticError(f"{name}: Newton's method has not ended")
        W = [[theta[3 * k], theta[3 * k + 1]] for k in range(K)]
        b = [theta[3 * k + 2] for k in range(K)]
        losses = [_loss(_logits(theta, x, K), label) for x, label in rows]
        value = (mpmath.fsum(losses) + mpmath.fsum(w * w for row in W for w in row) / (2 * C)) / len(rows)
    fitted = {"W": W, "b": b, "objective": value}
    return rounded({"name": name, "points": points, "classes": K, "C": C, **fitted})


def _logits(theta, x, K):
    return [mpmath.fsum(theta[3 * k + j] * x[j] for j in range(3)) for k in range(K)]


def _derivatives(theta, rows, K, C):
    """Of Σ ℓ_i + ‖W‖²/(2C); a term (Σ b)²/2 makes the intercepts unique."""
    n = 3 * K
    gradient, hessian = mpmath.matrix(n, 1), mpmath.matrix(n, n)
    for i in range(n):
        gradient[i] = mpmath.fsum(theta[j] for j in range(2, n, 3)) if i % 3 == 2 else theta[i] / C
        for j in range(n):
            both = i % 3 == j % 3 == 2
            hessian[i, j] = mpf(both) if both or i != j else 1 / mpf(C)
    for x, label in rows:
        p = softmax(_logits(theta, x, K))
        for i in range(n):
            k = i // 3
            gradient[i] += (p[k] - (k == label)) * x[i % 3]
            for j in range(n):
                hessian[i, j] += p[k] * ((k == j // 3) - p[j // 3]) * x[i % 3] * x[j % 3]
    return gradient, hessian


SECTIONS = {"labels": labels, "gradcheck": gradcheck, "newton": newton}
