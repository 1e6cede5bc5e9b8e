"""Where rows come from: read from first to last as often as asked, in memory, in files or on workers.

Most readings serve a sum over rows. So threads, batches of a file and workers of a cluster are the same
thing: map over batches, add in their order.
"""

from __future__ import annotations

import functools
import operator
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from .._types import Index, Matrix
from .batch import Batch

T = TypeVar("T")


class Source(ABC):
    """n rows with their targets, which can be read as often as asked.

    Six facts are known before anything is read: n_rows, n_features, X's dtype, how many numbers X stores,
    whether there are offsets, and how much labels are smoothed. An implementation must have `batches`; all
    else reads through it once, in order.
    """

    n_rows: int
    n_features: int
    dtype: np.dtype[Any]
    stored: int
    has_offset: bool
    label_smoothing: float

    @abstractmethod
    def batches(self) -> Iterator[Batch]:
        """All rows in order, from the first one at every call. A reader is done with a batch before it asks
        for the next."""

    @property
    def whole(self) -> Batch | None:
        """All rows as one batch if they lie in memory as one, else None."""
        return None

    @property
    def by_index(self) -> bool:
        """Whether `gather` reads only the rows it returns."""
        return False

    def map(self, part: Callable[..., T], *args: object, **kwargs: object) -> Iterator[T]:
        """Yields part(batch, *args, **kwargs) for every batch, in order."""
        return (part(batch, *args, **kwargs) for batch in self.batches())

    def sum(self, part: Callable[..., T], *args: object, **kwargs: object) -> T:
        """The sum of what `map` yields, added in order: the same bits at every call."""
        return functools.reduce(operator.add, self.map(part, *args, **kwargs))

    def gather(self, chosen: Sequence[Index]) -> Callable[[int], Any]:
        """A function of k that returns the rows of X with the ascending indices chosen[k]. One reading serves
        all k; the rows are kept in memory."""
        wanted = np.unique(np.concatenate([*chosen, np.zeros(0, np.int64)]))
        parts, first = [], 0
        for batch in self.batches():
            start, stop = np.searchsorted(wanted, (first, first + batch.shape[0]))
            if start < stop:
                parts.append(batch.X[wanted[start:stop] - first])
            first += batch.shape[0]
        rows = stacked(parts) if parts else np.zeros((0, self.n_features), self.dtype)
        return lambda k: rows[np.searchsorted(wanted, chosen[k])]

    def sample(self, rows: int, fewest: int) -> InMemory:
        """About `rows` rows, taken by `Batch.sample` from each batch in proportion; one reading."""
        return InMemory(*self.map(_sampled, rows, self.n_rows, fewest))

    def columns(self, features: NDArray[np.intp]) -> Source:
        """The same rows with these features alone."""
        return _Columns(self, features)


class InMemory(Source):
    """A source whose batches are in memory; mostly there is one. `stands_for`: as a `Batch` has it."""

    def __init__(self, *batches: Batch) -> None:
        self._batches = batches
        self.n_rows = sum(batch.shape[0] for batch in batches)
        self.n_features = batches[0].shape[1]
        self.dtype = max((batch.X.dtype for batch in batches), key=lambda dtype: dtype.itemsize)
        self.stored = sum(X.size if isinstance(X, np.ndarray) else X.nnz for X in (b.X for b in batches))
        self.has_offset = any(batch.offset is not None for batch in batches)
        self.label_smoothing = max(batch.label_smoothing for batch in batches)
        self.stands_for = max(batch.stands_for for batch in batches)

    def batches(self) -> Iterator[Batch]:
        return iter(self._batches)

    @property
    def whole(self) -> Batch | None:
        return self._batches[0] if len(self._batches) == 1 else None

    @property
    def by_index(self) -> bool:
        return True

    def gather(self, chosen: Sequence[Index]) -> Callable[[int], Any]:
        """As `Source.gather`, but of one batch nothing is read or kept in advance."""
        if len(self._batches) > 1:
            return super().gather(chosen)
        X = self._batches[0].X
        return lambda k: X[chosen[k]]

    def columns(self, features: NDArray[np.intp]) -> InMemory:
        return InMemory(*self.map(_with_columns, features))


class _Columns(Source):
    """The rows of a source with some of its features."""

    def __init__(self, source: Source, features: NDArray[np.intp]) -> None:
        self._source, self._features = source, features
        self.n_rows, self.n_features, self.dtype = source.n_rows, len(features), source.dtype
        self.stored = source.stored * len(features) // max(source.n_features, 1)
        self.has_offset, self.label_smoothing = source.has_offset, source.label_smoothing

    def batches(self) -> Iterator[Batch]:
        return self._source.map(_with_columns, self._features)


def _with_columns(batch: Batch, features: NDArray[np.intp]) -> Batch:
    X = batch.X[:, features]
    return replace(batch, X=X if batch.is_sparse else np.ascontiguousarray(X))


def _sampled(batch: Batch, rows: int, of: int, fewest: int) -> Batch:
    return batch.sample(max(1, rows * batch.shape[0] // of), fewest)


def stacked(parts: Sequence[Matrix]) -> Any:
    """Arrays, or CSR matrices, one below the other; a single one as it is."""
    if len(parts) == 1:
        return parts[0]
    if isinstance(parts[0], np.ndarray):
        return np.concatenate([*parts])  # then all are
    from scipy import sparse  # loaded already, where rows are CSR

    return sparse.vstack(parts, format="csr")
