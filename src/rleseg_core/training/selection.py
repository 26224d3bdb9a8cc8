"""Which score selects the best model of a run, and when a run stops early."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

from rleseg_core.errors import TrainingError
from rleseg_core.evaluation.scores import AGNOSTIC, CLASS_METRICS, METRICS, Metric


@dataclass
class BestScore:
    """The best validation of a run so far.

    Parameters
    ----------
    score : float
        Its score; minus infinity before the first.
    n_worse : int
        Number of validations since, none of which was better.
    """

    score: float = -math.inf
    n_worse: int = 0

    def update(self, score: float) -> bool:
        """Count a new validation; whether it is the best so far."""
        better = score > self.score
        self.score, self.n_worse = (score, 0) if better else (self.score, self.n_worse + 1)
        return better


def parse_selection(text: str) -> tuple[Metric, str | None]:
    """Metric and class of a text such as 'iou:dfc'; no class, for the mean, of 'iou'.

    Raises
    ------
    TrainingError
        If there is no such metric, or none of single classes.
    """
    metric, colon, class_name = (part.strip() for part in text.partition(":"))
    check_metric(metric, class_name if colon else None)
    return cast(Metric, metric), class_name if colon else None


def check_metric(metric: str, class_name: str | None) -> None:
    """Raise a TrainingError if there is no such metric, or none of single classes."""
    if metric not in METRICS:
        raise TrainingError(
            f"models cannot be selected by {metric!r}, only by one of {', '.join(METRICS)}"
        )
    if class_name is not None and metric not in CLASS_METRICS:
        raise TrainingError(
            f"{metric} is an average over classes, there is none of {class_name!r}; select by "
            f"{', '.join(CLASS_METRICS)}, or leave the class out"
        )


def check_selected_class(class_name: str | None, class_names: Sequence[str]) -> None:
    """Raise a TrainingError if a model does not have the class that should select it."""
    known = [*class_names, AGNOSTIC]
    if class_name is not None and class_name not in known:
        raise TrainingError(
            f"models cannot be selected by the class {class_name!r}, only by one of "
            f"{', '.join(known)}, the last for all classes as one"
        )
