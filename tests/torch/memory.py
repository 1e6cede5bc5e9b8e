"""What forward and backward of `linear_cross_entropy` take at their worst moment, eager and compiled.

    python -m tests.torch.memory    half a minute, on Linux

MiB resident at the peak of the second call, gradients included, less those right before it.
"""

import argparse
import json

import torch

from benchmarks.common import machine
from xent.torch import linear_cross_entropy

ROWS, FEATURES, CLASSES = 2048, 128, 16384


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true")
    as_json = parser.parse_args().json
    g = torch.Generator().manual_seed(0)
    x, W = (torch.randn(n, FEATURES, generator=g).requires_grad_() for n in (ROWS, CLASSES))
    y = torch.randint(0, CLASSES, (ROWS,), generator=g)
    found, bits = {"logits": ROWS * CLASSES * 4 >> 20}, []
    for name, loss in (("eager", linear_cross_entropy), ("compiled", torch.compile(linear_cross_entropy))):
        for _ in range(2):
            x.grad = W.grad = None
            before = machine.settled()
            loss(x, W, y).backward()
            found[name] = (machine.status("VmHWM") - before) / 2**20
        bits.append((x.grad, W.grad))
    found["same bits"] = all(torch.equal(a, b) for a, b in zip(*bits, strict=True))
    if as_json:
        print(json.dumps(found))
        return
    print(
        f"{ROWS} rows, {FEATURES} features, {CLASSES} classes in float32; the logits: {found['logits']} MiB"
    )
    print(f"eager {found['eager']:.1f} MiB, compiled {found['compiled']:.1f} MiB")
    print("gradients: the same bits" if found["same bits"] else "gradients differ")


if __name__ == "__main__":
    main()
