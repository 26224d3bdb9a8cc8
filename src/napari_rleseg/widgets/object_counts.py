"""How many objects there are of each class, in the frame that is shown and in all."""

import numpy as np
from qtpy.QtCore import Qt
from qtpy.QtGui import QColor, QIcon, QPixmap
from qtpy.QtWidgets import (
    QAbstractItemView,
    QFrame,
    QHeaderView,
    QTableWidget,
    QTableWidgetItem,
    QWidget,
)

from napari_rleseg.layers import noted_metadata
from napari_rleseg.objects import ObjectView
from napari_rleseg.signals import listen
from rleseg_core.data.metadata import UNKNOWN
from rleseg_core.text import printable

MOST_ROWS = 6  # that are seen without scrolling


class ObjectCounts(QTableWidget):
    """Counts by class, in the current frame and in all frames; follows the time slider.

    Parameters
    ----------
    objects : ObjectView
        What is counted.
    dims : Dims
        Dims of the viewer.
    parent : QWidget or None
        Owner.
    """

    def __init__(self, objects: ObjectView, dims: object, parent: QWidget | None = None):
        super().__init__(0, 3, parent)
        self._objects = objects
        self._counts = np.zeros((0, 0), np.int64)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setSelectionMode(QAbstractItemView.SelectionMode.NoSelection)
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setShowGrid(False)
        self.verticalHeader().hide()
        self.verticalHeader().setDefaultSectionSize(self.fontMetrics().height() + 6)
        header = self.horizontalHeader()
        header.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        header.setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        listen(objects.changed, self._show, self)
        listen(dims.events.current_step, self._show_frame, self)  # type: ignore[attr-defined]
        self._show()

    def text(self, row: int, column: int) -> str:
        """What a cell shows."""
        item = self.item(row, column)
        return "" if item is None else item.text()

    def _show(self) -> None:
        """Show the classes and the counts of another table."""
        table = self._objects.table
        self._counts = table.counts(max(self._objects.n_frames, 1))
        masks = self._objects.masks
        metadata = UNKNOWN if masks is None else noted_metadata(masks)
        names = [printable(name) for name in table.class_names]
        self.setRowCount(len(names) + (len(names) > 1))
        for row, name in enumerate(names):
            item = QTableWidgetItem(_square(metadata.colour_of(row + 1)), name)
            item.setToolTip(name)
            self.setItem(row, 0, item)
        if len(names) > 1:
            self.setItem(len(names), 0, QTableWidgetItem("all classes"))
        rows = min(self.rowCount(), MOST_ROWS)
        height = self.horizontalHeader().sizeHint().height()
        self.setFixedHeight(height + rows * self.verticalHeader().defaultSectionSize() + 4)
        self._show_frame()

    def _show_frame(self, _: object = None) -> None:
        """Show the counts of the frame that is shown."""
        if not self._counts.size:
            return
        frame = min(self._objects.frame, len(self._counts) - 1)
        are_pieces = bool((self._objects.table.state == "pieces").any())
        what = "Connected pieces" if are_pieces else "Objects"
        self.setHorizontalHeaderLabels([what, f"frame {frame}", "all frames"])
        for column, counts in ((1, self._counts[frame]), (2, self._counts.sum(axis=0))):
            for row, count in enumerate([*counts, counts.sum()][: self.rowCount()]):
                item = QTableWidgetItem(f"{int(count):,}")
                item.setTextAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
                self.setItem(row, column, item)


def _square(colour: str) -> QIcon:
    pixmap = QPixmap(12, 12)
    pixmap.fill(QColor(colour))
    return QIcon(pixmap)
