"""Objects followed by instance-wise models of several frames: one block through each window."""

from collections.abc import Iterator, Mapping, Set
from typing import NamedTuple

import numpy as np
import torch
from scipy import ndimage

from rleseg_core.data import ImageStack, Window, WindowReader, subsample_labels
from rleseg_core.data.windows import model_labels, resized_shape
from rleseg_core.decoding.known import write_block
from rleseg_core.errors import DataError
from rleseg_core.inference.follow.found import ObjectMask
from rleseg_core.inference.follow.history import History
from rleseg_core.inference.follow.region import Segments
from rleseg_core.inference.geometry import ids_in_source
from rleseg_core.spec import WindowSpec
from rleseg_core.tokens.known import UNKNOWN, KnownBlock

_REACH = 0.75  # of the side of an object, as far as it may move within a window
_LEAST_REACH = 2  # mask pixels


class _Block(NamedTuple):
    """What a window says of an object."""

    masks: Mapping[int, np.ndarray]  # (Y, X) bool by frame, those that were not known
    cut: Set[int]  # frames in which the border of the patch may cut it
    score: float


class BlockFollower:
    """Follows an object with a model that writes one block for it through N frames.

    In a window that begins, or ends, with the last frame in which the object is known, its known
    pixels are forced, and the model writes the rest of its block. The last frame in which it is
    found is the known one in the next window. The patch is centred on the object.

    Parameters
    ----------
    segmenter : Segmenter
        With such a model.
    stack : ImageStack
        The images.
    spec : WindowSpec
        How the model sees them.
    frames : range
        Frames in which it is looked for.
    unbroken : range
        Frames around them that follow each other without a break.
    """

    def __init__(
        self,
        segmenter: Segments,
        stack: ImageStack,
        spec: WindowSpec,
        frames: range,
        unbroken: range,
    ) -> None:
        self._segmenter, self._spec = segmenter, spec
        self._frames = range(max(frames.start, unbroken.start), min(frames.stop, unbroken.stop))
        self._unbroken = unbroken
        self._reader = WindowReader(stack, spec)
        self._shape = tuple(stack.shape[:3])
        self._size = resized_shape(stack.shape, spec)

    def run(
        self, given: ObjectMask, history: History, *, forwards: bool
    ) -> Iterator[list[ObjectMask]]:
        """Follow an object to the end of the frames, or to their beginning.

        Yields
        ------
        list of ObjectMask
            What was found in each frame; `history` has noted it. It ends with the object.
        """
        at, step = given.frame, 1 if forwards else -1
        while (at + step) in self._frames:
            block = self._write(at, history.of_track(given.track), forwards=forwards)
            found = 0
            for frame in sorted(block.masks, reverse=not forwards):
                if (frame - at) * step <= found or not block.masks[frame].any():
                    continue
                if found and frame in block.cut:
                    break  # the next window is centred on it
                for _ in range(found + 1, (frame - at) * step):
                    yield []
                one = ObjectMask.of(block.masks[frame], frame, given.track)
                target = frame if forwards else history.next_frame(given.track, frame)
                history.score(given.track, block.score, target)
                history.add([one])
                found = (frame - at) * step
                yield [one]
            if not found:
                return
            at += found * step

    def _write(self, at: int, known: Mapping[int, ObjectMask], *, forwards: bool) -> _Block:
        """The block of a window whose first, or last, frame is a known one."""
        n, inside = self._spec.n_frames, self._unbroken
        first = at if forwards else at - n + 1
        first = max(inside.start, min(first, inside.stop - n))
        frames = range(first, min(first + n, inside.stop))
        window = self._window(frames, known[at])
        masks = self._known(window, {t: known[t] for t in frames if t in known})
        if not (masks[at - first] == 1).any():
            raise DataError(
                f"the object has no mask pixel in frame {at}: it is too small for the model at "
                "this size; choose a larger image size"
            )
        segmenter = self._segmenter
        tokenizer = segmenter.tokenizer
        images = torch.from_numpy(self._reader.read(window)[None])
        block = write_block(
            segmenter.model,
            segmenter._source.encode(images),
            segmenter._tables,
            KnownBlock(tokenizer, masks, _near(masks == 1)),
            max_tokens=segmenter.model.config.tokens.max_tokens,
        )
        ids = tokenizer.decode(block.tokens).instances
        assert ids is not None
        rows, cols, fine = ids_in_source(ids, window, self._reader.shape, self._spec)
        found, cut = {}, set()
        for frame, part in zip(frames, fine, strict=False):
            if frame not in known and frame in self._frames:
                whole = np.zeros(self._shape[1:], bool)
                whole[rows, cols] = _largest(part > 0)
                found[frame] = whole
                if _is_cut(whole, rows, cols):
                    cut.add(frame)
        return _Block(found, cut, float(np.exp(block.logprobs.mean())))

    def _window(self, frames: range, one: ObjectMask) -> Window:
        """A window of some frames whose patch is centred on an object, as far as it can be."""
        patch, starts = self._spec.patch, []
        for centre, length, resized in zip(one.centroid, self._shape[1:], self._size, strict=True):
            at = round((centre + 0.5) * resized / length - patch / 2)
            starts.append(max(0, min(at, resized - patch)))
        row, col = starts
        return Window((frames.start, frames.stop), (row, row + patch), (col, col + patch))

    def _known(self, window: Window, objects: Mapping[int, ObjectMask]) -> np.ndarray:
        """What is known of the object in a window, (N, S, S) int8 in mask pixels."""
        size = self._segmenter.info.mask_spec.size
        known = np.full((self._spec.n_frames, *size), UNKNOWN, np.int8)
        for frame, one in objects.items():
            whole = np.zeros(self._shape[1:], np.uint8)
            one.paint(whole, 1)
            part = model_labels(whole, self._spec)[slice(*window.rows), slice(*window.cols)]
            known[frame - window.frames[0]] = subsample_labels(part[None], size)[0]
        return known


def _near(mask: np.ndarray) -> np.ndarray:
    """Where the object may be in any frame of a window, (N, S, S) bool of (N, S, S)."""
    ever = mask.any(axis=0)
    sides = [np.ptp(places) + 1 for places in np.nonzero(ever)]
    reach = max(_LEAST_REACH, round(_REACH * max(sides)))
    near = ndimage.distance_transform_cdt(~ever) <= reach
    return np.broadcast_to(near, mask.shape)


def _is_cut(whole: np.ndarray, rows: slice, cols: slice) -> bool:
    """Whether a mask (Y, X) reaches a border of a box that is none of the frame."""
    part, (height, width) = whole[rows, cols], whole.shape
    sides = (
        rows.start > 0 and part[0].any(),
        rows.stop < height and part[-1].any(),
        cols.start > 0 and part[:, 0].any(),
        cols.stop < width and part[:, -1].any(),
    )
    return any(map(bool, sides))


def _largest(mask: np.ndarray) -> np.ndarray:
    """The largest connected piece of a mask (Y, X)."""
    pieces, n_pieces = ndimage.label(mask)
    if n_pieces < 2:
        return mask
    return np.asarray(pieces == 1 + np.bincount(pieces[pieces > 0])[1:].argmax())
