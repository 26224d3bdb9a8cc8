"""Zarr: arrays and OME-Zarr images, and stacks written one chunk per frame."""

from pathlib import Path
from typing import TYPE_CHECKING

from rleseg_core.data.formats.base import Format, ReadOptions, Series
from rleseg_core.data.formats.ngff import ngff_metadata
from rleseg_core.data.formats.zarr_writing import is_our_zarr, write_zarr
from rleseg_core.errors import DataError

if TYPE_CHECKING:
    import zarr

_MARKERS = ("zarr.json", ".zarray", ".zgroup")


def zarr_series(path: Path, _options: ReadOptions, _masks: bool) -> list[Series]:
    """A zarr array, or an OME-Zarr image at its finest level.

    Raises
    ------
    DataError
        If it is a group of several arrays.
    """
    import zarr

    node = zarr.open(path, mode="r")
    if isinstance(node, zarr.Group):
        array, named = _finest_level(node, path)
    else:
        array, named = node, _axis_names(node)
    return [
        Series(
            shape=array.shape,
            dtype=array.dtype,
            axes=named,
            read=lambda: array,
            metadata=ngff_metadata(dict(node.attrs)),
        )
    ]


def is_zarr(folder: Path) -> bool:
    """Whether a folder is a zarr array or group."""
    return any((folder / name).is_file() for name in _MARKERS)


def _finest_level(group: "zarr.Group", path: Path) -> tuple["zarr.Array", str | None]:
    """First array of an OME-Zarr image and its axes, or the only array of a group."""
    attributes = dict(group.attrs)
    ome = attributes.get("ome", attributes)
    scales = ome.get("multiscales") if isinstance(ome, dict) else None
    if scales:
        level = group[scales[0]["datasets"][0]["path"]]
        axes = scales[0].get("axes", "TCZYX")
        names = [axis["name"] if isinstance(axis, dict) else axis for axis in axes]
        return level, "".join(str(name)[0] for name in names)
    arrays = [array for _, array in group.arrays()]
    if len(arrays) != 1:
        raise DataError(
            f"{path} is a zarr group of {len(arrays)} arrays and no OME-Zarr image; open one of "
            "its arrays"
        )
    return arrays[0], _axis_names(arrays[0])


def _axis_names(array: "zarr.Array") -> str | None:
    """Letters of the axes, where the array names all of them."""
    names = getattr(array.metadata, "dimension_names", None)
    names = names or array.attrs.get("_ARRAY_DIMENSIONS")
    if not names or any(not name for name in names):
        return None
    letters = "".join(str(name)[0].upper() for name in names)
    return letters if set(letters) <= set("TZCYXS") and {"Y", "X"} <= set(letters) else None


ZARR = Format(
    label="zarr",
    suffixes=(".zarr",),
    series=zarr_series,
    is_folder=is_zarr,
    write=write_zarr,
    is_ours=is_our_zarr,
)
