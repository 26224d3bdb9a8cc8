"""A first look at a part of one frame, by the dense heads alone, before tokens are decoded."""

import math
from dataclasses import dataclass, replace

import numpy as np

from rleseg_core.data import ImageStack
from rleseg_core.data.windows import resized_shape
from rleseg_core.errors import DataError
from rleseg_core.inference.options import PredictOptions
from rleseg_core.inference.segmenter import Segmenter
from rleseg_core.reports import product_of

_MOST_PATCHES = 4  # along each side: up to 49 windows that overlap by half


@dataclass(frozen=True, kw_only=True, eq=False)
class FirstLook:
    """What the dense heads see in a part of a frame.

    Parameters
    ----------
    rows, cols : slice
        The part, in source pixels.
    classes : (h, w) uint8
        Class ids, 0 = background.
    objects : (h, w) uint32
        Ids of objects, from 1.
    """

    rows: slice
    cols: slice
    classes: np.ndarray
    objects: np.ndarray


def first_look(
    segmenter: Segmenter,
    stack: ImageStack,
    options: PredictOptions,
    frame: int,
    rows: slice,
    cols: slice,
) -> FirstLook | None:
    """Segment a part of a frame with the dense heads of a model, in a fraction of a second.

    Parameters
    ----------
    segmenter : Segmenter
        The model.
    stack : ImageStack
        The images.
    options : PredictOptions
        As for the whole stack.
    frame : int
        The frame.
    rows, cols : slice
        The part that is wanted, in source pixels; of a large one the middle, of one smaller than a
        window what is around it as well.

    Returns
    -------
    FirstLook or None
        None if the model has no dense heads that tell what its tokens tell.

    Raises
    ------
    DataError
        If there is no such frame, or it cannot be read.
    BudgetError
        If memory does not suffice for a single window.
    """
    if not 0 <= frame < stack.n_frames:
        raise DataError(f"there is no frame {frame}; frames are 0 to {stack.n_frames - 1}")
    if not _has_heads(segmenter):
        return None
    size = segmenter.scale(stack, options).image_size
    spec = segmenter.window_spec(size, options.invert, options.contrast)
    scale = max(resized_shape(stack.shape, spec)) / max(stack.shape[1:3])
    sides = zip((rows, cols), stack.shape[1:3], strict=True)
    rows, cols = (_fitting(side, length, spec.patch / scale) for side, length in sides)
    first = max(0, min(frame, stack.n_frames - spec.n_frames))
    part = stack.part(slice(first, first + spec.n_frames), rows, cols)
    # of frames as they are, too: else a size would be estimated for the part by itself
    size = max(1, round(scale * max(part.shape[1:3])))
    seen = replace(options, image_size=size, diameter=None, preview=True)
    found = product_of(segmenter.segment(part, seen, frames=[frame - first]), lambda _: None)
    index = frame - first
    return FirstLook(
        rows=rows, cols=cols, classes=found.classes[index], objects=found.objects[index]
    )


def _has_heads(segmenter: Segmenter) -> bool:
    model, blocks = segmenter.model, segmenter.tokenizer.scheme.blocks
    return model.dense is not None and (model.affinity is not None or blocks != "instance")


def _fitting(side: slice, length: int, patch: float) -> slice:
    """One to `_MOST_PATCHES` patches of a side of so many pixels, around the middle of a part."""
    n = side.stop - side.start
    fitting = min(max(n, math.ceil(patch)), max(1, round(_MOST_PATCHES * patch)), length)
    first = min(max(side.start + (n - fitting) // 2, 0), length - fitting)
    return slice(first, first + fitting)
