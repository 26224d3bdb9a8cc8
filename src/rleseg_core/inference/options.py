"""The choices of a prediction, each with its default in one place."""

from dataclasses import dataclass
from typing import Literal, TypedDict

from rleseg_core.checkpoints.header import Diameter
from rleseg_core.checks import Count, check_fields
from rleseg_core.decoding import GREEDY, Sampling
from rleseg_core.errors import DataError
from rleseg_core.inference.stitch import StitchRule
from rleseg_core.normalisation import Contrast
from rleseg_core.spec import ImageSide

DraftSource = Literal["none", "frame", "dense"]


@dataclass(frozen=True, kw_only=True)
class PredictOptions:
    """How a stack is segmented.

    Parameters
    ----------
    stitch : {'centre', 'last', 'vote'}
        Which window counts where several overlap; see `Stitcher`.
    sampling : Sampling
        How tokens are chosen; greedy by default.
    batch_size : int, optional
        Windows that are computed at once; by default as many as fit into a part of the free memory.
    image_size : int, optional
        I, the longer side of a frame after resizing, in pixels, instead of the model's own: for
        images in which objects are larger or smaller than in those it was trained on.
    diameter : float or 'auto', optional
        Median diameter of the objects in source pixels, instead of `image_size`: frames are resized
        so that they are as wide as those that the model was trained on. Auto: estimate it from the
        images. By default it is estimated where the model knows its diameters and objects at its
        own image size are not like them; other models keep their own image size.
    invert : bool, optional
        Whether dark and bright are exchanged, for dark cells on bright ground; as the model was
        trained by default.
    contrast : (float, float) or 'auto', optional
        Grey values that become black and white, or auto for those of each frame; as the model was
        trained by default. See `Normalisation`.
    draft : {'none', 'frame', 'dense'}
        The draft of a window's tokens for speculative decoding: none, those of the frame before, or
        those of the dense head's mask. The masks are the same (in bf16 except for rounding); good
        drafts need far fewer passes of the decoder, which pays for large models and single windows.
    preview : bool
        Return the masks of the dense head and decode no tokens: much faster, a little worse.

    Raises
    ------
    DataError
        If a value is out of its range, or both image_size and diameter are given.
    """

    stitch: StitchRule = "centre"
    sampling: Sampling = GREEDY
    batch_size: Count | None = None
    image_size: ImageSide | None = None
    diameter: Diameter | Literal["auto"] | None = None
    invert: bool | None = None
    contrast: Contrast | None = None
    draft: DraftSource = "none"
    preview: bool = False

    def __post_init__(self) -> None:
        check_fields(self, DataError)
        if self.image_size is not None and self.diameter is not None:
            raise DataError("both decide on the size of frames: give image_size or diameter")


DEFAULTS = PredictOptions()


class PredictKeywords(TypedDict, total=False):
    """The fields of `PredictOptions` as keywords, for calls that change one or two of them."""

    stitch: StitchRule
    sampling: Sampling
    batch_size: int | None
    image_size: int | None
    diameter: float | Literal["auto"] | None
    invert: bool | None
    contrast: Contrast | None
    draft: DraftSource
    preview: bool
