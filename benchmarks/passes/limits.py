"""What the machine could do at most, and how much memory a pass takes beside its result."""

from __future__ import annotations

import time
from functools import partial
from typing import Any

import numpy as np

from benchmarks.common.machine import PAUSE, seconds, settled, status, threads

from . import peers, problems


def peaks(best: dict[str, Any], rough: bool) -> None:
    """Raise `best` to what the machine does: flop/s of a matrix product in each dtype, bytes/s of reading.

    The best over PyTorch and NumPy, sizes and repeats, and over calls of this function, because a limit must
    not be what one of them happens to reach. `rough` takes small sizes, for a smoke test.
    """
    import torch

    torch.set_num_threads(threads())
    rates: dict[tuple[str, str], float] = {}
    rng = np.random.default_rng(0)
    for dtype in ("float32", "float64"):
        for size in (384,) if rough else (2048, 3072, 4096):
            A, B = (rng.standard_normal((size, size)).astype(dtype) for _ in "AB")
            tensors = torch.from_numpy(A), torch.from_numpy(B)
            runs = {"PyTorch": partial(torch.mm, *tensors), "NumPy": partial(np.matmul, A, B)}
            for name, run in runs.items():
                time.sleep(PAUSE)
                run()
                rates[dtype, f"{name}, {size} × {size}"] = 2 * size**3 / seconds(run)
    array = np.ones((1 << 26 if rough else 1 << 30) // 8, np.int64)
    for name, way in peers.read_ways([array], threads()).items():
        rates["read", name] = max(array.nbytes / seconds(way.run) for _ in range(3))

    for (what, name), rate in rates.items():
        if rate > best.get(what, {"rate": 0.0})["rate"]:
            best[what] = {"rate": rate, "by": name}


def extra_memory(cell: problems.Cell, entrant: str, way: str, n: int) -> dict[str, int] | None:
    """Bytes that one pass adds to this process at its worst moment, in a process of its own.

    `extra_bytes`: pages resident at the peak of the second full pass that were not right before: result and
    temporaries. `kept_bytes`: what the first full pass left resident after its result was freed, beyond a
    pass over 64 rows: buffers that a library fills once and keeps (OpenBLAS: 55 MiB for 60000×784 by 784×10).
    torch.compile leaves its compiler behind as well, so there that is not given. Neither counts X, y, W, b,
    labels converted beforehand, libraries or threads. Freed memory goes back to the system and the kernel's
    record of the peak is reset before each pass (Linux only, elsewhere None). Good to about 0.5 MiB.
    """
    compiled = entrant == "PyTorch compiled"
    if not compiled:
        peers.ENTRANTS[entrant](problems.make(cell, 64), threads())[way].run()
    problem = problems.make(cell, n)
    run = peers.ENTRANTS[entrant](problem, threads())[way].run
    try:
        start = settled()
        run()
        before = settled()
        result = run()
        peak = status("VmHWM")
        del result
    except (OSError, AttributeError):
        return None
    found = {"extra_bytes": max(peak - before, 0)}
    return found if compiled else found | {"kept_bytes": max(before - start, 0)}
