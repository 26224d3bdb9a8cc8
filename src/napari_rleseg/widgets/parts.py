"""Choosers for what a file holds several of: images, channels, planes."""

from pathlib import Path

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QComboBox, QLineEdit, QPushButton, QWidget

from napari_rleseg.widgets.controls import form_layout, narrow, text_label
from rleseg_core.data.formats.base import ReadOptions
from rleseg_core.data.formats.description import FileDescription, ImageDescription
from rleseg_core.text import printable


class PartsForm(QWidget):
    """Asks which image, channel and plane of a file are opened; hidden where there is no choice.

    Parameters
    ----------
    parent : QWidget or None
        Owner.
    """

    chosen = Signal(object)  # ReadOptions

    def __init__(self, parent: QWidget | None = None):
        super().__init__(parent)
        self._images: tuple[ImageDescription, ...] = ()
        self._given: tuple[Path, int, str] | None = None  # axes that were given for an image
        self._masks, self._path = False, Path()
        self.about = text_label()
        self.series = narrow(QComboBox())
        self.series.setToolTip("Image of the file, such as a position or a well")
        self.axes = QLineEdit()
        self.axes.setToolTip(
            "A letter for each axis: T time, Z depth, C channels, S colour samples, Y rows, X "
            "columns"
        )
        self.channel = narrow(QComboBox())
        self.channel.setToolTip("Channel to read")
        self.plane = narrow(QComboBox())
        self.plane.setToolTip("Plane of a z-stack, or the maximum along z")
        self.open = QPushButton("Open this")
        self.open.setToolTip("Open what is chosen")
        self._form = form_layout(self)
        self._form.addRow(self.about)
        for label, control in (
            ("Image", self.series),
            ("Axes", self.axes),
            ("Channel", self.channel),
            ("Plane", self.plane),
        ):
            self._form.addRow(label, control)
        self._form.addRow(self.open)
        self.series.currentIndexChanged.connect(self._offer_parts)
        self.open.clicked.connect(self._choose)
        self.hide()

    def offer(self, found: FileDescription, masks: bool) -> None:
        """Show the choosers for a file, each only if there is a choice."""
        self._images, self._masks = found.images, masks
        self.about.setText(f"{printable(Path(found.path).name)} holds several; choose:")
        self.series.blockSignals(True)
        self.series.clear()
        for number, image in enumerate(found.images):
            shape = " × ".join(map(str, image.shape))
            self.series.addItem(printable(f"{number} {image.name} ({image.axes} {shape})"))
        self.series.blockSignals(False)
        self._form.setRowVisible(self.series, len(found.images) > 1)
        given = self._given[1] if self._given and self._given[0] == found.path else None
        self._path, self._given = found.path, None if given is None else self._given
        self.series.setCurrentIndex(given or 0)
        self._offer_parts(given or 0)
        self.show()

    @property
    def is_last(self) -> bool:
        """Whether nothing is left to choose once this is; axes tell first what there is."""
        return not self.axes.text().strip()

    def _offer_parts(self, number: int) -> None:
        if not 0 <= number < len(self._images):
            return
        image = self._images[number]
        self.axes.clear()
        self._form.setRowVisible(self.axes, not image.axes)
        self.axes.setPlaceholderText(f"of {image.shape}, such as TCYX")
        self.channel.clear()
        if not image.is_colour:
            for index in range(image.n_channels):
                name = image.channels[index] if index < len(image.channels) else ""
                self.channel.addItem(printable(f"{index} {name}".strip()))
        self._form.setRowVisible(self.channel, self.channel.count() > 1)
        self.plane.clear()
        if image.n_planes > 1:
            if image.n_frames == 1:
                self.plane.addItem("each plane as a frame", None)
            if not self._masks:
                self.plane.addItem("maximum along z", "max")
            for index in range(image.n_planes):
                self.plane.addItem(str(index), index)
        self._form.setRowVisible(self.plane, image.n_planes > 1)

    def _choose(self) -> None:
        several = self.channel.count() > 1
        number, axes = self.series.currentIndex(), self.axes.text().strip()
        if axes:
            self._given = (self._path, number, axes)
        elif self._given is not None and self._given[1] == number:
            axes = self._given[2]
        self.hide()
        self.chosen.emit(
            ReadOptions(
                series=number if len(self._images) > 1 else None,
                axes=axes or None,
                channel=self.channel.currentIndex() if several else None,
                z=self.plane.currentData() if self.plane.count() else None,
            )
        )
