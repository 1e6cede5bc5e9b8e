"""The one error of this package."""

from __future__ import annotations


class TableError(ValueError):
    """The table cannot be used; the message says what was expected and found, and the remedy."""
