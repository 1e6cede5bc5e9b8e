"""`SoftmaxRegressionCV`: C, and the elastic net's ratio, by cross-validation.

At the root because pickles and skops files know the class as `xent.cv.SoftmaxRegressionCV`.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any, Protocol, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.metrics import get_scorer
from sklearn.model_selection import check_cv
from sklearn.utils import Bunch
from sklearn.utils.metadata_routing import (
    MetadataRequest,
    MetadataRouter,
    MethodMapping,
    process_routing,
)

from ._checks import shown
from ._types import Array, Bounds, ClassWeight, Factors, MatrixLike, TargetLike, VectorLike
from .data import Batch
from .estimators import SoftmaxRegression
from .estimators.arrays import home_of, numpy_twin, to_numpy
from .estimators.classifier import SoftmaxClassifier, mean_loss, unchanged_if_it_raises
from .estimators.control import Control
from .estimators.folds import Fold, Scorer, check_log_loss, make_fold, scoring_of
from .estimators.input import read_problem
from .estimators.parameters import SearchParameters
from .estimators.problem import Problem
from .estimators.sklearn import raise_for_params, routing_enabled
from .estimators.sweeps import Line, complain, grid
from .estimators.table import Table, average, choose
from .estimators.targets import codes_of, is_soft, weights_of
from .solvers import Settings


class Splitter(Protocol):
    """A splitter of scikit-learn's: `split(X, y, …)` yields pairs of row indices, to fit and to score."""

    @property
    def split(self) -> Callable[..., Iterable[tuple[ArrayLike, ArrayLike]]]: ...


class SoftmaxRegressionCV(SoftmaxClassifier):
    """`SoftmaxRegression` with the C, and the l1_ratio, that score best in cross-validation.

    Each fold is fitted on its training rows at every C and every ratio and scored on its held-out rows; the
    pair with the best mean over folds is fitted on all rows, certified to `tol` nats. Of equal means
    the smallest C wins, the strongest penalty. Attributes are those of scikit-learn's LogisticRegressionCV
    with `use_legacy_attributes=False`.

    Parameters
    ----------
    Cs : int or array of floats in (0, inf], default 10
        The values of C, or how many: then logspace(-4, 4, Cs). Infinity only if all of `l1_ratios` are 0.
    l1_ratios : array of floats in [0, 1], default (0.0,)
        The values of l1_ratio.
    cv : int, splitter, iterable of (train, test) or None, default None
        As in scikit-learn; None is 5 and a number k a `StratifiedKFold(k)`, for rows of probabilities a
        `KFold(k)`.
    scoring : str, callable or None, default None
        One of scikit-learn's scorers, by name or as scorer(estimator, X, y). None is the negative mean
        log-loss in nats, weighted by `sample_weight`: "neg_log_loss", but from the logits, so that nothing is
        clipped.
    refit : bool, default True
        Whether to fit all rows at the best pair. If not, the folds' coefficients, each fold's at its own best
        pair, are averaged, and so are these; objective_, suboptimality_ and converged_ are then missing.
    max_time : float > 0 or None, default None
        Seconds for all fits together; those after it end with their first pass and a warning.
    verbose : int, default 0
        Above 0, print a line per fit.
    penalty, dual, intercept_scaling, random_state, n_jobs, solver, use_legacy_attributes
        LogisticRegressionCV's own, as in `SoftmaxRegression`; use_legacy_attributes must be False.
    grouped, bounds, fit_intercept, class_weight, label_smoothing, class_penalty_factor, \
feature_penalty_factor, tol, max_iter
        As in `SoftmaxRegression`. "balanced" weights are those of all rows, in every fold.

    Attributes
    ----------
    C_, l1_ratio_ : float
        The best pair.
    scores_ : (n_folds, n_l1_ratios, n_cs)
        What `scoring` says of each fit on its held-out rows.
    coefs_paths_ : (n_folds, n_l1_ratios, n_cs, K or 1, d + 1)
        Coefficients of every fit, the intercept behind them (without one, d). A class that the fold's model
        does not have has coefficients 0 and an intercept of −inf (of two classes ±inf), as in `coef_`.
    n_iter_ : (n_folds, n_l1_ratios, n_cs) int32
    Cs_ : (n_cs,)
    l1_ratios_ : (n_l1_ratios,)
        The values that were tried.
    coef_, intercept_, classes_, n_features_in_, feature_names_in_
        As in `SoftmaxRegression`.
    objective_, suboptimality_, converged_
        As there, of the fit on all rows.
    n_passes_ : int
        Readings of X by all fits together.

    Notes
    -----
    A class without a row in a fold's training part is not in that fold's model, which gives it probability 0.
    Its held-out rows have an infinite log-loss at every C and could only hide what the other rows say: the
    log-loss of that fold leaves them out, and one warning names class and fold; it is an error if no others
    are left, or the fold trains on one class. Scorers see them all, and a model with the C, the ratio and the
    settings of the fit. The penalty on the other classes is what it is in the other folds, also where only
    two are left. With `label_smoothing`, or without an intercept, every class has a part in every fold.

    A fold's fit that is too large for its Hessian ends, unproven, at an estimated distance of `tol` / 100
    from its optimum. On a probe scores were then within 3e-5 nats of the optimum's up to the C that is
    chosen, within 0.3 % where models overfit most (docs/design/0005). `softmax_path` proves its models.

    Held-out rows are never read: X is not copied, but for scorers other than None, which get a fold's rows.
    One `ConvergenceWarning` names the fits that fall short.

    Arrays of other libraries are taken as in `SoftmaxRegression`; splitters and scorers get NumPy's.
    """

    def __init__(
        self,
        *,
        Cs: ArrayLike = 10,
        l1_ratios: ArrayLike | None = (0.0,),
        cv: int | Splitter | Iterable[tuple[ArrayLike, ArrayLike]] | None = None,
        scoring: str | Scorer | None = None,
        refit: bool = True,
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
        verbose: int = 0,
        penalty: str | None = "deprecated",
        dual: bool = False,
        intercept_scaling: float = 1.0,
        random_state: int | np.random.RandomState | None = None,
        n_jobs: int | None = None,
        solver: str = "auto",
        use_legacy_attributes: bool = False,
    ) -> None:
        self.Cs = Cs
        self.l1_ratios = l1_ratios
        self.cv = cv
        self.scoring = scoring
        self.refit = refit
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
        self.verbose = verbose
        self.penalty = penalty
        self.dual = dual
        self.intercept_scaling = intercept_scaling
        self.random_state = random_state
        self.n_jobs = n_jobs
        self.solver = solver
        self.use_legacy_attributes = use_legacy_attributes

    # The command's progress bar sets this, a function of the share of fits that are done.
    _report: Callable[[float], object] | None = None

    def fit(
        self,
        X: MatrixLike,
        y: TargetLike,
        sample_weight: VectorLike | None = None,
        offset: TargetLike | None = None,
        **params: object,
    ) -> Self:
        """Cross-validate, and fit to all rows with the best C and l1_ratio.

        Parameters
        ----------
        X, y, sample_weight, offset
            As in `SoftmaxRegression.fit`. Scorers know no offset: with one, `scoring` must be None.
        **params
            Metadata for the splitter and the scorer, where scikit-learn's metadata routing is on. Where it is
            off the scorer gets sample_weight.

        Returns
        -------
        self
            The fitted estimator.

        Raises
        ------
        ValueError
            For parameters or data that no fit can take, and for folds that cannot be fitted or scored.
            Whatever is raised, self is as it was before.

        Examples
        --------
        >>> from sklearn.datasets import load_iris
        >>> from xent import SoftmaxRegressionCV
        >>> model = SoftmaxRegressionCV(Cs=[0.01, 1, 100], cv=3).fit(*load_iris(return_X_y=True))
        >>> model.C_, model.scores_.shape
        (100.0, (3, 1, 3))
        """
        with unchanged_if_it_raises(self):
            self._fit(X, y, sample_weight, offset, params)
        return self

    def _fit(
        self,
        X: MatrixLike,
        y: TargetLike,
        sample_weight: VectorLike | None,
        offset: TargetLike | None,
        params: Mapping[str, object],
    ) -> None:
        """Validate, split, fit and score every fold, set the attributes."""
        parameters = SearchParameters.of(self, SoftmaxRegressionCV, stacklevel=4)
        raise_for_params(params, self, "fit")
        scorer, home, labels = self._scorer(offset), home_of(X), home_of(y)
        data = {"X": X, "y": y, "sample_weight": sample_weight, "offset": offset}
        X, y, sample_weight, offset, *others = to_numpy(**data, **params)
        params = dict(zip(params, others, strict=True))
        if isinstance(parameters.scoring, str) and is_soft(y):
            raise ValueError(
                f"scoring={parameters.scoring!r} wants labels, and y is rows of probabilities; leave "
                "scoring=None, the log-loss, or give a function of (model, X, y)"
            )
        ratios = np.array(parameters.l1_ratios, np.float64)
        # At the largest ratio: what that cannot take is refused before any fit.
        problem, targets = read_problem(self, parameters, float(ratios.max()), X, y, sample_weight, offset)
        routed = self._route("fit", sample_weight, params)
        folds = self._folds(problem, targets, sample_weight, routed.splitter.split)
        many = (
            parameters.Cs
            if np.iterable(parameters.Cs)
            else np.logspace(-4, 4, int(np.asarray(parameters.Cs)))
        )
        Cs = grid(problem, many)
        settings = Control(parameters.max_time, 0, []).settings(parameters.tol, parameters.max_iter)

        def unfitted(C: float, l1_ratio: float) -> SoftmaxRegression:
            return SoftmaxRegression(C=C, l1_ratio=l1_ratio, **parameters.shared)

        score = scoring_of(scorer, problem.data.X, np.asarray(targets), routed.scorer.score, unfitted)
        table = Table.empty(problem, len(folds), ratios, Cs)
        for j in range(len(ratios)):
            table.fill(j, folds, replace(settings, certify=False), score, self._tell)  # see `Notes`
        best = self._best if parameters.refit else average
        fitted = best(problem, table, settings)
        fitted |= {
            "scores_": table.scores,
            "coefs_paths_": table.coefs,
            "n_iter_": table.n_iter,
            "Cs_": Cs,
            "l1_ratios_": ratios,
            "n_passes_": sum(outcome.n_passes for _, outcome in table.fits),
        }
        self.__dict__.update(home.bring(fitted), classes_=labels.bring(problem.classes))
        complain(type(self).__name__, table.fits, parameters.tol, stacklevel=4)

    def _folds(
        self,
        problem: Problem,
        y: Array,
        sample_weight: VectorLike | None,
        metadata: Mapping[str, object],
    ) -> list[Fold]:
        """The folds, checked; `metadata` is the splitter's."""
        X, classes = problem.data.X, problem.classes
        weight = weights_of(X, sample_weight)
        # Scored as the data are: class weights and smoothing are for the fit alone.
        scored = Batch(X, codes_of(y, classes, weight), weight, offset=problem.data.offset)
        splits = check_cv(self.cv, y, classifier=True).split(X, y, **metadata)
        folds = [make_fold(problem, scored, i, train, test) for i, (train, test) in enumerate(splits)]
        if not folds:
            raise ValueError("cv: the splitter yielded no folds")
        if self.scoring is None:
            check_log_loss(problem, folds)
        missing = [f"{shown(label)} in fold {i}" for i, fold in enumerate(folds) for label in fold.missing]
        if missing:
            what = "its held-out rows are left out of that fold's log-loss"
            what = what if self.scoring is None else "that fold's model gives it probability 0"
            listed = ", ".join(missing[:8]) + (", …" if len(missing) > 8 else "")
            warnings.warn(f"cv: the training part has no row of class {listed}: {what}.", stacklevel=4)
        return folds

    def _best(self, problem: Problem, table: Table, settings: Settings) -> dict[str, Any]:
        """The attributes of the fit on all rows at the best pair."""
        j, k = choose(table.scores.mean(axis=0), table.Cs)
        C, ratio = float(table.Cs[k]), float(table.l1_ratios[j])
        line = Line(problem.mixed(ratio), settings)
        with problem.threads():
            outcome, _ = line.fit(C, start=table.start(j, k, line.problem) if line.is_long(C) else None)
        table.fits.append((f"all rows at C = {C:g}", outcome))
        self._tell(f"all rows  C {C:<10.4g} {outcome.line}", 1.0)
        return {
            "C_": C,
            "l1_ratio_": ratio,
            "coef_": outcome.coef,
            "intercept_": outcome.intercept,
            "objective_": outcome.value,
            "suboptimality_": outcome.suboptimality,
            "converged_": outcome.converged,
        }

    def _is_l1(self) -> bool:
        return bool(getattr(self, "l1_ratio_", 0.0) == 1)

    def score(
        self,
        X: MatrixLike,
        y: TargetLike,
        sample_weight: VectorLike | None = None,
        offset: TargetLike | None = None,
        **params: object,
    ) -> float:
        """What `scoring` says of the fitted model: by default the negative mean log-loss, in nats.

        Parameters
        ----------
        X, y, sample_weight, offset
            As in `fit`.
        **params
            Metadata for the scorer, where scikit-learn's metadata routing is on.

        Returns
        -------
        float
            Larger is better; by default −Σ s_i ℓ_i / Σ s_i.

        Raises
        ------
        NotFittedError
            Before `fit`.
        ValueError
            For bad rows, weights or offsets, and for a label that is not one of the model's classes.
        """
        raise_for_params(params, self, "score")
        scorer, data = self._scorer(offset), {"y": y, "sample_weight": sample_weight, "offset": offset}
        X, y, sample_weight, offset, *others = self._to_numpy("score", X, **data, **params)
        routed = self._route("score", sample_weight, dict(zip(params, others, strict=True)))
        model = numpy_twin(self)
        if scorer is not None:
            return scorer(model, X, y, **routed.scorer.score)
        batch = model._scored_rows(X, y, sample_weight, offset)
        return -mean_loss(batch, model.coef_, model.intercept_)

    def get_metadata_routing(self) -> MetadataRouter:
        """Which metadata go to the splitter, in `fit`, and to the scorer, in `fit` and `score`.

        Returns
        -------
        sklearn.utils.metadata_routing.MetadataRouter
            For scikit-learn's metadata routing.
        """
        own = self._get_metadata_request()
        if (
            self.scoring is not None
        ):  # then `score` itself uses none, so what the scorer does not want is wrong
            own, fit = MetadataRequest(owner=self), own.fit
            own.fit = fit
        router = MetadataRouter(owner=self).add_self_request(own)
        router.add(splitter=self.cv, method_mapping=MethodMapping().add(caller="fit", callee="split"))
        if self.scoring is not None:
            both = MethodMapping().add(caller="fit", callee="score").add(caller="score", callee="score")
            router.add(scorer=self._scorer(), method_mapping=both)
        return router

    def _route(self, caller: str, sample_weight: VectorLike | None, params: Mapping[str, object]) -> Bunch:
        """The splitter's and the scorer's metadata, of those that the method `caller` got."""
        metadata = params if sample_weight is None else {**params, "sample_weight": sample_weight}
        routed = Bunch(splitter=Bunch(split={}), scorer=Bunch(score=metadata))
        if routing_enabled() and metadata:  # without metadata scikit-learn returns an empty Bunch
            routed.update(process_routing(self, caller, **metadata))
        return routed

    def _scorer(self, offset: object = None) -> Scorer | None:
        """`scoring` as a scorer, or None. Raises ValueError for an offset, which scorers do not know."""
        if self.scoring is not None and offset is not None:
            raise ValueError("offset: scikit-learn's scorers know none; leave scoring=None, the log-loss")
        scorer: Scorer | None = None if self.scoring is None else get_scorer(self.scoring)
        return scorer

    def _tell(self, line: str, done: float) -> None:
        """Print the line, if verbose, and report the share of fits that are done."""
        if self.verbose:
            print(line, flush=True)
        if self._report is not None:
            self._report(done)
