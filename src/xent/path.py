"""`softmax_path`: one model for each C, from the strongest penalty to the weakest.

At the root because pickles know the class of its result as `xent.path.SoftmaxPath`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy import sparse
from sklearn.utils.validation import check_array, check_consistent_length

from ._types import Array, Bool, Float, Index, Matrix, MatrixLike, TargetLike, VectorLike
from .data import Batch
from .estimators import SoftmaxRegression
from .estimators.arrays import to_numpy
from .estimators.classifier import mean_loss
from .estimators.control import Control
from .estimators.frames import locate
from .estimators.input import TAKES, read_problem
from .estimators.outcome import Outcome
from .estimators.parameters import ModelParameters, check, defaults_of
from .estimators.sklearn import get_feature_names
from .estimators.sweeps import complain, first_c, grid, outcomes
from .estimators.targets import codes_of, offset_of, weights_of
from .export import plots


@dataclass(frozen=True)
class SoftmaxPath:
    """Models of the same data at m values of C, in the order in which these were given to `softmax_path`.

    Attributes
    ----------
    Cs : (m,) float64
    l1_ratio : float
        Of every model.
    classes_ : (K,)
        Sorted labels.
    coefs : m arrays (K, d), or (1, d) for two classes
        CSR with exact zeros where l1_ratio > 0.
    intercepts : (m, K), or (m, 1) for two classes
    objective : (m,) float64
        F at the coefficients, in nats, as `SoftmaxRegression` defines it.
    suboptimality : (m,) float64
        A proven bound on F − F*, in nats.
    converged : (m,) bool
        Whether `suboptimality` is ≤ the model's `tol`.
    n_iter : (m,) int64
        Iterations of the solver.
    n_passes : int
        Readings of X in all.
    feature_names_in_ : (d,), or None
        X's string column names, where it has them.
    """

    Cs: Float
    l1_ratio: float
    classes_: Array
    coefs: tuple[Matrix, ...]
    intercepts: Array
    objective: Float
    suboptimality: Float
    converged: Bool
    n_iter: Index
    n_passes: int
    feature_names_in_: Array | None = None

    def loss(
        self,
        X: MatrixLike,
        y: TargetLike,
        sample_weight: VectorLike | None = None,
        offset: TargetLike | None = None,
    ) -> Float:
        """Each model's mean log-loss Σ s_i ℓ_i / Σ s_i on X, y.

        Parameters
        ----------
        X : (n, d)
            Rows, as in the fit.
        y : (n,) labels among `classes_`, or (n, K) rows of probabilities
        sample_weight : (n,) ≥ 0, default None
            s; None is 1 for each row.
        offset : (n, K), or (n,) for two classes, default None
            Known additions to the logits.

        Returns
        -------
        (m,) float64
            In nats, from the logits and so finite, but for rows of a class that had no weight in the fit: its
            probability is 0.

        Raises
        ------
        ValueError
            For a label that is not in `classes_`, and for columns with other names than in the fit.
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
        rows: Matrix = locate(X, lambda: check_array(X, input_name="X", accept_large_sparse=True, **TAKES))
        check_consistent_length(rows, y)
        d = self.coefs[0].shape[1]
        if rows.shape[1] != d:
            raise ValueError(f"X has {rows.shape[1]} features, but the path was fitted on {d}")
        weight = weights_of(rows, sample_weight)
        o = offset_of(offset, rows.shape[0], self.classes_)
        batch = Batch(rows, codes_of(y, self.classes_, weight), weight, offset=o)
        pairs = zip(self.coefs, self.intercepts, strict=True)
        return np.array([mean_loss(batch, coef, intercept) for coef, intercept in pairs])

    def plot(
        self, ax: Any = None, validation: tuple[MatrixLike, TargetLike] | VectorLike | None = None
    ) -> Any:
        """Draw coefficients against log C; needs matplotlib.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, default None
            Where to draw; None is a new figure.
        validation : (X, y) or losses (m,), default None
            Mean log-losses, in nats, that are drawn in a panel below, with their minimum marked; (X, y) are
            rows and targets to compute them on, as `loss` takes them.

        Returns
        -------
        matplotlib.axes.Axes
            `ax`, or that of the new figure.

        Raises
        ------
        ModuleNotFoundError
            Without matplotlib.
        ValueError
            For another number of losses than of models.

        Notes
        -----
        Of more than 200 coefficients the 200 that grow largest are drawn.
        """
        losses = None
        if isinstance(validation, tuple):
            losses = self.loss(*validation)
        elif validation is not None:
            losses = np.asarray(validation, np.float64)
        if losses is not None and losses.shape != self.Cs.shape:
            raise ValueError(
                f"validation: expected (X, y) or {len(self.Cs)} losses, got shape {losses.shape}"
            )
        return plots.draw_path(self, ax, losses)


def softmax_path(
    X: MatrixLike,
    y: TargetLike,
    Cs: ArrayLike = 10,
    *,
    model: SoftmaxRegression | None = None,
    sample_weight: VectorLike | None = None,
    offset: TargetLike | None = None,
    certify: bool = True,
    **moved: object,
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
        line per fit, and solver must be "auto".
    certify : bool, default True
        Whether every fit is proven to be within the model's `tol` of its optimum. If not, a fit ends where
        its distance is estimated to be a hundredth of that, unless a proof comes sooner; `suboptimality` is
        what is proven all the same, and `converged` may be False without a warning. It saves passes where L2
        fits are too large for their Hessian.

    Returns
    -------
    SoftmaxPath
        In NumPy whatever X is.

    Raises
    ------
    ValueError
        As `SoftmaxRegression.fit`, and for Cs that are not positive.
    TypeError
        For parameters of the model outside it, as softmax_path(X, y, l1_ratio=1).

    Notes
    -----
    One `ConvergenceWarning` names the fits that fall short of `tol`. What becomes of a class without weight,
    the notes of `SoftmaxRegression` say.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from xent import SoftmaxRegression, softmax_path
    >>> path = softmax_path(*load_iris(return_X_y=True), 5, model=SoftmaxRegression(l1_ratio=1))
    >>> path.coefs[0].nnz, len(path.coefs), bool(path.converged.all())
    (0, 5, True)
    """
    parameters = _parameters_of("softmax_path", model, moved, SoftmaxRegression())

    def show(C: float, outcome: Outcome, done: float) -> None:
        print(f"C {C:<10.4g} {outcome.line}", flush=True)

    return trace(
        "softmax_path",
        parameters,
        X,
        y,
        Cs,
        sample_weight,
        offset,
        show if parameters.verbose else None,
        certify=certify,
    )


def _parameters_of(
    caller: str, model: object, moved: Mapping[str, object], default: SoftmaxRegression
) -> ModelParameters:
    """The parameters of the model, or of the default, for the public function `caller`.

    Raises TypeError for `moved`, keywords that the function does not have.
    """
    own = defaults_of(SoftmaxRegression)
    for name in moved.keys() - own.keys():
        raise TypeError(f"{caller}() got an unexpected keyword argument {name!r}")
    if moved:
        # The function's own default, which SoftmaxRegression() does not have.
        own_ratio = [f"l1_ratio={default.l1_ratio:g}"] if default.l1_ratio and "l1_ratio" not in moved else []
        keywords = ", ".join([*own_ratio, *(f"{name}=…" for name in moved)])
        raise TypeError(f"{caller}() takes parameters in a model: write model=SoftmaxRegression({keywords})")
    if not isinstance(model, SoftmaxRegression | None):
        raise TypeError(f"model: {caller}() takes a SoftmaxRegression, got {model!r}")
    model = default if model is None else model
    return ModelParameters.of(model, SoftmaxRegression, stacklevel=4, caller=f"{caller}'s model")


def trace(
    caller: str,
    parameters: ModelParameters,
    X: MatrixLike,
    y: TargetLike,
    Cs: ArrayLike,
    sample_weight: VectorLike | None = None,
    offset: TargetLike | None = None,
    report: Callable[[float, Outcome, float], None] | None = None,
    *,
    certify: bool = True,
) -> SoftmaxPath:
    """The path of a model's parameters; errors name `caller`.

    After every fit `report` is called with C, the outcome and the share of fits that are done.
    """
    check(caller, {"Cs": Cs})
    if parameters.solver != "auto":
        raise ValueError(
            f"solver: {caller} takes the solver that serves the whole path; leave the model's at 'auto', got "
            f"{parameters.solver!r}"
        )
    X, y, sample_weight, offset = to_numpy(X=X, y=y, sample_weight=sample_weight, offset=offset)
    reader = SoftmaxRegression()
    problem, _ = read_problem(reader, parameters, parameters.l1_ratio, X, y, sample_weight, offset)
    at = grid(problem, Cs)
    fits: dict[int, Outcome] = {}
    order = np.argsort(at, kind="stable").tolist()
    settings = Control(parameters.max_time, 0, []).settings(parameters.tol, parameters.max_iter)
    settings = replace(settings, certify=certify)
    for i, outcome in zip(order, outcomes(problem, at[order], settings), strict=True):
        coef = outcome.coef if problem.l1_ratio == 0 else sparse.csr_array(outcome.coef)
        fits[i] = replace(outcome, coef=coef)
        if report is not None:
            report(float(at[i]), outcome, len(fits) / len(at))
    ordered = [fits[i] for i in range(len(at))]
    complain(
        caller, [(f"C = {C:g}", outcome) for C, outcome in zip(at, ordered, strict=True)], parameters.tol
    )
    return SoftmaxPath(
        at,
        problem.l1_ratio,
        problem.classes,
        tuple(outcome.coef for outcome in ordered),
        np.array([outcome.intercept for outcome in ordered]),
        np.array([outcome.value for outcome in ordered]),
        np.array([outcome.suboptimality for outcome in ordered]),
        np.array([outcome.converged for outcome in ordered]),
        np.array([outcome.n_iter for outcome in ordered]),
        sum(outcome.n_passes for outcome in ordered),
        problem.names,
    )


def l1_min_c(
    X: MatrixLike,
    y: TargetLike,
    *,
    model: SoftmaxRegression | None = None,
    sample_weight: VectorLike | None = None,
    offset: TargetLike | None = None,
    **moved: object,
) -> float:
    """The largest C at which every penalised coefficient is 0; +inf if that is so at every C.

    Parameters
    ----------
    X, y, sample_weight, offset
        As `SoftmaxRegression.fit` takes them.
    model : SoftmaxRegression, default None
        Its parameters are those of the fits in question, with l1_ratio > 0; it is not fitted itself. None is
        `SoftmaxRegression(l1_ratio=1)`.

    Returns
    -------
    float
        In (0, inf].

    Raises
    ------
    ValueError
        As `SoftmaxRegression.fit`, for l1_ratio = 0, and for bounds that leave 0 out.
    TypeError
        For parameters of the model outside it, as l1_min_c(X, y, l1_ratio=1).

    Notes
    -----
    Computed, not searched: with ∇ the gradient of (1/S) Σ s_i ℓ_i at the model of the intercept and of
    features whose factor is 0, C S = min over k, j of l1_ratio u_k v_j / |∇_kj|, or with `grouped` of
    l1_ratio v_j / ‖∇_:j‖₂; as `sklearn.svm.l1_min_c` for more than two classes. Source: the optimality
    conditions, see docs/design/0005.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from xent import SoftmaxRegression, l1_min_c
    >>> X, y = load_iris(return_X_y=True)
    >>> C = l1_min_c(X, y)
    >>> bool(SoftmaxRegression(C=0.99 * C, l1_ratio=1).fit(X, y).coef_.any())
    False
    >>> bool(SoftmaxRegression(C=1.01 * C, l1_ratio=1).fit(X, y).coef_.any())
    True
    """
    parameters = _parameters_of("l1_min_c", model, moved, SoftmaxRegression(l1_ratio=1.0))
    if parameters.l1_ratio == 0:
        raise ValueError("l1_ratio: without an L1 part no C makes every coefficient 0; it must be > 0")
    X, y, sample_weight, offset = to_numpy(X=X, y=y, sample_weight=sample_weight, offset=offset)
    reader = SoftmaxRegression()
    problem, _ = read_problem(reader, parameters, parameters.l1_ratio, X, y, sample_weight, offset)
    penalty = problem.penalty
    if ((penalty.l1 > 0) & ((penalty.lower > 0) | (penalty.upper < 0))).any():
        raise ValueError("bounds: they leave out 0, which a penalised coefficient then is at no C")
    with problem.threads():
        return first_c(problem)
