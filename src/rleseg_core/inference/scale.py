"""The size at which a model sees the frames of a stack: its own, a given one, or an estimate.

The estimate is the second step of Cellpose's size model, without the first: the model segments a
few windows at a ladder of scales, and the diameter that the scales agree on counts.
"""

import logging
import math
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal
from weakref import WeakKeyDictionary

import numpy as np
import torch

from rleseg_core.checkpoints import ModelInfo
from rleseg_core.data import ImageStack, Window
from rleseg_core.decoding import GREEDY
from rleseg_core.errors import DataError, DataWarning
from rleseg_core.inference.confidence import confidences
from rleseg_core.inference.options import PredictOptions
from rleseg_core.inference.samples import SampledFrames
from rleseg_core.inference.token_source import TokenSource
from rleseg_core.model import Pix2Seq
from rleseg_core.objects.scale import (
    DiameterEstimate,
    Diameters,
    Rung,
    TrainedDiameters,
    diameter_of,
    image_size_for,
    ladder,
)
from rleseg_core.spec import WindowSpec
from rleseg_core.tokens import Tokenizer

log = logging.getLogger(__name__)

N_WINDOWS = 12
"""Windows that are looked at for each scale, about."""
_MOST_FRAMES = 3
_FITS = 1.6  # objects up to so many times as large or small as the trained median keep the size
_AGREE = 1.35  # ratio of the diameters found at two scales that agree
_SURE = 0.85  # of the confidence at another scale
_FEWEST = 3  # objects
_BATCH = 8  # windows that are computed at once
_PLENTY = math.sqrt(2)  # of a trained percentile, beyond which objects are unlike those trained on


@dataclass(frozen=True, kw_only=True)
class Scale:
    """The size at which a model sees the frames of a stack.

    Parameters
    ----------
    image_size : int or None
        I, the longer side of a frame after resizing, in pixels; None: as they are.
    diameter : float or None
        Median diameter of the objects in source pixels, as given or estimated; None if unknown.
    origin : {'model', 'image_size', 'diameter', 'estimate'}
        What decided: the model's own size, a given size, a given diameter, or an estimate.
    text : str
        One line for the user; empty where the model's own size is kept.
    """

    image_size: int | None
    diameter: float | None
    origin: Literal["model", "image_size", "diameter", "estimate"]
    text: str


def trained_diameters(info: ModelInfo) -> TrainedDiameters | None:
    """The diameters that a model's header knows; None where it knows none."""
    if info.object_diameter is None or info.object_diameters is None:
        return None
    low, high = info.object_diameters
    return TrainedDiameters(median=info.object_diameter, low=low, high=high)


class ScaleFinder:
    """Finds the size at which a model should see stacks; remembers what it found for each.

    Parameters
    ----------
    info : ModelInfo
        Header of the model.
    model : Pix2Seq
        In evaluation mode.
    tokenizer : Tokenizer
        Tokenizer of the model.
    source : TokenSource
        Decodes windows of the model.
    """

    def __init__(
        self, info: ModelInfo, model: Pix2Seq, tokenizer: Tokenizer, source: TokenSource
    ) -> None:
        self._info, self._model, self._tokenizer, self._source = info, model, tokenizer, source
        self._trained = trained_diameters(info)
        self._seen: WeakKeyDictionary[ImageStack, dict[tuple[object, ...], object]]
        self._seen = WeakKeyDictionary()

    def scale(self, stack: ImageStack, options: PredictOptions, spec: WindowSpec) -> Scale:
        """The size at which a stack is segmented.

        Parameters
        ----------
        stack : ImageStack
            The images.
        options : PredictOptions
            With `image_size` or `diameter`.
        spec : WindowSpec
            Windows of the model, with the grey values of the options and an image size that is
            given.

        Raises
        ------
        DataError
            If a diameter is asked for and the model knows none of its own, or it asks for too large
            frames.
        """
        own = Scale(image_size=spec.image_size, diameter=None, origin="model", text="")
        if options.image_size is not None:
            return Scale(image_size=spec.image_size, diameter=None, origin="image_size", text="")
        trained = self._trained
        if trained is None:
            if options.diameter is None:
                return own
            raise DataError(
                f"the model {self._info.name} does not know the diameter of the objects it was "
                "trained on; choose an image size instead"
            )
        if isinstance(options.diameter, int | float):
            return self._for_diameter(stack, float(options.diameter), trained, spec, "diameter")
        key = (spec, options.diameter)
        known = self._seen.setdefault(stack, {})
        if key not in known:
            if options.diameter is None and self._own_fits(stack, spec, trained):
                known[key] = own
            else:
                known[key] = self._estimated(stack, spec, trained, own, options.diameter == "auto")
        found = known[key]
        assert isinstance(found, Scale)
        return found

    def estimate(
        self, stack: ImageStack, spec: WindowSpec, frames: Sequence[int] | None = None
    ) -> DiameterEstimate:
        """The diameter of the objects of a stack, from a few windows at many scales.

        Parameters
        ----------
        stack : ImageStack
            The images.
        spec : WindowSpec
            Windows of the model, with the grey values that count; their image size does not.
        frames : sequence of int, optional
            First frames of the windows that are looked at; by default up to three of the stack.

        Raises
        ------
        DataError
            If the model does not know the diameters it was trained on, or a frame is out of range.
        """
        trained = self._trained
        if trained is None:
            raise DataError(
                f"the model {self._info.name} does not know the diameter of the objects it was "
                "trained on; choose an image size instead"
            )
        chosen = None if frames is None else tuple(sorted({int(frame) for frame in frames}))
        known = self._seen.setdefault(stack, {})
        if (spec, chosen, "rungs") not in known:
            samples = SampledFrames(stack, spec, chosen or _sampled(stack, spec), N_WINDOWS)
            scales = ladder(stack.shape, spec.patch)
            rungs = tuple(self._rung(samples, scale) for scale in scales)
            diameter = diameter_of(rungs, trained)
            size = None
            if diameter is not None:
                size = image_size_for(stack.shape, diameter, trained.median, patch=spec.patch)
            known[spec, chosen, "rungs"] = DiameterEstimate(
                diameter=diameter,
                image_size=size,
                n_objects=sum(rung.n_objects for rung in rungs),
                rungs=rungs,
            )
        found = known[spec, chosen, "rungs"]
        assert isinstance(found, DiameterEstimate)
        return found

    def _own_fits(self, stack: ImageStack, spec: WindowSpec, trained: TrainedDiameters) -> bool:
        """Whether objects at the model's own image size are like those that it was trained on."""
        samples = SampledFrames(stack, spec, _sampled(stack, spec), N_WINDOWS)
        longer = max(stack.shape[1:3])
        own = (spec.image_size or longer) / longer
        here = self._rung(samples, own)
        if here.n_objects < _FEWEST or not _near(here.diameter * own, trained.median, _FITS):
            return False
        others = [self._rung(samples, own * factor) for factor in (0.5, 2.0)]
        agrees = any(
            rung.n_objects >= _FEWEST and _near(rung.diameter, here.diameter, _AGREE)
            for rung in others
        )
        return agrees and here.confidence >= _SURE * max(rung.confidence for rung in others)

    def _estimated(
        self,
        stack: ImageStack,
        spec: WindowSpec,
        trained: TrainedDiameters,
        own: Scale,
        is_exact: bool,
    ) -> Scale:
        """The size by the estimate; the model's own where that is about the same, or nothing."""
        found = self.estimate(stack, spec)
        if found.diameter is None or found.image_size is None:
            warnings.warn(
                f"no scale gives objects like those that {self._info.name} was trained on; frames "
                "are seen at the model's own size: give a diameter",
                DataWarning,
                stacklevel=4,
            )
            return own
        size = spec.image_size or max(stack.shape[1:3])
        if not is_exact and _near(found.image_size, size, _FITS):
            return own
        return self._for_diameter(stack, found.diameter, trained, spec, "estimate")

    def _for_diameter(
        self,
        stack: ImageStack,
        diameter: float,
        trained: TrainedDiameters,
        spec: WindowSpec,
        origin: Literal["diameter", "estimate"],
    ) -> Scale:
        """The size for objects of a diameter; a warning if they are still unlike trained ones."""
        size = image_size_for(stack.shape, diameter, trained.median, patch=spec.patch)
        seen = diameter * size / max(stack.shape[1:3])
        if seen > _PLENTY * trained.high:
            warnings.warn(
                f"objects {diameter:.3g} pixels wide are {seen:.0f} wide in the smallest frame "
                f"that {self._info.name} can see, and it was trained on {trained.low:.0f} to "
                f"{trained.high:.0f}; choose a model for larger objects",
                DataWarning,
                stacklevel=4,
            )
        text = f"objects are about {diameter:.3g} px wide; frames are seen at {size:,} px"
        return Scale(image_size=size, diameter=diameter, origin=origin, text=text)

    def _rung(self, samples: SampledFrames, scale: float) -> Rung:
        """What the model sees at a scale."""
        parts: list[Diameters] = []
        n_pixels = n_foreground = 0
        sureness = 0.0
        rows, cols = self._info.mask_spec.size
        side = self._info.window_spec.patch
        for masks, sure in self._masks(samples, scale):
            for mask in masks.reshape(-1, rows, cols):
                of = Diameters.of_ids if self._writes_ids else Diameters.of_classes
                parts.append(of(mask))
            n_pixels += masks.size
            n_foreground += int(np.count_nonzero(masks))
            sureness += float(sure[masks != 0].sum())
        found = Diameters.joined(parts).scaled(side / math.sqrt(rows * cols) / scale)
        rung = Rung(
            scale=scale,
            diameter=found.percentile(50) if len(found) else 0.0,
            n_objects=len(found),
            foreground=n_foreground / max(1, n_pixels),
            confidence=sureness / max(1, n_foreground),
        )
        log.debug("%s", rung)
        return rung

    @property
    def _writes_ids(self) -> bool:
        return self._tokenizer.scheme.blocks == "instance"

    def _masks(
        self, samples: SampledFrames, scale: float
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Masks (B, N, S, S) of sampled windows, ids or classes, and confidences of the same shape.

        Those of the dense head where there is one that tells objects apart as the tokens do.
        """
        images = samples.windows(scale)
        for first in range(0, len(images), _BATCH):
            batch = torch.from_numpy(images[first : first + _BATCH])
            with torch.inference_mode():
                if self._model.dense is not None and not self._writes_ids:
                    logits = self._model.dense_logits(self._source.encode(batch))
                    background = logits.float().softmax(dim=2)[:, :, 0].cpu().numpy()
                    classes = logits.argmax(dim=2).to(torch.uint8).cpu().numpy()
                    yield classes, np.abs(1 - 2 * background)
                else:
                    yield self._decoded(batch)

    def _decoded(self, images: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
        windows = [Window((0, 0), (index, index), (0, 0)) for index in range(len(images))]
        masks, sure = [], []
        for sequence in self._source.decode([(windows, images)], len(images), GREEDY, "none"):
            decoded = self._tokenizer.decode(sequence.tokens)
            ids = decoded.instances
            masks.append(decoded.classes if ids is None else ids)
            sure.append(confidences(self._tokenizer, sequence.tokens, sequence.logprobs).pixels)
        return np.stack(masks), np.stack(sure)


def _near(value: float, other: float, ratio: float) -> bool:
    return other / ratio <= value <= other * ratio


def _sampled(stack: ImageStack, spec: WindowSpec) -> tuple[int, ...]:
    """First frames of the windows that are looked at, spread over the stack."""
    last = max(0, stack.n_frames - spec.n_frames)
    return tuple(sorted({round(last * k / (_MOST_FRAMES - 1)) for k in range(_MOST_FRAMES)}))
