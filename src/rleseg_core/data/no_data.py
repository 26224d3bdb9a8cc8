"""Pixels that hold no image: not finite, or filled in with one value by whoever wrote the file."""

import numpy as np
from scipy import ndimage

from rleseg_core.data.blocks import counted

_LEAST_SHARE = 0.01  # of the frame, for regions of any shape
_LEAST_REST = 0.2  # of the frame: where less varies, cells may lie on flat ground
_LEAST_SIDE = 6  # pixels, of rectangles


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
    A constant region is a connected set of pixels of exactly one value: a rectangle of at least
    6 × 6 pixels, or at least 1 % of the frame around one of its corners. Such are the edges of
    mosaics and of registered or rotated frames, missing tiles, scale bars, and the surroundings of
    a well. It differs from its neighbours by more than one grey level. The other pixels must be a
    fifth of the frame, mostly vary, and mostly lie in one piece. So neither saturated cells nor the
    smooth or black ground between cells count.
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
    image = image.copy()
    image[missing] = image[rows[missing], cols[missing]]
    return image


def _constant_regions(image: np.ndarray, finite: np.ndarray) -> np.ndarray:
    """Constant regions of a frame (Y, X, C), (Y, X) bool; all of it if it has one value."""
    if _has_one_value(image, finite):
        return np.ones(image.shape[:2], bool)
    flat = _flat(image)
    labels, n_regions = ndimage.label(flat)
    if not n_regions:
        return np.zeros(image.shape[:2], bool)
    sizes = counted(labels, n_regions + 1)
    if sizes[1:].max() > labels.size / 2 and _is_constant(image, finite):
        return np.ones(image.shape[:2], bool)
    found, level = np.zeros(image.shape[:2], bool), _grey_level(image)
    for index, box in enumerate(ndimage.find_objects(labels), 1):
        rows, cols = (slice(max(side.start - 2, 0), side.stop + 2) for side in box)
        if _has_its_shape(labels, index, box, int(sizes[index])):
            # flat pixels have all their neighbours in the region
            region = ndimage.binary_dilation(labels[rows, cols] == index, np.ones((3, 3), bool))
            if _ends_in_a_jump(region, image[rows, cols], level):
                found[rows, cols] |= region
    rest = ~found & finite
    pieces, n_pieces = ndimage.label(rest)
    areas = counted(pieces, max(n_pieces, 1) + 1)[1:]
    varies = (flat & rest).sum() < rest.sum() / 2 and rest.sum() >= _LEAST_REST * rest.size
    return found if varies and areas.max() >= rest.sum() / 2 else np.zeros_like(found)


def _flat(image: np.ndarray) -> np.ndarray:
    """Where all 3 × 3 pixels around one have its value, (Y, X) bool; frames end in themselves."""
    padded = np.pad(image, ((1, 1), (1, 1), (0, 0)), mode="edge")
    across = (padded[:, 1:] == padded[:, :-1]).all(axis=2)
    across = across[:, 1:] & across[:, :-1]  # (Y + 2, X): three in a row
    down = (padded[1:, 1:-1] == padded[:-1, 1:-1]).all(axis=2)
    down = down[1:] & down[:-1]  # (Y, X): three in a column
    return across[1:-1] & across[:-2] & across[2:] & down


def _is_constant(image: np.ndarray, finite: np.ndarray) -> bool:
    """Whether a frame has one value but for single pixels, such as hot ones."""
    return _has_one_value(ndimage.median_filter(image, size=(3, 3, 1)), finite)


def _has_one_value(image: np.ndarray, where: np.ndarray) -> bool:
    """Whether a frame (Y, X, C) has one value at some pixels, at least one."""
    first = image[np.unravel_index(int(np.argmax(where)), where.shape)]
    return bool(((image == first).all(axis=2) | ~where).all())


def _has_its_shape(labels: np.ndarray, index: int, box: tuple[slice, ...], n_pixels: int) -> bool:
    """Whether flat pixels are a rectangle, or many that reach a corner of the frame."""
    sides = [side.stop - side.start for side in box]
    if n_pixels == sides[0] * sides[1]:
        return min(sides) >= _LEAST_SIDE - 2
    corners = labels[[0, 0, -1, -1], [0, -1, 0, -1]]
    return n_pixels >= _LEAST_SHARE * labels.size and bool((corners == index).any())


def _ends_in_a_jump(region: np.ndarray, image: np.ndarray, level: float) -> bool:
    """Whether most pixels around a region differ from it by more than one grey level."""
    around = ndimage.binary_dilation(region, np.ones((3, 3), bool)) & ~region
    jumps = np.abs(image[around].astype(np.float64) - image[region][0].astype(np.float64))
    jumps = jumps.max(axis=1)[np.isfinite(jumps).all(axis=1)]
    return bool(jumps.size) and bool(np.median(jumps) > level)


def _grey_level(image: np.ndarray) -> float:
    """The least difference of two grey values of a frame, on a sample of its pixels."""
    step = max(1, max(image.shape[:2]) // 256)
    values = np.unique(image[::step, ::step].astype(np.float64))
    values = values[np.isfinite(values)]
    return float(np.diff(values).min()) if values.size > 1 else 0.0
