"""Masks as text: the labels of a coarse grid row by row, run-length encoded (Text4Seg).

Text4Seg calls the label of a grid pixel a semantic descriptor, and its row-wise compression R-RLE;
grids have 16, 24, 32 or 64 pixels a side. A language model can read and write the text. The preset
"text4seg" writes the same runs as tokens, where rows need no separators: the lengths of each add up
to its pixels.
"""

import re

import numpy as np

from rleseg_core.errors import DataError
from rleseg_core.spec import MaskSpec
from rleseg_core.tokens.results import Decoded
from rleseg_core.tokens.runs import Tiling

BACKGROUND = "others"
_ITEM = re.compile(r"\s*(?P<name>[^*]*?)\s*\*\s*(?P<count>\d{1,9})\s*")


def write_text(classes: np.ndarray, spec: MaskSpec, *, background: str = BACKGROUND) -> str:
    """A mask as text, such as ``others *5, cell *3 | others *8``.

    Parameters
    ----------
    classes : (N, S, S) integer
        Class ids from 0 to C, one for each pixel of the grid.
    spec : MaskSpec
        The grid and the names of the classes.
    background : str
        What pixels of no class are called.

    Returns
    -------
    str
        Runs as ``name *length``, with commas between them and bars between rows; the rows of all
        frames one after the other.

    Raises
    ------
    DataError
        If the mask does not fit the spec, or a name holds one of ``*,|``.
    """
    names = _names(spec, background)
    if classes.shape != spec.shape:
        raise DataError(f"mask is {classes.shape}, the grid is {spec.shape}")
    if classes.min() < 0 or classes.max() > spec.n_classes:
        raise DataError(
            f"mask has values from {classes.min()} to {classes.max()}, expected class ids from 0 "
            f"to {spec.n_classes}"
        )
    n_cols = spec.size[1]
    tiling = Tiling(n_pixels=n_cols, line=n_cols, max_length=n_cols, n_symbols=spec.n_classes)
    runs, row = tiling.find(classes.reshape(-1, n_cols))
    rows: list[list[str]] = [[] for _ in range(classes.size // n_cols)]
    for at, length, symbol in zip(row, runs.length, runs.symbol, strict=True):
        rows[at].append(f"{names[symbol]} *{length}")
    return " | ".join(", ".join(items) for items in rows)


def read_text(
    text: str, spec: MaskSpec, *, strict: bool = False, background: str = BACKGROUND
) -> Decoded:
    """The mask that a text says.

    Without `strict` whatever makes sense is kept: an item that is not ``name *length`` with a known
    name is skipped and counted, a run is cut where its row ends, rows that are too short or missing
    are filled with background, and rows too many are skipped. Letter case and spaces do not matter.

    Parameters
    ----------
    text : str
        As `write_text` gives it.
    spec : MaskSpec
        The grid and the names of the classes.
    strict : bool
        Raise where the text is not exactly a mask.
    background : str
        What pixels of no class are called.

    Returns
    -------
    Decoded
        `n_skipped` counts items.

    Raises
    ------
    DataError
        If `strict`, and the text is not a mask of this grid; the message gives row and item.
    """
    ids = {name.casefold(): label for label, name in enumerate(_names(spec, background))}
    n_frames, n_rows, n_cols = spec.shape
    classes = np.zeros((n_frames * n_rows, n_cols), np.min_scalar_type(spec.n_classes))
    rows = text.split("|")
    if strict and len(rows) != len(classes):
        raise DataError(f"the text has {len(rows)} rows, expected {len(classes)}")
    n_skipped = sum(len(_items(row)) for row in rows[len(classes) :])
    for at, row in enumerate(rows[: len(classes)]):
        cursor = 0
        for index, item in enumerate(_items(row)):
            match = _ITEM.fullmatch(item)
            name = match["name"].casefold() if match else ""
            length = int(match["count"]) if match else 0
            makes_sense = name in ids and length > 0 and cursor < n_cols
            if not makes_sense or cursor + length > n_cols:
                if strict:
                    raise DataError(
                        f"item {index} of row {at} is {item.strip()!r}, expected a name of "
                        f"{', '.join(ids)} and at most {n_cols - cursor} pixels, as 'name *length'"
                    )
                if not makes_sense:
                    n_skipped += 1
                    continue
            classes[at, cursor : cursor + length] = ids[name]
            cursor = min(cursor + length, n_cols)
        if strict and cursor < n_cols:
            raise DataError(f"row {at} has {cursor} pixels, expected {n_cols}")
    return Decoded(classes.reshape(spec.shape), None, n_skipped)


def _items(row: str) -> list[str]:
    return [item for item in row.split(",") if item.strip()]


def _names(spec: MaskSpec, background: str) -> tuple[str, ...]:
    """The names of ids 0 to C, which text can hold and tell apart."""
    names = (background, *spec.class_names)
    for index, name in enumerate(names):
        if set("*,|") & set(name) or name != name.strip() or not name:
            raise DataError(f"the name {name!r} cannot be written: it needs letters, without *,|")
        if name.casefold() in (other.casefold() for other in names[:index]):
            raise DataError(f"the name {name!r} is used twice; give the background another one")
    return names
