"""How good masks and objects of whole images are, in source pixels."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from rleseg_core.data import ImageStack, LabelledStack
from rleseg_core.evaluation.boundary import boundary_f, outline_counts
from rleseg_core.evaluation.instances import (
    components,
    instance_scores,
    match_counts,
    panoptic_counts,
    panoptic_quality,
)
from rleseg_core.evaluation.scores import confusion_matrix, score

TOLERANCE = 2.0  # pixels, of outlines


class Segmented(NamedTuple):
    """A frame, in source pixels.

    Attributes
    ----------
    classes : (Y, X) uint8
        Class ids.
    ids : (Y, X) integer
        Ids of objects, 0 = background.
    """

    classes: np.ndarray
    ids: np.ndarray


Predict = Callable[[ImageStack, int], Segmented]
"""Segments a frame of a stack."""


@dataclass(frozen=True, kw_only=True)
class Quality:
    """Scores over all test images.

    Parameters
    ----------
    ap50, ap75, ap : float
        Of objects of all images, at an IoU of 0.5 and 0.75, and the mean from 0.5 to 0.95.
    f1 : float
        Of objects of all images, at an IoU of 0.5.
    pq, sq, rq : float
        Panoptic quality, segmentation quality, recognition quality.
    outline_f : float
        Of pixels of the outlines of objects, within `TOLERANCE`.
    dice, dice_per_image : float
        Of classes, pooled over all pixels, and the mean over images; the mean over classes of each.
    seconds : float
        Wall time to segment an image, on average.
    n_images, n_objects, n_predicted : int
        In the test; true and predicted objects.
    """

    ap50: float
    ap75: float
    ap: float
    f1: float
    pq: float
    sq: float
    rq: float
    outline_f: float
    dice: float
    dice_per_image: float
    seconds: float
    n_images: int
    n_objects: int
    n_predicted: int


def measure(
    predict: Predict, stacks: Sequence[LabelledStack], class_names: Sequence[str]
) -> Quality:
    """Segment the labelled frames of stacks, and compare."""
    n_classes, dice, seconds = len(class_names), [], []
    confusion = np.zeros((n_classes + 1, n_classes + 1), np.int64)
    edges, matches = np.zeros((1, 4), np.int64), np.zeros((10, 3), np.int64)
    panoptic = np.zeros(4)
    for stack in stacks:
        for frame in stack.frames:
            began = time.perf_counter()
            found = predict(stack.images, frame)
            seconds.append(time.perf_counter() - began)
            ids = stack.instance_frame(frame)
            assert ids is not None
            pairs = confusion_matrix(stack.class_frame(frame), found.classes, n_classes)
            dice.append(score(pairs, class_names).mean_dice)
            confusion += pairs
            edges += outline_counts(ids, found.ids, TOLERANCE)
            matches += match_counts(ids, found.ids)
            panoptic += panoptic_counts(ids, found.ids)
    objects = instance_scores(matches)
    return Quality(
        ap50=objects.ap50,
        ap75=objects.ap75,
        ap=objects.ap,
        f1=objects.f1,
        **panoptic_quality(panoptic)._asdict(),
        outline_f=float(boundary_f(edges)[0]),
        dice=score(confusion, class_names).mean_dice,
        dice_per_image=float(np.nanmean(dice)),
        seconds=float(np.mean(seconds)),
        n_images=len(dice),
        n_objects=objects.n_objects,
        n_predicted=objects.n_predicted,
    )


def with_pieces(classes: np.ndarray, smallest: int) -> Segmented:
    """Class ids (Y, X), and as objects their connected pieces of at least that many pixels."""
    ids = components(classes)
    areas = np.bincount(ids.ravel())
    return Segmented(classes, np.where(areas[ids] >= smallest, ids, 0))
