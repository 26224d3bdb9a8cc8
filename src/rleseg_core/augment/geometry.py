"""Views of a frame to train on: turned, scaled, bent."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from rleseg_core.augment.config import Augmentation

if TYPE_CHECKING:
    from rleseg_core.data.labels import SubsampleRule

CELLS = 4  # of the grid of a bend, along each side of a patch


@dataclass(frozen=True)
class View:
    """Where the pixels of a patch lie in a frame.

    Parameters
    ----------
    matrix : (2, 2) float
        From an offset from the patch's centre to one in the frame, (row, col).
    centre : (float, float)
        Of the patch in the frame; pixel (0, 0) has its centre at (0.5, 0.5).
    side : int
        P.
    bend : (2, K, K) float32 or None
        Rows and columns that the pixels of the patch are moved by before all else: values of a
        coarse grid (K = `CELLS` + 3) between which `spline` runs smoothly; None for nothing.
    """

    matrix: np.ndarray
    centre: tuple[float, float]
    side: int
    bend: np.ndarray | None = None

    @property
    def is_aligned(self) -> bool:
        """Whether patch pixels are frame pixels, mirrored and turned by quarters at most."""
        return self.bend is None and bool(np.all(np.isin(self.matrix, (-1.0, 0.0, 1.0))))

    def places(
        self, rows: np.ndarray, cols: np.ndarray, shape: tuple[int, int]
    ) -> tuple[np.ndarray, np.ndarray]:
        """Pixel coordinates in the frame of the given patch pixels.

        Parameters
        ----------
        rows, cols : (h,), (w,) integer
            In patch pixels.
        shape : (int, int)
            Of the frame; beyond it, the frame is mirrored.

        Returns
        -------
        rows, cols : (h, w) float32
            0 is the centre of the first pixel; in [0, length - 1].
        """
        down = (rows + 0.5 - self.side / 2)[:, None]
        right = (cols + 0.5 - self.side / 2)[None, :]
        if self.bend is not None:
            moved = spline(rows, self.side) @ self.bend @ spline(cols, self.side).T
            down, right = down + moved[0], right + moved[1]
        found = []
        for axis, length in enumerate(shape):
            place = self.matrix[axis, 0] * down + self.matrix[axis, 1] * right
            place = (place + (self.centre[axis] - 0.5)).astype(np.float32)
            np.abs(place, out=place)
            np.subtract(length - 1, np.abs(length - 1 - place), out=place)
            found.append(np.clip(place, 0, length - 1, out=place))
        return found[0], found[1]

    def image(self, frame: np.ndarray) -> np.ndarray:
        """Patch (P, P, C) of a frame (Y, X, C) uint8, interpolated linearly if need be."""
        every = np.arange(self.side)
        rows, cols = self.places(every, every, frame.shape[:2])
        if self.is_aligned:
            return frame[np.rint(rows).astype(np.intp), np.rint(cols).astype(np.intp)]
        return _linear(frame, rows, cols)

    def labels(
        self, frame: np.ndarray, size: tuple[int, int], rule: "SubsampleRule" = "centre"
    ) -> np.ndarray:
        """Mask (S, S) of labels (Y, X); the rules are those of `subsample_labels`."""
        from rleseg_core.data.labels import cell_index, subsample_labels

        if rule == "max":
            every = (self.side, self.side)
            return subsample_labels(self.labels(frame, every), size, rule)
        down, right = (cell_index(length, self.side, rule) for length in size)
        rows, cols = self.places(down, right, frame.shape[:2])
        return frame[np.rint(rows).astype(np.intp), np.rint(cols).astype(np.intp)]


def random_warp(
    augmentation: Augmentation, side: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray | None]:
    """Matrix and bend of a `View`: mirrored, turned, scaled and bent at random."""
    matrix, bend = np.eye(2), None
    if augmentation.flips_and_rotations:
        quarter, mirrored = int(rng.integers(4)), bool(rng.integers(2))
        for _ in range(quarter):
            matrix = matrix @ np.array([[0.0, -1.0], [1.0, 0.0]])
        if mirrored:
            matrix = matrix @ np.diag([1.0, -1.0])
    if rng.random() < augmentation.affine_probability:
        angle = np.deg2rad(rng.uniform(-augmentation.angle, augmentation.angle))
        scale = np.exp(rng.uniform(*np.log(augmentation.scale)))
        cos, sin = np.cos(angle), np.sin(angle)
        matrix = matrix @ np.array([[cos, -sin], [sin, cos]]) / scale
        if augmentation.elastic:
            most = augmentation.elastic * side
            bend = rng.uniform(-most, most, (2, CELLS + 3, CELLS + 3)).astype(np.float32)
    return matrix, bend


def spline(pixels: np.ndarray, side: int) -> np.ndarray:
    """Weights (h, K) float32 of a bend's grid at pixels (h,) of a patch: cubic B-splines.

    They are positive and sum to 1, so a pixel moves no further than the grid says; of values within
    1/16 of the side, no two pixels change places.
    """
    place = (np.asarray(pixels) + 0.5) * (CELLS / side)
    distance = np.abs(place[:, None] + 1 - np.arange(CELLS + 3))
    near = 2 / 3 - distance**2 * (1 - distance / 2)
    far = np.clip(2 - distance, 0, None) ** 3 / 6
    return np.where(distance < 1, near, far).astype(np.float32)


def _linear(frame: np.ndarray, rows: np.ndarray, cols: np.ndarray) -> np.ndarray:
    """Values (h, w, C) uint8 of a frame (Y, X, C) uint8 between its pixels."""
    height, width, channels = frame.shape
    top = np.minimum(rows.astype(np.int32), max(height - 2, 0))
    left = np.minimum(cols.astype(np.int32), max(width - 2, 0))
    down, right = (rows - top)[..., None], (cols - left)[..., None]
    pixels = frame.reshape(-1, channels)
    corner = top * width + left
    below, beside = (width if height > 1 else 0), int(width > 1)
    upper = pixels.take(corner, axis=0).astype(np.float32)
    upper += right * (pixels.take(corner + beside, axis=0) - upper)
    lower = pixels.take(corner + below, axis=0).astype(np.float32)
    lower += right * (pixels.take(corner + below + beside, axis=0) - lower)
    lower -= upper
    lower *= down
    upper += lower
    upper += 0.5
    return upper.astype(np.uint8)
