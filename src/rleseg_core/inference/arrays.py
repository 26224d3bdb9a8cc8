"""Where a segmentation goes: arrays of classes and of ids, in the frames that are wanted."""

from collections.abc import Iterable, Sequence, Set
from dataclasses import dataclass

import numpy as np

from rleseg_core.data import Window
from rleseg_core.data.arrays import frame_of
from rleseg_core.errors import DataError
from rleseg_core.inference.results import Segmentation
from rleseg_core.objects import ObjectTable

_ID = np.dtype(np.uint32)


@dataclass(frozen=True, kw_only=True, eq=False)
class ResultArrays:
    """Where a segmentation goes.

    Parameters
    ----------
    classes : (T, Y, X) uint8
        A numpy or zarr array.
    objects : (T, Y, X) uint32 or None
        Likewise; None where nobody wants ids.
    frames : set of int
        Frames that are wanted, in the order in which they are.
    first_id : int
        Id of the first object; the others follow.
    """

    classes: np.ndarray
    objects: np.ndarray | None
    frames: Set[int]
    first_id: int

    def windows(self, planned: Iterable[Window]) -> list[Window]:
        """Those that show frames that are wanted, in the order of these."""
        order = {frame: place for place, frame in enumerate(self.frames)}
        places = {
            window: min(order[frame] for frame in range(*window.frames) if frame in order)
            for window in planned
            if not self.frames.isdisjoint(range(*window.frames))
        }
        return sorted(places, key=places.__getitem__)

    def segmentation(self, table: ObjectTable) -> Segmentation:
        """What was written."""
        objects = np.empty((0, 0, 0), _ID) if self.objects is None else self.objects
        return Segmentation(classes=self.classes, objects=objects, table=table)


def frames_that_end(windows: Sequence[Window]) -> list[list[int]]:
    """For each of some windows, the frames that no later one shows."""
    last = {frame: index for index, window in enumerate(windows) for frame in range(*window.frames)}
    found: list[list[int]] = [[] for _ in windows]
    for frame, index in last.items():
        found[index].append(frame)
    return found


def choose_arrays(
    shape: tuple[int, ...],
    frames: Sequence[int] | None,
    classes: np.ndarray | None,
    objects: np.ndarray | None,
    *,
    wants_objects: bool,
) -> ResultArrays:
    """The arrays that were given, and new ones in place of those that are wanted besides.

    Parameters
    ----------
    shape : (T, Y, X)
        Of the stack.
    frames : sequence of int, optional
        Frames to segment, in this order; all by default.
    classes, objects : (T, Y, X) integer array, optional
        Where masks and ids go.
    wants_objects : bool
        Whether ids are wanted.

    Raises
    ------
    DataError
        If a frame is out of range, or an array cannot hold the result.
    """
    wanted = range(shape[0]) if frames is None else map(int, frames)
    chosen = dict.fromkeys(wanted).keys()  # a set that keeps their order
    if not chosen or min(chosen) < 0 or max(chosen) >= shape[0]:
        raise DataError(
            f"frames must be from 0 to {shape[0] - 1} and at least one, got {sorted(chosen)}"
        )
    for what, array in (("labels", classes), ("ids of objects", objects)):
        if array is not None and array.shape != shape:
            raise DataError(
                f"the {what} are {array.shape}, the stack is {shape}; both must be (T, Y, X)"
            )
    if objects is not None and objects.dtype != _ID:
        raise DataError(f"ids of objects are uint32, got an array of {objects.dtype}")
    first_id = 1
    if objects is not None:
        others = (frame_of(objects, frame) for frame in range(shape[0]) if frame not in chosen)
        first_id += max((int(ids.max(initial=0)) for ids in others), default=0)
    elif wants_objects:
        objects = np.zeros(shape, _ID)
    return ResultArrays(
        classes=np.zeros(shape, np.uint8) if classes is None else classes,
        objects=objects,
        frames=chosen,
        first_id=first_id,
    )
