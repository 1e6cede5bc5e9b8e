"""`SoftmaxRegressionCV`: C, and the elastic net's ratio, by cross-validation."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import get_scorer
from sklearn.model_selection import check_cv
from sklearn.utils import Bunch
from sklearn.utils.metadata_routing import (
    MetadataRequest,
    MetadataRouter,
    MethodMapping,
    process_routing,
)

from .._checks import shown
from .._types import Float
from ..data import Batch
from ..solvers import Settings
from .arrays import home_of, numpy_twin, to_numpy
from .classifier import SoftmaxClassifier, unchanged_if_it_raises
from .control import Control
from .folds import Fold, check_log_loss, make_fold, scoring_of
from .input import read_problem
from .outcome import Outcome
from .parameters import SearchParameters
from .path import complain, grid, mean_loss, outcomes
from .problem import Problem
from .sklearn import raise_for_params, routing_enabled
from .targets import codes_of, is_soft, weights_of


class SoftmaxRegressionCV(SoftmaxClassifier):
    """`SoftmaxRegression` with the C, and the l1_ratio, that score best in cross-validation.

    Each fold is fitted on its training rows at every C and every ratio, each fit certified to `tol` nats, and
    scored on its held-out rows; the pair with the best mean over folds is fitted on all rows. Of equal means
    the smallest C wins, the strongest penalty. Attributes are those of scikit-learn's LogisticRegressionCV
    with `use_legacy_attributes=False`.

    Parameters
    ----------
    Cs : int or array of floats in (0, inf], default 10
        The values of C, or how many: then logspace(-4, 4, Cs). Infinity only if all of `l1_ratios` are 0.
    l1_ratios : array of floats in [0, 1], default (0.0,)
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
        Above 0, print a line a fit.
    penalty, dual, intercept_scaling, random_state, n_jobs, solver, use_legacy_attributes
        LogisticRegressionCV's own, as in `SoftmaxRegression`; use_legacy_attributes must be False.
    grouped, bounds, fit_intercept, class_weight, label_smoothing, class_penalty_factor, \
feature_penalty_factor, tol, max_iter
        As in `SoftmaxRegression`. "balanced" weights are those of all rows, in every fold.

    Attributes
    ----------
    C_, l1_ratio_ : float
    scores_ : (n_folds, n_l1_ratios, n_cs)
    coefs_paths_ : (n_folds, n_l1_ratios, n_cs, K or 1, d + 1)
        Coefficients of every fit, the intercept behind them (without one, d). A class that the fold's model
        does not have has coefficients 0 and an intercept of −inf (of two classes ±inf), as in `coef_`.
    n_iter_ : (n_folds, n_l1_ratios, n_cs) int32
    Cs_ : (n_cs,)
    l1_ratios_ : (n_l1_ratios,)
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

    Held-out rows are rows of weight 0, which are never read: X is not copied, but for scorers other than
    None, which are handed a fold's rows. Fits that fall short of `tol` are told of in one
    `ConvergenceWarning`.

    Arrays of other libraries are taken as in `SoftmaxRegression`; splitters and scorers are handed NumPy's.
    """

    __module__ = "xent.cv"  # as files and pickles name it

    def __init__(
        self,
        *,
        Cs: Any = 10,
        l1_ratios: Any = (0.0,),
        cv: Any = None,
        scoring: Any = None,
        refit: bool = True,
        grouped: bool = False,
        bounds: Any = None,
        fit_intercept: bool = True,
        class_weight: Any = None,
        label_smoothing: float = 0.0,
        class_penalty_factor: Any = None,
        feature_penalty_factor: Any = None,
        tol: float = 1e-6,
        max_iter: int = 1000,
        max_time: float | None = None,
        verbose: int = 0,
        penalty: Any = "deprecated",
        dual: bool = False,
        intercept_scaling: float = 1.0,
        random_state: Any = None,
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

    # The command's progress bar sets this: told the share of fits that are done.
    _report: Any = None

    def fit(
        self, X: Any, y: Any, sample_weight: Any = None, offset: Any = None, **params: Any
    ) -> SoftmaxRegressionCV:
        """Fit to X, y, sample_weight and offset as `SoftmaxRegression.fit` takes them; returns self.

        params: metadata for the splitter and the scorer, where scikit-learn's metadata routing is on. Without
        it the scorer is given sample_weight. Scorers know no offset: with one, `scoring` must be None. If it
        raises, self is as it was.
        """
        with unchanged_if_it_raises(self):
            return self._fit(X, y, sample_weight, offset, params)

    def _fit(
        self, X: Any, y: Any, sample_weight: Any, offset: Any, params: dict[str, Any]
    ) -> SoftmaxRegressionCV:
        asked = SearchParameters.of(self, SoftmaxRegressionCV, stacklevel=4)
        raise_for_params(params, self, "fit")
        scorer, home, labels = self._scorer(offset), home_of(X), home_of(y)
        known = {"X": X, "y": y, "sample_weight": sample_weight, "offset": offset}
        X, y, sample_weight, offset, *others = to_numpy(**known, **params)
        params = dict(zip(params, others, strict=True))
        if isinstance(asked.scoring, str) and is_soft(y):
            raise ValueError(
                f"scoring={asked.scoring!r} wants labels, and y is rows of probabilities; leave "
                "scoring=None, the log-loss, or give a function of (model, X, y)"
            )
        ratios = np.array(asked.l1_ratios, np.float64)
        # At the largest ratio: what that cannot take is refused before any fit.
        problem, y = read_problem(self, asked, float(ratios.max()), X, y, sample_weight, offset)
        X, routed = problem.given.X, self._route("fit", sample_weight, params)
        folds = self._folds(problem, y, sample_weight, routed.splitter.split)
        Cs = grid(problem, asked.Cs if np.iterable(asked.Cs) else np.logspace(-4, 4, asked.Cs))
        settings = Control(asked.max_time, 0, []).settings(asked.tol, asked.max_iter)
        score = scoring_of(scorer, X, np.asarray(y), routed.scorer.score, asked)
        table = _Table.empty(problem, len(folds), ratios, Cs)
        for i, fold in enumerate(folds):
            for j in range(len(ratios)):
                table.fill(i, j, fold, settings, score, self._tell)
        best = self._best if asked.refit else _average
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
        complain(type(self).__name__, table.fits, asked.tol, stacklevel=4)
        return self

    def _folds(self, problem: Problem, y: Any, sample_weight: Any, given: dict[str, Any]) -> list[Fold]:
        X, classes = problem.given.X, problem.classes
        weight = weights_of(X, sample_weight)
        # As they are given: class weights and smoothing are the fit's.
        scored = Batch(X, codes_of(y, classes, weight), weight, offset=problem.given.offset)
        splits = check_cv(self.cv, y, classifier=True).split(X, y, **given)
        folds = [make_fold(problem, scored, i, train, test) for i, (train, test) in enumerate(splits)]
        if not folds:
            raise ValueError("cv: it makes no folds")
        if self.scoring is None:
            check_log_loss(problem, folds)
        missing = [f"{shown(label)} in fold {i}" for i, fold in enumerate(folds) for label in fold.missing]
        if missing:
            what = "its held-out rows are left out of that fold's log-loss"
            what = what if self.scoring is None else "that fold's model gives it probability 0"
            listed = ", ".join(missing[:8]) + (", …" if len(missing) > 8 else "")
            warnings.warn(f"cv: the training part has no row of class {listed}: {what}.", stacklevel=4)
        return folds

    def _best(self, problem: Problem, table: _Table, settings: Settings) -> dict[str, Any]:
        """The fit on all rows at the best pair."""
        j, k = _choose(table.scores.mean(axis=0), table.Cs)
        C, ratio = float(table.Cs[k]), float(table.l1_ratios[j])
        (outcome,) = outcomes(problem.mixed(ratio), [C], settings)
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

    def score(self, X: Any, y: Any, sample_weight: Any = None, offset: Any = None, **params: Any) -> float:
        """What `scoring` says of the fitted model on X, y: by default the negative mean log-loss, in nats."""
        raise_for_params(params, self, "score")
        scorer, known = self._scorer(offset), {"y": y, "sample_weight": sample_weight, "offset": offset}
        X, y, sample_weight, offset, *others = self._to_numpy("score", X, **known, **params)
        routed = self._route("score", sample_weight, dict(zip(params, others, strict=True)))
        model = numpy_twin(self)
        if scorer is not None:
            return scorer(model, X, y, **routed.scorer.score)
        batch = model._scored_rows(X, y, sample_weight, offset)
        return -mean_loss(batch, model.coef_, model.intercept_)

    def get_metadata_routing(self) -> MetadataRouter:
        """Who gets which metadata: the splitter in `fit`, the scorer in `fit` and `score`."""
        own = self._get_metadata_request()
        if self.scoring is not None:  # then `score` itself uses none: what the scorer does not want is wrong
            own, fit = MetadataRequest(owner=self), own.fit
            own.fit = fit
        router = MetadataRouter(owner=self).add_self_request(own)
        router.add(splitter=self.cv, method_mapping=MethodMapping().add(caller="fit", callee="split"))
        if self.scoring is not None:
            both = MethodMapping().add(caller="fit", callee="score").add(caller="score", callee="score")
            router.add(scorer=self._scorer(), method_mapping=both)
        return router

    def _route(self, caller: str, sample_weight: Any, params: dict[str, Any]) -> Bunch:
        given = params if sample_weight is None else params | {"sample_weight": sample_weight}
        routed = Bunch(splitter=Bunch(split={}), scorer=Bunch(score=given))
        if routing_enabled() and given:  # of nothing scikit-learn makes something that has no attributes
            routed.update(process_routing(self, caller, **given))
        return routed

    def _scorer(self, offset: Any = None) -> Any:
        if self.scoring is not None and offset is not None:
            raise ValueError("offset: scikit-learn's scorers know none; leave scoring=None, the log-loss")
        return None if self.scoring is None else get_scorer(self.scoring)

    def _tell(self, line: str, done: float) -> None:
        if self.verbose:
            print(line, flush=True)
        if self._report is not None:
            self._report(done)


@dataclass
class _Table:
    """What is kept of every fit: fold by ratio by C."""

    Cs: Float
    l1_ratios: Float
    scores: Float
    coefs: NDArray[Any]
    n_iter: NDArray[np.int32]
    fits: list[tuple[str, Outcome]] = field(default_factory=list)

    @staticmethod
    def empty(problem: Problem, n_folds: int, ratios: Float, Cs: Float) -> _Table:
        shape = (n_folds, len(ratios), len(Cs))
        columns = problem.given.shape[1] + problem.fit_intercept
        coefs = np.empty((*shape, problem.n_rows, columns), problem.dtype)
        return _Table(Cs, ratios, np.empty(shape), coefs, np.empty(shape, np.int32))

    def fill(self, i: int, j: int, fold: Fold, settings: Settings, score: Any, tell: Any) -> None:
        """Fit and score fold i at ratio j and every C."""
        problem, order = fold.problem.mixed(float(self.l1_ratios[j])), np.argsort(self.Cs)
        for k, outcome in zip(order, outcomes(problem, self.Cs[order], settings), strict=True):
            kept = self.coefs[i, j, k]
            kept[:, : problem.given.shape[1]] = outcome.coef
            if problem.fit_intercept:
                kept[:, -1] = outcome.intercept
            self.scores[i, j, k] = score(fold, float(self.Cs[k]), problem.l1_ratio, outcome)
            self.n_iter[i, j, k] = outcome.n_iter
            where = f"fold {i} at C = {self.Cs[k]:g}"
            self.fits.append((where, replace(outcome, coef=None)))
            line = f"fold {i}  C {self.Cs[k]:<10.4g} score {self.scores[i, j, k]:<12.6g} {outcome.line}"
            tell(line, len(self.fits) / (self.scores.size + 1))


def _choose(scores: Float, Cs: Float) -> tuple[int, int]:
    """Where the best of the scores (n_l1_ratios, n_cs) is; of equals, to rounding, that of the smallest C."""
    scores = np.where(np.isnan(scores), -np.inf, scores)
    best = scores.max()
    if best == -np.inf:
        raise ValueError("scoring: not one of the scores is a finite number")
    ties = np.argwhere(scores >= best - 1e-12 * abs(best))
    j, k = min(ties, key=lambda at: (Cs[at[1]], at[0]))
    return int(j), int(k)


def _average(problem: Problem, table: _Table, settings: Settings) -> dict[str, Any]:
    """The mean over folds of what each found best, a class being averaged over those that have it."""
    picks = [_choose(scores, table.Cs) for scores in table.scores]
    each = np.array([table.coefs[i, j, k] for i, (j, k) in enumerate(picks)])
    has = np.isfinite(each[..., -1:])  # else the fold's model does not have the class
    never = ~has.any(axis=0)[:, 0]
    if (never & (problem.present if problem.n_rows > 1 else problem.present.all())).any():
        raise ValueError("refit=False: a class is in no fold's training part, so there is nothing to average")
    mean = np.mean(each, axis=0, dtype=np.float64, where=has | never[:, None]).astype(each.dtype)
    d = problem.given.shape[1]
    return {
        "C_": float(np.mean([table.Cs[k] for _, k in picks])),
        "l1_ratio_": float(np.mean([table.l1_ratios[j] for j, _ in picks])),
        "coef_": mean[:, :d],
        "intercept_": mean[:, d] if problem.fit_intercept else np.zeros(len(mean), mean.dtype),
    }
