"""The objects of a frame after a person corrected its class mask."""

import numpy as np
from scipy.ndimage import label
from skimage.segmentation import watershed

from rleseg_core.errors import DataError
from rleseg_core.spec import IGNORED


def corrected_ids(
    ids: np.ndarray, predicted: np.ndarray, classes: np.ndarray, new_ids: range
) -> np.ndarray:
    """Ids of the objects of a frame whose class mask was corrected.

    Objects in which no pixel changed keep their ids. Removed pixels are removed. Added pixels, and
    those of another class than before, go to the nearest object of their class that they touch;
    where they touch none they are new objects. Of an object that falls apart, the largest piece
    keeps the id, and each other piece is a new object.

    Parameters
    ----------
    ids : (Y, X) uint32
        Ids of the predicted objects, 0 = background.
    predicted : (Y, X) integer
        Their classes: the class mask as the model predicted it.
    classes : (Y, X) integer
        The corrected class mask; `IGNORED` is no class.
    new_ids : range
        Ids of new objects, in the order of their first pixels; see `ids_of_new`.

    Returns
    -------
    (Y, X) uint32
        Ids of the corrected objects. The same arguments give the same ids.

    Raises
    ------
    DataError
        If the three differ in shape, or there are more new objects than ids.
    """
    found = _start(ids, predicted, classes)
    wanted = _real(classes)
    _grow(found, wanted)
    changed = np.unique(ids[(wanted != _real(predicted)) & (ids > 0)])
    apart = _split(found, ids, changed)
    new = np.where((found == 0) | apart, wanted, 0)
    return _with_new(np.where(apart, 0, found), new, new_ids)


def corrected_pieces(
    ids: np.ndarray, predicted: np.ndarray, classes: np.ndarray, new_ids: range
) -> np.ndarray:
    """Ids of the connected pieces of a corrected class mask, for models that find no objects.

    A piece keeps the id of the earlier piece of its class that fills most of it; if that id stays
    with another piece, or there is none, it is new. Parameters, result and errors are those of
    `corrected_ids`.
    """
    kept, wanted = _start(ids, predicted, classes), _real(classes)
    pieces, n_pieces = _pieces(wanted)
    both = (pieces > 0) & (kept > 0)
    pairs, n_common = np.unique(
        np.stack([pieces[both], kept[both]]).astype(np.int64), axis=1, return_counts=True
    )
    id_of = np.zeros(n_pieces + 1, np.uint32)
    taken: set[int] = set()
    for pair in pairs[:, np.argsort(-n_common, kind="stable")].T:
        piece, object_id = (int(number) for number in pair)
        if not id_of[piece] and object_id not in taken:
            id_of[piece] = object_id
            taken.add(object_id)
    found = id_of[pieces]
    return _with_new(found, np.where(found == 0, wanted, 0), new_ids)


def ids_of_new(highest: int, n_frames: int, frame: int) -> range:
    """Ids for the new objects of a frame, which differ from those of all other frames.

    Parameters
    ----------
    highest : int
        The highest id of the prediction, in all frames.
    n_frames : int
        T, the frames of the stack.
    frame : int
        Index of the frame.
    """
    return range(highest + 1 + frame, np.iinfo(np.uint32).max + 1, n_frames)


def _start(ids: np.ndarray, predicted: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """The ids of the pixels that kept their class, (Y, X) uint32."""
    if not ids.shape == predicted.shape == classes.shape or ids.ndim != 2:
        raise DataError(
            f"the ids are {ids.shape}, the predicted classes {predicted.shape} and the corrected "
            f"ones {classes.shape}; all must be one (Y, X)"
        )
    same = (classes == predicted) & (_real(classes) > 0)
    return np.where(same, ids, 0).astype(np.uint32)


def _real(classes: np.ndarray) -> np.ndarray:
    """Classes with the pixels that do not count as background."""
    return np.where(classes == IGNORED, 0, classes)


def _grow(found: np.ndarray, wanted: np.ndarray) -> None:
    """Give pixels of `wanted` without an id that of the nearest object that they are joined to."""
    for class_id in np.unique(wanted[(found == 0) & (wanted > 0)]):
        region = wanted == class_id
        part = _box(region & (found == 0))
        seeds = np.where(region[part], found[part], 0).astype(np.int64)
        grown = watershed(np.zeros(seeds.shape, np.uint8), seeds, mask=region[part])
        here = region[part] & (found[part] == 0)
        found[part][here] = grown[here]


def _box(pixels: np.ndarray) -> tuple[slice, slice]:
    """Rows and columns that hold some pixels, and those beside them."""
    sides = []
    for axis in (1, 0):
        places = np.flatnonzero(pixels.any(axis=axis))
        sides.append(slice(max(int(places[0]) - 1, 0), int(places[-1]) + 2))
    return sides[0], sides[1]


def _split(found: np.ndarray, before: np.ndarray, changed: np.ndarray) -> np.ndarray:
    """Pixels (Y, X) bool of objects that fell apart, without their largest pieces."""
    apart = np.zeros(found.shape, bool)
    for object_id in changed:
        pixels = found == object_id
        if not pixels.any():
            continue
        part = _box(pixels)
        pieces, n_pieces = label(pixels[part])
        n_before = label(before[_box(before == object_id)] == object_id)[1]
        if n_pieces > max(n_before, 1):
            sizes = np.bincount(pieces.ravel())[1:]
            largest = np.argsort(-sizes, kind="stable")[:n_before] + 1
            apart[part] |= (pieces > 0) & ~np.isin(pieces, largest)
    return apart


def _pieces(classes: np.ndarray) -> tuple[np.ndarray, int]:
    """Numbers from 1 on of the connected pieces of each class, by first pixel, and how many."""
    numbers = np.zeros(classes.shape, np.int64)
    n_found = 0
    for class_id in np.unique(classes[classes > 0]):
        pieces, n_pieces = label(classes == class_id)
        numbers[pieces > 0] = pieces[pieces > 0] + n_found
        n_found += n_pieces
    _, first = np.unique(numbers[numbers > 0], return_index=True)
    rank = np.zeros(n_found + 1, np.int64)
    rank[1 + np.argsort(first, kind="stable")] = np.arange(1, n_found + 1)
    return rank[numbers], n_found


def _with_new(found: np.ndarray, new: np.ndarray, new_ids: range) -> np.ndarray:
    """Ids with new ones for the connected pieces of `new`, (Y, X) of classes."""
    numbers, n_new = _pieces(new)
    if n_new > len(new_ids):
        raise DataError(f"{n_new} new objects need ids of their own, and {len(new_ids)} are left")
    id_of = np.array([0, *new_ids[:n_new]], np.uint32)
    return np.where(numbers > 0, id_of[numbers], found)
