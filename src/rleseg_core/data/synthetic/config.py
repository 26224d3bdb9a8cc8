"""Settings of synthetic time-lapses."""

from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np

from rleseg_core.checks import Count, Index, NotNegative, Seed, Share, Side, Within, check_fields
from rleseg_core.errors import DataError

Kind = Literal["rods", "yeast", "nuclei", "spread"]
Modality = Literal["phase", "bright_field", "fluorescence"]

_TYPICAL_RADIUS = 17.0
_TYPICAL_COVER = 0.166  # 12 cells of the typical radius on 256 × 256 pixels


@dataclass(frozen=True, kw_only=True)
class SyntheticConfig:
    """What a synthetic time-lapse shows.

    Parameters
    ----------
    n_frames : int
        Number of frames, 1 or more.
    size : (int, int)
        Rows and columns of a frame, in pixels; each side must hold one cell.
    seed : int
        The same config gives the same arrays; a shorter sequence is the beginning of a longer one.
    n_cells : int or None
        Cells in the first frame; None chooses about 12 per 256 × 256 pixels at the default radius.
    ipsc_share : float
        Share of ipsc cells among them, in [0, 1]; the others are dfc.
    cell_radius : float
        Radius of a typical ipsc cell in pixels, at least 4; dfc cells are a bit larger.
    speed : float
        Typical displacement per frame, in cell radii.
    division_rate, death_rate : float
        Probability, per cell and frame, to begin to divide or to die; divisions cease as cells
        fill the frame.
    contrast, halo : float
        Strength of the cells' phase contrast, and of the bright rim around them; 1 is typical.
    illumination : float
        Relative unevenness of the illumination; 0 is even.
    noise : float
        Standard deviation of the shot noise at the grey level of the background.
    blur : float
        Standard deviation of the defocus blur in pixels.
    debris : float
        Amount of floating specks and of dirt on the dish; 1 is typical, 0 none.

    Raises
    ------
    DataError
        If a number is out of its range, or the cells do not fit in the frame.
    """

    n_frames: Count = 16
    size: tuple[Side, Side] = (256, 256)
    seed: Seed = 0
    n_cells: Index | None = None
    ipsc_share: Share = 0.5
    cell_radius: Annotated[float, Within(4)] = _TYPICAL_RADIUS
    speed: NotNegative = 0.08
    division_rate: Share = 0.01
    death_rate: Share = 0.004
    contrast: NotNegative = 1.0
    halo: NotNegative = 1.0
    illumination: NotNegative = 0.10
    noise: NotNegative = 2.5
    blur: NotNegative = 0.7
    debris: NotNegative = 1.0

    def __post_init__(self) -> None:
        check_fields(self, DataError)
        if min(self.size) < 2 * self.cell_radius:
            raise DataError(
                f"a frame of {self.size} pixels cannot hold a cell of radius {self.cell_radius}; "
                f"it needs two sides of at least {2 * self.cell_radius:g}"
            )
        room = max(1, int(0.7 * self.size[0] * self.size[1] / (np.pi * self.cell_radius**2)))
        if self.n_cells is not None and self.n_cells > room:
            raise DataError(
                f"n_cells must lie between 0 and {room}, the cells of radius {self.cell_radius} "
                f"that fit in {self.size} pixels, got {self.n_cells}"
            )

    @property
    def scale(self) -> float:
        """Cell radius over the typical one of 17 pixels; all optical lengths grow with it."""
        return self.cell_radius / _TYPICAL_RADIUS

    @property
    def n_first_cells(self) -> int:
        """Number of cells in the first frame."""
        if self.n_cells is not None:
            return self.n_cells
        area = self.size[0] * self.size[1]
        return max(1, round(_TYPICAL_COVER * area / (np.pi * self.cell_radius**2)))


@dataclass(frozen=True, kw_only=True)
class CultureConfig:
    """What a synthetic time-lapse of another kind shows; the seed draws all that is not given.

    Parameters
    ----------
    kind : str
        ``rods``: bacteria; ``yeast``: budding yeast; ``nuclei``: stained nuclei; ``spread``: thin,
        spindly and flat adherent cells.
    n_frames : int
        Number of frames, 1 or more.
    size : (int, int)
        Rows and columns of a frame, in pixels; each side must be at least 16.
    seed : int
        The same config gives the same arrays; a shorter sequence is the beginning of a longer one.
    n_cells : int or None
        Cells in the first frame, about: colonies grow until they have so many. 0 is an empty dish.
    cell_radius : float or None
        Half the width, pixels, at least 3, of a rod, a grown yeast cell, a nucleus, or the middle
        of a spread cell.
    modality : str or None
        ``phase``, ``bright_field`` or ``fluorescence``.

    Raises
    ------
    DataError
        If a value is out of its range, or the cells do not fit in the frame.
    """

    kind: Kind
    n_frames: Count = 16
    size: tuple[Side, Side] = (256, 256)
    seed: Seed = 0
    n_cells: Index | None = None
    cell_radius: Annotated[float, Within(3)] | None = None
    modality: Modality | None = None

    def __post_init__(self) -> None:
        check_fields(self, DataError)
        radius = self.cell_radius if self.cell_radius is not None else 8.0
        if min(self.size) < 2 * radius:
            raise DataError(
                f"a frame of {self.size} pixels cannot hold a cell of radius {radius:g}; "
                f"it needs two sides of at least {2 * radius:g}"
            )
        room = max(1, int(0.7 * self.size[0] * self.size[1] / (np.pi * radius**2)))
        if self.n_cells is not None and self.n_cells > room:
            raise DataError(
                f"n_cells must lie between 0 and {room}, the cells of radius {radius:g} "
                f"that fit in {self.size} pixels, got {self.n_cells}"
            )
