"""Files that are the frames of one stack, each read when it is looked at."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from rleseg_core.data.arrays import frames_array, grey_of_colour, reading
from rleseg_core.data.formats.base import Lister, Opened, ReadOptions, Series
from rleseg_core.data.formats.choosing import choose
from rleseg_core.data.formats.frame_names import find_breaks
from rleseg_core.data.metadata import StackMetadata
from rleseg_core.errors import DataError

_MOST_SAID = 3


@dataclass(frozen=True)
class Frame:
    """A file that is one frame, and what lists the images of its format."""

    path: Path
    lister: Lister

    def open(self, options: ReadOptions, masks: bool) -> Opened:
        """The frame, (1, Y, X, C).

        Raises
        ------
        DataError
            If it cannot be read, or holds more than one frame.
        """
        path = self.path
        if path.stat().st_size == 0:
            raise DataError(f"{path} is empty: it has 0 bytes")
        with reading(path):
            opened = choose(self.lister(path, options, masks), path, options, masks)
        if opened.data.shape[0] != 1:
            raise DataError(
                f"{path} holds {opened.data.shape[0]} frames; in a folder each file is one frame, "
                "so open that file itself, or choose a plane with --z"
            )
        return opened


def frames_series(
    frames: Sequence[Frame], options: ReadOptions, masks: bool, *, missing: Sequence[str] = ()
) -> Series:
    """Single frames of one size as one stack.

    Parameters
    ----------
    frames : sequence of Frame
        In order, at least one.
    options : ReadOptions
        How each of them is read.
    masks : bool
        Whether ids are read; colour is refused then.
    missing : sequence of str
        Sentences on what else should be there.

    Returns
    -------
    Series
        (T, Y, X, C), one chunk per frame; S for C where they are pictures in colour. Grey frames
        among colour ones become colour. Frames that cannot be read are `missing`.

    Raises
    ------
    DataError
        If an image has another size or type than the first; it names both.
    """
    each = replace(options, pattern=None)
    opened, lost = _headers(frames, each, masks)
    frames = [frame for frame, _ in opened]
    headers = [header for _, header in opened]
    shape, dtype = _common(opened, masks)
    notes = list(dict.fromkeys(note for header in headers for note in header.notes))
    if len(notes) > _MOST_SAID:
        notes[_MOST_SAID:] = [f"{len(notes) - _MOST_SAID} more files of the folder are the same"]
    if masks and max(header.shape[2] for header in headers) > 1:
        _read(frames[0], each, masks, shape)  # colour is better refused now than later
    data = frames_array(lambda t: _read(frames[t], each, masks, shape), len(frames), shape, dtype)
    return Series(
        shape=data.shape,
        dtype=data.dtype,
        axes="TYXS" if any(header.is_colour for header in headers) else "TYXC",
        read=lambda: data,
        metadata=headers[0].metadata,
        notes=tuple(notes),
        missing=(*missing, *lost),
        breaks=() if options.join_gaps else find_breaks([frame.path for frame in frames]),
    )


@dataclass(frozen=True)
class _Header:
    """What is known of a frame without its pixels."""

    shape: tuple[int, int, int]
    dtype: np.dtype
    is_colour: bool
    metadata: StackMetadata
    notes: tuple[str, ...]


def _headers(
    frames: Sequence[Frame], options: ReadOptions, masks: bool
) -> tuple[list[tuple[Frame, _Header]], list[str]]:
    """Frames that can be opened with their headers, and sentences on the others.

    Raises
    ------
    DataError
        If none can, or one cannot and that was not allowed.
    """
    found, lost = [], []
    for frame in frames:
        try:
            opened = frame.open(options, masks)
        except DataError as error:
            if not options.allow_missing:
                raise
            lost.append(f"{frame.path.name} is left out: {error}")
            continue
        _, height, width, channels = (int(length) for length in opened.data.shape)
        header = _Header(
            (height, width, channels),
            opened.data.dtype,
            opened.is_colour,
            opened.metadata,
            opened.notes,
        )
        found.append((frame, header))
    if not found:
        raise DataError(f"no image of {frames[0].path.parent} can be read: {lost[0]}")
    return found, lost


def _common(
    opened: Sequence[tuple[Frame, _Header]], masks: bool
) -> tuple[tuple[int, int, int], np.dtype]:
    """Shape (Y, X, C) and dtype of all frames."""
    first, header = opened[0]
    (height, width, _), dtype = header.shape, header.dtype
    for frame, other in opened:
        if other.shape[:2] != (height, width):
            raise DataError(
                f"all images of a folder must have one size: {first.path.name} has {height} rows "
                f"and {width} columns, {frame.path.name} has {other.shape[0]} and "
                f"{other.shape[1]}; --pattern chooses some, --each reads each by itself"
            )
        if other.dtype != dtype:
            raise DataError(
                f"all images of a folder must be of one type: {first.path.name} is {dtype}, "
                f"{frame.path.name} is {other.dtype}; --pattern chooses some"
            )
    counts = {other.shape[2] for _, other in opened}
    several = [other for _, other in opened if other.shape[2] > 1]
    if len(counts) > 1 and not all(o.is_colour and o.shape == several[0].shape for o in several):
        raise DataError(
            f"all images of a folder must have as many channels; {first.path.parent} has files of "
            f"{' and '.join(map(str, sorted(counts)))}; choose one with --channel"
        )
    return (height, width, 1 if masks else max(counts)), dtype


def _read(
    frame: Frame, options: ReadOptions, masks: bool, shape: tuple[int, int, int]
) -> np.ndarray:
    """A frame as (Y, X, C) of this shape."""
    with reading(frame.path):
        opened = frame.open(options, masks)
        pixels = np.asarray(opened.data[0].compute(scheduler="sync"))
    if pixels.shape[2] > 1 and masks:
        pixels = grey_of_colour(pixels, str(frame.path))[..., None]
    if pixels.shape[:2] != shape[:2]:
        raise DataError(f"{frame.path} has changed: it is {pixels.shape[:2]} now, was {shape[:2]}")
    return np.broadcast_to(pixels, shape)
