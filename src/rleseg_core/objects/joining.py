"""From the objects of overlapping windows to the objects of a frame, each once and whole."""

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from rleseg_core.data.blocks import blocks, counted, looked_up
from rleseg_core.objects.leftovers import absorbing
from rleseg_core.objects.links import Links
from rleseg_core.objects.measuring import number_consecutively
from rleseg_core.objects.overlap import Pairs, WindowIds, match_windows, nearest_windows

OwnerRule = Literal["centre", "last"]
"""Which window a pixel belongs to: the one in which it lies deepest, or the latest."""

_LEAST_KEPT = 0.6  # share of the largest part of an object that its pixels must come to
_DEEPEST = 2**16 - 1  # pixels from the border of a window, farther than which does not count
_LEAST_SHARED = 0.25  # share of the smaller of two parts of which little is left, to be one


@dataclass(frozen=True, kw_only=True, eq=False)
class ObjectParts:
    """What is known of the objects of a window; arrays are (k,), entry i for local id i + 1.

    Parameters
    ----------
    class_ids : (k,) integer
        Class ids, 1 or more.
    confidence : (k,) float
        0 to 1; nan where it is not known.
    n_tokens : (k,) integer
        Tokens that say the object, by which confidences are weighed.
    """

    class_ids: np.ndarray
    confidence: np.ndarray
    n_tokens: np.ndarray

    @property
    def n(self) -> int:
        """How many objects there are."""
        return len(self.class_ids)


@dataclass(frozen=True, kw_only=True, eq=False)
class JoinedFrame:
    """The objects of a frame.

    Parameters
    ----------
    ids : (Y, X) uint32
        Ids from `first_id` on, by the first pixel of each object; 0 = background.
    first_id : int
        The lowest id.
    class_ids : (n,) int64
        Class of each object: the one that most of its pixels were given.
    confidence : (n,) float32
        Mean over its parts, weighed by their tokens; nan where it is not known.
    """

    ids: np.ndarray
    first_id: int
    class_ids: np.ndarray
    confidence: np.ndarray

    @property
    def n(self) -> int:
        """How many objects there are."""
        return len(self.class_ids)

    def class_map(self) -> np.ndarray:
        """Class ids (Y, X) uint8."""
        lookup = np.concatenate([[0], self.class_ids]).astype(np.uint8)
        classes = np.zeros(self.ids.shape, np.uint8)
        for rows in blocks(classes.shape):
            ids = self.ids[rows]
            classes[rows] = lookup[np.where(ids > 0, ids - np.uint32(self.first_id - 1), 0)]
        return classes


class FrameJoiner:
    """Joins the objects that windows found in one frame.

    Parameters
    ----------
    shape : (int, int)
        Rows and columns of the frame, in source pixels.
    owner : {'centre', 'last'}
        Which window a pixel belongs to. The border of the frame does not count as a border of a
        window.

    Notes
    -----
    A pixel has the object that its owner saw there, or none. Objects of two windows are one object
    if they match where both windows see them (see `match_windows`), directly or through others, but
    never two that one window told apart: the strongest matches count first. An object that other
    windows contradict, so that it has less than three fifths of the pixels of its largest part, is
    none. What is left of it goes to the object that it touches and that took most of its place, if
    there is one; unless that is one of the same kind, with which it is one object.

    Windows are added row by row, as `plan_windows` gives them; those that no later window can meet
    are forgotten.
    """

    def __init__(self, shape: tuple[int, int], owner: OwnerRule = "centre") -> None:
        self.owner = owner
        self._canvas = np.zeros(shape, np.int32)  # number of the part of each pixel, from 1 on
        self._depths = np.zeros(shape, np.uint16)
        self._recent: list[WindowIds] = []
        self._parts: list[ObjectParts] = []
        self._class_ids: list[int] = []  # of each part
        self._areas: list[np.ndarray] = []
        self._pairs: list[Pairs] = []
        self._links = Links()

    def add(
        self, rows: slice, cols: slice, ids: np.ndarray, parts: ObjectParts
    ) -> tuple[np.ndarray, np.ndarray]:
        """Add the objects of a window.

        Parameters
        ----------
        rows, cols : slice
            Its part of the frame, in source pixels.
        ids : (h, w) integer
            Local ids there, from 1 to k; 0 = background.
        parts : ObjectParts
            What is known of them.

        Returns
        -------
        classes : (h, w) uint8
            Class ids there after this window.
        ids : (h, w) uint32
            Ids of objects there, from 1 on: those of an object differ from all others of the frame,
            and may still change.
        """
        small = ids.astype(np.uint16 if parts.n < 2**16 else np.int32)  # it is kept for a while
        window = WindowIds(rows, cols, small, parts.n, self._links.n_parts)
        self._recent = [seen for seen in self._recent if seen.rows.stop >= rows.start]
        near = nearest_windows(window, self._recent)
        found = [pairs for seen in near if (pairs := match_windows(seen, window, self._recent))]
        depths = depth_in_window(rows, cols, self._canvas.shape).clip(max=_DEEPEST)
        depths = depths.astype(np.uint16)
        numbers = np.where(ids > 0, ids.astype(np.int32) + window.offset, 0)
        areas = np.bincount(ids.reshape(-1), minlength=parts.n + 1)[1:]
        # from here on nothing can fail: a window is added whole or not at all
        if self.owner == "centre":
            here = self._depths[rows, cols]
            np.copyto(self._canvas[rows, cols], numbers, where=depths > here)
            np.maximum(here, depths, out=here)
        else:
            self._canvas[rows, cols] = numbers
        self._recent.append(window)
        self._parts.append(parts)
        self._areas.append(areas)
        self._class_ids += parts.class_ids.tolist()
        self._pairs += found
        self._links.add_window(parts.n)
        for pairs in found:
            self._links.link(pairs)
        return self._provisional(rows, cols)

    def _provisional(self, rows: slice, cols: slice) -> tuple[np.ndarray, np.ndarray]:
        here = self._canvas[rows, cols]
        below = int(here.min(where=here > 0, initial=self._links.n_parts)) - 1
        numbers, index = number_consecutively(np.where(here > 0, here - below, 0))
        roots = [self._links.root(number + below - 1) for number in numbers.tolist()]
        classes = np.array([0, *(self._class_ids[root] for root in roots)], np.uint8)
        ids = np.array([0, *(root + 1 for root in roots)], np.uint32)
        return classes[index], ids[index]

    def finish(self, first_id: int = 1) -> JoinedFrame:
        """The objects of the frame once all its windows were added.

        Parameters
        ----------
        first_id : int
            Id of the first object; the others follow.
        """
        links = self._links if self._links.n_refused == 0 else self._relinked()
        owned = counted(self._canvas, links.n_parts + 1)[1:]
        roots, of_part = np.unique(links.roots(), return_inverse=True)
        is_kept = self._kept(of_part, owned, roots.size)
        pairs = Pairs.of(() if is_kept.all() else self._pairs)
        if self._link_remains(links, pairs, ~is_kept[of_part]):
            roots, of_part = np.unique(links.roots(), return_inverse=True)
            is_kept = self._kept(of_part, owned, roots.size)
        objects = looked_up(np.concatenate([[0], of_part + 1]).astype(np.int32), self._canvas)
        becomes = np.where(is_kept, np.arange(roots.size), -1)
        if not is_kept.all():
            sides = of_part[pairs.first], of_part[pairs.second]
            becomes = np.where(is_kept, becomes, absorbing(objects, ~is_kept, sides, pairs.shared))
        number = _by_first_pixel(objects, becomes)
        order = np.argsort(number, kind="stable")[np.count_nonzero(number == 0) :]
        lookup = np.concatenate([[0], number])
        lookup = np.where(lookup > 0, lookup + (first_id - 1), 0).astype(np.uint32)
        return JoinedFrame(
            ids=looked_up(lookup[np.concatenate([[0], becomes + 1])], objects),
            first_id=first_id,
            class_ids=self._classes(of_part, owned, roots.size)[order],
            confidence=self._confidences(of_part, roots.size)[order],
        )

    def _kept(self, of_part: np.ndarray, owned: np.ndarray, n: int) -> np.ndarray:
        """Which objects (n,) still have most of the pixels of their largest part."""
        areas = np.concatenate([np.empty(0, np.int64), *self._areas])
        largest = np.zeros(n, np.int64)
        np.maximum.at(largest, of_part, areas)
        pixels = np.bincount(of_part, owned, minlength=n)
        return (pixels > 0) & (pixels >= _LEAST_KEPT * largest)

    def _link_remains(self, links: Links, pairs: Pairs, is_left: np.ndarray) -> bool:
        """Link parts of which little is left with others of the kind; whether there are any.

        Two windows may see an object so differently that it is no match. Neither answer has most
        of its pixels then, and the object would be lost with both.
        """
        areas = np.concatenate([np.empty(0, np.int64), *self._areas])
        smaller = np.minimum(areas[pairs.first], areas[pairs.second])
        weak = is_left[pairs.first] & is_left[pairs.second]
        weak &= pairs.shared >= _LEAST_SHARED * smaller
        links.link(replace(pairs, is_match=weak))
        return bool(weak.any())

    def _relinked(self) -> Links:
        """All links anew, the strongest matches first, where some contradict one another."""
        links = Links()
        for parts in self._parts:
            links.add_window(parts.n)
        links.link(Pairs.of(self._pairs))
        return links

    def _classes(self, of_part: np.ndarray, owned: np.ndarray, n: int) -> np.ndarray:
        class_ids = np.array(self._class_ids, np.int64)
        n_classes = int(class_ids.max(initial=0)) + 1
        votes = np.bincount(of_part * n_classes + class_ids, owned, minlength=n * n_classes)
        return votes.reshape(n, n_classes).argmax(axis=1)

    def _confidences(self, of_part: np.ndarray, n: int) -> np.ndarray:
        confidence = _column([parts.confidence for parts in self._parts], np.float64)
        weights = _column([parts.n_tokens for parts in self._parts], np.float64)
        known = ~np.isnan(confidence)
        of_known, weights = of_part[known], np.maximum(weights[known], 1)
        total = np.bincount(of_known, weights * confidence[known], minlength=n)
        with np.errstate(invalid="ignore"):
            means = total / np.bincount(of_known, weights, minlength=n)
        return means.astype(np.float32)


def depth_in_window(rows: slice, cols: slice, shape: tuple[int, ...]) -> np.ndarray:
    """Distance of each pixel of a window from its border.

    Parameters
    ----------
    rows, cols : slice
        The window's part of the frame, in source pixels.
    shape : (Y, X)
        Of the frame. Its border does not count, because no object continues beyond it.

    Returns
    -------
    (h, w) int32
        In pixels, 1 at the border.
    """
    sides = []
    for part, length in zip((rows, cols), shape, strict=True):
        pixels = np.arange(part.start, part.stop, dtype=np.int32)
        far = np.full_like(pixels, max(shape))
        from_start = pixels - part.start + 1 if part.start > 0 else far
        from_end = part.stop - pixels if part.stop < length else far
        sides.append(np.minimum(from_start, from_end))
    return np.minimum(sides[0][:, None], sides[1])


def _by_first_pixel(objects: np.ndarray, becomes: np.ndarray) -> np.ndarray:
    """Number (n,) of each object, from 1 on by their first pixels; 0 of those that have none.

    Parameters
    ----------
    objects : (Y, X) integer
        Index of the object of each pixel plus 1, 0 = background.
    becomes : (n,) integer
        The object that takes the pixels of each; -1 for none.
    """
    n, width = becomes.size, objects.shape[1]
    first = np.full(n + 1, objects.size)
    for rows in reversed(list(blocks(objects.shape))):
        flat = objects[rows].reshape(-1)
        pixels = np.arange(flat.size) + rows.start * width
        first[flat[::-1]] = pixels[::-1]  # the last of equal indices counts
    taken = np.full(n + 1, objects.size)
    np.minimum.at(taken, becomes + 1, first[1:])
    order = np.argsort(taken[1:], kind="stable")
    number = np.zeros(n, np.int64)
    number[order] = np.arange(1, n + 1)
    number[taken[1:] == objects.size] = 0
    return number


def _column(parts: list[np.ndarray], dtype: type) -> np.ndarray:
    return np.concatenate([np.empty(0, dtype), *(np.asarray(part, dtype) for part in parts)])
