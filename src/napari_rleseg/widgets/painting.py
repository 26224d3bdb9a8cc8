"""Tools to paint classes with: the palette, napari's modes, the brush."""

from collections.abc import Callable

from napari.layers import Labels
from qtpy.QtCore import Qt
from qtpy.QtGui import QColor, QIcon, QPixmap
from qtpy.QtWidgets import (
    QButtonGroup,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QSlider,
    QVBoxLayout,
    QWidget,
)

from napari_rleseg.layers import class_names_of
from napari_rleseg.shown import shown
from napari_rleseg.signals import listen
from napari_rleseg.widgets.controls import NameButton

MODES = {  # as napari calls them: what the button says, what it does
    "pan_zoom": ("Move", "Pan and zoom (Z, or hold Space)"),
    "paint": ("Paint", "Paint with the current class (P)"),
    "erase": ("Erase", "Paint with the background (E)"),
    "fill": ("Fill", "Fill a connected region with the current class (F)"),
    "polygon": (
        "Polygon",
        "Click the corners; double-click or press Enter to close the polygon",
    ),
    "pick": ("Pick", "Select the class under the cursor (L)"),
}
MAX_BRUSH = 100
N_KEYS = 9


class PaintTools(QWidget):
    """Buttons that follow, and set, the class, mode and brush of a labels layer.

    While a layer is set, the keys 1 to 9 choose a class in it.
    """

    def __init__(self, parent: QWidget | None = None):
        super().__init__(parent)
        self._layer: Labels | None = None
        self.classes = QButtonGroup(self)
        self.modes = QButtonGroup(self)
        self.brush = QSlider(Qt.Orientation.Horizontal)
        self.brush.setRange(1, MAX_BRUSH)
        self._brush_text = QLabel()
        self._palette = QGridLayout()
        grid = QGridLayout()
        for index, (mode, (text, tip)) in enumerate(MODES.items()):
            button = QPushButton(text)
            button.setCheckable(True)
            button.setToolTip(tip)
            button.setProperty("mode", mode)
            self.modes.addButton(button)
            grid.addWidget(button, index // 3, index % 3)
        line = QHBoxLayout()
        for part in (QLabel("Brush"), self.brush, self._brush_text):
            line.addWidget(part)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        for part in (self._palette, grid, line):
            layout.addLayout(part)
        self.modes.buttonClicked.connect(self._choose_mode)
        self.classes.buttonClicked.connect(self._choose_class)
        self.brush.valueChanged.connect(self._choose_brush)

    @property
    def layer(self) -> Labels | None:
        """The layer to paint in."""
        return self._layer

    def set_layer(self, layer: Labels | None) -> None:
        """Paint in this layer from now on."""
        if self._layer is not None:
            self._leave(self._layer)
        self._layer = layer
        if layer is None:
            return
        self._fill_palette(layer)
        for event in (layer.events.mode, layer.events.selected_label, layer.events.brush_size):
            listen(event, self._show, self)
        for label in range(1, min(len(self.classes.buttons()), N_KEYS) + 1):
            layer.bind_key(str(label), _chooser(label), overwrite=True)
        self._show()

    def _leave(self, layer: Labels) -> None:
        for event in (layer.events.mode, layer.events.selected_label, layer.events.brush_size):
            event.disconnect(self._show)
        for label in range(1, N_KEYS + 1):
            layer.bind_key(str(label), None, overwrite=True)

    def _fill_palette(self, layer: Labels) -> None:
        for button in self.classes.buttons():
            self.classes.removeButton(button)
            self._palette.removeWidget(button)
            button.hide()  # it is deleted a little later
            button.deleteLater()
        for label, name in enumerate(class_names_of(layer), 1):
            button = NameButton(
                _swatch(layer, label), f"{label}  {name}" if label <= N_KEYS else name
            )
            button.setCheckable(True)
            button.setToolTip(shown(f"Paint {name}" + (f" ({label})" if label <= N_KEYS else "")))
            self.classes.addButton(button, label)
            self._palette.addWidget(button, (label - 1) // 2, (label - 1) % 2)

    def _choose_class(self, button: QPushButton) -> None:
        if self._layer is not None:
            _chooser(self.classes.id(button))(self._layer)

    def _choose_mode(self, button: QPushButton) -> None:
        if self._layer is not None:
            self._layer.mode = button.property("mode")

    def _choose_brush(self, size: int) -> None:
        if self._layer is not None and self._layer.brush_size != size:
            self._layer.brush_size = size

    def _show(self, event: object = None) -> None:
        layer = self._layer
        if layer is None:
            return
        for button in self.modes.buttons():
            button.setChecked(button.property("mode") == str(layer.mode))
        if (button := self.classes.button(int(layer.selected_label))) is not None:
            button.setChecked(True)
        self.brush.setValue(int(layer.brush_size))
        self._brush_text.setText(f"{int(layer.brush_size)} px")


def _chooser(label: int) -> Callable[[Labels], None]:
    def choose(layer: Labels) -> None:
        layer.selected_label = label
        if str(layer.mode) not in ("paint", "fill", "polygon"):
            layer.mode = "paint"

    return choose


def _swatch(layer: Labels, label: int) -> QIcon:
    pixmap = QPixmap(14, 14)
    pixmap.fill(QColor.fromRgbF(*map(float, layer.get_color(label)[:3])))
    return QIcon(pixmap)
