"""TIFF: multi-page, OME and ImageJ, whole or refused."""

import os
import struct
from pathlib import Path
from typing import BinaryIO

import dask.array as da
import numpy as np
import tifffile
import zarr

from rleseg_core.data.axes import arrange
from rleseg_core.data.stack import image_data
from rleseg_core.errors import DataError

TIFF_SUFFIXES = (".tif", ".tiff")

_MAX_PAGES = 10_000_000  # more than a loop in a damaged chain is allowed to fake


def open_tiff(path: Path, axes: str | None = None) -> da.Array:
    """Lazy array of the first series of a TIFF at full resolution.

    Parameters
    ----------
    path : Path
        The file; it stays open as long as the array lives.
    axes : str, optional
        Overrides the axes it names.

    Returns
    -------
    (T, Y, X, C) dask array
        One chunk a page.

    Raises
    ------
    DataError
        If it is no TIFF, truncated, or holds more than time, one plane and channels.
    """
    check_pages(path)
    tiff = tifffile.TiffFile(path)
    try:
        series = tiff.series[0]
        _check_whole(path, series)
        # level 0: a pyramid would open as a group
        array = zarr.open_array(series.aszarr(level=0, chunkmode="page"), mode="r")
    except BaseException:
        tiff.close()
        raise
    data = da.from_array(array, chunks=array.chunks, name=False)
    return image_data(data, axes or series.axes, str(path))


def read_tiff_header(path: Path) -> tuple[tuple[int, int, int], np.dtype]:
    """Shape (Y, X, C) and dtype of a TIFF that is one picture, checked to be whole."""
    check_pages(path)
    with tifffile.TiffFile(path) as tiff:
        series = tiff.series[0]
        _check_whole(path, series)
        shape = _one_picture(da.empty(series.shape, chunks=-1), series.axes, path).shape
        dtype = np.dtype(np.uint8) if series.dtype == bool else np.dtype(series.dtype)
        return (int(shape[0]), int(shape[1]), int(shape[2])), dtype.newbyteorder("=")


def read_tiff_page(path: Path) -> np.ndarray:
    """A TIFF that is one picture, (Y, X, C)."""
    with tifffile.TiffFile(path) as tiff:
        series = tiff.series[0]
        pixels = _one_picture(da.from_array(series.asarray(), chunks=-1), series.axes, path)
        pixels = np.asarray(pixels.compute(scheduler="sync"))
    return pixels.astype(np.uint8) if pixels.dtype == bool else pixels


def check_pages(path: Path) -> None:
    """Check that the chain of a TIFF's pages is whole.

    tifffile goes on with the pages it finds where the chain breaks off, which would silently drop
    the rest of a file cut short.

    Raises
    ------
    DataError
        If it is no TIFF, or the chain leads beyond the file's end.
    """
    size = os.path.getsize(path)
    with path.open("rb") as file:
        try:
            offset, order, layout = _first_page(file, path)
            seen = 0
            while offset:
                offset = _next_page(file, offset, order, layout)
                seen += 1
                if offset >= size or seen > _MAX_PAGES:
                    raise _truncated(path)
            if not seen:
                raise DataError(f"{path} holds no picture; it may not have been written to its end")
        except struct.error:
            raise _truncated(path) from None


def _first_page(file: BinaryIO, path: Path) -> tuple[int, str, tuple[str, int, str]]:
    """Offset of the first page, byte order, layout: formats of counts and offsets, entry size."""
    header = file.read(16)
    order = {b"II": "<", b"MM": ">"}.get(header[:2])
    version = struct.unpack(order + "H", header[2:4])[0] if order and len(header) >= 4 else 0
    if order is None or version not in (42, 43):
        raise DataError(f"{path} is not a TIFF file, whatever its name says")
    if version == 42:
        return struct.unpack(order + "I", header[4:8])[0], order, ("H", 12, "I")
    return struct.unpack(order + "Q", header[8:16])[0], order, ("Q", 20, "Q")


def _next_page(file: BinaryIO, offset: int, order: str, layout: tuple[str, int, str]) -> int:
    count_format, entry_size, offset_format = layout
    file.seek(offset)
    count = struct.unpack(order + count_format, file.read(struct.calcsize(order + count_format)))[0]
    file.seek(count * entry_size, os.SEEK_CUR)
    return int(
        struct.unpack(order + offset_format, file.read(struct.calcsize(order + offset_format)))[0]
    )


def _check_whole(path: Path, series: tifffile.TiffPageSeries) -> None:
    """Check that the pixels of all pages lie within the file."""
    size = os.path.getsize(path)
    if series.dataoffset is not None and series.dataoffset + series.nbytes > size:
        raise _truncated(path)
    for page in series.pages:
        if page is None:
            continue
        ends = (
            offset + count
            for offset, count in zip(page.dataoffsets, page.databytecounts, strict=False)
        )
        if max(ends, default=0) > size:
            raise _truncated(path)


def _truncated(path: Path) -> DataError:
    return DataError(
        f"{path} is truncated: it ends before its pictures do ({os.path.getsize(path)} bytes); "
        "copy or export it again"
    )


def _one_picture(data: da.Array, axes: str, path: Path) -> da.Array:
    arranged = arrange(data, axes, str(path))
    if arranged.shape[0] != 1:
        raise DataError(
            f"{path} holds {arranged.shape[0]} frames; in a folder each file is one frame, so "
            "open that file itself"
        )
    return arranged[0]
