"""Counts behind the scores of an image, which add up over images."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Self

import numpy as np

from rleseg_core.evaluation.base import ImageMetric, Masks, ignoring_alike
from rleseg_core.evaluation.scores import confusion_matrix


@dataclass(frozen=True, kw_only=True, eq=False)
class ImageCounts:
    """Counts of one image, or of several added.

    Attributes
    ----------
    n_images : int
        How many images.
    confusion : (C + 1, C + 1) int64
        Pixels of each true class that were given each class; see `confusion_matrix`.
    others : mapping of ImageMetric to (C + 1, ...) array
        Counts of each further metric; classes by their ids from 1 on, all taken for one last.
    """

    n_images: int
    confusion: np.ndarray
    others: Mapping[ImageMetric, np.ndarray] = field(default_factory=dict)

    @classmethod
    def of(
        cls, truth: Masks, predicted: Masks, n_classes: int, metrics: Sequence[ImageMetric] = ()
    ) -> Self:
        """Counts of one image.

        Parameters
        ----------
        truth, predicted : Masks
            Of the same shape (Y, X). Pixels that either of them ignores do not count.
        n_classes : int
            C, the number of foreground classes.
        metrics : sequence of ImageMetric
            What is counted beside the confusion of pixels.

        Raises
        ------
        DataError
            If the masks do not fit each other or the classes.
        """
        confusion = confusion_matrix(truth.classes, predicted.classes, n_classes)
        truth, predicted = ignoring_alike(truth, predicted)
        return cls(
            n_images=1,
            confusion=confusion,
            others={metric: metric.count(truth, predicted, n_classes) for metric in metrics},
        )

    def __add__(self, other: Self) -> "ImageCounts":
        """Counts of the images of both, which must have counted the same metrics."""
        return ImageCounts(
            n_images=self.n_images + other.n_images,
            confusion=self.confusion + other.confusion,
            others={
                metric: counts + other.others[metric] for metric, counts in self.others.items()
            },
        )

    def scores(self) -> dict[str, Sequence[float]]:
        """Scores of the further metrics by name, for each class and last for all as one."""
        scores: dict[str, Sequence[float]] = {}
        for metric, counts in self.others.items():
            scores |= metric.scores(counts, self.n_images)
        return scores
