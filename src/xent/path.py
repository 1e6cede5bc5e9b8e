"""The name by which pickles know `SoftmaxPath`."""

from __future__ import annotations

from .estimators.path import SoftmaxPath

__all__ = ["SoftmaxPath"]
