"""Frames written again from a corrected one beside them."""

from collections.abc import Collection, Generator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from rleseg_core.data import ImageStack
from rleseg_core.data.arrays import ArrayLike, frame_of
from rleseg_core.errors import DataError
from rleseg_core.inference.follow.blocks import BlockFollower
from rleseg_core.inference.follow.changes import ObjectChange, changes_between
from rleseg_core.inference.follow.found import ObjectMask
from rleseg_core.inference.follow.history import History
from rleseg_core.inference.follow.region import RegionFinder
from rleseg_core.objects.stack import ObjectStack
from rleseg_core.reports import product_of
from rleseg_core.tracks import LinkOptions, link_objects
from rleseg_core.tracks.linking import expected_places

WEIGHT = 4.0
"""Log odds of what is expected in a frame against what the heads see; see `add_expected`."""
_COVERED = 0.5  # share of an object beneath approved ones from which on it is one of them


@dataclass(frozen=True, kw_only=True, eq=False)
class Corrected:
    """A corrected frame, and what is known of the others.

    Parameters
    ----------
    frame : int
        Its index.
    ids : (Y, X) integer
        Its objects, 0 = background.
    objects : (T, Y, X) integer array, optional
        The objects of all frames so far, of which approved ones stay as they are.
    approved : mapping of int to collection of int
        Ids of approved objects by frame.

    Raises
    ------
    DataError
        If there are approved objects and no `objects`.
    """

    frame: int
    ids: np.ndarray
    objects: ArrayLike | None = None
    approved: Mapping[int, Collection[int]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.objects is None and any(self.approved.values()):
            raise DataError("approved objects are those of `objects`, which are not given")

    def before(self, frame: int) -> np.ndarray:
        """The objects (Y, X) int64 of a frame so far."""
        if self.objects is None:
            return np.zeros(self.ids.shape, np.int64)
        return frame_of(self.objects, frame).astype(np.int64)

    def kept(self, frame: int) -> np.ndarray:
        """The approved objects (Y, X) int64 of a frame."""
        approved = list(self.approved.get(frame, ()))
        before = self.before(frame)
        return np.where(np.isin(before, approved) & (before > 0), before, 0)


@dataclass(frozen=True, kw_only=True, eq=False)
class FramePropagated:
    """A frame that was written again.

    Parameters
    ----------
    frame : int
        Its index.
    ids : (Y, X) int64
        Its objects. One that goes on from the frame before has its id; approved ones have theirs,
        and others ids above all that were there.
    changes : tuple of ObjectChange
        How they differ from those before.
    n_done, n_frames : int
        Frames that are done, and those in all.
    """

    frame: int
    ids: np.ndarray
    changes: tuple[ObjectChange, ...]
    n_done: int
    n_frames: int


class Propagation:
    """Writes frames again, each from the one beside it.

    Parameters
    ----------
    finder : RegionFinder
        Finds objects.
    corrected : Corrected
        Where it begins.
    weight : float
        See `WEIGHT`.
    """

    def __init__(self, finder: RegionFinder, corrected: Corrected, weight: float) -> None:
        self._finder, self._corrected, self._weight = finder, corrected, weight
        self._next_id = 1 + int(corrected.ids.max(initial=0))

    def run(
        self, stack: ImageStack, frames: Sequence[int], blocks: BlockFollower | None
    ) -> Generator[FramePropagated, None, tuple[ObjectChange, ...]]:
        """Write frames again, those after the corrected one and then those before it."""
        at = self._corrected.frame
        changes: list[ObjectChange] = []
        for frame in frames:
            highest = self._corrected.before(frame).max(initial=0)
            self._next_id = max(self._next_id, 1 + int(highest))
        after, before = [t for t in frames if t > at], [t for t in frames[::-1] if t < at]
        n_done = 0
        for order in (after, before):
            latest = self._corrected.ids.astype(np.int64)
            written = {} if blocks is None else self._written(blocks, order)
            for frame in order:
                if blocks is None:
                    named = self._named(self._seen(stack, latest, frame), latest)
                else:
                    named = self._with_others(written[frame], frame)
                latest = self._with_kept(named, frame)
                of_frame = changes_between(self._corrected.before(frame), latest, frame)
                changes += of_frame
                n_done += 1
                yield FramePropagated(
                    frame=frame,
                    ids=latest,
                    changes=of_frame,
                    n_done=n_done,
                    n_frames=len(after) + len(before),
                )
        return tuple(changes)

    def _seen(self, stack: ImageStack, latest: np.ndarray, frame: int) -> np.ndarray:
        """What the model finds where the objects of the frame beside this one are expected."""
        whole = slice(0, latest.shape[0]), slice(0, latest.shape[1])
        known = self._corrected.before(frame)
        if not known.any():
            known = self._finder.find(frame, whole).astype(np.int64)
        pair = ObjectStack.of(np.stack((latest, known)))
        expected = expected_places(pair.objects(0), pair.objects(1))
        found = self._finder.find(frame, whole, (expected, self._weight))
        return found.astype(np.int64)

    def _written(self, blocks: BlockFollower, order: Sequence[int]) -> dict[int, np.ndarray]:
        """What the model writes of each object, in frames next to each other (Y, X)."""
        ids = self._corrected.ids
        frames = {frame: np.zeros(ids.shape, np.int64) for frame in order}
        sure = {frame: np.zeros(ids.shape, np.float32) for frame in order}
        for label in np.unique(ids[ids > 0]).tolist() if order else []:
            given = ObjectMask.of(ids == label, self._corrected.frame, 1)
            history = History(given)
            run = blocks.run(given, history, forwards=order[0] > self._corrected.frame)
            for frame, found in zip(order, run, strict=False):
                for one in found:
                    score = history.score_of(one)
                    better = one.mask & (sure[frame][one.rows, one.cols] < score)
                    frames[frame][one.rows, one.cols][better] = label
                    sure[frame][one.rows, one.cols][better] = score
        return frames

    def _named(self, found: np.ndarray, latest: np.ndarray) -> np.ndarray:
        """The same objects with the ids of those that they have become, others with new ones."""
        pair = ObjectStack.of(np.stack((latest, found)))
        tracks = product_of(link_objects(pair, LinkOptions(max_gap=0)))
        links = tracks.links()
        sources, counts = np.unique(links.source, return_counts=True)
        single = np.isin(links.source, sources[counts == 1])
        pairs = zip(links.target[single], links.source[single], strict=True)
        names = {int(tracks.object[to]): int(tracks.object[at]) for to, at in pairs}
        ids, index = np.unique(found, return_inverse=True)
        named = np.zeros(ids.size, np.int64)
        for place, label in enumerate(ids.tolist()):
            if label and label not in names:
                names[label], self._next_id = self._next_id, self._next_id + 1
            named[place] = names.get(label, 0)
        return named[index].reshape(found.shape)

    def _with_others(self, written: np.ndarray, frame: int) -> np.ndarray:
        """What was written, and the objects so far that lie elsewhere, with ids of their own."""
        others = self._uncovered(self._corrected.before(frame), written)
        others = self._with_new_ids(others, np.unique(written[written > 0]))
        return np.where(written > 0, written, others)

    def _with_kept(self, ids: np.ndarray, frame: int) -> np.ndarray:
        """Approved objects as they are, and of the others what they leave."""
        kept = self._corrected.kept(frame)
        others = self._with_new_ids(self._uncovered(ids, kept), np.unique(kept[kept > 0]))
        return np.where(kept > 0, kept, others)

    def _uncovered(self, ids: np.ndarray, by: np.ndarray) -> np.ndarray:
        """Objects that do not lie beneath others for the most part."""
        labels, index = np.unique(ids, return_inverse=True)
        areas = np.bincount(index.ravel())
        covered = np.bincount(index.ravel(), by.ravel() > 0, areas.size)
        keep = (covered <= _COVERED * areas) & (labels > 0)
        return np.where(keep, labels, 0)[index].reshape(ids.shape)

    def _with_new_ids(self, ids: np.ndarray, taken: np.ndarray) -> np.ndarray:
        """The same objects, with new ids in place of those that are taken."""
        ids = ids.copy()
        for label in np.intersect1d(ids, taken).tolist():
            ids[ids == label] = self._next_id
            self._next_id += 1
        return ids
