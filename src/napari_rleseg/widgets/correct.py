"""The panel that corrects masks: begin, paint, review the frames, undo."""

from collections.abc import Callable

from napari.layers import Labels
from qtpy.QtGui import QHideEvent, QShowEvent
from qtpy.QtWidgets import (
    QComboBox,
    QGridLayout,
    QHBoxLayout,
    QLineEdit,
    QProgressBar,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from napari_rleseg.correction import MaskCorrection
from napari_rleseg.layers import class_names_of
from napari_rleseg.session import Session
from napari_rleseg.signals import listen
from napari_rleseg.widgets.choosers import LayerBox
from napari_rleseg.widgets.controls import form_layout, narrow, text_label
from napari_rleseg.widgets.painting import PaintTools
from napari_rleseg.widgets.review import ReviewStrip
from rleseg_core.errors import RlesegError


class CorrectWidget(QWidget):
    """Corrects the masks of the session; every change is on disk when the pen rests.

    Parameters
    ----------
    session : Session
        What the viewer works on.
    parent : QWidget or None
        Owner.
    """

    def __init__(self, session: Session, parent: QWidget | None = None):
        super().__init__(parent)
        self._session = session
        self.correction = MaskCorrection(session, self)
        self.masks = LayerBox(session.viewer, Labels)
        self.class_names = QLineEdit()
        self.class_names.setPlaceholderText("ipsc, dfc: classes 1, 2, …")
        self.start_button = QPushButton("Start correcting")
        self.earlier = narrow(QComboBox())
        self.resume_button = QPushButton("Resume")
        self.progress = QProgressBar()
        self.progress.setFormat("%v of %m frames")
        self.tools = PaintTools()
        self.strip = ReviewStrip()
        self.accept_button = _button("Accept frame (A)", "A", "This frame is right; learn from it")
        self.revert_button = _button("Revert frame", "", "Give this frame its prediction back")
        self.previous_button = _button(
            "◀ To review (⇧N)", "Shift-N", "The frame before that is grey"
        )
        self.next_button = _button("To review ▶ (N)", "N", "The next frame that is grey")
        self.previous_corrected = _button("◀ Corrected", "", "The corrected frame before")
        self.next_corrected = _button("Corrected ▶", "", "The next corrected frame")
        self.undo_button = _button("Undo", "", "Take the last saved change back, days later too")
        self.redo_button = _button("Redo", "", "Do it again")
        self.compare_button = _button("Prediction (I)", "I", "Its outlines over your masks")
        self.finish_button = _button("Finish", "", "Stop correcting; the masks stay as they are")
        self.status = text_label()
        for button in (self.accept_button, self.compare_button):
            button.setCheckable(True)
        self._lay_out()
        self._connect()
        self._show_layer(self.masks.layer)
        self._show_state()

    def start(self) -> None:
        """Begin to correct the chosen masks; what stands against it is told."""
        layer = self.masks.layer
        names = [name.strip() for name in self.class_names.text().split(",") if name.strip()]
        if isinstance(layer, Labels):
            self._try(lambda: self.correction.start(layer, names))
        else:
            self.status.setText("there are no masks; segment the image or open masks first")

    def resume(self) -> None:
        """Resume the chosen earlier corrections."""
        folder = self.earlier.currentData()
        if folder is not None:
            self._try(lambda: self.correction.resume(folder))

    def showEvent(self, event: QShowEvent) -> None:
        """Look for earlier corrections of the image."""
        super().showEvent(event)
        self._show_earlier()

    def hideEvent(self, event: QHideEvent) -> None:
        """Record what is left when the panel is covered or the viewer closed."""
        super().hideEvent(event)
        if self.correction.recorder is not None:
            self.correction.recorder.flush()

    def _lay_out(self) -> None:
        self._begin, self._work = QWidget(), QWidget()
        begin = QVBoxLayout(self._begin)
        begin.setContentsMargins(0, 0, 0, 0)
        form = form_layout()
        form.addRow("Masks", self.masks)
        form.addRow("Classes", self.class_names)
        self._earlier_row = QWidget()
        line = QHBoxLayout(self._earlier_row)
        line.setContentsMargins(0, 0, 0, 0)
        line.addWidget(self.earlier, 1)
        line.addWidget(self.resume_button)
        begin.addLayout(form)
        begin.addWidget(self.start_button)
        begin.addWidget(text_label("Corrections of this image made earlier:"))
        begin.addWidget(self._earlier_row)
        self._earlier_label = begin.itemAt(2).widget()
        work = QVBoxLayout(self._work)
        work.setContentsMargins(0, 0, 0, 0)
        grid = QGridLayout()
        for index, button in enumerate(
            (
                self.accept_button,
                self.revert_button,
                self.previous_button,
                self.next_button,
                self.previous_corrected,
                self.next_corrected,
                self.undo_button,
                self.redo_button,
                self.compare_button,
                self.finish_button,
            )
        ):
            grid.addWidget(button, index // 2, index % 2)
        work.addWidget(self.tools)
        work.addWidget(self.strip)
        work.addLayout(grid)
        layout = QVBoxLayout(self)
        for part in (self._begin, self.progress, self._work, self.status):
            layout.addWidget(part)
        layout.addStretch()

    def _connect(self) -> None:
        correction = self.correction
        self.masks.chosen.connect(self._show_layer)
        self.start_button.clicked.connect(self.start)
        self.resume_button.clicked.connect(self.resume)
        self.accept_button.clicked.connect(self._accept)
        self.revert_button.clicked.connect(correction.revert)
        self.previous_button.clicked.connect(lambda: self._go_to_next(-1))
        self.next_button.clicked.connect(lambda: self._go_to_next(1))
        self.previous_corrected.clicked.connect(lambda: correction.go_to_next(-1, corrected=True))
        self.next_corrected.clicked.connect(lambda: correction.go_to_next(1, corrected=True))
        self.undo_button.clicked.connect(correction.undo)
        self.redo_button.clicked.connect(correction.redo)
        self.compare_button.toggled.connect(correction.compare)
        self.finish_button.clicked.connect(correction.finish)
        self.strip.clicked.connect(correction.go_to)
        correction.started.connect(self._show_state)
        correction.progressed.connect(self._show_progress)
        correction.opened.connect(self._show_opened)
        correction.changed.connect(self._show_state)
        correction.stopped.connect(self._show_stopped)
        correction.failed.connect(self._show_failure)
        listen(self._session.image_changed, self._show_earlier, self)
        listen(self._session.result_changed, self._show_result, self)
        listen(self._session.viewer.dims.events.current_step, self._show_frame, self)

    def _try(self, action: Callable[[], None]) -> None:
        try:
            action()
        except RlesegError as error:
            self.status.setText(str(error))

    def _accept(self) -> None:
        accepted = self.accept_button.isChecked()
        self.correction.accept(accepted)
        if accepted:
            self._go_to_next(1)

    def _go_to_next(self, step: int) -> None:
        if self.correction.recorder is not None and self.correction.go_to_next(step) is None:
            self.status.setText(f"every frame is reviewed\n{self.correction.recorder.status}")

    def _show_layer(self, layer: object) -> None:
        names = class_names_of(layer) if isinstance(layer, Labels) else ()
        self.class_names.setText(", ".join(names))

    def _show_result(self, layer: object) -> None:
        if isinstance(layer, Labels):
            self.masks.layer = layer

    def _show_earlier(self, _: object = None) -> None:
        self.earlier.clear()
        for session in self.correction.earlier_sessions():
            self.earlier.addItem(session.title, session.folder)
        for part in (self._earlier_row, self._earlier_label):
            part.setVisible(self.earlier.count() > 0)

    def _show_progress(self, n_done: int, n_frames: int) -> None:
        self.progress.setRange(0, n_frames)
        self.progress.setValue(n_done)

    def _show_opened(self) -> None:
        recorder = self.correction.recorder
        assert recorder is not None
        self.tools.set_layer(recorder.layer)
        for key, button in self._keys().items():
            recorder.layer.bind_key(key, _presser(button), overwrite=True)
        self._show_state()

    def _show_stopped(self) -> None:
        if self.tools.layer is not None:
            for key in self._keys():
                self.tools.layer.bind_key(key, None, overwrite=True)
        self.tools.set_layer(None)
        self.compare_button.setChecked(False)
        self._show_earlier()
        self._show_state()

    def _show_failure(self, sentence: str) -> None:
        self._show_state()
        self.status.setText(sentence)

    def _show_state(self) -> None:
        recorder, busy = self.correction.recorder, self.correction.busy
        self._begin.setVisible(recorder is None and not busy)
        self._work.setVisible(recorder is not None)
        self.progress.setVisible(busy)
        if busy:
            self.progress.setRange(0, 0)
            self.status.setText("Keeping the prediction…")
            return
        self.status.setText(recorder.status if recorder is not None else "")
        if recorder is not None:
            log = recorder.log
            self.undo_button.setText(f"Undo ({log.n_changes})")
            self.undo_button.setEnabled(log.n_changes > 0)
            self.redo_button.setText(f"Redo ({log.n_undone})")
            self.redo_button.setEnabled(log.n_undone > 0)
            self.strip.show_states(
                log.shape[0], list(log.changed_pixels()), log.accepted_frames(), recorder.frame
            )
            self._show_frame()

    def _show_frame(self, event: object = None) -> None:
        recorder = self.correction.recorder
        if recorder is not None:
            frame = recorder.frame
            self.strip.mark(frame)
            self.accept_button.setChecked(frame in recorder.log.accepted_frames())
            self.revert_button.setEnabled(frame in recorder.log.changed_pixels())

    def _keys(self) -> dict[str, QPushButton]:
        return {
            "A": self.accept_button,
            "N": self.next_button,
            "Shift-N": self.previous_button,
            "I": self.compare_button,
        }


def _button(text: str, key: str, tip: str) -> QPushButton:
    button = QPushButton(text)
    button.setToolTip(f"{tip} ({key})" if key else tip)
    return button


def _presser(button: QPushButton) -> Callable[[Labels], None]:
    return lambda layer: button.click()
