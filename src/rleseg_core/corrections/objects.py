"""The objects of a correction session: those of the prediction, and those of the corrected masks.

They lie beside the masks, and sessions without them stay as they are::

    objects.zarr             (T, Y, X) uint32 ids of the prediction; never changed
    objects.csv              their table; written last, so that both are there or none is
    corrected_objects.zarr   ids of the frames that were corrected
    corrected_objects.csv    the table of all objects as they are now

The last two follow from the others and the log, and are made again when a session is opened.
"""

import logging
import threading
from collections.abc import Generator
from dataclasses import replace
from pathlib import Path

import numpy as np
import zarr

from rleseg_core.corrections.cache import LabelCache
from rleseg_core.corrections.labels import SessionLabels
from rleseg_core.corrections.log import CorrectionLog
from rleseg_core.data.arrays import ArrayLike, frame_of
from rleseg_core.data.formats.zarr_writing import create_stack
from rleseg_core.data.metadata import UNKNOWN, StackMetadata
from rleseg_core.errors import DataError
from rleseg_core.files import whole_file
from rleseg_core.objects import ObjectTable
from rleseg_core.objects.corrected import corrected_ids, corrected_pieces, ids_of_new

OBJECTS, TABLE = "objects.zarr", "objects.csv"
CORRECTED, CORRECTED_TABLE = "corrected_objects.zarr", "corrected_objects.csv"
_IDS = np.dtype(np.uint32)

_log = logging.getLogger(__name__)


class SessionObjects:
    """The objects of a session, which follow its corrected masks frame by frame.

    Parameters
    ----------
    log : CorrectionLog
        The corrected masks.
    predicted : (T, Y, X) uint32 array
        Ids of the predicted objects.
    table : ObjectTable
        Their table.
    metadata : StackMetadata
        Of the images: what the table says in physical units.

    Attributes
    ----------
    ids : SessionLabels
        (T, Y, X) uint32 ids as they are now: an array to read.

    Notes
    -----
    Several threads may use one object.
    """

    def __init__(
        self,
        log: CorrectionLog,
        predicted: ArrayLike,
        table: ObjectTable,
        metadata: StackMetadata = UNKNOWN,
    ):
        self.log = log
        self.metadata = metadata
        self._predicted, self._table = predicted, table
        self._highest = int(table.id.max(initial=0))
        self._cache = LabelCache(log.folder / CORRECTED, log.shape, _IDS)
        self._lock = threading.RLock()
        self._corrected: set[int] = set()
        self._unwritten: dict[int, np.ndarray] = {}  # what the disk did not take, or must not
        self._now: dict[int, ObjectTable] = {}  # of frames that differ from the prediction
        self.ids = SessionLabels(log.shape, _IDS, self._frame, None)

    @property
    def table(self) -> ObjectTable:
        """All objects as they are now, by frame."""
        with self._lock:
            others = self._table.select(~np.isin(self._table.frame, list(self._now)))
            table = ObjectTable.concatenate([others, *self._now.values()])
        return table.select(np.lexsort((table.id, table.frame)))

    def update(self, frame: int) -> ObjectTable:
        """Let the objects of a frame follow its mask; returns their rows."""
        rows = self._table.in_frames([frame])
        is_changed = frame in self.log.changed_pixels()
        is_accepted = frame in self.log.accepted_frames()
        if is_changed:
            before, predicted = frame_of(self._predicted, frame), self.log.predicted(frame)
            rule = corrected_pieces if (rows.state == "pieces").any() else corrected_ids
            new = ids_of_new(self._highest, self.log.shape[0], frame)
            classes = self.log.frame(frame)
            found = rule(before, predicted, classes, new)
            self._keep(frame, found)
            rows = self._rows(frame, rows, before, found, classes)
        if is_accepted:
            rows = replace(rows, state=np.full(len(rows), "accepted"))
        with self._lock:
            (self._corrected.add if is_changed else self._corrected.discard)(frame)
            self._now.pop(frame, None)
            if not is_changed:
                self._unwritten.pop(frame, None)
            if is_changed or is_accepted:
                self._now[frame] = rows
        return rows

    def update_all(self) -> Generator[int, None, None]:
        """Let the objects of all frames that were corrected or accepted follow; yields each."""
        for frame in self.log.corrected_frames():
            self.update(frame)
            yield frame

    def write_table(self) -> None:
        """Write the table of the objects as they are now beside them."""
        with whole_file(self.log.folder / CORRECTED_TABLE) as temporary:
            self.table.write_to(temporary, self.metadata)

    def _keep(self, frame: int, ids: np.ndarray) -> None:
        if not self.log.read_only:
            self._cache.write(frame, ids)
        with self._lock:
            self._unwritten.pop(frame, None)
            if self.log.read_only or self._cache.failure:
                self._unwritten[frame] = ids

    def _frame(self, frame: int) -> np.ndarray:
        with self._lock:
            found = self._unwritten.get(frame)
        if found is None and frame in self._corrected:
            found = self._cache.read(frame)
        return frame_of(self._predicted, frame) if found is None else found

    def _rows(
        self,
        frame: int,
        rows: ObjectTable,
        before: np.ndarray,
        found: np.ndarray,
        classes: np.ndarray,
    ) -> ObjectTable:
        """Rows of the corrected objects of a frame; those without a change keep what they had."""
        now = ObjectTable.of(
            found[None],
            classes[None],
            self._table.class_names,
            first_frame=frame,
            state="corrected",
        )
        same = found[found == before]
        n_same = dict(
            zip(*(part.tolist() for part in np.unique(same, return_counts=True)), strict=True)
        )
        known = {int(rows.id[row]): row for row in range(len(rows))}
        state, confidence = now.state.copy(), now.confidence.copy()
        for row, object_id in enumerate(now.id.tolist()):
            old = known.get(object_id)
            if old is not None and now.area[row] == rows.area[old] == n_same.get(object_id):
                state[row], confidence[row] = rows.state[old], rows.confidence[old]
        return replace(now, state=state, confidence=confidence)


def keep_objects(
    folder: Path, ids: ArrayLike, table: ObjectTable, metadata: StackMetadata = UNKNOWN
) -> Generator[int, None, None]:
    """Keep the objects of a prediction in the folder of its correction session.

    Parameters
    ----------
    folder : Path
        The session.
    ids : (T, Y, X) integer array
        Ids of the objects, 0 = background.
    table : ObjectTable
        Their table.
    metadata : StackMetadata
        Of the images.

    Yields
    ------
    int
        Frames that were copied.
    """
    (folder / TABLE).unlink(missing_ok=True)
    with whole_file(folder / OBJECTS) as temporary:
        copy = create_stack(temporary, tuple(ids.shape), _IDS)
        for frame in range(ids.shape[0]):
            copy[frame] = frame_of(ids, frame)
            yield frame + 1
    with whole_file(folder / TABLE) as temporary:
        table.write_to(temporary, metadata)


def open_objects(log: CorrectionLog, metadata: StackMetadata = UNKNOWN) -> SessionObjects | None:
    """The objects of a session as `update_all` has to bring them up to date; None without any.

    Objects that are damaged count as missing: they can be found again in the masks.
    """
    path, table = log.folder / OBJECTS, log.folder / TABLE
    if not table.is_file():
        return None
    try:
        ids = zarr.open_array(path, mode="r")
        if tuple(ids.shape) != log.shape or ids.dtype != _IDS:
            raise DataError(f"{path} is {ids.shape} {ids.dtype}, the masks are {log.shape}")
        known = ObjectTable.read_csv(table, log.class_names)
        if not (log.read_only or (log.folder / CORRECTED).exists()):
            with whole_file(log.folder / CORRECTED) as temporary:
                create_stack(temporary, log.shape, _IDS)
        return SessionObjects(log, ids, known, metadata)
    except Exception as error:  # noqa: BLE001 whatever zarr makes of damage
        _log.warning("the objects of %s are left out: %s", log.folder, error)
        return None
