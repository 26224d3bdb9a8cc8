"""A few windows of a few frames, at any scale: enough to see how large objects are."""

import math
from collections.abc import Sequence

import numpy as np
from scipy import ndimage

from rleseg_core.data import ImageStack
from rleseg_core.data.windows import fill_up, normalised_frame, resize_image
from rleseg_core.errors import DataError
from rleseg_core.spec import WindowSpec

_BLOCKS = 64  # along the longer side, whose contrast is measured


class SampledFrames:
    """Frames of a stack that windows are cut from, resized by themselves: no frame is, as a whole.

    Parameters
    ----------
    stack : ImageStack
        The images.
    spec : WindowSpec
        With the patch, the number of frames and the normalisation; its image size does not matter.
    frames : sequence of int
        First frames of windows.
    n_windows : int
        Windows at each scale, about.

    Raises
    ------
    DataError
        If a frame is out of range.
    """

    def __init__(
        self, stack: ImageStack, spec: WindowSpec, frames: Sequence[int], n_windows: int
    ) -> None:
        last = max(0, stack.n_frames - spec.n_frames)
        if not len(frames) or min(frames) < 0 or max(frames) > last:
            raise DataError(
                f"windows of {spec.n_frames} frames start at frames 0 to {last}, got {list(frames)}"
            )
        self._patch, self._n_each = spec.patch, math.ceil(n_windows / len(frames))
        self._groups = [
            [
                normalised_frame(stack, min(first + step, stack.n_frames - 1), spec.normalisation)[
                    0
                ]
                for step in range(spec.n_frames)
            ]
            for first in frames
        ]
        self._contrast = [_block_contrast(group[0]) for group in self._groups]

    def windows(self, scale: float) -> np.ndarray:
        """Windows (B, N, 3, P, P) float32 in [0, 1], of frames at a scale.

        They lie where frames have much contrast, without being the few most conspicuous ones.

        Parameters
        ----------
        scale : float
            Resized pixels per source pixel.
        """
        found = []
        for group, contrast in zip(self._groups, self._contrast, strict=True):
            side = self._patch / scale
            for row, col in _places(contrast, group[0].shape[:2], side, self._n_each):
                found.append(np.stack([self._cut(image, row, col, scale) for image in group]))
        return np.stack(found)

    def _cut(self, image: np.ndarray, row: int, col: int, scale: float) -> np.ndarray:
        """A patch (3, P, P) whose corner lies at a row and column in source pixels."""
        side = max(1, round(self._patch / scale))
        part = image[row : row + side, col : col + side]
        size = [max(1, min(self._patch, round(length * scale))) for length in part.shape[:2]]
        patch = fill_up(resize_image(part, (size[0], size[1])), self._patch)
        return np.broadcast_to(patch.transpose(2, 0, 1), (3, self._patch, self._patch))


def _block_contrast(image: np.ndarray) -> np.ndarray:
    """Standard deviation of the grey values in each block of a frame (Y, X, C), 64 a side."""
    side = max(1, math.ceil(max(image.shape[:2]) / _BLOCKS))
    rows, cols = (max(1, length // side) for length in image.shape[:2])
    height, width = min(side, image.shape[0]), min(side, image.shape[1])
    part = image[: rows * height, : cols * width].mean(axis=2)
    return part.reshape(rows, height, cols, width).std(axis=(1, 3))


def _places(
    contrast: np.ndarray, shape: tuple[int, ...], side: float, n_places: int
) -> list[tuple[int, int]]:
    """Rows and columns of the corners of windows of a side, in source pixels; the same each time.

    Of those on a grid, some from the half with more contrast, evenly by their rank.
    """
    grids = []
    for length in shape:
        last = max(0.0, length - side)
        n = min(math.ceil(last / side) + 1, 2 * _BLOCKS)
        grids.append(np.linspace(0, last, n))
    corners = [(row, col) for row in grids[0] for col in grids[1]]
    if len(corners) <= n_places:
        return [(round(row), round(col)) for row, col in corners]
    per_block = [length / n for length, n in zip(shape, contrast.shape, strict=True)]
    smooth = ndimage.uniform_filter(
        contrast, [max(1, round(side / block)) for block in per_block], mode="nearest"
    )
    centres = (np.array(corners) + side / 2) / per_block
    rows, cols = np.minimum(centres.astype(int), np.array(contrast.shape) - 1).T
    ranked = np.argsort(-smooth[rows, cols], kind="stable")
    rank = np.linspace(0, 1, n_places) ** 2 * (max(n_places, len(ranked) // 2) - 1)
    chosen = ranked[np.maximum(rank.round().astype(int), np.arange(n_places))]
    return [(round(corners[index][0]), round(corners[index][1])) for index in chosen]
