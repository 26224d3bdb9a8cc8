"""The correction of a session's masks: start, resume an earlier session, review, finish."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path

from napari.layers import Labels
from qtpy.QtCore import QObject, QTimer, Signal

from napari_rleseg.calibration import layer_metadata
from napari_rleseg.earlier import (
    FOLDER,
    EarlierSession,
    KeptObjects,
    OpenedCorrections,
    RefusedCorrections,
    begin_corrections,
    find_earlier,
    open_corrections,
)
from napari_rleseg.jobs import InProcessRunner, show_failure
from napari_rleseg.layers import (
    class_names_of,
    noted_metadata,
    notes,
    provenance_of,
    show_labels,
    stack_shape,
)
from napari_rleseg.marks import ReviewMarks
from napari_rleseg.object_correction import ObjectCorrection
from napari_rleseg.recorder import CorrectionRecorder
from napari_rleseg.session import Session, sessions_folder
from napari_rleseg.signals import listen
from rleseg_core.corrections import FrameCopied, FrameRecorded
from rleseg_core.data.metadata import UNKNOWN
from rleseg_core.errors import DataError

OUTLINE = 2  # width of the outlines of the prediction, in pixels


class MaskCorrection(QObject):
    """Owns the recorder of a session, and what it records into.

    Parameters
    ----------
    session : Session
        Its `result` and `corrections` are set.
    parent : QObject or None
        Owner.

    Attributes
    ----------
    recorder : CorrectionRecorder or None
        Records the corrections; None while none are open.
    marks : ReviewMarks or None
        Marks what nobody has reviewed; None until there is something, or somebody wants to.
    notes : tuple of str
        What the user is to know about the session that is open: sentences.
    """

    started = Signal()
    progressed = Signal(int, int)  # frames copied, of all
    opened = Signal()
    changed = Signal()  # something was recorded, accepted or taken back
    stopped = Signal()
    failed = Signal(str)
    refused = Signal(object, str)  # folder, and why it can only be opened read-only

    def __init__(self, session: Session, parent: QObject | None = None):
        super().__init__(parent)
        self._session = session
        self.recorder: CorrectionRecorder | None = None
        self.notes: tuple[str, ...] = ()
        self.objects = ObjectCorrection(session, self)
        self._source: Labels | None = None
        self._compare: Labels | None = None
        self.marks: ReviewMarks | None = None
        self._waiting = False  # for the image to be written to disk
        self._runner = InProcessRunner("RLE Seg: keeping the prediction", self)
        self._runner.reported.connect(self._report)
        self._runner.finished.connect(self._open)
        self._runner.failed.connect(self._fail)
        self._runner.cancelled.connect(self._stop)
        session.reading.failed.connect(self._fail_to_write)
        session.reading.cancelled.connect(self._stop_waiting)
        listen(session.viewer.layers.events.removed, self._removed, self)

    @property
    def busy(self) -> bool:
        """Whether corrections are being begun."""
        return self._waiting or self._runner.busy

    def start(self, layer: Labels, class_names: Sequence[str] = ()) -> None:
        """Keep the masks of a layer as the prediction, and correct a copy.

        Raises
        ------
        DataError
            If there is no image, the masks do not fit it, or another job is running.
        """
        session = self._session
        image = session.needed_image()
        shape, image_shape = stack_shape(layer), stack_shape(image)
        if shape != image_shape:
            raise DataError(f"masks are {shape}, the image is {image_shape}; both must be the same")
        self._check_idle()
        self.finish()
        names = tuple(class_names) or class_names_of(layer)
        if not names:
            raise DataError(f"the classes of layer {layer.name!r} have no names; give some")
        self._source, self._waiting = layer, True
        self.started.emit()
        session.when_on_disk(image, lambda images: self._keep(layer, names, images))

    def resume(self, folder: Path, *, read_only: bool = False) -> None:
        """Resume an earlier session; what was painted and is not in the log is recorded first.

        Parameters
        ----------
        folder : Path
            The session.
        read_only : bool
            Only look at it: nothing on the disk changes.

        Raises
        ------
        DataError
            If another job is running.
        """
        self._check_idle()
        self.finish()
        self.started.emit()
        image = self._session.image
        path = None if image is None else self._session.path_of(image)
        metadata = UNKNOWN if image is None else layer_metadata(image).for_masks()
        self._runner.start(open_corrections, folder, path, read_only=read_only, metadata=metadata)

    def earlier_sessions(self) -> list[EarlierSession]:
        """Sessions on disk that belong to the session's image, the newest first."""
        image = self._session.image
        path = None if image is None else self._session.path_of(image)
        if image is None or path is None:
            return []
        here = self.recorder.log.folder if self.recorder is not None else None
        return find_earlier(sessions_folder(), path, stack_shape(image), here)

    def accept(self, accepted: bool = True) -> None:
        """Record that the current frame is correct (or is to be reviewed again)."""
        recorder = self.recorder
        if recorder is not None:
            self._try(lambda: recorder.accept(recorder.frame, accepted))

    def revert(self) -> None:
        """Give the frame that is shown its prediction back."""
        recorder = self.recorder
        if recorder is not None:
            self._try(lambda: recorder.revert(recorder.frame))

    def undo(self) -> None:
        """Undo the last recorded change, and go to its frame."""
        recorder = self.recorder
        if recorder is not None:
            self._try(lambda: self.go_to(recorder.undo()))

    def redo(self) -> None:
        """Redo the change that was undone last, and go to its frame."""
        recorder = self.recorder
        if recorder is not None:
            self._try(lambda: self.go_to(recorder.redo()))

    def go_to(self, frame: int | None) -> None:
        """Show a frame of the masks."""
        if frame is not None and self.recorder is not None:
            layer = self.recorder.layer
            axis = self._session.viewer.dims.ndim - layer.ndim
            self._session.viewer.dims.set_point(axis, float(layer.data_to_world((frame, 0, 0))[0]))

    def go_to_next(self, step: int, *, corrected: bool = False) -> int | None:
        """Show the next (step 1) or previous (-1) frame to review, or corrected frame.

        Returns
        -------
        int or None
            The frame; None if there is none.
        """
        if self.recorder is None:
            return None
        log, here = self.recorder.log, self.recorder.frame
        n_frames = log.shape[0]
        wanted = set(log.corrected_frames() if corrected else range(n_frames))
        wanted -= set() if corrected else set(log.accepted_frames())
        around = ((here + step * n) % n_frames for n in range(1, n_frames))
        frame = next((frame for frame in around if frame in wanted), None)
        self.go_to(frame)
        return frame

    def compare(self, visible: bool) -> None:
        """Show or hide the outlines of the prediction over the corrected masks."""
        if self.recorder is None:
            return
        layers = self._session.viewer.layers
        if self._compare is None and visible:
            layer, log = self.recorder.layer, self.recorder.log
            self._compare = show_labels(
                self._session.viewer,
                log.prediction,
                log.class_names,
                name="prediction",
                image=self._session.image,
            )
            self._compare.contour, self._compare.opacity = OUTLINE, 1.0
            self._compare.editable = False
            layers.selection.active = layer
        if self._compare is not None:
            self._compare.visible = visible

    def begin_marks(self) -> ReviewMarks:
        """The marks of what nobody has reviewed, with a layer to paint them on."""
        assert self.recorder is not None
        if self.marks is None:
            viewer, layer = self._session.viewer, self.recorder.layer
            self.marks = ReviewMarks(viewer, self.recorder, self)
            self.marks.saved.connect(self._saved)
            self.marks.failed.connect(show_failure)
            viewer.layers.selection.active = layer
        return self.marks

    def activate(self, layer: Labels) -> None:
        """Let the viewer's keys and mouse act on a layer."""
        self._session.viewer.layers.selection.active = layer

    def save(self) -> bool:
        """Record what is left; False, and the user is told, if that is not possible."""
        recorder, marks = self.recorder, self.marks
        if recorder is None:
            return True
        return self._try(recorder.flush) and (marks is None or self._try(marks.flush))

    def finish(self) -> bool:
        """Record what is left, and stop; the masks stay.

        Returns
        -------
        bool
            False if what is left cannot be saved: the corrections stay open then.
        """
        if self.recorder is None:
            return True
        if not self.save():
            return False
        recorder, self.recorder = self.recorder, None
        self._session.recorder = None
        marks, self.marks = self.marks, None
        if marks is not None:
            marks.close(self._session.viewer)
            marks.deleteLater()
        recorder.close()
        recorder.deleteLater()
        self.objects.close()
        if self._compare in self._session.viewer.layers:
            self._session.viewer.layers.remove(self._compare)
        self._compare = None
        recorder.layer.mode = "pan_zoom"
        self.notes = ()
        self.stopped.emit()
        return True

    def _try(self, action: Callable[[], object]) -> bool:
        """Do something that writes; what it could not save stays painted, and is tried again."""
        try:
            action()
        except OSError as error:
            assert self.recorder is not None
            self.recorder.try_again(error)
            return False
        return True

    def _check_idle(self) -> None:
        if self.recorder is not None and not self.save():
            raise DataError("the corrections that are open cannot be saved; make room on the disk")
        self._session.check_idle(busy=self.busy)

    def _keep(self, layer: Labels, names: tuple[str, ...], images: Path) -> None:
        self._waiting = False
        self._runner.start(
            begin_corrections,
            self._session.new_path(FOLDER),
            layer.data if layer.ndim == 3 else layer.data[None],
            class_names=names,
            provenance=json.loads(json.dumps(provenance_of(layer), default=str)),  # plain JSON
            image_path=images,
            ignores=bool(notes(layer).get("ignores")),
            objects=self._objects_of(layer, names),
        )

    def _objects_of(self, layer: Labels, names: tuple[str, ...]) -> KeptObjects | None:
        shown = self._session.objects
        if shown.masks is not layer or shown.layer is None or shown.table.class_names != names:
            return None
        return KeptObjects(shown.layer.data, shown.table, layer_metadata(layer))

    def _report(self, reports: list[FrameCopied | FrameRecorded]) -> None:
        self.progressed.emit(reports[-1].frame + 1, self._n_frames())

    def _open(self, product: OpenedCorrections | RefusedCorrections) -> None:
        if isinstance(product, RefusedCorrections):
            self._source = None
            self.stopped.emit()
            self.refused.emit(product.folder, product.reason)
            return
        log = product.log
        session, source = self._session, self._source
        image = session.image
        if image is None or stack_shape(image) != log.shape:
            log.close()
            self._fail(f"these corrections are of an image of {log.shape}; open it first", "")
            return
        self.notes = product.notes
        name = f"{image.name} masks" if source is None else source.name
        layer = show_labels(
            session.viewer,
            log.labels,
            log.class_names,
            name=f"{name}, corrected",
            image=image,
            path=log.folder / "labels.zarr",
            provenance=log.provenance,
            metadata=UNKNOWN if source is None else noted_metadata(source),
        )
        if source is not None:
            source.visible = False
        self._source = None
        layer.selected_label = 1
        layer.editable = not log.read_only
        self.recorder = CorrectionRecorder(layer, log, session.viewer.dims, self)
        self.recorder.saved.connect(self._saved)
        self.recorder.failed.connect(show_failure)
        session.recorder, session.result = self.recorder, layer
        session.viewer.layers.selection.active = layer
        session.corrections = log
        self.objects.open(product.objects, layer, self.recorder)
        if log.unreviewed_pixels() and not log.read_only:
            self.begin_marks()
        self.opened.emit()

    def _saved(self) -> None:
        self._session.corrections_changed.emit()
        self.changed.emit()

    def _fail(self, sentence: str, details: str) -> None:
        self._source, self._waiting = None, False
        self.failed.emit(sentence)
        show_failure(sentence, details)

    def _fail_to_write(self, sentence: str, details: str) -> None:
        if self._waiting:
            self._fail(sentence, details)

    def _stop_waiting(self) -> None:
        if self._waiting:
            self._stop()

    def _stop(self) -> None:
        self._source, self._waiting = None, False
        self.stopped.emit()

    def _removed(self, event: object) -> None:
        layer = getattr(event, "value", None)
        if layer is self._compare:
            self._compare = None
        if self.marks is not None and layer is self.marks.layer:
            marks, self.marks = self.marks, None
            marks.close(self._session.viewer)
            marks.deleteLater()
            self.changed.emit()
        if self.recorder is not None and layer is self.recorder.layer and not self.finish():
            # nothing but the layer's masks holds what could not be saved
            QTimer.singleShot(0, lambda: self._session.viewer.layers.append(layer))

    def _n_frames(self) -> int:
        image = self._session.image
        return stack_shape(image)[0] if image is not None else 0
