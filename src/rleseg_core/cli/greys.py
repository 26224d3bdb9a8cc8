"""Options of grey values, for the commands that show images to a model."""

from dataclasses import dataclass
from typing import Annotated

from cyclopts import Group, Parameter

from rleseg_core.cli.values import contrast_of
from rleseg_core.normalisation import Contrast

GREYS = Group("Grey values", sort_key=22)


@Parameter(name="*", group=GREYS)
@dataclass(frozen=True, kw_only=True)
class GreyValues:
    """How grey values become what a model sees; it sees each frame at its own contrast otherwise.

    Parameters
    ----------
    invert : bool or None
        Exchange dark and bright, for dark cells on bright ground. A model that was trained so
        does it by itself; --no-invert keeps it from that.
    contrast : str or None
        Grey values that become black and white, such as 100,4000, for all frames; auto finds
        them in each frame, by percentiles without extremes.
    """

    invert: Annotated[
        bool | None,
        Parameter(negative="--no-invert", show_default="as the model was trained"),
    ] = None
    contrast: Annotated[
        str | None, Parameter(metavar="LOW,HIGH|auto", show_default="as the model was trained")
    ] = None

    @property
    def limits(self) -> Contrast | None:
        """The contrast: two grey values, 'auto', or None if nothing was chosen."""
        return None if self.contrast is None else contrast_of(self.contrast)
