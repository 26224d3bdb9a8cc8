"""Objects followed by models of single frames: found around their place, linked frame by frame."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from rleseg_core.inference.follow.found import ObjectMask
from rleseg_core.inference.follow.history import History
from rleseg_core.inference.follow.region import RegionFinder
from rleseg_core.objects.stack import ObjectStack
from rleseg_core.reports import product_of
from rleseg_core.tracks import LinkOptions, link_objects

_OTHERS = 10**6  # what ids of neighbours begin with; those of tracks are lower
_COVERED = 0.5  # share of a found object beneath a given one from which on it is that one


class _Link(NamedTuple):
    """That an object has become another one."""

    source: int
    target: int
    score: float


class FrameFollower:
    """Follows an object with a model that finds objects in single frames.

    Each frame is segmented around the object, and its neighbours with it. All of them are linked
    with those of the frame before, as `link_objects` does it, and the object is what it is linked
    with. Forwards, both daughters are followed after a division; backwards, the mother before it.

    Parameters
    ----------
    finder : RegionFinder
        Finds objects.
    options : LinkOptions
        How objects are linked.
    """

    def __init__(self, finder: RegionFinder, options: LinkOptions) -> None:
        self._finder, self._options = finder, options

    def run(
        self, given: ObjectMask, frames: Sequence[int], history: History
    ) -> Iterator[list[ObjectMask]]:
        """Follow an object through frames in this order, the first of which is next to its own.

        Yields
        ------
        list of ObjectMask
            What was found in each frame; `history` has noted it. It ends with the last object.
        """
        forwards = not frames or frames[0] > given.frame
        live, missed = {given.track: given}, {given.track: 0}
        known = self._first(given)
        for frame in frames:
            found = self._find(frame, list(live.values()))
            pair = (known, found) if forwards else (found, known)
            links = self._links(*pair)
            step = self._onwards if forwards else self._backwards
            now = {
                track: ObjectMask.of(found == label, frame, track)
                for label, track in step(links, live, history).items()
            }
            history.add(now.values())
            lost = {
                track: one
                for track, one in live.items()
                if track not in now and not self._has_gone_on(track, now, history)
            }
            missed = {track: missed[track] + 1 for track in lost} | dict.fromkeys(now, 0)
            lost = {k: one for k, one in lost.items() if missed[k] <= self._options.max_gap}
            known = self._with_tracks(found, now, lost)
            live = now | lost
            yield list(now.values())
            if not live:
                return

    def _find(self, frame: int, near: Sequence[ObjectMask]) -> np.ndarray:
        """Ids (Y, X) int64 of the objects around some, above those of tracks."""
        found = self._finder.find(frame, self._finder.around(near)).astype(np.int64)
        found[found > 0] += _OTHERS
        return found

    def _first(self, given: ObjectMask) -> np.ndarray:
        """The object and its neighbours in its own frame, (Y, X) int64."""
        found = self._find(given.frame, [given])
        mask = np.zeros(found.shape, bool)
        given.paint(mask, 1)
        labels, covered = np.unique(found[mask], return_counts=True)
        for label, n_pixels in zip(labels.tolist(), covered.tolist(), strict=True):
            if n_pixels > _COVERED * np.count_nonzero(found == label):
                found[found == label] = 0
        return self._with_tracks(found, {given.track: given}, {})

    def _with_tracks(
        self, found: np.ndarray, now: dict[int, ObjectMask], lost: dict[int, ObjectMask]
    ) -> np.ndarray:
        """Ids (Y, X) of a frame: tracks, neighbours, and where objects were that are missing."""
        ids = found.copy()
        for one in lost.values():
            part, free = ids[one.rows, one.cols], found[one.rows, one.cols] == 0
            part[one.mask & free] = one.track
        for one in now.values():
            one.paint(ids)
        return ids

    def _links(self, before: np.ndarray, after: np.ndarray) -> list[_Link]:
        linking = LinkOptions(max_gap=0, divisions=self._options.divisions)
        tracks = product_of(link_objects(ObjectStack.of(np.stack((before, after))), linking))
        links = tracks.links()
        return [
            _Link(int(tracks.object[source]), int(tracks.object[target]), float(score))
            for source, target, score in zip(*links, strict=True)
        ]

    def _onwards(
        self, links: list[_Link], live: dict[int, ObjectMask], history: History
    ) -> dict[int, int]:
        """The track of each label of the next frame in which live tracks go on."""
        tracks = {}
        for track in live:
            after = [link for link in links if link.source == track]
            for link in after:
                own = track if len(after) == 1 else history.new_track(parent=track)
                tracks[link.target] = own
                history.score(own, link.score)
        return tracks

    def _backwards(
        self, links: list[_Link], live: dict[int, ObjectMask], history: History
    ) -> dict[int, int]:
        """The track of each label of the frame before in which live tracks have come from."""
        tracks = {}
        for link in links:
            if link.target in live:
                is_mother = sum(other.source == link.source for other in links) > 1
                track = link.target
                history.score(track, link.score, live[track].frame)
                tracks[link.source] = history.new_mother(track) if is_mother else track
        return tracks

    def _has_gone_on(self, track: int, now: dict[int, ObjectMask], history: History) -> bool:
        """Whether a track has divided, or its mother was found."""
        parents = history.parents
        return parents.get(track) in now or any(parents.get(one) == track for one in now)
