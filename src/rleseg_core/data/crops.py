"""Squares of frames, cut with a margin around a patch."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from rleseg_core.data.frames import Frame


@dataclass(frozen=True, eq=False)
class DrawnWindow:
    """A training window: its frames, and the first row and column of its patch in them."""

    frames: Sequence[Frame]
    start: tuple[int, int]


@dataclass(frozen=True, eq=False)
class CropBatch:
    """Squares with a patch in their middle.

    Parameters
    ----------
    images : (B, N, Q, Q, C) uint8
        In resized pixels, Q = P + 2 margins; C is 1 where all stacks are grey.
    classes : (B, N, Q, Q) uint8
        Class ids.
    instances : (B, N, Q, Q) int32 or None
        Ids of objects, where all stacks know them.
    """

    images: np.ndarray
    classes: np.ndarray
    instances: np.ndarray | None

    def __len__(self) -> int:
        return len(self.images)


def cut_crops(windows: Sequence[DrawnWindow], patch: int, margin: int) -> CropBatch:
    """Squares around the patches of windows.

    Parameters
    ----------
    windows : sequence of DrawnWindow
        B of them, of N frames each.
    patch : int
        P, the side of a patch.
    margin : int
        Pixels beyond the patch on each side. What lies beyond a frame is mirrored at its edge,
        once; further out its first or last pixel is repeated.
    """
    side = patch + 2 * margin
    every = [frame for window in windows for frame in window.frames]
    channels = max(frame.image.shape[2] for frame in every)
    shape = (len(windows), len(windows[0].frames), side, side)
    images = np.empty((*shape, channels), np.uint8)
    classes = np.empty(shape, np.uint8)
    is_known = all(frame.instances is not None for frame in every)
    instances = np.empty(shape, np.int32) if is_known else None
    for b, window in enumerate(windows):
        first = (window.start[0] - margin, window.start[1] - margin)
        for n, frame in enumerate(window.frames):
            images[b, n] = _square(frame.image, first, side)  # grey goes to all channels
            classes[b, n] = _square(frame.classes, first, side)
            if instances is not None and frame.instances is not None:
                instances[b, n] = _square(frame.instances, first, side)
    return CropBatch(images, classes, instances)


def _square(frame: np.ndarray, first: tuple[int, int], side: int) -> np.ndarray:
    """Square (side, side, ...) of a frame (Y, X, ...) whose first pixel is given."""
    for axis, start in enumerate(first):
        length = frame.shape[axis]
        if 0 <= start <= length - side:  # a view; indices would copy
            frame = frame[start : start + side] if axis == 0 else frame[:, start : start + side]
        else:
            frame = frame.take(mirrored(start, side, length), axis)
    return frame


def mirrored(first: int, n: int, length: int) -> np.ndarray:
    """Indices (n,) of pixels along an axis from `first` on, mirrored at the ends of the axis."""
    pixels = np.abs(np.arange(first, first + n))
    return np.clip(length - 1 - np.abs(length - 1 - pixels), 0, length - 1)
