"""What the numbers in masks mean: the options that say it, and what is told of the reading."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from cyclopts import Group, Parameter

from rleseg_core.cli.console import err, print_line
from rleseg_core.cli.values import parts_of
from rleseg_core.errors import DataError

if TYPE_CHECKING:
    from rleseg_core.data import IdMapping, IdOptions

IDS = Group("What the numbers in masks mean", sort_key=12)


@Parameter(name="*", group=IDS)
@dataclass(frozen=True, kw_only=True)
class IdChoices:
    """What is known of the numbers in masks.

    Parameters
    ----------
    ignore : str or None
        Ids of pixels that do not count, such as 255 or 255,-1: they are neither background nor
        object. Or none, where an id that looks like such a mark numbers an object.
    background : int
        The id of the background. With another one than 0, ids above it count from 1 on, unless they
        are the ids of the classes as they are.
    """

    ignore: Annotated[
        str | None, Parameter(metavar="LIST", allow_leading_hyphen=True, show_default="ask")
    ] = None
    background: Annotated[int, Parameter(metavar="ID", allow_leading_hyphen=True)] = 0

    def options(self) -> "IdOptions":
        """The same, as readers of masks take it.

        Raises
        ------
        DataError
            If an id is no whole number, or is ignored and the background at once.
        """
        from rleseg_core.data import IdOptions

        return IdOptions(ignore=self._ignored(), background=self.background)

    def _ignored(self) -> tuple[int, ...] | None:
        if self.ignore is None:
            return None
        parts = parts_of(self.ignore)
        if parts == ["none"]:
            return ()
        if not parts or any(not part.removeprefix("-").isdecimal() for part in parts):
            raise DataError(f"--ignore takes ids, as 255 or 255,-1, or none; got {self.ignore!r}")
        return tuple(int(part) for part in parts)


def tell_mapping(what: object, mapping: "IdMapping", quiet: bool) -> None:
    """Say how the numbers of masks are read, and what is unusual about them.

    Parameters
    ----------
    what : object
        Name of the masks.
    mapping : IdMapping
        How their numbers are read.
    quiet : bool
        Leave it unsaid where numbers mean what they say; warnings are printed all the same.
    """
    if not (quiet and mapping.is_plain):
        print_line(f"{what}: {mapping.text}", err)
    for sentence in mapping.warnings:
        print_line(f"warning: {what}: {sentence}", err)
