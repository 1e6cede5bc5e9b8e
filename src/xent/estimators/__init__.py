"""The model as users of scikit-learn know it: estimators, cross-validation and paths."""

from __future__ import annotations

from .cv import SoftmaxRegressionCV
from .path import SoftmaxPath, l1_min_c, softmax_path
from .softmax import SoftmaxRegression

__all__ = ["SoftmaxPath", "SoftmaxRegression", "SoftmaxRegressionCV", "l1_min_c", "softmax_path"]
