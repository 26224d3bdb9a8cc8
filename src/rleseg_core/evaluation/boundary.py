"""How well the boundaries of masks agree: the boundary F-score."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import distance_transform_edt

from rleseg_core.errors import DataError
from rleseg_core.evaluation.base import Masks, foreground, with_all_as_one
from rleseg_core.spec import IGNORED

TOLERANCE = 0.0075
"""Distance at which boundaries still agree, as a share of the diagonal of the masks."""


def default_tolerance(shape: tuple[int, ...]) -> float:
    """Tolerance in pixels for masks (..., Y, X): 0.75 % of the diagonal, at least 1."""
    return max(1.0, TOLERANCE * math.hypot(*shape[-2:]))


def boundary_counts(
    truth: np.ndarray, predicted: np.ndarray, n_classes: int, tolerance: float | None = None
) -> np.ndarray:
    """Boundary pixels of each class in two masks, and those with a counterpart in the other.

    The boundary of a class are its pixels next to (above, below, left or right of) one that is not
    of it; the rim of the image is no boundary, nor is that of a region of `IGNORED` pixels. A pixel
    has a counterpart if the other mask's boundary of that class comes as near as the tolerance, by
    Euclidean distance.

    Parameters
    ----------
    truth, predicted : (..., Y, X) integer
        Class ids of the same shape, 0 = background.
    n_classes : int
        C, the number of foreground classes.
    tolerance : float, optional
        In pixels; by default `default_tolerance`.

    Returns
    -------
    (C, 4) int64
        For each class: true boundary pixels, those with a counterpart, predicted boundary pixels,
        those with a counterpart. Counts of several images may be added.

    Raises
    ------
    DataError
        If the shapes differ, or the tolerance is negative.
    """
    tolerance = _checked(truth, predicted, tolerance)
    counts = np.zeros((n_classes, 4), np.int64)
    images = (labels.reshape(-1, *labels.shape[-2:]) for labels in (truth, predicted))
    for true, given in zip(*images, strict=True):
        true_edge, given_edge = _edge(true, IGNORED), _edge(given, IGNORED)
        for label in range(1, n_classes + 1):
            one, other = true_edge & (true == label), given_edge & (given == label)
            counts[label - 1] += _agreeing(one, other, tolerance)
    return counts


def outline_counts(
    truth: np.ndarray, predicted: np.ndarray, tolerance: float | None = None
) -> np.ndarray:
    """Pixels of the outlines of objects, and those with a counterpart in the other mask.

    As `boundary_counts`, of ids of objects: pixels next to one of another object are of an outline,
    too, so two objects that touch and are given as one miss the outlines between them.

    Parameters
    ----------
    truth, predicted : (..., Y, X) integer
        Ids of objects, of the same shape, 0 = background. Which object an outline is of does not
        matter.
    tolerance : float, optional
        In pixels; by default `default_tolerance`.

    Returns
    -------
    (1, 4) int64
        As a row of `boundary_counts`: `boundary_f` gives its score.

    Raises
    ------
    DataError
        If the shapes differ, or the tolerance is negative.
    """
    tolerance = _checked(truth, predicted, tolerance)
    counts = np.zeros((1, 4), np.int64)
    images = (ids.reshape(-1, *ids.shape[-2:]) for ids in (truth, predicted))
    for true, given in zip(*images, strict=True):
        one, other = _edge(true) & (true != 0), _edge(given) & (given != 0)
        counts[0] += _agreeing(one, other, tolerance)
    return counts


def _checked(truth: np.ndarray, predicted: np.ndarray, tolerance: float | None) -> float:
    """The tolerance in pixels for two masks that fit each other."""
    if truth.shape != predicted.shape or truth.ndim < 2:
        raise DataError(
            f"predicted masks are {predicted.shape}, the truth is {truth.shape}; both must have "
            "one shape (..., Y, X)"
        )
    if tolerance is None:
        tolerance = default_tolerance(truth.shape)
    if not 0 <= tolerance < math.inf:
        raise DataError(f"the tolerance of boundaries is {tolerance} pixels; it must be 0 or more")
    return tolerance


def boundary_f(counts: np.ndarray) -> np.ndarray:
    """Boundary F-score of each class: the harmonic mean of boundary recall and precision.

    Parameters
    ----------
    counts : (C, 4) integer
        As `boundary_counts` gives them.

    Returns
    -------
    (C,) float
        1 where all boundaries agree within the tolerance; 0 where only one mask has a boundary, or
        none agree; nan where neither has one, as there is nothing to score. A class that fills the
        image has no boundary.

    Notes
    -----
    The measure of Csurka et al. (BMVC 2013) and of DAVIS (Perazzi et al., CVPR 2016, F), pooled
    over images by their boundary pixels. DAVIS gives 1 where neither mask has a boundary.
    """
    n_true, n_true_near, n_given, n_given_near = counts.T.astype(float)
    with np.errstate(invalid="ignore", divide="ignore"):
        recall, precision = n_true_near / n_true, n_given_near / n_given
        score = 2 * recall * precision / (recall + precision)
    score[(n_true_near == 0) | (n_given_near == 0)] = 0
    score[(n_true == 0) & (n_given == 0)] = np.nan
    return score


@dataclass(frozen=True, kw_only=True)
class BoundaryScore:
    """Boundary F-score: the share of boundary pixels on which both masks agree.

    Parameters
    ----------
    tolerance : float, optional
        Distance in pixels at which boundaries still agree, 0 or more; by default 0.75 % of the
        image's diagonal, at least 1.
    """

    tolerance: float | None = None

    @property
    def headings(self) -> Mapping[str, str]:
        """Heading of the score in a table."""
        return {"boundary_f": "edge F"}

    def count(self, truth: Masks, predicted: Masks, n_classes: int) -> np.ndarray:
        """Boundary pixels (C + 1, 4) of one image, as `boundary_counts` gives them."""
        true, given = truth.classes, predicted.classes
        each = boundary_counts(true, given, n_classes, self.tolerance)
        if n_classes == 1:
            return with_all_as_one(each, None)
        as_one = boundary_counts(foreground(true), foreground(given), 1, self.tolerance)
        return with_all_as_one(each, as_one)

    def scores(self, counts: np.ndarray, n_images: int) -> Mapping[str, Sequence[float]]:
        """`boundary_f`, 0 to 1."""
        return {"boundary_f": boundary_f(counts).tolist()}


def _edge(labels: np.ndarray, ignored: int | None = None) -> np.ndarray:
    """Pixels (Y, X) bool that have a neighbour with another label; `ignored` is none."""
    edge = np.zeros(labels.shape, bool)
    for before, after in (
        (np.s_[:-1], np.s_[1:]),
        (np.s_[:, :-1], np.s_[:, 1:]),
    ):
        differs = labels[before] != labels[after]
        if ignored is not None:
            differs &= (labels[before] != ignored) & (labels[after] != ignored)
        edge[before] |= differs
        edge[after] |= differs
    return edge


def _agreeing(one: np.ndarray, other: np.ndarray, tolerance: float) -> tuple[int, int, int, int]:
    """A row of `boundary_counts`, of boundary pixels (Y, X) bool."""
    return (
        int(np.count_nonzero(one)),
        _n_near(one, other, tolerance),
        int(np.count_nonzero(other)),
        _n_near(other, one, tolerance),
    )


def _n_near(pixels: np.ndarray, others: np.ndarray, tolerance: float) -> int:
    """How many pixels have one of the others within the tolerance."""
    if not (pixels.any() and others.any()):
        return 0
    distance = distance_transform_edt(~others)[pixels]
    return int(np.count_nonzero(distance <= tolerance))
