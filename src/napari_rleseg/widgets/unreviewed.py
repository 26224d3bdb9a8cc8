"""Controls that mark what nobody has reviewed: those regions do not teach."""

from napari.layers import Labels
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QGridLayout, QPushButton, QVBoxLayout, QWidget

from napari_rleseg.correction import MaskCorrection
from napari_rleseg.widgets.controls import text_label


class NotReviewed(QWidget):
    """Marks regions of a frame as not reviewed: fine-tuning and scores leave them out.

    Parameters
    ----------
    correction : MaskCorrection
        What is reviewed.
    parent : QWidget or None
        Owner.
    """

    layer_chosen = Signal(object)  # Labels: what the painting tools paint in

    def __init__(self, correction: MaskCorrection, parent: QWidget | None = None):
        super().__init__(parent)
        self._correction = correction
        self.mark_button = QPushButton("Not reviewed")
        self.mark_button.setCheckable(True)
        self.mark_button.setToolTip(
            "Paint over regions that you have not reviewed; they do not teach. "
            "Erase marks with the background"
        )
        self.rest_button = QPushButton("Rest not reviewed")
        self.rest_button.setToolTip("Mark all of this frame that lies beyond the view")
        self.clear_button = QPushButton("All reviewed")
        self.clear_button.setToolTip("Take the marks of this frame away")
        self.state = text_label()
        buttons = QGridLayout()  # three side by side are wider than the dock
        buttons.addWidget(self.mark_button, 0, 0)
        buttons.addWidget(self.clear_button, 0, 1)
        buttons.addWidget(self.rest_button, 1, 0, 1, 2)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addLayout(buttons)
        layout.addWidget(self.state)
        self.mark_button.toggled.connect(self._choose)
        self.rest_button.clicked.connect(self._mark_rest)
        self.clear_button.clicked.connect(self._clear)

    def show_state(self) -> None:
        """Show how much of the frame nobody has reviewed."""
        marks = self._correction.marks
        if marks is None and self.mark_button.isChecked():  # its layer was removed
            self.mark_button.setChecked(False)
        share = 0.0 if marks is None else marks.share()
        self.clear_button.setEnabled(share > 0)
        self.state.setText(f"{share:.0%} of this frame is not reviewed" if share else "")
        self.state.setVisible(share > 0)

    def leave(self) -> None:
        """Paint classes again, as when corrections end."""
        self.mark_button.blockSignals(True)
        self.mark_button.setChecked(False)
        self.mark_button.blockSignals(False)
        self.show_state()

    def _choose(self, marking: bool) -> None:
        recorder = self._correction.recorder
        if recorder is None:
            return
        layer: Labels = recorder.layer
        if marking:
            layer = self._correction.begin_marks().layer
            layer.brush_size, layer.mode = recorder.layer.brush_size, "paint"
        self._correction.activate(layer)
        self.layer_chosen.emit(layer)

    def _mark_rest(self) -> None:
        if self._correction.recorder is not None:
            self._correction.begin_marks().mark_beyond_view()
            self.show_state()

    def _clear(self) -> None:
        if self._correction.marks is not None:
            self._correction.marks.clear_frame()
            self.show_state()
