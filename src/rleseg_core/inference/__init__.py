"""Segmentation of big stacks with a trained model: windows, batches, stitching."""

from rleseg_core.inference.confidence import Confidences, confidences
from rleseg_core.inference.output import PredictionFigures, predict_to_file
from rleseg_core.inference.segmenter import GREEDY, Segmenter, WindowResult, source_rectangle
from rleseg_core.inference.stitch import Stitcher, StitchRule

__all__ = [
    "GREEDY",
    "Confidences",
    "PredictionFigures",
    "Segmenter",
    "StitchRule",
    "Stitcher",
    "WindowResult",
    "confidences",
    "predict_to_file",
    "source_rectangle",
]
