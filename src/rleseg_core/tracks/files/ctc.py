"""Folders of the Cell Tracking Challenge: masks of tracks, and the table of these."""

import re
import warnings
from collections.abc import Generator
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np

from rleseg_core.data import IdOptions
from rleseg_core.data.arrays import frame_of
from rleseg_core.data.formats.base import ReadOptions
from rleseg_core.errors import DataError, DataWarning
from rleseg_core.objects.opening import ObjectOptions, open_objects
from rleseg_core.objects.stack import ObjectStack
from rleseg_core.outputs import FILES_OF_DESKTOPS, Output, begins_with, new_output
from rleseg_core.tracks.gaps import with_gaps, without_gaps
from rleseg_core.tracks.relabelled import TrackIds
from rleseg_core.tracks.table import Tracks

Side = Literal["result", "truth"]
"""Whether names are those of a result, ``mask000.tif``, or of the truth, ``man_track000.tif``."""

_TABLES = {"res_track.txt": "mask", "man_track.txt": "man_track"}  # and how masks begin
_TABLE_OF: dict[Side, str] = {"result": "res_track.txt", "truth": "man_track.txt"}
_UNSAID = IdOptions()
_LARGEST = np.iinfo(np.uint16).max
_HIGHEST = np.iinfo(np.uint32).max  # that is read
_is_tiff = begins_with(b"II*\0", b"MM\0*")


def challenge_folder(path: str | Path) -> Path | None:
    """The folder with the table of tracks: the path itself, or ``TRA`` in it; None if neither."""
    folders = (Path(path), Path(path) / "TRA")
    return next((one for one in folders if any((one / name).is_file() for name in _TABLES)), None)


def challenge_output(path: str | Path) -> Output:
    """A folder of the Cell Tracking Challenge as an output, for `check_outputs`."""

    def recognise(folder: Path) -> bool:
        names = {one.name for one in folder.iterdir()} - FILES_OF_DESKTOPS
        masks = names - {*_TABLES}
        is_mask = re.compile(r"(?:mask|man_track)\d{3,}\.tif").fullmatch
        return len(names) == len(masks) + 1 and all(
            is_mask(name) and _is_tiff(folder / name) for name in masks
        )

    return Output(Path(path), "a folder of the Cell Tracking Challenge", recognise, is_folder=True)


def write_challenge(
    stack: ObjectStack,
    tracks: Tracks,
    path: str | Path,
    *,
    side: Side = "result",
    overwrite: bool = False,
) -> Generator[int, None, Path]:
    """Write a folder of the Cell Tracking Challenge, which appears only when it is complete.

    Parameters
    ----------
    stack : ObjectStack
        The objects.
    tracks : Tracks
        Their tracks. The format has no gaps and no scores: what comes after a gap is written as a
        track of its own, the only daughter of what comes before. If an id is above 65,535, tracks
        are numbered anew from 1 on.
    path : str or Path
        The folder; its name has no suffix.
    side : {'result', 'truth'}
        ``mask000.tif`` and ``res_track.txt``, or ``man_track000.tif`` and ``man_track.txt``.
    overwrite : bool
        Whether it may replace an older folder of the kind.

    Yields
    ------
    int
        Each frame, once it is written. Closing the generator cancels, and leaves nothing.

    Raises
    ------
    DataError
        If there are more tracks, with those after gaps, than the 65,535 that 16-bit masks hold.
    OutputError
        If there is something of that name, and `overwrite` is not set or it is no such folder.
    """
    import tifffile

    whole = _fitting(without_gaps(tracks))
    table = whole.spans()
    ids, name = TrackIds(stack, whole), _TABLE_OF[side]
    digits = 3 if stack.n_frames <= 1000 else 4
    with new_output(challenge_output(path), overwrite=overwrite) as temporary:
        temporary.mkdir()
        lines = (" ".join(map(str, row)) for row in table.tolist())
        (temporary / name).write_text("".join(f"{line}\n" for line in lines), encoding="ascii")
        for frame in range(stack.n_frames):
            tifffile.imwrite(
                temporary / f"{_TABLES[name]}{frame:0{digits}}.tif",
                ids[frame].astype(np.uint16),
                compression="lzw",
                photometric="minisblack",
            )
            yield frame
    return Path(path)


def read_challenge(
    path: str | Path, reading: ReadOptions = ReadOptions(), ids: IdOptions = _UNSAID
) -> tuple[ObjectStack, Tracks]:
    """Masks and tracks of a folder of the Cell Tracking Challenge.

    Parameters
    ----------
    path : str or Path
        A result, ``01_RES``, or the truth, ``01_GT`` or its ``TRA``.
    reading : ReadOptions
        Which of the masks are read, and how.
    ids : IdOptions
        What is known of the labels; by default all but 0 are tracks.

    Returns
    -------
    stack : ObjectStack
        The masks; their ids are the labels of the files.
    tracks : Tracks
        The tracks: that of a label, but where an only daughter begins some frames after its parent
        ends the two are one track with a gap.

    Raises
    ------
    DataError
        If there is no table, it cannot be read, or masks and table have different labels.
    """
    folder = challenge_folder(path)
    if folder is None:
        raise DataError(
            f"{path} holds no tracks; a folder of the Cell Tracking Challenge has "
            f"{' or '.join(_TABLES)} beside its masks"
        )
    file = next(folder / name for name in _TABLES if (folder / name).is_file())
    table = read_table(file)
    ids = IdOptions(ignore=()) if ids == _UNSAID else ids
    stack = open_objects(folder, ObjectOptions(numbers="objects", reading=reading, ids=ids))
    stack = replace(stack, inputs=(*stack.inputs, folder))
    parents = {track: parent for track, _, _, parent in table.tolist() if parent}
    labels = _labels_of(stack)
    if unlike := sorted(labels ^ set(table[:, 0].tolist())):
        where = "in the masks but not" if unlike[0] in labels else "not in the masks but"
        raise DataError(f"label {unlike[0]} is {where} in {file}; both must have the same labels")
    tracks = Tracks.of_frames(stack.each(), parents)
    wrong = np.flatnonzero((tracks.spans() != table).any(axis=1))
    if wrong.size:
        label, first, last, _ = table[wrong[0]].tolist()
        _, begins, ends, _ = tracks.spans()[wrong[0]].tolist()
        warnings.warn(
            f"{file} has label {label} in frames {first} to {last}, the masks in {begins} to "
            f"{ends}; the masks count",
            DataWarning,
            stacklevel=2,
        )
    return stack, with_gaps(tracks)


def read_table(file: Path) -> np.ndarray:
    """Label, first frame, last frame and parent (0 = none) of each track, (k, 4) int64, by label.

    Raises
    ------
    DataError
        If a line is no four whole numbers, or two have one label.
    """
    try:
        lines = file.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"cannot read {file}: {error}") from error
    rows = []
    for number, line in enumerate(lines, start=1):
        parts = line.split()
        if not parts:
            continue
        if len(parts) != 4 or not all(part.isdecimal() for part in parts):
            raise DataError(
                f"{file}, line {number}: {line[:40]!r} is no track; a line has label, first frame, "
                "last frame and parent"
            )
        rows.append([int(part) for part in parts])
        if max(rows[-1]) > _HIGHEST:
            raise DataError(f"{file}, line {number}: {max(rows[-1])} is too high for a label")
    table = np.array(sorted(rows), np.int64).reshape(-1, 4)
    twice = np.flatnonzero(np.diff(table[:, 0]) == 0)
    if twice.size:
        raise DataError(f"{file} has two lines for label {table[twice[0], 0]}; each has one")
    return table


def _fitting(tracks: Tracks) -> Tracks:
    """The same tracks with ids of 16 bits."""
    if tracks.track.max(initial=0) <= _LARGEST:
        return tracks
    ids, index = np.unique(tracks.track, return_inverse=True)
    if ids.size > _LARGEST:
        raise DataError(
            f"there are {ids.size:,} tracks, counted anew after each gap; masks of the Cell "
            f"Tracking Challenge hold {_LARGEST:,}: leave out that format, or choose fewer frames"
        )
    number = {track: k for k, track in enumerate(ids.tolist(), start=1)}
    parents = {number[track]: number[parent] for track, parent in tracks.parents.items()}
    return replace(tracks, track=index + 1, parents=parents)


def _labels_of(stack: ObjectStack) -> set[int]:
    found = (np.unique(frame_of(stack.ids, frame)) for frame in range(stack.n_frames))
    return {int(label) for labels in found for label in labels if label}
