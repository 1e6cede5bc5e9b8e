"""The entrants of benchmarks/passes: each turns a problem into ways to compute one pass.

An entrant may have several ways, its fastest is the one that counts. Every way gives Σ ℓ_i, or a multiple
of it, and the gradients for W and b; none asks for the gradient for X. Whatever does not depend on W
(converting labels, wrapping arrays) is done here, outside of what is timed.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from benchmarks.passes.problems import Float, Problem


class Pass(NamedTuple):
    """`run()` is what is timed; `outcome` reads Σ ℓ_i and the gradient (K or 1, d + 1) from its result."""

    run: Callable[[], Any]
    outcome: Callable[[Any], tuple[float, Float]] | None = None


class Unsupported(Exception):
    """This entrant does not do this problem; the text says why."""


def xent_passes(problem: Problem, threads: int) -> dict[str, Pass]:
    """xent.kernels.linear.sums."""
    from xent.kernels import linear

    batch = linear.Batch(problem.X, problem.y)

    def run() -> linear.Sums:
        return linear.sums(batch, problem.W, problem.b, n_threads=threads)

    return {"sums": Pass(run, lambda sums: (sums.loss, np.column_stack((sums.grad_W, sums.grad_b))))}


def sklearn_passes(problem: Problem, threads: int) -> dict[str, Pass]:
    """What LogisticRegression hands to its lbfgs, with labels and coefficients in X's dtype."""
    from sklearn._loss import HalfBinomialLoss, HalfMultinomialLoss
    from sklearn.linear_model._linear_loss import LinearModelLoss

    X, y, W, b = problem
    if X.dtype not in (np.float32, np.float64):
        raise Unsupported(f"widens a {X.dtype} X to float64 first")
    if len(W) == 2:
        model = LinearModelLoss(HalfBinomialLoss(), fit_intercept=True)
        coef = np.append(W[1] - W[0], b[1] - b[0])
    else:
        model = LinearModelLoss(HalfMultinomialLoss(n_classes=len(W)), fit_intercept=True)
        coef = np.asfortranarray(np.column_stack((W, b)))
    labels, n = y.astype(X.dtype), len(y)
    return {
        "loss_gradient": Pass(
            lambda: model.loss_gradient(coef, X, labels, n_threads=threads),
            lambda result: (n * float(result[0]), n * np.atleast_2d(result[1]).astype(np.float64)),
        )
    }


def torch_passes(problem: Problem, threads: int, *, compiled: bool = False) -> dict[str, Pass]:
    """PyTorch's forward and backward, eager or through torch.compile (inductor, fixed shapes).

    A half-precision X meets W either as torch.autocast has it (product in half precision, loss in float32)
    or widened to float32. Two classes are tried with one row of logits too.
    """
    import torch

    torch.set_num_threads(threads)
    if compiled:
        # One cell's compiled functions would count towards the next one's limit of recompilations.
        torch._dynamo.reset()

    def one(name: str, logits: Callable[..., Any], X: tuple[Any, ...], W: Any, b: Any, y: Any) -> Pass:
        entropy: Any = torch.nn.functional.cross_entropy
        if "one row" in name:
            entropy = torch.nn.functional.binary_cross_entropy_with_logits

        def loss(X: tuple[Any, ...], W: Any, b: Any, y: Any) -> Any:
            return entropy(logits(*X, W, b), y, reduction="sum")

        compute = torch.compile(loss, dynamic=False) if compiled else loss
        W, b = torch.from_numpy(W).requires_grad_(), torch.from_numpy(b).requires_grad_()

        def run() -> Any:
            value = compute(X, W, b, y)
            return value.detach(), *torch.autograd.grad(value, (W, b))

        def outcome(result: Any) -> tuple[float, Float]:
            value, grad_W, grad_b = (part.double().numpy() for part in result)
            if "embedding" in name:
                grad_W = grad_W.T
            return float(value), np.column_stack((grad_W.reshape(len(grad_b), -1), grad_b))

        return Pass(run, outcome)

    y = torch.from_numpy(problem.y)
    if not isinstance(problem.X, np.ndarray):
        return _torch_sparse(problem, y, one)
    X = _tensor(problem.X)
    linear: Any = torch.nn.functional.linear
    products: dict[str, Callable[..., Any]] = {"linear": linear}
    if X.dtype in (torch.float16, torch.bfloat16):
        products = {
            "autocast": lambda X, W, b: linear(X, W.to(X.dtype), b.to(X.dtype)).float(),
            "widened": lambda X, W, b: linear(X.float(), W, b),
        }
    _, _, W, b = problem
    ways = {name: one(name, product, (X,), W, b, y) for name, product in products.items()}
    if len(W) == 2:
        target = torch.from_numpy(problem.y.astype(W.dtype))
        for name, product in products.items():
            ways[f"{name}, one row"] = one(
                f"{name}, one row",
                lambda X, w, b, product=product: product(X, w, b).squeeze(1),
                (X,),
                W[1:] - W[:1],
                b[1:] - b[:1],
                target,
            )
    return ways


def _torch_sparse(problem: Problem, y: Any, one: Callable[..., Pass]) -> dict[str, Pass]:
    """CSR by a sparse product, and by the weighted embedding_bag that users of text models reach for."""
    import torch

    X, _, W, b = problem
    starts, columns, values = (torch.from_numpy(part) for part in (X.indptr, X.indices, X.data))
    matrix = torch.sparse_csr_tensor(starts, columns, values, X.shape)

    def bag(starts: Any, columns: Any, values: Any, table: Any, b: Any) -> Any:
        return b + torch.nn.functional.embedding_bag(
            columns, table, starts, mode="sum", per_sample_weights=values, include_last_offset=True
        )

    table = np.ascontiguousarray(W.T)
    return {
        "sparse_csr": one("sparse_csr", lambda X, W, b: X @ W.T + b, (matrix,), W, b, y),
        "embedding_bag": one("embedding_bag", bag, (starts, columns, values), table, b, y),
    }


def _tensor(X: NDArray[Any]) -> Any:
    """X as a tensor over the same memory; NumPy's bfloat16 is not one that PyTorch knows."""
    import torch

    if X.dtype.name == "bfloat16":
        return torch.from_numpy(X.view(np.int16)).view(torch.bfloat16)
    return torch.from_numpy(X)


def read_passes(problem: Problem, threads: int) -> dict[str, Pass]:
    """Does nothing but read X (CSR: its values and columns) once, on all cores."""
    X = problem.X
    if not isinstance(X, np.ndarray):
        return read_ways([X.data, X.indices], threads)
    return read_ways([X.reshape(-1, order="A")], threads)


def read_ways(arrays: list[NDArray[Any]], threads: int) -> dict[str, Pass]:
    """Reductions of the bytes of contiguous arrays as int64, one part a thread; the fastest few of many.

    On one machine NumPy's reduced 49 GB/s here where torch.sum, torch.amax and dot products reached 28–34.
    """
    words = [array.view(np.uint8)[: array.nbytes // 8 * 8].view(np.int64) for array in arrays]
    parts = [part for array in words for part in np.array_split(array, threads)]
    pool = ThreadPoolExecutor(threads)

    def way(reduction: np.ufunc) -> Pass:
        return Pass(lambda: sum(int(part) for part in pool.map(reduction.reduce, parts)))

    return {"add": way(np.add), "or": way(np.bitwise_or)}


ENTRANTS: dict[str, Callable[[Problem, int], dict[str, Pass]]] = {
    "xent": xent_passes,
    "scikit-learn": sklearn_passes,
    "PyTorch": torch_passes,
    "PyTorch compiled": lambda problem, threads: torch_passes(problem, threads, compiled=True),
    "read": read_passes,
}
PEERS = ("scikit-learn", "PyTorch", "PyTorch compiled")
