"""Shapes of cells other than the crawling ones: how deep a pixel lies inside of each."""

from dataclasses import dataclass, field

import numpy as np


@dataclass(slots=True)
class Body:
    """A cell, or a nucleus, of one frame; lengths in source pixels.

    Its own frame has its heading as first axis (along) and the normal of it as second (across).

    Parameters
    ----------
    id : int
        Names it in all frames.
    position : (2,) float64
        Row and column of its centre.
    heading : float
        Angle of its long axis to the columns, radians.
    radius : float
        Half its width.
    half : float
        Half its length, without the round ends if it is a rod.
    look : (8,) float64
        Fixed uniform numbers that its appearance is derived from.
    """

    id: int
    position: np.ndarray
    heading: float
    radius: float
    half: float
    look: np.ndarray = field(repr=False)
    age: int = 0

    @property
    def reach(self) -> float:
        """Distance from the centre that no point of it exceeds."""
        return self.half + self.radius

    @property
    def area(self) -> float:
        """About its area, square pixels."""
        return float(np.pi * self.radius**2 + 4 * self.radius * self.half)

    def to_frame(self, points: np.ndarray) -> np.ndarray:
        """Rows and columns of points (n, 2) of its own frame."""
        cosine, sine = np.cos(self.heading), np.sin(self.heading)
        rows = points[:, 0] * sine + points[:, 1] * cosine
        cols = points[:, 0] * cosine - points[:, 1] * sine
        return self.position + np.stack([rows, cols], axis=1)

    def discs(self) -> np.ndarray:
        """Discs (n, 3) that cover it for its neighbours: along, across, radius, in its frame."""
        return np.array([[0.0, 0.0, self.radius]])

    def depth(self, along: np.ndarray, across: np.ndarray) -> np.ndarray:
        """How deep points of its own frame lie inside: 0 on the outline, negative outside."""
        raise NotImplementedError


@dataclass(slots=True)
class Rod(Body):
    """A capsule along an arc, with a waist before it divides."""

    arc: float = 0.0  # curvature times length: the angle between the ends, radians
    waist: float = 0.0  # share of the radius that is missing half-way
    full: float = 0.0  # half length at which it divides

    def spine(self) -> np.ndarray:
        """Nodes (n, 3) of the spine: along, across, radius, in its own frame."""
        n_sides = max(2, int(np.ceil(self.half / (1.5 * self.radius))))
        side = np.linspace(0.4 * self.radius, max(self.half, 0.5 * self.radius), n_sides)
        along = np.concatenate([-side[::-1], [0.0], side])
        across = self.arc * (along**2 - self.half**2 / 3) / (4 * self.half + self.radius)
        width = np.full(len(along), self.radius)
        width[n_sides] *= 1 - self.waist
        return np.stack([along, across, width], axis=1)

    def tip(self, end: int) -> np.ndarray:
        """The end of it that lies ahead (1) or behind (-1), in its own frame, (2,)."""
        tip = self.spine()[0 if end < 0 else -1, :2]
        tip[0] += end * 0.97 * self.radius
        return tip

    def discs(self) -> np.ndarray:
        """Discs (n, 3) that cover it."""
        nodes = self.spine()
        steps = max(2, int(np.ceil(2 * self.half / self.radius)) + 1)
        along = np.linspace(nodes[0, 0], nodes[-1, 0], steps)
        across = np.interp(along, nodes[:, 0], nodes[:, 1])
        return np.stack([along, across, np.full(steps, self.radius)], axis=1)

    def depth(self, along: np.ndarray, across: np.ndarray) -> np.ndarray:
        """How deep points lie inside, pixels."""
        return cones(along, across, self.spine())


@dataclass(slots=True)
class Oval(Body):
    """An ellipse; harmonics of its outline make it lumpy. `half` is half its long axis."""

    lumps: np.ndarray = field(default_factory=lambda: np.zeros((2, 3)), repr=False)

    @property
    def reach(self) -> float:
        """Distance from the centre that no point of it exceeds."""
        return 1.2 * max(self.half, self.radius)

    @property
    def area(self) -> float:
        """Area, square pixels."""
        return float(np.pi * self.radius * self.half)

    def surface(self, angle: float) -> np.ndarray:
        """Point of its outline in a direction of its own frame, (2,)."""
        return np.array([self.half * np.cos(angle), self.radius * np.sin(angle)])

    def discs(self) -> np.ndarray:
        """Discs (n, 3) that cover it."""
        beyond = max(0.0, self.half - self.radius)
        if beyond < 0.1 * self.radius:
            return np.array([[0.0, 0.0, self.radius]])
        small = 0.85 * self.radius
        ends = self.half - small
        return np.array([[0.0, 0.0, self.radius], [ends, 0.0, small], [-ends, 0.0, small]])

    def depth(self, along: np.ndarray, across: np.ndarray) -> np.ndarray:
        """How deep points lie inside, pixels."""
        far = np.hypot(along / np.float32(self.half), across / np.float32(self.radius))
        if self.lumps.any():
            angle = np.arctan2(across, along)
            for order, (real, imaginary) in enumerate(self.lumps.T, start=2):
                far = far / (
                    1
                    + np.float32(real) * np.cos(order * angle)
                    + np.float32(imaginary) * np.sin(order * angle)
                )
        return (1 - far) * np.float32(self.radius)


@dataclass(slots=True)
class Spread(Body):
    """An adherent cell: a flat middle and tapering arms that grow and shrink."""

    arms: np.ndarray = field(default_factory=lambda: np.zeros((0, 5)), repr=False)
    # (n, 5) each: angle in its own frame, length, width at the base, width at the tip, bow
    roundness: float = 0.0  # 1 while it divides: a ball

    @property
    def reach(self) -> float:
        """Distance from the centre that no point of it exceeds."""
        longest = float(self.arms[:, 1].max()) if len(self.arms) else 0.0
        return max(1.6 * self.radius + self.half, (1 - self.roundness) * longest) + 3.0

    def branches(self) -> list[np.ndarray]:
        """Nodes (n, 3) of the middle and of each arm: along, across, radius."""
        own = 1 - self.roundness
        middle = np.array([[-self.half * own, 0, self.radius], [self.half * own, 0, self.radius]])
        found = [middle]
        for angle, length, base, tip, bow in self.arms:
            if own * length < self.radius:
                continue
            way = np.array([0.0, 0.5, 1.0])
            out = way * own * length
            aside = bow * out * (1 - way)
            along = out * np.cos(angle) - aside * np.sin(angle)
            across = out * np.sin(angle) + aside * np.cos(angle)
            width = np.array([base, 0.45 * base + 0.35 * tip, tip]) * (0.4 + 0.6 * own)
            found.append(np.stack([along, across, width], axis=1))
        return found

    def discs(self) -> np.ndarray:
        """Discs (n, 3) that cover it."""
        nodes = [self.branches()[0]]
        nodes += [arm[1:2] for arm in self.branches()[1:]]
        return np.concatenate(nodes)

    def depth(self, along: np.ndarray, across: np.ndarray) -> np.ndarray:
        """How deep points lie inside, pixels."""
        sharp = np.float32(4.5 / self.radius)  # the smaller, the wider the webs between arms
        total = np.zeros(np.broadcast_shapes(along.shape, across.shape), np.float32)
        for nodes in self.branches():
            total += np.exp(np.clip(sharp * cones(along, across, nodes), -60, 60))
        return np.log(np.maximum(total, np.float32(1e-20))) / sharp


def cones(along: np.ndarray, across: np.ndarray, nodes: np.ndarray) -> np.ndarray:
    """Depth inside a chain of rounded cones.

    Parameters
    ----------
    along, across : (rows, cols) float32
        Points, pixels.
    nodes : (n, 3)
        Along, across and radius of each joint, n at least 2.

    Returns
    -------
    (rows, cols) float32
        Pixels; 0 on the outline, negative outside.
    """
    best: np.ndarray | None = None
    for (a0, c0, r0), (a1, c1, r1) in zip(
        nodes[:-1].astype(np.float32), nodes[1:].astype(np.float32), strict=True
    ):
        da, dc = a1 - a0, c1 - c0
        ahead, beside = along - a0, across - c0
        way = np.clip((ahead * da + beside * dc) / (da * da + dc * dc + np.float32(1e-6)), 0, 1)
        inside = r0 + way * (r1 - r0) - np.hypot(ahead - way * da, beside - way * dc)
        best = inside if best is None else np.maximum(best, inside)
    assert best is not None
    return best
