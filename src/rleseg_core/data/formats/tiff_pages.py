"""Whether a TIFF is whole: its chain of pages, their tags, and their pixels."""

import math
import os
import re
import struct
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

from rleseg_core.errors import DataError

if TYPE_CHECKING:
    import tifffile

_VALUE_BYTES = {3: 2, 4: 4, 5: 8, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}


def check_pages(path: Path) -> int:
    """Number of pages of a TIFF, whose chain and all that their tags refer to is checked.

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
    return len(seen)


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


def check_whole(path: Path, series: "tifffile.TiffPageSeries") -> None:
    """Check that the pixels of all pages lie within their files, and fill their sizes."""
    size = os.path.getsize(path)
    if series.dataoffset is not None and series.dataoffset + series.nbytes > size:
        raise _truncated(path)
    key = series.keyframe
    # bytes of an uncompressed page; of one with bits that are packed it is not known
    full = key.nbytes if key.compression == 1 and key.bitspersample == key.dtype.itemsize * 8 else 0
    sizes: dict[str, int] = {}
    for page in series.pages:
        if page is None:
            continue
        file = page.parent.filehandle
        if file.path not in sizes:
            sizes[file.path] = os.path.getsize(file.path)
        spans = list(zip(page.dataoffsets, page.databytecounts, strict=False))
        if max((offset + count for offset, count in spans), default=0) > sizes[file.path]:
            raise _truncated(Path(file.path))
        held = sum(count for _, count in spans)
        if 0 < held < full and not page.is_tiled:
            raise DataError(
                f"{path} announces {full} bytes for a page and holds {held}; it is damaged: copy "
                "or export it again"
            )


def missing_planes(series: "tifffile.TiffPageSeries", path: Path) -> list[str]:
    """Sentences on planes that a file announces and that are nowhere."""
    pages = list(series.pages)
    lost = [
        index
        for index, page in enumerate(pages)
        if page is None or (series.kind == "mmstack" and page.dataoffsets[0] == 0)
    ]
    if not lost:
        return _other_description(series, path)
    gone = [name for name in _files_of_ome(series) if not (path.parent / name).exists()]
    where = f": {', '.join(gone)} is not in {path.parent}" if gone else ""
    return [f"{path} announces {len(pages)} planes, and {len(lost)} of them are missing{where}"]


def unread_pages(tiff: "tifffile.TiffFile", n_pages: int, path: Path) -> list[str]:
    """Sentences on pages that no series of the file refers to, reduced copies aside."""
    import tifffile

    left = set(range(n_pages))
    for one in tiff.series:
        for level in one.levels:
            n_used = level.size // max(level.keyframe.size, 1)
            left -= {
                page.index
                for page in list(level.pages)[:n_used]
                if page is not None and page.parent is tiff and isinstance(page.index, int)
            }
        if len(list(one.pages)) == 1:  # described by its first page alone
            first = one.keyframe.index
            if isinstance(first, int):
                left -= set(range(first, first + one.size // max(one.keyframe.size, 1)))
    if left:
        with tifffile.TiffFile(path) as again:
            left = {index for index in left if not again.pages[index].is_reduced}
    if not left:
        return []
    return [
        f"{path} holds {n_pages} pages, and its description names {n_pages - len(left)}: the "
        "others would not be read"
    ]


def _other_description(series: "tifffile.TiffPageSeries", path: Path) -> list[str]:
    """A sentence if the description of a file was not used, as it does not describe its pages."""
    tiff = series.keyframe.parent
    if tiff.is_imagej and series.kind not in ("imagej", "ome", "shaped", "mmstack"):
        metadata = tiff.imagej_metadata or {}
        announced = math.prod(metadata.get(name, 1) for name in ("frames", "slices", "channels"))
        if announced not in (1, len(tiff.pages)):
            return [f"{path} announces {announced} images and holds {len(tiff.pages)} pages"]
    if not tiff.is_ome or series.kind == "ome":
        return []
    text = tiff.ome_metadata or ""
    found = re.search(r"<(?:\w+:)?BinaryOnly[^>]*MetadataFile=[\"']([^\"']+)", text)
    if found is None:
        return []
    return [f"{path} is one part of images that {found[1]} describes; open that file"]


def _files_of_ome(series: "tifffile.TiffPageSeries") -> list[str]:
    """Names of the files that an OME-TIFF says its planes are in."""
    text = series.keyframe.parent.ome_metadata or ""
    return list(dict.fromkeys(re.findall(r"<(?:\w+:)?UUID[^>]*FileName=[\"']([^\"']+)", text)))


def _truncated(path: Path) -> DataError:
    return DataError(
        f"{path} is truncated: it ends before its images do ({os.path.getsize(path)} bytes); "
        "copy or export it again"
    )
