"""The metrics that can be asked for beside the scores of pixels."""

from collections.abc import Mapping

from rleseg_core.evaluation.base import ImageMetric
from rleseg_core.evaluation.boundary import BoundaryScore
from rleseg_core.evaluation.concentration import ConcentrationError
from rleseg_core.evaluation.instances import ObjectPrecision, PanopticQuality

IMAGE_METRICS: dict[str, type[ImageMetric]] = {
    "boundary": BoundaryScore,
    "concentration": ConcentrationError,
    "objects": ObjectPrecision,
    "panoptic": PanopticQuality,
}
"""Metrics by the name that asks for them: a new one is a class and a line here."""


def metric_summaries() -> Mapping[str, str]:
    """What each metric of `IMAGE_METRICS` measures: the first line of its docstring."""
    return {
        name: (metric.__doc__ or "").strip().splitlines()[0].removesuffix(".")
        for name, metric in IMAGE_METRICS.items()
    }
