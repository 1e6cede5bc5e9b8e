"""A one-block transformer learns Python from the standard library, once with PyTorch's loss and once with
xent's.

    python examples/language_model.py            two minutes on two cores; --steps 20 for a glance

The same seed, the same batches: the two curves lie on each other. What differs is the memory at the worst
moment of a step, measured in a process of its own for each. Tokens are words and signs; rare ones share
one.
"""

from __future__ import annotations

import argparse
import collections
import ctypes
import gc
import json
import re
import subprocess
import sys
import sysconfig
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from xent.torch import linear_cross_entropy

CONTEXT, BATCH, WIDTH, WORDS = 128, 16, 128, 16384


def text(files: int = 400) -> Tensor:
    """The standard library as tokens: the WORDS − 1 commonest words and signs, 0 for any other."""
    folder = Path(sysconfig.get_paths()["stdlib"])
    sources = sorted(folder.glob("*.py")) + sorted(folder.glob("[a-rt-z]*/*.py"))
    words = [
        word
        for source in sources[:files]
        for word in re.findall(r"\w+|[^\w ]|  +", source.read_text(errors="replace"))
    ]
    common = {word: i + 1 for i, (word, _) in enumerate(collections.Counter(words).most_common(WORDS - 1))}
    return torch.tensor([common.get(word, 0) for word in words])


class Model(nn.Module):
    """Embedding, one block of causal attention, and a head as wide as the vocabulary."""

    def __init__(self) -> None:
        super().__init__()
        self.words, self.places = nn.Embedding(WORDS, WIDTH), nn.Embedding(CONTEXT, WIDTH)
        self.block = nn.TransformerEncoderLayer(
            WIDTH, 4, 4 * WIDTH, dropout=0.0, batch_first=True, norm_first=True
        )
        self.norm = nn.LayerNorm(WIDTH)
        self.head = nn.Linear(WIDTH, WORDS, bias=False)

    def forward(self, tokens: Tensor) -> Tensor:
        mask = nn.Transformer.generate_square_subsequent_mask(tokens.shape[1])
        x = self.words(tokens) + self.places.weight[: tokens.shape[1]]
        return self.norm(self.block(x, src_mask=mask, is_causal=True))


def loss_of(model: Model, tokens: Tensor, which: str) -> Tensor:
    """Of the next token at every place, in nats."""
    hidden = model(tokens)
    if which == "torch":
        logits = model.head(hidden[:, :-1])
        return F.cross_entropy(logits.flatten(0, 1), tokens[:, 1:].flatten())
    return linear_cross_entropy(hidden, model.head.weight, tokens, shift=1)


def train(which: str, steps: int) -> dict[str, object]:
    """Losses of the steps, and the bytes that a step adds at its worst moment (Linux; elsewhere 0)."""
    tokens = text()
    torch.manual_seed(0)
    model = Model()
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-3)
    draw = torch.Generator().manual_seed(1)
    losses, before = [], 0
    for step in range(steps):
        starts = torch.randint(0, len(tokens) - CONTEXT, (BATCH,), generator=draw)
        batch = torch.stack([tokens[i : i + CONTEXT] for i in starts])
        if step == 2:  # what PyTorch keeps for good is there by now
            before = settled()
        loss = loss_of(model, batch, which)
        loss.backward()
        optimiser.step()
        optimiser.zero_grad()
        losses.append(loss.item())
    return {"losses": losses, "bytes": max(status("VmHWM") - before, 0)}


def settled() -> int:
    """Bytes resident now; the kernel's record of the peak starts anew."""
    gc.collect()
    try:
        ctypes.CDLL(None).malloc_trim(0)
        Path("/proc/self/clear_refs").write_text("5")
    except (OSError, AttributeError):
        return 0
    return status("VmRSS")


def status(field: str) -> int:
    file = Path("/proc/self/status")
    lines = file.read_text().splitlines() if file.exists() else []
    return next((int(line.split()[1]) << 10 for line in lines if line.startswith(field)), 0)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--steps", type=int, default=150)
    parser.add_argument("--which", choices=("torch", "xent"), help="what processes run")
    args = parser.parse_args()
    if args.which:
        print(json.dumps(train(args.which, args.steps)))
        return
    found = {}
    for which in ("torch", "xent"):
        command = [sys.executable, __file__, "--which", which, "--steps", str(args.steps)]
        found[which] = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    print(" step   F.cross_entropy   linear_cross_entropy")
    curves = [found[which]["losses"] for which in ("torch", "xent")]
    for step in sorted({*range(0, args.steps, max(args.steps // 10, 1)), args.steps - 1}):
        print(f"{step:5}   {curves[0][step]:15.6f}   {curves[1][step]:20.6f}")
    apart = max(abs(a - b) for a, b in zip(*curves, strict=True))
    print(f"At no step are they further apart than {apart:.1e} nats.")
    sizes = [found[which]["bytes"] / 2**20 for which in ("torch", "xent")]
    print(f"Memory that a step adds at its worst: {sizes[0]:.0f} MiB, {sizes[1]:.0f} MiB with xent.")


if __name__ == "__main__":
    main()
