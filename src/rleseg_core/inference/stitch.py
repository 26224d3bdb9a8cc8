"""From the masks of overlapping windows to one mask for each frame."""

import time
from collections.abc import Iterable, Set
from typing import Literal

import numpy as np

from rleseg_core.data import Window

_LEAST_PAUSE = 0.2  # seconds between two writings of a frame that is not done yet
_PAUSES = 20  # and in times of what such a writing takes

StitchRule = Literal["centre", "last", "vote"]


class Stitcher:
    """Puts the masks of windows together, frame by frame, into a label stack.

    Parameters
    ----------
    labels : (T, Y, X) integer array
        The result, in source pixels. A numpy array is written at once. Of others, such as zarr,
        whole frames are written when they are closed and, before, every now and then: to write a
        part of a chunk takes as long as the whole.
    n_classes : int
        C, the number of foreground classes.
    rule : {'centre', 'last', 'vote'}
        Which class a pixel gets where windows overlap: that of the window in which it lies farthest
        from the border, because a model guesses at objects that the border cuts; that of the later
        window; or the class that most windows gave (on a tie the smallest id, so background first).
        The last two are those of Sec. III-B1.

    Notes
    -----
    Frames, votes and depths take memory until they are closed.
    """

    def __init__(self, labels: np.ndarray, n_classes: int, rule: StitchRule = "centre") -> None:
        self.labels, self.n_classes, self.rule = labels, n_classes, rule
        self._frames: dict[int, np.ndarray] = {}
        self._next_show = 0.0
        self._votes: dict[int, np.ndarray] = {}
        self._depths: dict[int, np.ndarray] = {}

    def add_window(
        self, window: Window, rows: slice, cols: slice, masks: np.ndarray, frames: Set[int]
    ) -> np.ndarray:
        """Add the masks of one window, in those of its frames that are wanted.

        Parameters
        ----------
        window : Window
            The window.
        rows, cols : slice
            Its part of the frame, in source pixels.
        masks : (N, h, w) uint8
            Class ids there.
        frames : set of int
            Frames that are wanted.

        Returns
        -------
        (n, h, w) uint8
            The labels there now, in the window's wanted frames.
        """
        added = np.stack(
            [
                self.add(frame, rows, cols, mask)
                for frame, mask in zip(range(*window.frames), masks, strict=True)
                if frame in frames
            ]
        )
        self._show()
        return added

    def add(self, frame: int, rows: slice, cols: slice, labels: np.ndarray) -> np.ndarray:
        """Add the mask of one window in one frame.

        Parameters
        ----------
        frame : int
            Index into the label stack.
        rows, cols : slice
            Part of the frame that it covers, in source pixels.
        labels : (h, w) uint8
            Class ids.

        Returns
        -------
        (h, w) uint8
            The labels there now.
        """
        whole = self._frames.get(frame)
        if whole is None:
            whole = self._frames[frame] = np.asarray(self.labels[frame])  # a view of numpy arrays
        if self.rule == "vote":
            votes = self._votes.setdefault(
                frame, np.zeros((self.n_classes + 1, *self.labels.shape[1:]), np.uint16)
            )
            here = votes[:, rows, cols]
            ids = np.arange(self.n_classes + 1, dtype=labels.dtype)[:, None, None]
            here += labels[None] == ids
            labels = here.argmax(axis=0).astype(np.uint8)
        elif self.rule == "centre":
            depths = self._depths.setdefault(frame, np.zeros(self.labels.shape[1:], np.int32))
            here = depths[rows, cols]
            depth = _depth(rows, cols, self.labels.shape[1:])
            deeper = depth > here
            labels = np.where(deeper, labels, whole[rows, cols]).astype(labels.dtype)
            np.maximum(here, depth, out=here)
        whole[rows, cols] = labels
        return labels

    def close_before(self, frame: int) -> None:
        """Write all frames before this one, whose windows have all been added, and free them."""
        done = [kept for kept in self._frames if kept < frame]
        self.write(done)
        for kept in done:
            del self._frames[kept]
            self._votes.pop(kept, None)
            self._depths.pop(kept, None)

    def write(self, frames: Iterable[int] | None = None) -> None:
        """Write open frames as they are now, all by default, to an array that is not numpy's."""
        if not isinstance(self.labels, np.ndarray):
            for frame in self._frames if frames is None else frames:
                self.labels[frame] = self._frames[frame]

    def _show(self) -> None:
        """Write open frames every now and then, so that others can see how far they are."""
        started = time.perf_counter()
        if started >= self._next_show:
            self.write()
            now = time.perf_counter()
            self._next_show = now + max(_LEAST_PAUSE, _PAUSES * (now - started))


def _depth(rows: slice, cols: slice, shape: tuple[int, ...]) -> np.ndarray:
    """Distance (h, w) of each pixel of a window from its border, in pixels, 1 at the border.

    The border of the frame does not count, because no object continues beyond it.
    """
    sides = []
    for part, length in zip((rows, cols), shape, strict=True):
        pixels = np.arange(part.start, part.stop, dtype=np.int32)
        far = np.full_like(pixels, max(shape))
        from_start = pixels - part.start + 1 if part.start > 0 else far
        from_end = part.stop - pixels if part.stop < length else far
        sides.append(np.minimum(from_start, from_end))
    return np.minimum(sides[0][:, None], sides[1])
