"""Tracks: objects of frames with the cell that each of them is, and the parents of cells."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple, Self

import numpy as np

from rleseg_core.errors import DataError
from rleseg_core.objects.stack import FrameObjects

COLUMNS: dict[str, np.dtype] = {
    **dict.fromkeys(("frame", "object", "track"), np.dtype(np.int64)),
    **dict.fromkeys(("row", "col"), np.dtype(np.float64)),
    "area": np.dtype(np.int64),
    "score": np.dtype(np.float32),
}
"""The columns of `Tracks` and their types."""


class Links(NamedTuple):
    """The edges of the graph of tracks: each leads from an object to one of a later frame.

    Attributes
    ----------
    source, target : (m,) int64
        Rows of the two objects in `Tracks`. An object that divides is the source of several.
    score : (m,) float32
        0 to 1; nan where it is not known.
    """

    source: np.ndarray
    target: np.ndarray
    score: np.ndarray


@dataclass(frozen=True, kw_only=True, eq=False)
class Tracks:
    """Objects of frames, each with its track; columns are arrays (n,), by frame and track.

    A track is one cell from its birth to its division, death or disappearance. It may leave out
    frames, in which the cell was not seen.

    Parameters
    ----------
    frame : (n,) int64
        Index of the frame.
    object : (n,) int64
        Id of the object in that frame, 1 or more.
    track : (n,) int64
        Id of the track, 1 or more; in one frame a track has one object.
    row, col : (n,) float64
        Centroid in pixels; (0, 0) is the centre of the first pixel.
    area : (n,) int64
        In pixels.
    score : (n,) float32
        Of the link to the object before it in its track, or in that of its parent: 0 to 1; nan
        where there is none before, or the score is not known.
    parents : mapping of int to int
        The parent of each track that has one.

    Raises
    ------
    DataError
        If the columns differ in length, a frame, id or area is no whole number, an id is below 1, a
        track has two objects in a frame, or a parent is no track or does not end before its
        daughter begins.
    """

    frame: np.ndarray
    object: np.ndarray
    track: np.ndarray
    row: np.ndarray
    col: np.ndarray
    area: np.ndarray
    score: np.ndarray
    parents: Mapping[int, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        columns = {name: _column(name, getattr(self, name)) for name in COLUMNS}
        shapes = {name: column.shape for name, column in columns.items()}
        if len(set(shapes.values())) > 1 or columns["track"].ndim != 1:
            raise DataError(f"columns of tracks must be (n,), one length for all; got {shapes}")
        for name, least in (("frame", 0), ("object", 1), ("track", 1)):
            if columns[name].min(initial=least) < least:
                raise DataError(
                    f"{name} {columns[name].min()} in a table of tracks; the least is {least}"
                )
        order = np.lexsort((columns["track"], columns["frame"]))
        for name, column in columns.items():
            object.__setattr__(self, name, column[order])
        parents = {int(track): int(parent) for track, parent in self.parents.items()}
        object.__setattr__(self, "parents", dict(sorted(parents.items())))
        self._check()

    def _check(self) -> None:
        same = (np.diff(self.frame) == 0) & (np.diff(self.track) == 0)
        if same.any():
            at = int(same.argmax())
            raise DataError(
                f"track {self.track[at]} has two objects in frame {self.frame[at]}; it can have one"
            )
        spans = {int(track): (int(first), int(last)) for track, first, last, _ in self.spans()}
        for track, parent in self.parents.items():
            if track not in spans or parent not in spans:
                lost = track if track not in spans else parent
                raise DataError(f"track {parent} is the parent of {track}, but {lost} is no track")
            if spans[parent][1] >= spans[track][0]:
                raise DataError(
                    f"track {parent} is the parent of {track}; it must end before that begins, but "
                    f"it ends in frame {spans[parent][1]}, and that begins in {spans[track][0]}"
                )

    def __len__(self) -> int:
        return self.track.size

    @classmethod
    def of_frames(cls, frames: Iterable[FrameObjects], parents: Mapping[int, int]) -> Self:
        """Tracks of objects whose ids are those of their tracks already.

        Parameters
        ----------
        frames : iterable of FrameObjects
            Such as ``ObjectStack.each()``.
        parents : mapping of int to int
            The parent of each track that has one.
        """
        columns: dict[str, list[np.ndarray]] = {
            name: [np.empty(0, COLUMNS[name])] for name in ("frame", "object", "row", "col", "area")
        }
        for objects in frames:
            table = objects.table
            for name in columns:
                columns[name].append(table.id if name == "object" else getattr(table, name))
        joined = {name: np.concatenate(parts) for name, parts in columns.items()}
        unknown = np.full(joined["frame"].size, np.nan)
        return cls(**joined, track=joined["object"], score=unknown, parents=parents)

    @property
    def n_tracks(self) -> int:
        """Number of tracks."""
        return np.unique(self.track).size

    @cached_property
    def _order(self) -> np.ndarray:
        """Rows by track, and by frame within each."""
        return np.lexsort((self.frame, self.track))

    @cached_property
    def _begins(self) -> np.ndarray:
        """Whether a row, in that order, is the first of its track."""
        track = self.track[self._order]
        return np.diff(track, prepend=track[:1] - 1) != 0

    def spans(self) -> np.ndarray:
        """Id, first frame, last frame and parent (0 = none) of each track, (k, 4) int64."""
        track, frame = self.track[self._order], self.frame[self._order]
        first = np.flatnonzero(self._begins)
        last = np.append(first[1:], track.size)[: first.size] - 1
        parents = [self.parents.get(int(one), 0) for one in track[first]]
        return np.column_stack([track[first], frame[first], frame[last], parents]).astype(np.int64)

    @cached_property
    def before(self) -> np.ndarray:
        """Row of the object before each in its track, or in that of its parent; -1 for none."""
        order, begins = self._order, self._begins
        before = np.full(len(self), -1, np.int64)
        before[order[1:]] = np.where(begins[1:], -1, order[:-1])
        track = self.track[order]
        last = np.append(begins[1:], True)[: track.size]
        last_row = dict(zip(track[last].tolist(), order[last].tolist(), strict=True))
        for row in order[begins].tolist():
            parent = self.parents.get(int(self.track[row]))
            if parent is not None:
                before[row] = last_row[parent]
        return before

    def links(self) -> Links:
        """The edges of the graph, by the row of their target."""
        target = np.flatnonzero(self.before >= 0)
        return Links(self.before[target], target, self.score[target])

    def divisions(self) -> dict[int, tuple[int, ...]]:
        """The daughters of each track that has two or more."""
        daughters: dict[int, list[int]] = {}
        for track, parent in self.parents.items():
            daughters.setdefault(parent, []).append(track)
        return {parent: tuple(of) for parent, of in sorted(daughters.items()) if len(of) > 1}

    def graph(self) -> dict[int, list[int]]:
        """The parents of each track that has one, as a Tracks layer of napari takes them."""
        return {track: [parent] for track, parent in self.parents.items()}

    def lineage(self) -> np.ndarray:
        """The track (n,) int64 with which the lineage of each object began."""
        ids = np.unique(self.track)
        roots = np.array([self._root(int(track)) for track in ids], np.int64)
        return roots[np.searchsorted(ids, self.track)]

    def _root(self, track: int) -> int:
        while (parent := self.parents.get(track)) is not None:
            track = parent
        return track

    def in_frame(self, frame: int) -> slice:
        """The rows of a frame."""
        first, end = np.searchsorted(self.frame, (frame, frame + 1))
        return slice(int(first), int(end))

    def gaps(self) -> Iterator[tuple[int, int]]:
        """Pairs of rows of one track between which it leaves out frames."""
        for row in np.flatnonzero(self.before >= 0).tolist():
            before = int(self.before[row])
            is_one = self.track[before] == self.track[row]
            if is_one and self.frame[row] - self.frame[before] > 1:
                yield before, row


def _column(name: str, given: np.ndarray) -> np.ndarray:
    """A column of the type that it has."""
    values = np.asarray(given)
    with np.errstate(invalid="ignore"):
        column = values.astype(COLUMNS[name])
    if column.dtype.kind == "i" and not np.array_equal(column, values):
        wrong = values[column != values].flat[0]
        raise DataError(f"{name} {wrong} in a table of tracks; it must be a whole number")
    return column


def tracks_of_links(before: np.ndarray, frame: np.ndarray) -> np.ndarray:
    """Ids (n,) int64, from 1 on, of the tracks that links make of objects.

    A track goes on until its object divides or has no link to a later one.

    Parameters
    ----------
    before : (n,) int64
        Row of the object before each; -1 for none.
    frame : (n,) int64
        Frame of each, later than that of the one before it.
    """
    n_after = np.bincount(before[before >= 0], minlength=before.size)
    track, n_tracks = np.zeros(before.size, np.int64), 0
    for row in np.argsort(frame, kind="stable").tolist():
        if before[row] >= 0 and n_after[before[row]] == 1:
            track[row] = track[before[row]]
        else:
            n_tracks += 1
            track[row] = n_tracks
    return track
