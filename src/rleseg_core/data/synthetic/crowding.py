"""Bodies that push each other apart, turn as they do, and hang together where they are linked."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from rleseg_core.data.synthetic.bodies import Body


@dataclass(slots=True)
class Link:
    """Two bodies that hang together: a point of each, (2,) of its own frame, stays at the other."""

    one: Body
    other: Body
    at_one: np.ndarray
    at_other: np.ndarray


def push_apart(
    bodies: Sequence[Body],
    links: Sequence[Link] = (),
    *,
    rounds: int = 8,
    cling: float = 0.0,
    squeeze: float = 1.0,
) -> np.ndarray:
    """Move and turn bodies, each rigid, until they hardly overlap.

    Parameters
    ----------
    bodies : sequence of Body
        Their positions and headings change.
    links : sequence of Link
        Points of two bodies that are drawn together.
    rounds : int
        How often all contacts are looked at.
    cling : float
        Share of a small gap by which neighbours draw near in each round.
    squeeze : float
        Radius that counts for neighbours, relative to the true one; below 1 bodies overlap.

    Returns
    -------
    (n,) float64
        How much each still overlaps with others, in its radii.
    """
    if not bodies:
        return np.zeros(0)
    discs = [body.discs() for body in bodies]
    owner = np.repeat(np.arange(len(bodies)), [len(each) for each in discs])
    own = np.concatenate(discs)
    radii = squeeze * own[:, 2]
    positions = np.stack([body.position for body in bodies])
    headings = np.array([body.heading for body in bodies])
    sizes = np.array([body.radius for body in bodies])
    hung = _Hung(bodies, links)
    pressure: np.ndarray = np.zeros(len(bodies))
    for _ in range(rounds):
        arms = _turned(own[:, :2], headings[owner])
        one, other, apart, overlap = _contacts(positions[owner] + arms, radii, owner, cling)
        force = 0.5 * overlap[:, None] * apart
        at = np.concatenate([owner[one], owner[other]])
        lever = np.concatenate([arms[one], arms[other]])
        force = np.concatenate([force, -force])
        pressure = np.bincount(owner[one], np.maximum(overlap, 0), len(bodies))
        pressure += np.bincount(owner[other], np.maximum(overlap, 0), len(bodies))
        if links:
            more_at, more_lever, more_force = hung.forces(positions, headings)
            at = np.concatenate([at, more_at])
            lever = np.concatenate([lever, more_lever])
            force = np.concatenate([force, more_force])
        n_contacts = np.maximum(np.bincount(at, minlength=len(bodies)), 1)
        for axis in range(2):
            moved = 1.2 * np.bincount(at, force[:, axis], len(bodies)) / n_contacts
            positions[:, axis] += np.clip(moved, -0.5 * sizes, 0.5 * sizes)
        torque = force[:, 0] * lever[:, 1] - force[:, 1] * lever[:, 0]
        inertia = np.bincount(at, (lever**2).sum(axis=1), len(bodies)) + sizes**2 * n_contacts
        headings += np.clip(np.bincount(at, torque, len(bodies)) / inertia, -0.15, 0.15)
    for body, position, heading in zip(bodies, positions, headings, strict=True):
        body.position, body.heading = position, float(heading)
    return pressure / sizes


def _turned(points: np.ndarray, headings: np.ndarray) -> np.ndarray:
    cosine, sine = np.cos(headings), np.sin(headings)
    return np.stack(
        [
            points[:, 0] * sine + points[:, 1] * cosine,
            points[:, 0] * cosine - points[:, 1] * sine,
        ],
        axis=1,
    )


def _contacts(
    points: np.ndarray, radii: np.ndarray, owner: np.ndarray, cling: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Pairs of near discs of different bodies, the direction between them, and their overlap."""
    from scipy.spatial import cKDTree  # takes 0.1 s, which all that import this package would pay

    near = 2 * radii.max() * (1.3 if cling else 1.0)
    pairs = cKDTree(points).query_pairs(near, output_type="ndarray")
    pairs = pairs[np.lexsort((pairs[:, 1], pairs[:, 0]))]  # sums must not depend on the tree
    one, other = pairs[:, 0], pairs[:, 1]
    apart = points[one] - points[other]
    distance = np.sqrt((apart**2).sum(axis=1)) + 1e-6
    overlap = radii[one] + radii[other] - distance
    if cling:
        clings = np.where(-overlap < 0.6 * radii[one], cling * overlap, 0.0)
        overlap = np.where(overlap > 0, overlap, clings)
    kept = (owner[one] != owner[other]) & (overlap != 0 if cling else overlap > 0)
    return one[kept], other[kept], (apart / distance[:, None])[kept], overlap[kept]


class _Hung:
    """Forces of links."""

    def __init__(self, bodies: Sequence[Body], links: Sequence[Link]) -> None:
        index = {id(body): k for k, body in enumerate(bodies)}
        self._one = np.array([index[id(link.one)] for link in links], dtype=np.intp)
        self._other = np.array([index[id(link.other)] for link in links], dtype=np.intp)
        self._at_one = np.array([link.at_one for link in links]).reshape(-1, 2)
        self._at_other = np.array([link.at_other for link in links]).reshape(-1, 2)

    def forces(
        self, positions: np.ndarray, headings: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Body, lever and force of both ends of all links."""
        lever_one = _turned(self._at_one, headings[self._one])
        lever_other = _turned(self._at_other, headings[self._other])
        gap = positions[self._other] + lever_other - positions[self._one] - lever_one
        pull = 0.5 * gap
        return (
            np.concatenate([self._one, self._other]),
            np.concatenate([lever_one, lever_other]),
            np.concatenate([pull, -pull]),
        )
