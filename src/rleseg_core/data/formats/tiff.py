"""TIFF: multi-page, OME, ImageJ, Micro-Manager and others, whole or refused."""

import logging
import re
import threading
import weakref
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from rleseg_core.data.arrays import ArrayLike, as_dask
from rleseg_core.data.formats.base import Format, FormatNotes, ReadOptions, Series
from rleseg_core.data.formats.tiff_metadata import tiff_metadata
from rleseg_core.data.formats.tiff_ours import could_be_masks
from rleseg_core.data.formats.tiff_pages import (
    check_pages,
    check_whole,
    missing_planes,
    unread_pages,
)
from rleseg_core.data.formats.tiff_writing import write_tiff
from rleseg_core.data.metadata import StackMetadata

if TYPE_CHECKING:
    import tifffile

_COLOURS = (2, 6, 8, 9, 10)  # RGB, YCbCr and the kinds of L*a*b*
_SIDE_IMAGES = ("thumbnail", "label", "macro")  # of slide scanners


def tiff_series(path: Path, options: ReadOptions, masks: bool) -> list[Series]:
    """The images of a TIFF at full resolution, its pages counted.

    Raises
    ------
    DataError
        If it is no TIFF, or truncated.
    """
    n_pages = check_pages(path)
    with _complaints() as said:
        file = _File(path)
        found = file.tiff.series
        if _page_by_page(found):
            file = _File(path, is_shaped=False)
            found = file.tiff.series
    main, notes = _main_images(found, path)
    gaps = unread_pages(file.tiff, n_pages, path)
    series: list[Series] = []
    for one in main:
        check_whole(path, one)
        missing = missing_planes(one, path)
        more = [] if missing or gaps else [f"{path}: {text}" for text in said]
        axes, assumed = _colour_axes(one, path, masks)
        more += assumed if options.axes is None else []
        part = _Part(file, one, tiff_metadata(file.tiff, found.index(one)))
        series += _images(part, axes, [*notes, *more], [*missing, *gaps])
    return series


class _File:
    """An open TIFF, which is closed when nothing refers to it any more."""

    def __init__(self, path: Path, **options: bool) -> None:
        import tifffile

        self.tiff = tifffile.TiffFile(path, **options)
        weakref.finalize(self, self.tiff.close)


@dataclass(frozen=True, eq=False)
class _Part:
    """A series of pages, with the file that must stay open for it."""

    file: _File
    series: "tifffile.TiffPageSeries"
    metadata: StackMetadata

    def read(self) -> ArrayLike:
        """Array over the pages, at the finest level of a pyramid."""
        import zarr

        # level 0: a pyramid would open as a group
        store = self.series.aszarr(level=0, chunkmode="page")
        weakref.finalize(store, _keep, self.file)
        return zarr.open_array(store, mode="r")


def _keep(_file: _File) -> None:
    """Nothing: who waits for this call holds the file until then."""


def _page_by_page(found: Sequence["tifffile.TiffPageSeries"]) -> bool:
    """Whether a stack was written page by page, each with a description of its own."""
    alike = len({(one.shape, one.dtype) for one in found}) == 1
    single = all(one.kind == "shaped" and one.shape == one.keyframe.shape for one in found)
    return len(found) > 1 and alike and single


def _main_images(
    found: Sequence["tifffile.TiffPageSeries"], path: Path
) -> tuple[list["tifffile.TiffPageSeries"], list[str]]:
    """Series that are no reduced copies and no side images, and what is said of the latter."""
    full = [one for one in found if not one.keyframe.is_reduced] or list(found)
    main = [one for one in full if one.name.lower() not in _SIDE_IMAGES] or full
    beside = [one.name for one in full if one not in main]
    if not beside:
        return main, []
    return main, [f"{path} holds {', '.join(beside).lower()} besides, which are not read"]


def _images(
    part: _Part, axes: str | None, notes: Sequence[str], missing: Sequence[str]
) -> Iterator[Series]:
    """The image of a series, or one for each of its positions."""
    series = part.series
    whole = Series(
        name=series.name,
        shape=tuple(int(length) for length in series.shape),
        dtype=np.dtype(series.dtype).newbyteorder("="),
        axes=axes,
        read=part.read,
        metadata=part.metadata,
        notes=tuple(notes),
        missing=tuple(missing),
    )
    counted = [name for name in _positions(series) if axes is not None and name in axes]
    if axes is None or not counted:
        yield whole
        return
    axis = axes.index(counted[0])
    for index in range(whole.shape[axis]):
        yield replace(
            whole,
            name=f"{series.name} position {index}".strip(),
            shape=whole.shape[:axis] + whole.shape[axis + 1 :],
            axes=axes[:axis] + axes[axis + 1 :],
            read=partial(_position, part, axis, index),
        )


def _positions(series: "tifffile.TiffPageSeries") -> str:
    """Letters of the axes that count positions; in LSM files P and M are such."""
    return "RPM" if series.kind == "lsm" else "R"


def _position(part: _Part, axis: int, index: int) -> ArrayLike:
    return as_dask(part.read())[(slice(None),) * axis + (index,)]


def _colour_axes(
    series: "tifffile.TiffPageSeries", path: Path, masks: bool
) -> tuple[str | None, list[str]]:
    """Axes, S only where the file's samples are colours, and what is to be said of them."""
    page, axes = series.keyframe, series.axes
    if page.photometric in _COLOURS:
        unnamed = series.kind == "shaped" and "axes" not in (page.shaped_description or "")
        if unnamed and page.planarconfig == 2 and axes.endswith("SYX"):
            if len(axes) > 3:
                return None, []
            return "TYX", [
                f"{path} holds {series.shape[0]} planes that its writer marked as colour without "
                "naming the axes; they are read as frames (--axes SYX reads them as colour)"
            ]
        return axes, []
    notes = []
    if page.photometric == 3 and series.kind != "imagej" and not masks:
        notes.append(f"{path} holds a palette; its indices are read as grey values")
    if page.photometric == 0 and page.bitspersample > 1 and not masks:
        notes.append(f"{path} says that 0 is white; --invert reads it so")
    return (axes.replace("S", "C") if "C" not in axes else axes), notes


@contextmanager
def _complaints() -> Iterator[list[str]]:
    """What tifffile logs in this thread meanwhile, as sentences without the name of the file."""
    said: list[str] = []

    class _Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if record.thread == threading.get_ident():
                said.append(re.sub(r"^<tifffile\.\w+ .*?> ?", "", record.getMessage()))

    logger, handler = logging.getLogger("tifffile"), _Handler(logging.WARNING)
    logger.addHandler(handler)
    try:
        yield said
    finally:
        logger.removeHandler(handler)


_METADATA = (
    "OME-XML (PhysicalSize, TimeIncrement, else DeltaT, Position, channel names, date), "
    "Micro-Manager, LSM, STK, ImageJ (resolution, unit, finterval, spacing, origin), our record, "
    "resolution tags unless they are those of screens and printers (whole dots per inch up to 1200)"
)

TIFF = Format(
    label="TIFF",
    suffixes=(".tif", ".tiff"),
    series=tiff_series,
    is_frame=True,
    write=write_tiff,
    is_ours=could_be_masks,
    notes=FormatNotes(
        metadata=_METADATA,
        written="`.tif` for ImageJ (uint8, uint16, less than 2 GiB): pixel size, unit, origin, "
        "frame interval; else, and `.ome.tif` always, OME-XML: the same, times of the planes, "
        "date. Class names, colours and provenance are in our record, which ImageJ shows as the "
        "image's information and OME-XML holds as an annotation: other programs keep it, and "
        "draw the classes in colours of their own.",
    ),
)


TIFF_KINDS = Format(
    label="LSM or BigTIFF",
    suffixes=(".lsm", ".btf", ".tf2", ".tf8"),
    series=tiff_series,
    is_frame=True,
    notes=FormatNotes(metadata=_METADATA),
)
