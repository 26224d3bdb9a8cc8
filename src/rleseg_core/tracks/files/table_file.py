"""Tracks as CSV: a row for each object, with the link to the one before it."""

import csv
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np

from rleseg_core.data.metadata import UNKNOWN, StackMetadata
from rleseg_core.errors import DataError
from rleseg_core.objects.table_file import physical_columns
from rleseg_core.outputs import Output, new_output, table_with
from rleseg_core.tracks.table import Tracks

_FIRST = ("track", "frame", "object")
_COLUMNS = (*_FIRST, "parent", "lineage", "score", "area", "row", "col")


def tracks_output(path: str | Path) -> Output:
    """A table of tracks as an output, which `check_outputs` compares with what is read."""
    return Output(Path(path), "a table of tracks (CSV)", table_with(*_FIRST))


def write_tracks(
    tracks: Tracks,
    path: str | Path,
    metadata: StackMetadata = UNKNOWN,
    *,
    overwrite: bool = False,
) -> Path:
    """Write tracks as CSV, whole or not at all.

    Parameters
    ----------
    tracks : Tracks
        The tracks; `read_tracks` gives them back without a difference.
    path : str or Path
        The file.
    metadata : StackMetadata
        Of the stack: areas, centroids and times are written in physical units as well, as far as
        these are known.
    overwrite : bool
        Whether it may replace an older table of tracks.

    Raises
    ------
    OutputError
        If there is something of that name, and `overwrite` is not set or it is no such table.
    """
    with new_output(tracks_output(path), overwrite=overwrite) as temporary:
        write_tracks_to(tracks, temporary, metadata)
    return Path(path)


def write_tracks_to(tracks: Tracks, path: Path, metadata: StackMetadata = UNKNOWN) -> None:
    """Write tracks as CSV to a path that may be written over, such as a temporary one."""
    parents = [tracks.parents.get(track, 0) for track in tracks.track.tolist()]
    columns = {
        "track": tracks.track,
        "frame": tracks.frame,
        "object": tracks.object,
        "parent": np.array(parents, np.int64),
        "lineage": tracks.lineage(),
        "score": tracks.score,
        "area": tracks.area,
        "row": tracks.row,
        "col": tracks.col,
    }
    physical = physical_columns(columns, metadata)
    texts = [["" if value != value else str(value) for value in columns[name]] for name in _COLUMNS]
    texts += [[f"{value:.6g}" for value in column] for column in physical.values()]
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow([*_COLUMNS, *physical])
        writer.writerows(zip(*texts, strict=True))


def read_tracks(path: str | Path) -> Tracks:
    """The tracks that `write_tracks` wrote; columns that it does not know are left out.

    Raises
    ------
    DataError
        If the file cannot be read, lacks a column, or does not describe tracks.
    """
    path = Path(path)
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file, strict=True)
            header, rows = reader.fieldnames or [], list(reader)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"cannot read {path}: {error}") from error
    needed = [name for name in _COLUMNS if name != "lineage"]
    if missing := [name for name in needed if name not in header]:
        raise DataError(
            f"{path} has no column {missing[0]!r}; a table of tracks, as rleseg writes it, has "
            f"{', '.join(_COLUMNS)}"
        )

    def column(name: str, parse: Callable[[str], float]) -> np.ndarray:
        values = []
        for line, row in enumerate(rows, start=2):
            try:
                values.append(parse(row[name] or ""))
            except (ValueError, OverflowError) as error:
                text = f"{path}, line {line}: {row[name]!r} is no value of {name!r}"
                raise DataError(text) from error
        return np.array(values, np.float64 if parse is _number else np.int64)

    track, parent = column("track", _integer), column("parent", _integer)
    pairs = {*zip(track.tolist(), parent.tolist(), strict=True)}
    if len(pairs) > np.unique(track).size:
        twice, _ = min(Counter(one for one, _ in pairs).items(), key=lambda item: -item[1])
        raise DataError(f"{path} has several parents of track {twice}; a track has one, or 0")
    try:
        return Tracks(
            track=track,
            **{name: column(name, _integer) for name in ("frame", "object", "area")},
            **{name: column(name, _number) for name in ("score", "row", "col")},
            parents={one: of for one, of in pairs if of > 0},
        )
    except DataError as error:
        raise error if str(error).startswith(str(path)) else DataError(f"{path}: {error}") from None


def _integer(text: str) -> int:
    return int(np.int64(int(text)))  # which refuses what is too high


def _number(text: str) -> float:
    return float(text) if text else float("nan")
