"""A source that is read from its first row to its last and no other way: what a file or a worker would be."""

import numpy as np
from scipy import sparse

from xent.data import Source


class Forward(Source):
    """The rows of a batch, `rows` at a time, through one buffer: what was handed out is NaN as soon as the
    next rows are asked for, and two readings at once are refused.

    `readings` counts those that were begun.
    """

    def __init__(self, batch, rows):
        self._batch, self._rows = batch, rows
        self.n_rows, self.n_features = batch.shape
        self.dtype = batch.X.dtype
        self.stored = batch.X.nnz if batch.is_sparse else batch.X.size
        self.has_offset, self.label_smoothing = batch.offset is not None, batch.label_smoothing
        self.readings = 0
        self._reading = None

    def batches(self):
        self.readings += 1
        me = self._reading = object()
        for start in range(0, self.n_rows, self._rows):
            assert self._reading is me, "the source is read by two at once"
            part = self._batch.take(np.arange(start, min(start + self._rows, self.n_rows)))
            yield part
            for array in (part.X.data if sparse.issparse(part.X) else part.X, part.weight, part.offset):
                if array is not None:
                    array[...] = np.nan
        if self._reading is me:
            self._reading = None
