"""The file formats there are, and which of them opens a path.

Dialogs, help texts and messages are made from `FORMATS`: a new format is a module of its own and
one entry here. A format that can be written has a line in ``napari.yaml``, too.
"""

from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase
from pathlib import Path

from natsort import natsorted

from rleseg_core.data.arrays import reading
from rleseg_core.data.formats.arrays import NUMPY
from rleseg_core.data.formats.base import Format, Opened, ReadOptions, Series
from rleseg_core.data.formats.choosing import choose
from rleseg_core.data.formats.folder import Frame, frames_series
from rleseg_core.data.formats.images import IMAGES
from rleseg_core.data.formats.tiff import TIFF
from rleseg_core.data.formats.video import VIDEO
from rleseg_core.data.formats.zarr import ZARR
from rleseg_core.errors import DataError

FORMATS: tuple[Format, ...] = (TIFF, IMAGES, VIDEO, NUMPY, ZARR)
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
    with reading(path):
        return choose(series_of(path, options, masks=masks), path, options, masks)


def open_frames(
    folder: Path, options: ReadOptions, frames: Sequence[Path], *, masks: bool = False
) -> Opened:
    """Some files of a folder, in this order, as frames of one stack."""
    with reading(folder):
        series = [frames_series(as_frames(frames), options, masks)]
        return choose(series, folder, options, masks)


def series_of(
    path: str | Path, options: ReadOptions = ReadOptions(), *, masks: bool = False
) -> Sequence[Series]:
    """The images of a file or folder, from which `open_source` chooses; the same arguments."""
    path = Path(path)
    if not path.exists():
        raise DataError(f"there is no file or folder {path}")
    found = format_of(path)
    with reading(path):
        if found is not None:
            return found.series(path, options, masks)
        if path.is_dir():
            return [frames_series(as_frames(frames_in(path, options)), options, masks)]
    raise DataError(
        f"cannot read {path}: {path.suffix.lower() or 'a file without suffix'} is none of "
        f"{' '.join(file_suffixes())}; expected one of: {input_kinds()}"
    )


def format_of(path: Path) -> Format | None:
    """The format of an existing file or folder; None for a folder of frames and unknown files."""
    if not path.is_dir():
        found = suffix_format(path.suffix)
        return found if found is not None and found.is_folder is None else None
    folders = (one for one in FORMATS if one.is_folder is not None and one.is_folder(path))
    return next(folders, None)


def suffix_format(suffix: str) -> Format | None:
    """The format of files (or folders) whose names end so."""
    return next((one for one in FORMATS if suffix.lower() in one.suffixes), None)


def frames_in(folder: Path, options: ReadOptions = ReadOptions()) -> list[Path]:
    """Images of a folder, in natural order: image_2 before image_10; hidden files are left out.

    Raises
    ------
    DataError
        If there are none.
    """
    suffixes = _suffixes(one for one in FORMATS if one.frames is not None)
    found = [
        path
        for path in folder.iterdir()
        if path.suffix.lower() in suffixes and not path.name.startswith(".") and path.is_file()
    ]
    if options.pattern is not None:
        found = [path for path in found if fnmatchcase(path.name, options.pattern)]
    if not found:
        raise DataError(f"there are no images ({' '.join(suffixes)}) in {folder}")
    return natsorted(found, key=lambda path: path.name)


def as_frames(paths: Iterable[Path]) -> list[Frame]:
    """Files that `frames_in` found, each with how it is read."""
    formats = [(path, suffix_format(path.suffix)) for path in paths]
    return [(path, one.frames) for path, one in formats if one is not None and one.frames]


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
