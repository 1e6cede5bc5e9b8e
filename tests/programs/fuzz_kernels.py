"""Random calls into the kernels, a million of them: `make fuzz`. A program, which pytest does not collect.

    python -m tests.programs.fuzz_kernels [--calls N] [--seed S] [--processes P] [--only I]

Call I of seed S is the same in every run; `--only I` repeats it alone. As its case says, a call must raise
ValueError or TypeError or give an answer, and write nothing outside its outputs; every 20th must also leave
its inputs alone, give the same bits again, and be right. What this version of xent does not offer is left
out and said so. A process that dies or hangs is reported with its call. Exit status 1: something failed.
"""

from __future__ import annotations

import argparse
import faulthandler
import multiprocessing
import os
import resource
import sys
import time
import traceback
from collections import Counter
from dataclasses import fields

import numpy as np

from tests.programs import (
    fuzz_cases,
    fuzz_checks,
    fuzz_descent,
    fuzz_functions,
    fuzz_losses,
    fuzz_solver,
    fuzz_tiles,
)
from xent.kernels import linear, native

AGAIN = "python -m tests.programs.fuzz_kernels"
CHECK_EVERY = 20
DESCENT_EVERY = TILES_EVERY = FUNCTIONS_EVERY = LOSSES_EVERY = SOLVER_EVERY = 20
STUCK_SECONDS = 120
MOST_FAILURES = 5  # a process stops there
MOAT = 64


class GuardedNumpy:
    """numpy as the kernels' callers see it, whose empty() and zeros() lie between two moats."""

    def __init__(self):
        self.given = []

    def __getattr__(self, name):
        return getattr(np, name)

    def empty(self, shape, dtype=np.float64):
        size = int(np.prod(shape)) * np.dtype(dtype).itemsize
        raw = np.full(size + 2 * MOAT, 0xA5, np.uint8)
        self.given.append(raw)
        return raw[MOAT : MOAT + size].view(dtype).reshape(shape)

    def zeros(self, shape, dtype=np.float64):
        out = self.empty(shape, dtype)
        out[...] = 0
        return out

    def check(self):
        for raw in self.given:
            assert (raw[:MOAT] == 0xA5).all(), "written before an output"
            assert (raw[-MOAT:] == 0xA5).all(), "written behind an output"
        self.given.clear()


def isas():
    """The instruction sets this machine can run."""
    found = []
    for name in ("baseline", "avx2", "avx512"):
        try:
            found.append(native._native.isa(name))
        except ValueError:
            continue
    return found


def absent():
    """The kinds that this version does not offer: those that a plain call with nothing else refuses."""
    found = {name for name in fuzz_checks.CALLS if not hasattr(linear, name.partition(",")[0])}
    batch = {f.name for f in fields(linear.Batch)}
    found |= {"y ignored"} if "ignore_index" not in batch else set()
    found |= {"y smoothed"} if "label_smoothing" not in batch else set()
    found |= set(fuzz_cases.OFFSETS) - {"no offset"} if "offset" not in batch else set()
    found |= {"y top k", "y top k, wild"} if not hasattr(linear, "TopK") else set()
    model, y = (np.ones((2, 3)), np.zeros(2)), np.array([0, 1])
    for name, (_, dtype) in fuzz_cases.DTYPES.items():
        try:
            linear.sums(linear.Batch(np.ones((2, 3), dtype), y), *model)
        except (KeyError, TypeError, ValueError):
            found.add(name)
    try:
        linear.sums(linear.Batch(np.ones((2, 3)), np.eye(2)), *model)
    except (IndexError, TypeError, ValueError):
        found |= {"y soft", "y soft, wild"}
    return found


def memory_of(value):
    """The bytes of an argument, with all that lies around it in its buffer."""
    if isinstance(value, np.ndarray):
        while isinstance(value.base, np.ndarray):
            value = value.base
        return value.tobytes()
    parts = (getattr(value, name, None) for name in ("data", "indices", "indptr", "values"))
    return [part.tobytes() for part in parts if part is not None]


def bits(answer):
    return [np.asarray(part).tobytes() for part in answer]


def one_call(seed, index, sets, guard, counts):
    """Draw call `index`, make it, hold it to its case. AssertionError says what is wrong."""
    if index % DESCENT_EVERY == 7 and hasattr(native, "descend"):
        fuzz_descent.one_call(seed, index, sets, guard, counts)
        return
    if index % SOLVER_EVERY == 1 and hasattr(native._native, "descend_smooth_d"):
        fuzz_solver.one_call(seed, index, sets, guard, counts)
        return
    if index % TILES_EVERY == 13 and hasattr(native, "multiply"):
        fuzz_tiles.one_call(seed, index, sets, counts)
        return
    if index % FUNCTIONS_EVERY == 3 and hasattr(native._native, "losses_d"):
        fuzz_functions.one_call(seed, index, sets, counts)
        return
    if index % LOSSES_EVERY == 17 and hasattr(native, "loss_calls"):
        fuzz_losses.one_call(seed, index, sets, counts)
        return
    case = fuzz_cases.draw_case(seed, index)
    run, check = case.draw(fuzz_checks.CALLS)
    native._isa = sets[case.rng.integers(len(sets))]
    case.kinds.append(native._isa)
    counts.update(case.kinds)
    expect = fuzz_checks.expectation(case, run)
    thorough = index % CHECK_EVERY == 0
    arguments = (case.X, case.y, case.weight, case.offset, case.W, case.b, case.V, case.c)
    before = [memory_of(a) for a in arguments] if thorough else None
    try:
        answer = run(case)
    except (ValueError, TypeError):
        if expect == "answer":
            raise
        counts["→ refused"] += 1
        return
    finally:
        guard.check()
    assert expect != "error", "answered"
    counts["→ answered"] += 1
    if not thorough:
        return
    assert [memory_of(a) for a in arguments] == before, "an input was changed"
    assert "loss only" in case.kinds[-2] or bits(run(case)) == bits(answer), "other bits the second time"
    counts["→ twice the same bits, inputs as before"] += 1
    if case.exact and check(case, answer):
        counts["→ every number right"] += 1


def describe(seed, index):
    if kind := {1: "solver", 3: "functions", 7: "descend", 13: "tiles", 17: "losses"}.get(index % 20):
        return f"call {index}: {kind}\n  again: {AGAIN} --seed {seed} --only {index}"
    case = fuzz_cases.draw_case(seed, index)
    kinds = ", ".join(case.kinds)
    return (
        f"call {index}: n {case.n}, d {case.d}, K {case.K}, threads {case.n_threads}; {kinds}\n"
        f"  again: {AGAIN} --seed {seed} --only {index}"
    )


def run_calls(seed, indices, off, reached, results):
    """The work of one process: what it counted and what failed go into `results` at the end."""
    faulthandler.enable()
    fuzz_cases.OFF |= off
    guard, sets, counts, failures = GuardedNumpy(), isas(), Counter(), []
    native.np = linear.np = guard
    early = None
    for done, index in enumerate(indices):
        reached.value = index
        try:
            with np.errstate(all="ignore"):
                one_call(seed, index, sets, guard, counts)
        except Exception:
            failures.append(f"{describe(seed, index)}\n{traceback.format_exc(limit=-3)}")
            if len(failures) == MOST_FAILURES:
                break
        if done == len(indices) // 5:
            early = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - (early or 0)
    results.put((counts, failures, done + 1, grown / 1024 if early else 0.0))


def watch(seed, workers, reached, results):
    """Wait for all; what they found, and a line for each that died or hangs."""
    found, problems, seen = [], [], [(-1, time.monotonic())] * len(workers)
    waiting = set(range(len(workers)))
    while waiting:
        while not results.empty():
            found.append(results.get())
        for w in sorted(waiting):
            if seen[w][0] != reached[w].value:
                seen[w] = reached[w].value, time.monotonic()
            if workers[w].exitcode is not None:
                waiting.discard(w)
                if workers[w].exitcode:
                    problems.append(f"died with {workers[w].exitcode} at {describe(seed, reached[w].value)}")
            elif time.monotonic() - seen[w][1] > STUCK_SECONDS:
                workers[w].kill()
                waiting.discard(w)
                problems.append(f"hangs at {describe(seed, reached[w].value)}")
        time.sleep(0.05)
    for worker in workers:
        worker.join()
    while not results.empty():
        found.append(results.get())
    return found, problems


def report(found, problems, seconds):
    counts, failures = Counter(), list(problems)
    for counted, failed, _, _ in found:
        counts.update(counted)
        failures += failed
    calls = sum(done for _, _, done, _ in found)
    for name in sorted(counts):
        print(f"{counts[name]:>10,}  {name}")
    grown = max((grown for *_, grown in found), default=0.0)
    print(f"{calls:>10,}  calls in {seconds:.0f} s, {calls / seconds:,.0f} a second; ", end="")
    print(f"memory grew by {grown:.0f} MiB after the first fifth")
    for failure in failures:
        print(f"\nFAILED {failure}")
    print(f"\n{len(failures)} failed" if failures else "none failed")
    return 1 if failures else 0


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--calls", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--only", type=int, help="make this call alone, in this process")
    args = parser.parse_args()
    if not native.HAS_NATIVE:
        sys.exit(f"nothing to fuzz: {native.REASON}")
    off = absent()
    print(f"seed {args.seed}; {', '.join(isas())}; {native._native.__file__}")
    print(f"not offered here: {', '.join(sorted(off)) or 'nothing'}; not drawn: {', '.join(fuzz_cases.OFF)}")
    fuzz_cases.OFF |= off

    # More threads than cores: with libgomp's default of spinning, each would wait for the other's turn.
    os.environ |= {"OMP_WAIT_POLICY": "passive", "OPENBLAS_NUM_THREADS": "1"}
    context = multiprocessing.get_context("spawn")
    results = context.SimpleQueue()
    parts = [range(w, args.calls, args.processes) for w in range(args.processes)]
    if args.only is not None:
        parts = [range(args.only, args.only + 1)]
    reached = [context.Value("q", -1, lock=False) for _ in parts]
    workers = [
        context.Process(target=run_calls, args=(args.seed, part, off, at, results))
        for part, at in zip(parts, reached, strict=True)
    ]
    start = time.monotonic()
    for worker in workers:
        worker.start()
    return report(*watch(args.seed, workers, reached, results), time.monotonic() - start)


if __name__ == "__main__":
    sys.exit(main())
