"""The objects of masks that are being corrected: recounted a moment after each change."""

from collections.abc import Generator, Iterable, Sequence

from napari.layers import Labels
from qtpy.QtCore import QObject

from napari_rleseg.calibration import layer_metadata
from napari_rleseg.jobs import InProcessRunner, show_failure
from napari_rleseg.object_files import ObjectFiles, find_pieces
from napari_rleseg.objects import objects_layer
from napari_rleseg.recorder import CorrectionRecorder
from napari_rleseg.session import Session
from napari_rleseg.signals import listen
from rleseg_core.corrections import CorrectionLog
from rleseg_core.corrections.objects import CORRECTED, OBJECTS, TABLE, SessionObjects, open_objects
from rleseg_core.data.metadata import StackMetadata
from rleseg_core.objects import ObjectTable


class ObjectCorrection(QObject):
    """Lets the objects of a session follow its corrected masks, in a thread.

    Parameters
    ----------
    session : Session
        Its objects are those of the corrected masks while corrections are open.
    parent : QObject or None
        Owner.
    """

    def __init__(self, session: Session, parent: QObject | None = None):
        super().__init__(parent)
        self._session = session
        self._objects: SessionObjects | None = None
        self._recorder: CorrectionRecorder | None = None
        self._seen: dict[int, tuple[int, bool]] = {}  # changed pixels and acceptance of frames
        self._current: dict[int, int] = {}  # frames, and the change that they were counted after
        self._n_saved = 0
        self._waiting: set[int] = set()
        self._runner = InProcessRunner("RLE Seg: counting objects", self)
        self._runner.reported.connect(self._report)
        self._runner.failed.connect(show_failure)
        self._runner.finished.connect(self._open_found)
        self._runner.stopped.connect(self._go_on)
        self._masks: Labels | None = None
        listen(session.viewer.dims.events.current_step, self._show_frame, self)
        listen(session.objects.wanted, self._find, self)

    @property
    def pending(self) -> bool:
        """Whether objects are being counted."""
        return self._runner.busy or bool(self._waiting)

    def open(
        self, objects: SessionObjects | None, layer: Labels, recorder: CorrectionRecorder
    ) -> None:
        """Show the objects of masks that are corrected from now on, if they have any."""
        self._waiting.clear()
        self._runner.close()
        before = self._recorder if self._objects is not None else None
        self._objects, self._recorder, self._masks = objects, recorder, layer
        if objects is None:
            self._session.objects.clear()
            return
        self._seen = self._states()
        self._current = dict.fromkeys(self._seen, 0)
        self._n_saved = 0
        ids = objects_layer(objects.ids, layer, objects.log.folder / CORRECTED)
        view = self._session.objects
        active = self._session.viewer.layers.selection.active
        view.show(ids, layer, objects.table)
        self._session.viewer.layers.selection.active = active  # which is painted on
        if recorder is not before:
            recorder.saved.connect(self._follow)

    def close(self) -> None:
        """Stop following; what was changed last is still counted."""
        self._recorder = None

    def _find(self) -> None:
        """Show the objects again; in a session without any, connected pieces of the prediction."""
        recorder, masks = self._recorder, self._masks
        if recorder is None or masks is None or self._runner.busy:
            return
        if self._objects is not None:
            self.open(self._objects, masks, recorder)
        elif recorder.log.read_only:
            show_failure("these corrections are open read-only: open them to count objects", "")
        else:
            self._runner.start(_find_pieces, recorder.log, layer_metadata(masks))

    def _open_found(self, product: object) -> None:
        recorder, masks = self._recorder, self._masks
        if recorder is None or masks is None or not isinstance(product, SessionObjects):
            return
        if product.log is recorder.log:
            self.open(product, masks, recorder)

    def _states(self) -> dict[int, tuple[int, bool]]:
        assert self._objects is not None
        log = self._objects.log
        changed, accepted = log.changed_pixels(), set(log.accepted_frames())
        return {f: (changed.get(f, 0), f in accepted) for f in sorted({*changed, *accepted})}

    def _follow(self) -> None:
        """Count the objects of the frames that changed, and of the one that is shown."""
        if self._objects is None or self._recorder is None:
            return
        self._n_saved += 1
        before, now = self._seen, self._states()
        changed = {f for f in {*before, *now} if before.get(f) != now.get(f)}
        self._seen = now
        self._count(changed | ({self._recorder.frame} & {*now, *before}))

    def _show_frame(self, _: object = None) -> None:
        """Count again in a frame that is shown, if there were changes since it was counted."""
        if self._objects is None or self._recorder is None:
            return
        frame = self._recorder.frame
        if frame in self._seen and self._current.get(frame, -1) < self._n_saved:
            self._count({frame})

    def _count(self, frames: Iterable[int]) -> None:
        self._waiting.update(frames)
        self._go_on()

    def _go_on(self) -> None:
        if self._waiting and not self._runner.busy and self._objects is not None:
            frames = sorted(self._waiting)
            self._waiting.clear()
            self._current.update(dict.fromkeys(frames, self._n_saved))
            self._runner.start(_update, self._objects, frames)

    def _report(self, reports: list[tuple[int, ObjectTable]]) -> None:
        objects = self._objects
        if objects is None or not isinstance(reports[-1], tuple):
            return
        rows = ObjectTable.concatenate([table for _, table in reports])
        self._session.objects.replace([frame for frame, _ in reports], rows)


def _update(
    objects: SessionObjects, frames: Sequence[int]
) -> Generator[tuple[int, ObjectTable], None, None]:
    """Job that counts the objects of some frames, and writes the table."""
    for frame in frames:
        yield frame, objects.update(frame)
    if not objects.log.read_only:
        objects.write_table()


def _find_pieces(
    log: CorrectionLog, metadata: StackMetadata
) -> Generator[int, None, SessionObjects | None]:
    """Job that finds the connected pieces of the prediction, and keeps them in the session."""
    files = ObjectFiles(log.folder / OBJECTS, log.folder / TABLE)
    yield from find_pieces(log.prediction, log.class_names, files, metadata)
    objects = open_objects(log, metadata)
    if objects is not None:
        yield from objects.update_all()
    return objects
