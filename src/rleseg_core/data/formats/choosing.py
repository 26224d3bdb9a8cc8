"""Which image, channel and plane of a file are read; what is assumed or missing is said."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from rleseg_core.data.arrays import as_dask, image_data
from rleseg_core.data.axes import ALIASES, guess_axes
from rleseg_core.data.formats.base import Opened, ReadOptions, Series
from rleseg_core.errors import DataError

if TYPE_CHECKING:
    import dask.array as da

SAMPLES = ("red", "green", "blue", "alpha")
_MOST_FRAMES = 10_000_000  # a damaged header announces more
_MOST_LISTED = 8


def choose(series: Sequence[Series], path: Path, options: ReadOptions, masks: bool) -> Opened:
    """The chosen image of a file as frames (T, Y, X, C).

    Parameters
    ----------
    series : sequence of Series
        What is in the file, at least one.
    path : Path
        The file.
    options : ReadOptions
        What was chosen.
    masks : bool
        Whether ids are read, which are never projected.

    Raises
    ------
    DataError
        If there is a choice and none was made, what was chosen is not there, or part of what the
        file announces is missing and that was not allowed.
    """
    one = _series(series, path, options.series)
    notes = [*one.notes, *_missing(one, options)]
    names, assumed = _axes(one, path, options)
    notes += assumed
    _check_sizes(one, names, path)
    channels = channel_names(one, names)
    data, names, said = _plane(as_dask(one.read()), names, path, options.z, masks)
    notes += said
    if options.channel is not None:
        axis = names.index("C") if "C" in names else names.find("S")
        index = _channel(options.channel, channels, 1 if axis < 0 else data.shape[axis], path)
        if axis >= 0:
            data = data[(slice(None),) * axis + (index,)]
            names = names[:axis] + names[axis + 1 :]
    return Opened(
        data=image_data(data, names, str(path)),
        name=path.stem,
        path=path.resolve(),
        options=options,
        is_colour="S" in names and data.shape[names.index("S")] >= 3,
        metadata=one.metadata,
        notes=tuple(notes),
        breaks=one.breaks,
    )


def listed(series: Sequence[Series]) -> str:
    """The images of a file in words: numbers, names and shapes."""
    shown = []
    for number, one in enumerate(series[:_MOST_LISTED]):
        name = f" ({one.name})" if one.name not in ("", str(number)) else ""
        shown.append(f"{number}{name} {size_text(one)}")
    return ", ".join(shown) + (", …" if len(series) > _MOST_LISTED else "")


def size_text(one: Series) -> str:
    """Shape of an image in words, such as TYX 4 × 128 × 128."""
    axes = "".join(ALIASES.get(name, name) for name in one.axes or "")
    return f"{axes} {' × '.join(map(str, one.shape))}".strip()


def channel_names(one: Series, names: str) -> tuple[str, ...]:
    """Names of the channels of an image with these axes, or of its colours."""
    if "C" in names:
        return one.metadata.channel_names
    return SAMPLES if "S" in names else ()


def _series(series: Sequence[Series], path: Path, chosen: int | str | None) -> Series:
    """The image that was chosen, or the only one."""
    if chosen is None:
        if len(series) == 1:
            return series[0]
        raise DataError(
            f"{path} holds {len(series)} images: {listed(series)}; choose one with --series "
            "(series=… in Python)"
        )
    names = [one.name for one in series]
    if str(chosen) in names:
        return series[names.index(str(chosen))]
    number = _number(chosen)
    if number is None or number >= len(series):
        raise DataError(f"{path} has no image {str(chosen)!r}; it holds {listed(series)}")
    return series[number]


def _missing(one: Series, options: ReadOptions) -> list[str]:
    """What is to be said of what is missing.

    Raises
    ------
    DataError
        If something is, and that was not allowed.
    """
    if one.missing and not options.allow_missing:
        raise DataError(
            f"{'; '.join(one.missing)}; complete it, or read what is there with --allow-missing "
            "(allow_missing=True in Python)"
        )
    return list(one.missing)


def _axes(one: Series, path: Path, options: ReadOptions) -> tuple[str, list[str]]:
    """Letters of the axes: given, in the file, or suggested by the shape, which is said."""
    given = options.axes
    if given is not None:
        if len(given) != len(one.shape):
            raise DataError(
                f"{path} has the shape {one.shape}, which does not fit the axes {given!r}"
            )
        return given.upper(), []
    named = "".join(ALIASES.get(name, name) for name in one.axes or "")
    if len(set(named)) == len(named) > 0:
        return named, []
    guessed = guess_axes(one.shape, str(one.dtype))
    if guessed in ("YX", "TYX"):
        return guessed, []
    return guessed, [
        f"{path} does not name its axes; an array of {one.shape} is read as {guessed} (S: colour, "
        "C: channels); --axes names them otherwise"
    ]


def _check_sizes(one: Series, names: str, path: Path) -> None:
    """Refuse what no memory can hold, or no file: sizes of a damaged header.

    Raises
    ------
    DataError
        If a frame is larger than the free memory, or there are more of them than any file has.
    """
    sizes = dict(zip(names, one.shape, strict=True))
    n_bytes = sizes.get("Y", 1) * sizes.get("X", 1) * one.dtype.itemsize * sizes.get("S", 1)
    free = psutil.virtual_memory().available
    if n_bytes > free:
        raise DataError(
            f"{path} announces frames of {sizes.get('Y')} × {sizes.get('X')} pixels, "
            f"{n_bytes / 1e9:.3g} GB each, and {free / 1e9:.3g} GB of memory are free; the file "
            "may be damaged, otherwise cut it into tiles"
        )
    if max(one.shape, default=0) > _MOST_FRAMES and sizes.get("T", 1) > _MOST_FRAMES:
        raise DataError(f"{path} announces {sizes['T']} frames; it may be damaged")


def _plane(
    data: "da.Array", names: str, path: Path, z: int | str | None, masks: bool
) -> tuple["da.Array", str, list[str]]:
    """The chosen plane or the maximum of all, the axes that are left, and what is to be said."""
    axis = names.find("Z")
    n_planes = data.shape[axis] if axis >= 0 else 1
    if z is None:
        if n_planes == 1:
            return data, names, []
        if "T" in names and data.shape[names.index("T")] > 1:
            raise DataError(
                f"{path} has {data.shape[names.index('T')]} time points of {n_planes} planes; "
                "choose a plane with --z (z=… in Python), or max for the maximum along z"
            )
        note = (
            f"{path} has {n_planes} planes and no time points: each plane is read as a frame "
            "(--z chooses one, or max for their maximum)"
        )
        return data, names, [note]
    if axis < 0:
        raise DataError(f"{path} has no z axis, so --z {z} chooses nothing; leave it out")
    rest = names[:axis] + names[axis + 1 :]
    if z == "max":
        if masks:
            raise DataError(
                f"{path} holds ids, and the maximum of ids means nothing; choose a plane"
            )
        return data.max(axis=axis), rest, []
    number = _number(z)
    if number is None or number >= n_planes:
        raise DataError(f"{path} has planes 0 to {n_planes - 1}, got --z {z}")
    return data[(slice(None),) * axis + (number,)], rest, []


def _channel(chosen: int | str, names: Sequence[str], n_channels: int, path: Path) -> int:
    """Index of a channel by number or name."""
    if str(chosen) in names[:n_channels]:
        return list(names).index(str(chosen))
    number = _number(chosen)
    if number is None or number >= n_channels:
        named = f" ({', '.join(names[:n_channels])})" if names else ""
        raise DataError(f"{path} has channels 0 to {n_channels - 1}{named}, got --channel {chosen}")
    return number


def _number(text: int | str) -> int | None:
    """A number counted from 0, or None."""
    text = str(text)
    return int(text) if text.isascii() and text.isdecimal() else None
