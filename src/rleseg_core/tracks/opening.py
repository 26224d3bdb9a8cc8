"""Masks with their tracks: results of rleseg track, folders of the challenge, ids that persist."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from rleseg_core.data import IdOptions
from rleseg_core.data.arrays import frame_of
from rleseg_core.data.formats.base import ReadOptions
from rleseg_core.data.formats.registry import plain_name
from rleseg_core.data.formats.zarr_writing import image_of
from rleseg_core.errors import DataError
from rleseg_core.objects.opening import ObjectOptions, open_objects
from rleseg_core.objects.stack import ObjectStack
from rleseg_core.tracks.files.ctc import challenge_folder, read_challenge
from rleseg_core.tracks.files.table_file import read_tracks
from rleseg_core.tracks.table import Tracks

_UNSAID = IdOptions()


def table_of(path: Path) -> Path:
    """Where the table of the tracks of a label stack lies: ``movie.tracks.csv`` for ``movie.tif``.

    That of labels ``cells`` in an OME-Zarr image ``movie.zarr`` is ``movie.cells.tracks.csv``.
    """
    image = image_of(path)
    if image is not None:
        return image.with_name(f"{plain_name(image)}.{path.name}.tracks.csv")
    return path.with_name(f"{plain_name(path)}.tracks.csv")


def open_tracks(
    path: str | Path, reading: ReadOptions = ReadOptions(), ids: IdOptions = _UNSAID
) -> tuple[ObjectStack, Tracks]:
    """Masks whose ids are those of tracks, and the tracks.

    Parameters
    ----------
    path : str or Path
        A label stack with its table beside it, as ``rleseg track`` writes it; a folder of the Cell
        Tracking Challenge; or any label stack whose ids persist, of which no parents are known.
    reading : ReadOptions
        Which part of a file is read, and how.
    ids : IdOptions
        What is known of the numbers. Where there is a table, all but 0 are tracks by default.

    Returns
    -------
    stack : ObjectStack
        The masks.
    tracks : Tracks
        Their tracks; `Tracks.object` numbers the objects of the masks.

    Raises
    ------
    DataError
        If something cannot be read, or masks and table do not fit each other.
    """
    path = Path(path)
    if challenge_folder(path) is not None:
        return read_challenge(path, reading, ids)
    table = table_of(path)
    if table.is_file() and ids == _UNSAID:
        ids = IdOptions(ignore=())
    stack = open_objects(path, ObjectOptions(numbers="objects", reading=reading, ids=ids))
    if not table.is_file():
        return stack, Tracks.of_frames(stack.each(), {})
    tracks = read_tracks(table)  # of the objects that were linked, and not of these
    _check_same(stack, tracks, path, table)
    stack = replace(stack, inputs=(*stack.inputs, table))
    return stack, replace(tracks, object=tracks.track)


def _check_same(stack: ObjectStack, tracks: Tracks, path: Path, table: Path) -> None:
    """Raise an error unless each frame of the masks has the tracks that the table has there."""
    n_frames = max(stack.n_frames, int(tracks.frame.max(initial=-1)) + 1)
    for frame in range(n_frames):
        known = tracks.track[tracks.in_frame(frame)]
        there = np.unique(frame_of(stack.ids, frame)) if frame < stack.n_frames else known[:0]
        unlike = np.setxor1d(there[there > 0].astype(np.int64), known)
        if unlike.size:
            where = "not in the masks but in" if unlike[0] in known else "in the masks but not in"
            raise DataError(
                f"track {unlike[0]} is in frame {frame} {where} {table}; it is the table of other "
                f"masks than {path}: link the objects again, or move it away"
            )
