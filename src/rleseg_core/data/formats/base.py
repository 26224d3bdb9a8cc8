"""What a file format consists of; `registry` lists the formats there are.

The modules of the formats import their decoders when a file is opened, not before: the registry is
read for help texts and dialogs as well, which must not wait for them.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

import numpy as np

from rleseg_core.data.arrays import ArrayLike
from rleseg_core.data.metadata import StackMetadata

if TYPE_CHECKING:
    import dask.array as da


class ReadKeywords(TypedDict, total=False):
    """The fields of `ReadOptions`, as `ImageStack.open` and `LabelStack.open` take them."""

    axes: str | None
    series: int | str | None
    channel: int | str | None
    z: int | str | None
    pattern: str | None
    allow_missing: bool
    join_gaps: bool


@dataclass(frozen=True, kw_only=True)
class ReadOptions:
    """Which part of a file or folder is read, and how.

    Parameters
    ----------
    axes : str or None
        A letter for each axis of the array in the file, where it names them wrongly or not at all:
        T time, Z depth, C channels, S colour samples, Y rows, X columns, such as TCYX.
    series : int, str or None
        Image of a file that holds several, such as positions, scenes or wells: its number, counted
        from 0, or its name. `rleseg info` lists them.
    channel : int, str or None
        Channel to read: its number, counted from 0, or its name.
    z : int, str or None
        Plane of a z-stack, counted from 0, or max for the maximum along z.
    pattern : str or None
        Which files of a folder are its frames, by name, such as '*_phase.tif'.
    allow_missing : bool
        Read what is there where frames, files or chunks are missing, and say what is.
    join_gaps : bool
        Windows of several frames reach across frames that are missing, by the numbers of a folder's
        files; otherwise they do not.
    """

    axes: str | None = None
    series: int | str | None = None
    channel: int | str | None = None
    z: int | str | None = None
    pattern: str | None = None
    allow_missing: bool = False
    join_gaps: bool = False

    def keywords(self) -> ReadKeywords:
        """What was chosen, by name, without what has its default; plain values for JSON."""
        given = {field.name: getattr(self, field.name) for field in fields(self)}
        chosen = {name: value for name, value in given.items() if value is not None}
        return ReadKeywords(**{k: v for k, v in chosen.items() if v is not False})  # type: ignore[typeddict-item]


@dataclass(frozen=True, kw_only=True, eq=False)
class Series:
    """One image of a file, before a channel or plane is chosen; nothing of it is read yet.

    Parameters
    ----------
    name : str
        Its name in the file; empty if it has none.
    shape : tuple of int
        Length of each axis.
    dtype : numpy dtype
        Type of the elements.
    axes : str or None
        A letter for each axis, S where colour samples lie along it; None if the file names none.
    read : callable
        The array itself, read lazily, of that shape; files stay open as long as it lives.
    metadata : StackMetadata
        What the file says about it.
    notes : tuple of str
        What is to be said when it is used: sentences.
    missing : tuple of str
        What the file announces and does not hold: sentences. It is refused unless that was allowed,
        and said otherwise.
    breaks : tuple of int
        Frames that do not follow the one before them: some are missing between.
    """

    name: str = ""
    shape: tuple[int, ...]
    dtype: np.dtype
    axes: str | None
    read: Callable[[], ArrayLike]
    metadata: StackMetadata = StackMetadata()
    notes: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    breaks: tuple[int, ...] = ()


@dataclass(frozen=True, kw_only=True, eq=False)
class Opened:
    """What was found at a path, as it is used.

    Parameters
    ----------
    data : (T, Y, X, C) dask array
        Frames in source pixels.
    name : str
        Name for people.
    path : Path
        Absolute path.
    options : ReadOptions
        How it was read.
    is_colour : bool
        Whether the channels are those of a colour picture, rather than images of their own.
    metadata : StackMetadata
        What the file says about it.
    notes : tuple of str
        What is to be said: what was assumed, what is missing.
    breaks : tuple of int
        Frames that do not follow the one before them.
    """

    data: "da.Array"
    name: str
    path: Path
    options: ReadOptions = ReadOptions()
    is_colour: bool = False
    metadata: StackMetadata = StackMetadata()
    notes: tuple[str, ...] = ()
    breaks: tuple[int, ...] = ()


Lister = Callable[[Path, ReadOptions, bool], Sequence[Series]]
"""The images of a file, from its path, the options, and whether masks are wanted; at least one."""


@dataclass(frozen=True, kw_only=True)
class FormatNotes:
    """What people should know of a format: entries of the table in docs/formats.md.

    Parameters
    ----------
    axes, dtypes : str
        What its arrays can be; empty for whatever they are.
    metadata : str
        Where scale, times and names are read from.
    written : str
        What becomes of the metadata of masks that are written, and of what is lost.
    """

    axes: str = "as the file names them"
    dtypes: str = "all integers, float32, float64"
    metadata: str = "none"
    written: str = ""


@dataclass(frozen=True, kw_only=True)
class Format:
    """A file format: how it is recognised, read and written.

    Parameters
    ----------
    label : str
        Name for dialogs and messages, as within a sentence.
    suffixes : tuple of str
        Endings of its names, lower case, each with its dot.
    series : callable
        A `Lister`.
    is_folder : callable, optional
        Whether an existing folder is one of this format; None if the format is a file.
    is_frame : bool
        Whether its files can be the frames of a folder.
    write : callable, optional
        Writes a label stack (T, Y, X) and its metadata to a new path; series have them again.
    is_ours : callable, optional
        Whether what exists at a path could have been written by `write`, so that it may be replaced
        if the user wants that; without it, nothing is.
    notes : FormatNotes
        What docs/formats.md says of it.
    """

    label: str
    suffixes: tuple[str, ...]
    series: Lister
    is_folder: Callable[[Path], bool] | None = None
    is_frame: bool = False
    write: Callable[[Path, ArrayLike, StackMetadata], None] | None = None
    is_ours: Callable[[Path], bool] | None = None
    notes: FormatNotes = FormatNotes()
