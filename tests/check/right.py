"""Correct softmax cross-entropies, written as differently as people write them."""

import functools
import math

import numpy as np
import torch
from torch.nn import functional as F


def cs231n_loops(W, X, y, reg):
    loss, dW = 0.0, np.zeros_like(W)
    for i in range(X.shape[0]):
        scores = X[i].dot(W)
        scores = scores - np.max(scores)
        p = np.exp(scores) / np.sum(np.exp(scores))
        loss += -np.log(p[y[i]])
        for k in range(W.shape[1]):
            dW[:, k] += (p[k] - (k == y[i])) * X[i]
    return loss / X.shape[0] + reg * np.sum(W * W), dW / X.shape[0] + 2 * reg * W


def cs231n_vectorised(W, X, y, reg):
    N = X.shape[0]
    scores = X @ W
    scores -= scores.max(axis=1, keepdims=True)
    p = np.exp(scores)
    p /= p.sum(axis=1, keepdims=True)
    loss = -np.log(p[np.arange(N), y]).mean() + 0.5 * reg * np.sum(W**2)
    p[np.arange(N), y] -= 1
    return loss, X.T @ p / N + reg * W


def log_sum_exp(W, X, y, reg):
    z = X @ W
    m = z.max(1)
    lse = m + np.log(np.exp(z - m[:, None]).sum(1))
    G = np.exp(z - lse[:, None])
    G[range(len(y)), y] -= 1
    return (lse - z[range(len(y)), y]).mean() + reg * (W * W).sum(), X.T @ G / len(y) + 2 * reg * W


def classes_first(W, X, y, reg):
    z = X @ W.T
    z = z - z.max(axis=1)[:, None]
    logp = z - np.log(np.exp(z).sum(axis=1))[:, None]
    Y = np.eye(len(W))[y]
    dW = (np.exp(logp) - Y).T @ X / len(X)
    return -np.take_along_axis(logp, y[:, None], 1).mean() + reg / 2 * (W**2).sum(), dW + reg * W


def without_regulariser(W, X, y):
    return cs231n_vectorised(W, X, y, 0.0)


def pure_python(W, X, y, reg):
    N, D, K = len(X), len(W), len(W[0])
    loss, dW = 0.0, [[0.0] * K for _ in range(D)]
    for x, label in zip(X.tolist(), y.tolist(), strict=True):
        z = [sum(x[d] * W[d][k] for d in range(D)) for k in range(K)]
        m = max(z)
        total = sum(math.exp(v - m) for v in z)
        loss += (m + math.log(total) - z[label]) / N
        for k in range(K):
            g = math.exp(z[k] - m) / total - (1.0 if k == label else 0.0)
            for d in range(D):
                dW[d][k] += g * x[d] / N
    for d in range(D):
        for k in range(K):
            loss += 0.5 * reg * W[d][k] ** 2
            dW[d][k] += reg * W[d][k]
    return loss, dW


def float32(W, X, y, reg):
    W, X = W.astype(np.float32), X.astype(np.float32)
    loss, dW = cs231n_vectorised(W, X, y, np.float32(reg))
    return np.float32(loss), dW


def of_logits(logits, y):
    z = logits - logits.max(axis=1, keepdims=True)
    logp = z - np.log(np.exp(z).sum(axis=1, keepdims=True))
    grad = np.exp(logp)
    grad[np.arange(len(y)), y] -= 1
    return -logp[np.arange(len(y)), y].mean(), grad / len(y)


def losses_of_logits(logits, y):
    return np.logaddexp.reduce(logits, axis=1) - logits[np.arange(len(y)), y]


def d2l_numpy(y_hat, y):
    return -np.log(y_hat[range(len(y_hat)), y])


def d2l_torch(y_hat, y):
    return -torch.log(y_hat[list(range(len(y_hat))), y]).mean()


def torch_functional(logits, target):
    return torch.nn.functional.cross_entropy(logits, target)


def torch_by_hand(logits, target):
    return (torch.logsumexp(logits, 1) - logits.gather(1, target[:, None])[:, 0]).mean()


def torch_inside(W, X, y, reg):
    W = torch.tensor(W, requires_grad=True)
    loss = torch.nn.functional.cross_entropy(torch.tensor(X) @ W, torch.tensor(y)) + reg * (W * W).sum()
    loss.backward()
    return loss.item(), W.grad.numpy()


def torch_float32(W, X, y, reg):
    W = torch.tensor(W, dtype=torch.float32, requires_grad=True)
    z = torch.tensor(X, dtype=torch.float32) @ W
    loss = torch.nn.functional.cross_entropy(z, torch.tensor(y)) + 0.5 * reg * (W * W).sum()
    loss.backward()
    return loss.item(), W.grad.numpy()


def tensors_in_and_out(W, X, y, reg):
    z = X.mm(W)
    p = torch.softmax(z, dim=1)
    loss = -torch.log_softmax(z, 1)[torch.arange(len(y)), y].mean() + reg * W.pow(2).sum()
    p[torch.arange(len(y)), y] -= 1.0
    return loss, X.t().mm(p) / len(y) + 2 * reg * W


def named_as_probabilities(y_hat, y):
    return F.cross_entropy(y_hat, y)


def d2l_averaged(Y_hat, Y, averaged=True):
    return F.cross_entropy(Y_hat, Y, reduction="mean" if averaged else "none")


def with_reduction(logits, y, reduction="mean"):
    losses = np.logaddexp.reduce(logits, axis=1) - logits[np.arange(len(y)), y]
    return losses.mean() if reduction == "mean" else losses


def log_of_softmax(input, target):
    return F.nll_loss(torch.log(torch.softmax(input, 1)), target)


def bfloat16(logits, y):
    return F.cross_entropy(logits.bfloat16(), y)


def float16(W, X, y, reg):
    loss, dW = cs231n_vectorised(W.astype(np.float16), X.astype(np.float16), y, np.float16(reg))
    return np.float16(loss), dW.astype(np.float16)


def long_double(logits, y):
    loss, grad = of_logits(logits, y)
    return np.longdouble(loss), grad.astype(np.longdouble)


def keyword_reg(W, X, y, *, reg=0.1):
    return cs231n_vectorised(W, X, y, reg)


def decorated(*args, **options):
    return cs231n_vectorised(*args, **options)


def reg_among_options(W, X, y, **options):
    return log_sum_exp(W, X, y, options["reg"])


def strength_by_another_name(W, X, y, *, weight_decay=0.0):
    return log_sum_exp(W, X, y, weight_decay)


def torch_of_arrays(logits, y):
    return torch.nn.functional.cross_entropy(torch.as_tensor(logits), torch.as_tensor(y))


def detached_value(logits, y):
    z = torch.tensor(np.asarray(logits))
    return torch.nn.functional.cross_entropy(z, torch.tensor(np.asarray(y)))


def logarithms_of_python(W, X, y, reg):
    """math.log raises where np.log says −∞."""
    loss, dW = 0.0, np.zeros_like(W)
    for x, label in zip(X, y, strict=True):
        z = x @ W
        e = [math.exp(v - max(z)) for v in z]
        loss -= math.log(e[label] / sum(e)) / len(y)
        for k in range(len(e)):
            dW[:, k] += (e[k] / sum(e) - (k == label)) * x / len(y)
    return loss + reg * np.sum(W * W), dW + 2 * reg * W


def d2l_with_an_assertion(y_hat, y):
    assert np.allclose(y_hat.sum(axis=1), 1)
    return -np.log(y_hat[np.arange(len(y)), y])


def d2l_of_python(y_hat, y):
    return sum(-math.log(row[label]) for row, label in zip(y_hat, y, strict=True)) / len(y)


def every_step_back(W, X, y, reg):
    """Backpropagation through each operation, 1/p too."""
    z = X @ W
    e = np.exp(z - z.max(1, keepdims=True))
    S = e.sum(1, keepdims=True)
    p = e / S
    rows = np.arange(len(y))
    dp = np.zeros_like(p)
    dp[rows, y] = -1 / p[rows, y] / len(y)
    de = dp / S - (dp * e).sum(1, keepdims=True) / S**2
    dz = de * e
    return -np.log(p[rows, y]).mean() + 0.5 * reg * np.sum(W * W), X.T @ dz + reg * W


def jacobian_of_each_row(logits, y):
    loss, grad = 0.0, np.zeros_like(logits)
    for i, z in enumerate(logits):
        p = np.exp(z - z.max())
        p /= p.sum()
        loss -= np.log(p[y[i]])
        dp = np.zeros(len(p))
        dp[y[i]] = -1 / p[y[i]]
        grad[i] = dp @ (np.diag(p) - np.outer(p, p))
    return loss / len(y), grad / len(y)


def a_column(y_hat, y):
    return -np.log(np.take_along_axis(y_hat, y[:, None], 1))


partial = functools.partial(cs231n_vectorised, reg=0.1)


class Layer(torch.nn.Module):
    def forward(self, input, target):
        return torch.nn.functional.nll_loss(torch.log_softmax(input, 1), target)


module = Layer()
MODULES = (torch.nn.CrossEntropyLoss(), module)
FUNCTIONS = (
    cs231n_loops,
    cs231n_vectorised,
    log_sum_exp,
    classes_first,
    without_regulariser,
    pure_python,
    float32,
    of_logits,
    losses_of_logits,
    d2l_numpy,
    d2l_torch,
    torch_functional,
    torch_by_hand,
    torch_inside,
    torch_float32,
    tensors_in_and_out,
    named_as_probabilities,
    d2l_averaged,
    with_reduction,
    log_of_softmax,
    bfloat16,
    float16,
    long_double,
    keyword_reg,
    decorated,
    logarithms_of_python,
    d2l_with_an_assertion,
    d2l_of_python,
    reg_among_options,
    strength_by_another_name,
    torch_of_arrays,
    detached_value,
    every_step_back,
    jacobian_of_each_row,
    a_column,
    partial,
)
