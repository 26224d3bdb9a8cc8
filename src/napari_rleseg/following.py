"""Following the chosen object through the frames with the model."""

from pathlib import Path
from typing import ClassVar

from qtpy.QtCore import QObject

from napari_rleseg.follow_jobs import GivenObject
from napari_rleseg.proposals import Proposal, frames_words
from napari_rleseg.recorder import CorrectionRecorder
from napari_rleseg.session import Session
from napari_rleseg.taking import FollowedObject, take_followed
from rleseg_core.data.arrays import frame_of
from rleseg_core.errors import DataError


class ObjectFollowing(Proposal):
    """Has the model follow the chosen object, shows it, and lets it replace that of its track.

    Parameters
    ----------
    session : Session
        Objects, tracks, model, and the process.
    parent : QObject or None
        Owner.
    """

    name = "followed"
    colours: ClassVar[dict[int | None, str]] = {
        1: "#ffd400",
        None: "#ff7f0e",
    }  # the object; its mother and daughters

    def __init__(self, session: Session, parent: QObject | None = None):
        super().__init__(session, parent)
        self._frame, self._object, self._class = 0, 0, 1
        self._targets: dict[int, int] = {}

    def start(self, reach: int | None = None) -> None:
        """Follow the chosen object.

        Parameters
        ----------
        reach : int or None
            Frames before and after to look at; None for all.

        Raises
        ------
        DataError
            If no object is chosen, there is no model, or another job is running.
        """
        objects = self._session.objects
        row = objects.row_of(objects.chosen_id)
        if objects.layer is None or row is None:
            raise DataError("choose an object first: click on it")
        settings = self._settings()
        frame = int(objects.table.frame[row])
        mask = frame_of(objects.layer.data, frame) == objects.chosen_id
        given = GivenObject.of(mask, frame)
        self._frame, self._object = frame, objects.chosen_id
        self._class = int(objects.table.class_id[row])
        self._targets = self._of_track()
        frames = None
        if reach is not None:
            first, last = max(frame - reach, 0), min(frame + reach, objects.n_frames - 1)
            frames = list(range(first, last + 1))
        self._start("follow", settings, given, frames)

    def keep(self) -> None:
        """Record what was found; a DataError if the masks are not corrected, or have no objects."""
        if self._session.recorder is not None and self._session.objects.layer is None:
            raise DataError("these masks have no objects; press Show objects in Segment first")
        super().keep()

    def _of_track(self) -> dict[int, int]:
        """The objects of the track of the chosen one, by frame."""
        tracks = self._session.tracks
        editor, track = tracks.editor, tracks.chosen_track
        if editor is None or not track:
            return {}
        rows = editor.rows_of(track)
        return dict(zip(editor.frame[rows].tolist(), editor.object[rows].tolist(), strict=True))

    def _words(self) -> str:
        found = sorted(one.frame for one in self.written if one.n_objects)
        words = f"Object {self._object} of frame {self._frame} was found in "
        if not found:
            return words + "no other frame."
        n_lost = len(self.written) - len(found)
        words += f"{frames_words(len(found))}, {found[0]} to {found[-1]}"
        return words + (f", and not in {n_lost}." if n_lost else ".")

    def _take(self, recorder: CorrectionRecorder, path: Path) -> None:
        objects = self._session.objects.layer
        followed = FollowedObject(path=path, class_id=self._class, targets=self._targets)
        frames = sorted(one.frame for one in self.written if one.n_objects)
        assert objects is not None
        self._keeping.start(take_followed, recorder.log, objects.data, followed, frames)
