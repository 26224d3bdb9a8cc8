"""Windows that are drawn, not yet warped and lit: what a device needs to do that itself."""

import math
from collections.abc import Sequence
from dataclasses import astuple, dataclass

import numpy as np

from rleseg_core.augment.config import Augmentation
from rleseg_core.augment.geometry import CELLS, View
from rleseg_core.augment.intensity import Light
from rleseg_core.data.frames import Frame
from rleseg_core.data.labels import SubsampleRule


@dataclass(frozen=True, eq=False)
class DrawnWindow:
    """A training window: its frames, where it lies in them, and how it is lit."""

    frames: Sequence[Frame]
    view: View
    light: Light


@dataclass(frozen=True, eq=False)
class CropBatch:
    """Squares of frames that hold all that the windows of a batch see, and how they see it.

    Parameters
    ----------
    images : (B, N, Q, Q, C) uint8
        In resized pixels; C is 1 where all stacks are grey.
    classes : (B, N, Q, Q) uint8
        Class ids.
    instances : (B, N, Q, Q) int32 or None
        Ids of objects, where all stacks know them.
    matrices : (B, 2, 2) float32
        Of the views.
    centres : (B, 2) float32
        Of the patches in their squares; 0 is the centre of the first pixel.
    bends : (B, 2, K, K) float32 or None
        Of the views, zeros for those that have none.
    lights : (6, B) float32
        Fields of the `Light` of each window, in their order.
    patch : int
        P.
    mask_size : (int, int)
        S.
    rule : {'corner', 'centre', 'max'}
        How patches become masks.
    seed : int
        Of the noise.
    """

    images: np.ndarray
    classes: np.ndarray
    instances: np.ndarray | None
    matrices: np.ndarray
    centres: np.ndarray
    bends: np.ndarray | None
    lights: np.ndarray
    patch: int
    mask_size: tuple[int, int]
    rule: SubsampleRule
    seed: int

    def __len__(self) -> int:
        return len(self.images)


def cut_crops(
    drawn: Sequence[DrawnWindow],
    augmentation: Augmentation,
    mask_size: tuple[int, int],
    rule: SubsampleRule,
    seed: int,
) -> CropBatch:
    """Squares around drawn windows, large enough for whatever the augmentation may draw."""
    patch = drawn[0].view.side
    reach = math.ceil(_reach(augmentation, patch))
    side = 2 * reach + 2
    origins = np.array([np.floor(np.subtract(d.view.centre, 0.5)) - reach for d in drawn], int)
    n_frames = len(drawn[0].frames)
    channels = max(frame.image.shape[2] for window in drawn for frame in window.frames)
    images = np.empty((len(drawn), n_frames, side, side, channels), np.uint8)
    classes = np.empty(images.shape[:-1], np.uint8)
    known = all(frame.instances is not None for window in drawn for frame in window.frames)
    instances = np.empty(images.shape[:-1], np.int32) if known else None
    for b, (window, origin) in enumerate(zip(drawn, origins, strict=True)):
        for n, frame in enumerate(window.frames):
            place = np.ix_(*map(_mirrored, origin, (side, side), frame.classes.shape))
            images[b, n] = frame.image[place]  # grey goes to all channels
            classes[b, n] = frame.classes[place]
            if instances is not None and frame.instances is not None:
                instances[b, n] = frame.instances[place]
    still = np.zeros((2, CELLS + 3, CELLS + 3), np.float32)
    bends = [still if d.view.bend is None else d.view.bend for d in drawn]
    return CropBatch(
        images=images,
        classes=classes,
        instances=instances,
        matrices=np.array([d.view.matrix for d in drawn], np.float32),
        centres=(np.array([d.view.centre for d in drawn]) - 0.5 - origins).astype(np.float32),
        bends=np.stack(bends) if augmentation.elastic else None,
        lights=np.array([astuple(d.light) for d in drawn], np.float32).T.copy(),
        patch=patch,
        mask_size=mask_size,
        rule=rule,
        seed=seed,
    )


def _reach(augmentation: Augmentation, patch: int) -> float:
    """How far from the centre, along an axis, a patch's pixels may lie in the frame."""
    still = (patch - 1) / 2
    if not augmentation.affine_probability:
        return still
    bent = still + augmentation.elastic * patch
    return max(still, math.sqrt(2) * bent / augmentation.scale[0])


def _mirrored(first: int, n: int, length: int) -> np.ndarray:
    """Indices of n pixels of an axis, mirrored at its ends, as `View.places` does."""
    pixels = np.abs(np.arange(first, first + n))
    return np.clip(length - 1 - np.abs(length - 1 - pixels), 0, length - 1)
