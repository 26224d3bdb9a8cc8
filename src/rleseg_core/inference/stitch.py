"""From the masks of overlapping windows to one mask per frame."""

from typing import Literal

import numpy as np

StitchRule = Literal["last", "vote"]


class Stitcher:
    """Puts window masks together, frame by frame, into a label stack.

    Parameters
    ----------
    labels : (T, Y, X) integer array
        Where the result goes, written in place: a numpy or zarr array, in source pixels.
    n_classes : int
        C, the number of foreground classes.
    rule : {'last', 'vote'}
        Where windows overlap, the later one wins, or the class that most windows gave (on a tie the
        smallest id, so background first). Sec. III-B1.

    Notes
    -----
    The votes of a frame are kept only while windows of it are still to come (`close_before`).
    """

    def __init__(self, labels: np.ndarray, n_classes: int, rule: StitchRule = "last") -> None:
        self.labels, self.n_classes, self.rule = labels, n_classes, rule
        self._votes: dict[int, np.ndarray] = {}

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
        self.labels[frame, rows, cols] = labels
        return labels

    def close_before(self, frame: int) -> None:
        """Forget the votes of all frames before this one, whose windows have been added."""
        for done in [kept for kept in self._votes if kept < frame]:
            del self._votes[done]
