"""Views of a frame to train on: turned, scaled, lit otherwise."""

from dataclasses import dataclass

import numpy as np

from rleseg_core.data.labels import SubsampleRule, cell_index, subsample_labels
from rleseg_core.errors import DataError


@dataclass(frozen=True, kw_only=True)
class Augmentation:
    """How patches are varied at random.

    Parameters
    ----------
    turns : bool
        Mirror, and turn by quarters.
    warped_share : float
        Share of the patches that are also scaled and turned by any angle, which costs more.
    scale : (float, float)
        Lowest and highest magnification of those.
    angle : float
        Largest angle of those, degrees.
    brightness, contrast, gamma : float
        Largest change: added, as a factor's distance from 1, as an exponent's logarithm to base 2.
    noise : float
        Largest standard deviation of noise, in [0, 1] grey values.

    Raises
    ------
    DataError
        If a number is out of its range.
    """

    turns: bool = True
    warped_share: float = 0.5
    scale: tuple[float, float] = (0.8, 1.25)
    angle: float = 180.0
    brightness: float = 0.1
    contrast: float = 0.25
    gamma: float = 0.4
    noise: float = 0.03

    def __post_init__(self) -> None:
        object.__setattr__(self, "scale", tuple(float(value) for value in self.scale))
        numbers = (self.angle, self.brightness, self.contrast, self.gamma, self.noise)
        if not (min(numbers) >= 0 and self.contrast < 1 and 0 <= self.warped_share <= 1):
            raise DataError(f"amounts must not be negative, contrast and shares at most 1: {self}")
        if not (len(self.scale) == 2 and 0 < self.scale[0] <= self.scale[1]):
            raise DataError(f"scale needs a lowest and a highest factor, got {self.scale}")


STILL = Augmentation(
    turns=False, warped_share=0, brightness=0, contrast=0, gamma=0, noise=0, scale=(1, 1), angle=0
)


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
    """

    matrix: np.ndarray
    centre: tuple[float, float]
    side: int

    @property
    def is_aligned(self) -> bool:
        """Whether patch pixels are frame pixels, mirrored and turned by quarters at most."""
        return bool(np.all(np.isin(self.matrix, (-1.0, 0.0, 1.0))))

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
        self, frame: np.ndarray, size: tuple[int, int], rule: SubsampleRule = "centre"
    ) -> np.ndarray:
        """Mask (S, S) of labels (Y, X); the rules are those of `subsample_labels`."""
        if rule == "max":
            every = (self.side, self.side)
            return subsample_labels(self.labels(frame, every), size, rule)
        down, right = (cell_index(length, self.side, rule) for length in size)
        rows, cols = self.places(down, right, frame.shape[:2])
        return frame[np.rint(rows).astype(np.intp), np.rint(cols).astype(np.intp)]


def random_matrix(augmentation: Augmentation, rng: np.random.Generator) -> np.ndarray:
    """Matrix (2, 2) of a `View`: mirrored, turned and scaled at random."""
    matrix = np.eye(2)
    if augmentation.turns:
        quarter, mirrored = int(rng.integers(4)), bool(rng.integers(2))
        for _ in range(quarter):
            matrix = matrix @ np.array([[0.0, -1.0], [1.0, 0.0]])
        if mirrored:
            matrix = matrix @ np.diag([1.0, -1.0])
    if rng.random() < augmentation.warped_share:
        angle = np.deg2rad(rng.uniform(-augmentation.angle, augmentation.angle))
        scale = np.exp(rng.uniform(*np.log(augmentation.scale)))
        cos, sin = np.cos(angle), np.sin(angle)
        matrix = matrix @ np.array([[cos, -sin], [sin, cos]]) / scale
    return matrix


def relight(
    patches: np.ndarray, augmentation: Augmentation, rng: np.random.Generator
) -> np.ndarray:
    """Patches (...) uint8 with brightness, contrast, gamma and noise changed at random."""
    gamma = 2.0 ** rng.uniform(-augmentation.gamma, augmentation.gamma)
    contrast = 1 + rng.uniform(-augmentation.contrast, augmentation.contrast)
    brightness = rng.uniform(-augmentation.brightness, augmentation.brightness)
    noise = rng.uniform(0, augmentation.noise)
    levels = (np.linspace(0, 1, 256) ** gamma - 0.5) * contrast + 0.5 + brightness
    table = np.clip(255 * levels, 0, 255).astype(np.float32)
    if noise == 0:
        return np.rint(table).astype(np.uint8)[patches]
    lit = rng.standard_normal(patches.shape, dtype=np.float32)
    lit *= np.float32(255 * noise)
    lit += table[patches]
    lit += np.float32(0.5)
    return np.clip(lit, 0, 255, out=lit).astype(np.uint8)


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
