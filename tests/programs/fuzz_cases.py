"""The cases of `fuzz_kernels.py`: shapes, rows, labels, weights and models, drawn from tables of a name and
a share each. A new kind is a new line."""

from __future__ import annotations

from bisect import bisect
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Any

import numpy as np
import scipy.sparse

from tests.programs.fuzz_layouts import LAYOUTS, REFUSABLE, at_byte
from xent.kernels import linear

try:
    from ml_dtypes import bfloat16
except ImportError:
    bfloat16 = None

INT64 = np.iinfo(np.int64)


OFF: set[str] = set()  # kinds that are not drawn


@dataclass
class Case:
    """One call: its arguments, the kinds drawn, and what may come of it."""

    rng: np.random.Generator
    n: int
    d: int
    K: int
    kinds: list[str] = field(default_factory=list)
    expect: str = "answer"  # or "error", or "either": refusing is as good as a right answer
    exact: bool = True  # whether an answer can be held to the reference
    X: Any = None
    y: Any = None
    weight: Any = None
    W: Any = None
    b: Any = None
    V: Any = None
    c: Any = None
    options: dict[str, Any] = field(default_factory=dict)  # of Batch
    n_threads: int = 0

    @property
    def X_is_sparse(self) -> bool:
        return not isinstance(self.X, np.ndarray)

    @property
    def offset(self) -> Any:
        return self.options.get("offset")

    def either(self) -> None:
        if self.expect == "answer":
            self.expect = "either"

    def draw(self, table: dict[str, tuple[float, Any]]) -> Any:
        """An entry of a table, by its share; the name is noted."""
        names = [name for name in table if name not in OFF]
        shares = list(accumulate(table[name][0] for name in names))
        name = names[bisect(shares, self.rng.random() * shares[-1])]
        self.kinds.append(name)
        return table[name][1]


# Values ------------------------------------------------------------------------------------------------


def sprinkle(*values):
    """Normal numbers with some of `values` among them."""

    def make(rng, shape):
        A = rng.normal(size=shape)
        return np.where(rng.random(shape) < 0.05, rng.choice(values, shape), A)

    return make


VALUES = {
    "x normal": (10, lambda rng, shape: rng.normal(size=shape)),
    "x of any size": (3, lambda rng, shape: rng.normal(size=shape) * 10 ** rng.uniform(-4, 4)),
    "x small integers": (2, lambda rng, shape: rng.integers(-2, 3, shape).astype(float)),
    "x zero": (1, lambda rng, shape: np.zeros(shape)),
    "x subnormal": (1, sprinkle(5e-324, -1e-310, 1e-45, -1e-40, 6e-8, 1e-320)),
    "x huge": (1, sprinkle(6e4, -3e38, 1e38, 1e300, -1.7e308)),
    "x infinite": (0.5, sprinkle(np.inf, -np.inf)),
    "x nan": (1, sprinkle(np.nan)),
    "x anything": (0.5, sprinkle(np.nan, np.inf, -np.inf, 0.0, -0.0, 1e300, 5e-324)),
}
MODEL_VALUES = {
    "w normal": (10, lambda rng, shape: rng.normal(size=shape)),
    "w of any size": (3, lambda rng, shape: rng.normal(size=shape) * 10 ** rng.uniform(-4, 4)),
    "w zero": (1, lambda rng, shape: np.zeros(shape)),
    "w anything": (0.5, sprinkle(np.nan, np.inf, -np.inf, 0.0, -0.0, 1e300, 5e-324)),
}
DTYPES = {"x float64": (3, np.float64), "x float32": (3, np.float32), "x float16": (2, np.float16)}
if bfloat16 is not None:
    DTYPES["x bfloat16"] = (2, bfloat16)
MODEL_DTYPES = {"w float64": (1, np.float64), "w float32": (1, np.float32)}


# Rows ----------------------------------------------------------------------------------------------------


def values_in(dtype, A):
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        return np.ascontiguousarray(A.astype(dtype))


def dense(case):
    A = values_in(case.draw(DTYPES), case.draw(VALUES)(case.rng, (case.n, case.d)))
    case.X = case.draw(LAYOUTS)(case.rng, A)


def dense_of_other_bytes(case):
    A = case.rng.normal(size=(case.n, case.d))
    case.X = A.astype(A.dtype.newbyteorder())
    case.either()


def sparse(index_dtype, container=scipy.sparse.csr_array):
    """CSR with unsorted and repeated columns and empty rows."""

    def make(case):
        rng, n, d = case.rng, case.n, case.d
        nnz = int(rng.integers(0, 3 * n + 1)) if n and d else 0
        counts = rng.multinomial(nnz, np.ones(n) / n) if n else []
        indptr = np.concatenate([[0], np.cumsum(counts)]).astype(index_dtype)
        data = values_in(case.draw(DTYPES), case.draw(VALUES)(rng, nnz))
        case.X = container((n, d), dtype=np.float64)
        case.X.data, case.X.indptr = data, indptr
        case.X.indices = rng.integers(0, max(d, 1), nnz).astype(index_dtype)

    return make


def broken_sparse(case):
    sparse(np.int32)(case)
    part = getattr(case.X, "indices" if case.rng.random() < 0.5 and case.X.nnz else "indptr")
    part[case.rng.integers(len(part))] = case.rng.choice([-1, case.d, 2**31 - 1, -(2**31)])
    case.expect, case.exact = "either", False


ROWS = {
    "dense": (8, dense),
    "dense of other bytes": (0.2, dense_of_other_bytes),
    "csr int32": (2, sparse(np.int32)),
    "csr int64": (1, sparse(np.int64)),
    "csr matrix": (1, sparse(np.int32, scipy.sparse.csr_matrix)),
    "csr broken": (0.5, broken_sparse),
}


# Labels and weights ------------------------------------------------------------------------------------


def labels(case):
    case.y = case.rng.integers(0, max(case.K, 1), case.n)


def labels_outside(case):
    labels(case)
    if case.n:
        row = case.rng.integers(case.n, size=case.rng.integers(1, 3))
        case.y[row] = case.rng.choice([-1, case.K, case.K + 1, 2**31, 2**32, INT64.min, INT64.max])


def labels_outside_unweighted(case):
    labels(case)
    if case.weight is not None and case.weight.shape == (case.n,):
        case.y[case.weight == 0] = case.rng.choice([-1, case.K, INT64.min, INT64.max])


def labels_int32(case):
    labels(case)
    case.y = case.y.astype(np.int32)
    case.either()


def refusable(case, a):
    case.either()
    return case.draw(REFUSABLE)(a)


def labels_refusable(case):
    labels(case)
    case.y = refusable(case, case.y)


def labels_ignored(case):
    labels(case)
    ignored = int(case.rng.choice([-100, -1, 0, case.K, INT64.min]))
    case.y[case.rng.random(case.n) < 0.3] = ignored
    case.options["ignore_index"] = ignored


def labels_smoothed(case):
    labels(case)
    case.options["label_smoothing"] = float(case.rng.choice([0.0, 1e-3, 0.1, 0.5, 0.9]))


def soft(case):
    """Rows of probabilities, some of them one-hot."""
    if case.K == 0:
        case.y = np.zeros((case.n, 0))
        return
    case.y = case.rng.dirichlet(np.ones(case.K), case.n)
    hard = case.rng.random(case.n) < 0.2
    case.y[hard] = np.eye(case.K)[case.rng.integers(0, case.K, hard.sum())]


def soft_wild(case):
    case.y = sprinkle(np.nan, np.inf, -1.0, 0.0, 1e300)(case.rng, (case.n, case.K))
    case.expect, case.exact = "either", False


def top_k(case):
    t = int(case.rng.integers(1, case.K + 1)) if case.K else 1
    order = case.rng.random((case.n, max(case.K, 1))).argsort(axis=1)[:, :t]
    values = case.rng.dirichlet(np.ones(t), case.n)
    case.y = linear.TopK(np.ascontiguousarray(order), values)


def top_k_wild(case):
    top_k(case)
    case.y.indices[case.rng.random(case.y.indices.shape) < 0.1] = case.rng.choice([-1, case.K, INT64.max])
    case.expect, case.exact = "either", False


LABELS = {
    "y": (8, labels),
    "y outside": (2, labels_outside),
    "y outside at weight 0": (1, labels_outside_unweighted),
    "y int32": (0.2, labels_int32),
    "y refusable": (1, labels_refusable),
    "y ignored": (1, labels_ignored),
    "y smoothed": (1, labels_smoothed),
    "y soft": (2, soft),
    "y soft, wild": (0.5, soft_wild),
    "y top k": (1, top_k),
    "y top k, wild": (0.3, top_k_wild),
}


def weight_zeros(rng, n):
    return np.where(
        rng.random(n) < rng.choice([0.1, 0.5, 1.0]), rng.choice([0.0, -0.0]), rng.uniform(0.1, 2, n)
    )


WEIGHTS = {
    "unweighted": (4, lambda rng, n: None),
    "weighted": (3, lambda rng, n: rng.uniform(0.1, 2, n)),
    "weights of 0": (4, weight_zeros),
    "weights of any size": (1, lambda rng, n: 10 ** rng.uniform(-6, 6, n)),
}
WILD_WEIGHTS = sprinkle(np.nan, np.inf, -1.0, 0.0, 1e300, 5e-324)


def draw_weight(case):
    case.weight = case.draw(WEIGHTS)(case.rng, case.n)
    other = case.rng.random()
    if other < 0.02:
        case.weight, case.exact = WILD_WEIGHTS(case.rng, case.n), False
        case.kinds.append("weights wild")
        case.either()
    elif other < 0.06 and case.weight is not None:
        case.kinds.append("weights refusable")
        case.weight = refusable(case, case.weight)


def hide_nan(case):
    """Rows of weight 0 hold NaN: nobody may look."""
    if case.weight is None or case.weight.shape != (case.n,) or case.X_is_sparse:
        return
    if case.X.flags.writeable and case.rng.random() < 0.5:
        case.X[case.weight == 0] = np.nan


# Offsets -----------------------------------------------------------------------------------------------


def offset_normal(dtype, size=1.0):
    return lambda case: (case.rng.normal(size=(case.n, case.K)) * size).astype(dtype)


def offset_masks(dtype):
    """Masks in some of the rows, which may leave a row no class."""

    def make(case):
        masked = case.rng.random((case.n, case.K)) < case.rng.choice([0.0, 0.1, 0.6], (case.n, 1))
        return np.where(masked, -np.inf, offset_normal(dtype)(case)).astype(dtype)

    return make


def offset_wild(case):
    case.expect, case.exact = "either", False
    return sprinkle(np.nan, np.inf, -np.inf, 1e300, -1e300)(case.rng, (case.n, case.K))


def offset_of_a_wrong_shape(case):
    case.expect, case.exact = "error", False
    n, K = case.n, case.K
    shapes = [(n + 1, K), (n, K + 1), (n, abs(K - 1)), (n,), (n, K, 1), (1, n, K)]
    return np.zeros(shapes[case.rng.integers(len(shapes))])


OFFSETS = {
    "no offset": (12, lambda case: None),
    "offset float64": (3, offset_normal(np.float64)),
    "offset float32": (3, offset_normal(np.float32)),
    "offset of 1e4": (1, offset_normal(np.float64, 1e4)),
    "offset masks, float64": (2, offset_masks(np.float64)),
    "offset masks, float32": (2, offset_masks(np.float32)),
    "offset F": (0.5, lambda case: np.asfortranarray(offset_normal(np.float32)(case))),
    "offset of other bytes": (0.3, lambda case: offset_normal(np.float64)(case).astype(">f8")),
    "offset float16": (0.3, offset_normal(np.float16)),
    "offset misaligned": (0.3, lambda case: at_byte(offset_normal(np.float64)(case), 4)),
    "offset wild": (0.5, offset_wild),
    "offset of a wrong shape": (0.5, offset_of_a_wrong_shape),
}


def draw_offset(case):
    """Of half the batches, rows of weight 0 have NaN: nobody may look."""
    offset = case.draw(OFFSETS)(case)
    if offset is None:
        return
    case.options["offset"] = offset
    weighted = case.weight is not None and case.weight.shape == (case.n,) == offset.shape[:1]
    if weighted and case.rng.random() < 0.5:
        offset[case.weight == 0] = np.nan


# The model ---------------------------------------------------------------------------------------------


def draw_model(case):
    rng, K, d = case.rng, case.K, case.d
    dtype, make = case.draw(MODEL_DTYPES), case.draw(MODEL_VALUES)
    case.W = LAYOUTS[str(rng.choice(["C", "C", "F", "offset", "misaligned", "read-only"]))][1](
        rng, values_in(dtype, make(rng, (K, d)))
    )
    case.b = values_in(dtype, make(rng, K))
    case.V, case.c = (values_in(dtype, rng.normal(size=shape)) for shape in ((K, d), K))
    other = rng.random()
    if other < 0.1 and K:
        case.kinds.append("classes masked")
        case.b[rng.random(K) < 0.3] = -np.inf
    elif other < 0.14:
        case.kinds.append("model of a wrong shape")
        case.expect, case.exact = "either", False
        if rng.random() < 0.5:
            case.b = np.append(case.b, case.b[:1] if rng.random() < 0.5 else np.zeros(2, dtype))
        else:
            case.W = rng.normal(size=(max(K + rng.integers(-1, 2), 0), d + 1)).astype(dtype)[
                :, : d + rng.integers(0, 2)
            ]


def draw_shape(rng):
    n = int(rng.choice([rng.integers(0, 4), rng.integers(0, 20), rng.integers(50, 210)], p=[0.35, 0.4, 0.25]))
    d = int(rng.choice([rng.integers(0, 4), rng.integers(0, 20), rng.integers(0, 71)]))
    K = int(rng.choice([rng.integers(1, 4), rng.integers(1, 41)]))
    other = rng.random()
    if other < 0.01:
        n, d, K = n % 20, d % 8, int(rng.integers(41, 3000))
    elif other < 0.015:
        K = 0
    return n, d, K


def draw_case(seed, index):
    rng = np.random.default_rng([seed, index])
    case = Case(rng, *draw_shape(rng))
    case.draw(ROWS)(case)
    draw_weight(case)
    case.draw(LABELS)(case)
    hide_nan(case)
    draw_offset(case)
    draw_model(case)
    case.n_threads = int(rng.integers(0, 4))
    if case.K == 0:
        case.kinds.append("no classes")
        case.expect, case.exact = "either", False
    return case
