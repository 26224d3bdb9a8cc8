"""What a metric is that is counted image by image, beside the confusion of pixels."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

import numpy as np


class Masks(NamedTuple):
    """The masks of one image.

    Attributes
    ----------
    classes : (Y, X) integer
        Class ids, 0 = background.
    objects : (Y, X) integer or None
        Ids of objects, 0 = background; None: the connected pieces of each class are its objects.
    """

    classes: np.ndarray
    objects: np.ndarray | None = None


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

        The masks have one shape and class ids from 0 to `n_classes`.
        """

    def scores(self, counts: np.ndarray, n_images: int) -> Mapping[str, Sequence[float]]:
        """Scores of each row of counts, added up over `n_images`, by name; nan where undefined.

        Names that begin with ``n_`` are counts, of which no averages are made.
        """


def with_all_as_one(each: np.ndarray, as_one: np.ndarray | None) -> np.ndarray:
    """Counts (C, ...) of each class with those (1, ...) of all as one, the same for one class."""
    return np.concatenate([each, each if as_one is None else as_one])
