"""Ids of tracks in place of those of objects, read a frame at a time."""

import numpy as np

from rleseg_core.objects.stack import ObjectStack
from rleseg_core.tracks.table import Tracks


class TrackIds:
    """Ids of tracks (T, Y, X), 0 = background, as an array of which frames are read.

    Parameters
    ----------
    stack : ObjectStack
        The objects.
    tracks : Tracks
        Their tracks; an object that has none is background.
    """

    def __init__(self, stack: ObjectStack, tracks: Tracks) -> None:
        self._stack, self._tracks = stack, tracks
        self.shape = stack.shape
        self.dtype = np.dtype(np.min_scalar_type(int(tracks.track.max(initial=0))).name)

    def __getitem__(self, frame: int, /) -> np.ndarray:
        """Ids of a frame, (Y, X)."""
        found, rows = self._stack.objects(frame), self._tracks.in_frame(frame)
        known, track = self._tracks.object[rows], self._tracks.track[rows]
        order = np.argsort(known)
        ids = found.table.id.astype(np.int64)
        at = np.minimum(np.searchsorted(known[order], ids), max(known.size - 1, 0))
        lookup = np.zeros(ids.size + 1, self.dtype)
        if known.size:
            lookup[1:] = np.where(known[order][at] == ids, track[order][at], 0)
        return lookup[found.index]
