"""What a model proposes for frames, taken into class masks, and recorded as corrections.

Knows neither Qt nor napari. Corrections are of classes, and the objects follow them, see
`rleseg_core.objects.corrected`: so objects that newly touch others of their class are parted by a
line of background.
"""

from collections.abc import Callable, Collection, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import zarr

from rleseg_core.corrections import CorrectionLog
from rleseg_core.data.arrays import ArrayLike, frame_of
from rleseg_core.errors import DataError
from rleseg_core.spec import IGNORED

SAME = 0.5  # IoU from which on an object is replaced, rather than cut


@dataclass(frozen=True)
class FrameTaken:
    """A frame that was taken, or left.

    Parameters
    ----------
    frame : int
        Index of the frame.
    n_pixels : int
        Pixels that changed; 0 where there was nothing to change.
    accepted : bool
        Whether it is an accepted frame, which stayed as it was.
    """

    frame: int
    n_pixels: int
    accepted: bool = False


@dataclass(frozen=True, kw_only=True)
class FollowedObject:
    """An object that was followed, as it is taken.

    Parameters
    ----------
    path : Path
        Array (T, Y, X) of the tracks that were followed; 1 is the object.
    class_id : int
        Its class.
    targets : mapping of int to int
        Object of its track by frame, which it replaces.
    """

    path: Path
    class_id: int
    targets: Mapping[int, int] = field(default_factory=dict)


def with_object(ids: np.ndarray, mask: np.ndarray, target: int = 0) -> tuple[np.ndarray, int]:
    """Objects of a frame among which one was found anew.

    Parameters
    ----------
    ids : (Y, X) integer
        The objects so far, 0 = background.
    mask : (Y, X) bool
        What was found. It takes no pixel of other objects than that which it replaces or cuts.
    target : int
        The object that it is; 0 for the one that it is most like, if there is such.

    Returns
    -------
    (Y, X) int64, int
        The objects, and the id of the new one: that of the object which it replaces, where both are
        alike, and otherwise a new one, above all that were there.
    """
    now = ids.astype(np.int64)
    if not target or not (now == target).any():
        under, n_common = np.unique(now[mask & (now > 0)], return_counts=True)
        target = int(under[n_common.argmax()]) if under.size else 0
    is_target = (now == target) & (target > 0)
    iou = (is_target & mask).sum() / max((is_target | mask).sum(), 1)
    mine = mask & ((now == 0) | is_target)
    name = target if iou >= SAME else int(now.max(initial=0)) + 1
    if iou >= SAME:
        now[is_target] = 0
    now[mine] = name
    return now, name


def classes_for(
    classes: np.ndarray, before: np.ndarray, now: np.ndarray, class_of: Mapping[int, int]
) -> np.ndarray:
    """Class mask of a frame whose objects are to be others.

    Parameters
    ----------
    classes : (Y, X) integer
        The class mask so far; pixels that do not count stay.
    before, now : (Y, X) integer
        The objects so far, and those wanted.
    class_of : mapping of int to int
        Classes of objects of `now`; of the others, the class that most of their pixels had.

    Returns
    -------
    (Y, X) integer
        Of the type of `classes`. Of two objects of a class that touch now, and did not before, the
        pixels of one on the line between them are background.
    """
    wanted = classes.copy()
    wanted[(before > 0) & (now == 0)] = 0
    for label in np.unique(now[(now > 0) & (now != before)]).tolist():
        mine = now == label
        wanted[mine] = class_of.get(label) or _most_common(classes[mine])
    now = _without_passing(before, now, wanted == classes)
    wanted[_new_borders(before, now, wanted)] = 0
    return np.where(classes == IGNORED, classes, wanted)


def _most_common(classes: np.ndarray) -> int:
    """The class that most pixels have; 1 if none has any."""
    known = classes[(classes > 0) & (classes != IGNORED)]
    return int(np.bincount(known).argmax()) if known.size else 1


def _without_passing(before: np.ndarray, now: np.ndarray, same: np.ndarray) -> np.ndarray:
    """Objects (Y, X) as `now`, but for pixels that passed from one that stays to another.

    Their classes (`same`) do not tell that, and a border around them would cut them off.
    """
    old, at = np.unique(before, return_inverse=True)
    new, to = np.unique(now, return_inverse=True)
    at, to = at.reshape(now.shape), to.reshape(now.shape)
    n_common = np.bincount((at * new.size + to).ravel(), minlength=old.size * new.size)
    n_common = n_common.reshape(old.size, new.size)
    union = n_common.sum(axis=1, keepdims=True) + n_common.sum(axis=0) - n_common
    alike = (n_common > SAME * union) & (old > 0)[:, None] & (new > 0)
    successor = np.where(alike.any(axis=1), new[alike.argmax(axis=1)], 0)
    stays = same & (successor[at] > 0) & alike.any(axis=0)[to]
    return np.where(stays, successor[at], now)


def _new_borders(before: np.ndarray, now: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """Pixels (Y, X) bool of objects at others of their class that they did not touch before."""
    border = np.zeros(now.shape, bool)
    for here, there in (
        ((slice(None, -1), slice(None)), (slice(1, None), slice(None))),
        ((slice(None), slice(None, -1)), (slice(None), slice(1, None))),
    ):
        touch = (now[here] != now[there]) & (now[here] > 0) & (now[there] > 0)
        touched = (before[here] != before[there]) & (before[here] > 0) & (before[there] > 0)
        border[here] |= touch & ~touched & (classes[here] == classes[there])
    return border


def difference(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """Pixels that change, (Y, X) uint16: their new class plus 1; 0 for those that stay."""
    return np.where(before != after, after.astype(np.uint16) + 1, 0).astype(np.uint16)


def take_followed(
    log: CorrectionLog, objects: ArrayLike, followed: FollowedObject, frames: Sequence[int]
) -> Generator[FrameTaken, None, None]:
    """Job that records an object as it was followed.

    Parameters
    ----------
    log : CorrectionLog
        Of the masks.
    objects : (T, Y, X) integer array
        Their objects as they are now.
    followed : FollowedObject
        The object.
    frames : sequence of int
        Frames to take.
    """
    tracks = zarr.open_array(followed.path, mode="r")

    def wanted(frame: int, classes: np.ndarray) -> np.ndarray:
        ids, found = frame_of(objects, frame), frame_of(tracks, frame)
        now, class_of = ids, {}
        for track in np.unique(found[found > 0]).tolist():
            target = followed.targets.get(frame, 0) if track == 1 else 0
            now, name = with_object(now, found == track, target)
            class_of[name] = followed.class_id
        return classes_for(classes, ids, now, class_of)

    yield from _take(log, frames, wanted)


def take_changes(
    log: CorrectionLog, path: Path, frames: Sequence[int]
) -> Generator[FrameTaken, None, None]:
    """Job that records changes, as `difference` gives them, which lie in an array (T, Y, X)."""
    changes = zarr.open_array(path, mode="r")

    def wanted(frame: int, classes: np.ndarray) -> np.ndarray:
        change = frame_of(changes, frame)
        return np.where(change > 0, change - 1, classes).astype(classes.dtype)

    yield from _take(log, frames, wanted)


def _take(
    log: CorrectionLog, frames: Sequence[int], wanted: Callable[[int, np.ndarray], np.ndarray]
) -> Generator[FrameTaken, None, None]:
    accepted: Collection[int] = set(log.accepted_frames())
    try:
        for frame in frames:
            if frame in accepted:
                yield FrameTaken(frame, 0, accepted=True)
                continue
            log.record_painted(frame)
            yield FrameTaken(frame, log.record(frame, wanted(frame, log.frame(frame))).n_pixels)
    except OSError as error:
        raise DataError(f"the corrections cannot be written: {error}") from error
