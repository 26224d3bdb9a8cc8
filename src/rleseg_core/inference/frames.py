"""Frames of a stack that are being written."""

import time
from collections.abc import Iterable

import numpy as np

_LEAST_PAUSE = 0.2  # seconds between two writings of a frame that is not done yet
_PAUSES = 20  # and in times of what such a writing takes


class OpenFrames:
    """Keeps frames of a stack in memory until they are done.

    Parameters
    ----------
    array : (T, Y, X) integer array
        The stack. A numpy array is written at once. Of others, such as zarr, whole frames are
        written when they are closed and, before, every now and then: to write a part of a chunk
        takes as long as the whole.
    """

    def __init__(self, array: np.ndarray) -> None:
        self.array = array
        self._frames: dict[int, np.ndarray] = {}
        self._next_show = 0.0

    def __getitem__(self, frame: int) -> np.ndarray:
        """A frame (Y, X), opened if it was not; what is painted there belongs to the stack."""
        whole = self._frames.get(frame)
        if whole is None:
            whole = self._frames[frame] = np.asarray(self.array[frame])  # a view of numpy arrays
        return whole

    def open_among(self, frames: Iterable[int]) -> list[int]:
        """Those of some frames that are open, in order."""
        return sorted(self._frames.keys() & set(frames))

    def close(self, frames: Iterable[int]) -> list[int]:
        """Write and free those of some frames that are open; returns which they were, in order."""
        done = self.open_among(frames)
        self.write(done)
        for kept in done:
            del self._frames[kept]
        return done

    def write(self, frames: Iterable[int] | None = None) -> None:
        """Write open frames as they are now, all by default, to an array that is not numpy's."""
        if not isinstance(self.array, np.ndarray):
            for frame in self._frames if frames is None else frames:
                self.array[frame] = self._frames[frame]

    def show(self) -> None:
        """Write open frames every now and then, so that others can see how far they are."""
        started = time.perf_counter()
        if started >= self._next_show:
            self.write()
            now = time.perf_counter()
            self._next_show = now + max(_LEAST_PAUSE, _PAUSES * (now - started))
