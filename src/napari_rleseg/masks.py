"""Masks for the viewer: their numbers read once, and said; where they cannot be told, asked.

Knows neither Qt nor napari.
"""

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from pathlib import Path

import dask.array as da
import numpy as np

from napari_rleseg.object_files import KnownObjects, objects_of
from rleseg_core.data import IdOptions, LabelStack
from rleseg_core.data.arrays import frames_array
from rleseg_core.data.formats.base import ReadOptions
from rleseg_core.data.formats.description import FileDescription, describe
from rleseg_core.data.formats.registry import open_source
from rleseg_core.data.ids import IdChoice, IdReader, IdRules, choices, guess_rules
from rleseg_core.data.stack import noted_class_names, noted_ids
from rleseg_core.errors import DataError


@dataclass(frozen=True)
class OpenedMasks:
    """Masks whose numbers are read as classes.

    Parameters
    ----------
    stack : LabelStack
        The masks as they are.
    data : (T, Y, X) integer dask array
        Class ids; `IGNORED` where pixels do not count.
    class_names : tuple of str
        Names of the classes 1, 2, …
    told : str
        How the numbers were read, and what is unusual.
    is_plain : bool
        Whether the numbers are the class ids as they are.
    ignores : bool
        Whether there are pixels that do not count.
    objects : KnownObjects or None
        Objects that were written beside them.
    """

    stack: LabelStack
    data: da.Array
    class_names: tuple[str, ...]
    told: str
    is_plain: bool
    ignores: bool
    objects: KnownObjects | None = None


@dataclass(frozen=True)
class UnclearMasks:
    """Masks whose numbers cannot be told: a person is to choose.

    Parameters
    ----------
    path : Path
        The masks.
    sentence : str
        What is unclear.
    choices : tuple of IdChoice
        The ways to read them.
    options : ReadOptions
        Which part of the file they are.
    """

    path: Path
    sentence: str
    choices: tuple[IdChoice, ...]
    options: ReadOptions = ReadOptions()


def open_masks(
    path: Path,
    class_names: Sequence[str] = (),
    rules: IdRules | None = None,
    options: ReadOptions | None = None,
    is_last: bool = True,
) -> Generator[int, None, OpenedMasks | UnclearMasks | FileDescription]:
    """Job that opens masks; it reads every frame once, to see what their numbers mean.

    Parameters
    ----------
    path : Path
        File or folder of the masks.
    class_names : sequence of str
        Names of the classes that a person gave; by default those that the masks note.
    rules : IdRules, optional
        How a person chose to read them.
    options : ReadOptions, optional
        Which part of the file a person chose; by default what there is to choose is returned.
    is_last : bool
        Whether nothing else is to be chosen.

    Yields
    ------
    int
        Frames that were read.
    """
    if options is None or not is_last:
        found_parts = describe(path, options or ReadOptions(), masks=True)
        if found_parts.is_a_choice:
            return found_parts
    options = options or ReadOptions()
    stack = LabelStack.from_source(open_source(path, options, masks=True))
    counting = IdReader(stack, IdRules(class_names=("cell",)), str(path))
    yield from counting.count()
    noted, known = noted_class_names(stack), noted_ids(stack, IdOptions())
    rules = rules or guess_rules(counting.counts, tuple(class_names), noted, known)
    reader = IdReader(stack, rules, str(path), counts=counting.counts)
    try:
        mapping = reader.mapping
    except DataError as error:
        found = choices(counting.counts, rules, reader.dtype)
        if not found:
            raise
        return UnclearMasks(Path(path), str(error), tuple(found), options)
    n_frames, *size = stack.shape
    is_plain = mapping.is_plain and not rules.objects
    is_whole = options == ReadOptions()  # otherwise a path alone would not tell which part
    told = ". ".join((mapping.text, *mapping.warnings))
    return OpenedMasks(
        stack=stack,
        data=stack.data
        if is_plain
        else frames_array(reader.class_frame, n_frames, tuple(size), np.dtype(np.uint8)),
        class_names=rules.class_names,
        told=told,
        is_plain=is_plain and is_whole,
        ignores=bool(set(rules.options.ignore or ()) & set(counting.counts)),
        objects=objects_of(Path(path)) if is_whole else None,
    )
