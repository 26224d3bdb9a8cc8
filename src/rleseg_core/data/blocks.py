"""Whole frames of ids, block by block: numpy takes eight bytes for each that it looks up."""

from collections.abc import Iterator

import numpy as np

_VALUES = 1 << 20  # of a block


def blocks(shape: tuple[int, ...]) -> Iterator[slice]:
    """Slices of the first axis that cover an array, each of about a million values."""
    n_rows = max(1, _VALUES // max(1, int(np.prod(shape[1:]))))
    return (slice(first, first + n_rows) for first in range(0, shape[0], n_rows))


def looked_up(table: np.ndarray, ids: np.ndarray) -> np.ndarray:
    """``table[ids]``: an entry (...) of the table (n,) for each of the ids (...), 0 to n - 1."""
    found = np.empty(ids.shape, table.dtype)
    for rows in blocks(ids.shape):
        found[rows] = table[ids[rows]]
    return found


def counted(ids: np.ndarray, n: int) -> np.ndarray:
    """How many of the ids (...), 0 to n - 1, are each of them, (n,) int64."""
    counts = np.zeros(n, np.int64)
    for rows in blocks(ids.shape):
        counts += np.bincount(ids[rows].reshape(-1), minlength=n)
    return counts
