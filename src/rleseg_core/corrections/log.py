"""The log of a correction session: one line for each change, only ever appended to."""

import collections
import os
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import dask.array as da
import numpy as np
import zarr

from rleseg_core.corrections.cache import LabelCache
from rleseg_core.corrections.delta import Correction, diff_labels
from rleseg_core.corrections.gate import WriterGate
from rleseg_core.corrections.header import (
    LABELS,
    LOG,
    MARKS,
    PREDICTION,
    STROKES,
    SessionHeader,
    read_header,
)
from rleseg_core.corrections.history import Change, read_history
from rleseg_core.corrections.labels import with_strokes
from rleseg_core.corrections.logged import FrameRecorded, LoggedFrames
from rleseg_core.corrections.prediction import Prediction
from rleseg_core.corrections.records import MARK, Frames, Record
from rleseg_core.corrections.session import create_session
from rleseg_core.corrections.strokes import StrokeFile
from rleseg_core.errors import DataError
from rleseg_core.files import time_stamp
from rleseg_core.files.lines import LineFile, to_line


class CorrectionLog:
    """The changes of one correction session, on the disk before `append` returns.

    One object at a time has a session open to write; any number may have it open read-only.

    Parameters
    ----------
    folder : str or Path
        Folder of the session, made by `CorrectionLog.create`. A record that was being written when
        the program was killed is ignored; all earlier records are read.
    read_only : bool
        Look at the session: nothing on the disk changes, and whatever would change it is refused.

    Attributes
    ----------
    folder : Path
        The session's folder.
    read_only : bool
        Whether it is only looked at.
    class_names : tuple of str
        Names of the classes 1, 2, …
    shape : (int, int, int)
        (T, Y, X).
    labels : SessionLabels
        (T, Y, X) class ids as they are being corrected: an array to read and to paint on.
    marks : SessionLabels
        (T, Y, X) uint8, 1 where nobody has reviewed the labels: an array to paint on.
    provenance : dict
        Model, version and parameters of the prediction.
    created : str
        When the session was made, as a time stamp.
    image_path : Path or None
        File or folder of the images; None if they are in no file.
    image_mark : str or None
        What the images contained when the session was made, as `image_mark`; None if unknown.

    Raises
    ------
    InUseError
        If another program has the session open to write; the message says which one.
    DataError
        If the folder holds no session, cannot be written to, or something in it that cannot be
        rebuilt is damaged.

    Notes
    -----
    Several threads may use one object. `close` it, or use it in a ``with`` statement.
    """

    def __init__(self, folder: str | Path, *, read_only: bool = False):
        self.folder, self.read_only = Path(folder), read_only
        header = read_header(self.folder)
        self.class_names, self.shape = header.class_names, header.shape
        self.provenance, self.created = dict(header.provenance), header.created
        self.image_path, self.image_mark = header.image_path, header.image_mark
        self._lock = threading.RLock()  # of what is written
        self._gate = WriterGate(self.folder, read_only=read_only)
        self._file = LineFile(self.folder / LOG)
        self._cache = LabelCache(self.folder / LABELS, header.shape, header.dtype)
        if not read_only:
            self._gate.take()
            self._cache.remove_partial()
        try:
            self._read(header)
        except (DataError, OSError):
            self._gate.release()
            raise

    @classmethod
    def create(
        cls,
        folder: str | Path,
        prediction: zarr.Array | np.ndarray | da.Array,
        *,
        class_names: Sequence[str],
        provenance: Mapping[str, object] | None = None,
        image_path: str | Path | None = None,
        images: np.ndarray | da.Array | zarr.Array | None = None,
    ) -> Self:
        """A new session; see `create_session`, which reports each frame."""
        collections.deque(
            create_session(
                folder,
                prediction,
                class_names=class_names,
                provenance=provenance,
                image_path=image_path,
                images=images,
            ),
            maxlen=0,
        )
        return cls(folder)

    @property
    def prediction(self) -> zarr.Array:
        """(T, Y, X) class ids as the model predicted them, open to read."""
        return self._predicted.array

    @property
    def n_changes(self) -> int:
        """Changes that can be undone."""
        return len(self._history.changes)

    @property
    def n_undone(self) -> int:
        """Undone changes that can be redone."""
        return len(self._history.undone)

    @property
    def n_damaged(self) -> int:
        """Damaged lines of the log, which are ignored."""
        return self._history.n_damaged

    @property
    def n_unknown(self) -> int:
        """Lines of a later version of the program, which are kept and ignored."""
        return self._history.n_unknown

    @property
    def saved(self) -> str | None:
        """Time stamp of the last record; None before there is one."""
        return self._history.saved

    @property
    def cache_failure(self) -> str | None:
        """Why ``labels.zarr`` does not follow the log; None if it does."""
        return self._cache.failure

    def frame(self, frame: int) -> np.ndarray:
        """A copy of the corrected labels of a frame, (Y, X): prediction and recorded changes."""
        return self._logged.frame(frame).copy()

    def predicted(self, frame: int) -> np.ndarray:
        """A copy of the prediction of a frame, (Y, X).

        Raises
        ------
        DataError
            If it is damaged, and nothing holds what is needed to restore it.
        """
        return self._logged.predicted(frame)

    def append(self, correction: Correction) -> None:
        """Record a change; what was undone before can no longer be redone."""
        with self._lock:
            self._record_painted([correction.frame])
            self._append(correction, self.labels.last_stroke)

    def record(self, frame: int, labels: np.ndarray) -> FrameRecorded:
        """Append the difference between `labels` (Y, X) and the log, if there is any."""
        with self._lock:
            return self._record(frame, labels, self.labels.last_stroke)

    def record_painted(self, frame: int) -> FrameRecorded:
        """Append what was painted on `labels` in a frame, if it is not in the log yet."""
        with self._lock:
            labels, stroke = self.labels.snapshot(frame)
            return self._record(frame, labels, stroke)

    def reconcile(self, frame: int) -> FrameRecorded:
        """Record what was painted on a frame, and bring ``labels.zarr`` in step with the log.

        A pixel of ``labels.zarr`` that differs from the log is older than the log where it has a
        value that the pixel had before; there, and where it is damaged, the log wins. A class that
        the pixel never had was painted by another program: that is recorded as a change.
        """
        with self._lock:
            report = self.record_painted(frame)
            self.record_marked(frame)
            found, labels = self._cache.read(frame), self._logged.frame(frame)
            if found is None:
                n_restored = labels.size if labels.any() else 0
            else:
                other = found != labels
                if not other.any():
                    return report
                is_class = (found >= 0) & (found <= max(len(self.class_names), int(labels.max())))
                newer = other & ~self._logged.earlier_values(found, frame) & bool(is_class.all())
                n_restored = int((other & ~newer).sum())
                if newer.any():
                    late = self.record(frame, np.where(newer, found, labels))
                    n_pixels = report.n_pixels + late.n_pixels
                    report = FrameRecorded(frame, n_pixels, late.n_changed)
            self._cache.write(frame, self._logged.frame(frame))
            return FrameRecorded(frame, report.n_pixels, report.n_changed, n_restored)

    def undo(self) -> Correction | None:
        """Undo the last change and return it, to be reverted; None if there is none."""
        with self._lock:
            self._record_painted(self.labels.painted_frames())
            return self._move("undo", self._history.changes)

    def redo(self) -> Correction | None:
        """Redo the last undone change and return it, to be applied; None if there is none."""
        with self._lock:
            self._record_painted(self.labels.painted_frames())
            return self._move("redo", self._history.undone)

    def accept(self, frame: int, accepted: bool = True) -> None:
        """Record that a person accepts the labels of this frame as right (or no longer does)."""
        with self._lock:
            if accepted != (frame in self._history.accepted):
                self._write("accept" if accepted else "reopen", frame)

    def accepted_frames(self) -> list[int]:
        """Frames that a person accepted, changed or not, in order."""
        return self._logged.accepted()

    def changed_pixels(self) -> dict[int, int]:
        """Number of pixels that differ from the prediction, of each frame that has any."""
        last = {change.correction.frame: change.n_changed for change in self._logged.changes()}
        return {frame: n for frame, n in sorted(last.items()) if n}

    def corrected_frames(self) -> list[int]:
        """Frames to train on, in order: changed by a person, or accepted as they are."""
        return sorted(set(self.accepted_frames()) | set(self.changed_pixels()))

    def mark_unreviewed(self, frame: int, unreviewed: np.ndarray) -> int:
        """Record which pixels (Y, X) bool of a frame nobody has reviewed; they do not teach.

        Returns
        -------
        int
            Pixels whose mark changed.
        """
        with self._lock:
            return self._mark(frame, np.asarray(unreviewed), self.marks.last_stroke)

    def record_marked(self, frame: int) -> int:
        """Record what was painted on `marks` in a frame; the pixels whose mark changed."""
        with self._lock:
            return self._mark(frame, *self.marks.snapshot(frame))

    def unreviewed(self, frame: int) -> np.ndarray:
        """Pixels of a frame that nobody has reviewed, (Y, X) uint8: 1 for those, else 0."""
        return self._logged.unreviewed(frame)

    def unreviewed_pixels(self) -> dict[int, int]:
        """Number of pixels that nobody has reviewed, of each frame that has any marked as such."""
        found = {frame: int(self.unreviewed(frame).sum()) for frame in self._logged.marked()}
        return {frame: n for frame, n in found.items() if n}

    def replay(self, prediction: np.ndarray | zarr.Array | None = None) -> np.ndarray:
        """Labels (T, Y, X): all changes applied to `prediction`, by default that of the session."""
        if prediction is None:
            frames = [self.frame(frame) for frame in range(self.shape[0])]
            return np.stack(frames) if frames else np.zeros(self.shape, self.labels.dtype)
        labels = np.array(prediction[:])
        for change in self._logged.changes():
            change.correction.apply(labels[change.correction.frame])
        return labels

    def close(self) -> None:
        """Close the session, which another program may open then; the next change opens it anew."""
        with self._lock:
            self._file.close()
            self._strokes.close()
            self._mark_strokes.close()
            self._gate.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _record(self, frame: int, labels: np.ndarray, stroke: int) -> FrameRecorded:
        correction = diff_labels(self._logged.frame(frame), labels, frame)
        if correction.n_pixels:
            self._append(correction, stroke)
        elif frame in self.labels.painted_frames():
            self._write("unchanged", frame, strokes=stroke)
            self.labels.recorded(frame, stroke)
        return FrameRecorded(frame, correction.n_pixels, self.changed_pixels().get(frame, 0))

    def _mark(self, frame: int, marked: np.ndarray, stroke: int) -> int:
        correction = diff_labels(self.unreviewed(frame), (marked != 0).astype(np.uint8), frame)
        if correction.n_pixels or frame in self.marks.painted_frames():
            self._write(MARK, frame, correction, strokes=stroke)
        self.marks.recorded(frame, stroke)
        return correction.n_pixels

    def _record_painted(self, frames: Sequence[int]) -> None:
        for frame in set(frames) & set(self.labels.painted_frames()):
            self.record_painted(frame)

    def _append(self, correction: Correction, stroke: int) -> None:
        frame = correction.frame
        labels = correction.apply(self.frame(frame))
        n_changed = self._logged.n_changed(labels, frame)
        self._write("change", frame, correction, n_changed, strokes=stroke)
        self._changed(frame, stroke)

    def _move(self, kind: str, source: list[Change]) -> Correction | None:
        if not source:
            return None
        correction, stroke = source[-1].correction, self.labels.last_stroke
        self._write(kind, correction.frame, target=source[-1].number, strokes=stroke)
        self._changed(correction.frame, stroke)
        return correction

    def _changed(self, frame: int, stroke: int) -> None:
        self.labels.recorded(frame, stroke)
        self._cache.write(frame, self._logged.frame(frame))

    def _read(self, header: SessionHeader) -> None:
        """Read everything; what is made here refers to each other, never to this object."""
        frames = Frames(header.shape, header.dtype)
        self._history = read_history(self.folder / LOG, frames)
        self._gate.note()
        self._predicted = Prediction(
            self.folder / PREDICTION, header, self._cache, self._history, repair=not self.read_only
        )
        self._logged = LoggedFrames(self._history, self._predicted)
        marks = Frames(header.shape, np.dtype(np.uint8))
        history, logged = self._history, self._logged
        painted, marked = history.painted, history.marked
        self._strokes = StrokeFile(self.folder / STROKES, history, self._gate)
        self._mark_strokes = StrokeFile(self.folder / MARKS, history, self._gate)
        may = not self.read_only
        self.labels = with_strokes(frames, logged.frame, painted, self._strokes, writable=may)
        self.marks = with_strokes(
            marks, logged.unreviewed, marked, self._mark_strokes, writable=may
        )

    def _write(
        self,
        kind: str,
        frame: int,
        correction: Correction | None = None,
        n_changed: int = 0,
        target: int | None = None,
        strokes: int | None = None,
    ) -> None:
        """Write a record, and take it into account once it is on the disk."""
        number, frame = self._history.number + 1, int(frame)
        record = Record(kind, frame, time_stamp(), number, correction, n_changed, target, strokes)
        self._gate.take()
        self._file.append(to_line(record.fields()))
        try:
            os.fsync(self._file.fileno())
        except OSError as error:
            self._file.cut_off()
            if error.errno is not None and error.filename is None:
                error.filename = str(self._file.path)
            raise
        self._file.commit()
        self._gate.note()
        self._logged.follow(record)
