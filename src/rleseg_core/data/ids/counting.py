"""The numbers that occur in masks, and how often."""

from collections.abc import Mapping

import numpy as np

from rleseg_core.errors import DataError

_SPREAD = 1 << 16  # numbers that lie so close together are counted in a table
_EXACT = 1 << 53  # below it, float64 holds every integer


def count_values(labels: np.ndarray) -> dict[int, int]:
    """How many pixels hold each number.

    Parameters
    ----------
    labels : (...) integer or bool
        A mask, or a part of one.

    Returns
    -------
    dict of int to int
        Pixels by number; exact for every integer type.
    """
    if not labels.size:
        return {}
    if labels.dtype == bool:
        labels = labels.view(np.uint8)
    low, high = int(labels.min()), int(labels.max())
    if high - low < _SPREAD and high < 1 << 62:
        shifted = labels.ravel().astype(np.int64, copy=False) - low
        counts = np.bincount(shifted)
        return {int(k) + low: int(counts[k]) for k in np.flatnonzero(counts)}
    values, numbers = np.unique(labels, return_counts=True)
    return dict(zip(values.tolist(), numbers.tolist(), strict=True))


def add_counts(total: dict[int, int], more: Mapping[int, int]) -> None:
    """Add the counts of one more frame, in place."""
    for value, n_pixels in more.items():
        total[value] = total.get(value, 0) + n_pixels


def whole_numbers(labels: np.ndarray, what: str = "the mask") -> np.ndarray:
    """Floats that are whole numbers, as integers.

    Parameters
    ----------
    labels : (...) float
        Ids that a program has saved as floats.
    what : str
        Name of the mask in errors.

    Returns
    -------
    (...) int64
        The same ids.

    Raises
    ------
    DataError
        If one is a fraction, not finite, or too large for a float to hold exactly.
    """
    wide = labels.astype(np.float64, copy=False)
    wrong = ~(np.abs(wide) <= _EXACT)  # nan compares as false
    wrong |= np.trunc(wide) != wide
    if wrong.any():
        found = labels[wrong]
        raise DataError(
            f"{what} holds {found.flat[0]:g}, and {np.count_nonzero(wrong):,} such pixels in all; "
            "a mask needs whole numbers: save it as integer ids, 0 = background"
        )
    return wide.astype(np.int64)
