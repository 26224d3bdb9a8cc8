"""The file formats there are, and which of them opens a path.

Dialogs, help texts and messages are made from `FORMATS`: a new format is a module of its own and
one entry here. A format that can be written has a line in ``napari.yaml``, too.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path

from natsort import natsorted

from rleseg_core.data.arrays import reading
from rleseg_core.data.formats.arrays import NUMPY
from rleseg_core.data.formats.base import Format, Opened, ReadOptions, Series
from rleseg_core.data.formats.choosing import choose
from rleseg_core.data.formats.folder import Frame, frames_series
from rleseg_core.data.formats.frame_names import check_names
from rleseg_core.data.formats.images import IMAGES
from rleseg_core.data.formats.microscopes import BIOIO, HDF5
from rleseg_core.data.formats.tiff import TIFF, TIFF_KINDS
from rleseg_core.data.formats.video import VIDEO
from rleseg_core.data.formats.zarr import ZARR, ZIPPED_ZARR
from rleseg_core.errors import DataError
from rleseg_core.files import check_regular, kind_of

FORMATS: tuple[Format, ...] = (
    *(TIFF, IMAGES, VIDEO, NUMPY, ZARR),
    *(TIFF_KINDS, ZIPPED_ZARR, BIOIO, HDF5),
)
"""Every format, in the order in which dialogs and messages name them."""


def open_source(
    path: str | Path, options: ReadOptions = ReadOptions(), *, masks: bool = False
) -> Opened:
    """Lazy frames of a file or folder.

    Parameters
    ----------
    path : str or Path
        A file or folder of one of `FORMATS`, or a folder of single images.
    options : ReadOptions
        Which part of it, and how.
    masks : bool
        Whether ids are wanted: palettes are read by index, never by colour.

    Raises
    ------
    DataError
        If it is missing, damaged or of no known format, or holds a choice that was not made.
    """
    path = Path(path)
    with _opening(path):
        series = series_of(path, options, masks=masks)
        return _chosen(series, path, options, masks)


def open_frames(
    folder: Path, options: ReadOptions, frames: Sequence[Path], *, masks: bool = False
) -> Opened:
    """Some files of a folder, in this order, as frames of one stack."""
    contents = folder_contents(folder, options)
    with _opening(folder):
        # their names were matched with others: what numbers tell of order does not matter
        chosen = replace(contents, files=tuple(frames), notes=())
        series = [_frames(chosen, options, masks)]
        return _chosen(series, folder, options, masks)


def series_of(
    path: str | Path, options: ReadOptions = ReadOptions(), *, masks: bool = False
) -> Sequence[Series]:
    """The images of a file or folder, from which `open_source` chooses; the same arguments."""
    path = Path(path)
    check_regular(path)
    found = format_of(path)
    if options.pattern is not None and (found is not None or not path.is_dir()):
        raise DataError(f"--pattern chooses files of a folder of images, and {path} is none")
    with _opening(path):
        if found is not None:
            return found.series(path, options, masks)
        if path.is_dir():
            return [_frames(folder_contents(path, options), options, masks)]
    raise DataError(
        f"cannot read {path}: {path.suffix.lower() or 'a file without suffix'} is none of "
        f"{' '.join(file_suffixes())}; expected one of: {input_kinds()}"
    )


@contextmanager
def _opening(path: Path) -> Iterator[None]:
    """Turn what a decoder raises on a damaged file into a sentence, want of memory included."""
    try:
        with reading(path):
            yield
    except MemoryError:
        raise DataError(f"{path} announces more than fits into memory; it may be damaged") from None


def _chosen(series: Sequence[Series], path: Path, options: ReadOptions, masks: bool) -> Opened:
    """What was chosen; in a folder of frames it was chosen in each file already."""
    if not is_frame_folder(path):
        return choose(series, path, options, masks)
    opened = choose(series, path, ReadOptions(allow_missing=options.allow_missing), masks)
    return replace(opened, options=options)


def _frames(contents: "FolderContents", options: ReadOptions, masks: bool) -> Series:
    series = frames_series(as_frames(contents.files), options, masks, missing=contents.missing)
    return replace(series, notes=(*contents.notes, *series.notes))


def format_of(path: Path) -> Format | None:
    """The format of an existing file or folder; None for a folder of frames and unknown files."""
    if not path.is_dir():
        found = suffix_format(path.name)
        return found if found is not None and found.is_folder is None else None
    folders = (one for one in FORMATS if one.is_folder is not None and one.is_folder(path))
    return next(folders, None)


def suffix_format(name: str) -> Format | None:
    """The format of files (or folders) whose names end so; of .zarr.zip before .zip."""
    name = name.lower()
    endings = [(suffix, one) for one in FORMATS for suffix in one.suffixes if name.endswith(suffix)]
    return max(endings, key=lambda ending: len(ending[0]))[1] if endings else None


def plain_name(path: Path) -> str:
    """Name of a file or folder without the suffix of its format: a for a.ome.tif."""
    found = suffix_format(path.name)
    suffixes = () if found is None else found.suffixes
    ending = max((s for s in suffixes if path.name.lower().endswith(s)), key=len, default="")
    return path.name[: len(path.name) - len(ending)].removesuffix(".ome") or path.name


def sources_in(path: Path, pattern: str | None = None) -> list[Path]:
    """A file that can be opened, or those of a folder, each by itself, in natural order.

    Raises
    ------
    DataError
        If there are none.
    """
    if not is_frame_folder(path):
        return [path]
    found = [
        one
        for one in path.iterdir()
        if not one.name.startswith(".")
        and suffix_format(one.name) is not None
        and (pattern is None or fnmatchcase(one.name, pattern))
    ]
    if not found:
        chosen = "" if pattern is None else f" whose names match {pattern!r}"
        raise DataError(f"there are no images{chosen} in {path}")
    return natsorted(found, key=lambda one: one.name)


@dataclass(frozen=True, kw_only=True)
class FolderContents:
    """The images of a folder in order, and sentences on what is odd or missing."""

    files: tuple[Path, ...]
    notes: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()


def folder_contents(folder: Path, options: ReadOptions = ReadOptions()) -> FolderContents:
    """Images of a folder, in natural order: image_2 before image_10; hidden files are left out.

    Raises
    ------
    DataError
        If there are none, two are the same frame, or masks stand beside images.
    """
    suffixes = _suffixes(one for one in FORMATS if one.is_frame)
    entries = natsorted(
        (
            path
            for path in folder.iterdir()
            if not path.name.startswith(".")
            and (options.pattern is None or fnmatchcase(path.name, options.pattern))
        ),
        key=lambda path: path.name,
    )
    named = [path for path in entries if path.name.lower().endswith(suffixes)]
    files = [path for path in named if path.is_file()]
    missing = [f"{path} is no image: {kind_of(path)}" for path in named if not path.is_file()]
    if not files:
        chosen = "" if options.pattern is None else f" whose names match {options.pattern!r}"
        raise DataError(
            "; ".join(missing) or f"there are no images ({' '.join(suffixes)}){chosen} in {folder}"
        )
    notes = check_names(folder, named, join_gaps=options.join_gaps)
    others = [
        path.name
        for path in entries
        if path not in named and path.is_file() and suffix_format(path.name) is not None
    ]
    if others:
        notes.append(f"{folder} also holds {_some(others)}, which cannot be a frame")
    return FolderContents(files=tuple(files), notes=tuple(notes), missing=tuple(missing))


def frames_in(folder: Path, options: ReadOptions = ReadOptions()) -> list[Path]:
    """The images of `folder_contents`."""
    return list(folder_contents(folder, options).files)


def as_frames(paths: Iterable[Path]) -> list[Frame]:
    """Files that `frames_in` found, each with how it is read."""
    formats = [(path, suffix_format(path.name)) for path in paths]
    return [Frame(path, one.series) for path, one in formats if one is not None and one.is_frame]


def is_frame_folder(path: Path) -> bool:
    """Whether a path is a folder of frames, rather than a folder of a format such as zarr."""
    return path.is_dir() and format_of(path) is None


def file_suffixes() -> tuple[str, ...]:
    """Suffixes of all files that can be opened, lower case."""
    return _suffixes(one for one in FORMATS if one.is_folder is None)


def output_formats() -> tuple[Format, ...]:
    """Formats in which label stacks can be written."""
    return tuple(one for one in FORMATS if one.write is not None)


def input_kinds() -> str:
    """What can be opened, for help texts and messages."""
    return f"{', '.join(one.label for one in FORMATS)}, or a folder of images"


def output_suffixes() -> str:
    """Suffixes of what can be written, for help texts and messages."""
    *others, last = _suffixes(output_formats())
    return f"{', '.join(others)} or {last}" if others else last


def dialog_filter() -> str:
    """Filter of a Qt dialog that opens files: all images, each format, any file."""
    files = [one for one in FORMATS if one.is_folder is None]
    rows = [("All images", file_suffixes())]
    rows += [(one.label[0].upper() + one.label[1:], one.suffixes) for one in files]
    filters = [
        f"{name} ({' '.join('*' + suffix for suffix in suffixes)})" for name, suffixes in rows
    ]
    return ";;".join([*filters, "All files (*)"])


def _suffixes(formats: Iterable[Format]) -> tuple[str, ...]:
    return tuple(suffix for one in formats for suffix in one.suffixes)


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
