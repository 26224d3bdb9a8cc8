"""Files of microscope makers through plug-ins of BioIO, and HDF5: what the extra ``bioio`` reads.

BioIO's plug-ins have licences of their own (that of CZI is under the GPL), so which of them is
installed is the user's choice.
"""

from datetime import timedelta
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from rleseg_core.data.arrays import ArrayLike
from rleseg_core.data.formats.base import Format, FormatNotes, ReadOptions, Series
from rleseg_core.data.metadata import StackMetadata, lengths
from rleseg_core.errors import DataError

if TYPE_CHECKING:
    import h5py

EXTRA = "napari-rleseg[bioio]"
_PLUGINS = {
    ".nd2": ("bioio-nd2", f"pip install '{EXTRA}'"),
    ".lif": ("bioio-lif", f"pip install '{EXTRA}'"),
    ".czi": ("bioio-czi", f"pip install '{EXTRA}' bioio-czi (licence: GPL 3)"),
}


def bioio_series(path: Path, _options: ReadOptions, _masks: bool) -> list[Series]:
    """The scenes of a file that a plug-in of BioIO reads.

    Raises
    ------
    DataError
        If BioIO or the plug-in is not installed; it names them.
    """
    plugin, command = _PLUGINS[path.suffix.lower()]
    if find_spec("bioio") is None or find_spec(plugin.replace("-", "_")) is None:
        raise DataError(f"reading {path} needs BioIO and its plug-in {plugin}: {command}")
    from bioio import BioImage

    image = BioImage(path)
    series = []
    for scene in image.scenes:
        image.set_scene(scene)
        data = image.dask_data
        series.append(
            Series(
                name=str(scene),
                shape=tuple(int(length) for length in data.shape),
                dtype=np.dtype(data.dtype),
                axes=str(image.dims.order),
                read=lambda data=data: data,  # type: ignore[misc]
                metadata=_metadata(image),
            )
        )
    return series


def _metadata(image: Any) -> StackMetadata:
    """What BioIO tells of the current scene; lengths are in micrometres."""
    sizes, names = image.physical_pixel_sizes, image.channel_names
    interval = getattr(image, "time_interval", None)
    seconds = interval.total_seconds() if isinstance(interval, timedelta) else interval
    return StackMetadata.of(
        {
            **lengths([sizes.Y, sizes.X], "µm", z_spacing=sizes.Z),
            "frame_interval": seconds or None,
            "channel_names": tuple(names or ()),
        }
    )


def hdf5_series(path: Path, _options: ReadOptions, _masks: bool) -> list[Series]:
    """The arrays of an HDF5 file that can be images.

    Raises
    ------
    DataError
        If h5py is not installed, or there is no array of two axes or more.
    """
    if find_spec("h5py") is None:
        raise DataError(f"reading {path} needs h5py: pip install '{EXTRA}'")
    import h5py

    found: list[str] = []

    def note(name: str, node: object) -> None:
        if isinstance(node, h5py.Dataset) and node.ndim > 1 and node.dtype.kind in "buif":
            found.append(name)

    file = h5py.File(path, "r")
    file.visititems(note)
    if not found:
        file.close()
        raise DataError(f"{path} holds no array of two axes or more")
    return [_dataset(file[name], name) for name in found]


def _dataset(dataset: "h5py.Dataset", name: str) -> Series:
    def read() -> ArrayLike:
        return dataset

    names = [str(dimension.label)[:1].upper() for dimension in dataset.dims]
    axes = "".join(names) if all(names) and {"Y", "X"} <= set(names) else None
    metadata = StackMetadata.of(_element_size(dataset.attrs.get("element_size_um")))
    return Series(
        name=name,
        shape=tuple(dataset.shape),
        dtype=dataset.dtype,
        axes=axes,
        read=read,
        metadata=metadata,
    )


def _element_size(sizes: Any) -> dict[str, object]:
    """Lengths (Z, Y, X) that ilastik and ImageJ's HDF5 plug-in note in micrometres."""
    values = [] if sizes is None else [float(size) for size in np.ravel(sizes)]
    return lengths(values[-2:], "µm", z_spacing=values[0]) if len(values) == 3 else {}


BIOIO = Format(
    label="CZI, ND2 or LIF",
    suffixes=tuple(_PLUGINS),
    series=bioio_series,
    notes=FormatNotes(metadata="pixel size, spacing, frame interval and channel names, by BioIO"),
)
HDF5 = Format(
    label="HDF5",
    suffixes=(".h5", ".hdf5"),
    series=hdf5_series,
    notes=FormatNotes(metadata="`element_size_um`, as ilastik and ImageJ write it"),
)
