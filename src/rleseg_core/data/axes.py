"""Named axes of arrays from anywhere, brought to (T, Y, X, C)."""

from typing import TYPE_CHECKING

from rleseg_core.errors import DataError

if TYPE_CHECKING:
    import dask.array as da

KNOWN = "TZCSYX"
_EXAMPLES = {4: "TCYX", 5: "TCZYX"}  # by number of axes, in the order of most programs
ALIASES = {"I": "T", "Q": "T"}  # tifffile's names for a sequence of pages


def guess_axes(shape: tuple[int, ...], dtype: str) -> str:
    """Likely names of the axes of an array that does not name them.

    Parameters
    ----------
    shape : tuple of int
        Shape of the array.
    dtype : str
        Its numpy name; of four axes, a last one of 3 or 4 is colour where it is 'uint8'.

    Returns
    -------
    str
        'YX', 'YXS', 'TYX', 'TYXS' or 'TYXC'.

    Raises
    ------
    DataError
        If it cannot be told.
    """
    if len(shape) == 2:
        return "YX"
    if len(shape) == 3:
        is_colour = shape[2] in (3, 4) and min(shape[:2]) > 4
        return "YXS" if is_colour else "TYX"
    if len(shape) == 4 and shape[3] <= 4:
        return "TYXS" if shape[3] in (3, 4) and dtype == "uint8" else "TYXC"
    example = _EXAMPLES.get(len(shape), "TCYX")
    raise DataError(
        f"cannot tell the axes of an array of shape {shape}; give them, for example --axes "
        f"{example} (axes='{example}' in Python)"
    )


def arrange(data: "da.Array", axes: str, what: str) -> "da.Array":
    """Array with its axes in the order (T, Y, X, C), one chunk a frame where chunks are pages.

    Parameters
    ----------
    data : dask array
        Any number of axes.
    axes : str
        A letter for each: T time, Z depth, C channels, S colour samples, Y rows, X columns. I and Q
        (pages of any meaning) count as T. Axes of length 1 may have any letter.
    what : str
        What to call it in errors.

    Returns
    -------
    (T, Y, X, C) dask array
        A depth axis stands in for a missing time: its planes become frames.

    Raises
    ------
    DataError
        If the axes do not fit the array, or more is in it than time, one plane and channels.
    """
    names = "".join(ALIASES.get(letter, letter) for letter in axes.upper())
    if len(names) != data.ndim:
        raise DataError(f"{what} has the shape {data.shape}, which does not fit the axes {axes!r}")
    keep = [i for i, name in enumerate(names) if name in "YX" or data.shape[i] != 1]
    squeezed = data[tuple(slice(None) if i in keep else 0 for i in range(data.ndim))]
    names = "".join(names[i] for i in keep)
    _check(names, squeezed.shape, what, axes)
    if "T" not in names:
        names = names.replace("Z", "T")
    names = names.replace("S", "C")
    for name in "TC":
        if name not in names:
            squeezed, names = squeezed[..., None], names + name
    return squeezed.transpose([names.index(name) for name in "TYXC"])


def _check(names: str, shape: tuple[int, ...], what: str, axes: str) -> None:
    if "Y" not in names or "X" not in names or len(set(names)) < len(names) or 0 in shape:
        raise DataError(
            f"{what} needs one row axis Y, one column axis X, and each axis once and not empty; "
            f"its axes are {axes!r}, of {shape}"
        )
    if unknown := set(names) - set(KNOWN):
        raise DataError(
            f"{what} has axes {sorted(unknown)} besides time, rows, columns, channels; say what "
            f"they are, for example --axes {_renamed(names)} (axes=… in Python)"
        )
    sizes = dict(zip(names, shape, strict=True))
    if "T" in names and "Z" in names:
        raise DataError(
            f"{what} has {sizes['T']} time points of {sizes['Z']} planes; choose one with "
            "--z (z=… in Python), or max for the maximum along z"
        )
    if "C" in names and "S" in names:
        raise DataError(f"{what} has {sizes['C']} channels in colour; choose one with --channel")


def _renamed(names: str) -> str:
    """The axes with a known letter in the place of one that is not known."""
    free = [letter for letter in "TZC" if letter not in names]
    for name in names:
        if name not in KNOWN and free:
            names = names.replace(name, free.pop(0))
    return names
