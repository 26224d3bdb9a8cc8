"""What a model proposes for frames of the session's image: shown first, then kept or discarded.

The model writes in the process that segments, and what is kept is recorded in a thread.
"""

import functools
from abc import abstractmethod
from pathlib import Path
from typing import ClassVar

import zarr
from napari.layers import Labels
from napari.utils.colormaps import DirectLabelColormap
from qtpy.QtCore import QObject, Signal

from napari_rleseg.calibration import NOTES
from napari_rleseg.follow_jobs import FrameWritten
from napari_rleseg.jobs import InProcessRunner, Runner, show_failure
from napari_rleseg.layers import stack_transform
from napari_rleseg.preferences import preference
from napari_rleseg.recorder import CorrectionRecorder
from napari_rleseg.session import Session
from napari_rleseg.signals import listen
from napari_rleseg.taking import FrameTaken
from napari_rleseg.tasks import SegmentSettings
from rleseg_core.errors import DataError

NOT_CORRECTED = "the masks are not being corrected; press Start in the Correct tab, and then Keep"


class Proposal(QObject):
    """Runs a job of `follow_jobs`, shows what it writes, and records it if it is kept.

    Parameters
    ----------
    session : Session
        Image, model, corrections, and the process.
    parent : QObject or None
        Owner.

    Attributes
    ----------
    written : list of FrameWritten
        The frames that the last job wrote, until they are kept or discarded.
    layer : Labels or None
        Shows them, made when first needed and then hidden: napari 0.9.2 can crash after layers were
        removed.
    """

    name: ClassVar[str]  # of the layer, and of the file in the session's folder
    colours: ClassVar[dict[int | None, str]]  # of its values; None for all others

    started = Signal()
    told = Signal(str)  # what is done before the first frame, and in the end what came of it
    progressed = Signal(int, int)  # frames done, of all
    changed = Signal()  # the job, or what is proposed

    def __init__(self, session: Session, parent: QObject | None = None):
        super().__init__(parent)
        self._session = session
        self._runner: Runner | None = None  # the one that runs our job
        self._recorder: CorrectionRecorder | None = None  # which records what is kept
        self._mode = ""  # of its layer, meanwhile
        self._path = Path()
        self.written: list[FrameWritten] = []
        self.layer: Labels | None = None
        self._keeping = InProcessRunner("RLE Seg: keeping what was proposed", self)
        self._keeping.reported.connect(self._note_taken)
        self._keeping.failed.connect(self._fail_to_keep)
        self._keeping.stopped.connect(self._kept)
        self._taken: list[FrameTaken] = []
        for runner in (session.reading, session.inference):
            runner.cancelled.connect(functools.partial(self._cancelled, runner))
            runner.failed.connect(functools.partial(self._fail, runner))
        session.inference.reported.connect(self._report)
        session.inference.finished.connect(self._finish)
        listen(session.image_changed, self._forget, self)
        listen(session.viewer.layers.events.removed, self._forget_layer, self)

    @property
    def running(self) -> bool:
        """Whether the model writes."""
        return self._runner is not None

    @property
    def keeping(self) -> bool:
        """Whether what was written is being recorded."""
        return self._keeping.busy

    @property
    def proposed(self) -> bool:
        """Whether there is something to keep or to discard."""
        return bool(self.written) and not self.running and not self.keeping

    def cancel(self) -> None:
        """Ask the model to stop; frames that are written stay."""
        if self._runner is not None:
            self._session.reading.cancel()
            self._session.inference.cancel()

    def keep(self) -> None:
        """Record what is proposed as corrections.

        Raises
        ------
        DataError
            If the masks are not being corrected, or are others.
        """
        recorder = self._session.recorder
        if not self.proposed:
            return
        if recorder is None:
            raise DataError(NOT_CORRECTED)
        if recorder.log.read_only:
            raise DataError("these corrections are open read-only; nothing can be kept")
        if self.layer is None or tuple(self.layer.data.shape) != recorder.log.shape:
            raise DataError("these corrections are of other images; nothing can be kept")
        try:
            recorder.flush()
        except OSError as error:
            recorder.try_again(error)
            return
        self._recorder, self._mode, self._taken = recorder, recorder.layer.mode, []
        recorder.layer.editable = False  # nobody paints meanwhile
        self._take(recorder, self._path)
        self.changed.emit()

    def discard(self) -> None:
        """Hide what is proposed; nothing has changed."""
        if not self.keeping:
            self._forget()
            self.told.emit("Discarded; nothing has changed.")

    @abstractmethod
    def _take(self, recorder: CorrectionRecorder, path: Path) -> None:
        """Start the job of `taking` that records what lies in a file."""

    @abstractmethod
    def _words(self) -> str:
        """What is proposed, sentences."""

    def _settings(self) -> SegmentSettings:
        """How frames are segmented; a DataError without image or model, or if a job runs."""
        session = self._session
        session.needed_image()
        if session.model is None:
            raise DataError("there is no model; choose one in the Segment tab")
        session.check_idle(busy=self.running or self.keeping)
        size = session.image_size
        if size is None and session.diameter is None:
            size = session.seen_size
        return SegmentSettings(
            model=session.model.path,
            device=str(preference("inference", "device")),
            image_size=size,
            diameter=session.diameter,
            greys=session.greys,
        )

    def _start(self, job: str, *args: object) -> None:
        """Run a job with the paths of the images and of its result, and what else it takes."""
        session = self._session
        self._forget()
        self._path = session.folder / f"{self.name}.zarr"
        self._runner = session.reading
        self.started.emit()
        session.when_on_disk(session.needed_image(), lambda images: self._launch(job, images, args))

    def _launch(self, job: str, images: Path, args: tuple[object, ...]) -> None:
        inference = self._session.inference
        if self._runner is None:
            return
        if inference.busy:
            self._end("Another job is running; try again when it has ended.")
            return
        self._runner = inference
        inference.start(f"napari_rleseg.follow_jobs:{job}", images, self._path, *args)

    def _report(self, reports: list[object]) -> None:
        if self._runner is not self._session.inference:
            return
        if words := [one for one in reports if isinstance(one, str)]:
            self.told.emit(words[-1])
        if frames := [one for one in reports if isinstance(one, FrameWritten)]:
            self.written += frames
            self._show()
            self.progressed.emit(frames[-1].n_done, frames[-1].n_frames)

    def _show(self) -> None:
        """Show what is written so far."""
        viewer, image = self._session.viewer, self._session.image
        if image is None:
            return
        if self.layer is not None and self.layer.visible:
            self.layer.refresh(thumbnail=False, highlight=False, extent=False)
            return
        data = zarr.open_array(self._path, mode="r")
        if self.layer is None:
            active = viewer.layers.selection.active
            self.layer = Labels(
                data,
                name=self.name,
                opacity=0.9,
                colormap=DirectLabelColormap(color_dict={0: "transparent", **self.colours}),
                metadata={NOTES: {"preview": True}},
            )
            viewer.add_layer(self.layer)
            self.layer.editable = False
            viewer.layers.selection.active = active
        else:
            self.layer.data = data
        for name, value in stack_transform(image).items():
            setattr(self.layer, name, value)
        self.layer.visible = True

    def _finish(self, _: object) -> None:
        if self._runner is self._session.inference:
            self._end(self._words())

    def _cancelled(self, runner: Runner) -> None:
        if runner is self._runner:
            self._end(f"Cancelled. {self._words()}" if self.written else "Cancelled.")

    def _fail(self, runner: Runner, sentence: str, details: str) -> None:
        if runner is self._runner:
            self._end(_sentence(sentence))
            if details:
                show_failure(sentence, details)

    def _end(self, sentence: str) -> None:
        self._runner = None
        self.told.emit(sentence)
        self.changed.emit()

    def _note_taken(self, reports: list[FrameTaken]) -> None:
        self._taken += reports

    def _fail_to_keep(self, sentence: str, details: str) -> None:
        self._taken.clear()
        self.told.emit(_sentence(sentence))
        if details:
            show_failure(sentence, details)

    def _kept(self) -> None:
        """Show what was recorded, as far as it was."""
        recorder, self._recorder = self._recorder, None
        if recorder is None:
            return
        recorder.layer.editable = True
        recorder.layer.mode = self._mode
        recorder.show_recorded()
        if self._taken:
            self._forget()
            self.told.emit(_taken_words(self._taken))
        self.changed.emit()

    def _forget(self, _: object = None) -> None:
        """Propose nothing any longer."""
        self.written = []
        if self.layer is not None:
            self.layer.visible = False
        self.changed.emit()

    def _forget_layer(self, event: object) -> None:
        if getattr(event, "value", None) is self.layer:
            self.layer = None
            self._forget()


def frames_words(n_frames: int) -> str:
    """A number of frames."""
    return f"{n_frames:,} frame{'s' * (n_frames != 1)}"


def _taken_words(taken: list[FrameTaken]) -> str:
    n_frames = sum(one.n_pixels > 0 for one in taken)
    n_pixels = sum(one.n_pixels for one in taken)
    n_accepted = sum(one.accepted for one in taken)
    words = f"Kept: {n_pixels:,} px in {frames_words(n_frames)} corrected. " if n_frames else ""
    if n_frames:
        words += "Undo, in the Correct tab, takes back one frame at a time. "
    if n_accepted:
        words += f"{frames_words(n_accepted)} stayed as accepted."
    return words.strip() or "Nothing is different from what was there."


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}{'' if text.endswith('.') else '.'}"
