"""The choices of a prediction, each with its default in one place."""

from dataclasses import dataclass, replace
from typing import Literal, TypedDict

from rleseg_core.checkpoints.header import Diameter
from rleseg_core.checks import Count, NotNegative, check_fields
from rleseg_core.decoding import GREEDY, Sampling
from rleseg_core.errors import DataError
from rleseg_core.inference.merging import StitchRule, TimeRule
from rleseg_core.normalisation import Contrast
from rleseg_core.spec import Frames, ImageSide, WindowSpec

DraftSource = Literal["none", "frame", "dense"]
LENIENCY = 4.0
"""Of drafts of objects; see `PredictOptions`."""


@dataclass(frozen=True, kw_only=True)
class PredictOptions:
    """How a stack is segmented.

    Parameters
    ----------
    stitch : {'centre', 'last', 'vote', 'weighted', 'or', 'and', 'min', 'max'}
        Which patch counts where several overlap; see `Stitcher`. Weighted: a vote in which classes
        weigh as much as the model is sure of them. Models that tell objects apart join these, by
        'centre' or 'last'; see `FrameJoiner`.
    stitch_time : {'centre', 'last', 'vote', 'or', 'and', 'min', 'max'}
        The same for frames that several temporal windows show.
    frame_stride : int, optional
        Frames from one temporal window to the next, 1 to N, instead of the model's own; with fewer
        than N, windows overlap in time.
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
    draft : {'auto', 'none', 'frame', 'dense'}
        The draft of a window's tokens for speculative decoding: none, those of the frame before, or
        those of what the dense heads see. The masks are the same (in bf16 except for rounding);
        good drafts need far fewer passes of the decoder, which pays for large models and single
        windows. Auto: that of the dense heads for models that tell objects apart with them, with
        `leniency`; else none.
    leniency : float
        0 or more, for ``draft='auto'``: how much more probable than an object of the draft its
        absence must be for the tokens to leave it out, e to this power. With 0 the tokens alone
        decide what is written, with a large number the dense heads do.
    preview : bool
        Return what the dense heads see and decode no tokens: much faster, a little worse.
    refine : bool
        Whether the dense heads decide on outlines between mask pixels, where the model has them;
        otherwise outlines are those of the tokens, interpolated between mask pixels.

    Raises
    ------
    DataError
        If a value is out of its range, or both image_size and diameter are given.
    """

    stitch: StitchRule = "centre"
    stitch_time: TimeRule = "centre"
    frame_stride: Frames | None = None
    sampling: Sampling = GREEDY
    batch_size: Count | None = None
    image_size: ImageSide | None = None
    diameter: Diameter | Literal["auto"] | None = None
    invert: bool | None = None
    contrast: Contrast | None = None
    draft: DraftSource | Literal["auto"] = "auto"
    leniency: NotNegative = LENIENCY
    preview: bool = False
    refine: bool = True

    def __post_init__(self) -> None:
        check_fields(self, DataError)
        if self.image_size is not None and self.diameter is not None:
            raise DataError("both decide on the size of frames: give image_size or diameter")

    def in_time(self, spec: WindowSpec) -> WindowSpec:
        """Windows of a model with this frame stride.

        Raises
        ------
        DataError
            If it is larger than N, so that frames would be left out.
        """
        if self.frame_stride is None:
            return spec
        if self.frame_stride > spec.n_frames:
            raise DataError(
                f"frame_stride must be at most the {spec.n_frames} frames that the model sees at a "
                f"time, got {self.frame_stride}"
            )
        return replace(spec, frame_stride=self.frame_stride)

    def decoding(self, *, has_affinities: bool) -> tuple[DraftSource, Sampling]:
        """The draft and the sampling for a model that has a head of affinities, or none."""
        if self.draft != "auto":
            return self.draft, self.sampling
        if not has_affinities or self.sampling.top_p is not None:
            return "none", self.sampling
        leniency = max(self.leniency, self.sampling.leniency)
        return "dense", replace(self.sampling, leniency=leniency)


DEFAULTS = PredictOptions()


class PredictKeywords(TypedDict, total=False):
    """The fields of `PredictOptions` as keywords, for calls that change one or two of them."""

    stitch: StitchRule
    stitch_time: TimeRule
    frame_stride: int | None
    sampling: Sampling
    batch_size: int | None
    image_size: int | None
    diameter: float | Literal["auto"] | None
    invert: bool | None
    contrast: Contrast | None
    draft: DraftSource | Literal["auto"]
    leniency: float
    preview: bool
    refine: bool
