"""Corrections of tracks, and the file that keeps them: a line for each, with a checksum."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple, get_args

from rleseg_core.errors import DataError, UnwritableError
from rleseg_core.files import time_stamp
from rleseg_core.files.lines import LineFile, read_lines, to_line
from rleseg_core.locks import WriterLock

EditKind = Literal["link", "cut", "divide", "unite", "swap", "accept"]
"""What a correction does; see `TrackEditor`."""

_N_NODES: dict[EditKind, int] = {
    "link": 2,
    "cut": 1,
    "divide": 2,
    "unite": 2,
    "swap": 2,
    "accept": 2,
}
_UNDO, _REDO = "undo", "redo"


class Node(NamedTuple):
    """An object of a frame.

    Attributes
    ----------
    frame : int
        Index of the frame.
    object : int
        Its id in that frame, 1 or more.
    """

    frame: int
    object: int

    def __str__(self) -> str:
        return f"object {self.object} of frame {self.frame}"


@dataclass(frozen=True)
class TrackEdit:
    """A correction of tracks, which says what it is about by objects, and not by ids of tracks.

    So it can be made again in tracks that were linked anew.

    Parameters
    ----------
    kind : {'link', 'cut', 'divide', 'unite', 'swap', 'accept'}
        What it does.
    nodes : tuple of Node
        What it is about: the one before and the one after; of 'cut' the one after alone; of
        'unite' the one that divided and the one that it goes on as; of 'swap' any two.
    """

    kind: EditKind
    nodes: tuple[Node, ...]

    def to_json(self) -> dict[str, object]:
        """Plain values."""
        return {"kind": self.kind, "nodes": [list(node) for node in self.nodes]}

    @classmethod
    def from_json(cls, fields: Mapping[str, object]) -> "TrackEdit | None":
        """The correction of a line; None if it is of a kind that is not known.

        Raises
        ------
        DataError
            If a field is missing or impossible.
        """
        kind = next((name for name in get_args(EditKind) if name == fields.get("kind")), None)
        if kind is None:
            return None
        given = fields.get("nodes")
        nodes = [_node(part) for part in given] if isinstance(given, list) else []
        if len(nodes) != _N_NODES[kind] or None in nodes:
            raise DataError(
                f"'nodes' is {given!r:.60}; {kind!r} takes {_N_NODES[kind]} of [frame, object]"
            )
        return cls(kind, tuple(node for node in nodes if node is not None))


def _node(value: object) -> Node | None:
    is_pair = isinstance(value, list) and len(value) == 2
    if is_pair and all(isinstance(part, int) and part >= 0 for part in value):  # type: ignore[attr-defined]
        return Node(*value)  # type: ignore[misc]
    return None


class EditLog:
    """The corrections of the tracks of one stack of objects, on the disk before they are made.

    Parameters
    ----------
    path : Path
        The file, which is made with the first correction. A line that was being written when the
        program was killed is left out; all others are read.
    read_only : bool
        Look at it: whatever would change it is refused.

    Attributes
    ----------
    standing, undone : list of TrackEdit
        What stands, and what can be redone; the last is undone or redone first.
    n_damaged, n_unknown : int
        Lines that are left out: torn or damaged, and of a later version.

    Raises
    ------
    DataError
        If it cannot be read, or a whole line has a missing or impossible field.

    Notes
    -----
    One program writes at a time. The first correction takes the right to, until `close`.
    """

    def __init__(self, path: Path, *, read_only: bool = False):
        self.path, self.read_only = path, read_only
        self.n_damaged = self.n_unknown = 0
        self._file = LineFile(path)
        self._lock = WriterLock(path.with_name(f"{path.name}.lock"), f"the file {path}")
        self._standing: list[tuple[int, TrackEdit]] = []
        self._undone: list[tuple[int, TrackEdit]] = []
        self._number = -1
        self._n_bytes = 0
        self._read()

    @property
    def standing(self) -> list[TrackEdit]:
        """What stands, in order."""
        return [edit for _, edit in self._standing]

    @property
    def undone(self) -> list[TrackEdit]:
        """What can be redone, the next one last."""
        return [edit for _, edit in self._undone]

    def append(self, edit: TrackEdit) -> None:
        """Write a correction; what was undone before can no longer be redone.

        Raises
        ------
        InUseError
            If another program writes to the file.
        DataError
            If it is open read-only, or was changed by another program.
        OSError
            If it cannot be written; then nothing has changed.
        """
        number = self._write(edit.to_json())
        self._standing.append((number, edit))
        self._undone.clear()

    def undo(self) -> TrackEdit | None:
        """Write that the last correction is undone, and return it; None if there is none."""
        return self._move(_UNDO, self._standing, self._undone)

    def redo(self) -> TrackEdit | None:
        """Write that what was undone last is redone, and return it; None if there is nothing."""
        return self._move(_REDO, self._undone, self._standing)

    def close(self) -> None:
        """Let other programs write to the file; the next correction takes the right again."""
        self._file.close()
        self._lock.release()

    def _move(
        self, kind: str, source: list[tuple[int, TrackEdit]], target: list[tuple[int, TrackEdit]]
    ) -> TrackEdit | None:
        if not source:
            return None
        self._write({"kind": kind, "of": source[-1][0]})
        target.append(source.pop())
        return target[-1][1]

    def _write(self, fields: dict[str, object]) -> int:
        """Write a line, and wait until it is on the disk; returns its number."""
        self._take()
        number = self._number + 1
        self._file.append(to_line({**fields, "time": time_stamp(), "n": number}))
        try:
            os.fsync(self._file.fileno())
        except OSError as error:
            self._file.cut_off()
            if error.errno is not None and error.filename is None:
                error.filename = str(self.path)
            raise
        self._file.commit()
        self._number, self._n_bytes = number, self._size()
        return number

    def _take(self) -> None:
        if self.read_only:
            raise DataError("these tracks are open read-only; open the corrections to write")
        if self._lock.held:
            return
        try:
            self._lock.acquire()
        except OSError as error:
            raise UnwritableError(f"{self.path} cannot be written to: {error.strerror}") from error
        if self._size() != self._n_bytes:
            self._lock.release()
            raise DataError(f"{self.path} was changed by another program; open the tracks anew")

    def _size(self) -> int:
        return self.path.stat().st_size if self.path.exists() else 0

    def _read(self) -> None:
        try:
            content = self.path.read_bytes() if self.path.exists() else b""
        except OSError as error:
            raise DataError(f"{self.path} cannot be read: {error.strerror or error}") from error
        self._n_bytes = len(content)
        for line, fields in read_lines(content):
            if fields is None:
                self.n_damaged += 1
                continue
            try:
                self._follow(fields)
            except DataError as error:
                raise DataError(
                    f"{self.path}, line {line}: {error}; put the file back from a copy, or remove "
                    "that line"
                ) from error

    def _follow(self, fields: Mapping[str, object]) -> None:
        number = fields.get("n")
        if not isinstance(number, int):
            raise DataError(f"'n' is {number!r:.60}, it must be a whole number")
        self._number = max(self._number, number)
        kind = fields.get("kind")
        if kind == _UNDO:
            _move_number(self._standing, self._undone, fields.get("of"))
        elif kind == _REDO:
            _move_number(self._undone, self._standing, fields.get("of"))
        elif (edit := TrackEdit.from_json(fields)) is not None:
            self._standing.append((number, edit))
            self._undone.clear()
        else:
            self.n_unknown += 1


def _move_number(
    source: list[tuple[int, TrackEdit]], target: list[tuple[int, TrackEdit]], number: object
) -> None:
    """Move the correction of that number, if it is there."""
    for place in range(len(source) - 1, -1, -1):
        if source[place][0] == number:
            target.append(source.pop(place))
            return
