"""How training patches are varied at random: settings alone, without numpy."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from rleseg_core.errors import DataError

Strength = Literal["none", "standard", "strong"]
_MOST_ELASTIC = 1 / 16  # beyond it, the bend of a `data.augment.View` could fold


@dataclass(frozen=True, kw_only=True)
class Augmentation:
    """How patches are varied at random; an amount of 0 leaves that out.

    Parameters
    ----------
    turns : bool
        Mirror, and turn by quarters.
    warped_share : float
        Share of the patches that are also scaled, turned by any angle and bent, which costs more.
    scale : (float, float)
        Lowest and highest magnification of those.
    angle : float
        Largest angle of those, degrees.
    elastic : float
        How far pixels of those move at most, each way, in a smooth random field; share of the
        patch's side, at most 1/16, so that nothing folds.
    brightness, contrast, gamma : float
        Largest change: added, as a factor's distance from 1, as an exponent's logarithm to base 2.
    stretch : float
        0 to 1, how far the patch's own 1st and 99th percentiles are moved to black and white at
        most, but never further than to eight times the contrast.
    blur : float
        Largest standard deviation of a Gaussian blur, patch pixels.
    noise : float
        Largest standard deviation of noise, in [0, 1] grey values.
    frame_gap : (int, int)
        Least and greatest distance of neighbouring frames in a window of several; (1, 1) for
        consecutive frames, as windows are read in inference.

    Raises
    ------
    DataError
        If a number is out of its range.
    """

    turns: bool = True
    warped_share: float = 0.5
    scale: tuple[float, float] = (0.8, 1.25)
    angle: float = 180.0
    elastic: float = 0.0
    brightness: float = 0.1
    contrast: float = 0.25
    gamma: float = 0.4
    stretch: float = 0.0
    blur: float = 0.0
    noise: float = 0.03
    frame_gap: tuple[int, int] = (1, 1)

    def __post_init__(self) -> None:
        object.__setattr__(self, "scale", tuple(float(value) for value in self.scale))
        object.__setattr__(self, "frame_gap", tuple(int(value) for value in self.frame_gap))
        numbers = (self.angle, self.brightness, self.contrast, self.gamma, self.noise, self.blur)
        shares = (self.warped_share, self.stretch)
        if not (min(numbers) >= 0 and self.contrast < 1 and 0 <= min(shares) <= max(shares) <= 1):
            raise DataError(
                "amounts must not be negative, contrast must be below 1 and shares at most 1, got "
                f"{self}"
            )
        if not (len(self.scale) == 2 and 0 < self.scale[0] <= self.scale[1]):
            raise DataError(f"scale needs a lowest and a highest factor, got {self.scale}")
        if not 0 <= self.elastic <= _MOST_ELASTIC:
            raise DataError(
                f"elastic must be from 0 to {_MOST_ELASTIC}, beyond which patches could fold, got "
                f"{self.elastic:g}"
            )
        if not (len(self.frame_gap) == 2 and 1 <= self.frame_gap[0] <= self.frame_gap[1]):
            raise DataError(
                f"frame_gap needs a least and a greatest distance, 1 or more, got {self.frame_gap}"
            )


STILL = Augmentation(
    turns=False, warped_share=0, brightness=0, contrast=0, gamma=0, noise=0, scale=(1, 1), angle=0
)
AUGMENTATIONS: Mapping[Strength, Augmentation] = {
    "none": STILL,
    "standard": Augmentation(),
    "strong": Augmentation(
        warped_share=0.8,
        scale=(0.7, 1.4),
        elastic=0.04,
        brightness=0.15,
        contrast=0.35,
        gamma=0.6,
        stretch=0.5,
        blur=1.0,
        noise=0.05,
    ),
}
