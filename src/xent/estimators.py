"""`SoftmaxRegression`: validate → encode → solve → attributes."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from contextlib import nullcontext
from numbers import Integral, Real
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import compute_class_weight
from sklearn.utils.extmath import safe_sparse_dot
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data

from . import linear, solvers
from ._checks import check_non_negative
from ._threads import blas
from .objective import Objective
from .solvers import Progress, Solution

Float = NDArray[np.float64]

_TAKES: dict[str, Any] = {"accept_sparse": "csr", "dtype": [np.float64, np.float32, np.float16]}


class SoftmaxRegression(ClassifierMixin, BaseEstimator):
    """Softmax regression (multinomial logistic regression), fitted to its certified optimum.

    Minimises, over W (K, d) and the free intercept b (K,), in nats::

        F(W, b) = (1/S) Σ_i s_i ℓ_i + ‖W‖² / (2 C S),   ℓ_i = log Σ_k exp(z_ik − z_iy),   z_i = W x_i + b

    with S = Σ s_i: the optimum of scikit-learn's `LogisticRegression(C=C)`, also for two classes, where
    `coef_` is (1, d). `fit` returns once F is provably within `tol` nats of the minimum, and says so.

    Parameters
    ----------
    C : float in (0, inf], default 1.0
        Inverse penalty; multiplies the sum of the losses. `np.inf` means no penalty.
    fit_intercept : bool, default True
        Whether to fit b, which is never penalised.
    class_weight : dict, "balanced" or None, default None
        Weights {class: weight} that multiply `sample_weight`; "balanced" gives every class the same total.
    tol : float > 0, default 1e-6
        How far from the optimum F may end, in nats, as certified.
    max_iter : int ≥ 1, default 1000
        Iterations of the solver before it gives up with a `ConvergenceWarning`.
    solver : {"auto", "lbfgs", "newton"}, default "auto"
        "lbfgs" works at any size; "newton" factors the Hessian, for K·(d+1) ≤ 3000; "auto" takes the
        one expected to be faster.
    warm_start : bool, default False
        Start from the last fit's coefficients, where their shape still fits.
    verbose : int, default 0
        Above 0, print a line an iteration.

    Attributes
    ----------
    coef_ : (K, d), or (1, d) for two classes
        In the dtype of X where that is float32 or float64. Rows sum to 0 over classes.
    intercept_ : (K,), or (1,) for two classes
    classes_ : (K,)
        Sorted labels as they were given.
    objective_ : float
        F at the coefficients, in nats.
    suboptimality_ : float
        A proven bound on F − F*, in nats. Two certificates stand behind it, see docs/design.
    converged_ : bool
        Whether `suboptimality_` ≤ `tol`.
    n_iter_ : (1,) int32
        Iterations of the solver.
    n_passes_ : int
        Readings of X, those for curvature and certificate included.
    solver_ : str
        The solver that ran.
    history_ : dict of arrays
        "n_passes", "objective" and "suboptimality" after each iteration.
    n_features_in_, feature_names_in_
        As in scikit-learn; the latter only if X had string column names.

    Notes
    -----
    X: any dense array-like, frame, or CSR. float32 is never copied to float64: rows are widened as they
    are read, so the certificate holds in float64. Raises ValueError in scikit-learn's words for bad
    input, and for negative weights or a class whose weights sum to 0, which leave no optimum.
    """

    def __init__(
        self,
        *,
        C: float = 1.0,
        fit_intercept: bool = True,
        class_weight: Any = None,
        tol: float = 1e-6,
        max_iter: int = 1000,
        solver: str = "auto",
        warm_start: bool = False,
        verbose: int = 0,
    ) -> None:
        self.C = C
        self.fit_intercept = fit_intercept
        self.class_weight = class_weight
        self.tol = tol
        self.max_iter = max_iter
        self.solver = solver
        self.warm_start = warm_start
        self.verbose = verbose

    coef_: Any  # dense, or CSR after `sparsify`
    intercept_: NDArray[Any]
    classes_: NDArray[Any]
    converged_: bool

    # The command's progress bar sets this; not a parameter, so clones do not carry it.
    _report: Any = None

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> SoftmaxRegression:
        """Fit to X (n, d), labels y (n,) and optional weights ≥ 0 (n,); returns self."""
        self._check_params()
        X, y = self._validate_table(X, y)
        classes, codes = np.unique(y, return_inverse=True)
        K = len(classes)
        if K < 2:
            raise ValueError(
                "This solver needs samples of at least 2 classes in the data, but the data contains "
                f"only one class: {classes[0]!r}"
            )
        weight = self._weights(X, y, classes, codes, sample_weight)
        total = float(len(codes) if weight is None else weight.sum())
        # With two classes the penalty is on w = W_1 − W_0 (coef_ is (1, d)), and ‖W‖² = ‖w‖²/2.
        penalty = (2 if K == 2 else 1) / (self.C * total)
        batch = linear.Batch(X, codes.astype(np.int64), weight)
        with nullcontext() if linear.runs_tiled(batch, K) else blas("one"):
            objective = Objective((batch,), K, penalty, fit_intercept=self.fit_intercept)
            settings = solvers.Settings(self.tol, self.max_iter, self._on_iteration)
            solver = solvers.choose(self.solver, objective, settings)
            solution = solver.solve(objective, self._initial(objective))
            self._keep(solution, objective, np.float64 if X.dtype == np.float64 else np.float32)
        self.classes_ = classes
        self.solver_ = type(solver).__name__.lower()
        if not self.converged_:
            self._warn(solution)
        return self

    def decision_function(self, X: Any) -> NDArray[Any]:
        """Logits z = W x + b: (n, K), or (n,) for two classes, positive where the second is likelier."""
        check_is_fitted(self)
        X = self._locate(X, lambda: validate_data(self, X, reset=False, **_TAKES))
        scores = safe_sparse_dot(X, self.coef_.T, dense_output=True) + self.intercept_
        return scores.ravel() if scores.shape[1] == 1 else scores

    def predict(self, X: Any) -> NDArray[Any]:
        """The class of the largest logit, (n,)."""
        chosen = self._score(linear.predict, X)
        return self.classes_[chosen]

    def predict_proba(self, X: Any) -> NDArray[Any]:
        """softmax(z), (n, K), columns in the order of `classes_`; computed in float64 if X or `coef_` is."""
        return self._score(linear.predict_proba, X)

    def predict_log_proba(self, X: Any) -> NDArray[Any]:
        """log softmax(z) computed from the logits, (n, K): finite where log(predict_proba) is −inf."""
        return self._score(linear.predict_log_proba, X)

    def densify(self) -> SoftmaxRegression:
        """Turn `coef_` back into a dense array; returns self."""
        check_is_fitted(self)
        if sparse.issparse(self.coef_):
            self.coef_ = self.coef_.toarray()
        return self

    def sparsify(self) -> SoftmaxRegression:
        """Turn `coef_` into a CSR matrix; returns self."""
        check_is_fitted(self)
        self.coef_ = sparse.csr_matrix(self.coef_)
        return self

    def _score(self, of_rows: Callable[..., NDArray[Any]], X: Any) -> NDArray[Any]:
        check_is_fitted(self)
        X = self._locate(X, lambda: validate_data(self, X, reset=False, **_TAKES))
        W = self.coef_.toarray() if sparse.issparse(self.coef_) else self.coef_
        b = self.intercept_
        if len(W) == 1:  # of two classes the first has logit 0
            W, b = np.vstack([np.zeros_like(W), W]), np.append(np.zeros_like(b), b)
        return of_rows(X, W, b)

    def _check_params(self) -> None:
        def fail(name: str, expected: str) -> None:
            raise ValueError(
                f"The {name!r} parameter of {type(self).__name__} must be {expected}. "
                f"Got {getattr(self, name)!r} instead."
            )

        def is_real(value: Any) -> bool:
            return isinstance(value, Real) and not isinstance(value, bool | np.bool_)

        if not (is_real(self.C) and self.C > 0):
            fail("C", "a float in the range (0.0, inf]")
        if not (is_real(self.tol) and 0 < self.tol < np.inf):
            fail("tol", "a float in the range (0.0, inf)")
        if not (isinstance(self.max_iter, Integral) and is_real(self.max_iter) and self.max_iter >= 1):
            fail("max_iter", "an int in the range [1, inf)")
        if self.solver not in ("auto", *solvers.SOLVERS):
            fail("solver", "a str among {'auto', 'lbfgs', 'newton'}")
        if not (
            self.class_weight is None
            or self.class_weight == "balanced"
            or isinstance(self.class_weight, dict)
        ):
            fail("class_weight", "an instance of 'dict', a str among {'balanced'} or None")

    def _validate_table(self, X: Any, y: Any) -> tuple[Any, NDArray[Any]]:
        X, y = self._locate(X, lambda: validate_data(self, X, y, accept_large_sparse=True, **_TAKES))
        if y.dtype.kind == "O":
            kinds = sorted({type(label).__name__ for label in y})
            if len(kinds) > 1:
                first = next(i for i, label in enumerate(y) if type(label) is not type(y[0]))
                raise ValueError(
                    f"Unknown label type: unknown. y mixes labels of types {kinds} (y[0] = {y[0]!r}, "
                    f"y[{first}] = {y[first]!r}); convert them to one type, for example with y.astype(str)"
                )
        check_classification_targets(y)
        return X, y

    @staticmethod
    def _locate(X: Any, validate: Callable[[], Any]) -> Any:
        """scikit-learn's validation, with the place of the first NaN or infinity added to its message."""
        try:
            return validate()
        except ValueError as error:
            what, _, rest = str(error).partition("\n")
            if not what.startswith("Input X contains") or sparse.issparse(X):
                raise
            bad = ~np.isfinite(np.asarray(X, dtype=np.float64))
            row, column = np.argwhere(bad)[0] if bad.any() else (0, 0)
            name = getattr(X, "columns", range(bad.shape[1]))[column]
            raise ValueError(f"{what} First in row {row}, column {name!r}.\n{rest}".strip()) from error

    def _weights(
        self, X: Any, y: NDArray[Any], classes: NDArray[Any], codes: NDArray[Any], sample_weight: Any
    ) -> Float | None:
        if sample_weight is None and self.class_weight is None:
            return None
        with np.errstate(over="ignore"):
            weight = _check_sample_weight(sample_weight, X, dtype=np.float64)
        check_non_negative(weight)
        by_class = compute_class_weight(self.class_weight, classes=classes, y=y, sample_weight=weight)
        if not (np.isfinite(by_class) & (by_class >= 0)).all():
            raise ValueError(f"class_weight: weights must be finite and ≥ 0, got {by_class.tolist()}")
        with np.errstate(over="ignore"):
            weight = weight * by_class[codes]
            total = weight.sum()
        if not np.isfinite(total):
            raise ValueError("sample_weight: the weights add up to infinity; divide them by their largest")
        totals = np.bincount(codes, weights=weight)
        if not totals.all():
            empty = classes[int(np.argmin(totals != 0))]
            raise ValueError(
                f"class {empty!r} has zero total weight (sample_weight × class_weight), which leaves nothing "
                "to fit it on; give it weight or drop its rows"
            )
        return weight

    def _initial(self, objective: Objective) -> Float | None:
        if not (self.warm_start and hasattr(self, "coef_")):
            return None
        W = self.coef_.toarray() if sparse.issparse(self.coef_) else self.coef_
        b = self.intercept_
        if len(W) == 1:
            W, b = np.vstack([-W / 2, W / 2]), np.array([-b[0] / 2, b[0] / 2])
        if W.shape != (objective.n_classes, objective.n_features):
            return None
        cold = objective.start()
        # Coefficients of other data or another C may be worse than none: take the better start.
        with np.errstate(all="ignore"):
            warm = objective.theta(W.astype(np.float64), b.astype(np.float64))
            better = objective.evaluate(warm).value < objective.evaluate(cold).value
        return warm if better else None

    def _on_iteration(self, progress: Progress) -> None:
        if self.verbose:
            print(
                f"pass {progress.n_passes:4d}  objective {progress.objective:.10f}  "
                f"within {progress.suboptimality:.1e} nats of the optimum"
            )
        if self._report is not None:
            self._report(progress)

    def _keep(self, solution: Solution, objective: Objective, dtype: Any) -> None:
        """Attributes from θ. The common shift over classes is taken out: it changes no probability."""
        W, b = objective.coefficients(solution.theta)
        W, b = W - W.mean(axis=0), b - b.mean()
        value = solution.value
        if dtype == np.float32:  # what is kept is rounded: certify that, not the float64 it came from
            W, b = (a.astype(np.float32).astype(np.float64) for a in (W, b))
            value = objective.evaluate(objective.theta(W, b)).value
        if len(W) == 2:
            W, b = 2 * W[1:], 2 * b[1:]
        self.coef_, self.intercept_ = W.astype(dtype), b.astype(dtype)
        self.objective_ = value
        gap = value - solution.lower_bound
        self.suboptimality_ = max(0.0, gap) if np.isfinite(gap) else np.inf
        self.converged_ = bool(self.suboptimality_ <= self.tol)
        self.n_iter_ = np.array([max(1, solution.n_iter)], dtype=np.int32)
        self.n_passes_ = objective.n_passes
        self.history_ = {
            "n_passes": np.array([p.n_passes for p in solution.history]),
            "objective": np.array([p.objective for p in solution.history]),
            "suboptimality": np.array([p.suboptimality for p in solution.history]),
        }

    def _warn(self, solution: Solution) -> None:
        if solution.result is solvers.Result.CERTIFIED:
            reason = "rounding the coefficients to float32 cost the rest; fit on float64"
        else:
            reason = solution.result.value
        warnings.warn(
            f"{self.solver_} failed to converge after {solution.n_iter} iteration(s): within "
            f"{self.suboptimality_:.1e} nats of the optimum, tol={self.tol:g} asked for: {reason}.",
            ConvergenceWarning,
            stacklevel=3,
        )
