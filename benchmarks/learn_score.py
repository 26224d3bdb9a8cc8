"""How good masks of whole images are, in source pixels."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.learn_train import Predict
from rleseg_core.data import LabelledStack
from rleseg_core.evaluation.boundary import boundary_counts, boundary_f
from rleseg_core.evaluation.instances import components, instance_scores, match_counts
from rleseg_core.evaluation.scores import confusion_matrix, score


@dataclass(frozen=True, kw_only=True)
class Quality:
    """Scores over all test images.

    Parameters
    ----------
    dice, dice_per_image : float
        Pooled over all pixels, and the mean over images; the mean over classes of each.
    boundary_f : float
        Of boundary pixels of all images, within 0.75 % of the diagonal; mean over classes.
    ap50, ap75, ap : float
        Of objects of all images, at an IoU of 0.5 and 0.75, and the mean from 0.5 to 0.95.
        Components of the predicted masks are objects, but the smallest.
    seconds : float
        Wall time to segment an image, on average.
    n_images, n_objects : int
        In the test.
    """

    dice: float
    dice_per_image: float
    boundary_f: float
    ap50: float
    ap75: float
    ap: float
    seconds: float
    n_images: int
    n_objects: int


def measure(
    predict: Predict, stacks: Sequence[LabelledStack], class_names: Sequence[str], smallest: int
) -> Quality:
    """Segment the labelled frames of stacks, and compare."""
    n_classes, dice, seconds = len(class_names), [], []
    confusion = np.zeros((n_classes + 1, n_classes + 1), np.int64)
    edges, matches = np.zeros((n_classes, 4), np.int64), np.zeros((10, 3), np.int64)
    for stack in stacks:
        for frame in stack.frames:
            began = time.perf_counter()
            predicted = predict(stack.images, frame)
            seconds.append(time.perf_counter() - began)
            truth, ids = stack.class_frame(frame), stack.instance_frame(frame)
            assert ids is not None
            pairs = confusion_matrix(truth, predicted, n_classes)
            dice.append(score(pairs, class_names).mean_dice)
            confusion += pairs
            edges += boundary_counts(truth, predicted, n_classes)
            matches += match_counts(ids, large_components(predicted, smallest))
    objects = instance_scores(matches)
    return Quality(
        dice=score(confusion, class_names).mean_dice,
        dice_per_image=float(np.nanmean(dice)),
        boundary_f=float(np.nanmean(boundary_f(edges))),
        ap50=objects.ap50,
        ap75=objects.ap75,
        ap=objects.ap,
        seconds=float(np.mean(seconds)),
        n_images=len(dice),
        n_objects=objects.n_objects,
    )


def large_components(classes: np.ndarray, smallest: int) -> np.ndarray:
    """Ids (Y, X) of the connected components of at least that many pixels."""
    ids = components(classes)
    areas = np.bincount(ids.ravel())
    return np.where(areas[ids] >= smallest, ids, 0)
