"""The entrants of benchmarks/race, and the process in which each runs.

Every entrant gets the objective of benchmarks/race/problems.py as its own documentation words it, threads as
it takes them by default, and iterations without end: what stops it is its tolerance. Its ladder of
tolerances begins where nobody would begin, so that it need not be more accurate than it must.

X in float16 is converted to float32 for all but xent, since they do not compute in it; that is neither
timed nor counted as memory. adelie requires NumPy 1 and xent NumPy 2: adelie has an environment of its own,
which `make race` builds.
"""

from __future__ import annotations

import importlib.util
import json
import math
import os
import statistics
import sys
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from benchmarks.common.machine import HOUSE, PAUSE, settled, status
from benchmarks.race import problems
from benchmarks.race.problems import Data, Float

DECADES = tuple(10.0**-k for k in range(1, 13))
ENDLESS = 10**6
HESSIAN_BYTES = 4 << 30  # what newton-cholesky may allocate for (K (d + 1))² float64
ADELIE = HOUSE / "build" / "adelie" / "bin" / "python"
SHORT = 0.5  # seconds; a fit shorter than that is repeated

Fit = Callable[[Any, NDArray[np.int64], float, float, int], tuple[Float, Float, dict[str, Any]]]


class Unsupported(Exception):
    """This entrant does not do this problem; the text says why."""


@dataclass(frozen=True)
class Entrant:
    """fit(X, y, C, tol, max_iter) → coef (K, d) or (1, d), intercept, what it says of itself.

    `modules` must be there to take part, or `python`, of an environment of its own; `tols` is the ladder,
    loosest first; `half`: it takes X in float16.
    """

    fit: Fit
    tols: tuple[float, ...] = DECADES
    modules: tuple[str, ...] = ("sklearn",)
    python: Path | None = None
    half: bool = False

    def missing(self) -> str | None:
        """The first module that is not installed, or the Python."""
        if self.python is not None:
            return None if self.python.exists() else str(self.python.relative_to(HOUSE))
        return next((name for name in self.modules if importlib.util.find_spec(name) is None), None)

    def taken(self, X: Any) -> Any:
        """X in a type that it computes in."""
        return X.astype(np.float32) if X.dtype == np.float16 and not self.half else X


def xent(X: Any, y: NDArray[np.int64], C: float, tol: float, max_iter: int) -> Any:
    """SoftmaxRegression; `tol` is nats above the optimum, as it certifies them."""
    from xent import SoftmaxRegression

    model = SoftmaxRegression(C=C, tol=tol, max_iter=max_iter).fit(X, y)
    said = {"solver": model.solver_, "n_passes": model.n_passes_, "suboptimality": model.suboptimality_}
    return model.coef_, model.intercept_, said


def sklearn(solver: str, X: Any, y: NDArray[np.int64], C: float, tol: float, max_iter: int) -> Any:
    """LogisticRegression; `tol`: of max |∇F|, for saga of the change of the coefficients in one epoch."""
    from sklearn.linear_model import LogisticRegression

    if solver == "newton-cholesky" and hessian_bytes(X, y) > HESSIAN_BYTES:
        raise Unsupported(f"its Hessian takes {hessian_bytes(X, y) / 2**30:.0f} GiB")
    model = LogisticRegression(C=C, tol=tol, max_iter=max_iter, solver=solver).fit(X, y)
    return model.coef_, model.intercept_, {"n_iter": int(np.max(model.n_iter_))}


def hessian_bytes(X: Any, y: NDArray[np.int64]) -> int:
    """Of newton-cholesky: float64, square in K (d + 1)."""
    K = int(y.max()) + 1
    return 8 * ((1 if K == 2 else K) * (X.shape[1] + 1)) ** 2


def sklearnex(X: Any, y: NDArray[np.int64], C: float, tol: float, max_iter: int) -> Any:
    """scikit-learn-intelex's LogisticRegression, lbfgs: oneDAL's loss under SciPy's optimiser."""
    if hasattr(X, "tocsr"):
        raise Unsupported("CSR falls back to scikit-learn's own lbfgs")
    from sklearnex.linear_model import LogisticRegression

    model = LogisticRegression(C=C, tol=tol, max_iter=max_iter).fit(X, y)
    return model.coef_, model.intercept_, {"n_iter": int(np.max(model.n_iter_))}


def cyanure(solver: str, X: Any, y: NDArray[np.int64], C: float, tol: float, max_iter: int) -> Any:
    """Classifier: (1/n) Σ ℓ_i + (lambda_1 / 2) ‖W‖², intercept free; `tol`: duality gap over objective.

    Its coefficients lie (d, K), those of two classes (d,) for one logit. On iris and
    breast cancer "auto" did what "qning-ista" does and stalled, where "qning-svrg" got there: hence both.
    """
    from cyanure.estimators import Classifier

    loss = "logistic" if int(y.max()) == 1 else "multiclass-logistic"
    model = Classifier(
        loss=loss,
        penalty="l2",
        lambda_1=1 / (C * len(y)),
        fit_intercept=True,
        solver=solver,
        tol=tol,
        max_iter=max_iter,
        verbose=False,
    ).fit(X, y)
    return model.coef_.T, model.intercept_.ravel(), {"n_iter": int(np.max(model.n_iter_))}


def pytorch(X: Any, y: NDArray[np.int64], C: float, tol: float, max_iter: int) -> Any:
    """torch.optim.LBFGS, full batch, strong Wolfe, history 100 (its default); `tol`: of max |∇F|.

    The change of loss at which it would stop is set to where float64 sees none. CSR is multiplied as a
    sparse tensor; two classes have one logit.
    """
    import torch

    K = int(y.max()) + 1
    if hasattr(X, "tocsr"):
        parts = (torch.from_numpy(part) for part in (X.indptr, X.indices, X.data))
        rows = torch.sparse_csr_tensor(*parts, X.shape)
    else:
        rows = torch.from_numpy(X)
    target = torch.from_numpy(y.astype(X.dtype) if K == 2 else y)
    W = torch.zeros((1 if K == 2 else K, X.shape[1]), dtype=rows.dtype, requires_grad=True)
    b = torch.zeros(len(W), dtype=rows.dtype, requires_grad=True)
    optimiser = torch.optim.LBFGS(
        [W, b],
        max_iter=max_iter,
        max_eval=10 * max_iter,
        tolerance_grad=tol,
        tolerance_change=1e-16,
        line_search_fn="strong_wolfe",
    )
    functional: Any = torch.nn.functional
    n_passes = 0

    def closure() -> Any:
        nonlocal n_passes
        n_passes += 1
        optimiser.zero_grad()
        Z = rows @ W.T + b
        if K == 2:
            loss = functional.binary_cross_entropy_with_logits(Z.squeeze(1), target)
        else:
            loss = functional.cross_entropy(Z, target)
        loss = loss + (W * W).sum() / (2 * C * len(y))
        loss.backward()
        return loss

    optimiser.step(closure)
    return W.detach().numpy(), b.detach().numpy(), {"n_passes": n_passes}


def adelie(X: Any, y: NDArray[np.int64], C: float, tol: float, max_iter: int) -> Any:
    """grpnet at one lambda with alpha=0, each feature a group of weight 1; on one thread, its default.

    Its multinomial loss is ours over K, its binomial one ours. `tol`, of both its loops, is of squares of
    changes. The layouts it is made for, columns of dense X and CSC, are part of the fit.
    """
    import adelie
    from scipy.sparse import csc_matrix

    (n, d), K = X.shape, int(y.max()) + 1
    rows = adelie.matrix.sparse(csc_matrix(X)) if hasattr(X, "tocsr") else np.asfortranarray(X)
    multi = K > 2
    glm = adelie.glm.multinomial if multi else adelie.glm.binomial
    target = np.eye(K, dtype=X.dtype)[y] if multi else y.astype(X.dtype)
    state = adelie.grpnet(
        rows,
        glm(target),
        alpha=0,
        lmda_path=np.array([1 / (C * n * (K if multi else 1))], X.dtype),
        penalty=np.ones(d, X.dtype),
        early_exit=False,
        tol=tol,
        irls_tol=tol,
        max_iters=max_iter,
        irls_max_iters=max_iter,
        progress_bar=False,
    )
    if not state.betas.shape[0]:
        raise RuntimeError(f"no solution: {state.error or 'max_iters'}")
    coef = state.betas.toarray().reshape(d, -1).T
    return coef, np.atleast_1d(state.intercepts[0]), {}


def mnlogit(X: Any, y: NDArray[np.int64], C: float, tol: float, max_iter: int) -> Any:
    """statsmodels' MNLogit by its default, Newton; `tol`: of the change of a coefficient.

    It maximises the likelihood, and its `fit_regularized` knows L1 alone: it runs where C is infinite.
    Class 0 has logit 0. Standard errors, which no other entrant computes, are left out.
    """
    if math.isfinite(C):
        raise Unsupported("no L2 penalty")
    if hasattr(X, "tocsr"):
        raise Unsupported("no CSR")
    from statsmodels.discrete.discrete_model import MNLogit

    rows = np.column_stack((np.ones(len(y), X.dtype), X))
    fit = MNLogit(y, rows).fit(method="newton", tol=tol, maxiter=max_iter, disp=False, skip_hessian=True)
    parts = np.asarray(fit.params).T
    if len(parts) > 1:
        parts = np.vstack((np.zeros_like(parts[:1]), parts))
    return parts[:, 1:], parts[:, 0], {"n_iter": fit.mle_retvals["iterations"]}


ENTRANTS: dict[str, Entrant] = {
    "xent": Entrant(xent, (1e-3, 1e-4, 1e-5, 1e-6), ("xent",), half=True),
    "xent, default tol": Entrant(xent, (1e-6,), ("xent",), half=True),
    "lbfgs": Entrant(partial(sklearn, "lbfgs")),
    "newton-cg": Entrant(partial(sklearn, "newton-cg")),
    "newton-cholesky": Entrant(partial(sklearn, "newton-cholesky")),
    "saga": Entrant(partial(sklearn, "saga")),
    "sklearnex": Entrant(sklearnex, modules=("sklearn", "sklearnex")),
    "cyanure": Entrant(partial(cyanure, "auto"), modules=("cyanure",)),
    "cyanure qning-svrg": Entrant(partial(cyanure, "qning-svrg"), modules=("cyanure",)),
    "PyTorch": Entrant(pytorch, modules=("torch",)),
    "adelie": Entrant(adelie, tuple(tol**2 for tol in DECADES), python=ADELIE),
    "MNLogit": Entrant(mnlogit, modules=("statsmodels",)),
}
OWN = ("xent", "xent, default tol")
PEERS = tuple(name for name in ENTRANTS if name not in OWN)


def interpreter(name: str) -> str:
    """The Python in which that entrant runs."""
    own = ENTRANTS[name].python if name in ENTRANTS else None
    return sys.executable if own is None else str(own)


class Task(NamedTuple):
    """One fit, asked for: where to write coef and intercept, and how often to repeat it if it is short."""

    tol: float
    out: str
    repeats: int


def serve(problem: problems.Problem, name: str, scale: float, cache: Path) -> None:
    """Fit what stdin asks for, one JSON line a task, and answer on stdout; the parent keeps the time limit.

    Answers: {"before": bytes resident} as a fit begins, then its figures or {"error": …}. What libraries
    print goes to stderr.
    """
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    warnings.simplefilter("ignore")
    entrant = ENTRANTS[name]
    X, y = problems.load(problem, scale, cache)
    X = entrant.taken(X)

    def answer(**line: Any) -> None:
        answers.write(json.dumps(line) + "\n")

    try:
        _warm_up(entrant, X, y, problem.C)
    except Unsupported as error:
        answer(unsupported=str(error))
        return
    answer(ready=True)
    for line in sys.stdin:
        try:
            _fit(entrant, (X, y), problem.C, Task(**json.loads(line)), answer)
        except Exception as error:  # a peer that fails is a result
            text = str(error).strip().partition("\n")[0]
            answer(error=f"{type(error).__name__}: {text[:200]}")


def _warm_up(entrant: Entrant, X: Any, y: NDArray[np.int64], C: float) -> None:
    """A few iterations on a few rows with every class among them: loads libraries, starts threads.

    On rows of all columns, since an entrant may turn down the problem for its number of columns; at a small C
    if there is a penalty, as some turn down that or its absence.
    """
    first = np.unique(y, return_index=True)[1]
    rows = np.union1d(first, np.arange(64))
    try:
        entrant.fit(X[rows], y[rows], 1e-2 if math.isfinite(C) else C, entrant.tols[0], 5)
    except Unsupported:
        raise
    except Exception as error:  # what matters is whether the fit itself fails
        print(f"warm-up: {error}", file=sys.stderr)


def _fit(entrant: Entrant, data: Data, C: float, task: Task, answer: Callable[..., None]) -> None:
    def once() -> tuple[float, Any]:
        start = time.perf_counter()
        result = entrant.fit(*data, C, task.tol, ENDLESS)
        return time.perf_counter() - start, result

    def bytes_of(read: Callable[[], int]) -> int | None:
        try:
            return read()
        except (OSError, AttributeError):  # Linux only
            return None

    before = bytes_of(settled)
    time.sleep(PAUSE)
    answer(before=before)
    took, (coef, intercept, said) = once()
    peak = bytes_of(lambda: status("VmHWM"))
    times = [took]
    while len(times) < task.repeats and took < SHORT:
        time.sleep(PAUSE)
        times.append(once()[0])
    np.savez(task.out, coef=np.atleast_2d(coef), intercept=np.atleast_1d(intercept))
    extra = None if before is None or peak is None else max(peak - before, 0)
    answer(seconds=statistics.median(times), times=times, extra_bytes=extra, said=said)
