"""The jobs that carry an object, or a corrected frame, through other frames (see `tasks`).

Knows neither Qt nor napari; imports torch only in the jobs.
"""

from collections import Counter
from collections.abc import Generator, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import zarr

from napari_rleseg.loaded import segmenter
from napari_rleseg.object_files import IDS
from napari_rleseg.taking import classes_for, difference
from napari_rleseg.tasks import SegmentSettings, predict_options
from rleseg_core.corrections import CorrectionLog
from rleseg_core.corrections.objects import open_objects
from rleseg_core.data import ImageStack
from rleseg_core.data.formats.registry import open_source
from rleseg_core.data.formats.zarr_writing import create_stack
from rleseg_core.errors import DataError
from rleseg_core.files import whole_file

CHANGES = np.dtype(np.uint16)  # see `taking.difference`


@dataclass(frozen=True, kw_only=True, eq=False)
class GivenObject:
    """An object that is known in one frame.

    Parameters
    ----------
    frame : int
        Index of the frame.
    top, left : int
        First row and column of the box around it.
    mask : (h, w) bool
        Its pixels there.
    """

    frame: int
    top: int
    left: int
    mask: np.ndarray

    @classmethod
    def of(cls, mask: np.ndarray, frame: int) -> "GivenObject":
        """The object of a mask (Y, X) bool; a DataError if it is empty."""
        rows, cols = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
        if not rows.size:
            raise DataError(f"the object has no pixels in frame {frame}; choose another one")
        box = slice(int(rows[0]), int(rows[-1]) + 1), slice(int(cols[0]), int(cols[-1]) + 1)
        return cls(frame=frame, top=box[0].start, left=box[1].start, mask=mask[box].copy())

    def whole(self, shape: tuple[int, ...]) -> np.ndarray:
        """Its pixels in the frame, (Y, X) bool."""
        mask = np.zeros(shape, bool)
        height, width = self.mask.shape
        mask[self.top : self.top + height, self.left : self.left + width] = self.mask
        return mask


@dataclass(frozen=True, kw_only=True)
class FrameWritten:
    """A frame that was written.

    Parameters
    ----------
    frame : int
        Index of the frame.
    n_objects : int
        Objects that were found or that change.
    n_pixels : int
        Pixels that they have, or that change.
    n_done, n_frames : int
        Frames done, and those in all.
    kinds : mapping of str to int
        How many of them change in which way, see `ObjectChange`.
    """

    frame: int
    n_objects: int
    n_pixels: int
    n_done: int
    n_frames: int
    kinds: Mapping[str, int] = field(default_factory=dict)


def follow(
    images: Path,
    result: Path,
    settings: SegmentSettings,
    given: GivenObject,
    frames: Sequence[int] | None = None,
) -> Generator[FrameWritten | str, None, None]:
    """Follow an object through a stack, see `Segmenter.follow`.

    Parameters
    ----------
    images : Path
        The stack.
    result : Path
        Array (T, Y, X) uint32 of tracks, made anew: 1 is the object, others its kin.
    settings : SegmentSettings
        Model, and how it is used.
    given : GivenObject
        The object.
    frames : sequence of int, optional
        Frames to look at; all by default.

    Yields
    ------
    FrameWritten or str
        After each frame; before the first, what is done.
    """
    stack = ImageStack.from_source(open_source(images))
    yield "Loading the model…"
    model = segmenter(settings.model, settings.device)
    tracks = _new(result, stack, IDS)
    mask = given.whole(stack.shape[1:3])
    tracks[given.frame] = mask.astype(IDS)
    yield "Looking for the object…"
    with closing(
        model.follow(stack, given.frame, mask, predict_options(settings), frames=frames)
    ) as run:
        for one in run:
            if one.objects:
                ids = np.zeros(mask.shape, IDS)
                for found in one.objects:
                    found.paint(ids)
                tracks[one.frame] = ids
            yield FrameWritten(
                frame=one.frame,
                n_objects=len(one.objects),
                n_pixels=sum(found.area for found in one.objects),
                n_done=one.n_done,
                n_frames=one.n_frames,
            )


def propagate(
    images: Path,
    result: Path,
    settings: SegmentSettings,
    session: Path,
    frames: Sequence[int],
) -> Generator[FrameWritten | str, None, None]:
    """Write frames again from a corrected one, see `Segmenter.propagate`; nothing is corrected yet.

    Accepted frames are left as they are, and those after them are written from them.

    Parameters
    ----------
    images : Path
        The stack.
    result : Path
        Array (T, Y, X) uint16 of what changes, made anew, see `taking.difference`.
    settings : SegmentSettings
        Model, and how it is used.
    session : Path
        Folder of the corrections.
    frames : sequence of int
        The corrected frame, and those after it that are written.

    Yields
    ------
    FrameWritten or str
        After each frame; before the first, what is done.

    Raises
    ------
    DataError
        If the corrected masks have no objects.
    """
    from rleseg_core.inference.follow import Corrected

    stack = ImageStack.from_source(open_source(images))
    yield "Loading the model…"
    model = segmenter(settings.model, settings.device)
    with CorrectionLog(session, read_only=True) as log:
        objects = open_objects(log)
        if objects is None:
            raise DataError("these masks have no objects yet; press Show objects in Segment first")
        for frame in frames:
            objects.update(frame)
        changes = _new(result, stack, CHANGES)
        runs = list(_runs(frames, log.accepted_frames()))
        n_frames = sum(len(after) for _, after in runs)
        yield "Writing the frames…"
        n_done = 0
        for start, after in runs:
            known = np.asarray(objects.ids[start])
            class_of = _classes_of(known, log.frame(start))
            corrected = Corrected(frame=start, ids=known, objects=objects.ids)
            with closing(
                model.propagate(stack, corrected, after, predict_options(settings))
            ) as run:
                for one in run:
                    n_done += 1
                    classes, ids = log.frame(one.frame), np.asarray(objects.ids[one.frame])
                    wanted = classes_for(classes, ids, one.ids, class_of)
                    change = difference(classes, wanted)
                    changes[one.frame] = change
                    kinds = Counter[str](
                        each.kind for each in one.changes if each.kind != "renamed"
                    )
                    yield FrameWritten(
                        frame=one.frame,
                        n_objects=kinds.total(),
                        n_pixels=int((change > 0).sum()),
                        n_done=n_done,
                        n_frames=n_frames,
                        kinds=dict(kinds),
                    )


def _new(path: Path, stack: ImageStack, dtype: np.dtype) -> zarr.Array:
    """An array of zeros for the frames of a stack, in place of what was there."""
    with whole_file(path) as temporary:
        create_stack(temporary, stack.shape[:3], dtype)
    return zarr.open_array(path, mode="r+")


def _runs(
    frames: Sequence[int], accepted: Iterable[int]
) -> Generator[tuple[int, list[int]], None, None]:
    """Known frames, each with those that are written from it."""
    known, start, after = set(accepted), frames[0], list[int]()
    for frame in frames[1:]:
        if frame not in known:
            after.append(frame)
            continue
        if after:
            yield start, after
        start, after = frame, []
    if after:
        yield start, after


def _classes_of(ids: np.ndarray, classes: np.ndarray) -> dict[int, int]:
    """Classes of the objects of a frame."""
    known, first = np.unique(ids, return_index=True)
    of_each = classes.ravel()[first].tolist()
    return {label: of for label, of in zip(known.tolist(), of_each, strict=True) if label and of}
