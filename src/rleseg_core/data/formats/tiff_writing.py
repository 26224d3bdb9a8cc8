"""Label stacks as TIFF: for ImageJ where its types can hold them, else with OME-XML."""

from pathlib import Path

import numpy as np

from rleseg_core.data.arrays import ArrayLike
from rleseg_core.data.formats import imagej
from rleseg_core.data.formats.ome import ome_options
from rleseg_core.data.metadata import MICROMETER, StackMetadata
from rleseg_core.errors import DataError

_OME_SUFFIXES = (".ome.tif", ".ome.tiff")
_OME_DTYPES = (*imagej.DTYPES, "int8", "int16", "int32", "uint32", "float64")
_CLASSIC_BYTES = 1 << 31  # more are written as BigTIFF, which ImageJ's own reader does not know
_MICROMETERS_PER_CENTIMETER = 1e4


def write_tiff(path: Path, labels: ArrayLike, metadata: StackMetadata) -> None:
    """Write a label stack (T, Y, X), one compressed page per frame.

    Parameters
    ----------
    path : Path
        A new file. ``.ome.tif`` has OME-XML; ``.tif`` has ImageJ's description, if its hyperstacks
        can hold the stack: uint8, uint16 or float32, less than 2 GiB. OME-XML describes all others.
    labels : (T, Y, X)
        Ids of up to 32 bits.
    metadata : StackMetadata
        All of it is kept: what the standard has no place for, in a record of ours.

    Raises
    ------
    DataError
        If TIFF cannot hold the type of the values.
    """
    import tifffile

    dtype = np.dtype(labels.dtype)
    if dtype.name not in _OME_DTYPES:
        raise DataError(
            f"TIFF cannot hold {dtype} values; write a .zarr, or number the objects anew"
        )
    shape = tuple(int(length) for length in labels.shape)
    is_large = int(np.prod(shape)) * dtype.itemsize > _CLASSIC_BYTES
    is_ome = path.name.lower().endswith(_OME_SUFFIXES)
    # of a width of 1 tifffile would make a colour image
    for_imagej = not is_ome and not is_large and dtype.name in imagej.DTYPES and shape[2] > 1
    options = imagej.imagej_options(metadata) if for_imagej else ome_options(metadata, shape[0])
    with tifffile.TiffWriter(path, bigtiff=is_large, imagej=for_imagej, ome=not for_imagej) as tiff:
        tiff.write(
            (np.asarray(labels[frame]) for frame in range(shape[0])),
            shape=shape,
            dtype=dtype,
            compression="zlib",
            photometric="minisblack",
            metadata={"axes": "TYX", **options},
            **_resolution(metadata, for_imagej),
        )


def _resolution(metadata: StackMetadata, for_imagej: bool) -> dict[str, object]:
    """Resolution tags: pixels per unit for ImageJ, else per centimetre."""
    if metadata.pixel_size is None:
        return {}
    height, width = metadata.pixel_size
    if for_imagej:
        return {"resolution": (1 / width, 1 / height)}
    if metadata.unit != MICROMETER:
        return {}
    per_cm = _MICROMETERS_PER_CENTIMETER
    return {"resolution": (per_cm / width, per_cm / height), "resolutionunit": "CENTIMETER"}
