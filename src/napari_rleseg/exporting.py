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
from rleseg_core.tracks import Tracks
from rleseg_core.tracks.files.ctc import write_challenge
from rleseg_core.tracks.files.geff_store import write_geff
from rleseg_core.tracks.files.table_file import write_tracks

MEASURE = "measure"
CHALLENGE, GEFF, TABLE = "tracks-ctc", "tracks-geff", "tracks-csv"


@dataclass(frozen=True)
class ExportKind:
    """A way to export objects.

    Parameters
    ----------
    name : str
        'measure', a name of `EXPORTS`, or one of `TRACK_KINDS`.
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
TRACK_KINDS = (
    ExportKind(CHALLENGE, "Cell Tracking Challenge: masks and res_track.txt (folder)", ""),
    ExportKind(GEFF, "GEFF, for track editors", ".geff"),
    ExportKind(TABLE, "Table of the tracks (CSV)", ".csv"),
)


@dataclass(frozen=True)
class WrittenTracks:
    """Tracks that were written.

    Parameters
    ----------
    out : Path
        Where to.
    n_tracks : int
        How many.
    """

    out: Path
    n_tracks: int


class ObjectExport(QObject):
    """Writes the objects of a session, or their tracks, one export at a time.

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
        """Write the objects, or their tracks.

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
            If there are no objects or tracks, or an export is running.
        """
        session, stack = self._session, shown_objects(self._session)
        if self.busy:
            raise DataError("another export is running; cancel it or wait for it")
        if kind in TRACK_KINDS:
            editor = session.tracks.editor
            if editor is None:
                raise DataError("there are no tracks to export; press Track first")
            assert session.objects.layer is not None
            labels = session.path_of(session.objects.layer)
            what = (kind.name, stack, editor.tracks, path, labels)
            self.started.emit()
            self._runner.start(write_shown_tracks, *what, overwrite=overwrite)
            return
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

    def _finish(self, summary: ExportSummary | FeatureSummary | WrittenTracks) -> None:
        name = Path(summary.out).name
        if isinstance(summary, WrittenTracks):
            self.stopped.emit(f"{summary.n_tracks:,} tracks written to {name}")
        else:
            self.stopped.emit(f"{summary.n_objects:,} objects written to {name}")

    def _fail(self, sentence: str, details: str) -> None:
        self.stopped.emit(sentence)
        if details:
            show_failure(sentence, details)


def shown_objects(session: Session) -> ObjectStack:
    """The objects that a session shows.

    Raises
    ------
    DataError
        If there are none.
    """
    view = session.objects
    if view.layer is None:
        raise DataError("there are no objects; segment the image first")
    masks = view.layer if view.masks is None else view.masks
    files = [notes(layer).get("path") for layer in (view.layer, view.masks) if layer]
    return ObjectStack(
        ids=view.layer.data,
        table=view.table,
        metadata=layer_metadata(masks),
        name=masks.name,
        inputs=tuple(Path(str(file)) for file in files if file),
    )


def write_shown_tracks(
    kind: str,
    stack: ObjectStack,
    tracks: Tracks,
    path: Path,
    labels: Path | None = None,
    *,
    overwrite: bool = False,
) -> Generator[FrameDone, None, WrittenTracks]:
    """Job that writes tracks.

    Parameters
    ----------
    kind : str
        Name of one of `TRACK_KINDS`.
    stack : ObjectStack
        The objects.
    tracks : Tracks
        Their tracks.
    path : Path
        The file or folder.
    labels : Path, optional
        File of the ids of the objects, to which a GEFF store refers.
    overwrite : bool
        Whether it may replace an older one of the kind.
    """
    if kind == CHALLENGE:
        for frame in write_challenge(stack, tracks, path, overwrite=overwrite):
            rows = tracks.in_frame(frame)
            yield FrameDone(
                frame=frame,
                n_objects=rows.stop - rows.start,
                n_done=frame + 1,
                n_frames=stack.n_frames,
            )
    elif kind == GEFF:
        write_geff(tracks, path, stack.metadata, labels=labels, overwrite=overwrite)
    else:
        write_tracks(tracks, path, stack.metadata, overwrite=overwrite)
    return WrittenTracks(path, tracks.n_tracks)


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
