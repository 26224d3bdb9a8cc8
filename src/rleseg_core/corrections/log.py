"""The log of a correction session: one line for each change, only ever appended to."""

import collections
import logging
import os
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Self

import dask.array as da
import numpy as np
import zarr

from rleseg_core.corrections.delta import Correction, diff_labels
from rleseg_core.corrections.records import from_line, to_line
from rleseg_core.corrections.session import LABELS, LOG, PREDICTION, create_session, read_header
from rleseg_core.files import time_stamp

N_CACHED = 8  # frames in memory: a person goes back and forth between a few

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class FrameRecorded:
    """Report of a frame whose labels were compared with the log.

    Parameters
    ----------
    frame : int
        Index of the frame.
    n_pixels : int
        Pixels whose change was recorded now.
    n_changed : int
        Pixels that differ from the prediction.
    """

    frame: int
    n_pixels: int
    n_changed: int


class CorrectionLog:
    """The changes of one correction session, on the disk before `append` returns.

    Parameters
    ----------
    folder : str or Path
        Folder of the session, made by `CorrectionLog.create`. A record that was being written when
        the program was killed is ignored; all earlier records are read.

    Attributes
    ----------
    folder : Path
        The session's folder.
    class_names : tuple of str
        Names of the classes 1, 2, …
    shape : (int, int, int)
        (T, Y, X).
    prediction, labels : zarr.Array
        (T, Y, X) class ids: as the model predicted them, and as they are being corrected.
    provenance : dict
        Model, version and parameters of the prediction.
    created : str
        When the session was made, as a time stamp.
    image_path : Path or None
        File or folder of the images; None if they are in no file.
    saved : str or None
        Time stamp of the last record; None before there is one.
    n_damaged : int
        Damaged lines of the log, which are ignored.

    Raises
    ------
    DataError
        If the folder holds no session.

    Notes
    -----
    Several threads may use one object.
    """

    def __init__(self, folder: str | Path):
        self.folder = Path(folder)
        header = read_header(self.folder)
        self.class_names = tuple(header["class_names"])
        self.shape = tuple(header["shape"])
        self.provenance = header["provenance"]
        self.created = str(header["created"])
        self.image_path = Path(header["image"]) if header["image"] else None
        self.prediction: zarr.Array = zarr.open_array(self.folder / PREDICTION, mode="r")
        self.labels: zarr.Array = zarr.open_array(self.folder / LABELS, mode="r+")
        self.n_damaged = 0
        self.saved: str | None = None
        self._lock = threading.RLock()
        self._changes: list[tuple[Correction, int]] = []  # with the pixels that differ then
        self._undone: list[tuple[Correction, int]] = []
        self._accepted: set[int] = set()
        self._frames: collections.OrderedDict[int, np.ndarray] = collections.OrderedDict()
        self._ends_with_newline = True
        self._file: BinaryIO | None = None
        self._read()

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
    def n_changes(self) -> int:
        """Changes that can be undone."""
        return len(self._changes)

    @property
    def n_undone(self) -> int:
        """Undone changes that can be redone."""
        return len(self._undone)

    def frame(self, frame: int) -> np.ndarray:
        """A copy of the corrected labels of a frame, (Y, X): prediction and recorded changes."""
        with self._lock:
            return self._frame(frame).copy()

    def append(self, correction: Correction) -> None:
        """Record a change; what was undone before can no longer be redone."""
        with self._lock:
            labels = correction.apply(self.frame(correction.frame))
            n_changed = int(np.count_nonzero(labels != self.prediction[correction.frame]))
            self._write(
                "change",
                correction.frame,
                n_pixels=correction.n_pixels,
                n_changed=n_changed,
                runs=correction.to_text(),
            )
            self._changes.append((correction, n_changed))
            self._undone.clear()
            self._keep_frame(correction.frame, labels)

    def record(self, frame: int, labels: np.ndarray) -> FrameRecorded:
        """Append the difference between `labels` (Y, X) and the log, if there is any."""
        with self._lock:
            correction = diff_labels(self._frame(frame), labels, frame)
            if correction.n_pixels:
                self.append(correction)
            return FrameRecorded(frame, correction.n_pixels, self.changed_pixels().get(frame, 0))

    def undo(self) -> Correction | None:
        """Undo the last change and return it, to be reverted; None if there is none."""
        with self._lock:
            return self._move("undo", self._changes, self._undone)

    def redo(self) -> Correction | None:
        """Redo the last undone change and return it, to be applied; None if there is none."""
        with self._lock:
            return self._move("redo", self._undone, self._changes)

    def accept(self, frame: int, accepted: bool = True) -> None:
        """Record that a person accepts the labels of this frame as right (or no longer does)."""
        with self._lock:
            if accepted != (frame in self._accepted):
                self._write("accept" if accepted else "reopen", frame)
                self._follow("accept" if accepted else "reopen", frame)

    def accepted_frames(self) -> list[int]:
        """Frames that a person accepted, changed or not, in order."""
        return sorted(self._accepted)

    def changed_pixels(self) -> dict[int, int]:
        """Number of pixels that differ from the prediction, of each frame that has any."""
        with self._lock:
            last = {correction.frame: n_changed for correction, n_changed in self._changes}
        return {frame: n for frame, n in sorted(last.items()) if n}

    def corrected_frames(self) -> list[int]:
        """Frames to train on, in order: changed by a person, or accepted as they are."""
        return sorted(self._accepted | set(self.changed_pixels()))

    def replay(self, prediction: np.ndarray | zarr.Array | None = None) -> np.ndarray:
        """Labels (T, Y, X): all changes applied to `prediction`, by default that of the session."""
        labels = np.array((self.prediction if prediction is None else prediction)[:])
        with self._lock:
            for correction, _ in self._changes:
                correction.apply(labels[correction.frame])
        return labels

    def close(self) -> None:
        """Close the file; the next change opens it again."""
        with self._lock:
            if self._file is not None:
                self._file.close()
                self._file = None

    def _frame(self, frame: int) -> np.ndarray:
        if frame not in self._frames:
            labels = np.array(self.prediction[frame])
            for correction, _ in self._changes:
                if correction.frame == frame:
                    correction.apply(labels)
            self._keep_frame(frame, labels)
        return self._frames[frame]

    def _keep_frame(self, frame: int, labels: np.ndarray) -> None:
        self._frames[frame] = labels
        self._frames.move_to_end(frame)
        while len(self._frames) > N_CACHED:
            self._frames.popitem(last=False)

    def _move(
        self, kind: str, source: list[tuple[Correction, int]], target: list[tuple[Correction, int]]
    ) -> Correction | None:
        if not source:
            return None
        correction = source[-1][0]
        self._write(kind, correction.frame)
        target.append(source.pop())
        self._frames.pop(correction.frame, None)
        return correction

    def _read(self) -> None:
        content = (self.folder / LOG).read_bytes() if (self.folder / LOG).exists() else b""
        self._ends_with_newline = not content or content.endswith(b"\n")
        for line in content.split(b"\n"):
            record = from_line(line)
            if record is None:
                self.n_damaged += bool(line)
                continue
            self._follow(str(record["kind"]), record["frame"], record)
            self.saved = record["time"]
        if self.n_damaged:
            _log.warning("%s: %d damaged lines are ignored", self.folder, self.n_damaged)

    def _follow(self, kind: str, frame: int, record: dict | None = None) -> None:
        """Apply a record to the state in memory."""
        if kind == "change" and record is not None:
            self._changes.append((Correction.from_text(frame, record["runs"]), record["n_changed"]))
            self._undone.clear()
        elif kind == "undo" and self._changes:
            self._undone.append(self._changes.pop())
        elif kind == "redo" and self._undone:
            self._changes.append(self._undone.pop())
        elif kind == "accept":
            self._accepted.add(frame)
        elif kind == "reopen":
            self._accepted.discard(frame)

    def _write(self, kind: str, frame: int, **values: int | str) -> None:
        written = time_stamp()
        line = to_line({"kind": kind, "frame": int(frame), "time": written, **values})
        if self._file is None:
            self._file = (self.folder / LOG).open("ab", buffering=0)
        if not self._ends_with_newline:  # keeps a torn record apart from this one
            line = b"\n" + line
        self._ends_with_newline = False
        if self._file.write(line) != len(line):
            raise OSError(f"{self.folder / LOG}: the disk is full")
        os.fsync(self._file.fileno())
        self._ends_with_newline = True
        self.saved = written
