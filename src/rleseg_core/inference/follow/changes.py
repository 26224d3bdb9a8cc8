"""What differs between two versions of the objects of a frame."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

_SAME = 0.5  # IoU from which on an object is one that was there before


@dataclass(frozen=True, kw_only=True)
class ObjectChange:
    """An object that is not as it was.

    Parameters
    ----------
    frame : int
        Index of the frame.
    kind : {'changed', 'renamed', 'new', 'gone'}
        Other pixels, with the same or another id; the same pixels with another id; an object where
        none was before that was much like it; one that is no longer there.
    id : int
        Now; 0 of one that is gone.
    before : int
        Before; 0 of a new one.
    iou : float
        Of its pixels now and before, 0 to 1.
    """

    frame: int
    kind: Literal["changed", "renamed", "new", "gone"]
    id: int
    before: int
    iou: float


def changes_between(before: np.ndarray, now: np.ndarray, frame: int) -> tuple[ObjectChange, ...]:
    """What has changed from some objects (Y, X) to others (Y, X) of a frame, ids 0 = background.

    Each object is compared with the one that it overlaps most, by intersection over union.
    """
    old, at = np.unique(before, return_inverse=True)
    new, to = np.unique(now, return_inverse=True)
    shared = np.bincount(at.ravel() * new.size + to.ravel(), minlength=old.size * new.size)
    shared = shared.reshape(old.size, new.size)
    union = shared.sum(axis=1, keepdims=True) + shared.sum(axis=0) - shared
    iou = shared / union
    iou[old == 0], iou[:, new == 0] = 0, 0
    rows, cols = np.nonzero(iou > _SAME)  # at most one of each
    changes = []
    for row, col in zip(rows.tolist(), cols.tolist(), strict=True):
        one, other, share = int(old[row]), int(new[col]), float(iou[row, col])
        if share < 1 or one != other:
            kind: Literal["changed", "renamed"] = "changed" if share < 1 else "renamed"
            changes.append(ObjectChange(frame=frame, kind=kind, id=other, before=one, iou=share))
    for row in np.flatnonzero(~np.isin(np.arange(old.size), rows) & (old > 0)).tolist():
        share = float(iou[row].max())
        changes.append(
            ObjectChange(frame=frame, kind="gone", id=0, before=int(old[row]), iou=share)
        )
    for col in np.flatnonzero(~np.isin(np.arange(new.size), cols) & (new > 0)).tolist():
        share = float(iou[:, col].max())
        changes.append(ObjectChange(frame=frame, kind="new", id=int(new[col]), before=0, iou=share))
    return tuple(changes)
