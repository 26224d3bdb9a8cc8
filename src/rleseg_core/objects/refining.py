"""Outlines between mask pixels: where an object ends is decided by what each pixel looks like."""

import numpy as np
from scipy.spatial import KDTree

_LEAST = 0.5  # of an object's pixels that must be left; else it keeps those that it had


def refined(ids: np.ndarray, log_odds: np.ndarray, reach: float) -> np.ndarray:
    """Objects with finer outlines.

    Pixels near an outline belong to the object if they look like foreground, and to none otherwise.
    Farther inside and outside nothing changes. Where objects touch, each pixel stays with the
    object that it is in, or goes to the nearest one.

    Parameters
    ----------
    ids : (Y, X) integer
        Ids of objects, 0 = background, from masks that are coarser than the pixels.
    log_odds : (Y, X) float
        Log odds that a pixel belongs to some object.
    reach : float
        How far from an outline pixels may change, in pixels.

    Returns
    -------
    (Y, X) of the same dtype
        No object is lost: one that would keep less than half of its pixels stays as it is.
    """
    inside = ids > 0
    changing = inside != (log_odds > 0)
    if not inside.any() or inside.all() or not changing.any():
        return ids
    outline = _outline(inside)
    found = ids.copy()
    for side in (inside, ~inside):
        rows, cols = np.nonzero(changing & side)
        beyond = np.argwhere(outline & ~side)
        tree = KDTree(beyond, compact_nodes=False, balanced_tree=False)
        distances, nearest = tree.query(np.stack((rows, cols), axis=1))
        near = distances <= reach
        found[rows[near], cols[near]] = ids[tuple(beyond[nearest[near]].T)]
    before, after = np.bincount(ids.ravel()), np.bincount(found[inside], minlength=ids.max() + 1)
    lost = after < _LEAST * before
    lost[0] = False
    return np.where(lost[ids], ids, found)


def _outline(inside: np.ndarray) -> np.ndarray:
    """Pixels (Y, X) bool on either side of an edge between inside and outside."""
    outline = np.zeros_like(inside)
    down, right = inside[1:] != inside[:-1], inside[:, 1:] != inside[:, :-1]
    outline[1:] |= down
    outline[:-1] |= down
    outline[:, 1:] |= right
    outline[:, :-1] |= right
    return outline
