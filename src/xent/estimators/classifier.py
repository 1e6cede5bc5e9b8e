"""What fitted classifiers have in common: logits, probabilities and predictions of coef_ and intercept_."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.extmath import safe_sparse_dot
from sklearn.utils.validation import check_is_fitted, validate_data

from ..data import Batch
from ..kernels import linear
from .arrays import Home, home_of, in_numpy, to_numpy
from .frames import locate
from .input import TAKES
from .parameters import defaults_of, given_penalty
from .targets import codes_of, offset_of, weights_of

_FAR = 1000  # nats: exp(−745) is 0 in float64
_FLOATS = frozenset(np.dtype(kind) for kind in TAKES["dtype"])

Self = TypeVar("Self", bound="SoftmaxClassifier")


class SoftmaxClassifier(ClassifierMixin, BaseEstimator):
    """A classifier by softmax(W x + b + o) with coef_ (K, d) or (1, d), intercept_ and classes_."""

    coef_: Any  # dense, or CSR after `sparsify`
    intercept_: Any
    classes_: Any
    converged_: bool

    @property
    def penalty(self) -> Any:
        """As it was given, but "l1" where that is the penalty: `SelectFromModel` asks for it, to keep what an
        L1 penalty kept."""
        given = given_penalty(self)
        by_ratio = isinstance(given, str) and given in ("deprecated", "elasticnet")
        return "l1" if by_ratio and self._is_l1() else given

    @penalty.setter
    def penalty(self, given: Any) -> None:
        self.__dict__["penalty"] = given

    def _is_l1(self) -> bool:
        raise NotImplementedError

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Parameters as they were given, {name: value}."""
        params: dict[str, Any] = super().get_params(deep)
        return params | {"penalty": given_penalty(self)} if "penalty" in params else params

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Parameters that have come since a pickle was made get their defaults."""
        own: type = type(self)
        super().__setstate__(defaults_of(own) | state)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.array_api_support = True
        return tags

    def decision_function(self, X: Any, offset: Any = None) -> NDArray[Any]:
        """Logits z = W x + b + o: (n, K), or (n,) for two classes, positive where the second is likelier.

        That of a class without weight, −∞, is written as 1000 below the row's largest, which is probability 0
        as well and a number that calibration, stacking and scorers can take; of two classes ±1000.
        """
        home, X, o = self._rows(X, offset, "decision_function")
        coef, b = in_numpy(self.coef_), in_numpy(self.intercept_)
        if coef.shape[0] == 1:
            scores = np.asarray(safe_sparse_dot(X, coef.T, dense_output=True) + b).ravel()
            scores = scores if o is None else scores + (o[:, 1] - o[:, 0])
            return home.bring(np.clip(scores, -_FAR, _FAR) if np.isinf(b).any() else scores)
        W, b = both_rows(coef, b)
        scores = linear.logits(X, W, b, offset=o)
        masked = np.isneginf(b)
        if masked.any():
            scores[:, masked] = scores.max(axis=1, keepdims=True) - _FAR
        return home.bring(scores)

    def predict(self, X: Any, offset: Any = None) -> NDArray[Any]:
        """The class of the largest logit, (n,)."""
        home, chosen = self._score(linear.predict, X, offset)
        return home.bring(in_numpy(self.classes_)[chosen])

    def predict_proba(self, X: Any, offset: Any = None) -> NDArray[Any]:
        """softmax(z), (n, K), columns in the order of `classes_`; computed in float64 if X or `coef_` is."""
        home, p = self._score(linear.predict_proba, X, offset)
        return home.bring(p)

    def predict_log_proba(self, X: Any, offset: Any = None) -> NDArray[Any]:
        """log softmax(z) computed from the logits, (n, K): finite where log(predict_proba) is −inf."""
        home, log_p = self._score(linear.predict_log_proba, X, offset)
        return home.bring(log_p)

    def densify(self: Self) -> Self:
        """Turn `coef_` back into a dense array; returns self."""
        check_is_fitted(self)
        if sparse.issparse(self.coef_):
            self.coef_ = self.coef_.toarray()
        return self

    def sparsify(self: Self) -> Self:
        """Turn `coef_` into a CSR matrix; returns self."""
        check_is_fitted(self)
        self.coef_ = sparse.csr_matrix(in_numpy(self.coef_))
        return self

    def _rows(self, X: Any, offset: Any, method: str) -> tuple[Home, Any, NDArray[Any] | None]:
        """Where X lives, and X and offset as `method` computes with them."""
        if offset is None and self._needs_no_validation(X):
            return Home(), X, None
        home, (X, offset) = home_of(X), self._to_numpy(method, X, offset=offset)
        X = locate(X, lambda: validate_data(self, X, reset=False, **TAKES))
        return home, X, offset_of(offset, X.shape[0], in_numpy(self.classes_))

    def _needs_no_validation(self, X: Any) -> bool:
        """Whether X is what scikit-learn's validation would hand back as it is: NumPy's, as `fit`'s was,
        without names, finite by its sum. It takes longer to say so than a thousand rows to predict."""
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

    def _to_numpy(self, method: str, X: Any, /, **others: Any) -> list[Any]:
        """X and others in NumPy. Raises ValueError where `fit` was given X of another namespace: as in
        scikit-learn, a model is moved by who wants that, not by `method`. In words that its checks know."""
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

    def _scored_rows(self, X: Any, y: Any, sample_weight: Any, offset: Any) -> Batch:
        """Rows as a loss or an accuracy of theirs is worked out, all in NumPy."""
        _, X, o = self._rows(X, offset, "score")
        weight = weights_of(X, sample_weight)
        return Batch(X, codes_of(y, self.classes_, weight), weight, offset=o)

    def _score(self, of_rows: Callable[..., NDArray[Any]], X: Any, offset: Any) -> tuple[Home, NDArray[Any]]:
        home, X, o = self._rows(X, offset, of_rows.__name__)  # called as our methods are
        W, b = both_rows(self.coef_, self.intercept_)
        return home, of_rows(X, W, b, offset=o)


def _has_finite_sum(X: NDArray[Any]) -> bool:
    with np.errstate(over="ignore", invalid="ignore"):
        return bool(np.isfinite(X.sum(dtype=np.float32 if X.itemsize == 2 else None)))


def both_rows(coef: Any, intercept: Any) -> tuple[NDArray[Any], NDArray[Any]]:
    """W (K, d), dense, and b (K,), in NumPy: of two classes the first has logit 0, unless the second's is
    +inf: then the first has −inf. An intercept may be one number, as it is where others set it."""
    coef, intercept = in_numpy(coef), in_numpy(intercept)
    W = coef.toarray() if sparse.issparse(coef) else coef
    b = np.broadcast_to(intercept, (len(W),))
    if len(W) > 1:
        return W, b
    logits = [-np.inf, 0.0] if b[0] == np.inf else [0.0, b[0]]
    return np.vstack([np.zeros_like(W), W]), np.array(logits, b.dtype)


@contextmanager
def unchanged_if_it_raises(estimator: Any) -> Iterator[None]:
    """Whatever is raised inside, the estimator's fitted attributes are what they were before."""
    before = {name: value for name, value in vars(estimator).items() if name.endswith("_")}
    try:
        yield
    except BaseException:
        for name in [name for name in vars(estimator) if name.endswith("_")]:
            delattr(estimator, name)
        estimator.__dict__.update(before)
        raise
