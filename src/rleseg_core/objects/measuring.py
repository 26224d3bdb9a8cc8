"""Area, box and centroid of the objects of a frame."""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from rleseg_core.data.blocks import blocks, looked_up
from rleseg_core.errors import DataError
from rleseg_core.spec import IGNORED


@dataclass(frozen=True, kw_only=True, eq=False)
class MeasuredFrame:
    """The objects of a frame, by id.

    Parameters
    ----------
    id : (n,) int64
        Ids, increasing.
    index : (Y, X) int32
        Row of the object of each pixel plus 1; 0 = background.
    area : (n,) int64
        In pixels.
    boxes : (n, 4) int64
        Top, left, bottom and right in pixels, half open.
    centroids : (n, 2) float64
        Row and column in pixels.
    """

    id: np.ndarray
    index: np.ndarray
    area: np.ndarray
    boxes: np.ndarray
    centroids: np.ndarray

    def columns(self) -> dict[str, np.ndarray]:
        """The columns of an `ObjectTable` that follow from the pixels."""
        top, left, bottom, right = self.boxes.T
        height, width = self.index.shape
        return {
            "id": self.id,
            "area": self.area,
            **{"top": top, "left": left, "bottom": bottom, "right": right},
            "row": self.centroids[:, 0],
            "col": self.centroids[:, 1],
            "touches_border": (top == 0) | (left == 0) | (bottom == height) | (right == width),
        }


def measure_frame(ids: np.ndarray) -> MeasuredFrame:
    """Areas, boxes and centroids of the objects of a frame.

    Parameters
    ----------
    ids : (Y, X) integer
        Ids of objects, 0 = background, in any order and with gaps.

    Raises
    ------
    DataError
        If an id is below 0.
    """
    if ids.size and int(ids.min()) < 0:
        raise DataError(f"id {ids.min()} among ids of objects; ids are 0 for background, or above")
    found, index = number_consecutively(ids)
    n = found.size
    area, sums = np.zeros(n, np.int64), np.zeros((2, n))
    for block in blocks(index.shape):
        rows, cols = index[block].nonzero()
        which = index[block][rows, cols] - 1
        area += np.bincount(which, minlength=n)
        sums += [np.bincount(which, side, n) for side in (rows + block.start, cols)]
    boxes = np.array(
        [
            (box[0].start, box[1].start, box[0].stop, box[1].stop)
            for box in ndimage.find_objects(index)
        ],
        np.int64,
    ).reshape(-1, 4)
    return MeasuredFrame(
        id=found,
        index=index,
        area=area,
        boxes=boxes,
        centroids=(sums / np.maximum(area, 1)).T,
    )


def number_consecutively(ids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Ids that occur, and for each pixel which of them it has.

    Parameters
    ----------
    ids : (...) integer
        Ids of objects, 0 = background, none below.

    Returns
    -------
    found : (n,) int64
        The ids above 0, increasing.
    index : (...) int32
        1 for the first of them, and so on; 0 = background.
    """
    highest = int(ids.max(initial=0))
    if highest <= 4 * ids.size + 2**16:
        is_there = np.zeros(highest + 1, bool)
        for block in blocks(ids.shape):
            is_there[ids[block].reshape(-1)] = True
        is_there[0] = False
        found = is_there.nonzero()[0]
        lookup = np.zeros(highest + 1, np.int32)
        lookup[found] = np.arange(1, found.size + 1)
        return found, looked_up(lookup, ids)
    found, inverse = np.unique(ids, return_inverse=True)
    has_background = int(found[0] == 0)
    index = (inverse.reshape(ids.shape) + (1 - has_background)).astype(np.int32)
    return found[has_background:].astype(np.int64), index


def class_of_each(found: MeasuredFrame, classes: np.ndarray, n_classes: int) -> np.ndarray:
    """The class that most pixels of each object have, (n,) int64; 0 where none has any.

    Parameters
    ----------
    found : MeasuredFrame
        The objects.
    classes : (Y, X) integer
        Class ids, of which 0 and `IGNORED` do not count.
    n_classes : int
        C, the number of classes.
    """
    counts_too = (found.index > 0) & (classes > 0) & (classes <= n_classes)
    if n_classes >= IGNORED:
        counts_too &= classes != IGNORED
    keys = (found.index[counts_too].astype(np.int64) - 1) * n_classes + classes[counts_too] - 1
    votes = np.bincount(keys, minlength=found.id.size * n_classes).reshape(-1, n_classes)
    return np.where(votes.any(axis=1), votes.argmax(axis=1) + 1, 0)
