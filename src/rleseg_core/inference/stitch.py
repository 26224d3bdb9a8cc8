"""From the masks of overlapping windows to one mask per frame."""

from typing import Literal

import numpy as np

StitchRule = Literal["centre", "last", "vote"]


class Stitcher:
    """Puts window masks together, frame by frame, into a label stack.

    Parameters
    ----------
    labels : (T, Y, X) integer array
        Where the result goes, written in place: a numpy or zarr array, in source pixels.
    n_classes : int
        C, the number of foreground classes.
    rule : {'centre', 'last', 'vote'}
        Where windows overlap, the one in which a pixel lies farthest from the border wins, since
        objects cut by a border are guessed at; or the later one, or the class that most windows
        gave (on a tie the smallest id, so background first), the two of Sec. III-B1.

    Notes
    -----
    What is known of a frame is kept only while windows of it are still to come (`close_before`).
    """

    def __init__(self, labels: np.ndarray, n_classes: int, rule: StitchRule = "centre") -> None:
        self.labels, self.n_classes, self.rule = labels, n_classes, rule
        self._votes: dict[int, np.ndarray] = {}
        self._depths: dict[int, np.ndarray] = {}

    def add(self, frame: int, rows: slice, cols: slice, labels: np.ndarray) -> np.ndarray:
        """Add the mask of one window in one frame.

        Parameters
        ----------
        frame : int
            Index into the label stack.
        rows, cols : slice
            Where it lies, in source pixels.
        labels : (h, w) uint8
            Class ids.

        Returns
        -------
        (h, w) uint8
            What the stack holds there now.
        """
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
            labels = np.where(deeper, labels, self.labels[frame, rows, cols]).astype(labels.dtype)
            np.maximum(here, depth, out=here)
        self.labels[frame, rows, cols] = labels
        return labels

    def close_before(self, frame: int) -> None:
        """Forget all frames before this one, whose windows have been added."""
        for known in (self._votes, self._depths):
            for done in [kept for kept in known if kept < frame]:
                del known[done]


def _depth(rows: slice, cols: slice, shape: tuple[int, ...]) -> np.ndarray:
    """How far each pixel of a window is from its border (h, w), 1 at the border.

    The border of the frame does not count: there is nothing behind it.
    """
    sides = []
    for part, length in zip((rows, cols), shape, strict=True):
        at = np.arange(part.start, part.stop, dtype=np.int32)
        far = np.full_like(at, max(shape))
        before = at - part.start + 1 if part.start > 0 else far
        behind = part.stop - at if part.stop < length else far
        sides.append(np.minimum(before, behind))
    return np.minimum(sides[0][:, None], sides[1])
