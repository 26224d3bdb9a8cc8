"""Tracks that are corrected: links made, cut and exchanged, with undo."""

from dataclasses import dataclass

import numpy as np

from rleseg_core.errors import DataError
from rleseg_core.tracks.edits import EditLog, Node, TrackEdit
from rleseg_core.tracks.table import Tracks

SURE = 1.0  # score of a link that a person made or accepted


@dataclass(frozen=True, eq=False)
class _Delta:
    """What a correction changes, by rows: ids of tracks, the rows before, and scores."""

    rows: np.ndarray
    tracks: tuple[np.ndarray, np.ndarray]  # before and after
    targets: np.ndarray
    sources: tuple[np.ndarray, np.ndarray]
    scores: tuple[np.ndarray, np.ndarray]


class TrackEditor:
    """Tracks that are corrected; each correction can be undone, and undo gives back what was.

    Objects stay what they are; corrections change which is linked to which. From the links follow
    the tracks: one ends where its object divides or is linked to none. A track keeps its id as
    long as it begins with the same object; what is cut off gets an id above all others. Links that
    a person made or accepted have the score 1.

    Parameters
    ----------
    tracks : Tracks
        The tracks as they were linked.
    log : EditLog, optional
        Corrections that are made again here, as far as their objects are still there, and to which
        others are appended before they are made.

    Attributes
    ----------
    frame, object, area, track : (n,) int64
        Of each object; rows stay what they are while tracks change. Not to be written to.
    centroids : (2, n) float64
        Rows and columns in pixels.
    before : (n,) int64
        Row of the object before each; -1 for none.
    score : (n,) float32
        Of the link to it, 0 to 1; nan where there is none, or it is not known.
    n_skipped : int
        Corrections of the log that do not fit the tracks, because objects are gone.
    """

    def __init__(self, tracks: Tracks, log: EditLog | None = None):
        self._base = tracks
        self.frame, self.object, self.area = tracks.frame, tracks.object, tracks.area
        self.centroids = np.stack([tracks.row, tracks.col])
        self.track, self.before = tracks.track.copy(), tracks.before.copy()
        self.score = tracks.score.copy()
        self._order = np.lexsort((self.object, self.frame))
        self._log = log
        self._done: list[tuple[TrackEdit, _Delta | None]] = []
        self._undone: list[TrackEdit] = [] if log is None else log.undone
        self._tracks: Tracks | None = tracks
        self.n_skipped = 0
        for edit in [] if log is None else log.standing:
            self._repeat(edit)

    def __len__(self) -> int:
        return self.track.size

    @property
    def tracks(self) -> Tracks:
        """The tracks as they are now."""
        if self._tracks is None:
            base = self._base
            self._tracks = Tracks(
                **{name: getattr(base, name) for name in ("frame", "object", "row", "col", "area")},
                track=self.track,
                score=self.score,
                parents=self.parents(),
            )
        return self._tracks

    @property
    def n_tracks(self) -> int:
        """Number of tracks."""
        return np.unique(self.track).size

    @property
    def n_divisions(self) -> int:
        """Number of objects that divide."""
        _, n_after = np.unique(self.before[self.before >= 0], return_counts=True)
        return int((n_after > 1).sum())

    @property
    def n_edits(self) -> int:
        """Corrections that can be undone."""
        return len(self._done)

    @property
    def n_undone(self) -> int:
        """Undone corrections that can be redone."""
        return len(self._undone)

    @property
    def read_only(self) -> bool:
        """Whether nothing can be corrected."""
        return self._log is not None and self._log.read_only

    def parents(self) -> dict[int, int]:
        """The parent of each track that has one."""
        first = self._daughter_rows()
        of = self.track[self.before[first]]
        return dict(zip(self.track[first].tolist(), of.tolist(), strict=True))

    def node(self, row: int) -> Node:
        """The object of a row."""
        return Node(int(self.frame[row]), int(self.object[row]))

    def row_of(self, node: Node) -> int | None:
        """Row of an object; None if the tracks do not have it."""
        frame, number = self.frame[self._order], self.object[self._order]
        first, end = np.searchsorted(frame, (node.frame, node.frame + 1))
        at = first + int(np.searchsorted(number[first:end], node.object))
        return int(self._order[at]) if at < end and number[at] == node.object else None

    def rows_of(self, track: int) -> np.ndarray:
        """Rows of a track, by frame."""
        return np.flatnonzero(self.track == track)

    def after(self, row: int) -> np.ndarray:
        """Rows of the objects that one goes on as, or divides into."""
        return np.flatnonzero(self.before == row)

    def doubtful(self) -> np.ndarray:
        """Rows of the objects whose link to the one before is not sure, the least certain first.

        Of daughters there is one, because a division is judged as a whole.
        """
        rows = np.flatnonzero(self.score < SURE)
        rows = rows[np.argsort(self.score[rows], kind="stable")]
        _, first = np.unique(self.before[rows], return_index=True)
        return rows[np.sort(first)]

    def link(self, source: Node, target: Node) -> TrackEdit:
        """Let an object go on as another one of a later frame, and as none else."""
        return self.apply(TrackEdit("link", (source, target)))

    def cut(self, target: Node) -> TrackEdit:
        """Let a track begin with an object."""
        return self.apply(TrackEdit("cut", (target,)))

    def join(self, track: int, other: int) -> TrackEdit:
        """Let the later of two tracks be the earlier one, which ended before it."""
        rows, others = self.rows_of(track), self.rows_of(other)
        if not (rows.size and others.size):
            raise DataError(f"there is no track {other if rows.size else track}")
        if self.frame[rows[0]] > self.frame[others[0]]:
            rows, others = others, rows
        return self.link(self.node(int(rows[-1])), self.node(int(others[0])))

    def divide(self, source: Node, target: Node) -> TrackEdit:
        """Let an object have another daughter, beside what it goes on as."""
        return self.apply(TrackEdit("divide", (source, target)))

    def unite(self, kept: Node) -> TrackEdit:
        """Undo the division of which an object is a daughter: it is its parent, others begin."""
        row = self._row(kept)
        if self.before[row] < 0:
            raise DataError(f"{kept} has no object before it")
        return self.apply(TrackEdit("unite", (self.node(int(self.before[row])), kept)))

    def swap(self, one: Node, other: Node) -> TrackEdit:
        """Let two tracks be each other from two of their objects on."""
        return self.apply(TrackEdit("swap", (one, other)))

    def accept(self, target: Node) -> TrackEdit:
        """Confirm the link to an object, and those to its sisters."""
        row = self._row(target)
        if self.before[row] < 0:
            raise DataError(f"{target} has no link to one before it")
        return self.apply(TrackEdit("accept", (self.node(int(self.before[row])), target)))

    def apply(self, edit: TrackEdit) -> TrackEdit:
        """Make a correction, once it is in the log.

        Raises
        ------
        DataError
            If it is not possible, or changes nothing; the message says why.
        OSError
            If it cannot be written; then nothing has changed.
        """
        delta = self._plan(edit)
        if self._log is not None:
            self._log.append(edit)
        self._done.append((edit, delta))
        self._undone = []
        self._set(delta, 1)
        return edit

    def undo(self) -> TrackEdit | None:
        """Undo the last correction and return it; None if there is none."""
        if not self._done:
            return None
        if self._log is not None:
            self._log.undo()
        edit, delta = self._done.pop()
        self._undone.append(edit)
        if delta is None:
            self.n_skipped -= 1
        else:
            self._set(delta, 0)
        return edit

    def redo(self) -> TrackEdit | None:
        """Redo what was undone last and return it; None if there is nothing."""
        if not self._undone:
            return None
        if self._log is not None:
            self._log.redo()
        edit = self._undone.pop()
        self._repeat(edit)
        return edit

    def close(self) -> None:
        """Let other programs correct the tracks."""
        if self._log is not None:
            self._log.close()

    def _repeat(self, edit: TrackEdit) -> None:
        """Make a correction that is in the log already, if it fits."""
        try:
            delta: _Delta | None = self._plan(edit)
        except DataError:
            delta = None
        self._done.append((edit, delta))
        if delta is None:
            self.n_skipped += 1
        else:
            self._set(delta, 1)

    def _row(self, node: Node) -> int:
        row = self.row_of(node)
        if row is None:
            raise DataError(f"the tracks have no {node}")
        return row

    def _daughter_rows(self) -> np.ndarray:
        """Rows with which a track begins that has a parent."""
        begins = (self.before >= 0) & (self.track != self.track[self.before])
        return np.flatnonzero(begins)

    def _plan(self, edit: TrackEdit) -> _Delta:
        """What a correction would change."""
        before, score = _changes(self, edit.kind, [self._row(node) for node in edit.nodes])
        for target, source in before.items():
            if source >= 0 and self.frame[source] >= self.frame[target]:
                raise DataError(
                    f"{self.node(target)} cannot follow {self.node(source)}; choose one of a later "
                    "frame"
                )
        delta = self._delta(before, score)
        same = [np.array_equal(*pair) for pair in (delta.tracks, delta.sources)]
        if all(same) and np.array_equal(*delta.scores, equal_nan=True):
            raise DataError("that is how the tracks are already; nothing was changed")
        return delta

    def _delta(self, before: dict[int, int], score: dict[int, float]) -> _Delta:
        targets = np.array(sorted({*before, *score}), np.int64)
        source = np.array([before.get(t, int(self.before[t])) for t in targets.tolist()], np.int64)
        scores = np.array([score.get(t, self.score[t]) for t in targets.tolist()], np.float32)
        sources = self.before[targets], source
        rows, tracks = self._renamed(targets, sources)
        return _Delta(rows, tracks, targets, sources, (self.score[targets], scores))

    def _renamed(
        self, targets: np.ndarray, sources: tuple[np.ndarray, np.ndarray]
    ) -> tuple[np.ndarray, tuple[np.ndarray, np.ndarray]]:
        """Rows whose track changes with the objects before targets, and both of its ids."""
        changed = sources[0] != sources[1]
        touched = np.unique(np.concatenate([part[changed] for part in sources]))
        touched = touched[touched >= 0]
        daughters = np.flatnonzero(np.isin(self.before, touched))
        concerned = np.concatenate([targets[changed], touched, daughters])
        rows = np.flatnonzero(np.isin(self.track, self.track[concerned]))  # by frame
        source_of = dict(zip(targets.tolist(), sources[1].tolist(), strict=True))
        before = {row: source_of.get(row, int(self.before[row])) for row in rows.tolist()}
        n_after = dict.fromkeys(touched.tolist(), 0)
        for source in before.values():
            if source in n_after:
                n_after[source] += 1
        seen: set[int] = set()  # tracks whose first object has passed
        new: dict[int, int] = {}
        highest = int(self.track.max(initial=0))
        for row, source in before.items():
            old = int(self.track[row])
            if source >= 0 and (
                n_after[source] == 1 if source in n_after else self.track[source] == old
            ):
                new[row] = new[source]
            elif old not in seen:
                new[row] = old
            else:
                highest += 1
                new[row] = highest
            seen.add(old)
        after = np.array([new[row] for row in rows.tolist()], np.int64)
        moved = after != self.track[rows]
        return rows[moved], (self.track[rows][moved], after[moved])

    def _set(self, delta: _Delta, side: int) -> None:
        self.track[delta.rows] = delta.tracks[side]
        self.before[delta.targets] = delta.sources[side]
        self.score[delta.targets] = delta.scores[side]
        self._tracks = None


def _changes(
    editor: TrackEditor, kind: str, rows: list[int]
) -> tuple[dict[int, int], dict[int, float]]:
    """Rows that get another object before them (-1 for none), and those that get other scores."""
    before: dict[int, int] = {}
    sure: list[int] = []
    if kind == "swap":
        one, other = rows
        before = {one: int(editor.before[other]), other: int(editor.before[one])}
        sure = [one, other]
    elif kind == "cut":
        before = {rows[0]: -1}
    else:
        source, target = rows
        sisters = [row for row in editor.after(source).tolist() if row != target]
        if kind in ("unite", "accept") and editor.before[target] != source:
            raise DataError(f"{editor.node(target)} no longer follows {editor.node(source)}")
        if kind in ("link", "divide"):
            before[target] = source
        if kind in ("link", "unite"):
            before |= dict.fromkeys(sisters, -1)
        sure = [target] if kind in ("link", "unite") else [target, *sisters]
    score = dict.fromkeys(sure, SURE) | {row: np.nan for row, of in before.items() if of < 0}
    return before, score
