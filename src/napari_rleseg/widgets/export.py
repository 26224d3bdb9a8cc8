"""The button that exports objects: asks where to, and shows how far it is."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from qtpy.QtCore import Signal
from qtpy.QtWidgets import (
    QFileDialog,
    QMenu,
    QMessageBox,
    QProgressBar,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from napari_rleseg.exporting import EXPORT_KINDS, ExportKind, ObjectExport
from napari_rleseg.session import Session
from napari_rleseg.shown import on_button, shown
from rleseg_core.errors import RlesegError
from rleseg_core.outputs import exists


class ExportButton(QWidget):
    """Offers the exports of the objects of a session.

    Parameters
    ----------
    session : Session
        Its objects are written.
    kinds : sequence of ExportKind
        What is offered.
    parent : QWidget or None
        Owner.
    """

    told = Signal(str)  # what came of an export, a sentence

    def __init__(
        self,
        session: Session,
        kinds: Sequence[ExportKind] = EXPORT_KINDS,
        parent: QWidget | None = None,
    ):
        super().__init__(parent)
        self._session = session
        self.export = ObjectExport(session, self)
        self.button = QPushButton("Export…")
        self.button.setToolTip("Write the objects for other programs, or measure them")
        self.menu = QMenu(self)
        for kind in kinds:
            action = self.menu.addAction(on_button(f"{kind.title}…"))
            action.triggered.connect(partial(self._ask, kind))
        self.button.clicked.connect(self._press)
        self.progress = QProgressBar()
        self.progress.setFormat("%v of %m frames")
        self.progress.hide()
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.button)
        layout.addWidget(self.progress)
        self.export.started.connect(self._show_started)
        self.export.progressed.connect(self._show_progress)
        self.export.stopped.connect(self._show_stopped)

    def write(self, kind: ExportKind, path: Path) -> None:
        """Write the objects to a path; the user is asked before anything is replaced."""
        try:
            overwrite = exists(path)
            if overwrite and not self._is_wanted(path):
                self.told.emit(f"{path.name} was not replaced; nothing has been written")
                return
            self.export.start(kind, path, overwrite=overwrite)
        except (RlesegError, OSError) as error:
            self.told.emit(str(error))

    def _press(self) -> None:
        if self.export.busy:
            self.export.cancel()
        else:
            self.menu.popup(self.button.mapToGlobal(self.button.rect().bottomLeft()))

    def _ask(self, kind: ExportKind, _: bool = False) -> None:
        image = self._session.image
        start = Path.home() / f"{'objects' if image is None else image.name}{kind.suffix}"
        what = f"Files (*{kind.suffix})" if kind.suffix else "A new folder (*)"
        name, _filter = QFileDialog.getSaveFileName(
            self, kind.title, str(start), what, options=QFileDialog.Option.DontConfirmOverwrite
        )
        if name:
            path = Path(name)
            has_suffix = not kind.suffix or path.name.lower().endswith(kind.suffix)
            self.write(kind, path if has_suffix else path.with_name(path.name + kind.suffix))

    def _is_wanted(self, path: Path) -> bool:
        answer = QMessageBox.question(
            self,
            "Replace objects",
            shown(f"{path.name} exists already. Do you want to replace it?"),
        )
        return answer == QMessageBox.StandardButton.Yes

    def _show_started(self) -> None:
        self.button.setText("Cancel export")
        self.progress.setRange(0, 0)
        self.progress.show()

    def _show_progress(self, n_done: int, n_frames: int) -> None:
        self.progress.setRange(0, n_frames)
        self.progress.setValue(n_done)

    def _show_stopped(self, sentence: str) -> None:
        self.button.setText("Export…")
        self.progress.hide()
        self.told.emit(sentence)
