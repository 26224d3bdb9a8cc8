"""Which objects of two windows are the same, by the pixels that both windows see."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

_LEAST_IOU = 0.5  # of the parts of two objects that lie in both windows
_N_NEAREST = 6  # windows that are compared in any case
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
class Pairs:
    """Pairs of parts that two windows saw in the same place.

    Parameters
    ----------
    first, second : (m,) int64
        Numbers of the parts, from 0 on.
    shared : (m,) int64
        Pixels that they have in common.
    is_match : (m,) bool
        Whether the two are one object.
    """

    first: np.ndarray
    second: np.ndarray
    shared: np.ndarray
    is_match: np.ndarray

    @classmethod
    def of(cls, several: Iterable[Self]) -> Self:
        """All of several, those that share most pixels first."""
        several = list(several)
        first, second, shared, is_match = (
            np.concatenate([np.empty(0, dtype), *(getattr(pairs, name) for pairs in several)])
            for name, dtype in (
                ("first", np.int64),
                ("second", np.int64),
                ("shared", np.int64),
                ("is_match", bool),
            )
        )
        order = np.argsort(-shared, kind="stable")
        return cls(first[order], second[order], shared[order], is_match[order])


def nearest_windows(window: WindowIds, others: Iterable[WindowIds]) -> list[WindowIds]:
    """Other windows that meet a window: those that share most with it.

    These are the few whose overlap is largest, and all whose overlap lies in no larger one. What
    the rest see of the window, those see as well: comparing with them is enough, and takes no
    longer the more windows overlap.
    """
    boxes: list[tuple[int, int, int, int]] = []
    meeting: list[WindowIds] = []
    for other in others:
        top, left = (
            max(window.rows.start, other.rows.start),
            max(window.cols.start, other.cols.start),
        )
        bottom, right = (
            min(window.rows.stop, other.rows.stop),
            min(window.cols.stop, other.cols.stop),
        )
        if top <= bottom and left <= right:
            boxes.append((top, left, bottom, right))
            meeting.append(other)
    areas = [(bottom - top) * (right - left) for top, left, bottom, right in boxes]
    near: list[int] = []
    for index in sorted(range(len(boxes)), key=areas.__getitem__, reverse=True):
        if len(near) < _N_NEAREST or not any(_holds(boxes[k], boxes[index]) for k in near):
            near.append(index)
    return [meeting[index] for index in sorted(near)]


def _holds(outer: tuple[int, int, int, int], box: tuple[int, int, int, int]) -> bool:
    return outer[0] <= box[0] and outer[1] <= box[1] and outer[2] >= box[2] and outer[3] >= box[3]


def match_windows(
    first: WindowIds, second: WindowIds, others: Sequence[WindowIds] = ()
) -> Pairs | None:
    """Pairs of objects of two windows, and which of them are the same; None if there are none.

    Parameters
    ----------
    first, second : WindowIds
        The windows.
    others : sequence of WindowIds
        Further windows, of which one may see both sides of a border at which the two touch.

    Notes
    -----
    Where the windows overlap, the parts of two objects that lie in the overlap must have an
    intersection over union of at least one half, and each must be the best of the other.

    Windows that only touch have no pixel in common. The pixels on either side of the border are
    compared instead, as far as they face each other: two objects are one if they face each other
    along at least half of the shorter of their two sides, and neither has a longer contact with
    another. Touching neighbours that happen to meet at the border are joined by this rule: windows
    should overlap. It is left out where another window sees both sides, which knows better.
    """
    row, height = _shared(first.rows, second.rows)
    col, width = _shared(first.cols, second.cols)
    if height < 0 or width < 0 or (height == 0 and width == 0):
        return None
    touching_only = height == 0 or width == 0
    if touching_only and any(_spans(other, row, height, col, width) for other in others):
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
    if touching_only:
        score = shared / np.minimum(of_first, of_second)
        best = _is_best(rows, cols, shared) & (score >= _LEAST_CONTACT)
    else:
        score = shared / (of_first + of_second - shared)
        best = _is_best(rows, cols, score) & (score >= _LEAST_IOU)
    if not shared.size:
        return None
    return Pairs(rows + (first.offset - 1), cols + (second.offset - 1), shared, best)


def _shared(first: slice, second: slice) -> tuple[int, int]:
    """Start and length of what two ranges share; 0 if they touch, below 0 if they are apart."""
    start = max(first.start, second.start)
    return start, min(first.stop, second.stop) - start


def _spans(window: WindowIds, row: int, height: int, col: int, width: int) -> bool:
    """Whether a window sees both sides of a border (of height or width 0), or of a part of it."""
    return (
        window.rows.start < row + height
        and row < window.rows.stop
        and window.cols.start < col + width
        and col < window.cols.stop
    )


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
