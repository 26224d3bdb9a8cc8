"""Runs as arrays: what all stages between a plane and its tokens hand on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, NamedTuple, TypeVar

import numpy as np

if TYPE_CHECKING:
    from torch import Tensor

ArrayT = TypeVar("ArrayT", np.ndarray, "Tensor")
"""A numpy array or a torch tensor: what is written for one works for the other."""


class Runs(NamedTuple, Generic[ArrayT]):
    """R runs of a plane, or a padded batch of them.

    The records that a kind of run writes have the same three columns; a kind may give them another
    meaning, such as a difference instead of a symbol.

    Attributes
    ----------
    start : (R,) or (B, R) integers
        Position of the first pixel of each run in the plane.
    length : (R,) or (B, R) integers
        Pixels of each run.
    symbol : (R,) or (B, R) integers
        What each pixel of a run holds.
    """

    start: ArrayT
    length: ArrayT
    symbol: ArrayT


def sum_within(values: np.ndarray, group: np.ndarray) -> np.ndarray:
    """Running sums (R,) of values that begin again with each group; groups are sorted."""
    total = values.cumsum()
    if not group.size or group[0] == group[-1]:
        return total
    first = np.flatnonzero(np.concatenate(([True], group[1:] != group[:-1])))
    before = total[first] - values[first]
    return total - np.repeat(before, np.diff(np.append(first, group.size)))


def draw(runs: Runs[np.ndarray], n_pixels: int, dtype: np.dtype) -> np.ndarray:
    """The plane (n_pixels,) of some runs within it; where they overlap, the later one shows."""
    try:
        return _draw_in_order(runs, n_pixels, dtype)
    except ValueError:  # repeats may not be negative: runs are not in order, or overlap
        order = runs.start.argsort(kind="stable")
        start, length, symbol = (column[order] for column in runs)
        if np.count_nonzero(start[1:] < start[:-1] + length[:-1]):
            return _draw_over(runs, n_pixels, dtype)
        return _draw_in_order(Runs(start, length, symbol), n_pixels, dtype)


def _draw_in_order(runs: Runs[np.ndarray], n_pixels: int, dtype: np.dtype) -> np.ndarray:
    start, length, symbol = runs
    if not start.size:
        return np.zeros(n_pixels, dtype)
    end = start + length
    # background, run, background, run, ..., background
    values = np.zeros(2 * start.size + 1, dtype)
    values[1::2] = symbol
    counts = np.empty(values.size, np.int64)
    counts[0] = start[0]
    counts[1::2] = length
    np.subtract(start[1:], end[:-1], out=counts[2:-1:2])
    counts[-1] = n_pixels - end[-1]
    return values.repeat(counts)


def _draw_over(runs: Runs[np.ndarray], n_pixels: int, dtype: np.dtype) -> np.ndarray:
    plane = np.zeros(n_pixels, dtype)
    for start, length, symbol in zip(*(column.tolist() for column in runs), strict=True):
        plane[start : start + length] = symbol
    return plane
