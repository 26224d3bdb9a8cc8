"""Objects of frames linked into tracks, frame after frame."""

from collections.abc import Generator, Mapping
from dataclasses import dataclass

import numpy as np

from rleseg_core.checks import Index, check_fields
from rleseg_core.errors import DataError
from rleseg_core.objects.stack import FrameObjects, ObjectStack
from rleseg_core.tracks.hypotheses import Hypotheses, choose, find_hypotheses
from rleseg_core.tracks.motion import Objects, local_displacements, shift_between
from rleseg_core.tracks.table import COLUMNS, Tracks

_TRUSTED = 0.3  # affinity of the links that tell how neighbours move, and how they grow
_FEW = 3  # links, below which growth is not measured


@dataclass(frozen=True, kw_only=True)
class LinkOptions:
    """How objects are linked.

    Parameters
    ----------
    max_gap : int
        Frames in which a cell may be missing and still be the same, 0 or more.
    divisions : bool
        Whether cells divide; if not, each link is one to one.
    """

    max_gap: Index = 2
    divisions: bool = True

    def __post_init__(self) -> None:
        check_fields(self, DataError)


DEFAULTS = LinkOptions()


KnownLinks = Mapping[int, np.ndarray]
"""Links that are known, by the frame that they lead to: (k, 3) float64 rows with the id of the
object in the frame before, that of the object, and the score."""


@dataclass(frozen=True, kw_only=True)
class FrameLinked:
    """A frame whose objects are linked with those before.

    Parameters
    ----------
    frame : int
        Its index.
    n_objects, n_new, n_divided : int
        Its objects, those with which a track begins that has no parent, and the cells that have
        divided since they were last seen.
    n_done, n_frames : int
        Frames that are done, and those in all.
    """

    frame: int
    n_objects: int
    n_new: int
    n_divided: int
    n_done: int
    n_frames: int


def link_objects(
    stack: ObjectStack, options: LinkOptions = DEFAULTS, known: KnownLinks | None = None
) -> Generator[FrameLinked, None, Tracks]:
    """Link the objects of frames into tracks.

    Frames are read one after another. Two of them are in memory, with the pixels of objects that
    were lost a few frames ago, and a line for each object of the stack.

    Parameters
    ----------
    stack : ObjectStack
        The objects. Their ids need not persist.
    options : LinkOptions
        How they are linked.
    known : mapping of int to (k, 3) array, optional
        Links that are taken as they are, such as those that the tokens of a model say: the other
        objects are linked by what they look like.

    Yields
    ------
    FrameLinked
        After each frame. Closing the generator cancels.

    Returns
    -------
    Tracks

    Notes
    -----
    From frame to frame, each object goes on as one object, divides into two or ends, and each
    object of the next frame is one of these or begins a track: the consistent choice with the
    highest sum of gains, an integer programme that HiGHS solves exactly. It is solved twice: after
    a shift of the whole frame, from which the links result that tell how each neighbourhood moves
    and grows, and again with those. `find_hypotheses` and `choose` say what a gain and a score are.
    Objects that end stay candidates for `max_gap` frames, with less gain for each, and move along
    with their neighbours.
    """
    growing = _GrowingTracks()
    before: Objects | None = None
    latest = np.empty(0, np.int64)
    for frame in range(stack.n_frames):
        found = stack.objects(frame)
        objects = Objects.of_frame(found, growing.n_objects)
        growing.begin(found)
        n_new = len(objects)
        hypotheses = None
        if before is not None:
            pairs = _known_pairs(known or {}, frame, latest, found.table.id)
            hypotheses, scores, displacement = _link(before, objects, options, pairs)
            growing.add(before, objects, hypotheses, scores)
            n_new -= hypotheses.first.size + int(hypotheses.divides.sum())
            is_lost = np.ones(len(before), bool)
            is_lost[hypotheses.source] = False
            objects = objects.with_others(before.moved(displacement).lost(is_lost, options.max_gap))
        growing.end()
        before, latest = objects, found.table.id
        yield FrameLinked(
            frame=frame,
            n_objects=len(found.table),
            n_new=n_new,
            n_divided=0 if hypotheses is None else int(hypotheses.divides.sum()),
            n_done=frame + 1,
            n_frames=stack.n_frames,
        )
    return growing.tracks()


def expected_places(before: FrameObjects, after: FrameObjects) -> np.ndarray:
    """The objects of a frame where they are expected in another, (Y, X) integer ids.

    Each has moved as its neighbours have, and keeps its shape. Where two lie on each other then,
    the later one shows.
    """
    one, other = Objects.of_frame(before, 0), Objects.of_frame(after, 0)
    pairs = _known_pairs({}, 1, before.table.id, after.table.id)
    *_, displacement = _link(one, other, DEFAULTS, pairs)
    moved = one.moved(displacement)
    ids = np.zeros_like(before.ids)
    ids[moved.rows, moved.cols] = before.table.id[moved.index]
    return ids


def _known_pairs(
    known: KnownLinks, frame: int, before: np.ndarray, after: np.ndarray
) -> Hypotheses:
    """The known links to a frame between objects of ascending ids, as sure hypotheses.

    Raises
    ------
    DataError
        If there is no such object, or one has two links.
    """
    rows = np.asarray(known.get(frame, np.empty((0, 3))), np.float64).reshape(-1, 3)
    source = _rows_of(rows[:, 0].astype(np.int64), before, frame - 1)
    target = _rows_of(rows[:, 1].astype(np.int64), after, frame)
    score = rows[:, 2]
    return Hypotheses(source, target, np.full(score.size, -1), score, np.ones(score.size))


def _rows_of(ids: np.ndarray, there: np.ndarray, frame: int) -> np.ndarray:
    """Where ids, each of them once, are among the ascending ones of a frame."""
    is_there = np.isin(ids, there)
    if not is_there.all():
        raise DataError(f"frame {frame} has no object {ids[~is_there][0]}, which a link names")
    found, counts = np.unique(ids, return_counts=True)
    if (counts > 1).any():
        raise DataError(f"object {found[counts > 1][0]} of frame {frame} has two links")
    return np.searchsorted(there, ids)


def _link(
    before: Objects, objects: Objects, options: LinkOptions, known: Hypotheses
) -> tuple[Hypotheses, np.ndarray, np.ndarray]:
    """The chosen hypotheses, their scores, and how far each object (n, 2) was expected to move."""
    displacement = np.zeros((len(before), 2))
    if not len(before) or not len(objects):
        none = np.empty(0, np.int64)
        return Hypotheses(none, none, none, np.empty(0), np.empty(0)), np.empty(0), displacement
    shift = shift_between(before, objects) if not before.missed.all() else np.zeros(2)
    displacement, growth = displacement + shift, 1.0
    chosen, scores = _solve(before, objects, displacement, growth, options, known)
    sure = chosen.select(chosen.affinity > _TRUSTED)
    area, centroids = _joined(objects, sure)
    moves = centroids - before.centroids[sure.source]
    displacement = local_displacements(before, sure.source, moves, shift)
    if sure.source.size >= _FEW:
        growth = float(np.median(area / before.area[sure.source]))
    chosen, scores = _solve(before, objects, displacement, growth, options, known)
    rest, low_scores = _link_rest(before.moved(displacement), objects, growth, chosen)
    joined = Hypotheses(*(np.concatenate(columns) for columns in zip(chosen, rest, strict=True)))
    return joined, np.concatenate([scores, low_scores]), displacement


def _link_rest(
    before: Objects, objects: Objects, growth: float, chosen: Hypotheses
) -> tuple[Hypotheses, np.ndarray]:
    """Links, and their scores, between objects that would end and others that would begin.

    Their areas may jump, which would make divisions of links if these were not chosen already.
    """
    ends, begins = np.ones(len(before), bool), np.ones(len(objects), bool)
    ends[chosen.source] = False
    begins[chosen.first] = False
    begins[chosen.second[chosen.divides]] = False
    found = find_hypotheses(before, objects, growth, divisions=False, jumps=True)
    rest = found.select(ends[found.source] & begins[found.first])
    rows, scores = choose(rest, len(before), len(objects))
    return rest.select(rows), scores


def _solve(
    before: Objects,
    objects: Objects,
    displacement: np.ndarray,
    growth: float,
    options: LinkOptions,
    known: Hypotheses,
) -> tuple[Hypotheses, np.ndarray]:
    """The known hypotheses and the best ones of the other objects, with their scores."""
    found = find_hypotheses(
        before.moved(displacement), objects, growth, divisions=options.divisions
    )
    taken = np.isin(found.first, known.first) | np.isin(found.second, known.first)
    found = found.select(~taken & ~np.isin(found.source, known.source))
    rows, scores = choose(found, len(before), len(objects))
    both = zip(known, found.select(rows), strict=True)
    joined = Hypotheses(*(np.concatenate(columns) for columns in both))
    return joined, np.concatenate([known.affinity, scores])


def _joined(objects: Objects, chosen: Hypotheses) -> tuple[np.ndarray, np.ndarray]:
    """Areas (m,) and centroids (m, 2) of what objects have become, daughters together."""
    first = objects.area[chosen.first]
    second = np.where(chosen.divides, objects.area[chosen.second], 0)
    weighted = objects.centroids[chosen.first] * first[:, None]
    weighted += objects.centroids[chosen.second] * second[:, None]
    return first + second, weighted / (first + second)[:, None]


class _GrowingTracks:
    """The columns of `Tracks`, as far as frames are linked."""

    def __init__(self) -> None:
        self.n_objects = 0
        self._parts = [{name: np.empty(0, dtype) for name, dtype in COLUMNS.items()}]
        self._track_of = np.empty(2**10, np.int64)  # of all objects so far; grows by doubling
        self._parents: dict[int, int] = {}
        self._n_tracks = 0

    def begin(self, found: FrameObjects) -> None:
        """Add the objects of a frame, without tracks."""
        table = found.table
        n = len(table)
        self._parts.append(
            {
                **{name: getattr(table, name) for name in ("frame", "row", "col", "area")},
                "object": table.id,
                "track": np.zeros(n, np.int64),
                "score": np.full(n, np.nan, np.float32),
            }
        )

    def add(
        self, before: Objects, objects: Objects, chosen: Hypotheses, scores: np.ndarray
    ) -> None:
        """Have objects of the latest frame go on the tracks of those before."""
        latest = self._parts[-1]
        tracks = self._track_of[before.node[chosen.source]]
        single = ~chosen.divides
        latest["track"][chosen.first[single]] = tracks[single]
        latest["score"][chosen.first] = scores
        for parent, *daughters, score in zip(
            tracks[~single].tolist(),
            chosen.first[~single].tolist(),
            chosen.second[~single].tolist(),
            scores[~single].tolist(),
            strict=True,
        ):
            latest["score"][daughters] = score
            for daughter in daughters:
                self._n_tracks += 1
                latest["track"][daughter] = self._n_tracks
                self._parents[self._n_tracks] = parent

    def end(self) -> None:
        """Have tracks begin with the objects of the latest frame that have none."""
        track = self._parts[-1]["track"]
        begins = np.flatnonzero(track == 0)
        track[begins] = self._n_tracks + 1 + np.arange(begins.size)
        self._n_tracks += begins.size
        needed = self.n_objects + track.size
        if needed > self._track_of.size:
            self._track_of = np.resize(self._track_of, max(needed, 2 * self._track_of.size))
        self._track_of[self.n_objects : needed] = track
        self.n_objects = needed

    def tracks(self) -> Tracks:
        columns = {name: np.concatenate([part[name] for part in self._parts]) for name in COLUMNS}
        return Tracks(**columns, parents=self._parents)
