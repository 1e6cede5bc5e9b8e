"""Python's threads over native code, which releases the GIL: PyTorch's OpenMP and another one on the same
cores would wait for each other."""

from __future__ import annotations

import functools
import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import torch


def share(n: int, t: int, threads: int) -> slice:
    """Thread t's part of [0, n)."""
    return slice(n * t // threads, n * (t + 1) // threads)


def run(threads: int, work: Callable[[int], None], meet: threading.Barrier | None = None) -> None:
    """work(t) on each of the threads, which may `meet`; raises the first error of any of them."""

    def guarded(t: int) -> None:
        try:
            work(t)
        except BaseException:
            if meet is not None:
                meet.abort()
            raise

    if threads == 1:
        work(0)
        return
    with _in_turn:  # threads of two calls that wait for each other would wait for ever
        futures = [_pool(threads).submit(guarded, t) for t in range(threads)]
        errors = [future.exception() for future in futures]
    for error in errors:
        if error is not None and not isinstance(error, threading.BrokenBarrierError):
            raise error


def over(n: int, work: Callable[[slice], None]) -> None:
    """work(rows) for n rows, one range per thread."""
    threads = max(min(torch.get_num_threads(), n), 1)
    run(threads, lambda t: work(share(n, t, threads)))


@functools.cache
def _pool(threads: int) -> ThreadPoolExecutor:
    """A pool of that many threads, made once."""
    return ThreadPoolExecutor(threads, thread_name_prefix="xent")


_in_turn = threading.Lock()


def _forget() -> None:
    """In a forked child: neither threads nor the holder of the lock survive fork()."""
    global _in_turn
    _in_turn = threading.Lock()
    _pool.cache_clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
