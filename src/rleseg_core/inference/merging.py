"""Several answers for a pixel, from windows that overlap in space or in time, become one."""

from typing import Literal, Protocol

import numpy as np

from rleseg_core.objects.joining import depth_in_window

StitchRule = Literal["centre", "last", "vote", "weighted", "or", "and", "min", "max"]
"""Which class a pixel gets where patches overlap; see `Stitcher`."""
TimeRule = Literal["centre", "last", "vote", "or", "and", "min", "max"]
"""Which class a pixel gets in a frame that several temporal windows show; see `Stitcher`."""

Box = tuple[slice, slice]
"""Rows and columns of a part of a frame, in source pixels."""
_WHOLE: Box = (slice(None), slice(None))


class _Merger(Protocol):
    """What is remembered of earlier answers for the pixels of a frame."""

    def merge(
        self, box: Box, before: np.ndarray, labels: np.ndarray, weight: np.ndarray, keep: bool
    ) -> np.ndarray:
        """Class ids of a part with one more answer.

        Parameters
        ----------
        box : (slice, slice)
            The part.
        before : (h, w) integer array
            Class ids there without it.
        labels : (h, w) integer array
            The answer.
        weight : (h, w) or () array
            What it weighs, or how deep in its window each pixel lies.
        keep : bool
            Whether the answer is remembered.
        """


class _Owner:
    """Each pixel has the class of the answer in whose window it lies deepest, of the first such."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self._depths = np.zeros(shape, np.int32)

    def merge(
        self, box: Box, before: np.ndarray, labels: np.ndarray, weight: np.ndarray, keep: bool
    ) -> np.ndarray:
        """See `_Merger`."""
        here = self._depths[box]
        merged = np.where(weight > here, labels, before)
        if keep:
            np.maximum(here, weight, out=here)
        return merged


class _Latest:
    """Each pixel has the class of the last answer."""

    def merge(
        self, box: Box, before: np.ndarray, labels: np.ndarray, weight: np.ndarray, keep: bool
    ) -> np.ndarray:
        """See `_Merger`."""
        return labels


class _Votes:
    """Each pixel has a class that follows from how often each was given."""

    def __init__(self, shape: tuple[int, ...], n_classes: int, rule: str) -> None:
        self._rule = rule
        dtype = np.float32 if rule == "weighted" else np.uint16
        self._votes = np.zeros((n_classes + 1, *shape), dtype)

    def merge(
        self, box: Box, before: np.ndarray, labels: np.ndarray, weight: np.ndarray, keep: bool
    ) -> np.ndarray:
        """See `_Merger`."""
        ids = np.arange(len(self._votes), dtype=labels.dtype)[:, None, None]
        given = labels[None] == ids
        here = self._votes[:, *box]
        votes = here + (given * weight if self._rule == "weighted" else given)
        if keep:
            here[...] = votes
        return self._decided(votes)

    def _decided(self, votes: np.ndarray) -> np.ndarray:
        """Class ids (h, w) of votes (C + 1, h, w)."""
        if self._rule == "min":
            return (votes > 0).argmax(axis=0)
        if self._rule == "max":
            return len(votes) - 1 - (votes[::-1] > 0).argmax(axis=0)
        if self._rule == "or":
            return np.where(votes[1:].any(axis=0), 1 + votes[1:].argmax(axis=0), 0)
        if self._rule == "and":
            return np.where(votes[0] > 0, 0, votes.argmax(axis=0))
        return votes.argmax(axis=0)


class FrameStitch:
    """One frame: patches become one mask for each temporal window, and these become one mask.

    Parameters
    ----------
    whole : (Y, X) integer array
        The frame, written in place.
    n_classes : int
        C.
    rule : StitchRule
        How the patches of a temporal window are merged.
    time_rule : TimeRule
        How temporal windows are merged.
    """

    def __init__(
        self, whole: np.ndarray, n_classes: int, rule: StitchRule, time_rule: TimeRule
    ) -> None:
        self._whole, self._n_classes = whole, n_classes
        self._rule, self._time_rule = rule, time_rule
        self._frames: tuple[int, int] | None = None  # of the temporal window of `_now`
        self._depth = np.array(0)  # of the frame in it
        self._now, self._mask = self._merger(rule), whole
        self._earlier: tuple[_Merger, np.ndarray] | None = None  # the temporal windows before it

    def add(
        self,
        box: Box,
        labels: np.ndarray,
        weight: np.ndarray,
        frames: tuple[int, int],
        depth: int,
    ) -> np.ndarray:
        """Add what a window says of a part of the frame.

        Parameters
        ----------
        box : (slice, slice)
            Rows and columns, in source pixels.
        labels : (h, w) uint8
            Class ids there.
        weight : (h, w) or () float array
            For the rule 'weighted'.
        frames : (int, int)
            Frames of the temporal window, whose windows come one after another.
        depth : int
            How deep in it the frame lies, 1 or more.

        Returns
        -------
        (h, w) uint8
            The classes there now.
        """
        if self._frames != frames:
            if self._frames is not None:
                self._begin()
            self._frames, self._depth = frames, np.array(depth)
        if self._rule == "centre":
            weight = depth_in_window(*box, self._whole.shape)
        mask = self._now.merge(box, self._mask[box], labels, weight, True)
        self._mask[box] = mask
        if self._earlier is not None:
            merger, before = self._earlier
            mask = merger.merge(box, before[box], mask, self._depth, False)
            self._whole[box] = mask
        return mask.astype(np.uint8)

    def _begin(self) -> None:
        """Merge the mask of the temporal window that is done with those before it."""
        merger, before = self._earlier or (self._merger(self._time_rule), self._mask)
        merged = merger.merge(_WHOLE, before, self._mask, self._depth, True)
        self._earlier = merger, merged.astype(self._whole.dtype)
        self._now, self._mask = self._merger(self._rule), np.zeros_like(self._whole)

    def _merger(self, rule: StitchRule | TimeRule) -> _Merger:
        if rule == "centre":
            return _Owner(self._whole.shape)
        if rule == "last":
            return _Latest()
        return _Votes(self._whole.shape, self._n_classes, rule)


def depth_in_time(frame: int, frames: tuple[int, int]) -> int:
    """How deep a frame lies in a temporal window: 1 for the first and the last of its frames."""
    first, stop = frames
    return min(frame - first + 1, stop - frame)
