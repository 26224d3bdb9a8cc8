"""How much of each column of an image a class covers: the ice concentration of river images."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from rleseg_core.errors import DataError
from rleseg_core.evaluation.base import Masks
from rleseg_core.spec import IGNORED


def column_concentration(labels: np.ndarray, n_classes: int) -> np.ndarray:
    """Share of each image column that each class covers, in percent.

    Parameters
    ----------
    labels : (..., Y, X) integer
        Class ids, 0 = background (water); pixels that are `IGNORED` do not count.
    n_classes : int
        C, the number of foreground classes.

    Returns
    -------
    (C + 1, ..., X) float
        By class id, the background first; nan where no pixel of a column counts.
    """
    n_pixels = (labels != IGNORED).sum(axis=-2).astype(float)
    n_pixels[n_pixels == 0] = np.nan
    covered = [(labels == label).sum(axis=-2) / n_pixels for label in range(n_classes + 1)]
    return 100 * np.stack(covered)


def concentration_mae(truth: np.ndarray, predicted: np.ndarray, n_classes: int) -> np.ndarray:
    """Mean absolute error of the column concentration of each class, in percentage points.

    Parameters
    ----------
    truth, predicted : (Y, X) integer
        Class ids of one image, 0 = background; `IGNORED` in the same pixels of both.
    n_classes : int
        C, the number of foreground classes.

    Returns
    -------
    (C + 1,) float
        By class id; the mean over the columns of abs(true - predicted concentration). That of the
        background is also that of all foreground classes taken for one, as the two shares of a
        column sum to 100. A class that neither mask has is right everywhere: 0, not nan.

    Raises
    ------
    DataError
        If the masks are not of one shape (Y, X).

    Notes
    -----
    The ice concentration of Singh et al., River Ice Segmentation With Deep Learning (IEEE TGRS
    2020), as their code computes it: ice pixels of a column over the height of the image, in
    percent, and the mean absolute error over the columns of an image. The paper's "Median MAE" is
    the median of that over the test images.
    """
    if truth.shape != predicted.shape or truth.ndim != 2:
        raise DataError(
            f"predicted masks are {predicted.shape}, the truth is {truth.shape}; both must have "
            "one shape (Y, X)"
        )
    errors = column_concentration(truth, n_classes) - column_concentration(predicted, n_classes)
    known = ~np.isnan(errors[0])
    if not known.any():
        return np.zeros(n_classes + 1)
    return np.abs(errors[:, known]).mean(axis=-1)


@dataclass(frozen=True, kw_only=True)
class ConcentrationError:
    """Mean absolute error of the share of each image column that a class covers, in percent."""

    @property
    def headings(self) -> Mapping[str, str]:
        """Heading of the score in a table."""
        return {"concentration_mae": "MAE %"}

    def count(self, truth: Masks, predicted: Masks, n_classes: int) -> np.ndarray:
        """Errors (C + 1,) of one image, as `concentration_mae` gives them."""
        # the background's error is that of all classes taken for one
        return np.roll(concentration_mae(truth.classes, predicted.classes, n_classes), -1)

    def scores(self, counts: np.ndarray, n_images: int) -> Mapping[str, Sequence[float]]:
        """`concentration_mae`, 0 to 100 percentage points: the mean over the images."""
        return {"concentration_mae": (counts / n_images).tolist()}
