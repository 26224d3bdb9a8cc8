"""Pictures, one frame a file."""

from collections.abc import Callable
from pathlib import Path

import dask.array as da
import numpy as np
from PIL import Image

from rleseg_core.data.formats.tiff import TIFF_SUFFIXES, read_tiff_header, read_tiff_page
from rleseg_core.data.stack import grey_of_colour, reading
from rleseg_core.errors import DataError

PICTURE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp")

Header = tuple[tuple[int, int, int], np.dtype]  # (Y, X, C) and dtype

_GREY_DTYPES = {"1": "uint8", "L": "uint8", "LA": "uint8", "I": "int32", "F": "float32"}


def open_pictures(paths: list[Path], labels: bool) -> da.Array:
    """Stack of pictures of one size, each read when it is looked at.

    Parameters
    ----------
    paths : list of Path
        Frames in order, at least one.
    labels : bool
        Whether pictures with a palette are read by index rather than colour.

    Returns
    -------
    (T, Y, X, C) dask array
        One chunk a frame. Grey frames among colour ones become colour.

    Raises
    ------
    DataError
        If a picture is damaged, or has another size or type than the first; it names both.
    """
    headers = [picture_header(path, labels) for path in paths]
    (height, width, _), dtype = headers[0]
    for path, (shape, other) in zip(paths, headers, strict=True):
        if shape[:2] != (height, width):
            raise DataError(
                f"all pictures of a folder must have one size: {paths[0].name} has {height} rows "
                f"and {width} columns, {path.name} has {shape[0]} and {shape[1]}"
            )
        if other != dtype:
            raise DataError(
                f"all pictures of a folder must be of one type: {paths[0].name} is {dtype}, "
                f"{path.name} is {other}"
            )
    channels = max(shape[2] for shape, _ in headers)
    if labels and channels > 1:
        channels = 1
        _read(paths[0], labels, (height, width, 1))  # colour is better refused now than later
    shape = (height, width, channels)
    return frames_array(lambda t: _read(paths[t], labels, shape), len(paths), shape, dtype)


def frames_array(
    read: Callable[[int], np.ndarray], n_frames: int, shape: tuple[int, ...], dtype: np.dtype
) -> da.Array:
    """Dask array (T, *shape), one chunk a frame, over a function that reads a frame."""

    def block(block_info: dict) -> np.ndarray:
        return read(int(block_info[None]["chunk-location"][0]))[None]

    return da.map_blocks(
        block,
        chunks=((1,) * n_frames, *((length,) for length in shape)),
        dtype=dtype,
        meta=np.empty((0,) * (1 + len(shape)), dtype),
    )


def picture_header(path: Path, labels: bool) -> Header:
    """Shape (Y, X, C) and dtype of a picture, without reading its pixels."""
    with reading(path):
        if path.suffix.lower() in TIFF_SUFFIXES:
            return read_tiff_header(path)
        with Image.open(path) as picture:
            mode = picture.mode
            size = (picture.height, picture.width)
            if mode == "P":
                return (*size, 1 if labels else 3), np.dtype(np.uint8)
            if mode.startswith("I;16"):
                return (*size, 1), np.dtype(np.uint16)
            if mode in _GREY_DTYPES:
                return (*size, 1), np.dtype(_GREY_DTYPES[mode])
            if labels and "16" in str(picture.tile):
                raise DataError(
                    f"{path} is a colour picture of 16 bits, from which ids cannot be read; save "
                    "the mask as integer ids, one channel"
                )
            return (*size, 3), np.dtype(np.uint8)


def _read(path: Path, labels: bool, shape: tuple[int, int, int]) -> np.ndarray:
    """A picture as (Y, X, C) of this shape."""
    with reading(path):
        pixels = (
            read_tiff_page(path) if path.suffix.lower() in TIFF_SUFFIXES else _decode(path, labels)
        )
    if pixels.shape[2] > 1 and labels:
        pixels = grey_of_colour(pixels, str(path))[..., None]
    if pixels.shape[:2] != shape[:2]:
        raise DataError(f"{path} has changed: it is {pixels.shape[:2]} now, was {shape[:2]}")
    if pixels.shape[2] > shape[2]:
        return pixels[..., : shape[2]]
    return np.broadcast_to(pixels, shape) if pixels.shape[2] < shape[2] else pixels


def _decode(path: Path, labels: bool) -> np.ndarray:
    """A picture that is no TIFF, as (Y, X, 1 or 3)."""
    with Image.open(path) as picture:
        mode = picture.mode
        if mode == "1":
            pixels = np.asarray(picture).astype(np.uint8)
        elif mode in ("L", "I", "F") or mode.startswith("I;16") or (mode == "P" and labels):
            pixels = np.asarray(picture)  # of a palette, the indices
        elif mode == "LA":
            pixels = np.asarray(picture)[..., 0]
        else:
            pixels = np.asarray(picture.convert("RGB"))
    return pixels if pixels.ndim == 3 else pixels[..., None]
