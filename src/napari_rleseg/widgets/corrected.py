"""The table of corrected frames, each with a box to tick."""

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QHeaderView, QTableWidget, QTableWidgetItem, QVBoxLayout, QWidget

from napari_rleseg.session import Session
from napari_rleseg.signals import listen
from napari_rleseg.widgets.controls import text_label


class CorrectedFrames(QWidget):
    """Frames that were corrected in the session; the ticked ones are used for training.

    Parameters
    ----------
    session : Session
        Holds the correction log.
    parent : QWidget or None
        Owner.
    """

    ticked_changed = Signal()

    def __init__(self, session: Session, parent: QWidget | None = None):
        super().__init__(parent)
        self._session = session
        self._none = text_label("No frame is corrected yet; correct some, or choose a truth layer.")
        self.table = QTableWidget(0, 3)
        self.table.setHorizontalHeaderLabels(["Frame", "Changed", "State"])
        self.table.verticalHeader().hide()
        self.table.horizontalHeader().setSectionResizeMode(QHeaderView.ResizeMode.Stretch)
        self.table.setMaximumHeight(150)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._none)
        layout.addWidget(self.table)
        listen(session.corrections_changed, self.read, self)
        self.table.itemChanged.connect(self.ticked_changed)
        self.read()

    def ticked(self) -> tuple[int, ...]:
        """Frames to train on."""
        ticked = Qt.CheckState.Checked
        return tuple(int(item.text()) for item in self._items() if item.checkState() == ticked)

    def read(self) -> None:
        """Read the corrected frames from the log again; ticks stay."""
        log = self._session.corrections
        frames = [] if log is None else log.corrected_frames()
        changed = {} if log is None else log.changed_pixels()
        accepted = set() if log is None else set(log.accepted_frames())
        unreviewed = {} if log is None else log.unreviewed_pixels()
        n_pixels = 1 if log is None else log.shape[1] * log.shape[2]
        left_out = {int(item.text()) for item in self._items()} - set(self.ticked())
        self.table.blockSignals(True)
        self.table.setRowCount(len(frames))
        for row, frame in enumerate(frames):
            state = "accepted" if frame in accepted else "edited"
            if frame in unreviewed:
                state += f", {1 - unreviewed[frame] / n_pixels:.0%} reviewed"
            for column, text in enumerate((str(frame), f"{changed.get(frame, 0)} px", state)):
                item = QTableWidgetItem(text)
                item.setFlags(item.flags() & ~Qt.ItemFlag.ItemIsEditable)
                if column == 0:
                    off, on = Qt.CheckState.Unchecked, Qt.CheckState.Checked
                    item.setCheckState(off if frame in left_out else on)
                self.table.setItem(row, column, item)
        self.table.blockSignals(False)
        self.table.setVisible(bool(frames))
        self._none.setVisible(not frames)
        self.ticked_changed.emit()

    def _items(self) -> list[QTableWidgetItem]:
        return [self.table.item(row, 0) for row in range(self.table.rowCount())]
