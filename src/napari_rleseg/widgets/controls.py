"""Controls and layouts that several panels share."""

from qtpy.QtCore import Qt
from qtpy.QtGui import QIcon, QResizeEvent
from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QFormLayout,
    QLabel,
    QPushButton,
    QScrollArea,
    QSizePolicy,
    QSpinBox,
    QVBoxLayout,
    QWidget,
)

from napari_rleseg.shown import on_button
from rleseg_core.text import printable


def form_layout(parent: QWidget | None = None) -> QFormLayout:
    """Labels at the left, controls that take the rest of the width."""
    layout = QFormLayout(parent) if parent is not None else QFormLayout()
    layout.setContentsMargins(0, 0, 0, 0)
    layout.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
    return layout


class TextLabel(QLabel):
    """Shows text as it is: a name such as <b>x.tif is no HTML, and control characters are seen."""

    def __init__(self, text: str = ""):
        super().__init__()
        self.setTextFormat(Qt.TextFormat.PlainText)
        self.setText(text)

    def setText(self, text: str) -> None:
        """Show another text; its lines stay lines."""
        super().setText(printable(text, keep="\n"))


def text_label(text: str = "") -> QLabel:
    """Text that wraps, can be selected, and never widens its panel."""
    label = TextLabel(text)
    label.setWordWrap(True)
    label.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
    label.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Minimum)
    return label


class NameButton(QPushButton):
    """A button with a name that is shortened to its width: a long one never widens its panel."""

    def __init__(self, icon: QIcon, name: str):
        super().__init__(icon, on_button(name))
        self._name = name
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Show as much of the name as there is room for."""
        super().resizeEvent(event)
        room = self.width() - self.iconSize().width() - 16  # the style has margins and a gap
        name = self.fontMetrics().elidedText(self._name, Qt.TextElideMode.ElideMiddle, room)
        self.setText(on_button(name))


def narrow(box: QComboBox) -> QComboBox:
    """Let long entries not widen the panel."""
    box.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
    box.setMinimumContentsLength(8)
    return box


def image_size_box() -> QSpinBox:
    """A number for the longer side of a frame after resizing; 0 stands for that of the model."""
    box = QSpinBox()
    box.setRange(0, 16384)
    box.setSpecialValueText("as the model")
    box.setToolTip(
        "Longer side of a frame after resizing, in pixels: choose it so that objects are about as "
        "large as those in the training data"
    )
    return box


def scrolled(widget: QWidget) -> QScrollArea:
    """A panel that scrolls down when the window is low, and never sideways."""
    area = QScrollArea()
    area.setWidgetResizable(True)
    area.setFrameShape(QScrollArea.Shape.NoFrame)
    area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
    area.setWidget(widget)
    return area


class Folded(QWidget):
    """Controls that are rarely needed, hidden until their box is ticked."""

    def __init__(self, title: str, inner: QWidget, parent: QWidget | None = None):
        super().__init__(parent)
        self.box = QCheckBox(title)
        self.box.toggled.connect(inner.setVisible)
        inner.hide()
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.box)
        layout.addWidget(inner)


def clock(seconds: float) -> str:
    """A duration as text: ``12 s`` or ``3:05``."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02d}" if minutes else f"{rest} s"
