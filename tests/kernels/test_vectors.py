"""Every implementation against the exact values of tests/vectors, entry by entry, on every processor."""

import json
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import scipy.sparse
from numpy.testing import assert_array_equal

import xent
from tests.conftest import exact_row
from tests.kernels.test_kernels import runnable_isas
from tests.vectors import make
from xent import reference
from xent.kernels import linear

FOLDER = Path(__file__).parents[1] / "vectors"
BACKENDS = [*runnable_isas(), "reference"]
TOLERANCE = {"f": 1e-6, "d": 1e-14}
# Rows in the dtype of X, arithmetic in the wider of X and W.
DTYPES = ["ff", "fd", "dd"]


class Case(NamedTuple):
    """One line of a file: logits z (K,), target row q (K,), the fields as they are, and `at` as an index."""

    name: str
    z: np.ndarray
    q: np.ndarray
    fields: dict
    at: slice | list

    @property
    def is_hard(self):
        return "label" in self.fields and not {"label_smoothing", "ignore_index"} & self.fields.keys()

    @property
    def counts(self):
        """An ignored row has no probabilities: its logits may be NaN."""
        return "p" in self.fields

    def exact(self, key):
        return np.array([float(v) for v in self.fields[key]])

    def fits(self, dtype):
        return dtype == "d" or self.fields["float32"]


def read(path):
    for fields in json.loads(path.read_text(encoding="utf-8"))["cases"]:
        logits = fields["logits"]
        if isinstance(logits, dict):
            k = np.arange(logits["classes"])
            z = -(k * logits["multiplier"] % logits["modulus"]) / logits["divisor"]
        else:
            z = np.array([float(v) for v in logits])
        at = fields.get("at", slice(None))
        yield Case(f"{path.stem}: {fields['name']}", z, target_row(z, fields), fields, at)


def target_row(z, fields):
    q = np.zeros(len(z))
    if "target" in fields:
        q[:] = fields["target"]
    elif "top" in fields:
        q[fields["top"]["indices"]] = fields["top"]["values"]
    elif 0 <= fields["label"] < len(z):
        alpha = fields.get("label_smoothing", 0.0)
        q[z != -np.inf] = alpha / max((z != -np.inf).sum(), 1)
        q[fields["label"]] += 1 - alpha
    return q


FILES = sorted(set(FOLDER.glob("*.json")) - {FOLDER / "explorer.json"})  # of test_explorer_vectors.py
CASES = [case for path in FILES for case in read(path)]
COUNTING = [case for case in CASES if case.counts]
HARD = [case for case in CASES if case.is_hard]


def name(value):
    return value.name if isinstance(value, Case) else None


def within(got, want, bound, what):
    got, want = np.atleast_1d(np.asarray(got, np.float64)), np.atleast_1d(np.asarray(want, np.float64))
    with np.errstate(invalid="ignore"):
        good = (got == want) | (np.abs(got - want) <= bound)  # == for infinities; NaN is in neither
    assert good.all(), f"{what}: got {got[~good][:3]}, expected {want[~good][:3]}"


class Bound(NamedTuple):
    """What an entry may be off by: `relative` of it and, for subnormal numbers, which have no relative
    accuracy, `floor`."""

    relative: float
    floor: float

    def of(self, exact):
        return self.relative * np.abs(np.where(np.isfinite(exact), exact, 0)) + self.floor

    def of_gradient(self, case, adding=0.0):
        """A hard label's entries do not cancel. A soft one's are p − q or, the same number, Σ (q − p) over
        the other classes: where both cancel, relative to the smaller of what is subtracted. `adding` is
        the relative error of summing rows."""
        terms = np.abs(case.exact("gradient"))
        if case.counts and not case.is_hard:
            p, q = case.exact("p"), case.q[case.at]
            terms = terms + case.fields["weight"] * (np.minimum(p, 1 - p) + np.minimum(q, 1 - q))
        return self.of(terms) + adding * terms


def bound(case, dtype, backend="reference"):
    relative = TOLERANCE[dtype]
    if backend == "reference":  # it subtracts plainly: its error grows with the gap by half an ulp of it
        finite = case.z[np.isfinite(case.z)]
        relative += float(np.ptp(finite) if finite.size else 0) * float(np.finfo(dtype).eps)
    # A unit for every class that the complement at the label adds up, and a few for the arithmetic.
    units = (len(case.z) + 4) * max(case.fields["weight"], 1)
    return Bound(relative, units * float(np.finfo(dtype).smallest_subnormal))


# The files themselves ---------------------------------------------------------------------------


@pytest.mark.parametrize("file", make.FILES)
def test_make_writes_these_files(file):
    assert make.text(make.FILES[file]()) == (FOLDER / file).read_text(encoding="utf-8")


def test_the_folder_is_small_and_complete():
    assert [path.name for path in FILES] == sorted(make.FILES)
    assert sum(path.stat().st_size for path in FILES) < 150_000
    assert len({case.name for case in CASES}) == len(CASES) > 200


@pytest.mark.parametrize("case", [c for c in HARD if c.counts and len(c.z) <= 10], ids=name)
def test_other_formulas_give_the_same_bits(case):
    """The complement and log1p at 50 digits, where make.py takes the definitions at more."""
    if case.fields["loss"] == "inf":
        return
    loss, gradient = exact_row(case.z, case.fields["label"])
    if case.fields["weight"] == 1:
        assert loss == case.fields["loss"]
        normal = np.abs(gradient) >= np.finfo("d").tiny  # mpmath rounds a subnormal twice
        assert_array_equal(case.exact("gradient")[normal], gradient[normal])
        within(case.exact("gradient"), gradient, 5e-324, "gradient")


def test_figures_of_the_derivation():
    figures = {case.fields["name"]: case for case in CASES if case.name.startswith("worked")}
    for row, p in (("0, 1, 2", [0.0900, 0.2447, 0.6652]), ("0, 1, 3", [0.0420, 0.1142, 0.8438])):
        assert figures[row].exact("p").round(4).tolist() == p
    assert figures["ten classes at W = 0: log 10"].fields["loss"] == np.log(10)
    gap_17 = figures["float32, two classes, gap 17"]
    assert gap_17.fields["loss"] == pytest.approx(4.1e-8, rel=0.01)
    assert gap_17.exact("gradient") == pytest.approx([-4.1e-8, 4.1e-8], rel=0.01)
    wrong = figures["confidently wrong: the gradient's norm is sqrt 2"].exact("gradient")
    assert np.linalg.norm(wrong) == pytest.approx(2**0.5, rel=1e-15)


# linear.sums ------------------------------------------------------------------------------------


def batch(case, X):
    """`case` in every row of X."""
    n, fields = X.shape[0], case.fields
    weight = None if fields["weight"] == 1 else np.full(n, fields["weight"])
    options = {key: fields[key] for key in ("label_smoothing", "ignore_index") if key in fields}
    if "label" in fields:
        y = np.full(n, fields["label"])
    elif "target" in fields:
        y = np.tile(case.q, (n, 1))
    else:
        top = (np.tile(fields["top"][key], (n, 1)) for key in ("indices", "values"))
        y = linear.TopK(*top)
    return linear.Batch(X, y, weight, **options)


def model(case, dtype):
    """W (K, 1) and b (K,) whose logits at x = 1 are exactly the case's; masks are the intercept's."""
    masked = case.z == -np.inf
    W = np.where(masked, 0, case.z)[:, None].astype(dtype)
    return W, np.where(masked, -np.inf, 0).astype(dtype)


def check(case, allowed, loss, gradient, what, adding=0.0):
    want = float(case.fields["loss"])
    within(loss, want, allowed.of(want), f"{what}, loss")
    within(gradient[case.at], case.exact("gradient"), allowed.of_gradient(case, adding), f"{what}, gradient")
    if "gradient_abs_sum" in case.fields:
        total = case.fields["gradient_abs_sum"]
        within(np.abs(gradient).sum(), total, allowed.of(total), f"{what}, Σ|gradient|")


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("case", CASES, ids=name)
def test_sums(on, case, backend):
    on(backend)
    for rows, compute in DTYPES:
        if not case.fits(compute):
            continue
        allowed = bound(case, compute, backend)
        W, b = model(case, compute)
        z = case.z.astype(compute)
        for n in (1, 70):
            # grad_W adds the 64 rows of a block in the dtype of the product: half an ulp each.
            adding = min(n - 1, 64) * float(np.finfo(compute).eps) / 2
            X = np.full((n, 1), 1 if case.counts else np.nan, rows)
            sums = linear.sums(batch(case, X), W, b)
            check(case, allowed, sums.loss / n, sums.grad_b / n, f"{n} rows, grad_b")
            check(case, allowed, sums.loss / n, sums.grad_W[:, 0] / n, f"{n} rows, grad_W", adding)
            if case.is_hard:
                hit = case.counts and case.z.argmax() == case.fields["label"]
                assert sums.hits == pytest.approx(n * case.fields["weight"] * hit, rel=1e-14)
            sums = linear.sums(batch(case, X[:, :0]), W[:, :0], z)
            check(case, allowed, sums.loss / n, sums.grad_b / n, f"{n} rows without features")
            sums = linear.sums(batch(case, scipy.sparse.csr_matrix(X)), W, b)
            check(case, allowed, sums.loss / n, sums.grad_b / n, f"{n} sparse rows")
            check(case, allowed, sums.loss / n, sums.grad_W[:, 0] / n, f"{n} sparse rows, grad_W", adding)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("dtype", ["f", "d"])
@pytest.mark.parametrize("K", [2, 3, 10, 1000])
def test_rows_of_one_call_do_not_mix(on, K, dtype, backend):
    """Row i of the identity picks case i: its gradient is column i of grad_W. Ignored rows are NaN."""
    on(backend)
    cases = [c for c in HARD if len(c.z) == K and c.fits(dtype) and not np.isinf(c.z).any()]
    assert len(cases) >= 5
    X = np.eye(len(cases), dtype=dtype)
    X[[not c.counts for c in cases]] = np.nan
    W = np.array([np.nan_to_num(c.z) for c in cases], dtype).T
    y = np.array([c.fields["label"] for c in cases])
    weight = np.array([c.fields["weight"] for c in cases])
    sums = linear.sums(linear.Batch(X, y, weight), W, np.zeros(K, dtype))
    for case, gradient in zip(cases, sums.grad_W.T, strict=True):
        allowed = bound(case, dtype, backend).of_gradient(case)
        within(gradient[case.at], case.exact("gradient"), allowed, case.name)
    allowed = [bound(c, dtype, backend).of(c.fields["loss"]) for c in cases]
    within(sums.loss, sum(c.fields["loss"] for c in cases), sum(allowed), "loss")


def assert_adds_nothing(ignored, live, W, b):
    """Rows `ignored` between those of `live` leave every bit as it is."""
    alone = linear.sums(live, W, b)
    assert alone.loss > 0
    with_them = linear.sums(ignored, W, b)
    for got, want in zip(with_them, alone, strict=True):
        assert_array_equal(got, want)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("dtype", ["f", "d"])
def test_a_row_of_weight_0_adds_exactly_nothing(on, rng, dtype, backend):
    on(backend)
    X, y, s = rng.normal(size=(60, 4)).astype(dtype), rng.integers(0, 3, 60), rng.uniform(0.1, 2, 60)
    W, b = rng.normal(size=(3, 4)).astype(dtype), np.zeros(3, dtype)
    live = linear.Batch(X[::2].copy(), y[::2].copy(), s[::2].copy())
    X[1::2], y[1::2], s[1::2] = np.nan, -5, 0
    assert_adds_nothing(linear.Batch(X, y, s), live, W, b)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("dtype", ["f", "d"])
@pytest.mark.parametrize("alpha", [0.0, 0.1])
def test_an_ignored_label_adds_exactly_nothing(on, rng, alpha, dtype, backend):
    on(backend)
    X, y, s = rng.normal(size=(60, 4)).astype(dtype), rng.integers(0, 3, 60), rng.uniform(0.1, 2, 60)
    W, b = rng.normal(size=(3, 4)).astype(dtype), np.zeros(3, dtype)
    live = linear.Batch(X[::2].copy(), y[::2].copy(), s[::2].copy(), label_smoothing=alpha)
    X[1::2], y[1::2] = np.nan, -100
    ignored = linear.Batch(X, y, s, label_smoothing=alpha, ignore_index=-100)
    assert_adds_nothing(ignored, live, W, b)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("dtype", ["f", "d"])
@pytest.mark.parametrize("kind", ["target", "top"])
def test_soft_rows_of_one_call_do_not_mix(on, kind, dtype, backend):
    on(backend)
    cases = [c for c in CASES if kind in c.fields and len(c.z) == {"target": 3, "top": 10}[kind]]
    cases = [c for c in cases if c.fits(dtype) and not np.isinf(c.z).any()]
    if kind == "top":
        cases = [c for c in cases if len(c.fields["top"]["indices"]) == 3]
        tops = [c.fields["top"] for c in cases]
        y = linear.TopK(*(np.array([top[key] for top in tops]) for key in ("indices", "values")))
    else:
        y = np.array([c.q for c in cases])
    assert len(cases) >= 8
    X = np.eye(len(cases), dtype=dtype)
    X[[not c.counts for c in cases]] = np.nan
    W = np.array([np.nan_to_num(c.z) for c in cases], dtype).T
    weight = np.array([c.fields["weight"] for c in cases])
    sums = linear.sums(linear.Batch(X, y, weight), W, np.zeros(len(W), dtype))
    for case, gradient in zip(cases, sums.grad_W.T, strict=True):
        allowed = bound(case, dtype, backend).of_gradient(case)
        within(gradient, case.exact("gradient"), allowed, case.name)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("case", COUNTING, ids=name)
def test_predictions(on, case, backend):
    on(backend)
    for rows, compute in DTYPES:
        if not case.fits(compute):
            continue
        allowed = bound(case._replace(fields=case.fields | {"weight": 1}), compute, backend)
        W, b = model(case, compute)
        for n in (1, 70):
            X = np.ones((n, 1), rows)
            predictions = linear.predict(X, W, b)
            p, log_p = linear.predict_proba(X, W, b), linear.predict_log_proba(X, W, b)
            assert_array_equal(predictions, np.full(n, case.z.argmax()))  # of equals the first
            assert p.shape == log_p.shape == (n, len(case.z))
            for i in {0, n - 1}:
                within(p[i, case.at], case.exact("p"), allowed.of(case.exact("p")), "p")
                within(log_p[i, case.at], case.exact("log_p"), allowed.of(case.exact("log_p")), "log p")


# The reference and the public functions ---------------------------------------------------------


@pytest.mark.parametrize("dtype", ["f", "d"])
@pytest.mark.parametrize("case", COUNTING, ids=name)
def test_reference(case, dtype):
    if not case.fits(dtype):
        return
    Z, s = case.z.astype(dtype)[None], case.fields["weight"]
    allowed = bound(case, dtype)
    p, log_p, loss = case.exact("p"), case.exact("log_p"), float(case.fields["loss"])
    within(reference.softmax(Z)[0, case.at], p, allowed.of(p), "softmax")
    within(reference.log_softmax(Z)[0, case.at], log_p, allowed.of(log_p), "log_softmax")
    rows = [case.q[None].astype(dtype)]
    if case.is_hard:
        rows.append(np.array([case.fields["label"]]))
    for y in rows:
        within(s * reference.cross_entropy(Z, y).astype("d"), loss, allowed.of(loss), "cross_entropy")
        gradient = s * reference.cross_entropy_gradient(Z, y).astype("d")
        within(gradient[0, case.at], case.exact("gradient"), allowed.of_gradient(case), "gradient")


@pytest.mark.parametrize("dtype", ["f", "d"])
@pytest.mark.parametrize("case", CASES, ids=name)
def test_public_functions(case, dtype):
    if not case.fits(dtype) or "ignore_index" in case.fields:
        return
    Z, s = case.z.astype(dtype)[None], np.array([case.fields["weight"]])
    y = np.array([case.fields["label"]]) if case.is_hard else case.q[None]
    allowed, loss = bound(case, dtype), float(case.fields["loss"])
    summed = xent.cross_entropy(Z, y, sample_weight=s, reduction="sum")
    within(summed, loss, allowed.of(loss), "sum")
    if case.counts:
        p, log_p = case.exact("p"), case.exact("log_p")
        within(xent.softmax(Z)[0, case.at], p, allowed.of(p), "softmax")
        within(xent.log_softmax(Z)[0, case.at], log_p, allowed.of(log_p), "log_softmax")
