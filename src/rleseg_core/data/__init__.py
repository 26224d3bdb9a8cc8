"""Images and labels: stacks read lazily, windows of them, label algebra, patches to train on.

Importing the package does not import what makes synthetic images.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from rleseg_core.data.arrays import check_same_shape
from rleseg_core.data.crops import CropBatch, cut_crops
from rleseg_core.data.datasets import LabelledStack
from rleseg_core.data.ids import IGNORED, IdMapping, IdOptions
from rleseg_core.data.labels import (
    SubsampleRule,
    UpsampleRule,
    classes_from_instances,
    resize_labels,
    subsample_labels,
    upsample_labels,
)
from rleseg_core.data.masks import MaskStack
from rleseg_core.data.sampling import SampleBatch, WindowSource, grid_samples
from rleseg_core.data.stack import ImageStack, LabelStack, open_labels
from rleseg_core.data.windows import (
    LabelReader,
    Window,
    WindowReader,
    plan_frames,
    plan_windows,
    resized_shape,
)

if TYPE_CHECKING:
    from rleseg_core.data.synthetic import (
        CLASS_NAMES,
        CultureConfig,
        SyntheticConfig,
        SyntheticSequence,
        synthesize,
        varied_stack,
    )

__all__ = [
    "CLASS_NAMES",
    "IGNORED",
    "CropBatch",
    "CultureConfig",
    "IdMapping",
    "IdOptions",
    "ImageStack",
    "LabelReader",
    "LabelStack",
    "LabelledStack",
    "MaskStack",
    "SampleBatch",
    "SubsampleRule",
    "SyntheticConfig",
    "SyntheticSequence",
    "UpsampleRule",
    "Window",
    "WindowReader",
    "WindowSource",
    "check_same_shape",
    "classes_from_instances",
    "cut_crops",
    "grid_samples",
    "open_labels",
    "plan_frames",
    "plan_windows",
    "resize_labels",
    "resized_shape",
    "subsample_labels",
    "synthesize",
    "upsample_labels",
    "varied_stack",
]

_SYNTHETIC = (
    "CLASS_NAMES",
    "CultureConfig",
    "SyntheticConfig",
    "SyntheticSequence",
    "synthesize",
    "varied_stack",
)


def __getattr__(name: str) -> object:
    if name not in _SYNTHETIC:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.synthetic"), name)
