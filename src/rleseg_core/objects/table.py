"""The table of the objects of a stack: a row for each, in numpy columns, and as CSV."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Literal, Self, get_args

import numpy as np

from rleseg_core.data.arrays import ArrayLike, frame_of
from rleseg_core.data.metadata import UNKNOWN, StackMetadata
from rleseg_core.errors import DataError
from rleseg_core.objects.measuring import MeasuredFrame, class_of_each, measure_frame
from rleseg_core.objects.table_file import FIRST_COLUMNS, read_columns, write_columns
from rleseg_core.outputs import Output, new_output, table_with

ObjectState = Literal["predicted", "corrected", "accepted", "pieces"]
"""Where an object comes from: a model, a user's correction, a model and a user's consent, or the
connected pieces of a mask of classes, in which objects that touch are one."""

_DTYPES: dict[str, np.dtype] = {
    "id": np.dtype(np.uint32),
    "frame": np.dtype(np.int64),
    "class_id": np.dtype(np.int64),
    "confidence": np.dtype(np.float32),
    **dict.fromkeys(("area", "top", "left", "bottom", "right"), np.dtype(np.int64)),
    **dict.fromkeys(("row", "col"), np.dtype(np.float64)),
    "touches_border": np.dtype(bool),
    "state": np.dtype("U9"),
}


@dataclass(frozen=True, kw_only=True, eq=False)
class ObjectTable:
    """The objects of a stack; each column is an array (n,) with an entry for each object.

    Parameters
    ----------
    class_names : tuple of str
        Names of the classes; class id k is ``class_names[k - 1]``.
    id : (n,) uint32
        Id in the stack of ids, 1 or more.
    frame : (n,) int64
        Index of the frame that it is in.
    class_id : (n,) int64
        Its class, 1 or more.
    confidence : (n,) float32
        0 to 1; nan where it is not known.
    area : (n,) int64
        In pixels.
    top, left, bottom, right : (n,) int64
        Its box in pixels: rows top to bottom - 1, columns left to right - 1.
    row, col : (n,) float64
        Centroid in pixels; (0, 0) is the centre of the first pixel.
    touches_border : (n,) bool
        Whether it reaches the border of the frame, so that a part of it may lie outside.
    state : (n,) str
        One of `ObjectState`.

    Raises
    ------
    DataError
        If the columns differ in length, a class has no name, or a state is unknown.
    """

    class_names: tuple[str, ...]
    id: np.ndarray
    frame: np.ndarray
    class_id: np.ndarray
    confidence: np.ndarray
    area: np.ndarray
    top: np.ndarray
    left: np.ndarray
    bottom: np.ndarray
    right: np.ndarray
    row: np.ndarray
    col: np.ndarray
    touches_border: np.ndarray
    state: np.ndarray

    def __post_init__(self) -> None:
        object.__setattr__(self, "class_names", tuple(self.class_names))
        for name, dtype in _DTYPES.items():
            object.__setattr__(self, name, np.asarray(getattr(self, name), dtype))
        shapes = {name: getattr(self, name).shape for name in _DTYPES}
        if len(set(shapes.values())) > 1 or self.id.ndim != 1:
            raise DataError(f"columns of objects must be (n,), one length for all; got {shapes}")
        if len(self) and not 1 <= self.class_id.min() <= self.class_id.max() <= self.n_classes:
            wrong = self.class_id[(self.class_id < 1) | (self.class_id > self.n_classes)][0]
            raise DataError(
                f"class id {wrong} in a table of objects with {self.n_classes} classes; ids go "
                f"from 1 to {self.n_classes}"
            )
        if unknown := set(np.unique(self.state)) - set(get_args(ObjectState)):
            raise DataError(
                f"state {str(min(unknown))!r} in a table of objects; it is one of "
                f"{', '.join(get_args(ObjectState))}"
            )

    @classmethod
    def empty(cls, class_names: Sequence[str]) -> Self:
        """A table of no objects."""
        columns = {name: np.empty(0, dtype) for name, dtype in _DTYPES.items()}
        return cls(class_names=tuple(class_names), **columns)

    @classmethod
    def of(
        cls,
        ids: ArrayLike,
        classes: ArrayLike | Mapping[int, int] | None,
        class_names: Sequence[str],
        *,
        confidence: Mapping[int, float] | None = None,
        first_frame: int = 0,
        state: ObjectState = "predicted",
    ) -> Self:
        """The table of a stack of ids, measured frame by frame.

        Parameters
        ----------
        ids : (T, Y, X) integer array
            Ids of objects, 0 = background; a numpy, dask or zarr array. An id that occurs in
            several frames has a row for each.
        classes : (T, Y, X) integer array, mapping of id to class id, or None
            The classes of the pixels, of which an object has the one that most of its pixels have;
            or the class of each object. None: all are of the first class.
        class_names : sequence of str
            Names of the classes.
        confidence : mapping of id to float, optional
            Confidence of each object, nan where it is left out.
        first_frame : int
            The frame that ``ids[0]`` is.
        state : {'predicted', 'corrected', 'accepted', 'pieces'}
            State of all of them.

        Raises
        ------
        DataError
            If an id is below 0, the shapes differ, or an object has no class.
        """
        shape = tuple(ids.shape)
        if len(shape) != 3:
            raise DataError(f"ids of objects are {shape}; they must be (T, Y, X)")
        of_pixels = None if classes is None or isinstance(classes, Mapping) else classes
        if of_pixels is not None and tuple(of_pixels.shape) != shape:
            raise DataError(
                f"ids of objects are {shape}, classes {tuple(of_pixels.shape)}; both must be "
                "(T, Y, X)"
            )
        known = confidence or {}
        tables = [cls.empty(class_names)]
        for index in range(shape[0]):
            frame = index + first_frame
            found = measure_frame(frame_of(ids, index))
            if isinstance(classes, Mapping):
                class_ids = np.array([classes.get(int(i), 0) for i in found.id], np.int64)
            elif of_pixels is not None:
                class_ids = class_of_each(found, frame_of(of_pixels, index), len(class_names))
            else:
                class_ids = np.ones(len(found.id), np.int64)
            if not class_ids.all():
                lost = int(found.id[class_ids == 0][0])
                raise DataError(f"object {lost} of frame {frame} has no class; each needs one")
            of_each = np.array([known.get(int(i), np.nan) for i in found.id], np.float32)
            tables.append(cls.of_frame(found, class_ids, class_names, of_each, frame, state))
        return cls.concatenate(tables)

    @classmethod
    def of_frame(
        cls,
        found: MeasuredFrame,
        class_ids: np.ndarray,
        class_names: Sequence[str],
        confidence: np.ndarray,
        frame: int,
        state: ObjectState = "predicted",
    ) -> Self:
        """The table of a frame whose objects have been measured; arrays are (n,)."""
        n = len(found.id)
        return cls(
            class_names=tuple(class_names),
            frame=np.full(n, frame),
            class_id=class_ids,
            confidence=confidence,
            state=np.full(n, state),
            **found.columns(),
        )

    @classmethod
    def concatenate(cls, tables: Iterable[Self]) -> Self:
        """Several tables of the same classes as one, their rows in order.

        Raises
        ------
        DataError
            If there are none, or their classes differ.
        """
        tables = list(tables)
        names = {table.class_names for table in tables}
        if len(names) != 1:
            raise DataError(
                f"tables of objects have the classes {sorted(names)}; they can be joined only "
                "where all have the same"
            )
        columns = {
            name: np.concatenate([getattr(table, name) for table in tables]) for name in _DTYPES
        }
        return cls(class_names=names.pop(), **columns)

    def __len__(self) -> int:
        return self.id.size

    @property
    def n_classes(self) -> int:
        """C, the number of classes."""
        return len(self.class_names)

    @property
    def diameter(self) -> np.ndarray:
        """Diameter (n,) float64 of the disk of each object's area, in pixels."""
        return 2 * np.sqrt(self.area / np.pi)

    def select(self, rows: np.ndarray) -> Self:
        """The table of some rows only, by a boolean mask (n,) or by indices."""
        return replace(self, **{name: getattr(self, name)[rows] for name in _DTYPES})

    def in_frames(self, frames: Iterable[int]) -> Self:
        """The rows of some frames only."""
        return self.select(np.isin(self.frame, list(frames)))

    def in_order(self) -> Self:
        """The rows by frame, and by id within each."""
        return self.select(np.lexsort((self.id, self.frame)))

    def counts(self, n_frames: int | None = None) -> np.ndarray:
        """How many objects each frame has of each class, (T, C) int64.

        Parameters
        ----------
        n_frames : int, optional
            T; by default up to the last frame that has objects.
        """
        n_frames = int(self.frame.max(initial=-1)) + 1 if n_frames is None else n_frames
        keys = self.frame * self.n_classes + self.class_id - 1
        counts = np.bincount(keys, minlength=n_frames * self.n_classes)
        return counts.reshape(-1 if self.n_classes else n_frames, self.n_classes)[:n_frames]

    def mean_areas(self, n_frames: int | None = None) -> np.ndarray:
        """Mean area in pixels of the objects of each class in each frame, (T, C) float64.

        It is nan where there are none.

        Parameters
        ----------
        n_frames : int, optional
            T; by default up to the last frame that has objects.
        """
        counts = self.counts(n_frames)
        keys = self.frame * self.n_classes + self.class_id - 1
        sums = np.bincount(keys, self.area, minlength=counts.size)[: counts.size]
        means = np.full(counts.shape, np.nan)
        np.divide(sums.reshape(counts.shape), counts, out=means, where=counts > 0)
        return means

    def class_map(self, ids: np.ndarray) -> np.ndarray:
        """Class ids (T, Y, X) uint8 of a stack of ids; 0 where the table knows no object."""
        order = np.argsort(self.id, kind="stable")
        known, classes = self.id[order], self.class_id[order].astype(np.uint8)
        highest = int(known[-1]) if known.size else 0
        if highest <= ids.size:
            lookup = np.zeros(highest + 2, np.uint8)  # the last for ids that nobody knows
            lookup[known] = classes
            return lookup[np.minimum(ids, highest + 1)]
        at = np.minimum(np.searchsorted(known, ids), known.size - 1)
        return np.where(known[at] == ids, classes[at], np.uint8(0))

    def write_csv(
        self, path: str | Path, metadata: StackMetadata = UNKNOWN, *, overwrite: bool = False
    ) -> Path:
        """Write the table as CSV, whole or not at all.

        Parameters
        ----------
        path : str or Path
            The file.
        metadata : StackMetadata
            Of the stack. Where the pixel size is known, the table has areas and centroids in its
            unit as well, and where the frame interval is, times in seconds.
        overwrite : bool
            Whether it may replace an older table of objects.

        Raises
        ------
        OutputError
            If there is something of that name, and `overwrite` is not set or it is no such table.
        """
        with new_output(objects_output(path), overwrite=overwrite) as temporary:
            self.write_to(temporary, metadata)
        return Path(path)

    def write_to(self, path: Path, metadata: StackMetadata = UNKNOWN) -> None:
        """Write the table as CSV to a path that may be written over, such as a temporary one."""
        write_columns(path, self._columns(), self.class_names, metadata)

    @classmethod
    def read_csv(cls, path: str | Path, class_names: Sequence[str] = ()) -> Self:
        """The table that `write_csv` wrote; columns that it does not know are left out.

        Parameters
        ----------
        path : str or Path
            The file.
        class_names : sequence of str
            Names of the classes; by default those of the table, in which classes without objects
            have no name.

        Raises
        ------
        DataError
            If it cannot be read, lacks a column, or has other classes than those given.
        """
        columns, names = read_columns(Path(path), _DTYPES, tuple(class_names))
        return cls(class_names=names, **columns)

    def _columns(self) -> dict[str, np.ndarray]:
        return {field.name: getattr(self, field.name) for field in fields(self)[1:]}


def objects_output(path: str | Path) -> Output:
    """A table of objects as an output, which `check_outputs` compares with the inputs of a call."""
    return Output(Path(path), "a table of objects (CSV)", table_with(*FIRST_COLUMNS))
