"""Objects over time, a frame at a time: ids, and what a table knows of them."""

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Self

import numpy as np

from rleseg_core.data.arrays import ArrayLike, frame_of
from rleseg_core.data.ids import IdMapping, whole_numbers
from rleseg_core.data.labels import components
from rleseg_core.data.metadata import UNKNOWN, StackMetadata
from rleseg_core.errors import DataError, DataWarning
from rleseg_core.objects.measuring import MeasuredFrame, class_of_each, measure_frame
from rleseg_core.objects.table import ObjectState, ObjectTable

_LARGEST = np.iinfo(np.uint32).max
_NAMES = ("cell",)  # of the only class, where nothing names it


@dataclass(frozen=True, kw_only=True, eq=False)
class FrameObjects:
    """The objects of a frame.

    Parameters
    ----------
    frame : int
        Index of the frame.
    ids : (Y, X) uint32
        Ids of objects, 0 = background.
    index : (Y, X) int32
        Row of each pixel's object in `table` plus 1; 0 = background.
    table : ObjectTable
        The objects by ascending id: size and place are those of the pixels.
    """

    frame: int
    ids: np.ndarray
    index: np.ndarray
    table: ObjectTable


@dataclass(frozen=True, kw_only=True, eq=False)
class ObjectStack:
    """Objects over time, read a frame at a time.

    Parameters
    ----------
    ids : (T, Y, X) integer array
        Ids of objects, 0 = background; a numpy, dask or zarr array, or `PieceIds`.
    table : ObjectTable, optional
        Class, confidence and state of the objects.
    class_names : tuple of str
        Names of the classes, where there is no table.
    metadata : StackMetadata
        Scale and times; colours of the classes.
    name : str
        Path of the file, for messages.
    inputs : tuple of Path
        The files that are read, which no output may replace.
    mapping : IdMapping, optional
        How the numbers of a file are read that was not written as objects by this program.

    Raises
    ------
    DataError
        If the ids are not (T, Y, X), or the table has more frames.
    """

    ids: ArrayLike
    table: ObjectTable | None = None
    class_names: tuple[str, ...] = _NAMES
    metadata: StackMetadata = UNKNOWN
    name: str = ""
    inputs: tuple[Path, ...] = ()
    mapping: IdMapping | None = None
    _told: list[str] = field(default_factory=list, init=False, repr=False)

    def __post_init__(self) -> None:
        if len(self.shape) != 3:
            raise DataError(f"ids of objects are {self.shape}; they must be (T, Y, X)")
        last = -1 if self.table is None else int(self.table.frame.max(initial=-1))
        if last >= self.n_frames:
            raise DataError(
                f"the table has objects in frame {last}, and {self.name or 'the stack'} has "
                f"frames 0 to {self.n_frames - 1}; it is the table of another stack"
            )
        if self.table is not None and self.table.class_names:
            object.__setattr__(self, "class_names", self.table.class_names)

    @property
    def shape(self) -> tuple[int, ...]:
        """(T, Y, X)."""
        return tuple(int(length) for length in self.ids.shape)

    @property
    def n_frames(self) -> int:
        """T, the number of frames."""
        return self.shape[0]

    @property
    def title(self) -> str:
        """Name of the file without its folder."""
        return Path(self.name).name

    @property
    def are_pieces(self) -> bool:
        """Whether they are the connected pieces of classes, in which what touches is one."""
        if self.table is None or not len(self.table):
            return isinstance(self.ids, PieceIds)
        return bool((self.table.state == "pieces").all())

    @property
    def states_known(self) -> bool:
        """Whether it is known where the objects come from; not so of ids without a table."""
        return self.table is not None or self.are_pieces

    def objects(self, frame: int) -> FrameObjects:
        """The objects of a frame.

        Raises
        ------
        DataError
            If the frame cannot be read, or an id is no whole number from 0 to 4,294,967,295.
        """
        if not 0 <= frame < self.n_frames:
            raise DataError(f"there is no frame {frame}; frames are 0 to {self.n_frames - 1}")
        ids = _checked(frame_of(self.ids, frame), f"frame {frame} of {self.name or 'the ids'}")
        found = measure_frame(ids)
        return FrameObjects(
            frame=frame, ids=ids, index=found.index, table=self._described(found, frame)
        )

    def each(self, frames: Sequence[int] | None = None) -> Iterator[FrameObjects]:
        """The objects of some frames, or of all, one after another."""
        for frame in range(self.n_frames) if frames is None else frames:
            yield self.objects(frame)

    def _described(self, found: MeasuredFrame, frame: int) -> ObjectTable:
        n, names = len(found.id), self.class_names
        unknown = np.full(n, np.nan, np.float32)
        if isinstance(self.ids, PieceIds):
            classes = class_of_each(found, self.ids.classes_of(frame), len(names))
            return ObjectTable.of_frame(found, classes, names, unknown, frame, "pieces")
        # what a table lacks, somebody has painted since
        state: ObjectState = "predicted" if self.table is None else "corrected"
        plain = ObjectTable.of_frame(found, np.ones(n, np.int64), names, unknown, frame, state)
        if self.table is None:
            return plain
        rows = self._rows(frame)
        known = self.table.id[rows]
        at = np.searchsorted(known, plain.id)
        is_known = at < known.size
        is_known[is_known] = known[at[is_known]] == plain.id[is_known]
        if not is_known.all():
            self._tell_unknown(int(plain.id[~is_known][0]), frame)
        matches = rows[at[is_known]]
        columns = {}
        for name in ("class_id", "confidence", "state"):
            column = getattr(plain, name).copy()
            column[is_known] = getattr(self.table, name)[matches]
            columns[name] = column
        return replace(plain, **columns)

    def _rows(self, frame: int) -> np.ndarray:
        """Rows of the table that describe objects of a frame, by ascending id."""
        assert self.table is not None
        first, last = np.searchsorted(self.table.frame[self._order], (frame, frame + 1))
        return self._order[first:last]

    @cached_property
    def _order(self) -> np.ndarray:
        assert self.table is not None
        return np.lexsort((self.table.id, self.table.frame))

    def _tell_unknown(self, identity: int, frame: int) -> None:
        if self._told:
            return
        self._told.append("unknown")
        warnings.warn(
            f"the table of {self.name or 'the objects'} has no object {identity} in frame {frame}; "
            f"it, and others of the kind, count as {self.class_names[0]} without confidence",
            DataWarning,
            stacklevel=2,
        )

    @classmethod
    def of(
        cls, ids: ArrayLike, table: ObjectTable | None = None, metadata: StackMetadata = UNKNOWN
    ) -> Self:
        """Objects in memory or in zarr, with their table."""
        names = metadata.class_names or _NAMES
        return cls(ids=ids, table=table, metadata=metadata, class_names=names)


class PieceIds:
    """Ids of the connected pieces of classes, numbered on from frame to frame.

    See `components`.

    Parameters
    ----------
    classes : (T, Y, X) integer array
        Class ids, 0 = background; `IGNORED` is none.
    """

    dtype = np.dtype(np.uint32)

    def __init__(self, classes: ArrayLike) -> None:
        self._classes = classes
        self.shape = tuple(classes.shape)
        self._n_before = [0]  # pieces before each frame, as far as it is known
        self._latest: tuple[int, np.ndarray] = (-1, np.empty(0))

    def __getitem__(self, frame: int, /) -> np.ndarray:
        """Ids of a frame, (Y, X) uint32."""
        while len(self._n_before) <= frame:
            self._label(len(self._n_before) - 1)
        pieces = self._label(frame)
        return np.where(pieces > 0, pieces + np.uint32(self._n_before[frame]), np.uint32(0))

    def classes_of(self, frame: int) -> np.ndarray:
        """Class ids of a frame, (Y, X)."""
        if self._latest[0] != frame:
            self._latest = frame, frame_of(self._classes, frame)
        return self._latest[1]

    def _label(self, frame: int) -> np.ndarray:
        """Pieces of a frame from 1 on, (Y, X) uint32; what comes before the next is noted."""
        pieces = components(self.classes_of(frame)).astype(np.uint32)
        if len(self._n_before) == frame + 1:
            self._n_before.append(self._n_before[frame] + int(pieces.max(initial=0)))
        return pieces


def _checked(ids: np.ndarray, what: str) -> np.ndarray:
    """Ids as uint32."""
    if ids.dtype.kind == "f":
        ids = whole_numbers(ids, what)
    if ids.dtype.kind not in "iub":
        raise DataError(f"{what} holds {ids.dtype} values; ids of objects are whole numbers")
    if ids.size and not 0 <= int(ids.min()) <= int(ids.max()) <= _LARGEST:
        wrong = int(ids.min()) if int(ids.min()) < 0 else int(ids.max())
        raise DataError(f"{what} holds the id {wrong}; ids of objects are 0 to {_LARGEST:,}")
    return ids.astype(np.uint32, copy=False)
