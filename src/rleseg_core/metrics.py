"""How well predicted masks agree with the truth."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from rleseg_core.errors import DataError


def confusion_matrix(truth: np.ndarray, predicted: np.ndarray, n_classes: int) -> np.ndarray:
    """Pixels of each true class that were given each class.

    Parameters
    ----------
    truth, predicted : (…) integer
        Class ids of the same shape, 0 = background, at most `n_classes`.
    n_classes : int
        C, the number of foreground classes.

    Returns
    -------
    (C + 1, C + 1) int64
        Rows are true classes, columns predicted ones.

    Raises
    ------
    DataError
        If the shapes differ, or a class id is below 0 or above C.
    """
    if truth.shape != predicted.shape:
        raise DataError(
            f"predicted masks are {predicted.shape}, the truth is {truth.shape}; "
            "both must have one shape"
        )
    lowest = min(int(truth.min(initial=0)), int(predicted.min(initial=0)))
    highest = max(int(truth.max(initial=0)), int(predicted.max(initial=0)))
    if lowest < 0 or highest > n_classes:
        raise DataError(
            f"class id {highest if highest > n_classes else lowest} in a mask of {n_classes} "
            f"classes; ids go from 0 to {n_classes}"
        )
    n = n_classes + 1
    # int64: with uint64, numpy would go on in floats
    pairs = truth.astype(np.int64).ravel() * n + predicted.astype(np.int64).ravel()
    return np.bincount(pairs, minlength=n * n).reshape(n, n)


@dataclass(frozen=True, kw_only=True)
class ClassScores:
    """Scores of one class over all pixels; nan where it is neither there nor predicted."""

    name: str
    dice: float
    iou: float
    precision: float
    recall: float
    n_pixels: int


@dataclass(frozen=True, kw_only=True)
class Scores:
    """Scores of all foreground classes.

    Notes
    -----
    The paper's eq. (1) is recall and eq. (2), which it calls precision, is intersection over
    union: here `iou`, beside the true `precision`. `mean_dice` is the plain mean over classes that
    occur; `pixel_accuracy` is the share of pixels, background included, with the right class.
    """

    classes: tuple[ClassScores, ...]
    mean_dice: float
    pixel_accuracy: float

    def to_json(self) -> dict[str, object]:
        """Plain values, nan as None."""
        rows = {
            scores.name: {
                "dice": plain_number(scores.dice),
                "iou": plain_number(scores.iou),
                "precision": plain_number(scores.precision),
                "recall": plain_number(scores.recall),
                "n_pixels": scores.n_pixels,
            }
            for scores in self.classes
        }
        return {
            "classes": rows,
            "mean_dice": plain_number(self.mean_dice),
            "pixel_accuracy": plain_number(self.pixel_accuracy),
        }


def score(confusion: np.ndarray, class_names: Sequence[str]) -> Scores:
    """Scores that follow from a confusion matrix.

    Parameters
    ----------
    confusion : (C + 1, C + 1) int64
        As `confusion_matrix` gives it; matrices of several images may be added before.
    class_names : sequence of str
        Names of the C foreground classes.

    Returns
    -------
    Scores
        Dice, intersection over union, precision and recall of each class.
    """
    hits = np.diag(confusion).astype(float)
    true, predicted = confusion.sum(axis=1), confusion.sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        dice = 2 * hits / (true + predicted)
        iou = hits / (true + predicted - hits)
        precision, recall = hits / predicted, hits / true
        accuracy = hits.sum() / confusion.sum()
    rows = tuple(
        ClassScores(
            name=name,
            dice=float(dice[k]),
            iou=float(iou[k]),
            precision=float(precision[k]),
            recall=float(recall[k]),
            n_pixels=int(true[k]),
        )
        for k, name in enumerate(class_names, start=1)
    )
    present = [row.dice for row in rows if not np.isnan(row.dice)]
    mean = float(np.mean(present)) if present else float("nan")
    return Scores(classes=rows, mean_dice=mean, pixel_accuracy=float(accuracy))


def plain_number(value: float) -> float | None:
    """A score as JSON can hold it: six decimals, nan as None."""
    return None if np.isnan(value) else round(float(value), 6)
