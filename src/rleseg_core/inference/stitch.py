"""From the masks of overlapping windows to one mask for each frame."""

from collections.abc import Iterable, Set

import numpy as np

from rleseg_core.data import Window
from rleseg_core.inference.frames import OpenFrames
from rleseg_core.inference.merging import FrameStitch, StitchRule, TimeRule, depth_in_time

_EVEN = np.array(1.0, np.float32)


class Stitcher:
    """Puts the masks of windows together, frame by frame, into a label stack.

    The patches of a temporal window become one mask for each of its frames, by `rule`; where
    several temporal windows show a frame, their masks become one, by `time_rule`.

    Parameters
    ----------
    labels : (T, Y, X) integer array
        The result, in source pixels, written as `OpenFrames` does.
    n_classes : int
        C, the number of foreground classes.
    rule : str
        Which class a pixel gets where patches overlap.

        centre
            That of the patch in which it lies farthest from the border, because a model guesses at
            objects that the border cuts.
        last
            That of the later patch.
        vote
            The one that most patches gave; on a tie the smallest id, so background first.
        weighted
            The one for which the weights of patches add up to most, likewise.
        or
            Of the foreground classes that any patch gave the most frequent; background if none did.
        and
            Background if any patch gave it, else the most frequent class.
        min, max
            The smallest or the largest id that any patch gave.
    time_rule : str
        The same for temporal windows, without 'weighted'; 'centre' is the one in which the frame
        lies farthest from the ends, on a tie the earlier one.

    Notes
    -----
    'last', 'vote', 'or', 'and', 'min' and 'max' are those of Sec. III-B1, in which 'or' and 'and'
    are meant for one class. Frames, votes and depths take memory until they are closed.
    """

    def __init__(
        self,
        labels: np.ndarray,
        n_classes: int,
        rule: StitchRule = "centre",
        time_rule: TimeRule = "centre",
    ) -> None:
        self.labels, self.n_classes = labels, n_classes
        self.rule, self.time_rule = rule, time_rule
        self.frames = OpenFrames(labels)
        self._open: dict[int, FrameStitch] = {}

    def add_window(
        self,
        window: Window,
        rows: slice,
        cols: slice,
        masks: np.ndarray,
        frames: Set[int],
        weights: np.ndarray | None = None,
    ) -> np.ndarray:
        """Add the masks of one window, in those of its frames that are wanted.

        Parameters
        ----------
        window : Window
            The window. Those with the same frames come one after another.
        rows, cols : slice
            Its part of the frame, in source pixels.
        masks : (N, h, w) uint8
            Class ids there.
        frames : set of int
            Frames that are wanted.
        weights : (N, h, w) float32, optional
            What the classes weigh by the rule 'weighted'; all the same by default.

        Returns
        -------
        (n, h, w) uint8
            The labels there now, in the window's wanted frames.
        """
        each = [_EVEN] * len(masks) if weights is None else weights
        added = np.stack(
            [
                self.add(frame, rows, cols, mask, frames=window.frames, weight=weight)
                for frame, mask, weight in zip(range(*window.frames), masks, each, strict=True)
                if frame in frames
            ]
        )
        self.frames.show()
        return added

    def add(
        self,
        frame: int,
        rows: slice,
        cols: slice,
        labels: np.ndarray,
        *,
        frames: tuple[int, int] | None = None,
        weight: np.ndarray = _EVEN,
    ) -> np.ndarray:
        """Add the mask of one window in one frame.

        Parameters
        ----------
        frame : int
            Index into the label stack.
        rows, cols : slice
            Part of the frame that it covers, in source pixels.
        labels : (h, w) uint8
            Class ids.
        frames : (int, int), optional
            Frames of its temporal window; by default this frame alone.
        weight : (h, w) or () float32
            What the classes weigh by the rule 'weighted'.

        Returns
        -------
        (h, w) uint8
            The labels there now.
        """
        opened = self._open.get(frame)
        if opened is None:
            whole = self.frames[frame]
            opened = FrameStitch(whole, self.n_classes, self.rule, self.time_rule)
            self._open[frame] = opened
        frames = frames or (frame, frame + 1)
        depth = depth_in_time(frame, frames)
        return opened.add((rows, cols), labels, weight, frames, depth)

    def close(self, frames: Iterable[int]) -> None:
        """Write frames whose windows have all been added, and free them."""
        for kept in self.frames.close(frames):
            self._open.pop(kept, None)

    def write(self) -> None:
        """Write open frames as they are now to an array that is not numpy's."""
        self.frames.write()
