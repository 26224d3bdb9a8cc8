"""Objects of whole frames as the dense heads see them: the drafts of instance-wise models.

The heads are asked in all windows of a frame, what they say is averaged where windows overlap, and
the frame is parted into objects once. So objects that a window's border cuts are whole here.
"""

from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from rleseg_core.checkpoints import ModelInfo
from rleseg_core.data import Window, WindowReader, plan_windows, resized_shape, subsample_labels
from rleseg_core.model import Memory, Pix2Seq
from rleseg_core.objects.partition import partition
from rleseg_core.spec import MaskSpec, WindowSpec

_FADE = 0.5  # width of the weights of a window, in its half sides; its border counts least
_LEAST = 1e-3
_SMALLEST = 0.1  # of the area of a typical object: smaller ones are none

Encode = Callable[[Sequence[Window]], Memory]


class _Seen(NamedTuple):
    """What the heads see in a frame, in resized pixels."""

    ids: np.ndarray  # (y, x) int32
    classes: np.ndarray  # (n + 1,) uint8, of each id
    foreground: np.ndarray  # (y, x) float32, log odds that a pixel belongs to an object


class FrameObjects:
    """The objects of whole frames, cut to windows. Frames are kept until they are released.

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

    Attributes
    ----------
    batch_size : int
        Windows that are looked at together.
    step : int
        Resized pixels from one mask pixel to the next.
    """

    def __init__(
        self,
        model: Pix2Seq,
        encode: Encode,
        shape: tuple[int, ...],
        spec: WindowSpec,
        mask_spec: MaskSpec,
        diameter: float | None = None,
    ) -> None:
        self._model, self._encode = model, encode
        self._spec, self._mask_size = spec, mask_spec.size
        self._offsets = model.config.pointer.affinities
        self._size = tuple(max(side, spec.patch) for side in resized_shape(shape, spec))
        self.step = spec.patch // mask_spec.size[0]
        area = np.pi / 4 * diameter**2 if diameter else 0.0
        self._smallest = max(self.step**2, round(_SMALLEST * area))
        self.batch_size = 1
        self._frames: dict[int, _Seen] = {}
        self._windows = plan_windows((1, *shape[1:3]), spec)

    def guess(self, window: Window) -> tuple[np.ndarray, np.ndarray]:
        """Classes (1, S, S) uint8 and ids (1, S, S) int32 of a window, in mask pixels."""
        seen = self._seen(window.frames[0])
        ids = seen.ids[slice(*window.rows), slice(*window.cols)]
        ids = subsample_labels(ids[None], self._mask_size)
        return seen.classes[ids], ids

    def foreground(self, window: Window) -> np.ndarray:
        """Log odds (P, P) float32 that the pixels of a window belong to some object."""
        seen = self._seen(window.frames[0])
        return seen.foreground[slice(*window.rows), slice(*window.cols)]

    def release_before(self, frame: int) -> None:
        """Forget all frames before this one."""
        for done in [kept for kept in self._frames if kept < frame]:
            del self._frames[done]

    def _seen(self, frame: int) -> _Seen:
        found = self._frames.get(frame)
        if found is None:
            found = self._frames[frame] = self._look(frame)
        return found

    def _look(self, frame: int) -> _Seen:
        """Find the objects of a frame."""
        logits = self._averaged(frame, self.batch_size)
        n_classes = len(logits) - len(self._offsets)
        of_classes, affinities = logits[:n_classes], logits[n_classes:]
        foreground = of_classes[1:].max(axis=0) - of_classes[0]
        ids = partition(
            foreground > 0, affinities, self._offsets, step=self.step, smallest=self._smallest
        )
        return _Seen(ids, _classes_of(ids, of_classes), foreground)

    def _averaged(self, frame: int, batch_size: int) -> np.ndarray:
        """What the heads say of each resized pixel of a frame, (C + 1 + K, y, x) float32."""
        n_maps = self._model.config.pointer.dense_classes + len(self._offsets)
        total = np.zeros((n_maps, *self._size), np.float32)
        weight = np.zeros(self._size, np.float32)
        fade = _fade(self._spec.patch)
        for window, maps in self._of_windows(frame, batch_size):
            rows, cols = slice(*window.rows), slice(*window.cols)
            total[:, rows, cols] += maps * fade
            weight[rows, cols] += fade
        return np.divide(total, weight, out=total)

    def _of_windows(self, frame: int, batch_size: int) -> Iterator[tuple[Window, np.ndarray]]:
        patch, n_frames = self._spec.patch, self._spec.n_frames
        coming = iter(self._windows)
        while batch := list(islice(coming, max(1, batch_size))):
            windows = [Window((frame, frame + n_frames), w.rows, w.cols) for w in batch]
            with torch.inference_mode():
                memory = self._encode(windows)
                classes = self._model.dense_logits(memory)[:, 0]
                maps = torch.cat((classes, self._model.affinity_logits(memory)), dim=1)
                maps = F.interpolate(
                    maps.float(), (patch, patch), mode="bilinear", align_corners=False
                )
            yield from zip(windows, maps.cpu().numpy(), strict=True)


def frame_objects(
    model: Pix2Seq, encode: Callable[[Tensor], Memory], reader: WindowReader, info: ModelInfo
) -> FrameObjects | None:
    """What finds objects in the frames of a reader, if a model has heads for that.

    `encode` gives the memory of windows (B, N, 3, P, P).
    """
    if not model.config.pointer.affinities:
        return None

    def encode_windows(windows: Sequence[Window]) -> Memory:
        return encode(torch.from_numpy(np.stack([reader.read(window) for window in windows])))

    return FrameObjects(
        model, encode_windows, reader.shape, reader.spec, info.mask_spec, info.object_diameter
    )


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


def _fade(patch: int) -> np.ndarray:
    """Weights (P, P) of the pixels of a window, least at its border."""
    across = np.linspace(-1, 1, patch, dtype=np.float32)
    bell = np.exp(-0.5 * (across / _FADE) ** 2)
    return np.outer(bell, bell) + np.float32(_LEAST)
