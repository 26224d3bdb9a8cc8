"""Which image, channel and plane of a file are read; what is assumed is said."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rleseg_core.data.arrays import as_dask, image_data
from rleseg_core.data.axes import ALIASES, guess_axes
from rleseg_core.data.formats.base import Opened, ReadOptions, Series
from rleseg_core.errors import DataError

if TYPE_CHECKING:
    import dask.array as da

_SAMPLES = ("red", "green", "blue", "alpha")


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
        If there is a choice and none was made, or what was chosen is not there.
    """
    one = _series(series, path, options.series)
    names = _axes(one, path, options)
    data, notes = as_dask(one.read()), list(one.notes)
    what = str(path)
    channels = _channel_names(one, names)
    if options.z is not None or ("T" in names and "Z" in names):
        data, names = _plane(data, names, path, options.z, masks)
    elif "Z" in names and data.shape[names.index("Z")] > 1:
        n_planes = data.shape[names.index("Z")]
        notes.append(
            f"{path} has {n_planes} planes and no time points: each plane is read as a frame "
            "(--z chooses one, or max for their maximum)"
        )
    if options.channel is not None:
        axis = names.index("C") if "C" in names else names.find("S")
        index = _channel(options.channel, channels, 1 if axis < 0 else data.shape[axis], path)
        channels = channels[index : index + 1]
        if axis >= 0:
            data = data[(slice(None),) * axis + (index,)]
            names = names[:axis] + names[axis + 1 :]
    return Opened(
        data=image_data(data, names, what),
        name=path.stem,
        path=path.resolve(),
        options=options,
        is_colour="S" in names and data.shape[names.index("S")] >= 3,
        metadata=one.metadata,
        notes=tuple(notes),
    )


def _series(series: Sequence[Series], path: Path, chosen: int | str | None) -> Series:
    """The image that was chosen, or the only one."""
    names = [one.name for one in series]
    listed = ", ".join(f"{k} ({name})" if name else str(k) for k, name in enumerate(names[:8]))
    listed += ", …" if len(names) > 8 else ""
    if chosen is None:
        if len(series) == 1:
            return series[0]
        raise DataError(
            f"{path} holds {len(series)} images: {listed}; choose one with --series "
            "(series=… in Python)"
        )
    if str(chosen) in names:
        return series[names.index(str(chosen))]
    number = _number(chosen)
    if number is None or number >= len(series):
        raise DataError(f"{path} has no image {str(chosen)!r}; it holds {listed}")
    return series[number]


def _axes(one: Series, path: Path, options: ReadOptions) -> str:
    """Letters of the axes: those given, those in the file, or those that its shape suggests."""
    given = options.axes
    if given is None:
        names = one.axes or guess_axes(one.shape, str(one.dtype))
        return "".join(ALIASES.get(name, name) for name in names)
    if len(given) != len(one.shape):
        raise DataError(f"{path} has the shape {one.shape}, which does not fit the axes {given!r}")
    return given.upper()


def _channel_names(one: Series, names: str) -> tuple[str, ...]:
    if "C" in names:
        return one.metadata.channel_names
    return _SAMPLES if "S" in names else ()


def _plane(
    data: "da.Array", names: str, path: Path, z: int | str | None, masks: bool
) -> tuple["da.Array", str]:
    """The chosen plane, or the maximum of all, and the axes that are left."""
    n_planes = data.shape[names.index("Z")] if "Z" in names else 1
    if z is None:
        if n_planes == 1:
            return data, names
        raise DataError(
            f"{path} has {data.shape[names.index('T')]} time points of {n_planes} planes; choose "
            "a plane with --z (z=… in Python), or max for the maximum along z"
        )
    if "Z" not in names:
        raise DataError(f"{path} has no z axis, so --z {z} chooses nothing; leave it out")
    axis = names.index("Z")
    rest = names[:axis] + names[axis + 1 :]
    if z == "max":
        if masks:
            raise DataError(f"{path} holds ids, of which there is no maximum; choose a plane")
        return data.max(axis=axis), rest
    number = _number(z)
    if number is None or number >= n_planes:
        raise DataError(f"{path} has planes 0 to {n_planes - 1}, got --z {z}")
    return data[(slice(None),) * axis + (number,)], rest


def _channel(chosen: int | str, names: Sequence[str], n_channels: int, path: Path) -> int:
    """Index of a channel by number or name."""
    if str(chosen) in names:
        return list(names).index(str(chosen))
    number = _number(chosen)
    if number is None or number >= n_channels:
        named = f" ({', '.join(names)})" if names else ""
        raise DataError(f"{path} has channels 0 to {n_channels - 1}{named}, got --channel {chosen}")
    return number


def _number(text: int | str) -> int | None:
    """A number counted from 0, or None."""
    text = str(text)
    return int(text) if text.isascii() and text.isdecimal() else None
