"""Counts behind the scores of an image, which add up over images."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Self

import numpy as np

from rleseg_core.evaluation.boundary import boundary_counts, boundary_f
from rleseg_core.evaluation.concentration import concentration_mae
from rleseg_core.evaluation.instances import components, instance_scores, match_counts
from rleseg_core.evaluation.scores import confusion_matrix


@dataclass(frozen=True, kw_only=True)
class Measures:
    """What masks are scored by beside the classes of their pixels.

    Parameters
    ----------
    boundary : bool
        The boundary F-score.
    tolerance : float, optional
        Distance in pixels at which boundaries still agree; by default that of `boundary_counts`.
    concentration : bool
        The mean absolute error of column concentrations.
    objects : bool
        Average precision of objects.
    """

    boundary: bool = False
    tolerance: float | None = None
    concentration: bool = False
    objects: bool = False


@dataclass(frozen=True, kw_only=True, eq=False)
class Tally:
    """Counts of one image, or of several added.

    Classes are ordered by their ids from 1 on, all of them taken for one last.

    Attributes
    ----------
    n_images : int
        How many images.
    confusion : (C + 1, C + 1) int64
        As `confusion_matrix` gives it.
    boundary : (C + 1, 4) int64 or None
        As `boundary_counts` gives them.
    concentration : (C + 1,) float or None
        Sum over images of the errors that `concentration_mae` gives.
    objects : (C + 1, 10, 3) int64 or None
        As `match_counts` gives them.
    """

    n_images: int
    confusion: np.ndarray
    boundary: np.ndarray | None = None
    concentration: np.ndarray | None = None
    objects: np.ndarray | None = None

    @classmethod
    def of(
        cls,
        truth: np.ndarray,
        predicted: np.ndarray,
        n_classes: int,
        measures: Measures,
        true_objects: np.ndarray | None = None,
        predicted_objects: np.ndarray | None = None,
    ) -> Self:
        """Counts of one image.

        Parameters
        ----------
        truth, predicted : (Y, X) integer
            Class ids, 0 = background.
        n_classes : int
            C, the number of foreground classes.
        measures : Measures
            What is counted.
        true_objects, predicted_objects : (Y, X) integer, optional
            Ids of objects, 0 = background; by default connected pieces of a class are objects.

        Raises
        ------
        DataError
            If the masks do not fit each other or the classes.
        """
        return cls(
            n_images=1,
            confusion=confusion_matrix(truth, predicted, n_classes),
            boundary=_boundary(truth, predicted, n_classes, measures),
            concentration=_concentration(truth, predicted, n_classes, measures),
            objects=_objects(
                (truth, true_objects), (predicted, predicted_objects), n_classes, measures
            ),
        )

    def __add__(self, other: Self) -> "Tally":
        """Counts of the images of both."""
        return Tally(
            n_images=self.n_images + other.n_images,
            confusion=self.confusion + other.confusion,
            boundary=_sum(self.boundary, other.boundary),
            concentration=_sum(self.concentration, other.concentration),
            objects=_sum(self.objects, other.objects),
        )

    def figures(self) -> dict[str, Sequence[float]]:
        """Scores that do not follow from the confusion matrix, for each class and all as one."""
        figures: dict[str, Sequence[float]] = {}
        if self.boundary is not None:
            figures["boundary_f"] = boundary_f(self.boundary).tolist()
        if self.concentration is not None:
            figures["concentration_mae"] = (self.concentration / self.n_images).tolist()
        if self.objects is not None:
            rows = [asdict(instance_scores(counts)) for counts in self.objects]
            figures |= {key: [row[key] for row in rows] for key in rows[0]}
        return figures


def _boundary(
    truth: np.ndarray, predicted: np.ndarray, n_classes: int, measures: Measures
) -> np.ndarray | None:
    if not measures.boundary:
        return None
    each = boundary_counts(truth, predicted, n_classes, measures.tolerance)
    if n_classes == 1:
        return np.concatenate([each, each])
    as_one = boundary_counts(truth > 0, predicted > 0, 1, measures.tolerance)
    return np.concatenate([each, as_one])


def _concentration(
    truth: np.ndarray, predicted: np.ndarray, n_classes: int, measures: Measures
) -> np.ndarray | None:
    if not measures.concentration:
        return None
    # the background's error is that of all classes taken for one
    return np.roll(concentration_mae(truth, predicted, n_classes), -1)


def _objects(
    true: tuple[np.ndarray, np.ndarray | None],
    predicted: tuple[np.ndarray, np.ndarray | None],
    n_classes: int,
    measures: Measures,
) -> np.ndarray | None:
    """Counts of matches of each class and of all taken for one; masks are (classes, objects)."""
    if not measures.objects:
        return None
    (truth, true_objects), (given, given_objects) = true, predicted
    if true_objects is None:
        true_objects = components(truth)
    if given_objects is None:
        given_objects = components(given)
    each = [
        match_counts(np.where(truth == k, true_objects, 0), np.where(given == k, given_objects, 0))
        for k in range(1, n_classes + 1)
    ]
    if n_classes == 1:
        return np.stack([*each, *each])
    # pieces of two classes that touch are one where classes do not matter
    as_one = [
        components(classes > 0) if objects is None else objects
        for classes, objects in (true, predicted)
    ]
    return np.stack([*each, match_counts(as_one[0], as_one[1])])


def _sum(one: np.ndarray | None, other: np.ndarray | None) -> np.ndarray | None:
    return None if one is None or other is None else one + other
