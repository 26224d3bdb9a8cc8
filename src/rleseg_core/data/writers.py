"""Label stacks on disk, in any format of the registry that can be written."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from rleseg_core.data.arrays import ArrayLike, frame_of
from rleseg_core.data.formats.base import Format
from rleseg_core.data.formats.registry import output_suffixes, series_of, suffix_format
from rleseg_core.data.formats.zarr_writing import image_of, is_our_zarr, list_label, write_zarr
from rleseg_core.data.metadata import UNKNOWN, StackMetadata
from rleseg_core.errors import DataError
from rleseg_core.outputs import Output, new_output


def label_output(path: str | Path) -> Output:
    """A label stack as an output, which `check_outputs` compares with the inputs of a call.

    Raises
    ------
    DataError
        If no format of that suffix can be written.
    """
    path = Path(path)
    image = image_of(path)
    if image is not None:
        return Output(path, "a group of labels", is_our_zarr, is_folder=True, within=image)
    found = _output_format(path)
    return Output(
        path,
        f"a label stack ({found.label})",
        found.is_ours or _never,
        is_folder=found.is_folder is not None,
    )


def _never(_: Path) -> bool:
    return False


def write_labels(
    path: str | Path,
    labels: ArrayLike,
    class_names: Sequence[str] = (),
    provenance: Mapping[str, object] | None = None,
    *,
    metadata: StackMetadata = UNKNOWN,
    overwrite: bool = False,
) -> Path:
    """Write a label stack whole, or not at all.

    Parameters
    ----------
    path : str or Path
        Its suffix decides on the format: ``.tif`` and ``.ome.tif`` have one page per frame,
        ``.zarr`` one chunk. A path such as ``movie.zarr/labels/cells`` adds the labels to an
        OME-Zarr image.
    labels : (T, Y, X) integer
        Class or instance ids, a numpy, dask or zarr array. Signed ids are written as the smallest
        unsigned type that holds them, if none is negative.
    class_names : sequence of str
        Names of the class ids from 1 on; those of `metadata` by default.
    provenance : mapping, optional
        What made the labels (model, version, date, …); plain values for JSON, kept in the file.
    metadata : StackMetadata
        What belongs to the labels besides, such as their scale: `stack.metadata.for_masks()` of
        their images.
    overwrite : bool
        Whether it may replace an older label stack, which stays until the new one is whole.

    Returns
    -------
    Path
        Where it was written.

    Raises
    ------
    DataError
        If no format of that suffix can be written, or it cannot hold the ids.
    OutputError
        If there is something of that name, and `overwrite` is not set or it is no label stack.
    """
    target = label_output(path)
    known = dict(metadata.provenance) | dict(provenance or {})
    metadata = replace(
        metadata, class_names=tuple(class_names) or metadata.class_names, provenance=known
    )
    labels = fitting_ids(labels)
    with new_output(target, overwrite=overwrite) as temporary:
        if target.within is not None:
            write_zarr(temporary, labels, metadata, image=target.within)
        else:
            write = _output_format(target.path).write
            assert write is not None
            write(temporary, labels, metadata)
    list_label(target.path)
    return target.path


def fitting_ids(labels: ArrayLike) -> ArrayLike:
    """Ids in the smallest unsigned type that holds them, where they are signed or of 64 bits.

    Parameters
    ----------
    labels : (T, Y, X)
        Any array; frames are read one by one.

    Returns
    -------
    (T, Y, X)
        The array itself, where its type is fitting; else frames are converted when they are read.
        Negative ids stay as they are.
    """
    dtype = np.dtype(labels.dtype)
    if dtype.kind not in "iub" or (dtype.kind == "u" and dtype.itemsize < 8):
        return labels
    low = high = 0
    for frame in range(labels.shape[0] if dtype.kind != "b" else 0):
        ids = frame_of(labels, frame)
        low, high = min(low, int(ids.min(initial=0))), max(high, int(ids.max(initial=0)))
    smallest = np.dtype(np.min_scalar_type(high).name)  # zarr knows one uint64 of two
    return labels if low < 0 or smallest == dtype else _Converted(labels, smallest)


class _Converted:
    """An array whose frames are converted to another type when they are read."""

    def __init__(self, labels: ArrayLike, dtype: np.dtype) -> None:
        self._labels, self.shape, self.dtype = labels, tuple(labels.shape), dtype

    def __getitem__(self, frame: int, /) -> np.ndarray:
        return np.asarray(self._labels[frame]).astype(self.dtype)


def recorded_class_names(path: str | Path) -> tuple[str, ...]:
    """Names of the classes that `write_labels` noted in a file; none where there is no note."""
    return metadata_of(path).class_names


def metadata_of(path: str | Path) -> StackMetadata:
    """What `write_labels` noted in a file besides the labels; nothing of one that is not masks."""
    try:
        return series_of(path, masks=True)[0].metadata
    except (DataError, OSError):
        return UNKNOWN  # the reader says what is wrong with it


def _output_format(path: Path) -> Format:
    found = suffix_format(path.name)
    if found is None or found.write is None:
        raise DataError(f"cannot write labels to {path}: the name must end in {output_suffixes()}")
    return found
