"""Objects for masks that are shown without: those that were kept, or connected pieces."""

from pathlib import Path

from napari.layers import Labels
from qtpy.QtCore import QObject, Signal

from napari_rleseg.calibration import layer_metadata
from napari_rleseg.jobs import InProcessRunner, show_failure
from napari_rleseg.layers import class_names_of, notes
from napari_rleseg.object_files import ObjectFiles, find_pieces, load_objects
from napari_rleseg.objects import objects_layer
from napari_rleseg.session import Session
from rleseg_core.objects import ObjectTable


class PieceFinding(QObject):
    """Shows the objects of a session's result, found in a thread.

    Those that were kept with the masks are read; masks of earlier versions, or of a file, have
    none, and their connected pieces count.

    Parameters
    ----------
    session : Session
        Its result is looked at; its objects are set.
    parent : QObject or None
        Owner.
    """

    started = Signal()
    stopped = Signal()

    def __init__(self, session: Session, parent: QObject | None = None):
        super().__init__(parent)
        self._session = session
        self._masks: Labels | None = None
        self._files: ObjectFiles | None = None
        self._runner = InProcessRunner("RLE Seg: finding objects", self)
        self._runner.finished.connect(self._show)
        self._runner.failed.connect(show_failure)
        self._runner.stopped.connect(self.stopped)

    @property
    def busy(self) -> bool:
        """Whether objects are being found."""
        return self._runner.busy

    def start(self) -> None:
        """Show the objects of the result; those of masks that are corrected follow them."""
        masks = self._session.result
        if masks is None or self.busy:
            return
        if self._session.corrections is not None:
            self._session.objects.wanted.emit()
            return
        path = notes(masks).get("path")
        here = Path(str(path)) if path else None
        if here is None or here.parent != self._session.folder:
            here = self._session.new_path("segmentation-of-masks.zarr")
        self._masks, self._files = masks, ObjectFiles.beside(here)
        names, metadata = class_names_of(masks), layer_metadata(masks)
        self.started.emit()
        if self._files.ids.is_dir():
            self._runner.start(load_objects, self._files, masks.data, names, metadata)
        else:
            self._runner.start(find_pieces, masks.data, names, self._files, metadata)

    def _show(self, table: object) -> None:
        masks, files = self._masks, self._files
        if masks is None or files is None or masks is not self._session.result:
            return
        assert isinstance(table, ObjectTable)
        found = files.open()
        self._session.objects.show(objects_layer(found, masks, files.ids), masks, table)
