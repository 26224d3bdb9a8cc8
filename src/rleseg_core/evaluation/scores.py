"""How well predicted masks agree with the truth."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Literal, get_args

import numpy as np

from rleseg_core.errors import DataError
from rleseg_core.spec import IGNORED

Metric = Literal["dice", "iou", "precision", "recall", "fw_recall", "fw_iou", "pixel_accuracy"]
"""What masks are scored by; the first four are known of each class, too."""

METRICS: tuple[Metric, ...] = get_args(Metric)
CLASS_METRICS = METRICS[:4]

AGNOSTIC = "foreground"
"""Name of all foreground classes taken for one, where no better one is given."""


def confusion_matrix(truth: np.ndarray, predicted: np.ndarray, n_classes: int) -> np.ndarray:
    """Pixels of each true class that were given each class.

    Parameters
    ----------
    truth, predicted : (…) integer
        Class ids of the same shape, 0 = background, at most `n_classes`; pixels that are `IGNORED`
        in either do not count.
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
    if n_classes < IGNORED:
        ignored = (truth == IGNORED) | (predicted == IGNORED)
        if ignored.any():
            truth, predicted = truth[~ignored], predicted[~ignored]
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
    """Scores of one class over all pixels; nan where there is nothing to divide by.

    Dice and IoU are nan where the class is neither there nor predicted, recall where it is not
    there, precision where it is not predicted.
    """

    name: str
    dice: float
    iou: float
    precision: float
    recall: float
    n_pixels: int

    def to_json(self) -> dict[str, object]:
        """Plain values, nan as None; the name left out."""
        scores: dict[str, object] = {
            metric: plain_number(getattr(self, metric)) for metric in CLASS_METRICS
        }
        return {**scores, "n_pixels": self.n_pixels}


@dataclass(frozen=True, kw_only=True)
class Averages:
    """Scores averaged over classes.

    `dice`, `iou`, `precision` and `recall` are plain means over the classes for which they are not
    nan. The frequency-weighted `fw_recall` and `fw_iou` weigh each class by its true pixels; they
    are nan where no class has any.
    """

    dice: float
    iou: float
    precision: float
    recall: float
    fw_recall: float
    fw_iou: float

    def to_json(self) -> dict[str, object]:
        """Plain values, nan as None."""
        return {key: plain_number(value) for key, value in asdict(self).items()}


@dataclass(frozen=True, kw_only=True)
class Scores:
    """Scores of all foreground classes.

    Attributes
    ----------
    classes : tuple of ClassScores
        Of each foreground class.
    agnostic : ClassScores
        Of all foreground classes taken for one, the paper's 'cell' and 'ice'.
    mean : Averages
        Over the foreground classes.
    with_background : Averages
        Over the foreground classes and the background.

    Notes
    -----
    The paper's eq. (1) is recall and eq. (2), which it calls precision, is intersection over
    union: here `iou`, beside the true `precision`. Eq. (3) is `fw_recall` and eq. (4), which it
    calls frequency-weighted precision, `fw_iou`; both with the weights normalised, which eq. (3)
    as printed does not do. docs/metrics.md says which column of the paper is which.
    """

    classes: tuple[ClassScores, ...]
    agnostic: ClassScores
    mean: Averages
    with_background: Averages

    @property
    def mean_dice(self) -> float:
        """Mean Dice of the foreground classes that occur."""
        return self.mean.dice

    @property
    def pixel_accuracy(self) -> float:
        """Share of all pixels that have the right class: recall, each class weighed by its size."""
        return self.with_background.fw_recall

    def value(self, metric: Metric, class_name: str | None = None) -> float:
        """One score: of a class, of all classes as one (their name), or by default the mean.

        Raises
        ------
        KeyError
            If there is no such class.
        """
        if class_name is None:
            return float(getattr(self if metric == "pixel_accuracy" else self.mean, metric))
        rows = {row.name: row for row in (self.agnostic, *self.classes)}
        return float(getattr(rows[class_name], metric))

    def to_json(self) -> dict[str, object]:
        """Plain values, nan as None."""
        return {
            "classes": {row.name: row.to_json() for row in self.classes},
            "agnostic": {self.agnostic.name: self.agnostic.to_json()},
            "mean_dice": plain_number(self.mean_dice),
            "pixel_accuracy": plain_number(self.pixel_accuracy),
            "mean": self.mean.to_json(),
            "with_background": self.with_background.to_json(),
        }


def score(confusion: np.ndarray, class_names: Sequence[str], agnostic: str = AGNOSTIC) -> Scores:
    """Scores that follow from a confusion matrix.

    Parameters
    ----------
    confusion : (C + 1, C + 1) int64
        As `confusion_matrix` gives it; matrices of several images may be added before.
    class_names : sequence of str
        Names of the C foreground classes.
    agnostic : str
        Name of all foreground classes taken for one, such as 'cell' or 'ice'.

    Returns
    -------
    Scores
        Of each class, of all as one, and their averages.
    """
    all_classes = _class_scores(confusion, ("background", *class_names))
    foreground = all_classes[1:]
    as_one = np.array(
        [
            [confusion[0, 0], confusion[0, 1:].sum()],
            [confusion[1:, 0].sum(), confusion[1:, 1:].sum()],
        ]
    )
    return Scores(
        classes=foreground,
        agnostic=_class_scores(as_one, ("background", agnostic))[1],
        mean=_averages(foreground),
        with_background=_averages(all_classes),
    )


def _class_scores(confusion: np.ndarray, names: Sequence[str]) -> tuple[ClassScores, ...]:
    """Scores of every class of a confusion matrix, the background included."""
    hits = np.diag(confusion).astype(float)
    true, predicted = confusion.sum(axis=1), confusion.sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        dice = 2 * hits / (true + predicted)
        iou = hits / (true + predicted - hits)
        precision, recall = hits / predicted, hits / true
    return tuple(
        ClassScores(
            name=name,
            dice=float(dice[k]),
            iou=float(iou[k]),
            precision=float(precision[k]),
            recall=float(recall[k]),
            n_pixels=int(true[k]),
        )
        for k, name in enumerate(names)
    )


def _averages(rows: Sequence[ClassScores]) -> Averages:
    # classes without true pixels weigh nothing, whatever their score
    there = [row for row in rows if row.n_pixels]
    n_pixels = sum(row.n_pixels for row in there) or float("nan")
    return Averages(
        dice=mean_number(row.dice for row in rows),
        iou=mean_number(row.iou for row in rows),
        precision=mean_number(row.precision for row in rows),
        recall=mean_number(row.recall for row in rows),
        fw_recall=sum(row.n_pixels * row.recall for row in there) / n_pixels,
        fw_iou=sum(row.n_pixels * row.iou for row in there) / n_pixels,
    )


def mean_number(values: Iterable[float]) -> float:
    """Mean of the values that are not nan; nan where there are none."""
    known = [value for value in values if not np.isnan(value)]
    return float(np.mean(known)) if known else float("nan")


def plain_number(value: float) -> float | None:
    """A score as JSON can hold it: six decimals, nan as None."""
    return None if np.isnan(value) else round(float(value), 6)
