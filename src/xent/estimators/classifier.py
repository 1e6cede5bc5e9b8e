"""What fitted classifiers have in common: logits, probabilities and predictions of coef_ and intercept_."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Self

import numpy as np
from scipy import sparse
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.extmath import safe_sparse_dot
from sklearn.utils.validation import check_is_fitted, validate_data

from .._types import Array, Matrix, MatrixLike, TargetLike, VectorLike
from ..data import Batch
from ..kernels import linear
from .arrays import Home, home_of, in_numpy, to_numpy
from .frames import locate
from .input import TAKES
from .parameters import defaults_of, given_penalty
from .targets import codes_of, offset_of, weights_of

_FAR = 1000  # nats: exp(−745) is 0 in float64
_FLOATS = frozenset(np.dtype(kind) for kind in TAKES["dtype"])


class SoftmaxClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc, unused-ignore]  # untyped
    """A classifier by softmax(W x + b + o) with coef_ (K, d) or (1, d), intercept_ and classes_."""

    coef_: Any  # dense, or CSR after `sparsify`
    intercept_: Any
    classes_: Any
    converged_: bool

    @property
    def penalty(self) -> Any:
        """LogisticRegression's parameter as it was given, or "l1" where l1_ratio makes it that.

        `SelectFromModel` reads it, to select the features that an L1 penalty keeps.
        """
        penalty = given_penalty(self)
        by_ratio = isinstance(penalty, str) and penalty in ("deprecated", "elasticnet")
        return "l1" if by_ratio and self._is_l1() else penalty

    @penalty.setter
    def penalty(self, value: str | None) -> None:
        self.__dict__["penalty"] = value

    def _is_l1(self) -> bool:
        raise NotImplementedError

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """The constructor's parameters as they were given.

        Parameters
        ----------
        deep : bool, default True
            Whether parameters of parameters that are estimators are returned, too.

        Returns
        -------
        dict
            {name: value}.
        """
        params: dict[str, Any] = super().get_params(deep)
        return params | {"penalty": given_penalty(self)} if "penalty" in params else params

    def __setstate__(self, state: dict[str, object]) -> None:
        """Unpickle; parameters that are newer than the pickle get their defaults."""
        own: type = type(self)
        super().__setstate__(defaults_of(own) | state)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.array_api_support = True
        return tags

    def decision_function(self, X: MatrixLike, offset: TargetLike | None = None) -> Array:
        """Logits z = W x + b + o of rows x.

        Parameters
        ----------
        X : (n, d)
            Rows, as in `fit`.
        offset : (n, K), or (n,) for two classes, default None
            o: what `fit` was given for such rows.

        Returns
        -------
        (n, K) float, or (n,) for two classes
            In nats. Of two classes the second's logit less the first's: positive where the second is
            likelier.

        Raises
        ------
        NotFittedError
            Before `fit`.
        ValueError
            For rows or offsets that are not finite or of another shape or namespace than in `fit`.

        Notes
        -----
        The logit of a class without weight, −∞, is written as 1000 below the row's largest: its probability
        is 0 as well, and calibration, stacking and scorers can take the number. Of two classes it is ±1000.
        """
        home, rows, o = self._rows(X, offset, "decision_function")
        scores: Array
        coef, b = in_numpy(self.coef_), in_numpy(self.intercept_)
        if coef.shape[0] == 1:
            scores = np.asarray(safe_sparse_dot(rows, coef.T, dense_output=True) + b).ravel()
            scores = scores if o is None else scores + (o[:, 1] - o[:, 0])
            return home.bring(np.clip(scores, -_FAR, _FAR) if np.isinf(b).any() else scores)
        W, b = both_rows(coef, b)
        scores = linear.logits(rows, W, b, offset=o)
        masked = np.isneginf(b)
        if masked.any():
            scores[:, masked] = scores.max(axis=1, keepdims=True) - _FAR
        return home.bring(scores)

    def predict(self, X: MatrixLike, offset: TargetLike | None = None) -> Array:
        """The most probable class of each row, that of the largest logit.

        Parameters
        ----------
        X, offset
            As in `decision_function`.

        Returns
        -------
        (n,) of the dtype of `classes_`
            Of equal logits the first class.

        Raises
        ------
        NotFittedError, ValueError
            As in `decision_function`.
        """
        home, chosen = self._score(linear.predict, X, offset)
        labels: Array = home.bring(in_numpy(self.classes_)[chosen])
        return labels

    def predict_proba(self, X: MatrixLike, offset: TargetLike | None = None) -> Array:
        """Probabilities softmax(z) of the classes, z the logits of `decision_function`.

        Parameters
        ----------
        X, offset
            As in `decision_function`.

        Returns
        -------
        (n, K) float64 or float32
            Columns in the order of `classes_`; float64 if X or `coef_` is, and computed in that dtype.

        Raises
        ------
        NotFittedError, ValueError
            As in `decision_function`.
        """
        home, p = self._score(linear.predict_proba, X, offset)
        return home.bring(p)

    def predict_log_proba(self, X: MatrixLike, offset: TargetLike | None = None) -> Array:
        """Log-probabilities log softmax(z) = z_k − log Σ_j exp(z_j), in nats.

        Parameters
        ----------
        X, offset
            As in `decision_function`.

        Returns
        -------
        (n, K) float64 or float32
            As `predict_proba`. Computed from the logits: finite where log(predict_proba) is −inf, but for
            a class without weight.

        Raises
        ------
        NotFittedError, ValueError
            As in `decision_function`.
        """
        home, log_p = self._score(linear.predict_log_proba, X, offset)
        return home.bring(log_p)

    def densify(self) -> Self:
        """Turn `coef_` back into a dense array, in place.

        Returns
        -------
        self
            The estimator.
        """
        check_is_fitted(self)
        if sparse.issparse(self.coef_):
            self.coef_ = self.coef_.toarray()
        return self

    def sparsify(self) -> Self:
        """Turn `coef_` into a CSR matrix, in place: smaller where an L1 penalty leaves most of it 0.

        Returns
        -------
        self
            The estimator.
        """
        check_is_fitted(self)
        self.coef_ = sparse.csr_matrix(in_numpy(self.coef_))
        return self

    def _rows(self, X: MatrixLike, offset: TargetLike | None, method: str) -> tuple[Home, Any, Array | None]:
        """Where X lives, and X and offset as `method` computes with them."""
        if offset is None and self._needs_no_validation(X):
            return Home(), X, None
        home, (X, offset) = home_of(X), self._to_numpy(method, X, offset=offset)
        rows: Matrix = locate(X, lambda: validate_data(self, X, reset=False, **TAKES))
        return home, rows, offset_of(offset, rows.shape[0], in_numpy(self.classes_))

    def _needs_no_validation(self, X: object) -> bool:
        """Whether scikit-learn's validation would return X as it is: NumPy's, as in `fit`, without names,
        finite by its sum. That validation takes longer than the prediction of a thousand rows."""
        own = vars(self)
        return (
            type(X) is np.ndarray
            and X.dtype in _FLOATS
            and X.ndim == 2
            and len(X) > 0
            and type(own.get("coef_")) is np.ndarray
            and own.get("n_features_in_") == X.shape[1]
            and "feature_names_in_" not in own
            and _has_finite_sum(X)
        )

    def _to_numpy(self, method: str, X: object, /, **others: object) -> list[Any]:
        """X and others in NumPy. Raises ValueError where X of `fit` was of another namespace: as in
        scikit-learn, `method` does not move a model. Its checks look for these words."""
        check_is_fitted(self)
        arrays = to_numpy(X=X, **others)
        here, there = home_of(X), home_of(self.coef_)
        if here != there:
            raise ValueError(
                f"Inputs passed to {type(self).__name__}.{method}() must use the same namespace and the same "
                f"device as the model: X is {here}, coef_ is {there}. Convert X, or move the model with "
                "scikit-learn's move_estimator_to (from 1.9 on)"
            )
        return arrays

    def _scored_rows(
        self, X: MatrixLike, y: TargetLike, sample_weight: VectorLike | None, offset: TargetLike | None
    ) -> Batch:
        """Rows and targets, all in NumPy, of which `score` computes a loss or an accuracy."""
        _, rows, o = self._rows(X, offset, "score")
        weight = weights_of(rows, sample_weight)
        return Batch(rows, codes_of(y, self.classes_, weight), weight, offset=o)

    def _score(
        self, of_rows: Callable[..., Array], X: MatrixLike, offset: TargetLike | None
    ) -> tuple[Home, Array]:
        """Where X lives, and in NumPy what a function of `kernels.linear` computes of its rows."""
        home, rows, o = self._rows(X, offset, of_rows.__name__)  # it has the name of our method
        W, b = both_rows(self.coef_, self.intercept_)
        return home, of_rows(rows, W, b, offset=o)


def _has_finite_sum(X: Array) -> bool:
    """Whether the sum of X is finite, so that every entry is."""
    with np.errstate(over="ignore", invalid="ignore"):
        return bool(np.isfinite(X.sum(dtype=np.float32 if X.itemsize == 2 else None)))


def both_rows(coef: object, intercept: object) -> tuple[Array, Array]:
    """W (K, d), dense, and b (K,), in NumPy, from coef_ (K, d) or (1, d) and intercept_.

    Of two classes the first has logit 0, or −inf where the second's is +inf. The intercept may be one
    number, as other code may set it.
    """
    coefficients = in_numpy(coef)
    W: Array = coefficients.toarray() if sparse.issparse(coefficients) else coefficients
    b: Array = np.broadcast_to(in_numpy(intercept), (len(W),))
    if len(W) > 1:
        return W, b
    logits = [-np.inf, 0.0] if b[0] == np.inf else [0.0, b[0]]
    return np.vstack([np.zeros_like(W), W]), np.array(logits, b.dtype)


def mean_loss(batch: Batch, coef: object, intercept: object) -> float:
    """Σ s_i ℓ_i / Σ s_i in nats, computed in float64."""
    W, b = (a.astype(np.float64) for a in both_rows(coef, intercept))
    sums = linear.sums(batch, W, b, gradient=False)
    return sums.loss / sums.weight


@contextmanager
def unchanged_if_it_raises(estimator: BaseEstimator) -> Iterator[None]:
    """Whatever is raised inside, the estimator's fitted attributes are what they were before."""
    before = {name: value for name, value in vars(estimator).items() if name.endswith("_")}
    try:
        yield
    except BaseException:
        for name in [name for name in vars(estimator) if name.endswith("_")]:
            delattr(estimator, name)
        estimator.__dict__.update(before)
        raise
