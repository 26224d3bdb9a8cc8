"""What a phase-contrast microscope shows of the cells, and which pixel belongs to which."""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from rleseg_core.data.synthetic.cells import IPSC, N_ANGLES, Cell
from rleseg_core.data.synthetic.config import SyntheticConfig
from rleseg_core.data.synthetic.painting import deepest
from rleseg_core.data.synthetic.textures import TILE, dots, smooth_noise, uneven_light


@dataclass(frozen=True, slots=True)
class _Patch:
    """A cell's polar coordinates in its bounding box, all (rows, cols) of that box."""

    cell: Cell
    box: tuple[slice, slice]
    down: np.ndarray  # float32, pixels from the centre
    right: np.ndarray  # float32
    distance: np.ndarray  # float32
    bins: np.ndarray  # intp, index into the angles
    depth: np.ndarray  # float32, 1 at the centre, 0 on the outline, negative outside


@dataclass(slots=True)
class _Speck:
    """A floating bit of debris."""

    position: np.ndarray
    velocity: np.ndarray
    radius: float
    brightness: float


def _patch(cell: Cell, size: tuple[int, int]) -> _Patch:
    outline = cell.outline()
    reach = int(outline.max()) + 2
    row, col = cell.position
    rows = slice(max(0, int(row) - reach), min(size[0], int(row) + reach + 1))
    cols = slice(max(0, int(col) - reach), min(size[1], int(col) + reach + 1))
    down = np.arange(rows.start, rows.stop, dtype=np.float32)[:, None] - np.float32(row)
    right = np.arange(cols.start, cols.stop, dtype=np.float32)[None, :] - np.float32(col)
    distance = np.hypot(down, right)
    turns = np.arctan2(down, right) * np.float32(N_ANGLES / (2 * np.pi))
    bins = (turns + np.float32(N_ANGLES / 2 + 0.5)).astype(np.intp) % N_ANGLES
    return _Patch(cell, (rows, cols), down, right, distance, bins, 1 - distance / outline[bins])


def _assign(patches: list[_Patch], size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Owner of each pixel, and how deep the pixel lies inside it.

    Where outlines overlap the cell in which the pixel lies deeper wins. What a cell owns stays
    star-convex, hence in one piece: beyond a lost pixel it owns nothing more in that direction.

    Returns
    -------
    owner : (Y, X) int32
        Cell id, 0 = background.
    margin : (Y, X) float32
        0 on an outline or on the border of two touching cells, up to 1 at a centre.
    """
    owner, margin = deepest(size, ((patch.box, patch.depth, patch.cell.id) for patch in patches))
    for patch in patches:
        ids = owner[patch.box]
        lost = (patch.depth > 0) & (ids != patch.cell.id)
        if lost.any():
            reach = np.full(N_ANGLES, np.inf, np.float32)
            np.minimum.at(reach, patch.bins[lost], patch.distance[lost])
            reach = ndimage.minimum_filter1d(reach, 5, mode="wrap")
            ids[(ids == patch.cell.id) & (patch.distance > reach[patch.bins])] = 0
    return owner, margin


class Microscope:
    """A field of view: fixed illumination, dirt and textures, and floating debris.

    Parameters
    ----------
    config : SyntheticConfig
        Size of a frame, and strength of each optical effect.
    rng : Generator
        Source of all randomness.
    """

    def __init__(self, config: SyntheticConfig, rng: np.random.Generator) -> None:
        size, scale = config.size, config.scale
        self._size = size
        self._scale = scale
        self._rng = rng
        self._contrast = config.contrast * rng.uniform(0.8, 1.2)
        self._halo = config.halo * rng.uniform(0.85, 1.15)
        self._noise = config.noise * rng.uniform(0.7, 1.3)
        self._blur = config.blur * rng.uniform(0.7, 1.3)
        tile = (TILE, TILE)
        self._grain = smooth_noise(rng, tile, 1.1 * scale)
        self._vesicles = dots(rng, tile, 0.010 / scale**2, 1.0 * scale)
        self._field = uneven_light(rng, size, scale, config.illumination)
        self._dirt = self._draw_dirt(config.debris)
        n_specks = rng.poisson(config.debris * 3.5e-5 * size[0] * size[1] / scale**2)
        self._specks = [self._new_speck(rng.random(2) * size) for _ in range(n_specks)]

    def expose(self, cells: list[Cell]) -> tuple[np.ndarray, np.ndarray]:
        """The image of the cells and their label map.

        Returns
        -------
        image : (Y, X) uint8
            Grey values.
        instances : (Y, X) int32
            Cell ids, 0 = background.
        """
        patches = [_patch(cell, self._size) for cell in cells]
        owner, margin = _assign(patches, self._size)
        phase = np.zeros(self._size, np.float32)
        detail = np.zeros(self._size, np.float32)
        for patch in patches:
            own = owner[patch.box] == patch.cell.id
            thickness, texture = self._draw_cell(patch, margin[patch.box])
            phase[patch.box][own] = thickness[own]
            detail[patch.box][own] = texture[own]
        self._draw_specks(phase, detail)
        near = ndimage.gaussian_filter(phase, 1.8 * self._scale, truncate=2.5)
        near *= np.where(owner == 0, np.float32(3.6), np.float32(1.0))  # the halo lies outside
        far = ndimage.gaussian_filter(phase, 5.5 * self._scale, truncate=2.5)
        image = self._contrast * (self._halo * (0.72 * near + 0.30 * far) - phase + detail)
        image += self._dirt
        image += 100
        image *= self._field * np.float32(1 + self._rng.normal(0, 0.006))
        if self._blur > 0:
            image = ndimage.gaussian_filter(image, self._blur, truncate=3)
        shot = np.sqrt(np.maximum(image, 0) / 100)  # shot noise grows with the root of the light
        image += self._noise * shot * self._rng.standard_normal(self._size, dtype=np.float32)
        image += 0.4 * self._noise * self._rng.standard_normal(self._size, dtype=np.float32)
        return np.clip(np.rint(image), 0, 255).astype(np.uint8), owner

    def drift(self, vanished: list[Cell]) -> None:
        """Move the debris by one frame; vanished cells leave a speck behind."""
        for speck in self._specks:
            speck.velocity = 0.9 * speck.velocity + self._rng.normal(0, 0.5 * self._scale, 2)
            speck.position = (speck.position + speck.velocity) % self._size
        self._specks += [self._new_speck(cell.position.copy()) for cell in vanished]

    def _new_speck(self, position: np.ndarray) -> _Speck:
        rng = self._rng
        radius = float(np.clip(rng.lognormal(0.5, 0.35), 1.0, 4.0)) * self._scale
        return _Speck(position, rng.normal(0, 1, 2), radius, rng.uniform(40, 110))

    def _draw_dirt(self, debris: float) -> np.ndarray:
        """Grey offsets of the dish: a faint texture and small dark blotches that never move."""
        rng, scale = self._rng, self._scale
        texture = 1.6 * smooth_noise(rng, self._size, 2.2 * scale)
        blotches = ndimage.gaussian_filter(
            (rng.random(self._size) < debris * 2.5e-4 / scale**2).astype(np.float32),
            2.6 * scale,
            truncate=3,
        ) * np.float32(2 * np.pi * (2.6 * scale) ** 2)
        rough = smooth_noise(rng, self._size, 1.0 * scale)
        return texture - 26 * np.clip(blotches * (0.35 + rough), 0, 1)

    def _draw_cell(self, patch: _Patch, margin: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Phase delay and grey offsets of one cell in its box, both (rows, cols) float32."""
        cell, look = patch.cell, patch.cell.look
        cosine, sine = np.float32(np.cos(cell.heading)), np.float32(np.sin(cell.heading))
        along = patch.right * cosine + patch.down * sine
        across = patch.down * cosine - patch.right * sine
        radius = np.float32(cell.radius)
        inner = np.clip(margin, 0, 1)
        edge = np.clip(inner * radius / (2.2 * self._scale), 0, 1)
        tile_row = (across + 997 * look[4]).astype(np.intp) & (TILE - 1)
        tile_col = (along + 997 * look[5]).astype(np.intp) & (TILE - 1)
        grain = self._grain[tile_row, tile_col]
        vesicles = self._vesicles[tile_row, tile_col]

        shift = radius * np.float32(0.3 * (look[6] - 0.5))
        nucleus_radius = radius * (0.52 if cell.kind == IPSC else 0.36)
        from_nucleus = ((along - shift) ** 2 + 1.4 * across**2) / nucleus_radius**2
        nucleus = np.exp(-(from_nucleus**2))
        nucleoli = np.zeros_like(nucleus)
        for angle in (6.28 * look[6], 6.28 * look[6] + 2.2 + look[7]):
            offset = 0.42 * nucleus_radius
            spot = (along - shift - offset * np.cos(angle)) ** 2
            spot = spot + (across - offset * np.sin(angle)) ** 2
            nucleoli += np.exp(-spot / np.float32((1.5 * self._scale) ** 2))

        dome = (inner * (2 - inner)) ** np.float32(0.35)
        if cell.kind == IPSC:
            height = (85 + 50 * look[0]) * dome
            tone = -16 + 34 * look[1]
            texture = 10 * grain + 16 * vesicles - 30 * nucleoli + 8 * nucleus
        else:
            height = (30 + 26 * look[0]) * (0.75 * edge + 0.25 * dome)
            tone = -30 + 28 * look[1]
            texture = 7 * grain - 48 * vesicles * (1 - nucleus) - 44 * nucleoli + 24 * nucleus
        rounding = np.float32(cell.roundness)
        ball = (120 + 60 * look[2]) * dome
        height = (1 - rounding) * height + rounding * ball
        texture = (
            (1 - 0.6 * rounding) * texture
            + ((1 - rounding) * tone + 30 * rounding) * edge
            + 16 * rounding * grain * inner
        )
        fade = np.float32(cell.fade)
        return (fade * height).astype(np.float32), (fade * edge * texture).astype(np.float32)

    def _draw_specks(self, phase: np.ndarray, detail: np.ndarray) -> None:
        for speck in self._specks:
            reach = int(3 * speck.radius) + 1
            row, col = speck.position
            rows = slice(max(0, int(row) - reach), int(row) + reach + 1)
            cols = slice(max(0, int(col) - reach), int(col) + reach + 1)
            window = detail[rows, cols]
            down = np.arange(rows.start, rows.start + window.shape[0])[:, None] - row
            right = np.arange(cols.start, cols.start + window.shape[1])[None, :] - col
            blob = np.exp(-(down**2 + right**2) / speck.radius**2)
            window += speck.brightness * blob
            phase[rows, cols] += 0.3 * speck.brightness * blob
