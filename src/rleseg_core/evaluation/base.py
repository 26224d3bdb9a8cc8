"""What a metric is that is counted image by image, beside the confusion of pixels."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

import numpy as np

from rleseg_core.spec import IGNORED


class Masks(NamedTuple):
    """The masks of one image.

    Attributes
    ----------
    classes : (Y, X) integer
        Class ids, 0 = background; `IGNORED` where pixels do not count.
    objects : (Y, X) integer or None
        Ids of objects, 0 = background; None: the connected pieces of each class are its objects.
    """

    classes: np.ndarray
    objects: np.ndarray | None = None


def ignoring_alike(truth: Masks, predicted: Masks) -> tuple[Masks, Masks]:
    """Masks of one image that both ignore the pixels that either of them ignores.

    What is there, in one or the other, has no influence on any score: an object that reaches into
    such a region counts with the part of it that lies outside.
    """
    ignored = (truth.classes == IGNORED) | (predicted.classes == IGNORED)
    if not ignored.any():
        return truth, predicted
    first, second = (_without(masks, ignored) for masks in (truth, predicted))
    return first, second


def _without(masks: Masks, ignored: np.ndarray) -> Masks:
    classes = np.where(ignored, np.uint8(IGNORED), masks.classes)
    objects = masks.objects
    return Masks(classes, None if objects is None else np.where(ignored, 0, objects))


def foreground(classes: np.ndarray) -> np.ndarray:
    """All classes taken for one, (...) uint8: 1 for foreground; `IGNORED` stays."""
    return np.where(classes == IGNORED, np.uint8(IGNORED), (classes > 0).astype(np.uint8))


class ImageMetric(Protocol):
    """A metric that adds up over images.

    An implementation is a frozen dataclass with a default for each of its options. The first line
    of its docstring says what it measures; ``rleseg evaluate --help`` shows it.
    """

    @property
    def headings(self) -> Mapping[str, str]:
        """Short heading of each score that a table for people shows, by the score's name."""

    def count(self, truth: Masks, predicted: Masks, n_classes: int) -> np.ndarray:
        """Counts (C + 1, ...) of one image; a row for each class, and last for all as one.

        The masks have one shape and class ids from 0 to `n_classes`, and both have `IGNORED` in the
        same pixels, which do not count.
        """

    def scores(self, counts: np.ndarray, n_images: int) -> Mapping[str, Sequence[float]]:
        """Scores of each row of counts, added up over `n_images`, by name; nan where undefined.

        Names that begin with ``n_`` are counts, of which no averages are made.
        """


def with_all_as_one(each: np.ndarray, as_one: np.ndarray | None) -> np.ndarray:
    """Counts (C, ...) of each class with those (1, ...) of all as one, the same for one class."""
    return np.concatenate([each, each if as_one is None else as_one])
