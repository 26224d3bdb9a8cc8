"""The objects of a frame that several temporal windows show: those of one of them."""

from dataclasses import dataclass

import numpy as np

from rleseg_core.objects.joining import FrameJoiner, JoinedFrame, ObjectParts, OwnerRule


@dataclass
class _Seen:
    """What a temporal window sees of a frame."""

    frames: tuple[int, int]
    depth: int
    joiner: FrameJoiner
    n_windows: int = 0


class OwnedFrame:
    """Joins the objects of a frame that the patches of its owner found.

    The owner is one of the temporal windows that show the frame. It changes when all patches of a
    better one have been added, so that a run that is cancelled leaves whole frames.

    Parameters
    ----------
    shape : (int, int)
        Rows and columns of the frame, in source pixels.
    owner : {'centre', 'last'}
        Which patch a pixel belongs to; see `FrameJoiner`.
    time_owner : {'centre', 'last'}
        Which temporal window the frame belongs to: the one in which it lies deepest, on a tie the
        earlier one; or the latest.
    """

    def __init__(self, shape: tuple[int, int], owner: OwnerRule, time_owner: OwnerRule) -> None:
        self._shape, self._rule, self._time_rule = shape, owner, time_owner
        self._owner: _Seen | None = None
        self._next: _Seen | None = None

    def add(
        self,
        box: tuple[slice, slice],
        ids: np.ndarray,
        parts: ObjectParts,
        frames: tuple[int, int],
        depth: int,
    ) -> tuple[np.ndarray, np.ndarray] | None:
        """Add the objects of a window.

        Parameters
        ----------
        box : (slice, slice)
            Its rows and columns in the frame, in source pixels.
        ids : (h, w) integer
            Local ids there, from 1 on; 0 = background.
        parts : ObjectParts
            What is known of them.
        frames : (int, int)
            Frames of its temporal window, whose windows come one after another.
        depth : int
            How deep in it the frame lies, 1 or more.

        Returns
        -------
        (h, w) uint8 and (h, w) uint32, or None
            As `FrameJoiner.add`; None if the frame does not belong to this temporal window.
        """
        seen = self._seen(frames, depth)
        if seen is None:
            return None
        found = seen.joiner.add(*box, ids, parts)
        seen.n_windows += 1
        if self._owner is None or (seen is self._next and seen.n_windows == self._owner.n_windows):
            self._owner, self._next = seen, None
        return found

    def finish(self, first_id: int) -> JoinedFrame:
        """The objects of the frame; see `FrameJoiner.finish`."""
        assert self._owner is not None
        return self._owner.joiner.finish(first_id)

    def _seen(self, frames: tuple[int, int], depth: int) -> _Seen | None:
        """What the temporal window sees, if it owns the frame or will."""
        for seen in (self._owner, self._next):
            if seen is not None and seen.frames == frames:
                return seen
        if self._owner is None or self._time_rule == "last" or depth > self._owner.depth:
            self._next = _Seen(frames, depth, FrameJoiner(self._shape, self._rule))
            return self._next
        return None
