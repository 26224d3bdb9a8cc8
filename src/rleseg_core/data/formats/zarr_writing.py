"""Stacks written to zarr, one chunk per frame: bare arrays, and OME-Zarr groups of labels."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from rleseg_core.data.arrays import ArrayLike
from rleseg_core.data.formats.ngff import LEVEL, RECORD, ngff_attributes, ngff_metadata
from rleseg_core.data.metadata import UNKNOWN, StackMetadata
from rleseg_core.errors import DataError
from rleseg_core.outputs import FILES_OF_DESKTOPS

if TYPE_CHECKING:
    import zarr

_METADATA = {"zarr.json", ".zgroup", ".zarray", ".zattrs", ".zmetadata"}
# a chunk that is not stored was never written, rather than empty
_ALL_CHUNKS: dict[str, bool] = {"write_empty_chunks": True}
LABELS = "labels"  # the group within an OME-Zarr image that holds its labels


def create_stack(
    path: Path,
    shape: tuple[int, ...],
    dtype: np.dtype,
    record: Mapping[str, object] | None = None,
) -> "zarr.Array":
    """Empty stack on disk, to be filled frame by frame.

    Parameters
    ----------
    path : Path
        A new folder, its name ending in ``.zarr``.
    shape : (T, Y, X[, C])
        Shape of the stack; one chunk per frame.
    dtype : numpy dtype
        Type of the labels or images.
    record : mapping, optional
        Kept in the attributes under 'rleseg'.

    Returns
    -------
    zarr.Array
        Zeros.
    """
    import zarr

    return zarr.create_array(
        store=path,
        shape=shape,
        chunks=(1, *shape[1:]),
        dtype=dtype,
        config=_ALL_CHUNKS,
        dimension_names=("t", "y", "x", "c")[: len(shape)],
        attributes={} if record is None else {RECORD: dict(record)},
    )


def create_labels(
    path: Path,
    shape: tuple[int, ...],
    dtype: np.dtype,
    metadata: StackMetadata = UNKNOWN,
    *,
    image: Path | None = None,
) -> "zarr.Array":
    """Empty OME-Zarr group of labels on disk, to be filled frame by frame.

    Parameters
    ----------
    path : Path
        A new folder.
    shape : (T, Y, X)
        Shape of the labels; one chunk per frame.
    dtype : numpy dtype
        Type of the ids.
    metadata : StackMetadata
        Scale, position, names and provenance.
    image : Path, optional
        OME-Zarr image among whose labels the group will lie: it has the image's version of the
        format then, and refers to it. Others are of version 0.5.

    Returns
    -------
    zarr.Array
        Zeros: the only level of the group.
    """
    import zarr

    is_old = image is not None and zarr.open_group(image, mode="r").metadata.zarr_format == 2
    group = zarr.create_group(
        path,
        zarr_format=2 if is_old else 3,
        attributes=ngff_attributes(
            metadata,
            path.name.removesuffix(".zarr").removesuffix(".ome"),
            "0.4" if is_old else "0.5",
            source=None if image is None else "../../",
        ),
    )
    return group.create_array(
        LEVEL,
        shape=tuple(shape),
        chunks=(1, *shape[1:]),
        dtype=dtype,
        config=_ALL_CHUNKS,
        **(
            {"chunk_key_encoding": {"name": "v2", "separator": "/"}}
            if is_old
            else {"dimension_names": ("t", "y", "x")}
        ),
    )


def write_zarr(
    path: Path, labels: ArrayLike, metadata: StackMetadata, *, image: Path | None = None
) -> None:
    """Write a label stack (T, Y, X) as `create_labels` makes it, one chunk per frame."""
    array = create_labels(path, labels.shape, labels.dtype, metadata, image=image)
    for frame in range(labels.shape[0]):
        array[frame] = np.asarray(labels[frame])


def open_written(path: Path, mode: Literal["r", "r+"] = "r") -> "tuple[zarr.Array, StackMetadata]":
    """Labels of ours on disk and their metadata; also those of version 0.1, a bare array.

    Parameters
    ----------
    path : Path
        What `create_labels` or `create_stack` made.
    mode : {"r", "r+"}
        With "r+" what is assigned to the array reaches the disk.
    """
    import zarr

    node = zarr.open(path, mode=mode)
    array = node if isinstance(node, zarr.Array) else node[LEVEL]
    if not isinstance(array, zarr.Array):
        raise DataError(f"{path} is no label stack that this program wrote")
    return array, ngff_metadata(dict(node.attrs))


def is_our_zarr(folder: Path) -> bool:
    """Whether a folder is a zarr with our record that holds nothing but its arrays."""
    import zarr

    return RECORD in zarr.open(folder, mode="r").attrs and _holds_arrays_only(folder)


def _holds_arrays_only(folder: Path) -> bool:
    """Whether all in a zarr is its metadata, arrays and groups in it, and their chunks."""
    for entry in os.scandir(folder):
        if not entry.is_dir(follow_symlinks=False):
            if entry.name not in _METADATA and entry.name not in FILES_OF_DESKTOPS:
                return False
        elif not (_holds_arrays_only if _is_node(Path(entry.path)) else _holds_chunks)(
            Path(entry.path)
        ):
            return False
    return True


def _holds_chunks(folder: Path) -> bool:
    """Whether a folder holds chunks, which have numbers for names, and nothing else."""
    names = {name for _, folders, files in os.walk(folder) for name in (*folders, *files)}
    is_numbered = folder.name == "c" or folder.name.isdecimal()
    return is_numbered and all(name.isdecimal() for name in names - FILES_OF_DESKTOPS)


def image_of(path: Path) -> Path | None:
    """The OME-Zarr image among whose labels a path lies; None if it lies elsewhere.

    Raises
    ------
    DataError
        If it lies in a group of labels, but of no OME-Zarr image.
    """
    image = path.absolute().parent.parent
    if path.absolute().parent.name != LABELS or not _is_node(image):
        return None
    import zarr

    node = zarr.open(image, mode="r")
    attributes = dict(node.attrs)
    ome = attributes.get("ome", attributes)
    if not isinstance(node, zarr.Group) or not isinstance(ome, Mapping) or "multiscales" not in ome:
        raise DataError(f"{image} is no OME-Zarr image, so that it cannot hold labels")
    return image


def holds_labels(folder: Path) -> bool:
    """Whether a zarr holds labels: it says so, or this program wrote it."""
    import zarr

    attributes = dict(zarr.open(folder, mode="r").attrs)
    ome = attributes.get("ome", attributes)
    return RECORD in attributes or (isinstance(ome, Mapping) and "image-label" in ome)


def labels_in(image: Path) -> list[Path]:
    """The groups of labels that an OME-Zarr image lists, those that are there."""
    import zarr

    folder = image / LABELS
    if not _is_node(folder):
        return []
    attributes = dict(zarr.open(folder, mode="r").attrs)
    ome = attributes.get("ome", attributes)
    names = ome.get(LABELS, []) if isinstance(ome, Mapping) else []
    return [folder / str(name) for name in names if _is_node(folder / str(name))]


def list_label(path: Path) -> None:
    """Name a new group of labels in the list that its OME-Zarr image keeps of them."""
    import zarr

    image = image_of(path)
    if image is None:
        return
    group = zarr.open_group(image, mode="r+").require_group(LABELS)
    is_old = group.metadata.zarr_format == 2
    ome = {} if is_old else dict(group.attrs.get("ome", {"version": "0.5"}))
    names = group.attrs.get(LABELS, []) if is_old else ome.get(LABELS, [])
    if path.name in names:
        return
    names = [*names, path.name]
    group.attrs.update({LABELS: names} if is_old else {"ome": {**ome, LABELS: names}})


def _is_node(folder: Path) -> bool:
    return any((folder / name).is_file() for name in ("zarr.json", ".zattrs", ".zgroup"))
