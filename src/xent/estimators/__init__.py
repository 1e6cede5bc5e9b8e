"""scikit-learn's face: `SoftmaxRegression`, which validates, encodes, solves and sets attributes.

The class is in this file because pickles and skops files know it as `xent.estimators.SoftmaxRegression`.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import accuracy_score

from .. import solvers
from .._types import (
    Bounds,
    ClassWeight,
    Factors,
    Float,
    MatrixLike,
    TargetLike,
    VectorLike,
)
from ..kernels import linear
from ..objective.composite import Composite
from ..objective.ridge import Objective
from ..solvers import Progress, Solution
from .arrays import home_of, numpy_twin, to_numpy
from .classifier import SoftmaxClassifier, both_rows, unchanged_if_it_raises
from .control import Control, callbacks
from .input import read_problem
from .outcome import Outcome, outcome_of
from .parameters import ModelParameters
from .problem import Problem
from .sklearn import CallbackSupportMixin, with_callbacks
from .targets import is_soft

__all__ = ["SoftmaxRegression"]


class SoftmaxRegression(CallbackSupportMixin, SoftmaxClassifier):  # type: ignore[misc, unused-ignore]  # untyped
    """Softmax regression (multinomial logistic regression), fitted to its certified optimum.

    Minimises, over W (K, d) and the free intercept b (K,), in nats::

        F(W, b) = (1/S) Σ_i s_i ℓ_i + ‖W‖² / (2 C S)
        ℓ_i = log Σ_k exp(z_ik − z_iy),   z_i = W x_i + b + o_i

    with S = Σ s_i: the optimum of scikit-learn's `LogisticRegression(C=C)`, also for two classes, where
    `coef_` is (1, d). `fit` returns once F is provably within `tol` nats of the minimum, and says so.

    Parameters
    ----------
    C : float in (0, inf], default 1.0
        Inverse penalty; multiplies the sum of the losses. `np.inf` means no penalty.
    l1_ratio : float in [0, 1], default 0.0
        ρ: the penalty becomes (1/(C S)) Σ_kj u_k v_j [(1 − ρ) W_kj²/2 + ρ |W_kj|], the elastic net. From
        ρ > 0 on, coefficients are exactly 0 where the penalty outweighs them.
    grouped : bool, default False
        Whether the L1 part is ρ Σ_j v_j ‖W_:j‖₂ instead: a feature is in or out for all classes together.
    bounds : (lower, upper) or None, default None
        lower ≤ coef_ ≤ upper, each a number or an array that broadcasts to coef_'s shape; ±inf for none.
    fit_intercept : bool, default True
        Whether to fit b, which is never penalised.
    class_weight : dict, "balanced" or None, default None
        Weights {class: weight} that multiply `sample_weight`; "balanced" gives every class the same total.
    label_smoothing : float in [0, 1), default 0.0
        α: the target becomes (1 − α) q + α/K.
    class_penalty_factor : (K,) or dict {class: factor}, default None
    feature_penalty_factor : (d,), default None
        u and v ≥ 0, 1 unless given. 0 leaves a class or feature unpenalised; with bounds or l1_ratio > 0
        such a fit has no certificate, and warns however good it is.
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
        Above 0, print a line per iteration.
    penalty, dual, intercept_scaling, random_state, n_jobs
        LogisticRegression's own, so that code written for it runs: `penalty` and its solvers are translated,
        as penalty="l1" into l1_ratio=1, penalty=None into C=inf, solver="saga" into "auto"; the others do
        nothing. One FutureWarning per fit names those that are set, except random_state, which
        meta-estimators set. See docs/design/0008.

    Attributes
    ----------
    coef_ : (K, d), or (1, d) for two classes
        In the dtype of X where that is float32 or float64. With an L2 penalty, rows sum to 0 over classes.
    intercept_ : (K,), or (1,) for two classes
    classes_ : (K,)
        Sorted labels as they were given.
    objective_ : float
        F at the coefficients, in nats.
    suboptimality_ : float
        A proven bound on F − F*, in nats. Three certificates stand behind it, see docs/design. Where
        coefficients are so large that F is uncertain by more than 1e-8, that is part of it. Without a
        penalty F* is the least F of coefficients that have nothing along collinear features.
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
    warning says so; a second Ctrl-C raises KeyboardInterrupt and leaves the estimator as it was.
    scikit-learn's callbacks (`set_callbacks`, from its version 1.9 on) see every iteration and may stop the
    fit.

    A class whose weights are all 0, as bagging may leave one, stays in classes_ and gets probability 0: where
    F is least its intercept is −inf (of two classes ±inf), and its coefficients are 0. The other classes are
    fitted as without its rows. Without an intercept, or with label_smoothing, F has a minimum with it.

    X: any dense array-like, frame, or CSR; rows of probabilities y likewise, a frame's columns being the
    classes. float32 is never copied to float64: rows are widened as they are read, so the certificate holds
    in float64. Raises ValueError in scikit-learn's words for bad input, and for negative weights, which leave
    no optimum.

    With scikit-learn's `array_api_dispatch`, X, y, weights and offset may be PyTorch tensors or other array
    API arrays on the CPU; elsewhere they are refused. NumPy computes on their memory, and results live where
    X does, `classes_` where y does; strings stay NumPy's. Prediction wants X of that namespace, too:
    scikit-learn's `move_estimator_to` moves a model to another.
    """

    def __init__(
        self,
        penalty: str | None = "deprecated",
        *,
        C: float = 1.0,
        l1_ratio: float = 0.0,
        grouped: bool = False,
        bounds: Bounds = None,
        fit_intercept: bool = True,
        class_weight: ClassWeight = None,
        label_smoothing: float = 0.0,
        class_penalty_factor: Factors = None,
        feature_penalty_factor: ArrayLike | None = None,
        tol: float = 1e-6,
        max_iter: int = 1000,
        max_time: float | None = None,
        solver: str = "auto",
        warm_start: bool = False,
        verbose: int = 0,
        dual: bool = False,
        intercept_scaling: float = 1,
        random_state: int | np.random.RandomState | None = None,
        n_jobs: int | None = None,
    ) -> None:
        self.penalty = penalty
        self.C = C
        self.l1_ratio = l1_ratio
        self.grouped = grouped
        self.bounds = bounds
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
        self.dual = dual
        self.intercept_scaling = intercept_scaling
        self.random_state = random_state
        self.n_jobs = n_jobs

    # The command's progress bar sets this; not a parameter, so clones do not carry it.
    _report: Callable[[Progress], object] | None = None

    def fit(
        self,
        X: MatrixLike,
        y: TargetLike,
        sample_weight: VectorLike | None = None,
        offset: TargetLike | None = None,
    ) -> Self:
        """Fit to rows X and their labels, or rows of probabilities, y.

        Parameters
        ----------
        X : (n, d) array-like, frame or CSR matrix
            Finite numbers.
        y : (n,) labels of one type, or (n, K) rows of probabilities
            At least two classes; rows sum to 1, and a frame's columns are the classes.
        sample_weight : (n,) ≥ 0, default None
            s: a weight of 2 is the row twice. None is 1 for each row.
        offset : (n, K), or (n,) for two classes, default None
            o: known additions to the logits, to be given again in prediction; (n,) are of the second class.

        Returns
        -------
        self
            The fitted estimator.

        Raises
        ------
        ValueError
            For parameters or data that no fit can take, in scikit-learn's words.
        KeyboardInterrupt
            At a second Ctrl-C. Whatever is raised, self is as it was before.

        Examples
        --------
        >>> from xent import SoftmaxRegression
        >>> model = SoftmaxRegression().fit([[0.0], [1.0], [2.0], [3.0]], ["a", "a", "b", "b"])
        >>> model.predict([[0.5], [2.5]]).tolist(), model.converged_
        (['a', 'b'], True)
        """
        with unchanged_if_it_raises(self):
            self._fit(X, y, sample_weight, offset)
        return self

    # In here, so that a callback's teardown that raises leaves self as it was, too.
    @with_callbacks  # type: ignore[untyped-decorator, unused-ignore]  # scikit-learn's
    def _fit(
        self,
        X: MatrixLike,
        y: TargetLike,
        sample_weight: VectorLike | None,
        offset: TargetLike | None,
    ) -> None:
        """Validate, encode, solve, set the attributes."""
        parameters = ModelParameters.of(self, SoftmaxRegression, stacklevel=5)
        home, labels = home_of(X), home_of(y)
        X, y, sample_weight, offset = to_numpy(X=X, y=y, sample_weight=sample_weight, offset=offset)
        problem, targets = read_problem(self, parameters, parameters.l1_ratio, X, y, sample_weight, offset)
        classes = labels.bring(problem.classes)
        with problem.threads():
            objective = problem.objective(parameters.C)

            def attributes(theta: Float) -> dict[str, object]:
                coef, intercept, _ = problem.coefficients(theta, objective)
                fitted: dict[str, object] = {"coef_": coef, "intercept_": intercept}
                return home.bring(fitted) | {"classes_": classes}

            # scikit-learn hands metadata on to scorers, which know no offset.
            metadata = {} if sample_weight is None else {"sample_weight": home.bring(sample_weight)}
            shown = home.bring(problem.batch.X), labels.bring(targets)
            with callbacks(self, *shown, metadata, attributes) as watchers:
                watchers += [self._report] if self._report is not None else []
                control = Control(parameters.max_time, parameters.verbose, watchers)
                settings = control.settings(parameters.tol, parameters.max_iter)
                initial = self._initial(problem, objective) if parameters.warm_start else None
                with control.interruptible():
                    solver = solvers.choose(parameters.solver, objective, settings)
                    solution = solver.solve(objective, initial)
            outcome = outcome_of(problem, solution, objective, parameters.C, parameters.tol)
            fitted = home.bring(_fitted(outcome, solution)) | {"classes_": classes}
        # One step, so that no interrupt can leave a part of it.
        self.__dict__.update(fitted, solver_=solver.name)
        if not outcome.is_fine:
            self._warn(outcome, solution, parameters.tol)

    def score(
        self,
        X: MatrixLike,
        y: TargetLike,
        sample_weight: VectorLike | None = None,
        offset: TargetLike | None = None,
    ) -> float:
        """Accuracy, weighted by sample_weight: the share of labels that `predict` names.

        Parameters
        ----------
        X, sample_weight, offset
            As in `fit`.
        y : (n,) labels, or (n, K) rows of probabilities
            Classes as in `fit`.

        Returns
        -------
        float in [0, 1]
            For rows of probabilities Σ s_i q_ik / Σ s_i with k the class that `predict` names in row i: the
            accuracy to expect of labels drawn from the rows, and that of labels where rows are one-hot.

        Raises
        ------
        NotFittedError
            Before `fit`.
        ValueError
            For bad rows, weights or offsets, and for rows of probabilities with classes other than the
            model's.
        """
        # In NumPy: PyTorch's mean is one of float32, and y may live elsewhere.
        others = {"y": y, "sample_weight": sample_weight, "offset": offset}
        X, y, sample_weight, offset = self._to_numpy("score", X, **others)
        model = numpy_twin(self)
        if not is_soft(y):
            return float(accuracy_score(y, model.predict(X, offset), sample_weight=sample_weight))
        batch = model._scored_rows(X, y, sample_weight, offset)
        sums = linear.sums(batch, *both_rows(model.coef_, model.intercept_), gradient=False)
        return sums.hits / sums.weight

    def _is_l1(self) -> bool:
        return bool(getattr(self, "l1_ratio", 0.0) == 1)

    def _initial(self, problem: Problem, objective: Objective | Composite) -> Float | None:
        """θ of the last fit, where it fits and F is less there than at a cold start; else None."""
        if not hasattr(self, "coef_"):
            return None
        W, b = both_rows(self.coef_, self.intercept_)
        if W.shape != (len(problem.classes), objective.n_features):
            return None
        W, b = W[problem.present], b[problem.present]
        cold = objective.start()
        # Coefficients of other data or another C may be worse than none: take the better start.
        with np.errstate(all="ignore"):
            warm = objective.without_shift(objective.theta(W.astype(np.float64), b.astype(np.float64)))
            better = objective.evaluate(warm).value < objective.evaluate(cold).value
        return warm if better else None

    def _warn(self, outcome: Outcome, solution: Solution, tol: float) -> None:
        """Warn that the fit is not what was asked for, at the line that called `fit`."""
        how = "stopped" if outcome.converged else "failed to converge"
        warnings.warn(
            f"{self.solver_} {how} after {solution.n_iter} iteration(s): {outcome.complaint(tol)}.",
            ConvergenceWarning,
            stacklevel=5,
        )


def _fitted(outcome: Outcome, solution: Solution) -> dict[str, Any]:
    """The attributes of a fit, in NumPy, without classes_ and solver_."""
    return {
        "coef_": outcome.coef,
        "intercept_": outcome.intercept,
        "objective_": outcome.value,
        "suboptimality_": outcome.suboptimality,
        "converged_": outcome.converged,
        "separation_": outcome.separation,
        "n_iter_": np.array([outcome.n_iter], dtype=np.int32),
        "n_passes_": outcome.n_passes,
        "history_": {
            "n_passes": np.array([p.n_passes for p in solution.history]),
            "objective": np.array([p.objective for p in solution.history]),
            "suboptimality": np.array([p.suboptimality for p in solution.history]),
        },
    }
