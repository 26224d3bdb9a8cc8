"""Corrections of tracks: what is done with the chosen object, and with the one chosen after it."""

from collections.abc import Callable
from typing import Literal

import numpy as np
from qtpy.QtCore import QObject, Signal

from napari_rleseg.session import Session
from napari_rleseg.signals import listen
from rleseg_core.errors import DataError, RlesegError
from rleseg_core.tracks import Node, TrackEdit, TrackEditor
from rleseg_core.tracks.editing import SURE

Pairing = Literal["link", "divide", "join", "swap"]
"""A correction that takes two objects: one that is chosen before, and one after."""

_ASKED: dict[Pairing, str] = {
    "link": "Click the object that {} goes on as, in this or a later frame.",
    "divide": "Click the other daughter of {}, in this or a later frame.",
    "join": "Click any object of the track that {} is one with.",
    "swap": "Click the object of this frame with which {} changes tracks.",
}
_STEPS: dict[Pairing, int] = {"link": 1, "divide": 1, "join": 0, "swap": 0}  # frames to go on


class TrackCorrection(QObject):
    """Corrects the tracks of a session.

    Parameters
    ----------
    session : Session
        Its tracks are corrected.
    parent : QObject or None
        Owner.

    Attributes
    ----------
    pairing : str or None
        The correction that waits for its second object.
    """

    told = Signal(str)  # what was done, what is asked for, or why it is not possible
    changed = Signal()  # another correction waits, or none

    def __init__(self, session: Session, parent: QObject | None = None):
        super().__init__(parent)
        self._session, self._tracks = session, session.tracks
        self.pairing: Pairing | None = None
        self._first: Node | None = None
        self._doubtful: int | None = None  # row that was shown last because its link is doubtful
        listen(session.objects.chosen, self._pair, self)
        listen(session.tracks.changed, self._check, self)

    def begin(self, pairing: Pairing) -> None:
        """Have the next object that is chosen complete a correction of the chosen one."""
        node = self._tracks.chosen
        if node is None:
            self.told.emit("Choose an object first: click on it.")
            return
        self.pairing, self._first = pairing, node
        if node.frame + _STEPS[pairing] < self._session.objects.n_frames:
            self._tracks.show_frame(node.frame + _STEPS[pairing])
        self.changed.emit()
        self.told.emit(_ASKED[pairing].format(f"object {node.object}"))

    def cancel(self) -> None:
        """Wait for no other object any longer."""
        if self.pairing is not None:
            self.pairing = self._first = None
            self.changed.emit()
            self.told.emit("")

    def cut(self) -> None:
        """Have a track begin with the chosen object."""
        self._with_chosen(lambda editor, node: editor.cut(node))

    def unite(self) -> None:
        """Have the track of the chosen object be its parent; its sisters begin by themselves."""

        def change(editor: TrackEditor, node: Node) -> TrackEdit:
            row = editor.row_of(node)
            assert row is not None
            first = int(editor.rows_of(int(editor.track[row]))[0])
            if editor.before[first] < 0:
                raise DataError("this track has no parent; choose a daughter of a division")
            return editor.unite(editor.node(first))

        self._with_chosen(change)

    def accept(self) -> None:
        """Confirm the link to the chosen object, and go to the next one."""
        row, editor = self._tracks.chosen_row, self._tracks.editor
        if row is None or editor is None:
            self.told.emit("Choose an object first: click on it, or go to a doubtful link.")
            return
        if editor.before[row] < 0:
            self.told.emit("This object begins a track; there is no link to accept.")
            return
        is_sure = editor.score[row] >= SURE
        if is_sure or self._apply(lambda editor: editor.accept(editor.node(row))):
            self.next_doubtful()

    def next_doubtful(self) -> None:
        """Show the least certain link that nobody has reviewed, or the next one after it."""
        tracks, editor = self._tracks, self._tracks.editor
        if editor is None:
            return
        rows = editor.doubtful()
        if not rows.size:
            self.told.emit("Every link is sure, or was accepted.")
            return
        here = np.flatnonzero(rows == tracks.chosen_row)
        is_next = here.size and tracks.chosen_row == self._doubtful
        at = int(here[0] + 1) % rows.size if is_next else 0
        self._doubtful = int(rows[at])
        tracks.choose(self._doubtful, centre=True)
        self.told.emit(f"Doubtful link {at + 1} of {rows.size}. {self.words()}")

    def step(self, step: int) -> None:
        """Choose what the chosen object goes on as (1), or what it was before (-1)."""
        row, editor = self._tracks.chosen_row, self._tracks.editor
        if row is None or editor is None:
            return
        found = editor.after(row) if step > 0 else editor.before[row : row + 1]
        if found.size and found[0] >= 0:
            self._tracks.choose(int(found[0]))
            self.told.emit(self.words())
        else:
            self.told.emit("The track ends here." if step > 0 else "The track begins here.")

    def undo(self) -> None:
        """Undo the last correction, and show what it was about."""
        self._move(lambda editor: editor.undo(), "Undone")

    def redo(self) -> None:
        """Redo what was undone last."""
        self._move(lambda editor: editor.redo(), "Redone")

    def words(self) -> str:
        """What is known of the link to the chosen object, a sentence."""
        row, editor = self._tracks.chosen_row, self._tracks.editor
        if row is None or editor is None:
            return ""
        node, before = editor.node(row), int(editor.before[row])
        if before < 0:
            return f"Track {editor.track[row]} begins with object {node.object}."
        source = editor.node(before)
        sisters = [editor.node(one).object for one in editor.after(before) if one != row]
        score = "unknown" if np.isnan(editor.score[row]) else f"{editor.score[row]:.2f}"
        divides = "".join(f" and {sister}" for sister in sisters)
        return (
            f"Object {source.object} (frame {source.frame}) → {node.object}{divides} "
            f"(frame {node.frame}), score {score}."
        )

    def _pair(self, object_id: int) -> None:
        """Complete the correction that waits with the object chosen now, or say what it is."""
        pairing, first = self.pairing, self._first
        if pairing is None or first is None:
            self.told.emit(self.words())
            return
        node = self._tracks.chosen
        if node == first:
            return
        self.cancel()
        if node is None:
            self.told.emit("That is no object with a track; nothing was changed." * bool(object_id))
            return
        self._apply(lambda editor: _paired(editor, pairing, first, node))

    def _check(self) -> None:
        """Forget the correction that waits where its tracks are gone."""
        if self._tracks.editor is None:
            self.cancel()

    def _with_chosen(self, change: Callable[[TrackEditor, Node], TrackEdit]) -> None:
        node = self._tracks.chosen
        if node is None:
            self.told.emit("Choose an object first: click on it.")
        else:
            self._apply(lambda editor: change(editor, node))

    def _apply(self, change: Callable[[TrackEditor], TrackEdit]) -> bool:
        """Make a correction, and tell what it was or why it is not possible."""
        editor = self._tracks.editor
        if editor is None:
            return False
        try:
            edit = change(editor)
        except (RlesegError, OSError) as error:
            self.told.emit(_sentence(error))
            return False
        self._tracks.update()
        self.told.emit(_done(edit))
        return True

    def _move(self, move: Callable[[TrackEditor], TrackEdit | None], done: str) -> None:
        editor = self._tracks.editor
        if editor is None:
            return
        self.cancel()
        try:
            edit = move(editor)
        except (RlesegError, OSError) as error:
            self.told.emit(_sentence(error))
            return
        if edit is not None:
            self._tracks.update()
            row = editor.row_of(edit.nodes[-1])
            if row is not None:
                self._tracks.choose(row)
            self.told.emit(f"{done}: {_done(edit)}")


def _paired(editor: TrackEditor, pairing: Pairing, first: Node, second: Node) -> TrackEdit:
    if pairing == "join":
        rows = [editor.row_of(node) for node in (first, second)]
        one, other = (int(editor.track[row]) for row in rows if row is not None)
        return editor.join(one, other)
    return {"link": editor.link, "divide": editor.divide, "swap": editor.swap}[pairing](
        first, second
    )


def _done(edit: TrackEdit) -> str:
    """What a correction did, a sentence."""
    numbers = [node.object for node in edit.nodes]
    return {
        "link": "Object {0} goes on as {1}.",
        "cut": "A track begins with object {0}.",
        "divide": "Object {0} divides; {1} is one of its daughters.",
        "unite": "Object {0} goes on as {1}, and does not divide.",
        "swap": "Objects {0} and {1} changed tracks.",
        "accept": "The link from object {0} to {1} was accepted.",
    }[edit.kind].format(*numbers)


def _sentence(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return f"Not saved, and nothing was changed: {error.filename}: {error.strerror}."
    text = str(error)
    return f"{text[:1].upper()}{text[1:]}."
