"""Objects of a part of a frame, as a model finds them there."""

import math
from collections.abc import Generator, Sequence
from dataclasses import replace
from typing import Protocol

import numpy as np

from rleseg_core.checkpoints import ModelInfo
from rleseg_core.data import ImageStack
from rleseg_core.inference.follow.found import ObjectMask
from rleseg_core.inference.options import PredictOptions
from rleseg_core.inference.results import Segmentation, WindowResult
from rleseg_core.inference.scale import Scale
from rleseg_core.inference.token_source import TokenSource
from rleseg_core.model import Pix2Seq
from rleseg_core.normalisation import Contrast
from rleseg_core.reports import product_of
from rleseg_core.spec import WindowSpec
from rleseg_core.tokens import Tokenizer
from rleseg_core.tokens.grammar import GrammarTables

_MARGIN = 1.0  # of the longest side, around objects that are looked for: mothers are longer

Box = tuple[slice, slice]
"""Rows and columns of a part of a frame, in source pixels."""


class Segments(Protocol):
    """What following an object asks of a `Segmenter`."""

    info: ModelInfo
    model: Pix2Seq
    tokenizer: Tokenizer
    _source: TokenSource
    _tables: GrammarTables

    def segment(
        self, stack: ImageStack, options: PredictOptions, *, frames: Sequence[int] | None = None
    ) -> Generator[WindowResult, None, Segmentation]:
        """Find the objects of a stack."""

    def scale(self, stack: ImageStack, options: PredictOptions) -> Scale:
        """The size at which frames are seen."""

    def window_spec(
        self,
        image_size: int | None = None,
        invert: bool | None = None,
        contrast: Contrast | None = None,
    ) -> WindowSpec:
        """Windows of the model."""


class RegionFinder:
    """Finds the objects in parts of frames, which are seen as in the whole stack.

    Parameters
    ----------
    segmenter : Segmenter
        With any model.
    stack : ImageStack
        The images.
    options : PredictOptions
        How they are segmented.
    """

    def __init__(self, segmenter: Segments, stack: ImageStack, options: PredictOptions) -> None:
        self._segmenter, self._stack = segmenter, stack
        size = segmenter.scale(stack, options).image_size
        self._options = replace(options, image_size=size, diameter=None)
        self.spec = segmenter.window_spec(size, options.invert, options.contrast)
        longer = max(stack.shape[1:3])
        self._resized = 1.0 if size is None else size / longer

    def around(self, objects: Sequence[ObjectMask]) -> Box:
        """The box of some objects, with a margin in which they and their neighbours are seen."""
        sides = [side.stop - side.start for one in objects for side in (one.rows, one.cols)]
        margin = math.ceil(_MARGIN * max(sides))
        return self._grown(
            min(one.rows.start for one in objects) - margin,
            max(one.rows.stop for one in objects) + margin,
            min(one.cols.start for one in objects) - margin,
            max(one.cols.stop for one in objects) + margin,
        )

    def at(self, row: int, col: int) -> Box:
        """A box around a pixel, as large as an object can be."""
        reach = math.ceil(self.spec.patch / self._resized / 2)
        return self._grown(row - reach, row + reach, col - reach, col + reach)

    def _grown(self, top: int, bottom: int, left: int, right: int) -> Box:
        """A box within the frame."""
        height, width = self._stack.shape[1:3]
        rows, cols = slice(max(0, top), min(height, bottom)), slice(max(0, left), min(width, right))
        return rows, cols

    def find(
        self, frame: int, box: Box, expected: tuple[np.ndarray, float] | None = None
    ) -> np.ndarray:
        """Ids (Y, X) uint32 of the objects that the model finds in a part of a frame.

        There they are those of the whole frame. Around it they may be cut, and farther away there
        are none. Objects (Y, X) may be expected there, with a weight; see `ImageStack.expecting`.
        """
        n_frames = min(self.spec.n_frames, self._stack.n_frames)
        first = min(frame, self._stack.n_frames - n_frames)
        whole = slice(None)
        part = self._stack.part(slice(first, first + n_frames), whole, whole).near(*box)
        if expected is not None:
            part = part.expecting(expected[0], frame - first, expected[1])
        run = self._segmenter.segment(part, self._options, frames=[frame - first])
        return product_of(run).objects[frame - first]
