"""How a model takes grey values: settings alone, which its header notes, without numpy."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Literal, Self

from rleseg_core.checks import NotNegative, Within, check_fields, from_mapping
from rleseg_core.errors import SchemeError

Rule = Literal["frame", "type"]
Contrast = tuple[float, float] | Literal["auto"]


@dataclass(frozen=True, kw_only=True)
class GreyChoice:
    """What somebody chose of the grey values of some images; None leaves it to the model.

    Parameters
    ----------
    invert : bool, optional
        Whether dark and bright are exchanged.
    contrast : (float, float) or 'auto', optional
        Grey values that become black and white, or auto for those of each frame.
    """

    invert: bool | None = None
    contrast: Contrast | None = None

    @classmethod
    def from_record(cls, record: Mapping[str, object]) -> Self:
        """The choice that stands among other things in a record of how masks were made."""
        given = {name: record[name] for name in ("invert", "contrast") if name in record}
        try:
            return from_mapping(cls, given, SchemeError)
        except SchemeError:  # of another program, or edited
            return cls()


@dataclass(frozen=True, kw_only=True)
class Normalisation:
    """How grey values become the range 0 to 1 that a model sees.

    Parameters
    ----------
    rule : {'frame', 'type'}
        frame: each frame from its own low to its own high percentile, whatever its type. type: as
        models of version 0.1 do it, 0 to 255 for uint8, else the percentiles 0.1 and 99.9 of a
        sample of the stack.
    low, high : float
        Percentiles of the rule frame, which become 0 and 1; of 3 × 3 medians, without extremes.
    least_range : float
        Least distance of the two grey values, in standard deviations of the noise, so that a frame
        that shows nothing is not blown up; of the rule frame.
    invert : bool
        Whether dark and bright change places, for dark cells on bright ground.
    contrast : (float, float) or None
        Grey values that become 0 and 1, in place of those that the rule finds.

    Raises
    ------
    SchemeError
        If a number is out of its range.
    """

    rule: Rule = "frame"
    low: Annotated[float, Within(0, 50, below=True)] = 0.2
    high: Annotated[float, Within(50, 100, above=True)] = 99.8
    least_range: NotNegative = 12.0
    invert: bool = False
    contrast: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        check_fields(self, SchemeError, "normalisation.")
        if self.contrast is not None and self.contrast[0] >= self.contrast[1]:
            raise SchemeError(
                "the contrast needs two grey values, of which the lower one comes first, got "
                f"{self.contrast[0]:g} and {self.contrast[1]:g}"
            )

    def changed(self, invert: bool | None = None, contrast: Contrast | None = None) -> Self:
        """The same, with what is not None in place of its own; 'auto' is the rule frame."""
        found = self if invert is None else replace(self, invert=invert)
        if contrast is None:
            return found
        if contrast == "auto":
            return replace(found, rule="frame", contrast=None)
        return replace(found, contrast=contrast)

    @property
    def summary(self) -> str:
        """It in words, as for a record of how masks were made."""
        if self.contrast is not None:
            words = f"{self.contrast[0]:g} to {self.contrast[1]:g}"
        elif self.rule == "frame":
            words = f"percentiles {self.low:g} to {self.high:g} of each frame"
        else:
            words = "by type: 0 to 255, or percentiles 0.1 to 99.9 of the stack"
        return words + (", inverted" if self.invert else "")


ROBUST = Normalisation()
"""The rule of new models."""
BY_TYPE = Normalisation(rule="type")
"""The rule of version 0.1, and of the published implementation's models."""
AS_TRAINED = GreyChoice()
"""Nothing chosen."""
