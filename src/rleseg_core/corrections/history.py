"""What the records of a log add up to: changes that stand, changes undone, accepted frames."""

import logging
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from rleseg_core.corrections.delta import Correction
from rleseg_core.corrections.records import (
    KINDS,
    MARK,
    STATES,
    Frames,
    Record,
    checked,
)
from rleseg_core.errors import DataError
from rleseg_core.files.lines import read_lines

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Change:
    """A change of the log.

    Parameters
    ----------
    correction : Correction
        What it changed.
    n_changed : int
        Pixels of the frame that differ from the prediction after it.
    number : int
        Its place in the history.
    """

    correction: Correction
    n_changed: int
    number: int


@dataclass
class Covered:
    """The strokes that the log includes.

    Parameters
    ----------
    last : dict of int to int
        The last one, of each frame.
    last_without : int
        Number of the last record that includes strokes without naming them, as version 0.1 did.
    """

    last: dict[int, int] = field(default_factory=dict)
    last_without: int = -1

    def follow(self, record: Record) -> None:
        """Take a record into account that includes strokes."""
        if record.strokes is None:
            self.last_without = record.number
        else:
            self.last[record.frame] = max(record.strokes, self.last.get(record.frame, 0))


@dataclass
class History:
    """The state that records add up to.

    Parameters
    ----------
    changes, undone : list of Change
        What stands, and what can be redone; the last is undone or redone first.
    superseded : list of Change
        Changes that were undone before another was made; they cannot be redone.
    accepted : set of int
        Frames that a person accepted.
    marks : dict of int to list of Correction
        Of each frame, the changes of its pixels that nobody has reviewed (1), the first one first.
    painted, marked : Covered
        The strokes that the log includes: on the labels, and on the marks.
    number : int
        Place of the last record in the history.
    saved : str or None
        Time stamp of the last record.
    n_damaged, n_unknown : int
        Lines that are ignored: torn or damaged, and of kinds that a later version writes.
    """

    changes: list[Change] = field(default_factory=list)
    undone: list[Change] = field(default_factory=list)
    superseded: list[Change] = field(default_factory=list)
    accepted: set[int] = field(default_factory=set)
    marks: dict[int, list[Correction]] = field(default_factory=dict)
    painted: Covered = field(default_factory=Covered)
    marked: Covered = field(default_factory=Covered)
    number: int = -1
    saved: str | None = None
    n_damaged: int = 0
    n_unknown: int = 0

    def follow(self, record: Record) -> None:
        """Take a record into account."""
        kind, frame = record.kind, record.frame
        if kind == "change" and record.correction is not None:
            self.changes.append(Change(record.correction, record.n_changed, record.number))
            self.superseded += self.undone
            self.undone = []
        elif kind == "undo":
            _move(self.changes, self.undone, record.target)
        elif kind == "redo":
            _move(self.undone, self.changes, record.target)
        elif kind == MARK and record.correction is not None:
            self.marks.setdefault(frame, []).append(record.correction)
            self.marked.follow(record)
        elif kind == "accept":
            self.accepted.add(frame)
        elif kind == "reopen":
            self.accepted.discard(frame)
        if kind in STATES:
            self.painted.follow(record)
        self.number, self.saved = max(self.number, record.number), record.time or self.saved

    def of_frame(self, frame: int) -> list[Correction]:
        """The changes of a frame that stand, the first one first."""
        return [c.correction for c in self.changes if c.correction.frame == frame]

    def all_of_frame(self, frame: int) -> list[Correction]:
        """All changes that were ever made in a frame, undone ones too, the first one first."""
        found = (*self.changes, *self.undone, *self.superseded)
        of_frame = [change for change in found if change.correction.frame == frame]
        return [c.correction for c in sorted(of_frame, key=lambda change: change.number)]

    def earlier_values(self, frame: int, labels: np.ndarray, prediction: np.ndarray) -> np.ndarray:
        """Where `labels` (Y, X) have a value that the pixel had before: (Y, X) bool."""
        found = labels == prediction
        for change in self.all_of_frame(frame):
            places = np.unravel_index(change.pixels(), labels.shape)
            for values in (change.before, change.after):
                found[places] |= labels[places] == np.repeat(values, change.lengths)
        return found


def read_history(path: Path, frames: Frames) -> History:
    """The history in a log; damaged lines are left out and counted.

    Lines that stand twice count once, and lines in another order are put right by their numbers.

    Raises
    ------
    DataError
        If there is no log, or a whole line has a missing or impossible field.
    """
    history, records, number = History(), {}, -1
    for line, fields in read_lines(read_content(path)):
        if fields is None:
            history.n_damaged += 1
            continue
        record = checked(fields, number + 1, frames, f"{path}, line {line}")
        number = record.number
        records[number] = record
    for number in sorted(records):
        history.n_unknown += records[number].kind not in KINDS
        history.follow(records[number])
    if history.n_damaged or history.n_unknown:
        _log.warning(
            "%s: %d damaged lines and %d of a later version are left out",
            *(path, history.n_damaged, history.n_unknown),
        )
    return history


def read_content(path: Path) -> bytes:
    """Content of a file of the session.

    Raises
    ------
    DataError
        If it is missing or unreadable.
    """
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise DataError(
            f"{path} is missing: put it back from a copy, or make an empty file of that name, "
            "and the masks in labels.zarr are recorded as new changes"
        ) from error
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}") from error


def _move(source: list[Change], target: list[Change], number: int | None) -> None:
    """Move the change of that number, by default the last one, if it is there."""
    place: Iterable[int] = range(len(source) - 1, -1, -1)
    found = next((n for n in place if number is None or source[n].number == number), None)
    if found is not None:
        target.append(source.pop(found))
