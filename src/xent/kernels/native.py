"""The one place that knows whether the native extension is there.

What the linear model needs (`sums`, `hessian_vector`, `hessian`, `predict`, `descend`) also has a body in
plain array code (`plain`) with the same contract, so that xent works, slower, without a compiler. Functions
that say "native only" have none: their callers ask `HAS_NATIVE` first. `XENT_NATIVE=0` switches the extension
off; `XENT_ISA=baseline|avx2|avx512` picks an instruction set below the processor's best. Both are read at
import.
"""

from __future__ import annotations

import functools
import importlib.util
import os
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import DTypeLike, NDArray

from .._types import Array, Float, Index, Matrix
from ..data.batch import Batch, TopK, check_offset
from . import plain

_isa = os.environ.get("XENT_ISA", "")
if os.environ.get("XENT_NATIVE", "1") != "0":
    try:
        from .. import _native as _native  # for its neighbours, too

        _isa = _native.isa(_isa)
        REASON = f"compiled extension, {_isa} kernels"
    except ImportError as error:
        _native = None  # type: ignore[assignment]
        built = importlib.util.find_spec("xent._native") is not None
        cause = f"it does not load: {error}" if built else "it was not built"
        REASON = f"no compiled extension ({cause}); reinstall where a C++20 compiler is found"
else:
    _native = None  # type: ignore[assignment]
    REASON = "switched off by XENT_NATIVE=0"

HAS_NATIVE = _native is not None

# X's dtype → how the kernels name it and what they read it as.
_STORED = {
    "float64": ("d", np.float64),
    "float32": ("f", np.float32),
    "float16": ("h", np.uint16),
    "bfloat16": ("b", np.uint16),
}


class Totals(NamedTuple):
    """Plain sums over rows: loss Σ s ℓ in nats, weight Σ s, and hits Σ s q_w, w the class of the row's
    largest logit. For class indices hits is the weight of the rows whose argmax is the label."""

    loss: float
    weight: float
    hits: float


@functools.cache
def _kind(dtype: np.dtype[np.generic]) -> tuple[str, Any]:
    """How the kernels name a dtype and what they read it as. Raises KeyError for one that they do
    not read."""
    return _STORED[dtype.name]


def isa() -> str:
    """The instruction set in use: 'avx512', 'avx2', 'baseline', or 'reference' without the extension."""
    return _isa if HAS_NATIVE else "reference"


def max_threads() -> int:
    """How many threads a pass uses by default."""
    return int(_native.max_threads()) if HAS_NATIVE else 1


def check_model(X: Matrix, W: Array, b: Array) -> None:
    """Raises ValueError unless X is dense or CSR of a dtype that the kernels read, W (K, d), b (K,)
    and K ≥ 1."""
    if not isinstance(X, np.ndarray) and getattr(X, "format", "") != "csr":
        raise ValueError(
            f"X must be an array or CSR, got {type(X).__name__}; convert a sparse one with X.tocsr()"
        )
    try:
        _kind(X.dtype)
    except KeyError:
        message = f"X has dtype {X.dtype}; convert it, for example with X.astype(np.float64)"
        raise ValueError(message) from None
    if X.ndim != 2 or W.ndim != 2 or W.shape[1] != X.shape[1] or len(W) < 1:
        raise ValueError(f"W must be (K, d) for X (n, d) and K ≥ 1, got W {W.shape} for X {X.shape}")
    if b.shape != (len(W),):
        raise ValueError(f"b must be (K,), got {b.shape} for W {W.shape}")


def compute_dtype(X: Matrix, W: Array) -> type[np.floating[Any]]:
    """The dtype in which a row is computed: float64 if X or W is, else float32."""
    return np.float64 if "d" in (X.dtype.char, W.dtype.char) else np.float32


def sums(
    batch: Batch, W: Array, b: Array, *, gradient: bool = True, n_threads: int = 0
) -> tuple[Totals, Float, Float]:
    """One pass: `Totals`, grad_W (K, d) and grad_b (K,), never holding n×K; W (K, d), b (K,) in
    `compute_dtype`.

    A row is computed in that dtype, X being widened in registers; sums over rows are float64. Raises
    ValueError with the first row whose class is outside [0, K). Without `gradient` both gradients have no
    rows.
    """
    if not HAS_NATIVE:
        totals, grad_W, grad_b = plain.sums(batch, W, b, gradient)
        return Totals(*totals), grad_W, grad_b
    grad_b = np.empty(len(W) if gradient else 0)
    arrays = _arrays(W, b, grad_b if gradient else None)
    totals, grad_W = _run(_native.Task.sums, batch.X, _targets(batch, len(W)), arrays, gradient, n_threads)
    return Totals(*totals), grad_W, grad_b


def hessian_vector(
    batch: Batch, W: Array, b: Array, V: Array, c: Array, *, n_threads: int = 0
) -> tuple[Float, Float]:
    """The product with (V, c) of the Hessian of Σ s ℓ at (W, b), in one pass: (K, d) and (K,), float64."""
    if not HAS_NATIVE:
        return plain.hessian_vector(batch, W, b, V, c)
    out_b = np.empty(len(W))
    arrays = _arrays(W, b, out_b)
    arrays.v, arrays.c = (_plain_array(a, W.dtype) for a in (V, c))
    _, out_W = _run(_native.Task.curvature, batch.X, _targets(batch, len(W)), arrays, True, n_threads)
    return out_W, out_b


def hessian(
    X: Float, P: Float, weight: Float | None, centre: Float, intercept: bool, *, n_threads: int = 0
) -> Float:
    """Σ s_i (diag p_i − p_i p_iᵀ) ⊗ x̃_i x̃_iᵀ of dense rows, their probabilities P (n, K) and weights (n,), or
    None for ones; x̃_i = x_i − centre, with a 1 behind for an intercept. (K·D, K·D), D the length of x̃."""
    if not HAS_NATIVE:
        return plain.hessian(X, P, weight, centre, intercept)
    size = P.shape[1] * (X.shape[1] + intercept)
    out = np.empty((size, size))
    _native.curvature(_strided(X), _plain_array(centre), intercept, P, weight, out, n_threads, _isa)
    return out


def predict(
    task: str,
    X: Matrix,
    W: Array,
    b: Array,
    *,
    offset: Array | None = None,
    n_threads: int = 0,
) -> Array:
    """What `task` names of every row of X: 'probabilities', 'log_probabilities' or 'logits', (n, K) in W's
    dtype, or 'classes', (n,) int64, the first of the largest logits. `offset` (n, K), as a `Batch` has it, is
    added to the logits."""
    n, K = X.shape[0], len(W)
    check_offset(offset, n, K)
    out: Array = np.empty(n, np.int64) if task == "classes" else np.empty((n, K), W.dtype)
    if not HAS_NATIVE:
        plain.predict(task, X, W, b, out, offset)
        return out
    arrays = _arrays(W, b, None)
    if task == "classes":
        arrays.out_class = out
    else:
        arrays.out = out
    targets = _native.Targets()
    _set_offset(targets, offset)
    _run(getattr(_native.Task, task), X, targets, arrays, False, n_threads)
    return out


def columns(batch: Batch, rows: Index, K: int, dtype: DTypeLike) -> _native.Columns_f | _native.Columns_d:
    """The softmax of these rows for logits that come in tiles of classes, (K', rows): `scan` every tile in
    order, then `finish`, then `residual` for every tile. `filled` is the number of rows that a tile must have
    room for. Native only."""
    kind: type[_native.Columns_f | _native.Columns_d] = (
        _native.Columns_f if np.dtype(dtype).char == "f" else _native.Columns_d
    )
    return kind(_targets(batch, K), _plain_array(rows, np.int64), batch.shape[0], K, _isa)


def multiply(
    kind: str,
    A: Array,
    B: Array,
    out: Array,
    *,
    add: bool = False,
    round_A: bool = False,
) -> Array:
    """out = A B, or out += A B, on this thread; A (m, k) and B (k, n) may have any strides, out's rows are
    contiguous.

    `kind` is a letter for A and one for B: "d" float64, "f" float32, "h" float16 or "b" bfloat16, the last
    two as uint16. out is float64 for "dd", else float32. A number of out is summed in an order that depends
    on k alone. With `round_A` "fb" may round A to bfloat16, which doubles its speed where the processor
    multiplies pairs of them. Native only.
    """
    pairs = kind == "bb" or (kind == "fb" and round_A)
    run = getattr(_native, f"multiply_{'pairs_' * (pairs and has_pairs())}{kind}")
    run(A, B, out, add, _isa)
    return out


def scan_rows(kind: str, z: Array, factor: float, w: Array | None, smooth: bool, out: Float) -> None:
    """Reads logits `factor` z (n, K) and fills out (n, 6): the largest logit m of every row, R = Σ of the
    others' exp(z − m), and the class of the largest; if `smooth`, also the number of classes that are not
    masked, and Σ w and Σ w (m − z) over them, w (K,) or None for ones. `kind` as in `multiply`, "h" excepted.
    Native only, on this thread."""
    getattr(_native, f"scan_rows_{kind}")(z, factor, w, smooth, out, _isa)


def residual_rows(kind: str, z: Array, factor: float, w: Array | None, terms: Float, out: Array) -> None:
    """out = factor (scale exp(factor z − m) − share w), (n, K), `terms` (n, 3) being m, scale and share;
    masked classes get no share. Native only, on this thread."""
    getattr(_native, f"residual_rows_{kind}")(z, factor, w, terms, out, _isa)


def kept_stride(rows: int) -> int:
    """How many numbers one class takes where the logits of so many rows are kept. Native only."""
    return int(_native.kept_stride(rows))


def loss_calls(kind: str) -> tuple[Callable[..., int], Callable[..., None]]:
    """Two functions on memory that others own: cross-entropy of class indices, and its gradient.

    `kind` as in `multiply`, "h" excepted. Their arguments are addresses, sizes, and strides in numbers, as
    native/bind/torch.cpp names them, which the caller has checked. Native only.
    """
    return getattr(_native, f"loss_forward_{kind}"), getattr(_native, f"loss_backward_{kind}")


def has_pairs() -> bool:
    """Whether bfloat16 is multiplied in pairs: at twice the speed of float32."""
    return HAS_NATIVE and _isa == "avx512" and hasattr(_native, "multiply_pairs_bb")


def narrow(x: NDArray[np.float32], out: NDArray[np.uint16]) -> None:
    """out = x rounded to bfloat16, both (m, n) with contiguous rows. Native only, on this thread."""
    _native.narrow(x, out, _isa)


def widen(x: NDArray[np.uint16], out: NDArray[np.float32]) -> None:
    """out = x widened from bfloat16 to float32, both (m, n) with contiguous rows. Native only, on this
    thread."""
    _native.widen(x, out, _isa)


def descend(
    start: Index,
    blocks: Array,
    psi: Float,
    dual: Float,
    penalty: Float,
    gradient: Float,
    w: Float,
    groups: tuple[Index, Index] | None,
    tolerance: float,
    most: int,
) -> int:
    """Move w (m,) by coordinate descent towards where w + v minimises a quadratic model plus a penalty.

    The model is ⟨gradient, v⟩ + ½ vᵀ(B − psi dualᵀ)v. B: square blocks along the diagonal, one behind the
    other in `blocks` (float64 or float32), block k of the coordinates start[k] … start[k + 1] − 1. psi, dual
    (m, r), r a multiple of 8. The penalty is Σ l2/2 w² + l1 |w| within bounds, `penalty` (4, m) being l2, l1,
    lower and upper; with `groups`, the coordinates `member` (m,) of each from group_start[g] on, l1 ‖w_g‖₂
    instead. Ends where a sweep moves no more than `tolerance` of what the first did, or after `most`; returns
    how many.
    """
    if not HAS_NATIVE:
        return plain.descend(start, blocks, psi, dual, penalty, gradient, w, groups, tolerance, most)
    run = _native.descend_f if blocks.dtype == np.float32 else _native.descend_d
    group_start, member = (None, None) if groups is None else groups
    model = (start, blocks, psi, dual, penalty, gradient, w)
    return int(run(*model, group_start, member, tolerance, most, _isa))


def _arrays(W: Array, b: Array, grad_b: Float | None) -> _native.Arrays_f | _native.Arrays_d:
    """W, b and where the gradient by b goes, as the kernels take them."""
    kind: type[_native.Arrays_f | _native.Arrays_d] = (
        _native.Arrays_f if W.dtype.char == "f" else _native.Arrays_d
    )
    arrays = kind(_plain_array(W), _plain_array(b, W.dtype))
    arrays.grad_b = grad_b
    return arrays


def _plain_array(a: Array, dtype: DTypeLike | None = None) -> Array:
    """The array in this dtype, C-ordered and aligned; copied only if it is not."""
    # `np.require` takes microseconds to see it, several times a pass: a small pass takes as long.
    if type(a) is np.ndarray and (dtype is None or a.dtype == dtype):
        flags = a.flags
        if flags.c_contiguous and flags.aligned:
            return a
    return np.require(a, dtype, ["C", "A"])


def _set_offset(targets: _native.Targets, offset: Array | None) -> None:
    if offset is not None:
        setattr(targets, "offset_f" if offset.dtype == np.float32 else "offset_d", offset)


def _targets(batch: Batch, K: int) -> _native.Targets:
    """A batch's targets, weights and offsets as the kernels take them. Raises ValueError unless an offset is
    (n, K)."""
    batch.check_offset(K)
    targets = _native.Targets()
    _set_offset(targets, batch.offset)
    y = batch.y
    if isinstance(y, TopK):
        targets.top_class, targets.top_value = y.indices, y.values
    elif y.ndim == 1:
        targets.label = y
    elif y.dtype == np.float32:
        targets.soft_f = y
    else:
        targets.soft_d = y
    targets.smoothing = batch.label_smoothing
    targets.ignored = batch.ignore_index
    targets.weight = batch.weight
    return targets


def _native_bytes(a: Array) -> Array:
    """The array in the machine's byte order."""
    return a if a.dtype.isnative else a.astype(a.dtype.newbyteorder("="))


def _strided(X: Array) -> Array:
    """Dense rows as the kernels read them: native bytes, aligned, of any strides."""
    X = _native_bytes(X)
    # A field of a structured array, or a view into bytes.
    if not X.flags.aligned or any(stride % X.itemsize for stride in X.strides):
        return X.copy()
    return X


def _run(
    task: _native.Task,
    X: Matrix,
    targets: _native.Targets,
    arrays: _native.Arrays_f | _native.Arrays_d,
    gradient: bool,
    n_threads: int,
) -> tuple[tuple[float, float, float], Float]:
    """One pass: the totals and the gradient by W (K, d), which has no rows without `gradient`."""
    (K, d), compute = arrays.shape, "f" if isinstance(arrays, _native.Arrays_f) else "d"
    if not isinstance(X, np.ndarray):
        value = _native_bytes(X.data.astype(np.float32) if X.data.itemsize == 2 else X.data)
        kind = _kind(value.dtype)[0] + compute
        index = np.result_type(X.indices.dtype, X.indptr.dtype)
        column, start = (_plain_array(a, index) for a in (X.indices, X.indptr))
        run = getattr(_native, f"sparse_{kind}{'i' if index.itemsize == 4 else 'l'}")
        rows = (_plain_array(value), column, start, X.shape[1])
        totals, out = run(task, *rows, targets, arrays, gradient, n_threads, _isa)
        return totals, out if gradient else np.empty((0, d))
    kind, stored = _kind(X.dtype)
    X = _strided(X)
    out = np.empty((K if gradient else 0, d))
    arrays.grad_w = out if gradient else None
    run = getattr(_native, f"dense_{kind}{compute}")
    totals = run(task, X.view(stored), targets, arrays, n_threads, _isa)
    return totals, out
