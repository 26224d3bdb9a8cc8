"""What is found of an object that is followed: a mask for each frame, and its tracks."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Self

import numpy as np

from rleseg_core.errors import DataError
from rleseg_core.tracks.table import Tracks


@dataclass(frozen=True, kw_only=True, eq=False)
class ObjectMask:
    """The pixels of an object in one frame.

    Parameters
    ----------
    frame : int
        Index of the frame.
    track : int
        Its track, 1 or more.
    rows, cols : slice
        The box around it, in source pixels.
    mask : (h, w) bool
        Its pixels in that box, at least one.
    """

    frame: int
    track: int
    rows: slice
    cols: slice
    mask: np.ndarray

    @classmethod
    def of(cls, mask: np.ndarray, frame: int, track: int) -> Self:
        """The object whose pixels a mask (Y, X) of a whole frame holds.

        Raises
        ------
        DataError
            If there are none.
        """
        rows, cols = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
        if not rows.size:
            raise DataError(f"the mask of frame {frame} is empty; paint the object to follow")
        box = slice(int(rows[0]), int(rows[-1]) + 1), slice(int(cols[0]), int(cols[-1]) + 1)
        pixels = np.ascontiguousarray(mask[box]) > 0
        return cls(frame=frame, track=track, rows=box[0], cols=box[1], mask=pixels)

    @property
    def area(self) -> int:
        """In pixels."""
        return int(self.mask.sum())

    @property
    def centroid(self) -> tuple[float, float]:
        """Row and column in pixels; (0, 0) is the centre of the first pixel."""
        rows, cols = self.mask.nonzero()
        return float(rows.mean()) + self.rows.start, float(cols.mean()) + self.cols.start

    def paint(self, ids: np.ndarray, value: int | None = None) -> None:
        """Paint its track, or another value, into a frame (Y, X)."""
        ids[self.rows, self.cols][self.mask] = self.track if value is None else value


@dataclass(frozen=True, kw_only=True, eq=False)
class FrameFollowed:
    """A frame in which an object was looked for.

    Parameters
    ----------
    frame : int
        Index of the frame.
    objects : tuple of ObjectMask
        What was found: the object, its daughters, or nothing.
    n_done, n_frames : int
        Frames that are done, and those in which it can be at most.
    """

    frame: int
    objects: tuple[ObjectMask, ...]
    n_done: int
    n_frames: int


@dataclass(frozen=True, kw_only=True, eq=False)
class Followed:
    """An object through the frames of a stack.

    Parameters
    ----------
    shape : (int, int, int)
        T, Y, X of the stack.
    objects : tuple of ObjectMask
        By frame and track. The object that was given is of track 1; its mother and daughters have
        tracks of their own.
    parents : mapping of int to int
        The parent of each track that has one.
    scores : mapping of (int, int) to float
        0 to 1, by frame and track: of the link to the object before. Those that are not known are
        left out.
    """

    shape: tuple[int, int, int]
    objects: tuple[ObjectMask, ...]
    parents: Mapping[int, int]
    scores: Mapping[tuple[int, int], float]

    @cached_property
    def tracks(self) -> Tracks:
        """The tracks, whose ids are those of `ids`."""
        keys = [(one.frame, one.track) for one in self.objects]
        centroids = np.array([one.centroid for one in self.objects]).reshape(-1, 2)
        track = np.array([track for _, track in keys], np.int64)
        return Tracks(
            frame=np.array([frame for frame, _ in keys], np.int64),
            object=track,
            track=track,
            row=centroids[:, 0],
            col=centroids[:, 1],
            area=np.array([one.area for one in self.objects], np.int64),
            score=np.array([self.scores.get(key, np.nan) for key in keys], np.float32),
            parents=self.parents,
        )

    @property
    def ids(self) -> "FollowedIds":
        """Ids of tracks (T, Y, X), computed a frame at a time."""
        return FollowedIds(self)


class FollowedIds:
    """Ids of tracks (T, Y, X), 0 = background, as an array of which frames are read."""

    def __init__(self, followed: Followed) -> None:
        self.shape = followed.shape
        highest = max((one.track for one in followed.objects), default=0)
        self.dtype = np.dtype(np.min_scalar_type(highest).name)
        self._of_frame: dict[int, list[ObjectMask]] = {}
        for one in followed.objects:
            self._of_frame.setdefault(one.frame, []).append(one)

    def __getitem__(self, frame: int, /) -> np.ndarray:
        """Ids of a frame, (Y, X)."""
        ids = np.zeros(self.shape[1:], self.dtype)
        for one in self._of_frame.get(frame, ()):
            one.paint(ids)
        return ids
