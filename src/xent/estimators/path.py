"""`softmax_path`: one model for each C, from the strongest penalty to the weakest."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.validation import check_array, check_consistent_length

from .. import solvers
from .._types import Float
from ..data import Batch
from ..export import plots
from ..kernels import linear
from ..objective.composite import Composite
from ..objective.ridge import Objective
from ..solvers import Settings, Solution
from .arrays import to_numpy
from .classifier import both_rows
from .control import Control
from .frames import locate
from .input import TAKES, read_problem
from .outcome import Outcome, outcome_of
from .parameters import ModelParameters, check, defaults_of
from .problem import Problem
from .sklearn import get_feature_names
from .softmax import SoftmaxRegression
from .targets import codes_of, offset_of, weights_of


@dataclass(frozen=True)
class SoftmaxPath:
    """Models of the same data at m values of C, in the order in which these were given.

    Cs (m,); l1_ratio; classes_ (K,); coefs: m arrays (K, d), or (1, d) for two classes, CSR with exact zeros
    where l1_ratio > 0; intercepts (m, K) or (m, 1); objective and suboptimality (m,), F at the coefficients
    and a proven bound on F − F*, in nats; converged (m,), whether that is ≤ tol; n_iter (m,), iterations of
    the solver; n_passes, readings of X in all; feature_names_in_ (d,), or None where X had none.
    """

    Cs: Float
    l1_ratio: float
    classes_: NDArray[Any]
    coefs: tuple[Any, ...]
    intercepts: NDArray[Any]
    objective: Float
    suboptimality: Float
    converged: NDArray[np.bool_]
    n_iter: NDArray[np.int64]
    n_passes: int
    feature_names_in_: NDArray[Any] | None = None

    def loss(self, X: Any, y: Any, sample_weight: Any = None, offset: Any = None) -> Float:
        """Each model's mean log-loss (m,) in nats, Σ s_i ℓ_i / Σ s_i, from the logits and so finite, but for
        rows of a class that had no weight in the fit: its probability is 0.

        X (n, d); y labels (n,) among `classes_`, or rows of probabilities (n, K); sample_weight (n,) ≥ 0;
        offset (n, K), or (n,) for two classes. Raises ValueError for a label that no model knows, and for
        columns named other than those that the path was fitted on.
        """
        X, y, sample_weight, offset = to_numpy(X=X, y=y, sample_weight=sample_weight, offset=offset)
        names = get_feature_names(X)
        if (
            names is not None
            and self.feature_names_in_ is not None
            and list(names) != list(self.feature_names_in_)
        ):
            raise ValueError(
                f"X has columns {list(names)}, but the path was fitted on {list(self.feature_names_in_)}; "
                "bring them into that order"
            )
        X = locate(X, lambda: check_array(X, input_name="X", accept_large_sparse=True, **TAKES))
        check_consistent_length(X, y)
        d = self.coefs[0].shape[1]
        if X.shape[1] != d:
            raise ValueError(f"X has {X.shape[1]} features, but the path was fitted on {d}")
        weight = weights_of(X, sample_weight)
        o = offset_of(offset, X.shape[0], self.classes_)
        batch = Batch(X, codes_of(y, self.classes_, weight), weight, offset=o)
        pairs = zip(self.coefs, self.intercepts, strict=True)
        return np.array([mean_loss(batch, coef, intercept) for coef, intercept in pairs])

    def plot(self, ax: Any = None, validation: Any = None) -> Any:
        """Draw coefficients against log C and return the Axes, `ax` or those of a new figure.

        validation: (X, y) or losses (m,): their curve goes into a panel below, its minimum marked. Of more
        than 200 coefficients the largest are drawn. Needs matplotlib.
        """
        if isinstance(validation, tuple):
            validation = self.loss(*validation)
        if validation is not None:
            validation = np.asarray(validation, np.float64)
            if validation.shape != self.Cs.shape:
                raise ValueError(
                    f"validation: expected (X, y) or {len(self.Cs)} losses, got shape {validation.shape}"
                )
        return plots.draw_path(self, ax, validation)


SoftmaxPath.__module__ = "xent.path"  # as pickles name it; a dataclass cannot say so itself


def softmax_path(
    X: Any,
    y: Any,
    Cs: Any = 10,
    *,
    model: SoftmaxRegression | None = None,
    sample_weight: Any = None,
    offset: Any = None,
    **moved: Any,
) -> SoftmaxPath:
    """A model at each C of a grid, each fit certified and started from the last.

    Parameters
    ----------
    X, y, sample_weight, offset
        As `SoftmaxRegression.fit` takes them.
    Cs : (m,) values in (0, inf], or their number m, default 10
        A number stands for logspace(-4, 4, m); with l1_ratio > 0 for m values in geometric progression from
        the largest C at which every penalised coefficient is 0 to 10⁴ times that (10² for n < d). Infinity
        only with l1_ratio = 0.
    model : SoftmaxRegression, default None
        Its parameters are those of every fit; it is not fitted itself. None is `SoftmaxRegression()`. Its C,
        warm_start and callbacks have no part in a path; max_time is for all fits together, verbose prints a
        line a fit, and solver must be "auto".

    Returns a `SoftmaxPath`, in NumPy whatever X is; what becomes of a class without weight is told with
    `SoftmaxRegression`. Fits that fall short of `tol` are told of in one `ConvergenceWarning`. Raises
    ValueError as `fit` does, and TypeError for parameters of the model beside it.
    """
    asked = _asked_of("softmax_path", model, moved, SoftmaxRegression())

    def show(C: float, outcome: Outcome, done: float) -> None:
        print(f"C {C:<10.4g} {outcome.line}", flush=True)

    return trace("softmax_path", asked, X, y, Cs, sample_weight, offset, show if asked.verbose else None)


def _asked_of(who: str, model: Any, moved: dict[str, Any], default: SoftmaxRegression) -> ModelParameters:
    """The parameters of the model that the function `who` was given. `moved`: keywords that it does not
    know."""
    own = defaults_of(SoftmaxRegression)
    for name in moved.keys() - own.keys():
        raise TypeError(f"{who}() got an unexpected keyword argument {name!r}")
    if moved:
        # What the function had of itself, and a model that is given has not.
        own_ratio = [f"l1_ratio={default.l1_ratio:g}"] if default.l1_ratio and "l1_ratio" not in moved else []
        given = ", ".join([*own_ratio, *(f"{name}=…" for name in moved)])
        raise TypeError(f"{who}() takes parameters in a model: write model=SoftmaxRegression({given})")
    if not isinstance(model, SoftmaxRegression | None):
        raise TypeError(f"model: {who}() takes a SoftmaxRegression, got {model!r}")
    model = default if model is None else model
    return ModelParameters.of(model, SoftmaxRegression, stacklevel=4, who=f"{who}'s model")


def trace(
    who: str,
    asked: ModelParameters,
    X: Any,
    y: Any,
    Cs: Any,
    sample_weight: Any = None,
    offset: Any = None,
    report: Callable[[float, Outcome, float], None] | None = None,
) -> SoftmaxPath:
    """The path of a model's parameters, in the name of `who`; after every fit `report` is told C, outcome and
    the share done."""
    check(who, {"Cs": Cs})
    if asked.solver != "auto":
        raise ValueError(
            f"solver: {who} takes the solver that serves the whole path; leave the model's at 'auto', got "
            f"{asked.solver!r}"
        )
    X, y, sample_weight, offset = to_numpy(X=X, y=y, sample_weight=sample_weight, offset=offset)
    reader = SoftmaxRegression()
    problem, _ = read_problem(reader, asked, asked.l1_ratio, X, y, sample_weight, offset)
    at = grid(problem, Cs)
    found: dict[int, Outcome] = {}
    order = np.argsort(at, kind="stable").tolist()
    settings = Control(asked.max_time, 0, []).settings(asked.tol, asked.max_iter)
    for i, outcome in zip(order, outcomes(problem, at[order], settings), strict=True):
        coef = outcome.coef if problem.l1_ratio == 0 else sparse.csr_array(outcome.coef)
        found[i] = replace(outcome, coef=coef)
        if report is not None:
            report(float(at[i]), outcome, len(found) / len(at))
    kept = [found[i] for i in range(len(at))]
    complain(who, [(f"C = {C:g}", outcome) for C, outcome in zip(at, kept, strict=True)], asked.tol)
    return SoftmaxPath(
        at,
        problem.l1_ratio,
        problem.classes,
        tuple(outcome.coef for outcome in kept),
        np.array([outcome.intercept for outcome in kept]),
        np.array([outcome.value for outcome in kept]),
        np.array([outcome.suboptimality for outcome in kept]),
        np.array([outcome.converged for outcome in kept]),
        np.array([outcome.n_iter for outcome in kept]),
        sum(outcome.n_passes for outcome in kept),
        problem.names,
    )


def grid(problem: Problem, Cs: Any) -> Float:
    """The values of C that `Cs` stands for."""
    if np.iterable(Cs):
        values = np.array(Cs, np.float64)
        if problem.l1_ratio > 0 and np.isinf(values).any():
            raise ValueError("Cs: inf is no penalty, which l1_ratio > 0 cannot have; leave it out")
        return values
    if problem.l1_ratio == 0:
        return np.logspace(-4, 4, int(Cs))
    n, d = problem.batch.shape
    with problem.threads():
        first = _first_c(problem)
    first = first if np.isfinite(first) else 1.0  # nothing enters at any C
    return first * np.logspace(0, 4 if n >= d else 2, int(Cs))


def l1_min_c(
    X: Any,
    y: Any,
    *,
    model: SoftmaxRegression | None = None,
    sample_weight: Any = None,
    offset: Any = None,
    **moved: Any,
) -> float:
    """The largest C at which every penalised coefficient is 0; +inf if it is at any.

    Computed, not searched: with ∇ the gradient of (1/S) Σ s_i ℓ_i at the model of the intercept and of
    features whose factor is 0, C S = min over k, j of l1_ratio u_k v_j / |∇_kj|, or with `grouped` of
    l1_ratio v_j / ‖∇_:j‖₂; as `sklearn.svm.l1_min_c` for more than two classes. Source: the optimality
    conditions, see docs/design/0005.

    Parameters
    ----------
    X, y, sample_weight, offset
        As `SoftmaxRegression.fit` takes them.
    model : SoftmaxRegression, default None
        What is asked about, with l1_ratio > 0; it is not fitted. None is `SoftmaxRegression(l1_ratio=1)`.

    Raises ValueError as `fit` does, and for bounds that leave 0 out; TypeError for parameters of the model
    beside it.
    """
    asked = _asked_of("l1_min_c", model, moved, SoftmaxRegression(l1_ratio=1.0))
    if asked.l1_ratio == 0:
        raise ValueError("l1_ratio: without an L1 part no C makes every coefficient 0; it must be > 0")
    X, y, sample_weight, offset = to_numpy(X=X, y=y, sample_weight=sample_weight, offset=offset)
    reader = SoftmaxRegression()
    problem, _ = read_problem(reader, asked, asked.l1_ratio, X, y, sample_weight, offset)
    penalty = problem.penalty
    if ((penalty.l1 > 0) & ((penalty.lower > 0) | (penalty.upper < 0))).any():
        raise ValueError("bounds: they leave out 0, which a penalised coefficient then is at no C")
    with problem.threads():
        return _first_c(problem)


def _first_c(problem: Problem) -> float:
    composite: Any = problem.objective(1.0)
    penalty = composite.penalty
    lower, upper = (np.where(penalty.l1 > 0, 0.0, side) for side in (penalty.lower, penalty.upper))
    null = replace(composite, penalty=replace(penalty, lower=lower, upper=upper, grouped=False))
    at = solvers.choose("auto", null, Settings(tol=1e-12)).solve(null).at
    return penalty.least_scale(at.loss_gradient)


def sweep(
    problem: Problem, Cs: Sequence[float], settings: Settings
) -> Iterator[tuple[Objective | Composite, Solution]]:
    """F's minimiser at each of the ascending Cs, with the objective that it is of.

    An objective's `n_passes` counts what was read for it alone.
    """
    objective, state = problem.objective(Cs[0]), None
    solver = solvers.choose("auto", objective, settings, sweep=True)
    for i, C in enumerate(Cs):
        objective = problem.at(C, objective) if i else objective
        solution = solver.solve(objective, warm=state)
        state = solution.state
        yield objective, solution


def outcomes(problem: Problem, Cs: Any, settings: Settings) -> Iterator[Outcome]:
    """What is kept of each solution of `sweep`."""
    with problem.threads():
        for C, (objective, solution) in zip(Cs, sweep(problem, Cs, settings), strict=True):
            yield outcome_of(problem, solution, objective, C, settings.tol)


def mean_loss(batch: Batch, coef: Any, intercept: Any) -> float:
    """Σ s_i ℓ_i / Σ s_i in nats, computed in float64."""
    W, b = (a.astype(np.float64) for a in both_rows(coef, intercept))
    sums = linear.sums(batch, W, b, gradient=False)
    return sums.loss / sums.weight


def complain(who: str, fits: list[tuple[str, Outcome]], tol: float, stacklevel: int = 4) -> None:
    """One warning for all fits that fell short, `fits` being pairs of where and what."""
    short = [(where, outcome) for where, outcome in fits if not outcome.is_fine]
    if not short:
        return
    where, worst = max(short, key=lambda pair: (not pair[1].converged, pair[1].suboptimality))
    # A solver's advice to those who fit once: a sweep has no warm_start.
    complaint = worst.complaint(tol).replace(", or fit again with warm_start=True", "")
    others = ", ".join(name for name, _ in short[:8]) + (", …" if len(short) > 8 else "")
    warnings.warn(
        f"{who}: {len(short)} of {len(fits)} fits did not reach an optimum ({others}). The worst, {where}: "
        f"{complaint}.",
        ConvergenceWarning,
        stacklevel=stacklevel,
    )
