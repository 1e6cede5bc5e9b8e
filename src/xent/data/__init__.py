"""Rows and targets, wherever they lie."""

from __future__ import annotations

from .batch import Batch

__all__ = ["Batch"]
