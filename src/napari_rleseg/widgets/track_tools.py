"""Buttons and keys that correct tracks."""

from collections.abc import Callable

from napari.layers import Tracks
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QGridLayout, QPushButton, QSizePolicy, QVBoxLayout, QWidget

from napari_rleseg.session import Session
from napari_rleseg.signals import listen
from napari_rleseg.track_correction import Pairing, TrackCorrection
from napari_rleseg.widgets.controls import text_label

PAIRINGS: tuple[Pairing, ...] = ("link", "divide", "join", "swap")


class TrackTools(QWidget):
    """Corrects the tracks of a session; while their layer is active, keys press the buttons.

    Parameters
    ----------
    session : Session
        Its tracks are corrected.
    parent : QWidget or None
        Owner.
    """

    def __init__(self, session: Session, parent: QWidget | None = None):
        super().__init__(parent)
        self._session, self._tracks = session, session.tracks
        self.correction = TrackCorrection(session, self)
        self._bound: Tracks | None = None
        self.next = _button("Next doubtful (N)", "Show the least certain link not yet reviewed")
        self.accept = _button("Accept link (A)", "The link to this object is right; show the next")
        self.back = _button("◀ Before (B)", "Show the object that this one was before")
        self.forward = _button("After (F) ▶", "Show the object that this one goes on as")
        self.link = _button("Link… (L)", "This object goes on as the one that you click next")
        self.divide = _button("Divide… (D)", "What you click next is a daughter of this object")
        self.cut = _button("Split (C)", "A new track begins with this object")
        self.join = _button("Merge… (M)", "This track and the one that you click next are one")
        self.swap = _button("Swap… (S)", "Two cells were confused: they change tracks from here on")
        self.unite = _button(
            "No division (U)", "This track is its parent; its sister is another cell"
        )
        self.undo = _button("Undo", "Undo the last correction of tracks (Z)")
        self.redo = _button("Redo", "Redo what was undone last (Shift-Z)")
        self.told = text_label()
        for name in PAIRINGS:
            getattr(self, name).setCheckable(True)
        self._lay_out()
        self._connect()
        self._show()

    def _lay_out(self) -> None:
        grid = QGridLayout()
        pairs = (
            (self.next, self.accept),
            (self.back, self.forward),
            (self.link, self.cut),
            (self.divide, self.unite),
            (self.join, self.swap),
            (self.undo, self.redo),
        )
        for row, pair in enumerate(pairs):
            for column, button in enumerate(pair):
                grid.addWidget(button, row, column)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addLayout(grid)
        layout.addWidget(self.told)

    def _connect(self) -> None:
        correction = self.correction
        for name in PAIRINGS:
            getattr(self, name).clicked.connect(self._beginner(name))
        for button, action in (
            (self.next, correction.next_doubtful),
            (self.accept, correction.accept),
            (self.cut, correction.cut),
            (self.unite, correction.unite),
            (self.undo, correction.undo),
            (self.redo, correction.redo),
        ):
            button.clicked.connect(lambda _=False, action=action: action())
        self.back.clicked.connect(lambda: correction.step(-1))
        self.forward.clicked.connect(lambda: correction.step(1))
        correction.told.connect(self.told.setText)
        correction.changed.connect(self._show)
        listen(self._tracks.changed, self._show, self)

    def _beginner(self, name: Pairing) -> Callable[[], None]:
        def begin() -> None:
            if self.correction.pairing == name:
                self.correction.cancel()
            else:
                self.correction.begin(name)
            self._show()

        return begin

    def _show(self) -> None:
        """Show what can be undone, and which correction waits for an object."""
        editor = self._tracks.editor
        for name in PAIRINGS:
            getattr(self, name).setChecked(self.correction.pairing == name)
        may = editor is not None and not editor.read_only
        for button in (self.accept, self.link, self.cut, self.divide, self.unite, self.join):
            button.setEnabled(may)
        self.swap.setEnabled(may)
        n_edits, n_undone = (0, 0) if editor is None else (editor.n_edits, editor.n_undone)
        self.undo.setText(f"Undo ({n_edits})")
        self.redo.setText(f"Redo ({n_undone})")
        self.undo.setEnabled(may and n_edits > 0)
        self.redo.setEnabled(may and n_undone > 0)
        self._bind_keys()

    def _bind_keys(self) -> None:
        layer = self._tracks.layer
        if layer is None or layer is self._bound:
            return
        self._bound = layer
        for key, button in {
            **{"N": self.next, "A": self.accept, "B": self.back, "F": self.forward},
            **{"L": self.link, "D": self.divide, "C": self.cut, "M": self.join},
            **{"S": self.swap, "U": self.unite, "Z": self.undo, "Shift-Z": self.redo},
        }.items():
            layer.bind_key(key, _presser(button), overwrite=True)
        layer.bind_key("Escape", lambda _: self.correction.cancel(), overwrite=True)


def _button(text: str, tip: str) -> QPushButton:
    button = QPushButton(text)
    button.setToolTip(tip)
    button.setFocusPolicy(Qt.FocusPolicy.TabFocus)  # keys go to the viewer
    button.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
    return button


def _presser(button: QPushButton) -> Callable[[Tracks], None]:
    return lambda layer: button.click()
