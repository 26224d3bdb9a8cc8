"""Export of the objects that are shown: jobs in a thread, for other programs or as measurements."""

from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from napari.layers import Image
from qtpy.QtCore import QObject, Signal

from napari_rleseg.calibration import layer_metadata
from napari_rleseg.jobs import InProcessRunner, show_failure
from napari_rleseg.layers import notes
from napari_rleseg.session import Session
from rleseg_core.data import ImageStack
from rleseg_core.data.formats.registry import open_source
from rleseg_core.errors import DataError
from rleseg_core.objects.exports import EXPORTS, ExportSummary, export_stack
from rleseg_core.objects.feature_table import FeatureSummary, FrameDone, measure_to_file
from rleseg_core.objects.stack import ObjectStack

MEASURE = "measure"


@dataclass(frozen=True)
class ExportKind:
    """A way to export objects.

    Parameters
    ----------
    name : str
        'measure', or a name of `EXPORTS`.
    title : str
        What it is, for a menu.
    suffix : str
        What the name of the file ends in; nothing where a folder is written.
    """

    name: str
    title: str
    suffix: str


EXPORT_KINDS = (
    ExportKind(MEASURE, "Measurements of shape and intensity (CSV)", ".csv"),
    *(
        ExportKind(name, one.summary[0].upper() + one.summary[1:], (*one.suffixes, "")[0])
        for name, one in EXPORTS.items()
    ),
)


class ObjectExport(QObject):
    """Writes the objects of a session, one export at a time.

    Parameters
    ----------
    session : Session
        Its objects are written.
    parent : QObject or None
        Owner.
    """

    started = Signal()
    progressed = Signal(int, int)  # frames done, of all
    stopped = Signal(str)  # what came of it, a sentence

    def __init__(self, session: Session, parent: QObject | None = None):
        super().__init__(parent)
        self._session = session
        self._runner = InProcessRunner("RLE Seg: exporting objects", self)
        self._runner.reported.connect(self._report)
        self._runner.finished.connect(self._finish)
        self._runner.failed.connect(self._fail)
        self._runner.cancelled.connect(lambda: self.stopped.emit("Cancelled; nothing was written"))

    @property
    def busy(self) -> bool:
        """Whether objects are being written."""
        return self._runner.busy

    def start(self, kind: ExportKind, path: Path, *, overwrite: bool = False) -> None:
        """Write the objects.

        Parameters
        ----------
        kind : ExportKind
            How.
        path : Path
            The file or folder.
        overwrite : bool
            Whether it may replace an older one of the kind.

        Raises
        ------
        DataError
            If there are no objects, or an export is running.
        """
        session, view = self._session, self._session.objects
        if view.layer is None:
            raise DataError("there are no objects to export; segment the image first")
        if self.busy:
            raise DataError("another export is running; cancel it or wait for it")
        masks = view.layer if view.masks is None else view.masks
        files = [notes(layer).get("path") for layer in (view.layer, view.masks) if layer]
        stack = ObjectStack(
            ids=view.layer.data,
            table=view.table,
            metadata=layer_metadata(masks),
            name=masks.name,
            inputs=tuple(Path(str(file)) for file in files if file),
        )
        images: Path | np.ndarray | None = None
        if session.image is not None:
            images = session.path_of(session.image) or _stack_of(session.image)
        self.started.emit()
        self._runner.start(write_objects, kind.name, stack, path, images, overwrite=overwrite)

    def cancel(self) -> None:
        """Ask the export to stop; nothing is left of it."""
        self._runner.cancel()

    def _report(self, reports: list[FrameDone]) -> None:
        self.progressed.emit(reports[-1].n_done, reports[-1].n_frames)

    def _finish(self, summary: ExportSummary | FeatureSummary) -> None:
        name = Path(summary.out).name
        self.stopped.emit(f"{summary.n_objects:,} objects written to {name}")

    def _fail(self, sentence: str, details: str) -> None:
        self.stopped.emit(sentence)
        if details:
            show_failure(sentence, details)


def write_objects(
    kind: str,
    stack: ObjectStack,
    path: Path,
    images: Path | np.ndarray | None,
    *,
    overwrite: bool = False,
) -> Generator[FrameDone, None, ExportSummary | FeatureSummary]:
    """Job that writes objects.

    Parameters
    ----------
    kind : str
        'measure', or a name of `EXPORTS`.
    stack : ObjectStack
        The objects.
    path : Path
        The file or folder.
    images : Path, (T, Y, X[, C]) array, or None
        What intensities are measured in.
    overwrite : bool
        Whether it may replace an older one of the kind.
    """
    if kind != MEASURE:
        return (yield from export_stack(stack, path, kind, overwrite=overwrite))
    source = None
    if isinstance(images, Path):
        source = ImageStack.from_source(open_source(images))
    elif images is not None:
        source = ImageStack.from_array(images)
    return (yield from measure_to_file(stack, path, source, overwrite=overwrite))


def _stack_of(image: Image) -> np.ndarray:
    """The data of a layer as (T, Y, X[, C])."""
    return image.data if image.ndim == 3 else image.data[None]
