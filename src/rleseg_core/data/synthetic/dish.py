"""What lies in the field of view beside the cells: dirt, dust out of focus, walls, debris."""

import numpy as np

from rleseg_core.data.synthetic.bodies import cones
from rleseg_core.data.synthetic.textures import smooth_noise, uneven_light


class Dish:
    """The background of a field of view; no mask shows it.

    Parameters
    ----------
    size : (int, int)
        Rows and columns, pixels.
    radius : float
        Radius of a typical cell, pixels; debris is smaller.
    rng : Generator
        Source of randomness.
    walls : bool
        Whether a wall of a microfluidic device may stand in it.

    Attributes
    ----------
    field : (Y, X) float32
        Relative illumination.
    dirt : (Y, X) float32
        What never moves, relative to a strong contrast.
    wall : (Y, X) float32
        A wall, likewise; cells hide it.
    """

    def __init__(
        self, size: tuple[int, int], radius: float, rng: np.random.Generator, *, walls: bool
    ) -> None:
        self.field = uneven_light(rng, size, radius / 12, rng.uniform(0, 0.14))
        self.dirt = rng.uniform(0, 0.28) ** 2 * smooth_noise(rng, size, rng.uniform(1.2, 4.0))
        self.wall = np.zeros(size, np.float32)
        for _ in range(rng.poisson(0.7)):
            self.dirt += _ring(size, rng)
        if walls and rng.random() < 0.25:
            self.wall += _wall(size, radius, rng)
        self.dirt = self.dirt.astype(np.float32)
        n_specks = rng.poisson(rng.uniform(0, 14) * size[0] * size[1] / 256**2)
        self._places = rng.random((n_specks, 2)) * size
        self._speeds = rng.normal(0, 0.6, (n_specks, 2)) * (rng.random((n_specks, 1)) < 0.3)
        self._radii = np.clip(radius * rng.uniform(0.06, 0.25, n_specks), 0.8, 3.0)
        self._heights = rng.choice([-1.0, 1.0], n_specks, p=[0.7, 0.3]) * rng.uniform(
            0.4, 2.2, n_specks
        )

    def specks(self, size: tuple[int, int]) -> np.ndarray:
        """Debris as it lies now, (Y, X) float32, relative to a strong contrast."""
        field = np.zeros(size, np.float32)
        for (row, col), radius, height in zip(
            self._places, self._radii, self._heights, strict=True
        ):
            reach = int(4 * radius) + 1
            rows = slice(max(0, int(row) - reach), min(size[0], int(row) + reach + 1))
            cols = slice(max(0, int(col) - reach), min(size[1], int(col) + reach + 1))
            down = np.arange(rows.start, rows.stop, dtype=np.float32)[:, None] - np.float32(row)
            right = np.arange(cols.start, cols.stop, dtype=np.float32)[None, :] - np.float32(col)
            far = (down**2 + right**2) / np.float32(radius**2)
            field[rows, cols] += np.float32(height) * (1 - 0.45 * far) * np.exp(-far / 1.6)
        return field

    def drift(self, rng: np.random.Generator) -> None:
        """Move the floating part of the debris by one frame."""
        moving = (self._speeds != 0).any(axis=1, keepdims=True)
        kicks = rng.normal(0, 0.4, self._speeds.shape)
        self._speeds = 0.9 * self._speeds + kicks * moving
        self._places = (self._places + self._speeds) % np.array(self.field.shape)


def _grid(size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    rows = np.arange(size[0], dtype=np.float32)[:, None]
    return rows, np.arange(size[1], dtype=np.float32)[None, :]


def _ring(size: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """Diffraction rings of a dust particle far from the focus."""
    rows, cols = _grid(size)
    centre = rng.random(2) * size
    width = rng.uniform(5, 22)
    far = np.hypot(rows - np.float32(centre[0]), cols - np.float32(centre[1])) / np.float32(width)
    return rng.uniform(0.05, 0.3) * np.cos(2.5 * far**1.3) * np.exp(-((far / 2) ** 2))


def _wall(size: tuple[int, int], radius: float, rng: np.random.Generator) -> np.ndarray:
    """Edges of a bar with a corner: a bright line, a dark one, and a faint inside."""
    rows, cols = _grid(size)
    corner = rng.random(2) * size
    turn = 0.5 * np.pi * rng.integers(4) + rng.normal(0, 0.03)
    long = rng.uniform(2, 12, 2) * radius
    width = rng.uniform(0.8, 2.5) * radius
    one = corner + long[0] * np.array([np.sin(turn), np.cos(turn)])
    other = corner + long[1] * np.array([np.cos(turn), -np.sin(turn)])
    nodes = np.column_stack([np.stack([one, corner, other]), np.full(3, width)])
    inside = cones(rows, cols, nodes)
    line = max(1.2, 0.12 * radius)
    bright = np.exp(-(((inside + line) / line) ** 2))
    dark = np.exp(-(((inside - line) / line) ** 2))
    return rng.uniform(0.5, 2.5) * (bright - 0.7 * dark + 0.15 * (inside > 0))
