"""From what dense heads say of pixels to objects: fragments, joined while their affinity is high.

Pixels are first flooded from the insides of objects into fragments, each within one object if it
can be helped (a watershed). Then the two fragments with the highest mean affinity are joined, again
and again, until no pair is more likely one object than two (agglomeration by average linkage;
Bailoni et al., "GASP", CVPR 2022).
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence

import numpy as np
from scipy import ndimage
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from skimage.segmentation import watershed

from rleseg_core.affinities import pair_slices

_MOST = 8.0  # log odds of a pair count for no more: a few sure pixels must not outvote an edge
_SMOOTHING = 0.5  # of the insides of objects, in mask pixels


def partition(
    foreground: np.ndarray,
    affinities: np.ndarray,
    offsets: Sequence[tuple[int, int]],
    *,
    step: tuple[int, int] = (1, 1),
    smallest: int = 1,
) -> np.ndarray:
    """Ids of the objects of a map.

    Parameters
    ----------
    foreground : (Y, X) bool
        Pixels that belong to some object.
    affinities : (K, Y, X) float32
        Log odds that a pixel and another belong to the same object.
    offsets : sequence of (int, int)
        Rows and columns from the one to the other, in mask pixels; the neighbours are (0, -1) and
        (-1, 0).
    step : (int, int)
        Pixels of the map from one mask pixel to the next, along rows and columns.
    smallest : int
        Pixels of the smallest object; smaller ones are background.

    Returns
    -------
    (Y, X) int32
        Ids from 1 on in the order of the objects' first pixels, 0 = background.
    """
    scaled = [(rows * step[0], cols * step[1]) for rows, cols in offsets]
    fragments = _fragments(foreground, affinities, scaled, step)
    n = int(fragments.max(initial=0))
    if n == 0:
        return np.zeros(foreground.shape, np.int32)
    ids = _joined(n, *_links(fragments, n, affinities, scaled))[fragments]
    areas = np.bincount(ids.ravel())
    return renumbered(np.where(areas[ids] >= smallest, ids, 0))


def renumbered(ids: np.ndarray) -> np.ndarray:
    """Ids (Y, X) as int32 from 1 on, in the order of the objects' first pixels."""
    found, first, index = np.unique(ids, return_index=True, return_inverse=True)
    first[found == 0] = -1
    rank = np.empty(found.size, np.int32)
    rank[first.argsort()] = np.arange(found.size, dtype=np.int32) + (found[0] != 0)
    return rank[index].reshape(ids.shape)


def _fragments(
    foreground: np.ndarray,
    affinities: np.ndarray,
    offsets: Sequence[tuple[int, int]],
    step: tuple[int, int],
) -> np.ndarray:
    """Parts (Y, X) of objects, numbered from 1 on, each around a place deep within an object."""
    inside = np.zeros(foreground.shape, np.float32)
    n_pairs = np.zeros(foreground.shape, np.float32)
    near = [(offsets.index(beside), beside) for beside in ((0, -step[1]), (-step[0], 0))]
    for k, offset in near:
        here, there = pair_slices(foreground.shape, offset)
        both = foreground[here] & foreground[there]
        same = both / (1 + np.exp(-affinities[k][here]))
        for side in (here, there):
            inside[side] += same
            n_pairs[side] += 1
    inside /= np.maximum(n_pairs, 1)
    smooth = ndimage.gaussian_filter(inside, tuple(_SMOOTHING * side for side in step))
    peaks = foreground & (smooth >= ndimage.maximum_filter(smooth, 3))
    markers, _ = ndimage.label(peaks, structure=np.ones((3, 3)))
    basins = watershed(-smooth, markers, mask=foreground)
    return _pieces(basins, [(affinities[k], offset) for k, offset in near])


def _pieces(
    basins: np.ndarray, affinities: Sequence[tuple[np.ndarray, tuple[int, int]]]
) -> np.ndarray:
    """Basins (Y, X) cut where pixels side by side are more likely two objects than one.

    The affinities (Y, X) are those of offsets one mask pixel long, which several pixels may be.
    """
    inside = basins > 0
    n_inside = int(np.count_nonzero(inside))
    index = np.zeros(basins.shape, np.int32)
    index[inside] = np.arange(n_inside, dtype=np.int32)
    ends: list[np.ndarray] = []
    for values, (rows, cols) in affinities:
        axis, step = (0, -rows) if rows else (1, -cols)
        between = np.arange(step // 2, basins.shape[axis] + step // 2)  # a pair around each edge
        values = values.take(between, axis, mode="clip")
        here, there = pair_slices(basins.shape, (np.sign(rows), np.sign(cols)))
        joined = (basins[here] == basins[there]) & inside[here] & (values[here] > 0)
        ends.append(np.stack((index[here][joined], index[there][joined])))
    first, second = np.concatenate(ends, axis=1)
    graph = coo_array((np.ones(first.size, np.bool_), (first, second)), shape=2 * (n_inside,))
    _, pieces = connected_components(graph, directed=False)
    found = np.zeros(basins.shape, np.int32)
    found[inside] = pieces + 1
    return renumbered(found)


def _links(
    fragments: np.ndarray, n: int, affinities: np.ndarray, offsets: Sequence[tuple[int, int]]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pairs of fragments (E, 2) that the offsets reach, the sums of their log odds, and counts."""
    keys, values = [], []
    for k, offset in enumerate(offsets):
        here, there = pair_slices(fragments.shape, offset)
        one, other = fragments[here], fragments[there]
        between = (one != other) & (one > 0) & (other > 0)
        low = np.minimum(one[between], other[between]).astype(np.int64)
        keys.append(low * (n + 1) + np.maximum(one[between], other[between]))
        values.append(np.clip(affinities[k][here][between], -_MOST, _MOST))
    pairs, index = np.unique(np.concatenate(keys), return_inverse=True)
    total = np.bincount(index, np.concatenate(values), len(pairs))
    counts = np.bincount(index, minlength=len(pairs))
    return np.stack(np.divmod(pairs, n + 1), axis=1), total, counts


def _joined(n: int, pairs: np.ndarray, total: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """The object (n + 1,) of each fragment: 0 for 0, else the number of one of its fragments."""
    links: list[dict[int, tuple[float, int]]] = [{} for _ in range(n + 1)]
    queue: list[tuple[float, int, int, tuple[float, int]]] = []
    # fragments that no chain of positive links joins now can have none later: means lie between
    positive = total > 0
    graph = coo_array((positive[positive], tuple(pairs[positive].T)), shape=(n + 1, n + 1))
    _, chain = connected_components(graph, directed=False)
    linked = chain[pairs[:, 0]] == chain[pairs[:, 1]]
    pairs, total, counts = pairs[linked], total[linked], counts[linked]

    def link(a: int, b: int, summed: tuple[float, int]) -> None:
        links[a][b] = links[b][a] = summed
        if summed[0] > 0:
            heapq.heappush(queue, (-summed[0] / summed[1], a, b, summed))

    for (a, b), value, count in zip(pairs.tolist(), total.tolist(), counts.tolist(), strict=True):
        link(a, b, (value, count))
    joined = list(range(n + 1))
    while queue:
        _, a, b, summed = heapq.heappop(queue)
        if links[a].get(b) != summed:
            continue  # one of the two has been joined with others since
        if len(links[a]) < len(links[b]):
            a, b = b, a
        joined[b] = a
        del links[a][b]
        for other, (value, count) in links[b].items():
            if other != a:
                del links[other][b]
                before = links[a].get(other, (0.0, 0))
                link(a, other, (value + before[0], count + before[1]))
        links[b] = {}
    for fragment in range(1, n + 1):
        root = fragment
        while joined[root] != root:
            root = joined[root]
        joined[fragment] = root
    return np.array(joined)
