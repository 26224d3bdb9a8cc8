"""`Segmenter.follow`: one object through the frames of a stack."""

from collections.abc import Generator, Iterator, Sequence
from dataclasses import replace
from typing import Unpack, cast

import numpy as np

from rleseg_core.data import ImageStack
from rleseg_core.errors import DataError
from rleseg_core.inference.block_links import writes_through_frames
from rleseg_core.inference.follow.blocks import BlockFollower
from rleseg_core.inference.follow.changes import ObjectChange
from rleseg_core.inference.follow.found import Followed, FrameFollowed, ObjectMask
from rleseg_core.inference.follow.frames import FrameFollower
from rleseg_core.inference.follow.history import History
from rleseg_core.inference.follow.propagation import (
    WEIGHT,
    Corrected,
    FramePropagated,
    Propagation,
)
from rleseg_core.inference.follow.region import RegionFinder, Segments
from rleseg_core.inference.options import DEFAULTS, PredictKeywords, PredictOptions
from rleseg_core.tracks import LinkOptions

_LINKING = LinkOptions()


class FollowsObjects:
    """What a `Segmenter` can do with one object."""

    def follow(
        self,
        stack: ImageStack,
        frame: int,
        mask: np.ndarray,
        options: PredictOptions = DEFAULTS,
        *,
        frames: Sequence[int] | None = None,
        linking: LinkOptions = _LINKING,
        **changes: Unpack[PredictKeywords],
    ) -> Generator[FrameFollowed, None, Followed]:
        """Follow an object through the frames after and before one in which it is known.

        Parameters
        ----------
        stack : ImageStack
            Read lazily, one frame at a time.
        frame : int
            Where the object is known.
        mask : (Y, X) bool or integer array
            Its pixels there, such as those that somebody painted, or of `object_at`.
        options : PredictOptions
            How frames are segmented.
        frames : sequence of int, optional
            Frames to look at, from the least to the greatest; all by default.
        linking : LinkOptions
            Gaps and divisions, for models that do not write objects through several frames.
        **changes
            Fields of `PredictOptions` that differ from `options`.

        Yields
        ------
        FrameFollowed
            Each frame, as soon as it is done: first those after `frame`, then those before.
            Closing the generator cancels.

        Returns
        -------
        Followed

        Raises
        ------
        DataError
            If there is no such frame, the mask is empty or of another shape, or too small for the
            model.

        Notes
        -----
        Instance-wise models of several frames write the object's block, window after window, with
        what is known of it forced; see `BlockFollower`. Of other models the frames are segmented
        around the object, and what is found is linked; see `FrameFollower`. These follow daughters
        after a division, and the mother before it.
        """
        segmenter, options = cast(Segments, self), replace(options, **changes)
        wanted = _wanted(stack, frame, frames)
        if tuple(mask.shape) != tuple(stack.shape[1:3]):
            raise DataError(
                f"the mask is {tuple(mask.shape)}, a frame {tuple(stack.shape[1:3])}; both must be "
                "(Y, X)"
            )
        given = ObjectMask.of(np.asarray(mask), frame, 1)
        history = History(given)
        finder = RegionFinder(segmenter, stack, options)
        runs: list[tuple[range, Iterator[list[ObjectMask]]]] = []
        after, before = range(frame + 1, wanted.stop), range(frame - 1, wanted.start - 1, -1)
        if _writes_on(segmenter):
            blocks = BlockFollower(segmenter, stack, finder.spec, wanted, _unbroken(stack, frame))
            runs.append((after, blocks.run(given, history, forwards=True)))
            runs.append((before, blocks.run(given, history, forwards=False)))
        else:
            follower = FrameFollower(finder, linking)
            runs += [(each, follower.run(given, each, history)) for each in (after, before) if each]
        n_done = 1
        for coming, run in runs:
            for at, found in zip(coming, run, strict=False):
                yield FrameFollowed(
                    frame=at,
                    objects=tuple(found),
                    n_done=n_done + abs(at - frame),
                    n_frames=len(wanted),
                )
            n_done += len(coming)
        return history.followed((stack.shape[0], *frame_shape(stack)))

    def object_at(
        self,
        stack: ImageStack,
        frame: int,
        point: tuple[int, int],
        options: PredictOptions = DEFAULTS,
        **changes: Unpack[PredictKeywords],
    ) -> np.ndarray:
        """The object that the model finds at a pixel of a frame.

        Parameters
        ----------
        stack, options, **changes
            As for `follow`.
        frame : int
            The frame.
        point : (int, int)
            Row and column in source pixels.

        Returns
        -------
        (Y, X) bool
            Its pixels.

        Raises
        ------
        DataError
            If there is no such frame or pixel, or the model finds nothing there.
        """
        _wanted(stack, frame, None)
        row, col = point
        height, width = frame_shape(stack)
        if not (0 <= row < height and 0 <= col < width):
            raise DataError(f"there is no pixel {row}, {col} in frames of {height} x {width}")
        finder = RegionFinder(cast(Segments, self), stack, replace(options, **changes))
        found = finder.find(frame, finder.at(row, col))
        if not found[row, col]:
            raise DataError(
                f"the model finds no object at {row}, {col} in frame {frame}; choose another "
                "pixel, or paint a mask"
            )
        return np.asarray(found == found[row, col])

    def propagate(
        self,
        stack: ImageStack,
        corrected: Corrected,
        frames: Sequence[int],
        options: PredictOptions = DEFAULTS,
        *,
        weight: float = WEIGHT,
        **changes: Unpack[PredictKeywords],
    ) -> Generator[FramePropagated, None, tuple[ObjectChange, ...]]:
        """Write the frames beside a corrected one again.

        Parameters
        ----------
        stack, options, **changes
            As for `follow`.
        corrected : Corrected
            The frame, and the objects of the others, with those that are approved.
        frames : sequence of int
            Frames to write; each is written from the one beside it, so that they lie next to each
            other and to the corrected one.
        weight : float
            Log odds, 0 or more, of what is expected from the frame beside against what the model
            sees, for models that do not write objects through several frames.

        Yields
        ------
        FramePropagated
            Each frame. Closing the generator cancels; nothing is written to `corrected.objects`.

        Returns
        -------
        tuple of ObjectChange
            What has changed, in all frames.

        Raises
        ------
        DataError
            If a frame is not there, is the corrected one, or does not lie next to the others; or
            the ids are not those of a frame.

        Notes
        -----
        Instance-wise models of several frames write each object of the corrected frame as `follow`
        does; objects so far that lie elsewhere stay. With other models the objects are moved to
        where their neighbours have gone, and the frame is segmented with the expectation that they
        are there (`add_expected`), as far as the model has a head of affinities.
        """
        segmenter, options = cast(Segments, self), replace(options, **changes)
        order = _beside(stack, corrected, frames)
        finder = RegionFinder(segmenter, stack, options)
        blocks = None
        if _writes_on(segmenter):
            unbroken, wanted = _unbroken(stack, corrected.frame), range(order[0], order[-1] + 1)
            blocks = BlockFollower(segmenter, stack, finder.spec, wanted, unbroken)
        return (yield from Propagation(finder, corrected, weight).run(stack, order, blocks))


def _beside(stack: ImageStack, corrected: Corrected, frames: Sequence[int]) -> list[int]:
    """Frames in their order, checked to lie beside the corrected one."""
    order, at = sorted({*frames}), corrected.frame
    every = sorted({*order, at})
    if not order or at in order or every != list(range(every[0], every[-1] + 1)):
        raise DataError(
            f"frames {order} cannot be written from frame {at}; they must lie next to each other "
            "and to it"
        )
    if every[0] < 0 or every[-1] >= stack.n_frames:
        raise DataError(f"there are frames 0 to {stack.n_frames - 1}, got {every}")
    if tuple(corrected.ids.shape) != frame_shape(stack):
        raise DataError(
            f"the corrected ids are {corrected.ids.shape}, a frame {frame_shape(stack)}; both must "
            "be (Y, X)"
        )
    return order


def frame_shape(stack: ImageStack) -> tuple[int, int]:
    """Rows and columns of a frame."""
    return int(stack.shape[1]), int(stack.shape[2])


def _wanted(stack: ImageStack, frame: int, frames: Sequence[int] | None) -> range:
    """The frames to look at, from the least to the greatest."""
    if not 0 <= frame < stack.n_frames:
        raise DataError(f"there is no frame {frame}; frames are 0 to {stack.n_frames - 1}")
    if frames is None:
        return range(stack.n_frames)
    wanted = range(min(frames, default=frame), max(frames, default=frame) + 1)
    if frame not in wanted or wanted.start < 0 or wanted.stop > stack.n_frames:
        raise DataError(
            f"frames {wanted.start} to {wanted.stop - 1} were asked for; they must lie between 0 "
            f"and {stack.n_frames - 1}, and {frame} among them"
        )
    return wanted


def _unbroken(stack: ImageStack, frame: int) -> range:
    """The frames around one that follow each other without a break."""
    first = max((at for at in stack.breaks if at <= frame), default=0)
    return range(first, min((at for at in stack.breaks if at > frame), default=stack.n_frames))


def _writes_on(segmenter: Segments) -> bool:
    """Whether blocks of a model can be written from what is known of their objects."""
    scheme = segmenter.tokenizer.scheme
    is_known = scheme.runs == "foreground" and scheme.heads == "one"
    return is_known and writes_through_frames(segmenter.tokenizer)
