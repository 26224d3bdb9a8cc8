"""Stained nuclei: in clumps, dim beside bright, some in mitosis, some in pieces."""

import numpy as np

from rleseg_core.data.synthetic.bodies import Body, Oval
from rleseg_core.data.synthetic.config import CultureConfig
from rleseg_core.data.synthetic.crowding import push_apart
from rleseg_core.data.synthetic.culture import Culture, Textures
from rleseg_core.data.synthetic.painting import Drawn, Patch

_MITOSIS = 3  # frames in which a nucleus is condensed before it divides
_SHRINKING = 5  # frames in which a dying one shrinks before it falls apart
_FADING = 12  # frames in which its pieces fade


class Nuclei(Culture[Oval]):
    """Nuclei of one culture.

    A division ends the mother's id; the pieces of a dead nucleus have ids, but no mother.
    """

    radii = (8.0, 17.0)

    def __init__(self, config: CultureConfig, rng: np.random.Generator) -> None:
        super().__init__(config, rng)
        self._clumping = rng.uniform(0.1, 0.85)
        self._overlap = rng.uniform(0.86, 1.0)
        self._long = rng.uniform(1.1, 1.6)
        self._lumpy = rng.uniform(0.01, 0.05) * (2 if rng.random() < 0.2 else 1)
        self._range = np.log(rng.uniform(1.2, 8.0))  # of brightness
        self._speed = rng.uniform(0.0, 0.06)
        self._dividing = rng.uniform(0.0, 0.02)
        self._dying = rng.uniform(0.0, 0.012)
        self._chromatin = np.float32(rng.uniform(0.03, 0.22))
        self._spots = np.float32(rng.uniform(0, 0.7)) if rng.random() < 0.5 else np.float32(0)
        self._soft = np.float32(rng.uniform(0.05, 0.3))
        self._textures = Textures(rng, max(0.9, 0.13 * self.radius))
        self._clock: dict[int, int] = {}  # frames since a nucleus began to divide (> 0), die (< 0)
        self._fade: dict[int, int] = {}  # age of pieces
        wanted = self._drawn_number(2, np.pi * self.radius**2, 0.4)
        for _ in range(wanted):
            self.bodies.append(self._new(self._near_others(), rng.uniform(0.75, 1.25)))
        for body in self.bodies:
            if rng.random() < 4 * self._dying:
                self._clock[body.id] = -int(rng.integers(1, _SHRINKING))
        push_apart(self.bodies, rounds=30, squeeze=self._overlap)

    def _new(self, position: np.ndarray, size: float) -> Oval:
        rng = self._rng
        long = max(1.0, self._long + rng.normal(0, 0.15))
        radius = size * self.radius
        return Oval(
            id=self._new_id(),
            position=position,
            heading=rng.uniform(-np.pi, np.pi),
            radius=radius / np.sqrt(long),
            half=radius * np.sqrt(long),
            look=rng.random(8),
            lumps=rng.normal(0, self._lumpy, (2, 3)) / np.array([1.2, 1.4, 2.4]),
        )

    def _near_others(self) -> np.ndarray:
        rng = self._rng
        if self.bodies and rng.random() < self._clumping:
            friend = self.bodies[rng.integers(len(self.bodies))]
            angle = rng.uniform(-np.pi, np.pi)
            away = 1.9 * self.radius * np.array([np.sin(angle), np.cos(angle)])
            return np.clip(friend.position + away, 0, np.array(self.size) - 1.0)
        return self._place()

    def _advance(self, tempo: float) -> None:
        rng = self._rng
        bodies: list[Oval] = []
        for body in self.bodies:
            body.age += 1
            still = 0.2 if body.id in self._clock else 1.0
            body.position = body.position + rng.normal(0, self._speed * self.radius * still, 2)
            body.heading += rng.normal(0, 0.04)
            chance = rng.random()
            bodies += self._lived(body, chance)
        self.bodies = bodies
        push_apart(self.bodies, rounds=6, squeeze=self._overlap)
        for body in self.bodies:
            body.position = np.clip(body.position, -body.reach, np.array(self.size) + body.reach)

    def _lived(self, body: Oval, chance: float) -> list[Oval]:
        """What a nucleus is after one frame: itself, daughters, pieces or nothing."""
        if body.id in self._fade:
            self._fade[body.id] += 1
            if self._fade[body.id] < _FADING:
                return [body]
            del self._fade[body.id]
            return []
        clock = self._clock.get(body.id, 0)
        if clock > 0:
            self._clock[body.id] += 1
            body.radius *= 0.9
            return [body] if clock < _MITOSIS else self._divide(body)
        if clock < 0:
            self._clock[body.id] -= 1
            body.radius, body.half = 0.9 * body.radius, 0.84 * body.half
            body.half = max(body.half, body.radius)
            return [body] if clock > -_SHRINKING else self._fall_apart(body)
        grown = np.sqrt(body.half * body.radius) / self.radius
        if grown < 0.75 + 0.4 * body.look[6]:
            body.radius, body.half = 1.04 * body.radius, 1.04 * body.half
        if chance < self._dying:
            self._clock[body.id] = -1
        elif chance > 1 - self._dividing and body.age > 8 and len(self.bodies) < self._most():
            self._clock[body.id] = 1
        return [body]

    def _most(self) -> float:
        return 0.5 * self.size[0] * self.size[1] / (np.pi * self.radius**2)

    def _divide(self, mother: Oval) -> list[Oval]:
        """Two daughters beside the plate that the mother had become."""
        daughters = []
        for side in (-1, 1):
            at = mother.to_frame(np.array([[0.0, 1.1 * side * mother.radius]]))[0]
            daughter = self._new(at, 0.62)
            daughter.heading = mother.heading
            daughter.look[0] = mother.look[0]
            self._births[daughter.id] = mother.id
            daughters.append(daughter)
        del self._clock[mother.id]
        return daughters

    def _fall_apart(self, body: Oval) -> list[Oval]:
        """Small bright balls, each an object of its own."""
        rng = self._rng
        pieces = []
        for _ in range(rng.integers(2, 6)):
            at = body.position + rng.normal(0, 0.7 * body.radius, 2)
            piece = self._new(at, rng.uniform(0.2, 0.38))
            piece.half = piece.radius
            piece.look[0] = rng.uniform(0, 0.35)
            self._fade[piece.id] = 0
            pieces.append(piece)
        del self._clock[body.id]
        return pieces

    def brightness(self, body: Body) -> float:
        """Relative emission: 1 for the brightest, mitosis and pieces aside."""
        level = float(np.exp(-self._range * body.look[0]))
        clock = self._clock.get(body.id, 0)
        condensed = 1 + 0.35 * min(abs(clock), 3)
        faded = 1 - self._fade.get(body.id, 0) / (_FADING + 6)
        return level * condensed * faded

    def paint(self, patch: Patch, margin: np.ndarray) -> Drawn:
        """Chromatin, coarse and fine, darker nucleoli, in some cultures bright spots."""
        body, look = patch.body, patch.body.look
        inner = np.clip(margin / np.float32(body.radius), 0, 1)
        grain, mottle, dots = self._textures.of(patch)
        condensed = body.id in self._clock or body.id in self._fade
        texture = np.float32(0.4 if condensed else 1.0) * self._chromatin
        light = np.clip(inner / self._soft, 0.45, 1)
        light = light * (1 + texture * (mottle + 0.5 * grain) + self._spots * dots)
        for angle in (6.28 * look[1], 6.28 * look[2]):
            at = np.float32(0.35 * body.radius)
            far = np.hypot(
                patch.along - at * np.float32(np.cos(angle)),
                patch.across - at * np.float32(np.sin(angle)),
            )
            hole = np.exp(-((far / np.float32(0.22 * body.radius)) ** 2))
            light = light * (1 - np.float32(0.35 * look[3] * (not condensed)) * hole)
        light = np.maximum(light, 0) * self.brightness(body)
        phase = 0.5 * np.clip(inner / 0.3, 0, 1) * (1 + 0.15 * mottle)
        return Drawn(phase, np.zeros_like(light), light.astype(np.float32))

    def glow(self) -> np.ndarray:
        """Faint cytoplasm around the nuclei, which no mask shows, (Y, X) float32."""
        field = np.zeros(self.size, np.float32)
        for body in self.bodies:
            reach = int(3 * self.radius)
            row, col = (round(float(at)) for at in body.position)
            rows = slice(max(0, row - reach), min(self.size[0], row + reach + 1))
            cols = slice(max(0, col - reach), min(self.size[1], col + reach + 1))
            if rows.start >= rows.stop or cols.start >= cols.stop:
                continue
            down = np.arange(rows.start, rows.stop, dtype=np.float32)[:, None] - row
            right = np.arange(cols.start, cols.stop, dtype=np.float32)[None, :] - col
            angle = body.heading + 0.6 * (body.look[7] - 0.5)
            along = right * np.float32(np.cos(angle)) + down * np.float32(np.sin(angle))
            across = down * np.float32(np.cos(angle)) - right * np.float32(np.sin(angle))
            long = np.float32((0.8 + 0.8 * body.look[6]) * self.radius)
            wide = np.float32(0.7 * self.radius)
            cloud = np.exp(-((along / long) ** 2) - (across / wide) ** 2)
            field[rows, cols] += np.float32(body.look[5] * self.brightness(body)) * cloud
        return field
