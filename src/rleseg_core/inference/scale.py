"""The size at which a model sees the frames of a stack: its own, a given one, or an estimate.

The estimate is the second step of Cellpose's size model, without the first: the model segments a
few windows at a ladder of scales, and the diameter that the scales agree on counts.
"""

import logging
import math
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar
from weakref import WeakKeyDictionary

import numpy as np
import torch

from rleseg_core.checkpoints import ModelInfo
from rleseg_core.data import ImageStack, Window
from rleseg_core.data.labels import upsample_labels
from rleseg_core.decoding import GREEDY
from rleseg_core.errors import DataError, DataWarning
from rleseg_core.inference.confidence import confidences
from rleseg_core.inference.dense_objects import objects_of_windows
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
"""Windows that are looked at for each scale, about; half as many if tokens have to be decoded."""
_MOST_FRAMES = 3
_FITS = 1.6  # objects up to so many times as large or small as the trained median keep the size
_NEIGHBOURS = 2.01  # ratio to a scale, within which others are looked at to judge it
_MUCH_SMALLER = 0.25  # of the frame's own size, below which all scales are looked at
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


_Of = TypeVar("_Of")
_PerStack = WeakKeyDictionary[ImageStack, dict[tuple[object, ...], _Of]]


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
        self._seen: _PerStack[dict[float, Rung]] = WeakKeyDictionary()
        self._chosen: _PerStack[Scale] = WeakKeyDictionary()

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
        known = self._chosen.setdefault(stack, {})
        key = (spec, options.diameter)
        if key not in known:
            known[key] = self._choose(stack, options.diameter, spec, trained, own)
        return known[key]

    def _choose(
        self,
        stack: ImageStack,
        diameter: float | Literal["auto"] | None,
        spec: WindowSpec,
        trained: TrainedDiameters,
        own: Scale,
    ) -> Scale:
        """The size by a diameter that is given, or estimated; the model's own where that fits."""
        if diameter is not None and diameter != "auto":
            return self._for_diameter(stack, diameter, trained, spec, "diameter")
        if diameter is None and self._own_fits(stack, spec, trained):
            return own
        found = self.estimate(stack, spec)
        if found.diameter is None or found.image_size is None:
            if any(rung.n_objects for rung in found.rungs):  # else there is nothing at all
                warnings.warn(
                    f"no scale gives objects like those that {self._info.name} was trained on; "
                    "frames are seen at the model's own size: give a diameter",
                    DataWarning,
                    stacklevel=5,
                )
            return own
        size = spec.image_size or max(stack.shape[1:3])
        if diameter is None and _near(found.image_size, size, _FITS):
            return own
        return self._for_diameter(stack, found.diameter, trained, spec, "estimate")

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
        rungs = self._rungs(stack, spec, chosen, ladder(stack.shape, spec.patch, _own(stack, spec)))
        diameter = diameter_of(rungs, trained)
        size = None
        if diameter is not None:
            size = image_size_for(stack.shape, diameter, trained.median, patch=spec.patch)
        return DiameterEstimate(
            diameter=diameter,
            image_size=size,
            n_objects=sum(rung.n_objects for rung in rungs),
            rungs=rungs,
        )

    def _own_fits(self, stack: ImageStack, spec: WindowSpec, trained: TrainedDiameters) -> bool:
        """Whether objects at the model's own image size are like those that it was trained on.

        Only the scales near it are looked at, unless frames are made so small that much may vanish.
        """
        own = _own(stack, spec)
        if own < _MUCH_SMALLER:
            return False
        scales = ladder(stack.shape, spec.patch, own)
        near = [scale for scale in scales if _near(scale, own, _NEIGHBOURS)]
        diameter = diameter_of(self._rungs(stack, spec, None, near), trained)
        return diameter is not None and _near(diameter * own, trained.median, _FITS)

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

    def _rungs(
        self,
        stack: ImageStack,
        spec: WindowSpec,
        frames: tuple[int, ...] | None,
        scales: Sequence[float],
    ) -> tuple[Rung, ...]:
        """What the model sees at some scales; each is looked at once for a stack."""
        known = self._seen.setdefault(stack, {}).setdefault((spec, frames), {})
        missing = [scale for scale in scales if scale not in known]
        if missing:
            n_windows = N_WINDOWS if self._is_dense else N_WINDOWS // 2
            samples = SampledFrames(stack, spec, frames or _sampled(stack, spec), n_windows)
            known.update({scale: self._rung(samples, scale) for scale in missing})
        return tuple(known[scale] for scale in scales)

    def _rung(self, samples: SampledFrames, scale: float) -> Rung:
        """What the model sees at a scale."""
        parts: list[Diameters] = []
        n_pixels = n_foreground = 0
        sureness = 0.0
        patch = self._info.window_spec.patch
        of = Diameters.of_ids if self._writes_ids else Diameters.of_classes
        for masks, sure in self._masks(samples, scale):
            rows, cols = masks.shape[-2:]
            # on the finer grid necks are seen that are narrower than a mask pixel
            finer = (min(2 * rows, patch), min(2 * cols, patch))
            fine = masks if self._writes_ids else upsample_labels(masks, finer, "smooth")
            factor = patch / math.sqrt(fine.shape[-2] * fine.shape[-1]) / scale
            parts += [of(mask).scaled(factor) for mask in fine.reshape(-1, *fine.shape[-2:])]
            n_pixels += masks.size
            n_foreground += int(np.count_nonzero(masks))
            sureness += float(sure[masks != 0].sum())
        found = Diameters.joined(parts)
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
    def _is_dense(self) -> bool:
        """Whether the dense heads tell what the tokens tell."""
        tells_objects = self._model.affinity is not None or not self._writes_ids
        return self._model.dense is not None and tells_objects

    @property
    def _writes_ids(self) -> bool:
        return self._tokenizer.scheme.blocks == "instance"

    def _masks(
        self, samples: SampledFrames, scale: float
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Masks (B, N, S, S) of sampled windows, ids or classes, and confidences of the same shape.

        Those of the dense heads where they tell what the tokens tell.
        """
        images = samples.windows(scale)
        for first in range(0, len(images), _BATCH):
            batch = torch.from_numpy(images[first : first + _BATCH])
            with torch.inference_mode():
                if self._is_dense:
                    memory = self._source.encode(batch)
                    logits = self._model.dense_logits(memory)
                    background = logits.float().softmax(dim=2)[:, :, 0].cpu().numpy()
                    masks = logits.argmax(dim=2).cpu().numpy()
                    if self._writes_ids:
                        objects = objects_of_windows(self._model, memory)
                        masks = np.stack([ids for _, ids in objects])
                    yield masks, np.abs(1 - 2 * background)
                else:
                    yield self._decoded(batch)

    def _decoded(self, images: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
        windows = [Window((0, 0), (index, index), (0, 0)) for index in range(len(images))]
        masks, sure = [], []
        sequences = self._source.decode(
            [windows], lambda _: self._source.encode(images), len(images), GREEDY, "none"
        )
        for sequence in sequences:
            decoded = self._tokenizer.decode(sequence.tokens)
            ids = decoded.instances
            masks.append(decoded.classes if ids is None else ids)
            sure.append(confidences(self._tokenizer, sequence.tokens, sequence.logprobs).pixels)
        return np.stack(masks), np.stack(sure)


def _own(stack: ImageStack, spec: WindowSpec) -> float:
    """Resized pixels per source pixel at a model's own image size."""
    longer = max(stack.shape[1:3])
    return (spec.image_size or longer) / longer


def _near(value: float, other: float, ratio: float) -> bool:
    return other / ratio <= value <= other * ratio


def _sampled(stack: ImageStack, spec: WindowSpec) -> tuple[int, ...]:
    """First frames of the windows that are looked at, spread over the stack."""
    last = max(0, stack.n_frames - spec.n_frames)
    return tuple(sorted({round(last * k / (_MOST_FRAMES - 1)) for k in range(_MOST_FRAMES)}))
