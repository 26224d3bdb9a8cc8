"""Correction sessions on disk: which belong to an image, and what is to be said when one opens."""

import os
from collections.abc import Generator
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

import numpy as np

from napari_rleseg.io import read_record
from rleseg_core.corrections import (
    CorrectionLog,
    FrameCopied,
    FrameRecorded,
    SessionHeader,
    create_session,
    image_mark,
    read_header,
    recover,
)
from rleseg_core.corrections.objects import SessionObjects, keep_objects, open_objects
from rleseg_core.data.arrays import ArrayLike, frame_of, frames_array
from rleseg_core.data.labels import without_ignored
from rleseg_core.data.metadata import UNKNOWN, StackMetadata
from rleseg_core.errors import DataError, InUseError, UnwritableError
from rleseg_core.objects import ObjectTable
from rleseg_core.objects.corrected import corrected_ids, ids_of_new
from rleseg_core.spec import IGNORED

FOLDER = "corrections"


@dataclass(frozen=True)
class EarlierSession:
    """A correction session on disk.

    Parameters
    ----------
    folder : Path
        Where it is.
    title : str
        What to show: when it was saved, its name, and what is odd about it.
    problem : str
        Why it cannot be opened; nothing if it can.
    """

    folder: Path
    title: str
    problem: str = ""


@dataclass(frozen=True)
class OpenedCorrections:
    """A session that was opened.

    Parameters
    ----------
    log : CorrectionLog
        Its log.
    notes : tuple of str
        What the user is to know: sentences.
    objects : SessionObjects or None
        Its objects, which follow the masks; None if there are none.
    """

    log: CorrectionLog
    notes: tuple[str, ...] = ()
    objects: SessionObjects | None = None


@dataclass(frozen=True)
class KeptObjects:
    """The objects of a prediction, to be kept with its corrections.

    Parameters
    ----------
    ids : (T, Y, X) uint32 array
        Their ids.
    table : ObjectTable
        What is known of them.
    metadata : StackMetadata
        Of the images.
    """

    ids: ArrayLike
    table: ObjectTable
    metadata: StackMetadata = UNKNOWN


@dataclass(frozen=True)
class RefusedCorrections:
    """A session that can only be looked at.

    Parameters
    ----------
    folder : Path
        Where it is.
    reason : str
        Who else has it open, or why it cannot be written to.
    """

    folder: Path
    reason: str


def find_earlier(
    sessions: Path, image: Path, shape: tuple[int, int, int], besides: Path | None = None
) -> list[EarlierSession]:
    """Sessions of an image, the newest first; those that cannot be read are among them.

    Parameters
    ----------
    sessions : Path
        Folder of this user's sessions.
    image : Path
        File or folder of the image.
    shape : (int, int, int)
        Its (T, Y, X). Sessions of that shape whose image is no longer where it was are listed too.
    besides : Path, optional
        A session that is left out.
    """
    found = []
    for path in sessions.glob(f"*/{FOLDER}*/session.json"):
        folder = path.parent
        if folder == besides:
            continue
        title, problem, fits = _saved(folder), "", True
        try:
            note = _note(read_header(folder), image, shape)
            fits = note is not None
            title += note or ""
        except DataError as error:
            problem, title = str(error), f"{title} (unreadable)"
            fits = _is_of(folder, image)
        if fits:
            found.append((_when(folder), EarlierSession(folder, title, problem)))
    return [session for _, session in sorted(found, key=lambda pair: pair[0], reverse=True)]


def begin_corrections(
    folder: Path,
    prediction: ArrayLike,
    *,
    ignores: bool = False,
    objects: KeptObjects | None = None,
    **options: object,
) -> Generator[FrameCopied, None, OpenedCorrections]:
    """Job that makes a session, as `create_session`, and opens it.

    Parameters
    ----------
    folder : Path
        The new session.
    prediction : (T, Y, X) integer array
        Class ids.
    ignores : bool
        Whether `IGNORED` among them stands for pixels that nobody has reviewed.
    objects : KeptObjects, optional
        Objects of the prediction.
    **options
        Those of `create_session`.
    """
    source = prediction
    if ignores:

        def known(frame: int) -> np.ndarray:
            return without_ignored(np.asarray(prediction[frame]))

        n_frames, *size = prediction.shape
        source = frames_array(known, n_frames, tuple(size), np.dtype(prediction.dtype))
    yield from create_session(folder, source, **options)  # type: ignore[arg-type]
    if objects is not None:
        objects = _made_fit(objects, source)
        for _ in keep_objects(folder, objects.ids, objects.table, objects.metadata):
            pass
    log = CorrectionLog(folder)
    for frame in range(log.shape[0] if ignores else 0):
        log.mark_unreviewed(frame, np.asarray(prediction[frame]) == IGNORED)
    return OpenedCorrections(log, (), open_objects(log, objects.metadata if objects else UNKNOWN))


def _made_fit(objects: KeptObjects, masks: ArrayLike) -> KeptObjects:
    """Objects whose masks (T, Y, X) somebody painted on since they were found, as they are now."""
    table, n_frames = objects.table, int(masks.shape[0])
    changed: dict[int, np.ndarray] = {}
    tables = [ObjectTable.empty(table.class_names)]
    for frame in range(n_frames):
        ids, classes = frame_of(objects.ids, frame), frame_of(masks, frame)
        rows, was = table.in_frames([frame]), table.class_map(ids)
        if (was != classes).any():
            new = ids_of_new(int(table.id.max(initial=0)), n_frames, frame)
            ids = changed[frame] = corrected_ids(ids, was, classes, new)
            rows = ObjectTable.of(
                ids[None], classes[None], table.class_names, first_frame=frame, state="corrected"
            )
        tables.append(rows)
    if not changed:
        return objects

    def read(frame: int) -> np.ndarray:
        return changed[frame] if frame in changed else frame_of(objects.ids, frame)

    ids = frames_array(read, n_frames, tuple(masks.shape[1:]), np.dtype(np.uint32))
    return replace(objects, ids=ids, table=ObjectTable.concatenate(tables))


def open_corrections(
    folder: Path,
    image: Path | None,
    *,
    read_only: bool = False,
    metadata: StackMetadata = UNKNOWN,
) -> Generator[FrameRecorded, None, OpenedCorrections | RefusedCorrections]:
    """Job that opens a session, and says what happened to it since it was closed.

    Parameters
    ----------
    folder : Path
        The session.
    image : Path or None
        File of the image that the masks are shown on.
    read_only : bool
        Only look at it.
    metadata : StackMetadata
        Of that image.
    """
    n_recorded, restored = 0, []
    reports = recover(folder, read_only=read_only)
    try:
        while True:
            report = next(reports)
            n_recorded += report.n_pixels
            restored += [report.frame] if report.n_restored else []
            yield report
    except StopIteration as end:
        log: CorrectionLog = end.value
    except (InUseError, UnwritableError) as error:
        return RefusedCorrections(folder, str(error))
    finally:
        reports.close()
    objects = open_objects(log, metadata)
    for frame in () if objects is None else objects.update_all():
        yield FrameRecorded(frame, 0, 0)
    return OpenedCorrections(log, tuple(_notes(log, n_recorded, restored, image)), objects)


def _notes(
    log: CorrectionLog, n_recorded: int, restored: list[int], image: Path | None
) -> Generator[str, None, None]:
    if log.read_only:
        yield "These corrections are open read-only: nothing of what is shown is saved."
    if restored:
        frames = ", ".join(str(frame) for frame in restored[:8]) + (", …" * (len(restored) > 8))
        yield (
            f"The masks of frame{'s' * (len(restored) > 1)} {frames} were older than the log, or "
            "damaged; they were restored from the log."
        )
    if n_recorded:
        yield f"{n_recorded:,} px that were painted before the program ended were recovered."
    if log.n_damaged:
        yield f"{log.n_damaged} damaged lines of the log are left out."
    if log.n_unknown:
        yield f"{log.n_unknown} records of a later version are kept and not shown; update rleseg."
    if log.cache_failure:
        yield f"The log is saved, but {log.cache_failure}."
    if log.image_path is not None and not os.path.exists(log.image_path):
        yield f"The image that was corrected is no longer at {log.image_path}."
    mark = image_mark(image) if image is not None and log.image_mark is not None else None
    if mark is not None and mark != log.image_mark:
        yield "This image is not the one that was corrected: its pixels differ."


def _note(header: SessionHeader, image: Path, shape: tuple[int, int, int]) -> str | None:
    """What is odd about a session of an image, or nothing; None if it is of another image."""
    if header.image_path is None:
        return None
    if str(header.image_path) == str(image.resolve()):
        return "" if header.shape == shape else f" (of {header.shape}, the image is {shape})"
    if header.shape != shape or os.path.exists(header.image_path):
        return None
    return f" (its image was {header.image_path.name})"


def _is_of(folder: Path, image: Path) -> bool:
    """Whether an unreadable session may be one of an image, by the record of its folder."""
    try:
        return str(read_record(folder.parent)["image"]) in (str(image), str(image.resolve()))
    except DataError:
        return True


def _when(folder: Path) -> float:
    times = [0.0]
    for name in ("corrections.jsonl", "session.json"):
        try:
            times.append((folder / name).stat().st_mtime)
        except OSError:
            continue
    return times[1] if len(times) > 1 else 0.0


def _saved(folder: Path) -> str:
    saved = datetime.fromtimestamp(_when(folder)).astimezone().strftime("%d %b %Y %H:%M")
    return f"{saved} · {folder.parent.stem}"
