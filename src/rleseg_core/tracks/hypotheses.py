"""What may have become of objects: each of them goes on as one object of the next frame, or two."""

import math
from dataclasses import dataclass
from itertools import combinations
from typing import NamedTuple

import numpy as np
from scipy.optimize import Bounds, LinearConstraint, milp
from scipy.sparse import csr_array
from scipy.spatial import KDTree

from rleseg_core.tracks.motion import Objects

# chosen on frames 0 to 35 of bacteria_divisions and on yeast_phase, where many values do as well
_OVERLAP = 1.0  # 1 - IoU that lowers the affinity to 1/e
_DISTANCE = 1.5  # and distance of the centroids, in square roots of the area
_GROWTH = 0.35  # and logarithm of the ratio of areas, for large objects
_JUMP = 1.0  # the same for what is left over: masks of models may double from frame to frame
_OUTLINE = 2 * math.sqrt(
    math.pi
)  # the same for one more pixel all around, times the root of the area
_REACH = 2.0  # square roots of the area within which an object is looked for
_LEAST = 0.2  # affinity below which nothing is linked
_DIVISION = 0.1  # gain that a division must have over its daughters apart
_UNEQUAL = 0.5  # ratio of the areas of daughters below which a division becomes unlikely
_UNLIKE = 1.0  # difference of their overlaps with the object that lowers its affinity to 1/e
_MISSED = 0.7  # factor of the gain for each frame in which an object was not found
_MOST = 8  # candidates for the daughters of an object, the most alike ones


class Hypotheses(NamedTuple):
    """What may have become of objects, one hypothesis a row; those that cannot gain are left out.

    Attributes
    ----------
    source : (h,) int64
        The object.
    first : (h,) int64
        The object of the next frame that it has become.
    second : (h,) int64
        The other daughter, where it has divided; -1 where it has not.
    affinity : (h,) float64
        How alike the two sides are, 0 to 1.
    gain : (h,) float64
        What the sum is made of that chosen hypotheses maximise, above 0.
    """

    source: np.ndarray
    first: np.ndarray
    second: np.ndarray
    affinity: np.ndarray
    gain: np.ndarray

    def select(self, rows: np.ndarray) -> "Hypotheses":
        """Some of the rows."""
        return Hypotheses(*(column[rows] for column in self))

    @property
    def divides(self) -> np.ndarray:
        """Whether each is a division, (h,) bool."""
        return self.second >= 0


@dataclass(frozen=True, kw_only=True, eq=False)
class _Pairs:
    """An object and one of the next frame that is near to it, by source."""

    source: np.ndarray
    target: np.ndarray
    shared: np.ndarray  # pixels


def find_hypotheses(
    sources: Objects, targets: Objects, growth: float, *, divisions: bool, jumps: bool = False
) -> Hypotheses:
    """What may have become of objects that have been moved to where they are expected.

    Parameters
    ----------
    sources : Objects
        The objects, moved.
    targets : Objects
        Those of the next frame.
    growth : float
        Ratio of areas from one frame to the next that is usual, above 0.
    divisions : bool
        Whether objects can divide.
    jumps : bool
        Whether the area of an object can double or halve; without divisions, which look alike.

    Notes
    -----
    The affinity of an object A and what it may have become, B, is the exponential of minus
    ((1 - IoU) / 1)² + (distance / (1.5 · √area of A))² + log(area of B / area of A / growth)² /
    (0.35² + 4π / area of A); 4π / area is for one pixel more or less all around. B is one object
    or the union of two, so a division is judged as a whole: two halves of a rod overlap with it,
    lie around its centre and have its area together, while neither half would be much like it
    alone. It is less likely if the two differ a lot in area, or in how much of them lies on A.
    """
    pairs = _near(sources, targets)
    spread = _JUMP if jumps else _GROWTH
    every = np.arange(pairs.source.size)
    single = _affinities(sources, targets, pairs, every, None, growth, spread)
    one, other = _couples(pairs, single) if divisions else np.empty((2, 0), np.int64)
    double = _affinities(sources, targets, pairs, one, other, growth, spread)
    double = double * _likeness(targets, pairs, one, other)
    found = Hypotheses(
        np.concatenate([pairs.source, pairs.source[one]]),
        np.concatenate([pairs.target, pairs.target[one]]),
        np.concatenate([np.full(pairs.source.size, -1), pairs.target[other]]),
        np.concatenate([single, double]),
        # of two objects that are explained, a division gains for both
        np.concatenate([single - _LEAST, 2 * (double - _LEAST) - _DIVISION]),
    )
    weighted = found._replace(gain=found.gain * _MISSED ** sources.missed[found.source])
    return weighted.select(weighted.gain > 0)


def choose(hypotheses: Hypotheses, n_sources: int, n_targets: int) -> tuple[np.ndarray, np.ndarray]:
    """The hypotheses that gain most together, and how sure each of them is.

    Parameters
    ----------
    hypotheses : Hypotheses
        Any number of them.
    n_sources, n_targets : int
        How many objects there are on each side.

    Returns
    -------
    chosen : (m,) int64
        Rows; no object is in two of them.
    scores : (m,) float64
        0 to 1: the affinity, times the share of the gain in it and the best alternative, which is
        the best of all other hypotheses on one of its objects that are not chosen.
    """
    n = hypotheses.gain.size
    if not n:
        return np.empty(0, np.int64), np.empty(0)
    of_second = np.flatnonzero(hypotheses.divides)
    members = np.concatenate(
        [
            hypotheses.source,
            n_sources + hypotheses.first,
            n_sources + hypotheses.second[of_second],
        ]
    )
    holders = np.concatenate([np.arange(n), np.arange(n), of_second])
    shape = (n_sources + n_targets, n)
    once = LinearConstraint(csr_array((np.ones(members.size), (members, holders)), shape), ub=1)
    solved = milp(-hypotheses.gain, integrality=np.ones(n), bounds=Bounds(0, 1), constraints=once)
    is_chosen = solved.x > 0.5
    rivals = np.zeros(shape[0])
    passed = ~is_chosen[holders]
    np.maximum.at(rivals, members[passed], hypotheses.gain[holders[passed]])
    best_rival = np.zeros(n)
    np.maximum.at(best_rival, holders, rivals[members])
    chosen = np.flatnonzero(is_chosen)
    gain = hypotheses.gain[chosen]
    return chosen, hypotheses.affinity[chosen] * gain / (gain + best_rival[chosen])


def _near(sources: Objects, targets: Objects) -> _Pairs:
    """Pairs that share pixels, or whose centroids are near to each other."""
    labels = np.full(targets.shape, -1, np.int64)
    labels[targets.rows, targets.cols] = targets.index
    target, source = labels[sources.rows, sources.cols], sources.index
    both = target >= 0
    keys, shared = _counted(source[both] * len(targets) + target[both], len(sources) * len(targets))
    reach = _REACH * np.sqrt(sources.area)
    near = KDTree(targets.centroids).query_ball_point(sources.centroids, reach)
    close = [one * len(targets) + np.array(of, np.int64) for one, of in enumerate(near) if of]
    every = np.unique(np.concatenate([keys, *close]))
    counts = np.zeros(every.size, np.int64)
    counts[np.searchsorted(every, keys)] = shared
    source, target = np.divmod(every, len(targets))
    return _Pairs(source=source, target=target, shared=counts)


def _counted(keys: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray]:
    """The values that occur among keys below `n`, and how often."""
    if n > 4 * keys.size + 2**16:
        return np.unique(keys, return_counts=True)
    counts = np.bincount(keys, minlength=1)
    found = np.flatnonzero(counts)
    return found, counts[found]


def _couples(pairs: _Pairs, affinity: np.ndarray) -> np.ndarray:
    """Rows (2, d) of two pairs with one source: the candidates for its daughters."""
    order = np.lexsort((-affinity, -pairs.shared, pairs.source))
    starts = np.flatnonzero(np.diff(pairs.source[order], prepend=-1))
    couples = [
        couple
        for rows in np.split(order, starts[1:])
        for couple in combinations(rows[:_MOST].tolist(), 2)
    ]
    return np.array(couples, np.int64).reshape(-1, 2).T


def _likeness(targets: Objects, pairs: _Pairs, one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """How much two candidates look like the two daughters of one object, (d,) from 0 to 1."""
    areas = targets.area[pairs.target[one]], targets.area[pairs.target[other]]
    ratio = np.minimum(*areas) / np.maximum(*areas)
    overlap = pairs.shared[one] / areas[0] - pairs.shared[other] / areas[1]
    return np.minimum(1.0, ratio / _UNEQUAL) * np.exp(-((overlap / _UNLIKE) ** 2))


def _affinities(
    sources: Objects,
    targets: Objects,
    pairs: _Pairs,
    one: np.ndarray,
    other: np.ndarray | None,
    growth: float,
    spread: float,
) -> np.ndarray:
    """Affinity (d,) of sources with a target, or with the union of two, by rows of pairs."""
    source, target = pairs.source[one], pairs.target[one]
    area, shared = targets.area[target], pairs.shared[one]
    centroid = targets.centroids[target]
    if other is not None:
        more = targets.area[pairs.target[other]]
        weighted = centroid * area[:, None] + targets.centroids[pairs.target[other]] * more[:, None]
        area, shared = area + more, shared + pairs.shared[other]
        centroid = weighted / area[:, None]
    before = sources.area[source]
    iou = shared / (before + area - shared)
    distance = np.linalg.norm(sources.centroids[source] - centroid, axis=1)
    terms = (
        (1 - iou) / _OVERLAP,
        distance / np.sqrt(before) / _DISTANCE,
        np.log(area / before / growth) / np.hypot(spread, _OUTLINE / np.sqrt(before)),
    )
    return np.asarray(np.exp(-sum(term**2 for term in terms)))
