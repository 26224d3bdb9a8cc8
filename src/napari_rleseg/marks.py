"""Regions that nobody has reviewed: a layer to mark them on, recorded in the correction log."""

import numpy as np
from napari.layers import Labels
from napari.utils.colormaps import DirectLabelColormap
from napari.viewer import Viewer
from qtpy.QtCore import QObject, QTimer, Signal

from napari_rleseg.jobs import InProcessRunner
from napari_rleseg.layers import UNKNOWN_COLOUR, notes, stack_transform
from napari_rleseg.recorder import CorrectionRecorder
from rleseg_core.corrections import SessionLabels, record_marks

QUIET_MS = 300  # without a stroke, then marks are recorded
NAME = "not reviewed"


class ReviewMarks(QObject):
    """The layer of what nobody has reviewed, and what records it.

    Parameters
    ----------
    viewer : Viewer
        Its layers get one more, above the corrected masks.
    recorder : CorrectionRecorder
        The corrections that the marks belong to.
    parent : QObject or None
        Owner.

    Attributes
    ----------
    layer : Labels
        (T, Y, X) uint8, 1 where nobody has reviewed the masks.
    """

    saved = Signal()
    painted = Signal()
    failed = Signal(str, str)  # message, traceback or nothing

    def __init__(self, viewer: Viewer, recorder: CorrectionRecorder, parent: QObject | None = None):
        super().__init__(parent)
        self._recorder, self._log = recorder, recorder.log
        self._marks = self._log.marks
        self.layer = _layer(self._marks, recorder.layer)
        viewer.add_layer(self.layer)
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.timeout.connect(self._flush)
        self._runner = InProcessRunner("RLE Seg: saving what is not reviewed", self)
        self._runner.finished.connect(self._wrote)
        self._runner.failed.connect(self._fail)
        self.painted.connect(self._start_timer)
        self._marks.on_painted = self.painted.emit
        marks = self._marks
        self.destroyed.connect(lambda: setattr(marks, "on_painted", None))

    @property
    def frame(self) -> int:
        """The frame that is shown."""
        return self._recorder.frame

    def mark_beyond_view(self) -> None:
        """Mark all of the frame that lies beyond what the viewer shows of it."""
        (top, left), (bottom, right) = self._recorder.layer.corner_pixels[:, -2:]
        marked = np.ones(self._log.shape[1:], np.uint8)
        view = np.s_[max(0, int(top)) : int(bottom) + 1, max(0, int(left)) : int(right) + 1]
        marked[view] = self._marks[self.frame][view]
        self._set(marked)

    def clear_frame(self) -> None:
        """Mark the whole frame as reviewed."""
        self._set(np.zeros(self._log.shape[1:], np.uint8))

    def share(self) -> float:
        """Share of the pixels of the frame that nobody has reviewed, 0 to 1."""
        return float(self._marks[self.frame].mean())

    def flush(self) -> None:
        """Record now what is not recorded yet, and wait for it."""
        self._timer.stop()
        if sum(record_marks(self._log, self._marks.painted_frames())):
            self.saved.emit()

    def close(self, viewer: Viewer) -> None:
        """Record what is left, and take the layer away."""
        self.flush()
        self._marks.on_painted = None
        self._runner.close()
        if self.layer in viewer.layers:
            viewer.layers.remove(self.layer)

    def _set(self, marked: np.ndarray) -> None:
        self._marks[self.frame] = marked
        self.layer.refresh()

    def _start_timer(self) -> None:
        self._timer.start(QUIET_MS)

    def _flush(self) -> None:
        frames = self._marks.painted_frames()
        if frames and not self._runner.busy:
            self._runner.start(record_marks, self._log, frames)

    def _fail(self, sentence: str, details: str) -> None:
        # tried again with the next stroke, or at the end
        self.failed.emit(f"What is not reviewed is not saved: {sentence}", details)

    def _wrote(self) -> None:
        self.saved.emit()
        if not self._timer.isActive():
            self._flush()  # what was marked meanwhile


def _layer(data: SessionLabels, masks: Labels) -> Labels:
    colours: dict[int | None, str] = {None: UNKNOWN_COLOUR, 0: "transparent", 1: UNKNOWN_COLOUR}
    layer = Labels(
        data,
        name=NAME,
        opacity=0.6,
        colormap=DirectLabelColormap(color_dict=colours),
        **stack_transform(masks),
    )
    notes(layer)["class_names"] = (NAME,)
    notes(layer)["preview"] = True  # no masks to be segmented, corrected or learned from
    layer.selected_label = 1
    return layer
