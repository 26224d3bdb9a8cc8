"""What a segmentation gives: after each window, and in the end."""

from dataclasses import dataclass

import numpy as np

from rleseg_core.data import Window
from rleseg_core.objects import ObjectTable


@dataclass(frozen=True, kw_only=True, eq=False)
class WindowResult:
    """Masks and tokens of one window.

    Parameters
    ----------
    window : Window
        The window, in resized pixels.
    frames : tuple of int
        Its frames in the stack, as far as they are to be segmented.
    rows, cols : slice
        Its part of the frame, in source pixels.
    labels : (n, h, w) uint8
        Stitched class ids there, one mask for each of `frames`, after this window; 0 = background.
    objects : (n, h, w) uint32
        Ids of objects there after this window. They may change until their frame is done: then
        those of the stack count. 0 everywhere for models that tell no objects apart, whose pieces
        are found when a frame is done.
    finished : ObjectTable
        Objects of the frames that are done with this window, mostly none.
    tokens : (L,) int32, or (K, L) with a head for each field
        The sequence, ending in eos unless it reached the model's positions. Previews may have more.
    logprobs : float32 array of the same shape
        Log-probability of each token among those that could follow, nan in previews; `confidences`
        turns them into confidences of runs, objects and pixels.
    n_done, n_windows : int
        Windows done so far, and in all.
    seconds : float
        Wall time per window so far, on average, in seconds.
    batch_size : int
        Windows that were computed together (fewer after memory ran out).
    """

    window: Window
    frames: tuple[int, ...]
    rows: slice
    cols: slice
    labels: np.ndarray
    objects: np.ndarray
    finished: ObjectTable
    tokens: np.ndarray
    logprobs: np.ndarray
    n_done: int
    n_windows: int
    seconds: float
    batch_size: int


@dataclass(frozen=True, kw_only=True, eq=False)
class Segmentation:
    """A stack that has been segmented.

    Parameters
    ----------
    classes : (T, Y, X) uint8
        Class ids in source pixels, 0 = background; the array that was given, if one was.
    objects : (T, Y, X) uint32
        Ids of objects, 0 = background, unique in the stack; likewise.
    table : ObjectTable
        The objects of the frames that were segmented.
    """

    classes: np.ndarray
    objects: np.ndarray
    table: ObjectTable
