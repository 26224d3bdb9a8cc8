"""The segmentation of a session's image: the job, and its masks in the viewer as they arrive."""

import functools
from collections.abc import Callable, Sequence
from pathlib import Path

from napari.layers import Labels
from qtpy.QtCore import QElapsedTimer, QObject, QTimer, Signal

from napari_rleseg import tasks
from napari_rleseg.calibration import layer_metadata
from napari_rleseg.first_view import Previewed, View
from napari_rleseg.jobs import InProcessRunner, Runner, show_failure
from napari_rleseg.layers import (
    class_names_of,
    current_frame,
    notes,
    show_frame,
    stack_shape,
    visible_part,
)
from napari_rleseg.object_files import ObjectFiles, load_objects
from napari_rleseg.objects import objects_layer
from napari_rleseg.session import Session
from rleseg_core.checkpoints import ModelInfo
from rleseg_core.objects import ObjectTable

REFRESH_MS = 100  # least time between two redraws of the layer while windows arrive
OBJECTS_MS = 500  # least time between two redraws of the objects,
SHARE = 10  # and in times of what one takes: there may be many, in large frames
STEP_MS = 10  # between the steps before the job, for the viewer to draw


class Segmentation(QObject):
    """Runs `tasks.segment` and shows what it writes.

    The process writes the masks into the zarr array that the result layer shows; here the layer is
    only redrawn, so that no array is touched in the viewer's thread.

    Parameters
    ----------
    session : Session
        Image, result, and the process.
    parent : QObject or None
        Owner.

    Attributes
    ----------
    follow : bool
        Whether the viewer shows the frame that is being segmented; set to False when the user
        moves to another one.
    """

    started = Signal()
    told = Signal(str)  # what is done before the first window
    progressed = Signal(object)  # tasks.SegmentReport
    stopped = Signal(str)  # 'finished', 'cancelled' or 'failed'

    def __init__(self, session: Session, parent: QObject | None = None):
        super().__init__(parent)
        self.follow = True
        self.running = False
        self.cancelling = False
        self._session = session
        self._layer: Labels | None = None
        self._objects: tuple[Labels, ObjectTable] | None = None  # to be shown
        self._reached: set[int] = set()
        self._finished: list[ObjectTable] = []
        self._next_objects = 0  # on the clock of the redraws, in ms
        self._clock = QElapsedTimer()
        self._clock.start()
        self._dirty: set[int] = set()
        self._dirty_objects: set[int] = set()
        self._newest = 0
        self._shown: int | None = None  # the frame that we moved the viewer to
        self._timer = QTimer(self)
        self._timer.setInterval(REFRESH_MS)
        self._timer.timeout.connect(self._refresh)
        self._steps: list[Callable[[], None]] = []
        self._step_timer = QTimer(self)
        self._step_timer.setSingleShot(True)
        self._step_timer.setInterval(STEP_MS)
        self._step_timer.timeout.connect(self._next_step)
        self._loading = InProcessRunner("RLE Seg: reading objects", self)
        self._loading.finished.connect(self._loaded)
        self._loading.failed.connect(show_failure)
        self._runner: Runner | None = None  # the one that runs our job
        for runner in (session.reading, session.inference):
            runner.cancelled.connect(functools.partial(self._stop, runner))
            runner.failed.connect(functools.partial(self._fail, runner))
        session.inference.reported.connect(self._report)
        session.inference.finished.connect(self._finish)

    def start(
        self,
        model: ModelInfo,
        settings: tasks.SegmentSettings,
        frames: Sequence[int] | None = None,
    ) -> None:
        """Segment frames of the session's image, all by default.

        An earlier result is overwritten in these frames; if it was corrected, or has other classes,
        a new layer is made.

        Raises
        ------
        DataError
            If there is no image, or another job is running.
        """
        session = self._session
        shape = stack_shape(session.needed_image())
        session.check_idle(busy=self.running)
        names = model.mask_spec.class_names
        self._newest, self._shown = (frames[0] if frames else 0), None
        self.running, self.cancelling = True, False
        self._steps = [
            self._make_objects,
            self._show_objects,
            functools.partial(self._begin, settings, frames),
        ]
        if self._can_take(session.result, shape, names):
            self._layer = session.result
        else:
            record = model.provenance(
                stitch=settings.stitch,
                top_p=settings.top_p,
                image_size=settings.image_size,
                diameter=settings.diameter,
                invert=settings.greys.invert,
                contrast=settings.greys.contrast,
            )
            make = functools.partial(self._make_layer, names, record)
            self._steps = [make, self._show_layer, *self._steps]
        self.started.emit()
        self._step_timer.start()

    def cancel(self) -> None:
        """Ask the job to stop; finished masks stay."""
        if self.running:
            self.cancelling = True
            self._session.reading.cancel()
            self._session.inference.cancel()

    def _next_step(self) -> None:
        """Take one of the steps before the job; the viewer draws between them."""
        if self.cancelling:
            self._end("cancelled")
            return
        step = self._steps.pop(0)
        try:
            step()
        except OSError as error:
            self._end("failed")
            show_failure(f"the masks cannot be written: {error}", "")
        except BaseException:
            self._end("failed")
            raise
        else:
            if self._steps:
                self._step_timer.start()

    def _make_layer(self, names: tuple[str, ...], provenance: dict[str, object]) -> None:
        self._layer = self._session.new_result(names, provenance)

    def _show_layer(self) -> None:
        session = self._session
        if session.result is not None:
            session.result.visible = False
        session.result = session.viewer.add_layer(self._layer)

    def _make_objects(self) -> None:
        """A layer for the objects of the result, if it has none yet."""
        layer, shown = self._layer, self._session.objects
        if layer is None or (shown.layer is not None and shown.masks is layer):
            return
        names, files = class_names_of(layer), ObjectFiles.beside(Path(str(notes(layer)["path"])))
        ids, table = files.read(names) or (files.create(layer.data.shape), ObjectTable.empty(names))
        self._objects = objects_layer(ids, layer, files.ids), table

    def _show_objects(self) -> None:
        if self._objects is not None and self._layer is not None:
            objects, table = self._objects
            self._objects = None
            self._session.objects.show(objects, self._layer, table)

    def _begin(self, settings: tasks.SegmentSettings, frames: Sequence[int] | None) -> None:
        session = self._session
        if session.image is None or self._layer is None:
            self._end("cancelled")  # the image was removed from the viewer
            return
        self._layer.editable = False  # nobody paints where the model writes
        result = Path(str(notes(self._layer)["path"]))
        self._runner = session.reading
        session.when_on_disk(
            session.image, lambda images: self._segment(images, result, settings, frames)
        )

    def _can_take(
        self, layer: Labels | None, shape: tuple[int, ...], names: tuple[str, ...]
    ) -> bool:
        if layer is None or self._session.corrections is not None:
            return False
        path = Path(str(notes(layer).get("path")))
        ours = path.parent == self._session.folder
        return ours and tuple(layer.data.shape) == shape and class_names_of(layer) == names

    def _segment(
        self,
        images: Path,
        result: Path,
        settings: tasks.SegmentSettings,
        frames: Sequence[int] | None,
    ) -> None:
        if self.cancelling:
            self._end("cancelled")
            return
        self._runner = self._session.inference
        if self._runner.busy:  # the animation took it while the images were being written
            self._fail(self._runner, "another job is running; wait for it or cancel it", "")
            return
        self._timer.start()
        self._runner.start(
            "napari_rleseg.tasks:segment", images, result, settings, frames, self._view()
        )

    def _view(self) -> View | None:
        """What the viewer shows of the image."""
        viewer, image = self._session.viewer, self._session.image
        if image is None:
            return None
        rows, cols = visible_part(viewer, image)
        return View(frame=current_frame(viewer, image), rows=rows, cols=cols)

    def _report(self, reports: list[object]) -> None:
        if self._runner is not self._session.inference:
            return  # of the animation
        for words in (report for report in reports if isinstance(report, str)):
            self.told.emit(words)
        reports = [report for report in reports if not isinstance(report, str)]
        for seen in [report for report in reports if isinstance(report, Previewed)]:
            reports.remove(seen)
            self._newest = seen.frame
            self._dirty.add(seen.frame)
            self._dirty_objects.add(seen.frame)
        for report in reports:
            assert isinstance(report, tasks.SegmentReport)
            self._dirty.add(report.frame)
            self._dirty_objects.add(report.frame)
            self._newest = report.frame
            self._reached.update(report.reached)
            self._finished += [] if report.finished is None else [report.finished]
        if reports:
            self._note_scale(reports[-1])
            self.progressed.emit(reports[-1])

    def _note_scale(self, report: object) -> None:
        """Keep with the masks, and with the session, the size that was estimated."""
        scale = report.scale if isinstance(report, tasks.SegmentReport) else None
        if scale is None or scale.origin == "model" or self._layer is None:
            return
        noted = notes(self._layer).get("provenance")
        if isinstance(noted, dict):
            noted["image_size"] = scale.image_size
        if scale.origin == "estimate":
            self._session.seen_size = scale.image_size

    def _finish(self, _: object) -> None:
        if self._runner is self._session.inference:
            self._end("finished")

    def _stop(self, runner: Runner) -> None:
        if runner is self._runner:
            self._end("cancelled")

    def _fail(self, runner: Runner, sentence: str, details: str) -> None:
        if runner is self._runner:
            self._end("failed")
            show_failure(sentence, details)

    def _end(self, how: str) -> None:
        self._timer.stop()
        self._runner = None
        self._refresh()
        self._refresh_objects()
        self.running = self.cancelling = False
        if how != "finished":
            self._load_objects()
        if self._layer is not None:
            self._layer.editable = True  # napari forgets the history of what is no longer there
            self._layer.refresh()
            self._layer = None
        self.stopped.emit(how)

    def _refresh(self) -> None:
        """Redraw the layer if the current frame changed; follow the newest frame."""
        viewer, layer = self._session.viewer, self._layer or self._session.image
        here = 0 if layer is None else current_frame(viewer, layer)
        if self.follow and self._shown is not None and here != self._shown:
            self.follow = False  # the user looks elsewhere
        if self.running and self.follow and layer and self._dirty and here != self._newest:
            show_frame(viewer, layer, self._newest)  # redraws the layer as well
            here = self._newest
        elif self._layer is not None and here in self._dirty and self._layer.visible:
            self._layer.refresh(thumbnail=False, highlight=False, extent=False)
        if self._dirty:
            self._shown = here
        self._dirty.clear()
        started = self._clock.elapsed()
        if started >= self._next_objects:
            self._refresh_objects()
            taken = self._clock.elapsed() - started
            self._next_objects = started + max(OBJECTS_MS, SHARE * taken)

    def _load_objects(self) -> None:
        """Read the objects of a job that was ended: those of frames that were not finished too."""
        layer = self._layer
        if layer is None or self._session.objects.masks is not layer or self._loading.busy:
            return
        assert layer is not None
        files = ObjectFiles.beside(Path(str(notes(layer)["path"])))
        names = class_names_of(layer)
        self._loading.start(load_objects, files, layer.data, names, layer_metadata(layer))

    def _loaded(self, table: object) -> None:
        objects = self._session.objects
        if isinstance(table, ObjectTable) and objects.layer is not None and not self.running:
            objects.replace(range(objects.n_frames), table)
            objects.refresh()

    def _refresh_objects(self) -> None:
        """Show the objects of frames that are finished, and the ids that were painted."""
        objects, layer = self._session.objects, self._layer
        reached, finished = self._reached, self._finished
        self._reached, self._finished = set(), []
        if layer is None or objects.masks is not layer:
            return
        if reached or finished:
            table = ObjectTable.concatenate([ObjectTable.empty(class_names_of(layer)), *finished])
            objects.replace(reached | set(table.frame.tolist()), table)
        elif objects.frame in self._dirty_objects:
            objects.refresh()
        self._dirty_objects.clear()
