"""Where the objects of masks are kept, and how they are read, found and written: jobs and paths.

Knows neither Qt nor napari.
"""

import warnings
from collections.abc import Generator, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
import zarr

from rleseg_core.data import LabelStack
from rleseg_core.data.arrays import ArrayLike, frame_of
from rleseg_core.data.formats.ngff import RECORD
from rleseg_core.data.formats.zarr_writing import create_stack
from rleseg_core.data.labels import components
from rleseg_core.data.metadata import UNKNOWN, StackMetadata
from rleseg_core.errors import DataError, DataWarning, RlesegError
from rleseg_core.files import whole_file
from rleseg_core.objects import ObjectTable
from rleseg_core.objects.opening import open_objects
from rleseg_core.objects.paths import ResultPaths
from rleseg_core.objects.table import ObjectState

MASKS = "segmentation"
OBJECTS = "objects"
IDS = np.dtype(np.uint32)
STATE = "objects"  # in the record of an array of ids: of which state they are


@dataclass(frozen=True)
class ObjectFiles:
    """The two files of the objects of masks.

    Parameters
    ----------
    ids : Path
        Zarr array (T, Y, X) uint32.
    table : Path
        CSV.
    """

    ids: Path
    table: Path

    @classmethod
    def beside(cls, masks: Path) -> "ObjectFiles":
        """Those of masks in a session's folder: of segmentation-2.zarr, objects-2.zarr."""
        name = OBJECTS + masks.stem.removeprefix(MASKS)
        return cls(masks.with_name(f"{name}.zarr"), masks.with_name(f"{name}.csv"))

    def create(self, shape: tuple[int, ...]) -> zarr.Array:
        """An array without objects, in place of what may be left of an earlier one."""
        self.table.unlink(missing_ok=True)
        with whole_file(self.ids) as temporary:
            create_stack(temporary, shape, IDS)
        return self.open()

    def open(self) -> zarr.Array:
        """The ids, to be read."""
        return zarr.open_array(self.ids, mode="r")

    def read(self, class_names: tuple[str, ...]) -> tuple[zarr.Array, ObjectTable] | None:
        """Ids and table; None where there are none, or they are damaged."""
        if not self.table.is_file():
            return None
        try:
            return self.open(), ObjectTable.read_csv(self.table, class_names)
        except (RlesegError, OSError, ValueError, KeyError):  # they can be found again
            return None

    def write_table(self, table: ObjectTable, metadata: StackMetadata) -> None:
        """Write the table beside the ids."""
        with whole_file(self.table) as temporary:
            table.write_to(temporary, metadata)


@dataclass(frozen=True)
class KnownObjects:
    """Objects that were written beside masks.

    Parameters
    ----------
    ids : (T, Y, X) integer dask array
        Their ids.
    table : ObjectTable
        What is known of them.
    path : Path
        File or folder of the ids.
    """

    ids: ArrayLike
    table: ObjectTable
    path: Path


def objects_of(masks: Path) -> KnownObjects | None:
    """Objects that ``rleseg predict`` wrote beside masks; None without any that can be read."""
    try:
        paths = ResultPaths.of(masks)
        if not (paths.ids.exists() and paths.table.is_file()):
            return None
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DataWarning)  # what they are is shown
            found = open_objects(masks)
    except (RlesegError, OSError):
        return None
    if found.table is None or not isinstance(found.ids, LabelStack):
        return None
    return KnownObjects(found.ids.data, found.table, paths.ids)


class ObjectWriter:
    """Keeps the table of objects in step with their array while frames are segmented.

    Used as a context. While it is open there is no table on the disk, and on leaving, however that
    comes, it is written; after a crash `mend` makes it again.

    Parameters
    ----------
    files : ObjectFiles
        Array and table, made where there are none; frames that are not segmented keep what they
        have.
    masks : (T, Y, X) integer array
        Their class masks.
    class_names : tuple of str
        Names of the classes.
    metadata : StackMetadata
        Of the masks.
    state : {'predicted', 'pieces'}
        Which objects the model gives.

    Attributes
    ----------
    ids : zarr.Array
        (T, Y, X) uint32, to be written to.
    """

    def __init__(
        self,
        files: ObjectFiles,
        masks: ArrayLike,
        class_names: tuple[str, ...],
        metadata: StackMetadata,
        state: ObjectState,
    ) -> None:
        self._files, self._masks, self._metadata = files, masks, metadata
        found = files.read(class_names)
        self._table = ObjectTable.empty(class_names) if found is None else found[1]
        self._reached: set[int] = set()
        if not files.ids.is_dir():
            files.create(tuple(masks.shape))
        self.ids = zarr.open_array(files.ids, mode="r+")
        self.ids.attrs[RECORD] = {STATE: state}
        files.table.unlink(missing_ok=True)

    def add(self, frames: Iterable[int], finished: ObjectTable) -> tuple[int, ...]:
        """Take note of a window.

        Parameters
        ----------
        frames : iterable of int
            Its frames, whose earlier objects are gone.
        finished : ObjectTable
            Objects of the frames that are finished with it.

        Returns
        -------
        tuple of int
            Those of its frames that are reached for the first time.
        """
        new = tuple(frame for frame in frames if frame not in self._reached)
        self._reached.update(new)
        kept = self._table.select(~np.isin(self._table.frame, new)) if new else self._table
        self._table = ObjectTable.concatenate([kept, finished])
        return new

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is not None:  # frames that are not finished have ids, and no rows yet
            self._table = mended(self.ids, self._masks, self._table)
        self._files.write_table(self._table.in_order(), self._metadata)


def mended(ids: zarr.Array, masks: ArrayLike, known: ObjectTable) -> ObjectTable:
    """The table of ids of which a part was written anew.

    Frames without rows get them, without a confidence, and ids that occur in an earlier frame too
    become new ones.

    Parameters
    ----------
    ids : (T, Y, X) uint32 zarr array
        Ids of objects; changed where they are not unique.
    masks : (T, Y, X) integer array
        Their classes.
    known : ObjectTable
        Rows of some frames.
    """
    found = [ObjectTable.empty(known.class_names)]
    seen: set[int] = set()
    highest = int(known.id.max(initial=0))
    state: ObjectState = (
        "pieces" if ids.attrs.get(RECORD, {}).get(STATE) == "pieces" else "predicted"
    )
    for frame in range(ids.shape[0]):
        rows = known.in_frames([frame])
        if not len(rows):
            here = frame_of(ids, frame)
            if here.any():
                rows = _rows(here, frame_of(masks, frame), frame, known.class_names, state)
                ids[frame] = np.where(np.isin(here, rows.id), here, 0)
        if not seen.isdisjoint(rows.id.tolist()):
            highest = max(highest, *seen, *rows.id.tolist())
            here = frame_of(ids, frame)
            ids[frame] = np.where(here > 0, here + np.uint32(highest), here)
            rows = replace(rows, id=rows.id + np.uint32(highest))
        seen.update(rows.id.tolist())
        found.append(rows)
    return ObjectTable.concatenate(found)


def _rows(
    ids: np.ndarray,
    classes: np.ndarray,
    frame: int,
    class_names: tuple[str, ...],
    state: ObjectState,
) -> ObjectTable:
    """Rows of the objects of a frame (Y, X); those that cover no class are left out."""
    covered = np.where(classes > 0, ids, 0)
    ids = np.where(np.isin(ids, covered), ids, 0)
    return ObjectTable.of(ids[None], classes[None], class_names, first_frame=frame, state=state)


def load_objects(
    files: ObjectFiles,
    masks: ArrayLike,
    class_names: tuple[str, ...],
    metadata: StackMetadata = UNKNOWN,
) -> Generator[int, None, ObjectTable]:
    """Job that reads the table of objects, and makes it again where a program was ended before.

    Parameters
    ----------
    files : ObjectFiles
        Array and table.
    masks : (T, Y, X) integer array
        Their class masks.
    class_names : tuple of str
        Names of the classes.
    metadata : StackMetadata
        Of the masks.

    Yields
    ------
    int
        Objects that are known before.
    """
    found = files.read(class_names)
    yield 0 if found is None else len(found[1])
    if found is not None:
        return found[1]
    table = mended(zarr.open_array(files.ids, mode="r+"), masks, ObjectTable.empty(class_names))
    files.write_table(table, metadata)
    return table


def find_pieces(
    masks: ArrayLike,
    class_names: tuple[str, ...],
    files: ObjectFiles,
    metadata: StackMetadata = UNKNOWN,
) -> Generator[int, None, ObjectTable]:
    """Job that takes the connected pieces of class masks for objects, and writes both files.

    Parameters
    ----------
    masks : (T, Y, X) or (Y, X) integer array
        Class ids, 0 = background.
    class_names : tuple of str
        Names of the classes.
    files : ObjectFiles
        Where they go.
    metadata : StackMetadata
        Of the masks.

    Yields
    ------
    int
        Frames that are done.

    Raises
    ------
    DataError
        If a class has no name.
    """
    stack = masks if len(masks.shape) == 3 else np.asarray(masks)[None]
    tables, highest = [ObjectTable.empty(class_names)], 0
    with whole_file(files.ids) as temporary:
        array = create_stack(temporary, tuple(stack.shape), IDS, {STATE: "pieces"})
        for frame in range(stack.shape[0]):
            classes = frame_of(stack, frame)
            found = components(classes).astype(np.int64)
            n_found = int(found.max(initial=0))
            if highest + n_found > np.iinfo(IDS).max:
                raise DataError("there are more pieces than object ids; choose fewer frames")
            ids = np.where(found > 0, found + highest, 0).astype(IDS)
            highest += n_found
            array[frame] = ids
            tables.append(
                ObjectTable.of(
                    ids[None], classes[None], class_names, first_frame=frame, state="pieces"
                )
            )
            yield frame + 1
    table = ObjectTable.concatenate(tables)
    files.write_table(table, metadata)
    return table
