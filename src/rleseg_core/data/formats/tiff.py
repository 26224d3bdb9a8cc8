"""TIFF: multi-page, OME and ImageJ, whole or refused."""

import os
import struct
import weakref
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

import numpy as np

from rleseg_core.data.arrays import as_dask
from rleseg_core.data.axes import arrange
from rleseg_core.data.formats.base import Format, FrameFiles, Header, ReadOptions, Series
from rleseg_core.data.formats.tiff_metadata import tiff_metadata
from rleseg_core.data.formats.tiff_writing import write_tiff
from rleseg_core.errors import DataError

if TYPE_CHECKING:
    import dask.array as da
    import tifffile
    import zarr

_VALUE_BYTES = {3: 2, 4: 4, 5: 8, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}


def tiff_series(path: Path, _options: ReadOptions, _masks: bool) -> list[Series]:
    """The first series of a TIFF at full resolution.

    Raises
    ------
    DataError
        If it is no TIFF, or truncated.
    """
    import tifffile

    check_pages(path)
    tiff = tifffile.TiffFile(path)
    try:
        if len({series.shape for series in tiff.series}) == 1 < len(tiff.series):
            tiff.close()  # written page by page, each said to be a series of its own
            tiff = tifffile.TiffFile(path, is_shaped=False)
        series = tiff.series[0]
        _check_whole(path, series)
        array = _lazy(tiff, series)
        metadata = tiff_metadata(tiff)
    except BaseException:
        tiff.close()
        raise
    return [
        Series(
            shape=array.shape,
            dtype=array.dtype,
            axes=series.axes,
            read=lambda: array,
            metadata=metadata,
        )
    ]


def _lazy(tiff: "tifffile.TiffFile", series: "tifffile.TiffPageSeries") -> "zarr.Array":
    """Array over the pages of a series; the file is closed when nobody needs it any more."""
    import zarr

    # level 0: a pyramid would open as a group
    store = series.aszarr(level=0, chunkmode="page")
    weakref.finalize(store, tiff.close)
    return zarr.open_array(store, mode="r")


def tiff_header(path: Path, _masks: bool = False) -> Header:
    """Shape (Y, X, C) and dtype of a TIFF that is one frame, checked to be whole."""
    import dask.array as da
    import tifffile

    check_pages(path)
    with tifffile.TiffFile(path) as tiff:
        series = tiff.series[0]
        _check_whole(path, series)
        shape = _one_frame(da.empty(series.shape, chunks=-1), series.axes, path).shape
        dtype = np.dtype(np.uint8) if series.dtype == bool else np.dtype(series.dtype)
        return (int(shape[0]), int(shape[1]), int(shape[2])), dtype.newbyteorder("=")


def read_tiff(path: Path, _masks: bool = False) -> np.ndarray:
    """A TIFF that is one frame, (Y, X, C)."""
    import tifffile

    with tifffile.TiffFile(path) as tiff:
        series = tiff.series[0]
        frame = _one_frame(as_dask(series.asarray()), series.axes, path)
        pixels = np.asarray(frame.compute(scheduler="sync"))
    return pixels.astype(np.uint8) if pixels.dtype == bool else pixels


def check_pages(path: Path) -> None:
    """Check that the chain of a TIFF's pages is whole, and all that their tags refer to.

    tifffile goes on with the pages and tags it finds, which would silently drop frames, or take
    channels for frames, where a file was cut short.

    Raises
    ------
    DataError
        If it is no TIFF, or a page or tag lies beyond the file's end.
    """
    size = os.path.getsize(path)
    with path.open("rb") as file:
        layout = _layout(file, path)
        seen: set[int] = set()
        try:
            file.seek(layout.first_at)
            offset = _integer(file, layout.order + layout.offset_format)
            while offset:
                if offset >= size or offset in seen:
                    raise _truncated(path)
                seen.add(offset)
                offset = _check_page(file, offset, layout, path, size)
        except struct.error:
            raise _truncated(path) from None
    if not seen:
        raise DataError(f"{path} holds no image; it may not have been written to its end")


class _Layout(NamedTuple):
    """How a TIFF is written: struct formats, and where the offset of the first page is."""

    order: str
    count_format: str
    offset_format: str
    first_at: int


def _layout(file: BinaryIO, path: Path) -> _Layout:
    header = file.read(4)
    order = {b"II": "<", b"MM": ">"}.get(header[:2], "")
    version = struct.unpack(order + "H", header[2:])[0] if order and len(header) == 4 else 0
    if version == 42:
        return _Layout(order, "H", "I", 4)
    if version == 43:
        return _Layout(order, "Q", "Q", 8)
    raise DataError(f"{path} is not a TIFF file, whatever its name says")


def _check_page(file: BinaryIO, offset: int, layout: _Layout, path: Path, size: int) -> int:
    """Check the tags of the page at an offset; the offset of the next, 0 after the last."""
    inline = struct.calcsize(layout.order + layout.offset_format)
    tag = struct.Struct(layout.order + "HH" + layout.offset_format * 2)
    file.seek(offset)
    tags = file.read(_integer(file, layout.order + layout.count_format) * tag.size)
    following = _integer(file, layout.order + layout.offset_format)
    for _, kind, count, value in tag.iter_unpack(tags):
        n_bytes = count * _VALUE_BYTES.get(kind, 1)
        if n_bytes > inline and value + n_bytes > size:
            raise _truncated(path)
    return following


def _integer(file: BinaryIO, layout: str) -> int:
    return int(struct.unpack(layout, file.read(struct.calcsize(layout)))[0])


def _check_whole(path: Path, series: "tifffile.TiffPageSeries") -> None:
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
        f"{path} is truncated: it ends before its images do ({os.path.getsize(path)} bytes); "
        "copy or export it again"
    )


def _one_frame(data: "da.Array", axes: str, path: Path) -> "da.Array":
    arranged = arrange(data, axes, str(path))
    if arranged.shape[0] != 1:
        raise DataError(
            f"{path} holds {arranged.shape[0]} frames; in a folder each file is one frame, so "
            "open that file itself"
        )
    return arranged[0]


TIFF = Format(
    label="TIFF",
    suffixes=(".tif", ".tiff"),
    series=tiff_series,
    frames=FrameFiles(header=tiff_header, read=read_tiff),
    write=write_tiff,
)
