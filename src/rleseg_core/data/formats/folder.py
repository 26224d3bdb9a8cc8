"""Files that are the frames of one stack, each read when it is looked at."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from rleseg_core.data.arrays import frames_array, grey_of_colour, reading
from rleseg_core.data.formats.base import FrameFiles, Header, ReadOptions, Series
from rleseg_core.errors import DataError

Frame = tuple[Path, FrameFiles]
"""A file, and how its format reads it."""


def frames_series(frames: Sequence[Frame], options: ReadOptions, masks: bool) -> Series:
    """Single frames of one size as one stack.

    Parameters
    ----------
    frames : sequence of Frame
        In order, at least one.
    options : ReadOptions
        How they are read.
    masks : bool
        Whether ids are read; colour is refused then.

    Returns
    -------
    Series
        (T, Y, X, S), one chunk per frame. Grey frames among colour ones become colour.

    Raises
    ------
    DataError
        If an image is damaged, or has another size or type than the first; it names both.
    """
    headers = [_header(frame, masks) for frame in frames]
    (height, width, _), dtype = headers[0]
    first = frames[0][0].name
    for (path, _), (shape, other) in zip(frames, headers, strict=True):
        if shape[:2] != (height, width):
            raise DataError(
                f"all images of a folder must have one size: {first} has {height} rows "
                f"and {width} columns, {path.name} has {shape[0]} and {shape[1]}"
            )
        if other != dtype:
            raise DataError(
                f"all images of a folder must be of one type: {first} is {dtype}, "
                f"{path.name} is {other}"
            )
    channels = max(shape[2] for shape, _ in headers)
    if masks and channels > 1:
        channels = 1
        _read(frames[0], masks, (height, width, 1))  # colour is better refused now than later
    shape = (height, width, channels)
    data = frames_array(lambda t: _read(frames[t], masks, shape), len(frames), shape, dtype)
    return Series(shape=data.shape, dtype=data.dtype, axes="TYXS", read=lambda: data)


def _header(frame: Frame, masks: bool) -> Header:
    path, files = frame
    with reading(path):
        return files.header(path, masks)


def _read(frame: Frame, masks: bool, shape: tuple[int, int, int]) -> np.ndarray:
    """A frame as (Y, X, C) of this shape."""
    path, files = frame
    with reading(path):
        pixels = files.read(path, masks)
    if pixels.shape[2] > 1 and masks:
        pixels = grey_of_colour(pixels, str(path))[..., None]
    if pixels.shape[:2] != shape[:2]:
        raise DataError(f"{path} has changed: it is {pixels.shape[:2]} now, was {shape[:2]}")
    if pixels.shape[2] > shape[2]:
        return pixels[..., : shape[2]]
    return np.broadcast_to(pixels, shape) if pixels.shape[2] < shape[2] else pixels
