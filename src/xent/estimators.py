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
from sklearn.callback import CallbackSupportMixin, with_callbacks
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.extmath import safe_sparse_dot
from sklearn.utils.validation import check_is_fitted, validate_data

from . import linear, solvers
from ._control import Control, callbacks
from ._targets import Targets, factors_of, is_soft, label_targets, offset_of, soft_targets
from ._threads import blas
from .objective import Objective
from .separation import Status, Verdict, find_separation
from .solvers import Result, Solution

Float = NDArray[np.float64]

_MOST_COLLINEAR = 2048  # features: beyond, collinear ones are not looked for
_TAKES: dict[str, Any] = {"accept_sparse": "csr", "dtype": [np.float64, np.float32, np.float16]}


class SoftmaxRegression(CallbackSupportMixin, ClassifierMixin, BaseEstimator):
    """Softmax regression (multinomial logistic regression), fitted to its certified optimum.

    Minimises, over W (K, d) and the free intercept b (K,), in nats::

        F(W, b) = (1/S) Σ_i s_i ℓ_i + ‖W‖² / (2 C S),   ℓ_i = log Σ_k exp(z_ik − z_iy),   z_i = W x_i + b +
        o_i

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
    label_smoothing : float in [0, 1), default 0.0
        α: the target becomes (1 − α) q + α/K.
    class_penalty_factor : (K,) or dict {class: factor}, default None
    feature_penalty_factor : (d,), default None
        u and v ≥ 0: the penalty becomes Σ_kj u_k v_j W_kj² / (2 C S). 0 leaves a class or feature
        unpenalised.
    tol : float > 0, default 1e-6
        How far from the optimum F may end, in nats, as certified.
    max_iter : int ≥ 1, default 1000
        Iterations of the solver before it gives up with a `ConvergenceWarning`.
    max_time : float > 0 or None, default None
        Seconds after which it gives up likewise, at the end of a pass.
    solver : {"auto", "lbfgs", "newton"}, default "auto"
        "lbfgs" works at any size; "newton" factors the Hessian, for K·(d+1) ≤ 3000; "auto" takes the
        one expected to be faster.
    warm_start : bool, default False
        Start from the last fit's coefficients, where their shape still fits.
    verbose : int, default 0
        Above 0, print a line a pass.

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
    separation_ : dict or None
        Without a penalty, where classes can be told apart without error and F has no minimum, only an infimum
        that it nears as coefficients grow: "description", "direction" (K, d), "complete" (all classes, every
        row) and "pairs" (m, 4): classes a and b, how many rows of the two are told apart, of how many.
    history_ : dict of arrays
        "n_passes", "objective" and "suboptimality" after each iteration.
    n_features_in_, feature_names_in_
        As in scikit-learn; the latter only if X had string column names.

    Notes
    -----
    Ctrl-C ends a fit after the pass at hand: the model is the best so far, `converged_` is False and a
    warning
    says so; a second Ctrl-C raises KeyboardInterrupt and leaves the estimator as it was. scikit-learn's
    callbacks (`set_callbacks`) see every iteration and may stop the fit.

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
        label_smoothing: float = 0.0,
        class_penalty_factor: Any = None,
        feature_penalty_factor: Any = None,
        tol: float = 1e-6,
        max_iter: int = 1000,
        max_time: float | None = None,
        solver: str = "auto",
        warm_start: bool = False,
        verbose: int = 0,
    ) -> None:
        self.C = C
        self.fit_intercept = fit_intercept
        self.class_weight = class_weight
        self.label_smoothing = label_smoothing
        self.class_penalty_factor = class_penalty_factor
        self.feature_penalty_factor = feature_penalty_factor
        self.tol = tol
        self.max_iter = max_iter
        self.max_time = max_time
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

    def fit(self, X: Any, y: Any, sample_weight: Any = None, offset: Any = None) -> SoftmaxRegression:
        """Fit to X (n, d) and labels y (n,), or rows of probabilities y (n, K); returns self.

        sample_weight (n,) ≥ 0; a weight of 2 is the row twice. offset (n, K), or (n,) for two classes: known
        additions to the logits, to be given again in prediction. If it raises, self is as it was.
        """
        before = {name: value for name, value in vars(self).items() if name.endswith("_")}
        try:
            return self._fit(X, y, sample_weight, offset)
        except BaseException:
            for name in [name for name in vars(self) if name.endswith("_")]:
                delattr(self, name)
            self.__dict__.update(before)
            raise

    @with_callbacks  # in here, so that a callback's teardown that raises leaves self as it was, too
    def _fit(self, X: Any, y: Any, sample_weight: Any, offset: Any) -> SoftmaxRegression:
        self._check_params()
        labels = y
        if is_soft(y):
            X = self._locate(X, lambda: validate_data(self, X, accept_large_sparse=True, **_TAKES))
            targets = soft_targets(X, y, self.class_weight, sample_weight)
        else:
            X, labels = self._locate(X, lambda: validate_data(self, X, y, accept_large_sparse=True, **_TAKES))
            targets = label_targets(X, labels, self.class_weight, sample_weight)
        K = len(targets.classes)
        o = offset_of(offset, X.shape[0], K)
        batch = linear.Batch(X, targets.y, targets.weight, self.label_smoothing, offset=o)
        with nullcontext() if linear.runs_tiled(batch, K) else blas("one"):
            objective = self._objective(batch, targets)
            dtype = np.float64 if X.dtype == np.float64 else np.float32

            def attributes(theta: Float) -> dict[str, Any]:
                coef, intercept, _ = self._coefficients(theta, objective, dtype)
                return {"coef_": coef, "intercept_": intercept, "classes_": targets.classes}

            # scikit-learn hands metadata on to scorers, which know no offset.
            metadata = {} if sample_weight is None else {"sample_weight": sample_weight}
            with callbacks(self, X, labels, metadata, attributes) as watchers:
                watchers += [self._report] if self._report is not None else []
                control = Control(self.max_time, self.verbose, watchers)
                settings = control.settings(self.tol, self.max_iter)
                solver = solvers.choose(self.solver, objective, settings)
                with control.interruptible():
                    solution = solver.solve(objective, self._initial(objective))
            verdict = _separation(solution, objective)
            fitted = attributes(solution.theta) | self._figures(solution, objective, dtype)
            found = None if verdict is None else verdict.separation
            names = getattr(self, "feature_names_in_", None)
            fitted["separation_"] = None if found is None else found.as_dict(targets.classes, names)
        # One step, so that no interrupt can leave a part of it.
        self.__dict__.update(fitted, solver_=type(solver).__name__.lower())
        if not self.converged_ or self.separation_ is not None:
            self._warn(solution, verdict)
        return self

    def _objective(self, batch: linear.Batch, targets: Targets) -> Objective:
        K, d = len(targets.classes), batch.shape[1]
        by_class = self.class_penalty_factor
        if isinstance(by_class, dict):
            unknown = [label for label in by_class if label not in targets.classes]
            if unknown:
                raise ValueError(f"class_penalty_factor: {unknown} are no classes of y")
            by_class = [by_class.get(label, 1.0) for label in targets.classes.tolist()]
        return Objective(
            (batch,),
            K,
            # With two classes the penalty is on w = W_1 − W_0 (coef_ is (1, d)), and ‖W‖² = ‖w‖²/2.
            (2 if K == 2 else 1) / (self.C * targets.total),
            fit_intercept=self.fit_intercept,
            class_factors=factors_of("class_penalty_factor", by_class, K),
            feature_factors=factors_of("feature_penalty_factor", self.feature_penalty_factor, d),
        )

    def decision_function(self, X: Any, offset: Any = None) -> NDArray[Any]:
        """Logits z = W x + b + o: (n, K), or (n,) for two classes, positive where the second is likelier."""
        X, o = self._rows(X, offset)
        scores = safe_sparse_dot(X, self.coef_.T, dense_output=True) + self.intercept_
        if scores.shape[1] == 1:
            return scores.ravel() if o is None else scores.ravel() + (o[:, 1] - o[:, 0])
        return scores if o is None else scores + o

    def predict(self, X: Any, offset: Any = None) -> NDArray[Any]:
        """The class of the largest logit, (n,)."""
        chosen = self._score(linear.predict, X, offset)
        return self.classes_[chosen]

    def predict_proba(self, X: Any, offset: Any = None) -> NDArray[Any]:
        """softmax(z), (n, K), columns in the order of `classes_`; computed in float64 if X or `coef_` is."""
        return self._score(linear.predict_proba, X, offset)

    def predict_log_proba(self, X: Any, offset: Any = None) -> NDArray[Any]:
        """log softmax(z) computed from the logits, (n, K): finite where log(predict_proba) is −inf."""
        return self._score(linear.predict_log_proba, X, offset)

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

    def _rows(self, X: Any, offset: Any) -> tuple[Any, NDArray[Any] | None]:
        check_is_fitted(self)
        X = self._locate(X, lambda: validate_data(self, X, reset=False, **_TAKES))
        return X, offset_of(offset, X.shape[0], len(self.classes_))

    def _score(self, of_rows: Callable[..., NDArray[Any]], X: Any, offset: Any) -> NDArray[Any]:
        X, o = self._rows(X, offset)
        W = self.coef_.toarray() if sparse.issparse(self.coef_) else self.coef_
        b = self.intercept_
        if len(W) == 1:  # of two classes the first has logit 0
            W, b = np.vstack([np.zeros_like(W), W]), np.append(np.zeros_like(b), b)
        return of_rows(X, W, b, offset=o)

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
        if not (is_real(self.label_smoothing) and 0 <= self.label_smoothing < 1):
            fail("label_smoothing", "a float in the range [0.0, 1.0)")
        if not (self.max_time is None or (is_real(self.max_time) and self.max_time > 0)):
            fail("max_time", "a float in the range (0.0, inf] or None")
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

    @staticmethod
    def _coefficients(theta: Float, objective: Objective, dtype: Any) -> tuple[Any, Any, Float]:
        """coef_, intercept_ and θ as they round it. W has no shift common to all classes (it changes no
        probability, only the penalty), nor has b."""
        W, b = objective.coefficients(objective.without_shift(theta))
        b = b - b.mean()
        if len(W) == 2:  # rounded once, as a difference: class factors make W_0 another number than −W_1
            W, b = W - W[0], b - b[0]
        W, b = W.astype(dtype), b.astype(dtype)
        kept = objective.theta(W.astype(np.float64), b.astype(np.float64))
        rounded = objective.without_shift(kept)
        return (W[1:], b[1:], rounded) if len(W) == 2 else (W, b, rounded)

    def _figures(self, solution: Solution, objective: Objective, dtype: Any) -> dict[str, Any]:
        """How the fit went, of the coefficients that are kept: float32 has rounded what the solver found."""
        value = solution.value
        if dtype == np.float32:
            value = objective.evaluate(self._coefficients(solution.theta, objective, dtype)[2]).value
        gap = value - solution.lower_bound
        gap = max(0.0, gap) if np.isfinite(gap) else np.inf
        return {
            "objective_": value,
            "suboptimality_": gap,
            "converged_": bool(gap <= self.tol),
            "n_iter_": np.array([max(1, solution.n_iter)], dtype=np.int32),
            "n_passes_": objective.n_passes,
            "history_": {
                "n_passes": np.array([p.n_passes for p in solution.history]),
                "objective": np.array([p.objective for p in solution.history]),
                "suboptimality": np.array([p.suboptimality for p in solution.history]),
            },
        }

    def _warn(self, solution: Solution, verdict: Verdict | None) -> None:
        if self.separation_ is not None:
            reason = f"{self.separation_['description']}; a finite C has an optimum"
        elif solution.result is Result.CERTIFIED:
            reason = "rounding the coefficients to float32 cost the rest; fit on float64"
        elif verdict is not None and verdict.status is Status.OVERLAPPING:
            reason = "the classes overlap, so there is an optimum, but no certificate; try a finite C"
        else:
            reason = solution.result.value
        near = f"within {self.suboptimality_:.1e} nats of the optimum, tol={self.tol:g} asked for"
        if self.converged_:
            near = f"within {self.suboptimality_:.1e} nats of the infimum, which is no minimum"
        warnings.warn(
            f"{self.solver_} {'stopped' if self.converged_ else 'failed to converge'} after "
            f"{solution.n_iter} iteration(s): {near}: {reason}.",
            ConvergenceWarning,
            stacklevel=5,
        )


def _separation(solution: Solution, objective: Objective) -> Verdict | None:
    """Whether classes separate: asked where nothing is penalised and nothing but F ≥ 0 is proven."""
    smooth = any(batch.label_smoothing for batch in objective.batches)  # every class is then a label
    if objective.penalties.any() or smooth or solution.lower_bound > 0:
        return None
    if solution.result in (Result.INTERRUPTED, Result.MAX_TIME, Result.STOPPED):
        return None
    verdict = find_separation(
        objective.batches,
        objective.n_classes,
        objective.centre,
        objective.fit_intercept,
        theta=solution.theta,
        null=objective.null_features if objective.n_features <= _MOST_COLLINEAR else None,
    )
    objective.n_passes += verdict.n_passes
    return verdict
