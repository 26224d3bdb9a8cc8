"""The panel that corrects masks: start, paint, review the frames, undo."""

from collections.abc import Callable, Sequence
from pathlib import Path

from napari.layers import Labels
from qtpy.QtCore import Qt
from qtpy.QtGui import QHideEvent, QShowEvent
from qtpy.QtWidgets import QMessageBox, QProgressBar, QVBoxLayout, QWidget

from napari_rleseg.correction import MaskCorrection
from napari_rleseg.session import Session
from napari_rleseg.signals import listen
from napari_rleseg.widgets.controls import text_label
from napari_rleseg.widgets.painting import PaintTools
from napari_rleseg.widgets.proposals import propagate_controls
from napari_rleseg.widgets.review import ReviewControls
from napari_rleseg.widgets.start_page import StartPage
from napari_rleseg.widgets.unreviewed import NotReviewed
from rleseg_core.errors import RlesegError


class CorrectWidget(QWidget):
    """Corrects the masks of the session; a stroke is on disk a moment after it ends.

    Parameters
    ----------
    session : Session
        Image, result and viewer.
    parent : QWidget or None
        Owner.
    """

    def __init__(self, session: Session, parent: QWidget | None = None):
        super().__init__(parent)
        self._session = session
        self.correction = MaskCorrection(session, self)
        self.start_page = StartPage(session)
        self.progress = QProgressBar()
        self.progress.setFormat("%v of %m frames")
        self.tools = PaintTools()
        self.not_reviewed = NotReviewed(self.correction)
        self.propagate = propagate_controls(session)
        self.review = ReviewControls(self.correction)
        self.status = text_label()
        layout = QVBoxLayout(self)
        for part in self._parts():
            layout.addWidget(part)
        layout.addStretch()
        self._connect()
        self._show_state()

    def _parts(self) -> tuple[QWidget, ...]:
        tools = (self.tools, self.not_reviewed, self.propagate, self.review)
        return self.start_page, self.progress, *tools, self.status

    def showEvent(self, event: QShowEvent) -> None:
        """Look for earlier corrections of the image."""
        super().showEvent(event)
        self._show_earlier()

    def hideEvent(self, event: QHideEvent) -> None:
        """Record pending changes when the panel is covered or the viewer closed."""
        super().hideEvent(event)
        self.correction.save()

    def _connect(self) -> None:
        correction = self.correction
        self.start_page.start_pressed.connect(self._start)
        self.start_page.resume_pressed.connect(self._resume)
        self.not_reviewed.layer_chosen.connect(self.tools.set_layer)
        self.review.all_reviewed.connect(self._show_all_reviewed)
        correction.started.connect(self._show_state)
        correction.progressed.connect(self._show_progress)
        correction.opened.connect(self._show_opened)
        correction.changed.connect(self._show_state)
        correction.stopped.connect(self._show_stopped)
        correction.failed.connect(self._show_failure)
        correction.refused.connect(self._ask)
        listen(self._session.image_changed, self._show_earlier, self)
        listen(self._session.viewer.dims.events.current_step, self._show_frame, self)

    def _start(self, layer: Labels | None, names: Sequence[str]) -> None:
        if layer is None:
            self.status.setText("there are no masks; segment the image or open masks first")
        else:
            self._try(lambda: self.correction.start(layer, names))

    def _resume(self, folder: Path, *, read_only: bool = False) -> None:
        self._try(lambda: self.correction.resume(folder, read_only=read_only))

    def _try(self, action: Callable[[], None]) -> None:
        try:
            action()
        except RlesegError as error:
            self.status.setText(str(error))

    def _show_earlier(self, _: object = None) -> None:
        self.start_page.show_earlier(self.correction.earlier_sessions())

    def _show_progress(self, n_done: int, n_frames: int) -> None:
        self.progress.setRange(0, n_frames)
        self.progress.setValue(n_done)

    def _show_opened(self) -> None:
        recorder = self.correction.recorder
        assert recorder is not None
        if not recorder.log.read_only:
            self.tools.set_layer(recorder.layer)
        self.review.bind_keys(recorder.layer)
        self._show_state()

    def _show_stopped(self) -> None:
        self.review.unbind_keys()
        self.not_reviewed.leave()
        self.tools.set_layer(None)
        self.review.compare_button.setChecked(False)
        self._show_earlier()
        self._show_state()

    def _show_failure(self, message: str) -> None:
        self._show_state()
        self.status.setText(message)

    def _ask(self, folder: Path, reason: str) -> None:
        """Ask whether a session that cannot be corrected is to be looked at."""
        self.status.setText(reason)
        question = QMessageBox(self)
        question.setIcon(QMessageBox.Icon.Question)
        question.setWindowTitle("Corrections in use")
        question.setTextFormat(Qt.TextFormat.PlainText)
        question.setText(reason)
        question.setInformativeText("Look at them without changing anything?")
        look = question.addButton("Open read-only", QMessageBox.ButtonRole.AcceptRole)
        question.addButton(QMessageBox.StandardButton.Cancel)
        look.clicked.connect(lambda: self._resume(folder, read_only=True))
        question.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        question.open()

    def _show_all_reviewed(self) -> None:
        if self.correction.recorder is not None:
            self.status.setText(f"every frame is reviewed\n{self.correction.recorder.status}")

    def _show_state(self) -> None:
        recorder, busy = self.correction.recorder, self.correction.busy
        self.start_page.setVisible(recorder is None and not busy)
        self.tools.setVisible(recorder is not None and not recorder.log.read_only)
        self.not_reviewed.setVisible(recorder is not None and not recorder.log.read_only)
        self.propagate.setVisible(recorder is not None and not recorder.log.read_only)
        self.review.setVisible(recorder is not None)
        self.progress.setVisible(busy)
        if busy:
            self.progress.setRange(0, 0)
            self.status.setText("Copying the prediction…")
            return
        told = [] if recorder is None else [recorder.status, *self.correction.notes]
        self.status.setText("\n".join(told))
        if recorder is not None:
            self.review.show_state(recorder)
            self.not_reviewed.show_state()

    def _show_frame(self, _: object = None) -> None:
        if self.correction.recorder is not None:
            self.review.show_frame(self.correction.recorder)
            self.not_reviewed.show_state()
