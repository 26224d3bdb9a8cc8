"""Corrected frames as training data."""

import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path

import dask.array as da
import numpy as np

from rleseg_core.corrections.header import IMAGES, exists
from rleseg_core.corrections.images import stack_mark
from rleseg_core.corrections.log import CorrectionLog
from rleseg_core.corrections.objects import open_objects
from rleseg_core.data import ImageStack, LabelledStack
from rleseg_core.data.arrays import ArrayLike, frame_of, frames_array
from rleseg_core.errors import DataError, DataWarning
from rleseg_core.spec import IGNORED


class CorrectedDataset:
    """The corrected frames of correction sessions, as training data.

    Regions that are marked as not reviewed do not count: they are `IGNORED`. Where a session keeps
    objects, they are those of the corrected masks.

    Parameters
    ----------
    folders : iterable of str or Path
        Folders of sessions.

    Raises
    ------
    DataError
        If a folder holds no session, its images cannot be found, or the sessions' classes differ.
    """

    def __init__(self, folders: Iterable[str | Path]):
        self.logs = [CorrectionLog(folder, read_only=True) for folder in folders]
        names = {log.class_names for log in self.logs}
        if len({frozenset(one) for one in names}) != 1:
            raise DataError(f"sessions to train on must have the same classes, got {sorted(names)}")
        self.class_names: tuple[str, ...] = self.logs[0].class_names

    @property
    def n_frames(self) -> int:
        """Number of corrected frames in all sessions."""
        return sum(len(frames_to_teach(log)) for log in self.logs)

    def __len__(self) -> int:
        return sum(bool(frames_to_teach(log)) for log in self.logs)

    def __iter__(self) -> Iterator[LabelledStack]:
        for log in self.logs:
            frames = frames_to_teach(log)
            if not frames:
                continue
            stack = LabelledStack(
                images=_open_images(log),
                classes=_lazy_labels(log),
                class_names=log.class_names,
                frames=tuple(frames),
                instances=_lazy_ids(log),
                ignored=_lazy_marks(log) if log.unreviewed_pixels() else None,
            )
            yield stack.with_class_order(self.class_names)


def with_marks(log: CorrectionLog, labels: ArrayLike) -> da.Array:
    """Labels (T, Y, X) uint8 of a session, `IGNORED` where nobody has reviewed them."""
    ignored = np.uint8(IGNORED)

    def read(frame: int) -> np.ndarray:
        classes = frame_of(labels, frame).astype(np.uint8)
        return np.where(log.unreviewed(frame) != 0, ignored, classes)

    n_frames, *size = log.shape
    return frames_array(read, n_frames, tuple(size), np.dtype(np.uint8))


def frames_to_teach(log: CorrectionLog) -> list[int]:
    """Corrected frames of a session, without those of which nobody has reviewed a single pixel."""
    unreviewed = log.unreviewed_pixels()
    n_pixels = log.shape[1] * log.shape[2]
    return [frame for frame in log.corrected_frames() if unreviewed.get(frame, 0) < n_pixels]


def _open_images(log: CorrectionLog) -> ImageStack:
    kept = log.folder / IMAGES
    source = kept if kept.exists() else log.image_path
    if source is None or not exists(source):
        raise DataError(
            f"the images of {log.folder} are not at {source}; put them back, or start the "
            "session from an image that is open"
        )
    stack = ImageStack.open(source)
    if tuple(stack.shape[:3]) != log.shape:
        raise DataError(
            f"the images at {source} are {tuple(stack.shape[:3])}, the corrections of {log.folder} "
            f"are {log.shape}; put the images back that were corrected"
        )
    if source != kept and log.image_mark not in (None, stack_mark(stack)):
        warnings.warn(
            f"the images at {source} are not those that were corrected in {log.folder}: their "
            "pixels differ",
            DataWarning,
            stacklevel=3,
        )
    return stack


def _lazy_labels(log: CorrectionLog) -> da.Array:
    n_frames, *size = log.shape
    return frames_array(log.frame, n_frames, tuple(size), log.prediction.dtype)


def _lazy_ids(log: CorrectionLog) -> da.Array | None:
    """Ids (T, Y, X) of the objects of the corrected masks; None where a session keeps none."""
    objects = open_objects(log)
    if objects is None:
        return None
    known = objects

    def read(frame: int) -> np.ndarray:
        known.update(frame)
        return frame_of(known.ids, frame)

    n_frames, *size = log.shape
    return frames_array(read, n_frames, tuple(size), np.dtype(np.uint32))


def _lazy_marks(log: CorrectionLog) -> da.Array:
    n_frames, *size = log.shape
    return frames_array(log.unreviewed, n_frames, tuple(size), np.dtype(np.uint8))
