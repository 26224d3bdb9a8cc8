"""What a file format consists of; `registry` lists the formats there are.

The modules of the formats import their decoders when a file is opened, not before: the registry is
read for help texts and dialogs as well, which must not wait for them.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import dask.array as da

Opener = Callable[[Path, str | None], "da.Array"]
"""From a path, and a letter for each axis where the file names them wrongly, to (T, Y, X, C)."""

Header = tuple[tuple[int, int, int], np.dtype]
"""Shape (Y, X, C) and dtype of a single frame."""


@dataclass(frozen=True, kw_only=True)
class FrameFiles:
    """How files of a format serve as single frames, of which a folder makes a stack.

    Parameters
    ----------
    header : callable
        Shape and dtype of a file, from its path and whether it is read as a mask; no pixel is
        decoded.
    read : callable
        The frame (Y, X, C) itself, from the same arguments.
    """

    header: Callable[[Path, bool], Header]
    read: Callable[[Path, bool], np.ndarray]


@dataclass(frozen=True, kw_only=True)
class Format:
    """A file format: how it is recognised, read and written.

    Parameters
    ----------
    label : str
        Name for dialogs and messages, as within a sentence.
    suffixes : tuple of str
        Endings of its names, lower case, each with its dot.
    open_images : callable
        An `Opener`.
    open_masks : callable, optional
        An `Opener` for integer ids, where it differs; for example palettes are read by index.
    is_folder : callable, optional
        Whether an existing folder is one of this format; None if the format is a file.
    frames : FrameFiles, optional
        For formats whose files can be the frames of a folder.
    write : callable, optional
        Writes a label stack (T, Y, X) and a record, plain values for JSON, to a new path.
    read_record : callable, optional
        The record that `write` left in a file, or an empty one.
    """

    label: str
    suffixes: tuple[str, ...]
    open_images: Opener
    open_masks: Opener | None = None
    is_folder: Callable[[Path], bool] | None = None
    frames: FrameFiles | None = None
    write: Callable[[Path, np.ndarray, Mapping[str, object]], None] | None = None
    read_record: Callable[[Path], Mapping[str, object]] | None = None

    def opener(self, *, masks: bool) -> Opener:
        """What opens its files, as masks or as images."""
        return (self.open_masks or self.open_images) if masks else self.open_images
