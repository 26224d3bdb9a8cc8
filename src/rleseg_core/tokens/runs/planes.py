"""Runs of planes on the host: what several kinds of run share."""

from __future__ import annotations

import numpy as np

from rleseg_core.tokens.records import Runs


def segments(planes: np.ndarray, line: int) -> tuple[np.ndarray, np.ndarray]:
    """Bounds (R + 1,) of the runs of anything in the joined planes, and their symbols (R,)."""
    flat = planes.reshape(-1)
    edge = flat[1:] != flat[:-1]
    edge[line - 1 :: line] = True  # where lines end, planes end too
    inner = edge.nonzero()[0]
    bounds = np.empty(inner.size + 2, np.int64)
    bounds[0], bounds[-1] = 0, flat.size
    np.add(inner, 1, out=bounds[1:-1])
    return bounds, flat[bounds[:-1]]


def split_long(runs: Runs[np.ndarray], limit: int) -> Runs[np.ndarray]:
    """Runs with those over `limit` pixels split into limit, limit, ..., remainder."""
    start, length, symbol = runs
    if not length.size or length.max() <= limit:
        return runs
    n_pieces = -(-length // limit)
    last = n_pieces.cumsum()
    done = (np.arange(last[-1]) - np.repeat(last - n_pieces, n_pieces)) * limit
    return Runs(
        np.repeat(start, n_pieces) + done,
        np.minimum(np.repeat(length, n_pieces) - done, limit),
        np.repeat(symbol, n_pieces),
    )


def by_plane(
    runs: Runs[np.ndarray], n_planes: int, n_pixels: int
) -> tuple[Runs[np.ndarray], np.ndarray]:
    """Runs of joined planes with starts counted in each plane, and the plane of each run (R,)."""
    if n_planes == 1:
        return runs, np.zeros(runs.start.size, np.int64)
    planes = np.arange(n_planes)
    first = runs.start.searchsorted(planes * n_pixels)
    plane = planes.repeat(np.diff(first, append=runs.start.size))
    return runs._replace(start=runs.start - plane * n_pixels), plane
