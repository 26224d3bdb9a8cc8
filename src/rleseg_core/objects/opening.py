"""Objects in files: ids with the table beside them, ids of other programs, masks of classes."""

import re
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np

from rleseg_core.data import LabelStack
from rleseg_core.data.formats.base import ReadOptions
from rleseg_core.data.formats.registry import frames_in, is_frame_folder, plain_name
from rleseg_core.data.formats.zarr_writing import LABELS
from rleseg_core.data.ids import IdOptions, IdReader, IdRules, guess_rules
from rleseg_core.data.stack import noted_class_names, noted_ids
from rleseg_core.data.writers import metadata_of
from rleseg_core.errors import DataError, DataWarning
from rleseg_core.objects.paths import ENDING, OBJECTS, ResultPaths
from rleseg_core.objects.stack import ObjectStack, PieceIds
from rleseg_core.objects.table import ObjectTable, objects_output

Numbers = Literal["auto", "objects", "classes"]
"""What the numbers of a mask are: ids of objects, ids of classes, or whatever they seem to be."""

# as the Cell Tracking Challenge names masks of objects
_CHALLENGE = re.compile(r"(?:mask|man_seg|man_track)_?\d+(?:_\d+)?\.tif", re.IGNORECASE)
_TOUCHING = "objects of one class that touch are one"


@dataclass(frozen=True, kw_only=True)
class ObjectOptions:
    """How objects are read.

    Parameters
    ----------
    numbers : {'auto', 'objects', 'classes'}
        What the numbers are; by default what the file says, or what they look like.
    class_names : tuple of str
        Names of the classes; by default those that the file or the table notes.
    table : Path or None
        The table of the objects; by default the one that lies beside the ids.
    reading : ReadOptions
        Which part of the file or folder is read, and how.
    ids : IdOptions
        What is known of the numbers.
    """

    numbers: Numbers = "auto"
    class_names: tuple[str, ...] = ()
    table: Path | None = None
    reading: ReadOptions = ReadOptions()
    ids: IdOptions = IdOptions()


def open_objects(path: str | Path, options: ObjectOptions = ObjectOptions()) -> ObjectStack:
    """Objects of a file or folder, as `LabelStack.open` reads it.

    Parameters
    ----------
    path : str or Path
        Ids of objects, such as ``movie.objects.tif`` or a folder of the Cell Tracking Challenge;
        masks whose objects lie beside them (``movie.tif`` beside ``movie.objects.tif``), which are
        read in their place; or masks of classes, of which the connected pieces are taken. The last
        two are said in a `DataWarning`.
    options : ObjectOptions
        How they are read.

    Raises
    ------
    DataError
        If something cannot be read, or its numbers cannot be told.
    """
    given = Path(path)
    path = given if options.numbers == "classes" else _ids_beside(given, options.reading)
    if path != given:
        _say(f"{given} holds classes; their objects are those of {path}")
    reading = ReadOptions() if path != given else options.reading
    labels = LabelStack.open(path, **reading.keywords())
    numbers = options.numbers
    if numbers == "auto" and (options.table or _are_objects(path, options.reading)):
        numbers = "objects"
    table = (options.table or table_beside(path)) if numbers == "objects" else None
    if table is not None and options.ids != IdOptions():
        raise DataError(
            f"ids that {table} describes have 0 for background, and none is ignored; leave out "
            "--ignore and --background"
        )
    metadata = labels.metadata
    if path != given:  # masks of classes note the names and colours of these, too
        metadata = metadata.or_else(metadata_of(given))
    if table is not None:
        stack = ObjectStack(
            ids=labels,
            table=_read(table, options.class_names, metadata.class_names),
            class_names=metadata.class_names or ("cell",),
            metadata=metadata,
            name=str(path),
            inputs=(given, path, table),
        )
        if stack.are_pieces:
            _say(f"the objects of {path} are connected pieces of classes: {_TOUCHING}")
        return stack
    stack = _without_table(labels, numbers, options)
    return replace(stack, metadata=metadata, inputs=(given, path))


def table_beside(path: Path) -> Path | None:
    """The table of objects that lies beside ids or masks; None if there is none.

    It is ``movie.objects.csv`` for ``movie.tif``, ``movie.objects.tif``, ``movie.zarr`` and what is
    in it; ``movie.cells.objects.csv`` for labels ``cells`` of an OME-Zarr image; or ``ids.csv`` for
    ``ids.zarr``, if that is such a table.
    """
    for paths in (ResultPaths.of, ResultPaths.of_ids):
        if (table := paths(path).table).is_file():
            return table
    whole = path.parent.parent if path.parent.name == LABELS else path
    name = plain_name(whole)
    of_masks = whole.with_name(f"{name.removesuffix(ENDING)}{ENDING}.csv")
    own = whole.with_name(f"{name}.csv")
    tables = (of_masks, own) if _is_table(own) else (of_masks,)
    return next((table for table in tables if table.is_file()), None)


def _read(path: Path, given: tuple[str, ...], noted: tuple[str, ...]) -> ObjectTable:
    """A table, with the names of classes without objects if the ids note them."""
    table = ObjectTable.read_csv(path, given)
    known = np.unique(table.class_id).tolist()
    if given or any(noted[k - 1 : k] != table.class_names[k - 1 : k] for k in known):
        return table
    return replace(table, class_names=noted or table.class_names)


def _is_table(path: Path) -> bool:
    return objects_output(path).is_ours(path)


def _ids_beside(path: Path, reading: ReadOptions) -> Path:
    """The ids of the objects of a result of ours; the path itself, if there are none."""
    if reading.series is not None or _are_objects(path, reading):
        return path
    ids = ResultPaths.of(path).ids
    if ids.exists():
        return ids
    names = [f"{plain_name(path)}{ENDING}{suffix}" for suffix in (".tif", ".ome.tif", ".zarr")]
    return next((one for name in names if (one := path.with_name(name)).exists()), path)


def _are_objects(path: Path, reading: ReadOptions) -> bool:
    """Whether names alone say that numbers are ids of objects."""
    if path.parent.name == LABELS and path.name == OBJECTS:
        return True
    if reading.series == OBJECTS or plain_name(path).endswith(ENDING):
        return True
    if _is_table(path.with_name(f"{plain_name(path)}.csv")):
        return True
    return is_frame_folder(path) and all(
        _CHALLENGE.fullmatch(file.name) for file in frames_in(path, reading)
    )


def _without_table(labels: LabelStack, numbers: Numbers, options: ObjectOptions) -> ObjectStack:
    """Objects of which nothing is known but their pixels."""
    given, noted = options.class_names, noted_class_names(labels)
    ids = noted_ids(labels, options.ids)
    what = str(labels.path or labels.name or "the mask")
    counts = None
    if numbers == "objects":
        names = given or (noted if len(noted) == 1 else ("cell",))
        rules = IdRules(class_names=names, objects=True, options=ids)
    else:
        counts = IdReader(labels, IdRules(class_names=("cell",)), what).counts
        rules = guess_rules(counts, given, noted, ids)
        if numbers == "classes" and rules.objects:
            rules = IdRules(class_names=noted or ("cell",), noted=noted, options=ids)
    if rules.objects and len(rules.class_names) > 1:
        raise DataError(
            f"{what} holds ids of objects without a table, all of one class; got the names "
            f"{', '.join(rules.class_names)}: give one name, or the table that has the classes"
        )
    reader = IdReader(labels, rules, what, counts=counts)
    read = _Frames(labels, reader.object_frame if rules.objects else reader.class_frame)
    if not rules.objects:
        _say(
            f"{what} holds classes, not objects: connected pieces are taken, and {_TOUCHING}"
            + ("" if given or noted else "; if its numbers are ids of objects, say --instances")
        )
    return ObjectStack(
        ids=read if rules.objects else PieceIds(read),
        class_names=rules.class_names,
        metadata=labels.metadata,
        name=what,
        mapping=reader.mapping,
    )


class _Frames:
    """Frames that a function reads, as an array."""

    def __init__(self, labels: LabelStack, read: Callable[[int], np.ndarray]) -> None:
        self.shape, self.dtype, self._read = labels.shape, np.dtype(np.int32), read

    def __getitem__(self, frame: int, /) -> np.ndarray:
        return self._read(frame)


def _say(note: str) -> None:
    warnings.warn(note, DataWarning, stacklevel=3)
