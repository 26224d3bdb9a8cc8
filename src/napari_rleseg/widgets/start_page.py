"""What the Correct panel shows before corrections begin: which masks, or which earlier session."""

from pathlib import Path

from napari.layers import Labels
from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QComboBox, QHBoxLayout, QLineEdit, QPushButton, QVBoxLayout, QWidget

from napari_rleseg.earlier import EarlierSession
from napari_rleseg.layers import class_names_of
from napari_rleseg.session import Session
from napari_rleseg.shown import shown
from napari_rleseg.signals import listen
from napari_rleseg.widgets.choosers import LayerBox
from napari_rleseg.widgets.controls import form_layout, narrow, text_label
from rleseg_core.text import printable


class StartPage(QWidget):
    """Chooses the masks to correct, or an earlier session to resume.

    Parameters
    ----------
    session : Session
        Its result is chosen whenever it changes.
    parent : QWidget or None
        Owner.
    """

    start_pressed = Signal(object, list)  # Labels or None, class names
    resume_pressed = Signal(object)  # Path

    def __init__(self, session: Session, parent: QWidget | None = None):
        super().__init__(parent)
        self.masks = LayerBox(session.viewer, Labels)
        self.masks.setToolTip("The layer to correct; a copy is corrected, the layer stays as it is")
        self.class_names = QLineEdit()
        self.class_names.setPlaceholderText("of labels 1, 2, …, e.g. ipsc, dfc")
        self.start_button = QPushButton("Start correcting")
        self.earlier = narrow(QComboBox())
        self.resume_button = QPushButton("Resume")
        self._lay_out()
        self.masks.chosen.connect(self._show_names)
        self.start_button.clicked.connect(self.start)
        self.resume_button.clicked.connect(self.resume)
        listen(session.result_changed, self._choose_result, self)
        self._show_names(self.masks.layer)

    def start(self) -> None:
        """Ask for the correction of the chosen masks."""
        names = [name.strip() for name in self.class_names.text().split(",") if name.strip()]
        self.start_pressed.emit(self.masks.layer, names)

    def resume(self) -> None:
        """Ask for the chosen earlier session."""
        folder = self.earlier.currentData()
        if isinstance(folder, Path):
            self.resume_pressed.emit(folder)

    def show_earlier(self, sessions: list[EarlierSession]) -> None:
        """Offer these sessions; the row is hidden when there is none."""
        self.earlier.clear()
        for session in sessions:
            self.earlier.addItem(printable(session.title), session.folder)
            tip = session.problem or str(session.folder)
            self.earlier.setItemData(
                self.earlier.count() - 1, shown(tip), Qt.ItemDataRole.ToolTipRole
            )
        for part in (self._earlier_row, self._earlier_label):
            part.setVisible(bool(sessions))

    def _lay_out(self) -> None:
        form = form_layout()
        form.addRow("Masks", self.masks)
        form.addRow("Classes", self.class_names)
        self._earlier_label = text_label("Earlier corrections of this image:")
        self._earlier_row = QWidget()
        line = QHBoxLayout(self._earlier_row)
        line.setContentsMargins(0, 0, 0, 0)
        line.addWidget(self.earlier, 1)
        line.addWidget(self.resume_button)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addLayout(form)
        for part in (self.start_button, self._earlier_label, self._earlier_row):
            layout.addWidget(part)

    def _show_names(self, layer: object) -> None:
        names = class_names_of(layer) if isinstance(layer, Labels) else ()
        self.class_names.setText(", ".join(names))

    def _choose_result(self, layer: object) -> None:
        if isinstance(layer, Labels):
            self.masks.layer = layer
