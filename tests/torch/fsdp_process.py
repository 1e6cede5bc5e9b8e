"""A process of tests/torch/test_fsdp.py: some steps of a model that FSDP shards, its losses saved."""

import sys
from datetime import timedelta

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FullyShardedDataParallel, fully_shard

from xent.torch import linear_cross_entropy

WAYS = ("fully_shard", "FullyShardedDataParallel")
STEPS, ROWS, CLASSES = 6, 64, 20


class Model(nn.Module):
    """Next tokens, of a head without bias; the loss is worked out in forward, by `loss` of hidden states."""

    def __init__(self, loss):
        super().__init__()
        self.loss = loss
        self.embedding = nn.Embedding(CLASSES, 12)
        self.layers = nn.ModuleList(nn.Sequential(nn.Linear(12, 12), nn.Tanh()) for _ in range(2))
        self.head = nn.Linear(12, CLASSES, bias=False)

    def forward(self, tokens, target):
        hidden = self.embedding(tokens)
        for layer in self.layers:
            hidden = hidden + layer(hidden)
        return self.loss(hidden, self.head.weight, target)


def ours(hidden, weight, target):
    return linear_cross_entropy(hidden, weight, target)


def pytorchs(hidden, weight, target):
    return F.cross_entropy(F.linear(hidden, weight), target)


def train(rank=0, ranks=1, loss=pytorchs, shard=lambda model: model):
    """The losses of a process' share of each batch."""
    torch.manual_seed(0)
    model, found = shard(Model(loss)), []
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.05)
    for step in range(STEPS):
        g = torch.Generator().manual_seed(step)
        tokens = torch.randint(0, CLASSES, (ROWS,), generator=g)[rank::ranks]
        optimizer.zero_grad()
        value = model(tokens, tokens * 7 % CLASSES)
        value.backward()
        optimizer.step()
        found.append(value.detach())
    return torch.stack(found)


def sharded(way, model):
    if way == "FullyShardedDataParallel":
        for i, layer in enumerate(model.layers):
            model.layers[i] = FullyShardedDataParallel(layer, device_id=torch.device("cpu"))
        return FullyShardedDataParallel(model, device_id=torch.device("cpu"))
    mesh = init_device_mesh("cpu", (dist.get_world_size(),))
    for layer in model.layers:
        fully_shard(layer, mesh=mesh)
    return fully_shard(model, mesh=mesh)


def main(rank, ranks, folder):
    store = dist.FileStore(f"{folder}/store", ranks)
    dist.init_process_group("gloo", store=store, rank=rank, world_size=ranks, timeout=timedelta(seconds=60))
    losses = {way: train(rank, ranks, ours, lambda model, w=way: sharded(w, model)) for way in WAYS}
    torch.save(losses, f"{folder}/{rank}.pt")
    dist.destroy_process_group()


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3])
