"""How training patches are varied at random: settings alone, without numpy."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, Self

from rleseg_core.errors import DataError

Strength = Literal["none", "standard", "strong"]
_MOST_ELASTIC = 1 / 16  # beyond it, an elastic deformation could fold
_OLD_FIELDS = {"turns": "flips_and_rotations", "warped_share": "affine_probability"}  # version 0.1


@dataclass(frozen=True, kw_only=True)
class Augmentation:
    """How training patches are varied at random; an amount of 0 leaves a change out.

    Parameters
    ----------
    flips_and_rotations : bool
        Flip patches and rotate them by multiples of 90°, all eight orientations equally often.
    affine_probability : float
        Share of the patches, 0 to 1, that are also scaled, rotated by any angle and deformed
        elastically, which costs more.
    scale : (float, float)
        Lowest and highest magnification of an affine transform.
    angle : float
        Largest rotation of an affine transform, degrees.
    elastic : float
        Amplitude of the elastic deformation of those patches: the largest displacement of a pixel
        along each axis in a smooth random field, as a share of the patch's side, 0 to 1/16; beyond
        that the patch could fold.
    brightness : float
        Largest change of brightness: what is added to grey values in [0, 1].
    contrast : float
        Largest change of contrast: how far the factor about middle grey is from 1, below 1.
    gamma : float
        Largest change of gamma: the logarithm to base 2 of the exponent.
    stretch : float
        How far the patch's own 1st and 99th percentiles are moved to black and white at most, 0 to
        1, but never further than to eight times the contrast.
    blur : float
        Largest standard deviation of a Gaussian blur, patch pixels.
    noise : float
        Largest standard deviation of Gaussian noise, for grey values in [0, 1].
    frame_gap : (int, int)
        Least and greatest distance of neighbouring frames in a window of several; (1, 1) for
        consecutive frames, as windows are read in inference.

    Raises
    ------
    DataError
        If a number is out of its range.
    """

    flips_and_rotations: bool = True
    affine_probability: float = 0.5
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
        shares = (self.affine_probability, self.stretch)
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

    @classmethod
    def from_json(cls, values: Mapping[str, object]) -> Self:
        """The settings of a JSON header; names of version 0.1 are translated."""
        return cls(**{_OLD_FIELDS.get(name, name): value for name, value in values.items()})  # type: ignore[arg-type]


NO_AUGMENTATION = Augmentation(
    flips_and_rotations=False,
    affine_probability=0,
    brightness=0,
    contrast=0,
    gamma=0,
    noise=0,
    scale=(1, 1),
    angle=0,
)
AUGMENTATIONS: Mapping[Strength, Augmentation] = {
    "none": NO_AUGMENTATION,
    "standard": Augmentation(),
    "strong": Augmentation(
        affine_probability=0.8,
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
