"""Regions that nobody has reviewed: a layer to mark them on, recorded in the correction log."""

from collections.abc import Iterable

import numpy as np
import zarr
from napari.layers import Labels
from napari.utils.colormaps import DirectLabelColormap
from napari.viewer import Viewer
from qtpy.QtCore import QObject, QTimer, Signal

from napari_rleseg.jobs import InProcessRunner
from napari_rleseg.layers import UNKNOWN_COLOUR, notes, stack_transform
from napari_rleseg.recorder import CorrectionRecorder
from napari_rleseg.signals import listen
from rleseg_core.corrections import record_marks

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
    failed = Signal(str, str)  # message, traceback or nothing

    def __init__(self, viewer: Viewer, recorder: CorrectionRecorder, parent: QObject | None = None):
        super().__init__(parent)
        self._recorder, self._log = recorder, recorder.log
        self._data = zarr.create_array(
            store={}, shape=self._log.shape, chunks=(1, *self._log.shape[1:]), dtype="uint8"
        )
        for frame in self._log.unreviewed_pixels():
            self._data[frame] = self._log.unreviewed(frame)
        self.layer = _layer(self._data, recorder.layer)
        viewer.add_layer(self.layer)
        self._dirty: set[int] = set()
        self._writing: list[int] = []
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.timeout.connect(self._flush)
        self._runner = InProcessRunner("RLE Seg: saving what is not reviewed", self)
        self._runner.finished.connect(self._wrote)
        self._runner.failed.connect(self._fail)
        listen(self.layer.events.paint, self._painted, self)

    @property
    def frame(self) -> int:
        """The frame that is shown."""
        return self._recorder.frame

    def mark_beyond_view(self) -> None:
        """Mark all of the frame that lies beyond what the viewer shows of it."""
        (top, left), (bottom, right) = self._recorder.layer.corner_pixels[:, -2:]
        marked = np.ones(self._log.shape[1:], np.uint8)
        view = np.s_[max(0, int(top)) : int(bottom) + 1, max(0, int(left)) : int(right) + 1]
        marked[view] = np.asarray(self._data[self.frame])[view]
        self._set(marked)

    def clear_frame(self) -> None:
        """Mark the whole frame as reviewed."""
        self._set(np.zeros(self._log.shape[1:], np.uint8))

    def share(self) -> float:
        """Share of the pixels of the frame that nobody has reviewed, 0 to 1."""
        return float(np.asarray(self._data[self.frame]).mean())

    def flush(self) -> None:
        """Record now what is not recorded yet, and wait for it."""
        self._timer.stop()
        frames = sorted({*self._dirty, *self._writing})
        if sum(record_marks(self._log, self._data, frames)):
            self.saved.emit()
        self._dirty.clear()

    def close(self, viewer: Viewer) -> None:
        """Record what is left, and take the layer away."""
        self.flush()
        self.layer.events.paint.disconnect(self._painted)
        self._runner.close()
        if self.layer in viewer.layers:
            viewer.layers.remove(self.layer)

    def _set(self, marked: np.ndarray) -> None:
        self._data[self.frame] = marked
        self.layer.refresh()
        self._mark([self.frame])

    def _painted(self) -> None:
        every = self.layer.n_edit_dimensions > 2
        self._mark(range(self._log.shape[0]) if every else [self.frame])

    def _mark(self, frames: Iterable[int]) -> None:
        self._dirty.update(frames)
        self._timer.start(QUIET_MS)

    def _flush(self) -> None:
        if self._dirty and not self._runner.busy:
            self._writing, self._dirty = sorted(self._dirty), set()
            self._runner.start(record_marks, self._log, self._data, self._writing)

    def _fail(self, sentence: str, details: str) -> None:
        self._dirty.update(self._writing)  # tried again with the next stroke, or at the end
        self._writing = []
        self.failed.emit(f"What is not reviewed is not saved: {sentence}", details)

    def _wrote(self) -> None:
        self._writing = []
        self.saved.emit()
        self._flush()


def _layer(data: zarr.Array, masks: Labels) -> Labels:
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
