"""Options of the commands that open images or masks: which part of a file is read, and how."""

import re
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cyclopts import Group, Parameter

from rleseg_core.cli.options import given_fields
from rleseg_core.data.formats.base import ReadOptions
from rleseg_core.errors import DataError

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
    GivenImageReading = dict[str, Any]
else:
    GivenReading = given_fields(ReadOptions, _SPELLED, group=READING)
    GivenMaskReading = given_fields(ReadOptions, _SPELLED, group=MASK_READING, prefix="mask-")
    GivenTruthReading = given_fields(
        ReadOptions, _SPELLED, group=Group("Reading TRUTH", sort_key=21), prefix="truth-"
    )
    GivenImageReading = given_fields(
        ReadOptions, _SPELLED, group=Group("Reading the images", sort_key=21), prefix="image-"
    )

READ_OPTIONS = tuple(field.name.replace("_", "-") for field in fields(ReadOptions))


@contextmanager
def spelled_for(path: Path, prefix: str, options: Collection[str] = READ_OPTIONS) -> Iterator[None]:
    """Errors on one of the sources of a command name the options that are its own.

    Parameters
    ----------
    path : Path
        The source, with which the sentences on it begin.
    prefix : str
        What its options begin with, such as ``mask-``.
    options : collection of str
        Those that have the prefix, without it.

    Raises
    ------
    DataError
        With ``--mask-series`` in place of ``--series``, say.
    """
    try:
        yield
    except DataError as error:
        if not str(error).startswith((str(path), str(path.resolve()))):
            raise
        names = "|".join(map(re.escape, options))
        raise DataError(re.sub(rf"--({names})\b", rf"--{prefix}\1", str(error))) from error
