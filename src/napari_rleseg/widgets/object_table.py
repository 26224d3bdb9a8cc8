"""The table of the objects of a result: a model over its columns, and the view of it."""

from collections.abc import Callable

import numpy as np
from qtpy.QtCore import QAbstractTableModel, QModelIndex, QObject, Qt, Signal
from qtpy.QtWidgets import QAbstractItemView, QHeaderView, QTableView, QWidget

from napari_rleseg.objects import ObjectView
from napari_rleseg.signals import listen
from rleseg_core.objects import ObjectTable
from rleseg_core.text import printable

_RIGHT = int(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
_LEFT = int(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter)
_MARGIN = 12  # pixels beside the text of a heading, for the arrow of the order


class _Column:
    """A column: its heading, what the heading says, how a value reads, and what it sorts by."""

    def __init__(
        self, title: str, tip: str, name: str, text: Callable[[ObjectTable, int], str]
    ) -> None:
        self.title, self.tip, self.name, self.text = title, tip, name, text


def _class(table: ObjectTable, row: int) -> str:
    return printable(table.class_names[table.class_id[row] - 1])


def _confidence(table: ObjectTable, row: int) -> str:
    value = float(table.confidence[row])
    return "" if np.isnan(value) else f"{value:.2f}"


COLUMNS = (
    _Column("Id", "Id of the object, as in the layer", "id", lambda t, r: str(t.id[r])),
    _Column("Frame", "Frame that it is in, from 0", "frame", lambda t, r: str(t.frame[r])),
    _Column("Class", "Class of the object", "class_id", _class),
    _Column("Area", "Area in pixels", "area", lambda t, r: str(t.area[r])),
    _Column(
        "Conf.",
        "How sure the model is of the object, 0 to 1; empty where that is not known",
        "confidence",
        _confidence,
    ),
    _Column(
        "State",
        "predicted by the model, corrected by you, accepted by you, or pieces: connected pieces of "
        "a mask, in which objects that touch count as one",
        "state",
        lambda t, r: str(t.state[r]),
    ),
)


class ObjectTableModel(QAbstractTableModel):
    """An `ObjectTable` for Qt, which asks for the rows that it shows only.

    Parameters
    ----------
    parent : QObject or None
        Owner.
    """

    def __init__(self, parent: QObject | None = None):
        super().__init__(parent)
        self._table = ObjectTable.empty(())
        self._order = np.arange(0)
        self._sorted_by = (0, Qt.SortOrder.AscendingOrder)

    def show(self, table: ObjectTable) -> None:
        """Show other objects, in the order that was chosen."""
        self.beginResetModel()
        self._table = table
        self._order = self._ordered()
        self.endResetModel()

    def id_at(self, row: int) -> int:
        """Id of the object in a row."""
        return int(self._table.id[self._order[row]])

    def row_with(self, object_id: int) -> int:
        """Row of an object; -1 if there is none."""
        rows = np.flatnonzero(self._table.id[self._order] == object_id)
        return int(rows[0]) if rows.size else -1

    def first_row_of(self, frame: int) -> int:
        """First row of a frame, where rows are ordered by id or by frame; -1 elsewhere."""
        if COLUMNS[self._sorted_by[0]].name not in ("id", "frame"):
            return -1
        rows = np.flatnonzero(self._table.frame[self._order] == frame)
        return int(rows[0]) if rows.size else -1

    def rowCount(self, parent: QModelIndex | None = None) -> int:
        """Objects."""
        return 0 if parent is not None and parent.isValid() else len(self._table)

    def columnCount(self, parent: QModelIndex | None = None) -> int:
        """What is known about each."""
        return 0 if parent is not None and parent.isValid() else len(COLUMNS)

    def data(self, index: QModelIndex, role: int = Qt.ItemDataRole.DisplayRole) -> object:
        """Text and alignment of a cell."""
        column = COLUMNS[index.column()]
        if role == Qt.ItemDataRole.DisplayRole:
            return column.text(self._table, int(self._order[index.row()]))
        if role == Qt.ItemDataRole.TextAlignmentRole:
            return _LEFT if column.name in ("class_id", "state") else _RIGHT
        return None

    def headerData(
        self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole
    ) -> object:
        """Headings of the columns."""
        if orientation == Qt.Orientation.Horizontal:
            if role == Qt.ItemDataRole.DisplayRole:
                return COLUMNS[section].title
            if role == Qt.ItemDataRole.ToolTipRole:
                return COLUMNS[section].tip
        return None

    def sort(self, column: int, order: Qt.SortOrder = Qt.SortOrder.AscendingOrder) -> None:
        """Order the rows by a column."""
        if column < 0:
            return
        self.layoutAboutToBeChanged.emit()
        self._sorted_by = (column, order)
        kept = self.persistentIndexList()
        places = [int(self._order[index.row()]) for index in kept]
        self._order = self._ordered()
        row_of = np.argsort(self._order)
        moved = [self.index(int(row_of[p]), i.column()) for p, i in zip(places, kept, strict=True)]
        self.changePersistentIndexList(kept, moved)
        self.layoutChanged.emit()

    def _ordered(self) -> np.ndarray:
        column, order = self._sorted_by
        values = getattr(self._table, COLUMNS[column].name)
        rows = np.argsort(values, kind="stable")
        return rows if order == Qt.SortOrder.AscendingOrder else rows[::-1]


class ObjectTableView(QTableView):
    """Shows the objects of a view; choosing a row shows its object, and the other way round.

    Parameters
    ----------
    objects : ObjectView
        What is shown.
    dims : Dims
        Dims of the viewer, whose frame is scrolled to.
    parent : QWidget or None
        Owner.
    """

    picked = Signal(int)  # id of the object whose row the user chose

    def __init__(self, objects: ObjectView, dims: object, parent: QWidget | None = None):
        super().__init__(parent)
        self._objects = objects
        self.rows = ObjectTableModel(self)
        self.setModel(self.rows)
        self.setSortingEnabled(True)
        self.sortByColumn(0, Qt.SortOrder.AscendingOrder)
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.setWordWrap(False)
        self.setMinimumHeight(150)
        self.verticalHeader().hide()
        self.verticalHeader().setSectionResizeMode(QHeaderView.ResizeMode.Fixed)
        self.verticalHeader().setDefaultSectionSize(self.fontMetrics().height() + 6)
        header = self.horizontalHeader()
        header.setMinimumSectionSize(20)
        header.setStretchLastSection(True)
        for column, width in enumerate(self._widths()):
            header.resizeSection(column, width)
        self.selectionModel().currentRowChanged.connect(self._choose)
        listen(objects.changed, self._show_objects, self)
        listen(objects.chosen, self._show_chosen, self)
        listen(dims.events.current_step, self._show_frame, self)  # type: ignore[attr-defined]
        self._show_objects()

    def _widths(self) -> list[int]:
        width = self.fontMetrics().horizontalAdvance
        examples = ("99999", "999", "xxxxxx", "9999", "0.99", "corrected")
        return [
            max(width(column.title), width(example)) + _MARGIN
            for column, example in zip(COLUMNS, examples, strict=True)
        ]

    def _show_objects(self) -> None:
        self.rows.show(self._objects.table)
        self._show_chosen(self._objects.chosen_id)

    def _show_frame(self, _: object = None) -> None:
        """Scroll to the frame that is shown, unless an object of it is chosen."""
        frame, row = self._objects.frame, self._objects.row_of(self._objects.chosen_id)
        if row is None or self._objects.table.frame[row] != frame:
            first = self.rows.first_row_of(frame)
            if first >= 0:
                index = self.rows.index(first, 0)
                self.scrollTo(index, QAbstractItemView.ScrollHint.PositionAtTop)

    def _choose(self, index: QModelIndex, _: QModelIndex) -> None:
        if index.isValid():
            object_id = self.rows.id_at(index.row())
            self._objects.choose(object_id, go=True)
            self.picked.emit(object_id)

    def _show_chosen(self, object_id: int) -> None:
        row = self.rows.row_with(object_id) if object_id else -1
        current = self.currentIndex()
        if row == (current.row() if current.isValid() else -1):
            return
        blocked = self.selectionModel().blockSignals(True)
        if row < 0:
            self.clearSelection()
            self.setCurrentIndex(QModelIndex())
        else:
            self.selectRow(row)
            self.scrollTo(self.rows.index(row, 0))
        self.selectionModel().blockSignals(blocked)
        self.viewport().update()
