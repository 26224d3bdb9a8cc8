"""Which objects of two windows are the same, by the pixels that both windows see."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

import numpy as np

_LEAST_IOU = 0.5  # of the parts of two objects that lie in both windows
_LEAST_CONTACT = 0.5  # of the shorter side, where windows only touch


@dataclass(frozen=True, eq=False)
class WindowIds:
    """The objects that a window saw.

    Parameters
    ----------
    rows, cols : slice
        Its part of the frame, in source pixels.
    ids : (h, w) integer
        Local ids, from 1 to `n`; 0 = background.
    n : int
        How many objects there are.
    offset : int
        Number of parts that earlier windows saw: local id i is part ``offset + i - 1``.
    """

    rows: slice
    cols: slice
    ids: np.ndarray
    n: int
    offset: int


@dataclass(frozen=True, eq=False)
class Matches:
    """Pairs of parts that are of one object.

    Parameters
    ----------
    first, second : (m,) int64
        Numbers of the parts, from 0 on.
    strength : (m,) int64
        Pixels on which both windows agree.
    """

    first: np.ndarray
    second: np.ndarray
    strength: np.ndarray

    @classmethod
    def strongest_first(cls, matches: Iterable[Self]) -> Self:
        """All of several matches, those of most pixels first."""
        matches = list(matches)
        first, second, strength = (
            np.concatenate([np.empty(0, np.int64), *(getattr(one, name) for one in matches)])
            for name in ("first", "second", "strength")
        )
        order = np.argsort(-strength, kind="stable")
        return cls(first[order], second[order], strength[order])


def match_windows(first: WindowIds, second: WindowIds) -> Matches | None:
    """Pairs of objects of two windows that are the same; None if the windows do not meet.

    Parameters
    ----------
    first, second : WindowIds
        The windows.

    Notes
    -----
    Where the windows overlap, the parts of two objects that lie in the overlap must have an
    intersection over union of at least one half, and each must be the best of the other.

    Windows that only touch have no pixel in common. The pixels on either side of the border are
    compared instead, as far as they face each other: two objects are one if they face each other
    along at least half of the shorter of their two sides, and neither has a longer contact with
    another. Touching neighbours that happen to meet at the border are joined by this rule: windows
    should overlap.
    """
    row, height = _shared(first.rows, second.rows)
    col, width = _shared(first.cols, second.cols)
    if height < 0 or width < 0 or (height == 0 and width == 0):
        return None
    ours, theirs = (
        window.ids[
            _side(window.rows, other.rows, row, height), _side(window.cols, other.cols, col, width)
        ].reshape(-1)
        for window, other in ((first, second), (second, first))
    )
    pairs, shared, sizes = _contingency(ours, theirs, first.n, second.n)
    rows, cols = pairs
    of_first, of_second = sizes[0][rows], sizes[1][cols]
    touching_only = height == 0 or width == 0
    if touching_only:
        score = shared / np.minimum(of_first, of_second)
        best = _is_best(rows, cols, shared) & (score >= _LEAST_CONTACT)
    else:
        score = shared / (of_first + of_second - shared)
        best = _is_best(rows, cols, score) & (score >= _LEAST_IOU)
    if not best.any():
        return None
    return Matches(rows[best] + (first.offset - 1), cols[best] + (second.offset - 1), shared[best])


def _shared(first: slice, second: slice) -> tuple[int, int]:
    """Start and length of what two ranges share; 0 if they touch, below 0 if they are apart."""
    start = max(first.start, second.start)
    return start, min(first.stop, second.stop) - start


def _side(own: slice, other: slice, start: int, length: int) -> slice:
    """The part of a range that lies in the other one, or that faces it across their border."""
    if length:
        return slice(start - own.start, start - own.start + length)
    return slice(0, 1) if other.start < own.start else slice(-1, None)


def _contingency(
    ours: np.ndarray, theirs: np.ndarray, n_ours: int, n_theirs: int
) -> tuple[tuple[np.ndarray, np.ndarray], np.ndarray, tuple[np.ndarray, np.ndarray]]:
    """Pairs of ids that share pixels, how many, and the sizes of all ids on both sides."""
    sizes = np.bincount(ours, minlength=n_ours + 1), np.bincount(theirs, minlength=n_theirs + 1)
    both = (ours > 0) & (theirs > 0)
    keys = ours[both].astype(np.int64) * (n_theirs + 1) + theirs[both]
    if (n_ours + 1) * (n_theirs + 1) <= 4 * keys.size + 2**12:
        counts = np.bincount(keys)
        found = counts.nonzero()[0]
        shared = counts[found]
    else:
        found, shared = np.unique(keys, return_counts=True)
    return np.divmod(found, n_theirs + 1), shared, sizes


def _is_best(rows: np.ndarray, cols: np.ndarray, score: np.ndarray) -> np.ndarray:
    """Whether each pair has the highest score of its row and of its column, the first on ties."""
    order = np.argsort(-score, kind="stable")
    best = np.ones(score.size, bool)
    for ids in (rows, cols):
        is_first = np.zeros(score.size, bool)
        is_first[order[np.unique(ids[order], return_index=True)[1]]] = True
        best &= is_first
    return best
