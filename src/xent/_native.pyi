"""Types of the compiled extension; `xent.kernels.native` states what its functions do.

The letters at the end of a name say what arrays hold: d float64, f float32, h float16 and b bfloat16, the
last two as bits. Of two letters the first is X's (A's), the second that of the dtype in which a row is
computed (B's). Then i stands for int32 and l for int64 indices of CSR. n rows, d features, k classes; an
array is C-ordered unless its comment says otherwise. All raise ValueError where shapes do not fit. `isa`
names an instruction set, "" the best.
"""

import enum
from collections.abc import Callable
from typing import overload

import numpy as np
from numpy.typing import NDArray

F64 = NDArray[np.float64]
F32 = NDArray[np.float32]
I64 = NDArray[np.int64]
I32 = NDArray[np.int32]
Bits = NDArray[np.uint16]
Sums = tuple[float, float, float]  # Σ s ℓ in nats, Σ s, Σ s q_w

def isa(wanted: str) -> str: ...
def max_threads() -> int: ...

class Task(enum.Enum):
    sums = 0
    curvature = 1
    probabilities = 2
    log_probabilities = 3
    classes = 4
    logits = 5

class Targets:
    label: I64 | None  # (n,)
    soft_f: F32 | None  # (n, k)
    soft_d: F64 | None
    top_class: I64 | None  # (n, t)
    top_value: F64 | None
    smoothing: float
    ignored: int | None
    weight: F64 | None  # (n,)
    offset_f: F32 | None  # (n, k)
    offset_d: F64 | None
    def __init__(self) -> None: ...

class Arrays_f:
    v: F32 | None  # (k, d), of a curvature pass
    c: F32 | None  # (k,)
    grad_w: F64 | None  # (k, d)
    grad_b: F64 | None  # (k,)
    out: F32 | None  # (n, k)
    out_class: I64 | None  # (n,)
    def __init__(self, w: F32, b: F32) -> None: ...  # (k, d), (k,)
    @property
    def shape(self) -> tuple[int, int]: ...

class Arrays_d:
    v: F64 | None  # (k, d), of a curvature pass
    c: F64 | None  # (k,)
    grad_w: F64 | None  # (k, d)
    grad_b: F64 | None  # (k,)
    out: F64 | None  # (n, k)
    out_class: I64 | None  # (n,)
    def __init__(self, w: F64, b: F64) -> None: ...  # (k, d), (k,)
    @property
    def shape(self) -> tuple[int, int]: ...

# x (n, d), with any strides.
def dense_dd(task: Task, x: F64, targets: Targets, arrays: Arrays_d, threads: int, isa: str) -> Sums: ...
def dense_fd(task: Task, x: F32, targets: Targets, arrays: Arrays_d, threads: int, isa: str) -> Sums: ...
def dense_hd(task: Task, x: Bits, targets: Targets, arrays: Arrays_d, threads: int, isa: str) -> Sums: ...
def dense_bd(task: Task, x: Bits, targets: Targets, arrays: Arrays_d, threads: int, isa: str) -> Sums: ...
def dense_ff(task: Task, x: F32, targets: Targets, arrays: Arrays_f, threads: int, isa: str) -> Sums: ...
def dense_hf(task: Task, x: Bits, targets: Targets, arrays: Arrays_f, threads: int, isa: str) -> Sums: ...
def dense_bf(task: Task, x: Bits, targets: Targets, arrays: Arrays_f, threads: int, isa: str) -> Sums: ...

# CSR: value, column (stored,), start (n + 1,); the gradient (k, d) by W has any strides.
def sparse_ddi(
    task: Task,
    value: F64,
    column: I32,
    start: I32,
    d: int,
    targets: Targets,
    arrays: Arrays_d,
    gradient: bool,
    threads: int,
    isa: str,
) -> tuple[Sums, F64 | None]: ...
def sparse_ddl(
    task: Task,
    value: F64,
    column: I64,
    start: I64,
    d: int,
    targets: Targets,
    arrays: Arrays_d,
    gradient: bool,
    threads: int,
    isa: str,
) -> tuple[Sums, F64 | None]: ...
def sparse_fdi(
    task: Task,
    value: F32,
    column: I32,
    start: I32,
    d: int,
    targets: Targets,
    arrays: Arrays_d,
    gradient: bool,
    threads: int,
    isa: str,
) -> tuple[Sums, F64 | None]: ...
def sparse_fdl(
    task: Task,
    value: F32,
    column: I64,
    start: I64,
    d: int,
    targets: Targets,
    arrays: Arrays_d,
    gradient: bool,
    threads: int,
    isa: str,
) -> tuple[Sums, F64 | None]: ...
def sparse_ffi(
    task: Task,
    value: F32,
    column: I32,
    start: I32,
    d: int,
    targets: Targets,
    arrays: Arrays_f,
    gradient: bool,
    threads: int,
    isa: str,
) -> tuple[Sums, F64 | None]: ...
def sparse_ffl(
    task: Task,
    value: F32,
    column: I64,
    start: I64,
    d: int,
    targets: Targets,
    arrays: Arrays_f,
    gradient: bool,
    threads: int,
    isa: str,
) -> tuple[Sums, F64 | None]: ...

class Columns_f:
    def __init__(self, targets: Targets, rows: I64, n: int, k: int, isa: str) -> None: ...
    @property
    def filled(self) -> int: ...
    # z (classes, filled), its rows contiguous; peak (filled,).
    def scan(self, z: F32, first: int, peak: F32 | None) -> None: ...
    def finish(self) -> Sums: ...
    def residual(self, z: F32, first: int, peak: F32 | None) -> None: ...
    # (rows, 7)
    def save(self, out: F64) -> None: ...
    def restore(self, saved: F64) -> None: ...

class Columns_d:
    def __init__(self, targets: Targets, rows: I64, n: int, k: int, isa: str) -> None: ...
    @property
    def filled(self) -> int: ...
    # z (classes, filled), its rows contiguous; peak (filled,).
    def scan(self, z: F64, first: int, peak: F64 | None) -> None: ...
    def finish(self) -> Sums: ...
    def residual(self, z: F64, first: int, peak: F64 | None) -> None: ...
    # (rows, 7)
    def save(self, out: F64) -> None: ...
    def restore(self, saved: F64) -> None: ...

# z and out of any shape and strides.
def normalise_d(z: F64, out: F64, axis: int, logs: bool, threads: int, isa: str) -> None: ...
def normalise_f(z: F32, out: F32, axis: int, logs: bool, threads: int, isa: str) -> None: ...
def normalise_h(z: Bits, out: Bits, axis: int, logs: bool, threads: int, isa: str) -> None: ...
def normalise_b(z: Bits, out: Bits, axis: int, logs: bool, threads: int, isa: str) -> None: ...

# Returns the first bad row, or −1. Soft rows are as z; label, weight and out have one entry per row.
def losses_d(
    z: F64,
    axis: int,
    label: I64 | None,
    soft_f: F32 | None,
    soft_d: F64 | None,
    weight: F64 | None,
    slack: float,
    out: F64,
    threads: int,
    isa: str,
) -> int: ...
def losses_f(
    z: F32,
    axis: int,
    label: I64 | None,
    soft_f: F32 | None,
    soft_d: F64 | None,
    weight: F64 | None,
    slack: float,
    out: F64,
    threads: int,
    isa: str,
) -> int: ...
def losses_h(
    z: Bits,
    axis: int,
    label: I64 | None,
    soft_f: F32 | None,
    soft_d: F64 | None,
    weight: F64 | None,
    slack: float,
    out: F64,
    threads: int,
    isa: str,
) -> int: ...

losses_b = losses_h

# (m, n), rows contiguous.
def narrow(x: F32, out: Bits, isa: str) -> None: ...
def widen(x: Bits, out: F32, isa: str) -> None: ...

# z and out (n, k), rows contiguous; w (k,); out of scan_rows (n, 6), given (n, 3).
def scan_rows_d(z: F64, factor: float, w: F64 | None, smooth: bool, out: F64, isa: str) -> None: ...
def residual_rows_d(z: F64, factor: float, w: F64 | None, given: F64, out: F64, isa: str) -> None: ...
def scan_rows_f(z: F32, factor: float, w: F32 | None, smooth: bool, out: F64, isa: str) -> None: ...
def residual_rows_f(z: F32, factor: float, w: F32 | None, given: F64, out: F32, isa: str) -> None: ...
def scan_rows_b(z: Bits, factor: float, w: F32 | None, smooth: bool, out: F64, isa: str) -> None: ...
def residual_rows_b(z: Bits, factor: float, w: F32 | None, given: F64, out: Bits, isa: str) -> None: ...

# a (m, k), b (k, n), with any strides; rows of c (m, n) are contiguous.
def multiply_dd(a: F64, b: F64, c: F64, add: bool, isa: str) -> None: ...
def multiply_ff(a: F32, b: F32, c: F32, add: bool, isa: str) -> None: ...
def multiply_hh(a: Bits, b: Bits, c: F32, add: bool, isa: str) -> None: ...
def multiply_bb(a: Bits, b: Bits, c: F32, add: bool, isa: str) -> None: ...
def multiply_fh(a: F32, b: Bits, c: F32, add: bool, isa: str) -> None: ...
def multiply_fb(a: F32, b: Bits, c: F32, add: bool, isa: str) -> None: ...

# Only where the processor multiplies bfloat16 in pairs.
def multiply_pairs_bb(a: Bits, b: Bits, c: F32, add: bool, isa: str) -> None: ...
def multiply_pairs_fb(a: F32, b: Bits, c: F32, add: bool, isa: str) -> None: ...

# start (blocks + 1,); block (Σ width²,); psi, dual (m, r); penalty (4, m); others (m,) but group_start.
def descend_f(
    start: I64,
    block: F32,
    psi: F64,
    dual: F64,
    penalty: F64,
    gradient: F64,
    w: F64,
    group_start: I64 | None,
    member: I64 | None,
    tolerance: float,
    most: int,
    isa: str,
) -> int: ...
def descend_d(
    start: I64,
    block: F64,
    psi: F64,
    dual: F64,
    penalty: F64,
    gradient: F64,
    w: F64,
    group_start: I64 | None,
    member: I64 | None,
    tolerance: float,
    most: int,
    isa: str,
) -> int: ...

# x (n, d), with any strides; centre (d,), p (n, k), weight (n,); out (k·width, k·width).
def curvature(
    x: F64, centre: F64, intercept: bool, p: F64, weight: F64 | None, out: F64, threads: int, isa: str
) -> None: ...

class Smooth:
    def __init__(
        self,
        centre: F64,  # (d,)
        penalty: F64,  # (k, width)
        constant: NDArray[np.bool_],  # (d,)
        weight: float,
        share: F64,  # (k,)
        class_x: F64,  # (k, d)
    ) -> None: ...

class Metric:
    # (d,), (d, d), (k, k), (k, width); or (k·width, k·width)
    @overload
    def __init__(self, units: F64, basis: F64, classes: F64, inverse: F64) -> None: ...
    @overload
    def __init__(self, dense: F64) -> None: ...

# x (n, d), with any strides; theta (k, width). Returns passes and iterations.
def descend_smooth_d(
    x: F64,
    targets: Targets,
    smooth: Smooth,
    metric: Metric,
    refresh: Callable[[], Metric],
    stop: Callable[[float, float, int], bool],
    goal: tuple[float, float, int, int, float],
    theta: F64,
    threads: int,
    isa: str,
) -> tuple[int, int]: ...
def descend_smooth_f(
    x: F32,
    targets: Targets,
    smooth: Smooth,
    metric: Metric,
    refresh: Callable[[], Metric],
    stop: Callable[[float, float, int], bool],
    goal: tuple[float, float, int, int, float],
    theta: F64,
    threads: int,
    isa: str,
) -> tuple[int, int]: ...
def descend_smooth_h(
    x: Bits,
    targets: Targets,
    smooth: Smooth,
    metric: Metric,
    refresh: Callable[[], Metric],
    stop: Callable[[float, float, int], bool],
    goal: tuple[float, float, int, int, float],
    theta: F64,
    threads: int,
    isa: str,
) -> tuple[int, int]: ...

descend_smooth_b = descend_smooth_h

def kept_stride(rows: int) -> int: ...

# On addresses (0: none), sizes, and strides in numbers, which the caller has checked. Returns how many rows
# count, or −1 − the number of the first row whose label is outside the classes.
def loss_forward_d(
    x: int,
    w: int,
    b: int,
    label: int,
    z: int,
    e: int,
    peak: int,
    n: int,
    d: int,
    k: int,
    x_row: int,
    x_column: int,
    w_row: int,
    w_column: int,
    b_stride: int,
    ignored: int,
    max_bytes: int,
    threads: int,
    rounds: bool,
    loss: int,
    stats: int,
    total: int,
    mean: bool,
    isa: str,
    /,
) -> int: ...
def loss_backward_d(
    x: int,
    w: int,
    b: int,
    label: int,
    z: int,
    e: int,
    peak: int,
    n: int,
    d: int,
    k: int,
    x_row: int,
    x_column: int,
    w_row: int,
    w_column: int,
    b_stride: int,
    ignored: int,
    max_bytes: int,
    threads: int,
    rounds: bool,
    stats: int,
    up: int,
    all: float,
    dx: int,
    dw: int,
    db: int,
    isa: str,
    /,
) -> None: ...

loss_forward_f = loss_forward_b = loss_forward_d
loss_backward_f = loss_backward_b = loss_backward_d
