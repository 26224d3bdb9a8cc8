"""What the cultures of all kinds have in common: how they start, grow, and leave the frame."""

from typing import ClassVar, Generic, TypeVar

import numpy as np

from rleseg_core.data.synthetic.bodies import Body
from rleseg_core.data.synthetic.config import CultureConfig
from rleseg_core.data.synthetic.crowding import Link
from rleseg_core.data.synthetic.painting import Drawn, Patch
from rleseg_core.data.synthetic.textures import TILE, dots, smooth_noise

AnyBody = TypeVar("AnyBody", bound=Body)

_LONGEST_START = 400  # steps in which a culture grows to the cells of its first frame


class Culture(Generic[AnyBody]):
    """Bodies of one kind and their common clock.

    Parameters
    ----------
    config : CultureConfig
        Size of the scene, number and size of the cells.
    rng : Generator
        Source of all randomness of their lives.
    """

    radii: ClassVar[tuple[float, float]]  # lowest and highest radius that is drawn, pixels

    def __init__(self, config: CultureConfig, rng: np.random.Generator) -> None:
        self._rng = rng
        self.size = config.size
        drawn = float(rng.uniform(*self.radii))
        self.radius = config.cell_radius if config.cell_radius is not None else drawn
        self.bodies: list[AnyBody] = []
        self.links: list[Link] = []
        self._next_id = 1
        self._births: dict[int, int] = {}
        self._wanted = config.n_cells

    def step(self) -> dict[int, int]:
        """Advance by one frame; the mother's id of each that was born is returned."""
        self._births = {}
        self._advance(1.0)
        self._leave()
        return self._births

    def paint(self, patch: Patch, margin: np.ndarray) -> Drawn:
        """What the optics see of a body in its box, given the distance from its border."""
        raise NotImplementedError

    def _advance(self, tempo: float) -> None:
        """Live on by one step; `tempo` is the speed of growth, 1 in the frames that are shown."""
        raise NotImplementedError

    def _grow_up(self, wanted: int, tempo: float) -> None:
        """Grow, unseen, until so many are in the frame; then count them from 1."""
        for _ in range(_LONGEST_START):
            if self._n_inside() >= wanted or not self.bodies:
                break
            self._advance(tempo)
            self._leave()
        for number, body in enumerate(self.bodies, start=1):
            body.id = number
        self._next_id = len(self.bodies) + 1

    def _n_inside(self) -> int:
        places = np.array([body.position for body in self.bodies]).reshape(-1, 2)
        inside = (places >= 0) & (places < np.array(self.size))
        return int(inside.all(axis=1).sum())

    def _drawn_number(self, least: int, area: float, cover: float) -> int:
        """The wanted number of cells, or one drawn: from `least` to those that cover that share."""
        most = max(least, int(cover * self.size[0] * self.size[1] / area))
        drawn = int(least + (most + 0.99 - least) * self._rng.random() ** 1.1)
        return self._wanted if self._wanted is not None else drawn

    def _new_id(self) -> int:
        self._next_id += 1
        return self._next_id - 1

    def _place(self) -> np.ndarray:
        """A random position in the frame."""
        return self._rng.random(2) * (np.array(self.size) - 1.0)

    def _leave(self) -> None:
        """Bodies that are far outside of the frame are gone."""
        rows, cols = self.size
        kept = [
            body
            for body in self.bodies
            if -2.5 * body.reach < body.position[0] < rows + 2.5 * body.reach
            and -2.5 * body.reach < body.position[1] < cols + 2.5 * body.reach
        ]
        if len(kept) < len(self.bodies):
            self.bodies = kept
            here = {id(body) for body in kept}
            self.links = [
                link for link in self.links if id(link.one) in here and id(link.other) in here
            ]


class Textures:
    """Periodic textures that bodies carry with them.

    Parameters
    ----------
    rng : Generator
        Source of randomness.
    scale : float
        Size of a grain, pixels.
    """

    def __init__(self, rng: np.random.Generator, scale: float) -> None:
        tile = (TILE, TILE)
        self._grain = smooth_noise(rng, tile, scale)
        self._mottle = smooth_noise(rng, tile, 2.6 * scale)
        self._dots = dots(rng, tile, 0.010 / scale**2, 0.9 * scale)

    def of(self, patch: Patch) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Fine and coarse noise and dots of a body, (rows, cols) float32 each."""
        look = patch.body.look
        row = (patch.across + np.float32(997 * look[4])).astype(np.intp) & (TILE - 1)
        col = (patch.along + np.float32(997 * look[5])).astype(np.intp) & (TILE - 1)
        return self._grain[row, col], self._mottle[row, col], self._dots[row, col]
