"""The one place that knows whether the native extension is there.

Both functions have a native and a reference body with the same contract, so that xent works, slower,
where no compiler was found. `XENT_NATIVE=0` switches the extension off; `XENT_ISA=baseline|avx2|avx512`
picks an instruction set below the processor's best. Both are read at import.
"""

from __future__ import annotations

import importlib.util
import os
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from . import reference

if TYPE_CHECKING:
    from numpy.typing import NDArray

_native: Any = None
_isa = os.environ.get("XENT_ISA", "")
if os.environ.get("XENT_NATIVE", "1") == "0":
    REASON = "switched off by XENT_NATIVE=0"
else:
    try:
        from . import _native  # type: ignore[no-redef]

        _isa = _native.isa(_isa)
        REASON = f"compiled extension, {_isa} kernels"
    except ImportError as error:
        built = importlib.util.find_spec("xent._native") is not None
        cause = f"it does not load: {error}" if built else "it was not built"
        REASON = f"no compiled extension ({cause}); reinstall where a C++20 compiler is found"

HAS_NATIVE = _native is not None


class Totals(NamedTuple):
    """Plain sums over rows: Σ s ℓ in nats, Σ s, and Σ s over the rows whose argmax is the label."""

    loss: float
    weight: float
    hits: float


def isa() -> str:
    """The instruction set in use: 'avx512', 'avx2', 'baseline', or 'reference' without the extension."""
    return _isa if HAS_NATIVE else "reference"


def max_threads() -> int:
    """How many threads a pass uses unless told otherwise."""
    return int(_native.max_threads()) if HAS_NATIVE else 1


def fused_sums(
    X: NDArray[Any],
    y: NDArray[np.int64],
    weight: NDArray[np.float64] | None,
    W: NDArray[Any],
    b: NDArray[Any],
    *,
    gradient: bool = True,
    n_threads: int = 0,
) -> tuple[Totals, NDArray[np.float64], NDArray[np.float64]]:
    """One pass over dense rows: Σ s ℓ, grad_W (K, d) and grad_b (K,), never holding n×K. Native only.

    X (n, d) float32 or float64 with any strides; W (K, d), b (K,) float32 or float64. A row is computed
    in the wider of the two dtypes, float32 rows being widened in registers; sums are float64. Raises
    ValueError with the first row whose label is outside [0, K). grad_W is undefined without `gradient`.
    """
    if any(stride % X.itemsize for stride in X.strides):  # a field of a structured array
        X = np.ascontiguousarray(X)
    compute = np.result_type(X.dtype, W.dtype)
    kernel = {
        ("f", "f"): "fused_ff",
        ("f", "d"): "fused_fd",
        ("d", "d"): "fused_dd",
    }[X.dtype.char, compute.char]
    grad_W, grad_b = np.empty(W.shape), np.empty(len(W))
    totals = getattr(_native, kernel)(
        X,
        y,
        weight,
        np.ascontiguousarray(W, compute),
        np.ascontiguousarray(b, compute),
        grad_W,
        grad_b,
        gradient,
        n_threads,
        _isa,
    )
    return Totals(*totals), grad_W, grad_b


def softmax_residual(
    Z: NDArray[Any],
    y: NDArray[np.int64],
    weight: NDArray[np.float64] | None,
    *,
    n_threads: int = 0,
) -> Totals:
    """In place: logits Z (n, K), C-ordered, become s_i (p_i − e_{y_i}); rows of weight 0 become 0."""
    if HAS_NATIVE:
        kernel = _native.softmax_f if Z.dtype.char == "f" else _native.softmax_d
        return Totals(*kernel(Z, y, weight, n_threads, _isa))
    outside = (y < 0) | (y >= Z.shape[1])
    if weight is not None:
        Z[weight == 0] = 0
        outside &= weight != 0
    if outside.any():
        row = int(np.argmax(outside))
        raise ValueError(f"y[{row}] = {y[row]} is outside [0, {Z.shape[1]})")
    s = np.ones(len(Z)) if weight is None else weight
    loss = float(s @ reference.cross_entropy(Z, y).astype(np.float64))
    hits = float(s @ (reference.predict(Z) == y))
    Z[:] = reference.cross_entropy_gradient(Z, y) * s[:, None].astype(Z.dtype)
    return Totals(loss, float(s.sum()), hits)
