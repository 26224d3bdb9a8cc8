"""Segmentation of big stacks with a trained model: windows, batches, stitching.

`Segmenter` is the facade: it reads windows, decodes their tokens and stitches their masks.
"""

from rleseg_core.inference.confidence import Confidences, confidences
from rleseg_core.inference.existing import check_result
from rleseg_core.inference.first_look import FirstLook, first_look
from rleseg_core.inference.geometry import ids_in_source, masks_in_source, source_rectangle
from rleseg_core.inference.merging import StitchRule, TimeRule
from rleseg_core.inference.options import DraftSource, PredictOptions
from rleseg_core.inference.output import PredictionSummary, predict_to_file
from rleseg_core.inference.results import Segmentation, WindowResult
from rleseg_core.inference.scale import Scale, trained_diameters
from rleseg_core.inference.segmenter import Segmenter
from rleseg_core.inference.stitch import Stitcher

__all__ = [
    "Confidences",
    "DraftSource",
    "FirstLook",
    "PredictOptions",
    "PredictionSummary",
    "Scale",
    "Segmentation",
    "Segmenter",
    "StitchRule",
    "Stitcher",
    "TimeRule",
    "WindowResult",
    "check_result",
    "confidences",
    "first_look",
    "ids_in_source",
    "masks_in_source",
    "predict_to_file",
    "source_rectangle",
    "trained_diameters",
]
