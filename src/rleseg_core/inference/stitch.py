"""From the masks of overlapping windows to one mask for each frame."""

from collections.abc import Iterable, Set
from typing import Literal

import numpy as np

from rleseg_core.data import Window
from rleseg_core.inference.frames import OpenFrames
from rleseg_core.objects.joining import depth_in_window

StitchRule = Literal["centre", "last", "vote"]


class Stitcher:
    """Puts the masks of windows together, frame by frame, into a label stack.

    Parameters
    ----------
    labels : (T, Y, X) integer array
        The result, in source pixels, written as `OpenFrames` does.
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
        self.frames = OpenFrames(labels)
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
        self.frames.show()
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
        whole = self.frames[frame]
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
            depth = depth_in_window(rows, cols, self.labels.shape[1:])
            deeper = depth > here
            labels = np.where(deeper, labels, whole[rows, cols]).astype(labels.dtype)
            np.maximum(here, depth, out=here)
        whole[rows, cols] = labels
        return labels

    def close(self, frames: Iterable[int]) -> None:
        """Write frames whose windows have all been added, and free them."""
        for kept in self.frames.close(frames):
            self._votes.pop(kept, None)
            self._depths.pop(kept, None)

    def write(self) -> None:
        """Write open frames as they are now to an array that is not numpy's."""
        self.frames.write()
