"""xent.torch against PyTorch's cross-entropies on the CPU: time, memory and accuracy of forward and
backward.

    make bench-torch                                            some minutes on two cores
    python -m benchmarks.torch_losses --scale 0.05 --rounds 1   does it run at all?

Entrants: eager (F.linear and F.cross_entropy), the same through torch.compile, F.linear_cross_entropy with
its default options and with 256 rows a chunk, and xent; of logits that are there, eager, compiled and
xent. Times: in one process, in turns, in an order shuffled each round, a pause before each until threads
have stopped spinning; medians, and ratios to xent's. `product` is the one matrix product that forward
cannot do without, by PyTorch. Memory: a process each; pages resident at the worst moment of a call, less
those before it, less the gradients. Accuracy: against float64 from the same numbers.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.common import machine
from xent.torch import cross_entropy, linear_cross_entropy

CASES: dict[str, tuple[torch.dtype, int, int, int]] = {  # dtype, rows, features (0: logits), classes
    "float32 2048 × 512 × 32768": (torch.float32, 2048, 512, 32768),
    "bfloat16 1024 × 512 × 16384": (torch.bfloat16, 1024, 512, 16384),
    "float32 8192 × 256 × 8192": (torch.float32, 8192, 256, 8192),
    "float32 logits 1024 × 32768": (torch.float32, 1024, 0, 32768),
}
Call = Callable[..., Tensor]


def entrants(linear: bool) -> dict[str, Call]:
    """Losses of (x, W, y), or of (logits, y)."""
    if not linear:
        return {
            "xent": cross_entropy,
            "eager": F.cross_entropy,
            "torch.compile": torch.compile(lambda z, y: F.cross_entropy(z, y)),
        }

    def eager(x: Tensor, W: Tensor, y: Tensor) -> Tensor:
        return F.cross_entropy(F.linear(x, W), y)

    def chunked(**options: int) -> Call:
        chosen = torch.nn.LinearCrossEntropyOptions(**options)
        return lambda x, W, y: F.linear_cross_entropy(x, W, y, options=chosen)

    return {
        "xent": linear_cross_entropy,
        "eager": eager,
        "torch.compile": torch.compile(eager),
        "linear_cross_entropy": chunked(),
        "linear_cross_entropy, 256 rows": chunked(batch_chunk_size=256),
    }


def tensors(case: str, scale: float) -> tuple[list[Tensor], Tensor]:
    """What takes a gradient, and the targets."""
    dtype, n, d, K = CASES[case]
    n, K = max(int(n * scale), 16), max(int(K * scale), 16)
    g = torch.Generator().manual_seed(0)
    shapes = ((n, d), (K, d)) if d else ((n, K),)
    leaves = [torch.randn(shape, generator=g) for shape in shapes]
    if d:
        leaves[1] /= d**0.5
    return [leaf.to(dtype).requires_grad_() for leaf in leaves], torch.randint(0, K, (n,), generator=g)


def calls(case: str, scale: float) -> dict[str, Callable[[], Any]]:
    """Forward and backward, forward alone, and the product, by name."""
    leaves, y = tensors(case, scale)

    def both(loss: Call) -> Callable[[], None]:
        def run() -> None:
            for leaf in leaves:
                leaf.grad = None
            loss(*leaves, y).backward()

        return run

    def alone(loss: Call) -> Callable[[], None]:
        def run() -> None:
            with torch.no_grad():
                loss(*leaves, y)

        return run

    linear = len(leaves) == 2
    found = {name: both(loss) for name, loss in entrants(linear).items()}
    found |= {f"{name}, forward": alone(loss) for name, loss in entrants(linear).items()}
    if linear:
        plain = [leaf.detach() for leaf in leaves]
        found["product"] = lambda: torch.mm(plain[0], plain[1].T)
    return found


def times(case: str, scale: float, rounds: int) -> dict[str, list[float]]:
    runs = calls(case, scale)
    order = np.random.default_rng(0)
    for run in runs.values():  # compiles, allocates
        run()
    found: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(rounds):
        for name in order.permutation(list(runs)):
            time.sleep(machine.PAUSE)
            start = time.perf_counter()
            runs[name]()
            found[name].append(time.perf_counter() - start)
    return found


def memory(case: str, name: str, scale: float) -> int:
    """Bytes beyond the gradients at the worst moment of the second call, in this process."""
    leaves, y = tensors(case, scale)
    loss = entrants(len(leaves) == 2)[name]
    for turn in range(2):
        for leaf in leaves:
            leaf.grad = None
        before = machine.settled() if turn else 0
        loss(*leaves, y).backward()
    gradients = sum(leaf.numel() * leaf.element_size() for leaf in leaves)
    return machine.status("VmHWM") - before - gradients


def accuracy(scale: float) -> dict[str, Any]:
    """Mean losses of bfloat16, off by how much of an ulp; float32 rows of two classes, off by how much of
    them."""
    n, d, K = max(int(8192 * scale), 64), 256, max(int(8192 * scale), 64)
    g = torch.Generator().manual_seed(1)
    x, W = (torch.randn(s, generator=g).to(torch.bfloat16) for s in ((n, d), (K, d)))
    W /= d**0.5
    y = torch.randint(0, K, (n,), generator=g)
    exact = float(F.cross_entropy(x.double() @ W.double().T, y))
    ulp = float(torch.finfo(torch.bfloat16).eps * 2 ** np.floor(np.log2(exact)))
    ways = entrants(True)
    ways["eager, logits in float32"] = lambda x, W, y: F.cross_entropy(F.linear(x, W).float(), y)
    small = torch.nn.LinearCrossEntropyOptions(batch_chunk_size=64)
    ways["linear_cross_entropy, 64 rows"] = lambda x, W, y: F.linear_cross_entropy(x, W, y, options=small)
    found: dict[str, Any] = {"exact": exact, "ulp": ulp, "bfloat16": {}, "gaps": {}}
    for name, loss in ways.items():
        with torch.no_grad():
            found["bfloat16"][name] = float(loss(x, W, y))
    for gap in (5.0, 10.0, 15.0, 17.0, 40.0):
        z = torch.tensor([[gap, 0.0]], requires_grad=True)
        p = float(np.exp(-gap) / (1 + np.exp(-gap)))
        for name, loss in (("xent", cross_entropy), ("eager", F.cross_entropy)):
            value = loss(z, torch.tensor([0]))
            (slope,) = torch.autograd.grad(value, z)
            errors = [float(value) / np.log1p(np.exp(-gap)) - 1, float(slope[0, 0]) / -p - 1]
            found["gaps"].setdefault(name, []).append([gap, *map(abs, errors)])
    return found


def show(report: dict[str, Any]) -> None:
    """The tables, in Markdown."""
    for case, cell in report["cases"].items():
        median = {name: statistics.median(values) for name, values in cell["seconds"].items()}
        over = "the product" if "product" in median else "xent's"
        print(f"\n| {case} | time / xent's | forward alone / {over} | MiB beyond the gradients |")
        print("| --- | ---: | ---: | ---: |")
        for name in cell["memory"]:
            both, alone = median[name] / median["xent"], median[f"{name}, forward"]
            forward = alone / (median["product"] if "product" in median else median["xent, forward"])
            print(f"| {name} | {both:.2f} | {forward:.2f} | {cell['memory'][name] / 2**20:.0f} |")
    found = report["accuracy"]
    print(f"\n| mean of bfloat16 losses, exactly {found['exact']:.6f} | off by, in ulp |\n| --- | ---: |")
    for name, value in found["bfloat16"].items():
        print(f"| {name} | {abs(value - found['exact']) / found['ulp']:.2f} |")
    print("\n| float32, two classes, the right one ahead by | xent: loss, gradient | PyTorch |")
    print("| --- | ---: | ---: |")
    for (gap, *own), (_, *other) in zip(found["gaps"]["xent"], found["gaps"]["eager"], strict=True):
        print(f"| {gap:g} | {own[0]:.0e}, {own[1]:.0e} | {other[0]:.0e}, {other[1]:.0e} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--scale", type=float, default=1.0, help="of rows and classes, for a smoke test")
    parser.add_argument("--json", type=Path, default=Path("build/bench/torch.json"), metavar="PATH")
    parser.add_argument("--memory", nargs=2, metavar=("CASE", "ENTRANT"), help="what processes run")
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.set_num_threads(machine.threads())
    if args.memory:
        print(memory(*args.memory, args.scale))
        return
    report: dict[str, Any] = {"machine": machine.describe(), "scale": args.scale, "cases": {}}
    for case, (_, _, d, _) in CASES.items():
        cell: dict[str, Any] = {"memory": {}}
        for name in entrants(d > 0):
            command = [sys.executable, "-m", "benchmarks.torch_losses", "--scale", str(args.scale)]
            command += ["--memory", case, name]
            said = subprocess.run(
                command, capture_output=True, text=True, check=True, cwd=machine.HOUSE
            ).stdout
            cell["memory"][name] = int(said.splitlines()[-1])
        cell["seconds"] = times(case, args.scale, args.rounds)
        report["cases"][case] = cell
        print(f"{case}: measured", file=sys.stderr)
    report["accuracy"] = accuracy(args.scale)
    args.json.parent.mkdir(parents=True, exist_ok=True)
    args.json.write_text(json.dumps(report, indent=1) + "\n")
    show(report)


if __name__ == "__main__":
    main()
