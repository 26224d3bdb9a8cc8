"""Objects of a map of interiors and borders, by watershed."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import product

import numpy as np
from scipy.ndimage import label
from skimage.segmentation import watershed

from benchmarks.learn_data import Fields
from benchmarks.learn_score import Predict, Segmented
from benchmarks.learn_train import Trained
from rleseg_core.data import ImageStack, LabelledStack
from rleseg_core.evaluation.instances import average_precision, match_counts

INTERIORS = (0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
FOREGROUNDS = (0.3, 0.4, 0.5, 0.6, 0.7)
"""Thresholds that are tried."""

SEED_SHARE = 0.1  # of the smallest object: smaller interiors are no objects


@dataclass(frozen=True)
class Watershed:
    """Segments a frame by probabilities.

    Connected pixels whose probability of an interior is above a threshold are objects. They grow
    in the foreground, from where interiors are likely to where they are not, until they meet.

    Parameters
    ----------
    probabilities : callable
        (1 + C + 1, Y, X) float of a frame, in source pixels: background, classes, borders.
    smallest : int
        Pixels of the smallest object.
    interior, foreground : float
        Thresholds of the probability of an interior, and of anything but background.
    """

    probabilities: Callable[[ImageStack, int], np.ndarray]
    smallest: int
    interior: float = 0.5
    foreground: float = 0.5

    def __call__(self, stack: ImageStack, frame: int) -> Segmented:
        """Segment a frame of a stack."""
        background, *classes, _ = self.probabilities(stack, frame)
        inside = np.sum(classes, axis=0)
        seeds, _ = label(inside > self.interior)
        seeds = _without_small(seeds, max(1, round(SEED_SHARE * self.smallest)))
        mask = 1 - background > self.foreground
        ids = _without_small(watershed(-inside, seeds, mask=mask), self.smallest)
        return Segmented(_class_map(ids, np.stack(classes)), ids)


def _without_small(ids: np.ndarray, smallest: int) -> np.ndarray:
    """Ids (Y, X) of at least that many pixels; others are background."""
    return np.where(np.bincount(ids.ravel())[ids] >= smallest, ids, 0)


def _class_map(ids: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """Class ids (Y, X) uint8: of each object the class (C, Y, X) that is likeliest in it."""
    sums = [np.bincount(ids.ravel(), values.ravel()) for values in classes]
    of_object = (np.argmax(sums, axis=0) + 1).astype(np.uint8)
    of_object[0] = 0
    return of_object[ids]


def _ap50(predict: Predict, stacks: Sequence[LabelledStack]) -> float:
    """AP of objects at an IoU of 0.5."""
    matches = np.zeros((1, 3), np.int64)
    for stack in stacks:
        for frame in stack.frames:
            ids = stack.instance_frame(frame)
            assert ids is not None
            matches += match_counts(ids, predict(stack.images, frame).ids, (0.5,))
    return float(average_precision(matches)[0])


def choose(trained: Trained, fields: Fields) -> Trained:
    """With the thresholds of the highest AP at an IoU of 0.5 on the validation images."""
    plain = trained.predict
    assert isinstance(plain, Watershed)
    known: dict[tuple[int, int], np.ndarray] = {}

    def once(stack: ImageStack, frame: int) -> np.ndarray:
        key = id(stack), frame
        if key not in known:
            known[key] = plain.probabilities(stack, frame)
        return known[key]

    tried: dict[tuple[float, float], float] = {}
    for interior, foreground in product(INTERIORS, FOREGROUNDS):
        predict = replace(plain, probabilities=once, interior=interior, foreground=foreground)
        tried[interior, foreground] = _ap50(predict, fields.validation)
    interior, foreground = max(tried, key=lambda pair: tried[pair])
    chosen = {"interior": interior, "foreground": foreground, "ap50": tried[interior, foreground]}
    print(f"chosen on the validation images: {chosen}", flush=True)
    return replace(
        trained,
        predict=replace(plain, interior=interior, foreground=foreground),
        chosen=chosen,
    )
