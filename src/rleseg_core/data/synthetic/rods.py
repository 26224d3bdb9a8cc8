"""Bacteria: rods that grow, curve a little, divide, and push each other into colonies or chains."""

import numpy as np

from rleseg_core.data.synthetic.bodies import Rod
from rleseg_core.data.synthetic.config import CultureConfig
from rleseg_core.data.synthetic.crowding import Link, push_apart
from rleseg_core.data.synthetic.culture import Culture, Textures
from rleseg_core.data.synthetic.painting import Drawn, Patch

_CHAINS = 0.3  # share of the cultures whose cells stay together, end to end


class Rods(Culture[Rod]):
    """Rods of one strain: their width, length, curvature, growth and whether they form chains."""

    radii = (4.5, 8.0)

    def __init__(self, config: CultureConfig, rng: np.random.Generator) -> None:
        super().__init__(config, rng)
        self._born = self.radius * rng.uniform(1.7, 4.4)  # half the length of a newborn, with ends
        self._growth = rng.uniform(0.02, 0.07)
        self._curving = rng.uniform(0.02, 0.3)
        self._parting = 0.01 if rng.random() < _CHAINS else rng.uniform(0.15, 0.6)
        self._flatness = np.float32(rng.uniform(0.35, 0.9))
        self._spots = np.float32(rng.uniform(0, 0.5))
        self._staining = rng.integers(3)  # cytosol, membrane or nucleoids
        self._textures = Textures(rng, max(0.9, 0.2 * self.radius))
        wanted = self._drawn_number(2, 4 * self.radius * self._born * 1.4, 0.55)
        founders = min(wanted, max(1, int(wanted / 2 ** rng.integers(2, 8))))
        for _ in range(founders):
            self.bodies.append(self._new(self._place(), rng.uniform(-np.pi, np.pi)))
        self._grow_up(wanted, 0.12 / self._growth)

    def _new(self, position: np.ndarray, heading: float) -> Rod:
        rng = self._rng
        length = self._born * rng.uniform(1.0, 1.8)
        return Rod(
            id=self._new_id(),
            position=position,
            heading=heading,
            radius=self.radius * rng.uniform(0.95, 1.05),
            half=max(length - self.radius, 0.2 * self.radius),
            look=rng.random(8),
            arc=rng.normal(0, self._curving),
            full=self._ripe(),
        )

    def _ripe(self) -> float:
        return max(2 * self._born * self._rng.uniform(0.85, 1.2) - self.radius, self.radius)

    def _advance(self, tempo: float) -> None:
        rng = self._rng
        pressure = push_apart(self.bodies, self.links, rounds=8, squeeze=0.97)
        bodies: list[Rod] = []
        for rod, press in zip(self.bodies, pressure, strict=True):
            rod.age += 1
            growth = tempo * self._growth * rng.uniform(0.7, 1.3) * max(0.0, 1 - 0.5 * press)
            rod.half += (rod.half + rod.radius) * growth
            rod.heading += rng.normal(0, 0.012)
            rod.position = rod.position + rng.normal(0, 0.03 * self.radius, 2)
            rod.arc += rng.normal(0, 0.1 * self._curving) - 0.05 * rod.arc
            rod.waist = float(np.clip(5 * (rod.half / rod.full - 0.88), 0, 0.55))
            bodies += self._divide(rod) if rod.half >= rod.full else [rod]
        self.bodies = bodies
        kept = rng.random(len(self.links)) > self._parting * min(tempo, 2.0)
        self.links = [link for link, still in zip(self.links, kept, strict=True) if still]
        for link in self.links:  # cells grow, so the ends move outwards
            link.at_one = _tip(link.one, link.at_one)
            link.at_other = _tip(link.other, link.at_other)

    def _divide(self, mother: Rod) -> list[Rod]:
        """Two daughters, end to end; what hung on the mother's ends hangs on theirs."""
        rng = self._rng
        daughters = []
        for end in (-1, 1):
            out = np.array([[end * 0.5 * (mother.half + mother.radius), 0.0]])
            half = max(0.5 * (mother.half - mother.radius), 0.1 * mother.radius)
            look = 0.6 * mother.look + 0.4 * rng.random(8)
            heading = mother.heading + end * 0.25 * mother.arc + rng.normal(0, 0.03)
            daughter = Rod(
                id=self._new_id(), position=mother.to_frame(out)[0], heading=heading,
                radius=mother.radius, half=half, look=look, arc=0.5 * mother.arc,
                full=self._ripe(),
            )  # fmt: skip
            self._births[daughter.id] = mother.id
            daughters.append(daughter)
        behind, ahead = daughters
        for link in self.links:
            if link.one is mother:
                link.one = ahead if link.at_one[0] > 0 else behind
            if link.other is mother:
                link.other = ahead if link.at_other[0] > 0 else behind
        self.links.append(Link(behind, ahead, behind.tip(1), ahead.tip(-1)))
        return daughters

    def paint(self, patch: Patch, margin: np.ndarray) -> Drawn:
        """Thick along the axis; grains, and in some strains a bright spot at an end."""
        rod, look = patch.body, patch.body.look
        inner = np.clip(margin / np.float32(rod.radius), 0, 1)
        dome = (inner * (2 - inner)) ** self._flatness
        grain, mottle, _ = self._textures.of(patch)
        phase = dome * np.float32(0.82 + 0.3 * look[0]) * (1 + np.float32(0.05) * mottle)
        end = np.float32(rod.half * (1 if look[6] > 0.5 else -1) * 0.9)
        spot = np.hypot(patch.along - end, patch.across) / np.float32(0.35 * rod.radius)
        detail = self._spots * np.float32(look[7] > 0.6) * np.exp(-(spot**2)) + 0.03 * grain * inner
        if self._staining == 1:
            light = 0.35 * dome + 0.65 * dome * np.exp(-((4 * inner - 1) ** 2))
        elif self._staining == 2:
            beads = 0.5 - 0.5 * np.cos(4 * np.pi * patch.along / np.float32(2 * rod.reach))
            light = 0.25 * dome + 0.75 * inner**2 * beads.astype(np.float32)
        else:
            light = dome
        light = light * np.float32(0.35 + 0.65 * look[1]) * (1 + np.float32(0.1) * mottle)
        return Drawn(phase, detail.astype(np.float32), light.astype(np.float32))


def _tip(body: object, at: np.ndarray) -> np.ndarray:
    assert isinstance(body, Rod)
    return body.tip(1 if at[0] > 0 else -1)
