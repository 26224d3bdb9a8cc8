"""Cells that crawl, deform, divide and die: everything about them but their looks."""

from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from rleseg_core.data.synthetic.config import SyntheticConfig

IPSC, DFC = 1, 2

N_ANGLES = 256
ANGLES = (np.arange(N_ANGLES) * (2 * np.pi / N_ANGLES) - np.pi).astype(np.float32)

_HARMONICS = np.exp(1j * np.outer(np.arange(2, 6), ANGLES))  # (4, N_ANGLES)
_MODE_SPREAD = {IPSC: (0.060, 0.040, 0.025, 0.018), DFC: (0.050, 0.060, 0.045, 0.035)}
_N_LOBES = 5
_MITOSIS_FRAMES = 4
_DYING_FRAMES = 9
_ROUND_UP_FRAMES = 3
_MIN_CYCLE = 10  # frames between two divisions of a lineage
_MAX_COVER = 0.55  # share of the frame at which divisions stop


@dataclass(slots=True)
class Shape:
    """Outline of a cell in its own frame: low harmonics, an elongation and a few protrusions."""

    modes: np.ndarray  # (2, 4) real and imaginary parts of harmonics 2..5, relative to the radius
    elongation: np.ndarray  # (1,) log of the semi-axis ratio's square root
    lobe_angles: np.ndarray  # (5,) radians from the heading
    lobe_lengths: np.ndarray  # (5,) relative to the radius

    @classmethod
    def draw(cls, kind: int, rng: np.random.Generator) -> "Shape":
        """A shape typical of class `kind`."""
        modes = rng.normal(size=(2, 4)) * np.array(_MODE_SPREAD[kind])
        if kind == IPSC:
            return cls(
                modes, np.abs(rng.normal(0, 0.07, 1)), np.zeros(_N_LOBES), np.zeros(_N_LOBES)
            )
        angles = np.array([0, np.pi, 0.4, np.pi - 0.5, -0.5]) + rng.normal(0, 0.45, _N_LOBES)
        present = rng.random(_N_LOBES) < np.array([0.85, 0.85, 0.45, 0.45, 0.45])
        lengths = present * rng.uniform(0.4, 1.7, _N_LOBES)
        return cls(modes, rng.uniform(0.05, 0.38, 1), angles, lengths)

    def step_towards(self, goal: "Shape", share: float) -> None:
        """Move `share` of the way to `goal`."""
        for name in ("modes", "elongation", "lobe_angles", "lobe_lengths"):
            mine = getattr(self, name)
            mine += share * (getattr(goal, name) - mine)

    def copy(self) -> "Shape":
        """An independent copy."""
        return Shape(
            self.modes.copy(),
            self.elongation.copy(),
            self.lobe_angles.copy(),
            self.lobe_lengths.copy(),
        )


@dataclass(slots=True)
class Cell:
    """State of one cell in one frame; lengths in source pixels."""

    id: int
    kind: int
    position: np.ndarray  # (2,) row, column
    velocity: np.ndarray  # (2,) per frame
    full_radius: float
    heading: float
    shape: Shape
    goal: Shape
    age: int
    look: np.ndarray = field(repr=False)  # (8,) fixed uniform numbers the optics derive looks from
    stage: Literal["alive", "mitosis", "dying"] = "alive"
    clock: int = 0  # frames in this stage
    roundness: float = 0.0

    @property
    def fade(self) -> float:
        """Visibility: 1, sinking to 0 while the cell dies."""
        if self.stage != "dying":
            return 1.0
        left = (_DYING_FRAMES - self.clock) / (_DYING_FRAMES - _ROUND_UP_FRAMES)
        return min(1.0, max(0.0, left))

    @property
    def radius(self) -> float:
        """Radius of the disc of the cell's area."""
        growth = 0.72 + 0.28 * min(1.0, self.age / 16)
        rounding = 1 - (0.30 if self.kind == DFC else 0.14) * self.roundness
        return self.full_radius * growth * rounding * (0.5 + 0.5 * self.fade)

    def outline(self) -> np.ndarray:
        """Distance of the outline from `position` at each of `ANGLES`, (N_ANGLES,) float32."""
        own = 1 - self.roundness
        angles = ANGLES - self.heading
        turn = np.exp(-1j * self.heading * np.arange(2, 6))
        modes = (self.shape.modes[0] + 1j * self.shape.modes[1]) * turn
        ratio = np.exp(own * self.shape.elongation[0])
        ellipse = 1 / np.sqrt((np.cos(angles) / ratio) ** 2 + (np.sin(angles) * ratio) ** 2)
        reach = ellipse * (1 + own * (modes @ _HARMONICS).real)
        if self.kind == DFC:
            offsets = np.cos(angles[None] - self.shape.lobe_angles[:, None]) - 1
            reach = reach + own * (self.shape.lobe_lengths @ np.exp(30 * offsets))
        reach = np.maximum(reach, 0.3)
        return (reach * (self.radius / np.sqrt(np.mean(reach**2)))).astype(np.float32)


class Population:
    """The cells of a scene and their common clock.

    Parameters
    ----------
    config : SyntheticConfig
        Size of the scene, and number, classes, size, speed and events of the cells.
    rng : Generator
        Source of all randomness.
    """

    def __init__(self, config: SyntheticConfig, rng: np.random.Generator) -> None:
        self._size = np.array(config.size, dtype=float)
        self._radius = config.cell_radius
        self._division_rate = config.division_rate
        self._death_rate = config.death_rate
        self._speed = config.speed * config.cell_radius
        self._rng = rng
        self._next_id = 1
        self.cells: list[Cell] = []
        self.parents: dict[int, int] = {}
        n_ipsc = round(config.n_first_cells * config.ipsc_share)
        for index in range(config.n_first_cells):
            kind = IPSC if index < n_ipsc else DFC
            cell = self._new_cell(kind, self._free_position(kind))
            cell.age = int(rng.integers(4, 60))
            self.cells.append(cell)
        for _ in range(25):
            self._push_apart()

    def step(self) -> list[Cell]:
        """Advance by one frame; the cells that vanished are returned."""
        for cell in self.cells:
            self._crawl(cell)
            self._deform(cell)
        self._push_apart()
        return self._live_and_die()

    def _new_cell(self, kind: int, position: np.ndarray, mother: Cell | None = None) -> Cell:
        rng = self._rng
        spread = rng.uniform(0.88, 1.12) if kind == IPSC else rng.uniform(0.95, 1.35)
        look = rng.random(8)
        if mother is not None:
            look[:4] = 0.7 * mother.look[:4] + 0.3 * look[:4]  # daughters resemble their mother
        cell = Cell(
            id=self._next_id,
            kind=kind,
            position=position,
            velocity=rng.normal(0, self._speed, 2),
            full_radius=self._radius * spread,
            heading=rng.uniform(-np.pi, np.pi),
            shape=Shape.draw(kind, rng),
            goal=Shape.draw(kind, rng),
            age=0,
            look=look,
        )
        self._next_id += 1
        return cell

    def _free_position(self, kind: int) -> np.ndarray:
        """Of a few random positions the farthest from other cells, or one beside a neighbour."""
        rng = self._rng
        friends = [cell for cell in self.cells if cell.kind == IPSC]
        if kind == IPSC and friends and rng.random() < 0.65:
            friend = friends[rng.integers(len(friends))]
            angle = rng.uniform(-np.pi, np.pi)
            beside = friend.position + 2 * self._radius * np.array([np.sin(angle), np.cos(angle)])
            return np.clip(beside, 0, self._size - 1)
        positions = rng.random((8, 2)) * (self._size - 1)
        if not self.cells:
            return positions[0]
        others = np.stack([cell.position for cell in self.cells])
        nearest = np.linalg.norm(positions[:, None] - others[None], axis=-1).min(axis=1)
        return positions[nearest.argmax()]

    def _crawl(self, cell: Cell) -> None:
        activity = self._speed * (0.6 if cell.kind == IPSC else 1.0)
        activity *= (1 - 0.8 * cell.roundness) * cell.fade
        kick = self._rng.normal(0, activity, 2)
        cell.velocity = 0.85 * cell.velocity + 0.53 * kick
        position = cell.position + cell.velocity
        outside = (position < 0) | (position > self._size - 1)
        cell.velocity[outside] *= -1
        cell.position = np.clip(position, 0, self._size - 1)
        if cell.kind == DFC:
            course = np.arctan2(cell.velocity[0], cell.velocity[1])
            # the outline is about symmetric under a half turn, so the nearer end leads
            turn = (course - cell.heading + np.pi / 2) % np.pi - np.pi / 2
            cell.heading += 0.06 * turn
        else:
            cell.heading += self._rng.normal(0, 0.04)

    def _deform(self, cell: Cell) -> None:
        if self._rng.random() < 0.08:
            cell.goal = Shape.draw(cell.kind, self._rng)
            # protrusions grow and shrink; they do not sweep around the cell
            kept = cell.shape.lobe_angles
            cell.goal.lobe_angles = kept + self._rng.normal(0, 0.2, kept.shape)
        cell.shape.step_towards(cell.goal, 0.10)
        target = 0.0 if cell.stage == "alive" else 1.0
        cell.roundness += 0.35 * (target - cell.roundness)

    def _push_apart(self) -> None:
        """Part cells that overlap, and let ipsc cells that are close draw near."""
        if len(self.cells) < 2:
            return
        positions = np.stack([cell.position for cell in self.cells])
        radii = np.array([cell.radius for cell in self.cells])
        kinds = np.array([cell.kind for cell in self.cells])
        apart = positions[:, None] - positions[None]  # (n, n, 2)
        distance = np.linalg.norm(apart, axis=-1) + 1e-6
        gap = distance - 0.93 * (radii[:, None] + radii[None])
        friends = (kinds[:, None] == IPSC) & (kinds[None] == IPSC) & (gap < self._radius)
        pull = np.where(gap < 0, 0.3 * gap, np.where(friends, 0.04 * gap, 0.0))
        np.fill_diagonal(pull, 0)
        push = -(pull / distance)[..., None] * apart
        moves = np.clip(push.sum(axis=1), -0.15 * self._radius, 0.15 * self._radius)
        moved = np.clip(positions + moves, 0, self._size - 1)
        for cell, position in zip(self.cells, moved, strict=True):
            cell.position = position

    def _live_and_die(self) -> list[Cell]:
        area = sum(np.pi * cell.radius**2 for cell in self.cells)
        room = max(0.0, 1 - area / (_MAX_COVER * self._size.prod()))
        survivors, vanished = [], []
        for cell in self.cells:
            cell.age += 1
            cell.clock += 1
            chance = self._rng.random()
            if cell.stage == "mitosis" and cell.clock >= _MITOSIS_FRAMES:
                survivors += self._divide(cell)
                continue
            if cell.stage == "dying" and cell.clock >= _DYING_FRAMES:
                vanished.append(cell)
                continue
            if cell.stage == "alive":
                if chance < self._death_rate:
                    cell.stage, cell.clock = "dying", 0
                elif chance > 1 - self._division_rate * room and cell.age >= _MIN_CYCLE:
                    cell.stage, cell.clock = "mitosis", 0
            survivors.append(cell)
        self.cells = survivors
        return vanished

    def _divide(self, mother: Cell) -> list[Cell]:
        angle = self._rng.uniform(-np.pi, np.pi)
        axis = np.array([np.sin(angle), np.cos(angle)])
        daughters = []
        for side in (-1, 1):
            position = mother.position + side * 0.62 * mother.radius * axis
            position = np.clip(position, 0, self._size - 1)
            daughter = self._new_cell(mother.kind, position, mother)
            daughter.roundness = 0.9
            daughter.heading = angle
            daughter.velocity = side * 0.5 * self._speed * axis
            self.parents[daughter.id] = mother.id
            daughters.append(daughter)
        return daughters
