"""Budding yeast: buds grow on mothers, come off, and bud themselves; the cells lie in colonies."""

import numpy as np

from rleseg_core.data.synthetic.bodies import Oval
from rleseg_core.data.synthetic.config import CultureConfig
from rleseg_core.data.synthetic.crowding import Link, push_apart
from rleseg_core.data.synthetic.culture import Culture, Textures
from rleseg_core.data.synthetic.painting import Drawn, Patch

_FIRST = 0.34  # radius of a bud that can be seen, relative to that of a grown cell
_OFF = 0.78  # and of one that comes off
_CROWDED = 0.75  # overlap, in radii, from which nothing grows


class Yeast(Culture[Oval]):
    """Ovals of one strain. A mother keeps her id; her bud has its own from the beginning."""

    radii = (8.0, 18.0)

    def __init__(self, config: CultureConfig, rng: np.random.Generator) -> None:
        super().__init__(config, rng)
        self._growth = rng.uniform(0.03, 0.10)  # of a bud's radius per frame, relative to a cell's
        self._budding = rng.uniform(0.08, 0.25)
        self._long = rng.uniform(1.03, 1.35)
        self._vacuole = np.float32(rng.uniform(0.2, 0.9))
        self._granules = np.float32(rng.uniform(0.1, 0.8))
        self._rim = np.float32(rng.uniform(0.12, 0.3))
        self._textures = Textures(rng, max(1.0, 0.1 * self.radius))
        self._buds: dict[int, Link] = {}  # links of buds that hang on their mothers, by id
        wanted = self._drawn_number(1, 0.75 * np.pi * self.radius**2, 0.6)
        founders = min(wanted, max(1, int(wanted / 2 ** rng.integers(1, 7))))
        for _ in range(founders):
            self.bodies.append(self._new(self._place(), self.radius * rng.uniform(0.75, 1.1)))
        self._grow_up(wanted, 0.25 / self._growth)

    def _new(self, position: np.ndarray, radius: float) -> Oval:
        rng = self._rng
        long = max(1.0, self._long + rng.normal(0, 0.06))
        return Oval(
            id=self._new_id(),
            position=position,
            heading=rng.uniform(-np.pi, np.pi),
            radius=radius / np.sqrt(long),
            half=radius * np.sqrt(long),
            look=rng.random(8),
            lumps=np.stack([rng.normal(0, 0.012, 3), rng.normal(0, 0.012, 3)]),
        )

    def _grow_up(self, wanted: int, tempo: float) -> None:
        super()._grow_up(wanted, tempo)
        self._buds = {link.other.id: link for link in self.links}

    def _leave(self) -> None:
        super()._leave()
        self._buds = {link.other.id: link for link in self.links}

    def _advance(self, tempo: float) -> None:
        rng = self._rng
        pressure = push_apart(self.bodies, self.links, rounds=10, cling=0.15)
        mothers = {id(link.one) for link in self.links}
        born: list[Oval] = []
        for cell, press in zip(self.bodies, pressure, strict=True):
            cell.age += 1
            room = max(0.0, 1 - press / _CROWDED)
            size = np.sqrt(cell.half * cell.radius) / self.radius
            full = 0.85 + 0.3 * cell.look[0]
            ready = self._budding * room * min(tempo, 4.0)
            link = self._buds.get(cell.id)
            if size < full:
                speed = 1.0 if link is not None else 0.5
                grown = 1 + speed * tempo * self._growth * room * rng.uniform(0.6, 1.4) / size
                grown = min(grown, 1.3)
                cell.half, cell.radius = cell.half * grown, cell.radius * grown
            if link is not None:
                self._hang(link)
                if size > _OFF * full:
                    del self._buds[cell.id]
            elif size > 0.8 * full and id(cell) not in mothers and rng.random() < ready:
                born.append(self._bud(cell))
            cell.position = cell.position + rng.normal(0, 0.01 * self.radius, 2)
        self.links = [link for link in self.links if link.other.id in self._buds]
        self.links += [self._buds[bud.id] for bud in born]
        self.bodies += born

    def _bud(self, mother: Oval) -> Oval:
        rng = self._rng
        angle = rng.normal(0, 0.7) + np.pi * rng.integers(2)
        bud = self._new(mother.to_frame(mother.surface(angle)[None])[0], _FIRST * self.radius)
        bud.heading = mother.heading - angle  # its long axis points away from the mother
        bud.look[0] = 0.6 * bud.look[0] + 0.4 * mother.look[0]
        outward = np.array([np.cos(angle), np.sin(angle)])
        link = Link(mother, bud, mother.surface(angle) + 0.05 * bud.radius * outward, np.zeros(2))
        self._buds[bud.id] = link
        self._hang(link)
        self._births[bud.id] = mother.id
        return bud

    def _hang(self, link: Link) -> None:
        """Keep the joint on both outlines while both cells grow."""
        mother, bud = link.one, link.other
        assert isinstance(mother, Oval)
        angle = np.arctan2(link.at_one[1] / mother.radius, link.at_one[0] / mother.half)
        link.at_one = mother.surface(float(angle))
        link.at_other = np.array([-0.95 * bud.half, 0.0])

    def paint(self, patch: Patch, margin: np.ndarray) -> Drawn:
        """A dense rim and cytoplasm, a vacuole or two, granules."""
        cell, look = patch.body, patch.body.look
        inner = np.clip(margin / np.float32(cell.radius), 0, 1)
        rim = np.clip(inner / self._rim, 0, 1)
        grain, mottle, dots = self._textures.of(patch)
        shift = np.float32(0.7 * cell.radius * (look[1] - 0.5))
        size = np.float32(cell.radius * (0.28 + 0.37 * look[2]))
        far = np.hypot(patch.along - shift, patch.across + shift) / size
        vacuole = np.exp(-(far**6)) * np.float32(look[3] > 0.25)
        young = np.float32(np.clip(1.6 - cell.radius / self.radius, 0, 0.5))
        phase = np.sqrt(rim) * (np.float32(0.85 + 0.25 * look[6]) + 0.4 * young)
        detail = rim * (
            self._vacuole * vacuole + self._granules * (0.2 * mottle + 0.08 * grain + 0.5 * dots)
        )
        stained = inner ** np.float32(0.5) * (1 - 0.7 * vacuole) * (1 + 0.12 * mottle)
        light = stained * np.float32(0.3 + 0.7 * look[7])
        return Drawn(phase, detail.astype(np.float32), light.astype(np.float32))
