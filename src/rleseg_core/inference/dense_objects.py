"""Objects of whole frames as the dense heads see them: the drafts of instance-wise models.

The heads are asked in all windows of a frame, what they say is averaged where windows overlap, and
the frame is parted into objects. So objects that a window's border cuts are whole here. A large
frame is parted in strips with margins; objects that reach from one to the next are joined with
those of all windows.
"""

from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from rleseg_core.checkpoints import ModelInfo
from rleseg_core.data import Window, WindowReader, plan_windows, resized_shape, subsample_labels
from rleseg_core.inference.blank import is_blank
from rleseg_core.inference.head_maps import HeadMaps, Strip, plan_strips
from rleseg_core.inference.memories import Encode, WindowMemories
from rleseg_core.memory import check_room
from rleseg_core.model import Memory, Pix2Seq
from rleseg_core.objects.expected import add_expected
from rleseg_core.objects.partition import partition
from rleseg_core.spec import MaskSpec, WindowSpec

_BYTES_TO_PART = 48  # of a pixel, besides its maps
_SMALLEST = 0.1  # of the area of a typical object: smaller ones are none


class _Seen(NamedTuple):
    """What the heads see in a strip of a frame, in resized pixels."""

    strip: Strip
    ids: np.ndarray  # (y, x) int32
    classes: np.ndarray  # (n + 1,) uint8, of each id
    foreground: np.ndarray  # (y, x) float32, log odds that a pixel belongs to an object

    def cut(self, values: np.ndarray, window: Window) -> np.ndarray:
        """The part (P, P) of ids or log odds that a window covers."""
        first = self.strip.first
        return values[window.rows[0] - first : window.rows[1] - first, slice(*window.cols)]


class FrameObjects:
    """The objects of whole frames, cut to windows.

    Large frames are looked at in strips; those are kept until they are released.

    Parameters
    ----------
    model : Pix2Seq
        With heads of classes and affinities.
    encode : callable
        The memory of some windows of one frame.
    shape : (T, Y, X[, C])
        Of the stack, in source pixels.
    spec, mask_spec : WindowSpec, MaskSpec
        Of the windows and their masks.
    diameter : float or None
        Of typical objects, in resized pixels.
    is_blank : callable
        Whether a window has no data: the heads need not look at it.
    expected : callable
        Objects that are expected in a frame and their weight, if any; see `add_expected`.

    Attributes
    ----------
    batch_size : int
        Windows that are looked at together.
    step : (int, int)
        Resized pixels from one mask pixel to the next, along rows and columns.
    """

    def __init__(
        self,
        model: Pix2Seq,
        encode: Encode,
        shape: tuple[int, ...],
        spec: WindowSpec,
        mask_spec: MaskSpec,
        diameter: float | None = None,
        is_blank: Callable[[Window], bool] = lambda _: False,
        expected: Callable[[int], tuple[np.ndarray, float] | None] = lambda _: None,
    ) -> None:
        self._model, self._encode, self._expected = model, encode, expected
        self._spec, self._mask_size = spec, mask_spec.size
        self._offsets = model.config.pointer.affinities
        height, width = resized_shape(shape, spec)
        self._size = max(height, spec.patch), max(width, spec.patch)
        self.step = spec.patch // mask_spec.size[0], spec.patch // mask_spec.size[1]
        area = np.pi / 4 * diameter**2 if diameter else 0.0
        self._smallest = max(self.step[0] * self.step[1], round(_SMALLEST * area))
        self.batch_size = 1
        self._is_blank = is_blank
        self._windows = plan_windows((1, *shape[1:3]), spec)
        starts = sorted({window.rows[0] for window in self._windows})
        self._strips = plan_strips(starts, spec.patch, self._size)
        self._check_room()
        self._found: dict[tuple[int, int], _Seen] = {}  # by frame and index of the strip
        self._maps: dict[int, tuple[int, HeadMaps]] = {}  # by frame, and the strip that follows

    def _check_room(self) -> None:
        """Raise unless a strip fits into memory."""
        n_rows = max(seen[1] - seen[0] for _, _, _, seen in self._strips)
        n_maps = self._model.config.pointer.dense_classes + len(self._offsets)
        check_room(
            (4 * n_maps + _BYTES_TO_PART) * n_rows * self._size[1],
            f"finding objects in {n_rows:,} x {self._size[1]:,} pixels at once",
            "choose a smaller image size",
        )

    def look(self, window: Window) -> None:
        """Look at the part of its frame that a window needs, unless that is done."""
        self._seen(window)

    def guess(self, window: Window) -> tuple[np.ndarray, np.ndarray]:
        """Classes (1, S, S) uint8 and ids (1, S, S) int32 of a window, in mask pixels."""
        seen = self._seen(window)
        ids = subsample_labels(seen.cut(seen.ids, window)[None], self._mask_size)
        return seen.classes[ids], ids

    def foreground(self, window: Window) -> np.ndarray:
        """Log odds (P, P) float32 that the pixels of a window belong to some object."""
        seen = self._seen(window)
        return seen.cut(seen.foreground, window)

    def release_above(self, frame: int, row: int) -> None:
        """Forget what only windows above this row of a frame need."""
        for key, seen in list(self._found.items()):
            if key[0] == frame and seen.strip.last < row:
                del self._found[key]

    def release(self, frames: Iterable[int]) -> None:
        """Forget some frames, whose windows are all done."""
        done = set(frames)
        for key in [key for key in self._found if key[0] in done]:
            del self._found[key]
        for kept in self._maps.keys() & done:
            del self._maps[kept]

    def _seen(self, window: Window) -> _Seen:
        starts = [strip.first for strip in self._strips]
        key = window.frames[0], bisect_right(starts, window.rows[0]) - 1
        found = self._found.get(key)
        if found is None:
            found = self._found[key] = self._look(*key)
        return found

    def _look(self, frame: int, index: int) -> _Seen:
        """Find the objects of a strip of a frame."""
        strip, *following = self._strips[index : index + 2]
        coming, maps = self._maps.pop(frame, (-1, None))
        if maps is None or coming != index:
            maps = self._maps_from(frame, strip)
        logits = maps.of(strip, following[0] if following else None, self.batch_size)
        if following:
            self._maps[frame] = index + 1, maps
        n_classes = len(logits) - len(self._offsets)
        of_classes, affinities = logits[:n_classes], logits[n_classes:]
        foreground = of_classes[1:].max(axis=0) - of_classes[0]
        if (expected := self._expected(frame)) is not None:
            offsets = [(rows * self.step[0], cols * self.step[1]) for rows, cols in self._offsets]
            there = expected[0][slice(*strip.seen)]
            add_expected(foreground, affinities, offsets, there, expected[1])
        ids = partition(
            foreground > 0, affinities, self._offsets, step=self.step, smallest=self._smallest
        )
        own = slice(strip.first - strip.seen[0], strip.stop - strip.seen[0])
        classes = _classes_of(ids, of_classes)
        if not following and index == 0:
            return _Seen(strip, ids, classes, foreground)
        return _Seen(strip, ids[own].copy(), classes, foreground[own].copy())

    def _maps_from(self, frame: int, strip: Strip) -> HeadMaps:
        """The maps of a frame from a strip on."""
        frames = frame, frame + self._spec.n_frames
        windows = (Window(frames, window.rows, window.cols) for window in self._windows)
        seen = (window for window in windows if not self._is_blank(window))
        return HeadMaps(self._model, self._encode, seen, self._size[1], strip.seen[0])


def frame_objects(
    model: Pix2Seq, encode: Encode, reader: WindowReader, info: ModelInfo
) -> FrameObjects | None:
    """What finds objects in the frames of a reader, if a model has heads for that."""
    if not model.config.pointer.affinities:
        return None
    return FrameObjects(
        model,
        encode,
        reader.shape,
        reader.spec,
        info.mask_spec,
        info.object_diameter,
        lambda window: is_blank(reader, window),
        reader.expected,
    )


def encoder_of(memories: WindowMemories, found: FrameObjects | None) -> Encode:
    """What encodes windows for the decoder: after the heads looked at their frames, if any do.

    So each window is encoded once, as long as there is room for what is computed of it.
    """
    if found is None:
        return memories.take

    def encode(windows: Sequence[Window]) -> Memory:
        for window in windows:
            found.look(window)
        return memories.take(windows)

    return encode


def objects_of_windows(model: Pix2Seq, memory: Memory) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Classes and ids (1, S, S) of windows by themselves, as `FrameObjects.guess` gives them."""
    offsets = model.config.pointer.affinities
    classes = model.dense_logits(memory)[:, 0].cpu().numpy()
    affinities = model.affinity_logits(memory).cpu().numpy()
    for of_classes, of_pairs in zip(classes, affinities, strict=True):
        ids = partition(of_classes.argmax(axis=0) > 0, of_pairs, offsets)
        yield _classes_of(ids, of_classes)[ids][None], ids[None]


def _classes_of(ids: np.ndarray, logits: np.ndarray) -> np.ndarray:
    """The class (n + 1,) uint8 of each object: the likeliest one over its pixels; 0 for 0."""
    n_objects = int(ids.max(initial=0))
    if len(logits) == 2 or n_objects == 0:
        classes = np.ones(n_objects + 1, np.uint8)
    else:
        of_pixels = logits[1:] - np.logaddexp.reduce(logits[1:], axis=0)
        sums = [np.bincount(ids.ravel(), part.ravel(), n_objects + 1) for part in of_pixels]
        classes = (np.argmax(sums, axis=0) + 1).astype(np.uint8)
    classes[0] = 0
    return classes
