"""How well predicted objects agree with the true ones: AP, F1 and panoptic quality."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import NamedTuple

import numpy as np
from scipy.sparse import csr_array
from scipy.sparse.csgraph import maximum_bipartite_matching

from rleseg_core.data.labels import components as components
from rleseg_core.errors import DataError
from rleseg_core.evaluation.base import Masks, foreground, with_all_as_one
from rleseg_core.evaluation.scores import mean_number

IOU_THRESHOLDS = tuple(percent / 100 for percent in range(50, 100, 5))
"""Those of AP: 0.50, 0.55 to 0.95."""

_ONE_MATCH = 0.5  # above this IoU an object matches one other at most


@dataclass(frozen=True, kw_only=True)
class InstanceScores:
    """Average precision and F1 of objects; nan where there are neither true nor predicted ones.

    Attributes
    ----------
    ap50, ap75 : float
        TP / (TP + FP + FN) of objects matched with an IoU of at least 0.50, or 0.75.
    ap : float
        Mean of it over the thresholds 0.50, 0.55 to 0.95.
    f1 : float
        2 TP / (2 TP + FP + FN) at an IoU of at least 0.50.
    n_objects, n_predicted : int
        True and predicted objects.
    """

    ap50: float
    ap75: float
    ap: float
    f1: float
    n_objects: int
    n_predicted: int


class PanopticScores(NamedTuple):
    """Panoptic quality of objects, 0 to 1.

    Attributes
    ----------
    pq : float
        Panoptic quality, SQ · RQ; nan where there are neither true nor predicted objects.
    sq : float
        Segmentation quality, the mean IoU of matched objects; nan where none match.
    rq : float
        Recognition quality, F1 at an IoU above 0.5; nan where `pq` is.
    """

    pq: float
    sq: float
    rq: float


def match_counts(
    truth: np.ndarray, predicted: np.ndarray, thresholds: Sequence[float] = IOU_THRESHOLDS
) -> np.ndarray:
    """Objects found, invented and missed at each threshold of their IoU.

    An object is found if a predicted one has at least that intersection over union with it; none
    is matched twice, and as many as possible are.

    Parameters
    ----------
    truth, predicted : (Y, X) integer
        Ids of objects, 0 = background, in any order and with gaps. Equal ids are one object,
        connected or not.
    thresholds : sequence of float
        Above 0.

    Returns
    -------
    (n_thresholds, 3) int64
        True positives, false positives and false negatives. Counts of several images may be added.

    Raises
    ------
    DataError
        If the shapes differ, or an id is below 0.
    """
    rows, columns, iou, n_true, n_predicted = _overlaps(truth, predicted)
    counts = np.empty((len(thresholds), 3), np.int64)
    for k, threshold in enumerate(thresholds):
        near = iou >= threshold
        pairs = (np.ones(np.count_nonzero(near)), (rows[near], columns[near]))
        matches = maximum_bipartite_matching(csr_array(pairs, shape=(n_true, n_predicted)))
        n_matched = np.count_nonzero(matches >= 0)
        counts[k] = n_matched, n_predicted - n_matched, n_true - n_matched
    return counts


def average_precision(counts: np.ndarray) -> np.ndarray:
    """TP / (TP + FP + FN) at each threshold.

    Parameters
    ----------
    counts : (..., 3) integer
        As `match_counts` gives them.

    Returns
    -------
    (...) float
        nan where there are neither true nor predicted objects.

    Notes
    -----
    The "average precision" of cell segmentation: of the 2018 Data Science Bowl (Caicedo et al.,
    Nature Methods 2019), StarDist and Cellpose. It is not the area under a curve of precision and
    recall that COCO calls AP, as these masks come without confidences.
    """
    with np.errstate(invalid="ignore"):
        return np.asarray(counts[..., 0] / counts.sum(axis=-1))


def f1_score(counts: np.ndarray) -> np.ndarray:
    """2 TP / (2 TP + FP + FN) at each threshold, the harmonic mean of precision and recall.

    Parameters
    ----------
    counts : (..., 3) integer
        As `match_counts` gives them.

    Returns
    -------
    (...) float
        nan where there are neither true nor predicted objects.
    """
    twice = 2 * counts[..., 0]
    with np.errstate(invalid="ignore"):
        return np.asarray(twice / (twice + counts[..., 1] + counts[..., 2]))


def panoptic_counts(truth: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    """What panoptic quality is made of.

    Objects match if their intersection over union is above 0.5; so each matches one at most.

    Parameters
    ----------
    truth, predicted : (Y, X) integer
        As for `match_counts`.

    Returns
    -------
    (4,) float64
        The sum of the IoU of matches; true positives, false positives and false negatives. Counts
        of several images may be added.

    Raises
    ------
    DataError
        If the shapes differ, or an id is below 0.
    """
    _, _, iou, n_true, n_predicted = _overlaps(truth, predicted)
    matched = iou[iou > _ONE_MATCH]
    n_matched = len(matched)
    return np.array([matched.sum(), n_matched, n_predicted - n_matched, n_true - n_matched], float)


def panoptic_quality(counts: np.ndarray) -> PanopticScores:
    """Panoptic quality (PQ) with its two factors, of counts (4,) of `panoptic_counts`.

    Notes
    -----
    PQ = sum of the IoU of matches / (TP + FP / 2 + FN / 2) (Kirillov et al., CVPR 2019), of all
    objects together; PQ of several classes is the mean of theirs.
    """
    iou, found, invented, missed = (float(count) for count in counts)
    objects = found + (invented + missed) / 2
    pq, rq = (iou / objects, found / objects) if objects else (math.nan, math.nan)
    return PanopticScores(pq, iou / found if found else math.nan, rq)


def instance_scores(counts: np.ndarray) -> InstanceScores:
    """AP50, AP75, their mean and F1 from (10, 3) counts of `match_counts` at `IOU_THRESHOLDS`."""
    ap = average_precision(counts)
    true_positives, false_positives, false_negatives = counts[0]
    return InstanceScores(
        ap50=float(ap[IOU_THRESHOLDS.index(0.5)]),
        ap75=float(ap[IOU_THRESHOLDS.index(0.75)]),
        ap=mean_number(ap),
        f1=float(f1_score(counts[IOU_THRESHOLDS.index(0.5)])),
        n_objects=int(true_positives + false_negatives),
        n_predicted=int(true_positives + false_positives),
    )


@dataclass(frozen=True, kw_only=True)
class ObjectPrecision:
    """Average precision (AP) and F1 of objects: those numbered, else the connected pieces."""

    @property
    def headings(self) -> Mapping[str, str]:
        """Headings of the scores in a table; the numbers of objects are not shown there."""
        return {"ap50": "AP50", "ap75": "AP75", "ap": "AP", "f1": "F1"}

    def count(self, truth: Masks, predicted: Masks, n_classes: int) -> np.ndarray:
        """Matches (C + 1, 10, 3) of one image, as `match_counts` gives them."""
        return _of_each_class(match_counts, truth, predicted, n_classes)

    def scores(self, counts: np.ndarray, n_images: int) -> Mapping[str, Sequence[float]]:
        """The fields of `InstanceScores`."""
        rows = [asdict(instance_scores(row)) for row in counts]
        return {name: [row[name] for row in rows] for name in rows[0]}


@dataclass(frozen=True, kw_only=True)
class PanopticQuality:
    """Panoptic quality (PQ = SQ · RQ) of objects: those numbered, else the connected pieces."""

    @property
    def headings(self) -> Mapping[str, str]:
        """Heading of PQ; its factors are not shown in a table."""
        return {"pq": "PQ"}

    def count(self, truth: Masks, predicted: Masks, n_classes: int) -> np.ndarray:
        """Counts (C + 1, 4) of one image, as `panoptic_counts` gives them."""
        return _of_each_class(panoptic_counts, truth, predicted, n_classes)

    def scores(self, counts: np.ndarray, n_images: int) -> Mapping[str, Sequence[float]]:
        """The fields of `PanopticScores`."""
        rows = [panoptic_quality(row)._asdict() for row in counts]
        return {name: [row[name] for row in rows] for name in rows[0]}


def _of_each_class(
    count: Callable[[np.ndarray, np.ndarray], np.ndarray],
    truth: Masks,
    predicted: Masks,
    n_classes: int,
) -> np.ndarray:
    """Counts (C + 1, ...) of the objects of each class, and last of all classes as one."""
    true, given = truth.classes, predicted.classes
    true_ids, given_ids = _objects(truth), _objects(predicted)
    each = np.stack(
        [
            count(np.where(true == k, true_ids, 0), np.where(given == k, given_ids, 0))
            for k in range(1, n_classes + 1)
        ]
    )
    if n_classes == 1:
        return with_all_as_one(each, None)
    # pieces of two classes that touch are one where classes do not matter
    as_one = [
        components(foreground(masks.classes)) if masks.objects is None else masks.objects
        for masks in (truth, predicted)
    ]
    return with_all_as_one(each, count(as_one[0], as_one[1])[None])


def _objects(masks: Masks) -> np.ndarray:
    return components(masks.classes) if masks.objects is None else masks.objects


def _overlaps(
    truth: np.ndarray, predicted: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, int, int]:
    """Indices and IoU of the pairs of objects that overlap, and how many of each there are.

    Raises
    ------
    DataError
        If the shapes differ, or an id is below 0.
    """
    if truth.shape != predicted.shape:
        raise DataError(
            f"predicted objects are {predicted.shape}, the truth is {truth.shape}; both must have "
            "one shape"
        )
    lowest = min(int(truth.min(initial=0)), int(predicted.min(initial=0)))
    if lowest < 0:
        raise DataError(f"id {lowest} in a mask of objects; ids are 0 for background, or above")
    true_index, true_areas = _index(truth)
    given_index, given_areas = _index(predicted)
    both = (true_index >= 0) & (given_index >= 0)
    keys = true_index[both] * max(len(given_areas), 1) + given_index[both]
    pairs, shared = np.unique(keys, return_counts=True)
    rows, columns = np.divmod(pairs, max(len(given_areas), 1))
    iou = shared / (true_areas[rows] + given_areas[columns] - shared)
    return rows, columns, iou, len(true_areas), len(given_areas)


def _index(ids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Index (n_pixels,) int64 of the object of each pixel, -1 = background, and objects' areas."""
    flat = ids.ravel()
    objects = flat != 0
    index = np.full(flat.shape, -1, np.int64)
    _, inverse, areas = np.unique(flat[objects], return_inverse=True, return_counts=True)
    index[objects] = inverse
    return index, areas
