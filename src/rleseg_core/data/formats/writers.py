"""Label stacks on disk, as TIFF or zarr."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import tifffile
import zarr

from rleseg_core.errors import DataError
from rleseg_core.files import whole_file

SUFFIXES = (".tif", ".tiff", ".zarr")


def check_output(path: str | Path) -> Path:
    """The path, if `write_labels` can write to it.

    Raises
    ------
    DataError
        If the suffix is not one of ours, or there is a folder where a file is to be or the reverse.
    """
    path = Path(path)
    if path.suffix.lower() not in SUFFIXES:
        raise DataError(f"cannot write labels to {path}: the name must end in .tif, .tiff or .zarr")
    if path.exists() and path.is_dir() != (path.suffix.lower() == ".zarr"):
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
        ``.tif``: one page a frame, zlib. ``.zarr``: one chunk a frame.
    labels : (T, Y, X) integer
        Class or instance ids, a numpy or zarr array.
    class_names : sequence of str
        Names of the class ids from 1 on.
    provenance : mapping, optional
        What made the labels (model, version, date, …), kept in the TIFF description (JSON) or in
        the zarr attributes, under 'rleseg'.

    Returns
    -------
    Path
        Where it was written.

    Raises
    ------
    DataError
        If the suffix is not one of ours.
    """
    target = check_output(path)
    record = {"class_names": list(class_names), **(provenance or {})}
    with whole_file(target) as temporary:
        if target.suffix.lower() == ".zarr":
            _write_zarr(temporary, labels, record)
        else:
            _write_tiff(temporary, labels, record)
    return target


def recorded_class_names(path: str | Path) -> tuple[str, ...]:
    """Names of the classes that `write_labels` noted in a file; none where there is no note."""
    path = Path(path)
    try:
        if path.suffix.lower() == ".zarr":
            record = zarr.open_array(path, mode="r").attrs.get("rleseg", {})
        elif path.suffix.lower() in SUFFIXES:
            with tifffile.TiffFile(path) as tiff:
                record = json.loads((tiff.shaped_metadata or [{}])[0].get("rleseg", "{}"))
        else:
            return ()
        return tuple(str(name) for name in record.get("class_names", ()))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return ()  # a file of somebody else; what is wrong with it is told where it is read


def create_stack(
    path: Path,
    shape: tuple[int, ...],
    dtype: np.dtype,
    record: Mapping[str, object] | None = None,
) -> zarr.Array:
    """Empty stack on disk, to be filled frame by frame.

    Parameters
    ----------
    path : Path
        A new folder, its name ending in ``.zarr``.
    shape : (T, Y, X[, C])
        Of the stack; one chunk a frame.
    dtype : numpy dtype
        Of labels or images.
    record : mapping, optional
        Kept in the attributes under 'rleseg'.

    Returns
    -------
    zarr.Array
        Zeros.
    """
    return zarr.create_array(
        store=path,
        shape=shape,
        chunks=(1, *shape[1:]),
        dtype=dtype,
        dimension_names=("t", "y", "x", "c")[: len(shape)],
        attributes={} if record is None else {"rleseg": dict(record)},
    )


def _write_tiff(path: Path, labels: np.ndarray, record: Mapping[str, object]) -> None:
    with tifffile.TiffWriter(path, bigtiff=labels.size * labels.dtype.itemsize > 1 << 31) as tiff:
        tiff.write(
            (labels[frame] for frame in range(labels.shape[0])),
            shape=labels.shape,
            dtype=labels.dtype,
            compression="zlib",
            photometric="minisblack",
            metadata={"axes": "TYX", "rleseg": json.dumps(record)},
        )


def _write_zarr(path: Path, labels: np.ndarray, record: Mapping[str, object]) -> None:
    array = create_stack(path, labels.shape, labels.dtype, record)
    for frame in range(labels.shape[0]):
        array[frame] = labels[frame]
