"""Pixels that hold no image: not finite, or filled in with one value by whoever wrote the file."""

import numpy as np
from scipy import ndimage

_LEAST_SHARE = 0.01  # of the frame: smaller constant regions are left to robust statistics


def no_data(image: np.ndarray, *, constant: bool = True) -> np.ndarray | None:
    """Which pixels of a frame hold no image.

    Parameters
    ----------
    image : (Y, X, C) array
        A frame in source pixels, any real dtype.
    constant : bool
        Whether constant regions count as well.

    Returns
    -------
    (Y, X) bool or None
        True where a channel is NaN or infinite, and in constant regions; None if no pixel is.

    Notes
    -----
    A constant region is a connected set of pixels of exactly one value that covers at least 1 % of
    the frame and is either a rectangle or contains a corner of the frame, as the edges of mosaics
    and of registered or rotated frames, missing tiles and the surroundings of a well do. It must
    differ from its neighbours by more than one grey level. Most of the pixels outside such regions
    must vary and lie in one piece. So neither saturated cells nor the smooth or
    black ground between cells count.
    """
    found = np.zeros(image.shape[:2], bool)
    if image.dtype.kind == "f":
        found = ~np.isfinite(image).all(axis=2)
    if found.all():
        return found
    if constant:
        found |= _constant_regions(image, ~found)
    return found if found.any() else None


def filled(image: np.ndarray, missing: np.ndarray) -> np.ndarray:
    """A frame (Y, X, C) in which pixels without data repeat the nearest one that has some.

    Parameters
    ----------
    image : (Y, X, C) array
        The frame.
    missing : (Y, X) bool
        Pixels to fill; zeros if it is all of them.
    """
    if missing.all():
        return np.zeros_like(image)
    rows, cols = ndimage.distance_transform_edt(
        missing, return_distances=False, return_indices=True
    )
    return image[rows, cols]


def _constant_regions(image: np.ndarray, finite: np.ndarray) -> np.ndarray:
    """Constant regions of a frame (Y, X, C), (Y, X) bool; all of it if it has one value."""
    first = image[finite][0]
    if (image[finite] == first).all():
        return np.ones(image.shape[:2], bool)
    flat = _flat(image)
    labels, n_regions = ndimage.label(flat)
    if not n_regions:
        return np.zeros(image.shape[:2], bool)
    sizes = np.bincount(labels.ravel())
    # a region is a pixel narrower on each side here, hence the half
    large = [k for k in range(1, n_regions + 1) if sizes[k] >= _LEAST_SHARE / 2 * labels.size]
    found = np.zeros(image.shape[:2], bool)
    for index in large:
        region = ndimage.binary_dilation(labels == index, np.ones((3, 3), bool))
        if region.sum() >= _LEAST_SHARE * region.size and _is_filled_in(region, image):
            found |= region
    rest = ~found & finite
    pieces, _ = ndimage.label(rest)
    areas = np.bincount(pieces.ravel(), minlength=2)[1:]
    varies = (flat & rest).sum() < rest.sum() / 2
    return found if varies and areas.max() >= rest.sum() / 2 else np.zeros_like(found)


def _flat(image: np.ndarray) -> np.ndarray:
    """Where all 3 × 3 pixels around one have its value, (Y, X) bool; frames end in themselves."""
    padded = np.pad(image, ((1, 1), (1, 1), (0, 0)), mode="edge")
    across = (padded[:, 1:] == padded[:, :-1]).all(axis=2)
    across = across[:, 1:] & across[:, :-1]  # (Y + 2, X): three in a row
    down = (padded[1:, 1:-1] == padded[:-1, 1:-1]).all(axis=2)
    down = down[1:] & down[:-1]  # (Y, X): three in a column
    return across[1:-1] & across[:-2] & across[2:] & down


def _is_filled_in(region: np.ndarray, image: np.ndarray) -> bool:
    """Whether a constant region has the shape of a fill, and ends in a jump of grey values."""
    corners = region[[0, 0, -1, -1], [0, -1, 0, -1]]
    rows, cols = (np.flatnonzero(region.any(axis=axis)) for axis in (1, 0))
    box = (rows[-1] - rows[0] + 1) * (cols[-1] - cols[0] + 1)
    if not (corners.any() or region.sum() == box):
        return False
    around = ndimage.binary_dilation(region, np.ones((3, 3), bool)) & ~region
    value = image[region][0].astype(np.float64)
    jumps = np.abs(image[around].astype(np.float64) - value).max(axis=1)
    jumps = jumps[np.isfinite(jumps)]
    return bool(jumps.size) and bool(np.median(jumps) > _grey_level(image))


def _grey_level(image: np.ndarray) -> float:
    """The least difference of two grey values of a frame, on a sample of its pixels."""
    step = max(1, max(image.shape[:2]) // 256)
    values = np.unique(image[::step, ::step].astype(np.float64))
    values = values[np.isfinite(values)]
    return float(np.diff(values).min()) if values.size > 1 else 0.0
