"""How training patches are varied at random: settings alone, without numpy."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Literal, Self

from rleseg_core.checks import (
    Count,
    NotNegative,
    Positive,
    Rate,
    Share,
    Within,
    check_fields,
    from_mapping,
)
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
    affine_probability: Share = 0.5
    scale: tuple[Positive, Positive] = (0.8, 1.25)
    angle: NotNegative = 180.0
    elastic: Annotated[float, Within(0, _MOST_ELASTIC)] = 0.0
    brightness: NotNegative = 0.1
    contrast: Rate = 0.25
    gamma: NotNegative = 0.4
    stretch: Share = 0.0
    blur: NotNegative = 0.0
    noise: NotNegative = 0.03
    frame_gap: tuple[Count, Count] = (1, 1)

    def __post_init__(self) -> None:
        check_fields(self, DataError)
        for name in ("scale", "frame_gap"):
            least, most = getattr(self, name)
            if least > most:
                raise DataError(
                    f"{name} needs a least value and a greatest, got {least} and {most}"
                )

    @classmethod
    def from_json(cls, values: Mapping[str, object]) -> Self:
        """The settings of a JSON header; names of version 0.1 are translated."""
        present = {_OLD_FIELDS.get(name, name): value for name, value in values.items()}
        return from_mapping(cls, present, DataError, "augment.")


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
