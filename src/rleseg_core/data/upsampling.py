"""Ids of many objects on a finer grid, with smooth outlines."""

from dataclasses import dataclass
from typing import Self

import numpy as np

from rleseg_core.data.labels import pixel_index

_LITTLE = 1e-5  # more than rounding, less than any other difference of interpolated values


@dataclass(frozen=True, eq=False)
class FinePixels:
    """Where the pixels of a finer grid lie on the grid of a mask, along one axis; (n,) each.

    Parameters
    ----------
    before : (n,) intp
        The mask pixel before each; the one after it is the next.
    share : (n,) float64
        How much the one after it counts, 0 to 1.
    nearest : (n,) intp
        The mask pixel that each lies in.
    """

    before: np.ndarray
    share: np.ndarray
    nearest: np.ndarray

    @classmethod
    def at(cls, positions: np.ndarray, size: int, patch: int) -> Self:
        """The pixels at some positions of a patch.

        Parameters
        ----------
        positions : (n,) float
            In patch pixels; 0 is the centre of the first.
        size : int
            Mask pixels of the patch.
        patch : int
            Patch pixels, at least as many.
        """
        samples = pixel_index(size, patch).astype(float)  # which `subsample_labels` takes
        nearest = np.floor((positions + 0.5) * size / patch).astype(np.intp)
        before = np.searchsorted(samples, positions, side="right") - 1
        before = np.clip(before, 0, max(size - 2, 0))
        after = samples[np.minimum(before + 1, size - 1)]
        gap = np.maximum(after - samples[before], 1)
        share = np.clip((positions - samples[before]) / gap, 0, 1) if size > 1 else 0 * positions
        return cls(before, share, np.clip(nearest, 0, size - 1))


def upsample_ids(ids: np.ndarray, rows: FinePixels, cols: FinePixels) -> np.ndarray:
    """Ids of objects on a finer grid, with smooth outlines and one pass for all of them.

    Whether there is an object is interpolated linearly between mask pixels, as 'smooth' of
    `upsample_labels` does for a single class; where there is one, it is the object that weighs
    most. So the foreground does not depend on how many objects it consists of, objects that touch
    do so on the finer grid as well, and none goes where another one is nearer.

    Parameters
    ----------
    ids : (N, S, S) integer
        Ids in mask pixels, 0 = background; any number of leading axes.
    rows, cols : FinePixels
        Where the rows and columns of the result lie on the grid of the mask.

    Returns
    -------
    (N, rows, cols) of the same dtype
        Ids on the finer grid.
    """
    result = ids[..., rows.nearest[:, None], cols.nearest]
    mixed = _mixed(ids)[..., rows.before[:, None], cols.before]
    *lead, row, col = mixed.nonzero()
    if not row.size:
        return result
    nearest = result[mixed]
    corners, weights = [], []
    for down in (0, 1):
        for right in (0, 1):
            corners.append(ids[*lead, rows.before[row] + down, cols.before[col] + right])
            shares = rows.share[row] if down else 1 - rows.share[row]
            weights.append(shares * (cols.share[col] if right else 1 - cols.share[col]))
    inside = sum(w * (corner > 0) for w, corner in zip(weights, corners, strict=True))
    best, highest = np.zeros_like(nearest), np.zeros(row.size)
    for label in corners:
        value = sum(w * (corner == label) for w, corner in zip(weights, corners, strict=True))
        value += _LITTLE * (label == nearest)
        better = (label > 0) & (value > highest)
        np.copyto(best, label, where=better)
        np.copyto(highest, value, where=better)
    result[mixed] = np.where(inside + _LITTLE * (nearest > 0) > 0.5 + _LITTLE / 2, best, 0)
    return result


def _mixed(ids: np.ndarray) -> np.ndarray:
    """Whether each mask pixel (..., S, S) and the next ones below and right of it differ."""
    padded = np.pad(ids, [(0, 0)] * (ids.ndim - 2) + [(0, 1), (0, 1)], mode="edge")
    own = padded[..., :-1, :-1]
    mixed = padded[..., 1:, :-1] != own
    mixed |= padded[..., :-1, 1:] != own
    mixed |= padded[..., 1:, 1:] != own
    return mixed
