"""What every benchmark asks of the machine: threads, versions, memory; and a pause between entrants."""

from __future__ import annotations

import ctypes
import gc
import os
import platform
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

HOUSE = Path(__file__).resolve().parents[2]  # where `python -m benchmarks.NAME` runs
PAUSE = 0.15  # seconds until the threads of the BLAS or OpenMP that just ran have stopped spinning


def threads() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def seconds(run: Callable[[], Any]) -> float:
    """The best of three consecutive calls, or of as many as begin within half a second."""
    best, spent = float("inf"), 0.0
    for _ in range(3):
        start = time.perf_counter()
        run()
        took = time.perf_counter() - start
        best, spent = min(best, took), spent + took
        if spent > 0.5:
            break
    return best


def describe() -> dict[str, Any]:
    """Processor, memory and versions, for the record."""
    import scipy
    import sklearn
    import torch

    from xent.kernels import native

    cpu = platform.processor()
    memory = None
    if platform.system() == "Linux":
        with open("/proc/cpuinfo") as file:
            names = [line.split(":", 1)[1].strip() for line in file if line.startswith("model name")]
        cpu = names[0] if names else cpu
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "cpu": cpu,
        "cores": os.cpu_count(),
        "threads": threads(),
        "memory_bytes": memory,
        "os": platform.system() + " " + platform.release(),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "scipy": scipy.__version__,
        "scikit-learn": sklearn.__version__,
        "torch": torch.__version__,
        "torch_capability": torch.backends.cpu.get_cpu_capability(),
        "xent_isa": native.isa(),
        "xent_threads": native.max_threads(),
    }


def settled() -> int:
    """Bytes resident once freed memory is given back; the kernel's peak starts anew from here."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    with open("/proc/self/clear_refs", "w") as file:
        file.write("5")
    return status("VmRSS")


def status(field: str, pid: int | str = "self") -> int:
    """Bytes that the kernel gives for a process, like VmRSS now or VmHWM at its peak."""
    with open(f"/proc/{pid}/status") as file:
        return next(int(line.split()[1]) << 10 for line in file if line.startswith(field))
