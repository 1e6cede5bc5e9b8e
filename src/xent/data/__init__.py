"""Rows and targets, wherever they lie."""

from __future__ import annotations

from .batch import Batch, TopK
from .source import InMemory, Source

__all__ = ["Batch", "InMemory", "Source", "TopK"]
