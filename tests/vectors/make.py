"""Writes the exact values beside it: `.venv/bin/python -m tests.vectors.make`. README.md says what they mean.

Every number comes from the definitions themselves, p = exp z / Σ exp z, ℓ = −Σ q log p and
∂ℓ/∂z = (Σ q) p − q, with so many digits that no cancellation in them matters, and is rounded once. The
formulas that xent uses to avoid the cancellations are not used here: they are what is tested.
"""

import json
import math
import struct
from collections import Counter
from functools import cache
from pathlib import Path

import mpmath
from mpmath import mpf

FOLDER = Path(__file__).parent
INF, NAN = math.inf, math.nan
MARGINS = [0.0, 0.1, -0.1, 1.0, -1.0, 5.0, -5.0, 17.0, 36.0, 80.0, -80.0, 100.0, -100.0, 1e3, -1e3, 1e4, -1e4]
# Vector ends, powers of two, the ends of the rows, and the two maxima (0, 65536) of the formula.
AT = [0, 1, 2, 3, 7, 8, 15, 16, 17, 31, 63, 64, 255, 512, 998, 999, 1023, 1024, 4096, 65535, 65536, 99999]


def f32(value):
    """The float32 nearest to `value`, as a Python float."""
    return struct.unpack("f", struct.pack("f", value))[0]


# The cases --------------------------------------------------------------------------------------


def case(name, logits, weight=1.0, **target):
    return {"name": name, "logits": logits, **target, "weight": weight}


def spread(K, margin, label, fit=f32):
    """The label's logit is `margin`, the others go down from 0 in steps of 0.3 as `fit` rounds them, so that
    the difference of the two does not fit float32 (or float64, with float)."""
    others = [0.0 - fit(0.3 * j) for j in range(K - 1)]
    return [*others[:label], margin, *others[label:]]


def formula(K, divisor=4096):
    return {"classes": K, "multiplier": 2654435761, "modulus": 65536, "divisor": divisor}


def margins():
    yield case("one class", [3.5], label=0)
    for K, label in ((2, 0), (3, 1), (10, 7)):
        for margin in MARGINS:
            yield case(f"K={K}, margin {margin:g}", spread(K, f32(margin), label), label=label)
    for K, label in ((3, 2), (10, 4)):
        for margin in (0.1, 17.1, 36.1, 80.1, -80.1, 600.1):
            yield case(f"K={K}, margin {margin:g}, float64", spread(K, margin, label, float), label=label)


def many_classes():
    for K, labels in ((1000, (0, 999, 64)), (100_000, (65536, 31))):
        for label in labels:
            yield case(f"K={K}, label {label}", formula(K), label=label)
    # Logits down to -128 and -1024: float32's, then float64's, whole range of exp.
    yield case("K=1000, range 128, label 0", formula(1000, 512), label=0)
    yield case("K=1000, range 128, label 999", formula(1000, 512), label=999)
    yield case("K=1000, range 1024, label 0", formula(1000, 64), label=0)
    yield case("K=1000, smoothed", formula(1000), label=17, label_smoothing=0.1)
    indices, values = [998, 0, 512, 17, 3], [0.5, 0.25, 0.125, 0.0625, 0.0625]
    yield case("K=1000, top 5", formula(1000), top={"indices": indices, "values": values})


def edges():
    for label, kind in ((4, "the label"), (2, "not the label")):
        row = [100.0 if k == 4 else 0.0 for k in range(10)]
        yield case(f"dominant class, {kind}", row, label=label)
        yield case(f"dominant class far from 0, {kind}", [v + 1e5 for v in row], label=label)
    third = f32(1 / 3)
    for K in (2, 3, 10):
        yield case(f"tie of all {K}", [third] * K, label=K - 1)
    for label in (1, 3, 0):
        yield case(f"tie of 1 and 3, label {label}", [-2.0, third, 0.0, third, -0.5], label=label)
    yield case("tie of 1 and 3 by 40, label 3", [-40.0, third, -40.0, third, -50.0], label=3)
    yield case("masked: one of three", [0.5, -INF, -1.0], label=0)
    yield case("masked: all but the label", [-INF, -INF, 2.0], label=2)
    yield case("masked: confident", [36.0, -INF, f32(-0.3), -INF], label=0)
    yield case("masked: wrong by 80", [80.0, -INF, f32(-0.3), -INF], label=2)
    yield case("masked: the label, which costs inf", [0.5, -INF, -1.0], label=1)
    for gap in (88.0, 95.0, 103.0):
        yield case(f"subnormal in float32, gap {gap:g}", [gap, 0.0, f32(0.3)], label=0)
        yield case(f"subnormal in float32, gap {gap:g}, wrong", [gap, 0.0, f32(0.3)], label=1)
    for gap in (709.0, 720.0, 740.0, 744.0):
        yield case(f"subnormal in float64, gap {gap:g}", [gap, 0.0, 0.3], label=0)
        yield case(f"subnormal in float64, gap {gap:g}, wrong", [gap, 0.0, 0.3], label=1)
    for weight in (0.1, 2.5, 1e-6, 2.0**40):
        yield case(f"weight {weight:g}", [17.0, 0.0, f32(-0.3)], weight, label=0)
        yield case(f"weight {weight:g}, wrong", [17.0, 0.0, f32(-0.3)], weight, label=2)
    yield case("ignored: weight 0", [0.5, 2.0, -1.0], 0.0, label=0)
    yield case("ignored: weight 0 and NaN", [NAN, NAN, NAN], 0.0, label=0)
    yield case("ignored: weight 0, NaN and no label", [NAN, 0.0, NAN], 0.0, label=-5)
    yield case("ignored: ignore_index and NaN", [NAN, NAN, NAN], label=-100, ignore_index=-100)
    yield case("ignored: ignore_index inside", [0.5, NAN, 1.0], label=1, ignore_index=1)
    yield case("not ignored: another ignore_index", [0.5, 2.0, -1.0], label=0, ignore_index=1)


def targets():
    # Fractions of two: the rows sum to 1 exactly (0.999999 + 0.000001 does not, in float64).
    tiny = 2.0**-20
    for margin in (0.0, 5.0, 36.0, -80.0, 1e4):
        yield case(f"one-hot, margin {margin:g}", spread(3, margin, 1), target=[0.0, 1.0, 0.0])
    for margin in (0.0, 1.0, 36.0, -36.0, 100.0, -1e4):
        yield case(f"two-point, K=2, margin {margin:g}", [margin, 0.0], target=[0.75, 0.25])
        yield case(f"two-point, K=3, margin {margin:g}", spread(3, margin, 1), target=[0.0, 0.75, 0.25])
        yield case(f"uniform, K=4, margin {margin:g}", spread(4, margin, 2), target=[0.25] * 4)
    for K in (3, 10):  # sums to 1 but for a rounding
        yield case(f"uniform, K={K}, equal logits", [0.0] * K, target=[1 / K] * K)
        yield case(f"uniform, K={K}, margin 5", spread(K, 5.0, 1), target=[1 / K] * K)
    yield case("two-point, prediction all but equal", [0.0, 0.0, -40.0], target=[0.5, 0.5, 0.0])
    for margin in (0.0, 13.5, 40.0, 100.0, 1e3, -40.0):
        yield case(f"confident, K=2, margin {margin:g}", [margin, 0.0], target=[1 - tiny, tiny])
        yield case(f"confident, K=3, margin {margin:g}", spread(3, margin, 2), target=[tiny, 0.0, 1 - tiny])
    yield case("confident to 2^-40, margin 100", [0.0, 100.0], target=[2.0**-40, 1 - 2.0**-40])
    yield case("soft, masked", [0.5, -INF, -1.0, 2.0], target=[0.25, 0.0, 0.5, 0.25])
    yield case("soft, masked, confident", [40.0, -INF, f32(-0.3), -INF], target=[1 - tiny, 0.0, tiny, 0.0])
    yield case("soft, zero at far classes", [0.0, -1e4, 1.0, -1e3], target=[0.5, 0.0, 0.5, 0.0])
    yield case("soft, weight 2.5", spread(3, 36.0, 0), 2.5, target=[0.875, 0.125, 0.0])
    yield case("soft, weight 0 and NaN", [NAN, 0.0, NAN], 0.0, target=[0.5, 0.25, 0.25])

    def top(*pairs):
        return {"indices": [k for k, _ in pairs], "values": [v for _, v in pairs]}

    for margin in (0.0, 5.0, 36.0, -80.0):
        row = spread(10, margin, 7)
        yield case(f"top 1, margin {margin:g}", row, top=top((7, 1.0)))
        yield case(f"top 3, margin {margin:g}", row, top=top((7, 0.5), (0, 0.25), (4, 0.25)))
        yield case(f"top 3, one of them 0, margin {margin:g}", row, top=top((2, 0.0), (7, 0.75), (9, 0.25)))
    yield case("top 3, confident", spread(10, 40.0, 7), top=top((7, 1 - tiny), (1, tiny / 2), (8, tiny / 2)))
    yield case("top 2, masked", [0.5, -INF, -1.0, 2.0], 1.5, top=top((3, 0.5), (0, 0.5)))
    yield case("top 2 of 2", [1.0, 0.0], top=top((1, 0.25), (0, 0.75)))
    yield case("top 2, weight 0 and NaN", [NAN, NAN, 0.0], 0.0, top=top((1, 0.5), (0, 0.5)))

    for K, label in ((2, 0), (3, 1), (10, 7)):
        for margin in (0.0, 5.0, 36.0, -80.0, 1e4):
            row = spread(K, margin, label)
            yield case(f"smoothed, K={K}, margin {margin:g}", row, label=label, label_smoothing=0.1)
    yield case("smoothed, one class", [3.5], label=0, label_smoothing=0.1)
    yield case("smoothed, masked", [0.5, -INF, -1.0, -INF, 2.0], 0.5, label=0, label_smoothing=0.1)
    yield case("smoothed, masked, confident", [40.0, -INF, 0.0, -INF], label=0, label_smoothing=0.1)
    yield case("smoothed, all but the label masked", [-INF, 1.0], label=1, label_smoothing=0.1)
    yield case("smoothed, ignored", [NAN, 1.0], label=-1, label_smoothing=0.1, ignore_index=-1)


def worked():
    yield case("0, 1, 2", [0.0, 1.0, 2.0], label=2)
    yield case("0, 1, 3", [0.0, 1.0, 3.0], label=2)
    yield case("ten classes at W = 0: log 10", [0.0] * 10, label=3)
    yield case("confidently wrong: the gradient's norm is sqrt 2", [-50.0, 50.0, -50.0], label=0)
    yield case("float32, two classes, gap 17", [17.0, 0.0], label=0)
    for i, label in enumerate((1, 3, 5, 0)):  # no seed to agree on
        row = [f32(mpmath.sin(7 * i + k)) for k in range(7)]
        yield case(f"N=4, K=7, row {i}", row, label=label)


# The values -------------------------------------------------------------------------------------


def logits_of(case):
    z = case["logits"]
    if isinstance(z, list):
        return z
    return [0.0 - ((k * z["multiplier"]) % z["modulus"]) / z["divisor"] for k in range(z["classes"])]


@cache
def exp(value, digits):
    with mpmath.workdps(digits):
        return mpmath.exp(value)


def target_of(case, z):
    """q as exact numbers, one a class."""
    q = [mpf(0)] * len(z)
    if "target" in case:
        return [mpf(v) for v in case["target"]]
    if "top" in case:
        for k, value in zip(case["top"]["indices"], case["top"]["values"], strict=True):
            q[k] = mpf(value)
        return q
    alpha = mpf(case.get("label_smoothing", 0))
    if alpha:
        live = sum(v != -INF for v in z)
        q = [alpha / live if v != -INF else mpf(0) for v in z]
    q[case["label"]] += 1 - alpha
    return q


def nearest(x):
    """The float64 nearest to x, subnormals included; mpmath's own conversion rounds those twice."""
    with mpmath.workdps(60):
        return float(mpmath.nstr(+x, 50)) + 0.0  # + 0.0: no −0


def exact(case):
    """The values of a case: s ℓ, s ∂ℓ/∂z, p and log p, at the classes `at` or at all."""
    z, s = logits_of(case), mpf(case["weight"])
    at = range(len(z))
    if not isinstance(case["logits"], list):
        at = sorted({k for k in AT if k < len(z)} | ({case["label"]} if "label" in case else set()))
    shown = {} if len(at) == len(z) else {"at": list(at)}
    if s == 0 or ("ignore_index" in case and case["label"] == case["ignore_index"]):
        return {"loss": 0.0, "gradient": [0.0] * len(z)}

    finite = [v for v in z if v != -INF]
    digits = 60 + int((max(finite) - min(finite)) / math.log(10))
    with mpmath.workdps(digits):
        q = target_of(case, z)
        count = Counter(z)
        e = {v: exp(v, digits) for v in count}
        total = mpmath.fsum(count[v] * e[v] for v in e)
        p = {v: e[v] / total for v in e}
        log_p = {z[k]: mpmath.log(p[z[k]]) for k in {*at, *(k for k, share in enumerate(q) if share)}}
        loss = -s * mpmath.fsum(q[k] * log_p[z[k]] for k in range(len(z)) if q[k])
        mass = mpmath.fsum(q)
        alike = Counter(zip(z, q, strict=True))  # classes of one logit and one share
        gradient = {(v, t): s * (mass * p[v] - t) for v, t in alike}
        if shown:
            shown["gradient_abs_sum"] = nearest(mpmath.fsum(alike[c] * abs(gradient[c]) for c in alike))
        return {
            **shown,
            "loss": nearest(loss),
            "gradient": [nearest(gradient[z[k], q[k]]) for k in at],
            "p": [nearest(p[z[k]]) for k in at],
            "log_p": [nearest(log_p[z[k]]) for k in at],
        }


# The files --------------------------------------------------------------------------------------


def portable(value):
    """JSON has no infinities and no NaN: they are written as the strings "inf", "-inf" and "nan"."""
    if isinstance(value, dict):
        return {key: portable(v) for key, v in value.items()}
    if isinstance(value, list):
        return [portable(v) for v in value]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def solved(case):
    fits = all(v != v or f32(v) == v for v in logits_of(case))
    return portable({**case, "float32": fits, **exact(case)})


def text(cases):
    lines = (json.dumps(solved(c), ensure_ascii=False, allow_nan=False) for c in cases)
    return '{"format": "tests/vectors/README.md", "cases": [\n' + ",\n".join(lines) + "\n]}\n"


FILES = {
    "margins.json": margins,
    "many_classes.json": many_classes,
    "edges.json": edges,
    "targets.json": targets,
    "worked.json": worked,
}

if __name__ == "__main__":
    for name, cases in FILES.items():
        (FOLDER / name).write_text(text(cases()), encoding="utf-8")
