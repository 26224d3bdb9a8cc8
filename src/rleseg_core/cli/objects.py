"""Options of the commands that read objects, and the objects that they name."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Group, Parameter

from rleseg_core.cli.ids import IdChoices, tell_mapping
from rleseg_core.cli.options import FLAT
from rleseg_core.cli.reading import GivenReading
from rleseg_core.cli.values import parts_of
from rleseg_core.data.formats.base import ReadOptions
from rleseg_core.data.formats.registry import input_kinds
from rleseg_core.errors import DataError
from rleseg_core.text import counted

if TYPE_CHECKING:
    from rleseg_core.objects.stack import ObjectStack

OBJECTS = Group("Objects", sort_key=10)

ObjectPath = Annotated[
    Path,
    Parameter(
        help="Ids of objects: a result of predict, a folder of the Cell Tracking Challenge, or ids "
        f"of another program. One of: {input_kinds()}. Masks of classes give connected pieces."
    ),
]


@Parameter(name="*", group=OBJECTS)
@dataclass(frozen=True, kw_only=True)
class ObjectChoices:
    """What the objects are, and what is known of them.

    Parameters
    ----------
    table : Path or None
        The table of the objects, with their classes and confidences.
    classes : str or None
        Names of the classes, such as ipsc,dfc, in the order of their ids from 1 on. By default
        those that the file or the table notes.
    instances : bool
        The numbers are ids of objects, even if they look like classes.
    pieces : bool
        Take the connected pieces of the classes, even where objects lie beside them. Objects of one
        class that touch are one piece.
    """

    table: Annotated[Path | None, Parameter(show_default="the one beside the ids")] = None
    classes: str | None = None
    instances: bool = False
    pieces: bool = False
    ids: IdChoices = IdChoices()
    reading: Annotated[GivenReading, FLAT] = field(default_factory=dict)

    def open(self, path: Path, quiet: bool) -> "ObjectStack":
        """Objects of a file or folder; says how their numbers are read.

        Raises
        ------
        DataError
            If they cannot be read, or the options do not go together.
        """
        from rleseg_core.objects.opening import ObjectOptions, open_objects

        if self.pieces and (self.instances or self.table is not None):
            other = "--instances" if self.instances else "--table"
            raise DataError(
                f"--pieces takes connected pieces of classes, {other} objects that have ids; give "
                "one of the two"
            )
        stack = open_objects(
            path,
            ObjectOptions(
                numbers="classes" if self.pieces else "objects" if self.instances else "auto",
                class_names=tuple(parts_of(self.classes or "")),
                table=self.table,
                reading=ReadOptions(**self.reading),
                ids=self.ids.options(),
            ),
        )
        if stack.mapping is not None:
            tell_mapping(path, stack.mapping, quiet)
        return stack


def found_in(n_objects: int, n_frames: int, *, are_pieces: bool) -> str:
    """How many objects there are in how many frames, for people."""
    names = ("connected piece of a class", "connected pieces of classes") if are_pieces else ()
    return f"{counted(n_objects, *(names or ('object',)))} in {counted(n_frames, 'frame')}"
