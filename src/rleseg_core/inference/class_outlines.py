"""Outlines of classes between mask pixels: near them, the dense class head decides."""

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from scipy.ndimage import maximum_filter, minimum_filter

from rleseg_core.data import Window, WindowReader
from rleseg_core.data.windows import resize_image
from rleseg_core.inference.geometry import source_rectangle
from rleseg_core.inference.memories import Encode
from rleseg_core.inference.options import PredictOptions
from rleseg_core.model import Memory, Pix2Seq
from rleseg_core.tokens import Scheme

_REACH = 1.0  # mask pixels from an outline within which the dense head decides
_DISAGREEMENT = 0.1  # share of the other pixels, beyond which the head does not know these classes


class ClassOutlines:
    """What the dense class head says of windows, from when they are encoded until they are painted.

    Parameters
    ----------
    model : Pix2Seq
        The model.
    encode : callable
        The memory of windows.
    known : bool
        Whether there is such a head to ask; otherwise masks stay as they are.
    """

    def __init__(self, model: Pix2Seq, encode: Encode, *, known: bool = True) -> None:
        self._model, self._encode, self._known = model, encode, known
        self._logits: dict[Window, np.ndarray] = {}  # (N, C + 1, S, S)

    def encode(self, windows: Sequence[Window]) -> Memory:
        """The memory of windows; what the head says of them is kept for `refine`."""
        memory = self._encode(windows)
        if not self._known:
            return memory
        with torch.inference_mode():
            logits = self._model.dense_logits(memory).float().cpu().numpy()
        self._logits.update(zip(windows, logits, strict=True))
        return memory

    def refine(self, masks: np.ndarray, window: Window, reader: WindowReader) -> np.ndarray:
        """Masks of a window with finer outlines; what the head says is forgotten.

        Parameters
        ----------
        masks : (N, h, w) uint8
            Class ids in source pixels, from coarser mask pixels.
        window : Window
            The window.
        reader : WindowReader
            It knows the frames, and how they are resized.

        Returns
        -------
        (N, h, w) uint8
            Within a mask pixel of an outline, each pixel has its likeliest class. Nothing changes
            in a window that was not encoded, and where the head sees other classes elsewhere, too.
        """
        logits = self._logits.pop(window, None)
        if logits is None or (masks == masks.flat[0]).all():
            return masks
        _, _, covered = source_rectangle(window, reader.shape, reader.spec)
        step = reader.spec.patch / logits.shape[-1] * masks.shape[1] / max(covered[0], 1)
        around = (1, *[2 * max(1, round(_REACH * step)) + 1] * 2)
        near = maximum_filter(masks, around) != minimum_filter(masks, around)
        seen = np.stack(
            [_in_source(of_frame, masks, covered, reader) for of_frame in logits[: len(masks)]]
        )
        if (seen != masks)[~near].sum() > _DISAGREEMENT * (~near).sum():
            return masks
        return np.where(near, seen, masks)


def class_outlines(
    model: Pix2Seq, encode: Encode, scheme: Scheme, options: PredictOptions
) -> ClassOutlines:
    """What refines the masks of a model that tells no objects apart, if it has a head for that."""
    has_head = model.config.pointer.dense_classes > 0 and model.config.tokens.grid is not None
    known = options.refine and has_head and scheme.blocks != "instance"
    return ClassOutlines(model, encode, known=known)


def _in_source(
    logits: np.ndarray, masks: np.ndarray, covered: tuple[int, int], reader: WindowReader
) -> np.ndarray:
    """The likeliest classes (h, w) uint8 of a frame of a window, from logits (C + 1, S, S)."""
    patch = (reader.spec.patch, reader.spec.patch)
    fine = F.interpolate(
        torch.from_numpy(logits)[None], patch, mode="bilinear", align_corners=False
    )[0, :, : covered[0], : covered[1]]
    over_background = (fine[1:] - fine[:1]).movedim(0, -1).contiguous().numpy()
    resized = resize_image(over_background, masks.shape[1:])
    best = resized.argmax(axis=-1)
    return np.where(resized.max(axis=-1) > 0, best + 1, 0).astype(np.uint8)
