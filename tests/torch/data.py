"""Tensors for the tests of xent.torch."""

import torch


def tensors(n=40, d=8, K=90, dtype=torch.float32, seed=0):
    g = torch.Generator().manual_seed(seed)
    x, W = (torch.randn(s, generator=g).to(dtype).requires_grad_() for s in ((n, d), (K, d)))
    return x, W, torch.randint(0, K, (n,), generator=g)


def backward(loss, *inputs):
    return torch.autograd.grad(loss.sum(), inputs)
