"""Controls to review corrected frames: accept, revert, go to the next, undo, compare."""

from collections.abc import Callable

from napari.layers import Labels
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QGridLayout, QPushButton, QVBoxLayout, QWidget

from napari_rleseg.correction import MaskCorrection
from napari_rleseg.recorder import CorrectionRecorder
from napari_rleseg.widgets.review_strip import ReviewStrip


class ReviewControls(QWidget):
    """Reviews the frames of a correction; the keys A, N, Shift-N and I press its buttons.

    Parameters
    ----------
    correction : MaskCorrection
        What is reviewed.
    parent : QWidget or None
        Owner.
    """

    all_reviewed = Signal()  # there is no frame left to go to

    def __init__(self, correction: MaskCorrection, parent: QWidget | None = None):
        super().__init__(parent)
        self._correction = correction
        self._layer: Labels | None = None  # whose keys are bound
        self.strip = ReviewStrip()
        self.accept_button = _button("Accept frame (A)", "Mark this frame as correct (A)")
        self.revert_button = _button("Revert frame", "Restore the prediction of this frame")
        self.previous_button = _button(
            "◀ To review (⇧N)", "Go to the previous frame that is not accepted (Shift-N)"
        )
        self.next_button = _button(
            "To review ▶ (N)", "Go to the next frame that is not accepted (N)"
        )
        self.previous_corrected = _button("◀ Corrected", "Go to the previous corrected frame")
        self.next_corrected = _button("Corrected ▶", "Go to the next corrected frame")
        self.undo_button = _button("Undo", "Undo the last saved change, also of earlier sessions")
        self.redo_button = _button("Redo", "Redo the change that was undone last")
        self.compare_button = _button("Prediction (I)", "Show the outlines of the prediction (I)")
        self.finish_button = _button("Finish", "Stop correcting; the corrected masks stay")
        for button in (self.accept_button, self.compare_button):
            button.setCheckable(True)
        self._lay_out()
        self._connect()

    def bind_keys(self, layer: Labels) -> None:
        """Let the keys press the buttons while `layer` is active."""
        self._layer = layer
        for key, button in self._keys().items():
            layer.bind_key(key, _presser(button), overwrite=True)

    def unbind_keys(self) -> None:
        """Give the keys of the layer back."""
        layer, self._layer = self._layer, None
        if layer is not None:
            for key in self._keys():
                layer.bind_key(key, None, overwrite=True)

    def show_state(self, recorder: CorrectionRecorder) -> None:
        """Show what is recorded: the state of every frame, and how much can be undone."""
        log = recorder.log
        may = not log.read_only
        self.undo_button.setText(f"Undo ({log.n_changes})")
        self.undo_button.setEnabled(may and log.n_changes > 0)
        self.redo_button.setText(f"Redo ({log.n_undone})")
        self.redo_button.setEnabled(may and log.n_undone > 0)
        self.accept_button.setEnabled(may)
        self.strip.show_states(
            log.shape[0], list(log.changed_pixels()), log.accepted_frames(), recorder.frame
        )
        self.show_frame(recorder)

    def show_frame(self, recorder: CorrectionRecorder) -> None:
        """Show the state of the current frame."""
        frame = recorder.frame
        self.strip.mark(frame)
        self.accept_button.setChecked(frame in recorder.log.accepted_frames())
        changed = frame in recorder.log.changed_pixels()
        self.revert_button.setEnabled(changed and not recorder.log.read_only)

    def _lay_out(self) -> None:
        grid = QGridLayout()
        buttons = (
            (self.accept_button, self.revert_button),
            (self.previous_button, self.next_button),
            (self.previous_corrected, self.next_corrected),
            (self.undo_button, self.redo_button),
            (self.compare_button, self.finish_button),
        )
        for row, pair in enumerate(buttons):
            for column, button in enumerate(pair):
                grid.addWidget(button, row, column)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.strip)
        layout.addLayout(grid)

    def _connect(self) -> None:
        correction = self._correction
        self.accept_button.clicked.connect(self._accept)
        self.revert_button.clicked.connect(correction.revert)
        self.previous_button.clicked.connect(lambda: self._go(-1))
        self.next_button.clicked.connect(lambda: self._go(1))
        self.previous_corrected.clicked.connect(lambda: correction.go_to_next(-1, corrected=True))
        self.next_corrected.clicked.connect(lambda: correction.go_to_next(1, corrected=True))
        self.undo_button.clicked.connect(correction.undo)
        self.redo_button.clicked.connect(correction.redo)
        self.compare_button.toggled.connect(correction.compare)
        self.finish_button.clicked.connect(correction.finish)
        self.strip.clicked.connect(correction.go_to)

    def _accept(self) -> None:
        accepted = self.accept_button.isChecked()
        self._correction.accept(accepted)
        if accepted:
            self._go(1)

    def _go(self, step: int) -> None:
        if self._correction.go_to_next(step) is None:
            self.all_reviewed.emit()

    def _keys(self) -> dict[str, QPushButton]:
        return {
            "A": self.accept_button,
            "N": self.next_button,
            "Shift-N": self.previous_button,
            "I": self.compare_button,
        }


def _button(text: str, tip: str) -> QPushButton:
    button = QPushButton(text)
    button.setToolTip(tip)
    return button


def _presser(button: QPushButton) -> Callable[[Labels], None]:
    return lambda layer: button.click()
