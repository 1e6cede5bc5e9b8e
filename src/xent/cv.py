"""The name by which pickles, skops files and their trusted types know `SoftmaxRegressionCV`."""

from __future__ import annotations

from .estimators.cv import SoftmaxRegressionCV

__all__ = ["SoftmaxRegressionCV"]
