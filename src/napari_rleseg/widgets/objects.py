"""The objects of a result: how they are coloured, how many there are, their table, export."""

from napari.utils.colormaps import ensure_colormap
from qtpy.QtGui import QColor, QLinearGradient, QPainter, QPixmap
from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from napari_rleseg.object_colours import SCALE, confidence_range
from napari_rleseg.object_numbers import ObjectNumbers
from napari_rleseg.piece_finding import PieceFinding
from napari_rleseg.session import Session
from napari_rleseg.signals import listen
from napari_rleseg.widgets.controls import narrow, text_label
from napari_rleseg.widgets.export import ExportButton
from napari_rleseg.widgets.object_counts import ObjectCounts
from napari_rleseg.widgets.object_table import ObjectTableView

PIECES = "Connected pieces of the masks: cells that touch count as one."
PIECES_TIP = (
    "The model gives classes, not objects. One that was trained on individual objects (scheme iw) "
    "tells cells apart that touch"
)


class ObjectsPanel(QWidget):
    """Shows the objects of the session's result; hidden while there is none.

    Parameters
    ----------
    session : Session
        Its objects are shown.
    parent : QWidget or None
        Owner.
    """

    def __init__(self, session: Session, parent: QWidget | None = None):
        super().__init__(parent)
        self._session, self._objects = session, session.objects
        self.finding = PieceFinding(session, self)
        self.find = QPushButton("Show objects")
        self.find.setToolTip(
            "Count the objects of these masks; where a model found none, each connected piece of a "
            "class counts"
        )
        self.kind = text_label()
        self.kind.setToolTip(PIECES_TIP)
        self.colouring = narrow(QComboBox())
        self.colouring.setMinimumWidth(90)
        self.colouring.setToolTip("What the colours of the objects tell")
        self.colouring.addItem("id", "id")
        self.colouring.addItem("track", "track")
        self.colouring.addItem("class", "class")
        self.colouring.addItem("confidence", "confidence")
        self.outlines = QCheckBox("Outlines")
        self.outlines.setToolTip("Show the outlines of the objects instead of their areas")
        self.numbers = QCheckBox("Numbers")
        self.numbers.setToolTip("Write the id on each object of the frame that is shown")
        self._written = ObjectNumbers(session.viewer, session.objects)
        self.legend = ConfidenceLegend()
        self.counts = ObjectCounts(session.objects, session.viewer.dims)
        self.table = ObjectTableView(session.objects, session.viewer.dims)
        self.about = text_label()
        self.export = ExportButton(session)
        self._lay_out()
        self.find.clicked.connect(self.finding.start)
        self.finding.started.connect(self._show)
        self.finding.stopped.connect(self._show)
        self.export.told.connect(self.about.setText)
        listen(session.result_changed, self._show, self)
        self.colouring.activated.connect(self._choose_colouring)
        self.outlines.clicked.connect(self._choose_outlines)
        self.numbers.toggled.connect(self._choose_numbers)
        listen(session.objects.changed, self._show, self)
        for event in (session.objects.changed, session.viewer.dims.events.current_step):
            listen(event, self._written.update, self)
        listen(session.objects.coloured, self._show_colours, self)
        listen(session.objects.chosen, self._show_chosen, self)
        self._show()

    def _lay_out(self) -> None:
        self._body = QWidget()
        column = QVBoxLayout(self._body)
        column.setContentsMargins(0, 0, 0, 0)
        line = QHBoxLayout()
        line.addWidget(QLabel("Colour by"))
        line.addWidget(self.colouring, 1)
        ticks = QHBoxLayout()
        ticks.addWidget(self.outlines)
        ticks.addWidget(self.numbers)
        ticks.addStretch()
        column.addWidget(self.counts)
        column.addWidget(self.kind)
        column.addLayout(line)
        column.addLayout(ticks)
        for part in (self.legend, self.table, self.about, self.export):
            column.addWidget(part)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.find)
        layout.addWidget(self._body)

    def _choose_colouring(self, _: int) -> None:
        self._objects.colouring = self.colouring.currentData()

    def _choose_numbers(self, on: bool) -> None:
        self._written.on = on

    def _choose_outlines(self, on: bool) -> None:
        self._objects.outlined = on

    def _show(self, _: object = None) -> None:
        objects = self._objects
        self._body.setVisible(objects.layer is not None)
        self.find.setVisible(objects.layer is None)
        self.find.setEnabled(not self.finding.busy)
        self.setVisible(objects.layer is not None or self._session.result is not None)
        is_pieces = bool((objects.table.state == "pieces").any())
        self.kind.setText(PIECES if is_pieces else "")
        self.kind.setVisible(is_pieces)
        self.outlines.setChecked(objects.outlined)
        self._show_colours()
        self._show_chosen(objects.chosen_id)

    def _show_colours(self) -> None:
        by_track = self.colouring.model().item(self.colouring.findData("track"))
        by_track.setEnabled(self._objects.track_of is not None)
        self.colouring.setCurrentIndex(self.colouring.findData(self._objects.colouring))
        by_confidence = self._objects.colouring == "confidence"
        self.legend.show_range(confidence_range(self._objects.table) if by_confidence else None)
        self.legend.setVisible(by_confidence)

    def _show_chosen(self, object_id: int) -> None:
        words = self._objects.words(object_id)
        self.about.setText(words or "Click on an object, or on a row, to see which it is.")


class ConfidenceLegend(QWidget):
    """The scale of confidences between the least and the greatest.

    Parameters
    ----------
    parent : QWidget or None
        Owner.
    """

    def __init__(self, parent: QWidget | None = None):
        super().__init__(parent)
        self.low, self.high, self._scale = QLabel(), QLabel(), QLabel()
        self._scale.setPixmap(_gradient())
        self._scale.setScaledContents(True)
        self._scale.setFixedHeight(10)
        self._scale.setMinimumWidth(40)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.low)
        layout.addWidget(self._scale, 1)
        layout.addWidget(self.high)

    def show_range(self, limits: tuple[float, float] | None) -> None:
        """Show which confidences, 0 to 1, the ends of the scale are; None: no one is known."""
        self._scale.setVisible(limits is not None)
        self.low.setText("The confidence is not known" if limits is None else f"{limits[0]:.2f}")
        self.high.setText("" if limits is None else f"{limits[1]:.2f}")


def _gradient() -> QPixmap:
    pixmap = QPixmap(64, 1)
    gradient = QLinearGradient(0, 0, 64, 0)
    for place in range(9):
        red, green, blue, _ = ensure_colormap(SCALE).map(place / 8).ravel()
        gradient.setColorAt(place / 8, QColor.fromRgbF(float(red), float(green), float(blue)))
    painter = QPainter(pixmap)
    painter.fillRect(pixmap.rect(), gradient)
    painter.end()
    return pixmap
