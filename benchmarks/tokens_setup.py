"""The masks that the benchmark of tokens encodes."""

import numpy as np
from skimage.draw import ellipse

from rleseg_core.spec import MaskSpec
from rleseg_core.tokens import Tokenizer, for_classes, preset

CLASSES = ("ipsc", "dfc")
N_MASKS = 64
NO_LIMIT = 10**15


def ellipses(
    side: int, n_masks: int, rng: np.random.Generator, *, n_frames: int = 1
) -> tuple[np.ndarray, np.ndarray]:
    """Class ids (B, N, S, S) uint8 and instance ids int32 of 20 drifting ellipses a mask."""
    classes = np.zeros((n_masks, n_frames, side, side), np.uint8)
    instances = np.zeros(classes.shape, np.int32)
    for b in range(n_masks):
        for instance in range(1, 21):
            centre, drift = rng.uniform(0, side, 2), rng.normal(0, 0.01 * side, 2)
            radii, angle = rng.uniform(0.035, 0.1, 2) * side, rng.uniform(0, np.pi)
            for frame in range(n_frames):
                where = ellipse(*(centre + frame * drift), *radii, (side, side), angle)
                classes[b, frame][where] = 1 + instance % len(CLASSES)
                instances[b, frame][where] = instance
    return classes, instances


def build(name: str, side: int, n_frames: int = 1) -> Tokenizer:
    """The tokenizer of a preset for square masks of the benchmark's classes."""
    spec = MaskSpec(size=(side, side), class_names=CLASSES, n_frames=n_frames)
    return Tokenizer.build(for_classes(preset(name), len(CLASSES)), spec, vocab_limit=NO_LIMIT)
