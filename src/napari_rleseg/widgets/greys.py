"""How grey values become what the model sees: inverted or not, and at which contrast."""

from napari.layers import Image
from qtpy.QtCore import QSignalBlocker
from qtpy.QtWidgets import (
    QCheckBox,
    QDoubleSpinBox,
    QGridLayout,
    QLabel,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from napari_rleseg.session import Session
from napari_rleseg.signals import listen
from napari_rleseg.widgets.controls import Folded, text_label
from rleseg_core.normalisation import Contrast, GreyChoice, Normalisation

_MOST = 1e12  # grey values that can be typed in


class GreyValues(QWidget):
    """Sets the grey values of a session, for segmentation, animation and fine-tuning.

    Parameters
    ----------
    session : Session
        Its model says how it was trained, which stands here until something else is chosen.
    parent : QWidget or None
        Owner.
    """

    def __init__(self, session: Session, parent: QWidget | None = None):
        super().__init__(parent)
        self._session = session
        self.invert = QCheckBox("Invert: dark cells on bright ground")
        self.invert.setToolTip(
            "Exchange dark and bright before the model sees the images; those in the viewer stay "
            "as they are"
        )
        self.fixed = QCheckBox("The same contrast in all frames")
        self.fixed.setToolTip("Grey values that become black and white, instead of those found")
        self.low, self.high = (_grey_value(text) for text in ("black", "white"))
        self.take = QPushButton("As displayed")
        self.take.setToolTip("Take over the contrast limits of the image layer, once")
        self.explanation = text_label()
        self._lay_out()
        self.invert.toggled.connect(self._choose)
        self.fixed.toggled.connect(self._choose)
        for box in (self.low, self.high):
            box.editingFinished.connect(self._choose)
        self.take.clicked.connect(self._take_displayed)
        listen(session.window_spec_changed, self._show, self)
        self._show()

    def _lay_out(self) -> None:
        inner = QWidget()
        column = QVBoxLayout(inner)
        column.setContentsMargins(0, 0, 0, 0)
        self._limits = QWidget()
        grid = QGridLayout(self._limits)
        grid.setContentsMargins(0, 0, 0, 0)
        for place, part in enumerate((self.low, QLabel("to"), self.high)):
            grid.addWidget(part, 0, place)
        for place in (0, 2):
            grid.setColumnStretch(place, 1)
        grid.addWidget(self.take, 1, 0, 1, 3)
        for part in (self.invert, self.fixed, self._limits, self.explanation):
            column.addWidget(part)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(Folded("Grey values", inner))

    def _choose(self) -> None:
        spec = self._session.window_spec
        if spec is None:
            return
        if self.fixed.isChecked() and self.low.value() >= self.high.value():
            self._take_displayed()
            return
        contrast: Contrast | None = None
        if self.fixed.isChecked():
            contrast = (self.low.value(), self.high.value())
        elif self._session.model and self._session.model.window_spec.normalisation.contrast:
            contrast = "auto"
        self._session.greys = GreyChoice(invert=self.invert.isChecked(), contrast=contrast)

    def _take_displayed(self) -> None:
        """Set the contrast limits of the image layer."""
        layer = self._session.image
        limits = layer.contrast_limits if isinstance(layer, Image) and not layer.rgb else (0, 255)
        for box, value in zip((self.low, self.high), limits, strict=True):
            box.setValue(float(value))
        if self.low.value() >= self.high.value():  # displayed without any contrast
            self.high.setValue(self.low.value() + 1)
        self._choose()

    def _show(self, _: object = None) -> None:
        """Show what counts for the model and the choice of the session."""
        spec = self._session.window_spec
        self.setEnabled(spec is not None)
        if spec is None:
            return
        how = spec.normalisation
        blockers = [QSignalBlocker(box) for box in (self.invert, self.fixed, self.low, self.high)]
        self.invert.setChecked(how.invert)
        self.fixed.setChecked(how.contrast is not None)
        if how.contrast is not None:
            self.low.setValue(how.contrast[0])
            self.high.setValue(how.contrast[1])
        del blockers
        self._limits.setVisible(how.contrast is not None)
        self.explanation.setText(_explanation(how))


def _grey_value(what: str) -> QDoubleSpinBox:
    box = QDoubleSpinBox(minimum=-_MOST, maximum=_MOST, decimals=3)
    box.setToolTip(f"Grey value that becomes {what}")
    box.setMinimumWidth(60)
    return box


def _explanation(how: Normalisation) -> str:
    """What the model sees, in one or two sentences."""
    if how.contrast is not None:
        seen = f"The model sees the grey values {how.contrast[0]:g} to {how.contrast[1]:g}."
    elif how.rule == "frame":
        seen = "The model sees each frame at its own contrast, whatever the type of the images."
    else:
        seen = (
            "This model takes 8-bit images from 0 to 255, and others at the contrast of the whole "
            "stack, as in version 0.1."
        )
    return f"{seen} The contrast limits of the viewer change no mask."
