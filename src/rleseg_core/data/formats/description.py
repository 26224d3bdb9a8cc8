"""What a file or folder holds, in plain values: for people, forms and JSON."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rleseg_core.data.axes import ALIASES, guess_axes
from rleseg_core.data.formats.base import ReadOptions, Series
from rleseg_core.data.formats.choosing import channel_names
from rleseg_core.data.formats.registry import format_of, series_of
from rleseg_core.data.metadata import StackMetadata
from rleseg_core.errors import DataError


@dataclass(frozen=True, kw_only=True)
class ImageDescription:
    """One image of a file, before anything is chosen.

    Parameters
    ----------
    name : str
        Its name in the file; empty if it has none.
    axes : str
        A letter for each axis of the array; empty if they are not named and cannot be guessed.
    shape : tuple of int
        Length of each axis.
    dtype : str
        Name of the numpy type of its values.
    n_frames, n_planes, n_channels : int
        Lengths along time, depth and channels (or colours); 1 where there is no such axis.
    is_colour : bool
        Whether the channels are those of a colour picture.
    channels : tuple of str
        Names of the channels or colours; empty if there are none.
    metadata : StackMetadata
        Sizes, times and names.
    notes, missing : tuple of str
        What is said when it is opened, and what is refused without `allow_missing`.
    """

    name: str
    axes: str
    shape: tuple[int, ...]
    dtype: str
    n_frames: int
    n_planes: int
    n_channels: int
    is_colour: bool
    channels: tuple[str, ...]
    metadata: StackMetadata
    notes: tuple[str, ...]
    missing: tuple[str, ...]

    @property
    def is_a_choice(self) -> bool:
        """Whether axes, a channel or a plane can be chosen in it."""
        several_channels = self.n_channels > 1 and not self.is_colour
        return not self.axes or several_channels or self.n_planes > 1

    def to_json(self) -> dict[str, object]:
        """Plain values."""
        return {
            "name": self.name,
            "axes": self.axes,
            "shape": list(self.shape),
            "dtype": self.dtype,
            "frames": self.n_frames,
            "planes": self.n_planes,
            "channels": self.n_channels,
            "is_colour": self.is_colour,
            "channel_names": list(self.channels),
            "metadata": self.metadata.to_json(),
            "notes": list(self.notes),
            "missing": list(self.missing),
        }


@dataclass(frozen=True, kw_only=True)
class FileDescription:
    """What a file or folder holds.

    Parameters
    ----------
    path : Path
        The file or folder.
    format : str
        Name of its format.
    images : tuple of ImageDescription
        Its images, numbered from 0 as `ReadOptions.series` counts them.
    """

    path: Path
    format: str
    images: tuple[ImageDescription, ...]

    @property
    def is_a_choice(self) -> bool:
        """Whether there is something to choose: of several images, or within one."""
        return len(self.images) > 1 or any(image.is_a_choice for image in self.images)

    def to_json(self) -> dict[str, object]:
        """Plain values."""
        images = [{"series": number, **image.to_json()} for number, image in enumerate(self.images)]
        return {"path": str(self.path), "format": self.format, "images": images}


def describe(
    path: str | Path, options: ReadOptions = ReadOptions(), *, masks: bool = False
) -> FileDescription:
    """What is in a file or folder; no pixel is decoded where the format allows it.

    Parameters
    ----------
    path : str or Path
        A file or folder that can be opened.
    options : ReadOptions
        How it is read; no choice needs to be made.
    masks : bool
        Whether it is described as masks: of an OME-Zarr image, its labels.

    Raises
    ------
    DataError
        If it is missing, damaged or of no known format.
    """
    path = Path(path)
    found = None if not path.exists() else format_of(path)
    series = series_of(path, options, masks=masks)
    return FileDescription(
        path=path,
        format="folder of images" if found is None else found.label,
        images=_images(series, options),
    )


def _images(series: Sequence[Series], options: ReadOptions) -> tuple[ImageDescription, ...]:
    return tuple(_image(one, options.axes) for one in series)


def _image(one: Series, given: str | None) -> ImageDescription:
    axes = (given or one.axes or "").upper()
    axes = "".join(ALIASES.get(name, name) for name in axes)
    if len(axes) != len(one.shape) or len(set(axes)) < len(axes):
        try:
            axes = guess_axes(one.shape, str(one.dtype))
        except DataError:
            axes = ""
    sizes = dict(zip(axes, one.shape, strict=True)) if axes else {}
    return ImageDescription(
        name=one.name,
        axes=axes,
        shape=tuple(int(length) for length in one.shape),
        dtype=str(np.dtype(one.dtype)),
        n_frames=int(sizes.get("T", 1)),
        n_planes=int(sizes.get("Z", 1)),
        n_channels=int(sizes.get("C", 1)) * int(sizes.get("S", 1)),
        is_colour="S" in axes and "C" not in axes,
        channels=tuple(channel_names(one, axes)[: int(sizes.get("C", sizes.get("S", 1)))]),
        metadata=one.metadata,
        notes=one.notes,
        missing=one.missing,
    )
