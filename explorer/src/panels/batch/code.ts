/** The panel's batch as a Python script: by loops, on whole matrices, with PyTorch, with xent. Each defines W, X,
 *  y, reg, and the loss and the gradient that the page shows. */

export type Way = 'loops' | 'vectorised' | 'pytorch' | 'xent';

const data = (size: number, reg: number) => `import numpy as np

rng = np.random.RandomState(0)  # the seed
X = rng.randn(4, 2).round(2)  # N = 4 rows of D = 2 features
W = rng.randn(7, 2).round(2) * ${size}  # K = 7 classes
y = np.array([1, 3, 5, 0])
reg = ${reg}
`;

const LOOPS = `

def softmax_loss(W, X, y, reg):
    loss, dW = 0.0, np.zeros_like(W)
    for i in range(len(X)):
        z = W @ X[i]
        z = z - z.max()
        log_p = z - np.log(np.exp(z).sum())
        loss -= log_p[y[i]] / len(X)
        for k in range(len(W)):
            error = np.exp(log_p[k]) - (k == y[i])
            dW[k] += error * X[i] / len(X)
    loss += 0.5 * reg * np.sum(W**2)
    dW += reg * W
    return loss, dW


loss, dW = softmax_loss(W, X, y, reg)
print(loss, dW, sep="\\n")
`;

const VECTORISED = `

def softmax_loss(W, X, y, reg):
    rows = np.arange(len(X))
    Z = X @ W.T
    Z = Z - Z.max(axis=1, keepdims=True)
    log_P = Z - np.log(np.exp(Z).sum(axis=1, keepdims=True))
    loss = -log_P[rows, y].mean() + 0.5 * reg * np.sum(W**2)
    errors = np.exp(log_P)
    errors[rows, y] -= 1  # P - Y
    dW = errors.T @ X / len(X) + reg * W
    return loss, dW


loss, dW = softmax_loss(W, X, y, reg)
print(loss, dW, sep="\\n")
`;

const PYTORCH = `
import torch

torch.manual_seed(0)  # for whatever PyTorch draws; its stream is not NumPy's
weight = torch.from_numpy(W).requires_grad_()
logits = torch.from_numpy(X) @ weight.T
loss = torch.nn.CrossEntropyLoss()(logits, torch.from_numpy(y)) + 0.5 * reg * (weight**2).sum()
loss.backward()
loss, dW = loss.item(), weight.grad.numpy()
print(loss, dW, sep="\\n")
`;

const XENT = `
from xent import reference

loss, dW, _ = reference.softmax_loss(W, X, y, reg)
print(loss, dW, sep="\\n")
`;

const CODE: Record<Way, string> = { loops: LOOPS, vectorised: VECTORISED, pytorch: PYTORCH, xent: XENT };

export const written = (way: Way, size: number, reg: number): string => data(size, reg) + CODE[way];

/** The line of the loops that a step of theirs is at. */
export const INNER = 'dW[k] +=';
export const LAST = 'dW += reg';
