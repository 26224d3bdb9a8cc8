"""Stacks: images and labels over time, read when they are looked at."""

import warnings
from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Self, Unpack

import numpy as np

from rleseg_core.data.arrays import ArrayLike, as_dask, grey_of_colour, image_data, reading
from rleseg_core.data.axes import guess_axes
from rleseg_core.data.channels import telling_channel
from rleseg_core.data.formats.base import Opened, ReadKeywords, ReadOptions
from rleseg_core.data.formats.registry import open_source
from rleseg_core.data.ids.counting import whole_numbers
from rleseg_core.data.ids.mapping import IGNORED_IDS
from rleseg_core.data.ids.rules import IdOptions
from rleseg_core.data.metadata import StackMetadata
from rleseg_core.data.writers import recorded_class_names
from rleseg_core.errors import DataError, DataWarning

if TYPE_CHECKING:
    import dask.array as da

_SAMPLED_FRAMES = 8
_SAMPLED_SIDE = 512


class _Stack:
    """Frames over time, backed by a dask array; see the subclasses."""

    def __init__(
        self,
        data: "da.Array",
        name: str = "",
        path: Path | None = None,
        *,
        opened: Opened | None = None,
    ) -> None:
        self.data = data
        self.name = name
        self.path = path
        self.options = ReadOptions() if opened is None else opened.options
        self.metadata = StackMetadata() if opened is None else opened.metadata
        self.notes = () if opened is None else opened.notes
        self.breaks: tuple[int, ...] = () if opened is None else opened.breaks

    @property
    def shape(self) -> tuple[int, ...]:
        """Length of each axis, frames first."""
        return tuple(int(length) for length in self.data.shape)

    @property
    def dtype(self) -> np.dtype:
        """Type of the elements."""
        return self.data.dtype

    @property
    def n_frames(self) -> int:
        """T, the number of frames."""
        return self.shape[0]

    def frame(self, frame: int) -> np.ndarray:
        """One frame, in memory.

        Raises
        ------
        DataError
            If there is no such frame, or it cannot be read.
        """
        if not 0 <= frame < self.n_frames:
            raise DataError(f"there is no frame {frame}; frames are 0 to {self.n_frames - 1}")
        with reading(f"frame {frame} of {self.path or self.name or 'the stack'}"):
            data = self.data[frame]
            # for a chunk or two, threads cost more than they save
            return np.asarray(data.compute(scheduler="sync" if data.npartitions < 4 else None))

    def __getitem__(self, frame: int, /) -> np.ndarray:
        """One frame, as `frame`: stacks can be read as arrays are."""
        return self.frame(frame)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name!r} {self.shape} {self.dtype}>"


class ImageStack(_Stack):
    """Images over time, lazily read.

    Made by `open` or `from_array`.

    Attributes
    ----------
    data : (T, Y, X, C) dask array
        In source pixels; C is 1 for grey.
    name : str
        Name to show.
    path : Path or None
        Where it was read from.
    options : ReadOptions
        How it was read.
    is_colour : bool
        Whether its channels are those of a colour picture, rather than images of their own.
    metadata : StackMetadata
        What the file says about it.
    region : (slice, slice) or None
        Rows and columns that are looked at, in source pixels; None: all. Windows that do not meet
        them are left out of a segmentation, those that do are as they would be otherwise.
    expected : mapping of int to ((Y, X) integer array, float)
        Ids of objects that are expected in frames, in source pixels, and with which weight, in log
        odds, against what a model sees.
    notes : tuple of str
        What was assumed, and what is missing: sentences.
    breaks : tuple of int
        Frames that do not follow the one before them, because some are missing between; windows of
        several frames do not reach across. None where frames are not numbered.
    """

    is_colour = False
    region: tuple[slice, slice] | None = None
    expected: Mapping[int, tuple[np.ndarray, float]] = MappingProxyType({})
    _range: tuple[float, float] | None = None
    _channel: int | None = None

    @classmethod
    def open(cls, path: str | Path, **options: Unpack[ReadKeywords]) -> Self:
        """Stack of a file or folder, read when its frames are.

        Parameters
        ----------
        path : str or Path
            A TIFF (multi-page, OME, ImageJ), a zarr array or OME-Zarr group (its finest level), a
            NumPy array, a video, an image, or a folder of images of one size, in natural order of
            their names. The planes of a z-stack without time are taken for frames.
        **options
            The fields of `ReadOptions`: axes, series, channel, z, pattern, allow_missing.

        Raises
        ------
        DataError
            If it is missing, damaged or of no known format.
        """
        stack = cls.from_source(open_source(path, ReadOptions(**options)))
        say(stack.notes)
        return stack

    @classmethod
    def from_source(cls, opened: Opened) -> Self:
        """Stack of what `open_source` found; its notes are not said."""
        stack = cls(opened.data, opened.name, opened.path, opened=opened)
        stack.is_colour = opened.is_colour
        return stack

    @classmethod
    def from_array(cls, array: ArrayLike, axes: str | None = None, name: str = "") -> Self:
        """Stack over a numpy, dask or zarr array.

        Parameters
        ----------
        array : (Y, X), (T, Y, X), (Y, X, 3 or 4) uint8, or (T, Y, X, C)
            Real numbers; not copied.
        axes : str, optional
            A letter for each axis (T, Z, C, Y, X), where the array is none of these.
        name : str
            Name to show.

        Raises
        ------
        DataError
            If the axes or the values cannot be those of images.
        """
        what = name or "the array"
        names = axes or guess_axes(array.shape, str(array.dtype))
        stack = cls(image_data(as_dask(array), names, what), name)
        stack.is_colour = "S" in names.upper() and stack.shape[3] >= 3
        return stack

    @property
    def channel(self) -> int | None:
        """The channel that a model sees, counted from 0; None for a colour picture.

        The only one, or else the first that shows something: several channels are never mixed as
        red, green and blue. A note of this is made, and said, when it is decided.
        """
        if self.is_colour:
            return None
        if self._channel is None:
            self._channel = 0
            if self.shape[3] > 1:
                self._channel = telling_channel(self.data, str(self.path or self.name))
                self._say_channel(self._channel)
        return self._channel

    def _say_channel(self, index: int) -> None:
        names = self.metadata.channel_names
        named = f"{index} ({names[index]})" if len(names) == self.shape[3] else f"{index}"
        note = (
            f"{self.path or self.name or 'the stack'} has {self.shape[3]} channels, which are not "
            f"mixed; channel {named} is read, the first that shows something (--channel chooses "
            "another, channel=… in Python)"
        )
        self.notes = (*self.notes, note)
        say([note])

    def picture(self, frame: int) -> np.ndarray:
        """What a model sees of a frame: (Y, X, 1), or (Y, X, 3) of a colour picture, unscaled."""
        image, channel = self.frame(frame), self.channel
        return image[..., :3] if channel is None else image[..., channel : channel + 1]

    def intensity_range(self) -> tuple[float, float]:
        """Values that become 0 and 1 by the rule of the type: (0, 255) for uint8, else extremes.

        The extremes are the percentiles 0.1 and 99.9 of a sample of pixels of up to 8 frames, the
        same for all frames and channels; low < high.
        """
        if self._range is None:
            self._range = (0.0, 255.0) if self.dtype == np.uint8 else self._sampled_range()
        return self._range

    def part(self, frames: slice, rows: slice, cols: slice) -> Self:
        """Some frames of a part of the images, with the channel and the range of the whole."""
        part = copy(self)
        part._channel, part._range = self.channel, self.intensity_range()
        part.data = self.data[frames, rows, cols]
        kept = range(self.n_frames)[frames]
        part.breaks = tuple(
            index
            for index, (before, after) in enumerate(pairwise(kept), start=1)
            if any(before < frame <= after for frame in self.breaks)
        )
        return part

    def near(self, rows: slice, cols: slice) -> Self:
        """The same images, of which only a region is looked at."""
        near = copy(self)
        near._channel, near._range = self.channel, self.intensity_range()
        near.region = rows, cols
        return near

    def expecting(self, ids: np.ndarray, frame: int, weight: float) -> Self:
        """The same images, with objects (Y, X) that are expected in a frame."""
        expecting = copy(self)
        expecting._channel, expecting._range = self.channel, self.intensity_range()
        expecting.expected = {**self.expected, frame: (ids, weight)}
        return expecting

    def _sampled_range(self) -> tuple[float, float]:
        frames = np.unique(np.linspace(0, self.n_frames - 1, _SAMPLED_FRAMES).astype(int))
        step = max(1, max(self.shape[1:3]) // _SAMPLED_SIDE)
        sample = np.stack([self.picture(int(t))[::step, ::step] for t in frames]).astype(np.float64)
        sample = sample[np.isfinite(sample)]
        low, high = np.percentile(sample, (0.1, 99.9)) if sample.size else (0.0, 1.0)
        if high <= low:  # hardly anything is not background, or nothing at all
            low, high = (sample.min(), sample.max()) if sample.size else (0.0, 1.0)
        return float(low), float(high if high > low else low + 1)


class LabelStack(_Stack):
    """Masks over time, lazily read: class ids or instance ids, 0 = background.

    Made by `open` or `from_array`.

    Attributes
    ----------
    data : (T, Y, X) dask array
        Integers, in source pixels.
    name : str
        Name to show.
    path : Path or None
        Where it was read from.
    """

    @classmethod
    def open(cls, path: str | Path, **options: Unpack[ReadKeywords]) -> Self:
        """Stack of a file or folder, as `ImageStack.open`.

        Images with a palette are read by index, never by colour; grey ones that are stored as
        colour are taken as grey.

        Raises
        ------
        DataError
            If it cannot be read, or holds colours instead of ids; fractions are an error of the
            frame that holds them.
        """
        stack = cls.from_source(open_source(path, ReadOptions(**options), masks=True))
        say(stack.notes)
        return stack

    @classmethod
    def from_source(cls, opened: Opened) -> Self:
        """Stack of what `open_source` found, checked to hold ids; its notes are not said."""
        return cls.from_data(opened.data, opened.name, opened.path, opened=opened)

    @classmethod
    def from_array(cls, array: ArrayLike, axes: str | None = None, name: str = "") -> Self:
        """Stack over a numpy, dask or zarr array of whole numbers, as `ImageStack.from_array`."""
        return cls.from_data(image_data(as_dask(array), axes, name or "the mask"), name)

    @classmethod
    def from_data(
        cls,
        data: "da.Array",
        name: str,
        path: Path | None = None,
        *,
        opened: Opened | None = None,
    ) -> Self:
        """Stack over (T, Y, X, C) as readers give it, checked to hold ids."""
        what = str(path or name or "the mask")
        if data.dtype.kind == "f":  # whole numbers are ids; a fraction is refused when it is read
            data = data.map_blocks(whole_numbers, what, dtype=np.int64)
        if data.shape[3] == 1:
            return cls(data[..., 0], name, path, opened=opened)
        data = data.rechunk({3: -1})
        with reading(what):
            grey_of_colour(data[0].compute(scheduler="sync"), what)
        grey = data.map_blocks(grey_of_colour, what, drop_axis=3, dtype=data.dtype)
        return cls(grey, name, path, opened=opened)


def noted_class_names(labels: LabelStack) -> tuple[str, ...]:
    """Names of the class ids from 1 on, as the file of masks notes them; none without a note."""
    if labels.metadata.class_names or labels.path is None:
        return labels.metadata.class_names
    return recorded_class_names(labels.path)


def noted_ids(labels: LabelStack, ids: IdOptions) -> IdOptions:
    """What a person says of the ids; where nothing of ignored ones, what their file notes."""
    noted = labels.metadata.provenance.get(IGNORED_IDS)
    if ids.ignore is not None or not isinstance(noted, list | tuple):
        return ids
    return replace(ids, ignore=tuple(value for value in noted if isinstance(value, int)))


def open_labels(path: str | Path, **options: Unpack[ReadKeywords]) -> LabelStack:
    """Label stack of a file or folder; `LabelStack.open`."""
    return LabelStack.open(path, **options)


def say(notes: Sequence[str]) -> None:
    """Warn of what was assumed or is missing: a `DataWarning` for each note."""
    for note in notes:
        warnings.warn(note, DataWarning, stacklevel=3)
