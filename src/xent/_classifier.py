"""What fitted classifiers have in common: logits, probabilities and predictions of coef_ and intercept_."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils._array_api import check_same_namespace
from sklearn.utils.extmath import safe_sparse_dot
from sklearn.utils.validation import check_is_fitted, validate_data

from . import linear
from ._arrays import Home, home_of, in_numpy, numpy_twin, to_numpy
from ._problem import TAKES, locate
from ._targets import offset_of

Self = TypeVar("Self", bound="SoftmaxClassifier")


class SoftmaxClassifier(ClassifierMixin, BaseEstimator):
    """A classifier by softmax(W x + b + o) with coef_ (K, d) or (1, d), intercept_ and classes_."""

    coef_: Any  # dense, or CSR after `sparsify`
    intercept_: Any
    classes_: Any
    converged_: bool

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.array_api_support = True
        return tags

    def decision_function(self, X: Any, offset: Any = None) -> NDArray[Any]:
        """Logits z = W x + b + o: (n, K), or (n,) for two classes, positive where the second is likelier."""
        home, X, o = self._rows(X, offset, "decision_function")
        scores = safe_sparse_dot(X, in_numpy(self.coef_).T, dense_output=True) + in_numpy(self.intercept_)
        if scores.shape[1] == 1:
            return home.bring(scores.ravel() if o is None else scores.ravel() + (o[:, 1] - o[:, 0]))
        return home.bring(scores if o is None else scores + o)

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

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """The mean accuracy of `predict` on X and labels y."""
        # In NumPy: PyTorch's mean of it is one of float32, and y may live elsewhere.
        X, y, sample_weight = self._to_numpy("score", X, y=y, sample_weight=sample_weight)
        return super(SoftmaxClassifier, numpy_twin(self)).score(X, y, sample_weight)

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
        home, (X, offset) = home_of(X), self._to_numpy(method, X, offset=offset)
        X = locate(X, lambda: validate_data(self, X, reset=False, **TAKES))
        return home, X, offset_of(offset, X.shape[0], self.classes_.shape[0])

    def _to_numpy(self, method: str, X: Any, /, **others: Any) -> list[Any]:
        """X and others in NumPy. Raises ValueError where `fit` was given X of another namespace: as in
        scikit-learn, a model is moved by who wants that, not by `method`."""
        check_is_fitted(self)
        arrays = to_numpy(X=X, **others)
        check_same_namespace(X, self, attribute="coef_", method=method)
        return arrays

    def _score(self, of_rows: Callable[..., NDArray[Any]], X: Any, offset: Any) -> tuple[Home, NDArray[Any]]:
        home, X, o = self._rows(X, offset, of_rows.__name__)  # called as our methods are
        W, b = both_rows(self.coef_, self.intercept_)
        return home, of_rows(X, W, b, offset=o)


def both_rows(coef: Any, intercept: Any) -> tuple[NDArray[Any], NDArray[Any]]:
    """W (K, d), dense, and b (K,), in NumPy: of two classes the first has logit 0."""
    coef, intercept = in_numpy(coef), in_numpy(intercept)
    W = coef.toarray() if sparse.issparse(coef) else coef
    if len(W) > 1:
        return W, intercept
    return np.vstack([np.zeros_like(W), W]), np.append(np.zeros_like(intercept), intercept)


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
