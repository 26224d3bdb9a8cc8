"""The labels that prediction and log give, frame by frame."""

import collections
import threading
from dataclasses import dataclass

import numpy as np

from rleseg_core.corrections.history import Change, History
from rleseg_core.corrections.prediction import Prediction
from rleseg_core.corrections.records import Record

N_CACHED = 8  # frames in memory: a person goes back and forth between a few


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
    n_restored : int
        Pixels of ``labels.zarr`` that were missing, damaged or older than the log.
    """

    frame: int
    n_pixels: int
    n_changed: int
    n_restored: int = 0


class LoggedFrames:
    """The frames of a session as its log has them; several threads may use one object.

    Parameters
    ----------
    history : History
        What the log says; followed from here on.
    prediction : Prediction
        What the changes are applied to.
    """

    def __init__(self, history: History, prediction: Prediction):
        self._history, self._prediction = history, prediction
        self._lock = threading.RLock()  # never held while something is written
        self._frames: collections.OrderedDict[int, np.ndarray] = collections.OrderedDict()

    def frame(self, frame: int) -> np.ndarray:
        """Labels (Y, X) of a frame, not to be changed."""
        with self._lock:
            if frame not in self._frames:
                labels = self._prediction.frame(frame).copy()
                for correction in self._history.of_frame(frame):
                    correction.apply(labels)
                self._frames[frame] = labels
            self._frames.move_to_end(frame)
            while len(self._frames) > N_CACHED:
                self._frames.popitem(last=False)
            return self._frames[frame]

    def predicted(self, frame: int) -> np.ndarray:
        """A copy of the prediction (Y, X) of a frame."""
        with self._lock:
            return self._prediction.frame(frame).copy()

    def follow(self, record: Record) -> None:
        """Take a record into account that is on the disk."""
        with self._lock:
            self._history.follow(record)
            self._frames.pop(record.frame, None)

    def n_changed(self, labels: np.ndarray, frame: int) -> int:
        """Pixels of `labels` (Y, X) that differ from the prediction of a frame."""
        with self._lock:
            return int(np.count_nonzero(labels != self._prediction.frame(frame)))

    def earlier_values(self, labels: np.ndarray, frame: int) -> np.ndarray:
        """Where `labels` (Y, X) have a value that the pixel had before: (Y, X) bool."""
        with self._lock:
            return self._history.earlier_values(frame, labels, self._prediction.frame(frame))

    def unreviewed(self, frame: int) -> np.ndarray:
        """Pixels (Y, X) of a frame that nobody has reviewed, uint8: 1 for those."""
        with self._lock:
            marked = np.zeros(self._prediction.array.shape[1:], np.uint8)
            for mark in self._history.marks.get(frame, ()):
                mark.apply(marked)
            return marked

    def marked(self) -> list[int]:
        """Frames in which pixels were ever marked, in order."""
        with self._lock:
            return sorted(self._history.marks)

    def changes(self) -> list[Change]:
        """The changes that stand, the first one first."""
        with self._lock:
            return list(self._history.changes)

    def accepted(self) -> list[int]:
        """Frames that a person accepted, in order."""
        with self._lock:
            return sorted(self._history.accepted)
