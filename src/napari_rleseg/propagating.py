"""Writing the frames after a corrected one again."""

from pathlib import Path
from typing import ClassVar

from qtpy.QtCore import QObject

from napari_rleseg.proposals import NOT_CORRECTED, Proposal
from napari_rleseg.recorder import CorrectionRecorder
from napari_rleseg.session import Session
from napari_rleseg.taking import take_changes
from rleseg_core.errors import DataError

KINDS = ("changed", "new", "gone")  # of changes, see `ObjectChange`
MOST = 12  # frames that are listed


class FramePropagation(Proposal):
    """Has the model write the frames after the one that is shown, and shows what would change.

    Parameters
    ----------
    session : Session
        Corrections, model, and the process.
    parent : QObject or None
        Owner.
    """

    name = "propagated changes"
    colours: ClassVar[dict[int | None, str]] = {
        1: "#ff2bd6",
        None: "#ffffff",
    }  # pixels that go; those that come

    def __init__(self, session: Session, parent: QObject | None = None):
        super().__init__(session, parent)
        self._of: CorrectionRecorder | None = None  # of the corrections that would change

    def start(self, n_frames: int) -> None:
        """Write the next frames again from the one that is shown.

        Raises
        ------
        DataError
            If the masks are not being corrected, there is no next frame, there is no model, or
            another job is running.
        """
        recorder = self._session.recorder
        if recorder is None:
            raise DataError(NOT_CORRECTED.partition(",")[0])
        settings = self._settings()
        frame = recorder.frame
        frames = list(range(frame, min(frame + n_frames + 1, recorder.log.shape[0])))
        accepted = set(recorder.log.accepted_frames())
        if len(frames) == 1:
            raise DataError("this is the last frame; there is none after it to write")
        if accepted.issuperset(frames[1:]):
            raise DataError("the next frames are accepted; they stay as they are")
        try:
            recorder.flush()
        except OSError as error:
            recorder.try_again(error)
            return
        self._of = recorder
        self._start("propagate", settings, recorder.log.folder, frames)

    def keep(self) -> None:
        """Record what is proposed; a DataError if other masks, or none, are being corrected."""
        recorder = self._session.recorder
        if recorder is not None and recorder is not self._of:
            raise DataError("these changes are of corrections that were finished; discard them")
        super().keep()

    def _words(self) -> str:
        changed = [one for one in self.written if one.n_pixels]
        if not changed:
            return "Nothing would change."
        of_each = []
        for one in changed:
            kinds = [f"{one.kinds[kind]} {kind}" for kind in KINDS if one.kinds.get(kind)]
            of_each.append(f"Frame {one.frame}: {', '.join(kinds)}; {one.n_pixels:,} px")
        told = of_each[:MOST] + [f"{len(of_each) - MOST} more frames"] * (len(of_each) > MOST)
        return "\n".join(["Objects that would change (white comes, magenta goes):", *told])

    def _take(self, recorder: CorrectionRecorder, path: Path) -> None:
        frames = [one.frame for one in self.written if one.n_pixels]
        self._keeping.start(take_changes, recorder.log, path, frames)
