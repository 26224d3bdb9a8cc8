"""Painted changes, recorded in the correction log while the user works."""

from collections.abc import Generator

from napari.components import Dims
from napari.layers import Labels
from qtpy.QtCore import QElapsedTimer, QObject, QTimer, Signal

from napari_rleseg.jobs import InProcessRunner
from napari_rleseg.signals import listen
from rleseg_core.corrections import Correction, CorrectionLog, FrameRecorded, record_changes
from rleseg_core.errors import DataError

QUIET_MS = 300  # without a stroke, then changes are recorded
PATIENCE_MS = 2000  # after the first stroke at the latest, however fast others follow
RETRY_MS = 3000  # after a failure, then it is tried again to record what is in memory


class CorrectionRecorder(QObject):
    """Records what is painted on a labels layer in its log, a moment after each stroke.

    The labels of the log say when they are painted on, by strokes and by napari's undo and redo,
    and know in which frames. They are compared with the log and written in a thread.

    Parameters
    ----------
    layer : Labels
        Its data are the `labels` of the log, so that what is painted is on disk at once.
    log : CorrectionLog
        Records the changes, relative to its `prediction`.
    dims : Dims
        Dims of the viewer: the current frame.
    parent : QObject or None
        Owner.
    """

    saved = Signal()  # something was recorded
    painted = Signal()
    failed = Signal(str, str)  # message, traceback or nothing; it is tried again until it works

    def __init__(
        self, layer: Labels, log: CorrectionLog, dims: Dims, parent: QObject | None = None
    ):
        super().__init__(parent)
        self.layer, self.log = layer, log
        self._dims = dims
        self.failure = ""  # why the last changes are only in memory
        self._waiting = QElapsedTimer()
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.timeout.connect(self._flush)
        self._runner = InProcessRunner("RLE Seg: saving corrections", self)
        self._runner.reported.connect(self._report)
        self._runner.failed.connect(self._fail)
        self._runner.finished.connect(self._wrote)
        self.painted.connect(self._painted)
        labels = log.labels
        labels.on_painted = self.painted.emit
        self.destroyed.connect(lambda: setattr(labels, "on_painted", None))
        listen(dims.events.current_step, self._left, self)

    @property
    def frame(self) -> int:
        """The frame of the layer that is shown."""
        frame = round(float(self.layer.world_to_data(self._dims.point)[0]))
        return max(0, min(frame, self.log.shape[0] - 1))

    @property
    def pending(self) -> bool:
        """Whether something may not be recorded yet."""
        return self._runner.busy or self._timer.isActive()

    @property
    def status(self) -> str:
        """What is recorded, for the status line."""
        if self.failure:
            return f"NOT SAVED, and kept in memory: {self.failure}. It is tried again."
        changed = self.log.changed_pixels()
        frames = f"{len(changed)} frame" + ("s" if len(changed) != 1 else "")
        when = f"saved {self.log.saved[11:19]}" if self.log.saved else "nothing to save yet"
        return f"{frames} corrected, {sum(changed.values()):,} px changed, {when}"

    def flush(self) -> None:
        """Record now what is not recorded yet, and wait for it.

        Raises
        ------
        OSError
            If it cannot be written; it stays in memory, and comes back here with the next flush.
        """
        self._timer.stop()
        recorded = list(_record_painted(self.log))
        self._recovered()
        if any(report.n_pixels for report in recorded):
            self.saved.emit()

    def try_again(self, error: OSError) -> None:
        """Tell the user that something could not be saved, and try again a little later."""
        self._fail(_sentence(error), "")

    def undo(self) -> int | None:
        """Undo the last recorded change; returns its frame, or None."""
        self.flush()
        return self._show(self.log.undo())

    def redo(self) -> int | None:
        """Redo the change that was undone last; returns its frame, or None."""
        self.flush()
        return self._show(self.log.redo())

    def revert(self, frame: int) -> None:
        """Restore the prediction of a frame; this can be undone."""
        self.flush()
        self.log.accept(frame, False)
        self.log.record(frame, self.log.predicted(frame))
        self.show_recorded()

    def accept(self, frame: int, accepted: bool = True) -> None:
        """Record that a frame is correct, changed or not (or is to be reviewed again)."""
        self.flush()
        self.log.accept(frame, accepted)
        self.saved.emit()

    def show_recorded(self) -> None:
        """Show what was recorded other than by painting, and tell that it was."""
        mode = self.layer.mode
        self.layer.editable = False  # napari forgets its history, which is no longer true
        self.layer.editable = True
        self.layer.mode = mode
        self.layer.refresh()
        self.saved.emit()

    def close(self) -> None:
        """Record what is left, and stop listening."""
        self.flush()
        self.log.labels.on_painted = None
        self._dims.events.current_step.disconnect(self._left)
        self._runner.close()
        self.log.close()

    def _painted(self) -> None:
        if not self._timer.isActive():
            self._waiting.start()
        self._timer.start(max(0, min(QUIET_MS, PATIENCE_MS - self._waiting.elapsed())))

    def _left(self) -> None:
        if self.log.labels.painted_frames():
            self._timer.start(0)

    def _flush(self) -> None:
        if not self._runner.busy and self.log.labels.painted_frames():
            self._runner.start(_record, self.log)

    def _report(self, reports: list[FrameRecorded]) -> None:
        if any(report.n_pixels for report in reports):
            self.saved.emit()

    def _wrote(self) -> None:
        self._recovered()
        if not self._timer.isActive():
            self._flush()  # what was painted meanwhile

    def _recovered(self) -> None:
        if self.failure:
            self.failure = ""
            self.saved.emit()

    def _fail(self, message: str, details: str) -> None:
        self._timer.start(RETRY_MS)
        known, self.failure = self.failure, message
        if message != known:  # once, not at every try
            self.failed.emit(f"The corrections are not saved: {message}", details)
            self.saved.emit()

    def _show(self, correction: Correction | None) -> int | None:
        if correction is None:
            return None
        self.show_recorded()
        return correction.frame


def _record_painted(log: CorrectionLog) -> Generator[FrameRecorded, None, None]:
    return record_changes(log, log.labels, log.labels.painted_frames())


def _record(log: CorrectionLog) -> Generator[FrameRecorded, None, None]:
    """Job that records what was painted."""
    try:
        yield from _record_painted(log)
    except OSError as error:
        raise DataError(_sentence(error)) from error


def _sentence(error: OSError) -> str:
    where = f"{error.filename}: " if error.filename else ""
    return f"{where}{error.strerror or error}"
