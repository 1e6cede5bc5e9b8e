"""The same numbers in memory of another shape, for `fuzz_cases.py`. What lies around them is 0xFF, NaN in
every format."""

from __future__ import annotations

import numpy as np


def around(shape, dtype):
    A = np.empty(shape, dtype)
    A.view(np.uint8).fill(255)
    return A


def inside(A, rows=1, columns=1, before=0):
    """A as every rows-th row and columns-th column of a larger array."""
    n, d = A.shape
    view = around((n * rows + 2 * before + 1, d * columns + 2 * before + 1), A.dtype)[
        before : before + n * rows : rows, before : before + d * columns : columns
    ]
    view[...] = A
    return view


def at_byte(A, offset):
    raw = np.full(A.nbytes + offset, 255, np.uint8)
    view = raw[offset:].view(A.dtype).reshape(A.shape)
    view[...] = A
    return view


def record_field(A, padding):
    """A field of a structured array, behind a 4-byte tag: rows `padding` off a multiple of 8 bytes."""
    n, d = A.shape
    row = 4 + d * A.itemsize
    size = row + (padding - row) % 8
    dtype = np.dtype({"names": ["x"], "formats": [(A.dtype, (d,))], "offsets": [4], "itemsize": size})
    table = np.frombuffer(bytearray(b"\xff" * (n * size)), dtype)
    table["x"] = A
    return table["x"]


def read_only(A):
    A.flags.writeable = False
    return A


LAYOUTS = {
    "C": (6, lambda rng, A: A),
    "F": (2, lambda rng, A: np.asfortranarray(A)),
    "strided": (1, lambda rng, A: inside(A, *rng.integers(1, 4, 2))),
    "reversed": (1, lambda rng, A: inside(A[::-1, ::-1])[::-1, ::-1]),
    "columns reversed, strided": (1, lambda rng, A: inside(A[:, ::-1], 2, 3)[:, ::-1]),
    "offset": (2, lambda rng, A: inside(A, before=int(rng.integers(1, 5)))),
    "offset F": (1, lambda rng, A: inside(A.T, before=int(rng.integers(1, 5))).T),
    "one row again and again": (0.5, lambda rng, A: np.broadcast_to(A[:1], A.shape) if len(A) else A),
    "read-only": (1, lambda rng, A: read_only(A)),
    "record field": (0.5, lambda rng, A: record_field(A, 0)),
    "record field, odd rows": (0.5, lambda rng, A: record_field(A, 4)),
    "misaligned": (0.5, lambda rng, A: at_byte(A, int(rng.integers(1, 8)))),
}
# Layouts that a kernel may refuse (y and weight are to be contiguous).
REFUSABLE = {
    "strided": (1, lambda a: np.repeat(a, 2, axis=0)[::2]),
    "misaligned": (1, lambda a: at_byte(a, 4)),
    "of other bytes": (1, lambda a: a.astype(a.dtype.newbyteorder())),
    "one too many": (1, lambda a: np.concatenate([a, a[:1]]) if len(a) else np.zeros(1, a.dtype)),
    "one too few": (1, lambda a: a[1:]),
    "a column": (1, lambda a: a[:, None]),
}
