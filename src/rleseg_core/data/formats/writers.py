"""Label stacks on disk, in any format of the registry that can be written."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from rleseg_core.data.formats.base import Format
from rleseg_core.data.formats.registry import output_formats, output_suffixes, suffix_format
from rleseg_core.errors import DataError
from rleseg_core.files import whole_file


def check_output(path: str | Path) -> Path:
    """The path, if `write_labels` can write to it.

    Raises
    ------
    DataError
        If no format of that suffix can be written, or a folder stands where a file is to be, or the
        reverse.
    """
    path = Path(path)
    is_folder = _output_format(path).is_folder is not None
    if path.exists() and path.is_dir() != is_folder:
        kind = "folder" if path.is_dir() else "file"
        raise DataError(f"cannot write labels to {path}: there is a {kind} of that name")
    return path


def write_labels(
    path: str | Path,
    labels: np.ndarray,
    class_names: Sequence[str] = (),
    provenance: Mapping[str, object] | None = None,
) -> Path:
    """Write a label stack whole, or leave the older file.

    Parameters
    ----------
    path : str or Path
        Its suffix decides on the format: ``.tif`` has one page per frame, ``.zarr`` one chunk.
    labels : (T, Y, X) integer
        Class or instance ids, a numpy or zarr array.
    class_names : sequence of str
        Names of the class ids from 1 on.
    provenance : mapping, optional
        What made the labels (model, version, date, …); plain values for JSON, kept in the file.

    Returns
    -------
    Path
        Where it was written.

    Raises
    ------
    DataError
        If no format of that suffix can be written.
    """
    target = check_output(path)
    write = _output_format(target).write
    assert write is not None
    with whole_file(target) as temporary:
        write(temporary, labels, {"class_names": list(class_names), **(provenance or {})})
    return target


def recorded_class_names(path: str | Path) -> tuple[str, ...]:
    """Names of the classes that `write_labels` noted in a file; none where there is no note."""
    path = Path(path)
    found = suffix_format(path.suffix)
    if found is None or found.read_record is None:
        return ()
    try:
        names = found.read_record(path).get("class_names", ())
        return tuple(str(name) for name in names)  # type: ignore[attr-defined]
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return ()  # somebody else's file; the reader says what is wrong with it


def _output_format(path: Path) -> Format:
    found = suffix_format(path.suffix)
    if found not in output_formats():
        raise DataError(f"cannot write labels to {path}: the name must end in {output_suffixes()}")
    assert found is not None
    return found
