"""A process of tests/torch/test_parallel.py: its classes' part of losses, saved."""

import sys
from datetime import timedelta

import torch
import torch.distributed as dist

from xent.torch import vocab_parallel_linear_cross_entropy

RETURNS = ("lse", "target_log_prob", "entropy", "argmax", "correct")


def main(rank, folder):
    """Answers folder/calls.pt with folder/<rank>.pt."""
    given = torch.load(f"{folder}/calls.pt")
    store = dist.FileStore(f"{folder}/store", given["ranks"])
    dist.init_process_group(
        "gloo", store=store, rank=rank, world_size=given["ranks"], timeout=timedelta(seconds=60)
    )
    found = [answer(rank, call) for call in given["calls"]]
    torch.save(found, f"{folder}/{rank}.pt")
    dist.destroy_process_group()


def answer(rank, call):
    """The loss, other outputs and gradients of this rank; or the error it raised."""
    call = dict(call)
    cuts, x, W, b, target, upstream = (call.pop(k) for k in ("cuts", "x", "W", "b", "target", "upstream"))
    mine = slice(cuts[rank], cuts[rank + 1])
    x, W = x.requires_grad_(), W[mine].clone().requires_grad_()
    b = None if b is None else b[mine].clone().requires_grad_()
    if call.get("class_weight") is not None:
        call["class_weight"] = call["class_weight"][mine]
    if torch.is_tensor(target) and target.is_floating_point():
        target = target[:, mine]
    try:
        found = vocab_parallel_linear_cross_entropy(x, W, target, bias=b, **call)
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    outputs = {} if torch.is_tensor(found) else {name: getattr(found, name) for name in call["returns"]}
    loss = found if torch.is_tensor(found) else found.loss
    leaves = [t for t in (x, W, b) if t is not None]
    total = loss * upstream if loss.ndim == 0 else loss @ upstream
    for name in ("lse", "target_log_prob", "entropy"):
        if name in outputs and torch.is_tensor(target) and not target.is_floating_point():
            total = total + (outputs[name].nan_to_num(0, 0, 0) * upstream).sum()
    gradients = torch.autograd.grad(total, leaves)
    return {"loss": loss.detach(), "gradients": gradients} | {k: v.detach() for k, v in outputs.items()}


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
