"""Exact outlines of objects: polygons along the edges of their pixels."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class Polygon:
    """A connected piece of an object: its boundary, and its holes.

    Parameters
    ----------
    outer : (K, 2) int64
        Corners (x, y) of the boundary, without the first one again. The pixel (row, col) covers the
        square from (col, row) to (col + 1, row + 1). Shoelace area is positive: clockwise as a
        picture shows it, with y downwards; counterclockwise where y goes upwards, as GeoJSON has
        it.
    holes : tuple of (K, 2) int64
        Corners of the holes, in the other direction.
    """

    outer: np.ndarray
    holes: tuple[np.ndarray, ...] = ()

    @property
    def rings(self) -> tuple[np.ndarray, ...]:
        """The boundary, then the holes."""
        return (self.outer, *self.holes)


def outlines(ids: np.ndarray) -> dict[int, list[Polygon]]:
    """Outlines of all objects of a frame.

    Parameters
    ----------
    ids : (Y, X) integer
        Ids of objects, 0 = background.

    Returns
    -------
    dict of int to list of Polygon
        By id, ascending: a polygon for each connected piece, in the order of their first pixels.

    Notes
    -----
    Outlines are exact: a pixel belongs to an object if and only if its centre lies inside. Pieces
    are connected by the edges of pixels; where two of them touch at a corner, both have it. Rings
    are simple, and two rings of a polygon touch at single corners at most, so that the polygons are
    valid by the standard of Simple Features, which GeoJSON follows.
    """
    from skimage.measure import label

    # a margin, so that every pixel has neighbours
    pieces = np.pad(label(ids, background=0, connectivity=1), 1).astype(np.int64, copy=False)
    keys, following = _edges(pieces)
    corners = _ends(keys, pieces.shape[1])
    turns = ((keys & 3) != (keys[following] & 3)).tolist()
    piece_of, steps, ends = pieces.ravel()[keys >> 2].tolist(), following.tolist(), corners.tolist()
    rings: dict[int, list[np.ndarray]] = {}
    first_pixel: dict[int, int] = {}
    done = bytearray(len(steps))
    for start in range(len(steps)):
        if done[start]:
            continue
        path, edge = [], start
        while not done[edge]:
            done[edge] = 1
            if turns[edge]:
                path.append(ends[edge])
            edge = steps[edge]
        piece = piece_of[start]
        first_pixel.setdefault(piece, int(keys[start]) >> 2)
        rings.setdefault(piece, []).extend(
            _points(ring, pieces.shape[1]) for ring in _simple_rings(path)
        )
    found: dict[int, list[Polygon]] = {}
    for piece, pixel in first_pixel.items():
        row, col = divmod(pixel, pieces.shape[1])
        found.setdefault(int(ids[row - 1, col - 1]), []).append(_polygon(rings[piece]))
    return dict(sorted(found.items()))


def signed_area(ring: np.ndarray) -> float:
    """Shoelace area of a ring (K, 2) of corners (x, y), in pixels; below 0 for a hole."""
    x, y = ring[:, 0], ring[:, 1]
    return float(x @ np.roll(y, -1) - y @ np.roll(x, -1)) / 2


def _edges(pieces: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The edges of pixels at which pieces end, and which of them follows each.

    Parameters
    ----------
    pieces : (Y, X) int64
        Ids of pieces, 0 in a margin of one pixel.

    Returns
    -------
    (E,) int64, (E,) int64
        Ascending keys, four times the index of a pixel plus 0, 1, 2 or 3 for its upper, right,
        lower or left edge, and the position of the next edge of the boundary: clockwise, pieces
        that touch at a corner kept apart.
    """
    flat, n_cols = pieces.ravel(), pieces.shape[1]
    ahead, outside = (1, n_cols, -1, -n_cols), (-n_cols, 1, n_cols, -1)
    shifts = ((-1, 0), (0, 1), (1, 0), (0, -1))
    keys, following = [], []
    for side in range(4):
        neighbours = np.roll(pieces, (-shifts[side][0], -shifts[side][1]), (0, 1))
        pixels = np.flatnonzero((pieces != 0) & (pieces != neighbours))
        own = flat[pixels]
        front = pixels + ahead[side]
        beside = front + outside[side]
        straight = flat[front] == own
        left = straight & (flat[beside] == own)
        follows = 4 * pixels + (side + 1) % 4
        follows = np.where(straight, 4 * front + side, follows)
        keys.append(4 * pixels + side)
        following.append(np.where(left, 4 * beside + (side - 1) % 4, follows))
    every = np.concatenate(keys)
    order = np.argsort(every)
    every = every[order]
    return every, np.searchsorted(every, np.concatenate(following)[order])


def _ends(keys: np.ndarray, n_cols: int) -> np.ndarray:
    """The corner (E,) at which each edge ends, as the index of the pixel below and right of it."""
    return (keys >> 2) + np.array((1, n_cols + 1, n_cols, 0))[keys & 3]


def _simple_rings(path: list[int]) -> list[list[int]]:
    """A closed path of corners, cut into rings that visit no corner twice."""
    rings: list[list[int]] = []
    ring: list[int] = []
    position: dict[int, int] = {}
    for corner in path:
        if corner in position:
            since = position[corner]
            rings.append(ring[since:])
            for other in ring[since + 1 :]:
                del position[other]
            del ring[since + 1 :]
        else:
            position[corner] = len(ring)
            ring.append(corner)
    return [*rings, ring]


def _points(ring: list[int], n_cols: int) -> np.ndarray:
    """Corners (K, 2) as (x, y), the margin taken off."""
    rows, cols = np.divmod(np.array(ring, np.int64), n_cols)
    return np.stack([cols - 1, rows - 1], axis=1)


def _polygon(rings: list[np.ndarray]) -> Polygon:
    """The polygon of a connected piece, which has exactly one outer ring."""
    outer = [ring for ring in rings if signed_area(ring) > 0]
    assert len(outer) == 1
    return Polygon(outer[0], tuple(ring for ring in rings if signed_area(ring) < 0))
