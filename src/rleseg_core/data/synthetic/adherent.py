"""Adherent cells: thin, spindly or spread, with arms that grow and shrink, and that touch."""

import numpy as np

from rleseg_core.data.synthetic.bodies import Spread
from rleseg_core.data.synthetic.config import CultureConfig
from rleseg_core.data.synthetic.crowding import push_apart
from rleseg_core.data.synthetic.culture import Culture, Textures
from rleseg_core.data.synthetic.painting import Drawn, Patch

_ROUNDING = 4  # frames in which a cell is a ball before it divides


class Adherent(Culture[Spread]):
    """Cells of one line, from spindles with two arms to flat ones with many."""

    radii = (7.5, 15.0)  # of the middle; with its arms a cell is three to eight times as long

    def __init__(self, config: CultureConfig, rng: np.random.Generator) -> None:
        super().__init__(config, rng)
        self._spindles = rng.uniform(0.1, 0.9)  # share of cells with two arms
        self._arm = rng.uniform(2.6, 4.6)  # typical length of an arm, in radii of the middle
        self._speed = rng.uniform(0.01, 0.12)
        self._dividing = rng.uniform(0.0, 0.012)
        self._clumping = rng.uniform(0.2, 0.8)
        self._relief = np.float32(rng.uniform(0.3, 1.0))
        self._grain = np.float32(rng.uniform(0.15, 0.6))
        self._granules = np.float32(rng.uniform(0.0, 0.9))
        self._textures = Textures(rng, max(0.8, 0.11 * self.radius))
        self._clock: dict[int, int] = {}
        self._goals: dict[int, np.ndarray] = {}  # lengths to which arms grow
        wanted = self._drawn_number(2, 9 * self.radius**2, 0.6)
        for _ in range(wanted):
            body = self._new(self._near_others())
            body.roundness = float(rng.random() < 0.06)
            self.bodies.append(body)
        push_apart(self.bodies, rounds=15, squeeze=0.9)

    def _new(self, position: np.ndarray) -> Spread:
        rng = self._rng
        radius = self.radius * rng.uniform(0.7, 1.2)
        spindle = rng.random() < self._spindles
        if spindle:
            angles = np.array([0.0, np.pi]) + rng.normal(0, 0.2, 2)
            radius *= 0.6
        else:
            poles = np.array([0.0, np.pi, 0.0, np.pi])[: rng.integers(2, 5)]
            sides = rng.uniform(-np.pi, np.pi, rng.integers(0, 3))
            angles = np.concatenate([poles + rng.normal(0, 0.55, len(poles)), sides])
        n_arms = len(angles)
        lengths = radius * self._arm * rng.uniform(0.3, 1.4, n_arms) * (1.9 if spindle else 0.8)
        base = radius * rng.uniform(0.55, 0.95, n_arms)
        tip = np.maximum(0.9, radius * rng.uniform(0.04, 0.2, n_arms))
        arms = np.stack([angles, lengths, base, tip, rng.normal(0, 0.25, n_arms)], axis=1)
        body = Spread(
            id=self._new_id(),
            position=position,
            heading=rng.uniform(-np.pi, np.pi),
            radius=radius,
            half=radius * (rng.uniform(0.5, 1.3) if spindle else rng.uniform(0.2, 1.1)),
            look=rng.random(8),
            arms=arms,
        )
        self._goals[body.id] = lengths.copy()
        return body

    def _near_others(self) -> np.ndarray:
        rng = self._rng
        if self.bodies and rng.random() < self._clumping:
            friend = self.bodies[rng.integers(len(self.bodies))]
            angle = rng.uniform(-np.pi, np.pi)
            away = 3 * self.radius * np.array([np.sin(angle), np.cos(angle)])
            return np.clip(friend.position + away, 0, np.array(self.size) - 1.0)
        return self._place()

    def _advance(self, tempo: float) -> None:
        rng = self._rng
        bodies: list[Spread] = []
        for body in self.bodies:
            body.age += 1
            own = 1 - body.roundness
            ahead = np.array([np.sin(body.heading), np.cos(body.heading)])
            sign = 1 if body.look[7] > 0.5 else -1
            step = self._speed * self.radius * own
            body.position = body.position + sign * step * ahead + rng.normal(0, 0.5 * step, 2)
            body.heading += rng.normal(0, 0.05) * own
            goals = self._goals[body.id]
            changed = rng.random(len(goals)) < 0.08
            fresh = body.radius * self._arm * rng.uniform(0.2, 1.4, len(goals))
            goals[changed] = fresh[changed]
            body.arms[:, 1] += 0.2 * (goals - body.arms[:, 1])
            body.arms[:, 0] += rng.normal(0, 0.02, len(goals))
            chance = rng.random()
            bodies += self._lived(body, chance)
        self.bodies = bodies
        push_apart(self.bodies, rounds=5, squeeze=0.9)
        for body in self.bodies:
            inside = np.clip(body.position, 0, np.array(self.size) - 1.0)
            if (inside != body.position).any():
                body.heading += np.pi
            body.position = inside

    def _lived(self, body: Spread, chance: float) -> list[Spread]:
        """A cell after one frame: itself, or its daughters."""
        if body.id in self._clock:
            self._clock[body.id] += 1
            body.roundness += 0.5 * (1 - body.roundness)
            return [body] if self._clock[body.id] <= _ROUNDING else self._divide(body)
        body.roundness *= 0.75
        few = len(self.bodies) < 0.06 * self.size[0] * self.size[1] / self.radius**2
        if chance < self._dividing and body.age > 10 and few:
            self._clock[body.id] = 0
        return [body]

    def _divide(self, mother: Spread) -> list[Spread]:
        daughters = []
        for side in (-1, 1):
            at = mother.to_frame(np.array([[0.9 * side * mother.radius, 0.0]]))[0]
            daughter = self._new(at)
            daughter.radius = max(0.7 * mother.radius, 0.6 * self.radius)
            daughter.roundness = 0.95
            self._births[daughter.id] = mother.id
            daughters.append(daughter)
        del self._clock[mother.id], self._goals[mother.id]
        return daughters

    def paint(self, patch: Patch, margin: np.ndarray) -> Drawn:
        """A flat sheet that rises to the nucleus, with grains; a bright ball while it divides."""
        body, look = patch.body, patch.body.look
        assert isinstance(body, Spread)
        edge = np.clip(margin / np.float32(1.5), 0, 1)
        inner = np.clip(margin / np.float32(body.radius), 0, 1)
        grain, mottle, dots = self._textures.of(patch)
        nucleus = np.hypot(patch.along / np.float32(1.3), patch.across)
        nucleus = np.exp(-((nucleus / np.float32(0.6 * body.radius)) ** 4))
        ball = np.float32(body.roundness)
        flat = np.float32(0.35 + 0.55 * look[0])
        phase = edge * (flat + self._relief * np.float32(0.5) * inner) + 0.15 * nucleus
        phase = (1 - ball) * phase + ball * 1.7 * np.sqrt(inner)
        tone = np.float32(0.4 * (look[1] - 0.45))
        rough = self._grain * (0.8 * mottle + 0.6 * grain) - self._granules * dots * (1 - nucleus)
        rough = rough * np.float32(0.4 + 1.4 * look[6] ** 2)
        detail = edge * ((1 - ball) * (tone + rough) + ball * (2.6 * inner + 0.3 * mottle))
        light = edge * (0.25 + 0.75 * inner) * (1 + 0.2 * mottle) * np.float32(0.3 + 0.7 * look[2])
        return Drawn(*(part.astype(np.float32) for part in (phase, detail, light)))
