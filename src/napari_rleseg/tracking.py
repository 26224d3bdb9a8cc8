"""Linking the objects that are shown into tracks: the job, and the tracks that were kept."""

from pathlib import Path

from napari.layers import Labels
from qtpy.QtCore import QObject, Signal

from napari_rleseg.exporting import shown_objects
from napari_rleseg.jobs import InProcessRunner, show_failure
from napari_rleseg.layers import notes
from napari_rleseg.object_files import OBJECTS
from napari_rleseg.session import Session
from napari_rleseg.signals import listen
from napari_rleseg.track_files import TRACKS, TrackFiles, link_shown, open_kept
from rleseg_core.corrections.objects import CORRECTED
from rleseg_core.errors import DataError
from rleseg_core.tracks import FrameLinked, LinkOptions, TrackEditor

LEAST_KEPT = 0.5  # of the objects of a layer: with fewer, tracks are not of its objects


class Tracking(QObject):
    """Links the objects of a session, in a thread, and shows the tracks that it has.

    Parameters
    ----------
    session : Session
        Its objects are linked, and its tracks set.
    parent : QObject or None
        Owner.
    """

    started = Signal()
    progressed = Signal(int, int)  # frames linked, of all
    stopped = Signal(str)  # what came of it, a sentence; nothing where there is nothing to say

    def __init__(self, session: Session, parent: QObject | None = None):
        super().__init__(parent)
        self._session = session
        self._layer: Labels | None = None  # whose tracks are shown, or being made
        self._files: TrackFiles | None = None
        self._runner = InProcessRunner("RLE Seg: tracking", self)
        self._runner.reported.connect(self._report)
        self._runner.finished.connect(self._show)
        self._runner.failed.connect(self._fail)
        self._runner.cancelled.connect(lambda: self.stopped.emit("Cancelled; nothing has changed"))
        listen(session.objects.changed, self._follow, self)
        self._follow()

    @property
    def busy(self) -> bool:
        """Whether objects are being linked, or tracks read."""
        return self._runner.busy

    def start(self, options: LinkOptions) -> None:
        """Link the objects that are shown; corrections of earlier tracks are made again.

        Raises
        ------
        DataError
            If there are no objects, or another job is running.
        """
        session = self._session
        stack = shown_objects(session)
        if self.busy or session.inference.busy:
            raise DataError("another job is running; cancel it or wait for it")
        assert session.objects.layer is not None
        if self._files is None:
            self._files = TrackFiles.named(
                session.new_path(f"{TRACKS}-of-{OBJECTS}.csv").with_suffix("")
            )
        self._layer = session.objects.layer
        self.started.emit()
        self._runner.start(link_shown, stack, options, self._files, read_only=self._read_only)

    def cancel(self) -> None:
        """Ask the job to stop; the tracks stay as they were."""
        self._runner.cancel()

    @property
    def _read_only(self) -> bool:
        log = self._session.corrections
        return log is not None and log.read_only

    def _follow(self) -> None:
        """Show the tracks that were kept with the objects that are shown now, if there are any."""
        layer, tracks = self._session.objects.layer, self._session.tracks
        if layer is self._layer:
            return
        noted = None if layer is None else notes(layer).get("path")
        path = Path(str(noted)) if noted else None
        before = self._files if path is not None and self._are_corrected(path) else None
        if self.busy:
            self._runner.close()  # which no signal tells
            self.stopped.emit("")
        tracks.clear()
        self._layer, self._files = layer, TrackFiles.beside(path)
        files = self._files
        if files is None:
            return
        if files.exist:
            before = None
        elif before is None:
            return
        self.started.emit()
        self._runner.start(open_kept, files, before, read_only=self._read_only)

    def _are_corrected(self, ids: Path) -> bool:
        """Whether a file holds the objects of the tracks that are shown, now to be corrected."""
        table = self._session.objects.table
        n_kept = self._session.tracks.n_kept(table)
        return ids.name == CORRECTED and n_kept > LEAST_KEPT * len(table)

    def _report(self, reports: list[object]) -> None:
        last = reports[-1]
        if isinstance(last, FrameLinked):
            self.progressed.emit(last.n_done, last.n_frames)

    def _show(self, editor: TrackEditor) -> None:
        if self._layer is None or self._layer is not self._session.objects.layer:
            editor.close()
            self.stopped.emit("")
            return
        self._session.tracks.show(editor)
        self.stopped.emit(_words(editor))

    def _fail(self, sentence: str, details: str) -> None:
        self.stopped.emit(sentence)
        if details:
            show_failure(sentence, details)


def _words(editor: TrackEditor) -> str:
    made = editor.n_edits - editor.n_skipped
    words = f"{made} correction{'s' * (made != 1)} of links kept. " if made else ""
    if editor.n_skipped:
        words += (
            f"{editor.n_skipped} correction{'s' * (editor.n_skipped != 1)} concern objects that "
            "are gone."
        )
    return words.strip()
