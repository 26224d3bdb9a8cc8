"""Options of the commands that open images or masks: which part of a file is read, and how."""

from typing import TYPE_CHECKING, Any

from cyclopts import Group, Parameter

from rleseg_core.cli.options import given_fields
from rleseg_core.data.formats.base import ReadOptions

READING = Group("Reading", sort_key=20)
MASK_READING = Group("Reading the masks", sort_key=21)

_SPELLED = {
    "axes": Parameter(metavar="LETTERS", show_default="as the file says"),
    "series": Parameter(metavar="NUMBER|NAME"),
    "channel": Parameter(metavar="NUMBER|NAME"),
    "z": Parameter(metavar="NUMBER|max"),
    "pattern": Parameter(metavar="GLOB"),
}

if TYPE_CHECKING:
    GivenReading = dict[str, Any]
    GivenMaskReading = dict[str, Any]
    GivenTruthReading = dict[str, Any]
else:
    GivenReading = given_fields(ReadOptions, _SPELLED, group=READING)
    GivenMaskReading = given_fields(ReadOptions, _SPELLED, group=MASK_READING, prefix="mask-")
    GivenTruthReading = given_fields(
        ReadOptions, _SPELLED, group=Group("Reading TRUTH", sort_key=21), prefix="truth-"
    )
