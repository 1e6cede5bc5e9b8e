"""The name by which pickles know `SoftmaxPath`, and the functions that make it."""

from __future__ import annotations

from .estimators.path import SoftmaxPath, l1_min_c, softmax_path

__all__ = ["SoftmaxPath", "l1_min_c", "softmax_path"]
