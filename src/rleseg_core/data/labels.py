"""Label algebra: ids to classes, patch pixels to mask pixels and back."""

from collections.abc import Mapping
from typing import Literal

import numpy as np
from scipy import ndimage

from rleseg_core.errors import DataError
from rleseg_core.spec import IGNORED

PointRule = Literal["corner", "centre"]
"""Which source pixel decides the class of a mask pixel."""

SubsampleRule = Literal["corner", "centre", "max"]
"""Which class a mask pixel takes; see `subsample_labels`."""

UpsampleRule = Literal["nearest", "smooth"]
"""How a mask is brought to a finer grid; see `upsample_labels`."""

_LITTLE = 1e-5  # more than rounding, less than any other difference of interpolated values
_HALVES = {"corner": 0, "centre": 1}  # of a coarse pixel, from its start to the source pixel


def classes_from_instances(
    ids: np.ndarray, class_of_id: Mapping[int, int] | None = None
) -> np.ndarray:
    """Class ids of instance ids.

    Parameters
    ----------
    ids : (...) integer
        Instance ids, 0 = background.
    class_of_id : mapping of int to int, optional
        Class id (1 to 255) of each instance id; by default every instance is of class 1.

    Returns
    -------
    (...) uint8
        Class ids.

    Raises
    ------
    DataError
        If an instance has no class, or an id is below 0.
    """
    if ids.size and int(ids.min()) < 0:
        raise DataError(f"id {ids.min()} in a mask of objects; ids are 0 for background, or above")
    if class_of_id is None:
        return (ids != 0).astype(np.uint8)
    present, inverse = np.unique(ids, return_inverse=True)
    missing = [int(i) for i in present if i != 0 and int(i) not in class_of_id]
    if missing:
        raise DataError(f"each instance needs a class; none is given for {_some(missing)}")
    table = np.array([class_of_id[int(i)] if i != 0 else 0 for i in present], np.uint8)
    return table[inverse].reshape(ids.shape)


def without_ignored(labels: np.ndarray) -> np.ndarray:
    """Class ids (...) with background where they are `IGNORED`: nothing is written there."""
    is_ignored = labels == IGNORED
    return np.where(is_ignored, np.zeros((), labels.dtype), labels) if is_ignored.any() else labels


def components(classes: np.ndarray) -> np.ndarray:
    """Ids of the connected pieces of each class.

    Parameters
    ----------
    classes : (Y, X) or (N, Y, X) integer
        Class ids, 0 = background; `IGNORED` is none.

    Returns
    -------
    int32 array of the same shape
        Ids from 1 on, 0 = background. Pixels are connected by their edges, not by their corners,
        and only to pixels of the same class; objects that touch become one. With N frames, a pixel
        is connected to the same pixel of the frames beside it, too.
    """
    ids = np.zeros(classes.shape, np.int32)
    n_found = 0
    for class_id in np.unique(classes):
        if class_id not in (0, IGNORED):
            pieces, n_pieces = ndimage.label(classes == class_id)
            ids[pieces > 0] = pieces[pieces > 0] + n_found
            n_found += n_pieces
    return ids


def pixel_index(size: int, source_size: int, rule: PointRule = "centre") -> np.ndarray:
    """Index (size,) intp of the source pixel under the start or centre of each of `size` pixels."""
    # integers: no rounding can send a centre to the wrong pixel
    return (2 * np.arange(size, dtype=np.intp) + _HALVES[rule]) * source_size // (2 * size)


def resize_labels(
    labels: np.ndarray, size: tuple[int, int], rule: PointRule = "centre"
) -> np.ndarray:
    """Labels on another grid over the same frame, each pixel from one that lies under it.

    Parameters
    ----------
    labels : (..., Y, X) integer
        Any ids.
    size : (int, int)
        Rows and columns.
    rule : {'corner', 'centre'}
        The pixel under the top left corner of each new pixel, or under its centre.

    Returns
    -------
    (..., rows, cols) of the same dtype
        Ids never mix; `labels` itself where it has that size.
    """
    if labels.shape[-2:] == tuple(size):
        return labels
    rows = pixel_index(size[0], labels.shape[-2], rule)
    cols = pixel_index(size[1], labels.shape[-1], rule)
    return labels[..., rows[:, None], cols]


def subsample_labels(
    labels: np.ndarray, size: tuple[int, int], rule: SubsampleRule = "centre"
) -> np.ndarray:
    """Class of each mask pixel of a coarser grid laid over a label patch.

    Parameters
    ----------
    labels : (N, P, P) integer
        Class or instance ids in patch pixels, 0 = background; any number of leading axes.
    size : (int, int)
        Rows and columns of the mask, in mask pixels; each must divide P.
    rule : {'corner', 'centre', 'max'}
        A mask pixel takes the class of its top left patch pixel, of its centre pixel (where the
        centre lies between pixels, the one below and right of it), or the highest class in it. With
        'corner' and 'centre' thin objects can vanish; with 'corner' everything also moves by half a
        mask pixel once it is enlarged again. With 'max' nothing vanishes, but objects grow, gaps
        close, and higher classes win over lower ones. Of instance ids 'max' takes the highest
        number: where objects share a mask pixel, the one that happens to be numbered last.
        docs/fidelity.md gives the cost of each.

    Returns
    -------
    (N, S, S) of the same dtype
        Ids in mask pixels.

    Raises
    ------
    DataError
        If `size` does not divide the patch; the message gives both.

    Notes
    -----
    Sec. III-B2, which knows one procedure; the published implementation has three. 'corner' is its
    static path offline (`resize_mask`, OpenCV's INTER_NEAREST); 'centre' its static path in
    TensorFlow, and how it subsamples the truth to evaluate (INTER_NEAREST_EXACT); 'max' its video
    path (`subsample_mask`). We use 'centre' throughout.
    """
    patch = labels.shape[-2:]
    if min(size) < 1 or patch[0] % size[0] or patch[1] % size[1]:
        raise DataError(
            f"a mask of {tuple(size)} does not divide a patch of {patch}; choose a mask size that "
            "divides the patch"
        )
    if rule == "max":
        height, width = patch[0] // size[0], patch[1] // size[1]
        blocks = labels.reshape(*labels.shape[:-2], size[0], height, size[1], width)
        return blocks.max(axis=-3).max(axis=-1)  # rows first: whole rows at once are fast
    return resize_labels(labels, size, rule)


def upsample_labels(
    labels: np.ndarray, size: tuple[int, int], rule: UpsampleRule = "nearest"
) -> np.ndarray:
    """Labels of a mask on a finer grid.

    Parameters
    ----------
    labels : (N, S, S) integer
        Class ids in mask pixels; any number of leading axes.
    size : (int, int)
        Rows and columns of the result; any.
    rule : {'nearest', 'smooth'}
        Replicate mask pixels (the published `supersample_mask`), or interpolate the plane of each
        class linearly between their centre pixels and take the class with the highest value, on
        ties that of the mask pixel, so that objects neither grow nor shrink. Smooth edges have no
        steps of a mask pixel's size; a single mask pixel shrinks to three fifths of its area.

    Returns
    -------
    (N, rows, cols) of the same dtype
        Ids on the finer grid.
    """
    replicated = resize_labels(labels, size)
    if rule == "nearest":
        return replicated
    to_rows, to_cols_t = _linear(size[0], labels.shape[-2]), _linear(size[1], labels.shape[-1]).T
    present = np.unique(labels)
    result = np.full((*labels.shape[:-2], *size), present[0], labels.dtype)
    if len(present) == 1:
        return result
    highest = np.zeros(result.shape, np.float32)
    for label in present:
        value = to_rows @ (labels == label).astype(np.float32) @ to_cols_t
        value[replicated == label] += _LITTLE
        np.copyto(result, label, where=value > highest)
        np.maximum(highest, value, out=highest)
    return result


def _linear(size: int, source_size: int) -> np.ndarray:
    """Weights (size, source_size) float32 that interpolate linearly between mask pixels.

    The sample of a mask pixel is the patch pixel that `subsample_labels` takes, which lies half a
    pixel off the centre where a mask pixel is an even number of patch pixels wide; interpolating
    between the centres would shift masks by that.
    """
    if size >= source_size:
        samples = pixel_index(source_size, size).astype(float)
    else:
        samples = (np.arange(source_size) + 0.5) * size / source_size - 0.5
    pixels = np.arange(size)
    weights = np.zeros((size, source_size), np.float32)
    if source_size == 1:
        weights[:] = 1
        return weights
    left = np.clip(np.searchsorted(samples, pixels, side="right") - 1, 0, source_size - 2)
    share = np.clip((pixels - samples[left]) / (samples[left + 1] - samples[left]), 0, 1)
    weights[pixels, left] = 1 - share
    weights[pixels, left + 1] = share
    return weights


def _some(values: list[int]) -> str:
    shown = ", ".join(map(str, values[:5]))
    return shown if len(values) <= 5 else f"{shown} and {len(values) - 5} more"
