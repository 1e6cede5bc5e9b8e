"""BLAS out of the kernels' way.

NumPy's and SciPy's OpenBLAS each keep a pool of threads that spin for tens of milliseconds after a
product, on the cores that the fused kernel wants next: raw digits took 3 times as long to fit with BLAS
threads as without. So a solve that runs on the fused kernel holds BLAS to one thread, but for the few
products large enough to pay for more.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

from threadpoolctl import LibController, ThreadpoolController

_lock = threading.Lock()
_counts = {"one": 0, "all": 0}
_own: dict[str, int] = {}  # what BLAS had before the first entry


@functools.cache
def _libraries() -> list[LibController]:
    """The BLAS libraries in this process."""
    libraries: list[LibController] = ThreadpoolController().select(user_api="blas").lib_controllers
    return libraries


@contextmanager
def blas(which: str) -> Iterator[None]:
    """`with blas("one")`: a single BLAS thread inside; `blas("all")` within it lifts that again.

    The setting belongs to the process, so entries are counted: concurrent fits in several Python
    threads leave BLAS as they found it, whichever ends first.
    """
    _move(which, +1)
    try:
        yield
    finally:
        _move(which, -1)


def _move(which: str, by: int) -> None:
    """Counts an entry or exit, and sets the threads of BLAS if that changes what they are to be."""
    with _lock:
        if not any(_counts.values()):
            _own.update((lib.filepath, lib.num_threads) for lib in _libraries())
        before = _limited()
        _counts[which] += by
        if _limited() != before:
            for lib in _libraries():
                lib.set_num_threads(1 if _limited() else _own[lib.filepath])


def _limited() -> bool:
    """Whether BLAS is to run on one thread now."""
    return _counts["one"] > 0 and _counts["all"] == 0


def blas_for(flops: float) -> AbstractContextManager[None]:
    """A context in which a product of so many flops has all BLAS threads, if it is worth waking them."""
    return blas("all") if flops > 2e9 else nullcontext()
