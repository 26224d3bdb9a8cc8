"""What the lines of the log and of the strokes say."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from rleseg_core.corrections.delta import Correction
from rleseg_core.errors import DataError

# kinds of records that include strokes; "unchanged": the strokes left the frame as it was
STATES = ("change", "undo", "redo", "unchanged")
MARK = "mark"  # of pixels that nobody has reviewed: 1 where they are so now, 0 where no longer
KINDS = (*STATES, "accept", "reopen", MARK)


@dataclass(frozen=True)
class Frames:
    """What a record may speak of.

    Parameters
    ----------
    shape : (int, int, int)
        (T, Y, X) of the labels.
    dtype : numpy dtype
        Type of the class ids.
    """

    shape: tuple[int, int, int]
    dtype: np.dtype

    @property
    def n_pixels(self) -> int:
        """Pixels of a frame."""
        return self.shape[1] * self.shape[2]

    @property
    def n_ids(self) -> int:
        """Class ids that the type can hold, 0 included."""
        return int(np.iinfo(self.dtype).max) + 1


@dataclass(frozen=True)
class Record:
    """A line of the log whose fields were checked.

    Parameters
    ----------
    kind : str
        One of `KINDS`, or that of a later version, which is kept and not followed.
    frame : int
        Index of the frame.
    time : str
        When it was written.
    number : int
        Place in the history; lines of version 0.1 are counted.
    correction : Correction or None
        What a change changed, or a mark of pixels that nobody has reviewed.
    n_changed : int
        Pixels of the frame that differ from the prediction after a change.
    target : int or None
        Number of the change that is undone or redone; None for the last one (version 0.1).
    strokes : int or None
        Number of the last stroke that the record includes; None in version 0.1.
    """

    kind: str
    frame: int
    time: str
    number: int
    correction: Correction | None = None
    n_changed: int = 0
    target: int | None = None
    strokes: int | None = None

    def fields(self) -> dict[str, object]:
        """Keys and values of its line."""
        fields: dict[str, object] = {"kind": self.kind, "frame": self.frame, "time": self.time}
        if self.correction is not None:
            fields |= {"n_pixels": self.correction.n_pixels, "n_changed": self.n_changed}
            fields["runs"] = self.correction.to_text()
        optional = {"n": self.number, "of": self.target, "strokes": self.strokes}
        return fields | {key: value for key, value in optional.items() if value is not None}


def checked(fields: Mapping[str, object], number: int, frames: Frames, where: str) -> Record:
    """The record of a line of the log.

    Parameters
    ----------
    fields : mapping
        The line's keys and values.
    number : int
        Place in the history, if the line names none.
    frames : Frames
        The session's.
    where : str
        File and line, for messages.

    Raises
    ------
    DataError
        If a field is missing or impossible.
    """
    kind = fields.get("kind")
    if not isinstance(kind, str):
        raise _impossible(where, "kind", kind, "a word")
    number = count(fields, "n", where, default=number)
    if kind not in KINDS:
        return Record(kind, 0, str(fields.get("time", "")), number)
    time = fields.get("time")
    if not isinstance(time, str):
        raise _impossible(where, "time", time, "a time stamp")
    frame = count(fields, "frame", where, end=frames.shape[0])
    correction, n_changed = None, 0
    if kind in ("change", MARK):
        correction = checked_runs(fields, frame, frames, where)
        n_changed = count(fields, "n_changed", where, end=frames.n_pixels + 1)
    target = count(fields, "of", where) if "of" in fields else None
    strokes = count(fields, "strokes", where) if "strokes" in fields else None
    return Record(kind, frame, time, number, correction, n_changed, target, strokes)


def checked_runs(
    fields: Mapping[str, object], frame: int, frames: Frames, where: str
) -> Correction:
    """The changed pixels that a line names.

    Raises
    ------
    DataError
        If they are missing, damaged, or none of the frame.
    """
    runs = fields.get("runs")
    if not isinstance(runs, str):
        raise _impossible(where, "runs", runs, "a text")
    try:
        return Correction.from_text(frame, runs, n_pixels=frames.n_pixels, n_ids=frames.n_ids)
    except DataError as error:
        raise DataError(f"{where}: {error}; {_REMEDY}") from error


def count(
    fields: Mapping[str, object],
    key: str,
    where: str,
    *,
    start: int = 0,
    end: int = 2**63,
    default: int | None = None,
) -> int:
    """A field that is a whole number from `start` to below `end`.

    Raises
    ------
    DataError
        If it is missing or something else; `where` is the file and line, for the message.
    """
    value = fields.get(key, default)
    if isinstance(value, bool) or not isinstance(value, int) or not start <= value < end:
        wanted = "a whole number" + ("" if end == 2**63 else f" from {start} to {end - 1}")
        raise _impossible(where, key, value, wanted)
    return value


_REMEDY = "put the file back from a copy, or remove that line"


def _impossible(where: str, key: str, value: object, wanted: str) -> DataError:
    shown = "missing" if value is None else f"{value!r:.60}"
    return DataError(f"{where}: {key!r} is {shown}, it must be {wanted}; {_REMEDY}")
