"""The field for the diameter of objects: typed in, estimated, or drawn."""

from collections.abc import Callable

from qtpy.QtCore import Signal
from qtpy.QtGui import QHideEvent
from qtpy.QtWidgets import QDoubleSpinBox, QHBoxLayout, QPushButton, QSizePolicy, QWidget

from napari_rleseg.diameter import DiameterDrawing, DiameterEstimation
from napari_rleseg.session import Session
from napari_rleseg.signals import listen
from napari_rleseg.tasks import SegmentSettings
from rleseg_core.errors import RlesegError

_MOST = 65536.0


class DiameterBox(QWidget):
    """Sets the diameter of the objects of a session.

    Parameters
    ----------
    session : Session
        Its diameter is shown and set.
    settings : callable
        Gives model, device and grey values for an estimate.
    parent : QWidget or None
        Owner.
    """

    told = Signal(str)  # what is done, or what came of it

    def __init__(
        self,
        session: Session,
        settings: Callable[[], SegmentSettings],
        parent: QWidget | None = None,
    ):
        super().__init__(parent)
        self._session, self._settings = session, settings
        self.estimation = DiameterEstimation(session, self)
        self.drawing = DiameterDrawing(session, self)
        self.value = QDoubleSpinBox(minimum=0, maximum=_MOST, decimals=1, suffix=" px")
        self.value.setSpecialValueText("auto")
        self.value.setKeyboardTracking(False)
        self.value.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.estimate = QPushButton("Estimate")
        self.draw = QPushButton("Draw")
        self.draw.setCheckable(True)
        line = QHBoxLayout(self)
        line.setContentsMargins(0, 0, 0, 0)
        line.setSpacing(2)  # the dock is narrow
        line.addWidget(self.value, 1)
        line.addWidget(self.estimate)
        line.addWidget(self.draw)
        self.value.valueChanged.connect(self._choose)
        self.estimate.clicked.connect(self._press_estimate)
        self.draw.clicked.connect(self._press_draw)
        self.estimation.told.connect(self.told)
        self.estimation.started.connect(lambda: self.estimate.setText("Cancel"))
        self.estimation.stopped.connect(lambda: self.estimate.setText("Estimate"))
        self.drawing.stopped.connect(self._show_drawn)
        listen(session.window_spec_changed, self._show, self)
        listen(session.image_changed, self._show, self)
        self._show()

    def hideEvent(self, event: QHideEvent) -> None:
        """Give the mouse back when the panel is covered."""
        super().hideEvent(event)
        self.drawing.stop()

    def _choose(self, diameter: float) -> None:
        self._session.diameter = diameter or None

    def _press_estimate(self) -> None:
        if self.estimation.running:
            self.estimation.cancel()
        else:
            self._try(lambda: self.estimation.start(self._settings()))

    def _press_draw(self, on: bool) -> None:
        if on:
            self._try(self.drawing.start)
            if self.drawing.on:
                self.told.emit("Drag the mouse across one object, from edge to edge")
        else:
            self.drawing.stop()
        self.draw.setChecked(self.drawing.on)

    def _try(self, action: Callable[[], None]) -> None:
        try:
            action()
        except RlesegError as error:
            self.told.emit(str(error))

    def _show_drawn(self) -> None:
        self.draw.setChecked(False)
        diameter = self._session.diameter
        self.told.emit("" if diameter is None else f"Objects are {diameter:g} px wide")

    def _show(self, _: object = None) -> None:
        """Show the diameter of the session, as far as its model has a use for it."""
        blocked = self.value.blockSignals(True)
        self.value.setValue(self._session.diameter or 0)
        self.value.blockSignals(blocked)
        model = self._session.model
        knows = model is not None and model.object_diameter is not None
        for part in (self.value, self.estimate, self.draw):
            part.setEnabled(knows or (part is self.estimate and self.estimation.running))
        if not knows:
            text = (
                "This model does not know how wide the objects were that it learned from; if "
                "yours are larger or smaller, set Image size in the advanced settings"
            )
            tips = (text, text, text)
        else:
            tips = (
                "How wide most of your objects are, in pixels of the image. Frames are resized so "
                "that the model sees them as wide as those that it learned from. Auto: it finds "
                "out where it has to",
                "Let the model look at a few places at several sizes, to find out how wide your "
                "objects are",
                "Measure an object: drag the mouse across it, from edge to edge",
            )
        for part, tip in zip((self.value, self.estimate, self.draw), tips, strict=True):
            part.setToolTip(tip)
