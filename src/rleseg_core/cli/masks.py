"""Options of the commands that read masks, and the masks that they name."""

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Group, Parameter

from rleseg_core.cli.ids import IdChoices, tell_mapping
from rleseg_core.cli.options import FLAT, given_fields
from rleseg_core.cli.reading import GivenReading
from rleseg_core.cli.values import classes_of
from rleseg_core.data.formats.base import ReadOptions
from rleseg_core.data.formats.registry import input_kinds
from rleseg_core.errors import DataError
from rleseg_core.tokens.scheme import PRESETS, Scheme

if TYPE_CHECKING:
    from rleseg_core.data import MaskStack

MASKS = Group("Masks", sort_key=10)
SCHEME = Group("Scheme", sort_key=20)
WINDOWS = Group("Windows", sort_key=30)

SCHEMES = ", ".join(PRESETS)

MaskPaths = Annotated[
    list[Path], Parameter(help=f"One or several stacks of masks: {input_kinds()}.")
]
Schemes = Annotated[
    tuple[str, ...],
    Parameter(
        name="--scheme",
        group=SCHEME,
        metavar="NAME,…",
        help=f"Schemes by name, or all of them with 'all'. There are {SCHEMES}.",
    ),
]
SchemeName = Annotated[
    str,
    Parameter(name="--scheme", group=SCHEME, metavar="NAME", help=f"One of {SCHEMES}."),
]
SubsampleRule = Annotated[
    Literal["corner", "centre", "max"],
    Parameter(
        group=WINDOWS,
        help="Which pixel decides the class of a mask pixel: the first, the one in the middle, or "
        "that of the highest class.",
    ),
]

if TYPE_CHECKING:
    GivenScheme = dict[str, Any]
    GivenWriting = dict[str, Any]
else:
    _AS_NAMED = Parameter(show_default="as the scheme says")
    _FIELDS = [field.name for field in fields(Scheme)]
    GivenScheme = given_fields(Scheme, dict.fromkeys(_FIELDS, _AS_NAMED), group=SCHEME)
    GivenWriting = given_fields(
        Scheme,
        dict.fromkeys(("order", "start"), _AS_NAMED),
        group=SCHEME,
        without=[name for name in _FIELDS if name not in ("order", "start")],
    )


@Parameter(name="*", group=MASKS)
@dataclass(frozen=True, kw_only=True)
class MaskOptions:
    """What the numbers in masks mean.

    Parameters
    ----------
    classes : str or None
        Names of the classes, such as ipsc,dfc, in the order of their ids from 1 on. By default
        those that are noted in the masks.
    instances : bool
        The masks hold the ids of objects, all of one class.
    instance_ids : Path or None
        Masks with the ids of objects, where the others hold the ids of classes.
    """

    classes: str | None = None
    instances: bool = False
    instance_ids: Path | None = None
    ids: IdChoices = IdChoices()
    reading: Annotated[GivenReading, FLAT] = field(default_factory=dict)

    def open(self, paths: Sequence[Path], quiet: bool) -> "list[MaskStack]":
        """Masks of some files or folders, all of the same classes; says how they are read.

        Raises
        ------
        DataError
            If they cannot be read, or the options do not go together.
        """
        if self.instance_ids is not None and (self.instances or len(paths) > 1):
            raise DataError(
                "--instance-ids goes with one file or folder of classes, "
                + ("not with --instances" if self.instances else f"got {len(paths)}")
            )
        names = self.class_names(paths[0])
        return [self.open_as(path, names, quiet) for path in paths]

    def open_as(self, path: Path, class_names: Sequence[str], quiet: bool) -> "MaskStack":
        """Masks of one file or folder; says how their numbers are read."""
        from rleseg_core.data import MaskStack

        masks = MaskStack.open(
            path,
            tuple(class_names),
            instances=self.instances,
            instance_ids=self.instance_ids,
            reading=ReadOptions(**self.reading),
            ids=self.ids.options(),
        )
        tell_mapping(path, masks.mapping, quiet)
        return masks

    def class_names(self, path: Path) -> tuple[str, ...]:
        """Names that were given, else those noted in the masks, else 'foreground'."""
        from rleseg_core.data.writers import recorded_class_names

        classes = self.classes
        if classes is None:
            classes = ",".join(recorded_class_names(path)) or "foreground"
        return classes_of(classes, self.instances)
