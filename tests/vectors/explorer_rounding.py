"""Cases of the panel on finite precision: numbers rounded by ml_dtypes, and softmax rounded at every step."""

import math

import ml_dtypes
import mpmath
import numpy as np

from tests.vectors.make import portable

# Significant bits, the exponents that the inputs go through, and how often.
FORMATS = {
    "float32": (np.float32, 24, range(-152, 129), 2),
    "float16": (np.float16, 11, range(-27, 17), 12),
    "bfloat16": (ml_dtypes.bfloat16, 8, range(-136, 129), 3),
    "e4m3": (ml_dtypes.float8_e4m3fn, 4, range(-12, 10), 64),
    "e5m2": (ml_dtypes.float8_e5m2, 3, range(-19, 17), 32),
}
MULTIPLIER = 2654435761
LOGITS = {
    "worked": ([2.0, 1.0, 0.1, -1.0], 0, 1.0),
    "cold": ([2.0, 1.0, 0.1, -1.0], 1, 0.1),
    "5 to 7": ([7.0, 6.5, 5.0], 2, 1.0),
    "12": ([12.0, 11.0, 3.0, 0.0], 1, 1.0),
    "100": ([100.0, 99.0, 90.0], 0, 1.0),
    "1000": ([1000.0, 999.0, 0.0], 2, 1.0),
    "-1000": ([-1000.0, -1001.0, -1000.5], 0, 1.0),
    "wrong": ([0.0, 20.0, 1.0], 0, 1.0),
    "ten": ([0.0, 1.5, -2.25, 0.75, 3.0, -0.5, 0.1, 2.0, -4.0, 1.0], 6, 1.0),
}


def rounding():
    """The k-th input is (−1)^k (1 + ((k · multiplier) mod 2^fraction) / 2^fraction) 2^e, e = least + k mod
    span; `bits` are of what ml_dtypes (NumPy for its own) rounds it to. fraction = bits + 1: ties abound."""
    for name, (dtype, bits, exponents, times) in FORMATS.items():
        fraction, count = bits + 1, len(exponents) * times
        k = np.arange(count)
        significand = 1 + (k * MULTIPLIER % 2**fraction) / 2**fraction
        x = (-1.0) ** k * np.ldexp(significand, exponents[0] + k % len(exponents))
        with np.errstate(over="ignore"):
            patterns = x.astype(dtype).view(f"u{np.dtype(dtype).itemsize}")
        yield {
            "name": name,
            "multiplier": MULTIPLIER,
            "fraction": fraction,
            "least": exponents[0],
            "span": len(exponents),
            "count": count,
            "bits": "".join(f"{b:0{2 * patterns.itemsize}x}" for b in patterns),
        }


def stages():
    """p = exp z / Σ exp z and −log p by operations that are exact but for one rounding each to the format."""
    for name, (logits, label, T) in LOGITS.items():
        for format in ("float64", *FORMATS):
            for shift in (False, True):
                given = {"name": f"{name}, {format}, shift {shift}", "logits": logits, "label": label}
                given |= {"temperature": T, "format": format, "shift": shift}
                yield portable(given | _stages(logits, label, T, format, shift))


def _stages(logits, label, T, format, shift):
    dtype = np.float64 if format == "float64" else FORMATS[format][0]

    def r(x):
        with np.errstate(over="ignore"):
            return float(np.float64(x).astype(dtype))

    scaled = [r(r(v) / r(T)) for v in logits]
    m = max(scaled) if shift else 0.0
    shifted = [r(v - m) for v in scaled]
    e = [r(_exp(v)) for v in shifted]
    total = 0.0
    for v in e:
        total = r(total + v)
    p = [r(_quotient(v, total)) for v in e]
    from_p, from_logits = -r(_log(p[label])), r(r(_log(total)) - shifted[label])
    return {"exp": e, "total": total, "p": p, "loss_from_p": from_p, "loss_from_logits": from_logits}


def _exp(x):
    if not math.isfinite(x):
        return math.exp(x)
    e = mpmath.exp(x)
    return math.inf if e >= mpmath.mpf(2) ** 1024 else float(e)


def _log(x):
    if x == 0:
        return -math.inf
    return float(mpmath.log(x)) if math.isfinite(x) else x


def _quotient(a, b):
    with np.errstate(divide="ignore", invalid="ignore"):
        return float(np.float64(a) / np.float64(b))


SECTIONS = {"rounding": rounding, "stages": stages}
