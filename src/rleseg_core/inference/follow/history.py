"""What is known of an object while it is followed: masks, parents and scores."""

from collections.abc import Iterable

from rleseg_core.inference.follow.found import Followed, ObjectMask


class History:
    """Grows into a `Followed`.

    Parameters
    ----------
    given : ObjectMask
        The object, of track 1.
    """

    def __init__(self, given: ObjectMask) -> None:
        self._given = given
        self.parents: dict[int, int] = {}
        self._objects = {(given.frame, given.track): given}
        self._scores: dict[tuple[int, int], float] = {}
        self._pending: dict[int, float] = {}
        self._n_tracks = 1

    def new_track(self, parent: int) -> int:
        """A daughter of a track."""
        self._n_tracks += 1
        self.parents[self._n_tracks] = parent
        return self._n_tracks

    def new_mother(self, daughter: int) -> int:
        """The mother of a track."""
        self._n_tracks += 1
        self.parents[daughter] = self._n_tracks
        return self._n_tracks

    def score(self, track: int, score: float, frame: int | None = None) -> None:
        """Note the score of a link that leads to a track, in the frame that is added next."""
        if frame is None:
            self._pending[track] = score
        else:
            self._scores[frame, track] = score

    def score_of(self, one: ObjectMask) -> float:
        """The score of the link by which an object was found, forwards or backwards."""
        if one.frame > self._given.frame:
            return self._scores[one.frame, one.track]
        return self._scores[self.next_frame(one.track, one.frame), one.track]

    def add(self, objects: Iterable[ObjectMask]) -> None:
        """Note what was found in a frame."""
        for one in objects:
            self._objects[one.frame, one.track] = one
            if one.track in self._pending:
                self._scores[one.frame, one.track] = self._pending[one.track]
        self._pending.clear()

    def next_frame(self, track: int, frame: int) -> int:
        """The first frame after one in which a track is known."""
        return min(at for at, of in self._objects if of == track and at > frame)

    def of_track(self, track: int) -> dict[int, ObjectMask]:
        """The masks of a track by frame."""
        return {frame: one for (frame, of), one in self._objects.items() if of == track}

    def followed(self, shape: tuple[int, int, int]) -> Followed:
        """All of it."""
        objects = tuple(one for _, one in sorted(self._objects.items()))
        return Followed(
            shape=shape, objects=objects, parents=dict(self.parents), scores=dict(self._scores)
        )
